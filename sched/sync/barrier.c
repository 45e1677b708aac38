/* SPDX-License-Identifier: MIT */
/* barrier.c - weft_barrier: wait until all are there
 *
 * What     the state is how many wait. The last to come takes all of them off the list: that is the moment at which the barrier opens.
 * Rules    B1 who is interrupted and finds itself still on the list was not counted; who finds itself taken off was there when the
 *             barrier opened, and returns 0.
 * Tests    tests/sync/once_barrier_test.cc
 */
#include <errno.h>
#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

struct barrier {
	struct wf_queue queue;
	uint64_t parties;
} __attribute__((may_alias));
_Static_assert(sizeof(weft_barrier) == sizeof(struct barrier), "the public struct is the barrier");

#define ONE (UINT64_C(1) << WF_STATE_SHIFT)

struct wait {
	struct wf_wait wait;
	struct barrier *barrier;
	bool opened; /* by this caller */
};

/* With the latch held, which is given back. True: the caller was the last, and all go on. */
static bool open_if_last(struct barrier *barrier, uint64_t state)
{
	if ((state >> WF_STATE_SHIFT) + 1 < barrier->parties)
		return false;
	struct wf_wakes wakes = {NULL, NULL};
	wf_wakes_add_all(&wakes, &barrier->queue.waiters);
	wf_latch_release(&barrier->queue.latch, 0);
	wf_wakes_finish(&wakes);
	return true;
}

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_queue *queue = &w->barrier->queue;
	uint64_t state = wf_latch_acquire(&queue->latch);
	w->opened = open_if_last(w->barrier, state);
	if (w->opened)
		return false;
	wf_waiters_append(&queue->waiters, &wait->node);
	wf_latch_release(&queue->latch, (state + ONE) | WF_QUEUED);
	return true;
}

/* B1. */
static bool give_up(struct wf_queue *queue, struct wf_waiter *waiter)
{
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool counted = wf_waiter_linked(waiter);
	if (counted) {
		wf_waiters_remove(&queue->waiters, waiter);
		state = ((state - ONE) & ~WF_QUEUED) | wf_queued(queue);
	}
	wf_latch_release(&queue->latch, state);
	return counted;
}

int weft_barrier_init(weft_barrier *barrier, unsigned parties)
{
	if (barrier == NULL || parties == 0)
		return -EINVAL;
	*(struct barrier *)barrier = (struct barrier){.parties = parties};
	return 0;
}

int weft_barrier_wait(weft_barrier *public)
{
	struct barrier *barrier = (struct barrier *)public;
	if (barrier == NULL || barrier->parties == 0)
		return -EINVAL;
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0)
			return error;
		uint64_t state = wf_latch_acquire(&barrier->queue.latch);
		if (open_if_last(barrier, state))
			return 1;
		wf_latch_release(&barrier->queue.latch, state);
		struct wait w = {
			.wait = {.publish = publish,
				.deadline = WEFT_FOREVER,
				.kind = WF_WAITS_BARRIER,
				.object = barrier},
			.barrier = barrier,
		};
		if (wf_wait(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return w.opened;
		if (!give_up(&barrier->queue, &w.wait.node))
			return 0;
	}
}

WF_OWNER_CODE_END
