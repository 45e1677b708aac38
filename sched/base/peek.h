/* SPDX-License-Identifier: MIT */
/* peek.h - a look at memory that may not be there
 *
 * What     copies memory of this process through the kernel: what is not mapped, or is unmapped meanwhile, gives false instead of a fault.
 *          process_vm_readv; where a sandbox refuses that, /proc/thread-self/mem.
 * Rules    PK1 async-signal-safe, on any thread and any stack with 256 bytes left; errno is left alone.
 *          PK2 the copy is not atomic: what changes meanwhile may come half old, half new. The caller finds out by other means.
 *          PK3 the kernel is asked about the calling thread, not the process: a process whose first thread has ended has no memory by its number.
 *          PK4 no sanitizer sees the access: it is one made at the reader's own risk.
 * Tests    tests/base/unwind_test.cc
 */
#ifndef WF_SCHED_BASE_PEEK_H
#define WF_SCHED_BASE_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* True: all `size` bytes are in the buffer. False: its contents are undefined. */
bool wf_peek(const void *address, void *buffer, size_t size);

#endif
