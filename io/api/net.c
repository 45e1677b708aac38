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

/* The calls that must not park go to the kernel directly, but meet closing descriptors like the others. */
static ssize_t at_once(struct wf_op *op, ssize_t (*call)(struct wf_op *op))
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	op->fiber = w->current;
	int error = wf_interrupted(w, w->current);
	if (error == 0)
		error = wf_fd_enter(op);
	if (error != 0)
		return error;
	int saved = wf_errno_load();
	ssize_t n = call(op);
	int failed = wf_errno_load();
	wf_errno_store(saved);
	wf_fd_leave(op, op->code == WF_OP_RECV && n > 0 && (uint64_t)n == op->size);
	return n < 0 ? -failed : n;
}

static ssize_t call_recv(struct wf_op *op)
{
	return recv(op->fd, op->memory, op->size, (int)op->flags | MSG_DONTWAIT);
}

static ssize_t call_send(struct wf_op *op)
{
	return send(op->fd, op->memory, op->size, (int)op->flags | MSG_DONTWAIT);
}

ssize_t weft_recv(int fd, void *buf, size_t len, int flags)
{
	struct wf_op op = {
		.code = WF_OP_RECV, .fd = fd, .memory = buf, .size = clamp(len), .flags = (uint32_t)flags};
	if (flags & MSG_DONTWAIT)
		return at_once(&op, call_recv);
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
		return at_once(&op, call_send);
	return wf_op_run_waiting(&op, POLLOUT);
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
