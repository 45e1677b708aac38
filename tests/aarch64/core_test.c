/* SPDX-License-Identifier: MIT */
/* core_test.c - the fiber core on aarch64, under qemu-user, over an engine without I/O
 *
 * What     the switch of stacks, spawn, join, yield, sleep, cancel and stop, on 1, 2 and 4 workers. The engine waits in a futex.
 * Law      what the calling convention preserves (x19 to x29, d8 to d15) is preserved across a park, also when the fiber goes on
 *          elsewhere; unwinding ends at a fiber's entry; results and counts come out right.
 */
#include <errno.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>
#include <weft/weft.h>

#include "sched/base/alloc.h"
#include "sched/base/limits.h"
#include "sched/base/seam.h"
#include "sched/core/runtime.h"

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* The engine: a thread sleeps in a futex; there is no I/O. */
struct null_engine {
	wf_a32 interrupted;
};

static int null_open(struct wf_thread *thread, const weft_config *config)
{
	(void)config;
	thread->engine = wf_alloc_zero(sizeof(struct null_engine));
	return thread->engine == NULL ? -ENOMEM : 0;
}

static void null_close(struct wf_thread *thread)
{
	wf_free(thread->engine, sizeof(struct null_engine));
}

static void null_op(struct wf_thread *thread, struct wf_op *op)
{
	(void)thread, (void)op;
	abort(); /* nobody submits one */
}

static void null_flush(struct wf_thread *thread)
{
	(void)thread;
}

static void null_wait(struct wf_thread *thread, int64_t deadline)
{
	struct null_engine *engine = thread->engine;
	if (wf_swap_sc32(&engine->interrupted, 0) == 0)
		wf_futex_wait(&engine->interrupted, 0, deadline);
	wf_swap_sc32(&engine->interrupted, 0);
}

static void null_interrupt(struct wf_thread *thread)
{
	struct null_engine *engine = thread->engine;
	wf_swap_sc32(&engine->interrupted, 1);
	wf_futex_wake(&engine->interrupted, 1);
}

static bool null_pending(struct wf_thread *thread)
{
	(void)thread;
	return false;
}

static const char *null_mode(const struct wf_thread *thread)
{
	(void)thread;
	return "";
}

static const struct wf_driver null_driver = {
	.name = "null",
	.shows = true,
	.open = null_open,
	.close = null_close,
	.submit = null_op,
	.cancel = null_op,
	.flush = null_flush,
	.wait = null_wait,
	.interrupt = null_interrupt,
	.pending = null_pending,
	.mode = null_mode,
};

/* Fills the registers that a call preserves with values made of `seed`, calls fn, and returns how many came back changed. */
int check_preserved_registers(uint64_t seed, void (*fn)(void));
__asm__(".pushsection .text\n"
	".globl check_preserved_registers\n"
	".type check_preserved_registers, %function\n"
	"check_preserved_registers:\n"
	"	stp x29, x30, [sp, #-176]!\n"
	"	stp x19, x20, [sp, #16]\n	stp x21, x22, [sp, #32]\n	stp x23, x24, [sp, #48]\n"
	"	stp x25, x26, [sp, #64]\n	stp x27, x28, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n"
	"	str x0, [sp, #160]\n"
	".irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n	add x\\n, x0, #\\n\n	.endr\n"
	".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n	add x2, x0, #\\n\n	fmov d\\n, x2\n	.endr\n"
	"	blr x1\n"
	"	ldr x1, [sp, #160]\n"
	"	mov x0, #0\n"
	".irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
	"	add x2, x1, #\\n\n	cmp x2, x\\n\n	cinc x0, x0, ne\n	.endr\n"
	".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	add x2, x1, #\\n\n	fmov x3, d\\n\n	cmp x2, x3\n	cinc x0, x0, ne\n	.endr\n"
	"	ldp x19, x20, [sp, #16]\n	ldp x21, x22, [sp, #32]\n	ldp x23, x24, [sp, #48]\n"
	"	ldp x25, x26, [sp, #64]\n	ldp x27, x28, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"
	"	ldp x29, x30, [sp], #176\n"
	"	ret\n"
	".size check_preserved_registers, . - check_preserved_registers\n"
	".popsection\n");

static void nap(void)
{
	EXPECT(weft_sleep(10 * WEFT_US) == 0);
}

static void *registers(void *arg)
{
	uint64_t changed = 0;
	for (uint64_t i = 0; i < 300; i++)
		changed += (uint64_t)check_preserved_registers(
			(uint64_t)(uintptr_t)arg << 32 | i << 8, i % 20 == 0 ? nap : weft_yield);
	return (void *)(uintptr_t)changed;
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
	(void)context;
	return ++*(int *)arg > 64 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static void *unwind(void *arg)
{
	int frames = 0;
	weft_yield();
	_Unwind_Backtrace(count_frame, &frames);
	EXPECT(frames >= 2 && frames < 20);
	return arg;
}

static void *rounding(void *arg)
{
	EXPECT(fegetround() == FE_TONEAREST);
	if (arg != NULL)
		fesetround(FE_UPWARD);
	for (int i = 0; i < 100; i++) {
		weft_yield();
		EXPECT(fegetround() == (arg != NULL ? FE_UPWARD : FE_TONEAREST));
	}
	return NULL;
}

static void *tree(void *arg)
{
	uintptr_t n = (uintptr_t)arg;
	weft_fiber *left;
	void *sum;
	if (n < 2)
		return arg;
	EXPECT(weft_spawn(&left, tree, (void *)(n - 1)) == 0);
	uintptr_t right = (uintptr_t)tree((void *)(n - 2));
	EXPECT(weft_join(left, &sum) == 0);
	return (void *)((uintptr_t)sum + right);
}

static void *sleep_for_ever(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)weft_sleep(WEFT_FOREVER);
}

static void join_all(weft_fiber **fiber, int count, intptr_t expected)
{
	void *result;
	for (int i = 0; i < count; i++) {
		EXPECT(weft_join(fiber[i], &result) == 0);
		EXPECT((intptr_t)result == expected);
	}
}

/* A chain through all of sync and scopes: children count under a mutex, say so by channel, and one fails. */
static struct {
	weft_mutex mutex;
	weft_chan *chan;
	long count;
} shared;

static int counting_child(void *arg)
{
	for (int i = 0; i < 100; i++) {
		weft_mutex_lock(&shared.mutex);
		long seen = shared.count;
		if (i % 10 == 0)
			weft_yield();
		shared.count = seen + 1;
		weft_mutex_unlock(&shared.mutex);
	}
	return weft_chan_send(shared.chan, &(uintptr_t){(uintptr_t)arg});
}

static int failing_child(void *arg)
{
	(void)arg;
	return -EIO;
}

static int waiting_child(void *arg)
{
	(void)arg;
	return weft_chan_recv(shared.chan, &(uintptr_t){0});
}

static void concurrency(void)
{
	weft_scope scope;
	uintptr_t sum = 0;
	shared.count = 0;
	EXPECT(weft_chan_new(&shared.chan, sizeof(uintptr_t), 0) == 0);
	EXPECT(weft_scope_open(&scope, WEFT_FOREVER) == 0);
	for (uintptr_t i = 1; i <= 8; i++)
		EXPECT(weft_scope_spawn(&scope, counting_child, (void *)i) == 0);
	for (int i = 0; i < 8; i++) {
		uintptr_t got = 0;
		weft_case cases[] = {{.op = WEFT_CASE_RECV},
			{.op = WEFT_CASE_RECV, .chan = shared.chan, .element = &got}};
		EXPECT(weft_select(cases, 2, WEFT_FOREVER) == 1);
		sum += got;
	}
	EXPECT(weft_scope_close(&scope) == 0);
	EXPECT(sum == 36 && shared.count == 800);
	EXPECT(weft_scope_open(&scope, WEFT_FOREVER) == 0);
	EXPECT(weft_scope_spawn(&scope, waiting_child, NULL) == 0);
	EXPECT(weft_scope_spawn(&scope, failing_child, NULL) == 0);
	EXPECT(weft_scope_close(&scope) == -EIO);
	weft_chan_free(shared.chan);
}

/* Generators and coroutines, off a runtime: what each switch preserves on both sides. */
static weft_gen *stepped;
static weft_coro *partner, *first;

static void yield_once(void)
{
	EXPECT(weft_gen_yield(&stepped, NULL) == 0);
}

static void step_once(void)
{
	void *value;
	EXPECT(weft_gen_next(stepped, &value) == WEFT_GEN_YIELDED && value == &stepped);
}

static void end_it(void)
{
	void *value;
	EXPECT(weft_gen_next(stepped, &value) == WEFT_GEN_DONE && value == NULL);
}

static void *stepping(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < 200; i++)
		EXPECT(check_preserved_registers(i << 12, yield_once) == 0);
	return NULL;
}

static void *delegating(void *sub)
{
	EXPECT(weft_gen_delegate(sub, NULL) == 0);
	weft_gen_free(sub);
	return NULL;
}

static void switch_once(void)
{
	EXPECT(weft_coro_switch(weft_coro_current() == first ? partner : first, NULL, NULL) == 0);
}

static void *partnering(void *arg)
{
	for (uint64_t i = 0; i < 100; i++)
		EXPECT(check_preserved_registers(i << 13, switch_once) == 0);
	return arg;
}

static void generators(void)
{
	for (int depth = 0; depth < 3; depth++) {
		EXPECT(weft_gen_new(&stepped, stepping, NULL) == 0);
		for (int i = 0; i < depth; i++)
			EXPECT(weft_gen_new(&stepped, delegating, stepped) == 0);
		for (uint64_t i = 0; i < 200; i++)
			EXPECT(check_preserved_registers(i << 16, step_once) == 0);
		EXPECT(check_preserved_registers(77, end_it) == 0);
		weft_gen_free(stepped);
	}
	first = weft_coro_current();
	EXPECT(weft_coro_new(&partner, partnering, NULL) == 0);
	for (uint64_t i = 0; i < 101; i++)
		EXPECT(check_preserved_registers(i << 17, switch_once) == 0);
	EXPECT(weft_coro_dead(partner));
	weft_coro_free(partner);
}

static wf_a32 done;

static void *all_of_it(void *arg)
{
	weft_gen *sleeper;
	EXPECT(weft_gen_new(&sleeper, sleep_for_ever, NULL) == 0);
	weft_deadline(weft_after(WEFT_MS));
	EXPECT(weft_gen_next(sleeper, NULL) == WEFT_GEN_DONE); /* the fiber parks in the body */
	weft_deadline(WEFT_FOREVER);
	weft_gen_free(sleeper);
	weft_fiber *fiber[32];
	weft_attr fp = {.flags = WEFT_FP_ENV};
	for (int i = 0; i < 32; i++)
		EXPECT(weft_spawn(&fiber[i], registers, (void *)(uintptr_t)(i + 1)) == 0);
	join_all(fiber, 32, 0);
	for (int i = 0; i < 8; i++)
		EXPECT(weft_spawn(&fiber[i], unwind, NULL) == 0);
	join_all(fiber, 8, 0);
	for (int i = 0; i < 8; i++)
		EXPECT(weft_spawn_attr(&fiber[i], i % 2 ? &fp : NULL, rounding, i % 2 ? &fp : NULL) == 0);
	join_all(fiber, 8, 0);
	EXPECT(tree((void *)16) == (void *)987);
	concurrency();
	for (int i = 0; i < 32; i++)
		EXPECT(weft_spawn(&fiber[i], sleep_for_ever, NULL) == 0);
	nap();
	for (int i = 0; i < 32; i++)
		EXPECT(weft_cancel(fiber[i]) == 0);
	join_all(fiber, 32, -ECANCELED);
	weft_deadline(weft_after(WEFT_MS));
	EXPECT(weft_sleep(WEFT_FOREVER) == -ETIMEDOUT);
	weft_deadline(WEFT_FOREVER);
	for (int i = 0; i < 32; i++) /* for stop to cancel */
		EXPECT(weft_spawn(&fiber[i], sleep_for_ever, NULL) == 0);
	wf_swap_sc32(&done, 1);
	wf_futex_wake(&done, 1);
	return arg;
}

int main(void)
{
	generators();
	for (unsigned workers = 1; workers <= 4; workers *= 2) {
		weft_config config = {.workers = workers,
			.rescue = WEFT_RESCUE_OFF,
			.long_run = -1,
			.stack_size = WF_STACK_DEFAULT,
			.ring_entries = WF_RING_ENTRIES};
		struct wf_runtime *rt;
		wf_swap_sc32(&done, 0);
		EXPECT(wf_runtime_start(&rt, &config, &null_driver) == 0);
		EXPECT(wf_runtime_submit(rt, all_of_it, NULL, (const void *)main) == 0);
		while (wf_load_sc32(&done) == 0)
			wf_futex_wait(&done, 0, INT64_MAX);
		wf_runtime_stop(rt);
		printf("%u workers: passed\n", workers);
	}
	return 0;
}
