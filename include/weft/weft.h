/* SPDX-License-Identifier: MIT */
/* weft.h - everything: one include for a program that uses weft
 *
 * Each area also has its own header, which can be included alone:
 *
 *   version.h  the version of the headers and of the library; attributes of declarations
 *   runtime.h  time, configuration, starting and stopping a runtime
 *   fiber.h    fibers, cancellation, deadlines, fiber-local storage; begins with the overview
 *   scope.h    fibers that end before the block that started them does
 *   sync.h     mutexes, conditions, semaphores and what else fibers wait for each other with
 *   chan.h     channels, select, tickers
 *   gen.h      generators: yield, send, throw, close, delegation
 *   coro.h     symmetric coroutines
 *   io.h       descriptors: read, write, poll, close; begins with the rules of all I/O
 *   stream.h   descriptors with buffers: lines, formatted writes
 *   net.h      sockets, names, listening and dialling
 *   fs.h       files and directories
 *   offload.h  work that would block, on threads of a pool
 *   signal.h   signals as a channel
 *   process.h  child processes: start, pipes, wait, run
 *   stats.h    counters of a runtime and of its workers
 *   report.h   when something hangs: deadlocks, and a dump of all fibers
 *
 * Rules of all of them
 *   - A function that can fail returns a value >= 0 or a negative errno value; weft never reports
 *     through errno, and errno belongs to the fiber: it is saved and restored at every switch.
 *   - Times are weft_ns on CLOCK_MONOTONIC. Deadlines are absolute.
 *   - C11, and C++17 as extern "C"; no feature macro is needed; no atomics in any header.
 *   - Unknown flags are -EINVAL with a line on stderr. Structs may gain fields at their end.
 *
 * A whole program:
 *
 *   #include <weft/weft.h>
 *   #include <stdio.h>
 *
 *   static void *hello(void *arg)
 *   {
 *           weft_sleep(10 * WEFT_MS);
 *           printf("hello from fiber %s\n", (const char *)arg);
 *           return NULL;
 *   }
 *
 *   static void *start(void *arg)
 *   {
 *           weft_fiber *fiber;
 *
 *           (void)arg;
 *           if (weft_spawn(&fiber, hello, "one") == 0)
 *                   weft_join(fiber, NULL);
 *           return NULL;
 *   }
 *
 *   int main(void)
 *   {
 *           return weft_run(NULL, start, NULL, NULL) == 0 ? 0 : 1;
 *   }
 */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <weft/chan.h>
#include <weft/coro.h>
#include <weft/fiber.h>
#include <weft/fs.h>
#include <weft/gen.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/offload.h>
#include <weft/process.h>
#include <weft/report.h>
#include <weft/runtime.h>
#include <weft/scope.h>
#include <weft/signal.h>
#include <weft/stats.h>
#include <weft/stream.h>
#include <weft/sync.h>
#include <weft/version.h>

#endif
