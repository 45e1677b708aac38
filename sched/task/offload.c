/* SPDX-License-Identifier: MIT */
/* offload.c - weft_offload: the pool, for the user's own work */
#include <errno.h>
#include <weft/offload.h>

#include "sched/core/credit.h"
#include "sched/core/misuse.h"
#include "sched/task/pool.h"

struct offload {
	weft_fn fn;
	void *arg;
	void *result;
};

static void run(void *arg)
{
	struct offload *offload = arg;
	offload->result = offload->fn(offload->arg);
}

int weft_offload(weft_fn fn, void *arg, void **result)
{
	struct wf_worker *w = wf_turn();
	if (fn == NULL)
		return -EINVAL;
	if (w == NULL)
		return wf_off_fiber();
	struct wf_fiber *fiber = w->current;
	struct offload offload = {.fn = fn, .arg = arg};
	int error;
	do {
		error = wf_interrupted(wf_self(), fiber);
		if (error == 0)
			error = wf_pool_run(run, &offload, WF_POOL_WHOLE);
	} while (error == -EINTR); /* interrupted before it began: the levels say why, or go on */
	if (error == 0 && result != NULL)
		*result = offload.result;
	return error;
}
