/* SPDX-License-Identifier: MIT */
/* messages_test.cc - datagrams, addresses, vectors and control data: recvfrom, sendto, recvmsg, sendmsg
 *
 * Laws     MS1 each call says what the system call says: lengths, addresses, flags out, control data, truncation, errors.
 *          MS2 a datagram that had to wait for room arrives whole; one whose sender was cancelled does not arrive, or its sender is told that it was sent.
 *          MS3 each datagram is received once: by many fibers, and when receivers are cancelled.
 */
#include <atomic>
#include <set>

#include <linux/errqueue.h>
#include <netinet/udp.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Messages : public Rings
{
};
IN_EVERY_SETUP(Messages);

/* A bound datagram socket of a family, and its address. */
struct Bound {
	int fd = -1;
	sockaddr_storage at = {};
	socklen_t size = sizeof(sockaddr_storage);
	std::string path;

	const sockaddr *address() const
	{
		return reinterpret_cast<const sockaddr *>(&at);
	}
};

Bound bind_datagram(int family, const char *name)
{
	Bound bound;
	bound.fd = lifted(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (family == AF_UNIX) {
		bound.path = scratch_path(name);
		auto *at = reinterpret_cast<sockaddr_un *>(&bound.at);
		at->sun_family = AF_UNIX;
		strcpy(at->sun_path, bound.path.c_str());
		bound.size = static_cast<socklen_t>(
			offsetof(sockaddr_un, sun_path) + bound.path.size() + 1);
		unlink(bound.path.c_str());
	} else if (family == AF_INET) {
		auto *at = reinterpret_cast<sockaddr_in *>(&bound.at);
		at->sin_family = AF_INET;
		at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		bound.size = sizeof(*at);
	} else {
		auto *at = reinterpret_cast<sockaddr_in6 *>(&bound.at);
		at->sin6_family = AF_INET6;
		at->sin6_addr = in6addr_loopback;
		bound.size = sizeof(*at);
	}
	EXPECT_EQ(0, bind(bound.fd, bound.address(), bound.size));
	bound.size = sizeof(bound.at);
	EXPECT_EQ(0, getsockname(bound.fd, reinterpret_cast<sockaddr *>(&bound.at), &bound.size));
	return bound;
}

void close_bound(const Bound &bound)
{
	close(bound.fd);
	if (!bound.path.empty())
		unlink(bound.path.c_str());
}

std::vector<int> families()
{
	std::vector<int> all = {AF_UNIX, AF_INET};
	if (have_ipv6())
		all.push_back(AF_INET6);
	return all;
}

TEST_P(Messages, DatagramsAndTheirAddresses)
{
	run([] {
		for (int family : families())
			compare([family](auto calls, Script &say) {
				Bound one = bind_datagram(family, "one"),
				      two = bind_datagram(family, "two");
				char buf[64] = {};
				auto send_some = [&](size_t len) {
					return sendto(two.fd, "0123456789abcdef", len, 0,
						one.address(), one.size);
				};
				auto receive = [&](const std::string &what, size_t len, int flags,
						       socklen_t room) {
					sockaddr_storage from;
					memset(&from, 0x11, sizeof(from));
					socklen_t size = room;
					long n = calls.recvfrom(one.fd, buf, len, flags,
						room != 999 ? reinterpret_cast<sockaddr *>(&from) : nullptr,
						room != 999 ? &size : nullptr);
					say(what, n);
					if (room == 999)
						return;
					say("size", size);
					/* Ports and paths differ between the runs, what is beyond them must not. */
					say("untouched", reinterpret_cast<unsigned char *>(&from)[127]);
					say("family", room >= 2 ? from.ss_family : -1);
					if (room >= two.size)
						say("sender", memcmp(&from, &two.at, two.size));
				};
				send_some(10);
				receive("whole", 64, 0, 128);
				send_some(10);
				receive("cut", 4, 0, 128);
				send_some(10);
				receive("cut and told", 4, MSG_TRUNC, 128);
				send_some(10);
				receive("peek", 4, MSG_PEEK, 128);
				receive("peek the length", 4, MSG_PEEK | MSG_TRUNC, 128);
				receive("and take", 64, 0, 128);
				send_some(0);
				receive("empty", 64, 0, 128);
				send_some(3);
				receive("no room for it", 0, 0, 128);
				send_some(3);
				receive("short address", 64, 0, 5);
				send_some(3);
				receive("no address", 64, 0, 0);
				send_some(3);
				receive("not asked", 64, 0, 999);
				receive("not now", 64, MSG_DONTWAIT, 128);
				send_some(3);
				receive("now", 64, MSG_DONTWAIT, 128);
				send_some(3);
				receive("all of it", 64, MSG_WAITALL, 128);
				say("bad buffer",
					send_some(3) == 3
						? calls.recvfrom(one.fd, reinterpret_cast<void *>(1),
							  8, MSG_DONTWAIT, nullptr, nullptr)
						: 0);
				receive("is it still there", 64, MSG_DONTWAIT, 128);
				close_bound(one);
				close_bound(two);
			});
	});
}

TEST_P(Messages, SendingDatagrams)
{
	run([] {
		for (int family : families())
			compare([family](auto calls, Script &say) {
				Bound one = bind_datagram(family, "one"),
				      two = bind_datagram(family, "two");
				char buf[64] = {};
				auto took = [&] {
					return recv(one.fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
				};
				say("send", calls.sendto(two.fd, "abc", 3, 0, one.address(), one.size));
				say("took", took());
				say("empty", calls.sendto(two.fd, "", 0, 0, one.address(), one.size));
				say("took", took());
				say("no address", calls.send(two.fd, "abc", 3, 0));
				say("no address to", calls.sendto(two.fd, "abc", 3, 0, nullptr, 0));
				say("no address of a size",
					calls.sendto(two.fd, "abc", 3, 0, nullptr, 16));
				say("short address",
					calls.sendto(two.fd, "abc", 3, 0, one.address(), 1));
				say("long address",
					calls.sendto(two.fd, "abc", 3, 0, one.address(), 200));
				say("bad address",
					calls.sendto(two.fd, "abc", 3, 0,
						reinterpret_cast<sockaddr *>(1), one.size));
				say("bad buffer",
					calls.sendto(two.fd, reinterpret_cast<char *>(1), 3, 0,
						one.address(), one.size));
				say("no room", took() >= 0 ? 0 : 1);
				std::vector<char> large(200000, 'l');
				say("too long",
					calls.sendto(two.fd, large.data(),
						70000 * (family == AF_UNIX ? 10 : 1), 0,
						one.address(), one.size));
				say("connect", calls.connect(two.fd, one.address(), one.size));
				say("send", calls.send(two.fd, "abcd", 4, 0));
				say("took", took());
				say("write", calls.write(two.fd, "abcd", 4));
				say("took", took());
				say("write nothing", calls.write(two.fd, "", 0));
				say("took", took());
				iovec parts[3] = {{buf, 3}, {nullptr, 0}, {buf, 2}};
				say("writev", calls.writev(two.fd, parts, 3));
				say("took", took());
				say("to another",
					calls.sendto(two.fd, "ab", 2, 0, two.address(), two.size));
				say("more", calls.send(two.fd, "ab", 2, family == AF_UNIX ? MSG_MORE : 0));
				say("took", took());
				close(one.fd);
				say("nobody there", calls.send(two.fd, "ab", 2, 0));
				say("nobody there again", calls.send(two.fd, "ab", 2, 0));
				say("nor answers", calls.recv(two.fd, buf, 8, MSG_DONTWAIT));
				say("poll", calls.poll(two.fd, POLLOUT));
				unlink(one.path.c_str());
				close_bound(two);
			});
	});
}

TEST_P(Messages, Vectors)
{
	run([] {
		for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET})
			compare([type](auto calls, Script &say) {
				Two two = two_of(type);
				auto fill_it = [&](const char *text) {
					EXPECT_EQ(static_cast<ssize_t>(strlen(text)),
						send(two.second, text, strlen(text), 0));
				};
				auto receive = [&](const char *what, int flags, Mail &mail) {
					mail.tell(say, what, calls.recvmsg(two.first, &mail.head, flags));
				};
				Mail a, b(3, 2), c(3, 2), d(0, 0), e, f(8, 8, 0);
				fill_it("0123456789");
				receive("all", 0, a);
				fill_it("abcdefghij");
				receive("cut", 0, b);
				receive("rest", MSG_DONTWAIT, c);
				fill_it("klmn");
				receive("nothing wanted", type == SOCK_STREAM ? MSG_DONTWAIT : 0, d);
				receive("what is left", MSG_DONTWAIT, e);
				fill_it("opqr");
				receive("no control", MSG_CMSG_CLOEXEC | MSG_PEEK, f);
				receive("taken", MSG_TRUNC, f);
				Mail g;
				g.head.msg_iovlen = 0;
				fill_it("stuv");
				receive("no buffers", MSG_DONTWAIT, g);
				Mail h;
				h.head.msg_iovlen = 2000;
				receive("too many buffers", MSG_DONTWAIT, h);
				Mail i;
				i.head.msg_name = nullptr;
				receive("no name", MSG_DONTWAIT, i);
				say("no message", calls.recvmsg(two.first, nullptr, MSG_DONTWAIT));
				Mail out(3, 4);
				memcpy(out.first, "ABCDEFGH", 8);
				memcpy(out.second, "abcdefgh", 8);
				out.head.msg_name = nullptr;
				out.head.msg_namelen = 0;
				out.head.msg_control = nullptr;
				out.head.msg_controllen = 0;
				say("send", calls.sendmsg(two.second, &out.head, 0));
				Mail in;
				receive("sent", MSG_DONTWAIT, in);
				out.head.msg_iovlen = 0;
				say("send no buffers", calls.sendmsg(two.second, &out.head, 0));
				out.head.msg_iovlen = 2000;
				say("send too many", calls.sendmsg(two.second, &out.head, 0));
				say("send no message", calls.sendmsg(two.second, nullptr, 0));
				close(two.second);
				Mail last, later;
				receive("the end", MSG_DONTWAIT, last);
				receive("the end again", MSG_DONTWAIT, later);
				out.head.msg_iovlen = 2;
				say("send to nobody", calls.sendmsg(two.first, &out.head, 0));
				close(two.first);
			});
	});
}

/* MS2 */
TEST_P(Messages, ADatagramThatWaitedForRoomArrivesWhole)
{
	run([] {
		for (int connected = 0; connected < 2; connected++)
			for (int nonblock = 0; nonblock < 2; nonblock++) {
				Bound to = bind_datagram(AF_UNIX, "full");
				int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
				if (connected) {
					ASSERT_EQ(0, connect(from, to.address(), to.size));
				}
				if (nonblock)
					set_nonblocking(from);
				const sockaddr *address = connected ? nullptr : to.address();
				socklen_t size = connected ? 0 : to.size;
				int queued = 0;
				while (sendto(from, "queued", 6, MSG_DONTWAIT, address, size) == 6)
					queued++;
				ASSERT_GT(queued, 0);
				ssize_t sent = 0;
				Fiber sender([&] {
					sent = weft_sendto(from, "waited", 6, 0, address, size);
				});
				msghdr head = {};
				iovec part = {const_cast<char *>("vector"), 6};
				head.msg_iov = &part;
				head.msg_iovlen = 1;
				head.msg_name = const_cast<sockaddr *>(address);
				head.msg_namelen = size;
				ssize_t vector_sent = 0;
				Fiber other([&] { vector_sent = weft_sendmsg(from, &head, 0); });
				std::vector<std::string> got;
				for (int i = 0; i < queued + 2; i++) {
					char buf[16];
					ssize_t n = weft_recv(to.fd, buf, sizeof(buf), 0);
					ASSERT_GE(n, 0);
					got.push_back(std::string(buf, static_cast<size_t>(n)));
				}
				sender.join();
				other.join();
				EXPECT_EQ(6, sent);
				EXPECT_EQ(6, vector_sent);
				EXPECT_EQ(queued, std::count(got.begin(), got.end(), "queued"));
				EXPECT_EQ(1, std::count(got.begin(), got.end(), "waited"));
				EXPECT_EQ(1, std::count(got.begin(), got.end(), "vector"));
				weft_close(from);
				close_bound(to);
			}
	});
}

TEST_P(Messages, ASenderWithoutRoomSleeps)
{
	run([] {
		Bound to = bind_datagram(AF_UNIX, "full");
		int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		while (sendto(from, "x", 1, 0, to.address(), to.size) == 1)
			;
		weft_stats before, after;
		weft_stats_get(nullptr, &before, nullptr, 0);
		weft_deadline(weft_after(100 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, weft_sendto(from, "y", 1, 0, to.address(), to.size));
		weft_deadline(WEFT_FOREVER);
		weft_stats_get(nullptr, &after, nullptr, 0);
		EXPECT_LT(after.total.ops - before.total.ops, 200u); /* not a loop */
		ssize_t result = 0;
		Fiber closed([&] { result = weft_sendto(from, "y", 1, 0, to.address(), to.size); });
		EXPECT_TRUE(until([&] { /* it has tried, and is found by the close */
			weft_stats now;
			weft_stats_get(nullptr, &now, nullptr, 0);
			return now.total.ops > after.total.ops;
		}));
		Fiber cancelled([&] {
			EXPECT_EQ(-ECANCELED, weft_sendto(from, "y", 1, 0, to.address(), to.size));
		});
		weft_sleep(5 * WEFT_MS);
		cancelled.cancel();
		cancelled.join();
		EXPECT_EQ(0, weft_close(from));
		closed.join();
		EXPECT_EQ(-ECANCELED, result);
		close_bound(to);
	});
}

/* MS3 */
TEST_P(Messages, EachDatagramIsReceivedOnce)
{
	run([] {
		for (int family : families()) {
			constexpr int RECEIVERS = 8, COUNT = rounds(400, 60);
			Bound to = bind_datagram(family, "many");
			int size = 4 << 20;
			setsockopt(to.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
			int from = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			std::vector<std::atomic<int>> seen(COUNT);
			std::atomic<int> left{COUNT};
			std::vector<std::unique_ptr<Fiber>> receivers;
			for (int r = 0; r < RECEIVERS; r++)
				receivers.push_back(std::make_unique<Fiber>([&] {
					for (;;) {
						int number = -1;
						ssize_t n = weft_recvfrom(to.fd, &number,
							sizeof(number), 0, nullptr, nullptr);
						if (n < 0) { /* the close came before the call, or during it */
							EXPECT_TRUE(n == -ECANCELED || n == -EBADF) << n;
							return;
						}
						ASSERT_EQ(4, n);
						ASSERT_LT(static_cast<unsigned>(number), unsigned{COUNT});
						seen[static_cast<size_t>(number)]++;
						left--;
					}
				}));
			/* Cancelled receivers take none with them. */
			Fiber killer([&] {
				for (int i = 0; i < COUNT / 10; i++) {
					ssize_t n = 0;
					int number = -1;
					Fiber doomed([&] {
						n = weft_recv(to.fd, &number, sizeof(number), 0);
					});
					weft_yield();
					doomed.cancel();
					doomed.join();
					EXPECT_TRUE(n == -ECANCELED || n == 4) << n;
					if (n == 4) {
						seen[static_cast<size_t>(number)]++;
						left--;
					}
				}
			});
			for (int i = 0; i < COUNT; i++)
				EXPECT_EQ(4, weft_sendto(from, &i, sizeof(i), 0, to.address(), to.size));
			killer.join();
			EXPECT_TRUE(until([&] { return left == 0; })) << family << " " << left.load();
			EXPECT_EQ(0, weft_close(to.fd));
			receivers.clear();
			for (int i = 0; i < COUNT; i++)
				EXPECT_EQ(1, seen[static_cast<size_t>(i)].load()) << i;
			weft_close(from);
			unlink(to.path.c_str());
		}
	});
}

TEST_P(Messages, ARefusalComesBack)
{
	run([] {
		Bound one = bind_datagram(AF_INET, ""), two = bind_datagram(AF_INET, "");
		ASSERT_EQ(0, weft_connect(two.fd, one.address(), one.size));
		ssize_t n = 0;
		char buf[8];
		Fiber reader([&] { n = weft_recv(two.fd, buf, sizeof(buf), 0); });
		ASSERT_TRUE(until_parked(1));
		weft_close(one.fd);
		EXPECT_EQ(1, weft_send(two.fd, "x", 1, 0));
		reader.join();
		EXPECT_EQ(-ECONNREFUSED, n);
		weft_close(two.fd);
	});
}

TEST_P(Messages, CredentialsAndErrorsComeAsControlData)
{
	run([] {
		compare([](auto calls, Script &say) {
			Two two = two_of(SOCK_STREAM);
			int on = 1;
			EXPECT_EQ(0, setsockopt(two.first, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
			EXPECT_EQ(3, send(two.second, "abc", 3, 0));
			Mail mail;
			mail.tell(say, "credentials", calls.recvmsg(two.first, &mail.head, 0));
			cmsghdr *control = CMSG_FIRSTHDR(&mail.head);
			say("there", control != nullptr);
			if (control != nullptr) {
				ucred who;
				memcpy(&who, CMSG_DATA(control), sizeof(who));
				say("type", control->cmsg_type);
				say("mine", who.pid == getpid() && who.uid == getuid());
			}
			close_two(two);
			int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			EXPECT_EQ(0, setsockopt(udp, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)));
			sockaddr_in nobody = {};
			nobody.sin_family = AF_INET;
			nobody.sin_port = htons(9);
			nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			Mail none;
			none.tell(say, "no error yet", calls.recvmsg(udp, &none.head, MSG_ERRQUEUE));
			EXPECT_EQ(0,
				connect(udp, reinterpret_cast<sockaddr *>(&nobody), sizeof(nobody)));
			EXPECT_EQ(1, send(udp, "x", 1, 0));
			say("poll", calls.poll(udp, POLLIN));
			Mail error;
			error.tell(say, "error", calls.recvmsg(udp, &error.head, MSG_ERRQUEUE));
			control = CMSG_FIRSTHDR(&error.head);
			say("there", control != nullptr);
			if (control != nullptr) {
				sock_extended_err what;
				memcpy(&what, CMSG_DATA(control), sizeof(what));
				say("is", -static_cast<long>(what.ee_errno));
			}
			close(udp);
		});
	});
}

TEST_P(Messages, TimestampsAndDestinationsComeAsControlData)
{
	run([] {
		compare([](auto calls, Script &say) {
			Bound to = bind_datagram(AF_INET, "");
			int on = 1;
			EXPECT_EQ(0, setsockopt(to.fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)));
			EXPECT_EQ(0, setsockopt(to.fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
			EXPECT_EQ(2, sendto(to.fd, "me", 2, 0, to.address(), to.size));
			Mail mail;
			mail.tell(say, "both", calls.recvmsg(to.fd, &mail.head, 0));
			for (cmsghdr *c = CMSG_FIRSTHDR(&mail.head); c != nullptr;
				c = CMSG_NXTHDR(&mail.head, c)) {
				say("level", c->cmsg_level);
				say("type", c->cmsg_type);
				say("length", static_cast<long>(c->cmsg_len));
			}
			close_bound(to);
		});
	});
}

TEST_P(Messages, PingPongOverEachFamily)
{
	run([] {
		for (int family : families()) {
			Bound one = bind_datagram(family, "ping"), two = bind_datagram(family, "pong");
			constexpr int ROUNDS = rounds(100, 20);
			Fiber echo([&] {
				for (int i = 0; i < ROUNDS; i++) {
					char buf[2048];
					sockaddr_storage from;
					socklen_t size = sizeof(from);
					auto *peer = reinterpret_cast<sockaddr *>(&from);
					ssize_t n = weft_recvfrom(
						two.fd, buf, sizeof(buf), 0, peer, &size);
					ASSERT_GE(n, 0);
					EXPECT_EQ(n,
						weft_sendto(two.fd, buf, static_cast<size_t>(n), 0,
							peer, size));
				}
			});
			for (int i = 0; i < ROUNDS; i++) {
				unsigned char out[1500], in[2048];
				size_t len = static_cast<size_t>(i) * 14;
				fill(out, len, static_cast<size_t>(i));
				EXPECT_EQ(static_cast<ssize_t>(len),
					weft_sendto(one.fd, out, len, 0, two.address(), two.size));
				EXPECT_EQ(static_cast<ssize_t>(len),
					weft_recvfrom(one.fd, in, sizeof(in), 0, nullptr, nullptr));
				EXPECT_TRUE(matches(in, len, static_cast<size_t>(i)));
			}
			echo.join();
			close_bound(one);
			close_bound(two);
		}
	});
}

} // namespace
