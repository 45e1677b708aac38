/* SPDX-License-Identifier: MIT */
/* sem_test.cc - semaphores
 *
 * Law  as many waits end as there were permits, whoever the parties are; what a poster wrote its waiter sees.
 * Law  permits go to those who wait in the order in which they came, and nobody overtakes them.
 * Law  a wait that gives up has taken nothing; if a post meets it, exactly one of the two gets its way.
 * Law  there are never more than UINT_MAX permits; post says so and changes nothing.
 */
#include <atomic>
#include <climits>

#include "tests/sync/parties.h"

using namespace support;

class Sem : public Workers
{
};
FOR_WORKERS(Sem);

/* How many permits there are, up to a few; they are there again afterwards. */
static int permits(weft_sem &sem)
{
	int count = 0;
	while (count < 100 && weft_sem_trywait(&sem) == 0)
		count++;
	for (int i = 0; i < count; i++)
		EXPECT_EQ(0, weft_sem_post(&sem));
	return count;
}

TEST(SemValues, InitialPermits)
{
	static weft_sem zeroed;
	static weft_sem three = WEFT_SEM_INIT(3);
	weft_sem none = WEFT_SEM_INIT(0);
	EXPECT_EQ(0, permits(zeroed));
	EXPECT_EQ(0, permits(none));
	EXPECT_EQ(3, permits(three));
	weft_sem_init(&none, 7);
	EXPECT_EQ(7, permits(none));
	weft_sem_init(&none, 0);
	EXPECT_EQ(0, permits(none));
	weft_sem_init(nullptr, 1);
	EXPECT_EQ(-EINVAL, weft_sem_wait(nullptr));
	EXPECT_EQ(-EINVAL, weft_sem_trywait(nullptr));
	EXPECT_EQ(-EINVAL, weft_sem_post(nullptr));
}

TEST(SemValues, Overflow)
{
	weft_sem by_macro = WEFT_SEM_INIT(UINT_MAX);
	weft_sem by_call;
	weft_sem_init(&by_call, UINT_MAX);
	EXPECT_EQ(0, memcmp(&by_macro, &by_call, sizeof(by_call)));
	for (weft_sem *sem : {&by_macro, &by_call}) {
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(-EOVERFLOW, weft_sem_post(sem));
		EXPECT_EQ(0, weft_sem_trywait(sem));
		EXPECT_EQ(0, weft_sem_wait(sem));
		EXPECT_EQ(0, weft_sem_post(sem));
		EXPECT_EQ(0, weft_sem_post(sem));
		EXPECT_EQ(-EOVERFLOW, weft_sem_post(sem));
		EXPECT_EQ(100, permits(*sem)) << "and many more";
		EXPECT_EQ(-EOVERFLOW, weft_sem_post(sem)) << "as many as before";
	}
	weft_sem nearly = WEFT_SEM_INIT(UINT_MAX - 1);
	EXPECT_EQ(0, weft_sem_post(&nearly));
	EXPECT_EQ(-EOVERFLOW, weft_sem_post(&nearly));
	weft_sem half = WEFT_SEM_INIT(1u << 31);
	EXPECT_EQ(0, weft_sem_post(&half));
	EXPECT_EQ(100, permits(half));
}

TEST_P(Sem, SoManyInsideAtMost)
{
	constexpr long rounds = times(10000, 1800);
	weft_sem sem = WEFT_SEM_INIT(3);
	std::atomic<int> inside{0}, most{0};
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			ASSERT_EQ(0, weft_sem_wait(&sem));
			int now = ++inside;
			EXPECT_LE(now, 3);
			for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);)
				;
			if ((k + party) % 16 == 0)
				weft_yield();
			inside--;
			ASSERT_EQ(0, weft_sem_post(&sem));
		}
	});
	EXPECT_LE(most.load(), 3);
	EXPECT_EQ(3, permits(sem));
}

TEST_P(Sem, AsALock)
{
	constexpr long rounds = times(10000, 1800);
	weft_sem sem = WEFT_SEM_INIT(1);
	long count = 0;
	on_all(GetParam(), [&](int party) {
		for (long k = 0; k < rounds; k++) {
			ASSERT_EQ(0, weft_sem_wait(&sem));
			long seen = count;
			if ((k + party) % 64 == 0)
				weft_yield();
			count = seen + 1;
			ASSERT_EQ(0, weft_sem_post(&sem));
		}
	});
	EXPECT_EQ(parties * rounds, count);
}

/* Plain data handed over by posts: TSan knows of no other order. */
TEST_P(Sem, PostComesBeforeTheWait)
{
	constexpr long rounds = times(20000, 3000);
	weft_sem full = WEFT_SEM_INIT(0), empty = WEFT_SEM_INIT(4);
	long ring[4] = {}, sum = 0;
	auto produce = [&](int) {
		for (long k = 1; k <= rounds; k++) {
			EXPECT_EQ(0, weft_sem_wait(&empty));
			ring[k % 4] = k;
			EXPECT_EQ(0, weft_sem_post(&full));
		}
	};
	auto consume = [&] {
		for (long k = 1; k <= rounds; k++) {
			EXPECT_EQ(0, weft_sem_wait(&full));
			EXPECT_EQ(k, ring[k % 4]);
			sum += ring[k % 4];
			EXPECT_EQ(0, weft_sem_post(&empty));
		}
	};
	{
		Threads threads;
		threads.start(consume);
		on_fibers(GetParam(), 0, 1, produce);
	}
	EXPECT_EQ(rounds * (rounds + 1) / 2, sum);
	EXPECT_EQ(4, permits(empty));
}

TEST_P(Sem, FirstComeFirstServed)
{
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(0);
		Order order;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 20; i++) {
			fibers.push_back(spawn([&sem, &order, i] {
				EXPECT_EQ(0, weft_sem_wait(&sem));
				order.add(i);
			}));
			settle();
		}
		for (int i = 0; i < 20; i++) {
			EXPECT_EQ(0, weft_sem_post(&sem));
			EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem)) << "it is the waiter's";
			settle();
		}
		join_all(fibers);
		EXPECT_EQ(ascending(20), order.get());
		EXPECT_EQ(0, permits(sem));
	});
}

/* Others come again and again while one waits: it is not overtaken. */
TEST_P(Sem, NobodyOvertakes)
{
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(2);
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 6; i++)
			fibers.push_back(spawn([&sem] {
				for (int k = 0; k < 200; k++) {
					weft_ns came = weft_now();
					EXPECT_EQ(0, weft_sem_wait(&sem));
					EXPECT_LE(weft_now() - came, 2 * WEFT_MS)
						<< "at most four wait before it, two at a time";
					weft_sleep(WEFT_MS);
					EXPECT_EQ(0, weft_sem_post(&sem));
				}
			}));
		join_all(fibers);
		EXPECT_EQ(2, permits(sem));
	});
}

TEST_P(Sem, OneThatGivesUpTakesNothing)
{
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(0);
		for (int gives_up = 0; gives_up < 4; gives_up++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++) {
				fibers.push_back(spawn([&sem, i, gives_up] {
					if (i == gives_up && i % 2 == 0)
						weft_deadline(weft_after(WEFT_SEC));
					return weft_sem_wait(&sem);
				}));
				settle();
			}
			if (gives_up % 2 != 0)
				weft_cancel(fibers[static_cast<size_t>(gives_up)]);
			weft_sleep(2 * WEFT_SEC);
			for (int i = 0; i < 4; i++)
				EXPECT_EQ(0, weft_sem_post(&sem));
			for (int i = 0; i < 4; i++) {
				int error = gives_up % 2 != 0 ? -ECANCELED : -ETIMEDOUT;
				EXPECT_EQ(i == gives_up ? error : 0,
					join(fibers[static_cast<size_t>(i)]));
			}
			EXPECT_EQ(1, permits(sem)) << "the fourth";
			EXPECT_EQ(0, weft_sem_trywait(&sem));
		}
	});
}

/* A deadline that was moved before it passed is none: whoever waits keeps its place. */
TEST_P(Sem, AMovedDeadlineKeepsThePlace)
{
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(0);
		Order order;
		auto wait = [&](int who, weft_ns first_deadline) {
			return spawn([&, who, first_deadline] {
				weft_deadline(first_deadline);
				weft_deadline(WEFT_FOREVER);
				EXPECT_EQ(0, weft_sem_wait(&sem));
				order.add(who);
			});
		};
		std::vector<weft_fiber *> fibers;
		fibers.push_back(wait(0, weft_after(10 * WEFT_MS)));
		settle();
		fibers.push_back(wait(1, WEFT_FOREVER));
		weft_sleep(20 * WEFT_MS); /* the old deadline passes */
		for (int i = 0; i < 2; i++) {
			EXPECT_EQ(0, weft_sem_post(&sem));
			settle();
		}
		join_all(fibers);
		EXPECT_EQ(ascending(2), order.get());
	});
}

TEST_P(Sem, CancellationAndDeadlineComeFirst)
{
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(1);
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_sem_wait(&sem)) << "although there is one";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_sem_wait(&sem)) << "although there is one";
		EXPECT_EQ(1, permits(sem));
		EXPECT_EQ(0, weft_sem_trywait(&sem)) << "no cancellation point";
		EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem));
		EXPECT_EQ(0, weft_sem_post(&sem)) << "no cancellation point";
	});
}

/* Three give up at the instant of one or two posts; a fourth has patience: what the three did not take is its. */
TEST_P(Sem, PostMeetsGivingUp)
{
	run_virtual(GetParam(), [] {
		for (long round = 0; round < times(3000, 600); round++) {
			weft_sem sem = WEFT_SEM_INIT(0);
			const int posts = 1 + static_cast<int>(round % 2);
			weft_ns then = weft_after(10 * WEFT_MS);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++) {
				fibers.push_back(spawn([&sem, then, i] {
					weft_deadline(i == 1 ? then : then + WEFT_SEC);
					return weft_sem_wait(&sem);
				}));
				settle();
			}
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[0]);
				weft_cancel(fibers[2]);
			});
			weft_sleep_until(then);
			for (int i = 0; i < posts; i++)
				EXPECT_EQ(0, weft_sem_post(&sem));
			join(canceller);
			int taken = 0;
			for (size_t i = 0; i < 3; i++) {
				intptr_t error = join(fibers[i]);
				EXPECT_TRUE(error == 0 || error == (i == 1 ? -ETIMEDOUT : -ECANCELED));
				taken += error == 0;
			}
			ASSERT_LE(taken, posts);
			ASSERT_EQ(taken < posts ? 0 : -ETIMEDOUT, join(fibers[3]));
			ASSERT_EQ(taken == 0 ? posts - 1 : 0, permits(sem));
		}
	});
}

/* In real time, with posts from a thread: no permit is lost and none appears. */
TEST_P(Sem, CancelsAmongTraffic)
{
	weft_sem sem = WEFT_SEM_INIT(0);
	std::atomic<long> taken{0}, posted{0};
	std::atomic<bool> stop{false};
	{
		Threads threads;
		threads.start([&] {
			while (!stop) {
				if (posted - taken < 20) {
					posted++;
					EXPECT_EQ(0, weft_sem_post(&sem));
				} else {
					std::this_thread::yield();
				}
			}
		});
		run(GetParam(), [&] {
			weft_ns end = weft_after(2 * WEFT_SEC);
			for (long k = 0; k < times(2000, 300) && weft_now() < end; k++) {
				std::vector<weft_fiber *> fibers;
				for (int i = 0; i < 10; i++)
					fibers.push_back(spawn([&, i] {
						for (int n = 0; n < 10; n++) {
							weft_deadline(i < 3 ? weft_after(n * WEFT_US)
									    : WEFT_FOREVER);
							taken += weft_sem_wait(&sem) == 0;
						}
					}));
				for (size_t i = 0; i < 10; i += 2) {
					weft_yield();
					weft_cancel(fibers[i]);
				}
				join_all(fibers);
			}
		});
		stop = true;
	}
	long left = 0;
	while (weft_sem_trywait(&sem) == 0)
		left++;
	EXPECT_EQ(posted.load(), taken.load() + left);
}

TEST_P(Sem, ManyPostsAtOnce)
{
	constexpr long n = times(2000, 300);
	run_virtual(GetParam(), [] {
		weft_sem sem = WEFT_SEM_INIT(0);
		std::vector<weft_fiber *> fibers;
		for (long i = 0; i < n; i++)
			fibers.push_back(spawn([&sem] { return weft_sem_wait(&sem); }));
		settle();
		for (long i = 0; i < n + 5; i++)
			EXPECT_EQ(0, weft_sem_post(&sem));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, join(fiber));
		EXPECT_EQ(5, permits(sem));
	});
}
