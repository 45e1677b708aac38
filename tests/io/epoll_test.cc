/* SPDX-License-Identifier: MIT */
/* epoll_test.cc - the epoll engine itself; that calls mean the same on it is for the other tests, with WEFT_ENGINE=epoll
 *
 * Law  an event means "try again": late ones, duplicated descriptors and reused numbers keep nobody waiting for what has come.
 * Law  those who wait for one thing at one descriptor are served in order, and nobody who comes later is served before.
 * Law  no call holds its worker, whatever mode its descriptor is in and whoever else uses it.
 * Law  where nothing is waited for, a tick makes no system call; where nothing can be done, a descriptor does not keep its worker busy.
 * Law  the engine works where the calls it likes best are refused.
 */
#include "tests/io/support.h"

#include <atomic>
#include <thread>

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

using namespace io_test;

namespace
{

weft_config on(unsigned workers)
{
	weft_config config = config_of({0, workers});
	config.engine = WEFT_ENGINE_EPOLL;
	return config;
}

class Epoll : public testing::TestWithParam<unsigned>
{
public:
	void run(Body body) const
	{
		io_test::run(on(GetParam()), std::move(body));
	}
};
INSTANTIATE_TEST_SUITE_P(Workers, Epoll, testing::Values(1u, 2u, 4u), testing::PrintToStringParamName());

weft_stats stats_now()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats;
}

/* Until so many fibers are parked in operations, and these have been tried: a worker does that before it sleeps. */
bool until_waiting(uint64_t count)
{
	return until_parked(count) && weft_sleep(WEFT_MS) == 0;
}

TEST(EpollTick, NothingIsAskedWhereNobodyWaits)
{
	run(on(1), [] {
		uint64_t before = stats_now().total.enters;
		for (int i = 0; i < 1000; i++)
			weft_yield();
		EXPECT_EQ(before, stats_now().total.enters);
	});
}

TEST_P(Epoll, OneDescriptorServesFibersOfAllWorkers)
{
	run([] {
		constexpr int READERS = rounds(500, 100);
		for (bool sockets : {false, true}) {
			Pair pair = sockets ? connect_pair(Link::UNIX) : connect_pair(Link::PIPE);
			std::atomic<int> got{0};
			Fibers readers;
			for (int i = 0; i < READERS; i++)
				spawn_into(readers, [&, i] {
					char byte;
					ssize_t n = i % 2 && sockets ? weft_recv(pair.in, &byte, 1, 0)
								     : weft_read(pair.in, &byte, 1);
					got += n == 1;
				});
			EXPECT_TRUE(until_waiting(READERS));
			for (int i = 0; i < READERS; i++)
				EXPECT_EQ(1, weft_write(pair.out, "x", 1));
			readers.clear();
			EXPECT_EQ(READERS, got);
			close_pair(pair);
		}
	});
}

TEST_P(Epoll, BothDirectionsAndPollsAtOnce)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		static char block[1 << 16];
		while (weft_send(pair.in, block, sizeof(block), MSG_DONTWAIT) > 0)
			;
		std::atomic<int> done{0};
		Fiber reader([&] {
			char byte;
			EXPECT_EQ(1, weft_recv(pair.in, &byte, 1, 0));
			done++;
		});
		Fiber writer([&] {
			EXPECT_EQ(1, weft_write(pair.in, "y", 1));
			done++;
		});
		Fiber readable([&] {
			EXPECT_EQ(POLLIN, weft_poll(pair.in, POLLIN));
			done++;
		});
		Fiber writable([&] {
			EXPECT_EQ(POLLOUT, weft_poll(pair.in, POLLOUT));
			done++;
		});
		EXPECT_TRUE(until_waiting(4));
		EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0));
		EXPECT_TRUE(until([&] { return done >= 1; }));
		while (weft_recv(pair.out, block, sizeof(block), MSG_DONTWAIT) > 0)
			;
		writer.join();
		writable.join();
		EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0)); /* the poll may have come behind the reader */
		reader.join();
		readable.join();
		EXPECT_EQ(4, done);
		close_pair(pair);
	});
}

TEST(EpollOrder, TheFirstToWaitIsServedFirst)
{
	run(on(1), [] {
		Pair pair = connect_pair(Link::PIPE);
		constexpr int READERS = 20;
		std::atomic<int> served{0};
		std::atomic<int> place[READERS];
		Fibers readers;
		for (int i = 0; i < READERS; i++) {
			spawn_into(readers, [&, i] {
				char byte;
				EXPECT_EQ(1, weft_read(pair.in, &byte, 1));
				place[i] = served++;
			});
			EXPECT_TRUE(until_waiting(static_cast<uint64_t>(i) + 1));
		}
		std::string all(READERS, 'x');
		EXPECT_EQ(READERS, weft_write(pair.out, all.data(), all.size()));
		readers.clear();
		for (int i = 0; i < READERS; i++)
			EXPECT_EQ(i, place[i]);
		close_pair(pair);
	});
}

/* One byte is there when a new reader comes while another has waited for long: it belongs to the other. */
TEST(EpollOrder, WhoComesLaterDoesNotOvertake)
{
	run(on(1), [] {
		Pair pair = connect_pair(Link::UNIX);
		for (int round = 0; round < 50; round++) {
			std::atomic<int> served{0};
			std::atomic<char> first{0};
			Fiber waits([&] {
				char byte = 0;
				EXPECT_EQ(1, weft_recv(pair.in, &byte, 1, 0));
				first = byte;
				served++;
			});
			EXPECT_TRUE(until_waiting(1));
			Fiber helper([&] {
				EXPECT_TRUE(until([&] { return served > 0; }));
				EXPECT_EQ(1, write(pair.out, "b", 1));
			});
			EXPECT_EQ(1, write(pair.out, "a", 1));
			char byte = 0;
			EXPECT_EQ(1, weft_recv(pair.in, &byte, 1, 0)); /* before anybody has looked for events */
			EXPECT_EQ('b', byte);
			served++;
			waits.join();
			helper.join();
			EXPECT_EQ('a', first);
		}
		close_pair(pair);
	});
}

TEST_P(Epoll, ReusedNumbersAreWaitedForAnew)
{
	run([] {
		for (int i = 0; i < rounds(200, 40); i++) {
			Pair old = connect_pair(Link::PIPE);
			old.in = lifted(old.in); /* nobody else has the number when dup3 takes it */
			Fiber parked([&] {
				char byte;
				EXPECT_EQ(-ECANCELED, weft_read(old.in, &byte, 1));
			});
			EXPECT_TRUE(until_waiting(1));
			EXPECT_EQ(0, parked.cancel());
			parked.join();
			int kept = i % 2 ? dup(old.in)
					 : -1; /* the old file lives on, and says what it is asked */
			EXPECT_EQ(0, close(old.in));
			Pair fresh = connect_pair(Link::UNIX);
			EXPECT_EQ(old.in, dup3(fresh.in, old.in, O_CLOEXEC));
			EXPECT_EQ(0, close(fresh.in));
			std::atomic<ssize_t> got{0};
			Fiber reader([&] {
				char byte;
				got = weft_read(old.in, &byte, 1);
			});
			EXPECT_TRUE(until_waiting(1));
			if (kept >= 0) {
				EXPECT_EQ(1, weft_write(old.out, "o", 1));
			}
			EXPECT_EQ(1, weft_write(fresh.out, "f", 1));
			reader.join();
			EXPECT_EQ(1, got);
			for (int fd : {old.in, old.out, fresh.out, kept})
				if (fd >= 0) {
					EXPECT_EQ(0, close(fd));
				}
		}
	});
}

TEST_P(Epoll, TwoNumbersOfOneFile)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		int twin = dup(pair.in);
		std::atomic<int> got{0};
		for (int closed : {0, 1}) {
			int numbers[] = {pair.in, twin};
			Fibers readers;
			for (int i = closed; i < 2; i++)
				spawn_into(readers, [&, i] {
					char byte;
					got += weft_read(numbers[i], &byte, 1) == 1;
				});
			EXPECT_TRUE(until_waiting(static_cast<uint64_t>(2 - closed)));
			for (int i = closed; i < 2; i++)
				EXPECT_EQ(1, weft_write(pair.out, "x", 1));
			readers.clear();
			if (!closed) {
				EXPECT_EQ(0, weft_close(pair.in));
			}
		}
		EXPECT_EQ(3, got);
		EXPECT_EQ(0, weft_close(twin));
		EXPECT_EQ(0, weft_close(pair.out));
	});
}

/* By recv and by recvmsg in two pieces. */
ssize_t receive_all(int fd, char *buf, size_t len, bool message)
{
	if (!message)
		return weft_recv(fd, buf, len, MSG_WAITALL);
	iovec parts[] = {{buf, len / 3}, {buf + len / 3, len - len / 3}};
	msghdr header{};
	header.msg_iov = parts;
	header.msg_iovlen = 2;
	return weft_recvmsg(fd, &header, MSG_WAITALL);
}

/* What comes while a receiver has the socket is neither queued yet nor acknowledged. */
bool is_drained(Pair pair)
{
	int sent, queued;
	return !ioctl(pair.out, TIOCOUTQ, &sent) && !ioctl(pair.in, FIONREAD, &queued) &&
		!(sent | queued);
}

TEST_P(Epoll, AllOfALengthIsWaitedFor)
{
	for (bool message : {false, true})
		run([message] {
			Pair pair = connect_pair(Link::TCP4);
			for (int end : {0, 1, 2}) { /* it all comes; it is cancelled; the other side ends */
				char got[9] = {};
				std::atomic<ssize_t> n{0};
				Fiber reader(
					[&] { n = receive_all(pair.in, got, sizeof(got), message); });
				for (const char *piece : {"ab", "cde"}) {
					EXPECT_TRUE(until_waiting(1));
					EXPECT_EQ(static_cast<ssize_t>(strlen(piece)),
						weft_send(pair.out, piece, strlen(piece), 0));
				}
				EXPECT_TRUE(until([&] { return is_drained(pair); }));
				if (end == 0) {
					EXPECT_EQ(4, weft_send(pair.out, "fghi", 4, 0));
				} else if (end == 1) {
					EXPECT_EQ(0, reader.cancel());
				} else {
					EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
				}
				reader.join();
				EXPECT_EQ(end == 0 ? 9 : 5, n);
				EXPECT_EQ(std::string(end == 0 ? "abcdefghi" : "abcde"),
					std::string(got, static_cast<size_t>(n)));
			}
			close_pair(pair);
		});
}

/* As with recv(2): what is there is returned, and the error stays for the next call. */
TEST_P(Epoll, AResetBehindAPartIsFoundByTheNextCall)
{
	for (bool message : {false, true})
		run([message] {
			Pair pair = connect_pair(Link::TCP4);
			char got[9] = {};
			std::atomic<ssize_t> n{0};
			std::atomic<ssize_t> next{0};
			Fiber reader([&] {
				n = receive_all(pair.in, got, sizeof(got), message);
				next = weft_recv(pair.in, got, 1, 0);
			});
			EXPECT_TRUE(until_waiting(1));
			EXPECT_EQ(5, weft_send(pair.out, "abcde", 5, 0));
			EXPECT_TRUE(until([&] { return is_drained(pair); }));
			linger at_once = {1, 0};
			EXPECT_EQ(0,
				setsockopt(pair.out, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
			EXPECT_EQ(0, weft_close(pair.out));
			reader.join();
			EXPECT_EQ(5, n);
			EXPECT_EQ(-ECONNRESET, next);
			EXPECT_EQ(0, weft_close(pair.in));
		});
}

/* A plain thread reads the same pipe in blocking mode, and takes what was announced to both. */
TEST(EpollBlocking, AnotherReaderOfABlockingPipeHoldsNobody)
{
	run(on(1), [] {
		Pair pair = connect_pair(Link::PIPE);
		constexpr int BYTES = rounds(2000, 300);
		std::atomic<int> taken{0};
		std::atomic<int> runs{0};
		std::atomic<bool> over{false};
		std::thread rival([&] {
			char byte;
			while (read(pair.in, &byte, 1) == 1)
				taken++;
		});
		Fiber runner([&] {
			while (!over) {
				runs++;
				weft_sleep(100 * WEFT_US);
			}
		});
		Fibers readers;
		for (int i = 0; i < 2; i++)
			spawn_into(readers, [&] {
				char byte;
				while (weft_read(pair.in, &byte, 1) == 1)
					taken++;
			});
		for (int i = 0; i < BYTES; i++) {
			EXPECT_EQ(1, weft_write(pair.out, "x", 1));
			EXPECT_TRUE(until([&] { return taken == i + 1; })) << i;
		}
		int before = runs;
		EXPECT_TRUE(until([&] { return runs > before + 3; }));
		EXPECT_EQ(0, close(pair.out));
		readers.clear();
		over = true;
		rival.join();
		runner.join();
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

TEST_P(Epoll, Terminals)
{
	for (bool nonblocking : {false, true})
		run([nonblocking] {
			int master = -1, slave = -1;
			ASSERT_EQ(0, openpty(&master, &slave, nullptr, nullptr, nullptr));
			if (nonblocking)
				set_nonblocking(slave);
			std::atomic<ssize_t> got{0};
			char line[32] = {};
			Fiber reader([&] { got = weft_read(slave, line, sizeof(line)); });
			EXPECT_TRUE(until_waiting(1));
			EXPECT_EQ(2, weft_write(master, "ab", 2));
			EXPECT_EQ(1, weft_write(master, "\n", 1));
			reader.join();
			EXPECT_EQ(3, got);
			EXPECT_STREQ("ab\n", line);
			EXPECT_EQ(0, weft_close(slave));
			EXPECT_EQ(0, weft_close(master));
		});
}

TEST_P(Epoll, TimersEventsAndTheNullDevice)
{
	run([] {
		for (int mode : {0, static_cast<int>(TFD_NONBLOCK)}) {
			int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | mode);
			itimerspec soon = {{0, 0}, {0, 5000000}};
			uint64_t count = 0;
			EXPECT_EQ(0, timerfd_settime(timer, 0, &soon, nullptr));
			EXPECT_EQ(static_cast<ssize_t>(sizeof(count)),
				weft_read(timer, &count, sizeof(count)));
			EXPECT_EQ(1u, count);
			EXPECT_EQ(0, weft_close(timer));
		}
		int event = eventfd(0, EFD_CLOEXEC);
		Fiber reader([&] {
			uint64_t value = 0;
			EXPECT_EQ(static_cast<ssize_t>(sizeof(value)),
				weft_read(event, &value, sizeof(value)));
			EXPECT_EQ(7u, value);
		});
		EXPECT_TRUE(until_waiting(1));
		uint64_t seven = 7;
		EXPECT_EQ(static_cast<ssize_t>(sizeof(seven)), weft_write(event, &seven, sizeof(seven)));
		reader.join();
		EXPECT_EQ(0, weft_close(event));
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		char byte;
		EXPECT_EQ(0, weft_read(null, &byte, 1));
		EXPECT_EQ(1, weft_write(null, "x", 1));
		EXPECT_EQ(POLLIN | POLLOUT, weft_poll(null, POLLIN | POLLOUT));
		EXPECT_EQ(-ENOTSOCK, weft_recv(null, &byte, 1, 0));
		EXPECT_EQ(0, weft_close(null));
	});
}

/* The kernel's wait for the last bytes of a socket that lingers. */
TEST(EpollBlocking, ALingeringCloseHoldsNobody)
{
	run(on(1), [] {
		Pair pair = connect_pair(Link::TCP4);
		linger long_time = {1, 30};
		static char block[1 << 16];
		EXPECT_EQ(0, setsockopt(pair.out, SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)));
		while (weft_send(pair.out, block, sizeof(block), MSG_DONTWAIT) > 0)
			;
		std::atomic<bool> closed{false};
		Fiber closer([&] {
			EXPECT_EQ(0, weft_close(pair.out));
			closed = true;
		});
		int runs = 0;
		while (!closed && runs < 5) {
			EXPECT_EQ(0, weft_sleep(10 * WEFT_MS));
			runs++;
		}
		EXPECT_EQ(5, runs) << "others run while it is closed";
		while (weft_recv(pair.in, block, sizeof(block), 0) > 0)
			;
		closer.join();
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

/* The one who accepts needs the pool for a file, of which those who connect must not have all threads. */
TEST_P(Epoll, AFullBacklogTakesNoThreads)
{
	std::string path = scratch_path("backlog");
	std::string file = scratch_path("backlog-file");
	weft_config config = on(GetParam());
	config.offload_threads = 2;
	io_test::run(config, [&] {
		sockaddr_un name{};
		name.sun_family = AF_UNIX;
		strcpy(name.sun_path, path.c_str());
		int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ASSERT_EQ(0, bind(listener, reinterpret_cast<sockaddr *>(&name), sizeof(name)));
		ASSERT_EQ(0, listen(listener, 1));
		constexpr int CLIENTS = 12;
		std::atomic<int> begun{0};
		Fibers clients;
		for (int i = 0; i < CLIENTS; i++)
			spawn_into(clients, [&] {
				int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
				begun++;
				EXPECT_EQ(0,
					weft_connect(fd, reinterpret_cast<sockaddr *>(&name),
						sizeof(name)));
				EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
				EXPECT_EQ(0, weft_close(fd));
			});
		EXPECT_TRUE(until([&] { return begun == CLIENTS; }));
		EXPECT_EQ(0, weft_sleep(20 * WEFT_MS));
		for (int i = 0; i < CLIENTS; i++) {
			weft_deadline(weft_after(PATIENCE));
			int log = weft_openat(
				AT_FDCWD, file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
			EXPECT_GE(log, 0);
			EXPECT_EQ(1, weft_write(log, "x", 1));
			EXPECT_EQ(0, weft_close(log));
			int fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			EXPECT_GE(fd, 0);
			EXPECT_EQ(0, weft_close(fd));
			weft_deadline(WEFT_FOREVER);
		}
		clients.clear();
		EXPECT_EQ(0, weft_close(listener));
	});
	unlink(path.c_str());
	unlink(file.c_str());
}

/* Its socket is "ready" for as long as nobody fetches the message, and a receive finds nothing. */
TEST(EpollIdle, AnUnreadErrorDoesNotKeepTheWorkerBusy)
{
	run(on(1), [] {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		sockaddr_in self{};
		socklen_t size = sizeof(self);
		self.sin_family = AF_INET;
		self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr *>(&self), sizeof(self)));
		ASSERT_EQ(0, getsockname(fd, reinterpret_cast<sockaddr *>(&self), &size));
		int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
		ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)));
		ASSERT_EQ(1, sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr *>(&self), size));
		char byte;
		EXPECT_EQ(1, weft_recv(fd, &byte, 1, 0));
		pollfd one = {fd, 0, 0};
		if (poll(&one, 1, 0) != 1)
			GTEST_SKIP() << "this kernel stamps no datagrams on the loopback";
		std::atomic<ssize_t> got{0};
		Fiber reader([&] { got = weft_recv(fd, &byte, 1, 0); });
		EXPECT_TRUE(until_waiting(1));
		uint64_t before = stats_now().total.enters;
		EXPECT_EQ(0, weft_sleep(100 * WEFT_MS));
		EXPECT_LT(stats_now().total.enters - before, 1000u);
		ASSERT_EQ(1, sendto(fd, "y", 1, 0, reinterpret_cast<sockaddr *>(&self), size));
		reader.join();
		EXPECT_EQ(1, got);
		EXPECT_EQ('y', byte);
		EXPECT_EQ(0, weft_close(fd));
	});
}

TEST(EpollIdle, IdleConnectionsCostNothingWhileOthersTalk)
{
	constexpr int IDLE = rounds(
		9500, 1000); /* two descriptors each, of the 20,000 that a process often may have */
	rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 2 * IDLE + 100)
		GTEST_SKIP() << "too few descriptors";
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &limit);
	weft_config config = on(1);
	config.stack_size = 64 * 1024;
	run(config, [] {
		std::vector<Pair> pairs;
		Fibers idle;
		for (int i = 0; i < IDLE; i++) {
			pairs.push_back(connect_pair(Link::UNIX));
			spawn_into(idle, [fd = pairs.back().in] {
				char byte;
				weft_recv(fd, &byte, 1, 0);
			});
		}
		EXPECT_TRUE(until_waiting(IDLE));
		Pair pair = connect_pair(Link::UNIX);
		constexpr int MESSAGES = 1000;
		uint64_t before = stats_now().total.enters;
		Fiber echo([&] {
			char byte;
			while (weft_recv(pair.in, &byte, 1, 0) == 1)
				weft_send(pair.in, &byte, 1, 0);
		});
		for (int i = 0; i < MESSAGES; i++) {
			char byte;
			EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0));
			EXPECT_EQ(1, weft_recv(pair.out, &byte, 1, 0));
		}
		EXPECT_LT(stats_now().total.enters - before, 8u * MESSAGES);
		EXPECT_EQ(0, weft_close(pair.out));
		echo.join();
		EXPECT_EQ(0, weft_close(pair.in));
		for (const Pair &one : pairs)
			EXPECT_EQ(0, close(one.out)); /* each finds its end */
		idle.clear();
		for (const Pair &one : pairs)
			EXPECT_EQ(0, close(one.in));
	});
}

/* From now on these system calls fail with this error in this process. */
void refuse(std::vector<long> calls, int error)
{
	std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
	for (long call : calls) {
		filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
		filter.push_back(
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
	}
	filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(77);
}

/* Waits, wakes, transfers: 0 when all is right, else which step is not. */
int talk(bool pool_is_needed)
{
	int wrong = 0;
	run(on(2), [&] {
		for (int sockets : {1, 0}) {
			Pair pair = sockets ? connect_pair(Link::UNIX) : connect_pair(Link::PIPE);
			std::atomic<int> got{0};
			Fiber reader([&] {
				char byte;
				while (weft_read(pair.in, &byte, 1) == 1)
					got++;
			});
			for (int i = 0; i < 20 && wrong == 0; i++) {
				if (weft_write(pair.out, "x", 1) != 1)
					wrong = 1;
				if (!until([&] { return got == i + 1; }))
					wrong = 2;
			}
			weft_ns before = weft_now();
			if (weft_sleep(5 * WEFT_MS) != 0 || weft_now() - before < 5 * WEFT_MS)
				wrong = 3;
			if (!pool_is_needed && stats_now().offload_jobs != 0)
				wrong = 4;
			weft_close(pair.out);
			reader.join();
			weft_close(pair.in);
			if (sockets && stats_now().offload_jobs != 0)
				wrong = 5;
		}
	});
	return wrong;
}

class EpollWithout : public testing::Test
{
public:
	void SetUp() override
	{
		testing::FLAGS_gtest_death_test_style = "threadsafe";
	}
};

/* Filters of container runtimes that are older than the call. */
TEST_F(EpollWithout, TheWaitWithNanoseconds)
{
	for (int error : {EPERM, ENOSYS})
		EXPECT_EXIT(
			{
				alarm(60);
				refuse({SYS_epoll_pwait2}, error);
				_exit(talk(false));
			},
			testing::ExitedWithCode(0), "");
}

/* Before Linux 6.4 neither sockets nor pipes know it. Sockets need no thread of the pool all the same. */
TEST_F(EpollWithout, TransfersThatDoNotWait)
{
	for (int error : {EOPNOTSUPP, ENOSYS})
		EXPECT_EXIT(
			{
				alarm(60);
				refuse({SYS_preadv2, SYS_pwritev2}, error);
				_exit(talk(true));
			},
			testing::ExitedWithCode(0), "");
}

/* A close that belongs to the pool closes where no thread can be made, too. */
TEST_F(EpollWithout, AThreadForAClose)
{
	EXPECT_EXIT(
		{
			alarm(60);
			bool right = false;
			run(on(1), [&] {
				int fd = dup2(open("/dev/null", O_RDWR | O_CLOEXEC), HIGH_NUMBER);
				refuse({SYS_clone, SYS_clone3}, EAGAIN); /* of this worker's thread */
				right = fd >= 0 && weft_close(fd) == 0 && fcntl(fd, F_GETFD) < 0;
			});
			_exit(right ? 0 : 1);
		},
		testing::ExitedWithCode(0), "");
}

} // namespace
