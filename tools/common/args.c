/* SPDX-License-Identifier: MIT */
/* args.c - see args.h */
#include "tools/common/args.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"k", UINT64_C(1) << 10},
	{"m", UINT64_C(1) << 20},
	{"g", UINT64_C(1) << 30},
	{NULL, 0},
};

static const struct unit time_units[] = {
	{"", UINT64_C(1000000000)},
	{"us", UINT64_C(1000)},
	{"ms", UINT64_C(1000000)},
	{"s", UINT64_C(1000000000)},
	{"m", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
	{NULL, 0},
};

/* The factor of the unit that is all of text; 0: no such unit. */
static uint64_t unit_factor(const struct unit *units, const char *text)
{
	for (const struct unit *unit = units; unit->suffix; unit++)
		if (strcmp(unit->suffix, text) == 0)
			return unit->factor;
	return 0;
}

/* Reads the digits at *text and moves *text behind them. */
static bool read_digits(const char **text, uint64_t *value)
{
	const char *at = *text;
	uint64_t sum = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
			__builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
			return false;
	*text = at;
	*value = sum;
	return true;
}

static bool read_scaled(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t factor;

	if (!read_digits(&text, value))
		return false;
	factor = unit_factor(units, text);
	return factor != 0 && !__builtin_mul_overflow(*value, factor, value);
}

bool args_count(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *count)
{
	const char *at = text;
	uint64_t value;

	if (read_digits(&at, &value) && *at == '\0' && value >= min && value <= max) {
		*count = value;
		return true;
	}
	fprintf(stderr, "%s: \"%s\" is not a number from %" PRIu64 " to %" PRIu64 "\n", option,
		text, min, max);
	return false;
}

bool args_size(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *bytes)
{
	uint64_t value;

	if (read_scaled(text, size_units, &value) && value >= min && value <= max) {
		*bytes = value;
		return true;
	}
	fprintf(stderr,
		"%s: \"%s\" is not a size from %" PRIu64 " to %" PRIu64
		" bytes (a number, with k, m or g if wanted)\n",
		option, text, min, max);
	return false;
}

/* The fraction behind a decimal point in billionths; digits beyond the ninth are below a
 * nanosecond. */
static bool read_fraction(const char **text, uint64_t *billionths)
{
	uint64_t place = UINT64_C(100000000);
	const char *at = *text + 1;

	*billionths = 0;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++, place /= 10)
		*billionths += (uint64_t)(*at - '0') * place;
	*text = at;
	return true;
}

bool args_duration(const char *option, const char *text, int64_t max_ns, int64_t *ns)
{
	const char *at = text;
	uint64_t whole, billionths = 0, factor, value;

	if (!read_digits(&at, &whole))
		goto refuse;
	if (*at == '.' && !read_fraction(&at, &billionths))
		goto refuse;
	factor = unit_factor(time_units, at);
	if (factor == 0 || __builtin_mul_overflow(whole, factor, &value))
		goto refuse;
	/* Units are multiples of 1000 ns and billionths < 10^9: in thousandths of a unit nothing
	 * overflows. */
	if (__builtin_add_overflow(value, billionths * (factor / 1000) / 1000000, &value))
		goto refuse;
	if (value == 0 || value > (uint64_t)max_ns)
		goto refuse;
	*ns = (int64_t)value;
	return true;
refuse:
	fprintf(stderr, "%s: \"%s\" is not a time above 0 and up to %g s (as 10s, 250ms, 1.5m)\n",
		option, text, (double)max_ns / 1e9);
	return false;
}
