/* SPDX-License-Identifier: MIT */
/* gen_end_rows_test.cc - rows S14 to S22 of the seed documents: how generators end, and what runs them
 *
 * Law  each row's test says what its row says, on a plain thread and on fibers; the texts are those of golden/.
 */
#include "tests/seed/scripts.h"

using namespace seed;

TEST(Seed, S14_DemoExcHandling)
{
	everywhere([] { expect_lines(script::handled_exceptions, "s14_s27_s42.txt", 1, 6); });
}

TEST(Seed, S15_CloseRaisesExitAtTheYield)
{
	everywhere([] {
		for (int way = 0; way < 3; way++) { /* no handler, returns, returns a value */
			int cleanups = 0, seen = 0;
			Gen gen([&]() -> void * {
				Step got = yield();
				seen = got.code;
				cleanups++;
				EXPECT_EQ(nullptr, got.value);
				return way == 0 ? reraise(got) : way == 1 ? nullptr : num(7);
			});
			next(gen);
			EXPECT_EQ(0, cleanups);
			EXPECT_EQ(0, weft_gen_close(gen));
			EXPECT_EQ(1, cleanups) << "before close returned";
			EXPECT_EQ(WEFT_GEN_EXIT, seen);
			EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
			EXPECT_EQ(0, weft_gen_close(gen));
			EXPECT_EQ(done(nullptr), next(gen)) << "what it returned is dropped";
			gen.free();
			EXPECT_EQ(1, cleanups) << "exactly once";
		}
		expect_lines(script::return_in_close, "s1_s40.txt", 11, 11);
	});
}

TEST(Seed, S16_YieldDuringClose)
{
	everywhere([] {
		int closings = 0;
		Gen gen([&closings]() -> void * {
			while (closings < 2)
				if (yield(num(closings)).code == WEFT_GEN_EXIT)
					closings++;
			return nullptr;
		});
		EXPECT_EQ(yielded(num(0)), next(gen));
		EXPECT_EQ(-EPROTO, weft_gen_close(gen));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ(0, weft_gen_error(gen, nullptr));
		EXPECT_EQ(yielded(num(1)), next(gen)) << "it goes on as if nothing had been";
		EXPECT_EQ(0, weft_gen_close(gen)) << "the second works";
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(2, closings);
		expect_lines(script::yield_in_close, "s1_s40.txt", 9, 9);
	});
}

TEST(Seed, S17_AnotherErrorDuringClose)
{
	everywhere([] {
		int why = 0;
		Gen gen([&why] {
			Step got = yield();
			return got.code == WEFT_GEN_EXIT ? weft_gen_raise(-EIO, &why) : nullptr;
		});
		next(gen);
		EXPECT_EQ(-EIO, weft_gen_close(gen));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		void *payload = nullptr;
		EXPECT_EQ(-EIO, weft_gen_error(gen, &payload));
		EXPECT_EQ(&why, payload);
		expect_lines(script::other_in_close, "s1_s40.txt", 10, 10);
	});
}

TEST(Seed, S18_CloseOnCreatedAndOnClosed)
{
	everywhere([] {
		int flag = 0;
		auto body = [&flag] {
			flag++;
			return reraise(yield(num(1)));
		};
		Gen fresh(body);
		EXPECT_EQ(0, weft_gen_close(fresh));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(fresh));
		EXPECT_EQ(done(nullptr), next(fresh));
		EXPECT_EQ(done(nullptr), send(fresh, num(3))) << "a CLOSED one takes any value";
		EXPECT_EQ(0, weft_gen_close(fresh));
		EXPECT_EQ(0, flag);

		Gen ended(body);
		EXPECT_EQ(yielded(num(1)), next(ended));
		EXPECT_EQ(done(nullptr), next(ended));
		EXPECT_EQ(0, weft_gen_close(ended));
		EXPECT_EQ(done(nullptr), next(ended));

		Gen closed(body);
		EXPECT_EQ(yielded(num(1)), next(closed));
		EXPECT_EQ(0, weft_gen_close(closed));
		EXPECT_EQ(0, weft_gen_close(closed));
		EXPECT_EQ(done(nullptr), next(closed));
		EXPECT_EQ(2, flag);
		expect_lines(script::close_fresh, "s1_s40.txt", 12, 13);
	});
}

TEST(Seed, S19_TheReturnValueComesOnce)
{
	struct Result {
		int count;
		double average;
	};
	everywhere([] {
		Result result{};
		Gen gen([&result]() -> void * {
			double total = 0;
			for (Step term = yield(); term.value != nullptr; term = yield()) {
				total += *static_cast<double *>(term.value);
				result = {result.count + 1, total / (result.count + 1)};
			}
			return &result;
		});
		EXPECT_EQ(yielded(nullptr), next(gen));
		for (double term : {10.0, 30.0, 6.5})
			EXPECT_EQ(yielded(nullptr), send(gen, &term));
		Step end = send(gen, nullptr);
		EXPECT_EQ(done(&result), end);
		const auto *got = static_cast<Result *>(end.value);
		EXPECT_EQ("Result(count=3, average=15.5)",
			format("Result(count=%d, average=%.17g)", got->count, got->average));
		EXPECT_EQ(done(nullptr), next(gen)) << "given once";
		EXPECT_EQ(done(nullptr), send(gen, &result));
	});
}

TEST(Seed, S20_ALeakedStopIteration)
{
	everywhere([] {
		for (int leaked : {int{WEFT_GEN_DONE}, int{WEFT_GEN_YIELDED}, 5}) {
			auto body = [leaked] {
				Step got = yield(num(1));
				return got.code < 0 ? reraise(got) : weft_gen_raise(leaked, num(5));
			};
			Gen direct(body);
			next(direct);
			EXPECT_EQ((Step{-EPROTO, nullptr}), next(direct));
			EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(direct));

			Gen sub(body);
			Step seen{};
			Gen outer([&] { return reraise(seen = delegate(sub)); });
			EXPECT_EQ(yielded(num(1)), next(outer));
			EXPECT_EQ((Step{-EPROTO, nullptr}), next(outer));
			EXPECT_EQ((Step{-EPROTO, nullptr}), seen) << "the delegator could have caught it";
		}
		expect_lines(script::raise_stop_inside, "s1_s40.txt", 16, 16);
	});
}

TEST(Seed, S21_ResumingARunningOne)
{
	everywhere([] {
		weft_gen *self = nullptr;
		Gen gen([&self] {
			EXPECT_EQ((Step{-EBUSY, nullptr}), next(self));
			EXPECT_EQ((Step{-EBUSY, nullptr}), send(self, num(3)));
			EXPECT_EQ((Step{-EBUSY, nullptr}), throw_in(self, -EIO, num(3)));
			EXPECT_EQ((Step{-EBUSY, nullptr}), delegate(self));
			EXPECT_EQ(-EBUSY, weft_gen_close(self));
			EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(self));
			return reraise(yield(num(1)));
		});
		self = gen;
		EXPECT_EQ(yielded(num(1)), next(gen)) << "and none of it has changed anything";
		expect_lines(script::reentrant, "s1_s40.txt", 17, 17);
	});
	/* From another fiber, while the body has its fiber parked. */
	run_virtual(1, [] {
		Gen gen([] {
			EXPECT_EQ(0, weft_sleep(WEFT_SEC));
			return reraise(yield(num(1)));
		});
		weft_fiber *other = spawn([&gen] {
			EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(gen));
			EXPECT_EQ((Step{-EBUSY, nullptr}), next(gen));
			EXPECT_EQ((Step{-EBUSY, nullptr}), throw_in(gen, -EIO));
			EXPECT_EQ(-EBUSY, weft_gen_close(gen));
		});
		EXPECT_EQ(yielded(num(1)), next(gen));
		join(other);
	});
	/* From another worker, while the body keeps its own busy, and nobody stands in for that. */
	weft_config how = config(2);
	how.rescue = WEFT_RESCUE_OFF;
	run(how, [] {
		std::atomic<bool> runs{false}, asked{false};
		Gen gen([&] {
			runs = true;
			while (!asked) {}
			return reraise(yield(num(1)));
		});
		unsigned worker = 0;
		weft_fiber *other = spawn([&] {
			while (!runs)
				weft_yield();
			worker = weft_worker_index();
			EXPECT_EQ((Step{-EBUSY, nullptr}), next(gen));
			EXPECT_EQ(-EBUSY, weft_gen_close(gen));
			EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(gen));
			asked = true;
		});
		EXPECT_EQ(yielded(num(1)), next(gen));
		EXPECT_NE(weft_worker_index(), worker);
		join(other);
	});
}

TEST(Seed, S22_ForOverAGenerator)
{
	everywhere([] {
		auto body = []() -> void * {
			Live live;
			for (const char *c : {"A", "B"})
				if (yield(py_str(c)).code < 0)
					return nullptr;
			for (int i = 1; i < 3; i++)
				if (yield(py_int(i)).code < 0)
					return nullptr;
			return nullptr;
		};
		std::string all;
		Gen whole(body);
		WEFT_GEN_EACH(whole, value)
			all += (all.empty() ? "" : ", ") + repr(value);
		EXPECT_EQ("'A', 'B', 1, 2", all);
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(whole));
		EXPECT_EQ(0, Live::count);

		std::string part;
		Gen broken(body);
		WEFT_GEN_EACH(broken, value) {
			EXPECT_EQ(1, Live::count);
			part += repr(value);
			if (part == "'A''B'")
				break;
		}
		EXPECT_EQ("'A''B'", part);
		EXPECT_EQ(0, Live::count) << "its clean-up ran";
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(broken));
	});
}
