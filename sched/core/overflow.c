/* SPDX-License-Identifier: MIT */
/* overflow.c - a fault in a stack's guard becomes one line that names the fiber
 *
 * What     a SIGSEGV and SIGBUS handler on a signal stack of each worker. A fault in a guard prints "weft: fatal: stack overflow" with
 *          the fiber, its stack's size and its creation site; then, and for every other fault, the program's former handler or
 *          the default action follows, so that the process dies by the signal and leaves the core it would have left.
 * Rules    Q1 the handler uses system calls, snprintf into its own stack, and wf_symbol, which waits for nothing long; it reads only memory
 *             that is never unmapped.
 *          Q2 handlers are installed with the first runtime and taken back with the last, if they are still weft's.
 * Tests    tests/core/overflow_test.cc
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sched/base/log.h"
#include "sched/base/symbol.h"
#include "sched/core/runtime.h"

#define SIGNAL_STACK (64u * 1024u)

static const int handled[] = {SIGSEGV, SIGBUS};
static struct sigaction former[2];

void wf_describe_site(const void *site, char *buffer, size_t size)
{
	/* Mostly an address of return; of weft_run's first fiber, its function. No call returns to a function's first byte. */
	static const char beginning[] = "+0x0 ";
	wf_symbol(site, true, buffer, size);
	if (strstr(buffer, beginning) == NULL)
		wf_symbol(site, false, buffer, size);
}

void wf_overflow_report(const struct wf_fiber *fiber)
{
	char who[96], site[192], line[384];
	wf_fiber_describe(fiber, who, sizeof(who));
	wf_describe_site(fiber->site, site, sizeof(site));
	int n = snprintf(line, sizeof(line), "weft: fatal: stack overflow: %s stack=%zu created at %s\n",
		who, wf_stack_usable(fiber->stack.pool), site);
	wf_log_raw(line, n < (int)sizeof(line) ? (unsigned long)n : sizeof(line) - 1);
}

void wf_overflow_check(const struct wf_fiber *fiber)
{
	if (wf_stack_canary_intact(&fiber->stack))
		return;
	wf_overflow_report(fiber);
	abort();
}

static void report_strand(const struct wf_fiber *fiber, const struct wf_strand *strand)
{
	char who[96] = "a plain thread", line[256];
	if (fiber != NULL)
		wf_fiber_describe(fiber, who, sizeof(who));
	int n = snprintf(line, sizeof(line),
		"weft: fatal: stack overflow: a generator or coroutine of %s stack=%zu\n", who,
		wf_stack_usable(strand->stack.pool));
	wf_log_raw(line, n < (int)sizeof(line) ? (unsigned long)n : sizeof(line) - 1);
}

void wf_overflow_strand(const struct wf_strand *strand)
{
	report_strand(wf_current(), strand);
	abort();
}

/* The former handler, or the default action: returning runs the faulting instruction again, and it faults again. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	const struct sigaction *old = &former[number == SIGSEGV ? 0 : 1];
	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(number, info, context);
		return;
	}
	if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(number);
		return;
	}
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigaction(number, &action, NULL);
	if (info->si_code <= 0) /* sent by somebody, not a fault: it would not come again by itself */
		raise(number);
}

/* Small stacks have no guards; below the lowest of a slab nothing may be mapped. */
static bool is_below(const struct wf_fiber *fiber, const void *address)
{
	const char *low = fiber->stack.low;
	return (fiber->flags & WF_FIBER_CANARY) && (const char *)address < low &&
		low - (const char *)address <= WF_SMALL_SLOT;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	struct wf_fiber *fiber = wf_current();
	const struct wf_strand *strand = fiber != NULL ? fiber->frame->host.strand : NULL;
	if (fiber != NULL && info->si_code > 0 &&
		(wf_stack_is_guard(info->si_addr) || is_below(fiber, info->si_addr))) {
		if (strand != NULL)
			report_strand(fiber, strand);
		else
			wf_overflow_report(fiber);
	}
	errno = saved;
	pass_on(number, info, context);
}

void wf_overflow_install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	for (int i = 0; i < 2; i++)
		sigaction(handled[i], &action, &former[i]);
}

void wf_overflow_remove(void)
{
	for (int i = 0; i < 2; i++) {
		struct sigaction now;
		if (sigaction(handled[i], NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
			now.sa_sigaction == on_fault)
			sigaction(handled[i], &former[i], NULL);
	}
}

int wf_overflow_thread_init(struct wf_thread *thread)
{
	void *memory =
		mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	stack_t stack = {.ss_sp = memory, .ss_size = SIGNAL_STACK};
	if (sigaltstack(&stack, NULL) != 0) {
		int error = -errno;
		munmap(memory, SIGNAL_STACK);
		return error;
	}
	thread->signal_stack = memory;
	return 0;
}

void wf_overflow_thread_end(struct wf_thread *thread)
{
	if (thread->signal_stack == NULL)
		return;
	stack_t none = {.ss_flags = SS_DISABLE};
	sigaltstack(&none, NULL);
	munmap(thread->signal_stack, SIGNAL_STACK);
	thread->signal_stack = NULL;
}
