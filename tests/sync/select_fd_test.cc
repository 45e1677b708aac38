/* SPDX-License-Identifier: MIT */
/* select_fd_test.cc - weft_select over descriptors, alone and beside channels
 *
 * Law  READABLE and WRITABLE are levels: ready at every call until somebody reads or writes; nothing is
 *      transferred or consumed; end of file, an error and a connection to accept count; a regular file is
 *      always ready.
 * Law  a case that wins leaves nothing behind that keeps another call, another descriptor of the same number,
 *      weft_close or the end of the runtime waiting; polls that stay in the ring are at most one a file and
 *      direction.
 * Law  cancellation, deadlines and weft_close wake a select that waits for descriptors.
 * Law  off a fiber a case with a descriptor is -EPERM, and nothing is done.
 */
#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <weft/report.h>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

class SelectFd : public Workers
{
};
FOR_WORKERS(SelectFd);

struct Pipe {
	int in = -1, out = -1; /* what is written to `out` is read from `in` */

	Pipe()
	{
		int fds[2];
		/* Not by the C library: TSan follows numbers there, and does not see that weft_close gives them
		 * back. */
		EXPECT_EQ(0, syscall(SYS_pipe2, fds, O_CLOEXEC | O_NONBLOCK));
		in = raised(fds[0]);
		out = raised(fds[1]);
	}
	/* To a number that only pipes get. The lowest free one may be weft's at any moment: its
	 * monitor opens a file of /proc to look at a thread that does not get on, and a thread that
	 * stands in has descriptors. */
	static int raised(int low)
	{
		long high = syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 400);
		EXPECT_GE(high, 400);
		EXPECT_EQ(0, syscall(SYS_close, low));
		return static_cast<int>(high);
	}
	Pipe(const Pipe &) = delete;
	Pipe &operator=(const Pipe &) = delete;
	~Pipe()
	{
		close_one(&in);
		close_one(&out);
	}
	void close_one(int *fd)
	{
		int error = *fd >= 0 ? weft_close(*fd) : 0;
		EXPECT_EQ(0, error);
		*fd = -1;
	}
	void fill()
	{
		char bytes[4096] = {};
		while (::write(out, bytes, sizeof(bytes)) > 0) {}
	}
	void put()
	{
		EXPECT_EQ(1, ::write(out, "x", 1));
	}
	void take()
	{
		char byte;
		EXPECT_EQ(1, ::read(in, &byte, 1));
	}
	void drain()
	{
		char bytes[4096];
		while (::read(in, bytes, sizeof(bytes)) > 0) {}
	}
};

static int select_one(weft_case one, weft_ns deadline = WEFT_FOREVER)
{
	int index = weft_select(&one, 1, deadline);
	EXPECT_EQ(index == 0 ? 0 : UNWRITTEN, one.status);
	return index;
}

/* Until a fiber that selects has got to its wait, as far as that can be seen: nothing depends on it but what is
 * tested. */
static void let_it_park()
{
	for (int i = 0; i < 3; i++)
		weft_sleep(WEFT_MS);
}

static uint64_t operations_in_flight()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats.total.ops - stats.total.completions;
}

/* On a fiber: waits, in real time, until the condition holds. */
static bool soon(const std::function<bool()> &condition)
{
	weft_ns limit = weft_after(20 * WEFT_SEC);
	while (!condition()) {
		if (weft_now() > limit)
			return false;
		weft_sleep(200 * WEFT_US);
	}
	return true;
}

/* Fibers that are parked, as weft_dump sees them. */
static size_t parked()
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(0, weft_dump(fd));
	off_t size = lseek(fd, 0, SEEK_END);
	std::string text(static_cast<size_t>(size), 0);
	EXPECT_EQ(size, pread(fd, text.data(), text.size(), 0));
	::close(fd);
	const std::string state = ": parked, ";
	size_t count = 0;
	for (size_t at = 0; (at = text.find(state, at)) != std::string::npos; at += state.size())
		count++;
	return count;
}

TEST_P(SelectFd, ReadableIsALevelAndConsumesNothing)
{
	run(GetParam(), [] {
		Pipe pipe;
		EXPECT_EQ(-EAGAIN, select_one(readable_case(pipe.in), 0));
		pipe.put();
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(0, select_one(readable_case(pipe.in), 0));
			EXPECT_EQ(0, select_one(readable_case(pipe.in), 1)) << "before a passed deadline";
			EXPECT_EQ(0, select_one(readable_case(pipe.in)));
		}
		pipe.take();
		EXPECT_EQ(-EAGAIN, select_one(readable_case(pipe.in), 0));
		EXPECT_EQ(-ETIMEDOUT, select_one(readable_case(pipe.in), 1));
		EXPECT_EQ(-ETIMEDOUT, select_one(readable_case(pipe.in), weft_after(WEFT_MS)));
	});
}

TEST_P(SelectFd, WaitsUntilThereIsData)
{
	run(GetParam(), [] {
		Pipe pipe, back;
		weft_fiber *writer = spawn([&] {
			for (int i = 0; i < times(1000, 200); i++) {
				pipe.put();
				EXPECT_EQ(0, select_one(readable_case(back.in)));
				back.take();
			}
		});
		for (int i = 0; i < times(1000, 200); i++) {
			EXPECT_EQ(0, select_one(readable_case(pipe.in)));
			pipe.take();
			EXPECT_EQ(-EAGAIN, select_one(readable_case(pipe.in), 0)) << "it is used up";
			back.put();
		}
		join(writer);
	});
}

TEST_P(SelectFd, WaitsUntilThereIsRoom)
{
	run(GetParam(), [] {
		Pipe pipe;
		EXPECT_EQ(0, select_one(writable_case(pipe.out)));
		for (int i = 0; i < 20; i++) {
			pipe.fill();
			EXPECT_EQ(-EAGAIN, select_one(writable_case(pipe.out), 0));
			weft_fiber *fiber = spawn([&] { return select_one(writable_case(pipe.out)); });
			if (i % 2 == 0)
				let_it_park();
			pipe.drain();
			EXPECT_EQ(0, join(fiber));
		}
	});
}

TEST_P(SelectFd, TheEndCounts)
{
	run(GetParam(), [] {
		{
			Pipe pipe;
			weft_fiber *fiber = spawn([&] { return select_one(readable_case(pipe.in)); });
			let_it_park();
			pipe.close_one(&pipe.out);
			EXPECT_EQ(0, join(fiber)) << "end of file";
			EXPECT_EQ(0, select_one(readable_case(pipe.in), 0));
		}
		{
			Pipe pipe;
			pipe.fill();
			weft_fiber *fiber = spawn([&] { return select_one(writable_case(pipe.out)); });
			let_it_park();
			pipe.close_one(&pipe.in);
			EXPECT_EQ(0, join(fiber)) << "a write would fail at once";
			EXPECT_EQ(0, select_one(writable_case(pipe.out), 0));
		}
		int pair[2];
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		EXPECT_EQ(-EAGAIN, select_one(readable_case(pair[0]), 0));
		ASSERT_EQ(0, shutdown(pair[1], SHUT_WR));
		EXPECT_EQ(0, select_one(readable_case(pair[0])));
		EXPECT_EQ(0, select_one(writable_case(pair[0]))) << "half of it is open";
		EXPECT_EQ(0, weft_close(pair[0]));
		EXPECT_EQ(0, weft_close(pair[1]));
	});
}

TEST_P(SelectFd, AConnectionToAccept)
{
	run(GetParam(), [] {
		int listener = weft_listen("127.0.0.1:0");
		ASSERT_GE(listener, 0);
		std::string address = "127.0.0.1:" + std::to_string(weft_local_port(listener));
		EXPECT_EQ(-EAGAIN, select_one(readable_case(listener), 0));
		weft_fiber *dialler = spawn([&] { return weft_dial(address.c_str()); });
		EXPECT_EQ(0, select_one(readable_case(listener)));
		int peer = static_cast<int>(join(dialler));
		ASSERT_GE(peer, 0);
		int fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(-EAGAIN, select_one(readable_case(listener), 0));
		/* Both directions of one socket in one call. */
		weft_case both[] = {readable_case(fd), writable_case(fd)};
		EXPECT_EQ(1, weft_select(both, 2, WEFT_FOREVER));
		EXPECT_EQ(1, weft_send(peer, "x", 1, 0));
		EXPECT_EQ(0, select_one(readable_case(fd)));
		for (int one : {fd, peer, listener})
			EXPECT_EQ(0, weft_close(one));
	});
}

TEST_P(SelectFd, RegularFilesAreAlwaysReady)
{
	run(GetParam(), [] {
		FILE *file = tmpfile();
		ASSERT_NE(nullptr, file);
		for (weft_ns deadline : {weft_ns{0}, weft_ns{1}, WEFT_FOREVER}) {
			EXPECT_EQ(0, select_one(readable_case(fileno(file)), deadline));
			EXPECT_EQ(0, select_one(writable_case(fileno(file)), deadline));
		}
		fclose(file);
	});
}

TEST_P(SelectFd, BadDescriptors)
{
	run(GetParam(), [] {
		Pipe pipe;
		Chan<int> idle;
		int value = -1;
		int closed = fcntl(pipe.in, F_DUPFD_CLOEXEC, 300);
		ASSERT_GE(closed, 300);
		ASSERT_EQ(0, weft_close(closed));
		for (int fd : {-1, closed, 100000, INT_MIN})
			for (weft_ns deadline : {weft_ns{0}, weft_after(100 * WEFT_SEC), WEFT_FOREVER}) {
				EXPECT_EQ(-EBADF, select_one(readable_case(fd), deadline)) << fd;
				EXPECT_EQ(-EBADF, select_one(writable_case(fd), deadline)) << fd;
				weft_case cases[] = {recv_case(idle, &value),
					readable_case(pipe.in), writable_case(fd)};
				EXPECT_EQ(-EBADF, weft_select(cases, 3, deadline)) << fd;
			}
		int error = select_one(readable_case(INT_MAX), 0);
		EXPECT_TRUE(error == -EBADF || error == -EMFILE) << error;
		EXPECT_EQ(-EAGAIN, idle.try_send(1)) << "nothing was left there";
	});
}

TEST_P(SelectFd, ClosingWakesItsWaiters)
{
	run(GetParam(), [] {
		for (int round = 0; round < times(200, 40); round++) {
			Pipe pipe, other;
			Chan<int> chan;
			std::vector<weft_fiber *> fibers;
			int fd = pipe.in;
			for (int i = 0; i < 4; i++)
				fibers.push_back(spawn([&, i] {
					int value = -1;
					weft_case cases[] = {readable_case(other.in),
						recv_case(chan, &value), readable_case(fd)};
					int index = i % 2 == 0 ? select_one(readable_case(fd))
							       : weft_select(cases, 3, WEFT_FOREVER);
					EXPECT_EQ(0, weft_cancelled());
					EXPECT_EQ(0, weft_check());
					return index;
				}));
			if (round % 4 == 0)
				EXPECT_TRUE(soon([&] { return parked() == fibers.size(); }));
			else
				for (int i = round % 4; i > 0; i--)
					weft_yield();
			pipe.close_one(&pipe.in);
			for (weft_fiber *fiber : fibers) {
				intptr_t error = join(fiber);
				/* -EBADF: it came too late to wait. */
				EXPECT_TRUE(error == -ECANCELED || error == -EBADF) << error;
				EXPECT_TRUE(round % 4 != 0 || error == -ECANCELED) << error;
			}
			EXPECT_EQ(-EAGAIN, chan.try_send(1));
		}
	});
}

TEST_P(SelectFd, CancelledAndLate)
{
	run(GetParam(), [] {
		Pipe pipe;
		Chan<int> chan;
		int value = -1;
		weft_case cases[] = {readable_case(pipe.in), recv_case(chan, &value)};
		weft_fiber *fiber = spawn([&] {
			EXPECT_EQ(-ECANCELED, weft_select(cases, 2, WEFT_FOREVER));
			EXPECT_EQ(-ECANCELED, weft_select(cases, 2, WEFT_FOREVER)) << "a level";
			EXPECT_EQ(-EAGAIN, weft_select(cases, 2, 0));
		});
		let_it_park();
		EXPECT_EQ(0, weft_cancel(fiber));
		join(fiber);
		weft_ns end = weft_after(2 * WEFT_MS);
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, end));
		EXPECT_GE(weft_now(), end);
		end = weft_after(2 * WEFT_MS);
		weft_deadline(end);
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, WEFT_FOREVER));
		EXPECT_GE(weft_now(), end);
		pipe.put();
		EXPECT_EQ(-ETIMEDOUT, weft_select(cases, 2, WEFT_FOREVER)) << "before readiness";
		EXPECT_EQ(0, weft_select(cases, 2, 0));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, weft_select(cases, 2, WEFT_FOREVER));
		EXPECT_EQ(-EAGAIN, chan.try_send(1));
		EXPECT_EQ(-1, value);
	});
}

TEST_P(SelectFd, DrawsEvenlyAmongChannelsAndDescriptors)
{
	run(GetParam(), [] {
		Pipe pipe, empty;
		Chan<int> chan(1), idle;
		int value = 1;
		pipe.put();
		chan.put(1);
		weft_case cases[] = {readable_case(empty.in), readable_case(pipe.in),
			recv_case(idle, &value), recv_case(chan, &value), writable_case(pipe.out)};
		std::vector<long> drawn(5);
		for (long i = 0; i < times(12000, 2000); i++) {
			int index = weft_select(cases, 5, i % 2 == 0 ? 0 : WEFT_FOREVER);
			ASSERT_GE(index, 0);
			drawn[static_cast<size_t>(index)]++;
			EXPECT_EQ(index == 3 ? 0 : -EAGAIN, chan.try_send(1));
		}
		EXPECT_EQ(0, drawn[0] + drawn[2]);
		EXPECT_TRUE(evenly_drawn({drawn[1], drawn[3], drawn[4]}));
	});
}

/* One descriptor, many who wait for it, in both directions; each level wakes all whom it lets through. */
TEST_P(SelectFd, ManyWaitForOneDescriptor)
{
	run(GetParam(), [] {
		int pair[2];
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
		char bytes[4096] = {};
		while (::write(pair[0], bytes, sizeof(bytes)) > 0) {}
		std::vector<weft_fiber *> readers, writers;
		for (int i = 0; i < 10; i++) {
			readers.push_back(spawn([&] { return select_one(readable_case(pair[0])); }));
			writers.push_back(spawn([&] { return select_one(writable_case(pair[0])); }));
		}
		let_it_park();
		EXPECT_EQ(1, ::write(pair[1], "x", 1));
		for (weft_fiber *fiber : readers)
			EXPECT_EQ(0, join(fiber));
		EXPECT_EQ(-EAGAIN, select_one(writable_case(pair[0]), 0));
		while (::read(pair[1], bytes, sizeof(bytes)) > 0) {}
		for (weft_fiber *fiber : writers)
			EXPECT_EQ(0, join(fiber));
		EXPECT_EQ(0, weft_close(pair[0]));
		EXPECT_EQ(0, weft_close(pair[1]));
	});
}

TEST_P(SelectFd, OneOfManyDescriptors)
{
	run(GetParam(), [] {
		std::vector<std::unique_ptr<Pipe>> pipes;
		std::vector<weft_case> cases;
		for (int i = 0; i < 100; i++) {
			pipes.push_back(std::make_unique<Pipe>());
			cases.push_back(readable_case(pipes.back()->in));
		}
		Chan<size_t> next(1);
		std::minstd_rand random(7);
		weft_fiber *writer = spawn([&] {
			size_t which;
			while (next.recv(&which) == 0)
				pipes[which]->put();
		});
		for (int i = 0; i < times(500, 100); i++) {
			size_t which = random() % pipes.size();
			next.put(which);
			if (i % 5 == 0)
				let_it_park();
			int index = weft_select(cases.data(), cases.size(), WEFT_FOREVER);
			EXPECT_EQ(static_cast<int>(which), index)
				<< "round " << i << ": no other has data";
			EXPECT_EQ(0, select_one(readable_case(pipes[which]->in)));
			pipes[which]->take();
		}
		EXPECT_EQ(0, next.close());
		join(writer);
	});
}

TEST_P(SelectFd, AChannelWinsWithoutLeakingOperations)
{
	run(GetParam(), [] {
		/* The main fiber's own ring may wait for its interrupt at any time; that is not counted here.
		 * */
		uint64_t before = operations_in_flight();
		long descriptors = fd_count();
		{
			Pipe pipe, full;
			full.fill();
			Chan<long> chan;
			long rounds = times(10000, 1000), value = -1;
			weft_fiber *sender = spawn([&] {
				for (long i = 0; i < rounds; i++)
					chan.put(i);
			});
			uint64_t most = 0;
			for (long i = 0; i < rounds; i++) {
				weft_case cases[] = {readable_case(pipe.in),
					recv_case(chan, &value), writable_case(full.out)};
				ASSERT_EQ(1, weft_select(cases, 3, WEFT_FOREVER));
				ASSERT_EQ(i, value);
				most = std::max(most, operations_in_flight());
			}
			join(sender);
			/* A poll for each descriptor, one that is on its way out, and the workers' interrupts.
			 * */
			EXPECT_LE(most, before + 4 + 2 * weft_workers());
			pipe.put();
			EXPECT_EQ(0, select_one(readable_case(pipe.in))) << "the next one uses it";
			EXPECT_EQ(-EAGAIN, select_one(writable_case(full.out), 0));
		}
		/* weft_close has taken the polls away. */
		EXPECT_TRUE(soon([&] { return operations_in_flight() <= before + weft_workers(); }));
		/* Those of weft's monitor, and of threads that stand in, come and go. */
		EXPECT_TRUE(soon([&] { return fd_count() <= descriptors; }));
	});
}

TEST_P(SelectFd, ANumberUsedAgainIsAnotherDescriptor)
{
	run(GetParam(), [] {
		Chan<int> chan;
		int value = -1;
		for (int round = 0; round < times(100, 20); round++) {
			auto old = std::make_unique<Pipe>();
			int number = old->in, kept = fcntl(old->in, F_DUPFD_CLOEXEC, 200);
			ASSERT_GE(kept, 200);
			/* A channel wins, and leaves a poll on the old file in the ring. */
			weft_case cases[] = {readable_case(number), recv_case(chan, &value)};
			weft_fiber *fiber = spawn([&] { return weft_select(cases, 2, WEFT_FOREVER); });
			if (round % 2 == 0)
				let_it_park();
			chan.put(1);
			EXPECT_EQ(1, join(fiber));
			old->close_one(&old->in);
			Pipe fresh;
			ASSERT_EQ(number, fresh.in) << "the lowest free one";
			/* The old file lives on, under another number, and gets data. */
			old->put();
			EXPECT_EQ(0, select_one(readable_case(kept)));
			EXPECT_EQ(-EAGAIN, select_one(readable_case(number), 0));
			EXPECT_EQ(-ETIMEDOUT, select_one(readable_case(number), weft_after(WEFT_MS)));
			fiber = spawn([&] { return select_one(readable_case(number)); });
			if (round % 2 == 0)
				let_it_park();
			fresh.put();
			EXPECT_EQ(0, join(fiber));
			EXPECT_EQ(0, weft_close(kept));
		}
	});
}

/* Selects, writes and closes of the same few numbers, from all workers at once. Each ends, in one of the ways
 * it may. */
TEST_P(SelectFd, NumbersThatComeAndGo)
{
	run(GetParam(), [] {
		uint64_t before = operations_in_flight();
		std::atomic<long> woken{0}, closed{0}, refused{0};
		std::vector<weft_fiber *> fibers;
		for (unsigned k = 0; k < 8; k++)
			fibers.push_back(spawn([&, k] {
				std::minstd_rand random(k + 1);
				for (int i = 0; i < times(400, 60); i++) {
					Pipe pipe;
					Chan<int> chan;
					int value = -1, fd = pipe.in;
					weft_fiber *waiter = spawn([&, fd] {
						weft_case cases[] = {
							readable_case(fd), recv_case(chan, &value)};
						return weft_select(cases, 2, WEFT_FOREVER);
					});
					for (unsigned n = random() % 4; n > 0; n--)
						weft_yield();
					unsigned way = random() % 4;
					if (way == 0)
						pipe.put();
					if (way == 1)
						chan.put(1);
					if (way == 2)
						pipe.close_one(&pipe.in);
					if (way == 3)
						weft_cancel(waiter);
					intptr_t result = join(waiter);
					switch (way) {
					case 0:
						EXPECT_EQ(0, result);
						woken++;
						break;
					case 1:
						EXPECT_EQ(1, result);
						break;
					case 2:
						/* 0: another's pipe had the number before the waiter looked. */
						(result == -ECANCELED ? closed : refused)++;
						EXPECT_TRUE(result == -ECANCELED || result == -EBADF || result == 0)
							<< result;
						break;
					default:
						EXPECT_EQ(-ECANCELED, result);
					}
				}
			}));
		join_all(fibers);
		EXPECT_GT(woken, 0);
		EXPECT_GT(closed + refused, 0);
		EXPECT_TRUE(soon([&] { return operations_in_flight() <= before + weft_workers(); }));
	});
}

TEST(SelectFdOffAFiber, IsRefused)
{
	Pipe pipe;
	Chan<int> chan(1);
	int value = -1;
	chan.put(1);
	pipe.put();
	weft_case cases[] = {recv_case(chan, &value), readable_case(pipe.in)};
	for (weft_ns deadline : {weft_ns{0}, weft_ns{1}, WEFT_FOREVER}) {
		EXPECT_EQ(-EPERM, weft_select(cases, 2, deadline));
		cases[1].op = WEFT_CASE_WRITABLE;
		EXPECT_EQ(-EPERM, weft_select(cases, 2, deadline));
	}
	EXPECT_EQ(1u, chan.len());
	EXPECT_EQ(-1, value);
	/* With channels only it may. */
	EXPECT_EQ(0, weft_select(cases, 1, WEFT_FOREVER));
	::close(pipe.in);
	::close(pipe.out);
	pipe.in = pipe.out = -1;
}

TEST_P(SelectFd, TheRuntimeEndsWithSelectsThatWait)
{
	std::atomic<int> cancelled{0};
	int pair[2];
	ASSERT_EQ(0, pipe2(pair, O_CLOEXEC));
	Chan<int> chan;
	run(GetParam(), [&] {
		for (int i = 0; i < 20; i++)
			go([&] {
				int value;
				weft_case cases[] = {readable_case(pair[0]), recv_case(chan, &value)};
				cancelled += weft_select(cases, 2, WEFT_FOREVER) == -ECANCELED;
			});
		let_it_park();
	});
	EXPECT_EQ(20, cancelled.load());
	/* Descriptors outlive the runtime; in the next one they are new. */
	EXPECT_EQ(1, ::write(pair[1], "x", 1));
	run(GetParam(), [&] { EXPECT_EQ(0, select_one(readable_case(pair[0]))); });
	EXPECT_EQ(0, ::close(pair[0]));
	EXPECT_EQ(0, ::close(pair[1]));
}

/* Virtual time stands still while a select waits for the world; a poll that a finished one left in the ring
 * does not stop it. */
TEST_P(SelectFd, VirtualTimeWaitsForTheWorld)
{
	int pair[2];
	ASSERT_EQ(0, pipe2(pair, O_CLOEXEC));
	Chan<nothing> asked;
	Threads threads;
	threads.start([&] {
		asked.take();
		usleep(3000);
		EXPECT_EQ(1, ::write(pair[1], "x", 1));
	});
	run_virtual(GetParam(), [&] {
		Chan<int> chan;
		int value = -1;
		weft_case cases[] = {readable_case(pair[0]), recv_case(chan, &value)};
		weft_fiber *sender = spawn([&] { chan.put(1); });
		EXPECT_EQ(1, weft_select(cases, 2, WEFT_FOREVER));
		join(sender);
		EXPECT_EQ(0, weft_sleep(WEFT_SEC));
		EXPECT_EQ(2 * WEFT_SEC, weft_now());
		EXPECT_EQ(0, asked.send({}));
		EXPECT_EQ(0, weft_select(cases, 2, weft_after(WEFT_SEC))) << "the thread takes its time";
		EXPECT_EQ(2 * WEFT_SEC, weft_now());
	});
	threads.join();
	EXPECT_EQ(0, ::close(pair[0]));
	EXPECT_EQ(0, ::close(pair[1]));
}

TEST_P(SelectFd, ACounterThatMostOfThemWaitFor)
{
	run(GetParam(), [] {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
		ASSERT_GE(fd, 0);
		std::atomic<long> taken{0};
		std::vector<weft_fiber *> fibers;
		long each = times(200, 50);
		for (int k = 0; k < 6; k++)
			fibers.push_back(spawn([&] {
				for (long got = 0; got < each;) {
					EXPECT_EQ(0, select_one(readable_case(fd)));
					uint64_t one;
					if (::read(fd, &one, sizeof(one)) == 8) { /* else another was quicker */
						got++;
						taken++;
					}
				}
			}));
		uint64_t one = 1;
		for (long i = 0; i < 6 * each; i++) {
			EXPECT_EQ(8, ::write(fd, &one, sizeof(one)));
			if (i % 16 == 0)
				weft_yield();
		}
		join_all(fibers);
		EXPECT_EQ(6 * each, taken.load());
		EXPECT_EQ(0, weft_close(fd));
	});
}
