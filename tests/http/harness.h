/* SPDX-License-Identifier: MIT */
/* harness.h - what the tests of the programs share: a program to start and stop, a socket to talk
 * through
 *
 * Rules  Everything has a time limit, so that a test fails instead of hanging. A program is killed
 *        by its own process id when its object goes. The sockets are plain ones: what is tested is
 *        not used to test.
 */
#ifndef TESTS_HTTP_HARNESS_H
#define TESTS_HTTP_HARNESS_H

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARNESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HARNESS_SANITIZED 1
#endif
#endif

namespace harness
{

#ifdef HARNESS_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/* How long anything may take that should take no time. */
constexpr int kPatienceMs = kSanitized ? 30000 : 10000;

using Clock = std::chrono::steady_clock;

inline int64_t MsSince(Clock::time_point start)
{
	return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

inline void SleepMs(int ms)
{
	std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

/* Waits until condition() holds. False: not within the patience. */
template <typename Condition>
inline bool Eventually(Condition condition)
{
	const auto start = Clock::now();

	while (!condition()) {
		if (MsSince(start) > kPatienceMs)
			return false;
		SleepMs(5);
	}
	return true;
}

inline std::string Httpd()
{
	return "tools/httpd/weft-httpd";
}

inline std::string Load()
{
	return "tools/load/weft-load";
}

/* The path of a program that is installed, or "". */
inline std::string Installed(const std::string &name)
{
	for (const char *folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/"})
		if (access((folder + name).c_str(), X_OK) == 0)
			return folder + name;
	return "";
}

/* A folder that goes with its object. */
class Folder
{
public:
	Folder()
	{
		const char *base = getenv("TEST_TMPDIR");
		std::string name = std::string(base ? base : "/tmp") + "/weft-XXXXXX";

		if (mkdtemp(name.data()))
			path_ = name;
	}
	~Folder()
	{
		const std::string command = "rm -rf '" + path_ + "'";

		if (!path_.empty() && system(command.c_str()) != 0)
			ADD_FAILURE() << "could not remove " << path_;
	}
	Folder(const Folder &) = delete;
	Folder &operator=(const Folder &) = delete;
	const std::string &path() const
	{
		return path_;
	}
	std::string File(const std::string &name) const
	{
		return path_ + "/" + name;
	}
	void Write(const std::string &name, const std::string &text) const
	{
		std::ofstream(File(name), std::ios::binary) << text;
	}
	std::string Read(const std::string &name) const
	{
		std::stringstream text;

		text << std::ifstream(File(name), std::ios::binary).rdbuf();
		return text.str();
	}

private:
	std::string path_;
};

/* A program with its output in a file. */
class Program
{
public:
	explicit Program(std::vector<std::string> args)
	{
		std::vector<char *> argv;
		for (auto &arg : args)
			argv.push_back(arg.data());
		argv.push_back(nullptr);
		pid_ = fork();
		if (pid_ == 0) {
			const int out =
				open(folder_.File("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);

			dup2(open("/dev/null", O_RDONLY), 0);
			dup2(out, 1);
			dup2(open(folder_.File("err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
			execv(argv[0], argv.data());
			_exit(127);
		}
	}
	~Program()
	{
		if (pid_ > 0) {
			kill(pid_, SIGKILL);
			waitpid(pid_, nullptr, 0);
		}
	}
	Program(const Program &) = delete;
	Program &operator=(const Program &) = delete;

	pid_t pid() const
	{
		return pid_;
	}
	std::string Out() const
	{
		return folder_.Read("out");
	}
	std::string Err() const
	{
		return folder_.Read("err");
	}
	void Signal(int number) const
	{
		kill(pid_, number);
	}

	/* The exit code, 1000 + the number of the signal that ended it, or -1 when it still runs
	 * after the patience. */
	int Wait(int ms = kPatienceMs)
	{
		const auto start = Clock::now();
		int status;

		while (waitpid(pid_, &status, WNOHANG) == 0) {
			if (MsSince(start) > ms)
				return -1;
			SleepMs(5);
		}
		pid_ = -1;
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	}

	/* The port in the line "listening on HOST:PORT", or 0. */
	int Port()
	{
		const auto start = Clock::now();

		while (MsSince(start) < kPatienceMs) {
			const std::string out = Out();
			const size_t end = out.find('\n');

			if (end != std::string::npos) {
				EXPECT_EQ(out.rfind("listening on ", 0), 0u) << out;
				return atoi(out.substr(out.rfind(':', end) + 1).c_str());
			}
			if (waitpid(pid_, nullptr, WNOHANG) != 0) {
				pid_ = -1;
				break;
			}
			SleepMs(5);
		}
		ADD_FAILURE() << "the server did not start: " << Err();
		return 0;
	}

private:
	Folder folder_;
	pid_t pid_;
};

/* Runs a program to its end. */
struct Result {
	int status;
	std::string out, err;
};

inline Result Execute(const std::vector<std::string> &args, int ms = kPatienceMs)
{
	Program program(args);
	const int status = program.Wait(ms);

	return {status, program.Out(), program.Err()};
}

/* A weft-httpd on a free port. Its end is part of the test: it must stop with 0 when told to. */
class Server : public Program
{
public:
	explicit Server(std::vector<std::string> args = {})
		: Program(Prepend(std::move(args))), port_(Port())
	{
	}
	int port() const
	{
		return port_;
	}
	std::string Url(const std::string &path = "/") const
	{
		return "http://127.0.0.1:" + std::to_string(port_) + path;
	}
	/* Stops it and returns what it printed. */
	std::string Stop()
	{
		Signal(SIGTERM);
		EXPECT_EQ(Wait(), 0) << Err();
		return Out();
	}

private:
	static std::vector<std::string> Prepend(std::vector<std::string> args)
	{
		args.insert(args.begin(), {Httpd(), "--listen", "127.0.0.1:0", "--workers", "2"});
		return args;
	}
	int port_;
};

/* The number on the line that starts with a name, in what weft-httpd prints at its end; 0 without
 * such a line. */
inline long Counter(const std::string &out, const std::string &name)
{
	std::istringstream lines(out);
	std::string line;

	while (std::getline(lines, line)) {
		const size_t at = line.find(name);

		if (at != std::string::npos && line.find_first_not_of(' ') == at)
			return atol(line.c_str() + at + name.size());
	}
	return 0;
}

/* A TCP connection to a port of this machine. */
class Client
{
public:
	explicit Client(int port)
	{
		struct sockaddr_in address = {};
		const struct timeval patience = {kPatienceMs / 1000, 0};

		fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		address.sin_family = AF_INET;
		address.sin_port = htons(static_cast<uint16_t>(port));
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT_EQ(connect(fd_, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)), 0)
			<< strerror(errno);
	}
	~Client()
	{
		Close();
	}
	Client(const Client &) = delete;
	Client &operator=(const Client &) = delete;
	int fd() const
	{
		return fd_;
	}
	void Close()
	{
		if (fd_ >= 0)
			close(fd_);
		fd_ = -1;
	}

	/* False when the other side has gone, which tests of refusals expect. */
	bool Send(const std::string &bytes) const
	{
		size_t at = 0;

		while (at < bytes.size()) {
			const ssize_t sent =
				send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);

			if (sent <= 0)
				return false;
			at += static_cast<size_t>(sent);
		}
		return true;
	}

	/* All bytes up to the end of the connection. */
	std::string ReadAll()
	{
		std::string all;

		while (ReadSome(&all))
			;
		return all;
	}

	/* One response of Content-Length, or what came of it before the connection ended. More
	 * stays for the next. */
	std::string ReadResponse(bool head = false)
	{
		size_t end, length = 0;

		while ((end = pending_.find("\r\n\r\n")) == std::string::npos)
			if (!ReadSome(&pending_))
				return std::exchange(pending_, "");
		end += 4;
		const size_t at = pending_.find("Content-Length: ");
		if (!head && at < end)
			length = static_cast<size_t>(atol(pending_.c_str() + at + 16));
		while (pending_.size() < end + length)
			if (!ReadSome(&pending_))
				break;
		const std::string response = pending_.substr(0, end + length);
		pending_.erase(0, end + length);
		return response;
	}

	/* True when the other side closes (or resets) within the patience, with nothing left to
	 * read. */
	bool ReadsEnd()
	{
		char byte;
		const ssize_t got = recv(fd_, &byte, 1, 0);

		return pending_.empty() && (got == 0 || (got < 0 && errno == ECONNRESET));
	}

private:
	bool ReadSome(std::string *to) const
	{
		char buffer[65536];
		const ssize_t got = recv(fd_, buffer, sizeof(buffer), 0);

		if (got > 0)
			to->append(buffer, static_cast<size_t>(got));
		else if (got < 0 && errno != ECONNRESET)
			ADD_FAILURE() << "no answer: " << strerror(errno);
		return got > 0;
	}

	int fd_;
	std::string pending_;
};

inline std::string Get(const std::string &target, const std::string &headers = "")
{
	return "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
}

/* The status of a response; 0 where there is none. */
inline int Status(const std::string &response)
{
	return response.rfind("HTTP/1.1 ", 0) == 0 ? atoi(response.c_str() + 9) : 0;
}

inline std::string Body(const std::string &response)
{
	const size_t end = response.find("\r\n\r\n");

	return end == std::string::npos ? "" : response.substr(end + 4);
}

inline bool Has(const std::string &text, const std::string &part)
{
	return text.find(part) != std::string::npos;
}

} // namespace harness

#endif
