/* SPDX-License-Identifier: MIT */
/* context_x86_64.S - context.h for x86-64 System V
 *
 * A parked stack holds, from the saved stack pointer upwards: r15 r14 r13 r12 rbx rbp, the address to go on at.
 * The way back is `pop` and `jmp`: a `ret` would miss the return predictor every time. The jump is `notrack`, so that
 * it is legal under indirect branch tracking; shadow stacks are not supported, and the property note says so by
 * claiming IBT only.
 */
	.text
	.globl	wf_context_switch
	.hidden	wf_context_switch
	.type	wf_context_switch, @function
	.p2align 4
/* void *wf_context_switch(void **save (rdi), void *to (rsi), void *value (rdx)) */
wf_context_switch:
	.cfi_startproc
	endbr64
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
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	notrack jmp *%rcx
	.cfi_endproc
	.size	wf_context_switch, . - wf_context_switch

	.globl	wf_context_entry
	.hidden	wf_context_entry
	.type	wf_context_entry, @function
	.p2align 4
/* The bottom of every fiber: r12 holds main_fn, rax the value of the first switch. Unwinding ends here. */
wf_context_entry:
	.cfi_startproc
	.cfi_undefined %rip
	endbr64
	xorl	%ebp, %ebp
	movq	%rax, %rdi
	call	*%r12
	ud2
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
