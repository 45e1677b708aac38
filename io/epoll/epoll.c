/* SPDX-License-Identifier: MIT */
/* epoll.c - the epoll engine: readiness instead of completion
 *
 * What     an operation is tried at the next flush; what the kernel has no answer to yet waits in a list of its descriptor, which is registered for one
 *          event, and is tried again when that comes. What cannot be waited for, files first of all, goes back to the caller, who has a pool of
 *          threads for it (WF_OP_BLOCKS).
 * Rejected edge-triggered registrations kept for good: a number that was given up by a plain close(2) and is another file now, or a file that
 *          has two numbers, is then waited for without ever being registered. Here each wait registers anew (0.3 us), and so is right.
 *          One epoll descriptor for all workers: every wake-up would be everybody's.
 * Owns     the epoll descriptor, the eventfd by which others end this thread's sleep, the table of descriptors that somebody waits for.
 * Rules    EP1 an event means "try again", and nothing else; so one that comes late, or of a file that had the number before, is harmless.
 *          EP2 of a descriptor there are three lists: who reads, who writes, who polls. A list of the first two is tried in order until
 *              the kernel has no more answers; so nobody overtakes, and ten thousand waiters cost one try more than there are answers.
 *              Who comes while others wait for the same thing stands behind them, untried; what does another thing with the descriptor is
 *              tried at once, for it may be an error.
 *          EP3 submit and cancel put the operation into a queue; it is tried or completed in flush (E2, E4 of driver.h).
 *          EP4 a sleep never begins while the queue holds something.
 *          EP5 where a descriptor is said to be ready and nothing comes of it, again and again (a message in a socket's error queue), it is left alone
 *              for a while.
 * Tests    tests/io/epoll_test.cc; tests/io, sync and task with WEFT_ENGINE=epoll
 */
#include "io/epoll/epoll.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/epoll/try.h"
#include "sched/base/alloc.h"
#include "sched/base/own_fd.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/worker.h"

WF_OWNER_CODE_BEGIN

#define CODE(op) (UINT64_C(1) << (op))
#define OPERATIONS                                                                                 \
	(CODE(WF_OP_READ) | CODE(WF_OP_WRITE) | CODE(WF_OP_READV) | CODE(WF_OP_WRITEV) |           \
		CODE(WF_OP_RECV) | CODE(WF_OP_SEND) | CODE(WF_OP_RECVMSG) | CODE(WF_OP_SENDMSG) |  \
		CODE(WF_OP_ACCEPT) | CODE(WF_OP_CONNECT) | CODE(WF_OP_POLL) | CODE(WF_OP_CLOSE) |  \
		CODE(WF_OP_SHUTDOWN) | CODE(WF_OP_SOCKET) | CODE(WF_OP_BIND) | CODE(WF_OP_LISTEN))

#define FRUITLESS_MAX 32 /* EP5: events in a row; what other workers take away stays below */
#define REST_NS INT64_C(1000000) /* EP5 */
#define NOBODY (-1)

/* Where an operation is: op->slot. READERS, WRITERS and POLLERS are lists of its descriptor. */
enum place { READERS, WRITERS, POLLERS, LISTS, QUEUE = LISTS };

struct list {
	struct wf_op *first, *last;
};

struct watched {
	struct list list[LISTS];
	int32_t next_resting; /* EP5 */
	uint8_t fruitless;
	bool resting;
};

struct poller {
	int epoll_fd, event_fd;
	struct list queue;	 /* EP3 */
	struct watched *watched; /* by descriptor number */
	uint32_t watched_size;
	uint32_t queued;  /* operations in `queue` */
	uint32_t waiting; /* and in the lists of descriptors */
	int32_t resting;  /* EP5: the first descriptor, or NOBODY */
	int64_t rest_until;
	bool coarse; /* there is no epoll_pwait2: milliseconds */
	int ready;   /* events that pending() found */
	struct epoll_event event[WF_EPOLL_EVENTS];
};

static void append(struct list *list, struct wf_op *op, enum place place)
{
	op->slot = place;
	op->next = NULL;
	op->prev = list->last;
	if (list->last != NULL)
		list->last->next = op;
	else
		list->first = op;
	list->last = op;
}

static void take_off(struct list *list, struct wf_op *op)
{
	if (op->prev != NULL)
		op->prev->next = op->next;
	else
		list->first = op->next;
	if (op->next != NULL)
		op->next->prev = op->prev;
	else
		list->last = op->prev;
}

static int epoll_open(struct wf_thread *thread, const weft_config *config)
{
	(void)config;
	struct poller *p = wf_alloc_lines(sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->resting = NOBODY;
	p->epoll_fd = wf_own_epoll();
	p->event_fd = p->epoll_fd >= 0 ? wf_own_eventfd(EFD_NONBLOCK) : p->epoll_fd;
	int error = p->event_fd < 0 ? p->event_fd : 0;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = p->event_fd};
	if (error == 0)
		error = wf_own_epoll_add(p->epoll_fd, p->event_fd, &event);
	if (error == 0) {
		thread->engine = p;
		thread->operations = OPERATIONS;
		return 0;
	}
	if (p->event_fd >= 0)
		wf_own_close(p->event_fd);
	if (p->epoll_fd >= 0)
		wf_own_close(p->epoll_fd);
	wf_free_lines(p, sizeof(*p));
	return error;
}

static void epoll_submit(struct wf_thread *thread, struct wf_op *op)
{
	struct poller *p = thread->engine;
	op->cancel_asked = 0;
	if (op->code == WF_OP_RECV)
		op->offset = 0; /* how far a receive of all has come */
	p->queued++;
	append(&p->queue, op, QUEUE);
}

static void epoll_cancel(struct wf_thread *thread, struct wf_op *op)
{
	struct poller *p = thread->engine;
	if (op->cancel_asked)
		return;
	op->cancel_asked = 1;
	wf_bump(wf_server(thread), WF_CANCELS, 1);
	if (op->slot == QUEUE)
		return;
	take_off(&p->watched[op->fd].list[op->slot], op);
	p->waiting--;
	p->queued++;
	append(&p->queue, op, QUEUE);
}

static bool make_room(struct poller *p, int fd)
{
	uint32_t size = p->watched_size == 0 ? 64 : p->watched_size;
	if ((uint32_t)fd < p->watched_size)
		return true;
	while (size <= (uint32_t)fd)
		size *= 2;
	struct watched *table = wf_alloc_zero(size * sizeof(*table));
	if (table == NULL)
		return false;
	if (p->watched != NULL)
		memcpy(table, p->watched, p->watched_size * sizeof(*table));
	wf_free(p->watched, p->watched_size * sizeof(*table));
	p->watched = table;
	p->watched_size = size;
	return true;
}

/* Registers the descriptor for what its lists wait for, once. */
static int arm(struct poller *p, int fd)
{
	const struct watched *at = &p->watched[fd];
	struct epoll_event event = {.events = EPOLLONESHOT, .data.fd = fd};
	if (at->list[READERS].first != NULL)
		event.events |= EPOLLIN;
	if (at->list[WRITERS].first != NULL)
		event.events |= EPOLLOUT;
	for (const struct wf_op *op = at->list[POLLERS].first; op != NULL; op = op->next)
		event.events |= op->flags;
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		(errno == ENOENT && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0))
		return 0;
	return -errno;
}

static void complete(struct wf_thread *thread, struct wf_op *op, int32_t result)
{
	if (op->cancel_asked && result < 0 && result != WF_OP_BLOCKS)
		result = -ECANCELED;
	wf_op_complete(wf_server(thread), op, result);
}

/* Puts it into its descriptor's list. */
static void await(struct wf_thread *thread, struct poller *p, struct wf_op *op, enum place place)
{
	if (!make_room(p, op->fd)) {
		complete(thread, op, -ENOMEM);
		return;
	}
	struct list *list = &p->watched[op->fd].list[place];
	append(list, op, place);
	p->waiting++;
	int error = arm(p, op->fd);
	if (error == 0)
		return;
	take_off(list, op);
	p->waiting--;
	complete(thread, op, error == -EPERM ? WF_OP_BLOCKS : error); /* it cannot be waited for */
}

static bool is_message(const struct wf_op *op)
{
	return op->code == WF_OP_RECV || op->code == WF_OP_RECVMSG || op->code == WF_OP_SEND ||
		op->code == WF_OP_SENDMSG;
}

/* The list in which it would wait. */
static enum place place_of(const struct wf_op *op)
{
	switch ((enum wf_op_code)op->code) {
	case WF_OP_POLL:
		return POLLERS;
	case WF_OP_READ:
	case WF_OP_READV:
	case WF_OP_RECV:
	case WF_OP_RECVMSG:
	case WF_OP_ACCEPT:
		return READERS;
	default:
		return WRITERS;
	}
}

/* EP2. Those who read or write are alike, but a descriptor that is read from need be no socket. */
static bool stands_behind(const struct poller *p, const struct wf_op *op)
{
	enum place place = place_of(op);
	if (op->fd < 0 || (uint32_t)op->fd >= p->watched_size || place == POLLERS)
		return false;
	const struct wf_op *first = p->watched[op->fd].list[place].first;
	if (first == NULL || op->code > WF_OP_ACCEPT || first->code > WF_OP_ACCEPT)
		return false;
	if (op->code == WF_OP_ACCEPT || first->code == WF_OP_ACCEPT)
		return op->code == first->code;
	return is_message(op) ? is_message(first) && !(op->flags & MSG_DONTWAIT) : true;
}

static void begin(struct wf_thread *thread, struct poller *p, struct wf_op *op)
{
	short events = (short)op->flags;
	int32_t result;
	if (op->fiber != NULL)
		wf_tsan_acquire(&op->fiber->word); /* what it wrote for this operation: pairs with wf_park() */
	if (op->cancel_asked) {
		result = wf_epoll_partial(op);
		complete(thread, op, result > 0 ? result : -ECANCELED);
		return;
	}
	bool polls = op->code == WF_OP_POLL;
	if (polls) {
		result = op->fd < 0
			? POLLNVAL
			: wf_epoll_ready(op->fd, events); /* poll(2) passes over negative numbers */
		result = result & POLLNVAL ? -EBADF : result != 0 ? result : WF_EPOLL_NOT_YET;
	} else {
		result = stands_behind(p, op) ? WF_EPOLL_NOT_YET : wf_epoll_try(op, false, &events);
	}
	if (result != WF_EPOLL_NOT_YET)
		complete(thread, op, result);
	else
		await(thread, p, op, place_of(op));
}

/* EP2. Did anything come of it? */
static bool try_list(struct wf_thread *thread, struct poller *p, int fd, enum place place)
{
	struct wf_op *op;
	bool some = false;
	/* The table may grow while an operation completes: looked up anew each time. */
	while ((op = p->watched[fd].list[place].first) != NULL) {
		short events;
		if (op->fiber != NULL)
			wf_tsan_acquire(&op->fiber->word);
		uint64_t before = op->offset;
		int32_t result = wf_epoll_try(op, true, &events);
		some |= result != WF_EPOLL_NOT_YET || op->offset != before;
		if (result == WF_EPOLL_NOT_YET)
			break;
		take_off(&p->watched[fd].list[place], op);
		p->waiting--;
		complete(thread, op, result);
	}
	return some;
}

static bool answer_pollers(struct wf_thread *thread, struct poller *p, int fd)
{
	bool some = false;
	struct list *list = &p->watched[fd].list[POLLERS];
	short events = 0;
	for (const struct wf_op *op = list->first; op != NULL; op = op->next)
		events |= (short)op->flags;
	if (list->first == NULL)
		return false;
	short ready = wf_epoll_ready(fd, events);
	struct wf_op *next;
	for (struct wf_op *op = list->first; op != NULL; op = next) {
		next = op->next;
		short for_it = ready & (short)(op->flags | POLLERR | POLLHUP | POLLNVAL);
		if (for_it == 0)
			continue;
		take_off(list, op);
		p->waiting--;
		complete(thread, op, for_it & POLLNVAL ? -EBADF : for_it);
		some = true;
	}
	return some;
}

static void fail_all(struct wf_thread *thread, struct poller *p, int fd, int error)
{
	for (int place = 0; place < LISTS; place++) {
		struct wf_op *op;
		while ((op = p->watched[fd].list[place].first) != NULL) {
			take_off(&p->watched[fd].list[place], op);
			p->waiting--;
			complete(thread, op, error == -EPERM ? WF_OP_BLOCKS : error);
		}
	}
}

static bool waited_for(const struct watched *at)
{
	return at->list[READERS].first != NULL || at->list[WRITERS].first != NULL ||
		at->list[POLLERS].first != NULL;
}

static void arm_or_fail(struct wf_thread *thread, struct poller *p, int fd)
{
	int error = arm(p, fd);
	if (error != 0)
		fail_all(thread, p, fd, error);
}

/* EP5. All that rest are looked at again together. */
static void rest(struct poller *p, int fd)
{
	struct watched *at = &p->watched[fd];
	at->fruitless = FRUITLESS_MAX; /* it stays so until something comes */
	if (at->resting)
		return;
	if (p->resting == NOBODY)
		p->rest_until = wf_clock_now() + REST_NS;
	at->resting = true;
	at->next_resting = p->resting;
	p->resting = fd;
}

static void end_rest(struct wf_thread *thread, struct poller *p)
{
	int fd = p->resting;
	if (fd == NOBODY || wf_clock_now() < p->rest_until)
		return;
	p->resting = NOBODY;
	while (fd != NOBODY) {
		struct watched *at = &p->watched[fd];
		int next = at->next_resting;
		at->resting = false;
		if (waited_for(at))
			arm_or_fail(thread, p, fd);
		fd = next;
	}
}

static void handle(struct wf_thread *thread, struct poller *p, const struct epoll_event *event)
{
	int fd = event->data.fd;
	if (fd == p->event_fd) {
		uint64_t value;
		if (syscall(SYS_read, fd, &value, sizeof(value)) ==
			(long)sizeof(value)) /* else it was answered before */
			thread->interrupted += value;
		return;
	}
	const uint32_t both = EPOLLERR | EPOLLHUP;
	bool some = false;
	if (event->events & (EPOLLIN | both))
		some |= try_list(thread, p, fd, READERS);
	if (event->events & (EPOLLOUT | both))
		some |= try_list(thread, p, fd, WRITERS);
	some |= answer_pollers(thread, p, fd);
	struct watched *at = &p->watched[fd];
	if (some)
		at->fruitless = 0;
	if (!waited_for(at))
		return;
	if (!some && at->fruitless++ >= FRUITLESS_MAX)
		rest(p, fd);
	else
		arm_or_fail(thread, p, fd);
}

/* What has come, within `left` nanoseconds; -1: without a limit. */
static void fetch(struct poller *p, int64_t left)
{
	/* The system calls themselves: what they write is not another context's affair. Interrupted: the caller looks again. */
	struct timespec limit = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	long n = -1;
	if (!p->coarse) {
		n = syscall(SYS_epoll_pwait2, p->epoll_fd, p->event, WF_EPOLL_EVENTS,
			left < 0 ? NULL : &limit, NULL, 0);
		p->coarse = n < 0 && errno != EINTR; /* a filter that does not know it */
	}
	if (p->coarse) {
		int64_t ms = left / 1000000 < INT32_MAX ? (left + 999999) / 1000000 : INT32_MAX;
		n = syscall(SYS_epoll_pwait, p->epoll_fd, p->event, WF_EPOLL_EVENTS,
			left < 0 ? -1 : (int)ms, NULL, 0);
	}
	p->ready = n > 0 ? (int)n : 0;
}

static void handle_ready(struct wf_thread *thread, struct poller *p)
{
	int ready = p->ready;
	p->ready = 0;
	for (int i = 0; i < ready; i++)
		handle(thread, p, &p->event[i]);
}

static void collect(struct wf_thread *thread, struct poller *p, int64_t left)
{
	wf_bump(wf_server(thread), WF_ENTERS, 1);
	fetch(p, left);
	handle_ready(thread, p);
}

static void drain_queue(struct wf_thread *thread, struct poller *p)
{
	struct list queue = p->queue;
	p->queue = (struct list){NULL, NULL};
	struct wf_op *next;
	for (struct wf_op *op = queue.first; op != NULL; op = next) {
		next = op->next;
		p->queued--;
		begin(thread, p, op);
	}
}

static void epoll_flush(struct wf_thread *thread)
{
	struct poller *p = thread->engine;
	handle_ready(thread, p);
	drain_queue(thread, p);
	end_rest(thread, p);
	if (p->waiting > 0)
		collect(thread, p, 0);
}

static void epoll_wait_for(struct wf_thread *thread, int64_t deadline)
{
	struct poller *p = thread->engine;
	if (p->queue.first != NULL || p->ready > 0) { /* EP4 */
		epoll_flush(thread);
		return;
	}
	int64_t left = -1;
	if (p->resting != NOBODY && p->rest_until < deadline)
		deadline = p->rest_until;
	if (deadline != INT64_MAX) {
		left = deadline - wf_clock_now();
		left = left < 0 ? 0 : left;
	}
	collect(thread, p, left);
}

/* Asked by a worker that searches the others: a look into the kernel is no dearer than what it does else, and what it finds is kept. */
static bool epoll_pending(struct wf_thread *thread)
{
	struct poller *p = thread->engine;
	if (p->queue.first == NULL && p->ready == 0 && p->waiting > 0)
		fetch(p, 0);
	return p->queue.first != NULL || p->ready > 0;
}

/* The kernel holds no operation, only registrations. */
static void epoll_move_out(struct wf_thread *thread, uint32_t most)
{
	struct poller *p = thread->engine;
	for (uint32_t at = 0; at < p->watched_size * LISTS && most > 0 && p->waiting > 0; at++) {
		struct list *list = &p->watched[at / LISTS].list[at % LISTS];
		struct wf_op *next;
		for (struct wf_op *op = list->first; op != NULL && most > 0; op = next) {
			next = op->next;
			if (wf_epoll_partial(op) > 0)
				continue; /* what it has received counts here */
			take_off(list, op);
			p->waiting--;
			most--;
			wf_op_complete(wf_server(thread), op, WF_OP_MOVED);
		}
	}
}

static uint32_t epoll_in_flight(const struct wf_thread *thread)
{
	const struct poller *p = thread->engine;
	return p->queued + p->waiting;
}

static bool epoll_held_back(const struct wf_thread *thread)
{
	(void)thread;
	return false;
}

static void epoll_fetch(struct wf_thread *thread)
{
	(void)thread;
}

static void epoll_interrupt(struct wf_thread *thread)
{
	const struct poller *p = thread->engine;
	static const uint64_t one = 1;				     /* as in uring.c */
	long n = syscall(SYS_write, p->event_fd, &one, sizeof(one)); /* as in uring.c */
	WF_CHECK(n == (long)sizeof(one)); /* one write a sleep: the counter cannot be full */
}

static void epoll_close(struct wf_thread *thread)
{
	struct poller *p = thread->engine;
	WF_CHECK(p->queue.first == NULL && p->waiting == 0);
	wf_own_close(p->event_fd);
	wf_own_close(p->epoll_fd);
	wf_free(p->watched, p->watched_size * sizeof(*p->watched));
	wf_free_lines(p, sizeof(*p));
	thread->engine = NULL;
}

static const char *epoll_mode(const struct wf_thread *thread)
{
	(void)thread;
	return "";
}

WF_OWNER_CODE_END

const struct wf_driver wf_epoll_driver = {
	.name = "epoll",
	.engine = WEFT_ENGINE_EPOLL,
	.open = epoll_open,
	.close = epoll_close,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.flush = epoll_flush,
	.rescue = epoll_flush,
	.move_out = epoll_move_out,
	.in_flight = epoll_in_flight,
	.held_back = epoll_held_back,
	.fetch = epoll_fetch,
	.wait = epoll_wait_for,
	.interrupt = epoll_interrupt,
	.pending = epoll_pending,
	.mode = epoll_mode,
};
