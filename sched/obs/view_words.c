/* SPDX-License-Identifier: MIT */
/* view_words.c - snapshots of fibers in words; see view.h */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sched/base/peek.h"
#include "sched/base/seam.h"
#include "sched/core/driver.h"
#include "sched/obs/view.h"
#include "sched/sync/chan.h"
#include "sched/sync/select.h"
#include "sched/sync/wait.h"

/* Cases of a select that are described; the rest is a number. */
#define CASES_SHOWN 4u

struct text {
	char *buffer;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;
	if (text->used + 1 >= text->size)
		return;
	va_start(args, format);
	int n = vsnprintf(text->buffer + text->used, text->size - text->used, format, args);
	va_end(args);
	if (n > 0)
		text->used += (size_t)n;
	if (text->used >= text->size)
		text->used = text->size - 1;
}

const char *wf_view_state_word(enum wf_view_state state)
{
	static const char *const words[WF_VIEW_STATES] = {
		[WF_VIEW_UNSTARTED] = "unstarted",
		[WF_VIEW_READY] = "ready",
		[WF_VIEW_RUNNING] = "running",
		[WF_VIEW_PARKED] = "parked",
		[WF_VIEW_ENDED] = "ended",
	};
	return words[state];
}

int wf_view_describe_time(weft_ns duration, char *buffer, size_t size)
{
	struct text text = {buffer, size, 0};
	if (duration >= 100 * WEFT_SEC)
		add(&text, "%lld s", (long long)(duration / WEFT_SEC));
	else if (duration >= WEFT_SEC)
		add(&text, "%.1f s", (double)duration / (double)WEFT_SEC);
	else if (duration >= WEFT_MS)
		add(&text, "%lld ms", (long long)(duration / WEFT_MS));
	else
		add(&text, "%lld us", (long long)(duration > 0 ? duration / WEFT_US : 0));
	return (int)text.used;
}

int wf_view_describe(const struct wf_view *view, char *buffer, size_t size)
{
	struct text text = {buffer, size, 0};
	add(&text, "fiber=%llu", (unsigned long long)view->id);
	if (view->name[0] != '\0')
		add(&text, " \"%s\"", view->name);
	return (int)text.used;
}

int wf_view_describe_holder(uint64_t holder, char *buffer, size_t size)
{
	struct text text = {buffer, size, 0};
	struct wf_view view;
	uint64_t index = holder & ((UINT64_C(1) << WF_HOLDER_INDEX_BITS) - 1);
	uint64_t generation = holder >> WF_HOLDER_INDEX_BITS;
	if (index == WF_NO_FIBER) {
		add(&text, "thread %llu", (unsigned long long)generation);
		return (int)text.used;
	}
	if (wf_view_of_holder(holder, &view) && view.state != WF_VIEW_ENDED)
		return wf_view_describe(&view, buffer, size);
	add(&text, "fiber=%llu, which has ended", (unsigned long long)(generation << 32 | index));
	return (int)text.used;
}

int wf_view_describe_site(const struct wf_view *view, char *buffer, size_t size)
{
	wf_describe_site(view->site, buffer, size);
	return (int)strlen(buffer);
}

static void add_holder(struct text *text, uint64_t holder)
{
	if (text->used + 1 < text->size)
		text->used += (size_t)wf_view_describe_holder(
			holder, text->buffer + text->used, text->size - text->used);
}

static void add_time(struct text *text, weft_ns duration)
{
	if (text->used + 1 < text->size)
		text->used += (size_t)wf_view_describe_time(
			duration, text->buffer + text->used, text->size - text->used);
}

/* VW4 */
static int64_t now_of(const struct wf_runtime *of)
{
	struct wf_runtime *rt = wf_runtime_hold(of->slot);
	int64_t now = rt != NULL && rt->virtual_time
		? (int64_t)wf_load_rlx64(&rt->virtual_now) /* rlx: for a message */
		: wf_clock_now();
	if (rt != NULL)
		wf_runtime_let(rt);
	return now;
}

/* Locks. */

static void add_lock(struct text *text, const struct wf_view *view, const char *what, const char *held)
{
	add(text, "%s %p", what, view->object);
	uint64_t holder = wf_view_waits_for(view);
	if (holder == 0)
		return;
	add(text, " %s ", held);
	add_holder(text, holder);
}

static void add_rwlock(struct text *text, const struct wf_view *view)
{
	uint64_t word;
	add_lock(text, view,
		view->kind == WF_WAITS_READ ? "locks reader-writer lock (to read)"
					    : "locks reader-writer lock (to write)",
		"written by");
	if (!wf_peek(view->object, &word, sizeof(word)) || (word & WF_RWLOCK_WRITER))
		return;
	unsigned long long readers = word >> WF_HOLDER_SHIFT;
	add(text, " read by %llu%s", readers, readers == 1 ? " holder" : " holders");
}

static void add_wait_for(struct text *text, const struct wf_view *view)
{
	uint64_t holder = wf_view_waits_for(view);
	if (view->kind == WF_WAITS_SCOPE)
		add(text, "closes scope %p, which waits for ", view->object);
	else
		add(text, "joins ");
	if (holder != 0)
		add_holder(text, holder);
	else
		add(text, view->kind == WF_WAITS_SCOPE ? "its children" : "a fiber");
}

/* Objects whose state is a number. */

static void add_queue(struct text *text, const struct wf_view *view)
{
	uint64_t words[3] = {0}; /* state, list, and a barrier's parties */
	size_t size = view->kind == WF_WAITS_BARRIER ? sizeof(words) : 2 * sizeof(words[0]);
	bool read = wf_peek(view->object, words, size);
	unsigned long long count = words[0] >> WF_STATE_SHIFT;
	add(text, "%s", wf_waits_word(view->kind));
	add(text, " %p", view->object);
	if (!read || view->kind == WF_WAITS_COND || view->kind == WF_WAITS_EVENT)
		return;
	if (view->kind == WF_WAITS_WAITGROUP)
		add(text, " (%llu not done)", count);
	else if (view->kind == WF_WAITS_BARRIER)
		add(text, " (%llu of %llu are there)", count, (unsigned long long)words[2]);
	else
		add(text, " (%llu permits)", count);
}

static void add_futex(struct text *text, const struct wf_view *view)
{
	uint32_t value;
	add(text, "waits on futex word %p", view->object);
	if (wf_peek(view->object, &value, sizeof(value)))
		add(text, " (now %u)", value);
}

/* Channels. */

static void add_channel(struct text *text, const void *object, bool sends)
{
	weft_chan chan;
	add(text, "channel %p", object);
	if (!wf_peek(object, &chan, offsetof(weft_chan, ring)))
		return;
	uint64_t word = wf_load_rlx64(&chan.latch.word); /* rlx: of the copy */
	bool partner = word & (sends ? WF_CHAN_RECEIVERS : WF_CHAN_SENDERS);
	if (chan.capacity == 0)
		add(text, " (capacity 0");
	else
		add(text, " (%llu of %zu in it", (unsigned long long)(word >> WF_CHAN_COUNT_SHIFT),
			chan.capacity);
	if (!partner)
		add(text, sends ? ", nobody receives)" : ", nobody sends)");
	else
		add(text, ")");
}

static void add_case(struct text *text, const weft_case *c)
{
	switch (c->op) {
	case WEFT_CASE_SEND:
	case WEFT_CASE_RECV:
		add(text, c->op == WEFT_CASE_SEND ? "to send to " : "to receive from ");
		if (c->chan != NULL)
			add_channel(text, c->chan, c->op == WEFT_CASE_SEND);
		else
			add(text, "no channel");
		return;
	case WEFT_CASE_READABLE:
	case WEFT_CASE_WRITABLE:
		add(text, "descriptor %d to be %s", c->fd,
			c->op == WEFT_CASE_READABLE ? "readable" : "writable");
		return;
	}
}

static void add_select(struct text *text, const struct wf_view *view)
{
	struct wf_selecting selecting;
	weft_case cases[CASES_SHOWN];
	add(text, "selects");
	if (!wf_peek(view->object, &selecting, sizeof(selecting)))
		return;
	if (selecting.count == 0)
		add(text, " of no cases");
	size_t shown = selecting.count < CASES_SHOWN ? selecting.count : CASES_SHOWN;
	if (shown > 0 && !wf_peek(selecting.cases, cases, shown * sizeof(*cases)))
		shown = 0;
	for (size_t i = 0; i < shown; i++) {
		add(text, i > 0 ? ", or " : " ");
		add_case(text, &cases[i]);
	}
	if (selecting.count > shown)
		add(text, ", or %zu more cases", selecting.count - shown);
}

/* Operations. */

static const char *word_of_op(unsigned code)
{
	static const char *const words[WF_OP_CODES] = {
		[WF_OP_READ] = "reads from",
		[WF_OP_WRITE] = "writes to",
		[WF_OP_READV] = "reads from",
		[WF_OP_WRITEV] = "writes to",
		[WF_OP_RECV] = "receives from",
		[WF_OP_SEND] = "sends to",
		[WF_OP_RECVMSG] = "receives from",
		[WF_OP_SENDMSG] = "sends to",
		[WF_OP_ACCEPT] = "accepts on",
		[WF_OP_CONNECT] = "connects",
		[WF_OP_OPENAT] = "opens a file",
		[WF_OP_CLOSE] = "closes",
		[WF_OP_SHUTDOWN] = "shuts down",
		[WF_OP_FSYNC] = "syncs",
		[WF_OP_FALLOCATE] = "allocates",
		[WF_OP_FTRUNCATE] = "truncates",
		[WF_OP_STATX] = "asks about a file",
		[WF_OP_UNLINKAT] = "unlinks a file",
		[WF_OP_RENAMEAT] = "renames a file",
		[WF_OP_MKDIRAT] = "makes a directory",
		[WF_OP_LINKAT] = "links a file",
		[WF_OP_SYMLINKAT] = "links a file",
		[WF_OP_SPLICE] = "splices into",
		[WF_OP_WAITID] = "waits for a process",
		[WF_OP_SOCKET] = "makes a socket",
		[WF_OP_BIND] = "binds",
		[WF_OP_LISTEN] = "listens on",
	};
	return code < WF_OP_CODES && words[code] != NULL ? words[code] : "operates on";
}

/* Where the descriptor is not what is waited for. */
static bool by_path(unsigned code)
{
	return (code >= WF_OP_STATX && code <= WF_OP_SYMLINKAT) || code == WF_OP_OPENAT ||
		code == WF_OP_WAITID || code == WF_OP_SOCKET;
}

static void add_operation(struct text *text, const struct wf_view *view)
{
	struct wf_op op;
	if (!wf_peek(view->object, &op, sizeof(op))) {
		add(text, "%s", wf_waits_word(view->kind));
		return;
	}
	if (op.code == WF_OP_POLL) {
		bool in = op.flags & POLLIN, out = op.flags & POLLOUT;
		add(text, "waits for descriptor %d to be %s", op.fd,
			in && out     ? "readable or writable"
				: in  ? "readable"
				: out ? "writable"
				      : "ready");
		return;
	}
	add(text, "%s", word_of_op(op.code));
	if (!by_path(op.code))
		add(text, " descriptor %d", op.fd);
}

/* All of them. */

static void add_kind(struct text *text, const struct wf_view *view)
{
	switch (view->kind) {
	case WF_WAITS_MUTEX:
		add_lock(text, view, "locks mutex", "held by");
		return;
	case WF_WAITS_ONCE:
		add_lock(text, view, "waits for once", "that is run by");
		return;
	case WF_WAITS_WRITE:
	case WF_WAITS_READ:
		add_rwlock(text, view);
		return;
	case WF_WAITS_JOIN:
	case WF_WAITS_SCOPE:
		add_wait_for(text, view);
		return;
	case WF_WAITS_COND:
	case WF_WAITS_SEM:
	case WF_WAITS_EVENT:
	case WF_WAITS_WAITGROUP:
	case WF_WAITS_BARRIER:
		add_queue(text, view);
		return;
	case WF_WAITS_FUTEX:
		add_futex(text, view);
		return;
	case WF_WAITS_SEND:
	case WF_WAITS_RECEIVE:
	case WF_WAITS_SIGNAL:
		add(text,
			view->kind == WF_WAITS_SEND		? "sends to "
				: view->kind == WF_WAITS_SIGNAL ? "receives signals from "
								: "receives from ");
		add_channel(text, view->object, view->kind == WF_WAITS_SEND);
		return;
	case WF_WAITS_SELECT:
	case WF_WAITS_SELECT_FD:
		add_select(text, view);
		return;
	case WF_WAITS_IO:
		add_operation(text, view);
		return;
	case WF_WAITS_NONE:
	case WF_WAITS_SLEEP:
	case WF_WAITS_OFFLOAD:
	case WF_WAITS_DESCRIPTOR:
	case WF_WAITS_KINDS:
		break;
	}
	add(text, "%s", wf_waits_word(view->kind));
}

static void add_deadline(struct text *text, const struct wf_view *view)
{
	if (view->deadline == WEFT_FOREVER || view->kind == WF_WAITS_OFFLOAD)
		return;
	weft_ns left = view->deadline - now_of(view->rt);
	if (left < 0) {
		add(text, ", late");
		return;
	}
	add(text, view->kind == WF_WAITS_SLEEP ? " for " : ", for at most ");
	add_time(text, left);
	add(text, " more");
}

int wf_view_describe_wait(const struct wf_view *view, char *buffer, size_t size)
{
	struct text text = {buffer, size, 0};
	buffer[0] = '\0';
	add_kind(&text, view);
	if (!wf_view_holds(view)) { /* VW2: what was read may be of something else by now */
		text.used = 0;
		add(&text, "%s", wf_waits_word(view->kind));
	}
	add_deadline(&text, view);
	return (int)text.used;
}
