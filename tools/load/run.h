/* SPDX-License-Identifier: MIT */
/* run.h - one run of weft-load: what its fibers share
 *
 * What   A lane is a fiber with one request (or one pipelined batch) under way and a share of the
 *        connections, which it uses in turn. The main fiber opens the connections, starts the
 *        lanes, and reports when all of them have ended (run.c). What a lane does with a connection
 *        is in client.c.
 * Rules  L1 a lane's connections belong to it alone.
 *        L2 every wait of a lane has a deadline: no server can hold the run longer than the
 *           duration and one timeout.
 *        L3 counters and histograms are rows per worker (counter.h), merged at the end.
 */
#ifndef TOOLS_LOAD_RUN_H
#define TOOLS_LOAD_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/weft.h>

#include "tools/common/counter.h"
#include "tools/load/hist.h"
#include "tools/load/options.h"
#include "tools/load/response.h"
#include "tools/load/target.h"

/* Why a request failed. Names for people and for JSON are in report.c. */
enum failure {
	FAILURE_CONNECT, /* no connection could be made */
	FAILURE_TIMEOUT, /* the request's time was over */
	FAILURE_RESET,	 /* the connection broke */
	FAILURE_EOF,	 /* it was closed with the response missing */
	FAILURE_STATUS,	 /* a response other than 2xx */
	FAILURE_PARSE,	 /* no HTTP response */
	FAILURE_BODY,	 /* too short, too long, or not what was expected */
	FAILURE_KINDS,
};

/* What a row of one worker counts. */
struct tally {
	uint64_t done; /* requests answered as wanted */
	uint64_t failures[FAILURE_KINDS];
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t connects;
	uint64_t unsent;  /* open loop: due, and never sent */
	uint64_t late;	  /* open loop: sent more than RUN_LATE after they were due */
	uint64_t lag_max; /* open loop: how much at most */
};

/* A row on cache lines of its own. */
struct tally_row {
	struct tally tally;
} __attribute__((aligned(64)));

/* A request sent this long after its time is called late in the report. */
#define RUN_LATE (1 * WEFT_MS)

struct run {
	const struct options *options;
	const struct target *target;
	struct response_rules rules;
	char *request;	    /* the bytes of options->pipeline requests */
	size_t request_len; /* of one of them */
	int *fds;	    /* of the connections; -1: not open */
	int signal_fd;
	struct tally_row *rows; /* COUNTER_ROWS */
	struct hist *hists; /* COUNTER_ROWS, nanoseconds; those of workers that do not exist are empty */
	unsigned hist_count;
	uint64_t claimed; /* of options->requests, closed loop */
	int last_connect_error;
	weft_ns start;
	weft_ns end;
	weft_ns finished; /* when the last lane had ended */
	bool interrupted; /* by a signal */
	weft_fiber *main_fiber;
	weft_fiber **lanes; /* the fibers that the main fiber waits for */
};

struct lane {
	struct run *run;
	unsigned index;
	unsigned first, count; /* its connections: first, first + options->fibers, ... */
	unsigned turn;
	weft_ns backoff; /* after a failed connect */
	char *buffer;	 /* LANE_BUFFER_BYTES */
	struct response response;
};

#define LANE_BUFFER_BYTES 16384u

static inline struct tally *run_tally(struct run *run)
{
	return &run->rows[counter_row()].tally;
}

static inline void run_fail(struct run *run, enum failure failure, uint64_t count)
{
	counter_add(&run_tally(run)->failures[failure], count);
}

/* Before the runtime starts: memory and descriptors. 0, or a negative errno with its line printed.
 * */
int run_init(struct run *run, const struct options *options, const struct target *target);
void run_free(struct run *run);

/* The main fiber. Returns NULL, or the run when nothing could be measured. */
void *run_main(void *run);

/* client.c: opens connection fd of the lane if it is not; 0, or a negative errno. The deadline is
 * the caller's. */
int client_connect(struct lane *lane, int *fd);
void client_close(int *fd);

/* client.c: count requests on the connection in turn, due at a time; counts what becomes of each.
 * False: the lane has been cancelled. */
bool client_exchange(struct lane *lane, unsigned count, weft_ns due);

#endif
