/* SPDX-License-Identifier: MIT */
/* sleepers.c - what do a million sleeping fibers cost: to put to sleep, to hold, and to wake?
 *
 * Measured, in each repetition:
 *   arm    from the first spawn until the last fiber is about to sleep: spawn, first run, arming,
 *          park.
 *   fire   CPU time of the process from the first deadline until the last fiber has ended: timer,
 *          wake, end. Deadlines are spread at random over two seconds, so that the order is that of
 *          a busy server.
 *   late   how long after its deadline the latest fiber ran.
 *   RSS    growth of the resident set in the first, cold repetition (stacks, control blocks,
 *          timers). One sample.
 * The first deadline lies far enough ahead for all to fall asleep; a repetition in which it did not
 * fails.
 */
#include "bench/in_fiber.h"

#include <stdio.h>
#include <stdlib.h>

static const struct bench_question question = {
	.name = "sleepers",
	.asks = "what do a million sleeping fibers cost to put to sleep, to hold and to wake?",
	.count_means = "sleepers",
	.count = 1000000,
	.count_quick = 100000,
};

/* Time given for one fiber to be spawned and to fall asleep; cold, it is several page faults of 2-5
 * us, and more when others work on the machine. */
#define LEAD_COLD (INT64_C(20) * WEFT_US)
#define LEAD_WARM (INT64_C(10) * WEFT_US)
#define SPREAD (INT64_C(2) * WEFT_SEC)

struct sleepers {
	uint64_t count;
	weft_ns first;	  /* no deadline lies before this */
	uint64_t asleep;  /* fibers that have come to their sleep; shared between workers */
	uint64_t awake;	  /* fibers past it; shared */
	int64_t armed_ns; /* written by the last to fall asleep */
	int64_t late_ns;  /* the largest lateness; shared */
	double rss_bytes; /* of the last repetition, each fiber */
	double arm_ns;
	double fire_ns;
};

/* SplitMix64: the spread of the deadlines must be the same in every run. */
static uint64_t scatter(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void note_lateness(struct sleepers *all, int64_t late_ns)
{
	int64_t seen = __atomic_load_n(&all->late_ns, __ATOMIC_RELAXED);

	while (late_ns > seen &&
		!__atomic_compare_exchange_n(
			&all->late_ns, &seen, late_ns, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		continue;
}

static void *sleeper(void *arg)
{
	struct sleepers *all = arg;
	const uint64_t index = bench_count(&all->asleep);
	const weft_ns deadline = all->first + (weft_ns)(scatter(index) % (uint64_t)SPREAD);

	if (index == all->count)
		__atomic_store_n(&all->armed_ns, bench_now_ns(), __ATOMIC_RELAXED);
	bench_check(weft_sleep_until(deadline), "weft_sleep_until");
	note_lateness(all, bench_now_ns() - deadline);
	bench_count(&all->awake);
	return NULL;
}

static void measure(struct sleepers *all, weft_ns lead_each)
{
	const uint64_t rss_before = bench_rss_bytes();
	const int64_t start_ns = bench_now_ns();
	int64_t cpu_before;

	all->asleep = 0;
	all->awake = 0;
	all->late_ns = 0;
	all->first = weft_after((weft_ns)all->count * lead_each + 100 * WEFT_MS);
	for (uint64_t i = 0; i < all->count; i++)
		bench_check(weft_go(sleeper, all), "weft_go");
	while (bench_counted(&all->asleep) < all->count)
		bench_check(weft_sleep(WEFT_MS), "weft_sleep");
	/* The last one still has to get from its count to its park. */
	bench_check(weft_sleep(10 * WEFT_MS), "weft_sleep");
	if (weft_now() > all->first)
		bench_die("sleepers: the first deadline passed before all were asleep");
	all->arm_ns = (double)(__atomic_load_n(&all->armed_ns, __ATOMIC_RELAXED) - start_ns) /
		(double)all->count;
	all->rss_bytes = (double)(int64_t)(bench_rss_bytes() - rss_before) / (double)all->count;
	bench_check(weft_sleep_until(all->first), "weft_sleep_until");
	cpu_before = bench_cpu_ns();
	while (bench_counted(&all->awake) < all->count)
		bench_check(weft_sleep(10 * WEFT_MS), "weft_sleep");
	all->fire_ns = (double)(bench_cpu_ns() - cpu_before) / (double)all->count;
}

static void print(const struct sleepers *all, const char *what, const char *unit,
	const struct bench_series *series)
{
	char text[64];

	snprintf(text, sizeof text, "%llu, %s", (unsigned long long)all->count, what);
	bench_print(question.name, text, "weft", weft_workers(), unit, series);
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct sleepers all = {.count = args->count};
	struct bench_series *series = bench_alloc(4, sizeof(*series));

	measure(&all, LEAD_COLD);
	bench_add(&series[0], all.rss_bytes);
	for (unsigned i = 0; i < args->reps; i++) {
		measure(&all, LEAD_WARM);
		bench_add(&series[1], all.arm_ns);
		bench_add(&series[2], all.fire_ns);
		bench_add(&series[3], (double)all.late_ns / 1e3);
	}
	print(&all, "RSS when all sleep", "bytes/fiber", &series[0]);
	print(&all, "spawn, arm and park", "ns/fiber", &series[1]);
	print(&all, "CPU to fire, wake and end", "ns/fiber", &series[2]);
	print(&all, "latest after its deadline", "us", &series[3]);
	free(series);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
