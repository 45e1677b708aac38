/* SPDX-License-Identifier: MIT */
/* chan.h - a channel's inside: what send, receive and select do under its lock
 *
 * What     a ring of elements, and two lists: who waits to send, who waits to receive. The latch's word repeats what others may read
 *          without it: how many elements there are, whether it is closed, and who waits; so a call that would have to wait knows it by a
 *          load. An element goes straight to a waiting receiver; else into
 *          the ring; a receiver that makes room moves the first waiting sender's element in.
 * Rules    CH1 receivers wait only while the ring is empty and no sender waits; senders only while it is full, or, without a
 *             ring, while no receiver waits. So order is kept, and nobody overtakes.
 *          CH2 whoever serves a waiter wins its ticket first (W2 of wait.h), then copies, then says in the node how it went. All under
 *             the lock. Of a select it takes the other nodes on this channel off too, for the select does not come back to it.
 *          CH3 finishing (waking) comes after the unlock, which is the last access to the channel: whoever got the element may free it.
 *          CH4 where several channels are locked (select), by rising address, each once.
 *          CH5 a source is told before the channel is closed or freed, without the lock; when it returns, it touches the channel no more.
 * Order    LA-1 of latch.h; TK-1, TK-2 of ticket.h between the two sides of a rendezvous.
 * Tests    tests/sync/chan_test.cc, chan_go_test.cc, chan_stress_test.cc
 */
#ifndef WF_SCHED_SYNC_CHAN_H
#define WF_SCHED_SYNC_CHAN_H

#include <weft/chan.h>

#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

/* What feeds a channel by itself, if anything does: CH5. `release`: the channel is freed, and the source's memory with it. */
struct wf_source {
	void (*end)(struct wf_source *source, bool release);
};

struct weft_chan {
	wf_latch latch;
	size_t element_size, capacity; /* constant */
	struct wf_source *source;      /* constant; NULL: none */
	/* Under the latch. */
	bool closed;
	size_t count; /* elements in the ring */
	size_t head;  /* the oldest */
	wf_waiters senders, receivers;
	struct wf_waiter *last; /* while a select links its nodes: the last one on this channel */
	_Alignas(16) char ring[];
};

/* The word while nobody holds the latch: {count, RECEIVERS, SENDERS, CLOSED, the latch's two bits}. */
#define WF_CHAN_CLOSED UINT64_C(4)
#define WF_CHAN_SENDERS UINT64_C(8)
#define WF_CHAN_RECEIVERS UINT64_C(16)
#define WF_CHAN_COUNT_SHIFT 5

static inline void wf_chan_lock(weft_chan *chan)
{
	wf_latch_acquire(&chan->latch);
}

static inline void wf_chan_unlock(weft_chan *chan)
{
	wf_latch_release(&chan->latch,
		(uint64_t)chan->count << WF_CHAN_COUNT_SHIFT |
			(chan->receivers != NULL ? WF_CHAN_RECEIVERS : 0) |
			(chan->senders != NULL ? WF_CHAN_SENDERS : 0) |
			(chan->closed ? WF_CHAN_CLOSED : 0));
}

/* A waiter's kind. */
enum wf_side { WF_SEND, WF_RECEIVE };

static inline wf_waiters *wf_chan_list(weft_chan *chan, enum wf_side side)
{
	return side == WF_SEND ? &chan->senders : &chan->receivers;
}

/* With the lock held: 0, -EPIPE, or -EAGAIN: it would have to wait. *served: the waiter on the other side, won, to be finished
 * after the unlock; or NULL. */
int wf_chan_send_locked(weft_chan *chan, const void *element, struct wf_waiter **served);
int wf_chan_recv_locked(weft_chan *chan, void *element, struct wf_waiter **served);
/* With the lock held: would the call not wait? Waiters on the other side may still turn out to have given up. */
bool wf_chan_may_send_locked(const weft_chan *chan);
bool wf_chan_may_recv_locked(const weft_chan *chan);

WF_OWNER_CODE_END

#endif
