/* SPDX-License-Identifier: MIT */
/* sanitize.h - what the sanitizers must be told about fibers; nothing in other builds
 *
 * What     ASan learns of each switch of stacks, TSan gets one context a fiber. The kernel's writes into buffers are
 *          shown to TSan by acquire/release on the operation.
 * Rules    Z1 TSan switches with flag 1 (no synchronisation): with flag 0 every switch would be an ordering edge and hide races
 *             between two fibers of one worker. The real edges are atomics already: spawn (the context is made by
 *             the spawner), the wake ticket, the life word, locks.
 *          Z2 what a worker owns is touched by one fiber's context after another without such an edge. Files between
 *             WF_OWNER_CODE_BEGIN and _END have their plain accesses left out of TSan; their atomics, and all of the user's code,
 *             are still seen.
 */
#ifndef WF_SCHED_BASE_SANITIZE_H
#define WF_SCHED_BASE_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define WF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WF_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WF_TSAN 1
#endif
#endif

/* Instrumented code and the sanitizers' own reports need more stack than the sizes that programs ask for. */
#if defined(WF_ASAN) || defined(WF_TSAN)
#define WF_STACK_SCALE 8u
#else
#define WF_STACK_SCALE 1u
#endif

#ifdef WF_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
static inline void wf_asan_leave(void **fake, const void *bottom, size_t size)
{
	__sanitizer_start_switch_fiber(fake, bottom, size);
}
static inline void wf_asan_enter(void *fake, const void **bottom, size_t *size)
{
	__sanitizer_finish_switch_fiber(fake, bottom, size);
}
/* The fake stack of a context that is given up without having ended. */
static inline void wf_asan_discard(void *fake)
{
	const void *bottom;
	size_t size;
	void *mine;
	if (fake == NULL)
		return;
	__sanitizer_start_switch_fiber(&mine, __builtin_frame_address(0), 1);
	__sanitizer_finish_switch_fiber(fake, &bottom, &size);
	__sanitizer_start_switch_fiber(NULL, bottom, size); /* NULL: it is destroyed */
	__sanitizer_finish_switch_fiber(mine, NULL, NULL);
}
static inline void wf_asan_poison(const void *memory, size_t size)
{
	__asan_poison_memory_region(memory, size);
}
static inline void wf_asan_unpoison(const void *memory, size_t size)
{
	__asan_unpoison_memory_region(memory, size);
}
static inline void wf_lsan_root(const void *memory, size_t size)
{
	__lsan_register_root_region(memory, size);
}
static inline void wf_lsan_unroot(const void *memory, size_t size)
{
	__lsan_unregister_root_region(memory, size);
}
#else
static inline void wf_asan_leave(void **fake, const void *bottom, size_t size)
{
	(void)fake, (void)bottom, (void)size;
}
static inline void wf_asan_enter(void *fake, const void **bottom, size_t *size)
{
	(void)fake, (void)bottom, (void)size;
}
static inline void wf_asan_poison(const void *memory, size_t size)
{
	(void)memory, (void)size;
}
static inline void wf_asan_unpoison(const void *memory, size_t size)
{
	(void)memory, (void)size;
}
static inline void wf_lsan_root(const void *memory, size_t size)
{
	(void)memory, (void)size;
}
static inline void wf_lsan_unroot(const void *memory, size_t size)
{
	(void)memory, (void)size;
}
#endif

#ifdef WF_TSAN
#define WF_OWNER_CODE_BEGIN                                                                        \
	_Pragma("clang attribute push(__attribute__((no_sanitize(\"thread\"))), apply_to = function)")
#define WF_OWNER_CODE_END _Pragma("clang attribute pop")
/* For a function in whose middle the context changes: its entry and exit would be counted on different ones. */
#define WF_ACROSS_CONTEXTS __attribute__((disable_sanitizer_instrumentation))
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static inline void *wf_tsan_self(void)
{
	return __tsan_get_current_fiber();
}
static inline void *wf_tsan_create(void)
{
	return __tsan_create_fiber(0);
}
static inline void wf_tsan_destroy(void *fiber)
{
	__tsan_destroy_fiber(fiber);
}
WF_ACROSS_CONTEXTS static inline void wf_tsan_switch(void *fiber)
{
	__tsan_switch_to_fiber(fiber, 1);
}
/* The same where control is handed over: what was done before is seen. */
WF_ACROSS_CONTEXTS static inline void wf_tsan_hand_over(void *fiber)
{
	__tsan_switch_to_fiber(fiber, 0);
}
/* An edge that no atomic shows: a stack or a worker's memory goes from one context to the next. */
static inline void wf_tsan_acquire(void *address)
{
	__tsan_acquire(address);
}
static inline void wf_tsan_release(void *address)
{
	__tsan_release(address);
}
#else
#define WF_ACROSS_CONTEXTS
#define WF_OWNER_CODE_BEGIN
#define WF_OWNER_CODE_END
static inline void wf_tsan_acquire(void *address)
{
	(void)address;
}
static inline void wf_tsan_release(void *address)
{
	(void)address;
}
static inline void *wf_tsan_self(void)
{
	return NULL;
}
static inline void *wf_tsan_create(void)
{
	return NULL;
}
static inline void wf_tsan_destroy(void *fiber)
{
	(void)fiber;
}
static inline void wf_tsan_switch(void *fiber)
{
	(void)fiber;
}
#endif

#endif
