/* SPDX-License-Identifier: MIT */
/* graceful_shutdown.c - a TCP server that on SIGTERM lets requests finish, but not for long
 *
 * Shows    a scope that owns the connections; a signalfd read by a fiber; weft_shield around a
 *          request, and in it a scope whose deadline bounds the request and so the shutdown
 * Build    cc graceful_shutdown.c $(pkg-config --cflags --libs weft) -o graceful_shutdown
 * In tree  bazel run //examples/concurrency:graceful_shutdown
 *
 * The program is its own clients, and sends itself the signal. A request is one byte: how long it
 * takes, in hundredths of a second. The answer is '+' when it has begun and '.' when it is done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weft/weft.h>

/* No request may take longer; so the server ends within this time of the signal. */
#define LIMIT (600 * WEFT_MS)

struct server {
	int listener;
	int signals; /* a signalfd */
	weft_scope connections;
};

static int answer(int fd, unsigned char hundredths)
{
	weft_scope request;
	int error = weft_scope_open(&request, weft_after(LIMIT));

	if (error < 0)
		return error;
	if (weft_send_full(fd, "+", 1, 0) == 1 && weft_sleep(hundredths * 10 * WEFT_MS) == 0)
		weft_send_full(fd, ".", 1, 0);
	return weft_scope_close(&request);
}

/* One connection. While it waits for a request, the end of the server reaches it at once. A request
 * that has begun is shielded from that, and the scope opened under the shield too; the deadline of
 * that scope, its own, holds. */
static int serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	unsigned char request;
	int error = 0;

	while (error == 0 && weft_recv(fd, &request, 1, 0) == 1) {
		bool was = weft_shield(true);
		error = answer(fd, request);
		weft_shield(was);
	}
	weft_close(fd);
	return 0; /* whatever happened here, the other connections go on */
}

static int await_sigterm(void *arg)
{
	struct server *server = arg;
	struct signalfd_siginfo info;
	ssize_t length = weft_read(server->signals, &info, sizeof(info));

	if (length < 0)
		return (int)length;
	printf("server: SIGTERM\n");
	weft_scope_cancel(&server->connections);
	return 0;
}

/* Returns when the scope is cancelled: the opener's weft_accept fails then. */
static int accept_all(struct server *server)
{
	for (;;) {
		int fd = weft_accept(server->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			if (weft_scope_spawn(&server->connections, serve, (void *)(intptr_t)fd) < 0)
				weft_close(fd); /* no memory: this client is turned away */
		} else if (fd == -EMFILE || fd == -ENFILE) {
			weft_sleep(10 * WEFT_MS);
		} else if (fd != -ECONNABORTED) {
			return fd;
		}
	}
}

static int run_server(struct server *server)
{
	int error = weft_scope_open(&server->connections, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&server->connections, await_sigterm, server);
	if (error == 0)
		error = accept_all(server);
	weft_close(server->listener);
	printf("server: accepts no more\n");
	weft_scope_cancel(&server->connections); /* already done, unless accepting failed */
	int closed = weft_scope_close(&server->connections);
	printf("server: no connection is left\n");
	if (error == -ECANCELED)
		error = 0; /* that was the way to end */
	return closed != -ECANCELED ? closed : error;
}

/* The clients: one has its answer and stays, two have a request under way when the signal comes. */
struct client {
	const char *name;
	unsigned char hundredths;
	size_t before; /* bytes of the answer that it awaits before the signal */
	char answer[4];
};

struct clients {
	int port;
	struct client client[3];
};

static int ask(struct client *client, const char *address)
{
	int fd = weft_dial(address);

	if (fd < 0)
		return fd;
	if (weft_send_full(fd, &client->hundredths, 1, 0) == 1 &&
		weft_read_full(fd, client->answer, client->before) == (ssize_t)client->before)
		return fd;
	weft_close(fd);
	return -ECONNRESET;
}

static int run_clients(void *arg)
{
	struct clients *clients = arg;
	char address[32];
	int fd[3];
	int count = 0;
	int error = 0;

	snprintf(address, sizeof(address), "127.0.0.1:%d", clients->port);
	while (count < 3 && error == 0) {
		fd[count] = ask(&clients->client[count], address);
		if (fd[count] < 0)
			error = fd[count];
		else
			count++;
	}
	if (error == 0)
		kill(getpid(), SIGTERM);
	while (count-- > 0) {
		struct client *client = &clients->client[count];
		/* To the end, which comes when the server closes. */
		weft_read_full(fd[count], client->answer + client->before,
			sizeof(client->answer) - 1 - client->before);
		weft_close(fd[count]);
	}
	return error;
}

static int run(struct server *server, struct clients *clients)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	clients->port = weft_local_port(server->listener);
	error = weft_scope_spawn(&scope, run_clients, clients);
	if (error == 0)
		error = run_server(server);
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	return error < 0 ? error : closed;
}

static void *start(void *arg)
{
	struct server server;
	struct clients clients = {
		.client = {{.name = "idle", .hundredths = 0, .before = 2},
			{.name = "brief", .hundredths = 10, .before = 1},
			{.name = "long", .hundredths = 250, .before = 1}},
	};
	int error;

	server.signals = signalfd(-1, arg, SFD_CLOEXEC);
	if (server.signals < 0)
		return (void *)(intptr_t)-errno;
	server.listener = weft_listen("127.0.0.1:0");
	error = server.listener < 0 ? server.listener : run(&server, &clients);
	weft_close(server.signals);
	for (int i = 0; i < 3 && error == 0; i++)
		printf("%s request: %s\n", clients.client[i].name,
			strcmp(clients.client[i].answer, "+.") == 0 ? "answered" : "cut off");
	return (void *)(intptr_t)error;
}

int main(void)
{
	sigset_t set;
	void *result = NULL;

	/* Before any other thread exists, so that all inherit it. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	int error = weft_run(NULL, start, &set, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "graceful_shutdown: %s\n", strerror(-error));
	return error < 0;
}
