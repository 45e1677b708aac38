/* SPDX-License-Identifier: MIT */
/* lock.c - the contended half of lock.h */
#include "sched/base/lock.h"

#include "sched/base/limits.h"
#include "sched/base/seam.h"

void wf_lock_slow(wf_lock *lock)
{
	for (int i = 0; i < WF_LOCK_SPINS; i++) {
		/* rlx: only a hint that trying again may pay. */
		if (wf_load_rlx32(&lock->word) == 0 && wf_trylock(lock))
			return;
		wf_cpu_relax();
	}
	/* LK-1 acquire. Taken as "somebody sleeps", because this thread cannot know that nobody else does. */
	while (wf_swap_acq_rel32(&lock->word, 2) != 0)
		wf_futex_wait(&lock->word, 2, INT64_MAX);
}

void wf_unlock_slow(wf_lock *lock)
{
	wf_futex_wake(&lock->word, 1);
}
