/* SPDX-License-Identifier: MIT */
/* ticket.h - the wake ticket: who may make a parked fiber ready, exactly once (laws 1 and 2)
 *
 * What     one 64-bit word a fiber: {sequence:56, flags:5, phase:3}. Every park has a new sequence number; a waker holds the
 *          number of the park it means, wins by one compare-and-swap, and only the winner may touch the fiber.
 * Phases   RUNNING    on a worker, or in a queue since it yielded
 *          PARKING    has left its worker's attention; its registers are saved, the commit function runs
 *          PARKED     published; wakers and interrupters may win
 *          WON        won during PARKING: the winner is still at work, the committer has not finished
 *          TAKEN      won, and the committer has finished: the winner makes it ready
 *          READY      in exactly one queue, or about to be pushed by whoever set it
 *          UNSTARTED  spawned and not started: whoever swaps it to RUNNING runs it; queue entries may be tombstones
 *          FREE       no fiber
 * Rules    T1 only the fiber's own thread of execution begins a park; the sequence grows by one each time and never goes back,
 *             not even when the control block is used again.
 *          T2 wf_ticket_win succeeds at most once a sequence number.
 *          T3 of committer and winner the last one pushes: WF_TICKET_PUSH is returned to exactly one of them.
 *          T4 after wf_ticket_done the winner never touches the fiber again.
 *          T5 interrupters (cancel, deadline, close) act only on PARKED; the committer looks at the interrupt bits after
 *             it has published PARKED (WK below), so none is lost.
 * Order    TK-1 park's PARKED (cas) -> win (cas): carries the fiber's saved registers and its wait nodes.
 *          TK-2 done's READY -> the committer's failed cas, and the fiber's own load when it runs again: carries the wake code and
 *               what the winner wrote into the fiber's memory.
 *          TK-3 the committer's TAKEN (cas) -> done's load, and so TK-2: what the commit function read of the fiber's memory comes before the
 *               fiber goes on and writes there.
 *          WK-1 (lost interrupt) two columns, each a seq_cst RMW on its own word, then a seq_cst load of the other's:
 *               fiber                                  interrupter
 *               WK-1.1 swap PARKING -> PARKED (word)   WK-1.3 or the interrupt bit (life word)
 *               WK-1.2 load the life word              WK-1.4 load the word; PARKED: win, or ask the ring's owner
 * Tests    tests/core/ticket_test.cc, tests/model/ticket_model.c (each step deleted in turn)
 */
#ifndef WF_SCHED_CORE_TICKET_H
#define WF_SCHED_CORE_TICKET_H

#include "sched/base/atomic.h"
#include "sched/base/sanitize.h"

WF_OWNER_CODE_BEGIN

enum wf_phase {
	WF_RUNNING = 0,
	WF_PARKING = 1,
	WF_PARKED = 2,
	WF_WON = 3,
	WF_TAKEN = 4,
	WF_READY = 5,
	WF_UNSTARTED = 6,
	WF_FREE = 7,
};
#define WF_PHASE_MASK UINT64_C(7)
/* Of a park. OP: in an operation of the I/O engine; interrupts go to the ring's owner. The masks say which interrupts
 * leave this park alone (shield, close, join of a dying child). */
#define WF_PARK_OP UINT64_C(8)
#define WF_PARK_NO_CANCEL UINT64_C(16)
#define WF_PARK_NO_LATE UINT64_C(32)
#define WF_PARK_NO_CLOSE UINT64_C(64)
#define WF_PARK_NO_SCOPE UINT64_C(128)
#define WF_PARK_DEAF (WF_PARK_NO_CANCEL | WF_PARK_NO_LATE | WF_PARK_NO_CLOSE | WF_PARK_NO_SCOPE)
#define WF_PARK_FLAGS (WF_PARK_OP | WF_PARK_DEAF)
#define WF_SEQUENCE_SHIFT 8

/* What the caller must do next. */
enum wf_ticket_act {
	WF_TICKET_NONE, /* nothing: somebody else will, or the fiber stays parked */
	WF_TICKET_PUSH, /* push the fiber to a ready queue */
};

static inline enum wf_phase wf_ticket_phase(uint64_t word)
{
	return (enum wf_phase)(word & WF_PHASE_MASK);
}

static inline uint64_t wf_ticket_sequence(uint64_t word)
{
	return word >> WF_SEQUENCE_SHIFT;
}

/* The word of the same park in another phase. */
static inline uint64_t wf_ticket_with(uint64_t word, enum wf_phase phase)
{
	return (word & ~WF_PHASE_MASK) | (uint64_t)phase;
}

/* Begins a park, by the fiber itself. Returns the ticket (the word in phase PARKING). */
static inline uint64_t wf_ticket_begin(wf_a64 *word, uint64_t flags)
{
	/* rlx: only the fiber writes while RUNNING; PARKING is seen by others through what the commit publishes. */
	uint64_t sequence = wf_ticket_sequence(wf_load_rlx64(word)) + 1;
	uint64_t ticket = sequence << WF_SEQUENCE_SHIFT | flags | WF_PARKING;
	wf_store_rlx64(word, ticket); /* rlx: as above */
	return ticket;
}

/* The committer, after its commit function has published the wait: PARKING -> PARKED, or the push if a winner came first and
 * has finished. *parked says whether PARKED was reached, and so whether WK-1.2 must follow. */
static inline enum wf_ticket_act wf_ticket_commit(wf_a64 *word, uint64_t ticket, bool *parked)
{
	uint64_t seen = ticket;
	/* TK-1, WK-1.1 */
	*parked = wf_cas_sc64(word, &seen, wf_ticket_with(ticket, WF_PARKED));
	if (*parked)
		return WF_TICKET_NONE;
	if (wf_ticket_phase(seen) == WF_WON &&
		wf_cas_sc64(word, &seen, wf_ticket_with(ticket, WF_TAKEN))) /* T3: the winner pushes */
		return WF_TICKET_NONE;
	return WF_TICKET_PUSH; /* READY: the winner has finished before (TK-2) */
}

/* A waker that holds `ticket`. True: won; the fiber stays off the queues until wf_ticket_done. */
static inline bool wf_ticket_win(wf_a64 *word, uint64_t ticket)
{
	uint64_t seen = wf_load_acq64(word); /* TK-1; the cas decides */
	for (;;) {
		if ((seen ^ ticket) & ~WF_PHASE_MASK)
			return false; /* another park: this waker is stale */
		enum wf_phase phase = wf_ticket_phase(seen);
		if (phase != WF_PARKED && phase != WF_PARKING)
			return false;
		enum wf_phase next = phase == WF_PARKED ? WF_TAKEN : WF_WON;
		if (wf_cas_sc64(word, &seen, wf_ticket_with(ticket, next))) /* TK-1 */
			return true;
	}
}

/* For a park that only its own committer may end, later, and nobody else may win: an operation's completion. True: the fiber is the
 * caller's to push. */
static inline bool wf_ticket_end(wf_a64 *word, uint64_t ticket)
{
	/* rlx: this thread has written PARKED itself; who asks for an interrupt does not write here (T5). */
	if (wf_load_rlx64(word) != wf_ticket_with(ticket, WF_PARKED))
		return false;
	wf_store_rel64(word, wf_ticket_with(ticket, WF_READY)); /* TK-2, by the only one who may */
	return true;
}

/* The winner has finished with the fiber. */
static inline enum wf_ticket_act wf_ticket_done(wf_a64 *word, uint64_t ticket)
{
	uint64_t seen = wf_load_acq64(word); /* TK-3; WON is decided by the cas below */
	if (wf_ticket_phase(seen) == WF_WON &&
		wf_cas_sc64(word, &seen, wf_ticket_with(ticket, WF_READY))) /* TK-2: the committer pushes */
		return WF_TICKET_NONE;
	wf_store_rel64(word, wf_ticket_with(ticket, WF_READY)); /* TK-2 */
	return WF_TICKET_PUSH;
}

WF_OWNER_CODE_END

#endif
