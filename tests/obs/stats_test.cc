/* SPDX-License-Identifier: MIT */
/* stats_test.cc - the counters
 *
 * Law  totals are the sums of the workers' rows; counters only grow; spawned = ended + live.
 * Law  what a program does is counted: each spawn, end, yield and park once.
 */
#include <algorithm>
#include <atomic>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Stats : public Workers
{
};
FOR_WORKERS(Stats);

static void *nap(void *)
{
	weft_sleep(WEFT_FOREVER);
	return nullptr;
}

TEST_P(Stats, CountWhatHappens)
{
	run_virtual(GetParam(), [] {
		weft_stats before{}, after{};
		weft_stats_get(nullptr, &before, nullptr, 0);
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 100; i++)
			fibers.push_back(spawn([] {
				for (int k = 0; k < 10; k++)
					weft_yield();
				weft_sleep(WEFT_MS);
				weft_sleep(WEFT_MS);
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		/* Ends and firings are counted a moment after whom they wake may run. */
		auto counted = [&] {
			weft_stats_get(nullptr, &after, nullptr, 0);
			return after.total.ended - before.total.ended == 100 &&
				after.total.timers_fired - before.total.timers_fired == 200;
		};
		EXPECT_TRUE(eventually(counted));
		EXPECT_EQ(100u, after.total.spawned - before.total.spawned);
		EXPECT_GE(after.total.yields - before.total.yields, 1000u);
		EXPECT_GE(after.total.parks - before.total.parks, 200u);
		EXPECT_GE(after.total.timers_armed - before.total.timers_armed, 200u);
		EXPECT_GE(after.total.runs - before.total.runs, 100u + 1000u + 200u);
		EXPECT_EQ(1u, after.fibers_live);
	});
}

TEST_P(Stats, TotalsAreTheSumsOfTheRows)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	long n = std::min(1000l, fibers_max);
	for (long i = 0; i < n; i++)
		ASSERT_EQ(0, weft_submit(rt, nap, nullptr));
	weft_stats stats{};
	std::vector<weft_worker_stats> rows(GetParam());
	EXPECT_TRUE(eventually([&] {
		EXPECT_EQ(static_cast<int>(GetParam()),
			weft_stats_get(rt, &stats, rows.data(), GetParam()));
		return stats.total.parks == static_cast<uint64_t>(n);
	})) << stats.total.parks;
	uint64_t parks = 0, runs = 0, timers = 0;
	for (const weft_worker_stats &row : rows) {
		parks += row.parks;
		runs += row.runs;
		timers += row.timers_armed;
	}
	EXPECT_EQ(stats.total.parks, parks);
	EXPECT_EQ(stats.total.runs, runs);
	EXPECT_EQ(stats.total.timers_armed, timers);
	EXPECT_EQ(static_cast<uint64_t>(n), stats.total.spawned) << "submitted ones included";
	EXPECT_EQ(stats.total.spawned, stats.total.ended + stats.fibers_live);
	EXPECT_EQ(GetParam(), stats.workers);
	EXPECT_TRUE(stats.engine == WEFT_ENGINE_URING || stats.engine == WEFT_ENGINE_EPOLL);
	EXPECT_EQ(stats.engine == WEFT_ENGINE_URING, stats.ring_mode[0] != '\0');
	EXPECT_GE(stats.stacks_mapped, static_cast<uint64_t>(n));
	EXPECT_GT(stats.stack_bytes_mapped, stats.stacks_mapped * 65536);
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Stats, CountersOnlyGrowWhileEverythingRuns)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	static std::atomic<bool> done;
	done = false;
	auto busy = [](void *) -> void * {
		while (!done) {
			weft_fiber *child = nullptr;
			auto nothing = [](void *arg) { return arg; };
			if (weft_spawn(&child, nothing, nullptr) == 0)
				weft_join(child, nullptr);
			weft_yield();
		}
		return nullptr;
	};
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, weft_submit(rt, busy, nullptr));
	constexpr size_t counters = sizeof(weft_worker_stats) / sizeof(uint64_t);
	uint64_t last[counters] = {}, now[counters];
	for (long round = 0; round < times(20000, 1000); round++) {
		weft_stats stats{};
		weft_stats_get(rt, &stats, nullptr, 0);
		memcpy(now, &stats.total, sizeof(now));
		for (size_t i = 0; i < counters; i++)
			ASSERT_LE(last[i], now[i]) << "counter " << i;
		ASSERT_LE(stats.fibers_live, stats.total.spawned) << "not below zero";
		memcpy(last, now, sizeof(last));
	}
	done = true;
	EXPECT_EQ(0, weft_stop(rt));
}

TEST_P(Stats, Arguments)
{
	EXPECT_EQ(-EPERM, weft_stats_get(nullptr, nullptr, nullptr, 0));
	run(GetParam(), [] {
		weft_worker_stats rows[9];
		memset(rows, 0xff, sizeof(rows));
		int workers = static_cast<int>(weft_workers());
		EXPECT_EQ(-EINVAL, weft_stats_get(nullptr, nullptr, nullptr, 1));
		EXPECT_EQ(workers, weft_stats_get(nullptr, nullptr, nullptr, 0));
		EXPECT_EQ(workers, weft_stats_get(nullptr, nullptr, rows, 1));
		EXPECT_NE(UINT64_MAX, rows[0].runs);
		EXPECT_EQ(UINT64_MAX, rows[1].runs) << "no more rows than asked for";
		EXPECT_EQ(workers, weft_stats_get(nullptr, nullptr, rows, 9));
		EXPECT_EQ(UINT64_MAX, rows[8].runs) << "nor more than there are";
	});
}
