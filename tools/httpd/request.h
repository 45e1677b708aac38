/* SPDX-License-Identifier: MIT */
/* request.h - one HTTP/1.x request, read from bytes as they come
 *
 * What   request_feed() takes bytes in pieces of any size and says when a header is complete, when
 *        the request is, or why it is refused. framing.c finds the ends, http_parser reads the
 *        meaning; where the two disagree the request is refused.
 * Owns   the target when it is too long to be kept inside; request_start() and request_end()
 *        release it.
 * Rules  R1 a request is refused (REQUEST_BAD, status) at the first byte that shows it; after that
 *           the connection must end, because where the next request starts is unknown.
 *        R2 a body has one length: one Content-Length of digits, or "Transfer-Encoding: chunked",
 *           never both, neither twice.
 *        R3 nothing of a body is kept.
 * Tests  tests/http/request_test.cc
 */
#ifndef TOOLS_HTTPD_REQUEST_H
#define TOOLS_HTTPD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <http_parser.h>

#include "tools/httpd/framing.h"
#include "tools/httpd/limits.h"

enum request_event {
	REQUEST_MORE, /* all bytes taken, the request goes on */
	REQUEST_HEAD, /* the header is complete and a body follows */
	REQUEST_DONE, /* the request is complete */
	REQUEST_BAD,  /* refuse it with request.status and end the connection */
};

enum request_phase { REQUEST_IN_HEADER, REQUEST_IN_LENGTH_BODY, REQUEST_IN_CHUNKED_BODY };

/* The header fields that mean something to this server. */
enum request_field {
	FIELD_OTHER,
	FIELD_HOST,
	FIELD_EXPECT,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_IF_MODIFIED_SINCE,
};

/* Room for the longest name and value looked at, and one more to see that one is longer. */
#define REQUEST_NAME_BYTES 20u
#define REQUEST_VALUE_BYTES 40u

struct request {
	/* What the header said; valid from REQUEST_HEAD or REQUEST_DONE until request_start(). */
	const char *target;
	uint32_t target_len;
	uint16_t status; /* 200, or what the server cannot do: 405, 417, ... */
	uint8_t minor;	 /* of HTTP/1.x */
	bool head;	 /* HEAD: the response has no body */
	bool keep_alive;
	bool expects_continue; /* the client may wait for a word before it sends the body */
	bool started;	       /* any byte of it was seen */
	char if_modified_since[REQUEST_VALUE_BYTES];

	/* How far reading is. */
	uint8_t phase; /* enum request_phase */
	bool complete; /* http_parser's view */
	bool refused;  /* by one of our callbacks, with status */
	bool value_seen;
	uint8_t name_len, value_len, hosts, lengths, encodings;
	uint64_t body_left;
	const struct limits *limits;
	struct framing_scan scan;
	http_parser parser;
	char name[REQUEST_NAME_BYTES];
	char value[REQUEST_VALUE_BYTES];
	char inline_target[HTTPD_INLINE_TARGET_BYTES];
	char *heap_target;
};

void request_init(struct request *request, const struct limits *limits);
/* Makes ready for the next request. */
void request_start(struct request *request);
void request_end(struct request *request);

/* Reads on. *used: how many of the bytes belong to this request; the rest is the next one's. */
enum request_event request_feed(struct request *request, const char *data, size_t len, size_t *used);

/* True while the header is not complete. */
static inline bool request_in_header(const struct request *request)
{
	return request->phase == REQUEST_IN_HEADER;
}

#endif
