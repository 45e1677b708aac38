/* SPDX-License-Identifier: MIT */
/* context_registers.h - the registers of a stack that was switched away from
 *
 * What     what context_*.S left at the saved stack pointer, as a start for wf_unwind: the program counter is where it goes on.
 * Rules    CR1 it reads the words as wf_unwind reads the stack: they may be a copy, or gone.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_CORE_CONTEXT_REGISTERS_H
#define WF_SCHED_CORE_CONTEXT_REGISTERS_H

#include "sched/base/unwind.h"

/* False: they cannot be read. */
static inline bool wf_registers_of_context(
	struct wf_registers *registers, const void *sp, wf_unwind_read read, void *context)
{
#if defined(__x86_64__)
	static const uint8_t order[] = {15, 14, 13, 12, 3, WF_REGISTER_FP, WF_REGISTER_RA};
	uintptr_t words[7];
	const size_t above = sizeof(words);
#elif defined(__aarch64__)
	static const uint8_t order[] = {
		19, 20, 21, 22, 23, 24, 25, 26, 27, 28, WF_REGISTER_FP, WF_REGISTER_RA};
	uintptr_t words[12];
	const size_t above = 160; /* eight vector registers lie in between */
#endif
	if (!read(context, (uintptr_t)sp, words, sizeof(words)))
		return false;
	registers->known = 0;
	for (size_t i = 0; i < sizeof(order); i++) {
		registers->reg[order[i]] = words[i];
		registers->known |= UINT64_C(1) << order[i];
	}
	registers->reg[WF_REGISTER_SP] = (uintptr_t)sp + above;
	registers->known |= UINT64_C(1) << WF_REGISTER_SP;
	registers->pc = registers->reg[WF_REGISTER_RA];
	return true;
}

#endif
