/* SPDX-License-Identifier: MIT */
/* offthread_test.cc - synchronisation and channels without any runtime
 *
 * Law  on plain threads, with no runtime in the process, each call that waits blocks its thread and ends as it would on a fiber;
 *      nothing is in force there, and errno stays as it was.
 * Law  a zeroed object is an initialised one.
 * Law  objects know no runtime: one that was used in a runtime that has ended works on.
 */
#include <atomic>
#include <climits>

#include "tests/sync/parties.h"

using namespace support;
using chan_test::Chan;
using chan_test::recv_case;
using chan_test::send_case;

/* Starts a thread that runs `waits`, which must not end before `lets_go` has been called here; both see errno untouched. */
static void blocks_until(const std::function<void()> &waits, const std::function<void()> &lets_go)
{
	std::atomic<bool> may_end{false}, began{false};
	std::thread thread([&] {
		errno = 77;
		began = true;
		waits();
		EXPECT_TRUE(may_end) << "it did not block";
		EXPECT_EQ(77, errno);
	});
	while (!began)
		std::this_thread::yield();
	usleep(2000); /* so that it nearly always waits by then; it may also come later */
	may_end = true;
	errno = 78;
	lets_go();
	EXPECT_EQ(78, errno);
	thread.join();
}

TEST(Offthread, Mutex)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	for (bool by_time : {false, true}) {
		weft_mutex_lock(&mutex);
		blocks_until(
			[&] {
				if (by_time) {
					EXPECT_EQ(0, weft_mutex_lock_by(&mutex, WEFT_FOREVER));
				} else {
					weft_mutex_lock(&mutex);
				}
				EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			},
			[&] { EXPECT_EQ(0, weft_mutex_unlock(&mutex)); });
	}
	weft_mutex_lock(&mutex);
	std::thread([&] {
		weft_ns deadline = weft_after(2 * WEFT_MS);
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, 0));
		EXPECT_EQ(-ETIMEDOUT, weft_mutex_lock_by(&mutex, deadline));
		EXPECT_GE(weft_now(), deadline);
		EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex));
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
	}).join();
	EXPECT_EQ(-EDEADLK, weft_mutex_lock_by(&mutex, WEFT_FOREVER));
	EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	EXPECT_EQ(0, weft_mutex_lock_by(&mutex, 0)) << "free: although late";
	EXPECT_EQ(0, weft_mutex_unlock(&mutex));
}

TEST(Offthread, Rwlock)
{
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	for (auto held : {weft_rwlock_rdlock, weft_rwlock_wrlock})
		for (auto wanted : {weft_rwlock_rdlock, weft_rwlock_wrlock}) {
			if (held == weft_rwlock_rdlock && wanted == weft_rwlock_rdlock)
				continue;
			EXPECT_EQ(0, held(&lock));
			blocks_until(
				[&] {
					EXPECT_EQ(0, wanted(&lock));
					EXPECT_EQ(0, weft_rwlock_unlock(&lock));
				},
				[&] { EXPECT_EQ(0, weft_rwlock_unlock(&lock)); });
		}
	EXPECT_EQ(0, weft_rwlock_rdlock(&lock));
	std::thread([&] {
		EXPECT_EQ(-EPERM, weft_rwlock_unlock(&lock));
		EXPECT_EQ(0, weft_rwlock_rdlock(&lock)) << "readers together";
		EXPECT_EQ(0, weft_rwlock_unlock(&lock));
	}).join();
	EXPECT_EQ(0, weft_rwlock_unlock(&lock));
	EXPECT_TRUE(is_free(lock));
}

TEST(Offthread, Cond)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_cond cond = WEFT_COND_INIT;
	EXPECT_EQ(-EPERM, weft_cond_wait(&cond, &mutex));
	for (auto wake : {weft_cond_signal, weft_cond_broadcast}) {
		bool told = false;
		blocks_until(
			[&] {
				weft_mutex_lock(&mutex);
				while (!told)
					EXPECT_EQ(0, weft_cond_wait(&cond, &mutex));
				EXPECT_EQ(-EBUSY, weft_mutex_trylock(&mutex)) << "held again";
				EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			},
			[&] {
				weft_mutex_lock(&mutex);
				told = true;
				wake(&cond);
				EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			});
	}
	EXPECT_TRUE(is_free(mutex));
}

TEST(Offthread, SemWaitgroupAndEvent)
{
	weft_sem sem = WEFT_SEM_INIT(0);
	blocks_until([&] { EXPECT_EQ(0, weft_sem_wait(&sem)); },
		[&] { EXPECT_EQ(0, weft_sem_post(&sem)); });
	EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem));
	weft_waitgroup group = WEFT_WAITGROUP_INIT;
	EXPECT_EQ(0, weft_waitgroup_wait(&group));
	EXPECT_EQ(0, weft_waitgroup_add(&group, 2));
	EXPECT_EQ(0, weft_waitgroup_done(&group));
	blocks_until([&] { EXPECT_EQ(0, weft_waitgroup_wait(&group)); },
		[&] { EXPECT_EQ(0, weft_waitgroup_done(&group)); });
	EXPECT_EQ(-EINVAL, weft_waitgroup_done(&group));
	weft_event event = WEFT_EVENT_INIT;
	blocks_until([&] { EXPECT_EQ(0, weft_event_wait(&event)); }, [&] { weft_event_set(&event); });
	EXPECT_EQ(0, weft_event_wait(&event));
	weft_event_reset(&event);
	blocks_until([&] { EXPECT_EQ(0, weft_event_wait(&event)); }, [&] { weft_event_set(&event); });
}

TEST(Offthread, Once)
{
	struct {
		weft_once once = WEFT_ONCE_INIT;
		std::atomic<bool> go_on{false};
		int runs = 0;
	} shared;
	auto slow = [](void *arg) -> void * {
		auto all = static_cast<decltype(shared) *>(arg);
		while (!all->go_on)
			std::this_thread::yield();
		all->runs++;
		return nullptr;
	};
	Threads threads;
	for (int i = 0; i < 2; i++)
		threads.start([&] {
			EXPECT_EQ(0, weft_once_do(&shared.once, slow, &shared));
			EXPECT_EQ(1, shared.runs);
		});
	blocks_until([&] { EXPECT_EQ(0, weft_once_do(&shared.once, slow, &shared)); },
		[&] { shared.go_on = true; });
	threads.join();
	EXPECT_EQ(0, weft_once_do(&shared.once, slow, &shared));
	EXPECT_EQ(1, shared.runs);
}

TEST(Offthread, Barrier)
{
	weft_barrier barrier = WEFT_BARRIER_INIT(3);
	std::atomic<int> ones{0};
	for (int round = 0; round < 20; round++) {
		Threads threads;
		threads.start([&] { ones += weft_barrier_wait(&barrier); });
		blocks_until([&] { ones += weft_barrier_wait(&barrier); },
			[&] { ones += weft_barrier_wait(&barrier); });
		threads.join();
		EXPECT_EQ(round + 1, ones.load());
	}
}

TEST(Offthread, Futex)
{
	uint32_t word = 0;
	blocks_until(
		[&] {
			while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0) {
				int error = weft_futex_wait(&word, 0);
				EXPECT_TRUE(error == 0 || error == -EAGAIN) << error;
			}
		},
		[&] {
			__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
			EXPECT_LE(weft_futex_wake(&word, 1), 1);
		});
	EXPECT_EQ(-EAGAIN, weft_futex_wait(&word, 0));
	EXPECT_EQ(0, weft_futex_wake(&word, UINT_MAX));
}

TEST(Offthread, Channels)
{
	for (size_t capacity : {size_t{0}, size_t{1}}) {
		Chan<long> chan(capacity);
		blocks_until([&] { EXPECT_EQ(42, chan.take()); }, [&] { chan.put(42); });
		for (size_t i = 0; i < capacity; i++)
			chan.put(static_cast<long>(i));
		blocks_until([&] { chan.put(43); },
			[&] {
				for (size_t i = 0; i < capacity; i++)
					EXPECT_EQ(static_cast<long>(i), chan.take());
				EXPECT_EQ(43, chan.take());
			});
		long item = 5;
		EXPECT_EQ(-EAGAIN, chan.try_recv(&item));
		EXPECT_EQ(5, item);
		blocks_until([&] { EXPECT_EQ(-EPIPE, chan.recv(&item)); },
			[&] { EXPECT_EQ(0, chan.close()); });
		EXPECT_EQ(-EPIPE, chan.send(item));
	}
}

TEST(Offthread, Select)
{
	Chan<long> in, out;
	long item = 0, answer = 7;
	auto select = [&](weft_ns deadline) {
		weft_case cases[] = {recv_case(in, &item), send_case(out, &answer)};
		int index = weft_select(cases, 2, deadline);
		if (index >= 0) {
			EXPECT_EQ(0, cases[index].status);
		}
		return index;
	};
	EXPECT_EQ(-EAGAIN, select(0));
	weft_ns deadline = weft_after(2 * WEFT_MS);
	EXPECT_EQ(-ETIMEDOUT, select(deadline));
	EXPECT_GE(weft_now(), deadline);
	blocks_until([&] { EXPECT_EQ(0, select(WEFT_FOREVER)); }, [&] { in.put(42); });
	EXPECT_EQ(42, item);
	blocks_until([&] { EXPECT_EQ(1, select(WEFT_FOREVER)); }, [&] { EXPECT_EQ(7, out.take()); });
}

/* Many threads and nothing else: a mutex, a condition and a channel under load. */
TEST(Offthread, Traffic)
{
	constexpr long rounds = times(20000, 6000);
	constexpr int n = 6;
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_sem sem = WEFT_SEM_INIT(2);
	weft_barrier barrier = WEFT_BARRIER_INIT(n);
	Chan<long> chan(3);
	long count = 0;
	std::atomic<long> sum{0};
	Threads threads;
	for (int i = 0; i < n; i++)
		threads.start([&, i] {
			for (long k = 0; k < rounds; k++) {
				weft_mutex_lock(&mutex);
				count++;
				weft_mutex_unlock(&mutex);
				EXPECT_EQ(0, weft_sem_wait(&sem));
				EXPECT_EQ(0, weft_sem_post(&sem));
				if (i % 2 == 0)
					chan.put(k);
				else
					sum += chan.take();
				if (k % 100 == 0) {
					EXPECT_GE(weft_barrier_wait(&barrier), 0);
				}
			}
		});
	threads.join();
	EXPECT_EQ(n * rounds, count);
	EXPECT_EQ(n / 2 * (rounds * (rounds - 1) / 2), sum.load());
}

TEST(Offthread, NothingIsInForce)
{
	EXPECT_EQ(0, weft_check());
	EXPECT_EQ(0, weft_cancelled());
	EXPECT_EQ(WEFT_FOREVER, weft_deadline(0));
	weft_sem sem = WEFT_SEM_INIT(1);
	EXPECT_EQ(0, weft_sem_wait(&sem)) << "a thread has no deadline";
}

template <typename T>
static void zeroed_is(const T &initialised)
{
	static T of_static_storage;
	T of_cpp{};
	T by_memset;
	memset(&by_memset, 0, sizeof(by_memset));
	for (const T *zeroed : {&of_static_storage, &of_cpp, &by_memset})
		EXPECT_EQ(0, memcmp(zeroed, &initialised, sizeof(initialised)));
}

TEST(Offthread, ZeroedIsInitialised)
{
	zeroed_is<weft_mutex>(WEFT_MUTEX_INIT);
	zeroed_is<weft_rwlock>(WEFT_RWLOCK_INIT);
	zeroed_is<weft_cond>(WEFT_COND_INIT);
	zeroed_is<weft_sem>(WEFT_SEM_INIT(0));
	zeroed_is<weft_waitgroup>(WEFT_WAITGROUP_INIT);
	zeroed_is<weft_event>(WEFT_EVENT_INIT);
	zeroed_is<weft_once>(WEFT_ONCE_INIT);
}

/* errno without the compiler's memory of where it is, which another thread would not share. */
__attribute__((noinline)) static void set_errno(int value)
{
	errno = value;
	__asm__ volatile("");
}

__attribute__((noinline)) static int get_errno()
{
	__asm__ volatile("");
	return errno;
}

TEST(Offthread, FromRuntimeToRuntimeToThread)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_sem sem = WEFT_SEM_INIT(0);
	weft_event event = WEFT_EVENT_INIT;
	Chan<long> chan(10);
	for (long round = 0; round < 3; round++) {
		run(2, [&] {
			weft_fiber *waits = spawn([&] {
				set_errno(79);
				EXPECT_EQ(0, weft_event_wait(&event));
				EXPECT_EQ(0, weft_sem_wait(&sem));
				EXPECT_EQ(79, get_errno());
				weft_mutex_lock(&mutex);
				weft_mutex_unlock(&mutex);
			});
			weft_fiber *gives_up = spawn([&] { return weft_sem_wait(&sem); });
			weft_sleep(WEFT_MS);
			weft_cancel(gives_up);
			EXPECT_EQ(-ECANCELED, join(gives_up));
			weft_event_set(&event);
			EXPECT_EQ(0, weft_sem_post(&sem));
			EXPECT_EQ(0, weft_sem_post(&sem));
			join(waits);
			chan.put(round);
		});
		EXPECT_TRUE(is_free(mutex));
		EXPECT_EQ(0, weft_sem_wait(&sem));
		EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem));
		EXPECT_EQ(0, weft_event_wait(&event));
		weft_event_reset(&event);
		EXPECT_EQ(round, chan.take());
	}
}
