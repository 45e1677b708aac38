/* SPDX-License-Identifier: MIT */
/* atomic.h - stands in for sched/base/atomic.h: the same names, and every access asks the explorer
 *
 * What     the protocol headers find this file first on their include path, so they are explored as they are shipped.
 * Memory   a store that is no RMW waits in its thread's buffer until the explorer lets it out: a relaxed one in any order
 *          but that of its own word, a released one after all before it. A RMW empties the buffer and takes effect at
 *          once. A load sees the thread's own buffer first, then memory.
 *          That is x86 and more; it is less than the architecture of ARM: loads are never early, so that acq and sc
 *          loads are the same here.
 */
#ifndef WF_SCHED_BASE_ATOMIC_H
#define WF_SCHED_BASE_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/model/explorer.h"

typedef struct wf_a32 {
	uint32_t v;
} wf_a32;
typedef struct wf_a64 {
	uint64_t v;
} wf_a64;
typedef struct wf_aptr {
	void *v;
} wf_aptr;

#define MODEL_LOAD(a, order) model_load(&(a)->v, sizeof((a)->v), "load " order, MODEL_HERE)
#define MODEL_STORE(a, x, release, order)                                                          \
	model_store(&(a)->v, sizeof((a)->v), (uint64_t)(x), release, "store " order, MODEL_HERE)
#define MODEL_RMW(a, op, x, name)                                                                  \
	model_rmw(&(a)->v, sizeof((a)->v), op, (uint64_t)(x), name, MODEL_HERE)

/* Functions, because their results may stay unused. */
static inline uint32_t model_32(uint64_t value)
{
	return (uint32_t)value;
}

static inline void *model_pointer(uint64_t value)
{
	return (void *)value;
}

#define wf_load_rlx32(a) ((uint32_t)MODEL_LOAD(a, "rlx"))
#define wf_load_rlx64(a) MODEL_LOAD(a, "rlx")
#define wf_load_rlxp(a) ((void *)MODEL_LOAD(a, "rlx"))
#define wf_load_acq32(a) ((uint32_t)MODEL_LOAD(a, "acq"))
#define wf_load_acq64(a) MODEL_LOAD(a, "acq")
#define wf_load_acqp(a) ((void *)MODEL_LOAD(a, "acq"))
#define wf_load_sc32(a) ((uint32_t)MODEL_LOAD(a, "sc"))
#define wf_load_sc64(a) MODEL_LOAD(a, "sc")
#define wf_load_scp(a) ((void *)MODEL_LOAD(a, "sc"))

#define wf_store_rlx32(a, x) MODEL_STORE(a, x, false, "rlx")
#define wf_store_rlx64(a, x) MODEL_STORE(a, x, false, "rlx")
#define wf_store_rlxp(a, x) MODEL_STORE(a, x, false, "rlx")
#define wf_store_rel32(a, x) MODEL_STORE(a, x, true, "rel")
#define wf_store_rel64(a, x) MODEL_STORE(a, x, true, "rel")
#define wf_store_relp(a, x) MODEL_STORE(a, x, true, "rel")

#define wf_swap_acq_rel32(a, x) model_32(MODEL_RMW(a, MODEL_SWAP, x, "swap acq_rel"))
#define wf_swap_acq_rel64(a, x) MODEL_RMW(a, MODEL_SWAP, x, "swap acq_rel")
#define wf_swap_acq_relp(a, x) model_pointer(MODEL_RMW(a, MODEL_SWAP, x, "swap acq_rel"))
#define wf_swap_sc32(a, x) model_32(MODEL_RMW(a, MODEL_SWAP, x, "swap sc"))
#define wf_swap_sc64(a, x) MODEL_RMW(a, MODEL_SWAP, x, "swap sc")
#define wf_swap_scp(a, x) model_pointer(MODEL_RMW(a, MODEL_SWAP, x, "swap sc"))

#define wf_cas_acq_rel32(a, expect, x) model_cas32(&(a)->v, expect, x, MODEL_HERE)
#define wf_cas_acq_rel64(a, expect, x) model_cas64(&(a)->v, expect, x, MODEL_HERE)
#define wf_cas_sc32(a, expect, x) model_cas32(&(a)->v, expect, x, MODEL_HERE)
#define wf_cas_sc64(a, expect, x) model_cas64(&(a)->v, expect, x, MODEL_HERE)

#define wf_add_sc32(a, x) model_32(MODEL_RMW(a, MODEL_ADD, x, "add sc"))
#define wf_add_sc64(a, x) MODEL_RMW(a, MODEL_ADD, x, "add sc")
#define wf_sub_sc32(a, x) model_32(MODEL_RMW(a, MODEL_SUB, x, "sub sc"))
#define wf_sub_sc64(a, x) MODEL_RMW(a, MODEL_SUB, x, "sub sc")
#define wf_or_sc64(a, x) MODEL_RMW(a, MODEL_OR, x, "or sc")
#define wf_and_sc64(a, x) MODEL_RMW(a, MODEL_AND, x, "and sc")

#endif
