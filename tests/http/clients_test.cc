/* SPDX-License-Identifier: MIT */
/* clients_test.cc - other people's clients are satisfied with weft-httpd, and weft-load with other
 * people's server
 *
 * Skips, with the reason, what is not installed (tools/setup installs it).
 */
#include "tests/http/harness.h"

namespace
{

using namespace harness;

constexpr int kRequests = kSanitized ? 500 : 5000;

/* The program's path; skips the test where it is missing. */
#define WANT(variable, name)                                                                       \
	const std::string variable = Installed(name);                                              \
	if (variable.empty())                                                                      \
	GTEST_SKIP() << name << " is not installed"

TEST(Clients, Wrk)
{
	WANT(wrk, "wrk");
	Server server;
	const Result result = Execute({wrk, "-t", "1", "-c", "20", "-d", "1s", server.Url()});

	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_TRUE(Has(result.out, "requests in")) << result.out;
	EXPECT_FALSE(Has(result.out, "Socket errors")) << result.out;
	EXPECT_FALSE(Has(result.out, "Non-2xx")) << result.out;
}

void CheckAb(const std::string &ab, const Server &server, const std::vector<std::string> &options)
{
	std::vector<std::string> args = {ab, "-q", "-c", "10", "-n", std::to_string(kRequests)};

	args.insert(args.end(), options.begin(), options.end());
	args.push_back(server.Url());
	const Result result = Execute(args);
	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_EQ(Counter(result.out, "Complete requests:"), kRequests) << result.out;
	EXPECT_TRUE(Has(result.out, "Failed requests:        0")) << result.out;
	EXPECT_FALSE(Has(result.out, "Non-2xx")) << result.out;
}

TEST(Clients, Ab)
{
	WANT(ab, "ab");
	Server server;

	CheckAb(ab, server, {});
	CheckAb(ab, server, {"-k"});
}

TEST(Clients, H2load)
{
	WANT(h2load, "h2load");
	Server server;
	const Result result = Execute({h2load, "--h1", "-c", "10", "-m", "8", "-n",
		std::to_string(kRequests), server.Url()});

	EXPECT_EQ(result.status, 0) << result.err;
	EXPECT_TRUE(Has(result.out, std::to_string(kRequests) + " succeeded, 0 failed, 0 errored, 0 timeout"))
		<< result.out;
}

TEST(Clients, Curl)
{
	WANT(curl, "curl");
	Folder root;
	const std::string page(100000, 'p');

	root.Write("page", page);
	Server server({"--root", root.path()});
	const Result files = Execute(
		{curl, "-sS", "-o", root.File("got#1"), server.Url("/pag[e-e]"), server.Url("/page")});
	EXPECT_EQ(files.status, 0) << files.err;
	EXPECT_EQ(root.Read("gote"), page);
	EXPECT_EQ(files.out, page);
	EXPECT_EQ(Execute({curl, "-sS", "--http1.0", server.Url("/text")}).out, "Hello, World!\n");
	EXPECT_TRUE(Has(Execute({curl, "-sS", "-i", "-T", root.File("page"), server.Url()}).out, "405"));
}

TEST(Clients, LoadIsSatisfiedWithNginx)
{
	WANT(nginx, "nginx");
	Folder folder;
	int port = 0;

	/* A free port, as far as one can know; nginx cannot choose one itself. */
	{
		struct sockaddr_in address = {};
		socklen_t len = sizeof(address);
		const int fd = socket(AF_INET, SOCK_STREAM, 0);

		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		ASSERT_EQ(bind(fd, reinterpret_cast<struct sockaddr *>(&address), len), 0);
		getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &len);
		port = ntohs(address.sin_port);
		close(fd);
	}
	folder.Write("index.html", "nginx\n");
	folder.Write("conf",
		"daemon off; master_process off; pid " + folder.File("pid") +
			"; error_log stderr;\n"
			"events { worker_connections 512; }\n"
			"http { access_log off; root " +
			folder.path() + "; client_body_temp_path " + folder.File("1") +
			"; proxy_temp_path " + folder.File("2") + "; fastcgi_temp_path " +
			folder.File("3") + "; uwsgi_temp_path " + folder.File("4") +
			"; scgi_temp_path " + folder.File("5") +
			";\nserver { listen 127.0.0.1:" + std::to_string(port) + "; } }\n");
	Program server({nginx, "-p", folder.path(), "-c", folder.File("conf")});
	const std::string url = "http://127.0.0.1:" + std::to_string(port) + "/";
	const auto start = Clock::now();
	while (Execute({Load(), "-q", "-c", "1", "-n", "1", url}).status != 0 && MsSince(start) < kPatienceMs)
		SleepMs(50);

	/* nginx ends a connection after 1000 requests: the pipelines meet that, too. */
	for (const std::vector<std::string> &row : std::vector<std::vector<std::string>>{{"-c", "4"},
		     {"-c", "4", "-p", "16"}, {"-c", "4", "--no-keepalive"}, {"-c", "16", "-f", "3"}}) {
		std::vector<std::string> args = {Load(), "-q", "--workers", "2", "--expect",
			"nginx\n", "-n", std::to_string(kRequests)};
		args.insert(args.end(), row.begin(), row.end());
		args.push_back(url);
		const Result result = Execute(args);

		EXPECT_EQ(result.status, 0) << result.out << result.err << server.Err();
		EXPECT_TRUE(Has(result.out, std::to_string(kRequests) + " answered as wanted, 0 errors"))
			<< result.out;
	}
	server.Signal(SIGTERM);
	EXPECT_EQ(server.Wait(), 0);
}

} // namespace
