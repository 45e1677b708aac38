/* SPDX-License-Identifier: MIT */
/* spawn.c - what does it cost to spawn a fiber and join it, one after another?
 *
 * Measured: each worker has one spawner fiber (with one worker: the first fiber itself) that spawns
 * an empty fiber and joins it at once. Wall time over all spawns of all spawners, so on several
 * workers it is the inverse of the throughput, not the time one caller waits.
 */
#include "bench/in_fiber.h"

#include <stdlib.h>

static const struct bench_question question = {
	.name = "spawn",
	.asks = "what do weft_spawn and weft_join of an empty fiber cost, one after another?",
	.count_means = "spawns in each repetition, over all spawners",
	.count = 1000000,
	.count_quick = 100000,
};

static void *nothing(void *arg)
{
	return arg;
}

static void *spawner(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;

	for (uint64_t i = 0; i < count; i++)
		bench_join(bench_spawn(nothing, NULL));
	return NULL;
}

static double measure(void *arg)
{
	const struct bench_args *args = arg;
	const unsigned spawners = weft_workers();
	uint64_t each = args->count / spawners + 1;
	const int64_t start_ns = bench_now_ns();

	if (spawners == 1) {
		spawner(&each);
	} else {
		weft_fiber **fibers = bench_alloc(spawners, sizeof(*fibers));

		for (unsigned i = 0; i < spawners; i++)
			fibers[i] = bench_spawn(spawner, &each);
		for (unsigned i = 0; i < spawners; i++)
			bench_join(fibers[i]);
		free(fibers);
	}
	return (double)(bench_now_ns() - start_ns) / (double)(each * spawners);
}

static void *body(void *arg)
{
	bench_repeat(arg, "spawn, then join", "ns/op", measure, arg);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
