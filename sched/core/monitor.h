/* SPDX-License-Identifier: MIT */
/* monitor.h - one thread a runtime that looks after what the workers leave undone
 *
 * What     every 5 ms, while any worker is awake:
 *            a worker sleeps while another has fibers it has not run since the last look: wake one. This bounds what wf_worker_notify
 *            skips for lone entries;
 *            a worker's fiber does not give way: the worker is stuck. What it holds is given to live workers, or to spares (rescue.h), and
 *            once it has lasted for the long-run threshold it is counted and reported (longrun.h).
 *          Asleep after 100 ms without a run in which all workers sleep; the first worker that wakes wakes it. Before it
 *          falls asleep, and every half second, it has those above look for deadlocks (`wf_inspect`).
 * Rules    O1 it takes no lock that a stuck thread could hold, and writes nothing on the workers' way but their sleep bits and
 *             the requests of rescue.h.
 * Order    MO-1 each side a seq_cst RMW on its own word, then a seq_cst load of the other's: the monitor's swap of `monitor_asleep` to 1, then
 *               the sleepers' bits; a worker's clearing of its bit, then `monitor_asleep`.
 * Tests    tests/model/monitor_model.c (MO-1), tests/stuck, tests/core/stress_test.cc
 */
#ifndef WF_SCHED_CORE_MONITOR_H
#define WF_SCHED_CORE_MONITOR_H

#include "sched/core/runtime.h"

/* Set once, by io/boot: int64_t (*)(struct wf_runtime *rt, int64_t now, bool still). `still`: no worker has run anything for 100 ms, and all sleep.
 * Returns when to be called with `still` again if nothing runs until then; INT64_MAX: never. */
extern wf_aptr wf_inspect;
/* The same: void (*)(struct wf_runtime *rt), names those who keep a runtime from ending. By the thread that stops it. */
extern wf_aptr wf_survivors;

/* 0 or a negative errno. */
int wf_monitor_start(struct wf_runtime *rt);
void wf_monitor_stop(struct wf_runtime *rt);
/* Does no worker, and no spare, do anything now? */
bool wf_monitor_all_sleep(const struct wf_runtime *rt);
/* A worker has come out of its sleep. */
void wf_monitor_poke(struct wf_runtime *rt);

#endif
