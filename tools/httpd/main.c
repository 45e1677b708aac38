/* SPDX-License-Identifier: MIT */
/* main.c - weft-httpd: an HTTP/1.1 server in straight-line C on weft's fibers
 *
 * Read on in server.c (the main fiber), acceptor.c, connection.c (one fiber per connection), then
 * request.c and framing.c (what a request is, and what is refused), path.c and files.c (what may be
 * served).
 */
#include <stdio.h>
#include <string.h>

#include <weft/weft.h>

#include "tools/common/args.h"
#include "tools/httpd/options.h"
#include "tools/httpd/server.h"

int main(int argc, char **argv)
{
	struct options options;
	struct server server;
	void *failed = NULL;
	int error;

	switch (options_read(&options, argc, argv)) {
	case OPTIONS_EXIT_OK:
		return 0;
	case OPTIONS_EXIT_USAGE:
		return ARGS_USAGE_EXIT;
	case OPTIONS_RUN:
		break;
	}
	error = server_init(&server, &options);
	if (error == 0) {
		error = weft_run(
			&(weft_config){.workers = options.workers}, server_main, &server, &failed);
		if (error < 0)
			fprintf(stderr, "weft-httpd: the runtime did not start: %s\n", strerror(-error));
	}
	server_free(&server);
	return error < 0 || failed ? 1 : 0;
}
