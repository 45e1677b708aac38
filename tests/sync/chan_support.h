/* SPDX-License-Identifier: MIT */
/* chan_support.h - what the tests of channels and select share
 *
 * What     Chan<T>, a channel of a C++ type; cases of weft_select; settle(), after which all others are parked;
 *          threads that talk to fibers.
 * Rules    settle() is for runtimes with virtual time: a sleep there ends when no other fiber can run.
 *          A channel is freed by its destructor: declare it before the Threads, Host or fibers that use it.
 */
#ifndef TESTS_SYNC_CHAN_SUPPORT_H
#define TESTS_SYNC_CHAN_SUPPORT_H

#include <cmath>
#include <initializer_list>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

#include "tests/core/support.h"

namespace chan_test
{

/* What a case's status is before a select; no errno value. */
constexpr int UNWRITTEN = 77;

struct nothing {
};

/* A channel of trivially copyable elements; those of an empty struct have no bytes. */
template <typename T>
class Chan
{
	static_assert(std::is_trivially_copyable_v<T>);

public:
	explicit Chan(size_t capacity = 0)
	{
		EXPECT_EQ(0, weft_chan_new(&chan_, std::is_empty_v<T> ? 0 : sizeof(T), capacity));
	}
	Chan(const Chan &) = delete;
	Chan &operator=(const Chan &) = delete;
	~Chan()
	{
		weft_chan_free(chan_);
	}

	weft_chan *get() const
	{
		return chan_;
	}
	int send(const T &value) const
	{
		return weft_chan_send(chan_, &value);
	}
	int recv(T *value) const
	{
		return weft_chan_recv(chan_, value);
	}
	int try_send(const T &value) const
	{
		return weft_chan_try_send(chan_, &value);
	}
	int try_recv(T *value) const
	{
		return weft_chan_try_recv(chan_, value);
	}
	int close() const
	{
		return weft_chan_close(chan_);
	}
	size_t len() const
	{
		return weft_chan_len(chan_);
	}
	size_t cap() const
	{
		return weft_chan_cap(chan_);
	}

	/* Sends and receives that must succeed. */
	void put(const T &value) const
	{
		EXPECT_EQ(0, send(value));
	}
	T take() const
	{
		T value{};
		EXPECT_EQ(0, recv(&value));
		return value;
	}
	T take_now() const
	{
		T value{};
		EXPECT_EQ(0, try_recv(&value));
		return value;
	}

private:
	weft_chan *chan_ = nullptr;
};

inline weft_case send_case(weft_chan *chan, const void *element)
{
	return {WEFT_CASE_SEND, chan, const_cast<void *>(element), -1, UNWRITTEN};
}

inline weft_case recv_case(weft_chan *chan, void *element)
{
	return {WEFT_CASE_RECV, chan, element, -1, UNWRITTEN};
}

template <typename T>
weft_case send_case(const Chan<T> &chan, const std::type_identity_t<T> *element)
{
	return send_case(chan.get(), element);
}

template <typename T>
weft_case recv_case(const Chan<T> &chan, std::type_identity_t<T> *element)
{
	return recv_case(chan.get(), element);
}

inline weft_case readable_case(int fd)
{
	return {WEFT_CASE_READABLE, nullptr, nullptr, fd, UNWRITTEN};
}

inline weft_case writable_case(int fd)
{
	return {WEFT_CASE_WRITABLE, nullptr, nullptr, fd, UNWRITTEN};
}

/* With virtual time: until every other fiber is parked. */
inline void settle()
{
	EXPECT_EQ(0, weft_sleep(WEFT_MS));
}

inline void join_all(std::vector<weft_fiber *> &fibers)
{
	for (weft_fiber *fiber : fibers)
		support::join(fiber);
	fibers.clear();
}

/* Runs fn as a detached fiber. */
template <typename Fn>
void go(Fn fn)
{
	weft_fiber *fiber = support::spawn(std::move(fn));
	EXPECT_EQ(0, weft_detach(fiber));
}

/* A runtime that plain threads send work to; stopped by the destructor. */
class Host
{
public:
	explicit Host(unsigned workers)
	{
		weft_config how = support::config(workers);
		EXPECT_EQ(0, weft_start(&rt_, &how));
	}
	Host(const Host &) = delete;
	Host &operator=(const Host &) = delete;
	~Host()
	{
		EXPECT_EQ(0, weft_stop(rt_));
	}
	void submit(support::body fn) const
	{
		EXPECT_EQ(0, weft_submit(rt_, support::run_body, new support::body(std::move(fn))));
	}

private:
	weft_runtime *rt_ = nullptr;
};

class Threads
{
public:
	Threads() = default;
	Threads(const Threads &) = delete;
	Threads &operator=(const Threads &) = delete;
	~Threads()
	{
		join();
	}
	template <typename Fn>
	void start(Fn fn)
	{
		threads_.emplace_back(std::move(fn));
	}
	void join()
	{
		for (std::thread &thread : threads_)
			thread.join();
		threads_.clear();
	}

private:
	std::vector<std::thread> threads_;
};

/* Whether counts may come from draws of equal probability: chi-square, with a bound that chance does not reach
 * (p < 1e-12) and that a preference of a tenth does, from a few ten thousand draws on. */
inline testing::AssertionResult evenly_drawn(const std::vector<long> &counts)
{
	double sum = 0, chi = 0;
	for (long count : counts)
		sum += static_cast<double>(count);
	double expected = sum / static_cast<double>(counts.size());
	for (long count : counts) {
		double off = static_cast<double>(count) - expected;
		chi += off * off / expected;
	}
	double freedom = static_cast<double>(counts.size()) - 1;
	double bound = freedom + 10 * std::sqrt(2 * freedom) + 40;
	if (chi <= bound)
		return testing::AssertionSuccess();
	testing::AssertionResult failure = testing::AssertionFailure();
	failure << "chi-square " << chi << " above " << bound << " for";
	for (long count : counts)
		failure << " " << count;
	return failure;
}

} // namespace chan_test

#endif
