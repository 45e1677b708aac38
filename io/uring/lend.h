/* SPDX-License-Identifier: MIT */
/* lend.h - the thread's buffers as a provided-buffer ring of the kernel
 *
 * What     made at the first receive that wants one; filled anew at each tick with what users gave back (sched/core/lend.h).
 * Rules    UL1 the ring's memory is the kernel's until it is unregistered, which comes before the io_uring is closed.
 *          UL2 where the kernel refuses it (no memory, too old), that is remembered, and such receives end with -ENOBUFS.
 * Tests    tests/io/borrow_test.cc
 */
#ifndef WF_IO_URING_LEND_H
#define WF_IO_URING_LEND_H

#include "io/uring/prepare.h"
#include "sched/core/lend.h"

struct wf_uring_lend {
	struct wf_lender *lender; /* NULL: not made */
	struct io_uring_buf_ring *ring;
	bool refused; /* UL2 */
};

/* Is there a ring, now? */
bool wf_uring_lend_ready(struct wf_uring_lend *lend, struct io_uring *ring);
/* Hands what came back to the kernel. */
void wf_uring_lend_refill(struct wf_uring_lend *lend);
/* What a completion of such a receive means for the operation; the result to complete it with. */
int32_t wf_uring_lend_complete(
	struct wf_uring_lend *lend, struct wf_op *op, const struct io_uring_cqe *cqe);
void wf_uring_lend_end(struct wf_uring_lend *lend, struct io_uring *ring);

#endif
