/* SPDX-License-Identifier: MIT */
/* server.h - what the fibers of weft-httpd share
 *
 * What   One acceptor fiber per worker takes connections from the one listening socket; each
 *        connection is a fiber of its own (connection.c) from accept to close. The main fiber waits
 *        for the word to stop and then ends the server gracefully (server.c).
 * Rules  S1 a connection's slot is the one at the index of its descriptor. It belongs to the
 *           acceptor that got the descriptor, then to the connection's fiber until just before its
 *           close: from the close on the number, and the slot, may be another connection's.
 *        S2 stopping meets idling: a connection sets slot.idle and then looks at draining; the main
 *           fiber sets draining and then looks at slot.idle. Both are sequentially consistent, so
 *           at least one of them sees the other, and no idle connection outlives the stop
 *           unnoticed.
 *        S3 the main fiber shuts idle descriptors down only after the acceptors have been joined. A
 *           number closed meanwhile can then only be a file's, on which shutdown() fails
 *           harmlessly.
 *        S4 counters are added to in the row of the worker at hand and order nothing (counter.h).
 */
#ifndef TOOLS_HTTPD_SERVER_H
#define TOOLS_HTTPD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <weft/weft.h>

#include "tools/common/counter.h"
#include "tools/httpd/options.h"

/* What is counted; names for people are in server.c. */
enum event {
	EVENT_CONNECTIONS,
	EVENT_REQUESTS,
	EVENT_BYTES_IN,
	EVENT_BYTES_OUT,
	EVENT_OK,	    /* responses 2xx and 304 */
	EVENT_CLIENT_ERROR, /* responses 4xx */
	EVENT_SERVER_ERROR, /* responses 5xx */
	EVENT_REFUSED_FULL,
	EVENT_ACCEPT_PAUSED,
	EVENT_ACCEPT_FAILED,
	EVENT_HEADER_TIMEOUT,
	EVENT_BODY_TIMEOUT,
	EVENT_IDLE_TIMEOUT,
	EVENT_WRITE_TIMEOUT,
	EVENT_RESET,
	EVENT_CUT_SHORT, /* the client left inside a request */
	EVENT_FILE_FAILED,
	EVENT_CANCELLED,
	EVENT_KINDS,
};

struct event_row {
	uint64_t count[EVENT_KINDS];
} __attribute__((aligned(64)));

struct server;

struct slot {
	struct server *server;
	int fd;
	int idle; /* waits for the first byte of a request (rule S2) */
};

struct server {
	const struct options *options;
	int listen_fd;
	int root_fd; /* of options->root; -1: no files are served */
	int reserve_fd; /* given up to refuse a connection when descriptors have run out; -1: in use for that */
	int signal_fd;
	int wake_fd; /* an eventfd: the main fiber has something to look at */
	int draining;
	int stop_signals;
	uint32_t live; /* connections */
	uint32_t live_max;
	uint32_t slot_count;
	struct slot *slots;
	struct event_row *rows; /* COUNTER_ROWS */
};

static inline void server_count(struct server *server, enum event event, uint64_t amount)
{
	counter_add(&server->rows[counter_row()].count[event], amount);
}

static inline bool server_draining(struct server *server)
{
	return __atomic_load_n(&server->draining, __ATOMIC_SEQ_CST) != 0; /* rule S2 */
}

/* Before the runtime starts: limits, descriptors and memory. 0, or a negative errno with its line
 * printed. */
int server_init(struct server *server, const struct options *options);
void server_free(struct server *server);

/* The main fiber: listens, serves until told to stop, and ends gracefully. Returns NULL, or the
 * server when it could not listen. */
void *server_main(void *server);

/* Makes the main fiber look. Any thread or fiber. */
void server_wake(struct server *server);

/* The end of a connection: gives its place back. */
void server_leave(struct server *server);

/* acceptor.c: the fiber that takes connections until it is cancelled. */
void *acceptor_main(void *server);

/* connection.c: the fiber of a connection; its argument is the slot. */
void *connection_main(void *slot);

#endif
