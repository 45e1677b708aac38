/* SPDX-License-Identifier: MIT */
/* select.h - what select needs of descriptors; the engine's side of it is in io/api/watch.c
 *
 * What     sched/ knows no descriptors. Whoever brings them in sets wf_descriptors.
 * Rules    SD1 ready: looks once, without waiting.
 *          SD2 watch links a node to a descriptor, until it is won or unwatched. Its winner sets `status` (-EAGAIN: look again; or an
 *             error) and `fired`, as a channel's does (CH2 of chan.h). Called from a commit function, on a worker.
 */
#ifndef WF_SCHED_SYNC_SELECT_H
#define WF_SCHED_SYNC_SELECT_H

#include <weft/chan.h>

#include "sched/sync/wait.h"

struct wf_descriptors {
	/* Parks while one of the descriptors is being closed by the kernel, when its number may already be another file's. 0, or an error. */
	int (*settle)(const weft_case *cases, size_t count);
	/* Sets ready[i] for each case with a descriptor. 0, or a negative errno: -EBADF, -ENOMEM. */
	int (*ready)(const weft_case *cases, size_t count, bool *ready);
	/* 0, or -EAGAIN (look again), -EBADF (closing), -EMFILE, -ENOMEM: not linked. */
	int (*watch)(struct wf_waiter *node, int fd, bool to_write);
	void (*unwatch)(struct wf_waiter *node, int fd, bool to_write);
};
extern wf_aptr wf_descriptors; /* const struct wf_descriptors * */

/* What a parked select waits for: the object of WF_WAITS_SELECT and WF_WAITS_SELECT_FD. */
struct wf_selecting {
	const weft_case *cases;
	size_t count;
};

#endif
