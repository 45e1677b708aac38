/* SPDX-License-Identifier: MIT */
/* deadlock_report.c - what deadlock.c has found, in words, and what becomes of it; see deadlock.h */
#include <weft/report.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/base/log.h"
#include "sched/base/own_fd.h"
#include "sched/base/seam.h"
#include "sched/obs/deadlock.h"

/* Fibers that are named; a report is a few kilobytes. */
#define FIBERS_SHOWN 100u
#define TEXT_BYTES (64u * 1024u)
/* DL3: the same again after so long, then twice as long, up to the last. And so many different ones before any has to wait for that. */
#define PAUSE_NS (10 * WEFT_SEC)
#define PAUSE_MAX_NS (3600 * WEFT_SEC)
#define FREE_REPORTS 8u
/* Fibers with a known holder from which a standstill's cycle is looked for. */
#define STARTS 10000u
/* And for so long at most: each takes as many steps as fibers wait behind each other. */
#define SEARCH_NS INT64_C(200000000)

struct text {
	char *buffer;
	size_t used;
};

/* Whose program decides. */
static wf_lock decider_lock;
static weft_deadlock_fn decider;
static void *decider_arg;

int weft_on_deadlock(weft_deadlock_fn fn, void *arg)
{
	wf_lock_acquire(&decider_lock);
	decider = fn;
	decider_arg = arg;
	wf_lock_release(&decider_lock);
	return 0;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;
	size_t room = TEXT_BYTES - text->used;
	va_start(args, format);
	int n = vsnprintf(text->buffer + text->used, room, format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n < room) {
		text->used += (size_t)n;
		return;
	}
	text->used = TEXT_BYTES - 1;
	text->buffer[text->used - 1] = '\n';
}

static bool open_text(struct text *text)
{
	text->used = 0;
	text->buffer =
		mmap(NULL, TEXT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return text->buffer != MAP_FAILED;
}

static void close_text(struct text *text)
{
	munmap(text->buffer, TEXT_BYTES);
}

__attribute__((noinline)) static void add_fiber(struct text *text, const struct wf_view *view, int64_t now)
{
	char who[96], site[192], wait[256], since[32];
	wf_view_describe(view, who, sizeof(who));
	wf_view_describe_site(view, site, sizeof(site));
	if (!view->waits) {
		add(text, "weft:   %s, spawned at %s, %s\n", who, site, wf_view_state_word(view->state));
		return;
	}
	wf_view_describe_wait(view, wait, sizeof(wait));
	wf_view_describe_time(now - view->since, since, sizeof(since));
	add(text, "weft:   %s, spawned at %s, %s, for %s\n", who, site, wait, since);
}

/* Fibers. */

/* The first ones; how many. */
static uint64_t add_all(struct text *text, struct wf_runtime *rt, int64_t now)
{
	uint64_t shown = 0;
	uint32_t size = wf_fiber_table_size();
	for (uint32_t i = 1; i < size && shown < FIBERS_SHOWN; i++) {
		struct wf_view view;
		if (!wf_view_take(i, rt, &view) || view.state == WF_VIEW_ENDED)
			continue;
		shown++;
		add_fiber(text, &view, now);
	}
	return shown;
}

static void add_more(struct text *text, uint64_t all, uint64_t shown)
{
	if (all > shown)
		add(text, "weft:   and %llu more\n", (unsigned long long)(all - shown));
}

static void add_cycle_fibers(struct text *text, const struct wf_cycle *cycle, int64_t now)
{
	struct wf_view at = cycle->first, next;
	uint64_t shown = 0;
	for (; shown < cycle->all.fibers && shown < FIBERS_SHOWN; shown++) {
		add_fiber(text, &at, now);
		if (!wf_cycle_next(&cycle->first, &at, &next))
			return;
		at = next;
	}
	add_more(text, cycle->all.fibers, shown);
}

/* "cycle: A locks mutex M held by B, which joins A" */
static void add_cycle(struct text *text, const struct wf_cycle *cycle)
{
	struct wf_view at = cycle->first, next;
	char words[256];
	wf_view_describe(&at, words, sizeof(words));
	add(text, "weft:   cycle: %s", words);
	for (uint64_t i = 0; i < cycle->all.fibers && i < FIBERS_SHOWN; i++) {
		wf_view_describe_wait(&at, words, sizeof(words));
		add(text, "%s %s", i > 0 ? ", which" : "", words);
		if (!wf_cycle_next(&cycle->first, &at, &next))
			break;
		at = next;
	}
	add(text, "%s\n", cycle->all.fibers > FIBERS_SHOWN ? ", which ..." : "");
}

/* A final one if there is any. False: there is none at all. */
static bool find_cycle(struct wf_runtime *rt, struct wf_cycle *cycle)
{
	struct wf_cycle at;
	uint32_t starts = 0;
	uint32_t size = wf_fiber_table_size();
	bool found = false;
	int64_t until = wf_clock_of_thread() + SEARCH_NS;
	for (uint32_t i = 1; i < size && starts < STARTS && wf_clock_of_thread() < until; i++) {
		struct wf_view view;
		if (!wf_view_take(i, rt, &view) || !view.waits || view.kind > WF_WAITS_SCOPE)
			continue;
		if (found && !wf_cycle_wait_is_final(&view))
			continue;
		starts++;
		if (!wf_cycle_find(&view, &at) || (found && !at.final))
			continue;
		*cycle = at;
		found = true;
		if (at.final)
			break;
	}
	return found;
}

/* Threads. */

/* The kernel's own for io_uring stand in the process's list too. */
static bool is_kernel_thread(const char *id)
{
	char path[64], name[8];
	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", id);
	return wf_own_text(path, name, sizeof(name)) > 0 && strncmp(name, "iou-", 4) == 0;
}

struct entry {
	uint64_t inode;
	int64_t next;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* Of the process, as the kernel counts them; -1: not known. Without opendir's memory. */
__attribute__((noinline)) static int64_t count_threads(void)
{
	int64_t count = 0;
	_Alignas(struct entry) char list[1024];
	int fd = wf_own_open("/proc/self/task", O_DIRECTORY);
	if (fd < 0)
		return -1;
	long bytes;
	while ((bytes = syscall(SYS_getdents64, fd, list, sizeof(list))) > 0) {
		for (long at = 0; at < bytes;) {
			const struct entry *entry = (const struct entry *)(list + at);
			at += entry->length;
			if (entry->name[0] != '.' && !is_kernel_thread(entry->name))
				count++;
		}
	}
	wf_own_close(fd);
	return bytes < 0 ? -1 : count;
}

/* Threads that are neither weft's nor wait in weft_run; -1: not known. */
static int64_t foreign_threads(void)
{
	uint64_t census = wf_thread_census();
	int64_t all = count_threads();
	uint32_t runners = 0;
	wf_runtimes_by_run(&runners);
	if (wf_thread_census() != census)
		return -1;
	int64_t known = (int64_t)(uint32_t)census + runners;
	return all < 0 || all < known ? -1 : all - known;
}

/* DL5. Nobody in the process can end the standstill: no thread of the program's own, and no fiber of any runtime. Threads are counted between two
 * looks at the fibers: a caller of weft_run waits as long as its first fiber does. */
static bool nobody_else(void)
{
	struct wf_standstill first, second;
	uint32_t runners;
	return wf_standstill_look(NULL, &first, NULL) && wf_runtimes_by_run(&runners) &&
		foreign_threads() == 0 && wf_standstill_look(NULL, &second, NULL) &&
		wf_standstill_same(&first, &second);
}

/* What becomes of it. */

static enum weft_deadlock_action decide(const weft_deadlock *deadlock)
{
	wf_lock_acquire(&decider_lock);
	weft_deadlock_fn fn = decider;
	void *arg = decider_arg;
	wf_lock_release(&decider_lock);
	return fn != NULL ? fn(deadlock, arg) : WEFT_DEADLOCK_DEFAULT;
}

static void act(struct wf_runtime *rt, struct text *text, weft_deadlock *deadlock, const char *last)
{
	deadlock->runtime = (weft_runtime *)rt;
	deadlock->text = text->buffer;
	enum weft_deadlock_action action = decide(deadlock);
	if (action != WEFT_DEADLOCK_SILENT)
		wf_log_raw(text->buffer, text->used);
	if (action == WEFT_DEADLOCK_ABORT || (action == WEFT_DEADLOCK_DEFAULT && deadlock->final))
		wf_fatal("deadlock: %s", last);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void add_outlook(struct text *text, int64_t foreign)
{
	if (foreign > 0)
		add(text, "weft:   %lld thread%s of the program's own may still end it\n",
			(long long)foreign, plural((uint64_t)foreign));
	else
		add(text, "weft:   other threads or runtimes may still end it\n");
}

/* DL3. */
static bool may_say(struct wf_said *said, const struct wf_standstill *found, int64_t now)
{
	if (said->pause == 0) {
		said->pause = PAUSE_NS;
		said->free = FREE_REPORTS;
	}
	bool known = said->last.fibers == found->fibers && said->last.waits == found->waits;
	if (known && said->last.tickets == found->tickets)
		return false;
	if (now < said->not_before && (known || said->free == 0))
		return false;
	if (!known && said->free > 0) {
		said->free--;
		said->pause = PAUSE_NS;
	} else if (said->pause < PAUSE_MAX_NS) {
		said->pause *= 2;
	}
	said->not_before = now + said->pause;
	return true;
}

bool wf_deadlock_report_all(
	struct wf_runtime *rt, struct wf_said *said, const struct wf_standstill *found, int64_t now)
{
	struct text text;
	struct wf_cycle cycle = {0};
	bool circular = find_cycle(rt, &cycle);
	int64_t foreign = foreign_threads();
	weft_deadlock deadlock = {.fibers = found->fibers, .cycle = circular};
	deadlock.final = (circular && cycle.final) || nobody_else();
	bool again = said->final && wf_standstill_same(&said->last, found);
	bool say = may_say(said, found, now);
	said->last = *found;
	said->final = deadlock.final;
	if (again || (!say && !deadlock.final) || !open_text(&text))
		return false;
	if (found->fibers == 1)
		add(&text, "weft: deadlock: the only fiber of the runtime waits, and nobody in it can wake it\n");
	else
		add(&text, "weft: deadlock: all %llu fibers of the runtime wait, and nobody in it can wake them\n",
			(unsigned long long)found->fibers);
	add_more(&text, found->fibers, add_all(&text, rt, now));
	if (circular)
		add_cycle(&text, &cycle);
	if (!deadlock.final)
		add_outlook(&text, foreign);
	act(rt, &text, &deadlock,
		circular ? "the fibers named above wait for each other in a cycle"
			 : "the fibers named above wait for what nobody is left to do");
	close_text(&text);
	return true;
}

void wf_deadlock_report_cycle(struct wf_runtime *rt, const struct wf_cycle *cycle, int64_t now)
{
	struct text text;
	weft_deadlock deadlock = {
		.fibers = cycle->all.fibers, .cycle = 1, .partial = 1, .final = cycle->final};
	if (!open_text(&text))
		return;
	add(&text, "weft: deadlock: %llu fiber%s wait%s for locks in a cycle, while others go on\n",
		(unsigned long long)cycle->all.fibers, plural(cycle->all.fibers),
		cycle->all.fibers == 1 ? "s" : "");
	add_cycle_fibers(&text, cycle, now);
	add_cycle(&text, cycle);
	if (!cycle->final)
		add(&text, "weft:   a cancellation may still end it\n");
	act(rt, &text, &deadlock, "the fibers named above wait for each other in a cycle");
	close_text(&text);
}

void wf_deadlock_survivors(struct wf_runtime *rt)
{
	struct text text;
	if (!open_text(&text))
		return;
	add(&text, "weft: stop waits for fibers that were cancelled and have not ended:\n");
	if (add_all(&text, rt, wf_clock_now()) > 0)
		wf_log_raw(text.buffer, text.used);
	close_text(&text);
}
