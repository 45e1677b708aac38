/* SPDX-License-Identifier: MIT */
/* date.h - times as HTTP writes them
 *
 * What   "Sun, 06 Nov 1994 08:49:37 GMT", formatted without libc's time zone lock and locale. A
 *        cache holds one second's text; each connection has its own, so nothing is shared between
 *        workers.
 * Tests  tests/http/date_test.cc
 */
#ifndef TOOLS_HTTPD_DATE_H
#define TOOLS_HTTPD_DATE_H

#include <stdint.h>

/* Characters of such a date; there is no terminating 0. */
#define DATE_LEN 29u

struct date_cache {
	int64_t second;
	char text[DATE_LEN];
};

/* Writes a time, in seconds since 1970, of the years 1970 to 9999; others become the nearest of
 * these. */
void date_format(char text[DATE_LEN], int64_t seconds);

/* The date now. A zeroed cache is empty. */
const char *date_now(struct date_cache *cache);

#endif
