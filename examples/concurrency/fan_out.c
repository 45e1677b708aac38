/* SPDX-License-Identifier: MIT */
/* fan_out.c - one channel of work read by several fibers, one channel of results they all write
 *
 * Shows    fan-out and fan-in; who closes a channel that has several senders: the fiber whose scope
 *          owns them
 * Build    cc fan_out.c $(pkg-config --cflags --libs weft) -o fan_out
 * In tree  bazel run //examples/concurrency:fan_out
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define COUNTERS 4
#define LIMIT 200000
#define PART 5000

struct channels {
	weft_chan *parts;  /* int: the first number of a part */
	weft_chan *counts; /* int: primes in a part */
};

static int deal(void *arg)
{
	const struct channels *channels = arg;
	int error = 0;

	for (int begin = 0; begin < LIMIT && error == 0; begin += PART)
		error = weft_chan_send(channels->parts, &begin);
	weft_chan_close(channels->parts);
	return error;
}

static int is_prime(int number)
{
	for (int divisor = 2; divisor * divisor <= number; divisor++)
		if (number % divisor == 0)
			return 0;
	return number >= 2;
}

static int count_primes(void *arg)
{
	const struct channels *channels = arg;
	int begin;
	int error;

	while ((error = weft_chan_recv(channels->parts, &begin)) == 0) {
		int found = 0;

		for (int number = begin; number < begin + PART; number++)
			found += is_prime(number);
		if ((error = weft_chan_send(channels->counts, &found)) < 0)
			return error;
	}
	return error == -EPIPE ? 0 : error;
}

/* When its scope has closed no sender is left, so the channel can be closed: no count of senders
 * has to be kept. */
static int count_all(void *arg)
{
	struct channels *channels = arg;
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < COUNTERS && error == 0; i++)
		error = weft_scope_spawn(&scope, count_primes, channels);
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	weft_chan_close(channels->counts);
	return error < 0 ? error : closed;
}

static int add_up(struct channels *channels)
{
	weft_scope scope;
	int found;
	int parts = 0;
	int primes = 0;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	error = weft_scope_spawn(&scope, deal, channels);
	if (error == 0)
		error = weft_scope_spawn(&scope, count_all, channels);
	for (; error == 0 && (error = weft_chan_recv(channels->counts, &found)) == 0; parts++)
		primes += found;
	if (error == -EPIPE)
		error = 0; /* closed: these were all */
	else
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	if (error == 0 || error == -ECANCELED)
		error = closed; /* which says why, if a child failed */
	if (error == 0)
		printf("%d parts: %d primes below %d\n", parts, primes, LIMIT);
	return error;
}

static void *start(void *arg)
{
	struct channels channels = {NULL, NULL};
	int error = weft_chan_new(&channels.parts, sizeof(int), 0);

	(void)arg;
	if (error == 0)
		error = weft_chan_new(&channels.counts, sizeof(int), COUNTERS);
	if (error == 0)
		error = add_up(&channels);
	weft_chan_free(channels.parts);
	weft_chan_free(channels.counts);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "fan_out: %s\n", strerror(-error));
	return error < 0;
}
