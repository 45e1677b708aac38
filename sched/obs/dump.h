/* SPDX-License-Identifier: MIT */
/* dump.h - all runtimes, workers and fibers in words, for a descriptor or a signal
 *
 * What     weft_dump (weft/report.h): one after the other, nobody is stopped. Parked fibers' stacks are read from outside; a running fiber is told
 *          by its thread (sched/core/look.h).
 *          A signal may ask for it: its handler wakes a thread of weft's that waits for nothing else and writes to stderr.
 * Rules    DU1 no memory of the heap, no lock that a stuck thread could hold: a dump takes one mapping of its own.
 *          DU2 while something is written no runtime is held (wf_runtime_hold): a reader that is slow delays the caller alone.
 *          DU3 a stack counts if its fiber has not run since it was found: the ticket word stands for a parked one, the workers' counts of runs for one
 *             in a queue or on a worker. After three tries it "moves". Who computes is asked once, for 100 ms: its thread may wait for a processor.
 *          DU4 the signal's handler calls what is async-signal-safe; whichever of the program's threads it interrupts, system calls are restarted.
 * Order    DS-1 process, helper_tid and turn: set (acq_rel) -> the handler's and the helper's loads (acquire). They carry nothing else.
 * Tests    tests/obs/dump_test.cc
 */
#ifndef WF_SCHED_OBS_DUMP_H
#define WF_SCHED_OBS_DUMP_H

#include "sched/base/unwind.h"
#include "sched/core/look.h"
#include "sched/obs/view.h"

#define WF_DUMP_FRAMES 64u
#define WF_DUMP_NAME 256u

/* A stack, as found. */
struct wf_dump_frame {
	const void *pc;
	bool exact;
	const char *heading; /* what stands before it: another stack begins; NULL: nothing */
};

/* One dump, in a mapping of its own. */
struct wf_dump {
	int fd;
	int error; /* of writing: the rest is left out */
	int64_t now;
	uint32_t frames;
	struct wf_dump_frame frame[WF_DUMP_FRAMES];
	struct wf_look look;
	bool looked;
	bool silent; /* DU3: asked in vain */
	/* Pages of the stack that is walked. */
	struct wf_dump_page {
		uintptr_t address; /* 0: none */
		_Alignas(uintptr_t) char bytes[4096];
	} page[4];
	struct wf_unwind_memo memo;
	struct wf_dump_symbol {
		const void *pc;
		bool exact;
		char name[WF_DUMP_NAME];
	} symbol[1024];
	size_t used;
	char text[64 * 1024];
};

/* What came of looking for a fiber's stack. */
enum wf_dump_found {
	WF_DUMP_FOUND,
	WF_DUMP_NOT_FOUND, /* it moves, or there is no stack to see */
	WF_DUMP_GONE,	   /* the fiber is no more, and the snapshot says nothing */
};
/* dump_stack.c. DU3: finds the fiber's frames; the snapshot is taken anew if it has gone on. */
enum wf_dump_found wf_dump_stack(struct wf_dump *dump, struct wf_view *view);
/* Is it in its own code now, on which worker? UINT32_MAX: on none. The runtime is held. */
uint32_t wf_dump_worker_of(struct wf_runtime *rt, const struct wf_fiber *fiber);

/* dump_signal.c. From now on that signal has a dump written to stderr. 0; -EINVAL: not a signal to be caught; -EBUSY: another is
 * the one; or why it could not be done. Each success is taken back by one stop. */
int wf_dump_signal_start(int signal);
void wf_dump_signal_stop(void);
/* "QUIT", "SIGUSR1", "10": its number, or -EINVAL. */
int wf_dump_signal_parse(const char *text);

#endif
