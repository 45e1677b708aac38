/* SPDX-License-Identifier: MIT */
/* detached.c - operations that no fiber is parked in; E6 of driver.h
 *
 * Rules    DT1 `thread` is set before the submit and cleared at the end, by that thread alone.
 *          DT2 only its thread can cancel it. Others ask: the request goes to that thread's worker, once, and says nothing but "look":
 *             the review finds what is the case by then, and asks on if the operation is at another thread.
 *          DT3 whoever asks holds what the operation's end needs: so the thread, and its box, exist until the request is posted.
 */
#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

void wf_detached_submit(struct wf_worker *w, struct wf_detached *detached)
{
	struct wf_thread *thread = w->thread;
	wf_store_relp(&detached->thread, thread); /* DT1 */
	detached->prev = NULL;
	detached->next = thread->detached;
	if (thread->detached != NULL)
		thread->detached->prev = detached;
	thread->detached = detached;
	thread->driver->submit(thread, &detached->op);
}

void wf_detached_ended(struct wf_detached *detached)
{
	struct wf_thread *thread = wf_load_acqp(&detached->thread);
	if (detached->prev != NULL)
		detached->prev->next = detached->next;
	else
		thread->detached = detached->next;
	if (detached->next != NULL)
		detached->next->prev = detached->prev;
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
}

void wf_detached_drain_box(struct wf_worker *w)
{
	struct wf_detached *detached = wf_swap_scp(&w->op_box, NULL); /* OB-1 */
	while (detached != NULL) {
		struct wf_detached *next = detached->box_next;
		wf_swap_sc32(&detached->boxed, 0); /* before the review: what comes from now on asks anew */
		detached->review(w, detached);
		detached = next;
	}
}

void wf_detached_end_all(struct wf_thread *thread)
{
	while (thread->detached != NULL) {
		for (struct wf_detached *at = thread->detached; at != NULL; at = at->next)
			thread->driver->cancel(thread, &at->op);
		thread->driver->wait(thread, INT64_MAX);
	}
	wf_drain_box(thread->worker); /* what was posted in the last moment: nothing is in flight here now */
}

WF_OWNER_CODE_END
