/* SPDX-License-Identifier: MIT */
/* cancel_points_test.cc - cancellation and deadlines at every call of fiber.h's table that can park, but those on descriptors
 *
 * Law  however a level comes, by the fiber or by a scope it is in: a parked call wakes and fails with it, at once; a later call fails
 *      with it, also when it need not park. Cancellation goes before deadlines.
 * Law  a call that failed had no effect: the lock is free, the permit and the element are there, nobody counts the caller, and the next
 *      call goes through.
 * Law  a shield holds back all but the fiber's own deadline; the call then goes on to its end.
 * Law  the calls that the table says are none are none.
 */
#include <atomic>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class CancelPoints : public Workers
{
};
FOR_WORKERS(CancelPoints);

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

/* Until everybody else is parked: virtual time moves only then. */
static void settle()
{
	EXPECT_EQ(0, weft_sleep(WEFT_US));
}

/* One blocking call, and what it waits for. */
struct Site {
	const char *name;
	/* Makes the call, in any fiber. What a lock gave is given back at once. */
	std::function<int()> call;
	/* From now on one call goes through. */
	std::function<void()> open = [] {};
	/* Before open(): nothing has changed, and nobody waits. */
	std::function<void()> expect_shut = [] {};
	/* After the call that went through. */
	std::function<void()> expect_spent = [] {};
	/* Is it what a call returns that went through? */
	std::function<bool(int)> passed = [](int result) { return result == 0; };
	/* At last. */
	std::function<void()> clear = [] {};
};

static Site join_site(bool all)
{
	struct State {
		weft_event end = WEFT_EVENT_INIT;
		weft_fiber *target;
	};
	auto state = std::make_shared<State>();
	state->target = spawn([state] { return weft_event_wait(&state->end) == 0 ? 5 : 6; });
	Site site{all ? "join_all" : "join", {}};
	site.call = [=] {
		weft_fiber *fibers[] = {nullptr, state->target, nullptr};
		void *results[] = {nullptr, nullptr, nullptr};
		int error = all ? weft_join_all(fibers, results, 3) : weft_join(fibers[1], &results[1]);
		EXPECT_EQ(error == 0 ? 5 : 0, reinterpret_cast<intptr_t>(results[1]));
		EXPECT_EQ(error == 0 && all ? nullptr : state->target, fibers[1]);
		return error;
	};
	site.open = [=] { weft_event_set(&state->end); };
	site.expect_spent = [=] { EXPECT_EQ(-ESRCH, weft_join(state->target, nullptr)); };
	return site;
}

static Site sleep_site(bool until)
{
	Site site{until ? "sleep_until" : "sleep", {}};
	site.call = [=] {
		return until ? weft_sleep_until(weft_after(WEFT_SEC)) : weft_sleep(WEFT_SEC);
	};
	return site;
}

static void expect_try(weft_chan *chan, bool send, int expected)
{
	int value = 99;
	EXPECT_EQ(expected, send ? weft_chan_try_send(chan, &value) : weft_chan_try_recv(chan, &value));
	EXPECT_EQ(99, value);
}

/* A channel with one place, full for a sender and empty for a receiver; or a rendezvous, to which open() sends the other side. Every element
 * is a 99. */
static Site chan_site(const char *name, bool send, size_t capacity)
{
	weft_chan *chan = nullptr;
	EXPECT_EQ(0, weft_chan_new(&chan, sizeof(int), capacity));
	auto move = [chan](bool sends) {
		int value = sends ? 99 : -1;
		int error = sends ? weft_chan_send(chan, &value) : weft_chan_recv(chan, &value);
		EXPECT_EQ(sends || error == 0 ? 99 : -1, value) << "written only by a success";
		return error;
	};
	if (send && capacity > 0)
		expect_try(chan, true, 0);
	auto other = std::make_shared<weft_fiber *>(nullptr);
	Site site{name, [=] { return move(send); }};
	site.open = [=] {
		if (capacity > 0)
			expect_try(chan, !send, 0);
		else
			*other = spawn([=] { return move(!send); });
	};
	site.expect_shut = [=] {
		EXPECT_EQ(send ? capacity : 0, weft_chan_len(chan));
		if (capacity == 0 || !send)
			expect_try(chan, false, -EAGAIN);
		if (capacity == 0 || send)
			expect_try(chan, true, -EAGAIN);
	};
	site.expect_spent = [=] {
		EXPECT_EQ(0, *other == nullptr ? 0 : join(*other));
		site.expect_shut();
	};
	site.clear = [=] { weft_chan_free(chan); };
	return site;
}

/* To receive from one channel or to send to another; open() makes one of the two ready. */
static Site select_site(const char *name, bool sends)
{
	weft_chan *in = nullptr, *out = nullptr;
	EXPECT_EQ(0, weft_chan_new(&in, sizeof(int), 1));
	EXPECT_EQ(0, weft_chan_new(&out, sizeof(int), 1));
	expect_try(out, true, 0);
	Site site{name, {}};
	site.call = [=] {
		int got = -1, given = 98;
		weft_case cases[] = {
			{WEFT_CASE_RECV, in, &got, -1, 77},
			{WEFT_CASE_SEND, out, &given, -1, 77},
			{WEFT_CASE_RECV, nullptr, nullptr, -1, 77},
		};
		int index = weft_select(cases, 3, WEFT_FOREVER);
		EXPECT_EQ(index == 0 ? 99 : -1, got);
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(i == index ? 0 : 77, cases[i].status);
		return index;
	};
	site.open = [=] { expect_try(sends ? out : in, !sends, 0); };
	site.passed = [=](int result) { return result == (sends ? 1 : 0); };
	site.expect_shut = [=] {
		EXPECT_EQ(0u, weft_chan_len(in));
		EXPECT_EQ(1u, weft_chan_len(out));
	};
	site.expect_spent = [=] {
		site.expect_shut();
		int left = 0;
		EXPECT_EQ(0, weft_chan_try_recv(out, &left));
		EXPECT_EQ(sends ? 98 : 99, left);
	};
	site.clear = [=] {
		weft_chan_free(in);
		weft_chan_free(out);
	};
	return site;
}

/* A fiber holds a lock until open(). */
static void hold(Site &site, const std::function<void()> &lock, const std::function<int()> &unlock)
{
	struct State {
		weft_event held = WEFT_EVENT_INIT, let_go = WEFT_EVENT_INIT;
	};
	auto state = std::make_shared<State>();
	weft_fiber *holder = spawn([=] {
		lock();
		weft_event_set(&state->held);
		weft_event_wait(&state->let_go);
		return unlock();
	});
	EXPECT_EQ(0, weft_event_wait(&state->held));
	site.open = [=] { weft_event_set(&state->let_go); };
	site.clear = [=] { EXPECT_EQ(0, join(holder)); };
}

static Site mutex_site()
{
	auto mutex = std::make_shared<weft_mutex>();
	auto unlock = [=] { return weft_mutex_unlock(mutex.get()); };
	Site site{"mutex_lock_by", {}};
	hold(
		site, [=] { weft_mutex_lock(mutex.get()); }, unlock);
	site.call = [=] {
		int error = weft_mutex_lock_by(mutex.get(), WEFT_FOREVER);
		EXPECT_EQ(error == 0 ? 0 : -EPERM, unlock());
		return error;
	};
	site.expect_shut = [=] { EXPECT_EQ(-EBUSY, weft_mutex_trylock(mutex.get())); };
	site.expect_spent = [=] {
		EXPECT_EQ(0, weft_mutex_trylock(mutex.get()));
		EXPECT_EQ(0, unlock());
	};
	return site;
}

static Site rwlock_site(const char *name, bool writes)
{
	auto shared = std::make_shared<weft_rwlock>();
	weft_rwlock *lock = shared.get();
	auto unlock = [shared] { return weft_rwlock_unlock(shared.get()); };
	Site site{name, {}};
	hold(
		site,
		[=] { EXPECT_EQ(0, writes ? weft_rwlock_rdlock(lock) : weft_rwlock_wrlock(lock)); },
		unlock);
	site.call = [=] {
		int error = writes ? weft_rwlock_wrlock(lock) : weft_rwlock_rdlock(lock);
		EXPECT_EQ(error == 0 ? 0 : -EPERM, unlock());
		return error;
	};
	site.expect_shut = [=] {
		EXPECT_EQ(-EBUSY, weft_rwlock_trywrlock(lock));
		EXPECT_EQ(writes ? 0 : -EBUSY, weft_rwlock_tryrdlock(lock)) << "no writer waits";
		EXPECT_EQ(writes ? 0 : -EPERM, unlock());
	};
	site.expect_spent = [=] {
		EXPECT_EQ(0, weft_rwlock_trywrlock(lock));
		EXPECT_EQ(0, unlock());
	};
	return site;
}

/* open() signals once, as soon as somebody waits. */
static Site cond_site()
{
	struct State {
		weft_mutex mutex = WEFT_MUTEX_INIT;
		weft_cond cond = WEFT_COND_INIT;
		int waiting = 0;
		weft_fiber *signaller = nullptr;
	};
	auto state = std::make_shared<State>();
	Site site{"cond_wait", {}};
	site.call = [=] {
		weft_mutex_lock(&state->mutex);
		state->waiting++;
		int error = weft_cond_wait(&state->cond, &state->mutex);
		state->waiting--;
		EXPECT_EQ(0, weft_mutex_unlock(&state->mutex)) << "it is held, whatever was returned";
		return error;
	};
	site.open = [=] {
		state->signaller = spawn([=] {
			for (int done = 0; done == 0; weft_sleep(WEFT_US)) {
				weft_mutex_lock(&state->mutex);
				done = state->waiting;
				if (done)
					weft_cond_signal(&state->cond);
				weft_mutex_unlock(&state->mutex);
			}
		});
	};
	site.expect_spent = [=] { join(state->signaller); };
	return site;
}

static Site sem_site()
{
	auto sem = std::make_shared<weft_sem>();
	Site site{"sem_wait", [=] { return weft_sem_wait(sem.get()); }};
	site.open = [=] { EXPECT_EQ(0, weft_sem_post(sem.get())); };
	site.expect_shut = [=] { EXPECT_EQ(-EAGAIN, weft_sem_trywait(sem.get())); };
	site.expect_spent = site.expect_shut;
	return site;
}

static Site waitgroup_site()
{
	auto group = std::make_shared<weft_waitgroup>();
	EXPECT_EQ(0, weft_waitgroup_add(group.get(), 1));
	Site site{"waitgroup_wait", [=] { return weft_waitgroup_wait(group.get()); }};
	site.open = [=] { EXPECT_EQ(0, weft_waitgroup_done(group.get())); };
	site.expect_spent = [=] { EXPECT_EQ(-EINVAL, weft_waitgroup_done(group.get())); };
	return site;
}

static Site event_site()
{
	auto event = std::make_shared<weft_event>();
	Site site{"event_wait", [=] { return weft_event_wait(event.get()); }};
	site.open = [=] { weft_event_set(event.get()); };
	return site;
}

static void *wait_for(void *event)
{
	EXPECT_EQ(0, weft_event_wait(static_cast<weft_event *>(event)));
	return nullptr;
}

static void *never(void *)
{
	ADD_FAILURE() << "it is run by another fiber";
	return nullptr;
}

/* Another fiber runs the function, until open(). */
static Site once_site()
{
	struct State {
		weft_once once = WEFT_ONCE_INIT;
		weft_event end = WEFT_EVENT_INIT;
	};
	auto state = std::make_shared<State>();
	weft_fiber *runner = spawn([=] { return weft_once_do(&state->once, wait_for, &state->end); });
	settle();
	Site site{"once_do", [=] { return weft_once_do(&state->once, never, nullptr); }};
	site.open = [=] { weft_event_set(&state->end); };
	site.clear = [=] { EXPECT_EQ(0, join(runner)); };
	return site;
}

/* Two have to be there; open() sends the other. */
static Site barrier_site()
{
	struct State {
		weft_barrier barrier = WEFT_BARRIER_INIT(2);
		intptr_t mine = 0;
		weft_fiber *other = nullptr;
	};
	auto state = std::make_shared<State>();
	Site site{"barrier_wait", {}};
	site.call = [=] {
		int result = weft_barrier_wait(&state->barrier);
		state->mine += result >= 0 ? result : 0;
		return result;
	};
	site.open = [=] { state->other = spawn([=] { return weft_barrier_wait(&state->barrier); }); };
	site.passed = [](int result) { return result == 0 || result == 1; };
	site.expect_shut = [=] {
		EXPECT_EQ(-ETIMEDOUT, join(spawn([=] {
			weft_deadline(weft_after(WEFT_US));
			return weft_barrier_wait(&state->barrier);
		}))) << "who gave up is not counted";
	};
	site.expect_spent = [=] {
		EXPECT_EQ(1, state->mine + join(state->other));
		site.expect_shut();
	};
	return site;
}

static Site futex_site()
{
	auto word = std::make_shared<uint32_t>(0);
	Site site{"futex_wait", [=] { return weft_futex_wait(word.get(), 0); }};
	site.open = [=] {
		__atomic_store_n(word.get(), 1, __ATOMIC_RELEASE);
		EXPECT_GE(weft_futex_wake(word.get(), 1), 0);
	};
	site.passed = [](int result) { return result == 0 || result == -EAGAIN; };
	site.expect_shut = [=] { EXPECT_EQ(0, weft_futex_wake(word.get(), 1)) << "nobody waits"; };
	site.expect_spent = site.expect_shut;
	return site;
}

using Kind = std::function<Site()>;
static const std::vector<Kind> kinds = {
	[] { return join_site(false); },
	[] { return join_site(true); },
	[] { return sleep_site(false); },
	[] { return sleep_site(true); },
	[] { return chan_site("send to a receiver", true, 0); },
	[] { return chan_site("send to a full channel", true, 1); },
	[] { return chan_site("recv from a sender", false, 0); },
	[] { return chan_site("recv from an empty channel", false, 1); },
	[] { return select_site("select that receives", false); },
	[] { return select_site("select that sends", true); },
	mutex_site,
	[] { return rwlock_site("rdlock", false); },
	[] { return rwlock_site("wrlock", true); },
	cond_site,
	sem_site,
	waitgroup_site,
	event_site,
	once_site,
	barrier_site,
	futex_site,
};

/* How a level may come to a fiber. In the last two it is the opener itself that makes the call. */
enum way {
	CANCEL,
	SCOPE_CANCEL,
	OUTER_CANCEL,
	OPENER_CANCEL,
	SIBLING_ERROR,
	OPENER_IN_SCOPE_CANCEL,
	DEADLINE,
	SCOPE_DEADLINE,
	OUTER_DEADLINE,
	OPENER_IN_SCOPE_DEADLINE,
	WAYS
};
static const char *const way_names[] = {"weft_cancel", "cancel of the scope", "cancel of the outer scope",
	"weft_cancel of the opener", "error of a sibling", "cancel of its own scope", "deadline",
	"deadline of the scope", "deadline of the outer scope", "deadline of its own scope"};

static int error_of(int way)
{
	return way < DEADLINE ? -ECANCELED : -ETIMEDOUT;
}

/* A fiber that runs a body where a level can reach it: from `at` on, for a deadline, else from strike() on. */
class Victim
{
public:
	Victim(int way, weft_ns at, std::function<void()> body)
		: way_(way), at_(at), body_(std::move(body))
	{
		fiber_ = spawn([this] { live(); });
		while (!exposed_)
			weft_yield();
	}
	void strike()
	{
		switch (way_) {
		case CANCEL:
		case OPENER_CANCEL:
			EXPECT_EQ(0, weft_cancel(fiber_));
			break;
		case SCOPE_CANCEL:
		case OPENER_IN_SCOPE_CANCEL:
			EXPECT_EQ(0, weft_scope_cancel(&inner_));
			break;
		case OUTER_CANCEL:
			EXPECT_EQ(0, weft_scope_cancel(&outer_));
			break;
		case SIBLING_ERROR:
			add(inner_, [] { return -EIO; });
			settle();
			break;
		default:
			EXPECT_EQ(0, weft_sleep_until(at_));
		}
	}
	void end()
	{
		join(fiber_);
	}

private:
	void live()
	{
		if (way_ == CANCEL || way_ == DEADLINE) {
			weft_deadline(way_ == DEADLINE ? at_ : WEFT_FOREVER);
			exposed_ = true;
			body_();
			return;
		}
		bool own = way_ == OPENER_IN_SCOPE_CANCEL || way_ == OPENER_IN_SCOPE_DEADLINE;
		bool late = way_ == SCOPE_DEADLINE || way_ == OPENER_IN_SCOPE_DEADLINE;
		EXPECT_EQ(0, weft_scope_open(&outer_, way_ == OUTER_DEADLINE ? at_ : WEFT_FOREVER));
		EXPECT_EQ(0, weft_scope_open(&inner_, late ? at_ : WEFT_FOREVER));
		if (!own)
			add(inner_, [this] { return body_(), 0; });
		exposed_ = true;
		if (own)
			body_();
		EXPECT_EQ(way_ == SIBLING_ERROR ? -EIO : error_of(way_), weft_scope_close(&inner_));
		bool both = way_ == OUTER_CANCEL || way_ == OUTER_DEADLINE || way_ == OPENER_CANCEL;
		EXPECT_EQ(both ? error_of(way_) : 0, weft_scope_close(&outer_));
	}

	int way_;
	weft_ns at_;
	std::function<void()> body_;
	weft_fiber *fiber_;
	weft_scope outer_, inner_;
	std::atomic<bool> exposed_{false};
};

static std::string name_of(const Site &site, int way)
{
	return std::string(site.name) + ", " + way_names[way];
}

/* After all the failures: a call of this fiber's goes through, once. */
static void expect_works(const Site &site, const std::string &name)
{
	weft_ns was = weft_deadline(weft_after(1000 * WEFT_SEC)); /* not to hang where the tested is broken */
	int result = site.call();
	EXPECT_TRUE(site.passed(result)) << result << " " << name;
	settle();
	site.expect_spent();
	site.clear();
	weft_deadline(was);
}

static void run_parked(const Kind &what, int way)
{
	Site site = what();
	std::string name = name_of(site, way);
	weft_ns at = weft_after(10 * WEFT_MS), back = 0;
	std::atomic<int> first{99}, second{99};
	Victim victim(way, at, [&] {
		first = site.call();
		back = weft_now();
		second = site.call();
	});
	EXPECT_EQ(0, weft_sleep(WEFT_MS));
	EXPECT_EQ(99, first) << name << " did not park";
	weft_ns struck = way < DEADLINE ? weft_now() : at;
	victim.strike();
	victim.end();
	EXPECT_EQ(error_of(way), first) << name;
	EXPECT_EQ(error_of(way), second) << name << ", in force";
	EXPECT_EQ(struck, back) << name;
	settle();
	site.expect_shut();
	site.open();
	settle();
	expect_works(site, name);
}

TEST_P(CancelPoints, WhileParked)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds)
			for (int way = 0; way < WAYS; way++)
				run_parked(what, way);
	});
}

static void run_before(const Kind &what, int way, bool ready)
{
	Site site = what();
	std::string name = name_of(site, way) + (ready ? ", ready" : "");
	weft_event go = WEFT_EVENT_INIT;
	weft_ns at = weft_now();
	Victim victim(way, at, [&] {
		weft_shield(true);
		weft_event_wait(&go); /* -ETIMEDOUT where the deadline is the fiber's own */
		weft_shield(false);
		for (int i = 0; i < 3; i++)
			EXPECT_EQ(error_of(way), site.call()) << name;
	});
	settle();
	victim.strike();
	if (ready) {
		site.open();
		settle();
	}
	weft_event_set(&go);
	victim.end();
	if (!ready) {
		site.expect_shut();
		site.open();
	}
	expect_works(site, name);
}

TEST_P(CancelPoints, BeforeParking)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds)
			for (int way = 0; way < WAYS; way++)
				run_before(what, way, false);
	});
}

TEST_P(CancelPoints, BeforeReadiness)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds)
			for (int way = 0; way < WAYS; way++)
				if (way != DEADLINE) /* its victim is not held back: see OwnDeadlineBeforeReadiness */
					run_before(what, way, true);
	});
}

TEST_P(CancelPoints, OwnDeadlineBeforeReadiness)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds) {
			Site site = what();
			site.open();
			settle();
			weft_deadline(weft_now());
			EXPECT_EQ(-ETIMEDOUT, site.call()) << site.name;
			weft_deadline(0);
			EXPECT_EQ(-ETIMEDOUT, site.call()) << site.name;
			weft_deadline(WEFT_FOREVER);
			expect_works(site, site.name);
		}
	});
}

static void run_shielded(const Kind &what, int way)
{
	Site site = what();
	std::string name = name_of(site, way);
	std::atomic<int> first{99}, second{99};
	Victim victim(way, weft_after(10 * WEFT_MS), [&] {
		weft_shield(true);
		first = site.call();
		weft_shield(false);
		second = weft_check();
	});
	EXPECT_EQ(0, weft_sleep(WEFT_MS));
	victim.strike();
	EXPECT_EQ(0, weft_sleep(WEFT_MS));
	EXPECT_EQ(way == DEADLINE ? -ETIMEDOUT : 99, first) << name;
	site.open();
	victim.end();
	if (way == DEADLINE)
		return expect_works(site, name);
	EXPECT_TRUE(site.passed(first)) << first << " " << name;
	EXPECT_EQ(error_of(way), second) << name;
	site.expect_spent();
	site.clear();
}

TEST_P(CancelPoints, UnderAShield)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds)
			for (int way = 0; way < WAYS; way++)
				run_shielded(what, way);
	});
}

TEST_P(CancelPoints, CancellationGoesBeforeDeadlines)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds)
			for (int way = 0; way < DEADLINE; way++) {
				Site site = what();
				int error = 99;
				Victim victim(way, WEFT_FOREVER, [&] {
					weft_shield(true);
					EXPECT_EQ(0, weft_sleep(10 * WEFT_MS));
					weft_shield(false);
					weft_deadline(weft_now());
					error = site.call();
				});
				settle();
				victim.strike();
				victim.end();
				EXPECT_EQ(-ECANCELED, error) << name_of(site, way);
				site.open();
				settle();
				expect_works(site, name_of(site, way));
			}
	});
}

TEST_P(CancelPoints, WithoutThem)
{
	run_virtual(GetParam(), [] {
		for (const Kind &what : kinds) {
			Site site = what();
			weft_fiber *fiber = spawn([&] {
				EXPECT_EQ(0, weft_check());
				return site.call();
			});
			EXPECT_EQ(0, weft_sleep(WEFT_MS));
			site.open();
			intptr_t result = join(fiber);
			EXPECT_TRUE(site.passed(static_cast<int>(result))) << result << " " << site.name;
			settle();
			site.expect_spent();
			site.clear();
		}
	});
}
