/* SPDX-License-Identifier: MIT */
/* scope_test.cc - scopes: their life, and who may be in them
 *
 * Law  no child outlives close; the closer sees all that they wrote, and their local destructors have run.
 * Law  any fiber may spawn into an open scope, at any time until its close has returned; the child runs, whatever is in force.
 */
#include <atomic>
#include <climits>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Scope : public Workers
{
};
FOR_WORKERS(Scope);

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

static int do_nothing(void *)
{
	return 0;
}

TEST_P(Scope, EmptyClosesWithZero)
{
	run_virtual(GetParam(), [] {
		weft_scope scope;
		memset(&scope, 0xa5, sizeof(scope)); /* it needs no initialiser */
		for (int i = 0; i < 100; i++) {
			EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
			EXPECT_EQ(0, weft_check());
			EXPECT_EQ(0, weft_scope_close(&scope));
		}
		EXPECT_EQ(WEFT_SEC, weft_now());
	});
}

TEST_P(Scope, CloseWaitsForTheLastChild)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ended{0};
		int error = in_scope([&](weft_scope &scope) {
			for (int i = 1; i <= 100; i++)
				add(scope, [i, &ended] {
					EXPECT_EQ(0, weft_sleep(i * WEFT_MS));
					ended++;
					return i % 3;
				});
		});
		EXPECT_EQ(0, error) << "what is not negative is no error";
		EXPECT_EQ(100, ended.load());
		EXPECT_EQ(WEFT_SEC + 100 * WEFT_MS, weft_now());
	});
}

/* No atomics: ThreadSanitizer would report it if close were not an order. */
TEST_P(Scope, CloserSeesWhatTheChildrenWrote)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(300, 40); round++) {
			long numbers[20] = {};
			EXPECT_EQ(0, in_scope([&numbers, round](weft_scope &scope) {
				for (long &number : numbers)
					add(scope, [&number, round] {
						if (round % 2)
							weft_yield();
						number = round;
					});
			}));
			for (long number : numbers)
				ASSERT_EQ(round, number);
		}
	});
}

TEST_P(Scope, EachChildRunsOnce)
{
	run(GetParam(), [] {
		std::atomic<long> ran{0}, sum{0};
		long n = times(20000, 1000);
		EXPECT_EQ(0, in_scope([&](weft_scope &scope) {
			for (long i = 1; i <= n; i++)
				add(scope, [&, i] {
					ran++;
					sum += i;
				});
		}));
		EXPECT_EQ(n, ran.load());
		EXPECT_EQ(n * (n + 1) / 2, sum.load());
	});
}

static std::atomic<int> destroyed;

static void destroy_slowly(void *)
{
	weft_yield();
	bool was = weft_shield(true);
	EXPECT_EQ(0, weft_sleep(WEFT_MS));
	weft_shield(was);
	destroyed++;
}

TEST_P(Scope, LocalDestructorsRunBeforeCloseReturns)
{
	weft_key key;
	ASSERT_EQ(0, weft_key_create(&key, destroy_slowly));
	run_virtual(GetParam(), [key] {
		for (int cancelled : {0, 1}) {
			destroyed = 0;
			int error = in_scope([&](weft_scope &scope) {
				for (int i = 0; i < 10; i++)
					add(scope, [key] {
						EXPECT_EQ(0, weft_set_local(key, &destroyed));
						weft_sleep(WEFT_MS);
					});
				if (cancelled)
					weft_scope_cancel(&scope);
			});
			EXPECT_EQ(cancelled ? -ECANCELED : 0, error);
			EXPECT_EQ(10, destroyed.load());
		}
	});
	EXPECT_EQ(0, weft_key_delete(key));
}

TEST_P(Scope, NumbersArePassedOnAsTheyAre)
{
	run_virtual(GetParam(), [] {
		for (int number : {-1, -4096, -100000, INT_MIN, 0, 1, INT_MAX})
			EXPECT_EQ(number < 0 ? number : 0, in_scope([number](weft_scope &scope) {
				add(scope, [number] { return number; });
			}));
	});
}

TEST_P(Scope, SpawnIntoACancelledScope)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ran{0};
		int error = in_scope([&](weft_scope &scope) {
			weft_scope_cancel(&scope);
			for (int i = 0; i < 20; i++)
				add(scope, [&] {
					EXPECT_EQ(1, weft_cancelled());
					EXPECT_EQ(-ECANCELED, weft_check());
					EXPECT_EQ(-ECANCELED, sleep_forever());
					ran++;
				});
		});
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_EQ(20, ran.load()) << "it still runs";
		EXPECT_EQ(WEFT_SEC, weft_now());
	});
}

TEST_P(Scope, SpawnIntoAScopeWithAnErrorAndIntoOneInside)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ran{0};
		auto start_cancelled = [&ran] {
			EXPECT_EQ(-ECANCELED, sleep_forever());
			ran++;
		};
		int error = in_scope([&](weft_scope &scope) {
			add(scope, [] { return -EIO; });
			EXPECT_EQ(-ECANCELED, sleep_forever());
			add(scope, start_cancelled);
			EXPECT_EQ(-ECANCELED,
				in_scope([&](weft_scope &inner) { add(inner, start_cancelled); }));
		});
		EXPECT_EQ(-EIO, error);
		EXPECT_EQ(2, ran.load());
	});
}

TEST_P(Scope, ChildrenAndGrandchildrenMaySpawn)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> ran{0};
		auto leaf = [&ran] {
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			ran++;
		};
		int error = in_scope([&](weft_scope &scope) {
			for (int i = 0; i < 5; i++)
				add(scope, [&scope, leaf] {
					add(scope, leaf); /* its sibling */
					EXPECT_EQ(0, in_scope([&](weft_scope &below) {
						add(below, [&scope, leaf] {
							add(scope, leaf); /* its uncle */
						});
					}));
				});
		});
		EXPECT_EQ(0, error);
		EXPECT_EQ(10, ran.load());
		EXPECT_EQ(WEFT_SEC + WEFT_MS, weft_now());
	});
}

/* Each spawns the next and ends: the scope is never empty, but never has more than two. */
static int spawn_the_next(weft_scope &scope, std::atomic<int> &ran, int left, bool wait)
{
	if (wait && weft_sleep(WEFT_US) != 0)
		ADD_FAILURE();
	ran++;
	if (left > 0)
		add(scope, [&scope, &ran, left, wait] {
			return spawn_the_next(scope, ran, left - 1, wait);
		});
	return 0;
}

TEST_P(Scope, SpawnWhileTheOpenerWaitsInClose)
{
	run_virtual(GetParam(), [] {
		for (bool wait : {false, true}) {
			std::atomic<int> ran{0};
			EXPECT_EQ(0, in_scope([&](weft_scope &scope) {
				spawn_the_next(scope, ran, 1000, wait);
			}));
			EXPECT_EQ(1001, ran.load());
		}
	});
}

TEST_P(Scope, AFiberOutsideMaySpawn)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> results[2];
		weft_fiber *outside;
		int error = in_scope([&](weft_scope &scope) {
			outside = spawn([&] {
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				add(scope, [&] { results[0] = sleep_forever(); });
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				weft_scope_cancel(&scope);
				add(scope, [&] { results[1] = sleep_forever(); });
				EXPECT_EQ(0, weft_sleep(WEFT_MS)) << "it is not in the scope";
				return 0;
			});
			add(scope, [] { return weft_sleep(2 * WEFT_MS + 1); });
			bool was = weft_shield(true);
			join(outside);
			weft_shield(was);
		});
		EXPECT_EQ(-ECANCELED, error);
		EXPECT_EQ(-ECANCELED, results[0].load());
		EXPECT_EQ(-ECANCELED, results[1].load());
	});
}

TEST_P(Scope, ChildrenHaveNoHandle)
{
	run_virtual(GetParam(), [] {
		std::atomic<weft_fiber *> child{nullptr};
		EXPECT_EQ(0, in_scope([&](weft_scope &scope) {
			add(scope, [&] {
				child = weft_self();
				return weft_sleep(WEFT_MS);
			});
			weft_sleep(WEFT_US);
			ASSERT_NE(nullptr, child.load());
			EXPECT_GT(weft_id(child), 0u);
			EXPECT_LT(weft_join(child, nullptr), 0);
			EXPECT_LT(weft_detach(child), 0);
		}));
		EXPECT_EQ(-ESRCH, weft_cancel(child)) << "it has ended";
	});
}

static int stay_on_the_worker(void *)
{
	unsigned worker = weft_worker_index();
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, weft_sleep(WEFT_US));
		EXPECT_EQ(worker, weft_worker_index());
	}
	return 0;
}

static int park_in_small_frames(void *arg)
{
	weft_scope scope;
	auto *cancelled = static_cast<std::atomic<int> *>(arg);
	int error = weft_scope_open(&scope, WEFT_FOREVER);
	if (error == 0 && weft_sleep(WEFT_FOREVER) == -ECANCELED)
		++*cancelled;
	return error == 0 ? weft_scope_close(&scope) : error;
}

TEST_P(Scope, SpawnWithAttributes)
{
	run_virtual(GetParam(), [] {
		EXPECT_EQ(0, in_scope([](weft_scope &scope) {
			weft_attr attr{"pinned", 0, WEFT_PINNED};
			for (int i = 0; i < 8; i++)
				EXPECT_EQ(0,
					weft_scope_spawn_attr(&scope, &attr, stay_on_the_worker, nullptr));
			EXPECT_EQ(0, weft_scope_spawn_attr(&scope, nullptr, do_nothing, nullptr));
			attr = {"large", 1 << 20, 0};
			auto use_much = [](void *) {
				volatile char block[700000];
				block[0] = 0;
				block[sizeof(block) - 1] = 0;
				return static_cast<int>(block[0]);
			};
			EXPECT_EQ(0, weft_scope_spawn_attr(&scope, &attr, use_much, nullptr));
			attr = {nullptr, 0, 1u << 31};
			EXPECT_EQ(-EINVAL, weft_scope_spawn_attr(&scope, &attr, do_nothing, nullptr));
			EXPECT_EQ(-EINVAL, weft_scope_spawn_attr(nullptr, nullptr, do_nothing, nullptr));
		}));
		std::atomic<int> cancelled{0};
		EXPECT_EQ(-ECANCELED, in_scope([&cancelled](weft_scope &scope) {
			weft_attr attr{nullptr, 0, WEFT_SMALL};
			for (int i = 0; i < 500; i++)
				EXPECT_EQ(0,
					weft_scope_spawn_attr(
						&scope, &attr, park_in_small_frames, &cancelled));
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			weft_scope_cancel(&scope);
		}));
		EXPECT_EQ(500, cancelled.load());
	});
}

TEST_P(Scope, WrongArguments)
{
	run_virtual(GetParam(), [] {
		weft_scope scope;
		memset(&scope, 0, sizeof(scope));
		EXPECT_EQ(-EINVAL, weft_scope_open(nullptr, WEFT_FOREVER));
		EXPECT_EQ(-EINVAL, weft_scope_cancel(nullptr));
		EXPECT_EQ(-EINVAL, weft_scope_cancel(&scope)) << "not open";
		EXPECT_EQ(-EINVAL, weft_scope_close(nullptr));
		EXPECT_EQ(-EINVAL, weft_scope_spawn(nullptr, do_nothing, nullptr));
		EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		EXPECT_EQ(-EINVAL, weft_scope_spawn(&scope, nullptr, nullptr));
		EXPECT_EQ(0, weft_scope_close(&scope));
		EXPECT_EQ(-EINVAL, weft_scope_cancel(&scope)) << "closed";
	});
}

TEST_P(Scope, OffAFiber)
{
	weft_scope scope;
	memset(&scope, 0, sizeof(scope));
	EXPECT_EQ(-EPERM, weft_scope_open(&scope, WEFT_FOREVER));
	EXPECT_EQ(-EINVAL, weft_scope_cancel(&scope));
	run(GetParam(), [] {
		weft_scope open;
		EXPECT_EQ(0, weft_scope_open(&open, WEFT_FOREVER));
		std::thread([&open] {
			EXPECT_EQ(-EPERM, weft_scope_spawn(&open, do_nothing, nullptr));
			EXPECT_EQ(-EPERM, weft_scope_close(&open));
		}).join();
		EXPECT_EQ(0, weft_scope_close(&open));
	});
}

TEST_P(Scope, OnAnotherRuntime)
{
	run(GetParam(), [] {
		weft_scope scope;
		EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		std::thread([&scope] {
			run(2, [&scope] {
				EXPECT_EQ(-EPERM, weft_scope_spawn(&scope, do_nothing, nullptr));
				EXPECT_EQ(0, weft_scope_cancel(&scope)) << "any thread may";
			});
		}).join();
		EXPECT_EQ(-ECANCELED, weft_check());
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scope));
	});
}

/* errno as code on fibers must use it: its address asked for anew after each park. */
UNSEEN_BY_TSAN static int get_errno()
{
	__asm__ volatile("");
	return errno;
}

UNSEEN_BY_TSAN static void set_errno(int value)
{
	__asm__ volatile("");
	errno = value;
}

TEST_P(Scope, ErrnoIsUntouched)
{
	run_virtual(GetParam(), [] {
		set_errno(77);
		int error = in_scope([](weft_scope &scope) {
			add(scope, [] {
				set_errno(1);
				weft_sleep(WEFT_MS);
			});
			weft_scope_cancel(&scope);
		});
		EXPECT_EQ(77, get_errno());
		EXPECT_EQ(-ECANCELED, error);
	});
}
