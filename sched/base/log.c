/* SPDX-License-Identifier: MIT */
/* log.c - see log.h and check.h */
#include "sched/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sched/base/atomic.h"
#include "sched/base/check.h"

int (*wf_fatal_who)(char *buffer, size_t size);
static wf_a32 log_level = {WF_LOG_WARN};

void wf_log_raw(const char *text, unsigned long length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, text, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* stderr is gone: there is nobody left to tell */
		text += n;
		length -= (unsigned long)n;
	}
}

static void print_line(const char *prefix, const char *format, va_list args, const char *suffix)
{
	char line[512];
	size_t room = sizeof(line) - 1; /* the newline */
	int n = snprintf(line, room, "%s", prefix);
	size_t used = (size_t)n;
	n = vsnprintf(line + used, room - used, format, args);
	used += n < 0 ? 0 : (size_t)n;
	if (used < room) {
		n = snprintf(line + used, room - used, "%s", suffix);
		used += n < 0 ? 0 : (size_t)n;
	}
	if (used >= room)
		used = room - 1;
	line[used++] = '\n';
	wf_log_raw(line, used);
}

void wf_log(enum wf_log_level level, const char *format, ...)
{
	/* rlx: a setting; whichever value is seen is one that was set. */
	if ((uint32_t)level > wf_load_rlx32(&log_level))
		return;
	int saved = errno;
	va_list args;
	va_start(args, format);
	print_line("weft: ", format, args, "");
	va_end(args);
	errno = saved;
}

bool wf_log_ready(void)
{
	struct pollfd one = {.fd = STDERR_FILENO, .events = POLLOUT};
	struct timespec limit = {0};
	int saved = errno;
	long n = syscall(SYS_ppoll, &one, 1UL, &limit, NULL, 0UL); /* an error: nor will a write wait */
	errno = saved;
	return n != 0;
}

int wf_log_configure(void)
{
	const char *value = getenv("WEFT_LOG");
	if (value == NULL || value[0] == '\0')
		return 0;
	static const char *const names[] = {"off", "warn", "info"};
	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value, names[i]) == 0) {
			wf_store_rlx32(&log_level, i); /* rlx: see wf_log */
			return 0;
		}
	}
	wf_log(WF_LOG_ALWAYS, "WEFT_LOG=%s is not one of off, warn, info", value);
	return -EINVAL;
}

void wf_fatal(const char *format, ...)
{
	char who[160] = "";
	if (wf_fatal_who != NULL) {
		who[0] = ' ';
		if (wf_fatal_who(who + 1, sizeof(who) - 1) <= 0)
			who[0] = '\0';
	}
	va_list args;
	va_start(args, format);
	print_line("weft: fatal: ", format, args, who);
	va_end(args);
	abort();
}
