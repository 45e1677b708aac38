/* SPDX-License-Identifier: MIT */
/* prepare.h - an operation becomes an SQE
 *
 * What     which opcode carries out which operation, whether this kernel has it, and where its fields go.
 * Rules    PR1 nothing is guessed from a version: the kernel is asked (IORING_REGISTER_PROBE).
 * Tests    tests/io
 */
#ifndef WF_IO_URING_PREPARE_H
#define WF_IO_URING_PREPARE_H

#include "sched/base/sanitize.h"
#include "sched/core/driver.h"

WF_OWNER_CODE_BEGIN

#include <liburing.h> /* its inline functions work on the worker's own ring too */

/* The operations that the ring takes, a bit a code. */
uint64_t wf_uring_offered(struct io_uring *ring);
/* `poll_first`: the kernel knows IORING_RECVSEND_POLL_FIRST. Leaves user_data to the caller. */
void wf_uring_prepare(struct io_uring_sqe *sqe, const struct wf_op *op, bool poll_first);

WF_OWNER_CODE_END

#endif
