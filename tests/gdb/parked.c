/* SPDX-License-Identifier: MIT */
/* parked.c - fibers in every kind of wait, for gdb to look at
 *
 * usage: parked [COUNT]
 *
 * What     Calls look_now() once all of them wait, and then ends: a debugger breaks there. With COUNT, that many more wait on a channel.
 *          Two workers: one runs the hog, the other the fiber that calls look_now(); so whoever has announced itself has parked.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/weft.h>

#define FOREVER (1000 * WEFT_SEC)

static weft_mutex mutex;
static weft_event never;
static weft_chan *empty;
static weft_fiber *sleeper;
static int idle_pipe[2];
static atomic_int announced;
static atomic_bool hogging, over;

__attribute__((noinline)) void look_now(void)
{
	__asm__ volatile("" ::: "memory");
}

static void *sleep_long(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_sleep(FOREVER);
	return arg;
}

static void *lock(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_mutex_lock(&mutex);
	weft_mutex_unlock(&mutex);
	return arg;
}

static void *receive(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_chan_recv(empty, NULL);
	return arg;
}

static void *read_pipe(void *arg)
{
	char byte;

	atomic_fetch_add(&announced, 1);
	weft_read(idle_pipe[0], &byte, 1);
	return arg;
}

static void *join_sleeper(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_join(sleeper, NULL);
	return arg;
}

static void *choose(void *arg)
{
	weft_case cases[] = {
		{.op = WEFT_CASE_RECV, .chan = empty},
		{.op = WEFT_CASE_READABLE, .fd = idle_pipe[0]},
	};

	atomic_fetch_add(&announced, 1);
	weft_select(cases, 2, weft_after(FOREVER));
	return arg;
}

static void *wait_event(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_event_wait(&never);
	return arg;
}

/* Waits in a generator's body, which another one's body resumes. */
static void *inner_body(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_event_wait(&never);
	return arg;
}

static void *outer_body(void *arg)
{
	weft_gen *inner;

	if (weft_gen_new(&inner, inner_body, NULL) == 0) {
		weft_gen_next(inner, NULL);
		weft_gen_free(inner);
	}
	return arg;
}

static void *generate(void *arg)
{
	weft_gen *outer;

	if (weft_gen_new(&outer, outer_body, NULL) == 0) {
		weft_gen_next(outer, NULL);
		weft_gen_free(outer);
	}
	return arg;
}

static void *coro_body(void *arg)
{
	atomic_fetch_add(&announced, 1);
	weft_event_wait(&never);
	return arg;
}

static void *switch_coro(void *arg)
{
	weft_coro *coro;

	if (weft_coro_new(&coro, coro_body, NULL) == 0) {
		weft_coro_switch(coro, NULL, NULL);
		weft_coro_free(coro);
	}
	return arg;
}

static void *end_at_once(void *arg)
{
	atomic_fetch_add(&announced, 1);
	return arg;
}

static void *hog(void *arg)
{
	atomic_store(&hogging, true);
	while (!atomic_load(&over))
		continue;
	return arg;
}

static weft_fiber *start(const char *name, weft_fn fn, unsigned flags)
{
	const weft_attr attr = {.name = name, .flags = flags};
	weft_fiber *fiber;
	int error = weft_spawn_attr(&fiber, &attr, fn, NULL);

	if (error < 0) {
		fprintf(stderr, "parked: cannot start %s: %d\n", name, error);
		exit(2);
	}
	return fiber;
}

static void wait_for(const atomic_int *counter, int count)
{
	while (atomic_load(counter) < count)
		weft_sleep(WEFT_MS);
}

static void *look_at_all(void *arg)
{
	const int *more = arg;
	int count = 0;
	weft_fiber *hogger;

	weft_mutex_lock(&mutex);
	weft_chan_new(&empty, 0, 0);
	if (pipe(idle_pipe) < 0)
		exit(2);
	sleeper = start("sleeper", sleep_long, 0);
	start("locker", lock, 0);
	start("receiver", receive, 0);
	start("reader", read_pipe, 0);
	start("joiner", join_sleeper, 0);
	start("chooser", choose, 0);
	start("waiter", wait_event, 0);
	start("generator", generate, 0);
	start("coroutine", switch_coro, 0);
	start("small", receive, WEFT_SMALL);
	start("finished", end_at_once, 0);
	start("pinned", sleep_long, WEFT_PINNED);
	start("", sleep_long, 0);
	for (count = 13; count < 13 + *more; count++)
		start("one of many", receive, 0);
	wait_for(&announced, count);
	hogger = start("hog", hog, 0);
	/* Not asleep: the hog may come to this worker, which then has no time for timers. */
	while (!atomic_load(&hogging))
		weft_yield();
	weft_set_name("looker");
	look_now();
	atomic_store(&over, true);
	weft_join(hogger, NULL);
	weft_mutex_unlock(&mutex);
	return NULL;
}

/* So long that its thread is asked where it is. */
static void *run_long(void *arg)
{
	for (weft_ns end = weft_now() + 200 * WEFT_MS; weft_now() < end;)
		continue;
	return arg;
}

int main(int argc, char **argv)
{
	int more = argc > 1 ? atoi(argv[1]) : 0;
	/* Nobody stands in: then it is known who is where. */
	const weft_config config = {.workers = 2, .rescue = WEFT_RESCUE_OFF};

	if (argc > 1 && strcmp(argv[1], "long") == 0)
		return weft_run(&config, run_long, NULL, NULL) < 0;
	return weft_run(&config, look_at_all, &more, NULL) < 0;
}
