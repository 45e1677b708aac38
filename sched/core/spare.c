/* SPDX-License-Identifier: MIT */
/* spare.c - the life of a spare; see rescue.h */
#include <errno.h>
#include <stdio.h>

#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/monitor.h"
#include "sched/core/rescue.h"

WF_OWNER_CODE_BEGIN

static enum wf_spare_state state_of(const struct wf_worker *w)
{
	return (enum wf_spare_state)wf_load_sc32(&w->spare); /* RS5 */
}

bool wf_spare_retires(const struct wf_worker *w)
{
	return state_of(w) == WF_SPARE_RETIRES;
}

bool wf_stander_has_work(const struct wf_worker *w)
{
	/* RS-2: a spare that has the baton passes it on. */
	return wf_load_sc32(&w->rt->baton) == w->index || w->unmoved ||
		wf_load_sc32(&w->box) != WF_NO_FIBER || wf_load_scp(&w->op_box) != NULL ||
		wf_load_scp(&w->thread->queue) != NULL || !wf_ready_empty_sc(&w->ready) ||
		!wf_deque_empty_sc(&w->deque) || wf_load_scp(&w->next) != NULL;
}

/* Whatever it could run, it makes ready for others. */
static void give_away_fibers(struct wf_worker *w)
{
	struct wf_fiber *fiber = w->handoff;
	w->handoff = NULL;
	for (; fiber != NULL || (fiber = wf_pick_own(w)) != NULL; fiber = NULL) {
		if (fiber->flags & WF_FIBER_HOMED) { /* RS2: to its own inbox */
			wf_send_home(w, fiber);
			continue;
		}
		/* RUNNING since it was picked, as if it had given way. */
		wf_inject(w->rt, fiber, fiber, 1);
		wf_runtime_notify(w->rt);
	}
}

static void give_away_timers(struct wf_worker *w)
{
	struct wf_thread *to = wf_rescue_target(w);
	if (to == w->thread || wf_timer_earliest(&w->timers) == INT64_MAX)
		return; /* the first: it is needed again */
	wf_timer_move_all(&w->timers, &to->worker->timers);
	wf_worker_notify_one(w->rt, to->worker->index); /* its sleep may be too long now */
}

static bool move_operations(struct wf_worker *w)
{
	struct wf_thread *thread = w->thread;
	w->unmoved = !wf_engine_enter(w, thread);
	if (w->unmoved)
		return false;
	thread->driver->move_out(thread, WF_RESCUE_BATCH);
	thread->driver->flush(thread);
	bool empty = thread->driver->in_flight(thread) == 0;
	wf_engine_leave(w, thread);
	return empty;
}

static void empty_boxes(struct wf_worker *w, struct wf_worker *target)
{
	wf_answer_requests(w, target);
	struct wf_detached *detached = wf_swap_scp(&target->op_box, NULL); /* OB-1 */
	while (detached != NULL) {
		struct wf_detached *next = detached->box_next;
		wf_swap_sc32(&detached->boxed, 0);
		wf_detached_ask(w, detached);
		detached = next;
	}
}

void wf_spare_check_box(struct wf_worker *w, struct wf_worker *target)
{
	if (WF_LIKELY(!wf_is_spare(target)))
		return;
	enum wf_spare_state state = state_of(target); /* RS5 */
	if (state == WF_SPARE_LEFT || state == WF_SPARE_ABSENT)
		empty_boxes(w, target);
}

/* A wake that was meant for work goes on to one who works. */
static void pass_on_wake(struct wf_worker *w)
{
	if (!w->searching)
		return;
	w->searching = false;
	wf_idle_search_found(&w->rt->idle);
	wf_runtime_notify(w->rt);
}

bool wf_has_baton(const struct wf_worker *w)
{
	const struct wf_runtime *rt = w->rt;
	return wf_load_sc32(&rt->baton) == w->index &&			   /* RS-2 */
		!(wf_is_spare(w) && wf_load_sc32(&rt->baton_wanted) != 0); /* RS-2 */
}

static void give_baton(struct wf_runtime *rt, uint32_t to)
{
	wf_swap_sc32(&rt->baton, to); /* RS-2 */
	wf_worker_notify_one(rt, to);
}

/* The worker asks for the baton, a spare that has it passes it on. */
static void settle_baton(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	uint32_t holder = w->index;
	if (wf_is_spare(w)) {
		if (!wf_cas_sc32(&rt->baton, &holder, WF_NO_BATON)) /* the monitor may take it at this moment */
			return;
		wf_swap_sc32(&rt->baton_wanted, 0);
		give_baton(rt, 0);
	} else if (wf_load_sc32(&rt->baton) != 0 && wf_swap_sc32(&rt->baton_wanted, 1) == 0) {
		holder = wf_load_sc32(&rt->baton); /* RS-2: who gets it later sees that it is wanted */
		if (holder != WF_NO_BATON)
			wf_worker_notify_one(rt, holder);
	}
}

bool wf_stand_by(struct wf_worker *w, enum wf_role *role)
{
	*role = WF_STANDS_BY;
	pass_on_wake(w);
	give_away_fibers(w);
	if (w->bound)
		settle_baton(w);
	if (!wf_is_spare(w) || !wf_spare_retires(w))
		return false;
	give_away_timers(w);
	bool empty = move_operations(w) && w->thread->detached == NULL &&
		wf_load_scp(&w->thread->queue) == NULL;
	if (!empty || w->thread->interrupted != w->claims) { /* RS6 */
		*role = WF_GOES;
		return false;
	}
	uint32_t retires = WF_SPARE_RETIRES;
	return wf_cas_sc32(&w->spare, &retires, WF_SPARE_LEFT); /* RS5 */
}

/* What came to it in the last moment, and what its last operations have woken. Also of one that could not start. */
static void leave(struct wf_worker *w)
{
	uint32_t state = state_of(w);
	while (state != WF_SPARE_LEFT && state != WF_SPARE_MEETS &&
		!wf_cas_sc32(&w->spare, &state, WF_SPARE_LEFT)) /* RS5 */
		;
	empty_boxes(w, w);
	give_away_fibers(w);
}

WF_OWNER_CODE_END

static void *spare_thread(void *arg)
{
	struct wf_thread *thread = arg;
	struct wf_worker *w = thread->worker;
	wf_thread_open(thread);
	wf_tsan_release(&thread->tsan); /* for the fibers that it runs: switch.c */
	if (thread->open_error == 0)
		wf_worker_loop(w);
	leave(w);
	if (state_of(w) == WF_SPARE_MEETS)
		wf_runtime_meet(w->rt);
	wf_thread_close(thread);
	wf_monitor_poke(w->rt);
	return NULL;
}

uint32_t wf_spares_running(struct wf_runtime *rt)
{
	uint32_t count = 0;
	for (uint32_t i = rt->worker_count; i < wf_reach(rt); i++)
		count += state_of(&rt->worker[i]) == WF_SPARE_RUNS;
	return count;
}

bool wf_spares_gone(const struct wf_runtime *rt)
{
	for (uint32_t i = rt->worker_count; i < wf_reach(rt); i++)
		if (state_of(&rt->worker[i]) != WF_SPARE_ABSENT)
			return false;
	return true;
}

static int start_thread(struct wf_runtime *rt, struct wf_worker *w)
{
	char name[32];
	w->thread->interrupted = w->claims = 0;
	w->unmoved = false;
	w->held_since = wf_clock_now();
	w->seen_cpu = -1;
	w->stall_counted = w->stall_reported = w->stall_asks = false;
	wf_store_rlx32(&w->stuck, 0); /* rlx: the monitor's own */
	wf_swap_sc32(&w->spare, WF_SPARE_RUNS);
	if (w->index >= wf_reach(rt))
		wf_swap_sc32(&rt->reach, w->index + 1);
	snprintf(name, sizeof(name), "weft-spare-%u", w->index - rt->worker_count);
	int error = wf_thread_create(&w->thread->pthread, name, spare_thread, w->thread);
	if (error != 0)
		wf_swap_sc32(&w->spare, WF_SPARE_ABSENT);
	return error;
}

/* A spare that may take the baton: one that runs and is not stuck, or a new one. NULL and why: there is none. */
static struct wf_worker *baton_taker(struct wf_runtime *rt, int *error)
{
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 1; i < wf_reach(rt); i++) {
			struct wf_worker *w = &rt->worker[i];
			/* rlx: the monitor's own. */
			if (state_of(w) == WF_SPARE_RUNS && !wf_load_rlx32(&w->stuck))
				return w;
		}
		*error = wf_spare_start(rt);
		if (*error != 0)
			break;
	}
	return NULL;
}

/* RS7, with the baton taken from it: is it in the code of the very fiber that was found stuck? */
static bool is_held_still(const struct wf_worker *from)
{
	/* rlx: the load before it has seen whatever was done before NONE. */
	return wf_rescue_barrier() && wf_load_sc32(&from->after.kind) == WF_AFTER_NONE &&
		wf_load_rlx64(&from->counter[WF_RUNS]) == from->seen_runs;
}

int wf_baton_move(struct wf_runtime *rt)
{
	uint32_t holder = wf_load_sc32(&rt->baton);
	if (holder == WF_NO_BATON || !wf_load_rlx32(&rt->worker[holder].stuck)) /* rlx: the monitor's own */
		return 0; /* a spare is passing it on, or has done so */
	struct wf_worker *from = &rt->worker[holder];
	int error = 0;
	struct wf_worker *to =
		from->index != 0 && !wf_load_rlx32(&rt->worker[0].stuck) /* rlx: the monitor's own */
		? &rt->worker[0]
		: baton_taker(rt, &error);
	if (to == NULL)
		return error;
	if (!wf_cas_sc32(&rt->baton, &holder, WF_NO_BATON))
		return 0; /* it has just passed it on */
	if (!is_held_still(from))
		to = from; /* it is back among its queues, or has been */
	if (to->index == 0)
		wf_swap_sc32(&rt->baton_wanted, 0);
	give_baton(rt, to->index);
	return 0;
}

int wf_spare_start(struct wf_runtime *rt)
{
	struct wf_worker *absent = NULL;
	for (uint32_t i = rt->worker_count; i < rt->slots; i++) {
		struct wf_worker *w = &rt->worker[i];
		uint32_t retires = WF_SPARE_RETIRES;
		if (wf_cas_sc32(&w->spare, &retires, WF_SPARE_RUNS)) {
			wf_worker_notify_one(rt, i);
			return 0;
		}
		if (absent == NULL && state_of(w) == WF_SPARE_ABSENT)
			absent = w;
	}
	return absent != NULL ? start_thread(rt, absent) : -EBUSY;
}

void wf_spares_keep(struct wf_runtime *rt, uint32_t count)
{
	uint32_t running = wf_spares_running(rt);
	for (uint32_t i = wf_reach(rt); i-- > rt->worker_count && running > count;) {
		struct wf_worker *w = &rt->worker[i];
		uint32_t runs = WF_SPARE_RUNS;
		if (!wf_cas_sc32(&w->spare, &runs, WF_SPARE_RETIRES))
			continue;
		running--;
		wf_worker_notify_one(rt, i);
	}
}

static void join(struct wf_worker *w)
{
	uint32_t holder = w->index;
	wf_thread_join(w->thread->pthread);
	wf_store_rlx32(&w->stuck, 0); /* rlx: the monitor's own */
	/* RS7: it had the baton, and could not start. */
	if (wf_cas_sc32(&w->rt->baton, &holder, WF_NO_BATON))
		give_baton(w->rt, 0);
	wf_swap_sc32(&w->spare, WF_SPARE_ABSENT);
}

int wf_spares_join(struct wf_runtime *rt)
{
	int error = 0;
	for (uint32_t i = rt->worker_count; i < wf_reach(rt); i++) {
		if (state_of(&rt->worker[i]) != WF_SPARE_LEFT)
			continue;
		join(&rt->worker[i]);
		if (rt->worker[i].thread->open_error != 0)
			error = rt->worker[i].thread->open_error;
	}
	return error;
}

uint32_t wf_spares_settle(struct wf_runtime *rt)
{
	uint32_t meet = 0;
	for (uint32_t i = rt->worker_count; i < wf_reach(rt); i++) {
		struct wf_worker *w = &rt->worker[i];
		uint32_t runs = WF_SPARE_RUNS, retires = WF_SPARE_RETIRES;
		meet += wf_cas_sc32(&w->spare, &runs, WF_SPARE_MEETS) ||
			wf_cas_sc32(&w->spare, &retires, WF_SPARE_MEETS);
	}
	return meet;
}

void wf_spares_end(struct wf_runtime *rt)
{
	for (uint32_t i = rt->worker_count; i < wf_reach(rt); i++)
		if (state_of(&rt->worker[i]) != WF_SPARE_ABSENT)
			join(&rt->worker[i]);
}
