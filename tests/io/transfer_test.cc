/* SPDX-License-Identifier: MIT */
/* transfer_test.cc - bytes through files, pipes and sockets
 *
 * Law  what is written is what is read: nothing lost, doubled or mixed, on every kind of descriptor, set
 *      O_NONBLOCK or not.
 * Law  end of file, half close, reset and broken pipe are what POSIX says, and none raises SIGPIPE.
 * Law  the *_full calls move all, or say how much; the MSG_* flags mean what they mean to recv(2).
 */
#include "tests/io/support.h"

#include <atomic>
#include <climits>
#include <csignal>

#include <poll.h>
#include <sys/stat.h>

using namespace io_test;

namespace
{

class Transfer : public Rings
{
};
IN_EVERY_SETUP(Transfer);

constexpr size_t MEGABYTES = rounds(4, 1) * (size_t{1} << 20);

/* Writes `total` bytes of the pattern in pieces that straddle every buffer size, then closes. */
void write_pattern(int fd, size_t total)
{
	std::vector<unsigned char> buf(100003);
	for (size_t done = 0; done < total;) {
		size_t len = std::min(buf.size() - done % 997, total - done);
		fill(buf.data(), len, done);
		ssize_t n = weft_write_full(fd, buf.data(), len);
		ASSERT_EQ(static_cast<ssize_t>(len), n);
		done += len;
	}
	EXPECT_EQ(0, weft_close(fd));
}

/* Reads to the end of the file; true when it was the pattern. */
size_t read_pattern(int fd)
{
	std::vector<unsigned char> buf(65537);
	size_t done = 0;
	for (;;) {
		ssize_t n = weft_read(fd, buf.data(), buf.size() - done % 1009);
		EXPECT_GE(n, 0);
		if (n <= 0)
			break;
		EXPECT_TRUE(matches(buf.data(), static_cast<size_t>(n), done));
		done += static_cast<size_t>(n);
	}
	EXPECT_EQ(0, weft_close(fd));
	return done;
}

TEST_P(Transfer, FileRoundTrip)
{
	run([] {
		std::string path = scratch_path("file");
		int fd = weft_openat(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		ASSERT_GE(fd, 0);
		struct stat st;
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(0600u, st.st_mode & 0777);
		std::vector<unsigned char> data(MEGABYTES), back(MEGABYTES + 1);
		fill(data.data(), data.size(), 0);
		ASSERT_EQ(static_cast<ssize_t>(MEGABYTES), weft_write_full(fd, data.data(), MEGABYTES));
		EXPECT_EQ(0, weft_read(fd, back.data(), 1)) << "the position is behind what was written";
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		EXPECT_EQ(static_cast<ssize_t>(MEGABYTES), weft_read_full(fd, back.data(), back.size()))
			<< "short: end of file";
		EXPECT_TRUE(matches(back.data(), MEGABYTES, 0));
		EXPECT_EQ(0, weft_read_full(fd, back.data(), 1));
		EXPECT_EQ(0, weft_close(fd));
		EXPECT_EQ(-EEXIST, weft_openat(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
		unlink(path.c_str());
	});
}

TEST_P(Transfer, OpenRelativeToAFolder)
{
	run([] {
		std::string path = scratch_path("folder");
		ASSERT_EQ(0, mkdir(path.c_str(), 0700));
		int folder = weft_openat(AT_FDCWD, path.c_str(), O_DIRECTORY | O_CLOEXEC, 0);
		ASSERT_GE(folder, 0);
		int made = weft_openat(folder, "inside", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		EXPECT_GE(made, 0);
		EXPECT_NE(0, fcntl(made, F_GETFD) & FD_CLOEXEC);
		EXPECT_EQ(0, access((path + "/inside").c_str(), F_OK));
		EXPECT_EQ(-ENOENT, weft_openat(folder, "missing", O_RDONLY, 0));
		EXPECT_EQ(0, weft_close(made));
		EXPECT_EQ(0, weft_close(folder));
		unlink((path + "/inside").c_str());
		rmdir(path.c_str());
	});
}

TEST_P(Transfer, MegabytesThroughEveryLink)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			Fiber writer([=] { write_pattern(pair.out, MEGABYTES); });
			EXPECT_EQ(MEGABYTES, read_pattern(pair.in)) << link_name(link);
		}
	});
}

TEST_P(Transfer, NonblockingDescriptorsParkAllTheSame)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			set_nonblocking(pair.in);
			set_nonblocking(pair.out);
			std::atomic<size_t> got{0};
			Fiber reader([&] { got = read_pattern(pair.in); });
			EXPECT_TRUE(until_parked(1)) << link_name(link);
			write_pattern(pair.out, MEGABYTES);
			reader.join();
			EXPECT_EQ(MEGABYTES, got) << link_name(link);
		}
	});
}

TEST_P(Transfer, SendAndReceiveWithSmallKernelBuffers)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			int small = 4096;
			setsockopt(pair.out, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
			std::vector<unsigned char> data(256 * 1024);
			fill(data.data(), data.size(), 0);
			Fiber sender([&] {
				ssize_t n = weft_send_full(pair.out, data.data(), data.size(), 0);
				EXPECT_EQ(static_cast<ssize_t>(data.size()), n);
			});
			std::vector<unsigned char> back(data.size());
			size_t done = 0;
			while (done < back.size()) {
				ssize_t n =
					weft_recv(pair.in, back.data() + done, back.size() - done, 0);
				ASSERT_GT(n, 0) << link_name(link);
				done += static_cast<size_t>(n);
			}
			EXPECT_TRUE(matches(back.data(), back.size(), 0));
			sender.join();
			close_pair(pair);
		}
	});
}

/* Readers and writers of one pipe share it as threads would: each byte arrives once. */
TEST_P(Transfer, ManyFibersOnOneDescriptor)
{
	run([] {
		constexpr int FIBERS = 8, EACH = rounds(2000, 300);
		Pair pair = connect_pair(Link::PIPE);
		std::atomic<uint64_t> sent{0}, got{0}, count{0};
		Fibers writers, readers;
		for (int f = 0; f < FIBERS; f++)
			spawn_into(readers, [&] {
				uint32_t word;
				while (weft_read(pair.in, &word, sizeof(word)) == sizeof(word)) {
					got += word;
					count++;
				}
			});
		for (int f = 0; f < FIBERS; f++)
			spawn_into(writers, [&, f] {
				for (int i = 0; i < EACH; i++) {
					uint32_t word = static_cast<uint32_t>(f * EACH + i);
					sent += word;
					EXPECT_EQ(static_cast<ssize_t>(sizeof(word)),
						weft_write(pair.out, &word, sizeof(word)));
				}
			});
		writers.clear();
		EXPECT_EQ(0, weft_close(pair.out));
		readers.clear();
		EXPECT_EQ(sent, got);
		EXPECT_EQ(static_cast<uint64_t>(FIBERS * EACH), count);
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

TEST_P(Transfer, HalfCloseIsEndOfFileAndTheOtherWayGoesOn)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			std::atomic<ssize_t> got{-1};
			Fiber reader([&] {
				char byte;
				got = weft_recv(pair.in, &byte, 1, 0);
			});
			EXPECT_TRUE(until_parked(1));
			EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
			reader.join();
			EXPECT_EQ(0, got) << link_name(link);
			char byte = 'x';
			EXPECT_EQ(-EPIPE, weft_send(pair.out, "y", 1, 0));
			EXPECT_EQ(1, weft_send(pair.in, &byte, 1, 0));
			byte = 0;
			EXPECT_EQ(1, weft_recv(pair.out, &byte, 1, 0));
			EXPECT_EQ('x', byte);
			close_pair(pair);
		}
	});
}

TEST_P(Transfer, ShutdownWakesTheParked)
{
	run([] {
		Pair pair = connect_pair(Link::TCP4);
		std::vector<char> block(1 << 20);
		while (weft_send(pair.in, block.data(), block.size(), MSG_DONTWAIT) > 0)
			;
		std::atomic<ssize_t> received{-1}, sent{-1};
		Fiber receiver([&] {
			char byte;
			received = weft_recv(pair.in, &byte, 1, 0);
		});
		Fiber sender([&] {
			ssize_t n;
			while ((n = weft_send(pair.in, block.data(), block.size(), 0)) > 0)
				;
			sent = n;
		});
		EXPECT_TRUE(until_parked(2));
		EXPECT_EQ(0, weft_shutdown(pair.in, SHUT_RDWR));
		receiver.join();
		sender.join();
		EXPECT_EQ(0, received);
		EXPECT_EQ(-EPIPE, sent);
		close_pair(pair);
	});
}

TEST_P(Transfer, ResetReachesTheParkedReader)
{
	signal(SIGPIPE, SIG_DFL);
	run([] {
		Pair pair = connect_pair(Link::TCP4);
		std::atomic<ssize_t> got{0};
		Fiber reader([&] {
			char byte;
			got = weft_recv(pair.in, &byte, 1, 0);
		});
		EXPECT_TRUE(until_parked(1));
		linger hard{1, 0};
		ASSERT_EQ(0, setsockopt(pair.out, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
		EXPECT_EQ(0, weft_close(pair.out));
		reader.join();
		EXPECT_EQ(-ECONNRESET, got);
		EXPECT_EQ(-EPIPE, weft_send(pair.in, "x", 1, 0)) << "and the process lives";
		EXPECT_EQ(-EPIPE, weft_write(pair.in, "x", 1));
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

TEST_P(Transfer, BrokenPipeIsAnErrorNotASignal)
{
	signal(SIGPIPE, SIG_DFL);
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			EXPECT_EQ(0, weft_close(pair.in));
			ssize_t n = 0;
			std::vector<char> block(1 << 16);
			/* TCP learns of it only from the answer to the first bytes. */
			EXPECT_TRUE(until([&] {
				n = weft_write(pair.out, block.data(), block.size());
				return n < 0;
			}));
			EXPECT_TRUE(n == -EPIPE || (n == -ECONNRESET && link >= Link::TCP4))
				<< link_name(link) << ": " << n;
			EXPECT_EQ(-EPIPE, weft_write(pair.out, "x", 1)) << link_name(link);
			EXPECT_EQ(0, weft_close(pair.out));
		}
	});
}

/* A writer already parked on a full pipe learns that its reader has gone. */
TEST_P(Transfer, ParkedWriterLearnsThatItsReaderIsGone)
{
	signal(SIGPIPE, SIG_DFL);
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		constexpr size_t MORE_THAN_FITS = 1 << 20;
		std::atomic<ssize_t> written{0}, then{0};
		Fiber writer([&] {
			std::vector<char> data(MORE_THAN_FITS);
			written = weft_write_full(pair.out, data.data(), data.size());
			then = weft_write_full(pair.out, data.data(), data.size());
		});
		EXPECT_TRUE(until_parked(1));
		char byte;
		EXPECT_EQ(1, weft_read(pair.in, &byte, 1));
		EXPECT_EQ(0, weft_close(pair.in));
		writer.join();
		EXPECT_GT(written, 0) << "what had been taken is told";
		EXPECT_LT(written, static_cast<ssize_t>(MORE_THAN_FITS));
		EXPECT_EQ(-EPIPE, then) << "and the error stays to be seen";
		EXPECT_EQ(0, weft_close(pair.out));
	});
}

TEST_P(Transfer, ReadFullEndsShortAtTheEndOfTheFile)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			Fiber writer([&] {
				for (int i = 0; i < 5; i++) {
					EXPECT_EQ(3, weft_write_full(pair.out, "abc", 3));
					weft_yield();
				}
				EXPECT_EQ(0, weft_close(pair.out));
			});
			char buf[32];
			EXPECT_EQ(10, weft_read_full(pair.in, buf, 10)) << link_name(link);
			EXPECT_EQ(5, weft_read_full(pair.in, buf, 10)) << link_name(link);
			EXPECT_EQ(0, weft_read_full(pair.in, buf, 10)) << link_name(link);
			writer.join();
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

TEST_P(Transfer, DontwaitIsHonoured)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			std::vector<char> block(1 << 16);
			EXPECT_EQ(-EAGAIN, weft_recv(pair.in, block.data(), 1, MSG_DONTWAIT));
			ssize_t n;
			size_t sent = 0;
			while ((n = weft_send(pair.out, block.data(), block.size(), MSG_DONTWAIT)) > 0)
				sent += static_cast<size_t>(n);
			EXPECT_EQ(-EAGAIN, n) << link_name(link);
			EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
			size_t got = 0;
			while ((n = weft_recv(pair.in, block.data(), block.size(), 0)) > 0)
				got += static_cast<size_t>(n);
			EXPECT_EQ(sent, got) << link_name(link);
			close_pair(pair);
		}
	});
}

TEST_P(Transfer, PeekLeavesAndWaitallWaits)
{
	run([] {
		for (Link link : EVERY_SOCKET) {
			Pair pair = connect_pair(link);
			char buf[16] = {};
			EXPECT_EQ(3, weft_send(pair.out, "abc", 3, 0));
			EXPECT_EQ(3, weft_recv(pair.in, buf, sizeof(buf), MSG_PEEK));
			EXPECT_EQ(3, weft_recv(pair.in, buf, sizeof(buf), 0)) << "still there";
			EXPECT_EQ(0, memcmp(buf, "abc", 3));

			std::atomic<ssize_t> got{-1};
			Fiber reader([&] { got = weft_recv(pair.in, buf, 9, MSG_WAITALL); });
			for (const char *part : {"abc", "def", "ghi"}) {
				EXPECT_TRUE(until_parked(1));
				EXPECT_EQ(-1, got) << "not before all of it is there";
				EXPECT_EQ(3, weft_send(pair.out, part, 3, 0));
			}
			reader.join();
			EXPECT_EQ(9, got) << link_name(link);
			EXPECT_EQ(0, memcmp(buf, "abcdefghi", 9));
			close_pair(pair);
		}
	});
}

TEST_P(Transfer, MessagesKeepTheirBounds)
{
	run([] {
		int fds[2];
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
		char buf[8];
		EXPECT_EQ(2, weft_send(fds[0], "ab", 2, 0));
		EXPECT_EQ(6, weft_send(fds[0], "cdefgh", 6, 0));
		EXPECT_EQ(2, weft_recv(fds[1], buf, sizeof(buf), 0));
		EXPECT_EQ(6, weft_recv(fds[1], buf, 3, MSG_TRUNC)) << "MSG_TRUNC tells the real size";
		EXPECT_EQ(0, weft_close(fds[0]));
		EXPECT_EQ(0, weft_recv(fds[1], buf, sizeof(buf), 0));
		EXPECT_EQ(0, weft_close(fds[1]));
	});
}

TEST_P(Transfer, ZeroBytesIsAValidLength)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		char byte;
		EXPECT_EQ(0, weft_write(pair.out, &byte, 0));
		EXPECT_EQ(0, weft_read_full(pair.in, &byte, 0));
		EXPECT_EQ(0, weft_write_full(pair.out, &byte, 0));
		close_pair(pair);
		pair = connect_pair(Link::UNIX);
		EXPECT_EQ(0, weft_send(pair.out, &byte, 0, 0));
		EXPECT_EQ(0, weft_send_full(pair.out, &byte, 0, 0));
		close_pair(pair);
	});
}

TEST_P(Transfer, PollParksUntilReadyAndIsLevelTriggered)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			std::atomic<int> ready{0};
			Fiber poller([&] { ready = weft_poll(pair.in, POLLIN); });
			EXPECT_TRUE(until_parked(1));
			EXPECT_EQ(0, ready);
			EXPECT_EQ(1, weft_write(pair.out, "x", 1));
			poller.join();
			EXPECT_EQ(POLLIN, ready) << link_name(link);
			EXPECT_EQ(POLLIN, weft_poll(pair.in, POLLIN)) << "again: nothing was read";
			EXPECT_EQ(POLLOUT, weft_poll(pair.out, POLLOUT | POLLPRI));
			char byte;
			EXPECT_EQ(1, weft_read(pair.in, &byte, 1));
			EXPECT_EQ(0, weft_close(pair.out));
			int hung_up = weft_poll(pair.in, POLLRDHUP);
			EXPECT_NE(0, hung_up & (POLLHUP | POLLRDHUP))
				<< link_name(link) << ": " << hung_up;
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

TEST_P(Transfer, OpeningAFifoWaitsForTheOtherSide)
{
	run([] {
		std::string path = scratch_path("fifo");
		ASSERT_EQ(0, mkfifo(path.c_str(), 0600));
		std::atomic<int> in{-1};
		Fiber reader(
			[&] { in = weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0); });
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(-1, in);
		int out = weft_openat(AT_FDCWD, path.c_str(), O_WRONLY | O_CLOEXEC, 0);
		reader.join();
		ASSERT_GE(in, 0);
		ASSERT_GE(out, 0);
		char byte = 0;
		EXPECT_EQ(1, weft_write(out, "f", 1));
		EXPECT_EQ(1, weft_read(in, &byte, 1));
		EXPECT_EQ('f', byte);
		EXPECT_EQ(0, weft_close(in));
		EXPECT_EQ(0, weft_close(out));
		unlink(path.c_str());
	});
}

} // namespace
