/* SPDX-License-Identifier: MIT */
/* chain.c - chains of delegating generators, see gen.h */
#include <errno.h>
#include <pthread.h>

#include "sched/base/alloc.h"
#include "sched/core/worker.h"
#include "sched/task/gen.h"

/* Free chains, by worker, so that workers do not meet here. G3: never given back to the allocator. */
#define SHARDS 64u
static struct shard {
	_Alignas(WF_CACHE_LINE) wf_lock lock;
	struct wf_chain *free;
} shards[SHARDS];

static struct shard *shard_here(void)
{
	const struct wf_worker *w = wf_self();
	return &shards[w != NULL ? w->index % SHARDS : SHARDS - 1];
}

static void hold_shards(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		wf_lock_acquire(&shards[i].lock);
}

static void let_shards(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		wf_lock_release(&shards[i].lock);
}

/* A child made by fork() has the generators (sched/core/fork.c), so no other thread is at a shard then. */
static void hold_at_forks(void)
{
	static wf_a32 installed;
	if (WF_UNLIKELY(wf_load_rlx32(&installed) == 0) && /* rlx: the swap decides */
		wf_swap_sc32(&installed, 1) == 0)
		pthread_atfork(hold_shards, let_shards, let_shards);
}

static struct wf_chain *chain_new(void)
{
	hold_at_forks();
	struct shard *shard = shard_here();
	wf_lock_acquire(&shard->lock);
	struct wf_chain *chain = shard->free;
	if (chain != NULL)
		shard->free = chain->next;
	wf_lock_release(&shard->lock);
	return chain != NULL ? chain : wf_alloc_lines(sizeof(*chain));
}

void wf_chain_free(struct wf_chain *chain)
{
	if (chain == NULL)
		return;
	struct shard *shard = shard_here();
	wf_lock_acquire(&shard->lock);
	chain->next = shard->free;
	shard->free = chain;
	wf_lock_release(&shard->lock);
}

static uint32_t state_of(const struct weft_gen *gen)
{
	return wf_load_acq32(&gen->state); /* GE-1 */
}

static void set_state(struct weft_gen *gen, uint32_t state)
{
	wf_store_rel32(&gen->state, state); /* GE-1 */
}

/* From CREATED or SUSPENDED. */
static bool take(struct weft_gen *gen, uint32_t state, uint32_t running)
{
	return wf_cas_acq_rel32(&gen->state, &state, running); /* GE-1 */
}

static bool is_running(uint32_t state)
{
	return state == WEFT_GEN_RUNNING || state == WF_GEN_REACHED;
}

static void set_chain(struct weft_gen *gen, struct wf_chain *chain)
{
	wf_store_relp(&gen->chain, chain); /* GE-2 */
}

/* The member's chain, locked; NULL: it is in none. */
static struct wf_chain *lock_chain(struct weft_gen *gen)
{
	for (;;) {
		struct wf_chain *chain = wf_load_acqp(&gen->chain); /* GE-2 */
		if (chain == NULL)
			return NULL;
		wf_lock_acquire(&chain->lock);
		if (wf_load_rlxp(&gen->chain) == chain) /* rlx: under the lock that it changes under */
			return chain;
		wf_lock_release(&chain->lock);
	}
}

/* From which place on the chain runs (G2). */
static uint64_t runs_from(const struct wf_chain *chain)
{
	uint32_t state = state_of(chain->leaf);
	return state == WF_GEN_REACHED || state == WF_GEN_DELEGATING ? chain->from : WF_CHAIN_IDLE;
}

/* A generator that is in no chain and has a spare becomes the top and leaf of it, under its lock. */
static struct wf_chain *open_chain(struct weft_gen *gen)
{
	struct wf_chain *chain = gen->spare;
	wf_lock_acquire(&chain->lock);
	gen->spare = NULL;
	gen->place = 0;
	chain->leaf = gen;
	chain->from = WF_CHAIN_IDLE;
	set_chain(gen, chain);
	return chain;
}

/* `gen` and all below leave for a chain of their own; the rest ends with its delegator, whose sub it still is. */
static void split_locked(struct wf_chain *chain, struct weft_gen *gen)
{
	struct weft_gen *leaf = chain->leaf;
	struct wf_chain *own = NULL;
	uint64_t from = runs_from(chain);
	chain->leaf = gen->up;
	gen->up = NULL;
	if (leaf != gen || state_of(gen) == WF_GEN_DELEGATING) {
		own = gen->spare; /* G4 */
		WF_CHECK(own != NULL);
		gen->spare = NULL;
		/* Nobody knows it yet, but somebody may still be letting it go (G3). */
		wf_lock_acquire(&own->lock);
		own->leaf = leaf;
		own->from = from >= gen->place ? from : WF_CHAIN_IDLE;
	}
	for (struct weft_gen *member = leaf;; member = member->up) {
		set_chain(member, own);
		if (member == gen)
			break;
	}
	if (own != NULL)
		wf_lock_release(&own->lock);
}

/* The leaf, a delegator, goes on by itself. Returns the sub that the caller has to unref when it has let go of the lock. */
static struct weft_gen *end_delegation_locked(struct wf_chain *chain, struct weft_gen *leaf)
{
	struct weft_gen *sub = leaf->sub;
	leaf->sub = NULL;
	if (leaf->up == NULL) { /* alone: a generator that does not delegate needs no chain */
		chain->leaf = NULL;
		leaf->spare = chain;
		set_chain(leaf, NULL);
	}
	set_state(leaf, WF_GEN_REACHED);
	return sub;
}

/* The leaf's sub cannot be resumed, or has ended: the leaf itself is reached. Lets go of the lock. */
static void reach_alone(struct wf_chain *chain, struct weft_gen *leaf, int code, struct wf_reached *reached)
{
	struct weft_gen *sub = end_delegation_locked(chain, leaf);
	wf_lock_release(&chain->lock);
	bool no_send = sub->iterable && sub->iter.send == NULL;
	*reached = (struct wf_reached){.gen = leaf, .alone = true, .no_send = no_send, .code = code};
	wf_gen_unref(sub);
}

/* The running part of a chain begins below the member that was called: the delegator above that part finds its sub busy. */
static void reach_above_running(struct wf_chain *chain, struct weft_gen *called, struct wf_reached *reached)
{
	struct weft_gen *first = chain->leaf;
	while (first->place != chain->from)
		first = first->up;
	struct weft_gen *above = first->up;
	split_locked(chain, first);
	chain->from = called->place;
	reach_alone(chain, above, -EBUSY, reached);
}

/* `gen`, the top of what is below it and marked as running, becomes the sub of the leaf; both are the caller's. */
static void append(struct weft_gen *leaf, struct weft_gen *gen)
{
	struct weft_gen *last = gen;
	struct wf_chain *own = lock_chain(gen);
	uint64_t members = 1;
	if (own != NULL) {
		last = own->leaf;
		for (struct weft_gen *member = last; member != gen; member = member->up, members++)
			set_chain(member, NULL); /* G6 */
		set_chain(gen, NULL);
		own->leaf = NULL;
		gen->spare = own;
		wf_lock_release(&own->lock);
	}
	struct wf_chain *chain = lock_chain(leaf);
	gen->up = leaf;
	for (struct weft_gen *member = last; member != leaf; member = member->up, members--) {
		member->place = leaf->place + members;
		set_chain(member, chain);
	}
	chain->leaf = last;
	if (state_of(last) == WEFT_GEN_RUNNING)
		set_state(last, WF_GEN_REACHED);
	wf_lock_release(&chain->lock);
}

/* The leaf runs, but was not reached through its delegator. Lets go of the lock. */
static void reach_above_leaf(struct wf_chain *chain, struct wf_reached *reached)
{
	struct weft_gen *leaf = chain->leaf, *above = leaf->up;
	split_locked(chain, leaf);
	reach_alone(chain, above, -EBUSY, reached);
}

enum mark {
	MARKED, /* all from the member on is the caller's, and counts as running; the leaf's sub is elsewhere; the chain is locked */
	REACHED, /* the same, and it is known who goes on */
	BUSY,
	CHANGED, /* it is no delegator any more */
};

static enum mark mark_locked(struct wf_chain *chain, struct weft_gen *gen,
	struct wf_reached *reached, struct wf_chain **marked)
{
	struct weft_gen *leaf = chain->leaf;
	uint32_t state = state_of(leaf);
	if (state == WEFT_GEN_SUSPENDED || state == WEFT_GEN_CREATED) {
		chain->from = gen->place; /* counts once the leaf runs */
		if (!take(leaf, state, WF_GEN_REACHED)) {
			reach_above_leaf(chain, reached); /* somebody was quicker, who called the leaf itself */
			return REACHED;
		}
		wf_lock_release(&chain->lock);
		*reached = (struct wf_reached){.gen = leaf};
		return REACHED;
	}
	if (state == WEFT_GEN_RUNNING) {
		chain->from = gen->place;
		reach_above_leaf(chain, reached);
		return REACHED;
	}
	if (chain->from <= gen->place) {
		wf_lock_release(&chain->lock);
		return BUSY;
	}
	if (chain->from != WF_CHAIN_IDLE) {
		reach_above_running(chain, gen, reached);
		return REACHED;
	}
	chain->from = gen->place;
	*marked = chain;
	return MARKED;
}

static enum mark mark(struct weft_gen *gen, struct wf_reached *reached, struct wf_chain **marked)
{
	struct wf_chain *chain = lock_chain(gen);
	if (state_of(gen) != WF_GEN_DELEGATING) {
		if (chain != NULL)
			wf_lock_release(&chain->lock);
		return CHANGED;
	}
	return chain != NULL ? mark_locked(chain, gen, reached, marked) : BUSY; /* G6 */
}

/* `gen`, which is the caller's with all below it, leaves what is above it. */
static void split_off(struct weft_gen *gen)
{
	struct wf_chain *chain = lock_chain(gen);
	if (chain == NULL)
		return;
	if (gen->up != NULL) {
		split_locked(chain, gen);
		chain->from = WF_CHAIN_IDLE;
	}
	wf_lock_release(&chain->lock);
}

/* The sub of the leaf, elsewhere (G5), is brought into the leaf's chain. False: *reached says who goes on. */
static bool fetch_sub(struct weft_gen *leaf, struct weft_gen *sub, struct wf_reached *reached)
{
	for (;;) {
		uint32_t state = state_of(sub);
		enum mark how;
		struct wf_chain *marked;
		if (state == WEFT_GEN_CLOSED || is_running(state)) {
			reach_alone(lock_chain(leaf), leaf, state == WEFT_GEN_CLOSED ? 0 : -EBUSY,
				reached);
			return false;
		}
		if (state == WF_GEN_DELEGATING)
			how = mark(sub, reached, &marked);
		else
			how = take(sub, state, WEFT_GEN_RUNNING) ? REACHED : CHANGED;
		if (how == CHANGED)
			continue;
		if (how == BUSY) {
			reach_alone(lock_chain(leaf), leaf, -EBUSY, reached);
			return false;
		}
		if (state != WF_GEN_DELEGATING)
			*reached = (struct wf_reached){.gen = sub};
		if (how == MARKED)
			wf_lock_release(&marked->lock);
		split_off(sub);
		append(leaf, sub);
		return how == MARKED;
	}
}

/* In this chain all from `gen` on is the caller's, and its leaf's sub is elsewhere: who goes on? Lets go of the lock. */
static void resolve(struct wf_chain *chain, struct weft_gen *gen, struct wf_reached *reached)
{
	struct weft_gen *leaf, *sub;
	do {
		leaf = chain->leaf;
		sub = leaf->sub;
		wf_lock_release(&chain->lock);
	} while (fetch_sub(leaf, sub, reached) && (chain = lock_chain(gen)) != NULL);
}

enum wf_claim wf_chain_claim(struct weft_gen *gen, struct wf_reached *reached)
{
	struct wf_chain *chain;
	for (;;) {
		uint32_t state = state_of(gen);
		if (state == WEFT_GEN_CLOSED)
			return WF_CLAIM_CLOSED;
		if (is_running(state))
			return WF_CLAIM_BUSY;
		if (state != WF_GEN_DELEGATING) {
			*reached = (struct wf_reached){.gen = gen};
			if (WF_LIKELY(take(gen, state, WEFT_GEN_RUNNING)))
				return WF_CLAIM_OK;
			continue;
		}
		switch (mark(gen, reached, &chain)) {
		case MARKED:
			resolve(chain, gen, reached);
			return WF_CLAIM_OK;
		case REACHED:
			return WF_CLAIM_OK;
		case BUSY:
			return WF_CLAIM_BUSY;
		case CHANGED:
			break;
		}
	}
}

int wf_chain_delegate(struct weft_gen *gen, struct weft_gen *sub, struct wf_reached *reached)
{
	if (gen->spare == NULL) /* G4 */
		gen->spare = chain_new();
	if (gen->spare == NULL)
		return -ENOMEM;
	struct wf_chain *chain = lock_chain(gen);
	if (chain == NULL)
		chain = open_chain(gen);
	wf_add_acq_rel32(&sub->references, 1); /* GE-3 */
	gen->sub = sub;
	if (state_of(gen) == WEFT_GEN_RUNNING || chain->from > gen->place)
		chain->from = gen->place;
	set_state(gen, WF_GEN_DELEGATING);
	resolve(chain, gen, reached);
	return 0;
}

void wf_chain_suspend(struct weft_gen *leaf)
{
	set_state(leaf, wf_gen_idle_state(leaf));
}

struct weft_gen *wf_chain_leave(struct weft_gen *leaf, bool ended, bool called)
{
	struct wf_chain *chain = lock_chain(leaf);
	uint32_t state = ended ? WEFT_GEN_CLOSED : wf_gen_idle_state(leaf);
	if (chain == NULL) {
		set_state(leaf, state);
		return NULL;
	}
	struct weft_gen *above = leaf->up, *sub = NULL;
	split_locked(chain, leaf);
	if (called)
		sub = end_delegation_locked(chain, above);
	else
		chain->from = WF_CHAIN_IDLE;
	set_state(leaf, state);
	wf_lock_release(&chain->lock);
	if (sub != NULL)
		wf_gen_unref(sub);
	return called ? above : NULL;
}

struct weft_gen *wf_chain_cut(struct weft_gen *target, struct weft_gen *leaf)
{
	struct wf_chain *chain = lock_chain(leaf);
	struct weft_gen *above = target->up;
	split_locked(chain, target);
	struct weft_gen *sub = end_delegation_locked(chain, above);
	set_state(leaf, wf_gen_idle_state(leaf));
	wf_lock_release(&chain->lock);
	wf_gen_unref(sub);
	return above;
}

void wf_chain_abandon(struct weft_gen *gen)
{
	struct wf_chain *chain = lock_chain(gen);
	if (chain == NULL)
		return;
	struct weft_gen *sub = NULL;
	if (state_of(gen) == WF_GEN_DELEGATING) {
		if (chain->leaf != gen)
			split_locked(chain, gen->sub);
		sub = end_delegation_locked(chain, gen);
		chain->from = WF_CHAIN_IDLE;
	}
	wf_lock_release(&chain->lock);
	if (sub != NULL)
		wf_gen_unref(sub);
}

bool wf_chain_runs(struct weft_gen *gen)
{
	struct wf_chain *chain = lock_chain(gen);
	if (chain == NULL)
		return state_of(gen) == WF_GEN_DELEGATING; /* G6 */
	bool runs = runs_from(chain) <= gen->place;
	wf_lock_release(&chain->lock);
	return runs;
}
