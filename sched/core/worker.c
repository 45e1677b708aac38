/* SPDX-License-Identifier: MIT */
/* worker.c - the loop of a worker: tick, pick, run; and when there is nothing, search, then sleep in the ring
 *
 * What     a tick hands the queued operations to the kernel, handles what has completed, fires due timers and answers other
 *          threads' requests. Between two ticks at most WF_TICK_RUNS fibers run.
 * Rules    G1 a worker sleeps only after ID-1.4 to ID-1.6 of idle.h.
 *          G2 `searching` says whether idle.searching counts this worker; it is given up before a fiber runs.
 */
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/monitor.h"
#include "sched/core/rescue.h"
#include "sched/core/runtime.h"
#include "sched/core/spawn.h"

WF_OWNER_CODE_BEGIN

static __thread struct wf_worker *self __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) struct wf_worker *wf_self(void)
{
	__asm__ volatile(""); /* not pure: the thread may be another one at the next call (law 6) */
	return self;
}

void wf_set_self(struct wf_worker *w)
{
	self = w;
}

int64_t wf_worker_now(const struct wf_worker *w)
{
	if (WF_UNLIKELY(w->rt->virtual_time))
		return (int64_t)wf_load_sc64(&w->rt->virtual_now);
	return wf_clock_now();
}

/* Interrupts a worker that this thread has claimed out of sleep. */
static void interrupt(struct wf_runtime *rt, uint32_t worker)
{
	struct wf_thread *thread = rt->worker[worker].thread;
	rt->driver->interrupt(thread);
}

void wf_worker_notify(struct wf_worker *w, bool lone)
{
	if (!wf_shared(w))
		return;
	if (lone && w->lone_skip > 0) {
		w->lone_skip--;
		return;
	}
	int target = wf_idle_claim_any(&w->rt->idle); /* ID-1.2, ID-1.3 */
	if (target < 0)
		return;
	if (lone) {
		/* rlx: a guess about the future. */
		w->lone_skip = (1u << wf_load_rlx32(&w->fruitless)) - 1;
		wf_store_rlx32(&w->rt->worker[target].woken_by, w->index + 1);
	}
	wf_bump(w, WF_INTERRUPTS, 1);
	interrupt(w->rt, (uint32_t)target);
}

void wf_runtime_notify(struct wf_runtime *rt)
{
	int target = wf_idle_claim_any(&rt->idle); /* ID-1.2, ID-1.3 */
	if (target >= 0)
		interrupt(rt, (uint32_t)target);
}

void wf_worker_notify_one(struct wf_runtime *rt, uint32_t worker)
{
	int target = wf_idle_claim_one(&rt->idle, worker); /* ID-1.3 */
	if (target >= 0)
		interrupt(rt, (uint32_t)target);
	if (wf_idle_rouse(&rt->idle, worker)) /* I4 */
		interrupt(rt, worker);
}

void wf_op_complete(struct wf_worker *w, struct wf_op *op, int32_t result)
{
	if (WF_UNLIKELY(result == WF_OP_MOVED)) {
		wf_engine_move(w, op, wf_rescue_target(w));
		return;
	}
	if (WF_UNLIKELY(op->complete != NULL)) { /* E6 */
		wf_bump(w, WF_COMPLETIONS, 1);
		op->complete(w, op, result);
		return;
	}
	struct wf_fiber *fiber = op->fiber;
	uint64_t ticket = op->ticket;
	op->result = result;
	wf_bump(w, WF_COMPLETIONS, 1);
	wf_store_rlx32(&fiber->op_thread, 0); /* rlx: EN3, the lock orders it for those who need it */
	fiber->wake_code = WF_WAKE_OK;
	bool ended = wf_ticket_end(&fiber->word, ticket); /* E5: op may be gone from here */
	WF_CHECK(ended); /* nobody else wakes a fiber from an operation (law 4) */
	wf_make_ready(w, fiber, true);
	/* VT-1: last. rlx: one writer. */
	wf_store_rel32(&w->ops_in_flight, wf_load_rlx32(&w->ops_in_flight) - 1);
}

void wf_answer_requests(struct wf_worker *w, struct wf_worker *box)
{
	if (wf_load_acq32(&box->box) == WF_NO_FIBER)
		return;
	uint32_t index = wf_swap_sc32(&box->box, WF_NO_FIBER); /* IN-1 */
	while (index != WF_NO_FIBER) {
		struct wf_fiber *fiber = wf_fiber_at(index);
		index = fiber->box_next;
		/* Cleared before the life word is read: a request that finds it still set is seen here. */
		wf_swap_sc32(&fiber->boxed, 0);
		uint64_t life = wf_load_sc64(&fiber->life);
		/* Whoever the block holds now: if an interrupt is in force and it is parked in an operation, it must go; passes on to another
		 * thread's box when the operation is there. */
		if ((life & WF_LIFE_LIVE) && (life & WF_LIFE_INTERRUPTS) && fiber->rt == box->rt)
			wf_interrupt(w, fiber, wf_fiber_generation(life));
	}
}

/* Cancel requests of other threads for operations on this thread's engine. */
void wf_drain_box(struct wf_worker *w, struct wf_worker *box)
{
	if (WF_UNLIKELY(wf_load_acqp(&box->op_box) != NULL))
		wf_detached_drain_box(w, box);
	wf_answer_requests(w, box);
}

static uint64_t queued(const struct wf_worker *w)
{
	/* rlx: an estimate. */
	return (wf_load_rlx64(&w->deque.bottom) - wf_load_rlx64(&w->deque.top)) +
		(wf_load_rlx32(&w->ready.tail) - wf_load_rlx32(&w->ready.head));
}

/* P2 of pick.c: has the same unstarted fiber stood at the old end for too long? */
static void watch_old_end(struct wf_worker *w, int64_t now)
{
	/* rlx: an estimate. */
	uint64_t top = wf_load_rlx64(&w->deque.top);
	if (top == wf_load_rlx64(&w->deque.bottom) || top != w->old_top || w->old_since == 0) {
		w->old_top = top;
		w->old_since = now;
		w->old_first = false;
	} else if (now - w->old_since > WF_OLD_NS) {
		w->old_first = true;
	}
}

static void tick(struct wf_worker *w)
{
	w->batching = true;
	wf_drain_box(w, w);
	wf_engine_flush(w);
	/* rlx: the owner's own estimate. */
	bool unstarted = wf_load_rlx64(&w->deque.bottom) != wf_load_rlx64(&w->deque.top);
	int64_t earliest = wf_timer_earliest(&w->timers);
	if (unstarted || earliest != INT64_MAX) {
		int64_t now = wf_worker_now(w);
		watch_old_end(w, now);
		if (earliest <= now)
			wf_bump(w, WF_TIMERS_FIRED,
				wf_timer_fire_due(&w->timers, w, now, WF_TIMER_BATCH));
	}
	/* rlx: the monitor asks again. */
	if (WF_UNLIKELY(wf_load_rlx32(&w->rt->rescues) != 0))
		wf_rescue(w);
	w->batching = false;
	if (queued(w) > 1) /* this worker takes the first itself */
		wf_worker_notify(w, false);
}

/* G2, and the chain of wakes: the last searcher that finds work wakes one more. */
static void stop_searching(struct wf_worker *w, bool found)
{
	uint32_t by = wf_load_rlx32(&w->woken_by); /* rlx: a guess, as in wf_worker_notify */
	if (by != 0) {
		wf_store_rlx32(&w->woken_by, 0);
		wf_a32 *fruitless = &w->rt->worker[by - 1].fruitless;
		uint32_t level = wf_load_rlx32(fruitless);
		wf_store_rlx32(fruitless, found ? 0 : level < WF_FRUITLESS_MAX ? level + 1 : level);
	}
	if (!w->searching || !found)
		return;
	w->searching = false;
	if (wf_idle_search_found(&w->rt->idle))
		wf_worker_notify(w, false);
}

/* Looks at the others until something is found or searching no longer pays. */
static struct wf_fiber *search(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	if (!wf_shared(w))
		return wf_steal_work(w, true); /* the injection queue only */
	if (!w->searching && !wf_idle_search_begin(&rt->idle))
		return wf_steal_work(w, false);
	w->searching = true;
	int64_t start = wf_clock_now();
	int64_t spent = 0;
	do {
		struct wf_fiber *fiber = wf_steal_work(w, spent > WF_GREEDY_NS);
		if (fiber != NULL)
			return fiber;
		if (wf_engine_pending(w) || wf_load_acq32(&w->inbox) != WF_NO_FIBER ||
			wf_sees_unbound(w))
			return NULL;
		for (int i = 0; i < 32; i++)
			wf_cpu_relax();
		spent = wf_clock_now() - start;
	} while (w->short_sleep && spent < WF_SEARCH_NS);
	/* What everybody else left alone is taken now: nothing visible may remain when this worker sleeps. */
	return wf_steal_work(w, true);
}

static bool all_sleep_but(const struct wf_runtime *rt, const struct wf_worker *w)
{
	for (uint32_t i = 0; i < rt->worker_count; i++)
		if (!wf_idle_sleeps(&rt->idle, i) && i != w->index)
			return false;
	return true;
}

static uint32_t in_flight(const struct wf_runtime *rt)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < rt->worker_count; i++)
		sum += wf_load_acq32(&rt->worker[i].ops_in_flight); /* VT-1 */
	return sum;
}

/* wf_work_visible does not see those of others: only their owners can take what is there. */
static bool inboxes_empty(const struct wf_runtime *rt)
{
	for (uint32_t i = 0; i < rt->worker_count; i++)
		if (wf_load_sc32(&rt->worker[i].inbox) != WF_NO_FIBER)
			return false;
	return true;
}

/* Nothing runs, and nothing will before a timer fires. VT-1: who sleeps at both looks, and has run nothing meanwhile, has not run between them, so
 * nothing was submitted between them. A completion may be on its way out of a sleeper's engine: it is in flight until its fiber is in a queue, so the
 * queues are looked at after that. What was taken from them meanwhile is run by somebody who does not sleep at the second look, or has run. */
static bool stands_still(struct wf_runtime *rt, struct wf_worker *w)
{
	uint64_t runs = wf_all_runs(rt);
	return all_sleep_but(rt, w) && in_flight(rt) == 0 && wf_load_sc32(&rt->watching) == 0 &&
		!wf_work_visible(w) && inboxes_empty(rt) && all_sleep_but(rt, w) &&
		wf_all_runs(rt) == runs;
}

/* Virtual time jumps to the next timer if all stands still. True: there is something to run. */
static bool advance_locked(struct wf_runtime *rt, struct wf_worker *w)
{
	if (!stands_still(rt, w))
		return wf_work_visible(w);
	int64_t next = INT64_MAX;
	for (uint32_t i = 0; i < rt->worker_count; i++) {
		int64_t earliest = wf_timer_earliest(&rt->worker[i].timers);
		next = earliest < next ? earliest : next;
	}
	if (next == INT64_MAX)
		return false;
	if (next > (int64_t)wf_load_sc64(&rt->virtual_now))
		wf_swap_sc64(&rt->virtual_now, (uint64_t)next);
	for (uint32_t i = 0; i < rt->worker_count; i++)
		wf_bump(w, WF_TIMERS_FIRED,
			wf_timer_fire_due(&rt->worker[i].timers, w, next, UINT32_MAX));
	return true;
}

static bool advance_virtual_time(struct wf_runtime *rt, struct wf_worker *w)
{
	wf_lock_acquire(&rt->virtual_lock);
	bool awake = advance_locked(rt, w);
	wf_lock_release(&rt->virtual_lock);
	return awake;
}

/* Until when this worker may sleep: its next timer, or the time to give stacks back. */
static int64_t sleep_limit(struct wf_worker *w, int64_t now)
{
	if (w->rt->virtual_time)
		return INT64_MAX;
	int64_t limit = wf_timer_earliest(&w->timers);
	if (!w->trimmed) {
		if (w->idle_since == 0)
			w->idle_since = now;
		int64_t trim = w->idle_since + WF_TRIM_NS;
		limit = trim < limit ? trim : limit;
	}
	return limit;
}

static void trim_when_idle(struct wf_worker *w, int64_t now)
{
	if (w->trimmed || w->idle_since == 0 || now < w->idle_since + WF_TRIM_NS)
		return;
	wf_stack_cache_flush(w);
	w->trimmed = !wf_stack_trim(WF_TRIM_BATCH);
}

static void announce(struct wf_worker *w, bool stands)
{
	struct wf_idle *idle = &w->rt->idle;
	if (stands)
		wf_idle_stand(idle, w->index); /* I4 */
	else
		wf_idle_announce(idle, w->index, w->searching); /* ID-1.4, ID-1.5 */
	w->searching = false;
}

static void withdraw(struct wf_worker *w, bool stands)
{
	struct wf_idle *idle = &w->rt->idle;
	if (stands ? wf_idle_rouse(idle, w->index) : wf_idle_withdraw(idle, w->index))
		return;
	w->searching = !stands; /* I2: a waker counts on this worker */
	w->claims++;
}

/* Nothing to run: announce, look again, sleep. Returns when there may be something. `role`: as what it has looked for something to do. */
static void sleep_in_ring(struct wf_worker *w, enum wf_role role)
{
	struct wf_runtime *rt = w->rt;
	stop_searching(w, false);
	bool stands = role != WF_WORKS;
	announce(w, stands);
	if (wf_load_sc32(&rt->stopping) && wf_runtime_quiet(rt)) {
		wf_add_sc32(&rt->ended, 1);
		wf_futex_wake(&rt->ended, UINT32_MAX);
	}
	bool awake = wf_role(w) != role || (stands ? wf_stander_has_work(w) : wf_work_visible(w)) ||
		wf_load_sc32(&rt->leaving) != 0; /* ID-1.6 */
	if (!awake && rt->virtual_time)
		awake = advance_virtual_time(rt, w);
	if (!awake) {
		int64_t now = wf_clock_now();
		wf_bump(w, WF_SLEEPS, 1);
		w->batching = true;
		wf_engine_wait(w, sleep_limit(w, now));
		w->batching = false;
		int64_t woke = wf_clock_now();
		w->short_sleep = woke - now < WF_SEARCH_NS;
		trim_when_idle(w, woke);
	}
	withdraw(w, stands);
	wf_monitor_poke(rt);
}

/* A fiber that spawns and joins hands over to its child, and that one back, past all queues: for a tick at most, then who is in them comes first. */
static struct wf_fiber *relieve(struct wf_worker *w, struct wf_fiber *fiber)
{
	struct wf_fiber *other = wf_pick(w);
	if (other == NULL)
		return fiber;
	wf_requeue(w, fiber);
	return other;
}

static struct wf_fiber *next_fiber(struct wf_worker *w)
{
	for (;;) {
		bool spent = w->budget <= 0;
		if (spent || w->handoff == NULL)
			w->budget = WF_TICK_RUNS;
		tick(w);
		enum wf_role role = wf_role(w);
		if (WF_UNLIKELY(role != WF_WORKS)) {
			if (wf_stand_by(w, &role) || wf_load_sc32(&w->rt->leaving))
				return NULL;
			sleep_in_ring(w, role);
			continue;
		}
		struct wf_fiber *fiber = w->handoff;
		w->handoff = NULL;
		if (fiber != NULL && spent)
			fiber = relieve(w, fiber);
		else if (fiber == NULL)
			fiber = wf_pick(w);
		if (fiber == NULL)
			fiber = search(w);
		if (fiber == NULL && wf_load_sc32(&w->rt->leaving))
			return NULL;
		if (fiber != NULL) {
			stop_searching(w, true);
			w->idle_since = 0;
			w->trimmed = false;
			return fiber;
		}
		sleep_in_ring(w, role); /* what is pending ends the sleep at once; `pending` itself is only a hint */
	}
}

void wf_worker_loop(struct wf_worker *w)
{
	struct wf_fiber *fiber;
	wf_store_rlx32(&w->after.kind, WF_AFTER_SCHEDULER); /* rlx: RS3 of rescue.h */
	while ((fiber = next_fiber(w)) != NULL)
		wf_switch_to(w, fiber);
	if (w->searching)
		wf_idle_search_found(&w->rt->idle);
	w->searching = false;
	wf_drain_box(w, w); /* a request that came after the last tick must not leave its block marked as boxed */
	wf_tsan_acquire(w);
}

WF_OWNER_CODE_END
