/* SPDX-License-Identifier: MIT */
/* join.h - the meeting of an ending fiber and the one that joins it, in the life word
 *
 * Rules    J1 CLAIMED is won once: a second join is -EINVAL, and -ESRCH once the handle is stale.
 *          J2 the joiner writes its fields, then sets JOINER unless ENDED; the ending fiber sets ENDED and looks at JOINER: one of the two
 *             sees the other (LF-1, LF-2 of fiber.h).
 *          J3 a joiner that gives up takes JOINER and CLAIMED back unless ENDED stands there: then it has the result.
 *          J4 the ending fiber reads the joiner's fields after ENDED. A joiner that was interrupted then, and finds ENDED, must not give the
 *             block away before the ending fiber, which finds the ticket lost, has set RELEASED: it yields until then.
 * Tests    tests/core/fiber_test.cc, tests/core/stress_test.cc (cancelled joins against ends), tests/model/join_model.c
 */
#ifndef WF_SCHED_CORE_JOIN_H
#define WF_SCHED_CORE_JOIN_H

#include "sched/core/worker.h"

/* Sets ENDED and wakes the joiner. Returns the joiner when it may run next on this worker: RUNNING and in no queue; else NULL. */
struct wf_fiber *wf_join_finish(struct wf_worker *w, struct wf_fiber *fiber);

#endif
