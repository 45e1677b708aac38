/* SPDX-License-Identifier: MIT */
/* watched.h - for models of what may be freed: every access through the atomics header is shown to the model
 *
 * Use      before any header of sched/, by a model that defines `touched`.
 */
#ifndef TESTS_MODEL_WATCHED_H
#define TESTS_MODEL_WATCHED_H

#include "sched/base/atomic.h"
#include "sched/base/sanitize.h"

#include "tests/model/explorer.h"

/* In the step of the access: fails if what lies there was given back. */
static void touched(const void *at);

static inline uint64_t watched(const void *at, uint64_t value)
{
	touched(at);
	return value;
}

#undef MODEL_LOAD
#undef MODEL_STORE
#undef MODEL_RMW
#undef wf_cas_acq_rel32
#undef wf_cas_acq_rel64
#define MODEL_LOAD(a, order)                                                                       \
	watched(&(a)->v, model_load(&(a)->v, sizeof((a)->v), "load " order, MODEL_HERE))
#define MODEL_STORE(a, x, release, order)                                                          \
	(model_store(&(a)->v, sizeof((a)->v), (uint64_t)(x), release, "store " order, MODEL_HERE), \
		touched(&(a)->v))
#define MODEL_RMW(a, op, x, name)                                                                  \
	watched(&(a)->v, model_rmw(&(a)->v, sizeof((a)->v), op, (uint64_t)(x), name, MODEL_HERE))
#define wf_cas_acq_rel32(a, expect, x)                                                             \
	((bool)watched(&(a)->v, model_cas32(&(a)->v, expect, x, MODEL_HERE)))
#define wf_cas_acq_rel64(a, expect, x)                                                             \
	((bool)watched(&(a)->v, model_cas64(&(a)->v, expect, x, MODEL_HERE)))

#endif
