/* SPDX-License-Identifier: MIT */
/* fd.c - see fd.h */
#include "io/api/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/api/entry.h"
#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"
#include "sched/core/waiting.h"

WF_OWNER_CODE_BEGIN

/* A fiber that waits for the state or the list to change, or for the file's position. */
struct wf_fd_waiter {
	struct wf_fiber *fiber;
	uint64_t ticket;
	struct wf_fd_waiter *next;
	struct wf_op *op; /* C6 */
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

int wf_fd_find(int fd, struct wf_fd_entry **out)
{
	if (fd < 0)
		return -EBADF;
	if ((unsigned)fd >= WF_FD_PAGE * WF_FD_PAGES_MAX)
		return beyond_table(fd);
	wf_aptr *page = &pages[(unsigned)fd / WF_FD_PAGE];
	struct wf_fd_entry *entries = wf_load_acqp(page); /* carries the zeroed page */
	if (WF_UNLIKELY(entries == NULL)) {
		struct wf_fd_entry *fresh = wf_alloc_zero(WF_FD_PAGE * sizeof(*fresh));
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

static void wake_all_locked(struct wf_fd_entry *entry)
{
	struct wf_fd_waiter *waiter = entry->waiters;
	entry->waiters = NULL;
	while (waiter != NULL) {
		struct wf_fd_waiter *next = waiter->next; /* the waiter is gone once it is woken */
		wf_wake(wf_self(), waiter->fiber, waiter->ticket, WF_WAKE_OK);
		waiter = next;
	}
}

struct wait {
	struct wf_fd_entry *entry;
	struct wf_fd_waiter waiter;
	bool for_empty; /* until no operation is left; else until RELEASING is over */
};

static bool busy_locked(const struct wf_fd_entry *entry)
{
	return entry->ops != NULL || wf_load_sc32(&entry->use) >= WF_FD_COUNT_ONE; /* FD-1 */
}

static bool must_wait_locked(const struct wait *wait)
{
	return wait->for_empty ? busy_locked(wait->entry)
			       : wf_fd_state_locked(wait->entry) == WF_FD_RELEASING;
}

static bool commit_wait(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	(void)w;
	struct wait *wait = arg;
	struct wf_fd_entry *entry = wait->entry;
	wf_lock_acquire(&entry->lock);
	bool must = must_wait_locked(wait);
	if (must) {
		wait->waiter.fiber = fiber;
		wait->waiter.ticket = ticket;
		wait->waiter.next = entry->waiters;
		entry->waiters = &wait->waiter;
	}
	wf_lock_release(&entry->lock);
	return must;
}

static void unlink_waiter(struct wf_fd_entry *entry, struct wf_fd_waiter *waiter)
{
	wf_lock_acquire(&entry->lock);
	for (struct wf_fd_waiter **link = &entry->waiters; *link != NULL; link = &(*link)->next)
		if (*link == waiter) {
			*link = waiter->next;
			break;
		}
	wf_lock_release(&entry->lock);
}

int wf_fd_wait_for_release(struct wf_fd_entry *entry)
{
	struct wf_worker *w = wf_self();
	struct wf_fiber *fiber = w->current;
	int error = wf_interrupted(w, fiber);
	if (error != 0)
		return error;
	struct wait wait = {.entry = entry};
	wf_waits_for(fiber, WF_WAITS_DESCRIPTOR, NULL);
	if (wf_park(wf_park_masks(fiber), commit_wait, &wait) != WF_WAKE_OK)
		unlink_waiter(entry, &wait.waiter);
	return 0;
}

void wf_fd_list_locked(struct wf_fd_entry *entry, struct wf_op *op)
{
	op->fd_prev = NULL;
	op->fd_next = entry->ops;
	if (entry->ops != NULL)
		entry->ops->fd_prev = op;
	entry->ops = op;
}

void wf_fd_unlist_locked(struct wf_fd_entry *entry, struct wf_op *op)
{
	if (op->fd_prev != NULL)
		op->fd_prev->fd_next = op->fd_next;
	else
		entry->ops = op->fd_next;
	if (op->fd_next != NULL)
		op->fd_next->fd_prev = op->fd_prev;
	if (wf_fd_state_locked(entry) == WF_FD_CLOSING && !busy_locked(entry))
		wake_all_locked(entry);
}

void wf_fd_leave_closing(struct wf_fd_entry *entry, uint32_t before)
{
	if (before >= 2 * WF_FD_COUNT_ONE)
		return;
	wf_lock_acquire(&entry->lock);
	if (wf_fd_state_locked(entry) == WF_FD_CLOSING && !busy_locked(entry))
		wake_all_locked(entry);
	wf_lock_release(&entry->lock);
}

/* `behind`: another operation has the file's position (C6). */
static bool enter(struct wf_fd_entry *entry, struct wf_op *op, bool *releasing, bool *behind)
{
	*behind = false;
	if (op->hints & WF_OP_COUNTED) {
		if (wf_fd_enter_counted(entry))
			return true;
		wf_fd_leave_counted(entry);
	}
	wf_lock_acquire(&entry->lock);
	enum wf_fd_state state = wf_fd_state_locked(entry);
	bool open = WF_LIKELY(state == WF_FD_OPEN);
	if (open) {
		op->hints &= (uint8_t)~WF_OP_COUNTED;
		wf_fd_list_locked(entry, op);
		*behind = (op->hints & WF_OP_MOVES) && entry->mover != NULL;
		if ((op->hints & WF_OP_MOVES) && !*behind)
			entry->mover = op; /* C6 */
	}
	*releasing = state == WF_FD_RELEASING; /* C1 */
	wf_lock_release(&entry->lock);
	return open;
}

/* The position is this one's, or it waits behind the others. */
static bool commit_mover(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	(void)w;
	struct wait *wait = arg;
	struct wf_fd_entry *entry = wait->entry;
	struct wf_fd_waiter *waiter = &wait->waiter;
	wf_lock_acquire(&entry->lock);
	bool must = entry->mover != NULL;
	if (must) {
		waiter->fiber = fiber;
		waiter->ticket = ticket;
		waiter->next = NULL;
		if (entry->movers == NULL)
			entry->movers = waiter;
		else
			entry->last_mover->next = waiter;
		entry->last_mover = waiter;
	} else {
		entry->mover = waiter->op;
	}
	wf_lock_release(&entry->lock);
	return must;
}

static void unlink_mover_locked(struct wf_fd_entry *entry, struct wf_fd_waiter *waiter)
{
	struct wf_fd_waiter *before = NULL;
	for (struct wf_fd_waiter *at = entry->movers; at != NULL; before = at, at = at->next) {
		if (at != waiter)
			continue;
		if (before == NULL)
			entry->movers = at->next;
		else
			before->next = at->next;
		if (entry->last_mover == at)
			entry->last_mover = before;
		return;
	}
}

/* To the first who still waits. Who was interrupted meanwhile has left the list, or is about to: it does not get it. */
static void hand_position_over_locked(struct wf_fd_entry *entry)
{
	entry->mover = NULL;
	while (entry->mover == NULL && entry->movers != NULL) {
		struct wf_fd_waiter *waiter = entry->movers;
		struct wf_op *op = waiter->op;
		entry->movers = waiter->next;
		if (wf_wake(wf_self(), waiter->fiber, waiter->ticket, WF_WAKE_OK))
			entry->mover = op; /* it looks when it has the lock */
	}
}

/* Below libc, where ThreadSanitizer would take it for a use: another call may close the number meanwhile. */
static bool is_file(int fd)
{
	struct stat at;
	int before = wf_errno_load();
	bool file = syscall(SYS_fstat, fd, &at) == 0 && (S_ISREG(at.st_mode) || S_ISBLK(at.st_mode));
	wf_errno_store(before);
	return file;
}

/* Which tick of which worker. */
static uint32_t stamp(const struct wf_worker *w)
{
	return (uint32_t)wf_load_rlx64(&w->counter[WF_ENTERS]) << 8 | (w->index & 0xff); /* rlx: its own */
}

/* 0 and what it is, or a negative errno. Another call may close the number meanwhile, which the operation itself finds out; so the
 * questions are asked as in is_file(). */
static int ask_offsets(struct wf_fd_entry *entry, int fd, enum wf_fd_offsets *offsets)
{
	int before = wf_errno_load();
	int error = 0;
	*offsets = WF_FD_OTHER;
	if (is_file(fd))
		*offsets = WF_FD_FILE;
	else if (lseek(fd, 0, SEEK_CUR) < 0)
		error = -wf_errno_load();
	else if (syscall(SYS_pread64, fd, NULL, 0, 0) < 0 && wf_errno_load() == ESPIPE)
		error = -ESPIPE; /* an eventfd can be sought, and has no offsets */
	bool first = wf_load_rlx32(&entry->offsets) != *offsets;
	if (*offsets == WF_FD_FILE && first) /* P5: with O_DIRECT the direct try would wait for the disk */
		wf_store_rlx32(&entry->cold, fcntl(fd, F_GETFL) & O_DIRECT ? WF_COLD_FILE : 0);
	wf_errno_store(before);
	wf_store_rlx32(&entry->offsets,
		error == -EBADF ? WF_FD_UNASKED : *offsets); /* rlx: the answer is the descriptor's own */
	wf_store_rlx32(&entry->asked, stamp(wf_self()));
	return error;
}

/* C6. Looks afresh whether it is a file, and not something that one would wait for while the other holds it: since weft has last asked the number may
 * have been given up by a plain close(2), either way. */
static int wait_for_position(struct wf_fd_entry *entry, struct wf_op *op)
{
	if (!is_file(op->fd))
		return 0;
	enum wf_fd_offsets offsets = wf_load_rlx32(&entry->offsets); /* rlx */
	if (offsets != WF_FD_FILE)
		ask_offsets(entry, op->fd, &offsets);
	int error = 0;
	while (error == 0) {
		struct wait wait = {.entry = entry, .waiter = {.op = op}};
		wf_waits_for(op->fiber, WF_WAITS_DESCRIPTOR, NULL);
		wf_park(wf_park_masks(op->fiber), commit_mover, &wait);
		wf_lock_acquire(&entry->lock);
		unlink_mover_locked(entry, &wait.waiter);
		bool mine = entry->mover == op;
		bool closing = wf_fd_state_locked(entry) == WF_FD_CLOSING;
		wf_lock_release(&entry->lock);
		if (mine)
			return 0;
		error = closing ? -ECANCELED : wf_interrupted(wf_self(), op->fiber);
	}
	wf_fd_leave(op);
	return error;
}

int wf_fd_enter(struct wf_op *op)
{
	struct wf_fd_entry *entry = op->entry;
	int error = entry == NULL ? wf_fd_find(op->fd, &entry) : 0;
	op->entry = entry;
	bool releasing, behind = false;
	while (error == 0 && !enter(entry, op, &releasing, &behind))
		error = releasing ? wf_fd_wait_for_release(entry) : -EBADF;
	if (error == 0 && WF_UNLIKELY(behind))
		error = wait_for_position(entry, op);
	return error;
}

bool wf_fd_leave(struct wf_op *op)
{
	struct wf_fd_entry *entry = op->entry;
	if (op->hints & WF_OP_COUNTED) {
		wf_fd_leave_counted(entry);
		return false;
	}
	wf_lock_acquire(&entry->lock);
	bool closed = wf_fd_state_locked(entry) == WF_FD_CLOSING;
	if (closed)
		wf_and_sc64(&op->fiber->life, ~WF_LIFE_CLOSE); /* C3 */
	wf_fd_unlist_locked(entry, op);
	if (entry->mover == op)
		hand_position_over_locked(entry); /* C6 */
	wf_lock_release(&entry->lock);
	return closed;
}

void wf_fd_note_more(struct wf_op *op, bool more)
{
	struct wf_fd_entry *entry = op->entry;
	/* rlx: a hint. */
	if ((wf_load_rlx32(&entry->dry) != 0) == more)
		wf_store_rlx32(&entry->dry, !more);
}

bool wf_fd_has_more(int fd)
{
	struct wf_fd_entry *entry;
	return wf_fd_find(fd, &entry) != 0 || wf_load_rlx32(&entry->dry) == 0; /* rlx: a hint */
}

int wf_fd_check_offsets(struct wf_op *op)
{
	struct wf_fd_entry *entry;
	int error = wf_fd_find(op->fd, &entry);
	if (WF_UNLIKELY(error != 0))
		return error;
	enum wf_fd_offsets offsets = wf_load_rlx32(&entry->offsets); /* rlx */
	if (WF_UNLIKELY(offsets != WF_FD_FILE)) {
		error = ask_offsets(entry, op->fd, &offsets);
		if (error != 0)
			return error;
	}
	op->entry = entry;
	if (offsets == WF_FD_FILE)
		op->hints |= WF_OP_COUNTED;
	return 0;
}

int wf_fd_check_file(struct wf_op *op)
{
	struct wf_fd_entry *entry = op->entry;
	if (WF_LIKELY(wf_load_rlx32(&entry->asked) == stamp(wf_self()))) /* rlx */
		return 0;
	enum wf_fd_offsets offsets;
	int error = ask_offsets(entry, op->fd, &offsets);
	if (offsets != WF_FD_FILE)
		op->hints &= (uint8_t)~WF_OP_COUNTED;
	return error;
}

int64_t wf_fd_position(struct wf_op *op)
{
	struct wf_fd_entry *entry = op->entry;
	enum wf_fd_offsets offsets = entry == NULL ? WF_FD_OTHER : wf_load_rlx32(&entry->offsets); /* rlx */
	if (WF_UNLIKELY(offsets == WF_FD_UNASKED))
		ask_offsets(entry, op->fd, &offsets);
	if (offsets != WF_FD_FILE)
		return -1;
	int before = wf_errno_load();
	off_t at = lseek(op->fd, 0, SEEK_CUR);
	wf_errno_store(before);
	return at;
}

void wf_fd_moved(const struct wf_op *op, int64_t from, int32_t by)
{
	int before = wf_errno_load();
	if (lseek(op->fd, 0, SEEK_CUR) == from) {
		bool wrote = op->code == WF_OP_WRITE || op->code == WF_OP_WRITEV;
		bool at_end = wrote && (fcntl(op->fd, F_GETFL) & O_APPEND);
		lseek(op->fd, at_end ? 0 : from + by, at_end ? SEEK_END : SEEK_SET);
	}
	wf_errno_store(before);
}

/* Virtual time stands still meanwhile: a detached operation (C4) is not among those in flight that it counts. */
static void await_empty(struct wf_fd_entry *entry)
{
	struct wf_runtime *rt = wf_self()->rt;
	bool busy = true;
	if (rt->virtual_time)
		wf_add_sc32(&rt->watching, 1);
	while (busy) {
		struct wait wait = {.entry = entry, .for_empty = true};
		wf_waits_for(wf_self()->current, WF_WAITS_DESCRIPTOR, NULL);
		wf_park(WF_PARK_DEAF, commit_wait, &wait);
		wf_lock_acquire(&entry->lock);
		busy = busy_locked(entry);
		wf_lock_release(&entry->lock);
	}
	if (rt->virtual_time)
		wf_sub_sc32(&rt->watching, 1);
}

int wf_fd_close_begin(int fd)
{
	struct wf_fd_entry *entry;
	int error = wf_fd_find(fd, &entry);
	if (error != 0)
		return error;
	wf_lock_acquire(&entry->lock);
	while (wf_fd_state_locked(entry) == WF_FD_RELEASING) { /* C1: the number may be another file's already */
		struct wait wait = {.entry = entry};
		wf_lock_release(&entry->lock);
		wf_waits_for(wf_self()->current, WF_WAITS_DESCRIPTOR, NULL);
		wf_park(WF_PARK_DEAF, commit_wait, &wait);
		wf_lock_acquire(&entry->lock);
	}
	if (wf_fd_state_locked(entry) != WF_FD_OPEN) {
		wf_lock_release(&entry->lock);
		return -EBADF;
	}
	wf_add_sc32(&entry->use, WF_FD_CLOSING - WF_FD_OPEN);		    /* FD-1 */
	for (struct wf_op *op = entry->ops; op != NULL; op = op->fd_next) { /* C2 */
		struct wf_fiber *fiber = op->fiber;
		if (fiber == NULL) {
			wf_detached_ask(wf_self(), (struct wf_detached *)op); /* C4 */
			continue;
		}
		wf_or_sc64(&fiber->life, WF_LIFE_CLOSE); /* WK-1.3, C3 */
		wf_interrupt(wf_self(), fiber, wf_fiber_generation(wf_load_sc64(&fiber->life)));
	}
	bool busy = busy_locked(entry);
	wf_lock_release(&entry->lock);
	if (busy)
		await_empty(entry);
	wf_lock_acquire(&entry->lock);
	wf_add_sc32(&entry->use, WF_FD_RELEASING - WF_FD_CLOSING); /* FD-1 */
	wf_store_rlx32(&entry->dry, 0);				   /* rlx: a hint */
	wf_store_rlx32(&entry->offsets, WF_FD_UNASKED);		   /* rlx: asked again */
	wf_lock_release(&entry->lock);
	return 0;
}

void wf_fd_close_end(int fd)
{
	struct wf_fd_entry *entry;
	int error = wf_fd_find(fd, &entry);
	WF_CHECK(error == 0);
	wf_lock_acquire(&entry->lock);
	wf_sub_sc32(&entry->use, WF_FD_RELEASING - WF_FD_OPEN); /* FD-1 */
	wake_all_locked(entry);
	wf_lock_release(&entry->lock);
}

WF_OWNER_CODE_END
