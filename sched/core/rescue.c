/* SPDX-License-Identifier: MIT */
/* rescue.c - see rescue.h: what a live worker does for a stuck one */
#include "sched/core/rescue.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/base/log.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/look.h"

WF_OWNER_CODE_BEGIN

struct wf_thread *wf_rescue_target(struct wf_worker *w)
{
	if (!wf_is_spare(w) || !wf_spare_retires(w))
		return w->thread;
	struct wf_runtime *rt = w->rt;
	uint32_t start = wf_random_next(&w->random) % rt->worker_count;
	for (uint32_t i = 0; i < rt->worker_count; i++) {
		struct wf_worker *other = &rt->worker[(start + i) % rt->worker_count];
		if (!wf_load_rlx32(&other->stuck)) /* rlx: a better choice, no promise */
			return other->thread;
	}
	return rt->worker[start].thread;
}

void wf_send_home(struct wf_worker *w, struct wf_fiber *fiber)
{
	uint64_t word = wf_load_rlx64(&fiber->word);		      /* rlx: F4, it is w's */
	wf_store_rel64(&fiber->word, wf_ticket_with(word, WF_READY)); /* IN-1 carries it */
	wf_make_ready(w, fiber, false);
}

struct wf_fiber *wf_rescue_admit(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (WF_LIKELY(!(fiber->flags & WF_FIBER_HOMED)) || !wf_is_spare(w))
		return fiber;
	struct wf_runtime *rt = w->rt;
	if (rt->worker_count == 1) {
		fiber->home = 0;
		wf_send_home(w, fiber);
		return NULL;
	}
	fiber->flags &= ~WF_FIBER_HOMED;
	fiber->next = WF_NO_FIBER;
	uint64_t word = wf_load_rlx64(&fiber->word);		      /* rlx: F4, it is w's */
	wf_store_rlx64(&fiber->word, wf_ticket_with(word, WF_READY)); /* rlx: the lock carries it */
	wf_lock_acquire(&rt->unbound_lock);
	if (wf_load_rlx32(&rt->unbound) == WF_NO_FIBER) /* rlx: under the lock */
		wf_swap_sc32(&rt->unbound, fiber->index);
	else
		wf_fiber_at(rt->last_unbound)->next = fiber->index;
	rt->last_unbound = fiber->index;
	wf_lock_release(&rt->unbound_lock);
	for (uint32_t i = 0; i < rt->worker_count; i++) /* ID-1; a spare that sleeps would not do */
		wf_worker_notify_one(rt, i);
	return NULL;
}

struct wf_fiber *wf_rescue_take_unbound(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	struct wf_fiber *fiber = NULL;
	wf_lock_acquire(&rt->unbound_lock);
	uint32_t index = wf_load_rlx32(&rt->unbound); /* rlx: under the lock */
	if (index != WF_NO_FIBER) {
		fiber = wf_fiber_at(index);
		wf_swap_sc32(&rt->unbound, fiber->next);
	}
	wf_lock_release(&rt->unbound_lock);
	if (fiber != NULL) {
		fiber->home = w->index;
		fiber->flags |= WF_FIBER_HOMED;
	}
	return fiber;
}

/* What w's deque has no room for stays where it is, for thieves. */
static void take_unstarted(struct wf_worker *w, struct wf_worker *stuck)
{
	uint64_t entry;
	bool raced;
	for (uint32_t i = 0; i < WF_RESCUE_BATCH; i++) {
		if (!wf_deque_has_room_self(&w->deque) && !wf_deque_make_room_self(w))
			return;
		if (wf_deque_steal(&stuck->deque, &entry, &raced))
			wf_deque_push_self(&w->deque, entry, wf_shared(w));
		else if (!raced)
			return;
	}
}

static uint32_t take_queues(struct wf_worker *w, struct wf_worker *stuck)
{
	void *stolen[WF_STEAL_MAX];
	uint32_t count, sum = 0;
	while (sum < WF_RESCUE_BATCH &&
		(count = wf_ready_steal(&stuck->ready, stolen, WF_STEAL_MAX)) > 0) {
		for (uint32_t i = 0; i < count; i++)
			wf_queue_ready(w, stolen[i]);
		sum += count;
	}
	/* rlx: seen at the next look otherwise. */
	if (wf_load_rlxp(&stuck->next) != NULL) {
		struct wf_fiber *fiber = wf_swap_acq_relp(&stuck->next, NULL);
		if (fiber != NULL)
			wf_queue_ready(w, fiber);
		sum += fiber != NULL;
	}
	take_unstarted(w, stuck);
	return sum;
}

static void take_engine(struct wf_worker *w, struct wf_worker *stuck)
{
	struct wf_thread *thread = stuck->thread;
	if (!wf_engine_enter(w, thread))
		return;
	wf_engine_take_queue(w, thread);
	wf_drain_box(w, stuck);
	thread->driver->rescue(thread);
	/* What is on its way comes by the rescuer's own engine from now on: sooner, and the stuck thread is disturbed once only. */
	thread->driver->move_out(thread, WF_RESCUE_BATCH);
	thread->driver->rescue(thread);
	wf_engine_leave(w, thread);
}

static void rescue(struct wf_worker *w, struct wf_worker *stuck)
{
	wf_bump(w, WF_RESCUES, 1);
	take_engine(w, stuck);
	wf_bump(w, WF_TIMERS_FIRED,
		wf_timer_fire_due_try(&stuck->timers, w, wf_worker_now(w), WF_TIMER_BATCH));
	wf_bump(w, WF_STEALS, take_queues(w, stuck));
}

void wf_rescue(struct wf_worker *w)
{
	struct wf_runtime *rt = w->rt;
	uint32_t reach = wf_reach(rt);
	if (wf_stands_by(w))
		return;
	for (uint32_t i = 0; i < reach; i++) {
		struct wf_worker *other = &rt->worker[i];
		/* rlx: RS-1; asked for again at the next look. */
		if (wf_load_rlx32(&other->rescue_wanted) == 0 ||
			wf_swap_sc32(&other->rescue_wanted, 0) == 0)
			continue;
		wf_sub_sc32(&rt->rescues, 1);
		if (other != w) /* else it is back by itself */
			rescue(w, other);
	}
}

WF_OWNER_CODE_END

static bool barrier(int command)
{
	int saved = errno;
	bool done = syscall(SYS_membarrier, command, 0, 0) == 0;
	errno = saved;
	return done;
}

bool wf_rescue_barrier(void)
{
	return barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

int wf_rescue_prepare(struct wf_runtime *rt)
{
	rt->unshares = false;
	if (!rt->rescuing)
		return 0;
	bool knows = barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	rt->unshares = !rt->all_shared;
	if (knows || rt->all_shared)
		return 0;
	wf_log(WF_LOG_WARN,
		"membarrier is refused here: nobody stands in for this runtime's only worker when it is stuck");
	rt->rescuing = false;
	return 0;
}

void wf_rescue_unshare(struct wf_runtime *rt)
{
	if (!rt->unshares)
		return;
	rt->all_shared = false;
	/* rlx: there is nobody else, and the worker is not under suspicion: it has run something since the last thief was about. */
	wf_store_rlx32(&rt->worker[0].gated, 0);
	wf_store_rlx32(&rt->worker[0].shared, 0);
}

void wf_rescue_disturb(struct wf_worker *w, bool first)
{
	if (w->rt->config.rescue == WEFT_RESCUE_COOP) {
		wf_rescue_barrier(); /* interrupts its processor: what the kernel has for it is done on the way back */
		return;
	}
	int64_t now = wf_clock_now();
	if (!first && now - w->disturbed < WF_DISTURB_NS)
		return;
	w->disturbed = now;
	wf_look_fetch(w->thread);
}

bool wf_rescue_share(struct wf_runtime *rt)
{
	struct wf_worker *w = &rt->worker[0];
	if (rt->all_shared)
		return true;
	wf_swap_sc32(&w->gated, w->bound);
	wf_swap_sc32(&w->shared, 1);
	if (!wf_rescue_barrier())
		return false;
	rt->all_shared = wf_load_sc32(&w->after.kind) == WF_AFTER_NONE; /* RS3 */
	return rt->all_shared;
}
