/* SPDX-License-Identifier: MIT */
/* files_test.cc - what files do through weft is what they do through the system calls
 *
 * Laws     FT1 each call on each kind of descriptor says what the system call says, good or bad: results, errors, positions, contents.
 *          FT2 hundreds of megabytes arrive byte for byte, whoever moves them and in what pieces.
 *          FT3 fibers that read or write one descriptor at its own position share it as threads do: no byte twice, none lost.
 */
#include <atomic>
#include <map>
#include <set>

#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Files : public Rings
{
};
IN_EVERY_SETUP(Files);

std::string fill_text(size_t len)
{
	std::string text(len, '.');
	for (size_t i = 0; i < len; i++)
		text[i] = static_cast<char>('a' + i % 26);
	return text;
}

int fresh_file(const std::string &path, int flags = O_RDWR)
{
	int fd = open(path.c_str(), flags | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT_GE(fd, 0) << path;
	return fd;
}

/* One descriptor of each kind; made anew for each script, because calls change them. */
const char *const KINDS[] = {"reader", "writer", "both", "append", "path", "directory",
	"pipe reader", "pipe writer", "socket", "datagram", "eventfd", "timerfd", "memfd", "null",
	"zero", "full", "closed", "negative", "huge"};

int make_kind(const std::string &kind, std::vector<int> &others)
{
	static const std::string path = scratch_path("kind");
	int file = fresh_file(path);
	EXPECT_EQ(5, write(file, "12345", 5));
	close(file);
	int fds[2];
	if (kind == "reader")
		return open(path.c_str(), O_RDONLY | O_CLOEXEC);
	if (kind == "writer")
		return open(path.c_str(), O_WRONLY | O_CLOEXEC);
	if (kind == "both")
		return open(path.c_str(), O_RDWR | O_CLOEXEC);
	if (kind == "append")
		return open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
	if (kind == "path")
		return open(path.c_str(), O_PATH | O_CLOEXEC);
	if (kind == "directory")
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (kind == "pipe reader" || kind == "pipe writer") {
		EXPECT_EQ(0, pipe2(fds, O_CLOEXEC));
		EXPECT_EQ(5, write(fds[1], "12345", 5));
		others.push_back(fds[kind == "pipe reader"]);
		return fds[kind == "pipe writer"];
	}
	if (kind == "socket" || kind == "datagram") {
		int type = kind == "socket" ? SOCK_STREAM : SOCK_DGRAM;
		EXPECT_EQ(0, socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
		EXPECT_EQ(5, write(fds[1], "12345", 5));
		others.push_back(fds[1]);
		return fds[0];
	}
	if (kind == "eventfd")
		return eventfd(3, EFD_CLOEXEC);
	if (kind == "timerfd") {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		itimerspec soon = {{0, 0}, {0, 1}};
		pollfd expired = {fd, POLLIN, 0};
		timerfd_settime(fd, 0, &soon, nullptr);
		EXPECT_EQ(1, ::poll(&expired, 1, -1));
		return fd;
	}
	if (kind == "memfd") {
		int fd = memfd_create("kind", MFD_CLOEXEC);
		EXPECT_EQ(5, write(fd, "12345", 5));
		lseek(fd, 0, SEEK_SET);
		return fd;
	}
	if (kind == "closed") {
		int fd = lifted(open("/dev/null", O_RDONLY | O_CLOEXEC));
		close(fd);
		return fd;
	}
	if (kind == "negative" || kind == "huge")
		return kind == "huge" ? 0x3fffffff : -1;
	return open(("/dev/" + kind).c_str(), O_RDWR | O_CLOEXEC);
}

/* Runs one step on a fresh descriptor of each kind. */
template <typename Step>
void on_each_kind(Script &say, Step step)
{
	for (std::string kind : KINDS) {
		std::vector<int> others;
		int fd = make_kind(kind, others);
		say(kind, step(fd));
		say(kind + " position", lseek(fd, 0, SEEK_CUR) >= 0 ? lseek(fd, 0, SEEK_CUR) : -errno);
		for (int other : others)
			close(other);
		close(fd);
	}
	unlink(scratch_path("kind").c_str());
}

TEST_P(Files, ReadsOnEachKindSayWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			char buf[16];
			iovec parts[3] = {{buf, 2}, {nullptr, 0}, {buf + 2, 14}};
			on_each_kind(say, [&](int fd) { return calls.read(fd, buf, sizeof(buf)); });
			on_each_kind(say, [&](int fd) { return calls.read(fd, buf, 0); });
			on_each_kind(say, [&](int fd) { return calls.pread(fd, buf, 3, 1); });
			on_each_kind(say, [&](int fd) { return calls.pread(fd, buf, 3, -1); });
			on_each_kind(say, [&](int fd) { return calls.readv(fd, parts, 3); });
			on_each_kind(say, [&](int fd) { return calls.readv(fd, parts, 0); });
		});
	});
}

TEST_P(Files, WritesOnEachKindSayWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			char buf[16] = "abcdefg";
			iovec parts[3] = {{buf, 2}, {nullptr, 0}, {buf + 2, 6}};
			on_each_kind(say, [&](int fd) { return calls.write(fd, buf, 8); });
			on_each_kind(say, [&](int fd) { return calls.write(fd, buf, 0); });
			on_each_kind(say, [&](int fd) { return calls.pwrite(fd, buf, 3, 1); });
			on_each_kind(say, [&](int fd) { return calls.pwrite(fd, buf, 3, -1); });
			on_each_kind(say, [&](int fd) { return calls.writev(fd, parts, 3); });
		});
	});
}

TEST_P(Files, SizesAndSyncsOnEachKindSayWhatTheSystemCallSays)
{
	run([] {
		compare([](auto calls, Script &say) {
			on_each_kind(say, [&](int fd) { return calls.fsync(fd); });
			on_each_kind(say, [&](int fd) { return calls.fdatasync(fd); });
			on_each_kind(say, [&](int fd) { return calls.ftruncate(fd, 3); });
			on_each_kind(say, [&](int fd) { return calls.fallocate(fd, 0, 0, 4096); });
			on_each_kind(
				say, [&](int fd) { return fd < 0 ? 0l : calls.poll(fd, POLLIN); });
			on_each_kind(
				say, [&](int fd) { return fd < 0 ? 0l : calls.poll(fd, POLLOUT); });
			on_each_kind(say, [&](int fd) {
				return fd < 0 ? 0l : calls.poll(fd, POLLIN | POLLOUT | POLLPRI);
			});
			on_each_kind(say, [&](int fd) {
				struct statx at = {};
				long result = calls.statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &at);
				return result != 0 ? result : at.stx_mode & S_IFMT;
			});
		});
	});
}

TEST_P(Files, OneFileStepByStep)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("steps");
			int fd = fresh_file(path);
			char buf[64] = {};
			std::string text = fill_text(26);
			iovec out[3] = {{text.data(), 5}, {text.data() + 5, 0}, {text.data() + 5, 21}};
			say("writev", calls.writev(fd, out, 3));
			say("position", lseek(fd, 0, SEEK_CUR));
			say("pwrite in a hole", calls.pwrite(fd, "Z", 1, 99));
			say("position", lseek(fd, 0, SEEK_CUR));
			say("read in the hole", calls.read(fd, buf, 64));
			say("read to the end", calls.read(fd, buf, 64));
			say("last", std::string(buf + 8, 1));
			say("read at the end", calls.read(fd, buf, 64));
			say("pread beyond", calls.pread(fd, buf, 64, 100));
			say("pread far beyond", calls.pread(fd, buf, 64, INT64_C(1) << 40));
			say("pread at the last", calls.pread(fd, buf, 64, INT64_MAX));
			say("pwrite at the last", calls.pwrite(fd, buf, 64, INT64_MAX));
			say("pwrite too far", calls.pwrite(fd, buf, 64, INT64_MAX - 63));
			say("pread", calls.pread(fd, buf, 10, 20));
			say("is", std::string(buf, 6));
			say("position", lseek(fd, 0, SEEK_CUR));
			lseek(fd, 3, SEEK_SET);
			iovec in[2] = {{buf, 4}, {buf + 10, 3}};
			say("readv", calls.readv(fd, in, 2));
			say("first", std::string(buf, 4));
			say("second", std::string(buf + 10, 3));
			say("no buffer", calls.read(fd, reinterpret_cast<void *>(1), 8));
			say("position", lseek(fd, 0, SEEK_CUR));
			in[1].iov_len = SIZE_MAX;
			say("overflow", calls.readv(fd, in, 2));
			say("too many", calls.readv(fd, in, IOV_MAX + 1));
			say("negative", calls.readv(fd, in, -1));
			say("no vector", calls.readv(fd, reinterpret_cast<iovec *>(1), 2));
			say("size", lseek(fd, 0, SEEK_END));
			close(fd);
			unlink(path.c_str());
		});
	});
}

TEST_P(Files, AppendingIgnoresPositions)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("append");
			int fd = fresh_file(path, O_RDWR | O_APPEND);
			say("write", calls.write(fd, "one", 3));
			lseek(fd, 0, SEEK_SET);
			say("write", calls.write(fd, "two", 3));
			say("pwrite", calls.pwrite(fd, "three", 5, 1));
			say("position", lseek(fd, 0, SEEK_CUR));
			char buf[32] = {};
			say("pread", calls.pread(fd, buf, sizeof(buf), 0));
			say("all", buf);
			close(fd);
			unlink(path.c_str());
		});
	});
}

TEST_P(Files, SizesAndHoles)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("sizes");
			int fd = fresh_file(path);
			std::string text = fill_text(3 * 65536);
			auto what_is_there = [&](const char *step) {
				struct statx at = {};
				say(step, calls.statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_BLOCKS, &at));
				say("size", static_cast<long>(at.stx_size));
				say("blocks", static_cast<long>(at.stx_blocks));
				long sum = 0;
				char c;
				for (off_t p = 0; p < static_cast<off_t>(at.stx_size) && p < 400000;
					p += 4096)
					sum += pread(fd, &c, 1, p) == 1 ? c : 1000;
				say("sum", sum);
			};
			say("write", calls.write(fd, text.data(), text.size()));
			fsync(fd); /* blocks are counted when they are allocated */
			what_is_there("written");
			say("grow", calls.ftruncate(fd, 300000));
			what_is_there("grown");
			say("cut", calls.ftruncate(fd, 131072 + 7));
			what_is_there("cut");
			say("negative", calls.ftruncate(fd, -1));
			say("too large", calls.ftruncate(fd, INT64_MAX));
			say("punch",
				calls.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					4096, 65536));
			what_is_there("punched");
			say("punch alone", calls.fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
			say("zero", calls.fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 8192));
			what_is_there("zeroed");
			say("collapse", calls.fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096));
			say("collapse uneven", calls.fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, 4096));
			say("insert", calls.fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096));
			say("beyond, size kept", calls.fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 4096));
			say("beyond", calls.fallocate(fd, 0, 1 << 18, 1 << 16));
			say("nothing", calls.fallocate(fd, 0, 0, 0));
			say("negative length", calls.fallocate(fd, 0, 0, -1));
			say("negative offset", calls.fallocate(fd, 0, -1, 1));
			say("overflow", calls.fallocate(fd, 0, INT64_MAX, 1));
			say("unknown mode", calls.fallocate(fd, 0x8000, 0, 1));
			what_is_there("at last");
			close(fd);
			unlink(path.c_str());
		});
	});
}

TEST_P(Files, DirectFilesKeepTheirRules)
{
	run([] {
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("direct");
			int fd = open(path.c_str(),
				O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
			if (fd < 0)
				return; /* a file system without */
			void *memory = nullptr;
			ASSERT_EQ(0, posix_memalign(&memory, 4096, 65536));
			char *buf = static_cast<char *>(memory);
			memset(buf, 'd', 65536);
			say("write", calls.write(fd, buf, 65536));
			say("pwrite", calls.pwrite(fd, buf, 4096, 65536));
			say("uneven length", calls.pwrite(fd, buf, 100, 0));
			say("uneven buffer", calls.pwrite(fd, buf + 1, 4096, 0));
			say("uneven offset", calls.pwrite(fd, buf, 4096, 3));
			memset(buf, 0, 65536);
			say("pread", calls.pread(fd, buf, 65536, 4096));
			say("first", std::string(buf, 3));
			say("across the end", calls.pread(fd, buf, 8192, 65536));
			say("uneven pread", calls.pread(fd, buf, 100, 0));
			lseek(fd, 0, SEEK_SET);
			say("read", calls.read(fd, buf, 4096));
			say("position", lseek(fd, 0, SEEK_CUR));
			free(memory);
			close(fd);
			unlink(path.c_str());
		});
	});
}

TEST_P(Files, LimitOfTheFileSize)
{
	run([] {
		rlimit before, low;
		getrlimit(RLIMIT_FSIZE, &before);
		low = before;
		low.rlim_cur = 10000;
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &low);
		compare([](auto calls, Script &say) {
			std::string path = scratch_path("limit");
			std::string text = fill_text(12000);
			int fd = fresh_file(path);
			say("cut short", calls.write(fd, text.data(), text.size()));
			say("beyond", calls.write(fd, text.data(), 1));
			say("truncate", calls.ftruncate(fd, 20000));
			say("allocate", calls.fallocate(fd, 0, 0, 20000));
			say("size", lseek(fd, 0, SEEK_END));
			close(fd);
			unlink(path.c_str());
		});
		setrlimit(RLIMIT_FSIZE, &before);
		signal(SIGXFSZ, SIG_DFL);
	});
}

/* FT2 */
uint64_t sum_of(const unsigned char *bytes, size_t len, uint64_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

uint64_t sum_of_file(const std::string &path, bool fill_cache)
{
	int fd = weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
	EXPECT_GE(fd, 0);
	if (!fill_cache)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	std::vector<unsigned char> buf(1 << 20);
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	ssize_t n;
	while ((n = weft_read(fd, buf.data(), buf.size())) > 0)
		sum = sum_of(buf.data(), static_cast<size_t>(n), sum);
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, weft_close(fd));
	return sum;
}

TEST(LargeFiles, HundredsOfMegabytesCopiedByManyFibers)
{
	constexpr size_t SIZE = size_t{rounds(256, 24)} << 20, PIECE = 192 * 1024 + 512, COPIERS = 16;
	weft_config config{};
	config.stack_size = 256 * 1024;
	io_test::run(config, [] {
		std::string from = scratch_path("large"), to = scratch_path("large.copy");
		int out = weft_openat(AT_FDCWD, from.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		ASSERT_GE(out, 0);
		std::vector<unsigned char> block(8 << 20);
		uint64_t sum = UINT64_C(0xcbf29ce484222325);
		for (size_t at = 0; at < SIZE; at += block.size()) {
			uint64_t word = at * 0x9e3779b97f4a7c15u + 1;
			for (size_t i = 0; i < block.size(); i += 8) {
				word ^= word << 13, word ^= word >> 7, word ^= word << 17;
				memcpy(&block[i], &word, 8);
			}
			ASSERT_EQ(static_cast<ssize_t>(block.size()),
				weft_write_full(out, block.data(), block.size()));
			sum = sum_of(block.data(), block.size(), sum);
		}
		EXPECT_EQ(0, weft_fsync(out));
		posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED);
		int copy = weft_openat(AT_FDCWD, to.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		ASSERT_GE(copy, 0);
		EXPECT_EQ(0, weft_ftruncate(copy, SIZE));
		std::atomic<size_t> next{0};
		{
			std::vector<std::unique_ptr<Fiber>> copiers;
			for (size_t i = 0; i < COPIERS; i++)
				copiers.push_back(std::make_unique<Fiber>([&] {
					std::vector<char> buf(PIECE);
					for (size_t at; (at = next.fetch_add(PIECE)) < SIZE;) {
						size_t want = SIZE - at < PIECE ? SIZE - at : PIECE;
						size_t done = 0;
						while (done < want) {
							ssize_t n = weft_pread(out,
								buf.data() + done, want - done,
								static_cast<off_t>(at + done));
							ASSERT_GT(n, 0);
							done += static_cast<size_t>(n);
						}
						for (done = 0; done < want;) {
							ssize_t n = weft_pwrite(copy,
								buf.data() + done, want - done,
								static_cast<off_t>(at + done));
							ASSERT_GT(n, 0);
							done += static_cast<size_t>(n);
						}
					}
				}));
		}
		EXPECT_EQ(0, weft_fdatasync(copy));
		EXPECT_EQ(sum, sum_of_file(to, false));
		EXPECT_EQ(sum, sum_of_file(from, true));
		EXPECT_EQ(0, weft_ftruncate(copy, 0));
		lseek(out, 0, SEEK_SET);
		size_t sent = 0;
		while (sent < SIZE) {
			ssize_t n = weft_sendfile(copy, out, nullptr, SIZE - sent);
			ASSERT_GT(n, 0);
			sent += static_cast<size_t>(n);
		}
		EXPECT_EQ(sum, sum_of_file(to, true));
		EXPECT_EQ(0, weft_close(out));
		EXPECT_EQ(0, weft_close(copy));
		unlink(from.c_str());
		unlink(to.c_str());
	});
}

/* The lowest number that is free is known to weft as a pipe's: it has not seen that close. */
void leave_number_of_pipe()
{
	int fds[2];
	char byte;
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	ASSERT_EQ(1, write(fds[1], "p", 1));
	ASSERT_EQ(1, weft_read(fds[0], &byte, 1));
	close(fds[1]);
	close(fds[0]);
}

/* FT3 */
void read_by_many(bool was_pipe)
{
	constexpr unsigned BLOCKS = rounds(2000, 300), READERS = 8;
	std::string path = scratch_path("shared");
	if (was_pipe)
		leave_number_of_pipe();
	int fd = fresh_file(path);
	uint32_t block[128];
	for (uint32_t i = 0; i < BLOCKS; i++) {
		std::fill(std::begin(block), std::end(block), i);
		ASSERT_EQ(static_cast<ssize_t>(sizeof(block)), write(fd, block, sizeof(block)));
	}
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* so that some have to wait for the disk */
	lseek(fd, 0, SEEK_SET);
	std::vector<std::atomic<int>> seen(BLOCKS);
	{
		std::vector<std::unique_ptr<Fiber>> readers;
		for (unsigned r = 0; r < READERS; r++)
			readers.push_back(std::make_unique<Fiber>([&] {
				uint32_t buf[128];
				ssize_t n;
				while ((n = weft_read(fd, buf, sizeof(buf))) == sizeof(buf)) {
					EXPECT_EQ(buf[0], buf[127]);
					ASSERT_LT(buf[0], BLOCKS);
					seen[buf[0]]++;
				}
				EXPECT_EQ(0, n);
			}));
	}
	for (uint32_t i = 0; i < BLOCKS; i++)
		EXPECT_EQ(1, seen[i].load()) << i;
	EXPECT_EQ(0, weft_close(fd));
	unlink(path.c_str());
}

TEST_P(Files, ReadersOfOnePositionGetEachByteOnce)
{
	run([] { read_by_many(false); });
}

TEST_P(Files, SoTheyDoWhereTheNumberWasAPipe)
{
	run([] { read_by_many(true); });
}

TEST_P(Files, WritersOfOnePositionLoseNothing)
{
	run([] {
		constexpr int RECORDS = rounds(200, 40), WRITERS = 8, SIZE = 100;
		std::string path = scratch_path("log");
		int fd = fresh_file(path);
		{
			std::vector<std::unique_ptr<Fiber>> writers;
			for (int w = 0; w < WRITERS; w++)
				writers.push_back(std::make_unique<Fiber>([&, w] {
					std::string record(SIZE, static_cast<char>('a' + w));
					for (int i = 0; i < RECORDS; i++)
						EXPECT_EQ(SIZE, weft_write(fd, record.data(), SIZE));
				}));
		}
		EXPECT_EQ(RECORDS * WRITERS * SIZE, lseek(fd, 0, SEEK_END));
		std::map<char, int> count;
		char record[SIZE];
		for (off_t at = 0; pread(fd, record, SIZE, at) == SIZE; at += SIZE) {
			EXPECT_EQ(SIZE, std::count(record, record + SIZE, record[0])) << at;
			count[record[0]]++;
		}
		for (int w = 0; w < WRITERS; w++)
			EXPECT_EQ(RECORDS, count[static_cast<char>('a' + w)]) << w;
		EXPECT_EQ(0, weft_close(fd));
		unlink(path.c_str());
	});
}

TEST_P(Files, ReadersOfOneSocketDoNotWaitForEachOther)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		char a = 0, b = 0;
		Fiber parked([&] { EXPECT_EQ(1, weft_read(pair.in, &a, 1)); });
		weft_sleep(WEFT_MS);
		Fiber other([&] { EXPECT_EQ(1, weft_read(pair.in, &b, 1)); });
		weft_sleep(WEFT_MS); /* parked or not, what comes of it is the same */
		EXPECT_EQ(1, weft_write(pair.in, "w", 1)); /* the other way is free */
		EXPECT_EQ(2, weft_write(pair.out, "xy", 2));
		parked.join();
		other.join();
		EXPECT_EQ('x' + 'y', a + b);
		close_pair(pair);
	});
}

} // namespace
