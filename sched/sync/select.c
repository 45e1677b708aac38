/* SPDX-License-Identifier: MIT */
/* select.c - weft_select: the first of several operations that can be performed
 *
 * What     all channels are locked, in the order of their addresses; a ready case is drawn and performed, or a node of the call is put on
 *          the list of each. The nodes share one ticket: the partner that wins it performs that case, and the others find the ticket
 *          lost.
 * Rules    SL1 nodes are linked only in the commit function, after a look at all cases under all locks: a call never meets itself, and
 *             misses nothing.
 *          SL2 all nodes are unlinked before the call returns.
 *          SL3 a performed case's partner is finished after all locks are released (CH3).
 *          SL4 with deadline 0, descriptors are looked at with all channels locked: nothing was ready at that one moment.
 * Tests    tests/sync/select_test.cc, chan_stress_test.cc
 */
#include "sched/sync/select.h"

#include <errno.h>
#include <limits.h>

#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/core/misuse.h"
#include "sched/core/runtime.h"
#include "sched/sync/chan.h"

WF_OWNER_CODE_BEGIN

wf_aptr wf_descriptors;

#define NO_CASE SIZE_MAX

struct select {
	struct wf_wait wait;
	weft_case *cases;
	size_t count;
	struct wf_waiter *nodes; /* one a case */
	weft_chan **locks;	 /* the channels by rising address, each once */
	size_t lock_count;
	bool *ready;				  /* descriptors found ready, by case */
	const struct wf_descriptors *descriptors; /* NULL: no case has one */
	struct wf_waiter *fired;
	size_t chosen;	   /* the case performed by this call itself */
	bool from_outside; /* some case waits for what neither a fiber nor a thread does */
	int error;
};

static bool has_descriptor(const weft_case *c)
{
	return c->op == WEFT_CASE_READABLE || c->op == WEFT_CASE_WRITABLE;
}

static bool has_channel(const weft_case *c)
{
	return !has_descriptor(c) && c->chan != NULL; /* NULL: never ready */
}

static void sift_down(weft_chan **heap, size_t at, size_t count)
{
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= count)
			return;
		if (child + 1 < count && heap[child + 1] > heap[child])
			child++;
		if (heap[at] >= heap[child])
			return;
		weft_chan *swap = heap[at];
		heap[at] = heap[child];
		heap[child] = swap;
		at = child;
	}
}

/* CH4: sorted by heap, so that a thousand cases need no stack and no luck; then each once. */
static void order_locks(struct select *s)
{
	size_t count = 0;
	for (size_t i = 0; i < s->count; i++)
		if (has_channel(&s->cases[i]))
			s->locks[count++] = s->cases[i].chan;
	for (size_t i = count / 2; i-- > 0;)
		sift_down(s->locks, i, count);
	for (size_t end = count; end-- > 1;) {
		weft_chan *largest = s->locks[0];
		s->locks[0] = s->locks[end];
		s->locks[end] = largest;
		sift_down(s->locks, 0, end);
	}
	s->lock_count = 0;
	for (size_t i = 0; i < count; i++)
		if (i == 0 || s->locks[i] != s->locks[i - 1])
			s->locks[s->lock_count++] = s->locks[i];
}

static void lock_all(struct select *s)
{
	for (size_t i = 0; i < s->lock_count; i++)
		wf_chan_lock(s->locks[i]);
}

static void unlock_all(struct select *s)
{
	for (size_t i = 0; i < s->lock_count; i++)
		wf_chan_unlock(s->locks[i]);
}

static bool is_ready_locked(const struct select *s, size_t i)
{
	const weft_case *c = &s->cases[i];
	if (!has_channel(c))
		return has_descriptor(c) && s->ready[i];
	return c->op == WEFT_CASE_SEND ? wf_chan_may_send_locked(c->chan)
				       : wf_chan_may_recv_locked(c->chan);
}

/* One of the ready cases, each with the same probability. */
static size_t draw_locked(const struct select *s)
{
	size_t chosen = NO_CASE;
	uint32_t found = 0;
	for (size_t i = 0; i < s->count; i++)
		if (is_ready_locked(s, i) && (found++ == 0 || wf_holder_random() % found == 0))
			chosen = i;
	return chosen;
}

/* Performs a ready case; false: there is none. */
static bool perform_locked(struct select *s, struct wf_waiter **served)
{
	*served = NULL;
	while ((s->chosen = draw_locked(s)) != NO_CASE) {
		weft_case *c = &s->cases[s->chosen];
		int status = 0;
		if (c->op == WEFT_CASE_SEND)
			status = wf_chan_send_locked(c->chan, c->element, served);
		else if (c->op == WEFT_CASE_RECV)
			status = wf_chan_recv_locked(c->chan, c->element, served);
		if (status != -EAGAIN) {
			c->status = status;
			return true;
		}
		/* Those who waited there have given up meanwhile, and are off the list now: draw again. */
	}
	return false;
}

/* Performs a ready case, without waiting. `exact`: SL4. */
static bool attempt(struct select *s, bool exact)
{
	struct wf_waiter *served;
	if (s->descriptors != NULL && !exact)
		s->error = s->descriptors->ready(s->cases, s->count, s->ready);
	if (s->error != 0)
		return false;
	lock_all(s);
	if (s->descriptors != NULL && exact)
		s->error = s->descriptors->ready(s->cases, s->count, s->ready);
	bool done = s->error == 0 && perform_locked(s, &served);
	unlock_all(s);
	if (done && served != NULL)
		wf_waiter_finish(served, true); /* SL3 */
	return done;
}

static enum wf_side side_of(const weft_case *c)
{
	return c->op == WEFT_CASE_SEND ? WF_SEND : WF_RECEIVE;
}

/* To the end of its list, and into the ring of the call's nodes on that channel. */
static void link_locked(weft_chan *chan, struct wf_waiter *node)
{
	struct wf_waiter *last = chan->last;
	node->sibling = last != NULL ? last->sibling : node;
	if (last != NULL)
		last->sibling = node;
	chan->last = node;
	wf_waiters_append(wf_chan_list(chan, (enum wf_side)node->kind), node);
}

/* In a random order: of several cases on one channel a partner meets the first of its list. */
static void link_all_locked(struct select *s)
{
	for (size_t i = 0; i < s->lock_count; i++)
		s->locks[i]->last = NULL;
	for (size_t i = 0; i < s->count; i++) {
		const weft_case *c = &s->cases[i];
		s->nodes[i] = (struct wf_waiter){
			.fiber = s->wait.node.fiber,
			.ticket = s->wait.node.ticket,
			.thread = s->wait.node.thread,
			.fired = &s->fired,
			.kind = side_of(c),
			.data = c->element,
		};
		/* The permutation stands in the fields that a winner will write. */
		size_t k = wf_holder_random() % (i + 1);
		s->nodes[i].status = s->nodes[k].status;
		s->nodes[k].status = (int)i;
	}
	for (size_t i = 0; i < s->count; i++) {
		size_t chosen = (size_t)s->nodes[i].status;
		if (has_channel(&s->cases[chosen]))
			link_locked(s->cases[chosen].chan, &s->nodes[chosen]);
	}
}

/* SL2. The channel of the case that was performed may be gone, and knows the call no more (CH2). */
static void unlink_all(struct select *s)
{
	const weft_case *performed = s->fired != NULL ? &s->cases[s->fired - s->nodes] : NULL;
	const weft_chan *gone = performed != NULL && has_channel(performed) ? performed->chan : NULL;
	for (size_t i = 0; i < s->count; i++) {
		const weft_case *c = &s->cases[i];
		if (!has_channel(c) || c->chan == gone)
			continue;
		wf_chan_lock(c->chan);
		if (wf_waiter_linked(&s->nodes[i]))
			wf_waiters_remove(wf_chan_list(c->chan, side_of(c)), &s->nodes[i]);
		wf_chan_unlock(c->chan);
	}
	for (size_t i = 0; i < s->count && s->descriptors != NULL; i++)
		if (has_descriptor(&s->cases[i]))
			s->descriptors->unwatch(
				&s->nodes[i], s->cases[i].fd, s->cases[i].op == WEFT_CASE_WRITABLE);
}

static int watch_all(struct select *s)
{
	int error = 0;
	for (size_t i = 0; i < s->count && s->descriptors != NULL && error == 0; i++)
		if (has_descriptor(&s->cases[i]))
			error = s->descriptors->watch(
				&s->nodes[i], s->cases[i].fd, s->cases[i].op == WEFT_CASE_WRITABLE);
	return error;
}

static bool publish(struct wf_wait *wait)
{
	struct select *s = (struct select *)wait;
	struct wf_waiter *served;
	lock_all(s);
	bool done = perform_locked(s, &served); /* SL1 */
	if (!done)
		link_all_locked(s);
	unlock_all(s);
	if (done && served != NULL)
		wf_waiter_finish(served, true);
	if (done)
		return false;
	s->error = watch_all(s);
	if (s->error == 0)
		return true;
	/* No waiting for a descriptor: the call fails, unless somebody has performed one of its cases by now. */
	if (!wf_waiter_win(&s->wait.node))
		return true;
	unlink_all(s);
	return false;
}

/* Which case a partner has performed; or what is to be done about a descriptor's. */
static int outcome(struct select *s)
{
	size_t i = (size_t)(s->fired - s->nodes);
	if (has_descriptor(&s->cases[i]))
		return s->fired->status;
	s->cases[i].status = s->fired->status;
	return (int)i;
}

/* While it waits for a descriptor, virtual time must not run ahead of the world. */
static void hold_time(const struct select *s, uint32_t change)
{
	struct wf_worker *w = wf_self();
	if (s->descriptors != NULL && w->rt->virtual_time)
		wf_add_sc32(&w->rt->watching, change);
}

static int wait_once(struct select *s)
{
	struct wf_selecting selecting = {.cases = s->cases, .count = s->count};
	s->fired = NULL;
	s->chosen = NO_CASE;
	s->wait.kind = s->from_outside ? WF_WAITS_SELECT_FD : WF_WAITS_SELECT;
	s->wait.object = &selecting;
	hold_time(s, 1);
	int code = wf_wait(&s->wait, wf_wait_masks());
	hold_time(s, UINT32_MAX);
	if (s->chosen != NO_CASE)
		return (int)s->chosen;
	if (code == WF_WAKE_OK && s->fired == NULL)
		return s->error;
	unlink_all(s);
	return code == WF_WAKE_OK ? outcome(s) : -EAGAIN;
}

static int run(struct select *s, weft_ns deadline)
{
	if (deadline == 0) {
		if (attempt(s, false) || (s->error == 0 && s->descriptors != NULL && attempt(s, true)))
			return (int)s->chosen;
		return s->error != 0 ? s->error : -EAGAIN;
	}
	for (;;) {
		int error = wf_wait_levels();
		if (error == 0 && s->descriptors != NULL)
			error = s->descriptors->settle(s->cases, s->count);
		if (error != 0)
			return error;
		s->error = 0;
		if (attempt(s, false))
			return (int)s->chosen;
		if (s->error != 0)
			return s->error;
		if (deadline != WEFT_FOREVER && weft_now() >= deadline)
			return -ETIMEDOUT;
		s->wait.deadline = deadline;
		int result = wait_once(s);
		/* -EAGAIN: interrupted, late (a case that is ready by now goes first), or a descriptor's poll has ended: look again. */
		if (result != -EAGAIN)
			return result;
	}
}

static bool has_signals(const weft_case *c)
{
	return c->op == WEFT_CASE_RECV && c->chan != NULL && c->chan->source != NULL;
}

static bool is_from_outside(const weft_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (has_descriptor(&cases[i]) || has_signals(&cases[i]))
			return true;
	return false;
}

static int check(const weft_case *cases, size_t count, bool *descriptors)
{
	if ((cases == NULL && count > 0) || count > INT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		const weft_case *c = &cases[i];
		switch (c->op) {
		case WEFT_CASE_SEND:
		case WEFT_CASE_RECV:
			if (c->chan != NULL && c->element == NULL && c->chan->element_size > 0)
				return -EINVAL;
			continue;
		case WEFT_CASE_READABLE:
		case WEFT_CASE_WRITABLE:
			if (c->fd < 0)
				return -EBADF;
			*descriptors = true;
			continue;
		}
		return -EINVAL;
	}
	return *descriptors && wf_self() == NULL ? wf_off_fiber() : 0;
}

int weft_select(weft_case *cases, size_t count, weft_ns deadline)
{
	struct wf_waiter nodes[WF_SELECT_INLINE];
	weft_chan *locks[WF_SELECT_INLINE];
	bool ready[WF_SELECT_INLINE];
	struct select s = {
		.wait.publish = publish,
		.cases = cases,
		.count = count,
		.nodes = nodes,
		.locks = locks,
		.ready = ready,
	};
	bool descriptors = false;
	int error = check(cases, count, &descriptors);
	if (error != 0)
		return error;
	s.from_outside = is_from_outside(cases, count);
	if (descriptors)
		s.descriptors = wf_load_acqp(&wf_descriptors); /* carries a constant table */
	size_t bytes = count * (sizeof(*nodes) + sizeof(*locks) + sizeof(*ready));
	bool large = count > WF_SELECT_INLINE;
	if (large) {
		s.nodes = wf_alloc(bytes);
		if (s.nodes == NULL)
			return -ENOMEM;
		s.locks = (weft_chan **)(s.nodes + count);
		s.ready = (bool *)(s.locks + count);
	}
	order_locks(&s);
	int result = run(&s, deadline);
	if (large)
		wf_free(s.nodes, bytes);
	return result;
}

WF_OWNER_CODE_END
