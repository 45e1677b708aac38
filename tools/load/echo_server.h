/* SPDX-License-Identifier: MIT */
/* echo_server.h - an echo server on fibers: the other end for weft-load --echo, in tests and
 * benches
 *
 * What   One fiber per connection reads what comes and sends it back. A client that sends nothing
 *        for a minute, or takes nothing for ten seconds, is cut off.
 */
#ifndef TOOLS_LOAD_ECHO_SERVER_H
#define TOOLS_LOAD_ECHO_SERVER_H

/* Serves until SIGTERM or SIGINT, after a first line on standard output that says where. Blocks the
 * calling thread; not in a fiber. 0, or a negative errno with its line printed. */
int echo_server_run(const char *address, unsigned workers);

#endif
