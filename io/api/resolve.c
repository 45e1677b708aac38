/* SPDX-License-Identifier: MIT */
/* resolve.c - see resolve.h */
#include "io/api/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <weft/io.h>

#include "io/api/address.h"
#include "io/api/names.h"
#include "io/api/op.h"
#include "sched/base/log.h"
#include "sched/core/worker.h"

#define SERVERS_MAX 16 /* of WEFT_NAMESERVERS; more are malformed */
#define SERVER_BYTES (sizeof("[]:65535") + INET6_ADDRSTRLEN)
#define PATIENCE_MS                                                                                \
	1000 /* c-ares always has a time to look at again; were it not so, this would be it */

/* c-ares itself says of it no more than that nobody answered, or that a file cannot be read. */
static void note_shortage(struct wf_resolution *r)
{
	int error = wf_errno_load();
	if (error == EMFILE || error == ENFILE)
		r->system = error;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	struct wf_resolution *r = arg;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		note_shortage(r);
	return fd;
}

static int close_socket(ares_socket_t fd, void *arg)
{
	struct wf_resolution *r = arg;
	for (int i = 0; i < r->waited_count; i++) {
		if (r->waited[i] != fd)
			continue;
		r->waited[i] = r->waited[--r->waited_count];
		r->closed[r->closed_count++] = fd; /* NS2 */
		return 0;
	}
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t size, void *arg)
{
	(void)arg;
	return connect(fd, to, size);
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t len, int flags,
	struct sockaddr *from, ares_socklen_t *size, void *arg)
{
	(void)arg;
	return recvfrom(fd, buf, len, flags, from, size);
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *parts, int count, void *arg)
{
	(void)arg;
	struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
	ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
	/* What the first of two questions met. It is the receive that has to be told, or the first one waits for its timeout. */
	return n < 0 && wf_errno_load() == ECONNREFUSED ? sendmsg(fd, &message, MSG_NOSIGNAL) : n;
}

static const struct ares_socket_functions socket_calls = {
	.asocket = open_socket,
	.aclose = close_socket,
	.aconnect = connect_socket,
	.arecvfrom = receive,
	.asendv = send_vector,
};

static int gai_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return EAI_NONAME;
	case ARES_ENODATA:
		return EAI_NODATA;
	case ARES_ENOMEM:
		return EAI_MEMORY;
	case ARES_EFORMERR:
	case ARES_EBADRESP:
		return EAI_FAIL;
	default: /* nobody answered, or nobody who knew */
		return EAI_AGAIN;
	}
}

static void set_error(struct wf_resolution *r, int status)
{
	if (status == ARES_EFILE)
		note_shortage(r);
	r->error = gai_of(status);
	if (r->error == EAI_AGAIN && r->system != 0)
		r->error = EAI_SYSTEM;
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	(void)timeouts;
	struct wf_resolution *r = arg;
	r->over = true;
	r->found = found;
	set_error(r, status);
}

/* "address:port", or an address alone. */
static bool parse_server(const char *text, struct ares_addr_port_node *server)
{
	char with_port[SERVER_BYTES + sizeof(":53")];
	struct wf_target target;
	int error = wf_address_parse(text, &target);
	if (error != 0) {
		strcpy(with_port, text);
		strcat(with_port, ":53");
		error = wf_address_parse(with_port, &target);
	}
	if (error != 0 || target.name[0] != '\0' || target.port == 0 ||
		target.address.storage.ss_family == AF_UNIX)
		return false;
	*server = (struct ares_addr_port_node){.family = target.address.storage.ss_family,
		.udp_port = target.port,
		.tcp_port = target.port};
	if (server->family == AF_INET)
		server->addr.addr4 = ((struct sockaddr_in *)&target.address.storage)->sin_addr;
	else
		memcpy(&server->addr.addr6, &((struct sockaddr_in6 *)&target.address.storage)->sin6_addr,
			sizeof(server->addr.addr6));
	return true;
}

/* WEFT_NAMESERVERS=address:port,... instead of those of /etc/resolv.conf: how many, linked; 0: not set; -1: malformed. */
static int read_servers(struct ares_addr_port_node servers[SERVERS_MAX])
{
	const char *text = getenv("WEFT_NAMESERVERS");
	if (text == NULL || text[0] == '\0')
		return 0;
	size_t count = 0;
	for (;;) {
		char one[SERVER_BYTES];
		size_t length = strcspn(text, ",");
		if (length >= sizeof(one) || count == SERVERS_MAX)
			return -1;
		memcpy(one, text, length);
		one[length] = '\0';
		if (!parse_server(one, &servers[count]))
			return -1;
		if (count > 0)
			servers[count - 1].next = &servers[count];
		count++;
		if (text[length] == '\0')
			return (int)count;
		text += length + 1;
	}
}

int wf_names_check_environment(void)
{
	struct ares_addr_port_node servers[SERVERS_MAX];
	if (read_servers(servers) >= 0)
		return 0;
	wf_log(WF_LOG_ALWAYS,
		"WEFT_NAMESERVERS=%s is not a list of at most %d servers as 127.0.0.1:53,[::1]:53",
		getenv("WEFT_NAMESERVERS"), SERVERS_MAX);
	return -EINVAL;
}

static int use_servers(ares_channel channel)
{
	struct ares_addr_port_node servers[SERVERS_MAX];
	int count = read_servers(servers);
	if (count <= 0)
		return count;
	return ares_set_servers_ports(channel, servers) == ARES_SUCCESS ? 0 : -1;
}

static void start_library(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

/* c-ares knows neither "timeout" nor "attempts" of resolv.conf, and its own are long: libc's reading of it counts. */
static int open_channel(struct wf_resolution *r)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start_library);
	struct ares_options options = {0};
	int given = 0;
	struct __res_state state;
	memset(&state, 0, sizeof(state));
	if (res_ninit(&state) == 0) {
		options.timeout = state.retrans * 1000;
		options.tries = state.retry;
		given = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
		res_nclose(&state);
	}
	static char hosts_file[] = "f";
	if (r->hosts_only) {
		options.lookups = hosts_file;
		given |= ARES_OPT_LOOKUPS;
	}
	int status = ares_init_options(&r->channel, &options, given);
	if (status != ARES_SUCCESS) {
		r->channel = NULL;
		set_error(r, status);
		return r->error;
	}
	ares_set_socket_functions(r->channel, &socket_calls, r);
	if (use_servers(r->channel) == 0)
		return 0;
	static wf_a32 said; /* it was changed since the runtime's start */
	if (wf_swap_sc32(&said, 1) == 0)
		wf_names_check_environment();
	return EAI_FAIL;
}

void wf_resolution_ask(struct wf_resolution *r, const char *node, int family)
{
	const struct ares_addrinfo_hints hints = {
		.ai_family = family, .ai_flags = ARES_AI_CANONNAME, .ai_socktype = SOCK_STREAM};
	r->error = open_channel(r);
	if (r->error != 0)
		r->over = true;
	else
		ares_getaddrinfo(r->channel, node, NULL, &hints, answered, r);
}

static int patience_ms(ares_channel channel)
{
	struct timeval left;
	if (ares_timeout(channel, NULL, &left) == NULL)
		return PATIENCE_MS;
	return (int)left.tv_sec * 1000 + (int)(left.tv_usec + 999) / 1000;
}

/* ARES_GETSOCK_READABLE and _WRITABLE shift a one into the sign. */
static bool wants_read(int bits, int i)
{
	return (unsigned)bits >> i & 1;
}

static bool wants_write(int bits, int i)
{
	return (unsigned)bits >> (i + ARES_GETSOCK_MAXNUM) & 1;
}

void wf_resolution_step(struct wf_resolution *r)
{
	ares_socket_t sockets[WF_RESOLUTION_SOCKETS];
	struct pollfd polls[WF_RESOLUTION_SOCKETS];
	nfds_t count = 0;
	int bits = ares_getsock(r->channel, sockets, WF_RESOLUTION_SOCKETS);
	for (int i = 0; i < WF_RESOLUTION_SOCKETS; i++) {
		short events = (short)((wants_read(bits, i) ? POLLIN : 0) |
			(wants_write(bits, i) ? POLLOUT : 0));
		if (events != 0)
			polls[count++] = (struct pollfd){.fd = sockets[i], .events = events};
	}
	if (poll(polls, count, r->waits ? patience_ms(r->channel) : 0) > 0) {
		for (nfds_t i = 0; i < count && !r->over; i++) {
			short in = polls[i].revents & (POLLIN | POLLERR | POLLHUP);
			short out = polls[i].revents & (POLLOUT | POLLERR | POLLHUP);
			if ((in | out) != 0)
				ares_process_fd(r->channel, in ? polls[i].fd : ARES_SOCKET_BAD,
					out ? polls[i].fd : ARES_SOCKET_BAD);
		}
	}
	if (!r->over)
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is late */
}

static void close_closed(struct wf_resolution *r)
{
	while (r->closed_count > 0)
		weft_close(r->closed[--r->closed_count]);
}

static bool note_waited(struct wf_resolution *r, int fd)
{
	for (int i = 0; i < r->waited_count; i++)
		if (r->waited[i] == fd)
			return true;
	if (r->waited_count == WF_RESOLUTION_SOCKETS)
		return false; /* more than c-ares tells of: the time will come */
	r->waited[r->waited_count++] = fd;
	return true;
}

int wf_resolution_wait(struct wf_resolution *r)
{
	struct wf_fiber *fiber = wf_self()->current;
	ares_socket_t sockets[WF_RESOLUTION_SOCKETS];
	size_t count = 0;
	close_closed(r);
	if (r->waits)
		return wf_interrupted(wf_self(), fiber);
	int bits = ares_getsock(r->channel, sockets, WF_RESOLUTION_SOCKETS);
	for (int i = 0; i < WF_RESOLUTION_SOCKETS; i++) {
		bool in = wants_read(bits, i), out = wants_write(bits, i);
		if ((!in && !out) || !note_waited(r, sockets[i]))
			continue;
		if (in)
			r->cases[count++] = (weft_case){.op = WEFT_CASE_READABLE, .fd = sockets[i]};
		if (out)
			r->cases[count++] = (weft_case){.op = WEFT_CASE_WRITABLE, .fd = sockets[i]};
	}
	int result =
		weft_select(r->cases, count, weft_after(patience_ms(r->channel) * (weft_ns)WEFT_MS));
	if (result == -ETIMEDOUT)
		return wf_interrupted(wf_self(), fiber);
	return result < 0 ? result : 0;
}

void wf_resolution_end(struct wf_resolution *r)
{
	int saved = wf_errno_load();
	if (r->channel != NULL)
		ares_destroy(r->channel); /* NS3: an unanswered question ends here, by `answered` */
	if (r->found != NULL)
		ares_freeaddrinfo(r->found);
	wf_errno_store(saved);
	r->channel = NULL;
	r->found = NULL;
}

void wf_resolution_close(struct wf_resolution *r)
{
	wf_resolution_end(r);
	close_closed(r);
}
