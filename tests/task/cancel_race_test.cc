/* SPDX-License-Identifier: MIT */
/* cancel_race_test.cc - cancellation, and deadlines, that meet a completion
 *
 * Law  a call that completes while its fiber is cancelled, or late, has exactly one of the two outcomes, whatever it waits for and however
 *      the level comes; nothing is lost and nothing happens twice: what the failed call did not take is there for the next.
 * Law  on virtual time, one nanosecond decides.
 */
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <random>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include "tests/core/support.h"

using namespace support;

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

/* What one round is made of. */
struct Setting {
	std::minstd_rand random;
	weft_ns at = 0; /* when a sleep ends */
	int in = -1, out = -1;
	class Partner *partner = nullptr; /* who completes; NULL: a fiber */
};

/* A call of the victim, and what another fiber does that lets it through. */
struct Race {
	/* The victim: 0 or more when it went through. */
	std::function<long()> wait;
	/* The other: once, at any time. It may wait for settle(). */
	std::function<void()> complete = [] {};
	/* The other, before all this. */
	std::function<void()> begin = [] {};
	/* A third, after the victim's end; true: it went through. It may wait for complete(). */
	std::function<void(bool)> settle = [](bool) {};
	/* After the end of both. */
	std::function<void(bool)> check = [](bool) {};
};

static Race sem_race(Setting &)
{
	auto sem = std::make_shared<weft_sem>();
	Race race{[=] { return weft_sem_wait(sem.get()); }};
	race.complete = [=] { EXPECT_EQ(0, weft_sem_post(sem.get())); };
	race.check = [=](bool done) { EXPECT_EQ(done ? -EAGAIN : 0, weft_sem_trywait(sem.get())); };
	return race;
}

static Race event_race(Setting &)
{
	auto event = std::make_shared<weft_event>();
	Race race{[=] { return weft_event_wait(event.get()); }};
	race.complete = [=] { weft_event_set(event.get()); };
	race.check = [=](bool) { EXPECT_EQ(0, weft_event_wait(event.get())); };
	return race;
}

static Race waitgroup_race(Setting &)
{
	auto group = std::make_shared<weft_waitgroup>();
	EXPECT_EQ(0, weft_waitgroup_add(group.get(), 1));
	Race race{[=] { return weft_waitgroup_wait(group.get()); }};
	race.complete = [=] { EXPECT_EQ(0, weft_waitgroup_done(group.get())); };
	race.check = [=](bool) { EXPECT_EQ(-EINVAL, weft_waitgroup_done(group.get())); };
	return race;
}

static Race mutex_race(Setting &)
{
	auto mutex = std::make_shared<weft_mutex>();
	auto unlock = [=] { EXPECT_EQ(0, weft_mutex_unlock(mutex.get())); };
	Race race;
	race.begin = [=] { weft_mutex_lock(mutex.get()); };
	race.wait = [=] {
		int error = weft_mutex_lock_by(mutex.get(), WEFT_FOREVER);
		if (error == 0)
			unlock();
		return error;
	};
	race.complete = unlock;
	race.check = [=](bool) { EXPECT_EQ(0, weft_mutex_trylock(mutex.get())); };
	return race;
}

static Race rwlock_race(bool writes)
{
	auto shared = std::make_shared<weft_rwlock>();
	auto unlock = [=] { EXPECT_EQ(0, weft_rwlock_unlock(shared.get())); };
	auto lock = [=](bool write) {
		return write ? weft_rwlock_wrlock(shared.get()) : weft_rwlock_rdlock(shared.get());
	};
	Race race;
	race.begin = [=] { EXPECT_EQ(0, lock(!writes)); };
	race.wait = [=] {
		int error = lock(writes);
		if (error == 0)
			unlock();
		return error;
	};
	race.complete = unlock;
	race.check = [=](bool) { EXPECT_EQ(0, weft_rwlock_trywrlock(shared.get())); };
	return race;
}

/* Two wait, and one signal comes: one of them has it. Each sets its event with the mutex held, until it waits. */
static Race cond_race(Setting &)
{
	struct State {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		weft_event first = WEFT_EVENT_INIT, second = WEFT_EVENT_INIT;
		weft_fiber *fiber;
		int wait(weft_event *event)
		{
			weft_mutex_lock(&mutex);
			weft_event_set(event);
			int error = weft_cond_wait(&cond, &mutex);
			EXPECT_EQ(0, weft_mutex_unlock(&mutex));
			return error;
		}
	};
	auto state = std::make_shared<State>();
	state->fiber = spawn([=] {
		EXPECT_EQ(0, weft_event_wait(&state->first));
		return state->wait(&state->second);
	});
	Race race{[=] { return state->wait(&state->first); }};
	race.complete = [=] {
		EXPECT_EQ(0, weft_event_wait(&state->second));
		weft_mutex_lock(&state->mutex);
		weft_cond_signal(&state->cond);
		weft_mutex_unlock(&state->mutex);
	};
	race.check = [=](bool done) {
		if (done)
			weft_cancel(state->fiber);
		EXPECT_EQ(done ? -ECANCELED : 0, join(state->fiber)) << "a signal lost, or used twice";
	};
	return race;
}

static weft_chan *new_chan(size_t capacity)
{
	weft_chan *chan = nullptr;
	EXPECT_EQ(0, weft_chan_new(&chan, sizeof(int), capacity));
	return chan;
}

static void put(weft_chan *chan, int value)
{
	EXPECT_EQ(0, weft_chan_send(chan, &value));
}

static void get(weft_chan *chan, int expected)
{
	int got = -1;
	EXPECT_EQ(0, weft_chan_recv(chan, &got));
	EXPECT_EQ(expected, got);
}

static Race send_race(size_t capacity)
{
	weft_chan *chan = new_chan(capacity);
	if (capacity > 0)
		put(chan, 1);
	Race race;
	race.wait = [=] {
		int value = 2;
		return weft_chan_send(chan, &value);
	};
	if (capacity > 0) {
		race.complete = [=] { get(chan, 1); };
		race.check = [=](bool done) {
			EXPECT_EQ(done ? 1u : 0u, weft_chan_len(chan));
			if (done)
				get(chan, 2);
			weft_chan_free(chan);
		};
		return race;
	}
	auto got = std::make_shared<int>(-1);
	race.complete = [=] { EXPECT_EQ(0, weft_chan_recv(chan, got.get())); };
	race.settle = [=](bool done) {
		if (!done)
			put(chan, 3);
	};
	race.check = [=](bool done) {
		EXPECT_EQ(done ? 2 : 3, *got);
		weft_chan_free(chan);
	};
	return race;
}

static Race recv_race(size_t capacity)
{
	weft_chan *chan = new_chan(capacity);
	Race race;
	race.wait = [=] {
		int got = -1;
		int error = weft_chan_recv(chan, &got);
		EXPECT_EQ(error == 0 ? 4 : -1, got);
		return error;
	};
	race.complete = [=] { put(chan, 4); };
	race.settle = [=](bool done) {
		if (!done)
			get(chan, 4);
	};
	race.check = [=](bool) {
		int got = -1;
		EXPECT_EQ(-EAGAIN, weft_chan_try_recv(chan, &got));
		weft_chan_free(chan);
	};
	return race;
}

/* Three cases, one of which becomes ready. */
static Race select_race(Setting &setting)
{
	weft_chan *in = new_chan(1), *out = new_chan(1), *meeting = new_chan(0);
	unsigned which = setting.random() % 3;
	put(out, 1);
	Race race;
	race.wait = [=] {
		int got = -1, given = 2, met = -1;
		weft_case cases[] = {
			{WEFT_CASE_RECV, in, &got, -1, 77},
			{WEFT_CASE_SEND, out, &given, -1, 77},
			{WEFT_CASE_RECV, meeting, &met, -1, 77},
		};
		int index = weft_select(cases, 3, WEFT_FOREVER);
		EXPECT_TRUE(index < 0 || index == static_cast<int>(which)) << index;
		EXPECT_EQ(index == 0 ? 3 : -1, got);
		EXPECT_EQ(index == 2 ? 4 : -1, met);
		return index;
	};
	race.complete = [=] {
		if (which == 1)
			get(out, 1);
		else
			put(which == 0 ? in : meeting, which == 0 ? 3 : 4);
	};
	race.settle = [=](bool done) {
		if (!done && which == 2)
			get(meeting, 4);
	};
	race.check = [=](bool done) {
		EXPECT_EQ(!done && which == 0 ? 1u : 0u, weft_chan_len(in));
		EXPECT_EQ(!done && which == 1 ? 0u : 1u, weft_chan_len(out));
		if (weft_chan_len(out) == 1)
			get(out, which == 1 ? 2 : 1);
		int got = -1;
		EXPECT_EQ(-EAGAIN, weft_chan_try_recv(meeting, &got));
		for (weft_chan *chan : {in, out, meeting})
			weft_chan_free(chan);
	};
	return race;
}

static Race join_race(Setting &)
{
	auto end = std::make_shared<weft_event>();
	weft_fiber *target = spawn([=] { return weft_event_wait(end.get()) == 0 ? 5 : 6; });
	auto take = [=] {
		void *result = nullptr;
		int error = weft_join(target, &result);
		EXPECT_EQ(error == 0 ? 5 : 0, reinterpret_cast<intptr_t>(result));
		return error;
	};
	Race race{take};
	race.complete = [=] { weft_event_set(end.get()); };
	race.check = [=](bool done) { EXPECT_EQ(done ? -ESRCH : 0, take()); };
	return race;
}

static Race futex_race(Setting &)
{
	struct State {
		uint32_t word = 0;
		int result = 99, woken = 99;
	};
	auto state = std::make_shared<State>();
	Race race;
	race.wait = [=] {
		state->result = weft_futex_wait(&state->word, 0);
		return state->result == -EAGAIN ? 0 : state->result; /* it came after the change */
	};
	race.complete = [=] {
		__atomic_store_n(&state->word, 1, __ATOMIC_RELEASE);
		state->woken = weft_futex_wake(&state->word, 1);
	};
	race.check = [=](bool) {
		EXPECT_EQ(state->result == 0 ? 1 : 0, state->woken);
		EXPECT_EQ(0, weft_futex_wake(&state->word, 1));
	};
	return race;
}

static Race barrier_race(Setting &)
{
	struct State {
		weft_barrier barrier = WEFT_BARRIER_INIT(2);
		std::atomic<int> returned{0}, last{0};
		int arrive()
		{
			int result = weft_barrier_wait(&barrier);
			returned += result >= 0;
			last += result == 1;
			return result;
		}
	};
	auto state = std::make_shared<State>();
	Race race{[=] { return state->arrive(); }};
	race.complete = [=] { EXPECT_GE(state->arrive(), 0); };
	race.settle = [=](bool done) { EXPECT_GE(done ? 0 : state->arrive(), 0); };
	race.check = [=](bool) {
		EXPECT_EQ(2, state->returned.load());
		EXPECT_EQ(1, state->last.load());
	};
	return race;
}

static Race sleep_race(Setting &setting)
{
	return {[at = setting.at] {
		int error = weft_sleep_until(at);
		EXPECT_TRUE(error != 0 || weft_now() >= at);
		return error;
	}};
}

/* One byte, which is in one place. */
static Race input_race(Setting &setting, const std::function<long(int, char *)> &take)
{
	int in = setting.in, out = setting.out;
	Race race;
	race.wait = [=] {
		char byte = '-';
		long result = take(in, &byte);
		EXPECT_EQ(result == 1 ? 'x' : '-', byte);
		return result;
	};
	race.complete = [=] { EXPECT_EQ(1, write(out, "x", 1)); };
	race.check = [=](bool done) {
		int bytes = -1;
		char byte = 0;
		EXPECT_EQ(0, ioctl(in, FIONREAD, &bytes));
		EXPECT_EQ(done ? 0 : 1, bytes);
		EXPECT_EQ(bytes, bytes > 0 ? read(in, &byte, 1) : 0);
	};
	return race;
}

static Race read_race(Setting &setting)
{
	return input_race(setting, [](int fd, char *byte) { return weft_read(fd, byte, 1); });
}

static Race recv_bytes_race(Setting &setting)
{
	return input_race(setting, [](int fd, char *byte) { return weft_recv(fd, byte, 1, 0); });
}

/* Consumes nothing, whoever wins. */
static Race readable_race(Setting &setting)
{
	Race race = read_race(setting);
	race.wait = [in = setting.in] {
		weft_case cases[] = {{WEFT_CASE_READABLE, nullptr, nullptr, in, 77}};
		return weft_select(cases, 1, WEFT_FOREVER);
	};
	race.check = [check = race.check](bool) { check(false); };
	return race;
}

struct Kind {
	const char *name;
	Race (*make)(Setting &);
};
static const std::vector<Kind> kinds = {
	{"Sem", sem_race},
	{"Event", event_race},
	{"Waitgroup", waitgroup_race},
	{"Mutex", mutex_race},
	{"Rdlock", [](Setting &) { return rwlock_race(false); }},
	{"Wrlock", [](Setting &) { return rwlock_race(true); }},
	{"Cond", cond_race},
	{"SendToReceiver", [](Setting &) { return send_race(0); }},
	{"SendToFull", [](Setting &) { return send_race(1); }},
	{"RecvFromSender", [](Setting &) { return recv_race(0); }},
	{"RecvFromEmpty", [](Setting &) { return recv_race(1); }},
	{"Select", select_race},
	{"Join", join_race},
	{"Futex", futex_race},
	{"Barrier", barrier_race},
	{"Sleep", sleep_race},
	{"Read", read_race},
	{"Recv", recv_bytes_race},
	{"Readable", readable_race},
};
/* The last of them. */
static constexpr size_t in_kernel = 3;

/* How often it went each way. */
struct Tally {
	long done = 0, refused = 0;

	/* Which it was; `refusal` is the one error there may be. */
	bool count(const Kind &kind, long result, int refusal)
	{
		bool passed = result >= 0;
		EXPECT_TRUE(passed || result == refusal) << kind.name << ": " << result;
		(passed ? done : refused)++;
		return passed;
	}
};

/* A few switches and some time, so that the two meet in every order. */
static void dawdle(unsigned amount)
{
	for (unsigned i = amount % 4; i > 0; i--)
		weft_yield();
	for (unsigned i = amount / 4 % 128; i > 0; i--)
		__asm__ volatile("" ::: "memory");
}

enum way { CANCEL, SCOPE_CANCEL, SCOPE_DEADLINE, WAYS };

/* A plain thread that does one thing after the other, at the same time as fibers run. */
class Partner
{
public:
	Partner() : thread_([this] { live(); }) {}
	~Partner()
	{
		give(nullptr);
		thread_.join();
	}
	void give(std::function<void()> job)
	{
		job_ = std::move(job);
		EXPECT_EQ(0, weft_sem_post(&given_));
	}

private:
	void live()
	{
		while (weft_sem_wait(&given_) == 0 && job_ != nullptr)
			job_();
	}

	std::function<void()> job_;
	weft_sem given_ = WEFT_SEM_INIT(0);
	std::thread thread_;
};

/* The other side of a round, a fiber or the partner: begins, then completes after a while. A partner's while begins with go(). */
class Other
{
public:
	Other(const Race &race, Partner *partner, const std::function<void()> &pause)
	{
		auto job = [this, &race, pause, partner] {
			race.begin();
			weft_event_set(&begun_);
			while (partner != nullptr && !go_)
				sched_yield();
			pause();
			race.complete();
			weft_event_set(&ended_);
		};
		if (partner != nullptr)
			partner->give(job);
		else
			fiber_ = spawn(job);
		EXPECT_EQ(0, weft_event_wait(&begun_));
	}
	void go()
	{
		go_ = true;
	}
	void end()
	{
		EXPECT_EQ(0, weft_event_wait(&ended_));
		if (fiber_ != nullptr)
			join(fiber_);
	}

private:
	weft_fiber *fiber_ = nullptr;
	weft_event begun_ = WEFT_EVENT_INIT, ended_ = WEFT_EVENT_INIT;
	std::atomic<bool> go_{false};
};

static void pass_time(weft_ns until)
{
	while (weft_now() < until)
		weft_yield();
}

static void run_real(const Kind &kind, Setting &setting, int way, long round, Tally &tally)
{
	std::minstd_rand &random = setting.random;
	bool timed = way == SCOPE_DEADLINE;
	unsigned victims = random(), others = random(), mine = random();
	weft_ns start = weft_now(), deadline = start + random() % 60 * WEFT_US;
	if (timed && round % 8 < 2)
		deadline = round % 8 == 0 ? 0 : start + 20 * WEFT_SEC; /* surely before, surely after */
	setting.at = start + random() % 2 * (random() % 60) * WEFT_US;
	Race race = kind.make(setting);
	std::atomic<long> result{99};
	Other other(race, setting.partner,
		[others, timed, at = setting.at] { timed ? pass_time(at) : dawdle(others); });
	auto victim = [&] {
		dawdle(victims);
		result = race.wait();
		return 0;
	};
	auto hesitate = [&] {
		other.go();
		dawdle(mine);
		for (int i = 0; round % 4 == 0 && i < 200 && result == 99; i++)
			weft_yield(); /* let it complete, mostly */
	};
	if (way == CANCEL) {
		weft_fiber *fiber = spawn(victim);
		hesitate();
		EXPECT_EQ(0, weft_cancel(fiber));
		join(fiber);
	} else {
		weft_scope scope;
		EXPECT_EQ(0, weft_scope_open(&scope, timed ? deadline : WEFT_FOREVER));
		add(scope, victim);
		hesitate();
		EXPECT_EQ(0, timed ? 0 : weft_scope_cancel(&scope));
		int closed = weft_scope_close(&scope);
		EXPECT_TRUE(closed == (timed ? -ETIMEDOUT : -ECANCELED) || (timed && closed == 0))
			<< closed;
	}
	bool done = tally.count(kind, result, timed ? -ETIMEDOUT : -ECANCELED);
	race.settle(done);
	other.end();
	race.check(done);
}

/* Completion at `delta` from the level's time. */
static void run_timed(const Kind &kind, Setting &setting, bool late, weft_ns delta, Tally &tally)
{
	weft_ns at = weft_now() + 100;
	setting.at = at + delta;
	Race race = kind.make(setting);
	long result = 99;
	Other other(race, nullptr, [until = setting.at] { weft_sleep_until(until); });
	weft_scope scope;
	EXPECT_EQ(0, weft_scope_open(&scope, late ? at : WEFT_FOREVER));
	add(scope, [&] {
		result = race.wait();
		return 0;
	});
	if (!late) {
		EXPECT_EQ(0, weft_sleep_until(at));
		EXPECT_EQ(0, weft_scope_cancel(&scope));
	}
	int level = late ? -ETIMEDOUT : -ECANCELED;
	EXPECT_EQ(late && delta < 0 ? 0 : level, weft_scope_close(&scope));
	bool done = tally.count(kind, result, level);
	EXPECT_TRUE(delta == 0 || done == (delta < 0)) << kind.name << ": " << result << " at " << delta;
	race.settle(done);
	other.end();
	race.check(done);
}

using Parameter = std::tuple<size_t, unsigned>;

class CancelRace : public testing::TestWithParam<Parameter>
{
protected:
	const Kind &kind() const
	{
		return kinds[std::get<0>(GetParam())];
	}
	unsigned workers() const
	{
		return std::get<1>(GetParam());
	}
};

/* Virtual time stands still while the kernel is waited for. */
class CancelRaceTimed : public CancelRace
{
};

static std::string name_of(const testing::TestParamInfo<Parameter> &one)
{
	return kinds[std::get<0>(one.param)].name + std::to_string(std::get<1>(one.param));
}

INSTANTIATE_TEST_SUITE_P(OnWorkers, CancelRace,
	testing::Combine(testing::Range(size_t{0}, kinds.size()), testing::Values(1u, 2u, 4u, 8u)),
	name_of);
INSTANTIATE_TEST_SUITE_P(OnWorkers, CancelRaceTimed,
	testing::Combine(testing::Range(size_t{0}, kinds.size() - in_kernel),
		testing::Values(1u, 2u, 4u, 8u)),
	name_of);

/* On a machine that does much else, fewer rounds have to do. */
class Patience
{
public:
	bool ended(long round) const
	{
		if (testing::Test::HasFailure())
			return true;
		return round >= 100 && std::chrono::steady_clock::now() > end_;
	}

private:
	std::chrono::steady_clock::time_point end_ =
		std::chrono::steady_clock::now() + std::chrono::milliseconds(times(120, 500));
};

TEST_P(CancelRace, InAnyOrder)
{
	run(workers(), [this] {
		Setting setting;
		Partner partner;
		int fds[2];
		setting.random.seed(workers());
		bool pipe = kind().make == read_race;
		ASSERT_EQ(0,
			pipe ? pipe2(fds, O_CLOEXEC)
			     : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
		setting.in = fds[0];
		setting.out = fds[1];
		weft_deadline(weft_after(30 * WEFT_SEC)); /* not to hang where the tested is broken */
		bool waits_in_kernel = std::get<0>(GetParam()) >= kinds.size() - in_kernel;
		for (int way = 0; way < WAYS; way++) {
			long rounds = waits_in_kernel ? times(3000, 200) : times(6000, 300);
			rounds /= way == SCOPE_DEADLINE ? 10 : 1;
			Tally tally;
			Patience patience;
			for (long i = 0; i < rounds && !patience.ended(i); i++) {
				setting.partner = i / 4 % 16 == 1 ? &partner : nullptr;
				run_real(kind(), setting, way, i, tally);
			}
			EXPECT_GT(tally.done, 0) << way;
			EXPECT_GT(tally.refused, 0) << way;
		}
		EXPECT_EQ(0, weft_close(fds[0]));
		EXPECT_EQ(0, weft_close(fds[1]));
	});
}

TEST_P(CancelRaceTimed, OneNanosecondDecides)
{
	run_virtual(workers(), [this] {
		Setting setting;
		setting.random.seed(workers());
		weft_deadline(weft_after(100 * WEFT_SEC)); /* as above; jumped to when nobody can run */
		for (bool late : {false, true}) {
			Tally tally;
			Patience patience;
			for (long i = 0; i < times(1500, 120) && !patience.ended(i); i++)
				run_timed(kind(), setting, late, i % 3 - 1, tally);
			EXPECT_GT(tally.done, 0);
			EXPECT_GT(tally.refused, 0);
		}
	});
}
