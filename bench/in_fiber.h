/* SPDX-License-Identifier: MIT */
/* in_fiber.h - runs a benchmark's body as the first fiber of a runtime
 *
 * What     the two steps every weft benchmark takes: start a runtime with the workers asked for,
 *          and repeat a measurement inside it.
 * Rules    B3 of bench.h. Counters shared between fibers are touched with the two calls below,
 *          because fibers of one benchmark may run on several workers.
 */
#ifndef WEFT_BENCH_IN_FIBER_H
#define WEFT_BENCH_IN_FIBER_H

#include "bench/bench.h"

#include <weft/weft.h>

/* Runs @body as the first fiber; returns main()'s exit status. */
static inline int bench_in_fiber(const struct bench_args *args, weft_fn body, void *arg)
{
	weft_config config = {.workers = args->workers};

	bench_check(weft_run(&config, body, arg, NULL), "weft_run");
	return 0;
}

/* Calls @measure once to warm up and then args->reps times; each value it returns is a sample. */
static inline void bench_repeat(const struct bench_args *args, const char *text, const char *unit,
	double (*measure)(void *), void *arg)
{
	struct bench_series series = {0};

	measure(arg);
	for (unsigned i = 0; i < args->reps; i++)
		bench_add(&series, measure(arg));
	bench_print(args->question->name, text, "weft", weft_workers(), unit, &series);
}

/* Relaxed is enough for counting; who reads the total has joined the counters' fibers or polls. */
static inline uint64_t bench_count(uint64_t *counter)
{
	return __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static inline uint64_t bench_counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline weft_fiber *bench_spawn(weft_fn fn, void *arg)
{
	weft_fiber *fiber = NULL;

	bench_check(weft_spawn(&fiber, fn, arg), "weft_spawn");
	return fiber;
}

static inline void *bench_join(weft_fiber *fiber)
{
	void *result = NULL;

	bench_check(weft_join(fiber, &result), "weft_join");
	return result;
}

#endif
