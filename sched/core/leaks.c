/* SPDX-License-Identifier: MIT */
/* leaks.c - see leaks.h */
#include "sched/core/leaks.h"

#include "sched/base/log.h"
#include "sched/core/runtime.h"

void wf_leaks_add(struct wf_leaks *leaks, const struct wf_fiber *fiber)
{
	for (uint32_t i = 0; i < leaks->sites; i++) {
		if (leaks->site[i].site == fiber->site) {
			leaks->site[i].count++;
			return;
		}
	}
	if (leaks->sites == WF_LEAK_SITES) {
		leaks->beyond++;
		return;
	}
	leaks->site[leaks->sites++] = (struct wf_leak){
		.site = fiber->site, .count = 1, .id = weft_id(wf_fiber_handle(fiber))};
}

void wf_leaks_report(const struct wf_leaks *leaks)
{
	char place[192];
	for (uint32_t i = 0; i < leaks->sites; i++) {
		const struct wf_leak *leak = &leaks->site[i];
		wf_describe_site(leak->site, place, sizeof(place));
		wf_log(WF_LOG_ALWAYS,
			"leak: %llu fiber%s spawned at %s ended and %s neither joined nor detached (fiber=%llu is one)",
			(unsigned long long)leak->count, leak->count == 1 ? "" : "s", place,
			leak->count == 1 ? "was" : "were", (unsigned long long)leak->id);
	}
	if (leaks->beyond > 0)
		wf_log(WF_LOG_ALWAYS, "leak: %llu fibers more, spawned at other places",
			(unsigned long long)leaks->beyond);
}
