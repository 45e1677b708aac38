/* SPDX-License-Identifier: MIT */
/* report.h - when something hangs: deadlocks that weft finds, and a dump of all fibers
 *
 * What     A runtime watches itself. When nothing in it can go on, it says so on stderr within a
 *          second, with each fiber's name, what it waits for and since when:
 *
 *   weft: deadlock: all 2 fibers of the runtime wait, and nobody in it can wake them
 *   weft:   fiber=4294967299 "a", spawned at main+0x30 (bank), locks mutex 0x7ffd0a40 held by fiber=4294967300 "b", for 104 ms
 *   weft:   fiber=4294967300 "b", spawned at main+0x52 (bank), locks mutex 0x7ffd0a50 held by fiber=4294967299 "a", for 104 ms
 *   weft:   cycle: fiber=4294967299 "a" locks mutex 0x7ffd0a40 held by fiber=4294967300 "b", which ..
 *
 * What is found
 *   - All: every fiber of a runtime waits for what only other fibers or threads can do (locks,
 *     channels, joins and the like), and none for time, for a descriptor, for a signal or for the
 *     offload pool.
 *   - A cycle: fibers that wait for locks, joins or scopes in a cycle that begins at a lock,
 *     while others go on. What is looked for costs less than 2% of one processor, so among a
 *     million fibers it may take a minute.
 *
 * What happens then: the report is printed, and
 *   - the process is aborted when nothing can end it: when the cycle is one of weft_mutex_lock()
 *     calls, which neither cancellation nor deadlines reach; or when all fibers of all runtimes
 *     wait, all runtimes were made by weft_run(), and the process has no threads but weft's own and
 *     the callers of weft_run().
 *   - otherwise the program goes on: a thread of its own may still do what the fibers wait for, and
 *     perhaps they are meant to wait. The same fibers in the same waits are reported again only
 *     after 10 seconds, then 20, 40 and so on, and only if one of them has run meanwhile. After
 *     eight standstills of different fibers, the next ones keep these distances too.
 * weft_on_deadlock() changes both.
 */
#ifndef WEFT_REPORT_H
#define WEFT_REPORT_H

#include <stddef.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was found. Valid during the call that it is handed to. */
typedef struct weft_deadlock {
	/* The runtime of the fibers; also one of weft_run(), which must not be stopped. */
	weft_runtime *runtime;
	/* How many fibers: all that the runtime has, or those of the cycle. */
	size_t fibers;
	/* 1: they wait in a cycle. */
	int cycle;
	/* 1: other fibers of the runtime go on. */
	int partial;
	/* 1: nothing can end it. WEFT_DEADLOCK_DEFAULT aborts. */
	int final;
	/* The report: lines, each with its newline, of at most 64 KiB. */
	const char *text;
} weft_deadlock;

enum weft_deadlock_action {
	WEFT_DEADLOCK_DEFAULT, /* the report is printed; abort if `final`, else go on */
	WEFT_DEADLOCK_GO_ON,   /* the report is printed; go on */
	WEFT_DEADLOCK_ABORT,   /* the report is printed; abort */
	WEFT_DEADLOCK_SILENT   /* nothing is printed; go on */
};

/* Decides what becomes of a deadlock. Runs on a thread of weft's, not on a fiber: it may call what
 * any thread may, such as weft_cancel(), weft_submit() or weft_event_set(), must not wait for a
 * fiber of that runtime, and must not stop it. While it runs that runtime is not watched. */
typedef enum weft_deadlock_action (*weft_deadlock_fn)(const weft_deadlock *deadlock, void *arg);

/**
 * weft_on_deadlock - have a function decide about deadlocks, of all runtimes.
 * @fn   called for each report; NULL: none, which is as if it returned WEFT_DEADLOCK_DEFAULT.
 * @arg  handed to @fn. Both are replaced together. A call with the former ones may have begun, and
 *       end only after this call has returned.
 *
 * Context  any thread, any fiber, with or without a runtime. Parks no. Cancel point no. errno
 *          untouched.
 * Returns  0.
 * Example  static enum weft_deadlock_action decide(const weft_deadlock *deadlock, void *arg)
 *          {
 *                  (void)arg;
 *                  syslog(LOG_CRIT, "%s", deadlock->text);
 *                  return WEFT_DEADLOCK_ABORT;
 *          }
 *
 *          weft_on_deadlock(decide, NULL);
 */
WEFT_API int weft_on_deadlock(weft_deadlock_fn fn, void *arg);

/**
 * weft_dump - write a description of all runtimes, workers and fibers.
 * @fd  where to: a file, a pipe, a socket, a terminal. Borrowed until return.
 *
 * For each worker what it runs; for each fiber its id, name, state, what it waits for and since
 * when, where it was spawned, and its backtrace. Nobody is stopped: each fiber is described as it
 * was at some moment of the call, and who moves too fast is said to. Text for people: its form may
 * change with every release.
 *
 * Context  any thread, any fiber but WEFT_SMALL ones. Parks no: it blocks the calling thread while
 *          @fd takes nothing. Cancel point no. errno untouched. Not in a signal handler.
 * Cost     about 50 us a fiber. No memory of the heap.
 * Returns  0.
 * Errors   -EBADF, -EPIPE, -ENOSPC, -EIO ... of write(2) (kernel)
 *          -ENOMEM no memory for the buffer (kernel)
 * Example  weft_dump(STDERR_FILENO);
 */
WEFT_API int weft_dump(int fd);

#ifdef __cplusplus
}
#endif

#endif
