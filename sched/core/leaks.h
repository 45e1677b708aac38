/* SPDX-License-Identifier: MIT */
/* leaks.h - which fibers nobody joined, when their runtime ends
 *
 * What     with WEFT_LEAK_REPORT (WEFT_LEAKS=on) weft_stop and weft_run print a line for each place that spawned fibers which have ended and
 *          were neither joined nor detached. Each held a control block until now.
 * Rules    LK1 counted when the runtime gives their blocks back: no cost while it runs.
 *          LK2 places beyond WF_LEAK_SITES share one line.
 * Tests    tests/core/leaks_test.cc
 */
#ifndef WF_SCHED_CORE_LEAKS_H
#define WF_SCHED_CORE_LEAKS_H

#include <stdint.h>

#include "sched/base/limits.h"

struct wf_fiber;

struct wf_leaks {
	uint32_t sites;
	uint64_t beyond; /* LK2 */
	struct wf_leak {
		const void *site;
		uint64_t count;
		uint64_t id; /* of one of them */
	} site[WF_LEAK_SITES];
};

void wf_leaks_add(struct wf_leaks *leaks, const struct wf_fiber *fiber);
void wf_leaks_report(const struct wf_leaks *leaks);

#endif
