/* SPDX-License-Identifier: MIT */
/* target.h - whom the load is meant for
 *
 * Rules  An address that is not this machine's loopback is marked, and refused by the caller unless
 *        its user says --i-own-this: a load generator pointed at somebody else is an attack.
 * Tests  tests/http/target_test.cc
 */
#ifndef TOOLS_LOAD_TARGET_H
#define TOOLS_LOAD_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

#define TARGET_HOST_BYTES 256u
#define TARGET_PATH_BYTES 4096u

struct target {
	char host[TARGET_HOST_BYTES]; /* as given, without brackets */
	char port[8];
	char path[TARGET_PATH_BYTES]; /* with its query; "/" if none is given */
	struct sockaddr_storage address;
	socklen_t address_len;
};

/* Takes "http://host[:port][/path]" apart, or "host:port" and "tcp://host:port" when echo. False,
 * with a line on stderr, for anything else. */
bool target_parse(struct target *target, const char *url, bool echo);

/* Looks the host up; blocks, so not in a fiber. False with a line on stderr. */
bool target_resolve(struct target *target);

bool target_is_loopback(const struct target *target);

#endif
