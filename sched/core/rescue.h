/* SPDX-License-Identifier: MIT */
/* rescue.h - what a stuck worker holds reaches other workers (law 7), and the spare threads that stand in
 *
 * What     a worker is stuck when its fiber does not give way: it computes, or sits in a system call that weft does not know. The monitor finds
 *          that out, because the worker's count of runs stands still, and asks for a rescue; a live worker carries it out at its next tick:
 *          it takes the ready and the unstarted fibers, fires due timers, hands out completions, answers cancel requests, and moves operations
 *          in flight to its own engine. Where no worker is live, the monitor starts a spare: a worker with a thread and an engine
 *          of its own that exists only while it is needed. The stuck fiber is not touched: it keeps its worker and goes on when it can.
 * Rejected adoption, where a spare takes over the worker itself, queues and all, and the stuck fiber finds it gone: every public call would have to
 *          begin and end with a claim of its worker (ADR-0014). A signal: it ends other people's sleeps with EINTR.
 * Rules    RS1 a rescue never waits for the stuck thread: it tries locks, and takes what has been published. What it cannot have now it gets
 *             at the next look, a millisecond later.
 *          RS2 pinned fibers wait for their worker. A spare never starts one: it puts it where the runtime's workers look, and the worker that takes it
 *             is its own from then on. To choose one would not do: that may be stuck just because its fiber waits for this one.
 *          RS3 the queues of a runtime with one worker are used without locked instructions until a spare is needed. Then, in this order:
 *             `shared` is set, every thread of the process passes a barrier (membarrier), and `after.kind` is looked at: NONE means that the
 *             worker is in its fiber's code, and whatever it does with its queues from now on it does as with thieves about. Else the next look
 *             tries again. The worker marks by `after.kind` that it is at its queues, before it reads `shared`.
 *          RS4 a spare's life: ABSENT -> RUNS (by the monitor) -> RETIRES (by the monitor; back to RUNS when it is needed again) -> LEFT (by
 *             itself, when it holds nothing, or could not open its engine) -> ABSENT (by the monitor, which joins its thread). Retiring it
 *             runs no fibers: it gives away its queues and timers, moves its operations out, and lets end those that cannot move.
 *          RS5 requests that reach the box of a spare that has left are answered by who posts them: LEFT is set (sc) before the box is
 *             looked at for the last time, and read (sc) after a post.
 *          RS6 a spare leaves only when nobody owes it an interrupt: it was told as often as its sleep bit was taken (`claims`).
 *          RS7 a runtime with one worker has never two threads at its fibers: who runs them has the baton. The monitor takes it from a stuck
 *             worker, between two looks at which that is in its fiber's code, in the same run, and gives it to a spare; back among its queues the worker asks for it, runs
 *             nothing before it has it, and the spare passes it on at its next switch. So fibers of one worker that share data without a lock
 *             meet another only where one of them is stuck.
 *          RS8 not stuck is who only waits for a processor: moving its work would help nobody, and take fibers by surprise.
 * Order    RS-1 rescue_wanted: the monitor's swap -> the rescuer's swap; nothing is carried by it.
 *          RS-2 baton and baton_wanted: each side a seq_cst RMW on its word, then a seq_cst load of the sleepers' bitmap; who sleeps, the reverse (ID-1).
 * Tests    tests/stuck, tests/model/unbound_model.c (RS2), tests/model/rescue_model.c (RS3), tests/model/baton_model.c (RS7), tests/model/spare_model.c (RS4 to RS6)
 */
#ifndef WF_SCHED_CORE_RESCUE_H
#define WF_SCHED_CORE_RESCUE_H

#include "sched/core/runtime.h"

enum wf_spare_state {
	WF_SPARE_ABSENT,
	WF_SPARE_RUNS,
	WF_SPARE_RETIRES,
	WF_SPARE_LEFT,
	WF_SPARE_MEETS, /* the runtime ends: it comes to the workers' last meeting, as they do */
};

/* At a tick, when rt->rescues says that some are wanted. */
void wf_rescue(struct wf_worker *w);
/* Where an operation goes on that w was given as WF_OP_MOVED. */
struct wf_thread *wf_rescue_target(struct wf_worker *w);
/* RS2: a HOMED fiber that w holds, to the inbox of the worker it belongs to. */
void wf_send_home(struct wf_worker *w, struct wf_fiber *fiber);
/* RS2: a fiber that w has just claimed and prepared; NULL: it was not for a spare to run. */
struct wf_fiber *wf_rescue_admit(struct wf_worker *w, struct wf_fiber *fiber);
/* RS2, by a worker that is no spare: the one that has waited longest; NULL: there is none. It is w's to run, and READY. */
struct wf_fiber *wf_rescue_take_unbound(struct wf_worker *w);

static inline bool wf_is_spare(const struct wf_worker *w)
{
	return w->index >= w->rt->worker_count;
}

/* Is there one for w? rlx: who is about to sleep looks again. */
static inline bool wf_sees_unbound(const struct wf_worker *w)
{
	return WF_UNLIKELY(wf_load_rlx32(&w->rt->unbound) != WF_NO_FIBER) && !wf_is_spare(w);
}

bool wf_spare_retires(const struct wf_worker *w);

#define WF_NO_BATON UINT32_MAX
/* RS7. */
bool wf_has_baton(const struct wf_worker *w);
static inline bool wf_may_run(const struct wf_worker *w)
{
	return WF_LIKELY(wf_load_rlx32(&w->gated) == 0) ||
		wf_has_baton(w); /* rlx: the barrier of RS3 orders it */
}

/* What a worker's thread is there for. It changes at any moment; who sleeps looks again (ID-1.6). */
enum wf_role {
	WF_WORKS,
	WF_STANDS_BY, /* without the baton */
	WF_GOES,      /* a spare that retires */
};

static inline enum wf_role wf_role(const struct wf_worker *w)
{
	if (wf_is_spare(w) && wf_spare_retires(w))
		return WF_GOES;
	return wf_may_run(w) ? WF_WORKS : WF_STANDS_BY;
}

/* A worker that runs no fibers now. */
static inline bool wf_stands_by(const struct wf_worker *w)
{
	return wf_role(w) != WF_WORKS;
}

/* What such a one does at its tick: gives away what it has. True: it is a spare, nothing is left, and it has left (RS4). *role: as what it has acted,
 * which may have changed twice since. */
bool wf_stand_by(struct wf_worker *w, enum wf_role *role);
/* Instead of ID-1.6, for such a one: is there anything it has to do, or to give away? */
bool wf_stander_has_work(const struct wf_worker *w);
/* RS5, after a post to the worker's boxes. */
void wf_spare_check_box(struct wf_worker *w, struct wf_worker *target);

/* By the monitor. Before the workers start: 0 or a negative errno. */
int wf_rescue_prepare(struct wf_runtime *rt);
/* RS3: may others take from the runtime's queues? And back, when there are no others. */
bool wf_rescue_share(struct wf_runtime *rt);
/* Every thread of the process passes a barrier between call and return. False: the kernel refuses. */
bool wf_rescue_barrier(void);
void wf_rescue_unshare(struct wf_runtime *rt);
/* The kernel holds back completions of a stuck worker until its thread enters it: has it do so, as weft_config.rescue says. `first`: of this stall. */
void wf_rescue_disturb(struct wf_worker *w, bool first);
/* RS7: its holder is stuck. As wf_spare_start. */
int wf_baton_move(struct wf_runtime *rt);
/* One more spare runs: 0, -EBUSY when all run already, or why it could not start. */
int wf_spare_start(struct wf_runtime *rt);
/* Has the newest spare retire; `count`: so many may go on running. */
void wf_spares_keep(struct wf_runtime *rt, uint32_t count);
/* Joins those that have left. 0, or why one could not start. */
int wf_spares_join(struct wf_runtime *rt);
uint32_t wf_spares_running(struct wf_runtime *rt);
bool wf_spares_gone(const struct wf_runtime *rt);
/* The runtime ends, the monitor has ended: how many spares will come to the workers' last meeting. Then joins them. */
uint32_t wf_spares_settle(struct wf_runtime *rt);
void wf_spares_end(struct wf_runtime *rt);

#endif
