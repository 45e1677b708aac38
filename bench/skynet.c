/* SPDX-License-Identifier: MIT */
/* skynet.c - how long does a tree of 1,111,111 fibers take?
 *
 * The known benchmark: each inner fiber spawns ten children and adds up what they return; the
 * leaves return their index, 0 to 999,999. It shows whether a runtime goes down a tree depth first
 * (few fibers alive) or breadth first (a million alive), and what a join of several children costs.
 * The sum is checked.
 */
#include "bench/in_fiber.h"

#include <stdio.h>

static const struct bench_question question = {
	.name = "skynet",
	.asks = "how long does a ten-way tree of fibers with a million leaves take?",
	.count_means = "leaves, rounded down to a power of ten",
	.count = 1000000,
	.count_quick = 100000,
};

enum { FANOUT = 10 };

struct node {
	uint64_t first;
	uint64_t leaves;
	uint64_t sum;
};

static void *grow(void *arg)
{
	struct node *node = arg;
	struct node child[FANOUT];
	weft_fiber *fiber[FANOUT];

	if (node->leaves == 1) {
		node->sum = node->first;
		return NULL;
	}
	node->sum = 0;
	for (uint64_t i = 0; i < FANOUT; i++) {
		child[i].leaves = node->leaves / FANOUT;
		child[i].first = node->first + i * child[i].leaves;
		fiber[i] = bench_spawn(grow, &child[i]);
	}
	/* The youngest first: it is the one least likely to have started. */
	for (unsigned i = FANOUT; i-- > 0;) {
		bench_join(fiber[i]);
		node->sum += child[i].sum;
	}
	return NULL;
}

static double measure(void *arg)
{
	const uint64_t leaves = *(const uint64_t *)arg;
	struct node root = {.leaves = leaves};
	const int64_t start_ns = bench_now_ns();

	bench_join(bench_spawn(grow, &root));
	if (root.sum != leaves * (leaves - 1) / 2)
		bench_die("skynet: wrong sum %llu", (unsigned long long)root.sum);
	return (double)(bench_now_ns() - start_ns) / 1e6;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	uint64_t leaves = 1;
	char text[32];

	while (leaves * FANOUT <= args->count)
		leaves *= FANOUT;
	snprintf(text, sizeof text, "%llu leaves", (unsigned long long)leaves);
	bench_repeat(args, text, "ms", measure, &leaves);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
