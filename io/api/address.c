/* SPDX-License-Identifier: MIT */
/* address.c - parsing of addresses, and weft_listen; see address.h */
#include "io/api/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/names.h"
#include "io/api/op.h"
#include "sched/core/misuse.h"
#include "sched/core/worker.h"

static int parse_unix(const char *path, struct wf_address *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof(un->sun_path))
		return -EINVAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, length + 1);
	out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
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

static bool parse_v4(const char *host, uint16_t port, struct wf_address *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->storage;
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return false;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	out->length = sizeof(*in);
	return true;
}

static bool parse_v6(const char *host, uint16_t port, struct wf_address *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->storage;
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return false;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	out->length = sizeof(*in6);
	return true;
}

int wf_address_parse(const char *text, struct wf_target *out)
{
	memset(out, 0, sizeof(*out));
	if (text == NULL)
		return -EINVAL;
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, &out->address);
	const char *colon = strrchr(text, ':');
	if (colon == NULL || parse_port(colon + 1, &out->port) != 0)
		return -EINVAL;
	size_t length = (size_t)(colon - text);
	bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	if (bracketed) {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(out->name))
		return -EINVAL;
	memcpy(out->name, text, length);
	/* A bare IPv6 address is ambiguous. */
	if (!bracketed && strpbrk(out->name, ":[]/ \t\r\n") != NULL)
		return -EINVAL;
	bool number = bracketed ? parse_v6(out->name, out->port, &out->address)
				: parse_v4(out->name, out->port, &out->address);
	if (number)
		out->name[0] = '\0';
	return number || !bracketed ? 0 : -EINVAL;
}

int wf_stream_socket(int family, int flags)
{
	int saved = wf_errno_load();
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		fd = -wf_errno_load();
	wf_errno_store(saved);
	return fd;
}

int wf_socket_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);
	int saved = wf_errno_load();
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = wf_errno_load();
	wf_errno_store(saved);
	return -error;
}

static int bind_and_listen(int fd, const struct sockaddr *at, socklen_t size)
{
	int on = 1, error = 0;
	int saved = wf_errno_load();
	if (at->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, at, size) != 0 || listen(fd, SOMAXCONN) != 0)
		error = -wf_errno_load();
	wf_errno_store(saved);
	return error;
}

static int listen_at(const struct sockaddr *at, socklen_t size)
{
	int fd = wf_stream_socket(at->sa_family, 0);
	if (fd < 0)
		return fd;
	int error = bind_and_listen(fd, at, size);
	if (error == 0)
		return fd;
	weft_close(fd);
	return error;
}

int weft_listen(const char *address)
{
	struct wf_target target;
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_address_parse(address, &target);
	if (error != 0)
		return error;
	if (target.name[0] == '\0')
		return listen_at((const struct sockaddr *)&target.address.storage, target.address.length);
	struct addrinfo *list;
	error = wf_names_stream(target.name, target.port, AI_ADDRCONFIG, &list);
	if (error != 0)
		return error;
	int fd = -ENOENT;
	for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next)
		fd = listen_at(at->ai_addr, at->ai_addrlen);
	freeaddrinfo(list);
	return fd;
}
