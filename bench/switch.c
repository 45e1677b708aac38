/* SPDX-License-Identifier: MIT */
/* switch.c - what does the bare switch of stacks cost?
 *
 * Measured: the first stack and one other hand control to each other, with nothing in between. The
 * floor of everything a scheduler does. The only benchmark that reaches below the public API,
 * because that API has no bare switch; it starts no runtime.
 */
#include "bench/bench.h"

#include "sched/core/context.h"

static const struct bench_question question = {
	.name = "switch",
	.asks = "what does the bare switch of stacks cost, without any scheduler?",
	.count_means = "switches in each repetition",
	.count = 20000000,
	.count_quick = 2000000,
	.workers_only = 1,
};

struct pair {
	void *first; /* saved stack pointers */
	void *second;
};

static struct wf_context_next answer(void *value)
{
	struct pair *pair = value;

	for (;;)
		wf_context_switch(&pair->second, pair->first, pair);
	return (struct wf_context_next){0}; /* never: the program ends first */
}

static double measure(struct pair *pair, uint64_t count)
{
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i += 2)
		wf_context_switch(&pair->first, pair->second, pair);
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

int main(int argc, char **argv)
{
	static _Alignas(64) char stack[64 * 1024];
	struct bench_args args = bench_parse(&question, argc, argv);
	struct bench_series series = {0};
	struct pair pair = {.second = wf_context_make(stack + sizeof stack, answer)};

	/* The first switch starts the other stack (X5 of context.h). */
	wf_context_start(&pair.first, pair.second, &pair);
	measure(&pair, args.count);
	for (unsigned i = 0; i < args.reps; i++)
		bench_add(&series, measure(&pair, args.count));
	bench_print(question.name, "2 stacks", "weft", 1, "ns/switch", &series);
	return 0;
}
