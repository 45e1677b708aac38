/* SPDX-License-Identifier: MIT */
/* averager_result.c - a generator that returns a value at its end
 *
 * Shows    WEFT_GEN_DONE with a result, in the caller's memory: the body's own is gone by then
 * Build    cc averager_result.c $(pkg-config --cflags --libs weft) -o averager_result
 * In tree  bazel run //examples/seed:averager_result
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

struct Result {
	int count;
	double average;
};

static void *averager(void *arg)
{
	struct Result *result = arg;
	double total = 0.0, average = 0.0;
	int count = 0;
	void *term = NULL;
	int error;

	while ((error = weft_gen_yield(NULL, &term)) == 0) {
		if (term == NULL)
			break;
		total += *(double *)term;
		count++;
		average = total / count;
	}
	if (error < 0)
		return weft_gen_raise(error, term);
	*result = (struct Result){count, average};
	return result;
}

int main(void)
{
	double terms[] = {10, 30, 6.5};
	struct Result memory;
	void *value;
	weft_gen *coro_avg;
	int error = weft_gen_new(&coro_avg, averager, &memory);

	if (error == 0)
		error = weft_gen_next(coro_avg, NULL);
	for (int i = 0; i < 3 && error == 0; i++)
		error = weft_gen_send(coro_avg, &terms[i], NULL);
	if (error == 0)
		error = weft_gen_send(coro_avg, NULL, &value);
	if (error == WEFT_GEN_DONE) {
		const struct Result *result = value;
		printf("Result(count=%d, average=%.1f)\n", result->count, result->average);
	}
	weft_gen_free(coro_avg);
	if (error < 0)
		fprintf(stderr, "averager_result: %s\n", strerror(-error));
	return error != WEFT_GEN_DONE;
}
