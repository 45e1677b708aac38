/* SPDX-License-Identifier: MIT */
/* sched_test.cc - who runs, where, and that nobody waits for ever
 *
 * Law  whatever else is ready, timers, the injection queue, unstarted fibers, pinned fibers and I/O get their turn.
 * Law  every fiber runs, however many there are and however they are spawned.
 * Law  work spreads: a worker without work takes some of another's.
 */
#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Sched : public Workers
{
};
FOR_WORKERS(Sched);

/* Two yielding fibers a worker, until told to stop: no queue is ever empty. */
class Spinners
{
	std::atomic<bool> done{false};
	std::vector<weft_fiber *> fibers;

public:
	Spinners()
	{
		for (unsigned i = 0; i < 2 * weft_workers(); i++)
			fibers.push_back(spawn([this] {
				while (!done)
					weft_yield();
			}));
	}

	~Spinners()
	{
		done = true;
		for (weft_fiber *fiber : fibers)
			join(fiber);
	}
};

TEST_P(Sched, SpinnersDoNotStarveTimers)
{
	run(GetParam(), [] {
		Spinners spinners;
		for (int i = 0; i < 10; i++)
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
	});
}

TEST_P(Sched, SpinnersDoNotStarveIo)
{
	run(GetParam(), [] {
		Spinners spinners;
		int pipes[2];
		ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
		weft_fiber *reader = spawn([&] {
			char byte = 0;
			for (int i = 0; i < 20; i++)
				EXPECT_EQ(1, weft_read(pipes[0], &byte, 1));
		});
		for (int i = 0; i < 20; i++) {
			EXPECT_EQ(1, weft_write(pipes[1], "x", 1));
			weft_sleep(10 * WEFT_US);
		}
		join(reader);
		weft_close(pipes[0]);
		weft_close(pipes[1]);
	});
}

TEST_P(Sched, SpinnersDoNotStarveUnstartedFibers)
{
	run(GetParam(), [] {
		Spinners spinners;
		std::atomic<int> ran{0};
		/* Nobody waits for it in a join, which would run it. */
		for (int i = 0; i < 20; i++)
			weft_detach(spawn([&ran] { ran++; }));
		while (ran < 20)
			weft_yield();
	});
}

TEST_P(Sched, SpawnersDoNotStarveTheOldestUnstartedFiber)
{
	run(GetParam(), [] {
		/* Each spawns its successor, newest first; only the old end's turn reaches the first one. */
		static std::atomic<bool> old_ran;
		old_ran = false;
		struct chain {
			static void *next(void *)
			{
				if (!old_ran && weft_go(next, nullptr) != 0)
					ADD_FAILURE();
				return nullptr;
			}
		};
		weft_detach(spawn([] { old_ran = true; }));
		EXPECT_EQ(0, weft_go(chain::next, nullptr));
		while (!old_ran)
			weft_sleep(100 * WEFT_US);
	});
}

TEST_P(Sched, SpinnersDoNotStarveTheInjectionQueue)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	static std::atomic<bool> done, ran;
	static std::atomic<unsigned> spinning;
	done = ran = false;
	spinning = 0;
	auto spin = [](void *) -> void * {
		spinning++;
		while (!done)
			weft_yield();
		return nullptr;
	};
	for (unsigned i = 0; i < 2 * GetParam(); i++)
		ASSERT_EQ(0, weft_submit(rt, spin, nullptr));
	EXPECT_TRUE(eventually([] { return spinning == 2 * GetParam(); }));
	auto note = [](void *) -> void * {
		ran = true;
		return nullptr;
	};
	ASSERT_EQ(0, weft_submit(rt, note, nullptr));
	EXPECT_TRUE(eventually([] { return ran.load(); }));
	done = true;
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Sched, SpinnersDoNotStarvePinnedFibers)
{
	run(GetParam(), [] {
		Spinners spinners;
		weft_attr pinned{};
		pinned.flags = WEFT_PINNED;
		weft_fiber *fiber = spawn(
			[] {
				for (int i = 0; i < 100; i++)
					weft_yield();
			},
			pinned);
		join(fiber);
	});
}

/* A pinned fiber that yields is in its list at each pick. */
TEST_P(Sched, PinnedSpinnersDoNotStarveTheUnstarted)
{
	run(GetParam(), [] {
		Spinners spinners;
		weft_attr pinned{};
		pinned.flags = WEFT_PINNED;
		std::atomic<bool> done{false}, ran{false};
		std::vector<weft_fiber *> fibers;
		for (unsigned i = 0; i < 2 * weft_workers(); i++)
			fibers.push_back(spawn(
				[&] {
					while (!done)
						weft_yield();
				},
				pinned));
		weft_sleep(WEFT_MS); /* all have started, the spinners and the pinned ones */
		fibers.push_back(spawn([&] { ran = true; }));
		weft_ns end = weft_after(20 * WEFT_SEC);
		while (!ran && weft_now() < end)
			weft_yield();
		EXPECT_TRUE(ran);
		done = true;
		for (weft_fiber *fiber : fibers)
			join(fiber);
	});
}

TEST_P(Sched, TwoThatWakeEachOtherDoNotStarveTheRing)
{
	run(GetParam(), [] {
		std::atomic<bool> done{false};
		weft_fiber *pair = spawn([&] {
			while (!done)
				join(spawn([] { weft_yield(); }));
		});
		for (int i = 0; i < 100; i++)
			weft_yield();
		done = true;
		join(pair);
	});
}

TEST_P(Sched, TensOfThousandsReadyAtOnce)
{
	run(GetParam(), [] {
		long n = std::min(20000l, fibers_max);
		std::vector<weft_fiber *> fibers;
		std::atomic<long> runs{0};
		for (long i = 0; i < n; i++)
			fibers.push_back(spawn([&runs] {
				for (int k = 0; k < 3; k++) {
					weft_yield();
					runs++;
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(3 * n, runs.load());
	});
}

static long fibonacci(long n)
{
	if (n < 2)
		return n;
	weft_fiber *left = spawn([n] { return fibonacci(n - 1); });
	long right = fibonacci(n - 2);
	return join(left) + right;
}

TEST_P(Sched, Trees)
{
	run(GetParam(), [] { EXPECT_EQ(sanitized ? 610 : 10946, fibonacci(sanitized ? 15 : 21)); });
}

TEST_P(Sched, AMillionSpawnedAndJoined)
{
	run(GetParam(), [] {
		long left = times(1000000, 20000);
		std::vector<weft_fiber *> fibers;
		auto nothing = [](void *arg) { return arg; };
		while (left > 0) {
			fibers.resize(times(10000, 1000));
			for (weft_fiber *&fiber : fibers)
				ASSERT_EQ(0, weft_spawn(&fiber, nothing, &fiber));
			for (weft_fiber *&fiber : fibers) {
				void *result = nullptr;
				ASSERT_EQ(0, weft_join(fiber, &result));
				ASSERT_EQ(&fiber, result);
			}
			left -= static_cast<long>(fibers.size());
		}
	});
}

TEST_P(Sched, IdleWorkersTakeWork)
{
	if (GetParam() == 1)
		GTEST_SKIP() << "one worker has nobody to take from";
	weft_config how = config(GetParam());
	how.rescue = WEFT_RESCUE_OFF; /* a thread that stands in has the number of a worker */
	run(how, [] {
		/* Two that never give way: the second can only run, and end the first, on another worker. */
		std::atomic<int> meeting{0};
		auto meet = [&meeting] {
			meeting++;
			while (meeting < 2)
				__builtin_ia32_pause();
			return weft_worker_index();
		};
		weft_fiber *one = spawn(meet);
		weft_fiber *two = spawn(meet);
		EXPECT_NE(join(one), join(two));
	});
}

TEST_P(Sched, BusyWorkersWokenFibersAreTaken)
{
	if (GetParam() == 1)
		GTEST_SKIP() << "one worker has nobody to take from";
	run(GetParam(), [] {
		/* Started fibers, many of them in the ring of a worker that then never gives way. */
		std::atomic<bool> go{false};
		std::atomic<int> ran{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 20; i++)
			fibers.push_back(spawn([&go, &ran] {
				while (!go)
					weft_yield();
				ran++;
			}));
		for (int i = 0; i < 100; i++)
			weft_yield();
		weft_ns end = weft_after(20 * WEFT_SEC);
		weft_fiber *hog = spawn([&go, &ran, end] {
			go = true;
			while (ran < 20 && weft_now() < end)
				__builtin_ia32_pause();
		});
		for (weft_fiber *fiber : fibers)
			join(fiber);
		join(hog);
		EXPECT_LT(weft_now(), end);
	});
}

TEST(SchedMany, MillionsOfParksAndWakes)
{
	/* Each generation parks in its join and is woken by the end of the next, which was parked in turn. */
	weft_config alone = config(1);
	alone.rescue = WEFT_RESCUE_OFF; /* a thread that stands in could end a child before its joiner parks */
	run(alone, [] {
		struct line {
			static void *last(void *)
			{
				weft_yield(); /* so that the joiner parks */
				return nullptr;
			}
			static void *middle(void *)
			{
				weft_fiber *child = nullptr;
				EXPECT_EQ(0, weft_spawn(&child, last, nullptr));
				weft_join(child, nullptr);
				return nullptr;
			}
		};
		for (long left = times(2500000, 25000); left > 0; left--) {
			weft_fiber *child = nullptr;
			ASSERT_EQ(0, weft_spawn(&child, line::middle, nullptr));
			ASSERT_EQ(0, weft_join(child, nullptr));
		}
		weft_stats stats{};
		weft_stats_get(nullptr, &stats, nullptr, 0);
		EXPECT_GE(stats.total.parks, static_cast<uint64_t>(times(5000000, 50000)));
	});
}
