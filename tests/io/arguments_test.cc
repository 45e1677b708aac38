/* SPDX-License-Identifier: MIT */
/* arguments_test.cc - wrong arguments of the I/O calls
 *
 * Law  negative, huge, NULL and mismatched arguments are the errors POSIX gives, never undefined, and leave
 *      the runtime as it was.
 * Law  no call reports through errno.
 */
#include "tests/io/support.h"

#include <climits>

#include <poll.h>
#include <sys/un.h>

using namespace io_test;

namespace
{

class Arguments : public Rings
{
};
IN_EVERY_SETUP(Arguments);

/* Not mapped, and not NULL. */
void *bad_pointer()
{
	return reinterpret_cast<void *>(16);
}

TEST_P(Arguments, DescriptorsThatAreNotOpen)
{
	run([] {
		char byte = 0;
		sockaddr_in address{};
		address.sin_family = AF_INET;
		auto *generic = reinterpret_cast<sockaddr *>(&address);
		for (int fd : {-1, INT_MIN, -100 /* AT_FDCWD */, 19999, 1 << 20, INT_MAX}) {
			EXPECT_EQ(-EBADF, weft_read(fd, &byte, 1)) << fd;
			EXPECT_EQ(-EBADF, weft_read_full(fd, &byte, 1)) << fd;
			EXPECT_EQ(-EBADF, weft_write(fd, &byte, 1)) << fd;
			EXPECT_EQ(-EBADF, weft_write_full(fd, &byte, 1)) << fd;
			EXPECT_EQ(-EBADF, weft_recv(fd, &byte, 1, 0)) << fd;
			EXPECT_EQ(-EBADF, weft_recv(fd, &byte, 1, MSG_DONTWAIT)) << fd;
			EXPECT_EQ(-EBADF, weft_send(fd, &byte, 1, 0)) << fd;
			EXPECT_EQ(-EBADF, weft_send(fd, &byte, 1, MSG_DONTWAIT)) << fd;
			EXPECT_EQ(-EBADF, weft_send_full(fd, &byte, 1, 0)) << fd;
			EXPECT_EQ(-EBADF, weft_accept(fd, nullptr, nullptr, 0)) << fd;
			EXPECT_EQ(-EBADF, weft_connect(fd, generic, sizeof(address))) << fd;
			EXPECT_EQ(-EBADF, weft_poll(fd, POLLIN)) << fd;
			EXPECT_EQ(-EBADF, weft_shutdown(fd, SHUT_RDWR)) << fd;
			EXPECT_EQ(-EBADF, weft_close(fd)) << fd;
			EXPECT_EQ(-EBADF, weft_local_port(fd)) << fd;
			if (fd != AT_FDCWD) {
				EXPECT_EQ(-EBADF, weft_openat(fd, "name", O_RDONLY, 0)) << fd;
			}
		}
	});
}

TEST_P(Arguments, WrongKindsOfDescriptor)
{
	run([] {
		char byte = 0;
		Pair pipe = connect_pair(Link::PIPE);
		EXPECT_EQ(-ENOTSOCK, weft_recv(pipe.in, &byte, 1, 0));
		EXPECT_EQ(-ENOTSOCK, weft_recv(pipe.in, &byte, 1, MSG_DONTWAIT));
		EXPECT_EQ(-ENOTSOCK, weft_send(pipe.out, &byte, 1, 0));
		EXPECT_EQ(-ENOTSOCK, weft_accept(pipe.in, nullptr, nullptr, 0));
		EXPECT_EQ(-ENOTSOCK, weft_shutdown(pipe.in, SHUT_RD));
		EXPECT_EQ(-ENOTSOCK, weft_local_port(pipe.in));
		EXPECT_EQ(-EBADF, weft_read(pipe.out, &byte, 1)) << "open for writing only";
		EXPECT_EQ(-EBADF, weft_write(pipe.in, &byte, 1)) << "open for reading only";
		EXPECT_EQ(-ENOTDIR, weft_openat(pipe.in, "name", O_RDONLY, 0));
		close_pair(pipe);

		int folder = weft_openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		ASSERT_GE(folder, 0);
		EXPECT_EQ(-EISDIR, weft_read(folder, &byte, 1));
		EXPECT_EQ(0, weft_close(folder));

		int unbound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		EXPECT_EQ(-EINVAL, weft_accept(unbound, nullptr, nullptr, 0)) << "does not listen";
		EXPECT_EQ(-ENOTCONN, weft_recv(unbound, &byte, 1, 0));
		EXPECT_EQ(-EPIPE, weft_send(unbound, &byte, 1, 0));
		EXPECT_EQ(-ENOTCONN, weft_shutdown(unbound, SHUT_RDWR));
		EXPECT_EQ(0, weft_close(unbound));
	});
}

TEST_P(Arguments, PointersThatLeadNowhere)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		EXPECT_EQ(3, weft_send(pair.out, "abc", 3, 0));
		EXPECT_EQ(-EFAULT, weft_read(pair.in, nullptr, 1));
		EXPECT_EQ(-EFAULT, weft_read(pair.in, bad_pointer(), 1));
		EXPECT_EQ(-EFAULT, weft_recv(pair.in, nullptr, 1, 0));
		EXPECT_EQ(-EFAULT, weft_write(pair.out, nullptr, 1));
		EXPECT_EQ(-EFAULT, weft_send(pair.out, bad_pointer(), 1, 0));
		EXPECT_EQ(-EFAULT, weft_openat(AT_FDCWD, nullptr, O_RDONLY, 0));
		EXPECT_EQ(-EFAULT,
			weft_openat(AT_FDCWD, static_cast<char *>(bad_pointer()), O_RDONLY, 0));
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		EXPECT_EQ(-EFAULT, weft_connect(fd, nullptr, sizeof(sockaddr_in)));
		EXPECT_EQ(-EINVAL, weft_connect(fd, nullptr, 0));
		EXPECT_EQ(0, weft_close(fd));
		char buf[4] = {};
		EXPECT_EQ(3, weft_read(pair.in, buf, 3)) << "nothing was lost on the way";
		EXPECT_STREQ("abc", buf);
		close_pair(pair);
	});
}

TEST_P(Arguments, NumbersOutOfRange)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		char byte = 0;
		size_t huge = static_cast<size_t>(SSIZE_MAX) + 1;
		EXPECT_EQ(-EINVAL, weft_read_full(pair.in, &byte, huge));
		EXPECT_EQ(-EINVAL, weft_write_full(pair.in, &byte, huge));
		EXPECT_EQ(-EINVAL, weft_send_full(pair.in, &byte, huge, 0));
		EXPECT_EQ(-EINVAL, weft_shutdown(pair.in, 7));
		EXPECT_EQ(-EINVAL, weft_shutdown(pair.in, -1));
		EXPECT_EQ(-ENOENT, weft_openat(AT_FDCWD, "", O_RDONLY, 0));
		std::string long_name(5000, 'n');
		EXPECT_EQ(-ENAMETOOLONG, weft_openat(AT_FDCWD, long_name.c_str(), O_RDONLY, 0));
		int listener = weft_listen("127.0.0.1:0");
		EXPECT_EQ(-EINVAL, weft_accept(listener, nullptr, nullptr, 1 << 20)) << "flags";
		sockaddr_storage address{};
		EXPECT_EQ(-EINVAL,
			weft_connect(listener, reinterpret_cast<sockaddr *>(&address), 1 << 20));
		EXPECT_EQ(0, weft_close(listener));
		/* An amount beyond what Linux moves at once is cut, not refused. */
		EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0));
		EXPECT_EQ(1, weft_recv(pair.in, &byte, SIZE_MAX, MSG_PEEK));
		close_pair(pair);
	});
}

/* POSIX: an absolute path makes the folder irrelevant. */
TEST_P(Arguments, AbsolutePathNeedsNoFolder)
{
	run([] {
		int fd = weft_openat(-1, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(0, weft_close(fd));
	});
}

__attribute__((noinline)) int *own_errno()
{
	__asm__ volatile("");
	return &errno;
}

TEST_P(Arguments, ErrnoIsUntouched)
{
	run([] {
		char byte;
		Pair pair = connect_pair(Link::UNIX);
		*own_errno() = E2BIG;
		EXPECT_EQ(-EBADF, weft_read(-1, &byte, 1));
		EXPECT_EQ(-EAGAIN, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
		EXPECT_EQ(-EINVAL, weft_listen("nonsense"));
		EXPECT_EQ(-EBADF, weft_close(-1));
		EXPECT_EQ(-EAFNOSUPPORT, weft_local_port(pair.in));
		EXPECT_EQ(-EFAULT, weft_openat(AT_FDCWD, nullptr, O_RDONLY, 0));
		EXPECT_EQ(-ECONNREFUSED, weft_dial("127.0.0.1:1"));
		EXPECT_EQ(E2BIG, *own_errno());
		close_pair(pair);
	});
}

} // namespace
