/* SPDX-License-Identifier: MIT */
/* coro_rows_test.cc - rows S37 to S43 of the seed documents: symmetric coroutines
 *
 * Law  each row's test says what its row says, on a plain thread and on fibers; the texts are those of golden/.
 */
#include "tests/seed/scripts.h"

using namespace seed;

static void *nothing(void *)
{
	return nullptr;
}

TEST(Seed, S37_ANewOneDoesNotRun)
{
	everywhere([] {
		void *argument = nullptr;
		bool ran = false;
		Coro coro([&](void *value) {
			ran = true;
			argument = value;
			return num(5);
		});
		weft_yield();
		EXPECT_FALSE(ran);
		EXPECT_FALSE(weft_coro_dead(coro));
		EXPECT_EQ(weft_coro_current(), weft_coro_parent(coro));
		EXPECT_EQ((Step{0, num(5)}), switch_to(coro, num(3)));
		EXPECT_TRUE(ran);
		EXPECT_EQ(num(3), argument) << "the first switch passes the argument";
	});
}

TEST(Seed, S38_TwoGreenlets)
{
	everywhere([] {
		Log log;
		weft_coro *gr1 = nullptr, *gr2 = nullptr;
		Coro one([&](void *) -> void * {
			log.push_back("12");
			switch_to(gr2);
			log.push_back("34");
			return nullptr;
		});
		Coro two([&](void *) -> void * {
			log.push_back("56");
			Step back = switch_to(gr1);
			log.push_back(back.code == WEFT_GEN_EXIT ? "freed" : "78");
			return nullptr;
		});
		gr1 = one, gr2 = two;
		weft_coro *main = weft_coro_current();
		EXPECT_EQ((Step{0, nullptr}), switch_to(one));
		EXPECT_EQ(main, weft_coro_current()) << "the end of gr1 gave control to its parent";
		EXPECT_EQ((Log{"12", "56", "34"}), log);
		EXPECT_TRUE(weft_coro_dead(one));
		EXPECT_FALSE(weft_coro_dead(two));
		two.free();
		EXPECT_EQ("freed", log.back()) << "78 is never printed";
		expect_lines(script::two_greenlets, "s1_s40.txt", 24, 27);
	});
}

TEST(Seed, S39_ASwitchReturnsWhatSomebodySwitchesBackWith)
{
	everywhere([] {
		expect_lines(script::greenlets_with_values, "s1_s40.txt", 28, 31);
		/* A ring: A goes to B, B to C, and C, not B, answers A. */
		weft_coro *coro_a = nullptr, *coro_b = nullptr, *coro_c = nullptr;
		Step got_a{}, got_b{}, got_c{};
		weft_coro *main = weft_coro_current();
		Coro c([&](void *value) {
			EXPECT_EQ(num(2), value);
			got_c = switch_to(coro_a, num(3));
			return nullptr;
		});
		Coro b([&](void *value) {
			EXPECT_EQ(num(1), value);
			got_b = switch_to(coro_c, num(2));
			return nullptr;
		});
		Coro a([&](void *) {
			got_a = switch_to(coro_b, num(1));
			switch_to(main, num(4));
			return nullptr;
		});
		coro_a = a, coro_b = b, coro_c = c;
		EXPECT_EQ((Step{0, num(4)}), switch_to(a));
		EXPECT_EQ((Step{0, num(3)}), got_a) << "from C";
		EXPECT_EQ((Step{}), got_b);
		EXPECT_EQ((Step{}), got_c);
	});
}

TEST(Seed, S40_TheEndReachesTheParent)
{
	everywhere([] {
		/* Nested parents: each end is the value of its parent's pending switch. */
		Log log;
		Coro outer([&](void *) -> void * {
			Coro middle([&](void *) -> void * {
				Coro inner([&](void *) { return num(1); });
				Step got = switch_to(inner);
				log.push_back(format("inner %ld", static_cast<long>(as_num(got.value))));
				return num(2);
			});
			Step got = switch_to(middle);
			log.push_back(format("middle %ld", static_cast<long>(as_num(got.value))));
			return num(3);
		});
		EXPECT_EQ((Step{0, num(3)}), switch_to(outer));
		EXPECT_EQ((Log{"inner 1", "middle 2"}), log);
		EXPECT_TRUE(weft_coro_dead(outer));
		EXPECT_EQ((Step{0, num(99)}), switch_to(outer, num(99)))
			<< "g.switch(99) on a dead g gives 99";

		/* The nearest living parent, not the main one: b is dead, and a waits in its switch to d. */
		weft_coro *dead = nullptr;
		Coro a([&](void *) -> void * {
			Coro b(nothing);
			switch_to(b);
			dead = b;
			Coro d([&](void *) -> void * {
				switch_to(dead, num(7));
				return num(8);
			});
			Step got = switch_to(d);
			EXPECT_EQ((Step{0, num(7)}), got);
			return num(9);
		});
		EXPECT_EQ((Step{0, num(9)}), switch_to(a));
	});
}

TEST(Seed, S41_FreeUnwindsASuspendedOne)
{
	everywhere([] {
		int seen = 0;
		Coro coro([&](void *) -> void * {
			Live live;
			Step back = switch_to(weft_coro_parent(weft_coro_current()), num(1));
			seen = back.code;
			return num(2);
		});
		EXPECT_EQ((Step{0, num(1)}), switch_to(coro));
		EXPECT_EQ(1, Live::count);
		coro.free();
		EXPECT_EQ(WEFT_GEN_EXIT, seen);
		EXPECT_EQ(0, Live::count);
		expect_lines(script::greenlet_cleanup, "s14_s27_s42.txt", 17, 18);
	});
}

/* A coroutine that gives every value back, one more, and counts what it was switched to. */
static void *add_one(void *value)
{
	weft_coro *parent = weft_coro_parent(weft_coro_current());
	for (;;) {
		Step got = switch_to(parent, num(as_num(value) + 1));
		if (got.code != 0)
			return nullptr;
		value = got.value;
	}
}

TEST(Seed, S42_EachFiberHasItsOwn)
{
	everywhere([] {
		weft_coro *main = weft_coro_current();
		EXPECT_EQ(nullptr, weft_coro_parent(main));
		Coro coro(add_one);
		EXPECT_EQ((Step{0, num(2)}), switch_to(coro, num(1)));
		elsewhere([&] {
			EXPECT_NE(main, weft_coro_current());
			EXPECT_EQ((Step{-EXDEV, nullptr}), switch_to(coro, num(5)));
			EXPECT_EQ((Step{-EXDEV, nullptr}), throw_to(coro, -EIO, num(5)));
			EXPECT_EQ((Step{-EXDEV, nullptr}), switch_to(main, num(5)));
		});
		EXPECT_EQ((Step{0, num(4)}), switch_to(coro, num(3))) << "and nothing has run";
		expect_lines(script::greenlet_elsewhere, "s14_s27_s42.txt", 20, 20);
	});
	/* On another worker, surely: the owner keeps its own busy, and nobody stands in for that. */
	weft_config how = config(2);
	how.rescue = WEFT_RESCUE_OFF;
	run(how, [] {
		Coro coro(add_one);
		switch_to(coro, num(1));
		std::atomic<bool> asked{false};
		unsigned worker = 0;
		weft_fiber *other = spawn([&] {
			EXPECT_EQ((Step{-EXDEV, nullptr}), switch_to(coro, num(5)));
			worker = weft_worker_index();
			asked = true;
		});
		while (!asked) {}
		EXPECT_NE(weft_worker_index(), worker);
		join(other);
		EXPECT_EQ((Step{0, num(4)}), switch_to(coro, num(3)));
	});
}

/* Makes a fiber that waits for go() run on one of two workers in turn: two pinned fibers, of which one keeps its worker busy while
 * the other lets the traveller go on. */
class Ferry
{
public:
	explicit Ferry(int rounds) : rounds_(rounds)
	{
		for (int i = 0; i < 2; i++)
			ends_.push_back(spawn([this, i] { work(i); },
				{.name = nullptr, .stack_size = 0, .flags = WEFT_PINNED}));
	}
	~Ferry()
	{
		for (weft_fiber *fiber : ends_)
			join(fiber);
	}
	/* The traveller: until it is on the other worker; it says arrived() there. */
	void go()
	{
		EXPECT_EQ(0, weft_sem_wait(&go_));
	}
	void arrived()
	{
		arrived_++;
	}

private:
	void work(int i)
	{
		started_++;
		while (started_ < 2) {}
		for (int round = 0; round < rounds_; round++) {
			if (round % 2 == i) {
				while (busy_ <= round)
					weft_sleep(10 * WEFT_US);
				EXPECT_EQ(0, weft_sem_post(&go_));
				while (arrived_ <= round)
					weft_sleep(10 * WEFT_US);
			} else {
				busy_ = round + 1;
				while (arrived_ <= round) {}
			}
		}
	}
	int rounds_;
	std::vector<weft_fiber *> ends_;
	std::atomic<int> started_{0}, busy_{0}, arrived_{0};
	weft_sem go_ = WEFT_SEM_INIT(0);
};

TEST(Seed, S42_TheGroupSurvivesMigration)
{
	constexpr int rounds = 40;
	weft_config how = config(2);
	how.rescue = WEFT_RESCUE_OFF; /* who stands in for a busy worker counts as that one */
	run(how, [] {
		Ferry ferry(rounds);
		std::vector<unsigned> workers;
		weft_coro *one = nullptr, *two = nullptr;
		weft_coro *main = weft_coro_current();
		weft_fiber *self = weft_self();
		intptr_t steps = 0;
		auto hop = [&](weft_coro *&to) -> void * {
			Step got{};
			while (got.code == 0) {
				steps++;
				weft_yield();
				EXPECT_EQ(self, weft_self());
				got = switch_to(steps % 3 == 0 ? main : to, num(steps));
			}
			return nullptr;
		};
		/* One of them parks in each round, and goes on elsewhere. */
		Coro first([&](void *) { return hop(two); });
		Coro second([&](void *) -> void * {
			for (int round = 0; round < rounds; round++) {
				ferry.go();
				workers.push_back(weft_worker_index());
				for (int i = 0; i < 3; i++) {
					Step got = switch_to(i == 2 ? main : one, num(round));
					if (got.code != 0)
						return nullptr;
				}
				ferry.arrived();
			}
			return num(-1);
		});
		one = first, two = second;
		Step got{};
		while (!weft_coro_dead(second)) {
			got = switch_to(second);
			ASSERT_EQ(0, got.code);
			ASSERT_EQ(main, weft_coro_current());
		}
		EXPECT_EQ(num(-1), got.value);
		ASSERT_EQ(size_t{rounds}, workers.size());
		for (int round = 1; round < rounds; round++)
			EXPECT_NE(workers[round - 1], workers[round]) << round;
	});
}

TEST(Seed, S43_NoCycles)
{
	everywhere([] {
		weft_coro *main = weft_coro_current();
		/* greenlet's own test_trivial_cycle and test_deeper_cycle. */
		Coro trivial(nothing);
		EXPECT_EQ(-ELOOP, weft_coro_set_parent(trivial, trivial));
		EXPECT_EQ(main, weft_coro_parent(trivial));
		Coro g3(nothing), g2(nothing), g1(nothing);
		EXPECT_EQ(0, weft_coro_set_parent(g1, g2));
		EXPECT_EQ(0, weft_coro_set_parent(g2, g3));
		EXPECT_EQ(-ELOOP, weft_coro_set_parent(g3, g1));
		EXPECT_EQ(main, weft_coro_parent(g3)) << "it has changed nothing";
		EXPECT_EQ((Step{0, nullptr}), switch_to(g1))
			<< "up the chain to the main one, which g3's end reaches";
		g1.free();
		g2.free();
		expect_lines(script::greenlet_cycle, "s14_s27_s42.txt", 19, 19);
	});
}
