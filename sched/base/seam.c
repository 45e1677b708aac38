/* SPDX-License-Identifier: MIT */
/* seam.c - see seam.h */
#include "sched/base/seam.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/base/own_fd.h"

WF_OWNER_CODE_BEGIN

int64_t wf_clock_now(void)
{
	struct timespec ts;
#ifdef WF_TSAN
	/* TSan would take what it writes on a fiber's stack, in the worker's context, for a race. */
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
#else
	clock_gettime(CLOCK_MONOTONIC, &ts);
#endif
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#ifdef WF_TSAN
/* Threads of weft's own block SIGPROF with the rest (wf_thread_create); hardly one of the program's does. */
static bool takes_signals(void)
{
	uint64_t blocked = 0;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, sizeof(blocked));
	return (blocked & UINT64_C(1) << (SIGPROF - 1)) == 0;
}
#endif

/* errno is the thread's, used by one fiber's context after the other: no race. */
void wf_futex_wait(wf_a32 *word, uint32_t expected, int64_t deadline)
{
	struct timespec ts;
	struct timespec *limit = NULL;
#ifdef WF_TSAN
	/* ThreadSanitizer keeps a signal back until its thread next calls a function that it intercepts, which a futex is not. */
	bool looks = takes_signals();
	int64_t soon = wf_clock_now() + 10000000;
	deadline = looks && soon < deadline ? soon : deadline;
#endif
	if (deadline != INT64_MAX) {
		int64_t at = deadline < 0 ? 0 : deadline;
		ts.tv_sec = at / 1000000000;
		ts.tv_nsec = at % 1000000000;
		limit = &ts;
	}
	/* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. EAGAIN, EINTR and ETIMEDOUT: the caller re-checks. */
	int before = errno; /* the caller's user does not expect that a lock touches it */
	syscall(SYS_futex, &word->v, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit, NULL,
		FUTEX_BITSET_MATCH_ANY);
#ifdef WF_TSAN
	if (looks)
		usleep(0);
#endif
	errno = before;
}

int wf_errno_load(void)
{
	return *wf_errno_address();
}

void wf_errno_store(int value)
{
	*wf_errno_address() = value;
}

void wf_futex_wake(wf_a32 *word, uint32_t count)
{
	int most = count < INT32_MAX ? (int)count : INT32_MAX; /* the kernel's count is signed */
	int before = errno; /* EFAULT: who waited has been woken otherwise, and its memory is gone */
	syscall(SYS_futex, &word->v, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, most, NULL, NULL, 0);
	errno = before;
}

WF_OWNER_CODE_END

void wf_pause(int64_t duration)
{
	wf_a32 never = {0};
	wf_futex_wait(&never, 0, wf_clock_now() + duration);
}

int64_t wf_clock_of_thread(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static wf_a64 census;
#define CENSUS_CHANGE (UINT64_C(1) << 32)

struct thread_start {
	void *(*fn)(void *);
	void *arg;
};

/* Its name says whose a thread is, but not reliably: threads that the program makes on it inherit it. So they are counted. */
static void *thread_main(void *memory)
{
	struct thread_start start = *(struct thread_start *)memory;
	wf_free(memory, sizeof(start));
	wf_add_sc64(&census, CENSUS_CHANGE + 1);
	void *result = start.fn(start.arg);
	wf_add_sc64(&census, CENSUS_CHANGE - 1);
	return result;
}

uint64_t wf_thread_census(void)
{
	return wf_load_sc64(&census);
}

int wf_thread_create(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg)
{
	/* The new thread inherits the mask: process-directed signals go to the program's own threads, so that its
	 * handlers run on its own stacks; SIGPIPE of a broken pipe stays pending here and kills nobody. */
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	sigset_t mask, old;
	struct thread_start *start = wf_alloc(sizeof(*start));
	if (start == NULL)
		return -ENOMEM;
	*start = (struct thread_start){fn, arg};
	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&mask, faults[i]);
	int error = pthread_sigmask(SIG_SETMASK, &mask, &old);
	WF_CHECK(error == 0);
	error = pthread_create(thread, NULL, thread_main, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		pthread_setname_np(*thread, name);
	else
		wf_free(start, sizeof(*start));
	return -error;
}

void wf_thread_join(pthread_t thread)
{
	int error = pthread_join(thread, NULL);
	WF_CHECK(error == 0);
}

int wf_thread_id(void)
{
	return (int)gettid();
}

int64_t wf_thread_cpu(int thread)
{
	/* The clock of a thread by its number, as the kernel encodes it: include/linux/posix-timers.h, CPUCLOCK_SCHED of a thread. */
	struct timespec ts;
	int before = errno;
	bool there = clock_gettime((clockid_t)(~(unsigned)thread << 3 | 6u), &ts) == 0;
	errno = before;
	return there ? (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec : -1;
}

char wf_thread_state(int thread)
{
	char path[48], text[128];
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	wf_own_text(path, text, sizeof(text));
	const char *end = strrchr(text, ')'); /* of the name, which may hold anything */
	return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

uint64_t wf_random_seed(void)
{
	uint64_t seed = 0;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)wf_clock_now();
	return seed == 0 ? 1 : seed;
}

__attribute__((noinline)) int *wf_errno_address(void)
{
	__asm__ volatile("");
	return &errno;
}
