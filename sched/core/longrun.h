/* SPDX-License-Identifier: MIT */
/* longrun.h - a fiber that holds its worker for long is counted, and reported once
 *
 * What     the monitor finds a worker whose fiber has not given way for the threshold (weft_config.long_run): the worker's count of stalls
 *          grows, and the first time for each fiber a line says which it is, what it does, and where.
 * Rules    LR1 the fiber is not disturbed: what it does is read from /proc, where it is by look.h.
 *          LR2 a line for each fiber, and a bounded number of lines a second: a program full of long fibers is told so, not buried.
 *             One that gives way before it has said where it is gets its line all the same, without that.
 *          LR3 the line is written by a thread of its own: names of functions come out of files, and the monitor has stuck workers to look after.
 *             Where stderr takes nothing the thread is left alone: who stops the runtime does not wait for it.
 *          LR4 the fiber may end at any moment: it is looked at by copies (VW1 of obs/view.h), which count while the worker has run nothing else.
 * Order    LR-1 wf_long_report.state: SAID by that thread, LEFT by the monitor (acq_rel): who comes second frees it. SAID carries that thread's reads;
 *               the monitor joins it.
 * Tests    tests/stuck/longrun_test.cc, tests/stuck/monitor_test.cc
 */
#ifndef WF_SCHED_CORE_LONGRUN_H
#define WF_SCHED_CORE_LONGRUN_H

#include "sched/core/worker.h"

/* By the monitor, at each look while the worker is stuck. */
void wf_longrun_look(struct wf_worker *w, int64_t now);
/* Its fiber has given way, and `seen_runs` still counts that fiber's run. */
void wf_longrun_over(struct wf_worker *w);
/* Joins a report's thread that is done; `waits`: that is at work, too, within a second. */
void wf_longrun_settle(struct wf_runtime *rt, bool waits);

#endif
