/* SPDX-License-Identifier: MIT */
/* files.c - files and directories: names, sizes, what is on the disk; weft_waitid
 *
 * Rules    FI1 numbers that the kernel's operation would read otherwise than the system call does are refused here first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <weft/fs.h>
#include <weft/io.h>

#include "io/api/op.h"
#include "sched/base/limits.h"

int weft_openat(int dir, const char *path, int flags, mode_t mode)
{
	struct wf_op op = {.code = WF_OP_OPENAT,
		.fd = dir,
		.memory = (void *)path,
		.flags = (uint32_t)flags,
		.size = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0};
	return wf_op_run(&op);
}

int weft_fsync(int fd)
{
	struct wf_op op = {.code = WF_OP_FSYNC, .fd = fd};
	return wf_op_run(&op);
}

int weft_fdatasync(int fd)
{
	struct wf_op op = {.code = WF_OP_FSYNC, .fd = fd, .flags = 1};
	return wf_op_run(&op);
}

int weft_fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (offset < 0 || len <= 0)
		return wf_op_refuse(-EINVAL);
	struct wf_op op = {.code = WF_OP_FALLOCATE,
		.fd = fd,
		.flags = (uint32_t)mode,
		.offset = (uint64_t)offset,
		.size = (uint64_t)len};
	return wf_op_run(&op);
}

int weft_ftruncate(int fd, off_t len)
{
	if (len < 0)
		return wf_op_refuse(-EINVAL);
	struct wf_op op = {.code = WF_OP_FTRUNCATE, .fd = fd, .size = (uint64_t)len};
	return wf_op_run(&op);
}

int weft_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
	if (path == NULL && (flags & AT_EMPTY_PATH))
		path = ""; /* statx(2) takes either, the ring does not */
	struct wf_op op = {.code = WF_OP_STATX,
		.fd = dir,
		.memory = (void *)path,
		.flags = (uint32_t)flags,
		.size = mask,
		.other = out};
	return wf_op_run(&op);
}

int weft_unlinkat(int dir, const char *path, int flags)
{
	struct wf_op op = {
		.code = WF_OP_UNLINKAT, .fd = dir, .memory = (void *)path, .flags = (uint32_t)flags};
	return wf_op_run(&op);
}

int weft_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	struct wf_op op = {.code = WF_OP_RENAMEAT,
		.fd = from_dir,
		.memory = (void *)from,
		.fd2 = to_dir,
		.other = (void *)to};
	return wf_op_run_two(&op);
}

int weft_mkdirat(int dir, const char *path, mode_t mode)
{
	struct wf_op op = {.code = WF_OP_MKDIRAT, .fd = dir, .memory = (void *)path, .size = mode};
	return wf_op_run(&op);
}

int weft_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	struct wf_op op = {.code = WF_OP_LINKAT,
		.fd = from_dir,
		.memory = (void *)from,
		.fd2 = to_dir,
		.other = (void *)to,
		.flags = (uint32_t)flags};
	return wf_op_run_two(&op);
}

int weft_symlinkat(const char *target, int dir, const char *path)
{
	struct wf_op op = {
		.code = WF_OP_SYMLINKAT, .fd = dir, .memory = (void *)target, .other = (void *)path};
	return wf_op_run(&op);
}

/* waitid(2) says EAGAIN of an O_NONBLOCK pidfd whose process goes on; the ring says 0, and leaves the information empty. */
static int32_t wait_parts(struct wf_op *op)
{
	weft_ns pause = WF_RETRY_NS;
	for (;;) {
		siginfo_t *info = op->other;
		info->si_signo = 0;
		int32_t result = wf_op_part(op, 0);
		bool not_now = result == -EAGAIN || (result == 0 && info->si_signo == 0);
		if (!not_now)
			return result;
		struct wf_op poll = {.code = WF_OP_POLL, .fd = op->fd, .flags = POLLIN};
		/* Readable means ended; a stop cannot be waited for in that way. */
		result = op->flags & (WSTOPPED | WCONTINUED) ? wf_op_pause(&pause)
							     : wf_op_part(&poll, 0);
		if (result < 0)
			return result;
	}
}

int weft_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t own;
	struct wf_op op = {.code = WF_OP_WAITID,
		.fd = type == P_PIDFD ? (int)id : -1,
		.offset = id,
		.size = type,
		.flags = (uint32_t)options,
		.other = info};
	if (options & WNOHANG)
		return wf_op_run_direct(&op);
	if (type != P_PIDFD)
		return wf_op_run(&op);
	if (info == NULL)
		op.other = &own;
	return wf_op_run_parts(&op, wait_parts, false);
}
