/* SPDX-License-Identifier: MIT */
/* atomic.h - the one place where memory shared without a lock is read and written
 *
 * What     three struct-wrapped atomics (a plain access does not compile) and calls named by order:
 *          rlx, acq, rel, acq_rel, sc. They are compiler builtins, so C++ tests include them too.
 * Rules    A1 every non-relaxed call carries its pair's tag ("DQ-1", "ID-1"...), found in the Order list of
 *             exactly one header; every relaxed call says why that is enough, or is a counter.
 *          A2 no stand-alone fences: the order stands on the access (ThreadSanitizer does not see fences).
 *          A3 a word that only its owner writes is still read by others: the owner uses rlx load + rel store.
 * Seam     tests/model puts its own "sched/base/atomic.h" first on the include path; the protocol headers
 *          (ticket.h, idle.h, deque.h, ready.h) are explored unchanged over it.
 * Tests    every test in the tsan build; tests/model
 */
#ifndef WF_SCHED_BASE_ATOMIC_H
#define WF_SCHED_BASE_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

typedef struct wf_a32 {
	uint32_t v;
} wf_a32;
typedef struct wf_a64 {
	uint64_t v;
} wf_a64;
typedef struct wf_aptr {
	void *v;
} wf_aptr;

#define WF_ATOMIC_OPS(A, T, suffix)                                                                \
	static inline T wf_load_rlx##suffix(const A *a)                                            \
	{                                                                                          \
		return __atomic_load_n(&a->v, __ATOMIC_RELAXED);                                   \
	}                                                                                          \
	static inline T wf_load_acq##suffix(const A *a)                                            \
	{                                                                                          \
		return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);                                   \
	}                                                                                          \
	static inline T wf_load_sc##suffix(const A *a)                                             \
	{                                                                                          \
		return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);                                   \
	}                                                                                          \
	static inline void wf_store_rlx##suffix(A *a, T x)                                         \
	{                                                                                          \
		__atomic_store_n(&a->v, x, __ATOMIC_RELAXED);                                      \
	}                                                                                          \
	static inline void wf_store_rel##suffix(A *a, T x)                                         \
	{                                                                                          \
		__atomic_store_n(&a->v, x, __ATOMIC_RELEASE);                                      \
	}                                                                                          \
	static inline T wf_swap_acq_rel##suffix(A *a, T x)                                         \
	{                                                                                          \
		return __atomic_exchange_n(&a->v, x, __ATOMIC_ACQ_REL);                            \
	}                                                                                          \
	static inline T wf_swap_sc##suffix(A *a, T x)                                              \
	{                                                                                          \
		return __atomic_exchange_n(&a->v, x, __ATOMIC_SEQ_CST);                            \
	}                                                                                          \
	/* On failure *expect holds what was found. */                                             \
	static inline bool wf_cas_acq_rel##suffix(A *a, T *expect, T x)                            \
	{                                                                                          \
		return __atomic_compare_exchange_n(                                                \
			&a->v, expect, x, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);              \
	}                                                                                          \
	static inline bool wf_cas_sc##suffix(A *a, T *expect, T x)                                 \
	{                                                                                          \
		return __atomic_compare_exchange_n(                                                \
			&a->v, expect, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);              \
	}

WF_ATOMIC_OPS(wf_a32, uint32_t, 32)
WF_ATOMIC_OPS(wf_a64, uint64_t, 64)
WF_ATOMIC_OPS(wf_aptr, void *, p)
#undef WF_ATOMIC_OPS

#define WF_ATOMIC_MATH(A, T, suffix)                                                               \
	static inline T wf_add_rlx##suffix(A *a, T x)                                              \
	{                                                                                          \
		return __atomic_fetch_add(&a->v, x, __ATOMIC_RELAXED);                             \
	}                                                                                          \
	static inline T wf_add_acq_rel##suffix(A *a, T x)                                          \
	{                                                                                          \
		return __atomic_fetch_add(&a->v, x, __ATOMIC_ACQ_REL);                             \
	}                                                                                          \
	static inline T wf_add_sc##suffix(A *a, T x)                                               \
	{                                                                                          \
		return __atomic_fetch_add(&a->v, x, __ATOMIC_SEQ_CST);                             \
	}                                                                                          \
	static inline T wf_sub_sc##suffix(A *a, T x)                                               \
	{                                                                                          \
		return __atomic_fetch_sub(&a->v, x, __ATOMIC_SEQ_CST);                             \
	}                                                                                          \
	static inline T wf_or_sc##suffix(A *a, T x)                                                \
	{                                                                                          \
		return __atomic_fetch_or(&a->v, x, __ATOMIC_SEQ_CST);                              \
	}                                                                                          \
	static inline T wf_and_sc##suffix(A *a, T x)                                               \
	{                                                                                          \
		return __atomic_fetch_and(&a->v, x, __ATOMIC_SEQ_CST);                             \
	}

WF_ATOMIC_MATH(wf_a32, uint32_t, 32)
WF_ATOMIC_MATH(wf_a64, uint64_t, 64)
#undef WF_ATOMIC_MATH

/* A counter with one writer: readers on other threads see a whole value, the writer pays no locked instruction. */
static inline void wf_count(wf_a64 *counter, uint64_t n)
{
	/* rlx: only the owner writes, readers want any recent value. */
	wf_store_rlx64(counter, wf_load_rlx64(counter) + n);
}

/* Says to the processor that this loop waits for another. */
static inline void wf_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

WF_OWNER_CODE_END

#endif
