/* SPDX-License-Identifier: MIT */
/* gen_share_test.cc - generators between fibers, workers and plain threads
 *
 * Law  a body is on whoever resumes it: its identity, locals, cancellation, errno; what blocks in it parks that fiber alone.
 * Law  a suspended generator may be resumed by anybody, one at a time; who comes second gets -EBUSY, and no value is lost or doubled.
 * Law  a state, and a resumption, asked for in the middle of a chain that runs elsewhere are answered as if all were at one moment.
 */
#include <algorithm>
#include <deque>

#include "tests/seed/support.h"

using namespace seed;

static void *count_for_ever()
{
	for (intptr_t n = 1;; n++) {
		Step got = yield(num(n));
		if (got.code < 0)
			return reraise(got);
	}
}

/* A channel of generators. */
class Mailbox
{
public:
	explicit Mailbox(size_t capacity)
	{
		EXPECT_EQ(0, weft_chan_new(&chan_, sizeof(weft_gen *), capacity));
	}
	~Mailbox()
	{
		weft_chan_free(chan_);
	}
	void put(weft_gen *gen)
	{
		EXPECT_EQ(0, weft_chan_send(chan_, &gen));
	}
	/* NULL: closed. */
	weft_gen *take()
	{
		weft_gen *gen = nullptr;
		int error = weft_chan_recv(chan_, &gen);
		EXPECT_TRUE(error == 0 || error == -EPIPE) << error;
		return error == 0 ? gen : nullptr;
	}
	void close()
	{
		EXPECT_EQ(0, weft_chan_close(chan_));
	}

private:
	weft_chan *chan_ = nullptr;
};

TEST(GenShare, ABodyIsOnItsResumer)
{
	run_virtual(2, [] {
		weft_key key;
		ASSERT_EQ(0, weft_key_create(&key, nullptr));
		Gen gen([key]() -> void * {
			for (;;) {
				Step got = yield(weft_self());
				if (got.code < 0)
					return reraise(got);
				EXPECT_EQ(weft_self(), weft_get_local(key));
				EXPECT_EQ(0, weft_set_local(key, num(5)));
			}
		});
		for (int i = 0; i < 4; i++)
			elsewhere([&gen, key] {
				EXPECT_EQ(0, weft_set_local(key, weft_self()));
				EXPECT_EQ(yielded(weft_self()), next(gen));
				void *left = weft_get_local(key);
				EXPECT_TRUE(left == num(5) || left == weft_self());
			});
		EXPECT_EQ(0, weft_key_delete(key));
	});
}

TEST(GenShare, ABodyThatBlocksParksItsFiberAlone)
{
	run_virtual(1, [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		int ends[2];
		ASSERT_EQ(0, pipe(ends));
		weft_mutex_lock(&mutex);
		std::atomic<int> turns{0};
		weft_fiber *other = spawn([&] {
			Gen gen([&]() -> void * {
				EXPECT_EQ(0, weft_sleep(WEFT_SEC));
				if (yield(num(1)).code < 0)
					return nullptr;
				weft_mutex_lock(&mutex);
				EXPECT_EQ(0, weft_mutex_unlock(&mutex));
				if (yield(num(2)).code < 0)
					return nullptr;
				char byte = 0;
				EXPECT_EQ(1, weft_read(ends[0], &byte, 1));
				return num(byte);
			});
			weft_ns start = weft_now();
			EXPECT_EQ(yielded(num(1)), next(gen));
			EXPECT_EQ(start + WEFT_SEC, weft_now());
			EXPECT_EQ(10, turns.load());
			EXPECT_EQ(yielded(num(2)), next(gen));
			EXPECT_EQ(20, turns.load());
			EXPECT_EQ(done(num('x')), next(gen));
			EXPECT_EQ(30, turns.load());
		});
		auto take_turns = [&] {
			for (int i = 0; i < 10; i++, turns++)
				weft_yield();
		};
		take_turns();
		weft_sleep(2 * WEFT_SEC);
		take_turns();
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		for (int i = 0; i < 10; i++)
			weft_yield(); /* a sleep would wait for the read: virtual time stands still while it is in flight */
		take_turns();
		EXPECT_EQ(1, weft_write(ends[1], "x", 1));
		join(other);
		close(ends[0]);
		close(ends[1]);
	});
}

TEST(GenShare, CancellationAndDeadlinesAreTheResumers)
{
	run_virtual(1, [] {
		Gen gen([]() -> void * {
			for (;;) {
				int error = weft_sleep(10 * WEFT_SEC);
				Step got = yield(num(error));
				if (got.code < 0)
					return reraise(got);
			}
		});
		weft_fiber *victim = spawn([&gen] {
			EXPECT_EQ(yielded(num(-ECANCELED)), next(gen));
			EXPECT_EQ(1, weft_cancelled());
			EXPECT_EQ(yielded(num(-ECANCELED)), next(gen)) << "a level, not an event";
		});
		weft_sleep(WEFT_SEC);
		EXPECT_EQ(0, weft_cancel(victim));
		join(victim);
		EXPECT_EQ(yielded(nullptr), next(gen)) << "another resumer is not cancelled";
		weft_deadline(weft_after(WEFT_SEC));
		EXPECT_EQ(yielded(num(-ETIMEDOUT)), next(gen));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(yielded(nullptr), next(gen));
	});
}

TEST(GenShare, NothingLeaksWhenAScopeIsCancelledAroundThem)
{
	run_virtual(2, [] {
		weft_scope scope;
		ASSERT_EQ(0, weft_scope_open(&scope, weft_after(WEFT_SEC)));
		auto child = [](void *) {
			Gen sub([] {
				Live live;
				int error = weft_sleep(WEFT_FOREVER);
				return error < 0 ? weft_gen_raise(error, nullptr) : nullptr;
			});
			Gen waiting([] {
				Live live;
				return reraise(yield(num(1)));
			});
			Gen top([&sub] {
				Live live;
				return reraise(delegate(sub));
			});
			EXPECT_EQ(yielded(num(1)), next(waiting));
			return next(top).code;
		};
		for (int i = 0; i < 50; i++)
			EXPECT_EQ(0, weft_scope_spawn(&scope, child, nullptr));
		EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
		EXPECT_EQ(0, Live::count);
	});
}

/* errno as code that may go on elsewhere must use it. */
UNSEEN_BY_TSAN static int get_errno()
{
	__asm__ volatile("");
	return errno;
}

UNSEEN_BY_TSAN static void set_errno(int value)
{
	__asm__ volatile("");
	errno = value;
}

TEST(GenShare, ErrnoIsAsTheOtherSideLeavesIt)
{
	everywhere([] {
		weft_gen *gen = nullptr;
		set_errno(11);
		ASSERT_EQ(0,
			weft_gen_new(
				&gen,
				[](void *) -> void * {
					for (int i = 0; i < 3; i++) {
						EXPECT_EQ(20 + i, get_errno());
						set_errno(30 + i);
						if (weft_gen_yield(nullptr, nullptr) < 0)
							return nullptr;
					}
					set_errno(40);
					return nullptr;
				},
				nullptr));
		EXPECT_EQ(11, get_errno()) << "untouched";
		for (int i = 0; i < 3; i++) {
			set_errno(20 + i);
			EXPECT_EQ(WEFT_GEN_YIELDED, weft_gen_next(gen, nullptr));
			EXPECT_EQ(30 + i, get_errno());
		}
		weft_gen_next(gen, nullptr);
		EXPECT_EQ(40, get_errno());
		set_errno(12);
		weft_gen_state(gen);
		weft_gen_free(gen);
		weft_gen_yield(nullptr, nullptr);
		EXPECT_EQ(12, get_errno()) << "and no report";
	});
}

TEST(GenShare, FromAPlainThreadToAFiberAndBack)
{
	Gen gen(count_for_ever);
	EXPECT_EQ(yielded(num(1)), next(gen));
	for (unsigned workers : {1u, 2u})
		run(workers, [&gen] {
			intptr_t before = as_num(next(gen).value);
			elsewhere([&] { EXPECT_EQ(yielded(num(before + 1)), next(gen)); });
		});
	EXPECT_EQ(yielded(num(6)), next(gen));
	std::thread([&gen] { EXPECT_EQ(yielded(num(7)), next(gen)); }).join();
	/* Begun on a fiber, ended on a thread, and the other way round. */
	std::vector<Gen> begun;
	run(2, [&begun] {
		begun.emplace_back(count_for_ever);
		begun.emplace_back(count_for_ever);
		EXPECT_EQ(yielded(num(1)), next(begun[0]));
	});
	EXPECT_EQ(yielded(num(1)), next(begun[1]));
	EXPECT_EQ(yielded(num(2)), next(begun[0])) << "its runtime is gone";
	begun[0].free();
	run(2, [&begun] { begun[1].free(); });
}

TEST(GenShare, OnManyThreadsAtOnce)
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back([] {
			for (long round = 0; round < times(300, 30); round++) {
				Gen sub(count_for_ever);
				Gen gen([&sub] { return reraise(delegate(sub)); });
				for (intptr_t n = 1; n < 50; n++)
					ASSERT_EQ(yielded(num(n)), next(gen));
			}
		});
	for (std::thread &thread : threads)
		thread.join();
}

class GenShareOn : public Workers
{
};
FOR_WORKERS(GenShareOn);

TEST_P(GenShareOn, SuspendedGeneratorsGoFromHandToHand)
{
	run(GetParam(), [] {
		constexpr intptr_t generators = 24;
		const intptr_t last = times(3000, 300);
		Mailbox mail(generators);
		std::atomic<intptr_t> ended{0};
		std::deque<Gen> owned;
		std::deque<Gen> subs; /* every other one delegates */
		for (intptr_t i = 0; i < generators; i++) {
			auto body = [=]() -> void * {
				Live live;
				intptr_t local[16]{};
				for (intptr_t n = 1; n <= last; n++) {
					local[n % 16] = n;
					if (yield(&local[n % 16]).code < 0)
						return nullptr;
					if (n % 100 == 0)
						weft_sleep(WEFT_US);
				}
				return num(last);
			};
			if (i % 2 == 0) {
				owned.emplace_back(body);
				continue;
			}
			subs.emplace_back(body);
			weft_gen *sub = subs.back();
			owned.emplace_back([sub] {
				Step got = delegate(sub);
				return got.code < 0 ? reraise(got) : got.value;
			});
		}
		std::vector<weft_fiber *> hands;
		for (int i = 0; i < 16; i++)
			hands.push_back(spawn([&] {
				while (weft_gen *gen = mail.take()) {
					Step got = next(gen);
					if (got.code == WEFT_GEN_YIELDED) {
						intptr_t first = *static_cast<intptr_t *>(got.value);
						got = next(gen);
						if (got.code == WEFT_GEN_YIELDED) {
							EXPECT_EQ(first + 1,
								*static_cast<intptr_t *>(got.value));
						}
					}
					if (got.code == WEFT_GEN_YIELDED) {
						mail.put(gen);
						continue;
					}
					EXPECT_EQ(done(num(last)), got);
					if (++ended == generators)
						mail.close();
				}
			}));
		for (Gen &gen : owned)
			mail.put(gen);
		for (weft_fiber *fiber : hands)
			join(fiber);
		EXPECT_EQ(0, Live::count);
	});
}

TEST_P(GenShareOn, TwoRaceForTheSameGenerator)
{
	run(GetParam(), [] {
		for (bool through_delegator : {false, true}) {
			Gen sub(count_for_ever);
			Gen top([&sub] { return reraise(delegate(sub)); });
			weft_gen *raced = through_delegator ? static_cast<weft_gen *>(top)
							    : static_cast<weft_gen *>(sub);
			std::vector<intptr_t> seen[2];
			std::vector<weft_fiber *> racers;
			for (auto &mine : seen)
				racers.push_back(spawn([raced, &mine] {
					for (long k = 0; k < times(20000, 2000); k++) {
						Step got = next(raced);
						if (got.code == WEFT_GEN_YIELDED)
							mine.push_back(as_num(got.value));
						else
							EXPECT_EQ((Step{-EBUSY, nullptr}), got);
						if (k % 64 == 0)
							weft_yield();
					}
				}));
			for (weft_fiber *fiber : racers)
				join(fiber);
			for (const auto &mine : seen)
				EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
			std::vector<intptr_t> all = seen[0];
			all.insert(all.end(), seen[1].begin(), seen[1].end());
			std::sort(all.begin(), all.end());
			for (size_t i = 0; i < all.size(); i++)
				ASSERT_EQ(static_cast<intptr_t>(i + 1), all[i]);
		}
	});
}

static void *const BUSY = num(-1);

/* Hands out what `sub` does, and BUSY when that one runs for somebody else. */
static void *delegate_or_say_busy(weft_gen *sub)
{
	for (;;) {
		Step got = delegate(sub);
		if (got.code == -EBUSY)
			got = yield(BUSY);
		if (got.code < 0)
			return reraise(got);
	}
}

/* What a call on one member of a chain may answer while others use the chain. */
static void expect_fair(const Step &got, std::atomic<long> &values)
{
	if (got.code != WEFT_GEN_YIELDED) {
		EXPECT_EQ((Step{-EBUSY, nullptr}), got) << "the call that runs came through this one";
	} else if (got.value != BUSY) { /* it came in further down */
		values++;
		EXPECT_NE(nullptr, got.value);
	}
}

TEST_P(GenShareOn, MembersOfAChainAreAskedAndResumedWhileItRuns)
{
	run(GetParam(), [] {
		std::atomic<bool> inside{false};
		std::atomic<long> values{0}, produced{0};
		std::deque<Gen> links;
		links.emplace_back([&]() -> void * {
			for (;;) {
				EXPECT_FALSE(inside.exchange(true)) << "one at a time";
				if (produced % 32 == 0)
					weft_yield(); /* parked in the middle, for the others to see */
				inside = false;
				Step got = yield(num(++produced));
				if (got.code < 0)
					return reraise(got);
			}
		});
		for (int i = 0; i < 6; i++) {
			weft_gen *sub = links.back();
			links.emplace_back([sub] { return delegate_or_say_busy(sub); });
		}
		EXPECT_EQ(WEFT_GEN_YIELDED, next(links.back()).code);
		values++;
		std::vector<weft_fiber *> fibers;
		for (unsigned i = 0; i < 4; i++)
			fibers.push_back(spawn([&, i] {
				for (unsigned k = 0; k < times(10000, 1000); k++) {
					expect_fair(next(links[(i + k) % 7]), values);
					enum weft_gen_state state =
						weft_gen_state(links[(i * 3 + k) % 7]);
					EXPECT_TRUE(state == WEFT_GEN_RUNNING || state == WEFT_GEN_SUSPENDED)
						<< state;
					if (k % 50 == i)
						weft_yield();
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(produced.load(), values.load()) << "no value was lost";
		for (Gen &gen : links)
			EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		while (!links.empty())
			links.pop_back();
	});
}

TEST_P(GenShareOn, OneSubUnderDelegatorsThatComeAndGo)
{
	run(GetParam(), [] {
		constexpr int fibers_count = 4;
		/* Errors do not end it, closing does not either. */
		Gen shared([]() -> void * {
			for (intptr_t n = 1;; n++)
				yield(num(n));
		});
		std::vector<intptr_t> seen[fibers_count];
		std::vector<weft_fiber *> fibers;
		for (auto &mine : seen)
			fibers.push_back(spawn([&shared, &mine] {
				weft_gen *sub = shared;
				for (long round = 0; round < times(500, 50); round++) {
					Gen low([sub] { return delegate_or_say_busy(sub); });
					weft_gen *middle = low;
					Gen top([middle] { return reraise(delegate(middle)); });
					for (int k = 0; k < 12; k++) {
						Step got = k % 5 == 4 ? next(low)
							: k % 5 == 3  ? throw_in(top, -EIO)
								      : next(top);
						/* Never -EBUSY: nobody else runs them. An error thrown into the busy word ends both. */
						ASSERT_TRUE(got.code == WEFT_GEN_YIELDED ||
							got.code == -EIO || got.code == WEFT_GEN_DONE)
							<< got;
						if (got.code == WEFT_GEN_YIELDED && got.value != BUSY)
							mine.push_back(as_num(got.value));
						if (k % 7 == 0)
							weft_yield();
					}
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		std::vector<intptr_t> all;
		for (const auto &mine : seen) {
			EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
			all.insert(all.end(), mine.begin(), mine.end());
		}
		std::sort(all.begin(), all.end());
		EXPECT_EQ(all.end(), std::adjacent_find(all.begin(), all.end()))
			<< "each value was handed out once";
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(shared));
	});
}
