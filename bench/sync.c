/* SPDX-License-Identifier: MIT */
/* sync.c - what do the synchronisation objects cost, alone and between fibers?
 *
 * Measured by one fiber, which never waits; asked on one worker only, for more change nothing:
 *   lock and unlock of a mutex; read lock and unlock of an rwlock; wait and post of a semaphore with
 *   permits; a waitgroup's add, done and wait; a once that has been done.
 * Measured with several fibers, from before they are spawned until all have ended:
 *   mutex, short       8 fibers lock, add one to a number, unlock. On one worker none of them is
 *                      ever in another's way.
 *   mutex, yields      the same, but the holder yields before it unlocks: now they are.
 *   rwlock, 8 readers  8 fibers lock for reading, read a number, unlock.
 *   event, cond        two fibers in turn: each waits for the other, and wakes it. A round is one
 *                      turn of each. An event is reset by who waited for it; the condition has a
 *                      mutex, and one condition for each side.
 * Those that park do a quarter of --count.
 */
#include "bench/in_fiber.h"

static const struct bench_question question = {
	.name = "sync",
	.asks = "what do mutex, rwlock, semaphore, waitgroup, event, once and condition cost?",
	.count_means = "operations in each repetition; a quarter of them where fibers park",
	.count = 2000000,
	.count_quick = 200000,
};

enum { CROWD = 8, SLOWER = 4 };

static inline void must(int result, const char *call)
{
	if (result < 0)
		bench_check(result, call);
}

static double each_ns(int64_t start_ns, uint64_t count)
{
	return (double)(bench_now_ns() - start_ns) / (double)count;
}

static double mutex_alone(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_mutex mutex = WEFT_MUTEX_INIT;
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		weft_mutex_lock(&mutex);
		must(weft_mutex_unlock(&mutex), "weft_mutex_unlock");
	}
	return each_ns(start_ns, count);
}

static double read_alone(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_rwlock lock = WEFT_RWLOCK_INIT;
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		must(weft_rwlock_rdlock(&lock), "weft_rwlock_rdlock");
		must(weft_rwlock_unlock(&lock), "weft_rwlock_unlock");
	}
	return each_ns(start_ns, count);
}

static double sem_alone(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_sem sem = WEFT_SEM_INIT(8);
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		must(weft_sem_wait(&sem), "weft_sem_wait");
		must(weft_sem_post(&sem), "weft_sem_post");
	}
	return each_ns(start_ns, count);
}

static double waitgroup_cycle(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_waitgroup group = WEFT_WAITGROUP_INIT;
	const int64_t start_ns = bench_now_ns();

	for (uint64_t i = 0; i < count; i++) {
		must(weft_waitgroup_add(&group, 1), "weft_waitgroup_add");
		must(weft_waitgroup_done(&group), "weft_waitgroup_done");
		must(weft_waitgroup_wait(&group), "weft_waitgroup_wait");
	}
	return each_ns(start_ns, count);
}

static void *count_run(void *arg)
{
	++*(uint64_t *)arg;
	return NULL;
}

static double once_done(void *arg)
{
	const uint64_t count = *(const uint64_t *)arg;
	weft_once once = WEFT_ONCE_INIT;
	uint64_t runs = 0;
	double each;
	int64_t start_ns;

	bench_check(weft_once_do(&once, count_run, &runs), "weft_once_do");
	start_ns = bench_now_ns();
	for (uint64_t i = 0; i < count; i++)
		must(weft_once_do(&once, count_run, &runs), "weft_once_do");
	each = each_ns(start_ns, count);
	if (runs != 1)
		bench_die("sync: a once ran %llu times", (unsigned long long)runs);
	return each;
}

struct crowd {
	uint64_t each;
	weft_mutex mutex;
	weft_rwlock lock;
	uint64_t number;
};

static void *add_short(void *arg)
{
	struct crowd *crowd = arg;
	const uint64_t each = crowd->each;

	for (uint64_t i = 0; i < each; i++) {
		weft_mutex_lock(&crowd->mutex);
		crowd->number++;
		must(weft_mutex_unlock(&crowd->mutex), "weft_mutex_unlock");
	}
	return NULL;
}

static void *add_yielding(void *arg)
{
	struct crowd *crowd = arg;
	const uint64_t each = crowd->each;

	for (uint64_t i = 0; i < each; i++) {
		weft_mutex_lock(&crowd->mutex);
		crowd->number++;
		weft_yield();
		must(weft_mutex_unlock(&crowd->mutex), "weft_mutex_unlock");
	}
	return NULL;
}

static void *read_number(void *arg)
{
	struct crowd *crowd = arg;
	const uint64_t each = crowd->each;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < each; i++) {
		must(weft_rwlock_rdlock(&crowd->lock), "weft_rwlock_rdlock");
		sum += crowd->number;
		must(weft_rwlock_unlock(&crowd->lock), "weft_rwlock_unlock");
	}
	if (sum != 0)
		bench_die("sync: a number that nobody writes has changed");
	return NULL;
}

static double run_crowd(struct crowd *crowd, weft_fn fn)
{
	weft_fiber *fibers[CROWD];
	const int64_t start_ns = bench_now_ns();

	for (unsigned i = 0; i < CROWD; i++)
		fibers[i] = bench_spawn(fn, crowd);
	for (unsigned i = 0; i < CROWD; i++)
		bench_join(fibers[i]);
	return each_ns(start_ns, CROWD * crowd->each);
}

static double adders(uint64_t count, weft_fn fn)
{
	struct crowd crowd = {.each = count / CROWD + 1};
	const double each = run_crowd(&crowd, fn);

	if (crowd.number != CROWD * crowd.each)
		bench_die("sync: a mutex let two in");
	return each;
}

static double mutex_short(void *arg)
{
	return adders(*(const uint64_t *)arg, add_short);
}

static double mutex_yields(void *arg)
{
	return adders(*(const uint64_t *)arg / SLOWER, add_yielding);
}

static double readers(void *arg)
{
	struct crowd crowd = {.each = *(const uint64_t *)arg / CROWD + 1};

	return run_crowd(&crowd, read_number);
}

/* Two sides in turn; side 0 begins. */
struct pair {
	uint64_t rounds;
	weft_event event[2]; /* set: it is that side's turn */
	weft_mutex mutex;
	weft_cond cond[2]; /* signalled: it is that side's turn */
	unsigned turn;
};

static void event_turns(struct pair *pair, unsigned side)
{
	for (uint64_t i = 0; i < pair->rounds; i++) {
		must(weft_event_wait(&pair->event[side]), "weft_event_wait");
		weft_event_reset(&pair->event[side]);
		weft_event_set(&pair->event[1 - side]);
	}
}

static void *event_partner(void *arg)
{
	event_turns(arg, 1);
	return NULL;
}

static double event_ping_pong(void *arg)
{
	struct pair pair = {.rounds = *(const uint64_t *)arg / SLOWER + 1};
	const int64_t start_ns = bench_now_ns();
	weft_fiber *partner = bench_spawn(event_partner, &pair);

	weft_event_set(&pair.event[0]);
	event_turns(&pair, 0);
	bench_join(partner);
	return each_ns(start_ns, pair.rounds);
}

static void cond_turns(struct pair *pair, unsigned side)
{
	for (uint64_t i = 0; i < pair->rounds; i++) {
		weft_mutex_lock(&pair->mutex);
		while (pair->turn != side)
			must(weft_cond_wait(&pair->cond[side], &pair->mutex), "weft_cond_wait");
		pair->turn = 1 - side;
		weft_cond_signal(&pair->cond[1 - side]);
		must(weft_mutex_unlock(&pair->mutex), "weft_mutex_unlock");
	}
}

static void *cond_partner(void *arg)
{
	cond_turns(arg, 1);
	return NULL;
}

static double cond_ping_pong(void *arg)
{
	struct pair pair = {.rounds = *(const uint64_t *)arg / SLOWER + 1};
	const int64_t start_ns = bench_now_ns();
	weft_fiber *partner = bench_spawn(cond_partner, &pair);

	cond_turns(&pair, 0);
	bench_join(partner);
	return each_ns(start_ns, pair.rounds);
}

static void *body(void *arg)
{
	const struct bench_args *args = arg;
	uint64_t count = args->count;

	if (weft_workers() == 1) {
		bench_repeat(args, "mutex, free", "ns/op", mutex_alone, &count);
		bench_repeat(args, "rwlock, read, free", "ns/op", read_alone, &count);
		bench_repeat(args, "semaphore, wait and post", "ns/op", sem_alone, &count);
		bench_repeat(args, "waitgroup, add, done, wait", "ns/op", waitgroup_cycle, &count);
		bench_repeat(args, "once, done before", "ns/op", once_done, &count);
	}
	bench_repeat(args, "mutex, 8 fibers, short", "ns/op", mutex_short, &count);
	bench_repeat(args, "mutex, 8 fibers, holder yields", "ns/op", mutex_yields, &count);
	bench_repeat(args, "rwlock, 8 readers", "ns/op", readers, &count);
	bench_repeat(args, "event, ping-pong", "ns/round", event_ping_pong, &count);
	bench_repeat(args, "cond, ping-pong", "ns/round", cond_ping_pong, &count);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_args args = bench_parse(&question, argc, argv);

	return bench_in_fiber(&args, body, &args);
}
