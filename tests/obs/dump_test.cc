/* SPDX-License-Identifier: MIT */
/* dump_test.cc - all fibers in words, while everything runs
 *
 * Law  a dump names every live fiber with its state, what it waits for, where it was spawned, and the functions it is in.
 * Law  it can be taken by a fiber, a thread, and a signal; while workers are stuck; and into a pipe whose reader is slow.
 * Law  it changes nothing: afterwards everything goes on, errno and signals are as before.
 */
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <weft/report.h>

#include "tests/core/support.h"

extern "C" {
int wf_dump_signal_start(int signal);
void wf_dump_signal_stop(void);
int wf_dump_signal_parse(const char *text);
}

using namespace support;

/* All of a file. */
static std::string text_of(int fd)
{
	struct stat status = {};
	EXPECT_EQ(0, fstat(fd, &status));
	std::string text(static_cast<size_t>(status.st_size), 0);
	EXPECT_EQ(static_cast<ssize_t>(text.size()), pread(fd, text.data(), text.size(), 0));
	return text;
}

/* What a dump says; into a file of memory, which takes all of it. */
static std::string dump()
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	EXPECT_GE(fd, 0);
	errno = 77;
	EXPECT_EQ(0, weft_dump(fd));
	EXPECT_EQ(77, errno);
	std::string text = text_of(fd);
	close(fd);
	return text;
}

static size_t count_of(const std::string &text, const std::string &part)
{
	size_t count = 0;
	for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
		count++;
	return count;
}

/* The lines about the fiber of that name. */
static std::string about(const std::string &text, const std::string &name)
{
	size_t quoted = text.find("\"" + name + "\": ");
	if (quoted == std::string::npos)
		return "";
	size_t begin = text.rfind('\n', quoted) + 1;
	size_t end = text.find("\n  ", quoted);
	while (end != std::string::npos && text.compare(end, 4, "\n   ") == 0)
		end = text.find("\n  ", end + 1);
	return text.substr(begin, end - begin);
}

/* A dump says it so often. */
static void until_said(const std::string &part, size_t count)
{
	size_t said = 0;
	for (int i = 0; i < 2000 && said < count; i++) {
		weft_sleep(5 * WEFT_MS);
		said = count_of(dump(), part);
	}
	EXPECT_EQ(count, said) << part;
}

/* So many other fibers have come to where they wait. */
static void until_parked(size_t count)
{
	until_said(": parked, ", count);
}

#define EXPECT_SAYS(text, part) EXPECT_NE(std::string::npos, (text).find(part)) << (text)

template <typename Fn>
static weft_fiber *named(const char *name, Fn fn)
{
	weft_attr attr{};
	attr.name = name;
	return spawn(fn, attr);
}

extern "C" {

__attribute__((noinline)) int waits_for_event(weft_event *event)
{
	weft_event_wait(event);
	return *reinterpret_cast<volatile char *>(event);
}

__attribute__((noinline)) int sleeps_raw(std::atomic<bool> *begun, std::atomic<bool> *over)
{
	struct timespec time = {0, 400000000};
	*begun = true;
	while (!*over)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, nullptr);
	return static_cast<int>(time.tv_nsec);
}

__attribute__((noinline)) int computes(std::atomic<bool> *begun, std::atomic<bool> *over)
{
	*begun = true;
	int x = 0;
	while (!*over)
		x++;
	return x;
}

__attribute__((noinline)) int yields(std::atomic<bool> *over)
{
	int x = 0;
	while (!*over) {
		weft_yield();
		x++;
	}
	return x;
}

__attribute__((noinline)) void *in_generator(void *event)
{
	waits_for_event(static_cast<weft_event *>(event));
	return nullptr;
}

__attribute__((noinline)) void *around_generator(void *event)
{
	weft_gen *gen = nullptr;
	EXPECT_EQ(0, weft_gen_new(&gen, in_generator, event));
	void *value = nullptr;
	weft_gen_next(gen, &value);
	weft_gen_free(gen);
	return nullptr;
}
}

class Dump : public Workers
{
};
FOR_WORKERS(Dump);

TEST_P(Dump, SaysWhatEachFiberDoes)
{
	weft_config how = config(GetParam());
	how.rescue = WEFT_RESCUE_OFF; /* else another thread may begin what is to stay unstarted */
	run(how, [] {
		weft_event event = WEFT_EVENT_INIT;
		std::vector<weft_fiber *> fibers;
		fibers.push_back(named("waiter", [&event] { waits_for_event(&event); }));
		weft_fiber *sleeper = named("sleeper", [] { weft_sleep(1000 * WEFT_SEC); });
		fibers.push_back(sleeper);
		fibers.push_back(named("generator", [&event] {
			weft_gen *gen = nullptr;
			EXPECT_EQ(0, weft_gen_new(&gen, around_generator, &event));
			void *value = nullptr;
			weft_gen_next(gen, &value);
			weft_gen_free(gen);
		}));
		weft_fiber *ended = named("ended", [] {});
		weft_set_name("dumper");
		until_parked(3);
		until_said(": ended, ", 1);
		if (GetParam() == 1)
			fibers.push_back(named("new", [] {}));
		std::string text = dump();
		EXPECT_SAYS(text, "weft: dump of process " + std::to_string(getpid()));
		EXPECT_SAYS(text, "weft: end of dump\n");
		std::string waiter = about(text, "waiter");
		EXPECT_SAYS(waiter, "parked, waits for an event ");
		EXPECT_SAYS(waiter, " ms; spawned at ");
		EXPECT_SAYS(waiter, "waits_for_event+0x");
		EXPECT_SAYS(waiter, "wf_context_entry+0x");
		EXPECT_SAYS(about(text, "sleeper"), "parked, sleeps");
		EXPECT_SAYS(about(text, "sleeper"), "weft_sleep");
		std::string generator = about(text, "generator");
		EXPECT_SAYS(generator, "in_generator+0x");
		EXPECT_SAYS(generator, "around_generator+0x");
		EXPECT_EQ(2u, count_of(generator, "in a generator; resumed by:"));
		EXPECT_EQ(3u, count_of(generator, "wf_context_entry+0x")); /* of each stack */
		EXPECT_EQ(1u, count_of(text, ": ended, not joined; spawned at "));
		std::string dumper = about(text, "dumper");
		EXPECT_SAYS(dumper, "running, writes this");
		EXPECT_SAYS(dumper, "weft_dump+0x");
		EXPECT_SAYS(dumper, "wf_context_entry+0x");
		if (GetParam() == 1) {
			EXPECT_SAYS(about(text, "new"), "unstarted; spawned at ");
			EXPECT_SAYS(about(text, "new"), "will run _ZN7support8run_body");
		}
		EXPECT_SAYS(text, " 1 ended\n");
		weft_event_set(&event);
		EXPECT_EQ(0, weft_cancel(sleeper));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		join(ended);
	});
}

TEST_P(Dump, WorksFromAThreadWhileWorkersAreStuck)
{
	std::atomic<bool> begun{false}, computing{false}, over{false};
	std::string text;
	std::thread thread([&] {
		while (!begun || !computing)
			std::this_thread::yield();
		/* They have got there, the monitor has seen it, and the one that computes has said where. */
		for (int i = 0; i < 1000; i++) {
			text = dump();
			if (count_of(text, ", stuck") > 0 &&
				count_of(about(text, "raw"), "clock_nanosleep") > 0 &&
				count_of(about(text, "hog"), "computes+0x") > 0)
				break;
			usleep(10000);
		}
		over = true;
	});
	run(GetParam(), [&] {
		weft_fiber *a = named("raw", [&begun, &over] { sleeps_raw(&begun, &over); });
		weft_fiber *b = named("hog", [&computing, &over] { computes(&computing, &over); });
		join(a);
		join(b);
	});
	thread.join();
	EXPECT_SAYS(about(text, "hog"), "running, computing");
	EXPECT_SAYS(about(text, "hog"), "computes+0x");
	EXPECT_SAYS(about(text, "hog"), "wf_context_entry+0x");
	EXPECT_SAYS(about(text, "raw"), "running, in the system call clock_nanosleep");
	EXPECT_SAYS(about(text, "raw"), "sleeps_raw+0x");
	EXPECT_SAYS(text, ", stuck");
}

/* While a question of the monitor's to the same thread is open, too: the long-run report's. */
TEST_P(Dump, SaysWhereAHogIsFromItsFirstInstant)
{
	std::atomic<bool> computing{false}, over{false};
	std::vector<std::string> hog;
	std::thread thread([&] {
		while (!computing)
			std::this_thread::yield();
		for (int i = 0; i < 20; i++)
			hog.push_back(about(dump(), "hog"));
		over = true;
	});
	run(GetParam(), [&] { join(named("hog", [&] { computes(&computing, &over); })); });
	thread.join();
	for (const std::string &said : hog)
		EXPECT_EQ(std::string::npos, said.find("moves")) << said;
}

TEST_P(Dump, GoesOnWhileEverythingMoves)
{
	std::atomic<bool> begun{false}, over{false};
	std::thread thread([&] {
		while (!begun)
			std::this_thread::yield();
		for (long i = 0; i < times(10, 3); i++)
			EXPECT_SAYS(dump(), "weft: end of dump\n");
		over = true;
	});
	run(GetParam(), [&] {
		std::vector<weft_fiber *> fibers;
		weft_chan *chan = nullptr;
		ASSERT_EQ(0, weft_chan_new(&chan, sizeof(int), 0));
		for (int i = 0; i < 20; i++)
			fibers.push_back(spawn([&over] { yields(&over); }));
		fibers.push_back(spawn([&over, chan] {
			int value = 0;
			while (!over && weft_chan_send(chan, &value) == 0)
				value++;
			weft_chan_close(chan);
		}));
		fibers.push_back(spawn([chan] {
			int value;
			while (weft_chan_recv(chan, &value) == 0)
				continue;
		}));
		begun = true;
		while (!over) {
			weft_fiber *fiber = spawn([] { weft_sleep(100 * WEFT_US); });
			join(fiber);
		}
		for (weft_fiber *fiber : fibers)
			join(fiber);
		weft_chan_free(chan);
	});
	thread.join();
}

/* A thread that takes no signals does not say where it is, and its fiber ends while it is waited for. */
TEST(DumpAround, HasNoRowOfAFiberThatEndsMeanwhile)
{
	for (int i = 0; i < 5; i++) {
		std::atomic<bool> begun{false};
		std::string text;
		std::thread thread([&] {
			while (!begun)
				std::this_thread::yield();
			text = dump();
		});
		weft_config alone = config(1);
		alone.rescue = WEFT_RESCUE_OFF;
		alone.long_run = -1; /* it would ask too */
		run(alone, [&begun] {
			sigset_t all, old;
			sigfillset(&all);
			pthread_sigmask(SIG_BLOCK, &all, &old);
			join(named("brief", [&begun] {
				begun = true; /* and computes: of a sleeping thread the kernel tells */
				for (int64_t end = weft_now() + 20 * WEFT_MS; weft_now() < end;)
					continue;
			}));
			weft_sleep(50 * WEFT_MS);
			pthread_sigmask(SIG_SETMASK, &old, nullptr);
		});
		thread.join();
		EXPECT_EQ(0u, count_of(text, "fiber=0: ")) << text;
		EXPECT_EQ(0u, count_of(text, "spawned at 0x0")) << text;
	}
}

/* Runtimes that come and go. */
TEST(DumpAround, RuntimesMayEndMeanwhile)
{
	std::atomic<bool> over{false};
	std::thread thread([&] {
		while (!over)
			dump();
	});
	for (long i = 0; i < times(50, 5); i++)
		run(config(2), [] { join(spawn([] { weft_sleep(WEFT_MS); })); });
	over = true;
	thread.join();
	std::string text = dump();
	EXPECT_EQ(0u, count_of(text, "runtime "));
}

/* What a dump says of another thread, whose reader waits until `meanwhile` has been called. */
static std::string dump_held_up(const std::function<void()> &meanwhile)
{
	int ends[2];
	std::string text;
	char buffer[10000];
	ssize_t n;
	EXPECT_EQ(0, pipe2(ends, O_CLOEXEC));
	EXPECT_LT(0, fcntl(ends[1], F_SETPIPE_SZ, 4096));
	std::thread writer([&ends] {
		EXPECT_EQ(0, weft_dump(ends[1]));
		close(ends[1]);
	});
	/* It writes what it has put together when that is 64 KiB, and stands in that call. */
	EXPECT_TRUE(eventually([&ends] {
		int bytes = 0;
		return ioctl(ends[0], FIONREAD, &bytes) == 0 && bytes > 0;
	}));
	meanwhile();
	while ((n = read(ends[0], buffer, sizeof(buffer))) > 0)
		text.append(buffer, static_cast<size_t>(n));
	writer.join();
	close(ends[0]);
	return text;
}

/* 64 KiB are written at a time; the second runtime's workers stand where the first 64 KiB end. */
TEST(DumpAround, ARuntimeMayBeReplacedByASmallerOne)
{
	const weft_config one = config(1), many = config(60);
	weft_runtime *first, *second, *third;
	ASSERT_EQ(0, weft_start(&first, &one));
	ASSERT_EQ(0, weft_start(&second, &many));
	size_t sleepers = 0;
	auto add = [first, &sleepers](size_t count) {
		auto sleep = [](void *) -> void * {
			weft_sleep(1000 * WEFT_SEC);
			return nullptr;
		};
		for (size_t i = 0; i < count; i++)
			ASSERT_EQ(0, weft_submit(first, sleep, nullptr));
		sleepers += count;
		EXPECT_TRUE(eventually(
			[&sleepers] { return count_of(dump(), ": parked, ") == sleepers; }));
	};
	add(20);
	size_t few = dump().find("runtime 1: ");
	add(20);
	size_t more = dump().find("runtime 1: ");
	ASSERT_LT(few, more);
	ASSERT_LT(more, 61500u);
	add((61500 - more) / ((more - few) / 20));
	std::string text = dump_held_up([&] {
		EXPECT_EQ(0, weft_stop(second));
		weft_config bare = one;
		bare.rescue = WEFT_RESCUE_OFF; /* it has no room for others */
		EXPECT_EQ(0, weft_start(&third, &bare));
	});
	EXPECT_SAYS(text, "runtime 1: 60 workers");
	EXPECT_EQ(0u, count_of(text, "worker 59, ")) << "it ended before";
	EXPECT_SAYS(text, "weft: end of dump\n");
	EXPECT_EQ(0, weft_stop(third));
	EXPECT_EQ(0, weft_stop(first));
}

TEST(DumpAround, ManyFibersAreQuick)
{
	static const long many = sanitized ? 1000 : 10000;
	run(config(2), [] {
		weft_event event = WEFT_EVENT_INIT;
		std::vector<weft_fiber *> fibers;
		for (long i = 0; i < many; i++)
			fibers.push_back(named("one", [&event] { waits_for_event(&event); }));
		until_parked(static_cast<size_t>(many));
		auto begin = std::chrono::steady_clock::now();
		std::string text = dump();
		double seconds =
			std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
		RecordProperty("seconds", std::to_string(seconds));
		printf("%ld fibers in %.2f s\n", many, seconds);
		EXPECT_EQ(static_cast<size_t>(many), count_of(text, "parked, waits for an event "));
		EXPECT_EQ(static_cast<size_t>(many), count_of(text, "waits_for_event+0x"));
		EXPECT_EQ(0u, count_of(text, "moves"));
		weft_event_set(&event);
		for (weft_fiber *fiber : fibers)
			join(fiber);
	});
}

TEST(DumpAround, WritesToASlowPipe)
{
	run(config(2), [] {
		weft_event event = WEFT_EVENT_INIT;
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 500; i++)
			fibers.push_back(named("one", [&event] { waits_for_event(&event); }));
		until_parked(500);
		for (int flags : {0, O_NONBLOCK}) {
			int ends[2];
			ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
			ASSERT_EQ(0, fcntl(ends[1], F_SETFL, flags));
			std::string text;
			std::thread reader([&] {
				char buffer[10000];
				ssize_t n;
				while ((n = read(ends[0], buffer, sizeof(buffer))) > 0) {
					text.append(buffer, static_cast<size_t>(n));
					std::this_thread::sleep_for(std::chrono::milliseconds(1));
				}
			});
			EXPECT_EQ(0, weft_dump(ends[1]));
			close(ends[1]);
			reader.join();
			EXPECT_EQ(500u, count_of(text, "waits_for_event+0x"));
			EXPECT_SAYS(text, "weft: end of dump\n");
			close(ends[0]);
		}
		weft_event_set(&event);
		for (weft_fiber *fiber : fibers)
			join(fiber);
	});
}

TEST(DumpAround, FailsAsWriteDoes)
{
	EXPECT_EQ(-EBADF, weft_dump(-1));
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	EXPECT_EQ(-ENOSPC, weft_dump(full));
	close(full);
	int ends[2];
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	close(ends[0]);
	EXPECT_EQ(-EPIPE, weft_dump(ends[1])); /* and the process lives */
	close(ends[1]);
	sigset_t pending;
	sigpending(&pending);
	EXPECT_EQ(0, sigismember(&pending, SIGPIPE));
}

TEST(DumpSignal, NamesOfSignals)
{
	EXPECT_EQ(SIGQUIT, wf_dump_signal_parse("QUIT"));
	EXPECT_EQ(SIGQUIT, wf_dump_signal_parse("SIGQUIT"));
	EXPECT_EQ(SIGUSR1, wf_dump_signal_parse("SIGUSR1"));
	EXPECT_EQ(12, wf_dump_signal_parse("12"));
	for (const char *bad : {"", "KILL", "SIGSEGV", "9", "-3", "0", "3x", "quit", "1000", "SIG"})
		EXPECT_EQ(-EINVAL, wf_dump_signal_parse(bad)) << bad;
	EXPECT_EQ(-EINVAL, wf_dump_signal_start(SIGKILL));
}

/* What is written to stderr meanwhile, which fn finds in the file it is given. */
template <typename Fn>
static std::string stderr_of(Fn fn)
{
	int kept = dup(STDERR_FILENO), fd = memfd_create("stderr", MFD_CLOEXEC);
	EXPECT_EQ(STDERR_FILENO, dup2(fd, STDERR_FILENO));
	fn(fd);
	EXPECT_EQ(STDERR_FILENO, dup2(kept, STDERR_FILENO));
	close(kept);
	std::string text = text_of(fd);
	close(fd);
	return text;
}

static void signalled(int file)
{
	run(config(1), [file] {
		weft_event event = WEFT_EVENT_INIT;
		weft_fiber *fiber = named("waiter", [&event] { waits_for_event(&event); });
		until_parked(1);
		for (size_t dumps = 1; dumps <= 2; dumps++) {
			kill(getpid(), SIGQUIT);
			for (int i = 0; i < 2000 && count_of(text_of(file), "end of dump\n") < dumps; i++)
				weft_sleep(10 * WEFT_MS);
		}
		weft_event_set(&event);
		join(fiber);
	});
}

TEST(DumpSignal, IsTakenWhereverTheKernelPutsIt)
{
	struct sigaction before, after;
	sigaction(SIGQUIT, nullptr, &before);
	for (int how : {SIG_UNBLOCK, SIG_BLOCK}) {
		sigset_t set, old;
		sigemptyset(&set);
		sigaddset(&set, SIGQUIT);
		pthread_sigmask(how, &set, &old);
		ASSERT_EQ(0, wf_dump_signal_start(SIGQUIT));
		EXPECT_EQ(0, wf_dump_signal_start(SIGQUIT));
		EXPECT_EQ(-EBUSY, wf_dump_signal_start(SIGUSR1));
		std::string text = stderr_of(signalled);
		EXPECT_EQ(2u, count_of(text, "weft: end of dump\n")) << text;
		EXPECT_SAYS(about(text, "waiter"), "waits_for_event+0x");
		wf_dump_signal_stop();
		wf_dump_signal_stop();
		pthread_sigmask(SIG_SETMASK, &old, nullptr);
	}
	sigaction(SIGQUIT, nullptr, &after);
	EXPECT_EQ(before.sa_handler, after.sa_handler);
}
