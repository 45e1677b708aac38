/* SPDX-License-Identifier: MIT */
/* runtime.h - one runtime: its workers, its injection queue, its beginning and its end
 *
 * What     runtime structs are static and used again, so that a waker that comes late looks at memory that is still a runtime. Fibers of one
 *          runtime run on its workers only; wakes cross runtimes through the injection queue.
 * Rules    U1 references: a thread that is no worker of this runtime holds one from before it wins a ticket until after its last
 *             touch of the runtime (queue, interrupt). Stop waits for zero.
 *          U2 stop: refuse submits, cancel every live fiber, wait until spawned = ended (sums over workers, ended read first), wait for references,
 *             let the workers leave, close the engines, then the slot may be used again.
 *          U3 a fiber spawned while stopping starts cancelled; children of scopes are cancelled through their scopes alone, so that
 *             shielded clean-up may use some. Spawn: mark LIVE (sc), then load `stopping`; stop: set `stopping` (sc), then
 *             look at every block.
 *          U4 nothing here is written on the way of spawn, park, wake, submit or complete, but the injection queue by those who
 *             overflow or come from outside.
 *          U5 reports hold a runtime for as long as they read its workers and threads; nothing is waited for meanwhile but look.h's answer.
 * Order    RT-1 the injection queue's lock; `injected` is written under it (sc swap: ID-1.1), and read (sc) without it (ID-1.6).
 *          RT-2 U3's pair, both sc.
 *          RT-3 references: add (sc) -> stop's load (sc).
 *          RT-4 (U5) lookers: add (sc), then load `shown` (sc); the end: swap `shown` (sc), then load lookers (sc).
 * Tests    tests/core/runtime_test.cc
 */
#ifndef WF_SCHED_CORE_RUNTIME_H
#define WF_SCHED_CORE_RUNTIME_H

#include <weft/runtime.h>

#include "sched/base/lock.h"
#include "sched/core/idle.h"
#include "sched/core/worker.h"

struct wf_runtime {
	const struct wf_driver *driver;
	weft_config config; /* complete: no zero means default */
	uint32_t worker_count;
	uint32_t slots; /* of worker[] and thread[]: the workers, then room for spares */
	uint32_t stack_pool;
	uint32_t slot; /* constant */
	bool virtual_time;
	bool reports_leaks;
	struct wf_worker *worker;
	struct wf_thread *thread;
	struct wf_idle idle;
	/* The monitor's clock, of when it last looked: what happened "since" reads no clock of its own. */
	_Alignas(WF_CACHE_LINE) wf_a64 coarse_now;
	/* the injection queue: READY fibers, and UNSTARTED ones that nobody can join; linked by next */
	_Alignas(WF_CACHE_LINE) wf_lock inject_lock;
	struct wf_fiber *inject_head, *inject_tail;
	wf_a32 injected;
	/* beginning and end */
	_Alignas(WF_CACHE_LINE) wf_a32 stopping; /* cancel what is left */
	wf_a32 leaving;				 /* the workers' loops end */
	wf_a32 opened;	     /* threads whose engine is open, or has failed to */
	wf_a32 start_failed; /* some engine did not open: the threads end without a loop */
	wf_a32 left;	     /* threads whose loop has ended, and the stopper */
	uint32_t meeting;    /* so many they will be; set before `leaving` */
	wf_a32 ended;	     /* futex: changes when a worker sees that all fibers have ended */
	wf_a32 references;
	wf_a32 shown;		/* RT-4: workers and threads exist */
	wf_a32 lookers;		/* RT-4: who holds them there */
	wf_a64 outside_spawned; /* fibers made by threads that are no workers */
	wf_a64 virtual_now;
	wf_a32 watching; /* virtual time only: selects and closes that wait for descriptors, jobs of the pool */
	wf_lock virtual_lock; /* one worker at a time moves virtual_now */
	wf_aptr pool;	      /* sched/task/pool.c: made when first needed, acquire on the load */
	wf_aptr end_pool; /* then: void (*)(struct wf_runtime *), called by stop when all fibers have ended */
	bool used;  /* under the table's lock */
	bool dumps; /* io/boot's: a signal has it dumped */
	wf_a32 by_run; /* 1: the first fiber of weft_run lives, and that one's caller waits for its end */
	/* rescue.h */
	_Alignas(WF_CACHE_LINE) wf_a32 reach; /* workers below it may have something; grows only */
	wf_a32 rescues;			      /* workers whose rescue_wanted is set */
	wf_a32 baton;			      /* RS7: index of who has it; WF_NO_BATON */
	wf_a32 baton_wanted;		      /* by the worker */
	wf_a32 unbound; /* RS2: index of the first, linked by next; read without the lock, ID-1 */
	uint32_t last_unbound;
	wf_lock unbound_lock;
	bool rescuing;	 /* stuck workers are looked after */
	bool all_shared; /* RS3; the monitor's */
	bool unshares;	 /* it can go back to a queue without locked instructions */
	/* monitor.h */
	bool monitored;
	/* longrun.h: the monitor's */
	uint64_t long_seen[WF_LONG_SEEN];
	int64_t long_window;
	uint32_t long_lines, long_unsaid;
	struct wf_long_report *long_report; /* NULL: none is on its way */
	pthread_t monitor;
	wf_a32 monitor_asleep;
	wf_a32 monitor_leaves;
};

/* Starts a runtime over a driver; `config` is complete. 0 or a negative errno. */
int wf_runtime_start(struct wf_runtime **rt, const weft_config *config, const struct wf_driver *driver);
/* A detached fiber from a thread that is no worker of rt. */
int wf_runtime_submit(struct wf_runtime *rt, weft_fn fn, void *arg, const void *site);
/* U2. Blocks the calling thread. */
void wf_runtime_stop(struct wf_runtime *rt);
/* The engine and the signal stack of the calling thread; says in thread->open_error how it went. */
void wf_thread_open(struct wf_thread *thread);
void wf_thread_close(struct wf_thread *thread);
/* U2: waits until the loops of all threads have ended. */
void wf_runtime_meet(struct wf_runtime *rt);
static inline uint32_t wf_reach(const struct wf_runtime *rt)
{
	return wf_load_sc32(&rt->reach); /* ID-1.6: raised before a spare publishes anything */
}
/* Fibers that were switched to: the same twice means that none was between. */
static inline uint64_t wf_all_runs(const struct wf_runtime *rt)
{
	uint64_t runs = 0;
	uint32_t reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++)
		runs += wf_load_acq64(&rt->worker[i].counter[WF_RUNS]);
	return runs;
}
/* Does a caller of weft_run wait for each runtime's first fiber? *runners: how many do. */
bool wf_runtimes_by_run(uint32_t *runners);
/* U5. The runtime of a slot, whose workers and threads stay until it is let go; NULL: there is none now. Any thread. */
struct wf_runtime *wf_runtime_hold(uint32_t slot);
void wf_runtime_let(struct wf_runtime *rt);
/* Are all fibers gone? Called by workers while stopping. */
bool wf_runtime_quiet(struct wf_runtime *rt);
/* The runtime's live fibers, cancelled one by one. */
void wf_runtime_cancel_all(struct wf_runtime *rt);
/* Appends a chain of fibers linked by next; any thread. */
void wf_inject(struct wf_runtime *rt, struct wf_fiber *head, struct wf_fiber *tail, uint32_t count);
/* Takes up to `most` fibers; returns the chain. */
struct wf_fiber *wf_inject_take(struct wf_runtime *rt, uint32_t most, uint32_t *count);

/* overflow.c: names the fiber whose stack overflowed. */
int wf_overflow_thread_init(struct wf_thread *thread); /* signal stack of the calling worker thread; 0 or -ENOMEM */
void wf_overflow_thread_end(struct wf_thread *thread);
/* Writes the place where something was made, symbol+offset where it is known; that of a fiber or of the call that opened a scope. All reports ask here. */
void wf_describe_site(const void *site, char *buffer, size_t size);
void wf_overflow_report(const struct wf_fiber *fiber); /* the line; async-signal-safe */
/* For stacks without a guard page: dies with that line when the word at the low end has gone. */
void wf_overflow_check(const struct wf_fiber *fiber);
/* The same for a strand whose word has gone: the line, and the end. */
void wf_overflow_strand(const struct wf_strand *strand) __attribute__((noreturn, cold));
void wf_fork_install(void);	/* fork.c: once a process */
void wf_fork_strands(void);	/* the same for a process that uses strands */
bool wf_fork_in_child(void);	/* of a process that had a runtime */
void wf_overflow_install(void); /* first runtime */
void wf_overflow_remove(void);	/* last runtime */

#endif
