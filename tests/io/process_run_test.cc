/* SPDX-License-Identifier: MIT */
/* process_run_test.cc - child processes: weft_process_run
 *
 * Law  what a child is fed and what it says arrives, whole or to the limit; it is told how it ended.
 * Law  a run that is ended early ends its child: asked first, then made. It returns when the child is gone.
 */
#include "tests/io/process_support.h"

#include <atomic>
#include <csignal>

using namespace io_test;

namespace
{

IN_SOME_SETUPS(Process);

TEST_P(Process, RunFeedsAndCollects)
{
	run([] {
		std::string text;
		for (int i = 0; i < rounds(200000, 30000); i++)
			text += std::to_string(i) + "\n";
		EXPECT_TRUE(text == output_of(Command({"cat"}), text));
		std::string count = output_of(Command({"wc", "-c"}), text);
		EXPECT_EQ(text.size(), std::stoul(count));
		EXPECT_EQ("", output_of(Command({"cat"}))) << "no input is an empty one";
		EXPECT_EQ("", output_of(Command({"true"}), text)) << "input that nobody reads";
		EXPECT_EQ("0\n", output_of(Command({"head", "-n", "1"}), text));
	});
}

TEST_P(Process, RunKeepsStderrApartOrTogether)
{
	run([] {
		Command command({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"});
		weft_process_capture capture{};
		EXPECT_EQ(0, weft_process_run(&command.options, &capture));
		EXPECT_EQ(3 << 8, capture.status);
		EXPECT_STREQ("out\n", capture.out);
		EXPECT_STREQ("err\n", capture.err);
		weft_process_capture_free(&capture);
		command.options.err = WEFT_PROCESS_OUT;
		EXPECT_EQ(0, weft_process_run(&command.options, &capture));
		EXPECT_STREQ("out\nerr\n", capture.out);
		EXPECT_EQ(nullptr, capture.err);
		weft_process_capture_free(&capture);
		command.options.out = command.options.err = WEFT_PROCESS_NULL;
		EXPECT_EQ(0, weft_process_run(&command.options, &capture));
		EXPECT_EQ(nullptr, capture.out);
		EXPECT_EQ(nullptr, capture.err);
		EXPECT_EQ(3 << 8, capture.status);
		weft_process_capture_free(&capture);
		Command missing({"no-such-program-anywhere"});
		EXPECT_EQ(-ENOENT, weft_process_run(&missing.options, &capture));
		weft_process_capture_free(&capture);
	});
}

TEST_P(Process, RunHasALimit)
{
	run([] {
		Command endless({"yes"});
		for (size_t limit : {size_t{1}, size_t{4095}, size_t{4096}, size_t{1} << 20}) {
			weft_process_capture capture{};
			capture.limit = limit;
			EXPECT_EQ(-EMSGSIZE, weft_process_run(&endless.options, &capture));
			EXPECT_EQ(limit, capture.out_len);
			EXPECT_EQ('\0', capture.out[limit]);
			EXPECT_EQ('y', capture.out[0]);
			EXPECT_TRUE(capture.out_cut);
			EXPECT_FALSE(capture.err_cut);
			EXPECT_TRUE(WIFSIGNALED(capture.status));
			weft_process_capture_free(&capture);
		}
		Command long_one({"/bin/sh", "-c", "head -c 3000000 /dev/zero >&2; echo end; exit 2"});
		weft_process_capture capture{};
		capture.limit = 3000000;
		EXPECT_EQ(0, weft_process_run(&long_one.options, &capture)) << "exactly the limit";
		EXPECT_EQ(3000000u, capture.err_len);
		EXPECT_FALSE(capture.err_cut);
		weft_process_capture_free(&capture);
		capture.limit = 2999999;
		long_one.options.flags = WEFT_PROCESS_DROP;
		EXPECT_EQ(0, weft_process_run(&long_one.options, &capture));
		EXPECT_EQ(2999999u, capture.err_len);
		EXPECT_TRUE(capture.err_cut);
		EXPECT_STREQ("end\n", capture.out);
		EXPECT_EQ(2 << 8, capture.status);
		weft_process_capture_free(&capture);
	});
}

/* A run that is late, but not too early: with longer and longer deadlines, until the child has come to where it says `said`. */
bool run_late(const Command &command, weft_process_capture *capture, const std::string &said)
{
	for (weft_ns delay = 50 * WEFT_MS; delay < PATIENCE; delay *= 2) {
		weft_deadline(weft_after(delay));
		EXPECT_EQ(-ETIMEDOUT, weft_process_run(&command.options, capture));
		EXPECT_EQ(-ETIMEDOUT, weft_check()) << "the deadline is as it was";
		weft_deadline(WEFT_FOREVER);
		if (std::string(capture->out != nullptr ? capture->out : "").rfind(said, 0) == 0)
			return true;
		weft_process_capture_free(capture);
	}
	return false;
}

TEST_P(Process, RunLateOrCancelledEndsTheChild)
{
	run([] {
		Command command({"/bin/sh", "-c", "echo begun; exec sleep 1000"});
		weft_process_capture capture{};
		ASSERT_TRUE(run_late(command, &capture, "begun\n"));
		EXPECT_EQ(SIGTERM, WTERMSIG(capture.status));
		EXPECT_STREQ("begun\n", capture.out);
		weft_process_capture_free(&capture);

		Fiber runner([&] {
			EXPECT_EQ(-ECANCELED, weft_process_run(&command.options, &capture));
			EXPECT_EQ(-ECANCELED, weft_check());
		});
		EXPECT_TRUE(until([] { return has_children(); }));
		runner.cancel();
		runner.join();
		EXPECT_TRUE(capture.status == 0 || WTERMSIG(capture.status) == SIGTERM) << capture.status;
		weft_process_capture_free(&capture);
	});
}

TEST_P(Process, RunAsksThenMakes)
{
	run([] {
		/* It says good-bye. */
		Command polite({"/bin/sh", "-c",
			"trap 'echo bye; exit 9' TERM; echo begun; while :; do sleep 0.01; done"});
		weft_process_capture capture{};
		ASSERT_TRUE(run_late(polite, &capture, "begun\n"));
		EXPECT_STREQ("begun\nbye\n", capture.out);
		EXPECT_EQ(9 << 8, capture.status);
		weft_process_capture_free(&capture);
		/* It does not listen. */
		Command deaf({"/bin/sh", "-c", "trap '' TERM; echo begun; while :; do sleep 0.01; done"});
		for (weft_ns grace : {50 * WEFT_MS, weft_ns{-1}}) {
			capture.grace = grace;
			ASSERT_TRUE(run_late(deaf, &capture, "begun\n"));
			EXPECT_STREQ("begun\n", capture.out);
			EXPECT_EQ(SIGKILL, WTERMSIG(capture.status));
			weft_process_capture_free(&capture);
		}
	});
}

/* Others that keep the pipe open do not keep the run for ever, and a group is ended whole. */
TEST_P(Process, RunAndWhatTheChildLeavesBehind)
{
	run([] {
		std::string script = "sleep 30 & echo left $!; exec true";
		Command group({"/bin/sh", "-c", script});
		group.options.flags = WEFT_PROCESS_GROUP;
		weft_process_capture capture{};
		ASSERT_TRUE(run_late(group, &capture, "left "));
		pid_t left = atoi(capture.out + 5);
		EXPECT_TRUE(until([&] { return kill(left, 0) != 0 || is_zombie(left); })) << left;
		weft_process_capture_free(&capture);

		Command alone({"/bin/sh", "-c", script});
		capture.grace = 20 * WEFT_MS;
		ASSERT_TRUE(run_late(alone, &capture, "left "));
		left = atoi(capture.out + 5);
		EXPECT_EQ(0, kill(left, SIGKILL)) << "nobody was asked to end it";
		weft_process_capture_free(&capture);
	});
}

/* The runtime ends while a child runs. */
TEST(ProcessStop, ARunIsEndedWithItsRuntime)
{
	Command command({"sleep", "1000"});
	std::atomic<int> result{1};
	auto body = [&] {
		weft_process_capture capture{};
		result = weft_process_run(&command.options, &capture);
		weft_process_capture_free(&capture);
	};
	Body runner = body;
	io_test::run(config_of({0, 2}), [&] {
		EXPECT_EQ(0, weft_go(call_body, &runner));
		EXPECT_TRUE(until([] { return has_children(); }));
	});
	EXPECT_EQ(-ECANCELED, result);
	EXPECT_FALSE(has_children());
}

} // namespace
