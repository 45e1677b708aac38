/* SPDX-License-Identifier: MIT */
/* load_options_test.cc - the command line of weft-load: defaults, values, combinations that make no
 * sense */
#include <string>
#include <vector>

#include <gtest/gtest.h>

extern "C" {
#include "tools/load/options.h"
}

namespace
{

enum options_result Read(struct options *options, std::vector<std::string> args)
{
	std::vector<char *> argv;

	args.insert(args.begin(), "weft-load");
	for (auto &arg : args)
		argv.push_back(arg.data());
	argv.push_back(nullptr);
	const enum options_result result =
		options_read(options, static_cast<int>(args.size()), argv.data());

	/* What is borrowed from argv ends with it. */
	options->url = nullptr;
	return result;
}

TEST(LoadOptions, Defaults)
{
	struct options options;

	ASSERT_EQ(Read(&options, {"http://localhost/"}), OPTIONS_RUN);
	EXPECT_EQ(options.connections, 64u);
	EXPECT_EQ(options.fibers, 64u);
	EXPECT_EQ(options.pipeline, 1u);
	EXPECT_EQ(options.duration, 10 * WEFT_SEC);
	EXPECT_EQ(options.rate, 0u);
	EXPECT_FALSE(options.own_target);
}

TEST(LoadOptions, RequestsAloneRunUntilTheyAreDone)
{
	struct options options;

	ASSERT_EQ(Read(&options, {"-n", "5", "-c", "3", "http://localhost/"}), OPTIONS_RUN);
	EXPECT_EQ(options.requests, 5u);
	EXPECT_EQ(options.duration, WEFT_FOREVER);
	EXPECT_EQ(options.fibers, 3u);
	ASSERT_EQ(Read(&options, {"-n", "5", "-d", "2", "http://localhost/"}), OPTIONS_RUN);
	EXPECT_EQ(options.duration, 2 * WEFT_SEC);
}

TEST(LoadOptions, NoSense)
{
	const std::vector<std::vector<std::string>> rows = {
		{},
		{"http://a/", "http://b/"},
		{"--bogus", "http://a/"},
		{"-c"},
		{"-c", "0", "http://a/"},
		{"-c", "2", "-f", "3", "http://a/"},
		{"-d", "0", "http://a/"},
		{"-p", "1025", "http://a/"},
		{"-r", "10", "-p", "2", "http://a/"},
		{"-p", "2", "--no-keepalive", "http://a/"},
		{"-m", "GET /", "http://a/"},
		{"-m", "", "http://a/"},
		{"-H", "nonsense", "http://a/"},
		{"-H", "A: b\r\nC: d", "http://a/"},
		{"--echo", "0", "a:1"},
		{"--echo", "2m", "a:1"},
		{"--echo", "8", "--body", "x", "a:1"},
		{"--echo-server", "127.0.0.1:0", "http://a/"},
	};
	struct options options;

	for (const auto &row : rows) {
		std::string text;
		for (const auto &arg : row)
			text += arg + " ";
		EXPECT_EQ(Read(&options, row), OPTIONS_EXIT_USAGE) << text;
	}
}

TEST(LoadOptions, HelpAndVersion)
{
	struct options options;

	EXPECT_EQ(Read(&options, {"--help"}), OPTIONS_EXIT_OK);
	EXPECT_EQ(Read(&options, {"--version"}), OPTIONS_EXIT_OK);
}

} // namespace
