/* SPDX-License-Identifier: MIT */
/* fork.c - a child made by fork() has no runtime: weft refuses there, and libc works
 *
 * What     the stacks' memory is not inherited (MADV_DONTFORK: a hundred times faster forks), but a fiber that forks runs on one of them. So the
 *          stack of the calling fiber is made inheritable around the fork. In the child the thread forgets its worker: weft's
 *          calls answer as on any thread outside, and the rings' memory, which is not inherited either, is never touched.
 *          A runtime cannot be started there either: the parent's stacks, workers and locks are gone, or in whatever state they were.
 *          Generators and coroutines are memory of the process, and the child has them all: where the process has used any, all stacks are
 *          made inheritable. The child's thread stands where the forking fiber stood (wf_host_adopt).
 * Rejected to inherit only the stacks that the calling fiber stands on: a generator suspended elsewhere would be gone, and to know it
 *          would need a mark in each.
 * Rules    FK-1 system calls and the calling thread's own state only: the child of a threaded program may do no more.
 *          FK-2 but the stacks' pools: they are held during the fork, so that generators can be freed and made in the child.
 * Tests    tests/io/fork_test.cc, tests/task/gen_fork_test.cc
 */
#include <pthread.h>
#include <sys/mman.h>

#include "sched/core/runtime.h"
#include "sched/core/strand.h"

/* The whole slot without its guard, which must keep its own advice. */
static void advise_own_stack(int advice)
{
	struct wf_fiber *fiber = wf_current();
	if (fiber == NULL || (fiber->flags & WEFT_SMALL))
		return;
	char *end = (char *)wf_stack_frame(&fiber->stack) + sizeof(struct wf_frame);
	uintptr_t low = (uintptr_t)fiber->stack.low;
	uintptr_t bytes = (uintptr_t)end - low;
	madvise((void *)low, (bytes + 4095) & ~(uintptr_t)4095, advice);
}

static wf_a32 strands_used, runtimes_used, is_child;
static __thread bool all_inherited __attribute__((tls_model("initial-exec"))); /* by the fork under way */

static void before_fork(void)
{
	all_inherited = wf_load_rlx32(&strands_used); /* rlx: this thread's own strands are what counts */
	if (all_inherited) {
		wf_stack_hold_pools(); /* FK-2 */
		wf_stack_inherit(true);
	} else {
		advise_own_stack(MADV_DOFORK);
	}
}

static void parent_after_fork(void)
{
	if (all_inherited) {
		wf_stack_inherit(false);
		wf_stack_let_pools();
	} else {
		advise_own_stack(MADV_DONTFORK);
	}
}

static void child_after_fork(void)
{
	if (all_inherited)
		wf_stack_let_pools();
	wf_host_adopt();
	wf_set_self(NULL);
	if (wf_load_rlx32(&runtimes_used))    /* rlx: one thread */
		wf_store_rlx32(&is_child, 1); /* rlx: one thread */
}

bool wf_fork_in_child(void)
{
	return wf_load_rlx32(&is_child) != 0; /* rlx: whoever is here came after it */
}

static void install(void)
{
	static wf_a32 installed;
	if (wf_swap_sc32(&installed, 1) == 0)
		pthread_atfork(before_fork, parent_after_fork, child_after_fork);
}

void wf_fork_install(void)
{
	wf_store_rlx32(&runtimes_used, 1); /* rlx: read in a child of this process */
	install();
}

void wf_fork_strands(void)
{
	if (WF_LIKELY(wf_load_rlx32(&strands_used))) /* rlx: it never goes back */
		return;
	install();
	wf_store_rlx32(&strands_used, 1); /* rlx: read by this thread when it forks, by others some time */
}
