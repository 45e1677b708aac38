/* SPDX-License-Identifier: MIT */
/* once.c - weft_once: done once, by the first who needs it
 *
 * What     the state is who runs the function, then DONE. Neither is ever taken back.
 * Tests    tests/sync/once_barrier_test.cc
 */
#include <errno.h>
#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_once) == sizeof(struct wf_queue), "the public struct is the queue");

#define DONE (UINT64_C(1) << WF_STATE_SHIFT)
#define RUNNER_SHIFT WF_HOLDER_SHIFT

struct wait {
	struct wf_wait wait;
	struct wf_queue *queue;
};

static bool publish(struct wf_wait *wait)
{
	struct wf_queue *queue = ((struct wait *)wait)->queue;
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool must = !(state & DONE);
	if (must) {
		wf_waiters_append(&queue->waiters, &wait->node);
		state |= WF_QUEUED;
	}
	wf_latch_release(&queue->latch, state);
	return must;
}

static void finish(struct wf_queue *queue)
{
	struct wf_wakes wakes = {NULL, NULL};
	wf_latch_acquire(&queue->latch);
	wf_wakes_add_all(&wakes, &queue->waiters);
	wf_latch_release(&queue->latch, DONE);
	wf_wakes_finish(&wakes);
}

int weft_once_do(weft_once *once, weft_fn fn, void *arg)
{
	struct wf_queue *queue = (struct wf_queue *)once;
	if (queue == NULL || fn == NULL)
		return -EINVAL;
	for (;;) {
		int error = wf_wait_levels();
		uint64_t seen = wf_latch_peek(&queue->latch);
		if (error != 0 || (seen & DONE))
			return error;
		uint64_t me = wf_holder() << RUNNER_SHIFT;
		if (seen == 0) {
			if (!wf_latch_try(&queue->latch, &seen, me))
				continue;
			fn(arg);
			finish(queue);
			return 0;
		}
		if (seen >> RUNNER_SHIFT == me >> RUNNER_SHIFT)
			return -EDEADLK;
		struct wait w = {
			.wait = {.publish = publish,
				.deadline = WEFT_FOREVER,
				.kind = WF_WAITS_ONCE,
				.object = queue},
			.queue = queue,
		};
		if (wf_wait_for_lock(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return 0;
		wf_queue_abandon(queue, &w.wait.node);
	}
}

WF_OWNER_CODE_END
