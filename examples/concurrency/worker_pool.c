/* SPDX-License-Identifier: MIT */
/* worker_pool.c - a few fibers do the work of many, and each caller gets its own answer
 *
 * Shows    a rendezvous channel as the door of a pool, weft_event for the answer; a job that fails
 *          without ending the pool; weft_shield where another fiber works in one's frame
 * Build    cc worker_pool.c $(pkg-config --cflags --libs weft) -o worker_pool
 * In tree  bazel run //examples/concurrency:worker_pool
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/weft.h>

#define POOL 3
#define CALLERS 6
#define LARGEST 30000

struct job {
	const char *text;
	long square; /* the answer */
	int error;
	weft_event done;
};

static void work(struct job *job)
{
	char *rest;
	long number = strtol(job->text, &rest, 10);

	weft_sleep(5 * WEFT_MS); /* as if it were hard */
	job->error = *rest != '\0' || labs(number) > LARGEST ? -EINVAL : 0;
	job->square = job->error == 0 ? number * number : 0;
}

/* A worker ends when the channel is closed. A job it has taken it finishes, also when cancelled:
 * somebody waits for it. */
static int worker(void *arg)
{
	weft_chan *jobs = arg;
	struct job *job;
	int error;

	while ((error = weft_chan_recv(jobs, &job)) == 0) {
		work(job);
		weft_event_set(&job->done);
	}
	return error == -EPIPE ? 0 : error;
}

/* What callers of the pool see: a function. It waits for a free worker (there it can be given up),
 * then for the answer. */
static int ask(weft_chan *jobs, const char *text, long *square)
{
	struct job job = {.text = text, .done = WEFT_EVENT_INIT};
	struct job *handed = &job;
	int error = weft_chan_send(jobs, &handed);

	if (error < 0)
		return error;
	/* A worker writes into this frame: neither cancellation nor a deadline may end it before. */
	bool was = weft_shield(true);
	weft_ns old = weft_deadline(WEFT_FOREVER);
	weft_event_wait(&job.done);
	weft_deadline(old);
	weft_shield(was);
	*square = job.square;
	return job.error;
}

struct caller {
	weft_chan *jobs;
	const char *text;
	long square;
	int error;
};

static int call(void *arg)
{
	struct caller *caller = arg;

	caller->error = ask(caller->jobs, caller->text, &caller->square);
	return 0; /* a bad number is no reason to cancel the other callers */
}

static int call_all(weft_chan *jobs)
{
	static const char *const text[CALLERS] = {"12", "7", "seven", "-3", "100", "0"};
	struct caller caller[CALLERS];
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < CALLERS && error == 0; i++) {
		caller[i] = (struct caller){.jobs = jobs, .text = text[i]};
		error = weft_scope_spawn(&scope, call, &caller[i]);
	}
	int closed = weft_scope_close(&scope);
	if (error < 0 || closed < 0)
		return error < 0 ? error : closed;
	for (int i = 0; i < CALLERS; i++)
		if (caller[i].error < 0)
			printf("%s: %s\n", caller[i].text, strerror(-caller[i].error));
		else
			printf("%s: %ld\n", caller[i].text, caller[i].square);
	return 0;
}

static int run_pool(weft_chan *jobs)
{
	weft_scope pool;
	int error = weft_scope_open(&pool, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < POOL && error == 0; i++)
		error = weft_scope_spawn(&pool, worker, jobs);
	if (error == 0)
		error = call_all(jobs);
	weft_chan_close(jobs);
	int closed = weft_scope_close(&pool);
	return error < 0 ? error : closed;
}

static void *start(void *arg)
{
	weft_chan *jobs;
	int error = weft_chan_new(&jobs, sizeof(struct job *), 0);

	(void)arg;
	if (error == 0)
		error = run_pool(jobs);
	weft_chan_free(jobs);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "worker_pool: %s\n", strerror(-error));
	return error < 0;
}
