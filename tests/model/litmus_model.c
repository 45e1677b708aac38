/* SPDX-License-Identifier: MIT */
/* litmus_model.c - does the explorer know the memory it claims to know? The classical two-thread shapes
 *
 * Law      store buffering: two RMWs, each followed by a load of the other's word, do not both read the old value. Message passing: a
 *          released flag brings the data with it. Coherence: a thread's stores to one word are seen in order.
 * Switches weaken one of them; the explorer must see the outcome that this allows.
 */
#include "sched/base/atomic.h"

static struct {
	wf_a32 x, y;
	uint32_t seen[2];
	uint32_t spare[2];
} s;

static void publish(wf_a32 *word)
{
#ifdef BUFFERED_STORES
	wf_store_rel32(word, 1);
#else
	wf_swap_sc32(word, 1);
#endif
}

static void left(uint32_t unused)
{
	(void)unused;
	publish(&s.x);
	s.seen[0] = wf_load_sc32(&s.y);
}

static void right(uint32_t unused)
{
	(void)unused;
	publish(&s.y);
	s.seen[1] = wf_load_sc32(&s.x);
}

static void writer(uint32_t unused)
{
	(void)unused;
	wf_store_rlx32(&s.x, 1);
#ifdef RELAXED_FLAG
	wf_store_rlx32(&s.y, 1);
#else
	wf_store_rel32(&s.y, 1);
#endif
}

static void reader(uint32_t unused)
{
	(void)unused;
	if (wf_load_acq32(&s.y) == 1 && wf_load_rlx32(&s.x) == 0)
		model_fail("message passing: the flag came before the data");
}

static void writer_of_one(uint32_t unused)
{
	(void)unused;
	wf_store_rlx32(&s.x, 1);
	wf_store_rlx32(&s.x, 2);
}

static void reader_of_one(uint32_t unused)
{
	(void)unused;
	uint32_t first = wf_load_rlx32(&s.x);
	if (wf_load_rlx32(&s.x) < first)
		model_fail("coherence: a word went back");
}

static void buffering_finish(void)
{
	if (s.spare[0] == 1 && s.seen[0] == 0 && s.seen[1] == 0)
		model_fail("store buffering: both have read the old value");
}

static void buffering(void)
{
	s.spare[0] = 1;
}

static const char *name(const void *at)
{
	return at == &s.x ? "x" : "y";
}

static const struct model_program programs[] = {
	{"store buffering", buffering, 2, {{"left", left, 0}, {"right", right, 0}}},
	{"message passing", NULL, 2, {{"writer", writer, 0}, {"reader", reader, 0}}},
	{"coherence", NULL, 2, {{"writer", writer_of_one, 0}, {"reader", reader_of_one, 0}}},
};

const struct model MODEL_SYMBOL = {
	.state = &s,
	.state_bytes = sizeof(s),
	.finish = buffering_finish,
	.name = name,
	.program = programs,
	.programs = sizeof(programs) / sizeof(programs[0]),
};
