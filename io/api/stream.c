/* SPDX-License-Identifier: MIT */
/* stream.c - buffered streams: see weft/stream.h for what each call promises
 *
 * What     two halves that share nothing, each a buffer over weft_read or weft_write and a word that keeps others out.
 * Rejected a ring (a line must lie in one piece); remembering the end of the file (a file grows, a terminal goes on); waiting for a second
 *          fiber of the same half (which of them gets which line would be chance: that is a mistake of the program, and is told).
 * Owns     its buffers, from wf_alloc.
 * Rules    SB1 begin <= end <= cap. Bytes [begin, end) are read and not consumed, or taken and not written.
 *          SB2 scanned: so many bytes from begin on hold no newline, so that a line that comes byte by byte is searched once.
 *          SB3 memory that a line or a peek lies in is moved and resized only in `fill`, and so by the next call that reads.
 *          SB4 a buffer is resized by its half's caller alone, never while an operation of the kernel is on it.
 * Order    ST-1 busy: store release on leaving -> cas acquire on entering: carries the half's fields to the next fiber that uses it.
 * Tests    tests/io/stream_test.cc
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <weft/io.h>
#include <weft/stream.h>

#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/core/misuse.h"
#include "sched/sync/wait.h"

/* A buffer: stdio's size, two pages. Smaller costs more operations, larger more memory for each idle connection. */
#define STREAM_BYTES 8192u
/* The longest line, by default and at most: the second bounds a typing error, not a program. */
#define LINE_BYTES ((size_t)1 << 20)
#define LINE_BYTES_MAX ((size_t)1 << 30)

/* One half's buffer (SB1). */
struct buffer {
	wf_a32 busy; /* ST-1 */
	int fd;
	char *data;
	size_t cap, begin, end;
};

struct stream {
	struct buffer in;
	size_t scanned; /* SB2 */
	size_t limit;
	struct buffer out;
	uint64_t taken;
} __attribute__((may_alias));
_Static_assert(sizeof(struct stream) <= sizeof(weft_stream), "the public struct has room for a stream");
_Static_assert(_Alignof(struct stream) <= _Alignof(weft_stream), "and is aligned for it");

static size_t filled(const struct buffer *b)
{
	return b->end - b->begin;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A buffer of another size with the same bytes in it. */
static int resize(struct buffer *b, size_t cap)
{
	size_t bytes = filled(b);
	WF_ASSERT(bytes <= cap);
	char *data = wf_alloc(cap);
	if (data == NULL)
		return -ENOMEM;
	if (bytes > 0)
		memcpy(data, b->data + b->begin, bytes);
	wf_free(b->data, b->cap);
	b->data = data;
	b->cap = cap;
	b->begin = 0;
	b->end = bytes;
	return 0;
}

static void move_to_front(struct buffer *b)
{
	size_t bytes = filled(b);
	if (bytes > 0 && b->begin > 0)
		memmove(b->data, b->data + b->begin, bytes);
	b->begin = 0;
	b->end = bytes;
}

/* What every call that may park begins with; keeps others out of the half. */
static int enter(weft_stream *s, size_t half)
{
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_wait_levels();
	if (error != 0)
		return error;
	if (s == NULL)
		return -EINVAL;
	struct buffer *b = (struct buffer *)((char *)s + half);
	if (b->fd < 0)
		return -EBADF;
	uint32_t idle = 0;
	/* ST-1 acquire; pair: leave(). */
	return wf_cas_acq_rel32(&b->busy, &idle, 1) ? 0 : -EBUSY;
}

#define READING offsetof(struct stream, in)
#define WRITING offsetof(struct stream, out)

static void leave(struct buffer *b)
{
	/* ST-1 release; pair: enter(). */
	wf_store_rel32(&b->busy, 0);
}

int weft_stream_init(weft_stream *s, int fd)
{
	if (s == NULL)
		return -EINVAL;
	struct stream *stream = (struct stream *)s;
	memset(s, 0, sizeof(*s));
	stream->in.fd = stream->out.fd = fd < 0 ? -1 : fd;
	stream->limit = LINE_BYTES;
	return fd < 0 ? -EBADF : 0;
}

static void drop(struct buffer *b)
{
	wf_free(b->data, b->cap);
	b->data = NULL;
	b->cap = b->begin = b->end = 0;
}

void weft_stream_free(weft_stream *s)
{
	struct stream *stream = (struct stream *)s;
	if (s == NULL)
		return;
	/* ST-1 acquire; pair: leave(). */
	if (wf_load_acq32(&stream->in.busy) || wf_load_acq32(&stream->out.busy))
		wf_fatal("weft_stream_free: a fiber is in a call on the stream");
	drop(&stream->in);
	drop(&stream->out);
	stream->scanned = 0;
	stream->in.fd = stream->out.fd = -1;
}

int weft_stream_limit(weft_stream *s, size_t line_bytes)
{
	struct stream *stream = (struct stream *)s;
	if (s == NULL || line_bytes > LINE_BYTES_MAX)
		return -EINVAL;
	/* ST-1 acquire; pair: leave(). */
	if (wf_load_acq32(&stream->in.busy))
		return -EBUSY;
	stream->limit = line_bytes != 0 ? line_bytes : LINE_BYTES;
	return 0;
}

/* Reading */

/* Room behind `end`, for at most `most` bytes in the buffer, of which there are fewer. SB3 */
static int make_room(struct buffer *b, size_t most)
{
	size_t bytes = filled(b);
	if (b->cap == 0)
		return resize(b, STREAM_BYTES);
	if (bytes == 0)
		b->begin = b->end = 0;
	if (b->cap > STREAM_BYTES && bytes <= STREAM_BYTES / 2 && resize(b, STREAM_BYTES) == 0)
		return 0; /* refused: the large one will do */
	if (b->cap - b->end < b->cap / 2)
		move_to_front(b);
	if (b->cap - b->end >= b->cap / 4 || b->cap >= most)
		return 0;
	return resize(b, smaller(2 * b->cap, most));
}

/* Reads once. Bytes added, 0 at the end of the file, or an error; the buffer has room for a byte then, if there are fewer than `most`. */
static ssize_t fill(struct buffer *b, size_t most)
{
	int error = make_room(b, most);
	if (error != 0)
		return error;
	WF_ASSERT(b->end < b->cap);
	ssize_t n = weft_read(b->fd, b->data + b->end, b->cap - b->end);
	if (n > 0)
		b->end += (size_t)n;
	return n;
}

static void consume(struct stream *s, size_t bytes)
{
	WF_ASSERT(bytes <= filled(&s->in));
	s->in.begin += bytes;
	s->scanned = s->scanned > bytes ? s->scanned - bytes : 0;
}

/* The newline among the first `within` bytes, or NULL. SB2 */
static char *find_newline(struct stream *s, size_t within)
{
	if (within <= s->scanned)
		return NULL;
	char *from = s->in.data + s->in.begin + s->scanned;
	char *found = memchr(from, '\n', within - s->scanned);
	if (found == NULL)
		s->scanned = within;
	return found;
}

static ssize_t read_line(struct stream *s, char **line)
{
	struct buffer *b = &s->in;
	for (;;) {
		char *newline = find_newline(s, smaller(filled(b), s->limit + 1));
		size_t len;
		if (newline != NULL) {
			*line = b->data + b->begin;
			len = (size_t)(newline - *line);
			consume(s, len + 1);
			*newline = '\0';
			return (ssize_t)len;
		}
		len = filled(b);
		if (len > s->limit)
			return -EMSGSIZE;
		ssize_t n = fill(b, s->limit + 1);
		if (n < 0)
			return n;
		if (n == 0) {
			if (len == 0)
				return -ENODATA;
			*line = b->data + b->begin;
			(*line)[len] = '\0'; /* there was room to read into */
			consume(s, len);
			return (ssize_t)len;
		}
	}
}

ssize_t weft_stream_read_line(weft_stream *s, char **line)
{
	int error = enter(s, READING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	ssize_t result = line != NULL ? read_line(stream, line) : -EINVAL;
	leave(&stream->in);
	return result;
}

static int skip_line(struct stream *s)
{
	struct buffer *b = &s->in;
	bool any = false;
	for (;;) {
		char *newline = find_newline(s, filled(b));
		if (newline != NULL) {
			consume(s, (size_t)(newline - b->data) - b->begin + 1);
			return 0;
		}
		any |= filled(b) > 0;
		consume(s, filled(b));
		ssize_t n = fill(b, STREAM_BYTES);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return any ? 0 : -ENODATA;
	}
}

int weft_stream_skip_line(weft_stream *s)
{
	int error = enter(s, READING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	int result = skip_line(stream);
	leave(&stream->in);
	return result;
}

/* At most one read. Without `to` the bytes are dropped. */
static ssize_t take(struct stream *s, char *to, size_t len)
{
	struct buffer *b = &s->in;
	if (filled(b) == 0) {
		if (to != NULL && len >= STREAM_BYTES)
			return weft_read(b->fd, to, len);
		ssize_t n = fill(b, STREAM_BYTES);
		if (n <= 0)
			return n;
	}
	len = smaller(len, filled(b));
	if (to != NULL)
		memcpy(to, b->data + b->begin, len);
	consume(s, len);
	return (ssize_t)len;
}

/* What is wrong with the memory that a transfer is given, if anything is. */
static int check_memory(const void *memory, size_t len)
{
	if (len > SSIZE_MAX)
		return -EINVAL;
	return memory == NULL && len > 0 ? -EFAULT : 0;
}

ssize_t weft_stream_read(weft_stream *s, void *buf, size_t len)
{
	int error = enter(s, READING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	ssize_t result = check_memory(buf, smaller(len, SSIZE_MAX));
	if (result == 0 && len > 0)
		result = take(stream, buf, len);
	leave(&stream->in);
	return result;
}

static ssize_t take_all(struct stream *s, char *to, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = take(s, to != NULL ? to + done : NULL, len - done);
		if (n < 0 && done == 0)
			return n;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t weft_stream_read_full(weft_stream *s, void *buf, size_t len)
{
	int error = enter(s, READING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	ssize_t result = check_memory(buf, len);
	if (result == 0)
		result = take_all(stream, buf, len);
	leave(&stream->in);
	return result;
}

ssize_t weft_stream_skip(weft_stream *s, size_t len)
{
	int error = enter(s, READING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	ssize_t result = len > SSIZE_MAX ? -EINVAL : take_all(stream, NULL, len);
	leave(&stream->in);
	return result;
}

static ssize_t peek(struct stream *s, size_t want)
{
	struct buffer *b = &s->in;
	if (want > s->limit)
		return -EMSGSIZE;
	while (filled(b) < want) {
		ssize_t n = fill(b, want);
		if (n < 0)
			return n;
		if (n == 0)
			break;
	}
	return (ssize_t)filled(b);
}

static ssize_t peek_buffered(struct stream *s, const char **data)
{
	if (s == NULL || data == NULL)
		return -EINVAL;
	/* ST-1 acquire; pair: leave(). */
	if (wf_load_acq32(&s->in.busy))
		return -EBUSY;
	*data = s->in.data != NULL ? s->in.data + s->in.begin : "";
	return (ssize_t)filled(&s->in);
}

ssize_t weft_stream_peek(weft_stream *s, const char **data, size_t want)
{
	struct stream *stream = (struct stream *)s;
	if (want == 0)
		return peek_buffered(stream, data);
	int error = enter(s, READING);
	if (error != 0)
		return error;
	ssize_t result = data != NULL ? peek(stream, want) : -EINVAL;
	if (result >= 0)
		*data = stream->in.data + stream->in.begin;
	leave(&stream->in);
	return result;
}

size_t weft_stream_buffered(const weft_stream *s)
{
	return s == NULL ? 0 : filled(&((const struct stream *)s)->in);
}

/* Writing */

/* The kernel has taken so many bytes of the buffer. */
static void written(struct buffer *b, size_t bytes)
{
	WF_ASSERT(bytes <= filled(b));
	b->begin += bytes;
	if (b->begin < b->end)
		return;
	b->begin = b->end = 0;
	if (b->cap > STREAM_BYTES)
		drop(b);
}

static int flush(struct buffer *b)
{
	while (filled(b) > 0) {
		ssize_t n = weft_write(b->fd, b->data + b->begin, filled(b));
		if (n <= 0)
			return n < 0 ? (int)n : -EIO; /* no progress, no reason: must not go on for ever */
		written(b, (size_t)n);
	}
	return 0;
}

/* Straight from the program's memory, behind what is in the buffer. */
static int write_through(struct stream *s, const char *from, size_t len)
{
	struct buffer *b = &s->out;
	while (len > 0) {
		size_t first = filled(b);
		struct iovec parts[2] = {
			{.iov_base = first > 0 ? b->data + b->begin : NULL, .iov_len = first},
			{.iov_base = (char *)from, .iov_len = smaller(len, WF_IO_BYTES_MAX / 2)},
		};
		ssize_t n = first > 0 ? weft_writev(b->fd, parts, 2)
				      : weft_write(b->fd, from, parts[1].iov_len);
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		size_t buffered = smaller((size_t)n, first), direct = (size_t)n - buffered;
		if (buffered > 0)
			written(b, buffered);
		from += direct;
		len -= direct;
		s->taken += direct;
	}
	return 0;
}

/* Room for `len` bytes without writing any. */
static size_t room(struct buffer *b)
{
	if (b->cap == 0)
		return STREAM_BYTES;
	move_to_front(b); /* begin is not 0 only after a flush that failed */
	return b->cap - b->end;
}

static int put(struct stream *s, const char *from, size_t len)
{
	struct buffer *b = &s->out;
	if (len > room(b)) {
		if (len >= STREAM_BYTES)
			return write_through(s, from, len);
		int error = flush(b);
		if (error != 0)
			return error;
	}
	if (b->cap == 0 && resize(b, STREAM_BYTES) != 0)
		return -ENOMEM;
	memcpy(b->data + b->end, from, len);
	b->end += len;
	s->taken += len;
	return 0;
}

int weft_stream_write(weft_stream *s, const void *buf, size_t len)
{
	int error = enter(s, WRITING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	int result = check_memory(buf, len);
	if (result == 0 && len > 0)
		result = put(stream, buf, len);
	leave(&stream->out);
	return result;
}

/* vsnprintf with a negative errno; errno stays. */
static int format_into(struct buffer *b, const char *format, va_list arguments)
{
	int before = wf_errno_load();
	va_list again;
	va_copy(again, arguments);
	int len = vsnprintf(b->data + b->end, b->cap - b->end, format, again);
	va_end(again);
	if (len < 0) {
		int reason = wf_errno_load();
		bool told = reason == EILSEQ || reason == EOVERFLOW || reason == ENOMEM;
		len = told ? -reason : -EINVAL;
	}
	wf_errno_store(before);
	return len;
}

static int print(struct stream *s, const char *format, va_list arguments)
{
	struct buffer *b = &s->out;
	for (;;) {
		if (room(b) == 0 || b->cap == 0) {
			int error = flush(b);
			if (error == 0 && b->cap == 0)
				error = resize(b, STREAM_BYTES);
			if (error != 0)
				return error;
		}
		int len = format_into(b, format, arguments);
		if (len < 0)
			return len;
		if ((size_t)len < b->cap - b->end) { /* with its closing 0 */
			b->end += (size_t)len;
			s->taken += (size_t)len;
			return len;
		}
		int error = flush(b);
		if (error == 0 && (size_t)len >= b->cap)
			error = resize(b, (size_t)len < STREAM_BYTES ? STREAM_BYTES : (size_t)len + 1);
		if (error != 0)
			return error;
	}
}

int weft_stream_vprintf(weft_stream *s, const char *format, va_list arguments)
{
	int error = enter(s, WRITING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	int result = format != NULL ? print(stream, format, arguments) : -EINVAL;
	leave(&stream->out);
	return result;
}

int weft_stream_printf(weft_stream *s, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int result = weft_stream_vprintf(s, format, arguments);
	va_end(arguments);
	return result;
}

int weft_stream_flush(weft_stream *s)
{
	int error = enter(s, WRITING);
	if (error != 0)
		return error;
	struct stream *stream = (struct stream *)s;
	int result = flush(&stream->out);
	leave(&stream->out);
	return result;
}

uint64_t weft_stream_written(const weft_stream *s)
{
	return s == NULL ? 0 : ((const struct stream *)s)->taken;
}

size_t weft_stream_unflushed(const weft_stream *s)
{
	return s == NULL ? 0 : filled(&((const struct stream *)s)->out);
}
