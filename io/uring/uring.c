/* SPDX-License-Identifier: MIT */
/* uring.c - the io_uring engine: one ring a thread
 *
 * What     operations become SQEs, queued while fibers run and handed to the kernel once a tick by one io_uring_enter, which
 *          also brings the completions. The mode is probed when the ring is made: DEFER_TASKRUN, then COOP_TASKRUN, then plain.
 * Owns     the ring, the table of operations in flight, the eventfd by which others end this thread's sleep.
 * Rules    Y1 user_data is {generation, slot} of the table, never an address: a completion or a cancellation that comes late finds a
 *             slot of another generation (law 4).
 *          Y2 an operation for which there is no room waits in the backlog, first come first served.
 *          Y3 what io_uring_enter leaves undone (EBUSY, EAGAIN, EINTR, a short submit) stays in the ring's queue and is tried again
 *             at the next tick; a sleep never begins while something is left.
 *          Y4 the eventfd's READ is armed before a sleep and stays armed; its buffer lives as long as the ring.
 *          Y6 another thread may do all of this while the owner is stuck, but not enter a ring of mode defer: there it only takes completions
 *             that are in the ring. It enters by the descriptor's number (`by_number`); the registered one is the owner's.
 *          Y5 IORING_SQ_TASKRUN may stay set with nothing behind it: the kernel queues work, then sets the flag, and this thread may have
 *             done the work in between; an enter that finds no work does not clear it. So the flag may cause one enter a tick, never a
 *             loop: a worker without fibers sleeps whatever the flag says, and the kernel's wait knows better.
 * Tests    tests/io/uring_test.cc (all modes, tiny rings), tests/io/cancel_test.cc
 */
#include "io/uring/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/uring/lend.h"
#include "io/uring/prepare.h"
#include "sched/base/alloc.h"
#include "sched/base/log.h"
#include "sched/base/own_fd.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"
#include "sched/core/rescue.h"

WF_OWNER_CODE_BEGIN

#define TAG_EVENT UINT64_MAX	       /* the eventfd's READ */
#define TAG_CANCEL (UINT64_C(1) << 63) /* with an operation's tag: the request to cancel it */
#define GENERATION_MAX (UINT32_MAX >> 1)
#define NO_SLOT UINT32_MAX
#define KERNEL_RESTART                                                                             \
	512 /* ERESTARTSYS: never meant for user space, but io_uring's openat lets it out */

struct slot {
	struct wf_op *op; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct uring {
	struct io_uring ring;
	struct io_uring by_number; /* Y6: the same ring; its counters are copied there and back */
	struct slot *slot;
	uint32_t slots, free_slot;
	uint32_t in_flight; /* operations in slots and in the backlog */
	struct wf_op *backlog, *backlog_tail;
	bool cancels_unsent; /* some operation's cancellation waits for room */
	wf_a32 left;	     /* pending() may know: something waits for the next flush */
	bool event_armed;
	bool poll_first;
	struct wf_uring_lend lend;
	int event_fd;
	uint64_t event_value; /* Y4 */
	bool defer;	      /* Y6 */
	const char *mode;
};

/* The last two: it is to move, unless it is cancelled meanwhile. */
enum { CANCEL_NONE, CANCEL_WAITS, CANCEL_SENT, MOVE_WAITS, MOVE_SENT };

/* In the order of preference where stuck workers are looked after by signals or not at all. */
static const struct {
	const char *name;
	unsigned config_flag;
	unsigned setup;
	bool poll_first; /* IORING_RECVSEND_POLL_FIRST came with the kernel that has this mode */
} modes[] = {
	{"defer", WEFT_RING_DEFER,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		true},
	{"coop", WEFT_RING_COOP,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, true},
	{"plain", WEFT_RING_PLAIN, 0, false},
};
#define MODES (sizeof(modes) / sizeof(modes[0]))
#define MODE_FLAGS (WEFT_RING_DEFER | WEFT_RING_COOP | WEFT_RING_PLAIN)

static bool is_asked_for(unsigned mode, const weft_config *config)
{
	unsigned forced = config->flags & MODE_FLAGS;
	if (forced != 0)
		return forced & modes[mode].config_flag;
	/* In mode defer only the owner can bring its completions: ADR-0014. */
	return config->rescue != WEFT_RESCUE_COOP || modes[mode].config_flag != WEFT_RING_DEFER;
}

/* Makes the ring in the first mode the kernel takes; the index of the mode, or a negative errno. */
static int try_ring(struct io_uring *ring, const weft_config *config, unsigned entries, unsigned completions)
{
	int error = -EINVAL;
	for (unsigned i = 0; i < MODES && error == -EINVAL; i++) {
		if (!is_asked_for(i, config))
			continue;
		struct io_uring_params params = {
			.flags = modes[i].setup | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP};
		params.cq_entries = completions;
		error = io_uring_queue_init_params(entries, ring, &params);
		if (error == 0)
			return (int)i;
	}
	return error;
}

/* Where memory is refused, waits a little, for the kernel frees the rings of an earlier runtime behind its back, and then takes
 * smaller ones: what does not fit into a completion ring is kept by the kernel, so size is speed only. Not `patient`: others wait for it. */
static int setup_ring(struct io_uring *ring, const weft_config *config, bool patient, bool *small)
{
	unsigned entries = config->ring_entries;
	/* Completions come in bursts: one per operation in flight. A ring whose size was given keeps the proportion. */
	unsigned completions = entries == WF_RING_ENTRIES ? WF_RING_CQ : entries * 4;
	int mode = -ENOMEM;
	for (int64_t pause = WF_RING_PAUSE_NS; pause <= WF_RING_PAUSE_NS << 6; pause *= 2) {
		mode = try_ring(ring, config, entries, completions);
		if (mode != -ENOMEM)
			return mode;
		if (!patient)
			break;
		wf_pause(pause);
	}
	*small = true;
	while (mode == -ENOMEM && entries > 1) {
		entries = entries > 16 ? entries / 4 : 1;
		mode = try_ring(ring, config, entries, entries * 2);
	}
	return mode;
}

int wf_uring_probe(const weft_config *config)
{
	struct io_uring ring;
	int mode = try_ring(&ring, config, 1, 2);
	if (mode < 0)
		return mode == -ENOMEM ? 0 : mode; /* the workers' own rings say more */
	io_uring_queue_exit(&ring);
	wf_log(WF_LOG_INFO, "engine: io_uring, ring mode %s", modes[mode].name);
	return 0;
}

static bool grow_slots(struct uring *u)
{
	uint32_t slots = u->slots == 0 ? 256 : u->slots * 2;
	struct slot *table = wf_alloc(slots * sizeof(*table));
	if (table == NULL)
		return false;
	if (u->slots > 0)
		memcpy(table, u->slot, u->slots * sizeof(*table));
	for (uint32_t i = slots; i-- > u->slots;) {
		table[i] = (struct slot){.generation = 1, .next_free = u->free_slot};
		u->free_slot = i;
	}
	wf_free(u->slot, u->slots * sizeof(*table));
	u->slot = table;
	u->slots = slots;
	return true;
}

static int uring_open(struct wf_thread *thread, const weft_config *config)
{
	struct uring *u = wf_alloc_lines(sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	u->free_slot = NO_SLOT;
	bool small = false;
	int mode = setup_ring(&u->ring, config, !wf_is_spare(thread->worker), &small);
	if (mode < 0) {
		wf_free_lines(u, sizeof(*u));
		return mode;
	}
	if (small && thread->slot == 0)
		wf_log(WF_LOG_WARN,
			"locked memory is short: the rings are smaller than asked (raise ulimit -l)");
	u->mode = modes[mode].name;
	u->defer = modes[mode].config_flag == WEFT_RING_DEFER;
	u->poll_first = modes[mode].poll_first;
	u->event_fd = wf_own_eventfd(0);
	int error = u->event_fd < 0 ? u->event_fd : 0;
	if (error == 0 && !grow_slots(u))
		error = -ENOMEM;
	if (error != 0) {
		if (u->event_fd >= 0)
			wf_own_close(u->event_fd);
		io_uring_queue_exit(&u->ring);
		wf_free_lines(u, sizeof(*u));
		return error;
	}
	io_uring_ring_dontfork(&u->ring); /* a child must not submit on this ring */
	u->by_number = u->ring;
	io_uring_register_ring_fd(&u->ring); /* saves 60-130 ns an enter; works without too */
	thread->engine = u;
	thread->operations = wf_uring_offered(&u->ring);
	return 0;
}

/* A slot and an SQE for the operation, or false: no room now. */
static bool place(struct uring *u, struct wf_op *op)
{
	if (u->free_slot == NO_SLOT && !grow_slots(u))
		return false;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	if (sqe == NULL)
		return false;
	uint32_t at = u->free_slot;
	struct slot *slot = &u->slot[at];
	u->free_slot = slot->next_free;
	slot->op = op;
	op->slot = at;
	wf_uring_prepare(sqe, op, u->poll_first);
	sqe->user_data = (uint64_t)slot->generation << 32 | at; /* Y1 */
	return true;
}

/* False: such a receive has to be completed without the kernel, as those are that wait in the backlog (E2). */
static bool can_lend(struct uring *u, const struct wf_op *op)
{
	return WF_LIKELY(!(op->hints & WF_OP_LEND)) || wf_uring_lend_ready(&u->lend, &u->ring);
}

static void queue(struct wf_thread *thread, struct uring *u, struct wf_op *op)
{
	op->next = NULL;
	op->slot = NO_SLOT;
	if (u->backlog == NULL && can_lend(u, op) && place(u, op))
		return;
	wf_bump(wf_server(thread), WF_SQ_FULL, 1);
	if (u->backlog == NULL) /* Y2 */
		u->backlog = op;
	else
		u->backlog_tail->next = op;
	u->backlog_tail = op;
}

static void uring_submit(struct wf_thread *thread, struct wf_op *op)
{
	struct uring *u = thread->engine;
	op->cancel_asked = CANCEL_NONE;
	u->in_flight++;
	queue(thread, u, op);
}

static bool send_cancel(struct wf_thread *thread, struct uring *u, struct wf_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	if (sqe == NULL)
		return false;
	io_uring_prep_cancel64(sqe, (uint64_t)u->slot[op->slot].generation << 32 | op->slot, 0);
	sqe->user_data = TAG_CANCEL | (uint64_t)u->slot[op->slot].generation << 32 | op->slot;
	op->cancel_asked = op->cancel_asked == MOVE_WAITS ? MOVE_SENT : CANCEL_SENT;
	wf_bump(wf_server(thread), WF_CANCELS, 1);
	return true;
}

static bool cancel_waits(const struct wf_op *op)
{
	return op->cancel_asked == CANCEL_WAITS || op->cancel_asked == MOVE_WAITS;
}

static void ask(struct wf_thread *thread, struct uring *u, struct wf_op *op, uint32_t what)
{
	op->cancel_asked = what;
	/* In the backlog: never handed to the kernel; drain_backlog() completes it. */
	if (op->slot != NO_SLOT && !send_cancel(thread, u, op))
		u->cancels_unsent = true;
	wf_store_rlx32(&u->left, 1); /* rlx: a hint */
}

static void uring_cancel(struct wf_thread *thread, struct wf_op *op)
{
	struct uring *u = thread->engine;
	if (op->cancel_asked == CANCEL_NONE)
		ask(thread, u, op, CANCEL_WAITS);
	else if (op->cancel_asked == MOVE_WAITS)
		op->cancel_asked = CANCEL_WAITS;
	else if (op->cancel_asked == MOVE_SENT)
		op->cancel_asked = CANCEL_SENT;
}

/* Can it be begun anew elsewhere when its cancellation succeeded? What has been transferred in part says so instead. */
static bool can_move(const struct wf_op *op)
{
	switch ((enum wf_op_code)op->code) {
	case WF_OP_RECV:
	case WF_OP_RECVMSG:
		return !(op->flags & MSG_WAITALL);
	case WF_OP_READ:
	case WF_OP_READV:
	case WF_OP_ACCEPT:
	case WF_OP_POLL:
	case WF_OP_WAITID:
		return true;
	default:
		return false;
	}
}

static void uring_move_out(struct wf_thread *thread, uint32_t most)
{
	struct uring *u = thread->engine;
	if (u->defer && wf_server(thread)->thread != thread)
		return; /* Y6 */
	for (uint32_t i = 0; i < u->slots && most > 0; i++) {
		struct wf_op *op = u->slot[i].op;
		if (op == NULL || op->cancel_asked != CANCEL_NONE || !can_move(op))
			continue;
		ask(thread, u, op, MOVE_WAITS);
		most--;
	}
}

static void send_waiting_cancels(struct wf_thread *thread, struct uring *u)
{
	u->cancels_unsent = false;
	for (uint32_t i = 0; i < u->slots; i++) {
		struct wf_op *op = u->slot[i].op;
		if (op != NULL && cancel_waits(op) && !send_cancel(thread, u, op)) {
			u->cancels_unsent = true;
			return;
		}
	}
}

static void drain_backlog(struct wf_thread *thread, struct uring *u)
{
	while (u->backlog != NULL) {
		struct wf_op *op = u->backlog;
		struct wf_op *next = op->next;
		if (op->cancel_asked != CANCEL_NONE) {
			u->backlog = next;
			u->in_flight--;
			wf_op_complete(wf_server(thread), op,
				op->cancel_asked >= MOVE_WAITS ? WF_OP_MOVED : -ECANCELED);
		} else if (!can_lend(u, op)) {
			u->backlog = next;
			u->in_flight--;
			wf_op_complete(wf_server(thread), op, -ENOBUFS);
		} else if (place(u, op)) {
			u->backlog = next;
		} else {
			return;
		}
	}
}

static void handle(struct wf_thread *thread, struct uring *u, const struct io_uring_cqe *cqe)
{
	uint64_t tag = cqe->user_data;
	if (tag == TAG_EVENT) {
		u->event_armed = false;
		if (cqe->res == (int32_t)sizeof(u->event_value))
			thread->interrupted += u->event_value;
		return;
	}
	struct slot *slot = &u->slot[(uint32_t)tag];
	if (tag & TAG_CANCEL) {
		/* The operation's own completion says what came of it; but one that was between two tries in the kernel was
		 * not found, and goes on: ask again. */
		if (cqe->res == -ENOENT && slot->op != NULL &&
			slot->generation == (uint32_t)((tag & ~TAG_CANCEL) >> 32)) {
			slot->op->cancel_asked =
				slot->op->cancel_asked == MOVE_SENT ? MOVE_WAITS : CANCEL_WAITS;
			u->cancels_unsent = true;
		}
		return;
	}
	WF_CHECK((uint32_t)tag < u->slots && slot->op != NULL &&
		slot->generation == (uint32_t)(tag >> 32)); /* Y1 */
	struct wf_op *op = slot->op;
	slot->op = NULL;
	slot->generation = slot->generation == GENERATION_MAX - 1 ? 1 : slot->generation + 1;
	slot->next_free = u->free_slot;
	u->free_slot = (uint32_t)tag;
	int32_t result = cqe->res;
	if (WF_UNLIKELY(result == -ECANCELED && op->cancel_asked == MOVE_SENT))
		result = WF_OP_MOVED; /* EN4 of engine.h */
	if (WF_UNLIKELY(op->hints & WF_OP_LEND))
		result = wf_uring_lend_complete(&u->lend, op, cqe);
	if (WF_UNLIKELY(op->code == WF_OP_POLL) && !wf_uring_poll_done(op, &result)) { /* PR2 */
		if (op->cancel_asked == CANCEL_NONE) {
			queue(thread, u, op);
			return;
		}
		wf_uring_poll_end(op);
		result = op->cancel_asked >= MOVE_WAITS ? WF_OP_MOVED : -ECANCELED;
	}
	u->in_flight--;
	/* An open that a cancellation interrupts says so in the kernel's own tongue. */
	wf_op_complete(wf_server(thread), op, result == -KERNEL_RESTART ? -EINTR : result);
}

static unsigned reap(struct wf_thread *thread, struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		handle(thread, u, cqe);
		count++;
	}
	io_uring_cq_advance(&u->ring, count);
	return count;
}

static unsigned ring_flags(const struct uring *u)
{
	return __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED); /* the enter that follows orders it */
}

static void submit_by_number(struct uring *u)
{
	u->by_number.sq = u->ring.sq;
	io_uring_submit_and_get_events(&u->by_number);
	u->ring.sq = u->by_number.sq;
}

static void enter(struct wf_thread *thread, struct uring *u)
{
	bool owner = wf_server(thread)->thread == thread;
	if (WF_UNLIKELY(!owner && u->defer)) /* Y6 */
		return;

	if (ring_flags(u) & IORING_SQ_CQ_OVERFLOW)
		wf_bump(wf_server(thread), WF_CQ_OVERFLOWS, 1);
	wf_bump(wf_server(thread), WF_ENTERS, 1);
	/* Errors leave the SQEs where they are (Y3). */
	if (WF_LIKELY(owner))
		io_uring_submit_and_get_events(&u->ring);
	else
		submit_by_number(u);
}

static bool kernel_has_work(const struct uring *u)
{
	return ring_flags(u) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void uring_flush(struct wf_thread *thread)
{
	struct uring *u = thread->engine;
	wf_uring_lend_refill(&u->lend);
	/* Once, and again as long as a full ring keeps operations waiting and makes room for them. */
	for (unsigned round = 0; round == 0 || (u->backlog != NULL && round < WF_FLUSH_ROUNDS); round++) {
		drain_backlog(thread, u);
		if (WF_UNLIKELY(u->cancels_unsent))
			send_waiting_cancels(thread, u);
		if (io_uring_sq_ready(&u->ring) > 0 || kernel_has_work(u))
			enter(thread, u);
		reap(thread, u);
	}
	bool left = u->backlog != NULL || u->cancels_unsent || io_uring_sq_ready(&u->ring) > 0;
	wf_store_rlx32(&u->left, left); /* rlx: a hint */
}

static bool uring_pending(struct wf_thread *thread)
{
	const struct uring *u = thread->engine;
	return io_uring_cq_ready(&u->ring) > 0 || kernel_has_work(u) ||
		wf_load_rlx32(&u->left) != 0; /* rlx: as above */
}

static uint32_t uring_in_flight(const struct wf_thread *thread)
{
	const struct uring *u = thread->engine;
	return u->in_flight;
}

static bool uring_held_back(const struct wf_thread *thread)
{
	return ring_flags(thread->engine) & IORING_SQ_TASKRUN;
}

static void uring_fetch(struct wf_thread *thread)
{
	const struct uring *u = thread->engine;
	/* Touches nothing of the ring but by the kernel, so it may come between any two instructions of its owner. */
	syscall(SYS_io_uring_enter, u->by_number.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

/* Y4. False: no SQE now. */
static bool arm_event(struct uring *u)
{
	if (u->event_armed)
		return true;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	if (sqe == NULL)
		return false;
	io_uring_prep_read(sqe, u->event_fd, &u->event_value, sizeof(u->event_value), 0);
	sqe->user_data = TAG_EVENT;
	u->event_armed = true;
	return true;
}

static void uring_wait(struct wf_thread *thread, int64_t deadline)
{
	struct uring *u = thread->engine;
	struct __kernel_timespec ts, *limit = NULL;
	if (u->backlog != NULL || u->cancels_unsent || !arm_event(u)) {
		uring_flush(thread); /* Y3: no sleep before everything is with the kernel */
		return;
	}
	if (deadline != INT64_MAX) {
		int64_t left = deadline - wf_clock_now();
		if (left <= 0) {
			uring_flush(thread);
			return;
		}
		ts.tv_sec = left / 1000000000;
		ts.tv_nsec = left % 1000000000;
		limit = &ts;
	}
	struct io_uring_cqe *cqe;
	wf_bump(wf_server(thread), WF_ENTERS, 1);
	/* ETIME, EINTR, EBUSY, EAGAIN: the caller looks again (Y3). */
	io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, limit, NULL);
	reap(thread, u);
}

static void uring_interrupt(struct wf_thread *thread)
{
	struct uring *u = thread->engine;
	static const uint64_t one = 1; /* not on the stack, which may be a fiber's: TSan looks into write() */
	/* The system call itself: that the thread was told before it closes the descriptor only the kernel and RS6 of rescue.h know. */
	long n = syscall(SYS_write, u->event_fd, &one, sizeof(one));
	WF_CHECK(n == (long)sizeof(one)); /* one write a sleep: the counter cannot be full */
}

static void uring_close(struct wf_thread *thread)
{
	struct uring *u = thread->engine;
	WF_CHECK(u->backlog == NULL);
	/* The READ writes into this struct: it must complete first (law 4). */
	if (u->event_armed)
		uring_interrupt(thread);
	while (u->event_armed) {
		struct io_uring_cqe *cqe;
		io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, NULL, NULL);
		reap(thread, u);
	}
	wf_uring_lend_end(&u->lend, &u->ring);
	io_uring_queue_exit(&u->ring);
	wf_own_close(u->event_fd);
	wf_free(u->slot, u->slots * sizeof(*u->slot));
	wf_free_lines(u, sizeof(*u));
	thread->engine = NULL;
}

static const char *uring_mode(const struct wf_thread *thread)
{
	const struct uring *u = thread->engine;
	return u->mode;
}

WF_OWNER_CODE_END

const struct wf_driver wf_uring_driver = {
	.name = "io_uring",
	.engine = WEFT_ENGINE_URING,
	.lends = true,
	.shows = true,
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.flush = uring_flush,
	.rescue = uring_flush,
	.move_out = uring_move_out,
	.in_flight = uring_in_flight,
	.held_back = uring_held_back,
	.fetch = uring_fetch,
	.wait = uring_wait,
	.interrupt = uring_interrupt,
	.pending = uring_pending,
	.mode = uring_mode,
};
