/* SPDX-License-Identifier: MIT */
/* cfi.h - what .eh_frame says about one instruction: where its function's caller left off
 *
 * What     the call frame information (DWARF 5, 6.4; the Linux Standard Base for .eh_frame) of the function that holds a program counter, and the
 *          row of its table that is in force there. The function is found by the sorted table of .eh_frame_hdr, that by glibc's _dl_find_object.
 * Rejected libgcc's unwinder: it allocates, takes the loader's lock, and trusts all it reads.
 * Rules    CF1 async-signal-safe: no lock, no allocation, 2 KiB of stack.
 *          CF2 the tables are read as all else, by the kernel (peek.h): a program counter that stands in garbage may belong to a module that is
 *             being unloaded.
 *          CF3 all lengths and depths are bounded; what is not understood is an error, and the walk ends there.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_BASE_CFI_H
#define WF_SCHED_BASE_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The processor's registers by their DWARF numbers. */
#if defined(__x86_64__)
#define WF_REGISTERS 17u
#define WF_REGISTER_FP 6u
#define WF_REGISTER_SP 7u
#define WF_REGISTER_RA 16u
#define WF_REGISTERS_PRESERVED UINT64_C(0xf048)	 /* by a call: rbx rbp r12-r15 */
#define WF_REGISTERS_KEPT WF_REGISTERS_PRESERVED /* where nothing is said of them */
#elif defined(__aarch64__)
#define WF_REGISTERS 32u
#define WF_REGISTER_FP 29u
#define WF_REGISTER_SP 31u
#define WF_REGISTER_RA 30u
#define WF_REGISTERS_PRESERVED UINT64_C(0x3ff80000) /* x19-x29 */
#define WF_REGISTERS_KEPT                                                                          \
	(WF_REGISTERS_PRESERVED | UINT64_C(1) << WF_REGISTER_RA) /* the link register, until the next call */
#endif

/* Bytes of mapped memory, read in order through a small window. After a failure all that is read is zero. */
struct wf_bytes {
	uintptr_t at, end;
	bool failed;
	uint8_t used, held; /* of the window */
	unsigned char window[128];
};

void wf_bytes_start(struct wf_bytes *bytes, uintptr_t at, uintptr_t end);
uint64_t wf_bytes_unsigned(struct wf_bytes *bytes, unsigned size); /* 1, 2, 4 or 8 bytes */
int64_t wf_bytes_signed(struct wf_bytes *bytes, unsigned size);
uint64_t wf_bytes_uleb(struct wf_bytes *bytes);
int64_t wf_bytes_sleb(struct wf_bytes *bytes);
void wf_bytes_skip(struct wf_bytes *bytes, uint64_t count);
static inline bool wf_bytes_left(const struct wf_bytes *bytes)
{
	return !bytes->failed && bytes->at < bytes->end;
}

/* Of one function. */
struct wf_cfi {
	uintptr_t base;		      /* expressions are named by their distance from it */
	uintptr_t code, code_end;     /* the function */
	uintptr_t common, common_end; /* instructions that stand before all functions' of its kind */
	uintptr_t program, program_end; /* and its own */
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding; /* of pointers to code */
	bool signal;	  /* a signal's trampoline: its caller was interrupted, it did not call */
};

/* Where the caller's register is. */
enum wf_cfi_kind {
	WF_CFI_UNSAID,
	WF_CFI_UNDEFINED,
	WF_CFI_SAME,
	WF_CFI_SAVED,	   /* at CFA + value */
	WF_CFI_VALUE,	   /* it is CFA + value */
	WF_CFI_REGISTER,   /* in the register of that number */
	WF_CFI_SAVED_EXPR, /* at the address that the expression at base + value yields */
	WF_CFI_VALUE_EXPR, /* it is what that expression yields */
};

struct wf_cfi_row {
	int32_t cfa_value; /* CFA = register + value, or the expression at base + value */
	uint8_t cfa_register;
	bool cfa_expression;
	uint8_t kind[WF_REGISTERS]; /* enum wf_cfi_kind */
	int32_t value[WF_REGISTERS];
};

/* False: no function is known there. */
bool wf_cfi_find(uintptr_t pc, struct wf_cfi *cfi);
/* The row for a program counter of that function. */
bool wf_cfi_at(const struct wf_cfi *cfi, uintptr_t pc, struct wf_cfi_row *row);

#endif
