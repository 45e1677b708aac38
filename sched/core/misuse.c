/* SPDX-License-Identifier: MIT */
/* misuse.c - see misuse.h */
#include "sched/core/misuse.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sched/base/log.h"
#include "sched/base/seam.h"
#include "sched/base/symbol.h"
#include "sched/base/unwind.h"
#include "sched/core/runtime.h"

#define FRAMES 12u
#define OWN_PREFIX "weft_"

WF_OWNER_CODE_BEGIN

static wf_aptr said[WF_MISUSE_PLACES]; /* MU1 */

/* The call of weft's that this is in, and where it returns to; "a call" and NULL where that cannot be told. */
struct place {
	char call[64];
	const void *caller;
};

static __attribute__((noinline)) void find_place(struct place *place)
{
	const void *pc[FRAMES];
	char name[128];
	struct wf_registers registers;
	wf_registers_here(&registers);
	size_t count = wf_unwind(&registers, wf_unwind_peek, NULL, pc, FRAMES);
	*place = (struct place){.call = "a call"};
	for (size_t i = 1; i + 1 < count; i++) {
		wf_symbol(pc[i], false, name, sizeof(name));
		if (strncmp(name, OWN_PREFIX, sizeof(OWN_PREFIX) - 1) == 0) {
			/* Without the offset, and what compilers add for parts of a function. */
			snprintf(place->call, sizeof(place->call), "%.*s", (int)strcspn(name, "+."), name);
			place->caller = pc[i + 1];
		} else if (place->caller != NULL) {
			return;
		}
	}
}

/* True: the first time. */
static bool is_new(const void *caller)
{
	for (uint32_t i = 0; i < WF_MISUSE_PLACES; i++) {
		void *seen = wf_load_scp(&said[i]);
		if (seen == NULL && wf_cas_scp(&said[i], &seen, (void *)caller))
			return true;
		if (seen == caller)
			return false;
	}
	return false;
}

static void name_thread(char *buffer, size_t size)
{
	char name[16] = "";
	pthread_getname_np(pthread_self(), name, sizeof(name));
	snprintf(buffer, size, "thread %d \"%s\"", wf_thread_id(), name);
}

void wf_misuse_say(int error, const char *format, ...)
{
	struct place place;
	char who[96], what[192], from[128];
	int saved = wf_errno_load();
	struct wf_fiber *fiber = wf_current();
	if (fiber != NULL && (fiber->flags & WEFT_SMALL)) /* MU3 */
		return;
	find_place(&place);
	if (!is_new(place.caller != NULL ? place.caller : (const void *)format))
		goto said_before;
	if (fiber != NULL)
		wf_fiber_describe(fiber, who, sizeof(who));
	else
		name_thread(who, sizeof(who));
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (place.caller != NULL)
		wf_symbol(place.caller, false, from, sizeof(from));
	else
		snprintf(from, sizeof(from), "a place without symbols");
	wf_log(WF_LOG_WARN, "%s at %s, by %s, %s: -%s; said once for this place", place.call, from,
		who, what, strerrorname_np(-error));
said_before:
	wf_errno_store(saved);
}

void wf_misuse_off_fiber(void)
{
	wf_misuse_say(-EPERM, "which runs no fiber (weft_run and weft_submit start them)");
}

WF_OWNER_CODE_END
