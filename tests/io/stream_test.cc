/* SPDX-License-Identifier: MIT */
/* stream_test.cc - buffered streams: lines, pieces, formatted text
 *
 * Law  what goes in comes out: whatever the sizes of pieces, lines and buffers, and however the peer cuts its
 *      writes, the bytes and the bounds of lines are those of a simple model.
 * Law  a line beyond the limit consumes nothing, and can be passed.
 * Law  nothing is written before it must be; formatted text is as long as it gets.
 */
#include "tests/io/stream_support.h"

#include <climits>
#include <random>

using namespace io_test;

namespace
{

IN_EVERY_SETUP(Stream);

TEST_P(Stream, LinesOfEveryShape)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		std::string data("one\n\ntwo\r\n", 10);
		data += std::string("a\0b\0\n", 5) + "\n" + "last";
		Peer peer(pair.out, data, 3);
		Over in(pair.in);
		EXPECT_EQ("one", in.line());
		EXPECT_EQ("", in.line());
		EXPECT_EQ("two\r", in.line());
		EXPECT_EQ(std::string("a\0b\0", 4), in.line());
		EXPECT_EQ("", in.line());
		EXPECT_EQ("last", in.line()) << "a line without its newline is a line";
		EXPECT_EQ("<ENODATA>", in.line());
		EXPECT_EQ("<ENODATA>", in.line());
		EXPECT_EQ(-ENODATA, weft_stream_skip_line(in.get()));
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

TEST_P(Stream, LinesAcrossTheEndsOfBuffers)
{
	run([] {
		for (size_t first : {BUFFER - 2, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER - 1,
			     2 * BUFFER, 5 * BUFFER + 7}) {
			for (size_t piece : {size_t{1000}, BUFFER, size_t{1} << 16}) {
				Pair pair = connect_pair(Link::PIPE);
				std::string a = pattern(first, 1), b = pattern(first / 2, 2),
					    c = pattern(3 * first, 3);
				Peer peer(pair.out, a + "\n" + b + "\n\n" + c, piece);
				Over in(pair.in);
				EXPECT_EQ(a, in.line()) << first;
				EXPECT_EQ(b, in.line()) << first;
				EXPECT_EQ("", in.line()) << first;
				EXPECT_EQ(c, in.line()) << first;
				EXPECT_EQ("<ENODATA>", in.line());
				EXPECT_EQ(0, weft_close(pair.in));
			}
		}
	});
}

TEST_P(Stream, PeersThatSendByteByByte)
{
	run([] {
		for (Link link : EVERY_LINK) {
			Pair pair = connect_pair(link);
			std::string a = pattern(300, 1), b = pattern(rounds(9000, 300), 2);
			Peer peer(pair.out, a + "\n" + b + "\n" + "xy", 1);
			Over in(pair.in);
			EXPECT_EQ(a, in.line()) << link_name(link);
			EXPECT_EQ(b, in.line()) << link_name(link);
			const char *data;
			EXPECT_EQ(2, weft_stream_peek(in.get(), &data, 3));
			EXPECT_EQ("xy", in.line());
			EXPECT_EQ(0, weft_close(pair.in));
		}
	});
}

TEST_P(Stream, TheDefaultLimitIsAMebibyteOfLine)
{
	run([] {
		for (size_t len : {MIB - 1, MIB, MIB + 1}) {
			for (bool ended : {true, false}) {
				std::string text = pattern(len, len);
				int fd = file_of("first\n" + text + (ended ? "\nnext\n" : ""));
				Over in(fd);
				EXPECT_EQ("first", in.line());
				if (len <= MIB) {
					EXPECT_TRUE(text == in.line()) << len << " " << ended;
				} else {
					EXPECT_EQ("<EMSGSIZE>", in.line());
					EXPECT_EQ("<EMSGSIZE>", in.line()) << "nothing was consumed";
					EXPECT_GT(weft_stream_buffered(in.get()), MIB);
					EXPECT_EQ(0, weft_stream_skip_line(in.get()));
				}
				EXPECT_EQ(ended ? "next" : "<ENODATA>", in.line());
				EXPECT_EQ("<ENODATA>", in.line());
				EXPECT_EQ(0, weft_close(fd));
			}
		}
	});
}

TEST_P(Stream, ALineBeyondTheLimitCanBeReadInPiecesOrWithAHigherOne)
{
	run([] {
		std::string text = pattern(100000, 5);
		for (int way = 0; way < 3; way++) {
			int fd = file_of(text + "\nnext\n");
			Over in(fd);
			EXPECT_EQ(0, weft_stream_limit(in.get(), 10));
			EXPECT_EQ("<EMSGSIZE>", in.line());
			if (way == 0) {
				std::string back(text.size() + 1, '\0');
				EXPECT_EQ(static_cast<ssize_t>(back.size()),
					weft_stream_read_full(in.get(), back.data(), back.size()));
				EXPECT_TRUE(text + "\n" == back);
			} else if (way == 1) {
				EXPECT_EQ(0, weft_stream_limit(in.get(), 99999));
				EXPECT_EQ("<EMSGSIZE>", in.line());
				EXPECT_EQ(0, weft_stream_limit(in.get(), 100000));
				EXPECT_TRUE(text == in.line());
			} else {
				EXPECT_EQ(static_cast<ssize_t>(text.size()),
					weft_stream_skip(in.get(), text.size()));
				EXPECT_EQ("", in.line());
			}
			EXPECT_EQ(0, weft_stream_limit(in.get(), 4));
			EXPECT_EQ("next", in.line());
			const char *data;
			EXPECT_EQ(-EMSGSIZE, weft_stream_peek(in.get(), &data, 5));
			EXPECT_EQ(0, weft_close(fd));
		}
	});
}

TEST_P(Stream, PeekConsumesNothing)
{
	run([] {
		std::string text = pattern(40000, 9);
		Pair pair = connect_pair(Link::UNIX);
		Peer peer(pair.out, text, 777);
		Over in(pair.in);
		const char *data;
		EXPECT_EQ(0, weft_stream_peek(in.get(), &data, 0)) << "nothing was read yet";
		for (size_t want : {size_t{1}, size_t{100}, BUFFER, BUFFER + 1, size_t{30000}}) {
			ssize_t n = weft_stream_peek(in.get(), &data, want);
			ASSERT_GE(n, static_cast<ssize_t>(want));
			EXPECT_EQ(0, memcmp(data, text.data(), static_cast<size_t>(n)));
			EXPECT_EQ(n, static_cast<ssize_t>(weft_stream_buffered(in.get())));
		}
		EXPECT_EQ(25000, weft_stream_skip(in.get(), 25000));
		ASSERT_EQ(15000, weft_stream_peek(in.get(), &data, 20000)) << "fewer at the end only";
		EXPECT_EQ(0, memcmp(data, text.data() + 25000, 15000));
		EXPECT_EQ(15000, weft_stream_skip(in.get(), 20000));
		EXPECT_EQ(0, weft_stream_peek(in.get(), &data, 1));
		EXPECT_EQ(-EMSGSIZE, weft_stream_peek(in.get(), &data, MIB + 1));
		EXPECT_EQ(0, weft_close(pair.in));
	});
}

/* A file that has grown goes on, and a line may come in two parts around its old end. */
TEST_P(Stream, TheEndOfTheFileIsNotRemembered)
{
	run([] {
		int fd = file_of("one\n");
		Over in(fd);
		char byte;
		EXPECT_EQ("one", in.line());
		EXPECT_EQ(0, weft_stream_read(in.get(), &byte, 1));
		EXPECT_EQ(4, pwrite(fd, "two\n", 4, 4));
		EXPECT_EQ("two", in.line());
		EXPECT_EQ("<ENODATA>", in.line());
		EXPECT_EQ(0, weft_close(fd));
	});
}

/* One script of calls, against the text that the peer sends. */
void read_by_script(unsigned seed, Link link)
{
	std::mt19937 random(seed);
	auto pick = [&random](size_t bound) { return static_cast<size_t>(random() % bound); };
	std::string text;
	for (int i = 0; i < 60; i++)
		text += pattern(pick(8) == 0 ? pick(30000) : pick(200), pick(1000)) +
			(pick(3) ? "\n" : "");
	Pair pair = connect_pair(link);
	Peer peer(pair.out, text, 1 + pick(pick(2) ? 300 : 20000));
	Over in(pair.in);
	std::vector<char> buf(3 * BUFFER);
	size_t at = 0;
	for (int calls = 0; at < text.size() && calls < 100000; calls++) {
		size_t left = text.size() - at, len = pick(pick(4) ? 300 : buf.size());
		size_t line_end = std::min(text.find('\n', at), text.size());
		const char *data;
		ssize_t n;
		switch (pick(6)) {
		case 0:
			n = weft_stream_read(in.get(), buf.data(), len);
			ASSERT_TRUE(n >= (len > 0) && n <= static_cast<ssize_t>(len)) << n;
			ASSERT_EQ(0, memcmp(buf.data(), text.data() + at, static_cast<size_t>(n)));
			at += static_cast<size_t>(n);
			break;
		case 1:
			n = weft_stream_read_full(in.get(), buf.data(), len);
			ASSERT_EQ(static_cast<ssize_t>(std::min(len, left)), n);
			ASSERT_EQ(0, memcmp(buf.data(), text.data() + at, static_cast<size_t>(n)));
			at += static_cast<size_t>(n);
			break;
		case 2:
			ASSERT_EQ(static_cast<ssize_t>(std::min(len, left)),
				weft_stream_skip(in.get(), len));
			at += std::min(len, left);
			break;
		case 3:
			n = weft_stream_peek(in.get(), &data, len);
			ASSERT_GE(n, static_cast<ssize_t>(std::min(len, left)));
			ASSERT_EQ(0, memcmp(data, text.data() + at, static_cast<size_t>(n)));
			break;
		case 4:
			ASSERT_EQ(0, weft_stream_skip_line(in.get()));
			at = std::min(line_end + 1, text.size());
			break;
		default:
			ASSERT_EQ(text.substr(at, line_end - at), in.line());
			at = std::min(line_end + 1, text.size());
		}
	}
	EXPECT_EQ("<ENODATA>", in.line());
	EXPECT_EQ(0, weft_close(pair.in));
}

TEST_P(Stream, RandomScriptsOfReading)
{
	run([] {
		for (unsigned seed = 1; seed <= static_cast<unsigned>(rounds(200, 20)); seed++) {
			read_by_script(seed, EVERY_LINK[seed % 4]);
			ASSERT_FALSE(HasFailure()) << "seed " << seed;
		}
	});
}

void write_by_script(unsigned seed, Link link)
{
	std::mt19937 random(seed);
	auto pick = [&random](size_t bound) { return static_cast<size_t>(random() % bound); };
	Pair pair = connect_pair(link);
	Collector collector(pair.in);
	std::string model;
	{
		Over out(pair.out);
		for (int i = 0; i < 200; i++) {
			size_t len = pick(8) == 0 ? pick(40000) : pick(500);
			if (pick(16) == 0)
				len = BUFFER - 1 + pick(3);
			std::string piece = pattern(len, pick(1000));
			std::replace(piece.begin(), piece.end(), '\0', '0');
			int size = static_cast<int>(len);
			switch (pick(4)) {
			case 0:
				ASSERT_EQ(size, weft_stream_printf(out.get(), "%s", piece.c_str()));
				break;
			case 1:
				ASSERT_EQ(size + 2, print_through(out.get(), "<%s>", piece.c_str()));
				piece = "<" + piece + ">";
				break;
			default:
				ASSERT_EQ(0, weft_stream_write(out.get(), piece.data(), piece.size()));
			}
			model += piece;
			if (pick(20) == 0) {
				ASSERT_EQ(0, weft_stream_flush(out.get()));
				ASSERT_EQ(0u, weft_stream_unflushed(out.get()));
			}
			ASSERT_EQ(model.size(), weft_stream_written(out.get()));
		}
		EXPECT_EQ(0, weft_stream_flush(out.get()));
	}
	EXPECT_EQ(0, weft_close(pair.out));
	EXPECT_TRUE(model == collector.text());
}

TEST_P(Stream, RandomScriptsOfWriting)
{
	run([] {
		for (unsigned seed = 1; seed <= static_cast<unsigned>(rounds(200, 20)); seed++) {
			write_by_script(seed, EVERY_LINK[seed % 4]);
			ASSERT_FALSE(HasFailure()) << "seed " << seed;
		}
	});
}

TEST_P(Stream, NothingIsWrittenBeforeItMustBe)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		Over out(pair.out);
		char byte;
		std::string full(BUFFER, 'f');
		EXPECT_EQ(0, weft_stream_write(out.get(), full.data(), BUFFER));
		EXPECT_EQ(BUFFER, weft_stream_unflushed(out.get()));
		EXPECT_EQ(-EAGAIN, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
		EXPECT_EQ(0, weft_stream_write(out.get(), "x", 1));
		EXPECT_EQ(1u, weft_stream_unflushed(out.get()));
		std::string back(BUFFER, '\0');
		EXPECT_EQ(static_cast<ssize_t>(BUFFER),
			weft_recv(pair.in, back.data(), BUFFER, MSG_WAITALL));
		EXPECT_EQ(-EAGAIN, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ(1, weft_recv(pair.in, &byte, 1, MSG_DONTWAIT));
		EXPECT_EQ(BUFFER + 1, weft_stream_written(out.get()));
		close_pair(pair);
	});
}

TEST_P(Stream, FormatsLikePrintf)
{
	run([] {
		Pair pair = connect_pair(Link::UNIX);
		Over out(pair.out), in(pair.in);
		errno = EXDEV;
		EXPECT_EQ(24,
			weft_stream_printf(out.get(), "%d %5.2f %s %c %llx\n", -7, 3.14159, "text",
				'c', 0x1234567ULL));
		EXPECT_EQ(EXDEV, errno);
		EXPECT_EQ(0, weft_stream_printf(out.get(), "%s", ""));
		EXPECT_EQ(-EINVAL, print_through(out.get(), "text %"));
		const wchar_t wide[] = {static_cast<wchar_t>(0x7fffffff), 0};
		EXPECT_EQ(-EILSEQ, weft_stream_printf(out.get(), "%ls", wide));
		EXPECT_EQ(-EOVERFLOW, print_through(out.get(), "%2147483648d", 1));
		EXPECT_EQ(-EINVAL, print_through(out.get(), nullptr));
		EXPECT_EQ(EXDEV, errno);
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ("-7  3.14 text c 1234567", in.line()) << "what failed has left nothing";
		EXPECT_EQ(0u, weft_stream_buffered(in.get()));
		close_pair(pair);
	});
}

/* On the stack that fibers have by default. */
TEST(StreamStack, LongDoublesFitADefaultStack)
{
	weft_config config{};
	io_test::run(config, [] {
		int fd = file_of("");
		Over out(fd), in(fd);
		int len = weft_stream_printf(out.get(), "%Lf\n", static_cast<long double>(1e4000L));
		EXPECT_EQ(snprintf(nullptr, 0, "%Lf\n", static_cast<long double>(1e4000L)), len);
		size_t first = static_cast<size_t>(len) - 1;
		len = weft_stream_printf(out.get(), "%.3000Lf %La\n", 1.0L / 3, 1.0L / 3);
		EXPECT_GT(len, 3000);
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ(0, lseek(fd, 0, SEEK_SET));
		EXPECT_EQ(first, in.line().size());
		EXPECT_EQ(0u, in.line().find("0.33333"));
		EXPECT_EQ(0, weft_close(fd));
	});
}

TEST_P(Stream, TextOfAnyLength)
{
	run([] {
		Pair pair = connect_pair(Link::PIPE);
		Collector collector(pair.in);
		Over out(pair.out);
		std::string model;
		for (int len : {1, 8190, 8191, 8192, 8193, 20000, 1000000, 0, 5}) {
			EXPECT_EQ(len, weft_stream_printf(out.get(), "%*s", len, ""));
			model += std::string(static_cast<size_t>(len), ' ');
			EXPECT_EQ(1, weft_stream_printf(out.get(), "|"));
			model += "|";
		}
		EXPECT_EQ(0, weft_stream_flush(out.get()));
		EXPECT_EQ(0, weft_close(pair.out));
		EXPECT_TRUE(model == collector.text());
	});
}

} // namespace
