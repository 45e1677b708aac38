/* SPDX-License-Identifier: MIT */
/* scope.c - weft_scope: structured concurrency
 *
 * What     a scope stands in its opener's frame: its children (linked by control blocks), the scopes opened inside it (linked by their
 *          siblings), and what those in it look at, struct wf_reach of core/fiber.h. A cancellation walks down the tree, marks every
 *          scope and sets the SCOPE bit of every fiber in it; the fiber itself then looks at its innermost scope's state. Deadlines never
 *          move while a scope is open: each scope knows the soonest in force, fibers compare it with the clock, and a timer walks the
 *          tree only to wake those who are parked.
 * Rejected one lock a tree (a server's root scope would meet every connection's); a flag that each fiber looks up along its scopes
 *          (a blocking call would cost the depth).
 * Rules    O1 a scope's lock guards its children, its inner scopes, and what close reports. Locks are taken from the outside in: a walk
 *             holds those of the path from where it began, so no scope on it can close.
 *          O2 a shard's lock guards the list of scopes that a fiber has open, for those who come by the fiber (weft_cancel, timers): it
 *             is taken before any scope's.
 *          O3 close takes the scope off its opener's list, under the shard, and off its parent's, under the parent's lock; after both
 *             nobody else knows of it.
 *          O4 a child leaves its scope at its end, after its destructors; its last access to the scope is the unlock.
 *          O5 a scope opened under a shield is an island: no parent, no deadline from outside, not cancelled with its opener.
 *          O6 state is set before the SCOPE bits of those it reaches (LF-4), and inherited under the parent's lock by a scope that is
 *             being opened: either the walk finds it, or it finds the state.
 * Tests    tests/task/scope_test.cc, scope_trio_test.cc, scope_stress_test.cc
 */
#include "sched/task/scope.h"

#include <errno.h>

#include "sched/base/sanitize.h"
#include "sched/core/credit.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/core/spawn.h"
#include "sched/core/waiting.h"

WF_OWNER_CODE_BEGIN

#define OPEN 0x73636f70u   /* "scop" */
#define CLOSED 0x646f6e65u /* "done" */

struct wf_scope {
	struct wf_reach reach;
	uint32_t magic;
	wf_lock lock;
	uint32_t opener;	      /* constant */
	uint32_t saved;		      /* the opener's shields outside */
	weft_ns deadline;	      /* its own; constant */
	uint64_t islands;	      /* WF_LIFE_ISLANDS of the opener in this scope; constant */
	struct wf_reach *outside;     /* what the opener was in */
	struct wf_scope *outer;	      /* the opener's next, outwards; under its shard */
	struct wf_scope *parent;      /* constant. NULL: an island, or a root */
	struct wf_scope *inner;	      /* the first of those opened in it */
	struct wf_scope *next, *prev; /* siblings; under the parent's lock */
	uint32_t child;		      /* the first; WF_NO_FIBER: none */
	int error;		      /* of the first child that failed; 0: none */
	uint32_t felt;		      /* WF_FIBER_FELT_*, of all children */
	bool waited_for;	      /* the opener waits in close */
	bool born_cancelled;	      /* opened by a fiber that was cancelled */
	uint64_t ticket;	      /* of its wait */
	struct wf_timer timer;
	const void *outer_site; /* where `outer` was opened; its own place is in the opener's wf_frame, which outlives it */
} __attribute__((may_alias));
_Static_assert(sizeof(struct wf_scope) <= sizeof(weft_scope), "a scope fits in its public storage");

static struct shard {
	_Alignas(WF_CACHE_LINE) wf_lock lock;
} shards[WF_SCOPE_SHARDS];

static wf_lock *shard_of(const struct wf_fiber *fiber)
{
	return &shards[fiber->index % WF_SCOPE_SHARDS].lock;
}

static struct wf_scope *scope_of(struct wf_reach *reach)
{
	return (struct wf_scope *)reach; /* its first member */
}

static bool is_marked(const struct wf_scope *scope, uint32_t bits)
{
	return (wf_load_sc32(&scope->reach.state) & bits) != 0; /* LF-4 */
}

/* The children. */

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

uint32_t wf_scope_child(const weft_scope *copy)
{
	const struct wf_scope *scope = (const struct wf_scope *)copy;
	return scope->magic == OPEN ? scope->child : WF_NO_FIBER;
}

/* Walking down. */

/* `islands`: those it has open where the scope reaches it. In another one now, it is left alone, and looks when it comes back (LF-5). */
static void notify(struct wf_worker *w, struct wf_fiber *fiber, uint64_t islands)
{
	uint64_t life = wf_load_sc64(&fiber->life);
	do {
		if ((life & WF_LIFE_ISLANDS) != islands)
			return;
	} while (!wf_cas_sc64(&fiber->life, &life, life | WF_LIFE_SCOPE)); /* WK-1.3, LF-4 */
	wf_interrupt(w, fiber, wf_fiber_generation(life));
}

/* Its opener and its children; both are alive while the lock is held. */
static void notify_all_locked(struct wf_worker *w, struct wf_scope *scope)
{
	notify(w, wf_fiber_at(scope->opener), scope->islands);
	for (uint32_t i = scope->child; i != WF_NO_FIBER; i = wf_fiber_at(i)->scope_next)
		notify(w, wf_fiber_at(i), 0);
}

/* Cancels a scope with `bit` and all inside it with OUTSIDE; bit 0: only wakes them, for a deadline. Inner scopes that are cancelled already are
 * passed over. */
static void walk_locked(struct wf_worker *w, struct wf_scope *root, uint32_t bit)
{
	if (bit != 0)
		wf_or_sc32(&root->reach.state, bit); /* O6 */
	notify_all_locked(w, root);
	struct wf_scope *at = root;
	struct wf_scope *down = root->inner;
	for (;;) {
		if (down != NULL) {
			wf_lock_acquire(&down->lock); /* O1 */
			if (bit != 0 && is_marked(down, WF_REACH_ANY)) {
				struct wf_scope *next = down->next;
				wf_lock_release(&down->lock);
				down = next;
				continue;
			}
			if (bit != 0)
				wf_or_sc32(&down->reach.state, WF_REACH_OUTSIDE);
			notify_all_locked(w, down);
			at = down;
			down = at->inner;
			continue;
		}
		if (at == root)
			return;
		down = at->next;
		struct wf_scope *parent = at->parent;
		wf_lock_release(&at->lock);
		at = parent;
	}
}

static void cancel_scope(struct wf_worker *w, struct wf_scope *scope)
{
	wf_lock_acquire(&scope->lock);
	if (!is_marked(scope, WF_REACH_CANCELLED))
		walk_locked(w, scope, WF_REACH_CANCELLED);
	wf_lock_release(&scope->lock);
}

/* Coming by the opener. */

/* The innermost scope that the fiber of that generation has open, or NULL; under its shard. */
static struct wf_scope *open_scopes_locked(struct wf_fiber *fiber, uint32_t generation)
{
	uint64_t life = wf_load_sc64(&fiber->life);
	if (wf_fiber_generation(life) != generation || !(life & WF_LIFE_SCOPES))
		return NULL;
	return fiber->frame->scope; /* the fiber lives: it needs the shard to close its last scope */
}

static bool is_island(const struct wf_scope *scope)
{
	return (scope->saved & WF_FIBER_SHIELD) != 0;
}

static void opener_cancelled(struct wf_worker *w, struct wf_fiber *fiber, uint32_t generation)
{
	wf_lock *shard = shard_of(fiber);
	wf_lock_acquire(shard);
	struct wf_scope *innermost = open_scopes_locked(fiber, generation);
	struct wf_scope *from = innermost;
	for (struct wf_scope *scope = innermost; scope != NULL; scope = scope->outer)
		if (is_island(scope))
			from = scope->outer; /* O5: neither it nor what is inside it */
	for (; from != NULL; from = from->outer)
		cancel_scope(w, from);
	wf_lock_release(shard);
}

/* A deadline's timer: wakes those who are parked in a scope that is late. `key` is the opener's generation. */
static void deadline_over(struct wf_worker *w, uint32_t owner, uint64_t key)
{
	struct wf_fiber *fiber = wf_fiber_at(owner);
	wf_lock *shard = shard_of(fiber);
	int64_t now = wf_worker_now(w);
	wf_lock_acquire(shard);
	struct wf_scope *scope = open_scopes_locked(fiber, (uint32_t)key);
	for (; scope != NULL; scope = scope->outer) {
		if (scope->deadline > now)
			continue;
		wf_lock_acquire(&scope->lock);
		walk_locked(w, scope, 0);
		wf_lock_release(&scope->lock);
	}
	wf_lock_release(shard);
}

/* A child's end. */

static bool is_level(int result)
{
	return result == -ECANCELED || result == -ETIMEDOUT;
}

static void count_result_locked(
	struct wf_worker *w, struct wf_scope *scope, struct wf_fiber *child, int result)
{
	int64_t now = wf_worker_now(w);
	if (is_level(result) && (is_marked(scope, WF_REACH_ANY) || now >= scope->reach.deadline)) {
		wf_feel(child, now); /* it says itself that it felt it */
		return;
	}
	if (scope->error != 0 || is_marked(scope, WF_REACH_CANCELLED) || now >= scope->deadline)
		return;
	scope->error = result;
	walk_locked(w, scope, WF_REACH_FAILED);
}

static struct wf_fiber *child_ended(
	struct wf_worker *w, struct wf_fiber *child, int result, uint64_t *ticket)
{
	struct wf_scope *scope = scope_of(child->scope);
	struct wf_fiber *opener = NULL;
	wf_lock_acquire(&scope->lock);
	if (result < 0)
		count_result_locked(w, scope, child, result);
	scope->felt |= child->flags & (WF_FIBER_FELT_CANCEL | WF_FIBER_FELT_LATE);
	unlink_child_locked(scope, child);
	if (scope->child == WF_NO_FIBER && scope->waited_for) {
		scope->waited_for = false;
		opener = wf_fiber_at(scope->opener);
		*ticket = scope->ticket;
		bool won = wf_wake_win(w, opener, *ticket);
		WF_CHECK(won); /* it is deaf to all else */
	}
	wf_lock_release(&scope->lock); /* O4 */
	return opener;
}

static const struct wf_scope_calls calls = {
	.opener_cancelled = opener_cancelled,
	.child_ended = child_ended,
};

/* Open. */

static void check_not_open(const struct wf_frame *frame, const struct wf_scope *scope)
{
	for (const struct wf_scope *open = frame->scope; open != NULL; open = open->outer)
		if (open == scope)
			wf_fatal("weft_scope_open: the scope is open already");
}

/* Puts it first on its opener's list. Returns the opener's life word after that. */
static uint64_t push(struct wf_fiber *fiber, struct wf_scope *scope)
{
	wf_lock *shard = shard_of(fiber);
	wf_lock_acquire(shard);
	fiber->frame->scope = scope;
	uint64_t life = wf_or_sc64(&fiber->life, WF_LIFE_SCOPES);
	wf_lock_release(shard);
	return life;
}

static void join_parent(struct wf_scope *scope)
{
	struct wf_scope *parent = scope->parent;
	wf_lock_acquire(&parent->lock);
	if (is_marked(parent, WF_REACH_ANY)) /* O6 */
		wf_or_sc32(&scope->reach.state, WF_REACH_OUTSIDE);
	scope->next = parent->inner;
	if (scope->next != NULL)
		scope->next->prev = scope;
	parent->inner = scope;
	wf_lock_release(&parent->lock);
}

static void leave_parent(struct wf_scope *scope)
{
	struct wf_scope *parent = scope->parent;
	wf_lock_acquire(&parent->lock);
	if (scope->prev != NULL)
		scope->prev->next = scope->next;
	else
		parent->inner = scope->next;
	if (scope->next != NULL)
		scope->next->prev = scope->prev;
	wf_lock_release(&parent->lock);
}

/* The fiber's innermost scope is now what `reach` shows; `islands` is what changes by that in its life word. */
static void enter(struct wf_fiber *fiber, struct wf_reach *reach, uint64_t islands)
{
	struct wf_frame *frame = fiber->frame;
	frame->reach = reach;
	frame->scope_deadline = reach != NULL ? reach->deadline : WEFT_FOREVER;
	uint64_t life = wf_load_sc64(&fiber->life);
	while (!wf_cas_sc64(&fiber->life, &life, (life & ~WF_LIFE_SCOPE) + islands)) /* LF-5 */
		;
	if (reach != NULL && (wf_load_sc32(&reach->state) & WF_REACH_ANY)) /* LF-4 */
		wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
}

static void arm(struct wf_worker *w, struct wf_fiber *fiber, struct wf_scope *scope)
{
	scope->timer.owner = fiber->index;
	scope->timer.key = wf_fiber_generation(wf_load_rlx64(&fiber->life)); /* rlx: constant while it lives */
	scope->timer.fire = deadline_over;
	wf_timer_arm(&w->timers, &scope->timer, scope->deadline);
	wf_bump(w, WF_TIMERS_ARMED, 1);
}

int weft_scope_open(weft_scope *storage, weft_ns deadline)
{
	struct wf_scope *scope = (struct wf_scope *)storage;
	struct wf_worker *w = wf_self();
	if (scope == NULL)
		return -EINVAL;
	if (w == NULL)
		return wf_off_fiber();
	struct wf_fiber *fiber = w->current;
	struct wf_frame *frame = fiber->frame;
	check_not_open(frame, scope);
	wf_store_relp(&wf_scope_calls, (void *)&calls);
	uint32_t shields = fiber->flags & (WF_FIBER_SHIELD | WF_FIBER_SHELTER);
	bool island = (shields & WF_FIBER_SHIELD) != 0;
	uint64_t islands = wf_load_rlx64(&fiber->life) & WF_LIFE_ISLANDS; /* rlx: its own */
	if (island && islands == WF_LIFE_ISLANDS)
		return -EAGAIN;
	if (island)
		islands += WF_LIFE_ISLAND;
	*scope = (struct wf_scope){
		.reach.deadline = deadline,
		.magic = OPEN,
		.opener = fiber->index,
		.islands = islands,
		.saved = shields,
		.deadline = deadline,
		.outside = frame->reach,
		.outer = frame->scope,
		.parent = island || frame->reach == NULL ? NULL : scope_of(frame->reach),
		.child = WF_NO_FIBER,
		.outer_site = frame->scope_site,
	};
	bool soonest = true;
	if (scope->parent != NULL && scope->parent->reach.deadline <= deadline) {
		scope->reach.deadline = scope->parent->reach.deadline;
		soonest = false;
	}
	uint64_t life = push(fiber, scope);
	frame->scope_site = __builtin_return_address(0);
	if ((life & WF_LIFE_CANCEL) && shields == 0) {
		scope->born_cancelled = true;
		wf_or_sc32(&scope->reach.state, WF_REACH_OUTSIDE);
	}
	if (scope->parent != NULL)
		join_parent(scope);
	if (island)
		fiber->flags = (fiber->flags & ~WF_FIBER_SHIELD) | WF_FIBER_SHELTER;
	enter(fiber, &scope->reach, island ? WF_LIFE_ISLAND : 0);
	if (soonest && deadline != WEFT_FOREVER)
		arm(w, fiber, scope);
	return 0;
}

/* Spawn and cancel. */

static int spawn_child(
	weft_scope *storage, const weft_attr *attr, weft_task_fn fn, void *arg, const void *site)
{
	struct wf_scope *scope = (struct wf_scope *)storage;
	struct wf_worker *w = wf_self();
	if (scope == NULL || fn == NULL)
		return -EINVAL;
	if (w == NULL)
		return -EPERM;
	if (WF_UNLIKELY(scope->magic != OPEN))
		wf_fatal("weft_scope_spawn: the scope is not open");
	if (wf_fiber_at(scope->opener)->rt != w->rt)
		return -EPERM;
	int error;
	struct wf_fiber *child = wf_spawn_make(
		w, attr, wf_of_child(fn), arg, WF_LIFE_DETACHED | WF_LIFE_SCOPED, site, &error);
	if (child == NULL)
		return error;
	child->scope = &scope->reach;
	wf_lock_acquire(&scope->lock);
	link_child_locked(scope, child);
	if (is_marked(scope, WF_REACH_ANY)) /* O6 */
		wf_or_sc64(&child->life, WF_LIFE_SCOPE);
	wf_lock_release(&scope->lock);
	wf_spawn_publish(w, child);
	return 0;
}

static const weft_attr plain;

int weft_scope_spawn_attr(weft_scope *scope, const weft_attr *attr, weft_task_fn fn, void *arg)
{
	return wf_say_off_fiber(spawn_child(
		scope, attr != NULL ? attr : &plain, fn, arg, __builtin_return_address(0)));
}

int weft_scope_spawn(weft_scope *scope, weft_task_fn fn, void *arg)
{
	return wf_say_off_fiber(spawn_child(scope, &plain, fn, arg, __builtin_return_address(0)));
}

int weft_scope_cancel(weft_scope *storage)
{
	struct wf_scope *scope = (struct wf_scope *)storage;
	if (scope == NULL || scope->magic != OPEN)
		return -EINVAL;
	cancel_scope(wf_self(), scope);
	return 0;
}

/* Close. */

static bool commit_close(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	(void)w, (void)fiber;
	struct wf_scope *scope = arg;
	wf_lock_acquire(&scope->lock);
	bool must = scope->child != WF_NO_FIBER;
	scope->waited_for = must;
	scope->ticket = ticket;
	wf_lock_release(&scope->lock);
	return must;
}

/* True: it had to wait. */
static bool wait_for_children(struct wf_fiber *fiber, struct wf_scope *scope)
{
	bool waited = false;
	for (;;) {
		wf_lock_acquire(&scope->lock);
		bool empty = scope->child == WF_NO_FIBER;
		wf_lock_release(&scope->lock);
		if (empty)
			return waited;
		wf_waits_for(fiber, WF_WAITS_SCOPE, scope);
		wf_park(WF_PARK_DEAF, commit_close, scope);
		waited = true;
	}
}

static void check_innermost(const struct wf_fiber *fiber, const struct wf_scope *scope)
{
	if (fiber->frame->scope == scope)
		return;
	if (scope->magic != OPEN)
		wf_fatal("weft_scope_close: the scope is not open");
	if (scope->opener != fiber->index)
		wf_fatal("weft_scope_close: another fiber has opened the scope");
	wf_fatal("weft_scope_close: a scope opened inside it is still open");
}

/* O3. */
static void retire(struct wf_fiber *fiber, struct wf_scope *scope)
{
	wf_timer_cancel(&scope->timer);
	wf_lock *shard = shard_of(fiber);
	wf_lock_acquire(shard);
	fiber->frame->scope = scope->outer;
	fiber->frame->scope_site = scope->outer_site;
	if (scope->outer == NULL)
		wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPES);
	wf_lock_release(shard);
	if (scope->parent != NULL)
		leave_parent(scope);
}

/* What scope.h lists; *felt: it came from outside. */
static int result_of(const struct wf_fiber *fiber, const struct wf_scope *scope, bool waited,
	int64_t now, bool *felt)
{
	*felt = false;
	if (scope->error != 0)
		return scope->error;
	bool with_opener = (wf_load_sc64(&fiber->life) & WF_LIFE_CANCEL) && scope->saved == 0 &&
		!scope->born_cancelled;
	if (is_marked(scope, WF_REACH_CANCELLED) || with_opener)
		return -ECANCELED;
	bool in_force = waited && !(fiber->flags & WF_FIBER_SHIELD);
	*felt = true;
	if ((scope->felt & WF_FIBER_FELT_CANCEL) || (in_force && is_marked(scope, WF_REACH_OUTSIDE)))
		return -ECANCELED;
	if ((scope->felt & WF_FIBER_FELT_LATE) || (in_force && now >= scope->reach.deadline))
		return -ETIMEDOUT;
	*felt = false;
	return now >= scope->deadline ? -ETIMEDOUT : 0;
}

int weft_scope_close(weft_scope *storage)
{
	struct wf_scope *scope = (struct wf_scope *)storage;
	struct wf_worker *w = wf_turn();
	if (scope == NULL)
		return -EINVAL;
	if (w == NULL)
		return wf_off_fiber();
	struct wf_fiber *fiber = w->current;
	check_innermost(fiber, scope);
	bool waited = wait_for_children(fiber, scope);
	int64_t now = wf_worker_now(wf_self());
	retire(fiber, scope);
	bool felt;
	int result = result_of(fiber, scope, waited, now, &felt);
	fiber->flags = (fiber->flags & ~(WF_FIBER_SHIELD | WF_FIBER_SHELTER)) | scope->saved;
	enter(fiber, scope->outside, is_island(scope) ? -WF_LIFE_ISLAND : 0);
	scope->magic = CLOSED;
	if (felt)
		wf_feel(fiber, now);
	return result;
}

WF_OWNER_CODE_END
