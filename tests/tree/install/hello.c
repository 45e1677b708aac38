/* SPDX-License-Identifier: MIT */
/* hello.c - what a user's first program does; compiled as strict C11 and, copied to hello.cc, as C++17 */
#include <stdio.h>
#include <weft/weft.h>

static void *hello(void *arg)
{
	printf("hello from a fiber\n");
	return arg;
}

int main(void)
{
	int mark = 0;
	void *result = NULL;
	int error = weft_run(NULL, hello, &mark, &result);
	if (error < 0) {
		fprintf(stderr, "weft_run: %d\n", error);
		return 1;
	}
	return result == &mark ? 0 : 2;
}
