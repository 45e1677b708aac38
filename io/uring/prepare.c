/* SPDX-License-Identifier: MIT */
/* prepare.c - see prepare.h */
#include "io/uring/prepare.h"

#include <fcntl.h>
#include <poll.h>

#include "sched/base/check.h"
#include "sched/base/own_fd.h"

WF_OWNER_CODE_BEGIN

/* Operations that the header of liburing 2.3 does not know yet. */
enum { RING_WAITID = 50, RING_FTRUNCATE = 55, RING_BIND = 56, RING_LISTEN = 57 };

/* What carries an operation out; the kernel is asked once a ring which of them it has. */
static const uint8_t ring_code[WF_OP_CODES] = {
	[WF_OP_READ] = IORING_OP_READ,
	[WF_OP_WRITE] = IORING_OP_WRITE,
	[WF_OP_READV] = IORING_OP_READV,
	[WF_OP_WRITEV] = IORING_OP_WRITEV,
	[WF_OP_RECV] = IORING_OP_RECV,
	[WF_OP_SEND] = IORING_OP_SEND,
	[WF_OP_RECVMSG] = IORING_OP_RECVMSG,
	[WF_OP_SENDMSG] = IORING_OP_SENDMSG,
	[WF_OP_ACCEPT] = IORING_OP_ACCEPT,
	[WF_OP_CONNECT] = IORING_OP_CONNECT,
	[WF_OP_POLL] = IORING_OP_POLL_ADD,
	[WF_OP_OPENAT] = IORING_OP_OPENAT,
	[WF_OP_CLOSE] = IORING_OP_CLOSE,
	[WF_OP_SHUTDOWN] = IORING_OP_SHUTDOWN,
	[WF_OP_FSYNC] = IORING_OP_FSYNC,
	[WF_OP_FALLOCATE] = IORING_OP_FALLOCATE,
	[WF_OP_FTRUNCATE] = RING_FTRUNCATE,
	[WF_OP_STATX] = IORING_OP_STATX,
	[WF_OP_UNLINKAT] = IORING_OP_UNLINKAT,
	[WF_OP_RENAMEAT] = IORING_OP_RENAMEAT,
	[WF_OP_MKDIRAT] = IORING_OP_MKDIRAT,
	[WF_OP_LINKAT] = IORING_OP_LINKAT,
	[WF_OP_SYMLINKAT] = IORING_OP_SYMLINKAT,
	[WF_OP_SPLICE] = IORING_OP_SPLICE,
	[WF_OP_WAITID] = RING_WAITID,
	[WF_OP_SOCKET] = IORING_OP_SOCKET,
	[WF_OP_BIND] = RING_BIND,
	[WF_OP_LISTEN] = RING_LISTEN,
};

uint64_t wf_uring_offered(struct io_uring *ring)
{
	uint64_t codes = 0;
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	for (unsigned code = 0; probe != NULL && code < WF_OP_CODES; code++)
		if (io_uring_opcode_supported(probe, ring_code[code]))
			codes |= UINT64_C(1) << code;
	if (probe != NULL)
		io_uring_free_probe(probe);
	return codes;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct wf_op *op, bool poll_first)
{
	unsigned size = (unsigned)op->size;
	int flags = (int)op->flags;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_READV:
		io_uring_prep_readv(sqe, op->fd, op->memory, size, op->offset);
		return;
	case WF_OP_WRITEV:
		io_uring_prep_writev(sqe, op->fd, op->memory, size, op->offset);
		return;
	case WF_OP_RECV:
		io_uring_prep_recv(sqe, op->fd, op->memory, op->size, flags);
		if (op->hints & WF_OP_LEND) {
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->buf_group = WF_URING_LEND_GROUP;
		}
		break;
	case WF_OP_SEND:
		io_uring_prep_send(sqe, op->fd, op->memory, op->size, flags);
		return;
	case WF_OP_RECVMSG:
		io_uring_prep_recvmsg(sqe, op->fd, op->memory, op->flags);
		break;
	default:
		io_uring_prep_sendmsg(sqe, op->fd, op->memory, op->flags);
		return;
	}
	if (poll_first && (op->hints & WF_OP_POLL_FIRST))
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prepare_socket(struct io_uring_sqe *sqe, const struct wf_op *op)
{
	int flags = (int)op->flags;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, op->memory, op->other, flags);
		return;
	case WF_OP_CONNECT:
		io_uring_prep_connect(sqe, op->fd, op->memory, (socklen_t)op->size);
		return;
	case WF_OP_SHUTDOWN:
		io_uring_prep_shutdown(sqe, op->fd, flags);
		return;
	case WF_OP_SOCKET:
		io_uring_prep_socket(sqe, (int)op->size, flags, (int)op->offset, 0);
		return;
	case WF_OP_BIND:
		io_uring_prep_rw(RING_BIND, sqe, op->fd, op->memory, 0, op->size);
		return;
	default:
		io_uring_prep_rw(RING_LISTEN, sqe, op->fd, NULL, (unsigned)op->size, 0);
		return;
	}
}

static void prepare_name(struct io_uring_sqe *sqe, const struct wf_op *op)
{
	int flags = (int)op->flags;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_OPENAT:
		io_uring_prep_openat(sqe, op->fd, op->memory, flags, (mode_t)op->size);
		/* The kernel's first, inline try opens with O_NONBLOCK added: a FIFO would not wait for its other side. */
		if (!(flags & (O_NONBLOCK | O_PATH | O_DIRECTORY)))
			sqe->flags |= IOSQE_ASYNC;
		return;
	case WF_OP_STATX:
		io_uring_prep_statx(sqe, op->fd, op->memory, flags, (unsigned)op->size, op->other);
		return;
	case WF_OP_UNLINKAT:
		io_uring_prep_unlinkat(sqe, op->fd, op->memory, flags);
		return;
	case WF_OP_RENAMEAT:
		io_uring_prep_renameat(sqe, op->fd, op->memory, op->fd2, op->other, op->flags);
		return;
	case WF_OP_MKDIRAT:
		io_uring_prep_mkdirat(sqe, op->fd, op->memory, (mode_t)op->size);
		return;
	case WF_OP_LINKAT:
		io_uring_prep_linkat(sqe, op->fd, op->memory, op->fd2, op->other, flags);
		return;
	default:
		io_uring_prep_symlinkat(sqe, op->memory, op->fd, op->other);
		return;
	}
}

void wf_uring_poll_end(struct wf_op *op)
{
	if (op->size != 0)
		wf_own_close((int)op->size - 1);
	op->size = 0;
}

bool wf_uring_poll_done(struct wf_op *op, int32_t *result)
{
	const int32_t asked = (int32_t)(op->flags | POLLERR | POLLHUP | POLLNVAL);
	if (op->size != 0) {
		struct pollfd one = {.fd = op->fd, .events = (short)op->flags};
		wf_uring_poll_end(op);
		if (*result > 0)
			*result = poll(&one, 1, 0) > 0 ? one.revents : 0;
		return *result != 0;
	}
	if (*result <= 0)
		return true;
	if (*result & asked) {
		*result &= asked;
		return true;
	}
	struct epoll_event event = {.events = op->flags};
	int fd = wf_own_epoll();
	if (fd >= 0 && wf_own_epoll_add(fd, op->fd, &event) != 0) {
		wf_own_close(fd);
		fd = -1;
	}
	if (fd >= 0)
		op->size = (uint64_t)fd + 1;
	return fd < 0; /* no descriptor is left: it says what has come */
}

static void prepare_waitid(struct io_uring_sqe *sqe, const struct wf_op *op)
{
	io_uring_prep_rw(RING_WAITID, sqe, (int)op->offset, NULL, (unsigned)op->size,
		(uint64_t)(uintptr_t)op->other);
	sqe->file_index = op->flags;
}

void wf_uring_prepare_other(struct io_uring_sqe *sqe, const struct wf_op *op, bool poll_first)
{
	switch ((enum wf_op_code)op->code) {
	case WF_OP_READV:
	case WF_OP_WRITEV:
	case WF_OP_RECV:
	case WF_OP_SEND:
	case WF_OP_RECVMSG:
	case WF_OP_SENDMSG:
		prepare_transfer(sqe, op, poll_first);
		return;
	case WF_OP_ACCEPT:
	case WF_OP_CONNECT:
	case WF_OP_SHUTDOWN:
	case WF_OP_SOCKET:
	case WF_OP_BIND:
	case WF_OP_LISTEN:
		prepare_socket(sqe, op);
		return;
	case WF_OP_OPENAT:
	case WF_OP_STATX:
	case WF_OP_UNLINKAT:
	case WF_OP_RENAMEAT:
	case WF_OP_MKDIRAT:
	case WF_OP_LINKAT:
	case WF_OP_SYMLINKAT:
		prepare_name(sqe, op);
		return;
	case WF_OP_POLL:
		if (op->size == 0)
			io_uring_prep_poll_add(sqe, op->fd, op->flags);
		else
			io_uring_prep_poll_add(sqe, (int)op->size - 1, POLLIN); /* PR2 */
		return;
	case WF_OP_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		return;
	case WF_OP_FSYNC:
		io_uring_prep_fsync(sqe, op->fd, op->flags != 0 ? IORING_FSYNC_DATASYNC : 0);
		return;
	case WF_OP_FALLOCATE:
		io_uring_prep_fallocate(sqe, op->fd, (int)op->flags, (off_t)op->offset, (off_t)op->size);
		return;
	case WF_OP_FTRUNCATE:
		io_uring_prep_rw(RING_FTRUNCATE, sqe, op->fd, NULL, 0, op->size);
		return;
	case WF_OP_SPLICE:
		io_uring_prep_splice(sqe, op->fd, (int64_t)op->offset, op->fd2,
			(int64_t)op->offset2, (unsigned)op->size, op->flags);
		return;
	case WF_OP_WAITID:
		prepare_waitid(sqe, op);
		return;
	case WF_OP_READ:
	case WF_OP_WRITE:
	case WF_OP_CODES:
		break;
	}
	wf_fatal("operation code %d is not known", op->code);
}

WF_OWNER_CODE_END
