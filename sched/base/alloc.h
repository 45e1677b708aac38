/* SPDX-License-Identifier: MIT */
/* alloc.h - the runtime's heap
 *
 * What     jemalloc by its own entry points (mallocx, sdallocx), never by the name malloc: the host program keeps its
 *          allocator. Sanitizer builds define WF_ALLOC_LIBC and use libc's, so that the sanitizers see each block.
 * Rules    H1 memory from here is freed here, with the size it was asked for. weft never calls free() on it.
 *          H2 fiber control blocks and stacks do not come from here, but from weft's own caches.
 *          H3 NULL when memory is refused; the caller returns -ENOMEM.
 *          H4 errno stays as it is, also then.
 */
#ifndef WF_SCHED_BASE_ALLOC_H
#define WF_SCHED_BASE_ALLOC_H

#include <stddef.h>

void *wf_alloc(size_t size);		 /* not cleared */
void *wf_alloc_zero(size_t size);	 /* cleared */
void *wf_alloc_lines(size_t size);	 /* cleared, at a cache line */
void wf_free(void *memory, size_t size); /* NULL is fine */
void wf_free_lines(void *memory, size_t size);

#endif
