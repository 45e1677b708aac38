/* SPDX-License-Identifier: MIT */
/* leaks_test.cc - the report of fibers that nobody joined
 *
 * Law  with WEFT_LEAK_REPORT, or WEFT_LEAKS=on, each place that spawned fibers which ended and were neither joined nor detached has one
 *      line with their number; without, or where all were joined or detached, nothing is printed.
 */
#include "tests/core/support.h"

using namespace support;

namespace
{
void *nothing(void *arg)
{
	return arg;
}

__attribute__((noinline)) void forget(int fibers)
{
	weft_fiber *fiber;
	for (int i = 0; i < fibers; i++)
		EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr));
}

void *leak(void *)
{
	weft_fiber *fiber;
	forget(3);
	EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr)); /* another place */
	return nullptr;
}

void *care(void *)
{
	weft_fiber *fiber;
	EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr));
	EXPECT_EQ(0, weft_join(fiber, nullptr));
	EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr));
	EXPECT_EQ(0, weft_detach(fiber));
	EXPECT_EQ(0, weft_go(nothing, nullptr));
	return nullptr;
}

std::string printed_by(weft_fn body, unsigned flags)
{
	weft_config how = quiet_config(2, flags);
	testing::internal::CaptureStderr();
	EXPECT_EQ(0, weft_run(&how, body, nullptr, nullptr));
	return testing::internal::GetCapturedStderr();
}

size_t count(const std::string &text, const std::string &word)
{
	size_t found = 0;
	for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
		found++;
	return found;
}
} // namespace

TEST(Leaks, OneLineForEachPlaceThatForgotItsFibers)
{
	std::string lines = printed_by(leak, WEFT_LEAK_REPORT);
	EXPECT_EQ(2u, count(lines, "weft: leak: ")) << lines;
	EXPECT_EQ(1u, count(lines, "leak: 3 fibers spawned at ")) << lines;
	EXPECT_EQ(1u, count(lines, "leak: 1 fiber spawned at ")) << lines;
}

TEST(Leaks, NothingToSay)
{
	EXPECT_EQ("", printed_by(care, WEFT_LEAK_REPORT));
	EXPECT_EQ("", printed_by(leak, 0));
}

TEST(Leaks, ByTheEnvironment)
{
	setenv("WEFT_LEAKS", "on", 1);
	EXPECT_EQ(2u, count(printed_by(leak, 0), "weft: leak: "));
	setenv("WEFT_LEAKS", "sometimes", 1);
	testing::internal::CaptureStderr();
	EXPECT_EQ(-EINVAL, weft_run(nullptr, leak, nullptr, nullptr));
	EXPECT_NE(std::string::npos,
		testing::internal::GetCapturedStderr().find("WEFT_LEAKS=sometimes is not one of off, on"));
	unsetenv("WEFT_LEAKS");
}
