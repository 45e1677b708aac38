/* SPDX-License-Identifier: MIT */
/* chan.c - channels; see chan.h */
#include "sched/sync/chan.h"

#include <errno.h>
#include <string.h>

#include "sched/base/alloc.h"

WF_OWNER_CODE_BEGIN

static void copy(const weft_chan *chan, void *to, const void *from)
{
	if (chan->element_size > 0)
		memcpy(to, from, chan->element_size);
}

/* The n-th element from the oldest. */
static void *slot(weft_chan *chan, size_t n)
{
	size_t at = chan->head + n;
	if (at >= chan->capacity)
		at -= chan->capacity;
	return chan->ring + at * chan->element_size;
}

/* CH2: a waiter that was won. */
static void settle(weft_chan *chan, struct wf_waiter *waiter, int status)
{
	waiter->status = status;
	if (waiter->fired == NULL)
		return;
	*waiter->fired = waiter;
	for (struct wf_waiter *at = waiter->sibling; at != waiter; at = at->sibling)
		if (wf_waiter_linked(at))
			wf_waiters_remove(wf_chan_list(chan, (enum wf_side)at->kind), at);
}

bool wf_chan_may_send_locked(const weft_chan *chan)
{
	return chan->closed || chan->receivers != NULL || chan->count < chan->capacity;
}

bool wf_chan_may_recv_locked(const weft_chan *chan)
{
	return chan->closed || chan->senders != NULL || chan->count > 0;
}

int wf_chan_send_locked(weft_chan *chan, const void *element, struct wf_waiter **served)
{
	*served = NULL;
	if (chan->closed)
		return -EPIPE;
	struct wf_waiter *receiver = wf_waiters_win_first(&chan->receivers); /* CH2 */
	if (receiver != NULL) {
		copy(chan, receiver->data, element);
		settle(chan, receiver, 0);
		*served = receiver;
		return 0;
	}
	if (chan->count == chan->capacity)
		return -EAGAIN;
	copy(chan, slot(chan, chan->count++), element);
	return 0;
}

int wf_chan_recv_locked(weft_chan *chan, void *element, struct wf_waiter **served)
{
	*served = NULL;
	if (chan->count == 0) {
		struct wf_waiter *sender = wf_waiters_win_first(&chan->senders); /* CH2 */
		if (sender == NULL)
			return chan->closed ? -EPIPE : -EAGAIN;
		copy(chan, element, sender->data);
		settle(chan, sender, 0);
		*served = sender;
		return 0;
	}
	copy(chan, element, slot(chan, 0));
	chan->head = chan->head + 1 == chan->capacity ? 0 : chan->head + 1;
	struct wf_waiter *sender = wf_waiters_win_first(&chan->senders); /* CH2 */
	if (sender == NULL) {
		chan->count--;
		return 0;
	}
	copy(chan, slot(chan, chan->count - 1), sender->data);
	settle(chan, sender, 0);
	*served = sender;
	return 0;
}

int weft_chan_new(weft_chan **out, size_t element_size, size_t capacity)
{
	if (out == NULL)
		return -EINVAL;
	*out = NULL;
	size_t bytes;
	if (__builtin_mul_overflow(element_size, capacity, &bytes) ||
		__builtin_add_overflow(bytes, sizeof(weft_chan), &bytes) || bytes > PTRDIFF_MAX)
		return -EINVAL;
	weft_chan *chan = wf_alloc(bytes);
	if (chan == NULL)
		return -ENOMEM;
	*chan = (weft_chan){.element_size = element_size, .capacity = capacity};
	*out = chan;
	return 0;
}

void weft_chan_free(weft_chan *chan)
{
	if (chan == NULL)
		return;
	if (chan->source != NULL)
		chan->source->end(chan->source, true); /* CH5 */
	wf_chan_lock(chan); /* CH3: the last user may just be on its way out */
	bool waited_for = chan->senders != NULL || chan->receivers != NULL;
	wf_chan_unlock(chan);
	if (waited_for)
		wf_fatal("weft_chan_free: somebody waits on the channel");
	wf_free(chan, sizeof(weft_chan) + chan->element_size * chan->capacity);
}

static bool is_valid(const weft_chan *chan, const void *element)
{
	return chan != NULL && (element != NULL || chan->element_size == 0);
}

struct wait {
	struct wf_wait wait;
	weft_chan *chan;
	enum wf_side side;
};

static int attempt_locked(weft_chan *chan, enum wf_side side, void *element, struct wf_waiter **served)
{
	return side == WF_SEND ? wf_chan_send_locked(chan, element, served)
			       : wf_chan_recv_locked(chan, element, served);
}

/* What the word alone says: the call would have to wait. At that moment it would have, also if the latch's holder is about to change it. */
static bool is_stuck(const weft_chan *chan, enum wf_side side)
{
	uint64_t seen = wf_latch_peek(&chan->latch);
	uint64_t count = seen >> WF_CHAN_COUNT_SHIFT;
	if (side == WF_SEND)
		return !(seen & (WF_CHAN_CLOSED | WF_CHAN_RECEIVERS)) && count >= chan->capacity;
	return !(seen & (WF_CHAN_CLOSED | WF_CHAN_SENDERS)) && count == 0;
}

static int attempt(weft_chan *chan, enum wf_side side, void *element)
{
	struct wf_waiter *served;
	if (is_stuck(chan, side))
		return -EAGAIN;
	wf_chan_lock(chan);
	int error = attempt_locked(chan, side, element, &served);
	wf_chan_unlock(chan);
	if (served != NULL)
		wf_waiter_finish(served, true); /* CH3 */
	return error;
}

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct wf_waiter *served;
	wf_chan_lock(w->chan);
	int status = attempt_locked(w->chan, w->side, wait->node.data, &served);
	if (status == -EAGAIN)
		wf_waiters_append(wf_chan_list(w->chan, w->side), &wait->node);
	else
		wait->node.status = status;
	wf_chan_unlock(w->chan);
	if (served != NULL)
		wf_waiter_finish(served, true);
	return status == -EAGAIN;
}

static enum wf_wait_kind kind_of(const weft_chan *chan, enum wf_side side)
{
	if (side == WF_SEND)
		return WF_WAITS_SEND;
	return chan->source == NULL ? WF_WAITS_RECEIVE : WF_WAITS_SIGNAL;
}

static int transfer(weft_chan *chan, enum wf_side side, void *element)
{
	if (!is_valid(chan, element))
		return -EINVAL;
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0)
			return error;
		error = attempt(chan, side, element);
		if (error != -EAGAIN)
			return error;
		struct wait w;
		w.wait.publish = publish;
		w.wait.deadline = WEFT_FOREVER;
		w.wait.kind = kind_of(chan, side);
		w.wait.object = chan;
		w.wait.node.fired = NULL;
		w.wait.node.data = element;
		w.chan = chan;
		w.side = side;
		if (wf_wait(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return w.wait.node.status;
		wf_chan_lock(chan); /* W4 */
		if (wf_waiter_linked(&w.wait.node))
			wf_waiters_remove(wf_chan_list(chan, side), &w.wait.node);
		wf_chan_unlock(chan);
	}
}

int weft_chan_send(weft_chan *chan, const void *element)
{
	return transfer(chan, WF_SEND, (void *)element);
}

int weft_chan_recv(weft_chan *chan, void *element)
{
	return transfer(chan, WF_RECEIVE, element);
}

int weft_chan_try_send(weft_chan *chan, const void *element)
{
	return is_valid(chan, element) ? attempt(chan, WF_SEND, (void *)element) : -EINVAL;
}

int weft_chan_try_recv(weft_chan *chan, void *element)
{
	return is_valid(chan, element) ? attempt(chan, WF_RECEIVE, element) : -EINVAL;
}

/* Everyone on the list gets -EPIPE. */
static void end_all_locked(weft_chan *chan, wf_waiters *list, struct wf_wakes *wakes)
{
	struct wf_waiter *waiter;
	while ((waiter = wf_waiters_win_first(list)) != NULL) {
		settle(chan, waiter, -EPIPE);
		wf_wakes_add(wakes, waiter);
	}
}

int weft_chan_close(weft_chan *chan)
{
	if (chan == NULL)
		return -EINVAL;
	struct wf_wakes wakes = {NULL, NULL};
	if (chan->source != NULL)
		chan->source->end(chan->source, false); /* CH5 */
	wf_chan_lock(chan);
	int error = chan->closed ? -EPIPE : 0;
	chan->closed = true;
	end_all_locked(chan, &chan->senders, &wakes);
	end_all_locked(chan, &chan->receivers, &wakes);
	wf_chan_unlock(chan);
	wf_wakes_finish(&wakes);
	return error;
}

size_t weft_chan_len(const weft_chan *chan)
{
	return chan == NULL ? 0 : wf_latch_peek(&chan->latch) >> WF_CHAN_COUNT_SHIFT;
}

size_t weft_chan_cap(const weft_chan *chan)
{
	return chan == NULL ? 0 : chan->capacity;
}

WF_OWNER_CODE_END
