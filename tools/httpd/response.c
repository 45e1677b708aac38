/* SPDX-License-Identifier: MIT */
/* response.c - see response.h */
#include "tools/httpd/response.h"

#include <string.h>

/* More than the longest header: its literals are about 230 bytes, status 36, dates 58, type and
 * length 60. */
#define HEAD_BYTES_MAX 400u

_Static_assert(HEAD_BYTES_MAX <= HTTPD_INLINE_BYTES, "a header is made in one piece");

const char *response_status_line(unsigned status)
{
	switch (status) {
	case 200:
		return "200 OK";
	case 304:
		return "304 Not Modified";
	case 400:
		return "400 Bad Request";
	case 403:
		return "403 Forbidden";
	case 404:
		return "404 Not Found";
	case 405:
		return "405 Method Not Allowed";
	case 408:
		return "408 Request Timeout";
	case 413:
		return "413 Content Too Large";
	case 414:
		return "414 URI Too Long";
	case 417:
		return "417 Expectation Failed";
	case 431:
		return "431 Request Header Fields Too Large";
	case 503:
		return "503 Service Unavailable";
	case 505:
		return "505 HTTP Version Not Supported";
	default:
		return "500 Internal Server Error";
	}
}

static char *put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return at + len;
}

static char *put_number(char *at, uint64_t number)
{
	char digits[20];
	unsigned i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(at, digits + i, sizeof(digits) - i);
	return at + sizeof(digits) - i;
}

static char *put_date(char *at, const char *name, const char *date)
{
	at = put_text(at, name);
	memcpy(at, date, DATE_LEN);
	return put_text(at + DATE_LEN, "\r\n");
}

static void count(struct server *server, unsigned status)
{
	server_count(server, EVENT_REQUESTS, 1);
	server_count(server,
		status < 400	       ? EVENT_OK
			: status < 500 ? EVENT_CLIENT_ERROR
				       : EVENT_SERVER_ERROR,
		1);
}

void response_add_head(struct outbox *outbox, struct date_cache *date, const struct response *response)
{
	char *start = outbox_room(outbox, HEAD_BYTES_MAX), *at = start;

	count(outbox->server, response->status);
	if (!at)
		return;
	at = put_text(at, "HTTP/1.1 ");
	at = put_text(at, response_status_line(response->status));
	at = put_text(at, "\r\nServer: weft\r\n");
	at = put_date(at, "Date: ", date_now(date));
	if (response->modified)
		at = put_date(at, "Last-Modified: ", response->modified);
	if (response->status == 405)
		at = put_text(at, "Allow: GET, HEAD\r\n");
	if (response->status != 304) {
		at = put_text(at, "Content-Type: ");
		at = put_text(at, response->type);
		at = put_text(at, "\r\nContent-Length: ");
		at = put_number(at, response->length);
		at = put_text(at, "\r\n");
	}
	if (response->close)
		at = put_text(at, "Connection: close\r\n");
	else if (response->say_keep_alive)
		at = put_text(at, "Connection: keep-alive\r\n");
	at = put_text(at, "\r\n");
	outbox->len += (uint32_t)(at - start);
}
