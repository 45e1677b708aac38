/* SPDX-License-Identifier: MIT */
/* splice.c - weft_splice and weft_sendfile
 *
 * What     a splice in the kernel's ring runs on a thread of the kernel and may wait there; so this waits first until both ends are ready, in the ring,
 *          where a waiter costs nothing and can be cancelled. sendfile has no operation in the ring: it reads and writes through a buffer.
 * Rules    SP1 both descriptors are held from beginning to end (P4), so that closing either ends the call, and a reused number never meets it.
 *          SP2 what the kernel would refuse is refused before it is waited for.
 * Rejected sendfile(2) on a thread of the pool: a peer that does not read holds the thread (ten thousand slow downloads, ten thousand
 *          threads), and a file's worth of it cannot be cancelled. Splicing through a pipe of weft's own: two operations on kernel threads for
 *          64 KiB, slower than the copy (docs/adr/0011-ways-of-the-ring.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/fs.h>
#include <weft/io.h>

#include "io/api/fd.h"
#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/core/credit.h"
#include "sched/core/misuse.h"

static int levels(void)
{
	struct wf_worker *w = wf_turn();
	return w == NULL ? wf_off_fiber() : wf_interrupted(w, w->current);
}

static uint64_t given(const off_t *offset)
{
	return offset == NULL ? UINT64_MAX : (uint64_t)*offset;
}

static bool lacks(int mode, int way)
{
	return mode < 0 || (mode & O_PATH) || (mode & O_ACCMODE) == way;
}

/* SP2. What splice(2) says of these descriptors, whatever is in them: 0 or a negative errno. */
static int check_ends(int in, bool in_offset, int out, bool out_offset)
{
	struct stat from, to;
	int saved = wf_errno_load();
	int in_mode = fcntl(in, F_GETFL), out_mode = fcntl(out, F_GETFL);
	bool there = fstat(in, &from) == 0 && fstat(out, &to) == 0;
	wf_errno_store(saved);
	if (!there)
		return -EBADF;
	bool from_pipe = S_ISFIFO(from.st_mode), to_pipe = S_ISFIFO(to.st_mode);
	if ((from_pipe && in_offset) || (to_pipe && out_offset))
		return -ESPIPE;
	if (lacks(in_mode, O_WRONLY) || lacks(out_mode, O_RDONLY))
		return -EBADF;
	if (!from_pipe && !to_pipe)
		return -EINVAL;
	if (from_pipe && to_pipe && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
		return -EINVAL;
	return from_pipe && (out_mode & O_APPEND) ? -EINVAL : 0;
}

static bool ready_now(const struct wf_op *op)
{
	struct pollfd ends[2] = {{.fd = op->fd, .events = POLLIN}, {.fd = op->fd2, .events = POLLOUT}};
	int saved = wf_errno_load();
	int ready = poll(ends, 2, 0);
	wf_errno_store(saved);
	return ready == 2;
}

static int32_t wait_for_end(int fd, short events)
{
	struct wf_op poll = {.code = WF_OP_POLL, .fd = fd, .flags = (uint16_t)events};
	return wf_op_part(&poll, 0);
}

static int32_t splice_parts(struct wf_op *op)
{
	for (;;) {
		if (!ready_now(op)) {
			int32_t ready = check_ends(op->fd, op->offset != UINT64_MAX, op->fd2,
				op->offset2 != UINT64_MAX);
			if (ready == 0)
				ready = wait_for_end(op->fd, POLLIN);
			if (ready >= 0)
				ready = wait_for_end(op->fd2, POLLOUT);
			if (ready < 0)
				return ready;
		}
		/* Who comes in between makes the kernel's thread wait, or an O_NONBLOCK descriptor say so. */
		int32_t n = wf_op_part(op, 0);
		if (n != -EAGAIN)
			return n;
	}
}

ssize_t weft_splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t len, unsigned flags)
{
	int error = levels();
	if (error != 0 || len == 0)
		return error;
	if (flags & ~(unsigned)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return -EINVAL;
	if ((in_offset != NULL && *in_offset < 0) || (out_offset != NULL && *out_offset < 0)) {
		/* The ring would take it for none. */
		error = check_ends(in, in_offset != NULL, out, out_offset != NULL);
		return error != 0 ? error : -EINVAL;
	}
	struct wf_op op = {.code = WF_OP_SPLICE,
		.fd = in,
		.offset = given(in_offset),
		.fd2 = out,
		.offset2 = given(out_offset),
		.size = wf_io_bytes(len),
		.flags = flags};
	int32_t n = flags & SPLICE_F_NONBLOCK ? wf_op_run_two(&op)
					      : wf_op_run_parts(&op, splice_parts, true);
	if (n > 0 && in_offset != NULL)
		*in_offset += n;
	if (n > 0 && out_offset != NULL)
		*out_offset += n;
	return n;
}

/* A buffer's worth from `at` on, at most op->size; how many `out` has taken, and the error that ended it. */
static int32_t send_buffer(const struct wf_op *op, char *buf, off_t at, size_t size, size_t *taken)
{
	struct wf_op in = {
		.code = WF_OP_READ, .fd = op->fd, .memory = buf, .size = size, .offset = (uint64_t)at};
	int32_t got = wf_op_part(&in, POLLIN);
	*taken = 0;
	while (got > 0 && *taken < (size_t)got) {
		struct wf_op out = {.code = WF_OP_WRITE,
			.fd = op->fd2,
			.memory = buf + *taken,
			.size = (size_t)got - *taken,
			.offset = UINT64_MAX};
		int32_t n = wf_op_part(&out, POLLOUT);
		if (n <= 0)
			return n;
		*taken += (size_t)n;
	}
	return got;
}

/* Of op->fd from op->offset on to op->fd2, through the buffer op->memory. */
static int32_t sendfile_parts(struct wf_op *op)
{
	size_t moved = 0, taken;
	int32_t result;
	do {
		size_t left = op->size - moved;
		size_t size = left < WF_SENDFILE_BYTES ? left : WF_SENDFILE_BYTES;
		result = send_buffer(op, op->memory, (off_t)(op->offset + moved), size, &taken);
		moved += taken;
	} while (result > 0 && moved < op->size);
	return moved > 0 ? (int32_t)moved : result;
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

/* SP2, for sendfile(2); it reads what can be mapped. */
static int check_file(int in, int out)
{
	struct stat from;
	int saved = wf_errno_load();
	bool usable = !lacks(fcntl(in, F_GETFL), O_WRONLY) && !lacks(fcntl(out, F_GETFL), O_RDONLY);
	usable = usable && fstat(in, &from) == 0;
	wf_errno_store(saved);
	if (!usable)
		return -EBADF;
	return S_ISDIR(from.st_mode) ? -EINVAL : 0;
}

ssize_t weft_sendfile(int out, int in, off_t *offset, size_t count)
{
	int error = levels();
	if (error == 0)
		error = check_file(in, out);
	if (error != 0)
		return error;
	off_t at = offset != NULL ? *offset : position(in, 0, SEEK_CUR);
	off_t has_offsets = offset != NULL ? position(in, 0, SEEK_CUR) : at;
	if (has_offsets < 0)
		return offset != NULL || has_offsets != -ESPIPE ? (ssize_t)has_offsets : -EINVAL;
	if (at < 0)
		return -EINVAL;
	if (count == 0)
		return 0;
	char *buf = wf_alloc(WF_SENDFILE_BYTES);
	if (buf == NULL)
		return -ENOMEM;
	struct wf_op op = {.code = WF_OP_SPLICE,
		.fd = in,
		.memory = buf,
		.offset = (uint64_t)at,
		.fd2 = out,
		.size = wf_io_bytes(count)};
	ssize_t moved = wf_op_run_parts(&op, sendfile_parts, true);
	wf_free(buf, WF_SENDFILE_BYTES);
	if (moved > 0 && offset != NULL)
		*offset = at + moved;
	else if (moved > 0)
		position(in, at + moved, SEEK_SET);
	return moved;
}
