/* SPDX-License-Identifier: MIT */
/* pool.c - see pool.h */
#include "sched/task/pool.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/base/alloc.h"
#include "sched/base/log.h"
#include "sched/base/seam.h"
#include "sched/sync/wait.h"
#include "sched/task/signal.h"

WF_OWNER_CODE_BEGIN

enum job_state { QUEUED, BEGUN, DONE };

struct job {
	struct wf_wait wait; /* first: publish() finds the job by it */
	struct pool *pool;
	struct job *next, *prev; /* QUEUED: in the pool's list */
	void (*fn)(void *arg);
	void *arg;
	enum job_state state;
	bool waited_for; /* the fiber is parked, or is about to be: the node may be won */
	bool broken;	 /* its fiber was interrupted after it had begun */
	int64_t since;
	pthread_t thread; /* BEGUN: who does it */
};

struct pool_thread {
	struct pool *pool;
	struct pool_thread *next; /* of the idle ones, or of those that have left */
	pthread_t pthread;
	wf_a32 woken; /* futex, and a flag */
};

struct pool {
	wf_lock lock;
	uint32_t soon, most; /* PO3 */
	wf_a32 threads;	     /* w: under the lock; futex for stop */
	bool leaving;
	struct job *first, *last;
	struct pool_thread *idle; /* the one that became so last comes first: the others may find that they are not needed */
	struct pool_thread *left; /* to be joined */
	struct wf_pool_stats stats;
};

static void interrupted(int signal)
{
	(void)signal; /* that it came is enough: EINTR */
}

/* A real-time signal of the pools' own; 0: none is left, and nothing is interrupted. One a process. */
static int breaking_signal(void)
{
	static wf_lock lock;
	static int chosen = -1;
	wf_lock_acquire(&lock);
	if (chosen < 0)
		chosen = wf_signal_reserve(interrupted);
	wf_lock_release(&lock);
	return chosen;
}

static void *pool_thread(void *arg);

/* Pool locked; unlocks it meanwhile. */
static void join_left_locked(struct pool *pool)
{
	while (pool->left != NULL) {
		struct pool_thread *thread = pool->left;
		pool->left = thread->next;
		wf_lock_release(&pool->lock);
		wf_thread_join(thread->pthread);
		wf_free(thread, sizeof(*thread));
		wf_lock_acquire(&pool->lock);
	}
}

static uint32_t threads_locked(const struct pool *pool)
{
	return wf_load_rlx32(&pool->threads); /* rlx: the lock orders it */
}

static void count_locked(struct pool *pool, int change)
{
	wf_swap_sc32(&pool->threads, threads_locked(pool) + (uint32_t)change);
	if (pool->leaving)
		wf_futex_wake(&pool->threads, 1);
}

/* One thread more; unlocks the pool meanwhile. */
static int grow_locked(struct pool *pool)
{
	count_locked(pool, 1); /* before unlocking: the bound holds */
	join_left_locked(pool);
	wf_lock_release(&pool->lock);
	struct pool_thread *thread = wf_alloc_zero(sizeof(*thread));
	int error = thread == NULL ? -ENOMEM : 0;
	pthread_t made; /* the struct is the new thread's from its start on */
	if (error == 0) {
		thread->pool = pool;
		error = wf_thread_create(&made, "weft-pool", pool_thread, thread);
	}
	wf_lock_acquire(&pool->lock);
	if (error != 0) {
		wf_free(thread, sizeof(*thread));
		count_locked(pool, -1);
	}
	return error;
}

static void append_locked(struct pool *pool, struct job *job)
{
	job->next = NULL;
	job->prev = pool->last;
	if (pool->last != NULL)
		pool->last->next = job;
	else
		pool->first = job;
	pool->last = job;
	pool->stats.queued++;
}

static void remove_locked(struct pool *pool, struct job *job)
{
	if (job->prev != NULL)
		job->prev->next = job->next;
	else
		pool->first = job->next;
	if (job->next != NULL)
		job->next->prev = job->prev;
	else
		pool->last = job->prev;
	pool->stats.queued--;
}

static void rouse_locked(struct pool *pool)
{
	struct pool_thread *thread = pool->idle;
	if (thread == NULL)
		return;
	pool->idle = thread->next;
	wf_store_rel32(&thread->woken, 1);
	wf_futex_wake(&thread->woken, 1);
}

/* The next job, BEGUN, or NULL. */
static struct job *begin_locked(struct pool *pool)
{
	struct job *job = pool->first;
	if (job == NULL)
		return NULL;
	remove_locked(pool, job);
	job->state = BEGUN;
	job->thread = pthread_self();
	int64_t waited = wf_clock_now() - job->since;
	pool->stats.jobs++;
	pool->stats.wait_ns += (uint64_t)waited;
	if ((uint64_t)waited > pool->stats.wait_max_ns)
		pool->stats.wait_max_ns = (uint64_t)waited;
	return job;
}

/* Sleeps until roused. False: nothing came, and the thread is off the list. Unlocks the pool meanwhile. */
static bool idle_locked(struct pool *pool, struct pool_thread *self)
{
	wf_store_rlx32(&self->woken, 0); /* rlx: on no list, so nobody looks */
	self->next = pool->idle;
	pool->idle = self;
	wf_lock_release(&pool->lock);
	int64_t until = wf_clock_now() + WF_POOL_IDLE_NS;
	while (wf_load_acq32(&self->woken) == 0 && wf_clock_now() < until)
		wf_futex_wait(&self->woken, 0, until);
	wf_lock_acquire(&pool->lock);
	if (wf_load_acq32(&self->woken) != 0)
		return true;
	struct pool_thread **link = &pool->idle;
	while (*link != self)
		link = &(*link)->next;
	*link = self->next;
	return false;
}

WF_OWNER_CODE_END

static void do_job(struct pool *pool, struct job *job)
{
	job->fn(job->arg);
	wf_lock_acquire(&pool->lock);
	bool broken = job->broken;
	job->state = DONE;
	bool won = job->waited_for &&
		wf_waiter_win(&job->wait.node); /* lost: its fiber looks at the state (PO1) */
	wf_lock_release(&pool->lock);
	if (won)
		wf_waiter_finish(&job->wait.node, false);
	if (broken)
		syscall(SYS_getppid); /* PO4: the last signal comes now at the latest, not in the next job */
}

static void *pool_thread(void *arg)
{
	struct pool_thread *self = arg;
	struct pool *pool = self->pool;
	int signal = breaking_signal();
	if (signal != 0) {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, signal);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	wf_lock_acquire(&pool->lock);
	for (;;) {
		struct job *job = begin_locked(pool);
		if (job != NULL) {
			wf_lock_release(&pool->lock);
			do_job(pool, job);
			wf_lock_acquire(&pool->lock);
		} else if (pool->leaving || !idle_locked(pool, self)) {
			break;
		}
	}
	self->pthread = pthread_self();
	self->next = pool->left;
	pool->left = self;
	count_locked(pool, -1);
	wf_lock_release(&pool->lock);
	return NULL;
}

WF_OWNER_CODE_BEGIN

/* weft_stop, when no fiber is left: there are no jobs. */
static void end_pool(struct wf_runtime *rt)
{
	struct pool *pool = wf_load_acqp(&rt->pool);
	wf_lock_acquire(&pool->lock);
	pool->leaving = true;
	while (pool->idle != NULL)
		rouse_locked(pool);
	uint32_t threads;
	while ((threads = threads_locked(pool)) != 0) {
		wf_lock_release(&pool->lock);
		wf_futex_wait(&pool->threads, threads, INT64_MAX);
		wf_lock_acquire(&pool->lock);
	}
	join_left_locked(pool);
	wf_lock_release(&pool->lock);
	wf_free(pool, sizeof(*pool));
}

/* The runtime's pool, made when it is first needed; NULL: no memory. */
static struct pool *pool_of(struct wf_runtime *rt)
{
	struct pool *pool = wf_load_acqp(&rt->pool); /* carries the new pool */
	if (WF_LIKELY(pool != NULL))
		return pool;
	pool = wf_alloc_zero(sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->most = rt->config.offload_threads != 0 ? rt->config.offload_threads
						     : WF_POOL_THREADS; /* 0: tests without boot */
	pool->soon = rt->worker_count > WF_POOL_SOON ? rt->worker_count : WF_POOL_SOON;
	if (pool->soon > pool->most || rt->virtual_time) /* PO3; virtual time stands still while a job waits */
		pool->soon = pool->most;
	void *expect = NULL;
	if (wf_cas_acq_relp(&rt->pool, &expect, pool)) {
		wf_store_relp(&rt->end_pool, (void *)end_pool);
		return pool;
	}
	wf_free(pool, sizeof(*pool));
	return expect;
}

static int enqueue(struct pool *pool, struct job *job)
{
	int error = 0;
	wf_lock_acquire(&pool->lock);
	append_locked(pool, job);
	if (pool->idle != NULL)
		rouse_locked(pool);
	else if (threads_locked(pool) < pool->soon)
		error = grow_locked(pool);
	/* Others will come to it, if there are any. */
	bool hopeless = error != 0 && job->state == QUEUED && threads_locked(pool) == 0;
	if (hopeless)
		remove_locked(pool, job);
	wf_lock_release(&pool->lock);
	return hopeless ? error : 0;
}

static bool publish(struct wf_wait *wait)
{
	struct job *job = (struct job *)wait;
	wf_lock_acquire(&job->pool->lock);
	bool must = job->state != DONE;
	job->waited_for = must;
	wf_lock_release(&job->pool->lock);
	return must;
}

static void break_locked(struct job *job)
{
	int signal = breaking_signal();
	if (signal != 0)
		pthread_kill(job->thread, signal); /* it has the job, so it is there */
}

/* After a wait that ended with `code`: is it over? Sets what wf_pool_run returns. */
static bool settle(struct job *job, int code, enum wf_pool_kind kind, int *result)
{
	struct pool *pool = job->pool;
	wf_lock_acquire(&pool->lock);
	job->waited_for = false;
	enum job_state state = job->state;
	bool interrupt = code == WF_WAKE_INTERRUPTED;
	*result = 0;
	if (state == QUEUED && interrupt) { /* PO1 */
		remove_locked(pool, job);
		*result = -EINTR;
	} else if (state == QUEUED && threads_locked(pool) < pool->most) {
		int error = grow_locked(pool); /* PO3. Failed: the threads that there are will come to it, if there are any */
		if (error != 0 && job->state == QUEUED && threads_locked(pool) == 0) {
			remove_locked(pool, job);
			*result = error;
		}
	} else if (state == BEGUN && kind == WF_POOL_BREAK && (interrupt || job->broken)) {
		job->broken = true;
		break_locked(job); /* PO4 */
	}
	wf_lock_release(&pool->lock);
	return state == DONE || *result != 0;
}

static int await(struct wf_worker *w, struct job *job, enum wf_pool_kind kind)
{
	struct pool *pool = job->pool;
	bool real = !w->rt->virtual_time;
	for (;;) {
		wf_lock_acquire(&pool->lock);
		enum job_state state = job->state;
		bool may_grow = state == QUEUED && threads_locked(pool) < pool->most;
		bool broken = job->broken;
		wf_lock_release(&pool->lock);
		bool deaf = broken || kind == WF_POOL_ALWAYS ||
			(state != QUEUED && kind == WF_POOL_WHOLE);
		weft_ns patience = broken ? WF_POOL_BREAK_NS : WF_POOL_PATIENCE_NS;
		job->wait.deadline = real && (broken || may_grow) ? weft_after(patience) : WEFT_FOREVER;
		int result, code = wf_wait(&job->wait, deaf ? WF_PARK_DEAF : wf_wait_masks());
		if (settle(job, code, kind, &result))
			return result;
	}
}

int wf_pool_run(void (*fn)(void *arg), void *arg, enum wf_pool_kind kind)
{
	struct wf_worker *w = wf_self();
	struct wf_runtime *rt = w->rt;
	struct pool *pool = pool_of(rt);
	if (pool == NULL)
		return -ENOMEM;
	struct job job = {
		.wait = {.publish = publish, .kind = WF_WAITS_OFFLOAD},
		.pool = pool,
		.fn = fn,
		.arg = arg,
		.since = wf_clock_now(),
	};
	if (rt->virtual_time)
		wf_add_sc32(&rt->watching, 1);
	int error = enqueue(pool, &job);
	if (error == 0)
		error = await(wf_self(), &job, kind);
	if (rt->virtual_time)
		wf_sub_sc32(&rt->watching, 1);
	return error;
}

void wf_pool_stats(struct wf_runtime *rt, struct wf_pool_stats *stats)
{
	struct pool *pool = wf_load_acqp(&rt->pool);
	*stats = (struct wf_pool_stats){0};
	if (pool == NULL)
		return;
	wf_lock_acquire(&pool->lock);
	*stats = pool->stats;
	stats->threads = threads_locked(pool);
	wf_lock_release(&pool->lock);
}

WF_OWNER_CODE_END
