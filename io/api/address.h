/* SPDX-License-Identifier: MIT */
/* address.h - "host:port", "[v6]:port" and "unix:/path" become socket addresses
 *
 * Rules    R1 malformed text is -EINVAL before anything is looked up or opened.
 *          R2 a number is never looked up; a name is, on a thread of its own, so that no worker blocks (resolve.c).
 */
#ifndef WF_IO_API_ADDRESS_H
#define WF_IO_API_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WF_ADDRESSES_MAX 16 /* of one name that are tried */

struct wf_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

struct wf_addresses {
	unsigned count;
	struct wf_address address[WF_ADDRESSES_MAX];
};

/* Fills `out`. `passive`: an empty host is not allowed either; the addresses are for bind. Parks only for a name. 0, -EINVAL,
 * -ENOENT (no such name), -EAGAIN (the resolver could not say), -ENOMEM, or what an interrupted wait returns. */
int wf_address_parse(const char *text, struct wf_addresses *out);

/* resolve.c: all stream addresses of a host name. */
int wf_resolve(const char *host, uint16_t port, struct wf_addresses *out);

#endif
