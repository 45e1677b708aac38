/* SPDX-License-Identifier: MIT */
/* echo_load.c - how much CPU time does an echo server use for a request?
 *
 * The neutral side of the comparison: plain C and epoll, one thread, no weft. It starts the server
 * given behind "--", reads "listening on ADDRESS:PORT" from its output, keeps one request in flight
 * on each connection (closed loop), checks every byte that comes back, and reads the server's CPU
 * clock (all its threads, kernel work on their behalf included) around each window. Per request,
 * because the throughput of a closed loop with both sides on one machine says more about the
 * client; it is printed all the same.
 */
#include "bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 4096, CONNECTIONS_MAX = 10000, EVENTS = 256, PATIENCE_MS = 5000 };

struct options {
	const char *who;
	unsigned workers; /* as the line shall say; the server gets its own options */
	unsigned connections;
	unsigned message_bytes;
	unsigned window_ms;
	unsigned reps;
	bool pin;
	char **server;
};

struct connection {
	int fd;
	unsigned got;
	uint8_t mark; /* first byte of the request in flight; the others count up from it */
};

struct load {
	const struct options *options;
	struct connection *connections;
	int epoll_fd;
	uint64_t requests;
};

static void print_help(void)
{
	printf("echo_load: CPU time of an echo server for each request\n\n"
	       "usage: echo_load [options] -- SERVER [its arguments]\n\n"
	       "The server must print \"listening on 127.0.0.1:PORT\" as its first line.\n\n"
	       "  --who NAME         name of the server in the result (default weft)\n"
	       "  --workers N        its number of threads, for the result only (default 1)\n"
	       "  --connections N    default 64, at most %d\n"
	       "  --size BYTES       of a request, default 64, at most %d\n"
	       "  --window-ms N      length of a sample (default 1000)\n"
	       "  --reps N           samples after a warm-up window (default 5)\n"
	       "  --pin              client on the first CPU allowed, server on the second\n"
	       "  --quick            2 samples of 200 ms, for a smoke test\n"
	       "  --help             this text\n",
		CONNECTIONS_MAX, MESSAGE_MAX);
}

static struct options parse(int argc, char **argv)
{
	static const struct option table[] = {
		{"who", required_argument, NULL, 'n'},
		{"workers", required_argument, NULL, 'w'},
		{"connections", required_argument, NULL, 'c'},
		{"size", required_argument, NULL, 's'},
		{"window-ms", required_argument, NULL, 'm'},
		{"reps", required_argument, NULL, 'r'},
		{"pin", no_argument, NULL, 'p'},
		{"quick", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.who = "weft",
		.workers = 1,
		.connections = 64,
		.message_bytes = 64,
		.window_ms = 1000,
		.reps = 5};
	int option;

	while ((option = getopt_long(argc, argv, "+", table, NULL)) != -1) {
		switch (option) {
		case 'n':
			o.who = optarg;
			break;
		case 'w':
			o.workers = (unsigned)bench_number("workers", optarg, 1, 1024);
			break;
		case 'c':
			o.connections =
				(unsigned)bench_number("connections", optarg, 1, CONNECTIONS_MAX);
			break;
		case 's':
			o.message_bytes = (unsigned)bench_number("size", optarg, 1, MESSAGE_MAX);
			break;
		case 'm':
			o.window_ms = (unsigned)bench_number("window-ms", optarg, 10, 600000);
			break;
		case 'r':
			o.reps = (unsigned)bench_number("reps", optarg, 1, BENCH_REPS_MAX);
			break;
		case 'p':
			o.pin = true;
			break;
		case 'q':
			o.window_ms = 200;
			o.reps = 2;
			break;
		case 'h':
			print_help();
			exit(0);
		default:
			exit(2); /* getopt_long has said why */
		}
	}
	o.server = &argv[optind];
	if (!o.server[0]) {
		fprintf(stderr, "echo_load: give the server's command behind \"--\"; see --help\n");
		exit(2);
	}
	return o;
}

/* The n-th CPU (from 0) of the calling thread's mask; ends if there are not so many. */
static void pin_to(unsigned nth)
{
	cpu_set_t allowed;
	cpu_set_t one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		bench_die("sched_getaffinity: %s", strerror(errno));
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || nth-- != 0)
			continue;
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof one, &one) != 0)
			bench_die("sched_setaffinity: %s", strerror(errno));
		return;
	}
	bench_die("--pin needs two CPUs; run without it");
}

static pid_t start_server(const struct options *o, int *output)
{
	int pipe_fd[2];
	pid_t child;

	if (pipe(pipe_fd) != 0 || (child = fork()) < 0)
		bench_die("echo_load: no child process: %s", strerror(errno));
	if (child == 0) {
		/* The server must not outlive a client that fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (o->pin)
			pin_to(1);
		dup2(pipe_fd[1], STDOUT_FILENO);
		close(pipe_fd[0]);
		close(pipe_fd[1]);
		execvp(o->server[0], o->server);
		fprintf(stderr, "echo_load: cannot start %s: %s\n", o->server[0], strerror(errno));
		_exit(127);
	}
	close(pipe_fd[1]);
	*output = pipe_fd[0];
	return child;
}

/* Reads the server's first line and takes the port from its end. */
static struct sockaddr_in read_address(int output)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pollfd ready = {.fd = output, .events = POLLIN};
	char line[128];
	size_t used = 0;
	const char *colon;

	while (used < sizeof line - 1) {
		if (poll(&ready, 1, PATIENCE_MS) != 1)
			bench_die("echo_load: the server did not say where it listens");
		if (read(output, line + used, 1) != 1)
			bench_die("echo_load: the server ended before it listened");
		if (line[used++] == '\n')
			break;
	}
	line[used - 1] = '\0';
	colon = strrchr(line, ':');
	if (strncmp(line, "listening on ", 13) != 0 || !colon)
		bench_die("echo_load: not a listening line: \"%s\"", line);
	address.sin_port = htons((uint16_t)bench_number("port", colon + 1, 1, 65535));
	return address;
}

static void send_request(const struct load *load, struct connection *c)
{
	uint8_t message[MESSAGE_MAX];
	const unsigned size = load->options->message_bytes;

	c->got = 0;
	c->mark++;
	for (unsigned i = 0; i < size; i++)
		message[i] = (uint8_t)(c->mark + i);
	if (send(c->fd, message, size, MSG_NOSIGNAL) != (ssize_t)size)
		bench_die("echo_load: send: %s", strerror(errno));
}

static void receive(struct load *load, struct connection *c)
{
	uint8_t message[MESSAGE_MAX];
	const unsigned size = load->options->message_bytes;
	const ssize_t got = recv(c->fd, message, size - c->got, 0);

	if (got <= 0)
		bench_die("echo_load: the server closed a connection: %s",
			got < 0 ? strerror(errno) : "end of file");
	for (unsigned i = 0; i < (unsigned)got; i++)
		if (message[i] != (uint8_t)(c->mark + c->got + i))
			bench_die("echo_load: the server sent a wrong byte");
	c->got += (unsigned)got;
	if (c->got < size)
		return;
	load->requests++;
	send_request(load, c);
}

static void connect_all(struct load *load, const struct sockaddr_in *address)
{
	const int one = 1;

	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < load->options->connections; i++) {
		struct connection *c = &load->connections[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)address, sizeof *address) != 0)
			bench_die("echo_load: connect: %s", strerror(errno));
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
			bench_die("echo_load: epoll_ctl: %s", strerror(errno));
		send_request(load, c);
	}
}

static void run_window(struct load *load)
{
	const int64_t end_ns = bench_now_ns() + (int64_t)load->options->window_ms * 1000000;
	struct epoll_event events[EVENTS];

	load->requests = 0;
	do {
		const int n = epoll_wait(load->epoll_fd, events, EVENTS, PATIENCE_MS);

		if (n < 0 && errno != EINTR)
			bench_die("echo_load: epoll_wait: %s", strerror(errno));
		if (n == 0)
			bench_die("echo_load: no answer for %d ms", PATIENCE_MS);
		for (int i = 0; i < n; i++)
			receive(load, events[i].data.ptr);
	} while (bench_now_ns() < end_ns);
}

static int64_t read_cpu(clockid_t clock)
{
	struct timespec used;

	if (clock_gettime(clock, &used) != 0)
		bench_die("echo_load: the server's CPU clock: %s", strerror(errno));
	return (int64_t)used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static void measure(struct load *load, clockid_t server_clock)
{
	const struct options *o = load->options;
	struct bench_series cpu = {0};
	struct bench_series rate = {0};
	char text[64];

	run_window(load);
	for (unsigned i = 0; i < o->reps; i++) {
		const int64_t cpu_before = read_cpu(server_clock);
		const int64_t start_ns = bench_now_ns();
		int64_t cpu_ns;

		run_window(load);
		cpu_ns = read_cpu(server_clock) - cpu_before;
		bench_add(&cpu, (double)cpu_ns / (double)load->requests);
		bench_add(&rate, (double)load->requests * 1e9 / (double)(bench_now_ns() - start_ns));
	}
	snprintf(text, sizeof text, "%u connections, %u B", o->connections, o->message_bytes);
	bench_print("echo", text, o->who, o->workers, "CPU ns/request", &cpu);
	bench_print("echo", text, o->who, o->workers, "requests/s", &rate);
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct load load = {.options = &options};
	struct sockaddr_in address;
	clockid_t server_clock;
	int output;
	pid_t server;

	load.connections = bench_alloc(options.connections, sizeof(*load.connections));
	server = start_server(&options, &output);
	if (options.pin)
		pin_to(0);
	address = read_address(output);
	if (clock_getcpuclockid(server, &server_clock) != 0)
		bench_die("echo_load: the server has no CPU clock");
	connect_all(&load, &address);
	measure(&load, server_clock);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	free(load.connections);
	return 0;
}
