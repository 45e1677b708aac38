/* SPDX-License-Identifier: MIT */
/* date.c - see date.h */
#include "tools/httpd/date.h"

#include <string.h>
#include <time.h>

#define SECONDS_PER_DAY 86400
#define SECOND_MAX INT64_C(253402300799) /* 9999-12-31 23:59:59 */

static void put_two(char *text, unsigned value)
{
	text[0] = (char)('0' + value / 10);
	text[1] = (char)('0' + value % 10);
}

void date_format(char text[DATE_LEN], int64_t seconds)
{
	static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char months[12][4] = {
		"Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"};
	unsigned days_1970, of_day, shifted, era_day, era_year, year_day, month, year;

	if (seconds < 0)
		seconds = 0;
	if (seconds > SECOND_MAX)
		seconds = SECOND_MAX;
	days_1970 = (unsigned)(seconds / SECONDS_PER_DAY);
	of_day = (unsigned)(seconds % SECONDS_PER_DAY);
	/* The calendar repeats every 146097 days. Count years from March, so that a leap day ends
	 * its year, and days from 0000-03-01, which is 719468 days before 1970-01-01. */
	shifted = days_1970 + 719468;
	era_day = shifted % 146097;
	era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
	year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
	month = (5 * year_day + 2) / 153;
	year = shifted / 146097 * 400 + era_year + (month >= 10);
	memcpy(text, "Thu, 00 Mar 0000 00:00:00 GMT", DATE_LEN);
	memcpy(text, days[days_1970 % 7], 3);
	put_two(text + 5, year_day - (153 * month + 2) / 5 + 1);
	memcpy(text + 8, months[month], 3);
	put_two(text + 12, year / 100);
	put_two(text + 14, year % 100);
	put_two(text + 17, of_day / 3600);
	put_two(text + 20, of_day / 60 % 60);
	put_two(text + 23, of_day % 60);
}

const char *date_now(struct date_cache *cache)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != cache->second) {
		cache->second = now.tv_sec;
		date_format(cache->text, now.tv_sec);
	}
	return cache->text;
}
