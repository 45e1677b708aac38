/* SPDX-License-Identifier: MIT */
/* monitor.h - one thread a runtime that looks after what the workers leave undone
 *
 * What     every 5 ms, while any worker runs: if some worker has fibers it has not run since the last look, somebody sleeps and nobody searches,
 *          wake one. This bounds what wf_worker_notify skips for lone entries. Asleep after 100 ms without a run; the first worker
 *          that runs again wakes it.
 * Rules    O1 it takes no lock and writes nothing on the workers' way but their sleep bits.
 * Order    MO-1 asleep: the monitor's swap to 1 (sc), then loads of `runs`; a worker's load after its sleep, then the futex.
 */
#ifndef WF_SCHED_CORE_MONITOR_H
#define WF_SCHED_CORE_MONITOR_H

#include "sched/core/runtime.h"

/* None for a runtime of one worker: there is nobody to wake. 0 or a negative errno. */
int wf_monitor_start(struct wf_runtime *rt);
void wf_monitor_stop(struct wf_runtime *rt);
/* A worker has come out of its sleep. */
void wf_monitor_poke(struct wf_runtime *rt);

#endif
