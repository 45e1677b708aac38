/* SPDX-License-Identifier: MIT */
/* gen.c - what does a generator's step cost, and what does delegation add?
 *
 * Measured: weft_gen_next on a body that yields a number in a loop, by itself and as the innermost
 * of a chain of delegations; a whole life (new, one step, free); and a round of two coroutines,
 * which is two switches. On a fiber, and once more on a plain thread. To be read beside the
 * question `switch`: a step is two of those.
 */
#include "bench/in_fiber.h"

#include <stdio.h>

static const struct bench_question question = {
	.name = "gen",
	.asks = "what does a step of a generator cost, by itself and below many delegations?",
	.count_means = "steps in each repetition",
	.count = 2000000,
	.count_quick = 200000,
	.workers_only = 1,
};

static void *counter(void *arg)
{
	uintptr_t number = 0;

	while (weft_gen_yield((void *)++number, NULL) == 0)
		continue;
	return arg;
}

static void *delegator(void *sub)
{
	void *result;
	int error = weft_gen_delegate(sub, &result);

	weft_gen_free(sub);
	return error < 0 ? weft_gen_raise(error, result) : result;
}

static void *partner(void *arg)
{
	weft_coro *main_coro = arg;

	while (weft_coro_switch(main_coro, NULL, NULL) == 0)
		continue;
	return NULL;
}

/* A counter below that many delegators. */
static weft_gen *chain_of(unsigned depth)
{
	weft_gen *gen, *outer;

	bench_check(weft_gen_new(&gen, counter, NULL), "weft_gen_new");
	for (unsigned i = 0; i < depth; i++, gen = outer)
		bench_check(weft_gen_new(&outer, delegator, gen), "weft_gen_new");
	return gen;
}

struct steps {
	weft_gen *gen;
	uint64_t count;
};

static double step(void *arg)
{
	const struct steps *steps = arg;
	const int64_t start_ns = bench_now_ns();
	void *value;

	for (uint64_t i = 0; i < steps->count; i++)
		bench_check(weft_gen_next(steps->gen, &value), "weft_gen_next");
	return (double)(bench_now_ns() - start_ns) / (double)steps->count;
}

static double life(void *arg)
{
	const struct steps *steps = arg;
	const uint64_t lives = steps->count / 10 + 1;
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < lives; i++) {
		weft_gen *gen = chain_of(0);

		bench_check(weft_gen_next(gen, NULL), "weft_gen_next");
		weft_gen_free(gen);
	}
	return (double)(bench_now_ns() - start_ns) / (double)lives;
}

struct rounds {
	weft_coro *coro;
	uint64_t count;
};

static double round_trip(void *arg)
{
	const struct rounds *rounds = arg;
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < rounds->count; i++)
		bench_check(weft_coro_switch(rounds->coro, NULL, NULL), "weft_coro_switch");
	return (double)(bench_now_ns() - start_ns) / (double)rounds->count;
}

static void measure_steps(const struct bench_args *args, const char *text, unsigned depth)
{
	struct steps steps = {.gen = chain_of(depth), .count = args->count};
	struct bench_series series = {0};

	step(&steps);
	for (unsigned i = 0; i < args->reps; i++)
		bench_add(&series, step(&steps));
	bench_print(question.name, text, "weft", 1, "ns/step", &series);
	weft_gen_free(steps.gen);
}

static void *measure(void *arg)
{
	static const unsigned depths[] = {1, 10, 100, 1000};
	const struct bench_args *args = arg;
	struct steps steps = {.count = args->count};
	struct rounds rounds = {.count = args->count};
	char text[64];

	measure_steps(args, "by itself", 0);
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		snprintf(text, sizeof(text), "below %u delegation%s", depths[i],
			depths[i] > 1 ? "s" : "");
		measure_steps(args, text, depths[i]);
	}
	bench_repeat(args, "new, next, free", "ns", life, &steps);
	bench_check(weft_coro_new(&rounds.coro, partner, NULL), "weft_coro_new");
	bench_check(weft_coro_switch(rounds.coro, weft_coro_current(), NULL), "weft_coro_switch");
	bench_repeat(args, "2 coroutines, there and back", "ns", round_trip, &rounds);
	weft_coro_free(rounds.coro);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	measure_steps(&args, "by itself, on a plain thread", 0);
	return bench_in_fiber(&args, measure, &args);
}
