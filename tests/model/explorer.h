/* SPDX-License-Identifier: MIT */
/* explorer.h - what a model is, and what its threads may call
 *
 * What     a model is a few threads over one block of state. The explorer runs every interleaving of their steps, once for each
 *          distinct state, and stops at the first that the model calls wrong.
 * Rules    M1 all that threads share lies in the model's state block, or in its parts: words of shipped structs that are too large for the
 *             block. They start as zeros, then program.setup. What else lies in such a struct is constant while a program is explored: a
 *             load of it is no step, and a store to it an error.
 *          M2 a step is one access of the atomics header, or one model_step or model_wait, with the plain code up to the
 *             next one. Plain fields of the block are the model's own notes, or what a model_step says is under a lock.
 *          M3 no loop waits for another thread but by model_wait.
 */
#ifndef TESTS_MODEL_EXPLORER_H
#define TESTS_MODEL_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_THREADS_MAX 6
#define MODEL_HERE __FILE__, __LINE__

struct model_program {
	const char *name; /* what meets what */
	void (*setup)(void);
	uint32_t threads;
	struct {
		const char *name;
		void (*main)(uint32_t argument);
		uint32_t argument;
	} thread[MODEL_THREADS_MAX];
};

struct model_part {
	void *at;
	size_t bytes;
};

struct model {
	void *state;
	size_t state_bytes;
	const struct model_part *part; /* M1; NULL: the block is all */
	uint32_t parts;
	void (*check)(void);		     /* after every step */
	void (*finish)(void);		     /* no thread can go on: all have ended or wait */
	const char *(*name)(const void *at); /* of a word of the state, for the report */
	const struct model_program *program;
	uint32_t programs;
};

/* One line of the table of mutants, or a model as shipped. */
struct model_case {
	const char *name;
	const char *step;   /* what was taken out; "" for the model as shipped */
	const char *expect; /* part of the violation that must be found; "" if none may be */
	const struct model *model;
};
extern const struct model_case model_cases[];
extern const uint32_t model_case_count;

/* For model threads. */
enum model_update { MODEL_SWAP, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND, MODEL_CAS };

uint64_t model_load(const void *at, size_t size, const char *name, const char *file, int line);
/* Of a word that only the calling thread writes: what it says, which is no step. */
uint64_t model_own(const uint64_t *at);
void model_store(void *at, size_t size, uint64_t value, bool release, const char *name,
	const char *file, int line);
uint64_t model_rmw(void *at, size_t size, enum model_update op, uint64_t operand, const char *name,
	const char *file, int line);
bool model_cas32(uint32_t *at, uint32_t *expect, uint32_t value, const char *file, int line);
bool model_cas64(uint64_t *at, uint64_t *expect, uint64_t value, const char *file, int line);

/* The code up to the next step is one, as under a lock or in a system call; the thread's stores are out. */
void model_step(const char *what);
/* membarrier: the stores of every thread are out before the step ends, and what a thread loads afterwards is loaded after it. */
void model_barrier(const char *what);
/* Waits until *word is not 0. With `alarms`: returns without that too, as long as *alarms lasts. */
void model_wait(const char *what, const uint32_t *word, uint32_t *alarms);
/* For threads, check and finish: this must not be. The first one counts. */
void model_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For tests. */
struct model_result {
	bool failed;
	uint64_t states;
	char what[256];	      /* the violation */
	char trace[64 << 10]; /* the steps that led there */
};
/* Every interleaving of one program, until the first violation. More than `states_max` states is one too. */
void model_explore(const struct model *model, const struct model_program *program,
	uint64_t states_max, struct model_result *result);

#ifdef __cplusplus
}
#endif

#endif
