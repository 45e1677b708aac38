/* SPDX-License-Identifier: MIT */
/* cancel_test.cc - cancellation and deadlines of calls parked in the ring
 *
 * Law  cancelled or late, each call returns exactly one of its result and -ECANCELED or -ETIMEDOUT; a
 *      completed transfer is never dropped, and nothing else is taken.
 * Law  both are levels: while one is in force every further call fails the same way, data or not.
 * Law  4: at return the kernel has let go of the buffer, also of one on the caller's stack.
 */
#include "tests/io/support.h"

#include <atomic>
#include <thread>

#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

using namespace io_test;

namespace
{

class Cancel : public Rings
{
};
IN_EVERY_SETUP(Cancel);

/* Descriptors on which every call parks, for as long as nobody helps. */
class Scene
{
public:
	Scene()
	{
		for (Pair *pair : {&pipe_, &socket_, &full_pipe_, &full_socket_, &nonblocking_})
			*pair = connect_pair(
				pair == &pipe_ || pair == &full_pipe_ ? Link::PIPE : Link::UNIX);
		fill_up(full_pipe_.out);
		fill_up(full_socket_.out);
		set_nonblocking(nonblocking_.in);
		listener_ = weft_listen("127.0.0.1:0");
		EXPECT_GE(listener_, 0);
		fifo_ = scratch_path("cancel-fifo");
		EXPECT_EQ(0, mkfifo(fifo_.c_str(), 0600));
		make_deaf_listener();
	}
	~Scene()
	{
		for (Pair pair : {pipe_, socket_, full_pipe_, full_socket_, nonblocking_})
			close_pair(pair);
		EXPECT_EQ(0, weft_close(listener_));
		EXPECT_EQ(0, weft_close(deaf_));
		EXPECT_EQ(0, weft_close(caller_));
		unlink(fifo_.c_str());
		unlink(deaf_path_.c_str());
	}

	struct Point {
		const char *name;
		std::function<long()> call;
	};
	std::vector<Point> points()
	{
		return {
			{"read pipe", [this] { return weft_read(pipe_.in, buf_, sizeof(buf_)); }},
			{"read socket", [this] { return weft_read(socket_.in, buf_, sizeof(buf_)); }},
			{"read O_NONBLOCK", [this] { return weft_read(nonblocking_.in, buf_, 1); }},
			{"read_full", [this] { return weft_read_full(pipe_.in, buf_, sizeof(buf_)); }},
			{"recv", [this] { return weft_recv(socket_.in, buf_, sizeof(buf_), 0); }},
			{"recv MSG_PEEK", [this] { return weft_recv(socket_.in, buf_, 1, MSG_PEEK); }},
			{"recv MSG_WAITALL",
				[this] {
					return weft_recv(socket_.in, buf_, sizeof(buf_), MSG_WAITALL);
				}},
			{"recv O_NONBLOCK", [this] { return weft_recv(nonblocking_.in, buf_, 1, 0); }},
			{"write", [this] { return weft_write(full_pipe_.out, buf_, sizeof(buf_)); }},
			{"write_full",
				[this] {
					return weft_write_full(full_pipe_.out, buf_, sizeof(buf_));
				}},
			{"send",
				[this] { return weft_send(full_socket_.out, buf_, sizeof(buf_), 0); }},
			{"send_full",
				[this] {
					return weft_send_full(full_socket_.out, buf_, sizeof(buf_), 0);
				}},
			{"accept", [this] { return weft_accept(listener_, nullptr, nullptr, 0); }},
			{"poll", [this] { return weft_poll(socket_.in, POLLIN); }},
			{"openat",
				[this] { return weft_openat(AT_FDCWD, fifo_.c_str(), O_RDONLY, 0); }},
			{"dial", [this] { return weft_dial(("unix:" + deaf_path_).c_str()); }},
		};
	}

private:
	static void fill_up(int fd)
	{
		std::vector<char> block(1 << 16);
		int flags = fcntl(fd, F_GETFL);
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		while (write(fd, block.data(), block.size()) > 0)
			;
		while (write(fd, block.data(), 1) > 0)
			;
		fcntl(fd, F_SETFL, flags);
	}
	/* A listener whose queue is full: a further connect waits. */
	void make_deaf_listener()
	{
		deaf_path_ = scratch_path("deaf");
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		strncpy(address.sun_path, deaf_path_.c_str(), sizeof(address.sun_path) - 1);
		auto *generic = reinterpret_cast<sockaddr *>(&address);
		deaf_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		EXPECT_EQ(0, bind(deaf_, generic, sizeof(address)));
		EXPECT_EQ(0, listen(deaf_, 0));
		caller_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		EXPECT_EQ(0, connect(caller_, generic, sizeof(address)));
	}

	Pair pipe_, socket_, full_pipe_, full_socket_, nonblocking_;
	int listener_ = -1, deaf_ = -1, caller_ = -1;
	std::string fifo_, deaf_path_;
	char buf_[64] = {};
};

TEST_P(Cancel, WakesEveryParkedCallAndStaysInForce)
{
	run([] {
		Scene scene;
		int open_before = count_open();
		for (const Scene::Point &point : scene.points()) {
			std::atomic<long> first{0}, second{0};
			Fiber fiber([&] {
				first = point.call();
				second = point.call();
				EXPECT_EQ(1, weft_cancelled());
			});
			EXPECT_TRUE(until_parked(1)) << point.name;
			EXPECT_EQ(0, fiber.cancel());
			fiber.join();
			EXPECT_EQ(-ECANCELED, first) << point.name;
			EXPECT_EQ(-ECANCELED, second) << point.name;
		}
		EXPECT_EQ(open_before, count_open());
	});
}

TEST_P(Cancel, DeadlineEndsEveryParkedCallAndStaysInForce)
{
	run([] {
		Scene scene;
		int open_before = count_open();
		for (const Scene::Point &point : scene.points()) {
			weft_ns limit = weft_after(2 * WEFT_MS);
			weft_deadline(limit);
			EXPECT_EQ(-ETIMEDOUT, point.call()) << point.name;
			EXPECT_GE(weft_now(), limit) << point.name;
			EXPECT_EQ(-ETIMEDOUT, point.call()) << point.name;
			EXPECT_EQ(0, weft_cancelled());
			weft_deadline(WEFT_FOREVER);
		}
		EXPECT_EQ(open_before, count_open());
	});
}

TEST_P(Cancel, ShieldDefersItButNotTheDeadline)
{
	run([] {
		Scene scene;
		for (const Scene::Point &point : scene.points()) {
			std::atomic<long> shielded{0}, after{0};
			std::atomic<bool> cancelled{false};
			Fiber fiber([&] {
				weft_shield(true);
				weft_deadline(weft_after(5 * WEFT_MS));
				shielded = point.call();
				while (!cancelled) /* however late the machine lets it come */
					weft_yield();
				weft_shield(false);
				after = point.call();
			});
			EXPECT_TRUE(until([&] {
				return shielded != 0 || operations_in_flight() >= 1;
			})) << point.name;
			EXPECT_EQ(0, fiber.cancel());
			cancelled = true;
			fiber.join();
			EXPECT_EQ(-ETIMEDOUT, shielded) << point.name;
			EXPECT_EQ(-ECANCELED, after) << point.name << ": cancellation comes first";
		}
	});
}

TEST_P(Cancel, ShieldedCallGoesOnToItsData)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::atomic<ssize_t> got{0}, then{0};
		Fiber fiber([&] {
			char byte;
			bool was = weft_shield(true);
			got = weft_recv(pair.in, &byte, 1, 0);
			weft_shield(was);
			then = weft_recv(pair.in, &byte, 1, 0);
		});
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(0, fiber.cancel());
		EXPECT_EQ(0, weft_sleep(WEFT_MS));
		EXPECT_EQ(0, got);
		EXPECT_EQ(2, weft_send(pair.out, "ab", 2, 0));
		fiber.join();
		EXPECT_EQ(1, got);
		EXPECT_EQ(-ECANCELED, then) << "though a byte is waiting";
		close_pair(pair);
	});
}

/* In force, a level beats data that is there, and takes none of it. */
TEST_P(Cancel, InForceBeatsDataAndLeavesIt)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			EXPECT_EQ(3, weft_write(pair.out, "abc", 3));
			char buf[8] = {};
			Fiber fiber([&] {
				char mine[8];
				weft_deadline(weft_now() - 1);
				EXPECT_EQ(-ETIMEDOUT, weft_read(pair.in, mine, sizeof(mine)));
				EXPECT_EQ(-ETIMEDOUT, weft_read_full(pair.in, mine, 3));
				EXPECT_EQ(-ETIMEDOUT, weft_write(pair.out, "x", 1));
				EXPECT_EQ(-ETIMEDOUT, weft_poll(pair.in, POLLIN));
				weft_cancel(weft_self());
				EXPECT_EQ(-ECANCELED, weft_read(pair.in, mine, sizeof(mine)));
				EXPECT_EQ(-ECANCELED, weft_write_full(pair.out, "x", 1));
				EXPECT_EQ(-ECANCELED, weft_poll(pair.in, POLLIN));
				if (link != Link::PIPE) {
					EXPECT_EQ(-ECANCELED, weft_recv(pair.in, mine, 1, MSG_DONTWAIT));
					EXPECT_EQ(-ECANCELED, weft_send(pair.out, "x", 1, MSG_DONTWAIT));
					EXPECT_EQ(-ECANCELED, weft_shutdown(pair.out, SHUT_WR));
				}
				EXPECT_EQ(-ECANCELED, weft_openat(AT_FDCWD, "/", O_RDONLY, 0));
			});
			fiber.join();
			EXPECT_EQ(0, weft_close(pair.out));
			EXPECT_EQ(3, weft_read_full(pair.in, buf, sizeof(buf))) << link_name(link);
			EXPECT_STREQ("abc", buf);
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

TEST_P(Cancel, MovedDeadlineLetsGoOn)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		char byte;
		for (int i = 0; i < 20; i++) {
			weft_deadline(weft_after(200 * WEFT_US));
			EXPECT_EQ(-ETIMEDOUT, weft_recv(pair.in, &byte, 1, 0));
			weft_deadline(weft_after(PATIENCE));
			EXPECT_EQ(1, weft_send(pair.out, "x", 1, 0));
			EXPECT_EQ(1, weft_recv(pair.in, &byte, 1, 0));
		}
		weft_deadline(WEFT_FOREVER);
		close_pair(pair);
	});
}

TEST_P(Cancel, WholeTransfersTellHowFarTheyCame)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		for (int flags : {0, static_cast<int>(MSG_WAITALL)}) {
			std::atomic<ssize_t> got{0}, then{0};
			Fiber fiber([&] {
				char buf[8];
				got = flags ? weft_recv(pair.in, buf, 8, flags)
					    : weft_read_full(pair.in, buf, 8);
				then = weft_read_full(pair.in, buf, 8);
			});
			EXPECT_TRUE(until_parked(1));
			EXPECT_EQ(3, weft_send(pair.out, "abc", 3, 0));
			int queued = 3;
			EXPECT_TRUE(until([&] {
				char peek[8];
				queued = static_cast<int>(
					recv(pair.in, peek, sizeof(peek), MSG_PEEK | MSG_DONTWAIT));
				return queued <= 0;
			}));
			EXPECT_TRUE(until_parked(1));
			EXPECT_EQ(0, fiber.cancel());
			fiber.join();
			EXPECT_EQ(3, got) << "flags " << flags;
			EXPECT_EQ(-ECANCELED, then);
		}
		close_pair(pair);
	});
}

/* One receiver and one byte a round; whoever loses, the byte is in exactly one place. */
struct Account {
	int received = 0;
	int refused = 0;
	int left = 0;
};

void settle(Account &account, Pair pair, ssize_t got, int refusal)
{
	char byte;
	if (got == 1) {
		account.received++;
	} else {
		EXPECT_EQ(refusal, got);
		account.refused++;
	}
	EXPECT_EQ(got == 1 ? -EAGAIN : 1, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
}

TEST_P(Cancel, RaceWithCompletionHasExactlyOneOutcome)
{
	run([] {
		constexpr int ROUNDS = rounds(20000, 400);
		Pair pair = connect_pair(Link::UNIX);
		Account account;
		for (int i = 0; i < ROUNDS; i++) {
			std::atomic<ssize_t> got{0};
			std::atomic<int> ready{0};
			Fiber receiver([&] {
				char byte;
				ready = 1;
				got = weft_recv(pair.in, &byte, 1, 0);
			});
			if (i % 2)
				while (!ready)
					weft_yield();
			for (int spin = i % 7; spin > 0; spin--)
				weft_yield();
			bool cancel_first = i % 3 == 0;
			if (cancel_first)
				receiver.cancel();
			if (i % 5 == 0)
				weft_yield();
			EXPECT_EQ(1, send(pair.out, "x", 1, MSG_NOSIGNAL));
			if (i % 11 == 0)
				weft_yield();
			if (!cancel_first)
				receiver.cancel();
			receiver.join();
			settle(account, pair, got, -ECANCELED);
		}
		EXPECT_GT(account.received, 0);
		EXPECT_GT(account.refused, 0);
		EXPECT_EQ(ROUNDS, account.received + account.refused);
		close_pair(pair);
	});
}

TEST_P(Cancel, DeadlineRaceWithCompletionHasExactlyOneOutcome)
{
	run([] {
		constexpr int ROUNDS = rounds(3000, 200);
		Pair pair = connect_pair(Link::UNIX);
		Account account;
		for (int i = 0; i < ROUNDS; i++) {
			Fiber sender([&, i] {
				weft_sleep((i % 50) * WEFT_US);
				EXPECT_EQ(1, send(pair.out, "x", 1, MSG_NOSIGNAL));
			});
			char byte;
			weft_deadline(weft_after((i * 7 % 90) * WEFT_US));
			ssize_t got = weft_recv(pair.in, &byte, 1, 0);
			weft_deadline(WEFT_FOREVER);
			sender.join();
			settle(account, pair, got, -ETIMEDOUT);
		}
		EXPECT_GT(account.received, 0);
		EXPECT_GT(account.refused, 0);
		close_pair(pair);
	});
}

TEST_P(Cancel, AcceptLosesNoConnection)
{
	run([] {
		constexpr int ROUNDS = rounds(500, 100);
		int listener = weft_listen("127.0.0.1:0");
		ASSERT_GE(listener, 0);
		std::string address = "127.0.0.1:" + std::to_string(weft_local_port(listener));
		for (int i = 0; i < ROUNDS; i++) {
			std::atomic<int> taken{0};
			Fiber acceptor([&] { taken = weft_accept(listener, nullptr, nullptr, 0); });
			for (int spin = i % 4; spin > 0; spin--)
				weft_yield();
			Fiber canceller([&] { acceptor.cancel(); });
			int out = weft_dial(address.c_str());
			EXPECT_GE(out, 0);
			canceller.join();
			acceptor.join();
			int in = taken;
			EXPECT_TRUE(in >= 0 || in == -ECANCELED) << in;
			if (in < 0) {
				weft_deadline(weft_after(PATIENCE));
				in = weft_accept(listener, nullptr, nullptr, 0);
				weft_deadline(WEFT_FOREVER);
			}
			ASSERT_GE(in, 0) << "the connection is still in the queue";
			EXPECT_EQ(0, weft_close(in));
			EXPECT_EQ(0, weft_close(out));
		}
		EXPECT_EQ(0, weft_close(listener));
	});
}

/* Law 4: what comes after the return does not reach the buffer, though its frame still stands. */
TEST_P(Cancel, BufferIsQuietAfterReturn)
{
	run([] {
		constexpr int ROUNDS = rounds(300, 50);
		for (int i = 0; i < ROUNDS; i++) {
			Pair pair = connect_pair(i % 2 ? Link::UNIX : Link::PIPE);
			std::atomic<int> state{0};
			Fiber fiber([&] {
				volatile unsigned char buf[512];
				for (volatile unsigned char &byte : buf)
					byte = 0xa5;
				ssize_t n = weft_read(
					pair.in, const_cast<unsigned char *>(buf), sizeof(buf));
				EXPECT_EQ(-ECANCELED, n);
				state = 1;
				while (state != 2)
					weft_yield();
				for (volatile unsigned char &byte : buf)
					EXPECT_EQ(0xa5, byte);
			});
			EXPECT_TRUE(until_parked(1));
			fiber.cancel();
			EXPECT_TRUE(until([&] { return state == 1; }));
			char data[512] = {};
			EXPECT_EQ(512, weft_write(pair.out, data, sizeof(data)));
			weft_yield();
			state = 2;
			fiber.join();
			EXPECT_EQ(512, weft_read(pair.in, data, sizeof(data))) << "all still there";
			close_pair(pair);
		}
	});
}

TEST_P(Cancel, FromAThreadThatIsNoWorker)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::atomic<weft_fiber *> handle{nullptr};
		std::atomic<ssize_t> got{0};
		Fiber fiber([&] {
			char byte;
			handle = weft_self();
			got = weft_recv(pair.in, &byte, 1, 0);
		});
		EXPECT_TRUE(until_parked(1));
		std::thread outside([&] { EXPECT_EQ(0, weft_cancel(handle)); });
		fiber.join();
		outside.join();
		EXPECT_EQ(-ECANCELED, got);
		close_pair(pair);
	});
}

/* A thousand at once: none is forgotten. */
TEST_P(Cancel, ManyParkedOnOneDescriptor)
{
	run([] {
		constexpr int FIBERS = rounds(1000, 200);
		Pair pair = connect_pair(Link::PIPE);
		std::atomic<int> cancelled{0};
		Fibers fibers;
		for (int i = 0; i < FIBERS; i++)
			spawn_into(fibers, [&] {
				char byte;
				if (weft_read(pair.in, &byte, 1) == -ECANCELED)
					cancelled++;
			});
		EXPECT_TRUE(until_parked(FIBERS));
		for (auto &fiber : fibers)
			EXPECT_EQ(0, fiber->cancel());
		fibers.clear();
		EXPECT_EQ(FIBERS, cancelled);
		close_pair(pair);
	});
}

} // namespace
