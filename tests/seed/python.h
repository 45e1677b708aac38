/* SPDX-License-Identifier: MIT */
/* python.h - values that print as Python's do, and transcripts that are compared with golden/
 *
 * What     objects behind the void pointers of generators (None is NULL), str() and repr() of them, print(), and the texts that CPython
 *          and greenlet printed when the scripts beside golden/'s originals were run.
 * Rules    objects live until the program ends.
 */
#ifndef TESTS_SEED_PYTHON_H
#define TESTS_SEED_PYTHON_H

#include <charconv>
#include <deque>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/seed/support.h"

namespace seed
{
struct Object {
	enum { INT, FLOAT, STR, TEXT /* prints as it stands: tuples */, ERROR } kind;
	double number;
	std::string text;
	std::string type;
};

inline void *keep(Object object)
{
	static std::deque<Object> objects;
	static std::mutex lock;
	std::lock_guard<std::mutex> guard(lock);
	objects.push_back(std::move(object));
	return &objects.back();
}

inline void *py_int(long value)
{
	return keep({Object::INT, static_cast<double>(value), "", ""});
}

inline void *py_float(double value)
{
	return keep({Object::FLOAT, value, "", ""});
}

inline void *py_str(std::string text)
{
	return keep({Object::STR, 0, std::move(text), ""});
}

inline void *py_text(std::string text)
{
	return keep({Object::TEXT, 0, std::move(text), ""});
}

inline void *py_error(std::string type, std::string message)
{
	return keep({Object::ERROR, 0, std::move(message), std::move(type)});
}

inline const Object &object(void *value)
{
	return *static_cast<const Object *>(value);
}

inline bool is_number(void *value)
{
	return value != nullptr && object(value).kind <= Object::FLOAT;
}

inline std::string repr_of(const std::string &text)
{
	bool has_quote = text.find('\'') != std::string::npos;
	return has_quote ? '"' + text + '"' : '\'' + text + '\'';
}

inline std::string repr_of(const Log &list)
{
	std::string text = "[";
	for (const std::string &item : list)
		text += (text.size() > 1 ? ", " : "") + repr_of(item);
	return text + "]";
}

/* The shortest digits that mean this number. */
inline std::string repr_of(double number)
{
	char digits[40];
	auto end = std::to_chars(digits, digits + sizeof(digits), number);
	std::string text(digits, end.ptr);
	return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

inline std::string repr(void *value)
{
	if (value == nullptr)
		return "None";
	const Object &it = object(value);
	switch (it.kind) {
	case Object::INT:
		return std::to_string(static_cast<long>(it.number));
	case Object::FLOAT:
		return repr_of(it.number);
	case Object::STR:
		return repr_of(it.text);
	case Object::TEXT:
		return it.text;
	case Object::ERROR:
		return it.type + "(" + repr_of(it.text) + ")";
	}
	return "";
}

inline std::string str(void *value)
{
	bool bare = value != nullptr &&
		(object(value).kind == Object::STR || object(value).kind == Object::ERROR);
	return bare ? object(value).text : repr(value);
}

inline std::string state(weft_gen *gen)
{
	static const char *const names[] = {"GEN_CREATED", "GEN_RUNNING", "GEN_SUSPENDED", "GEN_CLOSED"};
	return names[weft_gen_state(gen)];
}

/* What weft's own errors are in Python. */
inline std::string name_of_error(int code)
{
	switch (code) {
	case -EINVAL:
		return "TypeError";
	case -EBUSY:
		return "ValueError";
	case -EPROTO:
		return "RuntimeError";
	case -ENOSYS:
		return "AttributeError";
	case WEFT_GEN_EXIT:
		return "GeneratorExit";
	}
	return "error " + std::to_string(code);
}

/* trap() of golden/'s script: the value, or the exception's name, text and value. `message` is what Python says where weft, whose own
 * errors have no payload, says a number. */
inline void *trap(const Step &step, const std::string &message = "")
{
	if (step.code == WEFT_GEN_YIELDED)
		return step.value;
	if (step.code == WEFT_GEN_DONE)
		return py_text("('StopIteration', " +
			repr_of(step.value != nullptr ? str(step.value) : "") + ", " +
			repr(step.value) + ")");
	if (step.value == nullptr)
		return py_text("(" + repr_of(name_of_error(step.code)) + ", " + repr_of(message) +
			", None)");
	const Object &error = object(step.value);
	return py_text("(" + repr_of(error.type) + ", " + repr_of(error.text) + ", None)");
}

inline const char *const NOT_STARTED = "can't send non-None value to a just-started generator";
inline const char *const IGNORED_EXIT = "generator ignored GeneratorExit";
inline const char *const RAISED_STOP = "generator raised StopIteration";
inline const char *const EXECUTING = "generator already executing";

/* What a program has printed. */
class Transcript
{
public:
	/* Python's print(): strings as they are, values by str(). */
	template <typename... Parts>
	void print(const Parts &...parts)
	{
		std::string line;
		((line += line.empty() ? "" : " ", line += shown(parts)), ...);
		add(line + '\n');
	}
	void add(const std::string &text)
	{
		std::lock_guard<std::mutex> guard(lock_);
		text_ += text;
	}
	const std::string &text() const
	{
		return text_;
	}

private:
	static std::string shown(const std::string &text)
	{
		return text;
	}
	static std::string shown(const char *text)
	{
		return text;
	}
	static std::string shown(void *value)
	{
		return str(value);
	}
	static std::string shown(int number)
	{
		return std::to_string(number);
	}
	static std::string shown(bool truth)
	{
		return truth ? "True" : "False";
	}
	std::mutex lock_; /* for TSan: what the fibers of one worker do is in order, but it cannot know that */
	std::string text_;
};

template <typename... Args>
std::string format(const char *how, Args... args)
{
	char text[256];
	snprintf(text, sizeof(text), how, args...);
	return text;
}

/* 0x and hexadecimal digits become 0xADDR, as in golden/. */
inline std::string masked(const std::string &text)
{
	std::string result;
	for (size_t at = 0; at < text.size();) {
		size_t end = text.compare(at, 2, "0x") == 0
			? text.find_first_not_of("0123456789abcdef", at + 2)
			: at;
		bool address = end != at && end != at + 2;
		result += address ? "0xADDR" : text.substr(at, 1);
		at = address ? std::min(end, text.size()) : at + 1;
	}
	return result;
}

/* A file of golden/, or some of its lines, counted from 1. */
inline std::string golden(const std::string &name, int first = 1, int last = 1 << 30)
{
	std::ifstream file("tests/seed/golden/" + name);
	EXPECT_TRUE(file.is_open()) << name << ": run from the top of the tree";
	std::string line, text;
	for (int number = 1; std::getline(file, line); number++)
		if (number >= first && number <= last)
			text += line + "\n";
	return text;
}
} // namespace seed

#endif
