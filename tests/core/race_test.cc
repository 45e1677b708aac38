/* SPDX-License-Identifier: MIT */
/* race_test.cc - ThreadSanitizer sees the races of fibers
 *
 * Law  two fibers that touch a variable without synchronisation are a race, also when one worker runs both one after the other;
 *      spawn, join and the like are synchronisation.
 */
#include <vector>

#include "tests/core/support.h"

using namespace support;

class RaceDeathTest : public Workers
{
protected:
	void SetUp() override
	{
		if (!tsan)
			GTEST_SKIP() << "only ThreadSanitizer sees races";
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};
FOR_WORKERS(RaceDeathTest);

static int shared;

static void *add(void *arg)
{
	shared++;
	return arg;
}

/* On more workers the idle protocol's own atomics may order them by chance. */
TEST_F(RaceDeathTest, OfTwoFibersOfOneWorkerIsReported)
{
	auto child = [] {
		weft_config alone = config(1);
		alone.rescue = WEFT_RESCUE_OFF; /* a thread that stands in is one worker more */
		run(alone, [] {
			/* Not joined: that would put one before the other. */
			weft_go(add, nullptr);
			weft_go(add, nullptr);
			weft_sleep(10 * WEFT_MS);
		});
		_exit(0);
	};
	EXPECT_EXIT(child(), testing::ExitedWithCode(66), "data race");
}

TEST_P(RaceDeathTest, SpawnAndJoinAreSynchronisation)
{
	auto child = [] {
		run(quiet_config(GetParam()), [] {
			for (int i = 0; i < 100; i++) {
				shared++;
				weft_fiber *one = nullptr;
				weft_spawn(&one, add, nullptr);
				weft_join(one, nullptr);
			}
		});
		_exit(shared == 200 ? 0 : 1);
	};
	EXPECT_EXIT(child(), testing::ExitedWithCode(0), "^$");
}
