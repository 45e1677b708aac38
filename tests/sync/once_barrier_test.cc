/* SPDX-License-Identifier: MIT */
/* once_barrier_test.cc - what is done once, and barriers
 *
 * Law  a once function runs once, whoever comes; every call that returns 0 returns after its end and sees what it did. It may park.
 * Law  a call from within the function is found; a caller that gives up has not run it, and does not disturb who does.
 * Law  a barrier opens when all are there, for each round anew; exactly one of a round gets 1, the last to come.
 * Law  who gave up is not counted; a barrier without a number is refused.
 */
#include <atomic>

#include "tests/sync/parties.h"

using namespace support;

class Once : public Workers
{
};
FOR_WORKERS(Once);

class Barrier : public Workers
{
};
FOR_WORKERS(Barrier);

/* Something to be done once, and how often it was. */
struct task {
	weft_once once = WEFT_ONCE_INIT;
	std::atomic<int> begun{0};
	long result = 0; /* plain: whoever returns from once_do sees it */
	std::function<void()> body = [] {};

	int go()
	{
		auto call = [](void *arg) -> void * {
			auto self = static_cast<task *>(arg);
			self->begun++;
			self->body();
			self->result++;
			return self;
		};
		return weft_once_do(&once, call, this);
	}
};

TEST_P(Once, RunsOnceForAll)
{
	constexpr int n = static_cast<int>(times(2000, 600));
	std::vector<task> tasks(n);
	on_all(GetParam(), [&](int) {
		for (task &each : tasks) {
			EXPECT_EQ(0, each.go());
			EXPECT_EQ(1, each.result);
		}
	});
	for (task &each : tasks)
		EXPECT_EQ(1, each.begun.load());
}

TEST_P(Once, FunctionMayPark)
{
	run_virtual(GetParam(), [] {
		task slow;
		const weft_ns start = weft_now();
		slow.body = [] {
			EXPECT_EQ(0, weft_sleep(WEFT_SEC));
			join(spawn([] { weft_yield(); }));
		};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 100; i++)
			fibers.push_back(spawn([&slow, start] {
				EXPECT_EQ(0, slow.go());
				EXPECT_EQ(1, slow.result);
				EXPECT_EQ(start + WEFT_SEC, weft_now());
			}));
		join_all(fibers);
		EXPECT_EQ(0, slow.go()) << "long done";
		EXPECT_EQ(1, slow.begun.load());
	});
}

TEST_P(Once, ByAThreadForFibersAndTheOtherWayRound)
{
	for (bool thread_first : {true, false}) {
		task shared;
		std::atomic<bool> go_on{false};
		shared.body = [&go_on] {
			while (!go_on)
				weft_self() == nullptr ? std::this_thread::yield() : weft_yield();
		};
		auto second = [&] {
			while (shared.begun == 0)
				std::this_thread::yield();
			go_on = true;
			EXPECT_EQ(0, shared.go());
			EXPECT_EQ(1, shared.result);
		};
		auto first = [&] { EXPECT_EQ(0, shared.go()); };
		Threads threads;
		if (thread_first)
			threads.start(first);
		else
			threads.start(second);
		run(GetParam(), [&] {
			if (thread_first)
				second();
			else
				first();
		});
		threads.join();
		EXPECT_EQ(1, shared.begun.load());
	}
}

TEST_P(Once, FromWithinTheFunction)
{
	auto recurse = [] {
		task inner;
		inner.body = [&inner] {
			EXPECT_EQ(-EDEADLK, inner.go());
			weft_yield();
			EXPECT_EQ(-EDEADLK, inner.go()) << "also elsewhere";
		};
		EXPECT_EQ(0, inner.go());
		EXPECT_EQ(0, inner.go());
		EXPECT_EQ(1, inner.begun.load());
		task outer;
		outer.body = [&inner] { EXPECT_EQ(0, inner.go()) << "another one is allowed"; };
		EXPECT_EQ(0, outer.go());
	};
	run(GetParam(), recurse);
	recurse(); /* on a plain thread */
}

TEST_P(Once, GivingUp)
{
	run_virtual(GetParam(), [] {
		task slow;
		slow.body = [] { EXPECT_EQ(0, weft_sleep(10 * WEFT_SEC)); };
		weft_fiber *runs = spawn([&slow] { return slow.go(); });
		settle();
		weft_fiber *cancelled = spawn([&slow] { return slow.go(); });
		weft_fiber *late = spawn([&slow] {
			weft_deadline(weft_after(WEFT_SEC));
			return slow.go();
		});
		weft_fiber *patient = spawn([&slow] { return slow.go(); });
		settle();
		weft_cancel(cancelled);
		EXPECT_EQ(-ECANCELED, join(cancelled));
		EXPECT_EQ(-ETIMEDOUT, join(late));
		EXPECT_EQ(0, join(patient));
		EXPECT_EQ(0, join(runs));
		EXPECT_EQ(1, slow.begun.load());
	});
}

TEST_P(Once, CancellationAndDeadlineComeFirst)
{
	run_virtual(GetParam(), [] {
		task untouched, done;
		EXPECT_EQ(-EINVAL,
			weft_once_do(
				nullptr, [](void *arg) { return arg; }, nullptr));
		EXPECT_EQ(-EINVAL, weft_once_do(&untouched.once, nullptr, nullptr));
		EXPECT_EQ(0, done.go());
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, untouched.go());
		EXPECT_EQ(-ETIMEDOUT, done.go());
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, untouched.go());
		EXPECT_EQ(-ECANCELED, done.go());
		EXPECT_EQ(0, untouched.begun.load()) << "nobody has run it";
		weft_shield(true);
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, untouched.go()) << "so it is still to be done";
		EXPECT_EQ(1, untouched.begun.load());
	});
}

/* The one that runs the function is cancelled: the function sees that, ends, and then it has been done. */
TEST_P(Once, CancelledWhileItRuns)
{
	run_virtual(GetParam(), [] {
		task slow;
		slow.body = [] { EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_FOREVER)); };
		weft_fiber *runs = spawn([&slow] { return slow.go(); });
		settle();
		weft_fiber *waits = spawn([&slow] { return slow.go(); });
		settle();
		weft_cancel(runs);
		EXPECT_EQ(0, join(runs)) << "it has run";
		EXPECT_EQ(0, join(waits));
		EXPECT_EQ(0, slow.go());
		EXPECT_EQ(1, slow.begun.load());
	});
}

TEST_P(Barrier, Rounds)
{
	constexpr long rounds = times(1000, 300);
	weft_barrier barrier = WEFT_BARRIER_INIT(parties);
	std::vector<std::atomic<int>> ones(rounds);
	std::vector<long> data(parties);
	on_all(GetParam(), [&](int party) {
		auto mine = static_cast<size_t>(party);
		for (long k = 0; k < rounds; k++) {
			data[mine] = 2 * k;
			int last = weft_barrier_wait(&barrier);
			ASSERT_TRUE(last == 0 || last == 1) << last;
			ones[static_cast<size_t>(k)] += last;
			for (long each : data)
				EXPECT_EQ(2 * k, each) << "all were there";
			EXPECT_GE(weft_barrier_wait(&barrier), 0);
		}
	});
	for (const std::atomic<int> &count : ones)
		EXPECT_EQ(1, count.load()) << "one of each round";
}

/* Rounds follow each other at once: the fast ones are back before the slow ones have gone. */
TEST_P(Barrier, UsedAgainAtOnce)
{
	constexpr long rounds = times(10000, 2100);
	weft_barrier barrier;
	EXPECT_EQ(0, weft_barrier_init(&barrier, 3));
	std::atomic<long> ones{0}, zeros{0};
	on_fibers(GetParam(), 0, 3, [&](int) {
		for (long k = 0; k < rounds; k++) {
			int last = weft_barrier_wait(&barrier);
			ASSERT_TRUE(last == 0 || last == 1) << last;
			(last == 1 ? ones : zeros)++;
		}
	});
	EXPECT_EQ(rounds, ones.load());
	EXPECT_EQ(2 * rounds, zeros.load());
}

TEST_P(Barrier, OpensForTheLast)
{
	run_virtual(GetParam(), [] {
		weft_barrier barrier = WEFT_BARRIER_INIT(4);
		for (int round = 0; round < 20; round++) {
			const weft_ns start = weft_now();
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++)
				fibers.push_back(spawn([&barrier, start, i] {
					weft_sleep(i * WEFT_SEC);
					int last = weft_barrier_wait(&barrier);
					EXPECT_EQ(start + 3 * WEFT_SEC, weft_now());
					return last;
				}));
			for (int i = 0; i < 4; i++)
				EXPECT_EQ(i == 3, join(fibers[static_cast<size_t>(i)])) << i;
		}
	});
}

TEST_P(Barrier, WhoGaveUpIsNotCounted)
{
	run_virtual(GetParam(), [] {
		weft_barrier barrier = WEFT_BARRIER_INIT(3);
		auto wait = [&barrier](weft_ns patience) {
			return spawn([&barrier, patience] {
				weft_deadline(weft_after(patience));
				return weft_barrier_wait(&barrier);
			});
		};
		for (int round = 0; round < 20; round++) {
			weft_fiber *stays = wait(WEFT_FOREVER);
			weft_fiber *late = wait(WEFT_SEC);
			settle();
			EXPECT_EQ(-ETIMEDOUT, join(late));
			weft_fiber *cancelled = wait(WEFT_FOREVER);
			settle();
			weft_cancel(cancelled);
			EXPECT_EQ(-ECANCELED, join(cancelled));
			EXPECT_EQ(-ETIMEDOUT, join(wait(WEFT_SEC))) << "only two were there";
			weft_fiber *second = wait(WEFT_FOREVER);
			settle();
			weft_fiber *third = wait(WEFT_FOREVER);
			EXPECT_EQ(1, join(third));
			EXPECT_EQ(0, join(second));
			EXPECT_EQ(0, join(stays));
		}
	});
}

TEST_P(Barrier, CancellationAndDeadlineComeFirst)
{
	run_virtual(GetParam(), [] {
		weft_barrier alone = WEFT_BARRIER_INIT(1);
		weft_barrier two = WEFT_BARRIER_INIT(2);
		weft_fiber *other = spawn([&two] { return weft_barrier_wait(&two); });
		settle();
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_barrier_wait(&alone));
		EXPECT_EQ(-ETIMEDOUT, weft_barrier_wait(&two)) << "although the last to come";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_barrier_wait(&alone));
		EXPECT_EQ(-ECANCELED, weft_barrier_wait(&two)) << "although the last to come";
		weft_shield(true);
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(1, weft_barrier_wait(&two));
		EXPECT_EQ(0, join(other));
	});
}

TEST_P(Barrier, OfOneAndOfNone)
{
	auto check = [] {
		weft_barrier alone = WEFT_BARRIER_INIT(1);
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(1, weft_barrier_wait(&alone));
		static weft_barrier zeroed;
		weft_barrier none = WEFT_BARRIER_INIT(0);
		EXPECT_EQ(-EINVAL, weft_barrier_wait(&zeroed));
		EXPECT_EQ(-EINVAL, weft_barrier_wait(&none));
		EXPECT_EQ(-EINVAL, weft_barrier_wait(nullptr));
		EXPECT_EQ(-EINVAL, weft_barrier_init(nullptr, 1));
		EXPECT_EQ(-EINVAL, weft_barrier_init(&none, 0));
		EXPECT_EQ(0, weft_barrier_init(&none, 1));
		EXPECT_EQ(1, weft_barrier_wait(&none));
	};
	run_virtual(GetParam(), check);
	check(); /* on a plain thread */
}

/* The last to come and a cancellation at the same instant: either the round is complete, or the cancelled one is missing. */
TEST_P(Barrier, LastMeetsCancellation)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(2000, 450); round++) {
			weft_barrier barrier = WEFT_BARRIER_INIT(3);
			weft_ns then = weft_after(WEFT_MS);
			auto wait = [&barrier] { return weft_barrier_wait(&barrier); };
			std::vector<weft_fiber *> fibers = {spawn(wait), spawn(wait)};
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
			});
			weft_fiber *third = spawn([&barrier, then] {
				weft_sleep_until(then);
				return weft_barrier_wait(&barrier);
			});
			join(canceller);
			intptr_t error = join(fibers[0]);
			if (error == 0) {
				EXPECT_EQ(1, join(third));
				ASSERT_EQ(0, join(fibers[1]));
				continue;
			}
			ASSERT_EQ(-ECANCELED, error);
			settle();
			ASSERT_EQ(1, weft_barrier_wait(&barrier)) << "one was missing";
			EXPECT_EQ(0, join(third));
			EXPECT_EQ(0, join(fibers[1]));
		}
	});
}
