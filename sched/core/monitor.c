/* SPDX-License-Identifier: MIT */
/* monitor.c - see monitor.h */
#include "sched/core/monitor.h"

#include "sched/base/log.h"
#include "sched/base/seam.h"

static uint64_t runs(const struct wf_runtime *rt)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < rt->worker_count; i++)
		sum += wf_load_rlx64(&rt->worker[i].counter[WF_RUNS]); /* rlx: progress, not order */
	return sum;
}

static bool has_waiting(const struct wf_worker *w)
{
	return !wf_ready_empty_sc(&w->ready) || !wf_deque_empty_sc(&w->deque) ||
		wf_load_scp(&w->next) != NULL;
}

static void look(struct wf_runtime *rt)
{
	bool waiting = wf_load_sc32(&rt->injected) != 0;
	for (uint32_t i = 0; i < rt->worker_count && !waiting; i++)
		waiting = has_waiting(&rt->worker[i]);
	if (waiting)
		wf_runtime_notify(rt);
}

static void *monitor_thread(void *arg)
{
	struct wf_runtime *rt = arg;
	uint64_t before = runs(rt);
	uint32_t still = 0;
	while (!wf_load_sc32(&rt->monitor_leaves)) {
		bool asleep = still >= WF_MONITOR_IDLE;
		if (asleep) {
			wf_swap_sc32(&rt->monitor_asleep, 1); /* MO-1 */
			asleep = runs(rt) == before && !wf_load_sc32(&rt->monitor_leaves);
		}
		if (asleep)
			wf_futex_wait(&rt->monitor_asleep, 1, INT64_MAX);
		else
			wf_futex_wait(&rt->monitor_leaves, 0, wf_clock_now() + WF_MONITOR_NS);
		wf_swap_sc32(&rt->monitor_asleep, 0);
		look(rt);
		uint64_t now = runs(rt);
		still = now == before ? still + 1 : 0;
		before = now;
	}
	return NULL;
}

void wf_monitor_poke(struct wf_runtime *rt)
{
	if (wf_load_sc32(&rt->monitor_asleep) == 0) /* MO-1 */
		return;
	wf_swap_sc32(&rt->monitor_asleep, 0);
	wf_futex_wake(&rt->monitor_asleep, 1);
}

int wf_monitor_start(struct wf_runtime *rt)
{
	wf_store_rlx32(&rt->monitor_asleep, 0); /* rlx: before the thread exists */
	wf_store_rlx32(&rt->monitor_leaves, 0);
	rt->monitored = false;
	if (rt->worker_count == 1)
		return 0;
	int error = wf_thread_create(&rt->monitor, "weft-monitor", monitor_thread, rt);
	rt->monitored = error == 0;
	return error;
}

void wf_monitor_stop(struct wf_runtime *rt)
{
	if (!rt->monitored)
		return;
	wf_swap_sc32(&rt->monitor_leaves, 1);
	wf_futex_wake(&rt->monitor_leaves, 1);
	wf_monitor_poke(rt);
	wf_thread_join(rt->monitor);
	rt->monitored = false;
}
