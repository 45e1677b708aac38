/* SPDX-License-Identifier: MIT */
/* chan_series_test.cc - power series as processes (McIlroy's, as in Go's test/chan/powser1.go): a pipeline
 * driven by demand
 *
 * Law  a network of some hundred processes that make each other while it runs, with feedback, computes what
 *      algebra says, on any number of workers.
 *
 * A series is two channels: a request goes one way, a coefficient comes back. Processes end with the runtime:
 * then their calls fail.
 */
#include <deque>
#include <mutex>
#include <numeric>
#include <queue>

#include "tests/sync/chan_support.h"

using namespace support;
using namespace chan_test;

struct rat {
	int64_t num, den; /* den 0: the series has ended */

	bool ended() const
	{
		return den == 0;
	}
	bool operator==(const rat &other) const = default;
};

static void PrintTo(const rat &value, std::ostream *out)
{
	*out << value.num << "/" << value.den;
}

static rat reduced(int64_t num, int64_t den)
{
	int64_t by = std::gcd(num, den) * (den < 0 ? -1 : 1);
	return {num / by, den / by};
}

static rat operator+(rat a, rat b)
{
	int64_t g = std::gcd(a.den, b.den);
	return reduced(a.num * (b.den / g) + b.num * (a.den / g), a.den * (b.den / g));
}

static rat operator*(rat a, rat b)
{
	int64_t g = std::gcd(a.num, b.den), h = std::gcd(b.num, a.den);
	if (g == 0 || h == 0)
		return {0, 1};
	return reduced((a.num / g) * (b.num / h), (a.den / h) * (b.den / g));
}

struct series {
	Chan<nothing> ask;
	Chan<rat> give;

	bool get(rat *value)
	{
		return ask.send({}) == 0 && give.recv(value) == 0;
	}
	bool asked()
	{
		nothing request;
		return ask.recv(&request) == 0;
	}
	bool put(rat value)
	{
		return asked() && give.send(value) == 0;
	}
	/* All of another series, from here on. */
	void copy(series *from)
	{
		rat value;
		while (asked() && from->get(&value) && give.send(value) == 0) {}
	}
};

/* A coefficient of each, in whatever order the two come to answer. */
static bool get_both(series *u, series *v, rat *value)
{
	nothing request;
	series *from[] = {u, v};
	weft_case cases[4];
	for (int i = 0; i < 2; i++) {
		cases[i] = send_case(from[i]->ask, &request);
		cases[2 + i] = recv_case(nullptr, &value[i]);
	}
	for (int left = 4; left > 0; left--) {
		int index = weft_select(cases, 4, WEFT_FOREVER);
		if (index < 0)
			return false;
		cases[index].chan = nullptr;
		if (index < 2)
			cases[2 + index].chan = from[index]->give.get();
	}
	return true;
}

/* One series for two readers, each at its own pace. A reader may depend on what the other one asks for. */
static void serve_two(series *in, series *out0, series *out1)
{
	series *out[] = {out0, out1};
	std::queue<rat> kept[2];
	bool wants[2] = {false, false}, asked = false;
	for (;;) {
		for (int i = 0; i < 2; i++)
			if (wants[i] && !kept[i].empty()) {
				if (out[i]->give.send(kept[i].front()) < 0)
					return;
				kept[i].pop();
				wants[i] = false;
			}
		nothing request;
		rat value;
		bool ask = (wants[0] || wants[1]) && !asked;
		weft_case cases[] = {
			recv_case(wants[0] ? nullptr : out0->ask.get(), &request),
			recv_case(wants[1] ? nullptr : out1->ask.get(), &request),
			send_case(ask ? in->ask.get() : nullptr, &request),
			recv_case(asked ? in->give.get() : nullptr, &value),
		};
		int index = weft_select(cases, 4, WEFT_FOREVER);
		if (index < 0)
			return;
		if (index < 2) {
			wants[index] = true;
			continue;
		}
		asked = index == 2;
		if (index == 3) {
			kept[0].push(value);
			kept[1].push(value);
		}
	}
}

class Algebra
{
	std::mutex mutex_;
	std::deque<series> all_;

	void multiply(series *u, series *v, series *z);

public:
	series *make()
	{
		std::lock_guard<std::mutex> hold(mutex_);
		return &all_.emplace_back();
	}
	std::pair<series *, series *> split(series *in)
	{
		series *first = make(), *second = make();
		go([=] { serve_two(in, first, second); });
		return {first, second};
	}
	series *repeat(rat c)
	{
		series *z = make();
		go([=] {
			while (z->put(c)) {}
		});
		return z;
	}
	series *add(series *u, series *v);
	series *scale(rat c, series *u);
	series *differentiate(series *u);
	series *integrate(rat c, series *u);
	series *substitute(series *u, rat c, int n);
	series *multiply(series *u, series *v)
	{
		series *z = make();
		go([=, this] { multiply(u, v, z); });
		return z;
	}
	/* Z = exp(U): Z' = Z U', and a constant term of 1. */
	series *exponential(series *u)
	{
		series *first = make(), *second = make();
		series *z = integrate({1, 1}, multiply(first, differentiate(u)));
		go([=] { serve_two(z, first, second); });
		return second;
	}
};

series *Algebra::add(series *u, series *v)
{
	series *z = make();
	go([=] {
		rat value[2];
		while (z->asked() && get_both(u, v, value)) {
			if (!value[0].ended() && !value[1].ended()) {
				if (z->give.send(value[0] + value[1]) < 0)
					return;
				continue;
			}
			/* One has ended: the rest is the other's. */
			rat last = value[0].ended() ? value[1] : value[0];
			if (z->give.send(last) == 0)
				z->copy(value[0].ended() ? v : u);
			return;
		}
	});
	return z;
}

series *Algebra::scale(rat c, series *u)
{
	series *z = make();
	go([=] {
		rat value;
		while (z->asked() && u->get(&value) &&
			z->give.send(value.ended() ? value : c * value) == 0) {}
	});
	return z;
}

/* (u + x U)(v + x V) = uv + x (uV + vU) + x x U V */
void Algebra::multiply(series *u, series *v, series *z)
{
	rat value[2];
	if (!z->asked() || !get_both(u, v, value))
		return;
	if (value[0].ended() || value[1].ended()) {
		z->give.send({1, 0});
		return;
	}
	if (z->give.send(value[0] * value[1]) < 0)
		return;
	auto [u0, u1] = split(u);
	auto [v0, v1] = split(v);
	series *w = add(scale(value[0], v0), scale(value[1], u0));
	rat second;
	if (z->asked() && w->get(&second) && z->give.send(second) == 0)
		z->copy(add(w, multiply(u1, v1)));
}

series *Algebra::differentiate(series *u)
{
	series *z = make();
	go([=] {
		rat value;
		if (!z->asked() || !u->get(&value))
			return;
		for (int64_t i = 1; u->get(&value); i++)
			if (z->give.send(value.ended() ? value : rat{i, 1} * value) < 0 || !z->asked())
				return;
	});
	return z;
}

series *Algebra::integrate(rat c, series *u)
{
	series *z = make();
	go([=] {
		if (!z->put(c))
			return;
		rat value;
		for (int64_t i = 1; z->asked() && u->get(&value); i++)
			if (z->give.send(value.ended() ? value : rat{1, i} * value) < 0)
				return;
	});
	return z;
}

/* U(c x^n): each coefficient times a power of c, and n - 1 zeros behind it. */
series *Algebra::substitute(series *u, rat c, int n)
{
	series *z = make();
	go([=] {
		rat value, power{1, 1};
		while (z->asked() && u->get(&value) && z->give.send(value * power) == 0) {
			power = power * c;
			for (int i = 1; i < n; i++)
				if (!z->put({0, 1}))
					return;
		}
	});
	return z;
}

static void expect_series(series *z, const std::vector<rat> &wanted)
{
	for (const rat &want : wanted) {
		rat got{0, 0};
		ASSERT_TRUE(z->get(&got));
		EXPECT_EQ(want, got);
	}
}

class PowerSeries : public Workers
{
};
FOR_WORKERS(PowerSeries);

TEST_P(PowerSeries, FollowAlgebra)
{
	Algebra algebra;
	run(GetParam(), [&] {
		auto ones = [&] { return algebra.repeat({1, 1}); };
		expect_series(ones(), std::vector<rat>(5, {1, 1}));
		expect_series(algebra.add(ones(), algebra.repeat({2, 1})), std::vector<rat>(10, {3, 1}));
		expect_series(algebra.scale({-1, 2}, ones()), std::vector<rat>(10, {-1, 2}));
		std::vector<rat> counting, harmonic = {{0, 1}}, arctangent = {{0, 1}};
		for (int64_t i = 1; i <= 10; i++) {
			counting.push_back({i, 1});
			harmonic.push_back({1, i});
			arctangent.push_back(i % 2 == 0 ? rat{0, 1} : rat{i % 4 == 1 ? 1 : -1, i});
		}
		expect_series(algebra.differentiate(ones()), counting);
		expect_series(algebra.multiply(ones(), ones()), counting);
		expect_series(algebra.integrate({0, 1}, ones()), harmonic);
		expect_series(algebra.integrate({0, 1}, algebra.substitute(ones(), {-1, 1}, 2)),
			arctangent);
	});
}

TEST_P(PowerSeries, Feedback)
{
	Algebra algebra;
	run(GetParam(), [&] {
		expect_series(algebra.exponential(algebra.repeat({1, 1})),
			{{1, 1}, {1, 1}, {3, 2}, {13, 6}, {73, 24}, {167, 40}, {4051, 720},
				{37633, 5040}, {43817, 4480}, {4596553, 362880}});
	});
}
