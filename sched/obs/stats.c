/* SPDX-License-Identifier: MIT */
/* stats.c - weft_stats_get: the workers' counters, read while they count
 *
 * Each counter has one writer and is one word; a reader sees whole values of slightly different moments.
 */
#include <weft/stats.h>

#include <errno.h>
#include <string.h>

#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/task/pool.h"

_Static_assert(sizeof(weft_worker_stats) == WF_COUNTERS * sizeof(uint64_t),
	"weft_worker_stats is the list of enum wf_counter, in its order");

static void read_worker(const struct wf_worker *w, weft_worker_stats *out)
{
	uint64_t value[WF_COUNTERS];
	for (int i = 0; i < WF_COUNTERS; i++)
		value[i] = wf_load_acq64(&w->counter[i]); /* acquire on ENDED: see wf_fiber_end() */
	memcpy(out, value, sizeof(value));
}

static void add(weft_worker_stats *sum, const weft_worker_stats *row)
{
	uint64_t a[WF_COUNTERS], b[WF_COUNTERS];
	memcpy(a, sum, sizeof(a));
	memcpy(b, row, sizeof(b));
	for (int i = 0; i < WF_COUNTERS; i++)
		a[i] += b[i];
	memcpy(sum, a, sizeof(a));
}

int weft_stats_get(weft_runtime *runtime, weft_stats *stats, weft_worker_stats *per_worker, unsigned count)
{
	struct wf_worker *self = wf_self();
	struct wf_runtime *rt = (struct wf_runtime *)runtime;
	if (rt == NULL && self == NULL)
		return wf_off_fiber();
	if (per_worker == NULL && count > 0)
		return -EINVAL;
	weft_stats unwanted;
	if (stats == NULL)
		stats = &unwanted;
	if (rt == NULL)
		rt = self->rt;
	memset(stats, 0, sizeof(*stats));
	stats->workers = rt->worker_count;
	stats->engine = rt->driver->engine;
	stats->ring_mode = rt->driver->mode(&rt->thread[0]);
	/* Ends first: every end that is seen brings its beginning with it, so the differences are never negative. */
	uint64_t ended = 0, completed = 0;
	for (uint32_t i = 0; i < wf_reach(rt); i++) {
		ended += wf_load_acq64(&rt->worker[i].counter[WF_ENDED]);
		completed += wf_load_acq64(&rt->worker[i].counter[WF_COMPLETIONS]);
	}
	/* What a spare did is its worker's. */
	for (uint32_t i = 0; i < wf_reach(rt); i++) {
		weft_worker_stats row;
		read_worker(&rt->worker[i], &row);
		add(&stats->total, &row);
		uint32_t worker = i % rt->worker_count;
		if (worker >= count)
			continue;
		if (i == worker)
			per_worker[i] = row;
		else
			add(&per_worker[worker], &row);
	}
	stats->total.completions = completed;
	stats->total.spawned += wf_load_acq64(&rt->outside_spawned);
	stats->fibers_live = stats->total.spawned - ended;
	struct wf_stack_stats stacks;
	wf_stack_stats(&stacks);
	stats->stacks_mapped = stacks.slots;
	stats->stack_bytes_mapped = stacks.bytes;
	stats->guards_missing = stacks.unguarded;
	struct wf_pool_stats pool;
	wf_pool_stats(rt, &pool);
	stats->offload_threads = pool.threads;
	stats->offload_queued = pool.queued;
	stats->offload_jobs = pool.jobs;
	stats->offload_wait_ns = pool.wait_ns;
	stats->offload_wait_max_ns = pool.wait_max_ns;
	return (int)rt->worker_count;
}
