/* SPDX-License-Identifier: MIT */
/* net_test.cc - addresses, listening, dialling, accepting, connecting
 *
 * Law  a malformed address is -EINVAL before anything is opened; a good one listens, and dials what
 *      listens there; a name's addresses are all tried.
 * Law  accept without a descriptor left is -EMFILE each time, and loses no connection.
 * Law  what fails leaves no descriptor open; what succeeds is close-on-exec.
 */
#include "tests/io/support.h"

#include <atomic>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/un.h>

using namespace io_test;

namespace
{

class Net : public Rings
{
};
IN_EVERY_SETUP(Net);

std::string with_port(const std::string &host, int listener)
{
	return host + ":" + std::to_string(weft_local_port(listener));
}

/* One byte each way. */
void expect_connected(int one, int other)
{
	char byte = 0;
	EXPECT_EQ(1, weft_send(one, "a", 1, 0));
	EXPECT_EQ(1, weft_recv(other, &byte, 1, 0));
	EXPECT_EQ('a', byte);
	EXPECT_EQ(1, weft_send(other, "b", 1, 0));
	EXPECT_EQ(1, weft_recv(one, &byte, 1, 0));
	EXPECT_EQ('b', byte);
}

void listen_and_dial(const std::string &listen_at, const std::string &dial_host)
{
	int listener = weft_listen(listen_at.c_str());
	ASSERT_GE(listener, 0) << listen_at;
	EXPECT_NE(0, fcntl(listener, F_GETFD) & FD_CLOEXEC);
	int on = 0;
	socklen_t size = sizeof(on);
	std::string where = dial_host;
	if (listen_at.compare(0, 5, "unix:") != 0) {
		EXPECT_EQ(0, getsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, &size));
		EXPECT_NE(0, on);
		EXPECT_GT(weft_local_port(listener), 0);
		where = with_port(dial_host, listener);
	}
	int out = weft_dial(where.c_str());
	ASSERT_GE(out, 0) << where << ": " << strerror(-out);
	EXPECT_NE(0, fcntl(out, F_GETFD) & FD_CLOEXEC);
	int in = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
	ASSERT_GE(in, 0);
	expect_connected(out, in);
	EXPECT_EQ(0, weft_close(in));
	EXPECT_EQ(0, weft_close(out));
	EXPECT_EQ(0, weft_close(listener));
}

TEST_P(Net, GoodAddressesListenAndAreDialled)
{
	run([] {
		listen_and_dial("127.0.0.1:0", "127.0.0.1");
		listen_and_dial("0.0.0.0:0", "127.0.0.1");
		listen_and_dial("localhost:0", "localhost");
		listen_and_dial("127.0.0.1:0", "localhost");
		if (have_ipv6()) {
			listen_and_dial("[::1]:0", "[::1]");
			listen_and_dial("[::]:0", "[::1]");
		}
		std::string path = scratch_path("net");
		listen_and_dial("unix:" + path, "unix:" + path);
		EXPECT_EQ(0, unlink(path.c_str())) << "closing leaves the path";
	});
}

TEST_P(Net, MalformedAddressesAreRefused)
{
	run([] {
		int open_before = count_open();
		std::vector<std::string> bad = {"", ":", ":80", "127.0.0.1",
			"127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999999999999999999",
			"127.0.0.1:-1", "127.0.0.1:+80", "127.0.0.1: 80", "127.0.0.1:80 ",
			"127.0.0.1:80x", "127.0.0.1:0x50", "127.0.0.1:http", "::1:80", "::1",
			"[::1]", "[::1]80", "[::1]:", "[::1:80", "::1]:80", "[]:80", "[::1]]:80",
			"[[::1]:80", "[127.0.0.1]:80", "[localhost]:80", "[::1]:65536", "a b:80",
			"host/path:80", "tcp://127.0.0.1:80",
			"unix:", "unix:" + std::string(200, 'p'), std::string(300, 'h') + ":80"};
		for (const std::string &address : bad) {
			EXPECT_EQ(-EINVAL, weft_listen(address.c_str())) << address;
			EXPECT_EQ(-EINVAL, weft_dial(address.c_str())) << address;
		}
		EXPECT_EQ(-EINVAL, weft_listen(nullptr));
		EXPECT_EQ(-EINVAL, weft_dial(nullptr));
		EXPECT_EQ(open_before, count_open());
	});
}

TEST_P(Net, LongestUnixPathFits)
{
	run([] {
		std::string path = scratch_path("u");
		path.resize(sizeof(sockaddr_un::sun_path) - 1, 'u');
		listen_and_dial("unix:" + path, "unix:" + path);
		unlink(path.c_str());
		EXPECT_EQ(-EINVAL, weft_listen(("unix:" + path + "u").c_str()));
	});
}

/* The resolver may be out of reach here: it must say so, in its own time, and block nobody. */
TEST(NetNames, UnknownNameIsAnError)
{
	run(config_of({WEFT_RING_DEFER, 1}), [] {
		std::atomic<int> ticks{0};
		std::atomic<bool> over{false};
		Fiber ticker([&] {
			while (!over) {
				weft_sleep(WEFT_MS);
				ticks++;
			}
		});
		int error = weft_dial("no-such-host.invalid:80");
		EXPECT_TRUE(error == -ENOENT || error == -EAGAIN) << error;
		weft_deadline(weft_now() - 1);
		EXPECT_EQ(-ETIMEDOUT, weft_dial("no-such-host.invalid:80"));
		weft_deadline(WEFT_FOREVER);
		over = true;
	});
}

TEST_P(Net, AddressInUse)
{
	run([] {
		int first = weft_listen("127.0.0.1:0");
		ASSERT_GE(first, 0);
		int open_before = count_open();
		EXPECT_EQ(-EADDRINUSE, weft_listen(with_port("127.0.0.1", first).c_str()));
		std::string path = scratch_path("in-use");
		int unix_first = weft_listen(("unix:" + path).c_str());
		ASSERT_GE(unix_first, 0);
		EXPECT_EQ(-EADDRINUSE, weft_listen(("unix:" + path).c_str()));
		EXPECT_EQ(0, weft_close(unix_first));
		EXPECT_EQ(-EADDRINUSE, weft_listen(("unix:" + path).c_str())) << "the path is there";
		unlink(path.c_str());
		EXPECT_EQ(open_before, count_open());
		EXPECT_EQ(0, weft_close(first));
	});
}

TEST_P(Net, RefusedDialLeavesNothingOpen)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		std::string where = with_port("127.0.0.1", listener);
		std::string by_name = with_port("localhost", listener);
		EXPECT_EQ(0, weft_close(listener));
		int open_before = count_open();
		EXPECT_EQ(-ECONNREFUSED, weft_dial(where.c_str()));
		EXPECT_EQ(-ECONNREFUSED, weft_dial(by_name.c_str()));
		EXPECT_EQ(-ENOENT, weft_dial(("unix:" + scratch_path("nobody")).c_str()));
		EXPECT_EQ(open_before, count_open());
	});
}

/* When the resolver gives several addresses, the last one that listens is still found. */
TEST_P(Net, DialTriesEveryAddressOfAName)
{
	addrinfo hints{}, *list = nullptr;
	hints.ai_socktype = SOCK_STREAM;
	bool v4 = false, v6 = false;
	if (getaddrinfo("localhost", nullptr, &hints, &list) == 0)
		for (addrinfo *at = list; at != nullptr; at = at->ai_next)
			(at->ai_family == AF_INET6 ? v6 : v4) = true;
	if (list != nullptr)
		freeaddrinfo(list);
	if (!v4 || !v6)
		GTEST_SKIP() << "localhost is not both an IPv4 and an IPv6 address here";
	run([] {
		listen_and_dial("127.0.0.1:0", "localhost");
		listen_and_dial("[::1]:0", "localhost");
	});
}

TEST_P(Net, AcceptTellsThePeerAndHonoursFlags)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		int out = weft_dial(with_port("127.0.0.1", listener).c_str());
		ASSERT_GE(out, 0);
		sockaddr_in peer{};
		socklen_t size = sizeof(peer);
		int in = weft_accept(listener, reinterpret_cast<sockaddr *>(&peer), &size,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		ASSERT_GE(in, 0);
		EXPECT_EQ(sizeof(peer), size);
		EXPECT_EQ(AF_INET, peer.sin_family);
		EXPECT_EQ(weft_local_port(out), ntohs(peer.sin_port));
		EXPECT_NE(0, fcntl(in, F_GETFL) & O_NONBLOCK);
		EXPECT_NE(0, fcntl(in, F_GETFD) & FD_CLOEXEC);
		expect_connected(out, in);
		EXPECT_EQ(0, weft_close(in));
		EXPECT_EQ(0, weft_close(out));

		out = weft_dial(with_port("127.0.0.1", listener).c_str());
		in = weft_accept(listener, nullptr, nullptr, 0);
		ASSERT_GE(in, 0);
		EXPECT_EQ(0, fcntl(in, F_GETFL) & O_NONBLOCK);
		EXPECT_EQ(0, fcntl(in, F_GETFD) & FD_CLOEXEC);
		EXPECT_EQ(0, weft_close(in));
		EXPECT_EQ(0, weft_close(out));
		EXPECT_EQ(0, weft_close(listener));
	});
}

TEST_P(Net, ConnectOfANonblockingSocketParks)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		sockaddr_in address{};
		socklen_t size = sizeof(address);
		auto *generic = reinterpret_cast<sockaddr *>(&address);
		ASSERT_EQ(0, getsockname(listener, generic, &size));
		int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		EXPECT_EQ(0, weft_connect(out, generic, size));
		EXPECT_EQ(-EISCONN, weft_connect(out, generic, size));
		int in = weft_accept(listener, nullptr, nullptr, SOCK_NONBLOCK);
		ASSERT_GE(in, 0);
		expect_connected(out, in);
		EXPECT_EQ(0, weft_close(in));
		EXPECT_EQ(0, weft_close(out));
		EXPECT_EQ(0, weft_close(listener));
		for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
			out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
			EXPECT_EQ(-ECONNREFUSED, weft_connect(out, generic, size));
			EXPECT_EQ(0, weft_close(out));
		}
	});
}

TEST_P(Net, ManyAcceptorsShareAListener)
{
	run([] {
		constexpr int ACCEPTORS = 16, CALLS = rounds(400, 100);
		std::string path = scratch_path("shared");
		int listener = lifted(weft_listen(("unix:" + path).c_str()));
		ASSERT_GE(listener, 0);
		std::atomic<int> accepted{0};
		Fibers acceptors, callers;
		for (int i = 0; i < ACCEPTORS; i++)
			spawn_into(acceptors, [&] {
				int fd;
				while ((fd = weft_accept(listener, nullptr, nullptr, 0)) >= 0) {
					accepted++;
					EXPECT_EQ(1, weft_send(fd, "x", 1, 0));
					EXPECT_EQ(0, weft_close(fd));
				}
				EXPECT_TRUE(fd == -ECANCELED || fd == -EBADF) << fd;
			});
		for (int i = 0; i < CALLS; i++)
			spawn_into(callers, [&] {
				char byte;
				int fd = weft_dial(("unix:" + path).c_str());
				EXPECT_GE(fd, 0);
				EXPECT_EQ(1, weft_recv(fd, &byte, 1, 0));
				EXPECT_EQ(0, weft_close(fd));
			});
		callers.clear();
		EXPECT_EQ(0, weft_close(listener));
		acceptors.clear();
		EXPECT_EQ(CALLS, accepted);
		unlink(path.c_str());
	});
}

TEST_P(Net, AcceptWithoutDescriptorsFailsEachTimeAndLosesNoConnection)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		std::string where = with_port("127.0.0.1", listener);
		int outs[3];
		for (int &out : outs)
			ASSERT_GE(out = weft_dial(where.c_str()), 0);
		{
			FewDescriptors none(0);
			for (int i = 0; i < 10; i++)
				EXPECT_EQ(-EMFILE, weft_accept(listener, nullptr, nullptr, 0));
			EXPECT_EQ(-EMFILE, weft_openat(AT_FDCWD, "/", O_RDONLY, 0));
			EXPECT_EQ(-EMFILE, weft_dial(where.c_str()));
			EXPECT_EQ(-EMFILE, weft_listen("127.0.0.1:0"));
		}
		for (int out : outs) {
			int in = weft_accept(listener, nullptr, nullptr, 0);
			ASSERT_GE(in, 0) << "still in the queue";
			expect_connected(out, in);
			EXPECT_EQ(0, weft_close(in));
			EXPECT_EQ(0, weft_close(out));
		}
		EXPECT_EQ(0, weft_close(listener));
	});
}

} // namespace
