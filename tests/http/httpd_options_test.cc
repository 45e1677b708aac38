/* SPDX-License-Identifier: MIT */
/* httpd_options_test.cc - the command line of weft-httpd: defaults, values, nonsense */
#include <string>
#include <vector>

#include <gtest/gtest.h>

extern "C" {
#include "tools/httpd/options.h"
}

namespace
{

enum options_result Read(struct options *options, std::vector<std::string> args)
{
	std::vector<char *> argv;

	args.insert(args.begin(), "weft-httpd");
	for (auto &arg : args)
		argv.push_back(arg.data());
	argv.push_back(nullptr);
	return options_read(options, static_cast<int>(args.size()), argv.data());
}

TEST(HttpdOptions, Defaults)
{
	struct options options;

	ASSERT_EQ(Read(&options, {}), OPTIONS_RUN);
	EXPECT_STREQ(options.address, "127.0.0.1:8080");
	EXPECT_EQ(options.root, nullptr);
	EXPECT_EQ(options.text_len, 14u);
	EXPECT_EQ(options.limits.request_line, HTTPD_REQUEST_LINE_MAX);
	EXPECT_EQ(options.limits.headers, HTTPD_HEADERS_MAX);
	EXPECT_EQ(options.limits.header_timeout, HTTPD_HEADER_TIMEOUT);
	EXPECT_EQ(options.limits.connections, 0u);
	EXPECT_EQ(options.stats_every, 0);
}

TEST(HttpdOptions, Values)
{
	struct options options;

	ASSERT_EQ(Read(&options,
			  {"--max-body=2k", "--max-headers", "7", "--idle-timeout=250ms", "--stats",
				  "--workers=3"}),
		OPTIONS_RUN);
	EXPECT_EQ(options.limits.body, 2048u);
	EXPECT_EQ(options.limits.headers, 7u);
	EXPECT_EQ(options.limits.idle_timeout, 250 * WEFT_MS);
	EXPECT_EQ(options.stats_every, WEFT_SEC);
	EXPECT_EQ(options.workers, 3u);
	ASSERT_EQ(Read(&options, {"--stats=5"}), OPTIONS_RUN);
	EXPECT_EQ(options.stats_every, 5 * WEFT_SEC);
}

TEST(HttpdOptions, Nonsense)
{
	const std::vector<std::vector<std::string>> rows = {{"--bogus"}, {"file"}, {"--max-body"},
		{"--max-body=x"}, {"--max-headers=0"}, {"--max-request-line=10"}, {"--workers=0"},
		{"--idle-timeout=0"}, {"--grace=-1"}, {"--stats=never"}};
	struct options options;

	for (const auto &row : rows)
		EXPECT_EQ(Read(&options, row), OPTIONS_EXIT_USAGE) << row[0];
}

TEST(HttpdOptions, HelpAndVersion)
{
	struct options options;

	EXPECT_EQ(Read(&options, {"--help"}), OPTIONS_EXIT_OK);
	EXPECT_EQ(Read(&options, {"--version"}), OPTIONS_EXIT_OK);
}

} // namespace
