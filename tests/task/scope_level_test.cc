/* SPDX-License-Identifier: MIT */
/* scope_level_test.cc - what ends a scope early, and whom it reaches
 *
 * Law  a child's error, weft_scope_cancel, the deadline, and cancellation of the opener are levels: the opener and all descendants find
 *      them in force at each blocking call until the scope is closed; fibers that are nobody's children do not.
 * Law  the scope's deadline and the fiber's own are apart: each is in force, neither moves or hides the other.
 * Law  close waits for every child, whatever is in force.
 */
#include <atomic>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class ScopeLevel : public Workers
{
};
FOR_WORKERS(ScopeLevel);

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

TEST_P(ScopeLevel, ErrorCancelsSiblingsAndTheOpener)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> cancelled{0};
		int error = in_scope([&](weft_scope &scope) {
			for (int i = 0; i < 10; i++)
				add(scope, [&] {
					cancelled += sleep_forever() == -ECANCELED;
					cancelled += weft_cancelled();
				});
			add(scope, [] {
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				return -EIO;
			});
			EXPECT_EQ(-ECANCELED, sleep_forever());
			EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now());
			for (int i = 0; i < 3; i++) {
				EXPECT_EQ(1, weft_cancelled());
				EXPECT_EQ(-ECANCELED, weft_check());
				EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_MS));
			}
		});
		EXPECT_EQ(-EIO, error);
		EXPECT_EQ(20, cancelled.load());
		EXPECT_EQ(0, weft_cancelled()) << "it ends with the scope";
		EXPECT_EQ(0, weft_check());
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
	});
}

TEST_P(ScopeLevel, CancelReachesOpenerAndDescendants)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> woken{0};
		int error = in_scope([&](weft_scope &scope) {
			for (int i = 0; i < 5; i++)
				add(scope, [&] {
					int inner = in_scope([&](weft_scope &below) {
						add(below, [&] {
							woken += sleep_forever() == -ECANCELED;
						});
						woken += sleep_forever() == -ECANCELED;
					});
					EXPECT_EQ(-ECANCELED, inner);
					EXPECT_EQ(1, weft_cancelled()) << "the outer one goes on";
					return inner;
				});
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			EXPECT_EQ(0, weft_scope_cancel(&scope));
			EXPECT_EQ(0, weft_scope_cancel(&scope)) << "twice is the same as once";
			EXPECT_EQ(-ECANCELED, sleep_forever());
			EXPECT_EQ(1, weft_cancelled());
		});
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_EQ(10, woken.load());
		EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now());
		EXPECT_EQ(0, weft_check());
	});
}

/* The opener, a child, a grandchild, a fiber outside, a thread. */
TEST_P(ScopeLevel, AnybodyMayCancel)
{
	run_virtual(GetParam(), [] {
		for (int who = 0; who < 5; who++) {
			int error = in_scope([who](weft_scope &scope) {
				weft_fiber *other = nullptr;
				auto cancel = [&scope] { EXPECT_EQ(0, weft_scope_cancel(&scope)); };
				add(scope, sleep_forever);
				if (who == 0)
					cancel();
				if (who == 1)
					add(scope, cancel);
				if (who == 2)
					add(scope, [cancel] {
						in_scope([&](weft_scope &below) {
							add(below, cancel);
						});
					});
				if (who == 3)
					other = spawn(cancel);
				if (who == 4)
					std::thread(cancel).join();
				EXPECT_EQ(-ECANCELED, sleep_forever());
				bool was = weft_shield(true);
				if (other != nullptr)
					join(other);
				weft_shield(was);
			});
			EXPECT_EQ(-ECANCELED, error) << who;
		}
	});
}

TEST_P(ScopeLevel, CancelOfAnEmptyScope)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) { weft_scope_cancel(&scope); }));
		EXPECT_EQ(0, weft_check());
	});
}

TEST_P(ScopeLevel, DeadlineReachesOpenerAndDescendants)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> late{0};
		auto body = [&](weft_scope &scope) {
			add(scope, [&] { late += sleep_forever() == -ETIMEDOUT; });
			add(scope, [&] {
				int inner = in_scope([&](weft_scope &below) {
					add(below, [&] { late += sleep_forever() == -ETIMEDOUT; });
				});
				EXPECT_EQ(-ETIMEDOUT, inner);
				return inner;
			});
			EXPECT_EQ(-ETIMEDOUT, sleep_forever());
			EXPECT_EQ(WEFT_SEC + 5 * WEFT_MS, weft_now());
			for (int i = 0; i < 3; i++) {
				EXPECT_EQ(-ETIMEDOUT, weft_check());
				EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_MS));
				EXPECT_EQ(0, weft_cancelled()) << "deadlines do not count";
			}
		};
		EXPECT_EQ(-ETIMEDOUT, in_scope(body, weft_after(5 * WEFT_MS)));
		EXPECT_EQ(2, late.load());
		EXPECT_EQ(0, weft_check()) << "it ends with the scope";
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
	});
}

TEST_P(ScopeLevel, DeadlineThatHasPassedAtTheOpen)
{
	run_virtual(GetParam(), [] {
		for (weft_ns deadline : {weft_now(), weft_now() - 1, weft_ns{0}, weft_ns{-1}, INT64_MIN}) {
			int error = in_scope(
				[](weft_scope &scope) {
					EXPECT_EQ(-ETIMEDOUT, weft_check());
					add(scope, [] {
						EXPECT_EQ(-ETIMEDOUT, weft_check());
						return sleep_forever();
					});
				},
				deadline);
			EXPECT_EQ(-ETIMEDOUT, error);
			EXPECT_EQ(-ETIMEDOUT, in_scope([](weft_scope &) {}, deadline)) << "empty";
		}
		EXPECT_EQ(WEFT_SEC, weft_now());
	});
}

TEST_P(ScopeLevel, DeadlineOfAClosedScopeDoesNothing)
{
	run_virtual(GetParam(), [] {
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(0,
				in_scope([](weft_scope &scope) { add(scope, [] {}); },
					weft_after(WEFT_MS)));
		EXPECT_EQ(0, weft_sleep(10 * WEFT_MS));
		EXPECT_EQ(WEFT_SEC + 10 * WEFT_MS, weft_now());
	});
}

TEST_P(ScopeLevel, SoonestDeadlineIsInForce)
{
	run_virtual(GetParam(), [] {
		for (bool outer_first : {false, true}) {
			weft_ns start = weft_now(), soon = start + WEFT_MS, later = start + 7 * WEFT_MS;
			int outer = in_scope(
				[&](weft_scope &) {
					int inner = in_scope(
						[&](weft_scope &scope) {
							add(scope, [soon] {
								EXPECT_EQ(-ETIMEDOUT, sleep_forever());
								EXPECT_EQ(soon, weft_now());
							});
							EXPECT_EQ(-ETIMEDOUT, sleep_forever());
							EXPECT_EQ(soon, weft_now());
						},
						outer_first ? later : soon);
					EXPECT_EQ(-ETIMEDOUT, inner);
					EXPECT_EQ(-ETIMEDOUT, sleep_forever());
					EXPECT_EQ(outer_first ? soon : later, weft_now());
				},
				outer_first ? soon : later);
			EXPECT_EQ(-ETIMEDOUT, outer);
		}
	});
}

/* The two are apart: each is in force, neither moves or hides the other. */
TEST_P(ScopeLevel, OwnDeadlineAndTheScopes)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		weft_deadline(start + 3 * WEFT_MS);
		int error = in_scope(
			[start](weft_scope &scope) {
				EXPECT_EQ(start + 3 * WEFT_MS, weft_deadline(WEFT_FOREVER));
				add(scope, [start] {
					EXPECT_EQ(WEFT_FOREVER, weft_deadline(start + WEFT_MS));
					EXPECT_EQ(-ETIMEDOUT, sleep_forever());
					EXPECT_EQ(start + WEFT_MS, weft_now());
					weft_deadline(WEFT_FOREVER);
					EXPECT_EQ(-ETIMEDOUT, sleep_forever());
					EXPECT_EQ(start + 5 * WEFT_MS, weft_now());
				});
				weft_deadline(start + 2 * WEFT_MS);
				EXPECT_EQ(-ETIMEDOUT, sleep_forever());
				EXPECT_EQ(start + 2 * WEFT_MS, weft_now());
				weft_deadline(start + 20 * WEFT_MS);
				EXPECT_EQ(-ETIMEDOUT, sleep_forever());
				EXPECT_EQ(start + 5 * WEFT_MS, weft_now());
				weft_deadline(WEFT_FOREVER);
				EXPECT_EQ(-ETIMEDOUT, weft_check()) << "the scope's is not moved by it";
				EXPECT_EQ(WEFT_FOREVER, weft_deadline(start + 7 * WEFT_MS));
			},
			start + 5 * WEFT_MS);
		EXPECT_EQ(-ETIMEDOUT, error);
		EXPECT_EQ(0, weft_check());
		EXPECT_EQ(-ETIMEDOUT, sleep_forever());
		EXPECT_EQ(start + 7 * WEFT_MS, weft_now()) << "the fiber's own is still there";
	});
}

TEST_P(ScopeLevel, OwnDeadlineOfTheOpenerIsNotTheChildrens)
{
	run_virtual(GetParam(), [] {
		weft_deadline(weft_after(WEFT_MS));
		int error = in_scope([](weft_scope &scope) {
			add(scope, [] {
				EXPECT_EQ(WEFT_FOREVER, weft_deadline(WEFT_FOREVER));
				return weft_sleep(5 * WEFT_MS);
			});
			EXPECT_EQ(-ETIMEDOUT, sleep_forever());
		});
		EXPECT_EQ(0, error);
		EXPECT_EQ(WEFT_SEC + 5 * WEFT_MS, weft_now()) << "close waits, late or not";
		EXPECT_EQ(-ETIMEDOUT, weft_check());
	});
}

TEST_P(ScopeLevel, PlainFibersAreNobodysChildren)
{
	run_virtual(GetParam(), [] {
		weft_fiber *plain = nullptr;
		int error = in_scope(
			[&](weft_scope &scope) {
				add(scope, [&plain] {
					plain = spawn([] { return weft_sleep(WEFT_SEC); });
				});
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				weft_scope_cancel(&scope);
			},
			weft_after(2 * WEFT_MS));
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now()) << "close did not wait for it";
		EXPECT_EQ(0, join(plain)) << "neither cancelled nor late";
	});
}

TEST_P(ScopeLevel, CancellingTheOpenerCancelsAllItHasOpen)
{
	run_virtual(GetParam(), [] {
		for (bool in_close : {false, true}) {
			std::atomic<int> woken{0};
			auto child = [&woken] { woken += sleep_forever() == -ECANCELED; };
			weft_fiber *opener = spawn([&] {
				weft_scope scopes[3];
				for (weft_scope &scope : scopes) {
					EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
					add(scope, child);
					add(scope, [child] {
						in_scope([child](weft_scope &below) {
							add(below, child);
						});
					});
				}
				EXPECT_EQ(in_close ? 0 : -ECANCELED, in_close ? 0 : sleep_forever());
				for (int i = 2; i >= 0; i--)
					EXPECT_EQ(-ECANCELED, weft_scope_close(&scopes[i])) << i;
				EXPECT_EQ(1, weft_cancelled()) << "the fiber's own level stays";
				return weft_check();
			});
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			EXPECT_EQ(0, weft_cancel(opener));
			EXPECT_EQ(-ECANCELED, join(opener));
			EXPECT_EQ(6, woken.load());
		}
	});
}

TEST_P(ScopeLevel, OpenedByACancelledFiber)
{
	run_virtual(GetParam(), [] {
		join(spawn([] {
			weft_cancel(weft_self());
			std::atomic<int> cancelled{0};
			int error = in_scope([&](weft_scope &scope) {
				EXPECT_EQ(-ECANCELED, weft_check());
				add(scope, [&] {
					cancelled += weft_cancelled();
					cancelled += sleep_forever() == -ECANCELED;
					in_scope([&](weft_scope &below) {
						add(below, [&] { cancelled += weft_cancelled(); });
					});
				});
				EXPECT_EQ(-ECANCELED, sleep_forever());
			});
			EXPECT_EQ(-ECANCELED, error);
			EXPECT_EQ(3, cancelled.load());
			EXPECT_EQ(WEFT_SEC, weft_now());
		}));
	});
}

TEST_P(ScopeLevel, CancellingOneChildCancelsThatOne)
{
	run_virtual(GetParam(), [] {
		for (int code : {0, -ECANCELED}) {
			std::atomic<weft_fiber *> child{nullptr};
			std::atomic<int> below{0}, sibling{1};
			int error = in_scope([&](weft_scope &scope) {
				add(scope, [&, code] {
					child = weft_self();
					in_scope([&](weft_scope &inner) {
						add(inner, [&] { below = sleep_forever(); });
					});
					return code;
				});
				add(scope, [&] { sibling = weft_sleep(5 * WEFT_MS); });
				weft_sleep(WEFT_MS);
				EXPECT_EQ(0, weft_cancel(child));
			});
			EXPECT_EQ(code, error) << "its own error counts, -ECANCELED too";
			EXPECT_EQ(-ECANCELED, below.load()) << "with all that it had open";
			EXPECT_EQ(code, sibling.load());
		}
	});
}

TEST_P(ScopeLevel, CloseIsNoCancellationPoint)
{
	run_virtual(GetParam(), [] {
		weft_fiber *opener = spawn([] {
			weft_deadline(weft_after(2 * WEFT_MS));
			int error = in_scope(
				[](weft_scope &scope) {
					add(scope, [] {
						weft_shield(true);
						return weft_sleep(10 * WEFT_MS);
					});
				},
				weft_after(3 * WEFT_MS));
			EXPECT_EQ(-ECANCELED, error);
			EXPECT_EQ(WEFT_SEC + 10 * WEFT_MS, weft_now());
		});
		weft_sleep(WEFT_MS);
		weft_cancel(opener);
		join(opener);
	});
}

TEST_P(ScopeLevel, ErrorsClimbOutOfNestedScopes)
{
	run_virtual(GetParam(), [] {
		std::function<int(int)> nest = [&nest](int depth) {
			return in_scope([&nest, depth](weft_scope &scope) {
				add(scope, sleep_forever);
				add(scope, [&nest, depth] {
					EXPECT_EQ(0, weft_sleep(WEFT_US));
					return depth == 0 ? -ENOLINK : nest(depth - 1);
				});
			});
		};
		EXPECT_EQ(-ENOLINK, nest(20));
		EXPECT_EQ(WEFT_SEC + 21 * WEFT_US, weft_now());
	});
}

TEST_P(ScopeLevel, EndOfTheRuntimeCancelsThem)
{
	for (bool embedded : {false, true}) {
		static std::atomic<int> results[2], started;
		results[0] = results[1] = started = 0;
		auto fiber = [](void *) -> void * {
			results[0] = in_scope([](weft_scope &scope) {
				add(scope, [] {
					started = 1;
					return results[1] = sleep_forever();
				});
			});
			return nullptr;
		};
		if (embedded) {
			weft_runtime *rt = nullptr;
			weft_config how = config(GetParam());
			ASSERT_EQ(0, weft_start(&rt, &how));
			EXPECT_EQ(0, weft_submit(rt, fiber, nullptr));
			EXPECT_TRUE(eventually([] { return started == 1; }));
			EXPECT_EQ(0, weft_stop(rt));
		} else {
			run_virtual(GetParam(), [fiber] {
				weft_go(fiber, nullptr);
				weft_sleep(WEFT_MS);
			});
		}
		EXPECT_EQ(-ECANCELED, results[0].load());
		EXPECT_EQ(-ECANCELED, results[1].load());
	}
}
