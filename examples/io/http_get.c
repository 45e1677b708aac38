/* SPDX-License-Identifier: MIT */
/* http_get.c - fetches a page or a file by HTTP/1.1
 *
 * Shows    weft_dial with a name; a buffered stream for the lines and the body of an answer, with a
 *          limit on the length of a line; a time limit on the whole and one on silence; an answer
 *          from the world, checked and bounded: redirects, header lines, sizes
 * Build    cc http_get.c $(pkg-config --cflags --libs weft) -o http_get
 * Run      ./http_get http://example.org/          ./http_get -o page.html http://example.org/
 * In tree  bazel run //examples/io:http_get -- http://example.org/
 * Ends     with 0; 1: no answer, or a broken one; 2: wrong usage; 3: the server answers with an
 *          error. FILE is made only when all of the body has come
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <weft/weft.h>

#define SILENCE (20 * WEFT_SEC) /* a server that says nothing for so long is given up */
#define REDIRECTS_MAX 5
#define HEADERS_MAX 100
#define LINE_MAX_BYTES 8192
#define BLOCK 65536

struct url {
	char host[256]; /* as it stands there: name, name:port or [v6]:port */
	char path[2048];
};

struct fetch {
	const char *text;
	const char *output; /* NULL: stdout */
	weft_ns limit;
	int64_t bytes_max;
	int out;
	weft_ns ends_at;
	int64_t bytes; /* of the body, so far */
	struct url url;
};

/* What the head of an answer says. */
struct answer {
	int status;
	bool chunked;
	int64_t length;	     /* -1: to the end of the connection */
	char location[2048]; /* empty: none */
};

/* -EINVAL: not http, or too long, or with characters that would break the request. */
static int parse_url(struct url *url, const char *text)
{
	static const char scheme[] = "http://";

	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
		return -EINVAL;
	text += sizeof(scheme) - 1;
	size_t host = strcspn(text, "/?#");
	size_t path = strcspn(text + host, "#");
	if (host == 0 || host >= sizeof(url->host) || path + 2 > sizeof(url->path) ||
		memchr(text, '@', host))
		return -EINVAL;
	for (size_t i = 0; i < host + path; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return -EINVAL;
	snprintf(url->host, sizeof(url->host), "%.*s", (int)host, text);
	snprintf(url->path, sizeof(url->path), "%s%.*s", text[host] == '/' ? "" : "/", (int)path,
		text + host);
	return 0;
}

/* The silence is measured anew for each piece, the whole is not. */
static void expect_more(const struct fetch *fetch)
{
	weft_ns silent_at = weft_after(SILENCE);

	weft_deadline(silent_at < fetch->ends_at ? silent_at : fetch->ends_at);
}

/* A line without its end. -EPROTO where the connection ends before it. */
static int read_line(const struct fetch *fetch, weft_stream *stream, char **line)
{
	expect_more(fetch);
	ssize_t length = weft_stream_read_line(stream, line);

	if (length < 0)
		return length == -ENODATA ? -EPROTO : (int)length;
	if (length > 0 && (*line)[length - 1] == '\r')
		(*line)[length - 1] = '\0';
	return 0;
}

/* A number with nothing but white space behind it, or -1. */
static int64_t parse_number(const char *text, int base)
{
	char *rest;

	errno = 0;
	long long number = strtoll(text, &rest, base);
	rest += strspn(rest, " \t");
	if (errno != 0 || rest == text || number < 0 || *text == '-' || *text == '+' || *rest != '\0')
		return -1;
	return number;
}

static int read_header(struct answer *answer, const char *line)
{
	const char *value = strchr(line, ':');

	if (!value)
		return -EPROTO;
	size_t name = (size_t)(value - line);
	value += 1 + strspn(value + 1, " \t");
	if (name == 14 && strncasecmp(line, "content-length", name) == 0) {
		answer->length = parse_number(value, 10);
		return answer->length < 0 ? -EPROTO : 0;
	}
	if (name == 17 && strncasecmp(line, "transfer-encoding", name) == 0) {
		answer->chunked = strncasecmp(value, "chunked", 7) == 0;
		return answer->chunked ? 0 : -EPROTONOSUPPORT;
	}
	if (name == 8 && strncasecmp(line, "location", name) == 0) {
		if (strlen(value) >= sizeof(answer->location))
			return -EMSGSIZE;
		snprintf(answer->location, sizeof(answer->location), "%s", value);
	}
	return 0;
}

static int read_head(const struct fetch *fetch, weft_stream *stream, struct answer *answer)
{
	char *line;

	do { /* 1xx: the answer is still to come */
		*answer = (struct answer){.length = -1};
		int error = read_line(fetch, stream, &line);
		if (error < 0)
			return error;
		if (strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12 || line[8] != ' ')
			return -EPROTO;
		answer->status = atoi(line + 9);
		for (int count = 0;; count++) {
			error = read_line(fetch, stream, &line);
			if (error == 0 && *line == '\0')
				break;
			if (error == 0)
				error = count < HEADERS_MAX ? read_header(answer, line) : -EMSGSIZE;
			if (error < 0)
				return error;
		}
	} while (answer->status < 200 && answer->status != 101);
	if (answer->status == 204 || answer->status == 304)
		answer->length = 0;
	return 0;
}

/* All of it: weft_write_full() says how far it came, and this what stopped it. */
static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = weft_write(fd, data, length);
		if (n < 0)
			return (int)n;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* @length bytes of the body, or all there are when it is negative. */
static int copy_body(struct fetch *fetch, weft_stream *stream, char *block, int64_t length)
{
	while (length != 0) {
		size_t want = length < 0 || length > BLOCK ? BLOCK : (size_t)length;
		expect_more(fetch);
		ssize_t n = weft_stream_read(stream, block, want);
		if (n <= 0)
			return n < 0 ? (int)n : length < 0 ? 0 : -EPROTO;
		fetch->bytes += n;
		if (fetch->bytes > fetch->bytes_max)
			return -EOVERFLOW;
		expect_more(fetch);
		int error = write_all(fetch->out, block, (size_t)n);
		if (error < 0)
			return error;
		if (length > 0)
			length -= n;
	}
	return 0;
}

static int copy_chunks(struct fetch *fetch, weft_stream *stream, char *block)
{
	char *line;

	for (;;) {
		int error = read_line(fetch, stream, &line);
		if (error < 0)
			return error;
		line[strcspn(line, ";")] = '\0'; /* extensions mean nothing here */
		int64_t length = parse_number(line, 16);
		if (length < 0)
			return -EPROTO;
		if (length == 0)
			break;
		error = copy_body(fetch, stream, block, length);
		if (error == 0)
			error = read_line(fetch, stream, &line);
		if (error < 0 || *line != '\0')
			return error < 0 ? error : -EPROTO;
	}
	for (int count = 0; count < HEADERS_MAX; count++) {
		int error = read_line(fetch, stream, &line);
		if (error < 0 || *line == '\0')
			return error;
	}
	return -EMSGSIZE;
}

static int ask(struct fetch *fetch, weft_stream *stream, struct answer *answer)
{
	int error = weft_stream_printf(stream,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weft\r\nAccept: */*\r\n"
		"Connection: close\r\n\r\n",
		fetch->url.path, fetch->url.host);

	if (error >= 0)
		error = weft_stream_flush(stream);
	if (error >= 0)
		error = read_head(fetch, stream, answer);
	if (error < 0 || answer->status / 100 != 2)
		return error; /* the body of a redirect or an error is not what was asked for */
	char *block = malloc(BLOCK);
	if (!block)
		return -ENOMEM;
	error = answer->chunked ? copy_chunks(fetch, stream, block)
				: copy_body(fetch, stream, block, answer->length);
	free(block);
	return error;
}

/* One request, on a connection of its own. */
static int fetch_once(struct fetch *fetch, struct answer *answer)
{
	char address[sizeof(fetch->url.host) + 4];
	const char *colon = strrchr(fetch->url.host, ':');
	bool has_port = colon && !strchr(colon, ']');
	weft_stream stream;

	snprintf(address, sizeof(address), "%s%s", fetch->url.host, has_port ? "" : ":80");
	expect_more(fetch);
	int fd = weft_dial(address);
	if (fd < 0)
		return fd;
	weft_stream_init(&stream, fd);
	weft_stream_limit(&stream, LINE_MAX_BYTES);
	int error = ask(fetch, &stream, answer);
	weft_stream_free(&stream);
	weft_close(fd);
	return error;
}

/* To another URL, or to another path of the same host. */
static int follow(struct fetch *fetch, const char *location)
{
	if (*location == '/' && location[1] != '/') {
		if (strlen(location) >= sizeof(fetch->url.path) || strpbrk(location, " \t"))
			return -EINVAL;
		snprintf(fetch->url.path, sizeof(fetch->url.path), "%.*s",
			(int)strcspn(location, "#"), location);
		return 0;
	}
	return parse_url(&fetch->url, location);
}

/* Returns the last status, or an error. */
static int fetch_all(struct fetch *fetch)
{
	struct answer answer;

	for (int count = 0; count <= REDIRECTS_MAX; count++) {
		int error = fetch_once(fetch, &answer);
		if (error < 0)
			return error;
		if (answer.status / 100 != 3 || *answer.location == '\0')
			return answer.status;
		error = follow(fetch, answer.location);
		if (error < 0) {
			fprintf(stderr, "http_get: cannot follow to %s\n", answer.location);
			return error;
		}
	}
	return -ELOOP;
}

/* Into a file with another name, which gets its own when it is complete. */
static int fetch_to_file(struct fetch *fetch)
{
	size_t room = strlen(fetch->output) + 32;
	char *part = malloc(room);

	if (!part)
		return -ENOMEM;
	snprintf(part, room, "%s.part%ld", fetch->output, (long)getpid());
	fetch->out = weft_openat(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int result = fetch->out;
	if (fetch->out >= 0) {
		result = fetch_all(fetch);
		weft_deadline(WEFT_FOREVER); /* whatever has failed: clean up */
		int error = weft_close(fetch->out);
		if (error == 0 && result / 100 == 2)
			error = weft_renameat(AT_FDCWD, part, AT_FDCWD, fetch->output);
		if (error < 0 || result / 100 != 2)
			weft_unlinkat(AT_FDCWD, part, 0);
		result = error < 0 ? error : result;
	}
	free(part);
	return result;
}

static void *start(void *arg)
{
	struct fetch *fetch = arg;

	fetch->ends_at = weft_after(fetch->limit);
	int result = fetch->output ? fetch_to_file(fetch) : fetch_all(fetch);
	return (void *)(intptr_t)result;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: http_get [-o FILE] [--seconds N] [--max BYTES] URL\n"
		"  URL          http://HOST[:PORT][/PATH]\n"
		"  -o FILE      where to put the body (stdout)\n"
		"  --seconds N  give up after so long (300)\n"
		"  --max BYTES  give up on a longer body (1073741824)\n");
	return status;
}

static int report(const struct fetch *fetch, int result)
{
	const char *why = strerror(-result);

	if (result / 100 == 2)
		return 0;
	if (result >= 0) {
		fprintf(stderr, "http_get: %s: the server answers %d\n", fetch->text, result);
		return 3;
	}
	if (result == -EPROTO)
		why = "the answer is broken, or ends early";
	else if (result == -EMSGSIZE)
		why = "the head of the answer is too long";
	else if (result == -EOVERFLOW)
		why = "the body is longer than --max";
	else if (result == -ELOOP)
		why = "too many redirects";
	else if (result == -ENOENT)
		why = "no such host, or no directory for FILE";
	fprintf(stderr, "http_get: %s: %s\n", fetch->text, why);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"seconds", required_argument, NULL, 's'},
		{"max", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	struct fetch fetch = {.out = 1, .bytes_max = INT64_C(1) << 30};
	int64_t seconds = 300;
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (option == 'o')
			fetch.output = optarg;
		else if (option == 's')
			seconds = parse_number(optarg, 10);
		else if (option == 'm')
			fetch.bytes_max = parse_number(optarg, 10);
		else
			return usage(option == 'h' ? 0 : 2);
	}
	if (optind != argc - 1 || seconds < 1 || seconds > 1000000 || fetch.bytes_max < 0)
		return usage(2);
	fetch.text = argv[optind];
	fetch.limit = seconds * WEFT_SEC;
	if (parse_url(&fetch.url, fetch.text) < 0) {
		fprintf(stderr, "http_get: %s: not a URL of the kind http://HOST/PATH\n", fetch.text);
		return 2;
	}
	int error = weft_run(NULL, start, &fetch, &result);
	return report(&fetch, error < 0 ? error : (int)(intptr_t)result);
}
