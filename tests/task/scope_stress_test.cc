/* SPDX-License-Identifier: MIT */
/* scope_stress_test.cc - scopes under load, wide and deep, and what is done to them at the same time
 *
 * Law  no child outlives close.
 * Law  whatever the order of spawns, ends, cancellations, errors and deadlines: what close returns has a cause, and what must have been
 *      seen was seen: it is not 0 after a cancellation that had returned, an error of a child, or the deadline.
 * Law  scopes that are opened and closed while one around them is cancelled, or their opener is, are reached or were closed before.
 */
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class ScopeStress : public Workers
{
};
FOR_WORKERS(ScopeStress);

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

static bool is_level(int error)
{
	return error == 0 || error == -ECANCELED || error == -ETIMEDOUT;
}

/* A scope of a random program, and what has been done to it. */
struct Scene {
	Scene *outside; /* what reaches it; NULL: nothing */
	weft_ns deadline;
	weft_scope scope;
	std::atomic<int> alive{0};
	std::atomic<bool> cancel_begun{false}, cancelled{false}, opener_cancelled{false};
	std::atomic<int> errors{0};	     /* children's own */
	std::atomic<int> levels[2] = {0, 0}; /* children that returned -ECANCELED, -ETIMEDOUT */

	bool may_be_cancelled() const
	{
		if (cancel_begun || opener_cancelled || errors != 0 || levels[0] != 0 || levels[1] != 0)
			return true;
		return outside != nullptr && outside->may_be_cancelled();
	}
	bool may_be_late(weft_ns now) const
	{
		if (now >= deadline || levels[1] != 0)
			return true;
		return outside != nullptr && outside->may_be_late(now);
	}
};

struct Program {
	std::atomic<long> budget, fibers{0}, scopes{0};
	std::atomic<long> results[4] = {0, 0, 0, 0};
	weft_ns end;

	bool goes_on()
	{
		return budget > 0 && weft_now() < end;
	}
};

static void check_result(Program &program, Scene &scene, weft_ns before, int result)
{
	weft_ns now = weft_now();
	program.scopes++;
	program.results[result == 0	       ? 0
			: result == -ECANCELED ? 1
			: result == -ETIMEDOUT ? 2
					       : 3]++;
	EXPECT_EQ(0, scene.alive.load()) << "a child outlives close";
	if (result == 0) {
		EXPECT_FALSE(scene.cancelled);
		EXPECT_EQ(0, scene.errors.load());
		EXPECT_LT(before, scene.deadline);
	} else if (result == -ECANCELED) {
		EXPECT_TRUE(scene.may_be_cancelled());
	} else if (result == -ETIMEDOUT) {
		EXPECT_TRUE(scene.may_be_late(now));
		EXPECT_TRUE(!scene.cancelled || scene.levels[1] != 0) << "that goes before";
	} else {
		EXPECT_NE(0, scene.errors.load()) << result;
	}
}

static int live(Program &program, Scene *mine, unsigned seed, int depth);

static void spawn_some(Program &program, Scene &scene, std::minstd_rand &random, int depth)
{
	for (unsigned i = random() % 5; i > 0 && program.budget-- > 0; i--) {
		unsigned seed = random();
		scene.alive++;
		add(scene.scope, [&program, &scene, seed, depth] {
			int result = live(program, &scene, seed, depth + 1);
			if (result == -ECANCELED || result == -ETIMEDOUT)
				scene.levels[result == -ECANCELED ? 0 : 1]++;
			else if (result < 0)
				scene.errors++;
			scene.alive--;
			return result;
		});
	}
}

/* cancelled: the caller itself is, for good. */
static int live_in_scope(Program &program, Scene *mine, std::minstd_rand &random, int depth, bool &cancelled)
{
	Scene scene{};
	bool island = random() % 6 == 0;
	bool was = weft_shield(island);
	/* Shielded from before, it is an island all the same. */
	scene.outside = island ? nullptr : mine;
	scene.deadline = random() % 4 == 0 ? weft_after(static_cast<weft_ns>(random() % 100000))
					   : WEFT_FOREVER;
	EXPECT_EQ(0, weft_scope_open(&scene.scope, scene.deadline));
	spawn_some(program, scene, random, depth);
	int slept = random() % 3 == 0 ? weft_sleep(static_cast<weft_ns>(random() % 30000)) : 0;
	EXPECT_TRUE(is_level(slept)) << slept;
	bool now_too = random() % 16 == 0 && !island;
	scene.opener_cancelled = cancelled |= now_too; /* first: others look when they are reached */
	if (now_too)
		weft_cancel(weft_self());
	weft_ns before = weft_now();
	int result = weft_scope_close(&scene.scope);
	check_result(program, scene, before, result);
	EXPECT_EQ(island, weft_shield(was)) << "put back as it was at the opening";
	return result;
}

static void cancel_one_around(Scene *mine, std::minstd_rand &random)
{
	Scene *scene = mine;
	while (scene->outside != nullptr && random() % 2)
		scene = scene->outside;
	scene->cancel_begun = true;
	EXPECT_EQ(0, weft_scope_cancel(&scene->scope)); /* this fiber is in it: it is open */
	scene->cancelled = true;
}

static int live(Program &program, Scene *mine, unsigned seed, int depth)
{
	std::minstd_rand random(seed % 2147483646 + 1);
	random();
	program.fibers++;
	int result = 0;
	bool cancelled = false;
	for (unsigned steps = random() % 5; steps > 0 && result == 0; steps--)
		switch (random() % 12) {
		case 0:
		case 1:
		case 2:
			weft_yield();
			break;
		case 3:
		case 4:
		case 5:
			result = weft_sleep(static_cast<weft_ns>(random() % 30000));
			EXPECT_TRUE(is_level(result)) << result;
			break;
		case 6:
			if (mine != nullptr && random() % 4 == 0)
				cancel_one_around(mine, random);
			break;
		case 7:
			if (mine != nullptr)
				spawn_some(program, *mine, random, depth);
			break;
		case 8:
			if (mine != nullptr && random() % 4 == 0)
				return -1000 - depth;
			break;
		default:
			if (depth < 6 && program.goes_on())
				result = live_in_scope(program, mine, random, depth, cancelled);
		}
	return random() % 3 == 0 ? 0 : result;
}

TEST_P(ScopeStress, RandomPrograms)
{
	Program program;
	program.budget = times(1000000, 30000);
	run(GetParam(), [&program] {
		program.end = weft_after(times(2, 4) * WEFT_SEC);
		for (unsigned seed = GetParam() * 1000; program.goes_on(); seed += 20) {
			std::vector<weft_fiber *> roots;
			for (unsigned i = 0; i < 20; i++)
				roots.push_back(spawn([&program, seed, i] {
					return live(program, nullptr, seed + i, 0);
				}));
			for (weft_fiber *root : roots)
				join(root);
		}
	});
	for (auto &result : program.results)
		EXPECT_GT(result, 0);
	EXPECT_GT(program.fibers, program.scopes);
}

/* Fibers park in a scope, which then ends; all of them are reached. */
static void run_wide(int how)
{
	long n = std::min(10000L, fibers_max), parked = 0;
	std::atomic<long> reached{0};
	weft_ns deadline = how == 1 ? weft_after(WEFT_SEC) : WEFT_FOREVER;
	int level = how == 1 ? -ETIMEDOUT : -ECANCELED;
	int error = in_scope(
		[&](weft_scope &scope) {
			for (; parked < n; parked++)
				add(scope, [&reached, level] { reached += sleep_forever() == level; });
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			EXPECT_EQ(0, reached.load());
			if (how == 0)
				weft_scope_cancel(&scope);
			if (how == 2)
				add(scope, [] { return -EIO; });
			EXPECT_EQ(level, sleep_forever());
		},
		deadline);
	EXPECT_EQ(how == 2 ? -EIO : level, error);
	EXPECT_EQ(n, reached.load());
}

TEST_P(ScopeStress, TenThousandChildren)
{
	run_virtual(GetParam(), [] {
		for (int how = 0; how < 3; how++)
			run_wide(how);
	});
}

/* Scopes inside each other, of one fiber; fn in the innermost. */
static int nest(int depth, weft_ns deadline, std::vector<weft_scope *> &scopes,
	const std::function<void()> &fn)
{
	return in_scope(
		[&](weft_scope &scope) {
			scopes.push_back(&scope);
			add(scope, sleep_forever);
			if (depth > 1)
				nest(depth - 1, WEFT_FOREVER, scopes, fn);
			else
				fn();
		},
		deadline);
}

TEST_P(ScopeStress, FiveHundredLevelsInOneFiber)
{
	run_virtual(GetParam(), [] {
		weft_attr attr{};
		attr.stack_size = 2 << 20;
		for (int which : {0, 250, 499, -1})
			join(spawn(
				[which] {
					std::vector<weft_scope *> scopes;
					weft_ns deadline =
						which < 0 ? weft_after(5 * WEFT_MS) : WEFT_FOREVER;
					int level = which < 0 ? -ETIMEDOUT : -ECANCELED;
					int error = nest(500, deadline, scopes, [&] {
						EXPECT_EQ(0, weft_sleep(WEFT_MS));
						if (which >= 0)
							weft_scope_cancel(
								scopes[static_cast<size_t>(which)]);
						EXPECT_EQ(level, sleep_forever());
						for (int i = 0; i < which; i++) /* what is outside sleeps on */
							weft_scope_cancel(
								scopes[static_cast<size_t>(i)]);
					});
					EXPECT_EQ(level, error);
					EXPECT_EQ(0, weft_check());
				},
				attr));
	});
}

/* Each fiber opens a scope and spawns the next into it. */
static int descend(int depth, std::atomic<int> &reached, const std::function<int()> &fn)
{
	if (depth == 0)
		return fn();
	int error = in_scope([&](weft_scope &scope) {
		add(scope, [&, depth] { return descend(depth - 1, reached, fn); });
	});
	reached += error == -ECANCELED;
	return error;
}

TEST_P(ScopeStress, FiveHundredLevelsOfFibers)
{
	run_virtual(GetParam(), [] {
		std::atomic<int> reached{0};
		/* From the top down... */
		EXPECT_EQ(-ECANCELED, in_scope([&](weft_scope &scope) {
			add(scope, [&reached] { return descend(500, reached, sleep_forever); });
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			weft_scope_cancel(&scope);
		}));
		EXPECT_EQ(500, reached.load());
		/* ... and an error from the bottom up. */
		EXPECT_EQ(-EIO, descend(500, reached, [] { return -EIO; }));
		EXPECT_EQ(500, reached.load());
	});
}

/* A child that opens, fills and closes scopes until it is cancelled. */
static int churn(unsigned seed)
{
	std::minstd_rand random(seed + 1);
	int error = 0;
	while (error == 0) {
		std::atomic<int> alive{0};
		error = in_scope([&](weft_scope &scope) {
			for (unsigned i = random() % 3; i > 0; i--) {
				alive++;
				add(scope, [&alive] {
					EXPECT_TRUE(is_level(weft_sleep(WEFT_US)));
					alive--;
				});
			}
			if (random() % 2)
				in_scope([](weft_scope &) { weft_yield(); });
		});
		EXPECT_TRUE(error == 0 || error == -ECANCELED) << error;
		EXPECT_EQ(0, alive.load());
		if (error == 0)
			error = weft_check();
	}
	EXPECT_EQ(1, weft_cancelled());
	return error;
}

/* How the end comes: a cancel of the scope, by a thread, of the fiber that opened it, or a sibling's error. */
TEST_P(ScopeStress, CancelAgainstOpenAndClose)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(200, 24); round++) {
			std::atomic<int> ended{0};
			weft_fiber *opener = spawn([round, &ended] {
				return in_scope([&](weft_scope &scope) {
					for (unsigned i = 0; i < 6; i++)
						add(scope, [&ended, i, round] {
							int error = churn(
								static_cast<unsigned>(round) * 7 + i);
							ended++;
							return error;
						});
					weft_sleep(round % 10 * 20 * WEFT_US);
					if (round % 4 == 0)
						weft_scope_cancel(&scope);
					if (round % 4 == 1)
						std::thread([&scope] {
							weft_scope_cancel(&scope);
						}).join();
					if (round % 4 == 2)
						add(scope, [] { return -EIO; });
				});
			});
			weft_sleep(round % 7 * 30 * WEFT_US);
			if (round % 4 == 3)
				weft_cancel(opener);
			ASSERT_EQ(round % 4 == 2 ? -EIO : -ECANCELED, join(opener));
			ASSERT_EQ(6, ended.load());
		}
	});
}

/* The fiber itself opens and closes when it is cancelled: from then on each of its scopes is, and none before. */
TEST_P(ScopeStress, WeftCancelAgainstItsOpenAndClose)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(2000, 200); round++) {
			weft_fiber *fiber = spawn([round] {
				unsigned seed = static_cast<unsigned>(round);
				int outer = in_scope([seed](weft_scope &scope) {
					add(scope, sleep_forever);
					EXPECT_EQ(-ECANCELED, churn(seed));
				});
				EXPECT_EQ(-ECANCELED, outer);
				return weft_check();
			});
			for (long i = round % 5; i > 0; i--)
				weft_yield();
			weft_cancel(fiber);
			ASSERT_EQ(-ECANCELED, join(fiber));
		}
	});
}

TEST_P(ScopeStress, SpawnAgainstCancel)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(500, 40); round++) {
			std::atomic<int> spawned{0}, ended{0};
			std::function<int(weft_scope &, int)> grow = [&](weft_scope &scope, int depth) {
				for (int i = 0; i < 3 && depth > 0; i++) {
					spawned++;
					add(scope, [&, depth] { return grow(scope, depth - 1); });
				}
				int error = sleep_forever();
				ended++;
				return error;
			};
			ASSERT_EQ(-ECANCELED, in_scope([&](weft_scope &scope) {
				spawned++;
				add(scope, [&] { return grow(scope, 3); });
				for (long i = round % 8; i > 0; i--)
					weft_yield();
				weft_scope_cancel(&scope);
			}));
			ASSERT_EQ(spawned.load(), ended.load());
			ASSERT_EQ(40, ended.load()) << "also those spawned after the cancellation";
		}
	});
}

/* Deadlines that fire while their scope is being closed. */
TEST_P(ScopeStress, DeadlineAgainstClose)
{
	run(GetParam(), [] {
		std::minstd_rand random(GetParam());
		long late = 0, in_time = 0;
		weft_ns end = weft_after(2 * WEFT_SEC);
		for (long round = 0; round < times(20000, 2000) && weft_now() < end; round++) {
			weft_ns deadline = weft_after(static_cast<weft_ns>(random() % 20000)),
				before = 0;
			int error = in_scope(
				[&](weft_scope &scope) {
					if (round % 2)
						add(scope, [] {
							EXPECT_TRUE(is_level(weft_sleep(5 * WEFT_US)));
						});
					for (unsigned i = random() % 4; i > 0; i--)
						weft_yield();
					before = weft_now();
				},
				deadline);
			ASSERT_TRUE(error == -ETIMEDOUT ? weft_now() >= deadline : before < deadline && error == 0)
				<< error;
			ASSERT_EQ(0, weft_check());
			(error == 0 ? in_time : late)++;
		}
		EXPECT_GT(late, 0);
		EXPECT_GT(in_time, 0);
	});
}

/* The last child ends when the opener begins to wait. */
TEST_P(ScopeStress, EndAgainstClose)
{
	run(GetParam(), [] {
		for (long round = 0; round < times(50000, 4000); round++) {
			int sum = 0;
			ASSERT_EQ(0, in_scope([&](weft_scope &scope) {
				add(scope, [&sum, round] {
					for (long i = round % 3; i > 0; i--)
						weft_yield();
					sum++;
				});
				for (long i = round / 3 % 3; i > 0; i--)
					weft_yield();
			}));
			ASSERT_EQ(1, sum);
		}
	});
}

/* Looks until it is cancelled; lateness comes at about the same time, and must not hide it. */
static void look_until_cancelled(weft_ns give_up)
{
	int level;
	while ((level = weft_check()) != -ECANCELED && weft_now() < give_up) {
		ASSERT_TRUE(is_level(level));
		weft_yield();
	}
	ASSERT_EQ(-ECANCELED, level);
}

TEST_P(ScopeStress, CancelAgainstLateness)
{
	run(GetParam(), [] {
		struct Order {
			weft_scope *scope;
			weft_ns at;
		};
		std::atomic<Order *> order{nullptr};
		std::atomic<bool> leave{false};
		std::thread partner([&] {
			while (!leave) {
				Order *mine = order;
				if (mine == nullptr)
					continue;
				while (weft_now() < mine->at)
					;
				EXPECT_EQ(0, weft_scope_cancel(mine->scope));
				order = nullptr;
			}
		});
		std::minstd_rand random(GetParam());
		weft_ns end = weft_after(WEFT_SEC), patience = weft_after(60 * WEFT_SEC);
		for (long round = 0; round < times(20000, 500) && weft_now() < end; round++) {
			weft_ns deadline = weft_after(static_cast<weft_ns>(random() % 10000));
			Order mine{nullptr, deadline + static_cast<weft_ns>(random() % 8000) - 2000};
			int error = in_scope(
				[&](weft_scope &scope) {
					for (int i = 0; i < 4; i++)
						add(scope, [patience] {
							look_until_cancelled(patience);
						});
					mine.scope = &scope;
					order = &mine;
					look_until_cancelled(patience);
					while (order != nullptr) /* it has let go of the scope */
						weft_yield();
				},
				deadline);
			ASSERT_EQ(-ECANCELED, error);
		}
		leave = true;
		partner.join();
	});
}
