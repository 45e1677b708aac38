/* SPDX-License-Identifier: MIT */
/* resumed.h - on which stacks a host stands, read from outside
 *
 * What     a fiber that is in a generator's body stands on the generator's strand, which was resumed on another, and so on to the fiber's own.
 * Rules    RE1 all is copied by the kernel (sched/base/peek.h): the host may go on meanwhile. The caller finds out.
 * Tests    tests/obs/dump_test.cc
 */
#ifndef WF_SCHED_TASK_RESUMED_H
#define WF_SCHED_TASK_RESUMED_H

#include "sched/core/strand.h"

struct wf_resumed {
	const struct wf_strand *at; /* the strand; NULL: that was the last one */
	const void *sp; /* where it was left; not of the first, which the fiber's own registers tell */
	bool by_generator;  /* a generator was resumed on it; else a coroutine was switched to */
	wf_strand_fn entry; /* of generators; NULL: not known yet */
};

/* The innermost. `host` is a copy, its own strand is at `own`. */
struct wf_resumed wf_resumed_first(const struct wf_host *host, const struct wf_strand *own);
/* The next one outwards. */
void wf_resumed_next(struct wf_resumed *resumed, const struct wf_host *host, const struct wf_strand *own);

#endif
