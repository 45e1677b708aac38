/* SPDX-License-Identifier: MIT */
/* averager.c - the running average of what is sent
 *
 * Shows    a generator that goes on for ever, and what ends it: weft_gen_free
 * Build    cc averager.c $(pkg-config --cflags --libs weft) -o averager
 * In tree  bazel run //examples/seed:averager
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

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

/* As Python prints these: with a digit behind the point, and no more than it takes. */
static void print(double number)
{
	printf(number == (int)number ? "%.1f\n" : "%.17g\n", number);
}

int main(void)
{
	double terms[] = {10, 30, 40};
	void *average;
	weft_gen *avg;
	int error = weft_gen_new(&avg, averager, NULL);

	if (error == 0)
		error = weft_gen_next(avg, NULL);
	for (int i = 0; i < 3 && error == 0; i++) {
		error = weft_gen_send(avg, &terms[i], &average);
		if (error == 0)
			print(*(double *)average);
	}
	weft_gen_free(avg);
	if (error < 0)
		fprintf(stderr, "averager: %s\n", strerror(-error));
	return error != 0;
}
