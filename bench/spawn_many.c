/* SPDX-License-Identifier: MIT */
/* spawn_many.c - what does a fiber cost when a million are spawned first and joined afterwards?
 *
 * Measured: one fiber spawns them all (empty bodies), then joins them in the order of their birth.
 * On one worker none runs before the spawner parks in its first join, so control blocks for all of
 * them are live at once; stacks need not be. Two cases: the whole, and the spawning alone.
 */
#include "bench/in_fiber.h"

#include <stdio.h>
#include <stdlib.h>

static const struct bench_question question = {
	.name = "spawn_many",
	.asks = "what does a fiber cost when all are spawned first and joined afterwards?",
	.count_means = "fibers in each repetition",
	.count = 1000000,
	.count_quick = 100000,
};

static void *nothing(void *arg)
{
	return arg;
}

struct many {
	uint64_t count;
	weft_fiber **fibers;
	double spawn_ns; /* of the last repetition, each fiber */
	double whole_ns;
};

static void measure(struct many *many)
{
	const int64_t start_ns = bench_now_ns();
	int64_t spawned_ns;

	for (uint64_t i = 0; i < many->count; i++)
		many->fibers[i] = bench_spawn(nothing, NULL);
	spawned_ns = bench_now_ns();
	for (uint64_t i = 0; i < many->count; i++)
		bench_join(many->fibers[i]);
	many->spawn_ns = (double)(spawned_ns - start_ns) / (double)many->count;
	many->whole_ns = (double)(bench_now_ns() - start_ns) / (double)many->count;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct many many = {.count = args->count};
	struct bench_series whole = {0};
	struct bench_series spawn = {0};
	char text[64];

	many.fibers = bench_alloc(many.count, sizeof(*many.fibers));
	measure(&many);
	for (unsigned i = 0; i < args->reps; i++) {
		measure(&many);
		bench_add(&whole, many.whole_ns);
		bench_add(&spawn, many.spawn_ns);
	}
	free(many.fibers);
	snprintf(text, sizeof text, "%llu, spawn all, join all", (unsigned long long)many.count);
	bench_print(question.name, text, "weft", weft_workers(), "ns/fiber", &whole);
	snprintf(text, sizeof text, "%llu, the spawns alone", (unsigned long long)many.count);
	bench_print(question.name, text, "weft", weft_workers(), "ns/fiber", &spawn);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
