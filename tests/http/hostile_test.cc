/* SPDX-License-Identifier: MIT */
/* hostile_test.cc - weft-httpd against clients that mean no good: malformed, too large, too slow,
 * too many
 *
 * Law  each is answered with the status of its fault where it can still be told, then cut off; and
 *      the server goes on serving others. What each malformed request is answered with, in all its
 *      cuts, is request_test.cc's.
 */
#include <memory>

#include "tests/http/harness.h"

namespace
{

using namespace harness;
using namespace std::string_literals;

void ExpectServes(const Server &server)
{
	Client client(server.port());

	ASSERT_TRUE(client.Send(Get("/")));
	EXPECT_EQ(Status(client.ReadResponse()), 200);
}

TEST(Hostile, RefusedWithTheStatusOfItsFault)
{
	Server server({"--header-timeout", "30s"});
	std::string many;
	for (int i = 0; i < 101; i++)
		many += "A" + std::to_string(i) + ": b\r\n";
	const std::string chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	const struct {
		const char *name;
		std::string bytes;
		int status;
	} rows[] = {
		{"request line of 8 KiB", "GET /" + std::string(8300, 'a') + " HTTP/1.1\r\n\r\n", 414},
		{"endless request line", "GET /" + std::string(300000, 'a'), 414},
		{"101 headers", Get("/", many), 431},
		{"headers of 16 KiB", Get("/", "A: " + std::string(17000, 'a') + "\r\n"), 431},
		{"endless header", "GET / HTTP/1.1\r\nA: " + std::string(300000, 'a'), 431},
		{"body of 1 MiB", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413},
		{"chunked body of 1 MiB", chunked + "100001\r\n", 413},
		{"chunk size overflow", chunked + "fffffffffffffffff\r\n", 400},
		{"negative chunk size", chunked + "-1\r\n", 400},
		{"no CRLF behind a chunk", chunked + "1\r\naXX0\r\n\r\n", 400},
		{"length and chunked",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
			400},
		{"the same length twice",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
			400},
		{"negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		{"length overflow",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
		{"bare CR", Get("/", "A: b\rC: d\r\n"), 400},
		{"bare LF", "GET / HTTP/1.1\nHost: x\n\n", 400},
		{"fold", Get("/", "A: b\r\n c\r\n"), 400},
		{"space before the colon", Get("/", "A : b\r\n"), 400},
		{"NUL", Get("/", "A: b\0c\r\n"s), 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", Get("/", "Host: y\r\n"), 400},
		{"HTTP/0.9", "GET /\r\n\r\n", 400},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	};

	for (const auto &row : rows) {
		Client client(server.port());

		client.Send(row.bytes + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
		const std::string response = client.ReadResponse();
		EXPECT_EQ(Status(response), row.status) << row.name;
		EXPECT_TRUE(Has(response, "\r\nConnection: close\r\n")) << row.name << "\n"
									<< response;
		EXPECT_EQ(client.ReadAll(), "") << row.name << ": nothing behind it is answered";
	}
	ExpectServes(server);
}

TEST(Hostile, NothingOfARequestComesBackInAHeader)
{
	Server server;
	Client client(server.port());

	ASSERT_TRUE(client.Send(Get("/%0d%0aX-Injected:%20yes") + Get("/", "X-Echo: yes\r\n")));
	EXPECT_FALSE(Has(client.ReadResponse(), "Injected"));
	EXPECT_FALSE(Has(client.ReadResponse(), "Echo"));
}

TEST(Hostile, SlowHeadersAreCut)
{
	Server server({"--header-timeout", "300ms", "--idle-timeout", "30s"});
	Client client(server.port());
	const auto start = Clock::now();

	/* A byte now and then does not move the deadline. */
	for (const char byte : std::string("GET / HTTP/1.1\r\n")) {
		if (!client.Send(std::string(1, byte)))
			break;
		SleepMs(50);
	}
	EXPECT_EQ(Status(client.ReadResponse()), 408);
	EXPECT_TRUE(client.ReadsEnd());
	EXPECT_GE(MsSince(start), 300);
	ExpectServes(server);
	EXPECT_EQ(Counter(server.Stop(), "header timeouts"), 1);
}

TEST(Hostile, SlowBodiesAreCut)
{
	Server server({"--body-timeout", "300ms", "--idle-timeout", "30s"});
	Client client(server.port());

	ASSERT_TRUE(client.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"));
	EXPECT_EQ(Status(client.ReadResponse()), 408);
	EXPECT_TRUE(client.ReadsEnd());
	EXPECT_EQ(Counter(server.Stop(), "body timeouts"), 1);
}

TEST(Hostile, IdleConnectionsAreClosedSilently)
{
	Server server({"--idle-timeout", "2s"}); /* the request has to come within it */
	Client fresh(server.port()), used(server.port());

	ASSERT_TRUE(used.Send(Get("/")));
	EXPECT_EQ(Status(used.ReadResponse()), 200);
	EXPECT_TRUE(used.ReadsEnd());
	EXPECT_TRUE(fresh.ReadsEnd());
	EXPECT_EQ(Counter(server.Stop(), "idle timeouts"), 2);
}

TEST(Hostile, ClientsThatNeverReadAreCut)
{
	Folder root;

	root.Write("big", std::string(20000000, 'x')); /* more than socket buffers hold */
	Server server({"--root", root.path(), "--write-timeout", "1s"});
	Client client(server.port());
	const int small = 4096;

	setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ASSERT_TRUE(client.Send(Get("/big") + Get("/big")));
	SleepMs(2000);
	ExpectServes(server);
	EXPECT_EQ(Counter(server.Stop(), "write timeouts"), 1);
}

TEST(Hostile, PipeliningWithoutReadingIsBounded)
{
	Server server({"--write-timeout", "1s", "--text", std::string(2000, 't')});
	Client client(server.port());
	const struct timeval patience = {20, 0}; /* the server ends it before */
	std::string requests;
	size_t sent = 0;

	setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < 100; i++)
		requests += Get("/");
	/* The server stops reading when its answers are not taken, so sending stops too. */
	while (sent < (size_t(64) << 20) && client.Send(requests))
		sent += requests.size();
	EXPECT_LT(sent, size_t(64) << 20);
	/* Stopped by the cut, and not by a server that had no time to read. */
	struct pollfd cut = {client.fd(), 0, 0};
	EXPECT_EQ(poll(&cut, 1, kPatienceMs), 1);
	ExpectServes(server);
	EXPECT_EQ(Counter(server.Stop(), "write timeouts"), 1);
}

TEST(Hostile, ClientsThatVanish)
{
	Server server;
	const struct linger reset = {1, 0};

	for (const std::string &bytes : {std::string(), std::string("GET / HT"), Get("/"),
		     Get("/") + Get("/") + "GET",
		     std::string("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")}) {
		for (int i = 0; i < 10; i++) {
			Client client(server.port());

			client.Send(bytes);
			if (i % 2)
				setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		}
	}
	ExpectServes(server);
	const std::string out = server.Stop();
	EXPECT_EQ(Counter(out, "connections"), 51) << out;
}

TEST(Hostile, HalfClosedClientsGetTheirAnswer)
{
	Server server;
	Client client(server.port());

	ASSERT_TRUE(client.Send(Get("/") + Get("/text")));
	ASSERT_EQ(shutdown(client.fd(), SHUT_WR), 0);
	EXPECT_EQ(Status(client.ReadResponse()), 200);
	EXPECT_EQ(Status(client.ReadResponse()), 200);
	EXPECT_TRUE(client.ReadsEnd());
}

} // namespace
