/* SPDX-License-Identifier: MIT */
/* sync_go_test.cc - what Go's tests of its package sync, and of the semaphores below it, assert, for weft's objects
 *
 * Law  what holds of Go's Mutex, RWMutex, Cond, WaitGroup and Once holds of weft's. Where Go panics weft returns its error and
 *      has changed nothing. (Left out: what is about panics, copies and the collector.)
 */
#include <atomic>

#include "tests/sync/parties.h"

using namespace support;
using chan_test::Chan;
using chan_test::nothing;

class SyncGo : public Workers
{
};
FOR_WORKERS(SyncGo);

/* TestSemaphore, TestMutex: ten hammers. */
TEST_P(SyncGo, HammerSemaphoreAndMutex)
{
	weft_sem sem = WEFT_SEM_INIT(1);
	weft_mutex mutex = WEFT_MUTEX_INIT;
	on_fibers(GetParam(), 0, 10, [&](int) {
		for (int i = 0; i < 1000; i++) {
			EXPECT_EQ(0, weft_sem_wait(&sem));
			EXPECT_EQ(0, weft_sem_post(&sem));
			weft_mutex_lock(&mutex);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		}
	});
	EXPECT_EQ(0, weft_sem_trywait(&sem));
	EXPECT_TRUE(is_free(mutex));
}

/* TestMutexMisuse. */
TEST_P(SyncGo, MutexMisuse)
{
	run(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
		weft_mutex_lock(&mutex);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		for (auto enter : {weft_rwlock_rdlock, weft_rwlock_wrlock}) {
			EXPECT_EQ(0, enter(&lock));
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		}
		EXPECT_TRUE(is_free(mutex));
		EXPECT_TRUE(is_free(lock));
	});
}

/* TestMutexFairness: one holds it nearly all the time, another one gets it ten times all the same. */
TEST_P(SyncGo, MutexFairness)
{
	run(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		std::atomic<bool> stop{false};
		weft_fiber *hog = spawn([&] {
			weft_ns end = weft_after(60 * WEFT_SEC);
			while (!stop && weft_now() < end) {
				weft_mutex_lock(&mutex);
				weft_sleep(100 * WEFT_US);
				weft_mutex_unlock(&mutex);
			}
			return stop.load();
		});
		weft_fiber *modest = spawn([&] {
			for (int i = 0; i < 10; i++) {
				weft_sleep(100 * WEFT_US);
				weft_mutex_lock(&mutex);
				weft_mutex_unlock(&mutex);
			}
		});
		join(modest);
		stop = true;
		EXPECT_TRUE(join(hog)) << "it took more than a minute";
	});
}

/* TestParallelReaders. */
TEST_P(SyncGo, ParallelReaders)
{
	for (int readers : {1, 3, 4}) {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		run(GetParam(), [&lock, readers] {
			Chan<nothing> locked, unlock, done;
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < readers; i++)
				fibers.push_back(spawn([&] {
					EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
					locked.put({});
					unlock.take();
					EXPECT_EQ(0, weft_rwlock_unlock(&lock));
					done.put({});
				}));
			for (int i = 0; i < readers; i++)
				locked.take(); /* all have it at once */
			for (int i = 0; i < readers; i++)
				unlock.put({});
			for (int i = 0; i < readers; i++)
				done.take();
			join_all(fibers);
		});
	}
}

/* HammerRWMutex: readers count one each, writers ten thousand. */
static void hammer_rwlock(unsigned workers, int readers, int rounds)
{
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	std::atomic<int> activity{0};
	auto read = [&] {
		for (int i = 0; i < rounds; i++) {
			EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
			int now = activity += 1;
			EXPECT_TRUE(now >= 1 && now < 10000) << now;
			if (i % 50 == 0)
				weft_yield();
			activity -= 1;
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}
	};
	auto write = [&] {
		for (int i = 0; i < rounds; i++) {
			EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
			int now = activity += 10000;
			EXPECT_EQ(10000, now);
			if (i % 50 == 0)
				weft_yield();
			activity -= 10000;
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
		}
	};
	run(workers, [&] {
		std::vector<weft_fiber *> fibers;
		fibers.push_back(spawn(write));
		for (int i = 0; i < readers / 2; i++)
			fibers.push_back(spawn(read));
		fibers.push_back(spawn(write));
		for (int i = readers / 2; i < readers; i++)
			fibers.push_back(spawn(read));
		join_all(fibers);
	});
	EXPECT_EQ(0, activity.load());
}

TEST_P(SyncGo, HammerRwlock)
{
	for (int readers : {1, 3, 5, 10})
		hammer_rwlock(GetParam(), readers, static_cast<int>(times(1000, 600)));
}

/* TestRLocker: read twice, given back twice, and a writer between. */
TEST_P(SyncGo, ReadTwiceThenWrite)
{
	run(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		Chan<nothing> wlocked(1), rlocked(1), go_on;
		nothing none;
		weft_fiber *fiber = spawn([&] {
			for (int i = 0; i < 10; i++) {
				EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
				EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
				rlocked.put({});
				go_on.take();
				EXPECT_EQ(0, weft_rwlock_unlock(&lock));
				EXPECT_EQ(-EDEADLK, weft_rwlock_wrlock(&lock)) << "Go would hang";
				EXPECT_EQ(0, weft_rwlock_unlock(&lock));
				EXPECT_EQ(0, weft_rwlock_wrlock(&lock));
				wlocked.put({});
				go_on.take();
				EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			}
		});
		for (int i = 0; i < 10; i++) {
			rlocked.take();
			EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock));
			EXPECT_EQ(-EAGAIN, wlocked.try_recv(&none)) << "the read lock was none";
			go_on.put({});
			wlocked.take();
			EXPECT_EQ(-EBUSY, weft_rwlock_tryrdlock(&lock));
			EXPECT_EQ(-EAGAIN, rlocked.try_recv(&none)) << "the write lock was none";
			go_on.put({});
		}
		join(fiber);
		EXPECT_TRUE(is_free(lock));
	});
}

/* TestCondSignal. */
TEST_P(SyncGo, CondSignal)
{
	run(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		constexpr int n = 2;
		Chan<nothing> running(n), awake(n);
		nothing none;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < n; i++)
			fibers.push_back(spawn([&] {
				weft_mutex_lock(&mutex);
				running.put({});
				EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
				awake.put({});
				weft_mutex_unlock(&mutex);
			}));
		for (int i = 0; i < n; i++)
			running.take();
		for (int i = 0; i < n; i++) {
			EXPECT_EQ(-EAGAIN, awake.try_recv(&none)) << "not asleep";
			weft_mutex_lock(&mutex);
			weft_cond_signal(&cond);
			weft_mutex_unlock(&mutex);
			awake.take();
			EXPECT_EQ(-EAGAIN, awake.try_recv(&none)) << "too many awake";
		}
		weft_cond_signal(&cond);
		join_all(fibers);
	});
}

/* TestCondSignalGenerations. */
TEST_P(SyncGo, CondSignalGenerations)
{
	run(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		constexpr int n = 100;
		Chan<nothing> running(n);
		Chan<int> awake(n);
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < n; i++) {
			fibers.push_back(spawn([&, i] {
				weft_mutex_lock(&mutex);
				running.put({});
				EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
				awake.put(i);
				weft_mutex_unlock(&mutex);
			}));
			if (i > 0) {
				EXPECT_EQ(i - 1, awake.take()) << "another one woke";
			}
			running.take();
			weft_mutex_lock(&mutex);
			weft_cond_signal(&cond);
			weft_mutex_unlock(&mutex);
		}
		EXPECT_EQ(n - 1, awake.take());
		join_all(fibers);
	});
}

/* TestCondBroadcast. */
TEST_P(SyncGo, CondBroadcast)
{
	run(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		constexpr int n = static_cast<int>(times(200, 40));
		Chan<int> running(n), awake(n);
		bool end = false;
		int none;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < n; i++)
			fibers.push_back(spawn([&, i] {
				weft_mutex_lock(&mutex);
				while (!end) {
					running.put(i);
					EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
					awake.put(i);
				}
				weft_mutex_unlock(&mutex);
			}));
		for (int round = 0; round < n; round++) {
			for (int i = 0; i < n; i++)
				running.take();
			weft_mutex_lock(&mutex);
			end = round == n - 1;
			EXPECT_EQ(-EAGAIN, awake.try_recv(&none)) << "not asleep";
			weft_cond_broadcast(&cond);
			weft_mutex_unlock(&mutex);
			std::vector<bool> seen(n);
			for (int i = 0; i < n; i++) {
				auto who = static_cast<size_t>(awake.take());
				EXPECT_FALSE(seen[who]) << "woke twice";
				seen[who] = true;
			}
		}
		EXPECT_EQ(-EAGAIN, running.try_recv(&none)) << "did not end";
		weft_cond_broadcast(&cond);
		join_all(fibers);
	});
}

/* TestRace: x goes 0, 1, 2, 3 by three parties. */
TEST_P(SyncGo, CondRace)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(2000, 600); round++) {
			weft_mutex mutex = WEFT_MUTEX_INIT;
			weft_cond cond = WEFT_COND_INIT;
			int x = 0;
			auto poll = [&](const std::function<bool()> &step) {
				weft_mutex_lock(&mutex);
				while (!step()) {
					weft_mutex_unlock(&mutex);
					weft_yield();
					weft_mutex_lock(&mutex);
				}
				weft_mutex_unlock(&mutex);
			};
			std::vector<weft_fiber *> fibers;
			fibers.push_back(spawn([&] {
				weft_mutex_lock(&mutex);
				x = 1;
				EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
				EXPECT_EQ(2, x);
				x = 3;
				weft_cond_signal(&cond);
				weft_mutex_unlock(&mutex);
			}));
			fibers.push_back(spawn([&] {
				poll([&] {
					if (x != 1)
						return false;
					x = 2;
					weft_cond_signal(&cond);
					return true;
				});
			}));
			fibers.push_back(spawn([&] {
				poll([&] {
					if (x == 2) {
						EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
						EXPECT_EQ(3, x);
						return true;
					}
					return x == 3;
				});
			}));
			join_all(fibers);
		}
	});
}

/* TestCondSignalStealing: one that begins to wait while a broadcast is under way does not take it from who waited before. */
TEST_P(SyncGo, CondSignalStealing)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(1000, 450); round++) {
			weft_mutex mutex = WEFT_MUTEX_INIT;
			weft_cond cond = WEFT_COND_INIT;
			Chan<nothing> ready;
			bool done = false;
			weft_fiber *first = spawn([&] {
				weft_deadline(weft_after(60 * WEFT_SEC));
				weft_mutex_lock(&mutex);
				ready.put({});
				int error = weft_cond_wait(&cond, &mutex);
				weft_mutex_unlock(&mutex);
				return error;
			});
			ready.take();
			weft_mutex_lock(&mutex);
			weft_mutex_unlock(&mutex);
			weft_fiber *caller = spawn([&] { weft_cond_broadcast(&cond); });
			weft_fiber *second = spawn([&] {
				weft_mutex_lock(&mutex);
				while (!done)
					EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
				weft_mutex_unlock(&mutex);
			});
			ASSERT_EQ(0, join(first)) << "not broadcast to";
			weft_mutex_lock(&mutex);
			done = true;
			weft_mutex_unlock(&mutex);
			weft_cond_broadcast(&cond);
			join(caller);
			join(second);
		}
	});
}

/* TestWaitGroup: eight times, with the same two groups. */
TEST_P(SyncGo, Waitgroup)
{
	run(GetParam(), [] {
		weft_waitgroup one = WEFT_WAITGROUP_INIT, two = WEFT_WAITGROUP_INIT;
		constexpr int n = 16;
		nothing none;
		for (int round = 0; round < 8; round++) {
			EXPECT_EQ(0, weft_waitgroup_add(&one, n));
			EXPECT_EQ(0, weft_waitgroup_add(&two, n));
			Chan<nothing> exited(n);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < n; i++)
				fibers.push_back(spawn([&] {
					EXPECT_EQ(0, weft_waitgroup_done(&one));
					EXPECT_EQ(0, weft_waitgroup_wait(&two));
					exited.put({});
				}));
			EXPECT_EQ(0, weft_waitgroup_wait(&one));
			for (int i = 0; i < n; i++) {
				EXPECT_EQ(-EAGAIN, exited.try_recv(&none)) << "too soon";
				EXPECT_EQ(0, weft_waitgroup_done(&two));
			}
			for (int i = 0; i < n; i++)
				exited.take();
			join_all(fibers);
		}
	});
}

/* TestWaitGroupMisuse 1, 2 and 3: what is a panic there, if it is seen at all, does no harm here. */
TEST_P(SyncGo, WaitgroupMisuse)
{
	run(GetParam(), [] {
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
		EXPECT_EQ(0, weft_waitgroup_done(&group));
		EXPECT_EQ(-EINVAL, weft_waitgroup_done(&group));
		for (long round = 0; round < times(20000, 3000); round++) {
			weft_waitgroup two = WEFT_WAITGROUP_INIT;
			EXPECT_EQ(0, weft_waitgroup_add(&two, 1));
			weft_fiber *waiter = spawn([&two] { return weft_waitgroup_wait(&two); });
			weft_fiber *adder = spawn([&two] {
				EXPECT_EQ(0, weft_waitgroup_add(&two, 1)); /* while another waits */
				return weft_waitgroup_done(&two);
			});
			EXPECT_EQ(0, weft_waitgroup_done(&two));
			EXPECT_EQ(0, join(waiter));
			EXPECT_EQ(0, join(adder));
		}
		for (long round = 0; round < times(20000, 3000); round++) {
			weft_waitgroup three = WEFT_WAITGROUP_INIT;
			auto done = [&three] { return weft_waitgroup_done(&three); };
			EXPECT_EQ(0, weft_waitgroup_add(&three, 1));
			weft_fiber *first = spawn(done);
			weft_fiber *again = spawn([&] {
				EXPECT_EQ(0, weft_waitgroup_wait(&three));
				/* Used again before the other wait has returned. */
				EXPECT_EQ(0, weft_waitgroup_add(&three, 1));
				weft_fiber *second = spawn(done);
				EXPECT_EQ(0, weft_waitgroup_wait(&three));
				return join(second);
			});
			EXPECT_EQ(0, weft_waitgroup_wait(&three));
			EXPECT_EQ(0, join(first));
			EXPECT_EQ(0, join(again));
		}
	});
}

/* TestWaitGroupRace, and TestWaitGroupAlign: in a struct behind a byte. */
TEST_P(SyncGo, WaitgroupRace)
{
	run(GetParam(), [] {
		for (int round = 0; round < 1000; round++) {
			struct {
				char byte;
				weft_waitgroup group;
			} x = {};
			std::atomic<int> n{0};
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 2; i++) {
				EXPECT_EQ(0, weft_waitgroup_add(&x.group, 1));
				fibers.push_back(spawn([&] {
					n++;
					EXPECT_EQ(0, weft_waitgroup_done(&x.group));
				}));
			}
			EXPECT_EQ(0, weft_waitgroup_wait(&x.group));
			EXPECT_EQ(2, n.load()) << "woke too soon";
			join_all(fibers);
		}
	});
}

/* TestOnce. */
TEST_P(SyncGo, Once)
{
	weft_once once = WEFT_ONCE_INIT;
	int one = 0;
	auto increment = [](void *arg) -> void * {
		++*static_cast<int *>(arg);
		return nullptr;
	};
	on_fibers(GetParam(), 0, 10, [&](int) {
		EXPECT_EQ(0, weft_once_do(&once, increment, &one));
		EXPECT_EQ(1, one);
	});
	EXPECT_EQ(1, one);
}

/* TestSemaHandoff: who posts and then tries to take again does not get what it gave to the one that waits. */
TEST_P(SyncGo, SemHandoff)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(5000, 900); round++) {
			weft_sem sem = WEFT_SEM_INIT(0);
			Order order;
			weft_fiber *waiter = spawn([&] {
				EXPECT_EQ(0, weft_sem_wait(&sem));
				order.add(0);
				EXPECT_EQ(0, weft_sem_post(&sem));
			});
			settle(); /* it waits */
			EXPECT_EQ(0, weft_sem_post(&sem));
			EXPECT_EQ(0, weft_sem_wait(&sem));
			order.add(1);
			join(waiter);
			ASSERT_EQ(ascending(2), order.get());
		}
	});
}

/* The treap of semaphores: many addresses at once, each with several waiters, each served in its own order. */
TEST_P(SyncGo, FairOnManyAddresses)
{
	run_virtual(GetParam(), [] {
		constexpr size_t words = static_cast<size_t>(times(500, 100));
		constexpr int waiters = 8;
		std::vector<uint32_t> word(words);
		std::vector<Order> order(words);
		std::vector<weft_fiber *> fibers;
		for (int k = 0; k < waiters; k++) {
			for (size_t i = 0; i < words; i++)
				fibers.push_back(spawn([&, i, k] {
					EXPECT_EQ(0, weft_futex_wait(&word[i], 0));
					order[i].add(k);
				}));
			settle();
		}
		for (int k = 0; k < waiters; k++) {
			for (size_t i = words; i-- > 0;)
				EXPECT_EQ(1, weft_futex_wake(&word[i], 1));
			settle();
		}
		join_all(fibers);
		for (Order &each : order)
			EXPECT_EQ(ascending(waiters), each.get());
	});
}
