/* SPDX-License-Identifier: MIT */
/* ticker.c - weft_ticker: a channel that time sends on
 *
 * What     a small fiber that sleeps and tries to send. It owns nothing: channel and handle are the ticker's, and the ticker outlives it.
 * Tests    tests/sync/ticker_test.cc
 */
#include <errno.h>
#include <weft/chan.h>
#include <weft/fiber.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/core/misuse.h"

struct weft_ticker {
	weft_chan *chan;
	weft_fiber *fiber;
	weft_ns first, period;
};

static void *tick(void *arg)
{
	const struct weft_ticker *ticker = arg;
	weft_ns due = ticker->first;
	while (weft_sleep_until(due) == 0) {
		weft_chan_try_send(ticker->chan, &due); /* full: this tick is dropped */
		if (ticker->period == 0 || __builtin_add_overflow(due, ticker->period, &due))
			break;
		/* Of several that are past already only the last comes. */
		weft_ns now = weft_now();
		if (due < now) {
			uint64_t period = (uint64_t)ticker->period;
			uint64_t past = ((uint64_t)now - (uint64_t)due) / period;
			due = (weft_ns)((uint64_t)due + past * period);
		}
	}
	weft_chan_close(ticker->chan);
	return NULL;
}

int weft_ticker_new(weft_ticker **out, weft_ns first, weft_ns period)
{
	if (out != NULL)
		*out = NULL;
	if (out == NULL || period < 0)
		return -EINVAL;
	if (weft_self() == NULL)
		return wf_off_fiber();
	struct weft_ticker *ticker = wf_alloc(sizeof(*ticker));
	if (ticker == NULL)
		return -ENOMEM;
	*ticker = (struct weft_ticker){.first = first, .period = period};
	int error = weft_chan_new(&ticker->chan, sizeof(weft_ns), 1);
	if (error == 0) {
		weft_attr attr = {.name = "ticker", .flags = WEFT_SMALL};
		error = weft_spawn_attr(&ticker->fiber, &attr, tick, ticker);
	}
	if (error == 0) {
		*out = ticker;
		return 0;
	}
	weft_chan_free(ticker->chan);
	wf_free(ticker, sizeof(*ticker));
	return error;
}

weft_chan *weft_ticker_chan(const weft_ticker *ticker)
{
	return ticker == NULL ? NULL : ticker->chan;
}

void weft_ticker_free(weft_ticker *ticker)
{
	if (ticker == NULL)
		return;
	if (weft_self() == NULL && weft_cancel(ticker->fiber) != -ESRCH)
		wf_fatal("weft_ticker_free: off a fiber, and the ticker's runtime still runs");
	/* Its fiber must be gone before what it uses; it ends at once, so the wait may stand outside all deadlines. */
	bool shield = weft_shield(true);
	weft_ns deadline = weft_deadline(WEFT_FOREVER);
	weft_cancel(ticker->fiber);
	weft_join(ticker->fiber, NULL);
	weft_deadline(deadline);
	weft_shield(shield);
	weft_chan_free(ticker->chan);
	wf_free(ticker, sizeof(*ticker));
}
