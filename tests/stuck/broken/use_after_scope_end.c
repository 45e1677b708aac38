/* SPDX-License-Identifier: MIT */
/* use_after_scope_end.c - broken: a fiber outside the scope goes on spawning into it when it is closed
 *
 * To read  "watcher" spawns into a scope that is not open
 */
#include <weft/weft.h>

static weft_scope requests;

static int answer(void *arg)
{
	(void)arg;
	return weft_sleep(WEFT_MS);
}

/* Not a child of the scope: nothing ends it when the scope is closed. */
static void *watch(void *arg)
{
	(void)arg;
	while (weft_sleep(2 * WEFT_MS) == 0)
		weft_scope_spawn(&requests, answer, NULL);
	return NULL;
}

static void *serve(void *arg)
{
	weft_fiber *watcher;
	(void)arg;
	weft_set_name("server");
	if (weft_scope_open(&requests, WEFT_FOREVER) < 0 ||
		weft_spawn_attr(&watcher, &(weft_attr){.name = "watcher"}, watch, NULL) < 0)
		return NULL;
	weft_sleep(10 * WEFT_MS);
	weft_scope_close(&requests); /* wrong: the watcher should have ended before */
	weft_sleep(WEFT_SEC);
	weft_cancel(watcher);
	weft_join(watcher, NULL);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, serve, NULL, NULL) < 0;
}
