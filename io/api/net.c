/* SPDX-License-Identifier: MIT */
/* net.c - weft_recv, weft_send, weft_send_full, weft_accept, weft_connect, weft_shutdown, weft_local_port
 *
 * Rules    RCV a receive is submitted with "wait for readiness first", because most receives find nothing yet; where the last
 *          one filled its buffer, more is probably there, and the plain call is tried first (LIMITS.md section 2).
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/base/limits.h"
#include "sched/core/worker.h"

static size_t clamp(size_t len)
{
	return len < WF_IO_BYTES_MAX ? len : WF_IO_BYTES_MAX;
}

/* What the kernel answers at once, whatever else the descriptor is set to. */
#define NO_WAITING (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

ssize_t weft_recv(int fd, void *buf, size_t len, int flags)
{
	struct wf_op op = {
		.code = WF_OP_RECV, .fd = fd, .memory = buf, .size = clamp(len), .flags = (uint32_t)flags};
	if (flags & NO_WAITING) {
		op.flags |= MSG_DONTWAIT;
		return wf_op_run_direct(&op);
	}
	if (!wf_fd_has_more(fd))
		op.hints = WF_OP_POLL_FIRST; /* RCV */
	return wf_op_run_waiting(&op, POLLIN);
}

ssize_t weft_send(int fd, const void *buf, size_t len, int flags)
{
	struct wf_op op = {.code = WF_OP_SEND,
		.fd = fd,
		.memory = (void *)buf,
		.size = clamp(len),
		.flags = (uint32_t)flags | MSG_NOSIGNAL};
	if (flags & MSG_DONTWAIT)
		return wf_op_run_direct(&op);
	return wf_op_run_waiting(&op, POLLOUT);
}

ssize_t weft_recvmsg(int fd, struct msghdr *message, int flags)
{
	struct wf_op op = {.code = WF_OP_RECVMSG, .fd = fd, .memory = message, .flags = (uint32_t)flags};
	if (flags & NO_WAITING) {
		op.flags |= MSG_DONTWAIT;
		return wf_op_run_direct(&op);
	}
	op.hints = WF_OP_POLL_FIRST;
	return wf_op_run_waiting(&op, POLLIN);
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct wf_op op = {.code = WF_OP_SENDMSG,
		.fd = fd,
		.memory = (void *)message,
		.flags = (uint32_t)flags | MSG_NOSIGNAL};
	if (flags & MSG_DONTWAIT)
		return wf_op_run_direct(&op);
	return wf_op_run_waiting(&op, POLLOUT);
}

ssize_t weft_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size)
{
	struct iovec vector = {.iov_base = buf, .iov_len = clamp(len)};
	if (from != NULL && size == NULL)
		return weft_recvmsg(fd, NULL, flags); /* -EFAULT, or what comes before it */
	struct msghdr message = {
		.msg_name = from, .msg_namelen = from != NULL ? *size : 0, .msg_iov = &vector, .msg_iovlen = 1};
	ssize_t n = weft_recvmsg(fd, &message, flags);
	if (n >= 0 && from != NULL)
		*size = message.msg_namelen;
	return n;
}

ssize_t weft_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t size)
{
	if (to == NULL)
		return weft_send(fd, buf, len, flags);
	struct iovec vector = {.iov_base = (void *)buf, .iov_len = clamp(len)};
	struct msghdr message = {
		.msg_name = (void *)to, .msg_namelen = size, .msg_iov = &vector, .msg_iovlen = 1};
	return weft_sendmsg(fd, &message, flags);
}

ssize_t weft_send_full(int fd, const void *buf, size_t len, int flags)
{
	if (len > SSIZE_MAX)
		return -EINVAL;
	size_t done = 0;
	while (done < len) {
		ssize_t n = weft_send(fd, (const char *)buf + done, len - done, flags);
		if (n < 0 && done == 0)
			return n;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int weft_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	struct wf_op op = {
		.code = WF_OP_ACCEPT, .fd = fd, .memory = addr, .other = len, .flags = (uint32_t)flags};
	return wf_op_run_waiting(&op, POLLIN);
}

int weft_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct wf_op op = {.code = WF_OP_CONNECT, .fd = fd, .memory = (void *)addr, .size = len};
	int32_t result = wf_op_run(&op);
	/* An O_NONBLOCK socket says "in progress"; a Unix socket's EAGAIN means that the other side's backlog is full. */
	bool started = result == -EINPROGRESS ||
		(result == -EAGAIN && addr != NULL && addr->sa_family != AF_UNIX);
	if (!started)
		return result;
	result = weft_poll(fd, POLLOUT);
	if (result < 0)
		return result;
	int error = 0;
	socklen_t size = sizeof(error);
	int saved = wf_errno_load();
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = wf_errno_load();
	wf_errno_store(saved);
	return -error;
}

int weft_shutdown(int fd, int how)
{
	struct wf_op op = {.code = WF_OP_SHUTDOWN, .fd = fd, .flags = (uint32_t)how};
	return wf_op_run(&op);
}

int weft_local_port(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	int saved = wf_errno_load();
	int error = getsockname(fd, (struct sockaddr *)&at, &len) != 0 ? wf_errno_load() : 0;
	wf_errno_store(saved);
	if (error != 0)
		return -error;
	if (at.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&at)->sin_port);
	if (at.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
	return -EAFNOSUPPORT;
}
