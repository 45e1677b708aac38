/* SPDX-License-Identifier: MIT */
/* hist_test.cc - percentiles to three digits over nine decades (rules H2 and H3 of hist.h)
 *
 * Law  a percentile is at least the true one and at most a thousandth above it.
 */
#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

extern "C" {
#include "tools/load/hist.h"
}

namespace
{

constexpr uint64_t kMinute = UINT64_C(60000000000);

struct Hist {
	explicit Hist(uint64_t max = kMinute)
	{
		EXPECT_EQ(hist_init(&hist, max), 0);
	}
	~Hist()
	{
		hist_free(&hist);
	}
	Hist(const Hist &) = delete;
	Hist &operator=(const Hist &) = delete;
	struct hist hist;
};

void ExpectClose(uint64_t told, uint64_t truth)
{
	EXPECT_GE(told, truth);
	EXPECT_LE(static_cast<double>(told), static_cast<double>(truth) * 1.001);
}

TEST(Hist, EmptyTellsNothing)
{
	Hist h;

	EXPECT_EQ(hist_percentile(&h.hist, 500000), 0u);
	EXPECT_EQ(hist_mean(&h.hist), 0.0);
	EXPECT_EQ(h.hist.min, UINT64_MAX);
}

TEST(Hist, OneValueIsToldExactly)
{
	for (uint64_t value : {UINT64_C(0), UINT64_C(1), UINT64_C(1023), UINT64_C(2047),
		     UINT64_C(2048), UINT64_C(123456789), kMinute}) {
		Hist h;

		hist_record(&h.hist, value);
		for (uint32_t share : {1u, 500000u, 999999u, 1000000u})
			EXPECT_EQ(hist_percentile(&h.hist, share), value);
		EXPECT_EQ(h.hist.min, value);
		EXPECT_EQ(h.hist.max, value);
		EXPECT_EQ(h.hist.clipped, 0u);
	}
}

TEST(Hist, PercentilesOfManyValues)
{
	Hist h;
	std::mt19937_64 random(7);
	std::vector<uint64_t> values;

	for (int i = 0; i < 100000; i++) { /* every decade is as likely as any other */
		values.push_back(static_cast<uint64_t>(
			std::exp(std::uniform_real_distribution<>(0, std::log(5e10))(random))));
		hist_record(&h.hist, values.back());
	}
	std::sort(values.begin(), values.end());
	for (uint32_t share :
		{1u, 10000u, 100000u, 500000u, 900000u, 990000u, 999000u, 999900u, 1000000u}) {
		const size_t rank = (values.size() * share + 999999) / 1000000;

		ExpectClose(hist_percentile(&h.hist, share), values[rank - 1]);
	}
	EXPECT_EQ(h.hist.min, values.front());
	EXPECT_EQ(h.hist.max, values.back());
	EXPECT_EQ(hist_between(&h.hist, 0, kMinute), values.size());
}

TEST(Hist, BetweenCountsWholeDoublings)
{
	Hist h;

	for (uint64_t value = 0; value < 8192; value++)
		hist_record(&h.hist, value);
	EXPECT_EQ(hist_between(&h.hist, 0, 1023), 1024u);
	EXPECT_EQ(hist_between(&h.hist, 1024, 2047), 1024u);
	EXPECT_EQ(hist_between(&h.hist, 4096, 8191), 4096u);
	EXPECT_EQ(hist_between(&h.hist, 8192, UINT64_MAX), 0u);
}

TEST(Hist, AboveTheMaximumIsClippedAndSaid)
{
	Hist h(1000000);

	hist_record(&h.hist, 5);
	hist_record(&h.hist, UINT64_C(1) << 62);
	EXPECT_EQ(h.hist.clipped, 1u);
	EXPECT_EQ(h.hist.max, UINT64_C(1) << 62);
	EXPECT_EQ(h.hist.total, 2u);
	EXPECT_GE(hist_percentile(&h.hist, 1000000), 1000000u);
}

TEST(Hist, MergeAddsUp)
{
	Hist a, b;

	for (uint64_t value = 1; value <= 1000; value++)
		hist_record(value % 2 ? &a.hist : &b.hist, value * 1000);
	hist_merge(&a.hist, &b.hist);
	EXPECT_EQ(a.hist.total, 1000u);
	EXPECT_EQ(a.hist.min, 1000u);
	EXPECT_EQ(a.hist.max, 1000000u);
	EXPECT_NEAR(hist_mean(&a.hist), 500500.0, 0.1);
	ExpectClose(hist_percentile(&a.hist, 500000), 500000);
}

TEST(Hist, ThreadsMayShareOne)
{
	Hist h;
	std::vector<std::thread> threads;

	for (uint64_t t = 0; t < 4; t++)
		threads.emplace_back([&h, t] {
			for (uint64_t i = 0; i < 10000; i++)
				hist_record(&h.hist, t * 10000 + i);
		});
	for (auto &thread : threads)
		thread.join();
	EXPECT_EQ(h.hist.total, 40000u);
	EXPECT_EQ(h.hist.min, 0u);
	EXPECT_EQ(h.hist.max, 39999u);
	EXPECT_EQ(hist_between(&h.hist, 0, kMinute), 40000u);
}

} // namespace
