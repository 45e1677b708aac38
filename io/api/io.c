/* SPDX-License-Identifier: MIT */
/* io.c - reading, writing, weft_poll, weft_close
 *
 * Rules    IO1 an offset that is negative, or given for what has none, is refused before the ring sees it: there -1 means the file's own
 *             position, and a pipe's is ignored.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <weft/io.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/core/misuse.h"
#include "sched/core/worker.h"

#define OWN_POSITION UINT64_MAX

/* The ring says 0 to no bytes, whatever it is; the system call asks the file. */
static bool asks_for_nothing(const struct wf_op *op)
{
	if (WF_LIKELY(op->size != 0))
		return false;
	struct stat at;
	int saved = wf_errno_load();
	bool may_wait = fstat(op->fd, &at) == 0 && S_ISSOCK(at.st_mode); /* for room for an empty datagram */
	wf_errno_store(saved);
	return !may_wait;
}

static ssize_t run(struct wf_op *op)
{
	if (asks_for_nothing(op))
		return wf_op_run_direct(op);
	bool in = op->code == WF_OP_READ || op->code == WF_OP_READV;
	return wf_op_run_waiting(op, in ? POLLIN : POLLOUT);
}

static ssize_t transfer(enum wf_op_code code, int fd, const void *memory, size_t size)
{
	struct wf_op op = {.code = (uint8_t)code,
		.hints = WF_OP_MOVES,
		.fd = fd,
		.memory = (void *)memory,
		.size = size,
		.offset = OWN_POSITION};
	return run(&op);
}

/* Off a fiber its callers say so (MU4 of misuse.h). */
static ssize_t transfer_at(enum wf_op_code code, int fd, const void *memory, size_t size, off_t offset)
{
	struct wf_op op = {.code = (uint8_t)code,
		.fd = fd,
		.memory = (void *)memory,
		.size = size,
		.offset = (uint64_t)offset};
	if (wf_self() == NULL)
		return -EPERM;
	int error = offset < 0 ? -EINVAL : wf_fd_check_offsets(&op); /* IO1 */
	return WF_LIKELY(error == 0) ? run(&op) : wf_op_refuse(error);
}

ssize_t weft_read(int fd, void *buf, size_t len)
{
	return transfer(WF_OP_READ, fd, buf, wf_io_bytes(len));
}

ssize_t weft_write(int fd, const void *buf, size_t len)
{
	return transfer(WF_OP_WRITE, fd, buf, wf_io_bytes(len));
}

ssize_t weft_pread(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t n = transfer_at(WF_OP_READ, fd, buf, wf_io_bytes(len), offset);
	return WF_LIKELY(n != -EPERM) ? n : wf_say_off_fiber(-EPERM);
}

ssize_t weft_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n = transfer_at(WF_OP_WRITE, fd, buf, wf_io_bytes(len), offset);
	return WF_LIKELY(n != -EPERM) ? n : wf_say_off_fiber(-EPERM);
}

/* The kernel takes the count as unsigned; what readv(2) refuses is refused here. */
static ssize_t transfer_vector(enum wf_op_code code, int fd, const struct iovec *vector, int count)
{
	if (count < 0 || count > IOV_MAX)
		return wf_op_refuse(-EINVAL);
	return transfer(code, fd, vector, (size_t)count);
}

ssize_t weft_readv(int fd, const struct iovec *vector, int count)
{
	return transfer_vector(WF_OP_READV, fd, vector, count);
}

ssize_t weft_writev(int fd, const struct iovec *vector, int count)
{
	return transfer_vector(WF_OP_WRITEV, fd, vector, count);
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
		return wf_off_fiber();
	int error = wf_fd_close_begin(fd);
	if (error != 0)
		return error;
	struct wf_op op = {.code = WF_OP_CLOSE, .fd = fd};
	int32_t result = wf_op_run_always(&op);
	wf_fd_close_end(fd);
	return result;
}
