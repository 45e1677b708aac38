/* SPDX-License-Identifier: MIT */
/* crowd_test.cc - many hogs, at once and one after another, and what is left when they are over
 *
 * Law  more hogs than workers all run at once, on threads that stand in, and the others go on; the threads leave soon after.
 * Law  results are right, pinned fibers keep their thread, a runtime can be stopped, whoever is stuck meanwhile.
 * Law  with WEFT_RESCUE_OFF nobody stands in: everything waits, and goes on afterwards.
 */
#include "tests/stuck/actors.h"

using namespace stuck;

namespace
{

class Crowds : public testing::TestWithParam<Machine>
{
};

std::string name_of(const testing::TestParamInfo<Machine> &info)
{
	return machine_name(info.param);
}

void nap(int64_t duration)
{
	struct timespec time = {duration / WEFT_SEC, duration % WEFT_SEC};
	EXPECT_EQ(0, syscall(SYS_nanosleep, &time, nullptr)) << strerror(errno);
}

/* Detects a stall that nobody looks after: a fiber that sleeps for 1 ms again and again. */
class Ticker
{
public:
	Ticker()
		: fiber_(spawn([this] {
			  while (!stop_) {
				  EXPECT_EQ(0, weft_sleep(WEFT_MS));
				  gaps.step();
			  }
		  }))
	{
	}
	void end()
	{
		stop_ = true;
		support::join(fiber_);
	}
	Gaps gaps{"ticker"};

private:
	std::atomic<bool> stop_{false};
	weft_fiber *fiber_;
};

} // namespace

TEST_P(Crowds, TwentyHogsAtOnce)
{
	constexpr int HOGS = 20;
	Stall stall;
	Noise noise;
	Runtime runtime(GetParam());
	Crowd crowd(runtime.get());
	runtime.run([&] {
		std::vector<weft_fiber *> hogs;
		std::atomic<int> inside{0};
		crowd.start();
		weft_sleep(50 * WEFT_MS);
		stall.from = weft_now();
		for (int i = 0; i < HOGS; i++)
			hogs.push_back(spawn([&] {
				inside++;
				nap(500 * WEFT_MS);
				EXPECT_TRUE(eventually([&] { return inside == HOGS; }))
					<< "not all hogs ran at once";
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
			}));
		for (weft_fiber *hog : hogs)
			support::join(hog);
		stall.to = weft_now();
		weft_sleep(150 * WEFT_MS);
		crowd.end();
		EXPECT_LT(stall.to - stall.from, (sanitized ? 10 : 3) * WEFT_SEC);
	});
	noise.end();
	runtime.stop();
	/* While the hogs arrive each wave of them has to be found out. */
	Bounds bounds = Bounds::of(noise, stall);
	bounds.p99 *= 4;
	bounds.most *= 3;
	for (const Gaps &gaps : crowd.gaps())
		expect_going_on(gaps, stall, bounds);
}

/* There is always one. */
TEST_P(Crowds, OneAfterAnother)
{
	Stall stall;
	Noise noise;
	Runtime runtime(GetParam());
	Crowd crowd(runtime.get());
	runtime.run([&] {
		crowd.start();
		weft_sleep(50 * WEFT_MS);
		stall.from = weft_now();
		for (int i = 0; i < 6; i++) {
			weft_fiber *hog = spawn([] { nap(200 * WEFT_MS); });
			EXPECT_EQ(0, support::join(hog));
		}
		stall.to = weft_now();
		EXPECT_LT(stall.to - stall.from, (sanitized ? 20 : 6) * WEFT_SEC);
		weft_sleep(150 * WEFT_MS);
		crowd.end();
	});
	noise.end();
	runtime.stop();
	Bounds bounds = Bounds::of(noise, stall);
	for (const Gaps &gaps : crowd.gaps())
		expect_going_on(gaps, stall, bounds);
}

TEST_P(Crowds, ThreadsThatStoodInLeave)
{
	Runtime runtime(GetParam());
	runtime.run([&] {
		Ticker ticker;
		std::vector<weft_fiber *> hogs;
		std::atomic<bool> counted{false};
		for (int i = 0; i < 8; i++)
			hogs.push_back(spawn([&counted] {
				nap(150 * WEFT_MS);
				EXPECT_TRUE(eventually([&counted] { return counted.load(); }));
			}));
		weft_sleep(100 * WEFT_MS);
		EXPECT_TRUE(soon([] { return spare_count() > 0; }));
		EXPECT_LE(spare_count(), 64 + 8); /* WF_SPARES_MAX */
		counted = true;
		for (weft_fiber *hog : hogs)
			support::join(hog);
		ticker.end();
	});
	EXPECT_TRUE(eventually([] { return spare_count() == 0; })) << spare_count() << " threads";
	runtime.run([] { /* and what has become of the runtime still works */
		weft_fiber *child = spawn([] { return weft_sleep(WEFT_MS) + 5; });
		EXPECT_EQ(5, support::join(child));
	});
}

/* A pinned fiber waits for its worker, however long; nothing else runs it. */
TEST_P(Crowds, PinnedFibersKeepTheirThread)
{
	Runtime runtime(GetParam());
	runtime.run([] {
		constexpr int PINNED = 12;
		std::atomic<bool> stop{false};
		std::vector<weft_fiber *> fibers;
		weft_attr attr{"pinned", 0, WEFT_PINNED};
		for (int i = 0; i < PINNED; i++)
			fibers.push_back(spawn(
				[&stop] {
					int mine = static_cast<int>(syscall(SYS_gettid));
					unsigned worker = weft_worker_index();
					int moved = 0;
					for (int round = 0; !stop; round++) {
						if (round % 2 == 0)
							weft_yield();
						else
							weft_sleep(WEFT_MS);
						moved += mine != syscall(SYS_gettid);
						moved += worker != weft_worker_index();
					}
					return moved;
				},
				attr));
		for (int i = 0; i < 4; i++) {
			/* Of both kinds: a hog that moves, and one that is pinned itself. */
			weft_fiber *hog =
				spawn([] { nap(40 * WEFT_MS); }, i % 2 == 0 ? weft_attr{} : attr);
			weft_sleep(10 * WEFT_MS);
			support::join(hog);
		}
		stop = true;
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, support::join(fiber));
	});
}

/* Pinned fibers that nobody has started go to a worker, not to a thread that leaves. */
TEST_P(Crowds, PinnedFibersSpawnedBesideAHog)
{
	Runtime runtime(GetParam());
	runtime.run([] {
		std::atomic<bool> spawned{false};
		weft_fiber *hog = spawn([&spawned] {
			EXPECT_TRUE(eventually([&spawned] { return spawned.load(); }));
			nap(80 * WEFT_MS);
		});
		weft_sleep(20 * WEFT_MS);
		std::vector<weft_fiber *> fibers;
		weft_attr attr{"pinned", 0, WEFT_PINNED};
		for (int i = 0; i < 16; i++)
			fibers.push_back(spawn(
				[] {
					int mine = static_cast<int>(syscall(SYS_gettid));
					EXPECT_LT(weft_worker_index(), weft_workers());
					weft_sleep(300 * WEFT_MS);
					return mine != syscall(SYS_gettid);
				},
				attr));
		spawned = true;
		support::join(hog);
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, support::join(fiber));
	});
}

/* They belong to the worker that takes them first: another may be stuck just because its fiber waits for this one. */
TEST_P(Crowds, APinnedFiberIsNotBoundToWhoWaitsForIt)
{
	const unsigned rounds = sanitized ? 5 : 20;
	Runtime runtime(GetParam());
	for (unsigned round = 0; round < rounds && GetParam().workers > 1; round++)
		runtime.run([] {
			std::atomic<unsigned> here{0};
			std::atomic<bool> ran{false};
			std::vector<weft_fiber *> hogs;
			for (unsigned i = 1; i < weft_workers(); i++)
				hogs.push_back(spawn([&here, &ran] {
					here++;
					EXPECT_TRUE(eventually([&ran] { return ran.load(); }));
				}));
			while (here < weft_workers() - 1)
				sched_yield(); /* each of them has a worker, and this fiber the last */
			weft_attr attr{"pinned", 0, WEFT_PINNED};
			weft_fiber *pinned = spawn([&ran] { ran = true; }, attr);
			nap(50 * WEFT_MS); /* only threads that stand in could start it */
			support::join(pinned);
			for (weft_fiber *hog : hogs)
				support::join(hog);
		});
}

/* weft_stop waits for the hog, and ends. */
TEST_P(Crowds, StoppedWhileAWorkerIsStuck)
{
	for (int stuck_for : {5, 60, 250}) {
		Runtime runtime(GetParam());
		std::atomic<bool> began{false}, ended{false};
		std::atomic<int> cancelled{0};
		for (int i = 0; i < 20; i++)
			runtime.submit([&] {
				EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_FOREVER));
				cancelled++;
			});
		runtime.submit([&, stuck_for] {
			weft_sleep(5 * WEFT_MS);
			began = true;
			nap(stuck_for * WEFT_MS);
			EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_FOREVER));
			ended = true;
		});
		while (!began)
			usleep(500);
		usleep(static_cast<useconds_t>(stuck_for) * 500);
		runtime.stop();
		EXPECT_TRUE(ended);
		EXPECT_EQ(20, cancelled);
	}
}

/* The stress: short stalls everywhere, just long enough to be found out, with all that moves meanwhile. */
TEST_P(Crowds, AThousandShortHogs)
{
	constexpr int FIBERS = 50;
	/* One worker's stalls are found out one after another: ten milliseconds each. */
	const int rounds = static_cast<int>(support::times(20, 4)) / (GetParam().workers == 1 ? 4 : 1);
	Runtime runtime(GetParam());
	runtime.run([&] {
		weft_chan *chan = nullptr;
		EXPECT_EQ(0, weft_chan_new(&chan, sizeof(long), 0));
		std::vector<weft_fiber *> fibers;
		std::atomic<long> done{0};
		weft_mutex lock WEFT_MUTEX_INIT;
		long under_lock = 0;
		for (int i = 0; i < FIBERS; i++)
			fibers.push_back(spawn([&, i] {
				for (int round = 0; round < rounds; round++) {
					long value = i * 1000 + round;
					weft_mutex_lock(&lock);
					under_lock++;
					weft_mutex_unlock(&lock);
					weft_fiber *child = spawn([value] {
						weft_yield();
						return value * 2;
					});
					nap(12 * WEFT_MS);
					EXPECT_EQ(value * 2, support::join(child));
					EXPECT_EQ(0, weft_chan_send(chan, &value));
					EXPECT_EQ(0, weft_sleep(100 * WEFT_US * (i % 5)));
					done++;
				}
			}));
		std::vector<long> seen(FIBERS, 0);
		for (int n = 0; n < FIBERS * rounds; n++) {
			long value = -1;
			EXPECT_EQ(0, weft_chan_recv(chan, &value));
			EXPECT_EQ(seen[static_cast<size_t>(value / 1000)], value % 1000);
			seen[static_cast<size_t>(value / 1000)]++;
		}
		for (weft_fiber *fiber : fibers)
			support::join(fiber);
		EXPECT_EQ(FIBERS * rounds, done.load());
		EXPECT_EQ(FIBERS * rounds, under_lock);
		weft_chan_free(chan);
	});
}

/* A runtime of its own beside it, whose fibers talk to those of the stuck one. */
TEST_P(Crowds, AnotherRuntimeIsServed)
{
	Stall stall;
	Noise noise;
	Runtime stuck_one(GetParam()), other({GetParam().engine, 1});
	weft_chan *there = nullptr, *back = nullptr;
	EXPECT_EQ(0, weft_chan_new(&there, sizeof(int), 0));
	EXPECT_EQ(0, weft_chan_new(&back, sizeof(int), 0));
	Gaps gaps("partners of two runtimes");
	std::atomic<bool> stop{false}, ended{false};
	other.submit([&] {
		for (int value = 0, got; !stop; value++) {
			EXPECT_EQ(0, weft_chan_send(there, &value));
			EXPECT_EQ(0, weft_chan_recv(back, &got));
			EXPECT_EQ(value, got);
			gaps.step();
			weft_sleep(WEFT_MS);
		}
		weft_chan_close(there);
	});
	stuck_one.submit([&] {
		for (int value; weft_chan_recv(there, &value) == 0;)
			EXPECT_EQ(0, weft_chan_send(back, &value));
		ended = true;
	});
	stuck_one.run([&] {
		weft_sleep(50 * WEFT_MS);
		stall.from = weft_now();
		std::vector<weft_fiber *> hogs;
		for (unsigned i = 0; i < GetParam().workers; i++)
			hogs.push_back(spawn([] { nap(500 * WEFT_MS); }));
		for (weft_fiber *hog : hogs)
			support::join(hog);
		stall.to = weft_now();
		weft_sleep(150 * WEFT_MS);
	});
	stop = true;
	EXPECT_TRUE(eventually([&] { return ended.load(); }));
	stuck_one.stop();
	other.stop();
	noise.end();
	weft_chan_free(there);
	weft_chan_free(back);
	expect_going_on(gaps, stall, Bounds::of(noise, stall));
}

TEST_P(Crowds, NobodyStandsInWhereRescueIsOff)
{
	Runtime runtime(GetParam(), WEFT_RESCUE_OFF);
	std::atomic<bool> ended{false};
	std::atomic<int> ticks{0};
	runtime.run([&] {
		std::vector<weft_fiber *> hogs;
		Gathering gathering(static_cast<int>(GetParam().workers));
		std::atomic<int> at_begin{-1}, at_end{-1};
		weft_fiber *ticker = spawn([&] {
			while (!ended) {
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				ticks++;
			}
		});
		long spares = spare_count(); /* of the test before, which the kernel has not quite ended */
		weft_sleep(10 * WEFT_MS);
		for (unsigned i = 0; i < GetParam().workers; i++)
			hogs.push_back(spawn([&] {
				EXPECT_TRUE(gathering.arrive());
				at_begin = ticks.load();
				nap(100 * WEFT_MS);
				int none = -1;
				at_end.compare_exchange_strong(none, ticks);
				EXPECT_LE(spare_count(), spares);
			}));
		for (weft_fiber *hog : hogs)
			support::join(hog);
		EXPECT_LE(at_end - at_begin, 1);
		weft_sleep(10 * WEFT_MS);
		ended = true;
		support::join(ticker);
		EXPECT_GT(ticks.load(), at_end.load());
	});
}

INSTANTIATE_TEST_SUITE_P(OnMachines, Crowds, testing::ValuesIn(machines({1, 2, 4})), name_of);
