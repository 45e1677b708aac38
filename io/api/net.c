/* SPDX-License-Identifier: MIT */
/* net.c - weft_recv, weft_send, weft_send_full, weft_accept, weft_connect, weft_shutdown, weft_local_port
 *
 * Rules    RCV a receive is submitted with "wait for readiness first", because most receives find nothing yet; where the last
 *          one filled its buffer, more is probably there, and the plain call is tried first (LIMITS.md section 2).
 *          SND a send is submitted with MSG_DONTWAIT, and tried again when there is room (P3). Left to wait by itself in the ring, a datagram on a
 *          Unix socket goes out empty when it is tried again (Linux 6.18), and where the peer has sent its last the kernel takes a thread a
 *          send, for its own poll does not tell that from room.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/address.h"
#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/base/limits.h"
#include "sched/core/worker.h"

/* What the kernel answers at once, whatever else the descriptor is set to. */
#define NO_WAITING (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

ssize_t weft_recv(int fd, void *buf, size_t len, int flags)
{
	struct wf_op op = {.code = WF_OP_RECV,
		.fd = fd,
		.memory = buf,
		.size = wf_io_bytes(len),
		.flags = (uint32_t)flags};
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
		.size = wf_io_bytes(len),
		.flags = (uint32_t)flags | MSG_NOSIGNAL | MSG_DONTWAIT}; /* SND */
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
	if (!wf_fd_has_more(fd))
		op.hints = WF_OP_POLL_FIRST; /* RCV */
	return wf_op_run_waiting(&op, POLLIN);
}

ssize_t weft_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct wf_op op = {.code = WF_OP_SENDMSG,
		.fd = fd,
		.memory = (void *)message,
		.flags = (uint32_t)flags | MSG_NOSIGNAL | MSG_DONTWAIT}; /* SND */
	if (flags & MSG_DONTWAIT)
		return wf_op_run_direct(&op);
	return wf_op_run_waiting(&op, POLLOUT);
}

ssize_t weft_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size)
{
	struct iovec vector = {.iov_base = buf, .iov_len = wf_io_bytes(len)};
	if (from != NULL && size == NULL)
		return weft_recvmsg(fd, NULL, flags); /* -EFAULT, or what comes before it */
	struct msghdr message = {.msg_name = from,
		.msg_namelen = from != NULL ? *size : 0,
		.msg_iov = &vector,
		.msg_iovlen = 1};
	ssize_t n = weft_recvmsg(fd, &message, flags);
	if (n >= 0 && from != NULL)
		*size = message.msg_namelen;
	return n;
}

ssize_t weft_sendto(
	int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t size)
{
	if (to == NULL)
		return weft_send(fd, buf, len, flags);
	if (size > sizeof(struct sockaddr_storage)) /* sendmsg(2) would cut it */
		return wf_op_refuse(-EINVAL);
	struct iovec vector = {.iov_base = (void *)buf, .iov_len = wf_io_bytes(len)};
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

/* An O_NONBLOCK socket says "in progress", or of a Unix socket that the other side's backlog is full, for which nothing can be waited. */
static int32_t connect_parts(struct wf_op *op)
{
	weft_ns pause = WF_RETRY_NS;
	int32_t result;
	while ((result = wf_op_part(op, 0)) == -EAGAIN &&
		((const struct sockaddr *)op->memory)->sa_family == AF_UNIX) {
		result = wf_op_pause(&pause);
		if (result != 0)
			return result;
	}
	if (result != -EINPROGRESS && result != -EAGAIN)
		return result;
	struct wf_op poll = {.code = WF_OP_POLL, .fd = op->fd, .flags = POLLOUT};
	result = wf_op_part(&poll, 0);
	return result < 0 ? result : wf_socket_error(op->fd);
}

int weft_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct wf_op op = {.code = WF_OP_CONNECT, .fd = fd, .memory = (void *)addr, .size = len};
	return wf_op_run_parts(&op, connect_parts, false);
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
