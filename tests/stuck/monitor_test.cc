/* SPDX-License-Identifier: MIT */
/* monitor_test.cc - what the monitor owes to everybody, whatever else it has to do
 *
 * Law  a long run is reported however many before it ended while their threads were being asked where they are.
 * Law  and so is a fiber whose runs are all too short for an answer, most of the time.
 * Law  a pinned fiber runs when its worker is free, also where a thread that stands in for it is stuck itself.
 * Law  a runtime that starts has no stalls.
 * Law  neither a rescue nor the end of a runtime waits for who reads stderr.
 * Law  a search for deadlocks among many fibers is broken off when they go on.
 */
#include "tests/stuck/support.h"

using namespace stuck;

namespace
{

/* The descriptor stands for stderr as long as this lives. */
class Instead
{
public:
	explicit Instead(int fd) : kept_(dup(STDERR_FILENO))
	{
		fflush(stderr);
		dup2(fd, STDERR_FILENO);
	}
	Instead(const Instead &) = delete;
	Instead &operator=(const Instead &) = delete;
	~Instead()
	{
		fflush(stderr);
		dup2(kept_, STDERR_FILENO);
		close(kept_);
	}

private:
	int kept_;
};

void nap(int64_t duration)
{
	struct timespec time = {duration / WEFT_SEC, duration % WEFT_SEC};
	syscall(SYS_nanosleep, &time, nullptr);
}

void run_with_long_runs(unsigned workers, std::function<void()> fn)
{
	weft_config config{};
	config.workers = workers;
	config.long_run = 5 * WEFT_MS;
	auto call = [](void *arg) -> void * {
		(*static_cast<std::function<void()> *>(arg))();
		return nullptr;
	};
	EXPECT_EQ(0, weft_run(&config, call, &fn, nullptr));
}

} // namespace

TEST(Monitor, ReportsLongRunsAfterThoseThatEndedSoon)
{
	static constexpr size_t SHORT = 40, LONG = 4;
	Said said;
	run_with_long_runs(1, [&said] {
		/* Many of them end between the question and the tick of the clock that brings the answer. */
		for (size_t i = 0; i < SHORT; i++) {
			support::join(spawn([i] { compute((6 + i % 10) * WEFT_MS); }));
			weft_sleep(3 * WEFT_MS);
		}
		weft_sleep(1100 * WEFT_MS); /* only so many lines come in a second */
		weft_attr attr{"lasting", 0, 0};
		for (size_t i = 1; i <= LONG; i++) {
			EXPECT_TRUE(support::join(spawn(
				[&said, i] { return compute_until_said(said, "\"lasting\"", i); }, attr)));
			weft_sleep(20 * WEFT_MS);
		}
	});
	EXPECT_EQ(LONG, said.count("\"lasting\"")) << said.text();
}

TEST(Monitor, ReportsWhoIsNeverLongEnoughToAnswer)
{
	if (tsan)
		GTEST_SKIP() << "it keeps signals back until the thread makes a call that it knows";
	Said said;
	run_with_long_runs(1, [] {
		weft_attr attr{"often", 0, 0};
		support::join(spawn(
			[] {
				for (int i = 0; i < 100; i++) {
					compute((7 + i % 10) * WEFT_MS);
					weft_sleep(3 * WEFT_MS);
				}
			},
			attr));
	});
	EXPECT_EQ(1u, said.count("\"often\"")) << said.text();
}

class OneWorker : public testing::TestWithParam<Machine>
{
};

INSTANTIATE_TEST_SUITE_P(One, OneWorker, testing::ValuesIn(machines({1})),
	[](const testing::TestParamInfo<Machine> &machine) { return machine_name(machine.param); });

TEST_P(OneWorker, APinnedFiberGetsItBackFromWhoIsStuck)
{
	Runtime runtime(GetParam());
	runtime.run([] {
		std::atomic<bool> waits{false}, held{false}, stuck{false}, ran{false};
		weft_event due = WEFT_EVENT_INIT;
		weft_attr attr{"pinned", 0, WEFT_PINNED};
		weft_fiber *pinned = spawn(
			[&] {
				waits = true;
				EXPECT_EQ(0, weft_event_wait(&due));
				ran = true;
			},
			attr);
		while (!waits)
			weft_yield();
		weft_fiber *first = spawn([&] {
			held = true;
			EXPECT_TRUE(eventually([&] { return stuck.load(); }));
		});
		while (!held)
			weft_yield();
		/* On the thread that stands in. The worker is free from now on; this fiber does not give way
		 * before the pinned one has it back. */
		weft_event_set(&due);
		stuck = true;
		EXPECT_TRUE(eventually([&] { return ran.load(); }));
		support::join(pinned);
		support::join(first);
	});
	runtime.stop();
}

TEST(Monitor, ARuntimeThatStartsIsNotStuck)
{
	weft_config config{};
	config.workers = 64;
	for (int round = 0; round < 5; round++) {
		weft_runtime *rt;
		weft_stats stats;
		ASSERT_EQ(0, weft_start(&rt, &config));
		usleep(50000);
		EXPECT_LT(0, weft_stats_get(rt, &stats, nullptr, 0));
		EXPECT_EQ(0u, stats.total.stalls);
		EXPECT_EQ(0, weft_stop(rt));
	}
}

TEST(Monitor, TheEndDoesNotWaitForStderr)
{
	int ends[2];
	char filler[4096] = {};
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	while (write(ends[1], filler, sizeof(filler)) > 0)
		;
	ASSERT_EQ(0, fcntl(ends[1], F_SETFL, 0));
	std::atomic<bool> ended{false};
	{
		Instead instead(ends[1]);
		std::thread thread([&ended] {
			run_with_long_runs(2, [] {
				support::join(spawn([] { nap(100 * WEFT_MS); })); /* its report waits */
			});
			ended = true;
		});
		EXPECT_TRUE(eventually([&ended] { return ended.load(); }));
		close(ends[0]); /* whoever writes is let go now */
		thread.join();
	}
	close(ends[1]);
}

TEST(Monitor, ManyWhoWaitDoNotKeepItFromTheStuck)
{
	const long waiters = support::times(50000, 1000);
	Stall stall;
	Noise noise;
	Runtime runtime({WEFT_ENGINE_EPOLL, 1});
	int64_t gap = 0;
	runtime.run([&stall, &gap] {
		weft_mutex lock = WEFT_MUTEX_INIT;
		std::vector<weft_fiber *> fibers;
		weft_attr attr{nullptr, 0, WEFT_SMALL};
		weft_mutex_lock(&lock);
		auto wait = [](void *arg) -> void * {
			weft_mutex_lock(static_cast<weft_mutex *>(arg));
			weft_mutex_unlock(static_cast<weft_mutex *>(arg));
			return nullptr;
		};
		for (long i = 0; i < waiters; i++) {
			fibers.emplace_back();
			ASSERT_EQ(0, weft_spawn_attr(&fibers.back(), &attr, wait, &lock));
		}
		stall.from = weft_now();
		for (int round = 0; round < 3; round++) {
			weft_sleep(130 * WEFT_MS); /* all stand still: the search has begun */
			std::atomic<bool> stop{false};
			weft_fiber *beat = spawn([&] {
				for (int64_t last = weft_now(); !stop;) {
					weft_sleep(WEFT_MS);
					gap = std::max(gap, weft_now() - last);
					last = weft_now();
				}
			});
			weft_yield();
			nap(400 * WEFT_MS);
			stop = true;
			support::join(beat);
		}
		stall.to = weft_now();
		weft_sleep(100 * WEFT_MS);
		weft_mutex_unlock(&lock);
		for (weft_fiber *fiber : fibers)
			support::join(fiber);
	});
	noise.end();
	runtime.stop();
	EXPECT_LT(ms(gap), 200 + 2 * ms(noise.most(stall)));
}
