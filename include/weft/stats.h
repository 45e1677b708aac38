/* SPDX-License-Identifier: MIT */
/* stats.h - counters: what a runtime and each of its workers did
 *
 * What     weft_stats_get() copies the counters of a running runtime.
 * Rules    Each worker counts for itself and nobody is stopped to read: a copy is a little apart
 *          from the present, and counters of one copy may be a few events apart from each other.
 *          Every uint64_t that counts events only grows, from 0 at the start of the runtime; two
 *          copies subtracted give what happened between them. Gauges say so.
 *          Which worker counts: the one on which the event happened (a fiber spawned on worker 0
 *          and stolen by worker 1 is spawned on 0, and ended on 1).
 *          Counters may be added at the end of weft_worker_stats, in a release that changes the
 *          soname.
 */
#ifndef WEFT_STATS_H
#define WEFT_STATS_H

#include <stdint.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The counters of one worker. Useful ratios: ops / enters (I/O per system call), steals / runs (how
 * much work moved), interrupts / wakes (how often a wake-up had to rouse a sleeping thread). */
typedef struct weft_worker_stats {
	/* Fibers made here, submitted ones included. */
	uint64_t spawned;
	/* Fibers that ended here. */
	uint64_t ended;
	/* Times a fiber was switched to. */
	uint64_t runs;
	/* Times a fiber gave way and stayed ready. */
	uint64_t yields;
	/* Times a fiber parked. */
	uint64_t parks;
	/* Fibers made ready from here: by its fibers, timers and completions. */
	uint64_t wakes;

	/* Fibers taken from other workers. */
	uint64_t steals;
	/* Searches through the other workers, fruitful or not. */
	uint64_t steal_rounds;
	/* Fibers taken from the injection queue. */
	uint64_t injected;
	/* Fibers moved to the common queue because the own one was full. */
	uint64_t overflows;

	/* Timers set, by sleeps and deadlines. */
	uint64_t timers_armed;
	/* Timers that reached their time; the others were cancelled or moved. */
	uint64_t timers_fired;
	/* Times it found nothing to do and slept in its ring. */
	uint64_t sleeps;
	/* Wake-ups it sent to sleeping workers. */
	uint64_t interrupts;

	/* Operations submitted; ops / enters is the size of a batch. */
	uint64_t ops;
	/* System calls that looked for completions: io_uring_enter, or epoll_pwait2. */
	uint64_t enters;
	/* Operations completed, cancelled ones included. */
	uint64_t completions;
	/* Cancel requests sent to the kernel. */
	uint64_t cancels;
	/* Times an operation waited because the submission ring was full. */
	uint64_t sq_full;
	/* Times the kernel kept completions because the ring was full; none is lost. */
	uint64_t cq_overflows;

	/* Stacks fetched from the shared pool, the own cache being empty. */
	uint64_t stack_misses;

	/* Times it took over what a stuck worker held. */
	uint64_t rescues;
	/* Times one of its fibers held it for longer than weft_config.long_run. */
	uint64_t stalls;
	/* Operations that stayed on its ring because its thread was in an uninterruptible sleep. */
	uint64_t kept_ops;
} weft_worker_stats;

/* The state of a runtime and the sum of its workers' counters. */
typedef struct weft_stats {
	/* How many workers there are; constant. */
	unsigned workers;
	/* WEFT_ENGINE_*, as in force. */
	unsigned engine;
	/* "defer", "coop" or "plain"; "" where there is no io_uring. Static text. */
	const char *ring_mode;
	/* Gauge: fibers spawned and not ended. */
	uint64_t fibers_live;
	/* Gauge: stack slots in the address space. They belong to all runtimes of the process. */
	uint64_t stacks_mapped;
	/* Gauge: the slots' size in bytes. Memory is used only where they were touched. */
	uint64_t stack_bytes_mapped;
	/* Gauge: stacks without a guard page, which a checked word watches instead. */
	uint64_t guards_missing;
	/* The sum over all workers, and over the threads outside that submitted or woke fibers. */
	weft_worker_stats total;
	/* The offload pool. Gauge: its threads. */
	uint64_t offload_threads;
	/* Gauge: work that waits for one. */
	uint64_t offload_queued;
	/* Work begun, weft's own included; how long it waited for a thread in all, and at most. */
	uint64_t offload_jobs;
	uint64_t offload_wait_ns;
	uint64_t offload_wait_max_ns;
} weft_stats;

/**
 * weft_stats_get - copy the counters of a runtime.
 * @runtime     from weft_start(); NULL: the caller's own.
 * @stats       NULL, or where to put state and sums.
 * @per_worker  where to put one row per worker; may be NULL when @count is 0.
 * @count       rows in @per_worker. Fewer than there are workers: only the first are written; more:
 *              the rest are left as they are.
 *
 * Context  any thread, with a runtime that is not stopped meanwhile; with NULL, a fiber. Parks no.
 *          Cancel point no. errno untouched.
 * Cost     a read of every worker's counters; no lock, nobody waits.
 * Returns  the number of workers.
 * Errors   -EPERM  @runtime is NULL and the caller is not a fiber (weft)
 *          -EINVAL @per_worker is NULL and @count is not 0 (weft)
 * Example  weft_stats stats;
 *          weft_worker_stats row[64];
 *          int workers = weft_stats_get(NULL, &stats, row, 64);
 *          for (int i = 0; i < workers && i < 64; i++)
 *                  printf("%d: %" PRIu64 " runs\n", i, row[i].runs);
 */
WEFT_API int weft_stats_get(
	weft_runtime *runtime, weft_stats *stats, weft_worker_stats *per_worker, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
