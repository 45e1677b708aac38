/* SPDX-License-Identifier: MIT */
/* consumer.c - one generator hands out the lines of a file, another takes them
 *
 * Shows    a body that reads: the fiber that resumes it parks meanwhile; generators and fibers
 * Build    cc consumer.c $(pkg-config --cflags --libs weft) -o consumer
 * Run      ./consumer FILE
 * In tree  bazel run //examples/seed:consumer -- FILE
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/fs.h>
#include <weft/gen.h>
#include <weft/io.h>
#include <weft/runtime.h>
#include <weft/stream.h>

/* With its newline, if it has one. */
struct line {
	const char *text;
	size_t length;
};

static void *consumer(void *arg)
{
	void *sent = NULL;
	int error;

	(void)arg;
	while ((error = weft_gen_yield(NULL, &sent)) == 0) {
		const struct line *line = sent;
		for (size_t i = 0; i < line->length; i++)
			putchar(toupper((unsigned char)line->text[i]));
		putchar('\n');
	}
	return weft_gen_raise(error, sent);
}

/* The next line, still in the stream's buffer. Its length, 0 at the end of the file, or an error. */
static ssize_t peek_line(weft_stream *f, struct line *line)
{
	const char *newline = NULL;
	size_t want = 1;

	for (;;) {
		ssize_t got = weft_stream_peek(f, &line->text, want);
		if (got < 0)
			return got;
		newline = memchr(line->text, '\n', (size_t)got);
		line->length = newline ? (size_t)(newline - line->text) + 1 : (size_t)got;
		if (newline || (size_t)got < want)
			return (ssize_t)line->length;
		want = (size_t)got + 1;
	}
}

static void *producer(void *arg)
{
	const char *filename = arg;
	weft_stream f;
	struct line line;
	int i = 0, fd = weft_openat(AT_FDCWD, filename, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return weft_gen_raise(fd, NULL);
	ssize_t n = weft_stream_init(&f, fd);
	while (n >= 0 && (n = peek_line(&f, &line)) > 0) {
		n = weft_gen_yield(&line, NULL);
		if (n < 0)
			break;
		printf("processed line %d\n", i++);
		n = weft_stream_skip(&f, line.length);
	}
	weft_stream_free(&f);
	weft_close(fd);
	return n < 0 ? weft_gen_raise((int)n, NULL) : NULL;
}

static void *start(void *arg)
{
	weft_gen *c, *lines = NULL;
	int error = weft_gen_new_primed(&c, consumer, NULL);

	if (error == 0)
		error = weft_gen_new(&lines, producer, arg);
	if (error == 0) {
		WEFT_GEN_EACH(lines, line) {
			error = weft_gen_send(c, line, NULL);
			if (error != 0)
				break;
		}
		if (error == 0)
			error = weft_gen_error(lines, NULL);
	}
	weft_gen_free(lines);
	weft_gen_free(c);
	return (void *)(intptr_t)error;
}

int main(int argc, char **argv)
{
	void *result = NULL;

	if (argc != 2) {
		fprintf(stderr, "usage: consumer FILE\n");
		return 2;
	}
	int error = weft_run(NULL, start, argv[1], &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "consumer: %s: %s\n", argv[1], strerror(-error));
	return error != 0;
}
