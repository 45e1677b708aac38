/* SPDX-License-Identifier: MIT */
/* echo_server.c - a server: a fiber for each connection, limits, and a clean end
 *
 * Shows    weft_listen, weft_accept and what to do about its errors; a scope that owns the
 *          connections; a semaphore that bounds them; buffers that are lent only while there is
 *          data; a deadline that moves with each request; SIGTERM as a message on a channel
 * Build    cc echo_server.c $(pkg-config --cflags --libs weft) -o echo_server
 * Run      ./echo_server --listen 127.0.0.1:7000    and elsewhere:    nc 127.0.0.1 7000
 * In tree  bazel run //examples/io:echo_server -- --listen 127.0.0.1:7000
 * Ends     on SIGINT or SIGTERM, with 0; 1: it cannot serve; 2: wrong usage
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

struct server {
	const char *address;
	weft_ns idle; /* a client that says nothing for so long is sent away */
	int listener;
	weft_sem free_slots; /* connections that may still be made */
	weft_chan *signals;
	weft_scope connections;
};

struct connection {
	struct server *server;
	int fd;
};

static int serve(void *arg)
{
	struct connection *connection = arg;
	struct server *server = connection->server;
	int fd = connection->fd;
	bool more = true;

	free(connection);
	while (more) {
		weft_slice slice; /* lent when data has come: who waits holds no buffer */
		/* Moving a deadline later costs a store, no timer. */
		weft_deadline(weft_after(server->idle));
		ssize_t length = weft_recv_borrow(fd, &slice);
		more = length > 0 && weft_send_full(fd, slice.data, slice.len, 0) == length;
		weft_slice_return(&slice);
	}
	/* End of file, a broken connection, idle too long, or the server ends: closing always works. */
	weft_close(fd);
	weft_sem_post(&server->free_slots);
	return 0; /* whatever happened here, the other connections go on */
}

static int start_connection(struct server *server, int fd)
{
	struct connection *connection = malloc(sizeof(*connection));

	if (!connection)
		return -ENOMEM;
	*connection = (struct connection){.server = server, .fd = fd};
	int error = weft_scope_spawn(&server->connections, serve, connection);
	if (error < 0)
		free(connection);
	return error;
}

/* Returns when the scope is cancelled: weft_sem_wait and weft_accept fail then. */
static int accept_all(struct server *server)
{
	for (;;) {
		/* At the limit clients wait in the backlog of the listening socket, not here. */
		int error = weft_sem_wait(&server->free_slots);
		if (error < 0)
			return error;
		int fd = weft_accept(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && start_connection(server, fd) == 0)
			continue;
		weft_sem_post(&server->free_slots);
		if (fd >= 0)
			weft_close(fd); /* no memory: this client is turned away */
		else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
			weft_sleep(10 * WEFT_MS); /* no connection is lost; something will come free */
		else if (fd != -ECONNABORTED && fd != -EPROTO)
			return fd;
	}
}

static int await_signal(void *arg)
{
	struct server *server = arg;
	int number;
	int error = weft_chan_recv(server->signals, &number);

	if (error == 0)
		weft_scope_cancel(&server->connections);
	return error;
}

static int run_server(struct server *server)
{
	int error = weft_scope_open(&server->connections, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&server->connections, await_signal, server);
	if (error == 0)
		error = accept_all(server);
	weft_scope_cancel(&server->connections); /* already done, unless accepting failed */
	int closed = weft_scope_close(&server->connections);
	/* Cancelled is how it ends when a signal says so. */
	if (error == -ECANCELED)
		error = closed;
	return error == -ECANCELED ? 0 : error;
}

static void *start(void *arg)
{
	struct server *server = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	int error = weft_signal_chan(&server->signals, &set);
	if (error < 0)
		return (void *)(intptr_t)error;
	server->listener = weft_listen(server->address);
	if (server->listener < 0) {
		error = server->listener;
	} else {
		int port = weft_local_port(server->listener);
		if (port > 0)
			printf("listening on %s, port %d\n", server->address, port);
		else
			printf("listening on %s\n", server->address);
		fflush(stdout);
		error = run_server(server);
		weft_close(server->listener);
	}
	weft_chan_free(server->signals);
	return (void *)(intptr_t)error;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: echo_server [--listen ADDRESS] [--idle SECONDS] [--max N]\n"
		"  --listen ADDRESS  host:port, [v6]:port or unix:/path (127.0.0.1:0: a free port)\n"
		"  --idle SECONDS    a silent client is sent away after so long (60)\n"
		"  --max N           connections at a time; others wait their turn (10000)\n");
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
		{"max", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	struct server server = {.address = "127.0.0.1:0"};
	long idle = 60;
	long most = 10000;
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			server.address = optarg;
		else if (option == 'i')
			idle = parse(optarg, 1, 1000000);
		else if (option == 'm')
			most = parse(optarg, 1, 1000000);
		else
			return usage(option == 'h' ? 0 : 2);
	}
	if (optind != argc || idle < 0 || most < 0)
		return usage(2);
	server.idle = idle * WEFT_SEC;
	weft_sem_init(&server.free_slots, (unsigned)most);

	int error = weft_run(NULL, start, &server, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "echo_server: %s: %s\n", server.address, strerror(-error));
	return error < 0;
}
