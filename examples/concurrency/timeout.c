/* SPDX-License-Identifier: MIT */
/* timeout.c - limits on the time that something may take
 *
 * Shows    a scope's deadline around a function, around the fibers it starts, and within another
 *          limit; the deadline of weft_select
 * Build    cc timeout.c $(pkg-config --cflags --libs weft) -o timeout
 * In tree  bazel run //examples/concurrency:timeout
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define SHORT (30 * WEFT_MS)
#define LONG (30 * WEFT_SEC)

/* Runs a function for a limited time. It is called here, not in a fiber of its own: the opener of a
 * scope obeys it like its children. A limit that is in force already stays so. */
static int within(weft_ns limit, weft_task_fn task, void *arg)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, weft_after(limit));

	if (error < 0)
		return error;
	error = task(arg);
	int closed = weft_scope_close(&scope);
	return error < 0 ? error : closed;
}

static int quick(void *arg)
{
	*(int *)arg = 42;
	return weft_sleep(WEFT_MS);
}

static int endless(void *arg)
{
	(void)arg;
	return weft_sleep(WEFT_FOREVER);
}

/* It allows itself more time than it has been given. */
static int patient(void *arg)
{
	return within(LONG, endless, arg);
}

/* Counts itself when it has been told to stop. Its siblings run on other threads, so it counts by
 * sending. */
static int member(void *arg)
{
	weft_chan *told = arg;
	int error = weft_sleep(WEFT_FOREVER);

	weft_chan_try_send(told, NULL);
	return error;
}

static int crowd(void *arg)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < 3 && error == 0; i++)
		error = weft_scope_spawn(&scope, member, arg);
	int closed = weft_scope_close(&scope);
	return error < 0 ? error : closed;
}

static const char *said(int error)
{
	return error == 0 ? "in time" : strerror(-error);
}

/* A message, or nothing within a time: the other form, for one wait instead of many calls. */
static void wait_for_message(weft_chan *chan)
{
	weft_case message = {.op = WEFT_CASE_RECV, .chan = chan};
	int index = weft_select(&message, 1, weft_after(SHORT));

	printf("message: %s\n", index == 0 ? "there" : strerror(-index));
}

static void *start(void *arg)
{
	weft_chan *told;
	int answer = -1;
	int error = weft_chan_new(&told, 0, 3);

	(void)arg;
	if (error < 0)
		return (void *)(intptr_t)error;
	printf("quick: %s\n", said(within(LONG, quick, &answer)));
	printf("answer: %d\n", answer);
	printf("endless: %s\n", said(within(SHORT, endless, NULL)));
	printf("patient: %s\n", said(within(SHORT, patient, NULL)));
	printf("crowd: %s", said(within(SHORT, crowd, told)));
	printf(", %zu of 3 were told\n", weft_chan_len(told));

	wait_for_message(told);
	while (weft_chan_try_recv(told, NULL) == 0)
		;
	wait_for_message(told);
	weft_chan_free(told);
	return NULL;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "timeout: %s\n", strerror(-error));
	return error < 0;
}
