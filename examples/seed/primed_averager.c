/* SPDX-License-Identifier: MIT */
/* primed_averager.c - a generator that stands at its first yield from the start
 *
 * Shows    weft_gen_new_primed in place of the priming decorator
 * Build    cc primed_averager.c $(pkg-config --cflags --libs weft) -o primed_averager
 * In tree  bazel run //examples/seed:primed_averager
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

static const char *getgeneratorstate(const weft_gen *gen)
{
	static const char *const name[] = {"GEN_CREATED", "GEN_RUNNING", "GEN_SUSPENDED", "GEN_CLOSED"};

	return name[weft_gen_state(gen)];
}

static void *averager(void *arg)
{
	double total = 0.0, value;
	int count = 0, error;
	void *average = NULL, *term = NULL;

	(void)arg;
	while ((error = weft_gen_yield(average, &term)) == 0) {
		total += *(double *)term;
		count++;
		value = total / count;
		average = &value;
	}
	return weft_gen_raise(error, term);
}

int main(void)
{
	double terms[] = {10, 30, 5};
	void *average;
	weft_gen *coro_avg;
	int error = weft_gen_new_primed(&coro_avg, averager, NULL);

	if (error == 0)
		printf("%s\n", getgeneratorstate(coro_avg));
	for (int i = 0; i < 3 && error == 0; i++) {
		error = weft_gen_send(coro_avg, &terms[i], &average);
		if (error == 0)
			printf("%.1f\n", *(double *)average);
	}
	weft_gen_free(coro_avg);
	if (error < 0)
		fprintf(stderr, "primed_averager: %s\n", strerror(-error));
	return error != 0;
}
