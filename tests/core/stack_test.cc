/* SPDX-License-Identifier: MIT */
/* stack_test.cc - memory of stacks
 *
 * Law  all of the usable bytes are usable; pages are committed when touched, and given back when workers fall idle.
 * Law  however many fibers there are, mappings stay below vm.max_map_count.
 * Law  where memory is refused, spawn is -ENOMEM, nothing leaks, and a later spawn works.
 */
#include <algorithm>
#include <atomic>
#include <sys/resource.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

extern "C" void wf_stack_force_guard(int guard);

enum { GUARD_INSTALL, GUARD_MPROTECT, GUARD_WORDS }; /* enum wf_guard of sched/core/stack.h */

class Stack : public Workers
{
};
FOR_WORKERS(Stack);

/* Touches `bytes` below its own frame, page by page, downwards. */
__attribute__((noinline)) static void touch(size_t bytes)
{
	volatile char *frame = static_cast<volatile char *>(__builtin_alloca(bytes));
	for (size_t at = bytes; at > 0; at -= at < 512 ? at : 512)
		frame[at - 1] = 1;
	frame[0] = 1;
}

TEST_P(Stack, AllOfItIsUsable)
{
	run(GetParam(), [] {
		for (size_t size :
			{size_t{16384}, size_t{0}, size_t{65536}, size_t{262144}, size_t{4} << 20}) {
			weft_attr attr{.name = nullptr, .stack_size = size, .flags = 0};
			size_t usable = size == 0 ? 65536 : size;
			std::vector<weft_fiber *> fibers;
			/* A kilobyte for the frames of spawn()'s own C++. Neighbours, so that an overlap shows. */
			for (int i = 0; i < 20; i++)
				fibers.push_back(spawn(
					[usable] {
						touch(usable - 1024);
						weft_yield();
						touch(usable - 1024);
					},
					attr));
			for (weft_fiber *fiber : fibers)
				join(fiber);
		}
	});
}

TEST_P(Stack, NeighboursDoNotOverlap)
{
	run(GetParam(), [] {
		std::atomic<int> wrong{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 200; i++)
			fibers.push_back(spawn([i, &wrong] {
				volatile unsigned char frame[50000];
				for (size_t at = 0; at < sizeof(frame); at += 64)
					frame[at] = static_cast<unsigned char>(i);
				for (int k = 0; k < 3; k++) {
					weft_yield();
					for (size_t at = 0; at < sizeof(frame); at += 64)
						if (frame[at] != static_cast<unsigned char>(i))
							wrong++;
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(0, wrong.load());
	});
}

TEST_P(Stack, PrintfOfALongDoubleFits)
{
	run(GetParam(), [] {
		join(spawn([] {
			char text[128];
			snprintf(text, sizeof(text), "%.40Lf", 3.25L);
			EXPECT_EQ(0, strncmp(text, "3.25", 4));
			FILE *null = fopen("/dev/null", "w");
			fprintf(null, "%Lf %s %g\n", 1e300L, text, 0.1);
			fclose(null);
		}));
	});
}

TEST_P(Stack, SmallFibersDoWhatTheyArePromised)
{
	run(GetParam(), [] {
		weft_attr small{};
		small.flags = WEFT_SMALL;
		static weft_fiber *forever;
		forever = spawn([] { weft_sleep(WEFT_FOREVER); });
		auto watcher = [](void *arg) -> void * {
			touch(512);
			for (int i = 0; i < 10; i++) {
				weft_yield();
				if (weft_sleep(10 * WEFT_US) != 0)
					return arg;
			}
			weft_deadline(weft_after(WEFT_MS));
			weft_join(forever, nullptr);
			weft_deadline(WEFT_FOREVER);
			return weft_check() == 0 ? nullptr : arg;
		};
		std::vector<weft_fiber *> fibers(500);
		for (weft_fiber *&fiber : fibers)
			ASSERT_EQ(0, weft_spawn_attr(&fiber, &small, watcher, &fiber));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, join(fiber));
		weft_cancel(forever);
	});
}

TEST(StackMany, TwoHundredThousandAtOnceStayBelowTheLimitOfMappings)
{
	long limit = 65530;
	std::ifstream("/proc/sys/vm/max_map_count") >> limit;
	long n = std::min(200000l, fibers_max);
	run_virtual(1, [n, limit] {
		std::atomic<long> woken{0};
		static std::atomic<long> *count;
		count = &woken;
		auto sleeper = [](void *) -> void * {
			weft_sleep(WEFT_SEC);
			++*count;
			return nullptr;
		};
		long before = map_count();
		for (long i = 0; i < n; i++)
			ASSERT_EQ(0, weft_go(sleeper, nullptr));
		weft_sleep(WEFT_MS);
		weft_stats stats{};
		weft_stats_get(nullptr, &stats, nullptr, 0);
		EXPECT_EQ(static_cast<uint64_t>(n + 1), stats.fibers_live);
		EXPECT_LT(map_count(), limit / 2) << "all of them are parked, started";
		if (!sanitized && stats.guards_missing == 0) {
			EXPECT_LT(map_count() - before, 2000) << "guards need no mapping of their own";
		}
		weft_sleep(2 * WEFT_SEC);
		EXPECT_EQ(n, woken.load());
	});
}

class StackDeathTest : public testing::TestWithParam<int>
{
};
INSTANTIATE_TEST_SUITE_P(
	Guards, StackDeathTest, testing::Values(GUARD_INSTALL, GUARD_MPROTECT, GUARD_WORDS));

TEST_P(StackDeathTest, EachGuardServesTensOfThousands)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	auto child = [](int guard) {
		wf_stack_force_guard(guard);
		long n = std::min(60000l, fibers_max);
		bool good = true;
		run_virtual(1, [n, &good] {
			auto sleeper = [](void *) -> void * {
				weft_sleep(WEFT_SEC);
				return nullptr;
			};
			for (long i = 0; i < n && good; i++)
				good = weft_go(sleeper, nullptr) == 0;
			weft_sleep(WEFT_MS);
		});
		_exit(good ? 0 : 1);
	};
	EXPECT_EXIT(child(GetParam()), testing::ExitedWithCode(0), "");
}

static void *wait_for_ever(void *)
{
	weft_sleep(WEFT_FOREVER);
	return nullptr;
}

/* Spawns until it fails. */
static int fill_up(std::vector<weft_fiber *> &fibers)
{
	for (;;) {
		weft_fiber *fiber = nullptr;
		int error = weft_spawn(&fiber, wait_for_ever, nullptr);
		if (error != 0 || fibers.size() == 100000)
			return fiber == nullptr ? error : 0;
		fibers.push_back(fiber);
	}
}

TEST_F(StackDeathTest, RefusedMemoryIsAnErrorAndNothingLeaks)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers' shadow does not fit in any limit of address space";
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	auto child = [] {
		weft_config how = quiet_config(2);
		how.rescue = WEFT_RESCUE_OFF; /* a thread that stands in would take of the memory */
		run(how, [] {
			struct rlimit all = {};
			getrlimit(RLIMIT_AS, &all);
			std::vector<weft_fiber *> fibers;
			fibers.reserve(100000);
			std::ifstream statm("/proc/self/statm");
			rlim_t pages = 0;
			statm >> pages;
			struct rlimit limit = all;
			limit.rlim_cur = pages * 4096 + (64u << 20);
			long first = 0;
			for (int round = 0; round < 5; round++) {
				setrlimit(RLIMIT_AS, &limit);
				int error = fill_up(fibers);
				setrlimit(RLIMIT_AS, &all);
				long now = static_cast<long>(fibers.size());
				first = round == 0 ? now : first;
				/* As many fit each time, but for what the other worker may have set aside (its cache and twice as
				 * many promises) and 4 MiB of the allocator: nothing has leaked, or later rounds would sink on. */
				long aside = 3 * 64 + (4 << 20) / (72 << 10); /* WF_STACK_CACHE is 64 */
				if (error != -ENOMEM || now < 500 || now < first - aside)
					fprintf(stderr, "round %d: %ld fibers, then %d\n", round,
						now, error);
				for (weft_fiber *each : fibers) {
					weft_cancel(each);
					weft_join(each, nullptr);
				}
				fibers.clear();
			}
		});
		_exit(0);
	};
	EXPECT_EXIT(child(), testing::ExitedWithCode(0), "^$");
}

TEST(StackMemory, IsGivenBackWhenWorkersFallIdle)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers' shadow is part of what is measured";
	weft_runtime *rt = nullptr;
	weft_config how = config(2);
	ASSERT_EQ(0, weft_start(&rt, &how));
	static std::atomic<int> there, left;
	static weft_event over;
	constexpr int n = 2000;
	there = 0;
	left = n;
	over = WEFT_EVENT_INIT;
	auto use = [](void *) -> void * {
		touch(60000);
		there++;
		weft_event_wait(&over); /* all of them at once */
		left--;
		return nullptr;
	};
	long before = rss_bytes();
	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, weft_submit(rt, use, nullptr));
	EXPECT_TRUE(eventually([] { return there == n; }));
	long used = rss_bytes() - before;
	EXPECT_GT(used, n * 30000l);
	weft_event_set(&over);
	EXPECT_TRUE(eventually([&] { return left == 0 && rss_bytes() - before < used / 4; }))
		<< "of " << used << " bytes there are still " << rss_bytes() - before;
	EXPECT_EQ(0, weft_stop(rt));
}
