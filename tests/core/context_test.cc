/* SPDX-License-Identifier: MIT */
/* context_test.cc - the switch of stacks
 *
 * Law  what the calling convention says a call preserves is preserved across a park, also when the fiber goes on elsewhere.
 * Law  unwinding a fiber's stack ends at its entry.
 * Law  a signal may arrive at any instruction of a switch.
 */
#include <atomic>
#include <csignal>
#include <execinfo.h>
#include <sys/time.h>
#include <vector>

#include "tests/core/support.h"

using namespace support;

extern "C" {
/* Fills the registers that a call preserves with values made of `seed`, calls fn, and returns how many came back changed. */
int check_preserved_registers(uint64_t seed, void (*fn)(void));
void wf_context_entry(void);
}

__asm__(".pushsection .text\n"
	".globl check_preserved_registers\n"
	".type check_preserved_registers, @function\n"
	"check_preserved_registers:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	push %rdi\n" /* also aligns the stack for the call */
	"	lea 1(%rdi), %rbp\n	lea 2(%rdi), %rbx\n	lea 3(%rdi), %r12\n"
	"	lea 4(%rdi), %r13\n	lea 5(%rdi), %r14\n	lea 6(%rdi), %r15\n"
	"	call *%rsi\n"
	"	pop %rdi\n	xor %eax, %eax\n	mov $1, %ecx\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %rbp\n	cmovne %ecx, %edx\n	add %edx, %eax\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %rbx\n	cmovne %ecx, %edx\n	add %edx, %eax\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %r12\n	cmovne %ecx, %edx\n	add %edx, %eax\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %r13\n	cmovne %ecx, %edx\n	add %edx, %eax\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %r14\n	cmovne %ecx, %edx\n	add %edx, %eax\n	xor %edx, %edx\n"
	"	inc %rdi\n	cmp %rdi, %r15\n	cmovne %ecx, %edx\n	add %edx, %eax\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size check_preserved_registers, . - check_preserved_registers\n"
	".popsection\n");

class Context : public Workers
{
};
FOR_WORKERS(Context);

static void nap_a_little()
{
	weft_sleep(WEFT_US);
}

TEST_P(Context, RegistersArePreserved)
{
	run(GetParam(), [] {
		std::atomic<int> changed{0};
		std::vector<weft_fiber *> fibers;
		for (uint64_t i = 1; i <= 16; i++)
			fibers.push_back(spawn([i, &changed] {
				for (long k = 0; k < times(2000, 200); k++) {
					uint64_t seed = i << 48 | static_cast<uint64_t>(k) << 8;
					changed += check_preserved_registers(
						seed, k % 20 == 0 ? nap_a_little : weft_yield);
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(0, changed.load());
	});
}

TEST_P(Context, UnwindingEndsAtTheEntry)
{
	void *warm_up[4];
	backtrace(warm_up, 4); /* loads the unwinder, which wants more than a fiber's stack */
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 10; i++)
			fibers.push_back(spawn([] {
				weft_yield();
				void *frames[64];
				int count = backtrace(frames, 64);
				ASSERT_GT(count, 3);
				ASSERT_LT(count, 40) << "no invented frames";
				auto last = reinterpret_cast<uintptr_t>(frames[count - 1]);
				auto entry = reinterpret_cast<uintptr_t>(wf_context_entry);
				EXPECT_GE(last, entry);
				EXPECT_LT(last, entry + 64);
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
	});
}

static std::atomic<long> signals_seen;

UNSEEN_BY_TSAN static void on_alarm(int)
{
	volatile char room[256];
	for (size_t at = 0; at < sizeof(room); at++)
		room[at] = 1;
	signals_seen++;
}

/* Fibers switch in a storm of signals delivered to the workers' own threads. */
static void switch_in_a_storm(unsigned workers, int flags)
{
	struct sigaction action = {}, old_action;
	action.sa_handler = on_alarm;
	action.sa_flags = SA_RESTART | flags;
	sigaction(SIGALRM, &action, &old_action);
	sigset_t alarm, old_mask;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, &old_mask);
	signals_seen = 0;
	run(workers, [alarm] {
		std::vector<weft_fiber *> fibers;
		std::atomic<int> changed{0};
		weft_ns end = weft_after(times(300, 200) * WEFT_MS), limit = weft_after(20 * WEFT_SEC);
		struct itimerval storm = {{0, 50}, {0, 50}};
		setitimer(ITIMER_REAL, &storm, nullptr);
		for (int i = 0; i < 16; i++)
			fibers.push_back(spawn([end, limit, alarm, &changed] {
				/* On a machine that stands still, until there has been a storm. */
				while (weft_now() < end || (signals_seen <= 10 && weft_now() < limit)) {
					/* Whichever worker this is: it takes them. */
					pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
					for (int k = 0; k < 50; k++)
						changed += check_preserved_registers(
							static_cast<uint64_t>(k) << 8, weft_yield);
					join(spawn([] {}));
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		storm = {};
		setitimer(ITIMER_REAL, &storm, nullptr);
		EXPECT_EQ(0, changed.load());
	});
	EXPECT_GT(signals_seen.load(), 10);
	signal(SIGALRM, SIG_IGN); /* one may still be on its way */
	pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
	sigaction(SIGALRM, &old_action, nullptr);
}

TEST_P(Context, SignalsOnTheSignalStack)
{
	switch_in_a_storm(GetParam(), SA_ONSTACK);
}

TEST_P(Context, SignalsOnTheFibersOwnStack)
{
	if (sanitized)
		GTEST_SKIP() << "a handler on a stack half switched away from confuses the sanitizers, not weft";
	switch_in_a_storm(GetParam(), 0);
}
