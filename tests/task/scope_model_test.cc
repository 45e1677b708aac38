/* SPDX-License-Identifier: MIT */
/* scope_model_test.cc - random trees of scopes against a model of what scope.h says
 *
 * What     a tree of fibers in scopes, of which every sleep, error, cancellation and deadline has a time of its own on the virtual clock, is run,
 *          and computed by the model below: what each fiber returned and when, and what each close returned and when, are the same, on
 *          any number of workers.
 * Law      the results of scope.h, and the reach of each level, hold in every combination of nesting, islands and shields.
 */
#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class ScopeModel : public Workers
{
};
FOR_WORKERS(ScopeModel);

/* What a sleeper returns when a level has cut its sleep short. */
enum answer { THE_LEVEL, ZERO, AN_ERROR };

/* A fiber: it sleeps, or it opens a scope with children. Times count from the start of the tree. */
struct Node {
	int id = 0;
	Node *parent = nullptr;
	bool opens = false;
	bool shielded = false; /* a sleeper that is; or a scope that is an island */

	weft_ns wakes = 0;
	int code = 0; /* what it returns after its sleep */
	answer cut = THE_LEVEL;

	weft_ns deadline = WEFT_FOREVER;
	bool passes_on = false; /* returns what its close returned, else 0 */
	std::vector<Node *> children;

	/* What came of it. */
	struct Outcome {
		bool ended = false;
		int returned = 0, closed = 0;
		weft_ns at = 0;
		bool operator==(const Outcome &other) const = default;
	};
	Outcome real;
	Outcome expected;

	/* Of the run. */
	std::atomic<weft_fiber *> fiber{nullptr};
	weft_scope scope;

	/* Of the model. */
	bool cancelled = false; /* the fiber, or its scope itself */
	int error = 0;

	int own_error() const
	{
		return -1000 - id;
	}
};

/* Somebody outside cancels a fiber, or its scope. */
struct Event {
	weft_ns at;
	Node *node;
	bool by_scope;
};

struct Tree {
	std::deque<Node> nodes;
	std::vector<Event> events;
};

/* The model. */

enum { CANCELLED = 1, LATE = 2 };

static unsigned own_level(const Node *scope, weft_ns now)
{
	return (scope->cancelled || scope->error != 0 ? CANCELLED : 0) |
		(now >= scope->deadline ? LATE : 0);
}

static unsigned level_in(const Node *scope, weft_ns now);

static unsigned level_outside(const Node *scope, weft_ns now)
{
	return scope->parent == nullptr || scope->shielded ? 0 : level_in(scope->parent, now);
}

static unsigned level_in(const Node *scope, weft_ns now)
{
	return own_level(scope, now) | level_outside(scope, now);
}

static int error_of(unsigned level)
{
	return level & CANCELLED ? -ECANCELED : level & LATE ? -ETIMEDOUT : 0;
}

static void end(Node *node, int code, weft_ns now)
{
	node->expected.ended = true;
	node->expected.returned = code;
	node->expected.at = now;
	Node *scope = node->parent;
	if (scope == nullptr || code >= 0 || own_level(scope, now) != 0)
		return;
	if ((code == -ECANCELED || code == -ETIMEDOUT) && level_in(scope, now) != 0)
		return;
	scope->error = code;
}

/* Its opener has waited in close all the time, so what is in force outside was felt. */
static int closes_with(const Node *scope, weft_ns now)
{
	return scope->error != 0 ? scope->error : error_of(level_in(scope, now));
}

/* True: something has changed. */
static bool step(Node *node, weft_ns now)
{
	if (node->expected.ended)
		return false;
	if (node->opens) {
		for (const Node *child : node->children)
			if (!child->expected.ended)
				return false;
		node->expected.closed = closes_with(node, now);
		end(node, node->passes_on ? node->expected.closed : 0, now);
		return true;
	}
	unsigned level =
		node->shielded ? 0 : (node->cancelled ? CANCELLED : 0) | level_in(node->parent, now);
	if (level == 0 && now < node->wakes)
		return false;
	int cut = node->cut == THE_LEVEL ? error_of(level)
		: node->cut == ZERO	 ? 0
					 : node->own_error();
	end(node, level == 0 ? node->code : cut, now);
	return true;
}

static void compute(Tree &tree)
{
	std::map<weft_ns, const Event *> times;
	times[0] = nullptr;
	for (const Node &node : tree.nodes)
		if (node.opens ? node.deadline != WEFT_FOREVER : true)
			times[node.opens ? node.deadline : node.wakes] = nullptr;
	for (const Event &event : tree.events)
		times[event.at] = &event;
	for (auto [now, event] : times) {
		if (event != nullptr && !event->node->expected.ended) {
			Node *node = event->node;
			/* The cancellation of a fiber passes over its island. */
			if (event->by_scope || !node->opens || !node->shielded)
				node->cancelled = true;
		}
		for (bool changed = true; changed;) {
			changed = false;
			for (Node &node : tree.nodes)
				changed |= step(&node, now);
		}
	}
}

/* The run. */

static int live(Node *node, weft_ns start);

static int spawn_node(Node *scope, Node *node, weft_ns start)
{
	struct Argument {
		Node *node;
		weft_ns start;
	};
	auto body = [](void *arg) {
		std::unique_ptr<Argument> owned(static_cast<Argument *>(arg));
		return live(owned->node, owned->start);
	};
	return weft_scope_spawn(&scope->scope, body, new Argument{node, start});
}

static int live_in_scope(Node *node, weft_ns start)
{
	weft_ns deadline = node->deadline == WEFT_FOREVER ? WEFT_FOREVER : start + node->deadline;
	bool was = weft_shield(node->shielded);
	EXPECT_EQ(0, weft_scope_open(&node->scope, deadline));
	for (Node *child : node->children)
		EXPECT_EQ(0, spawn_node(node, child, start));
	node->real.closed = weft_scope_close(&node->scope);
	EXPECT_EQ(node->shielded, weft_shield(was));
	return node->passes_on ? node->real.closed : 0;
}

static int sleep_alone(Node *node, weft_ns start)
{
	bool was = weft_shield(node->shielded);
	int level = weft_sleep_until(start + node->wakes);
	weft_shield(was);
	if (level == 0)
		return node->code;
	return node->cut == THE_LEVEL ? level : node->cut == ZERO ? 0 : node->own_error();
}

static int live(Node *node, weft_ns start)
{
	node->fiber = weft_self();
	node->real.returned = node->opens ? live_in_scope(node, start) : sleep_alone(node, start);
	node->real.at = weft_now() - start;
	node->real.ended = true;
	node->fiber = nullptr;
	return node->real.returned;
}

static void run_tree(Tree &tree)
{
	weft_ns start = weft_now();
	weft_fiber *root = spawn([&tree, start] { return live(&tree.nodes[0], start); });
	weft_fiber *canceller = spawn([&tree, start] {
		for (const Event &event : tree.events) {
			weft_sleep_until(start + event.at);
			weft_fiber *fiber = event.node->fiber; /* all others are parked */
			if (fiber == nullptr)
				continue;
			EXPECT_EQ(0,
				event.by_scope ? weft_scope_cancel(&event.node->scope)
					       : weft_cancel(fiber));
		}
	});
	join(root);
	join(canceller);
}

/* What is run. */

class Generator
{
public:
	explicit Generator(unsigned seed) : random_(seed), timed_(one_in(2))
	{
		for (weft_ns at = 1; at <= 400; at++)
			times_.push_back(at);
		std::shuffle(times_.begin(), times_.end(), random_);
	}
	void make(Tree &tree)
	{
		Node *root = add(tree, nullptr);
		grow(tree, root, 0);
		for (Node &node : tree.nodes) {
			if (one_in(6))
				tree.events.push_back({time(), &node, node.opens && one_in(2)});
			if (!timed_ && !has_error_ && !node.opens && one_in(4)) {
				node.cut = AN_ERROR;
				has_error_ = true;
			}
		}
		std::sort(tree.events.begin(), tree.events.end(),
			[](const Event &one, const Event &other) { return one.at < other.at; });
	}

private:
	bool one_in(unsigned n)
	{
		return random_() % n == 0;
	}
	weft_ns time()
	{
		weft_ns at = times_.back();
		times_.pop_back();
		return at;
	}
	Node *add(Tree &tree, Node *parent)
	{
		Node &node = tree.nodes.emplace_back();
		node.id = static_cast<int>(tree.nodes.size());
		node.parent = parent;
		if (parent != nullptr)
			parent->children.push_back(&node);
		return &node;
	}
	void grow(Tree &tree, Node *node, int depth)
	{
		node->opens = depth == 0 || (depth < 6 && one_in(3));
		node->shielded = depth > 0 && one_in(6);
		if (!node->opens) {
			node->wakes = time();
			node->code = one_in(3) ? node->own_error()
				: one_in(9)    ? -ECANCELED
				: one_in(9)    ? -ETIMEDOUT
					       : 0;
			node->cut = one_in(3) ? ZERO : THE_LEVEL;
			return;
		}
		node->passes_on = !one_in(3);
		/* With deadlines, an error that answers lateness would race with the lateness of others: the one or the other. */
		if (timed_ && one_in(3))
			node->deadline = time();
		for (unsigned i = random_() % 5 + (depth == 0); i > 0 && tree.nodes.size() < 60; i--)
			grow(tree, add(tree, node), depth + 1);
	}

	std::minstd_rand random_;
	bool timed_, has_error_ = false;
	std::vector<weft_ns> times_;
};

static std::string describe(const Node &node)
{
	std::string text = "node " + std::to_string(node.id);
	if (node.parent != nullptr)
		text += " in " + std::to_string(node.parent->id);
	text += node.opens
		? " opens"
		: " wakes at " + std::to_string(node.wakes) + " with " + std::to_string(node.code);
	if (node.deadline != WEFT_FOREVER)
		text += " until " + std::to_string(node.deadline);
	text += node.shielded ? " shielded" : "";
	auto say = [&text](const char *what, const Node::Outcome &outcome) {
		text += std::string("; ") + what + std::to_string(outcome.returned) + ", closed " +
			std::to_string(outcome.closed) + " at " + std::to_string(outcome.at);
	};
	say("returned ", node.real);
	say("expected ", node.expected);
	return text;
}

static std::string describe(const Tree &tree)
{
	std::string text;
	for (const Node &node : tree.nodes)
		text += describe(node) + "\n";
	for (const Event &event : tree.events)
		text += "at " + std::to_string(event.at) + " cancel of " +
			(event.by_scope ? "the scope of " : "") + std::to_string(event.node->id) + "\n";
	return text;
}

TEST_P(ScopeModel, RandomTrees)
{
	run_virtual(GetParam(), [] {
		long nodes = 0;
		std::map<int, long> results;
		for (unsigned seed = 1; seed <= times(2000, 300); seed++) {
			Tree tree;
			Generator(seed).make(tree);
			compute(tree);
			run_tree(tree);
			for (const Node &node : tree.nodes) {
				nodes++;
				if (node.opens)
					results[std::max(node.expected.closed, -1000)]++;
				ASSERT_EQ(node.expected, node.real)
					<< "seed " << seed << ", " << describe(node) << "\n"
					<< describe(tree);
			}
		}
		/* Every kind of result has been seen. */
		for (int result : {0, -ECANCELED, -ETIMEDOUT, -1000})
			EXPECT_GT(results[result], 50) << result;
		EXPECT_GT(nodes, 2000);
	});
}
