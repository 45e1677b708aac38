/* SPDX-License-Identifier: MIT */
/* ticker.c - a small fiber of weft's own is the first to call libc, in a program that binds its symbols lazily */
#include <stdio.h>
#include <weft/weft.h>

static void *start(void *arg)
{
	weft_ticker *ticker;
	weft_ns due = 0;

	if (weft_ticker_new(&ticker, weft_after(WEFT_MS), WEFT_MS) < 0)
		return NULL;
	for (int i = 0; i < 3; i++)
		if (weft_chan_recv(weft_ticker_chan(ticker), &due) < 0)
			due = 0;
	weft_ticker_free(ticker);
	return due > 0 ? arg : NULL;
}

int main(void)
{
	int mark = 0;
	void *result = NULL;

	if (weft_run(NULL, start, &mark, &result) < 0 || result != &mark)
		return 1;
	printf("three ticks\n");
	return 0;
}
