/* SPDX-License-Identifier: MIT */
/* process.c - child processes: start, wait, signal, end; see weft/process.h for what each call promises
 *
 * What     a thread of the pool starts the child by posix_spawn, which blocks until the exec, and opens its pidfd. From then on the child is
 *          named by that descriptor alone: its end makes it readable, waitid takes the end by it, signals go through it.
 * Rejected SIGCHLD (one handler a process, and it belongs to the program). clone3 by hand, for a pidfd without a moment between: the
 *          child would run in the parent's memory in weft's own code, among whose duties are every handler of the program and the
 *          sanitizers' shadow; glibc's spawn has met them all, and tells exec's error. The moment is harmless: an ended child keeps its
 *          number until it is waited for, and that is for weft alone to do; where somebody else did, PR3 finds it.
 *          Waiting by a waitid in the engine: on kernels before 6.7, and with epoll, each waiting fiber would hold a thread of the pool, and
 *          256 of them all that there are, so that no child could be started any more. A pidfd is polled like any descriptor.
 * Owns     the descriptors in the struct, and the child's end until it has been taken.
 * Rules    PR1 the end is taken, and a signal sent by number (PR4), under the struct's lock: whoever sends sees a child not yet waited for.
 *          PR2 what the child gets is first moved above all the numbers it will have there, so that no dup2 meets a source of another.
 *          PR3 a pidfd that names no child of this process was opened too late: -ECHILD.
 *          PR4 pidfd_send_signal sends to a group from Linux 6.9 on; before that kill(2) does, by the child's number, which is still its own by PR1.
 *          PR5 a descriptor for the pidfd is reserved before the child starts: EMFILE is told while nothing has happened.
 * Tests    tests/io/process_test.cc
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/io.h>
#include <weft/process.h>

#include "io/api/op.h"
#include "sched/base/lock.h"
#include "sched/base/own_fd.h"
#include "sched/core/misuse.h"
#include "sched/sync/wait.h"
#include "sched/task/pool.h"

/* Descriptors that a child is given besides its stdio: more than anybody hands on, few enough for a thread's stack. */
#define FDS_MAX 64
#define FLAGS (WEFT_PROCESS_GROUP | WEFT_PROCESS_SESSION | WEFT_PROCESS_DROP)
#define OWN_GROUP (WEFT_PROCESS_GROUP | WEFT_PROCESS_SESSION)

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP 4u /* Linux 6.9 */
#endif

/* The opaque part of a weft_process. */
struct state {
	wf_lock lock; /* PR1 */
	uint32_t flags;
	bool ended; /* and waited for; r, w: locked */
	int status;
} __attribute__((may_alias));
_Static_assert(sizeof(struct state) <= sizeof(((weft_process *)NULL)->opaque),
	"the public struct has room for it");

static struct state *state_of(weft_process *process)
{
	return (struct state *)process->opaque;
}

static void clear(weft_process *process)
{
	memset(process, 0, sizeof(*process));
	process->pidfd = process->in = process->out = process->err = -1;
}

/* Starting; on a thread of the pool */

struct start {
	const weft_process_options *options;
	weft_process *process;
	int error;
	int least; /* PR2: the first number that the child has not */
	posix_spawn_file_actions_t actions;
	int mine[FDS_MAX + 3]; /* to be closed here when the child has them */
	int mine_count;
};

/* The descriptor at a number of at least `least`: itself, or a copy to be closed. PR2 */
static int lift(struct start *start, int fd)
{
	if (fd < 0)
		return -EBADF;
	if (fd >= start->least)
		return fd;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, start->least);
	if (copy < 0)
		return -errno;
	start->mine[start->mine_count++] = copy;
	return copy;
}

static int give(struct start *start, int fd, int as)
{
	int lifted = lift(start, fd);
	return lifted < 0 ? lifted : -posix_spawn_file_actions_adddup2(&start->actions, lifted, as);
}

static int give_pipe(struct start *start, int as, int *parent_end)
{
	int ends[2];
	int error = wf_own_pipe(ends);
	if (error != 0)
		return error;
	int end = ends[as == 0 ? 0 : 1]; /* the child reads its stdin, and writes the others */
	*parent_end = ends[as == 0 ? 1 : 0];
	int lifted = lift(start, end);
	if (lifted == end)
		start->mine[start->mine_count++] = end;
	else
		wf_own_close(end);
	return lifted < 0 ? lifted : -posix_spawn_file_actions_adddup2(&start->actions, lifted, as);
}

static int give_stdio(struct start *start, int as, int what, int *parent_end)
{
	switch (what) {
	case WEFT_PROCESS_INHERIT:
		return 0;
	case WEFT_PROCESS_NULL:
		return -posix_spawn_file_actions_addopen(
			&start->actions, as, "/dev/null", as == 0 ? O_RDONLY : O_WRONLY, 0);
	case WEFT_PROCESS_PIPE:
		return give_pipe(start, as, parent_end);
	case WEFT_PROCESS_OUT:
		return as != 2 ? -EBADF : -posix_spawn_file_actions_adddup2(&start->actions, 1, 2);
	default:
		return give(start, what, as);
	}
}

static int describe_files(struct start *start)
{
	const weft_process_options *options = start->options;
	weft_process *process = start->process;
	int error = 0;
	if (options->directory != NULL)
		error = -posix_spawn_file_actions_addchdir_np(&start->actions, options->directory);
	if (error == 0)
		error = give_stdio(start, 0, options->in, &process->in);
	if (error == 0)
		error = give_stdio(start, 1, options->out, &process->out);
	if (error == 0)
		error = give_stdio(start, 2, options->err, &process->err);
	for (size_t i = 0; error == 0 && i < options->fd_count; i++)
		error = give(start, options->fds[i], 3 + (int)i);
	if (error == 0)
		error = -posix_spawn_file_actions_addclosefrom_np(&start->actions, start->least);
	return error;
}

static int describe_process(posix_spawnattr_t *attributes, unsigned flags)
{
	short bits = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	if (flags & WEFT_PROCESS_SESSION)
		bits |= POSIX_SPAWN_SETSID;
	else if (flags & WEFT_PROCESS_GROUP)
		bits |= POSIX_SPAWN_SETPGROUP; /* of number 0: its own */
	sigset_t all, none;
	memset(&all, 0xff, sizeof(all)); /* sigfillset leaves out two of glibc's own, and its spawn would have those ignored */
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	return -posix_spawnattr_setflags(attributes, bits);
}

static int take_end(int pidfd, siginfo_t *info, int options)
{
	memset(info, 0, sizeof(*info));
	int result;
	do
		result = waitid(P_PIDFD, (id_t)pidfd, info, options);
	while (result != 0 && errno == EINTR);
	return result != 0 ? -errno : 0;
}

/* The pidfd of a child just started, in place of `reserved` (PR5). Or an error, and there is no child. */
static int open_pidfd(pid_t pid, int reserved)
{
	wf_own_close(reserved);
	int pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int error = errno == ESRCH ? -ECHILD : -errno;
		kill(pid, SIGKILL); /* not waited for, so the number is its own */
		waitpid(pid, NULL, 0);
		return error;
	}
	siginfo_t info;
	int error = take_end(pidfd, &info, WEXITED | WNOHANG | WNOWAIT); /* PR3 */
	if (error != 0)
		wf_own_close(pidfd);
	return error != 0 ? error : pidfd;
}

static int exec_child(struct start *start)
{
	const weft_process_options *options = start->options;
	posix_spawnattr_t attributes;
	int error = -posix_spawnattr_init(&attributes);
	if (error != 0)
		return error;
	error = describe_process(&attributes, options->flags);
	int reserved = wf_own_eventfd(0); /* PR5: any descriptor will do */
	if (error == 0 && reserved < 0)
		error = reserved;
	pid_t pid = 0;
	char *const *env = options->env != NULL ? (char *const *)options->env : environ;
	if (error == 0)
		error = -posix_spawnp(&pid, options->argv[0], &start->actions, &attributes,
			(char *const *)options->argv, env);
	if (error == 0) {
		int pidfd = open_pidfd(pid, reserved);
		start->process->pid = pid;
		start->process->pidfd = pidfd;
		error = pidfd < 0 ? pidfd : 0;
	} else if (reserved >= 0) {
		wf_own_close(reserved);
	}
	posix_spawnattr_destroy(&attributes);
	return error;
}

static void start_child(void *arg)
{
	struct start *start = arg;
	weft_process *process = start->process;
	int error = -posix_spawn_file_actions_init(&start->actions);
	if (error == 0) {
		error = describe_files(start);
		if (error == 0)
			error = exec_child(start);
		posix_spawn_file_actions_destroy(&start->actions);
	}
	for (int i = 0; i < start->mine_count; i++)
		wf_own_close(start->mine[i]);
	start->error = error;
	if (error == 0)
		return;
	const int ends[] = {process->in, process->out, process->err};
	for (int i = 0; i < 3; i++)
		if (ends[i] >= 0)
			wf_own_close(ends[i]);
	clear(process);
}

static int check(const weft_process *process, const weft_process_options *options)
{
	if (process == NULL || options == NULL || options->argv == NULL || options->argv[0] == NULL)
		return -EINVAL;
	if (options->flags & ~FLAGS || options->fd_count > FDS_MAX)
		return -EINVAL;
	return options->fd_count > 0 && options->fds == NULL ? -EINVAL : 0;
}

int weft_process_spawn(weft_process *process, const weft_process_options *options)
{
	if (process != NULL)
		clear(process);
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_wait_levels();
	if (error == 0)
		error = check(process, options);
	if (error != 0)
		return error;
	struct start start = {.options = options, .process = process, .least = 3 + (int)options->fd_count};
	do {
		error = wf_pool_run(start_child, &start, WF_POOL_WHOLE);
		if (error != -EINTR)
			break;
		error = wf_wait_levels(); /* 0: what was in force is not any more */
	} while (error == 0);
	if (error == 0)
		error = start.error;
	if (error == 0)
		state_of(process)->flags = options->flags;
	return error;
}

/* Its life */

static bool spawned(const weft_process *process)
{
	return process->pid > 0 && process->pidfd >= 0;
}

/* Takes the child's end if it has come. 1: it has ended, and `status` says how; 0: not yet. */
static int look(weft_process *process, int *status)
{
	struct state *state = state_of(process);
	int before = wf_errno_load(), error = 0;
	wf_lock_acquire(&state->lock);
	if (!state->ended) {
		siginfo_t info;
		error = take_end(process->pidfd, &info, WEXITED | WNOHANG);
		if (error == 0 && info.si_pid != 0) {
			state->ended = true;
			state->status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8
				: info.si_code == CLD_DUMPED	   ? info.si_status | 0x80
								   : info.si_status;
		}
	}
	bool ended = state->ended;
	if (ended && status != NULL)
		*status = state->status;
	wf_lock_release(&state->lock);
	wf_errno_store(before);
	return error != 0 ? error : ended;
}

int weft_process_wait(weft_process *process, int *status)
{
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_wait_levels();
	if (error != 0)
		return error;
	if (process == NULL)
		return -EINVAL;
	if (!spawned(process))
		return -EBADF;
	for (;;) {
		int ended = look(process, status);
		if (ended != 0)
			return ended > 0 ? 0 : ended;
		int ready = weft_poll(process->pidfd, POLLIN);
		if (ready < 0)
			return ready;
	}
}

static int send_signal(const weft_process *process, unsigned flags, int number)
{
	unsigned group = flags & OWN_GROUP ? PIDFD_SIGNAL_PROCESS_GROUP : 0;
	if (pidfd_send_signal(process->pidfd, number, NULL, group) == 0)
		return 0;
	if (group != 0 && errno == EINVAL && kill(-process->pid, number) == 0) /* PR4 */
		return 0;
	return -errno;
}

int weft_process_kill(weft_process *process, int number)
{
	if (process == NULL)
		return -EINVAL;
	if (!spawned(process))
		return -EBADF;
	struct state *state = state_of(process);
	int before = wf_errno_load();
	wf_lock_acquire(&state->lock);
	int error = state->ended ? -ESRCH : send_signal(process, state->flags, number);
	wf_lock_release(&state->lock);
	wf_errno_store(before);
	return error;
}

/* A descriptor of the struct, on a fiber or off. */
static void close_one(int *fd)
{
	if (wf_self() != NULL) {
		weft_close(*fd);
	} else if (*fd >= 0) {
		int before = wf_errno_load();
		close(*fd);
		wf_errno_store(before);
	}
	*fd = -1;
}

/* Until it has ended; neither cancellable nor late, and on a plain thread blocking. */
static void await_end(weft_process *process)
{
	while (look(process, NULL) == 0) {
		struct wf_op op = {.code = WF_OP_POLL, .fd = process->pidfd, .flags = POLLIN};
		if (wf_self() != NULL) {
			wf_op_run_always(&op);
			continue;
		}
		struct pollfd one = {.fd = process->pidfd, .events = POLLIN};
		int before = wf_errno_load();
		poll(&one, 1, -1);
		wf_errno_store(before);
	}
}

void weft_process_free(weft_process *process)
{
	if (process == NULL || !spawned(process))
		return;
	close_one(&process->in);
	close_one(&process->out);
	close_one(&process->err);
	if (look(process, NULL) == 0) {
		weft_process_kill(process, SIGKILL);
		await_end(process);
	}
	close_one(&process->pidfd);
	clear(process);
}
