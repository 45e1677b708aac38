/* SPDX-License-Identifier: MIT */
/* report.c - see report.h */
#include "tools/load/report.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/load/pace.h"

static const char *const failure_names[FAILURE_KINDS] = {
	[FAILURE_CONNECT] = "connect",
	[FAILURE_TIMEOUT] = "timeout",
	[FAILURE_RESET] = "reset",
	[FAILURE_EOF] = "eof",
	[FAILURE_STATUS] = "status",
	[FAILURE_PARSE] = "parse",
	[FAILURE_BODY] = "body",
};

static const struct {
	const char *name;
	const char *json;
	uint32_t millionths;
} percentiles[] = {
	{"p50", "p50", 500000},
	{"p90", "p90", 900000},
	{"p99", "p99", 990000},
	{"p99.9", "p999", 999000},
	{"p99.99", "p9999", 999900},
};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))
#define BAR_WIDTH 40u

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void add_tally(struct tally *sum, const struct tally *row)
{
	sum->done += row->done;
	for (unsigned i = 0; i < FAILURE_KINDS; i++)
		sum->failures[i] += row->failures[i];
	sum->bytes_in += row->bytes_in;
	sum->bytes_out += row->bytes_out;
	sum->connects += row->connects;
	sum->unsent += row->unsent;
	sum->late += row->late;
	if (row->lag_max > sum->lag_max)
		sum->lag_max = row->lag_max;
}

int report_init(struct report *report, const struct run *run)
{
	struct rusage usage;
	int error;

	memset(report, 0, sizeof(*report));
	report->run = run;
	error = hist_init(&report->latency, (uint64_t)run->options->latency_max);
	if (error < 0)
		return error;
	for (unsigned i = 0; i < run->hist_count; i++)
		hist_merge(&report->latency, &run->hists[i]);
	for (unsigned i = 0; i < COUNTER_ROWS; i++)
		add_tally(&report->sum, &run->rows[i].tally);
	for (unsigned i = 0; i < FAILURE_KINDS; i++)
		report->failures += report->sum.failures[i];
	report->elapsed_s = (double)(run->finished - run->start) / 1e9;
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		report->user_s = seconds(usage.ru_utime);
		report->system_s = seconds(usage.ru_stime);
	}
	return 0;
}

void report_free(struct report *report)
{
	hist_free(&report->latency);
}

static double per_second(const struct report *report, uint64_t count)
{
	return report->elapsed_s > 0 ? (double)count / report->elapsed_s : 0.0;
}

/* A time with three significant digits and a unit that fits it. */
static const char *time_text(char text[16], double ns)
{
	static const struct {
		double ns;
		const char *name;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
	unsigned i = 0;
	double value;

	while (i < 3 && ns < units[i].ns)
		i++;
	value = ns / units[i].ns;
	snprintf(text, 16, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].name);
	return text;
}

static void print_headline(const struct report *report, FILE *out)
{
	const struct run *run = report->run;
	const struct options *options = run->options;

	if (report->failures)
		fprintf(out, "ERRORS: %" PRIu64 " of %" PRIu64 " requests failed:", report->failures,
			report->failures + report->sum.done);
	for (unsigned i = 0; report->failures && i < FAILURE_KINDS; i++)
		if (report->sum.failures[i])
			fprintf(out, " %s %" PRIu64, failure_names[i], report->sum.failures[i]);
	if (report->failures)
		fputc('\n', out);
	if (options->echo)
		fprintf(out, "echo of %u bytes, %s", options->echo, options->url);
	else
		fprintf(out, "%s %s", options->method, options->url);
	fprintf(out, ": %.2f s%s, %u connections, %u fibers", report->elapsed_s,
		run->interrupted ? " (interrupted)" : "", options->connections, options->fibers);
	if (options->rate)
		fprintf(out, ", open loop at %" PRIu64 "/s", options->rate);
	else
		fputs(", closed loop", out);
	if (options->pipeline > 1)
		fprintf(out, ", pipeline %u", options->pipeline);
	fputs(options->no_keepalive ? ", no keep-alive\n" : "\n", out);
}

/* What an open loop could not do at its time: latencies then say less than they seem to. */
static void print_schedule(const struct report *report, FILE *out)
{
	char text[16];

	if (report->run->options->rate == 0)
		return;
	fprintf(out,
		"  schedule    %s: %" PRIu64 " sent more than 1 ms late, at most by %s; %" PRIu64
		" never sent\n",
		report->sum.unsent || report->sum.late * 20 > report->sum.done ? "FELL BEHIND" : "kept",
		report->sum.late, time_text(text, (double)report->sum.lag_max), report->sum.unsent);
	if (report->sum.unsent)
		fputs("              (latencies are those of the requests that were sent: use more connections or a lower rate)\n",
			out);
}

static void print_latency(const struct report *report, FILE *out)
{
	const struct hist *latency = &report->latency;
	char text[16];

	if (latency->total == 0) {
		fputs("  latency     no request was answered\n", out);
		return;
	}
	fprintf(out, "  latency     min %s", time_text(text, (double)latency->min));
	fprintf(out, ", mean %s", time_text(text, hist_mean(latency)));
	fprintf(out, ", max %s\n             ", time_text(text, (double)latency->max));
	for (unsigned i = 0; i < PERCENTILES; i++)
		fprintf(out, " %s %s%s", percentiles[i].name,
			time_text(text, (double)hist_percentile(latency, percentiles[i].millionths)),
			i + 1 < PERCENTILES ? "," : "\n");
	if (latency->clipped)
		fprintf(out, "              (%" PRIu64 " above %s count as that: see --max-latency)\n",
			latency->clipped, time_text(text, (double)latency->limit));
}

/* The histogram is shown by doublings, from the one that holds the minimum; when nothing has been
 * recorded, none. */
static uint64_t first_row(const struct hist *latency)
{
	uint64_t row = 1024;

	if (latency->total == 0)
		return UINT64_MAX;
	while (row * 2 <= latency->min)
		row *= 2;
	return latency->min < 1024 ? 0 : row;
}

static uint64_t next_row(uint64_t row)
{
	return row == 0 ? 1024 : row * 2;
}

static void print_histogram(const struct report *report, FILE *out)
{
	const struct hist *latency = &report->latency;
	uint64_t most = 0;

	if (latency->total == 0)
		return;
	for (uint64_t row = first_row(latency); row <= latency->max && row <= latency->limit;
		row = next_row(row)) {
		uint64_t count = hist_between(latency, row, next_row(row) - 1);

		if (count > most)
			most = count;
	}
	fputs("  histogram\n", out);
	for (uint64_t row = first_row(latency); row <= latency->max && row <= latency->limit;
		row = next_row(row)) {
		uint64_t count = hist_between(latency, row, next_row(row) - 1);
		unsigned bar = (unsigned)((double)count / (double)most * BAR_WIDTH + 0.5);
		char from[16], to[16];

		fprintf(out, "    %8s .. %-8s |%-*.*s| %10" PRIu64 "  %6.2f%%\n",
			time_text(from, (double)row), time_text(to, (double)next_row(row)),
			BAR_WIDTH, (int)bar, "########################################", count,
			100.0 * (double)count / (double)latency->total);
	}
}

void report_print(const struct report *report, FILE *out)
{
	double cpu_s = report->user_s + report->system_s;

	print_headline(report, out);
	fprintf(out,
		"  requests    %" PRIu64 " answered as wanted, %" PRIu64 " errors, %" PRIu64
		" connections made\n",
		report->sum.done, report->failures, report->sum.connects);
	fprintf(out, "  throughput  %.0f requests/s, %.2f MiB/s in, %.2f MiB/s out\n",
		per_second(report, report->sum.done), per_second(report, report->sum.bytes_in) / 1048576.0,
		per_second(report, report->sum.bytes_out) / 1048576.0);
	print_schedule(report, out);
	print_latency(report, out);
	print_histogram(report, out);
	fprintf(out, "  own CPU     %.2f s user, %.2f s system, %.2f us per request\n", report->user_s,
		report->system_s, report->sum.done ? cpu_s * 1e6 / (double)report->sum.done : 0.0);
}

static void json_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			fprintf(out, "\\%c", byte);
		else if (byte < 0x20 || byte >= 0x7f) /* URLs and methods are ASCII; others byte by byte */
			fprintf(out, "\\u%04x", byte);
		else
			fputc(byte, out);
	}
	fputc('"', out);
}

static void json_histogram(const struct hist *latency, FILE *out)
{
	const char *comma = "";

	fputs("  \"histogram_ns\": [", out);
	for (uint64_t row = first_row(latency); row <= latency->max && row <= latency->limit;
		row = next_row(row)) {
		fprintf(out, "%s{\"from\": %" PRIu64 ", \"below\": %" PRIu64 ", \"count\": %" PRIu64 "}",
			comma, row, next_row(row), hist_between(latency, row, next_row(row) - 1));
		comma = ", ";
	}
	fputs("]\n", out);
}

static void json_latency(const struct hist *latency, FILE *out)
{
	fprintf(out, "  \"latency_ns\": {\"count\": %" PRIu64 ", \"min\": %" PRIu64 ", \"mean\": %.1f",
		latency->total, latency->total ? latency->min : 0, hist_mean(latency));
	for (unsigned i = 0; i < PERCENTILES; i++)
		fprintf(out, ", \"%s\": %" PRIu64, percentiles[i].json,
			hist_percentile(latency, percentiles[i].millionths));
	fprintf(out, ", \"max\": %" PRIu64 ", \"clipped\": %" PRIu64 "},\n", latency->max,
		latency->clipped);
}

void report_json(const struct report *report, FILE *out)
{
	const struct run *run = report->run;
	const struct options *options = run->options;
	const struct tally *sum = &report->sum;

	fputs("{\n  \"tool\": \"weft-load\", \"version\": ", out);
	json_string(weft_version(), out);
	fprintf(out, ",\n  \"mode\": \"%s\", \"protocol\": \"%s\", \"method\": ",
		options->rate ? "open" : "closed", options->echo ? "echo" : "http");
	json_string(options->echo ? "" : options->method, out);
	fputs(", \"url\": ", out);
	json_string(options->url, out);
	fprintf(out, ",\n  \"connections\": %u, \"fibers\": %u, \"pipeline\": %u, \"keep_alive\": %s, \"interrupted\": %s,\n",
		options->connections, options->fibers, options->pipeline,
		options->no_keepalive ? "false" : "true", run->interrupted ? "true" : "false");
	fprintf(out, "  \"elapsed_s\": %.6f, \"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ",\n",
		report->elapsed_s, sum->done, report->failures);
	fputs("  \"errors_by_kind\": {", out);
	for (unsigned i = 0; i < FAILURE_KINDS; i++)
		fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", failure_names[i], sum->failures[i]);
	fprintf(out,
		"},\n  \"requests_per_s\": %.1f, \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64
		", \"connects\": %" PRIu64 ",\n",
		per_second(report, sum->done), sum->bytes_in, sum->bytes_out, sum->connects);
	fprintf(out,
		"  \"open_loop\": {\"rate\": %" PRIu64 ", \"late\": %" PRIu64
		", \"lag_max_ns\": %" PRIu64 ", \"unsent\": %" PRIu64 "},\n",
		options->rate, sum->late, sum->lag_max, sum->unsent);
	fprintf(out, "  \"cpu_user_s\": %.6f, \"cpu_system_s\": %.6f,\n", report->user_s,
		report->system_s);
	json_latency(&report->latency, out);
	json_histogram(&report->latency, out);
	fputs("}\n", out);
}
