/* SPDX-License-Identifier: MIT */
/* bench.h - the harness every benchmark shares
 *
 * What     arguments, clocks, repetition, and one JSON line for each case on stdout.
 * Owns     nothing between calls; a series is a plain array in its caller's frame or in static
 *          storage.
 * Rules    B1 a file in bench/ asks one question, and its bench_question says it in words (--help).
 *          B2 a sample is one number in the case's unit. The harness never throws samples away: it
 *             prints all of them beside their median, minimum, maximum and spread, so that noise is
 *             seen.
 *          B3 the first repetition warms caches and is not a sample, unless the question is about
 *             cold state.
 *          B4 only result lines go to stdout; everything else goes to stderr.
 *          B5 a benchmark that could not measure what its case says ends with bench_die(), never
 *             with a number.
 * Knows    libc only, so that peers and the load program share it; fibers come in with
 *          bench/in_fiber.h.
 */
#ifndef WEFT_BENCH_BENCH_H
#define WEFT_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* More repetitions than this say nothing that a second run would not say better. */
#define BENCH_REPS_MAX 100u

/* What one benchmark asks; text for --help and defaults for the options. */
struct bench_question {
	const char *name;	 /* the "bench" of its JSON lines */
	const char *asks;	 /* the question, and how it is answered: shown by --help */
	const char *count_means; /* what --count counts in one repetition; NULL: the option is refused */
	uint64_t count;
	uint64_t count_quick; /* the default with --quick */
	unsigned workers_only; /* non-zero: the question makes sense for this number of workers alone */
};

struct bench_args {
	const struct bench_question *question;
	uint64_t count;
	unsigned reps;
	unsigned workers; /* 0: as many as the runtime chooses */
};

struct bench_series {
	unsigned count;
	double sample[BENCH_REPS_MAX];
};

/* Reads --reps, --workers, --count, --quick and --help; on bad usage prints what to do and exits
 * with 2. */
struct bench_args bench_parse(const struct bench_question *question, int argc, char **argv);

/* Reads a decimal number in [min, max] for @option, or ends as bench_parse() does. */
uint64_t bench_number(const char *option, const char *text, uint64_t min, uint64_t max);

int64_t bench_now_ns(void);	  /* CLOCK_MONOTONIC */
int64_t bench_cpu_ns(void);	  /* CPU time of this process, all threads */
uint64_t bench_rss_bytes(void);	  /* resident now, from /proc/self/statm */
uint64_t bench_page_tables(void); /* bytes of page tables (VmPTE): memory that RSS does not show */
uint64_t bench_mappings(void);	  /* lines of /proc/self/maps: what vm.max_map_count limits */

void bench_add(struct bench_series *series, double sample);

/* Prints one result line. @who is "weft" or a peer's name; @text is the case, as the tables name
 * it. */
void bench_print(const char *bench, const char *text, const char *who, unsigned workers,
	const char *unit, const struct bench_series *series);

/* One line on stderr, then exit with 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void bench_die(const char *format, ...);

/* Ends with a line naming @call if @result is a negative errno value; else returns it. */
int bench_check(int result, const char *call);

/* malloc, or bench_die(). */
void *bench_alloc(size_t count, size_t size_bytes);

#endif
