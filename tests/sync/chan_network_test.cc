/* SPDX-License-Identifier: MIT */
/* chan_network_test.cc - random networks of processes that talk over channels, and what must come out of them
 *
 * Law  where each channel has one sender and one receiver and nobody asks whether a channel is ready, the
 *      outcome does not depend on the schedule (Kahn): it is what a plain calculation gives, for any capacities
 *      and any number of workers.
 * Law  a network that cannot deadlock does not. How that is known is said at each kind of network.
 * Law  where many share a channel, what goes in comes out: sums and counts agree, and nothing is left.
 *
 * Time is virtual: it only moves when all processes wait, so a deadlock is found at once, by the deadline of
 * who waits for the end.
 */
#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <numeric>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class Networks : public Workers
{
};
FOR_WORKERS(Networks);

using Random = std::minstd_rand;

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
	return x ^ (x >> 29);
}

/* Joins all, or says that they wait for each other, and ends them. */
static bool join_or_report(std::vector<weft_fiber *> &fibers, const char *kind, unsigned seed)
{
	weft_deadline(weft_after(1000 * WEFT_SEC));
	bool ended = weft_join_all(fibers.data(), nullptr, fibers.size()) == 0;
	weft_deadline(WEFT_FOREVER);
	if (!ended) {
		ADD_FAILURE() << kind << " network deadlocked, seed " << seed;
		for (weft_fiber *fiber : fibers)
			if (fiber != nullptr)
				weft_cancel(fiber);
		weft_join_all(fibers.data(), nullptr, fibers.size());
	}
	fibers.clear();
	return ended;
}

/* A transfer, written in one of the ways that mean the same when nobody else uses the channel. */
static int transfer(weft_chan *chan, bool sends, uint64_t *value, unsigned way)
{
	weft_case one = sends ? send_case(chan, value) : recv_case(chan, value);
	if (way % 4 == 0)
		return sends ? weft_chan_send(chan, value) : weft_chan_recv(chan, value);
	if (way % 4 == 1) {
		/* Only receivers go on trying: two that do would never meet. */
		int error;
		while ((error = sends ? weft_chan_try_send(chan, value)
				      : weft_chan_try_recv(chan, value)) == -EAGAIN) {
			if (sends || way % 8 == 5)
				return transfer(chan, sends, value, 0);
			weft_yield();
		}
		return error;
	}
	/* Company that is never ready. */
	Chan<uint64_t> idle;
	uint64_t unused = 0;
	weft_case none = recv_case(nullptr, &unused), other = send_case(idle, &unused);
	weft_case cases[] = {other, none, one, recv_case(idle, &unused), none, other, none};
	int index = weft_select(cases, way % 8 < 4 ? 3 : 7, weft_after(900 * WEFT_SEC));
	return index < 0 ? index : cases[index].status;
}

/* Processes that each do a fixed row of sends and receives, a channel for each pair. The rows come from one
 * sequence of transfers: the first one that has not happened has both its partners at it, so there is no
 * deadlock. */
class Script
{
	struct step {
		size_t chan;
		bool sends;
		unsigned way;
	};
	const size_t count;
	std::vector<std::unique_ptr<Chan<uint64_t>>> chans;
	std::vector<std::vector<step>> rows;
	std::vector<uint64_t> expected, state;

	void run_row(size_t self)
	{
		for (const step &one : rows[self]) {
			uint64_t value = state[self];
			if (one.way % 16 == 15)
				weft_yield();
			int error = transfer(chans[one.chan]->get(), one.sends, &value, one.way);
			EXPECT_EQ(0, error);
			if (error != 0)
				return;
			state[self] = one.sends ? mix(state[self], 1) : mix(state[self], value);
		}
		/* Whoever receives from it finds the end behind all that was sent. */
		for (size_t other = 0; other < count; other++)
			EXPECT_EQ(0, chans[self * count + other]->close());
		for (size_t other = 0; other < count; other++) {
			uint64_t value = 3;
			EXPECT_EQ(-EPIPE, chans[other * count + self]->recv(&value));
			EXPECT_EQ(3u, value);
		}
	}

public:
	explicit Script(unsigned seed)
		: count(2 + seed % 6), rows(count), expected(count), state(count)
	{
		Random random(seed);
		for (size_t i = 0; i < count * count; i++)
			chans.push_back(
				std::make_unique<Chan<uint64_t>>(random() % 3 ? 0 : random() % 4));
		for (size_t i = 0; i < count; i++)
			state[i] = expected[i] = random();
		for (unsigned events = 20 + random() % 100; events > 0; events--) {
			size_t from = random() % count, to = (from + 1 + random() % (count - 1)) % count;
			rows[from].push_back({from * count + to, true, static_cast<unsigned>(random())});
			rows[to].push_back({from * count + to, false, static_cast<unsigned>(random())});
			expected[to] = mix(expected[to], expected[from]);
			expected[from] = mix(expected[from], 1);
		}
	}
	void run(unsigned seed)
	{
		std::vector<weft_fiber *> fibers;
		for (size_t i = 0; i < count; i++)
			fibers.push_back(spawn([this, i] { run_row(i); }));
		bool ended = join_or_report(fibers, "script", seed);
		EXPECT_TRUE(!ended || expected == state) << "seed " << seed;
	}
};

TEST_P(Networks, Scripts)
{
	run_virtual(GetParam(), [] {
		for (unsigned seed = 1; seed <= times(1500, 60) && !testing::Test::HasFailure(); seed++)
			Script(seed).run(seed);
	});
}

/* A graph without cycles whose nodes each take one value from every input, in any order, and then give one to
 * every output, in any order. Of the nodes in the earliest round look at one; if it waits for an input, that
 * node is in the same round, and so on up to one that can go on: no deadlock. */
class Graph
{
	struct node {
		std::vector<size_t> in, out; /* edges */
		uint64_t sum = 0, expected = 0;
	};
	std::vector<node> nodes;
	std::vector<std::unique_ptr<Chan<uint64_t>>> edges;
	const unsigned rounds;

	/* All of some edges, in the order in which the others are ready. */
	bool all_of(const std::vector<size_t> &which, bool sends, std::vector<uint64_t> &values)
	{
		std::vector<weft_case> cases;
		for (size_t i = 0; i < which.size(); i++)
			cases.push_back(sends ? send_case(*edges[which[i]], &values[i])
					      : recv_case(*edges[which[i]], &values[i]));
		for (size_t left = which.size(); left > 0; left--) {
			int index = weft_select(cases.data(), cases.size(), WEFT_FOREVER);
			if (index < 0)
				return false;
			EXPECT_EQ(0, cases[static_cast<size_t>(index)].status);
			cases[static_cast<size_t>(index)].chan = nullptr;
		}
		return true;
	}

	static uint64_t fold(size_t self, unsigned round, const std::vector<uint64_t> &in)
	{
		return std::accumulate(in.begin(), in.end(), mix(self, round), mix);
	}

	void run_node(size_t self)
	{
		node &one = nodes[self];
		for (unsigned round = 0; round < rounds; round++) {
			std::vector<uint64_t> in(one.in.size()), out;
			if (!all_of(one.in, false, in))
				return;
			out.assign(one.out.size(), fold(self, round, in));
			one.sum = mix(one.sum, fold(self, round, in));
			if (!all_of(one.out, true, out))
				return;
		}
	}

	void calculate()
	{
		std::vector<uint64_t> on_edge(edges.size());
		for (unsigned round = 0; round < rounds; round++)
			for (size_t self = 0; self < nodes.size(); self++) {
				std::vector<uint64_t> in;
				for (size_t edge : nodes[self].in)
					in.push_back(on_edge[edge]);
				uint64_t value = fold(self, round, in);
				nodes[self].expected = mix(nodes[self].expected, value);
				for (size_t edge : nodes[self].out)
					on_edge[edge] = value;
			}
	}

public:
	explicit Graph(unsigned seed) : nodes(3 + seed % 10), rounds(5 + seed % 20)
	{
		Random random(seed);
		for (size_t to = 1; to < nodes.size(); to++)
			for (unsigned inputs = random() % 4; inputs > 0; inputs--) {
				nodes[random() % to].out.push_back(edges.size());
				nodes[to].in.push_back(edges.size());
				edges.push_back(std::make_unique<Chan<uint64_t>>(random() % 3));
			}
		calculate();
	}
	void run(unsigned seed)
	{
		std::vector<weft_fiber *> fibers;
		for (size_t i = 0; i < nodes.size(); i++)
			fibers.push_back(spawn([this, i] { run_node(i); }));
		if (!join_or_report(fibers, "graph", seed))
			return;
		for (const node &one : nodes)
			EXPECT_EQ(one.expected, one.sum) << "seed " << seed;
		for (auto &edge : edges)
			EXPECT_EQ(0u, edge->len());
	}
};

TEST_P(Networks, Graphs)
{
	run_virtual(GetParam(), [] {
		for (unsigned seed = 1; seed <= times(1500, 60) && !testing::Test::HasFailure(); seed++)
			Graph(seed).run(seed);
	});
}

/* Trees of streams: each is a process that sends a row of numbers and closes. One whose reader wants no more
 * finds its channel closed, and closes those that it reads from. No two paths lead to one place, so there is no
 * deadlock. */
class Streams
{
	using Row = std::vector<uint64_t>;
	enum kind { SOURCE, FILTER, GROW, PAIRS, TAKE, ZIP, TURNS, KINDS };
	struct stream {
		kind what;
		uint64_t number;
		std::unique_ptr<stream> a, b;
		Chan<uint64_t> out;

		explicit stream(size_t capacity) : out(capacity) {}
	};

	Random random;
	std::vector<weft_fiber *> fibers;

	std::unique_ptr<stream> make(int depth)
	{
		auto made = std::make_unique<stream>(random() % 3);
		made->what = depth == 0 ? SOURCE : static_cast<kind>(random() % KINDS);
		made->number = random() % 40;
		if (made->what != SOURCE)
			made->a = make(depth - 1);
		if (made->what >= ZIP)
			made->b = make(depth - 1);
		return made;
	}

	/* What a stream of this kind does with what it gets; the same code calculates and runs. False: enough.
	 * */
	template <typename GetA, typename GetB, typename Put>
	static void work(const stream &s, GetA get_a, GetB get_b, Put put)
	{
		uint64_t a, b;
		switch (s.what) {
		case SOURCE:
			for (uint64_t i = 0; i < s.number && put(mix(s.number, i)); i++) {}
			return;
		case FILTER:
			while (get_a(&a) && (a % 3 == s.number % 3 || put(a))) {}
			return;
		case GROW:
			while (get_a(&a) && put(a) && put(a + s.number)) {}
			return;
		case PAIRS:
			while (get_a(&a))
				if (!put(get_a(&b) ? mix(a, b) : a))
					return;
			return;
		case TAKE:
			for (uint64_t i = 0; i < s.number && get_a(&a) && put(a); i++) {}
			return;
		case ZIP:
			while (get_a(&a) && get_b(&b) && put(mix(a, b))) {}
			return;
		default:
			while (get_a(&a)) {
				if (!put(a))
					return;
				if (get_b(&b) && !put(b))
					return;
			}
			while (get_b(&b) && put(b)) {}
		}
	}

	static Row calculate(const stream &s)
	{
		Row a = s.a ? calculate(*s.a) : Row(), b = s.b ? calculate(*s.b) : Row(), out;
		auto from = [](Row &row) {
			return [&row, at = size_t{0}](uint64_t *value) mutable {
				if (at == row.size())
					return false;
				*value = row[at++];
				return true;
			};
		};
		work(s, from(a), from(b), [&](uint64_t value) {
			out.push_back(value);
			return true;
		});
		return out;
	}

	void start(stream *s)
	{
		unsigned way = random();
		fibers.push_back(spawn([s, way] {
			unsigned turn = way;
			auto from = [&turn](const std::unique_ptr<stream> &in) {
				return [&turn, &in](uint64_t *value) {
					return transfer(in->out.get(), false, value, turn++) == 0;
				};
			};
			work(*s, from(s->a), from(s->b), [&](uint64_t value) {
				return transfer(s->out.get(), true, &value, turn++) == 0;
			});
			/* Which of the two ends is first cannot be said. */
			s->out.close();
			for (stream *in : {s->a.get(), s->b.get()})
				if (in != nullptr)
					in->out.close();
		}));
		for (stream *in : {s->a.get(), s->b.get()})
			if (in != nullptr)
				start(in);
	}

public:
	explicit Streams(unsigned seed) : random(seed) {}

	void run(unsigned seed)
	{
		std::unique_ptr<stream> root = make(1 + static_cast<int>(seed % 5));
		Row wanted = calculate(*root), got;
		/* Now and then its reader stops early. */
		size_t enough = seed % 4 == 0 ? wanted.size() / 2 : wanted.size() + 1;
		start(root.get());
		fibers.push_back(spawn([&] {
			uint64_t value;
			while (got.size() < enough && root->out.recv(&value) == 0)
				got.push_back(value);
			root->out.close();
		}));
		if (!join_or_report(fibers, "tree", seed))
			return;
		wanted.resize(std::min(wanted.size(), enough));
		EXPECT_EQ(wanted, got) << "seed " << seed;
	}
};

TEST_P(Networks, StreamsThatEnd)
{
	run_virtual(GetParam(), [] {
		for (unsigned seed = 1; seed <= times(1500, 60) && !testing::Test::HasFailure(); seed++)
			Streams(seed).run(seed);
	});
}

/* Many on a few channels, each with a number of sends on some and of receives on others, all of which it offers
 * at once. As many sends as receives in all: while one has a send left, another has a receive left, and both
 * offer them: no deadlock. */
class Market
{
	const size_t count, places;
	std::vector<std::unique_ptr<Chan<uint64_t>>> chans;
	std::vector<std::vector<long>> left; /* by trader and place; > 0: sends, < 0: receives */
	std::vector<std::atomic<uint64_t>> sent, received;

	void trade(size_t self, unsigned seed)
	{
		Random random(seed);
		uint64_t out = mix(self, seed), in = 0;
		for (;;) {
			std::vector<weft_case> cases;
			std::vector<size_t> where;
			for (size_t place = 0; place < places; place++)
				for (int twice = left[self][place] == 0 ? 0 : 1 + random() % 2;
					twice > 0; twice--) {
					cases.push_back(left[self][place] > 0
							? send_case(*chans[place], &out)
							: recv_case(*chans[place], &in));
					where.push_back(place);
				}
			if (cases.empty())
				return;
			int index = weft_select(cases.data(), cases.size(), WEFT_FOREVER);
			if (index < 0)
				return;
			size_t place = where[static_cast<size_t>(index)];
			EXPECT_EQ(0, cases[static_cast<size_t>(index)].status);
			if (left[self][place] > 0) {
				sent[place] += out;
				out = mix(out, 7);
				left[self][place]--;
			} else {
				received[place] += in;
				left[self][place]++;
			}
			if (random() % 8 == 0)
				weft_yield();
		}
	}

public:
	explicit Market(unsigned seed)
		: count(2 + seed % 12), places(1 + seed % 7),
		  left(count, std::vector<long>(places)), sent(places), received(places)
	{
		Random random(seed);
		for (size_t place = 0; place < places; place++) {
			chans.push_back(std::make_unique<Chan<uint64_t>>(random() % 3));
			/* The first sends, the last receives, the others do one of the two; the last evens it
			 * out. */
			long balance = 0;
			for (size_t i = 0; i + 1 < count; i++) {
				long amount = static_cast<long>(random() % 10) - (i == 0 ? 0 : 5);
				amount = balance + amount < 0 ? 0 : amount;
				left[i][place] = amount;
				balance += amount;
			}
			left[count - 1][place] = -balance;
		}
	}
	void run(unsigned seed)
	{
		std::vector<weft_fiber *> fibers;
		for (size_t i = 0; i < count; i++)
			fibers.push_back(
				spawn([this, i, seed] { trade(i, seed + static_cast<unsigned>(i)); }));
		if (!join_or_report(fibers, "market", seed))
			return;
		for (size_t place = 0; place < places; place++) {
			EXPECT_EQ(sent[place].load(), received[place].load()) << "seed " << seed;
			EXPECT_EQ(0u, chans[place]->len());
		}
	}
};

TEST_P(Networks, Markets)
{
	run_virtual(GetParam(), [] {
		for (unsigned seed = 1; seed <= times(1500, 60) && !testing::Test::HasFailure(); seed++)
			Market(seed).run(seed);
	});
}

/* That a deadlock would be found: two that wait for each other. */
TEST_P(Networks, ADeadlockIsFound)
{
	run_virtual(GetParam(), [] {
		Chan<int> a, b;
		std::vector<weft_fiber *> fibers = {
			spawn([&] {
				int value;
				return a.recv(&value);
			}),
			spawn([&] {
				int value;
				return b.recv(&value);
			}),
		};
		weft_deadline(weft_after(1000 * WEFT_SEC));
		EXPECT_EQ(-ETIMEDOUT, weft_join_all(fibers.data(), nullptr, 2));
		weft_deadline(WEFT_FOREVER);
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, weft_cancel(fiber));
		EXPECT_EQ(0, weft_join_all(fibers.data(), nullptr, 2));
	});
}
