/* SPDX-License-Identifier: MIT */
/* files.c - files and directories: names, sizes, what is on the disk; weft_waitid
 *
 * Rules    FI1 numbers that the kernel's operation would read otherwise than the system call does are refused here first.
 */
#include <errno.h>
#include <fcntl.h>
#include <weft/fs.h>
#include <weft/io.h>

#include "io/api/op.h"
#include "sched/core/worker.h"

/* An error found without the kernel; the levels come first all the same. */
static int refuse(int error)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return -EPERM;
	int level = wf_interrupted(w, w->current);
	return level != 0 ? level : error;
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
		return refuse(-EINVAL);
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
		return refuse(-EINVAL);
	struct wf_op op = {.code = WF_OP_FTRUNCATE, .fd = fd, .size = (uint64_t)len};
	return wf_op_run(&op);
}

int weft_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
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

int weft_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	struct wf_op op = {.code = WF_OP_WAITID,
		.fd = type == P_PIDFD ? (int)id : -1,
		.offset = id,
		.size = type,
		.flags = (uint32_t)options,
		.other = info};
	if (options & WNOHANG)
		return wf_op_run_direct(&op);
	return wf_op_run(&op);
}
