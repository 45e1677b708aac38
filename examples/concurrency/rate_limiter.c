/* SPDX-License-Identifier: MIT */
/* rate_limiter.c - a token bucket: a few requests at once, then one per period
 *
 * Shows    weft_ticker; a channel of empty elements as the bucket, its capacity the burst; a fiber
 *          in the background that ends by weft_scope_cancel
 * Build    cc rate_limiter.c $(pkg-config --cflags --libs weft) -o rate_limiter
 * In tree  bazel run //examples/concurrency:rate_limiter
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define BURST 3
#define PERIOD (20 * WEFT_MS)
#define REQUESTS 8

/* A token each period; a full bucket takes no more, so idle time is saved up to the burst only. */
static int refill(void *arg)
{
	weft_chan *bucket = arg;
	weft_ticker *ticker;
	weft_ns due;
	int error = weft_ticker_new(&ticker, weft_after(PERIOD), PERIOD);

	if (error < 0)
		return error;
	while ((error = weft_chan_recv(weft_ticker_chan(ticker), &due)) == 0)
		weft_chan_try_send(bucket, NULL); /* -EAGAIN: full */
	weft_ticker_free(ticker);
	return error;
}

/* Waits for a token. Those who wait get theirs in the order in which they came. */
static int wait_turn(weft_chan *bucket)
{
	return weft_chan_recv(bucket, NULL);
}

static int send_requests(weft_chan *bucket, weft_ns begin)
{
	for (int i = 0; i < REQUESTS; i++) {
		int error = wait_turn(bucket);

		if (error < 0)
			return error;
		/* Here the request would be sent. */
		int64_t periods = i < BURST ? 0 : i - BURST + 1;
		printf("request %d: %s %d ms\n", i + 1,
			weft_now() - begin >= periods * PERIOD ? "not before" : "too early, before",
			(int)(periods * PERIOD / WEFT_MS));
	}
	return 0;
}

static int run(weft_chan *bucket)
{
	weft_scope scope;
	weft_ns begin = weft_now();
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < BURST && error == 0; i++)
		error = weft_chan_try_send(bucket, NULL); /* it starts full */
	if (error == 0)
		error = weft_scope_spawn(&scope, refill, bucket);
	if (error == 0)
		error = send_requests(bucket, begin);
	/* The refiller would go on for ever. Cancelled by ourselves, the scope closes with -ECANCELED;
	 * an error of the refiller comes before that. */
	weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	return closed != -ECANCELED ? closed : error;
}

static void *start(void *arg)
{
	weft_chan *bucket;
	int error = weft_chan_new(&bucket, 0, BURST);

	(void)arg;
	if (error == 0)
		error = run(bucket);
	weft_chan_free(bucket);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "rate_limiter: %s\n", strerror(-error));
	return error < 0;
}
