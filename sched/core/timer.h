/* SPDX-License-Identifier: MIT */
/* timer.h - the timers of one worker: a 4-ary heap with inline keys
 *
 * What     arm 25 ns, cancel 23 ns, expire 270 ns at a million (LIMITS.md section 5), exact order, no kernel timer a sleeper. The
 *          worker's wait in the ring has the earliest deadline as its timeout.
 * Rejected a kernel timeout each (its cancel is linear: 40-90 ms at a million); a hierarchical wheel (18/6/304, but its
 *          granularity shows in virtual time).
 * Owns     the heap's array; the timers belong to whoever armed them and stay linked until fired or cancelled.
 * Rules    M1 a timer stands in at most one heap; `heap` names it, NULL when idle. Both change under that heap's lock.
 *          M2 a timer that has fired is idle before its function is called; the function runs under no lock, on the
 *             thread that found it due, and gets only copies (owner, ticket): the timer itself may be gone by then.
 *          M4 `until` may be moved later by the timer's owner; the heap's key stays where it was, and whoever finds it due puts the timer
 *             back. So a deadline that moves with every request costs a lock and a store. Without the lock it could be moved just as it is
 *             found due, and fire for nothing.
 *          M5 arming cannot fail: where the heap's array cannot grow, timers wait in a list that is scanned at every look.
 *          M3 equal deadlines fire in the order of arming (sequence number).
 * Order    TM-1 the heap's lock. `earliest` is a copy for others to read without it: written under the lock (sc), read (sc)
 *               before sleeping (ID-1.6).
 * Tests    tests/core/timer_test.cc
 */
#ifndef WF_SCHED_CORE_TIMER_H
#define WF_SCHED_CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/base/atomic.h"
#include "sched/base/limits.h"
#include "sched/base/lock.h"

struct wf_timer_heap;
struct wf_worker;

/* What a due timer does: `owner` is a fiber's index, `key` a ticket or a generation. */
typedef void (*wf_timer_fn)(struct wf_worker *w, uint32_t owner, uint64_t key);

struct wf_timer {
	wf_aptr heap;	       /* M1 */
	wf_a64 until;	       /* M4 */
	struct wf_timer *next; /* M5 */
	uint32_t position;     /* in that heap; WF_TIMER_LISTED: in the list */
	uint32_t owner;
	uint64_t key;
	wf_timer_fn fire;
};

#define WF_TIMER_LISTED UINT32_MAX

struct wf_timer_slot {
	int64_t deadline;
	uint64_t sequence;
	struct wf_timer *timer;
};

struct wf_timer_heap {
	_Alignas(WF_CACHE_LINE) wf_lock lock;
	uint32_t count;
	uint32_t capacity;
	uint64_t sequence;
	struct wf_timer_slot *slot;
	struct wf_timer *listed; /* M5 */
	wf_a64 earliest;	 /* INT64_MAX: none */
};

void wf_timer_heap_init(struct wf_timer_heap *heap);
void wf_timer_heap_free(struct wf_timer_heap *heap);

/* Arms an idle timer whose owner, key and fire are set. */
void wf_timer_arm(struct wf_timer_heap *heap, struct wf_timer *timer, int64_t deadline);
/* M4: the armed timer's own owner moves it. False: it is idle, or stands at a later time; cancel and arm it then. */
bool wf_timer_postpone(struct wf_timer *timer, int64_t deadline);
/* Idle afterwards, whichever thread's heap it stood in. True: it had not fired. */
bool wf_timer_cancel(struct wf_timer *timer);
/* Fires what is due at `now`, at most `most`. Returns how many. */
uint32_t wf_timer_fire_due(struct wf_timer_heap *heap, struct wf_worker *w, int64_t now, uint32_t most);
/* The same for another worker's heap: not while somebody else holds its lock. */
uint32_t wf_timer_fire_due_try(
	struct wf_timer_heap *heap, struct wf_worker *w, int64_t now, uint32_t most);
/* All of them stand in the other heap then; whoever cancels one finds it in one or the other (M1). */
void wf_timer_move_all(struct wf_timer_heap *from, struct wf_timer_heap *to);

static inline int64_t wf_timer_earliest(const struct wf_timer_heap *heap)
{
	return (int64_t)wf_load_sc64(&heap->earliest); /* TM-1 */
}

#endif
