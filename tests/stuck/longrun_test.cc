/* SPDX-License-Identifier: MIT */
/* longrun_test.cc - the line about a fiber that holds its worker for long
 *
 * Law  each hold that is counted has its line, also one that is over before anybody could find out where the fiber was.
 * Law  the line says where the fiber was created; of the first of weft_run that is its function.
 * Law  such a one leaves nothing behind: the next long run of the same worker is described whole.
 */
#include "tests/stuck/support.h"

using namespace stuck;

namespace
{

weft_fiber *computing(const char *name, int64_t duration)
{
	return spawn([duration] { compute(duration); }, {name, 0, 0});
}

/* Until its line is there. */
weft_fiber *computing_until_said(const Said &said)
{
	return spawn([&said] { EXPECT_TRUE(compute_until_said(said, "\"long one\"", 1)); },
		{"long one", 0, 0});
}

uint64_t stalls(const Runtime &runtime)
{
	weft_stats stats;
	EXPECT_LT(0, weft_stats_get(runtime.get(), &stats, nullptr, 0));
	return stats.total.stalls;
}

class LongRun : public testing::TestWithParam<unsigned>
{
protected:
	static void run(int64_t threshold, const std::function<void()> &fn)
	{
		weft_config config = support::config(GetParam());
		config.long_run = threshold;
		support::run(config, fn);
	}
};

} // namespace

extern "C" {
__attribute__((noinline)) void *holds_as_first(void *said)
{
	EXPECT_TRUE(compute_until_said(*static_cast<Said *>(said), "long run: fiber=", 1));
	return nullptr;
}
}

INSTANTIATE_TEST_SUITE_P(OnWorkers, LongRun, testing::Values(1u, 4u));

/* Only those that compute are fibers: what looks on may itself be held up. */
TEST_P(LongRun, AHoldThatIsOverHasItsLineToo)
{
	constexpr int HOLDS = 8; /* fewer than there may be lines in a second */
	uint64_t missing = 0;
	Said said;
	Runtime runtime({WEFT_ENGINE_AUTO, GetParam()}, WEFT_RESCUE_AUTO, 0);
	auto lines = [&said] { return said.count("long run: fiber="); };
	for (int i = 0; i < HOLDS; i++) {
		runtime.run([i] { compute(11 * WEFT_MS + i * WEFT_MS); });
		sleep_thread(30 * WEFT_MS);
		/* While a line is being written the next hold has none. */
		for (int n = 0; n < 100 && lines() + missing < stalls(runtime); n++)
			sleep_thread(10 * WEFT_MS);
		missing += lines() + missing < stalls(runtime);
		EXPECT_TRUE(eventually([] { return support::threads_named("weft-report") == 0; }));
	}
	runtime.run([&said] {
		weft_set_name("long one");
		EXPECT_TRUE(compute_until_said(said, "\"long one\"", 1));
	});
	uint64_t counted = stalls(runtime);
	runtime.stop();
	EXPECT_GE(counted, 1u) << said.text();
	EXPECT_LE(lines(), counted) << said.text();
	EXPECT_GE(lines() + 1, counted) << "but for one that ended as it was looked at:\n"
					<< said.text();
	EXPECT_EQ(1u, said.count("\"long one\"")) << said.text();
}

TEST_P(LongRun, ManyShortOnesHideNoLongOne)
{
	Said said;
	run(0, [&said] {
		for (int i = 0; i < 20; i++) {
			support::join(computing("short one", 11 * WEFT_MS));
			weft_sleep(5 * WEFT_MS);
		}
		weft_sleep(1100 * WEFT_MS); /* lines are counted by the second */
		support::join(computing_until_said(said));
	});
	EXPECT_EQ(1u, said.count("\"long one\"")) << said.text();
}

TEST_P(LongRun, TheFirstFiberWasCreatedAtItsFunction)
{
	weft_config config = support::config(GetParam());
	config.long_run = 0;
	Said said;
	EXPECT_EQ(0, weft_run(&config, holds_as_first, &said, nullptr));
	EXPECT_EQ(1u, said.count("created at holds_as_first+0x0 (")) << said.text();
}

TEST_P(LongRun, IsSilentWhereItIsOff)
{
	Said said;
	run(-1, [] { support::join(computing("long one", 100 * WEFT_MS)); });
	EXPECT_EQ("", said.text());
}
