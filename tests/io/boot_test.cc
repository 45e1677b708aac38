/* SPDX-License-Identifier: MIT */
/* boot_test.cc - starting and stopping with the ring: refusals, no resources, operations in flight
 *
 * Law  where io_uring is refused the epoll engine is used, and said so in one line; where io_uring was forced
 *      a start fails with the kernel's error and one line that says what to do; nothing leaks, and a later
 *      start works.
 * Law  weft_stop cancels what is parked in every call, waits for it, and leaves no descriptor behind.
 * Law  what a fiber starts as a process has none of the runtime's descriptors.
 */
#include "tests/io/support.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace io_test;

namespace
{

void *nothing(void *)
{
	return nullptr;
}

/* From now on io_uring_setup fails with this error in this process, as in a container that forbids it. */
void refuse_io_uring(int error)
{
	sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(77);
}

class Refused : public testing::TestWithParam<int>
{
};
INSTANTIATE_TEST_SUITE_P(Errors, Refused, testing::Values(EPERM, ENOSYS));

TEST_P(Refused, ForcedUringFailsWithTheErrorAndALine)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	int error = GetParam();
	weft_config config{};
	config.engine = WEFT_ENGINE_URING;
	EXPECT_EXIT(
		{
			refuse_io_uring(error);
			int before = count_open();
			weft_runtime *runtime = reinterpret_cast<weft_runtime *>(&config);
			bool right = weft_run(&config, nothing, nullptr, nullptr) == -error &&
				weft_start(&runtime, &config) == -error && runtime == nullptr &&
				count_open() == before;
			_exit(right ? 0 : 1);
		},
		testing::ExitedWithCode(0), "weft: .*io_uring is refused");
}

void *tell_engine(void *engine)
{
	*static_cast<unsigned *>(engine) = weft_engine();
	return nullptr;
}

/* Twice, with every ring mode asked for: they are about rings. */
TEST_P(Refused, OtherwiseEpollIsUsedAndSaidOnce)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	int error = GetParam();
	EXPECT_EXIT(
		{
			unsetenv("WEFT_ENGINE");
			unsetenv("WEFT_LOG");
			refuse_io_uring(error);
			bool right = true;
			for (unsigned flags : {0u, WEFT_RING_DEFER, WEFT_RING_PLAIN}) {
				weft_config config{};
				unsigned engine = 0;
				config.flags = flags;
				config.long_run = -1; /* what a busy machine makes it say */
				right = right && weft_run(&config, tell_engine, &engine, nullptr) == 0 &&
					engine == WEFT_ENGINE_EPOLL;
			}
			_exit(right ? 0 : 1);
		},
		testing::ExitedWithCode(0),
		"^weft: [^\n]*io_uring is refused[^\n]*epoll engine is used[^\n]*\n$");
}

TEST(Boot, EpollCanBeForced)
{
	weft_config config{};
	unsigned engine = 0;
	config.engine = WEFT_ENGINE_EPOLL;
	config.long_run = -1; /* what a busy machine makes it say */
	testing::internal::CaptureStderr();
	EXPECT_EQ(0, weft_run(&config, tell_engine, &engine, nullptr));
	EXPECT_EQ("", testing::internal::GetCapturedStderr());
	EXPECT_EQ(WEFT_ENGINE_EPOLL, engine);
	io_test::run(config, [] {
		weft_stats stats;
		weft_stats_get(nullptr, &stats, nullptr, 0);
		EXPECT_EQ(WEFT_ENGINE_EPOLL, stats.engine);
		EXPECT_STREQ("", stats.ring_mode);
	});
}

TEST(Boot, TwoRingModesAtOnceAreRefused)
{
	weft_config config{};
	config.flags = WEFT_RING_DEFER | WEFT_RING_PLAIN;
	testing::internal::CaptureStderr();
	EXPECT_EQ(-EINVAL, weft_run(&config, nothing, nullptr, nullptr));
	EXPECT_NE("", testing::internal::GetCapturedStderr());
}

TEST(Boot, RingTooLargeIsRefused)
{
	weft_config config{};
	config.ring_entries = 1u << 20;
	testing::internal::CaptureStderr();
	EXPECT_EQ(-EINVAL, weft_run(&config, nothing, nullptr, nullptr));
	EXPECT_NE(std::string::npos, testing::internal::GetCapturedStderr().find("ring_entries"));
}

class BootRings : public Rings
{
};
IN_EVERY_SETUP(BootRings);

/* With room for 0, 1, 2... more descriptors: each step of the start fails once, until it succeeds. */
TEST_P(BootRings, WithoutDescriptorsFailsCleanlyAndWorksLater)
{
	weft_config config = config_of(GetParam());
	ASSERT_EQ(0, weft_run(&config, nothing, nullptr, nullptr));
	int open_before = count_open();
	int refused = 0, error = -EMFILE;
	for (int room = 0; room < 64 && error != 0; room++) {
		testing::internal::CaptureStderr();
		{
			FewDescriptors few(room);
			error = weft_run(&config, nothing, nullptr, nullptr);
		}
		std::string said = testing::internal::GetCapturedStderr();
		EXPECT_TRUE(error == 0 || error == -EMFILE) << error;
		EXPECT_EQ(open_before, count_open()) << "with room for " << room;
		if (error != 0) {
			EXPECT_NE(std::string::npos, said.find("weft:")) << "room for " << room;
			refused++;
		}
	}
	EXPECT_GE(refused, 2 * static_cast<int>(GetParam().workers)) << "a ring and an eventfd each";
	EXPECT_EQ(0, error);
}

/* strace refuses every ring; run by RefusedRings only. */
TEST(Victim, DISABLED_TwoStartsFail)
{
	weft_config config = config_of({WEFT_RING_DEFER, 2});
	config.engine = WEFT_ENGINE_URING;
	int open_before = count_open();
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-ENOMEM, weft_run(&config, nothing, nullptr, nullptr));
		EXPECT_EQ(open_before, count_open());
	}
}

TEST(Victim, DISABLED_EpollIsUsed)
{
	unsetenv("WEFT_ENGINE");
	weft_config config = config_of({WEFT_RING_DEFER, 2});
	unsigned engine = 0;
	int open_before = count_open();
	EXPECT_EQ(0, weft_run(&config, tell_engine, &engine, nullptr));
	EXPECT_EQ(WEFT_ENGINE_EPOLL, engine);
	EXPECT_EQ(open_before, count_open());
}

/* strace refuses each thread its first rings; run by RefusedRings only. */
TEST(Victim, DISABLED_TheStartWaits)
{
	weft_config config = config_of({WEFT_RING_DEFER, 2});
	config.engine = WEFT_ENGINE_URING;
	int open_before = count_open();
	EXPECT_EQ(0, weft_run(&config, nothing, nullptr, nullptr));
	EXPECT_EQ(open_before, count_open());
}

TEST(RefusedRings, NoMemory)
{
	if (ring_refused())
		GTEST_SKIP() << "the kernel refuses io_uring here for another reason";
	if (!can_trace())
		GTEST_SKIP() << "strace is not installed, or may not trace here";
	EXPECT_EQ(0, run_with_fault("io_uring_setup", "error=ENOMEM", "Victim.DISABLED_TwoStartsFail"));
	EXPECT_EQ(0, run_with_fault("io_uring_setup", "error=ENOMEM", "Victim.DISABLED_EpollIsUsed"));
}

/* Law: rings of an earlier runtime that the kernel has not freed yet delay a start, and do not fail it. */
TEST(RefusedRings, NoMemoryForAMoment)
{
	if (ring_refused())
		GTEST_SKIP() << "the kernel refuses io_uring here for another reason";
	if (!can_trace())
		GTEST_SKIP() << "strace is not installed, or may not trace here";
	EXPECT_EQ(0,
		run_with_fault("io_uring_setup", "error=ENOMEM:when=1..3",
			"Victim.DISABLED_TheStartWaits"));
}

/* Parks a submitted fiber in each call. */
struct Everywhere {
	Pair pipe, socket, full, nonblocking;
	int listener = -1;
	std::string fifo = scratch_path("stop-fifo");
	std::atomic<int> begun{0}, cancelled{0};
	std::vector<std::pair<Everywhere *, std::function<long()>>> calls;

	void open()
	{
		pipe = connect_pair(Link::PIPE);
		socket = connect_pair(Link::TCP4);
		full = connect_pair(Link::UNIX);
		nonblocking = connect_pair(Link::UNIX);
		set_nonblocking(nonblocking.in);
		listener = weft_listen("127.0.0.1:0");
		EXPECT_EQ(0, mkfifo(fifo.c_str(), 0600));
		char block[4096] = {};
		while (weft_send(full.out, block, sizeof(block), MSG_DONTWAIT) > 0)
			;
		while (weft_send(full.out, block, 1, MSG_DONTWAIT) > 0)
			;
	}
	void list_calls()
	{
		static char buf[64];
		auto add = [this](std::function<long()> call) {
			calls.push_back({this, std::move(call)});
		};
		add([this] { return weft_read(pipe.in, buf, 1); });
		add([this] { return weft_read_full(socket.in, buf, 9); });
		add([this] { return weft_recv(socket.in, buf, 1, 0); });
		add([this] { return weft_recv(nonblocking.in, buf, 1, 0); });
		add([this] { return weft_poll(socket.in, POLLIN); });
		add([this] { return weft_accept(listener, nullptr, nullptr, 0); });
		add([this] { return weft_send_full(full.out, buf, 64, 0); });
		add([this] { return weft_write(full.out, buf, 64); });
		add([this] { return weft_openat(AT_FDCWD, fifo.c_str(), O_RDONLY, 0); });
		add([] { return weft_sleep(WEFT_FOREVER); });
	}
	void close()
	{
		for (Pair pair : {pipe, socket, full, nonblocking}) {
			::close(pair.in);
			::close(pair.out);
		}
		::close(listener);
		unlink(fifo.c_str());
	}
};

void *park_in_call(void *arg)
{
	auto *entry = static_cast<std::pair<Everywhere *, std::function<long()>> *>(arg);
	entry->first->begun++;
	long result = entry->second();
	EXPECT_EQ(-ECANCELED, result);
	EXPECT_EQ(1, weft_cancelled());
	if (result == -ECANCELED)
		entry->first->cancelled++;
	return nullptr;
}

TEST_P(BootRings, StopEndsWhatIsParkedInEveryCall)
{
	weft_config config = config_of(GetParam());
	ASSERT_EQ(0, weft_run(&config, nothing, nullptr, nullptr));
	int open_before = count_open();
	for (int i = 0; i < rounds(10, 3); i++) {
		Everywhere all;
		io_test::run(config, [&] { all.open(); });
		all.list_calls();
		weft_runtime *runtime;
		ASSERT_EQ(0, weft_start(&runtime, &config));
		for (auto &call : all.calls)
			ASSERT_EQ(0, weft_submit(runtime, park_in_call, &call));
		/* Half of the rounds stop while some are still on their way. */
		weft_stats stats;
		weft_ns limit = weft_after(PATIENCE);
		do {
			std::this_thread::yield();
			weft_stats_get(runtime, &stats, nullptr, 0);
		} while (i % 2 == 0 && stats.total.ops < stats.total.completions + all.calls.size() - 1 &&
			weft_now() < limit);
		ASSERT_EQ(0, weft_stop(runtime));
		EXPECT_EQ(static_cast<int>(all.calls.size()), all.begun);
		EXPECT_EQ(static_cast<int>(all.calls.size()), all.cancelled);
		all.close();
	}
	EXPECT_EQ(open_before, count_open());
}

/* The descriptors that a program started now would have, as it counts them itself. */
std::string descriptors_of_a_child()
{
	int fds[2];
	EXPECT_EQ(0, pipe2(fds, O_CLOEXEC));
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	char shell[] = "sh", option[] = "-c", command[] = "echo /proc/self/fd/*";
	char *argv[] = {shell, option, command, nullptr};
	pid_t child;
	EXPECT_EQ(0, posix_spawnp(&child, "sh", &actions, nullptr, argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	std::string text;
	char buf[512];
	ssize_t n;
	while ((n = weft_self() != nullptr ? weft_read(fds[0], buf, sizeof(buf))
					   : read(fds[0], buf, sizeof(buf))) > 0)
		text.append(buf, static_cast<size_t>(n));
	close(fds[0]);
	int status;
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	return text;
}

TEST_P(BootRings, ChildrenOfAFiberInheritNothing)
{
	std::string before = descriptors_of_a_child();
	EXPECT_NE("", before);
	run([&] {
		Pair tcp = connect_pair(Link::TCP4);
		int listener = weft_listen("127.0.0.1:0");
		EXPECT_EQ(before, descriptors_of_a_child());
		EXPECT_EQ(0, weft_close(listener));
		close_pair(tcp);
	});
}

TEST_P(BootRings, SystemWorksOnAFiber)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::atomic<ssize_t> got{0};
		Fiber reader([&] {
			char byte;
			got = weft_recv(pair.in, &byte, 1, 0);
		});
		EXPECT_EQ(0, system("exit 0"));
		EXPECT_EQ(7, WEXITSTATUS(system("exit 7")));
		EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0)) << "the ring goes on";
		reader.join();
		EXPECT_EQ(1, got);
		close_pair(pair);
	});
}

} // namespace
