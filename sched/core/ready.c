/* SPDX-License-Identifier: MIT */
/* ready.c - memory of the ready ring; see ready.h */
#include "sched/core/ready.h"

#include <errno.h>

#include "sched/base/alloc.h"

WF_OWNER_CODE_BEGIN

static size_t array_bytes(uint32_t capacity)
{
	return sizeof(struct wf_ready_array) + capacity * sizeof(wf_aptr);
}

int wf_ready_init(struct wf_ready *ready)
{
	struct wf_ready_array *array = wf_alloc(array_bytes(WF_READY_CAP));
	if (array == NULL)
		return -ENOMEM;
	array->capacity = WF_READY_CAP;
	array->older = NULL;
	wf_store_rlxp(&ready->array, array); /* rlx: nobody else knows the ring yet */
	return 0;
}

void wf_ready_free(struct wf_ready *ready)
{
	struct wf_ready_array *array = wf_load_rlxp(&ready->array); /* rlx: the workers have ended */
	while (array != NULL) {
		struct wf_ready_array *older = array->older;
		wf_free(array, array_bytes(array->capacity));
		array = older;
	}
	wf_store_rlxp(&ready->array, NULL); /* rlx: as above */
}

bool wf_ready_grow_self(struct wf_ready *ready)
{
	struct wf_ready_array *old = wf_load_rlxp(&ready->array); /* rlx: R2 */
	uint32_t capacity = old->capacity * 2;
	if (capacity > WF_READY_MAX)
		return false;
	struct wf_ready_array *array = wf_alloc(array_bytes(capacity));
	if (array == NULL)
		return false;
	array->capacity = capacity;
	array->older = old;			     /* R2 */
	uint32_t tail = wf_load_rlx32(&ready->tail); /* rlx: R2 */
	/* rlx: an entry copied although it was just taken is never read, because head has passed it. */
	for (uint32_t i = wf_load_rlx32(&ready->head); i != tail; i++)
		wf_store_rlxp(wf_ready_slot(array, i), wf_load_rlxp(wf_ready_slot(old, i))); /* rlx: RD-3 below */
	wf_store_relp(&ready->array, array); /* RD-3 */
	return true;
}

WF_OWNER_CODE_END
