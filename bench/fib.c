/* SPDX-License-Identifier: MIT */
/* fib.c - how long does a tree of small fork-join tasks take?
 *
 * fib(n) spawns a fiber for fib(n - 1), computes fib(n - 2) itself and joins: 121,392 fibers for n
 * = 25, each with almost nothing to do. The cost of spawn and join in a tree, and (with several
 * workers) of stealing from it.
 */
#include "bench/in_fiber.h"

#include <stdio.h>

static const struct bench_question question = {
	.name = "fib",
	.asks = "how long does fib(n) take when every fib(n - 1) is a fiber of its own?",
	.count_means = "n, at most 40",
	.count = 25,
	.count_quick = 20,
};

static void *fib(void *arg)
{
	const uintptr_t n = (uintptr_t)arg;
	weft_fiber *fiber;
	uintptr_t other;

	if (n < 2)
		return arg;
	fiber = bench_spawn(fib, (void *)(n - 1));
	other = (uintptr_t)fib((void *)(n - 2));
	return (void *)((uintptr_t)bench_join(fiber) + other);
}

static uintptr_t fib_plain(uintptr_t n)
{
	uintptr_t a = 0;
	uintptr_t b = 1;

	for (uintptr_t i = 0; i < n; i++) {
		const uintptr_t next = a + b;

		a = b;
		b = next;
	}
	return a;
}

static double measure(void *arg)
{
	const uintptr_t n = *(const uintptr_t *)arg;
	const int64_t start_ns = bench_now_ns();
	const uintptr_t got = (uintptr_t)fib((void *)n);

	if (got != fib_plain(n))
		bench_die("fib: wrong result %ju", (uintmax_t)got);
	return (double)(bench_now_ns() - start_ns) / 1e6;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	uintptr_t n = (uintptr_t)args->count;
	char text[32];

	if (n > 40)
		bench_die("fib: --count is n here and may be at most 40");
	snprintf(text, sizeof text, "fib(%ju)", (uintmax_t)n);
	bench_repeat(args, text, "ms", measure, &n);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
