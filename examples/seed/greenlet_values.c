/* SPDX-License-Identifier: MIT */
/* greenlet_values.c - each switch brings a value to the other side
 *
 * Shows    the value of a switch as an argument and as a result, and whose memory it is
 * Build    cc greenlet_values.c $(pkg-config --cflags --libs weft) -o greenlet_values
 * In tree  bazel run //examples/seed:greenlet_values
 */
#include <stdio.h>
#include <string.h>
#include <weft/coro.h>

static weft_coro *gr1, *gr2;

struct words {
	const char *x, *y;
};

static void *test1(void *arg)
{
	const struct words *words = arg;
	char both[100];
	void *z = NULL;

	snprintf(both, sizeof both, "%s%s", words->x, words->y);
	int error = weft_coro_switch(gr2, both, &z);
	if (error < 0)
		return weft_gen_raise(error, z);
	printf("test1 %d\n", *(int *)z);
	return NULL;
}

static void *test2(void *arg)
{
	const char *u = arg;
	int ten = 10;

	printf("test2 %s\n", u);
	int error = weft_coro_switch(gr1, &ten, NULL); /* stays: nobody switches back */
	return error < 0 ? weft_gen_raise(error, NULL) : NULL;
}

int main(void)
{
	struct words words = {"hello", " world"};
	void *value;
	int error = weft_coro_new(&gr1, test1, NULL);

	if (error == 0)
		error = weft_coro_new(&gr2, test2, NULL);
	if (error == 0)
		error = weft_coro_switch(gr1, &words, &value);
	if (error == 0)
		printf("%s\n", value ? (char *)value : "None");
	weft_coro_free(gr2);
	weft_coro_free(gr1);
	if (error < 0)
		fprintf(stderr, "greenlet_values: %s\n", strerror(-error));
	return error != 0;
}
