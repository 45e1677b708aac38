/* SPDX-License-Identifier: MIT */
/* mutex_model.h - what mutex_model.c explores: mutex.c, and of wait.c the list, wf_queue_abandon and a plain thread's wait
 *
 * What     functions under the names of the originals; those of the public header without weft_. The latch's slow way is one step, which
 *          latch_model.c checks; that a fiber's ticket does what a thread's word does is ticket_model.c's. Who has waited for
 *          long is a constant of the program.
 * Switches each takes one step out or weakens it, for mutants_sync.ini.
 */
#ifndef TESTS_MODEL_MUTEX_MODEL_H
#define TESTS_MODEL_MUTEX_MODEL_H

#define wf_count(counter, n) ((void)(counter), (void)(n)) /* for worker.h */
#include "tests/model/watched.h"

#include <errno.h>
#include <weft/sync.h>

/* Declared so first, they are each model's own. */
struct wf_latch;
struct wf_queue;
struct wf_waiter;
struct wf_wait;
struct wf_mutex;
static uint64_t wf_latch_slow(struct wf_latch *latch);
static void wf_latch_wake(struct wf_latch *latch);
static void wf_waiters_append(struct wf_waiter **list, struct wf_waiter *waiter);
static void wf_waiters_prepend(struct wf_waiter **list, struct wf_waiter *waiter);
static void wf_waiters_remove(struct wf_waiter **list, struct wf_waiter *waiter);
static bool wf_waiter_win(struct wf_waiter *waiter);
static void wf_waiter_finish(struct wf_waiter *waiter, bool soon);
static struct wf_waiter *wf_waiters_win_first(struct wf_waiter **list);
static bool wf_queue_abandon(struct wf_queue *queue, struct wf_waiter *waiter);
static int wf_wait(struct wf_wait *wait, uint64_t masks);
static int wf_mutex_unlock_as(struct wf_mutex *mutex, uint64_t holder);
static bool wf_mutex_held_by(const struct wf_mutex *mutex, uint64_t holder);
#include "sched/sync/mutex.h"

#define LOCKERS 3

enum { TRY_AGAIN, HANDED_OVER };			     /* mutex.c */
enum { THREAD_WAITS, THREAD_WON, THREAD_DONE, THREAD_GONE }; /* wait.c */
enum hand_over { NEVER, ALWAYS, ONLY_FIRST, ALL_BUT_FIRST };
enum why { LATE, CANCELLED, NOTHING_IN_FORCE };

struct wait {
	struct wf_wait wait;
	struct wf_mutex *mutex;
	uint64_t me;
	bool woken;
	bool got;
	/* Notes. */
	bool alive; /* it stands in a frame */
	bool lost;  /* it was woken, and another has got the mutex */
	uint32_t done;
	uint32_t alarms; /* how often it can still give up */
};

static struct {
	struct wf_mutex mutex;
	uint32_t latch_free; /* of the mutex */
	struct wait wait[LOCKERS];
	/* Constants. */
	enum hand_over hand_over; /* which wakes meet a waiter that has waited for long */
	uint32_t polite; /* one that was woken has always waited for long when another comes */
	enum why why;	 /* waiters give up */
	/* Notes. */
	uint32_t inside;
	uint32_t woken; /* waiters that were woken, and have neither locked nor queued again */
	uint32_t wakes; /* so far */
	uint32_t references;
	uint32_t freed;
	uint32_t running;
	uint32_t trying, met_holder; /* a try is at work; somebody has held the mutex meanwhile */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

static void touched(const void *at)
{
	const char *from = (const char *)s.wait, *byte = at;
	if (at == &s.mutex.queue.latch.word && s.freed)
		model_fail("the mutex was touched after it was freed");
	if (byte >= from && byte < from + sizeof(s.wait) &&
		!s.wait[(size_t)(byte - from) / sizeof(s.wait[0])].alive)
		model_fail("a waiter's node was touched after its wait");
}

/* latch.c, as one step: latch_model.c checks it. */

static uint64_t wf_latch_slow(wf_latch *latch)
{
	model_wait("takes the latch when it is free", &s.latch_free, NULL);
	touched(&latch->word);
	uint64_t seen = latch->word.v;
	latch->word.v = seen | WF_LATCH_HELD;
	return seen;
}

static void wf_latch_wake(wf_latch *latch)
{
	(void)latch;
	model_fail("a sleeper of whom there is none");
}

/* wait.c. */

/* False: one of them is gone, and that was said. */
static bool list_touched(const struct wf_waiter *waiter)
{
	touched(&s.mutex.queue.latch.word);
	if (!(s.mutex.queue.latch.word.v & WF_LATCH_HELD))
		model_fail("the list was touched without the latch");
	touched(waiter);
	return waiter->next != NULL && waiter->prev != NULL;
}

static void wf_waiters_append(wf_waiters *list, struct wf_waiter *waiter)
{
	struct wf_waiter *first = *list;
	if (first == NULL) {
		waiter->next = waiter->prev = waiter;
		*list = waiter;
		return;
	}
	if (!list_touched(first))
		return;
	waiter->next = first;
	waiter->prev = first->prev;
	touched(first->prev);
	first->prev->next = waiter;
	first->prev = waiter;
}

static void wf_waiters_prepend(wf_waiters *list, struct wf_waiter *waiter)
{
	wf_waiters_append(list, waiter);
	*list = waiter;
}

static void wf_waiters_remove(wf_waiters *list, struct wf_waiter *waiter)
{
	if (!list_touched(waiter))
		return;
	touched(waiter->next);
	touched(waiter->prev);
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

static bool wf_waiter_win(struct wf_waiter *waiter)
{
	uint32_t waits = THREAD_WAITS;
	return wf_cas_acq_rel32(waiter->thread, &waits, THREAD_WON); /* WT-1 */
}

static void wf_waiter_finish(struct wf_waiter *waiter, bool soon)
{
	(void)soon;
	model_step("finishes the waiter");
	touched(waiter);
	((struct wait *)(void *)waiter)->done = 1; /* for THREAD_DONE */
}

static struct wf_waiter *wf_waiters_win_first(wf_waiters *list)
{
	while (*list != NULL) {
		struct wf_waiter *waiter = *list;
		wf_waiters_remove(list, waiter);
		if (wf_waiter_win(waiter))
			return waiter;
#ifdef LOST_WIN_ENDS
		return NULL;
#endif
	}
	return NULL;
}

static bool wf_queue_abandon(struct wf_queue *queue, struct wf_waiter *waiter)
{
#ifdef WITHOUT_ABANDON
	return false;
#endif
	uint64_t state = wf_latch_acquire(&queue->latch);
	bool linked = wf_waiter_linked(waiter);
	if (linked) {
		wf_waiters_remove(&queue->waiters, waiter);
		state &= ~WF_QUEUED;
#ifndef ABANDON_FORGETS_OTHERS
		state |= wf_queued(queue);
#endif
	}
	wf_latch_release(&queue->latch, state);
	return linked;
}

/* wait_as_thread. */
static int wf_wait(struct wf_wait *wait, uint64_t masks)
{
	struct wait *w = (struct wait *)(void *)wait;
	wait->node.next = wait->node.prev = NULL;
	wait->node.thread = &wait->thread;
	wait->thread.v = THREAD_WAITS; /* plain: published under the object's latch */
	w->done = 0;
	if (!wait->publish(wait))
		return WF_WAKE_OK;
	for (;;) {
		model_wait("waits", &w->done, masks == WF_PARK_DEAF ? NULL : &w->alarms);
		if (w->done)
			return WF_WAKE_OK;
		uint32_t seen = THREAD_WAITS;
		if (wf_cas_acq_rel32(&wait->thread, &seen, THREAD_GONE)) /* WT-1 */
			return s.why == LATE ? WF_WAKE_TIMER : WF_WAKE_INTERRUPTED;
	}
}

/* mutex.c. */

/* The waiter that was woken is on its way no more. */
static void arrived(struct wait *w)
{
	if (w->woken)
		s.woken--;
	w->woken = false;
}

/* Another takes the free mutex. */
static void check_polite(void)
{
	if (s.polite && s.woken != 0)
		model_fail("one that was woken and has waited for long was overtaken");
}

/* `polite` stands for the clock. */
static bool may_take_locked(uint64_t state)
{
	return !(state & WF_MUTEX_WOKEN) || !s.polite;
}

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_mutex *mutex = w->mutex;
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
	bool again = w->woken;
#if !defined(REQUEUE_KEEPS_WOKEN) && !defined(REQUEUE_CLEARS_WOKEN_LATER)
	if (again)
		state &= ~WF_MUTEX_WOKEN; /* MX3 */
#endif
	arrived(w);
#if defined(PUBLISH_WITHOUT_LOOK)
	w->got = false;
#elif defined(PUBLISH_OVERTAKES)
	w->got = state <= WF_MUTEX_BITS;
#else
	w->got = state <= WF_MUTEX_BITS && may_take_locked(state);		    /* MX5 */
#endif
	if (w->got) {
		check_polite();
		wf_latch_release(&mutex->queue.latch, state | w->me);
		return false;
	}
	w->lost = w->lost || again;
#ifdef REQUEUE_AT_THE_BACK
	again = false;
#endif
	if (again)
		wf_waiters_prepend(&mutex->queue.waiters, &wait->node);
	else
		wf_waiters_append(&mutex->queue.waiters, &wait->node);
#ifdef PUBLISH_WITHOUT_QUEUED
	wf_latch_release(&mutex->queue.latch, state);
#else
	wf_latch_release(&mutex->queue.latch, state | WF_QUEUED);
#endif
#ifdef REQUEUE_CLEARS_WOKEN_LATER
	if (again)
		wf_and_sc64(&mutex->queue.latch.word, ~WF_MUTEX_WOKEN);
#endif
	return true;
}

static int mutex_trylock(struct wf_mutex *mutex, uint64_t me);

/* Without spins: they only try once more. */
static int lock_slow(struct wait *w, bool levels)
{
	struct wf_mutex *mutex = w->mutex;
	for (;;) {
		w->wait.node.status = TRY_AGAIN;
		int code = wf_wait(&w->wait, levels ? 0 : WF_PARK_DEAF);
		if (code == WF_WAKE_OK) {
			if (w->got || w->wait.node.status == HANDED_OVER)
				return 0;
			w->woken = true;
			if (wf_mutex_take(&mutex->queue.latch, w->me, WF_MUTEX_WOKEN)) {
				arrived(w);
				return 0;
			}
			continue;
		}
		wf_queue_abandon(&mutex->queue, &w->wait.node);
		w->lost = false;
		if (code == WF_WAKE_TIMER)
			return mutex_trylock(mutex, w->me) == 0 ? 0 : -ETIMEDOUT;
		if (s.why == CANCELLED)
			return -ECANCELED;
	}
}

/* lock_slow's frame comes and goes. */
static int lock_slowly(uint32_t number, uint64_t me, bool levels)
{
	struct wait *w = &s.wait[number];
	w->wait.publish = publish;
	w->wait.node.holder = me >> WF_MUTEX_SHIFT;
	w->mutex = &s.mutex;
	w->me = me;
	w->alive = true;
	int error = lock_slow(w, levels);
	uint32_t alarms = w->alarms;
	*w = (struct wait){.alarms = alarms};
	return error;
}

static bool lock_fast(struct wf_mutex *mutex, uint64_t me)
{
	uint64_t unlocked = 0;
	return wf_latch_try(&mutex->queue.latch, &unlocked, me) ||
		wf_mutex_take(&mutex->queue.latch, me, 0);
}

static bool lock_under_latch(struct wf_mutex *mutex, uint64_t me, bool politely)
{
	uint64_t seen = wf_latch_peek(&mutex->queue.latch);
#ifdef UNDER_LATCH_IF_HELD
	if (!(seen & WF_LATCH_HELD))
		return false;
#else
	if (seen > WF_MUTEX_BITS && !(seen & WF_LATCH_HELD))
		return false;
#endif
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
#if defined(UNDER_LATCH_WITHOUT_LOOK)
	bool got = true;
#elif defined(UNDER_LATCH_OVERTAKES)
	bool got = state <= WF_MUTEX_BITS;
#else
	bool got = state <= WF_MUTEX_BITS && (!politely || may_take_locked(state)); /* MX5 */
#endif
	if (got && politely)
		check_polite();
#ifdef UNDER_LATCH_CLEARS_WOKEN
	if (got)
		state &= ~WF_MUTEX_WOKEN;
#endif
	wf_latch_release(&mutex->queue.latch, got ? state | me : state);
	return got;
}

static bool wf_mutex_held_by(const struct wf_mutex *mutex, uint64_t holder)
{
	return wf_latch_peek(&mutex->queue.latch) >> WF_MUTEX_SHIFT == holder;
}

static void mutex_lock(uint32_t number, uint64_t me)
{
	if (lock_fast(&s.mutex, me)) {
		check_polite();
		return;
	}
	if (!lock_under_latch(&s.mutex, me, true))
		lock_slowly(number, me, false);
}

static int mutex_trylock(struct wf_mutex *mutex, uint64_t me)
{
	return lock_fast(mutex, me) || lock_under_latch(mutex, me, false) ? 0 : -EBUSY;
}

static int mutex_lock_by(uint32_t number, uint64_t me)
{
	return mutex_trylock(&s.mutex, me) == 0 ? 0 : lock_slowly(number, me, true);
}

static bool has_waited_long(void)
{
	s.wakes++;
	switch (s.hand_over) {
	case NEVER:
		return false;
	case ALWAYS:
		return true;
	case ONLY_FIRST:
		return s.wakes == 1;
	case ALL_BUT_FIRST:
		return s.wakes > 1;
	}
	return false;
}

/* MX3. */
static void check_order(const struct wf_waiter *first)
{
	if (((const struct wait *)(const void *)first)->lost)
		return;
	for (uint32_t i = 0; i < LOCKERS; i++)
		if (wf_waiter_linked(&s.wait[i].wait.node) && s.wait[i].lost)
			model_fail("one that was woken before waits behind one that was not");
}

static void count_woken(void)
{
	if (s.woken++ != 0)
		model_fail("a waiter is woken while another is on its way");
}

static int wf_mutex_unlock_as(struct wf_mutex *mutex, uint64_t holder)
{
	uint64_t me = holder << WF_MUTEX_SHIFT;
	if (wf_mutex_let_go(&mutex->queue.latch, me)) /* MX4 */
		return 0;
#ifndef ANYBODY_UNLOCKS
	if (!wf_mutex_held_by(mutex, holder))
		return -EPERM;
#endif
	struct wf_waiter *first = NULL;
	uint64_t state = wf_latch_acquire(&mutex->queue.latch);
#ifdef UNLOCK_IN_TWO
	wf_latch_release(&mutex->queue.latch, state & WF_MUTEX_BITS);
	state = wf_latch_acquire(&mutex->queue.latch);
	if (state > WF_MUTEX_BITS) {
		wf_latch_release(&mutex->queue.latch, state);
		return 0;
	}
#endif
#if defined(UNLOCK_WAKES_NOBODY)
	(void)0;
#elif defined(UNLOCK_WAKES_ONE_MORE)
	first = wf_waiters_win_first(&mutex->queue.waiters);
#else
	if (!(state & WF_MUTEX_WOKEN))						    /* MX2 */
		first = wf_waiters_win_first(&mutex->queue.waiters);
#endif
	state = (state & WF_MUTEX_WOKEN) | wf_queued(&mutex->queue);
	if (first != NULL)
		check_order(first);
	if (first != NULL && has_waited_long()) {
#ifndef HAND_OVER_UNSAID
		first->status = HANDED_OVER;
#endif
#ifndef HAND_OVER_TO_NOBODY
		state |= first->holder << WF_MUTEX_SHIFT;
#endif
#ifdef HAND_OVER_SETS_WOKEN
		state |= WF_MUTEX_WOKEN;
#endif
	} else if (first != NULL) {
		count_woken();
#ifndef UNLOCK_WITHOUT_WOKEN
		state |= WF_MUTEX_WOKEN;
#endif
	}
#ifdef UNLOCK_FORGETS_OTHERS
	state &= ~WF_QUEUED;
#endif
#ifdef FINISH_BEFORE_RELEASE
	if (first != NULL)
		wf_waiter_finish(first, true);
	wf_latch_release(&mutex->queue.latch, state);
#else
	wf_latch_release(&mutex->queue.latch, state); /* MX4 */
	if (first != NULL)
		wf_waiter_finish(first, true);
#endif
	return 0;
}

#endif
