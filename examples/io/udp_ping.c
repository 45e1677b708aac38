/* SPDX-License-Identifier: MIT */
/* udp_ping.c - ping-pong by UDP, with what a program does about datagrams that are lost
 *
 * Shows    weft_recvfrom and weft_sendto; a reply awaited with a deadline, repeated with growing
 *          patience, and recognised by its number, as late and double ones come too; sockets of
 *          names by weft_getaddrinfo; many conversations at once, a fiber each
 * Build    cc udp_ping.c $(pkg-config --cflags --libs weft) -o udp_ping
 * Run      ./udp_ping --serve --port 7001 --drop 30       and elsewhere: ./udp_ping --port 7001
 * In tree  bazel run //examples/io:udp_ping -- --serve
 * Ends     the server on SIGINT or SIGTERM, with 0. The client with 0 when every ball came back;
 *          1: something failed, or balls were lost for good; 2: wrong usage
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <weft/weft.h>

#define TRIES_MAX 8
#define FIRST_PATIENCE (20 * WEFT_MS) /* doubled with each try: 5.1 s in all */

/* On the wire: host byte order, as both ends are this program. */
struct ball {
	char magic[4];
	uint32_t player;
	uint32_t number;
	uint32_t attempt;
};

struct game {
	const char *host;
	const char *port;
	bool serve;
	unsigned count;
	unsigned players;
	unsigned drop; /* percent of the balls that the server loses on purpose */
	weft_chan *signals;
	weft_scope scope;
	struct addrinfo *address;
	weft_mutex lock; /* of what follows: the score */
	uint64_t sent;
	uint64_t returned;
	uint64_t stale;
	uint64_t lost;
	weft_ns fastest;
	weft_ns total;
};

struct player {
	struct game *game;
	uint32_t number;
};

static bool is_ball(const struct ball *ball, ssize_t length)
{
	return length == (ssize_t)sizeof(*ball) && memcmp(ball->magic, "ball", 4) == 0;
}

/* Until the reply to @ball is there: -ETIMEDOUT when patience is over. */
static int await_return(struct game *game, int fd, const struct ball *ball, weft_ns patience)
{
	struct ball back;

	weft_deadline(weft_after(patience));
	for (;;) {
		ssize_t length = weft_recv(fd, &back, sizeof(back), 0);
		/* -ECONNREFUSED: nobody is there yet; waiting and trying again is what helps. */
		if (length == -ECONNREFUSED)
			length = weft_sleep(WEFT_FOREVER);
		if (length < 0)
			return (int)length;
		if (!is_ball(&back, length) || back.player != ball->player)
			continue;
		if (back.number == ball->number)
			return 0;
		weft_mutex_lock(&game->lock);
		game->stale++; /* the reply to a ball that was given up, or a second one */
		weft_mutex_unlock(&game->lock);
	}
}

/* One ball, there and back, however often it takes. */
static int play_ball(struct game *game, int fd, struct ball *ball)
{
	weft_ns start = weft_now();
	int error = -ETIMEDOUT;

	for (ball->attempt = 0; ball->attempt < TRIES_MAX && error == -ETIMEDOUT; ball->attempt++) {
		weft_deadline(WEFT_FOREVER);
		ssize_t length = weft_send(fd, ball, sizeof(*ball), 0);
		if (length < 0 && length != -ECONNREFUSED && length != -ENOBUFS)
			return (int)length;
		error = await_return(game, fd, ball, FIRST_PATIENCE << ball->attempt);
	}
	weft_mutex_lock(&game->lock);
	game->sent += ball->attempt;
	if (error == 0) {
		weft_ns spent = weft_now() - start;
		game->returned++;
		game->total += spent;
		if (game->returned == 1 || spent < game->fastest)
			game->fastest = spent;
	} else if (error == -ETIMEDOUT) {
		game->lost++;
	}
	weft_mutex_unlock(&game->lock);
	return error == -ETIMEDOUT ? 0 : error; /* a ball that is lost does not end the game */
}

static int play(void *arg)
{
	const struct player *player = arg;
	struct game *game = player->game;
	const struct addrinfo *address = game->address;
	struct ball ball = {.magic = "ball", .player = player->number};
	int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Connected: only the server's datagrams come in, and its absence shows as an error. */
	int error = weft_connect(fd, address->ai_addr, address->ai_addrlen);
	for (; ball.number < game->count && error == 0; ball.number++)
		error = play_ball(game, fd, &ball);
	weft_close(fd);
	return error;
}

static int run_client(struct game *game)
{
	struct player *player = calloc(game->players, sizeof(*player));
	int error = player ? 0 : -ENOMEM;

	for (unsigned i = 0; i < game->players && error == 0; i++) {
		player[i] = (struct player){.game = game, .number = i};
		error = weft_scope_spawn(&game->scope, play, &player[i]);
	}
	if (error < 0)
		weft_scope_cancel(&game->scope);
	int closed = weft_scope_close(&game->scope);
	free(player);
	error = error < 0 ? error : closed;
	if (error == 0) {
		printf("%llu balls sent, %llu came back, %llu stale, %llu lost\n",
			(unsigned long long)game->sent, (unsigned long long)game->returned,
			(unsigned long long)game->stale, (unsigned long long)game->lost);
		if (game->returned > 0)
			printf("fastest %.3f ms, mean %.3f ms\n", (double)game->fastest / 1e6,
				(double)game->total / 1e6 / (double)game->returned);
	}
	return error;
}

static int serve(struct game *game, int fd)
{
	struct sockaddr_storage peer;
	struct ball ball;
	uint32_t random = 1;

	for (;;) {
		socklen_t size = sizeof(peer);
		/* MSG_TRUNC: the length of what came, also if it is longer than a ball. */
		ssize_t length = weft_recvfrom(
			fd, &ball, sizeof(ball), MSG_TRUNC, (struct sockaddr *)&peer, &size);
		if (length < 0)
			return (int)length;
		if (!is_ball(&ball, length))
			continue; /* a stranger's datagrams are not answered at all */
		game->sent++;
		random = random * 1664525u + 1013904223u;
		if ((random >> 16) % 100 < game->drop) {
			game->lost++;
			continue;
		}
		/* One that cannot be sent is one that is lost; the end of the game is an error. */
		ssize_t sent = weft_sendto(fd, &ball, sizeof(ball), 0, (struct sockaddr *)&peer, size);
		if (sent == -ECANCELED)
			return (int)sent;
	}
}

static int await_signal(void *arg)
{
	struct game *game = arg;
	int number;
	int error = weft_chan_recv(game->signals, &number);

	if (error == 0)
		weft_scope_cancel(&game->scope);
	return error;
}

static int run_server(struct game *game)
{
	const struct addrinfo *address = game->address;
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	char port[NI_MAXSERV];
	sigset_t set;
	int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
			getsockname(fd, (struct sockaddr *)&own, &size) != 0
		? -errno
		: 0;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (error == 0)
		error = weft_signal_chan(&game->signals, &set);
	if (error == 0)
		error = weft_scope_spawn(&game->scope, await_signal, game);
	if (error == 0) {
		getnameinfo((struct sockaddr *)&own, size, NULL, 0, port, sizeof(port),
			NI_NUMERICSERV | NI_DGRAM);
		printf("listening on %s, port %s\n", game->host, port);
		fflush(stdout);
		error = serve(game, fd);
	}
	weft_scope_cancel(&game->scope);
	int closed = weft_scope_close(&game->scope);
	weft_chan_free(game->signals);
	if (fd >= 0)
		weft_close(fd);
	if (error != -ECANCELED || closed != -ECANCELED)
		return error;
	printf("%llu balls came, %llu were lost on purpose\n", (unsigned long long)game->sent,
		(unsigned long long)game->lost);
	return 0; /* cancelled is how it ends when a signal says so */
}

static void *start(void *arg)
{
	struct game *game = arg;
	struct addrinfo hints = {
		.ai_socktype = SOCK_DGRAM,
		.ai_flags = game->serve ? AI_PASSIVE : 0,
	};
	int failed = weft_getaddrinfo(game->host, game->port, &hints, &game->address);

	if (failed) {
		fprintf(stderr, "udp_ping: %s, port %s: %s\n", game->host, game->port,
			failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
		return (void *)(intptr_t)1;
	}
	int error = weft_scope_open(&game->scope, WEFT_FOREVER);
	if (error == 0)
		error = game->serve ? run_server(game) : run_client(game);
	freeaddrinfo(game->address);
	if (error < 0)
		fprintf(stderr, "udp_ping: %s, port %s: %s\n", game->host, game->port, strerror(-error));
	return (void *)(intptr_t)(error < 0 || (!game->serve && game->lost > 0));
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: udp_ping [--host HOST] --port PORT [--count N] [--players N]\n"
		"       udp_ping --serve [--host HOST] [--port PORT] [--drop PERCENT]\n"
		"  --host HOST     a name or an address (127.0.0.1)\n"
		"  --port PORT     a number, or a service's name; the server's default: a free one\n"
		"  --count N       balls of each player (10)\n"
		"  --players N     players at a time (1)\n"
		"  --serve         be the one who returns them\n"
		"  --drop PERCENT  lose so many on purpose, 0 to 99 (0)\n");
	return status;
}

/* A decimal number of a range; else @wrong is set. */
static unsigned parse(const char *text, long least, long most, bool *wrong)
{
	char *rest;
	long number = strtol(text, &rest, 10);

	if (rest == text || *rest != '\0' || number < least || number > most) {
		*wrong = true;
		return 0;
	}
	return (unsigned)number;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"host", required_argument, NULL, 'o'},
		{"port", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'c'},
		{"players", required_argument, NULL, 'n'},
		{"drop", required_argument, NULL, 'd'},
		{"serve", no_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct game game = {.host = "127.0.0.1", .count = 10, .players = 1};
	bool wrong = false;
	void *result = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'o')
			game.host = optarg;
		else if (option == 'p')
			game.port = optarg;
		else if (option == 'c')
			game.count = parse(optarg, 1, 1000000000, &wrong);
		else if (option == 'n')
			game.players = parse(optarg, 1, 10000, &wrong);
		else if (option == 'd')
			game.drop = parse(optarg, 0, 99, &wrong);
		else if (option == 's')
			game.serve = true;
		else
			return usage(option == 'h' ? 0 : 2);
	}
	if (optind != argc || wrong || (!game.serve && !game.port))
		return usage(2);
	if (!game.port)
		game.port = "0";
	int error = weft_run(NULL, start, &game, &result);
	if (error < 0)
		fprintf(stderr, "udp_ping: %s\n", strerror(-error));
	return error < 0 || result != NULL;
}
