/* SPDX-License-Identifier: MIT */
/* op.h - running one operation: what every call of io/api has in common
 *
 * What     enters the operation at its descriptors, lets the engine do it, or a thread of the pool where the engine does not (perform.c), parks
 *          meanwhile, and says what came of it.
 * Rules    P1 levels first: cancellation and deadline in force fail the call before anything is submitted.
 *          P2 data wins: a result >= 0 is returned, whatever was asked meanwhile.
 *          P3 -EAGAIN of a descriptor set O_NONBLOCK is waited out, unless the call asked for MSG_DONTWAIT. Where the kernel says "ready" and then
 *             "not now" again and again (a full Unix datagram socket that the sender is not connected to), with pauses.
 *          P4 an operation on two descriptors is listed at both, so that closing either ends it. AT_FDCWD and other negative numbers are listed
 *             nowhere: there is nothing to close, and the kernel says what is wrong.
 *          P5 a read of a file that would be submitted alone is tried by the plain call first, if it need not wait for the disk: one system call either
 *             way, and no park. The same with the epoll engine, where the other way is a thread of the pool. Where the data was not in
 *             memory the next reads are not tried.
 * Tests    tests/io
 */
#ifndef WF_IO_API_OP_H
#define WF_IO_API_OP_H

#include <stdbool.h>
#include <sys/types.h>
#include <weft/runtime.h>

#include "sched/base/limits.h"
#include "sched/base/seam.h"
#include "sched/core/driver.h"

/* A transfer of one call, as Linux itself bounds it. */
static inline size_t wf_io_bytes(size_t len)
{
	return len < WF_IO_BYTES_MAX ? len : WF_IO_BYTES_MAX;
}

/* Parks until the operation has completed: its result, or a negative errno. -EPERM off a fiber. */
int32_t wf_op_run(struct wf_op *op);
/* The same with a second descriptor, op->fd2. */
int32_t wf_op_run_two(struct wf_op *op);
/* The same for an operation whose -EAGAIN means "not now": waits for `events` and tries again. */
int32_t wf_op_run_waiting(struct wf_op *op, short events);
/* A call made of several operations: `parts` runs while `op` is listed at its descriptor, or both of them with `two`, so that closing either ends it
 * at any point. What it returns is the call's result; a cancelled part's -ECANCELED may be passed on as it is. */
int32_t wf_op_run_parts(struct wf_op *op, int32_t (*parts)(struct wf_op *op), bool two);
/* One of them, on a descriptor that is listed. Levels first; as wf_op_run_waiting() with `events`. */
int32_t wf_op_part(struct wf_op *part, short events);
/* Sleeps for *pause, and doubles it up to a bound: for what cannot be waited for. 0, -ECANCELED or -ETIMEDOUT. */
int32_t wf_op_pause(weft_ns *pause);
/* Neither cancellable nor late, and not in the descriptor table: the close itself. */
int32_t wf_op_run_always(struct wf_op *op);
/* Performs it on this thread, because the call returns at once; meets closing descriptors and levels as the others do. */
int32_t wf_op_run_direct(struct wf_op *op);

/* An error found without the kernel; the levels come first all the same. */
int wf_op_refuse(int error);

/* perform.c: the operation as a blocking system call, on the calling thread. Its result, or a negative errno. */
int32_t wf_op_perform(struct wf_op *op);

#endif
