/* SPDX-License-Identifier: MIT */
/* strand.c - see strand.h */
#include "sched/core/strand.h"

#include "sched/base/log.h"
#include "sched/base/sanitize.h"
#include "sched/core/runtime.h"

static __thread struct wf_host thread_host __attribute__((tls_model("initial-exec")));
static __thread struct wf_host *adopted
	__attribute__((tls_model("initial-exec"))); /* a forked fiber's; NULL: thread_host */

WF_OWNER_CODE_BEGIN

/* A plain thread never changes under its code, a fiber's does: out of line, as wf_self (law 6). */
__attribute__((noinline)) struct wf_host *wf_host(void)
{
	struct wf_fiber *fiber = wf_current();
	if (WF_LIKELY(fiber != NULL))
		return &fiber->frame->host;
	return WF_LIKELY(adopted == NULL) ? &thread_host : adopted;
}

void wf_host_adopt(void)
{
	const struct wf_fiber *fiber = wf_current();
	if (fiber != NULL)
		adopted = &fiber->frame->host;
}

static int take_stack(struct wf_stack *stack)
{
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return wf_stack_take_sized((uint32_t)wf_stack_pool(WF_STACK_DEFAULT), stack);
	int error = wf_stack_promise(w);
	if (error == 0)
		wf_stack_take(w, stack);
	return error;
}

int wf_strand_open(struct wf_strand *strand, wf_strand_fn entry)
{
	int error = take_stack(&strand->stack);
	if (error != 0)
		return error;
	wf_fork_strands();
	wf_tsan_acquire(strand->stack.low); /* its last user's, on whatever thread */
	strand->entry = entry;
	strand->fresh = true;
	strand->canary = wf_stack_has_canary(&strand->stack);
	strand->sp = wf_context_make(wf_stack_top(&strand->stack), wf_strand_main);
#ifdef WF_ASAN
	strand->asan_fake = NULL;
	strand->bottom = strand->stack.low;
	strand->bytes = (size_t)((char *)wf_stack_frame(&strand->stack) - strand->stack.low);
#endif
#ifdef WF_TSAN
	strand->tsan = wf_tsan_create();
#endif
	return 0;
}

void wf_strand_close(struct wf_strand *strand)
{
	wf_tsan_release(strand->stack.low);
#ifdef WF_ASAN
	wf_asan_discard(strand->asan_fake);
#endif
#ifdef WF_TSAN
	wf_tsan_destroy(strand->tsan);
#endif
	struct wf_worker *w = wf_self();
	if (w != NULL)
		wf_stack_give(w, &strand->stack);
	else
		wf_stack_give_sized(&strand->stack);
	strand->stack.low = NULL;
}

WF_OWNER_CODE_END
