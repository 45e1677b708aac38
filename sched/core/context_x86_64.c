/* SPDX-License-Identifier: MIT */
/* context_x86_64.c - the parts of context.h for x86-64 that C can say */
#include "sched/core/context.h"

#include "sched/base/sanitize.h"

void wf_context_entry(void);

const wf_fp_env wf_fp_default = {.control = 0x1f80, .x87 = 0x037f};

WF_OWNER_CODE_BEGIN
void *wf_context_make(void *top, wf_context_main main_fn)
{
	/* Below top: the address to go on at, then rbp rbx r12 r13 r14 r15 as wf_context_switch pops them. After the pop of the address
	 * the stack pointer is top: 16-byte aligned before the call in wf_context_entry. */
	void **sp = (void **)top;
	*--sp = (void *)(uintptr_t)wf_context_entry;
	*--sp = NULL;			    /* rbp */
	*--sp = NULL;			    /* rbx */
	*--sp = (void *)(uintptr_t)main_fn; /* r12 */
	*--sp = NULL;			    /* r13 */
	*--sp = NULL;			    /* r14 */
	*--sp = NULL;			    /* r15 */
	return sp;
}

WF_OWNER_CODE_END

void wf_fp_save(wf_fp_env *env)
{
	__asm__ volatile("stmxcsr %0" : "=m"(env->control));
	__asm__ volatile("fnstcw %0" : "=m"(env->x87));
}

void wf_fp_load(const wf_fp_env *env)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(env->control));
	__asm__ volatile("fldcw %0" : : "m"(env->x87));
}
