/* SPDX-License-Identifier: MIT */
/* signal_support.h - what the tests of signals on channels share
 *
 * What     Signals, a channel that is freed at the end; fixtures that run on several numbers of workers, and once; a disposition for the duration
 *          of a test.
 */
#ifndef WF_TESTS_TASK_SIGNAL_SUPPORT_H
#define WF_TESTS_TASK_SIGNAL_SUPPORT_H

#include <csignal>
#include <initializer_list>

#include "tests/core/support.h"

namespace signal_test
{

using support::tsan;
using support::Workers;

inline sigset_t set_of(std::initializer_list<int> numbers)
{
	sigset_t set;
	sigemptyset(&set);
	for (int number : numbers)
		sigaddset(&set, number);
	return set;
}

/* A signal channel, freed at the end. */
class Signals
{
public:
	Signals(std::initializer_list<int> numbers)
	{
		sigset_t set = set_of(numbers);
		EXPECT_EQ(0, weft_signal_chan(&chan, &set));
	}
	Signals(const Signals &) = delete;
	Signals &operator=(const Signals &) = delete;
	~Signals()
	{
		free();
	}
	/* The next number, or a negative error. */
	int next()
	{
		int number = 0;
		int error = weft_chan_recv(chan, &number);
		return error != 0 ? error : number;
	}
	int try_next()
	{
		int number = 0;
		int error = weft_chan_try_recv(chan, &number);
		return error != 0 ? error : number;
	}
	void free()
	{
		weft_chan_free(chan);
		chan = nullptr;
	}

	weft_chan *chan = nullptr;
};

inline void send(int number)
{
	EXPECT_EQ(0, kill(getpid(), number));
}

#define SKIP_UNDER_TSAN(reason)                                                                    \
	do                                                                                         \
		if (tsan)                                                                          \
			GTEST_SKIP() << "ThreadSanitizer: " << reason;                             \
	while (0)

/* ThreadSanitizer holds a signal back until its thread calls libc, which one that waits in weft does not: so there the thread of the test
 * blocks them all, and they find weft's own. */
class TsanBlocks
{
public:
	TsanBlocks()
	{
		sigset_t all = set_of(
			{SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGALRM, SIGWINCH});
		for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
			sigaddset(&all, number);
		pthread_sigmask(tsan ? SIG_BLOCK : SIG_UNBLOCK, &all, &before_);
	}
	~TsanBlocks()
	{
		/* Blocked, they stay pending even while they are ignored. */
		sigset_t pending;
		const timespec at_once = {0, 0};
		while (tsan && sigpending(&pending) == 0 && sigtimedwait(&pending, nullptr, &at_once) > 0)
			;
		pthread_sigmask(SIG_SETMASK, &before_, nullptr);
	}

private:
	sigset_t before_;
};

class SignalChan : public Workers
{
	TsanBlocks blocks_;
};

class SignalChanOnce : public testing::Test
{
	TsanBlocks blocks_;
};

/* A disposition for the duration of a test. */
class Disposition
{
public:
	Disposition(int number, void (*handler)(int), int flags = 0) : number_(number)
	{
		struct sigaction action = {};
		action.sa_handler = handler;
		action.sa_flags = flags;
		EXPECT_EQ(0, sigaction(number, &action, &before_));
	}
	~Disposition()
	{
		sigaction(number_, &before_, nullptr);
	}

private:
	int number_;
	struct sigaction before_;
};

inline struct sigaction disposition_of(int number)
{
	struct sigaction action = {};
	EXPECT_EQ(0, sigaction(number, nullptr, &action));
	return action;
}

inline void ignore_it(int) {}

} // namespace signal_test

#endif
