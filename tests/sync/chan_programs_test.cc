/* SPDX-License-Identifier: MIT */
/* chan_programs_test.cc - small programs of channels and fibers: those of Go's test/chan, asked of weft
 *
 * Law  programs that are known to work with Go's channels give the same results here, on any number of workers.
 * Law  processes without an end of their own are ended by the end of the runtime: each of their calls is then
 *      -ECANCELED.
 */
#include <atomic>
#include <deque>
#include <mutex>
#include <numeric>
#include <queue>
#include <set>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class GoPrograms : public Workers
{
};
FOR_WORKERS(GoPrograms);

/* Channels for processes that run to the end of the runtime; outlives it. Made by any fiber. */
template <typename T>
class Channels
{
public:
	Chan<T> *make(size_t capacity = 0)
	{
		std::lock_guard<std::mutex> hold(mutex_);
		return &all_.emplace_back(capacity);
	}

private:
	std::mutex mutex_;
	std::deque<Chan<T>> all_;
};

TEST_P(GoPrograms, Fifo)
{
	run(GetParam(), [] {
		constexpr int N = 10;
		Chan<int> buffered(N), meet, start;
		for (int i = 0; i < N; i++)
			buffered.put(i);
		for (int i = 0; i < N; i++)
			EXPECT_EQ(i, buffered.take());

		/* A chain of readers, each of which waits for the one before it. */
		Channels<int> channels;
		std::vector<weft_fiber *> fibers;
		Chan<int> *in = &start;
		for (int i = 0; i < N; i++) {
			Chan<int> *out = channels.make();
			fibers.push_back(spawn([&meet, in, out, i] {
				in->take();
				EXPECT_EQ(i, meet.take());
				out->put(1);
			}));
			in = out;
		}
		start.put(0);
		for (int i = 0; i < N; i++)
			meet.put(i);
		EXPECT_EQ(1, in->take());
		join_all(fibers);
	});
}

TEST_P(GoPrograms, ChainOfManyFibers)
{
	Channels<long> channels;
	run(GetParam(), [&] {
		long count = std::min(times(10000, 1000), fibers_max);
		Chan<long> *left = channels.make(), *right = left;
		std::vector<weft_fiber *> fibers;
		for (long i = 0; i < count; i++) {
			Chan<long> *next = channels.make();
			fibers.push_back(spawn([right, next] { right->put(1 + next->take()); }));
			right = next;
		}
		fibers.push_back(spawn([right] { right->put(0); }));
		EXPECT_EQ(count, left->take());
		join_all(fibers);
	});
}

/* One type through a channel by the calls that do not park, on both sides. */
template <typename T>
void talk_without_parking(size_t capacity, T there, T back)
{
	Chan<T> c(capacity);
	T got{};
	EXPECT_EQ(-EAGAIN, c.try_recv(&got)) << "nobody sends";
	weft_fiber *receiver = spawn([&] { EXPECT_TRUE(c.take() == there); });
	settle();
	EXPECT_EQ(0, c.try_send(there));
	join(receiver);
	weft_fiber *sender = spawn([&] { c.put(back); });
	settle();
	EXPECT_EQ(0, c.try_recv(&got));
	EXPECT_TRUE(got == back);
	join(sender);
	EXPECT_EQ(-EAGAIN, c.try_recv(&got));
}

struct text {
	char bytes[24];
	bool operator==(const text &other) const
	{
		return strcmp(bytes, other.bytes) == 0;
	}
};

TEST_P(GoPrograms, Nonblock)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {0, 1}) {
			talk_without_parking<int32_t>(capacity, 123, 234);
			talk_without_parking<int64_t>(capacity, 123456, 234567);
			talk_without_parking<bool>(capacity, true, true);
			talk_without_parking<text>(capacity, {"hello"}, {"hello again"});
		}
	});
}

/* Sends 1, 2, 4... on whichever of the two is free, until none is. */
static int send_to_free(weft_chan *a, weft_chan *b, unsigned *shift)
{
	int sent = 0;
	for (;;) {
		unsigned value = 1u << *shift;
		weft_case cases[] = {send_case(a, &value), send_case(b, &value)};
		int index = weft_select(cases, 2, 0);
		if (index == -EAGAIN)
			return sent;
		EXPECT_EQ(0, cases[index].status);
		(index == 0 ? a : b) = nullptr;
		sent++;
		++*shift;
	}
}

TEST_P(GoPrograms, SelectWithChannelsThatBecomeNil)
{
	run(GetParam(), [] {
		Chan<unsigned> a(1), b(1);
		unsigned shift = 0;
		EXPECT_EQ(2, send_to_free(a.get(), b.get(), &shift));
		EXPECT_EQ(3u, a.take() | b.take());
		EXPECT_EQ(1, send_to_free(a.get(), nullptr, &shift));
		EXPECT_EQ(4u, a.take());
	});
}

TEST_P(GoPrograms, SelectsUseNoMemory)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers keep what was freed";
	run(GetParam(), [] {
		Chan<int> c, idle;
		auto rounds = [&](size_t count) {
			constexpr long N = 50000;
			weft_fiber *sender = spawn([&] {
				for (long i = 0; i < N; i++)
					c.put(1);
			});
			int value;
			std::vector<weft_case> cases(count, recv_case(idle, &value));
			cases[count / 2] = recv_case(c, &value);
			for (long i = 0; i < N; i++)
				EXPECT_EQ(static_cast<int>(count / 2),
					weft_select(cases.data(), count, WEFT_FOREVER));
			join(sender);
		};
		for (size_t count : {2, 10}) {
			rounds(count);
			long before = rss_bytes();
			rounds(count);
			EXPECT_LT(rss_bytes() - before, 2 << 20) << count << " cases";
		}
	});
}

/* Whether fn, alone with the channels it uses, waits for ever. */
template <typename Fn>
bool blocks(Fn fn)
{
	std::atomic<bool> ended{false};
	weft_fiber *fiber = spawn([&] {
		fn();
		ended = true;
	});
	EXPECT_EQ(0, weft_sleep(100 * WEFT_SEC));
	bool blocked = !ended;
	weft_cancel(fiber);
	join(fiber);
	return blocked;
}

static int select_of(std::initializer_list<weft_case> cases, weft_ns deadline = WEFT_FOREVER)
{
	std::vector<weft_case> copy(cases);
	int index = weft_select(copy.data(), copy.size(), deadline);
	return index >= 0 && copy[static_cast<size_t>(index)].status != 0
		? copy[static_cast<size_t>(index)].status
		: index;
}

TEST_P(GoPrograms, WhatBlocksAndWhatDoesNot)
{
	run_virtual(GetParam(), [] {
		Chan<int> closed, meet, async(1), holds(1);
		EXPECT_EQ(0, closed.close());
		holds.put(7);
		int v = 7;
		weft_case nil_recv = recv_case(nullptr, &v), nil_send = send_case(nullptr, &v);

		EXPECT_FALSE(blocks([&] { EXPECT_EQ(0, async.send(7)); }));
		EXPECT_FALSE(blocks([&] {
			for (int i = 0; i < 10; i++)
				EXPECT_EQ(-EPIPE, closed.recv(&v));
		}));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EPIPE, closed.send(7)); }));
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, meet.recv(&v)); }));
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, meet.send(7)); }));

		/* Selects without a case, with nil channels only, with channels that are not ready. */
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, select_of({})); }));
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, select_of({nil_recv})); }));
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, select_of({nil_send})); }));
		EXPECT_TRUE(blocks([&] {
			EXPECT_EQ(-ECANCELED, select_of({nil_recv, nil_send}));
		}));
		EXPECT_TRUE(blocks([&] { EXPECT_EQ(-ECANCELED, select_of({recv_case(meet, &v)})); }));

		/* With a default. */
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EAGAIN, select_of({}, 0)); }));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EAGAIN, select_of({nil_recv}, 0)); }));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EAGAIN, select_of({nil_send}, 0)); }));

		/* Ready, with and without a default. */
		async.take();
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(0, select_of({send_case(async, &v)}, 0)); }));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(0, select_of({recv_case(holds, &v)}, 0)); }));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EPIPE, select_of({recv_case(closed, &v)})); }));
		EXPECT_FALSE(blocks([&] { EXPECT_EQ(-EPIPE, select_of({send_case(closed, &v)})); }));

		/* A select that sees itself. */
		EXPECT_TRUE(blocks([&] {
			int in = -1;
			EXPECT_EQ(-ECANCELED, select_of({send_case(meet, &v), recv_case(meet, &in)}));
			EXPECT_EQ(-1, in);
		}));
	});
}

TEST_P(GoPrograms, SelectTouchesNothingOfCasesThatDoNotRun)
{
	run(GetParam(), [] {
		Chan<int> c(1), idle;
		c.put(42);
		int got = 0;
		/* An address that must not be written. */
		auto nowhere = reinterpret_cast<int *>(uintptr_t{8});
		EXPECT_EQ(1, select_of({recv_case(idle, nowhere), recv_case(c, &got)}));
		EXPECT_EQ(42, got);
	});
}

/* All forms of a select with one ready case among others: with a default or without, in every place. */
TEST_P(GoPrograms, OneReadyCaseInEveryCompany)
{
	run(GetParam(), [] {
		Chan<int> c(1), dummy;
		int in = -1, out = 0, none = -1;
		for (unsigned form = 0; form < 128; form++) {
			bool sending = form & 1;
			weft_ns deadline = form & 2 ? 0 : WEFT_FOREVER;
			std::vector<weft_case> cases;
			auto company = [&](unsigned bit, weft_case one) {
				if (form & bit)
					cases.push_back(one);
			};
			company(4, send_case(dummy, &out));
			company(8, recv_case(nullptr, &none));
			size_t place = cases.size();
			cases.push_back(sending ? send_case(c, &out) : recv_case(c, &in));
			company(16, recv_case(dummy, &none));
			company(32, send_case(nullptr, &out));
			company(64, recv_case(dummy, &none));
			out = static_cast<int>(form);
			if (!sending)
				c.put(out);
			EXPECT_EQ(static_cast<int>(place),
				weft_select(cases.data(), cases.size(), deadline));
			EXPECT_EQ(0, cases[place].status);
			if (sending)
				in = c.take();
			EXPECT_EQ(static_cast<int>(form), in);
			EXPECT_EQ(0u, c.len());
			EXPECT_EQ(-1, none);
			/* Now, in the same company, nothing is ready. */
			cases[place] = recv_case(c, &none);
			EXPECT_EQ(-EAGAIN, weft_select(cases.data(), cases.size(), 0));
			EXPECT_EQ(-1, none);
		}
	});
}

/* The last in a queue takes itself out of it; whoever comes after must still be found there. */
TEST_P(GoPrograms, SelectLeavesTheEndOfAQueue)
{
	run_virtual(GetParam(), [] {
		Chan<int> c1, c2, c3;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(spawn([&] { c1.take(); }));
		settle();
		fibers.push_back(spawn([&] {
			int v;
			EXPECT_EQ(1, select_of({recv_case(c1, &v), recv_case(c2, &v)}));
			c3.put(1);
			c1.take();
		}));
		settle();
		fibers.push_back(spawn([&] { c2.put(1); }));
		c3.take();
		c1.put(1);
		c1.put(1);
		join_all(fibers);
	});
}

/* Each way to receive, parked, against each way to send. */
TEST_P(GoPrograms, EveryWayToMeet)
{
	run_virtual(GetParam(), [] {
		Chan<int> idle, other;
		for (int receive = 0; receive < 3; receive++)
			for (int way = 0; way < 6; way++) {
				Chan<int> c;
				int send = way % 3;
				auto receiver = [&] {
					int v = 0;
					weft_case cases[] = {recv_case(c, &v), recv_case(idle, &v)};
					EXPECT_EQ(0,
						receive == 0 ? c.recv(&v)
							     : weft_select(cases, receive == 1 ? 1 : 2,
								       WEFT_FOREVER));
					EXPECT_EQ(5, v);
				};
				auto sender = [&] {
					int v = 5;
					weft_case cases[] = {send_case(c, &v), send_case(other, &v)};
					EXPECT_EQ(0,
						send == 0 ? c.send(v)
							  : weft_select(cases, send == 1 ? 1 : 2,
								    WEFT_FOREVER));
				};
				/* One is parked when the other comes. */
				bool receiver_first = way < 3;
				weft_fiber *first = receiver_first ? spawn(receiver) : spawn(sender);
				settle();
				receiver_first ? sender() : receiver();
				join(first);
			}
	});
}

/* If two cases of one select ran, the same number would arrive twice. */
TEST_P(GoPrograms, DoubleSelect)
{
	run(GetParam(), [] {
		int count = static_cast<int>(times(30000, 2000));
		Chan<int> c[4], mux;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(spawn([&] {
			for (int i = 0; i < count; i++)
				EXPECT_GE(select_of({send_case(c[0], &i), send_case(c[1], &i),
						  send_case(c[2], &i), send_case(c[3], &i)}),
					0);
			for (Chan<int> &one : c)
				EXPECT_EQ(0, one.close());
		}));
		std::atomic<int> open{4};
		for (Chan<int> &one : c)
			fibers.push_back(spawn([&] {
				int v;
				while (one.recv(&v) == 0)
					mux.put(v);
				if (--open == 0)
					mux.close();
			}));
		std::vector<int> seen(static_cast<size_t>(count));
		int v;
		while (mux.recv(&v) == 0)
			seen[static_cast<size_t>(v)]++;
		for (int one : seen)
			EXPECT_EQ(1, one);
		join_all(fibers);
	});
}

/* The prime sieve of a chain of filters, each a fiber; ended with the runtime. */
TEST_P(GoPrograms, Sieve1)
{
	Channels<int> channels;
	run(GetParam(), [&] {
		Chan<int> *in = channels.make();
		go([in] {
			for (int i = 2; in->send(i) == 0; i++) {}
		});
		for (int prime : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59,
			     61, 67, 71, 73, 79, 83, 89, 97}) {
			EXPECT_EQ(prime, in->take());
			Chan<int> *out = channels.make();
			go([in, out, prime] {
				int i;
				while (in->recv(&i) == 0 && (i % prime == 0 || out->send(i) == 0)) {}
			});
			in = out;
		}
	});
}

/* A sieve that merges the multiples of the primes, which come back to it through a buffer without end. */
class Sieve
{
	Channels<int> channels;
	using head = std::pair<int, Chan<int> *>;

	Chan<int> *count_from(int start, int step, size_t capacity)
	{
		Chan<int> *out = channels.make(capacity);
		go([out, start, step] {
			for (int n = start; out->send(n) == 0; n += step) {}
		});
		return out;
	}

	/* What is sent to the result arrives in `out`, and the sender never waits long. */
	Chan<int> *buffered(Chan<int> *out)
	{
		Chan<int> *proxy = channels.make(10);
		go([proxy, out] {
			std::queue<int> kept;
			for (;;) {
				int in, first = kept.empty() ? 0 : kept.front();
				int index = select_of({recv_case(*proxy, &in),
					send_case(kept.empty() ? nullptr : out->get(), &first)});
				if (index < 0)
					return;
				if (index == 0)
					kept.push(in);
				else
					kept.pop();
			}
		});
		return proxy;
	}

	void merge(Chan<int> *primes, Chan<int> *composites)
	{
		std::priority_queue<head, std::vector<head>, std::greater<head>> heads;
		int least = 15, prime, next;
		auto advance = [&] {
			head top = heads.top();
			heads.pop();
			least = top.first;
			if (top.second->recv(&top.first) < 0)
				return false;
			heads.push(top);
			return true;
		};
		while (primes->recv(&prime) == 0) {
			Chan<int> *multiples = count_from(prime * prime, 2 * prime, 10);
			if (multiples->recv(&next) < 0)
				return;
			while (least < next)
				if (composites->send(least) < 0 || !advance())
					return;
			while (least == next)
				if (!advance())
					return;
			int after;
			if (composites->send(next) < 0 || multiples->recv(&after) < 0)
				return;
			heads.push({after, multiples});
		}
	}

	void sieve(Chan<int> *composites, Chan<int> *primes, Chan<int> *out)
	{
		Chan<int> *candidates = count_from(5, 2, 50);
		int p, c;
		if (candidates->recv(&p) < 0)
			return;
		while (composites->recv(&c) == 0) {
			for (; p < c;)
				if (primes->send(p) < 0 || out->send(p) < 0 || candidates->recv(&p) < 0)
					return;
			if (p == c && candidates->recv(&p) < 0)
				return;
		}
	}

public:
	Chan<int> *start()
	{
		Chan<int> *out = channels.make(10), *primes = channels.make(10);
		Chan<int> *composites = channels.make(50), *back = buffered(primes);
		out->put(2);
		out->put(3);
		primes->put(3);
		go([=, this] { merge(primes, composites); });
		go([=, this] { sieve(composites, back, out); });
		return out;
	}
};

TEST_P(GoPrograms, Sieve2)
{
	Sieve sieve;
	run(GetParam(), [&] {
		Chan<int> *primes = sieve.start();
		for (int n = 2; n < 2000; n++) {
			int divisor = 2;
			while (divisor * divisor <= n && n % divisor != 0)
				divisor++;
			EXPECT_EQ(n, divisor * divisor > n ? primes->take() : n);
		}
	});
}
