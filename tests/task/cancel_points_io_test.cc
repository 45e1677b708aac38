/* SPDX-License-Identifier: MIT */
/* cancel_points_io_test.cc - cancellation and deadlines of scopes at every call on descriptors
 *
 * Law  a scope reaches a call that waits in the kernel as it reaches any other: the call fails with -ECANCELED or -ETIMEDOUT, has moved
 *      nothing, and the descriptor works afterwards. In force it fails calls that would not wait.
 * Law  a shield holds it back, and the call goes on to its data.
 * (What weft_cancel and the fiber's own deadline do to these calls: tests/io/cancel_test.cc.)
 */
#include <atomic>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class CancelPointsIo : public Workers
{
};
FOR_WORKERS(CancelPointsIo);

using task = std::function<int()>;

static int run_task(void *arg)
{
	std::unique_ptr<task> owned(static_cast<task *>(arg));
	return (*owned)();
}

static void add(weft_scope &scope, task fn)
{
	EXPECT_EQ(0, weft_scope_spawn(&scope, run_task, new task(std::move(fn))));
}

static int queued(int fd)
{
	int bytes = -1;
	EXPECT_EQ(0, ioctl(fd, FIONREAD, &bytes));
	return bytes;
}

/* One blocking call, as in cancel_points_test.cc; descriptors live as long as the site. */
struct Site {
	const char *name;
	std::function<long()> call;
	/* From now on one call goes through. */
	std::function<void()> open;
	/* What a call returns that goes through. */
	std::function<bool(long)> passed = [](long result) { return result == 1; };
	/* What must be the same after calls that failed. */
	std::function<int()> state = [] { return 0; };
	std::vector<int> fds = {};
	std::string path = "";
	std::function<void()> clear = [] {};
};

static void close_site(const Site &site)
{
	site.clear();
	for (int fd : site.fds)
		EXPECT_EQ(0, weft_close(fd));
	EXPECT_EQ(0, site.path.empty() ? 0 : unlink(site.path.c_str()));
}

/* All of it: a socket becomes writable only when most of its queue is free. */
static void drain(int fd)
{
	std::vector<char> block(1 << 16);
	while (queued(fd) > 0)
		EXPECT_GT(read(fd, block.data(), block.size()), 0);
}

/* A pipe or a pair of sockets; full: nothing more goes into it. */
static std::vector<int> make_pair(bool pipe, bool full)
{
	int fds[2];
	EXPECT_EQ(0,
		pipe ? pipe2(fds, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	if (full) {
		std::vector<char> block(1 << 16);
		int flags = fcntl(fds[1], F_GETFL);
		fcntl(fds[1], F_SETFL, flags | O_NONBLOCK);
		for (size_t size : {block.size(), size_t{1}})
			while (write(fds[1], block.data(), size) > 0)
				;
		fcntl(fds[1], F_SETFL, flags);
	}
	return {fds[0], fds[1]};
}

/* A call that takes the byte 'x' from a pipe or a socket. */
static Site input_site(const char *name, bool pipe, const std::function<long(int, char *)> &take)
{
	std::vector<int> fds = make_pair(pipe, false);
	Site site{name, {}, {}};
	site.call = [=] {
		char byte = '-';
		long result = take(fds[0], &byte);
		EXPECT_EQ(result == 1 ? 'x' : '-', byte);
		return result;
	};
	site.open = [=] { EXPECT_EQ(1, write(fds[1], "x", 1)); };
	site.state = [=] { return queued(fds[0]); };
	site.fds = fds;
	return site;
}

/* A call that gives a byte. */
static Site output_site(const char *name, bool pipe, const std::function<long(int)> &give)
{
	std::vector<int> fds = make_pair(pipe, true);
	Site site{name, [=] { return give(fds[1]); }, {}};
	site.open = [=] { drain(fds[0]); };
	site.state = [=] { return queued(fds[0]); };
	site.fds = fds;
	return site;
}

static std::string scratch_path(const char *name)
{
	static const std::string folder = [] {
		const char *base = getenv("TMPDIR");
		std::string path = std::string(base != nullptr ? base : P_tmpdir) + "/weft-XXXXXX";
		EXPECT_NE(nullptr, mkdtemp(path.data()));
		static const std::string made = path;
		atexit([] { rmdir(made.c_str()); });
		return path;
	}();
	return folder + "/" + name;
}

static sockaddr_un unix_address(const std::string &path)
{
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
	return address;
}

static int make_listener(const std::string &path, int backlog)
{
	unlink(path.c_str());
	sockaddr_un address = unix_address(path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT_EQ(0, bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof(address)));
	EXPECT_EQ(0, listen(listener, backlog));
	return listener;
}

static int connect_now(const std::string &path)
{
	sockaddr_un address = unix_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT_EQ(0, connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)));
	return fd;
}

static long close_if_open(int fd)
{
	if (fd < 0)
		return fd;
	EXPECT_EQ(0, weft_close(fd));
	return 1;
}

static Site accept_site()
{
	Site site{"accept", {}, {}};
	site.path = scratch_path("accept");
	int listener = make_listener(site.path, 5);
	site.fds = {listener};
	site.call = [=] {
		return close_if_open(weft_accept(listener, nullptr, nullptr, SOCK_CLOEXEC));
	};
	site.open = [path = site.path] { EXPECT_EQ(0, close(connect_now(path))); };
	return site;
}

/* A listener whose queue is full; open() makes room. */
static Site connect_site(bool dial)
{
	Site site{dial ? "dial" : "connect", {}, {}};
	site.path = scratch_path("deaf");
	int listener = make_listener(site.path, 0);
	site.fds = {listener, connect_now(site.path)};
	site.call = [dial, path = site.path]() -> long {
		if (dial)
			return close_if_open(weft_dial(("unix:" + path).c_str()));
		sockaddr_un address = unix_address(path);
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int error = weft_connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address));
		EXPECT_EQ(0, weft_close(fd));
		return error == 0 ? 1 : error;
	};
	site.open = [=] { EXPECT_EQ(0, close(accept(listener, nullptr, nullptr))); };
	return site;
}

static Site openat_site()
{
	Site site{"openat", {}, {}};
	site.path = scratch_path("fifo");
	unlink(site.path.c_str());
	EXPECT_EQ(0, mkfifo(site.path.c_str(), 0600));
	auto writer = std::make_shared<int>(-1);
	site.call = [path = site.path] {
		return close_if_open(weft_openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0));
	};
	site.clear = [writer] { EXPECT_EQ(0, close(*writer)); };
	/* Opening for both never waits, and counts as a writer. */
	site.open = [path = site.path, writer] {
		*writer = open(path.c_str(), O_RDWR | O_CLOEXEC);
		EXPECT_GE(*writer, 0);
	};
	return site;
}

static long select_fd(weft_case_op op, int fd)
{
	weft_case cases[] = {{op, nullptr, nullptr, fd, 77}};
	int index = weft_select(cases, 1, WEFT_FOREVER);
	EXPECT_EQ(index == 0 ? 0 : 77, cases[0].status);
	return index == 0 ? 1 : index;
}

static Site readiness_site(const char *name, bool output, const std::function<long(int)> &wait)
{
	std::vector<int> fds = make_pair(true, output);
	Site site{name, [=] { return wait(fds[output ? 1 : 0]); }, {}};
	site.open = [=] {
		if (output)
			return drain(fds[0]);
		EXPECT_EQ(1, write(fds[1], "x", 1));
	};
	site.state = [=] { return queued(fds[0]); };
	site.fds = fds;
	return site;
}

using Kind = std::function<Site()>;
static const std::vector<Kind> kinds = {
	[] {
		return input_site(
			"read", true, [](int fd, char *byte) { return weft_read(fd, byte, 1); });
	},
	[] {
		return input_site("read_full", true,
			[](int fd, char *byte) { return weft_read_full(fd, byte, 1); });
	},
	[] {
		return input_site("recv", false,
			[](int fd, char *byte) { return weft_recv(fd, byte, 1, 0); });
	},
	[] { return output_site("write", true, [](int fd) { return weft_write(fd, "y", 1); }); },
	[] {
		return output_site(
			"write_full", true, [](int fd) { return weft_write_full(fd, "y", 1); });
	},
	[] { return output_site("send", false, [](int fd) { return weft_send(fd, "y", 1, 0); }); },
	[] {
		return output_site(
			"send_full", false, [](int fd) { return weft_send_full(fd, "y", 1, 0); });
	},
	accept_site,
	[] { return connect_site(false); },
	[] { return connect_site(true); },
	openat_site,
	[] {
		return readiness_site("poll", false,
			[](int fd) { return weft_poll(fd, POLLIN) == POLLIN ? 1L : weft_check(); });
	},
	[] {
		return readiness_site("select READABLE", false,
			[](int fd) { return select_fd(WEFT_CASE_READABLE, fd); });
	},
	[] {
		return readiness_site("select WRITABLE", true,
			[](int fd) { return select_fd(WEFT_CASE_WRITABLE, fd); });
	},
};

enum way {
	SCOPE_CANCEL,
	OUTER_CANCEL,
	OPENER_CANCEL,
	SIBLING_ERROR,
	SCOPE_DEADLINE,
	OUTER_DEADLINE,
	WAYS
};
static const char *const way_names[] = {"cancel of the scope", "cancel of the outer scope",
	"weft_cancel of the opener", "error of a sibling", "deadline of the scope",
	"deadline of the outer scope"};

static int error_of(int way)
{
	return way < SCOPE_DEADLINE ? -ECANCELED : -ETIMEDOUT;
}

static uint64_t operations_in_flight()
{
	weft_stats stats;
	EXPECT_GT(weft_stats_get(nullptr, &stats, nullptr, 0), 0);
	return stats.total.ops - stats.total.completions;
}

/* Runs body as the child of the inner of two scopes, and lets the level come when `come` says so. */
static void run_body(
	int way, weft_ns at, const std::function<void()> &body, const std::function<bool()> &come)
{
	weft_fiber *opener = spawn([&] {
		weft_scope outer, inner;
		EXPECT_EQ(0, weft_scope_open(&outer, way == OUTER_DEADLINE ? at : WEFT_FOREVER));
		EXPECT_EQ(0, weft_scope_open(&inner, way == SCOPE_DEADLINE ? at : WEFT_FOREVER));
		add(inner, [&] { return body(), 0; });
		bool was = weft_shield(true);
		while (!come())
			weft_sleep(50 * WEFT_US);
		weft_shield(was);
		if (way == SCOPE_CANCEL)
			weft_scope_cancel(&inner);
		if (way == OUTER_CANCEL)
			weft_scope_cancel(&outer);
		if (way == OPENER_CANCEL)
			weft_cancel(weft_self());
		if (way == SIBLING_ERROR)
			add(inner, [] { return -EIO; });
		EXPECT_EQ(way == SIBLING_ERROR ? -EIO : error_of(way), weft_scope_close(&inner));
		weft_scope_close(&outer);
	});
	join(opener);
}

/* A call of this fiber's goes through. */
static void expect_works(const Site &site, const std::string &name)
{
	weft_deadline(weft_after(20 * WEFT_SEC)); /* not to hang where the tested is broken */
	long result = site.call();
	EXPECT_TRUE(site.passed(result)) << result << " " << name;
	weft_deadline(WEFT_FOREVER);
}

static void run_parked(const Site &site, int way)
{
	std::string name = std::string(site.name) + ", " + way_names[way];
	int state = site.state();
	long first = 99, second = 99;
	weft_ns back = 0, at = weft_after(2 * WEFT_MS), patience = weft_after(3 * WEFT_MS);
	std::atomic<bool> calls{false};
	auto body = [&] {
		calls = true;
		first = site.call();
		back = weft_now();
		second = site.call();
	};
	/* A select's poll may be in the ring from an earlier one, so that the number of operations tells nothing: then time has to do. */
	uint64_t before = operations_in_flight();
	auto come = [&] {
		return calls && (operations_in_flight() > before || weft_now() > patience);
	};
	run_body(way, at, body, come);
	EXPECT_EQ(error_of(way), first) << name;
	EXPECT_EQ(error_of(way), second) << name;
	EXPECT_TRUE(way < SCOPE_DEADLINE || back >= at) << name << ", too early";
	EXPECT_EQ(state, site.state()) << name;
	site.open();
	expect_works(site, name);
	close_site(site);
}

TEST_P(CancelPointsIo, WhileParked)
{
	run(GetParam(), [] {
		for (const Kind &kind : kinds)
			for (int way = 0; way < WAYS; way++)
				run_parked(kind(), way);
	});
}

static void run_ready(const Site &site, int way)
{
	std::string name = std::string(site.name) + ", " + way_names[way] + ", ready";
	site.open();
	int state = site.state();
	std::atomic<bool> runs{false};
	auto body = [&] {
		runs = true;
		while (weft_check() == 0)
			weft_yield();
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(error_of(way), site.call()) << name;
	};
	run_body(way, weft_now(), body, [&] { return runs.load(); });
	EXPECT_EQ(state, site.state()) << name;
	expect_works(site, name);
	close_site(site);
}

TEST_P(CancelPointsIo, BeforeReadiness)
{
	run(GetParam(), [] {
		for (const Kind &kind : kinds)
			for (int way = 0; way < WAYS; way++)
				run_ready(kind(), way);
	});
}

static void run_shielded(const Site &site, int way)
{
	std::string name = std::string(site.name) + ", " + way_names[way] + ", shielded";
	long first = 99, second = 99;
	std::atomic<bool> calls{false};
	weft_ns at = weft_after(WEFT_MS);
	auto body = [&] {
		weft_shield(true);
		calls = true;
		first = site.call();
		weft_shield(false);
		while (weft_check() == 0) /* it may come late */
			weft_yield();
		second = site.call();
	};
	weft_fiber *helper = spawn([&] {
		weft_sleep_until(at + WEFT_MS);
		site.open();
	});
	run_body(way, at, body, [&] { return calls.load(); });
	join(helper);
	EXPECT_TRUE(site.passed(first)) << first << " " << name;
	EXPECT_EQ(error_of(way), second) << name;
	close_site(site);
}

TEST_P(CancelPointsIo, UnderAShield)
{
	run(GetParam(), [] {
		for (const Kind &kind : kinds)
			for (int way = 0; way < WAYS; way++)
				run_shielded(kind(), way);
	});
}

TEST_P(CancelPointsIo, ShutdownAndOthersThatNeedNotWait)
{
	run(GetParam(), [] {
		std::vector<int> pair = make_pair(false, false);
		weft_scope scope;
		EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		EXPECT_EQ(0, weft_scope_cancel(&scope));
		EXPECT_EQ(-ECANCELED, weft_shutdown(pair[0], SHUT_WR));
		EXPECT_EQ(-ECANCELED, weft_openat(AT_FDCWD, "/", O_RDONLY | O_CLOEXEC, 0));
		int listener = weft_listen("127.0.0.1:0");
		EXPECT_GE(listener, 0) << "a numeric address is not waited for";
		EXPECT_EQ(0, weft_close(listener));
		EXPECT_EQ(-ECANCELED, weft_scope_close(&scope));
		EXPECT_EQ(1, weft_send(pair[0], "x", 1, 0)) << "it was not shut down";
		for (int fd : pair)
			EXPECT_EQ(0, weft_close(fd));
	});
}
