/* SPDX-License-Identifier: MIT */
/* driver.h - what the scheduler needs of an I/O engine: one table of functions, speaking operations
 *
 * What     an operation {code, descriptor, memory, numbers, result, ticket} is submitted by the thread a fiber runs on, completes on that
 *          thread (or, later, on one that reaps for it), and wakes the fiber by its ticket. io/api fills operations in and knows
 *          nothing else; io/uring carries them out; tests put their own table here.
 * Rules    E1 submit, cancel, flush, wait, move_out and in_flight are called by the thread that owns the engine state, rescue by another; all of them with
 *             that thread's lock held (engine.h), and so are pending and held_back, see `shows`. interrupt: any thread, without.
 *          E2 submit never blocks and never completes an operation itself; a full ring makes it wait its turn in a list.
 *          E3 an operation lives in the frame of the parked call. It completes exactly once (wf_op_complete), and the call does not return
 *             before, also when cancelled (law 4).
 *          E4 completions are handled in flush, wait and rescue, and nowhere else.
 *          E5 after wf_op_complete the engine does not touch the operation.
 *          E6 an operation with `complete` is detached: no fiber is parked in it. It stands in its thread's list while in flight, other threads ask
 *             for its end through the worker's op_box, and a thread ends those it still has before its engine closes.
 * Order    OB-1 op_box: push (sc cas) -> take (sc swap): carries the operation's link.
 */
#ifndef WF_SCHED_CORE_DRIVER_H
#define WF_SCHED_CORE_DRIVER_H

#include <stddef.h>
#include <stdint.h>
#include <weft/runtime.h>

#include "sched/base/atomic.h"

struct wf_thread;
struct wf_worker;
struct wf_fiber;

/* What an operation may be, and which of its fields say what. A path is `memory`, a second one `other`, relative to fd and fd2. */
enum wf_op_code {
	WF_OP_READ,	 /* fd, memory, size, offset (-1: the file's own position) */
	WF_OP_WRITE,	 /* the same */
	WF_OP_READV,	 /* fd, memory: iovec, size: how many, offset */
	WF_OP_WRITEV,	 /* the same */
	WF_OP_RECV,	 /* fd, memory, size, flags: MSG_* */
	WF_OP_SEND,	 /* the same */
	WF_OP_RECVMSG,	 /* fd, memory: msghdr, flags: MSG_* */
	WF_OP_SENDMSG,	 /* the same */
	WF_OP_ACCEPT,	 /* fd, memory: sockaddr or NULL, other: socklen_t or NULL, flags: SOCK_* */
	WF_OP_CONNECT,	 /* fd, memory: sockaddr, size */
	WF_OP_POLL,	 /* fd, flags: events; the result is the ready events */
	WF_OP_OPENAT,	 /* fd, memory, flags: O_*, size: mode */
	WF_OP_CLOSE,	 /* fd */
	WF_OP_SHUTDOWN,	 /* fd, flags: how */
	WF_OP_FSYNC,	 /* fd, flags: 1 for the data alone */
	WF_OP_FALLOCATE, /* fd, flags: mode, offset, size: length */
	WF_OP_FTRUNCATE, /* fd, size: length */
	WF_OP_STATX,	 /* fd, memory, flags: AT_*, size: mask, other: struct statx */
	WF_OP_UNLINKAT,	 /* fd, memory, flags: AT_* */
	WF_OP_RENAMEAT,	 /* fd, memory, fd2, other, flags: RENAME_* */
	WF_OP_MKDIRAT,	 /* fd, memory, size: mode */
	WF_OP_LINKAT,	 /* fd, memory, fd2, other, flags: AT_* */
	WF_OP_SYMLINKAT, /* memory: what it says, fd, other: its path */
	WF_OP_SPLICE,	 /* fd, offset to fd2, offset2 (-1: none); size, flags: SPLICE_F_* */
	WF_OP_WAITID, /* offset: the id, also in fd where it is a descriptor; size: its type, flags: options, other: siginfo_t */
	WF_OP_SOCKET, /* size: family, flags: type, offset: protocol */
	WF_OP_BIND,   /* fd, memory: sockaddr, size */
	WF_OP_LISTEN, /* fd, size: backlog */
	WF_OP_CODES,
};

/* An engine's result, not the kernel's: it cannot wait for this descriptor. The caller does the operation on a thread of the pool. */
#define WF_OP_BLOCKS INT32_MIN
/* Another one: nothing has come of it here, it goes on at another thread (EN4 of engine.h). */
#define WF_OP_MOVED (INT32_MIN + 1)
/* Of cancel_asked: named to a thread whose queue it has not reached yet, so no engine has it (EN4 of engine.h). */
#define WF_OP_UNDERWAY UINT32_MAX

/* Hints. */
#define WF_OP_POLL_FIRST 1u /* the first try would fail: wait for readiness at once */
#define WF_OP_LEND                                                                                 \
	4u /* RECV: into a buffer of the engine's (lend.h); at completion memory is it, other its lender. -ENOBUFS: none is left */
#define WF_OP_MOVES 8u /* io/api's: reads and moves the file's own position (C6 of fd.h) */
#define WF_OP_COUNTED                                                                              \
	2u /* io/api's: ends by itself, so it is counted at its descriptor, not listed (C5 of fd.h) */

struct wf_op {
	uint8_t code; /* enum wf_op_code */
	uint8_t hints;
	int32_t fd;
	uint32_t flags;
	int32_t result; /* after completion: >= 0 or a negative errno of the kernel */
	int32_t fd2;
	void *memory;
	void *other;
	uint64_t size;
	uint64_t offset, offset2;
	struct wf_fiber *fiber;
	uint64_t ticket;
	/* E6: called on the thread that reaped it; NULL: wakes the fiber */
	void (*complete)(struct wf_worker *w, struct wf_op *op, int32_t result);
	/* the engine's */
	uint32_t slot;
	uint32_t cancel_asked;
	struct wf_op *next, *prev; /* waiting: for room in the ring, or for a descriptor */
	/* io/api's: the descriptor's entry, and its other operations, under its lock */
	void *entry;
	struct wf_op *fd_next, *fd_prev;
};

/* A detached operation (E6), and where it is. */
struct wf_detached {
	struct wf_op op;
	wf_aptr thread;			 /* in flight there: struct wf_thread; NULL: idle */
	struct wf_detached *next, *prev; /* of that thread */
	wf_a32 boxed;			 /* 1: linked in some op_box */
	struct wf_detached *box_next;
	/* On a worker's thread, after wf_detached_ask: does it have to end? Then it cancels it, or asks again if it is elsewhere by now. */
	void (*review)(struct wf_worker *w, struct wf_detached *detached);
};

struct wf_driver {
	const char *name;
	unsigned engine; /* WEFT_ENGINE_* */
	bool lends;	 /* WF_OP_LEND is known */
	bool shows;	 /* the thread itself may call pending without its lock */

	/* Makes the engine state of one thread, on that thread, and says in thread->operations which codes it carries out, a bit a code. 0 or a
	 * negative errno of the kernel. */
	int (*open)(struct wf_thread *thread, const weft_config *config);
	/* Nothing is in flight. */
	void (*close)(struct wf_thread *thread);
	void (*submit)(struct wf_thread *thread, struct wf_op *op);
	void (*cancel)(struct wf_thread *thread, struct wf_op *op);
	/* Submits what waits and handles what has completed, without blocking. */
	void (*flush)(struct wf_thread *thread);
	/* What flush does, as far as another thread may, for one that is stuck. */
	void (*rescue)(struct wf_thread *thread);
	/* Has operations that can be begun anew elsewhere end as WF_OP_MOVED, now or soon; at most so many. */
	void (*move_out)(struct wf_thread *thread, uint32_t most);
	/* How many operations it has. */
	uint32_t (*in_flight)(const struct wf_thread *thread);
	/* Are there completions that the kernel hands out only when the thread itself enters it? */
	bool (*held_back)(const struct wf_thread *thread);
	/* Has the kernel hand them out: called by the thread itself, in a signal handler. */
	void (*fetch)(struct wf_thread *thread);
	/* The same, and blocks until a completion, an interrupt, or the deadline (INT64_MAX: none). */
	void (*wait)(struct wf_thread *thread, int64_t deadline);
	/* Ends the thread's wait, now or its next one. At most one call for each time the thread announced its sleep. */
	void (*interrupt)(struct wf_thread *thread);
	/* True when flush or rescue would probably find something; reads shared memory, or (epoll) looks without waiting. A hint: true may be wrong,
	 * and stay so. */
	bool (*pending)(struct wf_thread *thread);
	/* "defer", "coop", "plain"... for the stats. */
	const char *(*mode)(const struct wf_thread *thread);
};

/* E6. On the calling worker's thread; the operation is idle. */
void wf_detached_submit(struct wf_worker *w, struct wf_detached *detached);
/* First call of its complete function: it is idle again. */
void wf_detached_ended(struct wf_detached *detached);
/* Has it reviewed on the thread where it is in flight, at its next tick. Any thread, with what keeps it in flight locked. */
void wf_detached_ask(struct wf_worker *w, struct wf_detached *detached);
/* With the engine's lock held: its operation ends, if it is at that thread. False: it is not. */
bool wf_detached_cancel(struct wf_worker *w, struct wf_detached *detached);
/* It is in flight elsewhere now (EN4 of engine.h). */
void wf_detached_relist(struct wf_detached *detached, struct wf_thread *to);
/* Ends all of a thread, on it. */
void wf_detached_end_all(struct wf_thread *thread);

/* Called by the engine: the operation has its result; wakes the fiber (worker.c). */
void wf_op_complete(struct wf_worker *w, struct wf_op *op, int32_t result);

#endif
