/* SPDX-License-Identifier: MIT */
/* parallel_sum.c - the sum of the primes below N on all processors: spawn one half, do the other
 *
 * Shows    weft_spawn and weft_join as fork and join, weft_shield around a join that must not be
 *          given up, weft_stats_get
 * Build    cc parallel_sum.c $(pkg-config --cflags --libs weft) -o parallel_sum
 * In tree  bazel run //examples:parallel_sum -- 5000000
 *
 * The fibers make a tree. Each worker runs its newest fiber first, so few of them exist at a time;
 * a worker without work steals the oldest, which is the largest part left.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

/* Numbers that one fiber looks at by itself: a fraction of a millisecond, a thousand times what
 * spawning and joining a fiber costs. */
#define GRAIN 2000

struct part {
	uint64_t begin;
	uint64_t end;
	uint64_t sum; /* of the primes in [begin, end): the result */
};

static int is_prime(uint64_t number)
{
	for (uint64_t divisor = 2; divisor * divisor <= number; divisor++)
		if (number % divisor == 0)
			return 0;
	return number >= 2;
}

static void *add_up(void *arg)
{
	struct part *part = arg;

	if (part->end - part->begin <= GRAIN) {
		for (uint64_t number = part->begin; number < part->end; number++)
			part->sum += is_prime(number) ? number : 0;
		return NULL;
	}

	uint64_t middle = part->begin + (part->end - part->begin) / 2;
	struct part low = {part->begin, middle, 0};
	struct part high = {middle, part->end, 0};
	weft_fiber *fiber;
	int error = weft_spawn(&fiber, add_up, &high);

	add_up(&low);
	if (error == 0) {
		/* The other fiber works in this frame: cancelled or not, wait for it. */
		bool was = weft_shield(true);
		weft_join(fiber, NULL);
		weft_shield(was);
	} else {
		/* No memory for a fiber is no reason to fail: there is always this one. */
		add_up(&high);
	}
	part->sum = low.sum + high.sum;
	return NULL;
}

static void *start(void *arg)
{
	struct part all = {0, *(const uint64_t *)arg, 0};
	weft_ns begin = weft_now();
	weft_stats stats;

	add_up(&all);
	weft_ns spent = weft_now() - begin;
	weft_stats_get(NULL, &stats, NULL, 0);
	printf("sum of the primes below %" PRIu64 ": %" PRIu64 "\n", all.end, all.sum);
	printf("%" PRIu64 " fibers on %u workers, %" PRIu64 " of them stolen, %.1f ms\n",
		stats.total.spawned, stats.workers, stats.total.steals, (double)spent / 1e6);
	return NULL;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: parallel_sum [N]\n"
		"Adds up the primes below N, 1000000 by default, 100000000 at most.\n");
	return status;
}

int main(int argc, char **argv)
{
	uint64_t limit = 1000000;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(0);
	if (argc > 2)
		return usage(2);
	if (argc == 2) {
		char *rest;
		limit = strtoull(argv[1], &rest, 10);
		if (!isdigit((unsigned char)argv[1][0]) || *rest != '\0' || limit > 100000000)
			return usage(2);
	}
	int error = weft_run(NULL, start, &limit, NULL);
	if (error < 0)
		fprintf(stderr, "weft_run: %s\n", strerror(-error));
	return error < 0;
}
