/* SPDX-License-Identifier: MIT */
/* double_join.c - broken: the fiber that failed is joined where it fails, and once more at the end
 *
 * To read  "start" joins "part", which has been joined
 */
#include <stdio.h>
#include <weft/weft.h>

#define PARTS 3
static weft_fiber *part[PARTS];

static void *work(void *arg)
{
	weft_sleep(WEFT_MS);
	return arg;
}

static void join_failed(void **result, int index)
{
	weft_join(part[index], result);
	printf("part %d has failed\n", index);
}

static void *start(void *arg)
{
	static int ok = 1;
	void *result = &ok;
	(void)arg;
	weft_set_name("start");
	for (int i = 0; i < PARTS; i++)
		if (weft_spawn_attr(&part[i], &(weft_attr){.name = "part"}, work, i == 1 ? NULL : &ok) < 0)
			return NULL;
	weft_sleep(5 * WEFT_MS);
	join_failed(&result, 1);
	for (int i = 0; i < PARTS; i++)
		weft_join(part[i], &result); /* wrong: part 1 has been joined */
	return NULL;
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
