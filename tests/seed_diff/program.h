/* SPDX-License-Identifier: MIT */
/* program.h - random programs of generators, plain iterables and coroutines: their text, and the trace of a run
 *
 * What     programs.py makes programs, machine.c runs them on weft, reference.py on CPython and greenlet; the two traces must be equal.
 * Text     A line per thing. Its first word says what it is, then come instructions, each an operation's letter and up to four numbers
 *          with commas between them, "k,x,y,h"; those left out are 0.
 *
 *            program NUMBER
 *            gen CODE              the next generator: its body. Generators and iterables are numbered together, from 0
 *            iter FLAGS            the next plain iterable; FLAGS: 1 it has send, 2 throw_in, 4 close. Then, in this order:
 *            next CODE / send CODE / throw CODE / close CODE
 *                                  one code each: a call goes on where the last one has stopped
 *            coro CODE             the next coroutine, from 1: its function. Coroutine 0 is the main one
 *            top CODE              what the main program does; all coroutines and generators have been made, with the main one as parent
 *            end
 *
 *          Values and payloads are numbers, 0 is NULL. If an operation ends with an error, or with WEFT_GEN_DONE, then h says how the
 *          code goes on: 0 with the next instruction; h > 0: with the h-th behind this one, and the error is pending; -1: the error leaves.
 *
 *            y k        yield k                            d k        delegate to k
 *            n k        next(k)                            s k,x      k.send(x)
 *            t k,x,y    k.throw(error x, payload y)        c k        k.close()
 *            f k        free k, unless it runs             m k        make k anew, if it was freed
 *            p k        the same with weft_gen_new_primed  e k,x      WEFT_GEN_EACH over k, break after x values
 *            q          ask for all states                 r k        return k
 *            a k,x      raise error k with payload x       w k,x      call weft_gen_raise, and drop what it returns
 *            ^          raise the pending error, if any    z          forget it
 *            = k,x      a callback's answer: code k, *out = x
 *            W k,x      switch to coroutine k with x       T k,x,y    throw error x with payload y to it
 *            P k,x      x becomes the parent of k          F k        free coroutine k
 *            M k,x      make coroutine k anew, if it was freed, with parent x (-1: the current one)
 *
 *          With x = 1, y, d and n hand in NULL for where to put the value, as does W with y = 1.
 *
 *          What weft aborts on is passed over (freeing what runs, is current, is a parent), and what the two sides cannot be compared in:
 *          a coroutine that is being freed becomes nobody's parent and gets no other one. It switches to nobody if there are generators
 *          (they would stay RUNNING for ever), or if who frees it is being freed (that one would be released as a parent). A program has FUEL instructions, then nothing new is made.
 * Trace    "# NUMBER", then a line per event: who, operation and k, code (0, 1 DONE, 9999 passed over, or the error), value. "g1 (" and
 *          "c1 (": a body or function begins. ":" and the states of all things, after each operation of the main program, and
 *          where a body, function or callback begins, or has been resumed at a yield or delegation.
 * End      The main program waits for frees that are going on, gives all coroutines the main one as parent, frees them in their order,
 *          then the generators in theirs.
 */
#ifndef TESTS_SEED_DIFF_PROGRAM_H
#define TESTS_SEED_DIFF_PROGRAM_H

#include <stdbool.h>

enum { THINGS = 10, CODES = 4, INSTRUCTIONS = 1024, FUEL = 400, PASSED_OVER = 9999 };

struct instruction {
	char op;
	int k, x, y, h;
};

struct code {
	const struct instruction *first;
	int count;
};

enum kind { GENERATOR, ITERABLE, COROUTINE };

enum callback { NEXT, SEND, THROW, CLOSE };

struct thing {
	enum kind kind;
	int flags;
	struct code code[CODES]; /* of an iterable by callback, else the first */
};

struct program {
	int number, gens, coros; /* coros: with the main one */
	struct thing gen[THINGS], coro[THINGS];
	struct code top;
	int used;
	struct instruction instructions[INSTRUCTIONS];
};

/* Reads the program that begins at `text`. False: it is none. */
bool program_parse(struct program *program, const char *text);

/* Who does something: a generator's body, an iterable's function, a coroutine's, or the main program ('-'). */
struct actor {
	char kind;
	int index;
};

/* Little stack is needed to write a trace. */
void trace_number(int number);
void trace_text(const char *text);
void trace_event(struct actor actor, char op, int k, int code, int value);
/* Writes what has come together to standard output. */
void trace_flush(void);

#endif
