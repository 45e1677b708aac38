/* SPDX-License-Identifier: MIT */
/* select_test.cc - weft_select over channels: which case runs, when, and that only that one does
 *
 * Law  exactly one case is performed, and of the case returned the status is written; the others had no effect,
 *      and leave no trace in their channels.
 * Law  among several that are ready each is drawn with the same probability, wherever it stands.
 * Law  all cases are looked at at one instant: where one of them is ready at every moment, -EAGAIN is never
 *      returned.
 * Law  a ready case goes before a deadline that has passed; 0 does not park; the fiber's own deadline and
 *      cancellation are in force when the call may park, and only then.
 * Law  a call never meets itself; two calls meet in one case each.
 */
#include <algorithm>
#include <atomic>
#include <climits>
#include <memory>
#include <numeric>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class Select : public Workers
{
};
FOR_WORKERS(Select);

TEST_P(Select, NilChannelsAreNeverReady)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan(1);
		int value = 5;
		weft_case cases[] = {
			recv_case(nullptr, &value),
			send_case(nullptr, &value),
			recv_case(nullptr, nullptr),
			send_case(chan, &value),
			send_case(nullptr, nullptr),
		};
		EXPECT_EQ(3, weft_select(cases, 5, WEFT_FOREVER));
		EXPECT_EQ(5, chan.take());
		cases[3].chan = nullptr;
		EXPECT_EQ(-EAGAIN, weft_select(cases, 5, 0));
		weft_ns end = weft_after(WEFT_SEC);
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 5, end));
		EXPECT_EQ(end, weft_now());
		weft_fiber *fiber = spawn([&] { return weft_select(cases, 5, WEFT_FOREVER); });
		settle();
		EXPECT_EQ(0, weft_cancel(fiber));
		EXPECT_EQ(-ECANCELED, join(fiber));
		EXPECT_EQ(5, value);
	});
}

TEST_P(Select, WithoutCasesWaitsForTheDeadline)
{
	run_virtual(GetParam(), [] {
		weft_case unused;
		for (weft_case *cases : {static_cast<weft_case *>(nullptr), &unused}) {
			weft_ns end = weft_after(WEFT_SEC);
			EXPECT_EQ(-EAGAIN, weft_select(cases, 0, 0));
			EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 0, end));
			EXPECT_EQ(end, weft_now());
			EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 0, end)) << "it has passed";
			EXPECT_EQ(end, weft_now());
		}
		weft_fiber *fiber = spawn([] { return weft_select(nullptr, 0, WEFT_FOREVER); });
		settle();
		EXPECT_EQ(0, weft_cancel(fiber));
		EXPECT_EQ(-ECANCELED, join(fiber));
	});
}

TEST_P(Select, Deadlines)
{
	run_virtual(GetParam(), [] {
		Chan<int> first, second(1);
		int value = -1;
		weft_case cases[] = {recv_case(first, &value), recv_case(second, &value)};
		weft_ns start = weft_now();
		EXPECT_EQ(-EAGAIN, weft_select(cases, 2, 0));
		for (weft_ns passed : {weft_ns{1}, weft_ns{-1}, INT64_MIN, start - 1, start})
			EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, passed)) << passed;
		EXPECT_EQ(start, weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, start + 7));
		EXPECT_EQ(start + 7, weft_now());
		/* The sooner of the two. */
		weft_deadline(start + 20);
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, start + 15));
		EXPECT_EQ(start + 15, weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, start + 30));
		EXPECT_EQ(start + 20, weft_now());
		weft_deadline(start + 40);
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, WEFT_FOREVER));
		EXPECT_EQ(start + 40, weft_now());
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(-1, value);
		EXPECT_EQ(UNWRITTEN, cases[0].status);
		/* Before it passes. */
		weft_fiber *sender = spawn([&] {
			weft_sleep_until(start + 50);
			second.put(6);
		});
		EXPECT_EQ(1, weft_select(cases, 2, start + 60));
		EXPECT_EQ(start + 50, weft_now());
		EXPECT_EQ(6, value);
		join(sender);
	});
}

TEST_P(Select, ReadyGoesBeforeAPassedDeadline)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan(1), idle, closed;
		int value = 3;
		closed.close();
		for (weft_ns passed : {weft_ns{1}, weft_ns{-5}, weft_now()}) {
			weft_case cases[] = {recv_case(idle, &value), send_case(chan, &value)};
			EXPECT_EQ(1, weft_select(cases, 2, passed));
			cases[1] = recv_case(chan, &value);
			EXPECT_EQ(1, weft_select(cases, 2, passed));
			EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, passed));
			cases[0] = recv_case(closed, &value);
			EXPECT_EQ(0, weft_select(cases, 2, passed));
			EXPECT_EQ(-EPIPE, cases[0].status);
		}
	});
}

/* Channels that are ready, and cases to match: some to send on, some to receive from. */
struct row {
	std::vector<std::unique_ptr<Chan<int>>> chans;
	std::vector<int> values;
	std::vector<weft_case> cases;

	explicit row(size_t count) : values(count, -1)
	{
		for (size_t i = 0; i < count; i++) {
			chans.push_back(std::make_unique<Chan<int>>(1));
			if (i % 2 == 0) {
				chans[i]->put(static_cast<int>(i));
				cases.push_back(recv_case(*chans[i], &values[i]));
			} else {
				values[i] = static_cast<int>(1000 + i);
				cases.push_back(send_case(*chans[i], &values[i]));
			}
		}
	}
	/* Whether case i, and no other, has been performed. */
	void expect_only(int index)
	{
		for (size_t i = 0; i < cases.size(); i++) {
			bool done = static_cast<int>(i) == index;
			EXPECT_EQ(done ? 0 : UNWRITTEN, cases[i].status) << i;
			EXPECT_EQ(i % 2 == (done ? 1 : 0), chans[i]->len() == 1) << i;
			if (i % 2 == 0) {
				EXPECT_EQ(done ? index : -1, values[i]) << i;
			} else if (done) {
				EXPECT_EQ(values[i], chans[i]->take());
			}
		}
	}
};

TEST_P(Select, PerformsExactlyOne)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {1, 2, 3, 4, 5, 8, 50}) {
			row all(count);
			int index = weft_select(all.cases.data(), count, WEFT_FOREVER);
			ASSERT_GE(index, 0);
			all.expect_only(index);
			row now(count);
			index = weft_select(now.cases.data(), count, 0);
			ASSERT_GE(index, 0);
			now.expect_only(index);
		}
	});
}

/* Of `count` cases those in `ready` are; whether each of them is drawn as often. */
static void draw(size_t count, const std::vector<size_t> &ready, bool closed)
{
	Chan<int> idle, done;
	int value = 1;
	done.close();
	std::vector<std::unique_ptr<Chan<int>>> chans;
	std::vector<weft_case> cases(count, recv_case(idle, &value));
	for (size_t place : ready) {
		chans.push_back(std::make_unique<Chan<int>>(2));
		chans.back()->put(1); /* ready to send, and to receive */
		cases[place] = closed	 ? recv_case(done, &value)
			: place % 2 == 0 ? recv_case(*chans.back(), &value)
					 : send_case(*chans.back(), &value);
	}
	std::vector<long> drawn(ready.size());
	for (long i = 0; i < times(20000, 4000); i++) {
		int index = weft_select(cases.data(), count, i % 2 == 0 ? 0 : WEFT_FOREVER);
		auto which = std::find(ready.begin(), ready.end(), static_cast<size_t>(index)) -
			ready.begin();
		ASSERT_LT(static_cast<size_t>(which), ready.size()) << index;
		drawn[static_cast<size_t>(which)]++;
		if (closed)
			continue;
		Chan<int> &back = *chans[static_cast<size_t>(which)];
		EXPECT_EQ(0,
			cases[static_cast<size_t>(index)].op == WEFT_CASE_RECV ? back.try_send(1)
									       : back.try_recv(&value));
	}
	EXPECT_TRUE(evenly_drawn(drawn)) << count << " cases";
}

TEST_P(Select, DrawsEvenly)
{
	run_virtual(GetParam(), [] {
		for (bool closed : {false, true}) {
			draw(2, {0, 1}, closed);
			draw(3, {0, 1, 2}, closed);
			draw(4, {0, 1, 2, 3}, closed);
			draw(5, {0, 1, 2, 3, 4}, closed);
			/* Neighbours behind many that are not ready: turning the row would prefer the first. */
			draw(4, {2, 3}, closed);
			draw(8, {6, 7}, closed);
			draw(16, {0, 1, 2, 9}, closed);
			draw(17, {3, 4, 5, 6, 7, 15}, closed);
		}
	});
}

TEST_P(Select, DrawsAmongCasesNotChannels)
{
	run_virtual(GetParam(), [] {
		Chan<int> often(1), once(1);
		int value = 1;
		often.put(1);
		once.put(1);
		weft_case cases[] = {recv_case(often, &value), recv_case(once, &value),
			recv_case(often, &value)};
		std::vector<long> drawn(3);
		for (long i = 0; i < times(20000, 4000); i++) {
			int index = weft_select(cases, 3, 0);
			ASSERT_GE(index, 0);
			drawn[static_cast<size_t>(index)]++;
			(index == 1 ? once : often).put(1);
		}
		EXPECT_TRUE(evenly_drawn(drawn));
	});
}

/* A partner that comes while the call waits makes all cases of its channel ready at once. */
TEST_P(Select, DrawsEvenlyAfterAWait)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {3, 6}) {
			Chan<int> chan, idle;
			long rounds = times(6000, 1500);
			std::vector<long> drawn(3);
			weft_fiber *fiber = spawn([&] {
				int value = -1;
				std::vector<weft_case> cases(count, recv_case(idle, &value));
				for (size_t place : {count - 1, count - 2, count - 3})
					cases[place] = recv_case(chan, &value);
				for (long i = 0; i < rounds; i++) {
					auto index = static_cast<size_t>(
						weft_select(cases.data(), count, WEFT_FOREVER));
					ASSERT_TRUE(index >= count - 3 && index < count) << index;
					drawn[index + 3 - count]++;
				}
			});
			for (long i = 0; i < rounds; i++) {
				weft_sleep(1); /* the fiber waits */
				EXPECT_EQ(0, chan.try_send(1));
			}
			join(fiber);
			EXPECT_TRUE(evenly_drawn(drawn));
		}
	});
}

TEST_P(Select, NeverMeetsItself)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan;
		int in = -1, out = 4;
		weft_case cases[] = {send_case(chan, &out), recv_case(chan, &in), send_case(chan, &out)};
		EXPECT_EQ(-EAGAIN, weft_select(cases, 3, 0));
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 3, weft_after(WEFT_SEC)));
		weft_fiber *fiber = spawn([&] { return weft_select(cases, 3, WEFT_FOREVER); });
		settle();
		EXPECT_EQ(-1, in);
		chan.put(8); /* a partner of its own */
		EXPECT_EQ(1, join(fiber));
		EXPECT_EQ(8, in);
		EXPECT_EQ(-EAGAIN, chan.try_send(9));
		EXPECT_EQ(-EAGAIN, chan.try_recv(&in));

		/* With a buffer it may send now what it receives later. */
		Chan<int> buffered(1);
		weft_case both[] = {send_case(buffered, &out), recv_case(buffered, &in)};
		EXPECT_EQ(0, weft_select(both, 2, 0));
		EXPECT_EQ(1, weft_select(both, 2, 0));
		EXPECT_EQ(4, in);
	});
}

TEST_P(Select, TwoMeetInOneCaseEach)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(5000, 500); round++) {
			Chan<int> c, d;
			int in_a = -1, in_b = -1, out_a = 10, out_b = 20;
			weft_case a[] = {send_case(c, &out_a), recv_case(d, &in_a)};
			weft_case b[] = {send_case(d, &out_b), recv_case(c, &in_b)};
			weft_fiber *other = spawn([&] { return weft_select(b, 2, WEFT_FOREVER); });
			int index_a = weft_select(a, 2, WEFT_FOREVER);
			intptr_t index_b = join(other);
			ASSERT_EQ(1, index_a + index_b) << "one sends, one receives";
			ASSERT_EQ(index_a == 0 ? -1 : 20, in_a);
			ASSERT_EQ(index_a == 0 ? 10 : -1, in_b);
			ASSERT_EQ(-EAGAIN, c.try_send(1));
			ASSERT_EQ(-EAGAIN, d.try_recv(&in_a));
		}
	});
}

TEST_P(Select, ManyMeetOnOneChannel)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(200, 20); round++) {
			constexpr int N = 20; /* even: in the end all have met */
			Chan<int> c;
			std::atomic<int> sent{0}, received{0}, sum{0};
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < N; i++)
				fibers.push_back(spawn([&, i] {
					int in = 0, out = 1 << i;
					weft_case cases[] = {send_case(c, &out), recv_case(c, &in)};
					int index = weft_select(cases, 2, WEFT_FOREVER);
					EXPECT_GE(index, 0);
					(index == 0 ? sent : received)++;
					sum += index == 0 ? out : -in;
				}));
			join_all(fibers);
			EXPECT_EQ(N / 2, sent.load());
			EXPECT_EQ(N / 2, received.load());
			EXPECT_EQ(0, sum.load());
		}
	});
}

TEST_P(Select, CloseWhileItWaits)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {1, 2, 4, 9})
			for (size_t which = 0; which < count; which++) {
				std::vector<std::unique_ptr<Chan<int>>> chans;
				std::vector<weft_case> cases;
				int in = -1, out = 1;
				for (size_t i = 0; i < count; i++) {
					chans.push_back(std::make_unique<Chan<int>>());
					cases.push_back(i % 2 == 0 ? recv_case(*chans[i], &in)
								   : send_case(*chans[i], &out));
				}
				weft_fiber *fiber = spawn([&] {
					return weft_select(cases.data(), count, WEFT_FOREVER);
				});
				settle();
				EXPECT_EQ(0, chans[which]->close());
				EXPECT_EQ(static_cast<int>(which), join(fiber));
				for (size_t i = 0; i < count; i++)
					EXPECT_EQ(i == which ? -EPIPE : UNWRITTEN, cases[i].status);
				EXPECT_EQ(-1, in);
			}
	});
}

TEST_P(Select, ManyCloseAtOnce)
{
	run_virtual(GetParam(), [] {
		for (int round = 0; round < 50; round++) {
			Chan<int> chans[6];
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 10; i++)
				fibers.push_back(spawn([&chans, i] {
					int in = -1;
					std::vector<weft_case> cases;
					for (int k = 0; k < 6; k++)
						cases.push_back((i + k) % 2 == 0
								? recv_case(chans[k], &in)
								: send_case(chans[k], &i));
					int index = weft_select(cases.data(), 6, WEFT_FOREVER);
					/* Some may have met each other, if they do not all stand alike. */
					EXPECT_GE(index, 0);
					int status = cases[static_cast<size_t>(index)].status;
					EXPECT_TRUE(status == 0 || (status == -EPIPE && in == -1));
				}));
			settle();
			for (Chan<int> &chan : chans)
				EXPECT_EQ(0, chan.close());
			join_all(fibers);
		}
	});
}

TEST_P(Select, LeavesNoTraceInChannelsItDidNotUse)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {2, 4, 7}) {
			std::vector<std::unique_ptr<Chan<int>>> chans;
			std::vector<weft_case> cases;
			int in = -1, out = 2;
			for (size_t i = 0; i < count; i++) {
				chans.push_back(std::make_unique<Chan<int>>());
				cases.push_back(i % 2 == 0 ? recv_case(*chans[i], &in)
							   : send_case(*chans[i], &out));
			}
			weft_fiber *fiber =
				spawn([&] { return weft_select(cases.data(), count, WEFT_FOREVER); });
			settle();
			chans[0]->put(1);
			EXPECT_EQ(0, join(fiber));
			for (auto &chan : chans) {
				EXPECT_EQ(-EAGAIN, chan->try_send(3));
				EXPECT_EQ(-EAGAIN, chan->try_recv(&in));
			}
			EXPECT_EQ(1, in);
		}
	});
}

TEST_P(Select, ManyCases)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {5, 6, 64, 1000}) {
			std::vector<std::unique_ptr<Chan<int>>> chans;
			std::vector<weft_case> cases;
			int value = -1;
			for (size_t i = 0; i < count; i++) {
				chans.push_back(std::make_unique<Chan<int>>(1));
				cases.push_back(recv_case(*chans[i], &value));
			}
			EXPECT_EQ(-EAGAIN, weft_select(cases.data(), count, 0));
			EXPECT_EQ(-ETIMEDOUT, weft_select(cases.data(), count, weft_after(1)));
			for (size_t which : {size_t{0}, count / 3, count - 1}) {
				int number = static_cast<int>(which);
				chans[which]->put(number);
				EXPECT_EQ(number, weft_select(cases.data(), count, WEFT_FOREVER));
				EXPECT_EQ(number, value);
				weft_fiber *fiber = spawn([&] {
					return weft_select(cases.data(), count, WEFT_FOREVER);
				});
				settle();
				chans[which]->put(number + 1);
				EXPECT_EQ(number, join(fiber));
				EXPECT_EQ(number + 1, value);
			}
			for (auto &chan : chans)
				EXPECT_EQ(0u, chan->len());
		}
	});
}

TEST_P(Select, OneChannelInAThousandCases)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan;
		std::vector<int> values(1000, -1);
		std::vector<weft_case> cases;
		for (int &value : values)
			cases.push_back(recv_case(chan, &value));
		weft_fiber *fiber =
			spawn([&] { return weft_select(cases.data(), 1000, WEFT_FOREVER); });
		settle();
		chan.put(7);
		intptr_t index = join(fiber);
		ASSERT_GE(index, 0);
		EXPECT_EQ(7, values[static_cast<size_t>(index)]);
		EXPECT_EQ(7 - 999, std::accumulate(values.begin(), values.end(), 0));
		EXPECT_EQ(-EAGAIN, chan.try_send(8));
	});
}

static void refuse_arguments()
{
	Chan<int> chan(1);
	chan.put(1);
	int value = -1;
	weft_case cases[] = {recv_case(chan, &value), recv_case(chan, nullptr)};
	for (weft_ns deadline : {weft_ns{0}, weft_after(WEFT_SEC), WEFT_FOREVER}) {
		EXPECT_EQ(-EINVAL, weft_select(nullptr, 1, deadline));
		EXPECT_EQ(-EINVAL, weft_select(cases, static_cast<size_t>(INT_MAX) + 1, deadline));
		EXPECT_EQ(-EINVAL, weft_select(cases, SIZE_MAX, deadline));
		cases[1] = recv_case(chan, nullptr);
		EXPECT_EQ(-EINVAL, weft_select(cases, 2, deadline)) << "an int needs a place";
		cases[1].op = WEFT_CASE_SEND;
		EXPECT_EQ(-EINVAL, weft_select(cases, 2, deadline));
		cases[1] = recv_case(chan, &value);
		int unknown = 4;
		memcpy(&cases[1].op, &unknown, sizeof(cases[1].op)); /* as a C program could */
		EXPECT_EQ(-EINVAL, weft_select(cases, 2, deadline));
	}
	EXPECT_EQ(1u, chan.len()) << "nothing was taken";
	EXPECT_EQ(-1, value);
}

TEST_P(Select, Arguments)
{
	run_virtual(GetParam(), refuse_arguments);
}

TEST(SelectOffAFiber, Arguments)
{
	refuse_arguments();
}

TEST_P(Select, Cancelled)
{
	run_virtual(GetParam(), [] {
		for (size_t count : {1, 3, 8}) {
			std::vector<std::unique_ptr<Chan<int>>> chans;
			std::vector<weft_case> cases;
			int in = -1, out = 2;
			for (size_t i = 0; i < count; i++) {
				chans.push_back(std::make_unique<Chan<int>>());
				cases.push_back(i % 2 == 0 ? recv_case(*chans[i], &in)
							   : send_case(*chans[i], &out));
			}
			weft_fiber *fiber = spawn([&] {
				int error = weft_select(cases.data(), count, weft_after(WEFT_SEC));
				EXPECT_EQ(-ECANCELED, weft_select(cases.data(), count, WEFT_FOREVER));
				EXPECT_EQ(-EAGAIN, weft_select(cases.data(), count, 0))
					<< "no cancellation point";
				return error;
			});
			settle();
			EXPECT_EQ(0, weft_cancel(fiber));
			EXPECT_EQ(-ECANCELED, join(fiber));
			EXPECT_EQ(-1, in);
			for (size_t i = 0; i < count; i++) {
				EXPECT_EQ(UNWRITTEN, cases[i].status);
				EXPECT_EQ(-EAGAIN, chans[i]->try_send(3));
				EXPECT_EQ(-EAGAIN, chans[i]->try_recv(&in));
			}
		}
		EXPECT_LT(weft_now(), 2 * WEFT_SEC);
	});
}

TEST_P(Select, ScopeDeadline)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan(1);
		int value = -1;
		weft_case one = recv_case(chan, &value);
		weft_scope scope;
		weft_ns end = weft_after(WEFT_SEC);
		ASSERT_EQ(0, weft_scope_open(&scope, end));
		EXPECT_EQ(-ETIMEDOUT, weft_select(&one, 1, WEFT_FOREVER));
		EXPECT_EQ(end, weft_now());
		chan.try_send(1);
		EXPECT_EQ(-ETIMEDOUT, weft_select(&one, 1, WEFT_FOREVER)) << "before readiness";
		EXPECT_EQ(0, weft_select(&one, 1, 0));
		EXPECT_EQ(1, value);
		EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
		EXPECT_EQ(0, chan.send(1));
	});
}
