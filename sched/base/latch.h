/* SPDX-License-Identifier: MIT */
/* latch.h - a lock and the state it guards, in one word
 *
 * What     64 bits {state:62, SLEEPERS, HELD}. Whoever holds the latch owns the state and all that belongs to the word, and gives both
 *          back in one store: nothing is touched after the state is out. So whoever sees in the state that the object is done with may
 *          free its memory, also while the one that made it so is still on its way out of the call. While the latch is free the
 *          state alone may be changed by a compare-and-swap: the short way of most calls.
 * Rejected a lock beside the state (its release comes after the state is seen: use after free by a waiter that returns and
 *          leaves its frame); a spinning bit (a preempted holder costs every other worker its time slice).
 * Rules    LA1 the state changes by its holder's release, or by a compare-and-swap that finds HELD clear. SLEEPERS is set only with HELD.
 *          LA2 after the release only the word's address is used (to wake a thread), never its memory.
 *          LA3 L1 of lock.h: never held across a switch of stacks or a blocking call.
 * Order    LA-1 release (swap) or a state's own compare-and-swap -> acquire, or the compare-and-swap or load that reads it.
 * Tests    tests/model/latch_model.c, tests/sync/sync_stress_test.cc
 */
#ifndef WF_SCHED_BASE_LATCH_H
#define WF_SCHED_BASE_LATCH_H

#include "sched/base/atomic.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

#define WF_LATCH_HELD UINT64_C(1)
#define WF_LATCH_SLEEPERS UINT64_C(2)
#define WF_LATCH_MASK (WF_LATCH_HELD | WF_LATCH_SLEEPERS)

typedef struct wf_latch {
	wf_a64 word;
} wf_latch;

uint64_t wf_latch_slow(wf_latch *latch);
void wf_latch_wake(wf_latch *latch);

/* Returns the state; it stays as it is until the release. */
static inline uint64_t wf_latch_acquire(wf_latch *latch)
{
	/* rlx: the compare-and-swap decides. */
	uint64_t seen = wf_load_rlx64(&latch->word);
	while (!(seen & WF_LATCH_HELD))
		if (wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_HELD)) /* LA-1 */
			return seen;
	return wf_latch_slow(latch);
}

/* The state's low two bits are zero. */
static inline void wf_latch_release(wf_latch *latch, uint64_t state)
{
	if (wf_swap_acq_rel64(&latch->word, state) & WF_LATCH_SLEEPERS) /* LA-1 */
		wf_latch_wake(latch);
}

/* The state as it was at some moment, or as the holder found it. */
static inline uint64_t wf_latch_peek(const wf_latch *latch)
{
	return wf_load_acq64(&latch->word); /* LA-1 */
}

/* Without the latch: *seen -> state, if nobody holds it and the state is still *seen. */
static inline bool wf_latch_try(wf_latch *latch, uint64_t *seen, uint64_t state)
{
	return !(*seen & WF_LATCH_HELD) && wf_cas_acq_rel64(&latch->word, seen, state); /* LA-1 */
}

WF_OWNER_CODE_END

#endif
