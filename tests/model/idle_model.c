/* SPDX-License-Identifier: MIT */
/* idle_model.c - the idle protocol (ID-1, law 3) over idle.h and ready.h as shipped
 *
 * What     publishers of work meet workers that search, sleep and are woken. What stands in .c files is repeated here, function by
 *          function: worker.c (next_fiber, search, stop_searching, sleep_in_ring), pick.c (wf_work_visible), runtime.c (wf_inject).
 * Law      when nothing can go on, no work is queued where a worker sleeps. No work is run twice. A worker is interrupted at most once
 *          for each time it announced its sleep. The searching count is never negative, and zero at the end. Nobody is woken while
 *          somebody searches.
 * Switches WITHOUT_x leaves out a step of a .c file, x_BEFORE_y and x_AFTER_y move one; for mutants.ini.
 */
#include "sched/core/idle.h"
#include "sched/core/ready.h"

#include "tests/model/explorer.h"

#define WORKERS 2
#define RINGS 2 /* of publishers that are workers and never come back to their ring */
#define SLOTS 4
/* Who notifies: threads that publish, then the workers as searchers. */
#define FIRST_SEARCHER 3
#define PUBLISHERS (FIRST_SEARCHER + WORKERS)

static struct {
	struct wf_idle idle;
	struct wf_ready ring[RINGS];
	_Alignas(8) char array[RINGS][sizeof(struct wf_ready_array) + SLOTS * sizeof(wf_aptr)];
	wf_a32 injected;
	wf_a32 inbox[WORKERS];
	/* Ghosts. */
	uint32_t rings;		      /* in use; constant */
	uint32_t interrupts[WORKERS]; /* sent and not yet received */
	uint32_t announced[WORKERS];  /* and neither claimed nor withdrawn */
	uint32_t asleep[WORKERS];
	uint32_t alarms; /* waits that may still end by themselves, as by a timer */
	uint32_t published, taken;
	uint32_t run[8];	       /* how often each item of a ring was run */
	uint32_t was_zero[PUBLISHERS]; /* a publisher: has `searching` been 0 since it began to notify? */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

static void interrupt(uint32_t worker)
{
#ifdef WITHOUT_INTERRUPT
	(void)worker;
#else
	model_step("interrupt");
	s.interrupts[worker]++;
#endif
}

/* The ghosts of a claim. */
static void claimed(uint32_t worker)
{
	if (s.announced[worker] != 1)
		model_fail("worker %u was claimed without having announced its sleep", worker);
	s.announced[worker] = 0;
}

static void notify(uint32_t publisher)
{
	s.was_zero[publisher] = s.idle.searching.v == 0;
	int target = wf_idle_claim_any(&s.idle);
	if (target < 0)
		return;
	if (!s.was_zero[publisher])
		model_fail("worker %d was woken although somebody searched all the time", target);
	claimed((uint32_t)target);
	interrupt((uint32_t)target);
}

/* worker.c: wf_worker_notify_one. */
static void notify_one(uint32_t worker)
{
	int target = wf_idle_claim_one(&s.idle, worker);
	if (target < 0)
		return;
	claimed((uint32_t)target);
	interrupt((uint32_t)target);
}

/* runtime.c: wf_inject and wf_runtime_notify. */
static void submitter(uint32_t publisher)
{
	s.published++;
#ifdef WITHOUT_PUBLISH_RMW
	wf_store_rel32(&s.injected, wf_load_rlx32(&s.injected) + 1);
#else
	wf_add_sc32(&s.injected, 1);
#endif
	notify(publisher);
}

/* A worker that makes two fibers ready and then runs one of its own for ever. */
static void publish(uint32_t ring, uintptr_t item)
{
	s.published++;
	wf_ready_push(&s.ring[ring], (void *)item, true);
	notify(ring);
}

static void busy_once(uint32_t ring)
{
	publish(ring, 1 + 2 * ring);
}

static void busy_twice(uint32_t ring)
{
	publish(ring, 1 + 2 * ring);
	publish(ring, 2 + 2 * ring);
}

/* park.c: push_inbox. */
static void pinner(uint32_t worker)
{
	s.published++;
#ifdef WITHOUT_PUBLISH_RMW
	wf_store_rel32(&s.inbox[worker], 1);
#else
	uint32_t empty = 0;
	wf_cas_sc32(&s.inbox[worker], &empty, 1);
#endif
	notify_one(worker);
}

static bool take_injected(void)
{
	if (wf_load_acq32(&s.injected) == 0)
		return false;
	model_step("take from the injection queue");
	bool got = s.injected.v != 0;
	if (got)
		s.injected.v--;
	return got;
}

static bool take_inbox(uint32_t worker)
{
	if (wf_load_acq32(&s.inbox[worker]) == 0 || wf_swap_sc32(&s.inbox[worker], 0) == 0)
		return false;
	return true;
}

static bool steal(void)
{
	if (take_injected())
		return true;
	for (uint32_t ring = 0; ring < s.rings; ring++) {
		void *item;
		if (wf_ready_steal(&s.ring[ring], &item, 1) == 0)
			continue;
		s.run[(uintptr_t)item]++;
		return true;
	}
	return false;
}

static bool work_visible(uint32_t worker)
{
	if (wf_load_sc32(&s.injected) != 0 || wf_load_sc32(&s.inbox[worker]) != 0)
		return true;
	for (uint32_t ring = 0; ring < s.rings; ring++)
		if (!wf_ready_empty_sc(&s.ring[ring]))
			return true;
	return false;
}

static void sleep_in_ring(uint32_t worker, bool *searching)
{
	bool awake = false;
#ifdef RECHECK_BEFORE_ANNOUNCE
	awake = work_visible(worker);
#endif
#ifdef LEAVE_AFTER_RECHECK
	wf_idle_announce(&s.idle, worker, false);
#else
	wf_idle_announce(&s.idle, worker, *searching); /* ID-1.4, ID-1.5 */
#endif
	s.announced[worker] = 1;
#if !defined(WITHOUT_RECHECK) && !defined(RECHECK_BEFORE_ANNOUNCE)
	awake = work_visible(worker); /* ID-1.6 */
#endif
#ifdef LEAVE_AFTER_RECHECK
	if (*searching)
		wf_sub_sc32(&s.idle.searching, 1);
#endif
	*searching = false;
	if (!awake) {
		s.asleep[worker] = 1;
		model_wait("sleeps in its ring", &s.interrupts[worker], &s.alarms);
		s.asleep[worker] = 0;
		s.interrupts[worker] = 0;
	}
	bool by_itself = wf_idle_withdraw(&s.idle, worker);
	if (by_itself)
		s.announced[worker] = 0;
#ifndef WITHOUT_COUNTING_THE_WOKEN
	if (!by_itself)
		*searching = true; /* I2 */
#endif
}

static void stop_searching(uint32_t worker, bool *searching)
{
	(void)worker;
	if (!*searching)
		return;
	*searching = false;
	bool last = wf_idle_search_found(&s.idle);
#ifndef WITHOUT_CHAIN
	if (last)
		notify(FIRST_SEARCHER + worker);
#else
	(void)last;
#endif
}

static void worker_loop(uint32_t worker, bool endless)
{
	bool searching = false;
	for (;;) {
		bool found = take_inbox(worker) || take_injected();
		if (!found) {
			searching = searching || wf_idle_search_begin(&s.idle);
			found = steal();
		}
		if (found) {
			s.taken++;
			stop_searching(worker, &searching);
			if (endless)
				return;
			continue;
		}
		sleep_in_ring(worker, &searching);
	}
}

static void worker(uint32_t index)
{
	worker_loop(index, false);
}

/* What it finds it runs for ever. */
static void endless_worker(uint32_t index)
{
	worker_loop(index, true);
}

static void check(void)
{
	int32_t searching = (int32_t)s.idle.searching.v;
	if (searching < 0)
		model_fail("the searching count is below zero");
	if (searching == 0)
		for (uint32_t i = 0; i < PUBLISHERS; i++)
			s.was_zero[i] = 1;
	for (uint32_t i = 0; i < 8; i++)
		if (s.run[i] > 1)
			model_fail("item %u was run twice", i);
}

static void finish(void)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		if (s.asleep[i] && !s.announced[i])
			model_fail("worker %u was claimed and never interrupted", i);
	for (uint32_t i = 0; i < WORKERS; i++)
		if (s.asleep[i] && s.taken < s.published)
			model_fail("lost wake-up: work is queued, nobody moves, worker %u sleeps", i);
	if (s.idle.searching.v != 0)
		model_fail("the searching count ends at %u", s.idle.searching.v);
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&s.idle.searching, "searching"},
		{&s.idle.sleepers[0], "sleepers"},
		{&s.injected, "injected"},
		{&s.inbox[0], "inbox 0"},
		{&s.inbox[1], "inbox 1"},
		{&s.ring[0].head, "ring 0 head"},
		{&s.ring[0].tail, "ring 0 tail"},
		{&s.ring[1].head, "ring 1 head"},
		{&s.ring[1].tail, "ring 1 tail"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return "slot";
}

static void start(uint32_t workers, uint32_t rings, uint32_t alarms)
{
	s.rings = rings;
	s.idle.workers = workers;
	s.alarms = alarms;
	for (uint32_t ring = 0; ring < RINGS; ring++) {
		struct wf_ready_array *array = (struct wf_ready_array *)s.array[ring];
		array->capacity = SLOTS;
		s.ring[ring].array.v = array;
	}
}

static void one_worker(void)
{
	start(1, 0, 0);
}

static void one_worker_and_alarm(void)
{
	start(1, 0, 1);
}

static void two_workers(void)
{
	start(2, 0, 0);
}

static void three_workers(void)
{
	start(3, 1, 0);
}

static void four_workers(void)
{
	start(4, 2, 0);
}

static const struct model_program programs[] = {
	{"two submits, one worker", one_worker, 3,
		{{"submit 0", submitter, 0}, {"submit 1", submitter, 1}, {"worker 0", worker, 0}}},
	{"three submits, one worker", one_worker, 4,
		{{"submit 0", submitter, 0}, {"submit 1", submitter, 1}, {"submit 2", submitter, 2},
			{"worker 0", worker, 0}}},
	{"a pinned fiber, a submit and an alarm, one worker", one_worker_and_alarm, 3,
		{{"pinner", pinner, 0}, {"submit 1", submitter, 1}, {"worker 0", worker, 0}}},
	{"a busy worker with two fibers, two workers", three_workers, 3,
		{{"busy 0", busy_twice, 0}, {"worker 0", endless_worker, 0},
			{"worker 1", endless_worker, 1}}},
	{"a pinned fiber and a submit, two workers", two_workers, 4,
		{{"pinner", pinner, 0}, {"submit 1", submitter, 1}, {"worker 0", worker, 0},
			{"worker 1", endless_worker, 1}}},
	{"two busy workers, two workers", four_workers, 4,
		{{"busy 0", busy_once, 0}, {"busy 1", busy_once, 1},
			{"worker 0", endless_worker, 0}, {"worker 1", endless_worker, 1}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.check = check,
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
