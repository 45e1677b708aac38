/* SPDX-License-Identifier: MIT */
/* ready_model.c - the ring of woken fibers (R1-R3, RD-1 to RD-3) over ready.h as shipped
 *
 * What     an owner that pushes, takes and once grows the ring, against two thieves. The ring has two slots, so that it wraps; growth
 *          is that of ready.c, into an array that lies ready.
 * Law      every item is taken once, with what it carries, and none is lost.
 */
#include "sched/core/ready.h"

#include "tests/model/queue_model.h"

#define SMALL 2
#define LARGE 4

static struct {
	struct wf_ready ready;
	struct items items;
	uint32_t grow; /* constant: a full ring grows */
	_Alignas(8) char small[sizeof(struct wf_ready_array) + SMALL * sizeof(wf_aptr)];
	_Alignas(8) char large[sizeof(struct wf_ready_array) + LARGE * sizeof(wf_aptr)];
} s;

/* ready.c: wf_ready_grow_self. */
static bool grow(void)
{
	struct wf_ready_array *old = wf_load_rlxp(&s.ready.array);
	struct wf_ready_array *array = (struct wf_ready_array *)s.large;
	if (!s.grow || old == array)
		return false;
	uint32_t tail = wf_load_rlx32(&s.ready.tail);
#ifndef WITHOUT_COPY
	for (uint32_t i = wf_load_rlx32(&s.ready.head); i != tail; i++)
		wf_store_rlxp(wf_ready_slot(array, i), wf_load_rlxp(wf_ready_slot(old, i)));
#endif
#ifdef RELAXED_GROWTH
	wf_store_rlxp(&s.ready.array, array);
#else
	wf_store_relp(&s.ready.array, array); /* RD-3 */
#endif
	return true;
}

static void push(uint32_t item, bool shared)
{
	item_made(&s.items, item);
	void *fiber = (void *)(uintptr_t)item;
	if (!wf_ready_push(&s.ready, fiber, shared) &&
		(!grow() || !wf_ready_push(&s.ready, fiber, shared)))
		s.items.pushed[item] = 0; /* full: it goes elsewhere */
}

static bool take(void)
{
	void *fiber = wf_ready_take(&s.ready, true);
	if (fiber != NULL)
		item_taken(&s.items, (uintptr_t)fiber);
	return fiber != NULL;
}

static void owner(uint32_t pushes)
{
	push(1, false);
	push(2, true);
	take();
	for (uint32_t item = 3; item <= pushes; item++)
		push(item, false);
	while (take())
		;
}

static void growing_owner(uint32_t pushes)
{
	for (uint32_t item = 1; item <= pushes; item++)
		push(item, false);
	while (take())
		;
}

static void thief(uint32_t steals)
{
	for (uint32_t i = 0; i < steals; i++) {
		void *fiber[2];
		uint32_t count = wf_ready_steal(&s.ready, fiber, 2);
		for (uint32_t k = 0; k < count; k++)
			item_taken(&s.items, (uintptr_t)fiber[k]);
	}
}

static void finish(void)
{
	items_all_taken(&s.items);
}

static const char *name(const void *at)
{
	return at == &s.ready.head	     ? "head"
		: at == &s.ready.tail	     ? "tail"
		: at == &s.ready.array	     ? "array"
		: (const char *)at < s.small ? "payload"
		: (const char *)at < s.large ? "small slot"
					     : "large slot";
}

static void start(void)
{
	struct wf_ready_array *small = (struct wf_ready_array *)s.small;
	small->capacity = SMALL;
	((struct wf_ready_array *)s.large)->capacity = LARGE;
	s.ready.array.v = small;
	/* Just before the indices wrap. */
	s.ready.head.v = s.ready.tail.v = UINT32_MAX;
}

static void start_growing(void)
{
	start();
	s.grow = 1;
}

static const struct model_program programs[] = {
	{"an owner and a thief, a ring that wraps", start, 2, {{"owner", owner, 4}, {"thief", thief, 2}}},
	{"an owner and two thieves", start, 3,
		{{"owner", owner, 3}, {"thief 0", thief, 1}, {"thief 1", thief, 1}}},
	{"a ring that grows, and a thief", start_growing, 2, {{"owner", owner, 5}, {"thief", thief, 2}}},
	{"a ring that grows, and two thieves", start_growing, 3,
		{{"owner", growing_owner, 3}, {"thief 0", thief, 2}, {"thief 1", thief, 1}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
