/* SPDX-License-Identifier: MIT */
/* spare_model.c - the end of a spare (RS4 to RS6 of rescue.h) over idle.h as shipped
 *
 * What     a spare runs, sleeps, retires and leaves while others post requests to its box by an op_thread of before, wake it for work, or stop
 *          the runtime. What stands in .c files is repeated here, function by function: spare.c, worker.c (sleep_in_ring, withdraw,
 *          next_fiber, wf_worker_notify_one, wf_answer_requests), park.c (the end of post_cancel), runtime.c (wf_runtime_meet, the end of
 *          wf_runtime_stop). Its engine is an eventfd and one operation, which can move or not; who else uses it is engine_model.c's.
 * Law      every request is answered once. A spare has left only when it holds no fiber and no operation, and is joined then. Its engine is not
 *          closed while anybody who took its sleep bit still owes it the interrupt, so none reaches a closed engine. A stop does not wait
 *          for a spare that is gone.
 * Switches each takes one step of a .c file out or weakens it, for mutants_engine.ini.
 */
#include "sched/core/idle.h"

#include "tests/model/explorer.h"

#define SPARE 1 /* its index; worker 0 is busy all the time */
#define FIBERS 2

enum spare_state { ABSENT, RUNS, RETIRES, LEFT, MEETS }; /* enum wf_spare_state */

static struct {
	struct wf_idle idle;
	wf_a32 spare;
	wf_a32 box; /* fiber + 1 */
	wf_a32 boxed[FIBERS];
	wf_a32 ring; /* fibers in its queues */
	wf_a32 leaving;
	wf_a32 left; /* runtime.h */
	/* The spare's own. */
	uint32_t box_next[FIBERS];
	uint32_t searching;
	uint32_t claims, interrupted;
	uint32_t event; /* of the eventfd */
	uint32_t in_flight;
	uint32_t looked; /* at its state, since it is needed again */
	/* Notes. */
	uint32_t bell;		 /* something ends the wait in its ring */
	uint32_t alarms;	 /* waits that may still end by themselves */
	uint32_t begins, begun;	 /* its thread */
	uint32_t open;		 /* its engine */
	uint32_t owed;		 /* interrupts: the bit is taken */
	uint32_t arrived;	 /* what its operation waits for */
	uint32_t asked[FIBERS];	 /* requests that are not answered */
	uint32_t has_left;	 /* for the monitor's next look */
	uint32_t thread_ended;	 /* to be joined */
	uint32_t met;		 /* all have come to the meeting */
	uint32_t stops, stopped; /* the runtime */
	uint32_t meeting;
	/* Constants. */
	uint32_t unmovable; /* the operation */
	uint32_t fails;	    /* its engine cannot be opened */
	uint32_t workers;   /* that come to the meeting */
	uint32_t wakes;	    /* the answer to a request makes a fiber ready */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* idle.h, and whom it wakes. */

/* The caller has taken the spare's bit. */
static void interrupt(void)
{
	s.owed++;
	model_step("interrupts the spare");
	s.owed--;
	if (!s.open)
		model_fail("an interrupt goes to an engine that is closed");
	s.event++;
	s.bell = 1;
}

static void runtime_notify(void)
{
	if (wf_idle_claim_any(&s.idle) == SPARE)
		interrupt();
}

static void notify_one(void)
{
	if (wf_idle_claim_one(&s.idle, SPARE) == SPARE)
		interrupt();
#ifndef WITHOUT_ROUSE
	if (wf_idle_rouse(&s.idle, SPARE)) /* I4 */
		interrupt();
#endif
}

/* worker.c: wf_answer_requests, by whomever. */
static void answer_requests(bool spare)
{
	if (wf_load_acq32(&s.box) == 0)
		return;
#ifdef ANSWER_BY_STORE
	uint32_t at = wf_load_acq32(&s.box);
	wf_store_rel32(&s.box, 0);
#else
	uint32_t at = wf_swap_sc32(&s.box, 0); /* IN-1 */
#endif
	while (at != 0) {
		uint32_t fiber = at - 1;
		at = s.box_next[fiber];
		wf_swap_sc32(&s.boxed[fiber], 0);
		if (s.asked[fiber] == 0)
			model_fail("a request of fiber %u was answered twice", fiber);
		s.asked[fiber] = 0;
		if (spare && s.wakes)
			wf_add_sc32(&s.ring, 1); /* park.c: wf_make_ready */
	}
}

/* spare.c. */

static bool stands_by(void)
{
	return wf_load_sc32(&s.spare) == RETIRES;
}

static bool stander_has_work(void)
{
	return wf_load_sc32(&s.box) != 0 || wf_load_sc32(&s.ring) != 0;
}

static void give_away_fibers(void)
{
	while (wf_load_sc32(&s.ring) != 0) {
		wf_sub_sc32(&s.ring, 1);
		runtime_notify();
	}
}

static void flush(void)
{
	s.interrupted += s.event;
	s.event = s.bell = 0;
	if (!s.in_flight || !s.arrived)
		return;
	s.in_flight = 0;
	wf_add_sc32(&s.ring, 1); /* worker.c: wf_op_complete */
}

static void give_away_timers(void)
{
	bool to_itself = !stands_by(); /* rescue.c: wf_rescue_target */
#ifndef TIMERS_TO_ITSELF
	if (to_itself)
		return;
#endif
	if (to_itself)
		model_fail("a spare moves its timers to itself, and waits for its own lock");
}

static bool move_operations(void)
{
	model_step("moves what it can");
	if (!s.unmovable && !s.arrived)
		s.in_flight = 0;
	flush();
	return !s.in_flight;
}

static void empty_boxes(bool spare)
{
	answer_requests(spare);
}

static void spare_check_box(void)
{
	uint32_t state = wf_load_sc32(&s.spare); /* RS5 */
#ifdef POST_WITHOUT_LOOK
	return;
#endif
#ifdef ABSENT_IS_NOT_LEFT
	if (state == LEFT)
#else
	if (state == LEFT || state == ABSENT)
#endif
		empty_boxes(false);
}

static void now_left(void)
{
	s.has_left = s.looked = 1;
	if (s.in_flight && !s.fails)
		model_fail("the spare has left, and has an operation in flight");
}

static bool stand_by(void)
{
	if (s.searching) { /* pass_on_wake */
		s.searching = 0;
		wf_idle_search_found(&s.idle);
		runtime_notify();
	}
	give_away_fibers();
	if (!stands_by())
		return false;
	give_away_timers();
	bool empty = move_operations();
#ifdef LEAVE_WITH_OPERATIONS
	empty = true;
#endif
	if (!empty)
		return false;
#ifndef LEAVE_WHILE_OWED
	if (s.interrupted != s.claims) /* RS6 */
		return false;
#endif
	uint32_t retires = RETIRES;
#ifdef EMPTY_BEFORE_LEFT
	empty_boxes(true);
#endif
#ifdef LEFT_BY_STORE
	if (wf_load_sc32(&s.spare) != retires)
		return false;
	wf_store_rel32(&s.spare, LEFT);
#else
	if (!wf_cas_sc32(&s.spare, &retires, LEFT)) /* RS5 */
		return false;
#endif
	now_left();
	return true;
}

/* Whatever came to it in the end; also to one that could not start. */
static void leave(void)
{
#ifdef FAILS_AS_RUNNING
	uint32_t runs = RUNS;
	if (s.fails && wf_cas_sc32(&s.spare, &runs, LEFT))
		now_left();
#else
	uint32_t state = wf_load_sc32(&s.spare);
	while (state != LEFT && state != MEETS)
		if (wf_cas_sc32(&s.spare, &state, LEFT)) { /* RS5 */
			now_left();
			break;
		}
#endif
#ifdef FAILS_WITH_ITS_BOX
	if (s.fails)
		return;
#endif
#ifndef EMPTY_BEFORE_LEFT
	empty_boxes(true);
#endif
#ifndef LEAVE_WITH_FIBERS
	give_away_fibers();
#endif
}

/* worker.c. */

static void announce(bool stands)
{
	if (stands)
		wf_idle_stand(&s.idle, SPARE);
	else
		wf_idle_announce(&s.idle, SPARE, s.searching);
	s.searching = 0;
}

static void withdraw(bool stands)
{
	if (stands ? wf_idle_rouse(&s.idle, SPARE) : wf_idle_withdraw(&s.idle, SPARE))
		return;
	s.searching = !stands;
#ifdef COUNT_SEARCHERS_ONLY
	s.claims += !stands;
#else
	s.claims++;
#endif
}

/* `stands`: what the worker took itself for, when it last looked for something to do. */
static void sleep_in_ring(bool stands)
{
#ifdef STANDS_ANEW
	stands = stands_by();
#endif
	announce(stands);
	bool awake = stands ? stander_has_work() : wf_load_sc32(&s.box) != 0;
#ifndef STANDER_SEES_NO_STATE
	awake = awake || (stands && !stands_by());
#endif
#ifndef SLEEPER_SEES_NO_STATE
	awake = awake || (!stands && stands_by());
#endif
	awake = awake || wf_load_sc32(&s.leaving) != 0;
	if (!awake) {
		model_wait("sleeps in its ring", &s.bell, &s.alarms);
		flush();
	}
	withdraw(stands);
}

static void worker_loop(void)
{
	for (;;) {
		answer_requests(true);
		model_step("ticks");
		flush();
		bool stands = stands_by();
		s.looked |= !stands;
		if (stands) {
			if (stand_by() || wf_load_sc32(&s.leaving))
				break;
		} else if (wf_load_sc32(&s.ring) != 0) {
			wf_sub_sc32(&s.ring, 1);
			continue;
		} else if (wf_load_sc32(&s.leaving)) {
			break;
		}
		sleep_in_ring(stands);
	}
	if (s.searching)
		wf_idle_search_found(&s.idle);
	s.searching = 0;
	answer_requests(true);
}

/* runtime.c: wf_runtime_meet. */
static void meet(void)
{
	uint32_t left = wf_add_sc32(&s.left, 1) + 1;
	if (left == s.meeting)
		s.met = 1;
#ifndef CLOSE_WITHOUT_MEETING
	model_wait("meets the others", &s.met, NULL);
#endif
#ifndef MEET_WITHOUT_LOOK
	answer_requests(false); /* wf_detached_end_all */
#endif
}

/* spare.c: spare_thread, as often as it is started. */
static void spare_thread(uint32_t times)
{
	for (uint32_t i = 0; i < times; i++) {
		model_wait("is started", &s.begins, NULL);
		s.begins = 0;
		s.begun = 1;
		s.open = !s.fails;
		if (s.open)
			worker_loop();
		leave();
		if (wf_load_sc32(&s.spare) == MEETS)
			meet();
		model_step("closes its engine");
		s.open = 0;
		if (s.owed != 0)
			model_fail("the engine is closed, and an interrupt is still to come");
		s.event = 0;
		s.thread_ended = 1;
	}
}

static void start_thread(void)
{
	s.interrupted = s.claims = 0;
	wf_swap_sc32(&s.spare, RUNS);
	s.begins = 1;
}

/* wf_spares_keep. */
static void retire(void)
{
	uint32_t runs = RUNS;
	if (wf_cas_sc32(&s.spare, &runs, RETIRES)) {
#ifndef RETIRE_SILENTLY
		notify_one();
#endif
	}
}

/* wf_spare_start. */
static void start_spare(void)
{
	uint32_t retires = RETIRES;
	if (wf_cas_sc32(&s.spare, &retires, RUNS))
		notify_one();
	else if (wf_load_sc32(&s.spare) == ABSENT)
		start_thread();
}

/* wf_spares_join, at the look that finds LEFT. */
static void join(void)
{
	model_wait("looks until it has left", &s.has_left, NULL);
	s.has_left = 0;
	model_wait("joins its thread", &s.thread_ended, NULL);
	s.thread_ended = 0;
	wf_swap_sc32(&s.spare, ABSENT);
}

/* The threads. */

static void monitor(uint32_t unused)
{
	(void)unused;
	retire();
	join();
}

/* It is needed again. Between that and the next retirement is time enough for a look. */
static void wavering_monitor(uint32_t unused)
{
	(void)unused;
	retire();
	s.looked = s.has_left;
	start_spare();
	model_wait("50 ms", &s.looked, NULL);
	if (wf_load_sc32(&s.spare) == LEFT)
		join();
	else
		monitor(0);
}

static void monitor_that_needs_it(uint32_t unused)
{
	(void)unused;
	retire();
	start_spare();
}

static void starting_monitor(uint32_t unused)
{
	(void)unused;
	monitor(0);
	start_spare();
	monitor(0);
}

/* park.c: post_cancel, with an op_thread that names the spare. */
static void poster(uint32_t fiber)
{
	if (wf_swap_sc32(&s.boxed[fiber], 1) != 0)
		return;
	uint32_t head = wf_load_sc32(&s.box);
	do
		s.box_next[fiber] = head;
	while (!wf_cas_sc32(&s.box, &head, fiber + 1)); /* IN-1 */
	s.asked[fiber] = 1;
	notify_one();
	spare_check_box();
}

/* By a worker, in its last moment. */
static void posting_worker(uint32_t fiber)
{
	poster(fiber);
	meet();
}

/* Work for anybody. */
static void publisher(uint32_t unused)
{
	(void)unused;
	runtime_notify();
}

static void publishing_worker(uint32_t unused)
{
	publisher(unused);
	meet();
}

static void sender(uint32_t unused)
{
	(void)unused;
	model_step("sends");
	s.arrived = 1;
	s.bell = 1;
}

/* The end of wf_runtime_stop: wf_spares_settle and what follows. */
static void stopper(uint32_t unused)
{
	uint32_t runs = RUNS, retires = RETIRES;
	(void)unused;
	s.stops = 1;
	bool meets = wf_cas_sc32(&s.spare, &runs, MEETS) || wf_cas_sc32(&s.spare, &retires, MEETS);
	s.meeting = 1 + s.workers + meets;
	wf_swap_sc32(&s.leaving, 1);
	notify_one();
	meet();
	if (wf_load_sc32(&s.spare) != ABSENT)
		model_wait("joins its thread", &s.thread_ended, NULL);
	s.stopped = 1;
}

static void retiring_stopper(uint32_t unused)
{
	(void)unused;
	retire();
	stopper(0);
}

static void finish(void)
{
	for (uint32_t fiber = 0; fiber < FIBERS; fiber++)
		if (s.asked[fiber])
			model_fail("a request of fiber %u is never answered", fiber);
	bool gone = s.begun && !s.open;
	if (gone && s.ring.v != 0)
		model_fail("the spare is gone, and has fibers in its queues");
	if (gone && (s.spare.v == RUNS || s.spare.v == RETIRES) && !s.begins)
		model_fail("the spare is gone, and counts as one that runs or retires");
	if (s.stops && !s.stopped)
		model_fail("the stop waits for a spare that is gone");
	if (s.begun && s.open && s.spare.v == RETIRES && (!s.in_flight || s.arrived))
		model_fail("the spare sleeps, and does not leave");
	if (s.open && s.spare.v == RUNS && s.idle.standers[0].v != 0)
		model_fail("the spare is needed again, and sleeps among the standers");
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&s.idle.searching, "searching"},
		{&s.idle.sleepers[0], "sleepers"},
		{&s.idle.standers[0], "standers"},
		{&s.spare, "spare"},
		{&s.box, "box"},
		{&s.boxed[0], "boxed 0"},
		{&s.boxed[1], "boxed 1"},
		{&s.ring, "ring"},
		{&s.leaving, "leaving"},
		{&s.left, "left"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return "word";
}

static void start(void)
{
	s.idle.workers = 1;
	s.idle.spares = 1;
	s.spare.v = RUNS;
	s.begins = 1;
}

static void start_left(void)
{
	s.idle.workers = 1;
	s.idle.spares = 1;
	s.spare.v = LEFT;
}

static void start_with_alarm(void)
{
	start();
	s.alarms = 1;
}

static void start_with_worker(void)
{
	start();
	s.workers = 1;
}

static void start_waking(void)
{
	start();
	s.wakes = 1;
}

static void start_with_operation(void)
{
	start();
	s.in_flight = 1;
}

static void start_with_unmovable(void)
{
	start_with_operation();
	s.unmovable = 1;
}

static void start_failing(void)
{
	start();
	s.fails = 1;
}

static const struct model_program programs[] = {
	{"a spare retires, a request", start, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"poster", poster, 0}}},
	{"a spare has left, two requests", start_left, 2,
		{{"poster 0", poster, 0}, {"poster 1", poster, 1}}},
	{"a spare retires, a request that wakes its fiber", start_waking, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"poster", poster, 0}}},
	{"a spare retires, work, an alarm", start_with_alarm, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"publisher", publisher, 0}}},
	{"a spare is started again, a request", start, 3,
		{{"spare", spare_thread, 2}, {"monitor", starting_monitor, 0}, {"poster", poster, 0}}},
	{"a spare with an operation retires", start_with_operation, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"sender", sender, 0}}},
	{"a spare whose operation cannot move retires", start_with_unmovable, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"sender", sender, 0}}},
	{"a spare that cannot leave is needed again, a request", start_with_unmovable, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor_that_needs_it, 0},
			{"poster", poster, 0}}},
	{"a spare cannot start, a request", start_failing, 3,
		{{"spare", spare_thread, 1}, {"monitor", monitor, 0}, {"poster", poster, 0}}},
	{"a spare cannot start, a stop", start_failing, 2,
		{{"spare", spare_thread, 1}, {"stop", retiring_stopper, 0}}},
	{"a spare runs, a stop, a worker's request", start_with_worker, 3,
		{{"spare", spare_thread, 1}, {"stop", stopper, 0}, {"worker", posting_worker, 0}}},
	{"a spare retires, a stop, a worker's work", start_with_worker, 3,
		{{"spare", spare_thread, 1}, {"stop", retiring_stopper, 0},
			{"worker", publishing_worker, 0}}},
	{"a spare is needed again, a request", start, 3,
		{{"spare", spare_thread, 1}, {"monitor", wavering_monitor, 0}, {"poster", poster, 0}}},
	{"a spare is needed again, work, an alarm", start_with_alarm, 3,
		{{"spare", spare_thread, 1}, {"monitor", wavering_monitor, 0},
			{"publisher", publisher, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
