/* SPDX-License-Identifier: MIT */
/* resolve.c - names without blocking a worker: getaddrinfo on a thread of its own
 *
 * What     the fiber parks, a detached thread asks and wakes it. A look-up that is cancelled is left to its thread: the request
 *          is freed by whoever leaves it last.
 * Rules    NR-1 `parties`: starts at 2; each leaves by subtracting one (sc); the one that brings it to zero frees.
 *          NR-2 the thread publishes the addresses by `done` (sc swap), then wakes the ticket; the fiber's commit stores the
 *             ticket, then looks at `done`: one of the two sees the other.
 * Tests    tests/io/net_test.cc
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "io/api/address.h"
#include "sched/base/alloc.h"
#include "sched/base/seam.h"
#include "sched/core/runtime.h"

struct lookup {
	char host[256];
	uint16_t port;
	int error;
	struct wf_addresses found;
	wf_a32 parties; /* NR-1 */
	wf_a32 done;	/* NR-2 */
	wf_a64 ticket;	/* 0: nobody waits yet */
	struct wf_fiber *fiber;
	struct wf_runtime *rt;
};

static void leave(struct lookup *lookup)
{
	if (wf_sub_sc32(&lookup->parties, 1) == 1)
		wf_free(lookup, sizeof(*lookup));
}

static int errno_of(int gai)
{
	switch (gai) {
	case 0:
		return 0;
	case EAI_NONAME:
#ifdef EAI_NODATA
	case EAI_NODATA:
#endif
		return -ENOENT;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return -*wf_errno_address();
	default:
		return -ENOENT;
	}
}

static void keep_addresses(struct lookup *lookup, const struct addrinfo *list)
{
	struct wf_addresses *found = &lookup->found;
	for (const struct addrinfo *at = list; at != NULL && found->count < WF_ADDRESSES_MAX;
		at = at->ai_next) {
		struct wf_address *address = &found->address[found->count];
		if (at->ai_addrlen > sizeof(address->storage))
			continue;
		memcpy(&address->storage, at->ai_addr, at->ai_addrlen);
		address->length = at->ai_addrlen;
		if (at->ai_family == AF_INET)
			((struct sockaddr_in *)&address->storage)->sin_port = htons(lookup->port);
		else if (at->ai_family == AF_INET6)
			((struct sockaddr_in6 *)&address->storage)->sin6_port = htons(lookup->port);
		else
			continue;
		found->count++;
	}
}

static void *look_up(void *arg)
{
	struct lookup *lookup = arg;
	struct wf_runtime *rt = lookup->rt;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	int gai = getaddrinfo(lookup->host, NULL, &hints, &list);
	lookup->error = errno_of(gai);
	if (gai == 0) {
		keep_addresses(lookup, list);
		freeaddrinfo(list);
		if (lookup->found.count == 0)
			lookup->error = -ENOENT;
	}
	wf_swap_sc32(&lookup->done, 1);			 /* NR-2 */
	uint64_t ticket = wf_load_sc64(&lookup->ticket); /* NR-2 */
	if (ticket != 0)
		wf_wake(NULL, lookup->fiber, ticket, WF_WAKE_OK); /* stale if the look-up was given up */
	leave(lookup);
	wf_sub_sc32(&rt->references, 1); /* U1 */
	return NULL;
}

static bool commit_lookup(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	(void)w, (void)fiber;
	struct lookup *lookup = arg;
	wf_swap_sc64(&lookup->ticket, ticket);	 /* NR-2 */
	return wf_load_sc32(&lookup->done) == 0; /* NR-2 */
}

static int start(struct lookup *lookup)
{
	pthread_t thread;
	wf_add_sc32(&lookup->rt->references, 1); /* U1: the thread's */
	int error = wf_thread_create(&thread, "weft-resolve", look_up, lookup);
	if (error != 0) {
		wf_sub_sc32(&lookup->rt->references, 1);
		return error;
	}
	pthread_detach(thread);
	return 0;
}

int wf_resolve(const char *host, uint16_t port, struct wf_addresses *out)
{
	struct wf_worker *w = wf_self();
	struct wf_fiber *fiber = w->current;
	struct lookup *lookup = wf_alloc_zero(sizeof(*lookup));
	if (lookup == NULL)
		return -ENOMEM;
	strncpy(lookup->host, host, sizeof(lookup->host) - 1);
	lookup->port = port;
	lookup->fiber = fiber;
	lookup->rt = w->rt;
	wf_store_rlx32(&lookup->parties, 2); /* rlx: before the thread exists */
	int error = start(lookup);
	if (error != 0) {
		wf_free(lookup, sizeof(*lookup));
		return error;
	}
	while (wf_load_sc32(&lookup->done) == 0 && error == 0) {
		error = wf_interrupted(wf_self(), fiber);
		if (error == 0)
			wf_park(wf_park_masks(fiber), commit_lookup, lookup);
	}
	if (wf_load_sc32(&lookup->done) != 0) {
		error = lookup->error;
		*out = lookup->found;
	}
	leave(lookup);
	return error;
}
