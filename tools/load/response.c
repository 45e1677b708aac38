/* SPDX-License-Identifier: MIT */
/* response.c - see response.h */
#include "tools/load/response.h"

#include <string.h>

void response_start(struct response *response, const struct response_rules *rules)
{
	memset(response, 0, sizeof(*response));
	response->rules = rules;
	http_parser_init(&response->parser, HTTP_RESPONSE);
	response->parser.data = response;
}

/* Responses that have no body whatever their header says (RFC 9112, 6.3). */
static bool has_no_body(const struct response *response)
{
	return response->rules->head || response->status == 204 || response->status == 304 ||
		response->status / 100 == 1;
}

/* 1 tells http_parser that no body follows. */
static int on_headers_complete(http_parser *parser)
{
	struct response *response = parser->data;

	response->status = (uint16_t)parser->status_code;
	parser->upgrade = 0; /* none was asked for */
	return has_no_body(response) ? 1 : 0;
}

static int on_body(http_parser *parser, const char *data, size_t len)
{
	struct response *response = parser->data;
	const struct response_rules *rules = response->rules;
	uint64_t at = response->body;

	response->body += len;
	if (response->body > rules->body_max)
		response->wrong_body = true;
	if (rules->expect && response->status / 100 == 2 &&
		(response->body > rules->expect_len || memcmp(rules->expect + at, data, len) != 0))
		response->wrong_body = true;
	return response->wrong_body ? -1 : 0;
}

static int on_message_complete(http_parser *parser)
{
	struct response *response = parser->data;

	if (response->status / 100 == 1 && response->status != 101) {
		response->body = 0;
		return ++response->interim > RESPONSE_INTERIM_MAX ? -1 : 0;
	}
	response->complete = true;
	response->keep_alive = http_should_keep_alive(parser) != 0;
	http_parser_pause(parser, 1); /* so that the bytes behind it are left to the next */
	return 0;
}

static const http_parser_settings settings = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static enum response_event judge_complete(const struct response *response)
{
	const struct response_rules *rules = response->rules;

	if (rules->expect && !rules->head && response->status / 100 == 2 &&
		response->body != rules->expect_len)
		return RESPONSE_BAD_BODY;
	return RESPONSE_DONE;
}

enum response_event response_feed(struct response *response, const char *data, size_t len, size_t *used)
{
	if (len > 0)
		response->started = true;
	*used = http_parser_execute(&response->parser, &settings, data, len);
	if (response->complete)
		return judge_complete(response);
	if (response->wrong_body)
		return RESPONSE_BAD_BODY;
	if (HTTP_PARSER_ERRNO(&response->parser) != HPE_OK || *used != len)
		return RESPONSE_BAD_PARSE;
	return RESPONSE_MORE;
}

enum response_event response_end(struct response *response)
{
	if (!response->started)
		return RESPONSE_MORE;
	http_parser_execute(&response->parser, &settings, NULL, 0);
	if (response->complete)
		return judge_complete(response);
	/* In the middle of a body: it was promised longer. In the middle of a header: no response
	 * at all. */
	return response->status ? RESPONSE_BAD_BODY : RESPONSE_BAD_PARSE;
}
