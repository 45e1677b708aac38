/* SPDX-License-Identifier: MIT */
/* resolve.h - one question to the name servers, by c-ares
 *
 * What     a c-ares channel for one name. What reads files or wants stack (making it, asking, taking answers in) runs on the pool;
 *          between two such steps the fiber waits for c-ares' sockets as for any descriptors.
 * Rejected a thread a look-up; one channel for all (a lock around c-ares, and answers that wake other fibers; one more costs
 *          little: "localhost" takes 41 us with it, a number 35 without, most of it the hand-over to the pool); ares_gethostbyname (one family only).
 * Owns     the channel, and the sockets that c-ares opens for it.
 * Rules    NS1 c-ares is in one place at a time: in a step on the pool, or in the fiber's hands between two.
 *          NS2 a socket that a select has waited for is closed by weft_close only, on the fiber: a poll may still be in flight for it.
 *          NS3 closing answers nobody: no callback comes after it.
 *          NS4 in virtual time, which stands still meanwhile, the pool's thread waits for the sockets.
 * Tests    tests/io/names_test.cc
 */
#ifndef WF_IO_API_RESOLVE_H
#define WF_IO_API_RESOLVE_H

#include <ares.h>
#include <stdbool.h>
#include <weft/chan.h>

#define WF_RESOLUTION_SOCKETS ARES_GETSOCK_MAXNUM /* as many as c-ares tells of */

struct wf_resolution {
	ares_channel channel; /* NULL: not open */
	bool over;
	bool waits;	 /* NS4 */
	bool hosts_only; /* no name server is asked */
	int error;	 /* once over: 0, or EAI_* */
	int system;	 /* of EAI_SYSTEM: EMFILE or ENFILE */
	struct ares_addrinfo *found;
	/* NS2: sockets that were waited for, and those of them that c-ares has closed. */
	int waited_count, closed_count;
	int waited[WF_RESOLUTION_SOCKETS];
	int closed[WF_RESOLUTION_SOCKETS];
	weft_case cases[2 * WF_RESOLUTION_SOCKETS];
};

/* On the pool: asks; may be over at once. `r` is all zero but for `waits`, `node` is needed during the call only. */
void wf_resolution_ask(struct wf_resolution *r, const char *node, int family);
/* On the pool: takes in what has come, and looks at the time. */
void wf_resolution_step(struct wf_resolution *r);
/* On the fiber: parks until there is something for a step. 0, -ECANCELED, -ETIMEDOUT, or what weft_select returns. */
int wf_resolution_wait(struct wf_resolution *r);
/* In a step or on the fiber, in any state: what c-ares has is gone. */
void wf_resolution_end(struct wf_resolution *r);
/* On the fiber, in any state: and its sockets. Not a cancellation point. */
void wf_resolution_close(struct wf_resolution *r);

#endif
