/* SPDX-License-Identifier: MIT */
/* latch.c - the contended half of latch.h */
#include "sched/base/latch.h"

#include "sched/base/limits.h"
#include "sched/base/seam.h"

/* The half of the word that the kernel compares: the one with the latch's own bits. */
static wf_a32 *low_half(wf_latch *latch)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half comes first");
	return (wf_a32 *)(void *)&latch->word;
}

uint64_t wf_latch_slow(wf_latch *latch)
{
	uint64_t seen;
	for (int i = 0; i < WF_LOCK_SPINS; i++) {
		seen = wf_load_rlx64(&latch->word); /* rlx: the compare-and-swap decides */
		if (!(seen & WF_LATCH_HELD) && wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_HELD))
			return seen; /* LA-1 */
		wf_cpu_relax();
	}
	for (;;) {
		seen = wf_load_rlx64(&latch->word); /* rlx: as above */
		/* Taken as "somebody sleeps", because this thread cannot know that nobody else does. LA-1 */
		if (!(seen & WF_LATCH_HELD)) {
			if (wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_MASK))
				return seen;
			continue;
		}
		if (!(seen & WF_LATCH_SLEEPERS) &&
			!wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_SLEEPERS))
			continue;
		wf_futex_wait(low_half(latch), (uint32_t)(seen | WF_LATCH_SLEEPERS), INT64_MAX);
	}
}

void wf_latch_wake(wf_latch *latch)
{
	wf_futex_wake(low_half(latch), 1); /* LA2 */
}
