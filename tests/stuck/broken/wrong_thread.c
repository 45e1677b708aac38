/* SPDX-License-Identifier: MIT */
/* wrong_thread.c - broken: a callback of a library runs on the library's thread, where there is no fiber
 *
 * To read  weft_write was called on a thread that runs no fiber; the thread's name is "library"
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <weft/weft.h>

static int pipe_ends[2];

/* As in the library. */
struct listener {
	void (*on_event)(char event);
};

static void *library_thread(void *arg)
{
	struct listener *listener = arg;
	pthread_setname_np(pthread_self(), "library");
	listener->on_event('x');
	return NULL;
}

static void pass_on(char event)
{
	weft_write(pipe_ends[1], &event, 1); /* wrong: no fiber; and nobody looks at the result */
}

static void *start(void *arg)
{
	struct listener listener = {pass_on};
	pthread_t library;
	char event;
	(void)arg;
	weft_set_name("start");
	if (pipe(pipe_ends) < 0 || pthread_create(&library, NULL, library_thread, &listener) != 0)
		return NULL;
	weft_deadline(weft_after(100 * WEFT_MS));
	if (weft_read(pipe_ends[0], &event, 1) != 1)
		puts("no event");
	pthread_join(library, NULL);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
