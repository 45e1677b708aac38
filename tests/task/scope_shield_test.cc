/* SPDX-License-Identifier: MIT */
/* scope_shield_test.cc - shields and scopes
 *
 * Law  a shield defers what comes from scopes, as it defers weft_cancel, for the fiber that has it and for no other; the fiber's own
 *      deadline stays in force.
 * Law  a scope opened under a shield is an island: nothing from outside reaches it or whoever is in it; its own deadline and cancellation
 *      do, and the shield starts anew in it. Closing it puts the shield back.
 */
#include <atomic>

#include "tests/core/support.h"

using namespace support;

class ScopeShield : public Workers
{
};
FOR_WORKERS(ScopeShield);

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

/* Runs fn in a fiber that is cancelled `delay` after its start. */
template <typename Fn>
static void in_cancelled(weft_ns delay, Fn fn)
{
	weft_fiber *fiber = spawn(fn);
	weft_sleep(delay);
	EXPECT_EQ(0, weft_cancel(fiber));
	join(fiber);
}

TEST_P(ScopeShield, DefersWhatComesFromScopes)
{
	run_virtual(GetParam(), [] {
		for (bool late : {false, true}) {
			int level = late ? -ETIMEDOUT : -ECANCELED;
			int error = in_scope(
				[=](weft_scope &scope) {
					if (!late)
						weft_scope_cancel(&scope);
					add(scope, [=] {
						EXPECT_FALSE(weft_shield(true))
							<< "a child starts without one";
						EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
						EXPECT_EQ(0, weft_check());
						EXPECT_EQ(0, weft_cancelled());
						EXPECT_TRUE(weft_shield(false));
						EXPECT_EQ(late ? 0 : 1, weft_cancelled());
						EXPECT_EQ(level, weft_check());
						EXPECT_EQ(level, sleep_forever());
					});
					EXPECT_FALSE(weft_shield(true));
					EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
					EXPECT_TRUE(weft_shield(false));
					EXPECT_EQ(level, sleep_forever());
				},
				late ? weft_after(WEFT_MS) : WEFT_FOREVER);
			EXPECT_EQ(level, error);
		}
	});
}

TEST_P(ScopeShield, LeavesTheOwnDeadlineInForce)
{
	run_virtual(GetParam(), [] {
		int error = in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			weft_shield(true);
			weft_deadline(weft_after(WEFT_MS));
			EXPECT_EQ(-ETIMEDOUT, sleep_forever());
			EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now());
			weft_shield(false);
			EXPECT_EQ(-ECANCELED, sleep_forever());
			weft_deadline(WEFT_FOREVER);
		});
		EXPECT_EQ(-ECANCELED, error);
	});
}

TEST_P(ScopeShield, OfTheOpenerIsNotItsChildrens)
{
	run_virtual(GetParam(), [] {
		in_cancelled(WEFT_MS, [] {
			std::atomic<int> child{0};
			int error = in_scope([&child](weft_scope &scope) {
				add(scope, [&child] { child = sleep_forever(); });
				weft_shield(true);
				EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
				EXPECT_EQ(-ECANCELED, child.load()) << "cancelled with the opener";
				add(scope, [] {
					EXPECT_FALSE(weft_shield(false));
					EXPECT_EQ(-ECANCELED, sleep_forever());
				});
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				weft_shield(false);
			});
			EXPECT_EQ(-ECANCELED, error);
		});
	});
}

TEST_P(ScopeShield, OfAChildIsNotItsSiblings)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> sibling{0};
		int error = in_scope([&](weft_scope &scope) {
			add(scope, [&] {
				weft_shield(true);
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				EXPECT_EQ(-ECANCELED, sibling.load());
				add(scope, [] { EXPECT_EQ(-ECANCELED, sleep_forever()); });
			});
			add(scope, [&] { sibling = sleep_forever(); });
			weft_scope_cancel(&scope);
		});
		EXPECT_EQ(-ECANCELED, error);
	});
}

TEST_P(ScopeShield, IslandIsNotReachedByWeftCancel)
{
	run_virtual(GetParam(), [] {
		in_cancelled(WEFT_MS, [] {
			EXPECT_FALSE(weft_shield(true));
			int error = in_scope([](weft_scope &island) {
				EXPECT_FALSE(weft_shield(false)) << "it starts anew";
				add(island, [] {
					EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
					EXPECT_EQ(0, weft_cancelled());
				});
				EXPECT_EQ(0, weft_sleep(3 * WEFT_MS));
				EXPECT_EQ(0, weft_cancelled());
				EXPECT_EQ(0, weft_check());
				add(island, [] {
					EXPECT_EQ(0, weft_check());
					EXPECT_EQ(0, weft_sleep(WEFT_MS));
				});
			});
			EXPECT_EQ(0, error) << "although the opener waited while it was in force outside";
			EXPECT_EQ(WEFT_SEC + 5 * WEFT_MS, weft_now());
			EXPECT_EQ(0, weft_check());
			EXPECT_TRUE(weft_shield(false)) << "as it was";
			EXPECT_EQ(-ECANCELED, weft_check());
		});
	});
}

TEST_P(ScopeShield, IslandIsNotReachedByScopesOutside)
{
	run_virtual(GetParam(), [] {
		for (bool late : {false, true}) {
			int level = late ? -ETIMEDOUT : -ECANCELED;
			auto body = [=](weft_scope &outer) {
				if (!late)
					weft_scope_cancel(&outer);
				weft_shield(true);
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				int error = in_scope([](weft_scope &island) {
					add(island, [] {
						EXPECT_EQ(0, in_scope([](weft_scope &below) {
							add(below, [] { return weft_sleep(WEFT_MS); });
						}));
					});
					EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
				});
				EXPECT_EQ(0, error);
				weft_shield(false);
				EXPECT_EQ(level, sleep_forever());
			};
			EXPECT_EQ(level, in_scope(body, late ? weft_after(WEFT_MS) : WEFT_FOREVER));
		}
	});
}

TEST_P(ScopeShield, IslandObeysItself)
{
	run_virtual(GetParam(), [] {
		weft_shield(true);
		for (int how = 0; how < 3; how++) {
			weft_ns start = weft_now();
			int level = how == 1 ? -ETIMEDOUT : -ECANCELED;
			int error = in_scope(
				[=](weft_scope &island) {
					add(island, [=] {
						EXPECT_EQ(level, sleep_forever());
						EXPECT_EQ(start + WEFT_MS, weft_now());
					});
					add(island, [=, &island] {
						weft_shield(true);
						EXPECT_EQ(0, weft_sleep(WEFT_MS));
						if (how == 0)
							weft_scope_cancel(&island);
						return how == 2 ? -EIO : 0;
					});
					EXPECT_EQ(level, sleep_forever());
					EXPECT_EQ(start + WEFT_MS, weft_now());
				},
				how == 1 ? start + WEFT_MS : WEFT_FOREVER);
			EXPECT_EQ(how == 2 ? -EIO : level, error);
			EXPECT_EQ(0, weft_check());
		}
		EXPECT_TRUE(weft_shield(false));
	});
}

TEST_P(ScopeShield, AgainInsideAnIslandShieldsFromItToo)
{
	run_virtual(GetParam(), [] {
		weft_shield(true);
		int error = in_scope(
			[](weft_scope &island) {
				EXPECT_FALSE(weft_shield(true));
				weft_scope_cancel(&island);
				EXPECT_EQ(0, weft_cancelled());
				EXPECT_EQ(0, weft_sleep(5 * WEFT_MS));
				EXPECT_EQ(0, weft_check());
				weft_deadline(weft_after(WEFT_MS));
				EXPECT_EQ(-ETIMEDOUT, sleep_forever()) << "the own one stays in force";
				weft_deadline(WEFT_FOREVER);
				EXPECT_TRUE(weft_shield(false));
				EXPECT_EQ(-ECANCELED, sleep_forever());
				EXPECT_FALSE(weft_shield(true));
			},
			weft_after(WEFT_MS));
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_TRUE(weft_shield(true)) << "put back";
		EXPECT_EQ(0, in_scope([](weft_scope &) { weft_shield(false); }));
		EXPECT_TRUE(weft_shield(false)) << "put back";
	});
}

/* A scope in an island is an island only when it was opened under a shield again. */
TEST_P(ScopeShield, ScopesInsideAnIsland)
{
	run_virtual(GetParam(), [] {
		for (bool again : {false, true}) {
			int level = again ? 0 : -ECANCELED;
			in_cancelled(WEFT_MS, [=] {
				weft_shield(true);
				int error = in_scope([=](weft_scope &island) {
					EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
					EXPECT_FALSE(weft_shield(again));
					EXPECT_EQ(level, in_scope([=, &island](weft_scope &inner) {
						EXPECT_EQ(0, weft_sleep(WEFT_MS)) << "not from outside";
						weft_scope_cancel(&island);
						EXPECT_EQ(level, weft_sleep(WEFT_MS));
						EXPECT_EQ(-level == ECANCELED, weft_cancelled());
						add(inner, [] { return weft_sleep(WEFT_MS); });
					}));
					EXPECT_EQ(again, weft_shield(false));
					EXPECT_EQ(-ECANCELED, sleep_forever());
				});
				EXPECT_EQ(-ECANCELED, error);
			});
		}
	});
}

TEST_P(ScopeShield, IslandOfAChild)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ended{0};
		int error = in_scope(
			[&](weft_scope &scope) {
				add(scope, [&] {
					EXPECT_EQ(-ECANCELED, sleep_forever());
					bool was = weft_shield(true);
					EXPECT_EQ(0, in_scope([&](weft_scope &farewell) {
						for (int i = 0; i < 5; i++)
							add(farewell, [&] {
								EXPECT_EQ(0, weft_sleep(WEFT_MS));
								ended++;
							});
					}));
					weft_shield(was);
					return weft_check();
				});
				weft_sleep(WEFT_MS);
				weft_scope_cancel(&scope);
			},
			weft_after(WEFT_SEC));
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_EQ(5, ended.load());
		EXPECT_EQ(WEFT_SEC + 2 * WEFT_MS, weft_now());
	});
}

TEST_P(ScopeShield, FarewellIsBoundedByItsOwnDeadline)
{
	run_virtual(GetParam(), [] {
		in_cancelled(WEFT_MS, [] {
			EXPECT_EQ(-ECANCELED, sleep_forever());
			weft_shield(true);
			EXPECT_EQ(-ETIMEDOUT,
				in_scope([](weft_scope &farewell) { add(farewell, sleep_forever); },
					weft_after(2 * WEFT_SEC)));
			EXPECT_EQ(3 * WEFT_SEC + WEFT_MS, weft_now());
		});
	});
}

/* Cancelling a fiber reaches the scopes it opened before its shield, and passes over the islands. */
TEST_P(ScopeShield, CancelledOpenerOfBoth)
{
	run_virtual(GetParam(), [] {
		in_cancelled(WEFT_MS, [] {
			std::atomic<int> outside{1}, inside{1};
			weft_scope plain, island;
			EXPECT_EQ(0, weft_scope_open(&plain, WEFT_FOREVER));
			add(plain, [&] { outside = weft_sleep(5 * WEFT_MS); });
			weft_shield(true);
			EXPECT_EQ(0, weft_scope_open(&island, WEFT_FOREVER));
			add(island, [&] { inside = weft_sleep(5 * WEFT_MS); });
			EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
			EXPECT_EQ(-ECANCELED, outside.load());
			EXPECT_EQ(0, weft_scope_close(&island));
			EXPECT_EQ(0, inside.load());
			EXPECT_TRUE(weft_shield(false));
			EXPECT_EQ(-ECANCELED, weft_scope_close(&plain));
			EXPECT_EQ(-ECANCELED, weft_check());
		});
	});
}

TEST_P(ScopeShield, ChildrenOfAnIslandCanBeCancelledEach)
{
	run_virtual(GetParam(), [] {
		weft_shield(true);
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &island) {
			std::atomic<weft_fiber *> child{nullptr};
			add(island, [&child] {
				child = weft_self();
				return sleep_forever();
			});
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			EXPECT_EQ(0, weft_cancel(child));
			EXPECT_EQ(-ECANCELED, sleep_forever()) << "its error cancels the island";
		}));
		weft_shield(false);
	});
}

/* What came before the island's opening stays outside as well. */
TEST_P(ScopeShield, IslandOpenedByACancelledFiber)
{
	run_virtual(GetParam(), [] {
		join(spawn([] {
			weft_cancel(weft_self());
			EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
				add(scope, sleep_forever);
				weft_shield(true);
				EXPECT_EQ(0, in_scope([](weft_scope &island) {
					add(island, [] { return weft_sleep(WEFT_MS); });
					EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
				}));
				weft_shield(false);
			}));
			EXPECT_EQ(WEFT_SEC + 2 * WEFT_MS, weft_now());
		}));
	});
}
