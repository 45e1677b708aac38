/* SPDX-License-Identifier: MIT */
/* process_test.cc - child processes: start, talk, wait, signal, end
 *
 * Law  a child gets what was asked for and nothing else: arguments, environment, directory, descriptors, signals.
 * Law  what goes wrong before the new program runs is told by the spawn, and leaves nothing behind.
 * Law  a wait parks; cancelled or late, the child lives on, and can be waited for again.
 * Law  no child outlives its struct, none becomes a zombie, no descriptor is left.
 */
#include "tests/io/process_support.h"

#include <atomic>
#include <csignal>

#include <sys/stat.h>
#include <weft/stream.h>

using namespace io_test;

namespace
{

IN_SOME_SETUPS(Process);

TEST_P(Process, ExitCodesAndSignals)
{
	run([] {
		for (int code : {0, 1, 77, 255}) {
			Child child(Command({"sh", "-c", "exit " + std::to_string(code)}));
			ASSERT_EQ(0, child.error);
			EXPECT_GT(child.process.pid, 0);
			EXPECT_EQ(-1, child.process.in);
			EXPECT_EQ(code << 8, child.wait());
			EXPECT_EQ(code << 8, child.wait()) << "and again";
			EXPECT_EQ(-ESRCH, weft_process_kill(&child.process, SIGTERM));
		}
		for (int signal : {SIGTERM, SIGKILL, SIGPIPE, SIGUSR1, SIGALRM}) {
			Child child(Command({"sleep", "1000"}));
			ASSERT_EQ(0, child.error);
			EXPECT_EQ(0, weft_process_kill(&child.process, 0));
			EXPECT_EQ(0, weft_process_kill(&child.process, signal));
			int status = child.wait();
			EXPECT_TRUE(WIFSIGNALED(status));
			EXPECT_EQ(signal, WTERMSIG(status));
		}
		Command aborting({"sh", "-c", "ulimit -c 0; kill -ABRT $$"});
		Child child(aborting);
		int status = child.wait();
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
	});
}

TEST_P(Process, WhatCannotBeRunIsToldBySpawn)
{
	run([] {
		std::string plain = scratch_path("plain"), broken = scratch_path("broken");
		ASSERT_EQ(0, run_command({"touch", plain, broken}));
		ASSERT_EQ(0, chmod(broken.c_str(), 0700));
		auto error_of = [](const Command &command) {
			weft_process process;
			memset(&process, 7, sizeof(process));
			int error = weft_process_spawn(&process, &command.options);
			EXPECT_EQ(0, process.pid);
			EXPECT_EQ(-1, process.pidfd);
			EXPECT_EQ(-1, process.in);
			EXPECT_EQ(-1, process.out);
			weft_process_free(&process);
			return error;
		};
		Command missing({"no-such-program-anywhere"});
		EXPECT_EQ(-ENOENT, error_of(missing));
		missing.options.in = missing.options.out = missing.options.err = WEFT_PROCESS_PIPE;
		EXPECT_EQ(-ENOENT, error_of(missing));
		EXPECT_EQ(-ENOENT, error_of(Command({"/no/such/program"})));
		EXPECT_EQ(-EACCES, error_of(Command({plain})));
		EXPECT_EQ(-ENOEXEC, error_of(Command({broken})));
		EXPECT_EQ(-ENOTDIR, error_of(Command({plain + "/x"})));
		Command elsewhere({"true"});
		elsewhere.options.directory = "/no/such/directory";
		EXPECT_EQ(-ENOENT, error_of(elsewhere));
		elsewhere.options.directory = plain.c_str();
		EXPECT_EQ(-ENOTDIR, error_of(elsewhere));
		EXPECT_EQ(-E2BIG, error_of(Command({"true", std::string(3 << 20, 'x')})));
		for (int bad : {-1, 999, -13, int{WEFT_PROCESS_OUT}}) {
			Command command({"true"});
			command.options.in = bad;
			EXPECT_EQ(-EBADF, error_of(command)) << bad;
		}
		int bad_fd = 998;
		Command more({"true"});
		more.options.fds = &bad_fd;
		more.options.fd_count = 1;
		EXPECT_EQ(-EBADF, error_of(more));
		unlink(plain.c_str());
		unlink(broken.c_str());
	});
}

TEST_P(Process, ArgumentsThatCannotBe)
{
	run([] {
		weft_process process;
		weft_process_options options{};
		const char *none[] = {nullptr};
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, nullptr));
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, &options));
		options.argv = none;
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, &options));
		Command command({"true"});
		EXPECT_EQ(-EINVAL, weft_process_spawn(nullptr, &command.options));
		command.options.flags = 1u << 31;
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, &command.options));
		command.options.flags = 0;
		command.options.fd_count = 1;
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, &command.options));
		command.options.fd_count = 65;
		EXPECT_EQ(-EINVAL, weft_process_spawn(&process, &command.options));
		EXPECT_EQ(-EINVAL, weft_process_wait(nullptr, nullptr));
		EXPECT_EQ(-EBADF, weft_process_wait(&process, nullptr));
		EXPECT_EQ(-EINVAL, weft_process_kill(nullptr, 1));
		EXPECT_EQ(-EBADF, weft_process_kill(&process, 1));
		weft_process_free(nullptr);
		weft_process_free(&process);
		weft_process zeroed{};
		weft_process_free(&zeroed);
		EXPECT_EQ(-EBADF, weft_process_wait(&zeroed, nullptr));
		weft_process_capture capture{};
		EXPECT_EQ(-EINVAL, weft_process_run(nullptr, &capture));
		EXPECT_EQ(-EINVAL, weft_process_run(&command.options, nullptr));
		command.options.fd_count = 0;
		capture.input_len = 1;
		EXPECT_EQ(-EINVAL, weft_process_run(&command.options, &capture));
		capture.input = "x";
		command.options.in = WEFT_PROCESS_NULL;
		EXPECT_EQ(-EINVAL, weft_process_run(&command.options, &capture));
		weft_process_capture_free(&capture);
		weft_process_capture_free(nullptr);
		Child child(Command({"sleep", "1000"}));
		EXPECT_EQ(-EINVAL, weft_process_kill(&child.process, 4711));
	});
}

TEST(ProcessOffFiber, IsRefused)
{
	weft_process process;
	Command command({"true"});
	weft_process_capture capture{};
	EXPECT_EQ(-EPERM, weft_process_spawn(&process, &command.options));
	EXPECT_EQ(-EPERM, weft_process_wait(&process, nullptr));
	EXPECT_EQ(-EPERM, weft_process_run(&command.options, &capture));
	weft_process_free(&process);
}

/* Free works on any thread: a struct may outlive its runtime. */
TEST(ProcessOffFiber, FreeEndsAChildHereToo)
{
	int before = count_open();
	weft_process process;
	io_test::run(weft_config{}, [&] {
		Command command({"sleep", "1000"});
		command.options.in = command.options.out = WEFT_PROCESS_PIPE;
		ASSERT_EQ(0, weft_process_spawn(&process, &command.options));
	});
	EXPECT_EQ(0, weft_process_kill(&process, 0));
	weft_process_free(&process);
	EXPECT_FALSE(has_children());
	EXPECT_EQ(before, count_open());
}

TEST_P(Process, EnvironmentAndDirectory)
{
	run([] {
		setenv("WEFT_TEST_INHERITED", "yes", 1);
		EXPECT_EQ("yes\n", output_of(Command({"sh", "-c", "echo $WEFT_TEST_INHERITED"})));
		Command own({"/usr/bin/env"});
		const char *env[] = {"A=1", "B=two words", nullptr};
		own.options.env = env;
		EXPECT_EQ("A=1\nB=two words\n", output_of(own));
		Command there({"pwd", "-P"});
		there.options.directory = "/usr/lib";
		EXPECT_EQ("/usr/lib\n", output_of(there));
		Command relative({"./env"});
		relative.options.directory = "/usr/bin";
		relative.options.env = env;
		EXPECT_EQ("A=1\nB=two words\n", output_of(relative));
		EXPECT_EQ("a b|c||*|\n",
			output_of(Command({"/bin/sh", "-c", "printf '%s|' \"$@\"; echo", "sh",
				"a b", "c", "", "*"})));
		unsetenv("WEFT_TEST_INHERITED");
	});
}

TEST_P(Process, SignalsAreAtTheirDefaultAndNoneIsBlocked)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	run([] {
		std::string all = output_of(Command({"cat", "/proc/self/status"}));
		size_t from = all.find("SigBlk");
		std::string masks = all.substr(from, all.find("CapInh") - from);
		EXPECT_EQ("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n",
			masks);
	});
	signal(SIGPIPE, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
}

TEST_P(Process, OnlyTheDescriptorsAskedFor)
{
	run([] {
		int careless = open("/dev/null", O_RDONLY); /* not close-on-exec */
		std::string list =
			"ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p' | tr '\\n' ' '";
		/* The shell's ls has the folder open too, as its lowest free number. */
		EXPECT_EQ("0 1 2 3 ", output_of(Command({"sh", "-c", list})));
		int fds[2];
		ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
		int text = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
		const int given[] = {fds[1], text};
		Command more({"/bin/sh", "-c", "echo to three >&3; cat <&4 >/dev/null; echo $?"});
		more.options.fds = given;
		more.options.fd_count = 2;
		EXPECT_EQ("0\n", output_of(more));
		char buf[32] = {};
		EXPECT_EQ(9, weft_read(fds[0], buf, sizeof(buf)));
		EXPECT_STREQ("to three\n", buf);
		for (int fd : {careless, fds[0], fds[1], text})
			EXPECT_EQ(0, weft_close(fd));
	});
}

/* Each of the three given the number of another. */
TEST_P(Process, GivenDescriptorsMayCross)
{
	setenv("WEFT_LONG_RUN", "off", 1); /* its line would come through what is stderr then */
	run([] {
		Pair out = connect_pair(Link::PIPE), err = connect_pair(Link::PIPE);
		int saved[2] = {fcntl(1, F_DUPFD_CLOEXEC, 3), fcntl(2, F_DUPFD_CLOEXEC, 3)};
		ASSERT_EQ(2, dup2(out.out, 2));
		ASSERT_EQ(1, dup2(err.out, 1));
		Command command({"/bin/sh", "-c", "echo out; echo err >&2"});
		command.options.in = WEFT_PROCESS_NULL;
		command.options.out = 2;
		command.options.err = 1;
		{
			Child child(command);
			int error = child.error, status = child.wait();
			dup2(saved[0], 1);
			dup2(saved[1], 2);
			EXPECT_EQ(0, error);
			EXPECT_EQ(0, status);
		}
		char buf[16] = {};
		EXPECT_EQ(4, weft_read(out.in, buf, sizeof(buf)));
		EXPECT_STREQ("out\n", buf);
		EXPECT_EQ(4, weft_read(err.in, buf, sizeof(buf)));
		EXPECT_STREQ("err\n", buf);
		close_pair(out);
		close_pair(err);
		close(saved[0]);
		close(saved[1]);
	});
	unsetenv("WEFT_LONG_RUN");
}

TEST_P(Process, MegabytesThroughCatByHand)
{
	run([] {
		const size_t total = rounds(8, 2) * (size_t{1} << 20);
		Command command({"cat"});
		command.options.in = command.options.out = WEFT_PROCESS_PIPE;
		Child child(command);
		ASSERT_EQ(0, child.error);
		Fiber feeder([&] {
			std::vector<unsigned char> data(total);
			fill(data.data(), total, 0);
			EXPECT_EQ(static_cast<ssize_t>(total),
				weft_write_full(child.process.in, data.data(), total));
			EXPECT_EQ(0, weft_close(child.process.in));
			child.process.in = -1;
		});
		std::vector<unsigned char> back(total + 1);
		EXPECT_EQ(static_cast<ssize_t>(total),
			weft_read_full(child.process.out, back.data(), back.size()));
		EXPECT_TRUE(matches(back.data(), total, 0));
		feeder.join();
		EXPECT_EQ(0, child.wait());
	});
}

TEST_P(Process, ConversationThroughStreams)
{
	run([] {
		Command command({"sed", "-u", "s/^/> /"});
		command.options.in = command.options.out = WEFT_PROCESS_PIPE;
		Child child(command);
		ASSERT_EQ(0, child.error);
		weft_stream to, from;
		ASSERT_EQ(0, weft_stream_init(&to, child.process.in));
		ASSERT_EQ(0, weft_stream_init(&from, child.process.out));
		for (int i = 0; i < 50; i++) {
			char *line;
			EXPECT_GT(weft_stream_printf(&to, "%d\n", i), 0);
			EXPECT_EQ(0, weft_stream_flush(&to));
			ASSERT_GT(weft_stream_read_line(&from, &line), 0);
			EXPECT_EQ("> " + std::to_string(i), line);
		}
		weft_stream_free(&to);
		weft_stream_free(&from);
	});
}

TEST_P(Process, ManyAtOnce)
{
	run([] {
		const int many = rounds(200, 50);
		Fibers fibers;
		std::atomic<int> right{0};
		for (int i = 0; i < many; i++)
			spawn_into(fibers, [&right, i] {
				Command command({"sh", "-c", "read x; exit $x"});
				command.options.in = WEFT_PROCESS_PIPE;
				Child child(command);
				ASSERT_EQ(0, child.error);
				std::string code = std::to_string(i % 256) + "\n";
				EXPECT_EQ(static_cast<ssize_t>(code.size()),
					weft_write_full(child.process.in, code.data(), code.size()));
				right += child.wait() == (i % 256) << 8;
			});
		fibers.clear();
		EXPECT_EQ(many, right);
	});
}

TEST_P(Process, CancelledOrLateWaitsLeaveTheChildAlone)
{
	run([] {
		Command command({"sh", "-c", "read x; exit 5"});
		command.options.in = WEFT_PROCESS_PIPE;
		Child child(command);
		ASSERT_EQ(0, child.error);
		Fiber waiter([&] {
			EXPECT_EQ(-ECANCELED, child.wait());
			EXPECT_EQ(-ECANCELED, child.wait());
		});
		EXPECT_TRUE(until_parked(1));
		waiter.cancel();
		waiter.join();
		weft_deadline(weft_after(2 * WEFT_MS));
		EXPECT_EQ(-ETIMEDOUT, child.wait());
		EXPECT_EQ(-ETIMEDOUT, child.wait());
		weft_process other;
		EXPECT_EQ(-ETIMEDOUT, weft_process_spawn(&other, &command.options));
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(0, weft_process_kill(&child.process, 0)) << "it lives";
		/* Several may wait. */
		std::atomic<int> told{0};
		Fibers fibers;
		for (int i = 0; i < 5; i++)
			spawn_into(fibers, [&] { told += child.wait() == 5 << 8; });
		EXPECT_TRUE(until_parked(5));
		EXPECT_EQ(1, weft_write(child.process.in, "\n", 1));
		fibers.clear();
		EXPECT_EQ(5, told);
	});
}

TEST_P(Process, ThePidfdSelects)
{
	run([] {
		Command command({"cat"});
		command.options.in = WEFT_PROCESS_PIPE;
		command.options.out = WEFT_PROCESS_NULL;
		Child child(command);
		ASSERT_EQ(0, child.error);
		weft_case ended{};
		ended.op = WEFT_CASE_READABLE;
		ended.fd = child.process.pidfd;
		EXPECT_EQ(-EAGAIN, weft_select(&ended, 1, 0));
		EXPECT_EQ(0, weft_close(child.process.in));
		child.process.in = -1;
		EXPECT_EQ(0, weft_select(&ended, 1, WEFT_FOREVER));
		EXPECT_EQ(0, child.wait());
	});
}

TEST_P(Process, GroupsAndSessions)
{
	run([] {
		for (unsigned flags : {WEFT_PROCESS_GROUP, WEFT_PROCESS_SESSION}) {
			Command command({"/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo; wait"});
			command.options.flags = flags;
			command.options.out = WEFT_PROCESS_PIPE;
			Child child(command);
			ASSERT_EQ(0, child.error);
			char byte;
			EXPECT_EQ(1, weft_read(child.process.out, &byte, 1));
			EXPECT_EQ(child.process.pid, getpgid(child.process.pid));
			EXPECT_EQ(flags == WEFT_PROCESS_SESSION ? child.process.pid : getsid(0),
				getsid(child.process.pid));
			EXPECT_EQ(0, weft_process_kill(&child.process, SIGTERM));
			EXPECT_TRUE(WIFSIGNALED(child.wait()));
			EXPECT_EQ(0, weft_read(child.process.out, &byte, 1))
				<< "its children are gone too";
		}
	});
}

/* Many threads' worth of kills race with the end and the wait: each is 0 or -ESRCH. */
TEST_P(Process, KillsRaceWithTheEnd)
{
	run([] {
		for (int i = 0; i < rounds(30, 10); i++) {
			Child child(Command({"true"}));
			ASSERT_EQ(0, child.error);
			std::atomic<bool> over{false};
			Fiber killer([&] {
				int error;
				while ((error = weft_process_kill(&child.process, 0)) == 0)
					weft_yield();
				EXPECT_EQ(-ESRCH, error);
				over = true;
			});
			EXPECT_EQ(0, child.wait());
			EXPECT_TRUE(until([&] { return over.load(); }));
		}
	});
}

TEST_P(Process, NoDescriptorsLeft)
{
	run([] {
		Command command({"cat"});
		command.options.in = command.options.out = command.options.err = WEFT_PROCESS_PIPE;
		{
			/* So that the pool's thread has started. */
			Child child(command);
			EXPECT_EQ(0, child.error);
		}
		for (int left = 0; left < 9; left++) {
			weft_process process;
			int error;
			{
				FewDescriptors few(left);
				error = weft_process_spawn(&process, &command.options);
			}
			EXPECT_TRUE(error == -EMFILE || (left >= 7 && error == 0))
				<< left << ": " << error;
			weft_process_free(&process);
		}
	});
}

} // namespace
