/* SPDX-License-Identifier: MIT */
/* unwind_aarch64.c - see unwind.h and walk.h */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "sched/base/peek.h"
#include "sched/base/walk.h"

WF_OWNER_CODE_BEGIN

void wf_registers_of_ucontext(struct wf_registers *registers, const void *ucontext)
{
	const ucontext_t *from = ucontext;
	memcpy(registers->reg, from->uc_mcontext.regs, sizeof(from->uc_mcontext.regs));
	registers->reg[WF_REGISTER_SP] = from->uc_mcontext.sp;
	registers->known = UINT32_MAX;
	registers->pc = from->uc_mcontext.pc;
}

/* Addresses of return may be signed, in bits that no address uses. */
void wf_walk_settle(struct wf_walk *walk)
{
	register uintptr_t pc __asm__("x30") = walk->r->pc;
	__asm__("hint #7" : "+r"(pc)); /* xpaclri; nothing where there are no signatures */
	walk->r->pc = pc;
	if (!walk->exact)
		walk->r->known &= ~(UINT64_C(1) << WF_REGISTER_RA); /* the call has overwritten it */
}

/* The kernel's trampoline, whose call frame information leaves out where the signal came: "mov x8, #139; svc #0", and the signal's frame on the
 * stack. */
bool wf_walk_special(struct wf_walk *walk)
{
	static const uint32_t trampoline[2] = {0xd2801168, 0xd4000001};
	struct wf_registers *r = walk->r;
	uint32_t code[2];
	struct {
		uint64_t regs[31], sp, pc;
	} machine; /* as in mcontext_t */
	if (!wf_is_known(r, WF_REGISTER_SP) || !wf_peek((const void *)r->pc, code, sizeof(code)) ||
		memcmp(code, trampoline, sizeof(code)) != 0)
		return false;
	uintptr_t at =
		r->reg[WF_REGISTER_SP] + sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext.regs);
	if (!walk->read(walk->context, at, &machine, sizeof(machine)))
		return false;
	memcpy(r->reg, machine.regs, sizeof(machine.regs));
	r->reg[WF_REGISTER_SP] = machine.sp;
	r->known = UINT32_MAX;
	r->pc = machine.pc;
	walk->exact = true;
	return true;
}

bool wf_walk_without(struct wf_walk *walk)
{
	(void)walk;
	return false;
}

WF_OWNER_CODE_END
