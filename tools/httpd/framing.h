/* SPDX-License-Identifier: MIT */
/* framing.h - where a request ends: the strict reading of its lines
 *
 * What   Scanners that walk over the bytes of a request's header, and of a chunked body, before
 *        http_parser sees them. They find the end and enforce the limits; http_parser then says
 *        what the bytes mean.
 * Why    Debian's libhttp_parser is built with its lenient switch: it accepts "name : value",
 *        folded lines, a bare LF, and anything in place of the CRLF around a chunk. Each of these
 *        is a way to make two servers see two different requests in the same bytes (request
 *        smuggling), so here each is an error.
 * Rules  F1 every line ends in CRLF; no other CR or LF, no NUL or other control character, stands
 *           anywhere outside chunk data (a tab may stand in a value).
 *        F2 a header line starts with a token followed by its colon: no fold, no space before the
 *           colon.
 *        F3 a chunk size is 1 to 15 hexadecimal digits; data is followed by CRLF.
 *        F4 limits are checked before a byte is passed on, so nothing is kept of what exceeds them.
 *        F5 a scanner stops behind the last byte of its section and never looks further.
 * Tests  tests/http/framing_test.cc
 */
#ifndef TOOLS_HTTPD_FRAMING_H
#define TOOLS_HTTPD_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/httpd/limits.h"

/* What a scanner found: FRAMING_MORE, FRAMING_END, or the status to refuse the request with. */
enum framing {
	FRAMING_MORE = 0,
	FRAMING_END = 1,
	FRAMING_BAD_REQUEST = 400,
	FRAMING_BODY_TOO_LARGE = 413,
	FRAMING_TARGET_TOO_LONG = 414,
	FRAMING_HEADER_TOO_LARGE = 431,
};

enum framing_state {
	FRAMING_BEFORE_LINE, /* of the request; one empty line may come first (RFC 9112, 2.2) */
	FRAMING_EMPTY_LINE_LF,
	FRAMING_LINE_START,
	FRAMING_REQUEST_LINE,
	FRAMING_FIELD_START,
	FRAMING_FIELD_NAME,
	FRAMING_FIELD_VALUE,
	FRAMING_LINE_LF,
	FRAMING_LAST_LF,
	FRAMING_CHUNK_SIZE,
	FRAMING_CHUNK_EXTENSION,
	FRAMING_CHUNK_SIZE_LF,
	FRAMING_CHUNK_DATA,
	FRAMING_CHUNK_DATA_CR,
	FRAMING_CHUNK_DATA_LF,
};

struct framing_scan {
	uint64_t chunk_left; /* data bytes of this chunk still to come */
	uint64_t body;	     /* data bytes promised so far */
	uint64_t overhead;   /* all other bytes of a chunked body */
	uint32_t line;	     /* bytes of the request line */
	uint32_t section;    /* bytes of the header lines */
	uint16_t fields;
	uint8_t digits; /* of the chunk size */
	uint8_t state;	/* enum framing_state */
};

/* Starts at the first byte of a request. */
void framing_start(struct framing_scan *scan);
/* Starts at the first byte of a chunked body; the counts of the header stay, as trailers add to
 * them. */
void framing_start_chunked(struct framing_scan *scan);

/* Walk on over len bytes; *used says how many belong to the section. */
enum framing framing_header(struct framing_scan *scan, const struct limits *limits,
	const char *data, size_t len, size_t *used);
enum framing framing_chunked(struct framing_scan *scan, const struct limits *limits,
	const char *data, size_t len, size_t *used);

#endif
