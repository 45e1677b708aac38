/* SPDX-License-Identifier: MIT */
/* unwind.h - who called whom, on any stack
 *
 * What     the program counters of a stack's frames, from registers that were captured here, in a signal's context, or when a fiber parked. The
 *          stack is read by the caller's function only, so that it may be another thread's, a copy, or gone.
 * Rules    UW1 async-signal-safe: no lock, no allocation, 4 KiB of stack beside what `read` takes.
 *          UW2 the walk ends where a caller is undefined (the bottom of a thread or fiber), where something needed is not known or cannot be
 *             read, and where the stack does not grow. It believes nothing that it reads; what it yields of garbage is garbage.
 *          UW3 code without call frame information is passed by its frame pointer (x86-64), if that points to something like a frame.
 *          UW4 which registers are known is kept apart: a caller's scratch register is not taken for its callee's.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_BASE_UNWIND_H
#define WF_SCHED_BASE_UNWIND_H

#include "sched/base/cfi.h"
#include "sched/base/sanitize.h"

struct wf_registers {
	uintptr_t pc;
	uint64_t known; /* of reg: a bit each */
	uintptr_t reg[WF_REGISTERS];
};

/* Copies memory as wf_peek does; false: it cannot be read. */
typedef bool (*wf_unwind_read)(void *context, uintptr_t address, void *buffer, size_t size);

/* Any memory of the process, by wf_peek; no context. */
bool wf_unwind_peek(void *context, uintptr_t address, void *buffer, size_t size);

/* Fills in the program counters, innermost first; returns how many, at most `most`. The first is from->pc, which is exact; the others stand behind
 * their calls (a frame that a signal has interrupted: behind the first byte of its instruction). *from becomes the registers of the last one. */
size_t wf_unwind(struct wf_registers *from, wf_unwind_read read, void *context, const void **pc,
	size_t most);

/* What walks have learnt about instructions, for many walks of like stacks; zero at first. Of one thread at a time. */
struct wf_unwind_memo {
	struct wf_unwind_rule {
		uintptr_t pc; /* 0: none */
		uintptr_t base;
		bool found, signal, usable;
		struct wf_cfi_row row;
	} rule[512];
};

/* The same, with a memory. */
size_t wf_unwind_like(struct wf_registers *from, wf_unwind_read read, void *context,
	struct wf_unwind_memo *memo, const void **pc, size_t most);

/* What a signal handler was handed as its third argument. */
void wf_registers_of_ucontext(struct wf_registers *registers, const void *ucontext);

#if defined(__x86_64__)
#define WF_REGISTERS_HERE (WF_REGISTERS_PRESERVED | UINT64_C(1) << WF_REGISTER_SP)
#elif defined(__aarch64__)
#define WF_REGISTERS_HERE (WF_REGISTERS_PRESERVED | UINT64_C(3) << WF_REGISTER_RA)
#endif

/* The registers of the function that this is written in. */
static inline __attribute__((always_inline)) void wf_registers_here(struct wf_registers *registers)
{
	uintptr_t *reg = registers->reg;
	uintptr_t pc;
#if defined(__x86_64__)
	__asm__ volatile("movq %%rbx, 24(%1)\n\tmovq %%rbp, 48(%1)\n\tmovq %%rsp, 56(%1)\n\t"
			 "movq %%r12, 96(%1)\n\tmovq %%r13, 104(%1)\n\tmovq %%r14, 112(%1)\n\t"
			 "movq %%r15, 120(%1)\n\tleaq 0(%%rip), %0"
			 : "=&r"(pc)
			 : "r"(reg)
			 : "memory");
#elif defined(__aarch64__)
	__asm__ volatile("stp x19, x20, [%1, #152]\n\tstp x21, x22, [%1, #168]\n\t"
			 "stp x23, x24, [%1, #184]\n\tstp x25, x26, [%1, #200]\n\t"
			 "stp x27, x28, [%1, #216]\n\tstp x29, x30, [%1, #232]\n\t"
			 "mov %0, sp\n\tstr %0, [%1, #248]\n\tadr %0, ."
			 : "=&r"(pc)
			 : "r"(reg)
			 : "memory");
#endif
	registers->pc = pc;
	registers->known = WF_REGISTERS_HERE;
}

#endif
