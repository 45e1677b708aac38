/* SPDX-License-Identifier: MIT */
/* cond_test.cc - conditions
 *
 * Law  no signal between the unlock and the wait is lost; none is used twice; nobody returns 0 without one.
 * Law  signal wakes the one that has waited longest, fiber or thread; broadcast all that wait, and nobody who comes later.
 * Law  a wait that gives up holds the mutex all the same, and has used up no signal: that goes to another waiter.
 * Law  waiting without the mutex is found, and does nothing.
 */
#include <atomic>
#include <deque>

#include "tests/sync/parties.h"

using namespace support;

class Cond : public Workers
{
};
FOR_WORKERS(Cond);

/* A mutex and a condition. */
struct pair {
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_cond cond = WEFT_COND_INIT;

	void lock()
	{
		weft_mutex_lock(&mutex);
	}
	void unlock()
	{
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	}
	int wait()
	{
		int error = weft_cond_wait(&cond, &mutex);
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex)) << "held, whatever was returned";
		return error;
	}
};

/* A fiber that waits once. */
static weft_fiber *waiter(pair &both, weft_ns deadline = WEFT_FOREVER)
{
	return spawn([&both, deadline] {
		weft_deadline(deadline);
		both.lock();
		int error = both.wait();
		both.unlock();
		return error;
	});
}

TEST_P(Cond, TurnsGoRound)
{
	constexpr int n = 8;
	constexpr long rounds = times(2000, 450);
	pair both;
	weft_cond turns[n] = {};
	long turn = 0;
	/* Each waits for its own turn: a lost signal stops them all. */
	auto play = [&](int i) {
		both.lock();
		for (long k = 0; k < rounds; k++) {
			while (turn % n != i)
				EXPECT_EQ(0, weft_cond_wait(&turns[i], &both.mutex));
			turn++;
			weft_cond_signal(&turns[turn % n]);
		}
		both.unlock();
	};
	{
		Threads threads;
		for (int i = 5; i < n; i++)
			threads.start([&play, i] { play(i); });
		on_fibers(GetParam(), 0, 5, play);
	}
	EXPECT_EQ(n * rounds, turn);
}

/* A bounded buffer as in every textbook. */
struct buffer {
	pair filled;
	weft_cond emptied = WEFT_COND_INIT;
	std::deque<long> items;

	void put(long item)
	{
		filled.lock();
		while (items.size() == 3)
			EXPECT_EQ(0, weft_cond_wait(&emptied, &filled.mutex));
		items.push_back(item);
		weft_cond_signal(&filled.cond);
		filled.unlock();
	}
	long take()
	{
		filled.lock();
		while (items.empty())
			EXPECT_EQ(0, filled.wait());
		long item = items.front();
		items.pop_front();
		weft_cond_signal(&emptied);
		filled.unlock();
		return item;
	}
};

TEST_P(Cond, BoundedBuffer)
{
	constexpr long rounds = times(5000, 900);
	buffer queue;
	std::atomic<long> sum{0};
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			if (party % 2 == 0)
				queue.put(k);
			else
				sum += queue.take();
		}
	});
	EXPECT_EQ(parties / 2 * (rounds * (rounds - 1) / 2), sum.load());
	EXPECT_TRUE(queue.items.empty());
}

TEST_P(Cond, SignalsInTheOrderOfWaits)
{
	run_virtual(GetParam(), [] {
		pair both;
		std::vector<int> order;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 20; i++) {
			fibers.push_back(spawn([&both, &order, i] {
				both.lock();
				EXPECT_EQ(0, both.wait());
				order.push_back(i);
				both.unlock();
			}));
			settle();
		}
		for (size_t i = 0; i < 20; i++) {
			if (i % 2 == 0)
				both.lock();
			weft_cond_signal(&both.cond);
			if (i % 2 == 0)
				both.unlock();
			settle();
			both.lock();
			EXPECT_EQ(i + 1, order.size()) << "one for each";
			both.unlock();
		}
		join_all(fibers);
		EXPECT_EQ(ascending(20), order);
	});
}

/* Whoever has locked the mutex after others waited knows that they wait: so their order is known in real time, too. */
TEST_P(Cond, FibersAndThreadsInOneOrder)
{
	pair both;
	std::vector<int> waits, order;
	int signals = 0;
	auto wait = [&](int party) {
		for (long k = 0; k < times(500, 120); k++) {
			both.lock();
			waits.push_back(party);
			EXPECT_EQ(0, both.wait());
			order.push_back(party);
			EXPECT_LE(order.size(), static_cast<size_t>(signals));
			both.unlock();
		}
	};
	const size_t total = static_cast<size_t>(6 * times(500, 120));
	Threads threads;
	for (int i = 0; i < 3; i++)
		threads.start([&wait, i] { wait(i); });
	threads.start([&] {
		for (bool done = false; !done; std::this_thread::yield()) {
			both.lock();
			size_t answered = order.size();
			/* One at a time, so that they come back in the order of the signals. */
			if (static_cast<size_t>(signals) == answered && waits.size() > answered) {
				signals++;
				weft_cond_signal(&both.cond);
			}
			done = answered == total;
			both.unlock();
		}
	});
	on_fibers(GetParam(), 3, 3, wait);
	threads.join();
	EXPECT_EQ(waits, order);
}

TEST_P(Cond, BroadcastWakesThoseWhoWaitNow)
{
	run_virtual(GetParam(), [] {
		pair both;
		for (int round = 0; round < 10; round++) {
			std::vector<weft_fiber *> early;
			for (int i = 0; i < 50; i++)
				early.push_back(waiter(both));
			settle();
			weft_cond_broadcast(&both.cond);
			weft_fiber *later = waiter(both, weft_after(WEFT_SEC));
			for (weft_fiber *fiber : early)
				EXPECT_EQ(0, join(fiber));
			EXPECT_EQ(-ETIMEDOUT, join(later));
		}
	});
}

TEST_P(Cond, SignalsToNobodyAreForgotten)
{
	run_virtual(GetParam(), [] {
		pair both;
		weft_cond_signal(nullptr);
		weft_cond_broadcast(nullptr);
		weft_cond_signal(&both.cond);
		weft_cond_broadcast(&both.cond);
		EXPECT_EQ(-ETIMEDOUT, join(waiter(both, weft_after(WEFT_SEC))));
		weft_cond_signal(&both.cond);
		EXPECT_EQ(-ETIMEDOUT, join(waiter(both, weft_after(WEFT_SEC))));
		weft_fiber *last = waiter(both);
		settle();
		weft_cond_signal(&both.cond);
		EXPECT_EQ(0, join(last));
	});
}

TEST_P(Cond, OneThatGivesUpLocksAgain)
{
	run_virtual(GetParam(), [] {
		pair both;
		const weft_ns start = weft_now();
		bool inside = false;
		auto give_up = [&](weft_ns deadline) {
			weft_deadline(deadline);
			both.lock();
			int error = both.wait();
			EXPECT_FALSE(inside);
			EXPECT_EQ(start + 10 * WEFT_MS, weft_now()) << "it waited for the mutex";
			both.unlock();
			return error;
		};
		weft_fiber *late = spawn([&] { return give_up(start + 6 * WEFT_MS); });
		weft_fiber *cancelled = spawn([&] { return give_up(WEFT_FOREVER); });
		weft_sleep(5 * WEFT_MS);
		both.lock();
		inside = true;
		weft_cancel(cancelled);
		weft_sleep(5 * WEFT_MS);
		inside = false;
		both.unlock();
		EXPECT_EQ(-ETIMEDOUT, join(late));
		EXPECT_EQ(-ECANCELED, join(cancelled));
		EXPECT_TRUE(is_free(both.mutex));
	});
}

/* A deadline that was moved before it passed is none: whoever waits does not notice it, and goes on waiting in its place. */
TEST_P(Cond, AMovedDeadlineLosesNoSignal)
{
	run_virtual(GetParam(), [] {
		pair both;
		bool told = false;
		weft_fiber *waits = spawn([&] {
			weft_deadline(weft_after(10 * WEFT_MS));
			weft_deadline(weft_after(10 * WEFT_SEC));
			int error = 0;
			both.lock();
			while (!told && error == 0)
				error = both.wait();
			both.unlock();
			return error;
		});
		settle();
		both.lock();
		weft_sleep(20 * WEFT_MS); /* the old deadline passes */
		told = true;
		weft_cond_signal(&both.cond);
		both.unlock();
		EXPECT_EQ(0, join(waits)) << "it was signalled";
	});
}

TEST_P(Cond, CancellationAndDeadlineComeFirst)
{
	run_virtual(GetParam(), [] {
		pair both;
		weft_fiber *other = waiter(both);
		settle();
		weft_deadline(weft_now());
		both.lock();
		EXPECT_EQ(-ETIMEDOUT, both.wait());
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, both.wait());
		both.unlock();
		weft_cond_signal(&both.cond);
		weft_shield(true);
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, join(other)) << "they were not in its way";
	});
}

TEST_P(Cond, WithoutTheMutex)
{
	run_virtual(GetParam(), [] {
		pair both;
		EXPECT_EQ(-EINVAL, weft_cond_wait(nullptr, &both.mutex));
		EXPECT_EQ(-EINVAL, weft_cond_wait(&both.cond, nullptr));
		EXPECT_EQ(-EPERM, weft_cond_wait(&both.cond, &both.mutex)) << "nobody holds it";
		EXPECT_TRUE(is_free(both.mutex)) << "and nobody does now";
		both.lock();
		weft_fiber *other = spawn([&both] { return weft_cond_wait(&both.cond, &both.mutex); });
		EXPECT_EQ(-EPERM, join(other)) << "somebody else holds it";
		int of_thread = 0;
		std::thread([&] { of_thread = weft_cond_wait(&both.cond, &both.mutex); }).join();
		EXPECT_EQ(-EPERM, of_thread);
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&both.mutex)) << "nothing happened";
		both.unlock();
		weft_fiber *proper = waiter(both);
		settle();
		weft_cond_signal(&both.cond);
		EXPECT_EQ(0, join(proper)) << "nobody else waits there";
	});
}

/* One signal, and cancellations and deadlines of the same instant: it reaches one of those that do not give up. */
TEST_P(Cond, SignalMeetsGivingUp)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(3000, 600); round++) {
			pair both;
			weft_ns then = weft_after(10 * WEFT_MS);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++) {
				weft_ns limit = i == 0 || i == 2 ? WEFT_FOREVER : then;
				fibers.push_back(waiter(both, i == 3 ? then + WEFT_SEC : limit));
				settle();
			}
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
				weft_cancel(fibers[2]);
			});
			weft_sleep_until(then);
			if (round % 2 == 0)
				both.lock();
			weft_cond_signal(&both.cond);
			if (round % 2 == 0)
				both.unlock();
			join(canceller);
			intptr_t errors[4];
			for (int i = 0; i < 3; i++) {
				errors[i] = join(fibers[static_cast<size_t>(i)]);
				EXPECT_TRUE(errors[i] == 0 || errors[i] == (i == 1 ? -ETIMEDOUT : -ECANCELED))
					<< errors[i];
			}
			long woken = (errors[0] == 0) + (errors[1] == 0) + (errors[2] == 0);
			ASSERT_LE(woken, 1) << "one signal wakes one";
			if (woken == 1)
				weft_cond_signal(&both.cond); /* so the last waits still */
			ASSERT_EQ(0, join(fibers[3]));
		}
	});
}

/* The same in real time, with the signal and the cancellation from two fibers or a fiber and a thread. */
TEST_P(Cond, SignalMeetsCancellation)
{
	run(GetParam(), [] {
		weft_ns end = weft_after(3 * WEFT_SEC);
		long first_woke = 0, second_woke = 0;
		for (long round = 0; round < times(20000, 3000) && weft_now() < end; round++) {
			pair both;
			int waiting = 0;
			auto wait = [&] {
				weft_deadline(weft_after(60 * WEFT_SEC));
				both.lock();
				waiting++;
				int error = both.wait();
				both.unlock();
				return error;
			};
			weft_fiber *first = spawn(wait);
			for (int come = 0; come < 1; weft_yield()) {
				both.lock();
				come = waiting;
				both.unlock();
			}
			weft_fiber *second = spawn(wait);
			for (int come = 0; come < 2; weft_yield()) {
				both.lock();
				come = waiting;
				both.unlock();
			}
			weft_fiber *canceller = spawn([first, round] {
				for (long k = round % 3; k > 0; k--)
					weft_yield();
				weft_cancel(first);
			});
			for (long k = round % 5; k > 0; k--)
				weft_yield();
			weft_cond_signal(&both.cond);
			intptr_t error = join(first);
			join(canceller);
			if (error == 0) {
				first_woke++;
				weft_cond_signal(&both.cond);
			} else {
				ASSERT_EQ(-ECANCELED, error);
				second_woke++;
			}
			ASSERT_EQ(0, join(second)) << "the signal is lost";
		}
		EXPECT_GT(first_woke + second_woke, 0);
	});
}

/* What a caller waits for on its own stack: it may leave as soon as it has seen it. */
struct completion {
	pair both;
	bool done = false;
};

TEST_P(Cond, FreedByTheWaiter)
{
	free_after_wait<completion>(
		GetParam(), times(20000, 6000),
		[](completion &one) {
			one.both.lock();
			while (!one.done)
				EXPECT_EQ(0, one.both.wait());
			one.both.unlock();
		},
		[](completion &one) {
			one.both.lock();
			one.done = true;
			weft_cond_signal(&one.both.cond);
			one.both.unlock();
		});
}

/* Waits, signals, broadcasts, cancellations and deadlines at random: whoever returns 0 was meant by a signal, and in the end
 * nobody is left. */
TEST_P(Cond, RandomTraffic)
{
	run(GetParam(), [] {
		pair both;
		weft_ns end = weft_after(3 * WEFT_SEC);
		long waits_open = 0, allowed = 0; /* how many may return 0 */
		for (long round = 0; round < times(500, 120) && weft_now() < end; round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 20; i++)
				fibers.push_back(spawn([&, i] {
					for (int k = 0; k < 10; k++) {
						weft_deadline(weft_after((i + k) % 7 * 20 * WEFT_US));
						both.lock();
						waits_open++;
						int error = both.wait();
						waits_open--;
						allowed -= error == 0;
						EXPECT_GE(allowed, 0);
						both.unlock();
						weft_yield();
					}
				}));
			for (size_t i = 0; i < 60; i++) {
				both.lock();
				if (i % 10 == 0) {
					allowed += waits_open;
					weft_cond_broadcast(&both.cond);
				} else {
					allowed += waits_open > 0;
					weft_cond_signal(&both.cond);
				}
				both.unlock();
				if (i % 6 == 0)
					weft_cancel(fibers[i / 6 * 2]);
				weft_yield();
			}
			join_all(fibers);
			EXPECT_EQ(0, waits_open);
			allowed = 0;
		}
	});
}
