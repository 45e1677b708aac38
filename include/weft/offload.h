/* SPDX-License-Identifier: MIT */
/* offload.h - work that would block: run it on a thread of the pool
 *
 * What     A computation of many milliseconds, or a call of a library that sleeps in the kernel,
 *          holds its worker: the others there stand still for some 10 ms each time, until another
 *          thread takes them over. weft_offload() runs it on a plain thread while the fiber parks.
 * Rules    The pool belongs to the runtime. It starts empty, grows while work waits (to
 *          weft_config.offload_threads, WEFT_OFFLOAD_THREADS, or 256), and its threads leave when
 *          they have had nothing to do for 5 seconds. Work beyond the bound waits, first come first
 *          served. weft itself uses it for operations that the kernel does not offer in the ring,
 *          and with the epoll engine for files. How long work waited is in weft_stats.
 */
#ifndef WEFT_OFFLOAD_H
#define WEFT_OFFLOAD_H

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * weft_offload - run a function on a thread of the pool; parks the fiber until it has ended.
 * @fn      the work. On its thread there is no fiber: weft's blocking calls return -EPERM there,
 *          those of synchronisation objects and channels block the thread. All signals but those of
 *          faults, and one of weft's own, are blocked.
 * @arg     handed to @fn. Borrowed until return, may be on the fiber's stack.
 * @result  NULL, or where to put what @fn returned.
 *
 * Cancelled or late before @fn has begun, the call fails and @fn never runs. Once begun @fn is
 * awaited, and its result returned, whatever is asked meanwhile: nothing can stop it but itself.
 *
 * Context  fiber. Parks yes. Cancel point until @fn begins. errno untouched. May return on another
 *          thread.
 * Cost     two hand-overs between threads, about 30 us where they have to be woken.
 * Returns  0: @fn has run.
 * Errors   -ECANCELED, -ETIMEDOUT: @fn has not run and will not (weft)
 *          -EINVAL @fn is NULL; -EPERM off a fiber (weft)
 *          -EAGAIN, -ENOMEM no thread could be made, and there is none (kernel, weft)
 * Example  struct digest digest = {.data = data, .len = len};
 *          error = weft_offload(sha256, &digest, NULL);
 */
WEFT_API int weft_offload(weft_fn fn, void *arg, void **result);

#ifdef __cplusplus
}
#endif

#endif
