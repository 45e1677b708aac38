/* SPDX-License-Identifier: MIT */
/* fiber_test.cc - the life of a fiber, as its creator sees it
 *
 * Law  a fiber runs once, and its result is handed out once, to one joiner, after all it wrote.
 * Law  a join that gives up leaves the fiber joinable.
 * Law  errno, the floating-point state that was asked for, and a pin belong to the fiber, not to the thread.
 */
#include <atomic>
#include <cfenv>
#include <set>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Fiber : public Workers
{
};
FOR_WORKERS(Fiber);

TEST_P(Fiber, JoinHandsOutTheResultOnce)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		std::vector<int> written(500);
		for (int i = 0; i < 500; i++)
			fibers.push_back(spawn([i, &written] {
				if (i % 3 == 0)
					weft_yield();
				written[i] = i + 1;
				return 2 * i;
			}));
		for (int i = 0; i < 500; i++) {
			EXPECT_EQ(2 * i, join(fibers[i]));
			EXPECT_EQ(i + 1, written[i]) << "a join shows what the fiber wrote";
			EXPECT_EQ(-ESRCH, weft_join(fibers[i], nullptr));
			EXPECT_EQ(-ESRCH, weft_detach(fibers[i]));
			EXPECT_EQ(-ESRCH, weft_cancel(fibers[i]));
		}
	});
}

TEST_P(Fiber, JoinErrors)
{
	run_virtual(GetParam(), [] {
		weft_fiber *nobody = nullptr;
		EXPECT_EQ(-EINVAL, weft_join(nullptr, nullptr));
		EXPECT_EQ(-EDEADLK, weft_join(weft_self(), nullptr));
		EXPECT_EQ(-EINVAL,
			weft_spawn(
				nullptr, [](void *arg) { return arg; }, nullptr));
		EXPECT_EQ(-EINVAL, weft_spawn(&nobody, nullptr, nullptr));
		EXPECT_EQ(-EINVAL, weft_go(nullptr, nullptr));
		EXPECT_EQ(nullptr, nobody);

		weft_fiber *slow = spawn([] { return weft_sleep(WEFT_SEC); });
		weft_fiber *first = spawn([slow] { return weft_join(slow, nullptr); });
		weft_sleep(WEFT_MS);
		EXPECT_EQ(-EINVAL, weft_join(slow, nullptr)) << "another fiber is joining it";
		EXPECT_EQ(-EINVAL, weft_detach(slow));
		EXPECT_EQ(0, join(first));

		weft_fiber *detached = spawn([] { return weft_sleep(WEFT_SEC); });
		EXPECT_EQ(0, weft_detach(detached));
		EXPECT_EQ(-EINVAL, weft_join(detached, nullptr));
		EXPECT_EQ(-EINVAL, weft_detach(detached));
		weft_sleep(2 * WEFT_SEC);
		EXPECT_EQ(-ESRCH, weft_join(detached, nullptr));
		EXPECT_EQ(-ESRCH, weft_detach(detached));
	});
}

TEST_P(Fiber, DetachOfAnEndedFiberReleasesIt)
{
	run_virtual(GetParam(), [] {
		weft_fiber *ended = spawn([] { return 1; });
		weft_sleep(WEFT_MS);
		EXPECT_EQ(0, weft_cancel(ended)) << "ended and not joined: nothing changes";
		EXPECT_EQ(0, weft_detach(ended));
		EXPECT_EQ(-ESRCH, weft_detach(ended));
		weft_fiber *self_detached = spawn([] {
			EXPECT_EQ(0, weft_detach(weft_self()));
			return weft_sleep(WEFT_MS);
		});
		weft_sleep(2 * WEFT_MS);
		EXPECT_EQ(-ESRCH, weft_join(self_detached, nullptr));
	});
}

TEST_P(Fiber, CancelledOrLateJoinLeavesItJoinable)
{
	run_virtual(GetParam(), [] {
		weft_fiber *target = spawn([] {
			weft_sleep(10 * WEFT_SEC);
			return 7;
		});
		weft_fiber *joiner = spawn([target] { return weft_join(target, nullptr); });
		weft_sleep(WEFT_SEC);
		EXPECT_EQ(0, weft_cancel(joiner));
		EXPECT_EQ(-ECANCELED, join(joiner));

		weft_deadline(weft_after(WEFT_SEC));
		void *untouched = &target;
		EXPECT_EQ(-ETIMEDOUT, weft_join(target, &untouched));
		EXPECT_EQ(&target, untouched) << "the result is written with 0 only";
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(7, join(target));
	});
}

TEST_P(Fiber, ALateCallerIsLateEvenIfTheFiberHasEnded)
{
	run_virtual(GetParam(), [] {
		weft_fiber *ended = spawn([] { return 3; });
		weft_sleep(WEFT_MS);
		weft_deadline(weft_now());
		EXPECT_EQ(-ETIMEDOUT, weft_join(ended, nullptr));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(3, join(ended));
	});
}

TEST_P(Fiber, IdsAndHandlesOfLivingFibersDiffer)
{
	run_virtual(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		std::set<uint64_t> ids{weft_id(weft_self())};
		for (int i = 0; i < 1000; i++) {
			fibers.push_back(spawn([] {
				weft_sleep(WEFT_SEC);
				return weft_id(weft_self());
			}));
			ids.insert(weft_id(fibers.back()));
		}
		EXPECT_EQ(1001u, ids.size());
		EXPECT_EQ(0u, ids.count(0));
		for (weft_fiber *fiber : fibers) {
			auto id = static_cast<intptr_t>(weft_id(fiber));
			EXPECT_EQ(id, join(fiber));
			EXPECT_EQ(id, static_cast<intptr_t>(weft_id(fiber))) << "a number never changes";
		}
	});
}

TEST_P(Fiber, NamesAreCopied)
{
	run(GetParam(), [] {
		char name[] = "a name of more than thirty-one bytes, which is cut";
		weft_attr attr{};
		attr.name = name;
		weft_fiber *fiber = spawn([] { return weft_set_name(nullptr); }, attr);
		memset(name, 'x', sizeof(name) - 1);
		EXPECT_EQ(0, join(fiber));
		EXPECT_EQ(0, weft_set_name(name));
		EXPECT_EQ(0, weft_set_name(""));
	});
}

TEST_P(Fiber, AttributesAreChecked)
{
	run(GetParam(), [] {
		weft_fiber *fiber = nullptr;
		weft_attr unknown{.name = nullptr, .stack_size = 0, .flags = 1u << 20};
		weft_attr small{.name = nullptr, .stack_size = 4096, .flags = WEFT_SMALL};
		weft_attr large{.name = nullptr, .stack_size = size_t{2} << 30, .flags = 0};
		weft_attr wraps{.name = nullptr, .stack_size = SIZE_MAX, .flags = 0};
		for (const weft_attr *attr : {&unknown, &small, &large, &wraps}) {
			testing::internal::CaptureStderr();
			EXPECT_EQ(-EINVAL, weft_spawn_attr(&fiber, attr, run_body, nullptr));
			EXPECT_NE("", testing::internal::GetCapturedStderr());
			EXPECT_EQ(nullptr, fiber);
		}
		fiber = spawn([] { return 11; }, {.name = "tiny", .stack_size = 1, .flags = 0});
		EXPECT_EQ(11, join(fiber)) << "sizes are rounded up";
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

TEST_P(Fiber, ErrnoIsTheFibersOwn)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		std::atomic<int> wrong{0};
		for (int i = 1; i <= 32; i++)
			fibers.push_back(spawn([i, &wrong] {
				if (get_errno() != 0)
					wrong++; /* a fiber starts with none */
				for (long k = 0; k < times(500, 100); k++) {
					set_errno(i);
					if (k % 50 == 0)
						weft_sleep(10 * WEFT_US);
					else
						weft_yield();
					if (get_errno() != i)
						wrong++;
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(0, wrong.load());
	});
}

TEST_P(Fiber, FpEnvKeepsItsRoundingModeToItself)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		std::atomic<int> wrong{0};
		for (int i = 0; i < 8; i++) {
			bool keeps = i % 2 == 0;
			auto spin = [keeps, &wrong] {
				volatile double one = 1, three = 3;
				double nearest = one / three;
				if (fegetround() != FE_TONEAREST)
					wrong++;
				if (keeps)
					fesetround(FE_UPWARD);
				for (int k = 0; k < 200; k++) {
					k % 20 == 0 ? (void)weft_sleep(WEFT_US) : weft_yield();
					if (fegetround() != (keeps ? FE_UPWARD : FE_TONEAREST) ||
						(one / three > nearest) != keeps)
						wrong++;
				}
			};
			weft_attr attr{};
			attr.flags = keeps ? WEFT_FP_ENV : 0;
			fibers.push_back(spawn(spin, attr));
		}
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(FE_TONEAREST, fegetround());
		EXPECT_EQ(0, wrong.load());
	});
}

TEST_P(Fiber, PinnedNeverMigrates)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		std::atomic<int> moved{0};
		std::atomic<bool> done{false};
		weft_attr pinned{};
		pinned.flags = WEFT_PINNED;
		/* Unpinned company, so that there is something to steal. */
		std::vector<weft_fiber *> company;
		for (int i = 0; i < 16; i++)
			company.push_back(spawn([&done] {
				while (!done)
					weft_yield();
			}));
		for (int i = 0; i < 4; i++)
			fibers.push_back(spawn(
				[&moved] {
					unsigned home = weft_worker_index();
					for (long k = 0; k < times(25000, 2000); k++) {
						weft_yield();
						if (k % 1000 == 0)
							weft_sleep(WEFT_US);
						if (weft_worker_index() != home)
							moved++;
					}
				},
				pinned));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		done = true;
		for (weft_fiber *fiber : company)
			join(fiber);
		EXPECT_EQ(0, moved.load());
	});
}

TEST_P(Fiber, AFiberThatNobodyJoinedDoesNotLeak)
{
	weft_stats before{}, after{};
	auto leave_behind = [](weft_stats *stats) {
		weft_stats_get(nullptr, stats, nullptr, 0);
		for (int i = 0; i < 500; i++)
			spawn([] {});
	};
	run(GetParam(), [&] { leave_behind(&before); });
	for (int round = 0; round < times(20, 5); round++)
		run(GetParam(), [&] { leave_behind(&after); });
	/* The first run's own 500, and what workers cache. */
	EXPECT_LE(after.stacks_mapped, before.stacks_mapped + 500 + 8 * 256);
}

TEST(FiberMany, EachEndWakesItsJoiner)
{
	/* The child is still there when its joiner parks. */
	run(1, [] {
		long left = times(1000000, 20000);
		for (; left > 0; left--)
			join(spawn([] { weft_yield(); }));
	});
}
