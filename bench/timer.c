/* SPDX-License-Identifier: MIT */
/* timer.c - what does a timer cost that never fires, as most do?
 *
 * Measured:
 *   deadline   a fiber sets its own deadline an hour ahead and clears it again: what a server does
 *              around each request. The clock is read outside the loop.
 *   sleepers   10,000 fibers fall asleep for an hour and are cancelled one by one: arming and
 *              taking back real timers of a well-filled structure. The spawn, the wake and the end
 *              of the fiber are in the figures, because no public call arms a timer alone: subtract
 *              spawn.c's for an estimate.
 */
#include "bench/in_fiber.h"

#include <errno.h>
#include <stdlib.h>

static const struct bench_question question = {
	.name = "timer",
	.asks = "what does a timer cost that is armed and taken back before it fires?",
	.count_means = "deadlines set and cleared in each repetition",
	.count = 2000000,
	.count_quick = 200000,
	.workers_only = 1,
};

enum { SLEEPERS = 10000 };

#define HOUR (INT64_C(3600) * WEFT_SEC)

static double set_and_clear(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	const weft_ns deadline = weft_after(HOUR);
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		weft_deadline(deadline + (weft_ns)i);
		weft_deadline(WEFT_FOREVER);
	}
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

struct crowd {
	weft_fiber *fibers[SLEEPERS];
	unsigned asleep; /* plain: one worker */
	double arm_ns;	 /* of the last repetition, each fiber */
	double cancel_ns;
};

static void *sleeper(void *arg)
{
	struct crowd *crowd = arg;

	crowd->asleep++;
	if (weft_sleep(HOUR) != -ECANCELED)
		bench_die("timer: a sleep of an hour ended without being cancelled");
	return NULL;
}

static void measure(struct crowd *crowd)
{
	const int64_t start_ns = bench_now_ns();
	int64_t asleep_ns;

	crowd->asleep = 0;
	for (unsigned i = 0; i < SLEEPERS; i++)
		crowd->fibers[i] = bench_spawn(sleeper, crowd);
	while (*(volatile unsigned *)&crowd->asleep < SLEEPERS)
		weft_yield();
	asleep_ns = bench_now_ns();
	for (unsigned i = 0; i < SLEEPERS; i++)
		bench_check(weft_cancel(crowd->fibers[i]), "weft_cancel");
	for (unsigned i = 0; i < SLEEPERS; i++)
		bench_join(crowd->fibers[i]);
	crowd->arm_ns = (double)(asleep_ns - start_ns) / SLEEPERS;
	crowd->cancel_ns = (double)(bench_now_ns() - asleep_ns) / SLEEPERS;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct crowd *crowd = bench_alloc(1, sizeof(*crowd));
	struct bench_series arm = {0};
	struct bench_series cancel = {0};
	uint64_t count = args->count;

	bench_repeat(args, "set and clear a deadline", "ns/op", set_and_clear, &count);
	measure(crowd);
	for (unsigned i = 0; i < args->reps; i++) {
		measure(crowd);
		bench_add(&arm, crowd->arm_ns);
		bench_add(&cancel, crowd->cancel_ns);
	}
	bench_print(question.name, "10000 sleepers: spawn, arm, park", "weft", 1, "ns/fiber", &arm);
	bench_print(question.name, "10000 sleepers: cancel, wake, join", "weft", 1, "ns/fiber", &cancel);
	free(crowd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
