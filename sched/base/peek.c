/* SPDX-License-Identifier: MIT */
/* peek.c - see peek.h */
#include "sched/base/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

static bool from_file(const void *address, void *buffer, size_t size)
{
	long fd = syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/mem", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t have = 0;
	while (have < size) {
		long n = syscall(SYS_pread64, fd, (char *)buffer + have, size - have,
			(uintptr_t)address + have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	syscall(SYS_close, fd);
	return have == size;
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
