/* SPDX-License-Identifier: MIT */
/* offload_test.cc - weft_offload and the pool behind it
 *
 * Law  the work runs on another thread, its result comes back, and the worker goes on meanwhile.
 * Law  cancelled or late before it begins it never runs; afterwards it is awaited and its result returned. Exactly one of the two.
 * Law  the pool starts empty, grows with what waits up to its bound, serves first come first, and ends with its runtime.
 */
#include "tests/core/support.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <dirent.h>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <weft/weft.h>

using support::join;
using support::run;
using support::spawn;

namespace
{

using Work = std::function<void *()>;

void *call(void *work)
{
	return (*static_cast<Work *>(work))();
}

int offload(Work work, void **result = nullptr)
{
	return weft_offload(call, &work, result);
}

bool eventually(const std::function<bool()> &so)
{
	weft_ns limit = weft_after(20 * WEFT_SEC);
	while (!so()) {
		if (weft_now() > limit)
			return false;
		weft_sleep(WEFT_MS);
	}
	return true;
}

weft_stats stats_now()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats;
}

int threads_of_process()
{
	DIR *dir = opendir("/proc/self/task");
	int count = 0;
	while (dir != nullptr && readdir(dir) != nullptr)
		count++;
	closedir(dir);
	return count - 2;
}

weft_config with_threads(unsigned workers, unsigned threads)
{
	weft_config how{};
	how.workers = workers;
	how.offload_threads = threads;
	how.stack_size = 256 * 1024;
	return how;
}

/* Holds a thread of the pool until it is let go. */
class Gate
{
public:
	Work closed()
	{
		return [this]() -> void * {
			inside_++;
			std::lock_guard<std::mutex> hold(mutex_);
			return nullptr;
		};
	}
	void shut()
	{
		mutex_.lock();
	}
	void open()
	{
		mutex_.unlock();
	}
	int inside() const
	{
		return inside_;
	}

private:
	std::mutex mutex_;
	std::atomic<int> inside_{0};
};

/* Out of line: compilers keep errno's address across a call that moves the fiber to another thread (docs/fibers.md). */
__attribute__((noinline)) int errno_now()
{
	__asm__ volatile("");
	return errno;
}

class Offload : public testing::TestWithParam<unsigned>
{
};
INSTANTIATE_TEST_SUITE_P(Workers, Offload, testing::Values(1u, 2u, 4u));

TEST_P(Offload, RunsElsewhereAndBringsItsResult)
{
	run(with_threads(GetParam(), 0), [] {
		pthread_t here = pthread_self();
		int value = 7;
		void *result = nullptr;
		errno = 41;
		EXPECT_EQ(0, offload(
				     [&]() -> void * {
					     EXPECT_FALSE(pthread_equal(here, pthread_self()));
					     EXPECT_EQ(nullptr, weft_self());
					     EXPECT_EQ(-EPERM, weft_sleep(1));
					     EXPECT_EQ(-EPERM, weft_read(0, nullptr, 0));
					     errno = 99;
					     return &value;
				     },
				     &result));
		EXPECT_EQ(&value, result);
		EXPECT_EQ(41, errno_now());
		EXPECT_EQ(-EINVAL, weft_offload(nullptr, nullptr, nullptr));
	});
	EXPECT_EQ(-EPERM, offload([] { return nullptr; }));
}

TEST_P(Offload, TheWorkerGoesOnMeanwhile)
{
	run(with_threads(GetParam(), 0), [] {
		Gate gate;
		gate.shut();
		weft_fiber *waiting = spawn([&] { EXPECT_EQ(0, offload(gate.closed())); });
		EXPECT_TRUE(eventually([&] { return gate.inside() == 1; }));
		for (int i = 0; i < 100; i++)
			weft_yield();
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		gate.open();
		join(waiting);
	});
}

TEST_P(Offload, CancelledBeforeItBeginsItNeverRuns)
{
	run(with_threads(GetParam(), 1), [] {
		Gate gate;
		gate.shut();
		weft_fiber *first = spawn([&] { EXPECT_EQ(0, offload(gate.closed())); });
		EXPECT_TRUE(eventually([&] { return gate.inside() == 1; }));
		bool ran = false;
		weft_fiber *second = spawn([&] {
			EXPECT_EQ(-ECANCELED, offload([&]() -> void * {
				ran = true;
				return nullptr;
			}));
		});
		EXPECT_TRUE(eventually([] { return stats_now().offload_queued == 1; }));
		weft_cancel(second);
		join(second);
		EXPECT_EQ(0u, stats_now().offload_queued);
		weft_deadline(weft_after(5 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, offload([&]() -> void * {
			ran = true;
			return nullptr;
		}));
		weft_deadline(WEFT_FOREVER);
		gate.open();
		join(first);
		EXPECT_FALSE(ran);
	});
}

TEST_P(Offload, CancelledAfterItBeganItIsAwaited)
{
	run(with_threads(GetParam(), 0), [] {
		Gate gate;
		gate.shut();
		std::atomic<bool> back{false};
		int value = 3;
		weft_fiber *waiting = spawn([&] {
			void *result = nullptr;
			weft_deadline(weft_after(WEFT_SEC));
			EXPECT_EQ(0, offload(
					     [&]() -> void * {
						     gate.closed()();
						     return &value;
					     },
					     &result));
			EXPECT_EQ(&value, result);
			EXPECT_EQ(1, weft_cancelled());
			back = true;
		});
		EXPECT_TRUE(eventually([&] { return gate.inside() == 1; }));
		weft_cancel(waiting);
		for (int i = 0; i < 20; i++)
			weft_sleep(WEFT_MS);
		EXPECT_FALSE(back);
		gate.open();
		join(waiting);
		/* Already in force: it does not begin. */
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, offload([]() -> void * { abort(); }));
	});
}

TEST_P(Offload, CancelAgainstBeginHasExactlyOneOutcome)
{
	run(with_threads(GetParam(), 1), [] {
		for (int round = 0; round < 3000; round++) {
			std::atomic<int> ran{0};
			int result = 1;
			weft_fiber *fiber = spawn([&] {
				result = offload([&]() -> void * {
					ran++;
					return nullptr;
				});
			});
			for (int i = round % 4; i > 0; i--)
				weft_yield();
			weft_cancel(fiber);
			join(fiber);
			ASSERT_EQ(result == 0 ? 1 : 0, ran) << "round " << round;
			ASSERT_TRUE(result == 0 || result == -ECANCELED) << result;
		}
	});
}

TEST_P(Offload, FirstComeFirstServed)
{
	run(with_threads(GetParam(), 1), [] {
		Gate gate;
		gate.shut();
		weft_fiber *first = spawn([&] { EXPECT_EQ(0, offload(gate.closed())); });
		EXPECT_TRUE(eventually([&] { return gate.inside() == 1; }));
		std::vector<int> order;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 20; i++) {
			fibers.push_back(spawn([&order, i] {
				EXPECT_EQ(0, offload([&order, i]() -> void * {
					order.push_back(i);
					return nullptr;
				}));
			}));
			size_t queued = fibers.size();
			EXPECT_TRUE(eventually([queued] { return stats_now().offload_queued == queued; }));
		}
		gate.open();
		join(first);
		for (weft_fiber *fiber : fibers)
			join(fiber);
		for (int i = 0; i < 20; i++)
			EXPECT_EQ(i, order[static_cast<size_t>(i)]);
		weft_stats stats = stats_now();
		EXPECT_EQ(1u, stats.offload_threads);
		EXPECT_EQ(21u, stats.offload_jobs);
		EXPECT_GT(stats.offload_wait_ns, 0u);
		EXPECT_GE(stats.offload_wait_ns, stats.offload_wait_max_ns);
	});
}

TEST_P(Offload, GrowsToItsBoundAndEndsWithTheRuntime)
{
	int before = threads_of_process();
	run(with_threads(GetParam(), 12), [] {
		EXPECT_EQ(0u, stats_now().offload_threads);
		Gate gate;
		gate.shut();
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 40; i++)
			fibers.push_back(spawn([&] { EXPECT_EQ(0, offload(gate.closed())); }));
		EXPECT_TRUE(eventually([&] { return gate.inside() == 12; }));
		EXPECT_EQ(12u, stats_now().offload_threads);
		EXPECT_EQ(28u, stats_now().offload_queued);
		gate.open();
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(12u, stats_now().offload_threads);
	});
	EXPECT_EQ(before, threads_of_process());
}

TEST_P(Offload, ThousandsAtOnce)
{
	run(with_threads(GetParam(), 16), [] {
		std::atomic<int> done{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 3000; i++)
			fibers.push_back(spawn([&] {
				EXPECT_EQ(0, offload([&]() -> void * {
					done++;
					return nullptr;
				}));
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(3000, done);
		EXPECT_EQ(3000u, stats_now().offload_jobs);
	});
}

TEST_P(Offload, ScopesWaitForIt)
{
	run(with_threads(GetParam(), 0), [] {
		weft_scope scope;
		static std::atomic<int> ended;
		ended = 0;
		ASSERT_EQ(0, weft_scope_open(&scope, weft_after(20 * WEFT_MS)));
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(0, weft_scope_spawn(&scope,
					     [](void *) {
						     return offload([]() -> void * {
							     usleep(60000);
							     ended++;
							     return nullptr;
						     });
					     },
					     nullptr));
		EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
		EXPECT_EQ(3, ended);
	});
}

TEST_P(Offload, VirtualTimeStandsStillMeanwhile)
{
	weft_config how = with_threads(GetParam(), 2);
	how.flags = WEFT_VIRTUAL_TIME;
	run(how, [] {
		weft_ns start = weft_now();
		weft_fiber *sleeper = spawn([] { weft_sleep(3600 * WEFT_SEC); });
		EXPECT_EQ(0, offload([]() -> void * {
			usleep(20000);
			return nullptr;
		}));
		EXPECT_EQ(start, weft_now());
		join(sleeper);
		EXPECT_EQ(start + 3600 * WEFT_SEC, weft_now());
	});
}

TEST_P(Offload, SignalsOfTheProcessDoNotReachItsThreads)
{
	run(with_threads(GetParam(), 0), [] {
		EXPECT_EQ(0, offload([]() -> void * {
			sigset_t blocked;
			pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
			for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE})
				EXPECT_EQ(1, sigismember(&blocked, number)) << number;
			return nullptr;
		}));
	});
}

} // namespace
