/* SPDX-License-Identifier: MIT */
/* memory.c - how much memory does a parked fiber hold, with a default stack and with a small one?
 *
 * Measured: growth of the resident set, of the page tables (which the resident set does not count)
 * and of the number of mappings, from just before the first spawn until all fibers are parked in
 * weft_sleep(WEFT_FOREVER). Each sample is a process of its own, so that nothing is warm;
 * weft_run's end then cancels all of them, which must succeed too. The default class is skipped,
 * with a line on stderr, where the machine has not the memory for it.
 */
#include "bench/in_fiber.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct bench_question question = {
	.name = "memory",
	.asks = "how much memory does a parked fiber hold, with a default stack and with a small one?",
	.count_means = "parked fibers",
	.count = 1000000,
	.count_quick = 100000,
};

/* More than a default fiber needs (two pages, control block, page table): decides only whether to
 * try. */
#define GUESS_BYTES UINT64_C(12288)

/* Result of one child, sent through a pipe. */
struct cost {
	double rss_bytes;
	double table_bytes;
	double mappings;
	unsigned workers;
};

struct parked {
	const struct bench_args *args;
	unsigned attr_flags;
	uint64_t at_rest; /* fibers that have come to their sleep; shared between workers */
	struct cost cost;
};

static void *rest(void *arg)
{
	bench_count(&((struct parked *)arg)->at_rest);
	weft_sleep(WEFT_FOREVER);
	return NULL;
}

static void *body(void *arg)
{
	struct parked *parked = arg;
	const uint64_t count = parked->args->count;
	const weft_attr attr = {.name = "parked", .flags = parked->attr_flags};
	const uint64_t rss = bench_rss_bytes();
	const uint64_t tables = bench_page_tables();
	const uint64_t mappings = bench_mappings();

	for (uint64_t i = 0; i < count; i++) {
		weft_fiber *fiber = NULL;

		bench_check(weft_spawn_attr(&fiber, &attr, rest, parked), "weft_spawn_attr");
		bench_check(weft_detach(fiber), "weft_detach");
	}
	while (bench_counted(&parked->at_rest) < count)
		bench_check(weft_sleep(WEFT_MS), "weft_sleep");
	bench_check(weft_sleep(10 * WEFT_MS), "weft_sleep");
	parked->cost = (struct cost){
		.rss_bytes = (double)(int64_t)(bench_rss_bytes() - rss) / (double)count,
		.table_bytes = (double)(int64_t)(bench_page_tables() - tables) / (double)count,
		.mappings = (double)(int64_t)(bench_mappings() - mappings),
		.workers = weft_workers(),
	};
	return NULL;
}

/* One sample in a child process; the runtime starts only there. */
static struct cost measure(const struct bench_args *args, unsigned attr_flags)
{
	struct cost cost;
	int status = 0;
	int pipe_fd[2];
	pid_t child;

	if (pipe(pipe_fd) != 0 || (child = fork()) < 0)
		bench_die("memory: no child process: %s", strerror(errno));
	if (child == 0) {
		struct parked parked = {.args = args, .attr_flags = attr_flags};

		bench_in_fiber(args, body, &parked);
		if (write(pipe_fd[1], &parked.cost, sizeof parked.cost) != sizeof parked.cost)
			_exit(1);
		_exit(0);
	}
	close(pipe_fd[1]);
	if (read(pipe_fd[0], &cost, sizeof cost) != sizeof cost)
		cost.workers = 0;
	close(pipe_fd[0]);
	if (waitpid(child, &status, 0) != child || status != 0 || cost.workers == 0)
		bench_die("memory: the measuring process failed (status 0x%x)", (unsigned)status);
	return cost;
}

static bool fits(uint64_t fibers)
{
	const uint64_t have = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return fibers <= have / GUESS_BYTES;
}

static void ask(const struct bench_args *args, const char *class, unsigned attr_flags)
{
	struct bench_series rss = {0};
	struct bench_series tables = {0};
	struct bench_series mappings = {0};
	struct cost cost = {0};
	char text[64];
	const int length = snprintf(
		text, sizeof text, "%llu, %s stacks, ", (unsigned long long)args->count, class);
	char *what = text + length;
	const size_t room = sizeof text - (size_t)length;

	for (unsigned i = 0; i < args->reps; i++) {
		cost = measure(args, attr_flags);
		bench_add(&rss, cost.rss_bytes);
		bench_add(&tables, cost.table_bytes);
		bench_add(&mappings, cost.mappings);
	}
	snprintf(what, room, "RSS");
	bench_print(question.name, text, "weft", cost.workers, "bytes/fiber", &rss);
	snprintf(what, room, "page tables");
	bench_print(question.name, text, "weft", cost.workers, "bytes/fiber", &tables);
	snprintf(what, room, "mappings");
	bench_print(question.name, text, "weft", cost.workers, "in all", &mappings);
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	if (fits(args.count))
		ask(&args, "default", 0);
	else
		fprintf(stderr,
			"memory: default stacks skipped: %llu fibers may not fit into "
			"the free memory; try --count\n",
			(unsigned long long)args.count);
	ask(&args, "small", WEFT_SMALL);
	return 0;
}
