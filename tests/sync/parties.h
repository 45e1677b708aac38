/* SPDX-License-Identifier: MIT */
/* parties.h - who takes part in a test of synchronisation: fibers, plain threads, the fibers of a second runtime
 *
 * What     one function run by many of them at once; whether a lock is free; objects that must not be touched once freed.
 * Rules    a fiber does not join a plain thread that waits for fibers: joining blocks a worker.
 */
#ifndef TESTS_SYNC_PARTIES_H
#define TESTS_SYNC_PARTIES_H

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/core/support.h"
#include "tests/sync/chan_support.h"

namespace support
{
using chan_test::join_all;
using chan_test::settle;
using chan_test::Threads;

/* Nobody holds it. */
inline bool is_free(weft_mutex &mutex)
{
	return weft_mutex_trylock(&mutex) == 0 && weft_mutex_unlock(&mutex) == 0;
}

inline bool is_free(weft_rwlock &lock)
{
	return weft_rwlock_trywrlock(&lock) == 0 && weft_rwlock_unlock(&lock) == 0;
}

/* Who came when, as those who come say themselves. */
class Order
{
public:
	void add(int who)
	{
		std::lock_guard<std::mutex> guard(lock_);
		who_.push_back(who);
	}

	std::vector<int> get()
	{
		std::lock_guard<std::mutex> guard(lock_);
		return who_;
	}

private:
	std::mutex lock_;
	std::vector<int> who_;
};

/* 0, 1 .. n - 1. */
inline std::vector<int> ascending(int n)
{
	std::vector<int> all;
	for (int i = 0; i < n; i++)
		all.push_back(i);
	return all;
}

/* fn(first), fn(first + 1) ... on `count` fibers of a runtime of their own, to their end. */
inline void on_fibers(unsigned workers, int first, int count, const std::function<void(int)> &fn)
{
	run(workers, [&] {
		std::vector<weft_fiber *> fibers;
		for (int i = first; i < first + count; i++)
			fibers.push_back(spawn([&fn, i] { fn(i); }));
		join_all(fibers);
	});
}

/* How many parties on_all() has. */
constexpr int parties = 10;

/* fn(0) .. fn(parties - 1), all at once: on four fibers, on three fibers of another runtime, on three plain threads. */
inline void on_all(unsigned workers, const std::function<void(int)> &fn)
{
	Threads threads;
	threads.start([&fn] { on_fibers(2, 4, 3, fn); });
	for (int i = 7; i < parties; i++)
		threads.start([&fn, i] { fn(i); });
	on_fibers(workers, 0, 4, fn);
}

/* Objects that were freed. ASan finds whoever touches one; elsewhere they are kept, and must stay as they were left. */
template <typename T>
class Freed
{
public:
	void take(T *object)
	{
		count++;
		if (asan) {
			delete object;
			return;
		}
		memset(static_cast<void *>(object), 0xa5, sizeof(*object));
		std::lock_guard<std::mutex> guard(lock_);
		objects_.push_back(object);
	}

	~Freed()
	{
		unsigned char untouched[sizeof(T)];
		memset(untouched, 0xa5, sizeof(untouched));
		for (T *object : objects_) {
			EXPECT_EQ(0, memcmp(object, untouched, sizeof(untouched)));
			operator delete(object);
		}
	}

	std::atomic<long> count{0};

private:
	std::mutex lock_;
	std::vector<T *> objects_;
};

/* n objects. For each, one party waits until another one signals it, and frees it at once when it has seen that. */
template <typename T>
void free_after_wait(
	unsigned workers, long n, const std::function<void(T &)> &wait,
	const std::function<void(T &)> &signal, const std::function<void(T &)> &prepare = [](T &) {})
{
	Freed<T> freed;
	std::vector<T *> objects;
	for (long i = 0; i < n; i++) {
		objects.push_back(new T{});
		prepare(*objects.back());
	}
	on_all(workers, [&](int party) {
		for (long i = 0; i < n; i++) {
			if (i % parties == party) {
				wait(*objects[static_cast<size_t>(i)]);
				freed.take(objects[static_cast<size_t>(i)]);
			} else if ((i + 3) % parties == party) {
				signal(*objects[static_cast<size_t>(i)]);
			}
		}
	});
	EXPECT_EQ(n, freed.count.load());
}

} // namespace support

#endif
