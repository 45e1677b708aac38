/* SPDX-License-Identifier: MIT */
/* scope_death_test.cc - misuse of scopes
 *
 * Law  a return with a scope open, a close that is out of order, by another fiber or of what is not open, an open of what the caller
 *      has open, and a spawn into what is not: each prints one line that begins "weft: fatal:" and names the fiber, and aborts.
 * Law  the line about a scope that was left open says where that was opened, also when its memory is used for other things.
 */
#include <csignal>
#include <cstring>

#include "tests/core/support.h"

using namespace support;

/* One line, which names the fiber. */
static const char *const LINE = "^weft: fatal: [^\n]*fiber=[0-9]+ \"culprit\"[^\n]*\n$";

/* Runs fn, which must not live long, as the first fiber of a runtime. */
static void commit_crime(unsigned workers, const std::function<void()> &fn)
{
	run(quiet_config(workers), [&fn] {
		weft_set_name("culprit");
		fn();
	});
	_exit(0);
}

class ScopeDeathTest : public Workers
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
	void expect_crime(const std::function<void()> &fn) const
	{
		EXPECT_EXIT(commit_crime(GetParam(), fn), testing::KilledBySignal(SIGABRT), LINE);
	}
};
FOR_WORKERS(ScopeDeathTest);

static int do_nothing(void *)
{
	return 0;
}

static int sleep_on(void *)
{
	return weft_sleep(WEFT_FOREVER);
}

static void open_scope(weft_scope *scope)
{
	if (weft_scope_open(scope, WEFT_FOREVER) != 0)
		_exit(1);
}

/* On the heap, so that what is found out at the fiber's end does not depend on what a return leaves on the stack. */
static weft_scope *new_open_scope()
{
	auto *scope = static_cast<weft_scope *>(calloc(1, sizeof(weft_scope)));
	open_scope(scope);
	return scope;
}

TEST_P(ScopeDeathTest, TheFirstFiberReturnsWithAnOpenScope)
{
	expect_crime([] { new_open_scope(); });
}

TEST_P(ScopeDeathTest, AReturnWithAnOpenScopeThatHasChildren)
{
	expect_crime([] { weft_scope_spawn(new_open_scope(), sleep_on, nullptr); });
}

TEST_P(ScopeDeathTest, AReturnWithTheOuterOfTwoOpen)
{
	expect_crime([] {
		new_open_scope();
		weft_scope_close(new_open_scope());
	});
}

extern "C" {
__attribute__((noinline)) weft_scope *opens_and_leaves()
{
	auto *scope = static_cast<weft_scope *>(calloc(1, sizeof(weft_scope)));
	if (weft_scope_open(scope, WEFT_FOREVER) != 0)
		_exit(1);
	return scope;
}
}

/* What a return leaves on the stack, the fiber's end may have written over. */
static void use_again(weft_scope *scope)
{
	memset(scope, 0x5a, sizeof(*scope));
}

static const char *const PLACE = "scope open, opened at opens_and_leaves\\+0x";

TEST_P(ScopeDeathTest, TheLineSaysWhereTheScopeWasOpened)
{
	auto crime = [] { use_again(opens_and_leaves()); };
	EXPECT_EXIT(commit_crime(GetParam(), crime), testing::KilledBySignal(SIGABRT), PLACE);
}

TEST_P(ScopeDeathTest, TheLineSaysWhereTheInnerOfTwoWasOpened)
{
	auto crime = [] {
		weft_scope *outer = new_open_scope();
		use_again(opens_and_leaves());
		use_again(outer);
	};
	EXPECT_EXIT(commit_crime(GetParam(), crime), testing::KilledBySignal(SIGABRT), PLACE);
}

TEST_P(ScopeDeathTest, TheLineSaysWhereTheOuterOfTwoWasOpened)
{
	auto crime = [] {
		weft_scope *outer = opens_and_leaves();
		weft_scope_close(new_open_scope());
		use_again(outer);
	};
	EXPECT_EXIT(commit_crime(GetParam(), crime), testing::KilledBySignal(SIGABRT), PLACE);
}

TEST_P(ScopeDeathTest, ASpawnedFiberReturnsWithAnOpenScope)
{
	expect_crime([] {
		weft_set_name("judge");
		join(spawn([] {
			weft_set_name("culprit");
			new_open_scope();
		}));
	});
}

TEST_P(ScopeDeathTest, AChildReturnsWithAnOpenScope)
{
	expect_crime([] {
		weft_set_name("judge");
		weft_scope scope;
		open_scope(&scope);
		auto child = [](void *) {
			weft_set_name("culprit");
			new_open_scope();
			return 0;
		};
		weft_scope_spawn(&scope, child, nullptr);
		weft_scope_close(&scope);
	});
}

TEST_P(ScopeDeathTest, ClosingTheOuterFirst)
{
	expect_crime([] {
		weft_scope outer, inner;
		open_scope(&outer);
		open_scope(&inner);
		weft_scope_close(&outer);
	});
}

TEST_P(ScopeDeathTest, ClosingTheOuterUnderAShieldFirst)
{
	expect_crime([] {
		weft_scope outer, island;
		open_scope(&outer);
		weft_shield(true);
		open_scope(&island);
		weft_scope_close(&outer);
	});
}

TEST_P(ScopeDeathTest, ClosingFromAnotherFiber)
{
	expect_crime([] {
		weft_set_name("judge");
		weft_scope scope;
		open_scope(&scope);
		join(spawn([&scope] {
			weft_set_name("culprit");
			weft_scope_close(&scope);
		}));
	});
}

TEST_P(ScopeDeathTest, ClosingFromAFiberWithAScopeOfItsOwn)
{
	expect_crime([] {
		weft_set_name("judge");
		weft_scope scope;
		open_scope(&scope);
		join(spawn([&scope] {
			weft_set_name("culprit");
			weft_scope own;
			open_scope(&own);
			weft_scope_close(&scope);
		}));
	});
}

TEST_P(ScopeDeathTest, ClosingFromAChild)
{
	expect_crime([] {
		weft_set_name("judge");
		weft_scope scope;
		open_scope(&scope);
		auto child = [](void *arg) {
			weft_set_name("culprit");
			return weft_scope_close(static_cast<weft_scope *>(arg));
		};
		weft_scope_spawn(&scope, child, &scope);
		weft_scope_close(&scope);
	});
}

TEST_P(ScopeDeathTest, ClosingTwice)
{
	expect_crime([] {
		weft_scope scope;
		open_scope(&scope);
		weft_scope_close(&scope);
		weft_scope_close(&scope);
	});
}

TEST_P(ScopeDeathTest, ClosingWhatWasNeverOpen)
{
	expect_crime([] {
		weft_scope scope = {};
		weft_scope_close(&scope);
	});
}

TEST_P(ScopeDeathTest, SpawningAfterClose)
{
	expect_crime([] {
		weft_scope scope;
		open_scope(&scope);
		weft_scope_spawn(&scope, do_nothing, nullptr);
		weft_scope_close(&scope);
		weft_scope_spawn(&scope, do_nothing, nullptr);
	});
}

TEST_P(ScopeDeathTest, SpawningAfterCloseFromAnotherFiber)
{
	expect_crime([] {
		weft_set_name("judge");
		weft_scope scope;
		open_scope(&scope);
		weft_scope_close(&scope);
		join(spawn([&scope] {
			weft_set_name("culprit");
			weft_scope_spawn(&scope, do_nothing, nullptr);
		}));
	});
}

TEST_P(ScopeDeathTest, SpawningIntoWhatWasNeverOpen)
{
	expect_crime([] {
		weft_scope scope = {};
		weft_scope_spawn(&scope, do_nothing, nullptr);
	});
}

TEST_P(ScopeDeathTest, OpeningAnOpenScope)
{
	expect_crime([] {
		weft_scope scope;
		open_scope(&scope);
		open_scope(&scope);
	});
}

TEST_P(ScopeDeathTest, OpeningAnOpenScopeWithAnotherInside)
{
	expect_crime([] {
		weft_scope outer, inner;
		open_scope(&outer);
		open_scope(&inner);
		open_scope(&outer);
	});
}

/* The line comes from misuse alone. */
TEST_P(ScopeDeathTest, NothingIsSaidOfRightUse)
{
	auto innocent = [] {
		run(quiet_config(GetParam()), [] {
			weft_scope outer, inner;
			for (int i = 0; i < 3; i++) {
				open_scope(&outer);
				open_scope(&inner);
				weft_scope_spawn(&inner, sleep_on, nullptr);
				weft_scope_cancel(&outer);
				weft_scope_close(&inner);
				weft_scope_close(&outer);
			}
		});
		_exit(0);
	};
	EXPECT_EXIT(innocent(), testing::ExitedWithCode(0), "^$");
}
