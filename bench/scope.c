/* SPDX-License-Identifier: MIT */
/* scope.c - what does structured concurrency cost: a scope, its children, its cancellation?
 *
 * Measured:
 *   one child       open a scope, spawn an empty child into it, close it.
 *   100 children    the same with 100 of them; for each child.
 *   nested          8 scopes opened one in the other, and closed; for each scope. One fiber's work,
 *                   asked on one worker only, for more change nothing.
 *   cancel          a scope has 1,000 children, each in a receive on a channel to which nothing is
 *                   ever sent; from its cancellation until its close has returned: all have woken,
 *                   failed with -ECANCELED, and ended. For each child. The spawning is not in it.
 *                   With several workers the last children may not have parked yet.
 */
#include "bench/in_fiber.h"

#include <errno.h>

static const struct bench_question question = {
	.name = "scope",
	.asks = "what do a scope, its children and its cancellation cost?",
	.count_means = "children, or nested scopes, in each repetition; a quarter of that where cancelled",
	.count = 400000,
	.count_quick = 40000,
};

enum { CHILDREN = 100, DEPTH = 8, CROWD = 1000, SLOWER = 4 };

static inline void must(int result, const char *call)
{
	if (result < 0)
		bench_check(result, call);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static double with_children(uint64_t scopes, unsigned children)
{
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < scopes; i++) {
		weft_scope scope;

		must(weft_scope_open(&scope, WEFT_FOREVER), "weft_scope_open");
		for (unsigned child = 0; child < children; child++)
			must(weft_scope_spawn(&scope, nothing, NULL), "weft_scope_spawn");
		must(weft_scope_close(&scope), "weft_scope_close");
	}
	return (double)(bench_now_ns() - start_ns) / (double)(scopes * children);
}

static double one_child(void *arg)
{
	return with_children(*(const uint64_t *)arg, 1);
}

static double many_children(void *arg)
{
	return with_children(*(const uint64_t *)arg / CHILDREN + 1, CHILDREN);
}

static double nested(void *arg)
{
	const uint64_t turns = *(const uint64_t *)arg / DEPTH + 1;
	weft_scope scopes[DEPTH];
	const int64_t start_ns = bench_now_ns();

	for (uint64_t turn = 0; turn < turns; turn++) {
		for (unsigned i = 0; i < DEPTH; i++)
			must(weft_scope_open(&scopes[i], WEFT_FOREVER), "weft_scope_open");
		for (unsigned i = DEPTH; i-- > 0;)
			must(weft_scope_close(&scopes[i]), "weft_scope_close");
	}
	return (double)(bench_now_ns() - start_ns) / (double)(turns * DEPTH);
}

struct crowd {
	weft_chan *never;
	uint64_t waiting;
	uint64_t cancelled;
};

static int wait_for_it(void *arg)
{
	struct crowd *crowd = arg;

	bench_count(&crowd->waiting);
	if (weft_chan_recv(crowd->never, NULL) == -ECANCELED)
		bench_count(&crowd->cancelled);
	return 0;
}

/* From the cancellation to the end of the close. */
static int64_t cancel_crowd(weft_chan *never)
{
	struct crowd crowd = {.never = never};
	weft_scope scope;
	int64_t took_ns;
	int result;

	must(weft_scope_open(&scope, WEFT_FOREVER), "weft_scope_open");
	for (unsigned i = 0; i < CROWD; i++)
		must(weft_scope_spawn(&scope, wait_for_it, &crowd), "weft_scope_spawn");
	while (bench_counted(&crowd.waiting) < CROWD)
		weft_yield();
	took_ns = -bench_now_ns();
	must(weft_scope_cancel(&scope), "weft_scope_cancel");
	result = weft_scope_close(&scope);
	took_ns += bench_now_ns();
	if (result != -ECANCELED || bench_counted(&crowd.cancelled) != CROWD)
		bench_die("scope: the close gave %d, and %llu children were cancelled", result,
			(unsigned long long)crowd.cancelled);
	return took_ns;
}

static double cancel(void *arg)
{
	const uint64_t turns = *(const uint64_t *)arg / SLOWER / CROWD + 1;
	weft_chan *never = NULL;
	int64_t took_ns = 0;

	bench_check(weft_chan_new(&never, 0, 0), "weft_chan_new");
	for (uint64_t turn = 0; turn < turns; turn++)
		took_ns += cancel_crowd(never);
	weft_chan_free(never);
	return (double)took_ns / (double)(turns * CROWD);
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	uint64_t count = args->count;

	bench_repeat(args, "open, spawn 1, close", "ns/scope", one_child, &count);
	bench_repeat(args, "open, spawn 100, close", "ns/child", many_children, &count);
	if (weft_workers() == 1)
		bench_repeat(args, "8 nested, open and close", "ns/scope", nested, &count);
	bench_repeat(args, "cancel and close, 1000 parked", "ns/child", cancel, &count);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
