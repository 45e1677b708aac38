/* SPDX-License-Identifier: MIT */
/* view.h - a snapshot of any fiber, taken while everything runs
 *
 * What     what reports say of a fiber: who it is, its state, what it waits for, where its registers lie.
 * Rules    VW1 control blocks are never unmapped: their words are loaded as anybody loads them. All else (frame, objects, names) is copied by the kernel
 *             (sched/base/peek.h): it may be anything by then, but it cannot fault, and TSan sees no access.
 *          VW2 what was copied counts only if the life word's generation is the same after as before; what a wait is about, only if the
 *             ticket word is: a fiber that is parked by the same ticket has not run in between.
 *          VW3 no locks, no allocation, at most 1 KiB of stack; errno is left alone. Any thread, also one that others have stopped in the middle of something.
 *          VW4 the runtime's own words are read while it is held (wf_runtime_hold): its fiber may be gone, and another runtime stand in its place.
 * Order    TK-1 of ticket.h: PARKED -> the load of the word before the copy.
 * Tests    tests/obs/view_test.cc
 */
#ifndef WF_SCHED_OBS_VIEW_H
#define WF_SCHED_OBS_VIEW_H

#include "sched/core/runtime.h"
#include "sched/core/waiting.h"

enum wf_view_state {
	WF_VIEW_UNSTARTED,
	WF_VIEW_READY,
	WF_VIEW_RUNNING, /* on a worker, or about to: what the workers call `current` tells; or in a queue since it gave way */
	WF_VIEW_PARKED,
	WF_VIEW_ENDED, /* and not joined */
	WF_VIEW_STATES,
};

struct wf_view {
	uint32_t index;
	uint64_t id;   /* as weft_id */
	uint64_t life; /* the two words, as they were */
	uint64_t word;
	enum wf_view_state state;
	uint32_t flags;
	uint32_t home; /* the worker it is pinned to; UINT32_MAX: none */
	const struct wf_fiber *fiber;
	struct wf_runtime *rt;
	const void *site;
	weft_fn fn;
	const struct wf_reach *child_of; /* the scope whose child it is; NULL: none */
	char name[WF_NAME_BYTES];	 /* "" also where it could not be read */
	/* The rest is of a parked fiber; all zero where `waits` is false: not parked, or it went on meanwhile. */
	bool waits;
	enum wf_wait_kind kind;
	const void *object;
	weft_ns since;
	weft_ns deadline; /* when time ends the wait, by itself or by a deadline that it does not defer; WEFT_FOREVER: never */
	const void *sp;	  /* its registers (context.h) */
	const char *stack_low, *stack_high; /* of the stack that sp points into */
	bool on_strand;			    /* that is a generator's or a coroutine's */
};

/* Of the block `index`, if a fiber of rt (NULL: of any runtime) lives in it now. */
bool wf_view_take(uint32_t index, struct wf_runtime *rt, struct wf_view *view);
/* Is it still parked where the snapshot has found it? */
bool wf_view_holds(const struct wf_view *view);
/* Whom it waits for: the number of the holder (wait.h) of a lock, of the fiber that is joined, of one of a scope's children; 0: nobody alone, or not
 * known. */
uint64_t wf_view_waits_for(const struct wf_view *view);
/* A fiber's number as holder, and back: false if there is no such fiber now. */
uint64_t wf_view_holder(const struct wf_view *view);
bool wf_view_of_holder(uint64_t holder, struct wf_view *view);

/* Words; all return the length. */
const char *wf_view_state_word(enum wf_view_state state);
/* fiber=17 "name" */
int wf_view_describe(const struct wf_view *view, char *buffer, size_t size);
/* The same of a holder, also where it is a thread or gone. */
int wf_view_describe_holder(uint64_t holder, char *buffer, size_t size);
/* "receives from channel 0x5560 (capacity 0, nobody sends)"; what the kind alone says where the fiber has gone on. */
int wf_view_describe_wait(const struct wf_view *view, char *buffer, size_t size);
/* Where it was spawned: "main+0x30 (bank)". */
int wf_view_describe_site(const struct wf_view *view, char *buffer, size_t size);
/* "3.2 s" */
int wf_view_describe_time(weft_ns duration, char *buffer, size_t size);

#endif
