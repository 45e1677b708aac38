/* SPDX-License-Identifier: MIT */
/* acceptor.c - taking connections, also when there is no room for them
 *
 * What   A connection taken gets a fiber. One too many (the limit, no memory) is answered 503 and
 *        closed. When descriptors have run out, a reserved one is given up for a moment to tell one
 *        client so; then accepting pauses, because every further try would fail at once: never a
 *        busy loop, always counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "tools/httpd/server.h"

/* How long the connection that met -EMFILE may take to come; another acceptor may have taken it. */
#define RESERVE_PATIENCE (10 * WEFT_MS)

/* Tells a client that there is no room, as far as that works without waiting for it. */
static void refuse(struct server *server, int fd)
{
	static const char message[] = "HTTP/1.1 503 Service Unavailable\r\n"
				      "Content-Type: text/plain\r\n"
				      "Content-Length: 24\r\n"
				      "Retry-After: 1\r\n"
				      "Connection: close\r\n"
				      "\r\n"
				      "503 Service Unavailable\n";
	char unread[1024];

	server_count(server, EVENT_REFUSED_FULL, 1);
	weft_send(fd, message, sizeof(message) - 1, MSG_DONTWAIT);
	weft_shutdown(fd, SHUT_WR);
	/* Closing with unread bytes would reset the connection and take the message with it. */
	weft_recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	weft_close(fd);
}

/* Gives the connection a fiber, or the reason why not to the client. */
static void take(struct server *server, int fd)
{
	struct slot *slot;

	if ((uint32_t)fd >= server->slot_count) {
		refuse(server, fd);
		return;
	}
	if (__atomic_add_fetch(&server->live, 1, __ATOMIC_SEQ_CST) > server->live_max)
		goto full;
	slot = &server->slots[fd];
	/* Rule S1: behind whatever the connection that had this number before did to its slot. */
	__atomic_exchange_n(&slot->idle, 0, __ATOMIC_SEQ_CST);
	slot->server = server;
	slot->fd = fd;
	if (weft_go(connection_main, slot) < 0)
		goto full;
	server_count(server, EVENT_CONNECTIONS, 1);
	return;
full:
	server_leave(server);
	refuse(server, fd);
}

/* No descriptor is left: uses the reserved one to refuse one connection. */
static void refuse_one_by_reserve(struct server *server)
{
	int fd = __atomic_exchange_n(&server->reserve_fd, -1, __ATOMIC_ACQ_REL);

	if (fd < 0)
		return; /* another acceptor is at it */
	weft_close(fd);
	weft_deadline(weft_after(RESERVE_PATIENCE));
	fd = weft_accept(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	weft_deadline(WEFT_FOREVER);
	if (fd >= 0)
		refuse(server, fd);
	__atomic_store_n(&server->reserve_fd, open("/dev/null", O_RDONLY | O_CLOEXEC), __ATOMIC_RELEASE);
}

/* After a failed accept: pauses where a new try would fail too. False: accepting is over. */
static bool recover(struct server *server, int error)
{
	switch (error) {
	case -ECANCELED:
		return false;
	case -EMFILE:
	case -ENFILE:
		server_count(server, EVENT_ACCEPT_PAUSED, 1);
		refuse_one_by_reserve(server);
		return weft_sleep(HTTPD_ACCEPT_PAUSE) == 0;
	case -ENOBUFS:
	case -ENOMEM:
		server_count(server, EVENT_ACCEPT_PAUSED, 1);
		return weft_sleep(HTTPD_ACCEPT_PAUSE) == 0;
	case -EBADF:
	case -EINVAL:
	case -ENOTSOCK:
		fprintf(stderr, "weft-httpd: the listening socket has failed (error %d); stopping\n",
			-error);
		__atomic_add_fetch(&server->stop_signals, 1, __ATOMIC_SEQ_CST);
		server_wake(server);
		return false;
	default: /* the connection went away, or its network did: the next one is sound */
		server_count(server, EVENT_ACCEPT_FAILED, 1);
		return true;
	}
}

void *acceptor_main(void *arg)
{
	struct server *server = arg;

	weft_set_name("acceptor");
	for (;;) {
		int fd = weft_accept(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			take(server, fd);
		else if (!recover(server, fd))
			return NULL;
	}
}
