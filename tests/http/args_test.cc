/* SPDX-License-Identifier: MIT */
/* args_test.cc - values of options are read whole or refused */
#include <gtest/gtest.h>

extern "C" {
#include "tools/common/args.h"
}

namespace
{

constexpr int64_t kDay = INT64_C(86400000000000);

bool Count(const char *text, uint64_t *count)
{
	return args_count("--test", text, 1, 100, count);
}

TEST(Args, CountsInRange)
{
	uint64_t count = 0;

	EXPECT_TRUE(Count("1", &count));
	EXPECT_EQ(count, 1u);
	EXPECT_TRUE(Count("100", &count));
	EXPECT_EQ(count, 100u);
	for (const char *text :
		{"0", "101", "", "-1", "+1", " 1", "1 ", "1x", "0x1", "18446744073709551617"})
		EXPECT_FALSE(Count(text, &count)) << text;
}

TEST(Args, SizesTakeUnits)
{
	uint64_t bytes = 0;

	EXPECT_TRUE(args_size("--test", "8k", 1, UINT64_MAX, &bytes));
	EXPECT_EQ(bytes, 8192u);
	EXPECT_TRUE(args_size("--test", "3m", 1, UINT64_MAX, &bytes));
	EXPECT_EQ(bytes, 3u << 20);
	for (const char *text : {"k", "8kk", "8 k", "18446744073709551615g", "8.5k"})
		EXPECT_FALSE(args_size("--test", text, 1, UINT64_MAX, &bytes)) << text;
}

TEST(Args, DurationsTakeUnitsAndFractions)
{
	const struct {
		const char *text;
		int64_t ns;
	} good[] = {{"10", INT64_C(10000000000)}, {"1.5s", 1500000000}, {"250ms", 250000000},
		{"0.001", 1000000}, {"7us", 7000}, {"2m", INT64_C(120000000000)},
		{"1h", INT64_C(3600000000000)}, {"0.0005ms", 500}};
	int64_t ns = 0;

	for (const auto &[text, expected] : good) {
		EXPECT_TRUE(args_duration("--test", text, kDay, &ns)) << text;
		EXPECT_EQ(ns, expected) << text;
	}
	for (const char *text :
		{"", "0", "0.0", "-1", "1x", ".5", "1.", "25h", "1e3", "nan", "99999999999999999999"})
		EXPECT_FALSE(args_duration("--test", text, kDay, &ns)) << text;
}

} // namespace
