/* SPDX-License-Identifier: MIT */
/* missed_cancel.c - broken: a loop that takes every error for one that passes ignores its cancellation
 *
 * To read  the program does not end because "poller" goes on, though it is cancelled; after 3 s it gives up
 */
#include <weft/weft.h>

static weft_chan *commands;

/* Wrong: -ECANCELED is an error like any other here. */
static int next_command(weft_ns give_up)
{
	int command = 0;
	while (weft_chan_recv(commands, &command) != 0 && weft_now() < give_up)
		weft_sleep(10 * WEFT_MS); /* tries again later */
	return command;
}

static void *poll_commands(void *arg)
{
	(void)arg;
	while (next_command(weft_after(3 * WEFT_SEC)) != 0)
		;
	return NULL;
}

static void *start(void *arg)
{
	weft_fiber *poller;
	(void)arg;
	weft_set_name("start");
	if (weft_chan_new(&commands, sizeof(int), 0) == 0 &&
		weft_spawn_attr(&poller, &(weft_attr){.name = "poller"}, poll_commands, NULL) == 0)
		weft_detach(poller);
	weft_sleep(10 * WEFT_MS);
	return NULL; /* cancels the poller, and waits for it */
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
