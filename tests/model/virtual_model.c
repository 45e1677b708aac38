/* SPDX-License-Identifier: MIT */
/* virtual_model.c - the jumps of virtual time (VT-1 of worker.h) over idle.h as shipped
 *
 * What     workers that reap completions while they count as asleep, run fibers, take them from each other, wake each other and sleep, and
 *          try to jump before each sleep. What stands in .c files is repeated here, function by function: worker.c (wf_op_complete,
 *          all_sleep_but, wf_all_runs, in_flight, inboxes_empty, stands_still, advance_locked, advance_virtual_time, withdraw, sleep_in_ring,
 *          next_fiber), pick.c (wf_work_visible), park.c (push_inbox, wf_make_ready), op.c (commit_op), pool.c (wf_pool_run).
 *          A queue is a set in one word; `ring` stands for deque and next, too. Who is awake reaps nothing. Of the timers the lowest
 *          fiber's is due first; the jump to the last one ends the program.
 * Law      time never jumps while a fiber is ready or runs, has an operation in flight, or waits for the pool. When nothing can go on,
 *          time has jumped to the last timer, or an operation is in flight; and no fiber is left in a queue.
 * Switches WITHOUT_x leaves out a step of a .c file, x_BEFORE_y and x_AFTER_y move one; for mutants_virtual.ini.
 */
#include "sched/core/idle.h"

#include "tests/model/explorer.h"

#define WORKERS 3
#define FIBERS 4
#define NOBODY 8
#define ASLEEP 9

/* From READY on time stands. */
enum where { ENDED, PARKED, SLEEPS, READY, RUNS, IN_FLIGHT, IN_POOL };

static struct wf_idle idle;

static struct {
	wf_a64 runs[WORKERS]; /* counter[WF_RUNS] */
	wf_a64 ring[WORKERS]; /* fibers, as bits; so are inbox and injected */
	wf_a64 inbox[WORKERS];
	wf_a64 injected;
	wf_a64 virtual_now;
	wf_a32 ops_in_flight[WORKERS];
	wf_a32 watching;
	/* Notes. */
	uint32_t where[FIBERS];	 /* enum where */
	uint32_t done[FIBERS];	 /* of what it has to do */
	uint32_t engine[FIBERS]; /* the worker whose engine has its operation */
	uint32_t in_kernel[FIBERS];
	uint32_t in_pool[FIBERS];
	uint32_t completed[WORKERS]; /* fibers, as bits: completions not reaped yet */
	uint32_t ops[WORKERS];	     /* ops_in_flight, as its owner knows it */
	uint32_t event[WORKERS];     /* what ends the sleep of each */
	uint32_t unlocked;	     /* virtual_lock */
	uint32_t over;		     /* the last timer has fired */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* Of the program; constant. */
static uint32_t workers;
static bool held_up; /* who sleeps at first loses its processor for good once it has reaped */
static struct {
	const char *does; /* see run() */
	uint32_t home;	  /* NOBODY: not pinned */
} fibers[FIBERS];
static uint32_t begins[WORKERS]; /* the fiber that it runs, NOBODY or ASLEEP */

static uint64_t bit(uint32_t fiber)
{
	return UINT64_C(1) << fiber;
}

/* worker.c. */

static void interrupt(int worker)
{
	if (worker < 0)
		return;
	model_step("interrupt");
	s.event[worker] = 1;
}

static void notify(void)
{
	interrupt(wf_idle_claim_any(&idle)); /* ID-1.2, ID-1.3 */
}

/* park.c: wf_make_ready and push_inbox. */
static void make_ready(uint32_t w, uint32_t fiber, bool batching)
{
	uint32_t home = fibers[fiber].home;
	s.where[fiber] = READY;
	if (home != NOBODY) {
		wf_or_sc64(&s.inbox[home], bit(fiber)); /* IN-1 */
		interrupt(wf_idle_claim_one(&idle, home));
		return;
	}
	wf_or_sc64(&s.ring[w], bit(fiber)); /* ID-1.1 */
	if (!batching)
		notify();
}

static void count_operation(uint32_t w, uint32_t change)
{
	s.ops[w] += change;
	wf_store_rel32(&s.ops_in_flight[w], s.ops[w]); /* VT-1 */
}

static void op_complete(uint32_t w, uint32_t fiber)
{
#ifdef COUNT_BEFORE_PUSH
	count_operation(w, UINT32_MAX);
#endif
	make_ready(w, fiber, true);
#ifndef COUNT_BEFORE_PUSH
	count_operation(w, UINT32_MAX);
#endif
}

/* op.c: commit_op. */
static void submit(uint32_t w, uint32_t fiber)
{
	s.where[fiber] = IN_FLIGHT;
	count_operation(w, 1);
	model_step("submits the operation"); /* EN-1 */
	s.engine[fiber] = w;
	s.in_kernel[fiber] = 1;
}

/* The fiber's operation ends at any moment; one that follows never does. */
static void kernel(uint32_t fiber)
{
	model_wait("an operation", &s.in_kernel[fiber], NULL);
	s.in_kernel[fiber] = 0;
	s.completed[s.engine[fiber]] |= (uint32_t)bit(fiber);
	s.event[s.engine[fiber]] = 1;
}

/* A thread of the pool; runtime.c: wf_inject, wf_runtime_notify. */
static void pool(uint32_t fiber)
{
	model_wait("a job", &s.in_pool[fiber], NULL);
	s.in_pool[fiber] = 0;
#ifdef WATCHING_FALLS_BEFORE_PUSH
	wf_sub_sc32(&s.watching, 1);
#endif
	s.where[fiber] = READY;
	wf_or_sc64(&s.injected, bit(fiber)); /* ID-1.1 */
	notify();
}

/* Runs a fiber until it parks or ends. o: an operation; t: a sleep; j: a job for the pool, after which J follows; 0 to 3: makes that fiber
 * ready. */
static void run(uint32_t w, uint32_t fiber)
{
	s.where[fiber] = RUNS;
	wf_store_rlx64(&s.runs[w], model_own(&s.runs[w].v) + 1); /* wf_bump */
	(void)wf_load_sc64(&s.virtual_now);			 /* it asks what time it is */
	for (;;) {
		char what = fibers[fiber].does[s.done[fiber]++];
		switch (what) {
		case 'o':
			submit(w, fiber);
			return;
		case 't':
			model_step("arms a timer");
			s.where[fiber] = SLEEPS;
			return;
		case 'j':
			wf_add_sc32(&s.watching, 1);
			s.where[fiber] = IN_POOL;
			model_step("gives the pool a job");
			s.in_pool[fiber] = 1;
			return;
		case 'J':
#ifndef WATCHING_FALLS_BEFORE_PUSH
			wf_sub_sc32(&s.watching, 1);
#endif
			break;
		case '\0':
			s.where[fiber] = ENDED;
			return;
		default:
			make_ready(w, (uint32_t)(what - '0'), false);
		}
	}
}

static int take_from(wf_a64 *queue)
{
	uint64_t there;
	while ((there = wf_load_acq64(queue)) != 0) {
		uint32_t fiber = (uint32_t)__builtin_ctzll(there);
		if (wf_and_sc64(queue, ~bit(fiber)) & bit(fiber))
			return (int)fiber;
	}
	return -1;
}

static int pick(uint32_t w)
{
	int fiber = take_from(&s.ring[w]);
	return fiber >= 0 ? fiber : take_from(&s.inbox[w]);
}

static int steal_work(uint32_t w)
{
	int fiber = take_from(&s.injected);
	for (uint32_t i = 0; i < workers && fiber < 0; i++)
		if (i != w)
			fiber = take_from(&s.ring[i]);
	return fiber;
}

static bool work_visible(uint32_t w)
{
	if (wf_load_sc64(&s.injected) != 0 || wf_load_sc64(&s.inbox[w]) != 0)
		return true;
	for (uint32_t i = 0; i < workers; i++)
		if (wf_load_sc64(&s.ring[i]) != 0)
			return true;
	return false;
}

static bool all_sleep_but(uint32_t w)
{
	for (uint32_t i = 0; i < workers; i++)
		if (!wf_idle_sleeps(&idle, i) && i != w)
			return false;
	return true;
}

static uint64_t all_runs(void)
{
	uint64_t runs = 0;
	for (uint32_t i = 0; i < workers; i++)
		runs += wf_load_acq64(&s.runs[i]);
	return runs;
}

static uint32_t in_flight(void)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < workers; i++)
		sum += wf_load_acq32(&s.ops_in_flight[i]); /* VT-1 */
	return sum;
}

static bool inboxes_empty(void)
{
	for (uint32_t i = 0; i < workers; i++)
		if (wf_load_sc64(&s.inbox[i]) != 0)
			return false;
	return true;
}

static bool stands_still(uint32_t w)
{
#ifndef RUNS_AFTER_FIRST_LOOK
	uint64_t runs = all_runs();
#endif
#ifdef COUNT_BEFORE_FIRST_LOOK
	if (in_flight() != 0)
		return false;
#endif
#ifndef WITHOUT_FIRST_LOOK
	if (!all_sleep_but(w))
		return false;
#endif
#ifdef RUNS_AFTER_FIRST_LOOK
	uint64_t runs = all_runs();
#endif
#if !defined(WITHOUT_COUNT) && !defined(COUNT_BEFORE_FIRST_LOOK) && !defined(COUNT_AFTER_QUEUES)
	if (in_flight() != 0)
		return false;
#endif
#ifndef WITHOUT_WATCHING
	if (wf_load_sc32(&s.watching) != 0)
		return false;
#endif
#ifndef WITHOUT_QUEUES
	if (work_visible(w))
		return false;
#endif
#ifndef WITHOUT_INBOXES
	if (!inboxes_empty())
		return false;
#endif
#ifdef COUNT_AFTER_QUEUES
	if (in_flight() != 0)
		return false;
#endif
#ifdef WITHOUT_RUNS
	runs = all_runs();
#endif
#ifdef RUNS_BEFORE_SECOND_LOOK
	return all_runs() == runs && all_sleep_but(w);
#elif defined(WITHOUT_SECOND_LOOK)
	return all_runs() == runs;
#else
	return all_sleep_but(w) && all_runs() == runs;
#endif
}

static void jump(void)
{
	static const char *const what[] = {
		[READY] = "is ready",
		[RUNS] = "runs",
		[IN_FLIGHT] = "has an operation in flight",
		[IN_POOL] = "waits for the pool",
	};
	wf_swap_sc64(&s.virtual_now, model_own(&s.virtual_now.v) + 1);
	for (uint32_t i = 0; i < FIBERS; i++)
		if (s.where[i] >= READY)
			model_fail("time jumps while fiber %u %s", i, what[s.where[i]]);
}

static bool advance_locked(uint32_t w)
{
	if (!stands_still(w))
		return work_visible(w);
	uint32_t fiber = 0;
	while (fiber < FIBERS && s.where[fiber] != SLEEPS)
		fiber++;
	if (fiber == FIBERS)
		return false;
	jump();
	s.where[fiber] = ENDED;
	s.over = true;
	for (uint32_t i = 0; i < FIBERS; i++)
		s.over = s.over && s.where[i] != SLEEPS;
	if (!s.over)
		make_ready(w, fiber, false);
	return true;
}

static bool advance_virtual_time(uint32_t w)
{
#if defined(TRY_LOCK)
	model_step("tries virtual_lock");
	if (!s.unlocked)
		return false;
#elif !defined(WITHOUT_LOCK)
	model_wait("virtual_lock", &s.unlocked, NULL);
#endif
	s.unlocked = 0;
	bool awake = advance_locked(w);
	s.unlocked = 1;
	return awake;
}

static void engine_wait(uint32_t w)
{
	model_wait("sleeps in its ring", &s.event[w], NULL);
	s.event[w] = 0;
	while (s.completed[w] != 0) {
		uint32_t fiber = (uint32_t)__builtin_ctz(s.completed[w]);
		s.completed[w] &= ~(uint32_t)bit(fiber);
		op_complete(w, fiber);
	}
}

static bool withdraw(uint32_t w)
{
	return !wf_idle_withdraw(&idle, w); /* I2 */
}

/* Returns whether the worker counts as searching. */
static bool sleep_in_ring(uint32_t w, bool searching)
{
#ifdef ADVANCE_BEFORE_ANNOUNCE
	bool awake = advance_virtual_time(w);
#endif
	wf_idle_announce(&idle, w, searching); /* ID-1.4, ID-1.5 */
#ifdef ADVANCE_BEFORE_ANNOUNCE
	awake = work_visible(w) || awake;
#else
	bool awake = work_visible(w) || s.over || advance_virtual_time(w); /* ID-1.6 */
#endif
	if (!awake)
		engine_wait(w);
	return withdraw(w);
}

static void worker(uint32_t w)
{
	bool searching = false;
	int fiber = begins[w] < FIBERS ? (int)begins[w] : -1;
	if (begins[w] == ASLEEP) {
		engine_wait(w);
		if (held_up)
			return;
		searching = withdraw(w);
	}
	while (!s.over) {
		if (fiber >= 0)
			run(w, (uint32_t)fiber);
		fiber = pick(w);
		if (fiber < 0) {
			searching = searching || wf_idle_search_begin(&idle);
			fiber = steal_work(w);
		}
		if (fiber < 0) {
			searching = sleep_in_ring(w, searching);
		} else if (searching) {
			searching = false;
			if (wf_idle_search_found(&idle))
				notify();
		}
	}
}

static void finish(void)
{
	bool moves = false;
	if (s.over || held_up)
		return;
	for (uint32_t i = 0; i < FIBERS; i++) {
		moves = moves || s.where[i] == IN_FLIGHT;
		if (s.where[i] >= READY && s.where[i] != IN_FLIGHT)
			model_fail("lost wake-up: all sleep, and fiber %u does not go on", i);
	}
	if (!moves)
		model_fail("lost jump: all sleep, and time stands");
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&idle.searching, "searching"},
		{&idle.sleepers[0], "sleepers"},
		{&s.runs[0], "runs 0"},
		{&s.runs[1], "runs 1"},
		{&s.runs[2], "runs 2"},
		{&s.ring[0], "ring 0"},
		{&s.ring[1], "ring 1"},
		{&s.ring[2], "ring 2"},
		{&s.inbox[0], "inbox 0"},
		{&s.inbox[1], "inbox 1"},
		{&s.inbox[2], "inbox 2"},
		{&s.ops_in_flight[0], "ops_in_flight 0"},
		{&s.ops_in_flight[1], "ops_in_flight 1"},
		{&s.ops_in_flight[2], "ops_in_flight 2"},
		{&s.injected, "injected"},
		{&s.virtual_now, "virtual_now"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return "watching";
}

static void start(uint32_t count)
{
	held_up = false;
	idle.workers = workers = count;
	s.unlocked = 1;
	for (uint32_t i = 0; i < FIBERS; i++)
		fibers[i].home = NOBODY;
	for (uint32_t i = 0; i < WORKERS; i++)
		begins[i] = NOBODY;
}

static void fiber_runs(uint32_t fiber, uint32_t w, const char *does)
{
	fibers[fiber].does = does;
	begins[w] = fiber;
	s.where[fiber] = RUNS;
}

static void sleeps(uint32_t w)
{
	begins[w] = ASLEEP;
	idle.sleepers[0].v |= bit(w);
}

/* And the worker sleeps. */
static void fiber_in_flight(uint32_t fiber, uint32_t w, const char *does)
{
	fibers[fiber].does = does;
	s.where[fiber] = IN_FLIGHT;
	s.engine[fiber] = w;
	s.in_kernel[fiber] = s.ops[w] = s.ops_in_flight[w].v = 1;
	sleeps(w);
}

static void fiber_waits(uint32_t fiber, enum where where, uint32_t home, const char *does)
{
	fibers[fiber].does = does;
	fibers[fiber].home = home;
	s.where[fiber] = where;
}

static void completion(void)
{
	start(2);
	fiber_in_flight(0, 0, "o");
	fiber_runs(1, 1, "t");
}

static void pinned_completion(void)
{
	completion();
	fibers[0].home = 0;
	fibers[0].does = "";
}

static void thief(void)
{
	start(3);
	held_up = true;
	fiber_in_flight(0, 0, "");
	fiber_waits(1, SLEEPS, NOBODY, "");
}

static void pinned(uint32_t count)
{
	start(count);
	fiber_runs(0, 0, "1t");
	fiber_waits(1, PARKED, 1, "");
}

static void pinned_of_two(void)
{
	pinned(2);
}

static void pinned_of_three(void)
{
	pinned(3);
}

static void job(void)
{
	start(1);
	fiber_runs(0, 0, "jJ");
	fiber_waits(1, SLEEPS, NOBODY, "");
}

static void two_timers(void)
{
	start(2);
	fiber_waits(0, SLEEPS, NOBODY, "2");
	fiber_waits(1, SLEEPS, NOBODY, "");
	fiber_waits(2, PARKED, 1, "");
}

static void three(void)
{
	start(3);
	fiber_waits(0, SLEEPS, NOBODY, "");
}

static const struct model_program programs[] = {
	{"a sleeper reaps, the fiber submits again", completion, 3,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"kernel", kernel, 0}}},
	{"a sleeper reaps a pinned fiber", pinned_completion, 3,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"kernel", kernel, 0}}},
	{"a pinned fiber is made ready", pinned_of_two, 2,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}}},
	{"a job for the pool", job, 2, {{"worker 0", worker, 0}, {"pool", pool, 0}}},
	{"two timers, the first makes a pinned fiber ready", two_timers, 2,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}}},
	{"three fall asleep", three, 3,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"worker 2", worker, 2}}},
	{"a sleeper reaps and stands, another takes the fiber", thief, 4,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"worker 2", worker, 2},
			{"kernel", kernel, 0}}},
	{"a pinned fiber is made ready, three workers", pinned_of_three, 3,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"worker 2", worker, 2}}},
};

static const struct model_part parts[] = {
	{&idle.searching, sizeof(idle.searching) + sizeof(idle.workers)},
	{&idle.sleepers[0], sizeof(idle.sleepers[0])},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.part = parts,
	.parts = sizeof(parts) / sizeof(parts[0]),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
