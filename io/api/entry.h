/* SPDX-License-Identifier: MIT */
/* entry.h - the descriptor table's entries, for fd.c and watch.c alone; see fd.h */
#ifndef WF_IO_API_ENTRY_H
#define WF_IO_API_ENTRY_H

#include "sched/base/lock.h"
#include "sched/core/driver.h"

enum wf_fd_state { WF_FD_OPEN, WF_FD_CLOSING, WF_FD_RELEASING };

struct wf_fd_entry {
	wf_lock lock;
	uint8_t state;
	wf_a32 dry; /* the last receive took all there was; a hint: rlx. A new descriptor is not: what is no socket must say so at once */
	wf_a32 seekable; /* it has offsets: asked once a descriptor; rlx */
	struct wf_op *ops;
	struct wf_fd_waiter *waiters;
	struct wf_watch *watch; /* watch.c; NULL: no select has waited for it yet. Kept for whatever gets the number next */
};

/* 0, or -EBADF (negative), -EMFILE (beyond the table), -ENOMEM. */
int wf_fd_find(int fd, struct wf_fd_entry **entry);
/* Lists an operation of an OPEN entry. */
void wf_fd_list_locked(struct wf_fd_entry *entry, struct wf_op *op);
/* Takes it off; while CLOSING the last one wakes the closer. */
void wf_fd_unlist_locked(struct wf_fd_entry *entry, struct wf_op *op);
/* Parks until RELEASING is over. 0, -ECANCELED or -ETIMEDOUT. */
int wf_fd_wait_for_release(struct wf_fd_entry *entry);

#endif
