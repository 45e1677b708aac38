/* SPDX-License-Identifier: MIT */
/* unbound_model.c - the pinned fibers that spares put where all workers look (RS2 of rescue.h, ID-1) over idle.h as shipped
 *
 * What     spares that put fibers there, workers that search, sleep, are woken and take one each, and a spare that sleeps. What stands in
 *          .c files is repeated here, function by function: rescue.c (wf_rescue_admit, wf_rescue_take_unbound), rescue.h
 *          (wf_sees_unbound), pick.c (take_pinned, wf_work_visible), worker.c (next_fiber, search, stop_searching, sleep_in_ring).
 * Law      when nothing can go on, no fiber is there where a worker sleeps. None is taken twice, and the oldest is taken first.
 * Switches WITHOUT_x leaves out a step of a .c file, x_BEFORE_y moves one; for mutants_rescue.ini.
 */
#include "sched/core/idle.h"

#include "tests/model/explorer.h"

#define WORKERS 2
#define PLACES (WORKERS + 1) /* and a spare that sleeps */
#define FIBERS 4	     /* numbers from 1; 0 is WF_NO_FIBER */

static struct {
	struct wf_idle idle;
	wf_a32 unbound;
	/* Under unbound_lock. */
	uint32_t next[FIBERS];
	uint32_t last;
	/* Notes. */
	uint32_t unlocked;
	uint32_t order[FIBERS]; /* in which they were put, from 1 */
	uint32_t put, taken;
	uint32_t event[PLACES]; /* what ends the sleep of each */
	uint32_t asleep[PLACES];
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

static void interrupt(int worker)
{
	if (worker < 0)
		return;
	model_step("interrupt");
	s.event[worker] = 1;
}

static void lock(void)
{
	model_wait("unbound_lock", &s.unlocked, NULL);
	s.unlocked = 0;
}

static void unlock(void)
{
	model_step("lets go of unbound_lock");
	s.unlocked = 1;
}

/* rescue.c: wf_rescue_admit. */
static void notify_workers(void)
{
#ifdef NOTIFY_ANY
	interrupt(wf_idle_claim_any(&s.idle));
#else
	for (uint32_t i = 0; i < WORKERS; i++)
		interrupt(wf_idle_claim_one(&s.idle, i)); /* ID-1 */
#endif
}

static void put(uint32_t fiber)
{
#ifdef NOTIFY_BEFORE_PUT
	notify_workers();
#endif
	lock();
	s.next[fiber] = 0;
	if (wf_load_rlx32(&s.unbound) == 0)
		wf_swap_sc32(&s.unbound, fiber);
	else
		s.next[s.last] = fiber;
	s.last = fiber;
	s.order[fiber] = ++s.put;
	unlock();
#if !defined(WITHOUT_NOTIFY) && !defined(NOTIFY_BEFORE_PUT)
	notify_workers();
#endif
}

static uint32_t take(void)
{
	lock();
	uint32_t fiber = wf_load_rlx32(&s.unbound);
	if (fiber != 0) {
#ifdef TAKE_LEAVES_NOTHING
		wf_swap_sc32(&s.unbound, 0);
#else
		wf_swap_sc32(&s.unbound, s.next[fiber]);
#endif
		if (s.order[fiber] != ++s.taken)
			model_fail("fiber %u is taken twice, or out of turn", fiber);
	}
	unlock();
	return fiber;
}

static bool sees_unbound(uint32_t w)
{
	return wf_load_rlx32(&s.unbound) != 0 && w < WORKERS;
}

/* pick.c: wf_work_visible. */
static bool work_visible(uint32_t w)
{
#ifdef WITHOUT_LOOK
	(void)w;
	return false;
#else
	return wf_load_sc32(&s.unbound) != 0 && w < WORKERS;
#endif
}

/* Returns whether the worker counts as searching. */
static bool sleep_in_ring(uint32_t w, bool searching)
{
#ifdef LOOK_BEFORE_ANNOUNCE
	bool awake = work_visible(w);
#endif
	wf_idle_announce(&s.idle, w, searching); /* ID-1.4, ID-1.5 */
#ifndef LOOK_BEFORE_ANNOUNCE
	bool awake = work_visible(w); /* ID-1.6 */
#endif
	if (!awake) {
		s.asleep[w] = 1;
		model_wait("sleeps in its ring", &s.event[w], NULL);
		s.asleep[w] = s.event[w] = 0;
	}
	return !wf_idle_withdraw(&s.idle, w); /* I2 */
}

/* The fiber that it takes it runs for ever. */
static void worker(uint32_t w)
{
	bool searching = false;
	while (!sees_unbound(w) || take() == 0) {
		searching = searching || wf_idle_search_begin(&s.idle);
		searching = sleep_in_ring(w, searching);
	}
	if (searching && wf_idle_search_found(&s.idle))
		interrupt(wf_idle_claim_any(&s.idle));
}

static void spare(uint32_t fiber)
{
	put(fiber);
}

static void spare_of_two(uint32_t fiber)
{
	put(fiber);
	put(fiber + 1);
}

static void finish(void)
{
	for (uint32_t w = 0; w < WORKERS; w++)
		if (s.asleep[w] && s.taken < s.put)
			model_fail("lost wake-up: a fiber is there, nobody moves, worker %u sleeps", w);
}

static const char *name(const void *at)
{
	return at == &s.unbound		    ? "unbound"
		: at == &s.idle.searching   ? "searching"
		: at == &s.idle.sleepers[0] ? "sleepers"
					    : "standers";
}

static void start(void)
{
	s.idle.workers = WORKERS;
	s.idle.spares = 1;
	s.unlocked = 1;
}

static const struct model_program programs[] = {
	{"a spare puts two, two workers", start, 3,
		{{"spare", spare_of_two, 1}, {"worker 0", worker, 0}, {"worker 1", worker, 1}}},
	{"two spares put one each, two workers", start, 4,
		{{"spare 0", spare, 1}, {"spare 1", spare, 2}, {"worker 0", worker, 0},
			{"worker 1", worker, 1}}},
	{"a spare puts one, another sleeps, a worker", start, 3,
		{{"spare 0", spare, 1}, {"spare 1", worker, WORKERS}, {"worker 1", worker, 1}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
