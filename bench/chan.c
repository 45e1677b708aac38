/* SPDX-License-Identifier: MIT */
/* chan.c - what does it cost to hand an element from one fiber to another through a channel?
 *
 * Elements are 8 bytes. The clock runs from before the fibers are spawned until all have ended.
 * Measured:
 *   ping-pong       two fibers and two channels without a buffer: one element there, one back.
 *   buffered        a buffer of 128; one producer, one consumer, until the channel is closed and
 *                   drained.
 *   one fiber       the same buffer; a fiber sends an element and receives it: nobody waits. Asked
 *                   on one worker only, for more change nothing.
 *   4 and 4         the same buffer; four producers, four consumers.
 *   sieve           the primes by a chain of filters, a fiber and a channel without a buffer each.
 *                   The generator ends with the last prime asked for and closes its channel, and so
 *                   does each filter behind it: the number of elements sent is always the same.
 * What arrives is checked: its sum, and the last prime.
 */
#include "bench/in_fiber.h"

#include <errno.h>
#include <stdlib.h>

static const struct bench_question question = {
	.name = "chan",
	.asks = "what does it cost to hand an element to another fiber through a channel?",
	.count_means = "elements, or rounds, in each repetition (not of the sieve)",
	.count = 1000000,
	.count_quick = 100000,
};

enum { CAPACITY = 128, SIDE = 4 };

static inline void must(int result, const char *call)
{
	if (result < 0)
		bench_check(result, call);
}

static inline void send_one(weft_chan *chan, uint64_t value)
{
	must(weft_chan_send(chan, &value), "weft_chan_send");
}

static inline uint64_t recv_one(weft_chan *chan)
{
	uint64_t value;

	must(weft_chan_recv(chan, &value), "weft_chan_recv");
	return value;
}

/* Receives into @value; 0 when the channel is closed and drained. */
static inline int recv_next(weft_chan *chan, uint64_t *value)
{
	const int result = weft_chan_recv(chan, value);

	if (result < 0 && result != -EPIPE)
		bench_check(result, "weft_chan_recv");
	return result == 0;
}

static weft_chan *new_chan(size_t capacity)
{
	weft_chan *chan = NULL;

	bench_check(weft_chan_new(&chan, sizeof(uint64_t), capacity), "weft_chan_new");
	return chan;
}

struct pair {
	uint64_t rounds;
	weft_chan *ping;
	weft_chan *pong;
};

static void *answer(void *arg)
{
	const struct pair *pair = arg;

	for (uint64_t i = 0; i < pair->rounds; i++)
		send_one(pair->pong, recv_one(pair->ping) + 1);
	return NULL;
}

static double ping_pong(void *arg)
{
	struct pair pair = {.rounds = *(const uint64_t *)arg};
	int64_t start_ns;
	weft_fiber *partner;

	pair.ping = new_chan(0);
	pair.pong = new_chan(0);
	start_ns = bench_now_ns();
	partner = bench_spawn(answer, &pair);
	for (uint64_t i = 0; i < pair.rounds; i++) {
		send_one(pair.ping, i);
		if (recv_one(pair.pong) != i + 1)
			bench_die("chan: a wrong answer");
	}
	bench_join(partner);
	start_ns = bench_now_ns() - start_ns;
	weft_chan_free(pair.ping);
	weft_chan_free(pair.pong);
	return (double)start_ns / (double)pair.rounds;
}

static double one_fiber(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_chan *chan = new_chan(CAPACITY);
	const int64_t start_ns = bench_now_ns();
	int64_t took_ns;

	for (uint64_t i = 0; i < count; i++) {
		send_one(chan, i);
		if (recv_one(chan) != i)
			bench_die("chan: a wrong element");
	}
	took_ns = bench_now_ns() - start_ns;
	weft_chan_free(chan);
	return (double)took_ns / (double)count;
}

struct belt {
	uint64_t each; /* elements of each producer: 1 .. each */
	weft_chan *chan;
	uint64_t sum;
};

static void *produce(void *arg)
{
	const struct belt *belt = arg;

	for (uint64_t i = 1; i <= belt->each; i++)
		send_one(belt->chan, i);
	return NULL;
}

static void *consume(void *arg)
{
	struct belt *belt = arg;
	uint64_t sum = 0;
	uint64_t value;

	while (recv_next(belt->chan, &value))
		sum += value;
	__atomic_add_fetch(&belt->sum, sum, __ATOMIC_RELAXED);
	return NULL;
}

static double through_belt(uint64_t count, unsigned side)
{
	struct belt belt = {.each = count / side + 1};
	weft_fiber *producers[SIDE];
	weft_fiber *consumers[SIDE];
	int64_t start_ns;
	int64_t took_ns;

	belt.chan = new_chan(CAPACITY);
	start_ns = bench_now_ns();
	for (unsigned i = 0; i < side; i++)
		consumers[i] = bench_spawn(consume, &belt);
	for (unsigned i = 0; i < side; i++)
		producers[i] = bench_spawn(produce, &belt);
	for (unsigned i = 0; i < side; i++)
		bench_join(producers[i]);
	bench_check(weft_chan_close(belt.chan), "weft_chan_close");
	for (unsigned i = 0; i < side; i++)
		bench_join(consumers[i]);
	took_ns = bench_now_ns() - start_ns;
	weft_chan_free(belt.chan);
	if (belt.sum != side * (belt.each * (belt.each + 1) / 2))
		bench_die("chan: what was received is not what was sent");
	return (double)took_ns / (double)(side * belt.each);
}

static double one_and_one(void *arg)
{
	return through_belt(*(const uint64_t *)arg, 1);
}

static double four_and_four(void *arg)
{
	return through_belt(*(const uint64_t *)arg, SIDE);
}

/* One link of the sieve's chain; the first has no input and makes the numbers. */
struct link {
	weft_chan *in;
	weft_chan *out;
	uint64_t prime;
	uint64_t last;
	weft_fiber *fiber;
};

static void *generate(void *arg)
{
	const struct link *link = arg;

	for (uint64_t i = 2; i <= link->last; i++)
		send_one(link->out, i);
	must(weft_chan_close(link->out), "weft_chan_close");
	return NULL;
}

static void *filter(void *arg)
{
	const struct link *link = arg;
	uint64_t value;

	while (recv_next(link->in, &value)) {
		if (value % link->prime != 0)
			send_one(link->out, value);
	}
	must(weft_chan_close(link->out), "weft_chan_close");
	return NULL;
}

struct sieve {
	unsigned primes;
	uint64_t last; /* the prime of that number */
};

static double run_sieve(void *arg)
{
	const struct sieve *sieve = arg;
	struct link *links = bench_alloc(sieve->primes, sizeof(*links));
	const int64_t start_ns = bench_now_ns();
	uint64_t prime = 0;
	int64_t took_ns;

	links[0].last = sieve->last;
	links[0].out = new_chan(0);
	links[0].fiber = bench_spawn(generate, &links[0]);
	for (unsigned i = 1; i < sieve->primes; i++) {
		links[i].in = links[i - 1].out;
		links[i].prime = recv_one(links[i].in);
		links[i].out = new_chan(0);
		links[i].fiber = bench_spawn(filter, &links[i]);
	}
	prime = recv_one(links[sieve->primes - 1].out);
	if (prime != sieve->last || recv_next(links[sieve->primes - 1].out, &prime))
		bench_die("chan: %llu is not the last prime", (unsigned long long)prime);
	for (unsigned i = 0; i < sieve->primes; i++)
		bench_join(links[i].fiber);
	took_ns = bench_now_ns() - start_ns;
	for (unsigned i = 0; i < sieve->primes; i++)
		weft_chan_free(links[i].out);
	free(links);
	return (double)took_ns / 1e6;
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	struct sieve hundred = {.primes = 100, .last = 541};
	struct sieve thousand = {.primes = 1000, .last = 7919};
	uint64_t count = args->count;

	bench_repeat(args, "ping-pong, no buffer", "ns/round", ping_pong, &count);
	if (weft_workers() == 1)
		bench_repeat(args, "buffer 128, one fiber: send, receive", "ns/pair", one_fiber, &count);
	bench_repeat(args, "buffer 128, 1 producer, 1 consumer", "ns/element", one_and_one, &count);
	bench_repeat(args, "buffer 128, 4 producers, 4 consumers", "ns/element", four_and_four, &count);
	bench_repeat(args, "sieve, 100 primes", "ms", run_sieve, &hundred);
	bench_repeat(args, "sieve, 1000 primes", "ms", run_sieve, &thousand);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
