/* SPDX-License-Identifier: MIT */
/* unwind_test.cc - stacks walked without libgcc, memory that may not be there, names of functions
 *
 * Law  a walk finds the functions that called, whatever the compiler made of them, through calls of libc, and through signals.
 * Law  it ends at the bottom of a fiber.
 * Law  whatever a stack holds, and whatever the registers, the walk ends, and faults nobody.
 * Law  unmapped memory is not read, and errno stays.
 */
#include <algorithm>
#include <alloca.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#include "tests/core/support.h"

extern "C" {
#include "sched/base/peek.h"
#include "sched/base/symbol.h"
#include "sched/base/unwind.h"
#include "sched/core/context.h"
#include "sched/core/context_registers.h"
}

using namespace support;

static const size_t most = 64;

/* What a walk has found; filled in within signal handlers too. */
struct walk {
	const void *pc[most];
	size_t count;
};

static struct walk found, interrupted;

static std::string name_of(const void *pc, bool exact)
{
	char text[256];
	size_t length = wf_symbol(pc, exact, text, sizeof(text));
	EXPECT_EQ(strlen(text), length);
	return text;
}

static void go(struct wf_registers *registers, struct walk *walk)
{
	walk->count = wf_unwind(registers, wf_unwind_peek, nullptr, walk->pc, most);
}

static std::vector<std::string> names(const struct walk &walk)
{
	std::vector<std::string> all;
	for (size_t i = 0; i < walk.count; i++)
		all.push_back(name_of(walk.pc[i], i == 0));
	return all;
}

/* The name of a static function may be mangled. */
static bool is_of(const std::string &text, const std::string &function)
{
	size_t plus = text.find("+0x");
	std::string name = text.substr(
		0, std::min(plus, text.find('.'))); /* compilers add what they have done to it */
	return plus != std::string::npos &&
		(name == function || name.find("_ZL" + std::to_string(function.size()) + function) == 0);
}

/* The functions occur in this order, others perhaps in between. */
static void expect_order(const struct walk &walk, const std::vector<std::string> &wanted)
{
	size_t at = 0;
	std::string text;
	for (const std::string &one : names(walk)) {
		text += one + "\n";
		if (at < wanted.size() && is_of(one, wanted[at]))
			at++;
	}
	EXPECT_EQ(wanted.size(), at) << "no " << (at < wanted.size() ? wanted[at] : "") << " in\n"
				     << text;
}

extern "C" {

static __attribute__((noinline)) int innermost(int x)
{
	struct wf_registers registers;
	wf_registers_here(&registers);
	go(&registers, &found);
	return x + 1;
}

static __attribute__((noinline)) int with_alloca(int x)
{
	volatile char *memory = static_cast<char *>(alloca(static_cast<size_t>(x) * 16));
	memory[0] = 1;
	return innermost(x) + memory[0];
}

static __attribute__((noinline)) int with_aligned(int x)
{
	alignas(128) volatile char memory[256];
	memory[x] = 1;
	return with_alloca(x) + memory[x];
}

static __attribute__((noinline)) int with_many(int a, int b, int c, int d, int e, int f, int g, int h)
{
	return with_aligned(a + b + c + d + e + f + g + h) + 1;
}

#ifndef __clang__
__attribute__((optimize("O0")))
#else
__attribute__((optnone))
#endif
static __attribute__((noinline)) int
unoptimized(int x)
{
	int y = with_many(x, 1, 1, 1, 1, 1, 1, 1);
	return y + 1;
}

static int compare(const void *a, const void *b)
{
	if (found.count == 0)
		unoptimized(2);
	return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

static __attribute__((noinline)) int through_libc(int x)
{
	int numbers[4] = {x, 3, 2, 1};
	qsort(numbers, 4, sizeof(int), compare);
	return numbers[0] + 1;
}

static void on_signal(int, siginfo_t *, void *)
{
	found.count = 0;
	innermost(1);
}

static __attribute__((noinline)) int raises(int x)
{
	raise(SIGUSR1);
	return x + 1;
}

static void on_fault(int, siginfo_t *, void *context)
{
	struct wf_registers registers;
	wf_registers_of_ucontext(&registers, context);
	go(&registers, &interrupted);
	found.count = 0;
	innermost(1);
	auto *uc = static_cast<ucontext_t *>(context);
#if defined(__x86_64__)
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
#else
	uc->uc_mcontext.pc += 4;
#endif
}

/* A fault at its very first instruction: the byte before is another function's. */
void traps(void);
}

#if defined(__x86_64__)
#define TRAP "ud2\n	ret\n"
#else
#define TRAP "udf #0\n	ret\n"
#endif
__asm__(".pushsection .text\n.type traps, %function\n.globl traps\ntraps:\n	.cfi_startproc\n	" TRAP
	"	.cfi_endproc\n.size traps, . - traps\n.popsection\n");

static void handle(int number, void (*fn)(int, siginfo_t *, void *), struct sigaction *old)
{
	struct sigaction action = {};
	action.sa_sigaction = fn;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	ASSERT_EQ(0, sigaction(number, &action, old));
}

extern "C" __attribute__((noinline)) int calls_trap(int x)
{
	traps();
	return x + 1;
}

TEST(Unwind, FindsWhoCalled)
{
	found.count = 0;
	unoptimized(2);
	expect_order(found,
		{"innermost", "with_alloca", "with_aligned", "with_many", "unoptimized", "main"});
}

TEST(Unwind, GoesThroughLibc)
{
	found.count = 0;
	through_libc(4);
	expect_order(found, {"innermost", "unoptimized", "compare", "through_libc", "main"});
}

TEST(Unwind, GoesThroughSignals)
{
	struct sigaction old;
	std::vector<char> memory(128 * 1024);
	stack_t stack = {}, former;
	stack.ss_sp = memory.data();
	stack.ss_size = memory.size();
	for (int alternate = 0; alternate < 2; alternate++) {
		if (alternate == 1) {
			ASSERT_EQ(0, sigaltstack(&stack, &former));
		}
		handle(SIGUSR1, on_signal, &old);
		raises(1);
		expect_order(found, {"innermost", "on_signal", "raises", "main"});
		sigaction(SIGUSR1, &old, nullptr);
		handle(SIGILL, on_fault, &old);
		calls_trap(1);
		expect_order(found, {"innermost", "on_fault", "traps", "calls_trap", "main"});
		expect_order(interrupted, {"traps", "calls_trap", "main"});
		EXPECT_EQ(0u, names(interrupted).at(0).find("traps+0x0 ("));
		sigaction(SIGILL, &old, nullptr);
	}
	sigaltstack(&former, nullptr);
}

TEST(Unwind, EndsInThreads)
{
	std::thread([] { unoptimized(2); }).join();
	expect_order(found, {"innermost", "unoptimized"});
	EXPECT_GT(most, found.count);
}

TEST(Unwind, GarbageEndsTheWalk)
{
	std::mt19937_64 random(7);
	std::vector<uintptr_t> code; /* of modules, so that their tables are asked */
	for (void *fn : {reinterpret_cast<void *>(&qsort), reinterpret_cast<void *>(&wf_unwind),
		     reinterpret_cast<void *>(&raise), reinterpret_cast<void *>(&wf_symbol)})
		code.push_back(reinterpret_cast<uintptr_t>(fn));
	std::vector<uintptr_t> stack(4096);
	for (long round = 0; round < 10000; round++) {
		for (size_t i = 0; i < stack.size(); i += 1 + random() % 8)
			switch (random() % 5) {
			case 0:
				stack[i] = random();
				break;
			case 1:
				stack[i] = reinterpret_cast<uintptr_t>(&stack[random() % stack.size()]);
				break;
			case 2:
				stack[i] = random() % 4096;
				break;
			default:
				stack[i] = code[random() % code.size()] + random() % 100000;
			}
		struct wf_registers registers = {};
		for (uintptr_t &reg : registers.reg)
			reg = stack[random() % stack.size()];
		registers.known = random() | 1u << WF_REGISTER_SP;
		registers.reg[WF_REGISTER_SP] = reinterpret_cast<uintptr_t>(&stack[random() % 64]);
		registers.pc = code[random() % code.size()] + random() % 100000;
		const void *pc[100];
		EXPECT_LE(wf_unwind(&registers, wf_unwind_peek, nullptr, pc, 100), 100u);
	}
}

TEST(Unwind, StopsWhereTheStackCannotBeRead)
{
	struct wf_registers registers;
	wf_registers_here(&registers);
	const void *pc[most];
	auto nothing = [](void *, uintptr_t, void *, size_t) { return false; };
	EXPECT_EQ(1u, wf_unwind(&registers, nothing, nullptr, pc, most));
	registers.pc = 0;
	EXPECT_EQ(0u, wf_unwind(&registers, wf_unwind_peek, nullptr, pc, most));
	registers.pc = 4097;
	EXPECT_EQ(1u, wf_unwind(&registers, nothing, nullptr, pc, most));
}

static void *parked_sp, *resumed_sp;

extern "C" {

UNSEEN_BY_TSAN __attribute__((noinline)) static int parks_here(int x)
{
	wf_context_switch(&parked_sp, resumed_sp, nullptr);
	return x + 1;
}

UNSEEN_BY_TSAN static struct wf_context_next main_of_stack(void *value)
{
	parks_here(1);
	return {resumed_sp, value};
}

UNSEEN_BY_TSAN static void start_stack(void *sp)
{
	wf_context_start(&resumed_sp, sp, nullptr);
}
}

TEST(Unwind, StartsFromAStackThatWasLeft)
{
	std::vector<char> memory(256 * 1024);
	uintptr_t top = reinterpret_cast<uintptr_t>(memory.data() + memory.size()) & ~uintptr_t{15};
	start_stack(wf_context_make(reinterpret_cast<void *>(top), main_of_stack));
	struct wf_registers registers;
	ASSERT_TRUE(wf_registers_of_context(&registers, parked_sp, wf_unwind_peek, nullptr));
	struct walk walk;
	go(&registers, &walk);
	EXPECT_EQ(3u, walk.count);
	expect_order(walk, {"parks_here", "main_of_stack", "wf_context_entry"});
	EXPECT_FALSE(wf_registers_of_context(&registers, nullptr, wf_unwind_peek, nullptr));
}

TEST(Peek, CopesWithWhatIsNotThere)
{
	size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	char *memory = static_cast<char *>(
		mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, memory);
	memset(memory, 'x', 2 * page);
	ASSERT_EQ(0, munmap(memory + page, page));
	std::vector<char> copy(2 * page);
	errno = 77;
	EXPECT_TRUE(wf_peek(memory, copy.data(), page));
	EXPECT_EQ(std::string(page, 'x'), std::string(copy.data(), page));
	EXPECT_FALSE(wf_peek(memory, copy.data(), page + 1));
	EXPECT_FALSE(wf_peek(memory + page - 1, copy.data(), 2));
	EXPECT_TRUE(wf_peek(memory + page - 1, copy.data(), 1));
	EXPECT_FALSE(wf_peek(nullptr, copy.data(), 1));
	EXPECT_FALSE(wf_peek(reinterpret_cast<void *>(UINTPTR_MAX - 4), copy.data(), 4));
	EXPECT_TRUE(wf_peek(nullptr, copy.data(), 0));
	ASSERT_EQ(0, mprotect(memory, page, PROT_NONE));
	EXPECT_FALSE(wf_peek(memory, copy.data(), 1));
	EXPECT_EQ(77, errno);
	munmap(memory, page);
}

/* Memory that comes and goes while it is looked at. */
TEST(Peek, CopesWithWhatIsUnmappedMeanwhile)
{
	const size_t bytes = 1 << 20;
	std::atomic<char *> where{nullptr};
	std::atomic<bool> over{false};
	std::thread other([&] {
		while (!over) {
			void *memory = mmap(where.load(), bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
			where = static_cast<char *>(memory);
			munmap(memory, bytes);
		}
	});
	std::vector<char> copy(4096);
	while (where == nullptr)
		std::this_thread::yield();
	for (long i = 0; i < times(100000, 1000); i++)
		wf_peek(where.load() + 4096, copy.data(), copy.size());
	over = true;
	other.join();
}

TEST(Symbol, NamesStaticFunctions)
{
	auto *fn = reinterpret_cast<const char *>(&through_libc);
	EXPECT_TRUE(is_of(name_of(fn, true), "through_libc"));
	EXPECT_NE(std::string::npos, name_of(fn, true).find("+0x0 ("));
	EXPECT_TRUE(is_of(name_of(fn + 3, false), "through_libc"));
	EXPECT_NE(std::string::npos, name_of(fn + 3, false).find("+0x3 ("));
	EXPECT_FALSE(is_of(name_of(fn, false), "through_libc"));
}

TEST(Symbol, CopesWithStrangeAddresses)
{
	EXPECT_EQ("0x0", name_of(nullptr, true));
	EXPECT_EQ("0xffffffffffffffff", name_of(reinterpret_cast<void *>(UINTPTR_MAX), true));
	int local = 0;
	char wanted[32];
	snprintf(wanted, sizeof(wanted), "%p", static_cast<void *>(&local));
	EXPECT_EQ(wanted, name_of(&local, true));
	char small[4];
	errno = 77;
	EXPECT_EQ(3u, wf_symbol(nullptr, true, small, sizeof(small)));
	EXPECT_STREQ("0x0", small);
	EXPECT_EQ(1u, wf_symbol(nullptr, true, small, 2));
	EXPECT_EQ(0u, wf_symbol(nullptr, true, small, 0));
	EXPECT_EQ(77, errno);
}

TEST(Symbol, NamesOtherModules)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	ASSERT_NE(nullptr, libc);
	for (const char *name : {"qsort", "nanosleep", "getenv", "pthread_mutex_lock"}) {
		std::string text = name_of(dlsym(libc, name), true);
		EXPECT_NE(std::string::npos, text.find("+0x0 (libc.so.6)")) << text;
	}
	dlclose(libc);
}

TEST(Symbol, ManyThreadsAsk)
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back([] {
			for (long k = 0; k < times(2000, 100); k++)
				EXPECT_NE(std::string::npos,
					name_of(reinterpret_cast<void *>(&qsort), true).find("qsort"));
		});
	for (std::thread &thread : threads)
		thread.join();
}
