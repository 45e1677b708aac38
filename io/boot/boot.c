/* SPDX-License-Identifier: MIT */
/* boot.c - weft_run, weft_start, weft_submit, weft_stop: the one file that knows the scheduler and its engines
 *
 * What     completes the configuration (field, else environment, else default), chooses the engine by probing, starts and stops runtimes.
 * Rules    a field given outranks the environment; malformed WEFT_* values and unknown flags are -EINVAL with a line that
 *          says what is known.
 * Tests    tests/core/runtime_test.cc, tests/io/boot_test.cc
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <weft/runtime.h>
#include <weft/version.h>

#include "io/api/names.h"
#include "io/api/watch.h"
#include "io/epoll/epoll.h"
#include "io/uring/uring.h"
#include "sched/base/log.h"
#include "sched/base/seam.h"
#include "sched/core/monitor.h"
#include "sched/core/runtime.h"
#include "sched/core/spawn.h"
#include "sched/obs/deadlock.h"
#include "sched/obs/dump.h"

#define RING_FLAGS (WEFT_RING_DEFER | WEFT_RING_COOP | WEFT_RING_PLAIN)
#define CONFIG_FLAGS (WEFT_VIRTUAL_TIME | WEFT_LEAK_REPORT | WEFT_DUMP_ON_SIGQUIT | RING_FLAGS)

/* A number with an optional k or m; -EINVAL and a line when it is not one between low and high. */
static int number_from_env(const char *name, uint64_t low, uint64_t high, uint64_t *value)
{
	const char *text = getenv(name);
	if (text == NULL || text[0] == '\0')
		return 0;
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	bool bad = errno != 0 || end == text || text[0] == '-' || text[0] == '+' || n > UINT64_MAX >> 21;
	if (*end == 'k' || *end == 'K')
		n <<= 10, end++;
	else if (*end == 'm' || *end == 'M')
		n <<= 20, end++;
	if (bad || *end != '\0' || n < low || n > high) {
		wf_log(WF_LOG_ALWAYS, "%s=%s is not a number from %llu to %llu", name, text,
			(unsigned long long)low, (unsigned long long)high);
		return -EINVAL;
	}
	*value = n;
	return 0;
}

static int word_from_env(const char *name, const char *const *words, unsigned count, unsigned *index)
{
	const char *text = getenv(name);
	if (text == NULL || text[0] == '\0')
		return 0;
	for (unsigned i = 0; i < count; i++)
		if (strcmp(text, words[i]) == 0) {
			*index = i;
			return 0;
		}
	char known[128] = "";
	for (unsigned i = 0; i < count; i++) {
		strcat(known, i > 0 ? ", " : "");
		strcat(known, words[i]);
	}
	wf_log(WF_LOG_ALWAYS, "%s=%s is not one of %s", name, text, known);
	return -EINVAL;
}

static int long_run_from_env(weft_ns *long_run)
{
	const char *text = getenv("WEFT_LONG_RUN");
	uint64_t ms = 0;
	if (text != NULL && strcmp(text, "off") == 0) {
		*long_run = -1;
		return 0;
	}
	int error = number_from_env("WEFT_LONG_RUN", 1, 1000000, &ms);
	if (ms != 0)
		*long_run = (weft_ns)ms * WEFT_MS;
	return error;
}

static int complete_engine(weft_config *config)
{
	static const char *const engines[] = {"auto", "uring", "epoll"};
	static const char *const rings[] = {"auto", "defer", "coop", "plain"};
	static const unsigned ring_flags[] = {0, WEFT_RING_DEFER, WEFT_RING_COOP, WEFT_RING_PLAIN};
	static const char *const switches[] = {"off", "on"};
	static const char *const rescues[] = {"auto", "coop", "signal", "off"};
	unsigned engine = 0, ring = 0, leaks = 0, rescue = 0;
	int error = word_from_env("WEFT_ENGINE", engines, 3, &engine);
	if (error == 0)
		error = word_from_env("WEFT_RING_MODE", rings, 4, &ring);
	if (error == 0)
		error = word_from_env("WEFT_LEAKS", switches, 2, &leaks);
	if (error == 0)
		error = word_from_env("WEFT_RESCUE", rescues, 4, &rescue);
	if (error != 0)
		return error;
	if (config->rescue == WEFT_RESCUE_AUTO)
		config->rescue = rescue;
	if (config->rescue > WEFT_RESCUE_OFF) {
		wf_log(WF_LOG_ALWAYS,
			"weft_config.rescue is %u: not one of WEFT_RESCUE_AUTO, _COOP, _SIGNAL, _OFF",
			config->rescue);
		return -EINVAL;
	}
	if (config->rescue == WEFT_RESCUE_AUTO)
		config->rescue = WEFT_RESCUE_COOP;
	if (config->engine == WEFT_ENGINE_AUTO)
		config->engine = engine;
	if (config->engine > WEFT_ENGINE_EPOLL) {
		wf_log(WF_LOG_ALWAYS,
			"weft_config.engine is %u: not one of WEFT_ENGINE_AUTO, _URING, _EPOLL",
			config->engine);
		return -EINVAL;
	}
	if (config->flags & ~CONFIG_FLAGS) {
		wf_log(WF_LOG_ALWAYS, "weft_config.flags has unknown bits 0x%x",
			config->flags & ~CONFIG_FLAGS);
		return -EINVAL;
	}
	unsigned forced = config->flags & RING_FLAGS;
	if (forced & (forced - 1)) {
		wf_log(WF_LOG_ALWAYS,
			"weft_config.flags forces several ring modes, 0x%x: give one WEFT_RING_*",
			forced);
		return -EINVAL;
	}
	if (forced == 0)
		config->flags |= ring_flags[ring];
	if (leaks != 0)
		config->flags |= WEFT_LEAK_REPORT;
	return 0;
}

static int complete(const weft_config *given, weft_config *config)
{
	memset(config, 0, sizeof(*config));
	if (given != NULL)
		*config = *given;
	uint64_t workers = 0, stack = 0, offload = 0;
	weft_ns long_run = WF_LONG_RUN_NS;
	int error = wf_log_configure();
	if (error == 0)
		error = number_from_env("WEFT_WORKERS", 1, WF_WORKERS_MAX, &workers);
	if (error == 0)
		error = number_from_env("WEFT_STACK_SIZE", WF_STACK_MIN, WF_STACK_MAX, &stack);
	if (error == 0)
		error = number_from_env("WEFT_OFFLOAD_THREADS", 1, WF_POOL_THREADS_MAX, &offload);
	if (error == 0)
		error = long_run_from_env(&long_run);
	if (error == 0)
		error = wf_names_check_environment();
	if (error == 0)
		error = complete_engine(config);
	if (error != 0)
		return error;
	if (config->long_run == 0)
		config->long_run = long_run;
	if (config->workers == 0)
		config->workers = workers != 0 ? (unsigned)workers : wf_cpu_count();
	if (config->workers > WF_WORKERS_MAX) {
		if (given != NULL && given->workers != 0) {
			wf_log(WF_LOG_ALWAYS, "weft_config.workers is %u: the limit is %d",
				config->workers, WF_WORKERS_MAX);
			return -EINVAL;
		}
		config->workers = WF_WORKERS_MAX;
	}
	if (config->stack_size == 0)
		config->stack_size = stack != 0 ? stack : WF_STACK_DEFAULT;
	if (config->stack_size > WF_STACK_MAX) {
		wf_log(WF_LOG_ALWAYS, "weft_config.stack_size is %zu: the limit is 1 GiB",
			config->stack_size);
		return -EINVAL;
	}
	if (config->ring_entries > WF_RING_ENTRIES_MAX) {
		wf_log(WF_LOG_ALWAYS, "weft_config.ring_entries is %u: the limit is %u",
			config->ring_entries, WF_RING_ENTRIES_MAX);
		return -EINVAL;
	}
	if (config->ring_entries == 0)
		config->ring_entries = WF_RING_ENTRIES;
	if (config->offload_threads > WF_POOL_THREADS_MAX) {
		wf_log(WF_LOG_ALWAYS, "weft_config.offload_threads is %u: the limit is %u",
			config->offload_threads, WF_POOL_THREADS_MAX);
		return -EINVAL;
	}
	if (config->offload_threads == 0)
		config->offload_threads = offload != 0 ? (unsigned)offload : WF_POOL_THREADS;
	return 0;
}

/* The signal that has all fibers dumped, 0: none. The environment outranks the flag, which knows but one. */
static int dump_signal(const weft_config *config, int *number)
{
	const char *text = getenv("WEFT_DUMP_SIGNAL");
	*number = config->flags & WEFT_DUMP_ON_SIGQUIT ? SIGQUIT : 0;
	if (text == NULL || text[0] == '\0')
		return 0;
	*number = wf_dump_signal_parse(text);
	if (*number > 0)
		return 0;
	wf_log(WF_LOG_ALWAYS, "WEFT_DUMP_SIGNAL=%s is not a signal: say QUIT, USR1, or a number", text);
	return -EINVAL;
}

static int start_dumps(int number)
{
	if (number == 0)
		return 0;
	int error = wf_dump_signal_start(number);
	if (error != 0)
		wf_log(WF_LOG_ALWAYS, "signal %d cannot ask for dumps: %s", number,
			error == -EBUSY ? "another runtime uses another signal for that"
					: strerror(-error));
	return error;
}

static const char *advice(int error)
{
	switch (-error) {
	case EPERM:
		return " (a container's seccomp profile or sysctl kernel.io_uring_disabled forbids it: allow it there)";
	case ENOSYS:
		return " (this kernel or sandbox has none: Linux 5.19 or later is needed)";
	case ENOMEM:
		return " (raise the locked-memory limit, ulimit -l, or set weft_config.ring_entries lower)";
	case EMFILE:
	case ENFILE:
		return " (no descriptor is left for its rings: raise ulimit -n)";
	case EINVAL:
		return " (the ring mode asked for is not known to this kernel: leave WEFT_RING_MODE and the flags unset)";
	default:
		return "";
	}
}

/* Errors that say "not here", as opposed to "not now". */
static bool is_refusal(int error, const weft_config *config)
{
	bool mode_forced = (config->flags & RING_FLAGS) != 0;
	return error == -EPERM || error == -EACCES || error == -ENOSYS || error == -ENOMEM ||
		(error == -EINVAL && !mode_forced);
}

static const struct wf_driver *fall_back(int error)
{
	static wf_a32 said;
	if (wf_swap_sc32(&said, 1) == 0)
		wf_log(WF_LOG_WARN,
			"io_uring is refused: %s%s; the epoll engine is used instead (WEFT_ENGINE=epoll says so without this line)",
			strerror(-error), advice(error));
	return &wf_epoll_driver;
}

static int choose_driver(const weft_config *config, const struct wf_driver **driver)
{
	*driver = &wf_epoll_driver;
	if (config->engine == WEFT_ENGINE_EPOLL)
		return 0;
	int error = wf_uring_probe(config);
	if (error == 0) {
		*driver = &wf_uring_driver;
	} else if (config->engine == WEFT_ENGINE_AUTO && is_refusal(error, config)) {
		*driver = fall_back(error);
		error = 0;
	} else {
		wf_log(WF_LOG_ALWAYS, "io_uring is refused: %s%s", strerror(-error), advice(error));
	}
	return error;
}

/* A child made by fork() from a process with a runtime. */
static int refuse_in_child(const char *what)
{
	if (!wf_fork_in_child())
		return 0;
	wf_log(WF_LOG_ALWAYS,
		"%s: not in the child of a fork: exec a program first, or fork before the first runtime starts",
		what);
	return -ENOTSUP;
}

static int start(const weft_config *given, struct wf_runtime **rt)
{
	weft_config config;
	const struct wf_driver *driver;
	*rt = NULL;
	int refused = refuse_in_child("a start");
	if (refused != 0)
		return refused;
	if (wf_self() != NULL)
		return -EPERM;
	int number = 0, error = complete(given, &config);
	if (error == 0)
		error = dump_signal(&config, &number);
	if (error == 0)
		error = choose_driver(&config, &driver);
	if (error == 0)
		error = start_dumps(number);
	if (error != 0)
		return error;
	wf_store_relp(&wf_descriptors, (void *)&wf_watch_calls); /* SD2: a constant table */
	wf_store_relp(&wf_inspect, (void *)wf_deadlock_inspect);
	wf_store_relp(&wf_survivors, (void *)wf_deadlock_survivors);
	error = wf_runtime_start(rt, &config, driver);
	if (error == -ENOMEM && driver == &wf_uring_driver && config.engine == WEFT_ENGINE_AUTO) /* locked memory */
		error = wf_runtime_start(rt, &config, fall_back(error));
	if (error != 0 && error != -EAGAIN) /* those have said so */
		wf_log(WF_LOG_ALWAYS, "a worker could not start: %s%s", strerror(-error), advice(error));
	if (error == 0)
		(*rt)->dumps = number != 0;
	else if (number != 0)
		wf_dump_signal_stop();
	return error;
}

static void stop(struct wf_runtime *rt)
{
	bool dumps = rt->dumps;
	wf_runtime_stop(rt);
	if (dumps)
		wf_dump_signal_stop();
}

int weft_start(weft_runtime **rt, const weft_config *config)
{
	if (rt == NULL)
		return -EINVAL;
	struct wf_runtime *started;
	int error = start(config, &started);
	*rt = (weft_runtime *)started;
	return error;
}

int weft_submit(weft_runtime *rt, weft_fn fn, void *arg)
{
	if (rt == NULL || fn == NULL)
		return -EINVAL;
	int refused = refuse_in_child("weft_submit");
	if (refused != 0)
		return refused;
	return wf_runtime_submit((struct wf_runtime *)rt, fn, arg, __builtin_return_address(0));
}

int weft_stop(weft_runtime *rt)
{
	if (rt == NULL)
		return -EINVAL;
	int refused = refuse_in_child("weft_stop");
	if (refused != 0)
		return refused;
	struct wf_worker *self = wf_self();
	if (self != NULL)
		return self->rt == (struct wf_runtime *)rt ? -EDEADLK : -EPERM;
	stop((struct wf_runtime *)rt);
	return 0;
}

/* The first fiber of weft_run, and the thread that waits for it. */
struct first {
	weft_fn fn;
	void *arg;
	void *result;
	wf_a32 ended;
};

static void *run_first(void *arg)
{
	struct first *first = arg;
	const struct wf_fiber *fiber = wf_current();
	struct wf_runtime *rt = fiber->rt;
	wf_swap_sc32(&rt->by_run, 1); /* DL5 of obs/deadlock.h: neither before nor after this fiber's life */
	first->result = first->fn(first->arg);
	wf_scopes_check(fiber); /* the stop cancels what is open */
	wf_swap_sc32(&rt->by_run, 0);
	wf_swap_sc32(&first->ended, 1);
	wf_futex_wake(&first->ended, 1);
	return NULL;
}

int weft_run(const weft_config *config, weft_fn main_fn, void *arg, void **result)
{
	if (main_fn == NULL)
		return -EINVAL;
	struct wf_runtime *rt;
	int error = start(config, &rt);
	if (error != 0)
		return error;
	struct first first = {.fn = main_fn, .arg = arg};
	error = wf_runtime_submit(rt, run_first, &first, (const void *)main_fn);
	while (error == 0 && wf_load_sc32(&first.ended) == 0)
		wf_futex_wait(&first.ended, 0, INT64_MAX);
	stop(rt);
	if (error == 0 && result != NULL)
		*result = first.result;
	return error;
}

unsigned weft_workers(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL ? 0 : w->rt->worker_count;
}

unsigned weft_worker_index(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL ? UINT_MAX : w->index % w->rt->worker_count; /* a spare stands in for one */
}

unsigned weft_engine(void)
{
	struct wf_worker *w = wf_self();
	return w == NULL ? WEFT_ENGINE_AUTO : w->rt->driver->engine;
}

const char *weft_version(void)
{
	return WEFT_VERSION;
}
