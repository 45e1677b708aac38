/* SPDX-License-Identifier: MIT */
/* walk.h - the inside of unwind.h, shared by its files: expression.c and one for each processor
 *
 * What     the state of a walk, and what differs from processor to processor.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_BASE_WALK_H
#define WF_SCHED_BASE_WALK_H

#include "sched/base/unwind.h"

WF_OWNER_CODE_BEGIN

struct wf_walk {
	struct wf_registers *r;
	wf_unwind_read read;
	void *context;
	bool exact; /* r->pc is an instruction about to run; else one behind a call */
};

static inline bool wf_is_known(const struct wf_registers *r, uint64_t number)
{
	return number < WF_REGISTERS && (r->known >> number & 1) != 0;
}

static inline void wf_know(struct wf_registers *r, unsigned number, uintptr_t value)
{
	r->reg[number] = value;
	r->known |= UINT64_C(1) << number;
}

WF_OWNER_CODE_END

/* expression.c: the value of the expression at that address, where its length stands. `cfa`, if any, lies on its stack at the begin. */
bool wf_expression(const struct wf_walk *walk, uintptr_t at, const uintptr_t *cfa, uintptr_t *value);

/* unwind_x86_64.c, unwind_aarch64.c: */
/* A frame was reached. */
void wf_walk_settle(struct wf_walk *walk);
/* One frame on, where that is told otherwise than by call frame information: before it is asked, and where there is none. */
bool wf_walk_special(struct wf_walk *walk);
bool wf_walk_without(struct wf_walk *walk);

#endif
