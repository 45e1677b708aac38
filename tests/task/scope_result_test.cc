/* SPDX-License-Identifier: MIT */
/* scope_result_test.cc - what weft_scope_close returns
 *
 * Law  the first that applies: a child's error that came before the scope's own cancellation and lateness; -ECANCELED when it was
 *      cancelled, itself or from outside where that was felt; -ETIMEDOUT when it was late, the one or the other way; 0.
 * Law  -ECANCELED and -ETIMEDOUT from a child are errors of its own only while neither is in force in its scope, from inside or outside.
 */
#include <algorithm>
#include <atomic>

#include "tests/core/support.h"

using namespace support;

class ScopeResult : public Workers
{
};
FOR_WORKERS(ScopeResult);

using task = std::function<int()>;

static int run_task(void *arg)
{
	std::unique_ptr<task> owned(static_cast<task *>(arg));
	return (*owned)();
}

/* A child that runs fn and returns its number; 0 when fn returns nothing. */
template <typename Fn>
static void add(weft_scope &scope, Fn fn)
{
	task *owned;
	if constexpr (std::is_void_v<std::invoke_result_t<Fn &>>)
		owned = new task([fn]() mutable { return fn(), 0; });
	else
		owned = new task(fn);
	int error = weft_scope_spawn(&scope, run_task, owned);
	EXPECT_EQ(0, error);
	if (error != 0)
		delete owned;
}

/* Opens a scope, runs body in it, and returns what its close returns. */
template <typename Fn>
static int in_scope(Fn body, weft_ns deadline = WEFT_FOREVER)
{
	weft_scope scope;
	EXPECT_EQ(0, weft_scope_open(&scope, deadline));
	body(scope);
	return weft_scope_close(&scope);
}

static int sleep_forever()
{
	return weft_sleep(WEFT_FOREVER);
}

/* A child that nothing reaches until a time. */
static void add_shielded(weft_scope &scope, weft_ns until, int code)
{
	add(scope, [until, code] {
		weft_shield(true);
		EXPECT_EQ(0, weft_sleep_until(until));
		return code;
	});
}

/* What may befall an inner scope; each at a time of its own, in milliseconds from the start, or 0: not at all. */
enum cause { CHILD_ERROR, CANCEL, DEADLINE, OUTER_CANCEL, OUTER_DEADLINE, CAUSES };
using times_of_causes = int[CAUSES];

static std::string name_of(const times_of_causes &at, int code)
{
	static const char *const names[] = {
		"error", "cancel", "deadline", "outer cancel", "outer deadline"};
	std::string text = "code " + std::to_string(code) + ":";
	for (int when = 1; when <= CAUSES; when++)
		for (int i = 0; i < CAUSES; i++)
			if (at[i] == when)
				text += std::string(" ") + names[i] + ",";
	return text;
}

static bool before(const times_of_causes &at, cause one, cause other)
{
	return at[one] != 0 && at[one] < at[other];
}

/* The rules of scope.h, for an opener that waits in close all the time. */
static int expected_result(const times_of_causes &at, int code)
{
	bool counts = at[CHILD_ERROR] != 0 && !before(at, CANCEL, CHILD_ERROR) &&
		!before(at, DEADLINE, CHILD_ERROR);
	if (code != -EIO &&
		(before(at, OUTER_CANCEL, CHILD_ERROR) || before(at, OUTER_DEADLINE, CHILD_ERROR)))
		counts = false;
	if (counts)
		return code;
	if (at[CANCEL] != 0 || at[OUTER_CANCEL] != 0)
		return -ECANCELED;
	return at[DEADLINE] != 0 || at[OUTER_DEADLINE] != 0 ? -ETIMEDOUT : 0;
}

static int result_of(const times_of_causes &at, int code)
{
	weft_ns start = weft_now();
	auto when = [&at, start](cause which) {
		return at[which] == 0 ? WEFT_FOREVER : start + at[which] * WEFT_MS;
	};
	weft_scope outer, inner;
	EXPECT_EQ(0, weft_scope_open(&outer, when(OUTER_DEADLINE)));
	EXPECT_EQ(0, weft_scope_open(&inner, when(DEADLINE)));
	add_shielded(inner, start + 10 * WEFT_MS, 0);
	if (at[CHILD_ERROR] != 0)
		add_shielded(inner, when(CHILD_ERROR), code);
	weft_fiber *canceller = spawn([&] {
		for (int i = 1; i <= CAUSES; i++) {
			weft_sleep_until(start + i * WEFT_MS);
			if (at[CANCEL] == i)
				weft_scope_cancel(&inner);
			if (at[OUTER_CANCEL] == i)
				weft_scope_cancel(&outer);
		}
	});
	int result = weft_scope_close(&inner);
	EXPECT_EQ(start + 10 * WEFT_MS, weft_now());
	int after = weft_scope_close(&outer);
	EXPECT_EQ(at[OUTER_CANCEL] != 0		  ? -ECANCELED
			: at[OUTER_DEADLINE] != 0 ? -ETIMEDOUT
						  : 0,
		after);
	join(canceller);
	return result;
}

/* All sets of causes, in all orders. */
TEST_P(ScopeResult, EveryOrderOfEveryCause)
{
	run_virtual(GetParam(), [] {
		for (unsigned set = 0; set < 1u << CAUSES; set++) {
			std::vector<int> causes;
			for (int i = 0; i < CAUSES; i++)
				if (set >> i & 1)
					causes.push_back(i);
			do {
				times_of_causes at = {};
				for (size_t i = 0; i < causes.size(); i++)
					at[causes[i]] = static_cast<int>(i) + 1;
				for (int code : {-EIO, -ECANCELED, -ETIMEDOUT})
					EXPECT_EQ(expected_result(at, code), result_of(at, code))
						<< name_of(at, code);
			} while (std::next_permutation(causes.begin(), causes.end()));
		}
	});
}

TEST_P(ScopeResult, FirstOfSeveralErrors)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		EXPECT_EQ(-3, in_scope([start](weft_scope &scope) {
			for (int i = 1; i <= 5; i++)
				add_shielded(scope, start + (i + 2) % 5 * WEFT_MS + 1, -i);
		}));
		EXPECT_EQ(-7, in_scope([](weft_scope &scope) {
			add(scope, [] {
				EXPECT_EQ(-ECANCELED, sleep_forever());
				return -8; /* an answer to the cancellation */
			});
			add(scope, [] { return weft_sleep(WEFT_MS) == 0 ? -7 : -9; });
		}));
	});
}

/* Nobody looks: the level is in force all the same. */
TEST_P(ScopeResult, LevelsThatNobodyFelt)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
			add(scope, [] {});
			weft_scope_cancel(&scope);
		}));
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
			add(scope, [&scope] { weft_scope_cancel(&scope); });
		}));
		auto pass_time = [](weft_scope &) {
			weft_shield(true);
			EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
			weft_shield(false);
		};
		EXPECT_EQ(-ETIMEDOUT, in_scope(pass_time, weft_after(WEFT_MS)));
		EXPECT_EQ(0, in_scope(pass_time, weft_after(3 * WEFT_MS)));
	});
}

/* A child's own level is an error like any other: it cancels its siblings, and is what close returns. */
TEST_P(ScopeResult, OwnLevelsOfAChildCount)
{
	run_virtual(GetParam(), [] {
		for (int code : {-ECANCELED, -ETIMEDOUT}) {
			std::atomic<int> sibling{0};
			EXPECT_EQ(code, in_scope([&](weft_scope &scope) {
				add(scope, [&] { sibling = sleep_forever(); });
				add(scope, [code] {
					if (code == -ECANCELED)
						weft_cancel(weft_self());
					weft_deadline(weft_after(WEFT_MS));
					return sleep_forever();
				});
			}));
			EXPECT_EQ(-ECANCELED, sibling.load());
		}
	});
}

/* If it counted, it would cancel the sibling, which is late and no more. */
TEST_P(ScopeResult, LateChildrenOfALateScopeDoNotCount)
{
	run_virtual(GetParam(), [] {
		for (bool outside : {false, true}) {
			weft_ns late = weft_after(WEFT_MS), start = weft_now();
			std::atomic<int> looked{0};
			auto body = [&](weft_scope &scope) {
				add(scope, sleep_forever);
				add(scope, [&] {
					weft_shield(true);
					EXPECT_EQ(0, weft_sleep_until(start + 3 * WEFT_MS));
					weft_shield(false);
					EXPECT_EQ(0, weft_cancelled());
					looked = weft_check();
				});
			};
			auto around = [&](weft_scope &) { EXPECT_EQ(-ETIMEDOUT, in_scope(body)); };
			EXPECT_EQ(-ETIMEDOUT, outside ? in_scope(around, late) : in_scope(body, late));
			EXPECT_EQ(-ETIMEDOUT, looked.load());
		}
	});
}

TEST_P(ScopeResult, AnErrorOfAChildInALateOuterScope)
{
	run_virtual(GetParam(), [] {
		int outer = in_scope(
			[](weft_scope &) {
				EXPECT_EQ(-EIO, in_scope([](weft_scope &scope) {
					add(scope, [] {
						EXPECT_EQ(-ETIMEDOUT, sleep_forever());
						return -EIO;
					});
				}));
			},
			weft_after(WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, outer);
	});
}

/* How the outer scope ends; the inner ones below are never cancelled or late themselves. */
static void around(bool cancel, const std::function<void(const std::function<void()> &)> &body)
{
	weft_scope outer;
	weft_ns deadline = weft_after(10 * WEFT_MS);
	EXPECT_EQ(0, weft_scope_open(&outer, cancel ? WEFT_FOREVER : deadline));
	body([&outer, cancel, deadline] {
		if (cancel)
			weft_scope_cancel(&outer);
		bool was = weft_shield(true);
		EXPECT_EQ(0, weft_sleep_until(deadline));
		weft_shield(was);
	});
	EXPECT_EQ(cancel ? -ECANCELED : -ETIMEDOUT, weft_scope_close(&outer));
}

TEST_P(ScopeResult, OnlyOutsideAndFeltByAChild)
{
	run_virtual(GetParam(), [] {
		for (bool cancel : {false, true})
			for (bool silent : {false, true})
				around(cancel, [=](const std::function<void()> &end_outer) {
					int level = cancel ? -ECANCELED : -ETIMEDOUT;
					weft_scope inner;
					EXPECT_EQ(0, weft_scope_open(&inner, WEFT_FOREVER));
					add(inner, [=] {
						int error = sleep_forever();
						EXPECT_EQ(level, error);
						return silent ? 0 : error;
					});
					end_outer();
					bool was = weft_shield(true);
					EXPECT_EQ(0, weft_sleep(WEFT_MS)); /* no child is left */
					weft_shield(was);
					EXPECT_EQ(level, weft_scope_close(&inner));
				});
	});
}

TEST_P(ScopeResult, OnlyOutsideAndFeltByTheOpener)
{
	run_virtual(GetParam(), [] {
		for (bool cancel : {false, true})
			around(cancel, [=](const std::function<void()> &end_outer) {
				weft_scope inner;
				EXPECT_EQ(0, weft_scope_open(&inner, WEFT_FOREVER));
				add_shielded(inner, weft_now() + 20 * WEFT_MS, 0);
				end_outer();
				EXPECT_EQ(cancel ? -ECANCELED : -ETIMEDOUT, weft_scope_close(&inner));
			});
	});
}

/* The children had ended before it came; the opener has nobody to wait for. */
TEST_P(ScopeResult, OnlyOutsideAndNotFelt)
{
	run_virtual(GetParam(), [] {
		for (bool cancel : {false, true})
			for (int children : {0, 1, 5})
				around(cancel, [=](const std::function<void()> &end_outer) {
					weft_scope inner;
					EXPECT_EQ(0, weft_scope_open(&inner, WEFT_FOREVER));
					for (int i = 0; i < children; i++)
						add(inner, [] { return weft_sleep(WEFT_MS); });
					EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
					end_outer();
					EXPECT_EQ(cancel ? -ECANCELED : -ETIMEDOUT, weft_sleep(WEFT_MS));
					EXPECT_EQ(0, weft_scope_close(&inner));
				});
	});
}

TEST_P(ScopeResult, OpenedWhenOnlyOutsideIsInForce)
{
	run_virtual(GetParam(), [] {
		for (bool cancel : {false, true})
			around(cancel, [=](const std::function<void()> &end_outer) {
				int level = cancel ? -ECANCELED : -ETIMEDOUT;
				end_outer();
				EXPECT_EQ(0, in_scope([](weft_scope &) {})) << "nobody felt it";
				EXPECT_EQ(level, in_scope([=](weft_scope &scope) {
					EXPECT_EQ(level, sleep_forever());
					add(scope, sleep_forever);
				}));
				EXPECT_EQ(-EIO, in_scope([](weft_scope &scope) {
					add(scope, [] { return -EIO; });
				})) << "a child's own error is returned all the same";
			});
	});
}

TEST_P(ScopeResult, OuterCancellationOutranksOwnLateness)
{
	run_virtual(GetParam(), [] {
		weft_scope outer;
		EXPECT_EQ(0, weft_scope_open(&outer, WEFT_FOREVER));
		int inner = in_scope(
			[&outer](weft_scope &scope) {
				add(scope, [&outer] {
					EXPECT_EQ(-ETIMEDOUT, sleep_forever());
					weft_scope_cancel(&outer);
					return sleep_forever();
				});
			},
			weft_after(WEFT_MS));
		EXPECT_EQ(-ECANCELED, inner);
		EXPECT_EQ(-ECANCELED, weft_scope_close(&outer));
	});
}

/* An error below ends only the scope it came to; what the opener makes of it is the opener's. */
TEST_P(ScopeResult, ClosesOneAfterTheOther)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(0, in_scope([](weft_scope &outer) {
			add(outer, [] { return weft_sleep(5 * WEFT_MS); });
			EXPECT_EQ(-EIO,
				in_scope([](weft_scope &scope) { add(scope, [] { return -EIO; }); }));
			EXPECT_EQ(0, weft_check());
			EXPECT_EQ(-ETIMEDOUT,
				in_scope([](weft_scope &) { sleep_forever(); }, weft_after(1)));
			EXPECT_EQ(0, weft_check());
			EXPECT_EQ(-ECANCELED,
				in_scope([](weft_scope &scope) { weft_scope_cancel(&scope); }));
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
		}));
	});
}
