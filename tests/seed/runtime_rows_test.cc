/* SPDX-License-Identifier: MIT */
/* runtime_rows_test.cc - rows S44, S45 and S47 to S52 of the seed documents: fibers, and what the tutorials say of coroutines at large
 *
 * Law  each row's test says what its row says. Times are virtual, or the row is shown by counters; ratios are measured in bench/.
 * (S46, and of S48 the worker that a blocking call holds, come with the capture of libc's calls.)
 */
#include <cfenv>
#include <deque>
#include <sys/resource.h>

#include "tests/seed/python.h"

using namespace seed;

static const char *const INTERLEAVED = "run func: f1, index: 0 \n"
				       "run func: f2, index: 0 \n"
				       "run func: f1, index: 1 \n"
				       "run func: f2, index: 1 \n"
				       "run func: f1, index: 2 \n"
				       "run func: f2, index: 2 \n"
				       "run func: f1, index: 3 \n"
				       "run func: f2, index: 3 \n"
				       "run func: f1, index: 4 \n"
				       "run func: f2, index: 4 \n";

/* gevent's f1 and f2, spawned and joined. Returns how long it took. */
static weft_ns interleave(Transcript &out, weft_ns pause)
{
	weft_ns start = weft_now();
	std::vector<weft_fiber *> fibers;
	for (const char *name : {"f1", "f2"})
		fibers.push_back(spawn([&out, name, pause] {
			for (int i = 0; i < 5; i++) {
				out.print(format("run func: %s, index: %d ", name, i));
				EXPECT_EQ(0, weft_sleep(pause));
			}
		}));
	for (weft_fiber *fiber : fibers)
		join(fiber);
	return weft_now() - start;
}

TEST(Seed, S44_SpawnJoinallSleep)
{
	run_virtual(1, [] {
		Transcript out;
		EXPECT_EQ(5 * WEFT_SEC, interleave(out, WEFT_SEC)) << "not 10 s";
		EXPECT_EQ(INTERLEAVED, out.text());
	});
	/* In real time 5 pauses of 20 ms take less than 0.15 s; one after the other the two would take 0.2 s, always. */
	run(1, [] {
		weft_ns best = WEFT_FOREVER;
		for (int i = 0; i < 50 && best >= 150 * WEFT_MS; i++) {
			Transcript out;
			weft_ns took = interleave(out, 20 * WEFT_MS);
			EXPECT_GE(took, 100 * WEFT_MS);
			EXPECT_EQ(10, std::count(out.text().begin(), out.text().end(), '\n'));
			best = std::min(best, took);
		}
		EXPECT_LT(best, 150 * WEFT_MS);
	});
}

TEST(Seed, S45_SleepOfZeroGivesWay)
{
	for (weft_ns duration : {INT64_C(0), INT64_C(-5)}) {
		Transcript slept, gave_way;
		weft_config how = config(1);
		how.rescue = WEFT_RESCUE_OFF; /* else one may begin before the other is made */
		for (Transcript *order : {&slept, &gave_way})
			run(how, [&] {
				std::vector<weft_fiber *> fibers;
				for (const char *name : {"a", "b"})
					fibers.push_back(spawn([&, name] {
						for (int i = 0; i < 100; i++) {
							order->add(name);
							if (order == &slept)
								EXPECT_EQ(0, weft_sleep(duration));
							else
								weft_yield();
						}
					}));
				for (weft_fiber *fiber : fibers)
					join(fiber);
			});
		std::string strict;
		for (int i = 0; i < 100; i++)
			strict += "ab";
		EXPECT_EQ(strict, slept.text());
		EXPECT_EQ(gave_way.text(), slept.text()) << "as weft_yield()";
	}
}

/* Computes until the others do so too, or `limit` says that they never will. */
struct Crowd {
	std::atomic<int> inside{0}, most{0};

	void compute(int wanted, weft_ns limit)
	{
		int now = ++inside;
		while (weft_now() < limit && most < wanted) {
			int seen = most;
			now = inside;
			if (now > seen)
				most.compare_exchange_strong(seen, now);
		}
		inside--;
	}
};

static int most_at_once(unsigned workers, weft_ns patience)
{
	Crowd crowd;
	std::vector<weft_worker_stats> rows(workers);
	weft_config how = config(workers);
	how.rescue = WEFT_RESCUE_OFF; /* else another thread stands in for the one that computes */
	run(how, [&] {
		std::vector<weft_fiber *> fibers;
		weft_ns limit = weft_after(patience);
		for (int i = 0; i < 4; i++)
			fibers.push_back(spawn([&crowd, limit] { crowd.compute(2, limit); }));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		weft_stats_get(nullptr, nullptr, rows.data(), workers);
	});
	if (crowd.most > 1) {
		for (const weft_worker_stats &row : rows)
			EXPECT_GT(row.runs, 0u) << "each worker ran some";
	}
	return crowd.most;
}

TEST(Seed, S47_MoreThanOneCore)
{
	EXPECT_EQ(1, most_at_once(1, 20 * WEFT_MS));
	EXPECT_EQ(2, most_at_once(2, 20 * WEFT_SEC)) << "two compute at the same time";
}

/* Blocks its thread, really. */
static void *block_in_read(void *arg)
{
	char byte = 0;
	return num(read(static_cast<int>(as_num(arg)), &byte, 1) == 1 ? byte : -1);
}

/* As long as it takes the others to go on, at most 20 s. */
static void *block_in_sleep(void *turns)
{
	timespec pause{0, 20 * 1000 * 1000};
	int result = nanosleep(&pause, nullptr);
	for (int i = 0; i < 1000 && *static_cast<std::atomic<long> *>(turns) <= 10; i++)
		result |= nanosleep(&pause, nullptr);
	return num(result);
}

TEST(Seed, S48_OffloadedWorkBlocksNobodyElse)
{
	run(1, [] {
		int ends[2];
		ASSERT_EQ(0, pipe(ends));
		std::atomic<int> turns{0};
		weft_fiber *other = spawn([&] {
			for (; turns < 1000; turns++)
				weft_yield();
			EXPECT_EQ(1, write(ends[1], "x", 1)); /* which alone ends the blocking read */
		});
		void *result = nullptr;
		EXPECT_EQ(0, weft_offload(block_in_read, num(ends[0]), &result));
		EXPECT_EQ(num('x'), result);
		EXPECT_EQ(1000, turns.load());
		join(other);
		close(ends[0]);
		close(ends[1]);

		std::atomic<bool> over{false};
		std::atomic<long> while_it_slept{0};
		weft_fiber *ticks = spawn([&] {
			while (!over) {
				while_it_slept++;
				weft_yield();
			}
		});
		EXPECT_EQ(0, weft_offload(block_in_sleep, &while_it_slept, &result));
		EXPECT_GT(while_it_slept, 10);
		over = true;
		EXPECT_EQ(nullptr, result);
		join(ticks);
	});
}

static long map_count_max()
{
	long count = 0;
	std::ifstream("/proc/sys/vm/max_map_count") >> count;
	return count;
}

/* Bytes of memory that a parked fiber takes; prints it, and how many mappings all of them have. */
static long park_many(long count, unsigned flags)
{
	long per_fiber = 0;
	run_virtual(2, [&] {
		std::vector<weft_fiber *> fibers;
		fibers.reserve(count);
		long before = rss_bytes();
		long began = 0;
		weft_attr attr{.name = nullptr, .stack_size = 0, .flags = flags};
		auto body = [](void *) -> void * { return num(weft_sleep(WEFT_FOREVER)); };
		for (long i = 0; i < count; i++) {
			weft_fiber *fiber = nullptr;
			ASSERT_EQ(0, weft_spawn_attr(&fiber, &attr, body, nullptr));
			fibers.push_back(fiber);
			began++;
		}
		weft_sleep(WEFT_MS); /* virtual: all of them are parked now */
		per_fiber = (rss_bytes() - before) / count;
		long maps = map_count();
		printf("%ld parked fibers%s: %ld bytes each, %ld mappings of at most %ld\n", began,
			flags == WEFT_SMALL ? " with small stacks" : "", per_fiber, maps,
			map_count_max());
		EXPECT_LT(maps, map_count_max());
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(0, weft_cancel(fiber));
		for (weft_fiber *fiber : fibers)
			EXPECT_EQ(-ECANCELED, join(fiber));
	});
	return per_fiber;
}

TEST(Seed, S49_TensOfThousandsOnACpu)
{
	long normal = park_many(std::min(100000L, fibers_max), 0);
	long small = park_many(std::min(1000000L, fibers_max), WEFT_SMALL);
	if (!sanitized) {
		EXPECT_LT(normal, 16 << 10);
		EXPECT_LT(small, 8 << 10);
	}
}

/* Both belong to one worker's fibers in turn, which needs no lock; TSan cannot know that. */
static long unsynchronised;

UNSEEN_BY_TSAN static void count_one()
{
	__asm__ volatile("");
	unsynchronised = unsynchronised + 1;
}

UNSEEN_BY_TSAN static long counted()
{
	return unsynchronised;
}

static long voluntary_switches()
{
	rusage usage{};
	EXPECT_EQ(0, getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

constexpr long SWITCHES = times(1000000, 100000);

TEST(Seed, S50_NeitherThreadSwitchesNorLocks)
{
	run(1, [] {
		const long start = counted();
		const long before = voluntary_switches();
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 4; i++)
			fibers.push_back(spawn([] {
				for (long k = 0; k < SWITCHES / 4; k++) {
					count_one();
					weft_yield();
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		weft_stats stats{};
		weft_stats_get(nullptr, &stats, nullptr, 0);
		EXPECT_EQ(SWITCHES, counted() - start) << "exact, without a lock";
		EXPECT_GE(stats.total.runs, static_cast<uint64_t>(SWITCHES));
		EXPECT_LE(voluntary_switches() - before, SWITCHES / 1000) << "near 0";
	});
}

constexpr long MIX_STEPS = times(100000, 5000) / 4;

/* Fifteen values that live across each switch, more than there are registers for; what they are in the end is computed without one,
 * too. */
template <typename Switch>
__attribute__((noinline)) static uint64_t mix(uint64_t seed, Switch give_way)
{
	uint64_t a = seed, b = a + 1, c = b * 3, d = c ^ 5, e = d + 7, f = e * 9, g = f ^ 11,
		 h = g + 13, i = h * 15, j = i ^ 17, k = j + 19, l = k * 21, m = l ^ 23, n = m + 25,
		 o = n * 27;
	for (long step = 0; step < MIX_STEPS; step++) {
		a += b ^ c, b += c ^ d, c += d ^ e, d += e ^ f, e += f ^ g;
		give_way();
		f += g ^ h, g += h ^ i, h += i ^ j, i += j ^ k, j += k ^ l;
		k += l ^ m, l += m ^ n, m += n ^ o, n += o ^ a, o += a ^ b;
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ m ^ n ^ o;
}

static double third()
{
	volatile double one = 1, three = 3;
	return one / three;
}

TEST(Seed, S51_EachKeepsItsRegisters)
{
	for (unsigned workers : {1u, 2u})
		run(workers, [] {
			const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
			std::vector<weft_fiber *> fibers;
			std::atomic<long> wrong{0};
			for (int mode : modes)
				fibers.push_back(spawn(
					[mode, &wrong] {
						fesetround(mode);
						const double expected = third();
						auto give_way = [&] {
							weft_yield();
							if (fegetround() != mode || third() != expected)
								wrong++;
						};
						uint64_t seed = static_cast<uint64_t>(mode) + 1;
						if (mix(seed, give_way) != mix(seed, [] {}))
							wrong++;
					},
					{.name = nullptr, .stack_size = 0, .flags = WEFT_FP_ENV}));
			for (weft_fiber *fiber : fibers)
				join(fiber);
			EXPECT_EQ(0, wrong);
			EXPECT_EQ(FE_TONEAREST, fegetround());
		});
}

TEST(Seed, S51_SoDoGeneratorsAndCoroutines)
{
	everywhere([] {
		Gen one([] { return num(static_cast<intptr_t>(mix(1, [] { yield(); }))); });
		Gen two([] { return num(static_cast<intptr_t>(mix(2, [] { yield(); }))); });
		weft_coro *main = weft_coro_current();
		auto back = [main] { switch_to(main); };
		Coro three([=](void *) { return num(static_cast<intptr_t>(mix(3, back))); });
		Step got[3]{};
		auto turn = [&] {
			got[0] = next(one);
			got[1] = next(two);
			got[2] = switch_to(three);
		};
		uint64_t own = mix(4, turn);
		turn();
		for (uint64_t i = 0; i < 3; i++)
			EXPECT_EQ(mix(i + 1, [] {}), static_cast<uint64_t>(as_num(got[i].value)));
		EXPECT_EQ(mix(4, [] {}), own);
		EXPECT_EQ(WEFT_GEN_DONE, got[0].code);
		EXPECT_TRUE(weft_coro_dead(three));
	});
}

/* A scheduler: those that yield go to the end of the line; a generator that is yielded is a new one. */
static void run_all(std::deque<weft_gen *> line)
{
	while (!line.empty()) {
		weft_gen *gen = line.front();
		line.pop_front();
		Step step = next(gen);
		if (step.code != WEFT_GEN_YIELDED)
			continue;
		line.push_back(gen);
		if (step.value != nullptr)
			line.push_back(static_cast<weft_gen *>(step.value));
	}
}

TEST(Seed, S52_ACentralScheduler)
{
	everywhere([] {
		std::string order;
		auto count = [&order](char name, int steps) {
			return [&order, name, steps]() -> void * {
				for (int i = 0; i < steps; i++) {
					order += name + std::to_string(i) + " ";
					yield();
				}
				return nullptr;
			};
		};
		Gen child(count('x', 2));
		Gen a(count('a', 3)), b(count('b', 1)), c([&]() -> void * {
			order += "c0 ";
			yield(static_cast<weft_gen *>(child));
			order += "c1 ";
			return nullptr;
		});
		run_all({a, b, c});
		EXPECT_EQ("a0 b0 c0 a1 c1 x0 a2 x1 ", order);
		for (weft_gen *gen : {static_cast<weft_gen *>(a), static_cast<weft_gen *>(child)})
			EXPECT_EQ(WEFT_GEN_CLOSED, weft_gen_state(gen));
	});
}
