/* SPDX-License-Identifier: MIT */
/* queue_model.h - the law of a work queue: what was pushed is taken once, by a taker that sees what the pusher wrote
 *
 * What     items are numbers from 1. An item's payload is an atomic word that its pusher writes, relaxed, before the push: a taker that
 *          reads anything else has met the item before what it carries.
 */
#ifndef TESTS_MODEL_QUEUE_MODEL_H
#define TESTS_MODEL_QUEUE_MODEL_H

#include "sched/base/atomic.h"

#define ITEMS 6

struct items {
	wf_a32 payload[ITEMS + 1];
	uint32_t pushed[ITEMS + 1], taken[ITEMS + 1];
};

static void item_made(struct items *items, uint32_t item)
{
	wf_store_rlx32(&items->payload[item], item);
	items->pushed[item] = 1;
}

static void item_taken(struct items *items, uint64_t item)
{
	if (item == 0 || item > ITEMS) {
		model_fail("something was taken that is no item");
		return;
	}
	if (items->taken[item]++ != 0)
		model_fail("item %u was taken twice", (unsigned)item);
	if (wf_load_rlx32(&items->payload[item]) != item)
		model_fail("item %u was taken without what it carries", (unsigned)item);
}

/* To be called when nothing is left in the queue. */
static void items_all_taken(const struct items *items)
{
	for (uint32_t item = 1; item <= ITEMS; item++)
		if (items->pushed[item] && !items->taken[item])
			model_fail("item %u is lost", item);
}

#endif
