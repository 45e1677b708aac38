/* SPDX-License-Identifier: MIT */
/* response.h - reading HTTP responses, and checking them
 *
 * What   response_feed() takes bytes in pieces of any size and says when one response is complete,
 *        and whether it is what was wanted: sound, of the length it told, with the content
 *        expected. http_parser reads; what it would let pass without end is bounded here.
 * Rules  nothing of a body is kept; a body longer than the bound, or more than RESPONSE_INTERIM_MAX
 *        interim responses (1xx), end the reading. Headers are bounded by http_parser (80 KiB).
 * Tests  tests/http/response_test.cc
 */
#ifndef TOOLS_LOAD_RESPONSE_H
#define TOOLS_LOAD_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <http_parser.h>

/* A server may send 100 or 103 before the response; more than a few is no response. */
#define RESPONSE_INTERIM_MAX 8u

struct response_rules {
	bool head;	    /* the request is HEAD: no body follows */
	const char *expect; /* what the body must be, or NULL: anything */
	size_t expect_len;
	uint64_t body_max;
};

enum response_event { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_BAD_PARSE, RESPONSE_BAD_BODY };

struct response {
	const struct response_rules *rules;
	http_parser parser;
	uint64_t body; /* bytes of it so far */
	unsigned interim;
	uint16_t status;
	bool keep_alive; /* another response may follow on this connection */
	bool started;
	bool complete;
	bool wrong_body;
};

/* Makes ready for the next response. */
void response_start(struct response *response, const struct response_rules *rules);

/* Reads on. *used: how many of the bytes belong to this response. */
enum response_event response_feed(struct response *response, const char *data, size_t len, size_t *used);

/* The connection has ended: RESPONSE_DONE if that completes the response, RESPONSE_MORE if nothing
 * of it had come, else what is wrong. */
enum response_event response_end(struct response *response);

#endif
