/* SPDX-License-Identifier: MIT */
/* cond.c - weft_cond: wait until what a mutex protects has changed
 *
 * Rules    C1 the mutex is unlocked when the waiter is on the list: whoever locks it next, and signals, finds the waiter.
 *          C2 a signal goes to one waiter that it has won; one that gives up at the same time is passed over (W2 of wait.h).
 * Tests    tests/sync/cond_test.cc
 */
#include <errno.h>
#include <weft/sync.h>

#include "sched/sync/mutex.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_cond) == sizeof(struct wf_queue), "the public struct is the queue");

struct wait {
	struct wf_wait wait;
	struct wf_queue *cond;
	struct wf_mutex *mutex;
};

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_mutex *mutex = w->mutex;
	uint64_t holder = wait->node.holder;
	uint64_t state = wf_latch_acquire(&w->cond->latch);
	wf_waiters_append(&w->cond->waiters, &wait->node);
	wf_latch_release(&w->cond->latch, state | WF_QUEUED);
	wf_mutex_unlock_as(mutex, holder); /* C1 */
	return true;
}

int weft_cond_wait(weft_cond *cond, weft_mutex *mutex)
{
	if (cond == NULL || mutex == NULL)
		return -EINVAL;
	uint64_t holder = wf_holder();
	struct wait w = {
		.wait = {.publish = publish,
			.deadline = WEFT_FOREVER,
			.kind = WF_WAITS_COND,
			.object = cond,
			.node.holder = holder},
		.cond = (struct wf_queue *)cond,
		.mutex = (struct wf_mutex *)mutex,
	};
	if (!wf_mutex_held_by(w.mutex, holder))
		return -EPERM;
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0)
			return error;
		int code = wf_wait(&w.wait, wf_wait_masks());
		bool missed = code != WF_WAKE_OK && !wf_queue_abandon(w.cond, &w.wait.node);
		error = code == WF_WAKE_OK ? 0 : wf_wait_levels();
		weft_mutex_lock(mutex);
		if (code == WF_WAKE_OK || missed || error != 0) /* W7 */
			return error;
	}
}

void weft_cond_signal(weft_cond *public)
{
	struct wf_queue *cond = (struct wf_queue *)public;
	if (cond == NULL || !(wf_latch_peek(&cond->latch) & (WF_QUEUED | WF_LATCH_HELD)))
		return;
	wf_latch_acquire(&cond->latch);
	struct wf_waiter *first = wf_waiters_win_first(&cond->waiters); /* C2 */
	wf_latch_release(&cond->latch, wf_queued(cond));
	if (first != NULL)
		wf_waiter_finish(first, true);
}

void weft_cond_broadcast(weft_cond *public)
{
	struct wf_queue *cond = (struct wf_queue *)public;
	if (cond == NULL || !(wf_latch_peek(&cond->latch) & (WF_QUEUED | WF_LATCH_HELD)))
		return;
	struct wf_wakes wakes = {NULL, NULL};
	wf_latch_acquire(&cond->latch);
	wf_wakes_add_all(&wakes, &cond->waiters);
	wf_latch_release(&cond->latch, 0);
	wf_wakes_finish(&wakes);
}

WF_OWNER_CODE_END
