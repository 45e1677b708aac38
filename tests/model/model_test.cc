/* SPDX-License-Identifier: MIT */
/* model_test.cc - the protocol headers as shipped are right, and every mutant of them is caught
 *
 * Law      no interleaving of a model's programs over the shipped headers breaks its law; each line of mutants.ini breaks one, in the
 *          way it says. A violation is printed step by step.
 */
#include "tests/model/explorer.h"

#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <string>

namespace
{

/* Ten times the largest program: a model that outgrows it wants smaller programs, not a larger bound. */
constexpr uint64_t kStatesMax = 15'000'000;

unsigned mutants, caught;

bool is_mutant(const model_case &c)
{
	return c.step[0] != '\0';
}

class Model : public testing::TestWithParam<uint32_t>
{
protected:
	const model_case &c = model_cases[GetParam()];
	model_result result;

	/* Explores until the first violation. Returns the name of the program that has it. */
	const char *explore()
	{
		for (uint32_t i = 0; i < c.model->programs; i++) {
			const model_program *program = &c.model->program[i];
			model_explore(c.model, program, kStatesMax, &result);
			if (result.failed)
				return program->name;
			if (!is_mutant(c))
				printf("%s: %s: %llu states\n", c.name, program->name,
					static_cast<unsigned long long>(result.states));
		}
		return nullptr;
	}
};

using Shipped = Model;
using Mutant = Model;

TEST_P(Shipped, KeepsItsLaw)
{
	const char *program = explore();
	if (program != nullptr)
		ADD_FAILURE() << c.name << ", " << program << ": " << result.what << "\n"
			      << result.trace;
}

TEST_P(Mutant, IsCaught)
{
	mutants++;
	const char *program = explore();
	ASSERT_NE(program, nullptr) << c.step << ", " << c.name << ": not caught; expected: " << c.expect;
	printf("%s, %s\n%s: %s\n%s", c.step, c.name, program, result.what, result.trace);
	ASSERT_NE(strstr(result.what, c.expect), nullptr)
		<< c.name << ": expected " << c.expect << ", found " << result.what;
	caught++;
}

uint32_t shipped_count()
{
	uint32_t count = 0;
	while (count < model_case_count && !is_mutant(model_cases[count]))
		count++;
	return count;
}

/* The case's name as googletest wants names. */
std::string test_name(const testing::TestParamInfo<uint32_t> &info)
{
	std::string name = std::to_string(info.param);
	bool word = true;
	for (const char *at = model_cases[info.param].name; *at != '\0'; at++) {
		if (isalnum(static_cast<unsigned char>(*at)))
			name += static_cast<char>(word ? toupper(*at) : *at);
		word = !isalnum(static_cast<unsigned char>(*at)) && *at != '\'';
	}
	return name;
}

INSTANTIATE_TEST_SUITE_P(Headers, Shipped, testing::Range(0u, shipped_count()), test_name);
INSTANTIATE_TEST_SUITE_P(Table, Mutant, testing::Range(shipped_count(), model_case_count), test_name);

class Tally : public testing::Environment
{
	void TearDown() override
	{
		printf("%u mutants caught of %u\n", caught, mutants);
	}
};

const testing::Environment *const tally = testing::AddGlobalTestEnvironment(new Tally);

} // namespace
