/* SPDX-License-Identifier: MIT */
/* engine_model.c - the stack in front of an engine, and operations that move to another (EN1 to EN4, EN-1, EN-2) over fiber.h,
 *                  ticket.h and lock.h as shipped
 *
 * What     fibers park in operations of a thread that is stuck or retires; rescuers move the operations out, interrupters look for them by
 *          op_thread. What stands in .c files is repeated, function by function: engine.c, park.c (wf_interrupt and what it calls),
 *          worker.c (wf_op_complete, wf_answer_requests, tick), switch.c (commit_park), op.c (commit_op) in engine_model.h; rescue.c
 *          (take_engine), pick.c (resume), spare.c (move_operations) here. A thread that sleeps wakes for whatever is published for it,
 *          as ID-1 says (idle_model.c), and the monitor asks for a rescue as long as a stuck thread has something.
 * Law      when nothing can go on, every fiber that an interrupt is in force for has been told. An operation is in one engine at most, reaches
 *          the engines in the order in which it was pushed, is asked about only where it is, and ends once, under the fiber that is
 *          parked in it. One worker at a time is in an engine, and none in one that is closed.
 * Switches see engine_model.h.
 */
#include "tests/model/engine_model.h"

/* rescue.c: take_engine. */
static void rescue(uint32_t w, uint32_t stuck)
{
	s.thread[stuck].wanted = 0;
	if (!engine_enter(w, stuck)) {
		s.thread[stuck].wanted = 1; /* at the next look */
		model_wait("a millisecond", &s.thread[stuck].is_free, NULL);
		s.thread[w].bell = 1;
		return;
	}
	take_queue(w, stuck);
	answer_requests(w, stuck);
	driver_flush(stuck);
	driver_move_out(stuck);
	driver_flush(stuck);
	engine_leave(w, stuck);
}

static void tick(uint32_t w)
{
	answer_requests(w, w);
	if (engine_enter(w, w)) {
		drain(w);
		driver_flush(w);
		engine_leave(w, w);
	} else {
		model_wait("a rescuer is at it", &s.thread[w].is_free, NULL);
		s.thread[w].bell = 1;
	}
	for (uint32_t i = 0; i < THREADS; i++)
		if (i != w && s.thread[i].wanted)
			rescue(w, i);
}

/* What its operation has woken. */
static void run(uint32_t w)
{
	uint32_t fiber = s.thread[w].ready - 1;
	s.thread[w].ready = 0;
	uint64_t word = wf_load_acq64(&s.fiber[fiber].word); /* pick.c: resume */
	wf_store_rlx64(&s.fiber[fiber].word, wf_ticket_with(word, WF_RUNNING));
	if (s.again && !s.op[1].ended)
		park(w, fiber, 1);
}

/* The threads. */

static void worker(uint32_t w)
{
	for (;;) {
		model_wait("sleeps", &s.thread[w].bell, NULL);
		s.thread[w].bell = 0;
		tick(w);
		if (s.thread[w].ready != 0)
			run(w);
	}
}

/* Its fiber 0 parks, and the next one never gives way. */
static void stuck_worker(uint32_t w)
{
	s.thread[w].stuck = 1;
	park(w, 0, 0);
}

/* Fiber 0 waits there already. */
static void parks_another(uint32_t w)
{
	s.thread[w].stuck = 1;
	park(w, 1, 1);
}

static void parks_two(uint32_t w)
{
	s.thread[w].stuck = 1;
	park(w, 0, 0);
	park(w, 1, 1);
}

/* It was stuck, and takes over what has been woken; what that runs next does not give way. */
static void runs_what_is_woken(uint32_t w)
{
	model_wait("sleeps", &s.thread[w].ready, NULL);
	run(w);
}

/* What waits there is over. */
static void ends_it(uint32_t w)
{
	if (engine_enter(w, w)) {
		driver_flush(w);
		engine_leave(w, w);
	}
	for (;;) {
		model_wait("sleeps", &s.thread[w].box.v, NULL);
		answer_requests(w, w);
	}
}

/* It rescues thread 0, and is stuck itself then. */
static void stuck_rescuer(uint32_t w)
{
	rescue(w, 0);
	s.thread[w].stuck = 1;
	notify_one(w);
}

/* spare.c: move_operations, until nothing is left, and the end. */
static void retiring_spare(uint32_t w)
{
	for (bool empty = false; !empty;) {
		answer_requests(w, w);
		if (!engine_enter(w, w)) {
			model_wait("a rescuer is at it", &s.thread[w].is_free, NULL);
			continue;
		}
		drain(w);
		driver_move_out(w);
		driver_flush(w);
		empty = s.op[0].at != w + 1 && s.op[1].at != w + 1;
		engine_leave(w, w);
		if (!empty) {
			model_wait("sleeps", &s.thread[w].bell, NULL);
			s.thread[w].bell = 0;
		}
	}
	engine_close(w);
	/* RS5: spare_model.c. */
	for (;;) {
		model_wait("has left", &s.thread[w].box.v, NULL);
		answer_requests(NONE, w);
	}
}

static void set_bit(uint32_t fiber)
{
#ifdef BIT_BY_STORE
	wf_store_rel64(&s.fiber[fiber].life, wf_load_rlx64(&s.fiber[fiber].life) | WF_LIFE_CANCEL);
#else
	wf_or_sc64(&s.fiber[fiber].life, WF_LIFE_CANCEL); /* WK-1.3 */
#endif
}

/* A thread that is no worker. */
static void canceller(uint32_t fiber)
{
	set_bit(fiber);
	interrupt(NONE, fiber);
}

/* A fiber of the worker cancels fiber 0. */
static void cancelling_worker(uint32_t w)
{
	set_bit(0);
	interrupt(w, 0);
	worker(w);
}

static void ring_all(void)
{
	for (uint32_t i = 0; i < THREADS; i++) {
		s.thread[i].wanted |= s.thread[i].stuck;
		s.thread[i].bell = 1;
	}
}

/* What operation `op` waits for comes. */
static void sender(uint32_t op)
{
	model_step("sends");
	s.op[op].arrived = 1;
	ring_all();
}

/* The kernel's side of a cancellation. */
static void kernel(uint32_t op)
{
	for (;;) {
		model_wait("is asked to cancel", &s.op[op].asked, NULL);
		s.op[op].asked = 0;
		s.op[op].answered = 1;
		ring_all();
	}
}

static void finish(void)
{
	for (uint32_t op = 0; op < OPS; op++) {
		bool begun = s.op[op].ticket != 0;
		if (begun && !s.op[op].ended && (s.fiber[s.op[op].fiber].life.v & WF_LIFE_INTERRUPTS))
			model_fail("lost interrupt: fiber %u stays parked in operation %u",
				s.op[op].fiber, op);
		if (begun && !s.op[op].ended && s.op[op].arrived)
			model_fail("lost operation: what %u waits for is there", op);
		if (begun && !s.op[op].ended && s.op[op].at == 0)
			model_fail("lost operation: %u is in no engine", op);
		if (begun && s.op[op].ended && s.current[s.op[op].fiber] == op &&
			s.fiber[s.op[op].fiber].op_thread.v != 0)
			model_fail("fiber %u's op_thread names a thread, and no operation is there",
				s.op[op].fiber);
	}
	for (uint32_t t = 0; t < THREADS; t++)
		if (s.thread[t].lock.word.v != 0)
			model_fail("the lock of thread %u is never given back", t);
}

static const char *name(const void *at)
{
	static const struct {
		const void *at;
		const char *name;
	} names[] = {
		{&s.fiber[0].word, "fiber 0's word"},
		{&s.fiber[0].life, "fiber 0's life"},
		{&s.fiber[0].op_thread, "fiber 0's op_thread"},
		{&s.fiber[0].boxed, "fiber 0's boxed"},
		{&s.fiber[1].word, "fiber 1's word"},
		{&s.fiber[1].life, "fiber 1's life"},
		{&s.fiber[1].op_thread, "fiber 1's op_thread"},
		{&s.thread[0].lock, "lock 0"},
		{&s.thread[0].server, "server 0"},
		{&s.thread[0].queue, "queue 0"},
		{&s.thread[0].box, "box 0"},
		{&s.thread[0].open, "open 0"},
		{&s.thread[1].lock, "lock 1"},
		{&s.thread[1].server, "server 1"},
		{&s.thread[1].queue, "queue 1"},
		{&s.thread[1].box, "box 1"},
		{&s.thread[1].open, "open 1"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].at == at)
			return names[i].name;
	return "word of thread 2";
}

static void start(void)
{
	for (uint32_t i = 0; i < OPS; i++)
		s.fiber[i].life.v = WF_LIFE_LIVE;
	for (uint32_t i = 0; i < THREADS; i++) {
		s.thread[i].open.v = 1;
		s.thread[i].is_free = 1;
	}
}

static void start_late(void)
{
	start();
	s.late = 1;
}

/* Fiber 0 is parked, and its operation with thread t's engine. */
static void place(uint32_t t)
{
	start();
	s.fiber[0].word.v = UINT64_C(1) << WF_SEQUENCE_SHIFT | WF_PARK_OP | WF_PARKED;
	s.op[0].ticket = wf_ticket_with(s.fiber[0].word.v, WF_PARKING);
	s.fiber[0].op_thread.v = s.op[0].at = t + 1;
}

static void start_stuck(void)
{
	place(0);
	s.thread[0].stuck = 1;
}

static void start_stuck_ready(void)
{
	start_stuck();
	s.op[1].arrived = 1;
}

static void start_stuck_again(void)
{
	start_stuck();
	s.again = 1;
}

/* Both fibers wait there. */
static void start_stuck_two(void)
{
	start_stuck();
	s.fiber[1].word.v = s.fiber[0].word.v;
	s.op[1] = s.op[0];
	s.op[1].fiber = s.current[1] = 1;
	s.fiber[1].op_thread.v = 1;
	s.fixed = 1;
}

/* A request for fiber 0 has been left at thread 0, and its operation is with thread 2, and over. */
static void start_left_behind(void)
{
	place(2);
	s.fiber[0].life.v |= WF_LIFE_CANCEL;
	s.fiber[0].boxed.v = s.thread[0].box.v = 1;
	s.op[0].arrived = s.again = s.runs_on = 1;
	s.thread[0].stuck = s.thread[0].wanted = 1;
	s.thread[1].bell = 1;
}

/* The rescue is on its way, and the worker back. */
static void start_back(void)
{
	place(0);
	s.thread[0].wanted = s.thread[0].bell = s.thread[1].bell = 1;
}

static void start_back_late(void)
{
	start_back();
	s.late = 1;
}

static void start_spare(void)
{
	place(1);
	s.retires = 2;
}

static void start_spare_ready(void)
{
	start_spare();
	s.op[0].arrived = 1;
}

static void start_spare_late(void)
{
	start_spare();
	s.late = 1;
}

static void start_spare_wanted(void)
{
	start_spare();
	s.thread[1].wanted = s.thread[0].bell = 1;
}

static const struct model_program programs[] = {
	{"a stuck worker, a rescuer, a cancel", start, 3,
		{{"worker 0", stuck_worker, 0}, {"worker 1", worker, 1}, {"cancel", canceller, 0}}},
	{"a stuck worker, a rescuer, a cancel, a late kernel", start_late, 4,
		{{"worker 0", stuck_worker, 0}, {"worker 1", worker, 1}, {"cancel", canceller, 0},
			{"kernel", kernel, 0}}},
	{"a worker that is back, a rescuer, a cancel", start_back, 3,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"cancel", canceller, 0}}},
	{"a worker that is back, a rescuer, a cancel, a late kernel", start_back_late, 4,
		{{"worker 0", worker, 0}, {"worker 1", worker, 1}, {"cancel", canceller, 0},
			{"kernel", kernel, 0}}},
	{"two operations, a rescuer", start, 2, {{"worker 0", parks_two, 0}, {"worker 1", worker, 1}}},
	{"a fiber is cancelled while another parks", start_stuck_ready, 3,
		{{"worker 0", parks_another, 0}, {"worker 1", worker, 1}, {"cancel", canceller, 0}}},
	{"a rescuer is stuck, another one, a cancel", start_stuck, 3,
		{{"worker 1", stuck_rescuer, 1}, {"worker 2", worker, 2}, {"cancel", canceller, 0}}},
	{"an operation ends, its fiber parks elsewhere, a cancel", start_stuck_again, 3,
		{{"worker 1", worker, 1}, {"sender", sender, 0}, {"cancel", canceller, 0}}},
	{"two fibers are cancelled", start_stuck_two, 3,
		{{"worker 1", worker, 1}, {"cancel 0", canceller, 0}, {"cancel 1", canceller, 1}}},
	{"a request stays where the operation was, its fiber parks there again", start_left_behind, 3,
		{{"worker 0", runs_what_is_woken, 0}, {"worker 1", worker, 1}, {"worker 2", ends_it, 2}}},
	{"a spare retires, a worker cancels", start_spare, 2,
		{{"worker 0", cancelling_worker, 0}, {"spare 1", retiring_spare, 1}}},
	{"a spare retires, a worker cancels, a late kernel", start_spare_late, 3,
		{{"worker 0", cancelling_worker, 0}, {"spare 1", retiring_spare, 1},
			{"kernel", kernel, 0}}},
	{"a spare retires, its operation can end", start_spare_ready, 2,
		{{"worker 0", worker, 0}, {"spare 1", retiring_spare, 1}}},
	{"a spare retires, a late rescuer, a cancel", start_spare_wanted, 3,
		{{"worker 0", worker, 0}, {"spare 1", retiring_spare, 1}, {"cancel", canceller, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
