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

/* Uses so much of its worker's time. */
void compute(int64_t duration)
{
	for (int64_t end = weft_now() + duration; weft_now() < end;)
		continue;
}

weft_fiber *computing(const char *name, int64_t duration)
{
	return spawn([duration] { compute(duration); }, {name, 0, 0});
}

uint64_t stalls()
{
	weft_stats stats;
	EXPECT_LT(0, weft_stats_get(nullptr, &stats, nullptr, 0));
	return stats.total.stalls;
}

size_t count_of(const std::string &text, const std::string &what)
{
	size_t count = 0;
	for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
		count++;
	return count;
}

class LongRun : public testing::TestWithParam<unsigned>
{
protected:
	/* What the runtime says meanwhile. */
	std::string listen(int64_t threshold, const std::function<void()> &fn)
	{
		weft_config config = support::config(GetParam());
		config.long_run = threshold;
		testing::internal::CaptureStderr();
		support::run(config, fn);
		return testing::internal::GetCapturedStderr();
	}
};

} // namespace

extern "C" {
__attribute__((noinline)) void *holds_as_first(void *)
{
	compute((sanitized ? 1000 : 200) * WEFT_MS);
	return nullptr;
}
}

INSTANTIATE_TEST_SUITE_P(OnWorkers, LongRun, testing::Values(1u, 4u));

TEST_P(LongRun, AHoldThatIsOverHasItsLineToo)
{
	constexpr int HOLDS = 8; /* fewer than there may be lines in a second */
	uint64_t counted = 0;
	std::string said = listen(0, [&counted] {
		for (int i = 0; i < HOLDS; i++) {
			support::join(computing("short one", 11 * WEFT_MS + i * WEFT_MS));
			weft_sleep(30 * WEFT_MS);
		}
		support::join(computing("long one", (sanitized ? 1000 : 200) * WEFT_MS));
		counted = stalls();
	});
	size_t lines = count_of(said, "long run: fiber=");
	EXPECT_GE(counted, 1u) << said;
	EXPECT_LE(lines, counted) << said;
	EXPECT_GE(lines + 1, counted) << "but for one that ended as it was looked at:\n" << said;
	EXPECT_EQ(1u, count_of(said, "\"long one\"")) << said;
}

TEST_P(LongRun, ManyShortOnesHideNoLongOne)
{
	std::string said = listen(0, [] {
		for (int i = 0; i < 20; i++) {
			support::join(computing("short one", 11 * WEFT_MS));
			weft_sleep(5 * WEFT_MS);
		}
		weft_sleep(1100 * WEFT_MS); /* lines are counted by the second */
		support::join(computing("long one", (sanitized ? 1000 : 200) * WEFT_MS));
	});
	EXPECT_EQ(1u, count_of(said, "\"long one\"")) << said;
}

TEST_P(LongRun, TheFirstFiberWasCreatedAtItsFunction)
{
	weft_config config = support::config(GetParam());
	config.long_run = 0;
	testing::internal::CaptureStderr();
	EXPECT_EQ(0, weft_run(&config, holds_as_first, nullptr, nullptr));
	std::string said = testing::internal::GetCapturedStderr();
	EXPECT_EQ(1u, count_of(said, "created at holds_as_first+0x0 (")) << said;
}

TEST_P(LongRun, IsSilentWhereItIsOff)
{
	std::string said = listen(-1, [] { support::join(computing("long one", 100 * WEFT_MS)); });
	EXPECT_EQ("", said);
}
