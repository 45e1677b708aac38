/* SPDX-License-Identifier: MIT */
/* connections_test.cc - ten thousand connections at once, between two processes
 *
 * Law  an idle connection is a parked fiber: ten thousand of them stand on two workers, each still answers,
 *      and all are given back.
 */
#include "tests/io/support.h"

#include <atomic>

#include <sys/resource.h>
#include <sys/wait.h>

using namespace io_test;

namespace
{

constexpr int CONNECTIONS = 10000;
constexpr int DIALLERS = 100;

weft_config two_workers()
{
	weft_config config{};
	config.workers = 2;
	return config;
}

/* The other process: dials them all, answers one byte on each, and waits for the end. True: all went well. */
bool be_the_clients(int port)
{
	std::string where = "127.0.0.1:" + std::to_string(port);
	std::atomic<int> answered{0}, ended{0};
	weft_config config = two_workers();
	run(config, [&] {
		Fibers clients;
		for (int d = 0; d < DIALLERS; d++)
			spawn_into(clients, [&] {
				Fibers own;
				for (int i = 0; i < CONNECTIONS / DIALLERS; i++) {
					int fd = weft_dial(where.c_str());
					if (fd < 0)
						return;
					spawn_into(own, [fd, &answered, &ended] {
						char byte;
						if (weft_recv(fd, &byte, 1, 0) == 1 &&
							weft_send(fd, &byte, 1, 0) == 1)
							answered++;
						if (weft_recv(fd, &byte, 1, 0) == 0)
							ended++;
						weft_close(fd);
					});
				}
			});
	});
	return answered == CONNECTIONS && ended == CONNECTIONS;
}

TEST(Connections, TenThousandIdleOnesAllAnswer)
{
	if (WF_TEST_SANITIZED)
		GTEST_SKIP() << "a sanitizer's fibers are too dear by the ten thousand";
	rlimit limit;
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < CONNECTIONS + 100)
		GTEST_SKIP() << "needs " << CONNECTIONS + 100 << " descriptors: ulimit -Hn is "
			     << limit.rlim_max;
	rlimit raised = {CONNECTIONS + 100, limit.rlim_max};
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &raised));

	int port_pipe[2];
	ASSERT_EQ(0, pipe2(port_pipe, O_CLOEXEC));
	pid_t child = fork(); /* before any runtime, so it is an ordinary process */
	if (child == 0) {
		int port = 0;
		bool told = read(port_pipe[0], &port, sizeof(port)) == sizeof(port);
		_exit(told && be_the_clients(port) ? 0 : 1);
	}
	ASSERT_GT(child, 0);
	int open_before = count_open();
	run(two_workers(), [&] {
		int listener = weft_listen("127.0.0.1:0");
		int port = weft_local_port(listener);
		ASSERT_EQ(static_cast<ssize_t>(sizeof(port)),
			weft_write(port_pipe[1], &port, sizeof(port)));
		std::atomic<int> echoed{0};
		std::vector<int> fds;
		weft_deadline(weft_after(4 * PATIENCE));
		while (fds.size() < CONNECTIONS) {
			int fd = weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC);
			ASSERT_GE(fd, 0) << "after " << fds.size();
			fds.push_back(fd);
		}
		weft_deadline(WEFT_FOREVER);
		Fibers readers;
		for (int fd : fds)
			spawn_into(readers, [fd, &echoed] {
				char byte = 0;
				if (weft_recv(fd, &byte, 1, 0) == 1 && byte == 'q')
					echoed++;
			});
		EXPECT_TRUE(until_parked(CONNECTIONS));
		for (int fd : fds)
			EXPECT_EQ(1, weft_send(fd, "q", 1, 0));
		readers.clear();
		EXPECT_EQ(CONNECTIONS, echoed);
		for (int fd : fds)
			EXPECT_EQ(0, weft_close(fd));
		EXPECT_EQ(0, weft_close(listener));
	});
	EXPECT_EQ(open_before, count_open());
	int status = -1;
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	close(port_pipe[0]);
	close(port_pipe[1]);
	setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace
