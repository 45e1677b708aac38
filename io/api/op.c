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
#include "sched/task/pool.h"

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

static void perform(void *arg)
{
	struct wf_op *op = arg;
	op->result = wf_op_perform(op);
}

/* Its result; -EINTR too when it was interrupted before a thread had it. */
static int32_t by_pool(struct wf_op *op, uint64_t masks)
{
	int error = wf_pool_run(perform, op, masks == WF_PARK_DEAF ? WF_POOL_ALWAYS : WF_POOL_BREAK);
	return error != 0 ? error : op->result;
}

static int32_t once(struct wf_fiber *fiber, struct wf_op *op, uint64_t masks)
{
	if (WF_UNLIKELY(!(wf_self()->thread->operations & UINT64_C(1) << op->code)))
		return by_pool(op, masks);
	park_in(fiber, op, masks);
	return WF_LIKELY(op->result != WF_OP_BLOCKS) ? op->result : by_pool(op, masks);
}

/* The operation stays listed at its descriptor while its fiber waits for readiness: a close must find it there. */
static int32_t attempt(struct wf_fiber *fiber, struct wf_op *op, short events)
{
	for (;;) {
		int32_t result = once(fiber, op, wf_park_masks(fiber));
		if (result != -EAGAIN || events == 0)
			return result;
		int error = wf_interrupted(wf_self(), fiber); /* P3 */
		if (error != 0)
			return error;
		struct wf_op poll = {
			.code = WF_OP_POLL, .fd = op->fd, .flags = (uint16_t)events, .fiber = fiber};
		result = once(fiber, &poll, wf_park_masks(fiber));
		if (result < 0)
			return result;
	}
}

/* P4. `second` stands for op->fd2. */
static int enter(struct wf_op *op, struct wf_op *second)
{
	int error = op->fd >= 0 ? wf_fd_enter(op) : 0;
	if (error != 0 || second == NULL || second->fd < 0)
		return error;
	error = wf_fd_enter(second);
	if (error != 0 && op->fd >= 0)
		wf_fd_leave(op, false);
	return error;
}

static bool leave(struct wf_op *op, struct wf_op *second, bool more)
{
	bool closed = op->fd >= 0 && wf_fd_leave(op, more);
	if (second != NULL && second->fd >= 0)
		closed |= wf_fd_leave(second, false);
	return closed;
}

static int32_t run(struct wf_op *op, struct wf_op *second, short events)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	struct wf_fiber *fiber = w->current;
	op->fiber = fiber;
	if (second != NULL)
		second->fiber = fiber;
	for (;;) {
		int error = wf_interrupted(wf_self(), fiber); /* P1 */
		if (error == 0)
			error = enter(op, second);
		if (error != 0)
			return error;
		int32_t result = attempt(fiber, op, events);
		bool more = op->code == WF_OP_RECV && result > 0 && (uint64_t)result == op->size;
		bool closed = leave(op, second, more);
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

int32_t wf_op_run_waiting(struct wf_op *op, short events)
{
	return run(op, NULL, events);
}

int32_t wf_op_run(struct wf_op *op)
{
	return run(op, NULL, 0);
}

int32_t wf_op_run_two(struct wf_op *op)
{
	struct wf_op second = {.code = op->code, .fd = op->fd2};
	return run(op, &second, 0);
}

int32_t wf_op_run_always(struct wf_op *op)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	op->fiber = w->current;
	return once(w->current, op, WF_PARK_DEAF);
}

int32_t wf_op_run_direct(struct wf_op *op)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	op->fiber = w->current;
	int error = wf_interrupted(w, w->current);
	if (error == 0)
		error = enter(op, NULL);
	if (error != 0)
		return error;
	int saved = wf_errno_load();
	int32_t result = wf_op_perform(op);
	wf_errno_store(saved);
	bool more = op->code == WF_OP_RECV && result > 0 && (uint64_t)result == op->size;
	leave(op, NULL, more);
	return result;
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
