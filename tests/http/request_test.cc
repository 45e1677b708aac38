/* SPDX-License-Identifier: MIT */
/* request_test.cc - which requests are accepted, and with which status each kind of malformed one
 * is refused
 *
 * Law  however the bytes of a request are cut into pieces, the outcome is the same.
 */
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

extern "C" {
#include "tools/httpd/request.h"
}

namespace
{

using namespace std::string_literals;

const struct limits kLimits = {.request_line = 256,
	.headers = 8,
	.header_bytes = 512,
	.body = 1000,
	.header_timeout = 0,
	.body_timeout = 0,
	.idle_timeout = 0,
	.write_timeout = 0,
	.grace = 0,
	.connections = 0};

struct Outcome {
	enum request_event event = REQUEST_MORE;
	unsigned status = 0;
	bool keep_alive = false, head = false, expects = false;
	std::string target;
	size_t used = 0; /* by this request */
};

/* Feeds the bytes in pieces of the given size until the request is complete or refused. */
Outcome Feed(const std::string &bytes, size_t piece)
{
	struct request request;
	Outcome outcome;

	request_init(&request, &kLimits);
	while (outcome.used < bytes.size() && outcome.event != REQUEST_DONE &&
		outcome.event != REQUEST_BAD) {
		size_t used, len = std::min(piece, bytes.size() - outcome.used);

		outcome.event = request_feed(&request, bytes.data() + outcome.used, len, &used);
		outcome.used += used;
	}
	outcome.status = request.status;
	outcome.keep_alive = request.keep_alive;
	outcome.head = request.head;
	outcome.expects = request.expects_continue;
	outcome.target.assign(request.target, request.target_len);
	request_end(&request);
	return outcome;
}

Outcome FeedAllWays(const std::string &bytes)
{
	const Outcome whole = Feed(bytes, bytes.size());

	for (size_t piece : {1, 2, 3, 7}) {
		const Outcome cut = Feed(bytes, piece);

		EXPECT_EQ(cut.event, whole.event) << bytes;
		EXPECT_EQ(cut.status, whole.status) << bytes;
		EXPECT_EQ(cut.keep_alive, whole.keep_alive) << bytes;
		if (whole.event == REQUEST_DONE) {
			EXPECT_EQ(cut.target, whole.target) << bytes;
			EXPECT_EQ(cut.used, whole.used) << bytes;
		}
	}
	return whole;
}

std::string Get(const std::string &headers)
{
	return "GET / HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n";
}

std::string Post(const std::string &headers, const std::string &body)
{
	return "POST / HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body;
}

TEST(Request, Accepted)
{
	const struct {
		std::string bytes;
		unsigned status;
		bool keep_alive;
	} rows[] = {
		{Get(""), 200, true},
		{"\r\n" + Get(""), 200, true},
		{Get("Connection: close\r\n"), 200, false},
		{"GET / HTTP/1.0\r\n\r\n", 200, false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200, true},
		{"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200, true},
		{Get("Content-Length: 0\r\n"), 200, true},
		{Get("A:\r\nB: \t v \t\r\n"), 200, true},
		{Get("Connection: upgrade\r\nUpgrade: h2c\r\n"), 200, true},
		{Post("Content-Length: 5\r\n", "hello"), 405, true},
		{Post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), 405, true},
		{Post("Transfer-Encoding: Chunked\r\n", "5;a=b\r\nhello\r\n00\r\nTrailer: 1\r\n\r\n"),
			405, true},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405, true},
		{"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, false},
		{Get("Expect: something\r\n"), 417, true},
	};

	for (const auto &row : rows) {
		const Outcome outcome = FeedAllWays(row.bytes + "GET");

		EXPECT_EQ(outcome.event, REQUEST_DONE) << row.bytes;
		EXPECT_EQ(outcome.status, row.status) << row.bytes;
		EXPECT_EQ(outcome.keep_alive, row.keep_alive) << row.bytes;
		EXPECT_EQ(outcome.used, row.bytes.size())
			<< "the next request's bytes are not this one's\n"
			<< row.bytes;
	}
}

TEST(Request, TargetsOfAnyLengthArriveWhole)
{
	for (size_t len : {1, 100, 127, 128, 129, 200, 240}) {
		const std::string target = "/" + std::string(len - 1, 'a');
		const Outcome outcome = FeedAllWays("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");

		EXPECT_EQ(outcome.event, REQUEST_DONE);
		EXPECT_EQ(outcome.target, target);
	}
}

TEST(Request, RefusedAsMalformed)
{
	const std::vector<std::string> rows = {
		/* lines */
		"GET / HTTP/1.1\nHost: x\n\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\n",
		"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
		"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /\r\n\r\n",
		"get / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
		"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"s,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02",
		/* fields */
		"GET / HTTP/1.1\r\n\r\n",
		Get("Host: y\r\n"),
		"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
		Get("A : b\r\n"),
		Get("A\r\n"),
		Get(": b\r\n"),
		Get(" A: b\r\n"),
		Get("A: b\r\n c\r\n"),
		Get("A: b\r\n\tc\r\n"),
		Get("A B: c\r\n"),
		Get("A: b\x01\r\n"),
		Get("A: \x7f\r\n"),
		Get("A: b\0\r\n"s),
		Get("A(: b\r\n"),
		/* lengths */
		Post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
		Post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
		Post("Content-Length: 5, 5\r\n", "hello"),
		Post("Content-Length: -5\r\n", "hello"),
		Post("Content-Length: +5\r\n", "hello"),
		Post("Content-Length: 0x5\r\n", "hello"),
		Post("Content-Length: 5 5\r\n", "hello"),
		Post("Content-Length:\r\n", ""),
		Post("Content-Length: 9223372036854775808\r\n", ""),
		Post("Content-Length: 99999999999999999999999999\r\n", ""),
		Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		Post("Transfer-Encoding: identity\r\n", ""),
		Post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
		Post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
		Post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		/* chunks */
		Post("Transfer-Encoding: chunked\r\n", "\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "5\r\nhello\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "5;a\x01\r\nhello\r\n0\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "0\r\nA : b\r\n\r\n"),
		Post("Transfer-Encoding: chunked\r\n", "0\r\nX\r\n"),
	};

	for (const auto &bytes : rows) {
		const Outcome outcome = FeedAllWays(bytes);

		EXPECT_EQ(outcome.event, REQUEST_BAD) << bytes;
		EXPECT_EQ(outcome.status, 400u) << bytes;
	}
}

TEST(Request, RefusedAsTooLarge)
{
	std::string many;
	for (unsigned i = 0; i < kLimits.headers + 1; i++)
		many += "A: b\r\n";
	const struct {
		std::string bytes;
		unsigned status;
	} rows[] = {
		{"GET /" + std::string(kLimits.request_line, 'a'), 414},
		{"GET /" + std::string(kLimits.request_line, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		{std::string(100000, 'A'), 414},
		{Get(many), 431},
		{Get("A: " + std::string(kLimits.header_bytes, 'b') + "\r\n"), 431},
		{Get(std::string(kLimits.header_bytes, 'A')), 431},
		{Post("Content-Length: 1001\r\n", ""), 413},
		{Post("Content-Length: 999999999999999999\r\n", ""), 413},
		{Post("Transfer-Encoding: chunked\r\n", "3e9\r\n"), 413},
		{Post("Transfer-Encoding: chunked\r\n", "fffffffffffffff\r\n"), 413},
		{Post("Transfer-Encoding: chunked\r\n", "1;" + std::string(200000, 'a') + "\r\n"), 413},
		{Post("Transfer-Encoding: chunked\r\n", "0\r\n" + many + "\r\n"), 431},
		{"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
	};

	for (const auto &row : rows) {
		const Outcome outcome = Feed(row.bytes, 4096);

		EXPECT_EQ(outcome.event, REQUEST_BAD) << row.bytes.substr(0, 80);
		EXPECT_EQ(outcome.status, row.status) << row.bytes.substr(0, 80);
	}
}

TEST(Request, BodiesAreTakenToTheirEnd)
{
	const std::string body(1000, 'b');
	const std::string bytes = Post("Content-Length: 1000\r\nExpect: 100-continue\r\n", body);
	const Outcome outcome = FeedAllWays(bytes + "GET");

	EXPECT_EQ(outcome.event, REQUEST_DONE);
	EXPECT_EQ(outcome.used, bytes.size());
	EXPECT_TRUE(outcome.expects);
}

TEST(Request, OneObjectReadsManyRequests)
{
	struct request request;
	const std::string bytes = Get("A: b\r\n") + Post("Content-Length: 3\r\n", "abc") +
		Get("If-Modified-Since: then\r\n");
	size_t at = 0, used, done = 0;

	request_init(&request, &kLimits);
	while (at < bytes.size()) {
		const enum request_event event =
			request_feed(&request, bytes.data() + at, bytes.size() - at, &used);

		ASSERT_NE(event, REQUEST_BAD);
		at += used;
		if (event == REQUEST_DONE) {
			EXPECT_STREQ(request.if_modified_since, ++done == 3 ? "then" : "");
			request_start(&request);
		}
	}
	EXPECT_EQ(done, 3u);
	request_end(&request);
}

/* Bytes changed, dropped, doubled and inserted, by a seed: whatever comes of it is judged alike in
 * all its cuts, and ASan and UBSan look on. */
TEST(Request, MutantsAreJudgedAlikeHoweverCut)
{
	const std::string corpus[] = {
		Get("A: b\r\nConnection: close\r\nIf-Modified-Since: then\r\n"),
		Post("Content-Length: 12\r\nExpect: 100-continue\r\n", "hello, world"),
		Post("Transfer-Encoding: chunked\r\n",
			"5;a=b\r\nhello\r\n0c\r\nhello, world\r\n0\r\nT: 1\r\n\r\n"),
		"GET http://host:80/a/%20b?c=d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	};
	const std::string spice = "\r\n\t :;,0123456789aAfF+-%/?#\x7f\x80\0"s;
	std::mt19937 random(1);

	for (int i = 0; i < 20000; i++) {
		std::string bytes = corpus[random() % std::size(corpus)];
		for (unsigned edits = 1 + random() % 4; edits > 0; edits--) {
			const size_t at = random() % bytes.size();
			const char byte = random() % 4 ? spice[random() % spice.size()]
						       : static_cast<char>(random());

			switch (random() % 4) {
			case 0:
				bytes[at] = byte;
				break;
			case 1:
				bytes.insert(at, 1, byte);
				break;
			case 2:
				bytes.erase(at, 1 + random() % 3);
				break;
			default:
				bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 9));
			}
			if (bytes.empty())
				bytes = "x";
		}
		const Outcome whole = Feed(bytes, bytes.size());
		const Outcome cut = Feed(bytes, 1 + random() % 9);

		ASSERT_EQ(cut.event, whole.event) << bytes;
		if (whole.event == REQUEST_DONE) {
			ASSERT_EQ(cut.used, whole.used) << bytes;
			ASSERT_EQ(cut.status, whole.status) << bytes;
			ASSERT_EQ(cut.target, whole.target) << bytes;
		}
	}
}

} // namespace
