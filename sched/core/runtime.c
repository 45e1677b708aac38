/* SPDX-License-Identifier: MIT */
/* runtime.c - start, submit and stop; see runtime.h */
#include "sched/core/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sched/base/alloc.h"
#include "sched/base/log.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/leaks.h"
#include "sched/core/look.h"
#include "sched/core/monitor.h"
#include "sched/core/rescue.h"
#include "sched/core/spawn.h"

/* Virtual clocks do not start at zero, so that zero keeps its meaning of "long ago". */
#define VIRTUAL_START 1000000000

static struct wf_runtime runtimes[WF_RUNTIMES_MAX];
static wf_lock table_lock;
static uint32_t runtimes_used;

static int describe_current(char *buffer, size_t size)
{
	struct wf_fiber *fiber = wf_current();
	return fiber == NULL ? 0 : wf_fiber_describe(fiber, buffer, size);
}

static struct wf_runtime *take_slot(void)
{
	struct wf_runtime *rt = NULL;
	wf_lock_acquire(&table_lock);
	for (uint32_t i = 0; i < WF_RUNTIMES_MAX && rt == NULL; i++) {
		if (runtimes[i].used)
			continue;
		rt = &runtimes[i];
		rt->used = true;
		wf_store_rlx32(&rt->by_run, 0); /* rlx: a fact for reports */
		if (rt->slot != i)		/* dumps read it at any time: once only */
			rt->slot = i;
		if (runtimes_used++ == 0) {
			wf_fatal_who = describe_current;
			wf_overflow_install();
			wf_look_install();
			wf_fork_install();
		}
	}
	wf_lock_release(&table_lock);
	return rt;
}

static void give_slot(struct wf_runtime *rt)
{
	wf_lock_acquire(&table_lock);
	rt->used = false;
	if (--runtimes_used == 0) {
		wf_look_remove();
		wf_overflow_remove();
	}
	wf_lock_release(&table_lock);
}

bool wf_runtimes_by_run(uint32_t *runners)
{
	*runners = 0;
	wf_lock_acquire(&table_lock);
	uint32_t used = runtimes_used;
	for (uint32_t i = 0; i < WF_RUNTIMES_MAX; i++)
		*runners += runtimes[i].used && wf_load_rlx32(&runtimes[i].by_run) != 0; /* rlx: as above */
	wf_lock_release(&table_lock);
	return *runners == used;
}

struct wf_runtime *wf_runtime_hold(uint32_t slot)
{
	struct wf_runtime *rt = &runtimes[slot];
	wf_add_sc32(&rt->lookers, 1); /* RT-4 */
	if (wf_load_sc32(&rt->shown)) /* RT-4 */
		return rt;
	wf_sub_sc32(&rt->lookers, 1);
	return NULL;
}

void wf_runtime_let(struct wf_runtime *rt)
{
	wf_sub_sc32(&rt->lookers, 1);
}

/* U5: who looks takes some milliseconds at most. */
static void hide(struct wf_runtime *rt)
{
	wf_swap_sc32(&rt->shown, 0);		/* RT-4 */
	while (wf_load_sc32(&rt->lookers) != 0) /* RT-4 */
		wf_pause(1000000);
}

static void free_workers(struct wf_runtime *rt)
{
	for (uint32_t i = 0; i < rt->slots && rt->worker != NULL; i++) {
		wf_deque_free(&rt->worker[i].deque);
		wf_ready_free(&rt->worker[i].ready);
	}
	wf_free_lines(rt->worker, rt->slots * sizeof(struct wf_worker));
	wf_free_lines(rt->thread, rt->slots * sizeof(struct wf_thread));
	rt->worker = NULL;
	rt->thread = NULL;
}

static int make_workers(struct wf_runtime *rt)
{
	uint32_t n = rt->slots;
	rt->worker = wf_alloc_lines(n * sizeof(struct wf_worker));
	rt->thread = wf_alloc_lines(n * sizeof(struct wf_thread));
	int error = rt->worker == NULL || rt->thread == NULL ? -ENOMEM : 0;
	for (uint32_t i = 0; i < n && error == 0; i++) {
		struct wf_worker *w = &rt->worker[i];
		w->rt = rt;
		w->index = i;
		wf_store_rlx32(&w->shared, rt->all_shared || i > 0); /* rlx: before the threads */
		w->bound = rt->worker_count == 1 && rt->slots > 1;
		wf_store_rlx32(&w->gated, w->bound && i > 0); /* rlx: as above */
		w->inject_turn = 1;
		w->random = wf_random_seed();
		w->thread = &rt->thread[i];
		w->thread->worker = w;
		w->thread->slot = i;
		w->thread->driver = rt->driver;
		wf_timer_heap_init(&w->timers);
		error = wf_deque_init(&w->deque);
		if (error == 0)
			error = wf_ready_init(&w->ready);
	}
	if (error != 0)
		free_workers(rt);
	return error;
}

static void find_own_stack(struct wf_thread *thread)
{
	pthread_attr_t attr;
	void *low = NULL;
	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	pthread_attr_getstack(&attr, &low, &thread->stack_bytes);
	thread->stack_bottom = low;
	pthread_attr_destroy(&attr);
}

static void report(wf_a32 *word)
{
	wf_add_sc32(word, 1);
	wf_futex_wake(word, UINT32_MAX);
}

static void wait_count(wf_a32 *word, uint32_t count)
{
	uint32_t seen;
	while ((seen = wf_load_sc32(word)) < count)
		wf_futex_wait(word, seen, INT64_MAX);
}

void wf_thread_open(struct wf_thread *thread)
{
	struct wf_worker *w = thread->worker;
	struct wf_runtime *rt = w->rt;
	wf_set_self(w);
	w->errno_address = wf_errno_address();
	thread->tsan = wf_tsan_self();
	wf_look_thread_init(thread);
	find_own_stack(thread);
	thread->open_error = wf_overflow_thread_init(thread);
	if (thread->open_error != 0)
		return;
	thread->open_error = rt->driver->open(thread, &rt->config);
	wf_lock_acquire(&thread->lock);
	thread->engine_open = thread->open_error == 0;
	wf_lock_release(&thread->lock);
}

void wf_thread_close(struct wf_thread *thread)
{
	wf_stack_cache_flush(thread->worker);
	wf_fiber_cache_flush(thread->worker);
	wf_look_thread_end(thread); /* LK4 of look.h */
	wf_engine_close(thread);
	wf_overflow_thread_end(thread);
	wf_set_self(NULL);
}

/* Nobody closes an engine that somebody may still interrupt: all loops have ended, and stop's own wakes too. */
void wf_runtime_meet(struct wf_runtime *rt)
{
	report(&rt->left);
	wait_count(&rt->left, rt->meeting);
	wf_detached_end_all(wf_self()->thread);
}

static void *worker_thread(void *arg)
{
	struct wf_thread *thread = arg;
	struct wf_worker *w = thread->worker;
	struct wf_runtime *rt = w->rt;
	wf_thread_open(thread);
	report(&rt->opened);
	/* The extra one is the starter's, who has looked at all results: then all workers begin, or leave. */
	wait_count(&rt->opened, rt->worker_count + 1);
	if (!wf_load_sc32(&rt->start_failed)) {
		wf_worker_loop(w);
		wf_runtime_meet(rt);
	}
	wf_thread_close(thread);
	return NULL;
}

static void join_threads(struct wf_runtime *rt, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		wf_thread_join(rt->thread[i].pthread);
}

static int start_threads(struct wf_runtime *rt)
{
	uint32_t started = 0;
	int error = 0;
	for (; started < rt->worker_count && error == 0; started++) {
		char name[32];
		snprintf(name, sizeof(name), "weft-%u", started);
		error = wf_thread_create(
			&rt->thread[started].pthread, name, worker_thread, &rt->thread[started]);
		if (error != 0) {
			wf_log(WF_LOG_ALWAYS, "worker thread %u of %u could not be made: %s",
				started + 1, rt->worker_count, strerror(-error));
			break;
		}
	}
	if (error == 0) {
		wait_count(&rt->opened, rt->worker_count);
		for (uint32_t i = 0; i < rt->worker_count && error == 0; i++)
			error = rt->thread[i].open_error;
	} else {
		wait_count(&rt->opened, started);
	}
	if (error == 0) {
		report(&rt->opened);
		return 0;
	}
	wf_swap_sc32(&rt->start_failed, 1);
	wf_swap_sc32(&rt->opened, rt->worker_count + 1);
	wf_futex_wake(&rt->opened, UINT32_MAX);
	join_threads(rt, started);
	return error;
}

static void reset(struct wf_runtime *rt, const weft_config *config, const struct wf_driver *driver)
{
	rt->driver = driver;
	rt->config = *config;
	rt->worker_count = config->workers;
	rt->virtual_time = (config->flags & WEFT_VIRTUAL_TIME) != 0;
	rt->reports_leaks = (config->flags & WEFT_LEAK_REPORT) != 0;
	memset(&rt->idle, 0, sizeof(rt->idle));
	rt->slots = config->workers +
		(config->rescue == WEFT_RESCUE_OFF || rt->virtual_time ? 0 : WF_SPARES_MAX);
	rt->rescuing = rt->slots > config->workers;
	rt->all_shared = config->workers > 1;
	rt->idle.workers = config->workers;
	rt->idle.spares = rt->slots - config->workers;
	wf_store_rlx32(&rt->reach, config->workers); /* rlx: as below */
	wf_store_rlx32(&rt->rescues, 0);
	memset(rt->long_seen, 0, sizeof(rt->long_seen));
	rt->long_window = 0;
	rt->long_lines = rt->long_unsaid = 0;
	rt->long_report = NULL;
	wf_store_rlx32(&rt->baton, 0);
	wf_store_rlx32(&rt->baton_wanted, 0);
	wf_store_rlx32(&rt->unbound, WF_NO_FIBER);
	rt->inject_head = rt->inject_tail = NULL;
	/* rlx: no thread of this runtime exists yet. */
	wf_store_rlx32(&rt->injected, 0);
	wf_store_rlx32(&rt->stopping, 0);
	wf_store_rlx32(&rt->leaving, 0);
	wf_store_rlx32(&rt->opened, 0);
	wf_store_rlx32(&rt->start_failed, 0);
	wf_store_rlx32(&rt->left, 0);
	wf_store_rlx32(&rt->ended, 0);
	wf_store_rlx64(&rt->outside_spawned, 0);
	wf_store_rlx64(&rt->coarse_now, (uint64_t)wf_clock_now());
	wf_store_rlx64(&rt->virtual_now, VIRTUAL_START);
	wf_store_rlx32(&rt->watching, 0);
	wf_store_rlxp(&rt->pool, NULL);
	wf_store_rlxp(&rt->end_pool, NULL);
}

int wf_runtime_start(struct wf_runtime **out, const weft_config *config, const struct wf_driver *driver)
{
	*out = NULL;
	int pool = wf_stack_pool(config->stack_size);
	if (pool < 0)
		return pool;
	struct wf_runtime *rt = take_slot();
	if (rt == NULL) {
		wf_log(WF_LOG_ALWAYS, "%d runtimes run already: stop one first", WF_RUNTIMES_MAX);
		return -EAGAIN;
	}
	reset(rt, config, driver);
	rt->stack_pool = (uint32_t)pool;
	int error = make_workers(rt);
	if (error != 0)
		goto no_workers;
	error = wf_monitor_start(rt);
	if (error != 0)
		goto no_monitor;
	wf_swap_sc32(&rt->shown, 1); /* RT-4 */
	error = start_threads(rt);
	if (error != 0)
		goto no_threads;
	*out = rt;
	return 0;

no_threads:
	wf_monitor_stop(rt);
	hide(rt);
no_monitor:
	free_workers(rt);
no_workers:
	give_slot(rt);
	return error;
}

WF_OWNER_CODE_BEGIN

void wf_inject(struct wf_runtime *rt, struct wf_fiber *head, struct wf_fiber *tail, uint32_t count)
{
	tail->next = WF_NO_FIBER;
	wf_lock_acquire(&rt->inject_lock);
	if (rt->inject_tail != NULL)
		rt->inject_tail->next = head->index;
	else
		rt->inject_head = head;
	rt->inject_tail = tail;
	wf_add_sc32(&rt->injected, count); /* RT-1, ID-1.1 */
	wf_lock_release(&rt->inject_lock);
}

struct wf_fiber *wf_inject_take(struct wf_runtime *rt, uint32_t most, uint32_t *count)
{
	*count = 0;
	wf_lock_acquire(&rt->inject_lock);
	struct wf_fiber *head = rt->inject_head;
	struct wf_fiber *last = NULL;
	for (struct wf_fiber *at = head; at != NULL && *count < most; (*count)++) {
		last = at;
		at = at->next != WF_NO_FIBER ? wf_fiber_at(at->next) : NULL;
	}
	if (last != NULL) {
		rt->inject_head = last->next != WF_NO_FIBER ? wf_fiber_at(last->next) : NULL;
		if (rt->inject_head == NULL)
			rt->inject_tail = NULL;
		wf_sub_sc32(&rt->injected, *count); /* RT-1 */
	}
	wf_lock_release(&rt->inject_lock);
	return head;
}

WF_OWNER_CODE_END

int wf_runtime_submit(struct wf_runtime *rt, weft_fn fn, void *arg, const void *site)
{
	int error;
	/* U1, U2: the reference comes first, so that a stop that this call has not seen waits for it. */
	wf_add_sc32(&rt->references, 1); /* RT-3 */
	if (wf_load_sc32(&rt->stopping)) {
		wf_sub_sc32(&rt->references, 1);
		return -ESHUTDOWN;
	}
	struct wf_fiber *fiber = wf_fiber_take(NULL, &error);
	if (fiber != NULL) {
		error = wf_stack_take_sized(rt->stack_pool, &fiber->stack);
		if (error != 0)
			wf_fiber_recycle(NULL, fiber);
	}
	if (error == 0) {
		wf_add_sc64(&rt->outside_spawned, 1);
		wf_fiber_fill(fiber, rt, fn, arg, WF_LIFE_DETACHED, site);
		fiber->flags = WF_FIBER_STACK;
		wf_inject(rt, fiber, fiber, 1);
		wf_runtime_notify(rt);
	}
	wf_sub_sc32(&rt->references, 1);
	return error;
}

bool wf_runtime_quiet(struct wf_runtime *rt)
{
	uint64_t ended = 0, spawned = 0;
	uint32_t reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++)
		ended += wf_load_sc64(&rt->worker[i].counter[WF_ENDED]);
	reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++)
		spawned += wf_load_sc64(&rt->worker[i].counter[WF_SPAWNED]);
	return ended == spawned + wf_load_sc64(&rt->outside_spawned);
}

void wf_runtime_cancel_all(struct wf_runtime *rt)
{
	uint32_t size = wf_fiber_table_size();
	for (uint32_t i = 1; i < size; i++) {
		struct wf_fiber *fiber = wf_fiber_at(i);
		uint64_t life = wf_load_sc64(&fiber->life);
		if (!(life & WF_LIFE_LIVE) || (life & (WF_LIFE_ENDED | WF_LIFE_SCOPED)) || fiber->rt != rt)
			continue;
		uint32_t generation = wf_fiber_generation(life);
		uint64_t before;
		if (wf_life_set(fiber, generation, WF_LIFE_CANCEL, WF_LIFE_ENDED, &before)) { /* WK-1.3 */
			wf_cancelled_opener(NULL, fiber, before);
			wf_interrupt(NULL, fiber, generation);
		}
	}
}

/* Ended fibers that nobody joined give their blocks back. Claimed as by a join: a fiber of another runtime may be about to
 * take the result of one of them, and then recycles it itself. */
static void recycle_unjoined(struct wf_runtime *rt)
{
	struct wf_leaks leaks = {0};
	uint32_t size = wf_fiber_table_size();
	for (uint32_t i = 1; i < size; i++) {
		struct wf_fiber *fiber = wf_fiber_at(i);
		uint64_t life = wf_load_sc64(&fiber->life);
		uint64_t before;
		if ((life & WF_LIFE_ENDED) && fiber->rt == rt &&
			wf_life_set(fiber, wf_fiber_generation(life), WF_LIFE_CLAIMED,
				WF_LIFE_CLAIMED | WF_LIFE_DETACHED, &before)) {
			if (rt->reports_leaks)
				wf_leaks_add(&leaks, fiber);
			wf_fiber_recycle(NULL, fiber);
		}
	}
	wf_leaks_report(&leaks);
}

/* Until all fibers have ended; who does not is named. */
static void await_quiet(struct wf_runtime *rt)
{
	int64_t say = wf_clock_now() + WF_STOP_SAYS_NS;
	for (;;) {
		uint32_t seen = wf_load_sc32(&rt->ended);
		if (wf_runtime_quiet(rt))
			return;
		wf_futex_wait(&rt->ended, seen, say);
		if (wf_clock_now() < say)
			continue;
		void (*survivors)(struct wf_runtime *) =
			(void (*)(struct wf_runtime *))wf_load_acqp(&wf_survivors);
		if (survivors != NULL)
			survivors(rt);
		say = wf_clock_now() + WF_STOP_SAYS_AGAIN_NS;
	}
}

void wf_runtime_stop(struct wf_runtime *rt)
{
	wf_swap_sc32(&rt->stopping, 1); /* RT-2 */
	/* U1: submits that came before `stopping` finish. */
	while (wf_load_sc32(&rt->references) != 0)
		wf_futex_wait(&rt->references, wf_load_sc32(&rt->references), wf_clock_now() + 1000000);
	wf_runtime_cancel_all(rt);
	await_quiet(rt);
	/* Wakers of other runtimes may still be between their ticket and their last touch. */
	while (wf_load_sc32(&rt->references) != 0)
		wf_futex_wait(&rt->references, wf_load_sc32(&rt->references), wf_clock_now() + 1000000);
	void (*end_pool)(struct wf_runtime *) =
		(void (*)(struct wf_runtime *))wf_load_acqp(&rt->end_pool);
	if (end_pool != NULL)
		end_pool(rt);
	wf_monitor_stop(rt);
	rt->meeting = rt->worker_count + wf_spares_settle(rt) + 1;
	wf_swap_sc32(&rt->leaving, 1);
	for (uint32_t i = 0; i < wf_reach(rt); i++)
		wf_worker_notify_one(rt, i);
	report(&rt->left);
	join_threads(rt, rt->worker_count);
	wf_spares_end(rt);
	hide(rt);
	recycle_unjoined(rt);
	for (uint32_t i = 0; i < rt->slots; i++)
		wf_timer_heap_free(&rt->worker[i].timers);
	free_workers(rt);
	give_slot(rt);
}
