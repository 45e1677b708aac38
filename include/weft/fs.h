/* SPDX-License-Identifier: MIT */
/* fs.h - files by name
 *
 * What     Opening, sizes, names and directories; what is opened is then used with io.h, whose
 *          rules (cancellation, close, off a fiber) hold here too.
 * Rules    A directory @dirfd is an open one or AT_FDCWD, the working directory. Paths are borrowed
 *          until return. What the kernel has begun to do with a name it ends: cancelled or
 *          late, either nothing has happened or the result is returned.
 *          Where the ring lacks a call (weft_ftruncate before Linux 6.9; all of them with the
 *          epoll engine) a thread of the offload pool makes it, at some 30 us more.
 */
#ifndef WEFT_FS_H
#define WEFT_FS_H

#include <sys/types.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx; /* of <sys/stat.h> */

/**
 * weft_openat - open a file relative to a directory.
 * @dirfd  directory, or AT_FDCWD for the working directory. Borrowed.
 * @path   name; absolute, or relative to @dirfd. Borrowed until return.
 * @flags  O_* of <fcntl.h>, as for openat(2); nothing is added: give O_CLOEXEC where a program
 *         execs.
 * @mode   permissions of a file that O_CREAT or O_TMPFILE makes; else not looked at, say 0.
 *
 * Opening a FIFO parks until the other side opens too. A call that was cancelled or late has
 * opened, and with O_CREAT made, nothing.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel may hand to a thread of its own when the disk is needed.
 * Returns  the descriptor, owned by the caller.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ENOENT, -EACCES, -EEXIST, -EISDIR, -ENOTDIR, -ELOOP, -EMFILE, -EFAULT, ... (kernel, as
 *          openat(2) says)
 * Example  int fd = weft_openat(AT_FDCWD, "notes.txt", O_RDONLY | O_CLOEXEC, 0);
 */
WEFT_API WEFT_NODISCARD int weft_openat(int dirfd, const char *path, int flags, mode_t mode);

/**
 * weft_fsync - bring a file to the disk, its size and times too.
 * @fd  descriptor. Borrowed.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EIO, -ENOSPC, -EDQUOT what was written before did not get there; -EBADF, -EINVAL, ...
 *          (kernel, as fsync(2) says)
 * Example  if (weft_fsync(fd) != 0)
 *                  report("the log is not safe");
 */
WEFT_API int weft_fsync(int fd);

/**
 * weft_fdatasync - bring a file's data to the disk, and what is needed to read it.
 * @fd  descriptor. Borrowed.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          as weft_fsync()
 * Example  error = weft_fdatasync(fd);
 */
WEFT_API int weft_fdatasync(int fd);

/**
 * weft_fallocate - reserve, clear or remove a range of a file.
 * @fd      descriptor open for writing. Borrowed.
 * @mode    0, or FALLOC_FL_* of <fcntl.h>.
 * @offset  where the range begins, in bytes.
 * @len     its length, more than 0.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EINVAL the range is empty or negative (weft)
 *          -ENOSPC, -EFBIG, -EOPNOTSUPP, -EBADF, ... (kernel, as fallocate(2) says)
 * Example  error = weft_fallocate(fd, 0, 0, 1 << 30);
 */
WEFT_API int weft_fallocate(int fd, int mode, off_t offset, off_t len);

/**
 * weft_ftruncate - set the size of a file.
 * @fd   descriptor open for writing. Borrowed.
 * @len  the size in bytes; what is new reads as zeros.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EINVAL @len is negative (weft); -EFBIG, -EINVAL, -EBADF, ... (kernel, as ftruncate(2)
 *          says)
 * Example  error = weft_ftruncate(fd, 0);
 */
WEFT_API int weft_ftruncate(int fd, off_t len);

/**
 * weft_statx - what the file system knows of a file.
 * @dirfd  directory, or AT_FDCWD; with AT_EMPTY_PATH and "" the file itself.
 * @path   name.
 * @flags  AT_*, as for statx(2).
 * @mask   STATX_*: what is wanted.
 * @out    where to put it. Borrowed until return.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ENOENT, -EACCES, -ENOTDIR, -EFAULT, ... (kernel, as statx(2) says)
 * Example  struct statx at;
 *          error = weft_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &at);
 */
WEFT_API int weft_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);

/**
 * weft_unlinkat - remove a name.
 * @dirfd  directory, or AT_FDCWD.
 * @path   name.
 * @flags  0, or AT_REMOVEDIR for an empty directory.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ENOENT, -EISDIR, -ENOTEMPTY, -EACCES, ... (kernel, as unlinkat(2) says)
 * Example  error = weft_unlinkat(AT_FDCWD, "lock", 0);
 */
WEFT_API int weft_unlinkat(int dirfd, const char *path, int flags);

/**
 * weft_renameat - give a file another name, replacing what had it.
 * @from_dirfd  directory of @from, or AT_FDCWD.
 * @from        the name it has.
 * @to_dirfd    directory of @to, or AT_FDCWD.
 * @to          the name it gets, in the same file system.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ENOENT, -EXDEV, -EISDIR, -ENOTEMPTY, ... (kernel, as renameat(2) says)
 * Example  error = weft_renameat(AT_FDCWD, "config.new", AT_FDCWD, "config");
 */
WEFT_API int weft_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);

/**
 * weft_mkdirat - make a directory.
 * @dirfd  directory it is made in, or AT_FDCWD.
 * @path   its name.
 * @mode   permissions, less the umask.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EEXIST, -ENOENT, -ENOSPC, ... (kernel, as mkdirat(2) says)
 * Example  error = weft_mkdirat(AT_FDCWD, "spool", 0700);
 */
WEFT_API int weft_mkdirat(int dirfd, const char *path, mode_t mode);

/**
 * weft_linkat - give a file one more name.
 * @from_dirfd  directory of @from, or AT_FDCWD.
 * @from        a name it has.
 * @to_dirfd    directory of @to, or AT_FDCWD.
 * @to          the new one; must not exist.
 * @flags       0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EEXIST, -EXDEV, -EPERM, -EMLINK, ... (kernel, as linkat(2) says)
 * Example  error = weft_linkat(AT_FDCWD, "a", AT_FDCWD, "b", 0);
 */
WEFT_API int weft_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags);

/**
 * weft_symlinkat - make a symbolic link.
 * @target  what the link says; need not exist.
 * @dirfd   directory it is made in, or AT_FDCWD.
 * @path    its name.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation, which the kernel hands to a thread of its own.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EEXIST, -ENOENT, -ENOSPC, ... (kernel, as symlinkat(2) says)
 * Example  error = weft_symlinkat("v2", AT_FDCWD, "current");
 */
WEFT_API int weft_symlinkat(const char *target, int dirfd, const char *path);

#ifdef __cplusplus
}
#endif

#endif
