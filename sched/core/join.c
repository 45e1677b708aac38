/* SPDX-License-Identifier: MIT */
/* join.c - weft_join, weft_join_all, weft_detach, weft_self, weft_id, weft_set_name; see join.h */
#include "sched/core/join.h"

#include <errno.h>
#include <string.h>

#include "sched/base/sanitize.h"
#include "sched/core/credit.h"
#include "sched/core/misuse.h"
#include "sched/core/rescue.h"
#include "sched/core/waiting.h"

WF_OWNER_CODE_BEGIN

struct wf_fiber *wf_join_finish(struct wf_worker *w, struct wf_fiber *fiber)
{
	uint64_t before = wf_or_sc64(&fiber->life, WF_LIFE_ENDED); /* LF-1, LF-2 */
	if (before & WF_LIFE_DETACHED) {
		wf_fiber_recycle(w, fiber);
		return NULL;
	}
	if (!(before & WF_LIFE_JOINER))
		return NULL;
	struct wf_fiber *joiner = wf_fiber_at(fiber->join_index);
	uint64_t ticket = fiber->join_ticket;
	if (!wf_wake_win(w, joiner, ticket)) {
		wf_or_sc64(&fiber->life, WF_LIFE_RELEASED); /* J4 */
		return NULL;
	}
	return wf_wake_to_run(w, joiner, ticket);
}

static bool commit_join(struct wf_worker *w, struct wf_fiber *joiner, uint64_t ticket, void *arg)
{
	(void)w;
	struct wf_fiber *target = arg;
	target->join_index = joiner->index; /* F5: CLAIMED is ours */
	target->join_ticket = ticket;
	uint64_t life = wf_load_sc64(&target->life);
	do {
		if (life & WF_LIFE_ENDED) /* LF-2 */
			return false;
	} while (!wf_cas_sc64(&target->life, &life, life | WF_LIFE_JOINER)); /* LF-1 */
	return true;
}

/* J3: takes `bits` back. True: the fiber lives on. False: it has ended, and the block is the joiner's alone (J4). */
static bool withdraw(struct wf_fiber *target, uint64_t bits)
{
	uint64_t life = wf_load_sc64(&target->life);
	while (!(life & WF_LIFE_ENDED)) /* LF-2 */
		if (wf_cas_sc64(&target->life, &life, life & ~bits))
			return true;
	while ((life & WF_LIFE_JOINER) && !(life & WF_LIFE_RELEASED)) {
		weft_yield();
		life = wf_load_sc64(&target->life);
	}
	return false;
}

/* A child that nobody has started runs here and now, before its joiner's park is over: no queue, no waking. Its queue
 * entry becomes a tombstone. */
static void claim_child_inside(struct wf_worker *w, struct wf_fiber *target)
{
	uint64_t word = wf_load_acq64(&target->word);
	if (wf_ticket_phase(word) != WF_UNSTARTED || target->rt != w->rt || w->handoff != NULL ||
		((target->flags & WEFT_PINNED) && wf_is_spare(w)) || !wf_claim_fiber(w, target, word))
		return;
	wf_deque_drop_newest_self(
		&w->deque, wf_ticket_sequence(word) << 32 | target->index, wf_shared(w));
	wf_fiber_prepare(w, target);
	w->handoff = target;
}

static void claim_child(struct wf_worker *w, struct wf_fiber *target)
{
	bool began = wf_inside_begin(w);
	claim_child_inside(w, target);
	wf_inside_end(w, began);
}

static int finish_join(struct wf_fiber *target, void **result)
{
	if (result != NULL)
		*result = target->arg;
	wf_fiber_recycle(wf_self(), target);
	return 0;
}

/* J1: why a handle can be neither joined nor detached; `life` is what its block says. */
static int refuse(const weft_fiber *fiber, uint32_t generation, uint64_t life)
{
	unsigned long long id = weft_id(fiber);
	if (wf_fiber_generation(life) != generation || !(life & WF_LIFE_LIVE)) {
		wf_misuse_say(-ESRCH,
			"of fiber=%llu, which was joined before, or has ended detached", id);
		return -ESRCH;
	}
	wf_misuse_say(-EINVAL, "of fiber=%llu, which %s", id,
		life & WF_LIFE_DETACHED ? "is detached" : "another fiber is joining");
	return -EINVAL;
}

int weft_join(weft_fiber *fiber, void **result)
{
	struct wf_worker *w = wf_turn();
	if (w == NULL)
		return wf_off_fiber();
	struct wf_fiber *self = w->current;
	uint32_t generation;
	struct wf_fiber *target = wf_fiber_of_handle(fiber, &generation);
	if (target == NULL)
		return fiber == NULL ? -EINVAL : -ESRCH;
	if (target == self && wf_fiber_handle(self) == fiber)
		return -EDEADLK;
	uint64_t life;
	if (!wf_life_set(target, generation, WF_LIFE_CLAIMED, WF_LIFE_CLAIMED | WF_LIFE_DETACHED, &life))
		return refuse(fiber, generation, life);
	int error = wf_interrupted(w, self);
	if (error != 0) { /* levels come before readiness */
		wf_and_sc64(&target->life, ~WF_LIFE_CLAIMED);
		return error;
	}
	while (!(wf_load_sc64(&target->life) & WF_LIFE_ENDED)) { /* LF-2 */
		claim_child(wf_self(), target);
		wf_waits_for(self, WF_WAITS_JOIN, target);
		if (wf_park(wf_park_masks(self), commit_join, target) == WF_WAKE_OK ||
			!withdraw(target, WF_LIFE_JOINER))
			break;
		error = wf_interrupted(wf_self(), self);
		if (error != 0 && withdraw(target, WF_LIFE_CLAIMED))
			return error;
	}
	return finish_join(target, result);
}

int weft_join_all(weft_fiber **fibers, void **results, size_t count)
{
	if (wf_self() == NULL)
		return wf_off_fiber();
	if (fibers == NULL && count > 0)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (fibers[i] == NULL)
			continue;
		int error = weft_join(fibers[i], results != NULL ? &results[i] : NULL);
		if (error != 0)
			return error;
		fibers[i] = NULL;
	}
	return 0;
}

int weft_detach(weft_fiber *fiber)
{
	uint32_t generation;
	struct wf_fiber *target = wf_fiber_of_handle(fiber, &generation);
	if (target == NULL)
		return fiber == NULL ? -EINVAL : -ESRCH;
	uint64_t life;
	if (!wf_life_set(target, generation, WF_LIFE_DETACHED, WF_LIFE_CLAIMED | WF_LIFE_DETACHED, &life))
		return refuse(fiber, generation, life);
	if (life & WF_LIFE_ENDED)
		wf_fiber_recycle(wf_self(), target);
	return 0;
}

WF_OWNER_CODE_END

weft_fiber *weft_self(void)
{
	struct wf_fiber *fiber = wf_current();
	return fiber == NULL ? NULL : wf_fiber_handle(fiber);
}

uint64_t weft_id(const weft_fiber *fiber)
{
	return (uint64_t)(uintptr_t)fiber;
}

int weft_set_name(const char *name)
{
	struct wf_fiber *fiber = wf_current();
	if (fiber == NULL)
		return wf_off_fiber();
	if (name == NULL)
		name = "";
	size_t length = strnlen(name, WF_NAME_BYTES - 1);
	memcpy(fiber->frame->name, name, length);
	memset(fiber->frame->name + length, 0, WF_NAME_BYTES - length);
	return 0;
}
