/* SPDX-License-Identifier: MIT */
/* event.c - weft_event and weft_waitgroup: to wait until something is so, all at once
 *
 * What     an event's state is SET; a waitgroup's is its count, and zero is what is waited for.
 * Rules    V1 nobody is queued while it is so: who makes it so takes all waiters off the list, under the latch.
 * Tests    tests/sync/waitgroup_event_test.cc
 */
#include <errno.h>
#include <limits.h>
#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_event) == sizeof(struct wf_queue), "the public struct is the queue");
_Static_assert(sizeof(weft_waitgroup) == sizeof(struct wf_queue), "the public struct is the queue");

#define SET (UINT64_C(1) << WF_STATE_SHIFT)

struct wait {
	struct wf_wait wait;
	struct wf_queue *queue;
	bool (*is_so)(uint64_t state);
};

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	uint64_t state = wf_latch_acquire(&w->queue->latch);
	bool must = !w->is_so(state);
	if (must) {
		wf_waiters_append(&w->queue->waiters, &wait->node);
		state |= WF_QUEUED;
	}
	wf_latch_release(&w->queue->latch, state);
	return must;
}

static int wait_until(struct wf_queue *queue, bool (*is_so)(uint64_t state), enum wf_wait_kind kind)
{
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0 || is_so(wf_latch_peek(&queue->latch)))
			return error;
		struct wait w = {
			.wait = {.publish = publish, .deadline = WEFT_FOREVER, .kind = kind, .object = queue},
			.queue = queue,
			.is_so = is_so,
		};
		if (wf_wait(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return 0;
		if (!wf_queue_abandon(queue, &w.wait.node))
			return wf_wait_levels(); /* W7 */
	}
}

/* V1. The state becomes `state`, in which it is so. */
static void release_all(struct wf_queue *queue, uint64_t state)
{
	struct wf_wakes wakes = {NULL, NULL};
	wf_wakes_add_all(&wakes, &queue->waiters);
	wf_latch_release(&queue->latch, state);
	wf_wakes_finish(&wakes);
}

static bool is_set(uint64_t state)
{
	return (state & SET) != 0;
}

void weft_event_set(weft_event *event)
{
	struct wf_queue *queue = (struct wf_queue *)event;
	if (queue == NULL)
		return;
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & (WF_LATCH_HELD | WF_QUEUED)))
		if (is_set(seen) || wf_latch_try(&queue->latch, &seen, seen | SET))
			return;
	wf_latch_acquire(&queue->latch);
	release_all(queue, SET);
}

void weft_event_reset(weft_event *event)
{
	struct wf_queue *queue = (struct wf_queue *)event;
	if (queue == NULL)
		return;
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & WF_LATCH_HELD))
		if (!is_set(seen) || wf_latch_try(&queue->latch, &seen, seen & ~SET))
			return;
	wf_latch_release(&queue->latch, wf_latch_acquire(&queue->latch) & ~SET);
}

int weft_event_wait(weft_event *event)
{
	return event == NULL ? -EINVAL : wait_until((struct wf_queue *)event, is_set, WF_WAITS_EVENT);
}

static int64_t count_of(uint64_t state)
{
	return (int64_t)(state >> WF_STATE_SHIFT);
}

static bool is_zero(uint64_t state)
{
	return count_of(state) == 0;
}

/* The state with another count; what is wrong with it. */
static int change(uint64_t state, int delta, uint64_t *changed)
{
	int64_t count = count_of(state) + delta;
	if (count < 0)
		return -EINVAL;
	if (count > INT_MAX)
		return -EOVERFLOW;
	*changed = (state & WF_QUEUED) | (uint64_t)count << WF_STATE_SHIFT;
	return 0;
}

int weft_waitgroup_add(weft_waitgroup *group, int delta)
{
	struct wf_queue *queue = (struct wf_queue *)group;
	if (queue == NULL)
		return -EINVAL;
	uint64_t changed;
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & WF_LATCH_HELD)) {
		int error = change(seen, delta, &changed);
		if (error != 0)
			return error;
		if ((seen & WF_QUEUED) && is_zero(changed))
			break;
		if (wf_latch_try(&queue->latch, &seen, changed))
			return 0;
	}
	seen = wf_latch_acquire(&queue->latch);
	int error = change(seen, delta, &changed);
	if (error == 0 && is_zero(changed))
		release_all(queue, 0);
	else
		wf_latch_release(&queue->latch, error == 0 ? changed : seen);
	return error;
}

int weft_waitgroup_done(weft_waitgroup *group)
{
	return weft_waitgroup_add(group, -1);
}

int weft_waitgroup_wait(weft_waitgroup *group)
{
	return group == NULL ? -EINVAL
			     : wait_until((struct wf_queue *)group, is_zero, WF_WAITS_WAITGROUP);
}

WF_OWNER_CODE_END
