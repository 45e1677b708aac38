/* SPDX-License-Identifier: MIT */
/* names_in_fs_test.cc - directories, links, names: what weft makes of them is what the system calls make of them
 *
 * Laws     NF1 each call says what the system call says, good or bad, and leaves the same tree behind.
 *          NF2 many fibers in one directory: each name is made, moved and removed exactly once.
 *          NF3 a directory descriptor that is closed meanwhile, or that no longer has a name, is met as the kernel meets it.
 */
#include <atomic>

#include <sys/xattr.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Names : public Rings
{
};
IN_EVERY_SETUP(Names);

/* A directory made anew, and gone with all that is in it. */
class Tree
{
public:
	Tree() : path_(scratch_path("tree"))
	{
		EXPECT_EQ(0, mkdir(path_.c_str(), 0700));
		fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		EXPECT_GE(fd_, 0);
	}
	Tree(const Tree &) = delete;
	Tree &operator=(const Tree &) = delete;
	~Tree()
	{
		close(fd_);
		empty(path_);
		EXPECT_EQ(0, rmdir(path_.c_str()));
	}
	int fd() const
	{
		return fd_;
	}
	const std::string &path() const
	{
		return path_;
	}
	void file(const char *name, const char *text = "text", mode_t mode = 0600) const
	{
		int fd = openat(fd_, name, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(static_cast<ssize_t>(strlen(text)), write(fd, text, strlen(text)));
		close(fd);
	}
	/* What is there, sorted: names, types, permissions, links, sizes, and what symbolic links say. */
	std::string listing() const
	{
		std::vector<std::string> lines;
		list(path_, "", lines);
		std::sort(lines.begin(), lines.end());
		std::string all;
		for (const std::string &line : lines)
			all += line + "; ";
		return all;
	}

private:
	static void list(
		const std::string &path, const std::string &prefix, std::vector<std::string> &lines)
	{
		DIR *dir = opendir(path.c_str());
		if (dir == nullptr)
			return;
		while (dirent *entry = readdir(dir)) {
			std::string name = entry->d_name;
			if (name == "." || name == "..")
				continue;
			std::string whole = path + "/" + name;
			struct stat at;
			EXPECT_EQ(0, lstat(whole.c_str(), &at));
			char text[64], target[256] = "";
			snprintf(text, sizeof(text), " %o %ld %ld ", at.st_mode,
				static_cast<long>(at.st_nlink),
				S_ISDIR(at.st_mode) ? 0 : static_cast<long>(at.st_size));
			if (S_ISLNK(at.st_mode)) {
				EXPECT_GE(readlink(whole.c_str(), target, sizeof(target) - 1), 0);
			}
			lines.push_back(prefix + name.substr(0, 20) + text + target);
			if (S_ISDIR(at.st_mode))
				list(whole, prefix + name + "/", lines);
		}
		closedir(dir);
	}
	static void empty(const std::string &path)
	{
		DIR *dir = opendir(path.c_str());
		if (dir == nullptr)
			return;
		while (dirent *entry = readdir(dir)) {
			std::string name = entry->d_name;
			if (name == "." || name == "..")
				continue;
			std::string whole = path + "/" + name;
			if (unlink(whole.c_str()) != 0) {
				empty(whole);
				rmdir(whole.c_str());
			}
		}
		closedir(dir);
	}

	std::string path_;
	int fd_;
};

TEST_P(Names, Opening)
{
	run([] {
		compare([](auto calls, Script &say) {
			Tree tree;
			tree.file("file");
			EXPECT_EQ(0, mkdirat(tree.fd(), "dir", 0700));
			EXPECT_EQ(0, symlinkat("loop2", tree.fd(), "loop1"));
			EXPECT_EQ(0, symlinkat("loop1", tree.fd(), "loop2"));
			EXPECT_EQ(0, symlinkat("file", tree.fd(), "link"));
			EXPECT_EQ(0, symlinkat("nowhere", tree.fd(), "dangling"));
			auto open_it = [&](const std::string &name, int flags, mode_t mode) {
				long fd = calls.openat(tree.fd(), name.c_str(), flags | O_CLOEXEC, mode);
				char text[32];
				snprintf(text, sizeof(text), " %x", flags);
				say(name.substr(0, 30) + text, fd < 0 ? fd : 0);
				if (fd < 0)
					return;
				struct stat at;
				EXPECT_EQ(0, fstat(static_cast<int>(fd), &at));
				say("mode", at.st_mode);
				say("size", S_ISREG(at.st_mode) ? at.st_size : 0);
				say("flags", fcntl(static_cast<int>(fd), F_GETFL));
				say("cloexec", fcntl(static_cast<int>(fd), F_GETFD));
				close(static_cast<int>(fd));
			};
			open_it("file", O_RDONLY, 0);
			open_it("file", O_RDWR | O_APPEND | O_SYNC, 0);
			open_it("file", O_RDWR | O_NONBLOCK | O_NOATIME, 0);
			open_it("file", O_RDONLY | O_DIRECTORY, 0);
			open_it("file", O_PATH, 0);
			open_it("file", O_WRONLY | O_CREAT | O_EXCL, 0600);
			open_it("file/below", O_RDONLY, 0);
			open_it("file/", O_RDONLY, 0);
			open_it("dir", O_RDONLY, 0);
			open_it("dir", O_WRONLY, 0);
			open_it("dir", O_RDWR | O_CREAT, 0600);
			open_it("dir", O_RDWR | O_TMPFILE, 0640);
			open_it("dir", O_RDONLY | O_TMPFILE, 0640);
			open_it("dir", O_RDONLY | O_DIRECTORY | O_PATH, 0);
			open_it("new1", O_RDONLY | O_CREAT, 0777);
			open_it("new2", O_WRONLY | O_CREAT | O_EXCL, 04755);
			open_it("new3", O_RDONLY | O_CREAT, 0);
			open_it("new4/", O_RDONLY | O_CREAT, 0600);
			open_it("missing", O_RDONLY, 0);
			open_it("missing/below", O_RDONLY | O_CREAT, 0600);
			open_it("", O_RDONLY, 0);
			open_it(".", O_RDONLY, 0);
			open_it("..", O_RDONLY, 0);
			open_it("link", O_RDONLY, 0);
			open_it("link", O_RDONLY | O_NOFOLLOW, 0);
			open_it("link", O_PATH | O_NOFOLLOW, 0);
			open_it("loop1", O_RDONLY, 0);
			open_it("dangling", O_RDONLY, 0);
			open_it("dangling", O_WRONLY | O_CREAT, 0600);
			open_it("file", O_WRONLY | O_TRUNC, 0);
			open_it(std::string(255, 'n'), O_RDONLY | O_CREAT, 0600);
			open_it(std::string(256, 'n'), O_RDONLY | O_CREAT, 0600);
			std::string deep;
			while (deep.size() < 4100)
				deep += "./";
			open_it(deep + "file", O_RDONLY, 0);
			open_it(deep.substr(0, 4000) + "file", O_RDONLY, 0);
			open_it("/dev/null", O_RDWR, 0);
			open_it("/dev/tty-that-is-not", O_RDWR, 0);
			say("no path", calls.openat(tree.fd(), nullptr, O_RDONLY, 0));
			say("bad path",
				calls.openat(tree.fd(), reinterpret_cast<char *>(8), O_RDONLY, 0));
			say("bad directory", calls.openat(-7, "file", O_RDONLY, 0));
			say("closed directory", calls.openat(900, "file", O_RDONLY, 0));
			int file = openat(tree.fd(), "file", O_RDONLY | O_CLOEXEC);
			say("no directory", calls.openat(file, "file", O_RDONLY, 0));
			long fd = calls.openat(-7, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
			say("absolute", fd >= 0 ? 0 : fd);
			close(static_cast<int>(fd));
			close(file);
			say("left", tree.listing());
		});
	});
}

TEST_P(Names, TheUmaskCounts)
{
	run([] {
		mode_t before = umask(027);
		compare([](auto calls, Script &say) {
			Tree tree;
			long fd = calls.openat(tree.fd(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0777);
			close(static_cast<int>(fd));
			say("mkdir", calls.mkdirat(tree.fd(), "dir", 0777));
			say("mkdir sticky", calls.mkdirat(tree.fd(), "dir2", 01777));
			say("left", tree.listing());
		});
		umask(before);
	});
}

TEST_P(Names, MakingAndRemoving)
{
	run([] {
		compare([](auto calls, Script &say) {
			Tree tree;
			int dir = tree.fd();
			tree.file("file");
			say("mkdir", calls.mkdirat(dir, "a", 0700));
			say("again", calls.mkdirat(dir, "a", 0700));
			say("below", calls.mkdirat(dir, "a/b/", 0500));
			say("below nothing", calls.mkdirat(dir, "x/b", 0700));
			say("below a file", calls.mkdirat(dir, "file/b", 0700));
			say("dot", calls.mkdirat(dir, ".", 0700));
			say("empty", calls.mkdirat(dir, "", 0700));
			say("no name", calls.mkdirat(dir, nullptr, 0700));
			say("long", calls.mkdirat(dir, std::string(256, 'l').c_str(), 0700));
			say("bad directory", calls.mkdirat(-5, "c", 0700));
			say("symlink", calls.symlinkat("file", dir, "s"));
			say("symlink to nowhere", calls.symlinkat("no/where/", dir, "s2"));
			say("symlink there", calls.symlinkat("file", dir, "s"));
			say("symlink to nothing", calls.symlinkat("", dir, "s3"));
			say("symlink no target", calls.symlinkat(nullptr, dir, "s3"));
			say("symlink long", calls.symlinkat(std::string(4096, 't').c_str(), dir, "s4"));
			say("link", calls.linkat(dir, "file", dir, "hard", 0));
			say("link there", calls.linkat(dir, "file", dir, "hard", 0));
			say("link of a directory", calls.linkat(dir, "a", dir, "a2", 0));
			say("link of a symlink", calls.linkat(dir, "s", dir, "s5", 0));
			say("link through it", calls.linkat(dir, "s", dir, "hard2", AT_SYMLINK_FOLLOW));
			say("link bad flags", calls.linkat(dir, "file", dir, "hard3", 0x8000));
			say("link of nothing", calls.linkat(dir, "nothing", dir, "hard3", 0));
			say("link across",
				calls.linkat(AT_FDCWD, "/proc/self/status", dir, "status", 0));
			int file = openat(dir, "file", O_RDONLY | O_CLOEXEC);
			say("link empty path", calls.linkat(file, "", dir, "hard4", AT_EMPTY_PATH));
			close(file);
			int temporary = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
			if (temporary >= 0) {
				std::string path = "/proc/self/fd/" + std::to_string(temporary);
				say("link of a nameless file",
					calls.linkat(AT_FDCWD, path.c_str(), dir, "named",
						AT_SYMLINK_FOLLOW));
				close(temporary);
			}
			say("there", tree.listing());
			say("unlink directory", calls.unlinkat(dir, "a", 0));
			say("rmdir full", calls.unlinkat(dir, "a", AT_REMOVEDIR));
			say("rmdir file", calls.unlinkat(dir, "file", AT_REMOVEDIR));
			say("rmdir dot", calls.unlinkat(dir, ".", AT_REMOVEDIR));
			say("rmdir dotdot", calls.unlinkat(dir, "a/..", AT_REMOVEDIR));
			say("rmdir", calls.unlinkat(dir, "a/b", AT_REMOVEDIR));
			say("unlink bad flags", calls.unlinkat(dir, "file", 0x77));
			say("unlink symlink", calls.unlinkat(dir, "s", 0));
			say("unlink slash", calls.unlinkat(dir, "file/", 0));
			say("unlink", calls.unlinkat(dir, "file", 0));
			say("unlink again", calls.unlinkat(dir, "file", 0));
			say("unlink no name", calls.unlinkat(dir, nullptr, 0));
			say("unlink root", calls.unlinkat(AT_FDCWD, "/", AT_REMOVEDIR));
			say("unlink of proc", calls.unlinkat(AT_FDCWD, "/proc/self/status", 0));
			say("left", tree.listing());
		});
	});
}

TEST_P(Names, Renaming)
{
	run([] {
		compare([](auto calls, Script &say) {
			Tree tree;
			int dir = tree.fd();
			tree.file("a", "aa");
			tree.file("b", "bbb");
			EXPECT_EQ(0, mkdirat(dir, "d1", 0700));
			EXPECT_EQ(0, mkdirat(dir, "d2", 0700));
			EXPECT_EQ(0, mkdirat(dir, "d1/inner", 0700));
			EXPECT_EQ(0, symlinkat("a", dir, "s"));
			EXPECT_EQ(0, linkat(dir, "b", dir, "b2", 0));
			int d2 = openat(dir, "d2", O_PATH | O_DIRECTORY | O_CLOEXEC);
			say("same name", calls.renameat(dir, "a", dir, "a"));
			say("to another link of it", calls.renameat(dir, "b", dir, "b2"));
			say("over a file", calls.renameat(dir, "a", dir, "b"));
			say("gone", calls.renameat(dir, "a", dir, "c"));
			say("file over directory", calls.renameat(dir, "b", dir, "d1"));
			say("directory over file", calls.renameat(dir, "d1", dir, "b"));
			say("into itself", calls.renameat(dir, "d1", dir, "d1/inner/x"));
			say("over its parent", calls.renameat(dir, "d1/inner", dir, "d1"));
			say("over an empty one", calls.renameat(dir, "d1", dir, "d2"));
			say("through the old one", calls.renameat(dir, "b", d2, "b"));
			say("over a full one", calls.renameat(dir, "d2/inner", dir, "d2"));
			say("symlink", calls.renameat(dir, "s", dir, "t"));
			say("between directories", calls.renameat(dir, "d2/inner", dir, "up"));
			say("across", calls.renameat(AT_FDCWD, "/proc/self/status", dir, "status"));
			say("trailing slash", calls.renameat(dir, "b/", dir, "b3"));
			say("empty", calls.renameat(dir, "", dir, "b3"));
			say("no name", calls.renameat(dir, nullptr, dir, "b3"));
			say("no new name", calls.renameat(dir, "b", dir, nullptr));
			say("long", calls.renameat(dir, "b", dir, std::string(256, 'r').c_str()));
			say("bad from", calls.renameat(-9, "b", dir, "b3"));
			say("bad to", calls.renameat(dir, "b", -9, "b3"));
			std::string whole = tree.path() + "/b";
			say("absolute", calls.renameat(-9, whole.c_str(), dir, "b4"));
			say("dot", calls.renameat(dir, ".", dir, "dot"));
			say("left", tree.listing());
			close(d2);
		});
	});
}

TEST_P(Names, Statx)
{
	run([] {
		compare([](auto calls, Script &say) {
			Tree tree;
			int dir = tree.fd();
			tree.file("file", "12345", 0640);
			EXPECT_EQ(0, symlinkat("file", dir, "s"));
			auto look = [&](const std::string &what, int at_dir, const char *path,
					    int flags, unsigned mask) {
				struct statx at;
				memset(&at, 0x5a, sizeof(at));
				long result = calls.statx(at_dir, path, flags, mask, &at);
				say(what, result);
				if (result != 0)
					return;
				say("mask", at.stx_mask);
				say("mode", at.stx_mode);
				say("size", S_ISREG(at.stx_mode) ? static_cast<long>(at.stx_size) : 0);
				say("links", at.stx_nlink);
				say("uid", at.stx_uid);
				say("attributes", static_cast<long>(at.stx_attributes_mask));
			};
			look("all", dir, "file", 0, STATX_ALL);
			look("basic", dir, "file", 0, STATX_BASIC_STATS);
			look("size", dir, "file", 0, STATX_SIZE);
			look("nothing", dir, "file", 0, 0);
			look("birth", dir, "file", AT_STATX_FORCE_SYNC, STATX_BTIME);
			look("no sync", dir, "file", AT_STATX_DONT_SYNC, STATX_ALL);
			look("both syncs", dir, "file", AT_STATX_SYNC_TYPE, STATX_ALL);
			look("reserved", dir, "file", 0, 0x80000000u);
			look("every bit", dir, "file", 0, 0x7fffffffu);
			look("bad flags", dir, "file", 0x8, STATX_ALL);
			look("link", dir, "s", 0, STATX_ALL);
			look("link itself", dir, "s", AT_SYMLINK_NOFOLLOW, STATX_ALL);
			look("no automount", dir, "s", AT_NO_AUTOMOUNT, STATX_ALL);
			look("directory", dir, "", AT_EMPTY_PATH, STATX_ALL);
			look("empty without the flag", dir, "", 0, STATX_ALL);
			look("no path", dir, nullptr, AT_EMPTY_PATH, STATX_ALL);
			look("no path without the flag", dir, nullptr, 0, STATX_ALL);
			look("missing", dir, "missing", 0, STATX_ALL);
			look("working directory", AT_FDCWD, "", AT_EMPTY_PATH, STATX_TYPE);
			look("root", -4, "/", 0, STATX_TYPE);
			look("bad directory", -4, "file", 0, STATX_TYPE);
			look("closed", 901, "", AT_EMPTY_PATH, STATX_TYPE);
			int path = openat(dir, "file", O_PATH | O_CLOEXEC);
			look("a path", path, "", AT_EMPTY_PATH, STATX_ALL);
			close(path);
			say("nowhere to put it", calls.statx(dir, "file", 0, STATX_ALL, nullptr));
		});
	});
}

TEST_P(Names, ADirectoryThatHasLostItsName)
{
	run([] {
		compare([](auto calls, Script &say) {
			Tree tree;
			EXPECT_EQ(0, mkdirat(tree.fd(), "gone", 0700));
			int gone = openat(tree.fd(), "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			EXPECT_EQ(0, unlinkat(tree.fd(), "gone", AT_REMOVEDIR));
			struct statx at;
			say("open", calls.openat(gone, "x", O_RDWR | O_CREAT, 0600));
			say("mkdir", calls.mkdirat(gone, "x", 0700));
			say("symlink", calls.symlinkat("x", gone, "x"));
			say("unlink", calls.unlinkat(gone, "x", 0));
			say("rename", calls.renameat(gone, "x", tree.fd(), "x"));
			say("statx", calls.statx(gone, "", AT_EMPTY_PATH, STATX_NLINK, &at));
			say("links", at.stx_nlink);
			say("sync", calls.fsync(gone));
			close(gone);
		});
	});
}

/* A process of its own: identities are a process's. */
TEST(NamesAsNobody, DISABLED_IsRefused)
{
	const char *path = getenv("WEFT_TEST_PRIVATE");
	ASSERT_NE(nullptr, path);
	ASSERT_EQ(0, setgid(65534));
	ASSERT_EQ(0, setuid(65534));
	io_test::run(config_of({WEFT_RING_DEFER, 2}), [path] {
		struct statx at;
		std::string below = std::string(path) + "/x";
		EXPECT_EQ(-EACCES, weft_openat(AT_FDCWD, below.c_str(), O_RDONLY, 0));
		EXPECT_EQ(-EACCES, weft_openat(AT_FDCWD, below.c_str(), O_RDWR | O_CREAT, 0600));
		EXPECT_EQ(-EACCES, weft_mkdirat(AT_FDCWD, below.c_str(), 0700));
		EXPECT_EQ(-EACCES, weft_statx(AT_FDCWD, below.c_str(), 0, STATX_ALL, &at));
		EXPECT_LT(weft_unlinkat(AT_FDCWD, path, AT_REMOVEDIR), 0);
		EXPECT_EQ(-EACCES, weft_renameat(AT_FDCWD, below.c_str(), AT_FDCWD, "/tmp/y"));
		EXPECT_EQ(-EACCES, weft_symlinkat("x", AT_FDCWD, below.c_str()));
	});
}

TEST(NamesAsNobody, IsRefusedWhatThePermissionsForbid)
{
	if (geteuid() != 0)
		GTEST_SKIP() << "needs root, to become somebody else";
	std::string path = scratch_path("private");
	ASSERT_EQ(0, mkdir(path.c_str(), 0700));
	setenv("WEFT_TEST_PRIVATE", path.c_str(), 1);
	EXPECT_EQ(0,
		run_command({"env", "-u", "XML_OUTPUT_FILE", "-u", "TEST_PREMATURE_EXIT_FILE",
			"/proc/" + std::to_string(getpid()) + "/exe", "--gtest_brief=1",
			"--gtest_also_run_disabled_tests", "--gtest_filter=*DISABLED_IsRefused"}));
	unsetenv("WEFT_TEST_PRIVATE");
	EXPECT_EQ(0, rmdir(path.c_str()));
}

/* NF2 */
TEST_P(Names, ManyFibersInOneDirectory)
{
	run([] {
		constexpr int FIBERS = 16, EACH = rounds(20, 4);
		Tree tree;
		int dir = tree.fd();
		std::atomic<int> winners{0};
		{
			std::vector<std::unique_ptr<Fiber>> fibers;
			for (int f = 0; f < FIBERS; f++)
				fibers.push_back(std::make_unique<Fiber>([&, f] {
					winners += weft_mkdirat(dir, "only one", 0700) == 0;
					for (int i = 0; i < EACH; i++) {
						std::string name =
							std::to_string(f) + "." + std::to_string(i);
						std::string next = name + ".new";
						int fd = weft_openat(dir, name.c_str(),
							O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
						ASSERT_GE(fd, 0);
						EXPECT_EQ(3, weft_write(fd, "abc", 3));
						EXPECT_EQ(0, weft_close(fd));
						EXPECT_EQ(0,
							weft_linkat(dir, name.c_str(), dir,
								next.c_str(), 0));
						EXPECT_EQ(0,
							weft_renameat(dir, next.c_str(), dir,
								(next + "er").c_str()));
						struct statx at = {};
						EXPECT_EQ(0,
							weft_statx(dir, (next + "er").c_str(), 0,
								STATX_ALL, &at));
						EXPECT_EQ(2u, at.stx_nlink);
						EXPECT_EQ(3u, at.stx_size);
						EXPECT_EQ(0, weft_unlinkat(dir, name.c_str(), 0));
						EXPECT_EQ(0,
							weft_unlinkat(dir, (next + "er").c_str(), 0));
					}
				}));
		}
		EXPECT_EQ(1, winners.load());
		EXPECT_EQ(0, weft_unlinkat(dir, "only one", AT_REMOVEDIR));
		EXPECT_EQ("", tree.listing());
	});
}

/* NF3 */
TEST_P(Names, ADirectoryClosedMeanwhile)
{
	run([] {
		Tree tree;
		tree.file("file");
		for (int round = 0; round < rounds(40, 8); round++) {
			int dir = lifted(weft_openat(AT_FDCWD, tree.path().c_str(),
				O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
			ASSERT_GE(dir, 0);
			std::vector<std::unique_ptr<Fiber>> fibers;
			for (int f = 0; f < 4; f++)
				fibers.push_back(std::make_unique<Fiber>([&] {
					struct statx at;
					for (;;) {
						int result =
							weft_statx(dir, "file", 0, STATX_SIZE, &at);
						if (result == -EBADF || result == -ECANCELED)
							return;
						ASSERT_EQ(0, result);
						ASSERT_EQ(4u, at.stx_size);
					}
				}));
			for (int i = 0; i < round % 7; i++)
				weft_yield();
			EXPECT_EQ(0, weft_close(dir));
		}
	});
}

} // namespace
