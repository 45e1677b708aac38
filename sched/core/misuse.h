/* SPDX-License-Identifier: MIT */
/* misuse.h - a programmer's errors that are answered by an errno value are said as well
 *
 * What     a call off a fiber, a second join: nobody looks at a result that cannot be, so a line on stderr names the call, where it was made, and
 *          the thread or fiber that made it. Found by walking the stack from here: who reports passes no names.
 * Rules    MU1 said once for each place of the program, WF_MISUSE_PLACES at most; what is ordinary elsewhere stays silent (cancelling what may have
 *             ended).
 *          MU2 for what programs do: weft itself asks wf_self() where it may be off a fiber.
 *          MU3 not on WEFT_SMALL fibers, whose stack it would overflow.
 *          MU4 callers return the errno value themselves: a call in the last place would take them from the stack that is walked.
 * Tests    tests/core/misuse_test.cc
 */
#ifndef WF_SCHED_CORE_MISUSE_H
#define WF_SCHED_CORE_MISUSE_H

#include <errno.h>

#include "sched/core/worker.h"

/* What `format` makes stands behind the call's name and who called. */
void wf_misuse_say(int error, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));
void wf_misuse_off_fiber(void) __attribute__((cold));

/* A call that needs a fiber was made without one. */
static inline int wf_off_fiber(void)
{
	wf_misuse_off_fiber();
	return -EPERM;
}

/* The same where a helper has found it out. */
static inline int wf_say_off_fiber(int result)
{
	return WF_UNLIKELY(result == -EPERM) && wf_self() == NULL ? wf_off_fiber() : result;
}

#endif
