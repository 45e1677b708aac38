/* SPDX-License-Identifier: MIT */
/* hist.h - counting latencies so that percentiles can be told, in constant memory and without locks
 *
 * What     HdrHistogram's method: values are grouped by their power of two, and each group is cut
 *          into equal parts, so that every value is known to 3 significant digits (1 part in 1024
 *          at worst) whatever its size. Recording is a count-leading-zeros and an addition.
 * Rejected keeping all samples (8 bytes each: 1 GB for a minute at 2M/s); a sampled reservoir (its
 * p99.99 is luck).
 * Owns     its table: about 4 KiB per doubling of hist_max; 130 KiB up to a minute.
 * Rules    H1 additions are relaxed and atomic: fibers of several workers may share a histogram,
 *             and the progress line reads it while it grows.
 *          H2 a value above the maximum counts as the maximum, and in clipped; hist_max() still
 *             knows the true one.
 *          H3 minimum, maximum and mean are exact; a percentile is the largest value of its bucket,
 *             so never told too small.
 * Tests    tests/http/hist_test.cc
 */
#ifndef TOOLS_LOAD_HIST_H
#define TOOLS_LOAD_HIST_H

#include <stdint.h>

struct hist {
	uint64_t *counts;
	unsigned buckets;
	uint64_t limit; /* the largest value told apart */
	uint64_t total;
	uint64_t sum;
	uint64_t min; /* UINT64_MAX: nothing recorded */
	uint64_t max;
	uint64_t clipped;
};

/* For values from 0 to at least max: 0, or -ENOMEM. */
int hist_init(struct hist *hist, uint64_t max);
void hist_free(struct hist *hist);

void hist_record(struct hist *hist, uint64_t value);
/* Adds from to hist; both have the same maximum. */
void hist_merge(struct hist *hist, const struct hist *from);

/* The value that a share of millionths of all recorded ones (500000: the median) does not exceed; 0
 * when nothing was recorded. */
uint64_t hist_percentile(const struct hist *hist, uint32_t millionths);
double hist_mean(const struct hist *hist);
/* How many recorded values lie in [from, to], both ends rounded outwards to buckets' ends. */
uint64_t hist_between(const struct hist *hist, uint64_t from, uint64_t to);

#endif
