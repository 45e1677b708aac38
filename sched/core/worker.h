/* SPDX-License-Identifier: MIT */
/* worker.h - a worker: the queues, timers and counters of one unit of parallelism, and the thread that runs it
 *
 * What     two structs. struct wf_worker owns what other workers may take over from a stuck one: queues, timers, inbox, index. struct
 *          wf_thread owns what is bound to one OS thread: the engine's ring, the signal stack, the scheduler's own stack.
 *          A worker keeps one thread for life.
 * Owns     every fiber in its queues; the fiber `current`.
 * Rules    W1 fields are in bands by who touches them: owner-hot, thief-read, remote-written; each band starts a cache line.
 *          W2 `after` is what the fiber that was switched away from left to do. Whoever runs next does it first: wf_switch's way back,
 *             the entry of a new fiber, and the scheduler's loop.
 *          W3 wf_self() is read again after every switch; it is never kept across one (law 6).
 *          W4 requests from other threads (inbox, box) are published by RMW, then the worker's sleep bit is looked at: ID-1 of idle.h.
 * Order    IN-1 inbox and box: push (sc cas) -> take (sc swap): carries the fiber and its link.
 *          VT-1 ops_in_flight falls (release), after the fiber is in a queue -> virtual time's sum over all workers (acquire), before it looks
 *               at the queues: what ended is seen there.
 * Tests    tests/core/sched_test.cc, tests/core/stress_test.cc, tests/model/virtual_model.c (VT-1)
 */
#ifndef WF_SCHED_CORE_WORKER_H
#define WF_SCHED_CORE_WORKER_H

#include <pthread.h>
#include <time.h>
#include <weft/stats.h>

#include "sched/base/check.h"
#include "sched/base/lock.h"
#include "sched/core/deque.h"
#include "sched/core/driver.h"
#include "sched/core/fiber.h"
#include "sched/core/ready.h"
#include "sched/core/stack.h"
#include "sched/core/timer.h"

struct wf_runtime;

/* Publishes the wait of a parked fiber; runs after its registers are saved, on another stack. True: parked. False: what it
 * waits for has come already, nothing is published. Must not park and must not take long. */
typedef bool (*wf_commit_fn)(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg);

enum wf_after_kind {
	WF_AFTER_NONE,
	WF_AFTER_PARK,	    /* run the commit function, then PARKED */
	WF_AFTER_YIELD,	    /* put the fiber to the end of the ring */
	WF_AFTER_END,	    /* give its stack back */
	WF_AFTER_INSIDE,    /* nothing: a fiber is at the queues (RS3 of rescue.h) */
	WF_AFTER_SCHEDULER, /* nothing: the scheduler runs */
};

struct wf_after {
	wf_a32 kind;		/* enum wf_after_kind. NONE: a fiber is in its own code */
	struct wf_fiber *fiber; /* not for END: the block may be somebody else's by then */
	wf_commit_fn commit;
	void *arg;
	uint64_t ticket;
	struct wf_stack stack;
	void *tsan;
};

/* Counters in the order of weft_worker_stats; single writer. */
enum wf_counter {
	WF_SPAWNED,
	WF_ENDED,
	WF_RUNS,
	WF_YIELDS,
	WF_PARKS,
	WF_WAKES,
	WF_STEALS,
	WF_STEAL_ROUNDS,
	WF_INJECTED,
	WF_OVERFLOWS,
	WF_TIMERS_ARMED,
	WF_TIMERS_FIRED,
	WF_SLEEPS,
	WF_INTERRUPTS,
	WF_OPS,
	WF_ENTERS,
	WF_COMPLETIONS,
	WF_CANCELS,
	WF_SQ_FULL,
	WF_CQ_OVERFLOWS,
	WF_STACK_MISSES,
	WF_RESCUES,
	WF_STALLS, /* w: the monitor */
	WF_KEPT,   /* w: the monitor */
	WF_COUNTERS,
};

/* longrun.h: a fiber as it was. */
struct wf_long_subject {
	uint64_t id; /* as weft_id */
	const void *site;
	char name[WF_NAME_BYTES];
};

struct wf_worker {
	/* owner-hot */
	struct wf_fiber *current; /* NULL: the scheduler's own stack */
	struct wf_runtime *rt;
	struct wf_thread *thread;
	int *errno_address; /* of the thread; law 6 */
	int32_t budget;	    /* runs left in this tick */
	uint32_t credit;    /* calls left in this run: credit.h */
	uint32_t next_used; /* runs taken from `next` in a row: WF_NEXT_CAP */
	uint32_t picks;
	uint32_t inject_turn; /* slow picks until the injection queue comes first */
	uint32_t index;
	wf_a32 shared; /* others take from the queues: pushes are ID-1.1 (RS3 of rescue.h) */
	wf_a32 gated; /* RS7 of rescue.h: runs fibers with the baton only. Set with `shared` where bound */
	bool bound;	  /* the runtime's only worker, or its spare: RS7 of rescue.h */
	bool searching;	  /* counted in idle.searching */
	bool old_first;	  /* the oldest unstarted fiber has waited too long */
	bool batching;	  /* the scheduler handles completions and timers: one notify at the end */
	bool short_sleep; /* the last sleep was shorter than a search: searching longer pays */
	uint32_t lone_skip; /* wakes for a lone entry still to be skipped: they were fruitless before */
	struct wf_fiber *handoff; /* claimed: runs next, before any queue */
	void *scheduler_sp;
	struct wf_after after;
	uint64_t random;
	uint64_t old_top; /* what stood at the deque's top at old_since */
	int64_t old_since;
	uint64_t claims; /* RS6 of rescue.h */
	bool unmoved; /* a rescuer was at its engine: what is in flight is still to be moved out */
	struct wf_fiber *pinned_head, *pinned_tail; /* taken out of the inbox */
	uint32_t cache_head;			    /* free control blocks, linked by next */
	uint32_t cache_count;
	int64_t idle_since; /* 0: not idle */
	bool trimmed;
	struct wf_stack_cache stacks;
	/* thief-read */
	struct wf_ready ready;
	struct wf_deque deque;
	_Alignas(WF_CACHE_LINE) wf_aptr next; /* the fiber to run next, woken by the running one */
	struct wf_timer_heap timers;
	/* remote-written */
	_Alignas(WF_CACHE_LINE) wf_a32 inbox; /* pinned fibers made ready elsewhere: index of the newest, linked by next */
	wf_a32 box; /* fibers whose operation is to be cancelled here, linked by box_next */
	wf_aptr op_box; /* detached operations to be cancelled here: struct wf_detached, linked by box_next */
	wf_a32 fruitless; /* log2 of lone_skip's next start: set by those this worker woke */
	wf_a32 woken_by; /* worker + 1 that interrupted this one's sleep for a lone entry; 0: none */
	wf_a32 ops_in_flight; /* submitted here less completed here: the sum over all workers is what is in flight; VT-1 */
	/* rescue.h */
	wf_a32 spare;	      /* enum wf_spare_state */
	wf_a32 stuck;	      /* w: the monitor */
	wf_a32 rescue_wanted; /* RS-1 */
	/* counters */
	_Alignas(WF_CACHE_LINE) wf_a64 counter[WF_COUNTERS];
	wf_a64 lock_waiters; /* fibers that began to wait for a lock here, less those that ended it: the sum over all workers is how many wait */
	/* the monitor's */
	_Alignas(WF_CACHE_LINE) uint64_t seen_runs;
	int64_t held_since; /* since when `seen_runs` stands still while the worker is awake */
	int64_t seen_cpu;   /* of its thread, when that became suspicious; -1: it is not */
	int64_t disturbed;
	/* longrun.h: the stall that goes on */
	bool stall_counted, stall_reported;
	bool stall_asks; /* the question to the thread is this stall's */
	int64_t stall_since, stall_held, stall_asked;
	struct wf_long_subject stalled;
};
_Static_assert(offsetof(struct wf_worker, ready) % WF_CACHE_LINE == 0, "thief-read band");
_Static_assert(offsetof(struct wf_worker, inbox) % WF_CACHE_LINE == 0, "remote-written band");

/* look.h: what a thread runs. */
struct wf_look {
	uint64_t runs; /* the worker's count of them then */
	int call;      /* system call, or WF_LOOK_COMPUTES */
	uint32_t count;
	const void *pc[WF_LOOK_FRAMES]; /* innermost first */
};

/* longrun.h: a line on its way. LEFT: nobody waits for it any more. */
enum wf_report_state { WF_REPORT_RUNS, WF_REPORT_SAID, WF_REPORT_LEFT };
struct wf_long_report {
	wf_a32 state; /* enum wf_report_state */
	pthread_t thread;
	struct wf_long_subject subject;
	uint32_t worker, unsaid;
	int64_t held;
	bool answered;
	struct wf_look look;
};

struct wf_thread {
	struct wf_worker *worker;
	const struct wf_driver *driver;
	void *engine;	      /* the driver's state */
	wf_lock lock;	      /* EN1 of engine.h */
	wf_aptr server;	      /* struct wf_worker: whose thread holds the lock */
	wf_aptr queue;	      /* EN2: struct wf_op, linked by next */
	uint64_t operations;  /* the op codes that the engine carries out: bits */
	uint32_t slot;	      /* in the runtime's table; named by wf_fiber.op_thread */
	uint64_t interrupted; /* interrupts that have arrived; w: the lock's holder */
	wf_a32 tid;	      /* 0: not started yet, or leaving */
	/* look.h */
	wf_lock look_lock;
	wf_a32 look_state;
	bool has_timer;
	timer_t timer;
	struct wf_look look;
	bool engine_open;
	struct wf_detached *detached; /* in flight here */
	wf_lock detached_lock;
	int open_error;
	pthread_t pthread;
	void *signal_stack;
	const void *stack_bottom; /* ASan: the thread's own stack */
	size_t stack_bytes;
	void *asan_fake;
	void *tsan;
};

/* For a driver's functions: the worker that has entered the engine (EN1 of engine.h). */
static inline struct wf_worker *wf_server(const struct wf_thread *thread)
{
	return wf_load_rlxp(&thread->server); /* rlx: the lock is held */
}

/* The calling thread's worker, NULL on a foreign thread. Out of line: law 6. */
struct wf_worker *wf_self(void);
void wf_set_self(struct wf_worker *w);

/* The running fiber, NULL outside one. */
static inline struct wf_fiber *wf_current(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL ? NULL : w->current;
}

/* RS3 of rescue.h. rlx: the barrier there orders it. */
static inline bool wf_shared(const struct wf_worker *w)
{
	return wf_load_rlx32(&w->shared) != 0;
}

/* Around what a fiber's call does with the queues of its worker; true: the caller ends it. */
static inline bool wf_inside_begin(struct wf_worker *w)
{
	if (wf_load_rlx32(&w->after.kind) != WF_AFTER_NONE) /* rlx: the worker's own */
		return false;
	wf_store_rlx32(&w->after.kind, WF_AFTER_INSIDE); /* rlx: the barrier of RS3 orders it */
	__asm__ volatile("" ::: "memory");		 /* before `shared` is read */
	return true;
}

static inline void wf_inside_end(struct wf_worker *w, bool began)
{
	if (began)
		wf_store_rel32(&w->after.kind, WF_AFTER_NONE); /* RS3 */
}

/* What another thread's worker runs: changes any moment; control blocks are never unmapped. */
static inline struct wf_fiber *wf_worker_current(const struct wf_worker *w)
{
	return *(struct wf_fiber *const volatile *)&w->current;
}

static inline void wf_bump(struct wf_worker *w, enum wf_counter c, uint64_t n)
{
	wf_count(&w->counter[c], n);
}

/* park.c: the one wait primitive (law 2). */

/* Parks the calling fiber, which has said what it waits for (waiting.h); `flags` are WF_PARK_*. Returns the wake code given by the winner: */
#define WF_WAKE_OK 0	      /* what was waited for has come, or commit said so */
#define WF_WAKE_INTERRUPTED 1 /* cancellation, deadline or close: ask wf_interrupted */
#define WF_WAKE_TIMER 2	      /* the timer armed for this very wait */
int wf_park(uint64_t flags, wf_commit_fn commit, void *arg);

/* Looks at cancellation and deadline in force for the calling fiber: 0, -ECANCELED or -ETIMEDOUT. */
int wf_interrupted(struct wf_worker *w, struct wf_fiber *fiber);
/* Notes that a call of the fiber fails, if it is a scope's child and that scope is in force for it. */
void wf_feel(struct wf_fiber *fiber, weft_ns now);
/* Arms the timer of the fiber's own deadline (its frame) anew; takes it back. Both by the fiber itself. */
void wf_deadline_disarm(struct wf_fiber *fiber);
void wf_deadline_arm(struct wf_worker *w, struct wf_fiber *fiber);
/* Is the fiber cancelled, itself or by a scope, as far as its shields let it be seen? */
bool wf_cancel_in_force(struct wf_fiber *fiber);
/* The WF_PARK_NO_* flags that the fiber's shields ask for. */
uint64_t wf_park_masks(const struct wf_fiber *fiber);

/* Tries to wake the fiber from the park `ticket`. True: this call did. Any thread; w NULL on foreign ones. */
bool wf_wake(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, int code);
/* The same in two steps: between them the fiber stays parked and its memory is the winner's. After the second it is the fiber's again. */
bool wf_wake_win(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket);
void wf_wake_done(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, int code, bool soon);
/* Instead of the second step, for a fiber of w's runtime: returns it, RUNNING and in no queue, if it may run next on w; else NULL, and it
 * was made ready. */
struct wf_fiber *wf_wake_to_run(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket);
/* After WF_LIFE_CANCEL was set, with the life word as it was before: the scopes that the fiber has open are cancelled too. */
void wf_cancelled_opener(struct wf_worker *w, struct wf_fiber *fiber, uint64_t life);
/* After an interrupt bit was set in the life word of that generation: wakes the fiber from the park it is in, or asks the ring's owner (WK-1.4). */
void wf_interrupt(struct wf_worker *w, struct wf_fiber *fiber, uint32_t generation);
/* To the end of w's own ring, or to the injection queue when that is full; no notify. */
void wf_queue_ready(struct wf_worker *w, struct wf_fiber *fiber);
/* Puts a READY fiber into a queue and wakes a worker if one is needed. `soon`: it may run next on this worker. */
void wf_make_ready(struct wf_worker *w, struct wf_fiber *fiber, bool soon);

/* switch.c */
void wf_switch_away(struct wf_worker *w,
	struct wf_fiber *from); /* the fiber's `after` is set; returns when it runs again */
void wf_switch_to(struct wf_worker *w, struct wf_fiber *to); /* from the scheduler's stack */
void wf_arrive(struct wf_worker *w);			     /* W2 */
/* Makes a claimed UNSTARTED fiber runnable: takes its stack. */
void wf_fiber_prepare(struct wf_worker *w, struct wf_fiber *fiber);
/* Runs first on a new fiber's stack, and returns at the fiber's end. */
struct wf_context_next wf_fiber_main(void *value);

/* pick.c */
struct wf_fiber *wf_pick_own(struct wf_worker *w); /* of its ring and its deque alone */
struct wf_fiber *wf_pick(struct wf_worker *w); /* the next fiber of w's own queues, RUNNING and prepared, or NULL */
/* Claims an UNSTARTED fiber (an entry of a deque or the injection queue), or NULL: a tombstone. */
struct wf_fiber *wf_claim_entry(const struct wf_worker *w, uint64_t entry);
/* Claims a fiber of w's runtime whose word, as just read, says UNSTARTED. */
bool wf_claim_fiber(const struct wf_worker *w, struct wf_fiber *fiber, uint64_t word);
/* One round over the injection queue and the other workers. Not greedy: leaves what its owner is about to run itself, a `next` slot and
 * a lone unstarted fiber. */
struct wf_fiber *wf_steal_work(struct wf_worker *w, bool greedy);
bool wf_work_visible(struct wf_worker *w); /* ID-1.6: is there anything w could run? */
/* Room for one more unstarted fiber: drops tombstones from the old end, else grows. False: no memory. */
bool wf_deque_make_room_self(struct wf_worker *w);
uint64_t wf_entry_of(const struct wf_fiber *fiber);

/* detached.c: the requests in a worker's box, looked at by w, which is that worker or rescues it. */
void wf_detached_drain_box(struct wf_worker *w, struct wf_worker *box);

/* worker.c */
/* Cancel requests of other threads to the worker `box`: w itself, or one that w rescues and whose engine it has entered. */
void wf_drain_box(struct wf_worker *w, struct wf_worker *box);
/* Of those, the ones for fibers. They are passed on where the operation is by now; w NULL: a thread that is no worker. */
void wf_answer_requests(struct wf_worker *w, struct wf_worker *box);
void wf_worker_loop(struct wf_worker *w);
/* After publishing shared work: ID-1.2, ID-1.3. A lone entry's wake may be skipped when such wakes were fruitless; monitor.c looks after
 * it then. */
void wf_worker_notify(struct wf_worker *w, bool lone);
void wf_runtime_notify(struct wf_runtime *rt); /* the same from a thread that is no worker of rt */
/* After publishing to that worker's inbox or box. */
void wf_worker_notify_one(struct wf_runtime *rt, uint32_t worker);

WF_OWNER_CODE_BEGIN
/* A fiber that could go on, behind the others. Not from a fiber's own code (RS3 of rescue.h). */
static inline void wf_requeue(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (WF_UNLIKELY(fiber->flags & WF_FIBER_HOMED)) {
		wf_make_ready(w, fiber, false);
		return;
	}
	wf_queue_ready(w, fiber);
	if (wf_shared(w))
		wf_worker_notify(w, false);
}
WF_OWNER_CODE_END

int64_t wf_worker_now(const struct wf_worker *w);

#endif
