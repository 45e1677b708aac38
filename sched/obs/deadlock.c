/* SPDX-License-Identifier: MIT */
/* deadlock.c - see deadlock.h */
#include "sched/obs/deadlock.h"

#include <string.h>

#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/core/monitor.h"

/* DL4. */
#define SHARE 50
/* A part of the search for lock waiters, while the runtime goes on. */
#define PART_NS INT64_C(5000000)
/* So many blocks between two looks at the clock: 30 us or less. */
#define BLOCKS 64u
/* Who has waited for less is not looked at while others go on: if they soon stop, one report says all. And most waits are short. */
#define AGE_NS INT64_C(250000000)
/* Cycles that were reported are remembered: fewer mutexes than that are ever wrong at a time. */
#define CYCLES 16u

/* Of each runtime; its monitor's own. Tickets and ids are never used again, so what stands here of a former runtime in the slot is harmless. */
static struct watch {
	uint32_t witness; /* refuted the last standstill */
	uint32_t cursor;  /* the search for lock waiters goes on here */
	int64_t look_at;  /* DL4: not before */
	int64_t scan_at;
	struct wf_said said;
	uint64_t cycles[CYCLES];
	uint32_t cycle_count;
} watches[WF_RUNTIMES_MAX];

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a + UINT64_C(0x9E3779B97F4A7C15)) ^ b * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ x >> 30) * UINT64_C(0x94D049BB133111EB);
	return x ^ x >> 31;
}

/* The order does not matter: two looks may begin at different ones. */
static void add(struct wf_standstill *all, const struct wf_view *view)
{
	all->fibers++;
	all->tickets += mix(view->id, view->word);
	all->waits += mix(view->id, mix((uint64_t)view->kind, (uint64_t)(uintptr_t)view->object));
}

/* Standstill. */

static bool waits_among(const struct wf_view *view)
{
	return view->waits && view->deadline == WEFT_FOREVER && view->kind >= WF_WAITS_MUTEX &&
		view->kind <= WF_WAITS_AMONG_LAST;
}

WF_OWNER_CODE_BEGIN

static bool is_of(const struct wf_fiber *fiber, const struct wf_runtime *rt)
{
	return rt == NULL || fiber->rt == rt;
}

WF_OWNER_CODE_END

/* Live and of rt? */
static bool concerns(const struct wf_fiber *fiber, const struct wf_runtime *rt)
{
	uint64_t life = wf_load_sc64(&fiber->life);
	return (life & WF_LIFE_LIVE) && !(life & WF_LIFE_ENDED) && is_of(fiber, rt);
}

/* DL6. */
static bool is_over(const struct wf_runtime *rt, uint32_t index)
{
	return index % BLOCKS == 0 && !wf_monitor_all_sleep(rt);
}

/* False: it refutes the standstill. */
static bool look_at_fiber(uint32_t index, struct wf_runtime *rt, struct wf_standstill *found)
{
	struct wf_view view;
	uint64_t word = wf_load_sc64(&wf_fiber_at(index)->word);
	if (wf_ticket_phase(word) != WF_PARKED || (word & WF_PARK_OP))
		return false;
	if (!wf_view_take(index, rt, &view) || !waits_among(&view))
		return false;
	add(found, &view);
	return true;
}

bool wf_standstill_look(struct wf_runtime *rt, struct wf_standstill *found, uint32_t *witness)
{
	uint32_t size = wf_fiber_table_size();
	*found = (struct wf_standstill){0};
	if (witness != NULL && *witness != WF_NO_FIBER && *witness < size &&
		concerns(wf_fiber_at(*witness), rt) && !look_at_fiber(*witness, rt, found))
		return false;
	*found = (struct wf_standstill){0};
	for (uint32_t i = 1; i < size; i++) {
		bool over = witness != NULL && is_over(rt, i);
		if (!over && (!concerns(wf_fiber_at(i), rt) || look_at_fiber(i, rt, found)))
			continue;
		if (witness != NULL)
			*witness = over ? WF_NO_FIBER : i;
		return false;
	}
	return found->fibers > 0;
}

/* True: they stand still, and what was to be said is said. */
static bool look_at_all(struct wf_runtime *rt, struct watch *watch, int64_t now)
{
	int64_t before = wf_clock_of_thread();
	struct wf_standstill first, second;
	bool all = wf_standstill_look(rt, &first, &watch->witness) &&
		wf_standstill_look(rt, &second, &watch->witness) &&
		wf_standstill_same(&first, &second); /* DL1 */
	bool said = all && wf_deadlock_report_all(rt, &watch->said, &first, now);
	/* A report costs more than a look; but reports are few (DL3). */
	watch->look_at = said ? 0 : wf_clock_now() + (wf_clock_of_thread() - before) * SHARE;
	return all;
}

/* Cycles. */

bool wf_cycle_next(const struct wf_view *start, const struct wf_view *view, struct wf_view *next)
{
	if (!view->waits || view->deadline != WEFT_FOREVER)
		return false;
	if (view->kind == WF_WAITS_SCOPE && (const void *)start->child_of == view->object)
		return wf_view_take(start->index, NULL, next) && next->id == start->id && next->waits;
	uint64_t holder = wf_view_waits_for(view);
	return holder != 0 && wf_view_of_holder(holder, next) && next->waits;
}

/* DL5. */
bool wf_cycle_wait_is_final(const struct wf_view *view)
{
	return (view->word & WF_PARK_DEAF) == WF_PARK_DEAF &&
		(view->kind == WF_WAITS_MUTEX || view->kind == WF_WAITS_SCOPE);
}

/* Once around. False: there is no cycle through it now. */
static bool go_around(const struct wf_view *entry, struct wf_cycle *cycle)
{
	struct wf_view at, next;
	*cycle = (struct wf_cycle){.final = true};
	if (!wf_view_take(entry->index, NULL, &at) || at.id != entry->id || !at.waits)
		return false;
	cycle->first = at;
	uint64_t most = (uint64_t)wf_fiber_table_size();
	for (uint64_t i = 0; i < most; i++) {
		add(&cycle->all, &at);
		cycle->final = cycle->final && wf_cycle_wait_is_final(&at);
		if (!wf_cycle_next(entry, &at, &next))
			return false;
		if (next.id == entry->id)
			return true;
		at = next;
	}
	return false;
}

/* Brent's: what the way comes to twice is compared with a mark that is left further and further ahead. */
bool wf_cycle_find(const struct wf_view *start, struct wf_cycle *cycle)
{
	struct wf_view at = *start, next;
	uint64_t mark = start->id, steps = 0, limit = 1;
	uint64_t most = 4 * (uint64_t)wf_fiber_table_size();
	for (uint64_t i = 0; i < most; i++) {
		if (!wf_cycle_next(start, &at, &next))
			return false;
		at = next;
		if (at.id == mark || at.id == start->id)
			break;
		if (++steps == limit) {
			mark = at.id;
			steps = 0;
			limit *= 2;
		}
	}
	struct wf_cycle first;
	return go_around(&at, &first) && go_around(&at, cycle) &&
		wf_standstill_same(&first.all, &cycle->all); /* DL1, DL2 */
}

static bool is_known(const struct watch *watch, uint64_t tickets)
{
	uint32_t known = watch->cycle_count < CYCLES ? watch->cycle_count : CYCLES;
	for (uint32_t i = 0; i < known; i++)
		if (watch->cycles[i] == tickets)
			return true;
	return false;
}

static void look_at_lock_waiter(
	struct wf_runtime *rt, struct watch *watch, const struct wf_view *view, int64_t now)
{
	struct wf_cycle cycle;
	if (!wf_cycle_find(view, &cycle) || is_known(watch, cycle.all.tickets))
		return;
	watch->cycles[watch->cycle_count++ % CYCLES] = cycle.all.tickets;
	wf_deadlock_report_cycle(rt, &cycle, now);
}

WF_OWNER_CODE_BEGIN

static const uint32_t *kind_of(const struct wf_fiber *fiber)
{
	return fiber->frame != NULL ? &fiber->frame->wait_kind : NULL;
}

WF_OWNER_CODE_END

/* Mostly no; so the answer comes cheap. */
static bool may_wait_for_lock(const struct wf_fiber *fiber, const struct wf_runtime *rt)
{
	uint64_t word = wf_load_sc64(&fiber->word);
	if (wf_ticket_phase(word) != WF_PARKED || (word & WF_PARK_OP) || !concerns(fiber, rt))
		return false;
	const uint32_t *at = kind_of(fiber);
	uint32_t kind;
	return at != NULL && wf_peek(at, &kind, sizeof(kind)) &&
		wf_waits_for_lock((enum wf_wait_kind)kind);
}

static uint64_t lock_waiters(const struct wf_runtime *rt)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < wf_reach(rt); i++)
		sum += wf_load_rlx64(&rt->worker[i].lock_waiters); /* rlx: an estimate; a cycle's stay */
	return sum;
}

/* True: it was one, and looked at. */
static bool scan_fiber(struct wf_runtime *rt, struct watch *watch, uint32_t index, int64_t now, int64_t age)
{
	struct wf_view view;
	if (!may_wait_for_lock(wf_fiber_at(index), rt) || !wf_view_take(index, rt, &view) ||
		!view.waits || !wf_waits_for_lock(view.kind) || now - view.since < age)
		return false;
	look_at_lock_waiter(rt, watch, &view, now);
	return true;
}

/* Of the whole table, or (when the runtime goes on) of a part of it. */
static void scan(struct wf_runtime *rt, struct watch *watch, int64_t now, bool whole)
{
	int64_t before = wf_clock_of_thread();
	uint32_t size = wf_fiber_table_size();
	uint32_t at = whole || watch->cursor >= size ? 1 : watch->cursor;
	for (bool over = false; at < size && !over; at++) {
		bool look = scan_fiber(rt, watch, at, now, whole ? INT64_MIN : AGE_NS);
		over = (look || at % BLOCKS == 0) && wf_clock_of_thread() - before > PART_NS &&
			!(whole && wf_monitor_all_sleep(rt)); /* DL6 */
	}
	watch->cursor = at < size ? at : 1;
	watch->scan_at = wf_clock_now() + (wf_clock_of_thread() - before) * SHARE;
}

int64_t wf_deadlock_inspect(struct wf_runtime *rt, int64_t now, bool still)
{
	struct watch *watch = &watches[rt->slot];
	int64_t again = INT64_MAX;
	bool look = still && !wf_load_sc32(&rt->stopping) && !wf_runtime_quiet(rt);
	if (look && now < watch->look_at)
		again = watch->look_at;
	else if (look && look_at_all(rt, watch, now))
		return again;
	else if (look && watch->witness == WF_NO_FIBER) /* broken off: DL6 */
		again = watch->look_at;
	if (lock_waiters(rt) == 0)
		return again;
	int64_t begin = wf_clock_now();
	if (begin >= watch->scan_at)
		scan(rt, watch, begin, still);
	else if (still && watch->scan_at < again)
		again = watch->scan_at;
	return again;
}
