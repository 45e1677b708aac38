/* SPDX-License-Identifier: MIT */
/* lock.h - a four-byte lock for short critical sections among threads
 *
 * What     0 free, 1 held, 2 held and somebody sleeps. Spins briefly, then sleeps in a futex.
 * Rules    L1 never held across a switch of stacks, a commit function's return, or a blocking system call.
 *          L2 order of acquisition where two are held: opener's shard (sched/task/scope.c) < scope, outer before inner < channels, by
 *             address < descriptor lock < timer lock < pool lock; signals' order < their lock < channels. Latches (latch.h) stand with the
 *             channels; two are never held.
 * Order    LK-1 unlock release -> lock acquire. Carries whatever the lock protects.
 */
#ifndef WF_SCHED_BASE_LOCK_H
#define WF_SCHED_BASE_LOCK_H

#include "sched/base/atomic.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

typedef struct wf_lock {
	wf_a32 word;
} wf_lock;

void wf_lock_slow(wf_lock *lock);
void wf_unlock_slow(wf_lock *lock);

static inline bool wf_trylock(wf_lock *lock)
{
	uint32_t free = 0;
	/* LK-1 acquire; pair: wf_lock_release(). */
	return wf_cas_acq_rel32(&lock->word, &free, 1);
}

static inline void wf_lock_acquire(wf_lock *lock)
{
	if (!wf_trylock(lock))
		wf_lock_slow(lock);
}

static inline void wf_lock_release(wf_lock *lock)
{
	/* LK-1 release; pair: wf_trylock(), wf_lock_slow(). */
	if (wf_swap_acq_rel32(&lock->word, 0) == 2)
		wf_unlock_slow(lock);
}

WF_OWNER_CODE_END

#endif
