/* SPDX-License-Identifier: MIT */
/* stream.h - buffered streams: lines, formatted text and small pieces over a descriptor
 *
 * What     A weft_stream puts a buffer for reading and one for writing between a program and a
 *          descriptor of any kind, so that a line or a number does not cost an operation each. What
 *          it transfers goes through weft_read() and weft_write(), with the rules of io.h.
 *
 *   weft_stream s;
 *   weft_stream_init(&s, fd);
 *   char *line;
 *   ssize_t len;
 *   while ((len = weft_stream_read_line(&s, &line)) >= 0)
 *           weft_stream_printf(&s, "%zd bytes: %s\n", len, line);
 *   weft_stream_flush(&s);
 *   weft_stream_free(&s);
 *   weft_close(fd);
 *
 * Rules
 *   Two halves   The calls that read (read_line, read, read_full, peek, skip, skip_line, limit,
 *                buffered) and those that write (write, printf, flush, written, unflushed) have
 *                nothing in common but the descriptor: one fiber may read while another writes. A
 *                second fiber in the same half gets -EBUSY, and nothing has changed.
 *   Memory       None before it is needed: a half that is not used has no buffer. A buffer is
 *                8 KiB; that for reading grows to a line or a peek that is longer, at most to the
 *                limit (weft_stream_limit), and shrinks when that has been used; that for writing
 *                grows to one formatted text.
 *   Errors       Nothing is lost. After an error, a cancellation or a deadline halfway, bytes that
 *                have been read stay in the buffer, and a later call goes on with them; bytes to be
 *                written stay too, and the next flush goes on behind the last byte that the kernel
 *                took. No error sticks to the stream: each call tries anew.
 *   All or none  weft_stream_printf(), and weft_stream_write() of less than 8 KiB, that fail have
 *                taken nothing. A longer write may have taken a part: weft_stream_written() says
 *                how many bytes the stream has taken since its beginning, and
 *                weft_stream_unflushed() how many of them the kernel has not got yet.
 *   Levels       Each call that may park is a cancellation point, also when the buffer alone would
 *                serve it.
 *   Flushing     Only when the buffer is full, and by weft_stream_flush(): call it before waiting
 *                for an answer, and at the end. Reading flushes nothing.
 *   Off a fiber  weft_stream_init, _free, _limit, _buffered, _written, _unflushed, and
 *                weft_stream_peek() with @want 0 work on any thread. The others are -EPERM.
 *   NULL         for a stream is -EINVAL, or 0 where the call returns a count.
 */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WEFT_STREAM_FORMAT_(format, first) __attribute__((__format__(__printf__, format, first)))
#else
#define WEFT_STREAM_FORMAT_(format, first)
#endif

/* A stream, in the caller's memory. Not to be copied or moved while it is used. */
typedef struct weft_stream {
	uint64_t opaque[16];
} weft_stream;

/**
 * weft_stream_init - make a stream of a descriptor.
 * @s   memory for the stream; what was in it does not count.
 * @fd  descriptor. Borrowed until weft_stream_free(), which does not close it.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     none; no memory is allocated yet.
 * Returns  0.
 * Errors   -EINVAL @s is NULL; -EBADF @fd is negative (weft). A descriptor that is not open shows
 *          in the first transfer.
 * Example  weft_stream s;
 *          weft_stream_init(&s, weft_dial("localhost:7"));
 */
WEFT_API int weft_stream_init(weft_stream *s, int fd);

/**
 * weft_stream_free - give back a stream's memory. The descriptor stays open.
 * @s  stream, or NULL. No fiber is in a call on it: that aborts with one line.
 *
 * What was not flushed is dropped, and so is what was read ahead. Afterwards every call that
 * transfers is -EBADF; freeing again does nothing; weft_stream_init() makes it new.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Example  weft_stream_free(&s);
 */
WEFT_API void weft_stream_free(weft_stream *s);

/**
 * weft_stream_limit - set the longest line, and the most that can be peeked at.
 * @s           stream.
 * @line_bytes  length without the newline, 1 .. 1 GiB; 0: the default, 1 MiB.
 *
 * May be changed at any time, by the fiber that reads: after -EMSGSIZE a higher limit lets the line
 * be read after all.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  0.
 * Errors   -EINVAL @line_bytes is too large, or @s is NULL; -EBUSY another fiber reads (weft)
 * Example  weft_stream_limit(&s, 8000);   // of a request's header line
 */
WEFT_API int weft_stream_limit(weft_stream *s, size_t line_bytes);

/**
 * weft_stream_read_line - read a line.
 * @s     stream.
 * @line  where to put a pointer to the line, without its newline and with a closing 0. In the
 *        stream's own memory: valid, and the caller's to change, until the next call that reads.
 *
 * A line ends at '\n'. A '\r' before it is part of the line, and so are zero bytes: the length
 * tells. Bytes after the last newline of the file are a line too.
 *
 * A line longer than the limit is -EMSGSIZE, and nothing of it is consumed: the same call fails the
 * same way. Go on behind it with weft_stream_skip_line(), read it in pieces with
 * weft_stream_read(), or raise the limit.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     a search for the newline; a read of what there is when the buffer has no whole line.
 * Returns  the length, without the newline.
 * Errors   -ENODATA the end of the file, and no byte before it (weft)
 *          -EMSGSIZE the line is longer than the limit (weft)
 *          -ENOMEM; -EBUSY another fiber reads; -EINVAL @s or @line is NULL (weft)
 *          and those of weft_read(); what has come of the line stays for the next call
 * Example  while ((len = weft_stream_read_line(&s, &line)) >= 0)
 *                  handle(line, (size_t)len);
 *          if (len != -ENODATA)
 *                  report(len);
 */
WEFT_API ssize_t weft_stream_read_line(weft_stream *s, char **line);

/**
 * weft_stream_skip_line - drop what is left of the line, its newline included.
 * @s  stream.
 *
 * However long the line is, it takes no more memory than a buffer. When it fails, what it has
 * dropped is gone, and the next call goes on in the same line.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_stream_read_line().
 * Returns  0: behind the line, or at the end of the file.
 * Errors   -ENODATA the end of the file, and no byte before it (weft)
 *          -ENOMEM; -EBUSY another fiber reads; -EINVAL @s is NULL (weft); those of weft_read()
 * Example  if (len == -EMSGSIZE)
 *                  error = weft_stream_skip_line(&s);
 */
WEFT_API int weft_stream_skip_line(weft_stream *s);

/**
 * weft_stream_read - read bytes: those in the buffer, or what one read gives.
 * @s    stream.
 * @buf  at least @len bytes. Borrowed.
 * @len  bytes wanted; fewer may come.
 *
 * With nothing in the buffer and @len of 8 KiB or more it reads straight into @buf.
 *
 * Context  fiber. Parks yes, when the buffer is empty. Cancel point yes. errno untouched. May
 *          return on another thread.
 * Cost     a copy, or one weft_read().
 * Returns  bytes read; 0 at end of file, or when @len is 0.
 * Errors   -ENOMEM; -EBUSY another fiber reads; -EINVAL @s is NULL; -EFAULT @buf is (weft)
 *          and those of weft_read()
 * Example  ssize_t n = weft_stream_read(&s, block, sizeof(block));
 */
WEFT_API ssize_t weft_stream_read(weft_stream *s, void *buf, size_t len);

/**
 * weft_stream_read_full - read until all of a length is there.
 * @s    stream.
 * @buf  at least @len bytes. Borrowed.
 * @len  bytes wanted.
 *
 * When it fails after some bytes have come it returns their number, and the error stays to be seen,
 * as weft_read_full() does.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each transfer. errno untouched. May return on
 *          another thread.
 * Cost     as weft_stream_read(), as often as it takes.
 * Returns  bytes read: @len, or fewer at end of file or when an error came after the first byte.
 * Errors   those of weft_stream_read(), when no byte was read before; -EINVAL also when @len is
 *          larger than SSIZE_MAX (weft)
 * Example  if (weft_stream_read_full(&s, body, length) != (ssize_t)length)
 *                  goto broken;
 */
WEFT_API ssize_t weft_stream_read_full(weft_stream *s, void *buf, size_t len);

/**
 * weft_stream_skip - drop bytes.
 * @s    stream.
 * @len  how many.
 *
 * Context  fiber. Parks yes. Cancel point yes, before each transfer. errno untouched. May return on
 *          another thread.
 * Cost     none for what is in the buffer; else a read of 8 KiB at a time.
 * Returns  bytes dropped: @len, or fewer at end of file or when an error came after the first byte.
 * Errors   as weft_stream_read_full()
 * Example  weft_stream_skip(&s, (size_t)used);   // of what weft_stream_peek() showed
 */
WEFT_API ssize_t weft_stream_skip(weft_stream *s, size_t len);

/**
 * weft_stream_peek - look at the next bytes without consuming them.
 * @s     stream.
 * @data  where to put a pointer to them, in the stream's own memory: valid until the next call that
 *        reads. No closing 0.
 * @want  bytes to wait for, at most the limit. 0: just what is in the buffer; the call then never
 *        parks, is no cancellation point, and works off a fiber.
 *
 * Context  fiber, and any thread with @want 0. Parks yes, until @want bytes are there or the file
 *          ends. Cancel point yes. errno untouched. May return on another thread.
 * Cost     none when they are there; else reads of what there is.
 * Returns  bytes at @data: @want or more, fewer only at the end of the file.
 * Errors   -EMSGSIZE @want is larger than the limit (weft)
 *          -ENOMEM; -EBUSY another fiber reads; -EINVAL @s or @data is NULL (weft)
 *          and those of weft_read(); what has come stays in the buffer
 * Example  const char *data;
 *          ssize_t n = weft_stream_peek(&s, &data, 4);
 *          bool compressed = n >= 4 && memcmp(data, magic, 4) == 0;
 */
WEFT_API ssize_t weft_stream_peek(weft_stream *s, const char **data, size_t want);

/**
 * weft_stream_buffered - how many bytes have been read and not consumed.
 * @s  stream. For the fiber that reads.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  bytes that can be had without a transfer.
 * Example  if (weft_stream_buffered(&s) == 0)
 *                  weft_stream_flush(&s);   // all requests that came together are answered
 */
WEFT_API size_t weft_stream_buffered(const weft_stream *s);

/**
 * weft_stream_write - write all of a length, through the buffer.
 * @s    stream.
 * @buf  @len bytes. Borrowed until return.
 * @len  bytes to write.
 *
 * What fits is copied; else what is in the buffer is written first. 8 KiB or more that do not fit
 * are not copied, but written from @buf, in one operation with what is in the buffer.
 *
 * Context  fiber. Parks yes, when it does not fit. Cancel point yes. errno untouched. May return on
 *          another thread.
 * Cost     a copy; one operation for each 8 KiB of small pieces, or for a large one.
 * Returns  0: all of it is written or in the buffer.
 * Errors   -ENOMEM; -EBUSY another fiber writes; -EINVAL @s is NULL; -EFAULT @buf is (weft)
 *          and those of weft_write(). Less than 8 KiB: nothing of @buf was taken. More: compare
 *          weft_stream_written() before and after.
 * Example  error = weft_stream_write(&s, answer, length);
 */
WEFT_API int weft_stream_write(weft_stream *s, const void *buf, size_t len);

/**
 * weft_stream_printf - write formatted text, through the buffer.
 * @s       stream.
 * @format  as for printf(3), with the values it names.
 *
 * The text may have any length. It is formatted into the buffer; when it does not fit there, what
 * is in the buffer is written first, and a longer text gets a buffer of its size, to be written by
 * the next call that writes or flushes. Parks for nothing else.
 *
 * Context  fiber, not a WEFT_SMALL one: it needs the stack that vsnprintf(3) does. Parks yes, when
 *          it does not fit. Cancel point yes. errno untouched. May return on another thread.
 * Cost     formatting, twice when it does not fit.
 * Returns  the length of the text: all of it is in the buffer.
 * Errors   -EINVAL the format is bad, or it or @s is NULL; -EILSEQ a wide character cannot be
 *          written; -EOVERFLOW longer than INT_MAX (weft, libc)
 *          -ENOMEM; -EBUSY another fiber writes (weft); those of weft_write()
 *          In each case nothing of the text was taken.
 * Example  weft_stream_printf(&s, "%s: %d\r\n", name, value);
 */
WEFT_API int weft_stream_printf(weft_stream *s, const char *format, ...) WEFT_STREAM_FORMAT_(2, 3);

/**
 * weft_stream_vprintf - the same, for functions that take such values themselves.
 * @s          stream.
 * @format     as for vprintf(3).
 * @arguments  the values; undefined afterwards, as after vprintf(3).
 *
 * Context, Cost, Returns, Errors  as weft_stream_printf().
 * Example  va_start(arguments, format);
 *          error = weft_stream_vprintf(&s, format, arguments);
 *          va_end(arguments);
 */
WEFT_API int weft_stream_vprintf(weft_stream *s, const char *format, va_list arguments)
	WEFT_STREAM_FORMAT_(2, 0);

/**
 * weft_stream_flush - write what is in the buffer.
 * @s  stream.
 *
 * Context  fiber. Parks yes, when something is there. Cancel point yes. errno untouched. May return
 *          on another thread.
 * Cost     one weft_write() as a rule; none when nothing is there.
 * Returns  0: the kernel has all that was written.
 * Errors   -EBUSY another fiber writes; -EINVAL @s is NULL (weft); those of weft_write(): what the
 *          kernel has not taken stays, and the next flush goes on there
 * Example  if (weft_stream_flush(&s) != 0)
 *                  report("the peer has not got it all");
 */
WEFT_API int weft_stream_flush(weft_stream *s);

/**
 * weft_stream_written - how many bytes the stream has taken from the program since its beginning.
 * @s  stream. For the fiber that writes.
 *
 * The difference over a call that failed says how much of it was taken; less
 * weft_stream_unflushed() it is what the kernel has got.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  bytes, written and in the buffer.
 * Example  uint64_t before = weft_stream_written(&s);
 *          if (weft_stream_write(&s, page, size) != 0)
 *                  page += weft_stream_written(&s) - before;
 */
WEFT_API uint64_t weft_stream_written(const weft_stream *s);

/**
 * weft_stream_unflushed - how many bytes wait in the buffer to be written.
 * @s  stream. For the fiber that writes.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  bytes that the next flush will write.
 * Example  weft_ns limit = weft_stream_unflushed(&s) > 0 ? soon : WEFT_FOREVER;
 */
WEFT_API size_t weft_stream_unflushed(const weft_stream *s);

#ifdef __cplusplus
}
#endif

#endif
