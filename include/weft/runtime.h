/* SPDX-License-Identifier: MIT */
/* runtime.h - time, and the life of a runtime
 *
 * What     A runtime is a set of workers (threads) that run fibers. Two ways to have one:
 *            weft_run()    the program is the runtime: returns when its first fiber has returned
 *                          and no other is left.
 *            weft_start()  the runtime serves a host program: fibers are sent in with weft_submit()
 *                          from any thread, until weft_stop().
 *          Any number of runtimes may live in a process, at once or one after another; they share
 *          nothing but the processors.
 * Owns     its workers' threads, rings and descriptors: all are gone when weft_run() or weft_stop()
 *          returns. Stacks go back to a pool that the next runtime takes from. Workers block all
 *          signals but those which faults raise, so the host's handlers run on the host's threads.
 *          While a runtime lives weft handles SIGSEGV and SIGBUS to report stack overflows, and
 *          passes every other fault on to the handler that was there before. weft never replaces
 *          the host's malloc.
 *
 * Environment (read by weft_run and weft_start; a field given in weft_config outranks it; a
 * malformed or impossible value is -EINVAL with a line on stderr)
 *          WEFT_WORKERS     number of workers, 1 .. 1024
 *          WEFT_STACK_SIZE  usable bytes of a fiber's stack, at most 1073741824
 *          WEFT_ENGINE      auto | uring | epoll
 *          WEFT_RING_MODE   defer | coop | plain: forces one io_uring mode, as the WEFT_RING_*
 *                           flags do
 *          WEFT_OFFLOAD_THREADS  most threads of the offload pool, 1 .. 4096
 *          WEFT_NAMESERVERS  name servers instead of those of resolv.conf: 127.0.0.1:53,[::1]:53
 *          WEFT_RESCUE      coop | signal | off: as weft_config.rescue
 *          WEFT_LONG_RUN    milliseconds of weft_config.long_run, 1 .. 1000000; off: no report. Below
 *                           6 it is as 6, and who is up to 6 ms above it may be missed
 *          WEFT_DUMP_SIGNAL QUIT, SIGUSR1, 12...: this signal has weft_dump() write to stderr
 *          WEFT_LEAKS       on | off: as the flag WEFT_LEAK_REPORT; default off
 *          WEFT_LOG         info | warn | off: what weft says on stderr; default warn. Said always:
 *                           fatal lines, the reason of a failed start, leaks (they were asked
 *                           for), deadlocks (see weft_on_deadlock), and whom a stop waits for
 */
#ifndef WEFT_RUNTIME_H
#define WEFT_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A time or a duration: nanoseconds. Times are on CLOCK_MONOTONIC, so setting the wall clock has no
 * effect on them. */
typedef int64_t weft_ns;

#define WEFT_US INT64_C(1000)
#define WEFT_MS INT64_C(1000000)
#define WEFT_SEC INT64_C(1000000000)
/* The time that never comes: as a deadline, none. */
#define WEFT_FOREVER INT64_MAX

/**
 * weft_now - the time.
 *
 * In a fiber of a runtime with WEFT_VIRTUAL_TIME: that runtime's virtual time.
 *
 * Context  any thread. Parks no. errno untouched.
 * Cost     one read of the clock, no system call.
 * Returns  nanoseconds on CLOCK_MONOTONIC.
 * Example  weft_ns start = weft_now(); work(); weft_ns spent_ns = weft_now() - start;
 */
WEFT_API weft_ns weft_now(void);

/**
 * weft_after - the time a delay from now; saturates instead of wrapping.
 * @delay  nanoseconds. WEFT_FOREVER gives WEFT_FOREVER; a negative delay gives a time in the past.
 *
 * Context  any thread. Parks no. errno untouched.
 * Cost     as weft_now().
 * Returns  now + delay, at most WEFT_FOREVER.
 * Example  weft_deadline(weft_after(5 * WEFT_SEC));
 */
WEFT_API weft_ns weft_after(weft_ns delay);

/* The body of a fiber. What it returns is what weft_join() (or weft_run()) hands out. */
typedef void *(*weft_fn)(void *arg);

/* Values of weft_config.engine and of weft_engine(). */

/* The best engine this machine allows: io_uring or, where that is refused, epoll, with one line on
 * stderr that says why. */
#define WEFT_ENGINE_AUTO 0u
/* io_uring, or an error. */
#define WEFT_ENGINE_URING 1u
/* epoll; files go through the offload pool. */
#define WEFT_ENGINE_EPOLL 2u

/* Bits of weft_config.flags. */

/* For tests: the time of this runtime stands still while any of its fibers can run, and jumps to
 * the next timer when all of them are parked and no I/O is in flight. weft_now() in its fibers
 * starts at 1 s. Sleeps and deadlines are then exact and take no real time. */
#define WEFT_VIRTUAL_TIME 1u

/* Force one io_uring mode; one that the kernel refuses is then an error. At most one may be given.
 * By default the first that works is taken: coop, plain; or with WEFT_RESCUE_SIGNAL and _OFF:
 * defer, coop, plain. */

/* Completions are handled only when the worker asks for them (Linux 6.1): those of a stuck worker wait
 * for it, but with WEFT_RESCUE_SIGNAL. */
#define WEFT_RING_DEFER 2u
/* Completions are handled at the worker's next system call (Linux 5.19). */
#define WEFT_RING_COOP 4u
/* An interrupt for each completion: dearest. */
#define WEFT_RING_PLAIN 8u

/* When the runtime ends, a line on stderr for each place that spawned fibers which have ended and were
 * neither joined nor detached. */
#define WEFT_LEAK_REPORT 16u

/* SIGQUIT has all fibers written to stderr, as weft_dump() does, and the process goes on. The
 * environment's WEFT_DUMP_SIGNAL does the same with any signal. */
#define WEFT_DUMP_ON_SIGQUIT 32u

/* Values of weft_config.rescue: what becomes of the fibers, timers and I/O of a worker whose fiber
 * computes for long, or sits in a system call that weft does not know. Except with WEFT_RESCUE_OFF
 * other workers take them over within 20 ms, or threads started for the time. */

/* WEFT_RESCUE_COOP. */
#define WEFT_RESCUE_AUTO 0u
/* The stuck thread takes part in nothing and gets no signal. Rings are in mode coop, where the kernel
 * hands out completions at any system call: foreign calls that the kernel restarts (read, futex,
 * nanosleep, poll, select...) go on; epoll_wait and calls with SO_RCVTIMEO may return EINTR, for
 * operations that complete before the rescue (in the first 10 ms), and once by the rescue. Nothing
 * is disturbed with WEFT_ENGINE_EPOLL. */
#define WEFT_RESCUE_COOP 1u
/* The stuck thread gets a signal when its ring has completions: foreign calls may return EINTR,
 * nanosleep and poll too; at most one signal in 20 ms. Rings are in mode defer: what has to be
 * cancelled on the stuck ring (deadlines, weft_cancel, weft_close) waits for its thread. */
#define WEFT_RESCUE_SIGNAL 2u
/* They wait for it. */
#define WEFT_RESCUE_OFF 3u

/* How to run. All zero: the defaults, each of which the environment may change (see above). */
typedef struct weft_config {
	/* Threads that run fibers, at most 1024; 0: the CPUs usable (affinity, cgroup quota). */
	unsigned workers;
	/* Usable bytes of a fiber's stack, at most 1 GiB, rounded up to a power of two of at least
	 * 16 KiB; 0: 64 KiB. This is address space: memory is committed page by page on first
	 * touch. */
	size_t stack_size;
	/* Submission slots of each worker's ring, rounded up to a power of two, at most 32768;
	 * 0: 256. An operation that meets a full ring waits its turn; none is lost. */
	unsigned ring_entries;
	/* WEFT_ENGINE_*. A forced engine that is refused is an error, not a fallback. */
	unsigned engine;
	/* WEFT_VIRTUAL_TIME, WEFT_LEAK_REPORT, WEFT_DUMP_ON_SIGQUIT, and at most one of WEFT_RING_*;
	 * other bits are -EINVAL. */
	unsigned flags;
	/* Most threads of the offload pool, at most 4096; 0: 256. None is started before it is needed. */
	unsigned offload_threads;
	/* WEFT_RESCUE_*. */
	unsigned rescue;
	/* A fiber that holds its worker for this many nanoseconds is counted (weft_worker_stats.stalls)
	 * and reported once on stderr; 0: 10 ms, negative: never. */
	weft_ns long_run;
} weft_config;

/**
 * weft_run - start a runtime, run a function as its first fiber, and wait until all is done.
 * @config   how, or NULL for the defaults. Borrowed until return.
 * @main_fn  the first fiber's body.
 * @arg      handed to @main_fn.
 * @result   NULL, or where to put what @main_fn returned; written only when 0 is returned.
 *
 * Returns when @main_fn has returned and every other fiber has ended. Fibers still alive when
 * @main_fn returns are cancelled; they run to their end, shielded clean-up included, and those
 * nobody joined do not leak. A fiber that ignores its cancellation therefore keeps weft_run from
 * returning.
 *
 * It can be called again afterwards, and from several threads at once: each call is a runtime of
 * its own.
 *
 * Context  any thread that is not a fiber; blocks that thread. errno untouched.
 * Cost     starting and ending the workers' threads and their rings.
 * Returns  0.
 * Errors   -EINVAL  @main_fn is NULL, or a field, flag or WEFT_* variable is malformed; a line on
 *                   stderr says which (weft)
 *          -EPERM   called inside a fiber (weft); or io_uring was forced and is forbidden (kernel)
 *          -ENOTSUP in the child of a fork of a process that had a runtime: exec first; a line on
 *                   stderr says so (weft)
 *          -ENOMEM  no memory for workers, rings or the first stack (weft, kernel)
 *          -EAGAIN  a thread was refused, by RLIMIT_NPROC or a pids cgroup (kernel); or 256
 *                   runtimes are alive (weft)
 *          -ENOSYS, -EMFILE, ...  io_uring was forced and refused, or no descriptor is left; a line
 *                   on stderr says what to do (kernel)
 * Example  int error = weft_run(NULL, serve, NULL, NULL);
 *          if (error < 0)
 *                  fprintf(stderr, "cannot start: %s\n", strerror(-error));
 */
WEFT_API int weft_run(const weft_config *config, weft_fn main_fn, void *arg, void **result);

/* A runtime embedded in a host program. */
typedef struct weft_runtime weft_runtime;

/**
 * weft_start - start a runtime without a first fiber, to serve a host program.
 * @rt      where to put the runtime; NULL is put there when the start fails. To be ended with
 *          weft_stop().
 * @config  how, or NULL for the defaults. Borrowed until return.
 *
 * An idle runtime uses no CPU.
 *
 * Context  any thread that is not a fiber. errno untouched.
 * Cost     as weft_run().
 * Returns  0 when all workers run.
 * Errors   as weft_run(); -EINVAL also when @rt is NULL.
 * Example  weft_runtime *rt;
 *          if (weft_start(&rt, NULL) == 0) {
 *                  weft_submit(rt, work, job);
 *                  weft_stop(rt);
 *          }
 */
WEFT_API WEFT_NODISCARD int weft_start(weft_runtime **rt, const weft_config *config);

/**
 * weft_submit - run a function as a detached fiber of a runtime, from any thread.
 * @rt   a runtime from weft_start() whose weft_stop() has not returned.
 * @fn   the fiber's body; what it returns is dropped.
 * @arg  handed to @fn.
 *
 * Context  any thread, any fiber of any runtime. Parks no. Cancel point no. errno untouched.
 * Cost     the injection queue, which all workers share; one wake-up if all of them sleep. Inside a
 *          fiber weft_go() is cheaper.
 * Returns  0; the fiber will run, also when the runtime is stopped next (it then starts cancelled).
 * Errors   -EINVAL    @rt or @fn is NULL (weft)
 *          -ENOMEM, -EAGAIN as weft_spawn()
 *          -ESHUTDOWN the runtime is being stopped (weft)
 * Example  weft_submit(rt, handle_request, request);
 */
WEFT_API int weft_submit(weft_runtime *rt, weft_fn fn, void *arg);

/**
 * weft_stop - cancel every fiber of a runtime, wait until they have ended, and free it.
 * @rt  a runtime from weft_start(). Invalid after a return of 0.
 *
 * Fibers run to their end, shielded clean-up included; what they spawn meanwhile starts cancelled.
 *
 * Context  any thread that is not a fiber; blocks that thread. errno untouched.
 * Returns  0 when the last fiber has ended and all threads, memory and descriptors are given back.
 * Errors   -EINVAL  @rt is NULL (weft)
 *          -EDEADLK called from one of the runtime's own fibers; nothing changed (weft)
 *          -EPERM   called from a fiber of another runtime; nothing changed (weft)
 * Example  see weft_start().
 */
WEFT_API int weft_stop(weft_runtime *rt);

/**
 * weft_workers - how many workers the caller's runtime has.
 *
 * Context  any thread. Parks no. errno untouched.
 * Returns  the number, constant for the runtime's life; 0 outside a fiber.
 * Example  for (unsigned i = 0; i < weft_workers(); i++)
 *                  weft_go(acceptor, listener);
 */
WEFT_API unsigned weft_workers(void);

/**
 * weft_worker_index - which worker runs the caller now.
 *
 * An unpinned fiber may continue on another worker after any call that parks or yields, so the
 * value is a hint for statistics, not a key to per-worker data.
 *
 * Context  any thread. Parks no. errno untouched.
 * Returns  0 .. weft_workers() - 1; UINT_MAX outside a fiber.
 * Example  hits[weft_worker_index()]++;   // in a WEFT_PINNED fiber
 */
WEFT_API unsigned weft_worker_index(void);

/**
 * weft_engine - which I/O engine the caller's runtime uses.
 *
 * Context  any thread. Parks no. errno untouched.
 * Returns  WEFT_ENGINE_URING or WEFT_ENGINE_EPOLL; 0 outside a fiber.
 * Example  puts(weft_engine() == WEFT_ENGINE_URING ? "io_uring" : "epoll");
 */
WEFT_API unsigned weft_engine(void);

#ifdef __cplusplus
}
#endif

#endif
