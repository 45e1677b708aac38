/* SPDX-License-Identifier: MIT */
/* select_instant_test.cc - a select looks at all its cases at one instant
 *
 * Law  where at every moment at least one case is ready, a select with deadline 0 never returns -EAGAIN, and
 *      one with a deadline that has passed never returns -ETIMEDOUT.
 *
 * How "at every moment" is made: one token more than there are selectors lies in the channels or in somebody's
 * hand. A selector has at most one in hand, and none while it selects; the mover has at most one in hand. So
 * while one selects, the others and the mover hold as many tokens as there are selectors at most, and one is
 * always in some channel. The mover puts its token where the selector has looked already, and then takes the
 * one from where it is about to look.
 */
#include <atomic>
#include <memory>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

/* Tokens are elements to receive, or room to send into. */
enum class Token { ELEMENT, ROOM };

class Field
{
	const Token kind;
	const size_t tokens;
	std::vector<std::unique_ptr<Chan<int>>> chans;
	std::atomic<bool> done{false};
	std::atomic<int> none{0};
	std::atomic<long> moves{0};

	bool try_take(size_t place)
	{
		int value = 1;
		return (kind == Token::ELEMENT ? chans[place]->try_recv(&value)
					       : chans[place]->try_send(value)) == 0;
	}
	void give(size_t place)
	{
		int value = 1;
		EXPECT_EQ(0,
			kind == Token::ELEMENT ? chans[place]->try_send(value)
					       : chans[place]->try_recv(&value));
	}

public:
	Field(Token what, size_t channels, size_t selectors) : kind(what), tokens(selectors + 1)
	{
		/* All channels can hold all tokens; the first one does. */
		for (size_t i = 0; i < channels; i++) {
			chans.push_back(std::make_unique<Chan<int>>(tokens));
			if (kind == Token::ROOM)
				for (size_t k = 0; k < tokens; k++)
					chans[i]->put(1);
		}
		for (size_t k = 0; k < tokens; k++)
			give(0);
	}

	/* Moves a token to where there is none, always giving before it takes. */
	void move(const std::function<void()> &pause)
	{
		size_t here = 0, next = 1;
		while (!try_take(here))
			pause();
		for (; !done; moves++) {
			give(next);
			/* Where the others have left theirs is not known: look until one is found. */
			here = (next + 1) % chans.size();
			while (!try_take(here)) {
				here = (here + 1) % chans.size();
				if (here == next)
					pause();
			}
			next = here == next ? (next + 1) % chans.size() : here;
			if (moves % 8 == 0)
				pause();
		}
		give(0);
	}

	/* Until so many rounds, or a select that found nothing. */
	void select(long rounds, weft_ns end, const std::function<void()> &pause)
	{
		std::vector<weft_case> cases;
		int value = 1;
		for (auto &chan : chans)
			cases.push_back(kind == Token::ELEMENT ? recv_case(*chan, &value)
							       : send_case(*chan, &value));
		for (long i = 0; i < rounds && none == 0 && weft_now() < end; i++) {
			int index = weft_select(cases.data(), cases.size(), i % 4 == 0 ? 1 : 0);
			if (index < 0) {
				EXPECT_EQ(i % 4 == 0 ? -ETIMEDOUT : -EAGAIN, index);
				none++;
				continue;
			}
			if (i % 64 == 0)
				pause();
			give(static_cast<size_t>(index));
		}
	}

	void stop()
	{
		done = true;
	}

	void check()
	{
		EXPECT_EQ(0, none.load()) << "there was always one, yet a select saw none";
		size_t found = 0;
		for (auto &chan : chans)
			found += kind == Token::ELEMENT ? chan->len() : tokens - chan->len();
		EXPECT_EQ(tokens, found) << "none lost, none doubled";
	}
};

class SelectInstant : public Workers
{
};
FOR_WORKERS(SelectInstant);

static void with_fibers(Token kind, size_t channels, size_t selectors)
{
	Field field(kind, channels, selectors);
	weft_ns end = weft_after(WEFT_SEC);
	std::vector<weft_fiber *> fibers;
	weft_fiber *mover = spawn([&] { field.move(weft_yield); });
	for (size_t i = 0; i < selectors; i++)
		fibers.push_back(spawn([&] { field.select(times(100000, 10000), end, weft_yield); }));
	join_all(fibers);
	field.stop();
	join(mover);
	field.check();
}

TEST_P(SelectInstant, SeesElementsThatMove)
{
	run(GetParam(), [] {
		with_fibers(Token::ELEMENT, 2, 1);
		with_fibers(Token::ELEMENT, 3, 3);
		with_fibers(Token::ELEMENT, 7, 2);
	});
}

TEST_P(SelectInstant, SeesRoomThatMoves)
{
	run(GetParam(), [] {
		with_fibers(Token::ROOM, 2, 1);
		with_fibers(Token::ROOM, 3, 3);
		with_fibers(Token::ROOM, 7, 2);
	});
}

TEST(SelectInstantOffAFiber, ThreadsSeeTokensThatMove)
{
	for (Token kind : {Token::ELEMENT, Token::ROOM})
		for (size_t channels : {2, 6}) {
			Field field(kind, channels, 2);
			weft_ns end = weft_after(WEFT_SEC);
			Threads selectors, mover;
			mover.start([&] { field.move(std::this_thread::yield); });
			for (int i = 0; i < 2; i++)
				selectors.start([&] {
					field.select(times(100000, 10000), end, std::this_thread::yield);
				});
			selectors.join();
			field.stop();
			mover.join();
			field.check();
		}
}
