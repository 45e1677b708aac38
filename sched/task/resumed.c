/* SPDX-License-Identifier: MIT */
/* resumed.c - see resumed.h */
#include "sched/task/resumed.h"

#include "sched/base/peek.h"
#include "sched/task/gen.h"

struct wf_resumed wf_resumed_first(const struct wf_host *host, const struct wf_strand *own)
{
	return (struct wf_resumed){.at = host->strand != NULL ? host->strand : own};
}

void wf_resumed_next(struct wf_resumed *resumed, const struct wf_host *host, const struct wf_strand *own)
{
	struct wf_strand strand;
	struct weft_gen gen;
	const struct wf_strand *at = resumed->at;
	resumed->at = NULL;
	if (at == own || !wf_peek(at, &strand, sizeof(strand)))
		return;
	const struct weft_gen *around =
		(const struct weft_gen *)((const char *)at - offsetof(struct weft_gen, strand));
	if (around == host->gen)
		resumed->entry = strand.entry;
	resumed->by_generator = resumed->entry != NULL && strand.entry == resumed->entry &&
		wf_peek(around, &gen, sizeof(gen));
	const struct wf_strand *next = resumed->by_generator ? gen.resumer : own;
	if (next == NULL || !wf_peek(next, &strand, sizeof(strand)))
		return;
	resumed->at = next;
	resumed->sp = strand.sp;
}
