/* SPDX-License-Identifier: MIT */
/* runtime_test.cc - beginning and end of runtimes
 *
 * Law  weft_run and weft_stop return when every fiber has ended, and give back all threads, descriptors and memory.
 * Law  what cannot be started is a negative errno and a line on stderr; nothing is left behind.
 * Law  an idle runtime uses no CPU.
 */
#include <atomic>
#include <climits>
#include <fcntl.h>
#include <sched.h>
#include <set>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Runtime : public Workers
{
};
FOR_WORKERS(Runtime);

static void *answer(void *arg)
{
	return arg;
}

static void *nap(void *)
{
	weft_sleep(WEFT_FOREVER);
	return nullptr;
}

TEST_P(Runtime, RunHandsOutTheResult)
{
	weft_config how = config(GetParam());
	int word = 0;
	void *result = nullptr;
	EXPECT_EQ(0, weft_run(&how, answer, &word, &result));
	EXPECT_EQ(&word, result);
	EXPECT_EQ(0, weft_run(&how, answer, &word, nullptr));
}

TEST_P(Runtime, AFiberKnowsItsRuntime)
{
	run(GetParam(), [] {
		EXPECT_EQ(GetParam(), weft_workers());
		EXPECT_LT(weft_worker_index(), GetParam());
		EXPECT_TRUE(weft_engine() == WEFT_ENGINE_URING || weft_engine() == WEFT_ENGINE_EPOLL);
	});
	EXPECT_EQ(0u, weft_workers());
	EXPECT_EQ(UINT_MAX, weft_worker_index());
}

TEST_P(Runtime, EndCancelsAndWaitsForAll)
{
	std::atomic<int> cancelled{0}, cleaned{0};
	run(GetParam(), [&] {
		for (int i = 0; i < 200; i++)
			spawn([&] {
				if (weft_sleep(WEFT_FOREVER) == -ECANCELED)
					cancelled++;
				bool was = weft_shield(true);
				weft_sleep(WEFT_MS); /* clean-up that blocks */
				weft_shield(was);
				cleaned++;
			});
	});
	EXPECT_EQ(200, cancelled.load());
	EXPECT_EQ(200, cleaned.load());
}

TEST_P(Runtime, WhatIsSpawnedAtTheEndStartsCancelled)
{
	std::atomic<int> seen{0};
	run(GetParam(), [&] {
		for (int i = 0; i < 50; i++)
			spawn([&] {
				weft_sleep(WEFT_FOREVER);
				spawn([&] { seen += weft_cancelled(); });
			});
	});
	EXPECT_EQ(50, seen.load());
}

TEST_P(Runtime, AgainAndAgainWithoutGrowth)
{
	auto once = [] {
		run(GetParam(), [] {
			for (int i = 0; i < 10; i++)
				spawn([] { weft_yield(); });
		});
	};
	for (int i = 0; i < 20; i++)
		once();
	long fds = fd_count(), threads = thread_count(), maps = map_count(), rss = rss_bytes();
	long rounds = times(1000, 50) / GetParam();
	for (long i = 0; i < rounds; i++)
		once();
	EXPECT_EQ(fds, fd_count());
	EXPECT_TRUE(eventually([&] { return thread_count() <= threads; })) << threads;
	if (!sanitized) { /* they keep shadow and quarantine */
		EXPECT_LE(map_count(), maps + 20);
		EXPECT_LE(rss_bytes(), rss + (8l << 20));
	}
}

TEST_P(Runtime, SeveralAtOnce)
{
	std::vector<std::thread> threads;
	std::atomic<long> sum{0};
	for (int t = 0; t < 4; t++)
		threads.emplace_back([&sum] {
			for (long round = 0; round < times(20, 5); round++)
				run(GetParam(), [&sum] {
					std::vector<weft_fiber *> fibers;
					for (int i = 0; i < 50; i++)
						fibers.push_back(spawn([i] {
							weft_sleep(i * WEFT_US);
							return i;
						}));
					for (weft_fiber *fiber : fibers)
						sum += join(fiber);
				});
		});
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(4 * times(20, 5) * 50 * 49 / 2, sum.load());
}

TEST_P(Runtime, NotInsideAFiber)
{
	run(GetParam(), [] {
		weft_runtime *inner = nullptr;
		EXPECT_EQ(-EPERM, weft_run(nullptr, answer, nullptr, nullptr));
		EXPECT_EQ(-EPERM, weft_start(&inner, nullptr));
		EXPECT_EQ(nullptr, inner);
	});
}

struct counted {
	std::atomic<long> runs{0};
	static void *count(void *arg)
	{
		static_cast<counted *>(arg)->runs++;
		return nullptr;
	}
};

TEST_P(Runtime, SubmitFromManyThreads)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	counted all;
	std::vector<std::thread> threads;
	long each = times(20000, 500);
	for (int t = 0; t < 4; t++)
		threads.emplace_back([&] {
			for (long i = 0; i < each; i++)
				EXPECT_EQ(0, weft_submit(rt, counted::count, &all));
		});
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_TRUE(eventually([&] { return all.runs == 4 * each; })) << all.runs;
	/* Those that have not run when stop comes run cancelled. */
	for (int i = 0; i < 100; i++)
		EXPECT_EQ(0, weft_submit(rt, counted::count, &all));
	EXPECT_EQ(0, weft_stop(rt));
	EXPECT_EQ(4 * each + 100, all.runs.load());
}

TEST_P(Runtime, SubmitFromFibersOfAnotherRuntime)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	counted all;
	run(2, [&] {
		for (int i = 0; i < 1000; i++) {
			EXPECT_EQ(0, weft_submit(rt, counted::count, &all));
			weft_yield();
		}
		EXPECT_EQ(-EPERM, weft_stop(rt)) << "from a fiber of another runtime";
	});
	EXPECT_EQ(0, weft_stop(rt));
	EXPECT_EQ(1000, all.runs.load());
}

TEST_P(Runtime, StopFromItsOwnFiberIsADeadlock)
{
	static weft_runtime *rt;
	static std::atomic<int> result;
	result = 0;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	auto stop = [](void *) -> void * {
		result = weft_stop(rt);
		return nullptr;
	};
	EXPECT_EQ(0, weft_submit(rt, stop, nullptr));
	EXPECT_TRUE(eventually([] { return result != 0; }));
	EXPECT_EQ(-EDEADLK, result.load());
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Runtime, StopWithThousandsInSleepsAndReads)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	int pipes[2];
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	auto reader = [](void *arg) -> void * {
		char byte;
		EXPECT_EQ(-ECANCELED, weft_read(*static_cast<int *>(arg), &byte, 1));
		return nullptr;
	};
	long pairs = times(5000, 500);
	for (long i = 0; i < pairs; i++) {
		ASSERT_EQ(0, weft_submit(rt, nap, nullptr));
		ASSERT_EQ(0, weft_submit(rt, reader, &pipes[0]));
	}
	weft_stats stats{};
	auto all_parked = [&] {
		weft_stats_get(rt, &stats, nullptr, 0);
		return stats.total.parks >= static_cast<uint64_t>(2 * pairs);
	};
	EXPECT_TRUE(eventually(all_parked)) << stats.total.parks;
	EXPECT_EQ(0, weft_stop(rt));
	close(pipes[0]);
	close(pipes[1]);
}

TEST_P(Runtime, StopAtOnce)
{
	weft_config how = config(GetParam());
	for (long i = 0; i < times(100, 20); i++) {
		weft_runtime *rt = nullptr;
		counted all;
		ASSERT_EQ(0, weft_start(&rt, &how));
		if (i % 2 == 0) {
			ASSERT_EQ(0, weft_submit(rt, counted::count, &all));
		}
		ASSERT_EQ(0, weft_stop(rt));
		EXPECT_EQ(i % 2 == 0, all.runs == 1);
	}
}

static long cpu_micros(const struct rusage &use)
{
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 + use.ru_utime.tv_usec +
		use.ru_stime.tv_usec;
}

TEST_P(Runtime, IdleUsesNoCpu)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	ASSERT_EQ(0, weft_submit(rt, nap, nullptr));
	/* What workers do once when they fall idle is over in one of the first windows: the last searches, and giving back
	 * the stacks of all earlier tests. */
	long micros = 0, wakes = 0;
	for (int window = 0; window < 10; window++) {
		struct rusage before, after;
		getrusage(RUSAGE_SELF, &before);
		usleep(500000);
		getrusage(RUSAGE_SELF, &after);
		micros = cpu_micros(after) - cpu_micros(before);
		wakes = after.ru_nvcsw - before.ru_nvcsw;
		if (micros < 2000 && wakes < 10)
			break;
	}
	EXPECT_LT(micros, 2000) << "microseconds of CPU in half a second";
	EXPECT_LT(wakes, 10) << "times that some thread woke";
	EXPECT_EQ(0, weft_stop(rt));
}

/* -EINVAL and a line that names the culprit; nothing left over. */
static void expect_refused(const weft_config &how, const std::string &named, int error = -EINVAL)
{
	weft_runtime *rt = nullptr;
	long fds = fd_count();
	testing::internal::CaptureStderr();
	EXPECT_EQ(error, weft_start(&rt, &how));
	EXPECT_EQ(error, weft_run(&how, answer, nullptr, nullptr));
	std::string line = testing::internal::GetCapturedStderr();
	EXPECT_NE(std::string::npos, line.find(named)) << line;
	EXPECT_EQ(nullptr, rt);
	EXPECT_EQ(fds, fd_count());
}

TEST(RuntimeConfig, ImpossibleFieldsAreRefusedWithALine)
{
	weft_config how{};
	how.flags = 1u << 30;
	expect_refused(how, "flags");
	how = {};
	how.workers = 1025;
	expect_refused(how, "workers");
	how = {};
	how.stack_size = (size_t{1} << 30) + 1;
	expect_refused(how, "stack_size");
	how = {};
	how.ring_entries = 32769;
	expect_refused(how, "ring_entries");
	how = {};
	how.engine = 3;
	expect_refused(how, "engine");
	how = {};
	how.offload_threads = 4097;
	expect_refused(how, "offload_threads");
}

TEST(RuntimeConfig, MalformedVariablesAreRefusedWithALine)
{
	const char *bad[][2] = {{"WEFT_WORKERS", "two"}, {"WEFT_WORKERS", "0"},
		{"WEFT_WORKERS", "-1"}, {"WEFT_WORKERS", "4x"}, {"WEFT_WORKERS", "1025"},
		{"WEFT_WORKERS", "99999999999999999999"}, {"WEFT_STACK_SIZE", "1e5"},
		{"WEFT_STACK_SIZE", "1073741825"}, {"WEFT_STACK_SIZE", "64 k"},
		{"WEFT_OFFLOAD_THREADS", "0"}, {"WEFT_OFFLOAD_THREADS", "4097"},
		{"WEFT_NAMESERVERS", "nonsense"}, {"WEFT_NAMESERVERS", "127.0.0.1:53,"},
		{"WEFT_ENGINE", "kqueue"}, {"WEFT_RING_MODE", "fast"}, {"WEFT_LOG", "loud"}};
	for (auto &[name, value] : bad) {
		setenv(name, value, 1);
		expect_refused({}, name);
		unsetenv(name);
	}
}

TEST(RuntimeConfig, FieldsOutrankTheEnvironment)
{
	setenv("WEFT_WORKERS", "3", 1);
	run(0, [] { EXPECT_EQ(3u, weft_workers()); });
	run(2, [] { EXPECT_EQ(2u, weft_workers()); });
	unsetenv("WEFT_WORKERS");
}

TEST(RuntimeConfig, TheReasonOfAFailedStartIsSaidEvenWithLogOff)
{
	setenv("WEFT_LOG", "off", 1);
	weft_config how{};
	how.flags = 1u << 30;
	expect_refused(how, "flags");
	setenv("WEFT_LOG", "warn", 1);
	run(1, [] {});
	unsetenv("WEFT_LOG");
}

TEST(RuntimeConfig, StackSizeOfTheEnvironment)
{
	/* 1 MiB is far beyond the default: touching it shows that the variable counts. */
	setenv("WEFT_STACK_SIZE", "1048576", 1);
	run(1, [] {
		join(spawn([] {
			volatile char *deep = static_cast<volatile char *>(__builtin_alloca(900000));
			for (long at = 900000 - 1; at >= 0; at -= 1024)
				deep[at] = 1;
		}));
	});
	unsetenv("WEFT_STACK_SIZE");
}

/* Exits with the number of workers a runtime starts with by default. */
static void exit_with_workers()
{
	static unsigned workers;
	run(0, [] { workers = weft_workers(); });
	_exit(static_cast<int>(workers));
}

TEST(RuntimeDefaultDeathTest, WorkersFollowTheAffinityMask)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	cpu_set_t all;
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
	int first = 0;
	while (!CPU_ISSET(first, &all))
		first++;
	EXPECT_EXIT(
		{
			cpu_set_t one;
			CPU_ZERO(&one);
			CPU_SET(first, &one);
			if (sched_setaffinity(0, sizeof(one), &one) != 0)
				_exit(99);
			exit_with_workers();
		},
		testing::ExitedWithCode(1), "");
}

/* A cgroup v1 of its own with a quota of 150% of a CPU; empty where that cannot be made. */
static std::string cgroup_with_quota()
{
	std::string folder = "/sys/fs/cgroup/cpu/weft-test-" + std::to_string(getpid());
	if (mkdir(folder.c_str(), 0755) != 0)
		return "";
	std::ofstream(folder + "/cpu.cfs_quota_us") << 150000 << std::flush;
	std::ifstream readback(folder + "/cpu.cfs_quota_us");
	long quota = 0;
	readback >> quota;
	if (quota == 150000)
		return folder;
	rmdir(folder.c_str());
	return "";
}

TEST(RuntimeDefaultDeathTest, WorkersFollowTheCgroupQuota)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	/* The child of a death test comes here too; it is told the folder. */
	const char *told = getenv("WEFT_TEST_CGROUP");
	std::string folder = told != nullptr ? told : cgroup_with_quota();
	if (folder.empty())
		GTEST_SKIP() << "no cgroup v1 that this user may make (needs root and /sys/fs/cgroup/cpu)";
	setenv("WEFT_TEST_CGROUP", folder.c_str(), 1);
	long half = sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 1 : 2;
	EXPECT_EXIT(
		{
			std::ofstream(folder + "/cpu.cfs_quota_us") << 50000 << std::flush;
			std::ofstream(folder + "/cgroup.procs") << getpid() << std::flush;
			exit_with_workers();
		},
		testing::ExitedWithCode(1), "")
		<< "half a CPU is one worker";
	EXPECT_EXIT(
		{
			std::ofstream(folder + "/cpu.cfs_quota_us") << 150000 << std::flush;
			std::ofstream(folder + "/cgroup.procs") << getpid() << std::flush;
			exit_with_workers();
		},
		testing::ExitedWithCode(static_cast<int>(half)), "")
		<< "one and a half are two";
	if (told == nullptr) {
		unsetenv("WEFT_TEST_CGROUP");
		rmdir(folder.c_str());
	}
}

/* Two runtimes: a fiber of one joins a fiber of the other, which stops before the result is taken. */
struct Across {
	std::atomic<weft_fiber *> target{nullptr};
	std::atomic<bool> joining{false}, holding{false}, stopped{false}, done{false};
	std::atomic<int> error{1};
	void *result = nullptr;
};

static void *end_when_joined(void *arg)
{
	Across *across = static_cast<Across *>(arg);
	while (!across->holding)
		weft_yield();
	return across;
}

static void *make_target(void *arg)
{
	Across *across = static_cast<Across *>(arg);
	weft_fiber *fiber = nullptr;
	EXPECT_EQ(0, weft_spawn(&fiber, end_when_joined, across));
	across->target = fiber;
	return nullptr;
}

static void *join_across(void *arg)
{
	Across *across = static_cast<Across *>(arg);
	across->joining = true;
	across->error = weft_join(across->target, &across->result);
	std::vector<weft_fiber *> later(300);
	std::set<weft_fiber *> distinct;
	for (weft_fiber *&each : later) {
		EXPECT_EQ(0, weft_spawn(&each, answer, nullptr));
		distinct.insert(each);
	}
	EXPECT_EQ(later.size(), distinct.size()) << "no block is handed out twice";
	for (weft_fiber *each : later)
		EXPECT_EQ(0, weft_join(each, nullptr));
	across->done = true;
	return nullptr;
}

static void *hold_worker(void *arg)
{
	Across *across = static_cast<Across *>(arg);
	while (!across->joining)
		weft_yield();
	across->holding = true;
	while (!across->stopped) /* keeps the only worker, so that the joiner cannot take the result yet */
		std::this_thread::yield();
	return nullptr;
}

TEST(RuntimeAcross, AStoppedRuntimesResultIsTakenOnce)
{
	weft_config one = config(1);
	one.rescue = WEFT_RESCUE_OFF; /* a thread that stands in would let the joiner go on */
	for (int round = 0; round < times(50, 10); round++) {
		Across across;
		weft_runtime *joiners = nullptr, *targets = nullptr;
		ASSERT_EQ(0, weft_start(&joiners, &one));
		ASSERT_EQ(0, weft_start(&targets, &one));
		ASSERT_EQ(0, weft_submit(targets, make_target, &across));
		while (across.target == nullptr)
			std::this_thread::yield();
		ASSERT_EQ(0, weft_submit(joiners, join_across, &across));
		ASSERT_EQ(0, weft_submit(joiners, hold_worker, &across));
		EXPECT_EQ(0, weft_stop(targets));
		across.stopped = true;
		while (!across.done)
			std::this_thread::yield();
		EXPECT_EQ(0, weft_stop(joiners));
		EXPECT_EQ(0, across.error);
		EXPECT_EQ(&across, across.result);
	}
}
