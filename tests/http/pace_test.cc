/* SPDX-License-Identifier: MIT */
/* pace_test.cc - the open loop's schedule does not drift, and its counts agree with its times */
#include <gtest/gtest.h>

extern "C" {
#include "tools/load/pace.h"
}

namespace
{

constexpr uint64_t kRates[] = {1, 3, 7, 1000, 28394, 333333, PACE_RATE_MAX};

TEST(Pace, EveryWholeSecondHasItsRequests)
{
	for (uint64_t rate : kRates)
		for (int64_t second : {0, 1, 2, 59, 86400})
			EXPECT_EQ(pace_due(rate, rate * static_cast<uint64_t>(second)),
				second * INT64_C(1000000000));
}

TEST(Pace, TimesNeverGoBackAndAreEvenlySpaced)
{
	for (uint64_t rate : kRates)
		for (uint64_t index = 0; index < 5000; index++) {
			const int64_t step = pace_due(rate, index + 1) - pace_due(rate, index);

			EXPECT_NEAR(static_cast<double>(step), 1e9 / static_cast<double>(rate), 1.0);
		}
}

TEST(Pace, CountIsTheFirstIndexDueThenOrLater)
{
	for (uint64_t rate : kRates)
		for (int64_t elapsed : {INT64_C(1), INT64_C(999), INT64_C(333333333), INT64_C(1000000000),
			     INT64_C(1000000001), INT64_C(7777777777), INT64_C(86400000000000)}) {
			const uint64_t count = pace_count(rate, elapsed);

			EXPECT_GE(pace_due(rate, count), elapsed) << rate << " " << elapsed;
			ASSERT_GT(count, 0u);
			EXPECT_LT(pace_due(rate, count - 1), elapsed) << rate << " " << elapsed;
		}
	EXPECT_EQ(pace_count(1000, 0), 0u);
	EXPECT_EQ(pace_count(1000, -5), 0u);
}

TEST(Pace, LanesShareAllOfIt)
{
	for (unsigned lanes : {1u, 2u, 3u, 64u, 1000u})
		for (uint64_t count : {0u, 1u, 63u, 64u, 65u, 12345u}) {
			uint64_t sum = 0;

			for (unsigned lane = 0; lane < lanes; lane++)
				sum += pace_share(count, lane, lanes);
			EXPECT_EQ(sum, count) << lanes;
		}
}

} // namespace
