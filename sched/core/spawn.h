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

/* Runs the destructors of fiber-local storage on the ending fiber; set by sched/task/local.c when a first key exists. */
extern wf_aptr wf_local_end; /* void (*)(struct wf_frame *) */

/* Fills a block for fn and makes it LIVE and UNSTARTED; `bits` are further WF_LIFE_*. */
void wf_fiber_fill(struct wf_fiber *fiber, struct wf_runtime *rt, weft_fn fn, void *arg,
	uint64_t bits, const void *site);

#endif
