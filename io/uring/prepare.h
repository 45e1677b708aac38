/* SPDX-License-Identifier: MIT */
/* prepare.h - an operation becomes an SQE
 *
 * What     which opcode carries out which operation, whether this kernel has it, and where its fields go.
 * Rules    PR1 nothing is guessed from a version: the kernel is asked (IORING_REGISTER_PROBE).
 *          PR2 the kernel ends each poll in the ring also when the peer has sent its last, asked or not, where poll(2) goes on. One that ended for
 *             nothing else is submitted again on an epoll descriptor that waits for what was asked; it stands in op->size, plus 1.
 * Tests    tests/io
 */
#ifndef WF_IO_URING_PREPARE_H
#define WF_IO_URING_PREPARE_H

#include "sched/base/sanitize.h"
#include "sched/core/driver.h"

WF_OWNER_CODE_BEGIN

#include <liburing.h> /* its inline functions work on the worker's own ring too */

#define WF_URING_LEND_GROUP 1 /* the buffers of lend.h */

/* The operations that the ring takes, a bit a code. */
uint64_t wf_uring_offered(struct io_uring *ring);
/* All but reads and writes. `poll_first`: the kernel knows IORING_RECVSEND_POLL_FIRST. Leaves user_data to the caller. */
void wf_uring_prepare_other(struct io_uring_sqe *sqe, const struct wf_op *op, bool poll_first);

/* PR2. After a completion of a poll: false, nothing that was asked for has come, and it is to be submitted again. */
bool wf_uring_poll_done(struct wf_op *op, int32_t *result);
/* Of one that is not. */
void wf_uring_poll_end(struct wf_op *op);

static inline void wf_uring_prepare(struct io_uring_sqe *sqe, const struct wf_op *op, bool poll_first)
{
	if (op->code == WF_OP_READ)
		io_uring_prep_read(sqe, op->fd, op->memory, (unsigned)op->size, op->offset);
	else if (op->code == WF_OP_WRITE)
		io_uring_prep_write(sqe, op->fd, op->memory, (unsigned)op->size, op->offset);
	else
		wf_uring_prepare_other(sqe, op, poll_first);
}

WF_OWNER_CODE_END

#endif
