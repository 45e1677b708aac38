/* SPDX-License-Identifier: MIT */
/* deque.h - the unstarted fibers of one worker: newest first for the owner, oldest first for thieves
 *
 * What     a Chase-Lev deque of {fiber index, sequence} entries that grows. Depth first keeps trees small (a breadth-first runtime
 *          holds a whole level of a fork tree at once); thieves take the oldest, which is the largest subtree.
 * Rejected one FIFO ring for spawned and woken alike (memory of fork trees); a fixed array with an overflow list (spawn a million:
 *          every entry would move twice under a lock).
 * Owns     nothing: an entry is a hint. Whoever swaps the fiber's word UNSTARTED -> RUNNING runs it; the others are tombstones.
 * Rules    D1 only the owner writes bottom and grows the array.
 *          D2 an old array stays readable until wf_deque_free: a thief may still hold it.
 *          D3 a thief may use an entry only after its cas of top has won.
 * Order    DQ-1 push's bottom -> steal's load: carries the entry and, through the release, the fiber's fields.
 *          DQ-2 pop: swap bottom (sc), then load top (sc); steal: load top (sc), then load bottom (sc): at the last entry
 *               both see each other, and the cas of top decides.
 *          DQ-3 grow's array (release) -> steal's load (acquire).
 *          The push is also ID-1.1: a RMW on bottom.
 * Tests    tests/core/deque_test.cc, tests/model/deque_model.c
 */
#ifndef WF_SCHED_CORE_DEQUE_H
#define WF_SCHED_CORE_DEQUE_H

#include "sched/base/atomic.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

struct wf_deque_array {
	uint64_t capacity; /* a power of two */
	struct wf_deque_array *older;
	wf_a64 entry[];
};

struct wf_deque {
	_Alignas(WF_CACHE_LINE) wf_a64 top;    /* takers */
	_Alignas(WF_CACHE_LINE) wf_a64 bottom; /* owner */
	wf_aptr array;
};

int wf_deque_init(struct wf_deque *deque); /* 0 or -ENOMEM */
void wf_deque_free(struct wf_deque *deque);
bool wf_deque_grow_self(struct wf_deque *deque); /* owner; false: no memory, nothing changed */

/* Owner. True when a push needs no growth: what spawn asks before it promises anything. */
static inline bool wf_deque_has_room_self(struct wf_deque *deque)
{
	const struct wf_deque_array *array = wf_load_acqp(
		&deque->array); /* D1; acquire: an earlier fiber of this worker may have grown it */
	uint64_t used = wf_load_rlx64(&deque->bottom) - wf_load_rlx64(&deque->top); /* rlx: top only grows */
	return used + 1 < array->capacity;
}

static inline void wf_deque_push_self(struct wf_deque *deque, uint64_t entry, bool shared)
{
	struct wf_deque_array *array = wf_load_acqp(
		&deque->array); /* D1; acquire: an earlier fiber of this worker may have grown it */
	uint64_t bottom = wf_load_rlx64(&deque->bottom);		      /* rlx: D1 */
	wf_store_rlx64(&array->entry[bottom & (array->capacity - 1)], entry); /* rlx: DQ-1 below */
	if (shared)
		wf_swap_sc64(&deque->bottom, bottom + 1); /* DQ-1, ID-1.1 */
	else
		wf_store_rel64(&deque->bottom, bottom + 1); /* DQ-1 */
}

/* Owner: the newest entry. False: empty. Not `shared`: there is no thief to race with. */
static inline bool wf_deque_pop_self(struct wf_deque *deque, uint64_t *entry, bool shared)
{
	uint64_t bottom = wf_load_rlx64(&deque->bottom); /* rlx: D1 */
	if (bottom == wf_load_rlx64(&deque->top)) /* rlx: top only grows towards bottom; empty is stable for the owner */
		return false;
	struct wf_deque_array *array = wf_load_acqp(
		&deque->array); /* D1; acquire: an earlier fiber of this worker may have grown it */
	bottom--;
	if (!shared) {
		*entry = wf_load_rlx64(&array->entry[bottom & (array->capacity - 1)]); /* rlx: own write */
		wf_store_rel64(&deque->bottom, bottom);
		return true;
	}
	wf_swap_sc64(&deque->bottom, bottom);	  /* DQ-2 */
	uint64_t top = wf_load_sc64(&deque->top); /* DQ-2 */
	if ((int64_t)(bottom - top) > 0) {
		*entry = wf_load_rlx64(&array->entry[bottom & (array->capacity - 1)]); /* rlx: own write */
		return true;
	}
	bool won = false;
	if (bottom == top) {
		*entry = wf_load_rlx64(&array->entry[bottom & (array->capacity - 1)]); /* rlx: own write */
		won = wf_cas_sc64(&deque->top, &top, top + 1);			       /* DQ-2 */
	}
	wf_store_rel64(&deque->bottom, bottom + 1); /* DQ-1: what stands below is unchanged */
	return won;
}

/* Owner: takes the newest entry away when it is this one. */
static inline void wf_deque_drop_newest_self(struct wf_deque *deque, uint64_t entry, bool shared)
{
	const struct wf_deque_array *array = wf_load_acqp(
		&deque->array); /* D1; acquire: an earlier fiber of this worker may have grown it */
	uint64_t bottom = wf_load_rlx64(&deque->bottom); /* rlx: D1 */
	if (bottom == wf_load_rlx64(&deque->top) ||	 /* rlx: as in pop */
		wf_load_rlx64(&array->entry[(bottom - 1) & (array->capacity - 1)]) != entry)
		return;
	wf_deque_pop_self(deque, &entry, shared);
}

/* Any thread: the oldest entry, not taken; may be stale. False: empty. */
static inline bool wf_deque_peek_oldest(const struct wf_deque *deque, uint64_t *entry)
{
	uint64_t top = wf_load_acq64(&deque->top);
	if ((int64_t)(wf_load_acq64(&deque->bottom) - top) <= 0)
		return false;
	const struct wf_deque_array *array = wf_load_acqp(&deque->array);   /* DQ-3 */
	*entry = wf_load_rlx64(&array->entry[top & (array->capacity - 1)]); /* rlx: a hint */
	return true;
}

static inline bool wf_deque_empty_sc(const struct wf_deque *deque)
{
	uint64_t top = wf_load_sc64(&deque->top); /* ID-1.6 */
	return (int64_t)(wf_load_sc64(&deque->bottom) - top) <= 0;
}

/* Any thread, the owner too: the oldest entry. False: empty, or another taker was faster (then *raced). */
static inline bool wf_deque_steal(struct wf_deque *deque, uint64_t *entry, bool *raced)
{
	*raced = false;
	uint64_t top = wf_load_sc64(&deque->top);	/* DQ-2 */
	uint64_t bottom = wf_load_sc64(&deque->bottom); /* DQ-1, DQ-2 */
	if ((int64_t)(bottom - top) <= 0)
		return false;
	struct wf_deque_array *array = wf_load_acqp(&deque->array);		    /* DQ-3 */
	uint64_t found = wf_load_rlx64(&array->entry[top & (array->capacity - 1)]); /* rlx: D3 */
	if (!wf_cas_sc64(&deque->top, &top, top + 1)) {				    /* DQ-2 */
		*raced = true;
		return false;
	}
	*entry = found;
	return true;
}

WF_OWNER_CODE_END

#endif
