/* SPDX-License-Identifier: MIT */
/* pool.h - threads for what would block a worker
 *
 * What     a pool of plain threads a runtime: a fiber hands in a job and parks until a thread has done it. The pool starts empty, grows while jobs
 *          wait, and its threads leave when they have had nothing to do for a while.
 * Rejected a thread for each job (30 us and an unbounded number); growing at once to the bound (a burst of file reads would start them all);
 *          one pool a process (a runtime that stops could not wait for its own jobs).
 * Owns     its threads. Jobs live in the frames of the calls that wait for them.
 * Rules    PO1 a job is QUEUED, then BEGUN, then done; all under the pool's lock. Who gives up a QUEUED job takes it off; a BEGUN one is awaited.
 *          PO2 first come, first served.
 *          PO3 a new thread at once while there are fewer than WF_POOL_SOON; more only for a job that has waited WF_POOL_PATIENCE_NS.
 *          PO4 a job that may be interrupted sees EINTR in its system calls: the signal is sent again and again until it has ended, since one that
 *             comes before the call is lost.
 *          PO5 the pool ends with its runtime, when no fiber and so no job is left; its threads are joined then.
 * Tests    tests/task/offload_test.cc
 */
#ifndef WF_SCHED_TASK_POOL_H
#define WF_SCHED_TASK_POOL_H

#include <stdint.h>

#include "sched/core/runtime.h"

enum wf_pool_kind {
	WF_POOL_ALWAYS, /* neither cancellation nor deadline is looked at */
	WF_POOL_WHOLE,	/* once begun it is awaited, whatever comes */
	WF_POOL_BREAK, /* once begun, a cancellation, deadline or close interrupts its system calls (PO4); what it made of that is in arg */
};

/* Runs fn(arg) on a thread of the pool while the calling fiber is parked. 0: it has run. -EINTR: an interrupt came before it began, and it
 * never will: ask wf_interrupted. -EAGAIN, -ENOMEM: no thread could be made, and there is none. The caller looks at the levels first. */
int wf_pool_run(void (*fn)(void *arg), void *arg, enum wf_pool_kind kind);

struct wf_pool_stats {
	uint64_t threads, jobs, queued, wait_ns, wait_max_ns;
};
void wf_pool_stats(struct wf_runtime *rt, struct wf_pool_stats *stats);

#endif
