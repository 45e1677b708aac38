/* SPDX-License-Identifier: MIT */
/* seam.h - everything nondeterministic that the scheduler asks the system for: clock, randomness, threads, futex
 *
 * What     one thin function each, so that a simulation can stand in their place. Nothing else in sched/ reads a
 *          clock, draws a random number, makes a thread or sleeps.
 * Rules    times are nanoseconds on CLOCK_MONOTONIC. wf_futex_wait may return early; callers re-check.
 */
#ifndef WF_SCHED_BASE_SEAM_H
#define WF_SCHED_BASE_SEAM_H

#include <pthread.h>
#include <stdint.h>

#include "sched/base/atomic.h"
#include "sched/base/sanitize.h"

int64_t wf_clock_now(void);
/* How long the calling thread has had a processor. */
int64_t wf_clock_of_thread(void);

/* Blocks the calling thread while *word == expected, at most until the deadline (INT64_MAX: no limit). Both leave errno alone. */
void wf_futex_wait(wf_a32 *word, uint32_t expected, int64_t deadline);
void wf_futex_wake(wf_a32 *word, uint32_t count);

/* Blocks the calling thread: for starting up only. */
void wf_pause(int64_t duration);

/* A thread with all signals blocked but those a fault raises, whose name begins with "weft-"; 0 or a negative errno. */
int wf_thread_create(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg);
void wf_thread_join(pthread_t thread);
/* The low half: how many of them run, from their first step to their last but the kernel's. The high half: how often that has changed. */
uint64_t wf_thread_census(void);

/* A generator per worker: no shared state. xorshift64*, never seeded with zero. */
uint64_t wf_random_seed(void);
WF_OWNER_CODE_BEGIN
static inline uint32_t wf_random_next(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}
WF_OWNER_CODE_END

/* The CPUs this process may use: affinity mask and cgroup (v1 or v2) CPU quota, rounded up; at least 1. */
unsigned wf_cpu_count(void);
/* The calling thread's number in the kernel. */
int wf_thread_id(void);
/* Of any thread of this process: processor time it has used, -1 when it is gone; and its state as /proc tells it: 'R', 'S', 'D'..., 0 when it
 * does not. */
int64_t wf_thread_cpu(int thread);
char wf_thread_state(int thread);

/* Address of the calling thread's errno. Out of line, because compilers cache it across a switch of stacks. */
int *wf_errno_address(void);
/* errno is the thread's, used by one fiber after the other: what calls libc on a fiber puts it back. Read it before and after the call. */
int wf_errno_load(void);
void wf_errno_store(int value);

#endif
