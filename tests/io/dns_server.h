/* SPDX-License-Identifier: MIT */
/* dns_server.h - a small name server on loopback, for the tests of names and of dialling
 *
 * What     UDP and TCP on one port of 127.0.0.1, served by fibers of the test's runtime. WEFT_NAMESERVERS
 *          points to it from its construction to its end, which are on a plain thread, so that no other thread
 *          reads the environment then. What a name answers is told before its first query.
 * Rules    N1 a name that was not told of does not exist (NXDOMAIN).
 */
#ifndef WF_TESTS_IO_DNS_SERVER_H
#define WF_TESTS_IO_DNS_SERVER_H

#include <atomic>
#include <map>

#include <arpa/inet.h>

#include "tests/io/support.h"

namespace io_test
{

enum class Mood {
	NORMAL,
	SILENT,
	FAILS,
	REFUSES,
	NONSENSE,
	SHORT,
	STRANGE,
	LYING,
	CUT,
	LOSES_FIRST
};

struct Zone {
	std::vector<std::string> v4, v6; /* addresses, in order */
	std::string alias_of;
	Mood mood = Mood::NORMAL;
	weft_ns delay = 0;
};

class DnsServer
{
public:
	DnsServer()
	{
		sockaddr_in address{};
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		auto *generic = reinterpret_cast<sockaddr *>(&address);
		socklen_t size = sizeof(address);
		/* The two ports have to be the same: another may have taken the second by then. */
		for (bool same = false; !same;) {
			udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			tcp_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			address.sin_port = 0;
			same = bind(udp_, generic, size) == 0 &&
				getsockname(udp_, generic, &size) == 0 &&
				bind(tcp_, generic, size) == 0 && listen(tcp_, 64) == 0;
			if (!same)
				close(udp_), close(tcp_);
		}
		int room = 4 << 20; /* a thousand look-ups at once */
		setsockopt(udp_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		port_ = ntohs(address.sin_port);
		setenv("WEFT_NAMESERVERS", text().c_str(), 1);
		setenv("RES_OPTIONS", "timeout:1 attempts:2", 1); /* libc reads it once a process */
		setenv("LOCALDOMAIN", "search.test", 1);
	}
	DnsServer(const DnsServer &) = delete;
	DnsServer &operator=(const DnsServer &) = delete;
	~DnsServer()
	{
		unsetenv("WEFT_NAMESERVERS");
		unsetenv("LOCALDOMAIN");
		if (udp_ >= 0)
			close(udp_), close(tcp_);
	}
	std::string text() const
	{
		return "127.0.0.1:" + std::to_string(port_);
	}
	Zone &operator[](const std::string &name)
	{
		return zones_[name];
	}
	/* On a fiber: serves while `body` runs. */
	void serve(const Body &body)
	{
		Fibers servers;
		spawn_into(servers, [this] { serve_udp(); });
		spawn_into(servers, [this] { serve_tcp(); });
		body();
		EXPECT_EQ(0, weft_close(udp_));
		EXPECT_EQ(0, weft_close(tcp_));
		servers.clear();
		udp_ = tcp_ = -1;
	}
	std::atomic<int> queries{0};
	std::atomic<int> connections{0};

private:
	using Bytes = std::vector<unsigned char>;

	static void put16(Bytes &to, unsigned value)
	{
		to.push_back(static_cast<unsigned char>(value >> 8));
		to.push_back(static_cast<unsigned char>(value));
	}

	/* The name asked for in small letters, and where the question ends. */
	static std::string name_of(const Bytes &query, size_t &end)
	{
		std::string name;
		size_t at = 12;
		while (at < query.size() && query[at] != 0) {
			if (!name.empty())
				name += '.';
			for (size_t i = 1; i <= query[at] && at + i < query.size(); i++)
				name += static_cast<char>(tolower(query[at + i]));
			at += 1u + query[at];
		}
		end = std::min(at + 5, query.size());
		return name;
	}

	static Bytes wire(const std::string &name)
	{
		Bytes bytes;
		size_t from = 0;
		while (from < name.size()) {
			size_t dot = std::min(name.find('.', from), name.size());
			bytes.push_back(static_cast<unsigned char>(dot - from));
			bytes.insert(bytes.end(), name.begin() + static_cast<long>(from),
				name.begin() + static_cast<long>(dot));
			from = dot + 1;
		}
		bytes.push_back(0);
		return bytes;
	}

	/* Of the owner whose name stands at `owner` in the message. */
	static void put_record(Bytes &to, unsigned owner, unsigned type, const Bytes &data)
	{
		put16(to, 0xc000 | owner);
		put16(to, type);
		put16(to, 1);
		put16(to, 0), put16(to, 60);
		put16(to, static_cast<unsigned>(data.size()));
		to.insert(to.end(), data.begin(), data.end());
	}

	Bytes answer(const Bytes &query, bool stream)
	{
		size_t end;
		std::string name = name_of(query, end);
		auto found = zones_.find(name);
		static const Zone nothing;
		const Zone &zone = found != zones_.end() ? found->second : nothing;
		const Zone *data = &zone;
		unsigned type = query[end - 3], owner = 12, count = 0;
		unsigned code = found == zones_.end() ? 3 : 0;
		code = zone.mood == Mood::FAILS ? 2 : zone.mood == Mood::REFUSES ? 5 : code;
		Bytes reply(query.begin(), query.begin() + static_cast<long>(end));
		if (!zone.alias_of.empty()) {
			unsigned next = static_cast<unsigned>(reply.size()) + 12;
			put_record(reply, owner, 5, wire(zone.alias_of));
			owner = next;
			count++;
			data = &zones_.at(zone.alias_of);
		}
		for (const std::string &address : type == 28 ? data->v6 : data->v4) {
			if (type != 1 && type != 28)
				break;
			Bytes bytes(type == 28 ? 16 : 4);
			inet_pton(type == 28 ? AF_INET6 : AF_INET, address.c_str(), bytes.data());
			put_record(reply, owner, type, bytes);
			count++;
		}
		bool cut = !stream && reply.size() > 512;
		if (cut) {
			reply.resize(end);
			count = 0;
		}
		reply[2] = static_cast<unsigned char>(0x81 | (cut ? 2 : 0));
		reply[3] = static_cast<unsigned char>(0x80 | code);
		reply[4] = 0, reply[5] = 1;
		reply[6] = static_cast<unsigned char>(count >> 8),
		reply[7] = static_cast<unsigned char>(count);
		reply[8] = reply[9] = reply[10] = reply[11] = 0;
		if (zone.mood == Mood::CUT && count > 0)
			reply.resize(reply.size() - 3);
		if (zone.mood == Mood::NONSENSE)
			for (size_t i = end; i < reply.size(); i++)
				reply[i] = byte_at(i);
		return reply;
	}

	void send(const sockaddr_in &to, const Bytes &bytes) const
	{
		weft_sendto(udp_, bytes.data(), bytes.size(), 0,
			reinterpret_cast<const sockaddr *>(&to), sizeof(to));
	}

	void answer_datagram(const sockaddr_in &from, const Bytes &query)
	{
		size_t end;
		auto found = zones_.find(name_of(query, end));
		Mood mood = found != zones_.end() ? found->second.mood : Mood::NORMAL;
		Bytes reply = answer(query, false);
		if (found != zones_.end() && found->second.delay > 0 &&
			weft_sleep(found->second.delay) != 0)
			return;
		if (mood == Mood::SILENT || (mood == Mood::LOSES_FIRST && queries <= 2))
			return;
		if (mood == Mood::SHORT)
			return send(from, Bytes(reply.begin(), reply.begin() + 5));
		if (mood == Mood::STRANGE) /* it looks like nothing at all */
			return send(from, Bytes(200, 0xff));
		if (mood == Mood::LYING) { /* somebody else's answers come first */
			Bytes lie = reply;
			lie[0] ^= 0x55;
			lie.back() ^= 1;
			send(from, lie);
			send(from, {});
		}
		send(from, reply);
	}

	void serve_udp()
	{
		Fibers slow;
		for (;;) {
			Bytes query(512);
			sockaddr_in from{};
			socklen_t size = sizeof(from);
			ssize_t n = weft_recvfrom(udp_, query.data(), query.size(), 0,
				reinterpret_cast<sockaddr *>(&from), &size);
			if (n < 0)
				break;
			query.resize(static_cast<size_t>(n));
			if (n < 17)
				continue;
			queries++;
			size_t end;
			auto found = zones_.find(name_of(query, end));
			if (found != zones_.end() && found->second.delay > 0)
				spawn_into(slow,
					[this, from, query] { answer_datagram(from, query); });
			else
				answer_datagram(from, query);
		}
		for (auto &fiber : slow)
			fiber->cancel();
	}

	void serve_tcp()
	{
		Fibers connected;
		int fd;
		while ((fd = weft_accept(tcp_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) {
			connections++;
			spawn_into(connected, [this, fd] {
				unsigned char length[2];
				while (weft_read_full(fd, length, 2) == 2) {
					Bytes query(length[0] * 256u + length[1]), reply;
					if (weft_read_full(fd, query.data(), query.size()) < 17)
						break;
					Bytes body = answer(query, true);
					put16(reply, static_cast<unsigned>(body.size()));
					reply.insert(reply.end(), body.begin(), body.end());
					weft_send_full(fd, reply.data(), 1, 0); /* it comes in pieces */
					weft_yield();
					weft_send_full(fd, reply.data() + 1, reply.size() - 1, 0);
				}
				EXPECT_EQ(0, weft_close(fd));
			});
		}
	}

	std::map<std::string, Zone> zones_;
	int udp_ = -1, tcp_ = -1;
	unsigned port_ = 0;
};

} // namespace io_test

#endif
