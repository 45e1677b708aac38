/* SPDX-License-Identifier: MIT */
/* date_test.cc - HTTP dates agree with libc's calendar */
#include <ctime>
#include <string>

#include <gtest/gtest.h>

extern "C" {
#include "tools/httpd/date.h"
}

namespace
{

std::string Format(int64_t seconds)
{
	char text[DATE_LEN];

	date_format(text, seconds);
	return std::string(text, DATE_LEN);
}

TEST(Date, TheExampleOfTheStandard)
{
	EXPECT_EQ(Format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(Date, AgreesWithLibcThroughTheCenturies)
{
	/* A step that is no multiple of a day meets all hours and, in 8000 years, every kind of
	 * leap year. */
	for (int64_t seconds = 0; seconds < INT64_C(253402300800); seconds += 86400 * 13 + 4999) {
		const time_t time = seconds;
		struct tm tm;
		char expected[64];

		ASSERT_NE(gmtime_r(&time, &tm), nullptr);
		ASSERT_EQ(strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm),
			DATE_LEN);
		ASSERT_EQ(Format(seconds), expected) << seconds;
	}
}

TEST(Date, OutOfRangeIsTheNearestInIt)
{
	EXPECT_EQ(Format(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
	EXPECT_EQ(Format(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(Date, TheCacheKeepsOneSecond)
{
	struct date_cache cache = {};
	const std::string first(date_now(&cache), DATE_LEN);

	EXPECT_EQ(first, Format(cache.second));
	EXPECT_LE(std::abs(static_cast<double>(cache.second - time(nullptr))), 2);
}

} // namespace
