/* SPDX-License-Identifier: MIT */
/* budget_test.cc - fibers whose calls never have to wait give way all the same
 *
 * Law  on one worker, and without rescue, another ready fiber runs at least once in WF_RUN_CREDIT calls of such a fiber, whatever the calls are and
 *      whatever they return.
 * Law  the try forms, and whatever else does not park, never give way.
 * Law  a fiber that has nobody to give way to still lets timers fire, and stays where it is.
 */
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "tests/sync/parties.h"

using namespace support;

namespace
{

constexpr long CREDIT = 128; /* WF_RUN_CREDIT; limits.h is no C++ */
constexpr long ROUNDS = 20 * CREDIT;

weft_config alone(unsigned workers = 1)
{
	weft_config how = config(workers);
	how.rescue = WEFT_RESCUE_OFF;
	how.long_run = -1;
	return how;
}

/* A fiber that is always ready, and sees how far a number has come each time that it runs. */
class Witness
{
public:
	explicit Witness(const std::atomic<long> &number) : number_(number)
	{
		fiber_ = spawn([this] {
			long seen = number_;
			while (!done_) {
				weft_yield();
				long now = number_;
				gap_ = std::max(gap_.load(), now - seen);
				seen = now;
				runs_++;
			}
		});
		while (runs_ == 0)
			weft_yield();
	}
	~Witness()
	{
		done_ = true;
		join(fiber_);
	}
	long gap() const
	{
		return gap_;
	}
	long runs() const
	{
		return runs_;
	}

private:
	const std::atomic<long> &number_;
	std::atomic<bool> done_{false};
	std::atomic<long> gap_{0}, runs_{0};
	weft_fiber *fiber_;
};

/* What one call in a loop looks like; it says itself how many calls it counts for. */
struct Hog {
	const char *name;
	std::function<std::function<void()>()> make;
	long calls;
};

void PrintTo(const Hog &hog, std::ostream *out)
{
	*out << hog.name;
}

struct Chan {
	explicit Chan(size_t capacity)
	{
		EXPECT_EQ(0, weft_chan_new(&chan, sizeof(long), capacity));
	}
	Chan(const Chan &) = delete;
	Chan &operator=(const Chan &) = delete;
	~Chan()
	{
		weft_chan_free(chan);
	}
	weft_chan *chan = nullptr;
	long value = 0;
};

std::function<void()> send_and_receive()
{
	auto c = std::make_shared<Chan>(4);
	return [c] {
		EXPECT_EQ(0, weft_chan_send(c->chan, &c->value));
		EXPECT_EQ(0, weft_chan_recv(c->chan, &c->value));
	};
}

std::function<void()> receive_from_closed()
{
	auto c = std::make_shared<Chan>(0);
	weft_chan_close(c->chan);
	return [c] { EXPECT_EQ(-EPIPE, weft_chan_recv(c->chan, &c->value)); };
}

std::function<void()> select_one_of_two()
{
	auto full = std::make_shared<Chan>(1), empty = std::make_shared<Chan>(1);
	return [full, empty] {
		weft_case cases[2]{};
		cases[0].op = weft_chan_len(full->chan) == 0 ? WEFT_CASE_SEND : WEFT_CASE_RECV;
		cases[0].chan = full->chan;
		cases[0].element = &full->value;
		cases[1].op = WEFT_CASE_RECV;
		cases[1].chan = empty->chan;
		cases[1].element = &empty->value;
		EXPECT_EQ(0, weft_select(cases, 2, WEFT_FOREVER));
	};
}

std::function<void()> lock_mutex()
{
	auto mutex = std::make_shared<weft_mutex>();
	return [mutex] {
		weft_mutex_lock(mutex.get());
		EXPECT_EQ(0, weft_mutex_unlock(mutex.get()));
	};
}

std::function<void()> lock_mutex_by()
{
	auto mutex = std::make_shared<weft_mutex>();
	return [mutex] {
		EXPECT_EQ(0, weft_mutex_lock_by(mutex.get(), 0));
		EXPECT_EQ(0, weft_mutex_unlock(mutex.get()));
	};
}

std::function<void()> lock_rwlock()
{
	auto lock = std::make_shared<weft_rwlock>();
	return [lock] {
		EXPECT_EQ(0, weft_rwlock_rdlock(lock.get()));
		EXPECT_EQ(0, weft_rwlock_unlock(lock.get()));
		EXPECT_EQ(0, weft_rwlock_wrlock(lock.get()));
		EXPECT_EQ(0, weft_rwlock_unlock(lock.get()));
	};
}

std::function<void()> take_permit()
{
	auto sem = std::make_shared<weft_sem>();
	weft_sem_init(sem.get(), 1);
	return [sem] {
		EXPECT_EQ(0, weft_sem_wait(sem.get()));
		EXPECT_EQ(0, weft_sem_post(sem.get()));
	};
}

std::function<void()> wait_for_what_is_so()
{
	struct So {
		weft_event event{};
		weft_waitgroup group{};
		weft_once once{};
		uint32_t word = 1;
	};
	auto so = std::make_shared<So>();
	weft_event_set(&so->event);
	return [so] {
		EXPECT_EQ(0, weft_event_wait(&so->event));
		EXPECT_EQ(0, weft_waitgroup_wait(&so->group));
		EXPECT_EQ(0,
			weft_once_do(
				&so->once, [](void *) -> void * { return nullptr; }, nullptr));
		EXPECT_EQ(-EAGAIN, weft_futex_wait(&so->word, 0));
	};
}

std::function<void()> barrier_of_one()
{
	auto barrier = std::make_shared<weft_barrier>();
	EXPECT_EQ(0, weft_barrier_init(barrier.get(), 1));
	return [barrier] { EXPECT_EQ(1, weft_barrier_wait(barrier.get())); };
}

std::function<void()> open_and_close_scope()
{
	return [] {
		weft_scope scope;
		EXPECT_EQ(0, weft_scope_open(&scope, WEFT_FOREVER));
		EXPECT_EQ(0, weft_scope_close(&scope));
	};
}

std::function<void()> join_ended()
{
	auto fibers = std::make_shared<std::vector<weft_fiber *>>();
	std::atomic<long> ended{0};
	const long count = tsan ? 6 * CREDIT : ROUNDS;
	for (long i = 0; i < count; i++)
		fibers->push_back(spawn([&ended] { ended++; }));
	while (ended < count)
		weft_yield();
	return [fibers] {
		if (fibers->empty())
			return;
		EXPECT_EQ(0, weft_join(fibers->back(), nullptr));
		fibers->pop_back();
	};
}

std::function<void()> refused()
{
	return [] {
		char byte;
		EXPECT_EQ(-EBADF, weft_read(-1, &byte, 0));
		EXPECT_EQ(-EINVAL, weft_pread(0, &byte, 1, -1));
	};
}

/* Each by a fiber that has been cancelled and goes on all the same. */
std::function<void()> cancelled()
{
	EXPECT_EQ(0, weft_cancel(weft_self()));
	auto c = std::make_shared<Chan>(0);
	return [c] {
		char byte;
		EXPECT_EQ(-ECANCELED, weft_chan_recv(c->chan, &c->value));
		EXPECT_EQ(-ECANCELED, weft_sleep(WEFT_MS));
		EXPECT_EQ(-ECANCELED, weft_read(0, &byte, 1));
		EXPECT_EQ(-ECANCELED,
			weft_offload([](void *) -> void * { return nullptr; }, nullptr, nullptr));
	};
}

/* Joining hands over to a child that has not started, and that one's end hands back. */
std::function<void()> spawn_and_join_with(unsigned flags, int children)
{
	return [flags, children] {
		weft_attr attr{};
		attr.flags = flags;
		std::vector<weft_fiber *> all(static_cast<size_t>(children));
		for (weft_fiber *&child : all)
			EXPECT_EQ(0,
				weft_spawn_attr(
					&child, &attr, [](void *arg) { return arg; }, nullptr));
		for (weft_fiber *child : all)
			EXPECT_EQ(0, weft_join(child, nullptr));
	};
}

std::function<void()> spawn_and_join()
{
	return spawn_and_join_with(0, 1);
}

std::function<void()> spawn_and_join_small()
{
	return spawn_and_join_with(WEFT_SMALL, 1);
}

std::function<void()> spawn_and_join_pinned()
{
	return spawn_and_join_with(WEFT_PINNED, 1);
}

std::function<void()> spawn_and_join_some()
{
	return spawn_and_join_with(0, 10);
}

std::vector<Hog> every_hog()
{
	return {
		{"channel", send_and_receive, 2},
		{"closed", receive_from_closed, 1},
		{"select", select_one_of_two, 1},
		{"mutex", lock_mutex, 1},
		{"lock_by", lock_mutex_by, 1},
		{"rwlock", lock_rwlock, 2},
		{"semaphore", take_permit, 1},
		{"so", wait_for_what_is_so, 4},
		{"barrier", barrier_of_one, 1},
		{"scope", open_and_close_scope, 1},
		{"join", join_ended, 1},
		{"refused", refused, 2},
		{"cancelled", cancelled, 4},
		{"spawn", spawn_and_join, 1},
		{"spawn_small", spawn_and_join_small, 1},
		{"spawn_pinned", spawn_and_join_pinned, 1},
		{"spawn_some", spawn_and_join_some, 10},
	};
}

class Budget : public testing::TestWithParam<Hog>
{
};

TEST_P(Budget, AnotherFiberRunsOnceInACredit)
{
	const Hog &hog = GetParam();
	run(alone(), [&hog] {
		std::atomic<long> calls{0};
		Witness witness(calls);
		long before = 0;
		weft_fiber *fiber = spawn([&] {
			std::function<void()> call = hog.make();
			weft_yield();
			before = witness.runs();
			for (long i = 0; i < ROUNDS; i++) {
				call();
				calls += hog.calls;
			}
			EXPECT_GT(witness.runs(), before);
		});
		join(fiber);
		EXPECT_GE(witness.gap(), 1);
		EXPECT_LE(witness.gap(), CREDIT + hog.calls);
	});
}

INSTANTIATE_TEST_SUITE_P(Hogs, Budget, testing::ValuesIn(every_hog()),
	[](const testing::TestParamInfo<Hog> &hog) { return std::string(hog.param.name); });

/* The same of fibers that are scheduled by other ways. */
void mutex_hog(weft_attr attr)
{
	struct Shared {
		weft_mutex mutex{};
		std::atomic<long> calls{0};
	};
	static Shared shared;
	shared.calls = 0;
	auto body = [](void *) -> void * {
		for (long i = 0; i < ROUNDS; i++) {
			weft_mutex_lock(&shared.mutex);
			weft_mutex_unlock(&shared.mutex);
			shared.calls++;
		}
		return nullptr;
	};
	run(alone(), [&] {
		Witness witness(shared.calls);
		weft_fiber *fiber = nullptr;
		ASSERT_EQ(0, weft_spawn_attr(&fiber, &attr, body, nullptr));
		EXPECT_EQ(0, weft_join(fiber, nullptr));
		EXPECT_LE(witness.gap(), CREDIT + 1);
	});
}

TEST(BudgetOf, APinnedFiber)
{
	weft_attr attr{};
	attr.flags = WEFT_PINNED;
	mutex_hog(attr);
}

TEST(BudgetOf, ASmallFiber)
{
	weft_attr attr{};
	attr.flags = WEFT_SMALL;
	mutex_hog(attr);
}

TEST(BudgetOf, AFiberWithItsOwnFloatingPointState)
{
	weft_attr attr{};
	attr.flags = WEFT_FP_ENV;
	mutex_hog(attr);
}

/* What gives way holds nothing: the other fiber finds the mutex free each time. */
TEST(BudgetOf, NobodyIsFoundHoldingAMutex)
{
	run(alone(), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		std::atomic<bool> done{false};
		weft_fiber *looker = spawn([&] {
			long looks = 0;
			for (; !done; looks++) {
				EXPECT_TRUE(is_free(mutex));
				weft_yield();
			}
			return looks;
		});
		for (long i = 0; i < ROUNDS; i++) {
			weft_mutex_lock(&mutex);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		}
		done = true;
		EXPECT_GE(join(looker), ROUNDS / CREDIT - 1);
	});
}

TEST(BudgetOf, CallsThatDoNotParkDoNotGiveWay)
{
	run(alone(), [] {
		std::atomic<long> unused{0};
		Witness witness(unused);
		Chan c(1), empty(0);
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_rwlock lock = WEFT_RWLOCK_INIT;
		weft_sem sem = WEFT_SEM_INIT(1);
		weft_event event = WEFT_EVENT_INIT;
		weft_yield();
		long before = witness.runs();
		for (long i = 0; i < ROUNDS; i++) {
			weft_case nothing{};
			nothing.op = WEFT_CASE_RECV;
			nothing.chan = empty.chan;
			nothing.element = &empty.value;
			EXPECT_EQ(0, weft_chan_try_send(c.chan, &c.value));
			EXPECT_EQ(0, weft_chan_try_recv(c.chan, &c.value));
			EXPECT_EQ(-EAGAIN, weft_select(&nothing, 1, 0));
			EXPECT_TRUE(is_free(mutex));
			EXPECT_TRUE(is_free(lock));
			EXPECT_EQ(0, weft_sem_trywait(&sem));
			EXPECT_EQ(0, weft_sem_post(&sem));
			weft_event_set(&event);
			weft_event_reset(&event);
			EXPECT_EQ(0, weft_check());
		}
		EXPECT_EQ(before, witness.runs());
	});
}

TEST(BudgetOf, SpawningDoesNotGiveWay)
{
	run(alone(), [] {
		std::atomic<long> unused{0}, ran{0};
		const long count = tsan ? 6 * CREDIT : ROUNDS;
		Witness witness(unused);
		weft_yield();
		long before = witness.runs();
		for (long i = 0; i < count; i++)
			EXPECT_EQ(0, weft_detach(spawn([&ran] { ran++; })));
		EXPECT_EQ(0, ran.load());
		EXPECT_EQ(before, witness.runs());
		while (ran < count)
			weft_yield();
	});
}

/* On plain threads nothing is counted, and nothing goes wrong. */
TEST(BudgetOf, PlainThreads)
{
	Chan c(1);
	weft_mutex mutex = WEFT_MUTEX_INIT;
	for (long i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(0, weft_chan_send(c.chan, &c.value));
		EXPECT_EQ(0, weft_chan_recv(c.chan, &c.value));
		weft_mutex_lock(&mutex);
		EXPECT_EQ(0, weft_mutex_unlock(&mutex));
	}
}

class BudgetOn : public Workers
{
};
FOR_WORKERS(BudgetOn);

/* Nobody else is ready on its worker: the timer must be looked at all the same. */
TEST_P(BudgetOn, ALoneFiberLetsTimersFire)
{
	run(alone(GetParam()), [] {
		std::atomic<bool> done{false};
		weft_fiber *sleeper = spawn([&] {
			for (int i = 0; i < 5; i++)
				EXPECT_EQ(0, weft_sleep(WEFT_MS));
			done = true;
		});
		Chan c(1);
		while (!done) {
			EXPECT_EQ(0, weft_chan_send(c.chan, &c.value));
			EXPECT_EQ(0, weft_chan_recv(c.chan, &c.value));
		}
		join(sleeper);
	});
}

/* CR3: the others sleep on. */
TEST_P(BudgetOn, ALoneFiberStaysAndWakesNobody)
{
	run(alone(GetParam()), [] {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_stats before, after;
		EXPECT_GT(weft_stats_get(nullptr, &before, nullptr, 0), 0);
		for (long i = 0; i < ROUNDS; i++) {
			weft_mutex_lock(&mutex);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
		}
		EXPECT_GT(weft_stats_get(nullptr, &after, nullptr, 0), 0);
		EXPECT_GE(static_cast<long>(after.total.yields - before.total.yields),
			ROUNDS / CREDIT - 1);
		EXPECT_EQ(before.total.interrupts, after.total.interrupts);
		EXPECT_EQ(before.total.steals, after.total.steals);
	});
}

/* Fibers and threads in each other's way, giving way in the middle of it. */
TEST_P(BudgetOn, NothingIsLost)
{
	Chan c(3);
	std::atomic<long> sum{0};
	const long each = times(20000, 2000);
	on_all(GetParam(), [&](int party) {
		for (long i = 0; i < each; i++) {
			long value = party + 1;
			EXPECT_EQ(0, weft_chan_send(c.chan, &value));
			EXPECT_EQ(0, weft_chan_recv(c.chan, &value));
			sum += value;
		}
	});
	EXPECT_EQ(each * (parties + 1) * parties / 2, sum.load());
}

} // namespace
