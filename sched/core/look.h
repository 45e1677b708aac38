/* SPDX-License-Identifier: MIT */
/* look.h - where a running fiber is, told by its thread without disturbing it
 *
 * What     the program counters of what a worker's thread runs. One that sleeps in the kernel is described by /proc: the call, and where its stack stands.
 *          One that computes is asked by a timer of its own user time: the signal comes at a tick of the clock that finds the thread in its
 *          own code, and so never ends a system call with EINTR.
 * Rejected a signal sent by tgkill: a thread that is just falling asleep then returns EINTR from calls that the kernel does not restart.
 * Rules    LK1 one question at a time to a thread; an answer carries the count of runs at which it was given, so that an old one is known.
 *             Who asked may go before it is answered: an answer that is being written is then thrown away by its writer.
 *          LK2 the handler walks its own stack, writes into its thread's struct, and calls nothing that locks.
 *          LK3 the signal is SIGURG: debuggers pass it on without stopping, and one that comes when its handler is gone does nothing. Where the
 *             program has taken it before its first runtime starts, it is the highest real-time one that is left. Only workers' threads take it.
 *          LK4 the handler may use the thread's engine: that is closed when no signal can come any more.
 * Order    LO-1 state: ASKED (release) -> who answers (acquire; ANSWERS) -> ANSWERED (release) -> the asker (acquire): carries the answer.
 *          LO-2 tid: 0 until the thread has made its part ready (release), and from when it takes that back: who asks (acquire) has look_lock.
 * Tests    tests/stuck, tests/obs/dump_test.cc
 */
#ifndef WF_SCHED_CORE_LOOK_H
#define WF_SCHED_CORE_LOOK_H

#include "sched/base/limits.h"
#include "sched/core/worker.h"

/* Threads in the kernel: the number of the system call, or: */
#define WF_LOOK_COMPUTES (-1) /* none, or it is not known */

/* First runtime, last runtime. */
void wf_look_install(void);
void wf_look_remove(void);
/* On the thread itself: between the two it can be asked, and has its number in thread->tid. */
void wf_look_thread_init(struct wf_thread *thread);
void wf_look_thread_end(struct wf_thread *thread);

/* Asks; false: another question is still open. What can be answered at once is. */
bool wf_look_ask(struct wf_thread *thread);
/* True: answered, thread->look is the caller's to read until wf_look_done. */
bool wf_look_answered(const struct wf_thread *thread);
void wf_look_done(struct wf_thread *thread);
/* All of it: asks, and waits at most so long for the answer, as long as the thread runs the same fiber. The copy is complete, or false. */
bool wf_look_at_thread(struct wf_thread *thread, struct wf_look *look, int64_t patience);
/* What it does, in words: "computes", "is in system call nanosleep". */
void wf_look_describe(const struct wf_look *look, char *buffer, size_t size);

/* WEFT_RESCUE_SIGNAL: has the thread bring its completions. */
void wf_look_fetch(struct wf_thread *thread);

#endif
