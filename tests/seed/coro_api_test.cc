/* SPDX-License-Identifier: MIT */
/* coro_api_test.cc - what coro.h promises beyond the seed documents' rows
 *
 * Law  a wrong argument is the error that coro.h names, and nothing has run; an out parameter may be NULL, and is never left as it was.
 * Law  the corners are greenlet 2.0.2's: who receives what is switched or thrown to a dead one, one not started, oneself.
 * Law  freeing one that is current, a main one or a parent aborts with a line.
 */
#include <csignal>

#include "tests/seed/support.h"

using namespace seed;

static void *nothing(void *)
{
	return nullptr;
}

static void *give_back(void *value)
{
	Live live;
	Step got{0, value};
	while (got.code == 0)
		got = switch_to(weft_coro_parent(weft_coro_current()), got.value);
	return nullptr;
}

TEST(CoroApi, WrongArguments)
{
	everywhere([] {
		weft_coro *coro = reinterpret_cast<weft_coro *>(UNTOUCHED);
		EXPECT_EQ(-EINVAL, weft_coro_new(nullptr, nothing, nullptr));
		EXPECT_EQ(-EINVAL, weft_coro_new(&coro, nullptr, nullptr));
		EXPECT_EQ(nullptr, coro);
		EXPECT_EQ((Step{-EINVAL, nullptr}), switch_to(nullptr, num(1)));
		EXPECT_EQ((Step{-EINVAL, nullptr}), throw_to(nullptr, -EIO, num(1)));
		EXPECT_EQ(-EINVAL, weft_coro_switch(nullptr, nullptr, nullptr));
		EXPECT_EQ(-EINVAL, weft_coro_throw(nullptr, -EIO, nullptr, nullptr));
		Coro fresh(nothing);
		for (int error : {0, 1, 4096})
			EXPECT_EQ((Step{-EINVAL, nullptr}), throw_to(fresh, error, num(1)));
		EXPECT_FALSE(weft_coro_dead(fresh));
		weft_coro *main = weft_coro_current();
		EXPECT_EQ(-EINVAL, weft_coro_set_parent(nullptr, main));
		EXPECT_EQ(-EINVAL, weft_coro_set_parent(fresh, nullptr));
		EXPECT_EQ(-EINVAL, weft_coro_set_parent(main, fresh)) << "a main one has no parent";
		EXPECT_EQ(main, weft_coro_parent(fresh));
		EXPECT_EQ(nullptr, weft_coro_parent(main));
		EXPECT_EQ(nullptr, weft_coro_parent(nullptr));
		EXPECT_TRUE(weft_coro_dead(nullptr));
		EXPECT_FALSE(weft_coro_dead(main));
		weft_coro_free(nullptr);
	});
}

TEST(CoroApi, OutParametersMayBeNull)
{
	everywhere([] {
		Coro coro([](void *) -> void * {
			EXPECT_EQ(0,
				weft_coro_switch(weft_coro_parent(weft_coro_current()), num(1), nullptr));
			EXPECT_EQ(-EIO,
				weft_coro_switch(weft_coro_parent(weft_coro_current()), num(1), nullptr));
			return num(2);
		});
		EXPECT_EQ(0, weft_coro_switch(coro, nullptr, nullptr));
		EXPECT_EQ(0, weft_coro_switch(coro, nullptr, nullptr));
		EXPECT_EQ(0, weft_coro_throw(coro, -EIO, num(3), nullptr));
		EXPECT_TRUE(weft_coro_dead(coro));
		EXPECT_EQ(0, weft_coro_switch(coro, num(4), nullptr));
		EXPECT_EQ(-EIO, weft_coro_throw(coro, -EIO, num(4), nullptr));
	});
}

TEST(CoroApi, ToOneself)
{
	everywhere([] {
		weft_coro *main = weft_coro_current();
		EXPECT_EQ((Step{0, num(3)}), switch_to(main, num(3)));
		EXPECT_EQ((Step{-EIO, num(3)}), throw_to(main, -EIO, num(3)));
		EXPECT_EQ((Step{WEFT_GEN_EXIT, num(3)}), throw_to(main, WEFT_GEN_EXIT, num(3)));
		Coro coro([](void *) -> void * {
			weft_coro *self = weft_coro_current();
			EXPECT_EQ((Step{0, num(4)}), switch_to(self, num(4)));
			EXPECT_EQ((Step{-EIO, num(4)}), throw_to(self, -EIO, num(4)));
			return num(5);
		});
		EXPECT_EQ((Step{0, num(5)}), switch_to(coro));
	});
}

TEST(CoroApi, ErrorsReachTheParent)
{
	everywhere([] {
		int why = 0;
		auto raises = [&why](int error) {
			return [&why, error](void *) { return weft_gen_raise(error, &why); };
		};
		Coro fails(raises(-EIO));
		EXPECT_EQ((Step{-EIO, &why}), switch_to(fails));
		EXPECT_TRUE(weft_coro_dead(fails));
		EXPECT_EQ((Step{0, num(7)}), switch_to(fails, num(7))) << "a dead one has no more errors";

		Coro exits(raises(WEFT_GEN_EXIT));
		EXPECT_EQ((Step{0, &why}), switch_to(exits)) << "a normal end";
		Coro leaks(raises(1));
		EXPECT_EQ((Step{-EPROTO, nullptr}), switch_to(leaks));

		/* Through the parents: each may handle it, or raise it again. */
		Coro outer([&](void *) -> void * {
			Coro inner(raises(-ENOTTY));
			Step got = switch_to(inner);
			EXPECT_EQ((Step{-ENOTTY, &why}), got);
			return reraise(got);
		});
		EXPECT_EQ((Step{-ENOTTY, &why}), switch_to(outer));
		Coro unused([&](void *) {
			weft_gen_raise(-EIO, &why);
			return num(6);
		});
		EXPECT_EQ((Step{0, num(6)}), switch_to(unused)) << "raise counts if it is returned";
		EXPECT_EQ(nullptr, weft_gen_raise(-EIO, &why)) << "nothing in a main one";
	});
}

TEST(CoroApi, ThrowingIntoASuspendedOne)
{
	everywhere([] {
		int why = 0;
		Step seen{};
		Coro handles([&](void *) -> void * {
			seen = switch_to(weft_coro_parent(weft_coro_current()));
			return num(1);
		});
		switch_to(handles);
		EXPECT_EQ((Step{0, num(1)}), throw_to(handles, -EIO, &why));
		EXPECT_EQ((Step{-EIO, &why}), seen);
		Coro raises_again([&](void *) {
			return reraise(switch_to(weft_coro_parent(weft_coro_current())));
		});
		switch_to(raises_again);
		EXPECT_EQ((Step{-EIO, &why}), throw_to(raises_again, -EIO, &why));
		Coro exits([&](void *) {
			return reraise(switch_to(weft_coro_parent(weft_coro_current())));
		});
		switch_to(exits);
		EXPECT_EQ((Step{0, &why}), throw_to(exits, WEFT_GEN_EXIT, &why))
			<< "a normal end with its payload";
		EXPECT_TRUE(weft_coro_dead(exits));
	});
}

TEST(CoroApi, ThrowingIntoOneThatWasNotStartedOrIsDead)
{
	everywhere([] {
		int why = 0;
		bool ran = false;
		auto body = [&ran](void *) -> void * {
			ran = true;
			return nullptr;
		};
		Coro fresh(body), exits(body);
		EXPECT_EQ((Step{-EIO, &why}), throw_to(fresh, -EIO, &why));
		EXPECT_TRUE(weft_coro_dead(fresh));
		EXPECT_EQ((Step{-EIO, &why}), throw_to(fresh, -EIO, &why)) << "dead";
		EXPECT_EQ((Step{0, &why}), throw_to(fresh, WEFT_GEN_EXIT, &why)) << "dead: a normal end";
		EXPECT_EQ((Step{0, &why}), throw_to(exits, WEFT_GEN_EXIT, &why));
		EXPECT_TRUE(weft_coro_dead(exits));
		EXPECT_FALSE(ran);

		/* It passes those that were not started and leaves them dead; the first that is suspended gets it. */
		Step seen{};
		weft_coro *last = nullptr;
		Coro catcher([&](void *) -> void * {
			seen = switch_to(last);
			return num(9);
		});
		Coro middle(body, catcher), low(body, middle);
		weft_coro *main = weft_coro_current();
		last = main;
		switch_to(catcher);
		EXPECT_EQ((Step{0, num(9)}), throw_to(low, -EIO, &why));
		EXPECT_EQ((Step{-EIO, &why}), seen);
		EXPECT_TRUE(weft_coro_dead(low));
		EXPECT_TRUE(weft_coro_dead(middle));
		EXPECT_FALSE(ran);
		low.free();
		middle.free();
	});
}

TEST(CoroApi, ADeadOnesAncestorThatWasNotStartedIsStarted)
{
	everywhere([] {
		void *argument = nullptr;
		Coro parent([&argument](void *value) {
			argument = value;
			return num(3);
		});
		Coro child([](void *) { return num(2); }, parent);
		EXPECT_EQ((Step{0, num(3)}), switch_to(child, num(1))) << "its end started its parent";
		EXPECT_EQ(num(2), argument);
		EXPECT_TRUE(weft_coro_dead(parent));
		child.free();

		/* The exit thrown into one that was not started is its normal end, whose value starts the next. */
		Coro above([&argument](void *value) {
			argument = value;
			return num(8);
		});
		Coro never(nothing, above);
		EXPECT_EQ((Step{0, num(8)}), throw_to(never, WEFT_GEN_EXIT, num(7)));
		EXPECT_EQ(num(7), argument);
		EXPECT_TRUE(weft_coro_dead(never));
		never.free();

		Coro grandparent([&argument](void *value) {
			argument = value;
			return num(6);
		});
		Coro dead(nothing);
		switch_to(dead);
		EXPECT_EQ(0, weft_coro_set_parent(dead, grandparent)) << "a dead one's may be set";
		EXPECT_EQ((Step{0, num(6)}), switch_to(dead, num(5)));
		EXPECT_EQ(num(5), argument) << "the value is its argument";
		dead.free();
	});
}

TEST(CoroApi, ParentsCanBeChanged)
{
	everywhere([] {
		Coro first(give_back), second(give_back);
		Coro child([](void *) { return num(4); }, first);
		EXPECT_EQ(first, weft_coro_parent(child));
		EXPECT_EQ(0, weft_coro_set_parent(child, second));
		EXPECT_EQ(second, weft_coro_parent(child));
		EXPECT_EQ(-ELOOP, weft_coro_set_parent(second, child));
		switch_to(second);
		EXPECT_EQ((Step{0, num(4)}), switch_to(child))
			<< "second has got 4, and gives it to its parent";
		child.free();
	});
}

TEST(CoroApi, BetweenFibers)
{
	everywhere([] {
		weft_coro *main = weft_coro_current();
		Coro fresh([](void *value) { return value; }), started(give_back), sub(give_back);
		switch_to(started);
		elsewhere([&] {
			weft_coro *mine = weft_coro_current();
			EXPECT_NE(main, mine);
			EXPECT_EQ(nullptr, weft_coro_parent(mine));
			Coro own(give_back);
			switch_to(own);
			EXPECT_EQ(-EXDEV, weft_coro_set_parent(started, own));
			EXPECT_EQ(-EXDEV, weft_coro_set_parent(own, started));
			EXPECT_EQ(mine, weft_coro_parent(own)) << "nothing has changed";
			EXPECT_EQ(main, weft_coro_parent(fresh));
			/* Its parent is another fiber's: who starts it becomes its parent. */
			EXPECT_EQ((Step{0, num(5)}), switch_to(fresh, num(5)));
			EXPECT_TRUE(weft_coro_dead(fresh));
			EXPECT_EQ(mine, weft_coro_parent(fresh));
			/* One that is suspended there may be freed here. */
			switch_to(sub, num(1));
		});
		EXPECT_EQ((Step{-EXDEV, nullptr}), switch_to(sub)) << "its owner has ended";
		sub.free();
		started.free();
		EXPECT_EQ(0, Live::count);
	});
}

TEST(CoroApi, FreeUnwindsOnTheCaller)
{
	everywhere([] {
		weft_coro *parent_then = nullptr, *main = weft_coro_current();
		int exits = 0;
		Coro root(give_back);
		Coro coro(
			[&](void *) -> void * {
				Step got = switch_to(main);
				EXPECT_EQ((Step{WEFT_GEN_EXIT, nullptr}), got);
				parent_then = weft_coro_parent(weft_coro_current());
				exits++;
				return weft_gen_raise(-EIO, num(4));
			},
			root);
		switch_to(coro);
		coro.free();
		EXPECT_EQ(main, parent_then) << "the caller, not root; and its error is dropped";
		EXPECT_EQ(1, exits);

		/* One that hands control back instead of ending: nothing more of it runs. */
		Coro stubborn([&](void *) -> void * {
			for (;;)
				exits += switch_to(main).code == WEFT_GEN_EXIT;
		});
		switch_to(stubborn);
		stubborn.free();
		EXPECT_EQ(2, exits);
		/* Neither is one that was not started, or that is dead. */
		Coro fresh([&](void *) -> void * { return exits++, nullptr; }), dead(nothing);
		switch_to(dead);
		fresh.free();
		dead.free();
		EXPECT_EQ(2, exits);
	});
}

class CoroApiDeathTest : public testing::Test
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
	static void expect_death(const std::function<void()> &crime, const char *word)
	{
		std::string line =
			std::string("^weft: fatal: [^\n]*weft_coro_free[^\n]*") + word + "[^\n]*\n$";
		EXPECT_EXIT(crime(), testing::KilledBySignal(SIGABRT), line);
		EXPECT_EXIT(run(1, crime), testing::KilledBySignal(SIGABRT), line);
	}
};

TEST_F(CoroApiDeathTest, FreeingTheCurrentOne)
{
	auto crime = [] {
		weft_coro *coro = nullptr;
		auto free_me = [](void *) -> void * {
			return weft_coro_free(weft_coro_current()), nullptr;
		};
		weft_coro_new(&coro, free_me, nullptr);
		weft_coro_switch(coro, nullptr, nullptr);
	};
	expect_death(crime, "current");
}

TEST_F(CoroApiDeathTest, FreeingAMainOne)
{
	expect_death([] { weft_coro_free(weft_coro_current()); }, "main");
	auto from_elsewhere = [] {
		weft_coro *main = weft_coro_current();
		elsewhere([main] { weft_coro_free(main); });
	};
	expect_death(from_elsewhere, "main");
}

TEST_F(CoroApiDeathTest, FreeingAParent)
{
	auto crime = [] {
		weft_coro *parent = nullptr, *child = nullptr;
		weft_coro_new(&parent, nothing, nullptr);
		weft_coro_new(&child, nothing, parent);
		weft_coro_free(parent);
	};
	expect_death(crime, "parent");
}

TEST(CoroApi, ManyMadeAndFreed)
{
	everywhere([] {
		const long count = times(300000, 5000);
		auto make = [](bool begin) {
			weft_coro *coro = nullptr;
			weft_coro_new(&coro, give_back, nullptr);
			if (begin)
				weft_coro_switch(coro, nullptr, nullptr);
			weft_coro_free(coro);
		};
		for (int i = 0; i < 1000; i++)
			make(true);
		long before = rss_bytes();
		for (long i = 0; i < count; i++)
			make(i % 2 == 0);
		EXPECT_EQ(0, Live::count);
		if (!sanitized) {
			EXPECT_LT(rss_bytes() - before, 8 << 20);
		}
	});
}
