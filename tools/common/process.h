/* SPDX-License-Identifier: MIT */
/* process.h - what both tools want from their process
 *
 * What   Descriptors enough, SIGTERM as something to read, the runtime's counters shown.
 * Rules  process_block_stop_signals() runs before the runtime starts, so that every worker inherits
 *        the mask and the signals are seen by the descriptor alone.
 */
#ifndef TOOLS_COMMON_PROCESS_H
#define TOOLS_COMMON_PROCESS_H

#include <stdio.h>

/* Raises the soft limit of open descriptors to the hard one; returns the limit in force. */
unsigned process_raise_nofile(void);

/* Blocks SIGINT and SIGTERM and returns a descriptor from which weft_read() takes them as struct
 * signalfd_siginfo; or a negative errno. */
int process_block_stop_signals(void);

/* Waits for SIGINT or SIGTERM in the calling fiber: 0, or a negative errno (-ECANCELED, ...). */
int process_wait_stop_signal(int signal_fd);

/* Prints the runtime's counters, one line per worker and one for all. Only in a fiber. */
void process_print_workers(FILE *out);

#endif
