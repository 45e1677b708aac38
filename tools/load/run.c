/* SPDX-License-Identifier: MIT */
/* run.c - see run.h: the lanes' loop, and the main fiber that starts, watches and ends them */
#include "tools/load/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/common/process.h"
#include "tools/load/pace.h"

/* Connections are opened by so many fibers at a time: more at once overflow a listener's queue, and
 * a lost SYN costs a second. */
#define OPENERS_MAX 256u
/* All the bytes of a pipelined batch; more makes a send that a server cannot take while it answers.
 * */
#define BATCH_BYTES_MAX (1u << 20)
/* Rings, standard streams and the like. */
#define RESERVED_FDS 64u
/* What a shell reports for a process that SIGINT ended. */
#define INTERRUPTED_EXIT 130

static int fail(const char *what, int error)
{
	fprintf(stderr, "weft-load: %s: %s\n", what, strerror(-error));
	return error;
}

/* Writes one HTTP request to out[size]; returns its length, also when that is more than size. */
static size_t write_request(const struct run *run, char *out, size_t size)
{
	const struct options *options = run->options;
	const struct target *target = run->target;
	bool v6 = strchr(target->host, ':') != NULL;
	FILE *to = fmemopen(out, size, "w");
	long len;

	if (!to)
		return SIZE_MAX;
	fprintf(to, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: weft-load/%s\r\n",
		options->method, target->path, v6 ? "[" : "", target->host, v6 ? "]" : "",
		target->port, weft_version());
	for (unsigned i = 0; i < options->header_count; i++)
		fprintf(to, "%s\r\n", options->headers[i]);
	if (options->no_keepalive)
		fputs("Connection: close\r\n", to);
	if (options->body)
		fprintf(to, "Content-Length: %zu\r\n", strlen(options->body));
	fprintf(to, "\r\n%s", options->body ? options->body : "");
	len = fflush(to) == 0 ? ftell(to) : -1;
	fclose(to);
	return len < 0 ? SIZE_MAX : (size_t)len;
}

/* Bytes to be echoed: no two messages of a batch are the same, so that an echo of the wrong one is
 * seen. */
static void write_pattern(char *out, size_t len)
{
	uint32_t state = 2463534242u;

	for (size_t i = 0; i < len; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		out[i] = (char)state;
	}
}

static int make_requests(struct run *run)
{
	const struct options *options = run->options;

	run->request = malloc(BATCH_BYTES_MAX);
	if (!run->request)
		return fail("memory for the requests", -ENOMEM);
	run->request_len =
		options->echo ? options->echo : write_request(run, run->request, BATCH_BYTES_MAX);
	if (run->request_len > BATCH_BYTES_MAX / options->pipeline) {
		fprintf(stderr,
			"weft-load: a batch of %u requests is longer than %u bytes; use a smaller --pipeline\n",
			options->pipeline, BATCH_BYTES_MAX);
		return -EMSGSIZE;
	}
	if (options->echo)
		write_pattern(run->request, options->pipeline * run->request_len);
	for (unsigned i = 1; !options->echo && i < options->pipeline; i++)
		memcpy(run->request + i * run->request_len, run->request, run->request_len);
	return 0;
}

static int make_tables(struct run *run)
{
	const struct options *options = run->options;

	run->fds = malloc(options->connections * sizeof(*run->fds));
	run->lanes = calloc(options->connections, sizeof(weft_fiber *)); /* or of the openers */
	run->rows = aligned_alloc(64, COUNTER_ROWS * sizeof(*run->rows));
	run->hists = calloc(COUNTER_ROWS, sizeof(*run->hists));
	if (!run->fds || !run->lanes || !run->rows || !run->hists)
		return fail("memory for the run", -ENOMEM);
	memset(run->rows, 0, COUNTER_ROWS * sizeof(*run->rows));
	for (unsigned i = 0; i < options->connections; i++)
		run->fds[i] = -1;
	return 0;
}

int run_init(struct run *run, const struct options *options, const struct target *target)
{
	unsigned descriptors = process_raise_nofile();
	int error;

	*run = (struct run){.options = options, .target = target};
	run->rules = (struct response_rules){
		.head = strcmp(options->method, "HEAD") == 0,
		.expect = options->expect,
		.expect_len = options->expect ? strlen(options->expect) : 0,
		.body_max = options->body_max,
	};
	if (options->connections + RESERVED_FDS > descriptors) {
		fprintf(stderr,
			"weft-load: %u connections need %u descriptors, but only %u are allowed (ulimit -Hn)\n",
			options->connections, options->connections + RESERVED_FDS, descriptors);
		return -EMFILE;
	}
	error = make_tables(run);
	if (error == 0)
		error = make_requests(run);
	if (error < 0)
		return error;
	run->signal_fd = process_block_stop_signals();
	return run->signal_fd < 0 ? fail("signalfd", run->signal_fd) : 0;
}

void run_free(struct run *run)
{
	for (unsigned i = 0; i < run->hist_count; i++)
		hist_free(&run->hists[i]);
	if (run->signal_fd > 0)
		close(run->signal_fd);
	free(run->hists);
	free(run->rows);
	free(run->lanes);
	free(run->fds);
	free(run->request);
}

/* Takes up to a batch of the requests that are to be made; 0: none is left. */
static unsigned claim(struct run *run)
{
	const struct options *options = run->options;
	uint64_t before;

	if (options->requests == 0)
		return options->pipeline;
	before = __atomic_fetch_add(&run->claimed, options->pipeline, __ATOMIC_RELAXED);
	if (before >= options->requests)
		return 0;
	return options->requests - before < options->pipeline ? (unsigned)(options->requests - before)
							      : options->pipeline;
}

/* The closed loop: the next batch as soon as the last one is answered. */
static void run_closed(struct lane *lane)
{
	struct run *run = lane->run;
	unsigned count;

	for (;;) {
		weft_ns now = weft_now();

		if (now >= run->end)
			return;
		count = claim(run);
		if (count == 0 || !client_exchange(lane, count, now))
			return;
	}
}

/* How many requests the schedule has in all. */
static uint64_t scheduled(const struct run *run)
{
	const struct options *options = run->options;
	uint64_t count = UINT64_MAX;

	if (options->duration != WEFT_FOREVER)
		count = pace_count(options->rate, options->duration);
	return options->requests && options->requests < count ? options->requests : count;
}

/* The first turn at or behind this one that is not overdue by more than the timeout (rule P2 of
 * pace.h). */
static uint64_t first_in_time(const struct lane *lane, uint64_t turn, uint64_t turns, weft_ns now)
{
	const struct run *run = lane->run;
	const struct options *options = run->options;
	uint64_t overdue = pace_count(options->rate, now - run->start - options->timeout);
	uint64_t first = pace_share(overdue, lane->index, options->fibers);

	if (first > turns)
		first = turns;
	return first > turn ? first : turn;
}

static void note_lag(struct run *run, weft_ns lag)
{
	if (lag > RUN_LATE)
		counter_add(&run_tally(run)->late, 1);
	counter_max(&run_tally(run)->lag_max, (uint64_t)lag);
}

/* The open loop: each request at its time, or as soon after it as this lane is free. */
static void run_open(struct lane *lane)
{
	struct run *run = lane->run;
	const struct options *options = run->options;
	uint64_t turns = pace_share(scheduled(run), lane->index, options->fibers), turn = 0, next;

	for (; turn < turns; turn++) {
		weft_ns due = run->start + pace_due(options->rate, turn * options->fibers + lane->index);
		weft_ns now;

		weft_deadline(WEFT_FOREVER);
		if (weft_now() < due && weft_sleep_until(due) < 0)
			return;
		now = weft_now();
		if (now >= run->end && now - due > RUN_LATE)
			break;
		next = first_in_time(lane, turn, turns, now);
		if (next > turn) {
			counter_add(&run_tally(run)->unsent, next - turn);
			turn = next - 1;
			continue;
		}
		note_lag(run, now - due);
		if (!client_exchange(lane, 1, due))
			return;
	}
	counter_add(&run_tally(run)->unsent, turns - turn);
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;

	weft_set_name("lane");
	if (lane->run->options->rate)
		run_open(lane);
	else
		run_closed(lane);
	return NULL;
}

/* Opens every step-th connection. One that fails is tried again by its lane, and counted then. */
struct opener {
	struct run *run;
	unsigned index;
	unsigned step;
};

static void *opener_main(void *arg)
{
	struct opener *opener = arg;
	struct run *run = opener->run;
	struct lane lane = {.run = run};

	weft_set_name("opener");
	for (unsigned i = opener->index; i < run->options->connections; i += opener->step) {
		int error;

		weft_deadline(weft_after(run->options->timeout));
		error = client_connect(&lane, &run->fds[i]);
		if (error == -ECANCELED)
			break;
		if (error < 0)
			__atomic_store_n(&run->last_connect_error, error, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Waits until all of them have ended. When the main fiber is cancelled, which a signal does, so are
 * they; they then end soon, and are still waited for. */
static void join_all(struct run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (weft_join(run->lanes[i], NULL) != -ECANCELED)
			continue;
		run->interrupted = true;
		for (unsigned j = i; j < count; j++)
			weft_cancel(run->lanes[j]);
		weft_shield(true);
		weft_join(run->lanes[i], NULL);
	}
}

/* Opens the connections before the clock starts. False: not one could be opened. */
static bool open_connections(struct run *run)
{
	const struct options *options = run->options;
	struct opener *openers;
	unsigned wanted = options->connections < OPENERS_MAX ? options->connections : OPENERS_MAX;
	unsigned count = 0, open = 0;

	if (options->no_keepalive)
		return true;
	openers = calloc(wanted, sizeof(*openers));
	for (unsigned i = 0; openers && i < wanted; i++) {
		openers[i] = (struct opener){run, i, wanted};
		if (weft_spawn(&run->lanes[count], opener_main, &openers[i]) == 0)
			count++;
	}
	join_all(run, count);
	free(openers);
	for (unsigned i = 0; i < options->connections; i++)
		open += run->fds[i] >= 0;
	if (open == 0 && !run->interrupted)
		fprintf(stderr,
			"weft-load: cannot connect to %s port %s: %s; does a server listen there?\n",
			run->target->host, run->target->port, strerror(-run->last_connect_error));
	return open > 0 || run->interrupted;
}

static uint64_t sum_of(const struct run *run, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNTER_ROWS; i++)
		sum += counter_get((const uint64_t *)((const char *)&run->rows[i].tally + offset));
	return sum;
}

static uint64_t failures_of(const struct run *run)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAILURE_KINDS; i++)
		sum += sum_of(run, offsetof(struct tally, failures) + i * sizeof(uint64_t));
	return sum;
}

/* A line a second, until cancelled. */
static void *progress_main(void *arg)
{
	struct run *run = arg;
	uint64_t before = 0;

	weft_set_name("progress");
	for (unsigned second = 1; weft_sleep_until(run->start + second * WEFT_SEC) == 0; second++) {
		uint64_t done = sum_of(run, offsetof(struct tally, done));

		fprintf(stderr,
			"%5u s  %9" PRIu64 " requests/s  %12" PRIu64 " done  %" PRIu64 " errors%s\n",
			second, done - before, done, failures_of(run),
			weft_now() > run->end + WEFT_SEC / 2 ? "  (waiting for the last responses)" : "");
		before = done;
	}
	return NULL;
}

/* The first signal cancels the main fiber, and with it the run; the second ends the process. */
static void *signals_main(void *arg)
{
	struct run *run = arg;

	weft_set_name("signals");
	if (process_wait_stop_signal(run->signal_fd) < 0)
		return NULL;
	weft_cancel(run->main_fiber);
	if (process_wait_stop_signal(run->signal_fd) == 0)
		_exit(INTERRUPTED_EXIT);
	return NULL;
}

static int start_lanes(struct run *run, struct lane *lanes, char *buffers)
{
	const struct options *options = run->options;

	for (unsigned i = 0; i < options->fibers; i++) {
		int error;

		lanes[i] = (struct lane){
			.run = run,
			.index = i,
			.first = i,
			.count = (options->connections - i + options->fibers - 1) / options->fibers,
			.buffer = buffers + (size_t)i * LANE_BUFFER_BYTES,
		};
		error = weft_spawn(&run->lanes[i], lane_main, &lanes[i]);
		if (error < 0) {
			run->interrupted = true;
			for (unsigned j = 0; j < i; j++)
				weft_cancel(run->lanes[j]);
			join_all(run, i);
			return fail("starting the fibers", error);
		}
	}
	return 0;
}

static int measure(struct run *run)
{
	const struct options *options = run->options;
	struct lane *lanes = calloc(options->fibers, sizeof(*lanes));
	char *buffers = malloc((size_t)options->fibers * LANE_BUFFER_BYTES);
	weft_fiber *progress = NULL;
	int error = lanes && buffers ? 0 : fail("memory for the fibers", -ENOMEM);

	run->start = weft_now();
	run->end = options->duration == WEFT_FOREVER ? WEFT_FOREVER : run->start + options->duration;
	if (error == 0 && !options->quiet && weft_spawn(&progress, progress_main, run) < 0)
		progress = NULL;
	if (error == 0)
		error = start_lanes(run, lanes, buffers);
	if (error == 0)
		join_all(run, options->fibers);
	run->finished = weft_now();
	if (progress) {
		weft_cancel(progress);
		weft_join(progress, NULL);
	}
	free(lanes);
	free(buffers);
	return error;
}

void *run_main(void *arg)
{
	struct run *run = arg;
	int error = 0;

	weft_set_name("main");
	run->main_fiber = weft_self();
	run->hist_count = weft_workers() < COUNTER_ROWS ? weft_workers() : COUNTER_ROWS;
	for (unsigned i = 0; i < run->hist_count && error == 0; i++)
		error = hist_init(&run->hists[i], (uint64_t)run->options->latency_max);
	if (error < 0 || (error = weft_go(signals_main, run)) < 0) {
		fail("memory for the run", error);
		return run;
	}
	if (!open_connections(run) || (!run->interrupted && measure(run) < 0))
		return run;
	for (unsigned i = 0; i < run->options->connections; i++)
		client_close(&run->fds[i]);
	return NULL;
}
