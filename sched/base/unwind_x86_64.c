/* SPDX-License-Identifier: MIT */
/* unwind_x86_64.c - see unwind.h and walk.h */
#include <dlfcn.h>
#include <ucontext.h>

#include "sched/base/walk.h"

WF_OWNER_CODE_BEGIN

void wf_registers_of_ucontext(struct wf_registers *registers, const void *ucontext)
{
	static const uint8_t order[WF_REGISTERS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI,
		REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
		REG_R14, REG_R15, REG_RIP};
	const ucontext_t *from = ucontext;
	for (unsigned i = 0; i < WF_REGISTERS; i++)
		registers->reg[i] = (uintptr_t)from->uc_mcontext.gregs[order[i]];
	registers->known = (UINT64_C(1) << WF_REGISTERS) - 1;
	registers->pc = registers->reg[WF_REGISTER_RA];
}

/* The program counter takes a register's place among the others here, for expressions (of PLT entries) name it. */
void wf_walk_settle(struct wf_walk *walk)
{
	wf_know(walk->r, WF_REGISTER_RA, walk->r->pc);
}

static bool is_code(uintptr_t pc)
{
	struct dl_find_object object;
	return _dl_find_object((void *)pc, &object) == 0;
}

/* UW3: what is at the frame pointer is the caller's frame pointer and the address of return. */
bool wf_walk_without(struct wf_walk *walk)
{
	struct wf_registers *r = walk->r;
	uintptr_t frame = r->reg[WF_REGISTER_FP];
	uintptr_t words[2];
	if (!wf_is_known(r, WF_REGISTER_FP) || !wf_is_known(r, WF_REGISTER_SP) ||
		frame % sizeof(frame) != 0 || frame < r->reg[WF_REGISTER_SP] ||
		frame > UINTPTR_MAX - sizeof(words))
		return false;
	if (!walk->read(walk->context, frame, words, sizeof(words)) ||
		(words[0] <= frame && !is_code(words[1])))
		return false;
	r->known = 0;
	wf_know(r, WF_REGISTER_FP, words[0]);
	wf_know(r, WF_REGISTER_SP, frame + sizeof(words));
	r->pc = words[1];
	walk->exact = false;
	return true;
}

/* The trampoline of signals has call frame information here. */
bool wf_walk_special(struct wf_walk *walk)
{
	(void)walk;
	return false;
}

WF_OWNER_CODE_END
