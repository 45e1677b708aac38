/* SPDX-License-Identifier: MIT */
/* ready_test.cc - the ring of woken fibers
 *
 * Law  first come, first served; each item is taken exactly once, by its owner or one thief, also where the indices wrap and while
 *      the ring grows.
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/inside.h"
#include "tests/core/support.h"

using namespace support;

class Ready : public testing::TestWithParam<uint32_t>
{
};
INSTANTIATE_TEST_SUITE_P(
	StartingAt, Ready, testing::Values(0u, 0x7fffff00u, UINT32_MAX - 5, UINT32_MAX - 300));

TEST_P(Ready, FirstComeFirstServed)
{
	for (bool shared : {false, true}) {
		wf_ready *ready = inside_ready_new(GetParam());
		EXPECT_EQ(0u, inside_ready_take(ready, shared));
		for (uintptr_t i = 1; i <= 1000; i++) /* grows twice */
			ASSERT_TRUE(inside_ready_push(ready, i, shared));
		for (uintptr_t i = 1; i <= 1000; i++)
			ASSERT_EQ(i, inside_ready_take(ready, shared));
		EXPECT_EQ(0u, inside_ready_take(ready, shared));
		inside_ready_delete(ready);
	}
}

TEST_P(Ready, AThiefTakesTheOlderHalf)
{
	wf_ready *ready = inside_ready_new(GetParam());
	uintptr_t items[64];
	EXPECT_EQ(0u, inside_ready_steal(ready, items, 64));
	for (uintptr_t i = 1; i <= 9; i++)
		inside_ready_push(ready, i, true);
	ASSERT_EQ(5u, inside_ready_steal(ready, items, 64));
	for (uintptr_t i = 0; i < 5; i++)
		EXPECT_EQ(i + 1, items[i]);
	ASSERT_EQ(1u, inside_ready_steal(ready, items, 1)) << "no more than asked for";
	EXPECT_EQ(6u, items[0]);
	EXPECT_EQ(7u, inside_ready_take(ready, true));
	inside_ready_delete(ready);
}

TEST_P(Ready, GrowsToItsBoundAndNoFurther)
{
	wf_ready *ready = inside_ready_new(GetParam());
	uint32_t count = 0;
	while (inside_ready_push(ready, count + 1, false))
		count++;
	EXPECT_EQ(inside_ready_max(), count);
	for (uint32_t i = 1; i <= count; i++)
		ASSERT_EQ(i, inside_ready_take(ready, false));
	EXPECT_TRUE(inside_ready_push(ready, 1, false)) << "there is room again";
	inside_ready_delete(ready);
}

TEST_P(Ready, EachItemIsTakenOnceAmongThieves)
{
	wf_ready *ready = inside_ready_new(GetParam());
	long n = times(300000, 30000);
	std::vector<std::atomic<int>> taken(static_cast<size_t>(n) + 1);
	std::atomic<bool> done{false};
	std::vector<std::thread> thieves;
	for (int t = 0; t < 3; t++)
		thieves.emplace_back([&] {
			uintptr_t items[32];
			while (!done) {
				uint32_t got = inside_ready_steal(ready, items, 32);
				for (uint32_t i = 0; i < got; i++)
					taken[items[i]]++;
				for (uint32_t i = 1; i < got; i++)
					EXPECT_LT(items[i - 1], items[i]) << "oldest first";
			}
		});
	uintptr_t next = 1, item;
	while (next <= static_cast<uintptr_t>(n)) {
		for (int burst = static_cast<int>(next % 700);
			burst >= 0 && next <= static_cast<uintptr_t>(n); burst--)
			if (inside_ready_push(ready, next, true))
				next++;
			else
				burst = 0; /* at its bound: the thieves are slow today */
		for (int some = static_cast<int>(next % 300); some > 0; some--)
			if ((item = inside_ready_take(ready, true)) != 0)
				taken[item]++;
	}
	while ((item = inside_ready_take(ready, true)) != 0)
		taken[item]++;
	done = true;
	for (std::thread &thief : thieves)
		thief.join();
	for (size_t i = 1; i <= static_cast<size_t>(n); i++)
		ASSERT_EQ(1, taken[i].load()) << "item " << i;
	inside_ready_delete(ready);
}
