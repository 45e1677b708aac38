/* SPDX-License-Identifier: MIT */
/* scope_model.c - scopes and those who are in them (O1-O6, N2, LF-4, LF-5) over fiber.h and ticket.h as shipped
 *
 * What     fibers park in scopes, open them inside others, spawn into them and close them, while others cancel what is around them, or
 *          its deadline passes. What stands in .c files is repeated in scope_model.h.
 * Law      whoever is in a scope that is cancelled or late does not stay parked; whoever is in none is not woken again and again. An open
 *          scope whose parent is cancelled is so too. What is under a shield feels nothing from outside: a wait in an island is not
 *          interrupted by it, and it is seen after the island's close. Nobody touches a scope after it was closed, and no close waits for ever.
 */
#include "tests/model/scope_model.h"

/* The fibers. */

/* Blocking calls, until one says that it is cancelled or late. */
static void stay(struct wf_fiber *fiber)
{
	while (!wf_interrupted(fiber)) {
		wf_park(fiber, wf_park_masks(fiber), NULL, NULL);
		if (++s.parks[fiber->index] == PARKS_MAX) {
			model_fail("woken again and again, and nothing is in force");
			return;
		}
	}
}

static void end(struct wf_fiber *fiber, bool failed)
{
	if (wf_load_rlx64(&fiber->life) & WF_LIFE_SCOPED)
		child_ended(fiber, failed);
	wf_or_sc64(&fiber->life, WF_LIFE_ENDED);
	s.ended[fiber->index] = 1;
}

static struct wf_fiber *begin(uint32_t index)
{
	model_wait("is spawned", &s.published[index], NULL);
	struct wf_fiber *fiber = wf_fiber_at(index);
	fiber->frame = &s.frame[index];
	bool scoped = (wf_load_rlx64(&fiber->life) & WF_LIFE_SCOPED) != 0;
	fiber->frame->reach = scoped ? fiber->scope : NULL;
	fiber->frame->scope_deadline = scoped ? fiber->scope->deadline : WEFT_FOREVER;
	return fiber;
}

static void stays(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	stay(fiber);
	end(fiber, false);
}

static void fails(uint32_t index)
{
	end(begin(index), true);
}

/* In a scope of its own, and then in the one around it. */
static void opens(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, &s.scope[index]);
	stay(fiber);
	weft_scope_close(fiber, &s.scope[index]);
	if (fiber->frame->reach != NULL)
		stay(fiber);
	end(fiber, false);
}

static void opens_and_closes(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, INNER);
	weft_scope_close(fiber, INNER);
	if (fiber->frame->reach != NULL)
		stay(fiber);
	end(fiber, false);
}

static void opens_two(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, INNER);
	weft_scope_open(fiber, INNERMOST);
	stay(fiber);
	weft_scope_close(fiber, INNERMOST);
	weft_scope_close(fiber, INNER);
	stay(fiber);
	end(fiber, false);
}

/* With fiber 2 as its child, for which the close waits. */
static void spawns(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, INNER);
	spawn_child(INNER, 2);
	weft_scope_close(fiber, INNER);
	end(fiber, false);
}

static void spawns_and_stays(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, INNER);
	spawn_child(INNER, 2);
	stay(fiber);
	weft_scope_close(fiber, INNER);
	end(fiber, false);
}

/* Under a shield, with fiber 2 as a child that fails: only its own scope reaches it there. */
static void shields(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	fiber->flags |= WF_FIBER_SHIELD;
	weft_scope_open(fiber, INNER);
	spawn_child(INNER, 2);
	stay(fiber);
	if (!is_marked(INNER, WF_REACH_FAILED))
		model_fail("what is outside the shield was felt inside");
	weft_scope_close(fiber, INNER);
	fiber->flags &= ~WF_FIBER_SHIELD;
	if (fiber->frame->reach != NULL || (wf_load_sc64(&fiber->life) & WF_LIFE_CANCEL))
		stay(fiber);
	end(fiber, false);
}

static bool commit_event(uint64_t ticket, struct wf_scope *scope)
{
	(void)scope;
	model_step("says that it waits");
	s.event = ticket;
	s.awaited = 1;
	return true;
}

/* A blocking call in an island, which nothing but event() may end. */
static void await_event(struct wf_fiber *fiber)
{
	if (wf_interrupted(fiber))
		model_fail("what is outside the shield was felt inside");
	wf_park(fiber, wf_park_masks(fiber), commit_event, NULL);
}

static void event(uint32_t index)
{
	model_wait("the event comes", &s.awaited, NULL);
	if (wf_wake_win(wf_fiber_at(index), s.event))
		wf_wake_done(wf_fiber_at(index), s.event);
	else
		model_fail("a fiber in an island was interrupted for nothing");
}

static void open_island(struct wf_fiber *fiber, struct wf_scope *scope)
{
	fiber->flags |= WF_FIBER_SHIELD;
	weft_scope_open(fiber, scope);
}

static void close_island(struct wf_fiber *fiber, struct wf_scope *scope)
{
	weft_scope_close(fiber, scope);
	fiber->flags &= ~WF_FIBER_SHIELD;
}

/* In an island, and then in the scope around it. */
static void visits_island(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	open_island(fiber, INNER);
	await_event(fiber);
	close_island(fiber, INNER);
	stay(fiber);
	end(fiber, false);
}

/* The scope around it is its own. */
static void visits_island_in_scope(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	weft_scope_open(fiber, INNER);
	open_island(fiber, INNERMOST);
	await_event(fiber);
	close_island(fiber, INNERMOST);
	stay(fiber);
	weft_scope_close(fiber, INNER);
	end(fiber, false);
}

/* The scope around it is an island, too. */
static void visits_island_in_island(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	open_island(fiber, INNER);
	open_island(fiber, INNERMOST);
	await_event(fiber);
	close_island(fiber, INNERMOST);
	stay(fiber);
	close_island(fiber, INNER);
	end(fiber, false);
}

/* In a scope inside an island, which only the island's own cancel reaches. */
static void opens_in_island(uint32_t index)
{
	struct wf_fiber *fiber = begin(index);
	open_island(fiber, INNER);
	weft_scope_open(fiber, INNERMOST);
	stay(fiber);
	if (!is_marked(INNER, WF_REACH_CANCELLED))
		model_fail("what is outside the shield was felt inside");
	weft_scope_close(fiber, INNERMOST);
	close_island(fiber, INNER);
	stay(fiber);
	end(fiber, false);
}

/* The cancellers. */

static void scope_canceller(uint32_t index)
{
	cancel_scope(&s.scope[index]);
}

/* Its opener stays in it until then. */
static void inner_canceller(uint32_t unused)
{
	(void)unused;
	model_wait("the scope is open", &INNER->opened, NULL);
	cancel_scope(INNER);
}

static void fiber_canceller(uint32_t index)
{
	cancel_fiber(wf_fiber_at(index));
}

/* Of the root. Its opener's shard does not matter here. */
static void root_timer(uint32_t unused)
{
	(void)unused;
	model_step("the deadline passes");
	s.is_late = 1;
	scope_lock(ROOT);
	walk_locked(ROOT, 0);
	scope_unlock(ROOT);
}

/* Of the scope that a fiber opens. */
static void timer(uint32_t index)
{
	model_wait("the deadline passes", &s.armed, NULL);
	s.is_late = 1;
	deadline_over(wf_fiber_at(index));
}

static void check(void)
{
	for (uint32_t i = 0; i < SCOPES; i++) {
		const struct wf_scope *scope = &s.scope[i], *parent = scope->parent;
		if (scope->opened && parent != NULL && parent->lock.unlocked &&
			parent->reach.state.v != 0 && scope->reach.state.v == 0)
			model_fail("a scope is cancelled, and one that is open in it is not");
	}
}

static void finish(void)
{
	for (uint32_t i = 1; i <= s.fibers; i++)
		if (!s.ended[i])
			model_fail("fiber %u stays parked", i);
}

static const char *name(const void *at)
{
	static const char *const words[] = {"its word", "word of 1", "word of 2"};
	static const char *const lives[] = {"its life", "life of 1", "life of 2"};
	static const char *const states[] = {"root", "inner", "innermost"};
	for (uint32_t i = 0; i < FIBERS; i++) {
		if (at == &s.fiber[i].word)
			return words[i];
		if (at == &s.fiber[i].life)
			return lives[i];
	}
	for (uint32_t i = 0; i < SCOPES; i++)
		if (at == &s.scope[i].reach.state)
			return states[i];
	return "word";
}

/* Fibers 1 to `in_root` are children of the root and run; `spawned` more will be spawned. */
static void start(uint32_t in_root, uint32_t spawned)
{
	s.fibers = in_root + spawned;
	s.shard.unlocked = 1;
	s.deadline = WEFT_FOREVER;
	*ROOT = (struct wf_scope){
		.reach.deadline = WEFT_FOREVER, .lock.unlocked = 1, .alive = 1, .opened = 1};
	for (uint32_t i = 1; i <= s.fibers; i++) {
		s.fiber[i].index = i;
		s.fiber[i].life.v =
			(uint64_t)GENERATION << WF_GENERATION_SHIFT | WF_LIFE_LIVE | WF_LIFE_SCOPED;
		s.published[i] = i <= in_root;
		if (i > in_root)
			continue;
		s.fiber[i].scope = &ROOT->reach;
		link_child_locked(ROOT, &s.fiber[i]);
	}
}

static void one(void)
{
	start(1, 0);
}

static void two(void)
{
	start(2, 0);
}

static void one_and_a_child(void)
{
	start(1, 1);
}

/* Fiber 1 is in no scope. */
static void free_one(void)
{
	start(1, 0);
	ROOT->child = WF_NO_FIBER;
	s.fiber[1].life.v &= ~WF_LIFE_SCOPED;
}

static void free_one_and_a_child(void)
{
	start(1, 1);
	ROOT->child = WF_NO_FIBER;
	s.fiber[1].life.v &= ~WF_LIFE_SCOPED;
}

static void one_late(void)
{
	start(1, 0);
	ROOT->reach.deadline = DEADLINE;
}

static void late_one(void)
{
	free_one();
	s.deadline = DEADLINE;
}

static void late_one_and_a_child(void)
{
	free_one_and_a_child();
	s.deadline = DEADLINE;
}

#define CANCELS_ROOT                                                                               \
	{                                                                                          \
		"canceller", scope_canceller, 0                                                    \
	}
#define CANCELS_1                                                                                  \
	{                                                                                          \
		"canceller of 1", fiber_canceller, 1                                               \
	}

#define CANCELS_INNER                                                                              \
	{                                                                                          \
		"canceller of the scope", inner_canceller, 0                                       \
	}
#define EVENT_OF_1                                                                                 \
	{                                                                                          \
		"event", event, 1                                                                  \
	}

static const struct model_program programs[] = {
	{"a child parks, a cancel", one, 2, {{"fiber 1", stays, 1}, CANCELS_ROOT}},
	{"a fiber opens and closes a scope, a cancel", one, 2,
		{{"fiber 1", opens_and_closes, 1}, CANCELS_ROOT}},
	{"a child is spawned, a cancel", one_and_a_child, 3,
		{{"fiber 1", spawns, 1}, {"fiber 2", stays, 2}, CANCELS_ROOT}},
	{"a child is spawned, its parent's cancel", free_one_and_a_child, 3,
		{{"fiber 1", spawns, 1}, {"fiber 2", stays, 2}, CANCELS_1}},
	{"a fiber opens a scope, a cancel", one, 2, {{"fiber 1", opens, 1}, CANCELS_ROOT}},
	{"a fiber opens two scopes, a cancel", one, 2, {{"fiber 1", opens_two, 1}, CANCELS_ROOT}},
	{"a fiber opens a scope, its cancel", free_one, 2, {{"fiber 1", opens, 1}, CANCELS_1}},
	{"a child is spawned and opens a scope, its parent's cancel", free_one_and_a_child, 3,
		{{"fiber 1", spawns, 1}, {"fiber 2", opens, 2}, CANCELS_1}},
	{"a child fails", free_one_and_a_child, 2,
		{{"fiber 1", spawns_and_stays, 1}, {"fiber 2", fails, 2}}},
	{"a child fails, a cancel", one_and_a_child, 3,
		{{"fiber 1", spawns_and_stays, 1}, {"fiber 2", fails, 2}, CANCELS_ROOT}},
	{"a shield, a child that fails, a cancel", one_and_a_child, 3,
		{{"fiber 1", shields, 1}, {"fiber 2", fails, 2}, CANCELS_ROOT}},
	{"a shield, a child that fails, the parent's cancel", free_one_and_a_child, 3,
		{{"fiber 1", shields, 1}, {"fiber 2", fails, 2}, CANCELS_1}},
	{"an island, a cancel", one, 3, {{"fiber 1", visits_island, 1}, EVENT_OF_1, CANCELS_ROOT}},
	{"an island, a deadline", one_late, 3,
		{{"fiber 1", visits_island, 1}, EVENT_OF_1, {"timer", root_timer, 0}}},
	{"an island in a scope, its cancel", free_one, 3,
		{{"fiber 1", visits_island_in_scope, 1}, EVENT_OF_1, CANCELS_INNER}},
	{"an island in a scope, a cancel", one, 3,
		{{"fiber 1", visits_island_in_scope, 1}, EVENT_OF_1, CANCELS_ROOT}},
	{"an island in a scope, a deadline", one_late, 3,
		{{"fiber 1", visits_island_in_scope, 1}, EVENT_OF_1, {"timer", root_timer, 0}}},
	{"an island in a scope, its fiber's cancel", free_one, 3,
		{{"fiber 1", visits_island_in_scope, 1}, EVENT_OF_1, CANCELS_1}},
	{"an island in an island, its cancel", free_one, 3,
		{{"fiber 1", visits_island_in_island, 1}, EVENT_OF_1, CANCELS_INNER}},
	{"a scope in an island, its cancel and a cancel", one, 3,
		{{"fiber 1", opens_in_island, 1}, CANCELS_INNER, CANCELS_ROOT}},
	{"a child parks, a deadline", one_late, 2, {{"fiber 1", stays, 1}, {"timer", root_timer, 0}}},
	{"a fiber opens a scope, a deadline", one_late, 2,
		{{"fiber 1", opens, 1}, {"timer", root_timer, 0}}},
	{"a fiber opens a scope, a deadline, a cancel", one_late, 3,
		{{"fiber 1", opens, 1}, {"timer", root_timer, 0}, CANCELS_ROOT}},
	{"a fiber opens and closes a scope, its deadline", late_one, 2,
		{{"fiber 1", opens_and_closes, 1}, {"timer", timer, 1}}},
	{"a child is spawned, its scope's deadline", late_one_and_a_child, 3,
		{{"fiber 1", spawns, 1}, {"fiber 2", stays, 2}, {"timer", timer, 1}}},
	{"a fiber opens a scope, a cancel and its cancel", one, 3,
		{{"fiber 1", opens, 1}, CANCELS_ROOT, CANCELS_1}},
	{"two fibers, one opens and closes a scope, a cancel", two, 3,
		{{"fiber 1", opens_and_closes, 1}, {"fiber 2", opens, 2}, CANCELS_ROOT}},
	{"two fibers open scopes, a cancel", two, 3,
		{{"fiber 1", opens, 1}, {"fiber 2", opens, 2}, CANCELS_ROOT}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.check = check,
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
