/* SPDX-License-Identifier: MIT */
/* framing.c - see framing.h */
#include "tools/httpd/framing.h"

#include <string.h>

/* Classes of bytes (RFC 9110, 5.5 and 5.6.2). */
#define TOKEN 1u
#define VALUE 2u /* may stand in a header value or, tab apart, in the request line */

static const uint8_t classes[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['"'] = VALUE,
	['('] = VALUE,
	[')'] = VALUE,
	[','] = VALUE,
	['/'] = VALUE,
	[':'] = VALUE,
	[';'] = VALUE,
	['<'] = VALUE,
	['='] = VALUE,
	['>'] = VALUE,
	['?'] = VALUE,
	['@'] = VALUE,
	['['] = VALUE,
	['\\'] = VALUE,
	[']'] = VALUE,
	['{'] = VALUE,
	['}'] = VALUE,
	['!'] = TOKEN | VALUE,
	['#' ... '\''] = TOKEN | VALUE,
	['*'] = TOKEN | VALUE,
	['+'] = TOKEN | VALUE,
	['-'] = TOKEN | VALUE,
	['.'] = TOKEN | VALUE,
	['0' ... '9'] = TOKEN | VALUE,
	['A' ... 'Z'] = TOKEN | VALUE,
	['^' ... 'z'] = TOKEN | VALUE,
	['|'] = TOKEN | VALUE,
	['~'] = TOKEN | VALUE,
	[0x80 ... 0xff] = VALUE,
};

/* A chunk size of 15 digits cannot overflow what is added to it. */
#define CHUNK_DIGITS_MAX 15u

static bool is_class(char byte, uint8_t class)
{
	return (classes[(unsigned char)byte] & class) != 0;
}

void framing_start(struct framing_scan *scan)
{
	memset(scan, 0, sizeof(*scan));
	scan->state = FRAMING_BEFORE_LINE;
}

void framing_start_chunked(struct framing_scan *scan)
{
	scan->chunk_left = 0;
	scan->body = 0;
	scan->overhead = 0;
	scan->digits = 0;
	scan->state = FRAMING_CHUNK_SIZE;
}

/* The next byte of the request line: its characters, and how long it may be. */
static enum framing request_line_byte(struct framing_scan *scan, const struct limits *limits, char byte)
{
	if (byte == '\r') {
		scan->state = FRAMING_LINE_LF;
		return FRAMING_MORE;
	}
	if (!is_class(byte, VALUE) || byte == '\t')
		return FRAMING_BAD_REQUEST;
	if (++scan->line > limits->request_line)
		return FRAMING_TARGET_TOO_LONG;
	return FRAMING_MORE;
}

/* The next byte of a header or trailer line. */
static enum framing field_byte(struct framing_scan *scan, const struct limits *limits, char byte)
{
	if (++scan->section > limits->header_bytes)
		return FRAMING_HEADER_TOO_LARGE;
	switch (scan->state) {
	case FRAMING_FIELD_START:
		if (byte == '\r') {
			scan->state = FRAMING_LAST_LF;
			return FRAMING_MORE;
		}
		if (!is_class(byte, TOKEN))
			return FRAMING_BAD_REQUEST;
		if (++scan->fields > limits->headers)
			return FRAMING_HEADER_TOO_LARGE;
		scan->state = FRAMING_FIELD_NAME;
		return FRAMING_MORE;
	case FRAMING_FIELD_NAME:
		if (byte == ':')
			scan->state = FRAMING_FIELD_VALUE;
		else if (!is_class(byte, TOKEN))
			return FRAMING_BAD_REQUEST;
		return FRAMING_MORE;
	default:
		if (byte == '\r')
			scan->state = FRAMING_LINE_LF;
		else if (!is_class(byte, VALUE))
			return FRAMING_BAD_REQUEST;
		return FRAMING_MORE;
	}
}

/* The byte behind a CR. */
static enum framing line_feed(struct framing_scan *scan, char byte, enum framing_state next)
{
	if (byte != '\n')
		return FRAMING_BAD_REQUEST;
	scan->state = (uint8_t)next;
	return FRAMING_MORE;
}

/* The next byte of a header, or of the trailer of a chunked body. */
static enum framing header_byte(struct framing_scan *scan, const struct limits *limits, char byte)
{
	switch ((enum framing_state)scan->state) {
	case FRAMING_BEFORE_LINE:
		if (byte == '\r') {
			scan->state = FRAMING_EMPTY_LINE_LF;
			return FRAMING_MORE;
		}
		scan->state = FRAMING_REQUEST_LINE;
		return request_line_byte(scan, limits, byte);
	case FRAMING_EMPTY_LINE_LF:
		return line_feed(scan, byte, FRAMING_LINE_START);
	case FRAMING_LINE_START:
		if (byte == '\r')
			return FRAMING_BAD_REQUEST;
		scan->state = FRAMING_REQUEST_LINE;
		return request_line_byte(scan, limits, byte);
	case FRAMING_REQUEST_LINE:
		return request_line_byte(scan, limits, byte);
	case FRAMING_LINE_LF:
		return line_feed(scan, byte, FRAMING_FIELD_START);
	case FRAMING_LAST_LF:
		return byte == '\n' ? FRAMING_END : FRAMING_BAD_REQUEST;
	case FRAMING_FIELD_START:
	case FRAMING_FIELD_NAME:
	case FRAMING_FIELD_VALUE:
		return field_byte(scan, limits, byte);
	case FRAMING_CHUNK_SIZE:
	case FRAMING_CHUNK_EXTENSION:
	case FRAMING_CHUNK_SIZE_LF:
	case FRAMING_CHUNK_DATA:
	case FRAMING_CHUNK_DATA_CR:
	case FRAMING_CHUNK_DATA_LF:
		break;
	}
	return FRAMING_BAD_REQUEST;
}

enum framing framing_header(struct framing_scan *scan, const struct limits *limits,
	const char *data, size_t len, size_t *used)
{
	enum framing found = FRAMING_MORE;
	size_t i = 0;

	while (i < len && found == FRAMING_MORE)
		found = header_byte(scan, limits, data[i++]);
	*used = i;
	return found;
}

static int hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	if (byte >= 'A' && byte <= 'F')
		return byte - 'A' + 10;
	return -1;
}

/* The next byte of a chunk's size. */
static enum framing chunk_size_byte(struct framing_scan *scan, char byte)
{
	int digit = hex_digit(byte);

	if (digit >= 0) {
		if (++scan->digits > CHUNK_DIGITS_MAX)
			return FRAMING_BAD_REQUEST;
		scan->chunk_left = scan->chunk_left * 16 + (uint64_t)digit;
		return FRAMING_MORE;
	}
	if (scan->digits == 0)
		return FRAMING_BAD_REQUEST;
	if (byte == '\r')
		scan->state = FRAMING_CHUNK_SIZE_LF;
	else if (byte == ';')
		scan->state = FRAMING_CHUNK_EXTENSION;
	else
		return FRAMING_BAD_REQUEST;
	return FRAMING_MORE;
}

/* The LF behind a chunk's size: data follows, or, behind size 0, the trailer. */
static enum framing chunk_begins(struct framing_scan *scan, const struct limits *limits, char byte)
{
	if (byte != '\n')
		return FRAMING_BAD_REQUEST;
	scan->digits = 0;
	scan->state = scan->chunk_left ? FRAMING_CHUNK_DATA : FRAMING_FIELD_START;
	scan->body += scan->chunk_left;
	return scan->body > limits->body ? FRAMING_BODY_TOO_LARGE : FRAMING_MORE;
}

/* The next byte of a chunked body that is not data. */
static enum framing chunk_byte(struct framing_scan *scan, const struct limits *limits, char byte)
{
	if (++scan->overhead > limits->body + HTTPD_CHUNK_FRAMING_BYTES)
		return FRAMING_BODY_TOO_LARGE;
	switch (scan->state) {
	case FRAMING_CHUNK_SIZE:
		return chunk_size_byte(scan, byte);
	case FRAMING_CHUNK_EXTENSION:
		if (byte == '\r')
			scan->state = FRAMING_CHUNK_SIZE_LF;
		else if (!is_class(byte, VALUE))
			return FRAMING_BAD_REQUEST;
		return FRAMING_MORE;
	case FRAMING_CHUNK_SIZE_LF:
		return chunk_begins(scan, limits, byte);
	case FRAMING_CHUNK_DATA_CR:
		scan->state = FRAMING_CHUNK_DATA_LF;
		return byte == '\r' ? FRAMING_MORE : FRAMING_BAD_REQUEST;
	case FRAMING_CHUNK_DATA_LF:
		return line_feed(scan, byte, FRAMING_CHUNK_SIZE);
	default:
		return header_byte(scan, limits, byte);
	}
}

enum framing framing_chunked(struct framing_scan *scan, const struct limits *limits,
	const char *data, size_t len, size_t *used)
{
	enum framing found = FRAMING_MORE;
	size_t i = 0;

	while (i < len && found == FRAMING_MORE) {
		if (scan->state == FRAMING_CHUNK_DATA) {
			size_t step = len - i < scan->chunk_left ? len - i : (size_t)scan->chunk_left;

			i += step;
			scan->chunk_left -= step;
			if (scan->chunk_left == 0)
				scan->state = FRAMING_CHUNK_DATA_CR;
		} else {
			found = chunk_byte(scan, limits, data[i++]);
		}
	}
	*used = i;
	return found;
}
