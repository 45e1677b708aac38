/* SPDX-License-Identifier: MIT */
/* inside_obs.c - see inside_obs.h */
#include "tests/obs/inside_obs.h"

#include <stdio.h>
#include <string.h>

#include "sched/obs/deadlock.h"

static void convert(const struct wf_view *view, struct inside_sight *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", view->name);
	snprintf(out->state, sizeof(out->state), "%s", wf_view_state_word(view->state));
	if (view->waits)
		wf_view_describe_wait(view, out->wait, sizeof(out->wait));
	out->since = view->since;
	out->deadline = view->deadline;
	out->waits = view->waits;
	out->on_strand = view->on_strand;
	const char *sp = view->sp;
	out->sp_in_stack = sp >= view->stack_low && sp < view->stack_high;
}

bool inside_view(const weft_fiber *fiber, struct inside_sight *out)
{
	struct wf_view view;
	uint64_t id = weft_id(fiber);
	if (!wf_view_take((uint32_t)id, NULL, &view) || view.id != id)
		return false;
	convert(&view, out);
	return true;
}

bool inside_view_index(uint32_t index, struct inside_sight *out)
{
	struct wf_view view;
	if (!wf_view_take(index, NULL, &view))
		return false;
	convert(&view, out);
	return true;
}

unsigned inside_cycles(void)
{
	unsigned found = 0;
	for (uint32_t i = 1; i < wf_fiber_table_size(); i++) {
		struct wf_view view;
		struct wf_cycle cycle;
		found += wf_view_take(i, NULL, &view) && view.waits && wf_cycle_find(&view, &cycle);
	}
	return found;
}

bool inside_standstill(weft_runtime *runtime)
{
	struct wf_standstill first, second;
	struct wf_runtime *rt = (struct wf_runtime *)runtime;
	return wf_standstill_look(rt, &first, NULL) && wf_standstill_look(rt, &second, NULL) &&
		wf_standstill_same(&first, &second);
}
