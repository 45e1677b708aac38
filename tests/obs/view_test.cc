/* SPDX-License-Identifier: MIT */
/* view_test.cc - the snapshot of a fiber, taken by others
 *
 * Law  a parked fiber's snapshot says what it waits for, on which object, and when time will end it, for every call that parks.
 * Law  a snapshot taken while fibers start, run, park and end never faults, and what it says was so at some moment.
 */
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "tests/core/support.h"
#include "tests/obs/inside_obs.h"

using support::join;
using support::run;
using support::spawn;

/* What a parked fiber says of itself; it is given time to park. */
static std::string wait_of(weft_fiber *fiber)
{
	inside_sight view{};
	for (int i = 0; i < 1000; i++) {
		EXPECT_TRUE(inside_view(fiber, &view));
		if (view.waits)
			break;
		weft_sleep(WEFT_MS);
	}
	EXPECT_STREQ("parked", view.state);
	EXPECT_TRUE(view.sp_in_stack);
	EXPECT_FALSE(view.on_strand);
	return view.wait;
}

/* Waits until it is in that state, or 20 s. */
static void until_state(weft_fiber *fiber, const std::string &state, inside_sight *view)
{
	for (int i = 0; i < 4000; i++) {
		EXPECT_TRUE(inside_view(fiber, view));
		if (view->state == state)
			return;
		weft_sleep(5 * WEFT_MS);
	}
	EXPECT_EQ(state, view->state);
}

static bool contains(const std::string &text, const std::string &part)
{
	return text.find(part) != std::string::npos;
}
#define EXPECT_SAYS(text, part) EXPECT_TRUE(contains(text, part)) << text

static std::string pointer(const void *object)
{
	char text[32];
	snprintf(text, sizeof(text), "%p", object);
	return text;
}

template <typename Fn>
static weft_fiber *named(const char *name, Fn fn)
{
	weft_attr attr{};
	attr.name = name;
	return spawn(fn, attr);
}

TEST(View, Locks)
{
	run(support::config(1), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_rwlock rwlock = WEFT_RWLOCK_INIT;
		weft_set_name("holder");
		weft_mutex_lock(&mutex);
		ASSERT_EQ(0, weft_rwlock_wrlock(&rwlock));
		weft_fiber *a =
			named("a", [&] { return weft_mutex_lock(&mutex), weft_mutex_unlock(&mutex); });
		std::string said = wait_of(a);
		EXPECT_SAYS(said, "locks mutex " + pointer(&mutex) + " held by fiber=");
		EXPECT_SAYS(said, "\"holder\"");
		weft_fiber *b = named("b",
			[&] { return weft_rwlock_rdlock(&rwlock), weft_rwlock_unlock(&rwlock); });
		EXPECT_SAYS(wait_of(b), "\"holder\"");
		weft_rwlock_unlock(&rwlock);
		join(b);
		ASSERT_EQ(0, weft_rwlock_rdlock(&rwlock));
		weft_fiber *c = named("c",
			[&] { return weft_rwlock_wrlock(&rwlock), weft_rwlock_unlock(&rwlock); });
		EXPECT_SAYS(wait_of(c), "read by 1 holder");
		weft_rwlock_unlock(&rwlock);
		weft_mutex_unlock(&mutex);
		join(a);
		join(c);
	});
}

TEST(View, MutexOfAThread)
{
	weft_mutex mutex = WEFT_MUTEX_INIT;
	weft_mutex_lock(&mutex);
	std::string thread = "thread " + std::to_string(gettid());
	std::thread runner([&] {
		run(support::config(1), [&] {
			weft_fiber *a = spawn(
				[&] { return weft_mutex_lock_by(&mutex, weft_after(60 * WEFT_SEC)); });
			std::string said = wait_of(a);
			EXPECT_SAYS(said, "held by " + thread);
			EXPECT_SAYS(said, "for at most ");
			weft_cancel(a);
			EXPECT_EQ(-ECANCELED, join(a));
		});
	});
	runner.join();
	weft_mutex_unlock(&mutex);
}

TEST(View, OthersEndIt)
{
	run(support::config(2), [] {
		weft_sem sem;
		weft_sem_init(&sem, 0);
		weft_event event = WEFT_EVENT_INIT;
		weft_waitgroup group = WEFT_WAITGROUP_INIT;
		weft_barrier barrier;
		weft_barrier_init(&barrier, 2);
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		uint32_t word = 5;
		weft_chan *empty = nullptr, *full = nullptr;
		weft_chan_new(&empty, sizeof(int), 0);
		weft_chan_new(&full, sizeof(int), 1);
		int element = 1;
		weft_chan_send(full, &element);
		weft_waitgroup_add(&group, 2);
		struct {
			weft_fiber *fiber;
			std::string says;
		} waits[] = {
			{spawn([&] { return weft_sem_wait(&sem); }),
				"semaphore " + pointer(&sem) + " (0 permits)"},
			{spawn([&] { return weft_event_wait(&event); }), "event " + pointer(&event)},
			{spawn([&] { return weft_waitgroup_wait(&group); }), "(2 not done)"},
			{spawn([&] { return weft_barrier_wait(&barrier); }), "(1 of 2 are there)"},
			{spawn([&] {
				 weft_mutex_lock(&mutex);
				 weft_cond_wait(&cond, &mutex);
				 return weft_mutex_unlock(&mutex);
			 }),
				"condition " + pointer(&cond)},
			{spawn([&] { return weft_futex_wait(&word, 5); }),
				"futex word " + pointer(&word) + " (now 5)"},
			{spawn([&] {
				 int got;
				 return weft_chan_recv(empty, &got);
			 }),
				"receives from channel " + pointer(empty) + " (capacity 0, nobody sends)"},
			{spawn([&] {
				 int sent = 2;
				 return weft_chan_send(full, &sent);
			 }),
				"sends to channel " + pointer(full) + " (1 of 1 in it, nobody receives)"},
			{spawn([&] {
				 int got;
				 weft_case cases[] = {{WEFT_CASE_RECV, empty, &got, 0, 0}};
				 return weft_select(cases, 1, WEFT_FOREVER);
			 }),
				"selects to receive from channel"},
		};
		for (auto &wait : waits)
			EXPECT_SAYS(wait_of(wait.fiber), wait.says);
		for (auto &wait : waits) {
			weft_cancel(wait.fiber);
			weft_join(wait.fiber, nullptr);
		}
		weft_chan_free(empty);
		weft_chan_free(full);
	});
}

TEST(View, JoinAndScope)
{
	run(support::config(1), [] {
		weft_event event = WEFT_EVENT_INIT;
		weft_fiber *a = named("target", [&] { return weft_event_wait(&event); });
		weft_fiber *b = named("joiner", [&] { return join(a); });
		EXPECT_SAYS(wait_of(b), "joins fiber=" + std::to_string(weft_id(a)) + " \"target\"");
		weft_fiber *c = spawn([&] {
			weft_scope scope;
			weft_scope_open(&scope, WEFT_FOREVER);
			auto child = [](void *arg) -> int {
				return weft_event_wait(static_cast<weft_event *>(arg));
			};
			weft_scope_spawn(&scope, child, &event);
			return weft_scope_close(&scope);
		});
		std::string said = wait_of(c);
		EXPECT_SAYS(said, "closes scope");
		EXPECT_SAYS(said, "waits for fiber=");
		weft_event_set(&event);
		join(b);
		join(c);
	});
}

TEST(View, TheWorldEndsIt)
{
	run(support::config(1), [] {
		int pair[2];
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		weft_fiber *a = spawn([&] {
			char byte;
			return weft_read(pair[0], &byte, 1);
		});
		std::string said = wait_of(a);
		EXPECT_SAYS(said, "descriptor " + std::to_string(pair[0]));
		weft_fiber *b = spawn([] { return weft_sleep(3600 * WEFT_SEC); });
		EXPECT_SAYS(wait_of(b), "sleeps for 35");
		weft_fiber *c = spawn([&] {
			weft_deadline(weft_after(100 * WEFT_SEC));
			weft_case cases[1]{};
			cases[0].op = WEFT_CASE_READABLE;
			cases[0].fd = pair[1];
			return weft_select(cases, 1, WEFT_FOREVER);
		});
		said = wait_of(c);
		EXPECT_SAYS(said, "selects descriptor " + std::to_string(pair[1]) + " to be readable");
		EXPECT_SAYS(said, "for at most ");
		for (weft_fiber *fiber : {a, b, c}) {
			weft_cancel(fiber);
			EXPECT_EQ(-ECANCELED, join(fiber));
		}
		weft_close(pair[0]);
		weft_close(pair[1]);
	});
}

TEST(View, StatesAndTime)
{
	run(support::config(1), [] {
		inside_sight view{};
		EXPECT_TRUE(inside_view(weft_self(), &view));
		EXPECT_STREQ("running", view.state);
		EXPECT_FALSE(view.waits);
		weft_fiber *a = named("new", [] { return 0; });
		EXPECT_TRUE(inside_view(a, &view));
		EXPECT_STREQ("unstarted", view.state);
		EXPECT_STREQ("new", view.name);
		until_state(a, "ended", &view);
		join(a);
		EXPECT_FALSE(inside_view(a, &view));
		weft_fiber *b = spawn([] { return weft_sleep(WEFT_SEC * 100); });
		until_state(b, "parked", &view);
		EXPECT_LT(weft_now() - view.since, WEFT_SEC);
		weft_cancel(b);
		join(b);
	});
}

TEST(View, OfAGenerator)
{
	run(support::config(1), [] {
		weft_event event = WEFT_EVENT_INIT;
		weft_fiber *a = spawn([&] {
			weft_gen *gen = nullptr;
			auto body = [](void *arg) -> void * {
				weft_event_wait(static_cast<weft_event *>(arg));
				return nullptr;
			};
			EXPECT_EQ(0, weft_gen_new(&gen, body, &event));
			void *out;
			weft_gen_next(gen, &out);
			weft_gen_free(gen);
		});
		inside_sight view{};
		for (int i = 0; i < 1000 && !view.waits; i++) {
			weft_sleep(WEFT_MS);
			inside_view(a, &view);
		}
		EXPECT_TRUE(view.on_strand);
		EXPECT_TRUE(view.sp_in_stack);
		EXPECT_SAYS(std::string(view.wait), "event");
		weft_event_set(&event);
		join(a);
	});
}

TEST(View, WhileEverythingMoves)
{
	std::atomic<bool> over{false};
	std::atomic<uint64_t> seen{0};
	std::thread looker([&] {
		while (!over)
			for (uint32_t i = 1; i < 600; i++) {
				inside_sight view{};
				if (!inside_view_index(i, &view))
					continue;
				seen++;
				EXPECT_TRUE(view.name[0] == '\0' || view.name[0] == 'n') << view.name;
				if (view.waits) {
					EXPECT_TRUE(view.sp_in_stack);
					EXPECT_NE('\0', view.wait[0]);
				}
			}
	});
	run(support::config(2), [&] {
		for (int round = 0; round < 20 || (seen < 1000 && round < 100000); round++) {
			weft_chan *chan = nullptr;
			weft_chan_new(&chan, sizeof(int), 0);
			std::vector<weft_fiber *> fibers;
			for (int i = 0; i < 20; i++) {
				fibers.push_back(named("n", [=] {
					int element = 0;
					for (int k = 0; k < 20; k++)
						EXPECT_EQ(0,
							i % 2 ? weft_chan_send(chan, &element)
							      : weft_chan_recv(chan, &element));
				}));
			}
			for (weft_fiber *fiber : fibers)
				join(fiber);
			weft_chan_free(chan);
		}
	});
	over = true;
	looker.join();
	EXPECT_GE(seen, 1000u);
}
