/* SPDX-License-Identifier: MIT */
/* cpus.c - how many CPUs this process may use
 *
 * The affinity mask bounds the number of threads that can run at once; a cgroup quota (v2 cpu.max, v1
 * cpu.cfs_quota_us) bounds their sum. The quota of every ancestor counts, so the walk goes up to the mount's root.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/base/alloc.h"
#include "sched/base/own_fd.h"
#include "sched/base/seam.h"

#define FOLDER_BYTES 512 /* longer paths of cgroups are taken for unlimited */
#define TABLE_BYTES 8192 /* of /proc/self/cgroup */

static unsigned affinity_count(void)
{
	/* 1024 CPUs is the kernel's usual limit; larger machines need a larger set, so grow until it fits. */
	for (size_t cpus = 1024; cpus <= 65536; cpus *= 4) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		if (set == NULL)
			break;
		size_t size = CPU_ALLOC_SIZE(cpus);
		CPU_ZERO_S(size, set);
		int count = 0;
		if (sched_getaffinity(0, size, set) == 0)
			count = CPU_COUNT_S(size, set);
		CPU_FREE(set);
		if (count > 0)
			return (unsigned)count;
	}
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned)online : 1;
}

static unsigned round_up(long long quota, long long period, unsigned best)
{
	if (quota <= 0 || period <= 0)
		return best;
	long long cpus = (quota + period - 1) / period;
	return cpus < (long long)best ? (unsigned)cpus : best;
}

static bool read_number(const char *folder, const char *file, char *text, size_t size)
{
	char path[FOLDER_BYTES + 32];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, file);
	return n > 0 && (size_t)n < sizeof(path) && wf_own_text(path, text, size) >= 0;
}

/* The quota in one cgroup folder, in whole CPUs, or best when there is none. */
static unsigned folder_quota(const char *folder, unsigned best)
{
	char text[128];
	long long quota = 0, period = 0;
	if (read_number(folder, "cpu.max", text, sizeof(text)) &&
		sscanf(text, "%lld %lld", &quota, &period) == 2)
		return round_up(quota, period, best); /* "max 100000" does not parse: no limit */
	if (!read_number(folder, "cpu.cfs_quota_us", text, sizeof(text)) ||
		sscanf(text, "%lld", &quota) != 1)
		return best;
	if (!read_number(folder, "cpu.cfs_period_us", text, sizeof(text)) ||
		sscanf(text, "%lld", &period) != 1)
		return best;
	return round_up(quota, period, best);
}

static unsigned walk_up(const char *mount, const char *group, unsigned best)
{
	char folder[FOLDER_BYTES];
	size_t root = strlen(mount);
	int n = snprintf(folder, sizeof(folder), "%s%s", mount, group);
	if (n < 0 || (size_t)n >= sizeof(folder))
		return best;
	for (;;) {
		best = folder_quota(folder, best);
		char *slash = strrchr(folder, '/');
		if (strlen(folder) <= root || slash == NULL || (size_t)(slash - folder) < root)
			return best;
		*slash = '\0';
	}
}

/* One line "id:controllers:path"; v2 is "0::path", v1 names its controllers. */
static unsigned line_quota(char *line, unsigned best)
{
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (group == NULL)
		return best;
	*group++ = '\0';
	controllers++;
	if (controllers[0] == '\0') {
		best = walk_up("/sys/fs/cgroup", group, best);
		return walk_up("/sys/fs/cgroup/unified", group, best);
	}
	char *save = NULL;
	for (char *c = strtok_r(controllers, ",", &save); c; c = strtok_r(NULL, ",", &save))
		if (strcmp(c, "cpu") == 0) {
			best = walk_up("/sys/fs/cgroup/cpu", group, best);
			best = walk_up("/sys/fs/cgroup/cpu,cpuacct", group, best);
		}
	return best;
}

unsigned wf_cpu_count(void)
{
	unsigned best = affinity_count();
	char *text = wf_alloc(TABLE_BYTES);
	if (text != NULL && wf_own_text("/proc/self/cgroup", text, TABLE_BYTES) >= 0) {
		char *save = NULL;
		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			best = line_quota(line, best);
	}
	wf_free(text, TABLE_BYTES);
	return best > 0 ? best : 1;
}
