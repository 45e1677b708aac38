/* SPDX-License-Identifier: MIT */
/* waiting.h - what a parked fiber waits for, noted for reports
 *
 * What     a kind and an object in the fiber's frame, written just before each park; park adds the time. Reports (sched/obs), debuggers and the
 *          search for deadlocks read them, while and only while the fiber is parked.
 * Rules    WT1 who calls wf_park sets them first. Callers of wf_wait say them in its struct, and it sets them.
 *          WT2 the object lives at least as long as the wait, or the wait itself would be wrong. A reader may come later all the same: it reads the
 *             object as it reads the frame (sched/obs/view.h).
 *          WT3 the time is the runtime's coarse clock, so that a park reads no clock.
 * Tests    tests/obs/view_test.cc
 */
#ifndef WF_SCHED_CORE_WAITING_H
#define WF_SCHED_CORE_WAITING_H

#include "sched/core/fiber.h"

WF_OWNER_CODE_BEGIN

/* In the order of who ends it. The object is named behind. */
enum wf_wait_kind {
	WF_WAITS_NONE,
	/* Whoever holds it, one that is known. */
	WF_WAITS_MUTEX, /* struct wf_mutex */
	WF_WAITS_WRITE, /* a reader-writer lock, to write: struct wf_queue */
	WF_WAITS_READ,	/* the same, to read */
	WF_WAITS_ONCE,	/* struct wf_queue */
	WF_WAITS_JOIN,	/* struct wf_fiber */
	WF_WAITS_SCOPE, /* its close: struct wf_scope */
	/* Any fiber, or any thread of the program. */
	WF_WAITS_COND, /* struct wf_queue, as those that follow */
	WF_WAITS_SEM,
	WF_WAITS_EVENT,
	WF_WAITS_WAITGROUP,
	WF_WAITS_BARRIER,
	WF_WAITS_FUTEX,	  /* the word */
	WF_WAITS_SEND,	  /* weft_chan */
	WF_WAITS_RECEIVE, /* weft_chan */
	WF_WAITS_SELECT,  /* the cases: weft_case */
	/* Time, the kernel, the pool's threads. */
	WF_WAITS_SLEEP,	     /* none */
	WF_WAITS_IO,	     /* struct wf_op */
	WF_WAITS_SELECT_FD,  /* a select with a descriptor or a signal among its cases: weft_case */
	WF_WAITS_SIGNAL,     /* to receive from a channel that is fed from outside: weft_chan */
	WF_WAITS_OFFLOAD,    /* none */
	WF_WAITS_DESCRIPTOR, /* one that is being closed, or its file's position: none */
	WF_WAITS_KINDS,
};
#define WF_WAITS_LOCK_LAST WF_WAITS_ONCE    /* from MUTEX: counted in wf_worker.lock_waiters */
#define WF_WAITS_AMONG_LAST WF_WAITS_SELECT /* from MUTEX: ended by fibers and threads alone */

/* "locks a mutex", ...: static text. */
const char *wf_waits_word(enum wf_wait_kind kind);

/* WT1. The deadline is this wait's own; WEFT_FOREVER: it has none. */
static inline void wf_waits_until(
	struct wf_fiber *fiber, enum wf_wait_kind kind, const void *object, weft_ns deadline)
{
	struct wf_frame *frame = fiber->frame;
	frame->wait_kind = kind;
	frame->wait_object = object;
	frame->wait_deadline = deadline;
}

static inline void wf_waits_for(struct wf_fiber *fiber, enum wf_wait_kind kind, const void *object)
{
	wf_waits_until(fiber, kind, object, WEFT_FOREVER);
}

static inline bool wf_waits_for_lock(enum wf_wait_kind kind)
{
	return kind >= WF_WAITS_MUTEX && kind <= WF_WAITS_LOCK_LAST;
}

WF_OWNER_CODE_END

#endif
