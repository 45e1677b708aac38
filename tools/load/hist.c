/* SPDX-License-Identifier: MIT */
/* hist.c - see hist.h
 *
 * A value below 2 * HALF has a bucket of its own. From there on each doubling has HALF buckets,
 * each as wide as the doubling's values have bits beyond HALF_BITS + 1:
 *   shift = bits of value - (HALF_BITS + 1);  bucket = shift * HALF + (value >> shift).
 */
#include "tools/load/hist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/counter.h"

#define HALF_BITS 10u
#define HALF (1u << HALF_BITS)

static unsigned bucket_of(uint64_t value)
{
	unsigned shift = 64u - (unsigned)__builtin_clzll(value | (2 * HALF - 1)) - (HALF_BITS + 1);

	return shift * HALF + (unsigned)(value >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	unsigned shift = bucket < 2 * HALF ? 0 : bucket / HALF - 1;
	uint64_t first = bucket - shift * HALF;

	return ((first + 1) << shift) - 1;
}

int hist_init(struct hist *hist, uint64_t max)
{
	*hist = (struct hist){.buckets = bucket_of(max) + 1, .min = UINT64_MAX};
	hist->limit = bucket_end(hist->buckets - 1);
	hist->counts = calloc(hist->buckets, sizeof(*hist->counts));
	return hist->counts ? 0 : -ENOMEM;
}

void hist_free(struct hist *hist)
{
	free(hist->counts);
	hist->counts = NULL;
}

void hist_record(struct hist *hist, uint64_t value)
{
	uint64_t told = value;

	if (told > hist->limit) {
		told = hist->limit;
		counter_add(&hist->clipped, 1);
	}
	counter_add(&hist->counts[bucket_of(told)], 1);
	counter_add(&hist->total, 1);
	counter_add(&hist->sum, value);
	counter_min(&hist->min, value);
	counter_max(&hist->max, value);
}

void hist_merge(struct hist *hist, const struct hist *from)
{
	for (unsigned i = 0; i < hist->buckets && i < from->buckets; i++)
		hist->counts[i] += counter_get(&from->counts[i]);
	hist->total += counter_get(&from->total);
	hist->sum += counter_get(&from->sum);
	hist->clipped += counter_get(&from->clipped);
	counter_min(&hist->min, counter_get(&from->min));
	counter_max(&hist->max, counter_get(&from->max));
}

uint64_t hist_percentile(const struct hist *hist, uint32_t millionths)
{
	uint64_t share = hist->total / 1000000 * millionths, seen = 0;
	uint64_t rest = hist->total % 1000000 * millionths;

	share += (rest + 999999) / 1000000;
	if (hist->total == 0)
		return 0;
	if (share == 0)
		share = 1;
	for (unsigned i = 0; i < hist->buckets; i++) {
		seen += hist->counts[i];
		if (seen >= share)
			return bucket_end(i) < hist->max ? bucket_end(i) : hist->max;
	}
	return hist->max;
}

double hist_mean(const struct hist *hist)
{
	return hist->total ? (double)hist->sum / (double)hist->total : 0.0;
}

uint64_t hist_between(const struct hist *hist, uint64_t from, uint64_t to)
{
	uint64_t count = 0;

	if (to > hist->limit)
		to = hist->limit;
	for (unsigned i = bucket_of(from); from <= to && i <= bucket_of(to); i++)
		count += hist->counts[i];
	return count;
}
