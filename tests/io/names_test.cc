/* SPDX-License-Identifier: MIT */
/* names_test.cc - weft_getaddrinfo
 *
 * Law  what needs no name server is answered as libc's getaddrinfo answers it, node by node.
 * Law  names are what the name servers say, in the order of RFC 6724; a truncated answer is asked for
 *      again by TCP; a server that fails, lies, talks nonsense or is silent makes an error in its time.
 * Law  a look-up blocks no worker: server and client share one here.
 * Law  cancelled or late, it ends at once, with nothing open and nothing coming later.
 */
#include "tests/io/dns_server.h"

#include <set>

#include <netdb.h>

#include "io/api/names.h"

using namespace io_test;

namespace
{

class Names : public Rings
{
};
IN_EVERY_SETUP(Names);

std::string node_text(const addrinfo *at)
{
	char host[64] = "?", port[16] = "?";
	getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV);
	std::string text = std::to_string(at->ai_family) + " " + std::to_string(at->ai_socktype) +
		" " + std::to_string(at->ai_protocol) + " " + std::to_string(at->ai_flags) + " " +
		std::to_string(at->ai_addrlen) + " " + host + " " + port;
	return text + (at->ai_canonname != nullptr ? std::string(" ") + at->ai_canonname : "") + "\n";
}

/* What a look-up has returned, as text; frees the list. */
std::string result_text(int eai, addrinfo *list, int error)
{
	std::string text = std::to_string(eai) + "\n";
	if (eai == EAI_SYSTEM)
		text += strerror(error);
	if (eai != 0)
		return text;
	/* glibc finds 127.0.0.1 twice where the hosts file has two lines for localhost. */
	std::set<std::string> seen;
	for (const addrinfo *at = list; at != nullptr; at = at->ai_next)
		if (seen.insert(node_text(at)).second)
			text += node_text(at);
	freeaddrinfo(list);
	return text;
}

/* Out of line: the compiler takes its address to be the same on either side of a call that parks. */
__attribute__((noinline)) void set_errno(int value)
{
	errno = value;
}

__attribute__((noinline)) int get_errno()
{
	return errno;
}

using LookUp = int (*)(const char *, const char *, const addrinfo *, addrinfo **);

std::string ask(LookUp look_up, const char *node, const char *service, const addrinfo *hints)
{
	addrinfo *list = nullptr;
	int eai = look_up(node, service, hints, &list);
	return result_text(eai, list, get_errno());
}

/* The addresses of a name, separated by spaces, or the error. */
std::string addresses_of(const std::string &name, int family = AF_UNSPEC, int flags = 0)
{
	addrinfo hints{}, *list = nullptr;
	hints.ai_family = family;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = flags;
	int eai = weft_getaddrinfo(name.c_str(), "80", &hints, &list);
	if (eai == EAI_SYSTEM)
		return std::string("EAI_SYSTEM ") + strerrorname_np(get_errno());
	if (eai != 0)
		return gai_strerror(eai);
	std::string text;
	for (const addrinfo *at = list; at != nullptr; at = at->ai_next) {
		char host[64] = "?";
		getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
		text += (text.empty() ? "" : " ") + std::string(host);
		EXPECT_EQ(flags, at->ai_flags);
		EXPECT_EQ(SOCK_STREAM, at->ai_socktype);
		EXPECT_EQ(80, ntohs(reinterpret_cast<sockaddr_in *>(at->ai_addr)->sin_port));
	}
	if (list->ai_canonname != nullptr)
		text += std::string(" = ") + list->ai_canonname;
	freeaddrinfo(list);
	return text;
}

void compare_with_libc(const char *node, const char *service, int family, int type, int protocol, int flags)
{
	addrinfo hints{};
	hints.ai_family = family;
	hints.ai_socktype = type;
	hints.ai_protocol = protocol;
	hints.ai_flags = flags;
	EXPECT_EQ(ask(getaddrinfo, node, service, &hints), ask(weft_getaddrinfo, node, service, &hints))
		<< (node != nullptr ? node : "(no node)") << " "
		<< (service != nullptr ? service : "(no service)") << " family " << family
		<< " type " << type << " protocol " << protocol << " flags " << flags;
}

TEST(NamesLibc, NumbersAndMistakesAreAnsweredAsLibcDoes)
{
	run(config_of({WEFT_RING_DEFER, 1}), [] {
		const char *nodes[] = {nullptr, "127.0.0.1", "1.2.3.4", "0x7f.1", "1", "::1",
			"::ffff:1.2.3.4", "fe80::1%lo", "fe80::1%1"};
		const char *services[] = {nullptr, "", "0", "80", "65535", "65536", "-1", "http",
			"domain", "no-such-service", "80x"};
		for (const char *node : nodes)
			for (const char *service : services) {
				for (int family : {AF_UNSPEC, AF_INET, AF_INET6})
					for (int type : {0, static_cast<int>(SOCK_STREAM),
						     static_cast<int>(SOCK_DGRAM)})
						for (int flags : {0, AI_PASSIVE, AI_NUMERICHOST,
							     AI_NUMERICSERV, AI_CANONNAME,
							     AI_V4MAPPED, AI_V4MAPPED | AI_ALL})
							compare_with_libc(node, service, family,
								type, 0, flags);
				compare_with_libc(node, service, AF_UNIX, 0, 0, 0);
				compare_with_libc(node, service, AF_INET, SOCK_STREAM, IPPROTO_UDP, 0);
				compare_with_libc(node, service, AF_INET, 0, IPPROTO_UDP, 0);
				compare_with_libc(node, service, AF_INET, 77, 0, 0);
				compare_with_libc(node, service, AF_INET, SOCK_RAW, 0, 0);
				compare_with_libc(node, service, AF_UNSPEC, 0, 0, 1 << 20);
				compare_with_libc(node, service, AF_UNSPEC, 0, 0, AI_ADDRCONFIG);
				EXPECT_EQ(ask(getaddrinfo, node, service, nullptr),
					ask(weft_getaddrinfo, node, service, nullptr));
			}
	});
}

TEST(NamesLibc, MistakesAboutNamesAreFoundBeforeAnybodyIsAsked)
{
	DnsServer server;
	run(config_of({WEFT_RING_DEFER, 1}), [&] {
		server.serve([&] {
			for (const char *service : {"no-such-service", "80x", "-1x"})
				compare_with_libc("a.test", service, AF_UNSPEC, SOCK_STREAM, 0, 0);
			compare_with_libc("a.test", "http", AF_UNSPEC, SOCK_STREAM, 0, AI_NUMERICSERV);
			compare_with_libc("a.test", "http", AF_UNSPEC, SOCK_STREAM, 0, AI_NUMERICHOST);
			compare_with_libc("a.test", nullptr, AF_UNIX, 0, 0, 0);
			compare_with_libc("a.test", nullptr, AF_INET, 77, 0, 0);
			compare_with_libc("a.test", nullptr, AF_INET, 0, 0, 1 << 20);
			EXPECT_EQ(gai_strerror(EAI_IDN_ENCODE),
				addresses_of("b\xc3\xbc.test", AF_UNSPEC, AI_IDN));
			EXPECT_EQ(0, server.queries);
		});
	});
}

TEST(NamesLibc, LocalhostNeedsNoServer)
{
	DnsServer server;
	run(config_of({WEFT_RING_DEFER, 1}), [&] {
		server.serve([&] {
			compare_with_libc("localhost", nullptr, AF_INET, 0, 0, 0);
			compare_with_libc("localhost", "http", AF_INET, SOCK_STREAM, 0, AI_CANONNAME);
			compare_with_libc("localhost", "53", AF_INET, 0, 0, AI_PASSIVE);
			EXPECT_EQ("::1", addresses_of("localhost", AF_INET6));
			EXPECT_EQ("127.0.0.1", addresses_of("any.localhost", AF_INET));
			EXPECT_EQ("::1", addresses_of("any.localhost", AF_INET6));
			EXPECT_EQ(0, server.queries);
		});
	});
}

TEST_P(Names, AreWhatTheServerSays)
{
	DnsServer server;
	server["both.test"] = {{"192.0.2.10", "192.0.2.9"}, {"::1"}, "", Mood::NORMAL, 0};
	server["v4.test"] = {{"192.0.2.10"}, {}, "", Mood::NORMAL, 0};
	server["v6.test"] = {{}, {"::1"}, "", Mood::NORMAL, 0};
	server["alias.test"] = {{}, {}, "v4.test", Mood::NORMAL, 0};
	server["short.search.test"] = {{"192.0.2.11"}, {}, "", Mood::NORMAL, 0};
	server["empty.test"] = {};
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			EXPECT_EQ("::1 192.0.2.10 192.0.2.9", addresses_of("both.test"));
			EXPECT_EQ("::1 192.0.2.10 192.0.2.9", addresses_of("BOTH.test."));
			EXPECT_EQ("192.0.2.10 192.0.2.9", addresses_of("both.test", AF_INET));
			EXPECT_EQ("::1", addresses_of("both.test", AF_INET6));
			EXPECT_EQ("::1", addresses_of("both.test", AF_INET6, AI_V4MAPPED));
			EXPECT_EQ("::1 ::ffff:192.0.2.10 ::ffff:192.0.2.9",
				addresses_of("both.test", AF_INET6, AI_V4MAPPED | AI_ALL));
			EXPECT_EQ("::ffff:192.0.2.10", addresses_of("v4.test", AF_INET6, AI_V4MAPPED));
			EXPECT_EQ("192.0.2.10", addresses_of("v4.test"));
			EXPECT_EQ("::1", addresses_of("v6.test"));
			EXPECT_EQ("192.0.2.10 = v4.test",
				addresses_of("v4.test", AF_UNSPEC, AI_CANONNAME));
			EXPECT_EQ("192.0.2.10 = v4.test",
				addresses_of("alias.test", AF_INET, AI_CANONNAME));
			EXPECT_EQ("192.0.2.10", addresses_of("alias.test"));
			EXPECT_EQ("192.0.2.11", addresses_of("short")) << "the search list";
			EXPECT_EQ(gai_strerror(EAI_NODATA), addresses_of("empty.test"));
			EXPECT_EQ(gai_strerror(EAI_NODATA), addresses_of("v4.test", AF_INET6));
			EXPECT_EQ(gai_strerror(EAI_NONAME), addresses_of("missing.test"));
			for (const char *bad : {"", ".", "..", "a..b"})
				EXPECT_EQ(gai_strerror(EAI_NONAME), addresses_of(bad)) << bad;
			EXPECT_EQ(gai_strerror(EAI_NONAME), addresses_of(std::string(300, 'x')));
			EXPECT_EQ(gai_strerror(EAI_NONAME), addresses_of(std::string(64, 'x') + ".test"));
			EXPECT_EQ(0, server.connections);
		});
		EXPECT_EQ(open_before - 2, count_open()) << "the server's two are closed";
	});
}

TEST_P(Names, TypesOfSocketsAndServicesMultiplyTheNodes)
{
	DnsServer server;
	server["two.test"] = {{"192.0.2.1", "192.0.2.2"}, {}, "", Mood::NORMAL, 0};
	run([&] {
		server.serve([&] {
			std::string all, udp;
			for (const char *address : {"192.0.2.1", "192.0.2.2"}) {
				for (const char *kind : {"1 6", "2 17", "3 0"})
					all += std::string("2 ") + kind + " 0 16 " + address + " 53\n";
				udp += std::string("2 2 17 0 16 ") + address + " 69\n";
			}
			addrinfo hints{};
			EXPECT_EQ("0\n" + all, ask(weft_getaddrinfo, "two.test", "53", &hints));
			EXPECT_EQ("0\n" + udp, ask(weft_getaddrinfo, "two.test", "tftp", &hints));
		});
	});
}

TEST_P(Names, TruncatedAnswersComeByTcp)
{
	DnsServer server;
	Zone &many = server["many.test"];
	for (int i = 0; i < 200; i++)
		many.v4.push_back("192.0.2." + std::to_string(i + 1));
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			std::string all;
			for (const std::string &address : many.v4)
				all += (all.empty() ? "" : " ") + address;
			EXPECT_EQ(all, addresses_of("many.test"));
			EXPECT_EQ(1, server.connections);
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST_P(Names, FaultsOfServersAreErrorsOrOvercome)
{
	DnsServer server;
	for (Mood mood : {Mood::FAILS, Mood::REFUSES, Mood::NONSENSE, Mood::LYING, Mood::CUT})
		server["mood" + std::to_string(static_cast<int>(mood)) + ".test"] = {
			{"192.0.2.1"}, {}, "", mood, 0};
	auto name = [](Mood mood) {
		return "mood" + std::to_string(static_cast<int>(mood)) + ".test";
	};
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			EXPECT_EQ(gai_strerror(EAI_AGAIN), addresses_of(name(Mood::FAILS)));
			EXPECT_EQ(gai_strerror(EAI_AGAIN), addresses_of(name(Mood::REFUSES)));
			EXPECT_EQ("192.0.2.1", addresses_of(name(Mood::LYING)));
			std::set<std::string> failures = {gai_strerror(EAI_AGAIN),
				gai_strerror(EAI_FAIL), gai_strerror(EAI_NODATA)};
			EXPECT_EQ(1u, failures.count(addresses_of(name(Mood::NONSENSE), AF_INET)));
			EXPECT_EQ(1u, failures.count(addresses_of(name(Mood::CUT), AF_INET)));
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

/* These take the second that RES_OPTIONS gives a server: all at once. */
TEST(NamesSlow, SilenceAndRubbishEndByTimeout)
{
	DnsServer server;
	for (Mood mood : {Mood::SILENT, Mood::SHORT, Mood::STRANGE})
		server["mood" + std::to_string(static_cast<int>(mood)) + ".test"] = {
			{"192.0.2.1"}, {}, "", mood, 0};
	run(config_of({WEFT_RING_DEFER, 2}), [&] {
		int open_before = count_open();
		server.serve([&] {
			Fibers asking;
			weft_ns began = weft_now();
			for (Mood mood : {Mood::SILENT, Mood::SHORT, Mood::STRANGE})
				spawn_into(asking, [mood] {
					std::string name = "mood" +
						std::to_string(static_cast<int>(mood)) + ".test";
					EXPECT_EQ(gai_strerror(EAI_AGAIN), addresses_of(name));
				});
			asking.clear();
			EXPECT_GE(weft_now() - began, 900 * WEFT_MS);
			EXPECT_LT(weft_now() - began, PATIENCE);
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST(NamesSlow, LostQueriesAreRepeated)
{
	DnsServer server;
	server["lost.test"] = {{"192.0.2.1"}, {}, "", Mood::LOSES_FIRST, 0};
	run(config_of({WEFT_RING_DEFER, 1}), [&] {
		server.serve([&] {
			EXPECT_EQ("192.0.2.1", addresses_of("lost.test"));
			EXPECT_GE(server.queries, 3);
		});
	});
}

TEST_P(Names, DeadServersAreSkipped)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	/* A port that was free a moment ago. */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sockaddr_in address{};
	socklen_t size = sizeof(address);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_EQ(0, bind(fd, reinterpret_cast<sockaddr *>(&address), size));
	ASSERT_EQ(0, getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size));
	close(fd);
	std::string dead = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
	setenv("WEFT_NAMESERVERS", (dead + "," + server.text()).c_str(), 1);
	run([&] { server.serve([&] { EXPECT_EQ("192.0.2.1", addresses_of("a.test")); }); });
	setenv("WEFT_NAMESERVERS", dead.c_str(), 1);
	run([&] { EXPECT_EQ(gai_strerror(EAI_AGAIN), addresses_of("a.test")); });
}

TEST_P(Names, ManyLookUpsAtOnce)
{
	constexpr int FIBERS = rounds(1000, 200);
	DnsServer server;
	/* All wait for an answer at the same time, as many as may: more than that wait for their turn. */
	server["a.test"] = {{"192.0.2.1"}, {"::1"}, "", Mood::NORMAL, 20 * WEFT_MS};
	run([&] {
		int open_before = count_open();
		std::atomic<int> right{0};
		server.serve([&] {
			Fibers asking;
			for (int i = 0; i < FIBERS; i++)
				spawn_into(asking,
					[&] { right += addresses_of("a.test") == "::1 192.0.2.1"; });
			asking.clear();
			EXPECT_EQ(FIBERS, right);
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST_P(Names, LevelsInForceComeFirst)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	run([&] {
		server.serve([&] {
			weft_deadline(weft_now() - 1);
			EXPECT_EQ("EAI_SYSTEM ETIMEDOUT", addresses_of("a.test"));
			EXPECT_EQ("EAI_SYSTEM ETIMEDOUT", addresses_of("127.0.0.1"));
			weft_deadline(WEFT_FOREVER);
			Fiber cancelled([] {
				while (!weft_cancelled())
					weft_yield();
				EXPECT_EQ("EAI_SYSTEM ECANCELED", addresses_of("a.test"));
				EXPECT_EQ(-ECANCELED, weft_dial("a.test:80"));
			});
			cancelled.cancel();
			cancelled.join();
			EXPECT_EQ(0, server.queries);
			EXPECT_EQ("192.0.2.1", addresses_of("a.test"));
		});
	});
}

TEST_P(Names, LateOnesEndAtOnce)
{
	DnsServer server;
	server["silent.test"] = {{}, {}, "", Mood::SILENT, 0};
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			weft_ns began = weft_now();
			/* Late, but not too early: longer and longer, until the server was asked. */
			weft_ns delay = 20 * WEFT_MS;
			for (; server.queries == 0 && delay < 2 * WEFT_SEC; delay *= 2) {
				weft_deadline(weft_after(delay));
				EXPECT_EQ("EAI_SYSTEM ETIMEDOUT", addresses_of("silent.test"));
			}
			EXPECT_EQ(-ETIMEDOUT, weft_dial("silent.test:80"));
			EXPECT_EQ(-ETIMEDOUT, weft_listen("silent.test:80"));
			weft_deadline(WEFT_FOREVER);
			EXPECT_GE(weft_now() - began, 20 * WEFT_MS);
			EXPECT_LT(weft_now() - began, PATIENCE);
			EXPECT_GE(server.queries, 1);
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST_P(Names, CancelledAtAnyMomentOneEndsAtOnce)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {"::1"}, "", Mood::NORMAL, 0};
	server["slow.test"] = {{"192.0.2.1"}, {"::1"}, "", Mood::NORMAL, 200 * WEFT_US};
	server["silent.test"] = {{}, {}, "", Mood::SILENT, 0};
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			for (int i = 0; i < rounds(60, 25); i++)
				for (const char *name :
					{"a.test", "slow.test", "silent.test", "127.0.0.1"}) {
					std::string found;
					Fiber asking([&] { found = addresses_of(name); });
					for (int pause = 0; pause < i % 6; pause++)
						weft_yield();
					weft_sleep(i * 20 * WEFT_US);
					asking.cancel();
					asking.join();
					EXPECT_TRUE(found == "EAI_SYSTEM ECANCELED" ||
						found == "::1 192.0.2.1" || found == "127.0.0.1")
						<< name << " " << found;
				}
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST_P(Names, WaitingForATurnIsCancellable)
{
	DnsServer server;
	server["silent.test"] = {{}, {}, "", Mood::SILENT, 0};
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	run([&] {
		int open_before = count_open();
		server.serve([&] {
			Fibers asking;
			for (int i = 0; i < WF_LOOKUPS_MAX; i++)
				spawn_into(asking, [] {
					EXPECT_EQ("EAI_SYSTEM ECANCELED", addresses_of("silent.test"));
				});
			EXPECT_TRUE(until([&] { return server.queries >= 2 * WF_LOOKUPS_MAX; }));
			weft_deadline(weft_after(5 * WEFT_MS));
			EXPECT_EQ("EAI_SYSTEM ETIMEDOUT", addresses_of("a.test"))
				<< "it waits for its turn";
			weft_deadline(WEFT_FOREVER);
			EXPECT_EQ("127.0.0.1", addresses_of("127.0.0.1")) << "numbers need none";
			for (auto &fiber : asking)
				fiber->cancel();
			EXPECT_EQ("192.0.2.1", addresses_of("a.test"));
			asking.clear();
		});
		EXPECT_EQ(open_before - 2, count_open());
	});
}

TEST_P(Names, WithoutDescriptorsItSaysSo)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	run([&] {
		server.serve([&] {
			EXPECT_EQ("192.0.2.1", addresses_of("a.test"));
			FewDescriptors none(0);
			EXPECT_EQ("EAI_SYSTEM EMFILE", addresses_of("a.test"));
			EXPECT_EQ(-EMFILE, weft_dial("a.test:80"));
		});
	});
}

void *look_up_small(void *result)
{
	addrinfo hints{}, *list = nullptr;
	hints.ai_socktype = SOCK_STREAM;
	int *eai = static_cast<int *>(result);
	*eai = weft_getaddrinfo("a.test", "80", &hints, &list);
	if (*eai == 0)
		freeaddrinfo(list);
	return nullptr;
}

TEST_P(Names, SmallestStackSuffices)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {"::1"}, "", Mood::NORMAL, 100 * WEFT_US};
	run([&] {
		server.serve([&] {
			weft_attr attr{};
			attr.stack_size = WF_TEST_SANITIZED ? 64 * 1024 : 16 * 1024;
			int eai = -1;
			weft_fiber *fiber;
			ASSERT_EQ(0, weft_spawn_attr(&fiber, &attr, look_up_small, &eai));
			EXPECT_EQ(0, weft_join(fiber, nullptr));
			EXPECT_EQ(0, eai);
		});
	});
}

TEST_P(Names, ErrnoIsSetByErrorsAlone)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	run([&] {
		server.serve([&] {
			addrinfo *list = nullptr;
			for (const char *name : {"a.test", "missing.test", "127.0.0.1"}) {
				set_errno(EXDEV);
				int eai = weft_getaddrinfo(name, nullptr, nullptr, &list);
				EXPECT_EQ(EXDEV, get_errno()) << name;
				if (eai == 0)
					freeaddrinfo(list);
			}
		});
	});
}

TEST(NamesOutside, OffAFiberItIsRefused)
{
	addrinfo *list = nullptr;
	errno = 0;
	EXPECT_EQ(EAI_SYSTEM, weft_getaddrinfo("127.0.0.1", nullptr, nullptr, &list));
	EXPECT_EQ(EPERM, errno);
}

TEST(NamesOutside, MalformedServersAreSaidOnce)
{
	weft_config config = config_of({WEFT_RING_DEFER, 1});
	config.long_run = -1; /* its line would stand beside the one that is looked for */
	run(config, [] {
		testing::internal::CaptureStderr();
		for (const char *bad : {"x", "localhost", "127.0.0.1:", "127.0.0.1:0",
			     "127.0.0.1:65536", "127.0.0.1:53x", "127.0.0.1,", ",127.0.0.1",
			     "127.0.0.1,,[::1]", "[::1", "[::1]53", "[::1]:", "[127.0.0.1]:53",
			     "1.2.3", " 127.0.0.1", "[::1]:53:53", "unix:/a",
			     "1111111111111111111111111111111111111111111111111111111111111111111111111111111"}) {
			setenv("WEFT_NAMESERVERS", bad, 1);
			EXPECT_EQ(gai_strerror(EAI_FAIL), addresses_of("a.test")) << bad;
			EXPECT_EQ("127.0.0.1", addresses_of("127.0.0.1")) << "a number needs none";
		}
		std::string said = testing::internal::GetCapturedStderr();
		EXPECT_EQ(0u, said.find("weft: WEFT_NAMESERVERS=x ")) << said;
		EXPECT_EQ(said.size() - 1, said.find('\n')) << said;
		unsetenv("WEFT_NAMESERVERS");
	});
}

/* Virtual time stands still while fibers wait for the world: it must not keep c-ares from its own. */
TEST(NamesSlow, InVirtualTime)
{
	DnsServer server;
	server["a.test"] = {{"192.0.2.1"}, {}, "", Mood::NORMAL, 0};
	server["silent.test"] = {{}, {}, "", Mood::SILENT, 0};
	weft_config config = config_of({WEFT_RING_DEFER, 1});
	config.flags |= WEFT_VIRTUAL_TIME;
	run(config, [&] {
		server.serve([&] {
			EXPECT_EQ("192.0.2.1", addresses_of("a.test"));
			EXPECT_EQ(gai_strerror(EAI_AGAIN), addresses_of("silent.test"));
		});
	});
}

} // namespace
