/* SPDX-License-Identifier: MIT */
/* args.h - reading the values of command line options, strictly
 *
 * What   Numbers, durations and sizes as weft-httpd and weft-load take them. A value is read whole
 *        or not at all: "10x", "-1", "" and numbers out of range are refused, never guessed at.
 * Rules  A refused value prints one line on stderr that names the option, the value and what is
 *        allowed; the caller then exits with ARGS_USAGE_EXIT.
 * Tests  tests/http/args_test.cc
 */
#ifndef TOOLS_COMMON_ARGS_H
#define TOOLS_COMMON_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/* What a tool exits with when its command line makes no sense. */
#define ARGS_USAGE_EXIT 2

/* A decimal number in [min, max]. */
bool args_count(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *count);

/* Bytes in [min, max]: a decimal number, which k, m or g multiplies by 2^10, 2^20 or 2^30. */
bool args_size(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *bytes);

/* A time in (0, max_ns]: a decimal number, with a fraction if wanted, and us, ms, s, m or h.
 * Without a unit it counts seconds. */
bool args_duration(const char *option, const char *text, int64_t max_ns, int64_t *ns);

#endif
