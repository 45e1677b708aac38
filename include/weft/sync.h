/* SPDX-License-Identifier: MIT */
/* sync.h - mutexes, conditions, semaphores and the rest of what fibers wait for each other with
 *
 * All of it works between fibers, between fibers and plain threads in both directions, and between
 * the fibers of two runtimes. A fiber that waits parks and its worker runs others; a plain thread
 * that waits blocks.
 *
 * Objects are plain values: static, on a stack, or inside a struct. A zeroed object is initialised
 * (a barrier needs its number); WEFT_..._INIT is the same in an initialiser. None needs a destroy
 * call: one that nobody waits for or holds may be forgotten. weft_once and weft_barrier outlive
 * every call on them. Of the others, whoever finds that it is the last user may give the memory
 * back at once: a fiber that has seen a waitgroup reach zero or an event set may leave the frame it
 * stands in, and one that has locked a mutex and found the last reference gone may free the object
 * with the mutex in it, after unlocking. They are not copied or moved while in use.
 *
 * Waiting, and giving up
 *   The calls marked "cancel point" look at cancellation and deadlines first, as fiber.h says, also
 *   when there would be nothing to wait for. One that returns -ECANCELED or -ETIMEDOUT had no
 *   effect: no lock is held, no permit taken, no signal used up (it goes to another waiter), the
 *   barrier does not count the caller. On a plain thread nothing is in force.
 *
 *   call                                    parks  cancel point   when it gives up
 *   weft_mutex_lock                         yes    no
 *   weft_mutex_lock_by                      yes    yes            not locked
 *   weft_rwlock_rdlock, weft_rwlock_wrlock  yes    yes            not locked
 *   weft_cond_wait                          yes    yes; its       no signal used up; the mutex is
 *                                                  re-lock not    locked again all the same
 *   weft_sem_wait                           yes    yes            no permit taken
 *   weft_waitgroup_wait, weft_event_wait    yes    yes            nothing to undo
 *   weft_once_do                            yes    yes            not run by this call; another
 *                                                                 caller's run goes on
 *   weft_barrier_wait                       yes    yes            not counted
 *   weft_futex_wait                         yes    yes            nothing to undo
 *   all the others                          no     no
 *
 *   Those that park give way now and then also when they need not wait, as fiber.h says; the others
 *   never do. So whoever tries again and again calls weft_yield() in between.
 *
 * Memory order: an unlock comes before the next lock, a post before the wait it lets through, done
 * before the wait that sees zero, set before the wait that sees it, the end of a once function
 * before every return of once_do, all arrivals at a barrier before all returns from it.
 * ThreadSanitizer sees these orders.
 *
 * Misuse is found: it is the error given with the call, or, where none can be returned, one line on
 * stderr and an abort.
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <stdint.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * weft_mutex - one holder at a time, a fiber or a plain thread. Not recursive.
 *
 * Whoever comes while it is free gets it, also before those who wait: that keeps a busy lock fast.
 * Once the first of those who wait has waited for about a millisecond the next unlock hands the
 * mutex to it, so that nobody starves. A holder may park, and may continue on another worker.
 */
typedef struct weft_mutex {
	uint64_t opaque[3];
} weft_mutex;
/* clang-format off */
#define WEFT_MUTEX_INIT {{0, 0, 0}}
/* clang-format on */

/**
 * weft_mutex_lock - lock a mutex; waits as long as it takes.
 * @mutex  not held by the caller: that aborts with one line, for it could never end.
 *
 * Context  fiber: parks yes, cancel point no. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     one atomic operation when it is free.
 * Example  weft_mutex_lock(&bank->mutex);
 *          bank->sum += amount;
 *          weft_mutex_unlock(&bank->mutex);
 */
WEFT_API void weft_mutex_lock(weft_mutex *mutex);

/**
 * weft_mutex_trylock - lock a mutex if it is free.
 * @mutex  any mutex, also one held by the caller.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation.
 * Returns  0: locked.
 * Errors   -EBUSY  somebody holds it (weft)
 *          -EINVAL @mutex is NULL (weft)
 * Example  if (weft_mutex_trylock(&cache->mutex) == 0) {
 *                  trim(cache);
 *                  weft_mutex_unlock(&cache->mutex);
 *          }
 */
WEFT_API int weft_mutex_trylock(weft_mutex *mutex);

/**
 * weft_mutex_lock_by - lock a mutex, but wait no longer than to a time.
 * @mutex     not held by the caller.
 * @deadline  absolute. WEFT_FOREVER: none, but unlike weft_mutex_lock() the call can be cancelled.
 *            A free mutex is locked also when @deadline has passed.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     as weft_mutex_lock(); a timer when it parks.
 * Returns  0: locked.
 * Errors   -ETIMEDOUT @deadline has passed, or the fiber's own (weft)
 *          -ECANCELED as fiber.h says (weft)
 *          -EDEADLK   the caller holds it (weft)
 *          -EINVAL    @mutex is NULL (weft)
 * Example  if (weft_mutex_lock_by(&bank->mutex, weft_after(10 * WEFT_MS)) < 0)
 *                  return busy();
 */
WEFT_API int weft_mutex_lock_by(weft_mutex *mutex, weft_ns deadline);

/**
 * weft_mutex_unlock - unlock a mutex.
 * @mutex  held by the caller.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation when nobody waits, else a wake-up.
 * Returns  0.
 * Errors   -EPERM  the caller does not hold it; nothing changed (weft)
 *          -EINVAL @mutex is NULL (weft)
 * Example  see weft_mutex_lock().
 */
WEFT_API int weft_mutex_unlock(weft_mutex *mutex);

/**
 * weft_rwlock - many readers, or one writer.
 *
 * A reader that comes while a writer waits waits behind it, so that writers do not starve; a writer
 * that unlocks lets all readers in that wait then, so that readers do not either. A read lock is
 * given back by whoever took it.
 */
typedef struct weft_rwlock {
	uint64_t opaque[2];
} weft_rwlock;
/* clang-format off */
#define WEFT_RWLOCK_INIT {{0, 0}}
/* clang-format on */

/**
 * weft_rwlock_rdlock - lock for reading: others may read too.
 * @lock  not held by the caller for writing. A second read lock on top of one's own is granted at
 *        once, also while a writer waits (of a caller with more than four read locks at a time that
 *        cannot be promised).
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     one atomic operation when no writer holds it or waits.
 * Returns  0: locked.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; not locked (weft)
 *          -EDEADLK the caller holds it for writing (weft)
 *          -EAGAIN  2^31 readers hold it (weft)
 *          -EINVAL  @lock is NULL (weft)
 * Example  if (weft_rwlock_rdlock(&table->lock) == 0) {
 *                  value = find(table, key);
 *                  weft_rwlock_unlock(&table->lock);
 *          }
 */
WEFT_API int weft_rwlock_rdlock(weft_rwlock *lock);

/**
 * weft_rwlock_wrlock - lock for writing: nobody else reads or writes.
 * @lock  not held by the caller.
 *
 * Context  as weft_rwlock_rdlock().
 * Cost     one atomic operation when it is free.
 * Returns  0: locked.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; not locked (weft)
 *          -EDEADLK the caller holds it for writing, or is known to hold it for reading (weft)
 *          -EINVAL  @lock is NULL (weft)
 * Example  if (weft_rwlock_wrlock(&table->lock) == 0) {
 *                  insert(table, key, value);
 *                  weft_rwlock_unlock(&table->lock);
 *          }
 */
WEFT_API int weft_rwlock_wrlock(weft_rwlock *lock);

/**
 * weft_rwlock_tryrdlock - lock for reading if that can be done at once.
 * @lock  any.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Returns  0: locked.
 * Errors   -EBUSY a writer holds it or waits; -EAGAIN, -EINVAL as weft_rwlock_rdlock() (weft)
 * Example  if (weft_rwlock_tryrdlock(&table->lock) == 0) ...
 */
WEFT_API int weft_rwlock_tryrdlock(weft_rwlock *lock);

/**
 * weft_rwlock_trywrlock - lock for writing if that can be done at once.
 * @lock  any.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Returns  0: locked.
 * Errors   -EBUSY somebody holds it; -EINVAL @lock is NULL (weft)
 * Example  if (weft_rwlock_trywrlock(&table->lock) == 0) ...
 */
WEFT_API int weft_rwlock_trywrlock(weft_rwlock *lock);

/**
 * weft_rwlock_unlock - give up what the caller holds of a lock.
 * @lock  held by the caller, for reading or for writing.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation when nobody waits, else wake-ups.
 * Returns  0.
 * Errors   -EPERM  the caller does not hold it; nothing changed. (Of a caller with more than four
 *                  read locks at a time only the number is known: giving back another's may then go
 *                  unnoticed.) (weft)
 *          -EINVAL @lock is NULL (weft)
 * Example  see weft_rwlock_rdlock().
 */
WEFT_API int weft_rwlock_unlock(weft_rwlock *lock);

/**
 * weft_cond - to wait until something that a mutex protects has changed.
 */
typedef struct weft_cond {
	uint64_t opaque[2];
} weft_cond;
/* clang-format off */
#define WEFT_COND_INIT {{0, 0}}
/* clang-format on */

/**
 * weft_cond_wait - unlock a mutex and wait for a signal, in one step; lock it again before
 * returning.
 * @cond   the condition.
 * @mutex  held by the caller. It is held again at return, whatever is returned (but -EPERM and
 *         -EINVAL).
 *
 * No signal between the unlock and the wait is lost. There are no spurious returns of 0, but
 * somebody else may have had the mutex between the signal and the return: look again, as in the
 * example. A signal that meets a cancellation goes to another waiter.
 *
 * Context  fiber: parks yes, cancel point yes (not while it locks again). Plain thread: blocks.
 *          errno untouched. May return on another thread.
 * Cost     two switches.
 * Returns  0: signalled.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says (weft)
 *          -EPERM  the caller does not hold @mutex; nothing happened (weft)
 *          -EINVAL @cond or @mutex is NULL (weft)
 * Example  weft_mutex_lock(&queue->mutex);
 *          while (queue->count == 0 && error == 0)
 *                  error = weft_cond_wait(&queue->filled, &queue->mutex);
 */
WEFT_API int weft_cond_wait(weft_cond *cond, weft_mutex *mutex);

/**
 * weft_cond_signal - wake the fiber or thread that has waited longest.
 * @cond  any; NULL and one that nobody waits for: nothing happens. The mutex may be held or not.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Example  queue->count++;
 *          weft_cond_signal(&queue->filled);
 *          weft_mutex_unlock(&queue->mutex);
 */
WEFT_API void weft_cond_signal(weft_cond *cond);

/**
 * weft_cond_broadcast - wake all who wait.
 * @cond  as weft_cond_signal().
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Example  see weft_cond_signal().
 */
WEFT_API void weft_cond_broadcast(weft_cond *cond);

/**
 * weft_sem - a number of permits. Those who wait get them in the order in which they came; nobody
 * overtakes them.
 */
typedef struct weft_sem {
	uint64_t opaque[2];
} weft_sem;
/* clang-format off */
#define WEFT_SEM_INIT(permits) {{((permits) + 0u) * UINT64_C(8), 0}}
/* clang-format on */

/**
 * weft_sem_init - set the number of permits of a semaphore that nobody uses.
 * @sem      its storage; NULL: nothing happens. One that somebody waits for must not be
 *           initialised.
 * @permits  how many there are to begin with.
 *
 * Context  any thread. Parks no. errno untouched.
 * Example  weft_sem_init(&connections, 100);
 */
WEFT_API void weft_sem_init(weft_sem *sem, unsigned permits);

/**
 * weft_sem_wait - take a permit; waits until there is one.
 * @sem  the semaphore.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     one atomic operation when there is a permit.
 * Returns  0: a permit is the caller's.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; none was taken (weft)
 *          -EINVAL @sem is NULL (weft)
 * Example  if (weft_sem_wait(&connections) == 0) {
 *                  talk();
 *                  weft_sem_post(&connections);
 *          }
 */
WEFT_API int weft_sem_wait(weft_sem *sem);

/**
 * weft_sem_trywait - take a permit if there is one.
 * @sem  the semaphore.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Returns  0: a permit is the caller's.
 * Errors   -EAGAIN there is none; -EINVAL @sem is NULL (weft)
 * Example  if (weft_sem_trywait(&tokens) == -EAGAIN)
 *                  return too_fast();
 */
WEFT_API int weft_sem_trywait(weft_sem *sem);

/**
 * weft_sem_post - give a permit: to the first who waits, else to the semaphore.
 * @sem  the semaphore. The caller need not have taken one.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation when nobody waits, else a wake-up.
 * Returns  0.
 * Errors   -EOVERFLOW there are UINT_MAX permits already (weft)
 *          -EINVAL    @sem is NULL (weft)
 * Example  see weft_sem_wait().
 */
WEFT_API int weft_sem_post(weft_sem *sem);

/**
 * weft_waitgroup - a count of work under way; to wait until none is left. It can be used again
 * after that.
 */
typedef struct weft_waitgroup {
	uint64_t opaque[2];
} weft_waitgroup;
/* clang-format off */
#define WEFT_WAITGROUP_INIT {{0, 0}}
/* clang-format on */

/**
 * weft_waitgroup_add - change the count.
 * @group  the waitgroup.
 * @delta  added to it; may be negative. Work is added before it is handed out, not by whoever does
 *         it: else a wait may see zero too early.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation; a wake-up for each who waits when the count reaches zero.
 * Returns  0.
 * Errors   -EINVAL    the count would be below zero, or @group is NULL; nothing changed (weft)
 *          -EOVERFLOW it would be above INT_MAX; nothing changed (weft)
 * Example  weft_waitgroup_add(&group, 1);
 *          if (weft_go(work, &group) < 0)
 *                  weft_waitgroup_done(&group);
 */
WEFT_API int weft_waitgroup_add(weft_waitgroup *group, int delta);

/**
 * weft_waitgroup_done - one piece of work is done: weft_waitgroup_add(group, -1).
 * @group  the waitgroup.
 *
 * Context  as weft_waitgroup_add().
 * Returns  0, or an error as weft_waitgroup_add().
 * Example  see weft_waitgroup_add().
 */
WEFT_API int weft_waitgroup_done(weft_waitgroup *group);

/**
 * weft_waitgroup_wait - wait until the count is zero.
 * @group  the waitgroup.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     a load when it is zero.
 * Returns  0: it was zero at a moment during the call.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says (weft)
 *          -EINVAL @group is NULL (weft)
 * Example  error = weft_waitgroup_wait(&group);
 */
WEFT_API int weft_waitgroup_wait(weft_waitgroup *group);

/**
 * weft_event - a flag to wait for. It stays set until it is reset.
 */
typedef struct weft_event {
	uint64_t opaque[2];
} weft_event;
/* clang-format off */
#define WEFT_EVENT_INIT {{0, 0}}
/* clang-format on */

/**
 * weft_event_set - set the flag, and wake all who wait.
 * @event  the event; NULL and one that is set: nothing happens.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one atomic operation; a wake-up for each who waits.
 * Example  weft_event_set(&server->ready);
 */
WEFT_API void weft_event_set(weft_event *event);

/**
 * weft_event_reset - clear the flag. Who was woken by a set before it returns 0 all the same.
 * @event  the event; NULL and one that is not set: nothing happens.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Example  weft_event_reset(&server->ready);
 */
WEFT_API void weft_event_reset(weft_event *event);

/**
 * weft_event_wait - wait until the flag is set.
 * @event  the event.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     a load when it is set.
 * Returns  0: it was set at a moment during the call.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says (weft)
 *          -EINVAL @event is NULL (weft)
 * Example  if (weft_event_wait(&server->ready) == 0)
 *                  connect_to(server);
 */
WEFT_API int weft_event_wait(weft_event *event);

/**
 * weft_once - something that is done once, by the first who needs it.
 */
typedef struct weft_once {
	uint64_t opaque[2];
} weft_once;
/* clang-format off */
#define WEFT_ONCE_INIT {{0, 0}}
/* clang-format on */

/**
 * weft_once_do - run a function unless that has been done; returns when it has ended.
 * @once  must outlive every call.
 * @fn    run by the first caller. It may park. What it returns is dropped.
 * @arg   handed to @fn.
 *
 * Context  fiber: parks yes, while another caller runs it, and cancel point yes. Plain thread:
 *          blocks. errno untouched. May return on another thread.
 * Cost     a load when it has been done.
 * Returns  0: @fn, of this call or of another, has ended.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; this call has not run @fn (weft)
 *          -EDEADLK called from within @fn (weft)
 *          -EINVAL  @once or @fn is NULL (weft)
 * Example  static weft_once loaded = WEFT_ONCE_INIT;
 *          error = weft_once_do(&loaded, load_tables, NULL);
 */
WEFT_API int weft_once_do(weft_once *once, weft_fn fn, void *arg);

/**
 * weft_barrier - a line where a number of fibers or threads wait until all are there. It can be
 * used again at once.
 *
 * It must outlive every call: one that was cancelled as the barrier opened still looks at it.
 */
typedef struct weft_barrier {
	uint64_t opaque[3];
} weft_barrier;
/* clang-format off */
#define WEFT_BARRIER_INIT(parties) {{0, 0, (parties) + UINT64_C(0)}}
/* clang-format on */

/**
 * weft_barrier_init - set how many have to be there.
 * @barrier  its storage; nobody waits for it.
 * @parties  1 or more.
 *
 * Context  any thread. Parks no. errno untouched.
 * Returns  0.
 * Errors   -EINVAL @barrier is NULL or @parties is 0 (weft)
 * Example  error = weft_barrier_init(&barrier, weft_workers());
 */
WEFT_API int weft_barrier_init(weft_barrier *barrier, unsigned parties);

/**
 * weft_barrier_wait - wait until all are there.
 * @barrier  an initialised one.
 *
 * Who gives up is no longer counted: one more has to come then.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     a switch; for the last to come, a wake-up for each who waits.
 * Returns  1 to one of them (the last to come), 0 to the others.
 * Errors   -ECANCELED, -ETIMEDOUT as fiber.h says; not counted (weft)
 *          -EINVAL @barrier is NULL or zeroed (weft)
 * Example  if (weft_barrier_wait(&barrier) == 1)
 *                  swap(&current, &next);   // one of them does it
 */
WEFT_API int weft_barrier_wait(weft_barrier *barrier);

/**
 * weft_futex_wait - wait for a wake-up on a word, if the word still holds a value: to build one's
 * own synchronisation.
 * @word      4-byte aligned; read atomically. Whoever changes it so that a waiter should go on
 *            calls weft_futex_wake() afterwards.
 * @expected  what the caller has found there. The look at @word and the beginning of the wait are
 *            one step: a wake-up in between is not lost.
 *
 * It knows only of weft_futex_wake(), not of the kernel's futex(2). The word is only an address
 * here: it may be anything's, and whoever returned from the wait may give its memory back.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     a lock out of a table of the process; a switch when it parks.
 * Returns  0: woken. That says nothing of what @word holds now: look again.
 * Errors   -EAGAIN @word does not hold @expected (weft)
 *          -ECANCELED, -ETIMEDOUT as fiber.h says (weft)
 *          -EINVAL @word is NULL or not aligned (weft)
 * Example  uint32_t seen;
 *          while ((seen = __atomic_load_n(&gate, __ATOMIC_ACQUIRE)) == CLOSED)
 *                  weft_futex_wait(&gate, seen);
 */
WEFT_API int weft_futex_wait(const uint32_t *word, uint32_t expected);

/**
 * weft_futex_wake - wake those who wait on a word, the longest waiting first.
 * @word   the address; not read.
 * @count  at most so many.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a lock out of a table of the process; a wake-up for each.
 * Returns  how many were woken: they return 0.
 * Errors   -EINVAL @word is NULL or not aligned (weft)
 * Example  __atomic_store_n(&gate, OPEN, __ATOMIC_RELEASE);
 *          weft_futex_wake(&gate, UINT_MAX);
 */
WEFT_API int weft_futex_wake(const uint32_t *word, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
