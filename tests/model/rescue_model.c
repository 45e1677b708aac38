/* SPDX-License-Identifier: MIT */
/* rescue_model.c - the queues of a one-worker runtime become shared and are unshared again (RS3) over worker.h, ready.h and deque.h as shipped
 *
 * What     a worker at its queues and in its fibers' code, a monitor that shares them, and a thief that begins when it has. What stands
 *          in .c files is repeated here, function by function: rescue.c (share, unshare), park.c (make_ready), spawn.c (publish), join.c (claim_child),
 *          pick.c (claim_fiber, take_unstarted, take_ready), switch.c (choose_next, arrive), monitor.c (the end of a rescue).
 * Law      every item is run once, with what it carries, and none is lost.
 * Switches WITHOUT_x leaves out a step of a .c file, x_BEFORE_y and x_AFTER_y move one; for mutants_rescue.ini.
 */
#define wf_count(counter, n) ((void)(counter), (void)(n)) /* for worker.h */
#include "sched/core/rescue.h"

#include "tests/model/queue_model.h"

#define SLOTS 4
#define UNSTARTED 1
#define RUNNING 2

static struct wf_runtime rt;
static struct wf_worker worker;

static struct {
	struct items items;
	wf_a32 word[ITEMS + 1]; /* of the fibers in the deque */
	uint32_t go, done;	/* the thief may begin; has ended */
	uint32_t ran;		/* since then a fiber was switched to, or the worker sleeps */
	wf_a32 sleeping;	/* the spare, as in idle.sleepers */
	uint32_t woken;
	uint32_t stuck; /* the worker ends in a fiber's code */
	_Alignas(8) char ring[sizeof(struct wf_ready_array) + SLOTS * sizeof(wf_aptr)];
	_Alignas(8) char array[sizeof(struct wf_deque_array) + SLOTS * sizeof(wf_a64)];
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* worker.c: wf_worker_notify, where one may sleep. */
static void notify(void)
{
	if (!wf_shared(&worker) || wf_load_sc32(&s.sleeping) == 0 || wf_swap_sc32(&s.sleeping, 0) == 0)
		return;
	s.woken = 1;
}

/* park.c: wf_make_ready. */
static void make_ready(uint32_t item)
{
	struct wf_worker *w = &worker;
	item_made(&s.items, item);
	bool began = wf_inside_begin(w);
	wf_ready_push(&w->ready, (void *)(uintptr_t)item, wf_shared(w));
	notify();
	wf_inside_end(w, began);
}

/* spawn.c: wf_spawn_publish. */
static void spawn(uint32_t item)
{
	struct wf_worker *w = &worker;
	item_made(&s.items, item);
	wf_store_rlx32(&s.word[item], UNSTARTED);
	bool began = wf_inside_begin(w);
	wf_deque_push_self(&w->deque, item, wf_shared(w));
	notify();
	wf_inside_end(w, began);
}

/* pick.c: wf_claim_fiber, as the worker. */
static bool claim_fiber(uint64_t item)
{
	uint32_t word = wf_load_acq32(&s.word[item]);
	if (word != UNSTARTED)
		return false;
#ifndef CLAIM_BY_STORE
	if (wf_shared(&worker))
		return wf_cas_acq_rel32(&s.word[item], &word, RUNNING);
#endif
	wf_store_rlx32(&s.word[item], RUNNING);
	return true;
}

/* join.c: claim_child. */
static void claim_child(uint32_t item)
{
	struct wf_worker *w = &worker;
	bool began = wf_inside_begin(w);
	bool mine = claim_fiber(item);
	if (mine)
		wf_deque_drop_newest_self(&w->deque, item, wf_shared(w));
	wf_inside_end(w, began);
	if (mine)
		item_taken(&s.items, item);
}

/* pick.c: wf_pick, of ring and deque. Returns an item or 0. */
static uint64_t pick(void)
{
	struct wf_worker *w = &worker;
	void *fiber = wf_ready_take(&w->ready, wf_shared(w));
	if (fiber != NULL)
		return (uintptr_t)fiber;
	uint64_t item;
	while (wf_deque_pop_self(&w->deque, &item, wf_shared(w)))
		if (claim_fiber(item))
			return item;
	return 0;
}

/* switch.c: choose_next. */
static uint64_t choose_next(enum wf_after_kind kind)
{
#ifdef CHOICE_BEFORE_KIND
	uint64_t item = pick();
	wf_store_rlx32(&worker.after.kind, kind);
	return item;
#else
	wf_store_rlx32(&worker.after.kind, kind);
	return pick();
#endif
}

/* switch.c: wf_arrive. `self` was switched away from; 0: it has parked. */
static void arrive(uint32_t self)
{
	struct wf_worker *w = &worker;
#ifdef PUSH_AFTER_KIND
	wf_store_rel32(&w->after.kind, WF_AFTER_NONE);
#endif
	if (self != 0) {
		wf_ready_push(&w->ready, (void *)(uintptr_t)self, wf_shared(w));
		notify();
	}
#ifdef RELAXED_ARRIVAL
	wf_store_rlx32(&w->after.kind, WF_AFTER_NONE);
#elif !defined(PUSH_AFTER_KIND)
	wf_store_rel32(&w->after.kind, WF_AFTER_NONE); /* RS3 */
#endif
	s.ran = 1;
}

/* The fiber gives way; its successor runs up to its next call. */
static void park(void)
{
	uint64_t item = choose_next(WF_AFTER_PARK);
	arrive(0);
	if (item != 0)
		item_taken(&s.items, item);
}

static void yield(uint32_t self)
{
	item_made(&s.items, self);
	uint64_t item = choose_next(WF_AFTER_YIELD);
	arrive(self);
	if (item != 0)
		item_taken(&s.items, item);
}

/* The fiber ends, and the scheduler runs what there is. `completed`: what an operation's end makes ready; 0: there is none. */
static void end(uint32_t completed)
{
	uint64_t item;
	wf_store_rlx32(&worker.after.kind, WF_AFTER_END);
	wf_store_rel32(&worker.after.kind, WF_AFTER_SCHEDULER);
	if (completed != 0)
		make_ready(completed);
	while ((item = pick()) != 0)
		item_taken(&s.items, item);
	s.ran = 1; /* it sleeps */
}

static void wakes_and_yields(uint32_t unused)
{
	(void)unused;
	make_ready(1);
	make_ready(2);
	yield(3);
	end(0);
}

static void wakes_and_parks(uint32_t unused)
{
	(void)unused;
	make_ready(1);
	make_ready(2);
	park();
	end(0);
}

static void wakes_and_completes(uint32_t unused)
{
	(void)unused;
	make_ready(1);
	end(2);
}

/* For ever: what it has made ready is for others. */
static void computes(void)
{
	model_step("computes");
	s.stuck = 1;
}

static void wakes(uint32_t unused)
{
	(void)unused;
	make_ready(1);
	yield(2);
	computes();
}

static void spawns_for_others(uint32_t unused)
{
	(void)unused;
	spawn(1);
	computes();
}

static void yields(uint32_t unused)
{
	(void)unused;
	make_ready(1);
	yield(2);
	yield(3);
	end(0);
}

static void spawns_and_joins(uint32_t unused)
{
	(void)unused;
	spawn(1);
	spawn(2);
	claim_child(2);
	claim_child(1);
	end(0);
}

static void spawns(uint32_t unused)
{
	(void)unused;
	spawn(1);
	spawn(2);
	end(0);
}

static bool steal(void)
{
	void *fiber;
	uint64_t item;
	bool raced = false;
	uint32_t count = wf_ready_steal(&worker.ready, &fiber, 1);
	if (count > 0)
		item_taken(&s.items, (uintptr_t)fiber);
	if (wf_deque_steal(&worker.deque, &item, &raced)) {
		uint32_t word = UNSTARTED;
		if (wf_cas_acq_rel32(&s.word[item], &word, RUNNING))
			item_taken(&s.items, item);
		count++;
	}
	return count > 0 || raced;
}

static void thief(uint32_t unused)
{
	(void)unused;
	for (;;) {
		model_wait("a spare begins", &s.go, NULL);
		s.go = 0;
		steal();
		model_step("the spare has left");
		s.done = 1;
	}
}

/* A spare that stays: worker.c: next_fiber, sleep_in_ring. */
static void sleeper(uint32_t unused)
{
	(void)unused;
	model_wait("a spare begins", &s.go, NULL);
	for (;;) {
		while (steal())
			;
		wf_swap_sc32(&s.sleeping, 1); /* ID-1.5 */
		if (wf_ready_empty_sc(&worker.ready) && wf_deque_empty_sc(&worker.deque)) { /* ID-1.6 */
			model_wait("sleeps", &s.woken, NULL);
			s.woken = 0;
		}
		wf_swap_sc32(&s.sleeping, 0);
	}
}

/* rescue.c. */
static bool share_queues(void)
{
	struct wf_worker *w = &worker;
	if (rt.all_shared)
		return true;
#ifdef KIND_BEFORE_SHARED
	uint32_t early = wf_load_sc32(&w->after.kind);
#endif
#ifdef SHARED_AFTER_BARRIER
	model_barrier("membarrier");
#endif
	wf_swap_sc32(&w->shared, 1);
#ifdef KIND_BEFORE_BARRIER
	uint32_t early = wf_load_sc32(&w->after.kind);
#endif
#if !defined(WITHOUT_BARRIER) && !defined(SHARED_AFTER_BARRIER)
	model_barrier("membarrier");
#endif
#if defined(KIND_BEFORE_SHARED) || defined(KIND_BEFORE_BARRIER)
	rt.all_shared = early == WF_AFTER_NONE;
#elif defined(WITHOUT_LOOK_AT_KIND)
	rt.all_shared = true;
#else
	rt.all_shared = wf_load_sc32(&w->after.kind) == WF_AFTER_NONE; /* RS3 */
#endif
	return rt.all_shared;
}

static void unshare_queues(void)
{
	rt.all_shared = false;
	wf_store_rlx32(&worker.shared, 0);
}

/* monitor.c: it looks, and unshares the queues at a look that finds the spare gone and no suspect. What the worker has read at its queues may
 * else be older than what the spare did there. */
static void monitor(uint32_t looks)
{
	for (uint32_t i = 0; i < looks; i++) {
		if (!share_queues())
			continue;
		model_step("starts a spare");
		s.go = 1;
#ifndef UNSHARE_BEFORE_LEFT
		model_wait("joins the spare", &s.done, NULL);
		s.done = s.ran = 0;
#endif
#ifndef UNSHARE_AT_ONCE
		model_wait("finds no suspect", &s.ran, NULL);
#endif
		unshare_queues();
	}
}

/* The spare stays. A look at a worker that is stuck in its fiber's code shares its queues. */
static void stays(uint32_t unused)
{
	(void)unused;
	if (!share_queues()) {
		model_wait("a millisecond later", &s.stuck, NULL);
		if (!share_queues())
			model_fail("the queues of a stuck worker are not shared");
	}
	model_step("starts a spare");
	s.go = 1;
}

static void finish(void)
{
	items_all_taken(&s.items);
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&worker.shared, "shared"},
		{&worker.after.kind, "after.kind"},
		{&worker.ready.head, "ring's head"},
		{&worker.ready.tail, "ring's tail"},
		{&worker.ready.array, "ring's array"},
		{&worker.deque.top, "top"},
		{&worker.deque.bottom, "bottom"},
		{&worker.deque.array, "deque's array"},
		{&s.sleeping, "sleeping"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return at >= (const void *)s.word ? "word or entry" : "payload";
}

static void start(void)
{
	struct wf_ready_array *ring = (struct wf_ready_array *)s.ring;
	ring->capacity = SLOTS;
	worker.ready.array.v = ring;
	struct wf_deque_array *array = (struct wf_deque_array *)s.array;
	array->capacity = SLOTS;
	worker.deque.array.v = array;
}

#define MAINS(main, looks)                                                                         \
	3,                                                                                         \
	{                                                                                          \
		{"worker", main, 0}, {"spare", thief, 0},                                          \
		{                                                                                  \
			"monitor", monitor, looks                                                  \
		}                                                                                  \
	}
#define STAYS(main)                                                                                \
	3,                                                                                         \
	{                                                                                          \
		{"worker", main, 0}, {"spare", sleeper, 0},                                        \
		{                                                                                  \
			"monitor", stays, 0                                                        \
		}                                                                                  \
	}

static const struct model_program programs[] = {
	{"wakes and a yield, one look", start, MAINS(wakes_and_yields, 1)},
	{"wakes and a park, one look", start, MAINS(wakes_and_parks, 1)},
	{"a wake and a completion, one look", start, MAINS(wakes_and_completes, 1)},
	{"yields, two looks", start, MAINS(yields, 2)},
	{"spawns and joins, one look", start, MAINS(spawns_and_joins, 1)},
	{"spawns, two looks", start, MAINS(spawns, 2)},
	{"wakes for a spare that may sleep", start, STAYS(wakes)},
	{"a spawn for a spare that may sleep", start, STAYS(spawns_for_others)},
};

static const struct model_part parts[] = {
	{&worker.shared, 8}, {&worker.after.kind, 8}, {&worker.ready.head, 8},
	{&worker.ready.tail, 16},			    /* and the array */
	{&worker.deque.top, 8}, {&worker.deque.bottom, 16}, /* and the array */
	{&rt.rescuing, 8},				    /* and all_shared */
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
