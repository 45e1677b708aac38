/* SPDX-License-Identifier: MIT */
/* misuse_test.cc - errors of the programmer that have an errno value are said, too
 *
 * Law  each call that needs a fiber, made on a plain thread, is -EPERM, and one line names the call, the place and the thread; the
 *      same place is not named again.
 * Law  a join or detach of a fiber that was joined, or is detached, names the call, who made it and the handle.
 * Law  what is ordinary is silent, and so is weft itself.
 */
#include <algorithm>
#include <netdb.h>
#include <pthread.h>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

namespace
{

/* Also where tests are run with weft silenced, because io_uring is refused and weft would say so. And nothing of fibers that
 * a busy machine has held up. */
[[maybe_unused]] const bool hears = [] {
	setenv("WEFT_LONG_RUN", "off", 1);
	const char *log = getenv("WEFT_LOG");
	if (log != nullptr && std::string(log) == "off") {
		setenv("WEFT_LOG", "warn", 1);
		setenv("WEFT_ENGINE", "epoll", 1);
	}
	return true;
}();

std::string printed_by(const std::function<void()> &fn)
{
	testing::internal::CaptureStderr();
	fn();
	return testing::internal::GetCapturedStderr();
}

size_t lines_of(const std::string &text)
{
	return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

void expect_line(const std::string &text, const std::string &pattern)
{
	EXPECT_EQ(1u, lines_of(text)) << pattern;
	EXPECT_TRUE(testing::internal::RE::FullMatch(text, testing::internal::RE("weft: " + pattern + "\n")))
		<< text;
}

struct Call {
	const char *name;
	long (*make)();
};

weft_scope scope;
char byte;

/* Each is a place of its own. */
const Call CALLS[] = {
	{"weft_spawn",
		[] {
			weft_fiber *fiber;
			return long{weft_spawn(&fiber, run_body, nullptr)};
		}},
	{"weft_go", [] { return long{weft_go(run_body, nullptr)}; }},
	{"weft_join", [] { return long{weft_join(nullptr, nullptr)}; }},
	{"weft_join_all", [] { return long{weft_join_all(nullptr, nullptr, 0)}; }},
	{"weft_set_name", [] { return long{weft_set_name("x")}; }},
	{"weft_set_local", [] { return long{weft_set_local(weft_key{1}, nullptr)}; }},
	{"weft_sleep", [] { return long{weft_sleep(1)}; }},
	{"weft_sleep", [] { return long{weft_sleep(0)}; }},
	{"weft_sleep_until", [] { return long{weft_sleep_until(1)}; }},
	{"weft_scope_open", [] { return long{weft_scope_open(&scope, WEFT_FOREVER)}; }},
	{"weft_scope_spawn",
		[] {
			return long{weft_scope_spawn(
				&scope, [](void *) { return 0; }, nullptr)};
		}},
	{"weft_scope_close", [] { return long{weft_scope_close(&scope)}; }},
	{"weft_offload", [] { return long{weft_offload(run_body, nullptr, nullptr)}; }},
	{"weft_stats_get", [] { return long{weft_stats_get(nullptr, nullptr, nullptr, 0)}; }},
	{"weft_read", [] { return long{weft_read(0, &byte, 1)}; }},
	{"weft_write", [] { return long{weft_write(1, &byte, 1)}; }},
	{"weft_pread", [] { return long{weft_pread(0, &byte, 1, 0)}; }},
	{"weft_poll", [] { return long{weft_poll(0, 1)}; }},
	{"weft_close", [] { return long{weft_close(-1)}; }},
	{"weft_read_full", [] { return long{weft_read_full(0, &byte, 1)}; }},
	{"weft_recv", [] { return long{weft_recv(0, &byte, 1, 0)}; }},
	{"weft_send_full", [] { return long{weft_send_full(0, &byte, 1, 0)}; }},
	{"weft_accept", [] { return long{weft_accept(0, nullptr, nullptr, 0)}; }},
	{"weft_recv_borrow",
		[] {
			weft_slice slice;
			return long{weft_recv_borrow(0, &slice)};
		}},
	{"weft_dial", [] { return long{weft_dial("127.0.0.1:1")}; }},
	{"weft_listen", [] { return long{weft_listen("127.0.0.1:0")}; }},
	{"weft_select",
		[] {
			weft_case wait = {WEFT_CASE_READABLE, nullptr, nullptr, 0, 0};
			return long{weft_select(&wait, 1, WEFT_FOREVER)};
		}},
	{"weft_ticker_new",
		[] {
			weft_ticker *ticker;
			return long{weft_ticker_new(&ticker, 0, 0)};
		}},
	{"weft_process_run",
		[] {
			weft_process_capture capture;
			return long{weft_process_run(nullptr, &capture)};
		}},
};

/* Two calls in one place. */
__attribute__((noinline)) long twice(const Call &call)
{
	call.make();
	return call.make();
}

void *nothing(void *arg)
{
	return arg;
}

} // namespace

TEST(Misuse, EachCallOffAFiberIsNamedOnce)
{
	std::thread thread([] {
		pthread_setname_np(pthread_self(), "outsider");
		for (const Call &call : CALLS) {
			long result = 0;
			std::string text = printed_by([&] { result = twice(call); });
			EXPECT_EQ(-EPERM, result) << call.name;
			expect_line(text,
				std::string(call.name) +
					" at .*\\+0x.*, by thread [0-9]+ \"outsider\", which runs no fiber .*: -EPERM; "
					"said once for this place");
		}
	});
	thread.join();
}

TEST(Misuse, GetaddrinfoOffAFiber)
{
	struct addrinfo *list;
	int result = 0;
	std::string text =
		printed_by([&] { result = weft_getaddrinfo("localhost", nullptr, nullptr, &list); });
	EXPECT_EQ(EAI_SYSTEM, result);
	expect_line(text, "weft_getaddrinfo at .*, which runs no fiber .*: -EPERM; .*");
}

/* All that is documented to work off a fiber, or to do nothing there. */
TEST(Misuse, WhatWorksAnywhereIsSilent)
{
	EXPECT_EQ("", printed_by([] {
		weft_mutex mutex WEFT_MUTEX_INIT;
		weft_chan *chan;
		EXPECT_GT(weft_now(), 0);
		EXPECT_EQ(nullptr, weft_self());
		EXPECT_EQ(0, weft_cancelled());
		EXPECT_EQ(0, weft_check());
		EXPECT_FALSE(weft_shield(true));
		EXPECT_EQ(0u, weft_workers());
		weft_yield();
		weft_mutex_lock(&mutex);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		EXPECT_EQ(-EPERM, weft_mutex_unlock(&mutex));
		EXPECT_EQ(0, weft_chan_new(&chan, 1, 1));
		EXPECT_EQ(0, weft_chan_send(chan, &byte));
		EXPECT_EQ(0, weft_chan_recv(chan, &byte));
		weft_chan_free(chan);
		EXPECT_EQ(-ESRCH, weft_detach(reinterpret_cast<weft_fiber *>(1)));
	}));
}

TEST(Misuse, AChildFreedByAPlainThreadIsSilent)
{
	weft_process process;
	run(1, [&] {
		const char *argv[] = {"sh", "-c", "exec sleep 60", nullptr};
		weft_process_options options{};
		options.argv = argv;
		EXPECT_EQ(0, weft_process_spawn(&process, &options));
	});
	EXPECT_EQ("", printed_by([&] { weft_process_free(&process); }));
}

TEST(Misuse, ASecondJoin)
{
	run(2, [] {
		weft_fiber *fiber = nullptr;
		weft_set_name("joiner");
		EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr));
		EXPECT_EQ(0, weft_join(fiber, nullptr));
		std::string id = std::to_string(weft_id(fiber));
		std::string text = printed_by([&] {
			for (int i = 0; i < 3; i++)
				EXPECT_EQ(-ESRCH, weft_join(fiber, nullptr));
		});
		expect_line(text,
			"weft_join at .*, by fiber=[0-9]+ \"joiner\", of fiber=" + id +
				", which was joined before, or has ended detached: -ESRCH; said once for this place");
		EXPECT_EQ("", printed_by([&] { EXPECT_EQ(-ESRCH, weft_cancel(fiber)); }));
	});
}

TEST(Misuse, AJoinOfADetachedFiber)
{
	run(1, [] {
		weft_fiber *fiber = nullptr;
		EXPECT_EQ(0, weft_spawn(&fiber, nothing, nullptr));
		EXPECT_EQ(0, weft_detach(fiber));
		std::string join = printed_by([&] { EXPECT_EQ(-EINVAL, weft_join(fiber, nullptr)); });
		expect_line(join, "weft_join at .*, of fiber=[0-9]+, which is detached: -EINVAL; .*");
		std::string detach = printed_by([&] { EXPECT_EQ(-EINVAL, weft_detach(fiber)); });
		expect_line(detach, "weft_detach at .*, of fiber=[0-9]+, which is detached: -EINVAL; .*");
	});
}

TEST(Misuse, AJoinOfWhatAnotherFiberJoins)
{
	run_virtual(1, [] {
		weft_fiber *target = spawn([] { weft_sleep(20 * WEFT_MS); });
		weft_fiber *first = spawn([target] { join(target); });
		weft_sleep(WEFT_MS);
		std::string text = printed_by([&] { EXPECT_EQ(-EINVAL, weft_join(target, nullptr)); });
		expect_line(text,
			"weft_join at .*, of fiber=[0-9]+, which another fiber is joining: -EINVAL; .*");
		join(first);
	});
}

/* Its stack is too small to say it on. */
TEST(Misuse, OnASmallFiberItIsOnlyAnswered)
{
	run(1, [] {
		static weft_fiber *ended;
		EXPECT_EQ(0, weft_spawn(&ended, nothing, nullptr));
		EXPECT_EQ(0, weft_join(ended, nullptr));
		weft_attr small{nullptr, 0, WEFT_SMALL};
		weft_fiber *fiber = nullptr;
		auto again = [](void *) -> void * {
			return reinterpret_cast<void *>(
				static_cast<intptr_t>(weft_join(ended, nullptr)));
		};
		EXPECT_EQ("", printed_by([&] {
			EXPECT_EQ(0, weft_spawn_attr(&fiber, &small, again, nullptr));
			EXPECT_EQ(-ESRCH, join(fiber));
		}));
	});
}
