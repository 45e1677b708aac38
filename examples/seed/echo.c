/* SPDX-License-Identifier: MIT */
/* echo.c - a generator that gives back what it is sent, errors too, until it is closed
 *
 * Shows    errors and their payloads as values; cleaning up at WEFT_GEN_EXIT
 * Build    cc echo.c $(pkg-config --cflags --libs weft) -o echo
 * In tree  bazel run //examples/seed:echo
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

static void *echo(void *arg)
{
	void *value = arg;
	int error;

	printf("execution starts when 'next()' is called \n");
	do
		error = weft_gen_yield(value, &value); /* an error's payload comes as a value does */
	while (error != WEFT_GEN_EXIT);
	printf("Don't forget to clean up when 'closed()' is called\n");
	return NULL;
}

/* What a step has yielded. Hands on whether it has. */
static int print(int error, const char *value)
{
	if (error == 0)
		printf("%s\n", value ? value : "None");
	return error;
}

static int use(weft_gen *a)
{
	static char *const none = NULL, three[] = "3", four[] = "4";
	char *sent[] = {none, none, none, three, four};
	void *value;
	int error = 0;

	for (int i = 0; i < 5 && error == 0; i++) {
		error = weft_gen_send(a, sent[i], &value);
		error = print(error, value);
	}
	if (error == 0) {
		error = weft_gen_throw(a, -EINVAL, "TypeError('spam')", &value);
		error = print(error, value);
	}
	if (error == 0) {
		error = weft_gen_next(a, &value);
		error = print(error, value);
	}
	if (error == 0)
		error = weft_gen_close(a);
	if (error == 0)
		error = weft_gen_next(a, NULL);
	if (error == WEFT_GEN_DONE)
		printf("StopIteration\n");
	return error;
}

int main(void)
{
	weft_gen *a;
	int error = weft_gen_new(&a, echo, "2");

	if (error == 0)
		error = use(a);
	weft_gen_free(a);
	if (error < 0)
		fprintf(stderr, "echo: %s\n", strerror(-error));
	return error != WEFT_GEN_DONE;
}
