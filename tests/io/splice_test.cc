/* SPDX-License-Identifier: MIT */
/* splice_test.cc - splice and sendfile: between pipes, files and sockets
 *
 * Laws     SS1 each says what the system call says: results, errors, offsets in and out, positions, contents.
 *          SS2 what has to wait parks; it ends by data, by room, by the end of the other side, by cancellation or deadline, and by the close of either
 *              descriptor. Offsets and counts then say what was moved, and nothing else was.
 *          SS3 a reused number never meets an old operation: a transfer whose file was closed takes nothing from the file that follows.
 */
#include <atomic>

#include <sys/ioctl.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Splices : public Rings
{
};
IN_EVERY_SETUP(Splices);

int file_with(const std::string &path, size_t len, int flags = O_RDWR)
{
	int fd = open(path.c_str(), flags | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	std::vector<unsigned char> bytes(len);
	fill(bytes.data(), len, 0);
	EXPECT_EQ(static_cast<ssize_t>(len), pwrite(fd, bytes.data(), len, 0));
	return fd;
}

std::string text_in(int pipe)
{
	char buf[256];
	int flags = fcntl(pipe, F_GETFL);
	fcntl(pipe, F_SETFL, flags | O_NONBLOCK);
	ssize_t n = read(pipe, buf, sizeof(buf));
	fcntl(pipe, F_SETFL, flags);
	return n < 0 ? "" : std::string(buf, static_cast<size_t>(n));
}

/* Until something has been sent, so that the transfer has begun. */
bool until_bytes_wait(int fd)
{
	return until([fd] {
		int waiting = 0;
		return ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0;
	});
}

TEST_P(Splices, SayWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("spliced");
			int file = file_with(path, 0);
			EXPECT_EQ(10, pwrite(file, "0123456789", 10, 0));
			Two a = pipe_two(), b = pipe_two(), s = two_of(SOCK_STREAM);
			off_t at = 3, to = 20;
			say("file to pipe", calls.splice(file, &at, a.second, nullptr, 4, 0));
			say("offset", at);
			say("position", lseek(file, 0, SEEK_CUR));
			say("is", text_in(a.first));
			lseek(file, 2, SEEK_SET);
			say("at its position", calls.splice(file, nullptr, a.second, nullptr, 3, 0));
			say("position", lseek(file, 0, SEEK_CUR));
			say("is", text_in(a.first));
			at = 8;
			say("short at the end", calls.splice(file, &at, a.second, nullptr, 100, 0));
			say("offset", at);
			say("at the end", calls.splice(file, &at, a.second, nullptr, 100, 0));
			say("pipe to file", calls.splice(a.first, nullptr, file, &to, 100, 0));
			say("offset", to);
			say("size", lseek(file, 0, SEEK_END));
			EXPECT_EQ(5, write(a.second, "hello", 5));
			say("pipe to pipe", calls.splice(a.first, nullptr, b.second, nullptr, 3, 0));
			say("is", text_in(b.first));
			say("pipe to socket", calls.splice(a.first, nullptr, s.first, nullptr, 3, 0));
			say("socket to pipe", calls.splice(s.second, nullptr, b.second, nullptr, 9, 0));
			say("is", text_in(b.first));
			at = 0;
			say("offset for a pipe", calls.splice(a.first, &at, b.second, nullptr, 3, 0));
			say("offset for the other", calls.splice(a.first, nullptr, b.second, &at, 3, 0));
			at = -1;
			say("negative", calls.splice(file, &at, b.second, nullptr, 3, 0));
			say("negative for a pipe", calls.splice(a.first, &at, b.second, nullptr, 3, 0));
			say("offset", at);
			say("nothing", calls.splice(a.first, nullptr, b.second, nullptr, 0, 0));
			say("nothing, bad", calls.splice(-1, nullptr, -1, nullptr, 0, 0x99));
			say("flags", calls.splice(a.first, nullptr, b.second, nullptr, 3, 0x40));
			say("its own pipe", calls.splice(a.first, nullptr, a.second, nullptr, 3, 0));
			say("wrong end in", calls.splice(a.second, nullptr, b.second, nullptr, 3, 0));
			say("wrong end out", calls.splice(a.first, nullptr, b.first, nullptr, 3, 0));
			say("no pipe", calls.splice(file, nullptr, s.first, nullptr, 3, 0));
			say("no pipe, sockets", calls.splice(s.first, nullptr, s.second, nullptr, 3, 0));
			say("closed in", calls.splice(900, nullptr, a.second, nullptr, 3, 0));
			say("closed out", calls.splice(a.first, nullptr, 900, nullptr, 3, 0));
			say("negative out", calls.splice(a.first, nullptr, -1, nullptr, 3, 0));
			int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			say("directory", calls.splice(dir, nullptr, a.second, nullptr, 3, 0));
			close(dir);
			int append = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
			say("to append", calls.splice(a.first, nullptr, append, nullptr, 3, 0));
			close(append);
			int read_only = open(path.c_str(), O_RDONLY | O_CLOEXEC);
			say("to read only", calls.splice(a.first, nullptr, read_only, nullptr, 3, 0));
			close(read_only);
			say("empty, not waiting",
				calls.splice(a.first, nullptr, b.second, nullptr, 3, SPLICE_F_NONBLOCK));
			int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
			say("zeros", calls.splice(zero, nullptr, a.second, nullptr, 8, SPLICE_F_MOVE));
			say("is", std::to_string(text_in(a.first).size()));
			close(zero);
			close(a.second);
			say("the end", calls.splice(a.first, nullptr, b.second, nullptr, 3, 0));
			close(a.first);
			EXPECT_EQ(3, write(b.second, "xyz", 3));
			close(s.second);
			say("broken socket", calls.splice(b.first, nullptr, s.first, nullptr, 3, 0));
			close(s.first);
			close_two(b);
			close(file);
			unlink(path.c_str());
		});
	});
}

TEST_P(Splices, ABrokenPipeIsAnError)
{
	run([] {
		Two a = pipe_two(), b = pipe_two();
		ASSERT_EQ(3, write(a.second, "abc", 3));
		close(b.first);
		EXPECT_EQ(-EPIPE, weft_splice(a.first, nullptr, b.second, nullptr, 3, 0));
		std::string path = scratch_path("to nobody");
		int file = file_with(path, 100);
		EXPECT_EQ(-EPIPE, weft_sendfile(b.second, file, nullptr, 100));
		EXPECT_EQ(-EPIPE, weft_splice(file, nullptr, b.second, nullptr, 3, 0));
		EXPECT_EQ(0, lseek(file, 0, SEEK_CUR));
		close(b.second);
		close_two(a);
		close(file);
		unlink(path.c_str());
	});
}

TEST_P(Splices, SendfileSaysWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("sent"), other = scratch_path("received");
			int file = file_with(path, 0), out = file_with(other, 0);
			EXPECT_EQ(10, pwrite(file, "0123456789", 10, 0));
			Two a = pipe_two(), s = two_of(SOCK_STREAM);
			off_t at = 4;
			say("to a pipe", calls.sendfile(a.second, file, &at, 3));
			say("offset", at);
			say("position", lseek(file, 0, SEEK_CUR));
			say("is", text_in(a.first));
			say("to a socket", calls.sendfile(s.first, file, &at, 100));
			say("offset", at);
			say("at the end", calls.sendfile(s.first, file, &at, 100));
			at = 1000;
			say("beyond", calls.sendfile(s.first, file, &at, 100));
			say("offset", at);
			lseek(file, 2, SEEK_SET);
			say("at its position", calls.sendfile(out, file, nullptr, 5));
			say("position", lseek(file, 0, SEEK_CUR));
			say("position out", lseek(out, 0, SEEK_CUR));
			at = 0;
			say("nothing", calls.sendfile(out, file, &at, 0));
			say("nothing to nowhere", calls.sendfile(-1, file, &at, 0));
			say("nothing from nowhere", calls.sendfile(out, -1, &at, 0));
			at = -5;
			say("negative", calls.sendfile(out, file, &at, 5));
			say("offset", at);
			at = 0;
			say("from a pipe", calls.sendfile(out, a.first, &at, 5));
			say("from a socket", calls.sendfile(out, s.first, nullptr, 5));
			say("closed in", calls.sendfile(out, 900, &at, 5));
			say("closed out", calls.sendfile(900, file, &at, 5));
			say("wrong end", calls.sendfile(a.first, file, &at, 5));
			int write_only = open(other.c_str(), O_WRONLY | O_CLOEXEC);
			say("unreadable", calls.sendfile(out, write_only, &at, 5));
			close(write_only);
			int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			say("a directory", calls.sendfile(out, dir, &at, 5));
			close(dir);
			int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
			say("zeros", calls.sendfile(out, zero, nullptr, 5));
			close(zero);
			say("size", lseek(out, 0, SEEK_END));
			close_two(a);
			close_two(s);
			close(file);
			close(out);
			unlink(path.c_str());
			unlink(other.c_str());
		});
	});
}

/* SS2 */
TEST_P(Splices, WaitForDataAndForRoom)
{
	run([] {
		Two a = pipe_two(), b = pipe_two();
		ssize_t n = 0;
		Fiber mover([&] { n = weft_splice(a.first, nullptr, b.second, nullptr, 100, 0); });
		ASSERT_TRUE(until_parked(1));
		EXPECT_EQ(5, weft_write(a.second, "hello", 5));
		mover.join();
		EXPECT_EQ(5, n);
		EXPECT_EQ("hello", text_in(b.first));
		fcntl(b.second, F_SETPIPE_SZ, 4096);
		std::vector<char> full(4096, 'f');
		ASSERT_EQ(4096, write(b.second, full.data(), full.size()));
		ASSERT_EQ(3, write(a.second, "abc", 3));
		Fiber blocked([&] { n = weft_splice(a.first, nullptr, b.second, nullptr, 100, 0); });
		ASSERT_TRUE(until_parked(1));
		EXPECT_EQ(4096, weft_read_full(b.first, full.data(), full.size()));
		blocked.join();
		EXPECT_EQ(3, n);
		EXPECT_EQ("abc", text_in(b.first));
		close_two(a);
		close_two(b);
	});
}

TEST_P(Splices, NonblockingDescriptorsParkToo)
{
	run([] {
		Two a = pipe_two(), s = two_of(SOCK_STREAM);
		for (int fd : {a.first, a.second, s.first, s.second})
			set_nonblocking(fd);
		ssize_t n = 0;
		Fiber mover([&] { n = weft_splice(s.second, nullptr, a.second, nullptr, 100, 0); });
		ASSERT_TRUE(until_parked(1));
		EXPECT_EQ(5, weft_send(s.first, "hello", 5, 0));
		mover.join();
		EXPECT_EQ(5, n);
		EXPECT_EQ("hello", text_in(a.first));
		close_two(a);
		close_two(s);
	});
}

TEST_P(Splices, EndByCloseOfEitherByCancellationAndDeadline)
{
	run([] {
		enum End { IN, OUT, CANCEL, DEADLINE, ENDS };
		for (int end = 0; end < ENDS; end++)
			for (int full = 0; full < 2; full++) {
				Two a = pipe_two(), b = pipe_two();
				a.first = lifted(a.first);
				b.second = lifted(b.second);
				if (full) { /* it waits for room, else for data */
					fcntl(b.second, F_SETPIPE_SZ, 4096);
					std::vector<char> bytes(4096);
					ASSERT_EQ(4096, write(b.second, bytes.data(), bytes.size()));
					ASSERT_EQ(3, write(a.second, "abc", 3));
				}
				ssize_t n = 0;
				Fiber mover([&] {
					if (end == DEADLINE)
						weft_deadline(weft_after(3 * WEFT_MS));
					n = weft_splice(a.first, nullptr, b.second, nullptr, 100, 0);
				});
				ASSERT_TRUE(end == DEADLINE || until_parked(1));
				if (end == CANCEL) {
					mover.cancel();
				} else if (end != DEADLINE) {
					EXPECT_EQ(0, weft_close(end == IN ? a.first : b.second));
				}
				mover.join();
				EXPECT_EQ(end == DEADLINE ? -ETIMEDOUT : -ECANCELED, n) << end << full;
				if (full && end != IN) {
					EXPECT_EQ("abc", text_in(a.first));
				}
				for (int fd : {a.first, a.second, b.first, b.second}) {
					bool closed = (end == IN && fd == a.first) ||
						(end == OUT && fd == b.second);
					EXPECT_EQ(closed ? -EBADF : 0, weft_close(fd));
				}
			}
	});
}

TEST_P(Splices, ASendfileThatIsEndedCountsRight)
{
	run([] {
		constexpr size_t SIZE = 8 << 20;
		enum End { IN, OUT, CANCEL, DEADLINE, PEER, ENDS };
		std::string path = scratch_path("counted");
		for (int end = 0; end < ENDS; end++) {
			int file = file_with(path, SIZE);
			Pair pair = connect_pair(Link::UNIX);
			off_t at = 0;
			ssize_t n = 0;
			Fiber sender([&] {
				weft_ns delay = 30 * WEFT_MS;
				do { /* late, but not before the first byte */
					if (end == DEADLINE)
						weft_deadline(weft_after(delay));
					n = weft_sendfile(pair.out, file, &at, SIZE);
					delay *= 2;
				} while (end == DEADLINE && n == -ETIMEDOUT && delay < PATIENCE);
			});
			ASSERT_TRUE(until_bytes_wait(pair.in));
			if (end == CANCEL) {
				sender.cancel();
			} else if (end != DEADLINE) {
				EXPECT_EQ(0,
					weft_close(end == IN	     ? file
							: end == OUT ? pair.out
								     : pair.in));
			}
			sender.join();
			EXPECT_GT(n, 0) << end;
			EXPECT_LT(n, static_cast<ssize_t>(SIZE));
			EXPECT_EQ(n, at);
			if (end != OUT)
				weft_close(pair.out);
			/* As many bytes have left as it says, and they are the file's. */
			std::vector<unsigned char> got(SIZE);
			if (end != PEER) {
				EXPECT_EQ(n, weft_read_full(pair.in, got.data(), SIZE));
				EXPECT_TRUE(matches(got.data(), static_cast<size_t>(n), 0));
				weft_close(pair.in);
			}
			if (end != IN)
				weft_close(file);
		}
		unlink(path.c_str());
	});
}

TEST_P(Splices, ASendfileOfThePositionMovesItByWhatWasSent)
{
	run([] {
		constexpr size_t SIZE = 4 << 20;
		std::string path = scratch_path("position");
		int file = file_with(path, SIZE);
		lseek(file, 1000, SEEK_SET);
		Pair pair = connect_pair(Link::TCP4);
		ssize_t n = 0;
		Fiber sender([&] { n = weft_sendfile(pair.out, file, nullptr, SIZE); });
		ASSERT_TRUE(until_bytes_wait(pair.in));
		sender.cancel();
		sender.join();
		EXPECT_GT(n, 0);
		EXPECT_EQ(1000 + n, lseek(file, 0, SEEK_CUR));
		close_pair(pair);
		weft_close(file);
		unlink(path.c_str());
	});
}

/* SS3 */
TEST_P(Splices, AReusedNumberIsNotSent)
{
	run([] {
		constexpr size_t SIZE = 4 << 20;
		std::string path = scratch_path("first"), other = scratch_path("second");
		int file = file_with(path, SIZE);
		Pair pair = connect_pair(Link::UNIX);
		off_t at = 0;
		ssize_t n = 0;
		Fiber sender([&] { n = weft_sendfile(pair.out, file, &at, SIZE); });
		ASSERT_TRUE(until_bytes_wait(pair.in));
		EXPECT_EQ(0, weft_close(file));
		int again = open(other.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		EXPECT_EQ(file, again);
		std::vector<unsigned char> wrong(SIZE, 0xee), got(SIZE);
		ASSERT_EQ(static_cast<ssize_t>(SIZE), pwrite(again, wrong.data(), SIZE, 0));
		sender.join();
		EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
		EXPECT_EQ(n, weft_read_full(pair.in, got.data(), SIZE));
		EXPECT_TRUE(matches(got.data(), static_cast<size_t>(n), 0));
		close_pair(pair);
		weft_close(again);
		unlink(path.c_str());
		unlink(other.c_str());
	});
}

TEST_P(Splices, AProxyThroughPipesLosesNothing)
{
	run([] {
		constexpr size_t SIZE = size_t{rounds(16, 2)} << 20;
		for (Link link : EVERY_SOCKET) {
			Pair in = connect_pair(link), out = connect_pair(link);
			Two pipe = pipe_two();
			Fiber source([&] {
				std::vector<unsigned char> buf(65536);
				for (size_t at = 0; at < SIZE; at += buf.size()) {
					fill(buf.data(), buf.size(), at);
					EXPECT_EQ(static_cast<ssize_t>(buf.size()),
						weft_send_full(in.out, buf.data(), buf.size(), 0));
				}
				EXPECT_EQ(0, weft_shutdown(in.out, SHUT_WR));
			});
			Fiber first([&] {
				ssize_t n;
				while ((n = weft_splice(in.in, nullptr, pipe.second, nullptr, 65536, 0)) > 0)
					;
				EXPECT_EQ(0, n);
				EXPECT_EQ(0, weft_close(pipe.second));
			});
			Fiber second([&] {
				ssize_t n;
				while ((n = weft_splice(pipe.first, nullptr, out.out, nullptr,
						65536, SPLICE_F_MORE)) > 0)
					;
				EXPECT_EQ(0, n);
				EXPECT_EQ(0, weft_shutdown(out.out, SHUT_WR));
			});
			std::vector<unsigned char> buf(65536);
			size_t at = 0;
			ssize_t n;
			while ((n = weft_recv(out.in, buf.data(), buf.size(), 0)) > 0) {
				ASSERT_TRUE(matches(buf.data(), static_cast<size_t>(n), at)) << at;
				at += static_cast<size_t>(n);
			}
			EXPECT_EQ(SIZE, at);
			source.join();
			first.join();
			second.join();
			weft_close(pipe.first);
			close_pair(in);
			close_pair(out);
		}
	});
}

} // namespace
