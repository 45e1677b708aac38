/* SPDX-License-Identifier: MIT */
/* cfi.c - see cfi.h */
#include "sched/base/cfi.h"

#include <dlfcn.h>
#include <string.h>

#include "sched/base/peek.h"
#include "sched/base/sanitize.h"

#define LENGTH_MAX (1u << 20) /* of one function's information */
#define DEPTH 8		      /* remembered rows; compilers need one or two */
#define PAGE                                                                                       \
	4096u /* or a multiple of it: a window never ends in the next page, which may be absent */

/* Encodings of pointers (DW_EH_PE_*): how a value is stored, and what it is relative to. */
#define STORED 0x0fu
#define RELATIVE 0x70u
#define RELATIVE_TO_PLACE 0x10u
#define TABLE_ENCODING 0x3bu /* four bytes, relative to .eh_frame_hdr: all linkers write that */

WF_OWNER_CODE_BEGIN

void wf_bytes_start(struct wf_bytes *bytes, uintptr_t at, uintptr_t end)
{
	bytes->at = at;
	bytes->end = end;
	bytes->failed = end < at;
	bytes->used = bytes->held = 0;
}

static bool refill(struct wf_bytes *bytes)
{
	uintptr_t size = bytes->end - bytes->at;
	uintptr_t page_left = PAGE - bytes->at % PAGE;
	if (size > sizeof(bytes->window))
		size = sizeof(bytes->window);
	if (size > page_left)
		size = page_left;
	if (bytes->failed || bytes->at >= bytes->end ||
		!wf_peek((const void *)bytes->at, bytes->window, size)) {
		bytes->failed = true;
		return false;
	}
	bytes->used = 0;
	bytes->held = (uint8_t)size;
	return true;
}

static uint8_t next_byte(struct wf_bytes *bytes)
{
	if (bytes->used == bytes->held && !refill(bytes))
		return 0;
	bytes->at++;
	return bytes->window[bytes->used++];
}

uint64_t wf_bytes_unsigned(struct wf_bytes *bytes, unsigned size)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)next_byte(bytes) << (8 * i);
	return value;
}

int64_t wf_bytes_signed(struct wf_bytes *bytes, unsigned size)
{
	unsigned unused = 64 - 8 * size;
	return (int64_t)(wf_bytes_unsigned(bytes, size) << unused) >> unused;
}

uint64_t wf_bytes_uleb(struct wf_bytes *bytes)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = next_byte(bytes);
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	bytes->failed = true;
	return 0;
}

int64_t wf_bytes_sleb(struct wf_bytes *bytes)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64;) {
		uint8_t byte = next_byte(bytes);
		value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if ((byte & 0x40) && shift < 64)
			value |= UINT64_MAX << shift;
		return (int64_t)value;
	}
	bytes->failed = true;
	return 0;
}

void wf_bytes_skip(struct wf_bytes *bytes, uint64_t count)
{
	if (count > bytes->end - bytes->at) {
		bytes->failed = true;
		return;
	}
	bytes->at += count;
	if (count > (uint64_t)(bytes->held - bytes->used))
		bytes->used = bytes->held = 0;
	else
		bytes->used = (uint8_t)(bytes->used + count);
}

/* A pointer to code, or with `length` the length of some. */
static uintptr_t encoded(struct wf_bytes *bytes, uint8_t encoding, bool length)
{
	static const uint8_t sizes[16] = {8, 0, 2, 4, 8, 0, 0, 0, 8, 0, 2, 4, 8};
	uintptr_t place = bytes->at;
	unsigned size = sizes[encoding & STORED];
	uint8_t relative = encoding & (uint8_t)~STORED; /* indirect ones (0x80) are not for code */
	if (size == 0 || (relative != 0 && relative != RELATIVE_TO_PLACE)) {
		bytes->failed = true;
		return 0;
	}
	bool is_signed = (encoding & 0x08) != 0;
	uint64_t value =
		is_signed ? (uint64_t)wf_bytes_signed(bytes, size) : wf_bytes_unsigned(bytes, size);
	return relative != 0 && !length ? place + value : value;
}

/* One entry: starts reading behind its length; false: none, or an absurd one. */
static bool entry_start(struct wf_bytes *bytes, uintptr_t at)
{
	wf_bytes_start(bytes, at, at + 4);
	uint64_t length = wf_bytes_unsigned(bytes, 4);
	if (bytes->failed || length == 0 || length > LENGTH_MAX)
		return false;
	wf_bytes_start(bytes, at + 4, at + 4 + length);
	return true;
}

/* A "common information entry". */
static bool read_common(struct wf_cfi *cfi, uintptr_t at, bool *augmented)
{
	struct wf_bytes bytes;
	if (!entry_start(&bytes, at) || wf_bytes_unsigned(&bytes, 4) != 0)
		return false;
	uint64_t version = wf_bytes_unsigned(&bytes, 1);
	char augmentation[8];
	size_t length = 0;
	while ((augmentation[length] = (char)wf_bytes_unsigned(&bytes, 1)) != 0)
		if (++length == sizeof(augmentation))
			return false;
	cfi->code_align = wf_bytes_uleb(&bytes);
	cfi->data_align = wf_bytes_sleb(&bytes);
	uint64_t ra = version == 1 ? wf_bytes_unsigned(&bytes, 1) : wf_bytes_uleb(&bytes);
	if ((version != 1 && version != 3) || ra != WF_REGISTER_RA)
		return false;
	cfi->encoding = 0;
	*augmented = augmentation[0] == 'z';
	if (!*augmented && length > 0)
		return false;
	uintptr_t program = 0;
	if (*augmented) {
		uint64_t size = wf_bytes_uleb(&bytes);
		if (size > bytes.end - bytes.at) /* CF3 */
			return false;
		program = bytes.at + size;
	}
	for (size_t i = 1; i < length; i++) {
		if (augmentation[i] == 'R')
			cfi->encoding = (uint8_t)wf_bytes_unsigned(&bytes, 1);
		else if (augmentation[i] == 'L')
			wf_bytes_skip(&bytes, 1);
		else if (augmentation[i] == 'P')
			encoded(&bytes, (uint8_t)wf_bytes_unsigned(&bytes, 1) & STORED, true);
		else if (augmentation[i] == 'S')
			cfi->signal = true;
		else if (augmentation[i] != 'B' &&
			augmentation[i] != 'G') /* keys of pointers' signatures; memory tags */
			return false;
	}
	cfi->common = *augmented ? program : bytes.at;
	cfi->common_end = bytes.end;
	return !bytes.failed && cfi->common <= cfi->common_end;
}

/* A "frame description entry". */
static bool read_function(struct wf_cfi *cfi, uintptr_t at)
{
	struct wf_bytes bytes;
	if (!entry_start(&bytes, at))
		return false;
	uintptr_t place = bytes.at;
	uint64_t distance = wf_bytes_unsigned(&bytes, 4);
	bool augmented = false;
	if (distance == 0 || !read_common(cfi, place - distance, &augmented))
		return false;
	cfi->code = encoded(&bytes, cfi->encoding, false);
	cfi->code_end = cfi->code + encoded(&bytes, cfi->encoding, true);
	if (augmented)
		wf_bytes_skip(&bytes, wf_bytes_uleb(&bytes));
	cfi->program = bytes.at;
	cfi->program_end = bytes.end;
	return !bytes.failed;
}

/* The last entry of the sorted table that begins at or before pc: where its description is, 0 if nowhere. */
static uintptr_t search(uintptr_t base, uintptr_t table, uint64_t count, uintptr_t pc)
{
	struct {
		int32_t code, description;
	} entry[16];
	intptr_t wanted = (intptr_t)(pc - base);
	uint64_t low = 0, high = count; /* the answer is before high; low, if it is one, begins before pc */
	while (high - low > sizeof(entry) / sizeof(entry[0])) {
		uint64_t middle = low + (high - low) / 2;
		if (!wf_peek((const void *)(table + middle * sizeof(entry[0])), entry, sizeof(entry[0])))
			return 0;
		if (entry[0].code <= wanted)
			low = middle;
		else
			high = middle;
	}
	if (low == high ||
		!wf_peek((const void *)(table + low * sizeof(entry[0])), entry,
			(high - low) * sizeof(entry[0])))
		return 0;
	uintptr_t found = 0;
	for (uint64_t i = 0; i < high - low && entry[i].code <= wanted; i++)
		found = base + (uintptr_t)(intptr_t)entry[i].description;
	return found;
}

bool wf_cfi_find(uintptr_t pc, struct wf_cfi *cfi)
{
	struct dl_find_object object;
	memset(cfi, 0, sizeof(*cfi));
	if (_dl_find_object((void *)pc, &object) != 0 || object.dlfo_eh_frame == NULL)
		return false;
	struct wf_bytes bytes;
	cfi->base = (uintptr_t)object.dlfo_eh_frame;
	wf_bytes_start(&bytes, cfi->base, cfi->base + 4 + 2 * 8);
	uint64_t version = wf_bytes_unsigned(&bytes, 1);
	uint8_t frame = (uint8_t)wf_bytes_unsigned(&bytes, 1);
	uint8_t counting = (uint8_t)wf_bytes_unsigned(&bytes, 1);
	if (version != 1 || wf_bytes_unsigned(&bytes, 1) != TABLE_ENCODING)
		return false;
	encoded(&bytes, frame, false);
	uint64_t count = encoded(&bytes, counting, true);
	if (bytes.failed || count > UINT32_MAX)
		return false;
	uintptr_t at = search(cfi->base, bytes.at, count, pc);
	return at != 0 && read_function(cfi, at) && pc >= cfi->code && pc < cfi->code_end;
}

/* The instructions of a table, carried out up to a program counter. */
struct machine {
	const struct wf_cfi *cfi;
	uintptr_t at, wanted;	   /* the program counter that the row is about; and up to which */
	struct wf_cfi_row *row;	   /* as it is now */
	struct wf_cfi_row initial; /* as it was behind the common instructions */
	struct wf_cfi_row kept[DEPTH];
	unsigned depth;
	bool failed;
};

static int32_t narrow(struct machine *m, int64_t value)
{
	if (value != (int32_t)value)
		m->failed = true;
	return (int32_t)value;
}

static void say(struct machine *m, uint64_t number, enum wf_cfi_kind kind, int64_t value)
{
	if (number >= WF_REGISTERS) /* a vector register, or a pointer's signature: nobody's address is in it */
		return;
	m->row->kind[number] = (uint8_t)kind;
	m->row->value[number] = narrow(m, value);
}

static void say_again(struct machine *m, uint64_t number)
{
	if (number < WF_REGISTERS)
		say(m, number, m->initial.kind[number], m->initial.value[number]);
}

static void say_cfa(struct machine *m, uint64_t number, int64_t value)
{
	m->failed = m->failed || number >= WF_REGISTERS;
	m->row->cfa_expression = false;
	m->row->cfa_register = (uint8_t)number;
	m->row->cfa_value = narrow(m, value);
}

/* The place of an expression, whose length stands before it; goes on behind it. */
static int64_t expression(struct machine *m, struct wf_bytes *bytes)
{
	int64_t place = (int64_t)(bytes->at - m->cfi->base);
	wf_bytes_skip(bytes, wf_bytes_uleb(bytes));
	return place;
}

static int64_t factored(const struct machine *m, struct wf_bytes *bytes)
{
	return (int64_t)((uint64_t)m->cfi->data_align * wf_bytes_uleb(bytes));
}

static int64_t factored_signed(const struct machine *m, struct wf_bytes *bytes)
{
	return (int64_t)((uint64_t)m->cfi->data_align * (uint64_t)wf_bytes_sleb(bytes));
}

/* DW_CFA_def_cfa and its like; false: the code is none of them. */
static bool run_cfa(struct machine *m, uint8_t code, struct wf_bytes *bytes)
{
	uint64_t number;
	switch (code) {
	case 0x0c: /* def_cfa */
		number = wf_bytes_uleb(bytes);
		say_cfa(m, number, (int64_t)wf_bytes_uleb(bytes));
		return true;
	case 0x0d: /* def_cfa_register */
		say_cfa(m, wf_bytes_uleb(bytes), m->row->cfa_value);
		return true;
	case 0x0e: /* def_cfa_offset */
		m->row->cfa_value = narrow(m, (int64_t)wf_bytes_uleb(bytes));
		return true;
	case 0x0f: /* def_cfa_expression */
		m->row->cfa_expression = true;
		m->row->cfa_value = narrow(m, expression(m, bytes));
		return true;
	case 0x12: /* def_cfa_sf */
		number = wf_bytes_uleb(bytes);
		say_cfa(m, number, factored_signed(m, bytes));
		return true;
	case 0x13: /* def_cfa_offset_sf */
		m->row->cfa_value = narrow(m, factored_signed(m, bytes));
		return true;
	default:
		return false;
	}
}

/* What is said of one register; false: the code is none of these. */
static bool run_register(struct machine *m, uint8_t code, struct wf_bytes *bytes)
{
	static const uint8_t codes[] = {0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11, 0x14, 0x15, 0x16, 0x2f};
	if (memchr(codes, code, sizeof(codes)) == NULL)
		return false;
	uint64_t number = wf_bytes_uleb(bytes);
	switch (code) {
	case 0x05: /* offset_extended */
		say(m, number, WF_CFI_SAVED, factored(m, bytes));
		return true;
	case 0x06: /* restore_extended */
		say_again(m, number);
		return true;
	case 0x07: /* undefined */
		say(m, number, WF_CFI_UNDEFINED, 0);
		return true;
	case 0x08: /* same_value */
		say(m, number, WF_CFI_SAME, 0);
		return true;
	case 0x09: /* register */
		say(m, number, WF_CFI_REGISTER, (int64_t)wf_bytes_uleb(bytes));
		return true;
	case 0x10: /* expression */
		say(m, number, WF_CFI_SAVED_EXPR, expression(m, bytes));
		return true;
	case 0x11: /* offset_extended_sf */
		say(m, number, WF_CFI_SAVED, factored_signed(m, bytes));
		return true;
	case 0x14: /* val_offset */
		say(m, number, WF_CFI_VALUE, factored(m, bytes));
		return true;
	case 0x15: /* val_offset_sf */
		say(m, number, WF_CFI_VALUE, factored_signed(m, bytes));
		return true;
	case 0x16: /* val_expression */
		say(m, number, WF_CFI_VALUE_EXPR, expression(m, bytes));
		return true;
	default: /* 0x2f: GNU_negative_offset_extended */
		say(m, number, WF_CFI_SAVED, (int64_t) - (uint64_t)factored(m, bytes));
		return true;
	}
}

static void advance(struct machine *m, uint64_t count)
{
	m->at += count * m->cfi->code_align;
}

static void run_other(struct machine *m, uint8_t code, struct wf_bytes *bytes)
{
	switch (code) {
	case 0x00: /* nop */
	case 0x2d: /* AARCH64_negate_ra_state: signatures are stripped from all addresses */
		break;
	case 0x01: /* set_loc */
		m->at = encoded(bytes, m->cfi->encoding, false);
		break;
	case 0x02: /* advance_loc1 */
	case 0x03: /* advance_loc2 */
	case 0x04: /* advance_loc4 */
		advance(m, wf_bytes_unsigned(bytes, 1u << (code - 0x02)));
		break;
	case 0x0a: /* remember_state */
		if (m->depth == DEPTH)
			m->failed = true;
		else
			m->kept[m->depth++] = *m->row;
		break;
	case 0x0b: /* restore_state */
		if (m->depth == 0)
			m->failed = true;
		else
			*m->row = m->kept[--m->depth];
		break;
	case 0x2e: /* GNU_args_size */
		wf_bytes_uleb(bytes);
		break;
	default:
		m->failed = true;
	}
}

static void run(struct machine *m, uintptr_t from, uintptr_t to)
{
	struct wf_bytes bytes;
	wf_bytes_start(&bytes, from, to);
	while (wf_bytes_left(&bytes) && !m->failed && m->at <= m->wanted) {
		uint8_t code = (uint8_t)wf_bytes_unsigned(&bytes, 1);
		uint8_t low = code & 0x3f;
		if (code >> 6 == 1) /* advance_loc */
			advance(m, low);
		else if (code >> 6 == 2) /* offset */
			say(m, low, WF_CFI_SAVED, factored(m, &bytes));
		else if (code >> 6 == 3) /* restore */
			say_again(m, low);
		else if (!run_cfa(m, code, &bytes) && !run_register(m, code, &bytes))
			run_other(m, code, &bytes);
	}
	m->failed = m->failed || bytes.failed;
}

bool wf_cfi_at(const struct wf_cfi *cfi, uintptr_t pc, struct wf_cfi_row *row)
{
	struct machine m;
	memset(row, 0, sizeof(*row));
	m.cfi = cfi;
	m.at = 0;
	m.wanted = pc;
	m.row = row;
	m.initial = *row;
	m.depth = 0;
	m.failed = false;
	run(&m, cfi->common, cfi->common_end);
	m.initial = *row;
	m.at = cfi->code;
	run(&m, cfi->program, cfi->program_end);
	return !m.failed;
}

WF_OWNER_CODE_END
