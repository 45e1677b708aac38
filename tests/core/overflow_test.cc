/* SPDX-License-Identifier: MIT */
/* overflow_test.cc - what a fiber that needs too much stack gets
 *
 * Law  an overflow prints one line with the fiber's name, the word "stack", its size and where it was spawned, and the process
 *      dies by a signal, whichever guard the stack has.
 * Law  any other fault goes where it would have gone without weft.
 */
#include <csignal>
#include <sys/wait.h>

#include "tests/core/support.h"

extern "C" {
#include "sched/base/sanitize.h"
void wf_stack_force_guard(int guard);
}

using namespace support;

enum { GUARD_INSTALL, GUARD_MPROTECT, GUARD_WORDS }; /* enum wf_guard of sched/core/stack.h */

/* Writes every byte of the stack, so deep and no deeper: where a word is checked instead of a page, what lies behind it has to
 * survive until it is looked at. */
__attribute__((noinline)) static void dig(size_t bytes)
{
	volatile char *frame = static_cast<volatile char *>(__builtin_alloca(bytes));
	for (size_t at = bytes; at > 0; at--)
		frame[at - 1] = 1;
}

static void dig_in_fiber(const char *name, size_t stack_size, unsigned flags, size_t bytes)
{
	/* One worker: none is on the neighbour's stack while that is written over. */
	run(1, [=] {
		weft_attr attr{.name = nullptr, .stack_size = stack_size, .flags = flags};
		/* The neighbour below, so that there is memory. */
		weft_fiber *below = spawn([] { weft_sleep(WEFT_FOREVER); }, attr);
		attr.name = name;
		weft_fiber *fiber = spawn(
			[bytes] {
				dig(bytes);
				weft_yield(); /* where a checked word is looked at */
			},
			attr);
		weft_join(fiber, nullptr);
		weft_cancel(below);
	});
}

/* Died by a signal; ASan turns it into a report and exit code 1, TSan into 66. */
static bool died(int status)
{
	return WIFSIGNALED(status) || (sanitized && WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static std::string line_for(const char *name, size_t usable)
{
	return std::string("weft: fatal: stack overflow: fiber=[0-9]+ \"") + name +
		"\" stack=" + std::to_string(usable * WF_STACK_SCALE) + " created at .*\\+0x";
}

class OverflowDeathTest : public testing::TestWithParam<int>
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};
INSTANTIATE_TEST_SUITE_P(
	Guards, OverflowDeathTest, testing::Values(GUARD_INSTALL, GUARD_MPROTECT, GUARD_WORDS));

/* Out of the stack and into its guard page, which is as large as the page above the usable bytes. */
static size_t beyond(size_t usable)
{
	return usable * WF_STACK_SCALE + 4096;
}

TEST_P(OverflowDeathTest, OfTheDefaultStack)
{
	EXPECT_EXIT(
		{
			wf_stack_force_guard(GetParam());
			dig_in_fiber("digger", 0, 0, beyond(65536));
		},
		died, line_for("digger", 65536));
}

TEST_P(OverflowDeathTest, OfAStackOfItsOwnSize)
{
	EXPECT_EXIT(
		{
			wf_stack_force_guard(GetParam());
			dig_in_fiber("deep digger", 200000, 0, beyond(262144));
		},
		died, line_for("deep digger", 262144));
}

TEST_P(OverflowDeathTest, NotBeforeTheUsableBytesAreUsed)
{
	EXPECT_EXIT(
		{
			wf_stack_force_guard(GetParam());
			dig_in_fiber("fits", 0, 0, 60000);
			_exit(0);
		},
		testing::ExitedWithCode(0), "");
}

extern "C" {
__attribute__((noinline)) void *digs_as_first(void *)
{
	dig(beyond(65536));
	return nullptr;
}
}

/* Nobody has spawned it: it was created at its function. */
TEST_F(OverflowDeathTest, OfTheFirstFiber)
{
	EXPECT_EXIT(
		{
			weft_run(nullptr, digs_as_first, nullptr, nullptr);
			_exit(0);
		},
		died, "created at digs_as_first\\+0x0 ");
}

/* A generator's body has a stack of its own: the line says so. Where a word is checked, it is when the body yields. */
TEST_P(OverflowDeathTest, OfAGenerator)
{
	auto body = [](void *) -> void * {
		dig(beyond(65536));
		weft_gen_yield(nullptr, nullptr);
		return nullptr;
	};
	EXPECT_EXIT(
		{
			wf_stack_force_guard(GetParam());
			run(2, [&] {
				weft_set_name("resumer");
				weft_gen *below = nullptr, *gen = nullptr;
				weft_gen_new_primed(
					&below,
					[](void *arg) -> void * {
						weft_gen_yield(arg, nullptr);
						return arg;
					},
					nullptr);
				weft_gen_new(&gen, body, nullptr);
				weft_gen_next(gen, nullptr);
				weft_gen_next(gen, nullptr);
			});
		},
		died,
		"weft: fatal: stack overflow: a generator or coroutine of fiber=[0-9]+ \"resumer\" stack=" +
			std::to_string(65536 * WF_STACK_SCALE));
}

TEST_F(OverflowDeathTest, OfASmallStack)
{
	if (sanitized)
		GTEST_SKIP() << "instrumented code gives small fibers a normal stack";
	EXPECT_EXIT(dig_in_fiber("small digger", 0, WEFT_SMALL, 3072), died,
		"weft: fatal: stack overflow: fiber=[0-9]+ \"small digger\" stack=1024 created at ");
}

TEST_F(OverflowDeathTest, OfAFiberWithoutAName)
{
	EXPECT_EXIT(dig_in_fiber(nullptr, 0, 0, beyond(65536)), died, line_for("", 65536));
}

TEST_F(OverflowDeathTest, DiesByTheSignalThatItWouldHaveDiedOf)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers handle it";
	EXPECT_EXIT(dig_in_fiber("digger", 0, 0, 1 << 20), testing::KilledBySignal(SIGSEGV),
		"stack overflow");
}

TEST_F(OverflowDeathTest, AnotherFaultIsNotCalledAnOverflow)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers handle it";
	auto fault = [] {
		run(quiet_config(1), [] {
			volatile uintptr_t nowhere = 64;
			*reinterpret_cast<volatile int *>(nowhere) = 1;
		});
	};
	EXPECT_EXIT(fault(), testing::KilledBySignal(SIGSEGV), "^$");
}

TEST_F(OverflowDeathTest, AHandlerThatWasThereBeforeGetsOtherFaults)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers handle it";
	auto fault = [] {
		signal(SIGSEGV, [](int) { _exit(42); });
		run(1, [] { raise(SIGSEGV); });
	};
	EXPECT_EXIT(fault(), testing::ExitedWithCode(42), "");
}

TEST(Overflow, HandlersAreThereWhileARuntimeIs)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers have their own";
	struct sigaction before, during, after;
	sigaction(SIGSEGV, nullptr, &before);
	run(1, [&] { sigaction(SIGSEGV, nullptr, &during); });
	sigaction(SIGSEGV, nullptr, &after);
	EXPECT_NE(before.sa_handler, during.sa_handler);
	EXPECT_EQ(before.sa_handler, after.sa_handler);
}
