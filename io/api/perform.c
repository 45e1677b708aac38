/* SPDX-License-Identifier: MIT */
/* perform.c - an operation as the plain system call, for a thread that may block
 *
 * What     what a pool thread does of operations that the engine does not: on kernels whose ring lacks them, and files with the epoll
 *          engine. The meaning is the system call's own, EINTR included, by which the call is ended when its fiber is cancelled.
 * Tests    tests/io, with WEFT_ENGINE=epoll
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/api/op.h"

/* -1: the file's own position. */
static off_t offset_of(const struct wf_op *op)
{
	return (off_t)op->offset;
}

static ssize_t transfer(const struct wf_op *op)
{
	bool own_position = op->offset == UINT64_MAX;
	const struct iovec *vector = op->memory;
	int count = (int)op->size;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_READ:
		return own_position ? read(op->fd, op->memory, op->size)
				    : pread(op->fd, op->memory, op->size, offset_of(op));
	case WF_OP_WRITE:
		return own_position ? write(op->fd, op->memory, op->size)
				    : pwrite(op->fd, op->memory, op->size, offset_of(op));
	case WF_OP_READV:
		return own_position ? readv(op->fd, vector, count)
				    : preadv(op->fd, vector, count, offset_of(op));
	default:
		return own_position ? writev(op->fd, vector, count)
				    : pwritev(op->fd, vector, count, offset_of(op));
	}
}

static ssize_t on_socket(const struct wf_op *op)
{
	int flags = (int)op->flags;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_RECV:
		return recv(op->fd, op->memory, op->size, flags);
	case WF_OP_SEND:
		return send(op->fd, op->memory, op->size, flags);
	case WF_OP_RECVMSG:
		return recvmsg(op->fd, op->memory, flags);
	case WF_OP_SENDMSG:
		return sendmsg(op->fd, op->memory, flags);
	case WF_OP_ACCEPT:
		return accept4(op->fd, op->memory, op->other, flags);
	case WF_OP_CONNECT:
		return connect(op->fd, op->memory, (socklen_t)op->size);
	case WF_OP_SHUTDOWN:
		return shutdown(op->fd, flags);
	case WF_OP_SOCKET:
		return socket((int)op->size, flags, (int)op->offset);
	case WF_OP_BIND:
		return bind(op->fd, op->memory, (socklen_t)op->size);
	default:
		return listen(op->fd, (int)op->size);
	}
}

/* The system calls themselves: libc's functions may assume that a path is none of the bad pointers that a caller can give. */
static ssize_t on_name(const struct wf_op *op)
{
	int flags = (int)op->flags;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_OPENAT:
		return syscall(SYS_openat, op->fd, op->memory, flags, (mode_t)op->size);
	case WF_OP_STATX:
		return syscall(SYS_statx, op->fd, op->memory, flags, (unsigned)op->size, op->other);
	case WF_OP_UNLINKAT:
		return syscall(SYS_unlinkat, op->fd, op->memory, flags);
	case WF_OP_RENAMEAT:
		return syscall(SYS_renameat2, op->fd, op->memory, op->fd2, op->other, op->flags);
	case WF_OP_MKDIRAT:
		return syscall(SYS_mkdirat, op->fd, op->memory, (mode_t)op->size);
	case WF_OP_LINKAT:
		return syscall(SYS_linkat, op->fd, op->memory, op->fd2, op->other, flags);
	default:
		return syscall(SYS_symlinkat, op->memory, op->fd, op->other);
	}
}

static ssize_t poll_one(const struct wf_op *op)
{
	struct pollfd one = {.fd = op->fd, .events = (short)op->flags};
	int ready = poll(&one, 1, -1);
	if (ready > 0 && (one.revents & POLLNVAL)) {
		errno = EBADF;
		return -1;
	}
	return ready < 0 ? ready : one.revents;
}

static ssize_t splice_it(const struct wf_op *op)
{
	off64_t in = (off64_t)op->offset, out = (off64_t)op->offset2;
	return splice(op->fd, in < 0 ? NULL : &in, op->fd2, out < 0 ? NULL : &out, op->size, op->flags);
}

static ssize_t call(const struct wf_op *op)
{
	switch ((enum wf_op_code)op->code) {
	case WF_OP_READ:
	case WF_OP_WRITE:
	case WF_OP_READV:
	case WF_OP_WRITEV:
		return transfer(op);
	case WF_OP_POLL:
		return poll_one(op);
	case WF_OP_CLOSE:
		return close(op->fd);
	case WF_OP_FSYNC:
		return op->flags != 0 ? fdatasync(op->fd) : fsync(op->fd);
	case WF_OP_FALLOCATE:
		return fallocate(op->fd, (int)op->flags, offset_of(op), (off_t)op->size);
	case WF_OP_FTRUNCATE:
		return ftruncate(op->fd, (off_t)op->size);
	case WF_OP_SPLICE:
		return splice_it(op);
	case WF_OP_WAITID:
		return waitid((idtype_t)op->size, (id_t)op->offset, op->other, (int)op->flags);
	case WF_OP_OPENAT:
	case WF_OP_STATX:
	case WF_OP_UNLINKAT:
	case WF_OP_RENAMEAT:
	case WF_OP_MKDIRAT:
	case WF_OP_LINKAT:
	case WF_OP_SYMLINKAT:
		return on_name(op);
	default:
		return on_socket(op);
	}
}

int32_t wf_op_perform(struct wf_op *op)
{
	ssize_t result = call(op);
	return result < 0 ? -errno : (int32_t)result;
}
