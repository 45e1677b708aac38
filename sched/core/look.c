/* SPDX-License-Identifier: MIT */
/* look.c - see look.h */
#include "sched/core/look.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sched/base/own_fd.h"
#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/base/unwind.h"
#include "sched/core/runtime.h"

/* UNWANTED: the asker has gone while the answer was written. */
enum { IDLE, ASKED, ANSWERS, ANSWERED, UNWANTED };

static int look_signal; /* LK3; 0: none is free */

/* Words of a stack that are looked at for return addresses where the frames cannot be followed. */
#define WORDS 1024

WF_OWNER_CODE_BEGIN /* on whichever fiber the signal finds */

	/* True: the answer is the caller's to write. */
	static bool
	begin_answer(struct wf_thread *thread)
{
	uint32_t asked = ASKED;
	return wf_cas_acq_rel32(&thread->look_state, &asked, ANSWERS); /* LO-1 */
}

static void end_answer(struct wf_thread *thread)
{
	uint32_t answers = ANSWERS;
	thread->look.runs = wf_load_rlx64(
		&thread->worker->counter[WF_RUNS]); /* rlx: this thread's own, or it sleeps */
	if (!wf_cas_acq_rel32(&thread->look_state, &answers, ANSWERED)) /* LO-1 */
		wf_store_rel32(&thread->look_state, IDLE);		/* LO-1 */
	wf_futex_wake(&thread->look_state, 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	struct wf_worker *w = wf_self();
	if (w == NULL)
		return;
	int saved = wf_errno_load();
	struct wf_thread *thread = w->thread;
	/* Two signals may have become one: each does what is to be done. */
	if (w->rt->config.rescue == WEFT_RESCUE_SIGNAL)
		thread->driver->fetch(thread);
	if (begin_answer(thread)) {
		struct wf_registers registers;
		wf_registers_of_ucontext(&registers, context);
		thread->look.call = WF_LOOK_COMPUTES;
		thread->look.count = (uint32_t)wf_unwind(
			&registers, wf_unwind_peek, NULL, thread->look.pc, WF_LOOK_FRAMES);
		end_answer(thread);
	}
	wf_errno_store(saved);
}

WF_OWNER_CODE_END

/* If nobody handles it. */
static bool take_signal(int number)
{
	struct sigaction old;
	struct sigaction action = {
		.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigfillset(&action.sa_mask);
	return sigaction(number, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
		old.sa_handler == SIG_DFL && sigaction(number, &action, NULL) == 0;
}

void wf_look_install(void)
{
	look_signal = take_signal(SIGURG) ? SIGURG : 0; /* LK3 */
	for (int number = SIGRTMAX; number >= SIGRTMIN && look_signal == 0; number--)
		if (take_signal(number))
			look_signal = number;
}

/* The program may have taken the signal for itself meanwhile. */
static bool is_ours(void)
{
	struct sigaction now;
	return look_signal != 0 && sigaction(look_signal, NULL, &now) == 0 &&
		(now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_signal;
}

void wf_look_remove(void)
{
	struct sigaction none = {.sa_handler = SIG_DFL};
	if (is_ours())
		sigaction(look_signal, &none, NULL);
}

void wf_look_thread_init(struct wf_thread *thread)
{
	sigset_t set;
	wf_store_rlx32(&thread->look_state, IDLE); /* rlx: nobody asks yet */
	thread->has_timer = false;
	if (look_signal != 0) {
		sigemptyset(&set);
		sigaddset(&set, look_signal);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	wf_store_rel32(&thread->tid, (uint32_t)wf_thread_id()); /* LO-2 */
}

void wf_look_thread_end(struct wf_thread *thread)
{
	sigset_t set;
	/* Nobody asks any more: neither monitor nor dump looks at a thread that is leaving (look_lock). */
	wf_lock_acquire(&thread->look_lock);
	wf_store_rel32(&thread->tid, 0); /* LO-2 */
	if (thread->has_timer)
		timer_delete(thread->timer);
	thread->has_timer = false;
	wf_lock_release(&thread->look_lock);
	if (look_signal != 0) { /* LK4 */
		sigemptyset(&set);
		sigaddset(&set, look_signal);
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	}
}

/* Fires when the thread has used the processor in its own code: include/linux/posix-timers.h, CPUCLOCK_VIRT of a thread. */
static bool ask_by_timer(struct wf_thread *thread, int tid)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = look_signal};
	event._sigev_un._tid = tid;
	if (!is_ours())
		return false;
	if (!thread->has_timer)
		thread->has_timer = timer_create((clockid_t)(~(unsigned)tid << 3 | 5u), &event,
					    &thread->timer) == 0;
	struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
	return thread->has_timer && timer_settime(thread->timer, 0, &soon, NULL) == 0;
}

/* What /proc says of a thread that sleeps: its call, where its stack stands, and its program counter. */
static bool read_call(int tid, int *call, uintptr_t *sp, uintptr_t *pc)
{
	char path[48], text[256];
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	if (wf_own_text(path, text, sizeof(text)) <= 0)
		return false;
	if (sscanf(text, "%d %*x %*x %*x %*x %*x %*x %lx %lx", call, sp, pc) == 3)
		return true;
	*call = WF_LOOK_COMPUTES; /* it sleeps, but in no call: for its memory */
	return sscanf(text, "-1 %lx %lx", sp, pc) == 2;
}

#if defined(__x86_64__)
/* Is there a call just before it? */
static bool follows_call(uintptr_t pc)
{
	unsigned char code[7];
	if (!wf_peek((const void *)(pc - sizeof(code)), code, sizeof(code)))
		return false;
	if (code[2] == 0xe8)
		return true;
	for (int at = 0; at <= 5; at++) /* call *..., of two to seven bytes */
		if (code[at] == 0xff && (code[at + 1] >> 3 & 7) == 2)
			return true;
	return false;
}
#else
static bool follows_call(uintptr_t pc)
{
	uint32_t code;
	return pc % 4 == 0 && wf_peek((const void *)(pc - 4), &code, sizeof(code)) &&
		((code >> 26) == 0x25 || (code & 0xfffffc1f) == 0xd63f0000);
}
#endif

static bool is_code(uintptr_t pc)
{
	struct dl_find_object object;
	return _dl_find_object((void *)pc, &object) == 0;
}

/* Where a register is not known that the frames need: what looks like return addresses. Some may be of calls that are over. */
static uint32_t read_words(uintptr_t sp, const void **pc, uint32_t count)
{
	uintptr_t word;
	for (int i = 0; i < WORDS && count < WF_LOOK_FRAMES; i++, sp += sizeof(word)) {
		if (!wf_peek((const void *)sp, &word, sizeof(word)))
			break;
		if (is_code(word) && follows_call(word))
			pc[count++] = (const void *)word;
	}
	return count;
}

static bool reaches_entry(const struct wf_look *look)
{
	for (uint32_t i = 0; i < look->count; i++)
		if ((uintptr_t)look->pc[i] - (uintptr_t)wf_fiber_main < 1024)
			return true;
	return false;
}

static void answer_asleep(struct wf_thread *thread, int call, uintptr_t sp, uintptr_t pc)
{
	struct wf_look *look = &thread->look;
	struct wf_registers registers = {.pc = pc, .known = UINT64_C(1) << WF_REGISTER_SP};
	if (!begin_answer(thread)) /* a timer of before has just found it in its own code */
		return;
	registers.reg[WF_REGISTER_SP] = sp;
	look->call = call;
	look->count = (uint32_t)wf_unwind(&registers, wf_unwind_peek, NULL, look->pc, WF_LOOK_FRAMES);
	if (!reaches_entry(look) && (registers.known >> WF_REGISTER_SP & 1))
		look->count = read_words(registers.reg[WF_REGISTER_SP], look->pc, look->count);
	end_answer(thread);
}

static bool ask_locked(struct wf_thread *thread)
{
	int tid = (int)wf_load_acq32(&thread->tid), call; /* LO-2 */
	uintptr_t sp, pc;
	uint32_t idle = IDLE;
	if (tid == 0 || !wf_cas_acq_rel32(&thread->look_state, &idle, ASKED)) /* LO-1 */
		return false;
	if (read_call(tid, &call, &sp, &pc))
		answer_asleep(thread, call, sp, pc);
	else if (!ask_by_timer(thread, tid))
		wf_look_done(thread);
	return true;
}

bool wf_look_ask(struct wf_thread *thread)
{
	int saved = errno;
	wf_lock_acquire(&thread->look_lock);
	bool asked = ask_locked(thread);
	wf_lock_release(&thread->look_lock);
	errno = saved;
	return asked;
}

bool wf_look_answered(const struct wf_thread *thread)
{
	return wf_load_acq32(&thread->look_state) == ANSWERED; /* LO-1 */
}

void wf_look_done(struct wf_thread *thread)
{
	uint32_t state = wf_load_acq32(&thread->look_state), next; /* LO-1 */
	do
		next = state == ANSWERS || state == UNWANTED ? UNWANTED : IDLE;
	while (!wf_cas_acq_rel32(&thread->look_state, &state, next)); /* LO-1 */
}

/* Is it still in that run of that fiber? */
static bool still_runs(const struct wf_thread *thread, const struct wf_fiber *fiber, uint64_t runs)
{
	return wf_load_acq64(&thread->worker->counter[WF_RUNS]) == runs &&
		wf_worker_current(thread->worker) == fiber;
}

bool wf_look_at_thread(struct wf_thread *thread, struct wf_look *look, int64_t patience)
{
	int64_t now, until = wf_clock_now() + patience;
	const struct wf_fiber *fiber = wf_worker_current(thread->worker);
	uint64_t runs = wf_load_acq64(&thread->worker->counter[WF_RUNS]);
	while (!wf_look_ask(thread)) { /* LK1: the monitor's question is open */
		if (wf_clock_now() >= until || !still_runs(thread, fiber, runs))
			return false;
		wf_pause(WF_LOOK_SLICE_NS);
	}
	uint32_t state;
	while ((state = wf_load_acq32(&thread->look_state)) != ANSWERED && state != IDLE && /* LO-1 */
		(now = wf_clock_now()) < until && still_runs(thread, fiber, runs)) {
		int64_t slice = now + WF_LOOK_SLICE_NS;
		wf_futex_wait(&thread->look_state, state, slice < until ? slice : until);
	}
	bool answered = wf_look_answered(thread);
	if (answered)
		*look = thread->look;
	wf_look_done(thread);
	return answered;
}

void wf_look_describe(const struct wf_look *look, char *buffer, size_t size)
{
	static const struct {
		int call;
		const char *name;
	} names[] = {
		{SYS_read, "read"},
		{SYS_write, "write"},
		{SYS_readv, "readv"},
		{SYS_writev, "writev"},
		{SYS_pread64, "pread"},
		{SYS_pwrite64, "pwrite"},
		{SYS_openat, "openat"},
		{SYS_fsync, "fsync"},
		{SYS_fdatasync, "fdatasync"},
		{SYS_flock, "flock"},
		{SYS_fcntl, "fcntl"},
		{SYS_restart_syscall, "nanosleep or poll"}, /* gone on with after a disturbance */
		{SYS_nanosleep, "nanosleep"},
		{SYS_clock_nanosleep, "clock_nanosleep"},
		{SYS_ppoll, "ppoll"},
		{SYS_pselect6, "pselect"},
		{SYS_epoll_pwait, "epoll_pwait"},
		{SYS_futex, "futex"},
		{SYS_accept, "accept"},
		{SYS_accept4, "accept4"},
		{SYS_connect, "connect"},
		{SYS_recvfrom, "recv"},
		{SYS_recvmsg, "recvmsg"},
		{SYS_sendto, "send"},
		{SYS_sendmsg, "sendmsg"},
		{SYS_wait4, "wait4"},
		{SYS_waitid, "waitid"},
		{SYS_ioctl, "ioctl"},
		{SYS_clone, "clone"},
#ifdef SYS_poll
		{SYS_poll, "poll"},
		{SYS_select, "select"},
		{SYS_epoll_wait, "epoll_wait"},
		{SYS_vfork, "vfork"},
#endif
	};
	if (look->call == WF_LOOK_COMPUTES) {
		snprintf(buffer, size, "computing");
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].call == look->call) {
			snprintf(buffer, size, "in the system call %s", names[i].name);
			return;
		}
	snprintf(buffer, size, "in the system call number %d", look->call);
}

void wf_look_fetch(struct wf_thread *thread)
{
	int saved = errno;
	wf_lock_acquire(&thread->look_lock);
	int tid = (int)wf_load_acq32(&thread->tid); /* LO-2 */
	if (tid != 0 && is_ours())
		syscall(SYS_tgkill, getpid(), tid, look_signal);
	wf_lock_release(&thread->look_lock);
	errno = saved;
}
