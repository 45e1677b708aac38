/* SPDX-License-Identifier: MIT */
/* fiber.c - the table of control blocks; see fiber.h */
#include "sched/core/fiber.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sched/base/lock.h"
#include "sched/core/worker.h"

static wf_aptr slab[WF_FIBER_SLABS_MAX]; /* written once each, under the lock */
static wf_a32 slab_count;
static wf_lock table_lock;
static uint32_t free_head; /* linked by next, under the lock */
static uint32_t free_count;

struct wf_fiber *wf_fiber_at(uint32_t index)
{
	/* Acquire: pairs with add_slab_locked()'s release; carries the block's first contents. */
	struct wf_fiber *blocks = wf_load_acqp(&slab[index / WF_FIBER_SLAB]);
	return &blocks[index % WF_FIBER_SLAB];
}

uint32_t wf_fiber_table_size(void)
{
	return wf_load_sc32(&slab_count) * WF_FIBER_SLAB;
}

static int add_slab_locked(void)
{
	uint32_t n = wf_load_rlx32(&slab_count); /* rlx: under the lock */
	if (n == WF_FIBER_SLABS_MAX)
		return -EAGAIN;
	size_t bytes = WF_FIBER_SLAB * sizeof(struct wf_fiber);
	struct wf_fiber *blocks =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (blocks == MAP_FAILED)
		return -ENOMEM;
	wf_lsan_root(blocks, bytes);
	for (uint32_t i = WF_FIBER_SLAB; i-- > 0;) {
		struct wf_fiber *fiber = &blocks[i];
		fiber->index = n * WF_FIBER_SLAB + i;
		wf_store_rlx64(&fiber->word, WF_FREE); /* rlx: published below */
		wf_store_rlx64(&fiber->life, UINT64_C(1) << WF_GENERATION_SHIFT); /* rlx: as above */
		if (fiber->index == WF_NO_FIBER)
			continue;
		fiber->next = free_head;
		free_head = fiber->index;
		free_count++;
	}
	wf_store_relp(&slab[n], blocks);
	wf_swap_sc32(&slab_count, n + 1);
	return 0;
}

WF_OWNER_CODE_BEGIN

struct wf_fiber *wf_fiber_take(struct wf_worker *w, int *error)
{
	struct wf_fiber *fiber;
	*error = 0;
	if (w != NULL && w->cache_count > 0) {
		fiber = wf_fiber_at(w->cache_head);
		w->cache_head = fiber->next;
		w->cache_count--;
		return fiber;
	}
	wf_lock_acquire(&table_lock);
	if (free_head == WF_NO_FIBER)
		*error = add_slab_locked();
	if (*error != 0) {
		wf_lock_release(&table_lock);
		return NULL;
	}
	fiber = wf_fiber_at(free_head);
	free_head = fiber->next;
	free_count--;
	/* A worker takes more with it, for the next ones. */
	for (uint32_t n = WF_FIBER_CACHE / 2; w != NULL && n > 0 && free_head != WF_NO_FIBER; n--) {
		struct wf_fiber *more = wf_fiber_at(free_head);
		free_head = more->next;
		free_count--;
		more->next = w->cache_head;
		w->cache_head = more->index;
		w->cache_count++;
	}
	wf_lock_release(&table_lock);
	return fiber;
}

static void cache_shrink(struct wf_worker *w, uint32_t keep)
{
	wf_lock_acquire(&table_lock);
	while (w->cache_count > keep) {
		struct wf_fiber *fiber = wf_fiber_at(w->cache_head);
		w->cache_head = fiber->next;
		w->cache_count--;
		fiber->next = free_head;
		free_head = fiber->index;
		free_count++;
	}
	wf_lock_release(&table_lock);
}

void wf_fiber_recycle(struct wf_worker *w, struct wf_fiber *fiber)
{
	/* rlx: the caller owns the block; generation and bits change in one store (F1, F2). */
	uint64_t life = wf_load_rlx64(&fiber->life);
	uint64_t word = wf_load_rlx64(&fiber->word);
	wf_store_rlx64(&fiber->word, wf_ticket_with(word & ~WF_PARK_FLAGS, WF_FREE)); /* F3: the sequence stays */
	uint64_t generation =
		wf_fiber_generation(life) == UINT32_MAX ? 1 : wf_fiber_generation(life) + 1;
	/* A bit set between the load and here is lost with the incarnation it was meant for. */
	wf_store_rel64(&fiber->life, generation << WF_GENERATION_SHIFT);
	if (w == NULL) {
		wf_lock_acquire(&table_lock);
		fiber->next = free_head;
		free_head = fiber->index;
		free_count++;
		wf_lock_release(&table_lock);
		return;
	}
	fiber->next = w->cache_head;
	w->cache_head = fiber->index;
	if (++w->cache_count > WF_FIBER_CACHE)
		cache_shrink(w, WF_FIBER_CACHE / 2);
}

void wf_fiber_cache_flush(struct wf_worker *w)
{
	cache_shrink(w, 0);
}

WF_OWNER_CODE_END

struct wf_fiber *wf_fiber_of_handle(const weft_fiber *handle, uint32_t *generation)
{
	uint64_t bits = (uint64_t)(uintptr_t)handle;
	uint32_t index = (uint32_t)bits;
	*generation = (uint32_t)(bits >> 32);
	if (index == WF_NO_FIBER || index >= wf_fiber_table_size() || *generation == 0)
		return NULL;
	return wf_fiber_at(index);
}

int wf_fiber_describe(const struct wf_fiber *fiber, char *buffer, size_t size)
{
	const char *name = fiber->frame != NULL ? fiber->frame->name : "";
	/* rlx: for a message. */
	uint64_t id = wf_load_rlx64(&fiber->life) >> WF_GENERATION_SHIFT << 32 | fiber->index;
	int n = snprintf(buffer, size, "fiber=%llu \"%s\"", (unsigned long long)id, name);
	return n < 0 || (size_t)n >= size ? (int)size - 1 : n;
}
