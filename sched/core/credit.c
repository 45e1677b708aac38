/* SPDX-License-Identifier: MIT */
/* credit.c - see credit.h */
#include "sched/core/credit.h"

#include <weft/fiber.h>

#include "sched/base/sanitize.h"
#include "sched/core/rescue.h"

WF_OWNER_CODE_BEGIN

/* CR3. A spare has company: when it retires it gives away what is in its queues, and nothing else. rlx: the tick finds what comes meanwhile. */
static bool is_alone(const struct wf_worker *w)
{
	return wf_load_rlx32(&w->ready.head) == wf_load_rlx32(&w->ready.tail) &&
		wf_load_rlxp(&w->next) == NULL &&
		wf_load_rlx64(&w->deque.top) == wf_load_rlx64(&w->deque.bottom) &&
		w->pinned_head == NULL && wf_load_rlx32(&w->inbox) == WF_NO_FIBER &&
		wf_load_rlx32(&w->rt->injected) == 0 && !wf_sees_unbound(w) && !wf_is_spare(w);
}

/* Out of line: its caller goes on without a frame of its own. */
__attribute__((noinline)) struct wf_worker *wf_give_way(struct wf_worker *w)
{
	struct wf_fiber *fiber = w->current;
	if (fiber == NULL) /* CR4 */
		return w;
	if (!is_alone(w)) {
		weft_yield();
		return wf_self();
	}
	wf_bump(w, WF_YIELDS, 1);
	w->handoff = fiber;
	w->budget = 0;					    /* so that the scheduler is next */
	wf_store_rlx32(&w->after.kind, WF_AFTER_SCHEDULER); /* rlx: RS3 of rescue.h */
	wf_switch_away(w, fiber);
	return wf_self();
}

WF_OWNER_CODE_END
