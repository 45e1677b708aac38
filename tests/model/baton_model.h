/* SPDX-License-Identifier: MIT */
/* baton_model.h - for baton_model.c: what the workers, spares and the monitor do about the baton
 *
 * What     what stands in .c files is repeated here, function by function: spare.c (all about the baton, retiring, leaving, joining),
 *          rescue.c (share, unshare), switch.c (choose_next, arrive, both switches), worker.c (next_fiber, search, sleep_in_ring),
 *          pick.c (pick, work_visible). From rescue.h, worker.h and idle.h comes the rest as shipped. All queues are one count of fibers: what
 *          holds of their items is rescue_model.c's.
 */
#ifndef TESTS_MODEL_BATON_MODEL_H
#define TESTS_MODEL_BATON_MODEL_H

#include <stdbool.h>

/* For worker.h: the counter's one writer need not ask what it says. */
#define wf_count(counter, n) wf_store_rlx64(counter, model_own(&(counter)->v) + (n))

/* rescue.h declares them for other files, too. */
struct wf_worker;
struct wf_runtime;
static bool wf_has_baton(const struct wf_worker *w);
static bool wf_spare_retires(const struct wf_worker *w);

#include "sched/core/rescue.h"

#include "tests/model/explorer.h"

#define WORKER 0
#define SPARE 1
#define THREADS 2 /* that run fibers */

static struct wf_runtime rt;
static struct wf_worker worker[THREADS];

static struct {
	_Alignas(8) wf_a32 code; /* what fibers read */
	uint32_t stuck[THREADS]; /* the monitor's */
	/* Constant. */
	uint32_t searches; /* who finds nothing looks again as a searcher */
	uint32_t excludes; /* only who runs together with whom is looked at, not how it ends */
	uint32_t endless;  /* the worker's first fiber never gives way */
	uint32_t never;
	/* Ghosts. */
	uint32_t interrupts[THREADS]; /* sent and not yet received */
	uint32_t asleep[THREADS];
	uint32_t lives[THREADS]; /* of the spare's thread, still to come */
	uint32_t gone[THREADS];	 /* its thread has ended */
	uint32_t run[THREADS];	 /* the number of the run whose code it is in; 0: none */
	uint32_t runs[THREADS];	 /* so many have begun */
	uint32_t held[THREADS];	 /* the last run that the monitor found stuck */
	uint32_t yields;	 /* runs that end by a yield, still to come */
	uint32_t turns;		 /* of a spare that stands by, in which the baton stayed with it */
	uint32_t waits;		 /* the monitor, for a spare to leave */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* worker.c: interrupt. */
static void interrupt(int target)
{
	if (target < 0)
		return;
	s.interrupts[target]++;
	s.asleep[target] = 0;
}

static void wake_any(void)
{
	interrupt(wf_idle_claim_any(&rt.idle));
}

static void notify(struct wf_worker *w)
{
	if (wf_shared(w))
		wake_any();
}

static void notify_one(uint32_t target)
{
	interrupt(wf_idle_claim_one(&rt.idle, target));
#ifndef WITHOUT_ROUSE
	if (wf_idle_rouse(&rt.idle, target))
		interrupt((int)target);
#endif
}

/* pick.c; also what a search would steal. */
static bool pick(void)
{
	uint32_t count = wf_load_acq32(&rt.injected);
	while (count > 0)
		if (wf_cas_sc32(&rt.injected, &count, count - 1))
			return true;
	return false;
}

static bool work_visible(void)
{
	return wf_load_sc32(&rt.injected) != 0;
}

/* spare.c. */
static bool wf_spare_retires(const struct wf_worker *w)
{
	return wf_load_sc32(&w->spare) == WF_SPARE_RETIRES;
}

static bool wf_has_baton(const struct wf_worker *w)
{
#ifdef WORKER_WITHOUT_BATON
	if (!wf_is_spare(w))
		return true;
#endif
#ifdef SPARE_WITHOUT_BATON
	if (wf_is_spare(w))
		return true;
#endif
#ifdef WANTED_UNHEARD
	return wf_load_sc32(&rt.baton) == w->index;
#else
	return wf_load_sc32(&rt.baton) == w->index &&			  /* RS-2 */
		!(wf_is_spare(w) && wf_load_sc32(&rt.baton_wanted) != 0); /* RS-2 */
#endif
}

static void give_baton(uint32_t to)
{
#ifdef NOTIFY_BEFORE_GIVE
	notify_one(to);
#endif
#ifdef GIVE_BY_STORE
	wf_store_rel32(&rt.baton, to);
#else
	wf_swap_sc32(&rt.baton, to);					  /* RS-2 */
#endif
#if !defined(GIVE_WITHOUT_NOTIFY) && !defined(NOTIFY_BEFORE_GIVE)
	notify_one(to);
#endif
}

/* A spare that has the baton and stands by. */
static void pass_baton(struct wf_worker *w)
{
#ifdef PASS_BY_SWAP
	if (wf_load_sc32(&rt.baton) != w->index)
		return;
	wf_swap_sc32(&rt.baton_wanted, 0);
	give_baton(WORKER);
#else
	uint32_t holder = w->index;
	if (!wf_cas_sc32(&rt.baton, &holder, WF_NO_BATON))
		return;
#ifndef PASS_KEEPS_WANTED
	wf_swap_sc32(&rt.baton_wanted, 0);
#endif
	give_baton(WORKER);
#endif
}

static void ask_for_baton(void)
{
#ifdef HOLDER_BEFORE_ASK
	uint32_t seen = wf_load_sc32(&rt.baton);
	if (seen == WORKER)
		return;
#else
	if (wf_load_sc32(&rt.baton) == WORKER)
		return;
#endif
#ifdef ASK_BY_STORE
	if (wf_load_sc32(&rt.baton_wanted) != 0)
		return;
	wf_store_rel32(&rt.baton_wanted, 1);
#elif !defined(WITHOUT_ASK)
	if (wf_swap_sc32(&rt.baton_wanted, 1) != 0) /* RS-2 */
		return;
#endif
#ifdef HOLDER_BEFORE_ASK
	uint32_t holder = seen;
#else
	uint32_t holder = wf_load_sc32(&rt.baton);
#endif
#ifndef ASK_WITHOUT_NOTIFY
	if (holder != WF_NO_BATON)
		notify_one(holder);
#endif
}

static void settle_baton(struct wf_worker *w)
{
	if (!wf_is_spare(w))
		ask_for_baton();
#ifndef WITHOUT_PASS
	else
		pass_baton(w);
#endif
}

static void pass_on_wake(struct wf_worker *w)
{
	if (!w->searching)
		return;
	w->searching = false;
	wf_idle_search_found(&rt.idle);
	wake_any();
}

/* True: it has left. */
static bool stand_by(struct wf_worker *w, enum wf_role *role)
{
	*role = WF_STANDS_BY;
	pass_on_wake(w);
	settle_baton(w);
	if (!wf_is_spare(w) || !wf_spare_retires(w))
		return false;
	uint32_t retires = WF_SPARE_RETIRES;
	return wf_cas_sc32(&w->spare, &retires, WF_SPARE_LEFT);
}

static bool stander_has_work(struct wf_worker *w)
{
#ifdef BATON_IS_NO_WORK
	(void)w;
	return false;
#else
	return wf_load_sc32(&rt.baton) == w->index; /* RS-2 */
#endif
}

/* worker.c. */
static void stop_searching(struct wf_worker *w)
{
	if (!w->searching)
		return;
	w->searching = false;
	if (wf_idle_search_found(&rt.idle))
		notify(w);
}

static bool search(struct wf_worker *w)
{
	if (!s.searches || !wf_shared(w))
		return false; /* the injection queue only */
	w->searching = w->searching || wf_idle_search_begin(&rt.idle);
	return pick();
}

static void wait_for_interrupt(uint32_t index)
{
	model_wait("sleeps in its ring", &s.interrupts[index], NULL);
	s.asleep[index] = 0;
	s.interrupts[index] = 0;
}

static bool is_another(const struct wf_worker *w, enum wf_role role)
{
#if defined(SLEEPER_STAYS)
	return role != WF_WORKS && wf_role(w) != role;
#elif defined(RETIRES_UNSEEN)
	return wf_stands_by(w) != (role != WF_WORKS);
#else
	return wf_role(w) != role;
#endif
}

/* `role`: as what it has looked for something to do. */
static void sleep_in_ring(struct wf_worker *w, enum wf_role role)
{
#ifdef SEARCHER_STANDS
	role = wf_role(w);
#endif
	bool stands = role != WF_WORKS;
	if (stands)
		wf_idle_stand(&rt.idle, w->index); /* I4 */
	else
		wf_idle_announce(&rt.idle, w->index, w->searching); /* ID-1.4, ID-1.5 */
	w->searching = false;
	bool awake = is_another(w, role) || (stands ? stander_has_work(w) : work_visible()); /* ID-1.6, RS-2 */
#ifdef STANDER_WITHOUT_LOOK
	awake = awake && !stands;
#endif
	if (!awake) {
		s.asleep[w->index] = s.interrupts[w->index] == 0;
		wait_for_interrupt(w->index);
	}
	if (!(stands ? wf_idle_rouse(&rt.idle, w->index) : wf_idle_withdraw(&rt.idle, w->index)))
		w->searching = !stands; /* I2 */
}

/* False: it leaves. */
static bool next_fiber(struct wf_worker *w)
{
	for (;;) {
#ifdef PICK_BEFORE_BATON
		if (pick())
			return true;
#endif
		enum wf_role role = wf_role(w);
		if (role != WF_WORKS) {
			if (stand_by(w, &role))
				return false;
			s.turns = wf_is_spare(w) && rt.baton.v == w->index ? s.turns + 1 : 0;
			if (s.turns > 3)
				model_fail("a spare stands by and keeps the baton");
			sleep_in_ring(w, role);
			continue;
		}
		if (pick() || search(w)) {
			stop_searching(w);
			return true;
		}
		sleep_in_ring(w, role);
	}
}

/* switch.c. */
static bool choose_next(struct wf_worker *w)
{
#ifndef DIRECT_WITHOUT_BATON
	if (!wf_may_run(w))
		return false;
#endif
	return pick();
}

static void arrive(struct wf_worker *w, enum wf_after_kind kind, bool in_fiber)
{
	if (kind == WF_AFTER_YIELD) {
		wf_add_sc32(&rt.injected, 1); /* ID-1.1 */
		notify(w);
	}
#ifdef RELAXED_ARRIVAL
	wf_store_rlx32(&w->after.kind, in_fiber ? WF_AFTER_NONE : WF_AFTER_SCHEDULER);
#else
	wf_store_rel32(&w->after.kind, in_fiber ? WF_AFTER_NONE : WF_AFTER_SCHEDULER);
#endif
	s.run[w->index] = in_fiber ? ++s.runs[w->index] : 0;
}

/* One fiber's code, from where it goes on to where it gives way. */
static enum wf_after_kind run_fiber(struct wf_worker *w)
{
	(void)wf_load_rlx32(&s.code);
	if (s.endless && w->index == WORKER)
		model_wait("computes for ever", &s.never, NULL);
	s.run[w->index] = 0;
	if (s.yields == 0)
		return WF_AFTER_END;
	s.yields--;
	return WF_AFTER_YIELD;
}

/* From one switch away from the scheduler to the next switch to it. */
static void run_fibers(struct wf_worker *w)
{
	bool direct;
	do {
		enum wf_after_kind kind = run_fiber(w);
#ifdef CHOICE_BEFORE_KIND
		direct = choose_next(w);
		wf_store_rlx32(&w->after.kind, kind);
#else
		wf_store_rlx32(&w->after.kind, kind);
		direct = choose_next(w);
#endif
		if (direct)
			wf_bump(w, WF_RUNS, 1);
		arrive(w, kind, direct);
	} while (direct);
}

static void worker_loop(struct wf_worker *w)
{
	while (next_fiber(w)) {
		wf_bump(w, WF_RUNS, 1);
		arrive(w, WF_AFTER_SCHEDULER, true);
		run_fibers(w);
	}
	if (w->searching)
		wf_idle_search_found(&rt.idle);
	w->searching = false;
}

/* In a fiber's code, or asleep among the standers. */
static void goes_on(struct wf_worker *w)
{
	if (s.run[w->index] != 0) {
		run_fibers(w);
	} else {
		wait_for_interrupt(w->index);
		wf_idle_rouse(&rt.idle, w->index);
	}
}

static void worker_main(uint32_t index)
{
	goes_on(&worker[index]);
	worker_loop(&worker[index]);
}

static void spare_main(uint32_t index)
{
	struct wf_worker *w = &worker[index];
	bool exists = w->spare.v != WF_SPARE_ABSENT; /* at the start */
	if (exists)
		goes_on(w);
	for (;;) {
		if (!exists) {
			model_wait("a spare's thread begins", &s.lives[index], NULL);
			s.lives[index]--;
			wf_store_rlx32(&w->after.kind, WF_AFTER_SCHEDULER);
		}
		worker_loop(w);
		model_step("a spare's thread ends");
		s.gone[index] = 1;
		exists = false;
	}
}

/* rescue.c. */
static bool share_queues(void)
{
	struct wf_worker *w = &worker[WORKER];
	if (rt.all_shared)
		return true;
#ifndef WITHOUT_GATE
	wf_swap_sc32(&w->gated, w->bound);
#endif
	wf_swap_sc32(&w->shared, 1);
	model_barrier("membarrier of the share");
	rt.all_shared = wf_load_sc32(&w->after.kind) == WF_AFTER_NONE; /* RS3 */
	return rt.all_shared;
}

static void unshare_queues(void)
{
	if (rt.baton.v != WORKER)
		model_fail("the queues are unshared, and the worker has not the baton");
	rt.all_shared = false;
	wf_store_rlx32(&worker[WORKER].gated, 0);
	wf_store_rlx32(&worker[WORKER].shared, 0);
}

/* spare.c, by the monitor. */
static void start_spare(void)
{
	struct wf_worker *w = &worker[SPARE];
	uint32_t retires = WF_SPARE_RETIRES;
	if (wf_cas_sc32(&w->spare, &retires, WF_SPARE_RUNS)) {
		notify_one(SPARE);
		return;
	}
	if (wf_load_sc32(&w->spare) != WF_SPARE_ABSENT)
		return;
	s.stuck[SPARE] = 0;
	wf_swap_sc32(&w->spare, WF_SPARE_RUNS);
	model_step("starts a spare");
	s.lives[SPARE]++;
}

static bool spare_may_take(void)
{
	return !s.stuck[SPARE] && wf_load_sc32(&worker[SPARE].spare) == WF_SPARE_RUNS;
}

static struct wf_worker *baton_taker(void)
{
	if (!spare_may_take())
		start_spare();
	return spare_may_take() ? &worker[SPARE] : NULL;
}

/* With the baton taken from it: is `from` in the code of the very fiber that was found stuck? */
static bool still_held(const struct wf_worker *from)
{
#ifdef WITHOUT_LOOK_AT_KIND
	return true;
#endif
#ifdef RUNS_BEFORE_KIND
	return wf_load_rlx64(&from->counter[WF_RUNS]) == from->seen_runs &&
		wf_load_sc32(&from->after.kind) == WF_AFTER_NONE;
#endif
	if (wf_load_sc32(&from->after.kind) != WF_AFTER_NONE)
		return false;
#ifdef WITHOUT_LOOK_AT_RUNS
	return true;
#else
	return wf_load_rlx64(&from->counter[WF_RUNS]) == from->seen_runs;
#endif
}

static void baton_move(void)
{
	uint32_t holder = wf_load_sc32(&rt.baton);
	if (holder == WF_NO_BATON || !s.stuck[holder])
		return; /* a spare is just passing it on, or its holder is not stuck */
	struct wf_worker *from = &worker[holder];
	struct wf_worker *to =
		from->index != WORKER && !s.stuck[WORKER] ? &worker[WORKER] : baton_taker();
	if (to == NULL)
		return;
#ifdef HELD_BEFORE_BARRIER
	bool held = still_held(from);
#endif
#ifdef TAKE_BY_STORE
	wf_store_rel32(&rt.baton, WF_NO_BATON);
#elif defined(HELD_BEFORE_TAKE)
	bool held = still_held(from);
	if (!held || !wf_cas_sc32(&rt.baton, &holder, WF_NO_BATON))
		return;
#else
	if (!wf_cas_sc32(&rt.baton, &holder, WF_NO_BATON))
		return;
#endif
#if !defined(WITHOUT_BARRIER)
	model_barrier("membarrier of the baton");
#endif
#if !defined(HELD_BEFORE_BARRIER) && !defined(HELD_BEFORE_TAKE)
	bool held = still_held(from);
#endif
	if (!held)
		to = from;
	if (to->index == WORKER)
		wf_swap_sc32(&rt.baton_wanted, 0);
	give_baton(to->index);
}

static void spares_keep_none(void)
{
	uint32_t runs = WF_SPARE_RUNS;
	if (wf_cas_sc32(&worker[SPARE].spare, &runs, WF_SPARE_RETIRES))
		notify_one(SPARE);
}

static void join(void)
{
	struct wf_worker *w = &worker[SPARE];
	uint32_t holder = w->index;
	s.waits = 1;
	model_wait("joins the spare's thread", &s.gone[SPARE], NULL);
	s.waits = s.gone[SPARE] = 0;
	s.stuck[SPARE] = 0;
#ifndef JOIN_LEAVES_BATON
	if (wf_cas_sc32(&rt.baton, &holder, WF_NO_BATON))
		give_baton(WORKER);
#endif
	wf_swap_sc32(&w->spare, WF_SPARE_ABSENT);
}

#endif
