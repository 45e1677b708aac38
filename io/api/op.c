/* SPDX-License-Identifier: MIT */
/* op.c - see op.h */
#include "io/api/op.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "io/api/fd.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

static bool commit_op(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	struct wf_op *op = arg;
	op->ticket = ticket;
	/* rlx: one writer. */
	wf_store_rlx32(&w->ops_in_flight, wf_load_rlx32(&w->ops_in_flight) + 1);
	/* Before PARKED, so that whoever finds the fiber parked finds the thread too (WK-1.4). */
	wf_swap_sc32(&fiber->op_thread, w->thread->slot + 1);
	w->thread->driver->submit(w->thread, op);
	return true;
}

static void park_in(struct wf_fiber *fiber, struct wf_op *op, uint64_t masks)
{
	fiber->frame->op = op;
	wf_park(WF_PARK_OP | masks, commit_op, op);
	fiber->frame->op = NULL;
}

/* The operation stays listed at its descriptor while its fiber waits for readiness: a close must find it there. */
static int32_t attempt(struct wf_fiber *fiber, struct wf_op *op, short events)
{
	for (;;) {
		park_in(fiber, op, wf_park_masks(fiber));
		if (op->result != -EAGAIN || events == 0)
			return op->result;
		int error = wf_interrupted(wf_self(), fiber); /* P3 */
		if (error != 0)
			return error;
		struct wf_op poll = {
			.code = WF_OP_POLL, .fd = op->fd, .flags = (uint16_t)events, .fiber = fiber};
		park_in(fiber, &poll, wf_park_masks(fiber));
		if (poll.result < 0)
			return poll.result;
	}
}

int32_t wf_op_run_waiting(struct wf_op *op, short events)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	struct wf_fiber *fiber = w->current;
	op->fiber = fiber;
	bool listed = op->fd >= 0; /* AT_FDCWD, or none: nothing to close, and the kernel says what is wrong */
	for (;;) {
		int error = wf_interrupted(wf_self(), fiber); /* P1 */
		if (error == 0 && listed)
			error = wf_fd_enter(op);
		if (error != 0)
			return error;
		int32_t result = attempt(fiber, op, events);
		bool more = op->code == WF_OP_RECV && result > 0 && (uint64_t)result == op->size;
		bool closed = listed && wf_fd_leave(op, more);
		if (WF_LIKELY(result != -ECANCELED && result != -EINTR))
			return result; /* P2 */
		if (closed)
			return -ECANCELED; /* law 5 */
		error = wf_interrupted(wf_self(), fiber);
		if (error != 0)
			return error;
		/* A deadline that was moved while its timer fired, or a signal in the kernel: nothing is in force, go on. */
	}
}

int32_t wf_op_run(struct wf_op *op)
{
	return wf_op_run_waiting(op, 0);
}

int32_t wf_op_run_always(struct wf_op *op)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	op->fiber = w->current;
	park_in(w->current, op, WF_PARK_DEAF);
	return op->result;
}

int wf_errno_load(void)
{
	return *wf_errno_address();
}

void wf_errno_store(int value)
{
	*wf_errno_address() = value;
}

WF_OWNER_CODE_END
