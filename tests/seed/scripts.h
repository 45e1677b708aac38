/* SPDX-License-Identifier: MIT */
/* scripts.h - the scripts that golden/'s texts come from, in C++ over weft's calls
 *
 * What     one function for each statement of s1_s40.py and s14_27.py that prints, in their order, with the script's own names; the
 *          rows' tests call them one by one, golden_test.cc in a row.
 */
#ifndef TESTS_SEED_SCRIPTS_H
#define TESTS_SEED_SCRIPTS_H

#include "tests/seed/python.h"

namespace seed
{
/* class D(Exception) of the scripts. */
constexpr int D = -EDOM;
constexpr int VALUE_ERROR = -ERANGE;
constexpr int TYPE_ERROR = -EILSEQ;

namespace script
{
/* x = yield; return */
inline void *simple()
{
	return reraise(yield());
}

inline void send_to_fresh(Transcript &out)
{
	Gen s(simple);
	void *ten = py_int(10);
	void *trapped = trap(send(s, ten), NOT_STARTED);
	out.print("send10 fresh", trapped, state(s));
	out.print("after failed send, next works", trap(next(s)));
	trapped = trap(send(s, ten));
	out.print("end", trapped, state(s));
	out.print("again", trap(send(s, ten)));
}

inline void four_states(Transcript &out)
{
	void *a = py_int(2);
	Gen g([a] {
		Step b = yield(a);
		if (b.code == 0)
			b = yield(py_int(static_cast<long>(object(a).number + object(b.value).number)));
		return reraise(b);
	});
	out.print(state(g));
	void *first = trap(next(g));
	std::string after_first = state(g);
	void *second = trap(send(g, py_int(3)));
	std::string after_second = state(g);
	void *last = trap(send(g, py_int(4)));
	out.print(first, after_first, second, after_second, last, state(g));
}

/* The averager that never ends. */
inline void *averager()
{
	double total = 0, count = 0;
	void *average = nullptr;
	for (;;) {
		Step term = yield(average);
		if (term.code < 0)
			return reraise(term);
		if (!is_number(term.value))
			return weft_gen_raise(TYPE_ERROR,
				py_error("TypeError",
					"unsupported operand type(s) for +=: 'float' and 'str'"));
		total += object(term.value).number;
		average = py_float(total / ++count);
	}
}

inline void averages(Transcript &out)
{
	Gen a(averager);
	next(a);
	void *first = trap(send(a, py_int(10)));
	void *second = trap(send(a, py_int(30)));
	void *third = trap(send(a, py_int(40)));
	out.print(first, second, third);
	void *spam = trap(send(a, py_str("spam")));
	std::string after = state(a);
	out.print(spam, after, trap(send(a, py_int(60))));
}

/* close() as trap() shows it: what Python's returns is always None. */
inline void *trap_close(weft_gen *gen, const std::string &message = "")
{
	return trap({weft_gen_close(gen), nullptr}, message);
}

inline void yield_in_close(Transcript &out)
{
	Gen i([]() -> void * {
		for (;;) {
			Step got = yield();
			if (got.code < 0 && got.code != WEFT_GEN_EXIT)
				return reraise(got);
		}
	});
	next(i);
	void *trapped = trap_close(i, IGNORED_EXIT);
	out.print("yield in close", trapped, state(i));
}

inline void other_in_close(Transcript &out)
{
	void *x = py_error("ValueError", "x");
	Gen o([x] {
		Step got = yield();
		return got.code == WEFT_GEN_EXIT ? weft_gen_raise(VALUE_ERROR, x) : reraise(got);
	});
	next(o);
	int code = weft_gen_close(o);
	void *payload = nullptr;
	EXPECT_EQ(code, weft_gen_error(o, &payload));
	out.print("other exc in close", trap({code, payload}), state(o));
}

inline void return_in_close(Transcript &out)
{
	Gen o([] {
		Step got = yield();
		return got.code == WEFT_GEN_EXIT ? py_int(7) : reraise(got);
	});
	next(o);
	void *trapped = trap_close(o);
	out.print("close returns", trapped, state(o));
}

inline void close_fresh(Transcript &out)
{
	Gen f(simple);
	void *closed = trap_close(f);
	std::string after = state(f);
	out.print("close fresh", closed, after, trap(next(f)));
	out.print("close closed", trap_close(f));
}

inline void throw_fresh(Transcript &out)
{
	Gen f(simple);
	void *trapped = trap(throw_in(f, D, py_error("D", "z")));
	out.print("throw fresh", trapped, state(f));
	out.print("throw closed", trap(throw_in(f, D, py_error("D", "y"))));
}

inline void raise_stop_inside(Transcript &out)
{
	Gen x([] {
		Step got = yield(py_int(1));
		return got.code < 0 ? reraise(got) : weft_gen_raise(WEFT_GEN_DONE, py_int(5));
	});
	next(x);
	out.print("raise SI inside", trap(next(x), RAISED_STOP));
}

inline void reentrant(Transcript &out)
{
	weft_gen *self = nullptr;
	Gen z([&self] { return reraise(yield(trap(next(self), EXECUTING))); });
	self = z;
	out.print("reentrant", trap(next(z)));
}

inline void throw_through(Transcript &out)
{
	Gen inner([&out]() -> void * {
		Step x{};
		while (x.code == 0) {
			x = yield(py_str("i"));
			if (x.code == D)
				x = yield(py_str("D"));
		}
		out.print("inner finally");
		return reraise(x);
	});
	Gen outer([&inner] {
		Step r = delegate(inner);
		if (r.code == 0)
			r = yield(r.value);
		return reraise(r);
	});
	void *first = trap(next(outer));
	void *thrown = trap(throw_in(outer, D, py_error("D", "")));
	void *second = trap(next(outer));
	void *closed = trap_close(outer);
	out.print(first, thrown, second, closed, state(outer));
}

/* The echo of the second tutorial: what was sent, or thrown, comes back. */
inline void *echo(Transcript &out, void *value)
{
	out.print("execution starts when 'next()' is called ");
	Step got{0, value};
	while (got.code != WEFT_GEN_EXIT)
		got = yield(got.value);
	out.print("Don't forget to clean up when 'closed()' is called");
	return reraise(got);
}

inline void echoes(Transcript &out)
{
	Gen e([&out] { return echo(out, py_int(2)); });
	std::vector<void *> values;
	for (int i = 0; i < 3; i++)
		values.push_back(trap(next(e)));
	values.push_back(trap(send(e, py_int(3))));
	values.push_back(trap(send(e, py_int(4))));
	values.push_back(py_text(repr(throw_in(e, TYPE_ERROR, py_error("TypeError", "spam")).value)));
	values.push_back(trap(next(e)));
	out.print(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
	weft_gen_close(e);
	out.print(trap(next(e)));
}

inline void two_greenlets(Transcript &out)
{
	weft_coro *one = nullptr, *two = nullptr;
	Coro g1([&](void *) -> void * {
		out.print(12);
		if (switch_to(two).code == 0)
			out.print(34);
		return nullptr;
	});
	Coro g2([&](void *) -> void * {
		out.print(56);
		if (switch_to(one).code == 0)
			out.print(78);
		return nullptr;
	});
	one = g1, two = g2;
	void *returned = switch_to(g1).value;
	out.print("ret", returned, weft_coro_dead(g1), weft_coro_dead(g2));
}

inline void greenlets_with_values(Transcript &out)
{
	weft_coro *one = nullptr, *two = nullptr;
	Coro g1([&](void *arguments) -> void * {
		auto **pair = static_cast<void **>(arguments);
		Step z = switch_to(two, py_str(str(pair[0]) + str(pair[1])));
		if (z.code == 0)
			out.print("test1", z.value);
		return nullptr;
	});
	Coro g2([&](void *u) -> void * {
		out.print("test2", u);
		switch_to(one, py_int(10));
		return nullptr;
	});
	one = g1, two = g2;
	void *pair[] = {py_str("hello"), py_str(" world")};
	out.print(switch_to(g1, pair).value);
	out.print(weft_coro_dead(g1), weft_coro_dead(g2), weft_coro_parent(g1) == weft_coro_current());
}

inline void handled_exceptions(Transcript &out)
{
	Gen e([&out]() -> void * {
		out.print("-> coroutine started");
		for (;;) {
			Step x = yield();
			if (x.code == D)
				out.print("*** DemoException handled. Continuing...");
			else if (x.code == 0)
				out.print("-> coroutine received: " + repr(x.value));
			else
				return reraise(x);
		}
	});
	next(e);
	send(e, py_int(11));
	send(e, py_int(22));
	throw_in(e, D, py_error("D", ""));
	out.print(state(e));
	weft_gen_close(e);
	out.print(state(e));
}

inline void *leaf(const std::string &mode, Log &log)
{
	Step got{};
	while (got.code == 0) {
		got = yield(py_str("l"));
		if (got.code == D && mode == "handle")
			got = yield(py_str("handled"));
	}
	log.push_back("leaf");
	return got.code == D && mode == "end" ? py_str("ret") : reraise(got);
}

inline void *mid(weft_gen *it, Log &log)
{
	Step got = delegate(it);
	if (got.code == 0)
		got = yield(py_text("('got', " + repr(got.value) + ")"));
	if (got.code == D)
		got = yield(py_str("mid caught"));
	log.push_back("mid");
	return reraise(got);
}

inline void throws_by_leaf(Transcript &out)
{
	Log log;
	for (std::string mode : {"handle", "end", "reraise"}) {
		Gen sub([&] { return leaf(mode, log); });
		Gen g([&] { return mid(sub, log); });
		next(g);
		out.print(mode, trap(throw_in(g, D, py_error("D", ""))));
		weft_gen_close(g);
		out.print(repr_of(log), state(g));
		log.clear();
	}
}

/* class Plain: counts, and has no end. */
inline int plain_next(void *self, void **out)
{
	*out = py_int(++*static_cast<int *>(self));
	return WEFT_GEN_YIELDED;
}

inline void throws_by_plain_leaf(Transcript &out)
{
	Log log;
	int n = 0;
	Gen plain(weft_iter{&n, plain_next, nullptr, nullptr, nullptr});
	Gen g([&] { return mid(plain, log); });
	void *first = trap(next(g));
	void *second = trap(next(g));
	out.print(first, second, trap(throw_in(g, D, py_error("D", ""))));
	weft_gen_close(g);
	out.print(repr_of(log));
}

inline void closes_by_plain_leaf(Transcript &out)
{
	Log log;
	int n = 0;
	Gen plain(weft_iter{&n, plain_next, nullptr, nullptr, nullptr});
	Gen g([&] { return mid(plain, log); });
	next(g);
	void *closed = trap_close(g);
	out.print(closed, repr_of(log));
}

inline void close_error_wins(Transcript &out)
{
	Log log;
	int n = 0;
	auto bad_close = [](void *) { return VALUE_ERROR; };
	Gen bad(weft_iter{&n, plain_next, nullptr, nullptr, bad_close});
	Gen g([&] { return mid(bad, log); });
	next(g);
	if (weft_gen_close(g) == VALUE_ERROR)
		out.print("close error wins:", "close failed");
}

inline void greenlet_cleanup(Transcript &out)
{
	Coro g([&out](void *) -> void * {
		switch_to(weft_coro_parent(weft_coro_current()), py_str("up"));
		out.print("cleanup ran");
		return nullptr;
	});
	out.print(switch_to(g).value);
}

inline void greenlet_cycle(Transcript &out)
{
	auto nothing = [](void *) -> void * { return nullptr; };
	Coro a(nothing);
	Coro b(nothing, a);
	if (weft_coro_set_parent(a, b) == -ELOOP)
		out.print("cycle:", "cyclic parent chain");
}

inline void greenlet_elsewhere(Transcript &out)
{
	Coro g2([](void *) -> void * {
		switch_to(weft_coro_parent(weft_coro_current()), py_int(1));
		return nullptr;
	});
	switch_to(g2);
	elsewhere([&] {
		if (switch_to(g2).code == -EXDEV)
			out.print("cross-thread:", "cannot switch to a different thread");
	});
}
} // namespace script

/* What a part of a script prints is what the lines of golden/ are. */
inline void expect_lines(void (*part)(Transcript &), const std::string &name, int first, int last)
{
	Transcript out;
	part(out);
	EXPECT_EQ(golden(name, first, last), out.text());
}
} // namespace seed

#endif
