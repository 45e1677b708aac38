/* SPDX-License-Identifier: MIT */
/* coro.h - symmetric coroutines
 *
 * What     A coroutine is a strand with a name, a parent and a function. Its host switches from one to the other; what runs inside one, a
 *          generator's body say, stays with it: `at` is where it stands, `gen` what ran innermost there.
 * Owns     a coroutine owns its strand while it is LIVE. A main coroutine is a record of its host's own strand; it lives as long as its
 *          host, or as somebody refers to it.
 * Rules    R1 `owner`, the main coroutine of whom it belongs to, is set when it is started, and by weft_coro_free on another host.
 *          R2 a LIVE coroutine's ancestors are of its host, or not started: a parent elsewhere is replaced at the start.
 *          R3 who goes on says that who was left is no longer current, and if it has ended, gives its stack back and calls it DEAD: until
 *             then it was still on its stack, and another thread could have resumed or released it.
 *          R4 a coroutine that is somebody's parent is not released: children are counted.
 *          R5 of two hosts that start one at once, one does; the other has -EXDEV.
 * Order    CO-1 references of a main coroutine: each decrement (acq_rel) -> the last one: carries its fields.
 *          CO-2 children: a child's decrement (acq_rel) -> the load before the parent is released: carries the child's last look at it.
 *          CO-3 life, owner, current: each change (release, acq_rel cas) -> a load on any thread (acquire): questions, and refusals, from elsewhere.
 * Tests    tests/seed, tests/seed_diff
 */
#ifndef WF_SCHED_TASK_CORO_H
#define WF_SCHED_TASK_CORO_H

#include "sched/core/strand.h"

/* weft_gen_raise where no generator's body runs. */
void *wf_coro_raise(struct wf_host *host, int error, void *payload);

#endif
