/* SPDX-License-Identifier: MIT */
/* log.h - lines for the operator, on stderr
 *
 * What     wf_log prints one line "weft: ..." with a single write when the level is enabled. WEFT_LOG chooses
 *          the level: off (refusals only), warn (the default) or info.
 * Rules    nothing on a hot path logs; a condition that repeats is counted in the stats and logged once.
 */
#ifndef WF_SCHED_BASE_LOG_H
#define WF_SCHED_BASE_LOG_H

#include <stdbool.h>

/* ALWAYS: why a call was refused, where its errno value alone does not say it. */
enum wf_log_level { WF_LOG_ALWAYS = 0, WF_LOG_WARN = 1, WF_LOG_INFO = 2 };

void wf_log(enum wf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does stderr take a line now? For threads that must not wait for it. */
bool wf_log_ready(void);

/* Reads WEFT_LOG. -EINVAL (and a line) when it is malformed. */
int wf_log_configure(void);

/* Writes all of text to stderr, by system call alone. Async-signal-safe. */
void wf_log_raw(const char *text, unsigned long length);

#endif
