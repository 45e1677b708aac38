/* SPDX-License-Identifier: MIT */
/* hello.c - a program of another workspace: all it knows of weft is @weft//:weft and <weft/weft.h> */
#include <stdio.h>
#include <weft/weft.h>

static void *hello(void *arg)
{
	printf("hello from another workspace\n");
	return arg;
}

int main(void)
{
	int error = weft_run(NULL, hello, NULL, NULL);
	if (error < 0)
		fprintf(stderr, "weft_run: %d\n", error);
	return error < 0;
}
