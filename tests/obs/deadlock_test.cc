/* SPDX-License-Identifier: MIT */
/* deadlock_test.cc - fibers that wait for each other are found, and named
 *
 * Law  a standstill of all fibers is reported with each one's name and wait, and with the cycle where there is one; a cycle of locks also while
 *      others go on.
 * Law  nothing is reported while time, a descriptor, the pool or a deadline can end it, or where there is no fiber.
 * Law  the process ends only where nothing else could happen, and the program's function decides before.
 */
#include <atomic>
#include <csignal>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "tests/core/support.h"
#include "tests/obs/inside_obs.h"

using support::config;

static constexpr bool nobody_knows_whose_threads = support::tsan; /* TSan has one of its own */

/* What was reported. */
struct report {
	size_t fibers;
	int cycle, partial, final;
	std::string text;
};

static std::mutex reports_lock;
static std::vector<report> reports;
static std::atomic<size_t> reports_count{0};
static std::function<void(const weft_deadlock *)> then;

static enum weft_deadlock_action note(const weft_deadlock *deadlock, void *)
{
	std::lock_guard<std::mutex> hold(reports_lock);
	reports.push_back(report{deadlock->fibers, deadlock->cycle, deadlock->partial,
		deadlock->final, deadlock->text});
	reports_count = reports.size();
	if (then)
		then(deadlock);
	return WEFT_DEADLOCK_SILENT;
}

/* A runtime that waits for its fibers' reports; `end` lets them go, and then nothing is left. */
class Deadlock : public testing::Test
{
protected:
	void SetUp() override
	{
		reports.clear();
		reports_count = 0;
		then = nullptr;
		weft_on_deadlock(note, nullptr);
	}
	void TearDown() override
	{
		weft_on_deadlock(nullptr, nullptr);
	}
	static void start(unsigned workers = 1)
	{
		weft_config how = config(workers);
		ASSERT_EQ(0, weft_start(&runtime, &how));
	}
	template <typename Fn>
	static void submit(Fn fn)
	{
		ASSERT_EQ(0, weft_submit(runtime, support::run_body, new support::body([fn]() mutable {
			return fn(), 0;
		})));
	}
	/* fn(0) to fn(count - 1), on fibers made by one: before it is done the runtime does not stand still.
	 * A thread that submits them may be held up between two. */
	template <typename Fn>
	static void submit_all(unsigned count, Fn fn)
	{
		submit([count, fn] {
			for (unsigned i = 0; i < count; i++)
				EXPECT_EQ(0, weft_detach(support::spawn([fn, i] { fn(i); })));
		});
	}
	static bool wait_for_reports(size_t count, int ms = 10000)
	{
		for (int i = 0; i < ms && reports_count < count; i++)
			usleep(1000);
		return reports_count >= count;
	}
	static report first()
	{
		std::lock_guard<std::mutex> hold(reports_lock);
		return reports.empty() ? report{} : reports.front();
	}
	static void stop()
	{
		EXPECT_EQ(0, weft_stop(runtime));
	}
	static weft_runtime *runtime;
};
weft_runtime *Deadlock::runtime;

static bool contains(const std::string &text, const std::string &part)
{
	return text.find(part) != std::string::npos;
}
#define EXPECT_SAYS(text, part) EXPECT_TRUE(contains(text, part)) << text

template <typename Fn>
static weft_fiber *named(const char *name, Fn fn)
{
	weft_attr attr{};
	attr.name = name;
	return support::spawn(fn, attr);
}

/* `count` fibers that lock theirs, meet, and then want the next one's, by a call that a cancellation ends. */
struct ring {
	std::vector<weft_rwlock> locks;
	weft_barrier meet;
	explicit ring(unsigned count) : locks(count)
	{
		weft_barrier_init(&meet, count);
	}
	void take(unsigned i)
	{
		EXPECT_EQ(0, weft_rwlock_wrlock(&locks[i]));
		weft_barrier_wait(&meet);
		size_t next = (i + 1) % locks.size();
		int error = weft_rwlock_wrlock(&locks[next]);
		EXPECT_TRUE(error == 0 || error == -ECANCELED);
		if (error == 0)
			weft_rwlock_unlock(&locks[next]);
		weft_rwlock_unlock(&locks[i]);
	}
};

TEST_F(Deadlock, AChannelThatNobodyCloses)
{
	weft_chan *chan = nullptr;
	ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 4));
	start();
	submit([=] {
		weft_set_name("consumer");
		int got;
		while (weft_chan_recv(chan, &got) == 0)
			;
	});
	submit([=] {
		int sent = 1;
		for (int i = 0; i < 3; i++)
			weft_chan_send(chan, &sent);
	});
	ASSERT_TRUE(wait_for_reports(1, 1000)) << "within a second";
	report seen = first();
	EXPECT_EQ(1u, seen.fibers);
	EXPECT_EQ(0, seen.cycle + seen.partial + seen.final);
	EXPECT_SAYS(seen.text, "weft: deadlock: ");
	EXPECT_SAYS(seen.text, "\"consumer\"");
	EXPECT_SAYS(seen.text, "receives from channel");
	stop();
	EXPECT_EQ(1u, reports_count);
	weft_chan_free(chan);
}

TEST_F(Deadlock, ARingOfLocks)
{
	for (unsigned count : {2u, 3u, 150u}) {
		reports.clear();
		reports_count = 0;
		ring locks(count);
		start(2);
		submit_all(count, [&locks](unsigned i) { locks.take(i); });
		ASSERT_TRUE(wait_for_reports(1));
		report seen = first();
		EXPECT_EQ(count, seen.fibers);
		EXPECT_EQ(1, seen.cycle);
		EXPECT_EQ(0, seen.final) << "a cancellation would end it";
		EXPECT_SAYS(seen.text, "cycle: fiber=");
		EXPECT_FALSE(wait_for_reports(2, 300)) << "its cycle is part of it";
		if (count > 100) {
			EXPECT_SAYS(seen.text, "and 50 more");
		}
		stop();
	}
}

TEST_F(Deadlock, ACycleWhileOthersGoOn)
{
	ring locks(3);
	start(2);
	submit([] {
		while (weft_sleep(5 * WEFT_MS) == 0)
			;
	});
	for (unsigned i = 0; i < 3; i++)
		submit([&locks, i] { locks.take(i); });
	ASSERT_TRUE(wait_for_reports(1));
	report seen = first();
	EXPECT_EQ(3u, seen.fibers);
	EXPECT_EQ(1, seen.cycle);
	EXPECT_EQ(1, seen.partial);
	EXPECT_FALSE(wait_for_reports(2, 1500)) << "each cycle once";
	stop();
}

/* One that is waited for by others, who are no part of it. */
TEST_F(Deadlock, ACycleIsFoundFromOutsideToo)
{
	ring locks(2);
	weft_rwlock *wanted = &locks.locks[0];
	start();
	submit([] {
		while (weft_sleep(5 * WEFT_MS) == 0)
			;
	});
	for (unsigned i = 0; i < 2; i++)
		submit([&locks, i] { locks.take(i); });
	for (int i = 0; i < 3; i++)
		submit([=] { weft_rwlock_rdlock(wanted); });
	ASSERT_TRUE(wait_for_reports(1));
	EXPECT_EQ(2u, first().fibers);
	EXPECT_FALSE(wait_for_reports(2, 700));
	stop();
}

TEST_F(Deadlock, ThroughAScope)
{
	static weft_mutex mutex;
	mutex = WEFT_MUTEX_INIT;
	start();
	/* The child asks for what its parent holds: by a call that can be cancelled, so that the test ends. */
	submit([] {
		weft_set_name("parent");
		weft_scope scope;
		weft_mutex_lock(&mutex);
		weft_scope_open(&scope, WEFT_FOREVER);
		auto child = [](void *) -> int {
			weft_set_name("child");
			return weft_mutex_lock_by(&mutex, WEFT_FOREVER);
		};
		weft_scope_spawn(&scope, child, nullptr);
		weft_scope_close(&scope);
		weft_mutex_unlock(&mutex);
	});
	ASSERT_TRUE(wait_for_reports(1));
	report seen = first();
	EXPECT_EQ(1, seen.cycle);
	EXPECT_SAYS(seen.text, "closes scope");
	EXPECT_SAYS(seen.text, "\"child\"");
	stop();
}

TEST_F(Deadlock, JoinsOfEachOther)
{
	static weft_fiber *a, *b;
	static std::atomic<int> ready;
	ready = 0;
	start();
	submit([] {
		auto body = [](weft_fiber *const *other) {
			while (ready == 0)
				weft_yield();
			weft_join(*other, nullptr);
		};
		a = named("a", [=] { body(&b); });
		b = named("b", [=] { body(&a); });
		ready = 1;
	});
	ASSERT_TRUE(wait_for_reports(1));
	report seen = first();
	EXPECT_EQ(2u, seen.fibers);
	EXPECT_EQ(1, seen.cycle);
	EXPECT_SAYS(seen.text, "joins fiber=" + std::to_string(weft_id(a)) + " \"a\"");
	stop();
}

TEST_F(Deadlock, AForgottenDone)
{
	static weft_waitgroup group;
	group = WEFT_WAITGROUP_INIT;
	start();
	submit([] {
		weft_set_name("boss");
		weft_waitgroup_add(&group, 3);
		for (int i = 0; i < 3; i++)
			weft_detach(support::spawn([i] {
				if (i != 1)
					weft_waitgroup_done(&group);
			}));
		weft_waitgroup_wait(&group);
	});
	ASSERT_TRUE(wait_for_reports(1));
	EXPECT_SAYS(first().text, "\"boss\"");
	EXPECT_SAYS(first().text, "(1 not done)");
	stop();
}

/* What the function does ends it, and the same again is not said again soon. */
TEST_F(Deadlock, TheProgramsFunctionMayEndIt)
{
	static weft_event event;
	static std::atomic<int> rounds;
	event = WEFT_EVENT_INIT;
	rounds = 0;
	then = [](const weft_deadlock *) { weft_event_set(&event); };
	start();
	submit([] {
		for (int i = 0; i < 3; i++) {
			weft_event_wait(&event);
			weft_event_reset(&event);
			rounds++;
		}
	});
	ASSERT_TRUE(wait_for_reports(1));
	EXPECT_FALSE(wait_for_reports(2, 700));
	EXPECT_TRUE(support::eventually([] { return rounds == 1; }));
	weft_event_set(&event);
	EXPECT_TRUE(support::eventually([] { return rounds == 2; }));
	stop();
}

TEST_F(Deadlock, NotWithoutFibers)
{
	start(2);
	EXPECT_FALSE(wait_for_reports(1, 600));
	submit([] {});
	EXPECT_FALSE(wait_for_reports(1, 600));
	stop();
}

TEST_F(Deadlock, NotWhileSomethingElseCanHappen)
{
	int pair[2];
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	static std::atomic<bool> over;
	std::vector<std::function<void()>> others = {
		[] { weft_sleep(60 * WEFT_SEC); },
		[&pair] {
			char byte;
			weft_read(pair[0], &byte, 1);
		},
		[&pair] {
			weft_case cases[1]{};
			cases[0].op = WEFT_CASE_READABLE;
			cases[0].fd = pair[1];
			weft_select(cases, 1, WEFT_FOREVER);
		},
		[] { weft_select(nullptr, 0, weft_after(60 * WEFT_SEC)); },
		[] {
			weft_event never = WEFT_EVENT_INIT;
			weft_deadline(weft_after(60 * WEFT_SEC));
			weft_event_wait(&never);
		},
		[] {
			weft_scope scope;
			weft_scope_open(&scope, weft_after(60 * WEFT_SEC));
			weft_scope_spawn(
				&scope,
				[](void *) -> int {
					weft_event never = WEFT_EVENT_INIT;
					return weft_event_wait(&never);
				},
				nullptr);
			weft_scope_close(&scope);
		},
		[] {
			auto busy = [](void *) -> void * {
				while (!over)
					usleep(1000);
				return nullptr;
			};
			weft_offload(busy, nullptr, nullptr);
		},
		[] {
			sigset_t set;
			weft_chan *signals = nullptr;
			sigemptyset(&set);
			sigaddset(&set, SIGUSR2);
			EXPECT_EQ(0, weft_signal_chan(&signals, &set));
			int number;
			weft_chan_recv(signals, &number);
			weft_chan_free(signals);
		},
	};
	for (size_t i = 0; i < others.size(); i++) {
		over = false;
		reports_count = 0; /* the last one's end, if this thread was held up before stop() */
		reports.clear();
		auto &other = others[i];
		start();
		submit([&other] { other(); });
		submit([] {
			weft_event never = WEFT_EVENT_INIT;
			weft_event_wait(&never);
		});
		EXPECT_FALSE(wait_for_reports(1, 350)) << i << ": " << first().text;
		over = true;
		stop();
	}
	close(pair[0]);
	close(pair[1]);
}

/* Many idle pauses of a service that a thread feeds. */
TEST_F(Deadlock, AServiceOfThreadsIsNotBuried)
{
	weft_chan *chan = nullptr;
	ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 4));
	start();
	submit([=] {
		int got;
		while (weft_chan_recv(chan, &got) == 0)
			;
	});
	for (int i = 0; i < 8; i++) {
		usleep(200000);
		weft_chan_send(chan, &i);
	}
	EXPECT_LE(reports_count, 1u);
	weft_chan_close(chan);
	stop();
	weft_chan_free(chan);
}

/* Fibers that lock in order, join and open scopes, as fast as they can: at no moment is there a cycle, and never do all stand still. */
TEST_F(Deadlock, NeverWhereThereIsNone)
{
	static weft_mutex mutexes[3];
	static weft_rwlock rwlock;
	static weft_chan *chan;
	static std::atomic<bool> over;
	over = false;
	ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 0));
	start(2);
	for (int i = 0; i < 8; i++)
		submit([i] {
			weft_shield(true); /* from the stop */
			while (!over) {
				int from = i % 2;
				weft_mutex_lock(&mutexes[from]);
				weft_mutex_lock(&mutexes[2]);
				weft_rwlock_rdlock(&rwlock);
				weft_yield();
				weft_rwlock_unlock(&rwlock);
				weft_mutex_unlock(&mutexes[2]);
				weft_scope scope;
				weft_scope_open(&scope, WEFT_FOREVER);
				auto child = [](void *) -> int {
					weft_rwlock_wrlock(&rwlock);
					weft_rwlock_unlock(&rwlock);
					return 0;
				};
				weft_scope_spawn(&scope, child, nullptr);
				weft_scope_close(&scope);
				weft_mutex_unlock(&mutexes[from]);
				support::join(support::spawn([] { weft_yield(); }));
			}
		});
	for (int i = 0; i < 2; i++)
		submit([i] {
			int element = 0;
			weft_shield(true);
			while (!over)
				if ((i == 0 ? weft_chan_send(chan, &element)
					    : weft_chan_recv(chan, &element)) != 0)
					return;
			weft_chan_close(chan);
		});
	for (int i = 0; i < support::times(5000, 500); i++) {
		ASSERT_EQ(0u, inside_cycles());
		ASSERT_FALSE(inside_standstill(runtime));
	}
	over = true;
	stop();
	EXPECT_EQ(0u, reports_count);
	weft_chan_free(chan);
}

/* How it ends. */

class DeadlockDeath : public testing::Test
{
protected:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};

static void cross(bool ticker)
{
	static weft_mutex one, two;
	one = two = WEFT_MUTEX_INIT;
	support::run(config(2), [=] {
		std::atomic<int> taken{0};
		auto take = [&taken](weft_mutex *first, weft_mutex *second) {
			weft_mutex_lock(first);
			for (taken++; taken < 2;)
				weft_sleep(WEFT_MS);
			weft_mutex_lock(second);
		};
		if (ticker)
			weft_detach(named("ticker", [] {
				while (weft_sleep(WEFT_MS) == 0)
					;
			}));
		weft_fiber *a = named("alice", [=] { take(&one, &two); });
		weft_fiber *b = named("bob", [=] { take(&two, &one); });
		support::join(a);
		support::join(b);
	});
}

TEST_F(DeadlockDeath, OfTwoMutexes)
{
	EXPECT_EXIT(cross(false), testing::KilledBySignal(SIGABRT),
		"all 3 fibers(.|\n)*cycle: (.|\n)*alice(.|\n)*bob(.|\n)*weft: fatal: deadlock");
}

TEST_F(DeadlockDeath, OfTwoMutexesWhileOthersGoOn)
{
	EXPECT_EXIT(cross(true), testing::KilledBySignal(SIGABRT),
		"2 fibers wait for locks in a cycle(.|\n)*bob(.|\n)*weft: fatal: deadlock");
}

static void wait_for_nothing()
{
	support::run(config(1), [] {
		weft_event never = WEFT_EVENT_INIT;
		weft_set_name("hermit");
		weft_event_wait(&never);
	});
}

TEST_F(DeadlockDeath, OfAProgramThatIsAllWefts)
{
	if (nobody_knows_whose_threads)
		GTEST_SKIP() << "ThreadSanitizer has a thread of its own";
	EXPECT_EXIT(wait_for_nothing(), testing::KilledBySignal(SIGABRT),
		"hermit(.|\n)*waits for an event(.|\n)*weft: fatal: deadlock");
}

static void with_a_thread()
{
	std::thread other([] {
		usleep(1500000);
		_exit(7);
	});
	wait_for_nothing();
}

TEST_F(DeadlockDeath, NotWhileAThreadOfTheProgramLives)
{
	EXPECT_EXIT(with_a_thread(), testing::ExitedWithCode(7), "hermit(.|\n)*may still end it");
}

/* A thread made on a fiber has the name of weft's. */
static void with_a_thread_of_a_fiber()
{
	support::run(config(1), [] {
		std::thread([] {
			usleep(1500000);
			_exit(7);
		}).detach();
		weft_event never = WEFT_EVENT_INIT;
		weft_event_wait(&never);
	});
}

TEST_F(DeadlockDeath, NotWhileAThreadOfAFiberLives)
{
	EXPECT_EXIT(with_a_thread_of_a_fiber(), testing::ExitedWithCode(7), "may still end it");
}

static void with_another_runtime()
{
	static weft_event event;
	event = WEFT_EVENT_INIT;
	std::thread other([] {
		support::run(config(1), [] {
			weft_sleep(1500 * WEFT_MS);
			weft_event_set(&event);
			weft_sleep(60 * WEFT_SEC);
		});
	});
	support::run(config(1), [] { weft_event_wait(&event); });
	_exit(7);
}

TEST_F(DeadlockDeath, NotWhileAnotherRuntimeGoesOn)
{
	EXPECT_EXIT(with_another_runtime(), testing::ExitedWithCode(7), "may still end it");
}

/* The first thread is always about to be called back, or back. */
static void with_short_runs()
{
	static weft_event event;
	event = WEFT_EVENT_INIT;
	std::thread other([] {
		support::run(config(1), [] {
			weft_event_wait(&event);
			_exit(7);
		});
	});
	for (weft_ns end = weft_now() + 1500 * WEFT_MS; weft_now() < end;)
		support::run(config(8), [] {});
	weft_event_set(&event);
	other.join();
}

TEST_F(DeadlockDeath, NotWhileAThreadRunsOneRuntimeAfterTheOther)
{
	EXPECT_EXIT(with_short_runs(), testing::ExitedWithCode(7), "");
}

static void decided(enum weft_deadlock_action action)
{
	static enum weft_deadlock_action decision;
	static std::atomic<bool> asked;
	decision = action;
	weft_on_deadlock(
		[](const weft_deadlock *, void *) {
			asked = true;
			return decision;
		},
		nullptr);
	weft_config how = config(1);
	weft_runtime *runtime;
	if (weft_start(&runtime, &how) != 0)
		_exit(1);
	auto hermit = [](void *) -> void * {
		weft_event never = WEFT_EVENT_INIT;
		weft_event_wait(&never);
		return nullptr;
	};
	weft_submit(runtime, hermit, nullptr);
	if (!support::eventually([] { return asked.load(); }) || weft_stop(runtime) != 0)
		_exit(1);
	_exit(7); /* who was asked has done by now what was decided */
}

TEST_F(DeadlockDeath, TheProgramDecides)
{
	EXPECT_EXIT(decided(WEFT_DEADLOCK_ABORT), testing::KilledBySignal(SIGABRT),
		"weft: deadlock(.|\n)*weft: fatal: deadlock");
	EXPECT_EXIT(decided(WEFT_DEADLOCK_GO_ON), testing::ExitedWithCode(7), "weft: deadlock");
	EXPECT_EXIT(decided(WEFT_DEADLOCK_DEFAULT), testing::ExitedWithCode(7), "weft: deadlock");
	EXPECT_EXIT(decided(WEFT_DEADLOCK_SILENT), testing::ExitedWithCode(7), "^$");
}
