/* SPDX-License-Identifier: MIT */
/* support.h - what the tests of stuck workers share
 *
 * What     Machine, an engine and a number of workers; hogs, fibers that do not give way, of several kinds; Gaps, how long something
 *          that goes on all the time stood still; Late, how late something came that was due once; Noise, what the machine itself adds;
 *          Said, what the process writes to stderr.
 * Rules    ST1 bounds are those of the issue plus what Noise saw meanwhile: a plain thread that only sleeps is late too where others compute.
 *             It has one on each processor: a virtual machine may lose one alone, with whoever is on it.
 *          ST2 a stall begins when all its hogs have arrived, so each of them has a thread of its own.
 *          ST3 runtimes are made by weft_start, so that plain threads can do their part.
 */
#ifndef TESTS_STUCK_SUPPORT_H
#define TESTS_STUCK_SUPPORT_H

#include <algorithm>
#include <atomic>
#include <deque>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <vector>

#include "tests/core/support.h"

namespace stuck
{
using support::eventually;
using support::ring_refused;
using support::sanitized;
using support::spawn;
using support::tsan;

struct Machine {
	unsigned engine;
	unsigned workers;
};

inline std::vector<Machine> machines(std::vector<unsigned> workers)
{
	std::vector<Machine> all;
	for (unsigned count : workers) {
		if (!ring_refused())
			all.push_back({WEFT_ENGINE_URING, count});
		all.push_back({WEFT_ENGINE_EPOLL, count});
	}
	return all;
}

inline std::string machine_name(const Machine &machine)
{
	return (machine.engine == WEFT_ENGINE_URING ? "Uring" : "Epoll") +
		std::to_string(machine.workers);
}

inline void PrintTo(const Machine &machine, std::ostream *out)
{
	*out << machine_name(machine);
}

/* ST3. Ends with the object. */
class Runtime
{
public:
	/* Lines about long runs are mostly another test's. */
	explicit Runtime(
		const Machine &machine, unsigned rescue = WEFT_RESCUE_AUTO, int64_t long_run = -1)
	{
		weft_config config{};
		config.workers = machine.workers;
		config.engine = machine.engine;
		config.rescue = rescue;
		config.long_run = long_run;
		config.stack_size = 256 * 1024; /* a failing EXPECT formats text */
		EXPECT_EQ(0, weft_start(&rt_, &config));
	}
	Runtime(const Runtime &) = delete;
	Runtime &operator=(const Runtime &) = delete;
	~Runtime()
	{
		stop();
	}
	weft_runtime *get() const
	{
		return rt_;
	}
	void submit(std::function<void()> fn)
	{
		auto call = [](void *arg) -> void * {
			std::unique_ptr<std::function<void()>> owned(
				static_cast<std::function<void()> *>(arg));
			(*owned)();
			return nullptr;
		};
		EXPECT_EQ(0, weft_submit(rt_, call, new std::function<void()>(std::move(fn))));
	}
	/* On a fiber of the runtime; waits for its end. */
	void run(const std::function<void()> &fn)
	{
		std::atomic<bool> ended{false};
		submit([&] {
			fn();
			ended = true;
		});
		while (!ended)
			usleep(1000);
	}
	void stop()
	{
		if (rt_ != nullptr) {
			EXPECT_EQ(0, weft_stop(rt_));
		}
		rt_ = nullptr;
	}

private:
	weft_runtime *rt_ = nullptr;
};

/* Times. */

inline double ms(int64_t ns)
{
	return static_cast<double>(ns) / 1e6;
}

inline void sleep_thread(int64_t ns)
{
	struct timespec time = {ns / WEFT_SEC, ns % WEFT_SEC};
	while (nanosleep(&time, &time) != 0)
		;
}

inline void sleep_thread_until(int64_t when)
{
	int64_t now = weft_now();
	if (when > now)
		sleep_thread(when - now);
}

/* When the stall begins and ends; both 0 until it is known. */
struct Stall {
	std::atomic<int64_t> from{0}, to{0};
};

/* What goes on all the time says so with step(); judged is what lies between the beginning of the stall and 100 ms after its end. One
 * fiber, or one thread, at a time. */
class Gaps
{
public:
	explicit Gaps(std::string name) : name_(std::move(name)) {}
	void step()
	{
		times_.push_back(weft_now());
	}
	/* Sorted, the last one up to the end. */
	std::vector<int64_t> gaps(const Stall &stall) const
	{
		int64_t from = stall.from, to = stall.to + 100 * WEFT_MS;
		std::vector<int64_t> all;
		int64_t last = from;
		for (int64_t time : times_) {
			if (time <= from)
				continue;
			all.push_back(std::min(time, to) - last);
			if (time >= to)
				break;
			last = time;
		}
		if (times_.empty() || times_.back() < to)
			all.push_back(to - last);
		std::sort(all.begin(), all.end());
		return all;
	}
	/* After the stall's beginning. */
	int64_t longest_begins(const Stall &stall) const
	{
		int64_t last = stall.from, longest = 0, begins = 0;
		for (int64_t time : times_) {
			if (time <= last || time > stall.to + 100 * WEFT_MS)
				continue;
			if (time - last > longest) {
				longest = time - last;
				begins = last - stall.from;
			}
			last = time;
		}
		return begins;
	}
	const std::string &name() const
	{
		return name_;
	}

private:
	std::string name_;
	std::vector<int64_t> times_;
};

/* Of few, one longer gap does not count: the stall has to be found out. */
inline int64_t percentile99(const std::vector<int64_t> &sorted)
{
	size_t longer = std::max<size_t>(1, sorted.size() / 100);
	return sorted.size() <= longer ? 0 : sorted[sorted.size() - 1 - longer];
}

/* ThreadSanitizer takes a number that comes again for the same file, because it does not see weft close it. */
inline void open_pipe(int fd[2])
{
	EXPECT_EQ(0, syscall(SYS_pipe2, fd, O_CLOEXEC));
}

/* ST1. */
class Noise
{
public:
	Noise()
	{
		cpu_set_t all;
		CPU_ZERO(&all);
		EXPECT_EQ(0, sched_getaffinity(0, sizeof(all), &all));
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &all))
				start(cpu);
	}
	Noise(const Noise &) = delete;
	Noise &operator=(const Noise &) = delete;
	~Noise()
	{
		end();
	}
	void end()
	{
		stop_ = true;
		for (std::thread &thread : threads_)
			thread.join();
		threads_.clear();
	}
	/* After the end: of the processor that was away for longest. */
	int64_t p99(const Stall &stall) const
	{
		int64_t longest = 0;
		for (const Gaps &gaps : gaps_)
			longest = std::max(longest, percentile99(gaps.gaps(stall)));
		return longest;
	}
	int64_t most(const Stall &stall) const
	{
		int64_t longest = 0;
		for (const Gaps &gaps : gaps_)
			longest = std::max(longest, gaps.gaps(stall).back());
		return longest;
	}

private:
	void start(int cpu)
	{
		gaps_.emplace_back("noise");
		Gaps *gaps = &gaps_.back();
		threads_.emplace_back([this, cpu, gaps] {
			cpu_set_t one;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one); /* else it is noise all the same */
			while (!stop_) {
				sleep_thread(WEFT_MS);
				gaps->step();
			}
		});
	}
	std::atomic<bool> stop_{false};
	std::deque<Gaps> gaps_;
	std::vector<std::thread> threads_;
};

struct Bounds {
	int64_t p99, most;
	static Bounds of(const Noise &noise, const Stall &stall)
	{
		int64_t scale = sanitized ? 5 : 1;
		return {scale * 25 * WEFT_MS + 2 * noise.p99(stall),
			scale * 100 * WEFT_MS + 2 * noise.most(stall)};
	}
};

inline void expect_going_on(const Gaps &gaps, const Stall &stall, const Bounds &bounds)
{
	std::vector<int64_t> all = gaps.gaps(stall);
	if (getenv("STUCK_SHOW") != nullptr)
		printf("%-24s %6zu steps, p99 %6.1f ms, most %6.1f ms at %6.1f ms\n",
			gaps.name().c_str(), all.size(), ms(percentile99(all)), ms(all.back()),
			ms(gaps.longest_begins(stall)));
	EXPECT_LT(percentile99(all), bounds.p99) << gaps.name() << ": p99 of " << all.size()
						 << " gaps is " << ms(percentile99(all)) << " ms";
	EXPECT_LT(all.back(), bounds.most)
		<< gaps.name() << ": a gap of " << ms(all.back()) << " ms among " << all.size();
}

/* Hogs. */

enum class Hog { NANOSLEEP, SPIN, POLL, EPOLL_WAIT, READ, FUTEX, TIMED_RECV, SELECT };
constexpr Hog EVERY_HOG[] = {Hog::NANOSLEEP, Hog::SPIN, Hog::POLL, Hog::EPOLL_WAIT, Hog::READ,
	Hog::FUTEX, Hog::TIMED_RECV, Hog::SELECT};

inline const char *hog_name(Hog hog)
{
	static const char *const names[] = {
		"Nanosleep", "Spin", "Poll", "EpollWait", "Read", "Futex", "TimedRecv", "Select"};
	return names[static_cast<int>(hog)];
}

/* Which may see EINTR, at most once a stall, in the default mode. */
inline bool may_be_interrupted(Hog hog)
{
	return hog == Hog::EPOLL_WAIT || hog == Hog::TIMED_RECV;
}

/* One blocking call of a fiber; release() by a plain thread ends those that wait for somebody. */
class Blocker
{
public:
	Blocker(Hog kind, int64_t duration) : kind_(kind), duration_(duration)
	{
		open_pipe(pipe_);
		EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_));
		epoll_ = epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = {};
		event.events = EPOLLIN;
		EXPECT_EQ(0, epoll_ctl(epoll_, EPOLL_CTL_ADD, pipe_[0], &event));
		struct timeval limit = {duration / WEFT_SEC, duration % WEFT_SEC / 1000};
		EXPECT_EQ(0, setsockopt(pair_[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	}
	Blocker(const Blocker &) = delete;
	Blocker &operator=(const Blocker &) = delete;
	~Blocker()
	{
		for (int fd : {pipe_[0], pipe_[1], pair_[0], pair_[1], epoll_})
			close(fd);
	}
	/* Holds the thread until the time is over; counts EINTR, and checks what the call returned. */
	void block()
	{
		int64_t end = weft_now() + duration_;
		while (weft_now() < end) {
			errno = 0;
			long result = call(std::max<int64_t>(end - weft_now(), WEFT_MS));
			if (result < 0 && errno == EINTR) {
				interrupted++;
				continue;
			}
			finish(result, errno);
			break;
		}
		ended = true;
	}
	void release()
	{
		if (kind_ == Hog::READ) {
			EXPECT_EQ(1, write(pipe_[1], "x", 1));
		} else if (kind_ == Hog::FUTEX) {
			word_ = 1;
			syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
		}
	}

	int interrupted = 0;
	std::atomic<bool> ended{false};

private:
	/* System calls alone: what the C library or a sanitizer does around them must not count. */
	long call(int64_t left)
	{
		struct timespec time = {left / WEFT_SEC, left % WEFT_SEC};
		struct pollfd nothing = {pipe_[0], POLLIN, 0};
		struct epoll_event event;
		char byte;
		switch (kind_) {
		case Hog::NANOSLEEP:
			return syscall(SYS_nanosleep, &time, nullptr);
		case Hog::SPIN:
			for (int64_t end = weft_now() + left; weft_now() < end;)
				;
			return 0;
		case Hog::POLL:
			return poll(&nothing, 1, static_cast<int>(left / WEFT_MS));
		case Hog::EPOLL_WAIT:
			return epoll_raw(&event, left);
		case Hog::READ:
			return syscall(SYS_read, pipe_[0], &byte, 1);
		case Hog::FUTEX:
			return syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
		case Hog::TIMED_RECV:
			return syscall(SYS_recvfrom, pair_[0], &byte, 1, 0, nullptr, nullptr);
		case Hog::SELECT:
			return select_raw(&time);
		}
		return -1;
	}
	long epoll_raw(struct epoll_event *event, int64_t left) const
	{
		return syscall(SYS_epoll_pwait, epoll_, event, 1, static_cast<int>(left / WEFT_MS),
			nullptr, 0);
	}
	long select_raw(struct timespec *time) const
	{
		fd_set set;
		FD_ZERO(&set);
		FD_SET(pipe_[0], &set);
		return syscall(SYS_pselect6, pipe_[0] + 1, &set, nullptr, nullptr, time, nullptr);
	}
	void finish(long result, int error) const
	{
		if (kind_ == Hog::READ) {
			EXPECT_EQ(1, result) << hog_name(kind_) << ": " << strerror(error);
		} else if (kind_ == Hog::FUTEX && error == EAGAIN) {
			EXPECT_EQ(1u, word_) << "released before it came to the call";
		} else if (kind_ == Hog::TIMED_RECV) {
			EXPECT_EQ(-1, result);
			EXPECT_EQ(EAGAIN, error);
		} else {
			EXPECT_EQ(0, result) << hog_name(kind_) << ": " << strerror(error);
		}
	}

	Hog kind_;
	int64_t duration_;
	int pipe_[2] = {-1, -1}, pair_[2] = {-1, -1}, epoll_ = -1;
	uint32_t word_ = 0;
};

/* ST2. On a fiber: the others' number that come too. */
class Gathering
{
public:
	explicit Gathering(int expected) : expected_(expected) {}
	/* True: all are there. */
	bool arrive()
	{
		arrived_++;
		int64_t limit = weft_now() + 5 * WEFT_SEC;
		while (arrived_ < expected_ && weft_now() < limit)
			sched_yield();
		return arrived_ >= expected_;
	}

private:
	int expected_;
	std::atomic<int> arrived_{0};
};

/* What happened once: due at a time, come at another. Who makes it happen says so afterwards: it may
 * itself be held up before. */
struct Late {
	std::string name;
	std::atomic<int64_t> due{0}, came{0};
	explicit Late(std::string of) : name(std::move(of)) {}
	void is_due()
	{
		due = weft_now();
	}
	void comes()
	{
		came = weft_now();
	}
	int64_t delay() const
	{
		return came == 0 ? INT64_MAX : came - due;
	}
};

inline void expect_in_time(const Late &late, const Bounds &bounds)
{
	if (getenv("STUCK_SHOW") != nullptr)
		printf("%-24s came after %6.1f ms\n", late.name.c_str(), ms(late.delay()));
	EXPECT_NE(0, late.due.load()) << late.name;
	if (late.came == 0)
		ADD_FAILURE() << late.name << ": never came";
	else
		EXPECT_LT(late.delay(), bounds.most)
			<< late.name << " came after " << ms(late.delay()) << " ms";
}

/* What the process writes to stderr while this lives; all of it can be read at any time. */
class Said
{
public:
	Said()
		: file_(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)), kept_(dup(STDERR_FILENO))
	{
		EXPECT_GE(file_, 0);
		fflush(stderr);
		dup2(file_, STDERR_FILENO);
	}
	Said(const Said &) = delete;
	Said &operator=(const Said &) = delete;
	~Said()
	{
		fflush(stderr);
		dup2(kept_, STDERR_FILENO);
		close(kept_);
		close(file_);
	}
	std::string text() const
	{
		struct stat status = {};
		fstat(file_, &status);
		std::string text(static_cast<size_t>(status.st_size), 0);
		ssize_t n = pread(file_, text.data(), text.size(), 0);
		text.resize(n > 0 ? static_cast<size_t>(n) : 0);
		return text;
	}
	size_t count(const std::string &part) const
	{
		const std::string all = text();
		size_t count = 0;
		for (size_t at = 0; (at = all.find(part, at)) != std::string::npos; at += part.size())
			count++;
		return count;
	}

private:
	int file_, kept_;
};

/* Uses its worker's time. */
inline void compute(int64_t duration)
{
	for (int64_t end = weft_now() + duration; weft_now() < end;)
		continue;
}

/* And so until the part was said so often. False: not within 20 s. */
inline bool compute_until_said(const Said &said, const std::string &part, size_t count)
{
	int64_t limit = weft_now() + 20 * WEFT_SEC;
	while (said.count(part) < count && weft_now() < limit)
		compute(10 * WEFT_MS);
	return said.count(part) >= count;
}

/* As support::eventually, but without a stall of its own. */
inline bool soon(const std::function<bool()> &condition)
{
	for (int i = 0; i < 2000 && !condition(); i++)
		EXPECT_EQ(0, weft_sleep(10 * WEFT_MS));
	return condition();
}

inline long spare_count()
{
	return support::threads_named("weft-spare");
}

} // namespace stuck

#endif
