/* SPDX-License-Identifier: MIT */
/* counter.h - numbers that fibers of all workers add to and anybody reads
 *
 * What   Relaxed atomic additions and reads of plain uint64_t. Counters order nothing: a reader
 *        sees each of them at some moment, not all of them at the same one.
 * Rules  Keep what is counted on a hot path in a row per worker (COUNTER_ROWS of them, a cache line
 *        apart) and pick the row with counter_row() right at the addition: after a call that parks
 *        the fiber may be on another worker.
 */
#ifndef TOOLS_COMMON_COUNTER_H
#define TOOLS_COMMON_COUNTER_H

#include <stdint.h>

#include <weft/weft.h>

/* Rows of a per-worker table. With more workers some share a row, which costs time, not counts. */
#define COUNTER_ROWS 64u

static inline unsigned counter_row(void)
{
	return weft_worker_index() % COUNTER_ROWS;
}

static inline void counter_add(uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Keeps the largest value seen. */
static inline void counter_max(uint64_t *counter, uint64_t value)
{
	uint64_t seen = counter_get(counter);

	/* Each failed exchange has read a newer value, so the loop ends at the latest when nobody
	 * else raises. */
	while (value > seen &&
		!__atomic_compare_exchange_n(counter, &seen, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Keeps the smallest value seen; start the counter at UINT64_MAX. */
static inline void counter_min(uint64_t *counter, uint64_t value)
{
	uint64_t seen = counter_get(counter);

	while (value < seen &&
		!__atomic_compare_exchange_n(counter, &seen, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

#endif
