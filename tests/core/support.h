/* SPDX-License-Identifier: MIT */
/* support.h - what the tests of the scheduler share
 *
 * What     fibers out of C++ functions, runtimes of one call, counts of what a process holds, and the
 *          sizes that sanitizers allow.
 * Rules    a body's EXPECT_... may stand in any fiber; its ASSERT_... leaves that fiber only.
 *          No test waits for time to pass where WEFT_VIRTUAL_TIME will do.
 */
#ifndef TESTS_CORE_SUPPORT_H
#define TESTS_CORE_SUPPORT_H

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <sys/syscall.h>
#include <type_traits>
#include <unistd.h>

#include <gtest/gtest.h>

#include <weft/weft.h>

#if defined(__SANITIZE_ADDRESS__)
#define SUPPORT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SUPPORT_ASAN 1
#elif __has_feature(thread_sanitizer)
#define SUPPORT_TSAN 1
#endif
#endif

/* For what several fibers of one thread do in turn to a word of the thread: TSan cannot know that weft keeps it apart. */
#ifdef SUPPORT_TSAN
#define UNSEEN_BY_TSAN __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define UNSEEN_BY_TSAN __attribute__((noinline))
#endif

namespace support
{
#ifdef SUPPORT_ASAN
constexpr bool asan = true;
#else
constexpr bool asan = false;
#endif
#ifdef SUPPORT_TSAN
constexpr bool tsan = true;
#else
constexpr bool tsan = false;
#endif
constexpr bool sanitized = asan || tsan;

/* Does the kernel refuse io_uring here? */
inline bool ring_refused()
{
	syscall(SYS_io_uring_setup, 1, nullptr); /* EFAULT where it is allowed */
	return errno == EPERM || errno == ENOSYS;
}

/* ThreadSanitizer knows 8,128 contexts; LeakSanitizer reads every stack, eight times as large as usual. */
constexpr long fibers_max = tsan ? 3000 : asan ? 1500 : 1000000000;

/* How often: the full number, or what instrumented code does in the same time. */
constexpr long times(long normal, long with_sanitizer)
{
	return sanitized ? with_sanitizer : normal;
}

using body = std::function<intptr_t()>;

inline void *run_body(void *arg)
{
	std::unique_ptr<body> owned(static_cast<body *>(arg));
	return reinterpret_cast<void *>((*owned)());
}

/* A joinable fiber that runs fn, whose number (0 when it returns nothing) join() hands out. NULL, and a failure, when there
 * is none. */
template <typename Fn>
weft_fiber *spawn(Fn fn, weft_attr attr = {})
{
	weft_fiber *fiber = nullptr;
	body *owned;
	if constexpr (std::is_void_v<std::invoke_result_t<Fn &>>)
		owned = new body([fn]() mutable { return fn(), 0; });
	else
		owned = new body([fn]() mutable { return static_cast<intptr_t>(fn()); });
	int error = weft_spawn_attr(&fiber, &attr, run_body, owned);
	EXPECT_EQ(0, error);
	if (error != 0)
		delete owned;
	return fiber;
}

inline intptr_t join(weft_fiber *fiber)
{
	void *result = nullptr;
	EXPECT_EQ(0, weft_join(fiber, &result));
	return reinterpret_cast<intptr_t>(result);
}

inline weft_config config(unsigned workers, unsigned flags = 0)
{
	weft_config made{};
	made.workers = workers;
	made.flags = flags;
	return made;
}

/* For tests that compare all that stands on stderr: a busy machine may hold a fiber up, and nothing is said of it. */
inline weft_config quiet_config(unsigned workers, unsigned flags = 0)
{
	weft_config made = config(workers, flags);
	made.long_run = -1;
	return made;
}

/* Runs fn as the first fiber of a runtime, to the end of all its fibers. */
inline void run(const weft_config &how, const std::function<void()> &fn)
{
	auto call = [](void *arg) -> void * {
		(*static_cast<const std::function<void()> *>(arg))();
		return nullptr;
	};
	void *unused = const_cast<std::function<void()> *>(&fn);
	EXPECT_EQ(0, weft_run(&how, call, unused, nullptr));
}

inline void run(unsigned workers, const std::function<void()> &fn)
{
	run(config(workers), fn);
}

inline void run_virtual(unsigned workers, const std::function<void()> &fn)
{
	run(config(workers, WEFT_VIRTUAL_TIME), fn);
}

/* What this process holds, by /proc. */
inline long count_entries(const char *folder)
{
	long count = 0;
	DIR *dir = opendir(folder);
	while (dir != nullptr && readdir(dir) != nullptr)
		count++;
	if (dir != nullptr)
		closedir(dir);
	return count - 3; /* ".", "..", and for /proc/self/fd the folder itself */
}

inline long fd_count()
{
	return count_entries("/proc/self/fd");
}

/* A thread that was joined may still be among them for a moment. */
inline long thread_count()
{
	return count_entries("/proc/self/task") + 1;
}

/* Of those, the ones whose names begin so: whatever else begins and ends meanwhile. */
inline long threads_named(const std::string &prefix)
{
	long count = 0;
	DIR *dir = opendir("/proc/self/task");
	while (const dirent *entry = dir != nullptr ? readdir(dir) : nullptr) {
		std::ifstream comm("/proc/self/task/" + std::string(entry->d_name) + "/comm");
		std::string line;
		count += std::getline(comm, line) && line.rfind(prefix, 0) == 0;
	}
	if (dir != nullptr)
		closedir(dir);
	return count;
}

inline long map_count()
{
	std::ifstream maps("/proc/self/maps");
	std::string line;
	long count = 0;
	while (std::getline(maps, line))
		count++;
	return count;
}

inline long rss_bytes()
{
	std::ifstream statm("/proc/self/statm");
	long pages = 0;
	statm >> pages >> pages;
	return pages * sysconf(_SC_PAGESIZE);
}

/* Waits, in real time and off the processor, until condition() holds. False: not within 20 s. */
inline bool eventually(const std::function<bool()> &condition)
{
	for (int i = 0; i < 20000; i++) {
		if (condition())
			return true;
		usleep(1000);
	}
	return condition();
}

class Workers : public testing::TestWithParam<unsigned>
{
};

} // namespace support

#define FOR_WORKERS(suite)                                                                         \
	INSTANTIATE_TEST_SUITE_P(OnWorkers, suite, testing::Values(1u, 2u, 4u, 8u))

#endif
