/* SPDX-License-Identifier: MIT */
/* view.c - see view.h */
#include "sched/obs/view.h"

#include <string.h>

#include "sched/base/peek.h"
#include "sched/sync/wait.h"
#include "sched/task/scope.h"

/* A fiber that parks and wakes all the time is as well described by its last state. */
#define TRIES 3

static enum wf_view_state state_of(uint64_t life, uint64_t word)
{
	if (life & WF_LIFE_ENDED)
		return WF_VIEW_ENDED;
	switch (wf_ticket_phase(word)) {
	case WF_RUNNING:
	case WF_PARKING:
	case WF_FREE:
		return WF_VIEW_RUNNING;
	case WF_PARKED:
		return WF_VIEW_PARKED;
	case WF_WON:
	case WF_TAKEN:
	case WF_READY:
		return WF_VIEW_READY;
	case WF_UNSTARTED:
		return WF_VIEW_UNSTARTED;
	}
	return WF_VIEW_RUNNING;
}

/* When time ends the wait: its own deadline, and those of the fiber and its scopes as far as the park hears them. */
static weft_ns deadline_of(uint64_t word, uint32_t flags, const struct wf_frame *frame)
{
	weft_ns deadline = frame->wait_deadline;
	if (!(word & WF_PARK_NO_LATE) && frame->deadline < deadline)
		deadline = frame->deadline;
	bool hears_scope = !(word & WF_PARK_NO_SCOPE) && !(flags & WF_FIBER_SHIELD);
	if (hears_scope && frame->scope_deadline < deadline)
		deadline = frame->scope_deadline;
	return deadline;
}

static void find_stack(struct wf_view *view, const struct wf_fiber *block, const struct wf_frame *frame)
{
	struct wf_strand strand;
	struct wf_stack stack = block->stack;
	view->sp = block->sp;
	view->on_strand = frame->host.strand != NULL;
	if (view->on_strand) {
		if (!wf_peek(frame->host.strand, &strand, sizeof(strand)))
			return;
		stack = strand.stack;
	}
	view->stack_low = stack.low;
	view->stack_high = wf_stack_frame(&stack);
}

static void read_frame(struct wf_view *view, const struct wf_fiber *block, const struct wf_frame *frame)
{
	memcpy(view->name, frame->name, sizeof(view->name));
	view->name[sizeof(view->name) - 1] = '\0';
	if (view->state != WF_VIEW_PARKED)
		return;
	view->waits = true;
	view->kind = frame->wait_kind < WF_WAITS_KINDS ? (enum wf_wait_kind)frame->wait_kind
						       : WF_WAITS_NONE;
	view->object = frame->wait_object;
	view->since = frame->wait_since;
	view->deadline = deadline_of(view->word, block->flags, frame);
	find_stack(view, block, frame);
}

static void clear_wait(struct wf_view *view)
{
	view->waits = view->on_strand = false;
	view->kind = WF_WAITS_NONE;
	view->object = view->sp = NULL;
	view->since = view->deadline = 0;
	view->stack_low = view->stack_high = NULL;
}

/* One try. *whole: nothing has changed meanwhile. */
static bool take(const struct wf_fiber *fiber, struct wf_runtime *rt, struct wf_view *view, bool *whole)
{
	struct wf_fiber block;
	struct wf_frame frame;
	uint64_t life = wf_load_sc64(&fiber->life);
	uint64_t word = wf_load_sc64(&fiber->word); /* TK-1 */
	*whole = false;
	memset(view, 0, sizeof(*view));
	if (!(life & WF_LIFE_LIVE) || !wf_peek(fiber, &block, sizeof(block)) ||
		(rt != NULL && block.rt != rt))
		return false;
	view->index = fiber->index;
	view->id = (uint64_t)wf_fiber_generation(life) << 32 | fiber->index;
	view->life = life;
	view->word = word;
	view->state = state_of(life, word);
	view->flags = block.flags;
	view->home = block.flags & WF_FIBER_HOMED ? block.home : UINT32_MAX;
	view->fiber = fiber;
	view->rt = block.rt;
	view->site = block.site;
	view->fn = block.fn;
	view->child_of = life & WF_LIFE_SCOPED ? block.scope : NULL;
	/* The stack of one that has ended, and its frame with it, may be another's. */
	if (view->state == WF_VIEW_UNSTARTED && block.frame == NULL && block.sp != NULL) {
		if (!wf_peek(block.sp, view->name, sizeof(view->name)))
			view->name[0] = '\0';
		view->name[sizeof(view->name) - 1] = '\0';
	} else if (view->state != WF_VIEW_ENDED && block.frame != NULL &&
		wf_peek(block.frame, &frame, sizeof(frame))) {
		read_frame(view, &block, &frame);
	}
	*whole = wf_load_sc64(&fiber->word) == word;
	if (!*whole)
		clear_wait(view);
	return wf_fiber_generation(wf_load_sc64(&fiber->life)) == wf_fiber_generation(life); /* VW2 */
}

bool wf_view_take(uint32_t index, struct wf_runtime *rt, struct wf_view *view)
{
	if (index == WF_NO_FIBER || index >= wf_fiber_table_size())
		return false;
	const struct wf_fiber *fiber = wf_fiber_at(index);
	bool whole = false, there = false;
	for (int i = 0; i < TRIES && !whole; i++)
		there = take(fiber, rt, view, &whole);
	return there;
}

bool wf_view_holds(const struct wf_view *view)
{
	/* The ticket's sequence number is never used again (F3 of fiber.h): so it is the same fiber too. */
	return view->waits && wf_load_sc64(&view->fiber->word) == view->word;
}

uint64_t wf_view_holder(const struct wf_view *view)
{
	return (uint64_t)wf_fiber_generation(view->life) << WF_HOLDER_INDEX_BITS | view->index;
}

bool wf_view_of_holder(uint64_t holder, struct wf_view *view)
{
	uint32_t index = (uint32_t)(holder & ((UINT64_C(1) << WF_HOLDER_INDEX_BITS) - 1));
	return wf_view_take(index, NULL, view) && wf_view_holder(view) == holder;
}

static uint64_t holder_in_word(const struct wf_view *view)
{
	uint64_t word;
	return wf_peek(view->object, &word, sizeof(word)) ? word : 0;
}

static uint64_t handle_of(uint32_t index)
{
	struct wf_view other;
	return wf_view_take(index, NULL, &other) ? wf_view_holder(&other) : 0;
}

static uint64_t child_in(const void *object)
{
	weft_scope scope;
	if (!wf_peek(object, &scope, sizeof(scope)))
		return 0;
	return handle_of(wf_scope_child(&scope));
}

uint64_t wf_view_waits_for(const struct wf_view *view)
{
	uint64_t who = 0;
	switch (view->kind) {
	case WF_WAITS_MUTEX:
	case WF_WAITS_ONCE:
		who = holder_in_word(view) >> WF_HOLDER_SHIFT;
		break;
	case WF_WAITS_READ:
	case WF_WAITS_WRITE: {
		uint64_t word = holder_in_word(view);
		who = word & WF_RWLOCK_WRITER ? word >> WF_HOLDER_SHIFT : 0;
		break;
	}
	case WF_WAITS_JOIN:
		who = handle_of(((const struct wf_fiber *)view->object)->index);
		break;
	case WF_WAITS_SCOPE:
		who = child_in(view->object);
		break;
	default:
		break;
	}
	return wf_view_holds(view) ? who : 0; /* VW2 */
}
