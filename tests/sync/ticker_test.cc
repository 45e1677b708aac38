/* SPDX-License-Identifier: MIT */
/* ticker_test.cc - channels that time sends on
 *
 * Law  a tick arrives when it is due, never before, and says when that was: first + n * period, without drift.
 * Law  one tick is kept for whoever does not listen; those that come meanwhile are dropped, and the rhythm
 *      stays.
 * Law  with period 0 there is one tick, and the channel is closed behind it.
 * Law  a ticker can be freed at any time; the end of the runtime closes its channel.
 */
#include <algorithm>
#include <atomic>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class Ticker : public Workers
{
};
FOR_WORKERS(Ticker);

/* Freed by the destructor, as on every way out of a block. */
class Ticks
{
	weft_ticker *ticker_ = nullptr;

public:
	Ticks(weft_ns first, weft_ns period)
	{
		EXPECT_EQ(0, weft_ticker_new(&ticker_, first, period));
	}
	Ticks(const Ticks &) = delete;
	Ticks &operator=(const Ticks &) = delete;
	~Ticks()
	{
		weft_ticker_free(ticker_);
	}
	weft_chan *chan() const
	{
		return weft_ticker_chan(ticker_);
	}
	weft_ns next() const
	{
		weft_ns due = -1;
		EXPECT_EQ(0, weft_chan_recv(chan(), &due));
		return due;
	}
};

TEST_P(Ticker, TicksWhenDue)
{
	run_virtual(GetParam(), [] {
		weft_ns first = weft_after(5 * WEFT_SEC);
		Ticks ticks(first, 2 * WEFT_SEC);
		EXPECT_EQ(1u, weft_chan_cap(ticks.chan()));
		for (int i = 0; i < 20; i++) {
			EXPECT_EQ(first + i * 2 * WEFT_SEC, ticks.next());
			EXPECT_EQ(first + i * 2 * WEFT_SEC, weft_now());
			weft_ns none = -1;
			EXPECT_EQ(-EAGAIN, weft_chan_try_recv(ticks.chan(), &none));
			EXPECT_EQ(-1, none);
		}
	});
}

TEST_P(Ticker, DoesNotDrift)
{
	run_virtual(GetParam(), [] {
		std::minstd_rand random(3);
		weft_ns first = weft_after(7), period = 1000;
		Ticks ticks(first, period);
		for (int i = 0; i < 500; i++) {
			EXPECT_EQ(first + i * period, ticks.next());
			weft_sleep(static_cast<weft_ns>(random() % 999)); /* work that takes less than a period */
		}
		EXPECT_LT(weft_now(), first + 500 * period);
	});
}

TEST_P(Ticker, DropsWhatNobodyHears)
{
	run_virtual(GetParam(), [] {
		weft_ns first = weft_after(WEFT_SEC), period = WEFT_SEC;
		Ticks ticks(first, period);
		EXPECT_EQ(0, weft_sleep_until(first + 10 * period + WEFT_MS));
		EXPECT_EQ(1u, weft_chan_len(ticks.chan()));
		EXPECT_EQ(first, ticks.next()) << "the one that was kept";
		weft_ns none = -1;
		EXPECT_EQ(-EAGAIN, weft_chan_try_recv(ticks.chan(), &none)) << "the others were dropped";
		EXPECT_EQ(first + 11 * period, ticks.next());
		EXPECT_EQ(first + 11 * period, weft_now());
		EXPECT_EQ(first + 12 * period, ticks.next());
	});
}

TEST_P(Ticker, OneTickOnly)
{
	run_virtual(GetParam(), [] {
		for (bool late : {false, true}) {
			weft_ns first = weft_after(WEFT_SEC), none = -1;
			Ticks ticks(first, 0);
			EXPECT_EQ(-EAGAIN, weft_chan_try_recv(ticks.chan(), &none));
			if (late)
				weft_sleep(10 * WEFT_SEC);
			EXPECT_EQ(first, ticks.next());
			EXPECT_EQ(-EPIPE, weft_chan_recv(ticks.chan(), &none));
			EXPECT_EQ(late ? first + 9 * WEFT_SEC : first, weft_now());
			EXPECT_EQ(-1, none);
		}
	});
}

TEST_P(Ticker, AFirstTickThatIsLate)
{
	run_virtual(GetParam(), [] {
		weft_sleep(100 * WEFT_SEC);
		weft_ns now = weft_now();
		for (weft_ns first :
			{now, now - 1, now - 100 * WEFT_SEC, weft_ns{1}, weft_ns{0}, weft_ns{-5}}) {
			Ticks once(first, 0);
			EXPECT_EQ(first, once.next());
			EXPECT_EQ(now, weft_now()) << "at once";
		}
		weft_ns first = now - 3 * WEFT_SEC - WEFT_MS, last = first - WEFT_SEC;
		Ticks ticks(first, WEFT_SEC);
		/* Those that were due already come at once, or are dropped; then the rhythm goes on. */
		for (int i = 0; i < 10; i++) {
			weft_ns due = ticks.next();
			EXPECT_EQ(0, (due - first) % WEFT_SEC);
			EXPECT_GT(due, last);
			EXPECT_LE(due, weft_now());
			EXPECT_TRUE(due <= now || due == weft_now()) << "on time";
			last = due;
		}
	});
}

/* In real time, with a rhythm that began when the machine did, or long before: there is no going through all
 * that is past. */
TEST_P(Ticker, ARhythmFromLongAgo)
{
	run(GetParam(), [] {
		for (weft_ns first : {weft_ns{1}, -1000000 * WEFT_SEC}) {
			Ticks ticks(first, WEFT_US);
			weft_ns last = first - 1;
			for (int i = 0; i < 20; i++) {
				weft_ns due = ticks.next();
				EXPECT_EQ(0, (due - first) % WEFT_US);
				EXPECT_GT(due, last);
				EXPECT_LE(due, weft_now());
				last = due;
			}
			weft_ns before = weft_now();
			weft_sleep(20 * WEFT_MS);
			ticks.next(); /* one was kept, whichever */
			ticks.next(); /* another may have been on its way for as long */
			EXPECT_GT(ticks.next(), before) << "the others came and went";
		}
	});
}

TEST_P(Ticker, FarTimes)
{
	run_virtual(GetParam(), [] {
		weft_ns due = -1, second = weft_after(WEFT_SEC);
		Ticks never(WEFT_FOREVER, WEFT_SEC), hardly(WEFT_FOREVER - 1, WEFT_FOREVER),
			once(second, WEFT_FOREVER), twice(second, INT64_MAX / 2);
		EXPECT_EQ(second, once.next());
		EXPECT_EQ(second, twice.next());
		weft_deadline(weft_after(1000 * WEFT_SEC));
		for (Ticks *ticks : {&never, &hardly, &once, &twice})
			EXPECT_EQ(-ETIMEDOUT, weft_chan_recv(ticks->chan(), &due));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(second + 1000 * WEFT_SEC, weft_now()) << "no jump to the end of time";
		EXPECT_EQ(-1, due);
	});
}

TEST_P(Ticker, InASelect)
{
	run_virtual(GetParam(), [] {
		Chan<nothing> quit;
		weft_ns start = weft_now(), due = 0;
		weft_fiber *fiber = spawn([&] {
			weft_sleep(55 * WEFT_SEC);
			quit.close();
		});
		Ticks ticks(start + WEFT_SEC, WEFT_SEC), slow(start + WEFT_SEC / 2, 10 * WEFT_SEC);
		weft_case cases[] = {recv_case(ticks.chan(), &due), recv_case(slow.chan(), &due),
			recv_case(quit.get(), nullptr)};
		int heard[2] = {}, index;
		while ((index = weft_select(cases, 3, WEFT_FOREVER)) < 2) {
			ASSERT_GE(index, 0);
			EXPECT_EQ(weft_now(), due);
			heard[index]++;
		}
		/* At 55 s the last tick and the end may come in either order. */
		EXPECT_TRUE(heard[0] == 54 || heard[0] == 55) << heard[0];
		EXPECT_EQ(6, heard[1]);
		join(fiber);
	});
}

TEST_P(Ticker, Arguments)
{
	run_virtual(GetParam(), [] {
		auto unset = reinterpret_cast<weft_ticker *>(uintptr_t{1});
		weft_ticker *ticker = unset;
		EXPECT_EQ(-EINVAL, weft_ticker_new(nullptr, 1, 1));
		EXPECT_EQ(-EINVAL, weft_ticker_new(&ticker, 1, -1));
		EXPECT_EQ(nullptr, ticker);
		ticker = unset;
		EXPECT_EQ(-EINVAL, weft_ticker_new(&ticker, 1, INT64_MIN));
		EXPECT_EQ(nullptr, ticker);
		EXPECT_EQ(nullptr, weft_ticker_chan(nullptr));
		weft_ticker_free(nullptr);
	});
}

TEST(TickerOffAFiber, IsRefused)
{
	auto ticker = reinterpret_cast<weft_ticker *>(uintptr_t{1});
	EXPECT_EQ(-EPERM, weft_ticker_new(&ticker, 1, 1));
	EXPECT_EQ(nullptr, ticker);
	weft_ticker_free(nullptr);
}

TEST_P(Ticker, FreedAtAnyTime)
{
	run_virtual(GetParam(), [] {
		for (int when = 0; when < 6; when++) {
			Ticks ticks(weft_after(when == 1 ? 0 : WEFT_SEC), when == 5 ? 0 : WEFT_SEC);
			if (when == 2)
				weft_sleep(WEFT_SEC); /* due at this very moment */
			if (when == 3)
				weft_sleep(5 * WEFT_SEC); /* one is unread */
			if (when >= 4)
				ticks.next();
			weft_ns before = weft_now();
			{
				/* Freeing takes no time, also of one whose fiber has never run. */
				Ticks other(weft_after(WEFT_SEC), WEFT_SEC);
			}
			EXPECT_EQ(before, weft_now());
		}
	});
}

TEST_P(Ticker, FreedWhileDue)
{
	run(GetParam(), [] {
		for (long i = 0; i < times(2000, 200); i++) {
			Ticks ticks(weft_after(i % 50 * WEFT_US), WEFT_US);
			if (i % 3 == 0)
				ticks.next();
			if (i % 5 == 0)
				weft_yield();
		}
	});
}

TEST_P(Ticker, FreedByACancelledFiberAndByAnother)
{
	run_virtual(GetParam(), [] {
		weft_ticker *ticker = nullptr;
		ASSERT_EQ(0, weft_ticker_new(&ticker, weft_after(WEFT_SEC), WEFT_SEC));
		join(spawn([&] {
			weft_cancel(weft_self());
			weft_deadline(1);
			weft_ticker_free(ticker); /* no cancellation point: it is freed all the same */
		}));
		EXPECT_EQ(WEFT_SEC, weft_now());
	});
}

TEST_P(Ticker, Many)
{
	run_virtual(GetParam(), [] {
		long count = std::min(times(3000, 300), fibers_max / 2);
		std::vector<std::unique_ptr<Ticks>> all;
		weft_ns start = weft_now();
		for (long i = 0; i < count; i++)
			all.push_back(std::make_unique<Ticks>(start + 1 + i * 1000, count * 1000 + i));
		for (int round = 0; round < 3; round++)
			for (long i = 0; i < count; i++) {
				weft_ns due = all[static_cast<size_t>(i)]->next();
				EXPECT_EQ(0, (due - start - 1 - i * 1000) % (count * 1000 + i));
				EXPECT_LE(due, weft_now());
			}
	});
}

TEST_P(Ticker, TheEndOfTheRuntimeClosesIt)
{
	std::atomic<int> heard{0}, closed{0};
	run_virtual(GetParam(), [&] {
		for (int i = 0; i < 5; i++)
			go([&] {
				weft_shield(true);
				Ticks ticks(weft_after(WEFT_SEC), WEFT_SEC);
				weft_ns due;
				int error;
				while ((error = weft_chan_recv(ticks.chan(), &due)) == 0)
					heard++;
				closed += error == -EPIPE;
			});
		weft_sleep(3 * WEFT_SEC + WEFT_MS);
	});
	EXPECT_GE(heard.load(), 15) << "virtual time may go on before the end is seen";
	EXPECT_EQ(5, closed.load());
}

TEST_P(Ticker, NeverFreedDoesNotKeepTheRuntimeFromEnding)
{
	weft_ticker *left = nullptr;
	run_virtual(GetParam(), [&] {
		EXPECT_EQ(0, weft_ticker_new(&left, weft_after(WEFT_SEC), WEFT_SEC));
		weft_sleep(3 * WEFT_SEC);
		/* Its memory goes with this fiber's clean-up; here it is the test's last word. */
		weft_cancel(weft_self());
		weft_ns due;
		EXPECT_EQ(-ECANCELED, weft_chan_recv(weft_ticker_chan(left), &due));
		weft_ticker_free(left);
	});
}

TEST_P(Ticker, RealTime)
{
	run(GetParam(), [] {
		weft_ns first = weft_after(WEFT_MS);
		Ticks ticks(first, WEFT_MS);
		weft_ns last = first - 1;
		for (int i = 0; i < 20; i++) {
			weft_ns due = ticks.next();
			EXPECT_GE(weft_now(), due) << "never before";
			EXPECT_GT(due, last);
			EXPECT_EQ(0, (due - first) % WEFT_MS);
			last = due;
		}
	});
}
