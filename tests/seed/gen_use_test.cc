/* SPDX-License-Identifier: MIT */
/* gen_use_test.cc - loops over generators, misuse of them, and many and deep ones
 *
 * Law  WEFT_GEN_EACH closes its generator however its block is left, in C and in C++.
 * Law  chains of any depth are closed and freed on a small stack; what is freed is given back.
 * Law  without memory for a stack nothing has changed.
 */
#include <csignal>
#include <deque>
#include <sys/resource.h>

#include "tests/seed/each.h"
#include "tests/seed/support.h"

using namespace seed;

static void *yield_one(void *)
{
	return reraise(yield(num(1)));
}

static weft_gen *make_numbers(intptr_t last)
{
	weft_gen *gen = nullptr;
	auto body = [](void *arg) -> void * {
		Live live;
		for (intptr_t i = 1; i <= as_num(arg); i++)
			if (yield(num(i)).code < 0)
				return nullptr;
		return num(-1);
	};
	EXPECT_EQ(0, weft_gen_new(&gen, body, num(last)));
	return gen;
}

TEST(GenUse, EachClosesHoweverItIsLeft)
{
	everywhere([] {
		auto leave = [](long expected, long (*loop)(weft_gen *)) {
			weft_gen *gen = make_numbers(5);
			EXPECT_EQ(expected, loop(gen));
			EXPECT_EQ(0, Live::count);
			EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
			weft_gen_free(gen);
		};
		leave(15, each_to_the_end);
		leave(6, each_break);
		leave(6, each_return);
		leave(6, each_goto);
		leave(9, each_continue);
		weft_gen *outer = make_numbers(2);
		EXPECT_EQ(11 + 12 + 21 + 22, each_nested(outer, [] { return make_numbers(9); }));
		weft_gen_free(outer);
		EXPECT_EQ(0, Live::count);
	});
}

TEST(GenUse, EachInCPlusPlus)
{
	everywhere([] {
		long sum = 0;
		auto returns = [&sum](weft_gen *gen) {
			WEFT_GEN_EACH(gen, value) {
				if (as_num(value) == 2)
					continue;
				sum += as_num(value);
				if (as_num(value) == 3)
					return true;
			}
			return false;
		};
		weft_gen *gen = make_numbers(5);
		EXPECT_TRUE(returns(gen));
		EXPECT_EQ(4, sum);
		EXPECT_EQ(0, Live::count);
		weft_gen_free(gen);

		/* An exception that unwinds closes it, too. */
		gen = make_numbers(5);
		try {
			WEFT_GEN_EACH(gen, value)
				throw as_num(value);
		} catch (intptr_t value) {
			EXPECT_EQ(1, value);
			EXPECT_EQ(0, Live::count);
		}
		weft_gen_free(gen);

		/* An error ends the loop. */
		Gen failing([] {
			yield(num(1));
			return weft_gen_raise(-EIO, num(2));
		});
		int rounds = 0;
		WEFT_GEN_EACH(failing, value)
			rounds += value == num(1);
		EXPECT_EQ(1, rounds);
		EXPECT_EQ(-EIO, weft_gen_error(failing, nullptr));
	});
}

class GenUseDeathTest : public testing::Test
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};

static const char *const RUNNING_LINE = "^weft: fatal: [^\n]*weft_gen_free[^\n]*running[^\n]*\n$";

TEST_F(GenUseDeathTest, FreeingARunningOne)
{
	auto crime = [] {
		weft_gen *self = nullptr;
		Gen gen([&self] { return weft_gen_free(self), nullptr; });
		self = gen;
		next(gen);
	};
	EXPECT_EXIT(crime(), testing::KilledBySignal(SIGABRT), RUNNING_LINE);
	EXPECT_EXIT(run(1, crime), testing::KilledBySignal(SIGABRT), RUNNING_LINE);
	auto by_its_sub = [] {
		weft_gen *top = nullptr;
		Gen sub([&top] { return weft_gen_free(top), nullptr; });
		Gen gen([&sub] { return reraise(delegate(sub)); });
		top = gen;
		next(gen);
	};
	EXPECT_EXIT(by_its_sub(), testing::KilledBySignal(SIGABRT), RUNNING_LINE)
		<< "a delegator runs, too";
}

TEST(GenUse, AMillionMadeAndFreed)
{
	everywhere([] {
		const long count = times(1000000, 10000);
		auto make = [](bool begin, bool end) {
			weft_gen *gen = nullptr;
			weft_gen_new(&gen, yield_one, nullptr);
			if (begin)
				weft_gen_next(gen, nullptr);
			if (end)
				weft_gen_next(gen, nullptr);
			weft_gen_free(gen);
		};
		for (int i = 0; i < 1000; i++)
			make(true, false);
		long before = rss_bytes();
		for (long i = 0; i < count / 3; i++) {
			make(false, false);
			make(true, false);
			make(true, true);
		}
		if (!sanitized) {
			EXPECT_LT(rss_bytes() - before, 8 << 20);
		}
	});
}

/* Delegators of `depth`, as one program would have them: each makes its sub and frees it. */
static void *descend(void *arg)
{
	Live live;
	intptr_t depth = as_num(arg);
	if (depth == 0)
		return reraise(yield(num(1)));
	weft_gen *sub = nullptr;
	if (weft_gen_new(&sub, descend, num(depth - 1)) != 0)
		return weft_gen_raise(-ENOMEM, nullptr);
	Step got = delegate(sub);
	weft_gen_free(sub);
	return reraise(got);
}

static void close_deep(long depth)
{
	/* 16 KiB of stack: recursion of whatever frames would not fit. */
	auto ends = [depth](int how) {
		weft_gen *gen = nullptr;
		EXPECT_EQ(0, weft_gen_new(&gen, descend, num(depth)));
		EXPECT_EQ(yielded(num(1)), next(gen));
		EXPECT_EQ(depth + 1, Live::count);
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		if (how == 1) {
			EXPECT_EQ(0, weft_gen_close(gen));
		}
		if (how == 2) {
			EXPECT_EQ((Step{-EIO, num(5)}), throw_in(gen, -EIO, num(5)));
		}
		if (how == 3) {
			EXPECT_EQ(done(nullptr), next(gen));
		}
		weft_gen_free(gen);
		EXPECT_EQ(0, Live::count);
	};
	run(1, [&] {
		for (int how = 0; how < 4; how++)
			join(spawn([&, how] { ends(how); },
				{.name = nullptr, .stack_size = 16384, .flags = 0}));
	});
}

TEST(GenUse, ADeepChainIsClosedOnASmallStack)
{
	close_deep(1000);
	close_deep(std::min(100000L, fibers_max - 1000));
}

/* Starts until there is no memory for one more stack, then gives back what there is. */
template <typename Start, typename Free>
static void run_out_of_stacks(size_t count, Start start, Free free_one)
{
	rlimit limit{};
	std::ifstream statm("/proc/self/statm");
	size_t pages = 0;
	statm >> pages;
	limit.rlim_cur = limit.rlim_max =
		pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + (size_t{64} << 20);
	if (setrlimit(RLIMIT_AS, &limit) != 0)
		_exit(2);
	size_t i = 0;
	int error = 0;
	while (i < count && (error = start(i)) == 0)
		i++;
	if (error != -ENOMEM || i == 0)
		_exit(3);
	if (start(i) != -ENOMEM)
		_exit(4);
	/* A worker keeps some for itself, as many as its cache holds. */
	for (size_t k = 0; k < i; k++)
		free_one(k);
	if (start(i) != 0)
		_exit(5);
	_exit(0);
}

TEST_F(GenUseDeathTest, WithoutAStackNothingHasChanged)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers need more address space than any limit";
	constexpr size_t count = 20000;
	auto generators = [] {
		std::vector<weft_gen *> made(count);
		for (auto &gen : made)
			weft_gen_new(&gen, yield_one, nullptr);
		auto start = [&made](size_t i) {
			Step got = next(made[i]);
			if (got.code == -ENOMEM &&
				(got.value != nullptr || weft_gen_state(made[i]) != WEFT_GEN_CREATED))
				_exit(6);
			return got.code;
		};
		run_out_of_stacks(count, start, [&made](size_t i) { weft_gen_free(made[i]); });
	};
	auto coroutines = [] {
		static weft_coro *main;
		main = weft_coro_current();
		std::vector<weft_coro *> made(count);
		auto body = [](void *) -> void * {
			return weft_coro_switch(main, num(1), nullptr), nullptr;
		};
		for (auto &coro : made)
			weft_coro_new(&coro, body, nullptr);
		auto start = [&made](size_t i) {
			Step got = switch_to(made[i], num(5));
			if (got.code == -ENOMEM && (got.value != nullptr || weft_coro_dead(made[i])))
				_exit(6);
			return got.code;
		};
		run_out_of_stacks(count, start, [&made](size_t i) { weft_coro_free(made[i]); });
	};
	EXPECT_EXIT(generators(), testing::ExitedWithCode(0), "");
	EXPECT_EXIT(run(1, generators), testing::ExitedWithCode(0), "");
	EXPECT_EXIT(coroutines(), testing::ExitedWithCode(0), "");
	EXPECT_EXIT(run(1, coroutines), testing::ExitedWithCode(0), "");
}
