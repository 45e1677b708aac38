/* SPDX-License-Identifier: MIT */
/* ring_ways.c - which ways of io_uring pay for sockets? The probes behind docs/adr/0011-ways-of-the-ring.md
 *
 * Bare rings, no fibers, one thread that plays both sides: so the difference between two lines is the kernel's cost of that way. Cases:
 *   receive   64 bytes on each of 64 Unix and TCP sockets a round: one-shot into an own buffer, one-shot with a provided buffer, multishot with
 *             provided buffers
 *   accept    connections taken one by one, and by a multishot
 *   send      to a TCP peer that reads: copied (SEND), and without a copy (SEND_ZC) up to its notification
 *   read      4 KiB of a file in memory, by descriptor and by registered descriptor
 * A round is repeated until --count operations are done; figures are nanoseconds of wall time for each, both sides included.
 */
#include "bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 64, MESSAGE = 64, BUFFERS = 256, BUFFER_BYTES = 4096, GROUP = 1, BIG = 1 << 20 };
enum { TAG_OTHER = 1 << 20 };

static const struct bench_question question = {
	.name = "ring_ways",
	.asks = "which ways of io_uring pay for sockets: provided buffers, multishot, zero copy, registered descriptors?",
	.count_means = "operations in each repetition",
	.count = 100000,
	.count_quick = 5000,
	.workers_only = 1,
};

static struct io_uring ring;
static char own[SOCKETS][BUFFER_BYTES];
static char big[BIG];

static void check(int result, const char *what)
{
	if (result < 0)
		bench_die("ring_ways: %s: %s", what, strerror(-result));
}

static struct io_uring_sqe *next_sqe(uint64_t tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (sqe == NULL)
		bench_die("ring_ways: the ring is full");
	io_uring_sqe_set_data64(sqe, tag);
	return sqe;
}

struct completion {
	int res;
	unsigned flags;
};

static struct completion wait_one(void)
{
	struct io_uring_cqe *cqe;
	struct completion copy;

	check(io_uring_submit_and_wait(&ring, 1), "io_uring_enter");
	check(io_uring_wait_cqe(&ring, &cqe), "io_uring_wait_cqe");
	copy = (struct completion){.res = cqe->res, .flags = cqe->flags};
	io_uring_cqe_seen(&ring, cqe);
	return copy;
}

static int listen_on_loopback(struct sockaddr_in *at)
{
	socklen_t length = sizeof(*at);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0 || listen(fd, 512) != 0 ||
		getsockname(fd, (struct sockaddr *)at, &length) != 0)
		bench_die("ring_ways: no listening socket: %s", strerror(errno));
	return fd;
}

static void make_pair(int tcp, int fds[2])
{
	struct sockaddr_in at;
	int listener;

	if (!tcp) {
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ? -errno : 0, "socketpair");
		return;
	}
	listener = listen_on_loopback(&at);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(connect(fds[1], (struct sockaddr *)&at, sizeof(at)) ? -errno : 0, "connect");
	fds[0] = accept(listener, NULL, NULL);
	check(fds[0], "accept");
	close(listener);
}

/* Provided buffers. */
static struct io_uring_buf_ring *lent;
static char (*lent_memory)[BUFFER_BYTES];

static void provide(int index, int ahead)
{
	io_uring_buf_ring_add(lent, lent_memory[index], BUFFER_BYTES, (unsigned short)index,
		io_uring_buf_ring_mask(BUFFERS), ahead);
}

static void provide_all(void)
{
	struct io_uring_buf_reg request = {.ring_entries = BUFFERS, .bgid = GROUP};

	lent = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	lent_memory = bench_alloc(BUFFERS, BUFFER_BYTES);
	request.ring_addr = (uintptr_t)lent;
	check(io_uring_register_buf_ring(&ring, &request, 0), "register_buf_ring");
	io_uring_buf_ring_init(lent);
	for (int i = 0; i < BUFFERS; i++)
		provide(i, i);
	io_uring_buf_ring_advance(lent, BUFFERS);
}

enum way { OWN_BUFFER, ONE_SHOT, MULTISHOT };

static void arm_receive(enum way way, int index, int fd)
{
	struct io_uring_sqe *sqe = next_sqe((uint64_t)index);

	if (way == OWN_BUFFER)
		io_uring_prep_recv(sqe, fd, own[index], BUFFER_BYTES, 0);
	else if (way == ONE_SHOT)
		io_uring_prep_recv(sqe, fd, NULL, BUFFER_BYTES, 0);
	else
		io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	if (way != OWN_BUFFER) {
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
	}
}

/* One round: every socket gets a message, every message is received. */
static void receive_round(enum way way, int fds[SOCKETS][2])
{
	int got = 0;

	for (int i = 0; i < SOCKETS; i++)
		if (send(fds[i][1], big, MESSAGE, 0) != MESSAGE)
			bench_die("ring_ways: a send failed");
	while (got < SOCKETS) {
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;
		int returned = 0;

		check(io_uring_submit_and_wait(&ring, 1), "io_uring_enter");
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			if (cqe->res != MESSAGE)
				bench_die("ring_ways: a receive gave %d", cqe->res);
			if (cqe->flags & IORING_CQE_F_BUFFER)
				provide((int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT), returned++);
			if (!(cqe->flags & IORING_CQE_F_MORE))
				arm_receive(way, (int)cqe->user_data, fds[cqe->user_data][0]);
			seen++;
		}
		if (returned > 0)
			io_uring_buf_ring_advance(lent, returned);
		io_uring_cq_advance(&ring, seen);
		got += (int)seen;
	}
}

static void measure_receive(const struct bench_args *args, int tcp)
{
	static const char *const names[] = {
		"own buffer", "provided buffer", "provided buffers, multishot"};
	struct bench_series series[3] = {{.count = 0}};
	char text[80];

	for (unsigned rep = 0; rep <= args->reps; rep++)
		for (int way = OWN_BUFFER; way <= MULTISHOT; way++) {
			int fds[SOCKETS][2];
			int64_t start_ns;
			uint64_t done = 0;

			for (int i = 0; i < SOCKETS; i++) {
				make_pair(tcp, fds[i]);
				arm_receive((enum way)way, i, fds[i][0]);
			}
			receive_round((enum way)way, fds);
			start_ns = bench_now_ns();
			for (; done < args->count; done += SOCKETS)
				receive_round((enum way)way, fds);
			if (rep > 0)
				bench_add(&series[way],
					(double)(bench_now_ns() - start_ns) / (double)done);
			for (int i = 0; i < SOCKETS; i++) {
				shutdown(fds[i][1], SHUT_RDWR);
				const struct completion end = wait_one();

				if (end.flags & IORING_CQE_F_BUFFER) {
					provide((int)(end.flags >> IORING_CQE_BUFFER_SHIFT), 0);
					io_uring_buf_ring_advance(lent, 1);
				}
				close(fds[i][0]);
				close(fds[i][1]);
			}
		}
	for (int way = OWN_BUFFER; way <= MULTISHOT; way++) {
		snprintf(text, sizeof(text), "receive 64 B, %s, %s", tcp ? "TCP" : "Unix", names[way]);
		bench_print("ring_ways", text, "uring", 1, "ns", &series[way]);
	}
}

static double accept_all(int multishot, uint64_t count)
{
	struct sockaddr_in at;
	const int listener = listen_on_loopback(&at);
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		const struct linger reset = {.l_onoff = 1, .l_linger = 0};
		struct completion cqe;

		if (i == 0 || !multishot) {
			struct io_uring_sqe *sqe = next_sqe(TAG_OTHER);

			if (multishot)
				io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
			else
				io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
		}
		check(io_uring_submit(&ring) < 0 ? -EIO : 0, "io_uring_enter");
		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		check(connect(client, (struct sockaddr *)&at, sizeof(at)) ? -errno : 0, "connect");
		cqe = wait_one();
		check(cqe.res, "accept");
		close(client);
		close(cqe.res);
	}
	const double spent = (double)(bench_now_ns() - start_ns);

	if (multishot) {
		io_uring_prep_cancel64(next_sqe(TAG_OTHER), TAG_OTHER, 0);
		wait_one();
		wait_one();
	}
	close(listener);
	return spent / (double)count;
}

static void measure_accept(const struct bench_args *args)
{
	struct bench_series series[2] = {{.count = 0}};

	for (unsigned rep = 0; rep <= args->reps; rep++)
		for (int multishot = 0; multishot < 2; multishot++) {
			const double ns = accept_all(multishot, args->count / 20 + 1);

			if (rep > 0)
				bench_add(&series[multishot], ns);
		}
	bench_print("ring_ways", "connect, accept and close, one-shot", "uring", 1, "ns", &series[0]);
	bench_print("ring_ways", "connect, accept and close, multishot", "uring", 1, "ns", &series[1]);
}

/* Sends and has the other side read it, `bytes` a time, which fit into the socket. */
static double send_all(int zero_copy, int fds[2], size_t bytes, uint64_t count)
{
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = next_sqe(TAG_OTHER);
		size_t got = 0;
		struct completion cqe;

		if (zero_copy)
			io_uring_prep_send_zc(sqe, fds[1], big, bytes, MSG_WAITALL, 0);
		else
			io_uring_prep_send(sqe, fds[1], big, bytes, MSG_WAITALL);
		cqe = wait_one();
		if (cqe.res != (int)bytes)
			bench_die("ring_ways: a send gave %d", cqe.res);
		while (got < bytes) {
			const ssize_t n = recv(fds[0], own, sizeof(own), 0);

			if (n <= 0)
				bench_die("ring_ways: a receive failed");
			got += (size_t)n;
		}
		if (cqe.flags & IORING_CQE_F_MORE)
			wait_one(); /* the notification */
	}
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

static void measure_send(const struct bench_args *args)
{
	static const size_t sizes[] = {1024, 16384, 262144};
	int fds[2], room = BIG;

	make_pair(1, fds);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct bench_series series[2] = {{.count = 0}};
		char text[64];

		for (unsigned rep = 0; rep <= args->reps; rep++)
			for (int zero_copy = 0; zero_copy < 2; zero_copy++) {
				const double ns =
					send_all(zero_copy, fds, sizes[s], args->count / 50 + 1);

				if (rep > 0)
					bench_add(&series[zero_copy], ns);
			}
		for (int zero_copy = 0; zero_copy < 2; zero_copy++) {
			snprintf(text, sizeof(text), "send %zu KiB and read it, %s",
				sizes[s] / 1024, zero_copy ? "zero copy" : "copied");
			bench_print("ring_ways", text, "uring", 1, "ns", &series[zero_copy]);
		}
	}
	close(fds[0]);
	close(fds[1]);
}

static double read_all(int file, int registered, uint64_t count)
{
	const int64_t start_ns = bench_now_ns();

	for (uint64_t done = 0; done < count; done += SOCKETS) {
		for (int i = 0; i < SOCKETS; i++) {
			struct io_uring_sqe *sqe = next_sqe((uint64_t)i);

			io_uring_prep_read(sqe, registered ? 0 : file, own[i], BUFFER_BYTES,
				(uint64_t)i * BUFFER_BYTES);
			if (registered)
				sqe->flags |= IOSQE_FIXED_FILE;
		}
		for (int i = 0; i < SOCKETS; i++)
			if (wait_one().res != BUFFER_BYTES)
				bench_die("ring_ways: a read failed");
	}
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

static void measure_registered(const struct bench_args *args)
{
	struct bench_series series[2] = {{.count = 0}};
	char path[] = "/tmp/weft-bench-XXXXXX";
	const int file = mkstemp(path);

	if (file < 0 || write(file, big, SOCKETS * BUFFER_BYTES) != SOCKETS * BUFFER_BYTES)
		bench_die("ring_ways: %s: %s", path, strerror(errno));
	unlink(path);
	check(io_uring_register_files(&ring, &file, 1), "register_files");
	for (unsigned rep = 0; rep <= args->reps; rep++)
		for (int registered = 0; registered < 2; registered++) {
			const double ns = read_all(file, registered, args->count);

			if (rep > 0)
				bench_add(&series[registered], ns);
		}
	bench_print("ring_ways", "read 4 KiB, by descriptor", "uring", 1, "ns", &series[0]);
	bench_print("ring_ways", "read 4 KiB, by registered descriptor", "uring", 1, "ns", &series[1]);
	close(file);
}

int main(int argc, char **argv)
{
	const struct bench_args args = bench_parse(&question, argc, argv);
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

	check(io_uring_queue_init_params(256, &ring, &params), "io_uring_setup");
	io_uring_register_ring_fd(&ring);
	provide_all();
	measure_receive(&args, 0);
	measure_receive(&args, 1);
	measure_accept(&args);
	measure_send(&args);
	measure_registered(&args);
	return 0;
}
