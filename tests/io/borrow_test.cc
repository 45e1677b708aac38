/* SPDX-License-Identifier: MIT */
/* borrow_test.cc - weft_recv_borrow and weft_slice_return
 *
 * Law  what was sent is received once, in order, whatever lends the buffer; at the end 0 and nothing is lent.
 * Law  -ENOBUFS is weft's own affair: with every buffer lent, receives go on.
 * Law  slices are given back from any thread, in any order, after their runtime too; twice is fatal.
 * Law  cancelled, late or closed, nothing is lent and nothing received is lost.
 */
#include "tests/io/support.h"

#include <atomic>
#include <thread>

#include <poll.h>

using namespace io_test;

namespace
{

class Borrow : public Rings
{
};
IN_EVERY_SETUP(Borrow);

/* Sends `bytes` of the pattern and ends. */
Body sender(int fd, size_t bytes)
{
	return [fd, bytes] {
		std::vector<unsigned char> buf(50000);
		for (size_t done = 0; done < bytes;) {
			size_t n = std::min(buf.size(), bytes - done);
			fill(buf.data(), n, done);
			ASSERT_EQ(static_cast<ssize_t>(n), weft_send_full(fd, buf.data(), n, 0));
			done += n;
		}
		EXPECT_EQ(0, weft_close(fd));
	};
}

TEST_P(Borrow, ReceivesAllThatWasSentAndThenTheEnd)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			const size_t bytes = rounds(5 << 20, 1 << 20);
			Pair pair = connect_pair(link);
			Fiber peer(sender(pair.out, bytes));
			size_t got = 0;
			weft_slice slice;
			ssize_t n;
			while ((n = weft_recv_borrow(pair.in, &slice)) > 0) {
				ASSERT_EQ(static_cast<size_t>(n), slice.len);
				EXPECT_TRUE(matches(static_cast<unsigned char *>(slice.data), slice.len, got))
					<< link_name(link) << " at " << got;
				got += slice.len;
				weft_slice_return(&slice);
				EXPECT_EQ(nullptr, slice.data);
				weft_slice_return(&slice); /* zeroed: nothing */
			}
			EXPECT_EQ(0, n);
			EXPECT_EQ(nullptr, slice.data);
			EXPECT_EQ(0u, slice.opaque);
			EXPECT_EQ(bytes, got);
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

/* More slices than there are buffers, kept, and given back in another order by plain threads when the runtime is gone. */
TEST_P(Borrow, HeldSlicesDoNotStopReceives)
{
	constexpr int SLICES = 700;
	std::vector<weft_slice> held(SLICES);
	run([&] {
		Pair pair = connect_pair(Link::UNIX);
		for (int i = 0; i < SLICES; i++) {
			unsigned char sent[16];
			fill(sent, sizeof(sent), static_cast<size_t>(i));
			ASSERT_EQ(16, weft_send(pair.out, sent, sizeof(sent), 0));
			ASSERT_EQ(16, weft_recv_borrow(pair.in, &held[static_cast<size_t>(i)]));
		}
		close_pair(pair);
	});
	for (size_t i = 0; i < held.size(); i++)
		EXPECT_TRUE(matches(static_cast<unsigned char *>(held[i].data), 16, i)) << i;
	auto give_back = [&held](size_t from) {
		for (size_t i = from; i < held.size(); i += 2)
			weft_slice_return(&held[i]);
	};
	std::thread other(give_back, 1);
	give_back(0);
	other.join();
}

TEST_P(Borrow, BuffersComeBack)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::vector<weft_slice> held;
		for (int i = 0; i < rounds(20000, 3000); i++) {
			char byte = static_cast<char>(i);
			weft_slice slice;
			ASSERT_EQ(1, weft_send(pair.out, &byte, 1, 0));
			ASSERT_EQ(1, weft_recv_borrow(pair.in, &slice));
			ASSERT_EQ(byte, *static_cast<char *>(slice.data));
			held.push_back(slice);
			if (held.size() == 200) {
				for (weft_slice &one : held)
					weft_slice_return(&one);
				held.clear();
			}
		}
		for (weft_slice &one : held)
			weft_slice_return(&one);
		close_pair(pair);
	});
}

TEST_P(Borrow, WaitersOfEveryKindEnd)
{
	run([] {
		Pair pair = connect_pair(Link::TCP4);
		weft_slice slice;
		weft_deadline(weft_after(5 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, weft_recv_borrow(pair.in, &slice));
		EXPECT_EQ(nullptr, slice.data);
		weft_deadline(WEFT_FOREVER);
		std::atomic<ssize_t> result{1};
		Fiber waiter([&] {
			weft_slice one;
			result = weft_recv_borrow(pair.in, &one);
			EXPECT_EQ(nullptr, one.data);
		});
		EXPECT_TRUE(until_parked(1));
		waiter.cancel();
		waiter.join();
		EXPECT_EQ(-ECANCELED, result);
		/* Nothing was eaten by those that gave up. */
		EXPECT_EQ(3, weft_send(pair.out, "abc", 3, 0));
		EXPECT_EQ(3, weft_recv_borrow(pair.in, &slice));
		EXPECT_EQ(0, memcmp(slice.data, "abc", 3));
		weft_slice_return(&slice);
		Fiber closed([&] {
			weft_slice one;
			result = weft_recv_borrow(pair.in, &one);
		});
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(0, weft_close(pair.in));
		closed.join();
		EXPECT_EQ(-ECANCELED, result);
		EXPECT_EQ(0, weft_close(pair.out));
	});
}

/* Cancelled while data arrives: received, or still in the socket; never neither. */
TEST_P(Borrow, CancelAgainstArrivalLosesNothing)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		for (int i = 0; i < rounds(2000, 300); i++) {
			std::atomic<ssize_t> result{1};
			Fiber waiter([&] {
				weft_slice one;
				result = weft_recv_borrow(pair.in, &one);
				weft_slice_return(&one);
			});
			weft_yield();
			EXPECT_EQ(2, weft_send(pair.out, "xy", 2, 0));
			waiter.cancel();
			waiter.join();
			if (result == 2)
				continue;
			ASSERT_EQ(-ECANCELED, result);
			char left[4];
			ASSERT_EQ(2, weft_recv(pair.in, left, sizeof(left), MSG_DONTWAIT));
		}
		close_pair(pair);
	});
}

TEST_P(Borrow, ManyConnectionsOnFewBuffers)
{
	constexpr int PAIRS = rounds(400, 60);
	run([] {
		Fibers fibers;
		std::atomic<int> answered{0};
		for (int p = 0; p < PAIRS; p++) {
			Pair pair = connect_pair(Link::UNIX);
			spawn_into(fibers, [pair] {
				weft_slice slice;
				while (weft_recv_borrow(pair.in, &slice) > 0) {
					EXPECT_EQ(static_cast<ssize_t>(slice.len),
						weft_send_full(pair.in, slice.data, slice.len, 0));
					weft_slice_return(&slice);
				}
				EXPECT_EQ(0, weft_close(pair.in));
			});
			spawn_into(fibers, [pair, &answered] {
				char sent[100], got[100];
				for (int i = 0; i < 20; i++) {
					memset(sent, i, sizeof(sent));
					EXPECT_EQ(100, weft_send_full(pair.out, sent, 100, 0));
					EXPECT_EQ(100, weft_read_full(pair.out, got, 100));
					answered += memcmp(sent, got, 100) == 0;
				}
				EXPECT_EQ(0, weft_close(pair.out));
			});
		}
		fibers.clear();
		EXPECT_EQ(PAIRS * 20, answered);
	});
}

TEST_P(Borrow, BadArguments)
{
	weft_slice outside;
	EXPECT_EQ(-EPERM, weft_recv_borrow(0, &outside));
	run([] {
		weft_slice slice;
		EXPECT_EQ(-EINVAL, weft_recv_borrow(0, nullptr));
		EXPECT_EQ(-EBADF, weft_recv_borrow(-1, &slice));
		Pair pipe = connect_pair(Link::PIPE);
		EXPECT_EQ(-ENOTSOCK, weft_recv_borrow(pipe.in, &slice));
		close_pair(pipe);
		weft_slice_return(nullptr);
	});
}

TEST(BorrowDeath, ACopyGivenBackTwiceIsFatal)
{
	if (on_epoll())
		GTEST_SKIP() << "the heap's buffers are not watched";
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_DEATH(run(config_of({WEFT_RING_DEFER, 1}),
			     [] {
				     Pair pair = connect_pair(Link::UNIX);
				     weft_slice slice;
				     weft_send(pair.out, "x", 1, 0);
				     weft_recv_borrow(pair.in, &slice);
				     weft_slice copy = slice;
				     weft_slice_return(&slice);
				     weft_slice_return(&copy);
			     }),
		"weft: .*given back");
}

} // namespace
