/* SPDX-License-Identifier: MIT */
/* park.c - the one wait primitive, and what ends a wait; see worker.h and ticket.h
 *
 * Rules    N1 the LATE bit only wakes: whether the deadline has passed is decided by the clock. A timer that is on its way when its
 *             deadline is moved finds another epoch, and sets no bit: a wait is never interrupted for nothing, which would cost its
 *             place.
 *          N2 the SCOPE bit only wakes, too: whether a scope is cancelled stands in the innermost scope's state, whether it is late is
 *             decided by the clock. A fiber that meets the bit and finds nothing in force clears it, and looks once more (LF-4). The
 *             clock is read after that: a walk for a deadline that came before is then seen by it.
 */
#include <errno.h>

#include "sched/base/sanitize.h"
#include "sched/core/engine.h"
#include "sched/core/rescue.h"

/* Generation and epoch. */
#define WF_DEADLINE_KEY (~UINT64_C(0) << WF_GENERATION_SHIFT | WF_LIFE_EPOCHS)

WF_OWNER_CODE_BEGIN

int wf_park(uint64_t flags, wf_commit_fn commit, void *arg)
{
	struct wf_worker *w = wf_self();
	struct wf_fiber *fiber = w->current;
	/* rlx: any recent time will do. */
	fiber->frame->wait_since = (weft_ns)wf_load_rlx64(&w->rt->coarse_now);
	w->after = (struct wf_after){
		.kind = {WF_AFTER_PARK},
		.fiber = fiber,
		.commit = commit,
		.arg = arg,
		.ticket = wf_ticket_begin(&fiber->word, flags),
	};
	wf_tsan_release(&fiber->word); /* for the commit function, which looks at this fiber's stack */
	wf_switch_away(w, fiber);
	(void)wf_load_acq64(&fiber->word); /* TK-1: what the waker did before is seen */
	return fiber->wake_code;
}

uint64_t wf_park_masks(const struct wf_fiber *fiber)
{
	if (fiber->flags & WF_FIBER_SHIELD)
		return WF_PARK_NO_CANCEL | WF_PARK_NO_SCOPE;
	return (fiber->flags & WF_FIBER_SHELTER) ? WF_PARK_NO_CANCEL : 0;
}

/* The deadline's timer: `key` is generation and epoch. */
static void deadline_over(struct wf_worker *w, uint32_t owner, uint64_t key)
{
	struct wf_fiber *fiber = wf_fiber_at(owner);
	uint64_t life = wf_load_sc64(&fiber->life);
	do {
		if (((life ^ key) & WF_DEADLINE_KEY) || !(life & WF_LIFE_LIVE))
			return;						  /* N1 */
	} while (!wf_cas_sc64(&fiber->life, &life, life | WF_LIFE_LATE)); /* WK-1.3 */
	wf_interrupt(w, fiber, wf_fiber_generation(key));
}

void wf_deadline_disarm(struct wf_fiber *fiber)
{
	struct wf_frame *frame = fiber->frame;
	bool was_armed = frame->deadline_armed;
	frame->deadline_armed = false;
	if (!was_armed || wf_timer_cancel(&frame->timer))
		return;
	/* It has fired, or is about to: what still comes of it is of an older epoch. */
	uint64_t life = wf_load_sc64(&fiber->life);
	uint64_t next;
	do
		next = (life & ~WF_LIFE_EPOCHS) | ((life + WF_LIFE_EPOCH) & WF_LIFE_EPOCHS);
	while (!wf_cas_sc64(&fiber->life, &life, next));
}

void wf_deadline_arm(struct wf_worker *w, struct wf_fiber *fiber)
{
	struct wf_frame *frame = fiber->frame;
	wf_deadline_disarm(fiber);
	frame->timer.owner = fiber->index;
	frame->timer.key = wf_load_rlx64(&fiber->life) &
		WF_DEADLINE_KEY; /* rlx: only the fiber itself changes them */
	frame->timer.fire = deadline_over;
	frame->deadline_armed = true;
	wf_timer_arm(&w->timers, &frame->timer, frame->deadline);
	wf_bump(w, WF_TIMERS_ARMED, 1);
}

static bool scope_cancelled(const struct wf_frame *frame)
{
	return frame->reach != NULL && (wf_load_sc32(&frame->reach->state) & WF_REACH_ANY); /* LF-4 */
}

bool wf_cancel_in_force(struct wf_fiber *fiber)
{
	uint64_t life = wf_load_acq64(&fiber->life); /* WK-1 covers what comes later: a hint is enough here */
	uint32_t flags = fiber->flags;
	if ((life & WF_LIFE_CANCEL) && !(flags & (WF_FIBER_SHIELD | WF_FIBER_SHELTER)))
		return true;
	if (WF_LIKELY(!(life & WF_LIFE_SCOPE)) || (flags & WF_FIBER_SHIELD))
		return false;
	if (scope_cancelled(fiber->frame))
		return true;
	wf_and_sc64(&fiber->life, ~WF_LIFE_SCOPE); /* N2 */
	if (!scope_cancelled(fiber->frame))
		return false;
	wf_or_sc64(&fiber->life, WF_LIFE_SCOPE);
	return true;
}

void wf_feel(struct wf_fiber *fiber, weft_ns now)
{
	if (!(wf_load_acq64(&fiber->life) & WF_LIFE_SCOPED) ||
		(fiber->flags & (WF_FIBER_SHIELD | WF_FIBER_SHELTER)))
		return;
	if (wf_load_sc32(&fiber->scope->state) & WF_REACH_ANY) /* LF-4 */
		fiber->flags |= WF_FIBER_FELT_CANCEL;
	else if (now >= fiber->scope->deadline)
		fiber->flags |= WF_FIBER_FELT_LATE;
}

int wf_interrupted(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (WF_UNLIKELY(wf_cancel_in_force(fiber))) {
		wf_feel(fiber, 0);
		return -ECANCELED;
	}
	struct wf_frame *frame = fiber->frame;
	weft_ns deadline = frame->deadline;
	if (WF_UNLIKELY(frame->scope_deadline < deadline) && !(fiber->flags & WF_FIBER_SHIELD))
		deadline = frame->scope_deadline;
	weft_ns now;
	if (deadline != WEFT_FOREVER && (now = wf_worker_now(w)) >= deadline) {
		wf_feel(fiber, now);
		return -ETIMEDOUT;
	}
	if (WF_UNLIKELY(wf_load_acq64(&fiber->life) & WF_LIFE_LATE)) { /* N1 */
		wf_and_sc64(&fiber->life, ~WF_LIFE_LATE);
		if (frame->deadline != WEFT_FOREVER)
			wf_deadline_arm(w, fiber);
	}
	return 0;
}

/* Which interrupts of the life word reach a park with these flags. */
static uint64_t unmasked(uint64_t life, uint64_t word)
{
	uint64_t bits = life & WF_LIFE_INTERRUPTS;
	if (word & WF_PARK_NO_CANCEL)
		bits &= ~WF_LIFE_CANCEL;
	if (word & WF_PARK_NO_LATE)
		bits &= ~WF_LIFE_LATE;
	if (word & WF_PARK_NO_CLOSE)
		bits &= ~WF_LIFE_CLOSE;
	if (word & WF_PARK_NO_SCOPE)
		bits &= ~WF_LIFE_SCOPE;
	return bits;
}

/* With that thread's engine entered: does its operation have to go still, and is it there (EN3 of engine.h)? */
static void cancel_if_there(struct wf_thread *thread, struct wf_fiber *fiber)
{
	uint64_t word = wf_load_sc64(&fiber->word);
	bool there = wf_load_sc32(&fiber->op_thread) == thread->slot + 1;
	if (there && wf_ticket_phase(word) == WF_PARKED && (word & WF_PARK_OP) &&
		unmasked(wf_load_sc64(&fiber->life), word) != 0)
		wf_engine_cancel(thread, fiber->frame->op);
}

/* False: that thread's engine is not w's to use at this moment. */
static bool cancel_here(struct wf_worker *w, struct wf_fiber *fiber, struct wf_thread *thread)
{
	if (wf_engine_entered(w, thread)) {
		cancel_if_there(thread, fiber);
		return true;
	}
	if (thread != w->thread || !wf_engine_enter(w, thread))
		return false;
	cancel_if_there(thread, fiber);
	wf_engine_leave(w, thread);
	return true;
}

/* Cancels the fiber's operation, or asks the thread whose engine holds it. `op_thread` may be of an older park, or the operation on its way
 * to another thread: whoever opens the box finds that out, and passes the request on if it must (worker.c). */
static void post_cancel(struct wf_worker *w, struct wf_fiber *fiber)
{
	uint32_t thread = wf_load_sc32(&fiber->op_thread); /* EN-2 */
	if (thread == 0)
		return; /* not submitted yet: the committer looks at the life word after PARKED (WK-1.2) */
	struct wf_runtime *rt = fiber->rt;
	if (w != NULL && w->rt == rt && cancel_here(w, fiber, &rt->thread[thread - 1])) {
		uint32_t now = wf_load_sc32(&fiber->op_thread);
		if (now == thread || now == 0)
			return;
		thread = now; /* moved meanwhile */
	}
	if (wf_swap_sc32(&fiber->boxed, 1) != 0)
		return; /* on its way: its owner clears `boxed` before it looks at the life word */
	struct wf_worker *target = rt->thread[thread - 1].worker;
	uint32_t head = wf_load_sc32(&target->box);
	do
		fiber->box_next = head;
	while (!wf_cas_sc32(&target->box, &head, fiber->index)); /* IN-1 */
	wf_worker_notify_one(rt, target->index);
	wf_spare_check_box(w, target);
}

static void interrupt_referenced(struct wf_worker *w, struct wf_fiber *fiber, uint32_t generation)
{
	for (;;) {
		uint64_t word = wf_load_sc64(&fiber->word); /* WK-1.4 */
		uint64_t life = wf_load_sc64(&fiber->life);
		/* The word was read first: if the generation still holds now, it held then, and the word's sequence number
		 * is of this incarnation. */
		if (wf_fiber_generation(life) != generation || unmasked(life, word) == 0)
			return;
		if (wf_ticket_phase(word) != WF_PARKED)
			return; /* it looks for itself: when it parks (WK-1.2), or at its next blocking call */
		if (word & WF_PARK_OP) {
			post_cancel(w, fiber);
			return;
		}
		if (wf_wake(w, fiber, word, WF_WAKE_INTERRUPTED))
			return;
	}
}

void wf_interrupt(struct wf_worker *w, struct wf_fiber *fiber, uint32_t generation)
{
	/* U1: before the generation is looked at. While it holds, the runtime read here is the fiber's. */
	struct wf_runtime *rt = fiber->rt;
	bool foreign = w == NULL || w->rt != rt;
	if (foreign)
		wf_add_sc32(&rt->references, 1);
	interrupt_referenced(w, fiber, generation);
	if (foreign)
		wf_sub_sc32(&rt->references, 1);
}

static bool is_foreign(const struct wf_worker *w, const struct wf_runtime *rt)
{
	return w == NULL || w->rt != rt;
}

bool wf_wake_win(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket)
{
	struct wf_runtime *rt = fiber->rt;
	if (is_foreign(w, rt))
		wf_add_sc32(&rt->references, 1); /* U1, RT-3: before the ticket. Runtime structs are never unmapped */
	if (wf_ticket_win(&fiber->word, ticket))
		return true;
	if (is_foreign(w, rt))
		wf_sub_sc32(&rt->references, 1);
	return false;
}

void wf_wake_done(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, int code, bool soon)
{
	struct wf_runtime *rt = fiber->rt;
	fiber->wake_code = code;
	if (wf_ticket_done(&fiber->word, ticket) == WF_TICKET_PUSH)
		wf_make_ready(w, fiber, soon);
	if (is_foreign(w, rt))
		wf_sub_sc32(&rt->references, 1);
}

bool wf_wake(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket, int code)
{
	if (!wf_wake_win(w, fiber, ticket))
		return false;
	wf_wake_done(w, fiber, ticket, code, code == WF_WAKE_OK);
	return true;
}

struct wf_fiber *wf_wake_to_run(struct wf_worker *w, struct wf_fiber *fiber, uint64_t ticket)
{
	/* Its stack and what it waited for are warm: it runs at once where it may. */
	if (fiber->rt != w->rt || (fiber->flags & WF_FIBER_HOMED)) {
		wf_wake_done(w, fiber, ticket, WF_WAKE_OK, true);
		return NULL;
	}
	fiber->wake_code = WF_WAKE_OK;
	if (wf_ticket_done(&fiber->word, ticket) != WF_TICKET_PUSH)
		return NULL;
	wf_bump(w, WF_WAKES, 1);
	wf_store_rlx64(&fiber->word, wf_ticket_with(ticket, WF_RUNNING)); /* rlx: F4, this worker owns it */
	return fiber;
}

/* To the inbox of the worker a pinned fiber belongs to. */
static void push_inbox(struct wf_runtime *rt, struct wf_fiber *fiber)
{
	struct wf_worker *home = &rt->worker[fiber->home];
	uint32_t head = wf_load_sc32(&home->inbox);
	uint32_t target = home->index;
	do
		fiber->next = head;
	while (!wf_cas_sc32(&home->inbox, &head, fiber->index)); /* IN-1 */
	wf_worker_notify_one(rt, target);
}

/* The ring is full: its oldest and the fiber go to the injection queue. */
static void overflow(struct wf_worker *w, struct wf_fiber *fiber)
{
	void *half[WF_OVERFLOW_BATCH];
	uint32_t count = wf_ready_steal(&w->ready, half, WF_OVERFLOW_BATCH);
	for (uint32_t i = 0; i + 1 < count; i++)
		((struct wf_fiber *)half[i])->next = ((struct wf_fiber *)half[i + 1])->index;
	struct wf_fiber *head = count > 0 ? half[0] : fiber;
	if (count > 0)
		((struct wf_fiber *)half[count - 1])->next = fiber->index;
	wf_bump(w, WF_OVERFLOWS, count + 1);
	wf_inject(w->rt, head, fiber, count + 1);
}

void wf_queue_ready(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (WF_LIKELY(wf_ready_push(&w->ready, fiber, wf_shared(w))))
		return;
	/* The allocator needs more stack than a small fiber has. */
	bool small = w->current != NULL && (w->current->flags & WEFT_SMALL);
	if (small || !wf_ready_grow_self(&w->ready) || !wf_ready_push(&w->ready, fiber, wf_shared(w)))
		overflow(w, fiber);
}

void wf_make_ready(struct wf_worker *w, struct wf_fiber *fiber, bool soon)
{
	struct wf_runtime *rt = fiber->rt;
	if (w != NULL)
		wf_bump(w, WF_WAKES, 1);
	if (fiber->flags & WF_FIBER_HOMED) {
		push_inbox(rt, fiber);
		return;
	}
	if (w == NULL || w->rt != rt) {
		wf_inject(rt, fiber, fiber, 1);
		wf_runtime_notify(rt);
		return;
	}
	bool began = wf_inside_begin(w);
	bool lone = false;
	if (soon && w->current != NULL) {
		/* To run next; whoever stood there goes to the ring. ID-1.1 */
		fiber = wf_swap_scp(&w->next, fiber);
		lone = fiber == NULL;
	}
	if (fiber != NULL)
		wf_queue_ready(w, fiber);
	if (!w->batching)
		wf_worker_notify(w, lone);
	wf_inside_end(w, began);
}

WF_OWNER_CODE_END
