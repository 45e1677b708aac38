/* SPDX-License-Identifier: MIT */
/* machine.c - runs programs of generators and coroutines on weft; program.h says what they are
 *
 * usage: machine thread|fiber|hop FILE
 *
 *   thread   on a plain thread
 *   fiber    in a fiber of a runtime
 *   hop      each operation of the main program, of programs without coroutines, in a fiber of its own, on two workers
 *
 * Prints the traces. The end of a program frees all that is left, so that LeakSanitizer can tell what weft has left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/weft.h>

#include "tests/seed_diff/program.h"

/* What *out and the like hold before a call that has to write them. */
#define UNTOUCHED ((void *)(uintptr_t)7777)

struct result {
	int code;
	void *value;
};

enum how { FELL_OFF, RETURNED, RAISED, ANSWERED };

struct frame {
	struct actor actor;
	const struct code *code;
	int at;
	struct result last; /* what was returned, raised or answered */
};

static struct {
	struct program program;
	weft_gen *gens[THINGS];
	bool priming[THINGS];
	int positions[THINGS][CODES]; /* in iterables' codes */
	weft_coro *coros[THINGS];
	int freed_by[THINGS]; /* the coroutine that is freeing it, or -1 */
	int fuel;
	bool ending, hops;
} m;

static int number(const void *value)
{
	return (int)(uintptr_t)value;
}

static void *pointer(int value)
{
	return (void *)(uintptr_t)(unsigned)value;
}

static int coro_index(const weft_coro *coro)
{
	for (int i = 0; i < m.program.coros; i++)
		if (coro != NULL && m.coros[i] == coro)
			return i;
	return -1;
}

static int current(void)
{
	return m.program.coros > 1 ? coro_index(weft_coro_current()) : 0;
}

static void trace_states(void)
{
	char states[THINGS + 4] = ": ";
	for (int i = 0; i < m.program.gens; i++)
		states[2 + i] = m.gens[i] == NULL ? '-' : "CRSX"[weft_gen_state(m.gens[i])];
	trace_text(states);
	if (m.program.coros > 1) {
		trace_text(" at ");
		trace_number(current());
	}
	for (int i = 1; i < m.program.coros; i++) {
		if (m.coros[i] == NULL) {
			trace_text(" -");
			continue;
		}
		trace_text(weft_coro_dead(m.coros[i]) ? " dead/" : " live/");
		trace_number(coro_index(weft_coro_parent(m.coros[i])));
	}
	trace_text("\n");
}

static enum how run(struct frame *frame);

/* The index is the argument. */
static void *body(void *arg)
{
	int index = number(arg);
	struct frame frame = {{'g', index}, &m.program.gen[index].code[0], 0, {0, NULL}};
	trace_event(frame.actor, '(', 0, 0, 0);
	trace_states();
	if (run(&frame) == RAISED)
		return weft_gen_raise(frame.last.code, frame.last.value);
	return frame.last.value;
}

static void *function(void *arg)
{
	int index = current();
	struct frame frame = {{'c', index}, &m.program.coro[index].code[0], 0, {0, NULL}};
	trace_event(frame.actor, '(', 0, 0, number(arg));
	trace_states();
	if (run(&frame) == RAISED)
		return weft_gen_raise(frame.last.code, frame.last.value);
	return frame.last.value;
}

/* One of an iterable's functions; `otherwise` is what it answers at the end of its code. */
static struct result called(void *self, enum callback which, struct result otherwise)
{
	int index = number(self);
	struct frame frame = {{"iIjJ"[which], index}, &m.program.gen[index].code[which],
		m.positions[index][which], {0, NULL}};
	trace_event(frame.actor, '(', 0, otherwise.code, number(otherwise.value));
	trace_states();
	enum how how = run(&frame);
	m.positions[index][which] = frame.at;
	return how == ANSWERED || how == RAISED ? frame.last : otherwise;
}

static int iter_next(void *self, void **out)
{
	struct result result = called(self, NEXT, (struct result){WEFT_GEN_DONE, NULL});
	*out = result.value;
	return result.code;
}

static int iter_send(void *self, void *value, void **out)
{
	struct result result = called(self, SEND, (struct result){WEFT_GEN_DONE, value});
	*out = result.value;
	return result.code;
}

static int iter_throw(void *self, int error, void *payload, void **out)
{
	struct result result = called(self, THROW, (struct result){error, payload});
	*out = result.value;
	return result.code;
}

static int iter_close(void *self)
{
	int code = called(self, CLOSE, (struct result){0, NULL}).code;
	return code < 0 ? code : 0;
}

static int make_gen(int k, bool primed)
{
	const struct thing *thing = &m.program.gen[k];
	weft_gen *gen = NULL;
	int code;
	if (thing->kind == ITERABLE) {
		weft_iter iter = {.self = pointer(k), .next = iter_next};
		iter.send = thing->flags & 1 ? iter_send : NULL;
		iter.throw_in = thing->flags & 2 ? iter_throw : NULL;
		iter.close = thing->flags & 4 ? iter_close : NULL;
		memset(m.positions[k], 0, sizeof(m.positions[k]));
		code = weft_gen_from_iter(&gen, &iter);
	} else if (primed) {
		m.priming[k] = true;
		code = weft_gen_new_primed(&gen, body, pointer(k));
		m.priming[k] = false;
	} else {
		code = weft_gen_new(&gen, body, pointer(k));
	}
	m.gens[k] = gen;
	return code;
}

static struct result each(struct actor actor, int k, int limit)
{
	struct result result = {0, NULL};
	bool ended_before = weft_gen_state(m.gens[k]) == WEFT_GEN_CLOSED;
	int count = 0;
	WEFT_GEN_EACH(m.gens[k], value) {
		trace_event(actor, 'v', k, 0, number(value));
		if (++count == limit)
			break;
	}
	if (!ended_before)
		result.code = weft_gen_error(m.gens[k], &result.value);
	return result;
}

static struct result gen_step(struct actor actor, const struct instruction *in)
{
	bool unwanted = strchr("ydn", in->op) != NULL && in->x == 1;
	struct result result = {0, unwanted ? NULL : UNTOUCHED};
	void **out = unwanted ? NULL : &result.value;
	weft_gen *gen = strchr("dnstc", in->op) != NULL ? m.gens[in->k] : NULL;
	switch (in->op) {
	case 'y':
		result.code = weft_gen_yield(pointer(in->k), out);
		break;
	case 'd':
		result.code = weft_gen_delegate(gen, out);
		break;
	case 'n':
		result.code = weft_gen_next(gen, out);
		break;
	case 's':
		result.code = weft_gen_send(gen, pointer(in->x), &result.value);
		break;
	case 't':
		result.code = weft_gen_throw(gen, in->x, pointer(in->y), &result.value);
		break;
	case 'c':
		result = (struct result){weft_gen_close(gen), NULL};
		break;
	case 'e':
		result = each(actor, in->k, in->x);
		break;
	case 'f':
		if (weft_gen_state(m.gens[in->k]) == WEFT_GEN_RUNNING)
			return (struct result){PASSED_OVER, NULL};
		weft_gen_free(m.gens[in->k]);
		m.gens[in->k] = NULL;
		result.value = NULL;
		break;
	default: /* m, p */
		if (m.gens[in->k] != NULL || m.priming[in->k] || m.fuel <= 0 || m.ending)
			return (struct result){PASSED_OVER, NULL};
		result = (struct result){make_gen(in->k, in->op == 'p'), NULL};
	}
	return result;
}

/* Is a coroutine being freed? */
static bool going(int coro)
{
	return coro >= 0 && m.freed_by[coro] >= 0;
}

/* May the current coroutine hand control to another one? */
static bool muted(void)
{
	int coro = current();
	return going(coro) && (m.program.gens > 0 || going(m.freed_by[coro]));
}

static bool free_coro(int k)
{
	weft_coro *coro = m.coros[k];
	if (coro == NULL)
		return true;
	if (k == 0 || k == current() || going(k))
		return false;
	for (int i = 1; i < m.program.coros; i++)
		if (weft_coro_parent(m.coros[i]) == coro)
			return false;
	m.freed_by[k] = current();
	weft_coro_free(coro);
	m.freed_by[k] = -1;
	m.coros[k] = NULL;
	return true;
}

static struct result coro_step(const struct instruction *in)
{
	bool unwanted = in->op == 'W' && in->y == 1;
	struct result result = {0, unwanted ? NULL : UNTOUCHED}, passed_over = {PASSED_OVER, NULL};
	void **out = unwanted ? NULL : &result.value;
	weft_coro *coro = m.coros[in->k];
	switch (in->op) {
	case 'W':
	case 'T':
		if (muted())
			return passed_over;
		if (in->op == 'W')
			result.code = weft_coro_switch(coro, pointer(in->x), out);
		else
			result.code = weft_coro_throw(coro, in->x, pointer(in->y), &result.value);
		return result;
	case 'P':
		if (m.ending || going(in->k) || going(in->x))
			return passed_over;
		return (struct result){weft_coro_set_parent(coro, m.coros[in->x]), NULL};
	case 'F':
		if (m.ending || !free_coro(in->k))
			return passed_over;
		return (struct result){0, NULL};
	default: { /* M */
		weft_coro *parent = in->x < 0 ? NULL : m.coros[in->x];
		if (coro != NULL || in->k == 0 || m.fuel <= 0 || m.ending ||
			going(parent == NULL ? current() : in->x))
			return passed_over;
		return (struct result){weft_coro_new(&m.coros[in->k], function, parent), NULL};
	}
	}
}

static struct result step(struct actor actor, const struct instruction *in)
{
	struct result result = {0, NULL};
	if (in->op == 'q') {
		trace_states();
		return result;
	}
	if (in->op == 'w')
		weft_gen_raise(in->k, pointer(in->x));
	else if (strchr("WTPFM", in->op) != NULL)
		result = coro_step(in);
	else
		result = gen_step(actor, in);
	trace_event(actor, in->op, in->k, result.code, number(result.value));
	if (strchr("yd", in->op) != NULL)
		trace_states();
	if (result.code == PASSED_OVER)
		result.code = 0;
	return result;
}

/* From frame->at on. */
static enum how run(struct frame *frame)
{
	struct result pending = {0, NULL};
	bool is_pending = false;
	while (frame->at < frame->code->count) {
		const struct instruction *in = &frame->code->first[frame->at++];
		struct result result = {in->k, pointer(in->x)};
		int handler = in->h;
		bool raised = true;
		m.fuel--;
		switch (in->op) {
		case 'r':
			frame->last = (struct result){0, pointer(in->k)};
			return RETURNED;
		case '=':
			frame->last = result;
			return ANSWERED;
		case 'z':
			is_pending = false;
			continue;
		case 'a':
			weft_gen_raise(-1, UNTOUCHED); /* the last call counts */
			break;
		case '^':
			result = pending;
			raised = is_pending;
			break;
		default:
			result = step(frame->actor, in);
			raised = result.code != 0 && handler != 0;
		}
		if (!raised)
			continue;
		if (handler <= 0) {
			frame->last = result;
			return RAISED;
		}
		pending = result;
		is_pending = true;
		frame->at += handler - 1;
	}
	frame->last = (struct result){0, NULL};
	return FELL_OFF;
}

static const struct actor TOP = {'-', 0};

static void *hop(void *arg)
{
	step(TOP, arg);
	return NULL;
}

static void top_step(const struct instruction *in)
{
	m.fuel--;
	if (m.hops && m.program.coros == 1) {
		weft_fiber *fiber;
		if (weft_spawn(&fiber, hop, (void *)(uintptr_t)in) != 0)
			abort();
		weft_join(fiber, NULL);
	} else {
		step(TOP, in);
	}
	trace_states();
}

static void begin(void)
{
	memset(m.gens, 0, sizeof(m.gens));
	memset(m.coros, 0, sizeof(m.coros));
	m.fuel = FUEL;
	m.ending = false;
	for (int i = 0; i < m.program.gens; i++)
		make_gen(i, false);
	m.coros[0] = m.program.coros > 1 ? weft_coro_current() : NULL;
	for (int i = 0; i < m.program.coros; i++) {
		m.freed_by[i] = -1;
		if (i > 0 && weft_coro_new(&m.coros[i], function, NULL) != 0)
			abort();
	}
}

static void finish(void)
{
	m.ending = true;
	for (int i = 1; i < m.program.coros; i++)
		while (going(i))
			top_step(&(struct instruction){.op = 'W', .k = m.freed_by[i]});
	for (int i = 1; i < m.program.coros; i++)
		if (m.coros[i] != NULL)
			weft_coro_set_parent(m.coros[i], m.coros[0]);
	for (int i = 1; i < m.program.coros; i++) {
		free_coro(i);
		trace_event(TOP, 'F', i, 0, 0);
	}
	for (int i = 0; i < m.program.gens; i++)
		top_step(&(struct instruction){.op = 'f', .k = i});
}

static void not_a_program(void)
{
	fputs("machine: not a program\n", stderr);
	exit(2);
}

/* The text of the next program, on its own. False: there is none. */
static bool next_text(FILE *file, char *text, size_t size)
{
	size_t length = 0;
	do {
		if (length + 2 > size)
			not_a_program();
		if (fgets(text + length, (int)(size - length), file) == NULL) {
			if (length > 0)
				not_a_program();
			return false;
		}
		text += length;
		size -= length;
		length = strlen(text);
	} while (strcmp(text, "end\n") != 0);
	return true;
}

static void *run_all(void *file)
{
	static char text[1 << 15];
	while (next_text(file, text, sizeof(text))) {
		if (!program_parse(&m.program, text))
			not_a_program();
		trace_text("# ");
		trace_number(m.program.number);
		trace_text("\n");
		begin();
		for (int i = 0; i < m.program.top.count; i++)
			top_step(&m.program.top.first[i]);
		finish();
		if (getenv("MACHINE_FLUSH") != NULL)
			trace_flush();
	}
	trace_flush();
	return NULL;
}

int main(int argc, char **argv)
{
	FILE *file = argc == 3 ? fopen(argv[2], "r") : NULL;
	if (file == NULL) {
		fputs("usage: machine thread|fiber|hop FILE\n", stderr);
		return 2;
	}
	if (strcmp(argv[1], "thread") == 0) {
		run_all(file);
	} else {
		m.hops = strcmp(argv[1], "hop") == 0;
		int error = weft_run(&(weft_config){.workers = 1 + m.hops}, run_all, file, NULL);
		if (error != 0) {
			fprintf(stderr, "machine: weft_run: %s\n", strerror(-error));
			return 2;
		}
	}
	fclose(file);
	return 0;
}
