/* SPDX-License-Identifier: MIT */
/* credit.h - the cooperative budget: a fiber whose calls complete at once gives way all the same
 *
 * What     each time a fiber is switched to it gets a credit of WF_RUN_CREDIT calls (enter() in switch.c). A call that may park spends one of
 *          them, whether it parks or not and whatever it returns; with the last one the fiber goes to the end of the queue, as by
 *          weft_yield. What makes a system call in place spends a run of the tick instead (WF_TICK_RUNS), as a switch does: it takes a hundred
 *          times as long.
 * Rejected charging the calls that never park (the try forms, select with deadline 0, unlock, post, set, close, spawn, weft_check): programs
 *          hold locks of a thread around them, and the fiber may be on another thread after giving way. Go and Tokio do not charge theirs
 *          either; who spins on one calls weft_yield, and is a stuck fiber if it does not (rescue.h). Giving way after the call: a
 *          fiber that was just given a lock, or a permit, would keep it from the others meanwhile.
 * Rules    CR1 it is spent first: no latch is held, nothing is published, the call has had no effect. The levels are looked at after that.
 *          CR2 the worker is another one afterwards (law 6): wf_turn() returns it.
 *          CR3 where there is nobody to give way to, only the scheduler is visited, for a tick: it wakes no other worker, which would take the
 *             fiber away from a processor that has nothing else to do.
 *          CR4 on a plain thread, and in the scheduler, nothing is spent.
 * Tests    tests/sync/budget_test.cc, tests/io/budget_test.cc
 */
#ifndef WF_SCHED_CORE_CREDIT_H
#define WF_SCHED_CORE_CREDIT_H

#include "sched/core/worker.h"

WF_OWNER_CODE_BEGIN

/* The credit is used up. CR2 */
struct wf_worker *wf_give_way(struct wf_worker *w);

/* Begins a call that may park. The caller's worker, NULL on a plain thread. */
static inline struct wf_worker *wf_turn(void)
{
	struct wf_worker *w = wf_self();
	if (w != NULL && WF_UNLIKELY(--w->credit == 0))
		w = wf_give_way(w);
	return w;
}

/* The same for one that makes a system call in place. */
static inline struct wf_worker *wf_turn_in_place(void)
{
	struct wf_worker *w = wf_self();
	if (w != NULL && WF_UNLIKELY(--w->budget <= 0))
		w = wf_give_way(w);
	return w;
}

WF_OWNER_CODE_END

#endif
