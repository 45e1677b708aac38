/* SPDX-License-Identifier: MIT */
/* stream_fault_test.cc - buffered streams: what goes wrong, and who else is there
 *
 * Law  after an error, a cancellation or a deadline halfway nothing is lost or doubled: the next call goes on.
 * Law  one fiber may read while another writes; a second one in the same half is told.
 * Law  off a fiber what may park is refused; wrong arguments change nothing.
 */
#include "tests/io/stream_support.h"

#include <atomic>
#include <csignal>

using namespace io_test;

namespace
{

IN_EVERY_SETUP(Stream);

TEST_P(Stream, CancelledHalfwayALineGoesOn)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		Over in(pair.in);
		std::atomic<bool> felt{false};
		Fiber reader([&] {
			EXPECT_EQ("<ECANCELED>", in.line());
			EXPECT_EQ("<ECANCELED>", in.line()) << "a level";
			felt = true;
		});
		EXPECT_EQ(4, weft_write(pair.out, "half", 4));
		/* The reader has taken them, and is parked for more. */
		EXPECT_TRUE(until([&] {
			char byte;
			return weft_recv(pair.in, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -EAGAIN;
		}));
		EXPECT_TRUE(until_parked(1));
		reader.cancel();
		reader.join();
		EXPECT_TRUE(felt);
		EXPECT_EQ(5, weft_write(pair.out, "way\nx", 5));
		EXPECT_EQ("halfway", in.line());
		weft_deadline(weft_after(0));
		EXPECT_EQ("<ETIMEDOUT>", in.line());
		EXPECT_EQ(-ETIMEDOUT, weft_stream_skip_line(in.get()));
		char byte;
		EXPECT_EQ(-ETIMEDOUT, weft_stream_read(in.get(), &byte, 1))
			<< "also where the buffer has it";
		EXPECT_EQ(-ETIMEDOUT, weft_stream_skip(in.get(), 1));
		weft_deadline(weft_after(5 * WEFT_MS));
		EXPECT_EQ("<ETIMEDOUT>", in.line());
		weft_deadline(WEFT_FOREVER);
		EXPECT_EQ(2, weft_write(pair.out, "y\n", 2));
		EXPECT_EQ("xy", in.line());
		close_pair(pair);
	});
}

/* A writer whose peer reads slowly is cut off by deadlines again and again; all arrives once. */
TEST_P(Stream, CutOffWhileWritingNothingIsLostOrDoubled)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		int small = 4096;
		setsockopt(pair.out, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		std::string model;
		std::atomic<bool> go{false}, done{false};
		std::string got;
		Fiber reader([&] {
			EXPECT_TRUE(until([&] { return go.load(); }));
			char buf[3000];
			ssize_t n;
			while ((n = weft_read(pair.in, buf, sizeof(buf))) > 0) {
				got.append(buf, static_cast<size_t>(n));
				weft_sleep(50 * WEFT_US);
			}
			done = true;
		});
		Over out(pair.out);
		int failures = 0;
		for (size_t i = 0; i < 60; i++) {
			std::string piece = pattern(i % 7 == 0 ? 30000 : 3000, i);
			model += piece;
			size_t at = 0;
			while (at < piece.size()) {
				uint64_t before = weft_stream_written(out.get());
				weft_deadline(weft_after(300 * WEFT_US));
				int error = weft_stream_write(
					out.get(), piece.data() + at, piece.size() - at);
				weft_deadline(WEFT_FOREVER);
				size_t taken = weft_stream_written(out.get()) - before;
				ASSERT_TRUE(error == 0 || error == -ETIMEDOUT) << error;
				if (error == 0) {
					ASSERT_EQ(piece.size() - at, taken);
				} else {
					failures++;
					if (piece.size() - at < BUFFER) {
						ASSERT_EQ(0u, taken) << "all or none";
					}
					go = true;
				}
				at += taken;
			}
		}
		EXPECT_GT(failures, 0);
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ(0, weft_close(pair.out));
		reader.join();
		EXPECT_TRUE(model == got);
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

TEST_P(Stream, AFlushThatWasCutOffGoesOn)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		ASSERT_GT(fcntl(pair.out, F_SETPIPE_SZ, 4096), 0);
		Over out(pair.out);
		std::string text = pattern(100000, 3);
		std::replace(text.begin(), text.end(), '\0', '0');
		EXPECT_EQ(100000, weft_stream_printf(out.get(), "%s", text.c_str()))
			<< "a long text parks for nothing";
		EXPECT_TRUE(until([&] {
			weft_deadline(weft_after(WEFT_MS));
			EXPECT_EQ(-ETIMEDOUT, weft_stream_flush(out.get()));
			bool some = weft_stream_unflushed(out.get()) < 100000u;
			weft_deadline(some ? 0 : WEFT_FOREVER);
			return some;
		}));
		EXPECT_EQ(-ETIMEDOUT, weft_stream_printf(out.get(), "more"));
		weft_deadline(WEFT_FOREVER);
		EXPECT_GT(weft_stream_unflushed(out.get()), 0u);
		Collector collector(pair.in);
		EXPECT_EQ(0, weft_stream_write(out.get(), "end", 3));
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ(100003u, weft_stream_written(out.get()));
		EXPECT_EQ(0, weft_close(pair.out));
		EXPECT_TRUE(text + "end" == collector.text());
	});
}

TEST_P(Stream, BrokenPipesAndClosedDescriptors)
{
	signal(SIGPIPE, SIG_DFL);
	run([] {
		for (Link link : {Link::PIPE, Link::UNIX}) {
			Pair pair = connect_pair(link);
			pair.out = lifted(pair.out);
			Over out(pair.out);
			EXPECT_EQ(0, weft_close(pair.in));
			EXPECT_EQ(0, weft_stream_write(out.get(), "x", 1)) << "into the buffer";
			EXPECT_EQ(-EPIPE, weft_stream_flush(out.get()));
			EXPECT_EQ(-EPIPE, weft_stream_flush(out.get()));
			EXPECT_EQ(1u, weft_stream_unflushed(out.get()));
			std::string large(100000, 'l');
			EXPECT_EQ(-EPIPE, weft_stream_write(out.get(), large.data(), large.size()));
			EXPECT_EQ(1u, weft_stream_written(out.get()));
			EXPECT_EQ(0, weft_close(pair.out));
			EXPECT_EQ(-EBADF, weft_stream_flush(out.get()));
		}
		Pair pair = connect_pair(Link::UNIX);
		pair.in = lifted(pair.in);
		Over in(pair.in);
		EXPECT_EQ(4, weft_write(pair.out, "half", 4));
		Fiber reader([&] {
			/* Law 5; the latter when it has just got the four bytes. */
			std::string outcome = in.line();
			EXPECT_TRUE(outcome == "<ECANCELED>" || outcome == "<EBADF>") << outcome;
		});
		EXPECT_TRUE(until([&] {
			char byte;
			return weft_recv(pair.in, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -EAGAIN;
		}));
		EXPECT_EQ(0, weft_close(pair.in));
		reader.join();
		EXPECT_EQ("<EBADF>", in.line());
		char buf[4];
		EXPECT_EQ(4, weft_stream_read(in.get(), buf, 4)) << "what had come is there";
		EXPECT_EQ(0, weft_close(pair.out));
	});
}

TEST_P(Stream, OneReadsWhileAnotherWrites)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		Fiber echo([&] {
			Over s(pair.in);
			char *line;
			ssize_t len;
			while ((len = weft_stream_read_line(s.get(), &line)) >= 0) {
				EXPECT_EQ(len + 1, weft_stream_printf(s.get(), "%s\n", line));
				if (weft_stream_buffered(s.get()) == 0) {
					EXPECT_EQ(0, weft_stream_flush(s.get()));
				}
			}
			EXPECT_EQ(-ENODATA, len);
			EXPECT_EQ(0, weft_stream_flush(s.get()));
			EXPECT_EQ(0, weft_shutdown(pair.in, SHUT_WR));
		});
		Over s(pair.out);
		const int lines = rounds(20000, 3000);
		Fiber writer([&] {
			for (int i = 0; i < lines; i++)
				EXPECT_GT(weft_stream_printf(s.get(), "line %d\n", i), 0);
			EXPECT_EQ(0, weft_stream_flush(s.get()));
			EXPECT_EQ(0, weft_shutdown(pair.out, SHUT_WR));
		});
		for (int i = 0; i < lines; i++)
			ASSERT_EQ("line " + std::to_string(i), s.line());
		EXPECT_EQ("<ENODATA>", s.line());
		writer.join();
		echo.join();
		close_pair(pair);
	});
}

TEST_P(Stream, ASecondReaderOrWriterIsTold)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		Over in(pair.in);
		Fiber reader([&] { EXPECT_EQ("first", in.line()); });
		EXPECT_TRUE(until_parked(1));
		char byte;
		const char *data;
		EXPECT_EQ("<EBUSY>", in.line());
		EXPECT_EQ(-EBUSY, weft_stream_read(in.get(), &byte, 1));
		EXPECT_EQ(-EBUSY, weft_stream_read_full(in.get(), &byte, 1));
		EXPECT_EQ(-EBUSY, weft_stream_skip(in.get(), 1));
		EXPECT_EQ(-EBUSY, weft_stream_skip_line(in.get()));
		EXPECT_EQ(-EBUSY, weft_stream_peek(in.get(), &data, 0));
		EXPECT_EQ(-EBUSY, weft_stream_peek(in.get(), &data, 1));
		EXPECT_EQ(-EBUSY, weft_stream_limit(in.get(), 10));
		EXPECT_EQ(6, weft_write(pair.out, "first\n", 6));
		reader.join();
		std::string much(MIB, 'm');
		Over out(pair.out);
		Fiber writer(
			[&] { EXPECT_EQ(0, weft_stream_write(out.get(), much.data(), much.size())); });
		EXPECT_TRUE(until_parked(1));
		EXPECT_EQ(-EBUSY, weft_stream_write(out.get(), "x", 1));
		EXPECT_EQ(-EBUSY, weft_stream_printf(out.get(), "x"));
		EXPECT_EQ(-EBUSY, weft_stream_flush(out.get()));
		EXPECT_EQ(static_cast<ssize_t>(MIB), weft_stream_skip(in.get(), MIB));
		writer.join();
		close_pair(pair);
	});
}

TEST_P(Stream, ArgumentsThatCannotBe)
{
	run([] {
		char *line, byte;
		const char *data;
		EXPECT_EQ(-EINVAL, weft_stream_init(nullptr, 0));
		EXPECT_EQ(-EINVAL, weft_stream_read_line(nullptr, &line));
		EXPECT_EQ(-EINVAL, weft_stream_skip_line(nullptr));
		EXPECT_EQ(-EINVAL, weft_stream_read(nullptr, &byte, 1));
		EXPECT_EQ(-EINVAL, weft_stream_peek(nullptr, &data, 0));
		EXPECT_EQ(-EINVAL, weft_stream_limit(nullptr, 1));
		EXPECT_EQ(-EINVAL, weft_stream_write(nullptr, "x", 1));
		EXPECT_EQ(-EINVAL, weft_stream_printf(nullptr, "x"));
		EXPECT_EQ(-EINVAL, weft_stream_flush(nullptr));
		EXPECT_EQ(0u, weft_stream_buffered(nullptr));
		EXPECT_EQ(0u, weft_stream_written(nullptr));
		EXPECT_EQ(0u, weft_stream_unflushed(nullptr));
		weft_stream_free(nullptr);
		weft_stream s;
		EXPECT_EQ(-EBADF, weft_stream_init(&s, -1));
		EXPECT_EQ(-EBADF, weft_stream_read_line(&s, &line));
		EXPECT_EQ(-EBADF, weft_stream_write(&s, "x", 1));
		int fd = file_of("text\n");
		EXPECT_EQ(0, weft_stream_init(&s, fd));
		EXPECT_EQ(-EINVAL, weft_stream_read_line(&s, nullptr));
		EXPECT_EQ(-EINVAL, weft_stream_peek(&s, nullptr, 0));
		EXPECT_EQ(-EINVAL, weft_stream_peek(&s, nullptr, 1));
		EXPECT_EQ(-EFAULT, weft_stream_read(&s, nullptr, 1));
		EXPECT_EQ(0, weft_stream_read(&s, nullptr, 0));
		EXPECT_EQ(0, weft_stream_read_full(&s, nullptr, 0));
		EXPECT_EQ(-EINVAL, weft_stream_read_full(&s, &byte, SIZE_MAX));
		EXPECT_EQ(-EINVAL, weft_stream_skip(&s, SIZE_MAX));
		EXPECT_EQ(-EFAULT, weft_stream_write(&s, nullptr, 1));
		EXPECT_EQ(0, weft_stream_write(&s, nullptr, 0));
		EXPECT_EQ(-EINVAL, weft_stream_limit(&s, (size_t{1} << 30) + 1));
		EXPECT_EQ(0, weft_stream_limit(&s, size_t{1} << 30));
		EXPECT_EQ(0, weft_stream_limit(&s, 0));
		EXPECT_EQ(4, weft_stream_read_line(&s, &line));
		weft_stream_free(&s);
		weft_stream_free(&s);
		EXPECT_EQ(-EBADF, weft_stream_read_line(&s, &line)) << "freed";
		EXPECT_EQ(0, weft_close(fd));
	});
}

TEST(StreamOffFiber, WhatMayParkIsRefusedTheRestWorks)
{
	weft_stream s;
	char *line, byte;
	const char *data;
	ASSERT_EQ(0, weft_stream_init(&s, 0));
	EXPECT_EQ(-EPERM, weft_stream_read_line(&s, &line));
	EXPECT_EQ(-EPERM, weft_stream_skip_line(&s));
	EXPECT_EQ(-EPERM, weft_stream_read(&s, &byte, 1));
	EXPECT_EQ(-EPERM, weft_stream_read_full(&s, &byte, 1));
	EXPECT_EQ(-EPERM, weft_stream_skip(&s, 1));
	EXPECT_EQ(-EPERM, weft_stream_peek(&s, &data, 1));
	EXPECT_EQ(-EPERM, weft_stream_write(&s, "x", 1));
	EXPECT_EQ(-EPERM, weft_stream_printf(&s, "x"));
	EXPECT_EQ(-EPERM, weft_stream_flush(&s));
	EXPECT_EQ(0, weft_stream_peek(&s, &data, 0));
	EXPECT_EQ(0, weft_stream_limit(&s, 100));
	EXPECT_EQ(0u, weft_stream_buffered(&s));
	weft_stream_free(&s);
	/* Filled on a fiber, looked at and freed here. */
	io_test::run(weft_config{}, [&] {
		int fd = file_of("left over\nmore");
		EXPECT_EQ(0, weft_stream_init(&s, fd));
		EXPECT_EQ(9, weft_stream_read_line(&s, &line));
		EXPECT_EQ(0, weft_stream_write(&s, "x", 1));
		EXPECT_EQ(0, weft_close(fd));
	});
	ASSERT_EQ(4, weft_stream_peek(&s, &data, 0));
	EXPECT_EQ(0, memcmp(data, "more", 4));
	EXPECT_EQ(1u, weft_stream_unflushed(&s));
	weft_stream_free(&s);
}

TEST(StreamDeath, FreeingAStreamInUseAborts)
{
	GTEST_FLAG_SET(death_test_style, "threadsafe");
	EXPECT_DEATH(io_test::run(config_of({0, 1}),
			     [] {
				     Pair pair = connect_pair(Link::PIPE);
				     Over in(pair.in);
				     Fiber reader([&] { in.line(); });
				     until_parked(1);
				     weft_stream_free(in.get());
			     }),
		"weft: fatal: weft_stream_free: a fiber is in a call on the stream");
}

} // namespace
