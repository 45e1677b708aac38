/* SPDX-License-Identifier: MIT */
/* fork_test.cc - fork() in a fiber
 *
 * Law  the child has no runtime: weft's calls answer as off a fiber, libc works, and the parent's rings do
 *      not hear of it.
 * Law  the parent goes on as if nothing had happened, its parked fibers too.
 */
#include "tests/io/support.h"

#include <atomic>

#include <sys/wait.h>

using namespace io_test;

namespace
{

class Fork : public Rings
{
};
IN_EVERY_SETUP(Fork);

/* In the child: no fiber, no runtime. What it finds wrong is the number it exits with. */
int look_around_in_child(Pair pair)
{
	char byte;
	if (weft_self() != nullptr || weft_workers() != 0)
		return 1;
	if (weft_read(pair.in, &byte, 1) != -EPERM || weft_close(pair.in) != -EPERM)
		return 2;
	if (weft_sleep(WEFT_MS) != -EPERM || weft_go(call_body, nullptr) != -EPERM)
		return 3;
	if (write(pair.out, "c", 1) != 1)
		return 4;
	if (weft_run(nullptr, call_body, nullptr, nullptr) != -ENOTSUP)
		return 5;
	return 0;
}

TEST_P(Fork, ChildHasNoRuntimeAndTheParentGoesOn)
{
	if (WF_TEST_SANITIZED)
		GTEST_SKIP() << "the sanitizers' own fork handlers need what a child of a fiber has not";
	run([] {
		for (int i = 0; i < 10; i++) {
			Pair pair = connect_pair(Link::PIPE);
			Pair other = connect_pair(Link::UNIX);
			std::atomic<ssize_t> got{0};
			Fiber reader([&] {
				char byte;
				got = weft_recv(other.in, &byte, 1, 0);
			});
			EXPECT_TRUE(until_parked(1));
			pid_t child = fork();
			if (child == 0)
				_exit(look_around_in_child(pair));
			ASSERT_GT(child, 0);
			char byte = 0;
			EXPECT_EQ(1, weft_read(pair.in, &byte, 1)) << "what the child wrote";
			EXPECT_EQ('c', byte);
			int status = -1;
			EXPECT_EQ(child, waitpid(child, &status, 0));
			EXPECT_TRUE(WIFEXITED(status)) << status;
			EXPECT_EQ(0, WEXITSTATUS(status));
			EXPECT_EQ(1, weft_send(other.out, "x", 1, 0));
			reader.join();
			EXPECT_EQ(1, got);
			close_pair(pair);
			close_pair(other);
		}
	});
}

TEST_P(Fork, ChildMayExec)
{
	if (WF_TEST_SANITIZED)
		GTEST_SKIP() << "the sanitizers' own fork handlers need what a child of a fiber has not";
	run([] {
		pid_t child = fork();
		if (child == 0) {
			execlp("true", "true", nullptr);
			_exit(9);
		}
		int status = -1;
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status);
	});
}

} // namespace
