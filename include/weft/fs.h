/* SPDX-License-Identifier: MIT */
/* fs.h - files by name
 *
 * What     Opening; what is opened is then used with io.h, whose rules (cancellation, close, off a
 *          fiber) hold here too.
 */
#ifndef WEFT_FS_H
#define WEFT_FS_H

#include <sys/types.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
