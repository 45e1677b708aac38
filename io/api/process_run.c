/* SPDX-License-Identifier: MIT */
/* process_run.c - weft_process_run: a child fed, collected from and waited for
 *
 * What     three pumps, a fiber each: one writes the child's stdin, two read what it says. The caller waits for the readers, then for the
 *          child, and ends it where it is itself ended.
 * Rejected one fiber with a select over the pipes (a poll besides each transfer); pumps as children of a scope (they must outlive the
 *          caller's cancellation, to read what the child says in its grace time).
 * Owns     the pumps, which are joined before the call returns.
 * Rules    RU1 a pump owns its descriptor and closes it at its end. It is weft_spawn's fiber, so that what reaches the caller does not reach it;
 *             weft_cancel ends it.
 *          RU2 the child's end is taken only when the pipes are closed or it is to be ended: until then its group can be signalled.
 * Tests    tests/io/process_test.cc
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <weft/fiber.h>
#include <weft/io.h>
#include <weft/process.h>
#include <weft/sync.h>

#include "io/api/op.h"
#include "sched/base/alloc.h"
#include "sched/core/misuse.h"
#include "sched/sync/wait.h"

/* What is kept of a child's words by default: more than a program means to hold in memory, less than what ends it. */
#define KEEP_BYTES ((size_t)16 << 20)
#define GRACE_NS (5 * WEFT_SEC)
/* After SIGKILL what is still in a pipe is there to be read; a pipe that others keep open is given up. */
#define LEFT_NS (100 * WEFT_MS)
/* First memory for what it says; most commands say less. */
#define FIRST_BYTES ((size_t)4095)
/* What is dropped at a time: a pipe's own size. */
#define DROP_BYTES ((size_t)65536)

struct run;

struct pump {
	struct run *run;
	weft_fiber *fiber; /* NULL: none */
	int fd;
	char *data;
	size_t len, cap; /* memory for cap + 1 */
	bool cut;
};

struct run {
	weft_process child;
	weft_process_capture *capture;
	size_t limit;
	bool drop;
	weft_sem ended; /* posted by each reader at its end */
	wf_a32 failure; /* a reader's errno, stored before it posts */
	unsigned readers, seen;
	struct pump in, out, err;
};

static void *feed(void *arg)
{
	struct pump *pump = arg;
	const weft_process_capture *capture = pump->run->capture;
	weft_write_full(pump->fd, capture->input, capture->input_len); /* what it does not read is dropped */
	weft_close(pump->fd);
	return NULL;
}

static int resize(struct pump *pump, size_t cap)
{
	int before = wf_errno_load();
	char *data = realloc(pump->data, cap + 1);
	wf_errno_store(before);
	if (data == NULL)
		return -ENOMEM;
	pump->data = data;
	pump->cap = cap;
	return 0;
}

/* Reads to the end, and forgets it. */
static int drain(int fd)
{
	void *scratch = wf_alloc(DROP_BYTES);
	if (scratch == NULL)
		return -ENOMEM;
	ssize_t n;
	do
		n = weft_read(fd, scratch, DROP_BYTES);
	while (n > 0);
	wf_free(scratch, DROP_BYTES);
	return (int)n;
}

static int collect(struct pump *pump)
{
	size_t limit = pump->run->limit;
	for (;;) {
		if (pump->len == pump->cap && pump->cap < limit) {
			size_t next = pump->cap > limit / 2 ? limit : 2 * pump->cap + 1;
			int error = resize(pump, next);
			if (error != 0)
				return error;
		}
		/* At the limit a byte for the closing 0 is left, to see whether there is more. */
		size_t room = pump->cap - pump->len;
		ssize_t n = weft_read(pump->fd, pump->data + pump->len, room > 0 ? room : 1);
		if (n <= 0)
			return (int)n;
		if (room == 0) {
			pump->cut = true;
			return pump->run->drop ? drain(pump->fd) : -EMSGSIZE;
		}
		pump->len += (size_t)n;
	}
}

static void *listen_to(void *arg)
{
	struct pump *pump = arg;
	size_t limit = pump->run->limit;
	int error = resize(pump, limit < FIRST_BYTES ? limit : FIRST_BYTES);
	if (error == 0) {
		error = collect(pump);
		pump->data[pump->len] = '\0';
		if (pump->len < pump->cap / 2)
			resize(pump, pump->len); /* refused: the large one will do */
	}
	weft_close(pump->fd);
	if (error != 0)
		wf_store_rlx32(&pump->run->failure, (uint32_t)-error); /* rlx: the semaphore orders it */
	weft_sem_post(&pump->run->ended);
	return NULL;
}

/* RU1: takes the descriptor over, if there is one. */
static int start_pump(struct run *run, struct pump *pump, weft_fn fn, int *fd)
{
	pump->run = run;
	pump->fd = *fd;
	if (*fd < 0)
		return 0;
	int error = weft_spawn(&pump->fiber, fn, pump);
	if (error != 0)
		return error; /* weft_process_free closes it */
	*fd = -1;
	run->readers += fn == listen_to;
	return 0;
}

static int start_pumps(struct run *run)
{
	int error = start_pump(run, &run->in, feed, &run->child.in);
	if (error == 0)
		error = start_pump(run, &run->out, listen_to, &run->child.out);
	if (error == 0)
		error = start_pump(run, &run->err, listen_to, &run->child.err);
	return error;
}

/* Until all readers have ended, or the deadline. */
static void await_readers(struct run *run)
{
	while (run->seen < run->readers && weft_sem_wait(&run->ended) == 0)
		run->seen++;
}

/* Until all is over by itself, or there is a reason to end it. */
static int watch(struct run *run)
{
	while (run->seen < run->readers) {
		int error = weft_sem_wait(&run->ended);
		if (error != 0)
			return error;
		run->seen++;
		uint32_t failure = wf_load_rlx32(&run->failure); /* rlx: the semaphore orders it */
		if (failure != 0)
			return -(int)failure;
	}
	return weft_process_wait(&run->child, &run->capture->status);
}

static void end_child(struct run *run)
{
	weft_ns grace = run->capture->grace != 0 ? run->capture->grace : GRACE_NS;
	if (grace > 0 && weft_process_kill(&run->child, SIGTERM) == 0) {
		weft_deadline(weft_after(grace));
		weft_poll(run->child.pidfd, POLLIN);
		await_readers(run);
	}
	weft_process_kill(&run->child, SIGKILL);
	weft_deadline(WEFT_FOREVER);
	weft_process_wait(&run->child, &run->capture->status);
	weft_deadline(weft_after(LEFT_NS));
	await_readers(run);
	weft_deadline(WEFT_FOREVER);
}

static void end_pump(struct pump *pump)
{
	if (pump->fiber == NULL)
		return;
	weft_cancel(pump->fiber);
	weft_join(pump->fiber, NULL);
}

static void end_run(struct run *run, int error)
{
	bool shielded = weft_shield(true);
	weft_ns deadline = weft_deadline(WEFT_FOREVER);
	if (error != 0)
		end_child(run);
	end_pump(&run->in);
	end_pump(&run->out);
	end_pump(&run->err);
	weft_process_free(&run->child);
	weft_deadline(deadline);
	weft_shield(shielded);
	weft_process_capture *capture = run->capture;
	capture->out = run->out.data;
	capture->out_len = run->out.len;
	capture->out_cut = run->out.cut;
	capture->err = run->err.data;
	capture->err_len = run->err.len;
	capture->err_cut = run->err.cut;
}

static void clear(weft_process_capture *capture)
{
	capture->status = 0;
	capture->out = capture->err = NULL;
	capture->out_len = capture->err_len = 0;
	capture->out_cut = capture->err_cut = false;
}

/* The options as weft_process_spawn takes them. */
static int complete(weft_process_options *options, const weft_process_capture *capture)
{
	bool input = capture->input_len > 0;
	if (input && (capture->input == NULL || (options->in != 0 && options->in != WEFT_PROCESS_PIPE)))
		return -EINVAL;
	if (options->in == 0)
		options->in = input ? WEFT_PROCESS_PIPE : WEFT_PROCESS_NULL;
	if (options->out == 0)
		options->out = WEFT_PROCESS_PIPE;
	if (options->err == 0)
		options->err = WEFT_PROCESS_PIPE;
	return 0;
}

int weft_process_run(const weft_process_options *options, weft_process_capture *capture)
{
	if (capture != NULL)
		clear(capture);
	if (wf_self() == NULL)
		return wf_off_fiber();
	int error = wf_wait_levels();
	if (error != 0)
		return error;
	if (options == NULL || capture == NULL)
		return -EINVAL;
	weft_process_options complete_options = *options;
	struct run run = {.capture = capture, .limit = capture->limit != 0 ? capture->limit : KEEP_BYTES};
	run.drop = options->flags & WEFT_PROCESS_DROP;
	error = complete(&complete_options, capture);
	if (error == 0)
		error = weft_process_spawn(&run.child, &complete_options);
	if (error != 0)
		return error;
	error = start_pumps(&run);
	if (error == 0)
		error = watch(&run);
	end_run(&run, error);
	return error;
}

void weft_process_capture_free(weft_process_capture *capture)
{
	if (capture == NULL)
		return;
	free(capture->out);
	free(capture->err);
	clear(capture);
}
