/* SPDX-License-Identifier: MIT */
/* options.h - the command line of weft-httpd
 *
 * Tests  tests/http/httpd_options_test.cc
 */
#ifndef TOOLS_HTTPD_OPTIONS_H
#define TOOLS_HTTPD_OPTIONS_H

#include <stddef.h>

#include "tools/httpd/limits.h"

struct options {
	const char *address; /* as weft_listen() takes it */
	const char *root;    /* the directory served, or NULL */
	const char *text;    /* the static answer */
	size_t text_len;
	unsigned workers;    /* 0: the runtime's default */
	weft_ns stats_every; /* 0: counters are printed at the end only */
	struct limits limits;
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* Reads argv. OPTIONS_EXIT_*: the text asked for, or what is wrong, has been printed. Strings are
 * borrowed from argv. */
enum options_result options_read(struct options *options, int argc, char **argv);

#endif
