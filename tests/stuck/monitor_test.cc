/* SPDX-License-Identifier: MIT */
/* monitor_test.cc - what the monitor owes to everybody, whatever else it has to do
 *
 * Law  a long run is reported however many before it ended while their threads were being asked where they are.
 * Law  and so is a fiber whose runs are all too short for an answer, most of the time.
 * Law  a pinned fiber runs when its worker is free, also where a thread that stands in for it is stuck itself.
 * Law  a runtime that starts has no stalls.
 * Law  neither a rescue nor the end of a runtime waits for who reads stderr.
 * Law  a search for deadlocks among many fibers is broken off when they go on.
 */
#include "tests/stuck/support.h"

#include <functional>
#include <string>

using namespace stuck;

namespace
{

/* The descriptor stands for stderr as long as this lives. */
class Instead
{
public:
	explicit Instead(int fd) : kept_(dup(STDERR_FILENO))
	{
		fflush(stderr);
		dup2(fd, STDERR_FILENO);
	}
	Instead(const Instead &) = delete;
	Instead &operator=(const Instead &) = delete;
	~Instead()
	{
		fflush(stderr);
		dup2(kept_, STDERR_FILENO);
		close(kept_);
	}

private:
	int kept_;
};

void burn(int64_t duration)
{
	for (int64_t end = weft_now() + duration; weft_now() < end;)
		;
}

void nap(int64_t duration)
{
	struct timespec time = {duration / WEFT_SEC, duration % WEFT_SEC};
	syscall(SYS_nanosleep, &time, nullptr);
}

void run_with_long_runs(unsigned workers, std::function<void()> fn)
{
	weft_config config{};
	config.workers = workers;
	config.long_run = 5 * WEFT_MS;
	auto call = [](void *arg) -> void * {
		(*static_cast<std::function<void()> *>(arg))();
		return nullptr;
	};
	EXPECT_EQ(0, weft_run(&config, call, &fn, nullptr));
}

size_t count_of(const std::string &text, const std::string &part)
{
	size_t count = 0;
	for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
		count++;
	return count;
}

std::string text_of(int file)
{
	std::string text(1 << 16, 0);
	ssize_t n = pread(file, text.data(), text.size(), 0);
	text.resize(n > 0 ? static_cast<size_t>(n) : 0);
	return text;
}

} // namespace

TEST(Monitor, ReportsLongRunsAfterThoseThatEndedSoon)
{
	static constexpr int SHORT = 40, LONG = 4;
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_GE(file, 0);
	{
		Instead instead(file);
		run_with_long_runs(1, [] {
			/* Many of them end between the question and the tick of the clock that brings the answer. */
			for (int i = 0; i < SHORT; i++) {
				support::join(spawn([i] { burn((6 + i % 10) * WEFT_MS); }));
				weft_sleep(3 * WEFT_MS);
			}
			weft_sleep(1100 * WEFT_MS); /* only so many lines come in a second */
			weft_attr attr{"lasting", 0, 0};
			for (int i = 0; i < LONG; i++) {
				support::join(spawn([] { burn(300 * WEFT_MS); }, attr));
				weft_sleep(20 * WEFT_MS);
			}
		});
	}
	std::string text = text_of(file);
	EXPECT_EQ(static_cast<size_t>(LONG), count_of(text, "\"lasting\"")) << text;
	close(file);
}

TEST(Monitor, ReportsWhoIsNeverLongEnoughToAnswer)
{
	if (tsan)
		GTEST_SKIP() << "it keeps signals back until the thread makes a call that it knows";
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	ASSERT_GE(file, 0);
	{
		Instead instead(file);
		run_with_long_runs(1, [] {
			weft_attr attr{"often", 0, 0};
			support::join(spawn(
				[] {
					for (int i = 0; i < 100; i++) {
						burn((7 + i % 10) * WEFT_MS);
						weft_sleep(3 * WEFT_MS);
					}
				},
				attr));
		});
	}
	EXPECT_EQ(1u, count_of(text_of(file), "\"often\"")) << text_of(file);
	close(file);
}

class OneWorker : public testing::TestWithParam<Machine>
{
};

INSTANTIATE_TEST_SUITE_P(One, OneWorker, testing::ValuesIn(machines({1})),
	[](const testing::TestParamInfo<Machine> &machine) { return machine_name(machine.param); });

TEST_P(OneWorker, APinnedFiberGetsItBackFromWhoIsStuck)
{
	Runtime runtime(GetParam());
	runtime.run([] {
		int64_t begin = weft_now(), ran = 0, over = 0;
		weft_attr attr{"pinned", 0, WEFT_PINNED};
		weft_fiber *pinned = spawn(
			[&ran] {
				weft_sleep(4 * WEFT_MS); /* due when somebody stands in */
				ran = weft_now();
			},
			attr);
		weft_sleep(2 * WEFT_MS);
		/* The last one spawned runs first, on the worker; the other on the thread that stands in. */
		weft_fiber *other = spawn([&over] {
			nap(1200 * WEFT_MS);
			over = weft_now();
		});
		weft_fiber *first = spawn([] { nap(40 * WEFT_MS); });
		support::join(pinned);
		support::join(first);
		support::join(other);
		EXPECT_LT(ms(ran - begin), 600) << "the worker was free after 40 ms";
		EXPECT_LT(ran, over);
	});
	runtime.stop();
}

TEST(Monitor, ARuntimeThatStartsIsNotStuck)
{
	weft_config config{};
	config.workers = 64;
	for (int round = 0; round < 5; round++) {
		weft_runtime *rt;
		weft_stats stats;
		ASSERT_EQ(0, weft_start(&rt, &config));
		usleep(50000);
		EXPECT_LT(0, weft_stats_get(rt, &stats, nullptr, 0));
		EXPECT_EQ(0u, stats.total.stalls);
		EXPECT_EQ(0, weft_stop(rt));
	}
}

TEST(Monitor, TheEndDoesNotWaitForStderr)
{
	int ends[2];
	char filler[4096] = {};
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	while (write(ends[1], filler, sizeof(filler)) > 0)
		;
	ASSERT_EQ(0, fcntl(ends[1], F_SETFL, 0));
	std::atomic<bool> ended{false};
	{
		Instead instead(ends[1]);
		std::thread thread([&ended] {
			run_with_long_runs(2, [] {
				support::join(spawn([] { nap(100 * WEFT_MS); })); /* its report waits */
			});
			ended = true;
		});
		EXPECT_TRUE(eventually([&ended] { return ended.load(); }));
		close(ends[0]); /* whoever writes is let go now */
		thread.join();
	}
	close(ends[1]);
}

TEST(Monitor, ManyWhoWaitDoNotKeepItFromTheStuck)
{
	const long waiters = support::times(50000, 1000);
	Runtime runtime({WEFT_ENGINE_EPOLL, 1});
	runtime.run([] {
		weft_mutex lock = WEFT_MUTEX_INIT;
		std::vector<weft_fiber *> fibers;
		weft_attr attr{nullptr, 0, WEFT_SMALL};
		weft_mutex_lock(&lock);
		auto wait = [](void *arg) -> void * {
			weft_mutex_lock(static_cast<weft_mutex *>(arg));
			weft_mutex_unlock(static_cast<weft_mutex *>(arg));
			return nullptr;
		};
		for (long i = 0; i < waiters; i++) {
			fibers.emplace_back();
			ASSERT_EQ(0, weft_spawn_attr(&fibers.back(), &attr, wait, &lock));
		}
		for (int round = 0; round < 3; round++) {
			weft_sleep(130 * WEFT_MS); /* all stand still: the search has begun */
			std::atomic<bool> stop{false};
			int64_t gap = 0;
			weft_fiber *beat = spawn([&] {
				for (int64_t last = weft_now(); !stop;) {
					weft_sleep(WEFT_MS);
					gap = std::max(gap, weft_now() - last);
					last = weft_now();
				}
			});
			weft_yield();
			nap(400 * WEFT_MS);
			stop = true;
			support::join(beat);
			EXPECT_LT(ms(gap), 200) << "in round " << round;
		}
		weft_mutex_unlock(&lock);
		for (weft_fiber *fiber : fibers)
			support::join(fiber);
	});
	runtime.stop();
}
