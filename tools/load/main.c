/* SPDX-License-Identifier: MIT */
/* main.c - weft-load: a load generator for HTTP/1.1 and echo servers, on weft's fibers
 *
 * Read on in run.c (the fibers), client.c (one request on one connection), pace.h (the open loop),
 * hist.h and report.c (what is told).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#include "tools/common/args.h"
#include "tools/load/echo_server.h"
#include "tools/load/options.h"
#include "tools/load/report.h"
#include "tools/load/run.h"
#include "tools/load/target.h"

#define ERRORS_EXIT 1

static bool write_json(const struct report *report, const char *path)
{
	FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	bool written;

	if (!out) {
		fprintf(stderr, "weft-load: %s: %s\n", path, strerror(errno));
		return false;
	}
	report_json(report, out);
	written = fflush(out) == 0 && !ferror(out);
	if (out != stdout)
		written = fclose(out) == 0 && written;
	if (!written)
		fprintf(stderr, "weft-load: %s: the report could not be written\n", path);
	return written;
}

static int tell(const struct run *run)
{
	const char *json = run->options->json;
	struct report report;
	int status;

	if (report_init(&report, run) < 0) {
		fputs("weft-load: no memory for the report\n", stderr);
		return ERRORS_EXIT;
	}
	report_print(&report, json && strcmp(json, "-") == 0 ? stderr : stdout);
	status = report.failures || (report.sum.done == 0 && !run->interrupted) ? ERRORS_EXIT : 0;
	if (json && !write_json(&report, json))
		status = ERRORS_EXIT;
	report_free(&report);
	return status;
}

static int load(const struct options *options)
{
	static struct target target;
	struct run run;
	void *failed = NULL;
	int error, status = ERRORS_EXIT;

	if (!target_parse(&target, options->url, options->echo > 0))
		return ARGS_USAGE_EXIT;
	if (!target_resolve(&target))
		return ERRORS_EXIT;
	if (!target_is_loopback(&target) && !options->own_target) {
		fprintf(stderr,
			"weft-load: %s is not this machine. Loading somebody else's server is an attack; if this one is "
			"yours, say --i-own-this\n",
			target.host);
		return ARGS_USAGE_EXIT;
	}
	if (run_init(&run, options, &target) == 0) {
		error = weft_run(&(weft_config){.workers = options->workers}, run_main, &run, &failed);
		if (error < 0)
			fprintf(stderr, "weft-load: the runtime did not start: %s\n", strerror(-error));
		else if (!failed)
			status = tell(&run);
	}
	run_free(&run);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;

	switch (options_read(&options, argc, argv)) {
	case OPTIONS_EXIT_OK:
		return 0;
	case OPTIONS_EXIT_USAGE:
		return ARGS_USAGE_EXIT;
	case OPTIONS_RUN:
		break;
	}
	if (options.echo_server)
		return echo_server_run(options.echo_server, options.workers) < 0 ? ERRORS_EXIT : 0;
	return load(&options);
}
