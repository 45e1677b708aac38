/* SPDX-License-Identifier: MIT */
/* wait.c - see wait.h */
#include "sched/sync/wait.h"

#include <errno.h>
#include <unistd.h>

#include "sched/base/limits.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/runtime.h"

/* What a plain thread needs between its calls. */
struct outsider {
	uint64_t holder;
	uint64_t random;
	struct wf_holds holds;
};

/* Out of line, as wf_self() is; only called where there is no worker, so the thread stays. */
__attribute__((noinline)) static struct outsider *outsider(void)
{
	static __thread struct outsider self __attribute__((tls_model("initial-exec")));
	__asm__ volatile("");
	return &self;
}

/* The thread's word. */
enum { THREAD_WAITS, THREAD_WON, THREAD_DONE, THREAD_GONE };

WF_OWNER_CODE_BEGIN

uint64_t wf_holder_of_thread(void)
{
	/* Index 0 is no fiber's. */
	struct outsider *thread = outsider();
	if (thread->holder == 0)
		thread->holder = (uint64_t)gettid() << WF_HOLDER_INDEX_BITS;
	return thread->holder;
}

struct wf_holds *wf_holder_holds(void)
{
	struct wf_fiber *fiber = wf_current();
	return fiber != NULL ? &fiber->frame->holds : &outsider()->holds;
}

uint32_t wf_holder_random(void)
{
	struct wf_worker *w = wf_self();
	if (w != NULL)
		return wf_random_next(&w->random);
	struct outsider *thread = outsider();
	if (thread->random == 0)
		thread->random = wf_random_seed();
	return wf_random_next(&thread->random);
}

bool wf_holder_may_spin(void)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return true;
	/* rlx: an estimate. */
	return wf_shared(w) && wf_load_rlx32(&w->ready.tail) == wf_load_rlx32(&w->ready.head) &&
		wf_load_rlxp(&w->next) == NULL;
}

void wf_waiters_append(wf_waiters *list, struct wf_waiter *waiter)
{
	struct wf_waiter *first = *list;
	if (first == NULL) {
		waiter->next = waiter->prev = waiter;
		*list = waiter;
		return;
	}
	waiter->next = first;
	waiter->prev = first->prev;
	first->prev->next = waiter;
	first->prev = waiter;
}

void wf_waiters_prepend(wf_waiters *list, struct wf_waiter *waiter)
{
	wf_waiters_append(list, waiter);
	*list = waiter;
}

void wf_waiters_remove(wf_waiters *list, struct wf_waiter *waiter)
{
	if (waiter->next == waiter) {
		*list = NULL;
	} else {
		waiter->next->prev = waiter->prev;
		waiter->prev->next = waiter->next;
		if (*list == waiter)
			*list = waiter->next;
	}
	waiter->next = waiter->prev = NULL;
}

bool wf_waiter_win(struct wf_waiter *waiter)
{
	if (waiter->fiber != NULL)
		return wf_wake_win(wf_self(), waiter->fiber, waiter->ticket);
	uint32_t waits = THREAD_WAITS;
	return wf_cas_acq_rel32(waiter->thread, &waits, THREAD_WON); /* WT-1 */
}

void wf_waiter_finish(struct wf_waiter *waiter, bool soon)
{
	if (waiter->fiber != NULL) {
		wf_wake_done(wf_self(), waiter->fiber, waiter->ticket, WF_WAKE_OK, soon);
		return;
	}
	wf_a32 *word = waiter->thread;
	wf_store_rel32(word, THREAD_DONE); /* WT-1 */
	wf_futex_wake(word, 1);		   /* its address only: the thread may be gone */
}

struct wf_waiter *wf_waiters_win_first(wf_waiters *list)
{
	while (*list != NULL) {
		struct wf_waiter *waiter = *list;
		wf_waiters_remove(list, waiter);
		if (wf_waiter_win(waiter))
			return waiter;
	}
	return NULL;
}

void wf_wakes_add(struct wf_wakes *wakes, struct wf_waiter *waiter)
{
	waiter->next = NULL;
	if (wakes->first == NULL)
		wakes->first = waiter;
	else
		wakes->last->next = waiter;
	wakes->last = waiter;
}

void wf_wakes_add_all(struct wf_wakes *wakes, wf_waiters *list)
{
	struct wf_waiter *waiter;
	while ((waiter = wf_waiters_win_first(list)) != NULL)
		wf_wakes_add(wakes, waiter);
}

void wf_wakes_finish(struct wf_wakes *wakes)
{
	struct wf_waiter *waiter = wakes->first;
	bool single = wakes->first == wakes->last;
	while (waiter != NULL) {
		struct wf_waiter *next = waiter->next; /* W3 */
		wf_waiter_finish(waiter, single);
		waiter = next;
	}
}

bool wf_queue_abandon(struct wf_queue *queue, struct wf_waiter *waiter)
{
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool linked = wf_waiter_linked(waiter);
	if (linked) {
		wf_waiters_remove(&queue->waiters, waiter);
		state = (state & ~WF_QUEUED) | wf_queued(queue);
	}
	wf_latch_release(&queue->latch, state);
	return linked;
}

static void wait_over(struct wf_worker *w, uint32_t owner, uint64_t ticket)
{
	wf_wake(w, wf_fiber_at(owner), ticket, WF_WAKE_TIMER);
}

static bool commit_wait(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, void *arg)
{
	struct wf_wait *wait = arg;
	wait->node.fiber = fiber;
	wait->node.ticket = ticket;
	if (!wait->publish(wait))
		return false;
	if (wait->deadline == WEFT_FOREVER)
		return true;
	/* The fiber cannot go on before this function has ended, whoever has won (T3 of ticket.h). */
	wait->timer.owner = fiber->index;
	wait->timer.key = ticket;
	wait->timer.fire = wait_over;
	wf_timer_arm(&w->timers, &wait->timer, wait->deadline);
	wf_bump(w, WF_TIMERS_ARMED, 1);
	return true;
}

static int wait_as_thread(struct wf_wait *wait)
{
	wf_a32 *word = &wait->thread;
	wf_store_rlx32(word, THREAD_WAITS); /* rlx: published under the object's latch */
	wait->node.fiber = NULL;
	wait->node.thread = word;
	if (!wait->publish(wait))
		return WF_WAKE_OK;
	for (;;) {
		uint32_t seen = wf_load_acq32(word); /* WT-1 */
		if (seen == THREAD_DONE)
			return WF_WAKE_OK;
		if (seen == THREAD_WAITS && wait->deadline != WEFT_FOREVER &&
			wf_clock_now() >= wait->deadline) {
			if (wf_cas_acq_rel32(word, &seen, THREAD_GONE)) /* WT-1 */
				return WF_WAKE_TIMER;
			continue;
		}
		wf_futex_wait(word, seen, wait->deadline);
	}
}

int wf_wait(struct wf_wait *wait, uint64_t masks)
{
	wait->node.next = wait->node.prev = NULL;
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return wait_as_thread(wait);
	wf_waits_until(w->current, wait->kind, wait->object, wait->deadline);
	if (wait->deadline == WEFT_FOREVER)
		return wf_park(masks, commit_wait, wait);
	wait->timer = (struct wf_timer){0};
	int code = wf_park(masks, commit_wait, wait);
	if (code != WF_WAKE_TIMER)
		wf_timer_cancel(&wait->timer);
	return code;
}

int wf_wait_for_lock(struct wf_wait *wait, uint64_t masks)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return wf_wait(wait, masks);
	wf_count(&w->lock_waiters, 1);
	int code = wf_wait(wait, masks);
	wf_count(&wf_self()->lock_waiters, UINT64_MAX);
	return code;
}

uint64_t wf_wait_masks(void)
{
	struct wf_fiber *fiber = wf_current();
	return fiber == NULL ? 0 : wf_park_masks(fiber);
}

WF_OWNER_CODE_END
