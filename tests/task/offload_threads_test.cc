/* SPDX-License-Identifier: MIT */
/* offload_threads_test.cc - the threads that offloaded work runs on
 *
 * Law  on them weft's calls answer as off a fiber, errno is their own, and no signal of the program arrives.
 * Law  where none can be made the call fails and the work never runs; where there is one, it does it all.
 * Law  each runtime has its own; virtual time waits for them.
 */
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

namespace
{

class OffloadThreads : public Workers
{
};
FOR_WORKERS(OffloadThreads);

void *call_work(void *arg)
{
	return reinterpret_cast<void *>((*static_cast<body *>(arg))());
}

/* The work's number, or the call's negative error. */
intptr_t offload(body fn)
{
	void *result = nullptr;
	int error = weft_offload(call_work, &fn, &result);
	return error != 0 ? error : reinterpret_cast<intptr_t>(result);
}

/* On so many fibers at once: the sum of what the calls hand out. */
intptr_t offload_on(int count, const body &fn)
{
	intptr_t sum = 0;
	std::vector<weft_fiber *> callers;
	for (int i = 0; i < count; i++)
		callers.push_back(spawn([&fn] { return offload(fn); }));
	for (weft_fiber *caller : callers)
		sum += join(caller);
	return sum;
}

weft_stats stats()
{
	weft_stats now;
	EXPECT_GT(weft_stats_get(nullptr, &now, nullptr, 0), 0);
	return now;
}

TEST_P(OffloadThreads, WeftAnswersThereAsOffAFiber)
{
	run(GetParam(), [] {
		weft_chan *chan;
		ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 0));
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_fiber *receiver = spawn([chan] {
			int number = 0;
			EXPECT_EQ(0, weft_chan_recv(chan, &number));
			return number;
		});
		weft_mutex_lock(&mutex);
		weft_fiber *caller = spawn([&] {
			return offload([&] {
				char byte;
				weft_fiber *fiber = nullptr;
				EXPECT_EQ(nullptr, weft_self());
				EXPECT_EQ(0u, weft_workers());
				EXPECT_EQ(-EPERM, weft_sleep(WEFT_MS));
				EXPECT_EQ(-EPERM, weft_read(0, &byte, 1));
				EXPECT_EQ(-EPERM, weft_spawn(&fiber, run_body, nullptr));
				EXPECT_EQ(-EPERM, weft_offload(call_work, nullptr, nullptr));
				EXPECT_EQ(0, weft_cancelled());
				EXPECT_EQ(0, weft_check());
				weft_mutex_lock(&mutex); /* blocks the thread */
				int number = 31;
				EXPECT_EQ(0, weft_chan_send(chan, &number));
				EXPECT_EQ(0, weft_mutex_unlock(&mutex));
				return 0;
			});
		});
		weft_sleep(2 * WEFT_MS);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(31, join(receiver));
		EXPECT_EQ(0, join(caller));
		weft_chan_free(chan);
	});
}

UNSEEN_BY_TSAN void set_errno(int value)
{
	errno = value;
}

UNSEEN_BY_TSAN int get_errno()
{
	return errno;
}

TEST_P(OffloadThreads, ErrnoIsNotTheWorks)
{
	run(GetParam(), [] {
		for (int i = 0; i < 100; i++) {
			set_errno(E2BIG);
			EXPECT_EQ(0, offload([] { return errno = EDOM, 0; }));
			ASSERT_EQ(E2BIG, get_errno());
		}
	});
}

/* Faults, and the one that weft interrupts its own work with, are the only ones that are not blocked. */
TEST_P(OffloadThreads, NoSignalOfTheProgramArrivesThere)
{
	run(GetParam(), [] {
		sigset_t mask;
		EXPECT_EQ(0, offload([&] { return pthread_sigmask(SIG_SETMASK, nullptr, &mask); }));
		for (int number = 1; number < 32; number++) {
			bool open = number == SIGKILL || number == SIGSTOP;
			for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
				open |= number == fault;
			EXPECT_EQ(open ? 0 : 1, sigismember(&mask, number)) << number;
		}
		int open = 0;
		for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
			open += sigismember(&mask, number) == 0;
		EXPECT_LE(open, 1);
	});
}

/* The default of the process, for as long as the object lives: threads cannot be made. */
class NoThreads
{
public:
	NoThreads()
	{
		pthread_attr_t huge;
		EXPECT_EQ(0, pthread_getattr_default_np(&before_));
		EXPECT_EQ(0, pthread_attr_init(&huge));
		EXPECT_EQ(0, pthread_attr_setstacksize(&huge, size_t(1) << 47));
		EXPECT_EQ(0, pthread_setattr_default_np(&huge));
		pthread_attr_destroy(&huge);
	}
	~NoThreads()
	{
		EXPECT_EQ(0, pthread_setattr_default_np(&before_));
		pthread_attr_destroy(&before_);
	}

private:
	pthread_attr_t before_;
};

TEST_P(OffloadThreads, NoThreadCanBeMade)
{
	run(GetParam(), [] {
		std::atomic<int> ran{0};
		{
			NoThreads none;
			for (int i = 0; i < 20; i++) {
				intptr_t error = offload([&] { return ++ran; });
				EXPECT_TRUE(error == -EAGAIN || error == -ENOMEM) << error;
			}
			/* Many at once: none waits for a thread that never comes. */
			intptr_t sum = offload_on(20, [&] { return ++ran, 1000; });
			EXPECT_TRUE(sum <= -20 && sum >= -20 * 4095) << sum;
		}
		EXPECT_EQ(0, ran);
		EXPECT_EQ(0u, stats().offload_threads);
		EXPECT_EQ(0u, stats().offload_queued);
		EXPECT_EQ(8, offload([] { return 8; })) << "it may succeed later";
		NoThreads none;
		uint64_t threads = stats().offload_threads; /* one, or more on a machine that is very busy */
		EXPECT_EQ(50, offload_on(50, [] { return usleep(200), 1; }))
			<< "those that are there do it all";
		EXPECT_EQ(threads, stats().offload_threads);
	});
}

TEST(OffloadVirtualTime, StandsStillWhileWorkRuns)
{
	run_virtual(2, [] {
		weft_ns before = weft_now();
		weft_fiber *sleeper = spawn([] { return weft_sleep(3600 * WEFT_SEC), weft_now(); });
		for (int i = 0; i < 20; i++)
			EXPECT_EQ(i, offload([i] { return usleep(500), i; }));
		EXPECT_EQ(before, weft_now());
		EXPECT_EQ(before + 3600 * WEFT_SEC, join(sleeper));
	});
}

TEST(OffloadRuntimes, EachHasItsOwnPool)
{
	std::vector<std::thread> runtimes;
	for (int r = 0; r < 3; r++)
		runtimes.emplace_back([] {
			weft_config how = config(2);
			how.offload_threads = 2;
			run(how, [] {
				EXPECT_EQ(200 * 3, offload_on(200, [] { return 3; }));
				EXPECT_EQ(200u, stats().offload_jobs);
				EXPECT_LE(stats().offload_threads, 2u);
			});
		});
	for (std::thread &runtime : runtimes)
		runtime.join();
}

} // namespace
