/* SPDX-License-Identifier: MIT */
/* scope_model.h - what scope_model.c explores: scope.c, and what park.c, switch.c and cancel.c do for it
 *
 * What     functions under the names of the originals, without results, and without what ticket_model.c checks on its own. A lock
 *          is one step: taken when it is free.
 * Switches each takes one step out or weakens it, for mutants_scope.ini.
 */
#ifndef TESTS_MODEL_SCOPE_MODEL_H
#define TESTS_MODEL_SCOPE_MODEL_H

#include "sched/base/atomic.h"
#ifndef wf_or_sc32
#define wf_or_sc32(a, x) model_32(MODEL_RMW(a, MODEL_OR, x, "or sc"))
#endif

struct wf_fiber;
static struct wf_fiber *wf_fiber_at(uint32_t index); /* declared so first, it is each model's own */
#include "sched/core/fiber.h"

#include "tests/model/explorer.h"

#define GENERATION 1u
#define FIBERS 3 /* the first is none */
#define SCOPES 3
#define PARKS_MAX 8
#define DEADLINE 1 /* the only one; the clock goes from 0 to it */

struct lock {
	uint32_t unlocked;
};

struct wf_scope {
	struct wf_reach reach;
	struct lock lock;
	uint32_t opener;
	uint32_t saved;
	uint32_t child;
	uint64_t islands;
	struct wf_reach *outside;
	weft_ns deadline;
	struct wf_scope *outer;
	struct wf_scope *parent;
	struct wf_scope *inner;
	struct wf_scope *next, *prev;
	uint64_t ticket;
	uint32_t waited_for;
	/* Notes. */
	uint32_t alive;	 /* from the beginning of its open to the end of its close */
	uint32_t opened; /* weft_scope_open has returned, and the close has not begun */
	uint32_t pad;
};

static struct {
	struct wf_fiber fiber[FIBERS];
	struct wf_frame frame[FIBERS];
	struct wf_scope scope[SCOPES];
	struct lock shard;
	/* Notes, of each fiber. */
	uint32_t queued[FIBERS];    /* it is in a ready queue */
	uint32_t published[FIBERS]; /* it was spawned */
	uint32_t parks[FIBERS];
	uint32_t ended[FIBERS];
	uint32_t armed;	  /* the timer of a scope's deadline */
	uint32_t is_late; /* DEADLINE has passed */
	uint64_t event;	  /* the ticket of the fiber that waits for it */
	uint32_t awaited; /* there is one */
	/* Constants. */
	uint32_t fibers;  /* that must end; from 1 on */
	weft_ns deadline; /* of INNER */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* The outermost scope: its opener is not modelled. */
#define ROOT (&s.scope[0])
#define INNER (&s.scope[1])
#define INNERMOST (&s.scope[2])

static struct wf_fiber *wf_fiber_at(uint32_t index)
{
	return &s.fiber[index];
}

static void lock_acquire(struct lock *lock)
{
	model_wait("takes a lock", &lock->unlocked, NULL);
	lock->unlocked = 0;
}

static void lock_release(struct lock *lock)
{
	model_step("releases a lock");
	lock->unlocked = 1;
}

static void scope_touched(const struct wf_scope *scope)
{
	if (!scope->alive)
		model_fail("a scope was touched after its close");
}

static void scope_lock(struct wf_scope *scope)
{
	lock_acquire(&scope->lock);
	scope_touched(scope);
}

static void scope_unlock(struct wf_scope *scope)
{
	lock_release(&scope->lock);
	scope_touched(scope);
}

/* park.c and switch.c. */

static void push_ready(struct wf_fiber *fiber)
{
	model_step("pushes the fiber");
	s.queued[fiber->index]++;
}

static bool wf_wake_win(struct wf_fiber *fiber, uint64_t ticket)
{
	return wf_ticket_win(&fiber->word, ticket);
}

static void wf_wake_done(struct wf_fiber *fiber, uint64_t ticket)
{
	if (wf_ticket_done(&fiber->word, ticket) == WF_TICKET_PUSH)
		push_ready(fiber);
}

static uint64_t unmasked(uint64_t life, uint64_t word)
{
	uint64_t bits = life & WF_LIFE_INTERRUPTS;
	if (word & WF_PARK_NO_CANCEL)
		bits &= ~WF_LIFE_CANCEL;
	if (word & WF_PARK_NO_SCOPE)
		bits &= ~WF_LIFE_SCOPE;
	return bits;
}

static void wf_interrupt(struct wf_fiber *fiber)
{
	for (;;) {
		uint64_t word = wf_load_sc64(&fiber->word); /* WK-1.4 */
		uint64_t life = wf_load_sc64(&fiber->life);
		if (unmasked(life, word) == 0 || wf_ticket_phase(word) != WF_PARKED)
			return;
		if (wf_wake_win(fiber, word)) {
			wf_wake_done(fiber, word);
			return;
		}
	}
}

static void wf_park(struct wf_fiber *fiber, uint64_t flags,
	bool (*commit)(uint64_t ticket, struct wf_scope *scope), struct wf_scope *scope)
{
	uint64_t ticket = wf_ticket_begin(&fiber->word, flags);
	bool parked;
	if (commit != NULL && !commit(ticket, scope)) {
		wf_store_rel64(&fiber->word, wf_ticket_with(ticket, WF_READY));
		push_ready(fiber);
	} else if (wf_ticket_commit(&fiber->word, ticket, &parked) == WF_TICKET_PUSH) {
		push_ready(fiber);
	} else if (parked && (wf_load_sc64(&fiber->life) & WF_LIFE_INTERRUPTS)) { /* WK-1.2 */
		wf_interrupt(fiber);
	}
	model_wait("the fiber is off its worker", &s.queued[fiber->index], NULL);
	s.queued[fiber->index] = 0;
	uint64_t word = wf_load_acq64(&fiber->word);
	wf_store_rlx64(&fiber->word, wf_ticket_with(word, WF_RUNNING));
}

static uint64_t wf_park_masks(const struct wf_fiber *fiber)
{
	if (fiber->flags & WF_FIBER_SHIELD)
		return WF_PARK_NO_CANCEL | WF_PARK_NO_SCOPE;
#ifdef SHELTER_HEARS_CANCEL
	return 0;
#else
	return (fiber->flags & WF_FIBER_SHELTER) ? WF_PARK_NO_CANCEL : 0;
#endif
}

static bool scope_cancelled(const struct wf_frame *frame)
{
	return frame->reach != NULL && (wf_load_sc32(&frame->reach->state) & WF_REACH_ANY); /* LF-4 */
}

/* N2. */
static bool clear_stale_bit(struct wf_fiber *fiber)
{
#if defined(WITHOUT_CLEAR)
	return false;
#elif defined(CLEAR_WITHOUT_LOOK)
	wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPE);
	return false;
#elif defined(LOOK_BEFORE_CLEAR)
	bool cancelled = scope_cancelled(fiber->frame);
	wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPE);
	if (!cancelled)
		return false;
#elif defined(CLEAR_BY_STORE)
	wf_store_rel64(&fiber->life, wf_load_sc64(&fiber->life) & ~WF_LIFE_SCOPE);
	if (!scope_cancelled(fiber->frame))
		return false;
#else
	wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPE); /* N2 */
	if (!scope_cancelled(fiber->frame))
		return false;
#endif
	wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
	return true;
}

static bool wf_cancel_in_force(struct wf_fiber *fiber)
{
	uint64_t life = wf_load_acq64(&fiber->life);
	uint32_t flags = fiber->flags;
	if ((life & WF_LIFE_CANCEL) && !(flags & (WF_FIBER_SHIELD | WF_FIBER_SHELTER)))
		return true;
	if (!(life & WF_LIFE_SCOPE) || (flags & WF_FIBER_SHIELD))
		return false;
	if (scope_cancelled(fiber->frame))
		return true;
	return clear_stale_bit(fiber);
}

static weft_ns wf_worker_now(void)
{
	model_step("reads the clock");
	return s.is_late ? DEADLINE : 0;
}

/* With the fiber's own deadline left out. */
static bool wf_interrupted(struct wf_fiber *fiber)
{
	struct wf_frame *frame = fiber->frame;
	bool shielded = (fiber->flags & WF_FIBER_SHIELD) != 0;
#ifdef CLOCK_BEFORE_BIT
	bool is_late = frame->scope_deadline != WEFT_FOREVER && !shielded &&
		wf_worker_now() >= frame->scope_deadline;
	return wf_cancel_in_force(fiber) || is_late;
#else
	return wf_cancel_in_force(fiber) || /* first: the bit that a late scope sets is cleared there */
		(frame->scope_deadline != WEFT_FOREVER && !shielded &&
			wf_worker_now() >= frame->scope_deadline);
#endif
}

/* scope.c. */

static bool is_marked(const struct wf_scope *scope, uint32_t bits)
{
	bool marked = (wf_load_sc32(&scope->reach.state) & bits) != 0; /* LF-4 */
	scope_touched(scope);
	return marked;
}

static void mark(struct wf_scope *scope, uint32_t bit)
{
	wf_or_sc32(&scope->reach.state, bit);
	scope_touched(scope);
}

static void link_child_locked(struct wf_scope *scope, struct wf_fiber *child)
{
	child->scope_prev = WF_NO_FIBER;
	child->scope_next = scope->child;
	if (scope->child != WF_NO_FIBER)
		wf_fiber_at(scope->child)->scope_prev = child->index;
	scope->child = child->index;
}

static void unlink_child_locked(struct wf_scope *scope, struct wf_fiber *child)
{
	if (child->scope_prev != WF_NO_FIBER)
		wf_fiber_at(child->scope_prev)->scope_next = child->scope_next;
	else
		scope->child = child->scope_next;
	if (child->scope_next != WF_NO_FIBER)
		wf_fiber_at(child->scope_next)->scope_prev = child->scope_prev;
}

static void notify(struct wf_fiber *fiber, uint64_t islands)
{
	uint64_t life = wf_load_sc64(&fiber->life);
#if defined(NOTIFY_INTO_ISLANDS)
	wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
#elif defined(NOTIFY_COMPARES_FIRST)
	if ((life & WF_LIFE_ISLANDS) != islands)
		return;
	wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
#elif defined(BIT_BY_STORE)
	if ((life & WF_LIFE_ISLANDS) != islands)
		return;
	wf_store_rel64(&fiber->life, life | WF_LIFE_SCOPE);
#else
	do {
		if ((life & WF_LIFE_ISLANDS) != islands)
			return;
	} while (!wf_cas_sc64(&fiber->life, &life, life | WF_LIFE_SCOPE)); /* WK-1.3, LF-4 */
#endif
#ifndef NOTIFY_WITHOUT_INTERRUPT
	wf_interrupt(fiber);
#endif
}

static void notify_all_locked(struct wf_scope *scope)
{
	if (scope->lock.unlocked)
		model_fail("a scope's children were read without its lock");
#ifdef OPENER_WITHOUT_ISLANDS
	uint64_t islands = 0;
#else
	uint64_t islands = scope->islands;
#endif
	if (scope->opener != WF_NO_FIBER)
		notify(wf_fiber_at(scope->opener), islands);
	for (uint32_t i = scope->child; i != WF_NO_FIBER; i = wf_fiber_at(i)->scope_next)
		notify(wf_fiber_at(i), 0);
}

static void mark_and_notify_locked(struct wf_scope *scope, uint32_t bit)
{
#ifdef BIT_BEFORE_STATE
	notify_all_locked(scope);
	mark(scope, bit);
#else
	mark(scope, bit); /* O6 */
	notify_all_locked(scope);
#endif
}

#ifdef WALK_WITHOUT_INNER_LOCKS
#define walk_lock(scope) scope_touched(scope)
#define walk_unlock(scope) scope_touched(scope)
#else
#define walk_lock(scope) scope_lock(scope)
#define walk_unlock(scope) scope_unlock(scope)
#endif

static void walk_locked(struct wf_scope *root, uint32_t bit)
{
	mark_and_notify_locked(root, bit);
	struct wf_scope *at = root;
	struct wf_scope *down = root->inner;
#ifdef WALK_STAYS
	down = NULL;
#endif
	for (;;) {
		if (down != NULL) {
#ifdef WALK_LETS_GO
			scope_unlock(at);
#endif
			walk_lock(down); /* O1 */
#ifdef WALK_LETS_GO
			scope_lock(at);
#endif
			if (bit != 0 && is_marked(down, WF_REACH_ANY)) {
				struct wf_scope *next = down->next;
				walk_unlock(down);
				down = next;
				continue;
			}
			mark_and_notify_locked(down, bit != 0 ? WF_REACH_OUTSIDE : 0);
			at = down;
			down = at->inner;
			continue;
		}
		if (at == root)
			return;
		down = at->next;
		struct wf_scope *parent = at->parent;
		walk_unlock(at);
		at = parent;
	}
}

static void cancel_scope(struct wf_scope *scope)
{
	scope_lock(scope);
	if (!is_marked(scope, WF_REACH_CANCELLED))
		walk_locked(scope, WF_REACH_CANCELLED);
	scope_unlock(scope);
}

static struct wf_scope *open_scopes_locked(struct wf_fiber *fiber)
{
	uint64_t life = wf_load_sc64(&fiber->life);
	return life & WF_LIFE_SCOPES ? fiber->frame->scope : NULL;
}

static bool is_island(const struct wf_scope *scope)
{
	return (scope->saved & WF_FIBER_SHIELD) != 0;
}

static void opener_cancelled(struct wf_fiber *fiber)
{
	lock_acquire(&s.shard);
	struct wf_scope *innermost = open_scopes_locked(fiber);
	struct wf_scope *from = innermost;
#ifndef OPENER_CANCELS_ISLANDS
	for (struct wf_scope *scope = innermost; scope != NULL; scope = scope->outer)
		if (is_island(scope))
			from = scope->outer; /* O5 */
#endif
	for (; from != NULL; from = from->outer)
		cancel_scope(from);
	lock_release(&s.shard);
}

static void deadline_over(struct wf_fiber *fiber)
{
	weft_ns now = wf_worker_now();
	lock_acquire(&s.shard);
	for (struct wf_scope *scope = open_scopes_locked(fiber); scope != NULL; scope = scope->outer) {
		if (scope->deadline > now)
			continue;
		scope_lock(scope);
		walk_locked(scope, 0);
		scope_unlock(scope);
	}
	lock_release(&s.shard);
}

/* Of a child that failed, or was cancelled. */
static void child_ended(struct wf_fiber *child, bool failed)
{
	struct wf_scope *scope = (struct wf_scope *)(void *)child->scope;
	bool won = false;
	uint64_t ticket = 0;
	scope_lock(scope);
	if (failed && !is_marked(scope, WF_REACH_CANCELLED))
		walk_locked(scope, WF_REACH_FAILED);
	unlink_child_locked(scope, child);
	uint32_t opener = scope->opener;
#ifdef WAKE_AFTER_UNLOCK
	scope_unlock(scope);
	model_step("looks whether the opener waits");
	scope_touched(scope);
#endif
	if (scope->child == WF_NO_FIBER && scope->waited_for) {
		scope->waited_for = false;
		ticket = scope->ticket;
		won = wf_wake_win(wf_fiber_at(opener), ticket);
	}
#ifndef WAKE_AFTER_UNLOCK
	scope_unlock(scope); /* O4 */
#endif
	if (won)
		wf_wake_done(wf_fiber_at(opener), ticket);
}

static uint64_t push(struct wf_fiber *fiber, struct wf_scope *scope)
{
	lock_acquire(&s.shard);
	fiber->frame->scope = scope;
#ifdef SCOPES_BY_STORE
	uint64_t life = wf_load_sc64(&fiber->life);
	wf_store_rel64(&fiber->life, life | WF_LIFE_SCOPES);
#else
	uint64_t life = wf_or_sc64(&fiber->life, WF_LIFE_SCOPES);
#endif
	lock_release(&s.shard);
	return life;
}

static void join_parent(struct wf_scope *scope)
{
	struct wf_scope *parent = scope->parent;
#if defined(INHERIT_BEFORE_LOCK)
	bool inherits = is_marked(parent, WF_REACH_ANY);
	scope_lock(parent);
	if (inherits)
		mark(scope, WF_REACH_OUTSIDE);
#elif defined(WITHOUT_INHERIT)
	scope_lock(parent);
#else
	scope_lock(parent);
	if (is_marked(parent, WF_REACH_ANY)) /* O6 */
		mark(scope, WF_REACH_OUTSIDE);
#endif
	scope->next = parent->inner;
	if (scope->next != NULL)
		scope->next->prev = scope;
	parent->inner = scope;
	scope_unlock(parent);
}

static void leave_parent(struct wf_scope *scope)
{
	struct wf_scope *parent = scope->parent;
#ifdef LEAVE_WITHOUT_LOCK
	model_step("leaves its parent");
#else
	scope_lock(parent); /* O3 */
#endif
	if (scope->prev != NULL)
		scope->prev->next = scope->next;
	else
		parent->inner = scope->next;
	if (scope->next != NULL)
		scope->next->prev = scope->prev;
#ifndef LEAVE_WITHOUT_LOCK
	scope_unlock(parent);
#endif
}

static void enter(struct wf_fiber *fiber, struct wf_reach *reach, uint64_t islands)
{
	fiber->frame->reach = reach;
	fiber->frame->scope_deadline = reach != NULL ? reach->deadline : WEFT_FOREVER;
#ifdef ENTER_LOOKS_FIRST
	bool cancelled = scope_cancelled(fiber->frame);
#endif
	uint64_t life = wf_load_sc64(&fiber->life);
#if defined(ENTER_BY_STORE)
	wf_store_rel64(&fiber->life, (life & ~WF_LIFE_SCOPE) + islands);
#elif defined(NUMBER_AFTER_LOOK)
	wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPE);
#else
	while (!wf_cas_sc64(&fiber->life, &life, (life & ~WF_LIFE_SCOPE) + islands)) /* LF-5 */
		;
#endif
#ifndef ENTER_LOOKS_FIRST
	bool cancelled = scope_cancelled(fiber->frame); /* LF-4 */
#endif
#ifdef NUMBER_AFTER_LOOK
	wf_add_sc64(&fiber->life, islands);
#endif
#ifdef ENTER_WITHOUT_LOOK
	return;
#endif
	if (cancelled)
		wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
}

static void weft_scope_open(struct wf_fiber *fiber, struct wf_scope *scope)
{
	struct wf_frame *frame = fiber->frame;
	uint32_t shields = fiber->flags & (WF_FIBER_SHIELD | WF_FIBER_SHELTER);
	bool island = (shields & WF_FIBER_SHIELD) != 0;
	uint64_t islands = wf_load_rlx64(&fiber->life) & WF_LIFE_ISLANDS; /* rlx: its own */
	if (island)
		islands += WF_LIFE_ISLAND;
#ifdef ISLAND_HAS_A_PARENT
	struct wf_reach *around = frame->reach;
#else
	struct wf_reach *around = island ? NULL : frame->reach;
#endif
	*scope = (struct wf_scope){
		.reach.deadline = s.deadline,
		.lock.unlocked = 1,
		.deadline = s.deadline,
		.opener = fiber->index,
		.islands = islands,
		.saved = shields,
		.outside = frame->reach,
		.outer = frame->scope,
		.parent = (struct wf_scope *)(void *)around,
		.child = WF_NO_FIBER,
		.alive = 1,
	};
	bool soonest = true;
	if (scope->parent != NULL && scope->parent->reach.deadline <= s.deadline) {
		scope->reach.deadline = scope->parent->reach.deadline;
		soonest = false;
	}
#ifdef CANCEL_SEEN_EARLY
	uint64_t life = wf_load_sc64(&fiber->life);
	push(fiber, scope);
#else
	uint64_t life = push(fiber, scope);
#endif
	if ((life & WF_LIFE_CANCEL) && shields == 0)
		mark(scope, WF_REACH_OUTSIDE);
	if (scope->parent != NULL)
		join_parent(scope);
	if (island)
		fiber->flags = (fiber->flags & ~WF_FIBER_SHIELD) | WF_FIBER_SHELTER;
	enter(fiber, &scope->reach, island ? WF_LIFE_ISLAND : 0);
	scope->opened = 1;
	if (soonest && s.deadline != WEFT_FOREVER)
		s.armed = 1;
}

static void spawn_child(struct wf_scope *scope, uint32_t index)
{
	struct wf_fiber *child = wf_fiber_at(index);
	child->scope = &scope->reach;
#ifdef SPAWN_LOOKS_FIRST
	bool inherits = is_marked(scope, WF_REACH_ANY);
	scope_lock(scope);
	link_child_locked(scope, child);
#else
	scope_lock(scope);
	link_child_locked(scope, child);
	bool inherits = is_marked(scope, WF_REACH_ANY); /* O6 */
#endif
#ifndef SPAWN_WITHOUT_INHERIT
	if (inherits)
		wf_or_sc64(&child->life, WF_LIFE_SCOPE);
#endif
	scope_unlock(scope);
	model_step("publishes the child");
	s.published[index] = 1;
}

static bool commit_close(uint64_t ticket, struct wf_scope *scope)
{
	scope_lock(scope);
#ifdef CLOSE_WITHOUT_LOOK
	bool must = true;
#else
	bool must = scope->child != WF_NO_FIBER;
#endif
	scope->waited_for = must;
	scope->ticket = ticket;
	scope_unlock(scope);
	return must;
}

static void wait_for_children(struct wf_fiber *fiber, struct wf_scope *scope)
{
	for (;;) {
		scope_lock(scope);
		bool empty = scope->child == WF_NO_FIBER;
		scope_unlock(scope);
		if (empty)
			return;
		wf_park(fiber, WF_PARK_DEAF, commit_close, scope);
	}
}

/* O3. */
static void retire(struct wf_fiber *fiber, struct wf_scope *scope)
{
#ifdef RETIRE_WITHOUT_SHARD
	model_step("leaves its opener");
#else
	lock_acquire(&s.shard);
#endif
	fiber->frame->scope = scope->outer;
	if (scope->outer == NULL)
		wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPES);
#ifndef RETIRE_WITHOUT_SHARD
	lock_release(&s.shard);
#endif
	if (scope->parent != NULL)
		leave_parent(scope);
}

static void weft_scope_close(struct wf_fiber *fiber, struct wf_scope *scope)
{
	scope->opened = 0;
	wait_for_children(fiber, scope);
	retire(fiber, scope);
	fiber->flags = (fiber->flags & ~(WF_FIBER_SHIELD | WF_FIBER_SHELTER)) | scope->saved;
	struct wf_reach *outside = scope->outside;
	uint64_t islands = is_island(scope) ? -WF_LIFE_ISLAND : 0;
	model_step("its memory is something else now");
	*scope = (struct wf_scope){0};
	enter(fiber, outside, islands);
}

/* cancel.c: weft_cancel. */
static void cancel_fiber(struct wf_fiber *fiber)
{
	uint64_t life;
#ifdef SCOPES_SEEN_EARLY
	uint64_t early = wf_load_sc64(&fiber->life);
#endif
	if (!wf_life_set(fiber, GENERATION, WF_LIFE_CANCEL, WF_LIFE_ENDED, &life)) /* WK-1.3 */
		return;
#ifdef SCOPES_SEEN_EARLY
	life = early;
#endif
	if (life & WF_LIFE_SCOPES)
		opener_cancelled(fiber);
	wf_interrupt(fiber);
}

#endif
