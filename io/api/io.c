/* SPDX-License-Identifier: MIT */
/* io.c - weft_read, weft_write, weft_read_full, weft_write_full, weft_poll, weft_close, weft_openat */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <weft/fs.h>
#include <weft/io.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/base/limits.h"
#include "sched/core/worker.h"

static size_t clamp(size_t len)
{
	return len < WF_IO_BYTES_MAX ? len : WF_IO_BYTES_MAX;
}

ssize_t weft_read(int fd, void *buf, size_t len)
{
	struct wf_op op = {
		.code = WF_OP_READ, .fd = fd, .memory = buf, .size = clamp(len), .offset = UINT64_MAX};
	return wf_op_run_waiting(&op, POLLIN);
}

ssize_t weft_write(int fd, const void *buf, size_t len)
{
	struct wf_op op = {
		.code = WF_OP_WRITE, .fd = fd, .memory = (void *)buf, .size = clamp(len), .offset = UINT64_MAX};
	return wf_op_run_waiting(&op, POLLOUT);
}

ssize_t weft_read_full(int fd, void *buf, size_t len)
{
	if (len > SSIZE_MAX)
		return -EINVAL;
	size_t done = 0;
	while (done < len) {
		ssize_t n = weft_read(fd, (char *)buf + done, len - done);
		if (n < 0 && done == 0)
			return n;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t weft_write_full(int fd, const void *buf, size_t len)
{
	if (len > SSIZE_MAX)
		return -EINVAL;
	size_t done = 0;
	while (done < len) {
		ssize_t n = weft_write(fd, (const char *)buf + done, len - done);
		if (n < 0 && done == 0)
			return n;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int weft_poll(int fd, short events)
{
	struct wf_op op = {.code = WF_OP_POLL, .fd = fd, .flags = (uint16_t)events};
	return wf_op_run(&op);
}

int weft_close(int fd)
{
	if (wf_self() == NULL)
		return -EPERM;
	int error = wf_fd_close_begin(fd);
	if (error != 0)
		return error;
	struct wf_op op = {.code = WF_OP_CLOSE, .fd = fd};
	int32_t result = wf_op_run_always(&op);
	wf_fd_close_end(fd);
	return result;
}

int weft_openat(int dir, const char *path, int flags, mode_t mode)
{
	struct wf_op op = {.code = WF_OP_OPENAT,
		.fd = dir,
		.memory = (void *)path,
		.flags = (uint32_t)flags,
		.size = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0};
	return wf_op_run(&op);
}
