/* SPDX-License-Identifier: MIT */
/* rwlock_test.cc - reader-writer locks
 *
 * Law  readers together, a writer alone, whoever the parties are. What a writer wrote the next holders see.
 * Law  a reader that comes while a writer waits waits behind it: writers do not starve. A writer that unlocks lets in all readers
 *      that wait then: nor do readers.
 * Law  whoever gives up, cancelled or late, holds nothing and keeps nobody out.
 * Law  only holders unlock; waiting for oneself is found.
 */
#include <atomic>

#include "tests/sync/parties.h"

using namespace support;

class Rwlock : public Workers
{
};
FOR_WORKERS(Rwlock);

/* A fiber that takes the lock, says so, holds it for a while of virtual time, and gives it back. */
struct visit {
	weft_ns since = -1; /* when it had the lock; -1: not yet, or never */
	weft_ns until = -1; /* when it gave it back */
};

static weft_fiber *reader(weft_rwlock &lock, visit &mine, weft_ns hold)
{
	return spawn([&lock, &mine, hold] {
		int error = weft_rwlock_rdlock(&lock);
		if (error != 0)
			return error;
		mine.since = weft_now();
		weft_sleep(hold);
		mine.until = weft_now();
		return weft_rwlock_unlock(&lock);
	});
}

static weft_fiber *writer(weft_rwlock &lock, visit &mine, weft_ns hold)
{
	return spawn([&lock, &mine, hold] {
		int error = weft_rwlock_wrlock(&lock);
		if (error != 0)
			return error;
		mine.since = weft_now();
		weft_sleep(hold);
		mine.until = weft_now();
		return weft_rwlock_unlock(&lock);
	});
}

TEST_P(Rwlock, ReadersTogether)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		const weft_ns start = weft_now();
		std::vector<visit> visits(100);
		std::vector<weft_fiber *> fibers;
		for (visit &each : visits)
			fibers.push_back(reader(lock, each, WEFT_SEC));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, join(fiber));
		for (const visit &each : visits)
			EXPECT_EQ(start, each.since) << "none waited for another";
		EXPECT_EQ(start + WEFT_SEC, weft_now());
	});
}

TEST_P(Rwlock, WriterAlone)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, second, third, reading;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(writer(lock, first, WEFT_SEC));
		settle();
		fibers.push_back(writer(lock, second, WEFT_SEC));
		settle();
		fibers.push_back(writer(lock, third, WEFT_SEC));
		join_all(fibers);
		EXPECT_EQ(first.until, second.since) << "in their order";
		EXPECT_EQ(second.until, third.since);
		EXPECT_EQ(0, join(reader(lock, reading, 0)));
		EXPECT_TRUE(is_free(lock));
	});
}

TEST_P(Rwlock, ExclusionByPlainCounts)
{
	constexpr long rounds = times(10000, 1800);
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	long one = 0, two = 0;
	std::atomic<long> written{0}, readers_inside{0};
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			if ((k + party) % 5 == 0) {
				ASSERT_EQ(0, weft_rwlock_wrlock(&lock));
				EXPECT_EQ(0, readers_inside.load());
				one++;
				if (k % 32 == 0)
					weft_yield();
				two++;
				written++;
			} else {
				ASSERT_EQ(0, weft_rwlock_rdlock(&lock));
				readers_inside++;
				long seen = one;
				if (k % 16 == 0)
					weft_yield();
				EXPECT_EQ(seen, one);
				EXPECT_EQ(seen, two);
				readers_inside--;
			}
			ASSERT_EQ(0, weft_rwlock_unlock(&lock));
		}
	});
	EXPECT_EQ(written.load(), one);
	EXPECT_EQ(parties * rounds / 5, one);
	EXPECT_EQ(one, two);
	EXPECT_TRUE(is_free(lock));
}

TEST_P(Rwlock, TryForms)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		EXPECT_EQ(-EINVAL, weft_rwlock_tryrdlock(nullptr));
		EXPECT_EQ(-EINVAL, weft_rwlock_trywrlock(nullptr));
		auto try_read = [&lock] {
			return join(spawn([&lock] {
				int error = weft_rwlock_tryrdlock(&lock);
				return error != 0 ? error : weft_rwlock_unlock(&lock);
			}));
		};
		auto try_write = [&lock] {
			return join(spawn([&lock] {
				int error = weft_rwlock_trywrlock(&lock);
				return error != 0 ? error : weft_rwlock_unlock(&lock);
			}));
		};
		EXPECT_EQ(0, try_read());
		EXPECT_EQ(0, try_write());
		EXPECT_EQ(0, weft_rwlock_tryrdlock(&lock));
		EXPECT_EQ(0, try_read()) << "readers together";
		EXPECT_EQ(-EBUSY, try_write());
		EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock)) << "one's own";
		visit waiting;
		weft_fiber *behind = writer(lock, waiting, 0);
		settle();
		EXPECT_EQ(-EBUSY, try_read()) << "a writer waits";
		EXPECT_EQ(-EBUSY, try_write());
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		EXPECT_EQ(0, join(behind));
		EXPECT_EQ(0, weft_rwlock_trywrlock(&lock));
		EXPECT_EQ(-EBUSY, try_read());
		EXPECT_EQ(-EBUSY, try_write());
		EXPECT_EQ(-EBUSY, weft_rwlock_tryrdlock(&lock)) << "one's own";
		EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock)) << "one's own";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		weft_cancel(weft_self());
		EXPECT_EQ(0, weft_rwlock_tryrdlock(&lock)) << "no cancellation point";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock)) << "no cancellation point";
		EXPECT_EQ(0, weft_rwlock_trywrlock(&lock)) << "no cancellation point";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock)) << "no cancellation point";
	});
}

TEST_P(Rwlock, ReadersWaitBehindAWriterThatWaits)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, writing, second, third;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(reader(lock, first, 10 * WEFT_SEC));
		settle();
		fibers.push_back(writer(lock, writing, WEFT_SEC));
		settle();
		fibers.push_back(reader(lock, second, WEFT_SEC));
		settle();
		fibers.push_back(reader(lock, third, WEFT_SEC));
		join_all(fibers);
		EXPECT_EQ(first.until, writing.since);
		EXPECT_EQ(writing.until, second.since);
		EXPECT_EQ(writing.until, third.since) << "together with the other";
	});
}

TEST_P(Rwlock, AWriterLetsInAllReadersThatWait)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, second, third;
		visit reading[5];
		std::vector<weft_fiber *> fibers;
		fibers.push_back(writer(lock, first, WEFT_SEC));
		settle();
		fibers.push_back(reader(lock, reading[0], WEFT_SEC));
		settle();
		fibers.push_back(writer(lock, second, WEFT_SEC));
		for (int i = 1; i < 4; i++) {
			settle();
			fibers.push_back(reader(lock, reading[i], WEFT_SEC));
		}
		settle();
		fibers.push_back(writer(lock, third, WEFT_SEC));
		weft_sleep_until(WEFT_SEC + WEFT_SEC + 500 * WEFT_MS);
		fibers.push_back(reader(lock, reading[4], WEFT_SEC)); /* the four are inside */
		join_all(fibers);
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(first.until, reading[i].since) << i << ", also past a writer";
		EXPECT_EQ(reading[3].until, second.since);
		EXPECT_EQ(second.until, reading[4].since) << "who came later";
		EXPECT_EQ(reading[4].until, third.since);
	});
}

TEST_P(Rwlock, WritersDoNotStarve)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		std::atomic<bool> stop{false};
		weft_ns end = weft_after(100 * WEFT_SEC);
		std::vector<weft_fiber *> fibers;
		/* Somebody always reads. */
		for (int i = 0; i < 6; i++)
			fibers.push_back(spawn([&lock, &stop, end, i] {
				weft_sleep(i * 300 * WEFT_US);
				while (!stop && weft_now() < end) {
					EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
					weft_sleep(2 * WEFT_MS);
					EXPECT_EQ(0, weft_rwlock_unlock(&lock));
				}
			}));
		for (int i = 0; i < 50; i++) {
			weft_sleep(WEFT_MS + i * 37 * WEFT_US);
			weft_ns came = weft_now();
			EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
			EXPECT_LE(weft_now() - came, 2 * WEFT_MS) << "only those inside go first";
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}
		EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
		stop = true;
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		join_all(fibers);
	});
}

TEST_P(Rwlock, ReadersDoNotStarve)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		std::atomic<bool> stop{false};
		weft_ns end = weft_after(100 * WEFT_SEC);
		std::vector<weft_fiber *> fibers;
		/* Somebody always writes, or waits to. */
		for (int i = 0; i < 6; i++)
			fibers.push_back(spawn([&lock, &stop, end] {
				for (bool last = false; !last;) {
					EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
					weft_sleep(2 * WEFT_MS);
					last = stop || weft_now() > end;
					EXPECT_EQ(0, weft_rwlock_unlock(&lock));
				}
			}));
		for (int i = 0; i < 50; i++) {
			weft_sleep(WEFT_MS + i * 37 * WEFT_US);
			weft_ns came = weft_now();
			EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
			EXPECT_LE(weft_now() - came, 2 * WEFT_MS) << "only the one inside goes first";
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}
		EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
		stop = true;
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		join_all(fibers);
	});
}

TEST_P(Rwlock, AWriterThatGaveUpLetsInTheReadersBehindIt)
{
	run_virtual(GetParam(), [] {
		for (bool late : {false, true}) {
			weft_rwlock lock = WEFT_RWLOCK_INIT;
			visit first, second, third;
			std::vector<weft_fiber *> fibers;
			fibers.push_back(reader(lock, first, 10 * WEFT_SEC));
			settle();
			weft_fiber *gives_up = spawn([&lock, late] {
				if (late)
					weft_deadline(weft_after(WEFT_SEC));
				return weft_rwlock_wrlock(&lock);
			});
			settle();
			fibers.push_back(reader(lock, second, WEFT_SEC));
			fibers.push_back(reader(lock, third, WEFT_SEC));
			settle();
			if (!late)
				weft_cancel(gives_up);
			EXPECT_EQ(late ? -ETIMEDOUT : -ECANCELED, join(gives_up));
			weft_ns then = weft_now();
			join_all(fibers);
			EXPECT_EQ(then, second.since);
			EXPECT_EQ(then, third.since);
			EXPECT_TRUE(is_free(lock));
		}
	});
}

TEST_P(Rwlock, ASecondWriterStillKeepsReadersOut)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, second, reading;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(reader(lock, first, WEFT_SEC));
		settle();
		weft_fiber *gives_up = spawn([&lock] { return weft_rwlock_wrlock(&lock); });
		settle();
		fibers.push_back(writer(lock, second, WEFT_SEC));
		settle();
		fibers.push_back(reader(lock, reading, WEFT_SEC));
		settle();
		weft_cancel(gives_up);
		EXPECT_EQ(-ECANCELED, join(gives_up));
		join_all(fibers);
		EXPECT_EQ(first.until, second.since);
		EXPECT_EQ(second.until, reading.since);
	});
}

TEST_P(Rwlock, AReaderThatGaveUpHoldsNothing)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, second, reading;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(writer(lock, first, WEFT_SEC));
		settle();
		weft_fiber *cancelled = spawn([&lock] { return weft_rwlock_rdlock(&lock); });
		weft_fiber *late = spawn([&lock] {
			weft_deadline(weft_after(10 * WEFT_MS));
			return weft_rwlock_rdlock(&lock);
		});
		fibers.push_back(reader(lock, reading, WEFT_SEC));
		settle();
		fibers.push_back(writer(lock, second, WEFT_SEC));
		settle();
		weft_cancel(cancelled);
		EXPECT_EQ(-ECANCELED, join(cancelled));
		EXPECT_EQ(-ETIMEDOUT, join(late));
		join_all(fibers);
		EXPECT_EQ(first.until, reading.since);
		EXPECT_EQ(reading.until, second.since);
		EXPECT_TRUE(is_free(lock));
	});
}

/* A deadline that was moved before it passed is none: whoever waits keeps its place. */
TEST_P(Rwlock, AMovedDeadlineKeepsThePlace)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		visit first, writing, behind;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(reader(lock, first, WEFT_SEC));
		settle();
		fibers.push_back(spawn([&] {
			weft_deadline(weft_after(10 * WEFT_MS));
			weft_deadline(WEFT_FOREVER);
			EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
			writing.since = weft_now();
			weft_sleep(WEFT_SEC);
			writing.until = weft_now();
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}));
		settle();
		fibers.push_back(reader(lock, behind, WEFT_SEC));
		join_all(fibers);
		EXPECT_EQ(first.until, writing.since);
		EXPECT_EQ(writing.until, behind.since) << "it came after the writer";
	});
}

TEST_P(Rwlock, CancellationAndDeadlineComeFirst)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_rwlock_rdlock(&lock)) << "although free";
		EXPECT_EQ(-ETIMEDOUT, weft_rwlock_wrlock(&lock)) << "although free";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_rwlock_rdlock(&lock));
		EXPECT_EQ(-ECANCELED, weft_rwlock_wrlock(&lock));
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock)) << "none of them locked it";
		EXPECT_TRUE(is_free(lock));
	});
}

TEST_P(Rwlock, UnlockIsTheHoldersAlone)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		auto unlock_elsewhere = [&lock] {
			int of_thread = 0;
			std::thread([&] { of_thread = weft_rwlock_unlock(&lock); }).join();
			EXPECT_EQ(-EPERM, of_thread);
			return join(spawn([&lock] { return weft_rwlock_unlock(&lock); }));
		};
		EXPECT_EQ(-EINVAL, weft_rwlock_unlock(nullptr));
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock)) << "nobody holds it";
		EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
		EXPECT_EQ(-EPERM, unlock_elsewhere());
		EXPECT_EQ(-EBUSY, weft_rwlock_tryrdlock(&lock)) << "nothing has changed";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
		EXPECT_EQ(-EPERM, unlock_elsewhere());
		EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock)) << "nothing has changed";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		EXPECT_TRUE(is_free(lock));
	});
}

TEST_P(Rwlock, ReadingTwice)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
		EXPECT_EQ(0, weft_rwlock_rdlock(&lock)) << "no writer waits";
		EXPECT_EQ(0, weft_rwlock_tryrdlock(&lock));
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock)) << i;
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		EXPECT_TRUE(is_free(lock));
	});
}

TEST_P(Rwlock, MoreReadLocksThanAreRemembered)
{
	run_virtual(GetParam(), [] {
		for (bool reverse : {false, true}) {
			weft_rwlock locks[12] = {};
			for (weft_rwlock &lock : locks)
				EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
			for (int i = 0; i < 12; i++)
				EXPECT_EQ(0, weft_rwlock_unlock(&locks[reverse ? 11 - i : i])) << i;
			for (weft_rwlock &lock : locks) {
				EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock)) << "none is held";
				EXPECT_EQ(0, weft_rwlock_wrlock(&lock)) << "nor believed to be";
				EXPECT_EQ(-EDEADLK, weft_rwlock_rdlock(&lock));
				EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			}
		}
	});
}

TEST_P(Rwlock, WaitingForOneself)
{
	auto misuse = [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		EXPECT_EQ(-EINVAL, weft_rwlock_rdlock(nullptr));
		EXPECT_EQ(-EINVAL, weft_rwlock_wrlock(nullptr));
		EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
		EXPECT_EQ(-EDEADLK, weft_rwlock_wrlock(&lock));
		EXPECT_EQ(-EDEADLK, weft_rwlock_rdlock(&lock));
		EXPECT_EQ(0, weft_rwlock_unlock(&lock)) << "held once";
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
		EXPECT_EQ(-EDEADLK, weft_rwlock_wrlock(&lock)) << "no upgrade";
		EXPECT_EQ(0, weft_rwlock_tryrdlock(&lock)) << "nobody waits";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		EXPECT_TRUE(is_free(lock));
	};
	run_virtual(GetParam(), misuse);
	misuse(); /* on a plain thread */
}

TEST_P(Rwlock, HolderParksAndGoesOnElsewhere)
{
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	long count = 0;
	constexpr long rounds = times(500, 150);
	on_fibers(GetParam(), 0, 8, [&](int) {
		for (long k = 0; k < rounds; k++) {
			EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
			long seen = count;
			join(spawn([] { weft_yield(); }));
			count = seen + 1;
			EXPECT_EQ(0, weft_rwlock_unlock(&lock)) << "on whatever worker";
			EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
			join(spawn([] { weft_yield(); }));
			EXPECT_EQ(0, weft_rwlock_unlock(&lock)) << "on whatever worker";
		}
	});
	EXPECT_EQ(8 * rounds, count);
}

/* Unlocks, cancellations and deadlines of one instant, for readers and writers. */
TEST_P(Rwlock, GivingUpMeetsUnlock)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(2000, 450); round++) {
			weft_rwlock lock = WEFT_RWLOCK_INIT;
			bool reading = round % 2 == 0;
			EXPECT_EQ(0, reading ? weft_rwlock_rdlock(&lock) : weft_rwlock_wrlock(&lock));
			weft_ns then = weft_after(10 * WEFT_MS);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 6; i++) {
				bool writes = (round >> (1 + i) & 1) != 0;
				fibers.push_back(spawn([&lock, writes, then, i] {
					weft_deadline(i == 2 ? then : WEFT_FOREVER);
					int error = writes ? weft_rwlock_wrlock(&lock)
							   : weft_rwlock_rdlock(&lock);
					return error != 0 ? error : weft_rwlock_unlock(&lock);
				}));
				settle();
			}
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
				weft_cancel(fibers[3]);
			});
			weft_sleep_until(then);
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			join(canceller);
			for (int i = 0; i < 6; i++) {
				intptr_t error = join(fibers[i]);
				bool may = error == 0 || (i == 2 && error == -ETIMEDOUT) ||
					(i % 3 == 0 && error == -ECANCELED);
				EXPECT_TRUE(may) << i << ": " << error;
			}
			ASSERT_TRUE(is_free(lock));
		}
	});
}

TEST_P(Rwlock, CancelsAmongTraffic)
{
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	long one = 0, two = 0;
	std::atomic<long> written{0};
	run(GetParam(), [&] {
		weft_ns end = weft_after(2 * WEFT_SEC);
		for (long round = 0; round < times(2000, 300) && weft_now() < end; round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 8; i++)
				fibers.push_back(spawn([&, i] {
					for (int k = 0; k < 20; k++) {
						bool writes = (k + i) % 3 == 0;
						weft_deadline(i < 2 ? weft_after(k * WEFT_US)
								    : WEFT_FOREVER);
						int error = writes ? weft_rwlock_wrlock(&lock)
								   : weft_rwlock_rdlock(&lock);
						if (error != 0)
							continue;
						if (writes) {
							one++;
							written++;
						}
						if (k % 4 == 0)
							weft_yield();
						if (writes)
							two++;
						EXPECT_EQ(one, two);
						EXPECT_EQ(0, weft_rwlock_unlock(&lock));
					}
				}));
			for (int i = 0; i < 8; i += 2) {
				weft_yield();
				weft_cancel(fibers[i]);
			}
			join_all(fibers);
			ASSERT_TRUE(is_free(lock));
		}
	});
	EXPECT_EQ(written.load(), one);
}
