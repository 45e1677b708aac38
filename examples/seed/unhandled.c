/* SPDX-License-Identifier: MIT */
/* unhandled.c - an error that leaves a body reaches whoever resumed it, and ends the generator
 *
 * Shows    weft_gen_raise with a payload, and what comes after it
 * Build    cc unhandled.c $(pkg-config --cflags --libs weft) -o unhandled
 * In tree  bazel run //examples/seed:unhandled
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

/* In Python each value knows its type. Here the one who needs it says it. */
struct term {
	enum { FLOAT, STR } type;
	double number;
};

static void *averager(void *arg)
{
	double total = 0.0, value;
	int count = 0, error;
	void *average = NULL, *sent = NULL;

	(void)arg;
	while ((error = weft_gen_yield(average, &sent)) == 0) {
		const struct term *term = sent;
		if (term->type != FLOAT)
			return weft_gen_raise(
				-EINVAL, "unsupported operand type(s) for +=: 'float' and 'str'");
		total += term->number;
		count++;
		value = total / count;
		average = &value;
	}
	return weft_gen_raise(error, sent);
}

int main(void)
{
	struct term terms[] = {{FLOAT, 40}, {FLOAT, 50}, {STR, 0}, {FLOAT, 60}};
	void *out;
	weft_gen *coro_avg;
	int error = weft_gen_new(&coro_avg, averager, NULL);

	if (error == 0)
		error = weft_gen_next(coro_avg, NULL);
	for (int i = 0; i < 4 && error == 0; i++) {
		error = weft_gen_send(coro_avg, &terms[i], &out);
		if (error == 0)
			printf("%.1f\n", *(double *)out);
		if (error == -EINVAL)
			printf("TypeError: %s\n", (char *)out);
		if (error == WEFT_GEN_DONE)
			printf("StopIteration\n");
		if (error == -EINVAL || error == WEFT_GEN_DONE)
			error = 0;
	}
	weft_gen_free(coro_avg);
	if (error < 0)
		fprintf(stderr, "unhandled: %s\n", strerror(-error));
	return error != 0;
}
