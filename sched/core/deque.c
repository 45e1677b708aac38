/* SPDX-License-Identifier: MIT */
/* deque.c - memory of the deque; see deque.h */
#include "sched/core/deque.h"

#include <errno.h>

#include "sched/base/alloc.h"

WF_OWNER_CODE_BEGIN

static size_t array_bytes(uint64_t capacity)
{
	return sizeof(struct wf_deque_array) + capacity * sizeof(wf_a64);
}

int wf_deque_init(struct wf_deque *deque)
{
	struct wf_deque_array *array = wf_alloc(array_bytes(WF_DEQUE_CAP));
	if (array == NULL)
		return -ENOMEM;
	array->capacity = WF_DEQUE_CAP;
	array->older = NULL;
	wf_store_rlxp(&deque->array, array); /* rlx: nobody else knows the deque yet */
	return 0;
}

void wf_deque_free(struct wf_deque *deque)
{
	struct wf_deque_array *array = wf_load_rlxp(&deque->array); /* rlx: the workers have ended */
	while (array != NULL) {
		struct wf_deque_array *older = array->older;
		wf_free(array, array_bytes(array->capacity));
		array = older;
	}
	wf_store_rlxp(&deque->array, NULL); /* rlx: as above */
}

bool wf_deque_grow_self(struct wf_deque *deque)
{
	struct wf_deque_array *old = wf_load_rlxp(&deque->array); /* rlx: D1 */
	uint64_t capacity = old->capacity * 2;
	struct wf_deque_array *array = wf_alloc(array_bytes(capacity));
	if (array == NULL)
		return false;
	array->capacity = capacity;
	array->older = old;				 /* D2 */
	uint64_t bottom = wf_load_rlx64(&deque->bottom); /* rlx: D1 */
	/* rlx: an entry copied although it was just stolen is never read, because top has passed it. */
	for (uint64_t i = wf_load_rlx64(&deque->top); i != bottom; i++)
		wf_store_rlx64(&array->entry[i & (capacity - 1)],
			wf_load_rlx64(&old->entry[i & (old->capacity - 1)])); /* rlx: DQ-3 below */
	wf_store_relp(&deque->array, array);				      /* DQ-3 */
	return true;
}

WF_OWNER_CODE_END
