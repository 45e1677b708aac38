/* SPDX-License-Identifier: MIT */
/* dump_signal.c - a signal that has all fibers dumped; see dump.h
 *
 * The helper thread blocks the signal and waits for it. The handler, on whichever of the program's threads the kernel chose, sends it on to the
 * helper; where all of the program's threads block the signal, the kernel hands it to the helper by itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <weft/report.h>

#include "sched/base/lock.h"
#include "sched/base/log.h"
#include "sched/base/seam.h"
#include "sched/obs/dump.h"

/* A dump that nobody reads keeps its thread, but not who stops. */
#define PATIENCE_S 1

static wf_lock lock; /* of what follows */
static uint32_t users;
static int number;
static struct sigaction former;
static pthread_t helper;
static wf_a32 process;	  /* who the helper belongs to: a child of fork has none */
static wf_a32 helper_tid; /* 0: none */
static wf_a32 turn;	  /* changes when a helper is to end */

static void on_signal(int signal)
{
	int saved = errno;
	uint32_t self = (uint32_t)syscall(SYS_getpid);
	uint32_t tid = wf_load_acq32(&helper_tid); /* DS-1 */
	struct sigaction action = {.sa_handler = SIG_DFL};
	if (self != wf_load_acq32(&process)) { /* DS-1. A child of fork, as if nobody had asked for dumps */
		sigaction(signal, &action, NULL);
		raise(signal);
	} else if (tid != 0) {
		syscall(SYS_tgkill, self, tid, signal);
	}
	errno = saved;
}

/* Blocks all signals (wf_thread_create), that one too. */
static void *helper_main(void *arg)
{
	uint32_t mine = (uint32_t)(uintptr_t)arg;
	int signal = number;
	sigset_t set;
	wf_swap_acq_rel32(&helper_tid, (uint32_t)wf_thread_id()); /* DS-1 */
	wf_futex_wake(&helper_tid, 1);
	sigemptyset(&set);
	sigaddset(&set, signal);
	while (wf_load_acq32(&turn) == mine) /* DS-1 */
		if (sigwaitinfo(&set, NULL) == signal && wf_load_acq32(&turn) == mine)
			weft_dump(STDERR_FILENO);
	return NULL;
}

static bool may_be_caught(int signal)
{
	static const int kept[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
		SIGTRAP, SIGSYS, SIGCHLD};
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (signal == kept[i])
			return false;
	return (signal > 0 && signal < 32) || (signal >= SIGRTMIN && signal <= SIGRTMAX);
}

static int start_locked(int signal)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	number = signal;
	wf_swap_acq_rel32(&process, (uint32_t)getpid()); /* DS-1 */
	int error = wf_thread_create(
		&helper, "weft-dump", helper_main, (void *)(uintptr_t)wf_load_acq32(&turn));
	if (error != 0)
		return error;
	while (wf_load_acq32(&helper_tid) == 0) /* DS-1 */
		wf_futex_wait(&helper_tid, 0, INT64_MAX);
	sigaction(signal, &action, &former);
	return 0;
}

int wf_dump_signal_start(int signal)
{
	if (!may_be_caught(signal))
		return -EINVAL;
	wf_lock_acquire(&lock);
	int error = users == 0 ? start_locked(signal) : signal == number ? 0 : -EBUSY;
	if (error == 0)
		users++;
	wf_lock_release(&lock);
	return error;
}

static void stop_locked(void)
{
	struct sigaction now;
	struct timespec until;
	uint32_t tid = wf_load_acq32(&helper_tid); /* DS-1 */
	if (sigaction(number, NULL, &now) == 0 && now.sa_handler == on_signal)
		sigaction(number, &former, NULL);
	wf_swap_acq_rel32(&helper_tid, 0);		    /* DS-1 */
	wf_swap_acq_rel32(&turn, wf_load_acq32(&turn) + 1); /* DS-1 */
	syscall(SYS_tgkill, getpid(), tid, number);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	if (pthread_timedjoin_np(helper, NULL, &until) != 0)
		pthread_detach(helper);
}

void wf_dump_signal_stop(void)
{
	wf_lock_acquire(&lock);
	if (--users == 0)
		stop_locked();
	wf_lock_release(&lock);
}

int wf_dump_signal_parse(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);
	if (end != text)
		return *end == '\0' && value > 0 && value <= SIGRTMAX && may_be_caught((int)value)
			? (int)value
			: -EINVAL;
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
	for (int signal = 1; signal < 32; signal++) {
		const char *known = sigabbrev_np(signal);
		if (known != NULL && strcmp(known, name) == 0)
			return may_be_caught(signal) ? signal : -EINVAL;
	}
	return -EINVAL;
}
