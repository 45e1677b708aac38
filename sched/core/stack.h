/* SPDX-License-Identifier: MIT */
/* stack.h - memory of the fibers' stacks
 *
 * What     slots of one size class lie side by side in slabs: [guard page][usable bytes][top page]. The top page holds the fiber's frame
 *          (fiber.h) and the cache colouring, so the usable size is whole. Pages are committed when touched. Guards come from
 *          MADV_GUARD_INSTALL (no mapping of its own: 200,000 stacks are one mapping); where the kernel lacks it, from
 *          mprotect for the first 28,000 and then a word at the low end that is checked at every park and at the end.
 * Owns     all slabs, for the life of the process; workers keep caches of warm slots of their runtime's default class.
 * Rules    K1 a promise is a slot set aside in the shared pool: free slots >= promises. A spawn takes a promise, so that taking the
 *             stack later, on any worker, cannot fail.
 *          K2 a slot is handed out last in, first out: it is warm.
 *          K3 memory goes back to the system only from idle workers (wf_stack_trim), never on the way of an ending fiber.
 *          K4 the address ranges of slabs are kept in a table that a signal handler may read.
 * Order    ST-1 the table's count (release) -> the handler's load (acquire): carries the entry.
 * Tests    tests/core/stack_test.cc
 */
#ifndef WF_SCHED_CORE_STACK_H
#define WF_SCHED_CORE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/base/limits.h"
#include "sched/base/lock.h"

struct wf_worker;

struct wf_stack {
	char *low;     /* first usable byte; NULL: none */
	uint16_t pool; /* index of its pool */
	uint16_t color;
};

enum wf_guard {
	WF_GUARD_INSTALL, /* MADV_GUARD_INSTALL */
	WF_GUARD_MPROTECT,
	WF_GUARD_WORDS, /* no page: a checked word */
};

/* A worker's cache: its runtime's default class only. */
struct wf_stack_cache {
	uint32_t count; /* warm slots, from `oldest` on, wrapping */
	uint32_t oldest;
	uint32_t promises; /* slots of the shared pool set aside for this worker's spawns */
	char *slot[WF_STACK_CACHE];
};

/* The pool of a size: index, or -EINVAL (out of range). Sizes are rounded up to a power of two. */
int wf_stack_pool(size_t size);
int wf_stack_pool_small(void);
size_t wf_stack_usable(uint32_t pool);

/* A promise for one stack of the worker's default class; 0 or -ENOMEM. */
int wf_stack_promise(struct wf_worker *w);
void wf_stack_unpromise(struct wf_worker *w);
/* A promise from a thread without a worker, into the given pool. */
int wf_stack_promise_shared(uint32_t pool);
/* Redeems one promise. Cannot fail (K1). */
void wf_stack_take(struct wf_worker *w, struct wf_stack *stack);
/* Any size, directly from its pool; 0 or -ENOMEM. */
int wf_stack_take_sized(uint32_t pool, struct wf_stack *stack);
/* The stack of an ended fiber; the caller runs on another one. */
void wf_stack_give(struct wf_worker *w, struct wf_stack *stack);
/* The same from a thread without a worker: to the pool it came from. */
void wf_stack_give_sized(struct wf_stack *stack);

/* Gives the worker's cache back to the pool. */
void wf_stack_cache_flush(struct wf_worker *w);
/* Returns up to `most` free slots' memory to the system. False: nothing was left to return. */
bool wf_stack_trim(uint32_t most);

/* The 16-byte aligned address below which the fiber's own frames go, and the fiber's frame above it. */
void *wf_stack_top(const struct wf_stack *stack);
void *wf_stack_frame(const struct wf_stack *stack);
bool wf_stack_has_canary(const struct wf_stack *stack);
/* Aborts with the overflow line when the word at the low end has gone. */
bool wf_stack_canary_intact(const struct wf_stack *stack);

/* Are all slabs inherited by a child of fork? Not from the start, and not in the sanitizers' builds, where they always are. */
void wf_stack_inherit(bool inherit);
/* Around a fork: no other thread is at the pools then, and the child finds them whole. Both sides let go. */
void wf_stack_hold_pools(void);
void wf_stack_let_pools(void);

/* For the fault handler: is the address in the guard of some slot? Async-signal-safe. */
bool wf_stack_is_guard(const void *address);

struct wf_stack_stats {
	uint64_t slots;
	uint64_t bytes;
	uint64_t unguarded;
};
void wf_stack_stats(struct wf_stack_stats *stats);

/* Tests only: the guard for slabs mapped from now on. */
void wf_stack_force_guard(enum wf_guard guard);

#endif
