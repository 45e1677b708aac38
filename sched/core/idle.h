/* SPDX-License-Identifier: MIT */
/* idle.h - who searches, who sleeps, and whom a publisher wakes (law 3)
 *
 * What     a count of searching workers and a bitmap of sleeping ones. A publisher of work wakes one sleeper, unless
 *          somebody searches: a searcher re-checks everything before it sleeps, and the last searcher that finds work wakes
 *          the next.
 * Rejected one condition variable (a global lock at every idle moment); waking at every publish (6 us for the waker:
 *          LIMITS.md section 4).
 * Rules    I1 a bit of the bitmap is set by its worker only, and cleared by whoever takes it out of sleep: the waker, who then owes
 *             it exactly one interrupt, or the worker itself.
 *          I2 a worker taken out of sleep by a waker counts as searching: the waker has added one for it.
 *          I3 at most half of the workers search, rounded up, so that a search does not become a herd.
 *          I4 a worker that runs no fibers now (rescue.h) sleeps among the standers: whoever needs it by name finds it there (pushes to it,
 *             then ID-1.3), whoever has work for anybody does not, and it does not count as searching.
 * Order    ID-1 (lost wake-up) each side a seq_cst RMW on its own word, then seq_cst loads of the other's:
 *               publisher                                sleeper
 *               ID-1.1 publish: RMW on the queue's word  ID-1.4 leave searching: RMW searching
 *               ID-1.2 load searching; > 0: done         ID-1.5 announce: RMW the bitmap
 *               ID-1.3 load the bitmap; claim one bit    ID-1.6 load every queue; work: withdraw
 *               ID-1.7 a claim that fails takes its count
 *               back, and looks again if it was the only one
 *          A publisher that saw a searcher (ID-1.2) precedes that searcher's ID-1.4 and so its ID-1.6.
 * Tests    tests/model/idle_model.c (each step deleted in turn), tests/core/stress_test.cc
 */
#ifndef WF_SCHED_CORE_IDLE_H
#define WF_SCHED_CORE_IDLE_H

#include "sched/base/atomic.h"
#include "sched/base/limits.h"
#include "sched/base/sanitize.h"

#define WF_IDLE_WORDS ((WF_WORKERS_MAX + WF_SPARES_MAX + 63) / 64)

WF_OWNER_CODE_BEGIN

struct wf_idle {
	_Alignas(WF_CACHE_LINE) wf_a32 searching;
	uint32_t workers; /* constant */
	uint32_t spares;  /* places behind them; constant */
	_Alignas(WF_CACHE_LINE) wf_a64 sleepers[WF_IDLE_WORDS];
	_Alignas(WF_CACHE_LINE) wf_a64 standers[WF_IDLE_WORDS]; /* I4; I1 for these bits */
};

static inline uint32_t wf_idle_words(const struct wf_idle *idle)
{
	return (idle->workers + idle->spares + 63) / 64;
}

/* A worker out of work asks to search. False: enough do; it may sleep, by wf_idle_announce with searching = false. */
static inline bool wf_idle_search_begin(struct wf_idle *idle)
{
	/* rlx: a bound on effort, not a promise (I3). */
	if (wf_load_rlx32(&idle->searching) * 2 >= idle->workers)
		return false;
	wf_add_sc32(&idle->searching, 1);
	return true;
}

/* A searcher has found work. True: it was the last one, and must wake one more (a publisher may have relied on it). */
static inline bool wf_idle_search_found(struct wf_idle *idle)
{
	return wf_sub_sc32(&idle->searching, 1) == 1;
}

/* ID-1.4 and ID-1.5. The caller goes on with ID-1.6, and sleeps only if that finds nothing. */
static inline void wf_idle_announce(struct wf_idle *idle, uint32_t worker, bool searching)
{
	if (searching)
		wf_sub_sc32(&idle->searching, 1);				/* ID-1.4 */
	wf_or_sc64(&idle->sleepers[worker / 64], UINT64_C(1) << (worker % 64)); /* ID-1.5 */
}

/* The worker takes itself out of sleep. True: nobody had, it does not count as searching. False: a waker had (I2). */
static inline bool wf_idle_withdraw(struct wf_idle *idle, uint32_t worker)
{
	uint64_t bit = UINT64_C(1) << (worker % 64);
	return (wf_and_sc64(&idle->sleepers[worker / 64], ~bit) & bit) != 0;
}

static inline bool wf_idle_sleeps(const struct wf_idle *idle, uint32_t worker)
{
	uint64_t bits = wf_load_sc64(&idle->sleepers[worker / 64]) |
		wf_load_sc64(&idle->standers[worker / 64]);
	return (bits >> (worker % 64)) & 1;
}

/* ID-1.5 for a stander; ID-1.6 follows as ever. */
static inline void wf_idle_stand(struct wf_idle *idle, uint32_t worker)
{
	wf_or_sc64(&idle->standers[worker / 64], UINT64_C(1) << (worker % 64)); /* ID-1.5 */
}

/* Takes the worker out of the standers, by itself or by another. True: it was there; another owes it an interrupt then. */
static inline bool wf_idle_rouse(struct wf_idle *idle, uint32_t worker)
{
	uint64_t bit = UINT64_C(1) << (worker % 64);
	if ((wf_load_sc64(&idle->standers[worker / 64]) & bit) == 0) /* ID-1.3 */
		return false;
	return (wf_and_sc64(&idle->standers[worker / 64], ~bit) & bit) != 0;
}

/* A sleeping worker, or -1. */
static inline int wf_idle_find(const struct wf_idle *idle)
{
	for (uint32_t i = 0; i < wf_idle_words(idle); i++) {
		uint64_t bits = wf_load_sc64(&idle->sleepers[i]); /* ID-1.3 */
		if (bits != 0)
			return (int)(i * 64 + (uint32_t)__builtin_ctzll(bits));
	}
	return -1;
}

enum wf_claim { WF_CLAIMED, WF_CLAIM_LOST, WF_CLAIM_LOST_LAST };

/* I2: counted first, for the sleeper may run at once. A claim that fails takes its count back; LOST_LAST: it was the only one. */
static inline enum wf_claim wf_idle_claim(struct wf_idle *idle, uint32_t worker)
{
	uint64_t bit = UINT64_C(1) << (worker % 64);
	wf_add_sc32(&idle->searching, 1);
	if (wf_and_sc64(&idle->sleepers[worker / 64], ~bit) & bit)
		return WF_CLAIMED;
	return wf_sub_sc32(&idle->searching, 1) == 1 ? WF_CLAIM_LOST_LAST : WF_CLAIM_LOST;
}

/* After ID-1.1. Returns the worker to interrupt, or -1. */
static inline int wf_idle_claim_any(struct wf_idle *idle)
{
	for (;;) {
		if (wf_load_sc32(&idle->searching) != 0) /* ID-1.2 */
			return -1;
		int worker = wf_idle_find(idle);
		if (worker < 0)
			return -1;
		enum wf_claim claim = wf_idle_claim(idle, (uint32_t)worker);
		if (claim == WF_CLAIMED)
			return worker;
		if (claim == WF_CLAIM_LOST)
			return -1;
		/* ID-1.7: another publisher may have seen this count and left its work to a searcher that there never was. */
	}
}

/* Takes one given worker out of sleep. Returns the worker to interrupt, which may be another one (ID-1.7), or -1. */
static inline int wf_idle_claim_one(struct wf_idle *idle, uint32_t worker)
{
	uint64_t bit = UINT64_C(1) << (worker % 64);
	if ((wf_load_sc64(&idle->sleepers[worker / 64]) & bit) == 0) /* ID-1.3 */
		return -1;
	enum wf_claim claim = wf_idle_claim(idle, worker);
	if (claim == WF_CLAIMED)
		return (int)worker;
	return claim == WF_CLAIM_LOST_LAST ? wf_idle_claim_any(idle) : -1; /* ID-1.7 */
}

WF_OWNER_CODE_END

#endif
