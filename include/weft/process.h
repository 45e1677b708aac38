/* SPDX-License-Identifier: MIT */
/* process.h - child processes: start one, talk to it through pipes, wait for it, without signals
 *
 * What     weft_process_spawn() starts a program; the struct it fills holds the parent's ends of
 *          its pipes, used with io.h and stream.h, and a descriptor of the process (a pidfd).
 *          weft_process_wait() parks until it has ended. weft_process_run() does all of it: feeds,
 *          collects, waits, and ends the child when the caller is cancelled or late.
 *
 *   weft_process child;
 *   weft_process_options options = {
 *           .argv = (const char *const[]){"sort", "-u", NULL},
 *           .in = WEFT_PROCESS_PIPE, .out = WEFT_PROCESS_PIPE,
 *   };
 *   int error = weft_process_spawn(&child, &options);
 *   if (error == 0) {
 *           feed(child.in);
 *           weft_close(child.in);
 *           child.in = -1;
 *           collect(child.out);
 *           error = weft_process_wait(&child, &status);
 *           weft_process_free(&child);
 *   }
 *
 * Rules
 *   No SIGCHLD   weft installs no handler and waits for its own children only, by descriptor. The
 *                program must not take their ends from it: no wait(2) for any child, no ignored
 *                SIGCHLD, no SA_NOCLDWAIT while a child lives. Where it does, the wait is -ECHILD.
 *   The child    has every signal at its default and none blocked, whatever weft's threads have. It
 *                has the descriptors asked for, and no others: also those that the program forgot
 *                to mark close-on-exec are closed. All else (user, umask, limits, priority) is the
 *                parent's.
 *   Ownership    The caller owns the struct, and what is in it, from a spawn that returns 0 until
 *                weft_process_free(), which leaves no child behind and no zombie.
 *   Cancelling   ends the call, not the child: a wait that is cancelled or late can be made again.
 *                Only weft_process_run() and weft_process_free() end a child by themselves.
 *   Output       A child whose pipe is full waits until somebody reads. So read what it says while
 *                it runs, and stdout and stderr at the same time, or one into the other
 *                (WEFT_PROCESS_OUT).
 */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the child has as its stdin, stdout or stderr: a descriptor of the parent's, or one of these.
 * 0 is the parent's own: INHERIT. (For stdin that is the same; the parent's stdin as a stdout is
 * given by a dup(2) of it.) Other negative numbers, such as a failed open gave, are -EBADF. */
#define WEFT_PROCESS_INHERIT 0
#define WEFT_PROCESS_NULL (-10) /* /dev/null */
#define WEFT_PROCESS_PIPE (-11) /* a pipe, whose other end is in struct weft_process */
#define WEFT_PROCESS_OUT (-12)	/* for stderr: wherever stdout goes, as 2>&1 */

/* Bits of weft_process_options.flags. */
/* A process group of its own: weft_process_kill() then reaches the child's children too, and
 * Ctrl-C at the terminal does not reach it. */
#define WEFT_PROCESS_GROUP 1u
/* A session of its own, without the terminal; also a group of its own. */
#define WEFT_PROCESS_SESSION 2u
/* For weft_process_run: output beyond the limit is read and dropped, and the child runs on. */
#define WEFT_PROCESS_DROP 4u

/* How to start a child. All zero but argv: the parent's environment, directory and stdio. */
typedef struct weft_process_options {
	/* The program and its arguments, closed by NULL. argv[0] without a slash is looked for in
	 * the parent's PATH. Borrowed until the spawn returns, as all of this. */
	const char *const *argv;
	/* "NAME=value" each, closed by NULL; NULL: the parent's environment. */
	const char *const *env;
	/* Where it runs; NULL: where the parent does. A relative argv[0] is looked up from there. */
	const char *directory;
	/* Its stdin, stdout, stderr: see WEFT_PROCESS_INHERIT. */
	int in, out, err;
	/* WEFT_PROCESS_GROUP, _SESSION, _DROP, ored together; other bits are -EINVAL. */
	unsigned flags;
	/* Descriptors it has besides, as 3, 4, ...; at most 64. They stay the caller's. */
	const int *fds;
	size_t fd_count;
} weft_process_options;

/* A child. Not to be copied: what one copy frees, the other still names. */
typedef struct weft_process {
	/* For reports. To send a signal use weft_process_kill(): a number may be another's soon. */
	pid_t pid;
	/* Readable once the child has ended: for weft_select and weft_poll. Closed by free alone. */
	int pidfd;
	/* The parent's ends of the pipes asked for; -1: none. weft_process_free() closes what is not
	 * -1: set it to -1 when you close it or give it away. */
	int in, out, err;
	uint64_t opaque[4];
} weft_process;

/**
 * weft_process_spawn - start a child process.
 * @process  where to put it; on failure it is as weft_process_free() leaves it.
 * @options  how. Borrowed until return.
 *
 * Returns when the child has become the new program. That it could not is told here: a program
 * that is not there or may not be run, a directory that is not there.
 *
 * Context  fiber. Parks yes, while a thread of the offload pool starts it. Cancel point until that
 *          has begun; then the child's start is awaited and told. errno untouched. May return on
 *          another thread.
 * Cost     a vfork and an exec, 0.5 ms or more; not a copy of the parent's memory.
 * Returns  0; to be ended with weft_process_free().
 * Errors   -ECANCELED, -ETIMEDOUT: no child was started; -EPERM off a fiber (weft)
 *          -EINVAL @process or @options is NULL, argv or argv[0] is, flags has unknown bits, or
 *          fd_count is larger than 64 (weft)
 *          -EBADF one of the descriptors is not open (weft, kernel)
 *          -ENOENT, -EACCES, -ENOEXEC, -ENOTDIR, -E2BIG, ... the program or the directory (kernel,
 *          as execve(2) and chdir(2) say)
 *          -EMFILE, -ENFILE, -EAGAIN, -ENOMEM no descriptor, process or memory is left (kernel)
 *          -ECHILD somebody else has taken the child's end already (weft)
 * Example  see the head of process.h
 */
WEFT_API int weft_process_spawn(weft_process *process, const weft_process_options *options);

/**
 * weft_process_wait - park until a child has ended.
 * @process  child from weft_process_spawn().
 * @status   NULL, or where to put how it ended, as waitpid(2) does: for WIFEXITED, WEXITSTATUS,
 *           WIFSIGNALED, WTERMSIG of <sys/wait.h>.
 *
 * Once it has returned 0 there is no zombie any more, and further calls give the same status.
 * Several fibers may wait for one child.
 *
 * Context  fiber. Parks yes. Cancel point yes: the child lives on. errno untouched. May return on
 *          another thread.
 * Cost     one operation, and two system calls that do not block.
 * Returns  0.
 * Errors   -ECANCELED, -ETIMEDOUT, -EPERM off a fiber (weft)
 *          -EINVAL @process is NULL; -EBADF it was freed or never spawned (weft)
 *          -ECHILD somebody else has taken the child's end: see "No SIGCHLD" above (kernel)
 * Example  int status;
 *          if (weft_process_wait(&child, &status) == 0 && WIFEXITED(status))
 *                  printf("exit code %d\n", WEXITSTATUS(status));
 */
WEFT_API int weft_process_wait(weft_process *process, int *status);

/**
 * weft_process_kill - send a signal to a child; with WEFT_PROCESS_GROUP or _SESSION to its group.
 * @process  child from weft_process_spawn().
 * @signal   SIGTERM, SIGKILL, ...; 0 just asks whether it could be sent.
 *
 * It reaches this child or nobody, never another process that has got the same number. A child
 * that has ended and was not waited for yet counts as there.
 *
 * Context  any thread, any number of them, also while others wait. Parks no. Cancel point no. errno
 *          untouched.
 * Cost     a system call.
 * Returns  0.
 * Errors   -ESRCH it has ended and was waited for (weft, kernel)
 *          -EINVAL @process is NULL, or there is no such signal (weft, kernel)
 *          -EPERM the child has become another user's (kernel)
 *          -EBADF it was freed or never spawned (weft)
 * Example  weft_process_kill(&child, SIGTERM);
 */
WEFT_API int weft_process_kill(weft_process *process, int signal);

/**
 * weft_process_free - give back all of a child: its pipes, its pidfd, and the child itself.
 * @process  child from weft_process_spawn(), or NULL. Nobody else uses it any more.
 *
 * A child that has not been waited for is killed by SIGKILL (with its group, if it has one of its
 * own) and waited for. So no child outlives its struct, and none becomes a zombie. The wait is
 * short unless the child sits in a system call that even SIGKILL does not end, as on a dead network
 * disk.
 * Freeing again does nothing.
 *
 * Context  fiber, or any thread, which it then blocks. Parks yes. Cancel point no. errno untouched.
 *          May return on another thread.
 * Example  weft_process_free(&child);
 */
WEFT_API void weft_process_free(weft_process *process);

/* What weft_process_run() feeds, collects and tells. Zero it, then set what the first part says. */
typedef struct weft_process_capture {
	/* For the child's stdin, which is a pipe then, closed behind it. Borrowed. */
	const void *input;
	size_t input_len;
	/* Most bytes of stdout, and of stderr, to keep; 0: 16 MiB. */
	size_t limit;
	/* A child to be ended gets SIGTERM, and SIGKILL when it is still there after this; 0: 5 s;
	 * negative: SIGKILL at once. */
	weft_ns grace;

	/* Told, also when the run fails after its start: how the child ended, as waitpid(2). */
	int status;
	/* Collected: from malloc, closed by a 0 that does not count; NULL when not collected. */
	char *out, *err;
	size_t out_len, err_len;
	/* There was more than the limit. */
	bool out_cut, err_cut;
} weft_process_capture;

/**
 * weft_process_run - start a child, feed it, collect what it says, and wait for it.
 * @options  as for weft_process_spawn(), but: out and err that are 0 are collected, as with
 *           WEFT_PROCESS_PIPE. in that is 0 is the input, or /dev/null without one.
 * @capture  what to feed and how much to keep; and what came of it. To be given back with
 *           weft_process_capture_free(), whatever is returned.
 *
 * Goes on until the child has ended and both pipes are closed, also by processes that it left
 * behind. Input that the child does not read is dropped.
 *
 * Ended early, by cancellation, the deadline in force or the limit, the child is killed as
 * @capture->grace says, and waited for; what it has said until then is collected. Of processes that
 * it left behind only those are killed that are in its group, if WEFT_PROCESS_GROUP gives it one; a
 * pipe that others keep open is given up after the grace time, or 100 ms if that is shorter.
 *
 * Context  fiber. Parks yes. Cancel point yes; returns only when the child is gone. errno
 *          untouched. May return on another thread.
 * Cost     weft_process_spawn(), and up to three fibers.
 * Returns  0: the child has ended by itself; how is in @capture->status.
 * Errors   -ECANCELED, -ETIMEDOUT the child was ended, or not started (weft)
 *          -EMSGSIZE it said more than the limit, and was ended (weft); not with WEFT_PROCESS_DROP
 *          -ENOMEM no memory for what it said; it was ended (weft)
 *          -EINVAL a pointer is NULL, or there is an input and in is neither 0 nor a pipe (weft)
 *          and those of weft_process_spawn() and weft_process_wait()
 * Example  weft_process_options options = {.argv = (const char *const[]){"git", "log", NULL}};
 *          weft_process_capture got = {.limit = 65536};
 *          if (weft_process_run(&options, &got) == 0 && got.status == 0)
 *                  fwrite(got.out, 1, got.out_len, stdout);
 *          weft_process_capture_free(&got);
 */
WEFT_API int weft_process_run(const weft_process_options *options, weft_process_capture *capture);

/**
 * weft_process_capture_free - give back what a run has collected.
 * @capture  of weft_process_run(), or NULL, or zeroed.
 *
 * Context  any thread. Parks no. errno untouched.
 * Example  see weft_process_run().
 */
WEFT_API void weft_process_capture_free(weft_process_capture *capture);

#ifdef __cplusplus
}
#endif

#endif
