/* SPDX-License-Identifier: MIT */
/* spawn.c - weft_spawn, weft_spawn_attr, weft_go, and the end of a fiber; see spawn.h */
#include "sched/core/spawn.h"

#include <errno.h>
#include <string.h>

#include "sched/base/alloc.h"
#include "sched/base/log.h"
#include "sched/base/sanitize.h"
#include "sched/core/join.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

wf_aptr wf_local_end;
wf_aptr wf_coro_end;
wf_aptr wf_scope_calls;

#define ATTR_FLAGS (WEFT_PINNED | WEFT_FP_ENV | WEFT_SMALL)

void wf_fiber_fill(struct wf_fiber *fiber, struct wf_runtime *rt, weft_fn fn, void *arg,
	uint64_t bits, const void *site)
{
	fiber->rt = rt;
	fiber->fn = fn;
	fiber->arg = arg;
	fiber->sp = NULL;
	fiber->frame = NULL;
	fiber->site = site;
	fiber->flags = 0;
	wf_fiber_tsan_make(fiber);
	/* rlx: the block is this thread's until it is published. */
	uint64_t sequence = wf_ticket_sequence(wf_load_rlx64(&fiber->word)) + 1;
	wf_store_rlx64(&fiber->word, sequence << WF_SEQUENCE_SHIFT | WF_UNSTARTED);
	uint64_t life = wf_load_rlx64(&fiber->life);
	wf_store_rel64(&fiber->life, life | WF_LIFE_LIVE | bits); /* LF-3 */
}

static int check_attr(const weft_attr *attr)
{
	if (attr->flags & ~ATTR_FLAGS) {
		wf_log(WF_LOG_ALWAYS,
			"weft_spawn_attr: unknown flags 0x%x (known: WEFT_PINNED, WEFT_FP_ENV, WEFT_SMALL)",
			attr->flags & ~ATTR_FLAGS);
		return -EINVAL;
	}
	if ((attr->flags & WEFT_SMALL) && attr->stack_size != 0) {
		wf_log(WF_LOG_ALWAYS,
			"weft_spawn_attr: WEFT_SMALL has a fixed stack; leave stack_size zero");
		return -EINVAL;
	}
	if (attr->stack_size > WF_STACK_MAX) {
		wf_log(WF_LOG_ALWAYS,
			"weft_spawn_attr: a stack of %zu bytes is larger than the limit of 1 GiB",
			attr->stack_size);
		return -EINVAL;
	}
	return 0;
}

/* The stack, or the promise of one (B1). */
static int provide_stack(struct wf_worker *w, struct wf_fiber *fiber, const weft_attr *attr)
{
	int pool = (int)w->rt->stack_pool;
	if (attr->flags & WEFT_SMALL)
		pool = wf_stack_pool_small();
	else if (attr->stack_size != 0)
		pool = wf_stack_pool(attr->stack_size);
	if (pool == (int)w->rt->stack_pool)
		return wf_stack_promise(w);
	int error = wf_stack_take_sized((uint32_t)pool, &fiber->stack);
	if (error == 0)
		fiber->flags |= WF_FIBER_STACK;
	return error;
}

static void return_stack(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (fiber->flags & WF_FIBER_STACK)
		wf_stack_give(w, &fiber->stack);
	else
		wf_stack_unpromise(w);
}

static int copy_name(struct wf_fiber *fiber, const char *name)
{
	if (name == NULL || name[0] == '\0')
		return 0;
	char *copy = wf_alloc_zero(WF_NAME_BYTES);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, name, strnlen(name, WF_NAME_BYTES - 1));
	fiber->sp = copy; /* until the fiber starts */
	return 0;
}

static bool has_room(struct wf_worker *w)
{
	if (WF_LIKELY(wf_deque_has_room_self(&w->deque)))
		return true;
	bool began = wf_inside_begin(w);
	bool made = wf_deque_make_room_self(w);
	wf_inside_end(w, began);
	return made;
}

struct wf_fiber *wf_spawn_make(struct wf_worker *w, const weft_attr *attr, weft_fn fn, void *arg,
	uint64_t bits, const void *site, int *error)
{
	*error = check_attr(attr);
	if (*error != 0)
		return NULL;
	*error = -ENOMEM;
	if (!has_room(w))
		return NULL;
	struct wf_fiber *fiber = wf_fiber_take(w, error);
	if (fiber == NULL)
		return NULL;
	fiber->flags = 0;
	*error = provide_stack(w, fiber, attr);
	if (*error != 0)
		goto no_stack;
	uint32_t flags = fiber->flags | attr->flags;
	struct wf_stack stack = fiber->stack;
	wf_fiber_fill(fiber, w->rt, fn, arg, bits, site);
	fiber->flags = flags;
	fiber->stack = stack;
	*error = copy_name(fiber, attr->name);
	if (*error != 0)
		goto no_name;
	return fiber;

no_name:
	wf_tsan_destroy(wf_fiber_tsan(fiber));
	return_stack(w, fiber);
no_stack:
	wf_fiber_recycle(w, fiber);
	return NULL;
}

void wf_spawn_publish(struct wf_worker *w, struct wf_fiber *fiber)
{
	wf_bump(w, WF_SPAWNED, 1);
	bool began = wf_inside_begin(w);
	/* rlx: an estimate; two there are worth a wake, a lone one its spawner mostly runs itself. */
	bool lone = wf_load_rlx64(&w->deque.bottom) == wf_load_rlx64(&w->deque.top);
	wf_deque_push_self(&w->deque, wf_entry_of(fiber), wf_shared(w));
	wf_worker_notify(w, lone);
	wf_inside_end(w, began);
}

static int spawn(weft_fiber **handle, const weft_attr *attr, weft_fn fn, void *arg, uint64_t bits,
	const void *site)
{
	struct wf_worker *w = wf_self();
	if (handle != NULL)
		*handle = NULL;
	if (w == NULL)
		return -EPERM;
	if (fn == NULL || (handle == NULL && !(bits & WF_LIFE_DETACHED)))
		return -EINVAL;
	int error;
	struct wf_fiber *fiber = wf_spawn_make(w, attr, fn, arg, bits, site, &error);
	if (fiber == NULL)
		return error;
	if (handle != NULL)
		*handle = wf_fiber_handle(fiber);
	wf_spawn_publish(w, fiber);
	return 0;
}

int weft_spawn(weft_fiber **fiber, weft_fn fn, void *arg)
{
	static const weft_attr plain;
	return wf_say_off_fiber(spawn(fiber, &plain, fn, arg, 0, __builtin_return_address(0)));
}

int weft_spawn_attr(weft_fiber **fiber, const weft_attr *attr, weft_fn fn, void *arg)
{
	static const weft_attr plain;
	return wf_say_off_fiber(
		spawn(fiber, attr != NULL ? attr : &plain, fn, arg, 0, __builtin_return_address(0)));
}

int weft_go(weft_fn fn, void *arg)
{
	static const weft_attr plain;
	return wf_say_off_fiber(
		spawn(NULL, &plain, fn, arg, WF_LIFE_DETACHED, __builtin_return_address(0)));
}

static const struct wf_scope_calls *scope_calls(void)
{
	return wf_load_acqp(&wf_scope_calls); /* carries a constant table */
}

void wf_cancelled_opener(struct wf_worker *w, struct wf_fiber *fiber, uint64_t life)
{
	if (life & WF_LIFE_SCOPES)
		scope_calls()->opener_cancelled(w, fiber, wf_fiber_generation(life));
}

/* The scope itself lies in a stack frame that is gone. */
static __attribute__((noreturn)) void scope_left_open(const struct wf_frame *frame)
{
	char site[192];
	wf_describe_site(frame->scope_site, site, sizeof(site));
	wf_fatal("a fiber returned from its function with a scope open, opened at %s: close it first",
		site);
}

void wf_scopes_check(const struct wf_fiber *fiber)
{
	if (WF_UNLIKELY(fiber->frame->scope != NULL))
		scope_left_open(fiber->frame);
}

struct wf_fiber *wf_fiber_end(struct wf_fiber *fiber, void *result)
{
	void (*local_end)(struct wf_frame *) = (void (*)(struct wf_frame *))wf_load_acqp(&wf_local_end);
	if (fiber->frame->locals != NULL && local_end != NULL)
		local_end(fiber->frame); /* may park */
	if (WF_UNLIKELY(fiber->frame->host.main != NULL)) {
		void (*coro_end)(struct wf_host *) =
			(void (*)(struct wf_host *))wf_load_acqp(&wf_coro_end);
		coro_end(&fiber->frame->host);
	}
	struct wf_worker *w = wf_self();
	if (WF_UNLIKELY(w == NULL))
		wf_fatal("the child of a fork returned from its fiber's function: it must exec or _exit");
	wf_scopes_check(fiber);
	if (WF_UNLIKELY(fiber->flags & WF_FIBER_CANARY))
		wf_overflow_check(fiber);
	if (fiber->frame->deadline_armed)
		wf_timer_cancel(&fiber->frame->timer);
	fiber->arg = result;
	struct wf_fiber *closer = NULL;
	uint64_t ticket = 0;
	if (wf_load_rlx64(&fiber->life) & WF_LIFE_SCOPED) /* rlx: constant while it lives */
		closer = scope_calls()->child_ended(w, fiber, (int)(intptr_t)result, &ticket);
	if (fiber->flags & WEFT_FP_ENV)
		wf_fp_load(&wf_fp_default);
	w->after = (struct wf_after){
		.kind = {WF_AFTER_END}, .stack = fiber->stack, .tsan = wf_fiber_tsan(fiber)};
	struct wf_fiber *next = wf_join_finish(w, fiber);
	if (closer != NULL)
		next = wf_wake_to_run(w, closer, ticket);
	/* The block is the joiner's now, or a free one. */
	/* Release: wf_runtime_quiet() reads `ended` first and then sees every spawn that came before this end. */
	wf_store_rel64(&w->counter[WF_ENDED], wf_load_rlx64(&w->counter[WF_ENDED]) + 1);
	return next;
}

WF_OWNER_CODE_END
