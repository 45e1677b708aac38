/* SPDX-License-Identifier: MIT */
/* fd.h - the descriptor table: which operations are on which descriptor, so that close() can be a wake-up (law 5)
 *
 * What     a process-wide two-level table with an entry a descriptor number: a lock, a state, the list of operations under way. An
 *          operation is entered before it is submitted and left after it has completed, by its own fiber.
 * Rejected a count alone (close must find the operations); cancelling by descriptor in the kernel (it matches the open file, and only on
 *          the ring that asks).
 * Owns     nothing: the operations live in their callers' frames.
 * Rules    C1 OPEN: calls enter. CLOSING: the number still belongs to the old file; calls get -EBADF, and the operations there are cancelled
 *             by their fibers' LIFE_CLOSE bit. RELEASING: the kernel closes the number and may give it away at once; calls
 *             wait until the closer has seen it done, and then meet whatever file it is.
 *          C2 an operation is in the list from wf_fd_enter to wf_fd_leave, so its fiber lives while the list's lock is held.
 *          C3 LIFE_CLOSE is set and cleared under the entry's lock.
 *          C4 a poll that selects wait on (watch.c) is listed too; it is a detached operation, and has no fiber.
 *          C5 what ends by itself soon (a read of a regular file) is only counted, by one atomic each at enter and leave; close waits for it.
 *          C6 of the operations that read and move a file's own position one at a time is under way, the others wait while they are listed: the ring
 *             would let two of them begin at the same place. (The system calls have a lock for that.) It is handed over in the order in which
 *             they came, by who leaves. Of other descriptors nobody waits.
 * Order    FD-1 (C5) enter adds to the count and sees the state in the same word; close adds to the state and sees the count: all sc RMWs on one
 *               word, so one of the two sees the other. Who leaves last while it is closing takes the lock and wakes the closer.
 * Tests    tests/io/close_test.cc
 */
#ifndef WF_IO_API_FD_H
#define WF_IO_API_FD_H

#include "sched/core/driver.h"

/* 0, or -EBADF (closing, negative), -EMFILE (beyond the table), -ENOMEM, or what an interrupted wait for a release returns. */
int wf_fd_enter(struct wf_op *op);
/* Returns whether the descriptor was closed under the operation. */
bool wf_fd_leave(struct wf_op *op);
/* A hint, of receives that brought something: will the next one probably find data at once? True where none has: what is no socket
 * must say so, and not be waited for. Of a listed operation; of a number. */
void wf_fd_note_more(struct wf_op *op, bool more);
bool wf_fd_has_more(int fd);

/* Has it offsets, where io_uring would ignore one? WF_FD_FILE too: its operations end by themselves (C5). What it was once is a hint only: the number
 * may have been given up by plain close(2) since, and be a pipe now. */
enum wf_fd_offsets { WF_FD_UNASKED, WF_FD_OTHER, WF_FD_FILE };
/* For an operation with an offset. Sets op->entry, and WF_OP_COUNTED for what was a file when it was last asked. 0, -ESPIPE, -EBADF, -EMFILE, -ENOMEM. */
int wf_fd_check_offsets(struct wf_op *op);
/* Of a COUNTED one, before it is submitted: asks again, once a tick of the worker: what a number stands for changes between two system calls of
 * a program, and a fiber that parked meanwhile is in another tick. 0, or -ESPIPE, -EBADF. */
int wf_fd_check_file(struct wf_op *op);
/* Where an operation that reads and moves the file's position (WF_OP_MOVES) begins; -1: it is no file. And after it: the ring leaves the position
 * as it was when the disk answered later (O_DIRECT), or only a part was written (a full disk). Not parking. */
int64_t wf_fd_position(struct wf_op *op);
void wf_fd_moved(const struct wf_op *op, int64_t from, int32_t by);

/* The two halves of weft_close around the kernel's close. 0, -EBADF, -EMFILE or -ENOMEM. Parks until no operation is left. */
int wf_fd_close_begin(int fd);
void wf_fd_close_end(int fd);

#endif
