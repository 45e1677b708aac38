/* SPDX-License-Identifier: MIT */
/* sem.c - weft_sem: permits, given to those who wait in their order
 *
 * What     the state is the number of permits.
 * Rules    S1 nobody is queued while there are permits: a post goes to the first who waits, and only else into the number.
 *          S2 a permit that meets a waiter which gives up at the same time goes to the next (W2 of wait.h).
 * Tests    tests/sync/sem_test.cc
 */
#include <errno.h>
#include <limits.h>
#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_sem) == sizeof(struct wf_queue), "the public struct is the queue");

#define ONE (UINT64_C(1) << WF_STATE_SHIFT)
#define MOST ((uint64_t)UINT_MAX << WF_STATE_SHIFT)

struct wait {
	struct wf_wait wait;
	struct wf_queue *queue;
};

static bool publish(struct wf_wait *wait)
{
	struct wf_queue *queue = ((struct wait *)wait)->queue;
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool must = state < ONE;
	if (must) {
		wf_waiters_append(&queue->waiters, &wait->node);
		state |= WF_QUEUED;
	} else {
		state -= ONE;
	}
	wf_latch_release(&queue->latch, state);
	return must;
}

void weft_sem_init(weft_sem *sem, unsigned permits)
{
	struct wf_queue *queue = (struct wf_queue *)sem;
	if (queue == NULL)
		return;
	queue->waiters = NULL;
	wf_store_rel64(&queue->latch.word, (uint64_t)permits << WF_STATE_SHIFT); /* LA-1 */
}

/* Takes a permit if there is one and nobody holds the latch. */
static bool take(struct wf_queue *queue)
{
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & WF_LATCH_HELD) && seen >= ONE)
		if (wf_latch_try(&queue->latch, &seen, seen - ONE))
			return true;
	return false;
}

int weft_sem_trywait(weft_sem *sem)
{
	struct wf_queue *queue = (struct wf_queue *)sem;
	if (queue == NULL)
		return -EINVAL;
	if (take(queue))
		return 0;
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool got = state >= ONE;
	wf_latch_release(&queue->latch, got ? state - ONE : state);
	return got ? 0 : -EAGAIN;
}

int weft_sem_wait(weft_sem *sem)
{
	struct wf_queue *queue = (struct wf_queue *)sem;
	if (queue == NULL)
		return -EINVAL;
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0 || take(queue))
			return error;
		struct wait w = {
			.wait = {.publish = publish,
				.deadline = WEFT_FOREVER,
				.kind = WF_WAITS_SEM,
				.object = queue},
			.queue = queue,
		};
		if (wf_wait(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return 0;
		wf_queue_abandon(queue, &w.wait.node);
	}
}

int weft_sem_post(weft_sem *sem)
{
	struct wf_queue *queue = (struct wf_queue *)sem;
	if (queue == NULL)
		return -EINVAL;
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & (WF_LATCH_HELD | WF_QUEUED))) {
		if (seen >= MOST)
			return -EOVERFLOW;
		if (wf_latch_try(&queue->latch, &seen, seen + ONE))
			return 0;
	}
	uint64_t state = wf_latch_acquire(&queue->latch);
	struct wf_waiter *first = wf_waiters_win_first(&queue->waiters); /* S1, S2 */
	bool full = state >= MOST;
	state = (state & ~WF_QUEUED) | wf_queued(queue);
	if (first == NULL && !full)
		state += ONE;
	wf_latch_release(&queue->latch, state);
	if (first != NULL)
		wf_waiter_finish(first, true);
	return full ? -EOVERFLOW : 0;
}

WF_OWNER_CODE_END
