/* SPDX-License-Identifier: MIT */
/* lost_close.c - broken: nobody closes the channel, so its receiver waits for ever
 *
 * To read  the deadlock report: "printer" receives from a channel that nobody sends on
 */
#include <stdio.h>
#include <weft/weft.h>

static weft_chan *lines;

static void *print_lines(void *arg)
{
	int line;
	(void)arg;
	while (weft_chan_recv(lines, &line) == 0)
		printf("line %d\n", line);
	return NULL;
}

static void *write_lines(void *arg)
{
	(void)arg;
	for (int line = 0; line < 3; line++)
		if (weft_chan_send(lines, &line) < 0)
			return NULL;
	return NULL; /* wrong: weft_chan_close(lines) is missing */
}

static void *start(void *arg)
{
	weft_fiber *printer, *writer;
	(void)arg;
	weft_set_name("start");
	if (weft_chan_new(&lines, sizeof(int), 1) < 0 ||
		weft_spawn_attr(&printer, &(weft_attr){.name = "printer"}, print_lines, NULL) < 0 ||
		weft_spawn_attr(&writer, &(weft_attr){.name = "writer"}, write_lines, NULL) < 0)
		return NULL;
	weft_join(writer, NULL);
	weft_join(printer, NULL);
	weft_chan_free(lines);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
