/* SPDX-License-Identifier: MIT */
/* inside.h - the lock-free structures of sched/core as functions that C++ tests can call
 *
 * What     their headers are C, with atomics that C++ does not know; here each operation is a plain function. Queues can be
 *          made to start at any index, so that wrapping needs no four billion pushes.
 */
#ifndef TESTS_CORE_INSIDE_H
#define TESTS_CORE_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wf_ready;
struct wf_deque;

struct wf_ready *inside_ready_new(uint32_t start);
void inside_ready_delete(struct wf_ready *ready);
/* Grows when full; false at the bound. */
bool inside_ready_push(struct wf_ready *ready, uintptr_t item, bool shared);
uintptr_t inside_ready_take(struct wf_ready *ready, bool shared); /* 0: empty */
uint32_t inside_ready_steal(struct wf_ready *ready, uintptr_t *items, uint32_t max);
uint32_t inside_ready_max(void);

struct wf_deque *inside_deque_new(uint64_t start);
void inside_deque_delete(struct wf_deque *deque);
void inside_deque_push(struct wf_deque *deque, uint64_t item, bool shared);
bool inside_deque_pop(struct wf_deque *deque, uint64_t *item, bool shared);
bool inside_deque_steal(struct wf_deque *deque, uint64_t *item, bool *raced);

/* The wake ticket; `push` is true for the one that must make the fiber ready. */
uint64_t inside_ticket_begin(uint64_t *word);
bool inside_ticket_commit(uint64_t *word, uint64_t ticket, bool *push);
bool inside_ticket_win(uint64_t *word, uint64_t ticket);
bool inside_ticket_done(uint64_t *word, uint64_t ticket);
void inside_ticket_run(uint64_t *word); /* READY -> RUNNING */

#ifdef __cplusplus
}
#endif

#endif
