/* SPDX-License-Identifier: MIT */
/* model.h - which programs there are, and what may come out of each
 *
 * What     generate() makes the program of a seed; explore() runs it on every schedule, by Go's rules for channels, and collects the outcomes.
 * Rules    Every call on channels is one step: a close, or one case of a call, done with the partner that has waited longest. Where
 *          Go leaves the choice open every choice is taken: which process is next, which of the ready cases, which of the cases
 *          that one waiting select has on the same channel.
 *          Steps that only make more possible (spawn, done, unlock, the end) are taken at once: that loses no outcome.
 *          Time stands still until no process can go on.
 * Text     What csp.go reads and reports show. A case is s or r and the channel's number, -1 for NULL: "call s0 poll" is a try_send,
 *          "select s0 r-1 poll" a select with a default. "program SEED WORK" and "chan CAPACITY WORDS" come first.
 */
#ifndef TESTS_SYNC_CSP_MODEL_H
#define TESTS_SYNC_CSP_MODEL_H

#include <cstring>
#include <set>
#include <string>

#include "tests/sync/csp/program.h"

namespace csp
{

struct Before {
	bool operator()(const csp_outcome &a, const csp_outcome &b) const
	{
		return memcmp(&a, &b, sizeof(a)) < 0;
	}
};
using Outcomes = std::set<csp_outcome, Before>;

struct Dialect {
	bool timed = false; /* has calls that give up: no match in Go */
	bool panics = false; /* Go: a select that finds its send's channel closed does not say which case it was */
};

/* The program of a seed; the larger `size`, from 1, the more it does. */
csp_program generate(uint64_t seed, unsigned size, const Dialect &dialect);

/* All outcomes of a program. False: it has more than states_max states, or too long a trace. */
bool explore(const csp_program &program, const Dialect &dialect, size_t states_max, Outcomes *outcomes);

std::string text(const csp_program &program);
std::string text(const csp_outcome &outcome);

} // namespace csp

#endif
