/* SPDX-License-Identifier: MIT */
/* ticket_model.c - the wake ticket (T1-T5, WK-1; laws 1 and 2) over ticket.h as shipped
 *
 * What     a fiber parks twice; wakers hold the ticket of a park, interrupters set a bit of its life word. The worker that commits the
 *          park is the fiber's own thread here. What stands in .c files is repeated: park.c (wf_park, wf_wake, wf_interrupt), switch.c
 *          (commit_park), pick.c (resume).
 * Law      every park is ended by exactly one push, which comes after its committer and its winner have finished. No ticket is won
 *          twice, and none of a park that is over. A fiber whose ticket was used or whose interrupt bit is set does not stay parked.
 * Switches WITHOUT_x leaves out a step of a .c file, LOOK_BEFORE_PARKED moves one; for mutants.ini.
 */
#include "sched/core/ticket.h"

#include "tests/model/explorer.h"

#define PARKS 2
#define INTERRUPT 1

static struct {
	wf_a64 word;
	wf_a64 life;
	wf_a64 ticket[PARKS]; /* what the commit function of each park has published */
	/* Notes. */
	uint32_t queued; /* the fiber is in a ready queue */
	uint32_t committing;
	uint32_t winners;	/* at work on the fiber */
	uint32_t wins[PARKS];	/* of each ticket */
	uint32_t current;	/* the park the fiber is in, or the next one */
	uint32_t parks;		/* constant: how many there are */
	uint32_t ended;		/* of them */
	uint32_t no_wakers;	/* constant: nobody but an interrupter ends a park */
	uint32_t interruptible; /* constant: the first park that heeds the bit */
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

static void push(void)
{
	model_step("push to a ready queue");
	if (s.queued)
		model_fail("pushed twice");
	if (s.committing)
		model_fail("pushed while its committer is still at work");
	if (s.winners != 0)
		model_fail("pushed while a winner is still at work");
	s.queued = 1;
}

/* park.c: wf_wake. */
static bool wake(uint64_t ticket, uint32_t park)
{
	if (!wf_ticket_win(&s.word, ticket))
		return false;
	if (++s.wins[park] > 1)
		model_fail("the ticket of park %u was won twice", park);
	if (park != s.current)
		model_fail("a stale waker won: its park %u is over", park);
	s.winners++;
	model_step("the winner touches the fiber");
	enum wf_ticket_act act = wf_ticket_done(&s.word, ticket);
	s.winners--;
	if (act == WF_TICKET_PUSH)
		push();
	return true;
}

/* park.c: wf_interrupt. */
static void interrupt(void)
{
	for (;;) {
		uint64_t word = wf_load_sc64(&s.word); /* WK-1.4 */
		if ((wf_load_sc64(&s.life) & INTERRUPT) == 0 || wf_ticket_phase(word) != WF_PARKED)
			return;
		if (wf_ticket_sequence(word) <= s.interruptible)
			return;
		if (wake(word, (uint32_t)wf_ticket_sequence(word) - 1))
			return;
	}
}

/* park.c and switch.c: wf_park, commit_park, and pick.c: resume. */
static void park(uint32_t number)
{
	s.current = number;
	s.committing = 1;
	uint64_t ticket = wf_ticket_begin(&s.word, 0);
	wf_store_rel64(&s.ticket[number], ticket); /* the commit function */
	bool parked;
#ifdef LOOK_BEFORE_PARKED
	uint64_t early = wf_load_sc64(&s.life);
#endif
	enum wf_ticket_act act = wf_ticket_commit(&s.word, ticket, &parked);
	s.committing = 0;
	if (act == WF_TICKET_PUSH)
		push();
#if defined(LOOK_BEFORE_PARKED)
	else if (parked && (early & INTERRUPT))
		interrupt();
#elif !defined(WITHOUT_LOOK_AFTER_PARKED)
	else if (parked && (wf_load_sc64(&s.life) & INTERRUPT)) /* WK-1.2 */
		interrupt();
#endif
	model_wait("the fiber is off its worker", &s.queued, NULL);
	s.queued = 0;
	if (s.winners != 0)
		model_fail("the fiber runs while a winner is still at work");
	s.ended++;
	uint64_t word = wf_load_acq64(&s.word); /* TK-1 */
	if (wf_ticket_phase(word) != WF_READY)
		model_fail("the fiber runs in phase %u", (unsigned)wf_ticket_phase(word));
	wf_store_rlx64(&s.word, wf_ticket_with(word, WF_RUNNING));
	s.current = number + 1;
}

static void fiber(uint32_t unused)
{
	(void)unused;
	for (uint32_t i = 0; i < s.parks; i++)
		park(i);
}

static void waker(uint32_t number)
{
	model_wait("the waker meets the ticket", (const uint32_t *)&s.ticket[number], NULL);
	wake(wf_load_acq64(&s.ticket[number]), number);
}

static void interrupter(uint32_t unused)
{
	(void)unused;
#ifdef WITHOUT_LIFE_RMW
	wf_store_rel64(&s.life, wf_load_rlx64(&s.life) | INTERRUPT);
#else
	wf_or_sc64(&s.life, INTERRUPT); /* WK-1.3 */
#endif
#ifndef WITHOUT_LOOK_AT_WORD
	interrupt();
#endif
}

static void finish(void)
{
	if (s.ended == s.parks)
		return;
	uint32_t at = s.ended;
	if (s.wins[at] != 0)
		model_fail("never pushed: park %u was won, and the fiber stays away", at);
	else if (s.no_wakers)
		model_fail("lost interrupt: the bit is set, and the fiber stays parked");
	else
		model_fail("lost wake: the ticket of park %u was used, and the fiber stays parked", at);
}

static const char *name(const void *at)
{
	return at == &s.word ? "word" : at == &s.life ? "life" : "published ticket";
}

static void one_park(void)
{
	s.parks = 1;
}

static void one_park_interrupted(void)
{
	s.parks = 1;
	s.no_wakers = 1;
}

static void two_parks(void)
{
	s.parks = 2;
}

/* The bit is never taken back, so that only the second park heeds it. */
static void two_parks_second_interrupted(void)
{
	s.parks = 2;
	s.no_wakers = 1;
	s.interruptible = 1;
}

static const struct model_program programs[] = {
	{"a park and an interrupt", one_park_interrupted, 2,
		{{"fiber", fiber, 0}, {"interrupter", interrupter, 0}}},
	{"a park and two wakers", one_park, 3,
		{{"fiber", fiber, 0}, {"waker 0a", waker, 0}, {"waker 0b", waker, 0}}},
	{"two parks, a late waker of the first", two_parks, 4,
		{{"fiber", fiber, 0}, {"waker 0a", waker, 0}, {"waker 0b", waker, 0},
			{"waker 1", waker, 1}}},
	{"two parks, the second is interrupted", two_parks_second_interrupted, 4,
		{{"fiber", fiber, 0}, {"waker 0a", waker, 0}, {"waker 0b", waker, 0},
			{"interrupter", interrupter, 0}}},
	{"two parks, two wakers each, an interrupt", two_parks, 5,
		{{"fiber", fiber, 0}, {"waker 0a", waker, 0}, {"waker 0b", waker, 0},
			{"waker 1", waker, 1}, {"interrupter", interrupter, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
