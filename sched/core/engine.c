/* SPDX-License-Identifier: MIT */
/* engine.c - see engine.h */
#include "sched/core/engine.h"

#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

void wf_engine_submit(struct wf_thread *thread, struct wf_op *op)
{
	void *head = wf_load_scp(&thread->queue);
	do
		op->next = head;
	while (!wf_cas_scp(&thread->queue, &head, op)); /* EN-1 */
}

/* EN2: what was pushed, oldest first. */
static struct wf_op *take_all(struct wf_thread *thread)
{
	/* rlx: what comes a moment later is taken next time. */
	if (wf_load_rlxp(&thread->queue) == NULL)
		return NULL;
	struct wf_op *op = wf_swap_scp(&thread->queue, NULL); /* EN-1 */
	struct wf_op *oldest = NULL;
	while (op != NULL) {
		struct wf_op *next = op->next;
		op->next = oldest;
		oldest = op;
		op = next;
	}
	return oldest;
}

/* The thread that submitted it may not have got as far as PARKED. */
static bool is_settled(const struct wf_op *op)
{
	return op->complete != NULL || wf_ticket_phase(wf_load_acq64(&op->fiber->word)) == WF_PARKED; /* TK-1 */
}

static void drain(struct wf_thread *thread)
{
	bool own = wf_server(thread)->thread == thread; /* it has parked those fibers itself */
	struct wf_op *next;
	for (struct wf_op *op = take_all(thread); op != NULL; op = next) {
		next = op->next;
		if (WF_UNLIKELY(!own) && !is_settled(op)) {
			wf_engine_submit(thread, op);
			continue;
		}
		op->cancel_asked = 0;
		thread->driver->submit(thread, op);
	}
}

bool wf_engine_enter(struct wf_worker *w, struct wf_thread *thread)
{
	if (WF_UNLIKELY(!wf_trylock(&thread->lock)))
		return false;
	if (WF_UNLIKELY(!thread->engine_open)) {
		wf_lock_release(&thread->lock);
		return false;
	}
	wf_store_rlxp(&thread->server, w); /* rlx: see wf_engine_entered() */
	return true;
}

void wf_engine_leave(struct wf_worker *w, struct wf_thread *thread)
{
	(void)w;
	wf_store_rlxp(&thread->server, NULL); /* rlx: as above */
	wf_lock_release(&thread->lock);
}

void wf_engine_close(struct wf_thread *thread)
{
	wf_lock_acquire(&thread->lock);
	bool open = thread->engine_open;
	thread->engine_open = false;
	wf_lock_release(&thread->lock);
	if (open)
		thread->driver->close(thread);
}

void wf_engine_flush(struct wf_worker *w)
{
	struct wf_thread *thread = w->thread;
	if (!wf_engine_enter(w, thread))
		return;
	drain(thread);
	thread->driver->flush(thread);
	wf_engine_leave(w, thread);
}

void wf_engine_wait(struct wf_worker *w, int64_t deadline)
{
	struct wf_thread *thread = w->thread;
	if (!wf_engine_enter(w, thread))
		return;
	drain(thread);
	thread->driver->wait(thread, deadline);
	wf_engine_leave(w, thread);
}

bool wf_engine_pending(struct wf_worker *w)
{
	struct wf_thread *thread = w->thread;
	if (wf_load_acqp(&thread->queue) != NULL)
		return true;
	if (thread->driver->shows)
		return thread->driver->pending(thread);
	struct wf_engine_state state;
	wf_engine_look(thread, &state);
	return state.pending;
}

void wf_engine_look(struct wf_thread *thread, struct wf_engine_state *state)
{
	*state = (struct wf_engine_state){.pending = wf_load_acqp(&thread->queue) != NULL};
	if (!wf_trylock(&thread->lock))
		return;
	if (thread->engine_open) {
		state->in_flight = thread->driver->in_flight(thread);
		state->pending |= thread->driver->pending(thread);
		state->held_back = thread->driver->held_back(thread);
	}
	wf_lock_release(&thread->lock);
}

bool wf_engine_cancel(struct wf_thread *thread, struct wf_op *op)
{
	drain(thread); /* it may stand there still */
	if (WF_UNLIKELY(op->cancel_asked == WF_OP_UNDERWAY))
		return false;
	thread->driver->cancel(thread, op);
	return true;
}

void wf_engine_move(struct wf_worker *w, struct wf_op *op, struct wf_thread *to)
{
	struct wf_fiber *fiber = op->fiber;
	op->cancel_asked = WF_OP_UNDERWAY;
	if (op->complete != NULL) {
		wf_detached_relist((struct wf_detached *)op, to);
		wf_engine_submit(to, op);
	} else {
		uint32_t generation = wf_fiber_generation(wf_load_rlx64(&fiber->life)); /* rlx: it is parked */
		wf_swap_sc32(&fiber->op_thread, to->slot + 1);				/* EN-2 */
		wf_engine_submit(to, op);
		if (wf_load_sc64(&fiber->life) & WF_LIFE_INTERRUPTS) /* EN-2 */
			wf_interrupt(w, fiber, generation);
	}
	if (to != w->thread)
		wf_worker_notify_one(to->worker->rt, to->worker->index);
}

void wf_engine_take_queue(struct wf_worker *w, struct wf_thread *from)
{
	struct wf_op *next;
	for (struct wf_op *op = take_all(from); op != NULL; op = next) {
		next = op->next;
		if (is_settled(op))
			wf_engine_move(w, op, w->thread);
		else
			wf_engine_submit(from, op);
	}
}

WF_OWNER_CODE_END
