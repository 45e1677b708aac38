/* SPDX-License-Identifier: MIT */
/* yield.c - what does weft_yield cost, between 2 fibers and among 10,000?
 *
 * Measured: all fibers have started and stand at a gate; the clock runs from the gate's opening
 * until the last fiber has done its yields. Nothing else is ready: the first fiber is parked in
 * weft_join. One worker, so that the figure is the path through the scheduler and the memory it
 * touches, not stealing.
 */
#include "bench/in_fiber.h"

#include <stdbool.h>
#include <stdlib.h>

static const struct bench_question question = {
	.name = "yield",
	.asks = "what does weft_yield cost, between 2 fibers and among 10,000 on one worker?",
	.count_means = "yields in each repetition, over all fibers",
	.count = 2000000,
	.count_quick = 200000,
	.workers_only = 1,
};

/* Plain fields: with one worker all fibers run on one thread. */
struct ring {
	unsigned fibers;
	uint64_t yields_each;
	unsigned at_gate;
	unsigned running;
	volatile bool open;
	int64_t end_ns;
};

static void *yielder(void *arg)
{
	struct ring *ring = arg;

	ring->at_gate++;
	while (!ring->open)
		weft_yield();
	for (uint64_t i = 0; i < ring->yields_each; i++)
		weft_yield();
	if (--ring->running == 0)
		ring->end_ns = bench_now_ns();
	return NULL;
}

static double measure(void *arg)
{
	struct ring *ring = arg;
	weft_fiber **fibers = bench_alloc(ring->fibers, sizeof(*fibers));
	int64_t start_ns;

	ring->at_gate = 0;
	ring->running = ring->fibers;
	ring->open = false;
	for (unsigned i = 0; i < ring->fibers; i++)
		fibers[i] = bench_spawn(yielder, ring);
	while (ring->at_gate < ring->fibers)
		weft_yield();
	ring->open = true;
	start_ns = bench_now_ns();
	for (unsigned i = 0; i < ring->fibers; i++)
		bench_join(fibers[i]);
	free(fibers);
	return (double)(ring->end_ns - start_ns) / (double)(ring->fibers * ring->yields_each);
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct ring two = {.fibers = 2, .yields_each = args->count / 2 + 1};
	struct ring many = {.fibers = 10000, .yields_each = args->count / 10000 + 1};

	bench_repeat(args, "2 fibers", "ns/op", measure, &two);
	bench_repeat(args, "10000 fibers", "ns/op", measure, &many);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
