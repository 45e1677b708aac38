/* SPDX-License-Identifier: MIT */
/* dump.c - see dump.h */
#include "sched/obs/dump.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <weft/report.h>

#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/base/symbol.h"
#include "sched/core/rescue.h"

#define LINE_MAX_BYTES 1024u

/* The raw call: nothing that captures libc's may park the caller here. */
static void flush(struct wf_dump *dump)
{
	size_t done = 0;
	while (done < dump->used && dump->error == 0) {
		long n = syscall(SYS_write, dump->fd, dump->text + done, dump->used - done);
		struct pollfd wait = {.fd = dump->fd, .events = POLLOUT};
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			syscall(SYS_ppoll, &wait, 1UL, NULL, NULL, 0UL);
		else if (n == 0 || errno != EINTR)
			dump->error = n == 0 ? -EIO : -errno;
	}
	dump->used = 0;
}

__attribute__((format(printf, 2, 3))) static void add(struct wf_dump *dump, const char *format, ...)
{
	va_list args;
	if (sizeof(dump->text) - dump->used < LINE_MAX_BYTES)
		flush(dump);
	va_start(args, format);
	int n = vsnprintf(dump->text + dump->used, LINE_MAX_BYTES, format, args);
	va_end(args);
	if (n > 0)
		dump->used += (size_t)n < LINE_MAX_BYTES ? (size_t)n : LINE_MAX_BYTES - 1;
}

static const char *symbol_of(struct wf_dump *dump, const void *pc, bool exact)
{
	uintptr_t number = (uintptr_t)pc;
	struct wf_dump_symbol *symbol =
		&dump->symbol[(number ^ number >> 10) % (sizeof(dump->symbol) / sizeof(dump->symbol[0]))];
	if (symbol->pc != pc || symbol->exact != exact) {
		symbol->pc = pc;
		symbol->exact = exact;
		wf_symbol(pc, exact, symbol->name, sizeof(symbol->name));
	}
	return symbol->name;
}

static void add_frames(struct wf_dump *dump)
{
	for (uint32_t i = 0; i < dump->frames; i++) {
		const struct wf_dump_frame *frame = &dump->frame[i];
		if (frame->heading != NULL)
			add(dump, "      %s\n", frame->heading);
		add(dump, "      #%-2u %s\n", i, symbol_of(dump, frame->pc, frame->exact));
	}
}

/* What a worker looked like at some moment. */
struct sight {
	uint32_t index;
	bool is_spare, retires, asleep, stuck;
	int tid;
	const struct wf_fiber *current;
	int64_t held; /* for so long its fiber does not give way; 0: not known to */
	uint64_t ready, unstarted, timers, operations;
};

/* False: there is none now. */
static bool look_at_worker(struct wf_runtime *rt, uint32_t index, int64_t now, struct sight *sight)
{
	const struct wf_worker *w = &rt->worker[index];
	uint32_t spare = wf_load_acq32(&w->spare), timers = 0;
	uint64_t seen_runs = 0;
	int64_t held_since = 0;
	memset(sight, 0, sizeof(*sight));
	sight->index = index;
	sight->is_spare = wf_is_spare(w);
	sight->retires = spare == WF_SPARE_RETIRES;
	if (sight->is_spare && spare != WF_SPARE_RUNS && spare != WF_SPARE_RETIRES)
		return false;
	sight->tid = (int)wf_load_acq32(&w->thread->tid);
	sight->asleep = wf_idle_sleeps(&rt->idle, index);
	sight->stuck = wf_load_acq32(&w->stuck) != 0;
	wf_peek(&w->current, &sight->current, sizeof(sight->current));
	wf_peek(&w->timers.count, &timers, sizeof(timers));
	sight->timers = timers;
	int32_t operations = (int32_t)wf_load_acq32(&w->ops_in_flight); /* below 0: others' ended here */
	sight->operations = operations > 0 ? (uint64_t)operations : 0;
	sight->ready = (wf_load_acq32(&w->ready.tail) - wf_load_acq32(&w->ready.head)) +
		(wf_load_acqp(&w->next) != NULL);
	uint64_t top = wf_load_acq64(&w->deque.top), bottom = wf_load_acq64(&w->deque.bottom);
	sight->unstarted = bottom > top ? bottom - top : 0;
	if (wf_peek(&w->seen_runs, &seen_runs, sizeof(seen_runs)) &&
		wf_peek(&w->held_since, &held_since, sizeof(held_since)) &&
		seen_runs == wf_load_acq64(&w->counter[WF_RUNS]) && !sight->asleep)
		sight->held = now - held_since;
	return true;
}

static void add_current(struct wf_dump *dump, const struct sight *sight, struct wf_runtime *rt)
{
	struct wf_view view;
	char who[96], held[32];
	uint32_t index;
	if (sight->current == NULL) {
		add(dump, "%s", sight->asleep ? "asleep" : "looks for work");
		return;
	}
	if (!wf_peek(&sight->current->index, &index, sizeof(index)) || !wf_view_take(index, rt, &view)) {
		add(dump, "runs a fiber that is gone");
		return;
	}
	wf_view_describe(&view, who, sizeof(who));
	add(dump, "runs %s", who);
	if (sight->held > 0) {
		wf_view_describe_time(sight->held, held, sizeof(held));
		add(dump, " for %s", held);
	}
}

static void add_worker(struct wf_dump *dump, struct wf_runtime *rt, uint32_t index)
{
	struct sight sight;
	if (wf_runtime_hold(rt->slot) == NULL)
		return;
	/* Another runtime may stand in the slot since the last line was written. */
	bool there = index < wf_reach(rt) && look_at_worker(rt, index, dump->now, &sight);
	wf_runtime_let(rt);
	if (!there)
		return;
	add(dump, "  %s %u, thread %d: ", sight.is_spare ? "spare" : "worker", index, sight.tid);
	add_current(dump, &sight, rt);
	add(dump, "%s%s; %llu ready, %llu unstarted, %llu timers, %llu operations in flight\n",
		sight.stuck ? ", stuck" : "", sight.retires ? ", about to leave" : "",
		(unsigned long long)sight.ready, (unsigned long long)sight.unstarted,
		(unsigned long long)sight.timers, (unsigned long long)sight.operations);
}

/* What a fiber does, behind its name. */
static void add_state(struct wf_dump *dump, const struct wf_view *view, bool found)
{
	char wait[256], since[32];
	if (view->waits) {
		wf_view_describe_wait(view, wait, sizeof(wait));
		wf_view_describe_time(dump->now - view->since, since, sizeof(since));
		add(dump, "parked, %s, for %s", wait, since);
	} else if (view->state == WF_VIEW_RUNNING && dump->looked) {
		wf_look_describe(&dump->look, wait, sizeof(wait));
		add(dump, "running, %s", wait);
	} else if (view->state == WF_VIEW_RUNNING && found) {
		add(dump, "%s", view->fiber == wf_current() ? "running, writes this" : "ready, gave way");
	} else if (view->state == WF_VIEW_ENDED) {
		add(dump, "ended, not joined");
	} else {
		add(dump, "%s", wf_view_state_word(view->state));
	}
	if (view->life & WF_LIFE_CANCEL)
		add(dump, ", cancelled");
}

/* False: it has gone meanwhile, and there is nothing about it. */
static bool add_fiber(struct wf_dump *dump, struct wf_view *view)
{
	char who[96], site[192];
	enum wf_dump_found stack = WF_DUMP_NOT_FOUND;
	dump->now = wf_clock_now();
	dump->frames = 0;
	dump->looked = false;
	if (view->state != WF_VIEW_UNSTARTED && view->state != WF_VIEW_ENDED)
		stack = wf_dump_stack(dump, view);
	if (stack == WF_DUMP_GONE)
		return false;
	bool found = stack == WF_DUMP_FOUND;
	wf_view_describe(view, who, sizeof(who));
	wf_view_describe_site(view, site, sizeof(site));
	add(dump, "  %s: ", who);
	add_state(dump, view, found);
	if (view->home != UINT32_MAX)
		add(dump, ", pinned to worker %u", view->home);
	add(dump, "; spawned at %s\n", site);
	if (found)
		add_frames(dump);
	else if (view->state == WF_VIEW_UNSTARTED)
		add(dump, "      will run %s\n",
			symbol_of(dump, (const void *)(uintptr_t)view->fn, true));
	else if (view->state != WF_VIEW_ENDED)
		add(dump, "      %s: no backtrace\n",
			dump->silent ? "its thread does not answer" : "moves");
	return true;
}

static void add_fibers(struct wf_dump *dump, struct wf_runtime *rt)
{
	uint64_t count[WF_VIEW_STATES] = {0}, all = 0;
	uint32_t size = wf_fiber_table_size();
	for (uint32_t i = 1; i < size && dump->error == 0; i++) {
		struct wf_view view;
		if (!wf_view_take(i, rt, &view) || !add_fiber(dump, &view))
			continue;
		count[view.state]++;
		all++;
	}
	add(dump, "  %llu fibers:", (unsigned long long)all);
	for (int state = 0; state < WF_VIEW_STATES; state++)
		if (count[state] > 0)
			add(dump, " %llu %s", (unsigned long long)count[state],
				wf_view_state_word((enum wf_view_state)state));
	add(dump, "\n");
}

static void add_runtime(struct wf_dump *dump, uint32_t slot)
{
	struct wf_runtime *rt = wf_runtime_hold(slot);
	if (rt == NULL)
		return;
	uint32_t reach = wf_reach(rt), workers = rt->worker_count, operations = 0;
	for (uint32_t i = 0; i < reach; i++)
		operations += wf_load_acq32(&rt->worker[i].ops_in_flight);
	const char *engine = rt->driver->engine == WEFT_ENGINE_URING ? "io_uring" : "epoll";
	wf_runtime_let(rt);
	add(dump, "runtime %u: %u workers, %s, %d operations in flight, %u fibers in the common queue%s\n",
		slot, workers, engine, (int)operations, wf_load_acq32(&rt->injected),
		wf_load_acq32(&rt->stopping) ? ", stopping" : "");
	for (uint32_t i = 0; i < reach && dump->error == 0; i++)
		add_worker(dump, rt, i);
	add_fibers(dump, rt);
}

static void add_all(struct wf_dump *dump)
{
	add(dump, "weft: dump of process %d\n", (int)getpid());
	for (uint32_t slot = 0; slot < WF_RUNTIMES_MAX && dump->error == 0; slot++)
		add_runtime(dump, slot);
	add(dump, "weft: end of dump\n");
	flush(dump);
}

/* A pipe that nobody reads is an error of this call, not a signal for the program. */
static int with_pipe_signal_kept(struct wf_dump *dump)
{
	sigset_t pipe, old, pending;
	static const struct timespec now;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	sigpending(&pending);
	bool was_pending = sigismember(&pending, SIGPIPE);
	add_all(dump);
	if (dump->error == -EPIPE && !was_pending)
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return dump->error;
}

int weft_dump(int fd)
{
	int saved = wf_errno_load();
	struct wf_dump *dump =
		mmap(NULL, sizeof(*dump), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error = -ENOMEM;
	if (dump != MAP_FAILED) {
		dump->fd = fd;
		dump->now = wf_clock_now();
		error = with_pipe_signal_kept(dump);
		munmap(dump, sizeof(*dump));
	}
	wf_errno_store(saved);
	return error;
}
