/* SPDX-License-Identifier: MIT */
/* peek.c - see peek.h */
#include "sched/base/peek.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sched/base/own_fd.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

static bool from_file(const void *address, void *buffer, size_t size)
{
	int fd = wf_own_open("/proc/thread-self/mem", 0);
	if (fd < 0)
		return false;
	ssize_t n = wf_own_pread(fd, buffer, size, (off_t)(uintptr_t)address);
	wf_own_close(fd);
	return n >= 0 && (size_t)n == size;
}

bool wf_peek(const void *address, void *buffer, size_t size)
{
	int saved = errno;
	struct iovec to = {buffer, size};
	struct iovec from = {(void *)(uintptr_t)address, size};
	long n = syscall(SYS_process_vm_readv, syscall(SYS_gettid), &to, 1UL, &from, 1UL, 0UL);
	bool whole = n >= 0 ? (size_t)n == size : errno != EFAULT && from_file(address, buffer, size);
	errno = saved;
	return whole;
}

WF_OWNER_CODE_END
