/* SPDX-License-Identifier: MIT */
/* files.c - see files.h */
#include "tools/httpd/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <weft/weft.h>

/* What a client is told about a failed open. */
static int status_of(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP: /* a symbolic link */
	case -ENAMETOOLONG:
	case -ENXIO: /* a FIFO without a writer, a socket */
	case -ENODEV:
		return 404;
	case -EACCES:
	case -EPERM:
		return 403;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ECANCELED:
	case -ETIMEDOUT:
		return 503;
	default:
		return 500;
	}
}

/* Opens the component next in directory, which is closed unless it is the root. */
static int step_down(int root_fd, int directory, const char *component, int flags)
{
	int fd = weft_openat(directory, component, flags | O_NOFOLLOW | O_CLOEXEC, 0);

	if (directory != root_fd)
		weft_close(directory);
	return fd;
}

static int examine(int fd, struct file *file)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return 500;
	if (!S_ISREG(stat.st_mode))
		return 404;
	/* O_NONBLOCK was for what is no regular file; reads are to wait for the disk. */
	if (fcntl(fd, F_SETFL, O_RDONLY) < 0)
		return 500;
	file->fd = fd;
	file->size = (uint64_t)stat.st_size;
	file->modified = stat.st_mtime;
	return 200;
}

int file_open(int root_fd, char *path, struct file *file)
{
	int fd = root_fd, status;
	char *slash;

	for (; (slash = strchr(path, '/')); path = slash + 1) {
		*slash = '\0';
		fd = step_down(root_fd, fd, path, O_PATH | O_DIRECTORY);
		if (fd < 0)
			return status_of(fd);
	}
	fd = step_down(root_fd, fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return status_of(fd);
	status = examine(fd, file);
	if (status != 200)
		weft_close(fd);
	return status;
}
