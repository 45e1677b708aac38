/* SPDX-License-Identifier: MIT */
/* program.c - see program.h */
#include "tests/seed_diff/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char trace[1 << 16];
static size_t trace_length;

void trace_flush(void)
{
	fwrite(trace, 1, trace_length, stdout);
	fflush(stdout);
	trace_length = 0;
}

void trace_text(const char *text)
{
	size_t length = strlen(text);
	if (trace_length + length > sizeof(trace))
		trace_flush();
	memcpy(trace + trace_length, text, length);
	trace_length += length;
}

void trace_number(int number)
{
	char digits[16];
	size_t at = sizeof(digits) - 1;
	unsigned rest = number < 0 ? 0u - (unsigned)number : (unsigned)number;
	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (number < 0)
		digits[--at] = '-';
	trace_text(digits + at);
}

void trace_event(struct actor actor, char op, int k, int code, int value)
{
	char letter[4] = {actor.kind, '\0', '\0', '\0'};
	trace_text(letter);
	if (actor.kind != '-')
		trace_number(actor.index);
	letter[0] = ' ';
	letter[1] = op;
	trace_text(letter);
	trace_number(k);
	trace_text(" ");
	trace_number(code);
	trace_text(" ");
	trace_number(value);
	trace_text("\n");
}

/* One instruction. Returns what follows, or NULL. */
static const char *parse_instruction(struct instruction *in, const char *text)
{
	int *const numbers[] = {&in->k, &in->x, &in->y, &in->h};
	*in = (struct instruction){.op = *text++};
	for (size_t i = 0; i < 4 && strchr(" \n", *text) == NULL; i++) {
		char *end;
		*numbers[i] = (int)strtol(text, &end, 10);
		if (end == text)
			return NULL;
		text = *end == ',' ? end + 1 : end;
	}
	return strchr(" \n", *text) != NULL ? text : NULL;
}

/* The instructions up to the end of the line. Returns the next line, or NULL. */
static const char *parse_code(struct program *program, struct code *code, const char *text)
{
	code->first = &program->instructions[program->used];
	code->count = 0;
	for (;;) {
		text += strspn(text, " ");
		if (*text == '\n')
			return text + 1;
		if (*text == '\0' || program->used == INSTRUCTIONS)
			return NULL;
		text = parse_instruction(&program->instructions[program->used++], text);
		if (text == NULL)
			return NULL;
		code->count++;
	}
}

static bool is_word(const char *text, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(text, word, length) == 0;
}

static const char *parse_line(struct program *program, const char *text, struct thing **last)
{
	static const char *const callbacks[] = {"next", "send", "throw", "close"};
	size_t length = strcspn(text, " \n");
	const char *rest = text + length;
	for (int i = NEXT; i <= CLOSE; i++)
		if (is_word(text, length, callbacks[i]))
			return *last != NULL ? parse_code(program, &(*last)->code[i], rest) : NULL;
	if (is_word(text, length, "top"))
		return parse_code(program, &program->top, rest);
	if (program->gens == THINGS || program->coros == THINGS)
		return NULL;
	if (is_word(text, length, "coro")) {
		*last = &program->coro[program->coros++];
		(*last)->kind = COROUTINE;
		return parse_code(program, &(*last)->code[0], rest);
	}
	*last = &program->gen[program->gens++];
	if (is_word(text, length, "gen"))
		return parse_code(program, &(*last)->code[0], rest);
	(*last)->kind = ITERABLE;
	(*last)->flags = atoi(rest);
	rest = strchr(rest, '\n');
	return is_word(text, length, "iter") && rest != NULL ? rest + 1 : NULL;
}

bool program_parse(struct program *program, const char *text)
{
	struct thing *last = NULL;
	memset(program, 0, sizeof(*program));
	program->coros = 1;
	if (strncmp(text, "program ", 8) != 0)
		return false;
	program->number = atoi(text + 8);
	text = strchr(text, '\n');
	if (text == NULL)
		return false;
	text++;
	while (strncmp(text, "end\n", 4) != 0) {
		text = parse_line(program, text, &last);
		if (text == NULL)
			return false;
	}
	return true;
}
