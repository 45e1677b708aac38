/* SPDX-License-Identifier: MIT */
/* idle_test.cc - sleeping workers and those who give them work
 *
 * Law  no wake-up is lost: work that comes when all workers sleep, or are about to, is run; from outside, from other workers, for
 *      any worker or for one alone. (All interleavings of small cases: tests/model.)
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Idle : public Workers
{
};
FOR_WORKERS(Idle);

static std::atomic<long> ran;

static void *count(void *arg)
{
	ran++;
	return arg;
}

/* Waits without giving the workers a pattern: sometimes they have fallen asleep before the next work comes, sometimes not. */
static bool wait_until(long expected, long round)
{
	if (round % 3 == 0)
		usleep(static_cast<useconds_t>(round % 100));
	for (int i = 0; i < 1000 && ran < expected; i++)
		std::this_thread::yield();
	return eventually([expected] { return ran >= expected; });
}

TEST_P(Idle, EverySubmitIsSeen)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	ran = 0;
	for (long i = 1; i <= times(5000, 500); i++) {
		ASSERT_EQ(0, weft_submit(rt, count, nullptr));
		ASSERT_TRUE(wait_until(i, i)) << "submit " << i << " was not run";
	}
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Idle, SubmitsThatMeetAreSeen)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	ran = 0;
	std::atomic<long> round{0};
	long rounds = times(3000, 300);
	std::thread other([&] {
		for (long i = 1; i <= rounds; i++) {
			while (round < i)
				std::this_thread::yield();
			EXPECT_EQ(0, weft_submit(rt, count, nullptr));
		}
	});
	for (long i = 1; i <= rounds; i++) {
		round = i;
		EXPECT_EQ(0, weft_submit(rt, count, nullptr));
		EXPECT_TRUE(wait_until(2 * i, i)) << "a submit of round " << i << " was not run";
	}
	other.join();
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Idle, SleepersOfOtherWorkersAreWoken)
{
	run(GetParam(), [] {
		/* Each fiber wakes the next, mostly on another worker, which may be falling asleep. */
		for (long i = 0; i < times(300, 50); i++) {
			weft_attr attr{};
			attr.flags = i % 2 == 0 ? WEFT_PINNED : 0;
			weft_fiber *last = spawn([] { return weft_sleep(WEFT_US); }, attr);
			for (int k = 0; k < 10; k++)
				last = spawn([last] { return join(last); }, attr);
			ASSERT_EQ(0, join(last));
			if (i % 10 == 0)
				weft_sleep(100 * WEFT_US);
		}
	});
}

TEST_P(Idle, ABurstWakesThemAll)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(100, 20); round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 100; i++)
				fibers.push_back(spawn([] { weft_yield(); }));
			for (weft_fiber *fiber : fibers)
				join(fiber);
			weft_sleep(50 * WEFT_US); /* they fall asleep */
		}
	});
}
