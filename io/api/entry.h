/* SPDX-License-Identifier: MIT */
/* entry.h - the descriptor table's entries, for fd.c, op.c and watch.c alone; see fd.h */
#ifndef WF_IO_API_ENTRY_H
#define WF_IO_API_ENTRY_H

#include "sched/base/check.h"
#include "sched/base/lock.h"
#include "sched/core/driver.h"

enum wf_fd_state { WF_FD_OPEN, WF_FD_CLOSING, WF_FD_RELEASING };
#define WF_FD_STATE 3u	   /* in `use` */
#define WF_FD_COUNT_ONE 4u /* one operation that is counted */

struct wf_fd_entry {
	wf_lock lock;
	wf_a32 use; /* {count, state}: the state is written under the lock; FD-1 */
	wf_a32 dry; /* the last receive took all there was; a hint: rlx. A new descriptor is not: what is no socket must say so at once */
	wf_a32 offsets; /* enum wf_fd_offsets; rlx */
	wf_a32 asked;	/* the tick in which it was asked that last: stamp() of fd.c; rlx */
	wf_a32 cold; /* reads still to go without a direct try, because the last one did not find its data in memory; a hint: rlx */
	struct wf_op *ops;
	struct wf_op *mover; /* C6: has the file's position, or was the first there */
	struct wf_fd_waiter *movers, *last_mover; /* C6: who waits for it, first come first */
	struct wf_fd_waiter *waiters;		  /* for another state, or an empty list */
	struct wf_watch *watch; /* watch.c; NULL: no select has waited for it yet. Kept for whatever gets the number next */
};

/* Under the lock. */
static inline enum wf_fd_state wf_fd_state_locked(const struct wf_fd_entry *entry)
{
	return (enum wf_fd_state)(wf_load_sc32(&entry->use) & WF_FD_STATE); /* FD-1 */
}

/* C5: the ways that are mostly taken, inline. */
static inline bool wf_fd_enter_counted(struct wf_fd_entry *entry)
{
	return WF_LIKELY((wf_add_sc32(&entry->use, WF_FD_COUNT_ONE) & WF_FD_STATE) == WF_FD_OPEN); /* FD-1 */
}
/* Of a descriptor that is being closed: wakes the closer if `before`, the word as it was, counts this operation alone. */
void wf_fd_leave_closing(struct wf_fd_entry *entry, uint32_t before);
static inline void wf_fd_leave_counted(struct wf_fd_entry *entry)
{
	uint32_t before = wf_sub_sc32(&entry->use, WF_FD_COUNT_ONE); /* FD-1 */
	if (WF_UNLIKELY((before & WF_FD_STATE) != WF_FD_OPEN))
		wf_fd_leave_closing(entry, before);
}

/* 0, or -EBADF (negative), -EMFILE (beyond the table), -ENOMEM. */
int wf_fd_find(int fd, struct wf_fd_entry **entry);
/* Lists an operation of an OPEN entry. */
void wf_fd_list_locked(struct wf_fd_entry *entry, struct wf_op *op);
/* Takes it off; while CLOSING the last one wakes the closer. */
void wf_fd_unlist_locked(struct wf_fd_entry *entry, struct wf_op *op);
/* Parks until RELEASING is over. 0, -ECANCELED or -ETIMEDOUT. */
int wf_fd_wait_for_release(struct wf_fd_entry *entry);

#endif
