/* SPDX-License-Identifier: MIT */
/* deque_model.c - the deque of unstarted fibers (D1-D3, DQ-1 to DQ-3) over deque.h as shipped
 *
 * What     an owner that pushes and pops, and once grows the array, against two thieves. The small array holds one entry; growth is that
 *          of deque.c, into an array that lies ready.
 * Law      every entry is taken once, with what it carries, and none is lost.
 */
#include "sched/core/deque.h"

#include "tests/model/queue_model.h"

#define SMALL 2
#define LARGE 8

static struct {
	struct wf_deque deque;
	struct items items;
	_Alignas(8) char small[sizeof(struct wf_deque_array) + SMALL * sizeof(wf_a64)];
	_Alignas(8) char large[sizeof(struct wf_deque_array) + LARGE * sizeof(wf_a64)];
} s;

/* deque.c: wf_deque_grow_self. */
static void grow(void)
{
	struct wf_deque_array *old = wf_load_rlxp(&s.deque.array);
	struct wf_deque_array *array = (struct wf_deque_array *)s.large;
	uint64_t bottom = wf_load_rlx64(&s.deque.bottom);
#ifndef WITHOUT_COPY
	for (uint64_t i = wf_load_rlx64(&s.deque.top); i != bottom; i++)
		wf_store_rlx64(&array->entry[i & (LARGE - 1)],
			wf_load_rlx64(&old->entry[i & (SMALL - 1)]));
#endif
#ifdef RELAXED_GROWTH
	wf_store_rlxp(&s.deque.array, array);
#else
	wf_store_relp(&s.deque.array, array); /* DQ-3 */
#endif
}

static void push(uint32_t item, bool shared)
{
	if (!wf_deque_has_room_self(&s.deque))
		grow();
	item_made(&s.items, item);
	wf_deque_push_self(&s.deque, item, shared);
}

static bool pop(void)
{
	uint64_t entry;
	bool got = wf_deque_pop_self(&s.deque, &entry, true);
	if (got)
		item_taken(&s.items, entry);
	return got;
}

/* One or two stand there: the last entry is what owner and thief fight for. */
static void owner(uint32_t unused)
{
	(void)unused;
	push(1, true);
	push(2, false);
	pop();
	push(3, false);
	while (pop())
		;
}

static void growing_owner(uint32_t pushes)
{
	for (uint32_t item = 1; item <= pushes; item++)
		push(item, false);
	while (pop())
		;
}

static void thief(uint32_t steals)
{
	for (uint32_t i = 0; i < steals; i++) {
		uint64_t entry;
		bool raced;
		if (wf_deque_steal(&s.deque, &entry, &raced))
			item_taken(&s.items, entry);
	}
}

static void finish(void)
{
	items_all_taken(&s.items);
}

static const char *name(const void *at)
{
	return at == &s.deque.top	     ? "top"
		: at == &s.deque.bottom	     ? "bottom"
		: at == &s.deque.array	     ? "array"
		: (const char *)at < s.small ? "payload"
		: (const char *)at < s.large ? "small entry"
					     : "large entry";
}

static void start(void)
{
	struct wf_deque_array *large = (struct wf_deque_array *)s.large;
	large->capacity = LARGE;
	s.deque.array.v = large;
}

static void start_small(void)
{
	start();
	struct wf_deque_array *small = (struct wf_deque_array *)s.small;
	small->capacity = SMALL;
	s.deque.array.v = small;
}

static const struct model_program programs[] = {
	{"an owner and a thief", start, 2, {{"owner", owner, 0}, {"thief", thief, 3}}},
	{"an owner and two thieves", start, 3,
		{{"owner", owner, 0}, {"thief 0", thief, 1}, {"thief 1", thief, 1}}},
	{"an array that grows, and a thief", start_small, 2,
		{{"owner", growing_owner, 3}, {"thief", thief, 2}}},
	{"an array that grows, and two thieves", start_small, 3,
		{{"owner", growing_owner, 2}, {"thief 0", thief, 1}, {"thief 1", thief, 1}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
