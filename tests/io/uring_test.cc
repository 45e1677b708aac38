/* SPDX-License-Identifier: MIT */
/* uring_test.cc - the io_uring engine at its bounds
 *
 * Law  the ring mode that was forced is the one in force; every call of one tick shares a system call.
 * Law  8: a full submission ring makes operations wait their turn, a full completion ring makes the kernel
 *      keep them; both are counted, and nothing is lost.
 * Law  an io_uring_enter that fails or takes nothing strands no operation.
 */
#include "tests/io/support.h"

#include <atomic>

#include <poll.h>

using namespace io_test;

namespace
{

/* Rings are what these tests are about. */
#define NEEDS_RINGS()                                                                              \
	do                                                                                         \
		if (on_epoll())                                                                    \
			GTEST_SKIP() << "runtimes use epoll here";                                 \
	while (0)

weft_worker_stats totals()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats.total;
}

class Uring : public Rings
{
};
IN_EVERY_SETUP(Uring);

TEST_P(Uring, ForcedModeIsInForce)
{
	NEEDS_RINGS();
	run([] {
		weft_stats stats;
		weft_stats_get(nullptr, &stats, nullptr, 0);
		EXPECT_EQ(WEFT_ENGINE_URING, weft_engine());
		EXPECT_EQ(WEFT_ENGINE_URING, stats.engine);
		unsigned ring = GetParam().ring;
		EXPECT_STREQ(ring == WEFT_RING_DEFER	 ? "defer"
				: ring == WEFT_RING_COOP ? "coop"
							 : "plain",
			stats.ring_mode);
	});
}

/* A round trip between `pairs` clients and as many servers. */
void echo(int pairs, int messages)
{
	Fibers fibers;
	std::atomic<int> answered{0};
	for (int p = 0; p < pairs; p++) {
		Pair pair = connect_pair(Link::UNIX);
		spawn_into(fibers, [pair] {
			char byte;
			while (weft_recv(pair.in, &byte, 1, 0) == 1)
				EXPECT_EQ(1, weft_send(pair.in, &byte, 1, 0));
			EXPECT_EQ(0, weft_close(pair.in));
		});
		spawn_into(fibers, [pair, messages, &answered] {
			for (int i = 0; i < messages; i++) {
				char byte = static_cast<char>(i);
				EXPECT_EQ(1, weft_send(pair.out, &byte, 1, 0));
				EXPECT_EQ(1, weft_recv(pair.out, &byte, 1, 0));
				EXPECT_EQ(static_cast<char>(i), byte);
				answered++;
			}
			EXPECT_EQ(0, weft_close(pair.out));
		});
	}
	fibers.clear();
	EXPECT_EQ(pairs * messages, answered);
}

TEST(UringBatch, SixtyFourEchoFibersShareTheirSystemCalls)
{
	NEEDS_RINGS();
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		run(config_of({ring, 1}), [ring] {
			weft_worker_stats before = totals();
			echo(64, rounds(200, 50));
			weft_worker_stats after = totals();
			uint64_t ops = after.ops - before.ops, enters = after.enters - before.enters;
			EXPECT_GT(ops, 4 * enters) << ring_name(ring) << ": " << ops
						   << " operations in " << enters << " calls";
			EXPECT_EQ(after.ops, after.completions);
		});
}

/* Rings far too small for what is asked of them. */
class TinyRing : public testing::TestWithParam<unsigned>
{
public:
	static weft_config config(unsigned ring, unsigned workers)
	{
		weft_config config{};
		config.workers = workers;
		config.flags = ring;
		config.ring_entries = GetParam();
		return config;
	}
};
INSTANTIATE_TEST_SUITE_P(
	Entries, TinyRing, testing::Values(1u, 2u, 4u), testing::PrintToStringParamName());

TEST_P(TinyRing, TenThousandReadersLoseNothing)
{
	NEEDS_RINGS();
	static constexpr int READERS = rounds(10000, 1500);
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		run(config(ring, 2), [] {
			Pair pair = connect_pair(Link::PIPE);
			std::atomic<int> got{0};
			Fibers readers;
			for (int i = 0; i < READERS; i++)
				spawn_into(readers, [&] {
					char byte;
					if (weft_read(pair.in, &byte, 1) == 1)
						got++;
				});
			std::vector<char> data(READERS);
			EXPECT_EQ(READERS, weft_write_full(pair.out, data.data(), data.size()));
			readers.clear();
			EXPECT_EQ(READERS, got);
			EXPECT_GT(totals().sq_full, 0u);
			close_pair(pair);
		});
}

TEST_P(TinyRing, EchoOnEveryWorkerCount)
{
	NEEDS_RINGS();
	for (unsigned workers : {1u, 2u, 4u})
		run(config(WEFT_RING_DEFER, workers), [] { echo(32, rounds(50, 10)); });
}

/* All of them become ready at one instant, four times as many as the completion ring holds at best. */
TEST_P(TinyRing, CompletionRingOverflowLosesNothing)
{
	NEEDS_RINGS();
	static constexpr int READERS = rounds(5000, 1000);
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		run(config(ring, 1), [ring] {
			Pair pair = connect_pair(Link::PIPE);
			std::atomic<int> ended{0};
			Fibers fibers;
			for (int i = 0; i < READERS; i++)
				spawn_into(fibers, [&, i] {
					char byte;
					if (i % 2) {
						EXPECT_EQ(0, weft_read(pair.in, &byte, 1));
					} else {
						EXPECT_EQ(POLLHUP, weft_poll(pair.in, POLLIN));
					}
					ended++;
				});
			EXPECT_TRUE(until_parked(READERS));
			EXPECT_EQ(0, close(pair.out)); /* end of file for all of them */
			fibers.clear();
			EXPECT_EQ(READERS, ended);
			EXPECT_GT(totals().cq_overflows, 0u) << ring_name(ring);
			EXPECT_EQ(0, weft_close(pair.in));
		});
}

/* Cancel requests find no room either. */
TEST_P(TinyRing, CancelsAndClosesFindTheirWay)
{
	NEEDS_RINGS();
	static constexpr int READERS = rounds(2000, 400);
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		for (bool by_close : {false, true})
			run(config(ring, 2), [by_close] {
				Pair pair = connect_pair(Link::PIPE);
				pair.in = lifted(pair.in);
				std::atomic<int> woken{0};
				Fibers readers;
				for (int i = 0; i < READERS; i++)
					spawn_into(readers, [&] {
						char byte;
						ssize_t n = weft_read(pair.in, &byte, 1);
						/* One that begins after the close finds no descriptor. */
						EXPECT_TRUE(n == -ECANCELED || n == -EBADF) << n;
						woken++;
					});
				/* Not waited for: many are still in the backlog. */
				if (by_close) {
					EXPECT_EQ(0, weft_close(pair.in));
				} else {
					for (auto &reader : readers)
						EXPECT_EQ(0, reader->cancel());
				}
				readers.clear();
				EXPECT_EQ(READERS, woken);
				if (!by_close) {
					EXPECT_EQ(0, weft_close(pair.in));
				}
				EXPECT_EQ(0, weft_close(pair.out));
			});
}

/* What strace plays its faults to; run by FaultyEnter only. */
TEST(Victim, DISABLED_Echo)
{
	NEEDS_RINGS();
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		for (unsigned workers : {1u, 2u})
			run(config_of({ring, workers}), [] {
				echo(4, 20);
				Pair pair = connect_pair(Link::PIPE);
				std::atomic<ssize_t> got{0};
				Fiber reader([&] {
					char byte;
					got = weft_read(pair.in, &byte, 1);
				});
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				EXPECT_EQ(0, reader.cancel());
				reader.join();
				EXPECT_EQ(-ECANCELED, got);
				close_pair(pair);
			});
}

TEST(FaultyEnter, StrandsNothing)
{
	NEEDS_RINGS();
	if (!can_trace())
		GTEST_SKIP() << "strace is not installed, or may not trace here";
	for (const char *fault : {"error=EBUSY:when=3+5", "error=EAGAIN:when=2+3",
		     "error=EINTR:when=2+2", "retval=0:when=3+4"})
		EXPECT_EQ(0, run_with_fault("io_uring_enter", fault, "Victim.DISABLED_Echo")) << fault;
}

} // namespace
