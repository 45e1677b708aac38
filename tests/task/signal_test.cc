/* SPDX-License-Identifier: MIT */
/* signal_test.cc - signals as a channel
 *
 * Law  a signal sent to the process arrives on every channel that asked for it, whatever threads block, on fibers and plain threads, in
 *      several runtimes, also across the end of one.
 * Law  nothing is lost: after the last signal sent a number arrives, however full the channel and however dense the storm; real-time
 *      signals arrive each; none starves another.
 * Law  the end of the last channel gives a signal back as it was, before the call returns; nothing of weft is left then; it never races
 *      with signals that come.
 * Law  a child of fork and its parent do not disturb each other.
 */
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <initializer_list>
#include <map>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <vector>

#include "tests/core/support.h"
#include "tests/task/signal_support.h"

using namespace support;
using namespace signal_test;

namespace
{

FOR_WORKERS(SignalChan);

TEST_P(SignalChan, KillReachesAFiber)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1, SIGUSR2, SIGTERM});
		for (int round = 0; round < 50; round++)
			for (int number : {SIGUSR1, SIGUSR2, SIGTERM}) {
				send(number);
				EXPECT_EQ(number, signals.next());
			}
		EXPECT_EQ(-EAGAIN, signals.try_next());
	});
}

TEST_P(SignalChan, ParkedBeforeItComes)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1});
		for (int round = 0; round < 50; round++) {
			std::atomic<bool> there{false};
			weft_fiber *receiver = spawn([&] {
				there = true;
				return signals.next();
			});
			while (!there)
				weft_yield();
			send(SIGUSR1);
			EXPECT_EQ(SIGUSR1, join(receiver));
		}
	});
}

TEST_P(SignalChan, EveryThreadMayBlockIt)
{
	sigset_t blocked = set_of({SIGTERM}), before;
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, &before));
	run(GetParam(), [] {
		Signals signals({SIGTERM});
		for (int round = 0; round < 20; round++) {
			send(SIGTERM);
			EXPECT_EQ(SIGTERM, signals.next());
		}
	});
	sigset_t pending;
	EXPECT_EQ(0, sigpending(&pending));
	EXPECT_EQ(0, sigismember(&pending, SIGTERM));
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

/* SI5: pending while the channel ends, it must not find the default action on a thread of weft. */
TEST_F(SignalChanOnce, BlockedEverywhereItStaysPendingAfterTheEnd)
{
	sigset_t blocked = set_of({SIGTERM}), before;
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, &before));
	timespec no_time = {};
	for (int round = 0; round < times(300, 100); round++) {
		Signals signals({SIGTERM, SIGUSR1});
		Signals other({SIGUSR1}); /* the thread stays */
		std::thread sender([] { send(SIGTERM); });
		signals.free();
		sender.join();
		send(SIGTERM);
		EXPECT_EQ(SIGTERM, sigtimedwait(&blocked, nullptr, &no_time));
	}
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(SignalChanOnce, OnAPlainThread)
{
	errno = E2BIG;
	{
		Signals signals({SIGUSR1, SIGHUP});
		send(SIGUSR1);
		EXPECT_EQ(SIGUSR1, signals.next());
		send(SIGHUP);
		EXPECT_EQ(SIGHUP, signals.next());
		EXPECT_EQ(-EAGAIN, signals.try_next());
		EXPECT_EQ(64u, weft_chan_cap(signals.chan));
	}
	EXPECT_EQ(E2BIG, errno) << "neither made nor freed";
}

TEST_F(SignalChanOnce, SentToOneThread)
{
	Signals signals({SIGUSR1});
	std::atomic<bool> over{false};
	std::thread target([&] {
		sigset_t mine = set_of({SIGUSR1});
		pthread_sigmask(SIG_UNBLOCK, &mine, nullptr);
		while (!over)
			usleep(100);
	});
	for (int round = 0; round < 20; round++) {
		EXPECT_EQ(0, pthread_kill(target.native_handle(), SIGUSR1));
		EXPECT_EQ(SIGUSR1, signals.next());
	}
	over = true;
	target.join();
}

/* The worker blocks it, so it stays with the worker. */
TEST_P(SignalChan, RaiseOnAFiberStaysPending)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1, SIGUSR2});
		EXPECT_EQ(0, raise(SIGUSR1));
		send(SIGUSR2);
		EXPECT_EQ(SIGUSR2, signals.next());
		EXPECT_EQ(-EAGAIN, signals.try_next());
	});
}

TEST_P(SignalChan, EachOfSeveralChannelsGetsIt)
{
	run(GetParam(), [] {
		Signals one({SIGUSR1, SIGTERM}), two({SIGUSR1, SIGUSR2}), three({SIGUSR1});
		for (int round = 0; round < 20; round++) {
			send(SIGUSR1);
			EXPECT_EQ(SIGUSR1, one.next());
			EXPECT_EQ(SIGUSR1, two.next());
			EXPECT_EQ(SIGUSR1, three.next());
			send(SIGTERM);
			EXPECT_EQ(SIGTERM, one.next());
			send(SIGUSR2);
			EXPECT_EQ(SIGUSR2, two.next());
			EXPECT_EQ(-EAGAIN, three.try_next());
		}
		one.free();
		send(SIGUSR1);
		EXPECT_EQ(SIGUSR1, two.next());
		EXPECT_EQ(SIGUSR1, three.next());
		EXPECT_EQ(-EAGAIN, two.try_next());
	});
}

TEST_F(SignalChanOnce, WhatCameBeforeIsForTheOthers)
{
	Signals first({SIGUSR1});
	for (int round = 0; round < 200; round++) {
		send(SIGUSR1);
		if (tsan) /* only then it surely has come */
			first.next();
		Signals second({SIGUSR1});
		EXPECT_EQ(-EAGAIN, second.try_next());
		EXPECT_EQ(tsan ? -EAGAIN : SIGUSR1, tsan ? first.try_next() : first.next());
		EXPECT_EQ(-EAGAIN, second.try_next());
	}
}

TEST_F(SignalChanOnce, GivenBackAsItWas)
{
	Disposition ignored(SIGUSR1, SIG_IGN);
	Disposition handled(SIGUSR2, ignore_it, SA_NODEFER);
	Disposition standard(SIGHUP, SIG_DFL);
	for (int round = 0; round < 50; round++) {
		Signals one({SIGUSR1, SIGUSR2, SIGHUP}), two({SIGUSR1, SIGHUP});
		EXPECT_NE(SIG_IGN, disposition_of(SIGUSR1).sa_handler);
		one.free();
		EXPECT_EQ(ignore_it, disposition_of(SIGUSR2).sa_handler);
		EXPECT_TRUE(disposition_of(SIGUSR2).sa_flags & SA_NODEFER);
		EXPECT_NE(SIG_IGN, disposition_of(SIGUSR1).sa_handler) << "still on the second channel";
		EXPECT_NE(SIG_DFL, disposition_of(SIGHUP).sa_handler);
		EXPECT_EQ(0, weft_chan_close(two.chan));
		EXPECT_EQ(SIG_IGN, disposition_of(SIGUSR1).sa_handler);
		EXPECT_EQ(SIG_DFL, disposition_of(SIGHUP).sa_handler);
	}
}

TEST_F(SignalChanOnce, AHandlerInstalledMeanwhileStays)
{
	Disposition standard(SIGUSR1, SIG_DFL);
	Signals signals({SIGUSR1});
	Disposition own(SIGUSR1, ignore_it);
	signals.free();
	EXPECT_EQ(ignore_it, disposition_of(SIGUSR1).sa_handler);
}

TEST(SignalChanDeathTest, KillsAgainAfterTheEnd)
{
	EXPECT_EXIT(
		{
			{
				Signals signals({SIGTERM});
				send(SIGTERM);
				if (signals.next() != SIGTERM)
					_exit(1);
				send(SIGTERM);
				if (signals.next() != SIGTERM)
					_exit(2);
			}
			send(SIGTERM);
			_exit(3);
		},
		testing::KilledBySignal(SIGTERM), "");
}

TEST_F(SignalChanOnce, NothingIsLeft)
{
	long threads = thread_count(), descriptors = fd_count();
	/* The one of the round before was joined, but may still be there for a moment. */
	auto there_is_one = [] { return threads_named("weft-signal") == 1; };
	for (int round = 0; round < 50; round++) {
		Signals one({SIGUSR1}), two({SIGUSR2});
		EXPECT_TRUE(eventually(there_is_one)) << "one thread for all channels";
		EXPECT_EQ(descriptors, fd_count());
		one.free();
		EXPECT_TRUE(eventually(there_is_one));
	}
	EXPECT_TRUE(eventually(
		[&] { return thread_count() <= threads && threads_named("weft-signal") == 0; }));
	EXPECT_EQ(descriptors, fd_count());
}

TEST_P(SignalChan, CloseWakesAndLeavesWhatHasArrived)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1});
		weft_fiber *receiver = spawn([&] { return signals.next(); });
		weft_yield();
		EXPECT_EQ(0, weft_chan_close(signals.chan));
		EXPECT_EQ(-EPIPE, join(receiver));
		EXPECT_EQ(-EPIPE, weft_chan_close(signals.chan));

		Signals full({SIGUSR1});
		send(SIGUSR1);
		while (weft_chan_len(full.chan) == 0)
			weft_yield();
		EXPECT_EQ(0, weft_chan_close(full.chan));
		EXPECT_EQ(SIGUSR1, full.next());
		EXPECT_EQ(-EPIPE, full.next());
	});
}

/* The receiver that the closing woke frees the channel while the closer is still on its way out. */
TEST_P(SignalChan, FreedByTheOneWhomClosingWoke)
{
	run(GetParam(), [] {
		for (int round = 0; round < times(300, 50); round++) {
			sigset_t set = set_of({SIGUSR1});
			weft_chan *chan;
			ASSERT_EQ(0, weft_signal_chan(&chan, &set));
			weft_fiber *receiver = spawn([chan] {
				int number;
				int error = weft_chan_recv(chan, &number);
				weft_chan_free(chan);
				return error;
			});
			weft_yield();
			weft_chan_close(chan);
			EXPECT_EQ(-EPIPE, join(receiver));
		}
	});
}

/* So many real-time signals as may be pending here, up to a thousand. */
int pending_limit()
{
	rlimit limit;
	getrlimit(RLIMIT_SIGPENDING, &limit);
	return static_cast<int>(std::min<rlim_t>(limit.rlim_cur / 4, 1000));
}

TEST_P(SignalChan, AFullChannelLosesNoRealTimeSignal)
{
	SKIP_UNDER_TSAN("it merges real-time signals that wait for a thread in a system call");
	run(GetParam(), [] {
		Signals signals({SIGRTMIN + 1, SIGRTMIN + 2, SIGTERM});
		int count = pending_limit();
		for (int i = 0; i < count; i++) {
			while (kill(getpid(), SIGRTMIN + 1) != 0)
				weft_yield(); /* more are pending than may be */
			while (kill(getpid(), SIGRTMIN + 2) != 0)
				weft_yield();
		}
		send(SIGTERM);
		std::map<int, int> seen;
		while (seen[SIGRTMIN + 1] < count || seen[SIGRTMIN + 2] < count || seen[SIGTERM] == 0) {
			int number = signals.next();
			ASSERT_GT(number, 0);
			seen[number]++;
		}
		EXPECT_EQ(count, seen[SIGRTMIN + 1]);
		EXPECT_EQ(count, seen[SIGRTMIN + 2]);
		EXPECT_EQ(1, seen[SIGTERM]);
		EXPECT_EQ(-EAGAIN, signals.try_next());
	});
}

TEST_P(SignalChan, AFullChannelOfOneDoesNotHoldUpAnother)
{
	run(GetParam(), [] {
		Signals asleep({SIGRTMIN + 1, SIGUSR1}), awake({SIGRTMIN + 1, SIGUSR1, SIGUSR2});
		int count = 200;
		for (int i = 0; i < count; i++) {
			send(SIGRTMIN + 1);
			EXPECT_EQ(SIGRTMIN + 1, awake.next());
		}
		send(SIGUSR1);
		EXPECT_EQ(SIGUSR1, awake.next());
		EXPECT_TRUE(eventually(
			[&] { return weft_chan_len(asleep.chan) == weft_chan_cap(asleep.chan); }));
		/* The one that was not read has it all. */
		int real_time = 0, standard = 0;
		while (real_time + standard < count + 1) {
			int number = asleep.next();
			real_time += number == SIGRTMIN + 1;
			standard += number == SIGUSR1;
			ASSERT_GT(number, 0);
		}
		EXPECT_EQ(count, real_time);
		EXPECT_EQ(1, standard);
	});
}

/* Twice the same while there is no room: merged into one, as pending ones are. */
TEST_F(SignalChanOnce, StandardSignalsThatWaitAreMerged)
{
	Signals signals({SIGUSR1, SIGUSR2});
	int sent = 0;
	while (weft_chan_len(signals.chan) < weft_chan_cap(signals.chan)) {
		size_t before = weft_chan_len(signals.chan);
		send(SIGUSR1);
		sent++;
		ASSERT_TRUE(eventually([&] { return weft_chan_len(signals.chan) > before; }));
	}
	EXPECT_EQ(weft_chan_cap(signals.chan), static_cast<size_t>(sent))
		<< "none was merged while there was room";
	for (int i = 0; i < 100; i++) {
		send(SIGUSR1);
		send(SIGUSR2);
	}
	/* A channel that is not full shows when these have been counted; and the second time, that they have been merged: its number may come
	 * before the full channel's turn, but not before that turn of the first. */
	Signals beside({SIGRTMIN + 1});
	for (int i = 0; i < 2; i++) {
		send(SIGRTMIN + 1);
		EXPECT_EQ(SIGRTMIN + 1, beside.next());
	}
	std::map<int, int> seen;
	while (seen[SIGUSR2] == 0 || seen[SIGUSR1] <= sent) {
		int number = signals.next();
		ASSERT_GT(number, 0);
		seen[number]++;
	}
	while (signals.try_next() > 0)
		sent++;
	EXPECT_LE(sent, 64 + 4);
}

/* SI4: a number that waits for room is not held up by those of another, however many they are. */
TEST_F(SignalChanOnce, ThoseThatWaitTakeTurns)
{
	SKIP_UNDER_TSAN("it merges real-time signals that wait for a thread in a system call");
	Signals signals({SIGRTMIN + 1, SIGRTMIN + 2}), beside({SIGRTMIN + 3});
	int count = 300;
	for (int i = 0; i < count; i++)
		send(SIGRTMIN + 1);
	size_t room = weft_chan_cap(signals.chan), before = 0;
	EXPECT_TRUE(eventually([&] { return weft_chan_len(signals.chan) == room; }));
	send(SIGRTMIN + 2);
	send(SIGRTMIN + 3); /* when it comes, the others have been counted */
	EXPECT_EQ(SIGRTMIN + 3, beside.next());
	while (signals.next() == SIGRTMIN + 1)
		before++;
	EXPECT_LE(before, room + 2);
	for (; before < static_cast<size_t>(count); before++)
		EXPECT_EQ(SIGRTMIN + 1, signals.next());
	EXPECT_EQ(-EAGAIN, signals.try_next());
}

/* A number sent by the program itself shares the channel. */
TEST_P(SignalChan, TheProgramMaySendToo)
{
	run(GetParam(), [] {
		Signals signals({SIGTERM});
		int mine = 1000;
		while (weft_chan_try_send(signals.chan, &mine) == 0)
			mine++;
		send(SIGTERM);
		weft_fiber *sender = spawn([&signals] {
			int last = 5000;
			return weft_chan_send(signals.chan, &last);
		});
		weft_yield();
		for (int expected = 1000; expected < mine; expected++)
			EXPECT_EQ(expected, signals.next());
		int two = signals.next() + signals.next();
		EXPECT_EQ(5000 + SIGTERM, two);
		EXPECT_EQ(0, join(sender));
	});
}

} // namespace
