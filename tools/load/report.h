/* SPDX-License-Identifier: MIT */
/* report.h - what a run has shown, for people and as JSON
 *
 * Rules  errors stand in the first line, not in a footnote; a latency is told only for requests
 *        that were answered as wanted, and how many these were is told with it.
 * Tests  tests/http/load_test.cc
 */
#ifndef TOOLS_LOAD_REPORT_H
#define TOOLS_LOAD_REPORT_H

#include <stdio.h>

#include "tools/load/run.h"

/* A run's rows added up. */
struct report {
	const struct run *run;
	struct tally sum;
	struct hist latency; /* nanoseconds */
	uint64_t failures;
	double elapsed_s;
	double user_s, system_s; /* this process's CPU time, over its whole life */
};

int report_init(struct report *report, const struct run *run);
void report_free(struct report *report);

void report_print(const struct report *report, FILE *out);
void report_json(const struct report *report, FILE *out);

#endif
