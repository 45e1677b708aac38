/* SPDX-License-Identifier: MIT */
/* sync_stress_test.cc - all objects at once, at random, and an account of what must come out of it
 *
 * Law  whatever fibers of two runtimes and plain threads do to the same objects, and whoever is cancelled or late meanwhile: each
 *      object keeps its promise at every moment, every call returns one of its answers, and in the end nothing is held, lost or
 *      left over.
 * Law  weft's own calls need no more stack than a small fiber has.
 */
#include <atomic>
#include <climits>
#include <random>

#include "tests/sync/parties.h"

using namespace support;
using chan_test::Chan;

class SyncStress : public Workers
{
};
FOR_WORKERS(SyncStress);

/* A buffer of four numbers, by a mutex and two conditions. */
class Buffer
{
public:
	int put(long item)
	{
		int error = 0;
		weft_mutex_lock(&mutex_);
		while (count_ == 4 && error == 0)
			error = weft_cond_wait(&emptied_, &mutex_);
		if (error == 0) {
			count_++;
			sum_ += item;
			items_[tail_++ % 4] = item;
			weft_cond_signal(&filled_);
		}
		weft_mutex_unlock(&mutex_);
		return error;
	}
	int take()
	{
		int error = 0;
		weft_mutex_lock(&mutex_);
		while (count_ == 0 && error == 0)
			error = weft_cond_wait(&filled_, &mutex_);
		if (error == 0) {
			count_--;
			sum_ -= items_[head_++ % 4];
			weft_cond_signal(&emptied_);
		}
		weft_mutex_unlock(&mutex_);
		return error;
	}
	/* Frees whoever waits with nobody on the other side. */
	void stir()
	{
		weft_mutex_lock(&mutex_);
		int count = count_;
		weft_mutex_unlock(&mutex_);
		if (count == 0)
			put(1);
		else if (count == 4)
			take();
	}
	void drain()
	{
		while (count_ > 0)
			EXPECT_EQ(0, take());
		EXPECT_EQ(0, sum_);
		EXPECT_TRUE(is_free(mutex_));
	}

private:
	weft_mutex mutex_ = WEFT_MUTEX_INIT;
	weft_cond filled_ = WEFT_COND_INIT, emptied_ = WEFT_COND_INIT;
	long items_[4] = {}, sum_ = 0;
	size_t head_ = 0, tail_ = 0;
	int count_ = 0;
};

/* A function that is done once, with a plain result. */
struct task {
	weft_once once = WEFT_ONCE_INIT;
	int result = 0;

	static void *run(void *arg)
	{
		auto self = static_cast<task *>(arg);
		int seen = self->result;
		weft_yield();
		self->result = seen + 1;
		return nullptr;
	}
};

/* The objects, and what they are held to. */
struct world {
	weft_mutex mutex = WEFT_MUTEX_INIT;
	long a = 0, b = 0; /* the same for whoever holds the mutex */
	weft_rwlock rwlock = WEFT_RWLOCK_INIT;
	long c = 0, d = 0; /* the same for its holders */
	weft_sem sem = WEFT_SEM_INIT(3);
	std::atomic<int> inside{0};
	Buffer buffer;
	Chan<long> chan{2};
	std::atomic<long> chan_sum{0};
	weft_event event = WEFT_EVENT_INIT;
	weft_waitgroup group = WEFT_WAITGROUP_INIT;
	std::vector<task> tasks{2000};
	weft_barrier barrier = WEFT_BARRIER_INIT(2);
	std::atomic<long> ones{0}, zeros{0};
	uint32_t gate = 0;
	std::atomic<long> steps{0}, gave_up{0};
	std::atomic<int> active{0};
	weft_ns end = 0;

	int with_mutex(unsigned way);
	int with_rwlock(unsigned way);
	int with_sem(unsigned way);
	int with_chan(unsigned way);
	int with_event(unsigned way);
	int with_group(unsigned way);
	int with_once(unsigned way);
	int with_barrier();
	int step(std::minstd_rand &random);
	void stir();
	void account();
};

static int lock_somehow(weft_mutex *mutex, unsigned way)
{
	switch (way % 4) {
	case 0:
		return weft_mutex_lock_by(mutex, weft_after(static_cast<weft_ns>(way % 50) * 1000));
	case 1:
		return weft_mutex_trylock(mutex) == 0 ? 0 : -ETIMEDOUT;
	default:
		weft_mutex_lock(mutex);
		return 0;
	}
}

int world::with_mutex(unsigned way)
{
	int error = lock_somehow(&mutex, way);
	if (error != 0)
		return error;
	a++;
	if (way % 16 == 3)
		weft_yield();
	b++;
	EXPECT_EQ(a, b);
	EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	return 0;
}

int world::with_rwlock(unsigned way)
{
	bool writes = way % 4 == 0;
	int error = writes ? weft_rwlock_wrlock(&rwlock) : weft_rwlock_rdlock(&rwlock);
	if (error != 0)
		return error;
	if (writes)
		c++;
	if (way % 16 < 2)
		weft_yield();
	if (writes)
		d++;
	EXPECT_EQ(c, d);
	EXPECT_EQ(0, weft_rwlock_unlock(&rwlock));
	return 0;
}

int world::with_sem(unsigned way)
{
	int error = weft_sem_wait(&sem);
	if (error != 0)
		return error;
	EXPECT_LE(++inside, 3);
	if (way % 8 == 0)
		weft_yield();
	inside--;
	EXPECT_EQ(0, weft_sem_post(&sem));
	return 0;
}

int world::with_chan(unsigned way)
{
	long item = way % 1000;
	int error = way % 2 == 0 ? chan.send(item) : chan.recv(&item);
	if (error == 0)
		chan_sum += way % 2 == 0 ? item : -item;
	return error;
}

int world::with_event(unsigned way)
{
	switch (way % 4) {
	case 0:
		weft_event_set(&event);
		return 0;
	case 1:
		weft_event_reset(&event);
		return 0;
	default:
		return weft_event_wait(&event);
	}
}

int world::with_group(unsigned way)
{
	if (way % 4 == 0)
		return weft_waitgroup_wait(&group);
	EXPECT_EQ(0, weft_waitgroup_add(&group, 2));
	EXPECT_EQ(0, weft_waitgroup_done(&group));
	if (way % 4 == 1)
		weft_yield();
	EXPECT_EQ(0, weft_waitgroup_add(&group, -1));
	return 0;
}

int world::with_once(unsigned way)
{
	task &one = tasks[way % tasks.size()];
	int error = weft_once_do(&one.once, task::run, &one);
	if (error == 0) {
		EXPECT_EQ(1, one.result);
	}
	return error;
}

int world::with_barrier()
{
	int last = weft_barrier_wait(&barrier);
	if (last < 0)
		return last;
	EXPECT_LE(last, 1);
	(last == 1 ? ones : zeros)++;
	return 0;
}

int world::step(std::minstd_rand &random)
{
	unsigned way = static_cast<unsigned>(random() >> 8);
	steps++;
	switch (random() >> 8 & 15) {
	case 0:
	case 1:
		return with_mutex(way);
	case 2:
	case 3:
		return with_rwlock(way);
	case 4:
	case 5:
		return with_sem(way);
	case 6:
		return buffer.put(way % 1000);
	case 7:
		return buffer.take();
	case 8:
	case 9:
		return with_chan(way);
	case 10:
		return with_event(way);
	case 11:
		return with_group(way);
	case 12:
	case 13:
		return with_once(way);
	case 14:
		return with_barrier();
	default: {
		int error = weft_futex_wait(&gate, __atomic_load_n(&gate, __ATOMIC_ACQUIRE));
		return error == -EAGAIN ? 0 : error;
	}
	}
}

/* Whoever waits for a partner that does not come gets one; until all others have ended. On a fiber. */
void world::stir()
{
	long item = 1;
	while (active > 0) {
		weft_event_set(&event);
		__atomic_fetch_add(&gate, 1, __ATOMIC_RELEASE);
		EXPECT_GE(weft_futex_wake(&gate, UINT_MAX), 0);
		if (chan.try_send(1) == 0)
			chan_sum += 1;
		if (chan.try_recv(&item) == 0)
			chan_sum -= item;
		/* These wait, and what they saw may have changed: the one that frees all must not hang itself. */
		weft_deadline(weft_after(100 * WEFT_US));
		buffer.stir();
		with_barrier();
		weft_deadline(WEFT_FOREVER);
		weft_sleep(100 * WEFT_US);
	}
}

void world::account()
{
	EXPECT_TRUE(is_free(mutex));
	EXPECT_EQ(a, b);
	EXPECT_TRUE(is_free(rwlock));
	EXPECT_EQ(c, d);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, weft_sem_trywait(&sem));
	EXPECT_EQ(-EAGAIN, weft_sem_trywait(&sem));
	buffer.drain();
	for (long item; chan.try_recv(&item) == 0;)
		chan_sum -= item;
	EXPECT_EQ(0, chan_sum.load());
	EXPECT_EQ(0, weft_waitgroup_wait(&group));
	EXPECT_EQ(-EINVAL, weft_waitgroup_done(&group));
	for (task &one : tasks)
		EXPECT_LE(one.result, 1);
	EXPECT_EQ(ones.load(), zeros.load()) << "two a round, and one of them is told";
	EXPECT_EQ(0, weft_futex_wake(&gate, UINT_MAX));
	EXPECT_GT(steps.load(), 100);
}

/* A fiber with a random program. */
static void live(world &all, uint64_t seed)
{
	std::minstd_rand random(static_cast<unsigned>(seed));
	for (int k = 0; k < 40 && weft_now() < all.end; k++) {
		if (random() % 2 == 0)
			weft_deadline(weft_after(static_cast<weft_ns>(random() % 200000)));
		int error = all.step(random);
		weft_deadline(WEFT_FOREVER);
		EXPECT_TRUE(error == 0 || error == -ECANCELED || error == -ETIMEDOUT) << error;
		all.gave_up += error != 0;
		if (error == -ECANCELED && random() % 2 == 0)
			return;
	}
}

/* Batches of them, some of which are cancelled. */
static void manage(world &all, uint64_t seed)
{
	std::minstd_rand random(static_cast<unsigned>(seed));
	while (weft_now() < all.end) {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 12; i++) {
			weft_attr attr{};
			attr.flags = random() % 8 == 0 ? WEFT_PINNED : 0;
			uint64_t its = random();
			fibers.push_back(spawn([&all, its] { live(all, its); }, attr));
		}
		for (weft_fiber *fiber : fibers) {
			if (random() % 4 == 0)
				weft_yield();
			if (random() % 3 == 0)
				weft_cancel(fiber);
		}
		join_all(fibers);
	}
	all.active--;
}

TEST_P(SyncStress, Everything)
{
	world all;
	all.end = weft_after(times(3, 4) * WEFT_SEC);
	all.active = 4;
	Threads threads;
	for (unsigned i = 0; i < 2; i++)
		threads.start([&all, i] {
			std::minstd_rand random(1000 + i);
			while (weft_now() < all.end) {
				int error = all.step(random);
				EXPECT_TRUE(error == 0 || error == -ETIMEDOUT) << error;
			}
			all.active--;
		});
	threads.start([&all] { run(2, [&all] { manage(all, 77); }); });
	run(GetParam(), [&all] {
		weft_fiber *stirs = spawn([&all] { all.stir(); });
		manage(all, GetParam());
		join(stirs);
	});
	threads.join();
	all.account();
	EXPECT_GT(all.gave_up.load(), 0);
}

/* What small fibers do: every call that can wait, without a word of output. */
struct small_world {
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_cond cond = WEFT_COND_INIT;
	weft_rwlock rwlock = WEFT_RWLOCK_INIT;
	weft_sem sem = WEFT_SEM_INIT(2);
	weft_event event = WEFT_EVENT_INIT;
	weft_waitgroup group = WEFT_WAITGROUP_INIT;
	weft_once once = WEFT_ONCE_INIT;
	weft_barrier barrier = WEFT_BARRIER_INIT(10);
	uint32_t gate = 0;
	std::atomic<int> errors{0};
	long count = 0, once_runs = 0;
	bool told = false;
};

static void *count_once(void *arg)
{
	static_cast<small_world *>(arg)->once_runs++;
	weft_yield();
	return nullptr;
}

static void *live_small(void *arg)
{
	auto all = static_cast<small_world *>(arg);
	int errors = weft_event_wait(&all->event) != 0;
	errors += weft_sem_wait(&all->sem) != 0;
	weft_yield();
	errors += weft_sem_post(&all->sem) != 0;
	errors += weft_rwlock_rdlock(&all->rwlock) != 0;
	weft_yield();
	errors += weft_rwlock_unlock(&all->rwlock) != 0;
	errors += weft_rwlock_wrlock(&all->rwlock) != 0;
	weft_yield();
	errors += weft_rwlock_unlock(&all->rwlock) != 0;
	errors += weft_once_do(&all->once, count_once, all) != 0;
	errors += weft_barrier_wait(&all->barrier) < 0;
	while (__atomic_load_n(&all->gate, __ATOMIC_ACQUIRE) == 0) {
		int error = weft_futex_wait(&all->gate, 0);
		errors += error != 0 && error != -EAGAIN;
	}
	weft_mutex_lock(&all->mutex);
	while (!all->told)
		errors += weft_cond_wait(&all->cond, &all->mutex) != 0;
	long seen = all->count;
	weft_yield();
	all->count = seen + 1;
	errors += weft_mutex_unlock(&all->mutex) != 0;
	all->errors += errors;
	weft_waitgroup_done(&all->group);
	return nullptr;
}

TEST_P(SyncStress, SmallFibers)
{
	run_virtual(GetParam(), [] {
		constexpr int n = 300;
		small_world all;
		weft_attr attr{};
		attr.flags = WEFT_SMALL;
		EXPECT_EQ(0, weft_waitgroup_add(&all.group, n));
		for (int i = 0; i < n; i++) {
			weft_fiber *fiber = nullptr;
			ASSERT_EQ(0, weft_spawn_attr(&fiber, &attr, live_small, &all));
			EXPECT_EQ(0, weft_detach(fiber));
		}
		settle();
		weft_event_set(&all.event);
		settle();
		__atomic_store_n(&all.gate, 1, __ATOMIC_RELEASE);
		EXPECT_EQ(n, weft_futex_wake(&all.gate, UINT_MAX));
		settle();
		weft_mutex_lock(&all.mutex);
		all.told = true;
		weft_cond_broadcast(&all.cond);
		weft_mutex_unlock(&all.mutex);
		EXPECT_EQ(0, weft_waitgroup_wait(&all.group));
		EXPECT_EQ(0, all.errors.load());
		EXPECT_EQ(n, all.count);
		EXPECT_EQ(1, all.once_runs);
	});
}
