/* SPDX-License-Identifier: MIT */
/* op.c - see op.h */
#include "io/api/op.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io/api/entry.h"
#include "io/api/fd.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/core/waiting.h"
#include "sched/sync/wait.h"
#include "sched/task/pool.h"

WF_OWNER_CODE_BEGIN

static bool commit_op(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	struct wf_op *op = arg;
	op->ticket = ticket;
	/* rlx: one writer. */
	wf_store_rlx32(&w->ops_in_flight, wf_load_rlx32(&w->ops_in_flight) + 1);
	/* rlx: PARKED comes after it (WK-1.1), so whoever finds the fiber parked finds the thread too. */
	wf_store_rlx32(&fiber->op_thread, w->thread->slot + 1);
	wf_bump(w, WF_OPS, 1);
	wf_engine_submit(w->thread, op);
	return true;
}

static void park_in(struct wf_fiber *fiber, struct wf_op *op, uint64_t masks)
{
	fiber->frame->op = op;
	wf_waits_for(fiber, WF_WAITS_IO, op);
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
	wf_bump(wf_self(), WF_OPS, 1);
	int error = wf_pool_run(perform, op, masks == WF_PARK_DEAF ? WF_POOL_ALWAYS : WF_POOL_BREAK);
	wf_bump(wf_self(), WF_COMPLETIONS, 1);
	return error != 0 ? error : op->result;
}

/* What the ring gets wrong: a look at all of a length that is not there yet finds the first bytes again with every try. */
static bool misread_by_ring(const struct wf_op *op)
{
	const uint32_t all = MSG_PEEK | MSG_WAITALL;
	return (op->code == WF_OP_RECV || op->code == WF_OP_RECVMSG) && (op->flags & all) == all;
}

static int32_t once(struct wf_fiber *fiber, struct wf_op *op, uint64_t masks)
{
	if (WF_UNLIKELY(!(wf_self()->thread->operations & UINT64_C(1) << op->code)) ||
		WF_UNLIKELY(misread_by_ring(op)))
		return by_pool(op, masks);
	park_in(fiber, op, masks);
	return WF_LIKELY(op->result != WF_OP_BLOCKS) ? op->result : by_pool(op, masks);
}

/* Is a level in force, or has a descriptor been closed under the fiber? */
static int interrupted(struct wf_fiber *fiber)
{
	int error = wf_interrupted(wf_self(), fiber);
	if (error != 0)
		return error;
	return wf_load_acq64(&fiber->life) & WF_LIFE_CLOSE ? -ECANCELED : 0; /* WK-1 covers what comes later */
}

static bool never_ready(struct wf_wait *wait)
{
	(void)wait;
	return true;
}

int32_t wf_op_pause(weft_ns *pause)
{
	struct wf_wait wait = {
		.publish = never_ready, .deadline = weft_after(*pause), .kind = WF_WAITS_SLEEP};
	*pause = *pause < WF_RETRY_MAX_NS ? *pause * 2 : WF_RETRY_MAX_NS;
	wf_wait(&wait, wf_wait_masks());
	return interrupted(wf_self()->current);
}

/* The operation stays listed at its descriptor while its fiber waits for readiness: a close must find it there. */
static int32_t attempt(struct wf_fiber *fiber, struct wf_op *op, short events)
{
	weft_ns pause = WF_RETRY_NS;
	for (unsigned tries = 0;; tries++) {
		int32_t result = once(fiber, op, wf_park_masks(fiber));
		if (result != -EAGAIN || events == 0)
			return result;
		op->hints &= (uint8_t)~WF_OP_POLL_FIRST; /* what cannot be polled, say no socket, says -EAGAIN to that and nothing else */
		int error = tries < WF_RETRIES_AT_ONCE ? interrupted(fiber) : wf_op_pause(&pause); /* P3 */
		if (error != 0)
			return error;
		weft_ns before = weft_now();
		struct wf_op poll = {
			.code = WF_OP_POLL, .fd = op->fd, .flags = (uint16_t)events, .fiber = fiber};
		result = once(fiber, &poll, wf_park_masks(fiber));
		if (result < 0)
			return result;
		if (weft_now() - before > WF_RETRY_NS) /* it was waited for indeed */
			tries = 0;
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
		wf_fd_leave(op);
	return error;
}

static bool leave(struct wf_op *op, struct wf_op *second, int32_t result)
{
	if ((op->code == WF_OP_RECV || op->code == WF_OP_RECVMSG) && result > 0)
		wf_fd_note_more(op, op->code == WF_OP_RECV && (uint64_t)result == op->size);
	bool closed = op->fd >= 0 && wf_fd_leave(op);
	if (second != NULL && second->fd >= 0)
		closed |= wf_fd_leave(second);
	return closed;
}

/* `parts` does it all, or NULL: one operation, and waiting for `events`. */
static int32_t run(
	struct wf_op *op, struct wf_op *second, short events, int32_t (*parts)(struct wf_op *op))
{
	struct wf_worker *w = wf_turn();
	if (w == NULL)
		return wf_off_fiber();
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
		int64_t from = op->hints & WF_OP_MOVES ? wf_fd_position(op) : -1;
		int32_t result = parts != NULL ? parts(op) : attempt(fiber, op, events);
		if (from >= 0 && result > 0)
			wf_fd_moved(op, from, result);
		bool closed = leave(op, second, result);
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

/* P5. Would a submission go to the kernel all by itself? Takes from the tick's budget: a fiber that never parks gives way all the same. */
static bool alone(struct wf_worker *w)
{
	/* rlx: an estimate. */
	return wf_load_rlx32(&w->ready.head) == wf_load_rlx32(&w->ready.tail) &&
		wf_load_rlxp(&w->next) == NULL &&
		wf_load_rlx64(&w->deque.top) == wf_load_rlx64(&w->deque.bottom) &&
		!wf_engine_pending(w);
}

static bool read_directly(struct wf_worker *w, struct wf_op *op)
{
	struct wf_fd_entry *entry = op->entry;
	uint32_t cold = wf_load_rlx32(&entry->cold); /* rlx: a hint */
	if (cold != 0) {
		wf_store_rlx32(&entry->cold, cold - 1);
		return false;
	}
	bool waits = w->rt->driver->engine == WEFT_ENGINE_URING;
	if (w->budget <= 1 || (waits && !alone(w)))
		return false;
	w->budget--;
	struct iovec vector = {.iov_base = op->memory, .iov_len = op->size};
	int saved = wf_errno_load();
	ssize_t n = preadv2(op->fd, &vector, 1, (off_t)op->offset, RWF_NOWAIT);
	int error = n < 0 ? wf_errno_load() : 0;
	wf_errno_store(saved);
	op->result = n < 0 ? -error : (int32_t)n;
	if (error == EAGAIN || error == EOPNOTSUPP)
		wf_store_rlx32(&entry->cold, error == EAGAIN ? WF_COLD_READS : WF_COLD_FILE); /* rlx */
	else if (error != 0)
		return true; /* also where the number is no file's any more */
	/* What is short may be the end of the file, or of what is in memory. */
	return n == 0 || (n > 0 && (uint64_t)n == op->size);
}

/* The same for what is most often asked of a file, without what can only happen elsewhere: nothing to wait for, no second descriptor, no
 * close that interrupts. False: the long way. */
static bool run_counted(struct wf_op *op)
{
	struct wf_worker *w = wf_turn();
	if (w == NULL || !(op->hints & WF_OP_COUNTED) ||
		!(w->thread->operations & UINT64_C(1) << op->code) || wf_levels_on(w) != 0)
		return false;
	struct wf_fd_entry *entry = op->entry;
	if (!wf_fd_enter_counted(entry)) {
		wf_fd_leave_counted(entry);
		return false;
	}
	if (op->code == WF_OP_READ && read_directly(w, op)) {
		wf_fd_leave_counted(entry);
		return true;
	}
	if (w->rt->driver->engine != WEFT_ENGINE_URING) {
		wf_fd_leave_counted(entry);
		return false; /* its other way is the pool */
	}
	op->result = wf_fd_check_file(op);
	if (WF_UNLIKELY(op->result != 0 || !(op->hints & WF_OP_COUNTED))) {
		wf_fd_leave_counted(entry);
		return op->result != 0;
	}
	struct wf_fiber *fiber = w->current;
	op->fiber = fiber;
	park_in(fiber, op, wf_park_masks(fiber));
	wf_fd_leave_counted(entry);
	return WF_LIKELY(op->result != -ECANCELED && op->result != -EINTR &&
		op->result != -EAGAIN && op->result != WF_OP_BLOCKS);
}

int32_t wf_op_run_waiting(struct wf_op *op, short events)
{
	if (run_counted(op))
		return op->result;
	return run(op, NULL, events, NULL);
}

int32_t wf_op_run(struct wf_op *op)
{
	return run(op, NULL, 0, NULL);
}

int32_t wf_op_run_two(struct wf_op *op)
{
	struct wf_op second = {.code = op->code, .fd = op->fd2};
	return run(op, &second, 0, NULL);
}

int32_t wf_op_run_parts(struct wf_op *op, int32_t (*parts)(struct wf_op *op), bool two)
{
	struct wf_op second = {.code = op->code, .fd = op->fd2};
	return run(op, two ? &second : NULL, 0, parts);
}

int32_t wf_op_part(struct wf_op *part, short events)
{
	struct wf_fiber *fiber = wf_self()->current;
	part->fiber = fiber;
	for (;;) {
		int32_t result = interrupted(fiber);
		if (result != 0)
			return result;
		result = attempt(fiber, part, events);
		if (result != -EINTR && (result != -ECANCELED || interrupted(fiber) != 0))
			return result;
	}
}

int32_t wf_op_run_always(struct wf_op *op)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return wf_off_fiber();
	op->fiber = w->current;
	int32_t result = once(w->current, op, WF_PARK_DEAF);
	if (op->code == WF_OP_CLOSE &&
		WF_UNLIKELY(result == -EAGAIN || result == -ENOMEM)) { /* no thread could be made: a close closes all the same */
		int saved = wf_errno_load();
		result = wf_op_perform(op);
		wf_errno_store(saved);
	}
	return result;
}

int32_t wf_op_run_direct(struct wf_op *op)
{
	struct wf_worker *w = wf_turn_in_place();
	if (w == NULL)
		return wf_off_fiber();
	op->fiber = w->current;
	int error = wf_interrupted(w, w->current);
	if (error == 0)
		error = enter(op, NULL);
	if (error != 0)
		return error;
	int saved = wf_errno_load();
	int32_t result = wf_op_perform(op);
	wf_errno_store(saved);
	leave(op, NULL, result);
	return result;
}

int wf_op_refuse(int error)
{
	struct wf_worker *w = wf_turn();
	if (w == NULL)
		return wf_off_fiber();
	int level = wf_interrupted(w, w->current);
	return level != 0 ? level : error;
}

WF_OWNER_CODE_END
