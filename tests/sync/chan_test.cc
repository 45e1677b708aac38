/* SPDX-License-Identifier: MIT */
/* chan_test.cc - what a channel does: arguments, buffers, rendezvous, order, closing, elements of all sizes
 *
 * Law  a buffer holds as many elements as it was made for, and gives them out in the order in which they came.
 * Law  a send on a rendezvous, or on a full buffer, ends when a receiver has made room or taken the element;
 *      the try forms never park.
 * Law  those who wait are served in the order in which they began to wait, whatever call they wait in, and
 *      nobody overtakes them.
 * Law  closing wakes all who wait; what is in the buffer can still be received, and nothing more.
 * Law  a receive writes exactly one element, and nothing when it fails.
 */
#include <algorithm>
#include <atomic>
#include <climits>
#include <deque>
#include <string>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class Channel : public Workers
{
};
FOR_WORKERS(Channel);

/* A plain thread may do all of this too. */
static void refuse_arguments()
{
	auto unset = reinterpret_cast<weft_chan *>(uintptr_t{1});
	EXPECT_EQ(-EINVAL, weft_chan_new(nullptr, 4, 4));
	for (size_t size : {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 3}) {
		weft_chan *chan = unset;
		EXPECT_EQ(-EINVAL, weft_chan_new(&chan, size, 4));
		EXPECT_EQ(nullptr, chan);
		chan = unset;
		EXPECT_EQ(-EINVAL, weft_chan_new(&chan, 4, size));
		EXPECT_EQ(nullptr, chan);
	}
	weft_chan *chan = unset;
	EXPECT_EQ(-EINVAL, weft_chan_new(&chan, 1, SIZE_MAX)) << "with what it needs beside the buffer";
	EXPECT_EQ(nullptr, chan);
	if (!sanitized) { /* whose allocators abort instead */
		chan = unset;
		int error = weft_chan_new(&chan, 1, size_t{1} << 60);
		EXPECT_TRUE(error == -ENOMEM || error == -EINVAL) << error;
		EXPECT_EQ(nullptr, chan);
	}

	int element = 5;
	EXPECT_EQ(-EINVAL, weft_chan_send(nullptr, &element));
	EXPECT_EQ(-EINVAL, weft_chan_recv(nullptr, &element));
	EXPECT_EQ(-EINVAL, weft_chan_try_send(nullptr, &element));
	EXPECT_EQ(-EINVAL, weft_chan_try_recv(nullptr, &element));
	EXPECT_EQ(-EINVAL, weft_chan_close(nullptr));
	EXPECT_EQ(0u, weft_chan_len(nullptr));
	EXPECT_EQ(0u, weft_chan_cap(nullptr));
	weft_chan_free(nullptr);
	EXPECT_EQ(5, element);

	Chan<int> ints(2);
	ints.put(1);
	EXPECT_EQ(-EINVAL, weft_chan_send(ints.get(), nullptr));
	EXPECT_EQ(-EINVAL, weft_chan_recv(ints.get(), nullptr));
	EXPECT_EQ(-EINVAL, weft_chan_try_send(ints.get(), nullptr));
	EXPECT_EQ(-EINVAL, weft_chan_try_recv(ints.get(), nullptr));
	EXPECT_EQ(1u, ints.len());
	EXPECT_EQ(1, ints.take());
}

TEST_P(Channel, ArgumentsOnAFiber)
{
	run_virtual(GetParam(), refuse_arguments);
}

TEST(ChannelOffAFiber, Arguments)
{
	refuse_arguments();
}

TEST(ChannelOffAFiber, HugeWithoutABuffer)
{
	/* No bytes are needed: neither for elements that have none, nor where none are kept. */
	weft_chan *chan = nullptr;
	ASSERT_EQ(0, weft_chan_new(&chan, 0, SIZE_MAX));
	EXPECT_EQ(SIZE_MAX, weft_chan_cap(chan));
	for (int i = 0; i < 100; i++)
		EXPECT_EQ(0, weft_chan_send(chan, nullptr));
	EXPECT_EQ(100u, weft_chan_len(chan));
	weft_chan_free(chan);
	ASSERT_EQ(0, weft_chan_new(&chan, SIZE_MAX, 0));
	EXPECT_EQ(0u, weft_chan_cap(chan));
	char some = 0;
	EXPECT_EQ(-EAGAIN, weft_chan_try_send(chan, &some));
	weft_chan_free(chan);
}

TEST_P(Channel, RendezvousWaitsForTheReceiver)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan;
		std::atomic<int> sent{0};
		int got = 0;
		EXPECT_EQ(-EAGAIN, chan.try_send(1)) << "nobody receives";
		EXPECT_EQ(-EAGAIN, chan.try_recv(&got)) << "nobody sends";
		weft_fiber *sender = spawn([&] {
			int value = 7;
			EXPECT_EQ(0, weft_chan_send(chan.get(), &value));
			value = 8; /* the receiver has its own copy */
			sent = 1;
		});
		settle();
		EXPECT_EQ(0, sent.load());
		EXPECT_EQ(0u, chan.len()) << "a sender that waits is not in the buffer";
		EXPECT_EQ(-EAGAIN, chan.try_send(2)) << "a sender is no receiver";
		EXPECT_EQ(0, chan.recv(&got));
		EXPECT_EQ(7, got);
		join(sender);
		EXPECT_EQ(1, sent.load());
		EXPECT_EQ(-EAGAIN, chan.try_recv(&got));

		weft_fiber *receiver = spawn([&] { return chan.take(); });
		settle();
		EXPECT_EQ(-EAGAIN, chan.try_recv(&got)) << "a receiver is no sender";
		EXPECT_EQ(0, chan.try_send(9));
		EXPECT_EQ(-EAGAIN, chan.try_send(10)) << "it has one already";
		EXPECT_EQ(9, join(receiver));
		EXPECT_EQ(7, got);
	});
}

TEST_P(Channel, TryRecvTakesFromAWaitingSender)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {0, 1, 3}) {
			Chan<int> chan(capacity);
			for (int i = 0; i < static_cast<int>(capacity); i++)
				EXPECT_EQ(0, chan.try_send(i));
			weft_fiber *sender =
				spawn([&] { return chan.send(static_cast<int>(capacity)); });
			settle();
			for (int i = 0; i <= static_cast<int>(capacity); i++)
				EXPECT_EQ(i, chan.take_now());
			int none = -1;
			EXPECT_EQ(-EAGAIN, chan.try_recv(&none));
			EXPECT_EQ(-1, none);
			EXPECT_EQ(0, join(sender));
		}
	});
}

TEST_P(Channel, BufferTakesItsCapacityWithoutParking)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {1, 2, 3, 7, 8, 100}) {
			Chan<size_t> chan(capacity);
			EXPECT_EQ(capacity, chan.cap());
			for (size_t i = 0; i < capacity; i++) {
				EXPECT_EQ(i, chan.len());
				chan.put(i); /* alone: it would never return if it parked */
			}
			EXPECT_EQ(capacity, chan.len());
			EXPECT_EQ(-EAGAIN, chan.try_send(0));
			std::atomic<bool> sent{false};
			weft_fiber *sender = spawn([&] {
				chan.put(capacity);
				sent = true;
			});
			settle();
			EXPECT_FALSE(sent);
			EXPECT_EQ(0u, chan.take());
			EXPECT_EQ(capacity, chan.len()) << "the waiting sender's element has moved up";
			EXPECT_EQ(-EAGAIN, chan.try_send(0)) << "nobody overtakes it";
			join(sender);
			for (size_t i = 1; i <= capacity; i++)
				EXPECT_EQ(i, chan.take());
			EXPECT_EQ(0u, chan.len());
		}
	});
}

/* The channel against a deque, by the try forms alone; elements of `size` bytes between guards. */
static void compare_with_deque(size_t size, size_t capacity, unsigned seed)
{
	std::minstd_rand random(seed);
	weft_chan *chan = nullptr;
	ASSERT_EQ(0, weft_chan_new(&chan, size, capacity));
	std::deque<unsigned char> model;
	std::vector<unsigned char> out(size + 1), in(size + 32);
	unsigned char next = 0;
	for (int step = 0; step < 200; step++) {
		EXPECT_EQ(model.size(), weft_chan_len(chan));
		/* In waves, so that it is both full and empty at times. */
		if (random() % 4 != (step / 40 % 2 == 0 ? 0u : 1u)) {
			std::fill(out.begin(), out.end(), ++next);
			int want = model.size() < capacity ? 0 : -EAGAIN;
			ASSERT_EQ(want, weft_chan_try_send(chan, out.data()));
			if (want == 0)
				model.push_back(next);
			continue;
		}
		std::fill(in.begin(), in.end(), static_cast<unsigned char>(0xee));
		int want = model.empty() ? -EAGAIN : 0;
		ASSERT_EQ(want, weft_chan_try_recv(chan, in.data() + 16));
		for (size_t i = 0; i < in.size(); i++) {
			bool written = want == 0 && i >= 16 && i < 16 + size;
			ASSERT_EQ(written ? model.front() : 0xee, in[i])
				<< "byte " << i << " of " << size;
		}
		if (want == 0)
			model.pop_front();
	}
	weft_chan_free(chan); /* elements left in it are dropped */
}

TEST_P(Channel, IsAQueueOfElementsOfAnySize)
{
	run_virtual(GetParam(), [] {
		unsigned seed = 1;
		for (size_t size : {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 32, 63, 64, 65, 100, 4096})
			for (size_t capacity : {0, 1, 2, 3, 4, 5, 16, 33})
				compare_with_deque(size, capacity, ++seed);
	});
}

/* How the tests of order wait: in a plain call, or in a select of several cases. */
static int wait_to_recv(const Chan<int> &chan, int way, int *value)
{
	if (way % 2 == 0)
		return chan.recv(value);
	Chan<int> idle;
	int other = -1;
	weft_case cases[] = {recv_case(idle, &other), recv_case(chan, value), send_case(idle, &way)};
	int index = weft_select(cases, 3, WEFT_FOREVER);
	EXPECT_EQ(1, index);
	EXPECT_EQ(-1, other);
	return index < 0 ? index : cases[1].status;
}

static int wait_to_send(const Chan<int> &chan, int way, int value)
{
	if (way % 2 == 0)
		return chan.send(value);
	Chan<int> idle;
	int other = -1;
	weft_case cases[] = {recv_case(idle, &other), send_case(chan, &value)};
	int index = weft_select(cases, 2, WEFT_FOREVER);
	EXPECT_EQ(1, index);
	return index < 0 ? index : cases[1].status;
}

TEST_P(Channel, WaitingReceiversAreServedInOrder)
{
	run_virtual(GetParam(), [] {
		constexpr int N = 12;
		for (size_t capacity : {0, 1, 5}) {
			Chan<int> chan(capacity);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < N; i++) {
				fibers.push_back(spawn([&chan, i] {
					int value = -1;
					int error = wait_to_recv(chan, i, &value);
					return error == 0 ? value : error;
				}));
				settle();
			}
			/* The third leaves; those behind it keep their order. */
			EXPECT_EQ(0, weft_cancel(fibers[2]));
			settle();
			int next = 0;
			for (int i = 0; i < N - 1; i++) {
				EXPECT_EQ(0, i % 3 == 0 ? chan.send(i) : chan.try_send(i));
				int none;
				EXPECT_EQ(-EAGAIN, chan.try_recv(&none))
					<< "it belongs to one who waited";
			}
			for (int i = 0; i < N; i++) {
				intptr_t got = join(fibers[static_cast<size_t>(i)]);
				EXPECT_EQ(i == 2 ? -ECANCELED : next++, got);
			}
		}
	});
}

TEST_P(Channel, WaitingSendersAreServedInOrder)
{
	run_virtual(GetParam(), [] {
		constexpr int N = 12;
		for (int capacity : {0, 1, 5}) {
			Chan<int> chan(static_cast<size_t>(capacity));
			for (int i = 0; i < capacity; i++)
				chan.put(i);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < N; i++) {
				fibers.push_back(spawn([&chan, i, capacity] {
					return wait_to_send(chan, i, capacity + i);
				}));
				settle();
			}
			for (int i = 0; i < capacity + N; i++) {
				EXPECT_EQ(i, i % 3 == 0 ? chan.take() : chan.take_now());
				int late = i < N ? chan.try_send(99) : -EAGAIN;
				EXPECT_EQ(-EAGAIN, late) << "it would overtake them";
			}
			for (weft_fiber *fiber : fibers)
				EXPECT_EQ(0, join(fiber));
		}
	});
}

TEST_P(Channel, Closed)
{
	run_virtual(GetParam(), [] {
		for (int capacity : {0, 1, 4}) {
			Chan<int> chan(static_cast<size_t>(capacity));
			for (int i = 0; i < capacity; i++)
				chan.put(i);
			EXPECT_EQ(0, chan.close());
			EXPECT_EQ(-EPIPE, chan.close());
			for (int i = 0; i < capacity; i++) {
				EXPECT_EQ(-EPIPE, chan.send(9));
				EXPECT_EQ(-EPIPE, chan.try_send(9));
				EXPECT_EQ(static_cast<size_t>(capacity - i), chan.len());
				EXPECT_EQ(i, i % 2 == 0 ? chan.take() : chan.take_now());
			}
			for (int i = 0; i < 3; i++) {
				int none = -1;
				EXPECT_EQ(-EPIPE, chan.recv(&none));
				EXPECT_EQ(-EPIPE, chan.try_recv(&none));
				EXPECT_EQ(-EPIPE, chan.send(9));
				EXPECT_EQ(-EPIPE, chan.try_send(9));
				EXPECT_EQ(-EPIPE, chan.close());
				EXPECT_EQ(-1, none) << "nothing written";
			}
			EXPECT_EQ(0u, chan.len());
			EXPECT_EQ(static_cast<size_t>(capacity), chan.cap());
		}
	});
}

TEST_P(Channel, ClosingWakesReceivers)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {0, 3}) {
			Chan<int> chan(capacity);
			std::vector<weft_fiber *> fibers;
			int told = 0; /* what the closer wrote before is seen by whom it wakes */
			for (int i = 0; i < 30; i++)
				fibers.push_back(spawn([&chan, &told, i] {
					int value = -1;
					int error = wait_to_recv(chan, i, &value);
					EXPECT_EQ(-1, value);
					EXPECT_EQ(5, told);
					return error;
				}));
			settle();
			told = 5;
			EXPECT_EQ(0, chan.close());
			for (weft_fiber *fiber : fibers)
				EXPECT_EQ(-EPIPE, join(fiber));
		}
	});
}

TEST_P(Channel, ClosingWakesSenders)
{
	run_virtual(GetParam(), [] {
		for (int capacity : {0, 3}) {
			Chan<int> chan(static_cast<size_t>(capacity));
			for (int i = 0; i < capacity; i++)
				chan.put(i);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 30; i++)
				fibers.push_back(
					spawn([&chan, i] { return wait_to_send(chan, i, 100 + i); }));
			settle();
			EXPECT_EQ(0, chan.close());
			for (int i = 0; i < capacity; i++)
				EXPECT_EQ(i, chan.take()) << "what was sent before";
			int none = -1;
			EXPECT_EQ(-EPIPE, chan.recv(&none)) << "and nothing of those who waited";
			EXPECT_EQ(-1, none);
			for (weft_fiber *fiber : fibers)
				EXPECT_EQ(-EPIPE, join(fiber));
		}
	});
}

TEST_P(Channel, ClosingWakesThoseWhoWaitToDoEither)
{
	run_virtual(GetParam(), [] {
		/* A select does not meet itself, so these wait on one side or the other until the first partner
		 * comes. */
		Chan<int> chan, other;
		weft_fiber *fiber = spawn([&] {
			int in = -1, out = 1;
			weft_case cases[] = {
				recv_case(other, &in), send_case(chan, &out), recv_case(chan, &in)};
			int index = weft_select(cases, 3, WEFT_FOREVER);
			EXPECT_TRUE(index == 1 || index == 2) << index;
			EXPECT_EQ(-1, in);
			return cases[index].status;
		});
		settle();
		EXPECT_EQ(0, chan.close());
		EXPECT_EQ(-EPIPE, join(fiber));
	});
}

TEST_P(Channel, OneOfManyCloses)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(300, 50); round++) {
			Chan<int> chan;
			std::atomic<int> closed{0}, refused{0};
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 8; i++) {
				fibers.push_back(
					spawn([&] { (chan.close() == 0 ? closed : refused)++; }));
				fibers.push_back(spawn([&chan, i] {
					int value = -1;
					EXPECT_EQ(-EPIPE, wait_to_recv(chan, i, &value));
				}));
			}
			join_all(fibers);
			EXPECT_EQ(1, closed.load());
			EXPECT_EQ(7, refused.load());
		}
	});
}

TEST_P(Channel, ElementsWithoutBytes)
{
	run_virtual(GetParam(), [] {
		Chan<nothing> chan(3), meet;
		nothing element;
		EXPECT_EQ(0, weft_chan_send(chan.get(), nullptr));
		EXPECT_EQ(0, weft_chan_send(chan.get(), &element));
		EXPECT_EQ(0, weft_chan_try_send(chan.get(), nullptr));
		EXPECT_EQ(-EAGAIN, weft_chan_try_send(chan.get(), nullptr));
		EXPECT_EQ(3u, chan.len());
		char guard = 'g';
		EXPECT_EQ(0, weft_chan_recv(chan.get(), &guard));
		EXPECT_EQ(0, weft_chan_try_recv(chan.get(), &guard));
		EXPECT_EQ('g', guard) << "not written";
		EXPECT_EQ(0, weft_chan_recv(chan.get(), nullptr));
		EXPECT_EQ(-EAGAIN, weft_chan_try_recv(chan.get(), nullptr));
		weft_case cases[] = {send_case(chan.get(), nullptr), recv_case(meet.get(), nullptr)};
		EXPECT_EQ(0, weft_select(cases, 2, 0));
		EXPECT_EQ(1u, chan.len());

		long count = 0;
		weft_fiber *counter = spawn([&] {
			while (weft_chan_recv(meet.get(), nullptr) == 0)
				count++;
		});
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(0, weft_chan_send(meet.get(), nullptr));
		EXPECT_EQ(0, meet.close());
		join(counter);
		EXPECT_EQ(100, count);
	});
}

struct big {
	unsigned char bytes[100000];
};

static void fill_big(big *element, int seed)
{
	for (size_t i = 0; i < sizeof(element->bytes); i++)
		element->bytes[i] = static_cast<unsigned char>(i * 7 + static_cast<size_t>(seed));
}

static bool is_big(const big &element, int seed)
{
	for (size_t i = 0; i < sizeof(element.bytes); i++)
		if (element.bytes[i] != static_cast<unsigned char>(i * 7 + static_cast<size_t>(seed)))
			return false;
	return true;
}

TEST_P(Channel, BigElements)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {0, 1, 3}) {
			Chan<big> chan(capacity);
			/* Not on the stacks of the fibers: those are smaller. */
			weft_fiber *sender = spawn([&] {
				auto element = std::make_unique<big>();
				for (int i = 0; i < 20; i++) {
					fill_big(element.get(), i);
					if (i % 5 == 4)
						settle(); /* the receiver waits */
					EXPECT_EQ(0, weft_chan_send(chan.get(), element.get()));
					fill_big(element.get(), 99); /* it was copied */
				}
			});
			auto element = std::make_unique<big>();
			for (int i = 0; i < 20; i++) {
				weft_case one = recv_case(chan.get(), element.get());
				EXPECT_EQ(0,
					i % 3 == 0 ? weft_select(&one, 1, WEFT_FOREVER)
						   : weft_chan_recv(chan.get(), element.get()));
				EXPECT_TRUE(is_big(*element, i));
				if (i % 7 == 6)
					settle(); /* the sender waits */
			}
			join(sender);
			/* What is left in the buffer goes with the channel. */
			int error = weft_chan_try_send(chan.get(), element.get());
			EXPECT_EQ(capacity > 0 ? 0 : -EAGAIN, error);
		}
	});
}

/* The compiler takes the address of errno to be constant, which it is not for a fiber that moves: so not
 * inline. */
UNSEEN_BY_TSAN static int errno_now()
{
	return errno;
}

UNSEEN_BY_TSAN static void set_errno(int value)
{
	errno = value;
}

TEST_P(Channel, ErrnoIsUntouched)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan(1);
		int value = 0;
		set_errno(4321);
		chan.try_recv(&value);
		EXPECT_EQ(4321, errno_now());
		chan.put(1);
		chan.try_send(1);
		weft_fiber *fiber = spawn([&] {
			set_errno(1234);
			EXPECT_EQ(0, chan.send(2));
			EXPECT_EQ(1234, errno_now());
			int got;
			weft_case one = recv_case(chan, &got);
			EXPECT_EQ(0, weft_select(&one, 1, WEFT_FOREVER));
			EXPECT_EQ(0, weft_select(&one, 1, WEFT_FOREVER));
			EXPECT_EQ(-ETIMEDOUT, weft_select(&one, 1, weft_after(WEFT_US)));
			EXPECT_EQ(1234, errno_now());
		});
		set_errno(4321); /* spawn() takes memory */
		settle();
		EXPECT_EQ(1, chan.take());
		chan.put(3);
		join(fiber);
		chan.close();
		EXPECT_EQ(4321, errno_now());
	});
}

/* Pinned fibers stay where they are, whoever wakes them. */
TEST_P(Channel, PinnedFibersTalk)
{
	run(GetParam(), [] {
		Chan<int> ping, pong(1);
		weft_attr pinned{};
		pinned.flags = WEFT_PINNED;
		weft_fiber *fiber = spawn(
			[&] {
				unsigned home = weft_worker_index();
				int value;
				while (ping.recv(&value) == 0) {
					EXPECT_EQ(home, weft_worker_index());
					pong.put(value + 1);
				}
				EXPECT_EQ(home, weft_worker_index());
			},
			pinned);
		for (int i = 0; i < times(2000, 200); i++) {
			ping.put(i);
			EXPECT_EQ(i + 1, pong.take());
		}
		ping.close();
		join(fiber);
	});
}
