/* SPDX-License-Identifier: MIT */
/* gen_fork_test.cc - generators and coroutines in a child made by fork()
 *
 * Law  the child of a plain thread has the generators and coroutines of its parent, and they go on there as in the parent.
 * Law  so has the child of a fiber, also when the fork came from within a body or a coroutine: what it yields reaches its resumer.
 * Law  so has the child of a process whose other threads use generators at that moment.
 * Law  a process without a runtime may start one in its child.
 */
#include <sys/wait.h>
#include <thread>

#include "tests/core/support.h"

using namespace support;

namespace
{
void *counter(void *arg)
{
	uintptr_t number = 0;
	while (weft_gen_yield(reinterpret_cast<void *>(++number), nullptr) == 0)
		continue;
	return arg;
}

/* Yields 1 in the child and 2 in the parent. */
void *forker(void *pid)
{
	*static_cast<pid_t *>(pid) = fork();
	weft_gen_yield(reinterpret_cast<void *>(*static_cast<pid_t *>(pid) == 0 ? 1L : 2L), nullptr);
	return nullptr;
}

void *coroutine(void *)
{
	for (intptr_t number = 10;; number++)
		if (weft_coro_switch(weft_coro_parent(weft_coro_current()),
			    reinterpret_cast<void *>(number), nullptr) < 0)
			return nullptr;
}

intptr_t next(weft_gen *gen)
{
	void *value = nullptr;
	return weft_gen_next(gen, &value) == WEFT_GEN_YIELDED ? reinterpret_cast<intptr_t>(value) : -1;
}

intptr_t turn(weft_coro *coro)
{
	void *value = nullptr;
	return weft_coro_switch(coro, nullptr, &value) == 0 ? reinterpret_cast<intptr_t>(value) : -1;
}

void *delegating(void *sub)
{
	weft_gen_delegate(static_cast<weft_gen *>(sub), nullptr);
	return nullptr;
}

void make_and_free()
{
	weft_gen *sub = nullptr, *gen = nullptr;
	EXPECT_EQ(0, weft_gen_new(&sub, counter, nullptr));
	EXPECT_EQ(0, weft_gen_new(&gen, delegating, sub));
	EXPECT_EQ(1, next(gen));
	weft_gen_free(gen);
	weft_gen_free(sub);
}

int exit_code_of(pid_t child)
{
	int status = 0;
	EXPECT_EQ(child, waitpid(child, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Forks with all kinds of them suspended, and once from within a body. */
void fork_among_generators()
{
	weft_gen *gen = nullptr, *inside = nullptr;
	weft_coro *coro = nullptr;
	pid_t child = -1;
	ASSERT_EQ(0, weft_gen_new(&gen, counter, nullptr));
	ASSERT_EQ(0, weft_gen_new(&inside, forker, &child));
	ASSERT_EQ(0, weft_coro_new(&coro, coroutine, nullptr));
	EXPECT_EQ(1, next(gen));
	EXPECT_EQ(10, turn(coro));
	intptr_t who = next(inside);
	bool fine = next(gen) == 2 && turn(coro) == 11 && next(gen) == 3;
	weft_coro_free(coro);
	weft_gen_free(inside);
	weft_gen_free(gen);
	if (who == 1)
		_exit(fine ? 0 : 1);
	EXPECT_EQ(2, who);
	EXPECT_TRUE(fine);
	EXPECT_EQ(0, exit_code_of(child));
}
} // namespace

TEST(GenFork, OfAPlainThread)
{
	if (tsan)
		GTEST_SKIP() << "ThreadSanitizer loses sight of hand-overs between contexts in a forked child";
	fork_among_generators();
}

/* Whatever locks of weft's another thread holds at that moment: the child can make and free generators. */
TEST(GenFork, WhileAnotherThreadMakesAndFreesThem)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers' own locks are as they were when the process forked";
	std::atomic<bool> over{false};
	std::thread other([&over] {
		while (!over)
			make_and_free();
	});
	weft_gen *gen = nullptr;
	ASSERT_EQ(0, weft_gen_new(&gen, counter, nullptr));
	EXPECT_EQ(1, next(gen));
	for (long i = 0; i < 2000; i++) {
		pid_t child = fork();
		if (child == 0) {
			alarm(60);
			bool fine = next(gen) == 2;
			weft_gen_free(gen);
			make_and_free();
			_exit(fine ? 0 : 1);
		}
		ASSERT_EQ(0, exit_code_of(child)) << i;
	}
	over = true;
	other.join();
	weft_gen_free(gen);
}

/* First of its process: no runtime has been. */
TEST(GenFork, AChildOfAProcessWithoutARuntimeMayStartOne)
{
	if (tsan)
		GTEST_SKIP() << "ThreadSanitizer: it starts no thread in the child of a process with threads";
	weft_gen *gen = nullptr;
	ASSERT_EQ(0, weft_gen_new(&gen, counter, nullptr));
	EXPECT_EQ(1, next(gen));
	pid_t child = fork();
	if (child == 0) {
		weft_config how{};
		how.workers = 1;
		int error = weft_run(
			&how,
			[](void *arg) -> void * {
				return next(static_cast<weft_gen *>(arg)) == 2 ? arg : nullptr;
			},
			gen, nullptr);
		_exit(error == 0 ? 0 : 1);
	}
	EXPECT_EQ(0, exit_code_of(child));
	weft_gen_free(gen);
}

TEST(GenFork, OfAFiber)
{
	if (sanitized)
		GTEST_SKIP() << "the sanitizers' own fork handlers need what a child of a fiber has not";
	run(2, [] { fork_among_generators(); });
}
