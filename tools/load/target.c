/* SPDX-License-Identifier: MIT */
/* target.c - see target.h */
#include "tools/load/target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool complain(const char *url, const char *what)
{
	fprintf(stderr, "weft-load: \"%s\": %s\n", url, what);
	return false;
}

/* Copies text[0, len) with a 0 behind it, if it fits and is not empty. */
static bool copy(char *to, size_t size, const char *text, size_t len)
{
	if (len == 0 || len >= size)
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static bool is_port(const char *text)
{
	unsigned port = 0;

	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned)(*at - '0');
		if (port > 65535)
			return false;
	}
	return port > 0;
}

/* Takes "host[:port]" or "[v6][:port]", len characters long. */
static bool parse_authority(struct target *target, const char *text, size_t len)
{
	const char *end = text + len, *host = text, *host_end, *colon;

	if (len > 0 && *text == '[') {
		host = text + 1;
		host_end = memchr(text, ']', len);
		if (!host_end)
			return false;
		colon = host_end + 1;
		if (colon < end && *colon != ':')
			return false;
	} else {
		colon = memchr(text, ':', len);
		host_end = colon ? colon : end;
		if (!colon)
			colon = end;
	}
	if (!copy(target->host, sizeof(target->host), host, (size_t)(host_end - host)))
		return false;
	if (colon >= end)
		return true;
	colon++;
	return copy(target->port, sizeof(target->port), colon, (size_t)(end - colon)) &&
		is_port(target->port);
}

/* A path goes into the request line as it is, so it must not be able to end it. */
static bool is_clean(const char *path)
{
	for (; *path; path++)
		if ((unsigned char)*path <= ' ' || *path == 0x7f)
			return false;
	return true;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool parse_http(struct target *target, const char *url)
{
	const char *authority = url + strlen("http://");
	size_t len = strcspn(authority, "/?#");
	const char *path = authority + len;

	strcpy(target->port, "80");
	if (!parse_authority(target, authority, len))
		return complain(url, "host or port is malformed");
	len = strcspn(path, "#");
	if (*path == '?') {
		target->path[0] = '/';
		return copy(target->path + 1, sizeof(target->path) - 1, path, len) &&
				is_clean(target->path)
			? true
			: complain(url, "the query is too long or holds a space");
	}
	if (len == 0)
		strcpy(target->path, "/");
	else if (!copy(target->path, sizeof(target->path), path, len) || !is_clean(target->path))
		return complain(url, "the path is too long or holds a space; write %20");
	return true;
}

bool target_parse(struct target *target, const char *url, bool echo)
{
	memset(target, 0, sizeof(*target));
	if (starts_with(url, "https://"))
		return complain(url, "TLS is not spoken here, only http://");
	if (!echo && starts_with(url, "http://"))
		return parse_http(target, url);
	if (!echo)
		return complain(url, "not a URL such as http://127.0.0.1:8080/");
	if (starts_with(url, "tcp://"))
		url += strlen("tcp://");
	if (!parse_authority(target, url, strlen(url)) || target->port[0] == '\0')
		return complain(url, "not an address such as 127.0.0.1:9000");
	return true;
}

bool target_resolve(struct target *target)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	int error = getaddrinfo(target->host, target->port, &hints, &found);

	if (error)
		return complain(target->host, gai_strerror(error));
	memcpy(&target->address, found->ai_addr, found->ai_addrlen);
	target->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

bool target_is_loopback(const struct target *target)
{
	if (target->address.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&target->address;

		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	if (target->address.ss_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&target->address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(v6) ||
			(IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
	}
	return false;
}
