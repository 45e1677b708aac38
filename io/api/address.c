/* SPDX-License-Identifier: MIT */
/* address.c - parsing of addresses, weft_listen and weft_dial; see address.h */
#include "io/api/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/core/worker.h"

#define HOST_BYTES 256 /* longest DNS name and a zero */

static int parse_unix(const char *path, struct wf_addresses *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->address[0].storage;
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof(un->sun_path))
		return -EINVAL;
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, length + 1);
	out->address[0].length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	out->count = 1;
	return 0;
}

/* Digits only, 0 to 65535. */
static int parse_port(const char *text, uint16_t *port)
{
	unsigned value = 0;
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 5 || text[digits] != '\0')
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (unsigned)(text[i] - '0');
	if (value > 65535)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static bool parse_v4(const char *host, uint16_t port, struct wf_addresses *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->address[0].storage;
	memset(in, 0, sizeof(*in));
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return false;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	out->address[0].length = sizeof(*in);
	out->count = 1;
	return true;
}

static int parse_v6(const char *host, uint16_t port, struct wf_addresses *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->address[0].storage;
	memset(in6, 0, sizeof(*in6));
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	out->address[0].length = sizeof(*in6);
	out->count = 1;
	return 0;
}

int wf_address_parse(const char *text, struct wf_addresses *out)
{
	char host[HOST_BYTES];
	uint16_t port;
	out->count = 0;
	if (text == NULL)
		return -EINVAL;
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out);
	const char *colon = strrchr(text, ':');
	if (colon == NULL || parse_port(colon + 1, &port) != 0)
		return -EINVAL;
	size_t length = (size_t)(colon - text);
	bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	if (bracketed) {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (bracketed)
		return parse_v6(host, port, out);
	if (strpbrk(host, ":[]/ \t\r\n") != NULL) /* a bare IPv6 address is ambiguous */
		return -EINVAL;
	if (parse_v4(host, port, out))
		return 0;
	return wf_resolve(host, port, out);
}

static int open_socket(const struct wf_address *address)
{
	int saved = wf_errno_load();
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fd = -wf_errno_load();
	wf_errno_store(saved);
	return fd;
}

static int bind_and_listen(int fd, const struct wf_address *address)
{
	int on = 1, error = 0;
	int saved = wf_errno_load();
	if (address->storage.ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address->storage, address->length) != 0 ||
		listen(fd, SOMAXCONN) != 0)
		error = -wf_errno_load();
	wf_errno_store(saved);
	return error;
}

int weft_listen(const char *address)
{
	if (wf_self() == NULL)
		return -EPERM;
	struct wf_addresses *found = wf_alloc_zero(sizeof(*found));
	if (found == NULL)
		return -ENOMEM;
	int error = wf_address_parse(address, found);
	int fd = error;
	for (unsigned i = 0; error == 0 && i < found->count; i++) {
		fd = open_socket(&found->address[i]);
		int failed = fd < 0 ? fd : bind_and_listen(fd, &found->address[i]);
		if (failed == 0)
			break;
		if (fd >= 0)
			weft_close(fd);
		fd = failed;
	}
	wf_free(found, sizeof(*found));
	return fd;
}

int weft_dial(const char *address)
{
	if (wf_self() == NULL)
		return -EPERM;
	struct wf_addresses *found = wf_alloc_zero(sizeof(*found));
	if (found == NULL)
		return -ENOMEM;
	int error = wf_address_parse(address, found);
	int fd = error;
	for (unsigned i = 0; error == 0 && i < found->count; i++) {
		fd = open_socket(&found->address[i]);
		int failed = fd < 0
			? fd
			: weft_connect(fd, (const struct sockaddr *)&found->address[i].storage,
				  found->address[i].length);
		if (failed == 0)
			break;
		if (fd >= 0)
			weft_close(fd);
		fd = failed;
		if (failed == -ECANCELED || failed == -ETIMEDOUT)
			error = weft_check(); /* in force for the other addresses too? */
	}
	wf_free(found, sizeof(*found));
	return fd;
}
