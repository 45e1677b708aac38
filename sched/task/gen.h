/* SPDX-License-Identifier: MIT */
/* gen.h - a generator, and the chains that delegation makes of them
 *
 * What     A delegates to B, B to C: A, B and C are members of one chain, whose leaf C is the one that yields. Resuming A resumes C at
 *          once. Each member knows its chain and its place in it, the chain knows its leaf and from which place on it runs; so nothing
 *          of a resumption, nor of asking for a state, depends on the depth.
 * Rejected Python's way, each delegator resuming the next (1,000 deep: 1,000 resumptions a value); searching the leaf from the top, and
 *          the running call from a member (states and -EBUSY would cost the depth); a counter or a mark in each delegator (the same).
 * Owns     a generator owns its strand while its body has begun and not ended. `references`: its user's, and one for each generator that
 *          delegates to it.
 * Rules    G1 state: only who has changed it to RUNNING runs its body, and only it changes it back. A delegator's state stays DELEGATING
 *             while the chain below it runs: it counts as RUNNING when the chain runs from its place or above.
 *          G2 a leaf's own state is the truth about the leaf, and says whether chain.from means something: only while the leaf is REACHED, or
 *             DELEGATING (G5). So a yield is one store, and a leaf may be called without a look at its chain.
 *          G3 chain, place, up, and sub of a delegator change under the chain's lock. Chains are never given back to the allocator, so
 *             whoever has read a member's chain may lock it and look whether it is still the member's.
 *          G4 each generator that has ever delegated has brought one chain: it is in use if the generator is the top of a chain, and its
 *             `spare` otherwise. So cutting a chain in two needs no memory.
 *          G5 a generator may be the sub of several; it is a member of the chain of the last that reached it. A leaf that is DELEGATING
 *             has a sub elsewhere, or one that has ended.
 *          G6 a member whose chain is NULL although it is DELEGATING is being moved by a call that runs it: it counts as RUNNING.
 * Order    GE-1 state: to SUSPENDED, DELEGATING or CLOSED (release) -> to RUNNING (acq_rel cas), or the load (acquire): carries the strand
 *               and all fields.
 *          GE-2 chain: store (release) -> load (acquire): carries the chain.
 *          GE-3 references: each decrement (acq_rel) -> the last one: carries the generator's fields.
 * Tests    tests/seed, tests/seed_diff
 */
#ifndef WF_SCHED_TASK_GEN_H
#define WF_SCHED_TASK_GEN_H

#include <weft/gen.h>

#include "sched/base/lock.h"
#include "sched/core/strand.h"

/* The states of gen.h, where RUNNING is: called itself; and: */
#define WF_GEN_DELEGATING 4u
#define WF_GEN_REACHED 5u /* running, reached through its chain from chain.from on */

#define WF_CHAIN_IDLE UINT64_MAX

struct wf_chain {
	wf_lock lock;
	struct weft_gen *leaf;
	uint64_t from;	       /* members from this place on are running; WF_CHAIN_IDLE: none */
	struct wf_chain *next; /* in the free list */
};

/* Why a body, or an iterable's function, has given control back. */
enum wf_gen_why {
	WF_GEN_YIELDS,
	WF_GEN_DELEGATES, /* to `value` */
	WF_GEN_ENDS,	  /* code 0: returned `value`; else an error and its payload */
	WF_GEN_PASSES,	  /* it is what it was; code and value are for who resumed it */
};

struct wf_gen_out {
	enum wf_gen_why why;
	int code;
	void *value;
};

struct weft_gen {
	wf_a32 state;
	wf_a32 references;
	bool iterable;	    /* no strand: `iter` */
	bool begun;	    /* was resumed */
	bool primed;	    /* by weft_gen_new_primed, and not resumed since */
	bool just_closed;   /* iterable: nothing was asked of it since its close */
	int code;	    /* what its yield or delegation returns */
	void **sent;	    /* where it wants the value; NULL: nowhere */
	struct wf_stepped { /* resumed by step(), gen.c */
		struct wf_context_call after;
		bool on;
		void **out;
		struct weft_gen *root, *outer;
	} step;
	struct wf_gen_out out;
	struct wf_strand *resumer; /* where it gives control back to */
	int raised;		   /* weft_gen_raise; its address is what that returns */
	void *payload;
	int error; /* why it was closed, weft_gen_error */
	void *error_payload;
	void *unwanted; /* an *out that nobody asked for */
	union {
		struct {
			weft_fn body;
			void *arg;
		};
		weft_iter iter;
	};
	/* G3 */
	wf_aptr chain; /* GE-2 */
	uint64_t place;
	struct weft_gen *up;	/* the member that delegates to this one; NULL: the top */
	struct weft_gen *sub;	/* DELEGATING: to whom */
	struct wf_chain *spare; /* G4 */
	struct wf_strand strand;
};

enum wf_claim {
	WF_CLAIM_OK,
	WF_CLAIM_CLOSED,
	WF_CLAIM_BUSY,
};

/* Who is to be resumed, RUNNING, and what he finds. */
struct wf_reached {
	struct weft_gen *gen;
	bool alone; /* its delegation is over: the sub had ended (code 0), or cannot be resumed (code) */
	bool no_send; /* and was an iterable without send */
	int code;
};

/* Takes the right to run `gen`, and with it all it delegates to. */
enum wf_claim wf_chain_claim(struct weft_gen *gen, struct wf_reached *reached);
/* The running `gen` begins to delegate to `sub`, and who is innermost then is reached. -ENOMEM: nothing has changed. */
int wf_chain_delegate(struct weft_gen *gen, struct weft_gen *sub, struct wf_reached *reached);
/* The running leaf, and all through which it was reached, is suspended. */
void wf_chain_suspend(struct weft_gen *leaf);
/* The running leaf leaves its chain, CLOSED, or as it was. Returns its delegator, now RUNNING, if the call came through it. */
struct weft_gen *wf_chain_leave(struct weft_gen *leaf, bool ended, bool called);
/* The running `target`, or what it delegates to down to the running `leaf`, is suspended and cut off its delegator, who is returned RUNNING. */
struct weft_gen *wf_chain_cut(struct weft_gen *target, struct weft_gen *leaf);
/* A suspended delegator stops delegating and becomes RUNNING, if it still is one. */
void wf_chain_abandon(struct weft_gen *gen);
/* Is the call that runs now going through the delegator? */
bool wf_chain_runs(struct weft_gen *gen);
void wf_chain_free(struct wf_chain *chain);

void wf_gen_unref(struct weft_gen *gen);

static inline uint32_t wf_gen_idle_state(const struct weft_gen *gen)
{
	return gen->begun ? WEFT_GEN_SUSPENDED : WEFT_GEN_CREATED;
}

#endif
