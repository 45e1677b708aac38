/* SPDX-License-Identifier: MIT */
/* rwlock.c - weft_rwlock: many readers, or one writer
 *
 * What     the state is WRITER with the writer's number, or the number of readers. It passes on by hand-over: who is woken holds it.
 * Rules    R1 somebody is queued only while it is held, and the queue of a lock held by readers contains a writer. So a reader that comes
 *             and finds a queue has a writer before it, and waits.
 *          R2 a writer that unlocks lets all readers in that are queued; only when there are none, the first writer. The last reader that
 *             unlocks lets the first writer in. So neither side starves.
 *          R3 a writer that gives up may have been the last one queued: then the readers behind it are let in (R1).
 *          R4 whoever holds a read lock is remembered at the caller (wf_holds): the first WF_HOLDS by their address, more by number.
 * Tests    tests/sync/rwlock_test.cc
 */
#include <errno.h>
#include <weft/sync.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

_Static_assert(sizeof(weft_rwlock) == sizeof(struct wf_queue), "the public struct is the queue");

#define WRITER WF_RWLOCK_WRITER
#define SHIFT WF_HOLDER_SHIFT
#define ONE_READER (UINT64_C(1) << SHIFT)
#define READERS_MAX (UINT64_C(1) << 31)
#define BITS (ONE_READER - 1)

enum kind { READ, WRITE };

struct wait {
	struct wf_wait wait;
	struct wf_queue *queue;
	bool recursive; /* the caller reads already */
};

static bool is_held(uint64_t state)
{
	return state >= ONE_READER;
}

static uint64_t readers(uint64_t state)
{
	return state & WRITER ? 0 : state >> SHIFT;
}

/* R4. */
static bool holds(const struct wf_holds *holds, const void *lock)
{
	for (uint32_t i = 0; i < WF_HOLDS; i++)
		if (holds->lock[i] == lock)
			return true;
	return false;
}

static void remember(void *lock)
{
	struct wf_holds *holds = wf_holder_holds();
	for (uint32_t i = 0; i < WF_HOLDS; i++)
		if (holds->lock[i] == NULL) {
			holds->lock[i] = lock;
			return;
		}
	holds->more++;
}

static bool forget(const void *lock)
{
	struct wf_holds *holds = wf_holder_holds();
	for (uint32_t i = 0; i < WF_HOLDS; i++)
		if (holds->lock[i] == lock) {
			holds->lock[i] = NULL;
			return true;
		}
	if (holds->more == 0)
		return false;
	holds->more--;
	return true;
}

/* May a caller of this kind hold the lock in this state? Returns the state in which it does, or 0. */
static uint64_t entered(uint64_t state, enum kind kind, uint64_t holder, bool recursive)
{
	if (kind == WRITE)
		return is_held(state) ? 0 : WRITER | holder << SHIFT;
	if ((state & WRITER) || ((state & WF_QUEUED) && !recursive) || readers(state) >= READERS_MAX)
		return 0;
	return state + ONE_READER;
}

static bool try_enter(struct wf_queue *queue, enum kind kind, uint64_t holder, bool recursive)
{
	uint64_t seen = wf_latch_peek(&queue->latch);
	uint64_t next;
	while (!(seen & WF_LATCH_HELD) && (next = entered(seen, kind, holder, recursive)) != 0)
		if (wf_latch_try(&queue->latch, &seen, next))
			return true;
	return false;
}

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_waiter *node = &wait->node;
	uint64_t state = wf_latch_acquire(&w->queue->latch);
	uint64_t next = entered(state, (enum kind)node->kind, node->holder, w->recursive);
	if (next == 0) {
		wf_waiters_append(&w->queue->waiters, node);
		wf_latch_release(&w->queue->latch, state | WF_QUEUED);
		return true;
	}
	wf_latch_release(&w->queue->latch, next);
	return false;
}

/* Wins the queued waiters of one kind, at most `most`, and takes them off the list. */
static uint64_t win(struct wf_queue *queue, enum kind kind, uint64_t most, struct wf_wakes *wakes)
{
	uint64_t won = 0;
	struct wf_waiter *last = queue->waiters != NULL ? queue->waiters->prev : NULL;
	for (struct wf_waiter *at = queue->waiters, *next; last != NULL && won < most; at = next) {
		next = at->next;
		bool end = at == last;
		if (at->kind == kind) {
			wf_waiters_remove(&queue->waiters, at);
			if (wf_waiter_win(at)) {
				wf_wakes_add(wakes, at);
				won++;
			}
		}
		if (end)
			break;
	}
	return won;
}

static bool writer_queued(const struct wf_queue *queue)
{
	const struct wf_waiter *at = queue->waiters;
	if (at == NULL)
		return false;
	do {
		if (at->kind == WRITE)
			return true;
		at = at->next;
	} while (at != queue->waiters);
	return false;
}

/* R2, with the latch held, which is given back. `after`: who has unlocked. */
static void pass_on(struct wf_queue *queue, enum kind after)
{
	struct wf_wakes wakes = {NULL, NULL};
	uint64_t state = 0;
	if (after == WRITE)
		state = win(queue, READ, READERS_MAX, &wakes) << SHIFT;
	if (state == 0 && win(queue, WRITE, 1, &wakes) == 1)
		state = WRITER | wakes.first->holder << SHIFT;
	if (state == 0 || (readers(state) > 0 && !writer_queued(queue)))
		state += win(queue, READ, READERS_MAX, &wakes) << SHIFT;
	wf_latch_release(&queue->latch, state | wf_queued(queue));
	wf_wakes_finish(&wakes);
}

/* W4 of wait.h, and R3. */
static void abandon(struct wf_queue *queue, struct wf_waiter *waiter)
{
	struct wf_wakes wakes = {NULL, NULL};
	uint64_t state = wf_latch_acquire(&queue->latch);
	if (wf_waiter_linked(waiter))
		wf_waiters_remove(&queue->waiters, waiter);
	if (readers(state) > 0 && !writer_queued(queue))
		state += win(queue, READ, READERS_MAX - readers(state), &wakes) << SHIFT;
	wf_latch_release(&queue->latch, (state & ~WF_QUEUED) | wf_queued(queue));
	wf_wakes_finish(&wakes);
}

static bool writes(const struct wf_queue *queue, uint64_t holder)
{
	uint64_t state = wf_latch_peek(&queue->latch);
	return (state & WRITER) && state >> SHIFT == holder;
}

static int lock(weft_rwlock *public, enum kind kind)
{
	struct wf_queue *queue = (struct wf_queue *)public;
	if (queue == NULL)
		return -EINVAL;
	uint64_t holder = wf_holder();
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0 || try_enter(queue, kind, holder, false))
			return error;
		bool recursive = holds(wf_holder_holds(), public);
		if (kind == READ && recursive && try_enter(queue, kind, holder, true))
			return 0;
		if (writes(queue, holder) || (kind == WRITE && recursive))
			return -EDEADLK;
		if (kind == READ && readers(wf_latch_peek(&queue->latch)) >= READERS_MAX)
			return -EAGAIN;
		struct wait w = {
			.wait = {.publish = publish,
				.deadline = WEFT_FOREVER,
				.kind = kind == WRITE ? WF_WAITS_WRITE : WF_WAITS_READ,
				.object = queue,
				.node = {.kind = kind, .holder = holder}},
			.queue = queue,
			.recursive = recursive,
		};
		if (wf_wait_for_lock(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return 0;
		abandon(queue, &w.wait.node);
	}
}

int weft_rwlock_rdlock(weft_rwlock *public)
{
	int error = lock(public, READ);
	if (error == 0)
		remember(public);
	return error;
}

int weft_rwlock_wrlock(weft_rwlock *public)
{
	return lock(public, WRITE);
}

static int try_lock(weft_rwlock *public, enum kind kind)
{
	struct wf_queue *queue = (struct wf_queue *)public;
	if (queue == NULL)
		return -EINVAL;
	uint64_t holder = wf_holder();
	if (try_enter(queue, kind, holder, false))
		return 0;
	bool recursive = kind == READ && holds(wf_holder_holds(), public);
	/* Somebody may only have held the latch. */
	uint64_t state = wf_latch_acquire(&queue->latch);
	uint64_t next = entered(state, kind, holder, recursive);
	wf_latch_release(&queue->latch, next != 0 ? next : state);
	if (next != 0)
		return 0;
	return kind == READ && readers(state) >= READERS_MAX ? -EAGAIN : -EBUSY;
}

int weft_rwlock_tryrdlock(weft_rwlock *public)
{
	int error = try_lock(public, READ);
	if (error == 0)
		remember(public);
	return error;
}

int weft_rwlock_trywrlock(weft_rwlock *public)
{
	return try_lock(public, WRITE);
}

int weft_rwlock_unlock(weft_rwlock *public)
{
	struct wf_queue *queue = (struct wf_queue *)public;
	if (queue == NULL)
		return -EINVAL;
	uint64_t holder = wf_holder();
	enum kind kind = writes(queue, holder) ? WRITE : READ;
	if (kind == READ && (readers(wf_latch_peek(&queue->latch)) == 0 || !forget(public)))
		return -EPERM;
	uint64_t seen = wf_latch_peek(&queue->latch);
	while (!(seen & WF_LATCH_HELD)) {
		uint64_t next = kind == WRITE ? 0 : seen - ONE_READER;
		if (!is_held(next) && (seen & WF_QUEUED))
			break;
		if (wf_latch_try(&queue->latch, &seen, next))
			return 0;
	}
	uint64_t state = wf_latch_acquire(&queue->latch);
	uint64_t next = kind == WRITE ? 0 : state - ONE_READER;
	if (is_held(next) || !(state & WF_QUEUED))
		wf_latch_release(&queue->latch, next);
	else
		pass_on(queue, kind);
	return 0;
}

WF_OWNER_CODE_END
