/* SPDX-License-Identifier: MIT */
/* actors.h - what goes on beside the hogs: everything that a program does with fibers, all the time
 *
 * What     Crowd starts fibers and plain threads that sleep, talk over sockets, channels and locks, time out, cancel, close, spawn,
 *          offload, select and submit, each of which counts its steps; and ends them.
 * Rules    AC1 an actor's descriptors are made before it starts, and closed after it has ended.
 *          AC2 each pauses for about a millisecond between two steps, so that all of them together leave a processor free.
 */
#ifndef TESTS_STUCK_ACTORS_H
#define TESTS_STUCK_ACTORS_H

#include "tests/stuck/support.h"

namespace stuck
{

class Crowd
{
public:
	explicit Crowd(weft_runtime *rt) : rt_(rt) {}
	Crowd(const Crowd &) = delete;
	Crowd &operator=(const Crowd &) = delete;

	/* On a fiber. */
	void start()
	{
		for (int i = 0; i < 4; i++)
			start_ticker(i);
		start_tcp_echo();
		start_socketpair_echo();
		start_thread_echo();
		start_rendezvous();
		start_channel_from_thread();
		start_locks();
		start_time_out();
		start_canceller();
		start_closer();
		start_spawner();
		start_scope();
		start_offloader();
		start_file_reader();
		start_selecter();
		start_borrower();
		start_submitter();
	}
	/* On a fiber; all of them have ended at return. */
	void end()
	{
		stop_ = true;
		while (ended_threads_ < threads_.size()) /* they wait for fibers, which need this worker, perhaps */
			weft_sleep(WEFT_MS);
		for (std::thread &thread : threads_)
			thread.join();
		for (weft_fiber *fiber : fibers_)
			support::join(fiber);
		for (int fd : fds_)
			weft_close(fd);
		for (weft_chan *chan : chans_)
			weft_chan_free(chan);
	}
	const std::deque<Gaps> &gaps() const
	{
		return gaps_;
	}

private:
	static constexpr int64_t PAUSE = WEFT_MS;

	Gaps *gaps_of(const char *name)
	{
		gaps_.emplace_back(name);
		return &gaps_.back();
	}
	void fiber(std::function<void()> fn)
	{
		fibers_.push_back(spawn(std::move(fn)));
	}
	void thread(std::function<void()> fn)
	{
		threads_.emplace_back([this, fn] {
			fn();
			ended_threads_++;
		});
	}
	int keep(int fd)
	{
		EXPECT_GE(fd, 0);
		fds_.push_back(fd);
		return fd;
	}
	weft_chan *chan(size_t size, size_t capacity)
	{
		weft_chan *made = nullptr;
		EXPECT_EQ(0, weft_chan_new(&made, size, capacity));
		chans_.push_back(made);
		return made;
	}
	/* A fiber's loop. */
	void repeat(const char *name, std::function<void()> step)
	{
		Gaps *gaps = gaps_of(name);
		fiber([this, gaps, step] {
			while (!stop_) {
				step();
				gaps->step();
				weft_sleep(PAUSE);
			}
		});
	}

	void start_ticker(int number)
	{
		Gaps *gaps = gaps_of(("ticker " + std::to_string(number)).c_str());
		fiber([this, gaps] {
			while (!stop_) {
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
				gaps->step();
			}
		});
	}
	/* Sends back what comes, until the other end is shut. */
	void start_echo(int fd)
	{
		fiber([fd] {
			char bytes[64];
			ssize_t n;
			while ((n = weft_recv(fd, bytes, sizeof(bytes), 0)) > 0)
				EXPECT_EQ(n, weft_send_full(fd, bytes, static_cast<size_t>(n), 0));
			EXPECT_EQ(0, n);
		});
	}
	void start_echo_client(const char *name, int fd)
	{
		Gaps *gaps = gaps_of(name);
		fiber([this, gaps, fd] {
			char bytes[64] = "hello";
			while (!stop_) {
				EXPECT_EQ(64, weft_send_full(fd, bytes, 64, 0));
				EXPECT_EQ(64, weft_recv(fd, bytes, 64, MSG_WAITALL));
				gaps->step();
				weft_sleep(PAUSE);
			}
			EXPECT_EQ(0, weft_shutdown(fd, SHUT_WR));
		});
	}
	void start_tcp_echo()
	{
		int listener = weft_listen("127.0.0.1:0");
		EXPECT_GE(listener, 0);
		std::string address = "127.0.0.1:" + std::to_string(weft_local_port(listener));
		int client = keep(weft_dial(address.c_str()));
		int server = keep(weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC));
		EXPECT_EQ(0, weft_close(listener));
		start_echo(server);
		start_echo_client("echo over TCP", client);
	}
	void pair(int fd[2])
	{
		EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
		keep(fd[0]);
		keep(fd[1]);
	}
	void pipe(int fd[2])
	{
		open_pipe(fd);
		keep(fd[0]);
		keep(fd[1]);
	}
	void start_socketpair_echo()
	{
		int fd[2];
		pair(fd);
		start_echo(fd[0]);
		start_echo_client("echo over a socketpair", fd[1]);
	}
	void start_thread_echo()
	{
		int fd[2];
		pair(fd);
		start_echo(fd[0]);
		Gaps *gaps = gaps_of("echo to a thread");
		int client = fd[1];
		thread([this, gaps, client] {
			char bytes[64] = "hello";
			while (!stop_) {
				EXPECT_EQ(64, send(client, bytes, 64, MSG_NOSIGNAL));
				EXPECT_EQ(64, recv(client, bytes, 64, MSG_WAITALL));
				gaps->step();
				sleep_thread(PAUSE);
			}
			shutdown(client, SHUT_WR);
		});
	}
	void start_rendezvous()
	{
		weft_chan *ball = chan(sizeof(int), 0), *back = chan(sizeof(int), 0);
		fiber([ball, back] {
			int value;
			while (weft_chan_recv(ball, &value) == 0)
				EXPECT_EQ(0, weft_chan_send(back, &value));
		});
		Gaps *gaps = gaps_of("channel partners");
		fiber([this, gaps, ball, back] {
			for (int value = 1, got = 0; !stop_; value++) {
				EXPECT_EQ(0, weft_chan_send(ball, &value));
				EXPECT_EQ(0, weft_chan_recv(back, &got));
				EXPECT_EQ(value, got);
				gaps->step();
				if (value % 8 == 0)
					weft_sleep(PAUSE);
			}
			weft_chan_close(ball);
		});
	}
	void start_channel_from_thread()
	{
		weft_chan *line = chan(sizeof(int), 4);
		Gaps *gaps = gaps_of("channel from a thread");
		fiber([gaps, line] {
			for (int value, next = 0; weft_chan_recv(line, &value) == 0; next++) {
				EXPECT_EQ(next, value);
				gaps->step();
			}
		});
		thread([this, line] {
			for (int value = 0; !stop_; value++) {
				EXPECT_EQ(0, weft_chan_send(line, &value));
				sleep_thread(PAUSE);
			}
			weft_chan_close(line);
		});
	}
	void start_locks()
	{
		static weft_mutex lock;
		lock = weft_mutex WEFT_MUTEX_INIT;
		for (int i = 0; i < 2; i++)
			repeat("a lock held across a sleep", [] {
				weft_mutex_lock(&lock);
				weft_sleep(WEFT_MS / 2);
				EXPECT_EQ(0, weft_mutex_unlock(&lock));
			});
	}
	void start_time_out()
	{
		int fd[2];
		pipe(fd);
		int silent = fd[0];
		repeat("reads that time out", [silent] {
			char byte;
			weft_deadline(weft_after(2 * WEFT_MS));
			EXPECT_EQ(-ETIMEDOUT, weft_read(silent, &byte, 1));
			weft_deadline(WEFT_FOREVER);
		});
	}
	void start_canceller()
	{
		int fd[2];
		pipe(fd);
		int silent = fd[0];
		repeat("reads that are cancelled", [silent] {
			char byte;
			weft_fiber *reader =
				spawn([&byte, silent] { return weft_read(silent, &byte, 1); });
			weft_sleep(PAUSE);
			EXPECT_EQ(0, weft_cancel(reader));
			EXPECT_EQ(-ECANCELED, support::join(reader));
		});
	}
	void start_closer()
	{
		repeat("reads ended by close", [] {
			int fd[2];
			char byte;
			open_pipe(fd);
			int in = fd[0];
			/* Not later: the number may be a descriptor of weft's own by then, for a spare. */
			std::atomic<bool> begun{false};
			weft_fiber *reader = spawn([&byte, &begun, in] {
				begun = true;
				return weft_read(in, &byte, 1);
			});
			do
				weft_sleep(PAUSE);
			while (!begun);
			EXPECT_EQ(0, weft_close(fd[0]));
			intptr_t result = support::join(reader);
			EXPECT_TRUE(result == -ECANCELED || result == -EBADF)
				<< result; /* EBADF: its thread had to wait just before the read */
			EXPECT_EQ(0, weft_close(fd[1]));
		});
	}
	void start_spawner()
	{
		repeat("spawn and join", [] {
			weft_fiber *child[4];
			for (weft_fiber *&one : child)
				one = spawn([] {
					weft_yield();
					return 7;
				});
			for (weft_fiber *one : child)
				EXPECT_EQ(7, support::join(one));
		});
	}
	void start_scope()
	{
		repeat("scopes that are late", [] {
			weft_scope scope;
			EXPECT_EQ(0, weft_scope_open(&scope, weft_after(2 * WEFT_MS)));
			auto sleeper = [](void *) { return weft_sleep(WEFT_FOREVER); };
			EXPECT_EQ(0, weft_scope_spawn(&scope, sleeper, nullptr));
			EXPECT_EQ(-ETIMEDOUT, weft_scope_close(&scope));
		});
	}
	void start_offloader()
	{
		repeat("offload", [] {
			void *result = nullptr;
			EXPECT_EQ(0, weft_offload([](void *arg) { return arg; }, &result, &result));
			EXPECT_EQ(&result, result);
		});
	}
	void start_file_reader()
	{
		int fd = keep(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
		repeat("file", [fd] {
			char head[4];
			EXPECT_EQ(4, weft_pread(fd, head, 4, 0));
			EXPECT_EQ(0, memcmp(head, "\177ELF", 4));
		});
	}
	/* Fed by a thread: a channel and a pipe in turn. */
	void start_selecter()
	{
		int fd[2];
		pipe(fd);
		weft_chan *line = chan(1, 1), *quit = chan(1, 0);
		int in = fd[0], out = fd[1];
		Gaps *gaps = gaps_of("select");
		fiber([gaps, line, quit, in] {
			char byte;
			weft_case cases[] = {{WEFT_CASE_RECV, line, &byte, -1, 0},
				{WEFT_CASE_READABLE, nullptr, nullptr, in, 0},
				{WEFT_CASE_RECV, quit, &byte, -1, 0}};
			for (;;) {
				int index = weft_select(cases, 3, WEFT_FOREVER);
				EXPECT_GE(index, 0);
				if (index == 2 || index < 0)
					return;
				if (index == 1) {
					EXPECT_EQ(1, weft_read(in, &byte, 1));
				}
				gaps->step();
			}
		});
		thread([this, line, quit, out] {
			while (!stop_) {
				char byte = 'x';
				EXPECT_EQ(1, write(out, &byte, 1));
				sleep_thread(PAUSE);
				EXPECT_EQ(0, weft_chan_send(line, &byte));
				sleep_thread(PAUSE);
			}
			weft_chan_close(quit);
		});
	}
	void start_borrower()
	{
		int fd[2];
		pair(fd);
		int in = fd[0], out = fd[1];
		Gaps *gaps = gaps_of("borrowed receives");
		fiber([gaps, in] {
			weft_slice slice;
			ssize_t n;
			while ((n = weft_recv_borrow(in, &slice)) > 0) {
				weft_slice_return(&slice);
				gaps->step();
			}
			EXPECT_EQ(0, n);
		});
		thread([this, out] {
			while (!stop_) {
				EXPECT_EQ(5, send(out, "hello", 5, MSG_NOSIGNAL));
				sleep_thread(PAUSE);
			}
			shutdown(out, SHUT_WR);
		});
	}
	void start_submitter()
	{
		Gaps *gaps = gaps_of("submit");
		thread([this, gaps] {
			while (!stop_) {
				std::atomic<bool> ran{false};
				auto mark = [](void *arg) -> void * {
					*static_cast<std::atomic<bool> *>(arg) = true;
					return nullptr;
				};
				EXPECT_EQ(0, weft_submit(rt_, mark, &ran));
				while (!ran)
					sleep_thread(PAUSE / 5);
				gaps->step();
				sleep_thread(PAUSE);
			}
		});
	}

	weft_runtime *rt_;
	std::atomic<bool> stop_{false};
	std::deque<Gaps> gaps_;
	std::vector<weft_fiber *> fibers_;
	std::vector<std::thread> threads_;
	std::atomic<size_t> ended_threads_{0};
	std::vector<int> fds_;
	std::vector<weft_chan *> chans_;
};

} // namespace stuck

#endif
