/* SPDX-License-Identifier: MIT */
/* monitor_model.c - the monitor's sleep (MO-1 of monitor.h) over idle.h as shipped
 *
 * What     a monitor that sleeps whenever it may, a worker and a spare that sleep, are woken and go on for ever, leave, or sleep again, and a
 *          stop. What stands in .c files is repeated here, function by function: monitor.c (sleep_until_poked, all_sleep,
 *          wf_monitor_poke, wf_monitor_stop, monitor_thread), worker.c (sleep_in_ring, withdraw), spare.c (the end of spare_thread, join).
 * Law      when nothing can go on, the monitor does not sleep where a worker is awake, a spare that has left is not joined, or a stop
 *          waits for it.
 * Switches each takes one step of a .c file out or weakens it, for mutants_engine.ini.
 */
#include "sched/core/idle.h"

#include "tests/model/explorer.h"

#define SLEEPERS 2 /* a worker, and a spare behind it */
#define SPARE 1

enum spare_state { ABSENT, RUNS, RETIRES, LEFT }; /* enum wf_spare_state */

static struct {
	struct wf_idle idle;
	wf_a32 spare;
	wf_a32 asleep; /* monitor_asleep */
	wf_a32 leaves; /* monitor_leaves */
	/* Notes. */
	uint32_t sleeping, woken; /* the futex of `asleep` */
	uint32_t alarms;	  /* waits that may still end by themselves */
	uint32_t event[SLEEPERS]; /* what ends the sleep of each */
	uint32_t awake[SLEEPERS]; /* its bit is not set */
	uint32_t thread_ended;	  /* the spare's */
	uint32_t monitor_ended;
	uint32_t stops;
	uint32_t pad;
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* seam.h. */

static void futex_wait(void)
{
	model_step("the kernel compares");
#ifndef SLEEP_WITHOUT_COMPARE
	if (s.asleep.v != 1)
		return;
#endif
	s.sleeping = 1;
	model_wait("the monitor sleeps", &s.woken, &s.alarms);
	s.sleeping = s.woken = 0;
}

static void futex_wake(void)
{
	model_step("the kernel wakes");
	if (s.sleeping)
		s.woken = 1;
}

/* monitor.c. */

static void poke(void)
{
	if (wf_load_sc32(&s.asleep) == 0) /* MO-1 */
		return;
#ifndef POKE_WITHOUT_MARK
	wf_swap_sc32(&s.asleep, 0);
#endif
#ifndef POKE_WITHOUT_WAKE
	futex_wake();
#endif
}

/* One that has left is to be joined. */
static bool is_there(uint32_t w)
{
	uint32_t state = wf_load_sc32(&s.spare);
#ifdef LEFT_SLEEPS
	return w != SPARE || state == RUNS || state == RETIRES;
#else
	return w != SPARE || state != ABSENT;
#endif
}

static bool all_sleep(void)
{
	for (uint32_t w = 0; w < SLEEPERS; w++)
		if (is_there(w) && !wf_idle_sleeps(&s.idle, w))
			return false;
	return true;
}

static void sleep_until_poked(void)
{
#ifdef LOOK_BEFORE_ASLEEP
	bool sleeps = all_sleep();
#endif
#ifdef ASLEEP_BY_STORE
	wf_store_rel32(&s.asleep, 1);
#else
	wf_swap_sc32(&s.asleep, 1); /* MO-1 */
#endif
#if defined(SLEEP_WITHOUT_LOOK)
	bool sleeps = true;
#elif !defined(LOOK_BEFORE_ASLEEP)
	bool sleeps = all_sleep();
#endif
#ifndef SLEEP_THROUGH_STOP
	sleeps = sleeps && !wf_load_sc32(&s.leaves);
#endif
	if (sleeps)
		futex_wait();
	wf_swap_sc32(&s.asleep, 0);
}

/* spare.c: wf_spares_join. */
static void join(void)
{
	if (wf_load_sc32(&s.spare) != LEFT)
		return;
	model_wait("joins the spare", &s.thread_ended, NULL);
	wf_swap_sc32(&s.spare, ABSENT);
}

static void monitor(uint32_t unused)
{
	(void)unused;
	while (!wf_load_sc32(&s.leaves)) {
		sleep_until_poked();
		join();
	}
	s.monitor_ended = 1;
}

static void stopper(uint32_t unused)
{
	(void)unused;
	s.stops = 1;
	wf_swap_sc32(&s.leaves, 1);
#ifndef STOP_WITHOUT_POKE
	poke();
#endif
	model_wait("joins the monitor", &s.monitor_ended, NULL);
	s.stops = 0;
}

/* worker.c. */

static void announce(uint32_t w, bool stands)
{
	if (stands)
		wf_idle_stand(&s.idle, w);
	else
		wf_idle_announce(&s.idle, w, false);
	s.awake[w] = 0;
}

static void wake_up(uint32_t w, bool stands)
{
	model_wait("sleeps in its ring", &s.event[w], NULL);
	s.event[w] = 0;
#ifdef POKE_BEFORE_AWAKE
	poke();
#endif
	if (!(stands ? wf_idle_rouse(&s.idle, w) : wf_idle_withdraw(&s.idle, w)) && !stands)
		wf_idle_search_found(&s.idle);
	s.awake[w] = 1;
#if !defined(WITHOUT_POKE) && !defined(POKE_BEFORE_AWAKE)
	poke();
#endif
}

/* It is woken, and its fiber does not give way. */
static void worker(uint32_t times)
{
	wake_up(0, false);
	for (; times > 1; times--) {
		announce(0, false);
		wake_up(0, false);
	}
}

/* spare.c: it retires, waits for its last operation, and leaves. */
static void spare(uint32_t unused)
{
	(void)unused;
	wake_up(SPARE, true);
	wf_swap_sc32(&s.spare, LEFT); /* RS5 */
	model_step("its thread ends");
	s.thread_ended = 1;
	poke();
}

/* A publisher takes the worker's bit; or, of itself, an operation of it ends. */
static void waker(uint32_t times)
{
	for (; times > 0; times--)
		if (wf_idle_claim_one(&s.idle, 0) == 0) {
			model_step("interrupts the worker");
			s.event[0] = 1;
		}
}

static void sender(uint32_t w)
{
	model_step("sends");
	s.event[w] = 1;
}

static void finish(void)
{
	if (s.stops)
		model_fail("the stop waits for the monitor, which sleeps");
	if (!s.sleeping)
		return;
	for (uint32_t w = 0; w < SLEEPERS; w++)
		if (s.awake[w] && (w != SPARE || s.spare.v == RUNS || s.spare.v == RETIRES))
			model_fail("the monitor sleeps, and worker %u is awake", w);
	if (s.spare.v == LEFT)
		model_fail("the monitor sleeps, and a spare that has left is not joined");
}

static const char *name(const void *at)
{
	return at == &s.asleep		    ? "monitor_asleep"
		: at == &s.leaves	    ? "monitor_leaves"
		: at == &s.spare	    ? "spare"
		: at == &s.idle.sleepers[0] ? "sleepers"
		: at == &s.idle.standers[0] ? "standers"
					    : "searching";
}

/* The worker sleeps. */
static void start(void)
{
	s.idle.workers = s.idle.spares = 1;
	s.idle.sleepers[0].v = 1;
}

static void start_with_alarm(void)
{
	start();
	s.alarms = 1;
}

/* And a spare that retires. */
static void start_with_spare(void)
{
	start();
	s.spare.v = RETIRES;
	s.idle.standers[0].v = 1 << SPARE;
}

static const struct model_program programs[] = {
	{"a worker is woken", start, 3,
		{{"monitor", monitor, 0}, {"worker", worker, 1}, {"waker", waker, 1}}},
	{"an operation wakes a worker", start, 3,
		{{"monitor", monitor, 0}, {"worker", worker, 1}, {"sender", sender, 0}}},
	{"a worker is woken twice, an alarm", start_with_alarm, 3,
		{{"monitor", monitor, 0}, {"worker", worker, 2}, {"waker", waker, 2}}},
	{"a spare leaves", start_with_spare, 3,
		{{"monitor", monitor, 0}, {"spare", spare, 0}, {"sender", sender, SPARE}}},
	{"a spare leaves, a worker is woken", start_with_spare, 5,
		{{"monitor", monitor, 0}, {"spare", spare, 0}, {"sender", sender, SPARE},
			{"worker", worker, 1}, {"waker", waker, 1}}},
	{"a stop", start, 2, {{"monitor", monitor, 0}, {"stop", stopper, 0}}},
	{"a worker is woken, a stop", start, 4,
		{{"monitor", monitor, 0}, {"worker", worker, 1}, {"waker", waker, 1},
			{"stop", stopper, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
