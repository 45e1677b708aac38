/* SPDX-License-Identifier: MIT */
/* waitgroup_event_test.cc - waitgroups and events
 *
 * Law  a wait ends when the count is, or was, zero; when the flag is, or was, set; what was done before is seen after.
 * Law  the last done and the set do not touch the object after the waiter may return: it may leave the frame it stands in.
 * Law  a count below zero or above INT_MAX is refused, and nothing changes.
 * Law  a wait that gives up leaves nothing behind.
 */
#include <atomic>
#include <climits>

#include "tests/sync/parties.h"

using namespace support;

class Waitgroup : public Workers
{
};
FOR_WORKERS(Waitgroup);

class Event : public Workers
{
};
FOR_WORKERS(Event);

/* Writes all over the stack below the caller, where frames it has left were, and finds whoever writes there meanwhile. */
__attribute__((noinline)) static void reuse_stack()
{
	volatile unsigned char frame[4096];
	for (volatile unsigned char &byte : frame)
		byte = 0xa5;
	weft_yield();
	for (volatile unsigned char &byte : frame)
		if (byte != 0xa5)
			ADD_FAILURE() << "somebody wrote to a frame that was left";
}

TEST_P(Waitgroup, WaitsForAll)
{
	run_virtual(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		const weft_ns start = weft_now();
		EXPECT_EQ(0, weft_waitgroup_wait(&group)) << "none under way";
		long sums[100] = {};
		EXPECT_EQ(0, weft_waitgroup_add(&group, 100));
		for (int i = 0; i < 100; i++) {
			weft_fiber *worker = spawn([&group, &sums, i] {
				weft_sleep(i * WEFT_MS);
				sums[i] = i;
				EXPECT_EQ(0, weft_waitgroup_done(&group));
			});
			EXPECT_EQ(0, weft_detach(worker));
		}
		std::vector<weft_fiber *> others;
		for (int i = 0; i < 10; i++)
			others.push_back(spawn([&group, start] {
				EXPECT_EQ(0, weft_waitgroup_wait(&group));
				EXPECT_EQ(start + 99 * WEFT_MS, weft_now());
			}));
		EXPECT_EQ(0, weft_waitgroup_wait(&group));
		EXPECT_EQ(start + 99 * WEFT_MS, weft_now());
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(i, sums[i]);
		join_all(others);
	});
}

TEST_P(Waitgroup, UsedAgain)
{
	run(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		long count = 0;
		weft_mutex mutex = WEFT_MUTEX_INIT;
		for (int round = 0; round < times(1000, 300); round++) {
			EXPECT_EQ(0, weft_waitgroup_add(&group, 5));
			for (int i = 0; i < 5; i++) {
				weft_fiber *worker = spawn([&] {
					weft_mutex_lock(&mutex);
					count++;
					weft_mutex_unlock(&mutex);
					EXPECT_EQ(0, weft_waitgroup_done(&group));
				});
				EXPECT_EQ(0, weft_detach(worker));
			}
			EXPECT_EQ(0, weft_waitgroup_wait(&group));
			EXPECT_EQ((round + 1) * 5, count) << "done comes before the wait";
		}
	});
}

TEST_P(Waitgroup, BoundsOfTheCount)
{
	run_virtual(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		EXPECT_EQ(-EINVAL, weft_waitgroup_add(nullptr, 1));
		EXPECT_EQ(-EINVAL, weft_waitgroup_done(nullptr));
		EXPECT_EQ(-EINVAL, weft_waitgroup_wait(nullptr));
		EXPECT_EQ(-EINVAL, weft_waitgroup_done(&group));
		EXPECT_EQ(-EINVAL, weft_waitgroup_add(&group, -1));
		EXPECT_EQ(-EINVAL, weft_waitgroup_add(&group, INT_MIN));
		EXPECT_EQ(0, weft_waitgroup_wait(&group)) << "nothing has changed";
		EXPECT_EQ(0, weft_waitgroup_add(&group, 0));
		EXPECT_EQ(0, weft_waitgroup_add(&group, INT_MAX));
		EXPECT_EQ(-EOVERFLOW, weft_waitgroup_add(&group, 1));
		EXPECT_EQ(-EOVERFLOW, weft_waitgroup_add(&group, INT_MAX));
		EXPECT_EQ(-EINVAL, weft_waitgroup_add(&group, INT_MIN));
		EXPECT_EQ(0, weft_waitgroup_add(&group, -INT_MAX)) << "nothing had changed";
		EXPECT_EQ(0, weft_waitgroup_wait(&group));
		EXPECT_EQ(0, weft_waitgroup_add(&group, 3));
		weft_fiber *waiter = spawn([&group] { return weft_waitgroup_wait(&group); });
		settle();
		EXPECT_EQ(-EINVAL, weft_waitgroup_add(&group, -4)) << "also while one waits";
		EXPECT_EQ(-EOVERFLOW, weft_waitgroup_add(&group, INT_MAX - 2));
		settle();
		EXPECT_EQ(0, weft_waitgroup_add(&group, -3)) << "three were left";
		EXPECT_EQ(0, join(waiter));
	});
}

TEST_P(Waitgroup, GivingUp)
{
	run_virtual(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
		weft_fiber *stays = spawn([&group] { return weft_waitgroup_wait(&group); });
		weft_fiber *cancelled = spawn([&group] { return weft_waitgroup_wait(&group); });
		weft_fiber *late = spawn([&group] {
			weft_deadline(weft_after(WEFT_SEC));
			return weft_waitgroup_wait(&group);
		});
		settle();
		weft_cancel(cancelled);
		EXPECT_EQ(-ECANCELED, join(cancelled));
		EXPECT_EQ(-ETIMEDOUT, join(late));
		EXPECT_EQ(0, weft_waitgroup_done(&group));
		EXPECT_EQ(0, join(stays));
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_waitgroup_wait(&group)) << "although zero";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_waitgroup_wait(&group)) << "although zero";
		EXPECT_EQ(0, weft_waitgroup_add(&group, 1)) << "no cancellation point";
		EXPECT_EQ(0, weft_waitgroup_done(&group)) << "no cancellation point";
	});
}

/* The count is zero for a moment only: whoever waited then returns. */
TEST_P(Waitgroup, ZeroForAMoment)
{
	run_virtual(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		for (int round = 0; round < 50; round++) {
			EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 10; i++)
				fibers.push_back(
					spawn([&group] { return weft_waitgroup_wait(&group); }));
			settle();
			EXPECT_EQ(0, weft_waitgroup_done(&group));
			EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
			for (weft_fiber *fiber : fibers)
				EXPECT_EQ(0, join(fiber));
			EXPECT_EQ(0, weft_waitgroup_done(&group));
		}
	});
}

__attribute__((noinline)) static void wait_on_the_stack(int children, long round)
{
	weft_waitgroup group = WEFT_WAITGROUP_INIT;
	EXPECT_EQ(0, weft_waitgroup_add(&group, children));
	for (int i = 0; i < children; i++) {
		weft_fiber *child = spawn([&group, i, round] {
			if ((round + i) % 3 == 0)
				weft_yield();
			EXPECT_EQ(0, weft_waitgroup_done(&group));
		});
		EXPECT_EQ(0, weft_detach(child));
	}
	for (long k = round % 4; k > 0; k--)
		weft_yield();
	EXPECT_EQ(0, weft_waitgroup_wait(&group));
}

TEST_P(Waitgroup, OnTheStackOfItsWaiter)
{
	on_fibers(GetParam(), 0, 4, [](int) {
		for (long round = 0; round < times(3000, 750); round++) {
			wait_on_the_stack(1 + static_cast<int>(round % 4), round);
			reuse_stack();
		}
	});
}

TEST_P(Waitgroup, FreedByItsWaiter)
{
	free_after_wait<weft_waitgroup>(
		GetParam(), times(20000, 6000),
		[](weft_waitgroup &group) { EXPECT_EQ(0, weft_waitgroup_wait(&group)); },
		[](weft_waitgroup &group) { EXPECT_EQ(0, weft_waitgroup_done(&group)); },
		[](weft_waitgroup &group) { EXPECT_EQ(0, weft_waitgroup_add(&group, 1)); });
}

/* Of several who are done the last decides; the others are through with the object before it frees it. */
TEST_P(Waitgroup, FreedAfterSeveralWereDone)
{
	constexpr long n = times(5000, 1500);
	Freed<weft_waitgroup> freed;
	std::vector<weft_waitgroup *> groups;
	for (long i = 0; i < n; i++) {
		groups.push_back(new weft_waitgroup{});
		EXPECT_EQ(0, weft_waitgroup_add(groups.back(), parties - 1));
	}
	on_all(GetParam(), [&](int party) {
		for (long i = 0; i < n; i++) {
			weft_waitgroup *group = groups[static_cast<size_t>(i)];
			if (i % parties == party) {
				EXPECT_EQ(0, weft_waitgroup_wait(group));
				freed.take(group);
			} else {
				EXPECT_EQ(0, weft_waitgroup_done(group));
			}
		}
	});
	EXPECT_EQ(n, freed.count.load());
}

TEST_P(Event, SetResetAndWait)
{
	run_virtual(GetParam(), [] {
		weft_event event = WEFT_EVENT_INIT;
		weft_event_set(nullptr);
		weft_event_reset(nullptr);
		EXPECT_EQ(-EINVAL, weft_event_wait(nullptr));
		auto wait = [&event](weft_ns patience) {
			return spawn([&event, patience] {
				weft_deadline(weft_after(patience));
				return weft_event_wait(&event);
			});
		};
		EXPECT_EQ(-ETIMEDOUT, join(wait(WEFT_SEC))) << "it starts unset";
		weft_event_reset(&event);
		EXPECT_EQ(-ETIMEDOUT, join(wait(WEFT_SEC)));
		weft_event_set(&event);
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(0, join(wait(WEFT_SEC))) << "it stays set";
		weft_event_set(&event);
		weft_event_reset(&event);
		EXPECT_EQ(-ETIMEDOUT, join(wait(WEFT_SEC))) << "set twice, reset once";
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 50; i++)
			fibers.push_back(wait(WEFT_SEC));
		settle();
		weft_event_set(&event);
		weft_event_reset(&event);
		weft_fiber *later = wait(WEFT_SEC);
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, join(fiber)) << "woken before the reset";
		EXPECT_EQ(-ETIMEDOUT, join(later));
	});
}

TEST_P(Event, GivingUp)
{
	run_virtual(GetParam(), [] {
		weft_event event = WEFT_EVENT_INIT;
		weft_fiber *stays = spawn([&event] { return weft_event_wait(&event); });
		weft_fiber *cancelled = spawn([&event] { return weft_event_wait(&event); });
		settle();
		weft_cancel(cancelled);
		EXPECT_EQ(-ECANCELED, join(cancelled));
		weft_event_set(&event);
		EXPECT_EQ(0, join(stays));
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_event_wait(&event)) << "although set";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_event_wait(&event)) << "although set";
	});
}

TEST_P(Event, SetMeetsCancellation)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(2000, 450); round++) {
			weft_event event = WEFT_EVENT_INIT;
			weft_ns then = weft_after(WEFT_MS);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++)
				fibers.push_back(spawn([&event, then, i] {
					weft_deadline(i == 1 ? then : WEFT_FOREVER);
					return weft_event_wait(&event);
				}));
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
			});
			weft_sleep_until(then);
			weft_event_set(&event);
			join(canceller);
			for (int i = 0; i < 4; i++) {
				intptr_t error = join(fibers[static_cast<size_t>(i)]);
				bool may = error == 0 || (i == 0 && error == -ECANCELED) ||
					(i == 1 && error == -ETIMEDOUT);
				ASSERT_TRUE(may) << i << ": " << error;
			}
		}
	});
}

/* A deadline that was moved before it passed is none: whoever waits just then still sees a flag that is set for a moment, and a
 * count that is zero for a moment. */
TEST_P(Event, AMovedDeadlineMissesNothing)
{
	run_virtual(GetParam(), [] {
		weft_event event = WEFT_EVENT_INIT;
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		for (int round = 0; round < 40; round++) {
			EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
			weft_ns then = weft_after(10 * WEFT_MS);
			auto wait = [&](bool for_event) {
				return spawn([&, then, for_event] {
					weft_deadline(then);
					weft_deadline(then + WEFT_SEC);
					return for_event ? weft_event_wait(&event)
							 : weft_waitgroup_wait(&group);
				});
			};
			weft_fiber *early = round % 2 == 0 ? wait(true) : nullptr;
			weft_fiber *counts = wait(false);
			weft_fiber *sets = spawn([&, then] {
				weft_sleep_until(then);
				weft_event_set(&event);
				weft_event_reset(&event);
				EXPECT_EQ(0, weft_waitgroup_done(&group));
				EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
			});
			weft_fiber *late = round % 2 != 0 ? wait(true) : nullptr;
			EXPECT_EQ(0, join(early != nullptr ? early : late));
			EXPECT_EQ(0, join(counts));
			join(sets);
			EXPECT_EQ(0, weft_waitgroup_done(&group));
		}
	});
}

/* Everybody waits for the same event, in many rounds; each writes plain data that the others read after the set. */
TEST_P(Event, BetweenAll)
{
	constexpr int rounds = static_cast<int>(times(500, 150));
	std::vector<weft_event> events(rounds);
	std::vector<long> data(rounds);
	on_all(GetParam(), [&](int party) {
		for (int i = 0; i < rounds; i++) {
			auto at = static_cast<size_t>(i);
			if (i % parties == party) {
				data[at] = i + 1;
				weft_event_set(&events[at]);
			}
			EXPECT_EQ(0, weft_event_wait(&events[at]));
			EXPECT_EQ(i + 1, data[at]);
		}
	});
}

__attribute__((noinline)) static void wait_for_event_on_the_stack(long round)
{
	weft_event event = WEFT_EVENT_INIT;
	weft_fiber *setter = spawn([&event, round] {
		if (round % 3 == 0)
			weft_yield();
		weft_event_set(&event);
	});
	EXPECT_EQ(0, weft_detach(setter));
	for (long k = round % 4; k > 0; k--)
		weft_yield();
	EXPECT_EQ(0, weft_event_wait(&event));
}

TEST_P(Event, OnTheStackOfItsWaiter)
{
	on_fibers(GetParam(), 0, 4, [](int) {
		for (long round = 0; round < times(5000, 1200); round++) {
			wait_for_event_on_the_stack(round);
			reuse_stack();
		}
	});
}

TEST_P(Event, FreedByItsWaiter)
{
	free_after_wait<weft_event>(
		GetParam(), times(20000, 6000),
		[](weft_event &event) { EXPECT_EQ(0, weft_event_wait(&event)); },
		[](weft_event &event) { weft_event_set(&event); });
}
