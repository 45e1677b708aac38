/* SPDX-License-Identifier: MIT */
/* join_model.c - the meeting of an ending fiber and its joiner (J1-J4, LF-1, LF-2) over fiber.h and ticket.h as shipped
 *
 * What     a child ends while a fiber joins it, is interrupted, gives up or parks again, and a third thread tries to detach the child.
 *          What stands in .c files is repeated: join.c (wf_join_finish, commit_join, withdraw, weft_join, weft_detach), and of park.c and
 *          switch.c what ticket_model.c checks on its own.
 * Law      the child's block is given away at most once, and touched by nobody afterwards; with a joiner or detacher that succeeds,
 *          exactly once. A joiner gives up only a child that has not ended, and never stays away when the child has.
 * Switches each takes one step of join.c out or weakens it, for mutants.ini.
 */
#include "sched/core/fiber.h"

#include "tests/model/explorer.h"

#define GENERATION 1u

static struct {
	struct wf_fiber child, joiner;
	/* Notes. */
	uint32_t queued;   /* the joiner is in a ready queue */
	uint32_t released; /* RELEASED is set in the child's life word */
	uint32_t ended;	   /* ENDED is */
	uint32_t given;	   /* how often the child's block was given away */
	uint32_t joined, gave_up, refused, detached;
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* What was just done was done to the child's block. */
static void touched(void)
{
	if (s.given != 0)
		model_fail("the child's block was touched after it was given away");
}

/* join.c: wf_fiber_recycle, as far as it counts here. */
static void give_away(void)
{
	model_step("gives the block away");
	if (s.given++ != 0)
		model_fail("the child's block was given away twice");
}

static void push_joiner(void)
{
	model_step("pushes the joiner");
	s.queued++;
}

static bool wake(uint64_t ticket, int code)
{
	if (!wf_ticket_win(&s.joiner.word, ticket))
		return false;
	s.joiner.wake_code = code;
	if (wf_ticket_done(&s.joiner.word, ticket) == WF_TICKET_PUSH)
		push_joiner();
	return true;
}

static void interrupt(void)
{
	for (;;) {
		uint64_t word = wf_load_sc64(&s.joiner.word);
		if ((wf_load_sc64(&s.joiner.life) & WF_LIFE_INTERRUPTS) == 0 ||
			wf_ticket_phase(word) != WF_PARKED || wake(word, 1))
			return;
	}
}

/* join.c: wf_join_finish. */
static void child(uint32_t unused)
{
	(void)unused;
#ifdef ENDED_BY_STORE
	uint64_t before = wf_load_sc64(&s.child.life);
	wf_store_rel64(&s.child.life, before | WF_LIFE_ENDED);
#else
	uint64_t before = wf_or_sc64(&s.child.life, WF_LIFE_ENDED); /* LF-1, LF-2 */
#endif
	s.ended = 1;
	touched();
	if (before & WF_LIFE_DETACHED) {
		give_away();
		return;
	}
	if (!(before & WF_LIFE_JOINER))
		return;
	model_step("reads the joiner's fields");
	touched();
	if (!wake(s.child.join_ticket, 0)) {
#ifndef WITHOUT_RELEASE
		wf_or_sc64(&s.child.life, WF_LIFE_RELEASED); /* J4 */
		s.released = 1;
		touched();
#endif
	}
}

/* join.c: commit_join. */
static bool commit_join(uint64_t ticket)
{
#ifndef FIELDS_AFTER_JOINER
	model_step("writes its fields");
	s.child.join_ticket = ticket;
#endif
	uint64_t life = wf_load_sc64(&s.child.life);
#if defined(JOINER_BY_STORE)
	if (life & WF_LIFE_ENDED)
		return false;
	wf_store_rel64(&s.child.life, life | WF_LIFE_JOINER);
#elif defined(JOINER_WITHOUT_LOOK)
	while (!wf_cas_sc64(&s.child.life, &life, life | WF_LIFE_JOINER))
		;
#else
	do {
		if (life & WF_LIFE_ENDED) /* LF-2 */
			return false;
	} while (!wf_cas_sc64(&s.child.life, &life, life | WF_LIFE_JOINER)); /* LF-1 */
#endif
#ifdef FIELDS_AFTER_JOINER
	model_step("writes its fields");
	s.child.join_ticket = ticket;
#endif
	return true;
}

/* park.c: wf_park; switch.c: commit_park; pick.c: resume. Returns the wake code. */
static int park(void)
{
	uint64_t ticket = wf_ticket_begin(&s.joiner.word, 0);
	bool parked;
	if (!commit_join(ticket)) {
		s.joiner.wake_code = 0;
		wf_store_rlx64(&s.joiner.word, wf_ticket_with(ticket, WF_READY));
		push_joiner();
	} else if (wf_ticket_commit(&s.joiner.word, ticket, &parked) == WF_TICKET_PUSH) {
		push_joiner();
	} else if (parked && (wf_load_sc64(&s.joiner.life) & WF_LIFE_INTERRUPTS)) {
		interrupt();
	}
	model_wait("the joiner is off its worker", &s.queued, NULL);
	s.queued = 0;
	int code = s.joiner.wake_code; /* plain: its winner has finished before it pushed */
	uint64_t word = wf_load_acq64(&s.joiner.word);
	wf_store_rlx64(&s.joiner.word, wf_ticket_with(word, WF_RUNNING));
	return code;
}

/* join.c: withdraw. */
static bool withdraw(uint64_t bits)
{
	uint64_t life = wf_load_sc64(&s.child.life);
#if defined(WITHDRAW_WITHOUT_LOOK)
	wf_and_sc64(&s.child.life, ~bits);
	if (s.ended)
		model_fail("a child that has ended was given up");
	return true;
#elif defined(WITHDRAW_BY_STORE)
	if (!(life & WF_LIFE_ENDED)) {
		wf_store_rel64(&s.child.life, life & ~bits);
		return true;
	}
#else
	while (!(life & WF_LIFE_ENDED))					     /* LF-2 */
		if (wf_cas_sc64(&s.child.life, &life, life & ~bits)) {
			if (s.ended)
				model_fail("a child that has ended was given up");
			return true;
		}
#endif
#ifndef WITHOUT_WAIT_FOR_RELEASE
	if ((life & WF_LIFE_JOINER) && !(life & WF_LIFE_RELEASED)) /* J4 */
		model_wait("waits for RELEASED", &s.released, NULL);
#endif
	return false;
}

static void finish_join(void)
{
	s.joined = 1;
	give_away();
}

/* park.c: wf_interrupted, where a deadline that was moved is forgotten. */
static bool cancelled(void)
{
	uint64_t life = wf_load_acq64(&s.joiner.life);
	if (life & WF_LIFE_LATE)
		wf_and_sc64(&s.joiner.life, ~WF_LIFE_LATE);
	return (life & WF_LIFE_CANCEL) != 0;
}

/* join.c: weft_join. */
static void joiner(uint32_t unused)
{
	(void)unused;
	uint64_t life;
#ifdef CLAIM_WITHOUT_LOOK
	uint64_t unless = 0;
#else
	uint64_t unless = WF_LIFE_CLAIMED | WF_LIFE_DETACHED;
#endif
	if (!wf_life_set(&s.child, GENERATION, WF_LIFE_CLAIMED, unless, &life)) {
		s.refused = 1; /* J1 */
		return;
	}
	for (;;) {
		bool error = cancelled();
		if (error && withdraw(WF_LIFE_CLAIMED)) {
			s.gave_up = 1;
			return;
		}
		if (error || (wf_load_sc64(&s.child.life) & WF_LIFE_ENDED)) { /* LF-2 */
			finish_join();
			return;
		}
		if (park() == 0 || !withdraw(WF_LIFE_JOINER)) {
			finish_join();
			return;
		}
	}
}

/* Sets CANCEL, or LATE for a deadline that has been moved since. */
static void interrupter(uint32_t bit)
{
	wf_or_sc64(&s.joiner.life, bit); /* WK-1.3 */
	interrupt();
}

/* join.c: weft_detach. */
static void detacher(uint32_t unused)
{
	(void)unused;
	uint64_t life;
	if (!wf_life_set(&s.child, GENERATION, WF_LIFE_DETACHED, WF_LIFE_CLAIMED | WF_LIFE_DETACHED, &life))
		return;
	s.detached = 1;
	if (life & WF_LIFE_ENDED)
		give_away();
}

static void finish(void)
{
	if (!s.joined && !s.gave_up && !s.refused)
		model_fail("the child has ended, and its joiner stays away");
	if ((s.joined || s.detached) && s.given == 0)
		model_fail("the child's block was never given away");
}

static const char *name(const void *at)
{
	return at == &s.child.life     ? "child's life"
		: at == &s.joiner.life ? "joiner's life"
		: at == &s.joiner.word ? "joiner's word"
				       : "word";
}

static void start(void)
{
	uint64_t life = (uint64_t)GENERATION << WF_GENERATION_SHIFT | WF_LIFE_LIVE;
	s.child.life.v = s.joiner.life.v = life;
}

static const struct model_program programs[] = {
	{"a join and an end", start, 2, {{"child", child, 0}, {"joiner", joiner, 0}}},
	{"a join, an end, a detach", start, 3,
		{{"child", child, 0}, {"joiner", joiner, 0}, {"detacher", detacher, 0}}},
	{"a join, an end, a cancel", start, 3,
		{{"child", child, 0}, {"joiner", joiner, 0}, {"canceller", interrupter, WF_LIFE_CANCEL}}},
	{"a join, an end, a late deadline", start, 3,
		{{"child", child, 0}, {"joiner", joiner, 0}, {"timer", interrupter, WF_LIFE_LATE}}},
	{"a join, an end, a cancel, a late deadline, a detach", start, 5,
		{{"child", child, 0}, {"joiner", joiner, 0}, {"canceller", interrupter, WF_LIFE_CANCEL},
			{"timer", interrupter, WF_LIFE_LATE}, {"detacher", detacher, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
