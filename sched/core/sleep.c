/* SPDX-License-Identifier: MIT */
/* sleep.c - weft_yield, weft_sleep, weft_sleep_until, weft_now, weft_after
 *
 * A sleep is a park whose commit arms a timer that lives in the sleeper's frame; the timer wins the ticket like any other
 * waker, and a sleeper woken by something else takes its timer back before it returns.
 */
#include <errno.h>

#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/credit.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/core/waiting.h"

WF_OWNER_CODE_BEGIN

struct sleep {
	struct wf_timer timer;
	weft_ns deadline;
};

static void sleep_over(struct wf_worker *w, uint32_t owner, uint64_t ticket)
{
	wf_wake(w, wf_fiber_at(owner), ticket, WF_WAKE_TIMER);
}

static bool commit_sleep(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	struct sleep *sleep = arg;
	sleep->timer.owner = fiber->index;
	sleep->timer.key = ticket;
	sleep->timer.fire = sleep_over;
	wf_timer_arm(&w->timers, &sleep->timer, sleep->deadline);
	wf_bump(w, WF_TIMERS_ARMED, 1);
	return true;
}

static weft_ns now_at(const struct wf_worker *w)
{
	return w != NULL ? wf_worker_now(w) : wf_clock_now();
}

weft_ns weft_now(void)
{
	return now_at(wf_self());
}

weft_ns weft_after(weft_ns delay)
{
	weft_ns at;
	if (delay == WEFT_FOREVER || __builtin_add_overflow(weft_now(), delay, &at))
		return delay < 0 ? INT64_MIN : WEFT_FOREVER;
	return at;
}

void weft_yield(void)
{
	struct wf_worker *w = wf_self();
	if (w == NULL || w->current == NULL)
		return;
	struct wf_fiber *fiber = w->current;
	wf_bump(w, WF_YIELDS, 1);
	wf_store_rlx32(&w->after.kind, WF_AFTER_YIELD); /* rlx: RS3 of rescue.h */
	w->after.fiber = fiber;
	wf_switch_away(w, fiber);
}

int weft_sleep_until(weft_ns deadline)
{
	struct wf_worker *w = wf_turn();
	if (w == NULL)
		return wf_off_fiber();
	struct wf_fiber *fiber = w->current;
	for (;;) {
		int error = wf_interrupted(wf_self(), fiber);
		if (error != 0)
			return error;
		if (deadline <= now_at(wf_self())) {
			weft_yield();
			return 0;
		}
		struct sleep sleep = {.deadline = deadline};
		wf_waits_until(fiber, WF_WAITS_SLEEP, NULL, deadline);
		if (wf_park(wf_park_masks(fiber), commit_sleep, &sleep) == WF_WAKE_TIMER)
			return 0;
		wf_timer_cancel(&sleep.timer);
	}
}

int weft_sleep(weft_ns duration)
{
	if (wf_self() == NULL)
		return wf_off_fiber();
	if (duration > 0)
		return weft_sleep_until(weft_after(duration));
	weft_yield();
	return 0;
}

WF_OWNER_CODE_END
