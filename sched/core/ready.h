/* SPDX-License-Identifier: MIT */
/* ready.h - the woken fibers of one worker: a ring that grows, first come first served
 *
 * What     the owner pushes at tail; every taker, the owner too, moves head by a compare-and-swap; a thief takes half at once.
 *          A full ring doubles up to WF_READY_MAX; what does not fit then goes to the injection queue.
 * Rejected a Chase-Lev deque with half-steals (unsound: the owner's bottom pop does not see a multi-item CAS of top);
 *          a fixed ring of 256 with an overflow list (10,000 yielding fibers: 230 ns a switch, for every fiber moved through a lock and
 *          a chain of cold blocks; ADR-0003).
 * Owns     the fibers in slots [head, tail): each is READY and in no other queue. The arrays.
 * Rules    R1 tail - head <= capacity, compared only as an unsigned difference; the indices wrap.
 *          R2 only the owner writes tail and grows the array; an old array stays readable until wf_ready_free.
 *          R3 a taker may use what it copied only after its cas of head has won; so slots are atomics.
 * Order    RD-1 push's tail (sc swap, or release when nobody steals) -> take's load: carries the slot and the fiber.
 *          RD-2 take's head (cas) -> push's load: a slot is rewritten only after its reader has done.
 *          RD-3 grow's array (release) -> steal's load (acquire), which comes after its load of tail: an entry that stands only in the
 *             new array is looked for there.
 *          The push is also ID-1.1: a RMW on tail.
 * Together        push  take  steal       (X: the caller must exclude; push and take are the owner's)
 *          push    X     X     -
 *          take    X     X     -
 *          steal   -     -     -
 * Tests    tests/core/ready_test.cc, tests/model/ready_model.c
 */
#ifndef WF_SCHED_CORE_READY_H
#define WF_SCHED_CORE_READY_H

#include "sched/base/atomic.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

struct wf_ready_array {
	uint32_t capacity; /* a power of two */
	struct wf_ready_array *older;
	wf_aptr slot[];
};

struct wf_ready {
	_Alignas(WF_CACHE_LINE) wf_a32 head; /* takers */
	_Alignas(WF_CACHE_LINE) wf_a32 tail; /* owner */
	wf_aptr array;
};

int wf_ready_init(struct wf_ready *ready); /* 0 or -ENOMEM */
void wf_ready_free(struct wf_ready *ready);
bool wf_ready_grow_self(struct wf_ready *ready); /* owner; false: at WF_READY_MAX, or no memory */

static inline wf_aptr *wf_ready_slot(struct wf_ready_array *array, uint32_t index)
{
	return &array->slot[index & (array->capacity - 1)];
}

/* Owner. False: full. `shared`: somebody may sleep who has to see it (ID-1.1). */
static inline bool wf_ready_push(struct wf_ready *ready, void *fiber, bool shared)
{
	struct wf_ready_array *array = wf_load_acqp(
		&ready->array); /* R2; acquire: an earlier fiber of this worker may have grown it */
	uint32_t tail = wf_load_rlx32(&ready->tail); /* rlx: R2 */
	uint32_t head = wf_load_acq32(&ready->head); /* RD-2 */
	if (tail - head >= array->capacity)
		return false;
	wf_store_rlxp(wf_ready_slot(array, tail), fiber); /* rlx: RD-1 below; atomic because of R3 */
	if (shared)
		wf_swap_sc32(&ready->tail, tail + 1); /* RD-1, ID-1.1 */
	else
		wf_store_rel32(&ready->tail, tail + 1); /* RD-1 */
	return true;
}

/* Owner: the oldest, or NULL. Not `shared`: there is no thief to race with. */
static inline void *wf_ready_take(struct wf_ready *ready, bool shared)
{
	struct wf_ready_array *array = wf_load_acqp(
		&ready->array); /* R2; acquire: an earlier fiber of this worker may have grown it */
	uint32_t head = wf_load_acq32(&ready->head);
	for (;;) {
		if (head == wf_load_rlx32(&ready->tail)) /* rlx: R2 */
			return NULL;
		void *fiber = wf_load_rlxp(wf_ready_slot(array, head)); /* rlx: R3, own writes */
		if (!shared) {
			wf_store_rel32(&ready->head, head + 1);
			return fiber;
		}
		if (wf_cas_acq_rel32(&ready->head, &head, head + 1)) /* RD-2 */
			return fiber;
	}
}

/* Owner: what stands `ahead` places behind the next one, for prefetching only; may be stale or NULL. */
static inline void *wf_ready_peek(const struct wf_ready *ready, uint32_t ahead)
{
	/* rlx: nothing is decided by it. */
	uint32_t head = wf_load_rlx32(&ready->head) + ahead;
	if ((int32_t)(wf_load_rlx32(&ready->tail) - head) <= 0)
		return NULL;
	return wf_load_rlxp(wf_ready_slot(wf_load_rlxp(&ready->array), head));
}

static inline bool wf_ready_empty_sc(const struct wf_ready *ready)
{
	/* ID-1.6: head first; a tail read later only makes the ring look fuller. */
	uint32_t head = wf_load_sc32(&ready->head);
	return head == wf_load_sc32(&ready->tail);
}

/* Any thread: takes half of what is there, rounded up, at most `max`, oldest first. Returns how many. */
static inline uint32_t wf_ready_steal(struct wf_ready *ready, void **out, uint32_t max)
{
	uint32_t head = wf_load_acq32(&ready->head); /* RD-2: nothing older than head is read */
	for (;;) {
		uint32_t tail = wf_load_acq32(&ready->tail);		    /* RD-1 */
		struct wf_ready_array *array = wf_load_acqp(&ready->array); /* RD-3 */
		uint32_t count = tail - head;
		if (count == 0)
			return 0;
		if (count > array->capacity) {
			head = wf_load_acq32(&ready->head); /* head and tail of different times: look again */
			continue;
		}
		count -= count / 2;
		if (count > max)
			count = max;
		for (uint32_t i = 0; i < count; i++)
			out[i] = wf_load_rlxp(wf_ready_slot(array, head + i)); /* rlx: R3 */
		if (wf_cas_acq_rel32(&ready->head, &head, head + count))       /* RD-2 */
			return count;
	}
}

WF_OWNER_CODE_END

#endif
