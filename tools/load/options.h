/* SPDX-License-Identifier: MIT */
/* options.h - the command line of weft-load
 *
 * Tests  tests/http/load_options_test.cc
 */
#ifndef TOOLS_LOAD_OPTIONS_H
#define TOOLS_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/runtime.h>

#define OPTIONS_HEADERS_MAX 32u
#define OPTIONS_PIPELINE_MAX 1024u

struct options {
	const char *url;	 /* NULL only with echo_server */
	const char *echo_server; /* the address to serve echoes on, instead of loading */
	const char *method;
	const char *headers[OPTIONS_HEADERS_MAX];
	unsigned header_count;
	const char *body;   /* of each request, or NULL */
	const char *expect; /* what each response's body must be, or NULL */
	uint32_t echo;	    /* bytes of a raw echo; 0: HTTP */
	uint32_t connections;
	uint32_t fibers;
	uint32_t pipeline;
	uint32_t workers;  /* 0: the runtime's default */
	uint64_t requests; /* 0: until the duration is over */
	uint64_t rate;	   /* requests per second of an open loop; 0: closed loop */
	uint64_t body_max;
	weft_ns duration; /* WEFT_FOREVER: until the requests are done */
	weft_ns timeout;
	weft_ns latency_max;
	const char *json; /* a file, "-" for standard output, or NULL */
	bool no_keepalive;
	bool quiet;
	bool own_target; /* any address may be loaded, not only this machine's own */
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* Reads argv. OPTIONS_EXIT_*: the text asked for, or what is wrong, has been printed. Strings are
 * borrowed from argv. */
enum options_result options_read(struct options *options, int argc, char **argv);

#endif
