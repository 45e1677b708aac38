/* SPDX-License-Identifier: MIT */
/* scope_context_test.cc - time limits, and what Go's own tests say of contexts and error groups, said of scopes
 *
 * Law  in layers of scopes the soonest end is the one that is felt, and each layer closes with its own.
 * Law  cancellations that come from many sides at the same time are one; none is lost, and none reaches what is not below it.
 */
#include <algorithm>
#include <atomic>
#include <random>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class ScopeContext : public Workers
{
};
FOR_WORKERS(ScopeContext);

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

TEST_P(ScopeContext, VeryDeepNestingInOneFiber)
{
	run_virtual(GetParam(), [] {
		std::vector<weft_scope> scopes(5000);
		for (weft_scope &scope : scopes)
			EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		EXPECT_EQ(0, weft_check());
		weft_scope_cancel(&scopes[0]);
		EXPECT_EQ(-ECANCELED, sleep_forever());
		for (size_t i = scopes.size() - 1; i > 0; i--)
			EXPECT_EQ(0, weft_scope_close(&scopes[i])) << i;
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scopes[0]));
		EXPECT_EQ(0, weft_check());
	});
}

TEST_P(ScopeContext, ManyEqualDeadlines)
{
	run_virtual(GetParam(), [] {
		weft_ns now = weft_now();
		for (int i = 0; i < 2000; i++) {
			EXPECT_EQ(0, in_scope([](weft_scope &) {}, now + 9998));
			weft_deadline(now + 9998);
			weft_deadline(now + 9999);
		}
		EXPECT_EQ(-ETIMEDOUT,
			in_scope([](weft_scope &) { EXPECT_EQ(-ETIMEDOUT, sleep_forever()); },
				now + 9998));
		EXPECT_EQ(now + 9998, weft_now());
		EXPECT_EQ(0, weft_check());
		EXPECT_EQ(-ETIMEDOUT, sleep_forever());
		EXPECT_EQ(now + 9999, weft_now());
		weft_deadline(WEFT_FOREVER);
	});
}

/* move_on_after and fail_after: what close returns says whether it was too slow. */
TEST_P(ScopeContext, TimeLimits)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		EXPECT_EQ(0, weft_sleep_until(start + WEFT_SEC));
		EXPECT_EQ(start + WEFT_SEC, weft_now());
		EXPECT_EQ(-ETIMEDOUT,
			in_scope([](weft_scope &) { EXPECT_EQ(-ETIMEDOUT, weft_check()); }, weft_now()));
		auto sleep_100 = [](weft_scope &) { weft_sleep(100 * WEFT_SEC); };
		EXPECT_EQ(-ETIMEDOUT, in_scope(sleep_100, weft_after(WEFT_SEC)));
		EXPECT_EQ(start + 2 * WEFT_SEC, weft_now());
		EXPECT_EQ(0, in_scope([](weft_scope &) { weft_sleep(0); }, weft_after(100 * WEFT_SEC)));
		EXPECT_EQ(0, in_scope(sleep_100, weft_after(101 * WEFT_SEC)));
		EXPECT_EQ(start + 102 * WEFT_SEC, weft_now());
	});
}

TEST_P(ScopeContext, ChildrenEndWithTheirParentAndNotTheOtherWayRound)
{
	run_virtual(GetParam(), [] {
		for (bool parent : {false, true}) {
			std::atomic<int> other{1};
			std::atomic<weft_scope *> below{nullptr};
			int error = in_scope([&](weft_scope &scope) {
				add(scope, [&] { other = weft_sleep(5 * WEFT_MS); });
				add(scope, [&, parent] {
					int inner = in_scope([&](weft_scope &mine) {
						below = &mine;
						add(mine, sleep_forever);
					});
					EXPECT_EQ(-ECANCELED, inner);
					return parent ? inner : 0;
				});
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				weft_scope_cancel(parent ? &scope : below.load());
				EXPECT_EQ(parent ? -ECANCELED : 0, weft_check());
			});
			EXPECT_EQ(parent ? -ECANCELED : 0, error);
			EXPECT_EQ(parent ? -ECANCELED : 0, other.load());
		}
	});
}

TEST_P(ScopeContext, ATimeLimitThatWasCancelled)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		EXPECT_EQ(-ECANCELED,
			in_scope(
				[](weft_scope &scope) {
					weft_scope_cancel(&scope);
					EXPECT_EQ(-ECANCELED, sleep_forever());
				},
				weft_after(WEFT_SEC)));
		EXPECT_EQ(start, weft_now());
		EXPECT_EQ(0, weft_sleep(2 * WEFT_SEC));
	});
}

/* One layer: its deadline, and when somebody cancels it. All times differ. */
struct layer {
	weft_scope scope;
	weft_ns deadline = WEFT_FOREVER;
	weft_ns cancelled = WEFT_FOREVER;
};

static void run_layers(std::minstd_rand &random)
{
	std::vector<layer> layers(1 + random() % 40);
	std::vector<weft_ns> at(2 * layers.size());
	weft_ns start = weft_now(), end = start + 1000;
	for (size_t i = 0; i < at.size(); i++)
		at[i] = start + 1 + static_cast<weft_ns>(i);
	std::shuffle(at.begin(), at.end(), random);
	weft_ns felt = end, soonest_cancel = WEFT_FOREVER;
	for (size_t i = 0; i < layers.size(); i++) {
		if (random() % 8 == 0)
			layers[i].deadline = at[2 * i];
		if (random() % 8 == 0)
			layers[i].cancelled = at[2 * i + 1];
		soonest_cancel = std::min(soonest_cancel, layers[i].cancelled);
		felt = std::min({felt, layers[i].deadline, layers[i].cancelled});
		EXPECT_EQ(0, weft_scope_open(&layers[i].scope, layers[i].deadline));
	}
	weft_fiber *canceller = spawn([&] {
		std::vector<layer *> order;
		for (layer &each : layers)
			if (each.cancelled != WEFT_FOREVER)
				order.push_back(&each);
		std::sort(order.begin(), order.end(),
			[](layer *one, layer *other) { return one->cancelled < other->cancelled; });
		for (layer *each : order) {
			EXPECT_EQ(0, weft_sleep_until(each->cancelled));
			EXPECT_EQ(0, weft_scope_cancel(&each->scope));
		}
	});
	int error = weft_sleep_until(end);
	EXPECT_EQ(felt == end ? 0 : felt == soonest_cancel ? -ECANCELED : -ETIMEDOUT, error);
	EXPECT_EQ(felt, weft_now());
	weft_shield(true);
	join(canceller);
	weft_sleep_until(end);
	weft_shield(false);
	for (size_t i = layers.size(); i-- > 0;) {
		const layer &each = layers[i];
		bool late = each.deadline != WEFT_FOREVER;
		EXPECT_EQ(each.cancelled != WEFT_FOREVER ? -ECANCELED
				: late			 ? -ETIMEDOUT
							 : 0,
			weft_scope_close(&layers[i].scope));
	}
	EXPECT_EQ(0, weft_check());
}

TEST_P(ScopeContext, RandomLayers)
{
	run_virtual(GetParam(), [] {
		std::minstd_rand random(GetParam());
		for (long round = 0; round < times(300, 50); round++)
			run_layers(random);
	});
}

/* Closed scopes leave nothing behind in the one around them. */
TEST_P(ScopeContext, ManyShortOnesInALongOne)
{
	run(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &around) {
			for (long i = 0; i < times(20000, 1000); i++)
				ASSERT_EQ(0, in_scope([i](weft_scope &scope) {
					if (i % 4 == 0)
						add(scope, [] {});
				}));
			weft_scope_cancel(&around);
			EXPECT_EQ(-ECANCELED, weft_check());
		}));
	});
}

/* A tree of scopes over a tree of fibers, held open until all have been cancelled. */
struct tree {
	weft_event release = WEFT_EVENT_INIT;
	weft_waitgroup opened = WEFT_WAITGROUP_INIT;
	weft_mutex mutex = WEFT_MUTEX_INIT;
	std::vector<weft_scope *> scopes;
	std::atomic<int> cancelled{0};
};

static int grow(tree &all, int depth)
{
	int error = in_scope([&all, depth](weft_scope &scope) {
		weft_mutex_lock(&all.mutex);
		all.scopes.push_back(&scope);
		weft_mutex_unlock(&all.mutex);
		add(scope, [&all] {
			weft_shield(true);
			return weft_event_wait(&all.release);
		});
		for (int i = 0; i < 2 && depth > 0; i++)
			add(scope, [&all, depth] { return grow(all, depth - 1); });
		weft_waitgroup_done(&all.opened);
	});
	all.cancelled += error == -ECANCELED;
	return error;
}

TEST_P(ScopeContext, SimultaneousCancels)
{
	run(GetParam(), [] {
		constexpr int DEPTH = 5, NODES = (2 << DEPTH) - 1;
		for (long round = 0; round < times(60, 10); round++) {
			tree all;
			weft_waitgroup_add(&all.opened, NODES);
			weft_fiber *root = spawn([&all] { return grow(all, DEPTH); });
			EXPECT_EQ(0, weft_waitgroup_wait(&all.opened));
			std::vector<weft_fiber *> cancellers;
			for (weft_scope *scope : all.scopes)
				cancellers.push_back(
					spawn([scope] { return weft_scope_cancel(scope); }));
			for (weft_fiber *canceller : cancellers)
				EXPECT_EQ(0, join(canceller));
			weft_event_set(&all.release);
			EXPECT_EQ(-ECANCELED, join(root));
			EXPECT_EQ(NODES, all.cancelled.load());
		}
	});
}

/* The scope below is cancelled, and whoever feels that cancels the one above, while that one is being cancelled too. */
TEST_P(ScopeContext, InterlockedCancels)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(2000, 200); round++)
			ASSERT_EQ(-ECANCELED, in_scope([round](weft_scope &above) {
				add(above, [&above] {
					return in_scope([&above](weft_scope &below) {
						add(below, [&above] {
							EXPECT_EQ(-ECANCELED, sleep_forever());
							EXPECT_EQ(0, weft_scope_cancel(&above));
						});
						add(below, [&below] {
							EXPECT_EQ(0, weft_scope_cancel(&below));
						});
					});
				});
				if (round % 2)
					weft_scope_cancel(&above);
			}));
	});
}

/* errgroup: the first error is the group's. */
TEST_P(ScopeContext, ErrorGroups)
{
	run_virtual(GetParam(), [] {
		const std::vector<std::vector<int>> groups = {
			{}, {0}, {-1}, {-1, 0}, {0, -1}, {-1, -2}, {0, -1, -2}, {0, 0, -2, -1}};
		for (const std::vector<int> &results : groups) {
			int first = 0;
			for (int result : results)
				first = first == 0 ? result : first;
			std::atomic<int> level{0};
			EXPECT_EQ(first, in_scope([&](weft_scope &group) {
				weft_ns at = weft_now();
				for (int result : results) {
					at++;
					add(group, [at, result] {
						weft_shield(true);
						EXPECT_EQ(0, weft_sleep_until(at));
						return result;
					});
				}
				weft_shield(true);
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				weft_shield(false);
				level = weft_check();
			}));
			EXPECT_EQ(first == 0 ? 0 : -ECANCELED, level.load());
		}
	});
}
