/* SPDX-License-Identifier: MIT */
/* gen_rows_test.cc - rows S1 to S13 of the seed documents: generators
 *
 * Law  each row's test says what its row says, on a plain thread and on fibers; the texts are those of golden/.
 */
#include "tests/seed/scripts.h"

using namespace seed;

TEST(Seed, S1_NothingRunsUntilNext)
{
	everywhere([] {
		bool ran = false;
		Gen gen([&ran] {
			ran = true;
			return reraise(yield());
		});
		weft_yield();
		EXPECT_FALSE(ran);
		EXPECT_EQ(WEFT_GEN_CREATED, weft_gen_state(gen));
		EXPECT_EQ(yielded(nullptr), next(gen));
		EXPECT_TRUE(ran);
	});
}

/* The first tutorial's first program. */
static void *simple_demo(Transcript &out)
{
	out.print("start");
	Step x = yield();
	if (x.code == 0)
		out.print("x:", x.value);
	return reraise(x);
}

TEST(Seed, S2_SendArrivesAndTheEndIsDone)
{
	everywhere([] {
		Transcript out;
		Gen gen([&out] { return simple_demo(out); });
		EXPECT_EQ(yielded(nullptr), next(gen));
		EXPECT_EQ("start\n", out.text());
		EXPECT_EQ(done(nullptr), send(gen, py_int(10)));
		EXPECT_EQ("start\nx: 10\n", out.text());
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), next(gen));
	});
}

TEST(Seed, S3_SendToAFreshOneChangesNothing)
{
	everywhere([] {
		Transcript out;
		void *ten = py_int(10);
		Gen gen([&out] { return simple_demo(out); });
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ((Step{-EINVAL, nullptr}), send(gen, ten));
			EXPECT_EQ(WEFT_GEN_CREATED, weft_gen_state(gen));
		}
		EXPECT_EQ("", out.text());
		EXPECT_EQ(yielded(nullptr), next(gen)) << "it was not consumed";
		EXPECT_EQ(done(nullptr), send(gen, ten));
		EXPECT_EQ("start\nx: 10\n", out.text());
		expect_lines(script::send_to_fresh, "s1_s40.txt", 1, 4);
	});
}

TEST(Seed, S4_SendOfNullPrimes)
{
	everywhere([] {
		std::string texts[2];
		for (int way = 0; way < 2; way++) {
			Transcript out;
			Gen gen([&out] { return simple_demo(out); });
			EXPECT_EQ(yielded(nullptr), way == 0 ? next(gen) : send(gen, nullptr));
			EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
			EXPECT_EQ(done(nullptr), way == 0 ? next(gen) : send(gen, nullptr));
			texts[way] = out.text();
		}
		EXPECT_EQ("start\nx: None\n", texts[0]);
		EXPECT_EQ(texts[0], texts[1]);
	});
}

TEST(Seed, S5_FourStates)
{
	everywhere([] {
		std::string text;
		weft_gen *self = nullptr;
		auto say = [&](char name, intptr_t value) {
			EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(self));
			text += format("%c=%ld ", name, static_cast<long>(value));
		};
		Gen gen([&] {
			intptr_t a = 2;
			say('a', a);
			intptr_t b = as_num(yield(num(a)).value);
			say('b', b);
			intptr_t c = as_num(yield(num(a + b)).value);
			say('c', c);
			return nullptr;
		});
		self = gen;
		EXPECT_EQ(WEFT_GEN_CREATED, weft_gen_state(gen));
		EXPECT_EQ(yielded(num(2)), next(gen));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ(yielded(num(5)), send(gen, num(3)));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), send(gen, num(4)));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ("a=2 b=3 c=4 ", text);
		expect_lines(script::four_states, "s1_s40.txt", 5, 6);
	});
}

TEST(Seed, S6_TheValueIsYieldedBeforeTheAssignment)
{
	everywhere([] {
		void *x = num(42);
		bool evaluated = false;
		auto right_side = [&evaluated] {
			evaluated = true;
			return num(7);
		};
		Gen gen([&] {
			weft_gen_yield(right_side(), &x);
			return nullptr;
		});
		EXPECT_EQ(num(42), x);
		EXPECT_EQ(yielded(num(7)), next(gen));
		EXPECT_TRUE(evaluated);
		EXPECT_EQ(num(42), x) << "unchanged while it is suspended";
		EXPECT_EQ(done(nullptr), send(gen, num(10)));
		EXPECT_EQ(num(10), x);
	});
}

/* The averager with doubles behind the pointers, as a C program has it. */
static void *averager(void *)
{
	double total = 0.0, average = 0.0;
	int count = 0;
	void *term, *out = nullptr;
	while (weft_gen_yield(out, &term) == 0) {
		total += *static_cast<double *>(term);
		average = total / ++count;
		out = &average;
	}
	return nullptr;
}

static std::string average_of(weft_gen *gen, double term)
{
	Step step = send(gen, &term);
	EXPECT_EQ(WEFT_GEN_YIELDED, step.code);
	return format("%.17g", *static_cast<double *>(step.value));
}

TEST(Seed, S7_Averager)
{
	everywhere([] {
		Gen gen([] { return averager(nullptr); });
		EXPECT_EQ(yielded(nullptr), next(gen));
		EXPECT_EQ(format("%.17g", 10.0), average_of(gen, 10));
		EXPECT_EQ(format("%.17g", 20.0), average_of(gen, 30));
		EXPECT_EQ("26.666666666666668", average_of(gen, 40));
		expect_lines(script::averages, "s1_s40.txt", 7, 8);
	});
}

TEST(Seed, S8_ThePrimingDecorator)
{
	everywhere([] {
		weft_gen *gen = nullptr;
		ASSERT_EQ(0, weft_gen_new_primed(&gen, averager, nullptr));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ("10", average_of(gen, 10));
		EXPECT_EQ("20", average_of(gen, 30));
		EXPECT_EQ("15", average_of(gen, 5));
		weft_gen_free(gen);
	});
}

/* The step at which it goes wrong is in the argument. */
static void *fails_early(void *arg)
{
	Live live;
	switch (as_num(arg)) {
	case 0:
		return num(5);
	case 1:
		return weft_gen_raise(-EIO, num(6));
	case 2:
		return weft_gen_raise(3, num(6));
	}
	Step first = yield(num(1));
	return first.code == 0 ? weft_gen_raise(-EIO, num(6)) : nullptr;
}

TEST(Seed, S9_ThePrimerSurfacesWhatComesBeforeTheFirstYield)
{
	everywhere([] {
		const int expected[] = {WEFT_GEN_DONE, -EIO, -EPROTO};
		for (int way = 0; way < 3; way++) {
			weft_gen *gen = reinterpret_cast<weft_gen *>(&way);
			EXPECT_EQ(expected[way], weft_gen_new_primed(&gen, fails_early, num(way)));
			EXPECT_EQ(nullptr, gen);
		}
		weft_gen *gen = nullptr;
		EXPECT_EQ(0, weft_gen_new_primed(&gen, fails_early, num(3)));
		EXPECT_EQ((Step{-EIO, num(6)}), next(gen)) << "the first value was dropped";
		weft_gen_free(gen);
		EXPECT_EQ(0, Live::count);
	});
}

TEST(Seed, S10_AnUnhandledErrorReachesTheCaller)
{
	everywhere([] {
		Gen gen(script::averager);
		next(gen);
		EXPECT_EQ("40.0", str(send(gen, py_int(40)).value));
		EXPECT_EQ("45.0", str(send(gen, py_int(50)).value));
		Step spam = send(gen, py_str("spam"));
		EXPECT_LT(spam.code, 0);
		EXPECT_EQ("unsupported operand type(s) for +=: 'float' and 'str'", str(spam.value));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), send(gen, py_int(60))) << "not the error again";
		EXPECT_EQ(spam.code, weft_gen_error(gen, nullptr)) << "which can still be asked for";
		expect_lines(script::averages, "s1_s40.txt", 7, 8);
	});
}

TEST(Seed, S11_AThrowThatIsHandledReturnsTheNextYield)
{
	everywhere([] {
		Transcript out;
		Gen gen([&out] { return script::echo(out, nullptr); });
		EXPECT_EQ(yielded(nullptr), next(gen));
		void *spam = py_error("TypeError", "spam");
		Step got = throw_in(gen, TYPE_ERROR, spam);
		EXPECT_EQ(yielded(spam), got);
		EXPECT_EQ("TypeError('spam')", repr(got.value));
		EXPECT_EQ(yielded(nullptr), next(gen));
	});
}

TEST(Seed, S12_AThrowThatIsNotHandledReachesTheCaller)
{
	everywhere([] {
		int why = 0;
		Gen gen([] { return reraise(yield(num(1))); });
		next(gen);
		EXPECT_EQ((Step{-ENOTTY, &why}), throw_in(gen, -ENOTTY, &why));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), next(gen));
	});
}

TEST(Seed, S13_AThrowOnCreatedOrClosedRunsNoBody)
{
	everywhere([] {
		int why = 0, flag = 0;
		Gen gen([&flag] {
			flag = 1;
			return nullptr;
		});
		EXPECT_EQ((Step{-ENOTTY, &why}), throw_in(gen, -ENOTTY, &why));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ((Step{-EIO, &flag}), throw_in(gen, -EIO, &flag));
		EXPECT_EQ((Step{WEFT_GEN_EXIT, &why}), throw_in(gen, WEFT_GEN_EXIT, &why));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), next(gen));
		EXPECT_EQ(0, flag);
		expect_lines(script::throw_fresh, "s1_s40.txt", 14, 15);
	});
}
