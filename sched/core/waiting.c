/* SPDX-License-Identifier: MIT */
/* waiting.c - see waiting.h */
#include "sched/core/waiting.h"

const char *wf_waits_word(enum wf_wait_kind kind)
{
	static const char *const words[WF_WAITS_KINDS] = {
		[WF_WAITS_NONE] = "waits",
		[WF_WAITS_MUTEX] = "locks a mutex",
		[WF_WAITS_WRITE] = "locks a reader-writer lock to write",
		[WF_WAITS_READ] = "locks a reader-writer lock to read",
		[WF_WAITS_ONCE] = "waits for a once function",
		[WF_WAITS_JOIN] = "joins a fiber",
		[WF_WAITS_SCOPE] = "closes a scope",
		[WF_WAITS_COND] = "waits for a condition",
		[WF_WAITS_SEM] = "waits for a semaphore",
		[WF_WAITS_EVENT] = "waits for an event",
		[WF_WAITS_WAITGROUP] = "waits for a waitgroup",
		[WF_WAITS_BARRIER] = "waits at a barrier",
		[WF_WAITS_FUTEX] = "waits on a futex word",
		[WF_WAITS_SEND] = "sends to a channel",
		[WF_WAITS_RECEIVE] = "receives from a channel",
		[WF_WAITS_SELECT] = "selects",
		[WF_WAITS_SLEEP] = "sleeps",
		[WF_WAITS_IO] = "waits for an operation",
		[WF_WAITS_SELECT_FD] = "selects",
		[WF_WAITS_SIGNAL] = "waits for a signal",
		[WF_WAITS_OFFLOAD] = "waits for a thread of the pool",
		[WF_WAITS_DESCRIPTOR] = "waits for a descriptor that others use",
	};
	return (unsigned)kind < WF_WAITS_KINDS ? words[kind] : words[WF_WAITS_NONE];
}
