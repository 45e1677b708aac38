/* SPDX-License-Identifier: MIT */
/* latch_model.c - a lock and the state it guards, in one word (LA1, LA2) over latch.h as shipped
 *
 * What     the state is a number of references. Some threads give theirs back under the latch, some by a compare-and-swap; whoever gives
 *          the last one back frees the word, or somebody else does who sees that none is left. latch.c is repeated, with one spin, and
 *          below it the kernel's part of a futex.
 * Law      one thread holds the latch; the state stays as it found it until it releases, and no change of it is lost. SLEEPERS is set only with
 *          HELD. Nobody sleeps for ever. After the word is free its memory is not touched: a late wake uses the address.
 * Switches each takes one step of latch.c out or weakens it, for mutants_sync.ini.
 */
#include "tests/model/watched.h"

/* Declared so first, they are each model's own. */
struct wf_latch;
static uint64_t wf_latch_slow(struct wf_latch *latch);
static void wf_latch_wake(struct wf_latch *latch);
#include "sched/base/latch.h"

#define ONE UINT64_C(4)
#define SLEEPERS_MAX 3

/* A futex: its sleepers in their order, each by the place it waits in. */
struct futex {
	uint32_t sleepers, sleeper[SLEEPERS_MAX];
	uint32_t taken[SLEEPERS_MAX]; /* places */
	uint32_t woken[SLEEPERS_MAX];
	uint32_t last_first; /* constant: the kernel wakes whom it likes */
	uint32_t alarms;     /* returns from the futex without a wake that are still to come */
};

static struct {
	wf_latch latch;
	struct futex futex;
	/* Notes. */
	uint64_t state; /* what it must be */
	uint32_t inside;
	uint32_t ended;
	uint32_t threads;  /* constant */
	uint32_t observed; /* constant: another thread frees the word */
	uint32_t freed;
} s;

_Static_assert(sizeof(s) % 8 == 0, "the explorer reads words");

/* All of the model's atomics lie in the word. */
static void touched(const void *at)
{
	(void)at;
	if (s.freed)
		model_fail("memory was touched after it was freed");
}

/* seam.h. */
static void wf_futex_wait(wf_latch *latch, uint32_t expected)
{
	struct futex *futex = &s.futex;
	model_step("the kernel compares");
	touched(latch);
#ifndef SLEEP_WITHOUT_COMPARE
	if ((uint32_t)latch->word.v != expected)
		return;
#endif
	uint32_t place = 0;
	while (futex->taken[place])
		place++;
	futex->taken[place] = 1;
	futex->sleeper[futex->sleepers++] = place;
	model_wait("sleeps", &futex->woken[place], &futex->alarms);
	for (uint32_t i = 0; !futex->woken[place] && i < futex->sleepers; i++) {
		if (futex->sleeper[i] != place)
			continue;
		for (futex->sleepers--; i < futex->sleepers; i++)
			futex->sleeper[i] = futex->sleeper[i + 1];
	}
	futex->taken[place] = futex->woken[place] = 0;
	futex->sleeper[futex->sleepers] = 0;
}

/* A freed address does no harm. */
static void wf_futex_wake(void)
{
	struct futex *futex = &s.futex;
	model_step("the kernel wakes one");
	if (futex->sleepers == 0)
		return;
	uint32_t last = --futex->sleepers;
	uint32_t at = futex->last_first ? last : 0;
	futex->woken[futex->sleeper[at]] = 1;
	for (; at < last; at++)
		futex->sleeper[at] = futex->sleeper[at + 1];
	futex->sleeper[last] = 0;
}

/* latch.c. */
static uint64_t wf_latch_slow(wf_latch *latch)
{
	/* One spin. rlx: the compare-and-swap decides. */
	uint64_t seen = wf_load_rlx64(&latch->word);
	if (!(seen & WF_LATCH_HELD) && wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_HELD))
		return seen;
	for (;;) {
		seen = wf_load_rlx64(&latch->word);
		if (!(seen & WF_LATCH_HELD)) {
#ifdef SLEEPER_TAKES_FOR_ITSELF
			uint64_t taken = seen | WF_LATCH_HELD;
#else
			uint64_t taken = seen | WF_LATCH_MASK;
#endif
#ifdef SLEEPER_TAKES_BY_STORE
			wf_store_rel64(&latch->word, taken);
			return seen;
#endif
			if (wf_cas_acq_rel64(&latch->word, &seen, taken))
				return seen;
			continue;
		}
#if defined(SLEEPERS_BY_OR)
		wf_or_sc64(&latch->word, WF_LATCH_SLEEPERS);
#elif defined(SLEEPERS_BY_STORE)
		wf_store_rel64(&latch->word, seen | WF_LATCH_SLEEPERS);
#elif defined(WITHOUT_SLEEPERS)
		wf_futex_wait(latch, (uint32_t)seen);
		continue;
#else
		if (!(seen & WF_LATCH_SLEEPERS) &&
			!wf_cas_acq_rel64(&latch->word, &seen, seen | WF_LATCH_SLEEPERS))
			continue;
#endif
		wf_futex_wait(latch, (uint32_t)(seen | WF_LATCH_SLEEPERS));
	}
}

static void wf_latch_wake(wf_latch *latch)
{
	(void)latch;
	wf_futex_wake(); /* LA2: its address only */
}

/* The threads. */

static void free_it(void)
{
	if (s.freed)
		model_fail("freed twice");
	s.freed = 1;
	s.latch.word.v = UINT64_MAX & ~WF_LATCH_MASK; /* what the next owner of the memory writes there */
}

/* The caller has given a reference back. */
static void gave_back(uint64_t state)
{
	if (state != 0 || s.observed)
		return;
	model_step("frees the word");
	free_it();
}

static uint64_t enter(void)
{
	uint64_t state = wf_latch_acquire(&s.latch);
	if (s.inside++ != 0)
		model_fail("two hold the latch");
	if (state != s.state)
		model_fail("the state is lost: %#llx for %#llx", (unsigned long long)state,
			(unsigned long long)s.state);
	return state;
}

static void leave(uint64_t found, uint64_t state)
{
	if ((wf_latch_peek(&s.latch) & ~WF_LATCH_MASK) != found)
		model_fail("the state was changed while the latch was held");
	s.inside--;
	s.state = state;
	wf_latch_release(&s.latch, state);
}

/* Gives references back under the latch, so many. */
static void holder(uint32_t references)
{
	for (; references > 0; references--) {
		uint64_t found = enter();
		leave(found, found - ONE);
		gave_back(found - ONE);
	}
	s.ended++;
}

/* Gives one back without the latch if it can. */
static void swapper(uint32_t unused)
{
	(void)unused;
	uint64_t seen = wf_latch_peek(&s.latch);
	uint64_t found = seen;
	while (!wf_latch_try(&s.latch, &seen, seen - ONE)) {
		if (seen & WF_LATCH_HELD) {
			holder(1);
			return;
		}
		found = seen;
	}
	if (s.inside != 0)
		model_fail("the state was changed while the latch was held");
	s.state = found - ONE;
	gave_back(found - ONE);
	s.ended++;
}

/* Frees the word when all references are gone. `looks_inside`: it comes once under the latch first. */
static void observer(uint32_t looks_inside)
{
	if (looks_inside) {
		uint64_t found = enter();
		leave(found, found);
	}
	/* Whether somebody holds the latch does not matter. */
	if ((wf_latch_peek(&s.latch) & ~WF_LATCH_MASK) == 0)
		free_it();
	s.ended++;
}

static void check(void)
{
	if ((s.latch.word.v & WF_LATCH_MASK) == WF_LATCH_SLEEPERS)
		model_fail("SLEEPERS without HELD");
}

static void finish(void)
{
	if (s.ended != s.threads)
		model_fail("sleeps for ever: %u of %u have ended", s.ended, s.threads);
	else if (s.state != 0)
		model_fail("the state ends at %#llx", (unsigned long long)s.state);
	else if (!s.freed && s.latch.word.v != 0)
		model_fail("the word ends at %#llx", (unsigned long long)s.latch.word.v);
	else if (!s.freed && !s.observed)
		model_fail("the word was not freed");
}

static const char *name(const void *at)
{
	return at == &s.latch.word ? "word" : "place";
}

static void start(uint64_t references, uint32_t threads)
{
	s.latch.word.v = s.state = references * ONE;
	s.threads = threads;
}

static void two(void)
{
	start(2, 2);
}

static void three(void)
{
	start(3, 3);
}

static void three_last_first(void)
{
	start(3, 3);
	s.futex.last_first = 1;
}

static void four(void)
{
	start(4, 3);
}

static void two_observed(void)
{
	start(2, 3);
	s.observed = 1;
}

static void three_early(void)
{
	start(3, 3);
	s.futex.alarms = 1;
}

static const struct model_program programs[] = {
	{"two threads", two, 2, {{"holder a", holder, 1}, {"holder b", holder, 1}}},
	{"a change without the latch", two, 2, {{"holder", holder, 1}, {"swapper", swapper, 0}}},
	{"three threads", three, 3,
		{{"holder a", holder, 1}, {"holder b", holder, 1}, {"holder c", holder, 1}}},
	{"three threads, the last sleeper is woken first", three_last_first, 3,
		{{"holder a", holder, 1}, {"holder b", holder, 1}, {"holder c", holder, 1}}},
	{"three threads, one does not take the latch", three, 3,
		{{"holder a", holder, 1}, {"holder b", holder, 1}, {"swapper", swapper, 0}}},
	{"three threads, two do not take the latch", three, 3,
		{{"holder", holder, 1}, {"swapper a", swapper, 0}, {"swapper b", swapper, 0}}},
	{"three threads, one comes twice", four, 3,
		{{"holder a", holder, 2}, {"holder b", holder, 1}, {"swapper", swapper, 0}}},
	{"two threads, an observer frees the word", two_observed, 3,
		{{"holder", holder, 1}, {"swapper", swapper, 0}, {"observer", observer, 0}}},
	{"two threads, a waiter frees the word", two_observed, 3,
		{{"holder", holder, 1}, {"swapper", swapper, 0}, {"waiter", observer, 1}}},
	{"three threads, a futex that returns early", three_early, 3,
		{{"holder a", holder, 1}, {"holder b", holder, 1}, {"holder c", holder, 1}}},
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
