/* SPDX-License-Identifier: MIT */
/* alloc.c - see alloc.h */
#include "sched/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "sched/base/limits.h"
#include "sched/base/sanitize.h"
#include "sched/base/seam.h"

WF_OWNER_CODE_BEGIN

/* H4 */
static void *with_errno(int before, void *memory)
{
	if (memory == NULL)
		*wf_errno_address() = before;
	return memory;
}

#ifdef WF_ALLOC_LIBC

void *wf_alloc(size_t size)
{
	int before = *wf_errno_address();
	return with_errno(before, malloc(size));
}

void *wf_alloc_zero(size_t size)
{
	int before = *wf_errno_address();
	return with_errno(before, calloc(1, size));
}

void *wf_alloc_lines(size_t size)
{
	void *memory = NULL;
	if (posix_memalign(&memory, WF_CACHE_LINE, size) != 0)
		return NULL;
	return memset(memory, 0, size);
}

void wf_free(void *memory, size_t size)
{
	(void)size;
	free(memory);
}

void wf_free_lines(void *memory, size_t size)
{
	wf_free(memory, size);
}

#else

#include <jemalloc/jemalloc.h>

void *wf_alloc(size_t size)
{
	int before = *wf_errno_address();
	return with_errno(before, mallocx(size, 0));
}

void *wf_alloc_zero(size_t size)
{
	int before = *wf_errno_address();
	return with_errno(before, mallocx(size, MALLOCX_ZERO));
}

void *wf_alloc_lines(size_t size)
{
	int before = *wf_errno_address();
	return with_errno(before, mallocx(size, MALLOCX_ZERO | MALLOCX_ALIGN(WF_CACHE_LINE)));
}

void wf_free(void *memory, size_t size)
{
	if (memory != NULL)
		sdallocx(memory, size, 0);
}

void wf_free_lines(void *memory, size_t size)
{
	if (memory != NULL)
		sdallocx(memory, size, MALLOCX_ALIGN(WF_CACHE_LINE));
}

#endif

WF_OWNER_CODE_END
