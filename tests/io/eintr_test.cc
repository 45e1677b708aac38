/* SPDX-License-Identifier: MIT */
/* eintr_test.cc - signals come all the time, to handlers without SA_RESTART
 *
 * Laws     EI1 no weft call says -EINTR, ever.
 *          EI2 the data is right, counts are right, nothing is lost, done twice, or left hanging.
 */
#include <atomic>
#include <csignal>
#include <thread>

#include <sys/time.h>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

std::atomic<unsigned> signals{0};

void count_signal(int)
{
	signals++;
}

/* A signal each 200 microseconds to the process, as long as it lives; half of them by a timer of processor time, which whoever works gets. */
class Storm
{
public:
	Storm()
	{
		struct sigaction action = {};
		action.sa_handler = count_signal; /* no SA_RESTART */
		sigaction(SIGALRM, &action, &before_alarm_);
		sigaction(SIGPROF, &action, &before_prof_);
		itimerval often = {{0, 200}, {0, 200}};
		setitimer(ITIMER_REAL, &often, nullptr);
		setitimer(ITIMER_PROF, &often, nullptr);
	}
	Storm(const Storm &) = delete;
	Storm &operator=(const Storm &) = delete;
	~Storm()
	{
		itimerval never = {};
		setitimer(ITIMER_REAL, &never, nullptr);
		setitimer(ITIMER_PROF, &never, nullptr);
		sigaction(SIGALRM, &before_alarm_, nullptr);
		sigaction(SIGPROF, &before_prof_, nullptr);
		if (!WF_TEST_SANITIZED) { /* ThreadSanitizer holds them back */
			EXPECT_GT(signals.load(), 0u);
		}
		signals = 0;
	}

private:
	struct sigaction before_alarm_, before_prof_;
};

class Eintr : public Rings
{
public:
	void run(Body body) const
	{
		Storm storm;
		Rings::run([body] {
			/* Workers block signals; a program may let them in. (Not with ThreadSanitizer, which waits for itself in its handler.) */
			std::vector<std::unique_ptr<Fiber>> fibers;
			for (unsigned i = 0; i < 2 * weft_workers() && !WF_TEST_SANITIZED; i++)
				fibers.push_back(std::make_unique<Fiber>([] {
					sigset_t set;
					sigemptyset(&set);
					sigaddset(&set, SIGALRM);
					sigaddset(&set, SIGPROF);
					pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
				}));
			fibers.clear();
			weft_sleep(2 * WEFT_MS); /* so that some have come, however quick the body is */
			body();
		});
	}
};
IN_EVERY_SETUP(Eintr);

TEST_P(Eintr, Transfers)
{
	run([] {
		constexpr size_t SIZE = size_t{rounds(4, 1)} << 20;
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			Fiber writer([&] {
				std::vector<unsigned char> buf(100000);
				for (size_t at = 0; at < SIZE;) {
					size_t len = std::min(buf.size(), SIZE - at);
					fill(buf.data(), len, at);
					ssize_t n = weft_write(pair.out, buf.data(), len);
					ASSERT_GT(n, 0);
					at += static_cast<size_t>(n);
				}
				EXPECT_EQ(0, weft_close(pair.out));
			});
			std::vector<unsigned char> buf(33333);
			size_t at = 0;
			ssize_t n;
			while ((n = weft_read(pair.in, buf.data(), buf.size())) > 0) {
				ASSERT_TRUE(matches(buf.data(), static_cast<size_t>(n), at));
				at += static_cast<size_t>(n);
			}
			EXPECT_EQ(0, n);
			EXPECT_EQ(SIZE, at);
			writer.join();
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

TEST_P(Eintr, FilesAndNames)
{
	run([] {
		constexpr int FIBERS = 8, EACH = rounds(10, 3);
		std::string folder = scratch_path("storm");
		ASSERT_EQ(0, weft_mkdirat(AT_FDCWD, folder.c_str(), 0700));
		int dir = weft_openat(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		ASSERT_GE(dir, 0);
		{
			std::vector<std::unique_ptr<Fiber>> fibers;
			for (int f = 0; f < FIBERS; f++)
				fibers.push_back(std::make_unique<Fiber>([&, f] {
					std::vector<unsigned char> out(65536), in(65536);
					for (int i = 0; i < EACH; i++) {
						std::string name = "f" + std::to_string(f),
							    next = name + "n";
						int fd = weft_openat(dir, name.c_str(),
							O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
						ASSERT_GE(fd, 0);
						fill(out.data(), out.size(), static_cast<size_t>(i));
						EXPECT_EQ(65536,
							weft_write_full(fd, out.data(), out.size()));
						EXPECT_EQ(0, weft_fsync(fd));
						EXPECT_EQ(65536,
							weft_pread(fd, in.data(), in.size(), 0));
						EXPECT_EQ(out, in);
						EXPECT_EQ(0, weft_ftruncate(fd, 100));
						EXPECT_EQ(0, weft_fallocate(fd, 0, 0, 8192));
						struct statx at = {};
						EXPECT_EQ(0,
							weft_statx(fd, "", AT_EMPTY_PATH,
								STATX_SIZE, &at));
						EXPECT_EQ(8192u, at.stx_size);
						EXPECT_EQ(0, weft_close(fd));
						EXPECT_EQ(0,
							weft_renameat(dir, name.c_str(), dir,
								next.c_str()));
						EXPECT_EQ(0,
							weft_linkat(dir, next.c_str(), dir,
								name.c_str(), 0));
						EXPECT_EQ(0, weft_unlinkat(dir, next.c_str(), 0));
						EXPECT_EQ(0, weft_unlinkat(dir, name.c_str(), 0));
					}
				}));
		}
		EXPECT_EQ(0, weft_close(dir));
		EXPECT_EQ(0, weft_unlinkat(AT_FDCWD, folder.c_str(), AT_REMOVEDIR));
	});
}

TEST_P(Eintr, WaitsThatLastAWhile)
{
	run([] {
		constexpr weft_ns LONG = 10 * WEFT_MS;
		Pair pipe = connect_pair(Link::PIPE), tcp = connect_pair(Link::TCP4);
		int listener = weft_listen("127.0.0.1:0");
		std::string fifo = scratch_path("fifo");
		ASSERT_EQ(0, mkfifo(fifo.c_str(), 0600));
		weft_ns begin = weft_now();
		weft_deadline(begin + LONG);
		char buf[8];
		Fiber fifo_opener([&] {
			weft_deadline(begin + LONG);
			EXPECT_EQ(-ETIMEDOUT,
				weft_openat(AT_FDCWD, fifo.c_str(), O_RDONLY | O_CLOEXEC, 0));
		});
		Fiber peeker([&] {
			weft_deadline(begin + LONG);
			EXPECT_EQ(-ETIMEDOUT, weft_recv(tcp.in, buf, 8, MSG_PEEK | MSG_WAITALL));
		});
		Fiber acceptor([&] {
			weft_deadline(begin + LONG);
			EXPECT_EQ(-ETIMEDOUT, weft_accept(listener, nullptr, nullptr, 0));
		});
		Fiber poller([&] {
			weft_deadline(begin + LONG);
			EXPECT_EQ(-ETIMEDOUT, weft_poll(tcp.in, POLLIN));
		});
		Fiber splicer([&] {
			weft_deadline(begin + LONG);
			EXPECT_EQ(-ETIMEDOUT, weft_splice(pipe.in, nullptr, tcp.out, nullptr, 100, 0));
		});
		EXPECT_EQ(-ETIMEDOUT, weft_sleep(WEFT_SEC));
		weft_deadline(WEFT_FOREVER);
		for (Fiber *fiber : {&fifo_opener, &peeker, &acceptor, &poller, &splicer})
			fiber->join();
		EXPECT_GE(weft_now() - begin, LONG);
		EXPECT_EQ(0, weft_sleep(3 * WEFT_MS));
		weft_close(listener);
		close_pair(pipe);
		close_pair(tcp);
		unlink(fifo.c_str());
	});
}

TEST_P(Eintr, OffloadedWorkIsNotDisturbedByWeftItself)
{
	run([] {
		/* All signals are blocked there: a sleep is whole. */
		auto nap = [](void *) -> void * {
			timespec span = {0, 5000000};
			return nanosleep(&span, nullptr) == 0 ? nullptr : reinterpret_cast<void *>(1);
		};
		void *result = reinterpret_cast<void *>(2);
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(0, weft_offload(nap, nullptr, &result));
			EXPECT_EQ(nullptr, result);
		}
	});
}

TEST_P(Eintr, ChildrenAndSendfile)
{
	run([] {
		const char *argv[] = {"sh", "-c", "sleep 0.01; exit 3", nullptr};
		pid_t child;
		ASSERT_EQ(0,
			posix_spawn(&child, "/bin/sh", nullptr, nullptr, const_cast<char **>(argv),
				environ));
		siginfo_t info = {};
		EXPECT_EQ(0, weft_waitid(P_PID, static_cast<id_t>(child), &info, WEXITED));
		EXPECT_EQ(3, info.si_status);
		constexpr size_t SIZE = 1 << 20;
		std::string path = scratch_path("sent");
		int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		std::vector<unsigned char> bytes(SIZE), got(SIZE);
		fill(bytes.data(), SIZE, 0);
		EXPECT_EQ(static_cast<ssize_t>(SIZE), weft_write_full(fd, bytes.data(), SIZE));
		Pair pair = connect_pair(Link::TCP4);
		Fiber sender([&] {
			off_t at = 0;
			EXPECT_EQ(static_cast<ssize_t>(SIZE), weft_sendfile(pair.out, fd, &at, SIZE));
			EXPECT_EQ(static_cast<off_t>(SIZE), at);
		});
		EXPECT_EQ(static_cast<ssize_t>(SIZE), weft_read_full(pair.in, got.data(), SIZE));
		EXPECT_EQ(bytes, got);
		sender.join();
		close_pair(pair);
		weft_close(fd);
		unlink(path.c_str());
	});
}

} // namespace
