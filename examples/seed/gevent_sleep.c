/* SPDX-License-Identifier: MIT */
/* gevent_sleep.c - two fibers that sleep at the same time
 *
 * Shows    weft_run, weft_spawn, weft_sleep, weft_join_all in place of gevent's calls
 * Build    cc gevent_sleep.c $(pkg-config --cflags --libs weft) -o gevent_sleep
 * Run      ./gevent_sleep          ./gevent_sleep 0.02    (seconds of a sleep; 1)
 * In tree  bazel run //examples/seed:gevent_sleep
 *
 * One worker, as gevent has one thread, so that the order is the same each time.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/fiber.h>
#include <weft/runtime.h>

static double seconds = 1;

static void *f1(void *arg)
{
	int error = 0;

	(void)arg;
	for (int i = 0; i < 5 && error == 0; i++) {
		printf("run func: f1, index: %d \n", i);
		error = weft_sleep((weft_ns)(seconds * WEFT_SEC));
	}
	return (void *)(intptr_t)error;
}

static void *f2(void *arg)
{
	int error = 0;

	(void)arg;
	for (int i = 0; i < 5 && error == 0; i++) {
		printf("run func: f2, index: %d \n", i);
		error = weft_sleep((weft_ns)(seconds * WEFT_SEC));
	}
	return (void *)(intptr_t)error;
}

static void *start(void *arg)
{
	weft_fiber *t[2] = {NULL};
	void *result[2] = {NULL};
	int error, joined;

	(void)arg;
	error = weft_spawn(&t[0], f1, NULL);
	if (error == 0)
		error = weft_spawn(&t[1], f2, NULL);
	joined = weft_join_all(t, result, 2);
	if (error == 0)
		error = joined;
	for (int i = 0; i < 2 && error == 0; i++)
		error = (int)(intptr_t)result[i];
	return (void *)(intptr_t)error;
}

int main(int argc, char **argv)
{
	weft_config config = {.workers = 1};
	void *result = NULL;
	char *rest;

	if (argc == 2) {
		seconds = strtod(argv[1], &rest);
		if (rest == argv[1] || *rest != '\0')
			seconds = -1;
	}
	if (argc > 2 || !(seconds >= 0 && seconds <= 1000)) {
		fprintf(stderr, "usage: gevent_sleep [SECONDS]\n");
		return 2;
	}
	int error = weft_run(&config, start, NULL, &result);
	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "gevent_sleep: %s\n", strerror(-error));
	return error != 0;
}
