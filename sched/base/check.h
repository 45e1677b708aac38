/* SPDX-License-Identifier: MIT */
/* check.h - assertions, and the one way to die
 *
 * What     WF_CHECK is always on (state transitions, ownership, misuse without an error code; about 1 ns each),
 *          WF_ASSERT in builds with WF_DEBUG (the sanitizer configurations), both print the condition and abort.
 *          wf_fatal prints one line that starts "weft: fatal: " and names the current fiber.
 * Rules    errors of the world (kernel, memory, user input) are returned, never asserted.
 */
#ifndef WF_SCHED_BASE_CHECK_H
#define WF_SCHED_BASE_CHECK_H

#include <stddef.h>

#define WF_LIKELY(x) __builtin_expect(!!(x), 1)
#define WF_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* printf-style; one line on stderr with one write, then SIGABRT. Any thread, any stack with 2 KiB left. */
void wf_fatal(const char *format, ...) __attribute__((noreturn, cold, format(printf, 1, 2)));

/* Describes the current fiber for wf_fatal ("fiber=12 \"name\""); set by sched/core, NULL before. */
extern int (*wf_fatal_who)(char *buffer, size_t size);

#define WF_CHECK(condition)                                                                        \
	do {                                                                                       \
		if (WF_UNLIKELY(!(condition)))                                                     \
			wf_fatal("check failed at %s:%d: %s", __FILE__, __LINE__, #condition);     \
	} while (0)

#ifdef WF_DEBUG
#define WF_ASSERT(condition) WF_CHECK(condition)
#else
#define WF_ASSERT(condition) ((void)sizeof(!(condition)))
#endif

#endif
