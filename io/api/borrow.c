/* SPDX-License-Identifier: MIT */
/* borrow.c - weft_recv_borrow and weft_slice_return: receiving without a buffer of one's own
 *
 * What     the receive waits for data without a buffer; the kernel takes one of the worker's when data has come. Where the engine has none (all are
 *          lent, or it lends none), readiness is waited for, and a buffer comes from the heap.
 * Rules    BR1 a slice's `opaque` is the lender's address, or that of the heap's buffer with the lowest bit set; 0: nothing is lent.
 * Tests    tests/io/borrow_test.cc
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/core/lend.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"

#define FROM_HEAP 1u

static ssize_t receive_on_heap(int fd, weft_slice *slice)
{
	bool poll_first = !wf_fd_has_more(fd); /* RCV of net.c */
	for (;; poll_first = true) {
		int ready = poll_first ? weft_poll(fd, POLLIN) : 0;
		if (ready < 0)
			return ready;
		char *buffer = wf_alloc(WF_LEND_BYTES);
		if (buffer == NULL)
			return -ENOMEM;
		ssize_t n = weft_recv(fd, buffer, WF_LEND_BYTES, MSG_DONTWAIT);
		if (n > 0) {
			*slice = (weft_slice){buffer, (size_t)n, (uintptr_t)buffer | FROM_HEAP}; /* BR1 */
			return n;
		}
		wf_free(buffer, WF_LEND_BYTES);
		if (n != -EAGAIN) /* another fiber was faster */
			return n;
	}
}

ssize_t weft_recv_borrow(int fd, weft_slice *slice)
{
	const struct wf_worker *w = wf_self();
	if (slice == NULL)
		return -EINVAL;
	*slice = (weft_slice){NULL, 0, 0};
	if (w == NULL)
		return wf_off_fiber();
	if (!w->rt->driver->lends)
		return receive_on_heap(fd, slice);
	struct wf_op op = {.code = WF_OP_RECV, .hints = WF_OP_LEND, .fd = fd, .size = WF_LEND_BYTES};
	if (!wf_fd_has_more(fd))
		op.hints |= WF_OP_POLL_FIRST; /* RCV of net.c */
	int32_t n = wf_op_run_waiting(&op, POLLIN);
	if (n == -ENOBUFS)
		return receive_on_heap(fd, slice);
	if (n > 0)
		*slice = (weft_slice){op.memory, (size_t)n, (uintptr_t)op.other}; /* BR1 */
	return n;
}

void weft_slice_return(weft_slice *slice)
{
	if (slice == NULL || slice->opaque == 0)
		return;
	if (slice->opaque & FROM_HEAP)
		wf_free((void *)(uintptr_t)(slice->opaque & ~(uint64_t)FROM_HEAP), WF_LEND_BYTES);
	else
		wf_lender_give_back((struct wf_lender *)(uintptr_t)slice->opaque, slice->data);
	*slice = (weft_slice){NULL, 0, 0};
}
