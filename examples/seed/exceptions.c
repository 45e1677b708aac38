/* SPDX-License-Identifier: MIT */
/* exceptions.c - a generator that handles one kind of error, and ends at any other
 *
 * Shows    weft_gen_throw, weft_gen_close; errors of one's own
 * Build    cc exceptions.c $(pkg-config --cflags --libs weft) -o exceptions
 * In tree  bazel run //examples/seed:exceptions
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

/* Any negative number will do that is no errno value and not WEFT_GEN_EXIT. */
#define DEMO_EXCEPTION (-10000)

static const char *getgeneratorstate(const weft_gen *gen)
{
	static const char *const name[] = {"GEN_CREATED", "GEN_RUNNING", "GEN_SUSPENDED", "GEN_CLOSED"};

	return name[weft_gen_state(gen)];
}

static void *demo_exc_handling(void *arg)
{
	(void)arg;
	printf("-> coroutine started\n");
	for (;;) {
		void *x = NULL;
		int error = weft_gen_yield(NULL, &x);
		if (error == DEMO_EXCEPTION)
			printf("*** DemoException handled. Continuing...\n");
		else if (error < 0)
			return weft_gen_raise(error, x);
		else
			printf("-> coroutine received: %d\n", *(int *)x);
	}
}

int main(void)
{
	int numbers[] = {11, 22};
	weft_gen *exc_coro;
	int error = weft_gen_new(&exc_coro, demo_exc_handling, NULL);

	if (error == 0)
		error = weft_gen_next(exc_coro, NULL);
	for (int i = 0; i < 2 && error == 0; i++)
		error = weft_gen_send(exc_coro, &numbers[i], NULL);
	if (error == 0)
		error = weft_gen_throw(exc_coro, DEMO_EXCEPTION, NULL, NULL);
	if (error == 0) {
		printf("%s\n", getgeneratorstate(exc_coro));
		error = weft_gen_close(exc_coro);
	}
	if (error == 0)
		printf("%s\n", getgeneratorstate(exc_coro));
	weft_gen_free(exc_coro);
	if (error < 0)
		fprintf(stderr, "exceptions: %s\n", strerror(-error));
	return error != 0;
}
