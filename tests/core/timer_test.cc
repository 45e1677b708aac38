/* SPDX-License-Identifier: MIT */
/* timer_test.cc - sleeps and deadlines, in virtual time where they are exact
 *
 * Law  a sleep never ends early; in virtual time it ends exactly when it should, and time stands still while a fiber can run.
 * Law  timers fire in the order of their times, equal ones in the order of arming.
 */
#include <algorithm>
#include <atomic>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Timer : public Workers
{
};
FOR_WORKERS(Timer);

TEST_P(Timer, VirtualTimeIsExact)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(WEFT_SEC, weft_now()) << "virtual time starts at 1 s";
		std::atomic<int> wrong{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 100; i++)
			fibers.push_back(spawn([i, &wrong] {
				for (int k = 1; k <= 20; k++) {
					weft_ns end = weft_after((i * 7919 + k * 104729) % 1000 + 1);
					EXPECT_EQ(0, weft_sleep_until(end));
					if (weft_now() != end)
						wrong++;
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(0, wrong.load()) << "wake-ups at another time than the one asked for";
	});
}

TEST_P(Timer, TimeStandsStillWhileAFiberCanRun)
{
	run_virtual(GetParam(), [] {
		weft_fiber *sleeper = spawn([] { return weft_sleep(1); });
		weft_ns start = weft_now();
		for (int i = 0; i < 10000; i++) {
			weft_yield();
			ASSERT_EQ(start, weft_now());
		}
		join(sleeper);
		EXPECT_EQ(start + 1, weft_now());
	});
}

TEST(TimerOrder, ByTimeThenByArming)
{
	run_virtual(1, [] {
		std::vector<int> order(400);
		std::atomic<int> next{0};
		std::vector<weft_fiber *> fibers;
		weft_ns start = weft_now();
		/* The index says when: four groups of equal times, armed in a known order by one worker. */
		for (int i = 0; i < 400; i++) {
			weft_ns end = start + WEFT_SEC * (1 + (i * 31) % 4);
			fibers.push_back(spawn([&order, &next, i, end] {
				weft_sleep_until(end);
				order[next++] = i;
			}));
			weft_sleep(1); /* lets it arm */
		}
		for (weft_fiber *fiber : fibers)
			join(fiber);
		std::vector<int> expected(400);
		for (int i = 0; i < 400; i++)
			expected[i] = i;
		auto group = [](int i) { return (i * 31) % 4; };
		std::stable_sort(expected.begin(), expected.end(),
			[&](int a, int b) { return group(a) < group(b); });
		EXPECT_EQ(expected, order);
	});
}

TEST_P(Timer, FarPastAndNegativeTimes)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(0, weft_sleep(0));
		EXPECT_EQ(0, weft_sleep(-1));
		EXPECT_EQ(0, weft_sleep(INT64_MIN));
		EXPECT_EQ(0, weft_sleep_until(0));
		EXPECT_EQ(0, weft_sleep_until(-WEFT_SEC));
		EXPECT_EQ(0, weft_sleep_until(INT64_MIN));
		EXPECT_EQ(WEFT_SEC, weft_now());

		weft_ns far = WEFT_FOREVER - 2;
		weft_fiber *never = spawn([] { return weft_sleep(WEFT_FOREVER); });
		weft_fiber *long_away = spawn([far] { return weft_sleep_until(far); });
		weft_sleep(WEFT_SEC);
		weft_cancel(never);
		EXPECT_EQ(-ECANCELED, join(never));
		EXPECT_EQ(0, join(long_away));
		EXPECT_EQ(far, weft_now());
	});
}

TEST_P(Timer, APassedTimeStillLooksAtTheLevels)
{
	run_virtual(GetParam(), [] {
		weft_deadline(weft_now());
		EXPECT_EQ(0, weft_sleep(0)) << "a sleep of nothing is no cancellation point";
		EXPECT_EQ(-ETIMEDOUT, weft_sleep_until(0));
		weft_deadline(WEFT_FOREVER);
		weft_cancel(weft_self());
		EXPECT_EQ(0, weft_sleep(-1));
		EXPECT_EQ(-ECANCELED, weft_sleep_until(0));
	});
}

TEST_P(Timer, RealSleepsAreNeverShort)
{
	run(GetParam(), [] {
		std::atomic<int> early{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 100; i++)
			fibers.push_back(spawn([i, &early] {
				weft_ns end = weft_after(i * 100 * WEFT_US);
				EXPECT_EQ(0, weft_sleep_until(end));
				if (weft_now() < end)
					early++;
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(0, early.load());
	});
}

TEST_P(Timer, CancelledSleepersLeaveNoTimerBehind)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		for (int round = 0; round < 10; round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 100; i++)
				fibers.push_back(spawn([] { return weft_sleep(1000 * WEFT_SEC); }));
			weft_sleep(WEFT_MS);
			for (weft_fiber *fiber : fibers)
				weft_cancel(fiber);
			for (weft_fiber *fiber : fibers)
				EXPECT_EQ(-ECANCELED, join(fiber));
		}
		EXPECT_EQ(start + 10 * WEFT_MS, weft_now()) << "time did not jump to a dead timer";
	});
}

TEST_P(Timer, HundredsOfThousandsOfSleepers)
{
	/* Small stacks: what is tested is the heap. Virtual time: no real second passes. */
	run_virtual(GetParam(), [] {
		/* Among several workers each jump of the time waits until all of them sleep. */
		long n = std::min(weft_workers() == 1 ? 200000l : 10000l, fibers_max);
		std::atomic<long> woken{0};
		weft_attr small{};
		small.flags = WEFT_SMALL;
		static std::atomic<long> *count;
		count = &woken;
		auto sleeper = [](void *arg) -> void * {
			if (weft_sleep(static_cast<weft_ns>(reinterpret_cast<uintptr_t>(arg))) == 0)
				++*count;
			return nullptr;
		};
		for (long i = 0; i < n; i++) {
			weft_fiber *fiber = nullptr;
			uintptr_t duration = static_cast<uintptr_t>((i * 7919) % 1000003 + 1) * 1000;
			ASSERT_EQ(0,
				weft_spawn_attr(&fiber, &small, sleeper,
					reinterpret_cast<void *>(duration)));
			weft_detach(fiber);
		}
		weft_sleep(1100 * WEFT_SEC);
		EXPECT_EQ(n, woken.load());
	});
}
