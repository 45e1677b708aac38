/* SPDX-License-Identifier: MIT */
/* close_test.cc - weft_close is a wake-up
 *
 * Law  5: closing wakes with -ECANCELED whoever is parked on the descriptor, on whatever worker; a reused
 *      number never meets an old operation.
 * Law  it always closes, also when the closer is cancelled, late or shielded; a second close is -EBADF.
 */
#include "tests/io/support.h"

#include <atomic>
#include <climits>

#include <poll.h>

using namespace io_test;

namespace
{

class Close : public Rings
{
};
IN_EVERY_SETUP(Close);

/* The header says "wakes", not "in time": this is what a loaded machine may need. */
constexpr weft_ns SOON = 5 * WEFT_SEC;

struct Parked {
	const char *name;
	Link link;
	bool on_out;
	std::function<long(int fd)> call;
};

char scratch[1 << 16];

std::vector<Parked> parked_calls()
{
	auto fill_and = [](auto call) {
		return [call](int fd) {
			ssize_t n;
			do
				n = call(fd);
			while (n > 0);
			return static_cast<long>(n);
		};
	};
	char *buf = scratch;
	return {
		{"read pipe", Link::PIPE, false,
			[](int fd) {
				char b;
				return weft_read(fd, &b, 1);
			}},
		{"read socket", Link::UNIX, false,
			[](int fd) {
				char b;
				return weft_read(fd, &b, 1);
			}},
		{"recv unix", Link::UNIX, false,
			[](int fd) {
				char b;
				return weft_recv(fd, &b, 1, 0);
			}},
		{"recv tcp", Link::TCP4, false,
			[](int fd) {
				char b;
				return weft_recv(fd, &b, 1, 0);
			}},
		{"poll", Link::PIPE, false, [](int fd) { return weft_poll(fd, POLLIN); }},
		{"poll tcp", Link::TCP4, false, [](int fd) { return weft_poll(fd, POLLIN); }},
		{"write pipe", Link::PIPE, true,
			fill_and([buf](int fd) { return weft_write(fd, buf, sizeof(scratch)); })},
		{"send unix", Link::UNIX, true,
			fill_and([buf](int fd) { return weft_send(fd, buf, sizeof(scratch), 0); })},
		{"send tcp", Link::TCP4, true,
			fill_and([buf](int fd) { return weft_send(fd, buf, sizeof(scratch), 0); })},
	};
}

TEST_P(Close, WakesEveryParkedCall)
{
	run([] {
		for (const Parked &parked : parked_calls())
			for (bool nonblocking : {false, true}) {
				Pair pair = connect_pair(parked.link);
				int &fd = parked.on_out ? pair.out : pair.in;
				fd = lifted(fd);
				if (nonblocking)
					set_nonblocking(fd);
				std::atomic<long> first{0}, second{0};
				Fiber fiber([&] {
					first = parked.call(fd);
					second = parked.call(fd);
					EXPECT_EQ(0, weft_check()) << "closing is no cancellation";
				});
				/* A sender parks again and again while its peer's buffer fills. */
				EXPECT_TRUE(until_parked(1)) << parked.name;
				EXPECT_EQ(0, weft_sleep(2 * WEFT_MS));
				EXPECT_TRUE(until_parked(1)) << parked.name;
				weft_ns start = weft_now();
				EXPECT_EQ(0, weft_close(fd)) << parked.name;
				fiber.join();
				EXPECT_LT(weft_now() - start, SOON) << parked.name;
				/* A sender's call may end with what it had sent; its next one is the refused. */
				EXPECT_TRUE(first == -ECANCELED || (parked.on_out && first == -EBADF))
					<< parked.name << ": " << first;
				EXPECT_EQ(-EBADF, second) << parked.name;
				EXPECT_EQ(0, weft_close(parked.on_out ? pair.in : pair.out));
			}
	});
}

TEST_P(Close, WakesAcceptors)
{
	run([] {
		for (const char *address : {"127.0.0.1:0", "unix:"}) {
			std::string path = scratch_path("close-accept");
			std::string where = address;
			if (where == "unix:")
				where += path;
			int listener = weft_listen(where.c_str());
			ASSERT_GE(listener, 0);
			std::atomic<int> woken{0};
			Fibers acceptors;
			for (int i = 0; i < 8; i++)
				spawn_into(acceptors, [&] {
					EXPECT_EQ(-ECANCELED,
						weft_accept(listener, nullptr, nullptr, 0));
					woken++;
				});
			EXPECT_TRUE(until_parked(8));
			EXPECT_EQ(0, weft_close(listener));
			acceptors.clear();
			EXPECT_EQ(8, woken);
			unlink(path.c_str());
		}
	});
}

TEST_P(Close, WakesAHundredReadersAndPollers)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::atomic<int> woken{0};
		Fibers fibers;
		for (int i = 0; i < 100; i++)
			spawn_into(fibers, [&, i] {
				char byte;
				long n = i % 2 ? weft_recv(pair.in, &byte, 1, 0)
					       : weft_poll(pair.in, POLLIN);
				EXPECT_EQ(-ECANCELED, n);
				woken++;
			});
		EXPECT_TRUE(until_parked(100));
		EXPECT_EQ(0, weft_close(pair.in));
		EXPECT_EQ(0, weft_close(pair.out));
		fibers.clear();
		EXPECT_EQ(100, woken);
	});
}

TEST_P(Close, HappensWhateverIsInForceForTheCloser)
{
	run([] {
		for (int how = 0; how < 3; how++) {
			Pair pair = connect_pair(Link::PIPE);
			pair.in = lifted(pair.in);
			std::atomic<ssize_t> got{0};
			Fiber reader([&] {
				char byte;
				weft_shield(true); /* a shield keeps off cancellation, not a close */
				got = weft_read(pair.in, &byte, 1);
			});
			EXPECT_TRUE(until_parked(1));
			Fiber closer([&, how] {
				if (how == 0)
					weft_cancel(weft_self());
				if (how == 1)
					weft_deadline(weft_now() - 1);
				EXPECT_EQ(0, weft_close(pair.in));
			});
			if (how == 2)
				closer.cancel(); /* before, during or after its wait */
			closer.join();
			reader.join();
			EXPECT_EQ(-ECANCELED, got);
			EXPECT_EQ(-1, fcntl(pair.in, F_GETFD)) << "really closed";
			EXPECT_EQ(0, weft_close(pair.out));
		}
	});
}

TEST_P(Close, TwiceIsAnError)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		pair.in = lifted(pair.in);
		close_pair(pair);
		EXPECT_EQ(-EBADF, weft_close(pair.in));
		EXPECT_EQ(-EBADF, weft_close(-1));
		EXPECT_EQ(-EBADF, weft_close(INT_MIN));
		EXPECT_EQ(-EBADF, weft_close(19999));
		EXPECT_EQ(-EBADF, weft_close(INT_MAX));
	});
}

TEST_P(Close, OfTwoClosersOneWins)
{
	run([] {
		constexpr int ROUNDS = rounds(500, 100);
		for (int i = 0; i < ROUNDS; i++) {
			Pair pair = connect_pair(Link::PIPE);
			pair.in = lifted(pair.in);
			std::atomic<int> won{0}, lost{0};
			Fibers fibers;
			spawn_into(fibers, [&] {
				char byte;
				EXPECT_LT(weft_read(pair.in, &byte, 1), 0);
			});
			if (i % 2) {
				EXPECT_TRUE(until_parked(1));
			}
			for (int c = 0; c < 3; c++)
				spawn_into(fibers, [&] {
					int error = weft_close(pair.in);
					EXPECT_TRUE(error == 0 || error == -EBADF) << error;
					(error == 0 ? won : lost)++;
				});
			fibers.clear();
			EXPECT_EQ(1, won);
			EXPECT_EQ(2, lost);
			EXPECT_EQ(0, weft_close(pair.out));
		}
	});
}

/* Another number of the same open file is another descriptor. */
TEST_P(Close, LeavesADuplicateAlone)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		int twin = fcntl(pair.in, F_DUPFD_CLOEXEC, 0);
		ASSERT_GE(twin, 0);
		std::atomic<ssize_t> got{0};
		Fiber reader([&] {
			char byte;
			got = weft_read(pair.in, &byte, 1);
		});
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(0, weft_close(twin));
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		EXPECT_EQ(0, got);
		EXPECT_EQ(1, weft_write(pair.out, "x", 1));
		reader.join();
		EXPECT_EQ(1, got);
		close_pair(pair);
	});
}

/* Readers of the old pipe are still on their way out while the number already belongs to a new one. */
void reuse_number(int rounds_wanted, Link link, bool nonblocking)
{
	int reused = 0;
	for (int i = 0; i < rounds_wanted; i++) {
		Pair old = connect_pair(link);
		if (nonblocking)
			set_nonblocking(old.in);
		std::atomic<ssize_t> stolen{0};
		Fibers readers;
		for (int r = 0; r < 2; r++)
			spawn_into(readers, [&] {
				char byte;
				ssize_t n = weft_read(old.in, &byte, 1);
				EXPECT_EQ(-ECANCELED, n);
				stolen += n > 0;
			});
		EXPECT_TRUE(until_parked(2));
		EXPECT_EQ(0, weft_close(old.in));
		Pair fresh = connect_pair(link);
		reused += old.in == fresh.in; /* the lowest free number, unless weft's monitor looked into /proc meanwhile */
		char data[4] = "abc";
		EXPECT_EQ(3, write(fresh.out, data, 3));
		readers.clear();
		EXPECT_EQ(0, stolen);
		EXPECT_EQ(3, weft_read(fresh.in, data, 4));
		close_pair(fresh);
		EXPECT_EQ(0, weft_close(old.out));
	}
	EXPECT_GT(reused, rounds_wanted / 2);
}

TEST_P(Close, ReusedNumberNeverMeetsAnOldOperation)
{
	run([] {
		reuse_number(rounds(2000, 150), Link::PIPE, false);
		reuse_number(rounds(500, 50), Link::UNIX, false);
		reuse_number(rounds(500, 50), Link::UNIX, true);
	});
}

/* Closed under a reader with data under way: each byte was either read or is still in the pipe. */
TEST_P(Close, UnderTrafficEveryByteIsAccountedFor)
{
	run([] {
		constexpr int ROUNDS = rounds(1000, 100);
		for (int i = 0; i < ROUNDS; i++) {
			Pair pair = connect_pair(Link::PIPE);
			pair.in = lifted(pair.in);
			/* Keeps the file alive, so that what nobody read can be counted. */
			int twin = fcntl(pair.in, F_DUPFD_CLOEXEC, 0);
			std::atomic<ssize_t> received{0};
			Fiber reader([&] {
				char buf[16];
				ssize_t n;
				while ((n = weft_read(pair.in, buf, sizeof(buf))) > 0)
					received += n;
				EXPECT_TRUE(n == -ECANCELED || n == -EBADF) << n;
			});
			ssize_t sent = 0;
			for (int w = 0; w < 1 + i % 5; w++)
				sent += weft_write(pair.out, "0123456789", 10);
			/* Nobody opens anything before the join: the reader cannot meet another file. */
			EXPECT_EQ(0, weft_close(pair.in));
			reader.join();
			EXPECT_EQ(0, weft_close(pair.out));
			char rest[256];
			EXPECT_EQ(sent - received, weft_read_full(twin, rest, sizeof(rest)));
			EXPECT_EQ(0, weft_close(twin));
		}
	});
}

/* Reads of a file are only counted at its descriptor (C5 of fd.h): the last of them wakes the closer. Late ones find it closed. */
TEST_P(Close, WaitsForTheReadsOfAFile)
{
	run([] {
		std::string path = scratch_path("counted");
		unsigned char text[512];
		fill(text, sizeof(text), 0);
		int made = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		ASSERT_EQ(512, write(made, text, sizeof(text)));
		close(made);
		for (int round = 0; round < rounds(300, 60); round++) {
			int fd = lifted(open(path.c_str(), O_RDONLY | O_CLOEXEC));
			std::atomic<int> begun{0};
			Fibers readers;
			for (int r = 0; r < 8; r++)
				spawn_into(readers, [&] {
					unsigned char buf[512];
					begun++;
					ssize_t n = weft_pread(fd, buf, sizeof(buf), 0);
					EXPECT_TRUE(n == 512 || n == -EBADF) << n;
					EXPECT_TRUE(n != 512 || matches(buf, sizeof(buf), 0));
				});
			/* In some rounds before all have begun, in others while they wait for the tick. */
			while (begun < 8 - round % 8)
				weft_yield();
			EXPECT_EQ(0, weft_close(fd));
			readers.clear();
		}
		unlink(path.c_str());
	});
}

int file_with(const std::string &path, char letter)
{
	std::string text(64, letter);
	int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	EXPECT_EQ(64, pwrite(fd, text.data(), text.size(), 0));
	return fd;
}

uint64_t completions()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats.total.completions;
}

/* A read that one worker has taken but, being busy, not handed to the kernel: a close on the other waits for it, calls that come
 * meanwhile find the descriptor closing, and the number's next file is not what it reads. */
bool close_against_a_read_that_waits(const std::string &old_path, const std::string &new_path)
{
	int fd = file_with(old_path, 'o'), reused = -1, closed = 1;
	uint64_t before = completions();
	std::atomic<unsigned> reader_at{UINT_MAX}, spinner_at{UINT_MAX};
	std::atomic<bool> over{false};
	char got = 0;
	Fiber reader([&] {
		Fiber spinner([&] {
			spinner_at = weft_worker_index();
			weft_ns limit = weft_after(50 * WEFT_MS);
			while (!over && weft_now() < limit)
				;
		});
		reader_at = weft_worker_index();
		EXPECT_EQ(1, weft_pread(fd, &got, 1, 0));
	});
	while (spinner_at == UINT_MAX)
		weft_yield();
	bool met = spinner_at == reader_at && weft_worker_index() != reader_at;
	Fiber closer([&] {
		closed = weft_close(fd);
		reused = file_with(new_path, 'n');
		over = true;
	});
	for (int i = 0; i < 100 && !over; i++)
		weft_yield();
	met = met && !over;
	if (met) {
		char late;
		ssize_t n = weft_pread(fd, &late, 1, 0);
		/* Else the read may have ended meanwhile, and the number be another file's. */
		met = completions() == before;
		if (met) {
			EXPECT_EQ(-EBADF, n);
		}
	}
	reader.join();
	closer.join();
	EXPECT_EQ(0, closed);
	EXPECT_EQ('o', got);
	EXPECT_EQ(0, weft_close(reused));
	return met;
}

TEST(CloseCounted, WaitsForAReadThatABusyWorkerHolds)
{
	if (on_epoll())
		GTEST_SKIP() << "reads of files wait in no ring here";
	for (unsigned ring : {WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN})
		run(config_of({ring, 2}), [] {
			std::string old_path = scratch_path("held-old"),
				    new_path = scratch_path("held-new");
			int met = 0;
			for (int round = 0; round < 200 && met < 3; round++)
				met += close_against_a_read_that_waits(old_path, new_path);
			EXPECT_EQ(3, met) << "rounds in which the fibers stood as they should";
			unlink(old_path.c_str());
			unlink(new_path.c_str());
		});
}

} // namespace
