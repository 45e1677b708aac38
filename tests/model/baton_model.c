/* SPDX-License-Identifier: MIT */
/* baton_model.c - who runs the fibers of a one-worker runtime (RS7, RS-2) over rescue.h, worker.h and idle.h as shipped
 *
 * What     a worker whose fiber is found to be stuck and goes on at any moment, a spare, and the monitor. Whoever has the baton when the
 *          monitor looks is found stuck: the model has no clock. What the .c files do is repeated in baton_model.h.
 * Law      of two threads in a fiber's code at least one is in a run that the monitor found stuck. When nothing can go on, no fiber is
 *          ready, the baton is somewhere, a worker that stood by has got it, a spare that was to leave has left, and nobody counts as searching.
 *          The queues are unshared only while the worker has the baton.
 * Switches WITHOUT_x leaves out a step of a .c file, x_BEFORE_y and x_BY_STORE change one; for mutants_rescue.ini.
 */
#include "tests/model/baton_model.h"

/* monitor.c. Any time may pass after the load: two of the monitor's looks are one here. */
static void look_at(struct wf_worker *w)
{
	w->seen_runs = wf_load_rlx64(&w->counter[WF_RUNS]);
	s.stuck[w->index] = 1;
	s.held[w->index] = (uint32_t)w->seen_runs;
}

/* Its holder is stuck, the worker without it may be. */
static void look(void)
{
	uint32_t holder = wf_load_sc32(&rt.baton);
	if (holder == WF_NO_BATON)
		return;
	look_at(&worker[holder]);
	share_queues();
	if (holder != WORKER)
		s.stuck[WORKER] = !wf_idle_sleeps(&rt.idle, WORKER);
	baton_move();
	s.stuck[WORKER] = s.stuck[SPARE] = 0;
	worker[WORKER].seen_runs = worker[SPARE].seen_runs =
		0; /* the explorer need not tell apart what is over */
}

static void looks(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		look();
}

static void looks_again(uint32_t unused)
{
	(void)unused;
	look();
	model_wait("a millisecond later", &s.asleep[SPARE], NULL);
	look();
}

/* One that is to leave is needed again. */
static void looks_before_end(uint32_t unused)
{
	(void)unused;
	look();
	spares_keep_none();
	join();
}

static void ends_spare(uint32_t unused)
{
	(void)unused;
	look();
	spares_keep_none();
#ifdef UNSHARE_BEFORE_LEFT
	unshare_queues();
#endif
	join();
	unshare_queues();
}

/* The spare is on its way out. */
static void looks_after_end(uint32_t unused)
{
	(void)unused;
	join();
	unshare_queues();
	look();
}

static void check(void)
{
	uint32_t running = 0;
	for (uint32_t i = 0; i < THREADS; i++) {
		if (s.held[i] != s.run[i])
			s.held[i] = 0; /* that run is over */
		running += s.run[i] != 0 && s.held[i] == 0;
	}
	if (running > 1)
		model_fail("two threads run fibers, and neither is stuck");
	if ((int32_t)rt.idle.searching.v < 0)
		model_fail("the searching count is below zero");
}

static void finish(void)
{
	if (s.excludes)
		return;
	if (rt.baton.v == WF_NO_BATON)
		model_fail("the baton is lost");
	if (s.waits)
		model_fail("the spare does not leave");
	if (rt.baton.v == SPARE && worker[SPARE].spare.v == WF_SPARE_ABSENT)
		model_fail("a spare that has left has the baton");
	if (s.asleep[WORKER] && (rt.idle.standers[0].v & 1) && rt.baton.v != WORKER)
		model_fail("the worker waits for the baton, which the spare does not pass on");
	if (rt.injected.v > 0)
		model_fail("lost wake-up: a fiber is ready, and nobody runs it");
	if (rt.idle.searching.v != 0)
		model_fail("the searching count ends at %u", rt.idle.searching.v);
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&rt.baton, "baton"},
		{&rt.baton_wanted, "baton_wanted"},
		{&rt.injected, "fibers ready"},
		{&rt.idle.searching, "searching"},
		{&rt.idle.sleepers[0], "sleepers"},
		{&rt.idle.standers[0], "standers"},
		{&worker[0].shared, "worker's shared"},
		{&worker[0].gated, "worker's gated"},
		{&worker[0].after.kind, "worker's after.kind"},
		{&worker[0].counter[WF_RUNS], "worker's runs"},
		{&worker[1].after.kind, "spare's after.kind"},
		{&worker[1].counter[WF_RUNS], "spare's runs"},
		{&worker[1].spare, "spare's state"},
		{&s.code, "code"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return "?";
}

static void start(uint32_t fibers, uint32_t yields)
{
	rt.worker_count = 1;
	rt.slots = THREADS;
	rt.worker = worker;
	rt.idle.workers = 1;
	rt.idle.spares = THREADS - 1;
	rt.reach.v = THREADS;
	for (uint32_t i = 0; i < THREADS; i++) {
		worker[i].index = i;
		worker[i].rt = &rt;
		worker[i].bound = true;
		worker[i].shared.v = worker[i].gated.v = i > 0;
	}
	worker[WORKER].counter[WF_RUNS].v = s.run[WORKER] = s.runs[WORKER] = 1;
	rt.injected.v = fibers;
	s.yields = yields;
}

/* The queues are shared, the spare stands by. */
static void shared(uint32_t fibers, uint32_t yields)
{
	start(fibers, yields);
	rt.all_shared = true;
	worker[WORKER].shared.v = worker[WORKER].gated.v = 1;
	worker[SPARE].spare.v = WF_SPARE_RUNS;
	worker[SPARE].after.kind.v = WF_AFTER_SCHEDULER;
	rt.idle.standers[0].v = UINT64_C(1) << SPARE;
	s.asleep[SPARE] = 1;
}

static void two_fibers(void)
{
	shared(1, 0);
}

static void three_fibers(void)
{
	shared(2, 0);
	s.excludes = 1;
}

/* As `shared`, but the queues are not yet. */
static void three_unshared(void)
{
	three_fibers();
	rt.all_shared = false;
	worker[WORKER].shared.v = worker[WORKER].gated.v = 0;
}

static void endless_only(void)
{
	shared(0, 0);
	s.endless = 1;
}

/* A worker has asked for the baton when it was on its way already. */
static void endless_fiber(void)
{
	shared(1, 0);
	s.endless = 1;
	rt.baton_wanted.v = 1;
}

static void one_fiber(void)
{
	shared(0, 0);
}

static void one_yields(void)
{
	shared(0, 1);
}

static void one_searches(void)
{
	one_fiber();
	s.searches = 1;
}

/* The worker has asked for the baton, and the spare's fiber is stuck, too. */
static void spare_holds_of(uint32_t fibers)
{
	shared(fibers, 0);
	rt.baton.v = SPARE;
	rt.baton_wanted.v = 1;
	rt.idle.standers[0].v = UINT64_C(1) << WORKER;
	s.asleep[WORKER] = 1;
	s.asleep[SPARE] = s.run[WORKER] = 0;
	worker[WORKER].after.kind.v = WF_AFTER_SCHEDULER;
	worker[SPARE].after.kind.v = WF_AFTER_NONE;
	worker[SPARE].counter[WF_RUNS].v = s.run[SPARE] = s.runs[SPARE] = 1;
}

static void spare_holds(void)
{
	spare_holds_of(0);
}

static void spare_holds_of_three(void)
{
	spare_holds_of(2);
	s.excludes = s.endless = 1;
}

/* One that retires is on its way. */
static void spare_retires(void)
{
	shared(0, 0);
	worker[SPARE].spare.v = WF_SPARE_RETIRES;
	rt.idle.standers[0].v = 0;
	s.interrupts[SPARE] = 1;
}

static void endless_and_spare_retires(void)
{
	spare_retires();
	s.endless = 1;
}

static void from_the_start(void)
{
	start(0, 0);
}

#define MAINS(monitor, count)                                                                      \
	3,                                                                                         \
	{                                                                                          \
		{"worker", worker_main, WORKER}, {"spare", spare_main, SPARE},                     \
		{                                                                                  \
			"monitor", monitor, count                                                  \
		}                                                                                  \
	}

static const struct model_program programs[] = {
	{"three fibers", three_fibers, MAINS(looks, 1)},
	{"three fibers, not shared yet", three_unshared, MAINS(looks, 1)},
	{"three fibers, the spare is stuck", spare_holds_of_three, MAINS(looks, 1)},
	{"one fiber", one_fiber, MAINS(looks, 1)},
	{"two fibers", two_fibers, MAINS(looks, 1)},
	{"a fiber that yields", one_yields, MAINS(looks, 1)},
	{"searchers", one_searches, MAINS(looks, 1)},
	{"the spare is stuck", spare_holds, MAINS(looks, 1)},
	{"a fiber that never gives way", endless_fiber, MAINS(looks_again, 0)},
	{"a spare that leaves a fiber that never gives way", endless_only, MAINS(ends_spare, 0)},
	{"a spare that leaves", one_fiber, MAINS(ends_spare, 0)},
	{"a spare that is started", from_the_start, MAINS(looks, 1)},
	{"a spare that has left, and is needed again", spare_retires, MAINS(looks_after_end, 0)},
	{"one fiber, two looks", one_fiber, MAINS(looks, 2)},
	{"a spare that is to leave, and is needed again", endless_and_spare_retires,
		MAINS(looks_before_end, 0)},
};

_Static_assert(offsetof(struct wf_runtime, all_shared) - offsetof(struct wf_runtime, baton) < 24,
	"one part of the state");

static const struct model_part parts[] = {
	{&rt.idle.searching, 8},
	{&rt.idle.sleepers[0], 8},
	{&rt.idle.standers[0], 8},
	{&rt.injected, 8},
	{&rt.baton, 24},	      /* to all_shared */
	{&worker[WORKER].shared, 16}, /* to `searching` */
	{&worker[WORKER].after.kind, 8},
	{&worker[WORKER].counter[WF_RUNS], 8},
	{&worker[WORKER].seen_runs, 8},
	{&worker[SPARE].bound, 8}, /* and `searching`; shared and gated are constant */
	{&worker[SPARE].after.kind, 8},
	{&worker[SPARE].spare, 8},
	{&worker[SPARE].counter[WF_RUNS], 8},
	{&worker[SPARE].seen_runs, 8},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.part = parts,
	.parts = sizeof(parts) / sizeof(parts[0]),
	.check = check,
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
