/* SPDX-License-Identifier: MIT */
/* mutex.h - the mutex: its word, and what conditions need of it
 *
 * What     one word {holder:58, WOKEN, QUEUED, the latch's two bits} and the list of those who wait. Free and uncontended, lock and
 *          unlock are one compare-and-swap each. A free mutex goes to whoever comes (barging): the woken waiter must try for it. One that
 *          has waited for WF_MUTEX_HANDOFF_NS is made the holder by the unlock itself, so that it cannot lose again; and who comes while
 *          one that was woken has waited that long lets it pass, so that it need not even run at the right moment.
 * Rejected hand-over always (a convoy: each unlock of a busy mutex costs a switch); a starving mode as Go's (the time the first
 *          waiter has waited says the same, and is known where the choice is made).
 * Rules    MX1 the holder's number is set by a lock or a hand-over, and cleared by its own unlock alone.
 *          MX2 WOKEN: one waiter was woken and has not yet locked or queued again. While it is set, unlocks wake nobody: whoever was
 *             woken looks after the lock.
 *          MX3 a waiter that was woken, and loses, queues again at the front, with the time it came first; in the same step it clears
 *             WOKEN. So while somebody is queued and the mutex is held without WOKEN, the holder's unlock wakes.
 *          MX4 an unlock's last access to the mutex is the one that frees it.
 *          MX5 woken_since is when the waiter that WOKEN stands for came. Others may take the mutex before it until that is
 *             WF_MUTEX_HANDOFF_NS ago; then they queue.
 * Order    LA-1 of latch.h: unlock -> lock. A hand-over goes by the waiter's ticket (TK-1).
 * Tests    tests/sync/mutex_test.cc, tests/model/mutex_model.c
 */
#ifndef WF_SCHED_SYNC_MUTEX_H
#define WF_SCHED_SYNC_MUTEX_H

#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

#define WF_MUTEX_WOKEN UINT64_C(8)
#define WF_MUTEX_SHIFT WF_HOLDER_SHIFT
#define WF_MUTEX_BITS ((UINT64_C(1) << WF_MUTEX_SHIFT) - 1)

struct wf_mutex {
	struct wf_queue queue;
	int64_t woken_since; /* MX5; under the latch */
} __attribute__((may_alias));

/* Takes a free mutex; `me` is the holder's number, shifted. `clear`: WOKEN if the caller was woken (MX3); others that find WOKEN ask under the
 * latch (MX5). */
static inline bool wf_mutex_take(wf_latch *latch, uint64_t me, uint64_t clear)
{
	uint64_t seen = wf_latch_peek(latch);
	while (!(seen & WF_LATCH_HELD) && seen <= WF_MUTEX_BITS &&
		(clear != 0 || !(seen & WF_MUTEX_WOKEN)))
		if (wf_latch_try(latch, &seen, (seen & ~clear) | me))
			return true;
	return false;
}

/* Unlocks where nobody has to be woken. False: see wf_mutex_unlock_as. */
static inline bool wf_mutex_let_go(wf_latch *latch, uint64_t me)
{
	uint64_t seen = wf_latch_peek(latch);
	while ((seen & ~WF_MUTEX_BITS) == me && (!(seen & WF_QUEUED) || (seen & WF_MUTEX_WOKEN)))
		if (!wf_latch_try(latch, &seen, seen & WF_MUTEX_BITS)) {
			if (seen & WF_LATCH_HELD)
				return false;
		} else {
			return true;
		}
	return false;
}

/* Unlock in the name of `holder`, which need not be the caller (a condition's commit function). 0 or -EPERM. */
int wf_mutex_unlock_as(struct wf_mutex *mutex, uint64_t holder);
bool wf_mutex_held_by(const struct wf_mutex *mutex, uint64_t holder);

WF_OWNER_CODE_END

#endif
