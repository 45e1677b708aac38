/* SPDX-License-Identifier: MIT */
/* wait.h - waiting in the list of a synchronisation object, for fibers and plain threads alike
 *
 * What     a waiter is a node in the frame of the call that waits. A fiber parks (law 2) and is woken by its ticket; a plain thread
 *          sleeps in a futex word of its own, on which the same three steps are taken: won, done, gone. Objects see no difference.
 * Owns     nothing: nodes belong to their callers, lists to their objects.
 * Rules    W1 a list is read and written under its object's latch or lock only. A node is linked by its publish function, and unlinked by
 *             the waker that takes it or by its own caller; `prev` says whether it is linked.
 *          W2 a waker takes the node off the list, and then has the right to wake only if it wins. What it does not win was given up at
 *             the same time: it goes on to the next. So what it had to give is given once, and never lost.
 *          W3 between winning and finishing the waiter's memory is the waker's to write. After finishing it is gone. Objects finish after
 *             they have released their latch, so a waiter that wakes may free the object.
 *          W4 a caller whose wait ended otherwise than by a waker (interrupted, late) takes the object's latch before it returns: to
 *             unlink itself, or to see that a waker that lost took it off.
 *          W5 publish runs when the fiber's registers are saved (law P). It may find that there is nothing to wait for; it then does what
 *             the call was for, and says so by returning false.
 *          W6 publish runs on the stack of whoever comes next, in the worker's context for TSan: so this folder is code of
 *             WF_OWNER_CODE (Z2 of sanitize.h). What users give is copied by memcpy, which TSan sees.
 *          W7 a wait is not interrupted for nothing (N1, N2 of park.c). Where it was all the same, with nothing in force, a caller that
 *             finds itself taken off the list by a waker that lost takes that as its wake: it may have been the only one that came.
 * Order    TK-1 and TK-2 of ticket.h for fibers. WT-1 the thread's word: waker's DONE (release) -> the thread's load (acquire).
 * Tests    tests/sync, tests/task/cancel_race_test.cc
 */
#ifndef WF_SCHED_SYNC_WAIT_H
#define WF_SCHED_SYNC_WAIT_H

#include "sched/base/latch.h"
#include "sched/core/credit.h"
#include "sched/core/waiting.h"
#include "sched/core/worker.h"

WF_OWNER_CODE_BEGIN

struct wf_waiter {
	struct wf_waiter *next, *prev; /* W1. Off the list, `next` chains what a waker has won */
	struct wf_fiber *fiber;	       /* NULL: a plain thread */
	uint64_t ticket;	       /* of the fiber's park */
	wf_a32 *thread;		       /* the thread's word */
	uint64_t holder;	       /* who it is: wf_holder() */
	struct wf_waiter **fired; /* one of several nodes of a select: where the winner says which; else NULL */
	struct wf_waiter *sibling; /* with fired: a ring of those of the same select on the same channel */
	/* The object's own. */
	uint32_t kind;
	int status;
	void *data;
	int64_t since;
};

/* A list: its first node, whose prev is the last. */
typedef struct wf_waiter *wf_waiters;

void wf_waiters_append(wf_waiters *list, struct wf_waiter *waiter);
void wf_waiters_prepend(wf_waiters *list, struct wf_waiter *waiter);
void wf_waiters_remove(wf_waiters *list, struct wf_waiter *waiter);

static inline bool wf_waiter_linked(const struct wf_waiter *waiter)
{
	return waiter->prev != NULL;
}

/* W2. Any thread. */
bool wf_waiter_win(struct wf_waiter *waiter);
/* W3. `soon`: it may run next on this worker. */
void wf_waiter_finish(struct wf_waiter *waiter, bool soon);
/* Takes waiters off the list until one is won; NULL: none is left. */
struct wf_waiter *wf_waiters_win_first(wf_waiters *list);

/* Waiters that were won, in order; to be finished when the latch is released. */
struct wf_wakes {
	struct wf_waiter *first, *last;
};
void wf_wakes_add(struct wf_wakes *wakes, struct wf_waiter *waiter);
void wf_wakes_finish(struct wf_wakes *wakes);
/* Takes all off the list and wins what can be won. */
void wf_wakes_add_all(struct wf_wakes *wakes, wf_waiters *list);

/* An object of most kinds: its state with the list that belongs to it. The public structs overlay it. */
struct wf_queue {
	wf_latch latch; /* the state, from WF_QUEUED upwards */
	wf_waiters waiters;
} __attribute__((may_alias));
#define WF_QUEUED UINT64_C(4) /* the list is not empty */
#define WF_STATE_SHIFT 3

static inline uint64_t wf_queued(const struct wf_queue *queue)
{
	return queue->waiters != NULL ? WF_QUEUED : 0;
}

/* W4. True: it was still linked, and is not now: nobody has served it. */
bool wf_queue_abandon(struct wf_queue *queue, struct wf_waiter *waiter);

/* One wait. The caller sets publish, deadline, kind and object, and what publish needs in a struct around it. */
struct wf_wait {
	struct wf_waiter node;
	bool (*publish)(struct wf_wait *wait); /* W5 */
	weft_ns deadline;		       /* WEFT_FOREVER: none */
	enum wf_wait_kind kind;		       /* WT1 of waiting.h */
	const void *object;
	struct wf_timer timer; /* valid only with a deadline */
	wf_a32 thread;
};

/* Waits until a waker finishes the node (WF_WAKE_OK, also when publish refused), the deadline passes (WF_WAKE_TIMER), or an interrupt comes (WF_WAKE_INTERRUPTED;
 * `masks` are WF_PARK_*). After the latter two: W4. */
int wf_wait(struct wf_wait *wait, uint64_t masks);
/* The same for what somebody holds (wf_waits_for_lock): counted, so that nobody looks for circles of such waits where there is none. */
int wf_wait_for_lock(struct wf_wait *wait, uint64_t masks);
/* Levels in force for the fiber that runs on w: 0, -ECANCELED or -ETIMEDOUT; 0 on a plain thread. */
static inline int wf_levels_on(struct wf_worker *w)
{
	if (w == NULL)
		return 0;
	/* Mostly there is nothing that could be in force; then without a call. */
	const struct wf_fiber *fiber = w->current;
	const struct wf_frame *frame = fiber->frame;
	bool quiet = !(wf_load_acq64(&fiber->life) & WF_LIFE_INTERRUPTS) &&
		frame->deadline == WEFT_FOREVER && frame->scope_deadline == WEFT_FOREVER;
	return WF_LIKELY(quiet) ? 0 : wf_interrupted(w, w->current);
}

/* The same for the caller, which may give way first: CR1 of credit.h. */
static inline int wf_wait_levels(void)
{
	return wf_levels_on(wf_turn());
}
/* The masks of an ordinary cancellation point. */
uint64_t wf_wait_masks(void);

#define WF_HOLDER_INDEX_BITS 26
_Static_assert((uint64_t)WF_FIBER_SLAB *WF_FIBER_SLABS_MAX <= UINT64_C(1) << WF_HOLDER_INDEX_BITS,
	"a fiber's index fits in its bits of a holder");
uint64_t wf_holder_of_thread(void);

/* In the words of locks, from this bit on: who holds a mutex, who runs a once function; in a reader-writer lock, if the bit WF_RWLOCK_WRITER is set,
 * who writes, else how many read. */
#define WF_HOLDER_SHIFT 6
#define WF_RWLOCK_WRITER UINT64_C(8)

/* Who calls, on this worker: a number that no other fiber or thread has now, 58 bits, never 0. */
static inline uint64_t wf_holder_on(const struct wf_worker *w)
{
	const struct wf_fiber *fiber = w == NULL ? NULL : w->current;
	if (WF_UNLIKELY(fiber == NULL))
		return wf_holder_of_thread();
	uint64_t life = wf_load_rlx64(&fiber->life); /* rlx: the generation is constant while it lives */
	return (uint64_t)wf_fiber_generation(life) << WF_HOLDER_INDEX_BITS | fiber->index;
}

static inline uint64_t wf_holder(void)
{
	return wf_holder_on(wf_self());
}
/* The read locks of the caller. */
struct wf_holds *wf_holder_holds(void);
/* A random number, for choosing fairly. */
uint32_t wf_holder_random(void);
/* May the caller run on while others run at the same time, so that trying again for a moment pays? */
bool wf_holder_may_spin(void);

WF_OWNER_CODE_END

#endif
