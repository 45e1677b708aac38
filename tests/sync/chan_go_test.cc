/* SPDX-License-Identifier: MIT */
/* chan_go_test.cc - what Go's runtime asserts of its channels (runtime/chan_test.go), asked of these
 *
 * Law  a channel is what a Go programmer expects. Where Go has an answer of its own weft's stands here: a send
 *      on a closed channel is -EPIPE and no panic, a receive from one is -EPIPE and no zero value, `default` is
 *      a deadline of 0. Stacks do not move here; the tests of moving stacks become tests of parked fibers whose
 *      frames stay intact.
 */
#include <algorithm>
#include <atomic>
#include <map>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class GoChan : public Workers
{
};
FOR_WORKERS(GoChan);

/* The capacities of TestChan; not all 200 of them under a sanitizer. */
static std::vector<size_t> capacities()
{
	std::vector<size_t> all;
	for (size_t capacity = 0; capacity < 200; capacity += capacity < 8 ? 1 : sanitized ? 61 : 8)
		all.push_back(capacity);
	return all;
}

TEST_P(GoChan, ReceiveFromEmptyBlocks)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : capacities()) {
			Chan<int> c(capacity);
			std::atomic<int> received{0};
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 2; i++)
				fibers.push_back(spawn([&] {
					EXPECT_EQ(0, c.take());
					received++;
				}));
			settle();
			EXPECT_EQ(0, received.load());
			int value = -1;
			weft_case one = recv_case(c, &value);
			EXPECT_EQ(-EAGAIN, weft_select(&one, 1, 0));
			EXPECT_EQ(-EAGAIN, c.try_recv(&value));
			EXPECT_EQ(-1, value);
			c.put(0);
			c.put(0);
			join_all(fibers);
		}
	});
}

TEST_P(GoChan, SendToFullBlocks)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : capacities()) {
			Chan<size_t> c(capacity);
			EXPECT_EQ(0u, c.len());
			for (size_t i = 0; i < capacity; i++)
				c.put(i);
			EXPECT_EQ(capacity, c.len());
			EXPECT_EQ(capacity, c.cap());
			std::atomic<bool> sent{false};
			weft_fiber *sender = spawn([&] {
				c.put(capacity);
				sent = true;
			});
			settle();
			EXPECT_FALSE(sent);
			size_t zero = 0;
			weft_case one = send_case(c, &zero);
			EXPECT_EQ(-EAGAIN, weft_select(&one, 1, 0));
			EXPECT_EQ(0u, c.take());
			join(sender);
		}
	});
}

TEST_P(GoChan, CloseKeepsWhatIsBufferedAndUnblocksReceive)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : capacities()) {
			Chan<size_t> c(capacity), d(capacity);
			for (size_t i = 0; i < capacity; i++)
				c.put(i);
			EXPECT_EQ(0, c.close());
			for (size_t i = 0; i < capacity; i++)
				EXPECT_EQ(i, c.take());
			size_t value = 5;
			EXPECT_EQ(-EPIPE, c.recv(&value));
			EXPECT_EQ(-EPIPE, c.recv(&value));
			EXPECT_EQ(5u, value);

			weft_fiber *receiver = spawn([&] {
				size_t none = 6;
				int error = d.recv(&none);
				EXPECT_EQ(6u, none);
				return error;
			});
			settle();
			EXPECT_EQ(0, d.close());
			EXPECT_EQ(-EPIPE, join(receiver));
		}
	});
}

static void send_a_hundred(size_t capacity)
{
	Chan<int> c(capacity);
	for (int round = 0; round < 2; round++) {
		weft_fiber *sender = spawn([&] {
			for (int i = 0; i < 100; i++)
				c.put(i);
		});
		for (int i = 0; i < 100; i++) {
			int value = -1;
			weft_case one = recv_case(c, &value);
			EXPECT_EQ(0, round == 0 ? c.recv(&value) : weft_select(&one, 1, WEFT_FOREVER));
			EXPECT_EQ(i, value);
		}
		join(sender);
	}
}

static void send_from_four_to_four(size_t capacity, int count)
{
	constexpr int P = 4;
	Chan<int> c(capacity);
	Chan<std::map<int, int> *> done;
	std::vector<weft_fiber *> fibers;
	for (int p = 0; p < P; p++) {
		fibers.push_back(spawn([&] {
			for (int i = 0; i < count; i++)
				c.put(i);
		}));
		fibers.push_back(spawn([&] {
			auto got = new std::map<int, int>;
			for (int i = 0; i < count; i++)
				++(*got)[c.take()];
			done.put(got);
		}));
	}
	std::map<int, int> sum;
	for (int p = 0; p < P; p++) {
		std::unique_ptr<std::map<int, int>> got(done.take());
		for (auto [value, times_got] : *got)
			sum[value] += times_got;
	}
	EXPECT_EQ(static_cast<size_t>(count), sum.size());
	for (auto [value, times_got] : sum)
		EXPECT_EQ(P, times_got) << value;
	join_all(fibers);
}

TEST_P(GoChan, FirstInFirstOutAndNothingLost)
{
	run(GetParam(), [] {
		for (size_t capacity : capacities()) {
			send_a_hundred(capacity);
			send_from_four_to_four(capacity, static_cast<int>(times(1000, 200)));
		}
	});
}

TEST_P(GoChan, NonblockRecvRace)
{
	run(GetParam(), [] {
		for (long i = 0; i < times(10000, 1000); i++) {
			Chan<int> c(1);
			c.put(1);
			weft_fiber *fiber = spawn([&] {
				int value = -1;
				weft_case one = recv_case(c, &value);
				int index = weft_select(&one, 1, 0);
				EXPECT_EQ(0, index) << "it has an element, or is closed";
				return index == 0 && one.status == 0 ? 1 : 0;
			});
			EXPECT_EQ(0, c.close());
			int value = -1;
			int mine = c.recv(&value) == 0 ? 1 : 0;
			EXPECT_EQ(1, mine + join(fiber)) << "one of the two has it";
		}
	});
}

/* At every moment one of two channels is ready; a select that sees neither looked at two moments. */
static void select_while_readiness_moves(bool by_closing)
{
	for (long i = 0; i < times(20000, 2000); i++) {
		Chan<int> c1(1), c2(by_closing ? 0 : 1);
		c1.put(1);
		weft_fiber *fiber = spawn([&] {
			int value;
			weft_case cases[] = {recv_case(c1, &value), recv_case(c2, &value)};
			return weft_select(cases, 2, 0);
		});
		EXPECT_EQ(0, by_closing ? c2.close() : c2.send(1));
		int value;
		weft_case first = recv_case(c1, &value);
		weft_select(&first, 1, 0);
		EXPECT_GE(join(fiber), 0) << "no channel was ready";
	}
}

TEST_P(GoChan, NonblockSelectRace)
{
	run(GetParam(), [] { select_while_readiness_moves(false); });
}

TEST_P(GoChan, NonblockSelectRace2)
{
	run(GetParam(), [] { select_while_readiness_moves(true); });
}

TEST_P(GoChan, SelfSelect)
{
	run(GetParam(), [] {
		for (size_t capacity : {0, 10}) {
			Chan<int> c(capacity);
			std::vector<weft_fiber *> fibers;
			for (int p = 0; p < 2; p++)
				fibers.push_back(spawn([&c, p, capacity] {
					for (int i = 0; i < 1000; i++) {
						int value = -1;
						weft_case cases[] = {
							send_case(c, &p), recv_case(c, &value)};
						bool send_first = p == 0 || i % 2 == 0;
						if (!send_first)
							std::swap(cases[0], cases[1]);
						int index = weft_select(cases, 2, WEFT_FOREVER);
						bool sent = (index == 0) == send_first;
						EXPECT_GE(index, 0);
						bool from_itself =
							capacity == 0 && !sent && value != 1 - p;
						EXPECT_FALSE(from_itself) << value;
					}
				}));
			join_all(fibers);
		}
	});
}

/* `count` times each of four cases in one select; a case that is used up becomes NULL. */
static void select_four(Chan<int> **c, const int *order, bool sending, long count)
{
	int zero = 0, value;
	long done[4] = {};
	weft_case cases[4];
	for (int i = 0; i < 4; i++)
		cases[i] = sending ? send_case(*c[order[i]], &zero) : recv_case(*c[order[i]], &value);
	for (long i = 0; i < 4 * count; i++) {
		int index = weft_select(cases, 4, WEFT_FOREVER);
		ASSERT_GE(index, 0);
		ASSERT_EQ(0, cases[index].status);
		if (++done[index] == count)
			cases[index].chan = nullptr;
	}
	for (weft_case &one : cases)
		EXPECT_EQ(nullptr, one.chan);
}

TEST_P(GoChan, SelectStress)
{
	run(GetParam(), [] {
		Chan<int> c0, c1, c2(2), c3(3);
		Chan<int> *c[] = {&c0, &c1, &c2, &c3};
		long count = times(20000, 1000);
		std::vector<weft_fiber *> fibers;
		for (Chan<int> *one : c) {
			fibers.push_back(spawn([one, count] {
				for (long i = 0; i < count; i++)
					one->put(0);
			}));
			fibers.push_back(spawn([one, count] {
				for (long i = 0; i < count; i++)
					one->take();
			}));
		}
		const int send_order[] = {3, 2, 0, 1}, recv_order[] = {0, 1, 2, 3};
		fibers.push_back(spawn([&] { select_four(c, send_order, true, count); }));
		fibers.push_back(spawn([&] { select_four(c, recv_order, false, count); }));
		join_all(fibers);
		for (Chan<int> *one : c)
			EXPECT_EQ(0u, one->len());
	});
}

TEST_P(GoChan, SelectFairness)
{
	run(GetParam(), [] {
		long trials = times(10000, 2000);
		Chan<char> c1(static_cast<size_t>(trials) + 1), c2(static_cast<size_t>(trials) + 1);
		Chan<char> c3, c4, out;
		Chan<nothing> done;
		for (long i = 0; i <= trials; i++) {
			c1.put(0);
			c2.put(1);
		}
		weft_fiber *fiber = spawn([&] {
			for (;;) {
				char b = 9;
				weft_case in[] = {recv_case(c3, &b), recv_case(c4, &b),
					recv_case(c1, &b), recv_case(c2, &b)};
				EXPECT_GE(weft_select(in, 4, WEFT_FOREVER), 2);
				weft_case hand_on[] = {
					send_case(out, &b), recv_case(done.get(), nullptr)};
				if (weft_select(hand_on, 2, WEFT_FOREVER) == 1)
					return;
			}
		});
		std::vector<long> counts(2);
		for (long i = 0; i < trials; i++)
			counts[static_cast<size_t>(out.take())]++;
		EXPECT_EQ(0, done.close());
		join(fiber);
		EXPECT_TRUE(evenly_drawn(counts));
	});
}

/* A select whose cases all hold the same channel and no room: it does not park. */
TEST_P(GoChan, SendToFullInSelectOfTwo)
{
	run_virtual(GetParam(), [] {
		Chan<void *> c(1);
		void *m = &c, *n = nullptr;
		c.put(m);
		EXPECT_EQ(-EAGAIN, c.try_send(m));
		weft_case cases[] = {send_case(c, &m), send_case(c, &n)};
		EXPECT_EQ(-EAGAIN, weft_select(cases, 2, 0));
		EXPECT_EQ(m, c.take());
		EXPECT_EQ(0u, c.len());
	});
}

TEST_P(GoChan, PseudoRandomSend)
{
	run(GetParam(), [] {
		constexpr int N = 1000;
		for (size_t capacity : {0, N}) {
			Chan<int> c(capacity);
			long ones = 0;
			weft_fiber *receiver = spawn([&] {
				for (int i = 0; i < N; i++) {
					weft_yield();
					ones += c.take();
				}
			});
			int zero = 0, one = 1;
			weft_case cases[] = {send_case(c, &one), send_case(c, &zero)};
			for (int i = 0; i < N; i++)
				EXPECT_GE(weft_select(cases, 2, WEFT_FOREVER), 0);
			join(receiver);
			EXPECT_GT(ones, N / 10) << "capacity " << capacity;
			EXPECT_LT(ones, N - N / 10) << "capacity " << capacity;
		}
	});
}

TEST_P(GoChan, MultiConsumer)
{
	run(GetParam(), [] {
		constexpr int WORKERS = 23;
		long rounds = times(100000, 5000);
		const std::vector<int> numbers = {2, 3, 7, 11, 13, 17, 19, 23, 27, 31};
		Chan<int> q(WORKERS * 3), r(WORKERS * 3);
		long expected = 0;
		weft_fiber *feeder = spawn([&] {
			std::vector<weft_fiber *> workers;
			for (size_t w = 0; w < WORKERS; w++)
				workers.push_back(spawn([&, w] {
					int value;
					while (q.recv(&value) == 0) {
						if (numbers[w % numbers.size()] == value)
							weft_yield();
						r.put(value);
					}
				}));
			for (long i = 0; i < rounds; i++) {
				int value = numbers[static_cast<size_t>(i) % numbers.size()];
				expected += value;
				q.put(value);
			}
			EXPECT_EQ(0, q.close());
			join_all(workers);
			EXPECT_EQ(0, r.close());
		});
		long count = 0, sum = 0;
		int value;
		while (r.recv(&value) == 0) {
			count++;
			sum += value;
		}
		join(feeder);
		EXPECT_EQ(rounds, count);
		EXPECT_EQ(expected, sum);
	});
}

/* Fills frames below the caller's, as deep as a default stack allows. */
__attribute__((noinline)) static int use_stack(int depth)
{
	volatile char frame[1024];
	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = static_cast<char>(depth);
	int below = depth > 0 ? use_stack(depth - 1) : 0;
	return below + frame[sizeof(frame) / 2];
}

TEST_P(GoChan, BlockedSendKeepsItsFrame)
{
	run_virtual(GetParam(), [] {
		constexpr int N = 10;
		Chan<int> c;
		Chan<nothing> done;
		weft_fiber *sender = spawn([&] {
			for (int i = 0; i < N; i++) {
				c.put(i);
				use_stack(20);
			}
			EXPECT_EQ(0, done.send({}));
		});
		for (int i = 0; i < N; i++) {
			EXPECT_EQ(i, c.take());
			settle(); /* the sender has used its stack, and waits in its send again */
			/* Stacks of others, new and recycled. */
			std::vector<weft_fiber *> others;
			for (int k = 0; k < 10; k++)
				others.push_back(spawn([] { use_stack(20); }));
			join_all(others);
		}
		done.take();
		join(sender);
	});
}

/* Two that park and wake each other as fast as they can, one with a deep stack each time; meanwhile others end
 * and spawn. */
TEST_P(GoChan, ParkingAgainstWaking)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(300, 30); round++) {
			Chan<nothing> c;
			std::vector<weft_fiber *> fibers;
			fibers.push_back(spawn([&] {
				for (int i = 0; i < 30; i++) {
					EXPECT_EQ(0, c.send({}));
					use_stack(10);
				}
			}));
			fibers.push_back(spawn([&] {
				for (int i = 0; i < 30; i++)
					c.take();
			}));
			fibers.push_back(spawn([] { use_stack(20); }));
			join_all(fibers);
		}
	});
}

TEST_P(GoChan, SelectDuplicateChannel)
{
	run_virtual(GetParam(), [] {
		Chan<int> c, d, e;
		weft_fiber *a = spawn([&] {
			int value;
			weft_case cases[] = {
				recv_case(c, &value), recv_case(c, &value), recv_case(d, &value)};
			EXPECT_EQ(2, weft_select(cases, 3, WEFT_FOREVER));
			EXPECT_EQ(7, value);
			e.put(9);
		});
		settle(); /* a stands twice in c's queue */
		weft_fiber *b = spawn([&] { return c.take(); });
		settle();
		d.put(7);
		EXPECT_EQ(9, e.take());
		c.put(8); /* reaches b, although a stood before it */
		EXPECT_EQ(8, join(b));
		join(a);
	});
}

/* What a select did not receive into is as it was, whether or not its channels stand in it twice. */
TEST_P(GoChan, SelectLeavesOtherVariables)
{
	run_virtual(GetParam(), [] {
		Chan<int *> c, d;
		std::vector<weft_fiber *> fibers;
		for (bool twice : {false, true})
			fibers.push_back(spawn([&, twice] {
				use_stack(10);
				int value = 42;
				int *own = &value, *other = nullptr;
				weft_chan *c2 = twice ? c.get() : nullptr,
					  *d2 = twice ? d.get() : nullptr;
				weft_case cases[] = {recv_case(c, &own), recv_case(c2, &own),
					recv_case(d, &other), recv_case(d2, &other)};
				EXPECT_GE(weft_select(cases, 4, WEFT_FOREVER), 2);
				EXPECT_EQ(&value, own);
				EXPECT_EQ(&c, reinterpret_cast<Chan<int *> *>(other));
				*own = 43;
				EXPECT_EQ(43, value);
			}));
		settle();
		for (size_t i = 0; i < fibers.size(); i++)
			d.put(reinterpret_cast<int *>(&c));
		join_all(fibers);
	});
}
