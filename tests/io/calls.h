/* SPDX-License-Identifier: MIT */
/* calls.h - the same steps through the system calls and through weft, and what each said
 *
 * What     Plain and Weft offer the same calls, with the same results: >= 0 or a negative errno. A scenario is a generic lambda that takes one
 *          of them and a Script; compare() runs it with both and expects the same script, line for line. Mail: a message with room for everything.
 * Rules    CA1 a scenario never waits: Plain would block its worker. What has to be there is put there first.
 *          CA2 a scenario begins with what it makes itself, and leaves nothing behind.
 */
#ifndef WF_TESTS_IO_CALLS_H
#define WF_TESTS_IO_CALLS_H

#include <sstream>

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "tests/io/support.h"

namespace io_test
{

struct Plain {
	static constexpr bool IS_WEFT = false;

	static long ret(long result)
	{
		return result < 0 ? -errno : result;
	}
	static long read(int fd, void *buf, size_t len)
	{
		return ret(syscall(SYS_read, fd, buf, len));
	}
	static long write(int fd, const void *buf, size_t len)
	{
		return ret(::write(fd, buf, len));
	}
	static long pread(int fd, void *buf, size_t len, off_t at)
	{
		return ret(::pread(fd, buf, len, at));
	}
	static long pwrite(int fd, const void *buf, size_t len, off_t at)
	{
		return ret(::pwrite(fd, buf, len, at));
	}
	static long readv(int fd, const iovec *vector, int count)
	{
		return ret(syscall(SYS_readv, fd, vector, count));
	}
	static long writev(int fd, const iovec *vector, int count)
	{
		return ret(syscall(SYS_writev, fd, vector, count));
	}
	static long recv(int fd, void *buf, size_t len, int flags)
	{
		return ret(::recv(fd, buf, len, flags));
	}
	static long send(int fd, const void *buf, size_t len, int flags)
	{
		return ret(::send(fd, buf, len, flags | MSG_NOSIGNAL));
	}
	static long recvfrom(int fd, void *buf, size_t len, int flags, sockaddr *from, socklen_t *size)
	{
		return ret(::recvfrom(fd, buf, len, flags, from, size));
	}
	static long sendto(
		int fd, const void *buf, size_t len, int flags, const sockaddr *to, socklen_t size)
	{
		return ret(::sendto(fd, buf, len, flags | MSG_NOSIGNAL, to, size));
	}
	static long recvmsg(int fd, msghdr *message, int flags)
	{
		return ret(::recvmsg(fd, message, flags));
	}
	static long sendmsg(int fd, const msghdr *message, int flags)
	{
		return ret(::sendmsg(fd, message, flags | MSG_NOSIGNAL));
	}
	static long accept(int fd, sockaddr *addr, socklen_t *len, int flags)
	{
		return ret(::accept4(fd, addr, len, flags));
	}
	static long connect(int fd, const sockaddr *addr, socklen_t len)
	{
		return ret(::connect(fd, addr, len));
	}
	static long shutdown(int fd, int how)
	{
		return ret(::shutdown(fd, how));
	}
	static long poll(int fd, short events)
	{
		pollfd one = {fd, events, 0};
		int ready = ::poll(&one, 1, 0);
		return ready < 0 ? -errno : (one.revents & POLLNVAL) ? -EBADF : one.revents;
	}
	static long close(int fd)
	{
		return ret(::close(fd));
	}
	static long openat(int dir, const char *path, int flags, mode_t mode)
	{
		return ret(syscall(SYS_openat, dir, path, flags, mode));
	}
	static long fsync(int fd)
	{
		return ret(::fsync(fd));
	}
	static long fdatasync(int fd)
	{
		return ret(::fdatasync(fd));
	}
	static long fallocate(int fd, int mode, off_t offset, off_t len)
	{
		return ret(::fallocate(fd, mode, offset, len));
	}
	static long ftruncate(int fd, off_t len)
	{
		return ret(::ftruncate(fd, len));
	}
	static long statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
	{
		return ret(syscall(SYS_statx, dir, path, flags, mask, out));
	}
	static long unlinkat(int dir, const char *path, int flags)
	{
		return ret(syscall(SYS_unlinkat, dir, path, flags));
	}
	static long renameat(int from_dir, const char *from, int to_dir, const char *to)
	{
		return ret(syscall(SYS_renameat2, from_dir, from, to_dir, to, 0));
	}
	static long mkdirat(int dir, const char *path, mode_t mode)
	{
		return ret(syscall(SYS_mkdirat, dir, path, mode));
	}
	static long linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
	{
		return ret(syscall(SYS_linkat, from_dir, from, to_dir, to, flags));
	}
	static long symlinkat(const char *target, int dir, const char *path)
	{
		return ret(syscall(SYS_symlinkat, target, dir, path));
	}
	static long splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
	{
		return ret(::splice(in, in_at, out, out_at, len, flags));
	}
	static long sendfile(int out, int in, off_t *offset, size_t count)
	{
		return ret(::sendfile(out, in, offset, count));
	}
	static long waitid(idtype_t type, id_t id, siginfo_t *info, int options)
	{
		return ret(::waitid(type, id, info, options));
	}
};

struct Weft {
	static constexpr bool IS_WEFT = true;
	static constexpr auto read = weft_read;
	static constexpr auto write = weft_write;
	static constexpr auto pread = weft_pread;
	static constexpr auto pwrite = weft_pwrite;
	static constexpr auto readv = weft_readv;
	static constexpr auto writev = weft_writev;
	static constexpr auto recv = weft_recv;
	static constexpr auto send = weft_send;
	static constexpr auto recvfrom = weft_recvfrom;
	static constexpr auto sendto = weft_sendto;
	static constexpr auto recvmsg = weft_recvmsg;
	static constexpr auto sendmsg = weft_sendmsg;
	static constexpr auto accept = weft_accept;
	static constexpr auto connect = weft_connect;
	static constexpr auto shutdown = weft_shutdown;
	static constexpr auto close = weft_close;
	static constexpr auto openat = weft_openat;
	static constexpr auto fsync = weft_fsync;
	static constexpr auto fdatasync = weft_fdatasync;
	static constexpr auto fallocate = weft_fallocate;
	static constexpr auto ftruncate = weft_ftruncate;
	static constexpr auto statx = weft_statx;
	static constexpr auto unlinkat = weft_unlinkat;
	static constexpr auto renameat = weft_renameat;
	static constexpr auto mkdirat = weft_mkdirat;
	static constexpr auto linkat = weft_linkat;
	static constexpr auto symlinkat = weft_symlinkat;
	static constexpr auto splice = weft_splice;
	static constexpr auto sendfile = weft_sendfile;
	static constexpr auto waitid = weft_waitid;

	/* What is not ready now: 0, as poll(2) with no time says. What is ready has all the time: a deadline that has passed comes first. */
	static long poll(int fd, short events)
	{
		weft_ns time = Plain::poll(fd, events) != 0 ? PATIENCE : 2 * WEFT_MS;
		weft_ns before = weft_deadline(weft_after(time));
		int ready = weft_poll(fd, events);
		weft_deadline(before);
		return ready == -ETIMEDOUT ? 0 : ready;
	}
};

/* What a scenario saw, a line each. */
class Script
{
public:
	void operator()(const std::string &what, long result)
	{
		text_ << what << ": ";
		const char *name = result < 0 ? strerrorname_np(static_cast<int>(-result)) : nullptr;
		if (name != nullptr)
			text_ << name << '\n';
		else
			text_ << result << '\n';
	}
	void operator()(const std::string &what, const std::string &bytes)
	{
		text_ << what << ": '" << bytes << "'\n";
	}
	std::string text() const
	{
		return text_.str();
	}

private:
	std::ostringstream text_;
};

/* The lines that differ, with the number of each; "" when there are none. */
inline std::string difference(const std::string &plain, const std::string &weft)
{
	std::istringstream left(plain), right(weft);
	std::ostringstream out;
	std::string a, b;
	for (int line = 1;; line++) {
		bool more_left = bool(std::getline(left, a)), more_right = bool(std::getline(right, b));
		if (!more_left && !more_right)
			return out.str();
		if (!more_left || !more_right || a != b)
			out << "line " << line << ": the system call " << (more_left ? a : "-")
			    << ", weft " << (more_right ? b : "-") << '\n';
	}
}

/* On a fiber. A step that parks for good fails by the deadline, and so shows. */
template <typename Scenario>
inline void compare(Scenario scenario)
{
	Script plain, weft;
	scenario(Plain{}, plain);
	weft_ns before = weft_deadline(weft_after(PATIENCE));
	scenario(Weft{}, weft);
	weft_deadline(before);
	EXPECT_EQ("", difference(plain.text(), weft.text()));
}

/* Both of them, of any kind; to be closed. */
struct Two {
	int first = -1, second = -1;
};

inline Two two_of(int type, int domain = AF_UNIX)
{
	int fds[2] = {-1, -1};
	EXPECT_EQ(0, socketpair(domain, type | SOCK_CLOEXEC, 0, fds));
	return {fds[0], fds[1]};
}

inline Two pipe_two()
{
	int fds[2] = {-1, -1};
	EXPECT_EQ(0, pipe2(fds, O_CLOEXEC));
	return {fds[0], fds[1]};
}

inline void close_two(Two two)
{
	::close(two.first);
	::close(two.second);
}

/* A message with room for everything. */
struct Mail {
	char name[128], first[8] = {}, second[8] = {};
	alignas(cmsghdr) char control[256];
	iovec parts[2];
	msghdr head = {};

	explicit Mail(size_t first_len = 8, size_t second_len = 8, size_t control_len = 256)
	{
		memset(name, 0, sizeof(name));
		memset(control, 0, sizeof(control));
		parts[0] = {first, first_len};
		parts[1] = {second, second_len};
		head.msg_name = name;
		head.msg_namelen = sizeof(name);
		head.msg_iov = parts;
		head.msg_iovlen = 2;
		head.msg_control = control;
		head.msg_controllen = control_len;
	}
	Mail(const Mail &) = delete;
	Mail &operator=(const Mail &) = delete;
	void tell(Script &say, const std::string &what, long result) const
	{
		say(what, result);
		say("name length", head.msg_namelen);
		say("control length", static_cast<long>(head.msg_controllen));
		say("flags", head.msg_flags);
		say("first", std::string(first, 8));
		say("second", std::string(second, 8));
	}
};

} // namespace io_test

#endif
