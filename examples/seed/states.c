/* SPDX-License-Identifier: MIT */
/* states.c - the states of a generator, seen from outside
 *
 * Shows    weft_gen_state; values that go in and come out, and where they live
 * Build    cc states.c $(pkg-config --cflags --libs weft) -o states
 * In tree  bazel run //examples/seed:states
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

static const char *getgeneratorstate(const weft_gen *gen)
{
	static const char *const name[] = {"GEN_CREATED", "GEN_RUNNING", "GEN_SUSPENDED", "GEN_CLOSED"};

	return name[weft_gen_state(gen)];
}

static void *simple_demo(void *arg)
{
	int *a = arg;
	void *b = NULL, *c = NULL;

	printf("start: a =  %d\n", *a);
	int error = weft_gen_yield(a, &b);
	if (error < 0)
		return weft_gen_raise(error, b);
	printf("b =  %d\n", *(int *)b);
	int sum = *a + *(int *)b; /* stays until this generator is resumed */
	error = weft_gen_yield(&sum, &c);
	if (error < 0)
		return weft_gen_raise(error, c);
	printf("c =  %d\n", *(int *)c);
	return NULL;
}

int main(void)
{
	int a = 2, b = 3, c = 4;
	void *value;
	weft_gen *sd;
	int error = weft_gen_new(&sd, simple_demo, &a);

	if (error == 0) {
		printf("%s\n", getgeneratorstate(sd));
		error = weft_gen_next(sd, &value);
	}
	if (error == 0) {
		printf("%d\n", *(int *)value);
		printf("%s\n", getgeneratorstate(sd));
		error = weft_gen_send(sd, &b, &value);
	}
	if (error == 0) {
		printf("%d\n", *(int *)value);
		error = weft_gen_send(sd, &c, NULL);
	}
	if (error == WEFT_GEN_DONE) {
		printf("StopIteration\n");
		printf("%s\n", getgeneratorstate(sd));
	}
	weft_gen_free(sd);
	if (error < 0)
		fprintf(stderr, "states: %s\n", strerror(-error));
	return error != WEFT_GEN_DONE;
}
