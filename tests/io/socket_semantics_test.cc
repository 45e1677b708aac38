/* SPDX-License-Identifier: MIT */
/* socket_semantics_test.cc - streams: flags, half-close, resets, limits, and what one connection must not do to the others
 *
 * Laws     SO1 each call says what the system call says, for good and bad arguments, on IPv4, IPv6 and Unix sockets.
 *          SO2 MSG_PEEK leaves, MSG_WAITALL waits, both together show all of it once; O_NONBLOCK makes no difference, MSG_DONTWAIT is honoured;
 *              SO_RCVTIMEO and SO_SNDTIMEO are left as they are.
 *          SO3 after a half-close the other half works; after a reset both ends say so, and no signal comes.
 *          SO4 weft_poll waits for what was asked, no less.
 */
#include <atomic>

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Sockets : public Rings
{
};
IN_EVERY_SETUP(Sockets);

/* FIONREAD: to be read; SIOCOUTQ: not taken by the other side's kernel yet (of a Unix socket: not
 * read there); SIOCOUTQNSD: of these, not even sent. */
int bytes(int fd, unsigned long which)
{
	int count = -1;
	EXPECT_EQ(0, ioctl(fd, which, &count));
	return count;
}

/* Sends until it is full. Has it taken any? */
bool fill_socket(int fd)
{
	std::vector<char> big(1 << 20);
	bool some = false;
	while (send(fd, big.data(), big.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		some = true;
	return some;
}

/* Is nothing on its way to the other side? */
bool has_settled(int fd, Link link)
{
	return link == Link::UNIX || bytes(fd, SIOCOUTQ) == bytes(fd, SIOCOUTQNSD);
}

TEST_P(Sockets, ReceivingSaysWhatTheSystemCallSays)
{
	run([] {
		for (Link link : EVERY_SOCKET)
			compare([link](auto calls, Script &say) {
				Pair pair = connect_pair(link);
				char buf[64] = {};
				auto receive = [&](const char *what, size_t len, int flags) {
					memset(buf, 0, sizeof(buf));
					say(what, calls.recv(pair.in, buf, len, flags));
					say("is", std::string(buf));
				};
				auto put = [&](const char *text) {
					EXPECT_EQ(static_cast<ssize_t>(strlen(text)),
						send(pair.out, text, strlen(text), 0));
					int waiting = 0; /* TCP over the loopback arrives at once, but not in the same instant */
					while (ioctl(pair.in, FIONREAD, &waiting) == 0 && waiting == 0)
						;
				};
				put("hello");
				receive("part", 2, 0);
				receive("peek", 2, MSG_PEEK);
				receive("peek all", 64, MSG_PEEK | MSG_DONTWAIT);
				receive("rest", 64, 0);
				receive("not now", 64, MSG_DONTWAIT);
				receive("not now, all", 64, MSG_DONTWAIT | MSG_WAITALL);
				receive("not now, peek", 64, MSG_DONTWAIT | MSG_PEEK);
				put("abcdef");
				receive("all there", 6, MSG_WAITALL);
				put("abcdef");
				receive("all there, peek", 6, MSG_WAITALL | MSG_PEEK);
				receive("all there, part", 3, MSG_WAITALL);
				receive("no error", 64, MSG_ERRQUEUE);
				receive("unknown flags", 3, 0x10000000 | MSG_DONTWAIT);
				put("xyz");
				receive("nothing", 0, MSG_DONTWAIT);
				receive("cut", 2, MSG_TRUNC);
				receive("left", 64, MSG_DONTWAIT);
				put("m");
				say("nowhere", calls.recv(pair.in, reinterpret_cast<void *>(1), 8, 0));
				receive("is it lost", 64, MSG_DONTWAIT);
				say("out of band", calls.recv(pair.in, buf, 8, MSG_OOB));
				shutdown(pair.out, SHUT_WR);
				receive("end", 64, 0);
				receive("end, all", 64, MSG_WAITALL);
				receive("end, peek", 64, MSG_PEEK | MSG_WAITALL);
				receive("end, not now", 64, MSG_DONTWAIT);
				say("the other way", calls.send(pair.in, "back", 4, 0));
				say("shut reading", calls.shutdown(pair.in, SHUT_RD));
				receive("shut", 64, 0);
				close(pair.in);
				close(pair.out);
			});
	});
}

TEST_P(Sockets, SendingSaysWhatTheSystemCallSays)
{
	run([] {
		for (Link link : EVERY_SOCKET)
			compare([link](auto calls, Script &say) {
				Pair pair = connect_pair(link);
				char buf[64];
				auto arrived = [&](size_t len) {
					return recv(pair.in, buf, len, MSG_WAITALL);
				};
				say("send", calls.send(pair.out, "hello", 5, 0));
				say("arrived", arrived(5));
				say("nothing", calls.send(pair.out, "", 0, 0));
				say("more", calls.send(pair.out, "ab", 2, MSG_MORE));
				say("the rest", calls.send(pair.out, "cd", 2, MSG_DONTWAIT));
				say("arrived", arrived(4));
				say("from nowhere",
					calls.send(pair.out, reinterpret_cast<char *>(1), 8, 0));
				say("unknown flags", calls.send(pair.out, "x", 1, 0x10000000));
				say("arrived", arrived(1));
				say("out of band", calls.send(pair.out, "u", 1, MSG_OOB));
				sockaddr_storage to = {};
				socklen_t size = sizeof(to);
				getpeername(pair.out, reinterpret_cast<sockaddr *>(&to), &size);
				say("to",
					calls.sendto(pair.out, "y", 1, 0,
						reinterpret_cast<sockaddr *>(&to),
						link == Link::UNIX ? 2 : size));
				say("shut", calls.shutdown(pair.out, SHUT_WR));
				say("after", calls.send(pair.out, "z", 1, 0));
				say("write after", calls.write(pair.out, "z", 1));
				say("shut again", calls.shutdown(pair.out, SHUT_WR));
				say("bad how", calls.shutdown(pair.out, 7));
				close(pair.in);
				close(pair.out);
			});
	});
}

TEST_P(Sockets, OnWhatIsNoSocketAndNotConnected)
{
	run([] {
		compare([](auto calls, Script &say) {
			char buf[8];
			sockaddr_storage at = {};
			socklen_t size = sizeof(at);
			auto *address = reinterpret_cast<sockaddr *>(&at);
			msghdr head = {};
			auto all = [&](int fd) {
				say("recv", calls.recv(fd, buf, 8, 0));
				say("recv not now", calls.recv(fd, buf, 8, MSG_DONTWAIT));
				say("send", calls.send(fd, buf, 8, 0));
				say("send not now", calls.send(fd, buf, 8, MSG_DONTWAIT));
				say("recvfrom", calls.recvfrom(fd, buf, 8, 0, address, &size));
				say("sendto", calls.sendto(fd, buf, 8, 0, address, sizeof(sockaddr_in)));
				say("recvmsg", calls.recvmsg(fd, &head, 0));
				say("sendmsg", calls.sendmsg(fd, &head, 0));
				say("accept", calls.accept(fd, address, &size, 0));
				say("shutdown", calls.shutdown(fd, SHUT_RDWR));
			};
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);
			all(null);
			at.ss_family = AF_INET;
			say("connect", calls.connect(null, address, sizeof(sockaddr_in)));
			close(null);
			all(900);
			all(-1);
			say("connect", calls.connect(-1, address, sizeof(sockaddr_in)));
			int path = open("/", O_PATH | O_CLOEXEC);
			all(path);
			close(path);
			for (int family : {AF_INET, AF_UNIX}) {
				int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
				at = {};
				all(fd);
				close(fd);
			}
		});
	});
}

TEST_P(Sockets, AcceptSaysWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			int listener = weft_listen("127.0.0.1:0");
			sockaddr_in to = {};
			to.sin_family = AF_INET;
			to.sin_port = htons(static_cast<uint16_t>(weft_local_port(listener)));
			to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			std::vector<int> clients;
			auto dial = [&] {
				int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
				EXPECT_EQ(0, connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof(to)));
				clients.push_back(fd);
			};
			auto take = [&](const char *what, socklen_t room, int flags) {
				dial();
				sockaddr_storage from;
				memset(&from, 0x33, sizeof(from));
				socklen_t size = room;
				long fd = calls.accept(listener,
					reinterpret_cast<sockaddr *>(&from), &size, flags);
				say(what, fd >= 0 ? 0 : fd);
				if (fd < 0)
					return;
				say("size", size);
				say("byte",
					reinterpret_cast<unsigned char *>(&from)[room < 16 ? room : 16]);
				say("flags", fcntl(static_cast<int>(fd), F_GETFL));
				say("cloexec", fcntl(static_cast<int>(fd), F_GETFD));
				close(static_cast<int>(fd));
			};
			take("address", 128, 0);
			take("short", 3, SOCK_CLOEXEC);
			take("none", 0, SOCK_NONBLOCK);
			take("both", 16, SOCK_NONBLOCK | SOCK_CLOEXEC);
			take("bad flags", 16, 0x4);
			take("bad room", static_cast<socklen_t>(-1), 0);
			long fd = calls.accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			say("left", fd >= 0 ? 0 : fd);
			close(static_cast<int>(fd));
			for (int client : clients)
				close(client);
			close(listener);
			listener = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			say("a datagram socket", calls.accept(listener, nullptr, nullptr, 0));
			close(listener);
		});
	});
}

TEST_P(Sockets, ConnectSaysWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			int listener = weft_listen("127.0.0.1:0");
			sockaddr_in to = {};
			to.sin_family = AF_INET;
			to.sin_port = htons(static_cast<uint16_t>(weft_local_port(listener)));
			to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			auto *address = reinterpret_cast<sockaddr *>(&to);
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			say("short", calls.connect(fd, address, 3));
			say("long", calls.connect(fd, address, 500));
			say("nowhere", calls.connect(fd, reinterpret_cast<sockaddr *>(1), sizeof(to)));
			say("connect", calls.connect(fd, address, sizeof(to)));
			say("again", calls.connect(fd, address, sizeof(to)));
			sockaddr_in other = to;
			other.sin_family = AF_UNIX;
			say("other family",
				calls.connect(fd, reinterpret_cast<sockaddr *>(&other), sizeof(to)));
			close(fd);
			close(listener);
			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			say("refused", calls.connect(fd, address, sizeof(to)));
			close(fd);
			int unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			sockaddr_un path = {};
			path.sun_family = AF_UNIX;
			strcpy(path.sun_path, "/nowhere/at/all");
			say("no path",
				calls.connect(unix_fd, reinterpret_cast<sockaddr *>(&path), sizeof(path)));
			strcpy(path.sun_path, "/dev/null");
			say("no socket",
				calls.connect(unix_fd, reinterpret_cast<sockaddr *>(&path), sizeof(path)));
			close(unix_fd);
		});
	});
}

TEST_P(Sockets, AnOpenConnectionRefusedOnANonblockingSocket)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		sockaddr_in to = {};
		to.sin_family = AF_INET;
		to.sin_port = htons(static_cast<uint16_t>(weft_local_port(listener)));
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		EXPECT_EQ(0, weft_connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof(to)));
		weft_close(fd);
		weft_close(listener);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		EXPECT_EQ(-ECONNREFUSED,
			weft_connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof(to)));
		weft_close(fd);
	});
}

/* SO2 */
TEST_P(Sockets, PeekAndWaitallTogether)
{
	run([] {
		for (Link link : {Link::TCP4, Link::TCP6})
			for (bool message : {false, true}) {
				Pair pair = connect_pair(link);
				char buf[16] = {};
				ssize_t n = 0;
				Fiber peeker([&] {
					iovec part = {buf, 10};
					msghdr head = {};
					head.msg_iov = &part;
					head.msg_iovlen = 1;
					n = message
						? weft_recvmsg(pair.in, &head, MSG_PEEK | MSG_WAITALL)
						: weft_recv(pair.in, buf, 10, MSG_PEEK | MSG_WAITALL);
				});
				EXPECT_EQ(5, weft_send(pair.out, "hello", 5, 0));
				weft_sleep(2 * WEFT_MS);
				EXPECT_EQ(5, weft_send(pair.out, "world", 5, 0));
				peeker.join();
				EXPECT_EQ(10, n);
				EXPECT_STREQ("helloworld", buf);
				memset(buf, 0, sizeof(buf));
				EXPECT_EQ(10, weft_recv(pair.in, buf, 16, 0));
				EXPECT_STREQ("helloworld", buf);
				close_pair(pair);
			}
	});
}

TEST_P(Sockets, WaitallWaitsAlsoOnANonblockingSocket)
{
	run([] {
		for (Link link : EVERY_SOCKET)
			for (int nonblock = 0; nonblock < 2; nonblock++)
				for (int end = 0; end < 3; end++) {
					Pair pair = connect_pair(link);
					if (nonblock)
						set_nonblocking(pair.in);
					char buf[16] = {};
					ssize_t n = 0;
					Fiber receiver(
						[&] { n = weft_recv(pair.in, buf, 10, MSG_WAITALL); });
					EXPECT_EQ(5, weft_send(pair.out, "hello", 5, 0));
					/* It has come, and the receiver has taken it. */
					ASSERT_TRUE(until([&] {
						return bytes(pair.out, SIOCOUTQ) == 0 &&
							bytes(pair.in, FIONREAD) == 0;
					}));
					ssize_t ended = end == 0 ? weft_send(pair.out, "world", 5, 0)
						: end == 1	 ? weft_shutdown(pair.out, SHUT_WR)
								 : receiver.cancel();
					EXPECT_EQ(end == 0 ? 5 : 0, ended);
					receiver.join();
					EXPECT_EQ(end == 0 ? 10 : 5, n)
						<< link_name(link) << nonblock << end;
					EXPECT_STREQ(end == 0 ? "helloworld" : "hello", buf);
					close_pair(pair);
				}
	});
}

TEST_P(Sockets, OptionsAreLeftAlone)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			timeval wait = {0, 20000}, now = {};
			socklen_t size = sizeof(now);
			ASSERT_EQ(0, setsockopt(pair.in, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
			ASSERT_EQ(0, setsockopt(pair.in, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)));
			char buf[8];
			ssize_t n = 0;
			Fiber receiver([&] { n = weft_recv(pair.in, buf, 8, 0); });
			ASSERT_TRUE(until_parked(1));
			EXPECT_EQ(0, getsockopt(pair.in, SOL_SOCKET, SO_RCVTIMEO, &now, &size));
			EXPECT_EQ(wait.tv_usec, now.tv_usec);
			EXPECT_EQ(0, getsockopt(pair.in, SOL_SOCKET, SO_SNDTIMEO, &now, &size));
			EXPECT_EQ(wait.tv_usec, now.tv_usec);
			EXPECT_EQ(0, fcntl(pair.in, F_GETFL) & O_NONBLOCK);
			EXPECT_EQ(2, weft_send(pair.out, "ab", 2, 0));
			receiver.join();
			EXPECT_EQ(2, n);
			close_pair(pair);
		}
	});
}

/* SO3 */
TEST_P(Sockets, HalfClosedBothWays)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			char buf[16] = {};
			EXPECT_EQ(3, weft_send(pair.out, "ask", 3, 0));
			EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
			EXPECT_EQ(3, weft_recv(pair.in, buf, 16, 0));
			EXPECT_EQ(0, weft_recv(pair.in, buf, 16, 0));
			EXPECT_EQ(0, weft_recv(pair.in, buf, 16, MSG_WAITALL));
			std::vector<unsigned char> big(1 << 20), got(1 << 20);
			fill(big.data(), big.size(), 7);
			Fiber answer([&] {
				EXPECT_EQ(static_cast<ssize_t>(big.size()),
					weft_send_full(pair.in, big.data(), big.size(), 0));
				EXPECT_EQ(0, weft_shutdown(pair.in, SHUT_WR));
			});
			EXPECT_EQ(static_cast<ssize_t>(got.size()),
				weft_read_full(pair.out, got.data(), got.size()));
			EXPECT_TRUE(matches(got.data(), got.size(), 7));
			EXPECT_EQ(0, weft_recv(pair.out, buf, 16, 0));
			EXPECT_EQ(-EPIPE, weft_send(pair.out, "x", 1, 0));
			EXPECT_EQ(-EPIPE, weft_write(pair.out, "x", 1));
			answer.join();
			close_pair(pair);
		}
	});
}

TEST_P(Sockets, ShutdownWakesWhoIsParkedThere)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			char buf[16];
			ssize_t received = -1, sent = 0;
			std::vector<char> big(8 << 20);
			Fiber receiver([&] { received = weft_recv(pair.out, buf, 16, 0); });
			Fiber sender([&] {
				while ((sent = weft_send(pair.out, big.data(), big.size(), 0)) > 0)
					;
			});
			ASSERT_TRUE(until_parked(2));
			EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_RDWR));
			receiver.join();
			sender.join();
			EXPECT_EQ(0, received);
			EXPECT_EQ(-EPIPE, sent);
			close_pair(pair);
		}
		int listener = weft_listen("127.0.0.1:0"), result = 0;
		Fiber acceptor([&] { result = weft_accept(listener, nullptr, nullptr, 0); });
		ASSERT_TRUE(until_parked(1));
		EXPECT_EQ(0, weft_shutdown(listener, SHUT_RDWR));
		acceptor.join();
		EXPECT_EQ(-EINVAL, result);
		weft_close(listener);
	});
}

TEST_P(Sockets, AResetIsSeenByReadersAndWriters)
{
	run([] {
		for (Link link : {Link::TCP4, Link::TCP6}) {
			Pair pair = connect_pair(link);
			linger now = {1, 0};
			ASSERT_EQ(0, setsockopt(pair.in, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
			char buf[16];
			ssize_t received = 0, sent = 0;
			std::vector<char> big(8 << 20);
			Fiber receiver([&] { received = weft_recv(pair.out, buf, 16, 0); });
			Fiber sender([&] {
				while ((sent = weft_send(pair.out, big.data(), big.size(), 0)) > 0)
					;
			});
			ASSERT_TRUE(until_parked(2));
			EXPECT_EQ(0, weft_close(pair.in));
			receiver.join();
			sender.join();
			/* The kernel tells the error once; who comes later finds the connection gone. */
			EXPECT_TRUE(received == -ECONNRESET || received == 0) << received;
			EXPECT_TRUE(sent == -ECONNRESET || sent == -EPIPE) << sent;
			EXPECT_TRUE(received == -ECONNRESET || sent == -ECONNRESET);
			EXPECT_EQ(0, weft_recv(pair.out, buf, 16, 0));
			EXPECT_EQ(-EPIPE, weft_send(pair.out, "x", 1, 0));
			EXPECT_EQ(-EPIPE, weft_write(pair.out, "x", 1));
			EXPECT_TRUE(weft_poll(pair.out, POLLIN) & POLLHUP);
			weft_close(pair.out);
		}
	});
}

/* SO4 */
TEST_P(Sockets, PollWaitsForWhatWasAsked)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			compare([&](auto calls, Script &say) {
				say("in", calls.poll(pair.in, POLLIN));
				say("out", calls.poll(pair.in, POLLOUT));
				say("both", calls.poll(pair.in, POLLIN | POLLOUT));
				say("none", calls.poll(pair.in, 0));
				say("other", calls.poll(pair.in, POLLPRI | POLLRDHUP));
			});
			ASSERT_EQ(0, shutdown(pair.out, SHUT_WR));
			set_nonblocking(pair.in);
			std::vector<char> big(1 << 20);
			/* TCP has moved the last of it on, and the end of the other way has come. */
			ASSERT_TRUE(until([&] {
				return !fill_socket(pair.in) && has_settled(pair.in, link) &&
					Plain::poll(pair.in, POLLRDHUP) != 0;
			}));
			compare([&](auto calls, Script &say) {
				say("half-closed, full: in", calls.poll(pair.in, POLLIN));
				say("out", calls.poll(pair.in, POLLOUT));
				say("both", calls.poll(pair.in, POLLIN | POLLOUT));
				say("none", calls.poll(pair.in, 0));
				say("other", calls.poll(pair.in, POLLPRI | POLLRDHUP));
			});
			std::atomic<int> ready{0};
			Fiber poller([&] { ready = weft_poll(pair.in, POLLOUT); });
			ASSERT_TRUE(until_parked(1));
			weft_sleep(WEFT_MS);
			EXPECT_EQ(0, ready.load());
			while (recv(pair.out, big.data(), big.size(), MSG_DONTWAIT) > 0 || ready == 0)
				weft_sleep(100 * WEFT_US);
			poller.join();
			EXPECT_EQ(POLLOUT, ready.load());
			/* It ends by close and cancellation too. */
			fill_socket(pair.in);
			int before = count_open();
			Fiber cancelled([&] { ready = weft_poll(pair.in, POLLPRI); });
			ASSERT_TRUE(until_parked(1));
			cancelled.cancel();
			cancelled.join();
			EXPECT_EQ(-ECANCELED, ready.load());
			EXPECT_EQ(before, count_open());
			Fiber closed([&] { ready = weft_poll(pair.in, POLLPRI); });
			ASSERT_TRUE(until_parked(1));
			EXPECT_EQ(0, weft_close(pair.in));
			closed.join();
			EXPECT_EQ(-ECANCELED, ready.load());
			EXPECT_EQ(before - 1, count_open());
			weft_close(pair.out);
		}
	});
}

} // namespace
