/* SPDX-License-Identifier: MIT */
/* deadlock.h - finds fibers that wait for each other, and says so
 *
 * What     the monitor of a runtime calls it. When nothing runs: do all live fibers wait for what only fibers and threads can do (waiting.h), and none
 *          for time, the kernel, or a deadline? And always: of those that wait for locks, do some wait in a cycle? What is found is
 *          reported, to a function of the program's own if it wants (weft/report.h); what nothing can end ends the process.
 * Rejected a graph of who waits for whom, kept up to date by each lock (a price on every lock for what hardly ever happens); an edge for each
 *          holder of a semaphore or sender of a channel (anybody may post or send: nobody is known to have to).
 * Rules    DL1 a standstill holds if two looks at all fibers find them parked by the same tickets: then none has run between them, and at one
 *             moment all were parked. A cycle the same, with its own fibers.
 *          DL2 a lock whose holder is parked, by the same ticket in both looks, was held all the time: only the holder unlocks.
 *          DL3 nothing is said twice: not of the same tickets; of the same fibers in the same waits not soon; and of standstills that are not
 *             final not often.
 *          DL4 looking takes at most one part in fifty of the time: a look that took long is not soon followed by another. A standstill that is none
 *             is mostly refuted by the fiber that refuted the last one.
 *          DL5 final is only what no thread can end: see wf_cycle_wait_is_final() for cycles, nobody_else() for standstills.
 *          DL6 the monitor has stuck workers to look after: a look at a runtime that stands still ends when that goes on. It is taken again later.
 * Tests    tests/obs/deadlock_test.cc
 */
#ifndef WF_SCHED_OBS_DEADLOCK_H
#define WF_SCHED_OBS_DEADLOCK_H

#include "sched/obs/view.h"

/* Called by rt's monitor: once when no worker has run anything for 100 ms and all sleep (`still`), and every half second while they do not. Returns when
 * to call again with `still` if nothing runs until then; INT64_MAX: never. */
int64_t wf_deadlock_inspect(struct wf_runtime *rt, int64_t now, bool still);

/* Names the live fibers of a runtime that is being stopped and does not come to its end, and what they wait for. Any thread; rt lives. */
void wf_deadlock_survivors(struct wf_runtime *rt);

/* deadlock.c, for deadlock_report.c. */

/* Fibers that were looked at together. */
struct wf_standstill {
	uint64_t fibers;
	uint64_t tickets; /* a number made of who they are and of their tickets: DL1 */
	uint64_t waits;	  /* of who they are and what they wait for */
};

/* DL1. */
static inline bool wf_standstill_same(const struct wf_standstill *a, const struct wf_standstill *b)
{
	return a->fibers == b->fibers && a->tickets == b->tickets;
}

struct wf_cycle {
	struct wf_standstill all;
	struct wf_view first; /* one of them; its `waits` is false where there is no cycle */
	bool final;
};

/* Do all live fibers of rt (NULL: of all runtimes) wait for each other? *witness: the index of one that does not, to begin with; WF_NO_FIBER
 * afterwards: the look was broken off (DL6). NULL: none, and it is not. */
bool wf_standstill_look(struct wf_runtime *rt, struct wf_standstill *found, uint32_t *witness);
/* The fiber that `view` waits for, if it is parked too and so can be part of a cycle through `start`. */
bool wf_cycle_next(const struct wf_view *start, const struct wf_view *view, struct wf_view *next);
/* Can neither a deadline nor a cancellation end the wait? */
bool wf_cycle_wait_is_final(const struct wf_view *view);
/* The cycle that the way from `start` leads into, seen twice. */
bool wf_cycle_find(const struct wf_view *start, struct wf_cycle *cycle);

/* deadlock_report.c */

/* What a runtime has said already; its monitor's own. */
struct wf_said {
	struct wf_standstill last;
	bool final;
	int64_t not_before; /* the same waits; also, when `free` is used up, any */
	int64_t pause;
	uint32_t free;
};

/* False: DL3 forbids it. */
bool wf_deadlock_report_all(struct wf_runtime *rt, struct wf_said *said,
	const struct wf_standstill *found, int64_t now);
void wf_deadlock_report_cycle(struct wf_runtime *rt, const struct wf_cycle *cycle, int64_t now);

#endif
