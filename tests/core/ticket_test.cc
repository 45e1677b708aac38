/* SPDX-License-Identifier: MIT */
/* ticket_test.cc - the wake ticket
 *
 * Law  of any number of wakers of one park exactly one wins, and exactly one of winner and committer makes the fiber ready; a waker
 *      with the ticket of an older park never does. (All interleavings of small cases: tests/model.)
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/inside.h"
#include "tests/core/support.h"

using namespace support;

TEST(Ticket, WakeAfterThePark)
{
	uint64_t word = 0;
	bool push = true;
	uint64_t ticket = inside_ticket_begin(&word);
	EXPECT_TRUE(inside_ticket_commit(&word, ticket, &push));
	EXPECT_FALSE(push);
	EXPECT_TRUE(inside_ticket_win(&word, ticket));
	EXPECT_FALSE(inside_ticket_win(&word, ticket));
	EXPECT_TRUE(inside_ticket_done(&word, ticket));
	EXPECT_FALSE(inside_ticket_win(&word, ticket));
}

TEST(Ticket, WakeBeforeThePark)
{
	uint64_t word = 0;
	bool push = false;
	uint64_t ticket = inside_ticket_begin(&word);
	EXPECT_TRUE(inside_ticket_win(&word, ticket));
	EXPECT_FALSE(inside_ticket_done(&word, ticket)) << "the committer pushes: it has not finished";
	EXPECT_FALSE(inside_ticket_commit(&word, ticket, &push));
	EXPECT_TRUE(push);
}

TEST(Ticket, CommitBetweenWinAndDone)
{
	uint64_t word = 0;
	bool push = true;
	uint64_t ticket = inside_ticket_begin(&word);
	EXPECT_TRUE(inside_ticket_win(&word, ticket));
	EXPECT_FALSE(inside_ticket_commit(&word, ticket, &push));
	EXPECT_FALSE(push) << "the winner does";
	EXPECT_TRUE(inside_ticket_done(&word, ticket));
}

TEST(Ticket, AStaleOneNeverWins)
{
	uint64_t word = 0;
	bool push;
	uint64_t old = inside_ticket_begin(&word);
	inside_ticket_commit(&word, old, &push);
	EXPECT_TRUE(inside_ticket_win(&word, old));
	EXPECT_TRUE(inside_ticket_done(&word, old));
	inside_ticket_run(&word);
	EXPECT_FALSE(inside_ticket_win(&word, old));
	uint64_t now = inside_ticket_begin(&word);
	EXPECT_NE(old, now);
	EXPECT_FALSE(inside_ticket_win(&word, old));
	inside_ticket_commit(&word, now, &push);
	EXPECT_FALSE(inside_ticket_win(&word, old));
	EXPECT_TRUE(inside_ticket_win(&word, now));
}

TEST(Ticket, OneWinnerAndOnePushAPark)
{
	static uint64_t word;
	static std::atomic<uint64_t> published;
	static std::atomic<long> wins, pushes;
	word = 0;
	published = 0;
	wins = pushes = 0;
	std::atomic<bool> done{false};
	std::vector<std::thread> wakers;
	for (int t = 0; t < 2; t++)
		wakers.emplace_back([&done] {
			while (!done) {
				uint64_t ticket = published;
				if (ticket == 0 || !inside_ticket_win(&word, ticket)) {
					std::this_thread::yield();
					continue;
				}
				wins++;
				if (inside_ticket_done(&word, ticket))
					pushes++;
			}
		});
	weft_ns end = weft_after(2 * WEFT_SEC);
	for (long i = 1; i <= times(100000, 10000) && weft_now() < end; i++) {
		bool push = false;
		uint64_t ticket = inside_ticket_begin(&word);
		published = ticket; /* what a commit function does */
		inside_ticket_commit(&word, ticket, &push);
		if (push)
			pushes++;
		while (pushes < i)
			std::this_thread::yield();
		ASSERT_EQ(i, pushes.load());
		ASSERT_EQ(i, wins.load());
		inside_ticket_run(&word);
	}
	done = true;
	for (std::thread &waker : wakers)
		waker.join();
}
