/* SPDX-License-Identifier: MIT */
/* longrun.c - see longrun.h */
#include "sched/core/longrun.h"

#include <stdio.h>

#include "sched/base/log.h"
#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/base/symbol.h"
#include "sched/core/engine.h"
#include "sched/core/look.h"
#include "sched/core/runtime.h"

/* LR2: is this fiber's line still to come? */
static bool first_time(struct wf_runtime *rt, uint64_t id, int64_t now)
{
	uint64_t *seen = &rt->long_seen[(uint32_t)id % WF_LONG_SEEN];
	if (*seen == id)
		return false;
	if (now - rt->long_window >= INT64_C(1000000000)) {
		rt->long_window = now;
		rt->long_lines = 0;
	}
	if (rt->long_lines >= WF_LONG_LINES) {
		rt->long_unsaid++;
		return false;
	}
	rt->long_lines++;
	*seen = id;
	return true;
}

/* The fiber that the worker runs. It may end meanwhile: its frame is looked at as what may be anything (peek.h). */
static void describe(const struct wf_fiber *fiber, char *who, size_t size)
{
	char name[WF_NAME_BYTES] = "";
	if (fiber == NULL) {
		snprintf(who, size, "its scheduler");
		return;
	}
	const struct wf_frame *frame = *(struct wf_frame *const volatile *)&fiber->frame;
	if (frame == NULL || !wf_peek(frame->name, name, sizeof(name)))
		name[0] = '\0';
	name[sizeof(name) - 1] = '\0';
	snprintf(who, size, "fiber=%llu \"%s\"",
		(unsigned long long)weft_id(wf_fiber_handle(fiber)), name);
}

/* LR3: on a thread of its own. */
static void *report_thread(void *arg)
{
	struct wf_long_report *report = arg;
	char place[192], what[64] = "computing";
	const struct wf_look *look = &report->look;
	wf_describe_site(report->site, place, sizeof(place));
	if (report->answered)
		wf_look_describe(look, what, sizeof(what));
	wf_log(WF_LOG_WARN, "long run: %s, created at %s, has held worker %u for %lld ms, %s%s",
		report->who, place, report->worker, (long long)(report->held / 1000000), what,
		report->answered && look->count > 0 ? " at" : "");
	for (uint32_t i = 0; report->answered && i < look->count; i++) {
		wf_symbol(look->pc[i], i == 0, place, sizeof(place));
		wf_log(WF_LOG_WARN, "  #%u %s", i, place);
	}
	if (report->unsaid > 0)
		wf_log(WF_LOG_WARN,
			"long run: %u more fibers held their workers (WEFT_LONG_RUN=off is silent)",
			report->unsaid);
	wf_store_rel32(&report->state, WF_REPORT_SAID); /* LO-2 */
	return NULL;
}

static void start_report(struct wf_worker *w, int64_t now, bool answered)
{
	struct wf_runtime *rt = w->rt;
	struct wf_long_report *report = &rt->long_report;
	const struct wf_fiber *fiber = wf_worker_current(w);
	describe(fiber, report->who, sizeof(report->who));
	report->site = fiber != NULL ? fiber->site : NULL;
	report->worker = w->index % rt->worker_count;
	report->held = now - w->held_since;
	report->unsaid = rt->long_unsaid;
	report->answered = answered;
	if (answered)
		report->look = w->thread->look;
	rt->long_unsaid = 0;
	wf_store_rlx32(&report->state, WF_REPORT_RUNS); /* rlx: before the thread */
	if (wf_thread_create(&report->thread, "weft-report", report_thread, report) != 0)
		wf_store_rlx32(&report->state, WF_REPORT_NONE); /* rlx: the monitor's own */
}

void wf_longrun_settle(struct wf_runtime *rt, bool waits)
{
	struct wf_long_report *report = &rt->long_report;
	uint32_t state = wf_load_acq32(&report->state); /* LO-2 */
	if (state == WF_REPORT_NONE || (state == WF_REPORT_RUNS && !waits))
		return;
	wf_thread_join(report->thread);
	wf_store_rlx32(&report->state, WF_REPORT_NONE); /* rlx: the monitor's own */
}

/* Law 7's exception: on the ring of a thread that nothing can wake its operations stay. */
static void count_kept(struct wf_worker *w)
{
	struct wf_engine_state engine;
	if (w->rt->driver->engine != WEFT_ENGINE_URING ||
		wf_thread_state((int)wf_load_acq32(&w->thread->tid)) != 'D')
		return;
	wf_engine_look(w->thread, &engine);
	if (engine.in_flight == 0)
		return;
	wf_bump(w, WF_KEPT, engine.in_flight);
	wf_log(WF_LOG_WARN,
		"long run: worker %u is in an uninterruptible sleep: %u operations in flight on its ring wait for its end",
		w->index, engine.in_flight);
}

void wf_longrun_look(struct wf_worker *w, int64_t now)
{
	struct wf_runtime *rt = w->rt;
	struct wf_fiber *fiber = wf_worker_current(w);
	if (rt->config.long_run < 0 || now - w->held_since < rt->config.long_run || w->stall_reported)
		return;
	if (!w->stall_counted) {
		w->stall_counted = true;
		wf_bump(w, WF_STALLS, 1);
		uint64_t id = fiber != NULL ? weft_id(wf_fiber_handle(fiber)) : 0;
		w->stall_reported = !first_time(rt, id, now) || !wf_look_ask(w->thread);
		w->stall_asked = now;
		if (w->stall_reported)
			return;
	}
	bool answered = wf_look_answered(w->thread) && w->thread->look.runs == w->seen_runs;
	if (!answered && now - w->stall_asked < WF_LOOK_PATIENCE_NS)
		return;
	if (wf_load_rlx32(&rt->long_report.state) != WF_REPORT_NONE) /* rlx: the monitor's own; at the next look */
		return;
	start_report(w, now, answered);
	wf_look_done(w->thread);
	count_kept(w);
	w->stall_reported = true;
}

void wf_longrun_over(struct wf_worker *w)
{
	if (w->stall_counted && !w->stall_reported) { /* before it could say where it was */
		wf_look_done(w->thread);
		w->stall_reported = true;
	}
}
