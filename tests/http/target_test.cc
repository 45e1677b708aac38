/* SPDX-License-Identifier: MIT */
/* target_test.cc - which targets weft-load takes, and which of them it calls this machine's own */
#include <cstring>
#include <string>

#include <gtest/gtest.h>

extern "C" {
#include "tools/load/target.h"
}

namespace
{

/* "host|port|path", or "" when refused. */
std::string Parse(const char *url, bool echo = false)
{
	struct target target;

	if (!target_parse(&target, url, echo))
		return "";
	return std::string(target.host) + "|" + target.port + "|" + target.path;
}

TEST(Target, TakesUrls)
{
	EXPECT_EQ(Parse("http://127.0.0.1:8080/a/b?c=d"), "127.0.0.1|8080|/a/b?c=d");
	EXPECT_EQ(Parse("http://localhost"), "localhost|80|/");
	EXPECT_EQ(Parse("http://localhost?x"), "localhost|80|/?x");
	EXPECT_EQ(Parse("http://[::1]:81/#part"), "::1|81|/");
	EXPECT_EQ(Parse("http://[::1]"), "::1|80|/");
}

TEST(Target, RefusesOthers)
{
	for (const char *url : {"", "127.0.0.1", "https://localhost/", "ftp://x/", "http://",
		     "http:///x", "http://h:0/", "http://h:65536/", "http://h:8x/", "http://h:/",
		     "http://[::1/", "http://[::1]x/", "http://h/a b", "http://h/a\r\nX: y"})
		EXPECT_EQ(Parse(url), "") << url;
	EXPECT_EQ(Parse(("http://h/" + std::string(TARGET_PATH_BYTES, 'a')).c_str()), "");
	EXPECT_EQ(Parse(("http://" + std::string(TARGET_HOST_BYTES, 'h') + "/").c_str()), "");
}

TEST(Target, EchoTakesAddresses)
{
	EXPECT_EQ(Parse("127.0.0.1:9", true), "127.0.0.1|9|");
	EXPECT_EQ(Parse("tcp://[::1]:9", true), "::1|9|");
	EXPECT_EQ(Parse("127.0.0.1", true), "");
}

TEST(Target, KnowsLoopback)
{
	const struct {
		const char *host;
		bool loopback;
	} rows[] = {{"127.0.0.1", true}, {"127.200.3.4", true}, {"::1", true},
		{"::ffff:127.0.0.1", true}, {"10.0.0.1", false}, {"128.0.0.1", false},
		{"fe80::1", false}, {"::ffff:10.0.0.1", false}};

	for (const auto &row : rows) {
		struct target target = {};

		strcpy(target.host, row.host);
		strcpy(target.port, "80");
		ASSERT_TRUE(target_resolve(&target)) << row.host;
		EXPECT_EQ(target_is_loopback(&target), row.loopback) << row.host;
	}
}

} // namespace
