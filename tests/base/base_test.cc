/* SPDX-License-Identifier: MIT */
/* base_test.cc - what the scheduler stands on: locks, memory, clock and futex, lines on stderr, the number of CPUs
 *
 * Law  a lock lets one in at a time, however many threads want it.
 * Law  memory is aligned and cleared as asked, and can be given back.
 * Law  a fatal line is one line, and the process aborts.
 */
#include <csignal>
#include <cstring>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/support.h"

/* The headers of sched/base are C; these are the functions of theirs that a C++ program can declare. */
extern "C" {
struct wf_a32 {
	uint32_t v;
};
struct wf_lock {
	wf_a32 word;
};
void wf_lock_slow(wf_lock *lock);
void wf_unlock_slow(wf_lock *lock);
void *wf_alloc(size_t size);
void *wf_alloc_zero(size_t size);
void *wf_alloc_lines(size_t size);
void wf_free(void *memory, size_t size);
void wf_free_lines(void *memory, size_t size);
int64_t wf_clock_now(void);
void wf_futex_wait(wf_a32 *word, uint32_t expected, int64_t deadline);
void wf_futex_wake(wf_a32 *word, uint32_t count);
uint64_t wf_random_seed(void);
unsigned wf_cpu_count(void);
void wf_log(int level, const char *format, ...);
void wf_fatal(const char *format, ...);
}

TEST(BaseLock, OneAtATime)
{
	static wf_lock lock;
	static long counter;
	counter = 0;
	long each = support::times(200000, 20000);
	std::vector<std::thread> threads;
	for (int t = 0; t < 4; t++)
		threads.emplace_back([each] {
			for (long i = 0; i < each; i++) {
				/* As wf_lock_acquire and wf_lock_release do. */
				uint32_t free = 0;
				if (!__atomic_compare_exchange_n(&lock.word.v, &free, 1u, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
					wf_lock_slow(&lock);
				counter++;
				if (__atomic_exchange_n(&lock.word.v, 0u, __ATOMIC_ACQ_REL) == 2)
					wf_unlock_slow(&lock);
			}
		});
	for (std::thread &thread : threads)
		thread.join();
	EXPECT_EQ(4 * each, counter);
	EXPECT_EQ(0u, lock.word.v);
}

TEST(BaseAlloc, AlignedAndCleared)
{
	for (size_t size :
		{size_t{1}, size_t{24}, size_t{64}, size_t{1000}, size_t{100000}, size_t{10} << 20}) {
		void *plain = wf_alloc(size);
		ASSERT_NE(nullptr, plain);
		memset(plain, 0xff, size);
		wf_free(plain, size);

		auto *zero = static_cast<char *>(wf_alloc_zero(size));
		auto *lines = static_cast<char *>(wf_alloc_lines(size));
		ASSERT_NE(nullptr, zero);
		ASSERT_NE(nullptr, lines);
		EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(zero) % (size < 16 ? 8 : 16));
		EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(lines) % 64);
		for (size_t i = 0; i < size; i += size < 2000 ? 1 : 997)
			EXPECT_EQ(0, zero[i] | lines[i]);
		wf_free(zero, size);
		wf_free_lines(lines, size);
	}
	wf_free(nullptr, 16);
}

TEST(BaseAlloc, TheHostsMallocIsItsOwn)
{
	if (support::sanitized)
		GTEST_SKIP() << "there both are libc's";
	void *ours = wf_alloc(100);
	void *theirs = malloc(100);
	memset(ours, 1, 100);
	memset(theirs, 2, 100);
	EXPECT_EQ(1, *static_cast<char *>(ours));
	free(theirs);
	wf_free(ours, 100);
}

TEST(BaseSeam, ClockGoesOnAndWaitsEnd)
{
	int64_t start = wf_clock_now();
	wf_a32 word = {1};
	wf_futex_wait(&word, 0, INT64_MAX); /* differs: returns at once */
	wf_futex_wait(&word, 1, start - 1); /* past */
	wf_futex_wait(&word, 1, -1);
	while (wf_clock_now() < start + 2000000)
		wf_futex_wait(&word, 1, start + 2000000);
	EXPECT_GE(wf_clock_now(), start + 2000000);
	EXPECT_NE(0u, wf_random_seed());
}

TEST(BaseSeam, WakesASleeper)
{
	static wf_a32 word;
	__atomic_store_n(&word.v, 0u, __ATOMIC_SEQ_CST);
	std::thread sleeper([] {
		while (__atomic_load_n(&word.v, __ATOMIC_SEQ_CST) == 0)
			wf_futex_wait(&word, 0, INT64_MAX);
	});
	usleep(2000);
	__atomic_store_n(&word.v, 1u, __ATOMIC_SEQ_CST);
	wf_futex_wake(&word, UINT32_MAX);
	sleeper.join();
}

TEST(BaseCpus, AtLeastOneAndNoMoreThanTheMaskAllows)
{
	cpu_set_t mask;
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(mask), &mask));
	unsigned allowed = static_cast<unsigned>(CPU_COUNT(&mask));
	EXPECT_GE(wf_cpu_count(), 1u);
	EXPECT_LE(wf_cpu_count(), allowed);
	cpu_set_t one;
	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &mask))
			CPU_SET(cpu, &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	EXPECT_EQ(1u, wf_cpu_count());
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(mask), &mask));
}

TEST(BaseLog, OneLineAtItsLevel)
{
	errno = E2BIG;
	testing::internal::CaptureStderr();
	wf_log(1, "warned of %d %s", 3, "things");
	wf_log(2, "said only at level info");
	EXPECT_EQ("weft: warned of 3 things\n", testing::internal::GetCapturedStderr());
	EXPECT_EQ(E2BIG, errno);
	testing::internal::CaptureStderr();
	wf_log(1, "%s", std::string(2000, 'x').c_str());
	std::string line = testing::internal::GetCapturedStderr();
	EXPECT_EQ(0u, line.find("weft: xxx"));
	EXPECT_LT(line.size(), 600u) << "cut";
	EXPECT_EQ('\n', line.back());
}

TEST(BaseDeathTest, FatalIsALineAndAnAbort)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(wf_fatal("the %s", "end"), testing::KilledBySignal(SIGABRT),
		"^weft: fatal: the end\n$");
}

TEST(BaseDeathTest, FatalNamesTheFiber)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	auto child = [] {
		support::run(support::quiet_config(1), [] {
			weft_set_name("culprit");
			wf_fatal("the end");
		});
	};
	EXPECT_EXIT(child(), testing::KilledBySignal(SIGABRT),
		"^weft: fatal: the end fiber=[0-9]+ \"culprit\"\n$");
}
