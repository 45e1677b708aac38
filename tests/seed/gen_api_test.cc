/* SPDX-License-Identifier: MIT */
/* gen_api_test.cc - what gen.h promises beyond the seed documents' rows: arguments and corners
 *
 * Law  a wrong argument is the error that gen.h names, and nothing has changed; an out parameter may be NULL, and is never left as it was.
 * Law  the corners are CPython 3.11's: throwing WEFT_GEN_EXIT, shared subs, iterables that are closed.
 */
#include "tests/seed/support.h"

using namespace seed;

static void *return_arg(void *arg)
{
	return arg;
}

static void *yield_one(void *)
{
	return reraise(yield(num(1)));
}

TEST(GenApi, WrongArguments)
{
	everywhere([] {
		weft_gen *gen = reinterpret_cast<weft_gen *>(UNTOUCHED);
		weft_iter iter{};
		EXPECT_EQ(-EINVAL, weft_gen_new(nullptr, return_arg, nullptr));
		EXPECT_EQ(-EINVAL, weft_gen_new(&gen, nullptr, nullptr));
		EXPECT_EQ(nullptr, gen);
		gen = reinterpret_cast<weft_gen *>(UNTOUCHED);
		EXPECT_EQ(-EINVAL, weft_gen_new_primed(nullptr, return_arg, nullptr));
		EXPECT_EQ(-EINVAL, weft_gen_new_primed(&gen, nullptr, nullptr));
		EXPECT_EQ(nullptr, gen);
		gen = reinterpret_cast<weft_gen *>(UNTOUCHED);
		EXPECT_EQ(-EINVAL, weft_gen_from_iter(nullptr, &iter));
		EXPECT_EQ(-EINVAL, weft_gen_from_iter(&gen, nullptr));
		EXPECT_EQ(nullptr, gen);
		gen = reinterpret_cast<weft_gen *>(UNTOUCHED);
		EXPECT_EQ(-EINVAL, weft_gen_from_iter(&gen, &iter)) << "its next is NULL";
		EXPECT_EQ(nullptr, gen);

		EXPECT_EQ((Step{-EINVAL, nullptr}), next(nullptr));
		EXPECT_EQ((Step{-EINVAL, nullptr}), send(nullptr, num(1)));
		EXPECT_EQ((Step{-EINVAL, nullptr}), throw_in(nullptr, -EIO, num(1)));
		EXPECT_EQ(-EINVAL, weft_gen_next(nullptr, nullptr));
		EXPECT_EQ(-EINVAL, weft_gen_close(nullptr));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(nullptr));
		void *payload = UNTOUCHED;
		EXPECT_EQ(0, weft_gen_error(nullptr, &payload));
		EXPECT_EQ(nullptr, payload);
		EXPECT_EQ(0, weft_gen_error(nullptr, nullptr));
		weft_gen_free(nullptr);
	});
}

TEST(GenApi, AThrowOfWhatIsNoErrorChangesNothing)
{
	everywhere([] {
		Gen fresh([] { return yield_one(nullptr); }),
			suspended([] { return yield_one(nullptr); });
		next(suspended);
		for (int error : {0, 1, 4096}) {
			EXPECT_EQ((Step{-EINVAL, nullptr}), throw_in(fresh, error, num(3)));
			EXPECT_EQ((Step{-EINVAL, nullptr}), throw_in(suspended, error, num(3)));
		}
		EXPECT_EQ(WEFT_GEN_CREATED, weft_gen_state(fresh));
		EXPECT_EQ(yielded(num(1)), next(fresh));
		EXPECT_EQ(done(nullptr), next(suspended));
		EXPECT_EQ((Step{-EINVAL, nullptr}), throw_in(suspended, 0, num(3)))
			<< "a CLOSED one, too";
	});
}

TEST(GenApi, OutParametersMayBeNull)
{
	everywhere([] {
		Gen sub([] {
			weft_gen_yield(num(1), nullptr);
			weft_gen_yield(num(2), nullptr);
			return num(3);
		});
		Gen gen([&sub] {
			EXPECT_EQ(0, weft_gen_delegate(sub, nullptr));
			EXPECT_EQ(-EIO, weft_gen_yield(num(4), nullptr));
			return weft_gen_raise(-EIO, num(5));
		});
		EXPECT_EQ(WEFT_GEN_YIELDED, weft_gen_next(gen, nullptr));
		EXPECT_EQ(WEFT_GEN_YIELDED, weft_gen_send(gen, num(9), nullptr));
		EXPECT_EQ(WEFT_GEN_YIELDED, weft_gen_next(gen, nullptr));
		EXPECT_EQ(-EIO, weft_gen_throw(gen, -EIO, num(1), nullptr));
		EXPECT_EQ(WEFT_GEN_DONE, weft_gen_next(gen, nullptr));
		EXPECT_EQ(-EIO, weft_gen_throw(gen, -EIO, num(1), nullptr));
		EXPECT_EQ(-EIO, weft_gen_error(gen, nullptr));
	});
}

TEST(GenApi, YieldAndDelegateOutsideABody)
{
	everywhere([] {
		Gen sub([] { return yield_one(nullptr); });
		EXPECT_EQ((Step{-EPERM, nullptr}), yield(num(1)));
		EXPECT_EQ((Step{-EPERM, nullptr}), delegate(sub));
		EXPECT_EQ(-EPERM, weft_gen_yield(nullptr, nullptr));
		EXPECT_EQ(-EPERM, weft_gen_delegate(nullptr, nullptr));
		EXPECT_EQ(nullptr, weft_gen_raise(-EIO, num(1)));
		EXPECT_EQ(yielded(num(1)), next(sub)) << "it was not touched";
		EXPECT_EQ(done(nullptr), next(sub));
		EXPECT_EQ((Step{-EPERM, nullptr}), yield(num(1))) << "after one has run";
		Gen gen([] {
			EXPECT_EQ((Step{-EINVAL, nullptr}), delegate(nullptr));
			return nullptr;
		});
		EXPECT_EQ(done(nullptr), next(gen));
	});
}

/* An iterable that has everything, says what it was asked, and tries to yield meanwhile. */
struct Full {
	Log log;
	weft_gen *gen = nullptr; /* its own; RUNNING while it is asked */
	Step answer = yielded(num(1));
	int close_answer = 0;

	Step ask(const std::string &what)
	{
		log.push_back(what);
		EXPECT_EQ((Step{-EPERM, nullptr}), yield(num(1)));
		EXPECT_EQ((Step{-EPERM, nullptr}), delegate(gen));
		if (gen != nullptr) {
			EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(gen));
			EXPECT_EQ((Step{-EBUSY, nullptr}), next(gen));
		}
		return answer;
	}
	static int give(const Step &step, void **out)
	{
		EXPECT_EQ(nullptr, *out) << "it is NULL before";
		*out = step.value;
		return step.code;
	}
	static Full &of(void *self)
	{
		return *static_cast<Full *>(self);
	}
	weft_iter iter()
	{
		auto ask_next = [](void *self, void **out) {
			return give(of(self).ask("next"), out);
		};
		auto ask_send = [](void *self, void *value, void **out) {
			return give(of(self).ask("send " + std::to_string(as_num(value))), out);
		};
		auto ask_throw = [](void *self, int error, void *, void **out) {
			return give(of(self).ask("throw " + std::to_string(error)), out);
		};
		auto ask_close = [](void *self) {
			of(self).ask("close");
			return of(self).close_answer;
		};
		return {this, ask_next, ask_send, ask_throw, ask_close};
	}
};

TEST(GenApi, AnIterableIsAskedWhatItsGeneratorIs)
{
	everywhere([] {
		Full full;
		weft_iter iter = full.iter();
		Gen gen(iter);
		iter = {}; /* it was copied */
		full.gen = gen;
		EXPECT_EQ(WEFT_GEN_CREATED, weft_gen_state(gen));
		EXPECT_EQ(yielded(num(1)), next(gen));
		EXPECT_EQ(yielded(num(1)), send(gen, nullptr));
		EXPECT_EQ(yielded(num(1)), send(gen, num(7)));
		EXPECT_EQ(yielded(num(1)), throw_in(gen, -EIO));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(gen));
		EXPECT_EQ(0, weft_gen_close(gen));
		EXPECT_NE(WEFT_GEN_CLOSED, weft_gen_state(gen)) << "as an object of Python's";
		EXPECT_EQ(yielded(num(1)), next(gen)) << "it may be asked for more";
		full.answer = done(num(9));
		EXPECT_EQ(done(num(9)), next(gen));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), next(gen));
		gen.free();
		EXPECT_EQ((Log{"next", "next", "send 7", "throw -5", "close", "next", "next"}), full.log)
			<< "it has ended: free does not close it";
	});
}

TEST(GenApi, FreeClosesAnIterableOnce)
{
	everywhere([] {
		Full never_asked, closed, asked_again, failing;
		Gen(never_asked.iter()).free();
		EXPECT_EQ((Log{"close"}), never_asked.log);

		Gen gen(closed.iter());
		next(gen);
		EXPECT_EQ(0, weft_gen_close(gen));
		gen.free();
		EXPECT_EQ((Log{"next", "close"}), closed.log) << "it was just closed";

		Gen again(asked_again.iter());
		EXPECT_EQ(0, weft_gen_close(again));
		next(again);
		again.free();
		EXPECT_EQ((Log{"close", "next", "close"}), asked_again.log);

		failing.close_answer = -EIO;
		Gen fails(failing.iter());
		EXPECT_EQ(-EIO, weft_gen_close(fails));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(fails));
		EXPECT_EQ(-EIO, weft_gen_error(fails, nullptr));
		fails.free();
		EXPECT_EQ((Log{"close"}), failing.log) << "an error has ended it";
	});
}

TEST(GenApi, AnIterablesErrorEndsItAndOnlyThat)
{
	everywhere([] {
		int why = 0;
		Full full;
		Gen gen(full.iter());
		full.answer = {-EIO, &why};
		EXPECT_EQ((Step{-EIO, &why}), next(gen));
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
		EXPECT_EQ(done(nullptr), next(gen));
		void *payload = nullptr;
		EXPECT_EQ(-EIO, weft_gen_error(gen, &payload));
		EXPECT_EQ(&why, payload);

		/* What it cannot do changes nothing; also before it was asked for anything. */
		Counting counting{3};
		Gen plain(counting.iter());
		EXPECT_EQ((Step{-EINVAL, nullptr}), send(plain, num(4))) << "it is CREATED";
		EXPECT_EQ((Step{-EIO, num(5)}), throw_in(plain, -EIO, num(5)));
		EXPECT_EQ(0, weft_gen_close(plain));
		EXPECT_EQ(0, weft_gen_error(plain, nullptr));
		EXPECT_EQ(yielded(num(1)), next(plain));
		EXPECT_EQ((Step{-ENOSYS, nullptr}), send(plain, num(4)));
		EXPECT_EQ((Step{-EIO, num(5)}), throw_in(plain, -EIO, num(5)));
		EXPECT_EQ(yielded(num(2)), next(plain));
		EXPECT_EQ(yielded(num(3)), next(plain));
		EXPECT_EQ(done(nullptr), next(plain));
		EXPECT_EQ(done(nullptr), send(plain, num(4))) << "a CLOSED one takes any value";
	});
}

TEST(GenApi, DelegatorsAreRunningWhileAnIterableIsAsked)
{
	everywhere([] {
		Full full;
		Gen sub(full.iter());
		Gen low([&] { return reraise(delegate(sub)); });
		Gen top([&] { return reraise(delegate(low)); });
		full.gen = top;
		EXPECT_EQ(yielded(num(1)), next(top));
		EXPECT_EQ(yielded(num(1)), send(top, num(3)));
		EXPECT_EQ(yielded(num(1)), throw_in(top, -EIO));
		EXPECT_EQ(0, weft_gen_close(top));
		EXPECT_EQ((Log{"next", "send 3", "throw -5", "close"}), full.log);
	});
}

TEST(GenApi, ThrowingTheExitClosesTheSubsFirst)
{
	everywhere([] {
		int why = 0;
		Step sub_saw{}, top_saw{};
		Gen sub([&] { return reraise(sub_saw = yield(num(1))); });
		Gen top([&] { return reraise(top_saw = delegate(sub)); });
		next(top);
		EXPECT_EQ((Step{WEFT_GEN_EXIT, &why}), throw_in(top, WEFT_GEN_EXIT, &why))
			<< "only close turns it into 0";
		EXPECT_EQ((Step{WEFT_GEN_EXIT, nullptr}), sub_saw);
		EXPECT_EQ((Step{WEFT_GEN_EXIT, &why}), top_saw);
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(sub));
		EXPECT_EQ(0, weft_gen_error(sub, nullptr)) << "it was closed";
		EXPECT_EQ(WEFT_GEN_EXIT, weft_gen_error(top, nullptr));

		/* Raised by a body under next it is an error, too. */
		Gen raises([&] { return weft_gen_raise(WEFT_GEN_EXIT, &why); });
		EXPECT_EQ((Step{WEFT_GEN_EXIT, &why}), next(raises));
		/* A body that answers with a yield goes on. */
		Gen answers([] {
			yield(num(1));
			return reraise(yield(num(2)));
		});
		next(answers);
		EXPECT_EQ(yielded(num(2)), throw_in(answers, WEFT_GEN_EXIT));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(answers));
	});
}

TEST(GenApi, DelegatingToOneInAnyState)
{
	everywhere([] {
		Gen closed([] { return num(5); }), suspended([] {
			yield(num(1));
			return reraise(yield(num(2)));
		});
		next(closed);
		next(suspended);
		weft_gen *self = nullptr, *outer = nullptr;
		Gen gen([&] {
			EXPECT_EQ((Step{0, nullptr}), delegate(closed)) << "it has ended";
			EXPECT_EQ((Step{-EBUSY, nullptr}), delegate(self));
			EXPECT_EQ((Step{-EBUSY, nullptr}), delegate(outer)) << "that one runs";
			return reraise(delegate(suspended));
		});
		Gen top([&] { return reraise(delegate(gen)); });
		self = gen, outer = top;
		EXPECT_EQ(yielded(num(2)), next(top)) << "a suspended sub is sent NULL first";
		EXPECT_EQ(done(nullptr), next(top));
	});
}

TEST(GenApi, SeveralDelegateToOneSub)
{
	everywhere([] {
		Counting counting{6};
		Gen sub([&counting] {
			for (;;) {
				void *value = nullptr;
				if (Counting::next(&counting, &value) == WEFT_GEN_DONE)
					return num(60);
				Step got = yield(value);
				if (got.code < 0)
					return reraise(got);
			}
		});
		Step saw_a{}, saw_b{};
		Gen a([&] { return reraise(saw_a = delegate(sub)); }),
			b([&] { return reraise(saw_b = delegate(sub)); });
		EXPECT_EQ(yielded(num(1)), next(a));
		EXPECT_EQ(yielded(num(2)), next(b));
		EXPECT_EQ(yielded(num(3)), next(sub)) << "directly";
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(a));
		EXPECT_EQ(yielded(num(4)), next(a)) << "it finds it where it then is";
		EXPECT_EQ(yielded(num(5)), next(b));
		EXPECT_EQ(yielded(num(6)), next(a));
		EXPECT_EQ(done(num(60)), next(sub));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(a));
		EXPECT_EQ(done(nullptr), next(a));
		EXPECT_EQ(done(nullptr), next(b));
		EXPECT_EQ((Step{0, nullptr}), saw_a) << "it had ended, its result was taken";
		EXPECT_EQ((Step{0, nullptr}), saw_b);
	});
}

TEST(GenApi, FreeLeavesTheSubUsableAndTheDelegatorsToo)
{
	everywhere([] {
		/* A body that answers its closing with a yield, here its sub's: nothing more of it runs; the sub stays. */
		Gen sub([]() -> void * {
			for (intptr_t n = 1;; n++)
				yield(num(n));
		});
		int errors = 0;
		Gen stubborn([&]() -> void * {
			for (;;)
				errors += delegate(sub).code == -EPROTO;
		});
		EXPECT_EQ(yielded(num(1)), next(stubborn));
		EXPECT_EQ(-EPROTO, weft_gen_close(stubborn));
		EXPECT_EQ(1, errors)
			<< "the sub has yielded 2 instead of ending, then 3 on behalf of its delegator";
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(stubborn));
		stubborn.free();
		EXPECT_EQ(2, errors);
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(sub));
		EXPECT_EQ(yielded(num(6)), next(sub));

		/* One that others delegate to. */
		Step saw{1, UNTOUCHED};
		Gen shared([] { return yield_one(nullptr); });
		Gen delegator([&] {
			saw = delegate(shared);
			return num(8);
		});
		EXPECT_EQ(yielded(num(1)), next(delegator));
		shared.free();
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(delegator));
		EXPECT_EQ(done(num(8)), next(delegator));
		EXPECT_EQ((Step{0, nullptr}), saw) << "they find it ended";
	});
}

TEST(GenApi, FreeClosesOnce)
{
	everywhere([] {
		int exits = 0;
		Gen gen([&exits]() -> void * {
			for (;;)
				if (yield(num(1)).code == WEFT_GEN_EXIT)
					exits++;
		});
		next(gen);
		gen.free();
		EXPECT_EQ(1, exits);
		/* One that has been closed is not closed again, one that never began never begins. */
		Gen closed([] { return yield_one(nullptr); }),
			fresh([&exits] { return num(exits++); });
		next(closed);
		EXPECT_EQ(0, weft_gen_close(closed));
		closed.free();
		fresh.free();
		EXPECT_EQ(1, exits);
	});
}

TEST(GenApi, Raise)
{
	everywhere([] {
		int why = 0;
		Gen unused([&why] {
			weft_gen_raise(-EIO, &why);
			return num(4);
		});
		EXPECT_EQ(done(num(4)), next(unused)) << "it only counts if it is returned";
		Gen twice([&why] {
			void *first = weft_gen_raise(-EIO, nullptr);
			weft_gen_raise(-ENOTTY, &why);
			return first;
		});
		EXPECT_EQ((Step{-ENOTTY, &why}), next(twice)) << "the last call counts";
	});
}
