/* SPDX-License-Identifier: MIT */
/* leak.c - broken: the fibers of requests are neither joined nor detached, and keep their control blocks
 *
 * To read  with WEFT_LEAKS=on: 100 fibers spawned in accept_request; one of them is a "request"
 */
#include <weft/weft.h>

static void *answer(void *arg)
{
	weft_sleep(WEFT_MS);
	return arg;
}

__attribute__((noinline)) static int accept_request(void)
{
	weft_fiber *request; /* wrong: weft_go, or a weft_detach behind it */
	return weft_spawn_attr(&request, &(weft_attr){.name = "request"}, answer, NULL);
}

static void *serve(void *arg)
{
	(void)arg;
	weft_set_name("server");
	for (int i = 0; i < 100; i++)
		if (accept_request() < 0)
			break;
	weft_sleep(20 * WEFT_MS);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, serve, NULL, NULL) < 0;
}
