/* SPDX-License-Identifier: MIT */
/* own_fd_test.cc - descriptors that weft itself opens
 *
 * Law  what is read ends with a zero, also where the file is longer; what cannot be read is "", and says why.
 * Law  errno stays as it was, and nothing stays open in a program that is started.
 */
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/eventfd.h>
#include <unistd.h>

#include <gtest/gtest.h>

extern "C" {
#include "sched/base/own_fd.h"
}

namespace
{

/* Of so many bytes, and gone with the object. */
class File
{
public:
	explicit File(size_t size) : fd_(mkstemp(path_))
	{
		std::string text(size, 'x');
		EXPECT_EQ(static_cast<ssize_t>(size), write(fd_, text.data(), size));
	}
	~File()
	{
		unlink(path_);
		close(fd_);
	}
	const char *path() const
	{
		return path_;
	}

private:
	char path_[32] = "/tmp/own_fd_test.XXXXXX";
	int fd_;
};

} // namespace

TEST(OwnFd, TextIsCutToItsRoom)
{
	for (size_t size : {0u, 1u, 6u, 7u, 8u, 5000u}) {
		File file(size);
		char text[8];
		memset(text, 'y', sizeof(text));
		errno = E2BIG;
		ssize_t read = wf_own_text(file.path(), text, sizeof(text));
		EXPECT_EQ(static_cast<ssize_t>(std::min<size_t>(size, 7)), read);
		EXPECT_EQ(std::string(static_cast<size_t>(read), 'x'), text);
		EXPECT_EQ(E2BIG, errno);
	}
}

TEST(OwnFd, WhatCannotBeReadIsEmpty)
{
	char text[8] = "before";
	errno = E2BIG;
	EXPECT_EQ(-ENOENT, wf_own_text("/nowhere/at/all", text, sizeof(text)));
	EXPECT_STREQ("", text);
	EXPECT_EQ(-EISDIR, wf_own_text("/", text, sizeof(text)));
	EXPECT_EQ(E2BIG, errno);
}

TEST(OwnFd, AReadEndsWithTheFile)
{
	File file(100);
	char bytes[64];
	int fd = wf_own_open(file.path(), 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(64, wf_own_pread(fd, bytes, sizeof(bytes), 10));
	EXPECT_EQ(30, wf_own_pread(fd, bytes, sizeof(bytes), 70));
	EXPECT_EQ(0, wf_own_pread(fd, bytes, sizeof(bytes), 100));
	EXPECT_EQ(-EINVAL, wf_own_pread(fd, bytes, sizeof(bytes), -1));
	wf_own_close(fd);
	EXPECT_EQ(-EBADF, wf_own_pread(fd, bytes, sizeof(bytes), 0));
}

TEST(OwnFd, TheyCloseOnExec)
{
	for (int fd : {wf_own_open("/proc/self/stat", 0), wf_own_open("/proc/self/task", O_DIRECTORY),
		     wf_own_eventfd(EFD_NONBLOCK), wf_own_epoll()}) {
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		wf_own_close(fd);
		errno = 0;
		EXPECT_EQ(-1, fcntl(fd, F_GETFD));
		EXPECT_EQ(EBADF, errno);
	}
	int ends[2];
	ASSERT_EQ(0, wf_own_pipe(ends));
	for (int fd : ends) {
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		wf_own_close(fd);
	}
	EXPECT_EQ(-ENOTDIR, wf_own_open("/proc/self/stat", O_DIRECTORY));
	EXPECT_EQ(-EINVAL, wf_own_eventfd(INT32_MIN));
}
