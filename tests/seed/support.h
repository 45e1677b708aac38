/* SPDX-License-Identifier: MIT */
/* support.h - what the tests of generators and coroutines share
 *
 * What     generators out of C++ functions, and each call's answer as one value that can be compared: its code and what it put in *out.
 * Rules    a body's objects with destructors are gone only if the body ends: one that answers its closing with a yield owns none.
 *          Rows run through everywhere(): on a plain thread, and on fibers.
 */
#ifndef TESTS_SEED_SUPPORT_H
#define TESTS_SEED_SUPPORT_H

#include <atomic>
#include <map>
#include <mutex>
#include <ostream>
#include <thread>
#include <utility>
#include <vector>

#include "tests/core/support.h"

namespace seed
{
using namespace support;

inline void *num(intptr_t n)
{
	return reinterpret_cast<void *>(n);
}

inline intptr_t as_num(void *value)
{
	return reinterpret_cast<intptr_t>(value);
}

/* What a call has returned, and what it has put in *out, *sent or *result. */
struct Step {
	int code;
	void *value;

	bool operator==(const Step &) const = default;
};

inline std::ostream &operator<<(std::ostream &stream, const Step &step)
{
	return stream << "{code " << step.code << ", value " << step.value << "}";
}

inline Step yielded(void *value)
{
	return {WEFT_GEN_YIELDED, value};
}

inline Step done(void *value)
{
	return {WEFT_GEN_DONE, value};
}

/* A value that no call may leave in its out parameter. */
inline void *const UNTOUCHED = num(-77);

inline Step next(weft_gen *gen)
{
	Step step{0, UNTOUCHED};
	step.code = weft_gen_next(gen, &step.value);
	return step;
}

inline Step send(weft_gen *gen, void *value)
{
	Step step{0, UNTOUCHED};
	step.code = weft_gen_send(gen, value, &step.value);
	return step;
}

inline Step throw_in(weft_gen *gen, int error, void *payload = nullptr)
{
	Step step{0, UNTOUCHED};
	step.code = weft_gen_throw(gen, error, payload, &step.value);
	return step;
}

inline Step yield(void *value = nullptr)
{
	Step step{0, UNTOUCHED};
	step.code = weft_gen_yield(value, &step.value);
	return step;
}

inline Step delegate(weft_gen *sub)
{
	Step step{0, UNTOUCHED};
	step.code = weft_gen_delegate(sub, &step.value);
	return step;
}

inline Step switch_to(weft_coro *coro, void *value = nullptr)
{
	Step step{0, UNTOUCHED};
	step.code = weft_coro_switch(coro, value, &step.value);
	return step;
}

inline Step throw_to(weft_coro *coro, int error, void *payload = nullptr)
{
	Step step{0, UNTOUCHED};
	step.code = weft_coro_throw(coro, error, payload, &step.value);
	return step;
}

/* The end of a body that does not handle what its last yield has come to. */
inline void *reraise(const Step &got)
{
	return got.code < 0 ? weft_gen_raise(got.code, got.value) : nullptr;
}

/* A generator whose body is a C++ function; freed at the end of its scope. */
class Gen
{
public:
	using Body = std::function<void *()>;

	explicit Gen(Body body) : body_(std::make_unique<Body>(std::move(body)))
	{
		EXPECT_EQ(0, weft_gen_new(&gen_, run, body_.get()));
	}
	explicit Gen(const weft_iter &iter)
	{
		EXPECT_EQ(0, weft_gen_from_iter(&gen_, &iter));
	}
	Gen(Gen &&other) noexcept
		: body_(std::move(other.body_)), gen_(std::exchange(other.gen_, nullptr))
	{
	}
	~Gen()
	{
		free();
	}
	void free()
	{
		weft_gen_free(std::exchange(gen_, nullptr));
	}
	operator weft_gen *() const
	{
		return gen_;
	}

private:
	static void *run(void *arg)
	{
		return (*static_cast<Body *>(arg))();
	}
	std::unique_ptr<Body> body_;
	weft_gen *gen_ = nullptr;
};

/* A coroutine whose function is a C++ function of the value that starts it; freed at the end of its scope. A coroutine gets no argument
 * but that value, so it finds its function by who it is. */
class Coro
{
public:
	using Body = std::function<void *(void *)>;

	explicit Coro(Body body, weft_coro *parent = nullptr)
		: body_(std::make_unique<Body>(std::move(body)))
	{
		EXPECT_EQ(0, weft_coro_new(&coro_, run, parent));
		std::lock_guard<std::mutex> guard(lock);
		bodies[coro_] = body_.get();
	}
	~Coro()
	{
		free();
	}
	Coro(const Coro &) = delete;
	void free()
	{
		weft_coro *coro = std::exchange(coro_, nullptr);
		{
			std::lock_guard<std::mutex> guard(lock);
			bodies.erase(coro);
		}
		weft_coro_free(coro);
	}
	operator weft_coro *() const
	{
		return coro_;
	}

private:
	static void *run(void *value)
	{
		Body *body;
		{
			std::lock_guard<std::mutex> guard(lock);
			body = bodies.at(weft_coro_current());
		}
		return (*body)(value);
	}
	static inline std::mutex lock;
	static inline std::map<weft_coro *, Body *> bodies;

	std::unique_ptr<Body> body_;
	weft_coro *coro_ = nullptr;
};

/* How many of them there are: what a body owns, and must have given back when it is over. */
class Live
{
public:
	Live()
	{
		count++;
	}
	~Live()
	{
		count--;
	}
	Live(const Live &) = delete;
	static inline std::atomic<long> count{0};
};

/* A plain iterable that counts 1, 2 .. last, with a `next` and nothing else. */
struct Counting {
	intptr_t last;
	intptr_t at = 0;

	static int next(void *self, void **out)
	{
		auto *counting = static_cast<Counting *>(self);
		if (counting->at == counting->last)
			return WEFT_GEN_DONE;
		*out = num(++counting->at);
		return WEFT_GEN_YIELDED;
	}
	weft_iter iter()
	{
		return {this, next, nullptr, nullptr, nullptr};
	}
};

/* Runs a row on a plain thread, and on fibers. */
inline void everywhere(const std::function<void()> &row)
{
	row();
	run(1, row);
	run(2, row);
}

/* Runs fn on another fiber, or, where there are none, on another thread; returns when it has. */
inline void elsewhere(const std::function<void()> &fn)
{
	if (weft_self() != nullptr)
		join(spawn(fn));
	else
		std::thread(fn).join();
}

using Log = std::vector<std::string>;
} // namespace seed

#endif
