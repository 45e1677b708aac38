/* SPDX-License-Identifier: MIT */
/* process.c - see process.h */
#include "tools/common/process.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <weft/weft.h>

unsigned process_raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = before;
	}
	return limit.rlim_cur > INT_MAX ? INT_MAX : (unsigned)limit.rlim_cur;
}

int process_block_stop_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int process_wait_stop_signal(int signal_fd)
{
	struct signalfd_siginfo info;
	ssize_t got = weft_read(signal_fd, &info, sizeof(info));

	return got < 0 ? (int)got : 0;
}

static double per_enter(const weft_worker_stats *row)
{
	return row->enters ? (double)row->ops / (double)row->enters : 0.0;
}

static void print_row(FILE *out, const char *name, const weft_worker_stats *row)
{
	fprintf(out,
		"  %-7s %12" PRIu64 " %10" PRIu64 " %12" PRIu64 " %10" PRIu64 " %12" PRIu64
		" %11" PRIu64 " %9.2f\n",
		name, row->runs, row->steals, row->parks, row->sleeps, row->ops, row->enters,
		per_enter(row));
}

void process_print_workers(FILE *out)
{
	unsigned count = weft_workers();
	weft_worker_stats *rows = calloc(count ? count : 1, sizeof(*rows));
	weft_stats stats = {0};
	int error;

	if (!rows) {
		fprintf(out, "no memory for the workers' counters\n");
		return;
	}
	error = weft_stats_get(NULL, &stats, rows, count);
	if (error < 0) {
		fprintf(out, "the workers' counters cannot be read: error %d\n", -error);
		free(rows);
		return;
	}
	fprintf(out, "workers (ring mode %s)\n", stats.ring_mode[0] ? stats.ring_mode : "none");
	fprintf(out, "  %-7s %12s %10s %12s %10s %12s %11s %9s\n", "worker", "fibers run", "stolen",
		"parked", "slept", "ring ops", "enters", "ops/enter");
	for (unsigned i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		print_row(out, name, &rows[i]);
	}
	print_row(out, "all", &stats.total);
	free(rows);
}
