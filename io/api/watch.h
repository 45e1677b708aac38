/* SPDX-License-Identifier: MIT */
/* watch.h - what a select waits on when a case is a descriptor
 *
 * What     a poll for each descriptor and direction, armed by the first select that waits and shared by all that come while it is in
 *          flight. A select that ends otherwise only takes its node off the list. When nobody waits any more the poll's worker is asked
 *          to look at its next tick, and ends it if that is still so: a loop of selects over a channel and a descriptor submits a few
 *          polls a tick, not one a round.
 * Rejected leaving it in flight (it keeps a file open that was closed by plain close(2), and a later file of that number is not polled);
 *          a poll for each call, cancelled when another case wins (two more operations a round, and the call would wait for the kernel).
 * Owns     struct wf_watch, one an entry of the descriptor table from the first select on.
 * Rules    WA1 all of it is under the entry's lock.
 *          WA2 a poll in flight is listed at its entry, so that close ends it, and at its thread (E6 of driver.h), so that the end of a
 *             runtime does. Who still waits then gets -ECANCELED, or is told to look again.
 *          WA3 what a poll has found may be long over when a select comes to wait on it: its end only makes selects look again.
 * Tests    tests/sync/select_fd_test.cc
 */
#ifndef WF_IO_API_WATCH_H
#define WF_IO_API_WATCH_H

#include "sched/sync/select.h"

extern const struct wf_descriptors wf_watch_calls;

#endif
