/* SPDX-License-Identifier: MIT */
/* socket_limits_test.cc - no descriptors, no room, cancelled calls: what one connection must not do to the others
 *
 * Laws     SL1 no descriptor left: accept says so each time, and no connection is lost. A cancelled accept takes none with it.
 *          SL2 cancelled receivers and senders lose nothing and double nothing.
 *          SL3 a connection that takes nothing costs no thread, and no processor time; a full backlog is waited for.
 */
#include <atomic>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class SocketLimits : public Rings
{
};
IN_EVERY_SETUP(SocketLimits);

uint64_t operations()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats.total.ops;
}

/* SL1 */
TEST_P(SocketLimits, NoDescriptorLeftLosesNoConnection)
{
	run([] {
		constexpr int CLIENTS = 5;
		int listener = weft_listen("127.0.0.1:0");
		ASSERT_GE(listener, 0);
		std::string address = "127.0.0.1:" + std::to_string(weft_local_port(listener));
		std::vector<int> clients;
		for (int i = 0; i < CLIENTS; i++)
			clients.push_back(weft_dial(address.c_str()));
		{
			FewDescriptors few(0);
			for (int i = 0; i < 3; i++)
				EXPECT_EQ(-EMFILE, weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC));
		}
		for (int i = 0; i < CLIENTS; i++) {
			int fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			EXPECT_GE(fd, 0);
			weft_close(fd);
		}
		for (int fd : clients)
			weft_close(fd);
		weft_close(listener);
	});
}

TEST_P(SocketLimits, ACancelledAcceptTakesNoConnectionWithIt)
{
	run([] {
		int listener = weft_listen("127.0.0.1:0");
		std::string address = "127.0.0.1:" + std::to_string(weft_local_port(listener));
		for (int round = 0; round < rounds(100, 20); round++) {
			int fd = -1;
			Fiber acceptor(
				[&] { fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC); });
			if (round % 2)
				weft_yield();
			int client = weft_dial(address.c_str());
			ASSERT_GE(client, 0);
			acceptor.cancel();
			acceptor.join();
			EXPECT_TRUE(fd >= 0 || fd == -ECANCELED) << fd;
			if (fd == -ECANCELED)
				fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			char c = 'x', got = 0;
			EXPECT_EQ(1, weft_send(client, &c, 1, 0));
			EXPECT_EQ(1, weft_recv(fd, &got, 1, 0));
			weft_close(client);
			weft_close(fd);
		}
		weft_close(listener);
	});
}

TEST_P(SocketLimits, CancelledReceiversAndSendersLoseNothing)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			constexpr size_t SIZE = rounds(400, 60) * 1000;
			size_t taken = 0, given = 0;
			Fiber source([&] {
				unsigned char buf[1000];
				for (int i = 0; given < SIZE; i++) {
					size_t len = std::min(sizeof(buf), SIZE - given);
					fill(buf, len, given);
					ssize_t n = 0;
					Fiber writer([&] { n = weft_write(pair.out, buf, len); });
					if (i % 3 == 0)
						writer.cancel();
					writer.join();
					ASSERT_TRUE(n > 0 || n == -ECANCELED) << n;
					given += n > 0 ? static_cast<size_t>(n) : 0;
				}
			});
			unsigned char buf[1500];
			for (int i = 0; taken < SIZE; i++) {
				ssize_t n = 0;
				Fiber reader([&] { n = weft_read(pair.in, buf, sizeof(buf)); });
				if (i % 2)
					weft_yield();
				if (i % 3 != 0)
					reader.cancel();
				reader.join();
				ASSERT_TRUE(n > 0 || n == -ECANCELED) << n;
				if (n < 0)
					continue;
				ASSERT_TRUE(matches(buf, static_cast<size_t>(n), taken)) << taken;
				taken += static_cast<size_t>(n);
			}
			source.join();
			EXPECT_EQ(given, taken);
			close_pair(pair);
		}
	});
}

/* SL3 */
TEST_P(SocketLimits, PeersThatTakeNothingCostNoThreads)
{
	run([] {
		constexpr int CONNECTIONS = rounds(40, 10);
		std::vector<char> big(1 << 20);
		std::vector<Pair> pairs;
		std::vector<std::unique_ptr<Fiber>> senders;
		/* The kernel's, and those of the pool; a busy machine makes others. */
		auto io_threads = [] {
			return support::threads_named("iou-wrk") + support::threads_named("weft-pool");
		};
		long before = io_threads();
		for (int i = 0; i < CONNECTIONS; i++) {
			Pair pair = connect_pair(i % 2 ? Link::UNIX : Link::TCP4);
			EXPECT_EQ(0, shutdown(pair.out, SHUT_WR)); /* it has said its last, and does not read */
			pairs.push_back(pair);
			senders.push_back(std::make_unique<Fiber>([&big, pair] {
				ssize_t n;
				while ((n = weft_send(pair.in, big.data(), big.size(), 0)) > 0)
					;
				EXPECT_EQ(-ECANCELED, n);
			}));
		}
		EXPECT_TRUE(until([&] { /* all are full */
			return std::none_of(pairs.begin(), pairs.end(),
				[](Pair pair) { return Plain::poll(pair.in, POLLOUT) & POLLOUT; });
		}));
		uint64_t first = operations();
		weft_sleep(20 * WEFT_MS);
		EXPECT_LT(operations() - first, uint64_t{10} * CONNECTIONS);
		EXPECT_LE(io_threads(), before + 4);
		for (auto &sender : senders)
			sender->cancel();
		senders.clear();
		for (Pair pair : pairs)
			close_pair(pair);
	});
}

TEST_P(SocketLimits, ASelectForWritingDoesNotSpin)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		ASSERT_EQ(0, shutdown(pair.out, SHUT_WR));
		std::vector<char> big(1 << 16);
		while (send(pair.in, big.data(), big.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		uint64_t first = operations();
		weft_case wait = {};
		wait.op = WEFT_CASE_WRITABLE;
		wait.fd = pair.in;
		EXPECT_EQ(-ETIMEDOUT, weft_select(&wait, 1, weft_after(30 * WEFT_MS)));
		EXPECT_LT(operations() - first, 20u);
		close_pair(pair);
	});
}

TEST_P(SocketLimits, AFullUnixBacklogIsWaitedForWithAndWithoutNonblock)
{
	run([] {
		constexpr int CLIENTS = 12;
		std::string path = scratch_path("backlog");
		sockaddr_un at = {};
		at.sun_family = AF_UNIX;
		strcpy(at.sun_path, path.c_str());
		auto *address = reinterpret_cast<sockaddr *>(&at);
		int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ASSERT_EQ(0, bind(listener, address, sizeof(at)));
		ASSERT_EQ(0, listen(listener, 1));
		int doomed_result = 0;
		int refused = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		while (connect(refused, address, sizeof(at)) == 0) { /* until it is full */
			close(refused);
			refused = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		}
		uint64_t first = operations();
		Fiber doomed([&] { doomed_result = weft_connect(refused, address, sizeof(at)); });
		/* It has tried, and goes on trying. */
		EXPECT_TRUE(until([&] { return operations() > first; }));
		EXPECT_EQ(0, weft_close(refused));
		doomed.join();
		EXPECT_EQ(-ECANCELED, doomed_result);
		std::atomic<int> connected{0};
		std::vector<std::unique_ptr<Fiber>> clients;
		for (int i = 0; i < CLIENTS; i++)
			clients.push_back(std::make_unique<Fiber>([&, i] {
				int type = SOCK_STREAM | SOCK_CLOEXEC | (i % 2 ? SOCK_NONBLOCK : 0);
				int fd = socket(AF_UNIX, type, 0);
				EXPECT_EQ(0, weft_connect(fd, address, sizeof(at)));
				connected++;
				weft_close(fd);
			}));
		while (connected < CLIENTS) {
			weft_deadline(weft_after(50 * WEFT_MS));
			int taken = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			weft_deadline(WEFT_FOREVER);
			if (taken >= 0)
				weft_close(taken);
		}
		clients.clear();
		weft_close(listener);
		unlink(path.c_str());
	});
}

/* Each time, and at once: readiness of what is no socket is not waited for. */
TEST_P(SocketLimits, WhatIsNoSocketSaysSoEachTime)
{
	run([] {
		Pair idle = connect_pair(Link::PIPE);
		char buf[8];
		iovec part = {buf, sizeof(buf)};
		for (int i = 0; i < 3; i++) {
			msghdr message{};
			weft_slice slice;
			message.msg_iov = &part;
			message.msg_iovlen = 1;
			weft_deadline(weft_after(PATIENCE));
			EXPECT_EQ(-ENOTSOCK, weft_recv(idle.in, buf, sizeof(buf), 0));
			EXPECT_EQ(-ENOTSOCK, weft_recvmsg(idle.in, &message, 0));
			EXPECT_EQ(-ENOTSOCK, weft_recv_borrow(idle.in, &slice));
			weft_deadline(WEFT_FOREVER);
		}
		close_pair(idle);
	});
}

} // namespace
