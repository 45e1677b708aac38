/* SPDX-License-Identifier: MIT */
/* longrun.c - see longrun.h */
#include "sched/core/longrun.h"

#include <stdio.h>

#include "sched/base/alloc.h"
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

/* LR2: no line can be written now. The next one counts it, and this fiber's next hold is as its first. */
static void leave_unsaid(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	uint64_t *seen = &rt->long_seen[(uint32_t)w->stalled.id % WF_LONG_SEEN];
	if (*seen == w->stalled.id)
		*seen = 0;
	rt->long_unsaid++;
}

/* LR4: whom the worker runs. False: that has changed meanwhile, or cannot be told. */
static bool identify(struct wf_worker *w)
{
	struct wf_long_subject *subject = &w->stalled;
	const struct wf_fiber *fiber = wf_worker_current(w);
	struct wf_fiber block;
	*subject = (struct wf_long_subject){0};
	if (fiber != NULL && wf_peek(fiber, &block, sizeof(block))) {
		subject->id = weft_id(wf_fiber_handle(&block));
		subject->site = block.site;
		if (block.frame == NULL ||
			!wf_peek(block.frame->name, subject->name, sizeof(subject->name)))
			subject->name[0] = '\0';
		subject->name[sizeof(subject->name) - 1] = '\0';
	}
	return subject->id != 0 && wf_load_acq64(&w->counter[WF_RUNS]) == w->seen_runs;
}

/* LR1: where it is, asked and told. */
static bool is_answered(const struct wf_worker *w)
{
	return w->stall_asks && wf_look_answered(w->thread) && w->thread->look.runs == w->seen_runs;
}

static void end_question(struct wf_worker *w)
{
	if (w->stall_asks)
		wf_look_done(w->thread);
	w->stall_asks = false;
}

/* LR3: on a thread of its own. */
static void *report_thread(void *arg)
{
	struct wf_long_report *report = arg;
	char place[192], what[64] = "it is not known where";
	const struct wf_look *look = &report->look;
	const struct wf_long_subject *subject = &report->subject;
	wf_describe_site(subject->site, place, sizeof(place));
	if (report->answered)
		wf_look_describe(look, what, sizeof(what));
	wf_log(WF_LOG_WARN,
		"long run: fiber=%llu \"%s\", created at %s, has held worker %u for %lld ms, %s%s",
		(unsigned long long)subject->id, subject->name, place, report->worker,
		(long long)(report->held / 1000000), what,
		report->answered && look->count > 0 ? " at" : "");
	for (uint32_t i = 0; report->answered && i < look->count; i++) {
		wf_symbol(look->pc[i], i == 0, place, sizeof(place));
		wf_log(WF_LOG_WARN, "  #%u %s", i, place);
	}
	if (report->unsaid > 0)
		wf_log(WF_LOG_WARN,
			"long run: %u more fibers held their workers (WEFT_LONG_RUN=off is silent)",
			report->unsaid);
	if (wf_swap_acq_rel32(&report->state, WF_REPORT_SAID) == WF_REPORT_LEFT) /* LR-1 */
		wf_free(report, sizeof(*report));
	else
		wf_futex_wake(&report->state, 1);
	return NULL;
}

static void fill(struct wf_long_report *report, const struct wf_worker *w)
{
	report->subject = w->stalled;
	report->worker = w->index % w->rt->worker_count;
	report->held = w->stall_held;
	report->unsaid = w->rt->long_unsaid;
	report->answered = is_answered(w);
	if (report->answered)
		report->look = w->thread->look;
	wf_store_rlx32(&report->state, WF_REPORT_RUNS); /* rlx: before the thread */
}

/* The last step of a stall that is worth a line. */
static void say(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	struct wf_long_report *report = wf_alloc(sizeof(*report));
	if (report != NULL)
		fill(report, w);
	if (report != NULL &&
		wf_thread_create(&report->thread, "weft-report", report_thread, report) == 0) {
		rt->long_report = report;
		rt->long_unsaid = 0;
	} else {
		wf_free(report, sizeof(*report));
		leave_unsaid(w);
	}
	end_question(w);
	w->stall_reported = true;
}

void wf_longrun_settle(struct wf_runtime *rt, bool waits)
{
	struct wf_long_report *report = rt->long_report;
	if (report == NULL)
		return;
	pthread_t thread = report->thread;
	int64_t until = wf_clock_now() + WF_REPORT_PATIENCE_NS;
	while (waits && wf_load_acq32(&report->state) == WF_REPORT_RUNS && /* LR-1 */
		wf_clock_now() < until)
		wf_futex_wait(&report->state, WF_REPORT_RUNS, until);
	if (!waits && wf_load_acq32(&report->state) == WF_REPORT_RUNS) /* LR-1 */
		return;
	rt->long_report = NULL;
	if (wf_swap_acq_rel32(&report->state, WF_REPORT_LEFT) == WF_REPORT_RUNS) { /* LR-1 */
		pthread_detach(thread);
		return;
	}
	wf_thread_join(thread);
	wf_free(report, sizeof(*report));
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
	if (!wf_log_ready())
		return;
	wf_log(WF_LOG_WARN,
		"long run: worker %u is in an uninterruptible sleep: %u operations in flight on its ring wait for its end",
		w->index, engine.in_flight);
}

void wf_longrun_look(struct wf_worker *w, int64_t now)
{
	struct wf_runtime *rt = w->rt;
	int64_t held = now - w->held_since;
	if (rt->config.long_run < 0 || held < rt->config.long_run || w->stall_reported ||
		wf_worker_current(w) == NULL)
		return;
	w->stall_held = held;
	if (!w->stall_counted) {
		w->stall_counted = true;
		w->stall_since = w->stall_asked = now;
		wf_bump(w, WF_STALLS, 1);
		w->stall_reported = !identify(w) || !first_time(rt, w->stalled.id, now);
		if (w->stall_reported)
			return;
	}
	/* Asked again, for it may have fallen asleep since: then /proc knows. */
	if (!is_answered(w) && now - w->stall_asked >= WF_LOOK_AGAIN_NS)
		end_question(w);
	if (!w->stall_asks) {
		w->stall_asked = now;
		w->stall_asks = wf_look_ask(w->thread); /* a dump may be asking */
	}
	bool waits = !is_answered(w) && now - w->stall_since < WF_LOOK_PATIENCE_NS;
	if (waits || rt->long_report != NULL)
		return;
	say(w);
	count_kept(w);
}

void wf_longrun_over(struct wf_worker *w)
{
	if (w->stall_counted && !w->stall_reported) {
		if (w->rt->long_report == NULL)
			say(w);
		else
			leave_unsaid(w);
	}
	end_question(w);
	w->stall_counted = w->stall_reported = false;
}
