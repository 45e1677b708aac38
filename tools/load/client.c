/* SPDX-License-Identifier: MIT */
/* client.c - one request, or one pipelined batch, on one connection: sent, read, checked, counted
 *
 * Rules  E1 each request of a batch is counted exactly once: done, or failed with the reason. Those
 *           behind a response that failed share its fate, as nothing on the connection can be
 *           trusted any more.
 *        E2 a server may close behind a response if it says so in it: what it left unanswered is
 *           sent again on a new connection, and its latency goes on counting.
 *        E3 a connection with anything unexpected on it is closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/load/run.h"

/* After a failed connect a lane waits, twice as long each time up to a bound: a server that is down
 * is asked again, but not in a busy loop. */
#define BACKOFF_MIN (1 * WEFT_MS)
#define BACKOFF_MAX (256 * WEFT_MS)

/* How long a server may take to close a connection that it has been asked to close. */
#define FINISH_PATIENCE (1 * WEFT_SEC)

/* An echo is sent and read in pieces that fit any socket buffer, so that both sides cannot wait for
 * each other. */
#define ECHO_WINDOW_BYTES 16384u

int client_connect(struct lane *lane, int *fd)
{
	const struct target *target = lane->run->target;
	int error, new_fd;

	if (*fd >= 0)
		return 0;
	new_fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (new_fd < 0)
		return -errno;
	error = weft_connect(new_fd, (const struct sockaddr *)&target->address, target->address_len);
	if (error < 0) {
		weft_close(new_fd);
		return error;
	}
	setsockopt(new_fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	counter_add(&run_tally(lane->run)->connects, 1);
	*fd = new_fd;
	return 0;
}

void client_close(int *fd)
{
	if (*fd >= 0)
		weft_close(*fd);
	*fd = -1;
}

static enum failure failure_of(ssize_t error)
{
	switch (error) {
	case 0:
		return FAILURE_EOF;
	case -ETIMEDOUT:
		return FAILURE_TIMEOUT;
	default:
		return FAILURE_RESET;
	}
}

/* Connects if need be; on failure counts, waits a little, and returns the error. */
static int connect_or_count(struct lane *lane, int *fd, unsigned count)
{
	struct run *run = lane->run;
	int error = client_connect(lane, fd);

	if (error == 0) {
		lane->backoff = 0;
		return 0;
	}
	if (error == -ECANCELED)
		return error;
	__atomic_store_n(&run->last_connect_error, error, __ATOMIC_RELAXED);
	run_fail(run, error == -ETIMEDOUT ? FAILURE_TIMEOUT : FAILURE_CONNECT, count);
	lane->backoff = lane->backoff == 0 ? BACKOFF_MIN : lane->backoff * 2;
	if (lane->backoff > BACKOFF_MAX)
		lane->backoff = BACKOFF_MAX;
	weft_deadline(WEFT_FOREVER);
	return weft_sleep(lane->backoff) == -ECANCELED ? -ECANCELED : error;
}

static ssize_t send_all(struct run *run, int fd, const char *data, size_t len)
{
	ssize_t sent = 0;

	while (len > 0 && sent >= 0) {
		sent = weft_send_full(fd, data, len, 0);
		if (sent >= 0) { /* fewer than all: the next call returns the error */
			data += sent;
			len -= (size_t)sent;
			counter_add(&run_tally(run)->bytes_out, (uint64_t)sent);
		}
	}
	return sent;
}

static ssize_t receive(struct lane *lane, int fd, size_t len)
{
	ssize_t got = weft_recv(fd, lane->buffer, len, 0);

	if (got > 0)
		counter_add(&run_tally(lane->run)->bytes_in, (uint64_t)got);
	return got;
}

/* The server is about to close, as it was asked to or has said. Waiting for it leaves the TIME_WAIT
 * state on its side, so that this side does not run out of ports. */
static void finish_connection(struct lane *lane, int *fd)
{
	if (*fd < 0)
		return;
	weft_deadline(weft_after(FINISH_PATIENCE));
	if (lane->run->options->echo)
		weft_shutdown(*fd, SHUT_WR);
	weft_recv(*fd, lane->buffer, LANE_BUFFER_BYTES, 0);
	client_close(fd);
}

static void record(struct run *run, weft_ns due, weft_ns now)
{
	hist_record(&run->hists[counter_row() % run->hist_count], now > due ? (uint64_t)(now - due) : 0);
	counter_add(&run_tally(run)->done, 1);
}

/* A response is complete: done, unless its status says otherwise. */
static void take_response(struct lane *lane, weft_ns due, weft_ns now)
{
	if (lane->response.status / 100 == 2)
		record(lane->run, due, now);
	else
		run_fail(lane->run, FAILURE_STATUS, 1);
}

/* Takes the responses in the bytes received; *left counts down. RESPONSE_MORE: all bytes used;
 * RESPONSE_DONE: the server will close behind the last one taken; else what is wrong. */
static enum response_event take_responses(
	struct lane *lane, const char *data, size_t len, unsigned *left, weft_ns due)
{
	weft_ns now = weft_now();

	while (len > 0) {
		size_t used;
		enum response_event event;

		event = response_feed(&lane->response, data, len, &used);
		if (event != RESPONSE_DONE)
			return event;
		data += used;
		len -= used;
		if (*left == 1 && len > 0)
			return RESPONSE_BAD_BODY; /* longer than it said */
		take_response(lane, due, now);
		(*left)--;
		if (!lane->response.keep_alive)
			return RESPONSE_DONE;
		response_start(&lane->response, &lane->run->rules);
	}
	return RESPONSE_MORE;
}

/* The connection has ended or broken with left responses missing. */
static void account_for_end(struct lane *lane, ssize_t result, unsigned *left, weft_ns due)
{
	if (result == 0) {
		switch (response_end(&lane->response)) {
		case RESPONSE_DONE: /* a body that lasts until the end of the connection */
			take_response(lane, due, weft_now());
			(*left)--;
			break;
		case RESPONSE_BAD_BODY:
			run_fail(lane->run, FAILURE_BODY, 1);
			(*left)--;
			break;
		case RESPONSE_BAD_PARSE:
		case RESPONSE_MORE:
			break;
		}
	}
	run_fail(lane->run, failure_of(result), *left);
	*left = 0;
}

/* Reads responses until none is left, the connection is of no more use (closed then), or the lane
 * is cancelled (false). *left counts those that are to be sent again (rule E2). */
static bool read_responses(struct lane *lane, int *fd, unsigned *left, weft_ns due)
{
	response_start(&lane->response, &lane->run->rules);
	while (*left > 0) {
		ssize_t got = receive(lane, *fd, LANE_BUFFER_BYTES);

		if (got == -ECANCELED)
			return false;
		if (got <= 0) {
			client_close(fd);
			account_for_end(lane, got, left, due);
			return true;
		}
		switch (take_responses(lane, lane->buffer, (size_t)got, left, due)) {
		case RESPONSE_MORE:
			break;
		case RESPONSE_DONE:
			finish_connection(lane, fd);
			return true;
		case RESPONSE_BAD_PARSE:
			client_close(fd);
			run_fail(lane->run, FAILURE_PARSE, *left);
			*left = 0;
			return true;
		case RESPONSE_BAD_BODY:
			client_close(fd);
			run_fail(lane->run, FAILURE_BODY, *left);
			*left = 0;
			return true;
		}
	}
	return true;
}

/* Sends left requests and reads their responses. False: cancelled. */
static bool exchange_http(struct lane *lane, int *fd, unsigned *left, weft_ns due)
{
	struct run *run = lane->run;
	ssize_t sent = send_all(run, *fd, run->request, *left * run->request_len);

	if (sent == -ECANCELED)
		return false;
	/* A server may refuse before it has read all: then its word is worth more than the failed
	 * send. */
	if (sent < 0 && sent != -EPIPE && sent != -ECONNRESET) {
		client_close(fd);
		run_fail(run, failure_of(sent), *left);
		*left = 0;
		return true;
	}
	return read_responses(lane, fd, left, due);
}

/* Reads a piece of an echo and compares: 1, 0 where the bytes differ, or failure as a number <= -1;
 * at the end of the connection -EPIPE. */
static int read_echo(struct lane *lane, int fd, const char *sent, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t got =
			receive(lane, fd, len - at < LANE_BUFFER_BYTES ? len - at : LANE_BUFFER_BYTES);

		if (got <= 0)
			return got < 0 ? (int)got : -EPIPE;
		if (memcmp(sent + at, lane->buffer, (size_t)got) != 0)
			return 0;
		at += (size_t)got;
	}
	return 1;
}

/* Sends left messages and reads them back, in windows; records each when its last byte is back. */
static bool exchange_echo(struct lane *lane, int *fd, unsigned *left, weft_ns due)
{
	struct run *run = lane->run;
	size_t total = *left * run->request_len, at = 0, recorded = 0;

	while (at < total) {
		size_t step = total - at < ECHO_WINDOW_BYTES ? total - at : ECHO_WINDOW_BYTES;
		ssize_t result = send_all(run, *fd, run->request + at, step);

		if (result >= 0)
			result = read_echo(lane, *fd, run->request + at, step);
		if (result == -ECANCELED)
			return false;
		if (result <= 0) {
			client_close(fd);
			run_fail(run,
				result == 0		   ? FAILURE_BODY
					: result == -EPIPE ? FAILURE_EOF
							   : failure_of(result),
				*left);
			*left = 0;
			return true;
		}
		at += step;
		for (; recorded + run->request_len <= at; recorded += run->request_len) {
			record(run, due, weft_now());
			(*left)--;
		}
	}
	return true;
}

bool client_exchange(struct lane *lane, unsigned count, weft_ns due)
{
	struct run *run = lane->run;
	const struct options *options = run->options;
	int *fd = &run->fds[lane->first + lane->turn * options->fibers];
	unsigned left = count;
	weft_ns late = weft_after(options->timeout);
	bool goes_on = true;

	lane->turn = (lane->turn + 1) % lane->count;
	weft_deadline(late);
	/* Each round but the first follows a response (rule E2), so there are at most count of
	 * them. */
	while (left > 0 && goes_on) {
		unsigned before = left;
		int error = connect_or_count(lane, fd, left);

		if (error < 0)
			return error != -ECANCELED;
		weft_deadline(late);
		goes_on = options->echo ? exchange_echo(lane, fd, &left, due)
					: exchange_http(lane, fd, &left, due);
		if (goes_on && left == before) {
			run_fail(run, FAILURE_EOF, left);
			break;
		}
	}
	if (options->no_keepalive && goes_on)
		finish_connection(lane, fd);
	return goes_on;
}
