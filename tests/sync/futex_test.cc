/* SPDX-License-Identifier: MIT */
/* futex_test.cc - waiting for a word, and what is built from that
 *
 * Law  the look at the word and the beginning of the wait are one step: no wake-up in between is lost.
 * Law  wake wakes as many as it says, those of that word only, the longest waiting first, fibers and threads alike.
 * Law  a wait that gives up is not counted among the woken.
 * Law  the word is an address: wake does not read it, and whoever was woken may give it back.
 */
#include <atomic>
#include <climits>
#include <sys/mman.h>

#include "tests/sync/parties.h"

using namespace support;

class Futex : public Workers
{
};
FOR_WORKERS(Futex);

/* A mutex of three states: free, held, held and perhaps waited for. */
class word_mutex
{
public:
	void lock()
	{
		uint32_t seen = 0;
		if (__atomic_compare_exchange_n(&word_, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		while (__atomic_exchange_n(&word_, 2, __ATOMIC_ACQUIRE) != 0) {
			int error = weft_futex_wait(&word_, 2);
			EXPECT_TRUE(error == 0 || error == -EAGAIN) << error;
		}
	}
	void unlock()
	{
		uint32_t was = __atomic_exchange_n(&word_, 0, __ATOMIC_RELEASE);
		int woken = was == 2 ? weft_futex_wake(&word_, 1) : 0;
		EXPECT_TRUE(woken == 0 || woken == 1) << woken;
	}

private:
	uint32_t word_ = 0;
};

/* A semaphore: the number of permits. */
class word_semaphore
{
public:
	explicit word_semaphore(uint32_t permits) : word_(permits) {}
	void wait()
	{
		uint32_t seen = __atomic_load_n(&word_, __ATOMIC_RELAXED);
		for (;;) {
			if (seen == 0) {
				int error = weft_futex_wait(&word_, 0);
				EXPECT_TRUE(error == 0 || error == -EAGAIN) << error;
				seen = __atomic_load_n(&word_, __ATOMIC_RELAXED);
			} else if (__atomic_compare_exchange_n(&word_, &seen, seen - 1, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
				return;
			}
		}
	}
	void post()
	{
		__atomic_fetch_add(&word_, 1, __ATOMIC_RELEASE);
		EXPECT_GE(weft_futex_wake(&word_, 1), 0);
	}

private:
	uint32_t word_;
};

TEST_P(Futex, AMutexOfIt)
{
	constexpr long rounds = times(10000, 1800);
	word_mutex mutex;
	long count = 0;
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			mutex.lock();
			long seen = count;
			if ((k + party) % 64 == 0)
				weft_yield();
			count = seen + 1;
			mutex.unlock();
		}
	});
	EXPECT_EQ(parties * rounds, count);
}

TEST_P(Futex, ASemaphoreOfIt)
{
	constexpr long rounds = times(10000, 1800);
	word_semaphore full(0), empty(2);
	std::atomic<long> in_buffer{0};
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			(party % 2 == 0 ? empty : full).wait();
			in_buffer += party % 2 == 0 ? 1 : 0;
			EXPECT_LE(in_buffer.load(), 2);
			in_buffer -= party % 2 == 0 ? 0 : 1;
			(party % 2 == 0 ? full : empty).post();
		}
	});
	EXPECT_EQ(0, in_buffer.load());
}

TEST_P(Futex, LooksAtTheWord)
{
	auto look = [] {
		uint32_t word = 7;
		EXPECT_EQ(-EAGAIN, weft_futex_wait(&word, 8));
		EXPECT_EQ(-EAGAIN, weft_futex_wait(&word, 0));
		EXPECT_EQ(0, weft_futex_wake(&word, 1)) << "nobody waits";
		EXPECT_EQ(0, weft_futex_wake(&word, UINT_MAX));
		EXPECT_EQ(7u, word);
		auto odd = reinterpret_cast<const uint32_t *>(reinterpret_cast<char *>(&word) + 1);
		EXPECT_EQ(-EINVAL, weft_futex_wait(nullptr, 0));
		EXPECT_EQ(-EINVAL, weft_futex_wait(odd, 0));
		EXPECT_EQ(-EINVAL, weft_futex_wake(nullptr, 1));
		EXPECT_EQ(-EINVAL, weft_futex_wake(odd, 1));
	};
	run_virtual(GetParam(), look);
	look(); /* on a plain thread */
}

TEST_P(Futex, WakeDoesNotReadTheWord)
{
	run_virtual(GetParam(), [] {
		void *page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, page);
		EXPECT_EQ(0, weft_futex_wake(static_cast<uint32_t *>(page), 1));
		munmap(page, 4096);
		EXPECT_EQ(0, weft_futex_wake(static_cast<uint32_t *>(page), 1));
	});
}

TEST_P(Futex, WakesSoMany)
{
	run_virtual(GetParam(), [] {
		uint32_t word = 1;
		std::vector<weft_fiber *> fibers;
		std::atomic<int> woken{0};
		for (int i = 0; i < 100; i++)
			fibers.push_back(spawn([&] {
				EXPECT_EQ(0, weft_futex_wait(&word, 1));
				woken++;
			}));
		settle();
		EXPECT_EQ(0, weft_futex_wake(&word, 0));
		settle();
		EXPECT_EQ(0, woken.load());
		EXPECT_EQ(1, weft_futex_wake(&word, 1));
		settle();
		EXPECT_EQ(1, woken.load());
		EXPECT_EQ(9, weft_futex_wake(&word, 9));
		settle();
		EXPECT_EQ(10, woken.load());
		EXPECT_EQ(90, weft_futex_wake(&word, UINT_MAX)) << "all that are left";
		EXPECT_EQ(0, weft_futex_wake(&word, UINT_MAX));
		join_all(fibers);
		EXPECT_EQ(100, woken.load());
	});
}

TEST_P(Futex, TheLongestWaitingFirst)
{
	run_virtual(GetParam(), [] {
		uint32_t words[3] = {};
		Order order[3];
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 60; i++) {
			fibers.push_back(spawn([&, i] {
				EXPECT_EQ(0, weft_futex_wait(&words[i % 3], 0));
				order[i % 3].add(i / 3);
			}));
			settle();
		}
		for (int i = 0; i < 60; i++) {
			EXPECT_EQ(1, weft_futex_wake(&words[i % 3], 1));
			settle();
		}
		join_all(fibers);
		for (Order &each : order)
			EXPECT_EQ(ascending(20), each.get());
	});
}

TEST_P(Futex, GivingUp)
{
	run_virtual(GetParam(), [] {
		uint32_t word = 0;
		auto wait = [&word](weft_ns patience) {
			return spawn([&word, patience] {
				weft_deadline(weft_after(patience));
				return weft_futex_wait(&word, 0);
			});
		};
		weft_fiber *first = wait(WEFT_FOREVER);
		weft_fiber *late = wait(WEFT_SEC);
		weft_fiber *cancelled = wait(WEFT_FOREVER);
		settle();
		weft_fiber *last = wait(WEFT_FOREVER);
		settle();
		weft_cancel(cancelled);
		EXPECT_EQ(-ECANCELED, join(cancelled));
		EXPECT_EQ(-ETIMEDOUT, join(late));
		EXPECT_EQ(2, weft_futex_wake(&word, 10)) << "those who gave up do not count";
		EXPECT_EQ(0, join(first));
		EXPECT_EQ(0, join(last));
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_futex_wait(&word, 0));
		EXPECT_EQ(-ETIMEDOUT, weft_futex_wait(&word, 1)) << "before the look at the word";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_futex_wait(&word, 0));
		EXPECT_EQ(-ECANCELED, weft_futex_wait(&word, 1));
		EXPECT_EQ(0, weft_futex_wake(&word, 1));
	});
}

/* A deadline that was moved before it passed is none: whoever waits keeps its place. */
TEST_P(Futex, AMovedDeadlineKeepsThePlace)
{
	run_virtual(GetParam(), [] {
		uint32_t word = 0;
		Order order;
		auto wait = [&](int who, weft_ns first_deadline) {
			return spawn([&, who, first_deadline] {
				weft_deadline(first_deadline);
				weft_deadline(WEFT_FOREVER);
				EXPECT_EQ(0, weft_futex_wait(&word, 0));
				order.add(who);
			});
		};
		std::vector<weft_fiber *> fibers;
		fibers.push_back(wait(0, weft_after(10 * WEFT_MS)));
		settle();
		fibers.push_back(wait(1, WEFT_FOREVER));
		weft_sleep(20 * WEFT_MS); /* the old deadline passes */
		for (int i = 0; i < 2; i++) {
			EXPECT_EQ(1, weft_futex_wake(&word, 1));
			settle();
		}
		join_all(fibers);
		EXPECT_EQ(ascending(2), order.get());
	});
}

TEST_P(Futex, WakeMeetsGivingUp)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(3000, 600); round++) {
			uint32_t word = 0;
			weft_ns then = weft_after(10 * WEFT_MS);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 5; i++)
				fibers.push_back(spawn([&word, then, i] {
					weft_deadline(i == 1 ? then : WEFT_FOREVER);
					return weft_futex_wait(&word, 0);
				}));
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
				weft_cancel(fibers[2]);
			});
			weft_sleep_until(then);
			int said = weft_futex_wake(&word, 3);
			EXPECT_GE(said, 2) << "two do not give up";
			EXPECT_LE(said, 3);
			join(canceller);
			settle();
			said += weft_futex_wake(&word, 10);
			int woken = 0;
			for (weft_fiber *fiber : fibers)
				woken += join(fiber) == 0;
			ASSERT_EQ(said, woken) << "each that was woken returns 0";
		}
	});
}

/* More words than any table has places, most of them with one waiter: neighbours are left alone. */
TEST_P(Futex, ManyWords)
{
	constexpr int n = static_cast<int>(times(5000, 701));
	run_virtual(GetParam(), [] {
		std::vector<uint32_t> words(n);
		std::vector<std::atomic<int>> woken(n);
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < n; i++)
			fibers.push_back(spawn([&, i] {
				auto at = static_cast<size_t>(i);
				EXPECT_EQ(0, weft_futex_wait(&words[at], 0));
				woken[at]++;
			}));
		settle();
		/* In an order that is neither theirs nor its reverse. */
		for (int i = 0; i < n; i++) {
			auto at = static_cast<size_t>(i * 7L % n);
			EXPECT_EQ(1, weft_futex_wake(&words[at], UINT_MAX));
			if (i % 16 == 0) {
				settle();
				EXPECT_EQ(1, woken[at].load());
			}
			EXPECT_EQ(0, weft_futex_wake(&words[at], UINT_MAX));
		}
		join_all(fibers);
		for (const std::atomic<int> &count : woken)
			EXPECT_EQ(1, count.load());
	});
}

/* A turnstile of many words between all parties: a lost wake-up stops it. */
TEST_P(Futex, RoundAndRound)
{
	constexpr uint32_t rounds = static_cast<uint32_t>(times(2000, 450));
	std::vector<uint32_t> words(parties);
	long turn = 0;
	on_all(GetParam(), [&](int party) {
		uint32_t *mine = &words[static_cast<size_t>(party)];
		uint32_t *next = &words[static_cast<size_t>((party + 1) % parties)];
		for (uint32_t k = 0; k < rounds; k++) {
			/* The first begins each round; all others wait for the one before. */
			uint32_t wanted = party == 0 ? k : k + 1;
			for (uint32_t seen; (seen = __atomic_load_n(mine, __ATOMIC_ACQUIRE)) != wanted;) {
				int error = weft_futex_wait(mine, seen);
				EXPECT_TRUE(error == 0 || error == -EAGAIN) << error;
			}
			EXPECT_EQ(static_cast<long>(k) * parties + party, turn);
			turn++;
			__atomic_store_n(next, k + 1, __ATOMIC_RELEASE);
			EXPECT_LE(weft_futex_wake(next, UINT_MAX), 1);
		}
	});
	EXPECT_EQ(static_cast<long>(rounds) * parties, turn);
}

struct gate {
	uint32_t word = 0;
};

TEST_P(Futex, FreedByItsWaiter)
{
	free_after_wait<gate>(
		GetParam(), times(20000, 6000),
		[](gate &one) {
			while (__atomic_load_n(&one.word, __ATOMIC_ACQUIRE) == 0)
				weft_futex_wait(&one.word, 0);
		},
		[](gate &one) {
			const uint32_t *address = &one.word;
			__atomic_store_n(&one.word, 1, __ATOMIC_RELEASE);
			weft_futex_wake(address, 1);
		});
}
