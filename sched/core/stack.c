/* SPDX-License-Identifier: MIT */
/* stack.c - see stack.h */
#include "sched/core/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "sched/base/alloc.h"
#include "sched/base/check.h"
#include "sched/base/log.h"
#include "sched/base/sanitize.h"
#include "sched/core/fiber.h"
#include "sched/core/runtime.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

#define PAGE 4096u
#define POOLS 18u /* powers of two from 16 KiB (0) to 1 GiB (16), and the small class */
#define POOL_SMALL 17u
#define CANARY UINT64_C(0x57ef7a11ca9a11ed)
/* Slabs of small fibers hold more slots: 3 KiB each. */
#define SMALL_SLAB 512u
#define RANGES_MAX 65536u

struct pool {
	wf_lock lock;
	char **warm;  /* free slots that were used: their pages may be there */
	char **clean; /* free slots without memory behind them */
	uint32_t warm_count, clean_count;
	uint32_t capacity; /* of each array; every mapped slot has a place in both */
	uint32_t total;	   /* slots mapped */
	uint32_t promised;
};

/* A slab, for the fault handler and the statistics. */
struct range {
	wf_aptr low; /* ST-1; moves down when the next slab lies below */
	char *high;  /* the end; constant */
	uint32_t pool;
	bool guarded;
};

static struct pool pools[POOLS];
static struct range ranges[RANGES_MAX];
static wf_a32 range_count;
static wf_lock range_lock;
static wf_a64 unguarded, mprotect_guards;
#ifdef WF_ASAN
/* LeakSanitizer reads what the kernel says is readable, and guards without a mapping of their own say so. */
static wf_a32 guard_kind = {WF_GUARD_MPROTECT};
#else
static wf_a32 guard_kind = {WF_GUARD_INSTALL};
#endif

size_t wf_stack_usable(uint32_t pool)
{
	return pool == POOL_SMALL ? WF_SMALL_USABLE : (size_t)WF_STACK_MIN << pool;
}

/* Guard page, usable bytes, top page. The small class has no guard: usable bytes, weft's own, frame. */
static size_t stride(uint32_t pool)
{
	return pool == POOL_SMALL ? WF_SMALL_SLOT : wf_stack_usable(pool) + 2 * PAGE;
}

int wf_stack_pool(size_t size)
{
	if (size > WF_STACK_MAX)
		return -EINVAL;
	int pool = 0;
	while (wf_stack_usable((uint32_t)pool) < size * WF_STACK_SCALE && pool + 1 < (int)POOL_SMALL)
		pool++;
	return pool;
}

int wf_stack_pool_small(void)
{
	/* Instrumented frames do not fit in 1 KiB. */
	return WF_STACK_SCALE > 1 ? wf_stack_pool(WF_STACK_MIN) : (int)POOL_SMALL;
}

static char *slot_low(uint32_t pool, char *slot)
{
	return pool == POOL_SMALL ? slot : slot + PAGE;
}

WF_OWNER_CODE_BEGIN
static void set_canary(char *low)
{
	uint64_t word = CANARY;
	memcpy(low, &word, sizeof(word));
}
WF_OWNER_CODE_END

static bool guard_pages(char *slab, uint32_t pool, uint32_t slots)
{
	/* rlx: a setting that only steps down; at worst a slab more is tried the old way. */
	uint32_t kind = wf_load_rlx32(&guard_kind);
	for (uint32_t i = 0; i < slots && kind == WF_GUARD_INSTALL; i++) {
		if (madvise(slab + i * stride(pool), PAGE, MADV_GUARD_INSTALL) != 0) {
			kind = WF_GUARD_MPROTECT;
			wf_store_rlx32(&guard_kind, kind);
			wf_log(WF_LOG_INFO,
				"stack guards by mprotect: this kernel has no MADV_GUARD_INSTALL");
		} else if (i + 1 == slots) {
			return true;
		}
	}
	if (kind == WF_GUARD_MPROTECT &&
		wf_add_acq_rel64(&mprotect_guards, slots) + slots <= WF_GUARD_MPROTECT_MAX) {
		uint32_t done = 0;
		while (done < slots && mprotect(slab + done * stride(pool), PAGE, PROT_NONE) == 0)
			done++;
		if (done == slots)
			return true;
	}
	if (wf_add_acq_rel64(&unguarded, slots) == 0)
		wf_log(WF_LOG_WARN,
			"no more guard pages for stacks: overflows of further fibers are found "
			"by a checked word when they park (raise vm.max_map_count?)");
	return false;
}

static int reserve_slots_locked(struct pool *p, uint32_t more)
{
	uint32_t need = p->total + more;
	if (need <= p->capacity)
		return 0;
	uint32_t capacity = p->capacity * 2 > need ? p->capacity * 2 : need;
	char **arrays = wf_alloc(2 * capacity * sizeof(*arrays));
	if (arrays == NULL)
		return -ENOMEM;
	if (p->capacity > 0) {
		memcpy(arrays, p->warm, p->warm_count * sizeof(*arrays));
		memcpy(arrays + capacity, p->clean, p->clean_count * sizeof(*arrays));
	}
	wf_free(p->warm, 2 * p->capacity * sizeof(*arrays));
	p->warm = arrays;
	p->clean = arrays + capacity;
	p->capacity = capacity;
	return 0;
}

static int add_range(char *slab, uint32_t pool, uint32_t slots, bool guarded)
{
	wf_lock_acquire(&range_lock);
	uint32_t n = wf_load_rlx32(&range_count); /* rlx: under the lock */
	if (n > 0) {
		/* Slabs mostly lie side by side, downwards: one range then. One store, so that readers see the range that was true
		 * before or is true now. */
		struct range *last = &ranges[n - 1];
		if (last->pool == pool && last->guarded == guarded &&
			slab + slots * stride(pool) == wf_load_rlxp(&last->low)) { /* rlx: under the lock */
			wf_store_relp(&last->low, slab);			   /* ST-1 */
			wf_lock_release(&range_lock);
			return 0;
		}
	}
	if (n == RANGES_MAX) {
		wf_lock_release(&range_lock);
		return -ENOMEM;
	}
	ranges[n] = (struct range){
		.low = {slab}, .high = slab + slots * stride(pool), .pool = pool, .guarded = guarded};
	wf_store_rel32(&range_count, n + 1); /* ST-1 */
	wf_lock_release(&range_lock);
	return 0;
}

/* Maps one more slab. Nothing changes on failure. */
static int grow_locked(uint32_t pool)
{
	struct pool *p = &pools[pool];
	uint32_t slots = pool == POOL_SMALL ? SMALL_SLAB : WF_STACK_SLAB;
	while (slots > 1 && slots * stride(pool) > ((size_t)WF_STACK_SLAB * 2 * WF_STACK_DEFAULT))
		slots /= 2; /* large stacks come in ones and twos */
	size_t bytes = slots * stride(pool);
	int error = reserve_slots_locked(p, slots);
	if (error != 0)
		return error;
	char *slab = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (slab == MAP_FAILED)
		return -ENOMEM;
	madvise(slab, bytes, MADV_NOHUGEPAGE); /* a huge page would commit 2 MiB for one touched page */
	/* A child has no fibers, and forks 170 times faster without their pages. The sanitizers fork their symbolizer on the
	 * stack of whoever is at fault. */
	if (WF_STACK_SCALE == 1)
		madvise(slab, bytes, MADV_DONTFORK);
	bool guarded = pool != POOL_SMALL && guard_pages(slab, pool, slots);
	error = add_range(slab, pool, slots, guarded);
	if (error != 0) {
		munmap(slab, bytes);
		return error;
	}
	wf_lsan_root(slab, bytes);
	for (uint32_t i = slots; i-- > 0;)
		p->clean[p->clean_count++] = slab + i * stride(pool);
	p->total += slots;
	return 0;
}

static int promise_locked(uint32_t pool, uint32_t want)
{
	struct pool *p = &pools[pool];
	while (p->warm_count + p->clean_count - p->promised < want) {
		int error = grow_locked(pool);
		if (error != 0)
			return error;
	}
	p->promised += want;
	return 0;
}

static char *pop_locked(struct pool *p)
{
	return p->warm_count > 0 ? p->warm[--p->warm_count] : p->clean[--p->clean_count]; /* K2 */
}

WF_OWNER_CODE_BEGIN

int wf_stack_promise(struct wf_worker *w)
{
	if (w->stacks.promises > 0) {
		w->stacks.promises--;
		return 0;
	}
	uint32_t pool = w->rt->stack_pool;
	wf_lock_acquire(&pools[pool].lock);
	uint32_t batch = WF_STACK_CACHE / 2;
	int error = promise_locked(pool, batch);
	if (error != 0) {
		batch = 1;
		error = promise_locked(pool, 1);
	}
	wf_lock_release(&pools[pool].lock);
	if (error == 0)
		w->stacks.promises = batch - 1;
	return error;
}

static void promises_return(struct wf_worker *w, uint32_t keep)
{
	uint32_t pool = w->rt->stack_pool;
	wf_lock_acquire(&pools[pool].lock);
	pools[pool].promised -= w->stacks.promises - keep;
	wf_lock_release(&pools[pool].lock);
	w->stacks.promises = keep;
}

void wf_stack_unpromise(struct wf_worker *w)
{
	if (++w->stacks.promises > 2 * WF_STACK_CACHE)
		promises_return(w, WF_STACK_CACHE);
}

int wf_stack_promise_shared(uint32_t pool)
{
	wf_lock_acquire(&pools[pool].lock);
	int error = promise_locked(pool, 1);
	wf_lock_release(&pools[pool].lock);
	return error;
}

static void fill_in(struct wf_stack *stack, uint32_t pool, char *slot)
{
	stack->low = slot_low(pool, slot);
	stack->pool = (uint16_t)pool;
	/* Neighbouring slots get different colours: their distance is an odd number of double pages. */
	stack->color = (uint16_t)(((uintptr_t)slot / (2 * PAGE)) % WF_STACK_COLORS);
	if (wf_stack_has_canary(stack))
		set_canary(stack->low);
}

static void keep_warm(struct wf_stack_cache *cache, char *slot)
{
	cache->slot[(cache->oldest + cache->count++) % WF_STACK_CACHE] = slot;
}

void wf_stack_take(struct wf_worker *w, struct wf_stack *stack)
{
	struct wf_stack_cache *cache = &w->stacks;
	uint32_t pool = w->rt->stack_pool;
	if (cache->count > 0) {
		/* The fiber's promise is not needed: it serves the next spawn. */
		fill_in(stack, pool, cache->slot[(cache->oldest + --cache->count) % WF_STACK_CACHE]);
		wf_stack_unpromise(w);
		return;
	}
	struct pool *p = &pools[pool];
	wf_lock_acquire(&p->lock);
	WF_CHECK(p->warm_count + p->clean_count >= p->promised && p->promised > 0); /* K1 */
	fill_in(stack, pool, pop_locked(p));
	p->promised--;
	/* Spare promises of this worker become warm slots of its cache, in one visit. */
	uint32_t more = cache->promises < WF_STACK_CACHE / 4 ? cache->promises : WF_STACK_CACHE / 4;
	for (uint32_t i = 0; i < more; i++)
		keep_warm(cache, pop_locked(p));
	p->promised -= more;
	cache->promises -= more;
	wf_lock_release(&p->lock);
	wf_bump(w, WF_STACK_MISSES, 1);
}

int wf_stack_take_sized(uint32_t pool, struct wf_stack *stack)
{
	struct pool *p = &pools[pool];
	wf_lock_acquire(&p->lock);
	int error = promise_locked(pool, 1);
	if (error == 0) {
		fill_in(stack, pool, pop_locked(p));
		p->promised--;
	}
	wf_lock_release(&p->lock);
	return error;
}

static void push_locked(struct pool *p, char *slot)
{
	WF_ASSERT(p->warm_count < p->capacity); /* every mapped slot has its place */
	p->warm[p->warm_count++] = slot;
}

/* The oldest slots go to the pool. */
static void cache_return(struct wf_stack_cache *cache, struct pool *p, uint32_t slots)
{
	wf_lock_acquire(&p->lock);
	for (; slots > 0; slots--, cache->count--)
		push_locked(p, cache->slot[cache->oldest++ % WF_STACK_CACHE]);
	wf_lock_release(&p->lock);
}

static char *slot_of(const struct wf_stack *stack)
{
	return stack->pool == POOL_SMALL ? stack->low : stack->low - PAGE;
}

void wf_stack_give_sized(struct wf_stack *stack)
{
	struct pool *p = &pools[stack->pool];
	wf_asan_unpoison(stack->low, wf_stack_usable(stack->pool) + PAGE);
	wf_lock_acquire(&p->lock);
	push_locked(p, slot_of(stack));
	wf_lock_release(&p->lock);
}

void wf_stack_give(struct wf_worker *w, struct wf_stack *stack)
{
	struct wf_stack_cache *cache = &w->stacks;
	if (stack->pool != w->rt->stack_pool) {
		wf_stack_give_sized(stack);
		return;
	}
	wf_asan_unpoison(stack->low, wf_stack_usable(stack->pool) + PAGE);
	if (cache->count == WF_STACK_CACHE)
		cache_return(cache, &pools[stack->pool], WF_STACK_CACHE / 2); /* the warmest stay */
	keep_warm(cache, slot_of(stack));
}

void wf_stack_cache_flush(struct wf_worker *w)
{
	cache_return(&w->stacks, &pools[w->rt->stack_pool], w->stacks.count);
	promises_return(w, 0);
}

WF_OWNER_CODE_END

bool wf_stack_trim(uint32_t most)
{
	uint32_t done = 0;
	for (uint32_t pool = 0; pool < POOL_SMALL; pool++) { /* small slots share pages */
		struct pool *p = &pools[pool];
		wf_lock_acquire(&p->lock);
		/* The lock is let go between two, so that a busy worker waits for one system call at most. The slot stays
		 * free meanwhile, so K1 holds. */
		while (done < most && p->warm_count > 0) {
			char *slot = p->warm[--p->warm_count];
			madvise(slot + PAGE, stride(pool) - PAGE, MADV_DONTNEED);
			p->clean[p->clean_count++] = slot;
			done++;
			wf_lock_release(&p->lock);
			wf_lock_acquire(&p->lock);
		}
		wf_lock_release(&p->lock);
	}
	return done > 0;
}

void *wf_stack_frame(const struct wf_stack *stack)
{
	char *end = stack->low +
		(stack->pool == POOL_SMALL ? (size_t)WF_SMALL_SLOT : wf_stack_usable(stack->pool) + PAGE);
	uintptr_t at = (uintptr_t)end - sizeof(struct wf_frame);
	return (void *)(at & ~(uintptr_t)15);
}

void *wf_stack_top(const struct wf_stack *stack)
{
	uintptr_t at = (uintptr_t)wf_stack_frame(stack);
	if (stack->pool != POOL_SMALL)
		at -= (uintptr_t)stack->color * WF_CACHE_LINE;
	return (void *)(at & ~(uintptr_t)15);
}

/* A slab that got no guard pages, or the small class. */
bool wf_stack_has_canary(const struct wf_stack *stack)
{
	if (stack->pool == POOL_SMALL)
		return true;
	if (WF_LIKELY(wf_load_rlx64(&unguarded) == 0)) /* rlx: the slab's maker wrote it before handing out its slots */
		return false;
	uint32_t n = wf_load_acq32(&range_count); /* ST-1 */
	for (uint32_t i = 0; i < n; i++) {
		const struct range *r = &ranges[i];
		if (stack->low >= (char *)wf_load_acqp(&r->low) && stack->low < r->high) /* ST-1 */
			return !r->guarded;
	}
	return false;
}

WF_OWNER_CODE_BEGIN
bool wf_stack_canary_intact(const struct wf_stack *stack)
{
	uint64_t word;
	memcpy(&word, stack->low, sizeof(word));
	return word == CANARY;
}
WF_OWNER_CODE_END

void wf_stack_inherit(bool inherit)
{
	if (WF_STACK_SCALE > 1)
		return;
	uint32_t n = wf_load_acq32(&range_count); /* ST-1 */
	for (uint32_t i = 0; i < n; i++) {
		char *low = wf_load_acqp(&ranges[i].low); /* ST-1 */
		madvise(low, (size_t)(ranges[i].high - low), inherit ? MADV_DOFORK : MADV_DONTFORK);
	}
}

/* In the order in which wf_stack_take_sized takes them. */
void wf_stack_hold_pools(void)
{
	for (uint32_t pool = 0; pool < POOLS; pool++)
		wf_lock_acquire(&pools[pool].lock);
	wf_lock_acquire(&range_lock);
}

void wf_stack_let_pools(void)
{
	wf_lock_release(&range_lock);
	for (uint32_t pool = 0; pool < POOLS; pool++)
		wf_lock_release(&pools[pool].lock);
}

bool wf_stack_is_guard(const void *address)
{
	uint32_t n = wf_load_acq32(&range_count); /* ST-1 */
	for (uint32_t i = 0; i < n; i++) {
		const struct range *r = &ranges[i];
		const char *at = address;
		if (at < (char *)wf_load_acqp(&r->low) || at >= r->high) /* ST-1 */
			continue;
		return r->guarded &&
			(size_t)(r->high - at - 1) % stride(r->pool) >= stride(r->pool) - PAGE;
	}
	return false;
}

void wf_stack_stats(struct wf_stack_stats *stats)
{
	*stats = (struct wf_stack_stats){.unguarded = wf_load_rlx64(&unguarded)}; /* rlx: a statistic */
	for (uint32_t pool = 0; pool < POOLS; pool++) {
		wf_lock_acquire(&pools[pool].lock);
		stats->slots += pools[pool].total;
		stats->bytes += pools[pool].total * stride(pool);
		wf_lock_release(&pools[pool].lock);
	}
}

void wf_stack_force_guard(enum wf_guard guard)
{
	wf_store_rlx32(&guard_kind, guard); /* rlx: tests, before they spawn */
}
