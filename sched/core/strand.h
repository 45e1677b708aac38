/* SPDX-License-Identifier: MIT */
/* strand.h - second stacks: what a fiber or a plain thread runs on while it is in a generator or a coroutine
 *
 * What     a strand is a place where control can go on: a stack that was left by wf_strand_switch, or never entered. A host is whoever
 *          stands on one of them: a fiber (in its frame) or a plain thread (thread-local). Parking on a strand parks the host: the
 *          scheduler keeps the host's stack pointer and does not care in which stack it points.
 * Rejected a fiber for each generator, resumed by wake-ups: a step would pass through queues (15 ns and more a switch against 2), could
 *          not run off a runtime, and weft_self() in a body would not be the resumer.
 * Owns     a strand owns its stack from open to close; the host's own strand stands for the stack it started on.
 * Rules    T1 one host at a time is on a strand; who may enter one is decided above (sched/task/gen.c, coro.c).
 *          T2 a strand that was left may be entered by another host, on another thread. What a host keeps (`strand` and what the layer
 *             above keeps) is read anew after each switch.
 *          T3 what the one that leaves has written, the one that goes on sees: they are one flow of control (TSan: an edge).
 * Tests    tests/seed, tests/core/overflow_test.cc
 */
#ifndef WF_SCHED_CORE_STRAND_H
#define WF_SCHED_CORE_STRAND_H

#include <stdbool.h>

#include "sched/base/sanitize.h"
#include "sched/core/context.h"
#include "sched/core/stack.h"

struct wf_strand;

/* Runs on the strand when it is first entered; returns where to go on when it has ended. */
typedef struct wf_strand *(*wf_strand_fn)(struct wf_strand *self);

struct wf_strand {
	void *sp; /* valid while nobody is on it */
	wf_strand_fn entry;
	struct wf_stack stack; /* low NULL: a host's own */
	bool fresh;	       /* not entered yet */
	bool canary; /* no guard: the word at its low end is checked whenever it is left */
#ifdef WF_ASAN
	void *asan_fake;    /* while nobody is on it */
	const void *bottom; /* of its stack */
	size_t bytes;
#endif
#ifdef WF_TSAN
	void *tsan;
#endif
};

struct weft_gen;
struct weft_coro;

/* Where a fiber or a plain thread stands. All zero: on its own stack. */
struct wf_host {
	struct wf_strand *strand; /* NULL: own */
	struct weft_gen *gen;	  /* the generator that runs innermost; sched/task/gen.c */
	struct weft_coro *coro;	  /* the current coroutine, NULL: main; sched/task/coro.c */
	struct weft_coro *main;	  /* NULL: nobody has asked for it yet */
	struct wf_strand own;
};

/* The caller's. The same for as long as the caller is on it: also after a park, not after wf_strand_switch. */
struct wf_host *wf_host(void);

/* In a child of fork, before the thread forgets its worker: what was its fiber's place is its own from now on. */
void wf_host_adopt(void);

/* Takes a stack: of the runtime's size on a fiber, else of the default size. 0 or -ENOMEM. */
int wf_strand_open(struct wf_strand *strand, wf_strand_fn entry);
/* Gives the stack back, as it stands; nobody is on it. */
void wf_strand_close(struct wf_strand *strand);

/* The strand that the host is on. */
static inline struct wf_strand *wf_host_strand(struct wf_host *host)
{
	return host->strand != NULL ? host->strand : &host->own;
}

/* switch.c: the caller's strand is left, `to` goes on. Returns when somebody, perhaps on another host, switches back. If `to` was left by
 * wf_strand_step_back, that returns `value`. */
void wf_strand_switch(struct wf_host *host, struct wf_strand *to, int value);

/* X6 of context.h: three switches for generators, each its function's last call. Not in the sanitizers' builds (WF_STRANDS_STEP): they have
 * something to do on arrival. */
#define WF_STRANDS_STEP (WF_STACK_SCALE == 1)
/* To a strand that was left by one of the other two. Returns what these are given, once it comes back. */
int wf_strand_step(struct wf_host *host, struct wf_strand *to);
/* Back to who stepped here, whose wf_strand_step returns `value`; *word is `mark` once this strand has been left. Returns 0. */
int wf_strand_step_back(
	struct wf_host *host, struct wf_strand *to, int value, wf_a32 *word, uint32_t mark);
/* The same, but call->fn(call) runs there first; what it returns, wf_strand_step does. */
int wf_strand_step_call(struct wf_host *host, struct wf_strand *to, struct wf_context_call *call);
struct wf_context_next wf_strand_main(void *came_from);

#endif
