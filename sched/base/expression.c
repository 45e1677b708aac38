/* SPDX-License-Identifier: MIT */
/* expression.c - values that call frame information computes
 *
 * What     DWARF 5, 2.5: a machine with a stack. PLT entries, signal trampolines and functions that align their stack need it.
 */
#include <string.h>

#include "sched/base/walk.h"

#define DEPTH 16u
#define STEPS 256u

WF_OWNER_CODE_BEGIN

struct evaluation {
	const struct wf_walk *walk;
	struct wf_bytes bytes;
	uint64_t stack[DEPTH];
	unsigned depth;
	bool failed;
};

static void push(struct evaluation *e, uint64_t value)
{
	if (e->depth == DEPTH)
		e->failed = true;
	else
		e->stack[e->depth++] = value;
}

static uint64_t pop(struct evaluation *e)
{
	if (e->depth == 0) {
		e->failed = true;
		return 0;
	}
	return e->stack[--e->depth];
}

static void pick(struct evaluation *e, uint64_t below)
{
	if (below >= e->depth)
		e->failed = true;
	else
		push(e, e->stack[e->depth - 1 - below]);
}

/* The topmost goes below `count - 1` others: swap is 2, rot 3. */
static void bury(struct evaluation *e, unsigned count)
{
	uint64_t top = pop(e);
	if (e->depth < count - 1) {
		e->failed = true;
		return;
	}
	uint64_t *at = &e->stack[e->depth - (count - 1)];
	memmove(at + 1, at, (count - 1) * sizeof(*at));
	*at = top;
	e->depth++;
}

static void push_register(struct evaluation *e, uint64_t number)
{
	const struct wf_registers *r = e->walk->r;
	uint64_t offset = (uint64_t)wf_bytes_sleb(&e->bytes);
	if (!wf_is_known(r, number))
		e->failed = true;
	else
		push(e, r->reg[number] + offset);
}

static void dereference(struct evaluation *e, uint64_t size)
{
	uint64_t value = 0; /* little-endian: the low bytes come first */
	if (size == 0 || size > sizeof(value) || !e->walk->read(e->walk->context, pop(e), &value, size))
		e->failed = true;
	push(e, value);
}

static void jump(struct evaluation *e, bool taken)
{
	int64_t distance = wf_bytes_signed(&e->bytes, 2);
	if (!taken)
		return;
	/* Backwards would make loops, which nobody writes. */
	if (distance < 0)
		e->failed = true;
	else
		wf_bytes_skip(&e->bytes, (uint64_t)distance);
}

/* Codes that push a constant; false: it is none. */
static bool run_constant(struct evaluation *e, uint8_t code)
{
	if (code >= 0x30 && code <= 0x4f) /* lit0 .. lit31 */
		push(e, code - 0x30u);
	else if (code == 0x03) /* addr */
		push(e, wf_bytes_unsigned(&e->bytes, 8));
	else if (code >= 0x08 && code <= 0x0f && !(code & 1)) /* const1u, 2u, 4u, 8u */
		push(e, wf_bytes_unsigned(&e->bytes, 1u << ((code - 0x08) / 2)));
	else if (code >= 0x09 && code <= 0x0f) /* const1s, 2s, 4s, 8s */
		push(e, (uint64_t)wf_bytes_signed(&e->bytes, 1u << ((code - 0x08) / 2)));
	else if (code == 0x10) /* constu */
		push(e, wf_bytes_uleb(&e->bytes));
	else if (code == 0x11) /* consts */
		push(e, (uint64_t)wf_bytes_sleb(&e->bytes));
	else
		return false;
	return true;
}

/* Codes that replace the topmost value; false: it is none. */
static bool run_unary(struct evaluation *e, uint8_t code)
{
	uint64_t x;
	switch (code) {
	case 0x19: /* abs */
		x = pop(e);
		push(e, (int64_t)x < 0 ? -x : x);
		return true;
	case 0x1f: /* neg */
		push(e, -pop(e));
		return true;
	case 0x20: /* not */
		push(e, ~pop(e));
		return true;
	case 0x23: /* plus_uconst */
		x = pop(e);
		push(e, x + wf_bytes_uleb(&e->bytes));
		return true;
	default:
		return false;
	}
}

static uint64_t quotient(struct evaluation *e, int64_t x, int64_t y)
{
	if (y == 0 || (x == INT64_MIN && y == -1)) {
		e->failed = true;
		return 0;
	}
	return (uint64_t)(x / y);
}

static uint64_t two(struct evaluation *e, uint8_t code, uint64_t x, uint64_t y)
{
	int64_t a = (int64_t)x, b = (int64_t)y;
	switch (code) {
	case 0x1a: /* and */
		return x & y;
	case 0x1b: /* div */
		return quotient(e, a, b);
	case 0x1c: /* minus */
		return x - y;
	case 0x1d: /* mod */
		e->failed = e->failed || y == 0;
		return y == 0 ? 0 : x % y;
	case 0x1e: /* mul */
		return x * y;
	case 0x21: /* or */
		return x | y;
	case 0x22: /* plus */
		return x + y;
	case 0x24: /* shl */
		return y < 64 ? x << y : 0;
	case 0x25: /* shr */
		return y < 64 ? x >> y : 0;
	case 0x26: /* shra */
		return (uint64_t)(a >> (y < 64 ? y : 63));
	case 0x27: /* xor */
		return x ^ y;
	case 0x29: /* eq */
		return a == b;
	case 0x2a: /* ge */
		return a >= b;
	case 0x2b: /* gt */
		return a > b;
	case 0x2c: /* le */
		return a <= b;
	case 0x2d: /* lt */
		return a < b;
	case 0x2e: /* ne */
		return a != b;
	default:
		e->failed = true;
		return 0;
	}
}

/* Codes that move values about, or read what is no constant; false: it is none. */
static bool run_stack(struct evaluation *e, uint8_t code)
{
	if (code >= 0x70 && code <= 0x8f) /* breg0 .. breg31 */
		push_register(e, code - 0x70u);
	else if (code == 0x92) /* bregx */
		push_register(e, wf_bytes_uleb(&e->bytes));
	else if (code == 0x06) /* deref */
		dereference(e, sizeof(uintptr_t));
	else if (code == 0x94) /* deref_size */
		dereference(e, wf_bytes_unsigned(&e->bytes, 1));
	else if (code == 0x12) /* dup */
		pick(e, 0);
	else if (code == 0x13) /* drop */
		pop(e);
	else if (code == 0x14) /* over */
		pick(e, 1);
	else if (code == 0x15) /* pick */
		pick(e, wf_bytes_unsigned(&e->bytes, 1));
	else if (code == 0x16 || code == 0x17) /* swap, rot */
		bury(e, code == 0x16 ? 2 : 3);
	else if (code == 0x28) /* bra */
		jump(e, pop(e) != 0);
	else if (code == 0x2f) /* skip */
		jump(e, true);
	else
		return code == 0x96; /* nop */
	return true;
}

bool wf_expression(const struct wf_walk *walk, uintptr_t at, const uintptr_t *cfa, uintptr_t *value)
{
	struct evaluation e;
	e.walk = walk;
	e.depth = 0;
	e.failed = false;
	wf_bytes_start(&e.bytes, at, at + 16);
	uint64_t length = wf_bytes_uleb(&e.bytes);
	if (e.bytes.failed || length > STEPS * 8)
		return false;
	wf_bytes_start(&e.bytes, e.bytes.at, e.bytes.at + length);
	if (cfa != NULL)
		push(&e, *cfa);
	for (unsigned steps = 0; wf_bytes_left(&e.bytes) && !e.failed; steps++) {
		uint8_t code = (uint8_t)wf_bytes_unsigned(&e.bytes, 1);
		if (steps == STEPS)
			return false;
		if (run_constant(&e, code) || run_stack(&e, code) || run_unary(&e, code))
			continue;
		uint64_t y = pop(&e), x = pop(&e);
		push(&e, two(&e, code, x, y));
	}
	*value = pop(&e);
	return !e.failed && !e.bytes.failed;
}

WF_OWNER_CODE_END
