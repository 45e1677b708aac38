/* SPDX-License-Identifier: MIT */
/* scope_trio_test.cc - what Trio's own tests say of nurseries and cancel scopes, said of scopes
 *
 * Law  where scope.h promises what Trio's cancel scopes and nurseries do, the assertions of their test
 *      suite hold. Trio's shield belongs to a scope and weft's to a fiber, so there a scope opened under a shield takes its place; and
 *      where Trio raises all errors, close returns the first.
 */
#include <atomic>
#include <random>
#include <set>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Trio : public Workers
{
};
FOR_WORKERS(Trio);

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

/* Trio's checkpoint: looks at the levels, and gives way. */
static int checkpoint()
{
	int error = weft_check();
	weft_yield();
	return error;
}

/* Until all other fibers are parked: virtual time moves only then. */
static void wait_all_blocked()
{
	bool was = weft_shield(true);
	EXPECT_EQ(0, weft_sleep(1));
	weft_shield(was);
}

TEST_P(Trio, ChildCrashBasic)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-EDOM,
			in_scope([](weft_scope &nursery) { add(nursery, [] { return -EDOM; }); }));
	});
}

TEST_P(Trio, BasicInterleave)
{
	run_virtual(GetParam(), [] {
		std::set<char> record[3];
		weft_mutex mutex = WEFT_MUTEX_INIT;
		auto looper = [&](char who) {
			for (auto &round : record) {
				weft_mutex_lock(&mutex);
				round.insert(who);
				weft_mutex_unlock(&mutex);
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
			}
		};
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] { looper('a'); });
			add(nursery, [&] { looper('b'); });
		}));
		for (auto &round : record)
			EXPECT_EQ((std::set<char>{'a', 'b'}), round);
		EXPECT_EQ(WEFT_SEC + 3 * WEFT_MS, weft_now());
	});
}

TEST_P(Trio, TaskCrashPropagation)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> cancelled{0};
		EXPECT_EQ(-EDOM, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] {
				while (checkpoint() == 0)
					;
				cancelled++;
			});
			add(nursery, [] { return -EDOM; });
		}));
		EXPECT_EQ(1, cancelled.load());
	});
}

TEST_P(Trio, TwoChildCrashes)
{
	run_virtual(GetParam(), [] {
		int error = in_scope([](weft_scope &nursery) {
			add(nursery, [] { return -EDOM; });
			add(nursery, [] { return -ERANGE; });
		});
		EXPECT_TRUE(error == -EDOM || error == -ERANGE) << error;
	});
}

TEST_P(Trio, ChildCrashWakesParent)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-EDOM, in_scope([](weft_scope &nursery) {
			add(nursery, [] { return -EDOM; });
			EXPECT_EQ(-ECANCELED, sleep_forever());
		}));
	});
}

TEST_P(Trio, CancelPoints)
{
	run_virtual(GetParam(), [] {
		in_scope([](weft_scope &scope) {
			EXPECT_EQ(0, weft_check());
			weft_scope_cancel(&scope);
			EXPECT_EQ(-ECANCELED, weft_check());
		});
		in_scope([](weft_scope &scope) {
			EXPECT_EQ(0, checkpoint());
			weft_scope_cancel(&scope);
			EXPECT_EQ(-ECANCELED, checkpoint());
		});
		in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			EXPECT_EQ(-ECANCELED, sleep_forever());
		});
		in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			weft_yield();
			EXPECT_EQ(0, weft_sleep(0));
			EXPECT_EQ(-ECANCELED, checkpoint());
		});
	});
}

TEST_P(Trio, CancelEdgeCases)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			weft_scope_cancel(&scope);
			EXPECT_EQ(-ECANCELED, checkpoint());
		}));
		in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			EXPECT_EQ(-ECANCELED, sleep_forever());
			EXPECT_EQ(-ECANCELED, sleep_forever());
		});
	});
}

/* Children cancelled by their nursery and by the scope around it, and an error among them. */
TEST_P(Trio, CancelledAmongErrors)
{
	run_virtual(GetParam(), [] {
		for (bool cancel_nursery : {false, true}) {
			std::atomic<int> cancelled{0};
			auto sleeper = [&] { return cancelled += sleep_forever() == -ECANCELED, 0; };
			int outer = in_scope([&](weft_scope &around) {
				int inner = in_scope([&](weft_scope &nursery) {
					add(nursery, sleeper);
					add(nursery, sleeper);
					wait_all_blocked();
					if (cancel_nursery)
						weft_scope_cancel(&nursery);
					wait_all_blocked();
					add(nursery, sleeper);
					weft_scope_cancel(&around);
					add(nursery, [] { return -ERANGE; });
				});
				EXPECT_EQ(cancel_nursery ? -ECANCELED : -ERANGE, inner);
			});
			EXPECT_EQ(-ECANCELED, outer);
			EXPECT_EQ(3, cancelled.load());
		}
	});
}

TEST_P(Trio, PrecancelledTask)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> started{0};
		EXPECT_EQ(-ECANCELED, in_scope([&](weft_scope &nursery) {
			weft_scope_cancel(&nursery);
			add(nursery, [&] {
				started++;
				return sleep_forever();
			});
		}));
		EXPECT_EQ(1, started.load());
	});
}

TEST_P(Trio, CancelShielding)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &outer) {
			EXPECT_EQ(0, checkpoint());
			weft_scope_cancel(&outer);
			EXPECT_EQ(-ECANCELED, checkpoint());
			weft_shield(true);
			EXPECT_EQ(0, checkpoint()) << "protected from outer";
			EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &innermost) {
				EXPECT_EQ(0, checkpoint());
				weft_scope_cancel(&innermost);
				EXPECT_EQ(-ECANCELED, checkpoint()) << "not from a scope inside";
			}));
			EXPECT_EQ(0, checkpoint());
			weft_shield(false);
			EXPECT_EQ(-ECANCELED, checkpoint()) << "it can be taken off again";
			weft_shield(true);
			EXPECT_EQ(0, checkpoint());
			weft_shield(false);
		}));
	});
}

TEST_P(Trio, CancelInheritance)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> record{0};
		auto leaf = [&](int bit) {
			if (sleep_forever() == -ECANCELED)
				record |= bit;
		};
		auto worker = [&](int first) {
			return in_scope([&leaf, first](weft_scope &nursery) {
				add(nursery, [&leaf, first] { leaf(first); });
				add(nursery, [&leaf, first] { leaf(first * 2); });
			});
		};
		EXPECT_EQ(-ECANCELED, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] { return worker(1); });
			add(nursery, [&] { return worker(4); });
			weft_scope_cancel(&nursery);
		}));
		EXPECT_EQ(15, record.load());
	});
}

/* A cancellation that a shield has held back arrives when the shield is taken off. */
TEST_P(Trio, CancelShieldAbort)
{
	run_virtual(GetParam(), [] {
		weft_event lift = WEFT_EVENT_INIT;
		std::atomic<int> asleep{0}, result{1};
		in_scope([&](weft_scope &outer) {
			weft_scope_cancel(&outer);
			add(outer, [&] {
				weft_shield(true);
				asleep = 1;
				EXPECT_EQ(0, weft_event_wait(&lift));
				weft_shield(false);
				result = sleep_forever();
			});
			wait_all_blocked();
			EXPECT_EQ(1, asleep.load());
			EXPECT_EQ(1, result.load());
			weft_event_set(&lift);
			wait_all_blocked();
			EXPECT_EQ(-ECANCELED, result.load());
		});
	});
}

TEST_P(Trio, BasicTimeout)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(0, in_scope([](weft_scope &) {}, weft_after(WEFT_SEC)));
		EXPECT_EQ(0, weft_sleep(2 * WEFT_SEC)) << "a closed scope's deadline is gone";
		weft_ns start = weft_now();
		EXPECT_EQ(-ETIMEDOUT,
			in_scope([](weft_scope &) { EXPECT_EQ(-ETIMEDOUT, sleep_forever()); },
				start + WEFT_SEC));
		EXPECT_EQ(start + WEFT_SEC, weft_now());
		/* Moving: the fiber's own deadline. */
		start = weft_now();
		EXPECT_EQ(0, checkpoint());
		weft_deadline(start + 10 * WEFT_SEC);
		EXPECT_EQ(0, checkpoint());
		EXPECT_EQ(0, weft_sleep(5 * WEFT_SEC));
		weft_deadline(start + WEFT_SEC);
		EXPECT_EQ(-ETIMEDOUT, checkpoint());
		EXPECT_EQ(-ETIMEDOUT, checkpoint());
		weft_deadline(WEFT_FOREVER);
	});
}

TEST_P(Trio, CancelScopeNesting)
{
	run_virtual(GetParam(), [] {
		/* Two at once. */
		EXPECT_EQ(0, in_scope([](weft_scope &) {
			EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &second) {
				EXPECT_EQ(-ECANCELED, in_scope([&second](weft_scope &third) {
					weft_scope_cancel(&third);
					weft_scope_cancel(&second);
					EXPECT_EQ(-ECANCELED, sleep_forever());
				}));
				EXPECT_EQ(-ECANCELED, checkpoint());
			}));
			EXPECT_EQ(0, checkpoint());
		}));
		/* Shielding. */
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &first) {
			weft_scope_cancel(&first);
			EXPECT_EQ(-ECANCELED, checkpoint());
			EXPECT_EQ(-ECANCELED, checkpoint());
			weft_shield(true);
			EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &second) {
				EXPECT_EQ(0, checkpoint());
				weft_scope_cancel(&second);
				EXPECT_EQ(-ECANCELED, checkpoint());
			}));
			weft_shield(false);
		}));
		/* What was pending at the close is not delivered after it. */
		in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			weft_yield();
		});
		EXPECT_EQ(0, checkpoint());
	});
}

TEST_P(Trio, UnshieldedWhileACancellationIsHandled)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &outer) {
			EXPECT_EQ(0, in_scope([&outer](weft_scope &) {
				weft_scope_cancel(&outer);
				EXPECT_EQ(-ECANCELED, checkpoint());
				weft_shield(true);
				EXPECT_EQ(0, checkpoint());
				weft_shield(false);
			}));
			EXPECT_EQ(-ECANCELED, checkpoint());
		}));
	});
}

TEST_P(Trio, CancelAfterEntryAndFromElsewhere)
{
	run_virtual(GetParam(), [] {
		std::atomic<weft_scope *> entered{nullptr};
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] {
				EXPECT_EQ(-ECANCELED,
					in_scope(
						[&](weft_scope &scope) {
							entered = &scope;
							EXPECT_EQ(-ECANCELED, sleep_forever());
						},
						weft_after(WEFT_SEC)));
			});
			wait_all_blocked();
			EXPECT_EQ(0, weft_scope_cancel(entered));
		}));
		EXPECT_EQ(WEFT_SEC + 1, weft_now());
	});
}

/* On the real clock, once. */
TEST_P(Trio, Timekeeping)
{
	run(GetParam(), [] {
		weft_ns target = weft_after(30 * WEFT_MS);
		EXPECT_EQ(-ETIMEDOUT, in_scope([](weft_scope &) { sleep_forever(); }, target));
		EXPECT_GE(weft_now(), target);
		EXPECT_LT(weft_now(), target + 20 * WEFT_SEC);
	});
}

/* A wait that cannot be cancelled. */
TEST_P(Trio, FailedAbort)
{
	run_virtual(GetParam(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		std::atomic<int> record{0};
		weft_mutex_lock(&mutex);
		std::atomic<weft_scope *> stubborn{nullptr};
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] {
				in_scope([&](weft_scope &scope) {
					stubborn = &scope;
					record = 1;
					weft_mutex_lock(&mutex);
					record = 2;
					EXPECT_EQ(-ECANCELED, checkpoint());
					weft_mutex_unlock(&mutex);
				});
			});
			wait_all_blocked();
			EXPECT_EQ(1, record.load());
			weft_scope_cancel(stubborn);
			wait_all_blocked();
			EXPECT_EQ(1, record.load()) << "it did not wake";
			weft_mutex_unlock(&mutex);
		}));
		EXPECT_EQ(2, record.load());
	});
}

TEST_P(Trio, CheckChecksForTimeout)
{
	run_virtual(GetParam(), [] {
		in_scope(
			[](weft_scope &) {
				EXPECT_EQ(0, checkpoint());
				weft_shield(true);
				EXPECT_EQ(0, weft_sleep(10 * WEFT_SEC));
				weft_shield(false);
				EXPECT_EQ(-ETIMEDOUT, checkpoint());
			},
			weft_after(5 * WEFT_SEC));
	});
}

/* Two scopes around a fiber are cancelled while it waits in the kernel; then it is shielded. */
TEST_P(Trio, SlowAbortEdgeCases)
{
	run(GetParam(), [] {
		int pipes[2];
		ASSERT_EQ(0, pipe(pipes));
		std::atomic<int> record{0};
		in_scope([&](weft_scope &outer1) {
			in_scope([&](weft_scope &outer2) {
				add(outer2, [&] {
					char byte;
					record = 1;
					EXPECT_EQ(-ECANCELED, weft_read(pipes[0], &byte, 1));
					weft_shield(true);
					EXPECT_EQ(0, checkpoint());
					EXPECT_EQ(1, weft_write(pipes[1], "x", 1));
					EXPECT_EQ(1, weft_read(pipes[0], &byte, 1));
					record = 2;
				});
				while (record == 0)
					weft_yield();
				weft_sleep(WEFT_MS);
				weft_scope_cancel(&outer1);
				weft_scope_cancel(&outer2);
			});
			EXPECT_EQ(2, record.load());
		});
		weft_close(pipes[0]);
		weft_close(pipes[1]);
	});
}

TEST_P(Trio, NurseryClosure)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ran{0};
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
			add(nursery, [&] { add(nursery, [&] { ran++; }); });
		}));
		EXPECT_EQ(1, ran.load());
	});
}

/* Which deadline a sleep meets, told by the clock. */
TEST_P(Trio, EffectiveDeadline)
{
	run_virtual(GetParam(), [] {
		weft_ns start = weft_now();
		auto sleeps_until = [start](int seconds) {
			EXPECT_EQ(-ETIMEDOUT, sleep_forever());
			EXPECT_EQ(start + seconds * WEFT_SEC, weft_now());
		};
		in_scope(
			[&](weft_scope &first) {
				in_scope([&](weft_scope &) { sleeps_until(1); }, start + 1 * WEFT_SEC);
				weft_deadline(start + 2 * WEFT_SEC);
				sleeps_until(2);
				weft_deadline(start + 10 * WEFT_SEC);
				in_scope([&](weft_scope &) { sleeps_until(5); }, start + 10 * WEFT_SEC);
				weft_shield(true);
				in_scope([&](weft_scope &) { sleeps_until(7); }, start + 7 * WEFT_SEC);
				in_scope([&](weft_scope &) { sleeps_until(10); });
				weft_shield(false);
				weft_scope_cancel(&first);
				EXPECT_EQ(-ECANCELED, sleep_forever());
			},
			start + 5 * WEFT_SEC);
		EXPECT_EQ(-ETIMEDOUT, checkpoint());
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, checkpoint());
	});
}

TEST_P(Trio, TrivialNurseriesInACancelledScope)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			EXPECT_EQ(0, in_scope([](weft_scope &) {})) << "closing looks at nothing";
			EXPECT_EQ(-ERANGE, in_scope([](weft_scope &nursery) {
				add(nursery, [] { return -ERANGE; });
			}));
		}));
	});
}

/* A child that says when it has started, and the wait for that. */
struct started_child {
	weft_event started = WEFT_EVENT_INIT;
	std::atomic<int> result{1};
};

static int start(weft_scope &nursery, started_child &child, weft_ns seconds)
{
	add(nursery, [&child, seconds] {
		int error = weft_sleep(seconds * WEFT_SEC);
		if (error == 0) {
			weft_event_set(&child.started);
			error = weft_sleep(seconds * WEFT_SEC);
		}
		return child.result = error;
	});
	return weft_event_wait(&child.started);
}

TEST_P(Trio, NurseryStart)
{
	run_virtual(GetParam(), [] {
		for (int seconds : {1, 2}) {
			weft_ns t0 = weft_now();
			started_child child;
			EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
				EXPECT_EQ(0, start(nursery, child, seconds));
				EXPECT_EQ(t0 + seconds * WEFT_SEC, weft_now());
			}));
			EXPECT_EQ(t0 + 2 * seconds * WEFT_SEC, weft_now());
		}
		/* Giving up the wait does not end the child: it is the nursery's. */
		weft_ns t0 = weft_now();
		started_child child;
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery) {
			EXPECT_EQ(-ETIMEDOUT,
				in_scope(
					[&](weft_scope &) {
						EXPECT_EQ(-ETIMEDOUT, start(nursery, child, 3));
					},
					weft_after(WEFT_SEC)));
			EXPECT_EQ(-ECANCELED, in_scope([&](weft_scope &scope) {
				weft_scope_cancel(&scope);
				EXPECT_EQ(-ECANCELED, weft_event_wait(&child.started));
			}));
			EXPECT_EQ(0, weft_check());
		}));
		EXPECT_EQ(0, child.result.load());
		EXPECT_EQ(t0 + 6 * WEFT_SEC, weft_now());
	});
}

/* A nursery cancelled just before, and just after, a fiber with children of its own has started in it. */
TEST_P(Trio, StartInACancelledNursery)
{
	run_virtual(GetParam(), [] {
		for (bool before : {false, true}) {
			std::atomic<int> cancelled{0};
			EXPECT_EQ(-ECANCELED, in_scope([&](weft_scope &target) {
				if (before)
					weft_scope_cancel(&target);
				add(target, [&] {
					return in_scope([&](weft_scope &nursery) {
						for (int i = 0; i < 2; i++)
							add(nursery, [&] {
								cancelled += sleep_forever() == -ECANCELED;
							});
						wait_all_blocked();
					});
				});
				wait_all_blocked();
				wait_all_blocked();
				weft_scope_cancel(&target);
			}));
			EXPECT_EQ(2, cancelled.load());
		}
	});
}

TEST_P(Trio, NurseriesAreAStack)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> first{1};
		EXPECT_EQ(0, in_scope([&](weft_scope &nursery1) {
			add(nursery1, [&] { first = weft_sleep(WEFT_MS); });
			EXPECT_EQ(-ERANGE, in_scope([](weft_scope &nursery2) {
				add(nursery2, [] { return -ERANGE; });
			}));
			EXPECT_EQ(0, checkpoint());
		}));
		EXPECT_EQ(0, first.load());
	});
}

TEST_P(Trio, ErrorsInBothOfTwoNested)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-EDOM, in_scope([](weft_scope &nursery) {
			add(nursery, sleep_forever);
			EXPECT_EQ(-ERANGE, in_scope([&nursery](weft_scope &nursery2) {
				add(nursery2, sleep_forever);
				add(nursery2, [] { return -ERANGE; });
				EXPECT_EQ(-ECANCELED, sleep_forever());
				add(nursery, [] { return -EDOM; });
				add(nursery2, sleep_forever);
			}));
			EXPECT_EQ(-ECANCELED, sleep_forever());
		}));
	});
}

TEST_P(Trio, AnErrorInACancelledScope)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(-ECANCELED, in_scope([](weft_scope &scope) {
			weft_scope_cancel(&scope);
			for (int i = 1; i < 10; i++)
				add(scope, [i] { return -i; });
		}));
	});
}
