/* SPDX-License-Identifier: MIT */
/* mutex_test.cc - mutexes
 *
 * Law  one holder at a time, whoever the parties are: fibers, plain threads, fibers of another runtime. What one holder wrote the
 *      next one sees.
 * Law  a holder may park and go on elsewhere; only the holder unlocks; locking again is found.
 * Law  lock is no cancellation point; lock_by is one, gives up at its deadline, and then holds nothing.
 * Law  whoever waits gets the mutex, though others come again and again.
 * Law  whoever unlocks it last may free it: unlock does not touch it any more.
 */
#include <atomic>

#include "tests/sync/parties.h"

using namespace support;

class Mutex : public Workers
{
};
FOR_WORKERS(Mutex);

/* A mutex and a plain count under it: every increment is two steps, and sometimes others run in between. */
struct counter {
	weft_mutex mutex = WEFT_MUTEX_INIT;
	long count = 0;

	void add(bool pause)
	{
		weft_mutex_lock(&mutex);
		long seen = count;
		if (pause)
			weft_yield();
		count = seen + 1;
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	}
};

TEST_P(Mutex, OneHolderAtATime)
{
	constexpr long rounds = times(20000, 3000);
	counter shared;
	on_fibers(GetParam(), 0, 16, [&shared](int i) {
		for (long k = 0; k < rounds; k++)
			shared.add((k + i) % 64 == 0);
	});
	EXPECT_EQ(16 * rounds, shared.count);
	EXPECT_TRUE(is_free(shared.mutex));
}

TEST_P(Mutex, BetweenFibersThreadsAndRuntimes)
{
	constexpr long rounds = times(20000, 3000);
	counter shared;
	on_all(GetParam(), [&shared](int i) {
		for (long k = 0; k < rounds; k++)
			shared.add((k + i) % 64 == 0);
	});
	EXPECT_EQ(parties * rounds, shared.count);
	EXPECT_TRUE(is_free(shared.mutex));
}

TEST_P(Mutex, HolderParksAndGoesOnElsewhere)
{
	constexpr long rounds = times(300, 120);
	counter shared;
	std::atomic<long> moves{0};
	on_fibers(GetParam(), 0, 8, [&shared, &moves](int i) {
		for (long k = 0; k < rounds; k++) {
			weft_mutex_lock(&shared.mutex);
			unsigned before = weft_worker_index();
			long seen = shared.count;
			weft_fiber *other = spawn([i] {
				if (i % 2 == 0)
					weft_yield();
			});
			join(other);
			for (int n = 0; n < 20 && weft_worker_index() == before; n++)
				weft_yield();
			moves += weft_worker_index() != before;
			EXPECT_EQ(-EBUSY, weft_mutex_trylock(&shared.mutex));
			shared.count = seen + 1;
			EXPECT_EQ(0, weft_mutex_unlock(&shared.mutex)) << "on whatever worker";
			weft_yield();
		}
	});
	EXPECT_EQ(8 * rounds, shared.count);
	if (GetParam() == 1) {
		EXPECT_EQ(0, moves.load());
	}
}

TEST_P(Mutex, Trylock)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		EXPECT_EQ(-EINVAL, weft_mutex_trylock(nullptr));
		EXPECT_EQ(0, weft_mutex_trylock(&mutex));
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex)) << "one's own";
		weft_fiber *other = spawn([&mutex] { return weft_mutex_trylock(&mutex); });
		EXPECT_EQ(-EBUSY, join(other));
		weft_fiber *waiter = spawn([&mutex] {
			weft_mutex_lock(&mutex);
			settle();
			return weft_mutex_unlock(&mutex);
		});
		settle();
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex));
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, join(waiter));
		EXPECT_EQ(0, weft_mutex_trylock(&mutex));
		weft_cancel(weft_self());
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, weft_mutex_trylock(&mutex)) << "no cancellation point";
		EXPECT_EQ(0, weft_mutex_unlock(&mutex)) << "no cancellation point";
	});
}

/* Nobody holds the mutex, while others give up waiting for it: trylock gets it every time. For that the only one who was woken is
 * kept from running: its worker is blocked. */
static long busy_although_free()
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	std::atomic<bool> held{false}, woken_one_waits{false}, queued{false}, given_up{false};
	std::atomic<bool> handed_over{false}, held_again{false}, is_let_go{false};
	long busy = 0;
	Threads threads;
	threads.start([&] {
		weft_mutex_lock(&mutex);
		held = true;
		while (!woken_one_waits)
			std::this_thread::yield();
		weft_mutex_unlock(&mutex);
		/* After a long wait it was made the holder: then there is nothing to see. */
		handed_over = weft_mutex_trylock(&mutex) != 0;
		held_again = true;
		while (!queued)
			std::this_thread::yield();
		weft_mutex_unlock(&mutex);
		for (is_let_go = true; !given_up && !handed_over;) {
			int error = weft_mutex_trylock(&mutex);
			busy += error != 0 && !given_up; /* then the waiter has it */
			if (error == 0)
				weft_mutex_unlock(&mutex);
		}
	});
	threads.start([&] {
		weft_config how = config(1);
		how.rescue = WEFT_RESCUE_OFF; /* the waiter that is woken must not run yet */
		run(how, [&] {
			while (!held)
				weft_yield();
			std::atomic<bool> comes{false};
			weft_fiber *waiter = spawn([&mutex, &comes] {
				comes = true;
				weft_mutex_lock(&mutex);
				weft_mutex_unlock(&mutex);
			});
			while (!comes) /* on one worker it waits then */
				weft_yield();
			for (woken_one_waits = true; !given_up;)
				usleep(100);
			join(waiter);
		});
	});
	run_virtual(2, [&] {
		std::vector<weft_fiber *> fibers;
		while (!held_again) /* else one of them may come first */
			weft_yield();
		for (int i = 0; i < 500; i++)
			fibers.push_back(
				spawn([&] { return weft_mutex_lock_by(&mutex, WEFT_FOREVER); }));
		settle();
		for (queued = true; !is_let_go;)
			weft_yield();
		for (weft_fiber *fiber : fibers)
			weft_cancel(fiber);
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(-ECANCELED, join(fiber));
		given_up = true;
	});
	threads.join();
	return busy;
}

TEST(MutexTrylock, AFreeMutexIsNeverBusy)
{
	long busy = 0;
	for (int round = 0; round < 30; round++)
		busy += busy_although_free();
	EXPECT_EQ(0, busy);
}

TEST_P(Mutex, UnlockIsTheHoldersAlone)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		EXPECT_EQ(-EINVAL, weft_mutex_unlock(nullptr));
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex)) << "nobody holds it";
		weft_mutex_lock(&mutex);
		weft_fiber *other = spawn([&mutex] { return weft_mutex_unlock(&mutex); });
		EXPECT_EQ(-EPERM, join(other));
		int of_thread = 0;
		std::thread([&] { of_thread = weft_mutex_unlock(&mutex); }).join();
		EXPECT_EQ(-EPERM, of_thread);
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex)) << "nothing has changed";
		weft_fiber *waiter = spawn([&mutex] {
			weft_mutex_lock(&mutex);
			return weft_mutex_unlock(&mutex);
		});
		settle();
		other = spawn([&mutex] { return weft_mutex_unlock(&mutex); });
		EXPECT_EQ(-EPERM, join(other)) << "nor while somebody waits";
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, join(waiter));
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex)) << "it is free again";
		EXPECT_TRUE(is_free(mutex));
	});
}

TEST_P(Mutex, OfAThreadIsNotTheFibersOnIt)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_mutex_lock(&mutex);
	EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex));
	run(GetParam(), [&mutex] {
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex));
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, weft_after(WEFT_MS)));
	});
	EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
}

TEST_P(Mutex, LockByATime)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		EXPECT_EQ(-EINVAL, weft_mutex_lock_by(nullptr, WEFT_FOREVER));
		EXPECT_EQ(0, weft_mutex_lock_by(&mutex, 0)) << "free: although late";
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, weft_mutex_lock_by(&mutex, weft_after(-1))) << "free: although late";
		EXPECT_EQ(-EDEADLK, weft_mutex_lock_by(&mutex, WEFT_FOREVER));
		const weft_ns start = weft_now();
		auto lock_by = [&mutex, start](weft_ns deadline, weft_ns own, weft_ns returns) {
			return spawn([&mutex, start, deadline, own, returns] {
				weft_deadline(own);
				int error = weft_mutex_lock_by(&mutex, deadline);
				EXPECT_EQ(start + returns, weft_now());
				if (error == 0) {
					EXPECT_EQ(0, weft_mutex_unlock(&mutex));
				}
				return error;
			});
		};
		weft_fiber *at_once = lock_by(0, WEFT_FOREVER, 0);
		weft_fiber *passed = lock_by(start - 1, WEFT_FOREVER, 0);
		weft_fiber *late = lock_by(start + 5 * WEFT_MS, WEFT_FOREVER, 5 * WEFT_MS);
		weft_fiber *own = lock_by(WEFT_FOREVER, start + 3 * WEFT_MS, 3 * WEFT_MS);
		weft_fiber *own_first = lock_by(start + WEFT_SEC, start + 4 * WEFT_MS, 4 * WEFT_MS);
		weft_fiber *in_time = lock_by(start + 20 * WEFT_MS, WEFT_FOREVER, 10 * WEFT_MS);
		weft_fiber *patient = lock_by(WEFT_FOREVER, WEFT_FOREVER, 10 * WEFT_MS);
		weft_sleep(10 * WEFT_MS);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		for (weft_fiber *gave_up : {at_once, passed, late, own, own_first})
			EXPECT_EQ(-ETIMEDOUT, join(gave_up));
		EXPECT_EQ(0, join(in_time));
		EXPECT_EQ(0, join(patient));
		EXPECT_TRUE(is_free(mutex));
	});
}

TEST_P(Mutex, LockByIsACancellationPoint)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_mutex_lock(&mutex);
		weft_fiber *waiter =
			spawn([&mutex] { return weft_mutex_lock_by(&mutex, WEFT_FOREVER); });
		weft_fiber *behind = spawn([&mutex] {
			settle();
			weft_mutex_lock(&mutex);
			return weft_mutex_unlock(&mutex);
		});
		weft_sleep(2 * WEFT_MS);
		weft_cancel(waiter);
		EXPECT_EQ(-ECANCELED, join(waiter));
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, join(behind)) << "who waits behind is not forgotten";
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, WEFT_FOREVER)) << "although free";
		weft_cancel(weft_self());
		EXPECT_EQ(-ECANCELED, weft_mutex_lock_by(&mutex, WEFT_FOREVER)) << "although free";
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(-ECANCELED, weft_mutex_lock_by(&mutex, WEFT_FOREVER)) << "although free";
		EXPECT_TRUE(is_free(mutex));
	});
}

TEST_P(Mutex, LockIsNoCancellationPoint)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_mutex_lock(&mutex);
		const weft_ns start = weft_now();
		bool inside = true;
		auto locks = [&mutex, &inside, start] {
			weft_deadline(start + WEFT_MS);
			weft_mutex_lock(&mutex);
			EXPECT_FALSE(inside);
			EXPECT_EQ(start + 10 * WEFT_MS, weft_now());
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			return weft_check();
		};
		weft_fiber *before = spawn(locks);
		weft_cancel(before);
		weft_fiber *meanwhile = spawn(locks);
		weft_fiber *late = spawn(locks);
		weft_sleep(5 * WEFT_MS);
		weft_cancel(meanwhile);
		weft_sleep(5 * WEFT_MS);
		inside = false;
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(-ECANCELED, join(before));
		EXPECT_EQ(-ECANCELED, join(meanwhile));
		EXPECT_EQ(-ETIMEDOUT, join(late));
		weft_cancel(weft_self());
		weft_mutex_lock(&mutex);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex)) << "it was locked";
	});
}

TEST_P(Mutex, OneThatGivesUpInTheMiddle)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		for (int gives_up = 0; gives_up < 5; gives_up++) {
			weft_mutex_lock(&mutex);
			std::vector<weft_fiber *> fibers;
			long got = 0;
			for (int i = 0; i < 5; i++) {
				fibers.push_back(spawn([&mutex, &got, i, gives_up] {
					weft_ns deadline =
						i == gives_up ? weft_after(WEFT_SEC) : WEFT_FOREVER;
					int error = weft_mutex_lock_by(&mutex, deadline);
					if (error == 0) {
						got++;
						EXPECT_EQ(0, weft_mutex_unlock(&mutex));
					}
					return error;
				}));
				settle();
			}
			weft_sleep(2 * WEFT_SEC);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			for (int i = 0; i < 5; i++)
				EXPECT_EQ(i == gives_up ? -ETIMEDOUT : 0, join(fibers[i]));
			EXPECT_EQ(4, got);
		}
	});
}

/* The deadline, the cancellation and the unlock come at the same instant; the holder has had it for long enough that
 * the mutex is handed over. */
TEST_P(Mutex, GivingUpMeetsUnlock)
{
	long locked = 0, gave_up = 0;
	run_virtual(GetParam(), [&] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		for (long round = 0; round < times(3000, 600); round++) {
			weft_ns hold = round % 2 == 0 ? 10 * WEFT_US : 5 * WEFT_MS;
			weft_mutex_lock(&mutex);
			weft_ns then = weft_after(hold);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 4; i++)
				fibers.push_back(spawn([&mutex, then, i] {
					int error = weft_mutex_lock_by(
						&mutex, i % 2 == 0 ? then : WEFT_FOREVER);
					if (error == 0) {
						EXPECT_EQ(0, weft_mutex_unlock(&mutex));
					}
					return error;
				}));
			weft_fiber *canceller = spawn([fibers, then] {
				weft_sleep_until(then);
				weft_cancel(fibers[1]);
			});
			weft_sleep_until(then);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			join(canceller);
			for (int i = 0; i < 4; i++) {
				intptr_t error = join(fibers[i]);
				(error == 0 ? locked : gave_up)++;
				if (error != 0) {
					EXPECT_EQ(i == 1 ? -ECANCELED : -ETIMEDOUT, error) << i;
				}
				if (i == 3) {
					EXPECT_EQ(0, error) << "nothing made it give up";
				}
			}
			ASSERT_TRUE(is_free(mutex));
		}
	});
	EXPECT_EQ(times(3000, 600) * 4, locked + gave_up);
}

/* In real time, and with unlocks that wake one who is just being cancelled. */
TEST_P(Mutex, CancelsAmongTraffic)
{
	counter shared;
	std::atomic<long> counted{0};
	run(GetParam(), [&] {
		weft_ns end = weft_after(2 * WEFT_SEC);
		for (long round = 0; round < times(2000, 300) && weft_now() < end; round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 8; i++)
				fibers.push_back(spawn([&, i] {
					for (int k = 0; k < 20; k++) {
						weft_ns deadline = i < 2 ? weft_after(k * WEFT_US)
									 : WEFT_FOREVER;
						if (weft_mutex_lock_by(&shared.mutex, deadline) != 0)
							continue;
						long seen = shared.count;
						if ((k + i) % 4 == 0)
							weft_yield();
						shared.count = seen + 1;
						counted++;
						weft_mutex_unlock(&shared.mutex);
					}
				}));
			for (int i = 0; i < 8; i += 2) {
				weft_yield();
				weft_cancel(fibers[i]);
			}
			join_all(fibers);
			ASSERT_TRUE(is_free(shared.mutex));
		}
	});
	EXPECT_EQ(counted.load(), shared.count);
}

/* Holds the mutex for 20 us, lets go of it and takes it again at once, without a pause, until told to stop. */
struct hog {
	weft_mutex *mutex;
	std::atomic<bool> began{false}, stop{false};

	/* How often it got it; false in `was_stopped`: nobody told it to stop for very long. */
	long eat(bool *was_stopped)
	{
		long rounds = 0;
		weft_ns end = weft_after(10 * WEFT_SEC);
		for (weft_ns now = weft_now(); !stop && now < end; rounds++) {
			weft_mutex_lock(mutex);
			began = true;
			for (weft_ns until = now + 20 * WEFT_US; now < until; now = weft_now())
				;
			weft_mutex_unlock(mutex);
		}
		*was_stopped = stop;
		return rounds;
	}
};

TEST_P(Mutex, NobodyStarvesBehindAHog)
{
	run(GetParam(), [] {
		for (int round = 0; round < 10 && !testing::Test::HasFailure(); round++) {
			weft_mutex mutex = WEFT_MUTEX_INIT;
			hog greedy{&mutex};
			std::atomic<int> coming{0}, got{0};
			constexpr int waiters = 5;
			std::vector<weft_fiber *> fibers;
			weft_mutex_lock(&mutex);
			for (int i = 0; i < waiters; i++)
				fibers.push_back(spawn([&] {
					coming++;
					weft_mutex_lock(&mutex);
					if (++got == waiters)
						greedy.stop = true;
					weft_mutex_unlock(&mutex);
				}));
			while (coming < waiters)
				weft_yield();
			weft_sleep(WEFT_MS / 2); /* they wait now, even on one worker */
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			bool was_stopped;
			greedy.eat(&was_stopped);
			EXPECT_TRUE(was_stopped) << got << " got it";
			join_all(fibers);
		}
	});
}

TEST_P(Mutex, NoFiberStarvesBehindAThread)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	hog greedy{&mutex};
	bool was_stopped = false;
	{
		Threads threads;
		threads.start([&] { greedy.eat(&was_stopped); });
		run(GetParam(), [&] {
			while (!greedy.began) /* before that there is nobody in its way */
				weft_yield();
			for (int i = 0; i < 20; i++) {
				weft_mutex_lock(&mutex);
				weft_mutex_unlock(&mutex);
			}
			greedy.stop = true;
		});
	}
	EXPECT_TRUE(was_stopped);
}

TEST_P(Mutex, NoThreadStarvesBehindAFiber)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	hog greedy{&mutex};
	Threads threads;
	threads.start([&] {
		while (!greedy.began) /* before that there is nobody in its way */
			std::this_thread::yield();
		for (int i = 0; i < 20; i++) {
			weft_mutex_lock(&mutex);
			weft_mutex_unlock(&mutex);
		}
		greedy.stop = true;
	});
	run(GetParam(), [&] {
		bool was_stopped;
		greedy.eat(&was_stopped);
		EXPECT_TRUE(was_stopped);
	});
}

/* An object that the last of its users frees, directly after unlocking the mutex in it. */
struct counted {
	weft_mutex mutex = WEFT_MUTEX_INIT;
	int references;
	char rest[40];
};

static void drop(counted *object, bool by_time, Freed<counted> &freed)
{
	if (!by_time)
		weft_mutex_lock(&object->mutex);
	else
		EXPECT_EQ(0, weft_mutex_lock_by(&object->mutex, WEFT_FOREVER));
	bool last = --object->references == 0;
	weft_mutex_unlock(&object->mutex);
	if (last)
		freed.take(object);
}

TEST_P(Mutex, FreedByItsLastHolder)
{
	constexpr long n = times(30000, 9000);
	Freed<counted> freed;
	std::vector<counted *> objects;
	for (long i = 0; i < n; i++) {
		objects.push_back(new counted);
		objects.back()->references = parties;
	}
	on_all(GetParam(), [&](int party) {
		for (counted *object : objects)
			drop(object, party % 2 != 0, freed);
	});
	EXPECT_EQ(n, freed.count.load());
}

/* Here all but the first wait, so that each unlock wakes one. */
TEST_P(Mutex, FreedByTheLastOfThoseWhoWait)
{
	Freed<counted> freed;
	constexpr long rounds = times(3000, 900);
	run(GetParam(), [&freed] {
		for (long round = 0; round < rounds; round++) {
			auto object = new counted;
			object->references = 4;
			weft_mutex_lock(&object->mutex);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 3; i++)
				fibers.push_back(
					spawn([&freed, object] { drop(object, false, freed); }));
			weft_yield();
			bool last = --object->references == 0;
			weft_mutex_unlock(&object->mutex);
			EXPECT_FALSE(last);
			join_all(fibers);
		}
	});
	EXPECT_EQ(rounds, freed.count.load());
}

class MutexDeathTest : public testing::Test
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};

static void lock_twice()
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_mutex_lock(&mutex);
	weft_mutex_lock(&mutex);
}

TEST_F(MutexDeathTest, LockingItAgain)
{
	EXPECT_EXIT(run(quiet_config(2), lock_twice), testing::KilledBySignal(SIGABRT),
		"^weft: fatal: [^\n]*mutex[^\n]* fiber=[^\n]*\n$");
	EXPECT_EXIT(lock_twice(), testing::KilledBySignal(SIGABRT), "^weft: fatal: [^\n]*mutex[^\n]*\n$")
		<< "on a plain thread";
}

TEST_F(MutexDeathTest, LockingNull)
{
	EXPECT_EXIT(weft_mutex_lock(nullptr), testing::KilledBySignal(SIGABRT), "^weft: fatal: [^\n]*\n$");
}
