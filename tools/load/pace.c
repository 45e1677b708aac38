/* SPDX-License-Identifier: MIT */
/* pace.c - see pace.h */
#include "tools/load/pace.h"

#define NS_PER_S UINT64_C(1000000000)

int64_t pace_due(uint64_t rate, uint64_t index)
{
	return (int64_t)(index / rate * NS_PER_S + index % rate * NS_PER_S / rate);
}

uint64_t pace_count(uint64_t rate, int64_t elapsed_ns)
{
	uint64_t elapsed, count;

	if (elapsed_ns <= 0)
		return 0;
	elapsed = (uint64_t)elapsed_ns;
	count = elapsed / NS_PER_S * rate + elapsed % NS_PER_S * rate / NS_PER_S;
	/* Rounded down twice: the true count is at most two further. */
	while (pace_due(rate, count) < elapsed_ns)
		count++;
	return count;
}

uint64_t pace_share(uint64_t count, unsigned lane, unsigned lanes)
{
	return count > lane ? (count - lane + lanes - 1) / lanes : 0;
}
