/* SPDX-License-Identifier: MIT */
/* offload_test.cc - weft_offload, and the pool of threads beneath it
 *
 * Law  the work runs on a thread that is no worker, and the worker goes on; what it returns is what the call hands out.
 * Law  cancelled or late before it begins, it never runs; once begun it is awaited, and its result returned: exactly one of the two.
 * Law  the pool grows while work waits, never beyond its bound; work that waits is begun first come, first served; threads without work
 *      leave; the end of the runtime waits for the work and leaves no thread.
 * (What the pool's threads are, and when they cannot be had: offload_threads_test.cc.)
 */
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

namespace
{

class Offload : public Workers
{
};
FOR_WORKERS(Offload);

using work = support::body;

void *call_work(void *arg)
{
	return reinterpret_cast<void *>((*static_cast<work *>(arg))());
}

/* The work's number, or the call's negative error. */
intptr_t offload(work fn)
{
	void *result = nullptr;
	int error = weft_offload(call_work, &fn, &result);
	return error != 0 ? error : reinterpret_cast<intptr_t>(result);
}

/* Holds the threads that come to it until it is opened. */
class Gate
{
public:
	void pass()
	{
		std::unique_lock<std::mutex> lock(mutex_);
		inside_++;
		most_ = std::max(most_, inside_);
		opened_.wait(lock, [this] { return open_; });
		inside_--;
	}
	void open()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		open_ = true;
		opened_.notify_all();
	}
	int inside()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		return inside_;
	}
	int most()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		return most_;
	}
	/* Work that passes it. */
	const work passing = [this] { return pass(), 0; };

private:
	std::mutex mutex_;
	std::condition_variable opened_;
	bool open_ = false;
	int inside_ = 0, most_ = 0;
};

/* On a fiber: until the condition holds; false when it does not within 20 s. */
bool until(const std::function<bool()> &condition)
{
	weft_ns limit = weft_after(20 * WEFT_SEC);
	while (!condition()) {
		if (weft_now() > limit)
			return false;
		weft_sleep(100 * WEFT_US);
	}
	return true;
}

weft_stats stats()
{
	weft_stats now;
	EXPECT_GT(weft_stats_get(nullptr, &now, nullptr, 0), 0);
	return now;
}

/* Fibers that each offload the same. */
std::vector<weft_fiber *> spawn_many(int count, const work &fn)
{
	std::vector<weft_fiber *> callers;
	for (int i = 0; i < count; i++)
		callers.push_back(spawn([&fn] { return offload(fn); }));
	return callers;
}

void join_all(const std::vector<weft_fiber *> &callers, intptr_t expected)
{
	for (weft_fiber *caller : callers)
		EXPECT_EQ(expected, join(caller));
}

weft_config with_threads(unsigned workers, unsigned threads)
{
	weft_config how = config(workers);
	how.offload_threads = threads;
	return how;
}

/* A pool of one thread, which is kept busy until the gate opens: what else is offloaded waits. */
class Busy
{
public:
	Busy() : holder_(spawn([this] { return offload(gate.passing); }))
	{
		EXPECT_TRUE(until([this] { return gate.inside() == 1; }));
	}
	~Busy()
	{
		release();
	}
	void release()
	{
		gate.open();
		if (holder_ == nullptr)
			return;
		EXPECT_EQ(0, join(holder_));
		holder_ = nullptr;
	}
	Gate gate;

private:
	weft_fiber *holder_;
};

TEST_P(Offload, RunsElsewhereWhileTheWorkerGoesOn)
{
	run(GetParam(), [] {
		Gate gate;
		std::atomic<pthread_t> worker{pthread_self()}, thread{};
		weft_fiber *caller = spawn([&] {
			return offload([&] {
				thread = pthread_self();
				gate.pass();
				return 42;
			});
		});
		EXPECT_TRUE(until([&] { return gate.inside() == 1; })) << "other fibers run meanwhile";
		EXPECT_NE(worker.load(), thread.load());
		gate.open();
		EXPECT_EQ(42, join(caller));
	});
}

TEST_P(Offload, HandsOutWhatTheWorkReturned)
{
	run(GetParam(), [] {
		int number = 7;
		void *result = nullptr;
		auto identity = [](void *arg) { return arg; };
		EXPECT_EQ(0, weft_offload(identity, &number, &result));
		EXPECT_EQ(&number, result);
		EXPECT_EQ(0, weft_offload(identity, nullptr, &result));
		EXPECT_EQ(nullptr, result);
		EXPECT_EQ(0, weft_offload(identity, &number, nullptr));
		/* What one side wrote, the other reads: both ways. */
		long plain = 0;
		for (long i = 0; i < times(2000, 300); i++) {
			plain++;
			EXPECT_EQ(2 * i + 2, offload([&plain] { return ++plain; }));
		}
	});
}

TEST_P(Offload, RefusesWithoutEffect)
{
	errno = E2BIG;
	EXPECT_EQ(-EPERM, weft_offload(call_work, nullptr, nullptr));
	EXPECT_EQ(-EINVAL, weft_offload(nullptr, nullptr, nullptr));
	EXPECT_EQ(E2BIG, errno);
	run(GetParam(), [] {
		void *result = &result;
		EXPECT_EQ(-EINVAL, weft_offload(nullptr, nullptr, &result));
		EXPECT_EQ(&result, result);
		EXPECT_EQ(0u, stats().offload_jobs);
	});
}

TEST_P(Offload, CancelledBeforeItBegins)
{
	run(with_threads(GetParam(), 1), [] {
		Busy busy;
		std::atomic<int> ran{0};
		for (int i = 0; i < 20; i++) {
			weft_fiber *caller = spawn([&] { return offload([&] { return ++ran; }); });
			EXPECT_TRUE(until([] { return stats().offload_queued == 1; }));
			EXPECT_EQ(0, weft_cancel(caller));
			EXPECT_EQ(-ECANCELED, join(caller)) << "at once, though the thread is busy";
			EXPECT_EQ(0u, stats().offload_queued);
		}
		/* Out of the middle of a queue. */
		work counted = [&] { return ++ran, 1; };
		std::vector<weft_fiber *> callers = spawn_many(30, counted);
		EXPECT_TRUE(until([] { return stats().offload_queued == 30; }));
		for (int i = 0; i < 30; i += 3)
			weft_cancel(callers[static_cast<size_t>(i)]);
		for (int i = 0; i < 30; i += 3)
			EXPECT_EQ(-ECANCELED, join(callers[static_cast<size_t>(i)]));
		EXPECT_EQ(0, ran);
		busy.release();
		for (int i = 0; i < 30; i++) {
			if (i % 3 == 0)
				continue;
			EXPECT_EQ(1, join(callers[static_cast<size_t>(i)]));
		}
		EXPECT_EQ(20, ran);
	});
}

TEST_P(Offload, CancelledAlready)
{
	run(GetParam(), [] {
		std::atomic<int> ran{0};
		weft_fiber *caller = spawn([&] {
			while (!weft_cancelled())
				weft_yield();
			intptr_t first = offload([&] { return ++ran; });
			EXPECT_EQ(-ECANCELED, offload([&] { return ++ran; })) << "a level";
			weft_deadline(1);
			EXPECT_EQ(-ECANCELED, offload([&] { return ++ran; })) << "goes before lateness";
			return first;
		});
		weft_cancel(caller);
		EXPECT_EQ(-ECANCELED, join(caller));
		EXPECT_EQ(0, ran);
	});
}

TEST_P(Offload, CancelledAfterItBegan)
{
	run(GetParam(), [] {
		Gate gate;
		std::atomic<int> ended{0};
		weft_fiber *caller = spawn([&] {
			intptr_t result = offload([&] { return gate.pass(), ++ended, 5; });
			EXPECT_EQ(1, ended) << "awaited";
			EXPECT_EQ(-ECANCELED, weft_check());
			return result;
		});
		EXPECT_TRUE(until([&] { return gate.inside() == 1; }));
		EXPECT_EQ(0, weft_cancel(caller));
		weft_sleep(2 * WEFT_MS);
		EXPECT_EQ(0, ended);
		gate.open();
		EXPECT_EQ(5, join(caller)) << "the result is returned all the same";
	});
}

TEST_P(Offload, DeadlineBeforeItBegins)
{
	run(with_threads(GetParam(), 1), [] {
		Busy busy;
		std::atomic<int> ran{0};
		weft_deadline(weft_after(2 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, offload([&] { return ++ran; }));
		EXPECT_EQ(-ETIMEDOUT, offload([&] { return ++ran; })) << "a level";
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, ran);
		EXPECT_EQ(0u, stats().offload_queued);
	});
}

TEST_P(Offload, DeadlineAfterItBegan)
{
	run(GetParam(), [] {
		Gate gate;
		std::atomic<bool> over{false};
		weft_fiber *caller = spawn([&] {
			weft_deadline(weft_after(20 * WEFT_MS));
			intptr_t result = offload([&] { return gate.pass(), 5; });
			EXPECT_EQ(-ETIMEDOUT, weft_check());
			over = true;
			return result;
		});
		/* On a machine that is very busy it may have been late before it began: then there is nothing to see. */
		EXPECT_TRUE(until([&] { return gate.inside() == 1 || over; }));
		weft_sleep(30 * WEFT_MS);
		gate.open();
		intptr_t result = join(caller);
		EXPECT_TRUE(result == 5 || (result == -ETIMEDOUT && gate.most() == 0)) << result;
	});
}

/* Either it ran, and its result came; or it never ran, and the call failed. */
TEST_P(Offload, CancelledAsItBegins)
{
	run(with_threads(GetParam(), 2), [] {
		long done = 0, cancelled = 0;
		for (long round = 0; round < times(10000, 1000); round++) {
			std::atomic<int> ran{0}, there{0};
			weft_fiber *caller = spawn([&] {
				there = 1;
				return offload([&] { return ++ran, 77; });
			});
			while (!there)
				weft_yield();
			for (long i = 0; i < round % 50; i++)
				weft_now();
			weft_cancel(caller);
			intptr_t result = join(caller);
			ASSERT_TRUE((result == 77 && ran == 1) || (result == -ECANCELED && ran == 0))
				<< result << ", ran " << ran;
			(result == 77 ? done : cancelled)++;
		}
		EXPECT_EQ(times(10000, 1000), done + cancelled);
		EXPECT_EQ(static_cast<uint64_t>(done), stats().offload_jobs);
	});
}

TEST_P(Offload, LateAsItBegins)
{
	run(with_threads(GetParam(), 1), [] {
		for (long round = 0; round < times(3000, 300); round++) {
			int ran = 0;
			weft_deadline(weft_after((round % 60) * WEFT_US));
			intptr_t result = offload([&] { return ++ran, 77; });
			ASSERT_TRUE((result == 77 && ran == 1) || (result == -ETIMEDOUT && ran == 0))
				<< result << ", ran " << ran;
		}
		weft_deadline(WEFT_FOREVER);
	});
}

TEST_P(Offload, AShieldHoldsCancellationBack)
{
	run(GetParam(), [] {
		weft_fiber *caller = spawn([] {
			while (!weft_cancelled())
				weft_yield();
			weft_shield(true);
			intptr_t result = offload([] { return 9; });
			weft_shield(false);
			return result;
		});
		weft_cancel(caller);
		EXPECT_EQ(9, join(caller));
	});
}

int offload_task(void *arg)
{
	return static_cast<int>(offload(*static_cast<work *>(arg)));
}

TEST_P(Offload, InScopes)
{
	run(with_threads(GetParam(), 1), [] {
		Busy busy;
		std::atomic<int> ran{0};
		work counted = [&] { return ++ran, 0; };
		weft_scope scope;
		ASSERT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		for (int i = 0; i < 10; i++)
			EXPECT_EQ(0, weft_scope_spawn(&scope, offload_task, &counted));
		EXPECT_TRUE(until([] { return stats().offload_queued == 10; }));
		EXPECT_EQ(0, weft_scope_cancel(&scope));
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scope));

		ASSERT_EQ(0, weft_scope_open(&scope, weft_after(3 * WEFT_MS)));
		EXPECT_EQ(0, weft_scope_spawn(&scope, offload_task, &counted));
		EXPECT_EQ(-ETIMEDOUT, offload(counted)) << "the opener too";
		EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
		EXPECT_EQ(0, ran);

		busy.release();
		work failing = [] { return -EIO; };
		ASSERT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		EXPECT_EQ(0, weft_scope_spawn(&scope, offload_task, &failing));
		EXPECT_EQ(-EIO, weft_scope_close(&scope));
		ASSERT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		for (int i = 0; i < 50; i++)
			EXPECT_EQ(0, weft_scope_spawn(&scope, offload_task, &counted));
		EXPECT_EQ(0, weft_scope_close(&scope));
		EXPECT_EQ(50, ran);
	});
}

TEST_P(Offload, FirstComeFirstServed)
{
	run(with_threads(GetParam(), 1), [] {
		Busy busy;
		std::vector<int> begun; /* by the one thread */
		std::vector<weft_fiber *> callers;
		for (int i = 0; i < 100; i++) {
			callers.push_back(spawn([&begun, i] {
				return offload([&begun, i] { return begun.push_back(i), 0; });
			}));
			EXPECT_TRUE(until([i] {
				return stats().offload_queued == static_cast<uint64_t>(i) + 1;
			}));
		}
		busy.release();
		join_all(callers, 0);
		ASSERT_EQ(100u, begun.size());
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(i, begun[static_cast<size_t>(i)]);
	});
}

TEST_P(Offload, NeverMoreThreadsThanTheBound)
{
	long before = thread_count();
	run(with_threads(GetParam(), 7), [] {
		Gate gate;
		std::vector<weft_fiber *> callers = spawn_many(40, gate.passing);
		EXPECT_TRUE(until([&] { return gate.inside() == 7; })) << "up to the bound";
		EXPECT_TRUE(until([] { return stats().offload_queued == 33; }));
		weft_sleep(20 * WEFT_MS);
		EXPECT_EQ(7, gate.inside());
		EXPECT_EQ(7u, stats().offload_threads);
		EXPECT_EQ(33u, stats().offload_queued);
		/* A thread of an earlier pool may still be on its way out. */
		EXPECT_TRUE(until([] { return threads_named("weft-pool") == 7; }));
		gate.open();
		join_all(callers, 0);
		EXPECT_EQ(7, gate.most());
		EXPECT_EQ(40u, stats().offload_jobs);
	});
	EXPECT_TRUE(eventually([before] { return thread_count() <= before; })) << "none is left";
}

/* Work that waits for work which has not begun: it all begins. */
TEST_P(Offload, GrowsWhileWorkWaits)
{
	run(GetParam(), [] {
		EXPECT_EQ(0u, stats().offload_threads) << "it starts empty";
		constexpr int parties = 40;
		std::mutex mutex;
		std::condition_variable all;
		int there = 0;
		work meet = [&] {
			std::unique_lock<std::mutex> lock(mutex);
			if (++there == parties)
				all.notify_all();
			all.wait(lock, [&] { return there == parties; });
			return 0;
		};
		join_all(spawn_many(parties, meet), 0);
		/* PO3 of pool.h: beyond the first, each thread is made for 2 ms that a job has waited. On a busy machine threads come
		 * late, and many jobs grow the pool meanwhile. */
		weft_stats now = stats();
		uint64_t soon = std::max(4u, GetParam());
		EXPECT_GE(now.offload_threads, static_cast<uint64_t>(parties));
		EXPECT_LE(now.offload_threads, soon + now.offload_wait_ns / (2 * WEFT_MS));
	});
}

TEST(OffloadBound, IsTakenFromTheEnvironment)
{
	ASSERT_EQ(0, setenv("WEFT_OFFLOAD_THREADS", "2", 1));
	run(2, [] {
		Gate gate;
		std::vector<weft_fiber *> callers = spawn_many(6, gate.passing);
		EXPECT_TRUE(until([&] { return gate.inside() == 2; }));
		EXPECT_TRUE(until([] { return stats().offload_queued == 4; }));
		weft_sleep(10 * WEFT_MS);
		EXPECT_EQ(2u, stats().offload_threads);
		gate.open();
		join_all(callers, 0);
	});
	run(with_threads(2, 3), [] {
		Gate gate;
		std::vector<weft_fiber *> callers = spawn_many(6, gate.passing);
		EXPECT_TRUE(until([&] { return gate.inside() == 3; })) << "the field outranks it";
		gate.open();
		join_all(callers, 0);
	});
	for (const char *bad : {"0", "-1", "many", "5000"}) {
		setenv("WEFT_OFFLOAD_THREADS", bad, 1);
		testing::internal::CaptureStderr();
		EXPECT_EQ(-EINVAL, weft_run(nullptr, call_work, nullptr, nullptr)) << bad;
		EXPECT_NE(std::string::npos,
			testing::internal::GetCapturedStderr().find("WEFT_OFFLOAD_THREADS"));
	}
	unsetenv("WEFT_OFFLOAD_THREADS");
}

TEST(OffloadIdle, ThreadsLeaveAndComeAgain)
{
	run(1, [] {
		Gate gate;
		std::vector<weft_fiber *> callers = spawn_many(12, gate.passing);
		EXPECT_TRUE(until([&] { return gate.inside() == 12; }));
		gate.open();
		join_all(callers, 0);
		EXPECT_GE(stats().offload_threads, 12u);
		EXPECT_TRUE(until([] { return stats().offload_threads == 0; }));
		EXPECT_EQ(3, offload([] { return 3; }));
		EXPECT_GE(stats().offload_threads, 1u);
	});
}

TEST_P(Offload, ManyAtOnce)
{
	long count = std::min(times(10000, 2000), fibers_max / 2);
	run(with_threads(GetParam(), 16), [count] {
		std::atomic<long> sum{0};
		std::vector<weft_fiber *> callers;
		for (long i = 0; i < count; i++)
			callers.push_back(spawn(
				[&sum, i] { return offload([&sum, i] { return sum += i, i; }); }));
		for (long i = 0; i < count; i++)
			EXPECT_EQ(i, join(callers[static_cast<size_t>(i)]));
		EXPECT_EQ(count * (count - 1) / 2, sum);
		weft_stats now = stats();
		EXPECT_EQ(static_cast<uint64_t>(count), now.offload_jobs);
		EXPECT_EQ(0u, now.offload_queued);
		EXPECT_LE(now.offload_threads, 16u);
	});
}

TEST_P(Offload, TheTimeInTheQueueIsMeasured)
{
	run(with_threads(GetParam(), 1), [] {
		Busy busy;
		weft_fiber *caller = spawn([] { return offload([] { return 0; }); });
		EXPECT_TRUE(until([] { return stats().offload_queued == 1; }));
		uint64_t before = stats().offload_wait_ns;
		weft_sleep(10 * WEFT_MS);
		busy.release();
		EXPECT_EQ(0, join(caller));
		weft_stats now = stats();
		EXPECT_GE(now.offload_wait_ns - before, static_cast<uint64_t>(10 * WEFT_MS));
		EXPECT_GE(now.offload_wait_max_ns, static_cast<uint64_t>(10 * WEFT_MS));
		EXPECT_LE(now.offload_wait_max_ns, now.offload_wait_ns);
		EXPECT_EQ(2u, now.offload_jobs);
	});
}

TEST_P(Offload, TheEndOfTheRuntimeWaitsForIt)
{
	Gate gate;
	std::atomic<int> ended{0}, ran{0};
	std::atomic<bool> given_up{false};
	std::thread opener([&] { /* the one thread is free only after the queued call was cancelled */
		EXPECT_TRUE(eventually([&] { return given_up.load(); }));
		EXPECT_EQ(0, ended);
		gate.open();
	});
	run(with_threads(GetParam(), 1), [&] {
		weft_fiber *begun =
			spawn([&] { EXPECT_EQ(5, offload([&] { return gate.pass(), ++ended, 5; })); });
		EXPECT_TRUE(until([&] { return gate.inside() == 1; }));
		weft_fiber *waiting = spawn([&] {
			EXPECT_EQ(-ECANCELED, offload([&] { return ++ran; }));
			given_up = true;
		});
		EXPECT_TRUE(until([] { return stats().offload_queued == 1; }));
		EXPECT_EQ(0, weft_detach(begun));
		EXPECT_EQ(0, weft_detach(waiting));
	});
	EXPECT_EQ(1, ended);
	EXPECT_EQ(0, ran);
	opener.join();
}

TEST_P(Offload, StopWaitsForIt)
{
	long threads = thread_count();
	weft_runtime *runtime;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&runtime, &how));
	Gate gate;
	std::atomic<int> ended{0};
	std::atomic<bool> stopping{false};
	work body = [&] { return gate.pass(), ++ended, 0; };
	auto fiber = [](void *arg) -> void * {
		EXPECT_EQ(0, offload(*static_cast<work *>(arg)));
		return nullptr;
	};
	auto herald = [](void *arg) -> void * {
		EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_FOREVER));
		*static_cast<std::atomic<bool> *>(arg) = true;
		return nullptr;
	};
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, weft_submit(runtime, fiber, &body));
	EXPECT_EQ(0, weft_submit(runtime, herald, &stopping));
	EXPECT_TRUE(eventually([&] { return gate.inside() == 3; }));
	std::thread opener([&] {
		EXPECT_TRUE(eventually([&] { return stopping.load(); }));
		EXPECT_EQ(0, ended);
		gate.open();
	});
	EXPECT_EQ(0, weft_stop(runtime));
	EXPECT_EQ(3, ended);
	opener.join();
	EXPECT_TRUE(eventually([&] { return thread_count() <= threads; }));
}

} // namespace
