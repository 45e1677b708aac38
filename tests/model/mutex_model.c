/* SPDX-License-Identifier: MIT */
/* mutex_model.c - the mutex word (MX1-MX5, and W1-W4 of wait.h) over mutex.h and latch.h as shipped
 *
 * What     two or three threads lock and unlock; some may give up at any moment of their wait, one may only try. What stands in .c files is
 *          repeated in mutex_model.h.
 * Law      one holder at a time, and its own unlock alone ends that. Nobody waits for ever when no holder is left. While a woken waiter is on
 *          its way nobody else is woken (MX2), nobody who locks overtakes it when it has waited for long (MX5), and if it loses it is the
 *          first again (MX3). A lock that gives up leaves nothing behind. Whoever finds that it is the last user frees the mutex after
 *          its unlock: nobody touches it then, nor a waiter's node after its wait. A try that says busy has met a holder.
 */
#include "tests/model/mutex_model.h"

/* The threads. */

static uint64_t holder_of(uint32_t number)
{
	return number + 1;
}

/* With the mutex locked, once; then unlocks. `last_time`: the caller gives its reference to the mutex back. */
static void work(uint32_t number, bool last_time)
{
	if (s.inside++ != 0)
		model_fail("two hold the mutex");
	if (!wf_mutex_held_by(&s.mutex, holder_of(number)))
		model_fail("the mutex has another holder than the one inside");
	s.inside--;
	bool last = last_time && --s.references == 0;
	if (wf_mutex_unlock_as(&s.mutex, holder_of(number)) != 0)
		model_fail("the holder could not unlock");
	if (!last)
		return;
	model_step("frees the mutex");
	if (s.mutex.queue.latch.word.v != 0)
		model_fail("the word ends at %#llx", (unsigned long long)s.mutex.queue.latch.word.v);
	s.freed = 1;
	s.mutex.queue.latch.word.v = UINT64_MAX; /* what the next owner of the memory writes there */
}

/* {how often, number} */
#define TIMES(n, number) ((n) << 8 | (number))

static void locker(uint32_t argument)
{
	uint32_t number = argument & 255;
	for (uint32_t times = argument >> 8; times > 0; times--) {
		mutex_lock(number, holder_of(number) << WF_MUTEX_SHIFT);
		work(number, times == 1);
	}
	s.running--;
}

/* It may give up. Whoever unlocks last afterwards frees the mutex. */
static void patient(uint32_t number)
{
	if (mutex_lock_by(number, holder_of(number) << WF_MUTEX_SHIFT) == 0)
		work(number, true);
	else
		s.references--;
	s.running--;
}

static void trier(uint32_t number)
{
	model_step("begins to try");
	s.trying = 1;
	int error = mutex_trylock(&s.mutex, holder_of(number) << WF_MUTEX_SHIFT);
	s.trying = 0;
	if (error == 0)
		work(number, true);
	else if (!s.met_holder)
		model_fail("a try said busy, and nobody has held the mutex");
	else
		s.references--;
	s.running--;
}

/* Unlocks what it does not hold. */
static void stranger(uint32_t number)
{
	if (wf_mutex_unlock_as(&s.mutex, holder_of(number)) != -EPERM)
		model_fail("one who does not hold the mutex has unlocked it");
	s.references--;
	s.running--;
}

static void check(void)
{
	s.latch_free = !(s.mutex.queue.latch.word.v & WF_LATCH_HELD);
	if (s.trying && !s.freed && s.mutex.queue.latch.word.v > WF_MUTEX_BITS)
		s.met_holder = 1;
}

static void finish(void)
{
	if (s.running != 0)
		model_fail("waits for ever: %u are left, the word is %#llx", s.running,
			(unsigned long long)s.mutex.queue.latch.word.v);
	else if (!s.freed && s.mutex.queue.latch.word.v != 0)
		model_fail("the word ends at %#llx", (unsigned long long)s.mutex.queue.latch.word.v);
}

static const char *name(const void *at)
{
	return at == &s.mutex.queue.latch.word ? "mutex" : "waiter's word";
}

static void start(uint32_t threads, enum hand_over hand_over)
{
	s.running = s.references = threads;
	s.hand_over = hand_over;
}

/* Threads 0 and up may give up, so many of them, once each. */
static void start_with(enum hand_over hand_over, enum why why, uint32_t patient_threads)
{
	start(3, hand_over);
	s.why = why;
	for (uint32_t i = 0; i < patient_threads; i++)
		s.wait[i].alarms = 1;
}

static void two(void)
{
	start(2, NEVER);
}

static void two_handed(void)
{
	start(2, ALWAYS);
}

static void three(void)
{
	start(3, NEVER);
}

static void three_handed(void)
{
	start(3, ALWAYS);
}

static void three_handed_first(void)
{
	start(3, ONLY_FIRST);
}

static void three_handed_later(void)
{
	start(3, ALL_BUT_FIRST);
}

static void three_polite(void)
{
	start(3, NEVER);
	s.polite = 1;
}

static void late_polite(void)
{
	start_with(NEVER, LATE, 1);
	s.polite = 1;
}

static void late(void)
{
	start_with(NEVER, LATE, 1);
}

static void late_handed(void)
{
	start_with(ALWAYS, LATE, 1);
}

static void cancelled(void)
{
	start_with(NEVER, CANCELLED, 1);
}

static void cancelled_handed_later(void)
{
	start_with(ALL_BUT_FIRST, CANCELLED, 1);
}

static void nothing_in_force(void)
{
	start_with(NEVER, NOTHING_IN_FORCE, 1);
}

static void two_late(void)
{
	start_with(NEVER, LATE, 2);
}

static void two_cancelled_handed(void)
{
	start_with(ALWAYS, CANCELLED, 2);
}

#define LOCKS_A                                                                                    \
	{                                                                                          \
		"a", locker, TIMES(1, 0)                                                           \
	}
#define LOCKS_B                                                                                    \
	{                                                                                          \
		"b", locker, TIMES(1, 1)                                                           \
	}
#define LOCKS_C                                                                                    \
	{                                                                                          \
		"c", locker, TIMES(1, 2)                                                           \
	}
#define LOCKS_A_TWICE                                                                              \
	{                                                                                          \
		"a", locker, TIMES(2, 0)                                                           \
	}
#define LOCKS_B_TWICE                                                                              \
	{                                                                                          \
		"b", locker, TIMES(2, 1)                                                           \
	}
#define PATIENT_A                                                                                  \
	{                                                                                          \
		"patient a", patient, 0                                                            \
	}
#define PATIENT_B                                                                                  \
	{                                                                                          \
		"patient b", patient, 1                                                            \
	}
#define STRANGER_B                                                                                 \
	{                                                                                          \
		"stranger", stranger, 1                                                            \
	}
#define TRIER_B                                                                                    \
	{                                                                                          \
		"trier", trier, 1                                                                  \
	}

static const struct model_program programs[] = {
	{"two threads", two, 2, {LOCKS_A, LOCKS_B}},
	{"two threads, twice", two, 2, {LOCKS_A_TWICE, LOCKS_B_TWICE}},
	{"two threads, twice, handed over", two_handed, 2, {LOCKS_A_TWICE, LOCKS_B_TWICE}},
	{"a thread and a stranger", two, 2, {LOCKS_A_TWICE, STRANGER_B}},
	{"three threads", three, 3, {LOCKS_A, LOCKS_B, LOCKS_C}},
	{"three threads, handed over", three_handed, 3, {LOCKS_A, LOCKS_B, LOCKS_C}},
	{"three threads, first handed over", three_handed_first, 3, {LOCKS_A, LOCKS_B, LOCKS_C}},
	{"three threads, then handed over", three_handed_later, 3, {LOCKS_A, LOCKS_B, LOCKS_C}},
	{"three threads, politely", three_polite, 3, {LOCKS_A, LOCKS_B, LOCKS_C}},
	{"a late waiter", late, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"a late waiter, handed over", late_handed, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"a late waiter, politely", late_polite, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"a cancelled waiter", cancelled, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"a cancelled waiter, then handed over", cancelled_handed_later, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"a waiter with nothing in force", nothing_in_force, 3, {PATIENT_A, LOCKS_B, LOCKS_C}},
	{"two late waiters", two_late, 3, {PATIENT_A, PATIENT_B, LOCKS_C}},
	{"two cancelled waiters, handed over", two_cancelled_handed, 3, {PATIENT_A, PATIENT_B, LOCKS_C}},
	{"three threads, one twice", three, 3, {LOCKS_A_TWICE, LOCKS_B, LOCKS_C}},
	{"three threads, one twice, politely", three_polite, 3, {LOCKS_A_TWICE, LOCKS_B, LOCKS_C}},
	{"a try and a late waiter, politely", late_polite, 3, {PATIENT_A, TRIER_B, LOCKS_C}},
	{"a try among a late waiter and a thread", late, 3, {PATIENT_A, TRIER_B, LOCKS_C}},
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
