/* SPDX-License-Identifier: MIT */
/* context_aarch64.S - context.h for AArch64 (AAPCS64)
 *
 * A parked stack holds 160 bytes: x19..x30 and d8..d15 (their low halves are callee-saved). As on x86-64, calls and returns are
 * kept in pairs for the return predictor: `ret` to a fiber that has run before, `br` for a first start, and the end of a
 * fiber switches away from its bottom frame.
 */
	.text
/* Saves the caller's registers and stack pointer, and goes over to the other stack. */
.macro LEAVE
	sub	sp, sp, #160
	.cfi_adjust_cfa_offset 160
	stp	x19, x20, [sp, #0]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	.cfi_rel_offset x29, 80
	.cfi_rel_offset x30, 88
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mov	x9, sp
	str	x9, [x0]
	mov	sp, x1
	mov	x0, x2
.endm

/* Takes the registers of a parked stack; x30 is the address to go on at then. */
.macro ARRIVE
	ldp	x19, x20, [sp, #0]
	ldp	x21, x22, [sp, #16]
	ldp	x23, x24, [sp, #32]
	ldp	x25, x26, [sp, #48]
	ldp	x27, x28, [sp, #64]
	ldp	x29, x30, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	add	sp, sp, #160
.endm

	.globl	wf_context_switch
	.hidden	wf_context_switch
	.type	wf_context_switch, %function
	.p2align 4
/* void *wf_context_switch(void **save (x0), void *to (x1), void *value (x2)) */
wf_context_switch:
	.cfi_startproc
	hint	#34			/* bti c */
	LEAVE
	ARRIVE
	.cfi_adjust_cfa_offset -160
	.cfi_restore x29
	.cfi_restore x30
	ret
	.cfi_endproc
	.size	wf_context_switch, . - wf_context_switch

	.globl	wf_context_start
	.hidden	wf_context_start
	.type	wf_context_start, %function
	.globl	wf_context_resume
	.hidden	wf_context_resume
	.type	wf_context_resume, %function
	.p2align 4
/* void *wf_context_start(void **save (x0), void *to (x1), void *value (x2))
 * int wf_context_resume(void **save (x0), void *to (x1), int value (w2)) */
wf_context_start:
wf_context_resume:
	.cfi_startproc
	hint	#34			/* bti c */
	LEAVE
	ARRIVE
	.cfi_adjust_cfa_offset -160
	.cfi_restore x29
	.cfi_restore x30
	br	x30
	.cfi_endproc
	.size	wf_context_start, . - wf_context_start
	.size	wf_context_resume, . - wf_context_resume

	.globl	wf_context_hand_back
	.hidden	wf_context_hand_back
	.type	wf_context_hand_back, %function
	.p2align 4
/* int wf_context_hand_back(void **save (x0), void *to (x1), int value (w2), uint32_t *word (x3), uint32_t mark (w4)) */
wf_context_hand_back:
	.cfi_startproc
	hint	#34			/* bti c */
	LEAVE
	stlr	w4, [x3]
	ARRIVE
	.cfi_adjust_cfa_offset -160
	.cfi_restore x29
	.cfi_restore x30
	br	x30
	.cfi_endproc
	.size	wf_context_hand_back, . - wf_context_hand_back

	.globl	wf_context_divert
	.hidden	wf_context_divert
	.type	wf_context_divert, %function
	.p2align 4
/* int wf_context_divert(void **save (x0), void *to (x1), struct wf_context_divert *call (x2)) */
wf_context_divert:
	.cfi_startproc
	hint	#34			/* bti c */
	LEAVE
	ARRIVE
	.cfi_adjust_cfa_offset -160
	.cfi_restore x29
	.cfi_restore x30
	ldr	x16, [x0]
	br	x16
	.cfi_endproc
	.size	wf_context_divert, . - wf_context_divert

	.globl	wf_context_entry
	.hidden	wf_context_entry
	.type	wf_context_entry, %function
	.p2align 4
/* The bottom of every fiber: x19 holds main_fn, x0 the value of the first switch. Unwinding ends here. main_fn returns the
 * stack to go on with (x0) and the value for it (x1). */
wf_context_entry:
	.cfi_startproc
	.cfi_undefined x30
	hint	#38			/* bti jc */
	mov	x29, xzr
	mov	x30, xzr
	blr	x19
	mov	sp, x0
	mov	x0, x1
	ARRIVE
	ret
	.cfi_endproc
	.size	wf_context_entry, . - wf_context_entry

	.section .note.GNU-stack, "", %progbits
