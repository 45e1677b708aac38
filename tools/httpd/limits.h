/* SPDX-License-Identifier: MIT */
/* limits.h - what a client of weft-httpd may ask for, and for how long
 *
 * What   The default of each limit with its reason. Each is a command line option (options.c); what
 *        happens at the limit is said here.
 */
#ifndef TOOLS_HTTPD_LIMITS_H
#define TOOLS_HTTPD_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include <weft/runtime.h>

/* RFC 9112 asks for at least 8000 bytes. Longer: 414, and the connection ends. */
#define HTTPD_REQUEST_LINE_MAX 8192u
/* Browsers send about 20 fields in 1 to 2 KiB; cookies and proxies add to that. More: 431. */
#define HTTPD_HEADERS_MAX 100u
#define HTTPD_HEADER_BYTES_MAX 16384u
/* Bodies are read and ignored, so that the connection can go on. Longer: 413. */
#define HTTPD_BODY_BYTES_MAX (UINT64_C(1) << 20)
/* Framing of a chunked body may cost as much again, and this much for short bodies. More: 413. */
#define HTTPD_CHUNK_FRAMING_BYTES 65536u

/* From the first byte of a request to the end of its header. Later: 408. Also the time for its
 * body, which starts anew behind the header. */
#define HTTPD_HEADER_TIMEOUT (10 * WEFT_SEC)
#define HTTPD_BODY_TIMEOUT (30 * WEFT_SEC)
/* Between two requests, and before the first. Later: closed without a word. */
#define HTTPD_IDLE_TIMEOUT (60 * WEFT_SEC)
/* For each piece of a response, at most HTTPD_BLOCK_BYTES. Later: closed. */
#define HTTPD_WRITE_TIMEOUT (10 * WEFT_SEC)
/* For the requests that run when the server is told to stop. Later: cancelled. */
#define HTTPD_GRACE (5 * WEFT_SEC)

/* Buffers inside a connection's frame: an ordinary request and its response fit, and with the calls
 * below it the frame stays on one page of stack, which is what an idle connection costs. */
#define HTTPD_INLINE_BYTES 512u
/* What a connection borrows from the heap while bodies, batches and files do not fit above. It is
 * also the bound of what pipelined requests can pile up: then it is sent. */
#define HTTPD_BLOCK_BYTES 32768u
/* A request target longer than this is kept on the heap until its response is made. */
#define HTTPD_INLINE_TARGET_BYTES 128u

/* Descriptors kept free of connections: rings, listener, standard streams and files being sent. */
#define HTTPD_RESERVED_FDS 64u
/* How long accepting pauses when descriptors or memory have run out. */
#define HTTPD_ACCEPT_PAUSE (100 * WEFT_MS)
/* After an error response: how much, and how long, is read and dropped, so that the client sees the
 * response and not a reset. */
#define HTTPD_LINGER_BYTES 262144u
#define HTTPD_LINGER_TIMEOUT (1 * WEFT_SEC)

/* The limits in force. */
struct limits {
	uint32_t request_line;
	uint32_t headers;
	uint32_t header_bytes;
	uint64_t body;
	weft_ns header_timeout;
	weft_ns body_timeout;
	weft_ns idle_timeout;
	weft_ns write_timeout;
	weft_ns grace;
	uint32_t connections; /* 0: what the descriptors allow */
};

#endif
