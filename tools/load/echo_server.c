/* SPDX-License-Identifier: MIT */
/* echo_server.c - see echo_server.h */
#include "tools/load/echo_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/weft.h>

#include "tools/common/process.h"

/* On the fiber's stack: with the calls below it an idle connection stays on one page. */
#define ECHO_BUFFER_BYTES 1536u
#define IDLE_TIMEOUT (60 * WEFT_SEC)
#define WRITE_TIMEOUT (10 * WEFT_SEC)
/* When descriptors or memory have run out. */
#define ACCEPT_PAUSE (100 * WEFT_MS)

struct echo_server {
	const char *address;
	int listen_fd;
	int signal_fd;
};

static void *connection_main(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[ECHO_BUFFER_BYTES];
	ssize_t got;

	weft_set_name("echo");
	for (;;) {
		weft_deadline(weft_after(IDLE_TIMEOUT));
		got = weft_recv(fd, buffer, sizeof(buffer), 0);
		if (got <= 0)
			break;
		weft_deadline(weft_after(WRITE_TIMEOUT));
		if (weft_send_full(fd, buffer, (size_t)got, 0) != got)
			break;
	}
	weft_close(fd);
	return NULL;
}

static void *acceptor_main(void *arg)
{
	struct echo_server *server = arg;

	weft_set_name("acceptor");
	for (;;) {
		int fd = weft_accept(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd == -ECANCELED || fd == -EBADF || fd == -EINVAL)
			return NULL;
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
			weft_sleep(ACCEPT_PAUSE);
			continue;
		}
		if (fd >= 0 && weft_go(connection_main, (void *)(intptr_t)fd) < 0)
			weft_close(fd);
	}
}

/* Serves until a signal came; then weft_run() cancels acceptors and connections. */
static void *server_main(void *arg)
{
	struct echo_server *server = arg;
	const char *colon = strrchr(server->address, ':');
	int port;

	server->listen_fd = weft_listen(server->address);
	if (server->listen_fd < 0) {
		fprintf(stderr, "weft-load: %s: %s\n", server->address, strerror(-server->listen_fd));
		return server;
	}
	setsockopt(server->listen_fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	port = weft_local_port(server->listen_fd);
	if (port > 0)
		printf("listening on %.*s:%d\n", (int)(colon - server->address), server->address, port);
	else
		printf("listening on %s\n", server->address);
	fflush(stdout);
	for (unsigned i = 0; i < weft_workers(); i++)
		if (weft_go(acceptor_main, server) < 0)
			return server;
	process_wait_stop_signal(server->signal_fd);
	process_print_workers(stdout);
	return NULL;
}

int echo_server_run(const char *address, unsigned workers)
{
	struct echo_server server = {.address = address, .listen_fd = -1};
	void *failed = NULL;
	int error;

	process_raise_nofile();
	server.signal_fd = process_block_stop_signals();
	error = server.signal_fd;
	if (error >= 0)
		error = weft_run(&(weft_config){.workers = workers}, server_main, &server, &failed);
	if (error < 0)
		fprintf(stderr, "weft-load: the echo server did not start: %s\n", strerror(-error));
	if (server.listen_fd >= 0)
		close(server.listen_fd);
	if (server.signal_fd >= 0)
		close(server.signal_fd);
	return error < 0 ? error : failed ? -EADDRNOTAVAIL : 0;
}
