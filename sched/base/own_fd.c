/* SPDX-License-Identifier: MIT */
/* own_fd.c - see own_fd.h */
#include "sched/base/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

/* Of a system call that said `result`: the same, or the negative errno; and errno as it was. */
static long settle(long result, int saved)
{
	if (result < 0)
		result = -errno;
	errno = saved;
	return result;
}

int wf_own_open(const char *path, int flags)
{
	int saved = errno;
	return (int)settle(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | flags), saved);
}

int wf_own_eventfd(int flags)
{
	int saved = errno;
	return (int)settle(syscall(SYS_eventfd2, 0, EFD_CLOEXEC | flags), saved);
}

int wf_own_epoll(void)
{
	int saved = errno;
	return (int)settle(syscall(SYS_epoll_create1, EPOLL_CLOEXEC), saved);
}

int wf_own_epoll_add(int epoll, int fd, struct epoll_event *event)
{
	int saved = errno;
	return (int)settle(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, event), saved);
}

int wf_own_pipe(int ends[2])
{
	int saved = errno;
	return (int)settle(syscall(SYS_pipe2, ends, O_CLOEXEC), saved);
}

void wf_own_close(int fd)
{
	int saved = errno;
	settle(syscall(SYS_close, fd), saved);
}

ssize_t wf_own_pread(int fd, void *buffer, size_t size, off_t at)
{
	size_t have = 0;
	while (have < size) {
		int saved = errno;
		long n = settle(
			syscall(SYS_pread64, fd, (char *)buffer + have, size - have, at + (off_t)have),
			saved);
		if (n == -EINTR)
			continue;
		if (n < 0 && have == 0)
			return n;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

ssize_t wf_own_text(const char *path, char *text, size_t size)
{
	int fd = wf_own_open(path, 0);
	ssize_t n = fd < 0 ? fd : wf_own_pread(fd, text, size - 1, 0);
	if (fd >= 0)
		wf_own_close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

WF_OWNER_CODE_END
