/* SPDX-License-Identifier: MIT */
/* detached.c - operations that no fiber is parked in; E6 of driver.h
 *
 * Rules    DT1 `thread` is set before the submit and cleared at the end, by whoever holds that thread's lock (engine.h) or has not submitted it yet.
 *          DT2 only with its thread's lock can it be cancelled. Others ask: the request goes to that thread's worker, once, and says nothing but "look":
 *             the review finds what is the case by then, and asks on if the operation is at another thread.
 *          DT3 whoever asks holds what the operation's end needs: so the thread, and its box, exist until the request is posted.
 */
#include "sched/base/sanitize.h"
#include "sched/core/engine.h"
#include "sched/core/rescue.h"

WF_OWNER_CODE_BEGIN

static void list(struct wf_detached *detached, struct wf_thread *thread)
{
	wf_lock_acquire(&thread->detached_lock);
	detached->prev = NULL;
	detached->next = thread->detached;
	if (thread->detached != NULL)
		thread->detached->prev = detached;
	thread->detached = detached;
	wf_lock_release(&thread->detached_lock);
	wf_store_relp(&detached->thread, thread); /* DT1 */
}

static void unlist(struct wf_detached *detached)
{
	struct wf_thread *thread = wf_load_acqp(&detached->thread);
	wf_lock_acquire(&thread->detached_lock);
	if (detached->prev != NULL)
		detached->prev->next = detached->next;
	else
		thread->detached = detached->next;
	if (detached->next != NULL)
		detached->next->prev = detached->prev;
	wf_lock_release(&thread->detached_lock);
}

void wf_detached_submit(struct wf_worker *w, struct wf_detached *detached)
{
	detached->op.cancel_asked = WF_OP_UNDERWAY;
	list(detached, w->thread);
	wf_bump(w, WF_OPS, 1);
	wf_engine_submit(w->thread, &detached->op);
}

void wf_detached_relist(struct wf_detached *detached, struct wf_thread *to)
{
	unlist(detached);
	list(detached, to);
}

bool wf_detached_cancel(struct wf_worker *w, struct wf_detached *detached)
{
	struct wf_thread *thread = wf_load_acqp(&detached->thread);
	if (thread == NULL || !wf_engine_entered(w, thread))
		return false;
	return wf_engine_cancel(thread, &detached->op);
}

void wf_detached_ended(struct wf_detached *detached)
{
	unlist(detached);
	wf_store_relp(&detached->thread, NULL); /* DT1 */
}

void wf_detached_ask(struct wf_worker *w, struct wf_detached *detached)
{
	struct wf_thread *thread = wf_load_acqp(&detached->thread);
	if (thread == NULL || wf_swap_sc32(&detached->boxed, 1) != 0)
		return; /* idle, or a request is on its way (DT2) */
	struct wf_worker *target = thread->worker;
	void *head = wf_load_scp(&target->op_box);
	do
		detached->box_next = head;
	while (!wf_cas_scp(&target->op_box, &head, detached)); /* OB-1 */
	if (target != w)
		wf_worker_notify_one(target->rt, target->index); /* this one looks before it sleeps */
	wf_spare_check_box(w, target);
}

static void review_all(struct wf_worker *w, struct wf_worker *box)
{
	struct wf_detached *detached = wf_swap_scp(&box->op_box, NULL); /* OB-1 */
	while (detached != NULL) {
		struct wf_detached *next = detached->box_next;
		wf_swap_sc32(&detached->boxed, 0); /* before the review: what comes from now on asks anew */
		detached->review(w, detached);
		detached = next;
	}
}

void wf_detached_drain_box(struct wf_worker *w, struct wf_worker *box)
{
	if (wf_engine_entered(w, box->thread)) {
		review_all(w, box);
	} else if (wf_engine_enter(w, box->thread)) { /* else a rescuer is at it, and answers; or this worker at its next tick */
		review_all(w, box);
		wf_engine_leave(w, box->thread);
	}
}

void wf_detached_end_all(struct wf_thread *thread)
{
	struct wf_worker *w = thread->worker;
	while (thread->detached != NULL) {
		if (!wf_engine_enter(w, thread))
			continue; /* a rescuer is still looking */
		for (struct wf_detached *at = thread->detached; at != NULL; at = at->next)
			wf_engine_cancel(thread, &at->op);
		wf_engine_leave(w, thread);
		wf_engine_wait(w, INT64_MAX);
	}
	wf_drain_box(w, w); /* what was posted in the last moment: nothing is in flight here now */
}

WF_OWNER_CODE_END
