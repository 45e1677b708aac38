/* SPDX-License-Identifier: MIT */
/* try.c - see try.h */
#include "io/epoll/try.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

static int32_t result_of(ssize_t n)
{
	return n < 0 ? -errno : (int32_t)n;
}

short wf_epoll_ready(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};
	int n = poll(&one, 1, 0);
	return n > 0 ? one.revents : 0;
}

static bool is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK);
}

static ssize_t move(const struct wf_op *op, int flags)
{
	struct iovec one = {.iov_base = op->memory, .iov_len = op->size};
	bool many = op->code == WF_OP_READV || op->code == WF_OP_WRITEV;
	bool in = op->code == WF_OP_READ || op->code == WF_OP_READV;
	const struct iovec *vector = many ? op->memory : &one;
	int count = many ? (int)op->size : 1;
	off_t offset = (off_t)op->offset;
	return in ? preadv2(op->fd, vector, count, offset, flags)
		  : pwritev2(op->fd, vector, count, offset, flags);
}

/* The same of a socket, for kernels that know RWF_NOWAIT of files alone (before 6.4). */
static ssize_t move_message(const struct wf_op *op)
{
	struct iovec one = {.iov_base = op->memory, .iov_len = op->size};
	bool many = op->code == WF_OP_READV || op->code == WF_OP_WRITEV;
	bool in = op->code == WF_OP_READ || op->code == WF_OP_READV;
	struct msghdr message = {.msg_iov = many ? op->memory : &one, .msg_iovlen = many ? op->size : 1};
	return in ? recvmsg(op->fd, &message, MSG_DONTWAIT)
		  : sendmsg(op->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int32_t try_transfer(struct wf_op *op, short *events)
{
	struct stat at;
	bool in = op->code == WF_OP_READ || op->code == WF_OP_READV;
	*events = in ? POLLIN : POLLOUT;
	if (fstat(op->fd, &at) != 0)
		return -errno;
	if (S_ISREG(at.st_mode) || S_ISDIR(at.st_mode) || S_ISBLK(at.st_mode))
		return WF_OP_BLOCKS; /* TR3 */
	/* pwritev2 would not send an empty datagram, as write(2) does. */
	bool sends = S_ISSOCK(at.st_mode) && op->code == WF_OP_WRITE && op->offset == UINT64_MAX;
	int32_t result = result_of(sends ? send(op->fd, op->memory, op->size, MSG_DONTWAIT | MSG_NOSIGNAL)
					 : move(op, RWF_NOWAIT));
	if (result == -EAGAIN)
		return WF_EPOLL_NOT_YET;
	if (result != -EOPNOTSUPP && result != -ENOSYS)
		return result;
	if (S_ISSOCK(at.st_mode)) {
		result = result_of(move_message(op));
		return result == -EAGAIN ? WF_EPOLL_NOT_YET : result;
	}
	/* Terminals, timers, pipes of older kernels. */
	if (is_nonblocking(op->fd)) {
		result = result_of(move(op, 0));
		return result == -EAGAIN ? WF_EPOLL_NOT_YET : result;
	}
	return wf_epoll_ready(op->fd, *events) != 0 ? WF_OP_BLOCKS : WF_EPOLL_NOT_YET;
}

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* No byte is left, and none will come. (POLLERR alone may be a message in the error queue.) */
static bool stream_ended(int fd)
{
	int left = 0;
	return (wf_epoll_ready(fd, POLLIN | POLLRDHUP) & (POLLHUP | POLLRDHUP)) &&
		ioctl(fd, FIONREAD, &left) == 0 && left == 0;
}

/* offset: bytes received by earlier tries. TR4. */
static int32_t try_recv_all(struct wf_op *op)
{
	int flags = (int)op->flags | MSG_DONTWAIT;
	if (op->offset > 0 && stream_ended(op->fd))
		return (int32_t)op->offset;
	int32_t result =
		result_of(recv(op->fd, (char *)op->memory + op->offset, op->size - op->offset, flags));
	if (result > 0) {
		op->offset += (uint64_t)result;
		return op->offset == op->size || !is_stream(op->fd) ? (int32_t)op->offset
								    : WF_EPOLL_NOT_YET;
	}
	if (result == -EAGAIN)
		return WF_EPOLL_NOT_YET;
	return op->offset > 0 ? (int32_t)op->offset : result; /* data wins */
}

static int32_t try_message(struct wf_op *op, short *events)
{
	int flags = (int)op->flags | MSG_DONTWAIT;
	bool in = op->code == WF_OP_RECV || op->code == WF_OP_RECVMSG;
	int32_t result;
	*events = in ? POLLIN : POLLOUT;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_RECV:
		if ((op->flags & MSG_WAITALL) && !(op->flags & MSG_DONTWAIT))
			return try_recv_all(op);
		result = result_of(recv(op->fd, op->memory, op->size, flags));
		break;
	case WF_OP_SEND:
		result = result_of(send(op->fd, op->memory, op->size, flags));
		break;
	case WF_OP_RECVMSG:
		if ((op->flags & MSG_WAITALL) && is_stream(op->fd))
			return WF_OP_BLOCKS;
		result = result_of(recvmsg(op->fd, op->memory, flags));
		break;
	default:
		result = result_of(sendmsg(op->fd, op->memory, flags));
		break;
	}
	return result == -EAGAIN && !(op->flags & MSG_DONTWAIT) ? WF_EPOLL_NOT_YET : result;
}

/* Of another socket accept says so at once. */
static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t size = sizeof(listens);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

static int32_t try_accept(struct wf_op *op, short *events)
{
	*events = POLLIN;
	int flags = fcntl(op->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && is_listening(op->fd) &&
		fcntl(op->fd, F_SETFL, flags | O_NONBLOCK) != 0) /* TR2 */
		return -errno;
	int32_t result = result_of(accept4(op->fd, op->memory, op->other, (int)op->flags));
	return result == -EAGAIN ? WF_EPOLL_NOT_YET : result;
}

/* Asked again when it is ready: only then does the kernel call the socket connected, or say what went wrong. */
static int32_t try_connect(struct wf_op *op, bool again, short *events)
{
	*events = POLLOUT;
	if (again && wf_epoll_ready(op->fd, POLLOUT) == 0)
		return WF_EPOLL_NOT_YET; /* the event was another's */
	int flags = fcntl(op->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	bool ours = !(flags & O_NONBLOCK); /* TR2 */
	if (ours)
		fcntl(op->fd, F_SETFL, flags | O_NONBLOCK);
	int32_t result = result_of(connect(op->fd, op->memory, (socklen_t)op->size));
	if (ours)
		fcntl(op->fd, F_SETFL, flags);
	if (result == -EINPROGRESS || (again && result == -EALREADY))
		return WF_EPOLL_NOT_YET;
	if (again && result == -EISCONN)
		return 0;
	return result; /* -EAGAIN: a Unix socket whose other side has a full backlog; the caller pauses (net.c) */
}

static int32_t try_bind(struct wf_op *op)
{
	const struct sockaddr *address = op->memory;
	if (op->size >= sizeof(address->sa_family) && address != NULL && address->sa_family == AF_UNIX)
		return WF_OP_BLOCKS; /* makes a file */
	return result_of(bind(op->fd, address, (socklen_t)op->size));
}

/* TR5 */
static int32_t try_close(struct wf_op *op)
{
	struct stat at;
	if (fstat(op->fd, &at) == 0) {
		unsigned type = at.st_mode & S_IFMT;
		struct linger linger = {0, 0};
		socklen_t size = sizeof(linger);
		if (type != S_IFSOCK && type != S_IFIFO && type != 0) /* 0: eventfds and their like */
			return WF_OP_BLOCKS;
		if (type == S_IFSOCK && getsockopt(op->fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 &&
			linger.l_onoff && linger.l_linger > 0)
			return WF_OP_BLOCKS;
	}
	return result_of(close(op->fd));
}

int32_t wf_epoll_try(struct wf_op *op, bool again, short *events)
{
	*events = 0;
	switch ((enum wf_op_code)op->code) {
	case WF_OP_READ:
	case WF_OP_WRITE:
	case WF_OP_READV:
	case WF_OP_WRITEV:
		return try_transfer(op, events);
	case WF_OP_RECV:
	case WF_OP_SEND:
	case WF_OP_RECVMSG:
	case WF_OP_SENDMSG:
		return try_message(op, events);
	case WF_OP_ACCEPT:
		return try_accept(op, events);
	case WF_OP_CONNECT:
		return try_connect(op, again, events);
	case WF_OP_CLOSE:
		return try_close(op);
	case WF_OP_SHUTDOWN:
		return result_of(shutdown(op->fd, (int)op->flags));
	case WF_OP_SOCKET:
		return result_of(socket((int)op->size, (int)op->flags, (int)op->offset));
	case WF_OP_BIND:
		return try_bind(op);
	case WF_OP_LISTEN:
		return result_of(listen(op->fd, (int)op->size));
	default:
		return WF_OP_BLOCKS;
	}
}

int32_t wf_epoll_partial(const struct wf_op *op)
{
	return op->code == WF_OP_RECV && (op->flags & MSG_WAITALL) ? (int32_t)op->offset : 0;
}

WF_OWNER_CODE_END
