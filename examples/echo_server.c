/* SPDX-License-Identifier: MIT */
/* echo_server.c - a server as one writes it with threads, but with a fiber for each connection
 *
 * Shows    weft_listen, weft_accept, weft_go, weft_recv, weft_send_full, weft_close; a deadline
 *          that moves with each request; how a program ends with connections open
 * Build    cc echo_server.c $(pkg-config --cflags --libs weft) -o echo_server
 * In tree  bazel run //examples:echo_server -- --listen 127.0.0.1:7000
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <weft/weft.h>

/* A client that says nothing for so long is sent away. */
#define IDLE (60 * WEFT_SEC)

struct options {
	const char *listen;
	weft_ns run_for;
};

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[4096];
	ssize_t length;

	/* Moving a deadline later costs a store, no timer. */
	weft_deadline(weft_after(IDLE));
	while ((length = weft_recv(fd, buffer, sizeof(buffer), 0)) > 0 &&
		weft_send_full(fd, buffer, (size_t)length, 0) == length)
		weft_deadline(weft_after(IDLE));

	/* End of file, a broken connection, idle too long, or the program ends: closing always works. */
	weft_close(fd);
	return NULL;
}

static int accept_all(int listener)
{
	for (;;) {
		int fd = weft_accept(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			if (weft_go(serve, (void *)(intptr_t)fd) < 0)
				weft_close(fd); /* no memory for a fiber: this client is turned away */
		} else if (fd == -EMFILE || fd == -ENFILE) {
			weft_sleep(10 * WEFT_MS); /* no connection is lost; a descriptor will come free */
		} else if (fd != -ECONNABORTED) {
			return fd;
		}
	}
}

static void *start(void *arg)
{
	const struct options *options = arg;
	int listener = weft_listen(options->listen);

	if (listener < 0)
		return (void *)(intptr_t)listener;
	int port = weft_local_port(listener);
	printf("listening on %s", options->listen);
	if (port > 0)
		printf(", port %d", port);
	printf("\n");
	fflush(stdout);

	weft_deadline(options->run_for == 0 ? WEFT_FOREVER : weft_after(options->run_for));
	int error = accept_all(listener);
	weft_close(listener);
	/* Returning ends the program: weft_run cancels the connections that are left and waits for
	 * them. Each finds its recv or send failing, closes its descriptor and returns. */
	return (void *)(intptr_t)(error == -ETIMEDOUT ? 0 : error);
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: echo_server [--listen ADDRESS] [--seconds N]\n"
		"  --listen ADDRESS   host:port, [v6]:port or unix:/path (127.0.0.1:0: a free port)\n"
		"  --seconds N        stop after N seconds, 1 to 1000000 (else: serve until killed)\n");
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.listen = "127.0.0.1:0"};
	void *result = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			return usage(0);
		} else if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc) {
			options.listen = argv[++i];
		} else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
			char *rest;
			long seconds = strtol(argv[++i], &rest, 10);
			if (*rest != '\0' || seconds < 1 || seconds > 1000000)
				return usage(2);
			options.run_for = seconds * WEFT_SEC;
		} else {
			return usage(2);
		}
	}
	int error = weft_run(NULL, start, &options, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "echo_server: %s: %s\n", options.listen, strerror(-error));
	return error < 0;
}
