/* SPDX-License-Identifier: MIT */
/* dump_stack.c - the backtrace of any fiber, while everything runs; see dump.h */
#include <string.h>

#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/core/context_registers.h"
#include "sched/obs/dump.h"
#include "sched/task/resumed.h"

#define TRIES 3
#define STRANDS 8 /* generators inside each other that are shown */

/* Reads a stack by pages, each once. */
static bool read_stack(void *context, uintptr_t address, void *buffer, size_t size)
{
	struct wf_dump *dump = context;
	const size_t bytes = sizeof(dump->page[0].bytes);
	uintptr_t page = address - address % bytes;
	struct wf_dump_page *held = &dump->page[page / bytes % 4];
	if (page == 0 || size > bytes - address % bytes)
		return wf_peek((const void *)address, buffer, size);
	if (held->address != page) {
		held->address = 0;
		if (!wf_peek((const void *)page, held->bytes, bytes))
			return false;
		held->address = page;
	}
	memcpy(buffer, held->bytes + address % bytes, size);
	return true;
}

static void forget_pages(struct wf_dump *dump)
{
	for (size_t i = 0; i < sizeof(dump->page) / sizeof(dump->page[0]); i++)
		dump->page[i].address = 0;
}

static void walk(struct wf_dump *dump, struct wf_registers *registers, const char *heading)
{
	const void *pc[WF_DUMP_FRAMES];
	size_t count = wf_unwind_like(
		registers, read_stack, dump, &dump->memo, pc, WF_DUMP_FRAMES - dump->frames);
	for (size_t i = 0; i < count; i++)
		dump->frame[dump->frames++] =
			(struct wf_dump_frame){pc[i], i == 0, i == 0 ? heading : NULL};
}

static void walk_from(struct wf_dump *dump, const void *sp, const char *heading)
{
	struct wf_registers registers;
	if (wf_registers_of_context(&registers, sp, read_stack, dump))
		walk(dump, &registers, heading);
}

/* The stacks that a fiber stands on, the innermost first. */
static void walk_strands(struct wf_dump *dump, const struct wf_fiber *block, const struct wf_host *host)
{
	const struct wf_strand *own = (const struct wf_strand *)((const char *)block->frame +
		offsetof(struct wf_frame, host.own));
	struct wf_resumed resumed = wf_resumed_first(host, own);
	walk_from(dump, block->sp, NULL);
	for (int i = 0; i < STRANDS; i++) {
		wf_resumed_next(&resumed, host, own);
		if (resumed.at == NULL)
			return;
		walk_from(dump, resumed.sp,
			resumed.by_generator ? "in a generator; resumed by:"
					     : "in a coroutine; its main coroutine:");
	}
}

/* Of a fiber that does not run. */
static bool walk_saved(struct wf_dump *dump, const struct wf_view *view)
{
	struct wf_fiber block;
	struct wf_frame frame;
	if (!wf_peek(view->fiber, &block, sizeof(block)) || block.frame == NULL ||
		!wf_peek(block.frame, &frame, sizeof(frame)))
		return false;
	forget_pages(dump);
	dump->frames = 0;
	walk_strands(dump, &block, &frame.host);
	return true;
}

static const struct wf_fiber *current_of(const struct wf_worker *w)
{
	const struct wf_fiber *fiber;
	return wf_peek(&w->current, &fiber, sizeof(fiber)) ? fiber : NULL;
}

uint32_t wf_dump_worker_of(struct wf_runtime *rt, const struct wf_fiber *fiber)
{
	uint32_t reach = wf_reach(rt);
	for (uint32_t i = 0; i < reach; i++)
		if (current_of(&rt->worker[i]) == fiber)
			return i;
	return UINT32_MAX;
}

/* Of one in a queue: nothing was switched to meanwhile. */
static bool walk_queued(struct wf_dump *dump, struct wf_runtime *rt, const struct wf_view *view)
{
	uint64_t runs = wf_all_runs(rt);
	return wf_dump_worker_of(rt, view->fiber) == UINT32_MAX && walk_saved(dump, view) &&
		wf_dump_worker_of(rt, view->fiber) == UINT32_MAX && wf_all_runs(rt) == runs &&
		wf_load_sc64(&view->fiber->word) == view->word;
}

static __attribute__((noinline)) void walk_here(struct wf_dump *dump)
{
	struct wf_registers registers;
	wf_registers_here(&registers);
	forget_pages(dump);
	dump->frames = 0;
	walk(dump, &registers, NULL);
}

/* Of one in its own code: its thread is asked. */
static bool walk_running(
	struct wf_dump *dump, struct wf_runtime *rt, uint32_t worker, const struct wf_fiber *fiber)
{
	struct wf_worker *w = &rt->worker[worker];
	if (fiber == wf_current()) {
		walk_here(dump);
		return true;
	}
	uint64_t runs = wf_load_acq64(&w->counter[WF_RUNS]);
	if (current_of(w) != fiber)
		return false;
	dump->looked = wf_look_at_thread(w->thread, &dump->look, WF_LOOK_LONG_PATIENCE_NS);
	if (!dump->looked || dump->look.runs != runs) {
		dump->silent = !dump->looked && current_of(w) == fiber &&
			wf_load_acq64(&w->counter[WF_RUNS]) == runs;
		dump->looked = false;
		return false;
	}
	dump->frames = 0;
	for (uint32_t i = 0; i < dump->look.count && i < WF_DUMP_FRAMES; i++)
		dump->frame[dump->frames++] = (struct wf_dump_frame){dump->look.pc[i], i == 0, NULL};
	return true;
}

static bool walk_once(struct wf_dump *dump, const struct wf_view *view)
{
	if (view->waits)
		return walk_saved(dump, view) && wf_view_holds(view);
	if (view->state != WF_VIEW_READY && view->state != WF_VIEW_RUNNING)
		return false;
	struct wf_runtime *rt = wf_runtime_hold(view->rt->slot);
	if (rt == NULL)
		return false;
	uint32_t worker = wf_dump_worker_of(rt, view->fiber);
	bool found = worker != UINT32_MAX ? walk_running(dump, rt, worker, view->fiber)
					  : walk_queued(dump, rt, view);
	wf_runtime_let(rt);
	return found;
}

enum wf_dump_found wf_dump_stack(struct wf_dump *dump, struct wf_view *view)
{
	dump->silent = false;
	for (int i = 0; i < TRIES && !dump->silent; i++) {
		dump->looked = false;
		if (walk_once(dump, view))
			return WF_DUMP_FOUND;
		dump->frames = 0;
		if (!wf_view_take(view->index, view->rt, view))
			return WF_DUMP_GONE;
		if (view->state == WF_VIEW_UNSTARTED || view->state == WF_VIEW_ENDED)
			return WF_DUMP_NOT_FOUND;
	}
	return WF_DUMP_NOT_FOUND;
}
