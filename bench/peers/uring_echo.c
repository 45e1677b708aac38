/* SPDX-License-Identifier: MIT */
/* uring_echo.c - the floor of the echo question: the loop one would write by hand for io_uring
 *
 * What     one thread, one ring, one buffer for each connection; a receive that waits for data
 *          (POLL_FIRST), then a send; everything a batch of completions asks for goes out with one
 *          io_uring_enter. No runtime, no fibers, no timeouts, no cancellation: less than any real
 *          server does, which is what makes it a floor.
 * Rules    a short send closes the connection: 64 bytes into an empty socket are never short.
 * Prints   "listening on 127.0.0.1:PORT"; ends when killed. Started by bench/echo_load.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES = 1024, BUFFER_BYTES = 4096 };

/* In user_data's low bits; connections are aligned by malloc. The acceptor has no connection. */
enum op { OP_RECV = 0, OP_SEND = 1, OP_MASK = 1 };

struct connection {
	int fd;
	int sending;
	char buffer[BUFFER_BYTES];
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "uring_echo: %s: %s\n", what, strerror(error));
	exit(1);
}

/* DEFER_TASKRUN where the kernel has it (6.1), the plain mode elsewhere; said on stderr. */
static void open_ring(struct io_uring *ring)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
	int result = io_uring_queue_init_params(ENTRIES, ring, &params);

	if (result == -EINVAL) {
		fprintf(stderr, "uring_echo: no DEFER_TASKRUN here, using the default mode\n");
		result = io_uring_queue_init(ENTRIES, ring, 0);
	}
	if (result < 0)
		die("io_uring_queue_init", -result);
	result = io_uring_register_ring_fd(ring);
	if (result < 0)
		fprintf(stderr, "uring_echo: ring descriptor not registered: %s\n", strerror(-result));
}

static int open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
		listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		die("listen on 127.0.0.1", errno);
	printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static struct io_uring_sqe *get_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	if (!sqe)
		die("submission queue full after a submit", EBUSY);
	return sqe;
}

static void queue_accept(struct io_uring *ring, int listener)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data64(sqe, 0);
}

static void queue_recv(struct io_uring *ring, struct connection *c)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	io_uring_prep_recv(sqe, c->fd, c->buffer, sizeof c->buffer, 0);
	sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
	io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | OP_RECV);
}

static void queue_send(struct io_uring *ring, struct connection *c, int bytes)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	c->sending = bytes;
	io_uring_prep_send(sqe, c->fd, c->buffer, (size_t)bytes, MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | OP_SEND);
}

static void welcome(struct io_uring *ring, int fd)
{
	struct connection *c;

	if (fd < 0)
		die("accept", -fd);
	c = malloc(sizeof *c);
	if (!c)
		die("a connection's memory", ENOMEM);
	c->fd = fd;
	queue_recv(ring, c);
}

static void handle(struct io_uring *ring, int listener, const struct io_uring_cqe *cqe)
{
	const uint64_t data = cqe->user_data;
	struct connection *c = (struct connection *)(uintptr_t)(data & ~(uint64_t)OP_MASK);
	const int sent = (data & OP_MASK) == OP_SEND;

	if (!c) {
		welcome(ring, cqe->res);
		queue_accept(ring, listener);
	} else if (sent && cqe->res == c->sending) {
		queue_recv(ring, c);
	} else if (!sent && cqe->res > 0) {
		queue_send(ring, c, cqe->res);
	} else {
		close(c->fd);
		free(c);
	}
}

int main(void)
{
	struct io_uring ring;
	int listener;

	open_ring(&ring);
	listener = open_listener();
	queue_accept(&ring, listener);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned head;
		unsigned seen = 0;
		const int result = io_uring_submit_and_wait(&ring, 1);

		if (result < 0 && result != -EINTR && result != -EBUSY)
			die("io_uring_submit_and_wait", -result);
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			handle(&ring, listener, cqe);
			seen++;
		}
		io_uring_cq_advance(&ring, seen);
	}
}
