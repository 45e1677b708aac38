/* SPDX-License-Identifier: MIT */
/* coro_share_test.cc - coroutines in the hands of other fibers and threads than their own
 *
 * Law  a coroutine freed by another fiber is unwound there, and what its own fiber does meanwhile is not touched.
 * Law  whoever starts coroutines whose parents are elsewhere makes no cycle of parents.
 * Law  of two that start one at once one does; the other gets -EXDEV, and the function runs once.
 */
#include <atomic>
#include <thread>

#include "tests/core/support.h"

using namespace support;

namespace
{
void *parent_switch(void *value)
{
	void *out = nullptr;
	weft_coro_switch(weft_coro_parent(weft_coro_current()), value, &out);
	return out;
}

/* Answers an error by handing control away, and ends when it is freed. */
void *hands_away(void *)
{
	weft_gen_yield(nullptr, nullptr);
	return parent_switch(nullptr);
}

void *throws_into(void *gen)
{
	EXPECT_EQ(0, weft_gen_next(static_cast<weft_gen *>(gen), nullptr));
	weft_gen_throw(static_cast<weft_gen *>(gen), -EIO, nullptr, nullptr); /* comes back on the fiber that frees */
	return nullptr;
}

void *sleeps_and_yields(void *event)
{
	weft_event_wait(static_cast<weft_event *>(event));
	return reinterpret_cast<void *>(static_cast<intptr_t>(weft_gen_yield(event, nullptr)));
}

void *ends(void *value)
{
	return value;
}
} // namespace

TEST(CoroShare, FreedElsewhereWithAGeneratorsCallPending)
{
	run(1, [] {
		weft_event freed{};
		weft_gen *thrown = nullptr, *sleeper = nullptr;
		std::atomic<weft_coro *> suspended{nullptr};
		ASSERT_EQ(0, weft_gen_new(&thrown, hands_away, nullptr));
		ASSERT_EQ(0, weft_gen_new(&sleeper, sleeps_and_yields, &freed));
		weft_fiber *owner = spawn([&] {
			void *out = nullptr;
			weft_coro *coro = nullptr;
			EXPECT_EQ(0, weft_coro_new(&coro, throws_into, nullptr));
			EXPECT_EQ(0, weft_coro_switch(coro, thrown, nullptr));
			suspended = coro;
			EXPECT_EQ(WEFT_GEN_YIELDED,
				weft_gen_next(sleeper, &out)); /* parked in the body while coro is freed */
			EXPECT_EQ(&freed, out);
		});
		weft_fiber *other = spawn([&] {
			while (suspended == nullptr || weft_gen_state(sleeper) != WEFT_GEN_RUNNING)
				weft_yield();
			weft_coro_free(suspended);
			weft_event_set(&freed);
		});
		join(owner);
		join(other);
		weft_gen_free(sleeper);
		weft_gen_free(thrown);
	});
}

TEST(CoroShare, ParentsFromElsewhereMakeNoCycle)
{
	static weft_coro *parent;
	weft_coro *child = nullptr;
	ASSERT_EQ(0, weft_coro_new(&parent, ends, nullptr));
	auto switches = [](void *value) -> void * {
		weft_coro_switch(parent, value, nullptr);
		return nullptr;
	};
	ASSERT_EQ(0, weft_coro_new(&child, switches, parent));
	std::thread([&] {
		int value;
		void *out = nullptr;
		EXPECT_EQ(0, weft_coro_switch(child, &value, &out));
		EXPECT_EQ(&value, out);
		EXPECT_TRUE(weft_coro_dead(parent));
		EXPECT_EQ(weft_coro_current(), weft_coro_parent(parent));
		weft_coro_free(child);
		weft_coro_free(parent);
	}).join();
}

TEST(CoroShare, OfTwoThatStartOneAtOnceOneDoes)
{
	static std::atomic<int> runs;
	for (long i = 0; i < times(500, 100); i++) {
		weft_coro *coro = nullptr;
		std::atomic<int> ready{0}, started{0};
		runs = 0;
		auto count = [](void *value) -> void * {
			runs++;
			return value;
		};
		ASSERT_EQ(0, weft_coro_new(&coro, count, nullptr));
		auto start = [&] {
			weft_coro_current();
			ready++;
			while (ready < 2)
				continue;
			int error = weft_coro_switch(coro, nullptr, nullptr);
			EXPECT_TRUE(error == 0 || error == -EXDEV) << error;
			started += error == 0;
		};
		std::thread one(start), two(start);
		one.join();
		two.join();
		EXPECT_EQ(1, runs);
		EXPECT_EQ(1, started);
		EXPECT_TRUE(weft_coro_dead(coro));
		weft_coro_free(coro);
	}
}
