/* SPDX-License-Identifier: MIT */
/* coro_use_test.cc - coroutines on fibers, on workers, and together with generators
 *
 * Law  a coroutine is on its fiber, blocks only that, and travels with it.
 * Law  generators run in coroutines and coroutines in generators' bodies.
 */
#include <deque>

#include "tests/seed/support.h"

using namespace seed;

static void *give_back(void *value)
{
	Live live;
	Step got{0, value};
	while (got.code == 0)
		got = switch_to(weft_coro_parent(weft_coro_current()), got.value);
	return nullptr;
}

TEST(CoroUse, OnItsFiber)
{
	run_virtual(1, [] {
		weft_fiber *self = weft_self();
		std::atomic<int> turns{0};
		weft_fiber *other = spawn([&turns] {
			for (int i = 0; i < 5; i++, turns++)
				weft_sleep(100 * WEFT_MS);
		});
		Coro coro([self](void *) -> void * {
			EXPECT_EQ(self, weft_self());
			EXPECT_EQ(0, weft_sleep(WEFT_SEC)) << "parks the fiber alone";
			weft_deadline(weft_after(WEFT_SEC));
			EXPECT_EQ(-ETIMEDOUT, weft_sleep(2 * WEFT_SEC));
			weft_deadline(WEFT_FOREVER);
			return nullptr;
		});
		switch_to(coro);
		EXPECT_EQ(5, turns.load());
		join(other);
		weft_fiber *victim = spawn([] {
			Coro sleeper([](void *) { return num(weft_sleep(WEFT_FOREVER)); });
			return as_num(switch_to(sleeper).value);
		});
		weft_sleep(WEFT_SEC);
		EXPECT_EQ(0, weft_cancel(victim));
		EXPECT_EQ(-ECANCELED, join(victim));
	});
}

TEST(CoroUse, GeneratorsInCoroutines)
{
	everywhere([] {
		/* The body that runs is one of its coroutine's, whoever else runs a body meanwhile. */
		weft_coro *main = weft_coro_current();
		Log log;
		auto sums = [&](const std::string &name) {
			return [&, name](void *) -> void * {
				Gen gen([&]() -> void * {
					for (intptr_t n = 1; n <= 3; n++) {
						switch_to(main, num(n)); /* in the middle of a body */
						if (yield(num(n)).code < 0)
							return nullptr;
					}
					return num(10);
				});
				intptr_t sum = 0;
				Step got = next(gen);
				for (; got.code == WEFT_GEN_YIELDED; got = next(gen)) {
					sum += as_num(got.value);
					log.push_back(name + std::to_string(sum));
				}
				EXPECT_EQ(done(num(10)), got);
				return num(-sum);
			};
		};
		Coro a(sums("a")), b(sums("b"));
		for (intptr_t n = 1; n <= 3; n++) {
			EXPECT_EQ((Step{0, num(n)}), switch_to(a));
			EXPECT_EQ((Step{-EPERM, nullptr}), yield(num(1))) << "this is no body";
			EXPECT_EQ((Step{0, num(n)}), switch_to(b));
		}
		EXPECT_EQ((Step{0, num(-6)}), switch_to(b));
		EXPECT_EQ((Step{0, num(-6)}), switch_to(a));
		EXPECT_EQ((Log{"a1", "b1", "a3", "b3", "b6", "a6"}), log);
	});
}

TEST(CoroUse, CoroutinesInGeneratorsBodies)
{
	everywhere([] {
		weft_gen *self = nullptr;
		Gen gen([&self]() -> void * {
			weft_coro *here = weft_coro_current();
			Coro coro([&](void *value) -> void * {
				EXPECT_EQ(here, weft_coro_parent(weft_coro_current()));
				EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(self))
					<< "it stays RUNNING meanwhile";
				EXPECT_EQ((Step{-EPERM, nullptr}), yield(num(1)))
					<< "a coroutine is not the body";
				Gen inner([] { return reraise(yield(num(8))); });
				EXPECT_EQ(yielded(num(8)), next(inner));
				Step got = switch_to(here, num(as_num(value) + 1));
				return num(as_num(got.value) * 2);
			});
			Step got = switch_to(coro, num(1));
			EXPECT_EQ((Step{0, num(2)}), got);
			got = yield(num(3));
			EXPECT_EQ((Step{0, num(20)}), switch_to(coro, got.value));
			return num(4);
		});
		self = gen;
		EXPECT_EQ(yielded(num(3)), next(gen));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ(done(num(4)), send(gen, num(10)));

		/* A body left for another coroutine is RUNNING until control comes back to it. */
		weft_coro *main = weft_coro_current();
		Gen away([&] {
			EXPECT_EQ((Step{0, num(6)}), switch_to(main, num(5)));
			return num(7);
		});
		Coro resumer([&](void *) {
			EXPECT_EQ(done(num(7)), next(away));
			return num(9);
		});
		EXPECT_EQ((Step{0, num(5)}), switch_to(resumer));
		EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(away));
		EXPECT_EQ((Step{-EBUSY, nullptr}), next(away));
		EXPECT_EQ((Step{0, num(9)}), switch_to(resumer, num(6)));
	});
}

TEST(CoroUse, MainOnesEndWithTheirFibersAndThreads)
{
	const long count = times(20000, 500);
	auto visit = [] {
		EXPECT_EQ(nullptr, weft_coro_parent(weft_coro_current()));
		Coro coro(give_back);
		switch_to(coro);
	};
	run(2, [&] {
		for (long i = 0; i < count; i++)
			join(spawn(visit));
	});
	for (int i = 0; i < 100; i++)
		std::thread(visit).join();
	EXPECT_EQ(0, Live::count);
}

class CoroOn : public Workers
{
};
FOR_WORKERS(CoroOn);

TEST_P(CoroOn, ManyGroupsTravel)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 16; i++)
			fibers.push_back(spawn([] {
				/* A ring of four, each of which hands on what it got, one more. */
				weft_coro *main = weft_coro_current();
				std::deque<Coro> ring;
				auto hand_on = [&ring, main](size_t at, void *value) -> void * {
					Step got{0, value};
					while (got.code == 0) {
						if (as_num(got.value) % 32 == 0)
							weft_sleep(WEFT_US);
						else
							weft_yield();
						weft_coro *to = as_num(got.value) % 9 == 0
							? main
							: ring[(at + 1) % 4];
						got = switch_to(to, num(as_num(got.value) + 1));
					}
					return nullptr;
				};
				for (size_t at = 0; at < 4; at++)
					ring.emplace_back([at, &hand_on](void *value) {
						return hand_on(at, value);
					});
				intptr_t value = 1;
				for (long round = 0; round < times(500, 40); round++) {
					Step got = switch_to(ring[round % 4], num(value));
					ASSERT_EQ(0, got.code);
					ASSERT_EQ((value + 8) / 9 * 9 + 1, as_num(got.value));
					value = as_num(got.value);
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
	});
}
