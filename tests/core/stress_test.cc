/* SPDX-License-Identifier: MIT */
/* stress_test.cc - random programs, and an account of what must come out of them
 *
 * Law  whatever the order of spawns, joins, cancels, detaches, deadlines and ends: each fiber runs once, each result is taken
 *      at most once, by one joiner, and each handle gives only the answers that fiber.h lists.
 * Law  (J4 of join.h) a join that is cancelled while its target ends either has the result or leaves the target joinable.
 */
#include <atomic>
#include <random>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Stress : public Workers
{
};
FOR_WORKERS(Stress);

/* What all fibers of one program add up. */
struct account {
	std::atomic<long> made{0}, ran{0}, joined{0}, sum{0};
	std::atomic<long> budget;
	weft_ns end;

	bool goes_on()
	{
		return budget-- > 0 && weft_now() < end;
	}
};

static bool is_level(int error)
{
	return error == 0 || error == -ECANCELED || error == -ETIMEDOUT;
}

static intptr_t live(account &all, uint64_t seed, int depth);

/* One child, and one of the ways to deal with it. */
static void deal_with_child(account &all, std::minstd_rand &random, int depth)
{
	uint64_t seed = random();
	all.made++;
	weft_attr attr{};
	attr.flags = random() % 8 == 0 ? WEFT_PINNED : 0;
	weft_fiber *child = spawn([&all, seed, depth] { return live(all, seed, depth + 1); }, attr);
	unsigned way = random() % 8;
	if (way == 0) {
		EXPECT_EQ(0, weft_detach(child));
		return;
	}
	if (way == 1 && weft_cancel(child) != 0)
		ADD_FAILURE() << "it cannot be stale before it is joined";
	if (way == 2)
		weft_deadline(weft_after(static_cast<weft_ns>(random() % 20000)));
	if (way == 3) {
		int foreign = weft_join(
			reinterpret_cast<weft_fiber *>(weft_id(child) + (uint64_t{1} << 32)), nullptr);
		EXPECT_TRUE(foreign == -ESRCH || foreign == -ECANCELED || foreign == -ETIMEDOUT)
			<< foreign;
	}
	void *result = nullptr;
	int error = weft_join(child, &result);
	EXPECT_TRUE(is_level(error)) << error;
	if (error != 0) { /* cancelled or late, and the child as it was */
		bool was = weft_shield(true);
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, weft_join(child, &result));
		weft_shield(was);
	}
	weft_deadline(WEFT_FOREVER);
	EXPECT_EQ(-ESRCH, weft_cancel(child));
	all.joined++;
	all.sum -= reinterpret_cast<intptr_t>(result);
}

static intptr_t live(account &all, uint64_t seed, int depth)
{
	std::minstd_rand random(static_cast<unsigned>(seed));
	all.ran++;
	for (unsigned steps = random() % 6; steps > 0 && all.goes_on(); steps--)
		switch (random() % 5) {
		case 0:
			weft_yield();
			break;
		case 1:
			EXPECT_TRUE(is_level(weft_sleep(static_cast<weft_ns>(random() % 30000))));
			break;
		case 2:
			EXPECT_TRUE(is_level(weft_check()));
			break;
		default:
			if (depth < 8)
				deal_with_child(all, random, depth);
		}
	return 0;
}

TEST_P(Stress, RandomPrograms)
{
	account all;
	all.budget = times(3000000, 60000);
	long rounds = 0;
	run(GetParam(), [&all, &rounds] {
		all.end = weft_after(times(4, 2) * WEFT_SEC);
		while (all.goes_on()) {
			std::vector<weft_fiber *> roots;
			for (int i = 0; i < 20; i++) {
				all.made++;
				auto seed = static_cast<uint64_t>(++rounds);
				roots.push_back(spawn([&all, seed] { return live(all, seed, 0); }));
			}
			for (weft_fiber *root : roots)
				join(root);
		}
	});
	EXPECT_EQ(all.made.load(), all.ran.load())
		<< "each runs once, the detached and the cancelled too";
	EXPECT_GT(all.joined.load(), 0);
	EXPECT_EQ(0, all.sum.load());
}

TEST_P(Stress, CancelledJoinsAgainstEnds)
{
	run(GetParam(), [] {
		long had_result = 0, left_joinable = 0;
		weft_ns end = weft_after(3 * WEFT_SEC);
		for (long i = 0; i < times(100000, 4000) && (i <= 100 || weft_now() < end); i++) {
			std::atomic<bool> go{false};
			weft_fiber *target = spawn([&go, i] {
				while (!go)
					weft_yield();
				return 1000 + i;
			});
			std::atomic<long> taken{0};
			weft_fiber *joiner = spawn([target, &taken] {
				void *result = nullptr;
				int error = weft_join(target, &result);
				if (error == 0)
					taken = reinterpret_cast<intptr_t>(result);
				return error;
			});
			for (long k = i % 7; k > 0; k--)
				weft_yield(); /* the joiner is not there yet, parks, or has parked */
			weft_fiber *canceller = spawn([joiner] { weft_cancel(joiner); });
			go = true;
			intptr_t error = join(joiner);
			join(canceller);
			if (error == 0) {
				ASSERT_EQ(1000 + i, taken.load());
				ASSERT_EQ(-ESRCH, weft_join(target, nullptr));
				had_result++;
			} else {
				ASSERT_EQ(-ECANCELED, error);
				ASSERT_EQ(1000 + i, join(target));
				left_joinable++;
			}
		}
		EXPECT_GT(had_result + left_joinable, 100);
	});
}

TEST_P(Stress, CancelsAgainstSleeps)
{
	run(GetParam(), [] {
		weft_ns end = weft_after(3 * WEFT_SEC);
		for (long round = 0; round < times(1000, 40) && weft_now() < end; round++) {
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 50; i++)
				fibers.push_back(spawn([i] {
					weft_deadline(weft_after(i * 700));
					int error = weft_sleep(i * 500 + 1);
					EXPECT_TRUE(is_level(error)) << error;
					return error;
				}));
			for (size_t i = 0; i < fibers.size(); i += 2)
				weft_cancel(fibers[i]);
			for (weft_fiber *fiber : fibers)
				join(fiber);
		}
	});
}

TEST_P(Stress, ForeignThreadsCancelWhileFibersEnd)
{
	weft_runtime *rt = nullptr;
	weft_config how = config(GetParam());
	ASSERT_EQ(0, weft_start(&rt, &how));
	static std::atomic<weft_fiber *> slots[16];
	static std::atomic<long> ended;
	for (auto &slot : slots)
		slot = nullptr;
	ended = 0;
	auto brief = [](void *arg) -> void * {
		auto index = reinterpret_cast<uintptr_t>(arg);
		slots[index % 16] = weft_self();
		if (index % 3 != 0)
			weft_sleep(static_cast<weft_ns>(index % 50) * 1000 + 1);
		ended++;
		return nullptr;
	};
	long n = times(50000, 2000);
	for (long i = 0; i < n; i++) {
		ASSERT_EQ(0, weft_submit(rt, brief, reinterpret_cast<void *>(i)));
		weft_fiber *victim = slots[(i * 7) % 16];
		if (victim != nullptr) {
			int error = weft_cancel(victim);
			ASSERT_TRUE(error == 0 || error == -ESRCH) << error;
		}
	}
	EXPECT_TRUE(eventually([n] { return ended == n; }));
	EXPECT_EQ(0, weft_stop(rt));
}
