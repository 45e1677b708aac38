/* SPDX-License-Identifier: MIT */
/* echo_server.c - weft's side of the echo question: straight-line code, a fiber for each connection
 *
 * Prints "listening on ADDRESS:PORT" and serves until it is killed; bench/echo_load.c starts it,
 * loads it and reads its CPU time. The peers with the same first line are peers/uring_echo.c and
 * peers/go/echo.go.
 */
#include "bench/in_fiber.h"

#include <errno.h>
#include <stdio.h>

static const struct bench_question question = {
	.name = "echo_server",
	.asks = "serves echo on a free port of 127.0.0.1 until killed; started by echo_load",
};

/* On the fiber's stack: small enough for the page that is touched anyway. */
enum { BUFFER_BYTES = 1024 };

static void *serve(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	char buffer[BUFFER_BYTES];
	ssize_t got;

	while ((got = weft_recv(fd, buffer, sizeof buffer, 0)) > 0)
		if (weft_send_full(fd, buffer, (size_t)got, 0) != got)
			break;
	weft_close(fd);
	return NULL;
}

static void *body(void *arg)
{
	const int listener = bench_check(weft_listen("127.0.0.1:0"), "weft_listen");
	int fd;

	(void)arg;
	printf("listening on 127.0.0.1:%d\n", bench_check(weft_local_port(listener), "weft_local_port"));
	fflush(stdout);
	while ((fd = weft_accept(listener, NULL, NULL, 0)) >= 0 || fd == -ECONNABORTED)
		if (fd >= 0)
			bench_check(weft_go(serve, (void *)(intptr_t)fd), "weft_go");
	bench_check(fd, "weft_accept");
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
