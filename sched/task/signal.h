/* SPDX-License-Identifier: MIT */
/* signal.h - what else wants a signal of its own
 *
 * What     Signal channels and the rest of weft share the process's signals. Who needs one for itself takes it here, and weft_signal_chan
 *          refuses it from then on.
 * Tests    tests/task/signal_test.cc
 */
#ifndef WF_SCHED_TASK_SIGNAL_H
#define WF_SCHED_TASK_SIGNAL_H

/* Of each signal a channel holds the latest, and one of a burst does not keep the others out: as many as there are signals. */
#define WF_SIGNAL_BUFFER 64u

/* Pending signals taken when their last channel ends: more real-time signals than are usually pending; what a storm still sends is its own affair. */
#define WF_SIGNAL_DRAIN 4096

/* Installs the handler for the highest real-time signal that nobody handles, without SA_RESTART; it stays for the process's life. Returns its
 * number; 0: none is left. Any thread. */
int wf_signal_reserve(void (*handler)(int number));

#endif
