/* SPDX-License-Identifier: MIT */
/* dial_test.cc - weft_dial of names that stand for several addresses
 *
 * Law  every address is tried until one answers; one that does not answer holds up the next by
 *      250 ms and no more.
 * Law  the error is the most telling of all; cancellation and deadline end all attempts.
 * Law  one descriptor is left of a success, blocking and close-on-exec, and none of a failure.
 */
#include <poll.h>

#include "tests/io/dns_server.h"

using namespace io_test;

namespace
{

class Dial : public Rings
{
};
IN_EVERY_SETUP(Dial);

/* On 127.0.0.2 to 127.0.0.4 with one port: a listener that answers, one whose backlog is full so that the kernel drops
 * what comes, and an address where nobody listens. */
class Hosts
{
public:
	Hosts()
	{
		live_ = weft_listen("127.0.0.2:0");
		EXPECT_GE(live_, 0);
		port_ = weft_local_port(live_);
		mute_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		sockaddr_in at = address("127.0.0.3");
		int on = 1;
		setsockopt(mute_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		EXPECT_EQ(0, bind(mute_, reinterpret_cast<sockaddr *>(&at), sizeof(at)));
		EXPECT_EQ(0, listen(mute_, 0));
		for (int i = 0; i < 8; i++) {
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
			EXPECT_GE(fd, 0);
			int error = connect(fd, reinterpret_cast<sockaddr *>(&at), sizeof(at));
			EXPECT_TRUE(error == 0 || errno == EINPROGRESS);
			fill_.push_back(fd);
		}
		EXPECT_EQ(POLLIN, weft_poll(mute_, POLLIN)) << "one has come to its queue: full";
	}
	Hosts(const Hosts &) = delete;
	Hosts &operator=(const Hosts &) = delete;
	~Hosts()
	{
		for (int fd : fill_)
			weft_close(fd);
		weft_close(mute_);
		weft_close(live_);
	}
	std::string at(const std::string &name) const
	{
		return name + ":" + std::to_string(port_);
	}
	int live() const
	{
		return live_;
	}

private:
	sockaddr_in address(const char *host) const
	{
		sockaddr_in in{};
		in.sin_family = AF_INET;
		in.sin_port = htons(static_cast<uint16_t>(port_));
		inet_pton(AF_INET, host, &in.sin_addr);
		return in;
	}
	int live_ = -1, mute_ = -1, port_ = 0;
	std::vector<int> fill_;
};

void tell(DnsServer &server)
{
	server["live.test"].v4 = {"127.0.0.2"};
	server["refused-first.test"].v4 = {"127.0.0.4", "127.0.0.2"};
	server["mute-first.test"].v4 = {"127.0.0.3", "127.0.0.2"};
	server["mute.test"].v4 = {"127.0.0.3", "127.0.0.3"};
	server["refused.test"].v4 = {"127.0.0.4", "127.0.0.5"};
	server["families.test"].v4 = {"127.0.0.2"};
	server["families.test"].v6 = {"::1"};
	server["no-way.test"].v4 = {"127.0.0.4", "255.255.255.255"};
	for (int i = 10; i < 50; i++)
		server["last.test"].v4.push_back("127.0.0." + std::to_string(i));
	server["last.test"].v4.push_back("127.0.0.2");
	server["silent.test"].mood = Mood::SILENT;
}

void expect_connected(const Hosts &hosts, int fd)
{
	ASSERT_GE(fd, 0) << strerror(-fd);
	EXPECT_EQ(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_NE(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	int in = weft_accept(hosts.live(), nullptr, nullptr, SOCK_CLOEXEC);
	ASSERT_GE(in, 0);
	char byte = 0;
	EXPECT_EQ(1, weft_send(fd, "a", 1, 0));
	EXPECT_EQ(1, weft_recv(in, &byte, 1, 0));
	EXPECT_EQ('a', byte);
	EXPECT_EQ(0, weft_close(in));
	EXPECT_EQ(0, weft_close(fd));
}

TEST_P(Dial, EveryAddressIsTried)
{
	DnsServer server;
	tell(server);
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			Hosts hosts;
			for (const char *name :
				{"live.test", "refused-first.test", "families.test", "last.test"}) {
				expect_connected(hosts, weft_dial(hosts.at(name).c_str()));
			}
			EXPECT_EQ(-ECONNREFUSED, weft_dial(hosts.at("refused.test").c_str()));
			EXPECT_EQ(-ECONNREFUSED, weft_dial(hosts.at("no-way.test").c_str()));
			EXPECT_EQ(-ENOENT, weft_dial(hosts.at("none.test").c_str()));
		});
		EXPECT_EQ(open_before - 2, count_open()) << "the server's two are closed";
	});
}

TEST_P(Dial, MuteAddressIsOvertaken)
{
	DnsServer server;
	tell(server);
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			Hosts hosts;
			weft_ns before = weft_now();
			int fd = weft_dial(hosts.at("mute-first.test").c_str());
			EXPECT_GE(weft_now() - before, 250 * WEFT_MS) << "the first has its time";
			expect_connected(hosts, fd);
		});
		EXPECT_EQ(open_before - 2, count_open()) << "the server's two are closed";
	});
}

TEST_P(Dial, DeadlineAndCancellationEndAll)
{
	DnsServer server;
	tell(server);
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			Hosts hosts;
			for (weft_ns after : {30 * WEFT_MS, 280 * WEFT_MS}) {
				weft_deadline(weft_after(after));
				EXPECT_EQ(-ETIMEDOUT, weft_dial(hosts.at("mute.test").c_str()));
				EXPECT_EQ(-ETIMEDOUT, weft_dial(hosts.at("live.test").c_str()))
					<< "a level";
				weft_deadline(WEFT_FOREVER);
			}
			for (const char *name : {"mute.test", "silent.test"}) {
				int result = 0, asked = server.queries;
				Fiber dialler([&] { result = weft_dial(hosts.at(name).c_str()); });
				EXPECT_TRUE(until([&] { return server.queries > asked; }));
				weft_sleep(5 * WEFT_MS);
				dialler.cancel();
				dialler.join();
				EXPECT_EQ(-ECANCELED, result) << name;
			}
		});
		EXPECT_EQ(open_before - 2, count_open()) << "the server's two are closed";
	});
}

TEST_P(Dial, CancelledAtEveryMoment)
{
	DnsServer server;
	tell(server);
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			Hosts hosts;
			for (int i = 0; i < rounds(60, 20); i++) {
				int result = 0;
				Fiber dialler([&] {
					result = weft_dial(hosts.at("refused-first.test").c_str());
				});
				weft_sleep(i * 20 * WEFT_US);
				dialler.cancel();
				dialler.join();
				if (result >= 0)
					EXPECT_EQ(0, weft_close(result));
				else
					EXPECT_EQ(-ECANCELED, result);
			}
		});
		EXPECT_EQ(open_before - 2, count_open()) << "the server's two are closed";
	});
}

TEST_P(Dial, ListensOnANamesFirstThatWorks)
{
	DnsServer server;
	tell(server);
	run([&] {
		server.serve([&] {
			int listener = weft_listen("families.test:0");
			EXPECT_GE(listener, 0);
			EXPECT_GT(weft_local_port(listener), 0);
			EXPECT_EQ(0, weft_close(listener));
			EXPECT_EQ(-ENOENT, weft_listen("none.test:0"));
		});
	});
}

} // namespace
