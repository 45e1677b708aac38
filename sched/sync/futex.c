/* SPDX-License-Identifier: MIT */
/* futex.c - weft_futex_wait, weft_futex_wake: waiting on a word of the program's own
 *
 * What     a table of lists, chosen by the word's address. A list holds the waiters of several words.
 * Rules    X1 the word is read under the list's lock, and waiters are taken off under it: a wake that follows a change of the word finds
 *             whoever has read the old value.
 * Tests    tests/sync/futex_test.cc
 */
#include <errno.h>
#include <limits.h>
#include <weft/sync.h>

#include "sched/base/limits.h"
#include "sched/base/lock.h"
#include "sched/sync/wait.h"

WF_OWNER_CODE_BEGIN

struct bucket {
	_Alignas(WF_CACHE_LINE) wf_lock lock;
	wf_waiters waiters;
};

static struct bucket buckets[WF_FUTEX_BUCKETS];

static struct bucket *bucket_of(const uint32_t *word)
{
	/* Fibonacci hashing: neighbouring words go far apart. */
	uint64_t hash = ((uint64_t)(uintptr_t)word >> 2) * UINT64_C(0x9E3779B97F4A7C15);
	return &buckets[hash >> (64 - WF_FUTEX_BUCKET_BITS)];
}

struct wait {
	struct wf_wait wait;
	const uint32_t *word;
	uint32_t expected;
	bool differed;
};

static bool publish(struct wf_wait *wait)
{
	struct wait *w = (struct wait *)wait;
	struct bucket *bucket = bucket_of(w->word);
	wf_lock_acquire(&bucket->lock);
	w->differed = wf_load_sc32((const wf_a32 *)w->word) != w->expected; /* X1 */
	if (!w->differed)
		wf_waiters_append(&bucket->waiters, &wait->node);
	wf_lock_release(&bucket->lock);
	return !w->differed;
}

/* True: nobody had taken it off the list. */
static bool abandon(struct wait *w)
{
	struct bucket *bucket = bucket_of(w->word);
	wf_lock_acquire(&bucket->lock);
	bool linked = wf_waiter_linked(&w->wait.node);
	if (linked)
		wf_waiters_remove(&bucket->waiters, &w->wait.node);
	wf_lock_release(&bucket->lock);
	return linked;
}

static bool is_word(const uint32_t *word)
{
	return word != NULL && (uintptr_t)word % sizeof(*word) == 0;
}

int weft_futex_wait(const uint32_t *word, uint32_t expected)
{
	if (!is_word(word))
		return -EINVAL;
	for (;;) {
		int error = wf_wait_levels();
		if (error != 0)
			return error;
		struct wait w = {
			.wait = {.publish = publish,
				.deadline = WEFT_FOREVER,
				.kind = WF_WAITS_FUTEX,
				.object = word,
				.node.data = (void *)word},
			.word = word,
			.expected = expected,
		};
		if (wf_load_acq32((const wf_a32 *)word) !=
			expected) /* a wait that X1 would refuse: no need to park for that */
			return -EAGAIN;
		if (wf_wait(&w.wait, wf_wait_masks()) == WF_WAKE_OK)
			return w.differed ? -EAGAIN : 0;
		if (!abandon(&w))
			return wf_wait_levels(); /* W7 */
	}
}

int weft_futex_wake(const uint32_t *word, unsigned count)
{
	if (!is_word(word))
		return -EINVAL;
	struct bucket *bucket = bucket_of(word);
	struct wf_wakes wakes = {NULL, NULL};
	unsigned most = count < INT_MAX ? count : INT_MAX;
	unsigned woken = 0;
	wf_lock_acquire(&bucket->lock);
	struct wf_waiter *last = bucket->waiters != NULL ? bucket->waiters->prev : NULL;
	for (struct wf_waiter *at = bucket->waiters, *next; last != NULL && woken < most; at = next) {
		next = at->next;
		bool end = at == last;
		if (at->data == (const void *)word) {
			wf_waiters_remove(&bucket->waiters, at);
			if (wf_waiter_win(at)) {
				wf_wakes_add(&wakes, at);
				woken++;
			}
		}
		if (end)
			break;
	}
	wf_lock_release(&bucket->lock);
	wf_wakes_finish(&wakes);
	return (int)woken;
}

WF_OWNER_CODE_END
