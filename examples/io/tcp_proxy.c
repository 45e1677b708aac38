/* SPDX-License-Identifier: MIT */
/* tcp_proxy.c - passes TCP connections on to another address
 *
 * Shows    two fibers a connection, one for each direction; half-close passed on by weft_shutdown;
 *          a reset passed on as a reset; one idle limit for both directions; a time limit on
 *          weft_dial; and an end in two steps: accept no more, give what is open a grace, then cut
 * Build    cc tcp_proxy.c $(pkg-config --cflags --libs weft) -o tcp_proxy
 * Run      ./tcp_proxy --listen 127.0.0.1:8080 example.org:80
 * In tree  bazel run //examples/io:tcp_proxy -- --listen 127.0.0.1:8080 example.org:80
 * Ends     on SIGINT or SIGTERM, with 0; 1: it cannot serve; 2: wrong usage
 *
 * A target that does not answer costs its client the connection (a reset) and a line on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <weft/weft.h>

#define DIAL_LIMIT (10 * WEFT_SEC)

struct proxy {
	const char *address;
	const char *target;
	weft_ns idle;
	weft_ns grace;
	unsigned most;
	int listener;
	weft_sem free_slots;
	weft_chan *signals;
	weft_scope accepting; /* inside the other one: the accepting fiber, and who waits for a signal */
	weft_scope connections;
};

struct connection {
	struct proxy *proxy;
	int client;
	int target;
	weft_mutex lock;
	weft_ns idle_at; /* when nothing will have moved for too long, in either direction */
};

struct direction {
	struct connection *connection;
	int from;
	int to;
};

/* Something has moved: both directions have time again. */
static void moved(struct connection *connection)
{
	weft_ns idle_at = weft_after(connection->proxy->idle);

	weft_mutex_lock(&connection->lock);
	connection->idle_at = idle_at;
	weft_mutex_unlock(&connection->lock);
	weft_deadline(idle_at);
}

/* After -ETIMEDOUT: has the other direction moved meanwhile? Then this one has time as well. */
static bool other_moved(struct connection *connection)
{
	weft_mutex_lock(&connection->lock);
	weft_ns idle_at = connection->idle_at;
	weft_mutex_unlock(&connection->lock);
	weft_deadline(idle_at);
	return idle_at > weft_now();
}

static int send_all(const struct direction *direction, const weft_slice *slice)
{
	for (size_t sent = 0; sent < slice->len;) {
		ssize_t n = weft_send(direction->to, (char *)slice->data + sent, slice->len - sent, 0);
		if (n < 0 && (n != -ETIMEDOUT || !other_moved(direction->connection)))
			return (int)n;
		if (n > 0) {
			sent += (size_t)n;
			moved(direction->connection);
		}
	}
	return 0;
}

/* From one socket to the other, until the sender says that it is done. An error ends both. */
static int pass(void *arg)
{
	const struct direction *direction = arg;

	moved(direction->connection);
	for (;;) {
		weft_slice slice; /* lent when data has come: who waits holds no buffer */
		ssize_t length = weft_recv_borrow(direction->from, &slice);
		if (length == -ETIMEDOUT && other_moved(direction->connection))
			continue;
		if (length <= 0)
			return length < 0 ? (int)length : weft_shutdown(direction->to, SHUT_WR);
		moved(direction->connection);
		int error = send_all(direction, &slice);
		weft_slice_return(&slice);
		if (error < 0)
			return error;
	}
}

static int pass_both(struct connection *connection)
{
	struct direction up = {connection, connection->client, connection->target};
	struct direction down = {connection, connection->target, connection->client};
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&scope, pass, &up);
	if (error == 0)
		error = weft_scope_spawn(&scope, pass, &down);
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	return error < 0 ? error : closed;
}

/* With @reset the peer sees an error rather than an end that looks like all of the data. */
static void hang_up(int fd, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	weft_close(fd);
}

static int serve(void *arg)
{
	struct connection *connection = arg;
	struct proxy *proxy = connection->proxy;

	weft_deadline(weft_after(DIAL_LIMIT));
	connection->target = weft_dial(proxy->target);
	weft_deadline(WEFT_FOREVER);
	if (connection->target < 0) {
		if (connection->target != -ECANCELED)
			fprintf(stderr, "tcp_proxy: %s: %s\n", proxy->target,
				strerror(-connection->target));
		hang_up(connection->client, true);
	} else {
		bool broken = pass_both(connection) < 0;
		hang_up(connection->target, broken);
		hang_up(connection->client, broken);
	}
	free(connection);
	weft_sem_post(&proxy->free_slots);
	return 0; /* whatever happened here, the other connections go on */
}

static int start_connection(struct proxy *proxy, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return -ENOMEM;
	connection->proxy = proxy;
	connection->client = fd;
	int error = weft_scope_spawn(&proxy->connections, serve, connection);
	if (error < 0)
		free(connection);
	return error;
}

/* Returns when the scope is cancelled: weft_sem_wait and weft_accept fail then. */
static int accept_all(struct proxy *proxy)
{
	for (;;) {
		/* At the limit clients wait in the backlog of the listening socket, not here. */
		int error = weft_sem_wait(&proxy->free_slots);
		if (error < 0)
			return error;
		int fd = weft_accept(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && start_connection(proxy, fd) == 0)
			continue;
		weft_sem_post(&proxy->free_slots);
		if (fd >= 0)
			hang_up(fd, true); /* no memory: this client is turned away */
		else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
			weft_sleep(10 * WEFT_MS); /* no connection is lost; something will come free */
		else if (fd != -ECONNABORTED && fd != -EPROTO)
			return fd;
	}
}

/* The first signal ends the accepting, a second one the grace. */
static int await_first_signal(void *arg)
{
	struct proxy *proxy = arg;
	int number;
	int error = weft_chan_recv(proxy->signals, &number);

	if (error == 0)
		weft_scope_cancel(&proxy->accepting);
	return error;
}

static int accept_until_signal(struct proxy *proxy)
{
	int error = weft_scope_open(&proxy->accepting, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&proxy->accepting, await_first_signal, proxy);
	if (error == 0)
		error = accept_all(proxy);
	weft_scope_cancel(&proxy->accepting); /* already done, unless accepting failed */
	int closed = weft_scope_close(&proxy->accepting);
	if (error == -ECANCELED)
		error = closed;
	return error == -ECANCELED ? 0 : error;
}

static int await_second_signal(void *arg)
{
	struct proxy *proxy = arg;
	int number;
	int error = weft_chan_recv(proxy->signals, &number);

	if (error == 0)
		weft_scope_cancel(&proxy->connections);
	return error;
}

/* Connections may end by themselves until the grace is over. All slots free: all are gone. */
static void let_them_end(struct proxy *proxy)
{
	weft_deadline(weft_after(proxy->grace));
	for (unsigned taken = 0; taken < proxy->most; taken++)
		if (weft_sem_wait(&proxy->free_slots) < 0)
			break;
	weft_deadline(WEFT_FOREVER);
}

static int run_proxy(struct proxy *proxy)
{
	int error = weft_scope_open(&proxy->connections, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = accept_until_signal(proxy);
	weft_close(proxy->listener);
	if (error == 0 && weft_scope_spawn(&proxy->connections, await_second_signal, proxy) == 0)
		let_them_end(proxy);
	weft_scope_cancel(&proxy->connections);
	int closed = weft_scope_close(&proxy->connections);
	return error < 0 || closed == -ECANCELED ? error : closed;
}

static void *start(void *arg)
{
	struct proxy *proxy = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	int error = weft_signal_chan(&proxy->signals, &set);
	if (error < 0)
		return (void *)(intptr_t)error;
	proxy->listener = weft_listen(proxy->address);
	if (proxy->listener < 0) {
		error = proxy->listener;
	} else {
		int port = weft_local_port(proxy->listener);
		if (port > 0)
			printf("listening on %s, port %d\n", proxy->address, port);
		else
			printf("listening on %s\n", proxy->address);
		fflush(stdout);
		error = run_proxy(proxy);
	}
	weft_chan_free(proxy->signals);
	return (void *)(intptr_t)error;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: tcp_proxy [--listen ADDRESS] [--idle SECONDS] [--grace SECONDS] [--max N] TARGET\n"
		"  TARGET            where to: host:port, [v6]:port or unix:/path\n"
		"  --listen ADDRESS  the same, where to listen (127.0.0.1:0: a free port)\n"
		"  --idle SECONDS    a connection in which nothing moves is cut after so long (60)\n"
		"  --grace SECONDS   what is open may go on for so long after SIGTERM (5)\n"
		"  --max N           connections at a time; others wait their turn (1000)\n");
	return status;
}

/* A decimal number of a range, or -1. */
static long parse(const char *text, long least, long most)
{
	char *rest;
	long number = strtol(text, &rest, 10);

	return rest != text && *rest == '\0' && number >= least && number <= most ? number : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"listen", required_argument, NULL, 'l'},
		{"idle", required_argument, NULL, 'i'},
		{"grace", required_argument, NULL, 'g'},
		{"max", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	struct proxy proxy = {.address = "127.0.0.1:0"};
	long idle = 60;
	long grace = 5;
	long most = 1000;
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			proxy.address = optarg;
		else if (option == 'i')
			idle = parse(optarg, 1, 1000000);
		else if (option == 'g')
			grace = parse(optarg, 0, 1000000);
		else if (option == 'm')
			most = parse(optarg, 1, 1000000);
		else
			return usage(option == 'h' ? 0 : 2);
	}
	if (optind != argc - 1 || idle < 0 || grace < 0 || most < 0)
		return usage(2);
	proxy.target = argv[optind];
	proxy.idle = idle * WEFT_SEC;
	proxy.grace = grace * WEFT_SEC;
	proxy.most = (unsigned)most;
	weft_sem_init(&proxy.free_slots, proxy.most);

	int error = weft_run(NULL, start, &proxy, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "tcp_proxy: %s: %s\n", proxy.address, strerror(-error));
	return error < 0;
}
