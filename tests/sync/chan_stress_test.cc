/* SPDX-License-Identifier: MIT */
/* chan_stress_test.cc - many on one channel: an account of every element
 *
 * Law  an element whose send returned 0 is received once, or is still in the buffer; one whose send failed,
 *      never. Nothing else is ever received.
 * Law  what one sender sends each receiver gets in its order.
 * Law  both hold with cancellations, deadlines, selects and closes in between, and whoever takes part: fibers
 *      of one or two runtimes and plain threads.
 */
#include <algorithm>
#include <atomic>
#include <memory>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class ChanStress : public Workers
{
};
FOR_WORKERS(ChanStress);

struct element {
	uint32_t sender, number;
};

/* One operation, in one of the ways in which it can be written. */
constexpr unsigned WAYS = 5;

static int by_select(weft_case one, size_t company, weft_ns deadline = WEFT_FOREVER)
{
	Chan<int> idle;
	int unused = 0;
	std::vector<weft_case> cases(company, recv_case(idle, &unused));
	cases.push_back(one);
	int index = weft_select(cases.data(), cases.size(), deadline);
	return index < 0 ? index : cases[company].status;
}

static int send_somehow(const Chan<element> &chan, const element &value, unsigned way)
{
	switch (way) {
	case 1:
		return by_select(send_case(chan, &value), 0);
	case 2:
		return by_select(send_case(chan, &value), 2);
	case 3:
		return by_select(send_case(chan, &value), 6);
	case 4: {
		int error = chan.try_send(value);
		return error == -EAGAIN ? chan.send(value) : error;
	}
	default:
		return chan.send(value);
	}
}

static int recv_somehow(const Chan<element> &chan, element *value, unsigned way)
{
	switch (way) {
	case 1:
		return by_select(recv_case(chan, value), 0);
	case 2:
		return by_select(recv_case(chan, value), 2);
	case 3:
		return by_select(recv_case(chan, value), 6);
	case 4: {
		int error = chan.try_recv(value);
		return error == -EAGAIN ? chan.recv(value) : error;
	}
	default:
		return chan.recv(value);
	}
}

/* Some senders, some receivers, until the last sender closes. */
class Exchange
{
	const uint32_t senders, each;
	Chan<element> chan;
	std::atomic<uint32_t> sending;
	std::vector<std::atomic<uint8_t>> got;
	std::atomic<long> disorder{0}, doubled{0};

public:
	Exchange(size_t capacity, uint32_t sender_count, uint32_t numbers)
		: senders(sender_count), each(numbers), chan(capacity), sending(sender_count),
		  got(size_t{sender_count} * numbers)
	{
	}

	void send_all(uint32_t sender)
	{
		for (uint32_t n = 0; n < each; n++)
			EXPECT_EQ(0, send_somehow(chan, {sender, n}, (sender + n / 16) % WAYS));
		int error = --sending == 0 ? chan.close() : 0;
		EXPECT_EQ(0, error);
	}

	void recv_all(unsigned receiver)
	{
		std::vector<int64_t> last(senders, -1);
		element value{};
		unsigned turn = receiver;
		while (recv_somehow(chan, &value, turn++ / 16 % WAYS) == 0) {
			disorder += last[value.sender] >= static_cast<int64_t>(value.number);
			last[value.sender] = value.number;
			doubled += got[size_t{value.sender} * each + value.number]++ != 0;
		}
	}

	void check()
	{
		long lost = std::count(got.begin(), got.end(), 0);
		EXPECT_EQ(0, disorder.load()) << "elements out of their sender's order";
		EXPECT_EQ(0, doubled.load()) << "elements received twice";
		EXPECT_EQ(0, lost) << "elements lost";
		EXPECT_EQ(0u, chan.len());
	}
};

TEST_P(ChanStress, ManyToMany)
{
	run(GetParam(), [] {
		for (size_t capacity : {0, 1, 7, 64})
			for (unsigned parties : {1, 2, 5}) {
				Exchange exchange(capacity, parties,
					static_cast<uint32_t>(times(20000, 1500) / parties));
				std::vector<weft_fiber *> fibers;
				for (unsigned i = 0; i < parties; i++) {
					fibers.push_back(
						spawn([&exchange, i] { exchange.send_all(i); }));
					fibers.push_back(
						spawn([&exchange, i] { exchange.recv_all(i); }));
				}
				join_all(fibers);
				exchange.check();
			}
	});
}

enum class Party { FIBER, OTHER_FIBER, THREAD };

/* Who takes part: fibers of two runtimes, and threads. */
class World
{
	Threads threads;
	Host one, two;
	std::atomic<long> started{0}, ended{0};

public:
	explicit World(unsigned workers) : one(workers), two(2) {}

	template <typename Fn>
	void start(Party party, Fn fn)
	{
		started++;
		auto counted = [this, fn] {
			fn();
			ended++;
			return 0;
		};
		if (party == Party::THREAD)
			threads.start(counted);
		else
			(party == Party::FIBER ? one : two).submit(counted);
	}
	void wait()
	{
		threads.join();
		EXPECT_TRUE(eventually([this] { return ended == started; }));
	}
};

TEST_P(ChanStress, FibersThreadsAndRuntimes)
{
	const std::vector<std::pair<std::vector<Party>, std::vector<Party>>> casts = {
		{{Party::THREAD, Party::THREAD}, {Party::FIBER, Party::FIBER}},
		{{Party::FIBER, Party::FIBER}, {Party::THREAD, Party::THREAD}},
		{{Party::THREAD, Party::THREAD}, {Party::THREAD, Party::THREAD}},
		{{Party::FIBER, Party::FIBER}, {Party::OTHER_FIBER, Party::OTHER_FIBER}},
		{{Party::FIBER, Party::OTHER_FIBER, Party::THREAD},
			{Party::FIBER, Party::OTHER_FIBER, Party::THREAD}},
	};
	for (const auto &[senders, receivers] : casts)
		for (size_t capacity : {0, 3}) {
			auto count = static_cast<uint32_t>(senders.size());
			Exchange exchange(capacity, count, static_cast<uint32_t>(times(3000, 600)));
			World world(GetParam());
			for (uint32_t i = 0; i < count; i++)
				world.start(senders[i], [&exchange, i] { exchange.send_all(i); });
			for (uint32_t i = 0; i < receivers.size(); i++)
				world.start(receivers[i], [&exchange, i] { exchange.recv_all(i); });
			world.wait();
			exchange.check();
		}
}

/* Which elements were sent, and which received. */
class Ledger
{
	std::vector<std::atomic<int8_t>> sent, received;
	std::atomic<uint32_t> next{0};

public:
	std::atomic<long> failed{0};

	explicit Ledger(size_t size) : sent(size), received(size) {}

	/* A new element, never sent before. */
	element fresh()
	{
		uint32_t number = next++;
		EXPECT_LT(number, sent.size());
		return {~number, number};
	}
	void note_sent(const element &value, int error)
	{
		if (error == 0)
			sent[value.number]++;
		else
			failed++;
	}
	void note_received(const element &value)
	{
		ASSERT_LT(value.number, received.size());
		EXPECT_EQ(~value.number, value.sender);
		received[value.number]++;
	}
	/* Takes what is left in the channel. */
	void drain(const Chan<element> &chan)
	{
		element value{};
		while (chan.try_recv(&value) == 0)
			note_received(value);
	}
	void check(unsigned seed)
	{
		long lost = 0, invented = 0, doubled = 0;
		for (size_t i = 0; i < sent.size(); i++) {
			lost += sent[i] > received[i];
			invented += sent[i] < received[i];
			doubled += received[i] > 1;
		}
		EXPECT_EQ(0, lost) << "sent, and never received; seed " << seed;
		EXPECT_EQ(0, invented) << "received, though its send failed; seed " << seed;
		EXPECT_EQ(0, doubled) << "received twice; seed " << seed;
	}
};

static bool is_end(int error)
{
	return error == -ECANCELED || error == -EPIPE;
}

static void send_with_interruptions(Ledger &ledger, const Chan<element> &chan, unsigned seed, int count)
{
	std::minstd_rand random(seed);
	for (int i = 0; i < count; i++) {
		weft_deadline(random() % 2 ? weft_after(static_cast<weft_ns>(random() % 30000))
					   : WEFT_FOREVER);
		element value = ledger.fresh();
		int error = send_somehow(chan, value, random() % WAYS);
		ledger.note_sent(value, error);
		EXPECT_TRUE(error == 0 || error == -ETIMEDOUT || is_end(error)) << error;
		if (random() % 4 == 0)
			weft_yield();
	}
}

static void recv_with_interruptions(Ledger &ledger, const Chan<element> &chan, unsigned seed)
{
	std::minstd_rand random(seed);
	int error = 0;
	while (!is_end(error)) {
		weft_deadline(random() % 2 ? weft_after(static_cast<weft_ns>(random() % 30000))
					   : WEFT_FOREVER);
		element value = {5, 6};
		error = recv_somehow(chan, &value, random() % WAYS);
		if (error == 0)
			ledger.note_received(value);
		else
			EXPECT_EQ(5u + 6u, value.sender + value.number)
				<< "a failed receive wrote " << error;
		EXPECT_TRUE(error == 0 || error == -ETIMEDOUT || is_end(error)) << error;
		if (random() % 4 == 0)
			weft_yield();
	}
}

/* Half of the senders and receivers are cancelled at some time, and every second call has a short deadline. */
static void interrupt_an_exchange(unsigned seed)
{
	constexpr unsigned N = 8;
	constexpr int EACH = 12;
	std::minstd_rand random(seed);
	Ledger ledger(N * EACH);
	Chan<element> chan(seed % 4);
	std::vector<weft_fiber *> senders, receivers;
	for (unsigned i = 0; i < N; i++) {
		unsigned own = random();
		senders.push_back(
			spawn([&, own] { send_with_interruptions(ledger, chan, own, EACH); }));
		own = random();
		receivers.push_back(spawn([&, own] { recv_with_interruptions(ledger, chan, own); }));
	}
	/* One that is never cancelled takes what the others leave. */
	receivers.push_back(spawn([&] { recv_with_interruptions(ledger, chan, 1); }));
	for (unsigned i = 0; i < N; i++) {
		EXPECT_EQ(0, weft_cancel(i % 2 ? senders[random() % N] : receivers[random() % N]));
		for (unsigned k = random() % 4; k > 0; k--)
			weft_yield();
	}
	int error = seed % 8 == 0 ? chan.close() : 0;
	EXPECT_EQ(0, error);
	join_all(senders);
	EXPECT_EQ(seed % 8 == 0 ? -EPIPE : 0, chan.close());
	join_all(receivers);
	ledger.drain(chan);
	ledger.check(seed);
}

TEST_P(ChanStress, CancelledAndLateElementsAreAccountedFor)
{
	run(GetParam(), [] {
		weft_ns end = weft_after(4 * WEFT_SEC);
		for (unsigned seed = 1; seed <= times(2000, 150) && weft_now() < end; seed++)
			interrupt_an_exchange(seed);
	});
}

constexpr unsigned CHANNELS = 3, CASES_MAX = 6;

/* One select of random cases over the channels. -EPIPE counts as the end of that channel only. */
static int select_at_random(Ledger &ledger, Chan<element> (&chans)[CHANNELS], std::minstd_rand &random)
{
	element values[CASES_MAX];
	weft_case cases[CASES_MAX];
	size_t count = 1 + random() % CASES_MAX;
	for (size_t i = 0; i < count; i++) {
		Chan<element> &chan = chans[random() % CHANNELS];
		bool sends = random() % 2;
		values[i] = sends ? ledger.fresh() : element{5, 6};
		cases[i] = sends ? send_case(chan, &values[i]) : recv_case(chan, &values[i]);
		if (i > 0 && random() % 16 == 0)
			cases[i].chan = nullptr; /* not all of them: that would never end */
	}
	const weft_ns deadlines[] = {
		0, 1, weft_after(static_cast<weft_ns>(random() % 20000)), WEFT_FOREVER};
	int index = weft_select(cases, count, deadlines[random() % 4]);
	EXPECT_TRUE(index >= 0 || index == -EAGAIN || index == -ETIMEDOUT || index == -ECANCELED)
		<< index;
	for (size_t i = 0; i < count; i++) {
		bool ran = static_cast<int>(i) == index;
		int status = cases[i].status;
		EXPECT_TRUE(ran ? status == 0 || status == -EPIPE : status == UNWRITTEN) << status;
		bool moved = ran && status == 0;
		if (cases[i].op == WEFT_CASE_SEND)
			ledger.note_sent(values[i], moved ? 0 : -EAGAIN);
		else if (moved)
			ledger.note_received(values[i]);
		else
			EXPECT_EQ(5u + 6u, values[i].sender + values[i].number)
				<< "written, though not run";
	}
	return index;
}

static void select_among_each_other(unsigned seed)
{
	constexpr unsigned N = 8;
	constexpr int EACH = 20;
	std::minstd_rand random(seed);
	Ledger ledger(N * EACH * CASES_MAX);
	Chan<element> chans[CHANNELS] = {
		Chan<element>(0), Chan<element>(random() % 2), Chan<element>(random() % 4)};
	std::vector<weft_fiber *> fibers;
	for (unsigned i = 0; i < N; i++) {
		unsigned own = random();
		fibers.push_back(spawn([&, own] {
			std::minstd_rand mine(own);
			for (int k = 0;
				k < EACH && select_at_random(ledger, chans, mine) != -ECANCELED; k++)
				if (mine() % 4 == 0)
					weft_yield();
		}));
	}
	for (unsigned i = 0; i < N / 2; i++) {
		for (unsigned k = random() % 8; k > 0; k--)
			weft_yield();
		EXPECT_EQ(0, weft_cancel(fibers[random() % N]));
	}
	/* Some of them wait for ever: closing, in a random order, is what ends them. */
	unsigned first = random();
	for (unsigned i = 0; i < CHANNELS; i++) {
		EXPECT_EQ(0, chans[(first + i) % CHANNELS].close());
		if (random() % 2)
			weft_yield();
	}
	join_all(fibers);
	for (Chan<element> &chan : chans)
		ledger.drain(chan);
	ledger.check(seed);
}

TEST_P(ChanStress, RandomSelectsAreAccountedFor)
{
	run(GetParam(), [] {
		weft_ns end = weft_after(4 * WEFT_SEC);
		for (unsigned seed = 1; seed <= times(3000, 200) && weft_now() < end; seed++)
			select_among_each_other(seed);
	});
}

/* Sends against a close, without anything else: what returned 0 can be drained. */
TEST_P(ChanStress, ClosingAgainstSending)
{
	run(GetParam(), [] {
		for (unsigned seed = 1; seed <= times(2000, 200); seed++) {
			Ledger ledger(64);
			Chan<element> chan(seed % 3 * 4);
			std::vector<weft_fiber *> fibers;
			for (unsigned i = 0; i < 4; i++)
				fibers.push_back(spawn([&, i] {
					for (int error = 0, k = 0; error == 0 && k < 16; k++) {
						element value = ledger.fresh();
						error = send_somehow(chan, value, (seed + i) % WAYS);
						ledger.note_sent(value, error);
					}
				}));
			fibers.push_back(spawn([&] {
				element value;
				for (unsigned k = seed % 16; k > 0 && chan.recv(&value) == 0; k--)
					ledger.note_received(value);
				EXPECT_EQ(0, chan.close());
			}));
			join_all(fibers);
			ledger.drain(chan);
			ledger.check(seed);
		}
	});
}
