/* SPDX-License-Identifier: MIT */
/* csp_test.cc - random programs of processes and channels, compared with all that Go's rules let come out of them
 *
 * Law  whatever the schedule, the outcome of a program on weft is one of those which Go's rules for channels, selects, closes, mutexes
 *      and waitgroups allow; where they allow one only (Kahn networks) it is that one. Deadlocks are outcomes too.
 * Law  so with calls that give up: one that is late had no effect, and those who still wait are served in their order.
 * Law  what the model calls Go's rules are those: Go itself stays within them.
 *
 * CSP_FIRST and CSP_COUNT in the environment say which seeds to run, CSP_RUNS how often each.
 */
#include <fstream>
#include <vector>

#include "tests/core/support.h"
#include "tests/sync/csp/model.h"

using namespace support;

namespace
{

constexpr size_t STATES_MAX = 20000;

struct Trial {
	csp_program program;
	csp::Outcomes allowed, seen;
};

struct Sums {
	long programs, certain, stuck, allowed, seen, runs;

	void add(const Trial &trial)
	{
		programs++;
		certain += trial.allowed.size() == 1;
		allowed += static_cast<long>(trial.allowed.size());
		seen += static_cast<long>(trial.seen.size());
	}
	~Sums()
	{
		EXPECT_GT(certain, programs / 5) << "the model allows nearly everything";
		printf("%ld programs, %ld with one outcome; %ld runs, %ld of them stuck, gave %ld of %ld outcomes\n",
			programs, certain, runs, stuck, seen, allowed);
	}
};

uint64_t setting(const char *name, long otherwise)
{
	const char *value = getenv(name);
	return value != nullptr ? strtoull(value, nullptr, 0) : static_cast<uint64_t>(otherwise);
}

/* The programs of some seeds, as large as can be explored. */
std::vector<Trial> prepare(uint64_t first, uint64_t end, const csp::Dialect &dialect)
{
	std::vector<Trial> trials;
	for (uint64_t seed = first; seed < end; seed++)
		for (unsigned size = 6; size > 0; size--) {
			Trial trial{csp::generate(seed, size, dialect), {}, {}};
			if (!csp::explore(trial.program, dialect, STATES_MAX, &trial.allowed))
				continue;
			trials.push_back(std::move(trial));
			break;
		}
	return trials;
}

void check(Sums &sums, Trial &trial, const csp_outcome &outcome, const std::string &where)
{
	sums.runs++;
	for (const csp_trace &trace : outcome.procs)
		if (trace.end >= CSP_STUCK) {
			sums.stuck++;
			break;
		}
	trial.seen.insert(outcome);
	EXPECT_TRUE(trial.allowed.count(outcome) > 0)
		<< "no schedule gives what came out on " << where << ":\n"
		<< csp::text(outcome) << "of\n"
		<< csp::text(trial.program) << "first of " << trial.allowed.size() << " allowed:\n"
		<< csp::text(*trial.allowed.begin());
}

void run_on_weft(const csp::Dialect &dialect, long count)
{
	Sums sums{};
	uint64_t first = setting("CSP_FIRST", 1), end = first + setting("CSP_COUNT", count);
	uint64_t runs = setting("CSP_RUNS", 4);
	for (uint64_t seed = first; seed < end && !testing::Test::HasFailure(); seed += 250) {
		std::vector<Trial> trials = prepare(seed, std::min(end, seed + 250), dialect);
		for (unsigned workers : {1u, 2u, 8u})
			run_virtual(workers, [&] {
				for (Trial &trial : trials)
					for (uint64_t run = 0; run < runs; run++) {
						csp_outcome outcome;
						uint64_t noise = trial.program.seed * 1000 + run;
						EXPECT_EQ(0, csp_run(&trial.program, noise, &outcome));
						check(sums, trial, outcome,
							std::to_string(workers) + " workers, run " +
								std::to_string(run));
					}
			});
		for (const Trial &trial : trials)
			sums.add(trial);
	}
}

/* An outcome as csp.go prints it. */
csp_outcome parse(std::istream &in)
{
	csp_outcome outcome{};
	for (csp_trace &trace : outcome.procs) {
		in >> trace.end >> trace.count;
		for (uint16_t n = 0; n < trace.count && n < CSP_EVENTS; n++)
			in >> trace.events[n];
	}
	for (csp_rest &rest : outcome.chans) {
		in >> rest.count;
		for (uint16_t n = 0; n < rest.count && n < CSP_BUFFER; n++)
			in >> rest.values[n];
	}
	return outcome;
}

void run_on_go(Sums &sums, std::vector<Trial> &trials, const std::string &folder)
{
	uint64_t runs = setting("CSP_RUNS", 4);
	std::ofstream programs(folder + "/programs");
	for (const Trial &trial : trials)
		programs << csp::text(trial.program);
	programs.close();
	std::string command =
		"cd " + folder + " && ./csp " + std::to_string(runs) + " <programs >outcomes";
	ASSERT_EQ(0, system(command.c_str()));
	std::ifstream outcomes(folder + "/outcomes");
	for (Trial &trial : trials) {
		for (uint64_t run = 0; run < runs; run++) {
			uint64_t seed = 0;
			outcomes >> seed;
			check(sums, trial, parse(outcomes), "Go, run " + std::to_string(run));
			ASSERT_TRUE(outcomes && seed == trial.program.seed);
		}
		sums.add(trial);
	}
}

} // namespace

TEST(Csp, OutcomesAreThoseThatGoAllows)
{
	run_on_weft({}, times(3000, 1500));
}

TEST(Csp, CallsThatGiveUp)
{
	csp::Dialect dialect;
	dialect.timed = true;
	run_on_weft(dialect, times(3000, 1500));
}

TEST(Csp, GoStaysWithinTheModel)
{
	if (sanitized)
		GTEST_SKIP() << "Go is the same in every build";
	if (system("command -v go >/dev/null") != 0)
		GTEST_SKIP() << "there is no go on PATH: the model is not compared with it";
	const char *scratch = getenv("TEST_TMPDIR");
	std::string folder = scratch != nullptr ? scratch : testing::TempDir();
	std::string build = "GOCACHE=" + folder + "/gocache GO111MODULE=off go build -o " + folder +
		"/csp tests/sync/csp/csp.go";
	ASSERT_EQ(0, system(build.c_str()));
	csp::Dialect dialect;
	dialect.panics = true;
	Sums sums{};
	uint64_t first = setting("CSP_FIRST", 1), end = first + setting("CSP_COUNT", 500);
	/* Few at a time: what is stuck stays in Go's process to its end. */
	for (uint64_t seed = first; seed < end && !HasFailure(); seed += 50) {
		std::vector<Trial> trials = prepare(seed, std::min(end, seed + 50), dialect);
		run_on_go(sums, trials, folder);
	}
}
