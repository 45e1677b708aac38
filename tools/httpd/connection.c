/* SPDX-License-Identifier: MIT */
/* connection.c - the life of one connection, from accept to close, in a straight line
 *
 * What   Receive; answer every request that is complete; send the answers together; again.
 *        Everything a client may let the server wait for has a deadline: connection.receive_by for
 *        what it sends, the write timeout for what it takes (outbox.c).
 * Owns   the descriptor, and all state of the connection: it lives in connection_main()'s frame,
 *        which fits one page of stack. Between requests nothing else is held.
 * Rules  C1 received bytes are used up before the next receive: nothing is carried over, so a
 *           buffer's size is never a limit of the protocol.
 *        C2 after a refused request the connection ends: where the next one starts is unknown
 *           (request.h, R1).
 *        C3 responses leave in the order of their requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/httpd/date.h"
#include "tools/httpd/files.h"
#include "tools/httpd/outbox.h"
#include "tools/httpd/path.h"
#include "tools/httpd/request.h"
#include "tools/httpd/response.h"
#include "tools/httpd/server.h"

struct connection {
	struct server *server;
	struct slot *slot; /* of the descriptor; not touched behind its close */
	int fd;
	weft_ns receive_by;
	bool ends;	/* no further request is answered */
	bool lingers;	/* the client may not have sent its last: see linger() */
	char *in_block; /* HTTPD_BLOCK_BYTES while a long request comes in, or NULL */
	struct date_cache date;
	struct request request;
	struct outbox out;
	char in[HTTPD_INLINE_BYTES];
};

static void receive_within(struct connection *connection, weft_ns timeout)
{
	connection->receive_by = weft_after(timeout);
}

static const struct limits *limits_of(const struct connection *connection)
{
	return &connection->server->options->limits;
}

/* A complete response whose content is text. */
static void answer_text(struct connection *connection, unsigned status, const char *text, size_t len)
{
	const struct request *request = &connection->request;
	const struct response response = {
		.status = status,
		.type = "text/plain; charset=utf-8",
		.length = len,
		.close = connection->ends,
		.say_keep_alive = request->minor == 0,
	};

	response_add_head(&connection->out, &connection->date, &response);
	if (!request->head)
		outbox_add(&connection->out, text, len);
}

static void answer_status(struct connection *connection, unsigned status)
{
	char text[48];
	size_t len = strlen(response_status_line(status));

	memcpy(text, response_status_line(status), len);
	text[len++] = '\n';
	answer_text(connection, status, text, len);
}

/* Sends the content of a file as it is being read. A file that shrinks meanwhile ends the
 * connection: that is the only way left to say that the content is not what was promised. */
static void add_file(struct connection *connection, const struct file *file)
{
	uint64_t left = file->size;

	weft_deadline(weft_after(limits_of(connection)->write_timeout));
	while (left > 0) {
		size_t room;
		char *at = outbox_rest(&connection->out, &room);
		ssize_t got;

		if (!at)
			return;
		got = weft_read(file->fd, at, left < room ? (size_t)left : room);
		if (got <= 0) {
			server_count(connection->server, EVENT_FILE_FAILED, 1);
			connection->out.error = got < 0 ? (int)got : -EIO;
			return;
		}
		connection->out.len += (uint32_t)got;
		left -= (uint64_t)got;
	}
}

static void answer_file(struct connection *connection, const char *path, const struct file *file)
{
	const struct request *request = &connection->request;
	char modified[DATE_LEN + 1];
	struct response response = {
		.status = 200,
		.type = path_media_type(path),
		.length = file->size,
		.modified = modified,
		.close = connection->ends,
		.say_keep_alive = request->minor == 0,
	};

	date_format(modified, file->modified);
	modified[DATE_LEN] = '\0';
	if (strcmp(modified, request->if_modified_since) == 0)
		response.status = 304;
	response_add_head(&connection->out, &connection->date, &response);
	if (response.status == 200 && !request->head)
		add_file(connection, file);
}

static bool names_root(const struct request *request)
{
	return request->target[0] == '/' && (request->target_len == 1 || request->target[1] == '?');
}

/* Answers with what the target names. Not inlined: the path's buffer is wanted only here. */
static __attribute__((noinline)) void answer_target(struct connection *connection)
{
	const struct request *request = &connection->request;
	const struct options *options = connection->server->options;
	char path[PATH_BYTES_MAX];
	struct file file;
	int status = path_from_target(request->target, request->target_len, path, sizeof(path));

	if (status == 200 && strcmp(path, "text") == 0) {
		answer_text(connection, 200, options->text, options->text_len);
		return;
	}
	if (status == 200) {
		const char *slash = strrchr(path, '/');
		const char *name = slash ? slash + 1 : path;

		status = connection->server->root_fd < 0
			? 404
			: file_open(connection->server->root_fd, path, &file);
		if (status == 200) {
			answer_file(connection, name, &file);
			weft_close(file.fd);
			return;
		}
	}
	if (status == 404 && names_root(request))
		answer_text(connection, 200, options->text, options->text_len);
	else
		answer_status(connection, (unsigned)status);
}

/* A request is complete. */
static void answer(struct connection *connection)
{
	struct request *request = &connection->request;

	connection->ends = !request->keep_alive || server_draining(connection->server);
	if (request->status == 200)
		answer_target(connection);
	else
		answer_status(connection, request->status);
	request_start(request);
	receive_within(connection, limits_of(connection)->idle_timeout);
}

/* Refuses the request that is being read, and with it all that would follow. */
static void refuse(struct connection *connection, unsigned status)
{
	connection->ends = true;
	connection->lingers = true;
	answer_status(connection, status);
}

/* The header is complete and a body follows: tell a client that waits for the word to send it. */
static void welcome_body(struct connection *connection)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	receive_within(connection, limits_of(connection)->body_timeout);
	if (!connection->request.expects_continue)
		return;
	if (connection->request.status == 200)
		outbox_add(&connection->out, go_on, sizeof(go_on) - 1);
	else
		refuse(connection, connection->request.status);
}

/* Answers what the received bytes complete and sends the answers. False: the connection ends. */
static bool answer_all(struct connection *connection, const char *data, size_t len)
{
	struct request *request = &connection->request;
	size_t used;

	while (len > 0 && !connection->ends && connection->out.error == 0) {
		bool starts = !request->started;

		switch (request_feed(request, data, len, &used)) {
		case REQUEST_MORE:
			if (starts)
				receive_within(connection, limits_of(connection)->header_timeout);
			break;
		case REQUEST_HEAD:
			welcome_body(connection);
			break;
		case REQUEST_DONE:
			answer(connection);
			break;
		case REQUEST_BAD:
			refuse(connection, request->status);
			break;
		}
		data += used;
		len -= used;
	}
	if (len > 0)
		connection->lingers = true;
	return outbox_flush(&connection->out) == 0 && !connection->ends;
}

/* Why receiving has ended, for the counters and, where it helps, for the client. */
static void account_for_end(struct connection *connection, ssize_t result)
{
	struct server *server = connection->server;
	const struct request *request = &connection->request;

	connection->ends = true;
	if (result == 0) {
		if (request->started)
			server_count(server, EVENT_CUT_SHORT, 1);
	} else if (result == -ECANCELED) {
		server_count(server, EVENT_CANCELLED, 1);
	} else if (result != -ETIMEDOUT || weft_now() < connection->receive_by) {
		server_count(server, EVENT_RESET, 1); /* the kernel's -ETIMEDOUT too: the peer is gone */
	} else if (!request->started) {
		server_count(server, EVENT_IDLE_TIMEOUT, 1);
	} else {
		server_count(server,
			request_in_header(request) ? EVENT_HEADER_TIMEOUT : EVENT_BODY_TIMEOUT, 1);
		refuse(connection, 408);
		outbox_flush(&connection->out);
	}
}

/* Between two requests: holds nothing, and may be told to end. False: it has been. */
static bool rest(struct connection *connection)
{
	outbox_shrink(&connection->out);
	free(connection->in_block);
	connection->in_block = NULL;
	/* Rule S2 of server.h: say so, then look. */
	__atomic_store_n(&connection->slot->idle, 1, __ATOMIC_SEQ_CST);
	return !server_draining(connection->server);
}

/* Waits for bytes; 0: the connection has ended. */
static size_t receive(struct connection *connection, char **data)
{
	size_t size = connection->in_block ? HTTPD_BLOCK_BYTES : HTTPD_INLINE_BYTES;
	ssize_t got;

	*data = connection->in_block ? connection->in_block : connection->in;
	weft_deadline(connection->receive_by);
	got = weft_recv(connection->fd, *data, size, 0);
	__atomic_store_n(&connection->slot->idle, 0, __ATOMIC_SEQ_CST);
	if (got <= 0) {
		account_for_end(connection, got);
		return 0;
	}
	server_count(connection->server, EVENT_BYTES_IN, (uint64_t)got);
	return (size_t)got;
}

/* Waits for bytes and answers what they complete. False: the connection ends. */
static bool exchange(struct connection *connection)
{
	char *data;
	size_t got;

	if (!connection->request.started && !rest(connection))
		return false;
	got = receive(connection, &data);
	if (got == 0 || !answer_all(connection, data, got))
		return false;
	/* A request that fills the buffer goes on behind it: read the rest in larger pieces. */
	if (connection->request.started && got == HTTPD_INLINE_BYTES && !connection->in_block)
		connection->in_block = malloc(HTTPD_BLOCK_BYTES); /* NULL: in small ones, then */
	return true;
}

/* Reads on for a moment behind a last response that the client might not have taken yet: closing
 * with unread bytes would reset the connection, and the response would be lost. */
static void linger(struct connection *connection)
{
	size_t left = HTTPD_LINGER_BYTES;

	weft_deadline(weft_after(HTTPD_LINGER_TIMEOUT));
	if (weft_shutdown(connection->fd, SHUT_WR) < 0)
		return;
	while (left > 0) {
		ssize_t got = weft_recv(connection->fd, connection->in, sizeof(connection->in), 0);

		if (got <= 0)
			return;
		left -= (size_t)got < left ? (size_t)got : left;
	}
}

static void account_for_failed_send(struct connection *connection)
{
	switch (connection->out.error) {
	case -ETIMEDOUT:
		server_count(connection->server, EVENT_WRITE_TIMEOUT, 1);
		break;
	case -ECANCELED:
		server_count(connection->server, EVENT_CANCELLED, 1);
		break;
	default:
		server_count(connection->server, EVENT_RESET, 1);
	}
}

void *connection_main(void *arg)
{
	struct connection connection;
	struct slot *slot = arg;
	struct server *server = slot->server;

	weft_set_name("connection");
	connection.server = server;
	connection.slot = slot;
	connection.fd = slot->fd;
	connection.ends = false;
	connection.lingers = false;
	connection.in_block = NULL;
	connection.date.second = 0;
	request_init(&connection.request, limits_of(&connection));
	outbox_init(&connection.out, server, connection.fd);
	receive_within(&connection, limits_of(&connection)->idle_timeout);
	while (exchange(&connection))
		;
	if (connection.out.error)
		account_for_failed_send(&connection);
	else if (connection.lingers)
		linger(&connection);
	free(connection.in_block);
	outbox_shrink(&connection.out);
	request_end(&connection.request);
	__atomic_store_n(&slot->idle, 0, __ATOMIC_SEQ_CST); /* rule S1: the last touch */
	weft_close(connection.fd);
	server_leave(server);
	return NULL;
}
