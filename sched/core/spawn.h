/* SPDX-License-Identifier: MIT */
/* spawn.h - a fiber's beginning and end
 *
 * What     making a fiber (weft_spawn and its kin, weft_submit), ending it, joining and detaching it. The public functions are in
 *          spawn.c and join.c.
 * Rules    B1 a spawn that fails has changed nothing; one that succeeds cannot fail later (stack promised, queue has room).
 *          B2 the end: destructors, result, deadline timer, ENDED, joiner, stack. After ENDED the block belongs to the joiner.
 */
#ifndef WF_SCHED_CORE_SPAWN_H
#define WF_SCHED_CORE_SPAWN_H

#include "sched/core/worker.h"

/* The end of a fiber, on its own stack. Returns its joiner when that may run next on this worker. */
struct wf_fiber *wf_fiber_end(struct wf_fiber *fiber, void *result);

/* Dies with a line if the fiber, whose function has returned, has a scope open: before anybody looks for it there. */
void wf_scopes_check(const struct wf_fiber *fiber);

/* Runs the destructors of fiber-local storage on the ending fiber; set by sched/task/local.c when a first key exists. */
extern wf_aptr wf_local_end; /* void (*)(struct wf_frame *) */

/* Lets go of the ending fiber's main coroutine; set by sched/task/coro.c when a first one exists. */
extern wf_aptr wf_coro_end; /* void (*)(struct wf_host *) */

/* A scope's child: its function is kept as a weft_fn, and called as what it is. */
typedef int (*wf_child_fn)(void *arg);
static inline weft_fn wf_of_child(wf_child_fn fn)
{
	return (weft_fn)(void (*)(void))fn;
}
static inline wf_child_fn wf_as_child(weft_fn fn)
{
	return (wf_child_fn)(void (*)(void))fn;
}

/* What scopes (sched/task/scope.c) do in the life of fibers; set when a first scope is opened. */
struct wf_scope_calls {
	/* The fiber of that generation was cancelled and had WF_LIFE_SCOPES: cancels the scopes it has open. Any thread. */
	void (*opener_cancelled)(struct wf_worker *w, struct wf_fiber *fiber, uint32_t generation);
	/* A SCOPED fiber, at its end, leaves its scope. Returns the opener if it waited for just this: its ticket is won, *ticket. */
	struct wf_fiber *(*child_ended)(
		struct wf_worker *w, struct wf_fiber *child, int result, uint64_t *ticket);
};
extern wf_aptr wf_scope_calls; /* const struct wf_scope_calls * */

/* A fiber, LIVE and UNSTARTED, that nobody knows yet; `bits` are further WF_LIFE_*. NULL and *error when there is none. */
struct wf_fiber *wf_spawn_make(struct wf_worker *w, const weft_attr *attr, weft_fn fn, void *arg,
	uint64_t bits, const void *site, int *error);
/* Lets it run. */
void wf_spawn_publish(struct wf_worker *w, struct wf_fiber *fiber);

/* Fills a block for fn and makes it LIVE and UNSTARTED; `bits` are further WF_LIFE_*. */
void wf_fiber_fill(struct wf_fiber *fiber, struct wf_runtime *rt, weft_fn fn, void *arg,
	uint64_t bits, const void *site);

#endif
