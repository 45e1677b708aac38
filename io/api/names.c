/* SPDX-License-Identifier: MIT */
/* names.c - weft_getaddrinfo; see names.h */
#include "io/api/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <weft/net.h>
#include <weft/sync.h>

#include "io/api/op.h"
#include "io/api/resolve.h"
#include "sched/base/alloc.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/core/worker.h"
#include "sched/task/pool.h"

#define ALIASES_MAX 32 /* from a name to its canonical one; a circle ends there */

struct lookup {
	const char *node, *service; /* NM2 */
	struct addrinfo want;	    /* the hints, or what libc takes for them */
	struct addrinfo *list;
	int error;  /* EAI_* */
	int system; /* of EAI_SYSTEM */
	int family; /* to ask for */
	bool begun, done;
	bool asks, has_turn; /* NM4 */
	bool local;	     /* localhost, or under it */
	struct wf_resolution resolution;
};

/* libc's own, without the network. */
static int ask_libc(struct lookup *l, const char *node, int flags, int family, struct addrinfo **list)
{
	struct addrinfo hints = l->want;
	hints.ai_flags = flags | AI_NUMERICHOST;
	hints.ai_family = family;
	*list = NULL;
	int error = getaddrinfo(node, l->service, &hints, list);
	if (error == EAI_SYSTEM)
		l->system = wf_errno_load(); /* the pool's thread's */
	return error;
}

static bool has_family(int family)
{
	const struct addrinfo hints = {.ai_family = family,
		.ai_flags = AI_ADDRCONFIG | AI_NUMERICHOST,
		.ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	if (getaddrinfo(family == AF_INET ? "127.0.0.1" : "::1", NULL, &hints, &list) != 0)
		return false;
	freeaddrinfo(list);
	return true;
}

/* The family to ask the name servers for, AI_ADDRCONFIG as libc takes it; -1: none. */
static int family_to_ask(const struct lookup *l)
{
	int family = l->want.ai_family;
	if (l->want.ai_flags & AI_ADDRCONFIG) {
		bool v4 = has_family(AF_INET), v6 = has_family(AF_INET6);
		if (family == AF_UNSPEC && v4 != v6)
			return v4 ? AF_INET : AF_INET6;
		if ((family == AF_INET && !v4) || (family == AF_INET6 && !v6))
			return -1;
	}
	return family == AF_INET6 && (l->want.ai_flags & AI_V4MAPPED) ? AF_UNSPEC : family;
}

static weft_sem turns = WEFT_SEM_INIT(WF_LOOKUPS_MAX);

static bool is_ascii(const char *text)
{
	while (*text != '\0')
		if (*text++ & 0x80)
			return false;
	return true;
}

/* Everything that is no name, or is wrong for another reason. True: l->error and l->list are the answer. */
static bool answered_by_libc(struct lookup *l)
{
	int flags = l->want.ai_flags, family = l->want.ai_family;
	l->error = ask_libc(l, l->node, flags, family, &l->list);
	if (l->error != EAI_NONAME || l->node == NULL || (flags & AI_NUMERICHOST) ||
		l->node[0] == '\0' || strchr(l->node, ':') != NULL) /* a wrong IPv6 address */
		return true;
	/* Would a number have been answered? If not, the fault is not the name's. */
	struct addrinfo *list;
	const char *number = family == AF_INET6 ? "::1" : "127.0.0.1";
	l->error = ask_libc(l, number, flags & ~(AI_ADDRCONFIG | AI_CANONNAME), family, &list);
	if (l->error != 0)
		return true;
	freeaddrinfo(list);
	if ((flags & AI_IDN) && !is_ascii(l->node)) {
		l->error = EAI_IDN_ENCODE;
		return true;
	}
	return false;
}

/* IPv4 addresses among those asked for as IPv6: without AI_ALL only where there is none of the latter. */
static bool leaves_out_v4(const struct lookup *l)
{
	if (l->want.ai_family != AF_INET6 || (l->want.ai_flags & AI_ALL))
		return false;
	for (const struct ares_addrinfo_node *at = l->resolution.found->nodes; at != NULL; at = at->ai_next)
		if (at->ai_family == AF_INET6)
			return true;
	return false;
}

/* Along the aliases: those of a hosts file are a list of pairs rather than a chain. */
static const char *canonical_name(const struct lookup *l)
{
	const struct ares_addrinfo *found = l->resolution.found;
	if (found == NULL)
		return l->node;
	const char *name = found->name != NULL ? found->name : l->node;
	const struct ares_addrinfo_cname *first = found->cnames;
	if (first != NULL && first->name != NULL &&
		(first->alias == NULL || strcasecmp(first->name, name) == 0))
		return first->name; /* a line of a hosts file, spelled as there */
	const struct ares_addrinfo_cname *at = found->cnames;
	for (unsigned hops = 0; at != NULL && hops < ALIASES_MAX; hops++) {
		for (at = found->cnames; at != NULL; at = at->next)
			if (at->alias != NULL && at->name != NULL && strcasecmp(at->alias, name) == 0)
				break;
		if (at != NULL)
			name = at->name;
	}
	return name;
}

/* The nodes of one address, at the end of the list. */
static int append(struct lookup *l, const struct ares_addrinfo_node *at, struct addrinfo ***end)
{
	char text[INET6_ADDRSTRLEN + 32]; /* and the name of an interface */
	int error = getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	if (error != 0)
		return error;
	int flags = l->want.ai_flags & ~(AI_ADDRCONFIG | AI_CANONNAME);
	error = ask_libc(l, text, flags, l->want.ai_family, *end);
	while (**end != NULL)
		*end = &(**end)->ai_next;
	return error;
}

/* Of a name under localhost, where the hosts file has no address of the family. */
static int append_loopback(struct lookup *l)
{
	int flags = l->want.ai_flags & ~(AI_ADDRCONFIG | AI_CANONNAME);
	return ask_libc(
		l, l->family == AF_INET6 ? "::1" : "127.0.0.1", flags, l->want.ai_family, &l->list);
}

static void make_list(struct lookup *l)
{
	struct addrinfo **end = &l->list;
	const struct ares_addrinfo *found =
		l->resolution.found; /* NULL: a local name that the hosts file lacks */
	bool without_v4 = found != NULL && leaves_out_v4(l);
	l->error = 0;
	for (const struct ares_addrinfo_node *at = found != NULL ? found->nodes : NULL;
		at != NULL && l->error == 0; at = at->ai_next)
		if ((at->ai_family != AF_INET || !without_v4) &&
			(l->family == AF_UNSPEC || l->family == at->ai_family))
			l->error = append(l, at, &end);
	if (l->error == 0 && l->list == NULL && l->local)
		l->error = append_loopback(l);
	if (l->error == 0 && l->list == NULL)
		l->error = EAI_NODATA;
	if (l->error == 0 && (l->want.ai_flags & AI_CANONNAME)) {
		l->list->ai_canonname = strdup(canonical_name(l));
		if (l->list->ai_canonname == NULL)
			l->error = EAI_MEMORY;
	}
}

static void finish(struct lookup *l)
{
	if (l->error != 0 && l->list != NULL) {
		freeaddrinfo(l->list);
		l->list = NULL;
	}
	for (struct addrinfo *at = l->list; at != NULL; at = at->ai_next)
		at->ai_flags = l->want.ai_flags;
	l->done = true;
}

/* RFC 6761: it and whatever ends in it is this machine, and no name server is asked. */
static bool is_localhost(const char *node)
{
	static const char suffix[] = ".localhost";
	size_t length = strlen(node), tail = sizeof(suffix) - 1;
	if (length > 0 && node[length - 1] == '.')
		length--;
	if (length == tail - 1)
		return strncasecmp(node, suffix + 1, length) == 0;
	return length > tail && strncasecmp(node + length - tail, suffix, tail) == 0;
}

/* Of localhost in all families: asked for one that the hosts file lacks, c-ares 1.18 leaks the name. */
static void ask_servers(struct lookup *l)
{
	l->local = is_localhost(l->node);
	l->resolution.hosts_only = l->local;
	wf_resolution_ask(&l->resolution, l->node, l->local ? AF_UNSPEC : l->family);
}

static void begin(struct lookup *l)
{
	l->begun = true;
	if (answered_by_libc(l)) {
		finish(l);
		return;
	}
	l->family = family_to_ask(l);
	l->asks = l->family >= 0;
	if (!l->asks) {
		l->error = EAI_NONAME;
		finish(l);
	}
}

/* On the pool. */
static void step(void *arg)
{
	struct lookup *l = arg;
	if (!l->begun)
		begin(l);
	else if (l->resolution.channel != NULL)
		wf_resolution_step(&l->resolution);
	if (l->asks && !l->has_turn)
		l->has_turn = weft_sem_trywait(&turns) == 0;
	if (!l->has_turn)
		return;
	if (l->resolution.channel == NULL)
		ask_servers(l);
	if (!l->resolution.over)
		return;
	l->error = l->resolution.error;
	l->system = l->resolution.system;
	if (l->error == 0 || (l->local && l->error != EAI_MEMORY && l->error != EAI_SYSTEM))
		make_list(l);
	finish(l);
	wf_resolution_end(&l->resolution);
}

/* Until there is something for the next step. */
static int await(struct lookup *l)
{
	if (l->has_turn)
		return wf_resolution_wait(&l->resolution);
	int error = weft_sem_wait(&turns);
	l->has_turn = error == 0;
	return error;
}

/* 0: done. */
static int run(struct lookup *l)
{
	struct wf_fiber *fiber = wf_self()->current;
	enum wf_pool_kind kind = l->resolution.waits ? WF_POOL_BREAK : WF_POOL_WHOLE; /* NS4 */
	int error = wf_interrupted(wf_self(), fiber);				      /* NM1 */
	while (error == 0) {
		error = wf_pool_run(step, l, kind);
		if (l->done)
			return 0;
		if (error == 0)
			error = await(l);
		else if (error == -EINTR)
			error = wf_interrupted(wf_self(), fiber);
	}
	return error;
}

static int failed(int error, int *system)
{
	if (error == -ENOMEM)
		return EAI_MEMORY;
	*system = -error;
	return EAI_SYSTEM;
}

/* EAI_*, with *system the errno value of EAI_SYSTEM. On a fiber. */
static int look_up(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **list, int *system)
{
	const struct addrinfo none = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
	struct lookup *l = wf_alloc_zero(sizeof(*l));
	if (l == NULL)
		return EAI_MEMORY;
	l->node = node != NULL && strcmp(node, "*") == 0 ? NULL : node; /* as libc takes it */
	l->service = service;
	l->want = hints != NULL ? *hints : none;
	l->resolution.waits = wf_self()->rt->virtual_time;
	int error = run(l);
	int result = error == 0 ? l->error : failed(error, system);
	if (result == 0)
		*list = l->list;
	else if (error == 0)
		*system = l->system;
	wf_resolution_close(&l->resolution);
	if (l->has_turn)
		weft_sem_post(&turns);
	wf_free(l, sizeof(*l));
	return result;
}

int weft_getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	int system = EPERM;
	int result = EAI_SYSTEM;
	if (wf_self() != NULL)
		result = look_up(node, service, hints, res, &system);
	else
		wf_misuse_off_fiber();
	if (result == EAI_SYSTEM)
		wf_errno_store(system);
	return result;
}

int wf_names_stream(const char *host, uint16_t port, int flags, struct addrinfo **list)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	char service[sizeof("65535")];
	int system = 0;
	snprintf(service, sizeof(service), "%u", (unsigned)port);
	switch (look_up(host, service, &hints, list, &system)) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return -system;
	case EAI_AGAIN:
	case EAI_FAIL:
		return -EAGAIN;
	default:
		return -ENOENT;
	}
}
