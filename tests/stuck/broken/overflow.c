/* SPDX-License-Identifier: MIT */
/* overflow.c - broken: a recursion as deep as its input, on a stack of 64 KiB
 *
 * To read  "parser" has overflowed its stack, which is 65536 bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

static const char *skip_value(const char *text, char *last)
{
	char token[64];
	while (*text == '[') {
		text = skip_value(text + 1, token); /* wrong: bounded by nothing */
		*last = token[0];
	}
	*last = *text;
	return *text == ']' ? text + 1 : text;
}

static void *parse(void *arg)
{
	char last;
	skip_value(arg, &last);
	return NULL;
}

static void *start(void *arg)
{
	enum { DEPTH = 100000 };
	char *text = malloc(2 * DEPTH + 1);
	weft_fiber *parser;
	(void)arg;
	weft_set_name("start");
	if (text == NULL)
		return NULL;
	memset(text, '[', DEPTH);
	memset(text + DEPTH, ']', DEPTH);
	text[2 * DEPTH] = '\0';
	if (weft_spawn_attr(&parser, &(weft_attr){.name = "parser"}, parse, text) == 0)
		weft_join(parser, NULL);
	free(text);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
