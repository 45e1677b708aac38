/* SPDX-License-Identifier: MIT */
/* fibers_test.cc - what docs/fibers.md says is safe on a fiber
 *
 * Law  each "yes" of that page works on a default stack, and each "no" ends as the page says.
 * Not here: errno, rounding modes and depths of stacks (tests/core), fork and close (tests/io).
 */
#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <pthread.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Safe : public Workers
{
};
FOR_WORKERS(Safe);

TEST_P(Safe, ExceptionsWithinAFiber)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 50; i++)
			fibers.push_back(spawn([i] {
				int caught = -1;
				try {
					weft_yield();
					throw std::runtime_error(std::to_string(i));
				} catch (const std::runtime_error &e) {
					caught = atoi(e.what());
				}
				weft_yield();
				return caught;
			}));
		for (int i = 0; i < 50; i++)
			EXPECT_EQ(i, join(fibers[static_cast<size_t>(i)]));
	});
}

TEST_P(Safe, LongjmpWithinAFiberAcrossParks)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers do not follow a jump back over a change of stacks";
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 20; i++)
			fibers.push_back(spawn([] {
				jmp_buf place;
				volatile int rounds = 0;
				if (setjmp(place) < 10) {
					rounds = rounds + 1;
					weft_sleep(10 * WEFT_US);
					longjmp(place, rounds);
				}
				return static_cast<int>(rounds);
			}));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(10, join(fiber));
	});
}

/* Here the thread that waits in weft_run. */
static std::atomic<pthread_t> handled_by;
static std::atomic<int> handled;

TEST_P(Safe, HandlersRunOnTheProgramsThreads)
{
	if (tsan)
		GTEST_SKIP() << "ThreadSanitizer holds a signal back until its thread calls libc";
	struct sigaction action = {}, before;
	action.sa_handler = [](int) {
		handled_by = pthread_self();
		handled++;
	};
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, &before));
	handled = 0;
	run(GetParam(), [] {
		for (int i = 1; i <= 20; i++) {
			kill(getpid(), SIGUSR1);
			while (handled < i)
				weft_yield();
		}
	});
	EXPECT_EQ(pthread_self(), handled_by.load());
	sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(Safe, TimersInterruptNoFiber)
{
	if (tsan)
		GTEST_SKIP() << "ThreadSanitizer holds a signal back until its thread calls libc";
	struct sigaction action = {}, before;
	action.sa_handler = [](int) { handled++; };
	ASSERT_EQ(0, sigaction(SIGALRM, &action, &before));
	handled = 0;
	struct itimerval often = {{0, 200}, {0, 200}}, never = {};
	run(GetParam(), [&] {
		setitimer(ITIMER_REAL, &often, nullptr);
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 8; i++)
			fibers.push_back(spawn([] {
				long bad = 0;
				for (int n = 0; n < times(20000, 2000); n++) {
					weft_yield();
					bad += n % 100 == 0 && weft_sleep(WEFT_US) != 0;
				}
				return bad;
			}));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, join(fiber));
		while (handled < 10)
			weft_sleep(WEFT_MS);
		setitimer(ITIMER_REAL, &never, nullptr);
	});
	sigaction(SIGALRM, &before, nullptr);
}

TEST_P(Safe, SignalsAreReadFromASignalfd)
{
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, &before));
	run(GetParam(), [&] {
		int fd = signalfd(-1, &set, SFD_CLOEXEC);
		weft_fiber *reader = spawn([fd] {
			struct signalfd_siginfo info = {};
			ssize_t length = weft_read(fd, &info, sizeof(info));
			return length == static_cast<ssize_t>(sizeof(info))
				? static_cast<int>(info.ssi_signo)
				: -1;
		});
		weft_sleep(WEFT_MS);
		kill(getpid(), SIGUSR2);
		EXPECT_EQ(SIGUSR2, join(reader));
		EXPECT_EQ(0, weft_close(fd));
	});
	pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_P(Safe, AnEventfdIsALockThatMayBeHeldAcrossParks)
{
	run(GetParam(), [] {
		int fd = eventfd(1, EFD_CLOEXEC | EFD_SEMAPHORE);
		/* Atomics: ThreadSanitizer does not see that the eventfd orders them. */
		std::atomic<int> inside{0}, worst{0};
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 10; i++)
			fibers.push_back(spawn([&] {
				uint64_t one = 1;
				for (int n = 0; n < 10; n++) {
					EXPECT_EQ(8, weft_read(fd, &one, sizeof(one)));
					worst = std::max(worst.load(), ++inside);
					weft_yield();
					inside--;
					EXPECT_EQ(8, weft_write(fd, &one, sizeof(one)));
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(1, worst.load());
		EXPECT_EQ(0, weft_close(fd));
	});
}

class EndDeathTest : public Safe
{
};
FOR_WORKERS(EndDeathTest);

TEST_P(EndDeathTest, ExitOnAFiberRunsTheExitFunctionsOnce)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	/* ThreadSanitizer sleeps in exit: that is a long run, and its line would stand beside "[bye]". */
	weft_config quiet = config(GetParam());
	quiet.long_run = -1;
	EXPECT_EXIT(
		{
			atexit([] { fprintf(stderr, "[bye]"); });
			run(quiet, [] {
				spawn([] { weft_sleep(WEFT_FOREVER); });
				weft_sleep(WEFT_MS);
				exit(3);
			});
		},
		testing::ExitedWithCode(3), "^\\[bye\\]$");
}

TEST_P(EndDeathTest, AbortOnAFiberIsAnAbort)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(GetParam(), [] { abort(); }), testing::KilledBySignal(SIGABRT), "");
}

TEST_P(EndDeathTest, AnExceptionThatLeavesAFiberTerminates)
{
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(GetParam(),
			    [] {
				    weft_go(
					    [](void *) -> void * {
						    throw std::runtime_error("left the fiber");
					    },
					    nullptr);
				    weft_sleep(WEFT_SEC);
			    }),
		testing::KilledBySignal(SIGABRT), "left the fiber");
}

/* Compiled with -fstack-clash-protection, as the page says that code for fibers should be. */
__attribute__((noinline)) static int large_frame(int seed)
{
	volatile char frame[200 * 1024];
	frame[0] = static_cast<char>(seed);
	return frame[0];
}

TEST_P(EndDeathTest, ALargeFrameDoesNotJumpOverTheGuard)
{
	if (sanitized)
		GTEST_SKIP() << "instrumented code has larger stacks, and the sanitizers handle the fault";
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run(GetParam(),
			    [] {
				    join(spawn([] { return large_frame(1); }, {"jumper", 0, 0}));
			    }),
		testing::KilledBySignal(SIGSEGV), "stack overflow: .*\"jumper\" stack=65536");
}

/* As a user without other processes and a limit of three threads. */
[[noreturn]] static void run_with_few_threads()
{
	if (setuid(64999) != 0)
		_exit(98);
	long descriptors = fd_count();
	struct rlimit limit = {3, 3};
	setrlimit(RLIMIT_NPROC, &limit);
	weft_fn nothing = [](void *arg) { return arg; };
	weft_config many = config(8), one = config(1);
	int refused = weft_run(&many, nothing, nullptr, nullptr);
	/* A thread that was joined counts until the kernel has done with it. */
	eventually([] { return thread_count() == 1; });
	int works = weft_run(&one, nothing, nullptr, nullptr);
	fprintf(stderr, "refused %d, then %d, descriptors %+ld\n", refused, works,
		fd_count() - descriptors);
	_exit(0);
}

TEST(RefusedDeathTest, ARefusedThreadIsAnErrorAndNothingIsLeftBehind)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers die of a refused thread";
	if (geteuid() != 0)
		GTEST_SKIP() << "needs root, to become a user without other processes";
	testing::FLAGS_gtest_death_test_style = "threadsafe";
	EXPECT_EXIT(run_with_few_threads(), testing::ExitedWithCode(0),
		"refused -11, then 0, descriptors \\+0");
}
