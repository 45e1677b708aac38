/* SPDX-License-Identifier: MIT */
/* cancel.c - weft_cancel, weft_cancelled, weft_check, weft_shield, weft_deadline
 *
 * What     sets the levels that core's park looks at. Cancellation is a bit of the life word, set by anybody; the shield is a
 *          flag only the fiber writes; the deadline is a field of the fiber's frame with one timer, moved by a store when it moves later.
 * Rules    N1 of park.c: the LATE bit only wakes; the clock decides.
 * Tests    tests/task/cancel_test.cc
 */
#include <errno.h>

#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

int weft_cancel(weft_fiber *handle)
{
	uint32_t generation;
	struct wf_fiber *fiber = wf_fiber_of_handle(handle, &generation);
	if (fiber == NULL)
		return handle == NULL ? -EINVAL : -ESRCH;
	uint64_t life;
	if (wf_life_set(fiber, generation, WF_LIFE_CANCEL, WF_LIFE_ENDED, &life)) { /* WK-1.3 */
		wf_cancelled_opener(wf_self(), fiber, life);
		wf_interrupt(wf_self(), fiber, generation);
		return 0;
	}
	bool known = wf_fiber_generation(life) == generation && (life & WF_LIFE_LIVE);
	return known && !(life & WF_LIFE_DETACHED) ? 0 : -ESRCH; /* ended and not yet joined: nothing to do */
}

int weft_cancelled(void)
{
	struct wf_fiber *fiber = wf_current();
	return fiber != NULL && wf_cancel_in_force(fiber);
}

int weft_check(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL || w->current == NULL ? 0 : wf_interrupted(w, w->current);
}

bool weft_shield(bool on)
{
	struct wf_fiber *fiber = wf_current();
	if (fiber == NULL)
		return false;
	bool old = (fiber->flags & WF_FIBER_SHIELD) != 0;
	if (on)
		fiber->flags |= WF_FIBER_SHIELD;
	else
		fiber->flags &= ~WF_FIBER_SHIELD;
	return old;
}

weft_ns weft_deadline(weft_ns deadline)
{
	struct wf_worker *w = wf_self();
	if (w == NULL || w->current == NULL)
		return WEFT_FOREVER;
	struct wf_fiber *fiber = w->current;
	weft_ns old = fiber->frame->deadline;
	fiber->frame->deadline = deadline;
	if (wf_load_acq64(&fiber->life) & WF_LIFE_LATE)
		wf_and_sc64(&fiber->life, ~WF_LIFE_LATE); /* N1 */
	if (deadline != WEFT_FOREVER && !wf_timer_postpone(&fiber->frame->timer, deadline))
		wf_deadline_arm(w, fiber);
	else if (deadline == WEFT_FOREVER && old != WEFT_FOREVER)
		wf_deadline_disarm(fiber);
	return old;
}

WF_OWNER_CODE_END
