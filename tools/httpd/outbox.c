/* SPDX-License-Identifier: MIT */
/* outbox.c - see outbox.h */
#include "tools/httpd/outbox.h"

#include <stdlib.h>
#include <string.h>

void outbox_init(struct outbox *outbox, struct server *server, int fd)
{
	outbox->server = server;
	outbox->fd = fd;
	outbox->error = 0;
	outbox->len = 0;
	outbox->block = NULL;
}

static char *buffer_of(struct outbox *outbox)
{
	return outbox->block ? outbox->block : outbox->inside;
}

static size_t room_of(const struct outbox *outbox)
{
	return (outbox->block ? HTTPD_BLOCK_BYTES : HTTPD_INLINE_BYTES) - outbox->len;
}

/* Moves to a block, if there is none yet and one can be had. */
static void grow(struct outbox *outbox)
{
	if (outbox->block)
		return;
	outbox->block = malloc(HTTPD_BLOCK_BYTES);
	if (outbox->block)
		memcpy(outbox->block, outbox->inside, outbox->len);
}

char *outbox_room(struct outbox *outbox, size_t len)
{
	if (room_of(outbox) < len)
		grow(outbox);
	if (room_of(outbox) < len)
		outbox_flush(outbox);
	return outbox->error ? NULL : buffer_of(outbox) + outbox->len;
}

char *outbox_rest(struct outbox *outbox, size_t *len)
{
	grow(outbox);
	if (room_of(outbox) == 0)
		outbox_flush(outbox);
	*len = room_of(outbox);
	return outbox->error ? NULL : buffer_of(outbox) + outbox->len;
}

void outbox_add(struct outbox *outbox, const void *data, size_t len)
{
	const char *from = data;

	while (len > 0) {
		size_t room = room_of(outbox), step;
		char *to;

		if (room >= len)
			to = outbox_room(outbox, len);
		else
			to = outbox_rest(outbox, &room);
		if (!to)
			return;
		step = len < room ? len : room;
		memcpy(to, from, step);
		outbox->len += (uint32_t)step;
		from += step;
		len -= step;
	}
}

int outbox_flush(struct outbox *outbox)
{
	const char *at = buffer_of(outbox);
	size_t left = outbox->len;

	if (outbox->error || left == 0)
		return outbox->error;
	weft_deadline(weft_after(outbox->server->options->limits.write_timeout));
	while (left > 0 && outbox->error == 0) {
		ssize_t sent = weft_send_full(outbox->fd, at, left, 0);

		if (sent < 0) {
			outbox->error = (int)sent;
		} else { /* fewer than all: the next call returns the error */
			at += sent;
			left -= (size_t)sent;
		}
	}
	server_count(outbox->server, EVENT_BYTES_OUT, outbox->len - left);
	outbox->len = 0;
	return outbox->error;
}

void outbox_shrink(struct outbox *outbox)
{
	free(outbox->block);
	outbox->block = NULL;
	outbox->len = 0;
}
