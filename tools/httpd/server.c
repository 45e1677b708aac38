/* SPDX-License-Identifier: MIT */
/* server.c - the main fiber: listen, serve, stop gracefully, say what happened
 *
 * What   The main fiber owns the server's descriptors and outlives what it starts: the acceptors, a
 *        fiber that reads stop signals, one that prints counters. It sleeps on wake_fd until a
 *        signal came or, while stopping, the last connection has ended.
 * Order  of stopping: no new connections (acceptors cancelled and joined, socket closed); idle
 *        connections see their end (rule S2 of server.h); running requests are answered, with
 *        "Connection: close"; after the grace, or at a second signal, the main fiber returns, and
 *        weft_run() cancels who is left.
 */
#include "tools/httpd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/common/process.h"

/* Slots beyond this many would never be used: no client machine has that many ports. */
#define SLOTS_MAX (1u << 20)

static const char *const event_names[EVENT_KINDS] = {
	[EVENT_CONNECTIONS] = "connections",
	[EVENT_REQUESTS] = "requests",
	[EVENT_BYTES_IN] = "bytes in",
	[EVENT_BYTES_OUT] = "bytes out",
	[EVENT_OK] = "answered 2xx, 304",
	[EVENT_CLIENT_ERROR] = "answered 4xx",
	[EVENT_SERVER_ERROR] = "answered 5xx",
	[EVENT_REFUSED_FULL] = "refused, no room",
	[EVENT_ACCEPT_PAUSED] = "accept paused",
	[EVENT_ACCEPT_FAILED] = "accept failed",
	[EVENT_HEADER_TIMEOUT] = "header timeouts",
	[EVENT_BODY_TIMEOUT] = "body timeouts",
	[EVENT_IDLE_TIMEOUT] = "idle timeouts",
	[EVENT_WRITE_TIMEOUT] = "write timeouts",
	[EVENT_RESET] = "connections reset",
	[EVENT_CUT_SHORT] = "requests cut short",
	[EVENT_FILE_FAILED] = "file errors",
	[EVENT_CANCELLED] = "cancelled at stop",
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "weft-httpd: %s: %s\n", what, strerror(-error));
	return error;
}

static int open_root(struct server *server)
{
	if (!server->options->root)
		return 0;
	server->root_fd = open(server->options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return server->root_fd < 0 ? fail(server->options->root, -errno) : 0;
}

int server_init(struct server *server, const struct options *options)
{
	unsigned descriptors = process_raise_nofile();
	uint32_t connections = options->limits.connections;

	*server = (struct server){
		.options = options, .listen_fd = -1, .root_fd = -1, .reserve_fd = -1, .signal_fd = -1};
	server->live_max = descriptors > 2 * HTTPD_RESERVED_FDS ? descriptors - HTTPD_RESERVED_FDS
								: descriptors / 2;
	if (connections > server->live_max)
		fprintf(stderr,
			"weft-httpd: at most %u connections: only %u descriptors are allowed (ulimit -Hn)\n",
			server->live_max, descriptors);
	else if (connections)
		server->live_max = connections;
	server->slot_count = descriptors < SLOTS_MAX ? descriptors : SLOTS_MAX;
	server->slots = calloc(server->slot_count, sizeof(*server->slots));
	server->rows = aligned_alloc(64, COUNTER_ROWS * sizeof(*server->rows));
	if (!server->slots || !server->rows)
		return fail("memory for the connections", -ENOMEM);
	memset(server->rows, 0, COUNTER_ROWS * sizeof(*server->rows));
	server->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (server->wake_fd < 0)
		return fail("eventfd", -errno);
	server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	server->signal_fd = process_block_stop_signals();
	if (server->signal_fd < 0)
		return fail("signalfd", server->signal_fd);
	return open_root(server);
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void server_free(struct server *server)
{
	close_if_open(server->root_fd);
	close_if_open(server->reserve_fd);
	close_if_open(server->signal_fd);
	close_if_open(server->wake_fd);
	free(server->slots);
	free(server->rows);
}

void server_wake(struct server *server)
{
	const uint64_t one = 1;

	/* It cannot fail: that takes 2^64 - 1 unread wake-ups. */
	if (write(server->wake_fd, &one, sizeof(one)) < 0)
		perror("weft-httpd: eventfd");
}

void server_leave(struct server *server)
{
	if (__atomic_sub_fetch(&server->live, 1, __ATOMIC_SEQ_CST) == 0 && server_draining(server))
		server_wake(server);
}

static uint64_t sum_of(const struct server *server, enum event event)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNTER_ROWS; i++)
		sum += counter_get(&server->rows[i].count[event]);
	return sum;
}

/* Totals always, kinds of trouble only where there was some. */
static void print_events(const struct server *server, FILE *out)
{
	for (unsigned i = 0; i < EVENT_KINDS; i++) {
		uint64_t sum = sum_of(server, (enum event)i);

		if (sum > 0 || i <= EVENT_BYTES_OUT)
			fprintf(out, "  %-18s %14" PRIu64 "\n", event_names[i], sum);
	}
}

/* One line per period with what changed in it. */
static void *stats_main(void *arg)
{
	struct server *server = arg;
	uint64_t requests_before = 0;

	weft_set_name("stats");
	while (weft_sleep(server->options->stats_every) == 0) {
		uint64_t requests = sum_of(server, EVENT_REQUESTS);

		fprintf(stderr,
			"connections %u, requests %" PRIu64 " (+%" PRIu64 "), 4xx %" PRIu64
			", 5xx %" PRIu64 "\n",
			__atomic_load_n(&server->live, __ATOMIC_RELAXED), requests,
			requests - requests_before, sum_of(server, EVENT_CLIENT_ERROR),
			sum_of(server, EVENT_SERVER_ERROR));
		requests_before = requests;
	}
	return NULL;
}

static void *signals_main(void *arg)
{
	struct server *server = arg;

	weft_set_name("signals");
	while (process_wait_stop_signal(server->signal_fd) == 0) {
		__atomic_add_fetch(&server->stop_signals, 1, __ATOMIC_SEQ_CST);
		server_wake(server);
	}
	return NULL;
}

/* Listens and says where: scripts wait for this line. */
static int listen_and_say(struct server *server)
{
	const char *address = server->options->address;
	const char *colon = strrchr(address, ':');
	int fd = weft_listen(address), port;

	if (fd < 0)
		return fail(address, fd);
	server->listen_fd = fd;
	port = weft_local_port(fd);
	if (port > 0) {
		/* Accepted sockets inherit it. Responses are complete when they are sent: no reason
		 * to wait. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		printf("listening on %.*s:%d\n", (int)(colon - address), address, port);
	} else {
		printf("listening on %s\n", address);
	}
	fflush(stdout);
	return 0;
}

/* Waits on wake_fd until done says so. 0, or why waiting ended. */
static int wait_until(struct server *server, bool (*done)(struct server *))
{
	uint64_t wakes;
	ssize_t got = 0;

	while (!done(server) && got >= 0)
		got = weft_read(server->wake_fd, &wakes, sizeof(wakes));
	return got < 0 ? (int)got : 0;
}

static int stop_signals_of(struct server *server)
{
	return __atomic_load_n(&server->stop_signals, __ATOMIC_SEQ_CST);
}

static bool told_to_stop(struct server *server)
{
	return stop_signals_of(server) > 0;
}

static bool drained(struct server *server)
{
	return stop_signals_of(server) > 1 || __atomic_load_n(&server->live, __ATOMIC_SEQ_CST) == 0;
}

static void drain(struct server *server)
{
	uint32_t live = __atomic_load_n(&server->live, __ATOMIC_SEQ_CST);

	printf("stopping: %u connections\n", live);
	fflush(stdout);
	__atomic_store_n(&server->draining, 1, __ATOMIC_SEQ_CST); /* rule S2: say so, then look */
	for (uint32_t i = 0; i < server->slot_count; i++)
		if (__atomic_load_n(&server->slots[i].idle, __ATOMIC_SEQ_CST))
			shutdown((int)i, SHUT_RD);
	weft_deadline(weft_after(server->options->limits.grace));
	wait_until(server, drained);
	weft_deadline(WEFT_FOREVER);
	live = __atomic_load_n(&server->live, __ATOMIC_SEQ_CST);
	if (live > 0)
		printf("cancelling %u connections that are still busy\n", live);
}

void *server_main(void *arg)
{
	struct server *server = arg;
	unsigned count = weft_workers(), started = 0;
	weft_fiber **acceptors = calloc(count, sizeof(*acceptors));

	weft_set_name("main");
	if (!acceptors || listen_and_say(server) < 0) {
		free(acceptors);
		return server;
	}
	while (started < count && weft_spawn(&acceptors[started], acceptor_main, server) == 0)
		started++;
	if (started == 0 || weft_go(signals_main, server) < 0) {
		fail("no memory for the first fibers", -ENOMEM);
		server->stop_signals = 1;
	}
	if (server->options->stats_every)
		weft_go(stats_main, server);
	wait_until(server, told_to_stop);
	for (unsigned i = 0; i < started; i++) {
		weft_cancel(acceptors[i]);
		weft_join(acceptors[i], NULL);
	}
	weft_close(server->listen_fd);
	drain(server);
	print_events(server, stdout);
	process_print_workers(stdout);
	fflush(stdout);
	free(acceptors);
	return NULL;
}
