/* SPDX-License-Identifier: MIT */
/* waitid_test.cc - waiting for children
 *
 * Laws     WI1 each type of id and each option says what waitid(2) says, with the same information.
 *          WI2 a call that was cancelled or late has waited for no child: the child is still there to be waited for.
 *          WI3 any number of fibers wait for any number of children at once, each child is had exactly once; SIGCHLD is left alone.
 *          WI4 children that other threads made are children of this process all the same.
 */
#include <atomic>
#include <set>
#include <thread>

#include "tests/io/calls.h"

using namespace io_test;

namespace
{

class Waitid : public Rings
{
};
IN_EVERY_SETUP(Waitid);

/* A child that does what it is told through a pipe: waits for its end, then exits. */
struct Child {
	pid_t pid = -1;
	int until = -1; /* closing it ends the child */
};

Child start_child(int code, bool group = false)
{
	int fds[2];
	EXPECT_EQ(0, pipe2(fds, O_CLOEXEC));
	std::string script = "read x; exit " + std::to_string(code);
	const char *argv[] = {"sh", "-c", script.c_str(), nullptr};
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO);
	posix_spawnattr_t attributes;
	posix_spawnattr_init(&attributes);
	sigset_t none;
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none); /* workers block signals */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
		static_cast<short>(POSIX_SPAWN_SETSIGMASK | (group ? POSIX_SPAWN_SETPGROUP : 0)));
	Child child;
	EXPECT_EQ(0,
		posix_spawn(&child.pid, "/bin/sh", &actions, &attributes, const_cast<char **>(argv),
			environ));
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(fds[0]);
	child.until = fds[1];
	return child;
}

int pidfd_of(pid_t pid, unsigned flags = 0)
{
	return static_cast<int>(syscall(SYS_pidfd_open, pid, flags));
}

void tell(Script &say, const std::string &what, long result, const siginfo_t &info)
{
	say(what, result);
	say("signal", info.si_signo);
	say("code", info.si_code);
	say("status", info.si_status);
	say("pid", info.si_pid != 0);
	say("uid", static_cast<long>(info.si_uid));
}

TEST_P(Waitid, ErrorsAreTheSystemCalls)
{
	run([] {
		compare([](auto calls, Script &say) {
			siginfo_t info = {};
			say("no child", calls.waitid(P_ALL, 0, &info, WEXITED));
			say("not a child", calls.waitid(P_PID, 1, &info, WEXITED));
			say("oneself", calls.waitid(P_PID, static_cast<id_t>(getpid()), &info, WEXITED));
			say("no group", calls.waitid(P_PGID, 1, &info, WEXITED));
			say("own group", calls.waitid(P_PGID, 0, &info, WEXITED));
			say("nothing asked", calls.waitid(P_ALL, 0, &info, 0));
			say("only no wait", calls.waitid(P_ALL, 0, &info, WNOHANG));
			say("bad options", calls.waitid(P_ALL, 0, &info, WEXITED | 0x100));
			say("bad type", calls.waitid(static_cast<idtype_t>(77), 0, &info, WEXITED));
			say("pid 0", calls.waitid(P_PID, 0, &info, WEXITED));
			say("pid -1", calls.waitid(P_PID, static_cast<id_t>(-1), &info, WEXITED));
			say("no pidfd", calls.waitid(P_PIDFD, 900, &info, WEXITED));
			say("bad pidfd", calls.waitid(P_PIDFD, static_cast<id_t>(-1), &info, WEXITED));
			int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
			say("not a pidfd",
				calls.waitid(P_PIDFD, static_cast<id_t>(null), &info, WEXITED));
			close(null);
		});
	});
}

TEST_P(Waitid, AnExitIsReportedAsTheSystemCallReportsIt)
{
	run([] {
		compare([](auto calls, Script &say) {
			siginfo_t info = {};
			Child child = start_child(7);
			say("not yet",
				calls.waitid(P_PID, static_cast<id_t>(child.pid), &info,
					WEXITED | WNOHANG));
			say("pid", info.si_pid);
			close(child.until);
			tell(say, "left there",
				calls.waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED | WNOWAIT),
				info);
			info = {};
			tell(say, "taken",
				calls.waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED), info);
			say("gone", calls.waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED));
			child = start_child(1);
			kill(child.pid, SIGKILL);
			tell(say, "killed", calls.waitid(P_ALL, 0, &info, WEXITED), info);
			close(child.until);
			child = start_child(0);
			close(child.until);
			say("no information", calls.waitid(P_ALL, 0, nullptr, WEXITED));
			child = start_child(3, true);
			close(child.until);
			tell(say, "its group",
				calls.waitid(P_PGID, static_cast<id_t>(child.pid), &info, WEXITED),
				info);
			child = start_child(4);
			int pidfd = pidfd_of(child.pid);
			close(child.until);
			tell(say, "pidfd",
				calls.waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED), info);
			say("pidfd of a gone one",
				calls.waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED));
			close(pidfd);
			child = start_child(5);
			close(child.until);
			say("nowhere to tell it",
				calls.waitid(P_PID, static_cast<id_t>(child.pid),
					reinterpret_cast<siginfo_t *>(1), WEXITED));
			say("and it",
				calls.waitid(P_PID, static_cast<id_t>(child.pid), nullptr, WEXITED));
		});
	});
}

TEST_P(Waitid, StopsAndContinuations)
{
	run([] {
		compare([](auto calls, Script &say) {
			siginfo_t info = {};
			Child child = start_child(7);
			id_t id = static_cast<id_t>(child.pid);
			kill(child.pid, SIGSTOP);
			tell(say, "stopped", calls.waitid(P_PID, id, &info, WSTOPPED), info);
			info = {};
			tell(say, "once", calls.waitid(P_PID, id, &info, WSTOPPED | WNOHANG), info);
			kill(child.pid, SIGCONT);
			tell(say, "continued",
				calls.waitid(P_PID, id, &info, WCONTINUED | WSTOPPED), info);
			kill(child.pid, SIGTERM);
			tell(say, "ended",
				calls.waitid(P_PID, id, &info, WCONTINUED | WSTOPPED | WEXITED), info);
			close(child.until);
		});
	});
}

TEST_P(Waitid, ParksUntilItHappens)
{
	run([] {
		for (bool pidfd : {false, true})
			for (unsigned flags : {0u, unsigned{O_NONBLOCK}}) {
				Child child = start_child(9);
				int fd = pidfd ? pidfd_of(child.pid, flags) : -1;
				siginfo_t info = {};
				int result = -1;
				std::atomic<int> ended{0};
				Fiber waiter([&] {
					result = weft_waitid(pidfd ? P_PIDFD : P_PID,
						static_cast<id_t>(pidfd ? fd : child.pid), &info,
						WEXITED);
					ended = 1;
				});
				weft_sleep(3 * WEFT_MS);
				EXPECT_EQ(0, ended.load());
				close(child.until);
				waiter.join();
				EXPECT_EQ(0, result);
				EXPECT_EQ(child.pid, info.si_pid);
				EXPECT_EQ(9, info.si_status);
				EXPECT_EQ(CLD_EXITED, info.si_code);
				if (pidfd)
					weft_close(fd);
			}
	});
}

TEST_P(Waitid, ANonblockingPidfdWaitsForAStopToo)
{
	run([] {
		Child child = start_child(9);
		int fd = pidfd_of(child.pid, O_NONBLOCK);
		siginfo_t info = {};
		Fiber waiter([&] {
			EXPECT_EQ(0, weft_waitid(P_PIDFD, static_cast<id_t>(fd), &info, WSTOPPED));
		});
		weft_sleep(WEFT_MS);
		kill(child.pid, SIGSTOP);
		waiter.join();
		EXPECT_EQ(CLD_STOPPED, info.si_code);
		kill(child.pid, SIGKILL);
		EXPECT_EQ(0, weft_waitid(P_PIDFD, static_cast<id_t>(fd), nullptr, WEXITED));
		close(child.until);
		weft_close(fd);
	});
}

/* WI2 */
TEST_P(Waitid, CancelledOrLateNobodyWasWaitedFor)
{
	run([] {
		Child child = start_child(11);
		id_t id = static_cast<id_t>(child.pid);
		int fd = pidfd_of(child.pid);
		siginfo_t info = {};
		weft_deadline(weft_after(3 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, weft_waitid(P_PID, id, &info, WEXITED));
		weft_deadline(WEFT_FOREVER);
		int result = 0;
		Fiber cancelled([&] { result = weft_waitid(P_ALL, 0, &info, WEXITED); });
		weft_yield();
		cancelled.cancel();
		cancelled.join();
		EXPECT_EQ(-ECANCELED, result);
		Fiber closed(
			[&] { result = weft_waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED); });
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(0, weft_close(fd));
		closed.join();
		EXPECT_EQ(-ECANCELED, result);
		close(child.until);
		EXPECT_EQ(0, weft_waitid(P_PID, id, &info, WEXITED));
		EXPECT_EQ(11, info.si_status);
	});
}

TEST_P(Waitid, CancellationAndExitAtOnce)
{
	run([] {
		for (int round = 0; round < rounds(30, 6); round++) {
			Child child = start_child(5);
			id_t id = static_cast<id_t>(child.pid);
			siginfo_t info = {};
			int result = 1;
			Fiber waiter([&] { result = weft_waitid(P_PID, id, &info, WEXITED); });
			close(child.until);
			if (round % 3 != 0)
				weft_sleep(round * 50 * WEFT_US);
			waiter.cancel();
			waiter.join();
			if (result == -ECANCELED) {
				EXPECT_EQ(0, weft_waitid(P_PID, id, &info, WEXITED)) << round;
			} else {
				EXPECT_EQ(0, result) << round;
				EXPECT_EQ(-ECHILD, weft_waitid(P_PID, id, nullptr, WEXITED)) << round;
			}
			EXPECT_EQ(5, info.si_status) << round;
		}
	});
}

/* WI3 */
TEST_P(Waitid, ManyChildrenAndManyWaiters)
{
	struct sigaction before, now;
	sigaction(SIGCHLD, nullptr, &before);
	run([] {
		constexpr int CHILDREN = rounds(30, 8);
		std::vector<Child> children;
		for (int i = 0; i < CHILDREN; i++)
			children.push_back(start_child(i));
		std::vector<std::atomic<int>> seen(CHILDREN);
		{
			std::vector<std::unique_ptr<Fiber>> waiters;
			for (int i = 0; i < CHILDREN; i++)
				waiters.push_back(std::make_unique<Fiber>([&, i] {
					siginfo_t info = {};
					/* Half of them take what comes, from the half that nobody waits for by name. */
					bool named = i % 2 == 0;
					if (!named) {
						EXPECT_EQ(0,
							weft_waitid(P_PIDFD,
								static_cast<id_t>(pidfd_of(
									children[static_cast<size_t>(i)]
										.pid)),
								&info, WEXITED));
					} else {
						EXPECT_EQ(0,
							weft_waitid(P_PID,
								static_cast<id_t>(
									children[static_cast<size_t>(i)]
										.pid),
								&info, WEXITED));
					}
					EXPECT_EQ(i, info.si_status);
					seen[static_cast<size_t>(i)]++;
				}));
			weft_yield();
			for (const Child &child : children)
				close(child.until);
		}
		for (int i = 0; i < CHILDREN; i++)
			EXPECT_EQ(1, seen[static_cast<size_t>(i)].load());
		EXPECT_EQ(-ECHILD, weft_waitid(P_ALL, 0, nullptr, WEXITED));
	});
	sigaction(SIGCHLD, nullptr, &now);
	EXPECT_EQ(before.sa_handler, now.sa_handler);
}

TEST_P(Waitid, EachChildOnceForWhoeverTakesAny)
{
	run([] {
		constexpr int CHILDREN = rounds(16, 6);
		std::vector<Child> children;
		for (int i = 0; i < CHILDREN; i++)
			children.push_back(start_child(i));
		std::vector<std::atomic<int>> seen(CHILDREN);
		{
			std::vector<std::unique_ptr<Fiber>> waiters;
			for (int i = 0; i < CHILDREN; i++)
				waiters.push_back(std::make_unique<Fiber>([&] {
					siginfo_t info = {};
					ASSERT_EQ(0, weft_waitid(P_ALL, 0, &info, WEXITED));
					ASSERT_LT(info.si_status, int{CHILDREN});
					seen[static_cast<size_t>(info.si_status)]++;
				}));
			for (const Child &child : children)
				close(child.until);
		}
		for (int i = 0; i < CHILDREN; i++)
			EXPECT_EQ(1, seen[static_cast<size_t>(i)].load()) << i;
	});
}

/* WI4 */
TEST_P(Waitid, ChildrenOfAnotherThread)
{
	Child child;
	std::thread([&] { child = start_child(6); }).join();
	run([&] {
		close(child.until);
		siginfo_t info = {};
		EXPECT_EQ(0, weft_waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED));
		EXPECT_EQ(6, info.si_status);
	});
}

} // namespace
