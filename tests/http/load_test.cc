/* SPDX-License-Identifier: MIT */
/* load_test.cc - weft-load as its user knows it: what it counts, what it calls an error, when it
 * ends
 *
 * Law  every request is counted once, done or failed with its kind; errors make the exit status 1;
 *      and no server, however it misbehaves, makes the run longer than its duration and one
 *      timeout.
 */
#include <functional>

#include "tests/http/harness.h"

namespace
{

using namespace harness;

/* The number behind "key": in a report as JSON. */
double Number(const std::string &json, const std::string &key)
{
	const size_t at = json.find("\"" + key + "\": ");

	EXPECT_NE(at, std::string::npos) << key << " is missing in\n" << json;
	return at == std::string::npos ? -1 : atof(json.c_str() + at + key.size() + 4);
}

Result LoadJson(std::vector<std::string> args)
{
	args.insert(args.begin(), {Load(), "--json", "-", "-q", "--workers", "2"});
	return Execute(args);
}

/* A server for one kind of misbehaviour: hands each accepted connection to a function. */
class Misbehaving
{
public:
	explicit Misbehaving(std::function<void(int)> serve)
	{
		struct sockaddr_in address = {};
		socklen_t len = sizeof(address);

		fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT_EQ(bind(fd_, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)), 0);
		EXPECT_EQ(listen(fd_, 64), 0);
		getsockname(fd_, reinterpret_cast<struct sockaddr *>(&address), &len);
		port_ = ntohs(address.sin_port);
		thread_ = std::thread([this, serve] {
			for (;;) {
				const int fd = accept(fd_, nullptr, nullptr);

				if (fd < 0)
					return;
				serve(fd);
				close(fd);
			}
		});
	}
	~Misbehaving()
	{
		shutdown(fd_, SHUT_RDWR);
		thread_.join();
		close(fd_);
	}
	Misbehaving(const Misbehaving &) = delete;
	Misbehaving &operator=(const Misbehaving &) = delete;
	std::string Url() const
	{
		return "http://127.0.0.1:" + std::to_string(port_) + "/";
	}

private:
	int fd_, port_;
	std::thread thread_;
};

/* Answers the first request with these bytes and closes. */
std::function<void(int)> Answer(const std::string &bytes)
{
	return [bytes](int fd) {
		char request[4096];

		if (recv(fd, request, sizeof(request), 0) > 0)
			send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
	};
}

TEST(Load, CountsEveryRequest)
{
	Server server;
	const struct {
		std::vector<std::string> args;
		int requests, connects;
	} rows[] = {
		{{"-c", "8", "-n", "1000"}, 1000, 8},
		{{"-c", "8", "-f", "2", "-n", "1000"}, 1000, 8},
		{{"-c", "4", "-p", "16", "-n", "1001"}, 1001, 4},
		{{"-c", "4", "-n", "200", "--no-keepalive"}, 200, 200},
		{{"-c", "4", "-n", "300", "-r", "1000"}, 300, 4},
		{{"-c", "4", "-n", "300", "-m", "HEAD"}, 300, 4},
		{{"-c", "4", "-n", "300", "--expect", "Hello, World!\n", "-H", "A: b"}, 300, 4},
	};
	long total = 0;

	for (const auto &row : rows) {
		std::vector<std::string> args = row.args;
		args.push_back(server.Url());
		const Result result = LoadJson(args);

		EXPECT_EQ(result.status, 0) << result.err;
		EXPECT_EQ(Number(result.out, "requests"), row.requests) << result.err;
		EXPECT_EQ(Number(result.out, "count"), row.requests);
		EXPECT_EQ(Number(result.out, "connects"), row.connects);
		EXPECT_EQ(Number(result.out, "errors"), 0);
		total += row.requests;
	}
	EXPECT_EQ(Counter(server.Stop(), "requests"), total);
}

TEST(Load, ReportsForPeopleAndPrograms)
{
	Server server;
	Folder folder;
	const Result result = Execute(
		{Load(), "-c", "4", "-d", "2.5s", "--json", folder.File("report"), server.Url()});
	const std::string json = folder.Read("report");

	EXPECT_EQ(result.status, 0) << result.err;
	for (const char *part : {"requests/s", "p99.99", "histogram", "us per request", "closed loop"})
		EXPECT_TRUE(Has(result.out, part)) << part << "\n" << result.out;
	EXPECT_TRUE(Has(result.err, "1 s ")) << "progress: " << result.err;
	EXPECT_GT(Number(json, "elapsed_s"), 2.4);
	EXPECT_GT(Number(json, "requests_per_s"), 0);
	EXPECT_LE(Number(json, "min"), Number(json, "p50"));
	EXPECT_LE(Number(json, "p50"), Number(json, "p99"));
	EXPECT_LE(Number(json, "p99"), Number(json, "p9999"));
	EXPECT_LE(Number(json, "p9999"), Number(json, "max"));
	if (!Installed("python3").empty()) {
		EXPECT_EQ(Execute({Installed("python3"), "-m", "json.tool", folder.File("report")}).status,
			0);
	}
}

TEST(Load, CallsErrorsByTheirKind)
{
	const std::string ok = "HTTP/1.1 200 OK\r\n";
	const struct {
		const char *kind;
		std::function<void(int)> serve;
		std::vector<std::string> args;
	} rows[] = {
		{"status", Answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
			{}},
		{"body", Answer(ok + "Content-Length: 10\r\n\r\nshort"), {}},
		{"body", Answer(ok + "Content-Length: 2\r\n\r\nlonger"), {}},
		{"body", Answer(ok + "Content-Length: 2\r\n\r\nno"), {"--expect", "ok"}},
		{"body", Answer(ok + "\r\n" + std::string(5000, 'x')), {"--max-body", "1k"}},
		{"parse", Answer("nonsense\r\n\r\n"), {}},
		{"parse", Answer(ok + "Content-Length: -1\r\n\r\n"), {}},
		{"eof", Answer(""), {}},
		{"eof", Answer("HTTP/1.1 2"), {}},
		{"reset",
			[](int fd) {
				const struct linger reset = {1, 0};
				char request[4096];

				if (recv(fd, request, sizeof(request), 0) > 0)
					setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			},
			{}},
	};

	for (const auto &row : rows) {
		Misbehaving server(row.serve);
		std::vector<std::string> args = row.args;
		args.insert(args.end(), {"-c", "1", "-n", "3", server.Url()});
		const Result result = LoadJson(args);

		EXPECT_EQ(result.status, 1);
		EXPECT_EQ(Number(result.out, "requests") + Number(result.out, "errors"), 3)
			<< result.out;
		EXPECT_EQ(Number(result.out, row.kind), 3) << result.out;
		EXPECT_TRUE(Has(result.err, std::string("ERRORS: 3 of 3 requests failed: ") + row.kind))
			<< result.err;
	}
}

TEST(Load, ASilentServerCannotHoldIt)
{
	const auto silent = [](int fd) {
		char request[4096];

		while (recv(fd, request, sizeof(request), 0) > 0)
			;
	};
	Misbehaving server(silent);
	const auto start = Clock::now();
	/* There is time for the first request to begin, and none for a second behind its timeout. */
	const Result result = LoadJson({"-c", "1", "-d", "1s", "-t", "2s", server.Url()});

	EXPECT_EQ(result.status, 1);
	EXPECT_EQ(Number(result.out, "timeout"), 1) << result.out;
	EXPECT_LT(MsSince(start), kPatienceMs / 2);
}

TEST(Load, AnEndlessResponseCannotHoldIt)
{
	const auto drip = [](int fd) {
		const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
				  chunk = "1\r\nx\r\n";
		char request[4096];
		ssize_t sent = recv(fd, request, sizeof(request), 0);

		if (sent > 0)
			sent = send(fd, head.data(), head.size(), MSG_NOSIGNAL);
		while (sent > 0) {
			SleepMs(10);
			sent = send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL);
		}
	};
	Misbehaving server(drip);
	const Result result = LoadJson({"-c", "1", "-n", "1", "-t", "2s", server.Url()});

	EXPECT_EQ(result.status, 1);
	EXPECT_EQ(Number(result.out, "timeout"), 1) << result.out;
}

TEST(Load, AnnouncedClosesAreNoErrors)
{
	/* Every answer is the last of its connection, also in the middle of a pipeline. */
	Misbehaving server(Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
	const Result result =
		LoadJson({"-c", "2", "-n", "20", "-p", "4", "--expect", "ok", server.Url()});

	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_EQ(Number(result.out, "requests"), 20);
}

TEST(Load, AStallIsChargedToEveryRequestThatWasDue)
{
	/* Open loop: the server sleeps 400 ms once. The requests due meanwhile wait, and their
	 * latency says so. */
	const auto stall = [stalled = false](int fd) mutable {
		const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
		char request[4096];

		for (int i = 0; recv(fd, request, sizeof(request), 0) > 0; i++) {
			if (i == 10 && !std::exchange(stalled, true))
				SleepMs(400);
			send(fd, ok.data(), ok.size(), MSG_NOSIGNAL);
		}
	};
	Misbehaving server(stall);
	const Result result = LoadJson({"-c", "1", "-n", "100", "-r", "100", server.Url()});

	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_EQ(Number(result.out, "requests"), 100);
	EXPECT_GE(Number(result.out, "max"), 390e6);
	/* 40 of 100 were due in the stall: a quarter of all waited for more than 100 ms. */
	EXPECT_GE(Number(result.out, "p90"), 100e6) << result.err;
	EXPECT_GE(Number(result.out, "late"), 25) << result.err;
}

TEST(Load, SaysWhatItCouldNotSend)
{
	const auto slow = [](int fd) {
		const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
		char request[4096];

		while (recv(fd, request, sizeof(request), 0) > 0) {
			SleepMs(20);
			send(fd, ok.data(), ok.size(), MSG_NOSIGNAL);
		}
	};
	Misbehaving server(slow);
	const Result result = LoadJson({"-c", "1", "-d", "2s", "-r", "1000", server.Url()});

	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_EQ(Number(result.out, "requests") + Number(result.out, "unsent"), 2000) << result.out;
	EXPECT_TRUE(Has(result.err, "FELL BEHIND")) << result.err;
}

TEST(Load, ASignalEndsItWithItsReport)
{
	Server server;
	Program load({Load(), "-c", "4", "-d", "60s", "--workers", "2", server.Url()});

	EXPECT_TRUE(Eventually([&] { return Has(load.Err(), "1 s "); })) << "its progress";
	load.Signal(SIGINT);
	EXPECT_EQ(load.Wait(), 0) << load.Err();
	EXPECT_TRUE(Has(load.Out(), "(interrupted)")) << load.Out();
	EXPECT_TRUE(Has(load.Out(), "requests/s")) << load.Out();
}

TEST(Load, EchoesBytes)
{
	Program echo({Load(), "--echo-server", "127.0.0.1:0", "--workers", "2"});
	const std::string address = "127.0.0.1:" + std::to_string(echo.Port());

	for (const std::vector<std::string> &row :
		std::vector<std::vector<std::string>>{{"--echo", "64", "-n", "1000"},
			{"--echo", "100k", "-n", "20"}, {"--echo", "100", "-p", "8", "-n", "1000"},
			{"--echo", "1", "-n", "50", "--no-keepalive"},
			{"--echo", "64", "-n", "200", "-r", "1000"}}) {
		std::vector<std::string> args = row;
		args.insert(args.end(), {"-c", "4", address});
		const Result result = LoadJson(args);

		EXPECT_EQ(result.status, 0) << row[1] << "\n" << result.err;
		EXPECT_EQ(Number(result.out, "requests"), atof(row[row[2] == "-n" ? 3 : 5].c_str()));
		EXPECT_EQ(Number(result.out, "bytes_in"), Number(result.out, "bytes_out"));
	}
	echo.Signal(SIGTERM);
	EXPECT_EQ(echo.Wait(), 0);
}

TEST(Load, AWrongEchoIsAnError)
{
	Misbehaving server([](int fd) {
		char bytes[64];

		while (recv(fd, bytes, sizeof(bytes), MSG_WAITALL) > 0) {
			bytes[63] ^= 1;
			send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		}
	});
	std::string address = server.Url().substr(7);
	address.pop_back();
	const Result result = LoadJson({"--echo", "64", "-c", "1", "-n", "2", address});

	EXPECT_EQ(result.status, 1);
	EXPECT_EQ(Number(result.out, "body"), 2) << result.out;
}

TEST(Load, Refusals)
{
	EXPECT_EQ(Execute({Load()}).status, 2);
	EXPECT_EQ(Execute({Load(), "nonsense"}).status, 2);
	const Result foreign = Execute({Load(), "http://192.0.2.1/"});
	EXPECT_EQ(foreign.status, 2);
	EXPECT_TRUE(Has(foreign.err, "--i-own-this")) << foreign.err;
	const Result nobody = Execute({Load(), "http://127.0.0.1:1/"});
	EXPECT_EQ(nobody.status, 1);
	EXPECT_TRUE(Has(nobody.err, "Connection refused")) << nobody.err;
	EXPECT_EQ(Execute({Load(), "--help"}).status, 0);
}

} // namespace
