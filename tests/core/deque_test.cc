/* SPDX-License-Identifier: MIT */
/* deque_test.cc - the deque of unstarted fibers
 *
 * Law  the owner takes the newest, thieves the oldest; each entry is taken exactly once, also the last one, where the indices wrap,
 *      and while the deque grows.
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/inside.h"
#include "tests/core/support.h"

using namespace support;

class Deque : public testing::TestWithParam<uint64_t>
{
};
INSTANTIATE_TEST_SUITE_P(StartingAt, Deque,
	testing::Values(uint64_t{0}, uint64_t{1} << 63, UINT64_MAX - 5, UINT64_MAX - 300));

TEST_P(Deque, NewestForTheOwnerOldestForThieves)
{
	for (bool shared : {false, true}) {
		wf_deque *deque = inside_deque_new(GetParam());
		uint64_t item = 0;
		bool raced = false;
		EXPECT_FALSE(inside_deque_pop(deque, &item, shared));
		EXPECT_FALSE(inside_deque_steal(deque, &item, &raced));
		EXPECT_FALSE(raced);
		for (uint64_t i = 1; i <= 2000; i++) /* grows three times */
			inside_deque_push(deque, i, shared);
		for (uint64_t i = 1; i <= 900; i++) {
			ASSERT_TRUE(inside_deque_steal(deque, &item, &raced));
			ASSERT_EQ(i, item);
		}
		for (uint64_t i = 2000; i > 900; i--) {
			ASSERT_TRUE(inside_deque_pop(deque, &item, shared));
			ASSERT_EQ(i, item);
		}
		EXPECT_FALSE(inside_deque_pop(deque, &item, shared));
		EXPECT_FALSE(inside_deque_steal(deque, &item, &raced));
		inside_deque_delete(deque);
	}
}

TEST_P(Deque, EachEntryIsTakenOnceAmongThieves)
{
	wf_deque *deque = inside_deque_new(GetParam());
	uint64_t n = static_cast<uint64_t>(times(300000, 30000));
	std::vector<std::atomic<int>> taken(n + 1);
	std::atomic<bool> done{false};
	std::vector<std::thread> thieves;
	for (int t = 0; t < 3; t++)
		thieves.emplace_back([&] {
			uint64_t item, last = 0;
			bool raced;
			while (!done)
				if (inside_deque_steal(deque, &item, &raced)) {
					taken[item]++;
					EXPECT_LT(last, item) << "a thief sees them in their order";
					last = item;
				}
		});
	uint64_t next = 1, item;
	while (next <= n) {
		/* Short bursts mostly, so that owner and thieves meet at the last entry. */
		for (uint64_t burst = next % 50 == 0 ? 600 : next % 3; burst + 1 > 0 && next <= n;
			burst--) {
			inside_deque_push(deque, next++, true);
			if (burst == 0)
				break;
		}
		for (uint64_t some = next % 5; some > 0; some--)
			if (inside_deque_pop(deque, &item, true))
				taken[item]++;
	}
	while (inside_deque_pop(deque, &item, true))
		taken[item]++;
	done = true;
	for (std::thread &thief : thieves)
		thief.join();
	for (uint64_t i = 1; i <= n; i++)
		ASSERT_EQ(1, taken[i].load()) << "entry " << i;
	inside_deque_delete(deque);
}
