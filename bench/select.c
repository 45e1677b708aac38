/* SPDX-License-Identifier: MIT */
/* select.c - what does weft_select cost, when a case is ready, when none is, and when it parks?
 *
 * Elements are 8 bytes. Measured:
 *   one ready      receives from 2 and from 8 channels, one of which holds elements. It is filled
 *                  outside the clock, 1,024 at a time, and each time another one of them.
 *   none ready     receives from 2 empty channels, deadline 0.
 *   ping-pong      two fibers; each sends and then selects between the answer and a channel on
 *                  which nothing ever comes. A buffer of 1 has room at every send, so only selects
 *                  park: on one worker two a round, which is checked with weft_stats_get.
 * The first three are one fiber's work and are asked on one worker only, for more change nothing.
 */
#include "bench/in_fiber.h"

#include <errno.h>

static const struct bench_question question = {
	.name = "select",
	.asks = "what does weft_select cost with a case ready, with none, and when it parks?",
	.count_means = "calls, or rounds, in each repetition",
	.count = 1000000,
	.count_quick = 100000,
};

enum { CHANS_MAX = 8, FILL = 1024 };

static inline void must(int result, const char *call)
{
	if (result < 0)
		bench_check(result, call);
}

static weft_chan *new_chan(size_t capacity)
{
	weft_chan *chan = NULL;

	bench_check(weft_chan_new(&chan, sizeof(uint64_t), capacity), "weft_chan_new");
	return chan;
}

struct shelf {
	uint64_t count;
	unsigned chans;
	weft_chan *chan[CHANS_MAX];
	weft_case cases[CHANS_MAX];
	uint64_t element;
};

static void open_shelf(struct shelf *shelf)
{
	for (unsigned i = 0; i < shelf->chans; i++) {
		shelf->chan[i] = new_chan(FILL);
		shelf->cases[i].op = WEFT_CASE_RECV;
		shelf->cases[i].chan = shelf->chan[i];
		shelf->cases[i].element = &shelf->element;
	}
}

static void close_shelf(struct shelf *shelf)
{
	for (unsigned i = 0; i < shelf->chans; i++)
		weft_chan_free(shelf->chan[i]);
}

static int64_t drain(struct shelf *shelf, unsigned ready)
{
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < FILL; i++) {
		const int index = weft_select(shelf->cases, shelf->chans, WEFT_FOREVER);

		must(index, "weft_select");
		if ((unsigned)index != ready || shelf->element != i)
			bench_die("select: not the case that was ready");
	}
	return bench_now_ns() - start_ns;
}

static double one_ready(void *arg)
{
	struct shelf *shelf = arg;
	const uint64_t turns = shelf->count / FILL + 1;
	int64_t took_ns = 0;

	open_shelf(shelf);
	for (uint64_t turn = 0; turn < turns; turn++) {
		const unsigned ready = (unsigned)(turn % shelf->chans);

		for (uint64_t i = 0; i < FILL; i++)
			must(weft_chan_send(shelf->chan[ready], &i), "weft_chan_send");
		took_ns += drain(shelf, ready);
	}
	close_shelf(shelf);
	return (double)took_ns / (double)(turns * FILL);
}

static double none_ready(void *arg)
{
	struct shelf *shelf = arg;
	int64_t took_ns;

	open_shelf(shelf);
	took_ns = -bench_now_ns();
	for (uint64_t i = 0; i < shelf->count; i++) {
		if (weft_select(shelf->cases, shelf->chans, 0) != -EAGAIN)
			bench_die("select: a case of an empty channel was ready");
	}
	took_ns += bench_now_ns();
	close_shelf(shelf);
	return (double)took_ns / (double)shelf->count;
}

struct pair {
	uint64_t rounds;
	weft_chan *ping;
	weft_chan *pong;
	weft_chan *never;
};

/* Waits on @chan, but for what never comes too. */
static inline uint64_t await(weft_chan *chan, weft_chan *never)
{
	uint64_t value = 0;
	weft_case cases[] = {
		{.op = WEFT_CASE_RECV, .chan = chan, .element = &value},
		{.op = WEFT_CASE_RECV, .chan = never, .element = &value},
	};
	const int index = weft_select(cases, 2, WEFT_FOREVER);

	must(index, "weft_select");
	if (index != 0)
		bench_die("select: something came that never comes");
	return value;
}

static void *answer(void *arg)
{
	const struct pair *pair = arg;

	for (uint64_t i = 0; i < pair->rounds; i++) {
		const uint64_t value = await(pair->ping, pair->never) + 1;

		must(weft_chan_send(pair->pong, &value), "weft_chan_send");
	}
	return NULL;
}

static uint64_t parks_so_far(void)
{
	weft_stats stats;

	bench_check(weft_stats_get(NULL, &stats, NULL, 0), "weft_stats_get");
	return stats.total.parks;
}

static double ping_pong(void *arg)
{
	struct pair pair = {.rounds = *(const uint64_t *)arg};
	const uint64_t parks_before = parks_so_far();
	weft_fiber *partner;
	int64_t took_ns;

	pair.ping = new_chan(1);
	pair.pong = new_chan(1);
	pair.never = new_chan(1);
	took_ns = -bench_now_ns();
	partner = bench_spawn(answer, &pair);
	for (uint64_t i = 0; i < pair.rounds; i++) {
		must(weft_chan_send(pair.ping, &i), "weft_chan_send");
		if (await(pair.pong, pair.never) != i + 1)
			bench_die("select: a wrong answer");
	}
	bench_join(partner);
	took_ns += bench_now_ns();
	weft_chan_free(pair.ping);
	weft_chan_free(pair.pong);
	weft_chan_free(pair.never);
	/* The partner's first select finds its element there. */
	if (weft_workers() == 1 && parks_so_far() - parks_before < 2 * pair.rounds - 1)
		bench_die("select: fewer than two parks a round: the case is not what it says");
	return (double)took_ns / (double)pair.rounds;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct shelf two = {.count = args->count, .chans = 2};
	struct shelf eight = {.count = args->count, .chans = 8};
	uint64_t count = args->count;

	if (weft_workers() == 1) {
		bench_repeat(args, "2 channels, one ready", "ns/op", one_ready, &two);
		bench_repeat(args, "8 channels, one ready", "ns/op", one_ready, &eight);
		bench_repeat(args, "2 channels, none ready, deadline 0", "ns/op", none_ready, &two);
	}
	bench_repeat(args, "2 channels, ping-pong", "ns/round", ping_pong, &count);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
