/* SPDX-License-Identifier: MIT */
/* delegate_rows_test.cc - rows S23 to S31 and S34 of the seed documents: delegation
 *
 * Law  each row's test says what its row says, on a plain thread and on fibers; the texts are those of golden/.
 */
#include <deque>

#include "tests/seed/scripts.h"

using namespace seed;

namespace
{
/* A leaf, and delegators on top of it, each of which counts how often it was resumed. */
class Chain
{
public:
	Chain(Gen leaf, int delegators) : steps(static_cast<size_t>(delegators) + 1)
	{
		links_.push_back(std::move(leaf));
		for (int i = 1; i <= delegators; i++) {
			weft_gen *sub = links_.back();
			links_.emplace_back([this, sub, i] {
				steps[i]++;
				Step got = delegate(sub);
				steps[i]++;
				return got.code < 0 ? reraise(got) : got.value;
			});
		}
	}
	~Chain()
	{
		while (!links_.empty())
			links_.pop_back();
	}
	weft_gen *top() const
	{
		return links_.back();
	}
	weft_gen *at(int i) const
	{
		return links_[i];
	}
	std::vector<int> steps; /* [0] is the leaf's */

private:
	std::deque<Gen> links_;
};

void *count_for_ever()
{
	for (intptr_t n = 1;; n++) {
		Step got = yield(num(n));
		if (got.code < 0)
			return reraise(got);
	}
}

/* 'AB' as an iterable. */
int next_letter(void *self, void **out)
{
	auto **at = static_cast<const char **>(self);
	if (**at == '\0')
		return WEFT_GEN_DONE;
	*out = py_str(std::string(1, *(*at)++));
	return WEFT_GEN_YIELDED;
}

int next_in_range(void *self, void **out)
{
	auto *range = static_cast<std::pair<int, int> *>(self);
	if (range->first == range->second)
		return WEFT_GEN_DONE;
	*out = py_int(range->first++);
	return WEFT_GEN_YIELDED;
}
} // namespace

TEST(Seed, S23_DelegationToPlainIterables)
{
	everywhere([] {
		const char *letters = "AB";
		std::pair<int, int> range{1, 3};
		Gen ab(weft_iter{&letters, next_letter, nullptr, nullptr, nullptr});
		Gen numbers(weft_iter{&range, next_in_range, nullptr, nullptr, nullptr});
		Gen gen([&] {
			Step got = delegate(ab);
			EXPECT_EQ((Step{0, nullptr}), got);
			if (got.code == 0)
				got = delegate(numbers);
			EXPECT_EQ((Step{0, nullptr}), got);
			return reraise(got);
		});
		std::string list;
		WEFT_GEN_EACH(gen, value)
			list += (list.empty() ? "[" : ", ") + repr(value);
		EXPECT_EQ("['A', 'B', 1, 2]", list + "]");
		EXPECT_EQ(0, weft_gen_error(gen, nullptr));
	});
}

/* The best of what a step has cost; noise only adds. */
static weft_ns cost_of_step(weft_gen *gen, weft_ns best)
{
	constexpr int steps = 200;
	weft_ns start = weft_now();
	for (int i = 0; i < steps; i++)
		weft_gen_next(gen, nullptr);
	return std::min(best, (weft_now() - start) / steps);
}

TEST(Seed, S24_ValuesGoStraightToTheCaller)
{
	everywhere([] {
		Chain shallow(Gen(count_for_ever), 1), deep(Gen(count_for_ever), 1000);
		EXPECT_EQ(yielded(num(1)), next(shallow.top()));
		EXPECT_EQ(yielded(num(1)), next(deep.top()));
		for (intptr_t n = 2; n < 100; n++)
			EXPECT_EQ(yielded(num(n)), next(deep.top()));
		for (int i = 1; i <= 1000; i++)
			ASSERT_EQ(1, deep.steps[i]) << "delegators have run once: to their delegation";
		for (int i : {0, 1, 500, 1000})
			EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(deep.at(i)));
		/* A step costs as much at depth 1,000 as at depth 1, within 3 times, in the best of some rounds. */
		weft_ns cost_shallow = WEFT_FOREVER, cost_deep = WEFT_FOREVER;
		for (int round = 0; round < 1000; round++) {
			cost_shallow = cost_of_step(shallow.top(), cost_shallow);
			cost_deep = cost_of_step(deep.top(), cost_deep);
			if (round >= 5 && cost_deep <= 3 * cost_shallow)
				break;
		}
		EXPECT_LE(cost_deep, 3 * cost_shallow);
	});
}

TEST(Seed, S24_DelegatorsAreRunningWhileTheLeafIs)
{
	everywhere([] {
		const Chain *all = nullptr;
		int asked = 0;
		Gen leaf([&] {
			while (yield().code == 0) {
				asked++;
				for (int i = 0; i <= 3; i++) {
					EXPECT_EQ(WEFT_GEN_RUNNING, weft_gen_state(all->at(i)));
					EXPECT_EQ((Step{-EBUSY, nullptr}), next(all->at(i)));
				}
			}
			return nullptr;
		});
		Chain chain(std::move(leaf), 3);
		all = &chain;
		next(chain.top());
		EXPECT_EQ(yielded(nullptr), next(chain.top()));
		EXPECT_EQ(1, asked);
	});
}

/* A plain iterable with next and, if wanted, send; both count. */
struct Plain {
	int nexts = 0, sends = 0;
	void *last = nullptr;

	static int next(void *self, void **out)
	{
		auto *plain = static_cast<Plain *>(self);
		*out = num(++plain->nexts);
		return WEFT_GEN_YIELDED;
	}
	static int send(void *self, void *value, void **out)
	{
		auto *plain = static_cast<Plain *>(self);
		plain->sends++;
		plain->last = value;
		*out = num(100 + plain->sends);
		return WEFT_GEN_YIELDED;
	}
};

TEST(Seed, S25_SentValuesGoToTheInnermost)
{
	everywhere([] {
		std::vector<void *> sent;
		Chain bodies(Gen([&sent] {
			Step got = yield();
			for (; got.code == 0; got = yield(got.value))
				sent.push_back(got.value);
			return reraise(got);
		}),
			2);
		next(bodies.top());
		EXPECT_EQ(yielded(num(5)), send(bodies.top(), num(5)));
		EXPECT_EQ(yielded(nullptr), send(bodies.top(), nullptr));
		EXPECT_EQ(yielded(nullptr), next(bodies.top()));
		EXPECT_EQ((std::vector<void *>{num(5), nullptr, nullptr}), sent);

		Plain both;
		Chain with_send(Gen(weft_iter{&both, Plain::next, Plain::send, nullptr, nullptr}), 2);
		EXPECT_EQ(yielded(num(1)), next(with_send.top()));
		EXPECT_EQ(yielded(num(101)), send(with_send.top(), num(9)));
		EXPECT_EQ(num(9), both.last);
		EXPECT_EQ(yielded(num(2)), send(with_send.top(), nullptr)) << "None goes to its next";
		EXPECT_EQ(2, both.nexts);
		EXPECT_EQ(1, both.sends);

		/* Three levels, and a leaf that has next alone: AttributeError in the innermost delegator. */
		Plain leaf;
		Step seen{};
		Gen plain(weft_iter{&leaf, Plain::next, nullptr, nullptr, nullptr});
		Gen low([&] {
			seen = delegate(plain);
			return reraise(yield(num(50)));
		});
		Chain three(std::move(low), 2);
		EXPECT_EQ(yielded(num(1)), next(three.top()));
		EXPECT_EQ(yielded(num(2)), send(three.top(), nullptr));
		EXPECT_EQ(yielded(num(50)), send(three.top(), num(3)));
		EXPECT_EQ((Step{-ENOSYS, nullptr}), seen);
		EXPECT_EQ((std::vector<int>{0, 1, 1}), three.steps) << "who could have caught it did";
		EXPECT_EQ(yielded(num(3)), next(plain)) << "the iterable goes on being what it was";
	});
}

TEST(Seed, S26_TheSubsReturnIsTheDelegationsValue)
{
	struct Result {
		int count;
		double average;
	};
	everywhere([] {
		Result result{};
		Step bound{};
		Gen averager([&result]() -> void * {
			for (Step term = yield(); term.value != nullptr; term = yield()) {
				double total = result.average * result.count +
					static_cast<double>(as_num(term.value));
				result.average = total / ++result.count;
			}
			return &result;
		});
		Gen grouper([&] {
			bound = delegate(averager);
			return reraise(yield(num(1)));
		});
		EXPECT_EQ(yielded(nullptr), next(grouper));
		EXPECT_EQ(yielded(nullptr), send(grouper, num(10)));
		EXPECT_EQ(yielded(nullptr), send(grouper, num(20)));
		EXPECT_EQ(yielded(num(1)), send(grouper, nullptr));
		EXPECT_EQ((Step{0, &result}), bound);
		EXPECT_EQ(2, result.count);
		EXPECT_EQ(15.0, result.average);
	});
}

TEST(Seed, S27_ThrowGoesToTheInnermost)
{
	struct Case {
		const char *leaf;
		Step seen;     /* by the delegator, after the throw */
		Step answered; /* to who threw */
	};
	static int why;
	const Case cases[] = {
		{"handles", {}, yielded(num(7))},
		{"ends", {0, num(8)}, yielded(num(20))},
		{"re-raises", {D, &why}, yielded(num(20))},
		{"raises another", {-EIO, num(9)}, yielded(num(20))},
		{"lacks throw", {D, &why}, yielded(num(20))},
	};
	everywhere([&cases] {
		for (const Case &it : cases) {
			SCOPED_TRACE(it.leaf);
			std::string how = it.leaf;
			Step arrived{}, seen{};
			auto body = [&]() -> void * {
				arrived = yield(num(1));
				if (how == "handles")
					return reraise(yield(num(7)));
				if (how == "ends")
					return num(8);
				return how == "re-raises" ? reraise(arrived)
							  : weft_gen_raise(-EIO, num(9));
			};
			Plain plain;
			Gen leaf = how == "lacks throw"
				? Gen(weft_iter{&plain, Plain::next, nullptr, nullptr, nullptr})
				: Gen(body);
			Gen low([&] {
				seen = delegate(leaf);
				return reraise(yield(num(20)));
			});
			Chain chain(std::move(low), 2);
			EXPECT_EQ(yielded(num(1)), next(chain.top()));
			EXPECT_EQ(it.answered, throw_in(chain.top(), D, &why));
			EXPECT_EQ(it.seen, seen);
			if (how != "lacks throw") {
				EXPECT_EQ((Step{D, &why}), arrived);
			}
			EXPECT_EQ((std::vector<int>{0, 1, 1}), chain.steps);
		}
		expect_lines(script::throws_by_leaf, "s14_s27_s42.txt", 7, 12);
		expect_lines(script::throws_by_plain_leaf, "s14_s27_s42.txt", 13, 14);
		expect_lines(script::throw_through, "s1_s40.txt", 18, 19);
	});
}

/* Adds its name to the log when its delegation, or its yield, comes to an end. */
static void *logs_its_end(Log &log, const std::string &name, weft_gen *sub)
{
	Step got = sub != nullptr ? delegate(sub) : yield(num(1));
	log.push_back(name + (got.code == WEFT_GEN_EXIT ? " exit" : " " + std::to_string(got.code)));
	return reraise(got);
}

TEST(Seed, S28_CloseGoesFromTheInnermostOut)
{
	everywhere([] {
		Log log;
		Gen c([&] { return logs_its_end(log, "c", nullptr); });
		Gen b([&] { return logs_its_end(log, "b", c); });
		Gen a([&] { return logs_its_end(log, "a", b); });
		next(a);
		EXPECT_EQ(0, weft_gen_close(a));
		EXPECT_EQ((Log{"c exit", "b exit", "a exit"}), log);
		for (weft_gen *gen : {static_cast<weft_gen *>(a), static_cast<weft_gen *>(b),
			     static_cast<weft_gen *>(c)})
			EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));

		/* Without close it is skipped, and goes on being what it was. */
		log.clear();
		Plain plain;
		Gen sub(weft_iter{&plain, Plain::next, nullptr, nullptr, nullptr});
		Gen over_plain([&] { return logs_its_end(log, "over plain", sub); });
		next(over_plain);
		EXPECT_EQ(0, weft_gen_close(over_plain));
		EXPECT_EQ((Log{"over plain exit"}), log);
		EXPECT_EQ(yielded(num(2)), next(sub));

		/* An error in the sub's close wins: the delegator finds it instead of the exit, and so does who closes. */
		log.clear();
		Gen bad(weft_iter{&plain, Plain::next, nullptr, nullptr, [](void *) { return -EIO; }});
		Gen over_bad([&] { return logs_its_end(log, "over bad", bad); });
		next(over_bad);
		EXPECT_EQ(-EIO, weft_gen_close(over_bad));
		EXPECT_EQ((Log{"over bad " + std::to_string(-EIO)}), log);
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(bad));
		expect_lines(script::closes_by_plain_leaf, "s14_s27_s42.txt", 15, 15);
		expect_lines(script::close_error_wins, "s14_s27_s42.txt", 16, 16);
	});
}

TEST(Seed, S28_ABodyThatFailsOrYieldsWhileItIsClosed)
{
	everywhere([] {
		Log log;
		Gen failing([] {
			Step got = yield(num(1));
			return got.code == WEFT_GEN_EXIT ? weft_gen_raise(-EIO, num(6)) : nullptr;
		});
		Step seen{};
		Gen over_failing([&] { return reraise(seen = delegate(failing)); });
		next(over_failing);
		EXPECT_EQ(-EIO, weft_gen_close(over_failing));
		EXPECT_EQ((Step{-EIO, num(6)}), seen) << "with its payload";

		Gen stubborn([]() -> void * {
			while (yield(num(1)).code != -EIO) {}
			return nullptr;
		});
		Gen over_stubborn([&] { return reraise(seen = delegate(stubborn)); });
		next(over_stubborn);
		EXPECT_EQ(-EPROTO, weft_gen_close(over_stubborn));
		EXPECT_EQ((Step{-EPROTO, nullptr}), seen);
		EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(over_stubborn));
		EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(stubborn));
	});
}

TEST(Seed, S29_ASubsErrorCanBeCaught)
{
	everywhere([] {
		int why = 0;
		Gen sub([&why] {
			yield(num(1));
			return weft_gen_raise(-EIO, &why);
		});
		Step seen{};
		Gen gen([&] {
			seen = delegate(sub);
			yield(num(2));
			return reraise(yield(num(3)));
		});
		EXPECT_EQ(yielded(num(1)), next(gen));
		EXPECT_EQ(yielded(num(2)), next(gen));
		EXPECT_EQ((Step{-EIO, &why}), seen);
		EXPECT_EQ(yielded(num(3)), next(gen));
		EXPECT_EQ(done(nullptr), next(gen));

		Gen uncaught([] { return weft_gen_raise(-EIO, nullptr); });
		Gen through([&] { return reraise(delegate(uncaught)); });
		EXPECT_EQ((Step{-EIO, nullptr}), next(through));
		EXPECT_EQ(-EIO, weft_gen_error(through, nullptr));
		EXPECT_EQ(-EIO, weft_gen_error(uncaught, nullptr));
	});
}

/* results[key] = yield from averager(), for ever; the averager counts its terms. */
static void *count_groups(std::map<std::string, int> &results, const std::string &key)
{
	for (;;) {
		Gen averager([]() -> void * {
			Live live;
			intptr_t count = 0;
			while (yield().value != nullptr)
				count++;
			return num(count);
		});
		Step got = delegate(averager);
		if (got.code < 0)
			return reraise(got);
		results[key] = static_cast<int>(as_num(got.value));
	}
}

TEST(Seed, S30_ASubThatNeverEnds)
{
	everywhere([] {
		std::map<std::string, int> results;
		for (const char *key : {"girls;kg", "girls;m"}) {
			Gen group([&results, key] { return count_groups(results, key); });
			next(group);
			for (intptr_t value = 40; value < 46; value++)
				EXPECT_EQ(yielded(nullptr), send(group, num(value)));
			EXPECT_EQ(0u, results.count(key));
			EXPECT_EQ(WEFT_GEN_SUSPENDED, weft_gen_state(group)) << "for ever";
			if (key[6] == 'k') {
				EXPECT_EQ(yielded(nullptr), send(group, nullptr));
			}
		}
		EXPECT_EQ((std::map<std::string, int>{{"girls;kg", 6}}), results);
		EXPECT_EQ(0, Live::count);
	});
}

/* Result(0, None) at once: the value that primes is taken for the end. */
static void clash()
{
	auto averager = [](void *) -> void * {
		intptr_t terms = 0;
		while (yield().value != nullptr)
			terms++;
		return num(1000 + terms);
	};
	weft_gen *primed = nullptr;
	ASSERT_EQ(0, weft_gen_new_primed(&primed, averager, nullptr));
	Step bound{};
	Gen gen([&] {
		bound = delegate(primed);
		return reraise(yield(num(1)));
	});
	EXPECT_EQ(yielded(num(1)), next(gen));
	EXPECT_EQ((Step{0, num(1000)}), bound);
	weft_gen_free(primed);
}

TEST(Seed, S31_DelegationPrimesByItself)
{
	testing::internal::CaptureStderr();
	everywhere(clash);
	std::string said = testing::internal::GetCapturedStderr();
	size_t first = said.find("primes by itself");
#ifdef WF_DEBUG
	ASSERT_NE(std::string::npos, first) << said;
	EXPECT_EQ(std::string::npos, said.find("primes by itself", first + 1)) << "once";
#else
	EXPECT_EQ(std::string::npos, first) << said;
#endif
}

TEST(Seed, S34_AnAbandonedGrouperIsCollected)
{
	everywhere([] {
		std::map<std::string, int> results;
		Gen group([&results] { return count_groups(results, "boys;kg"); });
		next(group);
		for (intptr_t value = 50; value < 55; value++)
			send(group, num(value));
		EXPECT_EQ(1, Live::count) << "the unfinished averager";
		group.free();
		EXPECT_EQ(0, Live::count);
		EXPECT_TRUE(results.empty());

		Log log;
		Gen inner([&] { return logs_its_end(log, "inner", nullptr); });
		Gen outer([&] { return logs_its_end(log, "outer", inner); });
		next(outer);
		outer.free();
		EXPECT_EQ((Log{"inner exit", "outer exit"}), log) << "innermost first";
	});
}
