/* SPDX-License-Identifier: MIT */
/* address.h - "host:port", "[v6]:port" and "unix:/path": what weft_listen and weft_dial are given
 *
 * Rules    R1 malformed text is -EINVAL before anything is looked up or opened.
 *          R2 a number is never looked up; a name is, without blocking a worker (names.h).
 * Tests    tests/io/net_test.cc, tests/io/dial_test.cc
 */
#ifndef WF_IO_API_ADDRESS_H
#define WF_IO_API_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WF_HOST_BYTES 256 /* longest DNS name and a zero */

struct wf_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

/* An address; or, where `name` is not empty, a name still to be looked up. */
struct wf_target {
	struct wf_address address;
	uint16_t port;
	char name[WF_HOST_BYTES];
};

/* Any thread; parks not. 0 or -EINVAL. */
int wf_address_parse(const char *text, struct wf_target *out);

/* Opens a stream socket, close-on-exec and with `flags`. Its descriptor, or a negative errno. */
int wf_stream_socket(int family, int flags);
/* What has become of a connection that was begun: 0 or a negative errno. */
int wf_socket_error(int fd);

#endif
