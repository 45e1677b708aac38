/* SPDX-License-Identifier: MIT */
/* program_rows_test.cc - rows S32, S33, S35 and S36 of the seed documents: the tutorials' whole programs on generators
 *
 * Law  each prints what it printed under CPython, byte for byte; addresses are masked.
 */
#include <array>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/seed/scripts.h"

using namespace seed;

namespace
{
struct Result {
	int count;
	double average;
};

using Results = std::map<std::string, Result>;

void *averager(Transcript &out, Result &result)
{
	double total = 0;
	for (;;) {
		out.print("in averager, before yield");
		Step term = yield();
		if (term.code < 0)
			return reraise(term);
		if (term.value == nullptr)
			break;
		total += *static_cast<double *>(term.value);
		result.average = total / ++result.count;
	}
	out.print("in averager, return result");
	return &result;
}

void *grouper(Transcript &out, Results &results, const std::string &key)
{
	for (;;) {
		out.print("in grouper, before yield from averager, key is ", key);
		Result result{};
		Gen sub([&] { return averager(out, result); });
		Step got = delegate(sub);
		if (got.code < 0)
			return reraise(got);
		results[key] = *static_cast<Result *>(got.value);
		out.print("in grouper, after yield from, key is ", key);
	}
}

void report(Transcript &out, const Results &results)
{
	for (const auto &[key, result] : results) {
		std::string group = key.substr(0, key.find(';')), unit = key.substr(key.find(';') + 1);
		out.print(format("%2d %-5s averaging %.2f%s", result.count, group.c_str(),
			result.average, unit.c_str()));
	}
}

struct Series {
	const char *key;
	std::array<double, 6> values;
};

constexpr Series DATA[] = {
	{"girls;kg", {40, 41, 42, 43, 44, 54}},
	{"girls;m", {1.5, 1.6, 1.8, 1.5, 1.45, 1.6}},
	{"boys;kg", {50, 51, 62, 53, 54, 54}},
	{"boys;m", {1.6, 1.8, 1.8, 1.7, 1.55, 1.6}},
};

std::string shown(weft_gen *gen)
{
	return format("<generator object grouper at %p>", static_cast<void *>(gen));
}

Results fill(Transcript &out)
{
	Results results;
	for (const Series &series : DATA) {
		Gen group([&] { return grouper(out, results, series.key); });
		out.print("\ncreate group: ", shown(group));
		next(group);
		out.print("pre active group ok");
		for (double value : series.values) {
			out.print(format("send to %s value %f now", shown(group).c_str(), value));
			send(group, &value);
		}
		out.print(format("send to %s none", shown(group).c_str()));
		send(group, nullptr);
	}
	return results;
}

const char *const REPORT = " 6 boys  averaging 54.00kg\n"
			   " 6 boys  averaging 1.68m\n"
			   " 6 girls averaging 44.00kg\n"
			   " 6 girls averaging 1.58m\n";
} // namespace

TEST(Seed, S32_TheReport)
{
	everywhere([] {
		Transcript unused, out;
		report(out, fill(unused));
		EXPECT_EQ(REPORT, out.text());
	});
}

TEST(Seed, S33_TheWholeTrace)
{
	everywhere([] {
		Transcript out;
		Results results = fill(out);
		out.print("report result: ");
		report(out, results);
		EXPECT_EQ(golden("s33_grouper_trace.txt"), masked(out.text()));
	});
}

TEST(Seed, S35_Echo)
{
	everywhere([] {
		expect_lines(script::echoes, "s1_s40.txt", 20, 23);
		Transcript out;
		script::echoes(out);
		const char *cleanup = "Don't forget to clean up";
		size_t at = out.text().find(cleanup);
		EXPECT_EQ(std::string::npos, out.text().find(cleanup, at + 1)) << "once";
	});
}

/* The lines of a descriptor, as read by weft_read a few bytes at a time. */
static void *producer(Transcript &out, int fd)
{
	std::string line;
	char some[5];
	int lines = 0;
	for (;;) {
		ssize_t got = weft_read(fd, some, sizeof(some));
		if (got < 0)
			return weft_gen_raise(static_cast<int>(got), nullptr);
		for (ssize_t i = 0; i < got; i++) {
			line += some[i];
			if (some[i] != '\n')
				continue;
			Step step = yield(py_str(std::exchange(line, "")));
			if (step.code < 0)
				return reraise(step);
			out.print("processed line", lines++);
		}
		if (got > 0)
			continue;
		Step step = line.empty() ? Step{} : yield(py_str(line));
		if (step.code == 0 && !line.empty())
			out.print("processed line", lines);
		return reraise(step);
	}
}

static void *consumer(Transcript &out)
{
	for (;;) {
		Step line = yield();
		if (line.code < 0)
			return reraise(line);
		std::string upper = str(line.value);
		for (char &c : upper)
			c = static_cast<char>(toupper(c));
		out.print(upper);
	}
}

/* Feeds the consumer with what the producer reads. */
static std::string feed(int fd, const std::function<void()> &at_each_line)
{
	Transcript out;
	Gen reader([&] { return producer(out, fd); });
	Gen writer([&] { return consumer(out); });
	next(writer);
	WEFT_GEN_EACH(reader, line) {
		at_each_line();
		EXPECT_EQ(yielded(nullptr), send(writer, line));
	}
	EXPECT_EQ(0, weft_gen_error(reader, nullptr));
	return out.text();
}

static const char *const LINES[] = {"hello\n", "World 42\n", "last"};

TEST(Seed, S36_ConsumerAndProducerOverAFile)
{
	for (unsigned workers : {1u, 2u})
		run(workers, [] {
			int fd = memfd_create("lines", MFD_CLOEXEC);
			ASSERT_GE(fd, 0);
			for (const char *line : LINES)
				EXPECT_EQ(static_cast<ssize_t>(strlen(line)),
					write(fd, line, strlen(line)));
			EXPECT_EQ(0, lseek(fd, 0, SEEK_SET));
			EXPECT_EQ(golden("s36_consumer.txt"), feed(fd, [] {}));
			EXPECT_EQ(0, weft_close(fd));
		});
}

TEST(Seed, S36_TheReadParksTheFiberAlone)
{
	run(1, [] {
		int ends[2];
		ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
		std::atomic<int> turns{0};
		int lines = 0;
		weft_fiber *other = spawn([&] {
			for (const char *line : LINES) {
				for (int i = 0; i < 50; i++, turns++)
					weft_yield();
				EXPECT_EQ(static_cast<ssize_t>(strlen(line)),
					weft_write(ends[1], line, strlen(line)));
			}
			EXPECT_EQ(0, weft_close(ends[1]));
		});
		std::string text = feed(ends[0], [&] {
			lines++;
			EXPECT_GE(turns, 50 * lines)
				<< "the other fiber went on while the read was pending";
		});
		EXPECT_EQ(golden("s36_consumer.txt"), text);
		EXPECT_EQ(3, lines);
		join(other);
		EXPECT_EQ(0, weft_close(ends[0]));
	});
}
