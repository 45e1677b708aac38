/* SPDX-License-Identifier: MIT */
/* io.h - descriptors: read, write, poll, close, and the rules of all I/O
 *
 * POSIX names and arguments with a prefix: each call takes what its namesake takes, returns what
 * the kernel returned, or a negative errno. It parks the fiber, never the worker. Sockets are in
 * net.h, opening files in fs.h.
 *
 * Rules of io.h, net.h and fs.h
 *   Context      A fiber. Off a fiber each call returns -EPERM and does nothing, except where its
 *                text says otherwise. A call may return on another thread than it began on.
 *   Cancellation Each call that parks is a cancellation point as fiber.h says. Cancelled or late,
 *                it waits for the kernel to let go of the operation, then returns exactly one of
 *                the result and -ECANCELED or -ETIMEDOUT; a completed transfer is never dropped. An
 *                operation which the kernel cannot interrupt (a regular file) ends first.
 *   Buffers      Borrowed from call to return, on the stack or not. At return the kernel reads and
 *                writes them no more, also when the call was cancelled. Another fiber must not
 *                touch them meanwhile.
 *   O_NONBLOCK   Makes no difference: the call parks all the same. To ask without waiting give
 *                MSG_DONTWAIT to weft_recv and weft_send (-EAGAIN), or use weft_poll.
 *   SIGPIPE      Never raised by a weft call. Writing to a pipe or socket nobody reads is -EPIPE.
 *   Several      Any number of fibers may use one descriptor. Two reads share the data as two
 *                threads would; which gets what is the kernel's choice. Transfers of one stream
 *                that must stay together (*_full) are kept from each other by the program.
 *   Closing      weft_close() wakes with -ECANCELED whoever is parked on the descriptor, and waits
 *                until they are out, so that a reused number never meets an old operation. Close
 *                with weft_close() what fibers use: after a plain close(2) the kernel goes on with
 *                parked operations, which would then end by their data, cancellation or deadline
 *                only.
 *   EINTR        Not returned for signals; the call goes on.
 *   Amount       One transfer moves at most what Linux moves at once, 2,147,479,552 bytes; more is
 *                a short transfer. Zero bytes is a valid length.
 *   Cost         One operation in the worker's ring, submitted together with those of other fibers;
 *                no allocation.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec; /* of <sys/uio.h> */

/**
 * weft_read - read bytes; parks the fiber until data, end of file, deadline or cancellation.
 * @fd   descriptor. Borrowed; closing it meanwhile with weft_close() ends the call.
 * @buf  at least @len bytes. Borrowed; the kernel has let go of it at return, also when cancelled.
 * @len  bytes wanted; fewer may come.
 *
 * On a file it reads at, and moves, the file's position.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation; shares its system call with the rest of the worker's tick.
 * Returns  bytes read; 0 at end of file.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EBADF, -EFAULT, -EINVAL, -EIO, -EISDIR, -ECONNRESET, ... (kernel, as read(2) says)
 * Example  char line[512];
 *          ssize_t n = weft_read(fd, line, sizeof(line));
 */
WEFT_API ssize_t weft_read(int fd, void *buf, size_t len);

/**
 * weft_write - write bytes; parks the fiber until some are taken.
 * @fd   descriptor. Borrowed, as for weft_read().
 * @buf  @len bytes. Borrowed, not changed.
 * @len  bytes to write; fewer may be taken: weft_write_full() goes on.
 *
 * On a file it writes at, and moves, the file's position. Never raises SIGPIPE.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read().
 * Returns  bytes written.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EPIPE nobody reads the pipe or socket; -EBADF, -EFAULT, -EFBIG, -ENOSPC, -EDQUOT, -EIO,
 *          -ECONNRESET, ... (kernel, as write(2) says)
 * Example  ssize_t n = weft_write(log_fd, text, strlen(text));
 */
WEFT_API ssize_t weft_write(int fd, const void *buf, size_t len);

/**
 * weft_pread - read bytes at an offset; the file's position neither counts nor moves.
 * @fd      descriptor of a file that has offsets. Borrowed, as for weft_read().
 * @buf     at least @len bytes. Borrowed.
 * @len     bytes wanted; fewer may come.
 * @offset  where in the file, in bytes from its start.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read(). Any number of fibers may read one file at once.
 * Returns  bytes read; 0 at or beyond the end.
 * Errors   -ESPIPE @fd is a pipe, socket or terminal; -EINVAL @offset is negative (weft); and those
 *          of weft_read()
 * Example  ssize_t n = weft_pread(fd, page, sizeof(page), number * (off_t)sizeof(page));
 */
WEFT_API ssize_t weft_pread(int fd, void *buf, size_t len, off_t offset);

/**
 * weft_pwrite - write bytes at an offset; the file's position neither counts nor moves.
 * @fd      descriptor of a file that has offsets. Borrowed, as for weft_read().
 * @buf     @len bytes. Borrowed, not changed.
 * @len     bytes to write; fewer may be taken.
 * @offset  where in the file. With O_APPEND Linux appends, whatever the offset says.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read().
 * Returns  bytes written.
 * Errors   -ESPIPE, -EINVAL as weft_pread(); and those of weft_write()
 * Example  n = weft_pwrite(fd, page, sizeof(page), number * (off_t)sizeof(page));
 */
WEFT_API ssize_t weft_pwrite(int fd, const void *buf, size_t len, off_t offset);

/**
 * weft_readv - read into several buffers, one filled after the other.
 * @fd      descriptor. Borrowed, as for weft_read().
 * @vector  @count buffers. Array and buffers are borrowed until return.
 * @count   0 .. IOV_MAX.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read().
 * Returns  bytes read in all; 0 at end of file.
 * Errors   -EINVAL @count is out of range, or the lengths overflow (weft, kernel); and those of
 *          weft_read()
 * Example  struct iovec parts[2] = {{&header, sizeof(header)}, {body, body_bytes}};
 *          ssize_t n = weft_readv(fd, parts, 2);
 */
WEFT_API ssize_t weft_readv(int fd, const struct iovec *vector, int count);

/**
 * weft_writev - write several buffers as one.
 * @fd      descriptor. Borrowed, as for weft_read().
 * @vector  @count buffers. Array and buffers are borrowed until return, not changed.
 * @count   0 .. IOV_MAX.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read().
 * Returns  bytes written in all; fewer than given is possible.
 * Errors   as weft_readv(); and those of weft_write()
 * Example  ssize_t n = weft_writev(fd, parts, 2);
 */
WEFT_API ssize_t weft_writev(int fd, const struct iovec *vector, int count);

/**
 * weft_read_full - read until all of a length is there.
 * @fd   descriptor. Borrowed, as for weft_read().
 * @buf  at least @len bytes. Borrowed.
 * @len  bytes wanted.
 *
 * Made of several transfers. When it fails after some bytes have come, it returns their number, and
 * the error stays to be seen: cancellation and deadline are levels, and a broken descriptor fails
 * again. So a short count means end of file or an error, and the next call says which: 0, or the
 * error.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each transfer. errno untouched. May return on
 *          another thread.
 * Cost     one weft_read() per transfer.
 * Returns  bytes read: @len, or fewer at end of file or when an error came after the first byte.
 * Errors   those of weft_read(), when no byte was moved before
 *          -EINVAL @len is larger than SSIZE_MAX (weft)
 * Example  struct header header;
 *          if (weft_read_full(fd, &header, sizeof(header)) != (ssize_t)sizeof(header))
 *                  goto broken;
 */
WEFT_API ssize_t weft_read_full(int fd, void *buf, size_t len);

/**
 * weft_write_full - write all of a length.
 * @fd   descriptor. Borrowed, as for weft_read().
 * @buf  @len bytes. Borrowed, not changed.
 * @len  bytes to write.
 *
 * Made of several transfers. When it fails after some bytes were taken, it returns their number,
 * and the next call returns the error. So success is a return of @len.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each transfer. errno untouched. May return on
 *          another thread.
 * Cost     one weft_write() per transfer.
 * Returns  bytes written: @len, or fewer when an error came after the first byte.
 * Errors   those of weft_write(), when no byte was moved before
 *          -EINVAL @len is larger than SSIZE_MAX (weft)
 * Example  if (weft_write_full(fd, page, size) != (ssize_t)size)
 *                  goto broken;
 */
WEFT_API ssize_t weft_write_full(int fd, const void *buf, size_t len);

/**
 * weft_poll - park until a descriptor is ready; transfers nothing.
 * @fd      descriptor. Borrowed, as for weft_read().
 * @events  POLLIN, POLLOUT, POLLPRI, POLLRDHUP of <poll.h>, ored together.
 *
 * Level-triggered: it returns at once when an event is ready already. Useful to wait without
 * holding a buffer, and for descriptors which other libraries read.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_read().
 * Returns  the events that are ready, as poll(2)'s revents: POLLERR and POLLHUP also unasked.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EBADF @fd is not open (kernel)
 * Example  int ready = weft_poll(fd, POLLIN);
 *          if (ready > 0 && (ready & POLLIN))
 *                  n = weft_recv(fd, buf, sizeof(buf), 0);
 */
WEFT_API int weft_poll(int fd, short events);

/**
 * weft_close - close a descriptor, and wake whoever is parked on it.
 * @fd  descriptor; given up whatever is returned, unless that is -EBADF or -EPERM.
 *
 * Always closes: cancellation and deadlines are not looked at. Fibers parked on @fd wake, their
 * calls return -ECANCELED (or their result, had it arrived); calls begun from now on get -EBADF.
 * Only when all of them are out is the number given back, so it cannot be reused under an old
 * operation.
 *
 * Context  fiber. Parks yes, while operations on @fd are cancelled. Cancel point no. errno
 *          untouched. May return on another thread.
 * Cost     one check beside the system call when nobody is parked on @fd.
 * Returns  0.
 * Errors   -EBADF @fd is not open, or another fiber is closing it (weft, kernel)
 *          -EIO, -ENOSPC, -EDQUOT a delayed write failed; @fd is closed all the same (kernel)
 *          -EPERM off a fiber: nothing was closed, use close(2) (weft)
 * Example  weft_close(fd);
 */
WEFT_API int weft_close(int fd);

/**
 * weft_splice - move bytes between a pipe and a descriptor, inside the kernel.
 * @in          where from. Borrowed, as for weft_read().
 * @in_offset   NULL: its own position, or it has none; else where, and moved by what was read.
 * @out         where to. Borrowed. One of the two is a pipe.
 * @out_offset  the same for @out.
 * @len         bytes to move at most; fewer may be.
 * @flags       SPLICE_F_* of <fcntl.h>. SPLICE_F_NONBLOCK: -EAGAIN instead of parking.
 *
 * Parks until there is something to read and room to write, then moves once. Cancelled or late
 * before that, nothing was moved and the offsets stand.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     two waits and an operation that the kernel gives to a thread of its own.
 * Returns  bytes moved; 0 at the end of @in.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft); -EINVAL an offset is negative (weft)
 *          -EINVAL neither is a pipe, -ESPIPE an offset for a pipe, -EAGAIN, -EBADF, -EPIPE, ...
 *          (kernel, as splice(2) says)
 * Example  while ((n = weft_splice(from, NULL, pipe[1], NULL, 65536, 0)) > 0)
 *                  ...
 */
WEFT_API ssize_t weft_splice(
	int in, off_t *in_offset, int out, off_t *out_offset, size_t len, unsigned flags);

/**
 * weft_sendfile - send a part of a file.
 * @out     where to: a socket, a pipe or a file. Borrowed, as for weft_read().
 * @in      a file that has offsets. Borrowed.
 * @offset  NULL: from the file's position, which moves by what was sent; else from there, and
 *          moved.
 * @count   bytes wanted; at most 2,147,479,552 are moved at once.
 *
 * Made of several transfers: goes on until @count bytes are sent, the file ends or an error comes.
 * When some were moved before, it returns their number, also when cancelled or late; @offset, or
 * the position, says the same.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each
 *          transfer. errno untouched. May return on another thread.
 * Cost     a read and a write for each 256 KiB, through a buffer from the heap.
 * Returns  bytes sent; fewer than @count at the end of the file or when an error came later.
 * Errors   those of weft_pread() and weft_write(), when no byte was moved before
 *          -EINVAL @in has no offsets, or @offset is negative; -ENOMEM (weft)
 * Example  off_t at = 0;
 *          ssize_t n = weft_sendfile(socket, file, &at, size);
 */
WEFT_API ssize_t weft_sendfile(int out, int in, off_t *offset, size_t count);

#if defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 200809L
/**
 * weft_waitid - wait for a child process to change its state.
 * @type     P_PID, P_PGID, P_ALL, or P_PIDFD.
 * @id       the process, the group, nothing, or the descriptor.
 * @info     NULL, or where to put what happened. Borrowed until return.
 * @options  WEXITED, WSTOPPED, WCONTINUED, with WNOWAIT or WNOHANG, as for waitid(2).
 *
 * No signal handler is needed and SIGCHLD is left alone. Cancelled or late, no child was waited
 * for. For starting processes see process.h.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     one operation; on kernels before 6.7 and with the epoll engine a thread of the pool
 *          while it waits.
 * Returns  0; with WNOHANG also when no child has changed (@info->si_pid is 0 then).
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -ECHILD there is no such child, -EINVAL, -EBADF, ... (kernel, as waitid(2) says)
 * Example  siginfo_t info;
 *          error = weft_waitid(P_PID, (id_t)pid, &info, WEXITED);
 */
WEFT_API int weft_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
#endif

#ifdef __cplusplus
}
#endif

#include <weft/offload.h>
#include <weft/signal.h>
#include <weft/stream.h>

#endif
