/* SPDX-License-Identifier: MIT */
/* context_x86_64.S - context.h for x86-64 System V
 *
 * A parked stack holds, from the saved stack pointer upwards: r15 r14 r13 r12 rbx rbp, the address to go on at.
 * The return predictor decides the cost, so calls and returns are kept in pairs: a switch to a fiber that has run before ends with
 * `ret` (the address predicted is the one of the same call site); a first start ends with `jmp`, so that the return it owes
 * stays predicted until the fiber's end, which returns to the bottom frame and switches away from there. Shadow stacks are not
 * supported: the property note claims IBT only, and the jump is `notrack`.
 */
	.text
/* Saves the caller's registers and stack pointer, and goes over to the other stack. */
.macro LEAVE
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	movq	%rdx, %rax
.endm

/* Takes the registers of a parked stack; its address to go on at is on top then. */
.macro ARRIVE
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
.endm

	.globl	wf_context_switch
	.hidden	wf_context_switch
	.type	wf_context_switch, @function
	.p2align 4
/* void *wf_context_switch(void **save (rdi), void *to (rsi), void *value (rdx)) */
wf_context_switch:
	.cfi_startproc
	endbr64
	LEAVE
	ARRIVE
	ret
	.cfi_endproc
	.size	wf_context_switch, . - wf_context_switch

	.globl	wf_context_start
	.hidden	wf_context_start
	.type	wf_context_start, @function
	.globl	wf_context_resume
	.hidden	wf_context_resume
	.type	wf_context_resume, @function
	.p2align 4
/* void *wf_context_start(void **save (rdi), void *to (rsi), void *value (rdx))
 * int wf_context_resume(void **save (rdi), void *to (rsi), int value (edx)) */
wf_context_start:
wf_context_resume:
	.cfi_startproc
	endbr64
	LEAVE
	ARRIVE
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	notrack jmp *%rcx
	.cfi_endproc
	.size	wf_context_start, . - wf_context_start
	.size	wf_context_resume, . - wf_context_resume

	.globl	wf_context_hand_back
	.hidden	wf_context_hand_back
	.type	wf_context_hand_back, @function
	.p2align 4
/* int wf_context_hand_back(void **save (rdi), void *to (rsi), int value (edx), uint32_t *word (rcx), uint32_t mark (r8d)) */
wf_context_hand_back:
	.cfi_startproc
	endbr64
	LEAVE
	movl	%r8d, (%rcx)
	ARRIVE
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	notrack jmp *%rcx
	.cfi_endproc
	.size	wf_context_hand_back, . - wf_context_hand_back

	.globl	wf_context_divert
	.hidden	wf_context_divert
	.type	wf_context_divert, @function
	.p2align 4
/* int wf_context_divert(void **save (rdi), void *to (rsi), struct wf_context_divert *call (rdx)) */
wf_context_divert:
	.cfi_startproc
	endbr64
	LEAVE
	ARRIVE
	movq	%rax, %rdi
	jmp	*(%rax)
	.cfi_endproc
	.size	wf_context_divert, . - wf_context_divert

	.globl	wf_context_entry
	.hidden	wf_context_entry
	.type	wf_context_entry, @function
	.p2align 4
/* The bottom of every fiber: r12 holds main_fn, rax the value of the first switch. Unwinding ends here. main_fn returns the
 * stack to go on with (rax) and the value for it (rdx). */
wf_context_entry:
	.cfi_startproc
	.cfi_undefined %rip
	endbr64
	xorl	%ebp, %ebp
	movq	%rax, %rdi
	call	*%r12
	movq	%rax, %rsp
	movq	%rdx, %rax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.cfi_endproc
	.size	wf_context_entry, . - wf_context_entry

	.section .note.GNU-stack, "", @progbits
	.section .note.gnu.property, "a"
	.p2align 3
	.long	4			/* name size: "GNU" */
	.long	16			/* description size */
	.long	5			/* NT_GNU_PROPERTY_TYPE_0 */
	.asciz	"GNU"
	.long	0xc0000002		/* GNU_PROPERTY_X86_FEATURE_1_AND */
	.long	4
	.long	1			/* IBT, and not SHSTK */
	.long	0
