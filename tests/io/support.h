/* SPDX-License-Identifier: MIT */
/* support.h - what the tests of the I/O share
 *
 * What     Rings, a fixture whose tests run in every ring mode, or with epoll, on 1, 2 and 4 workers; Fiber, a fiber
 *          made of a lambda; pairs of connected descriptors; a byte pattern to check transfers with.
 * Rules    I1 no test sleeps and hopes: until() waits for a condition, and fails when it does not
 *             come within a generous bound.
 *          I2 fibers hand data to each other by a join or an atomic: ThreadSanitizer does not know
 *             that bytes through a socket order anything.
 *          I3 a failed EXPECT is the same on a fiber as elsewhere; a failed ASSERT leaves only the
 *             function it stands in.
 */
#ifndef WF_TESTS_IO_SUPPORT_H
#define WF_TESTS_IO_SUPPORT_H

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/weft.h>

#include "tests/core/support.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WF_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WF_TEST_SANITIZED 1
#endif
#endif
#ifndef WF_TEST_SANITIZED
#define WF_TEST_SANITIZED 0
#endif

namespace io_test
{
using support::ring_refused;

/* How often: a loop that takes a second as shipped takes ten under a sanitizer. */
constexpr int rounds(int shipped, int sanitized)
{
	return WF_TEST_SANITIZED ? sanitized : shipped;
}

/* Longest wait for what must happen, on a machine that does much else. */
constexpr weft_ns PATIENCE = 10 * WEFT_SEC;

struct Setup {
	unsigned ring;
	unsigned workers;
};

/* Do runtimes that do not ask for an engine get epoll? Asked for in the environment, or io_uring is refused here. */
inline bool on_epoll()
{
	const char *asked = getenv("WEFT_ENGINE");
	if (asked != nullptr && asked[0] != '\0' && strcmp(asked, "auto") != 0)
		return strcmp(asked, "epoll") == 0;
	return ring_refused();
}

inline const char *ring_name(unsigned ring)
{
	return ring == WEFT_RING_DEFER	  ? "Defer"
		: ring == WEFT_RING_COOP  ? "Coop"
		: ring == WEFT_RING_PLAIN ? "Plain"
					  : "Epoll";
}

inline std::string setup_name(const testing::TestParamInfo<Setup> &info)
{
	return ring_name(info.param.ring) + std::to_string(info.param.workers);
}

inline void PrintTo(const Setup &setup, std::ostream *out)
{
	*out << ring_name(setup.ring) << " on " << setup.workers;
}

inline std::vector<Setup> every_setup()
{
	std::vector<Setup> all;
	std::vector<unsigned> rings{WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN};
	if (on_epoll())
		rings = {0};
	for (unsigned ring : rings)
		for (unsigned workers : {1u, 2u, 4u})
			all.push_back({ring, workers});
	return all;
}

using Body = std::function<void()>;

inline void *call_body(void *body)
{
	(*static_cast<Body *>(body))();
	return nullptr;
}

inline weft_config config_of(const Setup &setup)
{
	weft_config config{};
	config.workers = setup.workers;
	config.flags = setup.ring;
	config.stack_size = 256 * 1024; /* a failing EXPECT formats text, and sanitizers widen frames */
	return config;
}

/* Runs a body as the first fiber of a runtime. */
inline void run(const weft_config &config, Body body)
{
	ASSERT_EQ(0, weft_run(&config, call_body, &body, nullptr));
}

/* A test in every ring mode, on 1, 2 and 4 workers. */
class Rings : public testing::TestWithParam<Setup>
{
public:
	void run(Body body) const
	{
		io_test::run(config_of(GetParam()), std::move(body));
	}
};

#define IN_EVERY_SETUP(fixture)                                                                    \
	INSTANTIATE_TEST_SUITE_P(                                                                  \
		Rings, fixture, testing::ValuesIn(io_test::every_setup()), io_test::setup_name)

/* A fiber made of a lambda; joined by the destructor at the latest, also when its owner is cancelled. */
class Fiber
{
public:
	explicit Fiber(Body body) : body_(std::move(body))
	{
		EXPECT_EQ(0, weft_spawn(&handle_, call_body, &body_));
	}
	Fiber(const Fiber &) = delete;
	Fiber &operator=(const Fiber &) = delete;
	~Fiber()
	{
		join();
	}
	int cancel()
	{
		return weft_cancel(handle_);
	}
	void join()
	{
		if (handle_ == nullptr)
			return;
		weft_ns deadline = weft_deadline(WEFT_FOREVER);
		bool shielded = weft_shield(true);
		EXPECT_EQ(0, weft_join(handle_, nullptr));
		weft_shield(shielded);
		weft_deadline(deadline);
		handle_ = nullptr;
	}

private:
	Body body_;
	weft_fiber *handle_ = nullptr;
};

using Fibers = std::vector<std::unique_ptr<Fiber>>;

inline void spawn_into(Fibers &fibers, Body body)
{
	fibers.push_back(std::make_unique<Fiber>(std::move(body)));
}

/* I1. On a fiber. */
template <typename Condition>
inline bool until(Condition condition)
{
	weft_ns limit = weft_after(PATIENCE);
	for (int looks = 0; !condition(); looks++) {
		if (weft_now() > limit)
			return false;
		if (looks < 20)
			weft_yield();
		else
			weft_sleep(100 * WEFT_US);
	}
	return true;
}

/* At least so many were, at a moment of the call: what other workers count during it makes it less,
 * never negative. */
inline uint64_t operations_in_flight()
{
	weft_stats before, after;
	EXPECT_GT(weft_stats_get(nullptr, &before, nullptr, 0), 0);
	EXPECT_GT(weft_stats_get(nullptr, &after, nullptr, 0), 0);
	uint64_t begun = before.total.ops, ended = after.total.completions;
	return begun > ended ? begun - ended : 0;
}

/* Until so many fibers are parked in the ring. */
inline bool until_parked(uint64_t count)
{
	return until([&] { return operations_in_flight() >= count; });
}

/* Two connected descriptors: what is written to `out` is read from `in`. */
struct Pair {
	int in = -1;
	int out = -1;
};

enum class Link { PIPE, UNIX, TCP4, TCP6 };
constexpr Link EVERY_LINK[] = {Link::PIPE, Link::UNIX, Link::TCP4, Link::TCP6};
constexpr Link EVERY_SOCKET[] = {Link::UNIX, Link::TCP4, Link::TCP6};

inline const char *link_name(Link link)
{
	switch (link) {
	case Link::PIPE:
		return "pipe";
	case Link::UNIX:
		return "unix";
	case Link::TCP4:
		return "tcp4";
	case Link::TCP6:
		return "tcp6";
	}
	return "";
}

inline bool have_ipv6()
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sockaddr_in6 loopback{};
	loopback.sin6_family = AF_INET6;
	loopback.sin6_addr = in6addr_loopback;
	bool have = fd >= 0 && bind(fd, reinterpret_cast<sockaddr *>(&loopback), sizeof(loopback)) == 0;
	if (fd >= 0)
		close(fd);
	return have;
}

/* Makes both ends; on a fiber. Without IPv6 a TCP6 pair is a TCP4 pair. */
inline Pair connect_pair(Link link)
{
	Pair pair;
	int fds[2] = {-1, -1};
	if (link == Link::PIPE || link == Link::UNIX) {
		int error = link == Link::PIPE
			? pipe2(fds, O_CLOEXEC)
			: socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
		EXPECT_EQ(0, error);
		return {fds[0], fds[1]};
	}
	std::string host = link == Link::TCP6 && have_ipv6() ? "[::1]:" : "127.0.0.1:";
	int listener = weft_listen((host + "0").c_str());
	EXPECT_GE(listener, 0);
	pair.out = weft_dial((host + std::to_string(weft_local_port(listener))).c_str());
	EXPECT_GE(pair.out, 0);
	pair.in = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
	EXPECT_GE(pair.in, 0);
	EXPECT_EQ(0, weft_close(listener));
	return pair;
}

constexpr int HIGH_NUMBER = 600;

/* Before there are threads: a larger table of descriptors would hold a fiber's worker for 10 ms. */
inline const int table_has_grown = close(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HIGH_NUMBER));

/* The same file under a high number, for what is still named after its close: who opens something
 * then, as weft's monitor does in /proc at any time, gets the lowest number that is free. */
inline int lifted(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_NUMBER);
	EXPECT_GE(high, 0);
	EXPECT_EQ(0, weft_close(fd));
	return high;
}

inline void close_pair(Pair pair)
{
	EXPECT_EQ(0, weft_close(pair.in));
	EXPECT_EQ(0, weft_close(pair.out));
}

/* The bytes of a transfer: each says where it stands, so that loss, doubling and mixing show. */
inline unsigned char byte_at(size_t offset)
{
	return static_cast<unsigned char>((offset * 2654435761u) >> 24 ^ offset);
}

inline void fill(unsigned char *buf, size_t len, size_t offset)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(offset + i);
}

inline bool matches(const unsigned char *buf, size_t len, size_t offset)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_at(offset + i))
			return false;
	return true;
}

inline void set_nonblocking(int fd)
{
	EXPECT_EQ(0, fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

/* A folder of this process, gone at its end. Its name is short, because a socket's path must be; that of
 * testing::TempDir() may be as long as a build tree is deep. */
class ScratchFolder
{
public:
	ScratchFolder()
	{
		const char *base = getenv("TMPDIR");
		path_ = std::string(base != nullptr ? base : P_tmpdir) + "/weft-XXXXXX";
		EXPECT_NE(nullptr, mkdtemp(path_.data())) << path_;
	}
	~ScratchFolder()
	{
		rmdir(path_.c_str());
	}
	const std::string &path() const
	{
		return path_;
	}

private:
	std::string path_;
};

/* Whoever makes something there removes it. */
inline std::string scratch_path(const std::string &name)
{
	static ScratchFolder folder;
	return folder.path() + "/" + name;
}

/* Threads that a busy machine makes have descriptors of their own: those that stand in for stuck
 * workers, and those that say whose fiber held one. */
inline bool has_helpers()
{
	return support::threads_named("weft-spare") + support::threads_named("weft-report") > 0;
}

/* On a fiber without holding its worker: while one is held weft's monitor opens files of /proc. */
inline void nap(weft_ns span)
{
	if (weft_self() == nullptr || weft_sleep(span) != 0)
		usleep(static_cast<useconds_t>(span / WEFT_US));
}

/* Is it a file of /proc, or nothing any more? Weft's monitor opens some for a moment, which lasts
 * where it loses the processor. */
inline bool is_momentary(int fd)
{
	char target[6];
	std::string link = "/proc/self/fd/" + std::to_string(fd);
	ssize_t len = readlink(link.c_str(), target, sizeof(target));
	return len < 0 || (len == sizeof(target) && memcmp(target, "/proc/", sizeof(target)) == 0);
}

/* The descriptors open in this process, the one that counts left out. False: some will not stay. */
inline bool look_at_open(int &count)
{
	bool lasting = true;
	DIR *dir = opendir("/proc/self/fd");
	count = -1;
	while (const dirent *entry = dir != nullptr ? readdir(dir) : nullptr) {
		int fd = atoi(entry->d_name);
		count += entry->d_name[0] != '.';
		if (entry->d_name[0] != '.' && fd != dirfd(dir))
			lasting = lasting && !is_momentary(fd);
	}
	if (dir != nullptr)
		closedir(dir);
	return lasting;
}

/* The least of twenty looks that saw lasting ones only; where there are no such looks, the last. */
inline int count_open()
{
	int count = -1, least = INT_MAX;
	for (int looks = 0, tries = 0; looks < 20 && tries < 1000; tries++) {
		bool lasting = !has_helpers() && look_at_open(count);
		if (lasting) {
			least = std::min(least, count);
			looks++;
		}
		nap(lasting ? 100 * WEFT_US : 10 * WEFT_MS);
	}
	return least == INT_MAX ? count : least;
}

/* Takes every descriptor there is but some; gives them back at its end. */
class FewDescriptors
{
public:
	explicit FewDescriptors(int left)
	{
		getrlimit(RLIMIT_NOFILE, &before_);
		rlimit low = before_;
		low.rlim_cur = 400;
		setrlimit(RLIMIT_NOFILE, &low);
		for (int i = 0; i < 500 && has_helpers(); i++)
			nap(10 * WEFT_MS);
		for (int i = 0; i < 500 && !take(static_cast<int>(low.rlim_cur)); i++)
			nap(WEFT_MS);
		for (; left > 0; left--) {
			close(taken_.back());
			taken_.pop_back();
		}
	}
	FewDescriptors(const FewDescriptors &) = delete;
	FewDescriptors &operator=(const FewDescriptors &) = delete;
	~FewDescriptors()
	{
		for (int fd : taken_)
			close(fd);
		setrlimit(RLIMIT_NOFILE, &before_);
	}

private:
	/* All there are. False: somebody else has one that is given back soon. */
	bool take(int limit)
	{
		int fd;
		while ((fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
			taken_.push_back(fd);
		for (fd = 0; fd < limit && !is_momentary(fd); fd++)
			;
		return fd == limit;
	}

	rlimit before_;
	std::vector<int> taken_;
};

/* Runs a command; its exit code, or 128 + the signal, or -1 when it could not be run. */
inline int run_command(std::vector<std::string> words)
{
	std::vector<char *> argv;
	for (std::string &word : words)
		argv.push_back(word.data());
	argv.push_back(nullptr);
	/* LeakSanitizer cannot look at a traced process. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	pid_t child;
	int status;
	if (posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0 ||
		waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline bool can_trace()
{
	return run_command({"strace", "-f", "-qq", "-o", "/dev/null", "true"}) == 0;
}

/* Runs a disabled test of this program under strace, which makes some of its system calls fail. */
inline int run_with_fault(const std::string &call, const std::string &fault, const std::string &test)
{
	std::string self = "/proc/" + std::to_string(getpid()) + "/exe";
	return run_command({"timeout", "60", "strace", "-f", "-qq", "-o", "/dev/null", "-e",
		"trace=" + call, "-e", "inject=" + call + ":" + fault, self,
		"--gtest_also_run_disabled_tests", "--gtest_filter=" + test, "--gtest_brief=1"});
}

} // namespace io_test

#endif
