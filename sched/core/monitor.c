/* SPDX-License-Identifier: MIT */
/* monitor.c - see monitor.h */
#include "sched/core/monitor.h"

#include <errno.h>
#include <string.h>

#include "sched/base/log.h"
#include "sched/base/seam.h"
#include "sched/core/engine.h"
#include "sched/core/longrun.h"
#include "sched/core/rescue.h"

wf_aptr wf_inspect;
wf_aptr wf_survivors;

/* What one look has seen. */
struct survey {
	uint32_t awake;	   /* workers and spares that do not sleep */
	uint32_t stuck;	   /* of those */
	uint32_t suspects; /* stuck, or not known yet */
	uint32_t running;  /* workers, and spares that do not retire */
	bool ran;	   /* some fiber was switched to since the last look */
	bool waiting;	   /* a fiber could run and does not */
};

/* What the monitor remembers between two looks. */
struct memory {
	int64_t inspected;	/* when wf_inspect was called last */
	int64_t inspect_again;	/* when it wants to be, if nothing runs until then */
	int64_t spares_needed;	/* when a worker was stuck last */
	int64_t spares_refused; /* until then none is started */
	bool refusal_said;
	uint32_t still;
};

static bool has_waiting(const struct wf_worker *w)
{
	return !wf_ready_empty_sc(&w->ready) || !wf_deque_empty_sc(&w->deque) ||
		wf_load_scp(&w->next) != NULL;
}

/* What a stuck worker holds that others need. */
static bool has_something(struct wf_worker *w, int64_t now)
{
	return has_waiting(w) || wf_timer_earliest(&w->timers) <= now ||
		wf_load_acq32(&w->box) != WF_NO_FIBER || wf_load_acqp(&w->op_box) != NULL;
}

static bool exists(const struct wf_worker *w)
{
	uint32_t state = wf_load_sc32(&w->spare);
	return !wf_is_spare(w) || state == WF_SPARE_RUNS || state == WF_SPARE_RETIRES;
}

/* RS8: a look later, has it used the processor, or does it sleep in the kernel? */
static bool is_held(struct wf_worker *w, struct survey *s)
{
	int thread = (int)wf_load_acq32(&w->thread->tid);
	int64_t cpu = thread != 0 ? wf_thread_cpu(thread) : -1;
	s->suspects++;
	if (cpu < 0 || w->seen_cpu < 0) {
		w->seen_cpu = cpu;
		return false;
	}
	if (wf_load_rlx32(&w->stuck) || cpu - w->seen_cpu >= WF_STUCK_CPU_NS) /* rlx: the monitor's own */
		return true;
	char state = wf_thread_state(thread);
	return state != 'R' && wf_thread_cpu(thread) == cpu;
}

/* Does its fiber hold it? */
static bool look_at_runs(struct wf_worker *w, int64_t now, struct survey *s)
{
	uint64_t runs = wf_load_rlx64(&w->counter[WF_RUNS]); /* rlx: progress, not order */
	bool asleep = wf_idle_sleeps(&w->rt->idle, w->index);
	s->awake += !asleep;
	if (runs != w->seen_runs || asleep)
		wf_longrun_over(w);
	if (runs != w->seen_runs) {
		s->ran = true;
		w->seen_runs = runs;
		w->held_since = now;
		w->seen_cpu = -1;
	}
	if (asleep)
		w->held_since = now;
	return !asleep && now - w->held_since >= WF_STUCK_NS && is_held(w, s);
}

static void ask_for_rescue(struct wf_worker *w)
{
	if (wf_swap_sc32(&w->rescue_wanted, 1) == 0) /* RS-1 */
		wf_add_sc32(&w->rt->rescues, 1);
}

/* Law 7. */
static void look_at_stuck(struct wf_worker *w, int64_t now, struct survey *s)
{
	struct wf_runtime *rt = w->rt;
	bool first = !wf_load_rlx32(&w->stuck); /* rlx: the monitor's own */
	wf_store_rlx32(&w->stuck, 1);		/* rlx: a hint to others */
	s->stuck++;
	if (!rt->rescuing || !wf_rescue_share(rt))
		return;
	struct wf_engine_state engine;
	wf_engine_look(w->thread, &engine);
	if (engine.held_back)
		wf_rescue_disturb(w, first);
	if (engine.pending || (first && engine.in_flight > 0) || has_something(w, now)) {
		ask_for_rescue(w);
		s->waiting = true;
	}
}

static void survey(struct wf_runtime *rt, int64_t now, struct survey *s)
{
	*s = (struct survey){.waiting = wf_load_sc32(&rt->injected) != 0};
	uint32_t reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++) {
		struct wf_worker *w = &rt->worker[i];
		if (!exists(w))
			continue;
		s->running += !wf_is_spare(w) || !wf_spare_retires(w);
		if (look_at_runs(w, now, s))
			look_at_stuck(w, now, s);
		else if (wf_load_rlx32(&w->stuck)) /* rlx: the monitor's own */
			wf_store_rlx32(&w->stuck, 0);
		s->waiting = s->waiting || has_waiting(w);
	}
}

/* RS7: the only worker is stuck, or its stand-in. */
static int move_baton(struct wf_runtime *rt)
{
	uint32_t holder = wf_load_sc32(&rt->baton);
	bool stuck = holder != WF_NO_BATON &&
		wf_load_rlx32(&rt->worker[holder].stuck) != 0; /* rlx: the monitor's own */
	return stuck ? wf_baton_move(rt) : 0;
}

static int start_spares(struct wf_runtime *rt, const struct survey *s, uint32_t spares)
{
	int error = 0;
	/* A burst of fibers that block meets twice as many threads each time. */
	uint32_t count = s->stuck == s->running		      ? s->stuck
		: s->awake >= s->running && spares < s->stuck ? 1
							      : 0;
	for (uint32_t i = 0; i < count && error == 0; i++)
		error = wf_spare_start(rt);
	return error;
}

/* For a while none is started; said once. */
static void refused(struct wf_runtime *rt, struct memory *memory, int64_t now, int error)
{
	memory->spares_refused = now + WF_SPARE_PAUSE_NS;
	if (memory->refusal_said || !wf_log_ready())
		return;
	memory->refusal_said = true;
	if (error == -EBUSY)
		wf_log(WF_LOG_WARN,
			"all %u workers and all %u threads that may stand in for them are stuck: fibers wait",
			rt->worker_count, WF_SPARES_MAX);
	else
		wf_log(WF_LOG_WARN, "no thread can stand in for stuck workers: %s", strerror(-error));
}

static int stand_in(struct wf_runtime *rt, const struct survey *s, uint32_t spares)
{
	if (rt->worker_count > 1)
		return s->waiting ? start_spares(rt, s, spares) : 0;
	/* Pinned fibers wait for the worker, which is back and waits for the baton. */
	return s->waiting || wf_load_sc32(&rt->baton_wanted) ? move_baton(rt) : 0;
}

static void look_after_spares(
	struct wf_runtime *rt, const struct survey *s, struct memory *memory, int64_t now)
{
	if (!rt->rescuing)
		return;
	int error = wf_spares_join(rt);
	uint32_t spares = wf_spares_running(rt);
	if (s->stuck > 0)
		memory->spares_needed = now;
	if (error == 0 && now >= memory->spares_refused)
		error = stand_in(rt, s, spares);
	if (error != 0)
		refused(rt, memory, now, error);
	if (spares > s->stuck && now - memory->spares_needed >= WF_SPARE_KEEP_NS)
		wf_spares_keep(rt, s->stuck);
	if (s->suspects == 0 && wf_spares_gone(rt))
		wf_rescue_unshare(rt);
}

static void look_at_long_runs(struct wf_runtime *rt, const struct survey *s, int64_t now)
{
	wf_longrun_settle(rt, false);
	for (uint32_t i = 0; i < wf_reach(rt) && s->stuck > 0; i++)
		if (wf_load_rlx32(&rt->worker[i].stuck)) /* rlx: the monitor's own */
			wf_longrun_look(&rt->worker[i], now);
}

static void inspect(struct wf_runtime *rt, struct memory *memory, int64_t now)
{
	int64_t (*call)(struct wf_runtime *, int64_t, bool) =
		(int64_t(*)(struct wf_runtime *, int64_t, bool))wf_load_acqp(&wf_inspect);
	bool still = memory->still == WF_MONITOR_IDLE ||
		(memory->still > WF_MONITOR_IDLE && now >= memory->inspect_again);
	if (memory->still < WF_MONITOR_IDLE)
		memory->inspect_again = INT64_MAX;
	if (call == NULL || (!still && now - memory->inspected < WF_INSPECT_NS))
		return;
	memory->inspected = now;
	int64_t again = call(rt, now, still);
	memory->inspect_again = still ? again : memory->inspect_again;
}

static void look(struct wf_runtime *rt, struct survey *s, struct memory *memory)
{
	int64_t now = wf_clock_now();
	wf_store_rlx64(&rt->coarse_now, (uint64_t)now); /* rlx: a time, about */
	survey(rt, now, s);
	if (s->waiting)
		wf_runtime_notify(rt);
	look_after_spares(rt, s, memory, now);
	look_at_long_runs(rt, s, now);
	memory->still = s->ran || s->awake > 0 ? 0 : memory->still + 1;
	inspect(rt, memory, now);
}

/* A spare that has left is awake until it is joined. */
bool wf_monitor_all_sleep(const struct wf_runtime *rt)
{
	for (uint32_t i = 0; i < wf_reach(rt); i++) {
		const struct wf_worker *w = &rt->worker[i];
		bool there = !wf_is_spare(w) || wf_load_sc32(&w->spare) != WF_SPARE_ABSENT;
		if (there && !wf_idle_sleeps(&rt->idle, i))
			return false;
	}
	return true;
}

static void sleep_until_poked(struct wf_runtime *rt, int64_t until)
{
	wf_swap_sc32(&rt->monitor_asleep, 1); /* MO-1 */
	if (wf_monitor_all_sleep(rt) && !wf_load_sc32(&rt->monitor_leaves))
		wf_futex_wait(&rt->monitor_asleep, 1, until);
	wf_swap_sc32(&rt->monitor_asleep, 0);
}

/* Threads that are being opened are not stuck. */
static void await_workers(struct wf_runtime *rt)
{
	uint32_t opened;
	while ((opened = wf_load_sc32(&rt->opened)) <= rt->worker_count)
		wf_futex_wait(&rt->opened, opened, INT64_MAX);
	for (uint32_t i = 0; i < rt->worker_count; i++)
		rt->worker[i].held_since = wf_clock_now();
}

static void *monitor_thread(void *arg)
{
	struct wf_runtime *rt = arg;
	struct memory memory = {.inspect_again = INT64_MAX};
	struct survey s = {0};
	await_workers(rt);
	while (!wf_load_sc32(&rt->monitor_leaves)) {
		int64_t pause = s.suspects > 0 ? WF_MONITOR_STUCK_NS : WF_MONITOR_NS;
		if (memory.still >= WF_MONITOR_IDLE && wf_spares_running(rt) == 0)
			sleep_until_poked(rt, memory.inspect_again);
		else
			wf_futex_wait(&rt->monitor_leaves, 0, wf_clock_now() + pause);
		look(rt, &s, &memory);
	}
	wf_longrun_settle(rt, true);
	return NULL;
}

void wf_monitor_poke(struct wf_runtime *rt)
{
	if (wf_load_sc32(&rt->monitor_asleep) == 0) /* MO-1 */
		return;
	wf_store_rlx64(&rt->coarse_now, (uint64_t)wf_clock_now()); /* rlx: it has stood still meanwhile */
	wf_swap_sc32(&rt->monitor_asleep, 0);
	wf_futex_wake(&rt->monitor_asleep, 1);
}

int wf_monitor_start(struct wf_runtime *rt)
{
	wf_store_rlx32(&rt->monitor_asleep, 0); /* rlx: before the thread exists */
	wf_store_rlx32(&rt->monitor_leaves, 0);
	int error = wf_rescue_prepare(rt);
	if (error == 0)
		error = wf_thread_create(&rt->monitor, "weft-monitor", monitor_thread, rt);
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
