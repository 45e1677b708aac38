/* SPDX-License-Identifier: MIT */
/* process_support.h - what the tests of child processes share
 *
 * What     Command, options that live; Child, one that is freed; Process, the fixture, which finds children, zombies and descriptors that
 *          were left.
 */
#ifndef WF_TESTS_IO_PROCESS_SUPPORT_H
#define WF_TESTS_IO_PROCESS_SUPPORT_H

#include "tests/io/support.h"

#include <weft/process.h>

namespace io_test
{

/* Options for a command, which live as long as the object. */
class Command
{
public:
	explicit Command(std::vector<std::string> words) : words_(std::move(words))
	{
		for (const std::string &word : words_)
			argv_.push_back(word.c_str());
		argv_.push_back(nullptr);
		options.argv = argv_.data();
	}
	Command(const Command &) = delete;
	Command &operator=(const Command &) = delete;
	weft_process_options options{};

private:
	std::vector<std::string> words_;
	std::vector<const char *> argv_;
};

/* A child that is freed, and the descriptors that were open before it are all that are open after. */
class Child
{
public:
	explicit Child(const Command &command)
	{
		error = weft_process_spawn(&process, &command.options);
	}
	~Child()
	{
		weft_process_free(&process);
		EXPECT_EQ(-1, process.pidfd);
	}
	Child(const Child &) = delete;
	Child &operator=(const Child &) = delete;
	int wait()
	{
		int status = -1;
		int result = weft_process_wait(&process, &status);
		return result != 0 ? result : status;
	}
	weft_process process;
	int error;
};

inline bool has_children()
{
	siginfo_t info{};
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Ended, and not waited for by whoever is its parent now. */
inline bool is_zombie(pid_t pid)
{
	std::string path = "/proc/" + std::to_string(pid) + "/stat";
	FILE *file = fopen(path.c_str(), "r");
	char state = 'X';
	if (file != nullptr) {
		if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = 'X';
		fclose(file);
	}
	return state == 'Z' || state == 'X';
}

/* Each test in every setup; none leaves a child, a zombie or a descriptor. */
class Process : public Rings
{
protected:
	void run(Body body) const
	{
		int before = count_open();
		Rings::run([&] {
			int inside = count_open();
			body();
			EXPECT_EQ(inside, count_open());
			EXPECT_FALSE(has_children());
		});
		EXPECT_EQ(before, count_open());
	}
};
/* A child costs milliseconds: each engine and each number of workers once. */
inline std::vector<Setup> some_setups()
{
	std::vector<Setup> all = every_setup();
	return all.size() < 9 ? all : std::vector<Setup>{all[0], all[4], all[8]};
}

#define IN_SOME_SETUPS(fixture)                                                                    \
	INSTANTIATE_TEST_SUITE_P(Rings, fixture, testing::ValuesIn(some_setups()), setup_name)

/* What a run said on stdout; its other results are expected to be plain. */
inline std::string output_of(const Command &command, const std::string &input = "")
{
	weft_process_capture capture{};
	capture.input = input.data();
	capture.input_len = input.size();
	EXPECT_EQ(0, weft_process_run(&command.options, &capture));
	EXPECT_EQ(0, capture.status);
	std::string text(capture.out != nullptr ? capture.out : "", capture.out_len);
	EXPECT_EQ(0u, capture.err_len) << capture.err;
	weft_process_capture_free(&capture);
	return text;
}

} // namespace io_test

#endif
