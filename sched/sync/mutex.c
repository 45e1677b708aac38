/* SPDX-License-Identifier: MIT */
/* mutex.c - see mutex.h */
#include "sched/sync/mutex.h"

#include <errno.h>

#include "sched/base/limits.h"
#include "sched/base/seam.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_mutex) == sizeof(struct wf_mutex), "the public struct is the mutex");

/* What an unlock has done for the waiter it woke. */
enum { TRY_AGAIN, HANDED_OVER };

struct wait {
	struct wf_wait wait;
	struct wf_mutex *mutex;
	uint64_t me;
	bool woken; /* MX2: this waiter is the one that WOKEN stands for */
	bool got;
};

/* MX5: with the latch held, and the mutex free. */
static bool may_take_locked(const struct wf_mutex *mutex, uint64_t state)
{
	return !(state & WF_MUTEX_WOKEN) || wf_clock_now() - mutex->woken_since < WF_MUTEX_HANDOFF_NS;
}

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_mutex *mutex = w->mutex;
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
	bool again = w->woken;
	if (again)
		state &= ~WF_MUTEX_WOKEN; /* MX3 */
	w->woken = false;
	w->got = state <= WF_MUTEX_BITS && may_take_locked(mutex, state);
	if (w->got) {
		wf_latch_release(&mutex->queue.latch, state | w->me);
		return false;
	}
	if (again)
		wf_waiters_prepend(&mutex->queue.waiters, &wait->node);
	else
		wf_waiters_append(&mutex->queue.waiters, &wait->node);
	wf_latch_release(&mutex->queue.latch, state | WF_QUEUED);
	return true;
}

/* It is held by another: a moment may be enough. */
static bool spin(struct wait *w)
{
	if (!wf_holder_may_spin())
		return false;
	uint64_t clear = w->woken ? WF_MUTEX_WOKEN : 0;
	for (int i = 0; i < WF_MUTEX_SPINS; i++) {
		for (int k = 0; k < WF_MUTEX_SPIN_RELAX; k++)
			wf_cpu_relax();
		if (wf_mutex_take(&w->mutex->queue.latch, w->me, clear))
			return true;
	}
	return false;
}

/* Waits until the mutex is the caller's: 0, or why it gave up. `levels`: a cancellation point. */
static int lock_slow(struct wf_mutex *mutex, uint64_t me, weft_ns deadline, bool levels)
{
	struct wait w = {
		.wait = {.publish = publish,
			.deadline = deadline,
			.kind = WF_WAITS_MUTEX,
			.object = mutex,
			.node = {.holder = me >> WF_MUTEX_SHIFT, .since = wf_clock_now()}},
		.mutex = mutex,
		.me = me,
	};
	if (spin(&w))
		return 0;
	for (;;) {
		w.wait.node.status = TRY_AGAIN;
		int code = wf_wait_for_lock(&w.wait, levels ? wf_wait_masks() : WF_PARK_DEAF);
		if (code == WF_WAKE_OK) {
			if (w.got || w.wait.node.status == HANDED_OVER)
				return 0;
			w.woken = true;
			if (wf_mutex_take(&mutex->queue.latch, me, WF_MUTEX_WOKEN) || spin(&w))
				return 0;
			continue;
		}
		wf_queue_abandon(&mutex->queue, &w.wait.node);
		if (code == WF_WAKE_TIMER)
			return weft_mutex_trylock((weft_mutex *)mutex) == 0 ? 0 : -ETIMEDOUT;
		int error = wf_wait_levels();
		if (error != 0)
			return error;
	}
}

static bool lock_fast(struct wf_mutex *mutex, uint64_t me)
{
	uint64_t unlocked = 0;
	return wf_latch_try(&mutex->queue.latch, &unlocked, me) ||
		wf_mutex_take(&mutex->queue.latch, me, 0);
}

/* Free, but for one that was woken, or for whoever holds the latch at this moment? `politely`: MX5. */
static bool lock_under_latch(struct wf_mutex *mutex, uint64_t me, bool politely)
{
	uint64_t seen = wf_latch_peek(&mutex->queue.latch);
	if (seen > WF_MUTEX_BITS && !(seen & WF_LATCH_HELD))
		return false;
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
	bool got = state <= WF_MUTEX_BITS && (!politely || may_take_locked(mutex, state));
	wf_latch_release(&mutex->queue.latch, got ? state | me : state);
	return got;
}

bool wf_mutex_held_by(const struct wf_mutex *mutex, uint64_t holder)
{
	return wf_latch_peek(&mutex->queue.latch) >> WF_MUTEX_SHIFT == holder;
}

void weft_mutex_lock(weft_mutex *public)
{
	struct wf_mutex *mutex = (struct wf_mutex *)public;
	if (WF_UNLIKELY(mutex == NULL))
		wf_fatal("weft_mutex_lock: the mutex is NULL");
	uint64_t holder = wf_holder_on(wf_turn());
	uint64_t me = holder << WF_MUTEX_SHIFT;
	if (WF_LIKELY(lock_fast(mutex, me)) || lock_under_latch(mutex, me, true))
		return;
	if (wf_mutex_held_by(mutex, holder))
		wf_fatal("weft_mutex_lock: the caller holds this mutex already");
	lock_slow(mutex, me, WEFT_FOREVER, false);
}

int weft_mutex_trylock(weft_mutex *public)
{
	struct wf_mutex *mutex = (struct wf_mutex *)public;
	if (mutex == NULL)
		return -EINVAL;
	uint64_t me = wf_holder() << WF_MUTEX_SHIFT;
	return lock_fast(mutex, me) || lock_under_latch(mutex, me, false) ? 0 : -EBUSY;
}

int weft_mutex_lock_by(weft_mutex *public, weft_ns deadline)
{
	struct wf_mutex *mutex = (struct wf_mutex *)public;
	if (mutex == NULL)
		return -EINVAL;
	int error = wf_wait_levels();
	if (error != 0)
		return error;
	uint64_t holder = wf_holder();
	if (weft_mutex_trylock(public) == 0)
		return 0;
	if (wf_mutex_held_by(mutex, holder))
		return -EDEADLK;
	if (deadline != WEFT_FOREVER && weft_now() >= deadline)
		return -ETIMEDOUT;
	return lock_slow(mutex, holder << WF_MUTEX_SHIFT, deadline, true);
}

int wf_mutex_unlock_as(struct wf_mutex *mutex, uint64_t holder)
{
	uint64_t me = holder << WF_MUTEX_SHIFT;
	if (WF_LIKELY(wf_mutex_let_go(&mutex->queue.latch, me))) /* MX4 */
		return 0;
	if (!wf_mutex_held_by(mutex, holder))
		return -EPERM;
	struct wf_waiter *first = NULL;
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
	if (!(state & WF_MUTEX_WOKEN)) /* MX2 */
		first = wf_waiters_win_first(&mutex->queue.waiters);
	state = (state & WF_MUTEX_WOKEN) | wf_queued(&mutex->queue);
	if (first != NULL && wf_clock_now() - first->since >= WF_MUTEX_HANDOFF_NS) {
		first->status = HANDED_OVER;
		state |= first->holder << WF_MUTEX_SHIFT;
	} else if (first != NULL) {
		state |= WF_MUTEX_WOKEN;
		mutex->woken_since = first->since;
	}
	wf_latch_release(&mutex->queue.latch, state); /* MX4 */
	if (first != NULL)
		wf_waiter_finish(first, true);
	return 0;
}

int weft_mutex_unlock(weft_mutex *public)
{
	struct wf_mutex *mutex = (struct wf_mutex *)public;
	return mutex == NULL ? -EINVAL : wf_mutex_unlock_as(mutex, wf_holder());
}

WF_OWNER_CODE_END
