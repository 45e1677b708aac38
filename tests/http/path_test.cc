/* SPDX-License-Identifier: MIT */
/* path_test.cc - which targets name a file, and that none names one outside (rules P1 to P4 of
 * path.h) */
#include <cstring>
#include <string>

#include <gtest/gtest.h>

extern "C" {
#include "tools/httpd/path.h"
}

namespace
{

using namespace std::string_literals;

/* The path, or "!" and the status. */
std::string Take(const std::string &target, size_t size = PATH_BYTES_MAX)
{
	std::string path(size, 'x');
	const int status = path_from_target(target.data(), target.size(), path.data(), size);

	return status == 200 ? path.c_str() : "!" + std::to_string(status);
}

TEST(Path, NamesFiles)
{
	EXPECT_EQ(Take("/a.html"), "a.html");
	EXPECT_EQ(Take("/docs/a%20b.html?x=1&y=/../z"), "docs/a b.html");
	EXPECT_EQ(Take("//docs///a"), "docs/a");
	EXPECT_EQ(Take("/%61%2E%62"), "a.b");
	EXPECT_EQ(Take("http://host:80/a"), "a");
	EXPECT_EQ(Take("HTTP://host/a/b"), "a/b");
	EXPECT_EQ(Take("/caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(Path, DirectoriesStandForTheirIndex)
{
	EXPECT_EQ(Take("/"), "index.html");
	EXPECT_EQ(Take("/?q"), "index.html");
	EXPECT_EQ(Take("///"), "index.html");
	EXPECT_EQ(Take("/docs/"), "docs/index.html");
}

TEST(Path, NeverPointsUp)
{
	for (const char *target : {"/..", "/../", "/../etc/passwd", "/a/../b", "/a/..", "/%2e%2e/a",
		     "/.%2E/a", "/%2e./", "/./a", "/a/.", "/..?x", "http://h/../a"})
		EXPECT_EQ(Take(target), "!400") << target;
}

TEST(Path, RefusesWhatOthersReadOtherwise)
{
	for (const char *target : {"", "a", "*", "?", "/a%2fb", "/a%2Fb", "/%00", "/a%0d%0aX:b",
		     "/%", "/%1", "/%zz", "/%7f", "/a#b", "http://host", "https://host/a"})
		EXPECT_EQ(Take(target), "!400") << target;
	EXPECT_EQ(Take("/a\0b"s), "!400");
}

TEST(Path, HiddenAndEndlessNamesAreNotFound)
{
	EXPECT_EQ(Take("/.git/config"), "!404");
	EXPECT_EQ(Take("/a/.htpasswd"), "!404");
	EXPECT_EQ(Take("/..."), "!404");
	EXPECT_EQ(Take("/" + std::string(PATH_COMPONENT_MAX, 'a')), std::string(PATH_COMPONENT_MAX, 'a'));
	EXPECT_EQ(Take("/" + std::string(PATH_COMPONENT_MAX + 1, 'a')), "!404");

	std::string deep;
	for (unsigned i = 0; i < PATH_DEPTH_MAX + 1; i++)
		deep += "/a";
	EXPECT_EQ(Take(deep), "!404");
}

TEST(Path, NeverWritesBeyondItsBuffer)
{
	const std::string targets[] = {"/", "/a", "/a/", "/ab/cd", "/abcdefghijklmnop", "/a/b/c/d/e/f/g/"};

	for (const auto &target : targets) {
		for (size_t size = 1; size < 32; size++) {
			std::string room(size + 8, '~');
			const int status =
				path_from_target(target.data(), target.size(), room.data(), size);

			EXPECT_EQ(room.substr(size), "~~~~~~~~") << target << " in " << size;
			if (status == 200) {
				EXPECT_LT(strlen(room.c_str()), size) << target;
			} else {
				EXPECT_EQ(status, 404) << target;
			}
		}
	}
}

TEST(Path, MediaTypes)
{
	EXPECT_STREQ(path_media_type("a.html"), "text/html; charset=utf-8");
	EXPECT_STREQ(path_media_type("A.PNG"), "image/png");
	EXPECT_STREQ(path_media_type("a.tar.gz"), "application/octet-stream");
	EXPECT_STREQ(path_media_type("README"), "application/octet-stream");
}

} // namespace
