/* SPDX-License-Identifier: MIT */
/* forgotten_waitgroup.c - broken: a worker that fails returns without weft_waitgroup_done
 *
 * To read  the deadlock report: "collector" waits for a waitgroup that is not zero
 */
#include <stdio.h>
#include <weft/weft.h>

static weft_waitgroup pending = WEFT_WAITGROUP_INIT;
static int pages[] = {3, 1, -4, 1, 5};
#define PAGES (sizeof(pages) / sizeof(pages[0]))

static void *fetch(void *arg)
{
	int *page = arg;
	weft_sleep(WEFT_MS);
	if (*page < 0)
		return NULL; /* wrong: pending is still counted up */
	*page *= 10;
	weft_waitgroup_done(&pending);
	return NULL;
}

static void *collect(void *arg)
{
	(void)arg;
	weft_set_name("collector");
	for (size_t i = 0; i < PAGES; i++) {
		weft_waitgroup_add(&pending, 1);
		weft_fiber *fetcher;
		if (weft_spawn_attr(&fetcher, &(weft_attr){.name = "fetcher"}, fetch, &pages[i]) == 0)
			weft_detach(fetcher);
	}
	weft_waitgroup_wait(&pending);
	for (size_t i = 0; i < PAGES; i++)
		printf("%d\n", pages[i]);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, collect, NULL, NULL) < 0;
}
