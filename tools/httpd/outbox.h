/* SPDX-License-Identifier: MIT */
/* outbox.h - the bytes of responses that wait to be sent
 *
 * What   Responses to pipelined requests pile up here and leave in one send. A few fit inside; more
 *        borrow a block from the heap until the connection waits for its client again; when that is
 *        full, or cannot be had, what is there is sent first. So a client cannot make it grow.
 * Rules  O1 after a failure everything is dropped, this and what is still added: the connection
 *           must end, and outbox.error says why.
 *        O2 every send sets the fiber's deadline to the write timeout; the reader sets its own
 *           again.
 */
#ifndef TOOLS_HTTPD_OUTBOX_H
#define TOOLS_HTTPD_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/httpd/server.h"

struct outbox {
	struct server *server;
	int fd;
	int error; /* 0, or the negative errno of the send that failed */
	uint32_t len;
	char *block; /* HTTPD_BLOCK_BYTES from the heap, or NULL: inside */
	char inside[HTTPD_INLINE_BYTES];
};

void outbox_init(struct outbox *outbox, struct server *server, int fd);

/* Room for len bytes in a row (at most HTTPD_INLINE_BYTES), to be filled and then counted by adding
 * to outbox.len. NULL: see O1. */
char *outbox_room(struct outbox *outbox, size_t len);

/* The room there is, at least one byte, in the block if one can be had: for files. NULL: see O1. */
char *outbox_rest(struct outbox *outbox, size_t *len);

void outbox_add(struct outbox *outbox, const void *data, size_t len);

/* Sends what is there: 0, or the negative errno of O1. */
int outbox_flush(struct outbox *outbox);

/* Gives the block back; the outbox is empty or what it holds is dropped. */
void outbox_shrink(struct outbox *outbox);

#endif
