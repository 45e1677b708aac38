/* SPDX-License-Identifier: MIT */
/* fd.c - see fd.h */
#include "io/api/fd.h"

#include <errno.h>
#include <fcntl.h>

#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"

WF_OWNER_CODE_BEGIN

enum state { OPEN, CLOSING, RELEASING };

/* A fiber that waits for the state or the list to change. */
struct waiter {
	struct wf_fiber *fiber;
	uint64_t ticket;
	struct waiter *next;
};

struct entry {
	wf_lock lock;
	uint8_t state;
	wf_a32 dry; /* the last receive took all there was; a hint: rlx. A new descriptor is not: what is no socket must say so at once */
	struct wf_op *ops;
	struct waiter *waiters;
};

static wf_aptr pages[WF_FD_PAGES_MAX];

/* Open, but beyond the table, or not open at all? */
static int beyond_table(int fd)
{
	int before = wf_errno_load();
	int flags = fcntl(fd, F_GETFD);
	wf_errno_store(before);
	return flags < 0 ? -EBADF : -EMFILE;
}

static int find(int fd, struct entry **out)
{
	if (fd < 0)
		return -EBADF;
	if ((unsigned)fd >= WF_FD_PAGE * WF_FD_PAGES_MAX)
		return beyond_table(fd);
	wf_aptr *page = &pages[(unsigned)fd / WF_FD_PAGE];
	struct entry *entries = wf_load_acqp(page); /* carries the zeroed page */
	if (WF_UNLIKELY(entries == NULL)) {
		struct entry *fresh = wf_alloc_zero(WF_FD_PAGE * sizeof(*fresh));
		if (fresh == NULL)
			return -ENOMEM;
		void *expect = NULL;
		if (wf_cas_acq_relp(page, &expect, fresh)) {
			entries = fresh;
		} else {
			wf_free(fresh, WF_FD_PAGE * sizeof(*fresh));
			entries = expect;
		}
	}
	*out = &entries[(unsigned)fd % WF_FD_PAGE];
	return 0;
}

static void wake_all_locked(struct entry *entry)
{
	struct waiter *waiter = entry->waiters;
	entry->waiters = NULL;
	while (waiter != NULL) {
		struct waiter *next = waiter->next; /* the waiter is gone once it is woken */
		wf_wake(wf_self(), waiter->fiber, waiter->ticket, WF_WAKE_OK);
		waiter = next;
	}
}

struct wait {
	struct entry *entry;
	struct waiter waiter;
	bool for_empty; /* until no operation is left; else until RELEASING is over */
};

static bool must_wait_locked(const struct wait *wait)
{
	return wait->for_empty ? wait->entry->ops != NULL : wait->entry->state == RELEASING;
}

static bool commit_wait(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	(void)w;
	struct wait *wait = arg;
	struct entry *entry = wait->entry;
	wf_lock_acquire(&entry->lock);
	bool must = must_wait_locked(wait);
	if (must) {
		wait->waiter = (struct waiter){.fiber = fiber, .ticket = ticket, .next = entry->waiters};
		entry->waiters = &wait->waiter;
	}
	wf_lock_release(&entry->lock);
	return must;
}

static void unlink_waiter(struct entry *entry, struct waiter *waiter)
{
	wf_lock_acquire(&entry->lock);
	for (struct waiter **link = &entry->waiters; *link != NULL; link = &(*link)->next)
		if (*link == waiter) {
			*link = waiter->next;
			break;
		}
	wf_lock_release(&entry->lock);
}

static int wait_for_release(struct entry *entry)
{
	struct wf_worker *w = wf_self();
	struct wf_fiber *fiber = w->current;
	int error = wf_interrupted(w, fiber);
	if (error != 0)
		return error;
	struct wait wait = {.entry = entry};
	if (wf_park(wf_park_masks(fiber), commit_wait, &wait) != WF_WAKE_OK)
		unlink_waiter(entry, &wait.waiter);
	return 0;
}

int wf_fd_enter(struct wf_op *op)
{
	struct entry *entry;
	int error = find(op->fd, &entry);
	while (error == 0) {
		wf_lock_acquire(&entry->lock);
		if (WF_LIKELY(entry->state == OPEN)) {
			op->fd_prev = NULL;
			op->fd_next = entry->ops;
			if (entry->ops != NULL)
				entry->ops->fd_prev = op;
			entry->ops = op;
			wf_lock_release(&entry->lock);
			return 0;
		}
		bool releasing = entry->state == RELEASING; /* C1 */
		wf_lock_release(&entry->lock);
		error = releasing ? wait_for_release(entry) : -EBADF;
	}
	return error;
}

bool wf_fd_leave(struct wf_op *op, bool more)
{
	struct entry *entry;
	int error = find(op->fd, &entry);
	WF_CHECK(error == 0);
	/* rlx: a hint. */
	if (op->code == WF_OP_RECV && (wf_load_rlx32(&entry->dry) != 0) == more)
		wf_store_rlx32(&entry->dry, !more);
	wf_lock_acquire(&entry->lock);
	if (op->fd_prev != NULL)
		op->fd_prev->fd_next = op->fd_next;
	else
		entry->ops = op->fd_next;
	if (op->fd_next != NULL)
		op->fd_next->fd_prev = op->fd_prev;
	bool closed = entry->state == CLOSING;
	if (closed) {
		wf_and_sc64(&op->fiber->life, ~WF_LIFE_CLOSE); /* C3 */
		if (entry->ops == NULL)
			wake_all_locked(entry);
	}
	wf_lock_release(&entry->lock);
	return closed;
}

bool wf_fd_has_more(int fd)
{
	struct entry *entry;
	return find(fd, &entry) != 0 || wf_load_rlx32(&entry->dry) == 0; /* rlx: a hint */
}

int wf_fd_close_begin(int fd)
{
	struct entry *entry;
	int error = find(fd, &entry);
	if (error != 0)
		return error;
	wf_lock_acquire(&entry->lock);
	if (entry->state != OPEN) {
		wf_lock_release(&entry->lock);
		return -EBADF;
	}
	entry->state = CLOSING;
	for (struct wf_op *op = entry->ops; op != NULL; op = op->fd_next) { /* C2 */
		struct wf_fiber *fiber = op->fiber;
		wf_or_sc64(&fiber->life, WF_LIFE_CLOSE); /* WK-1.3, C3 */
		wf_interrupt(wf_self(), fiber, wf_fiber_generation(wf_load_sc64(&fiber->life)));
	}
	bool busy = entry->ops != NULL;
	wf_lock_release(&entry->lock);
	while (busy) {
		struct wait wait = {.entry = entry, .for_empty = true};
		uint64_t all = WF_PARK_NO_CANCEL | WF_PARK_NO_LATE | WF_PARK_NO_CLOSE;
		wf_park(all, commit_wait, &wait);
		wf_lock_acquire(&entry->lock);
		busy = entry->ops != NULL;
		wf_lock_release(&entry->lock);
	}
	wf_lock_acquire(&entry->lock);
	entry->state = RELEASING;
	wf_store_rlx32(&entry->dry, 0); /* rlx: a hint */
	wf_lock_release(&entry->lock);
	return 0;
}

void wf_fd_close_end(int fd)
{
	struct entry *entry;
	int error = find(fd, &entry);
	WF_CHECK(error == 0);
	wf_lock_acquire(&entry->lock);
	entry->state = OPEN;
	wake_all_locked(entry);
	wf_lock_release(&entry->lock);
}

WF_OWNER_CODE_END
