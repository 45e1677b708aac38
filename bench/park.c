/* SPDX-License-Identifier: MIT */
/* park.c - what does it cost to park a fiber and to wake it from another?
 *
 * Every public call that parks until another fiber wakes it does more than that (bench/chan.c and
 * bench/sync.c measure channels, events and conditions), so the bare pair is measured as a
 * difference of two rounds, on one worker:
 *   join parks       spawn B; yield until B has started (B then yields back); join B: the caller
 *                    parks, B runs on and its end wakes the caller.
 *   join finds it    the same spawn and yields, but the caller yields until B has ended and then
 *                    joins: nobody parks and nobody is woken.
 * The first minus the second is one park and one wake, less one yield of the caller: add the
 * yield's figure to get the pair. That the first round parks, and the second does not, is checked
 * with weft_stats_get.
 */
#include "bench/in_fiber.h"

#include <stdbool.h>

static const struct bench_question question = {
	.name = "park",
	.asks = "what does a park and its wake cost? Two rounds that differ by one park (and one yield)",
	.count_means = "rounds in each repetition",
	.count = 500000,
	.count_quick = 50000,
	.workers_only = 1,
};

/* Plain fields: with one worker all fibers run on one thread. */
struct round {
	uint64_t count;
	bool parks;
	volatile bool started;
	volatile bool ended;
};

static void *partner(void *arg)
{
	struct round *round = arg;

	round->started = true;
	weft_yield();
	round->ended = true;
	return NULL;
}

static uint64_t parks_so_far(void)
{
	weft_stats stats;

	bench_check(weft_stats_get(NULL, &stats, NULL, 0), "weft_stats_get");
	return stats.total.parks;
}

static double measure(void *arg)
{
	struct round *round = arg;
	const uint64_t parks_before = parks_so_far();
	const int64_t start_ns = bench_now_ns();
	int64_t end_ns;
	uint64_t parks;

	for (uint64_t i = 0; i < round->count; i++) {
		weft_fiber *fiber;

		round->started = false;
		round->ended = false;
		fiber = bench_spawn(partner, round);
		while (!round->started)
			weft_yield();
		while (!round->parks && !round->ended)
			weft_yield();
		bench_join(fiber);
	}
	end_ns = bench_now_ns();
	parks = parks_so_far() - parks_before;
	if (round->parks ? parks < round->count : parks > round->count / 100)
		bench_die("park: %llu parks in %llu rounds: the case is not what it says",
			(unsigned long long)parks, (unsigned long long)round->count);
	return (double)(end_ns - start_ns) / (double)round->count;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct round parks = {.count = args->count, .parks = true};
	struct round finds = {.count = args->count, .parks = false};

	bench_repeat(args, "join parks", "ns/round", measure, &parks);
	bench_repeat(args, "join finds it ended", "ns/round", measure, &finds);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
