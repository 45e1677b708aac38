/* SPDX-License-Identifier: MIT */
/* budget_test.cc - one busy fiber does not keep timers and the I/O of others waiting
 *
 * Law  on one worker, and without rescue, whatever a fiber finds ready again and again: ten others that sleep a millisecond at a time go on, with
 *      either engine.
 * Law  of calls that are system calls made in place, another ready fiber runs at least once in WF_TICK_RUNS.
 */
#include <atomic>
#include <ctime>
#include <mutex>
#include <numeric>
#include <thread>

#include <netinet/tcp.h>

#include "tests/io/support.h"

using namespace io_test;

namespace
{

constexpr int TICK_RUNS = 61; /* WF_TICK_RUNS; limits.h is no C++ */
constexpr int TICKERS = 10;
constexpr weft_ns MEASURED = 300 * WEFT_MS;
/* Of one tick in a hundred. */
constexpr weft_ns LATE = WF_TEST_SANITIZED ? 250 * WEFT_MS : 25 * WEFT_MS;
constexpr size_t PIECE = 64 * 1024;

/* Of this thread: on one worker without rescue, of all its fibers. */
weft_ns processor_time()
{
	timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * WEFT_SEC + ts.tv_nsec;
}

/* Sleep a millisecond at a time, and note how late they wake. */
class Tickers
{
public:
	Tickers()
	{
		for (int i = 0; i < TICKERS; i++)
			spawn_into(fibers_, [this, i] { tick(late_[i]); });
	}

	/* When they have ended. */
	void check()
	{
		fibers_.clear();
		std::vector<weft_ns> all;
		for (const std::vector<weft_ns> &late : late_) {
			weft_ns sum = std::accumulate(late.begin(), late.end(), weft_ns{0});
			EXPECT_LT(sum / static_cast<weft_ns>(late.size()), MEASURED / 5);
			all.insert(all.end(), late.begin(), late.end());
		}
		ASSERT_FALSE(all.empty());
		std::sort(all.begin(), all.end());
		EXPECT_LT(all[all.size() * 99 / 100], LATE) << "p50 " << all[all.size() / 2];
	}

	std::atomic<int> ended{0};

private:
	void tick(std::vector<weft_ns> &late)
	{
		weft_ns end = weft_after(MEASURED);
		do {
			weft_ns spent = processor_time(), due = weft_after(WEFT_MS);
			EXPECT_EQ(0, weft_sleep_until(due));
			/* Without a processor it is late too: not its fibers' doing. */
			late.push_back(std::min(weft_now() - due, processor_time() - spent));
		} while (weft_now() < end);
		ended++;
	}

	std::vector<weft_ns> late_[TICKERS];
	Fibers fibers_;
};

class Busy : public testing::TestWithParam<unsigned>
{
public:
	/* Calls hog(go_on) beside the tickers, until they have ended. */
	void beside_tickers(const std::function<void(const std::function<bool()> &)> &hog) const
	{
		weft_config config{};
		config.workers = 1;
		config.engine = GetParam();
		config.stack_size = 256 * 1024;
		config.rescue = WEFT_RESCUE_OFF;
		config.long_run = -1;
		io_test::run(config, [&hog] {
			Tickers tickers;
			hog([&tickers] { return tickers.ended < TICKERS; });
			tickers.check();
		});
	}

protected:
	void SetUp() override
	{
		if (GetParam() == WEFT_ENGINE_URING && ring_refused())
			GTEST_SKIP() << "io_uring is refused here";
	}
};

INSTANTIATE_TEST_SUITE_P(Engines, Busy, testing::Values(WEFT_ENGINE_URING, WEFT_ENGINE_EPOLL),
	[](const testing::TestParamInfo<unsigned> &engine) {
		return engine.param == WEFT_ENGINE_URING ? "Uring" : "Epoll";
	});

TEST_P(Busy, TwoThatHandAChannelToEachOther)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		weft_chan *there, *back;
		EXPECT_EQ(0, weft_chan_new(&there, 0, 0));
		EXPECT_EQ(0, weft_chan_new(&back, 0, 0));
		{
			Fiber partner([&] {
				while (weft_chan_recv(there, nullptr) == 0)
					EXPECT_EQ(0, weft_chan_send(back, nullptr));
			});
			while (go_on()) {
				EXPECT_EQ(0, weft_chan_send(there, nullptr));
				EXPECT_EQ(0, weft_chan_recv(back, nullptr));
			}
			EXPECT_EQ(0, weft_chan_close(there));
		}
		weft_chan_free(there);
		weft_chan_free(back);
	});
}

TEST_P(Busy, OneWithABufferedChannelOfItsOwn)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		weft_chan *chan;
		EXPECT_EQ(0, weft_chan_new(&chan, sizeof(int), 1));
		for (int i = 0, got = 0; go_on(); i++) {
			EXPECT_EQ(0, weft_chan_send(chan, &i));
			EXPECT_EQ(0, weft_chan_recv(chan, &got));
		}
		weft_chan_free(chan);
	});
}

/* A connection whose peer, a thread, always has more. */
class Flood
{
public:
	Flood()
	{
		int fds[2];
		EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
		in = fds[0];
		thread_ = std::thread([out = fds[1]] {
			std::vector<char> piece(PIECE, 'x');
			piece[PIECE / 2] = '\n';
			while (send(out, piece.data(), piece.size(), MSG_NOSIGNAL) > 0)
				;
			close(out);
		});
	}
	~Flood()
	{
		EXPECT_EQ(0, weft_close(in));
		thread_.join(); /* the send fails now */
	}
	Flood(const Flood &) = delete;
	Flood &operator=(const Flood &) = delete;

	int in;

private:
	std::thread thread_;
};

TEST_P(Busy, AReaderWhoseDataIsAlwaysThere)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		Flood flood;
		std::vector<char> buf(PIECE);
		while (go_on())
			EXPECT_GT(weft_recv(flood.in, buf.data(), buf.size(), 0), 0);
	});
}

TEST_P(Busy, AReaderThatAsksWithoutWaiting)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		Flood flood;
		std::vector<char> buf(PIECE);
		while (go_on()) {
			ssize_t n = weft_recv(flood.in, buf.data(), buf.size(), MSG_DONTWAIT);
			EXPECT_TRUE(n > 0 || n == -EAGAIN) << n;
		}
	});
}

TEST_P(Busy, ABorrower)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		Flood flood;
		while (go_on()) {
			weft_slice slice;
			EXPECT_GT(weft_recv_borrow(flood.in, &slice), 0);
			weft_slice_return(&slice);
		}
	});
}

TEST_P(Busy, AReaderOfLines)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		Flood flood;
		weft_stream stream;
		EXPECT_EQ(0, weft_stream_init(&stream, flood.in));
		while (go_on()) {
			char *line;
			EXPECT_GT(weft_stream_read_line(&stream, &line), 0);
		}
		weft_stream_free(&stream);
	});
}

TEST_P(Busy, AReaderOfAFileInMemory)
{
	beside_tickers([](const std::function<bool()> &go_on) {
		std::string path = scratch_path("busy");
		int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		std::vector<char> buf(PIECE, 'x');
		ASSERT_EQ(static_cast<ssize_t>(PIECE), write(fd, buf.data(), PIECE));
		while (go_on())
			EXPECT_EQ(static_cast<ssize_t>(PIECE), weft_pread(fd, buf.data(), PIECE, 0));
		EXPECT_EQ(0, weft_close(fd));
		unlink(path.c_str());
	});
}

/* Whom a call would not wait for is asked in a loop: each is a system call. */
TEST_P(Busy, CallsMadeInPlaceCountAsRuns)
{
	weft_config config{};
	config.workers = 1;
	config.engine = GetParam();
	config.rescue = WEFT_RESCUE_OFF;
	config.long_run = -1;
	config.stack_size = 256 * 1024;
	io_test::run(config, [] {
		Pair pair = connect_pair(Link::UNIX);
		std::atomic<int> calls{0};
		std::atomic<bool> done{false};
		int gap = 0;
		Fiber witness([&] {
			for (int seen = calls; !done; seen = calls) {
				weft_yield();
				gap = std::max(gap, calls - seen);
			}
		});
		for (char byte; calls < 5000; calls++)
			EXPECT_EQ(-EAGAIN, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
		done = true;
		witness.join();
		EXPECT_GE(gap, 1);
		EXPECT_LE(gap, TICK_RUNS);
		close_pair(pair);
	});
}

} // namespace
