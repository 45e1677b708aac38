/* SPDX-License-Identifier: MIT */
/* gen_chain_test.cc - one chain of delegations, called by several threads at once
 *
 * Law  a generator, and each delegator of a chain, is run by one call at a time: the others get -EBUSY, or, where they come in above
 *      the member that was called, their delegator finds its sub busy.
 * Law  nothing is lost and nothing comes twice: each value that a body yields reaches exactly one caller.
 * Law  asking for a state from elsewhere never harms.
 *
 * The chain: outer delegates to middle, for ever; middle delegates to one new leaf after the other; a leaf yields numbers.
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

namespace
{
struct Chain {
	weft_gen *outer = nullptr, *middle = nullptr;
	long yielded = 0; /* by whoever runs the leaf */
	std::atomic<bool> stop{false};
	std::atomic<long> received{0}, sum{0}, busy{0}, other{0};
};

char busy_below; /* what outer yields when it has found middle busy */

void *leaf(void *arg)
{
	Chain *chain = static_cast<Chain *>(arg);
	for (int i = 0; i < 7; i++) {
		chain->yielded++;
		if (weft_gen_yield(reinterpret_cast<void *>(chain->yielded), nullptr) < 0)
			break;
	}
	return nullptr;
}

void *middle(void *arg)
{
	for (;;) {
		weft_gen *sub;
		void *result;
		EXPECT_EQ(0, weft_gen_new(&sub, leaf, arg));
		int error = weft_gen_delegate(sub, &result);
		weft_gen_free(sub);
		if (error < 0)
			return weft_gen_raise(error, result);
	}
}

void *outer(void *arg)
{
	for (;;) {
		void *result;
		int error = weft_gen_delegate(static_cast<Chain *>(arg)->middle, &result);
		if (error == -EBUSY)
			error = weft_gen_yield(&busy_below, nullptr);
		if (error < 0)
			return weft_gen_raise(error, result);
	}
}

void call(Chain *chain, weft_gen *gen)
{
	while (!chain->stop) {
		void *value;
		int got = weft_gen_next(gen, &value);
		if (got == -EBUSY) {
			chain->busy++;
		} else if (got != WEFT_GEN_YIELDED) {
			chain->other++;
		} else if (value != &busy_below) {
			chain->received++;
			chain->sum += reinterpret_cast<long>(value);
		}
	}
}

void watch(Chain *chain)
{
	while (!chain->stop) {
		for (weft_gen *gen : {chain->outer, chain->middle}) {
			enum weft_gen_state state = weft_gen_state(gen);
			EXPECT_TRUE(state == WEFT_GEN_RUNNING || state == WEFT_GEN_SUSPENDED) << state;
		}
	}
}
} // namespace

TEST(GenChain, IsRunByOneCallAtATime)
{
	Chain chain;
	ASSERT_EQ(0, weft_gen_new_primed(&chain.middle, middle, &chain));
	ASSERT_EQ(0, weft_gen_new_primed(&chain.outer, outer, &chain));
	const long before = chain.yielded; /* dropped by the priming */
	std::vector<std::thread> threads;
	threads.emplace_back(call, &chain, chain.outer);
	threads.emplace_back(call, &chain, chain.outer);
	threads.emplace_back(call, &chain, chain.middle);
	threads.emplace_back(watch, &chain);
	const long enough = before + times(200000, 20000);
	while (chain.received < enough)
		std::this_thread::yield();
	chain.stop = true;
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(chain.yielded - before, chain.received);
	EXPECT_EQ(chain.yielded * (chain.yielded + 1) / 2 - before * (before + 1) / 2, chain.sum);
	EXPECT_EQ(0, chain.other);
	EXPECT_EQ(0, weft_gen_close(chain.outer));
	EXPECT_EQ(0, weft_gen_close(chain.middle));
	weft_gen_free(chain.outer);
	weft_gen_free(chain.middle);
}
