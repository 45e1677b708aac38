/* SPDX-License-Identifier: MIT */
/* bench.c - the harness of bench.h: arguments, clocks, /proc readings, JSON lines. Keeps no state.
 * */
#include "bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REPS_DEFAULT = 11, REPS_QUICK = 3, WORKERS_MAX = 1024 };

#define COUNT_MAX UINT64_C(100000000000)

static void print_help(const struct bench_question *q)
{
	printf("%s: %s\n\nOptions:\n", q->name, q->asks);
	printf("  --reps N     samples to take after one warm-up (default %d, at most %u)\n",
		REPS_DEFAULT, BENCH_REPS_MAX);
	if (q->workers_only != 0)
		printf("  --workers N  accepted for symmetry: this question is about %u\n",
			q->workers_only);
	else
		printf("  --workers N  worker threads (default 1; 0: one for each CPU usable)\n");
	if (q->count_means)
		printf("  --count N    %s (default %llu)\n", q->count_means, (unsigned long long)q->count);
	printf("  --quick      fewer samples%s, for a smoke test: not for quoting\n",
		q->count_quick != q->count ? " and a smaller count" : "");
	printf("  --help       this text\n\n"
	       "Prints one JSON line for each case on stdout.\n");
}

static _Noreturn void usage(const struct bench_question *q, const char *format, const char *what)
{
	fprintf(stderr, "%s: ", q->name);
	fprintf(stderr, format, what);
	fprintf(stderr, "; see --help\n");
	exit(2);
}

uint64_t bench_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end = NULL;
	unsigned long long value = 0;

	errno = 0;
	if (text[0] >= '0' && text[0] <= '9')
		value = strtoull(text, &end, 10);
	if (!end || *end != '\0' || errno != 0 || value < min || value > max) {
		fprintf(stderr, "--%s wants a number from %llu to %llu, not \"%s\"\n", option,
			(unsigned long long)min, (unsigned long long)max, text);
		exit(2);
	}
	return value;
}

struct bench_args bench_parse(const struct bench_question *question, int argc, char **argv)
{
	static const struct option options[] = {
		{"reps", required_argument, NULL, 'r'},
		{"workers", required_argument, NULL, 'w'},
		{"count", required_argument, NULL, 'c'},
		{"quick", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct bench_args args = {.question = question, .workers = 1};
	int quick = 0;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			args.reps = (unsigned)bench_number("reps", optarg, 1, BENCH_REPS_MAX);
			break;
		case 'w':
			args.workers = (unsigned)bench_number("workers", optarg, 0, WORKERS_MAX);
			break;
		case 'c':
			args.count = bench_number("count", optarg, 1, COUNT_MAX);
			break;
		case 'q':
			quick = 1;
			break;
		case 'h':
			print_help(question);
			exit(0);
		default:
			usage(question, "cannot use \"%s\"", argv[optind - 1]);
		}
	}
	if (optind != argc)
		usage(question, "takes no argument like \"%s\"", argv[optind]);
	if (args.count != 0 && !question->count_means)
		usage(question, "%s does not apply here", "--count");
	if (question->workers_only != 0 && args.workers != question->workers_only)
		usage(question, "%s cannot be changed for this question", "--workers");
	if (args.count == 0)
		args.count = quick ? question->count_quick : question->count;
	if (args.reps == 0)
		args.reps = quick ? REPS_QUICK : REPS_DEFAULT;
	return args;
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		bench_die("clock_gettime: %s", strerror(errno));
	return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static FILE *open_proc(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file)
		bench_die("%s: %s; these figures need /proc mounted", path, strerror(errno));
	return file;
}

uint64_t bench_rss_bytes(void)
{
	FILE *file = open_proc("/proc/self/statm");
	unsigned long long pages = 0;

	if (fscanf(file, "%*u %llu", &pages) != 1)
		bench_die("/proc/self/statm has no second field");
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t bench_page_tables(void)
{
	FILE *file = open_proc("/proc/self/status");
	unsigned long long kib = 0;
	char line[256];
	int found = 0;

	while (!found && fgets(line, sizeof line, file))
		found = sscanf(line, "VmPTE: %llu kB", &kib) == 1;
	fclose(file);
	if (!found)
		bench_die("/proc/self/status has no VmPTE line");
	return kib * 1024;
}

uint64_t bench_mappings(void)
{
	FILE *file = open_proc("/proc/self/maps");
	uint64_t lines = 0;
	int c;

	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

void bench_add(struct bench_series *series, double sample)
{
	if (series->count == BENCH_REPS_MAX)
		bench_die("more than %u samples in one series", BENCH_REPS_MAX);
	series->sample[series->count++] = sample;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return (x > y) - (x < y);
}

void bench_print(const char *bench, const char *text, const char *who, unsigned workers,
	const char *unit, const struct bench_series *series)
{
	struct bench_series sorted = *series;
	const unsigned n = series->count;
	double median;
	double spread = 0;

	if (n == 0)
		bench_die("%s, %s: no sample", bench, text);
	qsort(sorted.sample, n, sizeof sorted.sample[0], compare);
	median = n % 2 ? sorted.sample[n / 2] : (sorted.sample[n / 2 - 1] + sorted.sample[n / 2]) / 2;
	if (median > 0)
		spread = (sorted.sample[n - 1] - sorted.sample[0]) / median;
	printf("{\"bench\":\"%s\",\"case\":\"%s\",\"who\":\"%s\",\"workers\":%u,\"unit\":\"%s\","
	       "\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"spread\":%.3g,\"reps\":%u,\"samples\":[",
		bench, text, who, workers, unit, median, sorted.sample[0], sorted.sample[n - 1],
		spread, n);
	for (unsigned i = 0; i < n; i++)
		printf("%s%.6g", i ? "," : "", series->sample[i]);
	printf("]}\n");
	fflush(stdout);
}

void bench_die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

int bench_check(int result, const char *call)
{
	if (result < 0)
		bench_die("%s: %s", call, strerror(-result));
	return result;
}

void *bench_alloc(size_t count, size_t size_bytes)
{
	void *memory = calloc(count, size_bytes);

	if (!memory)
		bench_die("no memory for %zu x %zu bytes", count, size_bytes);
	return memory;
}
