/* SPDX-License-Identifier: MIT */
/* symbol.c - see symbol.h */
#include "sched/base/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/base/atomic.h"
#include "sched/base/own_fd.h"
#include "sched/base/peek.h"
#include "sched/base/seam.h"

#define MODULES 32u
#define TABLE_MAX (UINT64_C(64) << 20) /* bytes of symbols, and of their names */
#define SECTIONS_MAX 256u
#define HEAD                                                                                       \
	4096u /* of a file, compared with what is loaded: headers and, by all linkers' layout, the build's number */
#define PAGE 4096u
#define PATIENCE_NS INT64_C(100000000)
#define PATIENCES 10u

WF_OWNER_CODE_BEGIN

struct module {
	/* What it is known by. */
	uintptr_t start;
	uintptr_t base; /* what its addresses are relative to */
	char path[256];
	bool is_program;
	Elf64_Ehdr header;
	/* Functions, by address; NULL: none are known. */
	Elf64_Sym *symbol;
	uint64_t symbols;
	const char *names;
	uint64_t names_bytes; /* the last is 0 */
};

static struct module storage[MODULES];
static wf_aptr modules[MODULES]; /* SY-1 */
static wf_a32 loading;		 /* SY-2 */
static wf_a32 patience = {PATIENCES};

static bool read_file(int fd, uint64_t at, void *buffer, uint64_t size)
{
	ssize_t n = wf_own_pread(fd, buffer, size, (off_t)at);
	return n >= 0 && (uint64_t)n == size;
}

/* Memory of its own, filled from the file; one byte more, 0. */
static void *read_table(int fd, uint64_t at, uint64_t size)
{
	if (size > TABLE_MAX)
		return NULL;
	void *memory = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	if (read_file(fd, at, memory, size))
		return memory;
	munmap(memory, size + 1);
	return NULL;
}

/* SY3. */
static bool is_loaded(int fd, const struct module *module)
{
	unsigned char file[256], memory[256];
	const Elf64_Ehdr *header = &module->header;
	Elf64_Phdr segment;
	uint64_t loaded = 0;
	for (unsigned i = 0; i < header->e_phnum && i < 64; i++) {
		if (!read_file(fd, header->e_phoff + i * sizeof(segment), &segment, sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD && segment.p_offset == 0)
			loaded = segment.p_filesz;
	}
	uint64_t size = loaded < HEAD ? loaded : HEAD;
	for (uint64_t at = 0; at < size; at += sizeof(file)) {
		uint64_t n = size - at < sizeof(file) ? size - at : sizeof(file);
		if (!read_file(fd, at, file, n) ||
			!wf_peek((const void *)(module->start + at), memory, n) ||
			memcmp(file, memory, n) != 0)
			return false;
	}
	return size >= sizeof(*header);
}

static bool before(const Elf64_Sym *a, const Elf64_Sym *b)
{
	return a->st_value < b->st_value;
}

static void sift(Elf64_Sym *heap, uint64_t at, uint64_t count)
{
	for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && before(&heap[child], &heap[child + 1]))
			child++;
		if (!before(&heap[at], &heap[child]))
			return;
		Elf64_Sym swapped = heap[at];
		heap[at] = heap[child];
		heap[child] = swapped;
	}
}

/* qsort would take memory from the heap. */
static void sort(Elf64_Sym *symbol, uint64_t count)
{
	for (uint64_t i = count / 2; i-- > 0;)
		sift(symbol, i, count);
	for (uint64_t i = count; i-- > 1;) {
		Elf64_Sym last = symbol[0];
		symbol[0] = symbol[i];
		symbol[i] = last;
		sift(symbol, 0, i);
	}
}

static bool is_function(const Elf64_Sym *symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);
	return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF;
}

static void load_symbols(int fd, struct module *module, const Elf64_Shdr *symbols, const Elf64_Shdr *names)
{
	uint64_t count = symbols->sh_size / sizeof(Elf64_Sym), kept = 0;
	Elf64_Sym *table = read_table(fd, symbols->sh_offset, symbols->sh_size);
	if (table == NULL)
		return;
	module->names = read_table(fd, names->sh_offset, names->sh_size);
	if (module->names == NULL) {
		munmap(table, symbols->sh_size + 1);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		if (is_function(&table[i]) && table[i].st_name < names->sh_size)
			table[kept++] = table[i];
	sort(table, kept);
	module->symbol = table;
	module->symbols = kept;
}

/* .symtab, in a stripped file .dynsym. */
static void load(int fd, struct module *module)
{
	const Elf64_Ehdr *header = &module->header;
	Elf64_Shdr section, chosen = {0}, names;
	if (header->e_shentsize != sizeof(section) || header->e_phentsize != sizeof(Elf64_Phdr) ||
		!is_loaded(fd, module))
		return;
	for (unsigned i = 0; i < header->e_shnum && i < SECTIONS_MAX; i++) {
		if (!read_file(fd, header->e_shoff + i * sizeof(section), &section, sizeof(section)))
			return;
		if (section.sh_type == SHT_SYMTAB ||
			(section.sh_type == SHT_DYNSYM && chosen.sh_type == 0))
			chosen = section;
	}
	if (chosen.sh_type == 0 ||
		!read_file(fd, header->e_shoff + chosen.sh_link * sizeof(names), &names, sizeof(names)))
		return;
	load_symbols(fd, module, &chosen, &names);
}

/* Text of the loader's, copied; false: it is gone, or too long. */
static bool copy_text(const char *from, char *to, size_t size)
{
	size_t done = 0;
	while (done < size) {
		size_t n = PAGE - (uintptr_t)(from + done) % PAGE; /* what lies behind it may be in no page */
		if (n > size - done)
			n = size - done;
		if (!wf_peek(from + done, to + done, n))
			return false;
		if (memchr(to + done, 0, n) != NULL)
			return true;
		done += n;
	}
	return false;
}

/* What is loaded around that address, as far as memory tells. */
static bool identify(uintptr_t pc, struct module *module)
{
	struct dl_find_object object;
	struct link_map map;
	if (_dl_find_object((void *)pc, &object) != 0 ||
		!wf_peek(object.dlfo_link_map, &map, sizeof(map)))
		return false;
	memset(module, 0, sizeof(*module));
	module->start = (uintptr_t)object.dlfo_map_start;
	module->base = map.l_addr;
	if (!copy_text(map.l_name, module->path, sizeof(module->path)))
		return false;
	module->is_program = module->path[0] == 0;
	if (module->is_program) {
		/* The link leads to its file even where that has been renamed or replaced. */
		long n = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", module->path,
			sizeof(module->path) - 1);
		module->path[n < 0 ? 0 : n] = 0;
		/* Of a static one what is known as its start is its first code. */
		module->start = getauxval(AT_PHDR) - sizeof(module->header);
	}
	return wf_peek((const void *)module->start, &module->header, sizeof(module->header)) &&
		memcmp(module->header.e_ident, ELFMAG, SELFMAG) == 0;
}

static bool is_same(const struct module *a, const struct module *b)
{
	return a->start == b->start && a->base == b->base && strcmp(a->path, b->path) == 0 &&
		memcmp(&a->header, &b->header, sizeof(a->header)) == 0;
}

static const struct module *find(const struct module *wanted)
{
	for (unsigned i = 0; i < MODULES; i++) {
		const struct module *module = wf_load_acqp(&modules[i]); /* SY-1 */
		if (module == NULL)
			return NULL;
		if (is_same(module, wanted))
			return module;
	}
	return NULL;
}

/* SY1: true, the list's end is the caller's. */
static bool take_loading(void)
{
	uint32_t free = 0;
	if (wf_cas_acq_rel32(&loading, &free, 1)) /* SY-2 */
		return true;
	uint32_t left = wf_load_rlx32(&patience); /* rlx: a number of tries, about */
	if (left == 0)
		return false;
	wf_store_rlx32(&patience, left - 1); /* rlx: the same */
	wf_futex_wait(&loading, 1, wf_clock_now() + PATIENCE_NS);
	free = 0;
	return wf_cas_acq_rel32(&loading, &free, 1); /* SY-2 */
}

static void give_loading(void)
{
	wf_swap_acq_rel32(&loading, 0); /* SY-2 */
	wf_futex_wake(&loading, 1);
}

/* NULL: nothing is known of it. */
static const struct module *find_or_load(const struct module *wanted)
{
	const struct module *known = find(wanted);
	if (known != NULL || !take_loading())
		return known;
	known = find(wanted);
	unsigned free = 0;
	while (free < MODULES && wf_load_rlxp(&modules[free]) != NULL) /* rlx: SY-2 */
		free++;
	if (known == NULL && free < MODULES) {
		struct module *module = &storage[free];
		*module = *wanted;
		int fd = wf_own_open(module->is_program ? "/proc/self/exe" : module->path,
			O_NOCTTY | O_NONBLOCK);
		if (fd >= 0) {
			load(fd, module);
			wf_own_close(fd);
		}
		wf_store_relp(&modules[free], module); /* SY-1 */
		known = module;
	}
	give_loading();
	return known;
}

static unsigned rank(const struct module *module, const Elf64_Sym *symbol)
{
	const char *name = module->names + symbol->st_name;
	unsigned underscores = name[0] == '_' ? 1 + (name[1] == '_') : 0;
	return (ELF64_ST_BIND(symbol->st_info) == STB_LOCAL ? 0u : 4u) + 3 - underscores;
}

static const Elf64_Sym *find_symbol(const struct module *module, uintptr_t address)
{
	uint64_t low = 0, high = module->symbols; /* high: the first that begins behind it */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (module->symbol[middle].st_value <= address)
			low = middle + 1;
		else
			high = middle;
	}
	const Elf64_Sym *best = NULL;
	for (uint64_t i = high;
		i-- > 0 && module->symbol[i].st_value == module->symbol[high - 1].st_value;) {
		const Elf64_Sym *symbol = &module->symbol[i];
		if (symbol->st_size != 0 && address - symbol->st_value >= symbol->st_size)
			continue;
		if (best == NULL || rank(module, symbol) > rank(module, best))
			best = symbol;
	}
	return best;
}

static size_t written(int n, size_t size)
{
	return n < 0 || size == 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static size_t describe(uintptr_t pc, uintptr_t place, char *buffer, size_t size)
{
	struct module wanted;
	if (!identify(place, &wanted))
		return written(snprintf(buffer, size, "0x%lx", (unsigned long)pc), size);
	const struct module *module = find_or_load(&wanted);
	const char *slash = strrchr(wanted.path, '/');
	const char *file = slash != NULL ? slash + 1 : wanted.path;
	const Elf64_Sym *symbol = module != NULL && module->symbol != NULL
		? find_symbol(module, place - wanted.base)
		: NULL;
	unsigned long offset = pc - wanted.base;
	if (symbol == NULL)
		return written(snprintf(buffer, size, "%s+0x%lx", file, offset), size);
	return written(snprintf(buffer, size, "%s+0x%lx (%s)", module->names + symbol->st_name,
			       offset - (unsigned long)symbol->st_value, file),
		size);
}

size_t wf_symbol(const void *pc, bool exact, char *buffer, size_t size)
{
	int saved = errno;
	size_t length = describe((uintptr_t)pc, (uintptr_t)pc - !exact, buffer, size);
	errno = saved;
	return length;
}

WF_OWNER_CODE_END
