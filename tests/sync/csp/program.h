/* SPDX-License-Identifier: MIT */
/* program.h - random programs of processes and channels, and what may come out of running one
 *
 * What     A program has processes, each a list of steps, which share channels, mutexes and a waitgroup. csp.c runs it on weft, csp.go on
 *          Go, model.cc on every schedule there is. An outcome says what each call returned, where each process stands at the end, and
 *          what is left in the channels.
 * Values   What process p sends in case k as its n-th event is csp_value(p, n, k): no other send of the program has it.
 */
#ifndef TESTS_SYNC_CSP_PROGRAM_H
#define TESTS_SYNC_CSP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	CSP_PROCS = 4,
	CSP_CHANS = 3,
	CSP_MUTEXES = 2,
	CSP_STEPS = 48,
	CSP_CASES = 6,
	CSP_EVENTS = 28, /* of one process; programs that have more are not used */
	CSP_BUFFER = 2,	 /* the largest capacity */
	CSP_WORDS = 10,	 /* of the largest element */
};

enum csp_op {
	CSP_CALL,   /* send, recv, try_send or try_recv: its one case */
	CSP_SELECT, /* its cases */
	CSP_DRAIN,  /* receives until the channel is closed */
	CSP_CLOSE,  /* channel arg */
	CSP_SPAWN,  /* process arg */
	CSP_LOCK,   /* mutex arg */
	CSP_UNLOCK, /* mutex arg */
	CSP_DONE,
	CSP_WAIT,
	CSP_YIELD,
	CSP_LOOP, /* back to step arg, until that has run `rounds` times; never a loop in a loop */
};

struct csp_case {
	bool send;
	int8_t chan; /* -1: NULL */
};

struct csp_step {
	enum csp_op op;
	uint8_t arg, rounds;
	uint8_t ticks; /* of virtual time, then the call gives up; 0: never */
	bool argument; /* SELECT: the ticks are its deadline argument, not the fiber's: a case that is ready then goes first */
	bool poll;     /* does not wait */
	bool forward;  /* sends what was last received */
	uint8_t count;
	struct csp_case cases[CSP_CASES];
};

struct csp_program {
	uint64_t seed;
	uint8_t proc_count, chan_count;
	uint8_t work; /* the waitgroup's count */
	struct {
		bool spawned; /* by a step; else it runs from the start */
		uint8_t count;
		struct csp_step steps[CSP_STEPS];
	} procs[CSP_PROCS];
	struct {
		uint8_t capacity, words; /* of 4 bytes an element, all alike */
	} chans[CSP_CHANS];
};

static inline uint16_t csp_value(unsigned proc, unsigned event, unsigned which)
{
	return (uint16_t)(((proc + 1) * 32 + event) * CSP_CASES + which);
}

/* How a call or close ended: case << 13 | status << 11 | what was received. */
enum { CSP_OK, CSP_CLOSED, CSP_AGAIN, CSP_LATE };

/* The value of an event that no outcome contains: a promise was broken. */
#define CSP_BROKEN 0x7ff

static inline uint16_t csp_event(unsigned which, unsigned status, unsigned value)
{
	return (uint16_t)(which << 13 | status << 11 | value);
}

/* How a process ended; CSP_STUCK + n: it waits in step n for ever. */
enum { CSP_NEW, CSP_ENDED, CSP_STUCK };

struct csp_trace {
	uint16_t end, count, events[CSP_EVENTS];
};

struct csp_rest {
	uint16_t count, values[CSP_BUFFER];
};

struct csp_outcome {
	struct csp_trace procs[CSP_PROCS];
	struct csp_rest chans[CSP_CHANS];
};

/* Runs a program in a fiber of a runtime with virtual time. `noise`: of where processes give way. Returns 0, or what
 * weft_scope_close returned if that does not fit the outcome. */
int csp_run(const struct csp_program *program, uint64_t noise, struct csp_outcome *outcome);

#ifdef __cplusplus
}
#endif

#endif
