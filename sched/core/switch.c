/* SPDX-License-Identifier: MIT */
/* switch.c - the only caller of the context switch: what surrounds it, and a fiber's first and last steps
 *
 * Rules    S1 errno's value, ASan's fake stack, TSan's context and, for those who ask, the floating-point control state are kept here
 *             and nowhere else.
 *          S2 whoever arrives on a stack first does what its predecessor left (`after`, W2 of worker.h).
 *          S3 small fibers switch through the scheduler only: what a predecessor leaves may need more stack than they have.
 */
#include <errno.h>
#include <string.h>

#include "sched/base/alloc.h"
#include "sched/base/sanitize.h"
#include "sched/core/rescue.h"
#include "sched/core/spawn.h"
#include "sched/core/strand.h"

WF_OWNER_CODE_BEGIN

static bool is_small(const struct wf_fiber *fiber)
{
	return (fiber->flags & WEFT_SMALL) != 0;
}

/* A fiber goes on where it stood: perhaps on a strand. */
#ifdef WF_ASAN
static void announce_fiber(const struct wf_fiber *to, void **keep)
{
	const struct wf_strand *strand = to->frame->host.strand;
	if (strand != NULL)
		wf_asan_leave(keep, strand->bottom, strand->bytes);
	else
		wf_asan_leave(keep, to->stack.low,
			(size_t)((char *)wf_stack_frame(&to->stack) - to->stack.low));
}
#endif

static void *tsan_context(const struct wf_fiber *fiber)
{
#ifdef WF_TSAN
	const struct wf_strand *strand = fiber->frame->host.strand;
	return strand != NULL ? strand->tsan : wf_fiber_tsan(fiber);
#else
	(void)fiber;
	return NULL;
#endif
}

/* What a worker's thread has made for itself was there before any fiber. What a spare's has was not, and TSan does not know that a fiber is on
 * that thread now. */
WF_ACROSS_CONTEXTS static void tsan_switch(struct wf_worker *w, void *context)
{
	bool spare = w->index >= w->rt->worker_count; /* wf_is_spare() is instrumented */
	if (spare)
		wf_tsan_release(w); /* as an ended fiber does: the thread's end frees what this one has used */
	wf_tsan_switch(context);
	if (spare)
		wf_tsan_acquire(&w->thread->tsan);
}

/* Tells ASan where the next stack lies. `keep`: where this one's fake stack is kept, NULL when it ends. */
WF_ACROSS_CONTEXTS static void announce_stack(struct wf_worker *w, struct wf_fiber *to, void **keep)
{
#ifdef WF_ASAN
	if (to != NULL)
		announce_fiber(to, keep);
	else
		wf_asan_leave(keep, w->thread->stack_bottom, w->thread->stack_bytes);
#else
	(void)keep;
#endif
	tsan_switch(w, to != NULL ? tsan_context(to) : w->thread->tsan);
}

/* Before any switch to `to` (NULL: the scheduler): it becomes current. */
static void *enter(struct wf_worker *w, struct wf_fiber *to)
{
	w->current = to;
	if (to == NULL)
		return w->scheduler_sp;
	wf_bump(w, WF_RUNS, 1);
	w->credit = WF_RUN_CREDIT;
	return to->sp;
}

static void fp_leave(struct wf_fiber *from, const struct wf_fiber *to)
{
	if (from != NULL && (from->flags & WEFT_FP_ENV)) {
		wf_fp_save(&from->frame->fp);
		if (to == NULL || !(to->flags & WEFT_FP_ENV))
			wf_fp_load(&wf_fp_default);
	}
	if (to != NULL && (to->flags & WEFT_FP_ENV))
		wf_fp_load(&to->frame->fp);
}

static bool fp_concerned(const struct wf_fiber *from, const struct wf_fiber *to)
{
	return ((from != NULL ? from->flags : 0) | (to != NULL ? to->flags : 0)) & WEFT_FP_ENV;
}

/* X5 of context.h. */
static struct wf_worker *switch_stacks(struct wf_worker *w, void **save, struct wf_fiber *to, void *sp)
{
	if (to != NULL && (to->flags & WF_FIBER_FRESH)) {
		to->flags &= ~WF_FIBER_FRESH;
		return wf_context_start(save, sp, w);
	}
	return wf_context_switch(save, sp, w);
}

void wf_switch_to(struct wf_worker *w, struct wf_fiber *to)
{
	int saved = *w->errno_address;
	void *sp = enter(w, to);
	if (WF_UNLIKELY(fp_concerned(NULL, to)))
		fp_leave(NULL, to);
	announce_stack(w, to, &w->thread->asan_fake);
	w = switch_stacks(w, &w->scheduler_sp, to, sp);
	wf_asan_enter(w->thread->asan_fake, NULL, NULL);
	*w->errno_address = saved;
	wf_arrive(w);
}

/* Whom a fiber gives way to; NULL: the scheduler, which runs `handoff` first, unless the tick's budget is spent. Direct switches spend the tick's budget. */
static struct wf_fiber *choose_next(struct wf_worker *w, bool from_small)
{
	__asm__ volatile("" ::
				 : "memory"); /* RS3 of rescue.h: `after.kind` is set before `shared` is read */
	if (--w->budget <= 0 || from_small || WF_UNLIKELY(!wf_may_run(w))) /* S3 */
		return NULL;
	struct wf_fiber *to = w->handoff != NULL ? w->handoff : wf_pick(w);
	bool direct = to != NULL && !is_small(to); /* S3 */
	w->handoff = direct ? NULL : to;
	return direct ? to : NULL;
}

void wf_switch_away(struct wf_worker *w, struct wf_fiber *from)
{
	if (WF_UNLIKELY(from->flags & WF_FIBER_CANARY))
		wf_overflow_check(from);
	int saved = *w->errno_address;
	struct wf_fiber *to = choose_next(w, is_small(from));
	void *sp = enter(w, to);
	if (WF_UNLIKELY(fp_concerned(from, to)))
		fp_leave(from, to);
	announce_stack(w, to, &from->frame->asan_fake);
	w = switch_stacks(w, &from->sp, to, sp); /* may come back on another thread */
	wf_asan_enter(from->frame->asan_fake, NULL, NULL);
	*w->errno_address = saved;
	wf_arrive(w);
}

/* The ending fiber's last choice; wf_context_entry carries it out. */
static struct wf_fiber *choose_last(struct wf_worker *w, struct wf_fiber *joiner)
{
	w->handoff = joiner;
	struct wf_fiber *to = choose_next(w, false);
	if (WF_UNLIKELY(to != NULL && fp_concerned(NULL, to)))
		fp_leave(NULL, to);
	if (to != NULL)
		to->flags &= ~WF_FIBER_FRESH;
	return to;
}

/* PARKING is over: the fiber is published by its commit function, or is ready at once. */
static void commit_park(struct wf_worker *w, const struct wf_after *after)
{
	struct wf_fiber *fiber = after->fiber;
	uint32_t generation = wf_fiber_generation(wf_load_acq64(&fiber->life)); /* LF-3 */
	wf_bump(w, WF_PARKS, 1);
	bool published = after->commit(w, fiber, after->ticket, after->arg);
	wf_tsan_release(&fiber->word); /* what it read of the fiber's memory comes before the fiber goes on */
	if (!published) {
		fiber->wake_code = WF_WAKE_OK;
		/* TK-2: carries what the commit saw, such as the end of a joined fiber. */
		wf_store_rel64(&fiber->word, wf_ticket_with(after->ticket, WF_READY));
		wf_make_ready(w, fiber, true);
		return;
	}
	bool parked;
	if (wf_ticket_commit(&fiber->word, after->ticket, &parked) == WF_TICKET_PUSH)
		wf_make_ready(w, fiber, true);
	else if (parked && (wf_load_sc64(&fiber->life) & WF_LIFE_INTERRUPTS)) /* WK-1.2 */
		wf_interrupt(w, fiber, generation);
}

/* For TSan a commit function is the worker's doing: neither the fiber's that left, nor its successor's. */
WF_ACROSS_CONTEXTS static void commit_as_worker(struct wf_worker *w, const struct wf_after *after)
{
	wf_tsan_switch(w->thread->tsan);
	wf_tsan_acquire(&after->fiber->word);
	commit_park(w, after);
	wf_tsan_switch(w->current != NULL ? tsan_context(w->current) : w->thread->tsan);
}

void wf_arrive(struct wf_worker *w)
{
	struct wf_after *after = &w->after;
	enum wf_after_kind kind = (enum wf_after_kind)wf_load_rlx32(&after->kind); /* rlx: the worker's own */
	switch (kind) {
	case WF_AFTER_NONE:
	case WF_AFTER_INSIDE:
	case WF_AFTER_SCHEDULER:
		break;
	case WF_AFTER_PARK: {
		struct wf_after copy = *after; /* commit may wake fibers, and those paths use `after` no more */
		commit_as_worker(w, &copy);
		break;
	}
	case WF_AFTER_YIELD:
		wf_requeue(w, after->fiber);
		break;
	case WF_AFTER_END:
		wf_tsan_destroy(after->tsan);
		wf_stack_give(w, &after->stack);
		break;
	}
	/* RS3 of rescue.h: the queues are left. */
	wf_store_rel32(&after->kind, w->current != NULL ? WF_AFTER_NONE : WF_AFTER_SCHEDULER);
}

void wf_fiber_prepare(struct wf_worker *w, struct wf_fiber *fiber)
{
	if (!(fiber->flags & WF_FIBER_STACK))
		wf_stack_take(w, &fiber->stack);
	struct wf_frame *frame = wf_stack_frame(&fiber->stack);
	bool scoped = (wf_load_rlx64(&fiber->life) & WF_LIFE_SCOPED) != 0; /* rlx: constant while it lives */
	frame->deadline = WEFT_FOREVER;
	frame->deadline_armed = false;
	frame->reach = scoped ? fiber->scope : NULL;
	frame->scope_deadline = scoped ? fiber->scope->deadline : WEFT_FOREVER;
	frame->scope = NULL;
	frame->scope_site = NULL;
	frame->wait_kind = 0;
	frame->holds = (struct wf_holds){0};
	memset(&frame->timer, 0, sizeof(frame->timer));
	frame->locals = NULL;
	frame->local_count = 0;
	frame->host = (struct wf_host){0};
	frame->op = NULL;
	frame->asan_fake = NULL;
	frame->fp = wf_fp_default;
	frame->name[0] = '\0';
	if (fiber->sp != NULL) { /* the name given at spawn */
		memcpy(frame->name, fiber->sp, WF_NAME_BYTES);
		wf_free(fiber->sp, WF_NAME_BYTES);
	}
	fiber->frame = frame;
	if (wf_stack_has_canary(&fiber->stack))
		fiber->flags |= WF_FIBER_CANARY;
	if (fiber->flags & WEFT_PINNED) {
		fiber->home = w->index;
		fiber->flags |= WF_FIBER_HOMED;
	}
	fiber->sp = wf_context_make(wf_stack_top(&fiber->stack), wf_fiber_main);
	fiber->flags |= WF_FIBER_FRESH;
}

static struct wf_worker *begin(struct wf_worker *w)
{
	struct wf_fiber *fiber = w->current;
	wf_asan_enter(NULL, NULL, NULL);
	wf_tsan_acquire(fiber->stack.low);
	wf_arrive(w);
	if (wf_load_sc32(&w->rt->stopping)) { /* U3, RT-2 */
		uint64_t before;
		wf_life_set(fiber, wf_fiber_generation(wf_load_rlx64(&fiber->life)), WF_LIFE_CANCEL,
			WF_LIFE_SCOPED, &before);
	}
	*w->errno_address = 0;
	return w;
}

/* The stack is still this fiber's until wf_context_entry has left it; the block may be its joiner's already. */
static struct wf_context_next finish(struct wf_fiber *fiber, void *result)
{
	struct wf_fiber *joiner = wf_fiber_end(fiber, result);
	struct wf_worker *w = wf_self();
	struct wf_fiber *to = choose_last(w, joiner);
	return (struct wf_context_next){.sp = enter(w, to), .value = w};
}

/* A scope's child returns a number. */
WF_ACROSS_CONTEXTS static void *call(struct wf_fiber *fiber)
{
	if (wf_load_rlx64(&fiber->life) & WF_LIFE_SCOPED) /* rlx: constant while it lives */
		return (void *)(intptr_t)wf_as_child(fiber->fn)(fiber->arg);
	return fiber->fn(fiber->arg);
}

WF_ACROSS_CONTEXTS struct wf_context_next wf_fiber_main(void *value)
{
	struct wf_worker *w = begin(value);
	struct wf_fiber *fiber = w->current;
	struct wf_context_next next = finish(fiber, call(fiber));
	w = next.value;
	wf_tsan_release(w->after.stack.low);
	wf_tsan_release(w); /* the runtime's end frees what fibers used */
	announce_stack(w, w->current, NULL);
	return next;
}

/* Before `from` is left for `to`; `keep`: where `from`'s fake stack is kept, NULL when it ends. */
WF_ACROSS_CONTEXTS static void *leave_strand(
	struct wf_host *host, struct wf_strand *from, struct wf_strand *to, bool ends)
{
	if (WF_UNLIKELY(from->canary && !wf_stack_canary_intact(&from->stack)))
		wf_overflow_strand(from);
	host->strand = to == &host->own ? NULL : to;
	to->fresh = false;
#ifdef WF_ASAN
	wf_asan_leave(ends ? NULL : &from->asan_fake, to->bottom, to->bytes);
#endif
#ifdef WF_TSAN
	if (from->stack.low == NULL)
		from->tsan = wf_tsan_self();
	wf_tsan_hand_over(to->tsan);
#endif
	(void)ends;
	return to->sp;
}

/* `came_from`: where control was before. Only now is it known where a host's own stack lies. */
WF_ACROSS_CONTEXTS static void enter_strand(struct wf_strand *strand, struct wf_strand *came_from)
{
#ifdef WF_ASAN
	wf_asan_enter(strand->asan_fake, &came_from->bottom, &came_from->bytes);
	strand->asan_fake = NULL;
#endif
	(void)strand, (void)came_from;
}

WF_ACROSS_CONTEXTS void wf_strand_switch(struct wf_host *host, struct wf_strand *to, int value)
{
	struct wf_strand *from = wf_host_strand(host);
	bool fresh = to->fresh;
	void *sp = leave_strand(host, from, to, false);
	/* X5 of context.h. */
	void *carried = WF_STRANDS_STEP ? (void *)(intptr_t)value : from;
	struct wf_strand *came_from = fresh ? wf_context_start(&from->sp, sp, carried)
					    : wf_context_switch(&from->sp, sp, carried);
	enter_strand(from, came_from);
}

int wf_strand_step(struct wf_host *host, struct wf_strand *to)
{
	struct wf_strand *from = wf_host_strand(host);
	return wf_context_resume(&from->sp, leave_strand(host, from, to, false), 0);
}

int wf_strand_step_back(struct wf_host *host, struct wf_strand *to, int value, wf_a32 *word, uint32_t mark)
{
	struct wf_strand *from = host->strand;
	/* Release: the strand's contents (GE-1 of sched/task/gen.h). */
	return wf_context_hand_back(&from->sp, leave_strand(host, from, to, false), value, &word->v, mark);
}

int wf_strand_step_call(struct wf_host *host, struct wf_strand *to, struct wf_context_call *call)
{
	struct wf_strand *from = host->strand;
	return wf_context_divert(&from->sp, leave_strand(host, from, to, false), call);
}

WF_ACROSS_CONTEXTS struct wf_context_next wf_strand_main(void *came_from)
{
	struct wf_strand *self = wf_host()->strand;
	enter_strand(self, came_from);
	struct wf_strand *to = self->entry(self);
	return (struct wf_context_next){.sp = leave_strand(wf_host(), self, to, true), .value = self};
}

WF_OWNER_CODE_END
