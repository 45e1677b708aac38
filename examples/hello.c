/* SPDX-License-Identifier: MIT */
/* hello.c - three fibers sleep at the same time, and print in the order in which they wake
 *
 * Shows    weft_run, weft_spawn, weft_sleep, weft_join
 * Build    cc hello.c $(pkg-config --cflags --libs weft) -o hello
 * In tree  bazel run //examples:hello
 */
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

static void *greet(void *arg)
{
	const int *tenths = arg;

	weft_sleep(*tenths * 100 * WEFT_MS);
	printf("hello after %d ms\n", *tenths * 100);
	return NULL;
}

static void *start(void *arg)
{
	int tenths[] = {3, 1, 2};
	weft_fiber *fiber[3];
	int count = 0;

	(void)arg;
	while (count < 3 && weft_spawn(&fiber[count], greet, &tenths[count]) == 0)
		count++;
	for (int i = 0; i < count; i++)
		weft_join(fiber[i], NULL);
	return NULL;
}

int main(void)
{
	int error = weft_run(NULL, start, NULL, NULL);

	if (error < 0)
		fprintf(stderr, "weft_run: %s\n", strerror(-error));
	return error < 0;
}
