/* SPDX-License-Identifier: MIT */
/* splice.c - weft_splice and weft_sendfile
 *
 * What     a splice in the kernel's ring runs on a thread of the kernel and may wait there; so this waits first until both ends are ready, in the ring,
 *          where a waiter costs nothing and can be cancelled. sendfile has no operation in the ring: it reads and writes through a buffer.
 * Rejected sendfile(2) on a thread of the pool: a peer that does not read holds the thread (ten thousand slow downloads, ten thousand
 *          threads), and a file's worth of it cannot be cancelled. Splicing through a pipe of weft's own: two operations on kernel threads for
 *          64 KiB, slower than the copy (docs/adr/0011-io.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <weft/fs.h>
#include <weft/io.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/core/worker.h"

static int levels(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL ? -EPERM : wf_interrupted(w, w->current);
}

static uint64_t given(const off_t *offset)
{
	return offset == NULL ? UINT64_MAX : (uint64_t)*offset;
}

ssize_t weft_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t len, unsigned flags)
{
	int error = levels();
	if (error != 0)
		return error;
	if ((in_offset != NULL && *in_offset < 0) || (out_offset != NULL && *out_offset < 0))
		return -EINVAL;
	struct wf_op op = {.code = WF_OP_SPLICE,
		.fd = in,
		.offset = given(in_offset),
		.fd2 = out,
		.offset2 = given(out_offset),
		.size = len < WF_IO_BYTES_MAX ? len : WF_IO_BYTES_MAX,
		.flags = flags};
	int32_t n;
	if (flags & SPLICE_F_NONBLOCK) {
		n = wf_op_run_two(&op);
	} else {
		do {
			/* Who comes in between makes the kernel's thread wait, or an O_NONBLOCK descriptor say so. */
			int ready = len > 0 ? weft_poll(in, POLLIN) : 0;
			if (ready >= 0 && len > 0)
				ready = weft_poll(out, POLLOUT);
			n = ready < 0 ? ready : wf_op_run_two(&op);
		} while (n == -EAGAIN);
	}
	if (n > 0 && in_offset != NULL)
		*in_offset += n;
	if (n > 0 && out_offset != NULL)
		*out_offset += n;
	return n;
}

/* Moves up to `count` bytes from `at` on; the number that `out` has taken, or the error if that is none. */
static ssize_t copy(int out, int in, off_t at, size_t count, char *buf)
{
	size_t moved = 0;
	while (moved < count) {
		size_t want = count - moved < WF_SENDFILE_BYTES ? count - moved : WF_SENDFILE_BYTES;
		ssize_t got = weft_pread(in, buf, want, at + (off_t)moved);
		if (got <= 0)
			return moved > 0 ? (ssize_t)moved : got;
		for (ssize_t sent = 0; sent < got;) {
			ssize_t n = weft_write(out, buf + sent, (size_t)(got - sent));
			if (n <= 0)
				return moved > 0 ? (ssize_t)moved : n;
			sent += n;
			moved += (size_t)n;
		}
	}
	return (ssize_t)moved;
}

static off_t position(int fd, off_t offset, int whence)
{
	int saved = wf_errno_load();
	off_t at = lseek(fd, offset, whence);
	if (at < 0)
		at = -wf_errno_load();
	wf_errno_store(saved);
	return at;
}

ssize_t weft_sendfile(int out, int in, off_t *offset, size_t count)
{
	int error = levels();
	if (error != 0)
		return error;
	off_t at = offset != NULL ? *offset : position(in, 0, SEEK_CUR);
	if (offset != NULL && at < 0)
		return -EINVAL;
	if (at < 0)
		return at == -ESPIPE ? -EINVAL : (ssize_t)at; /* as sendfile(2) says of what cannot be mapped */
	char *buf = wf_alloc(WF_SENDFILE_BYTES);
	if (buf == NULL)
		return -ENOMEM;
	if (count > WF_IO_BYTES_MAX)
		count = WF_IO_BYTES_MAX;
	ssize_t moved = copy(out, in, at, count, buf);
	wf_free(buf, WF_SENDFILE_BYTES);
	if (moved > 0 && offset != NULL)
		*offset = at + moved;
	else if (moved > 0)
		position(in, at + moved, SEEK_SET);
	return moved;
}
