/* SPDX-License-Identifier: MIT */
/* watch.c - see watch.h */
#include "io/api/watch.h"

#include <errno.h>
#include <poll.h>

#include "io/api/entry.h"
#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/sanitize.h"
#include "sched/core/worker.h"

WF_OWNER_CODE_BEGIN

#define POLLS_INLINE 16

enum { TO_READ, TO_WRITE, DIRECTIONS };

struct direction {
	struct wf_detached poll; /* first: a completed operation leads back here */
	struct wf_fd_entry *entry;
	wf_waiters waiters;
	bool armed;
};

struct wf_watch {
	struct direction direction[DIRECTIONS];
};

static void poll_over(struct wf_worker *w, struct wf_op *op, int32_t result)
{
	(void)w;
	struct direction *d = (struct direction *)op;
	struct wf_fd_entry *entry = d->entry;
	struct wf_wakes wakes = {NULL, NULL};
	struct wf_waiter *waiter;
	wf_lock_acquire(&entry->lock);
	wf_detached_ended(&d->poll);
	d->armed = false;
	bool closed = result == -ECANCELED && wf_fd_state_locked(entry) == WF_FD_CLOSING;
	int status = closed ? -ECANCELED : -EAGAIN; /* WA3, WA2 */
	while ((waiter = wf_waiters_win_first(&d->waiters)) != NULL) {
		waiter->status = status;
		*waiter->fired = waiter;
		wf_wakes_add(&wakes, waiter);
	}
	wf_fd_unlist_locked(entry, op);
	wf_lock_release(&entry->lock);
	wf_wakes_finish(&wakes);
}

/* DT2: it ends when its descriptor is being closed, or nobody waits for it any more. */
static void review(struct wf_worker *w, struct wf_detached *detached)
{
	struct direction *d = (struct direction *)detached;
	struct wf_fd_entry *entry = d->entry;
	wf_lock_acquire(&entry->lock);
	if (d->armed && (d->waiters == NULL || wf_fd_state_locked(entry) == WF_FD_CLOSING)) {
		if (!wf_detached_cancel(w, detached))
			wf_detached_ask(w, detached);
	}
	wf_lock_release(&entry->lock);
}

static int make_watch_locked(struct wf_fd_entry *entry)
{
	if (entry->watch != NULL)
		return 0;
	struct wf_watch *watch = wf_alloc_zero(sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	for (int i = 0; i < DIRECTIONS; i++) {
		watch->direction[i].entry = entry;
		watch->direction[i].poll.review = review;
	}
	entry->watch = watch;
	return 0;
}

static int link_locked(struct wf_fd_entry *entry, struct wf_waiter *node, int fd, bool to_write)
{
	if (wf_fd_state_locked(entry) != WF_FD_OPEN)
		return wf_fd_state_locked(entry) == WF_FD_CLOSING ? -EBADF : -EAGAIN;
	int error = make_watch_locked(entry);
	if (error != 0)
		return error;
	struct direction *d = &entry->watch->direction[to_write ? TO_WRITE : TO_READ];
	wf_waiters_append(&d->waiters, node);
	if (d->armed)
		return 0;
	d->armed = true;
	d->poll.op = (struct wf_op){
		.code = WF_OP_POLL, .fd = fd, .flags = to_write ? POLLOUT : POLLIN, .complete = poll_over};
	wf_fd_list_locked(entry, &d->poll.op);
	wf_detached_submit(wf_self(), &d->poll);
	return 0;
}

static int watch(struct wf_waiter *node, int fd, bool to_write)
{
	struct wf_fd_entry *entry;
	int error = wf_fd_find(fd, &entry);
	if (error != 0)
		return error;
	wf_lock_acquire(&entry->lock);
	error = link_locked(entry, node, fd, to_write);
	wf_lock_release(&entry->lock);
	return error;
}

static void unwatch(struct wf_waiter *node, int fd, bool to_write)
{
	struct wf_fd_entry *entry;
	if (wf_fd_find(fd, &entry) != 0)
		return;
	wf_lock_acquire(&entry->lock);
	if (wf_waiter_linked(node)) {
		struct direction *d = &entry->watch->direction[to_write ? TO_WRITE : TO_READ];
		wf_waiters_remove(&d->waiters, node);
		if (d->waiters == NULL)
			wf_detached_ask(wf_self(), &d->poll);
	}
	wf_lock_release(&entry->lock);
}

static bool has_descriptor(const weft_case *c)
{
	return c->op == WEFT_CASE_READABLE || c->op == WEFT_CASE_WRITABLE;
}

static int settle(const weft_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct wf_fd_entry *entry;
		if (!has_descriptor(&cases[i]))
			continue;
		int error = wf_fd_find(cases[i].fd, &entry);
		while (error == 0) {
			wf_lock_acquire(&entry->lock);
			bool releasing = wf_fd_state_locked(entry) == WF_FD_RELEASING;
			wf_lock_release(&entry->lock);
			if (!releasing)
				break;
			error = wf_fd_wait_for_release(entry);
		}
		if (error != 0)
			return error;
	}
	return 0;
}

/* poll(2) once, over the cases that are descriptors. */
static int poll_now(const weft_case *cases, size_t count, bool *ready, struct pollfd *polls)
{
	nfds_t used = 0;
	for (size_t i = 0; i < count; i++)
		if (has_descriptor(&cases[i]))
			polls[used++] = (struct pollfd){.fd = cases[i].fd,
				.events = cases[i].op == WEFT_CASE_WRITABLE ? POLLOUT : POLLIN};
	int before = wf_errno_load();
	int result;
	do
		result = poll(polls, used, 0);
	while (result < 0 && wf_errno_load() == EINTR);
	int error = result < 0 ? -wf_errno_load() : 0;
	wf_errno_store(before);
	used = 0;
	for (size_t i = 0; i < count && error == 0; i++) {
		if (!has_descriptor(&cases[i]))
			continue;
		short events = polls[used++].revents;
		if (events & POLLNVAL)
			error = -EBADF;
		ready[i] = events != 0;
	}
	return error;
}

static int ready(const weft_case *cases, size_t count, bool *ready)
{
	struct pollfd inline_polls[POLLS_INLINE], *polls = inline_polls;
	size_t descriptors = 0;
	for (size_t i = 0; i < count; i++)
		descriptors += has_descriptor(&cases[i]);
	size_t bytes = descriptors * sizeof(*polls);
	if (descriptors > POLLS_INLINE)
		polls = wf_alloc(bytes);
	if (polls == NULL)
		return -ENOMEM;
	int error = poll_now(cases, count, ready, polls);
	if (descriptors > POLLS_INLINE)
		wf_free(polls, bytes);
	return error;
}

WF_OWNER_CODE_END

const struct wf_descriptors wf_watch_calls = {
	.settle = settle,
	.ready = ready,
	.watch = watch,
	.unwatch = unwatch,
};
