/* SPDX-License-Identifier: MIT */
/* standing_test.cc - threads that run no fibers: spares that are on their way out, and the only worker while another has its baton
 *
 * Law  a pinned fiber that is handed over while its worker stands by still runs on its worker's thread.
 * Law  a thread that cannot leave yet, for an operation in its ring, is not woken for work.
 * Law  fibers may use what a thread that has just come to stand in has made for itself. TSan has to see the order.
 * Law  where nobody can stand in the stall is a stall, and everything goes on afterwards.
 */
#include "tests/stuck/support.h"

#include <sys/resource.h>

using namespace stuck;

namespace
{

constexpr int64_t STALL = 80 * WEFT_MS;

void nap(int64_t duration = STALL)
{
	struct timespec time = {0, duration};
	EXPECT_EQ(0, syscall(SYS_nanosleep, &time, nullptr)) << strerror(errno);
}

int thread_id()
{
	return static_cast<int>(syscall(SYS_gettid));
}

class Standing : public testing::TestWithParam<Machine>
{
};

std::string name_of(const testing::TestParamInfo<Machine> &info)
{
	return machine_name(info.param);
}

/* Sleeps for a millisecond again and again, so that somebody has to stand in. */
class Beat
{
public:
	Beat()
		: fiber_(spawn([this] {
			  for (; !stop_; beats++)
				  EXPECT_EQ(0, weft_sleep(WEFT_MS));
		  }))
	{
	}
	void end()
	{
		stop_ = true;
		support::join(fiber_);
	}
	std::atomic<int> beats{0};

private:
	std::atomic<bool> stop_{false};
	weft_fiber *fiber_;
};

} // namespace

TEST_P(Standing, APinnedChildOfWhoComesBackStaysHere)
{
	static constexpr int ROUNDS = sanitized ? 20 : 60;
	Runtime runtime(GetParam());
	runtime.run([] {
		Beat beat;
		std::atomic<bool> stop{false};
		weft_attr pinned{"pinned", 0, WEFT_PINNED};
		/* Keeps the thread that stands in looking for what to run next. */
		weft_fiber *busy = spawn([&stop] {
			while (!stop)
				weft_yield();
		});
		weft_fiber *hog = spawn(
			[&pinned, &beat] {
				for (int round = 0; round < ROUNDS; round++) {
					int here = thread_id(), before = beat.beats;
					for (int i = 0; i < 1000 && beat.beats == before; i++)
						nap(15 * WEFT_MS);
					EXPECT_GT(beat.beats, before) << "somebody stood in";
					/* The first call after the stall: it takes the child at once, and its worker stands by. */
					weft_fiber *child = spawn(
						[here] {
							int first = thread_id();
							weft_yield();
							EXPECT_EQ(first, thread_id());
							return first == here;
						},
						pinned);
					EXPECT_EQ(1, support::join(child));
				}
			},
			pinned);
		support::join(hog);
		stop = true;
		support::join(busy);
		beat.end();
	});
	runtime.stop();
}

INSTANTIATE_TEST_SUITE_P(One, Standing, testing::ValuesIn(machines({1})), name_of);

class Lingering : public testing::TestWithParam<Machine>
{
};

/* A listener whose queue is full: who connects waits. */
class Deaf
{
public:
	Deaf()
	{
		socklen_t size = sizeof(address_);
		address_.sin_family = AF_INET;
		address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		EXPECT_EQ(0, bind(listener_, generic(), size));
		EXPECT_EQ(0, listen(listener_, 0));
		EXPECT_EQ(0, getsockname(listener_, generic(), &size));
		for (int &caller : callers_) {
			caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
			connect(caller, generic(), size);
		}
	}
	Deaf(const Deaf &) = delete;
	Deaf &operator=(const Deaf &) = delete;
	~Deaf()
	{
		close(listener_);
		for (int caller : callers_)
			close(caller);
	}
	/* On a fiber. */
	int call()
	{
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int error = weft_connect(fd, generic(), sizeof(address_));
		EXPECT_EQ(0, weft_close(fd));
		return error;
	}

private:
	sockaddr *generic()
	{
		return reinterpret_cast<sockaddr *>(&address_);
	}
	sockaddr_in address_ = {};
	int listener_ = -1;
	int callers_[4] = {-1, -1, -1, -1};
};

/* The name comes from who has started the thread, and so may be late. */
bool on_a_spare()
{
	char name[16] = "";
	pthread_getname_np(pthread_self(), name, sizeof(name));
	return strncmp(name, "weft-spare", 10) == 0;
}

TEST_P(Lingering, NobodyWakesThemForWork)
{
	constexpr int CALLERS = 8;
	Runtime runtime(GetParam());
	runtime.run([] {
		Deaf deaf;
		std::vector<weft_fiber *> hogs, callers, busy;
		std::atomic<bool> lingers{false};
		auto hold = [&lingers] {
			EXPECT_TRUE(eventually([&lingers] { return lingers.load(); }));
		};
		for (unsigned i = 0; i < weft_workers() - 1; i++)
			hogs.push_back(spawn(hold));
		/* They run beside the hogs and this fiber's own stall: on threads that stand in. Whoever has
		 * come to a worker holds it, too, until one of the others is there. */
		for (int i = 0; i < CALLERS; i++)
			callers.push_back(spawn([&deaf, &lingers] {
				for (int n = 0; n < 2000 && !on_a_spare() && !lingers; n++)
					nap(10 * WEFT_MS);
				if (on_a_spare())
					lingers = true;
				return deaf.call();
			}));
		hold();
		for (weft_fiber *hog : hogs)
			support::join(hog);
		weft_sleep(200 * WEFT_MS); /* the threads are told to leave, and cannot */
		EXPECT_GT(spare_count(), 0) << "a connect that waits keeps its thread";
		weft_stats from, to;
		std::atomic<bool> stop{false};
		int64_t begin = weft_now();
		EXPECT_LT(0, weft_stats_get(nullptr, &from, nullptr, 0));
		for (unsigned i = 0; i < 2 * weft_workers(); i++)
			busy.push_back(spawn([&stop] {
				while (!stop)
					weft_yield();
			}));
		weft_sleep(100 * WEFT_MS);
		stop = true;
		EXPECT_LT(0, weft_stats_get(nullptr, &to, nullptr, 0));
		/* Each wake-up for nothing would be a sleep more: many a millisecond. */
		EXPECT_LT(static_cast<double>(to.total.sleeps - from.total.sleeps),
			2 * ms(weft_now() - begin));
		for (weft_fiber *each : busy)
			support::join(each);
		for (weft_fiber *caller : callers) {
			EXPECT_EQ(0, weft_cancel(caller));
			EXPECT_EQ(-ECANCELED, support::join(caller));
		}
		EXPECT_TRUE(soon([] { return spare_count() == 0; })) << "then they leave";
	});
	runtime.stop();
}

static std::vector<Machine> with_rings(std::vector<unsigned> workers)
{
	std::vector<Machine> all;
	for (const Machine &machine : machines(workers))
		if (machine.engine == WEFT_ENGINE_URING)
			all.push_back(machine);
	return all;
}

INSTANTIATE_TEST_SUITE_P(Some, Lingering, testing::ValuesIn(with_rings({2, 4})), name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Lingering);

class Newcomers : public Standing
{
};
INSTANTIATE_TEST_SUITE_P(Some, Newcomers, testing::ValuesIn(machines({1, 2, 4})), name_of);

TEST_P(Newcomers, TheirFibersUseWhatTheyHaveMade)
{
	static constexpr int READERS = 20;
	Runtime runtime(GetParam());
	runtime.run([] {
		int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		std::atomic<int> meanwhile{0};
		std::vector<weft_fiber *> all;
		auto hold = [&meanwhile] {
			EXPECT_TRUE(eventually([&meanwhile] { return meanwhile == READERS; }))
				<< meanwhile << " while all workers were stuck";
		};
		for (unsigned i = 0; i < weft_workers() - 1; i++)
			all.push_back(spawn(hold));
		for (int i = 0; i < READERS; i++)
			all.push_back(spawn([&] {
				char byte;
				meanwhile += weft_pread(file, &byte, 1, 0) == 1 &&
					close(-1) == -1 && errno == EBADF;
			}));
		hold();
		for (weft_fiber *each : all)
			support::join(each);
		EXPECT_EQ(0, close(file));
	});
	runtime.stop();
}

/* No descriptor is left for an engine of its own. */
TEST_P(Standing, WhereNobodyCanEverythingGoesOnAfterwards)
{
	struct rlimit all, none;
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &all));
	Runtime runtime(GetParam());
	runtime.run([&] {
		Beat beat;
		weft_sleep(5 * WEFT_MS);
		none = {3, all.rlim_max};
		EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		for (int round = 0; round < 3; round++) {
			int beats = beat.beats;
			nap();
			EXPECT_TRUE(soon([&] { return beat.beats > beats + 5; }))
				<< "after stall " << round;
		}
		EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &all));
		int beats = beat.beats; /* for a second it is not tried again */
		EXPECT_TRUE(eventually([&] { return beat.beats > beats + 5; })) << "now somebody can";
		beat.end();
	});
	runtime.stop();
}
