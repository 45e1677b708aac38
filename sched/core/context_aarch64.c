/* SPDX-License-Identifier: MIT */
/* context_aarch64.c - the parts of context.h for AArch64 that C can say */
#include "sched/core/context.h"

#include <string.h>

void wf_context_entry(void);

const wf_fp_env wf_fp_default = {.control = 0, .x87 = 0};

void *wf_context_make(void *top, wf_context_main main_fn)
{
	uint64_t *frame = (uint64_t *)top - 20;
	memset(frame, 0, 20 * sizeof(uint64_t));
	frame[0] = (uint64_t)(uintptr_t)main_fn;	   /* x19 */
	frame[11] = (uint64_t)(uintptr_t)wf_context_entry; /* x30 */
	return frame;
}

void wf_fp_save(wf_fp_env *env)
{
	uint64_t fpcr;
	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	env->control = (uint32_t)fpcr;
}

void wf_fp_load(const wf_fp_env *env)
{
	uint64_t fpcr = env->control;
	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}
