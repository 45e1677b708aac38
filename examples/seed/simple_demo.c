/* SPDX-License-Identifier: MIT */
/* simple_demo.c - a generator takes a value, and refuses one before it has begun
 *
 * Shows    weft_gen_new, weft_gen_next, weft_gen_send, weft_gen_yield; what the end of a body is
 * Build    cc simple_demo.c $(pkg-config --cflags --libs weft) -o simple_demo
 * In tree  bazel run //examples/seed:simple_demo
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

static void *simple_demo(void *arg)
{
	void *x = NULL;

	(void)arg;
	printf("start\n");
	int error = weft_gen_yield(NULL, &x);
	if (error < 0)
		return weft_gen_raise(error, x);
	printf("x: %d\n", *(int *)x);
	return NULL;
}

static int primed(void)
{
	int ten = 10;
	weft_gen *sd;
	int error = weft_gen_new(&sd, simple_demo, NULL);

	if (error == 0)
		error = weft_gen_next(sd, NULL);
	if (error == 0)
		error = weft_gen_send(sd, &ten, NULL);
	if (error == WEFT_GEN_DONE) {
		printf("StopIteration\n");
		error = 0;
	}
	weft_gen_free(sd);
	return error;
}

static int unprimed(void)
{
	int ten = 10;
	weft_gen *sd;
	int error = weft_gen_new(&sd, simple_demo, NULL);

	if (error == 0)
		error = weft_gen_send(sd, &ten, NULL);
	if (error == -EINVAL) {
		printf("TypeError: can't send non-None value to a just-started generator\n");
		error = 0;
	}
	weft_gen_free(sd);
	return error;
}

int main(void)
{
	int error = primed();

	if (error == 0)
		error = unprimed();
	if (error < 0)
		fprintf(stderr, "simple_demo: %s\n", strerror(-error));
	return error != 0;
}
