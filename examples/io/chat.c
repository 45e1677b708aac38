/* SPDX-License-Identifier: MIT */
/* chat.c - rooms in which people talk, over a Unix socket: the server, and a client
 *
 * Shows    a stream read by one fiber and written by another; what a slow reader costs (a queue of
 *          its own, of a fixed length, and then its place) while nobody waits for it; names and
 *          rooms under a lock that is never held while something waits; a socket in the file system
 *          that a crashed server has left behind; stdin and stdout as descriptors like others
 * Build    cc chat.c $(pkg-config --cflags --libs weft) -o chat
 * Run      ./chat --serve /tmp/chat      and in two other terminals:      ./chat /tmp/chat ada
 * In tree  bazel run //examples/io:chat -- --serve /tmp/chat
 * Ends     the server on SIGINT or SIGTERM, the client at the end of stdin or of the server, both
 *          with 0; 1: something failed; 2: wrong usage
 *
 * A line is said to the room one is in, but for these: /name NAME, /room ROOM, /who, /quit.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <weft/weft.h>

#define MEMBERS_MAX 1000
#define NAME_BYTES 32
#define LINE_BYTES 1024
#define QUEUE 64		    /* lines that a member may be behind */
#define LOGIN_LIMIT (10 * WEFT_SEC) /* for the first line, which is a name */
#define SEND_LIMIT (10 * WEFT_SEC)  /* for a member to take anything at all */

#define FORMAT __attribute__((format(printf, 2, 3)))

struct line {
	char text[LINE_BYTES + 2 * NAME_BYTES];
};

struct server {
	const char *path;
	int listener;
	weft_chan *signals;
	weft_scope everybody;
	weft_mutex lock; /* of the list, and of all names and rooms in it */
	struct member *members;
	weft_sem free_slots;
};

struct member {
	struct server *server;
	struct member *next;
	int fd;
	weft_stream stream;
	weft_chan *queue; /* struct line: to be written to it */
	weft_scope scope; /* of its two fibers */
	char name[NAME_BYTES];
	char room[NAME_BYTES];
};

/* To one member. Who is too far behind loses its place, and holds nobody up. Lock held. */
static void tell_locked(struct member *member, const struct line *line)
{
	if (weft_chan_try_send(member->queue, line) == -EAGAIN)
		weft_scope_cancel(&member->scope);
}

static void tell(struct member *member, const char *format, ...) FORMAT;
static void tell_room_locked(const struct member *from, const char *format, ...) FORMAT;

static void tell(struct member *member, const char *format, ...)
{
	struct line line;
	va_list values;

	va_start(values, format);
	vsnprintf(line.text, sizeof(line.text), format, values);
	va_end(values);
	weft_mutex_lock(&member->server->lock);
	tell_locked(member, &line);
	weft_mutex_unlock(&member->server->lock);
}

/* To everybody in the room of @from, but not to itself. Lock held. */
static void tell_room_locked(const struct member *from, const char *format, ...)
{
	struct line line;
	va_list values;

	va_start(values, format);
	vsnprintf(line.text, sizeof(line.text), format, values);
	va_end(values);
	for (struct member *member = from->server->members; member; member = member->next)
		if (member != from && strcmp(member->room, from->room) == 0)
			tell_locked(member, &line);
}

static bool is_name(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	return length > 0 && length < NAME_BYTES;
}

/* 0, or -EEXIST. Lock held. */
static int rename_locked(struct member *member, const char *name)
{
	for (const struct member *other = member->server->members; other; other = other->next)
		if (other != member && strcmp(other->name, name) == 0)
			return -EEXIST;
	snprintf(member->name, sizeof(member->name), "%s", name);
	return 0;
}

static void change_name(struct member *member, const char *name)
{
	char before[NAME_BYTES];

	weft_mutex_lock(&member->server->lock);
	memcpy(before, member->name, sizeof(before));
	int error = is_name(name) ? rename_locked(member, name) : -EINVAL;
	if (error == 0)
		tell_room_locked(member, "* %s is now %s", before, name);
	weft_mutex_unlock(&member->server->lock);
	tell(member, error == 0 ? "* you are now %s" : "* you cannot be called %s", name);
}

static void change_room(struct member *member, const char *room)
{
	bool good = is_name(room);

	if (good) {
		weft_mutex_lock(&member->server->lock);
		tell_room_locked(member, "* %s leaves", member->name);
		snprintf(member->room, sizeof(member->room), "%s", room);
		tell_room_locked(member, "* %s enters", member->name);
		weft_mutex_unlock(&member->server->lock);
	}
	tell(member, good ? "* you are in %s" : "* no room can be called %s", room);
}

static void list_room(struct member *member)
{
	struct line line;
	size_t length = (size_t)snprintf(line.text, sizeof(line.text), "* in %s:", member->room);

	weft_mutex_lock(&member->server->lock);
	for (const struct member *other = member->server->members; other; other = other->next)
		if (strcmp(other->room, member->room) == 0 && length + NAME_BYTES < sizeof(line.text))
			length += (size_t)snprintf(
				line.text + length, sizeof(line.text) - length, " %s", other->name);
	tell_locked(member, &line);
	weft_mutex_unlock(&member->server->lock);
}

/* What a member has typed. Returns false when it wants to go. */
static bool obey(struct member *member, const char *text)
{
	if (strncmp(text, "/name ", 6) == 0) {
		change_name(member, text + 6);
	} else if (strncmp(text, "/room ", 6) == 0) {
		change_room(member, text + 6);
	} else if (strcmp(text, "/who") == 0) {
		list_room(member);
	} else if (strcmp(text, "/quit") == 0) {
		return false;
	} else if (*text == '/') {
		tell(member, "* /name NAME, /room ROOM, /who, /quit");
	} else if (*text != '\0') {
		weft_mutex_lock(&member->server->lock);
		tell_room_locked(member, "%s: %s", member->name, text);
		weft_mutex_unlock(&member->server->lock);
	}
	return true;
}

/* A line, with the bytes that would confuse a terminal taken out. */
static int read_line(struct member *member, char **line)
{
	ssize_t length = weft_stream_read_line(&member->stream, line);

	for (ssize_t i = 0; i < length; i++)
		if (iscntrl((unsigned char)(*line)[i]))
			(*line)[i] = i == length - 1 ? '\0' : ' ';
	return length < 0 ? (int)length : 0;
}

static int write_to(void *arg)
{
	struct member *member = arg;
	struct line line;
	int error;

	while ((error = weft_chan_recv(member->queue, &line)) == 0) {
		weft_deadline(weft_after(SEND_LIMIT));
		error = weft_stream_printf(&member->stream, "%s\n", line.text);
		if (error >= 0 && weft_chan_len(member->queue) == 0)
			error = weft_stream_flush(&member->stream);
		if (error < 0)
			break;
		weft_deadline(WEFT_FOREVER);
	}
	return error == -EPIPE ? weft_stream_flush(&member->stream) : error;
}

static int enter(struct member *member)
{
	struct server *server = member->server;
	char *name;

	weft_deadline(weft_after(LOGIN_LIMIT));
	int error = read_line(member, &name);
	if (error < 0)
		return error;
	weft_mutex_lock(&server->lock);
	error = !is_name(name) ? -EINVAL : rename_locked(member, name);
	if (error == 0) {
		strcpy(member->room, "hall");
		member->next = server->members;
		server->members = member;
		tell_room_locked(member, "* %s enters", member->name);
	}
	weft_mutex_unlock(&server->lock);
	if (error < 0 && weft_stream_printf(&member->stream, "* %s: %s\n", name, strerror(-error)) > 0)
		weft_stream_flush(&member->stream);
	weft_deadline(WEFT_FOREVER);
	return error;
}

static void leave(struct member *member)
{
	struct server *server = member->server;
	struct member **link = &server->members;

	weft_mutex_lock(&server->lock);
	while (*link != member)
		link = &(*link)->next;
	*link = member->next;
	tell_room_locked(member, "* %s leaves", member->name);
	weft_mutex_unlock(&server->lock);
}

/* Ends however the connection ends; it is this fiber that takes the member from the list, while its
 * scope is still open and its queue there. */
static int listen_to(void *arg)
{
	struct member *member = arg;
	char *line;
	int error;

	do {
		error = read_line(member, &line);
		if (error == -EMSGSIZE) {
			tell(member, "* too long, at most %d bytes", LINE_BYTES);
			error = weft_stream_skip_line(&member->stream);
		} else if (error == 0 && !obey(member, line)) {
			error = -ENODATA;
		}
	} while (error == 0);
	leave(member);
	/* What is queued is still written, then the other fiber ends too. */
	weft_chan_close(member->queue);
	return error == -ENODATA ? 0 : error;
}

static void talk(struct member *member)
{
	if (weft_scope_open(&member->scope, WEFT_FOREVER) < 0)
		return;
	if (enter(member) == 0) {
		if (weft_scope_spawn(&member->scope, listen_to, member) < 0) {
			leave(member);
			weft_scope_cancel(&member->scope);
		} else if (weft_scope_spawn(&member->scope, write_to, member) < 0) {
			weft_scope_cancel(&member->scope);
		}
	}
	weft_scope_close(&member->scope);
}

static int serve(void *arg)
{
	struct member *member = arg;

	weft_stream_init(&member->stream, member->fd);
	weft_stream_limit(&member->stream, LINE_BYTES);
	if (weft_chan_new(&member->queue, sizeof(struct line), QUEUE) == 0)
		talk(member);
	weft_chan_free(member->queue);
	weft_stream_free(&member->stream);
	weft_close(member->fd);
	weft_sem_post(&member->server->free_slots);
	free(member);
	return 0; /* whatever happened here, the others go on */
}

static int start_member(struct server *server, int fd)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return -ENOMEM;
	member->server = server;
	member->fd = fd;
	int error = weft_scope_spawn(&server->everybody, serve, member);
	if (error < 0)
		free(member);
	return error;
}

/* Returns when the scope is cancelled: weft_sem_wait and weft_accept fail then. */
static int accept_all(struct server *server)
{
	for (;;) {
		/* When the house is full people wait in the backlog of the listening socket. */
		int error = weft_sem_wait(&server->free_slots);
		if (error < 0)
			return error;
		int fd = weft_accept(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0 && start_member(server, fd) == 0)
			continue;
		weft_sem_post(&server->free_slots);
		if (fd >= 0)
			weft_close(fd); /* no memory: this one is turned away */
		else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM)
			weft_sleep(10 * WEFT_MS); /* no connection is lost; something will come free */
		else if (fd != -ECONNABORTED)
			return fd;
	}
}

static int await_signal(void *arg)
{
	struct server *server = arg;
	int number;
	int error = weft_chan_recv(server->signals, &number);

	if (error == 0)
		weft_scope_cancel(&server->everybody);
	return error;
}

/* A server that crashed leaves its socket behind. One that answers is alive and keeps it. */
static int listen_on(const char *path, const char *address)
{
	struct statx at;
	int listener = weft_listen(address);

	if (listener != -EADDRINUSE ||
		weft_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &at) < 0 ||
		!S_ISSOCK(at.stx_mode))
		return listener;
	int fd = weft_dial(address);
	if (fd >= 0)
		weft_close(fd);
	if (fd != -ECONNREFUSED || weft_unlinkat(AT_FDCWD, path, 0) < 0)
		return listener;
	return weft_listen(address);
}

static int run_server(struct server *server, const char *address)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	weft_sem_init(&server->free_slots, MEMBERS_MAX);
	int error = weft_signal_chan(&server->signals, &set);
	if (error < 0)
		return error;
	server->listener = listen_on(server->path, address);
	error = server->listener < 0 ? server->listener
				     : weft_scope_open(&server->everybody, WEFT_FOREVER);
	if (error == 0) {
		printf("listening on %s\n", server->path);
		fflush(stdout);
		error = weft_scope_spawn(&server->everybody, await_signal, server);
		if (error == 0)
			error = accept_all(server);
		weft_scope_cancel(&server->everybody); /* already done, unless accepting failed */
		int closed = weft_scope_close(&server->everybody);
		error = error == -ECANCELED && closed == -ECANCELED ? 0 : error;
	}
	if (server->listener >= 0) {
		weft_unlinkat(AT_FDCWD, server->path, 0);
		weft_close(server->listener);
	}
	weft_chan_free(server->signals);
	return error;
}

/* All of it: weft_write_full() says how far it came, and this what stopped it. */
static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = weft_write(fd, data, length);
		if (n < 0)
			return (int)n;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The client: what is typed goes out, what comes in is shown. */
static int copy(int from, int to)
{
	char buffer[4096];
	ssize_t length;

	while ((length = weft_read(from, buffer, sizeof(buffer))) > 0) {
		int error = write_all(to, buffer, (size_t)length);
		if (error < 0)
			return error;
	}
	return (int)length;
}

static int send_stdin(void *arg)
{
	const int *fd = arg;
	int error = copy(0, *fd);

	/* The server answers this with what it still has for us, and its own end. */
	return error == 0 ? weft_shutdown(*fd, SHUT_WR) : error;
}

static int run_client(const char *address, const char *name)
{
	char line[NAME_BYTES + 1];
	int length = snprintf(line, sizeof(line), "%s\n", name);
	weft_scope scope;
	int fd = weft_dial(address);
	int error = fd < 0 ? fd : weft_scope_open(&scope, WEFT_FOREVER);

	if (error == 0) {
		ssize_t sent = weft_send_full(fd, line, (size_t)length, 0);
		error = sent == length ? weft_scope_spawn(&scope, send_stdin, &fd) : -EPIPE;
		if (error == 0)
			error = copy(fd, 1);
		weft_scope_cancel(&scope); /* the server has closed, or it failed: stdin is of no use */
		weft_scope_close(&scope);
	}
	if (fd >= 0)
		weft_close(fd);
	return error == -ECONNRESET ? 0 : error; /* the server has ended */
}

struct arguments {
	const char *path;
	const char *name; /* NULL: the server */
};

static void *start(void *arg)
{
	const struct arguments *arguments = arg;
	struct server server = {.path = arguments->path};
	size_t room = strlen(arguments->path) + sizeof("unix:");
	char *address = malloc(room);

	if (!address)
		return (void *)(intptr_t)-ENOMEM;
	snprintf(address, room, "unix:%s", arguments->path);
	int error = arguments->name ? run_client(address, arguments->name)
				    : run_server(&server, address);
	free(address);
	return (void *)(intptr_t)error;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: chat --serve PATH\n"
		"       chat PATH NAME\n"
		"  PATH  the server's socket\n"
		"  NAME  letters, digits, _ and -, at most %d of them\n",
		NAME_BYTES - 1);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {NULL, NULL};
	void *result = NULL;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(0);
	if (argc != 3)
		return usage(2);
	if (strcmp(argv[1], "--serve") == 0) {
		arguments.path = argv[2];
	} else {
		arguments = (struct arguments){.path = argv[1], .name = argv[2]};
		if (!is_name(arguments.name))
			return usage(2);
	}
	int error = weft_run(NULL, start, &arguments, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "chat: %s: %s\n", arguments.path, strerror(-error));
	return error < 0;
}
