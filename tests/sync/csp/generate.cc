/* SPDX-License-Identifier: MIT */
/* generate.cc - the program of a seed, and programs and outcomes as text
 *
 * A program begins as a number of transfers, a send in one process and a receive in another, so that much of what it does
 * succeeds. Then calls become selects or polls, get lost, or are repeated, and closes, locks, spawns and the waitgroup come in
 * between.
 */
#include <sstream>
#include <vector>

#include "tests/sync/csp/model.h"

namespace csp
{
namespace
{

csp_step plain(csp_op op, unsigned arg = 0)
{
	csp_step step{};
	step.op = op;
	step.arg = static_cast<uint8_t>(arg);
	return step;
}

class Generator
{
public:
	csp_program make(uint64_t seed, unsigned size, const Dialect &dialect)
	{
		random_ = program_.seed = seed;
		timed_ = dialect.timed;
		program_.proc_count = static_cast<uint8_t>(2 + pick(CSP_PROCS - 1));
		program_.chan_count = static_cast<uint8_t>(1 + pick(CSP_CHANS));
		for (auto &chan : program_.chans) {
			chan.capacity = static_cast<uint8_t>("\0\0\1\2"[pick(4)]);
			chan.words = static_cast<uint8_t>("\0\1\1\xa"[pick(4)]);
		}
		code_.resize(program_.proc_count);
		orderly_ = one_in(4); /* no choice but the scheduler's */
		for (unsigned i = 1 + pick(size); i > 0; i--)
			add_transfer();
		for (unsigned i = pick(4); i > 1; i--)
			add_close(pick(program_.chan_count));
		for (unsigned chan = one_in(2) ? 0 : CSP_CHANS; chan < program_.chan_count; chan++)
			add_close(chan);
		if (one_in(4))
			add_work();
		for (unsigned mutex = 0; mutex < CSP_MUTEXES && one_in(3); mutex++)
			add_sections(mutex);
		for (unsigned p = 1; p < program_.proc_count; p++)
			if ((program_.procs[p].spawned = one_in(3)))
				insert(pick(p), plain(CSP_SPAWN, p));
		if (one_in(4))
			insert(any_proc(), plain(CSP_YIELD));
		for (unsigned p = 0; p < program_.proc_count; p++)
			flatten(p);
		return program_;
	}

private:
	using Block = std::vector<csp_step>; /* one step, or a loop's body and CSP_LOOP */

	/* 0 .. n - 1 */
	unsigned pick(size_t n)
	{
		uint64_t z = random_ += 0x9e3779b97f4a7c15;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		return static_cast<unsigned>((z ^ z >> 31) % n);
	}
	bool one_in(unsigned n)
	{
		return pick(n) == 0;
	}
	unsigned any_proc()
	{
		return pick(program_.proc_count);
	}
	csp_case any_case()
	{
		bool null = one_in(6);
		return {one_in(2),
			static_cast<int8_t>(null ? -1 : static_cast<int>(pick(program_.chan_count)))};
	}

	csp_step call(csp_case first)
	{
		csp_step step = plain(CSP_CALL);
		step.cases[step.count++] = first;
		step.forward = one_in(6);
		if (timed_ && one_in(3))
			step.ticks = static_cast<uint8_t>(1 + pick(3));
		if (orderly_)
			return step;
		if (one_in(2)) {
			step.op = CSP_SELECT;
			for (unsigned i = pick(one_in(8) ? CSP_CASES : 3); i > 0; i--)
				step.cases[step.count++] = any_case();
			std::swap(step.cases[0], step.cases[pick(step.count)]);
		}
		step.argument = step.op == CSP_SELECT && step.ticks > 0 && one_in(2);
		step.poll = step.ticks == 0 && one_in(6);
		return step;
	}

	void add_transfer()
	{
		auto chan = static_cast<int8_t>(pick(program_.chan_count));
		unsigned from = any_proc(),
			 to = (from + 1 + pick(program_.proc_count - 1u)) % program_.proc_count;
		unsigned rounds = one_in(5) ? 2 + pick(2) : 1;
		for (bool sends : {true, false}) {
			if (one_in(16))
				continue;
			Block block{call({sends, chan})};
			csp_case second = any_case();
			if (rounds > 1 && second.chan >= 0 && one_in(3))
				block.push_back(call(second));
			if (rounds > 1) {
				block.push_back(plain(CSP_LOOP));
				block.back().rounds = static_cast<uint8_t>(rounds);
			}
			code_[sends ? from : to].push_back(block);
		}
	}

	void add_close(unsigned chan)
	{
		if (one_in(4))
			insert(any_proc(), plain(CSP_CLOSE, chan));
		else
			code_[any_proc()].push_back({plain(CSP_CLOSE, chan)});
		if (one_in(2))
			return;
		csp_step drain = plain(CSP_DRAIN);
		drain.cases[drain.count++] = {false, static_cast<int8_t>(chan)};
		code_[any_proc()].push_back({drain});
	}

	void insert(unsigned p, const csp_step &step)
	{
		code_[p].insert(code_[p].begin() + pick(code_[p].size() + 1), Block{step});
	}

	void add_work()
	{
		unsigned waiter = any_proc();
		insert(waiter, plain(CSP_WAIT));
		for (unsigned p = 0; p < program_.proc_count; p++)
			if (p != waiter && one_in(2)) {
				insert(p, plain(CSP_DONE));
				program_.work++;
			}
		program_.work = static_cast<uint8_t>(program_.work + one_in(8));
	}

	void add_sections(unsigned mutex)
	{
		for (std::vector<Block> &code : code_) {
			unsigned from = pick(code.size() + 1), to = from + pick(code.size() - from + 1);
			if (one_in(3))
				continue;
			code.insert(code.begin() + to, Block{plain(CSP_UNLOCK, mutex)});
			code.insert(code.begin() + from, Block{plain(CSP_LOCK, mutex)});
		}
	}

	void flatten(unsigned p)
	{
		for (const Block &block : code_[p]) {
			uint8_t start = program_.procs[p].count;
			for (csp_step step : block) {
				if (step.op == CSP_LOOP)
					step.arg = start;
				program_.procs[p].steps[program_.procs[p].count++] = step;
			}
		}
	}

	uint64_t random_ = 0;
	bool timed_ = false, orderly_ = false;
	csp_program program_{};
	std::vector<std::vector<Block>> code_;
};

std::string text(const csp_step &step)
{
	static const char *const names[] = {"call", "select", "drain", "close", "spawn", "lock",
		"unlock", "done", "wait", "yield", "loop"};
	std::ostringstream out;
	out << names[step.op];
	if (step.count == 0)
		out << " " << +step.arg;
	for (unsigned k = 0; k < step.count; k++)
		out << (step.cases[k].send ? " s" : " r") << +step.cases[k].chan;
	if (step.op == CSP_LOOP)
		out << " x" << +step.rounds;
	if (step.ticks > 0)
		out << (step.argument ? " T" : " t") << +step.ticks;
	out << (step.poll ? " poll" : "") << (step.forward ? " forward" : "");
	return out.str();
}

} // namespace

csp_program generate(uint64_t seed, unsigned size, const Dialect &dialect)
{
	return Generator().make(seed, size, dialect);
}

std::string text(const csp_program &program)
{
	std::ostringstream out;
	out << "program " << program.seed << " " << +program.work << "\n";
	for (unsigned c = 0; c < program.chan_count; c++)
		out << "chan " << +program.chans[c].capacity << " " << +program.chans[c].words << "\n";
	for (unsigned p = 0; p < program.proc_count; p++) {
		out << "proc " << (program.procs[p].spawned ? "later" : "now") << "\n";
		for (unsigned i = 0; i < program.procs[p].count; i++)
			out << "\t" << text(program.procs[p].steps[i]) << "\n";
	}
	out << "end\n";
	return out.str();
}

std::string text(const csp_outcome &outcome)
{
	static const char *const statuses[] = {"", "closed ", "again ", "late "};
	std::ostringstream out;
	for (const csp_trace &trace : outcome.procs) {
		out << (trace.end == CSP_NEW		 ? "\tnot started"
				: trace.end == CSP_ENDED ? "\tended"
							 : "\tstuck in step ");
		if (trace.end >= CSP_STUCK)
			out << trace.end - CSP_STUCK;
		for (unsigned n = 0; n < trace.count && n < CSP_EVENTS; n++) {
			unsigned event = trace.events[n], value = event & CSP_BROKEN;
			out << (n == 0 ? ": " : ", ") << (event >> 13) << " "
			    << statuses[event >> 11 & 3];
			out << (value == CSP_BROKEN ? "BROKEN" : std::to_string(value));
		}
		out << "\n";
	}
	for (const csp_rest &rest : outcome.chans)
		for (unsigned n = 0; n < rest.count && n < CSP_BUFFER; n++)
			out << "\tleft in " << &rest - outcome.chans << ": " << rest.values[n] << "\n";
	return out.str();
}

} // namespace csp
