/* SPDX-License-Identifier: MIT */
/* timer.c - see timer.h */
#include "sched/core/timer.h"

#include <string.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

#define ARITY 4u

void wf_timer_heap_init(struct wf_timer_heap *heap)
{
	memset(heap, 0, sizeof(*heap));
	wf_store_rlx64(&heap->earliest, INT64_MAX); /* rlx: nobody else knows the heap yet */
}

void wf_timer_heap_free(struct wf_timer_heap *heap)
{
	WF_CHECK(heap->count == 0 && heap->listed == NULL);
	wf_free(heap->slot, heap->capacity * sizeof(struct wf_timer_slot));
	wf_timer_heap_init(heap);
}

static bool before(const struct wf_timer_slot *a, const struct wf_timer_slot *b)
{
	if (a->deadline != b->deadline)
		return a->deadline < b->deadline;
	return a->sequence < b->sequence; /* M3 */
}

static void place_locked(struct wf_timer_heap *heap, uint32_t at, struct wf_timer_slot slot)
{
	heap->slot[at] = slot;
	slot.timer->position = at;
}

static void sift_up_locked(struct wf_timer_heap *heap, uint32_t at, struct wf_timer_slot slot)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / ARITY;
		if (!before(&slot, &heap->slot[parent]))
			break;
		place_locked(heap, at, heap->slot[parent]);
		at = parent;
	}
	place_locked(heap, at, slot);
}

static void sift_down_locked(struct wf_timer_heap *heap, uint32_t at, struct wf_timer_slot slot)
{
	for (;;) {
		uint32_t child = at * ARITY + 1;
		if (child >= heap->count)
			break;
		uint32_t end = child + ARITY < heap->count ? child + ARITY : heap->count;
		uint32_t least = child;
		for (uint32_t c = child + 1; c < end; c++)
			if (before(&heap->slot[c], &heap->slot[least]))
				least = c;
		if (!before(&heap->slot[least], &slot))
			break;
		place_locked(heap, at, heap->slot[least]);
		at = least;
	}
	place_locked(heap, at, slot);
}

static void publish_earliest_locked(struct wf_timer_heap *heap)
{
	int64_t earliest = heap->count > 0 ? heap->slot[0].deadline : INT64_MAX;
	for (const struct wf_timer *t = heap->listed; t != NULL; t = t->next)
		if ((int64_t)wf_load_rlx64(&t->until) < earliest) /* rlx: M4, looked at again when due */
			earliest = (int64_t)wf_load_rlx64(&t->until);
	/* rlx read: only written under the lock, which is held. */
	if ((int64_t)wf_load_rlx64(&heap->earliest) != earliest)
		wf_swap_sc64(&heap->earliest, (uint64_t)earliest); /* TM-1 */
}

static void remove_locked(struct wf_timer_heap *heap, uint32_t at)
{
	struct wf_timer *timer = heap->slot[at].timer;
	struct wf_timer_slot last = heap->slot[--heap->count];
	if (at < heap->count) {
		if (at > 0 && before(&last, &heap->slot[(at - 1) / ARITY]))
			sift_up_locked(heap, at, last);
		else
			sift_down_locked(heap, at, last);
	}
	wf_store_relp(&timer->heap, NULL); /* TM-1: M1 */
}

static bool grow_locked(struct wf_timer_heap *heap)
{
	uint32_t capacity = heap->capacity == 0 ? 64 : heap->capacity * 2;
	struct wf_timer_slot *slot = wf_alloc(capacity * sizeof(*slot));
	if (slot == NULL)
		return false;
	if (heap->count > 0)
		memcpy(slot, heap->slot, heap->count * sizeof(*slot));
	wf_free(heap->slot, heap->capacity * sizeof(*slot));
	heap->slot = slot;
	heap->capacity = capacity;
	return true;
}

static void insert_locked(struct wf_timer_heap *heap, struct wf_timer *timer, int64_t deadline)
{
	if (heap->count == heap->capacity && !grow_locked(heap)) { /* M5 */
		timer->position = WF_TIMER_LISTED;
		timer->next = heap->listed;
		heap->listed = timer;
		return;
	}
	struct wf_timer_slot slot = {.deadline = deadline, .sequence = heap->sequence++, .timer = timer};
	sift_up_locked(heap, heap->count++, slot);
}

static void unlist_locked(struct wf_timer_heap *heap, struct wf_timer *timer)
{
	struct wf_timer **link = &heap->listed;
	while (*link != timer)
		link = &(*link)->next;
	*link = timer->next;
	wf_store_relp(&timer->heap, NULL); /* TM-1: M1 */
}

void wf_timer_arm(struct wf_timer_heap *heap, struct wf_timer *timer, int64_t deadline)
{
	wf_store_rlx64(&timer->until, (uint64_t)deadline); /* rlx: the lock orders it */
	wf_lock_acquire(&heap->lock);
	wf_store_relp(&timer->heap, heap); /* TM-1: M1 */
	insert_locked(heap, timer, deadline);
	publish_earliest_locked(heap);
	wf_lock_release(&heap->lock);
}

bool wf_timer_postpone(struct wf_timer *timer, int64_t deadline)
{
	struct wf_timer_heap *heap = wf_load_acqp(&timer->heap); /* TM-1; re-checked under the lock */
	if (heap == NULL)
		return false;
	wf_lock_acquire(&heap->lock);
	/* rlx: until is written by this owner only. */
	bool later = wf_load_acqp(&timer->heap) == heap &&
		deadline >= (int64_t)wf_load_rlx64(&timer->until);
	if (later)
		wf_store_rlx64(&timer->until, (uint64_t)deadline); /* rlx: under the lock */
	wf_lock_release(&heap->lock);
	return later;
}

bool wf_timer_cancel(struct wf_timer *timer)
{
	for (;;) {
		struct wf_timer_heap *heap = wf_load_acqp(&timer->heap); /* TM-1; re-checked under the lock */
		if (heap == NULL)
			return false;
		wf_lock_acquire(&heap->lock);
		bool here = wf_load_acqp(&timer->heap) == heap; /* TM-1: M1 */
		if (here) {
			if (timer->position == WF_TIMER_LISTED)
				unlist_locked(heap, timer);
			else
				remove_locked(heap, timer->position);
			publish_earliest_locked(heap);
		}
		wf_lock_release(&heap->lock);
		if (here)
			return true;
	}
}

/* Takes a due timer out; false when there is none. It is copied before it turns idle: its owner may free it from then on (M2).
 * A timer moved later (M4) goes back in. */
static bool take_due_locked(struct wf_timer_heap *heap, int64_t now, struct wf_timer *copy)
{
	for (struct wf_timer *t = heap->listed; t != NULL; t = t->next)
		if ((int64_t)wf_load_rlx64(&t->until) <= now) { /* rlx: M4 */
			*copy = *t;
			unlist_locked(heap, t);
			return true;
		}
	while (heap->count > 0 && heap->slot[0].deadline <= now) {
		struct wf_timer *timer = heap->slot[0].timer;
		int64_t until = (int64_t)wf_load_rlx64(&timer->until); /* rlx: M4 */
		if (until <= now) {
			*copy = *timer;
			remove_locked(heap, 0);
			return true;
		}
		struct wf_timer_slot slot = {
			.deadline = until, .sequence = heap->sequence++, .timer = timer};
		sift_down_locked(heap, 0, slot);
	}
	return false;
}

static uint32_t fire_due(
	struct wf_timer_heap *heap, struct wf_worker *w, int64_t now, uint32_t most, bool waits)
{
	uint32_t fired = 0;
	while (fired < most && wf_timer_earliest(heap) <= now) {
		if (waits)
			wf_lock_acquire(&heap->lock);
		else if (!wf_trylock(&heap->lock))
			break;
		struct wf_timer copy;
		bool due = take_due_locked(heap, now, &copy);
		publish_earliest_locked(heap);
		wf_lock_release(&heap->lock);
		if (!due)
			break;
		copy.fire(w, copy.owner, copy.key);
		fired++;
	}
	return fired;
}

uint32_t wf_timer_fire_due(struct wf_timer_heap *heap, struct wf_worker *w, int64_t now, uint32_t most)
{
	return fire_due(heap, w, now, most, true);
}

uint32_t wf_timer_fire_due_try(struct wf_timer_heap *heap, struct wf_worker *w, int64_t now, uint32_t most)
{
	return fire_due(heap, w, now, most, false);
}

void wf_timer_move_all(struct wf_timer_heap *from, struct wf_timer_heap *to)
{
	struct wf_timer_heap *first = (uintptr_t)from < (uintptr_t)to ? from : to;
	struct wf_timer_heap *second = first == from ? to : from;
	struct wf_timer *timer;
	wf_lock_acquire(&first->lock);
	wf_lock_acquire(&second->lock);
	while ((timer = from->listed) != NULL || from->count > 0) {
		if (timer == NULL)
			timer = from->slot[0].timer;
		if (timer->position == WF_TIMER_LISTED)
			unlist_locked(from, timer);
		else
			remove_locked(from, 0);
		/* rlx: M4, under the lock. */
		insert_locked(to, timer, (int64_t)wf_load_rlx64(&timer->until));
		wf_store_relp(&timer->heap, to); /* TM-1: M1 */
	}
	publish_earliest_locked(from);
	publish_earliest_locked(to);
	wf_lock_release(&second->lock);
	wf_lock_release(&first->lock);
}

WF_OWNER_CODE_END
