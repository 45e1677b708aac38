/* SPDX-License-Identifier: MIT */
/* unwind.c - see unwind.h */
#include "sched/base/unwind.h"

#include "sched/base/peek.h"
#include "sched/base/walk.h"

WF_OWNER_CODE_BEGIN

bool wf_unwind_peek(void *context, uintptr_t address, void *buffer, size_t size)
{
	(void)context;
	return wf_peek((const void *)address, buffer, size);
}

static bool read_word(const struct wf_walk *walk, uintptr_t address, uintptr_t *value)
{
	return walk->read(walk->context, address, value, sizeof(*value));
}

static uintptr_t place(const struct wf_unwind_rule *rule, int32_t value)
{
	return rule->base + (uintptr_t)(intptr_t)value;
}

static bool find_cfa(const struct wf_walk *walk, const struct wf_unwind_rule *rule, uintptr_t *cfa)
{
	const struct wf_cfi_row *row = &rule->row;
	if (row->cfa_expression)
		return wf_expression(walk, place(rule, row->cfa_value), NULL, cfa);
	if (!wf_is_known(walk->r, row->cfa_register))
		return false;
	*cfa = walk->r->reg[row->cfa_register] + (uintptr_t)(intptr_t)row->cfa_value;
	return true;
}

/* The caller's register; false: it is not known. */
static bool find_register(const struct wf_walk *walk, const struct wf_unwind_rule *rule,
	uintptr_t cfa, unsigned number, uintptr_t *value)
{
	const struct wf_registers *r = walk->r;
	int32_t said = rule->row.value[number];
	switch ((enum wf_cfi_kind)rule->row.kind[number]) {
	case WF_CFI_UNSAID:
		*value = number == WF_REGISTER_SP ? cfa : r->reg[number];
		if (number == WF_REGISTER_SP)
			return true;
		return wf_is_known(r, number) && (rule->signal || (WF_REGISTERS_KEPT >> number & 1));
	case WF_CFI_UNDEFINED:
		return false;
	case WF_CFI_SAME:
		*value = r->reg[number];
		return wf_is_known(r, number);
	case WF_CFI_SAVED:
		return read_word(walk, cfa + (uintptr_t)(intptr_t)said, value);
	case WF_CFI_VALUE:
		*value = cfa + (uintptr_t)(intptr_t)said;
		return true;
	case WF_CFI_REGISTER:
		if (said < 0 || !wf_is_known(r, (uint64_t)said))
			return false;
		*value = r->reg[said];
		return true;
	case WF_CFI_SAVED_EXPR:
		return wf_expression(walk, place(rule, said), &cfa, value) &&
			read_word(walk, *value, value);
	case WF_CFI_VALUE_EXPR:
		return wf_expression(walk, place(rule, said), &cfa, value);
	}
	return false;
}

/* One frame on by its call frame information; false: the walk ends. */
static bool step_by_rule(struct wf_walk *walk, const struct wf_unwind_rule *rule)
{
	struct wf_registers next = {0};
	struct wf_registers *r = walk->r;
	uintptr_t cfa;
	if (!rule->usable || !find_cfa(walk, rule, &cfa))
		return false;
	for (unsigned i = 0; i < WF_REGISTERS; i++) {
		uintptr_t value;
		if (find_register(walk, rule, cfa, i, &value))
			wf_know(&next, i, value);
	}
	if (!wf_is_known(&next, WF_REGISTER_RA) || !wf_is_known(&next, WF_REGISTER_SP))
		return false;
	next.pc = next.reg[WF_REGISTER_RA];
	bool grows = next.reg[WF_REGISTER_SP] > r->reg[WF_REGISTER_SP] ||
		(walk->exact && next.reg[WF_REGISTER_SP] == r->reg[WF_REGISTER_SP]); /* a leaf with a link register */
	if (!rule->signal && wf_is_known(r, WF_REGISTER_SP) && !grows)
		return false;
	walk->exact = rule->signal;
	*r = next;
	return true;
}

static void find_rule(uintptr_t pc, struct wf_unwind_rule *rule)
{
	struct wf_cfi cfi;
	rule->pc = pc;
	rule->found = wf_cfi_find(pc, &cfi);
	rule->usable = rule->found && wf_cfi_at(&cfi, pc, &rule->row) &&
		rule->row.kind[WF_REGISTER_RA] != WF_CFI_UNDEFINED;
	rule->signal = cfi.signal;
	rule->base = cfi.base;
}

static bool step(struct wf_walk *walk, struct wf_unwind_memo *memo)
{
	struct wf_unwind_rule own, *rule = &own;
	uintptr_t pc = walk->r->pc - !walk->exact;
	if (wf_walk_special(walk))
		return true;
	own.pc = 0;
	if (memo != NULL)
		rule = &memo->rule[(pc ^ pc >> 9) % (sizeof(memo->rule) / sizeof(memo->rule[0]))];
	if (rule->pc != pc)
		find_rule(pc, rule);
	return rule->found ? step_by_rule(walk, rule) : wf_walk_without(walk);
}

size_t wf_unwind_like(struct wf_registers *from, wf_unwind_read read, void *context,
	struct wf_unwind_memo *memo, const void **pc, size_t most)
{
	struct wf_walk walk = {.r = from, .read = read, .context = context, .exact = true};
	size_t count = 0;
	while (count < most) {
		wf_walk_settle(&walk);
		if (from->pc == 0)
			break;
		pc[count] = (const void *)(from->pc + (walk.exact && count > 0));
		count++;
		if (count == most || !step(&walk, memo))
			break;
	}
	return count;
}

size_t wf_unwind(
	struct wf_registers *from, wf_unwind_read read, void *context, const void **pc, size_t most)
{
	return wf_unwind_like(from, read, context, NULL, pc, most);
}

WF_OWNER_CODE_END
