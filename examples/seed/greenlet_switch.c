/* SPDX-License-Identifier: MIT */
/* greenlet_switch.c - two coroutines that hand control to each other
 *
 * Shows    weft_coro_new, weft_coro_switch; one that ends goes on in its parent
 * Build    cc greenlet_switch.c $(pkg-config --cflags --libs weft) -o greenlet_switch
 * In tree  bazel run //examples/seed:greenlet_switch
 */
#include <stdio.h>
#include <string.h>
#include <weft/coro.h>

static weft_coro *gr1, *gr2;

static void *test1(void *arg)
{
	(void)arg;
	printf("12\n");
	int error = weft_coro_switch(gr2, NULL, NULL);
	if (error < 0)
		return weft_gen_raise(error, NULL);
	printf("34\n");
	return NULL;
}

static void *test2(void *arg)
{
	(void)arg;
	printf("56\n");
	int error = weft_coro_switch(gr1, NULL, NULL);
	if (error < 0)
		return weft_gen_raise(error, NULL); /* it ends here: weft_coro_free */
	printf("78\n");
	return NULL;
}

int main(void)
{
	int error = weft_coro_new(&gr1, test1, NULL);

	if (error == 0)
		error = weft_coro_new(&gr2, test2, NULL);
	if (error == 0)
		error = weft_coro_switch(gr1, NULL, NULL);
	weft_coro_free(gr2);
	weft_coro_free(gr1);
	if (error < 0)
		fprintf(stderr, "greenlet_switch: %s\n", strerror(-error));
	return error != 0;
}
