/* SPDX-License-Identifier: MIT */
/* engine_model.h - what engine_model.c explores: engine.c, and what park.c, worker.c, switch.c and op.c do with it
 *
 * What     functions under the names of the originals, but for what a model of few fibers does not need: generations, masks, detached
 *          operations. The engine is either as epoll.c, where an operation moves at once, or as uring.c, where its cancellation comes first
 *          and is answered by the kernel later; of both it has what counts here.
 * Switches each takes one step out or weakens it, for mutants_engine.ini.
 */
#ifndef TESTS_MODEL_ENGINE_MODEL_H
#define TESTS_MODEL_ENGINE_MODEL_H

#include "sched/base/atomic.h"

/* Declared so first, they are each model's own. */
struct wf_lock;
static void wf_lock_slow(struct wf_lock *lock);
static void wf_unlock_slow(struct wf_lock *lock);
#include "sched/base/lock.h"
#include "sched/core/fiber.h"

#include "tests/model/explorer.h"

#define THREADS 3
#define OPS 2
#define NONE UINT32_MAX /* a worker: the caller's thread is none */

/* op.cancel_asked: 0 to MOVE_SENT as in uring.c, UNDERWAY is WF_OP_UNDERWAY. */
enum { CANCEL_NONE, CANCEL_SENT, MOVE_SENT, UNDERWAY };

/* Each of them has a worker, of the same number. */
struct thread {
	wf_lock lock;
	wf_a32 server; /* worker + 1 */
	wf_a32 queue;  /* operation + 1 */
	wf_a32 box;    /* fiber + 1 */
	wf_a32 open;
	/* Notes. */
	uint32_t is_free; /* the lock */
	uint32_t user;	  /* worker + 1 that is in the engine */
	uint32_t bell;	  /* something was published for the worker */
	uint32_t stuck;	  /* its worker does not come back */
	uint32_t wanted;  /* a rescue */
	uint32_t ready;	  /* fiber + 1 that the worker runs next */
};

struct op {
	uint64_t ticket;
	uint32_t fiber;
	uint32_t cancel_asked;
	uint32_t next; /* of a queue */
	/* Notes. */
	uint32_t number;   /* how many stand in the queue up to it */
	uint32_t at;	   /* thread + 1 whose engine has it */
	uint32_t asked;	   /* the kernel is to cancel it */
	uint32_t answered; /* it has */
	uint32_t arrived;  /* what the operation waits for is there */
	uint32_t ended;
	uint32_t pad;
};

static struct {
	struct wf_fiber fiber[OPS];
	struct op op[OPS];
	struct thread thread[THREADS];
	uint32_t current[OPS]; /* the operation of each fiber: frame->op */
	/* Constants. */
	uint32_t late;	  /* the engine is as uring.c */
	uint32_t retires; /* worker + 1: a spare */
	uint32_t again;	  /* fiber 0 waits in operation 1 when operation 0 is over */
	uint32_t fixed;	  /* no operation can move */
	uint32_t pad;
	uint32_t runs_on; /* worker + 1: what an operation has woken; 0: who ended it */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* The notes of a lock are in the step of the access before. */
static struct thread *of_lock(const struct wf_lock *lock)
{
	return (struct thread *)((char *)(uintptr_t)lock - offsetof(struct thread, lock));
}

static void wf_lock_slow(struct wf_lock *lock)
{
	do
		model_wait("waits for the lock", &of_lock(lock)->is_free, NULL);
	while (!wf_trylock(lock));
}

static void wf_unlock_slow(struct wf_lock *lock)
{
	(void)lock;
}

/* Something was published for the worker: ID-1. For a stuck one the monitor asks all others. */
static void notify_one(uint32_t w)
{
	struct thread *thread = &s.thread[w];
	thread->bell = 1;
	if (!thread->stuck)
		return;
	thread->wanted = 1;
	for (uint32_t i = 0; i < THREADS; i++)
		s.thread[i].bell = 1;
}

/* The engine: every function of it with the thread's lock held. */

static void op_complete(uint32_t w, uint32_t op, bool moved);

static void in_use(uint32_t t)
{
	if (s.thread[t].user == 0)
		model_fail("the engine of thread %u is used by one who has not entered it", t);
}

static void driver_submit(uint32_t t, uint32_t at)
{
	struct op *op = &s.op[at];
	in_use(t);
	if (op->at != 0)
		model_fail("operation %u was submitted twice", at);
	op->cancel_asked = CANCEL_NONE;
	op->asked = op->answered = 0;
	op->at = t + 1;
	s.thread[t].bell |= op->arrived;
}

static void ask(struct op *op, uint32_t what)
{
	if (op->cancel_asked == CANCEL_NONE)
		op->asked = 1;
	op->cancel_asked = what;
}

static void driver_cancel(uint32_t t, uint32_t at)
{
	struct op *op = &s.op[at];
	in_use(t);
	if (op->at != t + 1)
		model_fail("thread %u's engine was to cancel operation %u, which it does not have",
			t, at);
	ask(op, CANCEL_SENT);
	s.thread[t].bell = 1;
}

static void driver_end(uint32_t t, uint32_t at, bool moved)
{
#ifdef MOVE_STAYS
	if (!moved)
#endif
		s.op[at].at = 0;
	op_complete(s.thread[t].user - 1, at, moved);
}

static void driver_flush(uint32_t t)
{
	in_use(t);
	for (uint32_t at = 0; at < OPS; at++) {
		struct op *op = &s.op[at];
		if (op->at != t + 1)
			continue;
		if (op->arrived)
			driver_end(t, at, false);
		else if (op->cancel_asked != CANCEL_NONE && (op->answered || !s.late))
			driver_end(t, at, op->cancel_asked == MOVE_SENT);
	}
}

static void driver_move_out(uint32_t t)
{
	in_use(t);
	for (uint32_t at = 0; at < OPS; at++) {
		struct op *op = &s.op[at];
		if (op->at != t + 1 || op->cancel_asked != CANCEL_NONE || s.fixed)
			continue;
		if (s.late)
			ask(op, MOVE_SENT);
		else
			driver_end(t, at, true);
	}
}

/* engine.c. */

static void engine_submit(uint32_t t, uint32_t op)
{
	struct thread *thread = &s.thread[t];
	uint32_t head = wf_load_sc32(&thread->queue);
#ifdef PUSH_BY_STORE
	s.op[op].next = head;
	wf_store_rel32(&thread->queue, op + 1);
#else
	do
		s.op[op].next = head;
	while (!wf_cas_sc32(&thread->queue, &head, op + 1)); /* EN-1 */
#endif
	s.op[op].number = head == 0 ? 1 : s.op[head - 1].number + 1;
	notify_one(t);
}

/* EN2. Returns the oldest, + 1. */
static uint32_t take_all(uint32_t t)
{
	struct thread *thread = &s.thread[t];
	uint32_t op = wf_load_rlx32(&thread->queue);
	if (op == 0)
		return 0;
#if defined(TAKE_LEAVES)
	op = wf_load_sc32(&thread->queue);
#elif defined(TAKE_BY_STORE)
	wf_store_rel32(&thread->queue, 0);
#else
	op = wf_swap_sc32(&thread->queue, 0); /* EN-1 */
#endif
	uint32_t oldest = 0;
#ifdef NEWEST_FIRST
	oldest = op;
#else
	while (op != 0) {
		uint32_t next = s.op[op - 1].next;
		s.op[op - 1].next = oldest;
		oldest = op;
		op = next;
	}
#endif
	if (oldest != 0 && s.op[oldest - 1].number != 1)
		model_fail("operation %u overtakes one that was pushed before it", oldest - 1);
	return oldest;
}

/* The thread that submitted it may not have got as far as PARKED. */
static bool is_settled(uint32_t op)
{
	return wf_ticket_phase(wf_load_acq64(&s.fiber[s.op[op].fiber].word)) == WF_PARKED; /* TK-1 */
}

/* Only the thread's own worker knows that what stands there is settled. */
static void drain(uint32_t t)
{
	bool own = s.thread[t].user == t + 1;
	uint32_t next;
	for (uint32_t op = take_all(t); op != 0; op = next) {
		next = s.op[op - 1].next;
#ifdef DRAIN_UNSETTLED
		own = true;
#endif
		if (!own && !is_settled(op - 1)) {
			engine_submit(t, op - 1);
			continue;
		}
		driver_submit(t, op - 1);
	}
}

static bool engine_enter(uint32_t w, uint32_t t)
{
	struct thread *thread = &s.thread[t];
#ifndef ENTER_WITHOUT_LOCK
	if (!wf_trylock(&thread->lock))
		return false;
#endif
	thread->is_free = 0;
#ifndef ENTER_CLOSED
	if (!wf_load_rlx32(&thread->open)) {
		wf_lock_release(&thread->lock);
		thread->is_free = 1;
		return false;
	}
#endif
	if (thread->user != 0)
		model_fail("two are in the engine of thread %u", t);
	if (!thread->open.v)
		model_fail("the engine of thread %u was entered after it was closed", t);
	thread->user = w + 1;
	wf_store_rlx32(&thread->server, w + 1);
	return true;
}

static void engine_leave(uint32_t w, uint32_t t)
{
	struct thread *thread = &s.thread[t];
	(void)w;
	wf_store_rlx32(&thread->server, 0);
	thread->user = 0;
#ifndef ENTER_WITHOUT_LOCK
	wf_lock_release(&thread->lock);
#endif
	thread->is_free = 1;
}

static bool engine_entered(uint32_t w, uint32_t t)
{
	return wf_load_rlx32(&s.thread[t].server) == w + 1;
}

static void engine_close(uint32_t t)
{
	struct thread *thread = &s.thread[t];
#ifndef CLOSE_WITHOUT_LOCK
	wf_lock_acquire(&thread->lock);
#endif
	thread->is_free = 0;
	wf_store_rlx32(&thread->open, 0);
#ifndef CLOSE_WITHOUT_LOCK
	wf_lock_release(&thread->lock);
#endif
	thread->is_free = 1;
	model_step("closes the engine");
	if (thread->user != 0)
		model_fail("the engine of thread %u is closed, and somebody is in it", t);
}

static void engine_cancel(uint32_t t, uint32_t op)
{
#ifndef CANCEL_WITHOUT_DRAIN
	drain(t);
#endif
#ifndef MOVE_WITHOUT_MARK
	if (s.op[op].cancel_asked == UNDERWAY)
		return; /* its mover looks at the life word when it is here */
#endif
	driver_cancel(t, op);
}

static void interrupt(uint32_t w, uint32_t fiber);

static bool is_interrupted(uint32_t fiber)
{
	return (wf_load_sc64(&s.fiber[fiber].life) & WF_LIFE_INTERRUPTS) != 0;
}

static void engine_move(uint32_t w, uint32_t op, uint32_t to)
{
	uint32_t fiber = s.op[op].fiber;
	bool interrupted = false;
#ifdef MOVE_LOOKS_FIRST
	interrupted = is_interrupted(fiber);
#endif
#ifndef MOVE_WITHOUT_MARK
	s.op[op].cancel_asked = UNDERWAY;
#endif
#ifdef MOVE_NAMES_LAST
	engine_submit(to, op);
	wf_swap_sc32(&s.fiber[fiber].op_thread, to + 1);
#else
#ifndef MOVE_WITHOUT_NAME
	wf_swap_sc32(&s.fiber[fiber].op_thread, to + 1); /* EN-2 */
#endif
	engine_submit(to, op);
#endif
#if !defined(MOVE_WITHOUT_LOOK) && !defined(MOVE_LOOKS_FIRST)
	interrupted = is_interrupted(fiber); /* EN-2 */
#endif
	if (interrupted)
		interrupt(w, fiber);
}

static void take_queue(uint32_t w, uint32_t from)
{
	uint32_t next;
	for (uint32_t op = take_all(from); op != 0; op = next) {
		next = s.op[op - 1].next;
#ifdef TAKE_UNSETTLED
		engine_move(w, op - 1, w);
#else
		if (is_settled(op - 1))
			engine_move(w, op - 1, w);
		else
			engine_submit(from, op - 1);
#endif
	}
}

/* worker.c. */

static uint32_t rescue_target(uint32_t w)
{
	return s.retires == w + 1 ? 0 : w;
}

static void op_complete(uint32_t w, uint32_t at, bool moved)
{
	struct op *op = &s.op[at];
	if (moved) {
#ifndef MOVE_FORGETS
		engine_move(w, at, rescue_target(w));
#endif
		return;
	}
	uint64_t ticket = op->ticket;
	if (op->ended++ != 0)
		model_fail("operation %u ended twice", at);
	wf_store_rlx32(&s.fiber[op->fiber].op_thread, 0);
	if (!wf_ticket_end(&s.fiber[op->fiber].word, ticket))
		model_fail("operation %u ended under a fiber that is not parked in it", at);
	model_step("makes the fiber ready");
	uint32_t runs = s.runs_on != 0 ? s.runs_on - 1 : w;
	s.thread[runs].ready = op->fiber + 1;
	s.thread[runs].bell = 1;
}

static void answer_requests(uint32_t w, uint32_t box)
{
	if (wf_load_acq32(&s.thread[box].box) == 0)
		return;
#ifdef BOX_TAKEN_BY_STORE
	uint32_t at = wf_load_acq32(&s.thread[box].box);
	wf_store_rel32(&s.thread[box].box, 0);
#else
	uint32_t at = wf_swap_sc32(&s.thread[box].box, 0); /* IN-1 */
#endif
	while (at != 0) {
		uint32_t fiber = at - 1;
		at = s.fiber[fiber].box_next;
#ifdef BOXED_UNTIL_ANSWERED
		if (is_interrupted(fiber))
			interrupt(w, fiber);
		wf_swap_sc32(&s.fiber[fiber].boxed, 0);
#else
		wf_swap_sc32(&s.fiber[fiber].boxed, 0);
		if (is_interrupted(fiber))
			interrupt(w, fiber);
#endif
	}
}

/* park.c. */

static void cancel_if_there(uint32_t t, uint32_t fiber)
{
	uint64_t word = wf_load_sc64(&s.fiber[fiber].word);
#ifdef CANCEL_UNPARKED
	word = wf_ticket_with(word, WF_PARKED);
#endif
#ifdef CANCEL_WITHOUT_NAME
	bool there = true;
#else
	bool there = wf_load_sc32(&s.fiber[fiber].op_thread) == t + 1;
#endif
	if (there && wf_ticket_phase(word) == WF_PARKED && is_interrupted(fiber))
		engine_cancel(t, s.current[fiber]);
}

static bool cancel_here(uint32_t w, uint32_t fiber, uint32_t t)
{
	if (engine_entered(w, t)) {
		cancel_if_there(t, fiber);
		return true;
	}
#ifdef CANCEL_WITHOUT_ENTERING
	if (t != w)
		return false;
	cancel_if_there(t, fiber);
#else
	if (t != w || !engine_enter(w, t))
		return false;
	cancel_if_there(t, fiber);
	engine_leave(w, t);
#endif
	return true;
}

static void post_cancel(uint32_t w, uint32_t fiber)
{
	struct wf_fiber *block = &s.fiber[fiber];
	uint32_t thread = wf_load_sc32(&block->op_thread); /* EN-2 */
	if (thread == 0)
		return;
	if (w != NONE && cancel_here(w, fiber, thread - 1)) {
		uint32_t now = wf_load_sc32(&block->op_thread);
		if (now == thread || now == 0)
			return;
		thread = now;
	}
#ifdef ANSWER_WITHOUT_PASSING_ON
	if (w != NONE)
		return;
#endif
	if (wf_swap_sc32(&block->boxed, 1) != 0)
		return;
	struct thread *target = &s.thread[thread - 1];
	uint32_t head = wf_load_sc32(&target->box);
	do
		block->box_next = head;
	while (!wf_cas_sc32(&target->box, &head, fiber + 1)); /* IN-1 */
	notify_one(thread - 1);
}

static void interrupt(uint32_t w, uint32_t fiber)
{
	uint64_t word = wf_load_sc64(&s.fiber[fiber].word); /* WK-1.4 */
	if (is_interrupted(fiber) && wf_ticket_phase(word) == WF_PARKED)
		post_cancel(w, fiber);
}

/* op.c and switch.c: commit_op and commit_park, by the worker that the fiber leaves. */
static void park(uint32_t w, uint32_t fiber, uint32_t op)
{
	struct wf_fiber *block = &s.fiber[fiber];
	bool parked;
	s.current[fiber] = op;
	s.op[op].fiber = fiber;
	uint64_t ticket = wf_ticket_begin(&block->word, WF_PARK_OP);
	s.op[op].ticket = ticket;
#ifndef NAME_AFTER_PARKED
	wf_store_rlx32(&block->op_thread, w + 1); /* EN3 */
#endif
	engine_submit(w, op);
	wf_ticket_commit(&block->word, ticket, &parked);
#ifndef PARK_WITHOUT_LOOK
	if (is_interrupted(fiber)) /* WK-1.2 */
		interrupt(w, fiber);
#endif
#ifdef NAME_AFTER_PARKED
	wf_store_rlx32(&block->op_thread, w + 1);
#endif
}

#endif
