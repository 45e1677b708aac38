/* SPDX-License-Identifier: MIT */
/* engine.h - the use of a thread's I/O engine: by its own thread or, while that is stuck, by another
 *
 * What     operations go through a queue in front of the engine. The engine itself is used under its thread's lock only: by the thread at its
 *          ticks and sleeps, by a rescuer (rescue.h) when a fiber holds the thread. So whatever has been submitted, and whatever completes,
 *          is within reach of every worker.
 * Rules    EN1 the lock is held by whoever calls the driver; `server` is that caller's worker, to which completions and counters go.
 *             The thread itself only tries: where a rescuer is at it, this tick finds nothing, and does not sleep. Held in a sleep, too.
 *          EN2 the queue is a stack that any thread pushes to and the lock's holder takes whole, so there is no ABA; the order of pushing is
 *             restored then.
 *          EN3 fiber->op_thread names the thread whose queue or engine holds the operation; it changes under that thread's lock, and is 0
 *             when the operation is over. So with the lock held and its own name there, the operation stays.
 *          EN4 an operation can be moved to another thread while nothing has come of it: it ends here as WF_OP_MOVED and is submitted
 *             there. Its fiber stays parked with the same ticket. What is on its way is in no engine (WF_OP_UNDERWAY), and an operation whose
 *             fiber is not parked yet is left in the queue by all but its own thread.
 * Order    EN-1 the queue: push (sc cas) -> take (sc swap): carries the operation. Pairs with ID-1.6 where another than the owner pushes.
 *          EN-2 (lost interrupt) two columns, each a seq_cst RMW on its own word, then a seq_cst load of the other's:
 *               mover                                 interrupter
 *               swap op_thread to the new thread      or the interrupt bit (WK-1.3)
 *               load the life word                    load op_thread
 * Tests    tests/model/engine_model.c (each step deleted in turn), tests/io, tests/stuck
 */
#ifndef WF_SCHED_CORE_ENGINE_H
#define WF_SCHED_CORE_ENGINE_H

#include "sched/core/worker.h"

/* Hands an operation to the thread's engine. The fiber's op_thread is set, or the operation is detached. */
void wf_engine_submit(struct wf_thread *thread, struct wf_op *op);

/* EN1, for w's own thread; nobody enters it afterwards. */
void wf_engine_close(struct wf_thread *thread);
void wf_engine_flush(struct wf_worker *w);
void wf_engine_wait(struct wf_worker *w, int64_t deadline);
/* Would a flush probably find something? */
bool wf_engine_pending(struct wf_worker *w);
/* What there is for a rescue; all 0 while somebody is at it. */
struct wf_engine_state {
	bool pending;
	bool held_back; /* until the thread itself enters the kernel */
	uint32_t in_flight;
};
void wf_engine_look(struct wf_thread *thread, struct wf_engine_state *state);

/* Takes the lock for w: its own thread's or another's. False: somebody else has it, or the engine is closed. */
bool wf_engine_enter(struct wf_worker *w, struct wf_thread *thread);
void wf_engine_leave(struct wf_worker *w, struct wf_thread *thread);
/* Has w entered it? */
static inline bool wf_engine_entered(const struct wf_worker *w, const struct wf_thread *thread)
{
	return wf_load_rlxp(&thread->server) == w; /* rlx: only w itself writes its own address there */
}

/* With the lock held: cancels the operation of a fiber whose op_thread is this thread, or a detached one. False: it is on its way here. For a
 * fiber's that is as good: its mover looks at the life word when it is here (EN-2). */
bool wf_engine_cancel(struct wf_thread *thread, struct wf_op *op);
/* With the lock of `from` held by w: moves what its queue holds to w's own thread. */
void wf_engine_take_queue(struct wf_worker *w, struct wf_thread *from);
/* EN4: the operation is in no engine now; it goes on at `to`. */
void wf_engine_move(struct wf_worker *w, struct wf_op *op, struct wf_thread *to);

#endif
