/* SPDX-License-Identifier: MIT */
/* dial.c - weft_dial: a connection to whichever address of a name answers first
 *
 * What     happy eyeballs (RFC 8305): the addresses are tried one after the other, the families in turn, the next when one has failed or
 *          has not answered for WF_DIAL_STAGGER_NS. The first that connects wins, the others are closed.
 * Rejected a fiber an address (a stack each, and a cancellation to wait for, where one select waits for all).
 * Owns     the sockets of the attempts; none but the winner's outlives the call.
 * Rules    HE1 the resolver's first address is tried first; within a family its order holds.
 *          HE2 the error is that of the address that failed last; but one that this machine has no way to does not count where another
 *              failed otherwise: "refused" says more than "no route".
 *          HE3 a number or a path is one address: weft_connect.
 * Tests    tests/io/dial_test.cc
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <weft/chan.h>
#include <weft/io.h>
#include <weft/net.h>

#include "io/api/address.h"
#include "io/api/names.h"
#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/core/misuse.h"
#include "sched/core/worker.h"

/* RFC 8305 recommends 250 ms: longer than nearly every handshake, shorter than a person's patience. */
#define WF_DIAL_STAGGER_NS (250 * WEFT_MS)

struct race {
	size_t count, next;	       /* addresses, and those tried */
	const struct addrinfo **order; /* HE1 */
	size_t running;		       /* attempts under way: the first cases */
	weft_case *cases;
	int error; /* HE2 */
};

static bool no_way(int error)
{
	return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EADDRNOTAVAIL ||
		error == -EAFNOSUPPORT;
}

static void note_error(struct race *race, int error)
{
	if (race->error == 0 || no_way(race->error) || !no_way(error))
		race->error = error;
}

/* HE1 */
static void put_in_order(struct race *race, const struct addrinfo *list)
{
	int first = list->ai_family;
	const struct addrinfo *same = list, *other = list;
	for (size_t i = 0; i < race->count; i++) {
		while (same != NULL && same->ai_family != first)
			same = same->ai_next;
		while (other != NULL && other->ai_family == first)
			other = other->ai_next;
		const struct addrinfo **from =
			other == NULL || (i % 2 == 0 && same != NULL) ? &same : &other;
		race->order[i] = *from;
		*from = (*from)->ai_next;
	}
}

static int connect_now(int fd, const struct addrinfo *to)
{
	int saved = wf_errno_load();
	int error = connect(fd, to->ai_addr, to->ai_addrlen) != 0 ? -wf_errno_load() : 0;
	wf_errno_store(saved);
	return error;
}

/* Starts the next attempt, or sees it fail. */
static void try_next(struct race *race)
{
	const struct addrinfo *to = race->order[race->next++];
	int fd = wf_stream_socket(to->ai_family, SOCK_NONBLOCK);
	if ((fd == -EMFILE || fd == -ENFILE) && race->running > 0) {
		race->next--; /* those under way may give one back */
		return;
	}
	if (fd < 0) {
		note_error(race, fd);
		return;
	}
	int error = connect_now(fd, to);
	if (error == 0 || error == -EINPROGRESS || error == -EINTR) {
		race->cases[race->running++] = (weft_case){.op = WEFT_CASE_WRITABLE, .fd = fd};
		return;
	}
	weft_close(fd);
	note_error(race, error);
}

static int take(struct race *race, size_t index)
{
	int fd = race->cases[index].fd;
	race->cases[index] = race->cases[--race->running];
	return fd;
}

/* The first that connects; or a negative errno. */
static int run(struct race *race)
{
	struct wf_fiber *fiber = wf_self()->current;
	int error = wf_interrupted(wf_self(), fiber);
	while (error == 0) {
		weft_ns due = WEFT_FOREVER;
		if (race->next < race->count) {
			try_next(race);
			due = weft_after(WF_DIAL_STAGGER_NS);
		}
		if (race->running == 0) {
			if (race->next == race->count)
				return race->error;
			continue;
		}
		int index = weft_select(
			race->cases, race->running, race->next < race->count ? due : WEFT_FOREVER);
		if (index >= 0) {
			int fd = take(race, (size_t)index), failed = wf_socket_error(fd);
			if (failed == 0)
				return fd;
			weft_close(fd);
			note_error(race, failed);
		} else if (index == -ETIMEDOUT) {
			error = wf_interrupted(wf_self(), fiber); /* or the next one's turn */
		} else {
			error = index;
		}
	}
	return error;
}

static int make_blocking(int fd)
{
	int saved = wf_errno_load();
	int flags = fcntl(fd, F_GETFL);
	int error = flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ? -wf_errno_load() : 0;
	wf_errno_store(saved);
	return error;
}

static int dial_any(const struct addrinfo *list)
{
	struct race race = {0};
	for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
		race.count++;
	size_t order_bytes = race.count * sizeof(*race.order);
	size_t case_bytes = race.count * sizeof(*race.cases);
	race.order = wf_alloc(order_bytes);
	race.cases = wf_alloc(case_bytes);
	int fd = -ENOMEM;
	if (race.order != NULL && race.cases != NULL) {
		put_in_order(&race, list);
		fd = run(&race);
	}
	while (race.running > 0)
		weft_close(take(&race, 0));
	wf_free(race.order, order_bytes);
	wf_free(race.cases, case_bytes);
	int error = fd >= 0 ? make_blocking(fd) : 0;
	if (error == 0)
		return fd;
	weft_close(fd);
	return error;
}

/* HE3 */
static int dial_one(const struct wf_address *address)
{
	const struct sockaddr *to = (const struct sockaddr *)&address->storage;
	int fd = wf_stream_socket(to->sa_family, 0);
	if (fd < 0)
		return fd;
	int error = weft_connect(fd, to, address->length);
	if (error == 0)
		return fd;
	weft_close(fd);
	return error;
}

int weft_dial(const char *address)
{
	struct wf_target target;
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_address_parse(address, &target);
	if (error != 0)
		return error;
	if (target.name[0] == '\0')
		return dial_one(&target.address);
	struct addrinfo *list;
	/* Every address: AI_ADDRCONFIG would leave ::1 out where loopback is all the IPv6 there is. What cannot be reached fails at once. */
	error = wf_names_stream(target.name, target.port, 0, &list);
	if (error != 0)
		return error;
	int fd = dial_any(list);
	freeaddrinfo(list);
	return fd;
}
