/* SPDX-License-Identifier: MIT */
/* blocked_worker.c - broken: a fiber calls what blocks its thread, a library that sleeps between two tries
 *
 * To read  the long-run report: "mailer" holds its worker, in a sleep below send_mail
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <time.h>
#include <weft/weft.h>

/* As in the library. */
__attribute__((noinline)) static int send_mail(const char *to)
{
	for (int attempt = 0; attempt < 3; attempt++) {
		struct timespec pause = {.tv_nsec = 500 * 1000 * 1000};
		nanosleep(&pause, NULL); /* wrong on a fiber; weft_offload(send_mail) is the cure */
	}
	return to == NULL;
}

static void *mail(void *arg)
{
	return send_mail(arg) == 0 ? arg : NULL;
}

static void *serve(void *arg)
{
	(void)arg;
	for (int beat = 0; beat < 200; beat++)
		weft_sleep(WEFT_MS);
	return NULL;
}

static void *start(void *arg)
{
	weft_fiber *server, *mailer;
	(void)arg;
	weft_set_name("start");
	if (weft_spawn_attr(&server, &(weft_attr){.name = "server"}, serve, NULL) < 0 ||
		weft_spawn_attr(&mailer, &(weft_attr){.name = "mailer"}, mail, "ada@example.org") < 0)
		return NULL;
	weft_join(server, NULL);
	weft_join(mailer, NULL);
	return NULL;
}

int main(void)
{
	return weft_run(&(weft_config){.workers = 1}, start, NULL, NULL) < 0;
}
