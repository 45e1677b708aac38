/* SPDX-License-Identifier: MIT */
/* context.h - the switch of stacks
 *
 * What     wf_context_switch saves the callee-saved registers on the current stack, stores the stack pointer in
 *          *save, continues on `to` and returns `value` there. Written in assembly for x86-64 and aarch64.
 * Rejected swapcontext (two system calls: 287 ns against 2.2); going on by `jmp` always (leaves the return predictor one call ahead: a
 *          yield 23 ns against 15, ADR-0003); saving the floating-point control state always (5.3 ns: only fibers that ask have it).
 * Rules    X1 the only caller of the switch is sched/core/switch.c.
 *          X2 at every instruction the stack pointer is a valid stack with room for a signal frame below.
 *          X3 unwinders stop at wf_context_entry: its return address is undefined and the frame pointer zero.
 *          X5 the first switch to a fiber is wf_context_start, every later one wf_context_switch; a fiber ends by returning from its main
 *             function. All three would work with each other, but cost mispredicted returns.
 *          X6 a generator's step alternates between two call sites, where `ret` is mispredicted each time (10 ns here, the whole step 18):
 *             it goes on by `jmp`. Being their functions' last calls, they come back to those functions' callers at once. The price are
 *             two stale entries a step in the return predictor (ADR-0013).
 *          X4 errno and thread-local addresses do not survive; the caller handles them.
 * Tests    tests/core/context_test.cc, tests/aarch64 (under qemu-user)
 */
#ifndef WF_SCHED_CORE_CONTEXT_H
#define WF_SCHED_CORE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

void *wf_context_switch(void **save, void *to, void *value);
void *wf_context_start(void **save, void *to, void *value);

/* Between a generator and its resumer, X6. Each returns when it is switched back to, as if its caller had been returned to. */
int wf_context_resume(void **save, void *to, int value);
/* Stores `mark` in *word (release) when the stack has been left: from then on another thread may take it up. */
int wf_context_hand_back(void **save, void *to, int value, uint32_t *word, uint32_t mark);
/* Goes on with call->fn(call) on `to`, as if it had been called where that stack was left. */
struct wf_context_call {
	int (*fn)(struct wf_context_call *call);
};
int wf_context_divert(void **save, void *to, struct wf_context_call *call);

/* Where a main function that returns goes on: a saved stack pointer, and the value its switch returns. */
struct wf_context_next {
	void *sp;
	void *value;
};
typedef struct wf_context_next (*wf_context_main)(void *value);

/* Prepares a stack whose first byte above is `top` (16-byte aligned): the first switch to the returned stack pointer
 * calls main_fn(value) with the switch's value. */
void *wf_context_make(void *top, wf_context_main main_fn);

/* Floating-point control: rounding mode and exception masks, not the flags raised. */
typedef struct wf_fp_env {
	uint32_t control;
	uint16_t x87;
} wf_fp_env;

void wf_fp_save(wf_fp_env *env);
void wf_fp_load(const wf_fp_env *env);
extern const wf_fp_env wf_fp_default;

#endif
