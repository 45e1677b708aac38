/* SPDX-License-Identifier: MIT */
/* stream_support.h - what the tests of buffered streams share
 *
 * What     Stream, the fixture; Over, a stream over a descriptor; Peer and Collector, the other side of it.
 */
#ifndef WF_TESTS_IO_STREAM_SUPPORT_H
#define WF_TESTS_IO_STREAM_SUPPORT_H

#include "tests/io/support.h"

#include <cstdarg>

#include <weft/stream.h>

namespace io_test
{

constexpr size_t BUFFER = 8192, MIB = size_t{1} << 20;

class Stream : public Rings
{
};

/* A stream over one end of a pair, and what the tests do with it. */
class Over
{
public:
	explicit Over(int fd)
	{
		EXPECT_EQ(0, weft_stream_init(&stream_, fd));
	}
	~Over()
	{
		weft_stream_free(&stream_);
	}
	weft_stream *get()
	{
		return &stream_;
	}
	/* The next line, or what went wrong as text, so that a comparison shows it. */
	std::string line()
	{
		char *text = nullptr;
		ssize_t len = weft_stream_read_line(&stream_, &text);
		if (len < 0)
			return "<" + std::string(strerrorname_np(static_cast<int>(-len))) + ">";
		EXPECT_EQ('\0', text[len]);
		return std::string(text, static_cast<size_t>(len));
	}

private:
	weft_stream stream_;
};

/* Writes it, from a fiber, in pieces of at most `piece` bytes; then closes. */
class Peer
{
public:
	Peer(int fd, std::string data, size_t piece)
		: fiber_([fd, data, piece] {
			  for (size_t done = 0; done < data.size();) {
				  size_t len = std::min(piece, data.size() - done);
				  ASSERT_EQ(static_cast<ssize_t>(len),
					  weft_write_full(fd, data.data() + done, len));
				  done += len;
				  if (piece < 100)
					  weft_yield();
			  }
			  EXPECT_EQ(0, weft_close(fd));
		  })
	{
	}

private:
	Fiber fiber_;
};

inline std::string pattern(size_t len, size_t seed)
{
	std::string text(len, '\0');
	for (size_t i = 0; i < len; i++) {
		text[i] = static_cast<char>(byte_at(seed + i));
		if (text[i] == '\n')
			text[i] = '_';
	}
	return text;
}

/* A file with the text in it, at its start. */
inline int file_of(const std::string &text)
{
	std::string path = scratch_path("stream");
	int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT_EQ(0, unlink(path.c_str()));
	EXPECT_EQ(static_cast<ssize_t>(text.size()), write(fd, text.data(), text.size()));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_SET));
	return fd;
}

/* Collects all that comes, until the other side closes. */
class Collector
{
public:
	explicit Collector(int fd)
		: fiber_([this, fd] {
			  std::vector<char> buf(50000);
			  ssize_t n;
			  while ((n = weft_read(fd, buf.data(), buf.size())) > 0)
				  text_.append(buf.data(), static_cast<size_t>(n));
			  EXPECT_EQ(0, n);
			  EXPECT_EQ(0, weft_close(fd));
		  })
	{
	}
	const std::string &text()
	{
		fiber_.join();
		return text_;
	}

private:
	std::string text_;
	Fiber fiber_;
};

inline int print_through(weft_stream *s, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int result = weft_stream_vprintf(s, format, arguments);
	va_end(arguments);
	return result;
}

} // namespace io_test

#endif
