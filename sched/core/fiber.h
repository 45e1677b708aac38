/* SPDX-License-Identifier: MIT */
/* fiber.h - the fiber control block, its handle, and its life word
 *
 * What     128 bytes a fiber, outside its stack, in slabs that are never unmapped: a stale handle or a late waker always reads
 *          a valid block, and the generation tells it that it is late. What only a started fiber needs (struct wf_frame) lies at the
 *          top of its stack, on a page that is touched anyway.
 * Owns     the table of slabs and the shared free list; workers keep caches of free blocks.
 * Rules    F1 generation and state bits share one word, so no bit is ever set on another incarnation.
 *          F2 a block goes back to a cache only when ENDED and (DETACHED or the join has taken the result); the
 *             generation grows there, and only there.
 *          F3 `word` (ticket.h) never goes back, across incarnations.
 *          F4 one owner at any time: the running worker, a queue, a wait list's waker that has won the ticket.
 *          F5 JOINER's fields are written between winning CLAIMED and setting JOINER.
 * Order    LF-1 life: the joiner's or'ed JOINER (sc) -> the ending fiber's or'ed ENDED (sc): carries the join fields.
 *          LF-2 life: ENDED (sc) -> the joiner's load (sc): carries the result.
 *          LF-3 handing a block out (generation + LIVE, sc) -> weft_cancel's cas. Pairs with WK-1 of ticket.h.
 *          LF-5 life: the number of islands (sc) and SCOPE change in one word: a walk sets SCOPE only where the number is its scope's; a fiber that
 *               leaves an island lowers it (sc), then loads the state of what it is in now (sc).
 *          LF-4 life: SCOPE (sc) after the scope's state (sc) -> the fiber's clearing of SCOPE (sc), then its load of the state (sc): a
 *               cancellation that comes while the bit is cleared is seen.
 * Tests    tests/core/fiber_test.cc, tests/core/handle_test.cc, tests/task/scope_test.cc
 */
#ifndef WF_SCHED_CORE_FIBER_H
#define WF_SCHED_CORE_FIBER_H

#include <weft/fiber.h>

#include "sched/base/check.h"
#include "sched/base/sanitize.h"
#include "sched/core/context.h"
#include "sched/core/stack.h"
#include "sched/core/strand.h"
#include "sched/core/ticket.h"
#include "sched/core/timer.h"

struct wf_runtime;
struct wf_worker;

/* Bits of the life word, below the generation. The interrupts come first. */
#define WF_LIFE_CANCEL                                                                             \
	UINT64_C(1) /* weft_cancel, or the runtime stops. Set by anybody, never cleared */
#define WF_LIFE_LATE                                                                               \
	UINT64_C(2) /* the fiber's deadline timer has fired. Cleared by the fiber when it moves the deadline */
#define WF_LIFE_CLOSE                                                                              \
	UINT64_C(4) /* weft_close of the descriptor it waits on. Cleared by the fiber when it leaves it */
#define WF_LIFE_LIVE UINT64_C(8) /* handed out, not yet recycled */
#define WF_LIFE_ENDED                                                                              \
	UINT64_C(16) /* the function has returned and the result is stored. Set by the fiber */
#define WF_LIFE_DETACHED UINT64_C(32)
#define WF_LIFE_CLAIMED UINT64_C(64) /* a join has the right to the result */
#define WF_LIFE_JOINER UINT64_C(128) /* and waits: see join_* */
#define WF_LIFE_RELEASED                                                                           \
	UINT64_C(256) /* the ended fiber has lost the joiner's ticket and reads the block no more */
#define WF_LIFE_SCOPE                                                                              \
	UINT64_C(512) /* a scope that it is in was cancelled, or is late: see reach. Cleared by the fiber when nothing is in force */
#define WF_LIFE_SCOPES UINT64_C(1024) /* has scopes of its own open */
#define WF_LIFE_SCOPED UINT64_C(2048) /* the child of a scope. With LIVE */
/* How many scopes it has open that were opened under a shield: what comes from outside the innermost of them does not set SCOPE. */
#define WF_LIFE_ISLAND UINT64_C(0x1000)
#define WF_LIFE_ISLANDS (UINT64_C(0xfff) * WF_LIFE_ISLAND)
/* Counts the deadline's timers that may be on their way although the deadline was moved: a timer of another number does not set LATE. */
#define WF_LIFE_EPOCH UINT64_C(0x1000000)
#define WF_LIFE_EPOCHS (UINT64_C(0xff) * WF_LIFE_EPOCH)
#define WF_LIFE_INTERRUPTS (WF_LIFE_CANCEL | WF_LIFE_LATE | WF_LIFE_CLOSE | WF_LIFE_SCOPE)
#define WF_GENERATION_SHIFT 32

/* Flags of the block: the attributes, and: */
#define WF_FIBER_CANARY                                                                            \
	0x100u /* its stack has no guard: the word at its low end is checked at every park */
#define WF_FIBER_SHIELD                                                                            \
	0x200u /* cancellation is deferred, and all that comes from scopes; only the fiber itself changes it */
#define WF_FIBER_SHELTER                                                                           \
	0x2000u /* in a scope that was opened under a shield: what comes from outside it is deferred */
#define WF_FIBER_FELT_CANCEL                                                                       \
	0x4000u /* a call of this child failed for the cancellation of its scope */
#define WF_FIBER_FELT_LATE 0x8000u /* or for its deadline */
#define WF_FIBER_STACK 0x400u  /* the stack was taken at spawn (not the runtime's default size) */
#define WF_FIBER_FRESH 0x1000u /* its first switch is still to come */
#define WF_FIBER_HOMED 0x800u  /* pinned and started: `home` is valid */

#define WF_NO_FIBER 0u /* index 0 is never handed out */

/* What a scope (sched/task/scope.c) shows to those that are in it. */
struct wf_reach {
	wf_a32 state; /* WF_REACH_*; only grows while the scope is open */
	weft_ns deadline; /* the soonest of the scope and those around it that reach into it; constant */
};
#define WF_REACH_CANCELLED 1u /* itself */
#define WF_REACH_FAILED 2u    /* a child returned an error */
#define WF_REACH_OUTSIDE 4u   /* a scope around it is, or its opener was when it opened the scope */
#define WF_REACH_ANY (WF_REACH_CANCELLED | WF_REACH_FAILED | WF_REACH_OUTSIDE)

#define WF_HOLDS 4u /* read locks that are remembered, sched/sync/rwlock.c */
struct wf_holds {
	void *lock[WF_HOLDS];
	uint32_t more; /* beyond those */
};

/* Lives at the top of a started fiber's stack. */
struct wf_frame {
	weft_ns deadline;	/* the fiber's own; WEFT_FOREVER: none */
	bool deadline_armed;	/* its timer was armed, and not taken back before it fired */
	weft_ns scope_deadline; /* of reach; WEFT_FOREVER: none */
	weft_ns wait_since;	/* these four say what it waits for while it is parked: waiting.h */
	weft_ns wait_deadline;	/* of the wait itself; WEFT_FOREVER: none */
	const void *wait_object; /* of a kind's own type, or NULL */
	uint32_t wait_kind;	 /* enum wf_wait_kind */
	struct wf_reach *reach;	 /* the innermost scope it is in; NULL: none */
	struct wf_scope *scope;	 /* the innermost it has open itself; under its shard, scope.c */
	const void *scope_site;	 /* return address of the call that opened that one */
	struct wf_timer timer;	 /* armed while a deadline is set */
	struct wf_local *locals; /* fiber-local storage, sched/task/local.c */
	uint32_t local_count;
	struct wf_host host; /* the generator or coroutine it is in */
	struct wf_holds holds;
	void *op;		  /* the engine's operation while parked with WF_PARK_OP */
	void *asan_fake;	  /* ASan's fake stack while the fiber is away */
	wf_fp_env fp;		  /* WEFT_FP_ENV fibers, while away */
	char name[WF_NAME_BYTES]; /* copied from the attribute or weft_set_name; "" if none */
};

struct wf_fiber {
	/* What a waker touches: one line. */
	wf_a64 word; /* ticket.h */
	wf_a64 life; /* {generation:32, bits:32} */
	void *sp; /* valid while the fiber is not running; before the start: its name (wf_alloc, WF_NAME_BYTES) or NULL */
	struct wf_runtime *rt; /* constant while LIVE */
	uint32_t next;	/* link of the queue it is in, or of a free list. w: that queue's owner */
	uint32_t index; /* constant */
	uint32_t flags; /* w: the fiber, before start its creator */
	uint32_t home;	/* pinned: the worker it belongs to, once started */
	int wake_code;	/* w: the winner of the ticket */
	union {
		uint32_t join_index; /* F5 */
		uint32_t scope_next; /* SCOPED: the next child, under the scope's lock */
	};
	union {
		uint64_t join_ticket;	/* F5 */
		struct wf_reach *scope; /* SCOPED: its scope; constant */
	};
	/* What running touches. */
	weft_fn fn;
	void *arg; /* the argument, later the result */
	struct wf_stack stack;
	struct wf_frame *frame; /* NULL before the start */
	const void *site; /* return address of the spawning call; of weft_run's first fiber, its function */
	/* A cancel request on its way to the owner of the ring (request box, worker.h). */
	wf_a32 op_thread; /* thread slot + 1 whose engine holds the operation; w: that thread's commit */
	wf_a32 boxed;	     /* 1: linked in some box */
	uint32_t box_next;   /* w: the box's pusher, then its owner */
	uint32_t scope_prev; /* as scope_next */
#ifdef WF_TSAN
	_Alignas(WF_CACHE_LINE) void *tsan;
#endif
};
#ifndef WF_TSAN
_Static_assert(sizeof(struct wf_fiber) == 2 * WF_CACHE_LINE, "a control block is two cache lines");
#endif
_Static_assert(offsetof(struct wf_fiber, fn) == WF_CACHE_LINE, "what a waker touches is the first");

WF_OWNER_CODE_BEGIN
/* TSan's context of a fiber, made by the spawner: the edge from spawn to start. */
static inline void *wf_fiber_tsan(const struct wf_fiber *fiber)
{
#ifdef WF_TSAN
	return fiber->tsan;
#else
	(void)fiber;
	return NULL;
#endif
}

static inline void wf_fiber_tsan_make(struct wf_fiber *fiber)
{
#ifdef WF_TSAN
	fiber->tsan = wf_tsan_create();
#else
	(void)fiber;
#endif
}

WF_OWNER_CODE_END

/* The table. */
struct wf_fiber *wf_fiber_at(uint32_t index); /* any index ever handed out */
uint32_t wf_fiber_table_size(void);	      /* indices below it exist */

/* A free block for `w` (NULL: a thread that is no worker), FREE and not LIVE. NULL and *error when there is none. */
struct wf_fiber *wf_fiber_take(struct wf_worker *w, int *error);
/* F2: grows the generation and gives the block to w's cache (NULL: to the shared list). */
void wf_fiber_recycle(struct wf_worker *w, struct wf_fiber *fiber);
/* Gives a worker's whole cache back to the shared list. */
void wf_fiber_cache_flush(struct wf_worker *w);

/* Handles: {generation, index} in a pointer, never dereferenced. */
static inline uint32_t wf_fiber_generation(uint64_t life)
{
	return (uint32_t)(life >> WF_GENERATION_SHIFT);
}

static inline weft_fiber *wf_fiber_handle(const struct wf_fiber *fiber)
{
	uint64_t life = wf_load_rlx64(&fiber->life); /* rlx: the caller holds the fiber, its generation is constant */
	return (weft_fiber *)(uintptr_t)((life >> WF_GENERATION_SHIFT) << 32 | fiber->index);
}

/* The block of a handle, or NULL when the handle was never one; the generation may still be stale: compare it in a cas. */
struct wf_fiber *wf_fiber_of_handle(const weft_fiber *handle, uint32_t *generation);

/* One transition of the life word: sets `set` where the generation matches, the block is LIVE and none of `unless` is set.
 * Returns the word before, through *before; false when the condition did not hold. Seq_cst (WK-1.3, LF-1, LF-2). */
static inline bool wf_life_set(struct wf_fiber *fiber, uint32_t generation, uint64_t set,
	uint64_t unless, uint64_t *before)
{
	uint64_t life = wf_load_sc64(&fiber->life);
	do {
		*before = life;
		if (wf_fiber_generation(life) != generation || !(life & WF_LIFE_LIVE) || (life & unless))
			return false;
	} while (!wf_cas_sc64(&fiber->life, &life, life | set));
	return true;
}

/* Writes "fiber=ID "name"" for messages; returns the length. Async-signal-safe. */
int wf_fiber_describe(const struct wf_fiber *fiber, char *buffer, size_t size);

#endif
