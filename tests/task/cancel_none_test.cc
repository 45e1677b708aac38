/* SPDX-License-Identifier: MIT */
/* cancel_none_test.cc - the calls that are no cancellation points, and the corners of those that are
 *
 * Law  a fiber that is cancelled and late, by itself and by its scope, can still do all that fiber.h's table does not call a cancellation
 *      point: give things back, wake others, close, lock a mutex, wait for its children.
 */
#include <algorithm>
#include <atomic>
#include <fcntl.h>

#include "tests/core/support.h"

using namespace support;

class CancelNone : public Workers
{
};
FOR_WORKERS(CancelNone);

/* Runs body in a fiber for which everything is in force, in a scope of its own. */
static void under_all_levels(const std::function<void(weft_scope &)> &body)
{
	join(spawn([&body] {
		weft_scope scope;
		EXPECT_EQ(0, weft_scope_open(&scope, 0));
		EXPECT_EQ(0, weft_scope_cancel(&scope));
		EXPECT_EQ(0, weft_cancel(weft_self()));
		weft_deadline(0);
		EXPECT_EQ(-ECANCELED, weft_check());
		body(scope);
		EXPECT_EQ(-ECANCELED, weft_check());
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scope));
	}));
}

static void *return_arg(void *arg)
{
	return arg;
}

static int shielded_nap(void *)
{
	weft_shield(true);
	return weft_sleep(WEFT_MS);
}

TEST_P(CancelNone, FibersAndTime)
{
	run_virtual(GetParam(), [] {
		weft_fiber *other = spawn([] { return weft_sleep(WEFT_FOREVER); });
		under_all_levels([other](weft_scope &) {
			weft_yield();
			EXPECT_EQ(0, weft_sleep(0));
			EXPECT_EQ(0, weft_sleep(-1));
			EXPECT_EQ(-ECANCELED, weft_sleep_until(0)) << "this one looks, and then yields";
			weft_fiber *child = nullptr;
			EXPECT_EQ(0, weft_spawn(&child, return_arg, nullptr));
			EXPECT_EQ(0, weft_detach(child));
			EXPECT_EQ(0, weft_go(return_arg, nullptr));
			EXPECT_EQ(0, weft_cancel(other));
		});
		EXPECT_EQ(-ECANCELED, join(other));
	});
}

TEST_P(CancelNone, ScopesAreOpenedFilledAndClosed)
{
	run_virtual(GetParam(), [] {
		under_all_levels([](weft_scope &scope) {
			weft_scope inner;
			EXPECT_EQ(0, weft_scope_open(&inner, WEFT_FOREVER));
			EXPECT_EQ(0, weft_scope_spawn(&inner, shielded_nap, nullptr));
			EXPECT_EQ(0, weft_scope_spawn(&scope, shielded_nap, nullptr));
			EXPECT_EQ(0, weft_scope_cancel(&inner));
			EXPECT_EQ(-ECANCELED, weft_scope_close(&inner));
			EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now()) << "it waited";
		});
	});
}

/* Contended: it parks, and nothing cuts the wait short. */
TEST_P(CancelNone, MutexLock)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_fiber *holder = spawn([&mutex] {
			weft_mutex_lock(&mutex);
			EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		});
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		under_all_levels([&mutex](weft_scope &) {
			weft_mutex_lock(&mutex);
			EXPECT_EQ(WEFT_SEC + 5 * WEFT_MS, weft_now());
			EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex));
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			EXPECT_EQ(0, weft_mutex_trylock(&mutex));
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		});
		join(holder);
	});
}

/* Cancelled while it waits, it wakes; but it comes back only when it has the mutex again. */
TEST_P(CancelNone, CondWaitLocksAgain)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		weft_fiber *waiter = spawn([&] {
			weft_mutex_lock(&mutex);
			EXPECT_EQ(-ECANCELED, weft_cond_wait(&cond, &mutex));
			EXPECT_EQ(WEFT_SEC + 9 * WEFT_MS, weft_now());
			EXPECT_EQ(-ECANCELED, weft_cond_wait(&cond, &mutex))
				<< "in force, it does not let go";
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		});
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		weft_mutex_lock(&mutex);
		weft_cancel(waiter);
		EXPECT_EQ(0, weft_sleep(8 * WEFT_MS));
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		join(waiter);
	});
}

TEST_P(CancelNone, Synchronisation)
{
	run_virtual(GetParam(), [] {
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		weft_cond cond = WEFT_COND_INIT;
		weft_event event = WEFT_EVENT_INIT;
		weft_sem sem = WEFT_SEM_INIT(1);
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		uint32_t word = 0;
		under_all_levels([&](weft_scope &) {
			EXPECT_EQ(0, weft_rwlock_tryrdlock(&lock));
			EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(&lock));
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			EXPECT_EQ(0, weft_rwlock_trywrlock(&lock));
			EXPECT_EQ(0, weft_rwlock_unlock(&lock));
			EXPECT_EQ(0, weft_sem_trywait(&sem));
			EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem));
			EXPECT_EQ(0, weft_sem_post(&sem));
			EXPECT_EQ(0, weft_waitgroup_add(&group, 1));
			EXPECT_EQ(0, weft_waitgroup_done(&group));
			EXPECT_EQ(0, weft_futex_wake(&word, 1));
			weft_cond_signal(&cond);
			weft_cond_broadcast(&cond);
			weft_event_set(&event);
		});
		EXPECT_EQ(0, weft_event_wait(&event));
	});
}

TEST_P(CancelNone, TryFormsOfChannels)
{
	run_virtual(GetParam(), [] {
		weft_chan *chan = nullptr;
		ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 1));
		under_all_levels([chan](weft_scope &) {
			int value = 5, got = 0;
			weft_case cases[] = {{WEFT_CASE_RECV, chan, &got, -1, 77}};
			EXPECT_EQ(-EAGAIN, weft_select(cases, 1, 0));
			EXPECT_EQ(0, weft_chan_try_send(chan, &value));
			EXPECT_EQ(-EAGAIN, weft_chan_try_send(chan, &value));
			EXPECT_EQ(0, weft_select(cases, 1, 0)) << "with deadline 0 it is none";
			EXPECT_EQ(5, got);
			EXPECT_EQ(-EAGAIN, weft_chan_try_recv(chan, &got));
			EXPECT_EQ(-ECANCELED, weft_select(cases, 1, 1));
			EXPECT_EQ(-ECANCELED, weft_select(nullptr, 0, WEFT_FOREVER));
			EXPECT_EQ(0, weft_chan_close(chan));
			EXPECT_EQ(-ECANCELED, weft_chan_recv(chan, &got)) << "before -EPIPE";
			EXPECT_EQ(-ECANCELED, weft_chan_send(chan, &got));
			weft_chan *other = nullptr;
			EXPECT_EQ(0, weft_chan_new(&other, 1, 1));
			weft_chan_free(other);
		});
		weft_chan_free(chan);
	});
}

TEST_P(CancelNone, TickersEnd)
{
	run_virtual(GetParam(), [] {
		under_all_levels([](weft_scope &) {
			weft_ticker *ticker = nullptr;
			EXPECT_EQ(0, weft_ticker_new(&ticker, weft_after(WEFT_MS), WEFT_MS));
			weft_ticker_free(ticker);
		});
	});
}

/* A ticker is nobody's child: the scope it was made in does not end it. */
TEST_P(CancelNone, TickersGoOn)
{
	run_virtual(GetParam(), [] {
		weft_ticker *ticker = nullptr;
		under_all_levels([&ticker](weft_scope &) {
			EXPECT_EQ(0, weft_ticker_new(&ticker, weft_after(WEFT_MS), WEFT_MS));
		});
		for (int i = 1; i <= 3; i++) {
			weft_ns due = 0;
			EXPECT_EQ(0, weft_chan_recv(weft_ticker_chan(ticker), &due));
			EXPECT_EQ(WEFT_SEC + i * WEFT_MS, due);
		}
		weft_ticker_free(ticker);
	});
}

TEST_P(CancelNone, DescriptorsAreClosed)
{
	run_virtual(GetParam(), [] {
		int pipes[2];
		ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
		/* A number that stays free: the lowest may go to a file that the monitor reads. */
		int high = fcntl(pipes[0], F_DUPFD_CLOEXEC, 300);
		ASSERT_GE(high, 300);
		under_all_levels([&](weft_scope &) {
			for (int fd : {pipes[0], pipes[1], high})
				EXPECT_EQ(0, weft_close(fd));
		});
		EXPECT_EQ(-EBADF, weft_close(high));
	});
}

static std::atomic<int> once_ran;

static void *count_run(void *)
{
	once_ran++;
	return nullptr;
}

/* Looked at first, also when there would be nothing to wait for; what was not run can still be. */
TEST_P(CancelNone, OnceIsNotRunByACallThatFails)
{
	run_virtual(GetParam(), [] {
		weft_once once = WEFT_ONCE_INIT;
		once_ran = 0;
		under_all_levels([&once](weft_scope &) {
			EXPECT_EQ(-ECANCELED, weft_once_do(&once, count_run, nullptr));
		});
		EXPECT_EQ(0, once_ran.load());
		EXPECT_EQ(0, weft_once_do(&once, count_run, nullptr));
		under_all_levels([&once](weft_scope &) {
			EXPECT_EQ(-ECANCELED, weft_once_do(&once, count_run, nullptr))
				<< "though it is done";
		});
		EXPECT_EQ(1, once_ran.load());
	});
}

/* The runner is cancelled within the function; that does not undo it. */
TEST_P(CancelNone, OnceIsDoneByACancelledRunner)
{
	run_virtual(GetParam(), [] {
		weft_once once = WEFT_ONCE_INIT;
		weft_fiber *runner = spawn([&once] {
			auto fn = [](void *) -> void * {
				EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_FOREVER));
				return nullptr;
			};
			return weft_once_do(&once, fn, nullptr);
		});
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		weft_fiber *waiter =
			spawn([&once] { return weft_once_do(&once, count_run, nullptr); });
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		once_ran = 0;
		weft_cancel(runner);
		EXPECT_EQ(0, join(runner)) << "fn has ended";
		EXPECT_EQ(0, join(waiter));
		EXPECT_EQ(0, once_ran.load());
	});
}

/* The call's own deadline is apart from the fiber's and the scope's. */
TEST_P(CancelNone, DeadlinesThatCallsTake)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		EXPECT_EQ(0, weft_mutex_lock_by(&mutex, 0)) << "free, so late does not matter";
		weft_fiber *waiter = spawn([&mutex] {
			weft_ns start = weft_now();
			for (weft_ns own : {WEFT_MS, 3 * WEFT_MS})
				for (weft_ns given : {2 * WEFT_MS, 5 * WEFT_MS}) {
					weft_ns from = weft_now();
					weft_deadline(weft_after(own));
					EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, from + given));
					EXPECT_EQ(from + std::min(own, given), weft_now());
					EXPECT_EQ(own <= given ? -ETIMEDOUT : 0, weft_check());
					weft_deadline(WEFT_FOREVER);
				}
			weft_scope scope;
			EXPECT_EQ(0, weft_scope_open(&scope, start + 20 * WEFT_MS));
			EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, start + 15 * WEFT_MS));
			EXPECT_EQ(0, weft_check());
			EXPECT_EQ(-ETIMEDOUT, weft_select(nullptr, 0, start + 18 * WEFT_MS));
			EXPECT_EQ(0, weft_check());
			EXPECT_EQ(-ETIMEDOUT, weft_select(nullptr, 0, start + 25 * WEFT_MS));
			EXPECT_EQ(start + 20 * WEFT_MS, weft_now());
			EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
			EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, 0));
		});
		join(waiter);
		weft_deadline(0);
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, WEFT_FOREVER))
			<< "levels are looked at first";
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(-EDEADLK, weft_mutex_lock_by(&mutex, WEFT_FOREVER));
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		weft_deadline(0);
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, WEFT_FOREVER))
			<< "the fiber's own, though free";
		weft_deadline(WEFT_FOREVER);
	});
}
