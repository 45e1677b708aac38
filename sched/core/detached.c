/* SPDX-License-Identifier: MIT */
/* detached.c - operations that no fiber is parked in; E6 of driver.h
 *
 * Rules    DT1 `thread` is set before the submit and cleared at the end, by that thread alone. A request that finds another thread there, or none, is late and is
 *             dropped; one that finds this thread cancels what is in flight now, which may be a later use: whoever waits on it asks again.
 *          DT2 a request is posted while the operation cannot end (its owner holds what the end needs): so the thread, and its box, still exist.
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

void wf_detached_cancel(struct wf_worker *w, struct wf_detached *detached)
{
	struct wf_thread *thread = wf_load_acqp(&detached->thread);
	if (thread == NULL)
		return;
	if (w != NULL && w->thread == thread) {
		thread->driver->cancel(thread, &detached->op);
		return;
	}
	if (wf_swap_sc32(&detached->boxed, 1) != 0)
		return; /* on its way */
	struct wf_worker *target = thread->worker;
	void *head = wf_load_scp(&target->op_box);
	do
		detached->box_next = head;
	while (!wf_cas_scp(&target->op_box, &head, detached)); /* OB-1 */
	wf_worker_notify_one(target->rt, target->index);
}

void wf_detached_drain_box(struct wf_worker *w)
{
	struct wf_detached *detached = wf_swap_scp(&w->op_box, NULL); /* OB-1 */
	while (detached != NULL) {
		struct wf_detached *next = detached->box_next;
		wf_swap_sc32(&detached->boxed, 0);
		if (wf_load_acqp(&detached->thread) == w->thread) /* DT1 */
			w->thread->driver->cancel(w->thread, &detached->op);
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
