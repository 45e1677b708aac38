/* SPDX-License-Identifier: MIT */
/* pace.h - the schedule of an open loop: when each request should start, whatever the server does
 *
 * What   Request i of the whole run is due i / rate seconds after the start. The lanes (fibers)
 *        take turns: lane l of n has the requests l, l + n, l + 2n, ... Latency counts from the due
 *        time, so a server that stalls is charged for the requests that had to wait (no coordinated
 *        omission).
 * Rules  P1 times are computed from the index, never by adding up, so that nothing drifts.
 *        P2 a request overdue by more than a bound is skipped and counted as not sent: a backlog
 *           never grows beyond what the bound holds.
 * Tests  tests/http/pace_test.cc
 */
#ifndef TOOLS_LOAD_PACE_H
#define TOOLS_LOAD_PACE_H

#include <stdint.h>

/* Keeps every product below in 64 bits. */
#define PACE_RATE_MAX UINT64_C(10000000)

/* When request index is due, in nanoseconds after the start. */
int64_t pace_due(uint64_t rate, uint64_t index);

/* How many requests are due before a moment: the index of the first that is due then or later. */
uint64_t pace_count(uint64_t rate, int64_t elapsed_ns);

/* How many of the first count requests are a lane's. */
uint64_t pace_share(uint64_t count, unsigned lane, unsigned lanes);

#endif
