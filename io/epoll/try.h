/* SPDX-License-Identifier: MIT */
/* try.h - one try of an operation that never blocks the thread
 *
 * What     the system call with whatever keeps it from waiting: MSG_DONTWAIT, RWF_NOWAIT, O_NONBLOCK. What has no such way is left to the pool.
 * Rules    TR1 the mode of the descriptor, and who else uses it, makes no difference: no try waits. Readiness seen a moment ago proves nothing.
 *          TR2 a listening socket gets O_NONBLOCK for good, because accept has no flag for it, and taking the mode off again would let another
 *              thread's accept, which found it on, wait. A connecting socket gets it for the call.
 *          TR3 files, directories and block devices are WF_OP_BLOCKS from the start: a try of theirs may be short, and is not waited for.
 *          TR4 an error or an end that comes behind a part of a receive of all is left for the next call to find, as recv(2) does: asking for more
 *              would take it off the socket.
 *          TR5 a close that may wait, for a disk, a terminal's output or the peer of a socket that lingers, is WF_OP_BLOCKS.
 *          TR6 a connect whose other side has a full backlog holds no thread: those who accept may need the pool themselves.
 * Tests    tests/io, with WEFT_ENGINE=epoll; tests/io/epoll_test.cc
 */
#ifndef WF_IO_EPOLL_TRY_H
#define WF_IO_EPOLL_TRY_H

#include "sched/core/driver.h"

/* The kernel has no answer yet: wait until the descriptor is ready for *events, then try again. */
#define WF_EPOLL_NOT_YET (INT32_MIN + 1)

/* The result, WF_OP_BLOCKS, or WF_EPOLL_NOT_YET. `again`: it was waited for. Keeps how far it has come in op->offset (MSG_WAITALL). */
int32_t wf_epoll_try(struct wf_op *op, bool again, short *events);
/* What a receive has got before it was cancelled; 0: nothing. */
int32_t wf_epoll_partial(const struct wf_op *op);
/* What is ready of a descriptor, as poll(2) says; 0: nothing. */
short wf_epoll_ready(int fd, short events);

#endif
