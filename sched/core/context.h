/* SPDX-License-Identifier: MIT */
/* context.h - the switch of stacks
 *
 * What     wf_context_switch saves the callee-saved registers on the current stack, stores the stack pointer in
 *          *save, continues on `to` and returns `value` there. Written in assembly for x86-64 and aarch64.
 * Rejected swapcontext (two system calls: 287 ns against 2.2); returning by `ret` (7.0 ns: the return predictor
 *          misses each time); saving the floating-point control state always (5.3 ns: only fibers that ask have it).
 * Rules    X1 the only caller of the switch is sched/core/switch.c.
 *          X2 at every instruction the stack pointer is a valid stack with room for a signal frame below.
 *          X3 unwinders stop at wf_context_entry: its return address is undefined and the frame pointer zero.
 *          X4 errno and thread-local addresses do not survive; the caller handles them.
 * Tests    tests/core/context_test.cc, tests/aarch64 (under qemu-user)
 */
#ifndef WF_SCHED_CORE_CONTEXT_H
#define WF_SCHED_CORE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

void *wf_context_switch(void **save, void *to, void *value);

/* Prepares a stack whose first byte above is `top` (16-byte aligned): the first switch to the returned stack pointer
 * calls main_fn(value) with the switch's value. main_fn must not return. */
void *wf_context_make(void *top, void (*main_fn)(void *value));

/* Floating-point control: rounding mode and exception masks, not the flags raised. */
typedef struct wf_fp_env {
	uint32_t control;
	uint16_t x87;
} wf_fp_env;

void wf_fp_save(wf_fp_env *env);
void wf_fp_load(const wf_fp_env *env);
extern const wf_fp_env wf_fp_default;

#endif
