/* SPDX-License-Identifier: MIT */
/* options.c - see options.h */
#include "tools/httpd/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#include "tools/common/args.h"

#define TIMEOUT_MAX (24 * 3600 * WEFT_SEC)
#define WORKERS_MAX 1024u

static const char help[] =
	"Usage: weft-httpd [OPTION]...\n"
	"An HTTP/1.1 server on fibers: one fiber per connection, on all processors.\n"
	"\n"
	"  --listen ADDRESS       host:port, [v6]:port or unix:/path (127.0.0.1:8080); port 0 takes a free one,\n"
	"                         which the first line on standard output tells\n"
	"  --root DIRECTORY       serve the files below it; no symbolic link is followed, no name that starts\n"
	"                         with a dot is served\n"
	"  --text TEXT            the answer at /text, and at / where no index.html is (\"Hello, World!\\n\")\n"
	"  --workers N            worker threads (the processors usable)\n"
	"  --stats [TIME]         print the counters on standard error every TIME (1s), not only at the end\n"
	"  --grace TIME           how long running requests may take after SIGTERM or SIGINT (5s)\n"
	"\n"
	"Limits; who exceeds one is answered with the status given, and cut off:\n"
	"  --max-connections N    more are answered 503 (what the descriptor limit allows)\n"
	"  --max-request-line N   414 (8k)\n"
	"  --max-headers N        431 (100)\n"
	"  --max-header-bytes N   431 (16k)\n"
	"  --max-body N           413 (1m); bodies are read and ignored\n"
	"  --header-timeout TIME  408, from a request's first byte to the end of its header (10s)\n"
	"  --body-timeout TIME    408, for its body (30s)\n"
	"  --idle-timeout TIME    between requests (60s)\n"
	"  --write-timeout TIME   for a client to take a piece of its response (10s)\n"
	"\n"
	"  --help, --version\n"
	"\n"
	"Sizes take k, m, g; times take us, ms, s, m, h. SIGTERM or SIGINT: no new connections, running requests\n"
	"end, counters are printed, exit 0; a second signal cancels at once.\n";

enum option_id {
	OPT_LISTEN = 256,
	OPT_ROOT,
	OPT_TEXT,
	OPT_WORKERS,
	OPT_STATS,
	OPT_GRACE,
	OPT_CONNECTIONS,
	OPT_REQUEST_LINE,
	OPT_HEADERS,
	OPT_HEADER_BYTES,
	OPT_BODY,
	OPT_HEADER_TIMEOUT,
	OPT_BODY_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_WRITE_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"root", required_argument, NULL, OPT_ROOT},
	{"text", required_argument, NULL, OPT_TEXT},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"stats", optional_argument, NULL, OPT_STATS},
	{"grace", required_argument, NULL, OPT_GRACE},
	{"max-connections", required_argument, NULL, OPT_CONNECTIONS},
	{"max-request-line", required_argument, NULL, OPT_REQUEST_LINE},
	{"max-headers", required_argument, NULL, OPT_HEADERS},
	{"max-header-bytes", required_argument, NULL, OPT_HEADER_BYTES},
	{"max-body", required_argument, NULL, OPT_BODY},
	{"header-timeout", required_argument, NULL, OPT_HEADER_TIMEOUT},
	{"body-timeout", required_argument, NULL, OPT_BODY_TIMEOUT},
	{"idle-timeout", required_argument, NULL, OPT_IDLE_TIMEOUT},
	{"write-timeout", required_argument, NULL, OPT_WRITE_TIMEOUT},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.address = "127.0.0.1:8080",
		.text = "Hello, World!\n",
		.limits =
			{
				.request_line = HTTPD_REQUEST_LINE_MAX,
				.headers = HTTPD_HEADERS_MAX,
				.header_bytes = HTTPD_HEADER_BYTES_MAX,
				.body = HTTPD_BODY_BYTES_MAX,
				.header_timeout = HTTPD_HEADER_TIMEOUT,
				.body_timeout = HTTPD_BODY_TIMEOUT,
				.idle_timeout = HTTPD_IDLE_TIMEOUT,
				.write_timeout = HTTPD_WRITE_TIMEOUT,
				.grace = HTTPD_GRACE,
			},
	};
}

static bool read_count(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *count)
{
	uint64_t value;

	if (!args_count(name, text, min, max, &value))
		return false;
	*count = (uint32_t)value;
	return true;
}

static bool read_size(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *bytes)
{
	uint64_t value;

	if (!args_size(name, text, min, max, &value))
		return false;
	*bytes = (uint32_t)value;
	return true;
}

/* Takes one of the limits. */
static bool take_limit(struct limits *limits, enum option_id id, const char *name, const char *text)
{
	switch (id) {
	case OPT_GRACE:
		return args_duration(name, text, TIMEOUT_MAX, &limits->grace);
	case OPT_CONNECTIONS:
		return read_count(name, text, 1, 1u << 20, &limits->connections);
	case OPT_REQUEST_LINE:
		return read_size(name, text, 64, 1u << 20, &limits->request_line);
	case OPT_HEADERS:
		return read_count(name, text, 1, 10000, &limits->headers);
	case OPT_HEADER_BYTES:
		return read_size(name, text, 64, 1u << 20, &limits->header_bytes);
	case OPT_BODY:
		return args_size(name, text, 0, UINT64_C(1) << 40, &limits->body);
	case OPT_HEADER_TIMEOUT:
		return args_duration(name, text, TIMEOUT_MAX, &limits->header_timeout);
	case OPT_BODY_TIMEOUT:
		return args_duration(name, text, TIMEOUT_MAX, &limits->body_timeout);
	case OPT_IDLE_TIMEOUT:
		return args_duration(name, text, TIMEOUT_MAX, &limits->idle_timeout);
	case OPT_WRITE_TIMEOUT:
		return args_duration(name, text, TIMEOUT_MAX, &limits->write_timeout);
	default:
		return false;
	}
}

static bool take(struct options *options, enum option_id id, const char *name, const char *text)
{
	switch (id) {
	case OPT_LISTEN:
		options->address = text;
		return true;
	case OPT_ROOT:
		options->root = text;
		return true;
	case OPT_TEXT:
		options->text = text;
		return true;
	case OPT_WORKERS:
		return read_count(name, text, 1, WORKERS_MAX, &options->workers);
	case OPT_STATS:
		options->stats_every = WEFT_SEC;
		return !text || args_duration(name, text, TIMEOUT_MAX, &options->stats_every);
	default:
		return take_limit(&options->limits, id, name, text);
	}
}

enum options_result options_read(struct options *options, int argc, char **argv)
{
	int id, index = 0;

	set_defaults(options);
	optind = 0; /* start anew, also when called again */
	while ((id = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		char name[32];

		if (id == OPT_HELP) {
			fputs(help, stdout);
			return OPTIONS_EXIT_OK;
		}
		if (id == OPT_VERSION) {
			printf("weft-httpd %s\n", weft_version());
			return OPTIONS_EXIT_OK;
		}
		if (id == '?')
			goto usage;
		snprintf(name, sizeof(name), "--%s", long_options[index].name);
		if (!take(options, (enum option_id)id, name, optarg))
			goto usage;
	}
	if (optind < argc) {
		fprintf(stderr, "weft-httpd: \"%s\" is not an option\n", argv[optind]);
		goto usage;
	}
	options->text_len = strlen(options->text);
	return OPTIONS_RUN;
usage:
	fputs("weft-httpd --help lists the options\n", stderr);
	return OPTIONS_EXIT_USAGE;
}
