/* SPDX-License-Identifier: MIT */
/* options.c - see options.h */
#include "tools/load/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#include "tools/common/args.h"

#define TIME_MAX (24 * 3600 * WEFT_SEC)

static const char help[] =
	"Usage: weft-load [OPTION]... http://HOST[:PORT][/PATH]\n"
	"       weft-load [OPTION]... --echo BYTES HOST:PORT\n"
	"       weft-load --echo-server HOST:PORT\n"
	"Loads an HTTP/1.1 server, or an echo server, from fibers on all processors and reports throughput,\n"
	"latencies and errors.\n"
	"\n"
	"  -c, --connections N    connections kept open (64)\n"
	"  -f, --fibers N         requests under way at a time: each fiber uses its share of the connections in\n"
	"                         turn (one fiber per connection)\n"
	"  -d, --duration TIME    how long (10s)\n"
	"  -n, --requests N       stop after N requests; without -d only then\n"
	"  -p, --pipeline N       send N requests at once, then read N responses (1)\n"
	"  -r, --rate N           open loop: N requests per second are due at fixed times, and latency counts from\n"
	"                         the time a request was due, not from when it could be sent\n"
	"      --no-keepalive     a new connection for each request\n"
	"  -t, --timeout TIME     for each request, its connect included (5s)\n"
	"\n"
	"  -m, --method METHOD    (GET)\n"
	"  -H, --header LINE      add a header line, as \"Accept: text/html\"; may be repeated\n"
	"      --body TEXT        send this with each request\n"
	"      --expect TEXT      a response with another body than this is an error\n"
	"      --max-body SIZE    a response with a longer body than this is an error (64m)\n"
	"      --echo BYTES       send so many bytes and expect them back, instead of HTTP\n"
	"\n"
	"      --json FILE        write the report as JSON too; - for standard output, the text then goes to\n"
	"                         standard error\n"
	"      --max-latency TIME what the histogram tells apart (60s)\n"
	"      --workers N        worker threads (the processors usable)\n"
	"  -q, --quiet            no progress lines\n"
	"      --i-own-this       allow a target that is not on this machine\n"
	"      --echo-server ADDRESS  send back whatever comes, until SIGTERM or SIGINT\n"
	"      --help, --version\n"
	"\n"
	"Sizes take k, m, g; times take us, ms, s, m, h. SIGINT ends the run early, with its report; a second one\n"
	"ends at once. Exit status: 0 all was well, 1 there were errors, 2 the command line makes no sense.\n";

enum option_id {
	OPT_NO_KEEPALIVE = 256,
	OPT_BODY,
	OPT_EXPECT,
	OPT_MAX_BODY,
	OPT_ECHO,
	OPT_JSON,
	OPT_MAX_LATENCY,
	OPT_WORKERS,
	OPT_OWN,
	OPT_ECHO_SERVER,
	OPT_HELP,
	OPT_VERSION,
};

static const char short_options[] = "c:f:d:n:p:r:t:m:H:q";

static const struct option long_options[] = {
	{"connections", required_argument, NULL, 'c'},
	{"fibers", required_argument, NULL, 'f'},
	{"duration", required_argument, NULL, 'd'},
	{"requests", required_argument, NULL, 'n'},
	{"pipeline", required_argument, NULL, 'p'},
	{"rate", required_argument, NULL, 'r'},
	{"timeout", required_argument, NULL, 't'},
	{"method", required_argument, NULL, 'm'},
	{"header", required_argument, NULL, 'H'},
	{"quiet", no_argument, NULL, 'q'},
	{"no-keepalive", no_argument, NULL, OPT_NO_KEEPALIVE},
	{"body", required_argument, NULL, OPT_BODY},
	{"expect", required_argument, NULL, OPT_EXPECT},
	{"max-body", required_argument, NULL, OPT_MAX_BODY},
	{"echo", required_argument, NULL, OPT_ECHO},
	{"json", required_argument, NULL, OPT_JSON},
	{"max-latency", required_argument, NULL, OPT_MAX_LATENCY},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"i-own-this", no_argument, NULL, OPT_OWN},
	{"echo-server", required_argument, NULL, OPT_ECHO_SERVER},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static bool read_count(const char *name, const char *text, uint32_t max, uint32_t *count)
{
	uint64_t value;

	if (!args_count(name, text, 1, max, &value))
		return false;
	*count = (uint32_t)value;
	return true;
}

static bool read_echo(const char *name, const char *text, uint32_t *bytes)
{
	uint64_t value;

	if (!args_size(name, text, 1, 1u << 20, &value))
		return false;
	*bytes = (uint32_t)value;
	return true;
}

/* A method is a token; anything else could not be told from the rest of the request line. */
static bool read_method(const char *text, const char **method)
{
	if (text[0] == '\0' || strlen(text) > 32 ||
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != strlen(text)) {
		fprintf(stderr, "--method: \"%s\" is not a method such as GET\n", text);
		return false;
	}
	*method = text;
	return true;
}

static bool add_header(struct options *options, const char *text)
{
	const char *colon = strchr(text, ':');

	if (!colon || colon == text || strpbrk(text, "\r\n")) {
		fprintf(stderr, "--header: \"%s\" is not a line such as \"Accept: text/html\"\n", text);
		return false;
	}
	if (options->header_count == OPTIONS_HEADERS_MAX) {
		fprintf(stderr, "--header: at most %u are taken\n", OPTIONS_HEADERS_MAX);
		return false;
	}
	options->headers[options->header_count++] = text;
	return true;
}

/* What has a letter. */
static bool take_letter(struct options *options, int id, const char *text)
{
	switch (id) {
	case 'c':
		return read_count("--connections", text, 1000000, &options->connections);
	case 'f':
		return read_count("--fibers", text, 1000000, &options->fibers);
	case 'd':
		return args_duration("--duration", text, TIME_MAX, &options->duration);
	case 'n':
		return args_count("--requests", text, 1, UINT64_C(1) << 50, &options->requests);
	case 'p':
		return read_count("--pipeline", text, OPTIONS_PIPELINE_MAX, &options->pipeline);
	case 'r':
		return args_count("--rate", text, 1, 10000000, &options->rate);
	case 't':
		return args_duration("--timeout", text, TIME_MAX, &options->timeout);
	case 'm':
		return read_method(text, &options->method);
	case 'H':
		return add_header(options, text);
	case 'q':
		options->quiet = true;
		return true;
	default:
		return false;
	}
}

static bool take(struct options *options, int id, const char *text)
{
	switch (id) {
	case OPT_NO_KEEPALIVE:
		options->no_keepalive = true;
		return true;
	case OPT_BODY:
		options->body = text;
		return true;
	case OPT_EXPECT:
		options->expect = text;
		return true;
	case OPT_MAX_BODY:
		return args_size("--max-body", text, 0, UINT64_C(1) << 40, &options->body_max);
	case OPT_ECHO:
		return read_echo("--echo", text, &options->echo);
	case OPT_JSON:
		options->json = text;
		return true;
	case OPT_MAX_LATENCY:
		return args_duration("--max-latency", text, TIME_MAX, &options->latency_max);
	case OPT_WORKERS:
		return read_count("--workers", text, 1024, &options->workers);
	case OPT_OWN:
		options->own_target = true;
		return true;
	case OPT_ECHO_SERVER:
		options->echo_server = text;
		return true;
	default:
		return take_letter(options, id, text);
	}
}

static bool refuse(const char *why)
{
	fprintf(stderr, "weft-load: %s\n", why);
	return false;
}

/* What each option alone does not show. */
static bool make_sense(struct options *options, int argc, char **argv)
{
	if (options->echo_server)
		return optind == argc || refuse("--echo-server takes no target");
	if (optind == argc)
		return refuse("a target is missing, such as http://127.0.0.1:8080/");
	if (optind + 1 < argc)
		return refuse("one target only");
	options->url = argv[optind];
	if (options->duration == 0)
		options->duration = options->requests ? WEFT_FOREVER : 10 * WEFT_SEC;
	if (options->fibers == 0)
		options->fibers = options->connections;
	if (options->fibers > options->connections)
		return refuse("more fibers than connections would have nothing to do");
	if (options->rate && options->pipeline > 1)
		return refuse("--rate sends single requests, each at its time: --pipeline does not fit");
	if (options->no_keepalive && options->pipeline > 1)
		return refuse("--pipeline needs connections that stay open: --no-keepalive does not fit");
	if (options->echo && (options->body || options->expect || options->header_count))
		return refuse("--echo sends raw bytes: --body, --expect and --header do not fit");
	return true;
}

enum options_result options_read(struct options *options, int argc, char **argv)
{
	int id;

	*options = (struct options){
		.method = "GET",
		.connections = 64,
		.pipeline = 1,
		.body_max = UINT64_C(64) << 20,
		.timeout = 5 * WEFT_SEC,
		.latency_max = 60 * WEFT_SEC,
	};
	optind = 0; /* start anew, also when called again */
	while ((id = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		if (id == OPT_HELP) {
			fputs(help, stdout);
			return OPTIONS_EXIT_OK;
		}
		if (id == OPT_VERSION) {
			printf("weft-load %s\n", weft_version());
			return OPTIONS_EXIT_OK;
		}
		if (id == '?' || !take(options, id, optarg))
			goto usage;
	}
	if (make_sense(options, argc, argv))
		return OPTIONS_RUN;
usage:
	fputs("weft-load --help lists the options\n", stderr);
	return OPTIONS_EXIT_USAGE;
}
