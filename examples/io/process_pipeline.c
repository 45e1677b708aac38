/* SPDX-License-Identifier: MIT */
/* process_pipeline.c - runs programs that are joined by pipes, and stands at both ends
 *
 * Shows    weft_process_spawn with pipes, both to the parent and between children; one fiber that
 *          feeds the first child while another reads the last; children waited for without a signal
 *          handler, killed on Ctrl-C or when they take too long, and never left behind
 * Build    cc process_pipeline.c $(pkg-config --cflags --libs weft) -o process_pipeline
 * Run      ./process_pipeline tr a-z A-Z '|' sort '|' uniq -c </etc/hosts
 * In tree  bazel run //examples/io:process_pipeline -- sort '|' uniq -c
 * Ends     as the last program does, or with --pipefail as the last that failed: its exit code, or
 *          128 and the signal. 124: too late; 126: a program could not be started; 127: there is no
 *          such program; 128 and the signal that this program was sent; 2: wrong usage
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/weft.h>

#define STAGES_MAX 64
#define BLOCK 65536
#define GRACE (2 * WEFT_SEC) /* between SIGTERM and SIGKILL */

struct stage {
	char **argv;
	weft_process process;
	int status; /* as waitpid(2) gives it */
};

struct pipeline {
	struct stage stage[STAGES_MAX];
	int count;
	int started;
	weft_ns limit;
	bool pipefail;
	bool verbose;
	weft_chan *signals;
	weft_scope scope;
	int signal; /* the one that stopped it, or 0 */
	int code;   /* to exit with */
};

/* All of it: weft_write_full() says how far it came, and this what stopped it. */
static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = weft_write(fd, data, length);
		if (n < 0)
			return (int)n;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* All that comes from one descriptor, to another. */
static int copy(int from, int to)
{
	char *block = malloc(BLOCK);
	int error = block ? 0 : -ENOMEM;
	ssize_t length = 1;

	while (error == 0 && length > 0) {
		length = weft_read(from, block, BLOCK);
		error = length < 0 ? (int)length : write_all(to, block, (size_t)length);
	}
	free(block);
	return error;
}

static int feed(void *arg)
{
	weft_process *first = arg;
	int error = copy(0, first->in);

	/* The end of our input is the end of its input. */
	weft_close(first->in);
	first->in = -1;
	/* -EPIPE: it wants no more, as head(1) does; it is for the others to say what comes of it. */
	return error == -EPIPE ? 0 : error;
}

/* The stage @i, which reads from @in; returns where the next one reads from, or an error. */
static int spawn_stage(struct pipeline *pipeline, int i, int in)
{
	bool last = i == pipeline->count - 1;
	int pipes[2] = {-1, WEFT_PROCESS_PIPE};

	if (!last && pipe2(pipes, O_CLOEXEC) != 0)
		return -errno;
	weft_process_options options = {
		.argv = (const char *const *)pipeline->stage[i].argv,
		.in = in,
		.out = pipes[1],
	};
	int error = weft_process_spawn(&pipeline->stage[i].process, &options);
	/* The child has its own now. Ours must go: a pipe ends when its last writer has closed it. */
	if (!last)
		weft_close(pipes[1]);
	if (error < 0) {
		fprintf(stderr, "process_pipeline: %s: %s\n", options.argv[0], strerror(-error));
		if (!last)
			weft_close(pipes[0]);
		pipeline->code = error == -ENOENT ? 127 : 126;
		return error;
	}
	pipeline->started++;
	return last ? 0 : pipes[0];
}

static int spawn_all(struct pipeline *pipeline)
{
	int in = WEFT_PROCESS_PIPE;

	for (int i = 0; i < pipeline->count && (i == 0 || in >= 0); i++) {
		int out = spawn_stage(pipeline, i, in);
		if (i > 0)
			weft_close(in);
		in = out;
	}
	return in < 0 ? in : 0;
}

static int wait_for_all(struct pipeline *pipeline)
{
	int error = 0;

	for (int i = 0; i < pipeline->started && error == 0; i++)
		error = weft_process_wait(&pipeline->stage[i].process, &pipeline->stage[i].status);
	return error;
}

/* Too late, or Ctrl-C: they are asked to end, and given a little time; free ends the rest. */
static void stop_all(struct pipeline *pipeline)
{
	bool was = weft_shield(true);
	weft_scope scope;

	for (int i = 0; i < pipeline->started; i++)
		weft_process_kill(&pipeline->stage[i].process, SIGTERM);
	if (weft_scope_open(&scope, weft_after(GRACE)) == 0) {
		wait_for_all(pipeline);
		weft_scope_close(&scope);
	}
	weft_shield(was);
}

static int talk(struct pipeline *pipeline)
{
	weft_scope feeding;
	int error = weft_scope_open(&feeding, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&feeding, feed, &pipeline->stage[0].process);
	if (error == 0)
		error = copy(pipeline->stage[pipeline->count - 1].process.out, 1);
	if (error == 0)
		error = wait_for_all(pipeline);
	weft_scope_cancel(&feeding); /* nobody reads any more, though there may be more to read */
	int closed = weft_scope_close(&feeding);
	return error < 0 && error != -ECANCELED ? error : closed == -ECANCELED ? error : closed;
}

static int await_signal(void *arg)
{
	struct pipeline *pipeline = arg;
	int number;
	int error = weft_chan_recv(pipeline->signals, &number);

	if (error == 0) {
		pipeline->signal = number;
		weft_scope_cancel(&pipeline->scope);
	}
	return error;
}

static int code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void judge(struct pipeline *pipeline, int error)
{
	for (int i = 0; i < pipeline->count && error == 0; i++) {
		int code = code_of(pipeline->stage[i].status);
		if (pipeline->verbose)
			fprintf(stderr, "process_pipeline: %s ended with %d\n",
				pipeline->stage[i].argv[0], code);
		if (i == pipeline->count - 1 && (pipeline->code == 0 || code != 0))
			pipeline->code = code;
		else if (pipeline->pipefail && code != 0)
			pipeline->code = code;
	}
	if (error < 0 && pipeline->code == 0) {
		if (pipeline->signal == 0)
			fprintf(stderr, "process_pipeline: %s\n", strerror(-error));
		pipeline->code = pipeline->signal != 0 ? 128 + pipeline->signal
			: error == -ETIMEDOUT	       ? 124
						       : 1;
	}
}

static void *start(void *arg)
{
	struct pipeline *pipeline = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	int error = weft_signal_chan(&pipeline->signals, &set);
	if (error == 0)
		error = weft_scope_open(&pipeline->scope, weft_after(pipeline->limit));
	if (error == 0) {
		error = weft_scope_spawn(&pipeline->scope, await_signal, pipeline);
		if (error == 0)
			error = spawn_all(pipeline);
		if (error == 0)
			error = talk(pipeline);
		if (error < 0)
			stop_all(pipeline);
		for (int i = 0; i < pipeline->started; i++)
			weft_process_free(&pipeline->stage[i].process);
		weft_scope_cancel(&pipeline->scope); /* await_signal */
		weft_scope_close(&pipeline->scope);
	}
	weft_chan_free(pipeline->signals);
	judge(pipeline, error);
	return NULL;
}

static int usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
		"usage: process_pipeline [--seconds N] [--pipefail] [--verbose]"
		" PROGRAM [ARGUMENT]... ['|' PROGRAM [ARGUMENT]...]...\n"
		"  --seconds N  end them after so long\n"
		"  --pipefail   fail when any of them fails\n"
		"  --verbose    say how each of them ended\n");
	return status;
}

/* Each '|' becomes the NULL that ends the arguments before it. */
static bool split(struct pipeline *pipeline, char **argv)
{
	for (;;) {
		if (pipeline->count == STAGES_MAX || !*argv || strcmp(*argv, "|") == 0)
			return false;
		pipeline->stage[pipeline->count++].argv = argv;
		while (*argv && strcmp(*argv, "|") != 0)
			argv++;
		if (!*argv)
			return true;
		*argv++ = NULL;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"seconds", required_argument, NULL, 's'},
		{"pipefail", no_argument, NULL, 'p'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	static struct pipeline pipeline = {.limit = WEFT_FOREVER};
	int option;

	/* "+": the options of the programs are theirs. */
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 's') {
			char *rest;
			long seconds = strtol(optarg, &rest, 10);
			if (rest == optarg || *rest != '\0' || seconds < 1 || seconds > 1000000)
				return usage(2);
			pipeline.limit = seconds * WEFT_SEC;
		} else if (option == 'p') {
			pipeline.pipefail = true;
		} else if (option == 'v') {
			pipeline.verbose = true;
		} else {
			return usage(option == 'h' ? 0 : 2);
		}
	}
	if (!split(&pipeline, argv + optind))
		return usage(2);
	int error = weft_run(NULL, start, &pipeline, NULL);
	if (error < 0)
		fprintf(stderr, "process_pipeline: %s\n", strerror(-error));
	return error < 0 ? 1 : pipeline.code;
}
