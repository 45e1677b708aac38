/* SPDX-License-Identifier: MIT */
/* response.h - the header of a response
 *
 * Rules  nothing a client sent is ever written into a header, so no request can inject one.
 */
#ifndef TOOLS_HTTPD_RESPONSE_H
#define TOOLS_HTTPD_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/httpd/date.h"
#include "tools/httpd/outbox.h"

struct response {
	unsigned status;
	const char *type;     /* of the content, a literal */
	uint64_t length;      /* of the content */
	const char *modified; /* DATE_LEN characters, or NULL */
	bool close;	      /* the connection ends behind it */
	bool say_keep_alive;  /* to an HTTP/1.0 client, which expects a close otherwise */
};

/* "404 Not Found"; an unknown status is a server error. */
const char *response_status_line(unsigned status);

/* Adds the header and counts the response. */
void response_add_head(struct outbox *outbox, struct date_cache *date, const struct response *response);

#endif
