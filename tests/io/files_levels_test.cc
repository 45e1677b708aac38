/* SPDX-License-Identifier: MIT */
/* files_levels_test.cc - files and what ends a call: cancellation, deadlines, closes, limits
 *
 * Laws     FL1 a call that failed because of cancellation or deadline has done nothing; one that succeeded has done what it says.
 *          FL2 what has to wait (the open of a FIFO) parks, and ends by its other side, cancellation, deadline, or the close of its directory.
 *          FL3 no descriptor left is an error each time; a ring of four entries carries ten thousand operations.
 *          FL4 writers that share a file's own position go one at a time, in the order in which they came; who is cancelled meanwhile is passed over.
 */
#include <atomic>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class FilesLevels : public Rings
{
};
IN_EVERY_SETUP(FilesLevels);

int fresh_file(const std::string &path, int flags = O_RDWR)
{
	int fd = open(path.c_str(), flags | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT_GE(fd, 0) << path;
	return fd;
}

/* FL1 */
struct Attempt {
	const char *name;
	std::function<long()> call;
};

TEST_P(FilesLevels, NothingIsDoneOnceCancelledOrLate)
{
	run([] {
		std::string dir_path = scratch_path("levels");
		ASSERT_EQ(0, mkdir(dir_path.c_str(), 0700));
		int dir = open(dir_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int fd = openat(dir, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		ASSERT_EQ(3, write(fd, "abc", 3));
		lseek(fd, 0, SEEK_SET);
		Two pipe = pipe_two();
		ASSERT_EQ(3, write(pipe.second, "123", 3));
		char buf[8];
		iovec part = {buf, 8};
		struct statx at;
		off_t zero = 0;
		const Attempt attempts[] = {
			{"read", [&] { return weft_read(fd, buf, 8); }},
			{"read a pipe", [&] { return weft_read(pipe.first, buf, 8); }},
			{"pread", [&] { return weft_pread(fd, buf, 8, 0); }},
			{"pread a pipe", [&] { return weft_pread(pipe.first, buf, 8, 0); }},
			{"pread before", [&] { return weft_pread(fd, buf, 8, -1); }},
			{"readv", [&] { return weft_readv(fd, &part, 1); }},
			{"readv too many", [&] { return weft_readv(fd, &part, -1); }},
			{"write", [&] { return weft_write(fd, "xyz", 3); }},
			{"pwrite", [&] { return weft_pwrite(fd, "xyz", 3, 0); }},
			{"writev", [&] { return weft_writev(fd, &part, 1); }},
			{"read_full", [&] { return weft_read_full(fd, buf, 3); }},
			{"write_full", [&] { return weft_write_full(fd, "xyz", 3); }},
			{"poll", [&] { return long{weft_poll(pipe.first, POLLIN)}; }},
			{"openat",
				[&] { return long{weft_openat(dir, "new", O_CREAT | O_RDWR, 0600)}; }},
			{"fsync", [&] { return long{weft_fsync(fd)}; }},
			{"fdatasync", [&] { return long{weft_fdatasync(fd)}; }},
			{"fallocate", [&] { return long{weft_fallocate(fd, 0, 0, 99)}; }},
			{"fallocate nothing", [&] { return long{weft_fallocate(fd, 0, 0, 0)}; }},
			{"ftruncate", [&] { return long{weft_ftruncate(fd, 0)}; }},
			{"ftruncate below", [&] { return long{weft_ftruncate(fd, -1)}; }},
			{"statx",
				[&] {
					return long{weft_statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &at)};
				}},
			{"unlinkat", [&] { return long{weft_unlinkat(dir, "file", 0)}; }},
			{"renameat", [&] { return long{weft_renameat(dir, "file", dir, "new")}; }},
			{"mkdirat", [&] { return long{weft_mkdirat(dir, "new", 0700)}; }},
			{"linkat", [&] { return long{weft_linkat(dir, "file", dir, "new", 0)}; }},
			{"symlinkat", [&] { return long{weft_symlinkat("file", dir, "new")}; }},
			{"splice",
				[&] { return weft_splice(pipe.first, nullptr, fd, nullptr, 3, 0); }},
			{"splice nothing",
				[&] { return weft_splice(pipe.first, nullptr, fd, nullptr, 0, 0); }},
			{"sendfile", [&] { return weft_sendfile(pipe.second, fd, &zero, 3); }},
			{"waitid",
				[&] {
					return long{weft_waitid(P_ALL, 0, nullptr, WEXITED | WNOHANG)};
				}},
		};
		Fiber doomed([&] {
			ASSERT_TRUE(until([] { return weft_cancelled(); }) || weft_cancelled());
			for (const Attempt &attempt : attempts)
				EXPECT_EQ(-ECANCELED, attempt.call()) << attempt.name;
			weft_deadline(weft_now());
			EXPECT_EQ(-ECANCELED, weft_read(fd, buf, 8)) << "both in force";
		});
		doomed.cancel();
		doomed.join();
		weft_deadline(weft_now());
		for (const Attempt &attempt : attempts)
			EXPECT_EQ(-ETIMEDOUT, attempt.call()) << attempt.name;
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, lseek(fd, 0, SEEK_CUR));
		EXPECT_EQ(3, lseek(fd, 0, SEEK_END));
		EXPECT_EQ(3, pread(fd, buf, 8, 0));
		EXPECT_EQ(0, memcmp(buf, "abc", 3));
		EXPECT_EQ(-1, faccessat(dir, "new", F_OK, AT_SYMLINK_NOFOLLOW));
		EXPECT_EQ(3, read(pipe.first, buf, 8));
		EXPECT_EQ(0, zero);
		close_two(pipe);
		close(fd);
		unlinkat(dir, "file", 0);
		close(dir);
		rmdir(dir_path.c_str());
	});
}

TEST_P(FilesLevels, ACancelledWriteCountsRight)
{
	run([] {
		std::string path = scratch_path("cancelled");
		std::vector<char> block(1 << 20, 'x');
		for (int round = 0; round < rounds(40, 8); round++) {
			int fd = fresh_file(path);
			ssize_t result = 0;
			std::atomic<int> begun{0};
			Fiber writer([&] {
				begun = 1;
				result = weft_write(fd, block.data(), block.size());
			});
			for (int i = 0; i < round % 5; i++)
				weft_yield();
			writer.cancel();
			writer.join();
			EXPECT_TRUE(result == -ECANCELED || result > 0) << result;
			EXPECT_EQ(result > 0 ? result : 0, lseek(fd, 0, SEEK_END));
			EXPECT_EQ(0, weft_close(fd));
		}
		unlink(path.c_str());
	});
}

TEST_P(FilesLevels, ACancelledOpenHasMadeNothing)
{
	run([] {
		std::string path = scratch_path("made");
		int before = count_open();
		for (int round = 0; round < rounds(100, 20); round++) {
			int result = 0;
			Fiber opener([&] {
				result = weft_openat(AT_FDCWD, path.c_str(),
					O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			});
			for (int i = 0; i < round % 4; i++)
				weft_yield();
			opener.cancel();
			opener.join();
			bool made = access(path.c_str(), F_OK) == 0;
			EXPECT_TRUE(result == -ECANCELED || result >= 0) << result;
			EXPECT_EQ(result >= 0, made);
			if (result >= 0)
				close(result);
			unlink(path.c_str());
		}
		EXPECT_EQ(before, count_open());
	});
}

/* FL2 */
TEST_P(FilesLevels, OpeningAFifoWaitsForItsOtherSide)
{
	run([] {
		std::string dir_path = scratch_path("fifos");
		ASSERT_EQ(0, mkdir(dir_path.c_str(), 0700));
		std::string path = dir_path + "/fifo";
		ASSERT_EQ(0, mkfifo(path.c_str(), 0600));
		EXPECT_EQ(-ENXIO,
			weft_openat(AT_FDCWD, path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0));
		int reader = -1, writer = -1;
		{
			Fiber opener([&] {
				reader = weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
			});
			writer = weft_openat(AT_FDCWD, path.c_str(), O_WRONLY | O_CLOEXEC, 0);
		}
		ASSERT_GE(reader, 0);
		ASSERT_GE(writer, 0);
		EXPECT_EQ(0, fcntl(reader, F_GETFL) & O_NONBLOCK);
		EXPECT_EQ(2, weft_write(writer, "hi", 2));
		char buf[4];
		EXPECT_EQ(2, weft_read(reader, buf, 4));
		EXPECT_EQ(0, weft_close(writer));
		EXPECT_EQ(0, weft_close(reader));

		weft_deadline(weft_after(5 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0));
		weft_deadline(WEFT_FOREVER);

		int result = 0;
		Fiber cancelled([&] {
			result = weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
		});
		weft_yield();
		cancelled.cancel();
		cancelled.join();
		EXPECT_EQ(-ECANCELED, result);

		int dir = lifted(open(dir_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		std::atomic<int> going{0};
		Fiber closed([&] {
			going = 1;
			result = weft_openat(dir, "fifo", O_RDONLY | O_CLOEXEC, 0);
		});
		ASSERT_TRUE(until([&] { return going == 1; }));
		weft_sleep(2 * WEFT_MS); /* both orders are right: parked in it, or before it */
		EXPECT_EQ(0, weft_close(dir));
		closed.join();
		EXPECT_TRUE(result == -ECANCELED || result == -EBADF) << result;
		unlink(path.c_str());
		rmdir(dir_path.c_str());
	});
}

TEST_P(FilesLevels, NoDescriptorLeft)
{
	run([] {
		std::string path = scratch_path("many");
		close(fresh_file(path));
		{
			FewDescriptors few(0);
			for (int i = 0; i < 3; i++)
				EXPECT_EQ(-EMFILE,
					weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0));
		}
		int fd = weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
		EXPECT_GE(fd, 0);
		weft_close(fd);
		unlink(path.c_str());
	});
}

TEST_P(FilesLevels, TenThousandOperationsThroughARingOfFour)
{
	weft_config config = config_of(GetParam());
	config.ring_entries = 4;
	io_test::run(config, [] {
		constexpr int FIBERS = rounds(1000, 100), EACH = 10;
		std::string path = scratch_path("tiny");
		int fd = fresh_file(path);
		{
			std::vector<std::unique_ptr<Fiber>> fibers;
			for (int f = 0; f < FIBERS; f++)
				fibers.push_back(std::make_unique<Fiber>([&, f] {
					uint64_t word = static_cast<uint64_t>(f) * 77 + 1, back = 0;
					for (int i = 0; i < EACH / 2; i++) {
						EXPECT_EQ(8, weft_pwrite(fd, &word, 8, f * 8));
						EXPECT_EQ(8, weft_pread(fd, &back, 8, f * 8));
						EXPECT_EQ(word, back);
					}
				}));
		}
		EXPECT_EQ(0, weft_close(fd));
		unlink(path.c_str());
	});
}

/* FL4. One worker, so that the order of the calls is known. */
TEST(FilesPosition, WritersTakeTurnsAndTheCancelledArePassedOver)
{
	run(config_of({on_epoll() ? 0 : WEFT_RING_DEFER, 1}), [] {
		std::string path = scratch_path("turns");
		int fd = fresh_file(path);
		constexpr int WRITERS = rounds(3000, 500);
		std::atomic<int> calls{0};
		std::vector<int> order(WRITERS);
		std::vector<ssize_t> result(WRITERS);
		Fibers writers;
		for (int i = 0; i < WRITERS; i++)
			spawn_into(writers, [&, i] {
				order[static_cast<size_t>(calls++)] = i;
				result[static_cast<size_t>(i)] = weft_write(fd, &i, sizeof(i));
			});
		weft_yield();
		for (size_t i = 3; i < writers.size(); i += 7)
			writers[i]->cancel();
		writers.clear();
		std::vector<int> expected, found(WRITERS);
		for (int i : order) {
			ssize_t n = result[static_cast<size_t>(i)];
			EXPECT_TRUE(n == sizeof(i) || (n == -ECANCELED && i % 7 == 3)) << n;
			if (n == sizeof(i))
				expected.push_back(i);
		}
		ssize_t bytes = pread(fd, found.data(), found.size() * sizeof(int), 0);
		found.resize(static_cast<size_t>(bytes) / sizeof(int));
		EXPECT_EQ(expected, found);
		EXPECT_EQ(0, weft_close(fd));
		unlink(path.c_str());
	});
}

} // namespace
