/* SPDX-License-Identifier: MIT */
/* chan_wait_test.cc - waiting on a channel and giving up; who may wait; the end of a channel
 *
 * Law  a send or receive that was cancelled or late had no effect, and both are looked at before readiness; the
 *      try forms, closing, and a select with deadline 0 do not look at them; a shield leaves the fiber's own
 *      deadline.
 * Law  fibers, plain threads and the fibers of other runtimes talk to each other as fibers of one runtime do.
 * Law  whoever has received an element may free the channel at once; freeing one on which somebody waits aborts
 *      with one line.
 * Law  whoever receives sees what the sender wrote before, and a sender that waited what the receiver wrote
 *      before.
 */
#include <algorithm>
#include <atomic>
#include <csignal>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class ChannelWait : public Workers
{
};
FOR_WORKERS(ChannelWait);

TEST_P(ChannelWait, CancelledSendHadNoEffect)
{
	run_virtual(GetParam(), [] {
		for (int capacity : {0, 2}) {
			Chan<int> chan(static_cast<size_t>(capacity));
			for (int i = 0; i < capacity; i++)
				chan.put(i);
			weft_fiber *first = spawn([&] { return chan.send(50); });
			settle();
			weft_fiber *second = spawn([&] { return chan.send(51); });
			settle();
			EXPECT_EQ(0, weft_cancel(first));
			EXPECT_EQ(-ECANCELED, join(first));
			for (int i = 0; i < capacity; i++)
				EXPECT_EQ(i, chan.take());
			EXPECT_EQ(51, chan.take());
			EXPECT_EQ(0, join(second));
			int none = -1;
			EXPECT_EQ(-EAGAIN, chan.try_recv(&none));
		}
	});
}

TEST_P(ChannelWait, CancelledReceiveHadNoEffect)
{
	run_virtual(GetParam(), [] {
		for (size_t capacity : {0, 2}) {
			Chan<int> chan(capacity);
			auto wait = [&chan] {
				int value = -1;
				int error = chan.recv(&value);
				EXPECT_EQ(error == 0 ? 60 : -1, value);
				return error;
			};
			weft_fiber *first = spawn(wait);
			settle();
			weft_fiber *second = spawn(wait);
			settle();
			EXPECT_EQ(0, weft_cancel(first));
			EXPECT_EQ(-ECANCELED, join(first));
			EXPECT_EQ(0, chan.try_send(60)) << "the second still waits";
			EXPECT_EQ(0, join(second));
			EXPECT_EQ(-EAGAIN, capacity == 0 ? chan.try_send(61) : -EAGAIN);
			EXPECT_EQ(0u, chan.len());
		}
	});
}

TEST_P(ChannelWait, LateCallsHadNoEffectAndEndOnTime)
{
	run_virtual(GetParam(), [] {
		Chan<int> full(1), empty(1), meet;
		full.put(1);
		for (int round = 0; round < 3; round++) {
			int value = -1;
			weft_ns end = weft_after(WEFT_SEC + round);
			weft_deadline(end);
			switch (round) {
			case 0:
				EXPECT_EQ(-ETIMEDOUT, full.send(2));
				break;
			case 1:
				EXPECT_EQ(-ETIMEDOUT, empty.recv(&value));
				break;
			default:
				EXPECT_EQ(-ETIMEDOUT, meet.send(3));
			}
			EXPECT_EQ(end, weft_now());
			EXPECT_EQ(-1, value);
			weft_deadline(WEFT_FOREVER);
		}
		int none;
		EXPECT_EQ(1, full.take());
		EXPECT_EQ(-EAGAIN, full.try_recv(&none));
		EXPECT_EQ(0, empty.try_send(4)) << "nobody waits there: it goes into the buffer";
		EXPECT_EQ(1u, empty.len());
		EXPECT_EQ(-EAGAIN, meet.try_recv(&none));
	});
}

TEST_P(ChannelWait, ScopesReachWaiters)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan;
		weft_scope scope;
		int value = -1;
		ASSERT_EQ(0, weft_scope_open(&scope, weft_after(WEFT_SEC)));
		weft_ns end = weft_after(WEFT_SEC);
		EXPECT_EQ(-ETIMEDOUT, chan.recv(&value));
		EXPECT_EQ(end, weft_now());
		EXPECT_EQ(-ETIMEDOUT, chan.send(1));
		EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));

		ASSERT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		auto child = [](void *arg) {
			auto where = static_cast<Chan<int> *>(arg);
			int got = -1;
			EXPECT_EQ(-ECANCELED, where->recv(&got));
			EXPECT_EQ(-1, got);
			return 0;
		};
		for (int i = 0; i < 5; i++)
			EXPECT_EQ(0, weft_scope_spawn(&scope, child, &chan));
		settle();
		EXPECT_EQ(0, weft_scope_cancel(&scope));
		EXPECT_EQ(-ECANCELED, chan.send(1));
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scope));
		EXPECT_EQ(-EAGAIN, chan.try_send(1)) << "nobody is left";
	});
}

/* What is in force in the caller comes before readiness: in an empty, a full, and a closed channel. */
static void fail_all(int error, int tries)
{
	Chan<int> some(2), closed(1), full(1);
	EXPECT_EQ(0, some.try_send(1)) << "the try forms do not look at it";
	EXPECT_EQ(0, closed.close());
	EXPECT_EQ(0, full.try_send(1));
	for (int i = 0; i < tries; i++) {
		int value = -1;
		EXPECT_EQ(error, some.send(2));
		EXPECT_EQ(error, some.recv(&value));
		EXPECT_EQ(error, full.send(2));
		EXPECT_EQ(error, closed.send(2));
		EXPECT_EQ(error, closed.recv(&value));
		weft_case ready = recv_case(some, &value);
		EXPECT_EQ(error, weft_select(&ready, 1, WEFT_FOREVER));
		EXPECT_EQ(error, weft_select(&ready, 1, weft_after(WEFT_SEC)));
		EXPECT_EQ(UNWRITTEN, ready.status);
		EXPECT_EQ(-1, value);
		EXPECT_EQ(1u, some.len());
	}
	int value = -1;
	weft_case ready = recv_case(some, &value);
	EXPECT_EQ(0, weft_select(&ready, 1, 0)) << "no cancellation point";
	EXPECT_EQ(1, value);
	EXPECT_EQ(-EAGAIN, weft_select(&ready, 1, 0));
	EXPECT_EQ(-EAGAIN, some.try_recv(&value));
	EXPECT_EQ(0, some.close());
	EXPECT_EQ(-EPIPE, some.try_recv(&value));
}

TEST_P(ChannelWait, LevelsComeBeforeReadiness)
{
	run_virtual(GetParam(), [] {
		join(spawn([] {
			weft_cancel(weft_self());
			fail_all(-ECANCELED, 3);
			weft_deadline(1);
			fail_all(-ECANCELED, 1); /* both: cancelled */
		}));
		join(spawn([] {
			weft_deadline(1);
			fail_all(-ETIMEDOUT, 3);
			weft_deadline(WEFT_FOREVER);
			Chan<int> chan(1);
			EXPECT_EQ(0, chan.send(1)) << "moved: no longer in force";
		}));
		EXPECT_EQ(WEFT_SEC, weft_now()) << "no time passed";
	});
}

TEST_P(ChannelWait, Shield)
{
	run_virtual(GetParam(), [] {
		Chan<int> chan, quiet;
		std::atomic<bool> parked{true};
		weft_fiber *fiber = spawn([&] {
			weft_shield(true);
			EXPECT_EQ(5, chan.take()) << "the cancellation came in this wait";
			parked = false;
			int value = -1;
			weft_ns end = weft_after(WEFT_SEC);
			weft_deadline(end);
			EXPECT_EQ(-ETIMEDOUT, quiet.recv(&value));
			EXPECT_EQ(end, weft_now());
			weft_deadline(WEFT_FOREVER);
			weft_shield(false);
			EXPECT_EQ(-ECANCELED, quiet.recv(&value));
			EXPECT_EQ(-1, value);
		});
		settle();
		EXPECT_EQ(0, weft_cancel(fiber));
		settle();
		EXPECT_TRUE(parked);
		chan.put(5);
		join(fiber);
	});
}

/* Each hands a plain word over with every element, and takes one back: what TSan would call a race is none. */
TEST_P(ChannelWait, MemoryIsHandedOver)
{
	run(GetParam(), [] {
		for (size_t capacity : {0, 1, 4}) {
			Chan<int *> there(capacity);
			Chan<nothing> back(capacity);
			weft_fiber *fiber = spawn([&] {
				int *word;
				while (there.recv(&word) == 0) {
					*word += 1;
					EXPECT_EQ(0, back.send({}));
				}
			});
			int word = 0;
			for (int i = 0; i < times(2000, 200); i++) {
				word += 1;
				there.put(&word);
				back.take();
				ASSERT_EQ(2 * (i + 1), word);
			}
			there.close();
			join(fiber);
		}
	});
}

TEST_P(ChannelWait, SenderThatWaitedSeesWhatTheReceiverWrote)
{
	run(GetParam(), [] {
		Chan<int> meet;
		int count = static_cast<int>(times(3000, 300));
		std::vector<int> wrote(static_cast<size_t>(count));
		weft_fiber *fiber = spawn([&] {
			for (int i = 0; i < count; i++) {
				wrote[static_cast<size_t>(i)] = i + 1;
				EXPECT_EQ(i, meet.take());
			}
		});
		for (int i = 0; i < count; i++) {
			meet.put(i);
			ASSERT_EQ(i + 1, wrote[static_cast<size_t>(i)]);
		}
		join(fiber);
	});
	run_virtual(GetParam(), [] {
		Chan<int> full(1);
		full.put(0);
		int wrote = 0;
		weft_fiber *fiber = spawn([&] {
			settle();
			wrote = 7;
			EXPECT_EQ(0, full.take());
		});
		full.put(1);
		EXPECT_EQ(7, wrote);
		join(fiber);
	});
}

/* The receiver gives the channel back at once, while the sender is still on its way out. */
TEST_P(ChannelWait, ReceiverFrees)
{
	run(GetParam(), [] {
		long rounds = times(20000, 2000);
		Chan<weft_chan *> offers(1);
		Chan<long> idle;
		weft_fiber *receiver = spawn([&] {
			weft_chan *chan;
			for (long i = 0; offers.recv(&chan) == 0; i++) {
				long value = 0;
				/* With an element in the buffer the second one's sender waits. */
				long elements = weft_chan_cap(chan) == 0 ? 1 : 2;
				for (long k = 0; k < elements; k++) {
					weft_case one = recv_case(chan, &value);
					EXPECT_EQ(0,
						i % 3 == 0 ? weft_select(&one, 1, WEFT_FOREVER)
							   : weft_chan_recv(chan, &value));
					EXPECT_EQ(k, value);
				}
				weft_chan_free(chan);
			}
		});
		for (long i = 0; i < rounds; i++) {
			weft_chan *chan = nullptr;
			size_t capacity = i % 2;
			ASSERT_EQ(0, weft_chan_new(&chan, sizeof(long), capacity));
			offers.put(chan);
			for (long k = i % 5; k > 0; k--)
				weft_yield(); /* the receiver comes before, meanwhile, or after */
			long value = 0, last = 1, unused = 0;
			EXPECT_EQ(0, weft_chan_send(chan, &value));
			if (capacity == 1) {
				/* Alone, or in a company that stands in the same list, or in another one. */
				weft_case cases[] = {send_case(chan, &last), recv_case(idle, &unused),
					send_case(chan, &last), send_case(chan, &last)};
				size_t count = i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : 4;
				int index = weft_select(cases, count, WEFT_FOREVER);
				EXPECT_TRUE(index == 0 || index == 2 || index == 3) << index;
			}
		}
		offers.close();
		join(receiver);
	});
}

TEST(ChannelOfThreads, ReceiverFreesWhatAThreadSentOn)
{
	Chan<weft_chan *> offers(1);
	Threads threads;
	threads.start([&] {
		weft_chan *chan;
		while (offers.recv(&chan) == 0) {
			int value = 0;
			EXPECT_EQ(0, weft_chan_recv(chan, &value));
			EXPECT_EQ(3, value);
			weft_chan_free(chan);
		}
	});
	for (long i = 0; i < times(5000, 1000); i++) {
		weft_chan *chan = nullptr;
		ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 0));
		offers.put(chan);
		int value = 3;
		EXPECT_EQ(0, weft_chan_send(chan, &value));
	}
	offers.close();
}

class ChannelFreeDeathTest : public Workers
{
};
FOR_WORKERS(ChannelFreeDeathTest);

static constexpr char ONE_LINE[] = "^weft: fatal: [^\n]*chan[^\n]*\n$";

TEST_P(ChannelFreeDeathTest, WithAWaitingReceiver)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(quiet_config(GetParam(), WEFT_VIRTUAL_TIME),
			    [] {
				    auto chan = std::make_unique<Chan<int>>();
				    spawn([&] { return chan->take(); });
				    settle();
				    chan.reset();
			    }),
		testing::KilledBySignal(SIGABRT), ONE_LINE);
}

TEST_P(ChannelFreeDeathTest, WithAWaitingSender)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(quiet_config(GetParam(), WEFT_VIRTUAL_TIME),
			    [] {
				    auto chan = std::make_unique<Chan<int>>(1);
				    chan->put(1);
				    spawn([&] { return chan->send(2); });
				    settle();
				    chan.reset();
			    }),
		testing::KilledBySignal(SIGABRT), ONE_LINE);
}

TEST_P(ChannelFreeDeathTest, WithAWaitingSelect)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(quiet_config(GetParam(), WEFT_VIRTUAL_TIME),
			    [] {
				    auto chan = std::make_unique<Chan<int>>();
				    Chan<int> other;
				    spawn([&] {
					    int value;
					    weft_case cases[] = {recv_case(other, &value),
						    recv_case(*chan, &value)};
					    return weft_select(cases, 2, WEFT_FOREVER);
				    });
				    settle();
				    chan.reset();
			    }),
		testing::KilledBySignal(SIGABRT), ONE_LINE);
}

TEST(ChannelOfThreads, PingPongWithoutARuntime)
{
	Chan<int> ping, pong(2);
	Threads threads;
	threads.start([&] {
		int value;
		while (ping.recv(&value) == 0)
			pong.put(value + 1);
		EXPECT_EQ(0, pong.close());
	});
	for (int i = 0; i < times(2000, 500); i++) {
		ping.put(i);
		EXPECT_EQ(i + 1, pong.take());
	}
	EXPECT_EQ(0, ping.close());
	int none = -1;
	EXPECT_EQ(-EPIPE, pong.recv(&none));
	EXPECT_EQ(-1, none);
}

TEST(ChannelOfThreads, SelectOffAFiber)
{
	Chan<int> first, second(1);
	int value = -1;
	weft_case cases[] = {recv_case(first, &value), recv_case(second, &value)};
	EXPECT_EQ(-EAGAIN, weft_select(cases, 2, 0));
	weft_ns end = weft_after(2 * WEFT_MS);
	EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, end));
	EXPECT_GE(weft_now(), end);
	EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, 1));
	EXPECT_EQ(-ETIMEDOUT, weft_select(nullptr, 0, weft_after(WEFT_MS)));
	second.put(4);
	EXPECT_EQ(1, weft_select(cases, 2, WEFT_FOREVER));
	EXPECT_EQ(0, cases[1].status);
	EXPECT_EQ(4, value);
	Threads threads;
	threads.start([&] { first.put(5); });
	EXPECT_EQ(0, weft_select(cases, 2, WEFT_FOREVER));
	EXPECT_EQ(5, value);
	threads.start([&] { EXPECT_EQ(0, second.close()); });
	EXPECT_EQ(1, weft_select(cases, 2, WEFT_FOREVER));
	EXPECT_EQ(-EPIPE, cases[1].status);
	EXPECT_EQ(5, value);
}

TEST_P(ChannelWait, FibersAndThreadsTalk)
{
	Chan<int> to_fiber, to_thread;
	Threads threads;
	threads.start([&] {
		int value;
		while (to_thread.recv(&value) == 0)
			to_fiber.put(value + 1);
		EXPECT_EQ(0, to_fiber.close());
	});
	run(GetParam(), [&] {
		for (int i = 0; i < times(2000, 500); i++) {
			to_thread.put(i);
			EXPECT_EQ(i + 1, to_fiber.take());
		}
		EXPECT_EQ(0, to_thread.close());
		int none = -1;
		EXPECT_EQ(-EPIPE, to_fiber.recv(&none)) << "closed by the thread";
		EXPECT_EQ(-1, none);
	});
}

TEST_P(ChannelWait, FibersOfTwoRuntimesTalk)
{
	Chan<int> there, back;
	Chan<nothing> done(2);
	int rounds = static_cast<int>(times(2000, 500));
	{
		Host one(GetParam()), two(2);
		one.submit([&] {
			for (int i = 0; i < rounds; i++) {
				there.put(i);
				EXPECT_EQ(i * 2, back.take());
			}
			EXPECT_EQ(0, there.close());
			return weft_chan_send(done.get(), nullptr);
		});
		two.submit([&] {
			int value;
			while (there.recv(&value) == 0) {
				weft_case one_case;
				value *= 2;
				one_case = send_case(back, &value);
				EXPECT_EQ(0, weft_select(&one_case, 1, WEFT_FOREVER));
			}
			return weft_chan_send(done.get(), nullptr);
		});
		done.take();
		done.take();
	}
	EXPECT_EQ(0u, done.len());
}

/* A fiber of one runtime waits; a fiber of the other, which is being stopped, is cancelled in its wait on the
 * same channel. */
TEST_P(ChannelWait, TheEndOfARuntimeCancelsItsWaitersOnly)
{
	Chan<int> chan;
	Chan<int> results(2);
	std::atomic<int> waiting{0};
	Host stays(1);
	{
		Host ends(GetParam());
		auto wait = [&] {
			int value = -1;
			waiting++;
			int error = chan.recv(&value);
			EXPECT_EQ(error == 0 ? 9 : -1, value);
			EXPECT_EQ(0, results.try_send(error)); /* a send would fail in a cancelled fiber */
			return 0;
		};
		ends.submit(wait);
		EXPECT_TRUE(eventually([&] { return waiting == 1; }));
		stays.submit([wait] { return wait(); });
		EXPECT_TRUE(eventually([&] { return waiting == 2; }));
	}
	EXPECT_EQ(-ECANCELED, results.take());
	chan.put(9);
	EXPECT_EQ(0, results.take());
}

TEST_P(ChannelWait, WaitersAreCancelledWhenTheRuntimeEnds)
{
	Chan<int> meet, full(1);
	std::atomic<int> cancelled{0};
	full.put(1);
	run_virtual(GetParam(), [&] {
		for (int i = 0; i < 20; i++) {
			go([&] {
				int value = -1;
				cancelled += meet.recv(&value) == -ECANCELED;
				EXPECT_EQ(-1, value);
			});
			go([&] { cancelled += full.send(2) == -ECANCELED; });
		}
		settle();
	});
	EXPECT_EQ(40, cancelled.load());
	EXPECT_EQ(1u, full.len());
}

/* On a small stack: nothing but weft's own calls. */
struct small_talk {
	weft_chan *in, *out, *quit;
};

static void *answer(void *arg)
{
	auto talk = static_cast<small_talk *>(arg);
	int value = 0;
	weft_case cases[] = {
		{WEFT_CASE_RECV, talk->in, &value, 0, 0},
		{WEFT_CASE_RECV, talk->quit, nullptr, 0, 0},
		{WEFT_CASE_RECV, nullptr, nullptr, 0, 0},
		{WEFT_CASE_RECV, talk->quit, nullptr, 0, 0},
	};
	int answers = 0;
	while (weft_select(cases, 4, WEFT_FOREVER) == 0) {
		value++;
		if (weft_chan_send(talk->out, &value) == 0)
			answers++;
		if (weft_chan_recv(talk->in, &value) == 0 && weft_chan_try_send(talk->out, &value) == 0)
			answers++;
	}
	return reinterpret_cast<void *>(static_cast<intptr_t>(answers));
}

TEST_P(ChannelWait, SmallFibers)
{
	run(GetParam(), [] {
		Chan<int> in, out(1);
		Chan<nothing> quit;
		small_talk talk{in.get(), out.get(), quit.get()};
		weft_attr small{};
		small.flags = WEFT_SMALL;
		weft_fiber *fiber = nullptr;
		ASSERT_EQ(0, weft_spawn_attr(&fiber, &small, answer, &talk));
		for (int i = 0; i < 100; i++) {
			in.put(i);
			EXPECT_EQ(i + 1, out.take());
			in.put(2 * i);
			EXPECT_EQ(2 * i, out.take());
		}
		EXPECT_EQ(0, quit.close());
		EXPECT_EQ(200, join(fiber));
	});
}
