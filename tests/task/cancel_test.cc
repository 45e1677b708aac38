/* SPDX-License-Identifier: MIT */
/* cancel_test.cc - cancellation and deadlines
 *
 * Law  both are levels: while one is in force every cancellation point fails the same way, at once; cancellation goes before
 *      deadlines, and both before readiness.
 * Law  a shield defers cancellation, and only that.
 * Law  a cancelled fiber wakes from whatever wait it is in.
 */
#include <atomic>
#include <fcntl.h>
#include <sys/socket.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Cancel : public Workers
{
};
FOR_WORKERS(Cancel);

TEST_P(Cancel, BeforeItStarts)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ran{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 100; i++) {
			fibers.push_back(spawn([&ran] {
				ran++;
				return weft_sleep(WEFT_SEC);
			}));
			EXPECT_EQ(0, weft_cancel(fibers.back()));
			EXPECT_EQ(0, weft_cancel(fibers.back())) << "twice is the same as once";
		}
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(-ECANCELED, join(fiber));
		EXPECT_EQ(100, ran.load()) << "it still runs";
		EXPECT_EQ(WEFT_SEC, weft_now());
	});
}

TEST_P(Cancel, IsALevel)
{
	run_virtual(GetParam(), [] {
		weft_fiber *other = spawn([] { weft_sleep(WEFT_FOREVER); });
		int pipes[2];
		ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
		char byte = 0;
		EXPECT_EQ(0, weft_check());
		EXPECT_EQ(0, weft_cancelled());
		EXPECT_EQ(0, weft_cancel(weft_self()));
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(1, weft_cancelled());
			EXPECT_EQ(-ECANCELED, weft_check());
			EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_SEC));
			EXPECT_EQ(-ECANCELED, weft_join(other, nullptr));
			EXPECT_EQ(-ECANCELED, weft_read(pipes[0], &byte, 1));
			EXPECT_EQ(-ECANCELED, weft_write(pipes[1], &byte, 1)) << "although it could";
			EXPECT_EQ(-ECANCELED, weft_poll(pipes[1], 4));
		}
		weft_yield();
		EXPECT_EQ(0, weft_sleep(0));
		EXPECT_EQ(0, weft_close(pipes[0])) << "closing is no cancellation point";
		EXPECT_EQ(0, weft_close(pipes[1]));
		EXPECT_EQ(WEFT_SEC, weft_now()) << "no time passed";
	});
}

TEST_P(Cancel, InEveryWait)
{
	run(GetParam(), [] {
		int pipes[2], pair[2];
		ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		weft_fiber *forever = spawn([] { return weft_sleep(WEFT_FOREVER); });
		std::vector<weft_fiber *> fibers = {
			spawn([] { return weft_sleep(WEFT_FOREVER); }),
			spawn([] { return weft_sleep_until(weft_after(1000 * WEFT_SEC)); }),
			spawn([=] { return weft_join(forever, nullptr); }),
			spawn([=] { return weft_poll(pair[0], 1); }),
			spawn([=] {
				char byte;
				return weft_read(pipes[0], &byte, 1);
			}),
			spawn([=] {
				char byte;
				return weft_recv(pair[0], &byte, 1, 0);
			}),
		};
		/* Until all of them wait, or are about to; this fiber does not park. */
		weft_stats stats{};
		for (weft_ns limit = weft_after(20 * WEFT_SEC);
			stats.total.parks <= fibers.size() && weft_now() < limit; weft_yield())
			EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
		EXPECT_GT(stats.total.parks, fibers.size());
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, weft_cancel(fiber));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(-ECANCELED, join(fiber));
		weft_cancel(forever);
		EXPECT_EQ(-ECANCELED, join(forever));
		for (int fd : {pipes[0], pipes[1], pair[0], pair[1]})
			weft_close(fd);
	});
}

TEST_P(Cancel, ReachesNoChildren)
{
	run_virtual(GetParam(), [] {
		weft_fiber *child = nullptr;
		weft_fiber *parent = spawn([&child] {
			child = spawn([] { return weft_sleep(WEFT_SEC); });
			return weft_sleep(WEFT_FOREVER);
		});
		weft_sleep(WEFT_MS);
		weft_cancel(parent);
		EXPECT_EQ(-ECANCELED, join(parent));
		EXPECT_EQ(0, join(child));
	});
}

TEST_P(Cancel, OfTheEndedAndTheStale)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-EINVAL, weft_cancel(nullptr));
		weft_fiber *ended = spawn([] { return 5; });
		weft_sleep(WEFT_MS);
		EXPECT_EQ(0, weft_cancel(ended));
		EXPECT_EQ(5, join(ended));
		EXPECT_EQ(-ESRCH, weft_cancel(ended));
		/* Whoever has the block now is not meant. */
		weft_fiber *next = spawn([] { return weft_sleep(WEFT_MS); });
		EXPECT_EQ(-ESRCH, weft_cancel(ended));
		EXPECT_EQ(0, join(next));
		auto not_one = reinterpret_cast<weft_fiber *>(uintptr_t{0x7fffffff12345});
		EXPECT_EQ(-ESRCH, weft_cancel(not_one));
		EXPECT_EQ(-ESRCH, weft_join(not_one, nullptr));
	});
}

TEST_P(Cancel, FromAForeignThread)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	static std::atomic<weft_fiber *> fiber;
	static std::atomic<int> result;
	for (long round = 0; round < times(200, 50); round++) {
		fiber = nullptr;
		result = 1;
		auto sleeper = [](void *) -> void * {
			fiber = weft_self();
			result = weft_sleep(WEFT_FOREVER);
			return nullptr;
		};
		ASSERT_EQ(0, weft_submit(rt, sleeper, nullptr));
		ASSERT_TRUE(eventually([] { return fiber != nullptr; }));
		weft_cancel(fiber);
		ASSERT_TRUE(eventually([] { return result != 1; }));
		EXPECT_EQ(-ECANCELED, result.load());
	}
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Cancel, ShieldDefersIt)
{
	run_virtual(GetParam(), [] {
		weft_fiber *fiber = spawn([] {
			EXPECT_FALSE(weft_shield(true));
			weft_sleep(10 * WEFT_MS); /* the cancellation comes in this sleep */
			EXPECT_EQ(WEFT_SEC + 10 * WEFT_MS, weft_now()) << "it did not wake";
			EXPECT_EQ(0, weft_cancelled());
			EXPECT_EQ(0, weft_check());
			EXPECT_TRUE(weft_shield(true)) << "nested";
			EXPECT_TRUE(weft_shield(true));
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			EXPECT_TRUE(weft_shield(false));
			EXPECT_EQ(1, weft_cancelled());
			return weft_sleep(WEFT_MS);
		});
		weft_sleep(5 * WEFT_MS);
		weft_cancel(fiber);
		EXPECT_EQ(-ECANCELED, join(fiber));
	});
}

TEST_P(Cancel, ShieldLeavesTheDeadlineInForce)
{
	run_virtual(GetParam(), [] {
		weft_cancel(weft_self());
		weft_shield(true);
		weft_deadline(weft_after(WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
		EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now());
		weft_shield(false);
		EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_SEC)) << "both in force: cancelled";
		EXPECT_EQ(-ECANCELED, weft_check());
	});
}

TEST_P(Cancel, DeadlineIsALevelUntilItIsMoved)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(WEFT_FOREVER, weft_deadline(weft_after(WEFT_MS)));
		EXPECT_EQ(0, weft_sleep(WEFT_US));
		EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
		weft_ns passed = weft_now();
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(-ETIMEDOUT, weft_check());
			EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
			EXPECT_EQ(0, weft_cancelled()) << "deadlines do not count";
		}
		EXPECT_EQ(passed, weft_deadline(weft_after(WEFT_SEC)));
		EXPECT_EQ(0, weft_check());
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		EXPECT_EQ(passed + WEFT_SEC, weft_deadline(0));
		EXPECT_EQ(-ETIMEDOUT, weft_check());
		EXPECT_EQ(0, weft_deadline(WEFT_FOREVER));
		EXPECT_EQ(0, weft_sleep(10 * WEFT_SEC));
	});
}

TEST_P(Cancel, DeadlineMovedManyTimes)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		/* As a server does, one a request: later each time. */
		for (int i = 0; i < 1000; i++) {
			weft_deadline(weft_after(WEFT_MS));
			EXPECT_EQ(0, weft_sleep(WEFT_MS / 2));
		}
		EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
		EXPECT_EQ(start + 1000 * (WEFT_MS / 2) + WEFT_MS / 2, weft_now());
		/* Sooner, after later. */
		weft_deadline(weft_after(10 * WEFT_SEC));
		weft_deadline(weft_after(WEFT_MS));
		weft_ns soon = weft_after(WEFT_MS);
		EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
		EXPECT_EQ(soon, weft_now());
	});
}

TEST_P(Cancel, DeadlineIsNotInherited)
{
	run_virtual(GetParam(), [] {
		weft_deadline(weft_after(WEFT_MS));
		weft_fiber *child = spawn([] {
			EXPECT_EQ(WEFT_FOREVER, weft_deadline(WEFT_FOREVER));
			return weft_sleep(WEFT_SEC);
		});
		EXPECT_EQ(-ETIMEDOUT, weft_join(child, nullptr));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, join(child));
	});
}

TEST_P(Cancel, DeadlineInIo)
{
	run(GetParam(), [] {
		int pair[2];
		char byte = 'x';
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		for (int i = 0; i < 20; i++) {
			weft_ns end = weft_after(WEFT_MS);
			weft_deadline(end);
			EXPECT_EQ(-ETIMEDOUT, weft_recv(pair[0], &byte, 1, 0));
			EXPECT_GE(weft_now(), end);
			weft_deadline(WEFT_FOREVER);
			EXPECT_EQ(1, weft_send(pair[1], &byte, 1, 0));
			EXPECT_EQ(1, weft_recv(pair[0], &byte, 1, 0)) << "the late call took nothing";
		}
		weft_close(pair[0]);
		weft_close(pair[1]);
	});
}
