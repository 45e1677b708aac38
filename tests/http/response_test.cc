/* SPDX-License-Identifier: MIT */
/* response_test.cc - which responses weft-load takes for good
 *
 * Law  however the bytes are cut into pieces, the verdict is the same, and the next response's
 *      bytes are left.
 */
#include <random>
#include <string>

#include <gtest/gtest.h>

extern "C" {
#include "tools/load/response.h"
}

namespace
{

struct Verdict {
	enum response_event event = RESPONSE_MORE;
	unsigned status = 0;
	bool keep_alive = false;
	size_t used = 0;
};

Verdict Feed(const std::string &bytes, const struct response_rules &rules, size_t piece, bool ends)
{
	struct response response;
	Verdict verdict;

	response_start(&response, &rules);
	while (verdict.event == RESPONSE_MORE && verdict.used < bytes.size()) {
		size_t used, len = std::min(piece, bytes.size() - verdict.used);

		verdict.event = response_feed(&response, bytes.data() + verdict.used, len, &used);
		verdict.used += used;
	}
	if (verdict.event == RESPONSE_MORE && ends)
		verdict.event = response_end(&response);
	verdict.status = response.status;
	verdict.keep_alive = response.keep_alive;
	return verdict;
}

Verdict FeedAllWays(const std::string &bytes, struct response_rules rules = {}, bool ends = false)
{
	if (rules.body_max == 0)
		rules.body_max = 1000;

	const Verdict whole = Feed(bytes, rules, bytes.size() + 1, ends);

	for (size_t piece : {1, 2, 5}) {
		const Verdict cut = Feed(bytes, rules, piece, ends);

		EXPECT_EQ(cut.event, whole.event) << bytes;
		if (whole.event == RESPONSE_DONE) {
			EXPECT_EQ(cut.used, whole.used) << bytes;
		}
	}
	return whole;
}

TEST(Response, CompleteOnes)
{
	const struct {
		std::string bytes;
		unsigned status;
		bool keep_alive;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, true},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, true},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, true},
		{"HTTP/1.1 503 Full\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 503, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, false},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			200, true},
	};

	for (const auto &row : rows) {
		const bool more = row.keep_alive;
		const Verdict verdict = FeedAllWays(row.bytes + (more ? "HTTP/1.1 200" : ""));

		EXPECT_EQ(verdict.event, RESPONSE_DONE) << row.bytes;
		EXPECT_EQ(verdict.status, row.status) << row.bytes;
		EXPECT_EQ(verdict.keep_alive, row.keep_alive) << row.bytes;
		EXPECT_EQ(verdict.used, row.bytes.size()) << row.bytes;
	}
}

TEST(Response, HeadHasNoBody)
{
	struct response_rules rules = {};

	rules.head = true;
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", rules).event, RESPONSE_DONE);
}

TEST(Response, TheEndOfTheConnectionMayBeTheEndOfTheBody)
{
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\n\r\nhello", {}, true).event, RESPONSE_DONE);
	EXPECT_EQ(FeedAllWays("", {}, true).event, RESPONSE_MORE);
}

TEST(Response, Lies)
{
	/* shorter than promised */
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", {}, true).event,
		RESPONSE_BAD_BODY);
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", {}, true)
			  .event,
		RESPONSE_BAD_BODY);
	EXPECT_EQ(FeedAllWays("HTTP/1.1 20", {}, true).event, RESPONSE_BAD_PARSE);
	/* longer than the bound */
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x')).event,
		RESPONSE_BAD_BODY);
}

TEST(Response, Malformed)
{
	for (const char *bytes : {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 OK\r\n\r\n",
		     "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"})
		EXPECT_EQ(FeedAllWays(bytes).event, RESPONSE_BAD_PARSE) << bytes;

	std::string interim;
	for (unsigned i = 0; i < RESPONSE_INTERIM_MAX + 1; i++)
		interim += "HTTP/1.1 100 Continue\r\n\r\n";
	EXPECT_EQ(FeedAllWays(interim).event, RESPONSE_BAD_PARSE);
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\nA: " + std::string(200000, 'a')).event,
		RESPONSE_BAD_PARSE);
}

TEST(Response, TheExpectedBody)
{
	struct response_rules rules = {};

	rules.expect = "hello";
	rules.expect_len = 5;
	EXPECT_EQ(FeedAllWays("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", rules).event,
		RESPONSE_DONE);
	for (const char *body : {"4\r\n\r\nhell", "5\r\n\r\nhellO", "6\r\n\r\nhello!", "0\r\n\r\n"})
		EXPECT_EQ(FeedAllWays(std::string("HTTP/1.1 200 OK\r\nContent-Length: ") + body, rules)
				  .event,
			RESPONSE_BAD_BODY)
			<< body;
	/* An error's body is not what was expected, and its status says so. */
	EXPECT_EQ(FeedAllWays("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", rules).event,
		RESPONSE_DONE);
}

/* As in request_test.cc: mutants of responses, by a seed. */
TEST(Response, MutantsAreJudgedAlikeHoweverCut)
{
	const std::string corpus[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nhello",
	};
	const std::string spice = "\r\n\t :;0123456789afF+-";
	struct response_rules rules = {};
	std::mt19937 random(1);

	rules.body_max = 1000;
	rules.expect = "hello";
	rules.expect_len = 5;
	for (int i = 0; i < 20000; i++) {
		std::string bytes = corpus[random() % std::size(corpus)];
		for (unsigned edits = 1 + random() % 4; edits > 0; edits--) {
			const size_t at = random() % bytes.size();

			if (random() % 2)
				bytes[at] = spice[random() % spice.size()];
			else
				bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 9));
		}
		const Verdict whole = Feed(bytes, rules, bytes.size(), true);
		const Verdict cut = Feed(bytes, rules, 1 + random() % 9, true);

		ASSERT_EQ(cut.event, whole.event) << bytes;
	}
}

} // namespace
