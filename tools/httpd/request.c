/* SPDX-License-Identifier: MIT */
/* request.c - see request.h */
#include "tools/httpd/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Content-Length of at most this many digits fits 64 bits. */
#define LENGTH_DIGITS_MAX 18u

void request_init(struct request *request, const struct limits *limits)
{
	memset(request, 0, sizeof(*request));
	request->limits = limits;
	request_start(request);
}

void request_start(struct request *request)
{
	free(request->heap_target);
	request->heap_target = NULL;
	request->target = request->inline_target;
	request->target_len = 0;
	request->status = 200;
	request->minor = 1;
	request->head = false;
	request->keep_alive = false;
	request->expects_continue = false;
	request->started = false;
	request->refused = false;
	request->if_modified_since[0] = '\0';
	request->phase = REQUEST_IN_HEADER;
	request->complete = false;
	request->value_seen = false;
	request->name_len = 0;
	request->value_len = 0;
	request->hosts = 0;
	request->lengths = 0;
	request->encodings = 0;
	request->body_left = 0;
	framing_start(&request->scan);
	http_parser_init(&request->parser, HTTP_REQUEST);
	request->parser.data = request;
}

void request_end(struct request *request)
{
	free(request->heap_target);
	request->heap_target = NULL;
}

/* Refuses the request; as the result of a callback it stops http_parser. */
static int refuse(struct request *request, unsigned status)
{
	request->refused = true;
	request->status = (uint16_t)status;
	return -1;
}

static int on_url(http_parser *parser, const char *text, size_t len)
{
	struct request *request = parser->data;
	size_t total = request->target_len + len; /* at most limits.request_line: framing counted it */

	if (total > sizeof(request->inline_target) && !request->heap_target) {
		char *heap = malloc(request->limits->request_line);

		if (!heap)
			return refuse(request, 503);
		memcpy(heap, request->inline_target, request->target_len);
		request->heap_target = heap;
		request->target = heap;
	}
	memcpy((request->heap_target ? request->heap_target : request->inline_target) + request->target_len,
		text, len);
	request->target_len = (uint32_t)total;
	return 0;
}

/* Appends to a buffer of which one byte stays free; what is longer is cut there, and no match. */
static uint8_t append(char *buffer, size_t size, uint8_t at, const char *text, size_t len)
{
	size_t room = size - 1 - at;
	size_t taken = len < room ? len : room;

	memcpy(buffer + at, text, taken);
	return (uint8_t)(at + taken);
}

static enum request_field field_of(const struct request *request)
{
	static const struct {
		const char *name;
		enum request_field field;
	} known[] = {
		{"host", FIELD_HOST},
		{"expect", FIELD_EXPECT},
		{"content-length", FIELD_CONTENT_LENGTH},
		{"transfer-encoding", FIELD_TRANSFER_ENCODING},
		{"if-modified-since", FIELD_IF_MODIFIED_SINCE},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == request->name_len &&
			strncasecmp(known[i].name, request->name, request->name_len) == 0)
			return known[i].field;
	return FIELD_OTHER;
}

static bool value_is(const struct request *request, const char *text)
{
	return strlen(text) == request->value_len &&
		strncasecmp(text, request->value, request->value_len) == 0;
}

static bool is_length(const struct request *request)
{
	if (request->value_len == 0 || request->value_len > LENGTH_DIGITS_MAX)
		return false;
	for (unsigned i = 0; i < request->value_len; i++)
		if (request->value[i] < '0' || request->value[i] > '9')
			return false;
	return true;
}

/* A header field is complete: look at it, and make room for the next. */
static int finish_field(struct request *request)
{
	enum request_field field = field_of(request);

	while (request->value_len > 0 &&
		(request->value[request->value_len - 1] == ' ' ||
			request->value[request->value_len - 1] == '\t'))
		request->value_len--;
	request->name_len = 0;
	request->value_seen = false;
	switch (field) {
	case FIELD_OTHER:
		return 0;
	case FIELD_HOST:
		return ++request->hosts > 1 ? refuse(request, 400) : 0;
	case FIELD_EXPECT:
		request->expects_continue = true;
		if (!value_is(request, "100-continue"))
			request->status = 417;
		return 0;
	case FIELD_CONTENT_LENGTH:
		return ++request->lengths > 1 || !is_length(request) ? refuse(request, 400) : 0;
	case FIELD_TRANSFER_ENCODING:
		if (++request->encodings > 1 || !value_is(request, "chunked"))
			return refuse(request, 400);
		return 0;
	case FIELD_IF_MODIFIED_SINCE:
		memcpy(request->if_modified_since, request->value, request->value_len);
		request->if_modified_since[request->value_len] = '\0';
		return 0;
	}
	return 0;
}

static int on_header_field(http_parser *parser, const char *text, size_t len)
{
	struct request *request = parser->data;

	if (request->phase != REQUEST_IN_HEADER)
		return 0; /* a trailer: framed and counted, not looked at */
	if (request->value_seen && finish_field(request) < 0)
		return -1;
	request->value_len = 0;
	request->name_len = append(request->name, sizeof(request->name), request->name_len, text, len);
	return 0;
}

static int on_header_value(http_parser *parser, const char *text, size_t len)
{
	struct request *request = parser->data;

	if (request->phase != REQUEST_IN_HEADER)
		return 0;
	request->value_seen = true;
	request->value_len =
		append(request->value, sizeof(request->value), request->value_len, text, len);
	return 0;
}

/* The header as a whole: what must be there, and what kind of body follows. */
static int on_headers_complete(http_parser *parser)
{
	struct request *request = parser->data;

	if (request->value_seen && finish_field(request) < 0)
		return -1;
	if (parser->http_major == 0)
		return refuse(request, 400);
	if (parser->http_major != 1)
		return refuse(request, 505);
	request->minor = parser->http_minor ? 1 : 0;
	if (request->minor == 1 && request->hosts != 1)
		return refuse(request, 400);
	if (request->encodings && (request->lengths || request->minor == 0))
		return refuse(request, 400);
	request->head = parser->method == HTTP_HEAD;
	request->keep_alive = http_should_keep_alive(parser) != 0;
	if (parser->method != HTTP_GET && parser->method != HTTP_HEAD)
		request->status = 405;
	if (parser->method == HTTP_CONNECT)
		request->keep_alive = false; /* what follows is not meant for us */
	parser->upgrade = 0; /* declined: a server may go on with HTTP/1.1 (RFC 9110, 7.8) */
	if (request->encodings) {
		request->phase = REQUEST_IN_CHUNKED_BODY;
	} else if (request->lengths && parser->content_length > 0) {
		request->phase = REQUEST_IN_LENGTH_BODY;
		request->body_left = parser->content_length;
		if (request->body_left > request->limits->body)
			return refuse(request, 413);
	}
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct request *request = parser->data;

	request->complete = true;
	return 0;
}

/* Hands bytes whose framing is sound to http_parser. */
static bool interpret(struct request *request, const char *data, size_t len)
{
	static const http_parser_settings settings = {
		.on_url = on_url,
		.on_header_field = on_header_field,
		.on_header_value = on_header_value,
		.on_headers_complete = on_headers_complete,
		.on_message_complete = on_message_complete,
	};
	size_t parsed = http_parser_execute(&request->parser, &settings, data, len);

	if (parsed == len && HTTP_PARSER_ERRNO(&request->parser) == HPE_OK)
		return true;
	if (!request->refused)
		request->status = 400; /* http_parser's own verdict, not one of a callback */
	return false;
}

static enum request_event feed_header(struct request *request, const char *data, size_t len, size_t *used)
{
	enum framing found = framing_header(&request->scan, request->limits, data, len, used);

	if (found != FRAMING_MORE && found != FRAMING_END) {
		request->status = (uint16_t)found;
		return REQUEST_BAD;
	}
	if (!interpret(request, data, *used))
		return REQUEST_BAD;
	if (found == FRAMING_MORE)
		return REQUEST_MORE;
	if (request->phase == REQUEST_IN_CHUNKED_BODY)
		framing_start_chunked(&request->scan);
	if (request->phase != REQUEST_IN_HEADER)
		return REQUEST_HEAD;
	if (request->complete)
		return REQUEST_DONE;
	request->status = 400;
	return REQUEST_BAD;
}

static enum request_event feed_chunked(struct request *request, const char *data, size_t len, size_t *used)
{
	enum framing found = framing_chunked(&request->scan, request->limits, data, len, used);

	if (found != FRAMING_MORE && found != FRAMING_END) {
		request->status = (uint16_t)found;
		return REQUEST_BAD;
	}
	if (!interpret(request, data, *used))
		return REQUEST_BAD;
	if (request->complete == (found == FRAMING_END))
		return request->complete ? REQUEST_DONE : REQUEST_MORE;
	request->status = 400;
	return REQUEST_BAD;
}

enum request_event request_feed(struct request *request, const char *data, size_t len, size_t *used)
{
	*used = 0;
	if (len == 0)
		return REQUEST_MORE;
	request->started = true;
	switch ((enum request_phase)request->phase) {
	case REQUEST_IN_HEADER:
		return feed_header(request, data, len, used);
	case REQUEST_IN_CHUNKED_BODY:
		return feed_chunked(request, data, len, used);
	case REQUEST_IN_LENGTH_BODY:
		break;
	}
	*used = len < request->body_left ? len : (size_t)request->body_left;
	request->body_left -= *used;
	return request->body_left ? REQUEST_MORE : REQUEST_DONE;
}
