/* SPDX-License-Identifier: MIT */
/* fiber.h - fibers: their life, cancellation, deadlines, fiber-local storage
 *
 * A fiber is a function with a stack of its own that parks instead of blocking its thread:
 * straight-line code, a million at a time. Workers (threads) run the ready ones and steal from each
 * other. What C code may and may not do on a fiber (locks, thread-locals, deep stacks, signals,
 * fork) is in docs/fibers.md.
 *
 * The life of a fiber
 *   weft_spawn -> ready -> running <-> parked -> ended -> joined, or detached
 *   - It runs at any time after the spawn, on any worker, and may continue on another one after
 *     each call that parks or yields; WEFT_PINNED keeps it on the worker that first runs it.
 *     Nothing takes it off its worker between such calls: long computations call weft_yield() or
 *     weft_check().
 *   - Calls that park also give way now and then when they need not wait, so that a fiber that
 *     always finds a free lock or more data does not keep the others from running: after 128 such
 *     calls, or after 61 that are system calls (MSG_DONTWAIT), others run. Calls that do not park
 *     never give way: a loop over one of the try forms, or over weft_spawn(), calls weft_yield().
 *   - It ends when its function returns. Then, on the fiber itself, the destructors of its local
 *     values run, and only then its joiner wakes and the stack is recycled.
 *   - Every fiber from weft_spawn is joined once or detached, by any fiber. Until then its result
 *     is kept; what is never joined does not outlive the runtime.
 *   - A weft_fiber * is a handle that carries a generation, not an address to look behind. A stale
 *     one (joined, or detached and ended) is recognised and answered with -ESRCH, at any later
 *     time.
 *
 * Cancellation
 *   weft_cancel() asks a fiber to end; nothing is taken from it by force. A call in which it is
 *   parked wakes and returns -ECANCELED; then every further cancellation point returns -ECANCELED
 *   at once. It is a level, not an event: it stays in force to the fiber's end, so an error path
 *   that blocks again does not hang. The fiber is expected to give back what it holds and to
 *   return.
 *   - A call that returns -ECANCELED or -ETIMEDOUT had no effect. Where the kernel had already
 *     completed the operation, its result is returned instead: data is never lost, and exactly one
 *     of the two happens. At return the kernel has let go of every buffer. Calls made of several
 *     transfers (*_full) may have moved some bytes and say so.
 *   - weft_shield(true) defers it, for clean-up that has to block; the level is seen again when the
 *     shield is taken off. Bound such clean-up with weft_deadline(), which a shield leaves in
 *     force.
 *   - A fiber cancelled before it first runs still runs, and finds the level in force.
 *   - Children are not reached by the cancellation of the fiber that spawned them, unless they were
 *     spawned into a scope of that fiber (weft/scope.h). All that is said here of cancellation and
 *     deadlines holds for those that come from scopes, but that they end with the scope.
 *
 * Deadlines
 *   weft_deadline() sets an absolute time for the calling fiber. Once it has passed, cancellation
 *   points return -ETIMEDOUT, at once and each time, until it is moved. It starts as WEFT_FOREVER
 *   and is not inherited by weft_spawn. Moving it costs a short lock, so a server can set one per
 *   request.
 *
 *   Order of looking: cancellation first, then deadlines, then readiness. With both in force a call
 *   returns -ECANCELED; with either, it fails even if data is waiting.
 *
 *   call                                                     parks   cancellation point
 *   weft_join, weft_join_all                                 yes     yes
 *   weft_sleep of more than zero, weft_sleep_until           yes     yes
 *   weft_read, weft_write, weft_recv, weft_send,
 *     weft_accept, weft_connect, weft_shutdown, weft_poll,
 *     weft_openat, weft_read_full, weft_write_full,
 *     weft_send_full, weft_dial                              yes     yes
 *   weft_listen                                              both only to look a name up
 *   weft_chan_send, weft_chan_recv                           yes     yes
 *   weft_select                                              yes     yes; with deadline 0 neither
 *   weft_mutex_lock_by, weft_rwlock_rdlock,
 *     weft_rwlock_wrlock, weft_sem_wait, weft_waitgroup_wait,
 *     weft_event_wait, weft_once_do, weft_barrier_wait,
 *     weft_futex_wait                                        yes     yes
 *   weft_cond_wait                                           yes     yes; its re-lock not
 *   weft_mutex_lock                                          yes     no
 *   weft_scope_close                                         yes     no: it waits for the children
 *   weft_ticker_free                                         yes     no
 *   weft_check                                               no      yes: it is nothing else
 *   weft_close                                               yes     no: it always closes
 *   weft_yield, weft_sleep of zero or less                   no      no: they only yield
 *   weft_spawn, weft_go, weft_detach, weft_cancel
 *     and all the others                                     no      no
 *
 * Off a fiber (on a plain thread) channels and synchronisation objects block the thread; the other
 * calls that park return -EPERM and do nothing; each function says what it does there.
 *
 * Stack overflow prints one line on stderr with the fiber's name, the word "stack", its size and
 * where the fiber was spawned; then the process dies by a signal. A guard page stops the overflow
 * before it overwrites anything. Stacks without one (WEFT_SMALL; on kernels before 6.13 those
 * beyond the first 28,000, which weft_stats counts) have a word at their end that is checked
 * whenever the fiber parks or ends: the same line and death, but later.
 */
#ifndef WEFT_FIBER_H
#define WEFT_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A fiber, as its creator holds it: opaque, and valid to pass on even when stale. */
typedef struct weft_fiber weft_fiber;

/* Bits of weft_attr.flags. */

/* Never migrates from the worker that first runs it: thread-locals and &errno stay its own. */
#define WEFT_PINNED 1u
/* Keeps its own floating-point control state (rounding mode, masks) across switches. It starts with
 * the default state; nobody else sees what it sets. Costs about 3 ns a switch. A fiber without this
 * flag must put the default state back before it parks. */
#define WEFT_FP_ENV 2u
/* A small packed stack: 1 KiB usable beside what weft's own calls need, a checked word instead of a
 * guard page. For watchers and timers by the million that call weft and little else; printf and
 * much of libc do not fit. */
#define WEFT_SMALL 4u

/* How to spawn. All zero: as weft_spawn(). */
typedef struct weft_attr {
	/* For reports; copied, cut to 31 bytes. NULL: none. */
	const char *name;
	/* Usable bytes, at most 1 GiB, rounded up to a power of two of at least 16 KiB; 0: the
	 * runtime's. Must be 0 with WEFT_SMALL. */
	size_t stack_size;
	/* WEFT_PINNED, WEFT_FP_ENV, WEFT_SMALL, ored together; other bits are -EINVAL. */
	unsigned flags;
} weft_attr;

/**
 * weft_spawn - make a fiber that will run a function.
 * @fiber  where to put the handle, before the fiber can run; NULL is put there on failure. To be
 *         joined once, or detached.
 * @fn     its body; the return value is its result.
 * @arg    handed to @fn. Borrowed as the caller and @fn agree: only the pointer is copied.
 *
 * The caller goes on running; when the new fiber runs is not promised. Its address space is
 * promised here: a stack taken lazily never fails later.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a control block from the worker's cache; the stack is taken when the fiber first runs.
 * Returns  0.
 * Errors   -EINVAL @fiber or @fn is NULL (weft)
 *          -ENOMEM a stack cannot be had; nothing leaks, and a later call may work (kernel)
 *          -EAGAIN 67 million fibers are alive, all there can be (weft)
 *          -EPERM  off a fiber: use weft_run() or weft_submit() (weft)
 * Example  weft_fiber *child;
 *          void *sum;
 *          if (weft_spawn(&child, add_up, numbers) == 0)
 *                  weft_join(child, &sum);
 */
WEFT_API int weft_spawn(weft_fiber **fiber, weft_fn fn, void *arg);

/**
 * weft_spawn_attr - weft_spawn with a name, a stack size, or flags.
 * @fiber  as weft_spawn().
 * @attr   how, or NULL for the defaults. Borrowed until return; the name is copied.
 * @fn     its body.
 * @arg    handed to @fn.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     as weft_spawn(); a stack of another size than the runtime's is taken at once, from a
 *          pool which all workers share.
 * Returns  0.
 * Errors   as weft_spawn(); -EINVAL also for an unknown flag or a stack size out of bounds, with
 *          a line on stderr (weft)
 * Example  weft_attr attr = { .name = "resolver", .stack_size = 256 * 1024 };
 *          error = weft_spawn_attr(&fiber, &attr, resolve, host);
 */
WEFT_API int weft_spawn_attr(weft_fiber **fiber, const weft_attr *attr, weft_fn fn, void *arg);

/**
 * weft_go - spawn a detached fiber.
 * @fn   its body; what it returns is dropped.
 * @arg  handed to @fn.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     as weft_spawn().
 * Returns  0.
 * Errors   -EINVAL @fn is NULL (weft)
 *          -ENOMEM, -EAGAIN as weft_spawn()
 *          -EPERM  off a fiber: use weft_submit() (weft)
 * Example  int fd = weft_accept(listener, NULL, NULL, 0);
 *          if (fd >= 0 && weft_go(serve, (void *)(intptr_t)fd) < 0)
 *                  weft_close(fd);
 */
WEFT_API int weft_go(weft_fn fn, void *arg);

/**
 * weft_join - wait until a fiber has ended, and take its result.
 * @fiber   a fiber neither detached nor joined yet. The handle is stale after a return of 0.
 * @result  NULL, or where to put what its function returned; written only when 0 is returned.
 *
 * A join that fails with -ECANCELED or -ETIMEDOUT leaves the fiber as it was, and joinable; a
 * caller already cancelled or late gets that error even if the fiber has ended. After a return of 0
 * the caller sees all that the fiber wrote.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     a switch; none when the fiber has ended.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says (weft)
 *          -EDEADLK @fiber is the caller (weft)
 *          -EINVAL  @fiber is NULL, detached, or another fiber is joining it (weft)
 *          -ESRCH   @fiber is stale: already joined, or detached and ended (weft)
 *          -EPERM   off a fiber (weft)
 * Example  see weft_spawn().
 */
WEFT_API int weft_join(weft_fiber *fiber, void **result);

/**
 * weft_join_all - join several fibers: wait until all have ended.
 * @fibers   handles, as for weft_join(); NULL entries are passed over. Each entry is set to NULL
 *           when its fiber has been joined.
 * @results  NULL, or where to put what their functions returned, by index; entries of fibers not
 *           joined are left as they are.
 * @count    how many.
 *
 * Stops at the first fiber that cannot be joined: those before it are joined, and NULL now; those
 * from it on are as they were. So a call that was cancelled or late can be repeated, shielded, with
 * the same array.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     a join each.
 * Returns  0: all entries are NULL.
 * Errors   as weft_join(); -EINVAL also when @fibers is NULL and @count is not 0 (weft)
 * Example  weft_fiber *worker[8] = {NULL};
 *          for (int i = 0; i < 8 && error == 0; i++)
 *                  error = weft_spawn(&worker[i], work, &job[i]);
 *          weft_join_all(worker, NULL, 8);
 */
WEFT_API int weft_join_all(weft_fiber **fibers, void **results, size_t count);

/**
 * weft_detach - give up the result of a fiber: nobody will join it.
 * @fiber  a fiber neither detached nor joined yet. If it has ended already it is released at once.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation.
 * Returns  0.
 * Errors   -EINVAL @fiber is NULL, detached already, or being joined (weft)
 *          -ESRCH  @fiber is stale (weft)
 * Example  weft_detach(weft_self());
 */
WEFT_API int weft_detach(weft_fiber *fiber);

/**
 * weft_cancel - ask a fiber to end; see Cancellation above. Never waits.
 * @fiber  any fiber, the caller included.
 *
 * A fiber parked in a cancellation point wakes; a running one finds out at its next one; a shielded
 * one when its shield is taken off. Cancelling twice is the same as once.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a store; if the fiber is parked, a wake-up and perhaps a cancel request to the kernel.
 * Returns  0, also when the fiber has ended but is not joined yet (nothing changes then).
 * Errors   -EINVAL @fiber is NULL (weft)
 *          -ESRCH  @fiber is stale: joined, or detached and ended (weft)
 * Example  weft_cancel(child);
 *          weft_join(child, NULL);
 */
WEFT_API int weft_cancel(weft_fiber *fiber);

/**
 * weft_cancelled - has the caller been asked to end?
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     a load.
 * Returns  1 when cancelled and not shielded, else 0; 0 off a fiber. Deadlines do not count.
 * Example  while (!weft_cancelled())
 *                  step();
 */
WEFT_API int weft_cancelled(void);

/**
 * weft_check - a cancellation point that does nothing else: for long computations.
 *
 * It does not give way to other fibers; weft_yield() does.
 *
 * Context  any thread. Parks no. Cancel point yes. errno untouched.
 * Cost     a load; a clock read when the fiber has a deadline.
 * Returns  0: go on. Also off a fiber, where nothing can be in force.
 * Errors   -ECANCELED, -ETIMEDOUT as a blocking call would give them here (weft)
 * Example  for (size_t i = 0; i < count; i++) {
 *                  if ((error = weft_check()) < 0)
 *                          return error;
 *                  hash(&state, block[i]);
 *          }
 */
WEFT_API int weft_check(void);

/**
 * weft_shield - defer cancellation of the caller, for clean-up that has to block.
 * @on  true: cancellation is not seen, however it comes; false: it is seen again, also what came
 *      meanwhile.
 *
 * The caller's own weft_deadline() stays in force, so that clean-up can be bounded. A fiber starts
 * unshielded. Shields nest by putting the old value back, as below.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched. Off a fiber: does nothing.
 * Cost     a store.
 * Returns  the old value; false off a fiber.
 * Example  bool was = weft_shield(true);
 *          weft_deadline(weft_after(2 * WEFT_SEC));
 *          weft_send_full(fd, goodbye, sizeof(goodbye), 0);
 *          weft_shield(was);
 */
WEFT_API bool weft_shield(bool on);

/**
 * weft_yield - let other ready fibers run, then go on.
 *
 * Context  fiber. Parks no: the caller stays ready. Cancel point no. errno untouched. May return on
 *          another thread. Off a fiber: does nothing.
 * Cost     a switch, and a place at the end of the worker's queue.
 * Example  for (size_t i = 0; i < count; i++) {
 *                  compress(block[i]);
 *                  weft_yield();
 *          }
 */
WEFT_API void weft_yield(void);

/**
 * weft_sleep - park for a while.
 * @duration  nanoseconds. Zero or less just yields, and is no cancellation point. WEFT_FOREVER
 *            parks until the fiber is cancelled or late.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     a timer in the worker's heap; no system call of its own.
 * Returns  0, not before @duration has passed.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; a deadline before the end of the sleep ends it
 *          when it passes (weft)
 *          -EPERM off a fiber (weft)
 * Example  while (weft_sleep(WEFT_SEC) == 0)
 *                  report();
 */
WEFT_API int weft_sleep(weft_ns duration);

/**
 * weft_sleep_until - park until a time; for a rhythm that does not drift.
 * @deadline  absolute. A time that has passed: looks at cancellation and deadlines, then just
 *            yields.
 *
 * Context  fiber. Parks yes. Cancel point yes. errno untouched. May return on another thread.
 * Cost     as weft_sleep().
 * Returns  0, not before @deadline.
 * Errors   as weft_sleep().
 * Example  for (weft_ns t = weft_now(); weft_sleep_until(t) == 0; t += 10 * WEFT_MS)
 *                  sample();
 */
WEFT_API int weft_sleep_until(weft_ns deadline);

/**
 * weft_deadline - set the caller's own deadline; see Deadlines above.
 * @deadline  absolute; WEFT_FOREVER: none. A time that has passed takes effect at the next call.
 *
 * There is one per fiber, and the last one set counts, sooner or later than the old one. A function
 * that only wants to tighten it keeps the sooner of the two and puts the old one back, as below.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched. Off a fiber: does nothing.
 * Cost     a short lock; a timer when none that soon is armed.
 * Returns  the old deadline; WEFT_FOREVER when there was none, and off a fiber.
 * Example  weft_ns limit = weft_after(5 * WEFT_SEC);
 *          weft_ns old = weft_deadline(limit);
 *          if (old < limit)
 *                  weft_deadline(old);
 *          ssize_t n = weft_read(fd, buf, sizeof(buf));
 *          weft_deadline(old);
 */
WEFT_API weft_ns weft_deadline(weft_ns deadline);

/**
 * weft_self - the running fiber.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  its handle; NULL outside a fiber.
 * Example  if (weft_self() == NULL)
 *                  return -EPERM;
 */
WEFT_API weft_fiber *weft_self(void);

/**
 * weft_id - a number for a fiber, as reports print it.
 * @fiber  any handle, also a stale one.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  a number above 0 that never changes, shared with no other fiber alive; 0 for NULL.
 * Example  printf("fiber %" PRIu64 "\n", weft_id(weft_self()));
 */
WEFT_API uint64_t weft_id(const weft_fiber *fiber);

/**
 * weft_set_name - name the calling fiber, for reports.
 * @name  text; copied, cut to 31 bytes. NULL or "" takes the name away.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Returns  0.
 * Errors   -EPERM off a fiber (weft)
 * Example  weft_set_name("acceptor");
 */
WEFT_API int weft_set_name(const char *name);

/* Fiber-local storage: one void * per key and fiber, as pthread_getspecific has one per thread. */
typedef struct weft_key {
	unsigned index;
} weft_key;

/**
 * weft_key_create - make a key, for all fibers of the process.
 * @key         where to put it.
 * @destructor  NULL, or called with the value of each fiber that ends with a value other than NULL.
 *
 * Destructors run on the ending fiber, before its joiner wakes, in no particular order; they may
 * call weft. Where they set values again the keys are gone through again, four times at most. Every
 * fiber's value starts as NULL, also when the key's number was in use before.
 *
 * Context  any thread, also before any runtime. Parks no. Cancel point no. errno untouched.
 * Returns  0.
 * Errors   -EINVAL @key is NULL (weft)
 *          -EAGAIN all 1024 keys are in use (weft)
 * Example  static weft_key buffer_key;
 *          error = weft_key_create(&buffer_key, free);
 */
WEFT_API int weft_key_create(weft_key *key, void (*destructor)(void *));

/**
 * weft_key_delete - give a key back.
 * @key  a key no fiber uses any more. Values still set are forgotten; no destructor is called.
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Returns  0.
 * Errors   -EINVAL @key is not in use (weft)
 * Example  weft_key_delete(buffer_key);
 */
WEFT_API int weft_key_delete(weft_key key);

/**
 * weft_set_local - set the calling fiber's value of a key.
 * @key    from weft_key_create().
 * @value  kept, not looked at. NULL has no destructor call. An old value is not destroyed.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     two stores; the fiber's first value takes a table from the allocator.
 * Returns  0.
 * Errors   -EINVAL @key is not in use (weft)
 *          -ENOMEM no memory for the fiber's table (weft)
 *          -EPERM  off a fiber (weft)
 * Example  weft_set_local(buffer_key, malloc(4096));
 */
WEFT_API int weft_set_local(weft_key key, void *value);

/**
 * weft_get_local - the calling fiber's value of a key.
 * @key  from weft_key_create().
 *
 * Context  any thread. Parks no. Cancel point no. errno untouched.
 * Cost     three loads.
 * Returns  the value last set by this fiber; NULL when there is none, when @key is not in use, and
 *          off a fiber.
 * Example  char *buffer = weft_get_local(buffer_key);
 */
WEFT_API void *weft_get_local(weft_key key);

#ifdef __cplusplus
}
#endif

#endif
