/* SPDX-License-Identifier: MIT */
/* inside.c - see inside.h */
#include "tests/core/inside.h"

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/core/deque.h"
#include "sched/core/ready.h"
#include "sched/core/ticket.h"

struct wf_ready *inside_ready_new(uint32_t start)
{
	struct wf_ready *ready = wf_alloc_lines(sizeof(*ready));
	WF_CHECK(ready != NULL && wf_ready_init(ready) == 0);
	wf_store_rlx32(&ready->head, start);
	wf_store_rlx32(&ready->tail, start);
	return ready;
}

void inside_ready_delete(struct wf_ready *ready)
{
	wf_ready_free(ready);
	wf_free_lines(ready, sizeof(*ready));
}

bool inside_ready_push(struct wf_ready *ready, uintptr_t item, bool shared)
{
	return wf_ready_push(ready, (void *)item, shared) ||
		(wf_ready_grow_self(ready) && wf_ready_push(ready, (void *)item, shared));
}

uintptr_t inside_ready_take(struct wf_ready *ready, bool shared)
{
	return (uintptr_t)wf_ready_take(ready, shared);
}

uint32_t inside_ready_steal(struct wf_ready *ready, uintptr_t *items, uint32_t max)
{
	return wf_ready_steal(ready, (void **)items, max);
}

uint32_t inside_ready_max(void)
{
	return WF_READY_MAX;
}

struct wf_deque *inside_deque_new(uint64_t start)
{
	struct wf_deque *deque = wf_alloc_lines(sizeof(*deque));
	WF_CHECK(deque != NULL && wf_deque_init(deque) == 0);
	wf_store_rlx64(&deque->top, start);
	wf_store_rlx64(&deque->bottom, start);
	return deque;
}

void inside_deque_delete(struct wf_deque *deque)
{
	wf_deque_free(deque);
	wf_free_lines(deque, sizeof(*deque));
}

void inside_deque_push(struct wf_deque *deque, uint64_t item, bool shared)
{
	WF_CHECK(wf_deque_has_room_self(deque) || wf_deque_grow_self(deque));
	wf_deque_push_self(deque, item, shared);
}

bool inside_deque_pop(struct wf_deque *deque, uint64_t *item, bool shared)
{
	return wf_deque_pop_self(deque, item, shared);
}

bool inside_deque_steal(struct wf_deque *deque, uint64_t *item, bool *raced)
{
	return wf_deque_steal(deque, item, raced);
}

uint64_t inside_ticket_begin(uint64_t *word)
{
	return wf_ticket_begin((wf_a64 *)word, 0);
}

bool inside_ticket_commit(uint64_t *word, uint64_t ticket, bool *push)
{
	bool parked;
	*push = wf_ticket_commit((wf_a64 *)word, ticket, &parked) == WF_TICKET_PUSH;
	return parked;
}

bool inside_ticket_win(uint64_t *word, uint64_t ticket)
{
	return wf_ticket_win((wf_a64 *)word, ticket);
}

bool inside_ticket_done(uint64_t *word, uint64_t ticket)
{
	return wf_ticket_done((wf_a64 *)word, ticket) == WF_TICKET_PUSH;
}

void inside_ticket_run(uint64_t *word)
{
	wf_a64 *atomic = (wf_a64 *)word;
	uint64_t seen = wf_load_acq64(atomic);
	WF_CHECK(wf_ticket_phase(seen) == WF_READY);
	wf_store_rlx64(atomic, wf_ticket_with(seen, WF_RUNNING));
}
