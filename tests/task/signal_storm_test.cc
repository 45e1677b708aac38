/* SPDX-License-Identifier: MIT */
/* signal_storm_test.cc - signals as a channel, while many come; select, deadlines, the end of a program, children, several runtimes
 *
 * Law  those of signal_test.cc.
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

TEST_P(SignalChan, AStormStarvesNobody)
{
	run(GetParam(), [] {
		Signals signals({SIGHUP, SIGTERM});
		std::atomic<bool> over{false};
		std::thread storm([&] {
			while (!over)
				send(SIGHUP);
		});
		int rounds = static_cast<int>(times(50, 10)), late = 0;
		for (int round = 0; round < rounds; round++) {
			for (int i = 0; i < 100; i++)
				EXPECT_EQ(SIGHUP, signals.next());
			send(SIGTERM);
			int others = 0;
			while (signals.next() != SIGTERM)
				others++;
			/* The buffer, and what came while the number was on its way. */
			late += others >= (tsan ? 100000 : 5000);
		}
		/* The thread that the kernel has handle it may lose its processor before it has counted it, and the storm goes on; but not in
		 * many rounds. */
		EXPECT_LE(late, rounds / 5);
		over = true;
		storm.join();
	});
}

TEST_P(SignalChan, TheLastOfAStormArrives)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1, SIGUSR2});
		std::atomic<long> received{0};
		weft_fiber *receiver = spawn([&] {
			for (;;) {
				int number = signals.next();
				if (number == SIGUSR2)
					return 0;
				EXPECT_EQ(SIGUSR1, number);
				received++;
			}
		});
		std::vector<weft_fiber *> others;
		std::atomic<bool> over{false};
		for (int i = 0; i < 4; i++)
			others.push_back(spawn([&] {
				while (!over)
					weft_yield();
			}));
		int count = static_cast<int>(times(10000, 1000));
		for (int i = 0; i < count; i++) {
			send(SIGUSR1);
			if (i % 64 == 0)
				weft_yield();
		}
		EXPECT_TRUE(eventually([&] { return weft_yield(), received > 0; }));
		send(SIGUSR2);
		join(receiver);
		over = true;
		for (weft_fiber *other : others)
			join(other);
		EXPECT_LE(received.load(), count);
	});
}

/* A number that arrives is from a signal that was sent, and each that is sent alone arrives alone. */
TEST_P(SignalChan, OneForOneWhereEachIsAwaited)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1});
		for (int i = 0; i < times(2000, 300); i++) {
			send(SIGUSR1);
			ASSERT_EQ(SIGUSR1, signals.next());
			ASSERT_EQ(-EAGAIN, signals.try_next());
		}
	});
}

TEST_P(SignalChan, ClosedAndFreedDuringStorms)
{
	Disposition one(SIGUSR1, SIG_IGN), two(SIGUSR2, SIG_IGN);
	run(GetParam(), [] {
		std::atomic<bool> over{false};
		std::vector<std::thread> storms;
		for (int number : {SIGUSR1, SIGUSR2})
			storms.emplace_back([&over, number] {
				while (!over)
					send(number);
			});
		std::vector<weft_fiber *> fibers;
		for (int kind = 0; kind < 4; kind++)
			fibers.push_back(spawn([kind] {
				for (int round = 0; round < times(150, 40); round++) {
					Signals signals(kind % 2 == 0
							? std::initializer_list<int>{SIGUSR1, SIGUSR2}
							: std::initializer_list<int>{SIGUSR1});
					for (int i = 0; i < round % 5; i++)
						EXPECT_GT(signals.next(), 0);
					int error = kind < 2 ? weft_chan_close(signals.chan) : 0;
					EXPECT_EQ(0, error);
					weft_yield();
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		over = true;
		for (std::thread &storm : storms)
			storm.join();
	});
	EXPECT_EQ(SIG_IGN, disposition_of(SIGUSR1).sa_handler);
	EXPECT_EQ(SIG_IGN, disposition_of(SIGUSR2).sa_handler);
}

/* Full ones, with the delivery waiting on them, and receivers that make room at that moment. */
TEST_P(SignalChan, FreedWhileFull)
{
	SKIP_UNDER_TSAN("it merges real-time signals that wait for a thread in a system call");
	Disposition one(SIGRTMIN + 1, SIG_IGN);
	run(GetParam(), [] {
		for (int round = 0; round < times(100, 20); round++) {
			Signals signals({SIGRTMIN + 1}), other({SIGRTMIN + 1});
			for (int i = 0; i < 100; i++)
				send(SIGRTMIN + 1);
			EXPECT_TRUE(eventually([&] { return weft_chan_len(other.chan) == 64; }));
			std::vector<weft_fiber *> receivers;
			for (int k = 0; k < 3; k++)
				receivers.push_back(spawn([&] {
					for (int i = 0; i < 20; i++)
						EXPECT_EQ(SIGRTMIN + 1, signals.next());
				}));
			other.free();
			for (weft_fiber *receiver : receivers)
				join(receiver);
		}
	});
}

TEST_P(SignalChan, SelectWithATimer)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1});
		weft_ticker *ticker;
		ASSERT_EQ(0, weft_ticker_new(&ticker, weft_after(WEFT_MS), WEFT_MS));
		int number = 0, ticks = 0, got = 0;
		weft_ns due;
		weft_case cases[2] = {};
		cases[0].op = WEFT_CASE_RECV;
		cases[0].chan = signals.chan;
		cases[0].element = &number;
		cases[1].op = WEFT_CASE_RECV;
		cases[1].chan = weft_ticker_chan(ticker);
		cases[1].element = &due;
		while (got < 20) {
			int index = weft_select(cases, 2, WEFT_FOREVER);
			if (index == 1) {
				ticks++;
				send(SIGUSR1);
				continue;
			}
			ASSERT_EQ(0, index);
			EXPECT_EQ(SIGUSR1, number);
			got++;
		}
		EXPECT_GE(ticks, got);
		weft_ticker_free(ticker);
	});
}

TEST_P(SignalChan, DeadlineAndCancellation)
{
	run(GetParam(), [] {
		Signals signals({SIGUSR1});
		weft_deadline(weft_after(2 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, signals.next());
		send(SIGUSR1);
		EXPECT_EQ(-ETIMEDOUT, signals.next());
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(SIGUSR1, signals.next()) << "a failed receive has taken nothing";
		weft_fiber *receiver = spawn([&] { return signals.next(); });
		weft_yield();
		EXPECT_EQ(0, weft_cancel(receiver));
		EXPECT_EQ(-ECANCELED, join(receiver));
	});
}

struct server {
	weft_scope scope;
	std::atomic<int> ended{0};
};

int serve(void *arg)
{
	auto *server = static_cast<struct server *>(arg);
	int error = weft_sleep(WEFT_FOREVER);
	server->ended++;
	return error;
}

TEST_P(SignalChan, GracefulEnd)
{
	run(GetParam(), [] {
		Signals signals({SIGTERM, SIGINT});
		server server;
		ASSERT_EQ(0, weft_scope_open(&server.scope, WEFT_FOREVER));
		for (int i = 0; i < 10; i++)
			EXPECT_EQ(0, weft_scope_spawn(&server.scope, serve, &server));
		std::thread operator_of_it([] { send(SIGTERM); });
		EXPECT_EQ(SIGTERM, signals.next());
		EXPECT_EQ(0, weft_scope_cancel(&server.scope));
		EXPECT_EQ(-ECANCELED, weft_scope_close(&server.scope));
		EXPECT_EQ(10, server.ended);
		operator_of_it.join();
	});
}

TEST_P(SignalChan, ChildrenThatEnd)
{
	run(GetParam(), [] {
		Signals signals({SIGCHLD});
		for (int round = 0; round < 3; round++) {
			pid_t child;
			char name[] = "true";
			char *argv[] = {name, nullptr};
			ASSERT_EQ(0, posix_spawnp(&child, name, nullptr, nullptr, argv, environ));
			int status = -1;
			EXPECT_EQ(SIGCHLD, signals.next());
			EXPECT_EQ(child, waitpid(child, &status, 0));
			EXPECT_EQ(0, status);
		}
	});
}

void *work(void *)
{
	return nullptr;
}

TEST_P(SignalChan, NoCallReturnsEarly)
{
	run(GetParam(), [] {
		Signals signals({SIGALRM});
		int pipe_of[2];
		ASSERT_EQ(0, pipe2(pipe_of, O_CLOEXEC));
		std::atomic<bool> over{false};
		weft_fiber *drain = spawn([&] {
			while (!over)
				EXPECT_EQ(SIGALRM, signals.next());
		});
		weft_fiber *reader = spawn([&] {
			char byte;
			ssize_t n;
			long total = 0;
			while ((n = weft_read(pipe_of[0], &byte, 1)) == 1)
				total++;
			EXPECT_EQ(0, n);
			return total;
		});
		itimerval often = {{0, 100}, {0, 100}}, never = {};
		setitimer(ITIMER_REAL, &often, nullptr);
		for (int i = 0; i < times(300, 50); i++) {
			EXPECT_EQ(0, weft_sleep(100 * WEFT_US));
			EXPECT_EQ(1, weft_write(pipe_of[1], "x", 1));
			EXPECT_EQ(0, weft_offload(work, nullptr, nullptr));
		}
		over = true;
		join(drain);
		setitimer(ITIMER_REAL, &never, nullptr);
		EXPECT_EQ(0, weft_close(pipe_of[1]));
		EXPECT_EQ(times(300, 50), join(reader));
		EXPECT_EQ(0, weft_close(pipe_of[0]));
	});
}

TEST_F(SignalChanOnce, OutlivesARuntime)
{
	Signals signals({SIGUSR1});
	for (int round = 0; round < 5; round++) {
		run(2, [&] {
			send(SIGUSR1);
			EXPECT_EQ(SIGUSR1, signals.next());
		});
		send(SIGUSR1);
		EXPECT_EQ(SIGUSR1, signals.next()) << "between runtimes";
	}
}

TEST_F(SignalChanOnce, SeveralRuntimes)
{
	std::atomic<int> waiting{0};
	auto runtime = [&] {
		run(2, [&] {
			Signals signals({SIGUSR1});
			waiting++;
			EXPECT_EQ(SIGUSR1, signals.next());
		});
	};
	std::vector<std::thread> runtimes;
	for (int i = 0; i < 3; i++)
		runtimes.emplace_back(runtime);
	EXPECT_TRUE(eventually([&] { return waiting == 3; }));
	send(SIGUSR1);
	for (std::thread &one : runtimes)
		one.join();
}

TEST_F(SignalChanOnce, WorksOnOneMadeInAFiberThatEnded)
{
	weft_chan *chan = nullptr;
	run(1, [&] {
		sigset_t set = set_of({SIGUSR1});
		EXPECT_EQ(0, weft_signal_chan(&chan, &set));
	});
	int number = 0;
	send(SIGUSR1);
	EXPECT_EQ(0, weft_chan_recv(chan, &number));
	EXPECT_EQ(SIGUSR1, number);
	weft_chan_free(chan);
}

/* In the child; what is wrong is the number it exits with. */
int look_around_in_child(Signals *inherited)
{
	if (disposition_of(SIGUSR1).sa_handler != SIG_IGN)
		return 1;
	send(SIGUSR1);
	weft_chan *chan;
	sigset_t set = set_of({SIGUSR1, SIGUSR2});
	if (weft_signal_chan(&chan, &set) != 0)
		return 2;
	int number = 0;
	send(SIGUSR1);
	if (weft_chan_recv(chan, &number) != 0 || number != SIGUSR1)
		return 3;
	inherited->free();
	send(SIGUSR2);
	if (weft_chan_recv(chan, &number) != 0 || number != SIGUSR2)
		return 4;
	weft_chan_free(chan);
	if (disposition_of(SIGUSR1).sa_handler != SIG_IGN)
		return 5;
	return 0;
}

TEST_F(SignalChanOnce, ForkedChild)
{
	SKIP_UNDER_TSAN("it starts no thread in the child of a process with threads");
	Disposition one(SIGUSR1, SIG_IGN), two(SIGUSR2, SIG_DFL);
	Signals signals({SIGUSR1, SIGUSR2});
	for (int round = 0; round < 20; round++) {
		pid_t child = fork();
		if (child == 0)
			_exit(look_around_in_child(&signals));
		ASSERT_GT(child, 0);
		int status = -1;
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFEXITED(status)) << status;
		EXPECT_EQ(0, WEXITSTATUS(status));
		EXPECT_EQ(-EAGAIN, signals.try_next()) << "the child's are not the parent's";
		send(SIGUSR1);
		EXPECT_EQ(SIGUSR1, signals.next());
	}
}

TEST_F(SignalChanOnce, Arguments)
{
	sigset_t set = set_of({SIGUSR1}), none = set_of({});
	weft_chan *chan = reinterpret_cast<weft_chan *>(&set);
	errno = E2BIG;
	EXPECT_EQ(-EINVAL, weft_signal_chan(nullptr, &set));
	EXPECT_EQ(-EINVAL, weft_signal_chan(&chan, nullptr));
	EXPECT_EQ(nullptr, chan);
	chan = reinterpret_cast<weft_chan *>(&set);
	EXPECT_EQ(-EINVAL, weft_signal_chan(&chan, &none));
	EXPECT_EQ(nullptr, chan);
	for (int number : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
		sigset_t bad = set_of({SIGUSR1, number});
		EXPECT_EQ(-EINVAL, weft_signal_chan(&chan, &bad)) << number;
		EXPECT_EQ(nullptr, chan);
	}
	sigset_t bits = set_of({SIGUSR1});
	reinterpret_cast<unsigned long *>(&bits)[0] |= 1ul << 31; /* 32 is libc's own */
	EXPECT_EQ(-EINVAL, weft_signal_chan(&chan, &bits));
	EXPECT_EQ(E2BIG, errno);
	EXPECT_EQ(SIG_DFL, disposition_of(SIGUSR1).sa_handler);
}

TEST_F(SignalChanOnce, TheOneThatThePoolTookIsRefused)
{
	run(1, [] { EXPECT_EQ(0, weft_offload(work, nullptr, nullptr)); });
	int refused = 0;
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
		sigset_t set = set_of({number});
		weft_chan *chan;
		int error = weft_signal_chan(&chan, &set);
		if (error != 0) {
			EXPECT_EQ(-EINVAL, error);
			EXPECT_NE(SIG_DFL, disposition_of(number).sa_handler) << number;
			refused++;
		}
		weft_chan_free(chan);
	}
	EXPECT_EQ(1, refused);
}

TEST_F(SignalChanOnce, NoThreadCanBeMade)
{
	pthread_attr_t before, huge;
	ASSERT_EQ(0, pthread_getattr_default_np(&before));
	ASSERT_EQ(0, pthread_attr_init(&huge));
	ASSERT_EQ(0, pthread_attr_setstacksize(&huge, size_t(1) << 47));
	Disposition standard(SIGUSR1, SIG_DFL);
	ASSERT_EQ(0, pthread_setattr_default_np(&huge));
	weft_chan *chan = nullptr;
	sigset_t set = set_of({SIGUSR1});
	int error = weft_signal_chan(&chan, &set);
	EXPECT_EQ(0, pthread_setattr_default_np(&before));
	pthread_attr_destroy(&huge);
	pthread_attr_destroy(&before);
	EXPECT_TRUE(error == -EAGAIN || error == -ENOMEM) << error;
	EXPECT_EQ(nullptr, chan);
	EXPECT_EQ(SIG_DFL, disposition_of(SIGUSR1).sa_handler);
	Signals signals({SIGUSR1});
	send(SIGUSR1);
	EXPECT_EQ(SIGUSR1, signals.next());
}

} // namespace
