/* SPDX-License-Identifier: MIT */
/* local.c - fiber-local storage
 *
 * What     a key is {generation, slot} in 32 bits; a fiber's values stand in an array indexed by slot, grown when first set, each with the
 *          generation it was set under. So a reused slot shows no old value, and a lookup is one comparison.
 * Owns     the table of keys (process-wide), and each fiber's array (its frame points at it).
 * Rules    V1 destructors run on the ending fiber, before its joiner wakes, for values that are not NULL and whose key still
 *             stands; they may set values again: up to four passes, as POSIX threads do.
 *          V2 the table is written under its lock; readers compare the slot's generation (acquire) before they call its destructor.
 * Tests    tests/task/local_test.cc
 */
#include <errno.h>
#include <string.h>

#include "sched/base/alloc.h"
#include "sched/core/misuse.h"
#include "sched/core/spawn.h"

#define SLOT_BITS 10u
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
_Static_assert(WF_KEYS_MAX == 1u << SLOT_BITS, "a slot fits in its bits of a key");

struct wf_local {
	uint32_t key; /* the whole key under which the value was set; 0: none */
	void *value;
};

struct slot {
	wf_a32 key; /* the key in use, 0: free. V2 */
	uint32_t generation;
	wf_aptr destructor;
};

static struct slot slots[WF_KEYS_MAX];
static wf_lock keys_lock;

static void run_destructors(struct wf_frame *frame)
{
	bool again = true;
	for (int pass = 0; pass < WF_KEY_PASSES && again; pass++) {
		again = false;
		for (uint32_t i = 0; i < frame->local_count; i++) {
			struct wf_local *local =
				&frame->locals[i]; /* read anew: a destructor may grow the array */
			void *value = local->value;
			uint32_t key = local->key;
			local->value = NULL;
			if (value == NULL || key == 0 || wf_load_acq32(&slots[i].key) != key)
				continue;
			/* V2: written before the key it belongs to. */
			void (*destructor)(void *) =
				(void (*)(void *))wf_load_acqp(&slots[i].destructor);
			if (destructor != NULL) {
				again = true;
				destructor(value);
			}
		}
	}
	wf_free(frame->locals, frame->local_count * sizeof(struct wf_local));
	frame->locals = NULL;
	frame->local_count = 0;
}

int weft_key_create(weft_key *key, void (*destructor)(void *))
{
	if (key == NULL)
		return -EINVAL;
	wf_lock_acquire(&keys_lock);
	wf_store_relp(&wf_local_end, (void *)run_destructors);
	for (uint32_t i = 0; i < WF_KEYS_MAX; i++) {
		struct slot *slot = &slots[i];
		if (wf_load_acq32(&slot->key) != 0)
			continue;
		slot->generation = (slot->generation + 1) & (UINT32_MAX >> SLOT_BITS);
		if (slot->generation == 0)
			slot->generation = 1;
		wf_store_relp(&slot->destructor, (void *)destructor);
		key->index = slot->generation << SLOT_BITS | i;
		wf_store_rel32(&slot->key, key->index); /* V2 */
		wf_lock_release(&keys_lock);
		return 0;
	}
	wf_lock_release(&keys_lock);
	return -EAGAIN;
}

int weft_key_delete(weft_key key)
{
	struct slot *slot = &slots[key.index & SLOT_MASK];
	int error = -EINVAL;
	wf_lock_acquire(&keys_lock);
	if (key.index != 0 && wf_load_acq32(&slot->key) == key.index) {
		wf_store_rel32(&slot->key, 0);
		error = 0;
	}
	wf_lock_release(&keys_lock);
	return error;
}

static int grow(struct wf_frame *frame, uint32_t slot)
{
	uint32_t count = frame->local_count == 0 ? 4 : frame->local_count * 2;
	while (count <= slot)
		count *= 2;
	struct wf_local *locals = wf_alloc_zero(count * sizeof(*locals));
	if (locals == NULL)
		return -ENOMEM;
	if (frame->local_count > 0)
		memcpy(locals, frame->locals, frame->local_count * sizeof(*locals));
	wf_free(frame->locals, frame->local_count * sizeof(*locals));
	frame->locals = locals;
	frame->local_count = count;
	return 0;
}

int weft_set_local(weft_key key, void *value)
{
	struct wf_fiber *fiber = wf_current();
	if (fiber == NULL)
		return wf_off_fiber();
	uint32_t slot = key.index & SLOT_MASK;
	if (key.index == 0 || wf_load_acq32(&slots[slot].key) != key.index)
		return -EINVAL;
	struct wf_frame *frame = fiber->frame;
	if (slot >= frame->local_count) {
		if (value == NULL)
			return 0; /* what an unset key holds */
		int error = grow(frame, slot);
		if (error != 0)
			return error;
	}
	frame->locals[slot] = (struct wf_local){.key = key.index, .value = value};
	return 0;
}

void *weft_get_local(weft_key key)
{
	struct wf_fiber *fiber = wf_current();
	uint32_t slot = key.index & SLOT_MASK;
	if (fiber == NULL || key.index == 0 || slot >= fiber->frame->local_count)
		return NULL;
	if (wf_load_acq32(&slots[slot].key) != key.index)
		return NULL; /* deleted */
	const struct wf_local *local = &fiber->frame->locals[slot];
	return local->key == key.index ? local->value : NULL;
}
