/* SPDX-License-Identifier: MIT */
/* pick.c - which fiber runs next, and where work is looked for when there is none
 *
 * What     the order: the fiber woken by the running one (at most three in a row), then by turns the woken (first come first served) and
 *          the unstarted (newest first, now and then the oldest), the pinned, and every 61st pick the injection queue first.
 * Rules    P1 every queue gets a bounded share: of four picks one begins with the deque or the pinned list, by turns (a pinned fiber that
 *             yields is there each time); of 61 one with the injection queue.
 *          P2 an unstarted fiber cannot starve: one pick in 16 takes the deque's old end, one in eight when the same fiber has stood
 *             there for a millisecond.
 *          P3 a chain of spawns and joins, which hand over to each other without a pick, is broken once a tick (worker.c).
 *          P4 what is returned is RUNNING, has a stack, and is in no queue.
 */
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/rescue.h"

WF_OWNER_CODE_BEGIN

uint64_t wf_entry_of(const struct wf_fiber *fiber)
{
	/* rlx: the spawner's own write. */
	return wf_ticket_sequence(wf_load_rlx64(&fiber->word)) << 32 | fiber->index;
}

/* Its join has run the fiber already. */
static bool is_tombstone(uint64_t entry)
{
	uint64_t word = wf_load_acq64(&wf_fiber_at((uint32_t)entry)->word);
	return wf_ticket_phase(word) != WF_UNSTARTED ||
		(uint32_t)wf_ticket_sequence(word) != (uint32_t)(entry >> 32);
}

bool wf_claim_fiber(const struct wf_worker *w, struct wf_fiber *fiber, uint64_t word)
{
	uint64_t running = wf_ticket_with(word, WF_RUNNING);
	if (wf_shared(w))
		return wf_cas_acq_rel64(&fiber->word, &word, running);
	wf_store_rlx64(&fiber->word, running); /* rlx: no other worker could claim it */
	return true;
}

struct wf_fiber *wf_claim_entry(const struct wf_worker *w, uint64_t entry)
{
	struct wf_fiber *fiber = wf_fiber_at((uint32_t)entry);
	uint64_t word = wf_load_acq64(&fiber->word);
	if (wf_ticket_phase(word) != WF_UNSTARTED ||
		(uint32_t)wf_ticket_sequence(word) != (uint32_t)(entry >> 32))
		return NULL; /* a tombstone */
	return wf_claim_fiber(w, fiber, word) ? fiber : NULL;
}

bool wf_deque_make_room_self(struct wf_worker *w)
{
	/* Children joined oldest first leave their entries at the old end. */
	uint64_t entry;
	bool raced;
	while (wf_deque_peek_oldest(&w->deque, &entry) && is_tombstone(entry)) {
		if (!wf_deque_steal(&w->deque, &entry, &raced) || is_tombstone(entry))
			continue;
		/* A thief took what was peeked at, and this is the one behind it. */
		wf_deque_push_self(&w->deque, entry, wf_shared(w));
		break;
	}
	return wf_deque_has_room_self(&w->deque) || wf_deque_grow_self(&w->deque);
}

/* Takes over a fiber out of a queue of READY ones. */
static struct wf_fiber *resume(struct wf_fiber *fiber)
{
	uint64_t word = wf_load_acq64(&fiber->word);			/* TK-1 */
	wf_store_rlx64(&fiber->word, wf_ticket_with(word, WF_RUNNING)); /* rlx: F4, this worker owns it */
	return fiber;
}

static struct wf_fiber *take_next(struct wf_worker *w)
{
	/* rlx: only the owner fills it; a thief may have emptied it, which the swap finds out. */
	if (wf_load_rlxp(&w->next) == NULL || w->next_used >= WF_NEXT_CAP)
		return NULL;
	struct wf_fiber *fiber = wf_swap_acq_relp(&w->next, NULL);
	if (fiber == NULL)
		return NULL;
	w->next_used++;
	return resume(fiber);
}

/* Memory, not the switch, is the cost: while this fiber runs, the stack top of one that comes soon is fetched, and the control
 * block of one farther behind, in which that stack's address will be found. */
static void prefetch_following(const struct wf_ready *ready)
{
	const struct wf_fiber *following = wf_ready_peek(ready, WF_PREFETCH_STACK);
	if (following == NULL)
		return;
	const char *sp = following->sp;
	__builtin_prefetch(sp);
	__builtin_prefetch(sp + WF_CACHE_LINE);
	__builtin_prefetch(sp + 2 * WF_CACHE_LINE);
	const struct wf_fiber *behind = wf_ready_peek(ready, WF_PREFETCH_BLOCK);
	if (behind != NULL)
		__builtin_prefetch(behind);
}

static struct wf_fiber *take_ready(struct wf_worker *w)
{
	struct wf_fiber *fiber = wf_ready_take(&w->ready, wf_shared(w));
	if (fiber == NULL)
		return NULL;
	w->next_used = 0;
	prefetch_following(&w->ready);
	return resume(fiber);
}

/* Nothing else is there: the cap on `next` starts anew. */
static struct wf_fiber *take_next_again(struct wf_worker *w)
{
	w->next_used = 0;
	return take_next(w);
}

static struct wf_fiber *take_unstarted(struct wf_worker *w, bool old_end)
{
	uint64_t entry;
	/* rlx: bottom is the owner's, and top only grows towards it. */
	if (wf_load_rlx64(&w->deque.bottom) == wf_load_rlx64(&w->deque.top))
		return NULL;
	bool raced = false;
	for (;;) {
		bool got = old_end ? wf_deque_steal(&w->deque, &entry, &raced)
				   : wf_deque_pop_self(&w->deque, &entry, wf_shared(w));
		if (!got) {
			if (!raced)
				return NULL;
			old_end = false;
			raced = false;
			continue;
		}
		struct wf_fiber *fiber = wf_claim_entry(w, entry);
		if (fiber == NULL)
			continue;
		wf_fiber_prepare(w, fiber);
		fiber = wf_rescue_admit(w, fiber);
		if (fiber != NULL)
			return fiber;
	}
}

static struct wf_fiber *take_pinned(struct wf_worker *w)
{
	if (w->pinned_head == NULL) {
		if (wf_sees_unbound(w)) {
			struct wf_fiber *fiber = wf_rescue_take_unbound(w);
			if (fiber != NULL)
				return resume(fiber);
		}
		if (wf_load_acq32(&w->inbox) == WF_NO_FIBER)
			return NULL;
		uint32_t index = wf_swap_sc32(&w->inbox, WF_NO_FIBER); /* IN-1 */
		struct wf_fiber *oldest = NULL;
		while (index != WF_NO_FIBER) { /* newest first: turned round */
			struct wf_fiber *fiber = wf_fiber_at(index);
			index = fiber->next;
			fiber->next = oldest != NULL ? oldest->index : WF_NO_FIBER;
			oldest = fiber;
		}
		w->pinned_head = oldest;
	}
	struct wf_fiber *fiber = w->pinned_head;
	w->pinned_head = fiber->next != WF_NO_FIBER ? wf_fiber_at(fiber->next) : NULL;
	return resume(fiber);
}

/* Fibers of the injection queue are READY, or UNSTARTED without a joiner; either way nobody else holds them. NULL: not for a spare. */
static struct wf_fiber *adopt(struct wf_worker *w, struct wf_fiber *fiber)
{
	uint64_t word = wf_load_acq64(&fiber->word);
	bool unstarted = wf_ticket_phase(word) == WF_UNSTARTED;
	resume(fiber);
	if (!unstarted)
		return fiber;
	wf_fiber_prepare(w, fiber);
	return wf_rescue_admit(w, fiber);
}

static struct wf_fiber *take_injected(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	uint32_t there = wf_load_acq32(&rt->injected);
	if (there == 0)
		return NULL;
	uint32_t share = there / rt->worker_count + 1;
	uint32_t count;
	struct wf_fiber *fiber =
		wf_inject_take(rt, share < WF_INJECT_BATCH ? share : WF_INJECT_BATCH, &count);
	if (fiber == NULL)
		return NULL;
	wf_bump(w, WF_INJECTED, count);
	struct wf_fiber *rest = count > 1 ? wf_fiber_at(fiber->next) : NULL;
	for (uint32_t i = 1; i < count; i++) {
		struct wf_fiber *following = i + 1 < count ? wf_fiber_at(rest->next) : NULL;
		/* The ring holds started fibers only. */
		if (wf_ticket_phase(wf_load_acq64(&rest->word)) != WF_UNSTARTED || adopt(w, rest) != NULL)
			wf_queue_ready(w, rest);
		rest = following;
	}
	return adopt(w, fiber);
}

/* The turns of P1 and P2, and what comes when the usual places are empty. */
static struct wf_fiber *pick_slow(struct wf_worker *w, uint32_t n)
{
	struct wf_fiber *fiber;
	bool deque_turn = n % WF_DEQUE_TURN == 0;
	bool pinned_first = n / WF_DEQUE_TURN % 2 != 0;
	bool old_end = n % WF_OLD_TURN == 0 || (w->old_first && deque_turn);
	if (--w->inject_turn == 0) {
		w->inject_turn = WF_INJECT_PERIOD / WF_DEQUE_TURN;
		if ((fiber = take_injected(w)) != NULL)
			return fiber;
	}
	if (deque_turn && pinned_first && (fiber = take_pinned(w)) != NULL)
		return fiber;
	if (deque_turn && (fiber = take_unstarted(w, old_end)) != NULL)
		return fiber;
	if (deque_turn && (fiber = take_pinned(w)) != NULL)
		return fiber;
	if ((fiber = take_next(w)) != NULL)
		return fiber;
	if ((fiber = take_ready(w)) != NULL)
		return fiber;
	if ((fiber = take_unstarted(w, false)) != NULL)
		return fiber;
	if ((fiber = take_next_again(w)) != NULL)
		return fiber;
	if ((fiber = take_pinned(w)) != NULL)
		return fiber;
	return take_injected(w);
}

struct wf_fiber *wf_pick_own(struct wf_worker *w)
{
	struct wf_fiber *fiber = take_next_again(w);
	if (fiber == NULL)
		fiber = take_ready(w);
	return fiber != NULL ? fiber : take_unstarted(w, true);
}

struct wf_fiber *wf_pick(struct wf_worker *w)
{
	uint32_t n = ++w->picks;
	if (WF_LIKELY(n % WF_DEQUE_TURN != 0)) {
		struct wf_fiber *fiber = take_next(w);
		if (fiber == NULL)
			fiber = take_ready(w);
		if (fiber != NULL)
			return fiber;
	}
	return pick_slow(w, n);
}

/* What a thief took beside the first goes to its own ring, in order. */
static struct wf_fiber *keep_stolen(struct wf_worker *w, void **stolen, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		wf_queue_ready(w, stolen[i]);
	wf_bump(w, WF_STEALS, count);
	return resume(stolen[0]);
}

static struct wf_fiber *steal_from(struct wf_worker *w, struct wf_worker *victim, bool greedy)
{
	void *stolen[WF_STEAL_MAX];
	uint32_t count = wf_ready_steal(&victim->ready, stolen, WF_STEAL_MAX);
	if (count > 0)
		return keep_stolen(w, stolen, count);
	uint64_t entry;
	bool raced = true;
	/* rlx: an estimate of how many stand there. */
	bool lone = wf_load_rlx64(&victim->deque.bottom) - wf_load_rlx64(&victim->deque.top) <= 1;
	while ((!lone || greedy) && raced) {
		if (!wf_deque_steal(&victim->deque, &entry, &raced))
			continue;
		raced = true; /* a tombstone: go on */
		struct wf_fiber *fiber = wf_claim_entry(w, entry);
		if (fiber == NULL)
			continue;
		wf_bump(w, WF_STEALS, 1);
		wf_fiber_prepare(w, fiber);
		fiber = wf_rescue_admit(w, fiber);
		if (fiber != NULL)
			return fiber;
	}
	if (greedy && wf_load_acqp(&victim->next) != NULL) {
		stolen[0] = wf_swap_acq_relp(&victim->next, NULL);
		if (stolen[0] != NULL)
			return keep_stolen(w, stolen, 1);
	}
	return NULL;
}

struct wf_fiber *wf_steal_work(struct wf_worker *w, bool greedy)
{
	struct wf_runtime *rt = w->rt;
	wf_bump(w, WF_STEAL_ROUNDS, 1);
	struct wf_fiber *fiber = take_injected(w);
	if (fiber != NULL)
		return fiber;
	uint32_t reach = wf_reach(rt);
	uint32_t start = wf_random_next(&w->random) % reach;
	for (uint32_t i = 0; i < reach; i++) {
		uint32_t at = start + i < reach ? start + i : start + i - reach;
		if (at == w->index)
			continue;
		fiber = steal_from(w, &rt->worker[at], greedy);
		if (fiber != NULL)
			return fiber;
	}
	return NULL;
}

bool wf_work_visible(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	if (wf_load_sc32(&rt->injected) != 0 || wf_load_sc32(&w->inbox) != WF_NO_FIBER ||
		wf_load_sc32(&w->box) != WF_NO_FIBER || wf_load_scp(&w->op_box) != NULL ||
		wf_load_scp(&w->thread->queue) != NULL ||
		(wf_load_sc32(&rt->unbound) != WF_NO_FIBER && !wf_is_spare(w)))
		return true;
	uint32_t reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++) {
		struct wf_worker *other = &rt->worker[i];
		if (!wf_ready_empty_sc(&other->ready) || !wf_deque_empty_sc(&other->deque) ||
			wf_load_scp(&other->next) != NULL)
			return true;
	}
	return false;
}

WF_OWNER_CODE_END
