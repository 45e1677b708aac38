/* SPDX-License-Identifier: MIT */
/* model.cc - all that may come out of a program, by running it on every schedule; see model.h */
#include "tests/sync/csp/model.h"

#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <vector>

namespace csp
{
namespace
{

enum Status : uint8_t { NEW, READY, PARKED, ENDED };
constexpr uint8_t FOREVER = 255;
constexpr uint8_t NOBODY = 255;

struct Proc {
	Status status;
	uint8_t pc;
	uint8_t rounds; /* of the loop it is in */
	uint8_t rank;	/* PARKED: how many have waited longer */
	uint8_t left;	/* PARKED: ticks until it gives up; 0: it may at once */
	uint8_t late;	/* READY: only looks once more */
	uint16_t last;	/* what it received last */
};

/* Where a program is. The channels' buffers are those of out.chans. */
struct State {
	csp_outcome out;
	Proc procs[CSP_PROCS];
	uint8_t closed[CSP_CHANS];
	uint8_t owner[CSP_MUTEXES];
	uint8_t work;
};
static_assert(std::has_unique_object_representations_v<State>, "states are hashed byte by byte");

class Explorer
{
public:
	Explorer(const csp_program &program, const Dialect &dialect)
		: program_(program), dialect_(dialect)
	{
	}

	bool run(size_t states_max, Outcomes *outcomes)
	{
		State start{};
		start.work = program_.work;
		memset(start.owner, NOBODY, sizeof(start.owner));
		for (unsigned p = 0; p < program_.proc_count; p++)
			start.procs[p].status = program_.procs[p].spawned ? NEW : READY;
		visit(start);
		while (!stack_.empty() && !too_long_ && seen_.size() <= states_max) {
			State s = stack_.back();
			stack_.pop_back();
			moves_ = 0;
			for (unsigned p = 0; p < program_.proc_count; p++)
				move(s, p);
			if (moves_ == 0 && !let_time_pass(s))
				outcomes->insert(finished(s));
		}
		return stack_.empty() && !too_long_;
	}

private:
	const csp_step &step_of(const State &s, unsigned p) const
	{
		return program_.procs[p].steps[s.procs[p].pc];
	}

	void visit(State s)
	{
		moves_++;
		bool changed = true;
		while (changed) {
			changed = false;
			for (unsigned p = 0; p < program_.proc_count; p++)
				while (s.procs[p].status == READY && settle(s, p))
					changed = true;
		}
		std::string_view bytes(reinterpret_cast<const char *>(&s), sizeof(s));
		if (seen_.insert(std::hash<std::string_view>{}(bytes)).second)
			stack_.push_back(s);
	}

	/* Takes p's next step if that only makes more possible. */
	bool settle(State &s, unsigned p) const
	{
		Proc &proc = s.procs[p];
		if (proc.pc == program_.procs[p].count) {
			proc.status = ENDED;
			return true;
		}
		const csp_step &step = step_of(s, p);
		if (step.op == CSP_SPAWN)
			s.procs[step.arg].status = READY;
		else if (step.op == CSP_UNLOCK)
			s.owner[step.arg] = NOBODY;
		else if (step.op == CSP_DONE)
			s.work--;
		else if (step.op == CSP_LOOP)
			proc.rounds = static_cast<uint8_t>((proc.rounds + 1) % step.rounds);
		else if (step.op != CSP_YIELD && (step.op != CSP_WAIT || s.work > 0))
			return false;
		proc.pc = step.op == CSP_LOOP && proc.rounds > 0 ? step.arg
								 : static_cast<uint8_t>(proc.pc + 1);
		return true;
	}

	/* Every way in which p may go on. */
	void move(const State &s, unsigned p)
	{
		if (s.procs[p].status == PARKED && s.procs[p].left == 0)
			give_up(s, p);
		if (s.procs[p].status != READY)
			return;
		const csp_step &step = step_of(s, p);
		if (step.op == CSP_CLOSE) {
			State t = ended(s, p, 0, s.closed[step.arg] ? CSP_CLOSED : CSP_OK);
			t.closed[step.arg] = 1;
			end_waiters(t, step.arg);
		} else if (step.op == CSP_LOCK && s.owner[step.arg] == NOBODY) {
			State t = s;
			t.owner[step.arg] = static_cast<uint8_t>(p);
			t.procs[p].pc++;
			visit(t);
		} else if (step.op == CSP_CALL || step.op == CSP_SELECT || step.op == CSP_DRAIN) {
			communicate(s, p, step);
		}
	}

	/* s after the call that p is in has ended so. */
	State ended(State s, unsigned p, unsigned which, unsigned status, uint16_t value = 0)
	{
		const csp_step &step = step_of(s, p);
		Proc &proc = s.procs[p];
		csp_trace &trace = s.out.procs[p];
		too_long_ = too_long_ || trace.count == CSP_EVENTS;
		if (too_long_)
			return s;
		bool sends = step.count > 0 && step.cases[which].send;
		if (status == CSP_OK && step.count > 0 && !sends && words(step, which) > 0)
			proc.last = value;
		if (dialect_.panics && status == CSP_CLOSED && sends)
			which = 0;
		trace.events[trace.count++] = csp_event(which, status, value);
		unpark(s, p);
		proc.late = 0;
		if (step.op != CSP_DRAIN || status != CSP_OK)
			proc.pc++;
		return s;
	}

	static void unpark(State &s, unsigned p)
	{
		Proc &proc = s.procs[p];
		for (Proc &other : s.procs)
			if (proc.status == PARKED && other.rank > proc.rank)
				other.rank--;
		proc.status = READY;
		proc.rank = proc.left = 0;
	}

	void give_up(State s, unsigned p)
	{
		if (step_of(s, p).argument) {
			unpark(s, p);
			s.procs[p].late = 1;
			visit(s);
		} else {
			visit(ended(s, p, 0, CSP_LATE));
		}
	}

	unsigned words(const csp_step &step, unsigned which) const
	{
		return program_.chans[step.cases[which].chan].words;
	}

	/* What p sends in that case. */
	uint16_t value(const State &s, unsigned p, unsigned which) const
	{
		const csp_step &step = step_of(s, p);
		if (words(step, which) == 0)
			return 0;
		return step.forward ? s.procs[p].last : csp_value(p, s.out.procs[p].count, which);
	}

	bool waits(const State &s, unsigned p, unsigned which, unsigned chan, bool send) const
	{
		return s.procs[p].status == PARKED && which < step_of(s, p).count &&
			step_of(s, p).cases[which].chan == static_cast<int>(chan) &&
			step_of(s, p).cases[which].send == send;
	}

	/* Calls fn(q, k) for each case k in which q, who has waited longest to do that, does it. False: nobody waits. */
	template <typename Fn>
	bool with_first(const State &s, unsigned chan, bool send, Fn fn)
	{
		unsigned first = NOBODY;
		for (unsigned q = 0; q < program_.proc_count; q++)
			for (unsigned k = 0; k < CSP_CASES; k++)
				if (waits(s, q, k, chan, send) &&
					(first == NOBODY || s.procs[q].rank < s.procs[first].rank))
					first = q;
		for (unsigned k = 0; first != NOBODY && k < CSP_CASES; k++)
			if (waits(s, first, k, chan, send))
				fn(first, k);
		return first != NOBODY;
	}

	void communicate(const State &s, unsigned p, const csp_step &step)
	{
		unsigned before = moves_;
		for (unsigned k = 0; k < step.count; k++)
			if (step.cases[k].chan >= 0 && step.cases[k].send)
				send(s, p, k, static_cast<unsigned>(step.cases[k].chan));
			else if (step.cases[k].chan >= 0)
				receive(s, p, k, static_cast<unsigned>(step.cases[k].chan));
		if (moves_ != before)
			return;
		if (step.poll || s.procs[p].late) {
			visit(ended(s, p, 0, step.poll ? CSP_AGAIN : CSP_LATE));
			return;
		}
		State t = s;
		for (const Proc &other : s.procs)
			t.procs[p].rank =
				static_cast<uint8_t>(t.procs[p].rank + (other.status == PARKED));
		t.procs[p].status = PARKED;
		t.procs[p].left = step.ticks > 0 ? step.ticks : FOREVER;
		visit(t);
	}

	void send(const State &s, unsigned p, unsigned which, unsigned chan)
	{
		uint16_t sent = value(s, p, which);
		State t = ended(s, p, which, s.closed[chan] ? CSP_CLOSED : CSP_OK);
		csp_rest &buffer = t.out.chans[chan];
		if (s.closed[chan]) {
			visit(t);
		} else if (!with_first(s, chan, false,
				   [&](unsigned q, unsigned k) {
					   visit(ended(t, q, k, CSP_OK, sent));
				   }) &&
			buffer.count < program_.chans[chan].capacity) {
			buffer.values[buffer.count++] = sent;
			visit(t);
		}
	}

	void receive(const State &s, unsigned p, unsigned which, unsigned chan)
	{
		if (s.out.chans[chan].count == 0) {
			bool met = with_first(s, chan, true, [&](unsigned q, unsigned k) {
				visit(ended(ended(s, p, which, CSP_OK, value(s, q, k)), q, k, CSP_OK));
			});
			if (!met && s.closed[chan])
				visit(ended(s, p, which, CSP_CLOSED));
			return;
		}
		State t = ended(s, p, which, CSP_OK, s.out.chans[chan].values[0]);
		csp_rest &buffer = t.out.chans[chan];
		buffer.count--;
		memmove(buffer.values, buffer.values + 1, buffer.count * sizeof(buffer.values[0]));
		buffer.values[buffer.count] = 0;
		if (!with_first(s, chan, true, [&](unsigned q, unsigned k) {
			    State u = ended(t, q, k, CSP_OK);
			    u.out.chans[chan].values[u.out.chans[chan].count++] = value(s, q, k);
			    visit(u);
		    }))
			visit(t);
	}

	/* A channel was closed: for all who wait on it, one after another. */
	void end_waiters(const State &s, unsigned chan)
	{
		for (unsigned p = 0; p < program_.proc_count; p++) {
			bool waited = false;
			for (unsigned k = 0; k < CSP_CASES; k++)
				if (waits(s, p, k, chan, true) || waits(s, p, k, chan, false)) {
					end_waiters(ended(s, p, k, CSP_CLOSED), chan);
					waited = true;
				}
			if (waited)
				return;
		}
		visit(s);
	}

	/* Nobody can go on: to the next time at which somebody gives up. False: there is none. */
	bool let_time_pass(State s)
	{
		uint8_t next = FOREVER;
		for (const Proc &proc : s.procs)
			if (proc.status == PARKED && proc.left < next)
				next = proc.left;
		if (next == FOREVER)
			return false;
		for (Proc &proc : s.procs)
			if (proc.status == PARKED && proc.left != FOREVER)
				proc.left = static_cast<uint8_t>(proc.left - next);
		visit(s);
		return true;
	}

	csp_outcome finished(State s) const
	{
		for (unsigned p = 0; p < program_.proc_count; p++)
			s.out.procs[p].end = static_cast<uint16_t>(s.procs[p].status == NEW
					? static_cast<int>(CSP_NEW)
					: s.procs[p].status == ENDED ? static_cast<int>(CSP_ENDED)
								     : CSP_STUCK + s.procs[p].pc);
		return s.out;
	}

	const csp_program &program_;
	const Dialect &dialect_;
	std::unordered_set<uint64_t> seen_;
	std::vector<State> stack_;
	unsigned moves_ = 0;
	bool too_long_ = false;
};

} // namespace

bool explore(const csp_program &program, const Dialect &dialect, size_t states_max, Outcomes *outcomes)
{
	outcomes->clear();
	return Explorer(program, dialect).run(states_max, outcomes);
}

} // namespace csp
