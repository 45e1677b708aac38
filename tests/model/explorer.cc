/* SPDX-License-Identifier: MIT */
/* explorer.cc - runs every interleaving of a model's threads: depth first, each state once
 *
 * What     model threads are stacks of our own, switched by the production switch. Before each step a thread hands its operation
 *          to the explorer, which carries it out when it chooses that thread. Going back to an earlier state is copying the block, the
 *          stacks and the buffers back: nothing is run twice.
 * Rules    V1 a state is the 64-bit hash of the block, the buffers, the operations asked for, and the stacks with the registers saved
 *             on them. Two states of one hash would hide one of them: at a million states the odds are below one in ten million.
 *          V2 one exploration at a time: the model's calls find it by a global.
 */
#include "tests/model/explorer.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include "sched/core/context.h"
}

namespace
{

constexpr size_t kStackBytes = 16 * 1024;
constexpr size_t kBufferMax = 8;
constexpr size_t kStateMax = 4096;
constexpr size_t kDepthMax = 2000;

struct Place {
	const char *name; /* "load sc", or what a step is about */
	const char *file; /* NULL for the model's own steps */
	int line;
};

struct Store {
	void *at;
	size_t size;
	uint64_t value;
	bool release;
	Place place;
};

enum class Kind { kLoad, kRmw, kStep, kBarrier, kWait, kFull, kEnded };

struct Operation {
	Kind kind;
	Place place;
	void *at;
	size_t size;
	model_update rmw;
	uint64_t operand, expect;
	uint32_t *alarms;
};

struct Thread {
	void *sp;
	Operation next;
	uint64_t result;
	size_t stored;
	Store store[kBufferMax]; /* oldest first */
};

struct Choice {
	enum { kRun, kAlarm, kFlush } kind;
	uint32_t thread;
	size_t which; /* of the buffer's stores */
};

/* For the report. */
struct Event {
	uint32_t thread;
	Place place;
	const void *at;
	uint64_t before, after;
	bool flush;
};

struct Frame {
	std::vector<Choice> choices;
	size_t tried;
	uint32_t last; /* the thread that led here: going on with it first keeps reports readable */
	Event event;
	Thread thread[MODEL_THREADS_MAX];
	char state[kStateMax];
	std::vector<char> stacks;
};

uint64_t mix(uint64_t hash, uint64_t value)
{
	unsigned __int128 product =
		static_cast<unsigned __int128>(hash ^ value ^ 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93;
	return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/* The hashes seen, by open addressing; 0 is no hash. */
class Seen
{
public:
	/* True: it is new. */
	bool insert(uint64_t hash)
	{
		hash = hash == 0 ? 1 : hash;
		if ((count_ + 1) * 2 > slot_.size())
			grow();
		uint64_t *at = find(hash);
		if (*at == hash)
			return false;
		*at = hash;
		count_++;
		return true;
	}
	uint64_t count() const
	{
		return count_;
	}

private:
	uint64_t *find(uint64_t hash)
	{
		size_t i = hash & (slot_.size() - 1);
		while (slot_[i] != 0 && slot_[i] != hash)
			i = (i + 1) & (slot_.size() - 1);
		return &slot_[i];
	}
	void grow()
	{
		std::vector<uint64_t> old(slot_.size() * 2);
		old.swap(slot_);
		for (uint64_t hash : old)
			if (hash != 0)
				*find(hash) = hash;
	}
	std::vector<uint64_t> slot_ = std::vector<uint64_t>(1 << 12);
	uint64_t count_ = 0;
};

class Explorer
{
public:
	Explorer(const model *m, const model_program *p, model_result *r)
		: model_(m), program_(p), result_(r)
	{
	}
	void explore(uint64_t states_max);

	/* Called on a model thread's stack. */
	Operation &prepare(Kind kind, const char *name, const char *file, int line);
	uint64_t ask();
	void hold(const Store &store);
	bool changes(const void *at) const;
	uint64_t load(const Thread &thread, const void *at, size_t size) const;
	uint64_t load_own(const void *at, size_t size) const
	{
		return load(thread_[current_], at, size);
	}
	void fail(const char *format, va_list values);
	static wf_context_next thread_main(void *);

private:
	void start();
	void run(uint32_t thread);
	void save(char *to) const;
	void load_saved(const char *from);
	Event apply(const Choice &choice);
	void flush(Thread &thread, size_t which);
	uint64_t update(Thread &thread);
	void list_choices(std::vector<Choice> *choices, uint32_t first) const;
	void list_choices_of(std::vector<Choice> *choices, uint32_t thread) const;
	uint64_t hash() const;
	void push(const Event &event);
	void restore(const Frame &frame);
	void report();
	void print(size_t number, const Event &event, size_t *used);
	char *stack_top(uint32_t thread)
	{
		return stack_[thread] + kStackBytes;
	}

	const model *model_;
	const model_program *program_;
	model_result *result_;
	void *own_sp_ = nullptr;
	uint32_t current_ = 0;
	Thread thread_[MODEL_THREADS_MAX];
	size_t depth_ = 0;
	std::vector<Frame> frame_;
	Seen seen_;
	alignas(16) static char stack_[MODEL_THREADS_MAX][kStackBytes];
};

alignas(16) char Explorer::stack_[MODEL_THREADS_MAX][kStackBytes];
Explorer *now; /* V2 */

[[noreturn]] void die(const char *what)
{
	fprintf(stderr, "explorer: %s\n", what);
	abort();
}

uint64_t read_word(const void *at, size_t size)
{
	uint64_t value = 0;
	memcpy(&value, at, size);
	return value;
}

uint64_t hash_words(uint64_t hash, const void *at, size_t bytes)
{
	const char *from = static_cast<const char *>(at);
	for (size_t i = 0; i < bytes; i += 8)
		hash = mix(hash, read_word(from + i, 8));
	return hash;
}

wf_context_next Explorer::thread_main(void *)
{
	now->program_->thread[now->current_].main(now->program_->thread[now->current_].argument);
	now->prepare(Kind::kEnded, "ended", nullptr, 0);
	now->ask();
	die("a thread that has ended was run");
}

/* In place, because whatever lies on the stack makes states differ. */
Operation &Explorer::prepare(Kind kind, const char *name, const char *file, int line)
{
	Operation &operation = thread_[current_].next;
	operation = {};
	operation.kind = kind;
	operation.place = {name, file, line};
	return operation;
}

uint64_t Explorer::ask()
{
	Thread &thread = thread_[current_];
	wf_context_switch(&thread.sp, own_sp_, nullptr);
	return thread.result;
}

void Explorer::hold(const Store &store)
{
	Thread &thread = thread_[current_];
	if (thread.stored == kBufferMax) {
		prepare(Kind::kFull, "finds room in its buffer", nullptr, 0);
		ask();
	}
	thread.store[thread.stored++] = store;
}

/* M1. */
bool Explorer::changes(const void *at) const
{
	uintptr_t address = reinterpret_cast<uintptr_t>(at);
	if (address - reinterpret_cast<uintptr_t>(model_->state) < model_->state_bytes ||
		model_->parts == 0)
		return true;
	for (uint32_t i = 0; i < model_->parts; i++)
		if (address - reinterpret_cast<uintptr_t>(model_->part[i].at) < model_->part[i].bytes)
			return true;
	return false;
}

void Explorer::fail(const char *format, va_list values)
{
	if (result_->failed)
		return;
	result_->failed = true;
	vsnprintf(result_->what, sizeof(result_->what), format, values);
}

/* To its next operation. */
void Explorer::run(uint32_t thread)
{
	current_ = thread;
	wf_context_switch(&own_sp_, thread_[thread].sp, nullptr);
}

void Explorer::start()
{
	memset(model_->state, 0, model_->state_bytes);
	for (uint32_t i = 0; i < model_->parts; i++)
		memset(model_->part[i].at, 0, model_->part[i].bytes);
	if (program_->setup != nullptr)
		program_->setup();
	memset(stack_, 0, sizeof(stack_));
	for (uint32_t i = 0; i < program_->threads; i++) {
		thread_[i] = Thread();
		current_ = i;
		wf_context_start(&own_sp_, wf_context_make(stack_top(i), thread_main), nullptr);
	}
}

void Explorer::flush(Thread &thread, size_t which)
{
	memcpy(thread.store[which].at, &thread.store[which].value, thread.store[which].size);
	std::copy(thread.store + which + 1, thread.store + thread.stored, thread.store + which);
	thread.stored--;
}

uint64_t Explorer::load(const Thread &thread, const void *at, size_t size) const
{
	for (size_t i = thread.stored; i-- > 0;)
		if (thread.store[i].at == at)
			return thread.store[i].value;
	return read_word(at, size);
}

/* A RMW, with the buffer empty. Returns the value before. */
uint64_t Explorer::update(Thread &thread)
{
	const Operation &op = thread.next;
	uint64_t before = read_word(op.at, op.size);
	uint64_t after = before;
	switch (op.rmw) {
	case MODEL_SWAP:
		after = op.operand;
		break;
	case MODEL_ADD:
		after = before + op.operand;
		break;
	case MODEL_SUB:
		after = before - op.operand;
		break;
	case MODEL_OR:
		after = before | op.operand;
		break;
	case MODEL_AND:
		after = before & op.operand;
		break;
	case MODEL_CAS:
		after = before == op.expect ? op.operand : before;
		break;
	}
	memcpy(op.at, &after, op.size);
	return before;
}

Event Explorer::apply(const Choice &choice)
{
	Thread &thread = thread_[choice.thread];
	const Operation op = thread.next;
	Event event = {choice.thread, op.place, op.at, 0, 0, false};
	if (choice.kind == Choice::kFlush) {
		const Store store = thread.store[choice.which];
		event = {choice.thread, store.place, store.at, read_word(store.at, store.size), 0, true};
		flush(thread, choice.which);
		event.after = read_word(store.at, store.size);
		return event;
	}
	if (op.kind != Kind::kLoad && op.kind != Kind::kFull)
		while (thread.stored > 0)
			flush(thread, 0);
	/* Whichever thread's stores were first: those runs are explored, too, as flushes before this step. */
	for (uint32_t i = 0; i < program_->threads && op.kind == Kind::kBarrier; i++)
		while (thread_[i].stored > 0)
			flush(thread_[i], 0);
	if (op.kind == Kind::kLoad)
		thread.result = event.before = event.after = load(thread, op.at, op.size);
	if (op.kind == Kind::kRmw) {
		thread.result = event.before = update(thread);
		event.after = read_word(op.at, op.size);
	}
	if (choice.kind == Choice::kAlarm) {
		--*op.alarms;
		event.place.name = "an alarm ends the wait";
	}
	run(choice.thread);
	return event;
}

void Explorer::list_choices_of(std::vector<Choice> *choices, uint32_t i) const
{
	const Operation &op = thread_[i].next;
	switch (op.kind) {
	case Kind::kEnded:
		break;
	case Kind::kFull:
		if (thread_[i].stored < kBufferMax)
			choices->push_back({Choice::kRun, i, 0});
		break;
	case Kind::kWait:
		if (read_word(op.at, sizeof(uint32_t)) != 0)
			choices->push_back({Choice::kRun, i, 0});
		if (op.alarms != nullptr && *op.alarms != 0)
			choices->push_back({Choice::kAlarm, i, 0});
		break;
	default:
		choices->push_back({Choice::kRun, i, 0});
	}
}

void Explorer::list_choices(std::vector<Choice> *choices, uint32_t first) const
{
	choices->clear();
	for (uint32_t i = 0; i < program_->threads; i++)
		list_choices_of(choices, (first + i) % program_->threads);
	for (uint32_t i = 0; i < program_->threads; i++) {
		const Thread &thread = thread_[i];
		for (size_t k = 0; k < thread.stored; k++) {
			bool leaves = k == 0 || !thread.store[k].release;
			for (size_t earlier = 0; earlier < k; earlier++)
				leaves = leaves && thread.store[earlier].at != thread.store[k].at;
			if (leaves)
				choices->push_back({Choice::kFlush, i, k});
		}
	}
}

uint64_t Explorer::hash() const
{
	uint64_t hash = hash_words(0, model_->state, model_->state_bytes);
	for (uint32_t i = 0; i < model_->parts; i++)
		hash = hash_words(hash, model_->part[i].at, model_->part[i].bytes);
	for (uint32_t i = 0; i < program_->threads; i++) {
		const Thread &thread = thread_[i];
		const char *sp = static_cast<const char *>(thread.sp);
		/* What the operation asks for may stand nowhere else any more. */
		hash = mix(hash, reinterpret_cast<uintptr_t>(thread.next.at));
		hash = mix(mix(hash, thread.next.operand), thread.next.expect);
		hash = mix(hash, reinterpret_cast<uintptr_t>(sp));
		for (; sp < stack_[i] + kStackBytes; sp += 8)
			hash = mix(hash, read_word(sp, 8));
		for (size_t k = 0; k < thread.stored; k++) {
			hash = mix(hash, reinterpret_cast<uintptr_t>(thread.store[k].at));
			hash = mix(mix(hash, thread.store[k].value), thread.store[k].release);
		}
		hash = mix(hash, thread.stored);
	}
	return hash;
}

void Explorer::save(char *to) const
{
	memcpy(to, model_->state, model_->state_bytes);
	to += model_->state_bytes;
	for (uint32_t i = 0; i < model_->parts; to += model_->part[i++].bytes)
		memcpy(to, model_->part[i].at, model_->part[i].bytes);
}

void Explorer::load_saved(const char *from)
{
	memcpy(model_->state, from, model_->state_bytes);
	from += model_->state_bytes;
	for (uint32_t i = 0; i < model_->parts; from += model_->part[i++].bytes)
		memcpy(model_->part[i].at, from, model_->part[i].bytes);
}

/* The present state as a frame, to come back to. */
void Explorer::push(const Event &event)
{
	if (depth_ == kDepthMax)
		die("a run is too long: a loop that waits without model_wait?");
	if (frame_.size() == depth_)
		frame_.emplace_back();
	Frame &frame = frame_[depth_++];
	frame.tried = 0;
	frame.last = event.thread;
	frame.event = event;
	list_choices(&frame.choices, event.thread);
	memcpy(frame.thread, thread_, program_->threads * sizeof(thread_[0]));
	save(frame.state);
	frame.stacks.clear();
	for (uint32_t i = 0; i < program_->threads; i++)
		frame.stacks.insert(
			frame.stacks.end(), static_cast<char *>(thread_[i].sp), stack_top(i));
}

void Explorer::restore(const Frame &frame)
{
	memcpy(thread_, frame.thread, program_->threads * sizeof(thread_[0]));
	load_saved(frame.state);
	const char *from = frame.stacks.data();
	for (uint32_t i = 0; i < program_->threads; i++) {
		size_t bytes = static_cast<size_t>(stack_top(i) - static_cast<char *>(thread_[i].sp));
		memcpy(thread_[i].sp, from, bytes);
		from += bytes;
	}
}

void Explorer::print(size_t number, const Event &event, size_t *used)
{
	char *out = result_->trace + *used;
	size_t room = sizeof(result_->trace) - *used;
	const char *file = event.place.file;
	const char *slash = file != nullptr ? strrchr(file, '/') : nullptr;
	char place[64] = "";
	if (file != nullptr)
		snprintf(place, sizeof(place), "%s:%d", slash != nullptr ? slash + 1 : file,
			event.place.line);
	char effect[128] = "";
	unsigned long long before = event.before, after = event.after;
	if (event.at != nullptr && file != nullptr && before == after)
		snprintf(effect, sizeof(effect), "%s %#llx", model_->name(event.at), before);
	else if (event.at != nullptr && file != nullptr)
		snprintf(effect, sizeof(effect), "%s %#llx -> %#llx", model_->name(event.at),
			before, after);
	int wrote = snprintf(out, room, "%4zu  %-12s %-18s %s%s  %s\n", number,
		program_->thread[event.thread].name, place, event.flush ? "now visible: " : "",
		event.place.name, effect);
	*used = std::min(*used + static_cast<size_t>(wrote), sizeof(result_->trace) - 1);
}

void Explorer::report()
{
	size_t used = 0;
	result_->trace[0] = '\0';
	for (size_t i = 1; i < depth_; i++)
		print(i, frame_[i].event, &used);
}

void Explorer::explore(uint64_t states_max)
{
	now = this;
	start();
	push(Event());
	bool moved = false;
	while (depth_ > 0 && !result_->failed) {
		Frame &frame = frame_[depth_ - 1];
		if (frame.tried == frame.choices.size()) {
			depth_--;
			moved = true;
			continue;
		}
		if (moved)
			restore(frame);
		Event event = apply(frame.choices[frame.tried++]);
		moved = true;
		if (model_->check != nullptr)
			model_->check();
		if (!result_->failed && !seen_.insert(hash()))
			continue;
		push(event);
		moved = false;
		if (!result_->failed && frame_[depth_ - 1].choices.empty())
			model_->finish();
		if (!result_->failed && seen_.count() > states_max)
			model_fail("more than %llu states: the model is too large",
				static_cast<unsigned long long>(states_max));
	}
	result_->states = seen_.count();
	if (result_->failed)
		report();
	now = nullptr;
}

} // namespace

uint64_t model_load(const void *at, size_t size, const char *name, const char *file, int line)
{
	if (!now->changes(at))
		return read_word(at, size);
	Operation &op = now->prepare(Kind::kLoad, name, file, line);
	op.at = const_cast<void *>(at);
	op.size = size;
	return now->ask();
}

uint64_t model_own(const uint64_t *at)
{
	return now->load_own(at, sizeof(*at));
}

void model_store(void *at, size_t size, uint64_t value, bool release, const char *name,
	const char *file, int line)
{
	if (!now->changes(at))
		die("a store to what is not in the model's state");
	now->hold({at, size, value, release, {name, file, line}});
}

uint64_t model_rmw(void *at, size_t size, enum model_update rmw, uint64_t operand, const char *name,
	const char *file, int line)
{
	if (!now->changes(at))
		die("an update of what is not in the model's state");
	Operation &op = now->prepare(Kind::kRmw, name, file, line);
	op.at = at;
	op.size = size;
	op.rmw = rmw;
	op.operand = operand;
	return now->ask();
}

bool model_cas64(uint64_t *at, uint64_t *expect, uint64_t value, const char *file, int line)
{
	Operation &op = now->prepare(Kind::kRmw, "cas", file, line);
	op.at = at;
	op.size = sizeof(*at);
	op.rmw = MODEL_CAS;
	op.operand = value;
	op.expect = *expect;
	uint64_t before = now->ask();
	bool done = before == *expect;
	*expect = before;
	return done;
}

bool model_cas32(uint32_t *at, uint32_t *expect, uint32_t value, const char *file, int line)
{
	Operation &op = now->prepare(Kind::kRmw, "cas", file, line);
	op.at = at;
	op.size = sizeof(*at);
	op.rmw = MODEL_CAS;
	op.operand = value;
	op.expect = *expect;
	uint32_t before = static_cast<uint32_t>(now->ask());
	bool done = before == *expect;
	*expect = before;
	return done;
}

void model_step(const char *what)
{
	now->prepare(Kind::kStep, what, nullptr, 0);
	now->ask();
}

void model_barrier(const char *what)
{
	now->prepare(Kind::kBarrier, what, nullptr, 0);
	now->ask();
}

void model_wait(const char *what, const uint32_t *word, uint32_t *alarms)
{
	Operation &op = now->prepare(Kind::kWait, what, nullptr, 0);
	op.at = const_cast<uint32_t *>(word);
	op.alarms = alarms;
	now->ask();
}

void model_fail(const char *format, ...)
{
	va_list values;
	va_start(values, format);
	now->fail(format, values);
	va_end(values);
}

void model_explore(const struct model *model, const struct model_program *program,
	uint64_t states_max, struct model_result *result)
{
	size_t bytes = model->state_bytes;
	bool whole = bytes % 8 == 0;
	for (uint32_t i = 0; i < model->parts; i++) {
		bytes += model->part[i].bytes;
		whole = whole && model->part[i].bytes % 8 == 0;
	}
	if (!whole || bytes > kStateMax)
		die("a model's state is a multiple of 8 bytes, at most kStateMax");
	memset(result, 0, sizeof(*result));
	Explorer(model, program, result).explore(states_max);
}
