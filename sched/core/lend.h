/* SPDX-License-Identifier: MIT */
/* lend.h - buffers that the kernel fills and a user gives back
 *
 * What     an engine's thread has a block of equal buffers. The kernel takes one when data has come, so that who waits holds none; it is then the
 *          user's, who gives it back from any thread; the engine's thread hands what has come back to the kernel at its next tick.
 * Owns     the block: freed when its thread has closed its engine and the last buffer is back.
 * Rules    LB1 a buffer is the kernel's or the user's (`lent`); giving back twice is found out, and fatal.
 *          LB2 given-back buffers form a stack: any thread pushes, the owner takes all of it at once, so there is no ABA.
 *          LB3 `owners` counts the engine and each buffer that is lent; who brings it to zero frees.
 * Order    LB-1 push (sc cas) -> take (sc swap): what the user did with the buffer comes before the kernel writes it again.
 * Tests    tests/io/borrow_test.cc
 */
#ifndef WF_SCHED_CORE_LEND_H
#define WF_SCHED_CORE_LEND_H

#include "sched/base/alloc.h"
#include "sched/base/atomic.h"
#include "sched/base/check.h"
#include "sched/base/limits.h"
#include "sched/base/log.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

#define WF_LEND_NONE UINT32_MAX

struct wf_lender {
	char *block;
	wf_a32 owners;	 /* LB3 */
	wf_a32 returned; /* LB2: index of the newest, linked by `next` */
	uint32_t next[WF_LEND_BUFFERS];
	wf_a32 lent[WF_LEND_BUFFERS]; /* LB1 */
};

static inline struct wf_lender *wf_lender_make(void)
{
	struct wf_lender *lender = wf_alloc_lines(sizeof(*lender));
	if (lender == NULL)
		return NULL;
	lender->block = wf_alloc((size_t)WF_LEND_BUFFERS *
		WF_LEND_BYTES); /* not cleared: untouched memory is not committed */
	if (lender->block == NULL) {
		wf_free_lines(lender, sizeof(*lender));
		return NULL;
	}
	wf_store_rlx32(&lender->owners, 1); /* rlx: nobody else knows it yet */
	wf_store_rlx32(&lender->returned, WF_LEND_NONE);
	return lender;
}

static inline void wf_lender_leave(struct wf_lender *lender)
{
	if (wf_sub_sc32(&lender->owners, 1) != 1)
		return;
	wf_free(lender->block, (size_t)WF_LEND_BUFFERS * WF_LEND_BYTES);
	wf_free_lines(lender, sizeof(*lender));
}

/* The engine, for a buffer that the kernel has filled. */
static inline char *wf_lender_lend(struct wf_lender *lender, uint32_t index)
{
	wf_add_sc32(&lender->owners, 1);
	wf_swap_sc32(&lender->lent[index], 1);
	return lender->block + (size_t)index * WF_LEND_BYTES;
}

/* Any thread; `data` is where the buffer begins. */
static inline void wf_lender_give_back(struct wf_lender *lender, const char *data)
{
	size_t at = (size_t)(data - lender->block);
	uint32_t index = (uint32_t)(at / WF_LEND_BYTES);
	if (data < lender->block || index >= WF_LEND_BUFFERS || wf_swap_sc32(&lender->lent[index], 0) == 0)
		wf_fatal("weft_slice_return: the slice was given back before, or is none");
	uint32_t head = wf_load_sc32(&lender->returned);
	do
		lender->next[index] = head;
	while (!wf_cas_sc32(&lender->returned, &head, index)); /* LB-1 */
	wf_lender_leave(lender);
}

/* The owner: the first of those that came back, linked by `next`; WF_LEND_NONE: none did. */
static inline uint32_t wf_lender_take_back(struct wf_lender *lender)
{
	/* rlx: what comes a moment later is taken at the next tick. */
	if (wf_load_rlx32(&lender->returned) == WF_LEND_NONE)
		return WF_LEND_NONE;
	return wf_swap_sc32(&lender->returned, WF_LEND_NONE); /* LB-1 */
}

WF_OWNER_CODE_END

#endif
