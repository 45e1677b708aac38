/* SPDX-License-Identifier: MIT */
/* random_read.c - what does a random read of a file cost on fibers, beside the loop one would write by hand for io_uring?
 *
 * Both read blocks of 4 KiB at random places of one file that is in the page cache, with as many reads in flight as --depth says, on one
 * thread: so the difference is what the fibers, the scheduler and the calls add. The peer keeps one SQE a slot in flight, submits what a batch
 * of completions frees with one io_uring_enter, and does nothing else. The two alternate in one process; a round is --count reads.
 */
#include "bench/in_fiber.h"
#include "bench/uring_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, BLOCKS = 16384, DEPTH_MAX = URING_READ_DEPTH_MAX };

static const struct bench_question question = {
	.name = "random_read",
	.asks = "what does a random read of 4 KiB cost on fibers, beside a raw io_uring loop of the same depth?",
	.count_means = "reads in each repetition",
	.count = 400000,
	.count_quick = 20000,
	.workers_only = 1,
};

struct round {
	int file;
	uint64_t left;
	uint64_t seed;
};

static char buffers[DEPTH_MAX][BLOCK_BYTES] __attribute__((aligned(4096)));

static off_t next_place(struct round *round)
{
	round->seed = round->seed * 6364136223846793005u + 1442695040888963407u;
	return (off_t)((round->seed >> 33) % BLOCKS) * BLOCK_BYTES;
}

struct reader {
	struct round *round;
	char *buffer;
};

static void *read_on(void *arg)
{
	const struct reader *reader = arg;
	struct round *round = reader->round;

	while (round->left > 0) {
		round->left--;
		if (weft_pread(round->file, reader->buffer, BLOCK_BYTES, next_place(round)) != BLOCK_BYTES)
			bench_die("random_read: a read failed");
	}
	return NULL;
}

static double on_fibers(struct round *round, uint64_t count, unsigned depth)
{
	weft_fiber *fibers[DEPTH_MAX];
	struct reader readers[DEPTH_MAX];
	const int64_t start_ns = bench_now_ns();

	round->left = count;
	for (unsigned i = 0; i < depth; i++) {
		readers[i] = (struct reader){.round = round, .buffer = buffers[i]};
		fibers[i] = bench_spawn(read_on, &readers[i]);
	}
	for (unsigned i = 0; i < depth; i++)
		bench_join(fibers[i]);
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

static uint64_t place_for_peer(void *round)
{
	return (uint64_t)next_place(round);
}

static double by_hand(struct round *round, uint64_t count, unsigned depth)
{
	struct uring_read read = {.file = round->file,
		.bytes = BLOCK_BYTES,
		.depth = depth,
		.place = place_for_peer,
		.arg = round};

	for (unsigned i = 0; i < depth; i++)
		read.buffer[i] = buffers[i];
	const int64_t start_ns = bench_now_ns();

	uring_read_round(&read, count);
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

static int make_file(void)
{
	char path[] = "/tmp/weft-bench-XXXXXX";
	const int file = mkstemp(path);

	if (file < 0)
		bench_die("random_read: %s: %s", path, strerror(errno));
	unlink(path);
	for (int i = 0; i < BLOCKS; i++) {
		memset(buffers[0], i, BLOCK_BYTES);
		if (write(file, buffers[0], BLOCK_BYTES) != BLOCK_BYTES)
			bench_die("random_read: the file of 64 MiB cannot be written: %s",
				strerror(errno));
	}
	return file;
}

static void compare(const struct bench_args *args, int file, unsigned depth)
{
	struct round round = {.file = file, .seed = 1};
	struct bench_series fibers = {.count = 0}, raw = {.count = 0};
	char text[64];

	for (unsigned i = 0; i <= args->reps; i++) {
		const double ours = on_fibers(&round, args->count, depth);
		const double theirs = by_hand(&round, args->count, depth);

		if (i > 0) {
			bench_add(&fibers, ours);
			bench_add(&raw, theirs);
		}
	}
	snprintf(text, sizeof(text), "read of 4 KiB, %u in flight", depth);
	bench_print("random_read", text, "weft", 1, "ns", &fibers);
	bench_print("random_read", text, "uring", 1, "ns", &raw);
}

static void *measure(void *arg)
{
	const struct bench_args *args = arg;
	const int file = make_file();

	uring_read_open();
	compare(args, file, 1);
	compare(args, file, 16);
	compare(args, file, 64);
	uring_read_close();
	close(file);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, measure, &args);
}
