/* SPDX-License-Identifier: MIT */
/* signal.c - weft_signal_chan: signals as numbers on a channel
 *
 * What     A handler counts a signal and wakes one thread, the courier; the courier hands the number to each channel that asked for it. The
 *          courier is there while a channel is; it leaves the signals asked for unblocked, so that one sent to the process finds a thread
 *          even where all others block it.
 * Rejected signalfd (the signal must be blocked in every thread beforehand, and that set of the program's threads is not weft's to know);
 *          an eventfd or pipe written by the handler (a child made by fork would write into its parent's); one thread a channel.
 * Owns     the courier, the dispositions of the signals asked for, a share for each channel.
 * Rules    SI1 `order` is held by who makes or ends a share, from beginning to end, also while the courier starts or leaves: some ten
 *             microseconds, and against L1 of lock.h, since both are rare. `lock` guards the list of shares and what is in them; the
 *             order is `order`, `lock`, a channel's latch.
 *          SI2 only the courier touches channels. It has let go of one, for good, before the call that closes or frees it does anything.
 *          SI3 a full channel: the courier's node stands among its senders. All such nodes and the bell share one word, as the nodes of a
 *             select do: so the one wait ends when a channel has room, or when the handler rings. The nodes are linked in publish only, and
 *             taken off before anything else when the wait is over: the word is DONE then, and nobody wins it any more.
 *          SI4 nothing is lost: what a channel has no room for stays in its share: of a standard signal one, of a real-time signal each.
 *             Signals take turns, so that a storm of one does not keep another out.
 *          SI5 a signal is blocked in the courier before its disposition goes back: where all other threads block it, it must not find the
 *             courier with the default action.
 *             What is pending for the process at that moment is taken first.
 *          SI6 the handler touches only what is never freed: it may be late.
 *          SI7 the child of a fork has no courier and no shares: the dispositions go back there, and ending a channel frees its share only.
 * Order    SG-1 `rung`: handler's or caller's swap (after its count or its change) -> courier's swap in publish (after its word says that it
 *             waits). The later of the two sees the other: the courier the count, or the handler the waiting word.
 *          WT-1 of wait.h for the word. SG-2 `let_go`: courier's store -> the load of who ends a share.
 * Tests    tests/task/signal_test.cc
 */
#include <weft/signal.h>

#include <errno.h>
#include <pthread.h>

#include "sched/base/alloc.h"
#include "sched/base/lock.h"
#include "sched/base/seam.h"
#include "sched/sync/chan.h"
#include "sched/task/signal.h"

#define NUMBERS 65 /* the kernel's signals, 1 to 64 */

/* What one channel asked for, and what is there for it. */
struct share {
	struct wf_source source; /* first */
	struct share *next;
	weft_chan *chan;
	uint64_t asked;		   /* bits of signals */
	uint32_t epoch;		   /* of the process that made it: SI7 */
	wf_a32 ended;		   /* by the first of those who close and free */
	bool ending;		   /* under `lock`: the courier is to let go */
	uint64_t waiting;	   /* bits of those whose count is not 0 */
	uint32_t pending[NUMBERS]; /* not yet handed over */
	int last;		   /* the one handed over last: turns */
	bool offered;		   /* SI3: the node was linked before the wait */
	int offer;		   /* the number it offers */
	struct wf_waiter node, *fired;
};

static wf_lock order, lock;  /* SI1 */
static struct share *shares; /* under `lock` */
static uint64_t installed;   /* under `lock`; bits of signals whose handler is on_signal() */
static uint64_t reserved;    /* under `order` */
static struct sigaction former[NUMBERS];
static uint32_t epoch; /* under `order` */

static wf_a32 counts[NUMBERS]; /* by the handler, taken by collect_locked() */
static wf_a32 rung;
static wf_a32 let_go;
static pthread_t courier;				 /* under `order` */
static bool running;					 /* under `order` */
static bool leaving;					 /* under `lock` */
static struct wf_wait idle;				 /* the courier's */
static struct wf_waiter bell = {.thread = &idle.thread}; /* constant: SI3 */

static uint64_t bit_of(int number)
{
	return UINT64_C(1) << (number - 1);
}

static int lowest(uint64_t signals)
{
	return __builtin_ctzll(signals) + 1;
}

/* Async-signal-safe. */
static void ring(void)
{
	if (wf_waiter_win(&bell))
		wf_waiter_finish(&bell, false);
}

static void call_courier(void)
{
	wf_swap_acq_rel32(&rung, 1); /* SG-1 */
	ring();
}

static void on_signal(int number)
{
	wf_add_rlx32(&counts[number], 1); /* rlx: SG-1 carries it */
	call_courier();
}

/* The courier: what came goes into the shares. */
static void collect_locked(void)
{
	for (uint64_t left = installed; left != 0; left &= left - 1) {
		int number = lowest(left);
		uint32_t count = wf_swap_acq_rel32(&counts[number], 0); /* SG-1 */
		for (struct share *share = shares; count != 0 && share != NULL; share = share->next) {
			if (!(share->asked & bit_of(number)))
				continue;
			share->pending[number] += count;
			share->waiting |= bit_of(number);
		}
	}
}

/* SI4: the signals of a share take turns. */
static int next_of(const struct share *share)
{
	uint64_t later = share->last < 64 ? share->waiting >> share->last << share->last : 0;
	return lowest(later != 0 ? later : share->waiting);
}

static void handed_over(struct share *share, int number)
{
	share->last = number;
	if (--share->pending[number] == 0)
		share->waiting &= ~bit_of(number);
}

/* Somebody closes the channel at this moment. */
static void forget(struct share *share)
{
	for (; share->waiting != 0; share->waiting &= share->waiting - 1)
		share->pending[lowest(share->waiting)] = 0;
}

/* SI4: no room. */
static void merge(struct share *share)
{
	for (uint64_t left = share->waiting; left != 0; left &= left - 1)
		if (lowest(left) < SIGRTMIN)
			share->pending[lowest(left)] = 1;
}

static void hand_over_locked(struct share *share, struct wf_wakes *wakes)
{
	int error = 0;
	if (share->waiting == 0)
		return;
	wf_chan_lock(share->chan);
	while (share->waiting != 0 && error == 0) {
		struct wf_waiter *served;
		int number = next_of(share);
		error = wf_chan_send_locked(share->chan, &number, &served);
		if (error == 0)
			handed_over(share, number);
		if (served != NULL)
			wf_wakes_add(wakes, served);
	}
	wf_chan_unlock(share->chan);
	if (error == -EPIPE)
		forget(share);
	else if (error == -EAGAIN)
		merge(share);
}

/* SI3. False: there is room by now. */
static bool offer_locked(struct share *share)
{
	wf_chan_lock(share->chan);
	bool full = !wf_chan_may_send_locked(share->chan);
	if (full) {
		share->fired = NULL;
		share->offered = true;
		share->offer = next_of(share);
		share->node = (struct wf_waiter){
			.thread = &idle.thread,
			.fired = &share->fired,
			.sibling = &share->node,
			.kind = WF_SEND,
			.data = &share->offer,
		};
		wf_waiters_append(&share->chan->senders, &share->node);
	}
	wf_chan_unlock(share->chan);
	return full;
}

/* SI3: the wait is over. */
static void withdraw_locked(struct share *share)
{
	if (!share->offered)
		return;
	wf_chan_lock(share->chan);
	if (wf_waiter_linked(&share->node))
		wf_waiters_remove(&share->chan->senders, &share->node);
	wf_chan_unlock(share->chan);
	share->offered = false;
	if (share->fired != NULL && share->node.status == 0)
		handed_over(share, share->offer);
}

static bool publish(struct wf_wait *wait)
{
	bool again = false;
	(void)wait;
	wf_lock_acquire(&lock);
	for (struct share *share = shares; share != NULL; share = share->next)
		if (share->waiting != 0 && !offer_locked(share))
			again = true;
	wf_lock_release(&lock);
	if (wf_swap_acq_rel32(&rung, 0) != 0 || again) /* SG-1 */
		ring();
	return true;
}

static void mask(int how, uint64_t signals)
{
	sigset_t set;
	sigemptyset(&set);
	for (; signals != 0; signals &= signals - 1)
		sigaddset(&set, lowest(signals));
	pthread_sigmask(how, &set, NULL);
}

/* What was sent before the end, and found no thread yet, came for the channels: the former action must not be taken for it. Of those
 * blocked here. */
static void take_pending(uint64_t signals)
{
	static const struct timespec at_once = {0, 0};
	sigset_t set;
	int number;
	if (signals == 0)
		return;
	sigemptyset(&set);
	for (uint64_t left = signals; left != 0; left &= left - 1)
		sigaddset(&set, lowest(left));
	for (int i = 0; i < WF_SIGNAL_DRAIN && (number = sigtimedwait(&set, NULL, &at_once)) > 0; i++)
		wf_add_rlx32(&counts[number], 1); /* rlx: taken by this thread, below */
}

/* The program may have installed a handler of its own meanwhile: that one stays. */
static void restore_locked(uint64_t signals)
{
	for (uint64_t left = signals; left != 0; left &= left - 1) {
		struct sigaction now;
		int number = lowest(left);
		if (sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
			now.sa_handler == on_signal)
			sigaction(number, &former[number], NULL);
	}
	installed &= ~signals;
}

/* SI2, SI5: lets go of what is ending. */
static void let_go_locked(void)
{
	uint64_t wanted = 0;
	bool gone = false;
	for (struct share **link = &shares; *link != NULL;) {
		struct share *share = *link;
		if (share->ending) {
			*link = share->next;
			gone = true;
		} else {
			wanted |= share->asked;
			link = &share->next;
		}
	}
	mask(SIG_BLOCK, installed & ~wanted);
	take_pending(installed & ~wanted);
	restore_locked(installed & ~wanted);
	mask(SIG_UNBLOCK, installed);
	if (gone) {
		wf_store_rel32(&let_go, 1); /* SG-2 */
		wf_futex_wake(&let_go, 1);
	}
}

/* ThreadSanitizer holds a signal back until its thread calls libc, as let_go_locked() does. */
static weft_ns wait_limit(void)
{
#ifdef WF_TSAN
	return wf_clock_now() + 5 * WEFT_MS;
#else
	return WEFT_FOREVER;
#endif
}

static void *deliver(void *arg)
{
	for (;;) {
		struct wf_wakes wakes = {NULL, NULL};
		wf_lock_acquire(&lock);
		for (struct share *share = shares; share != NULL; share = share->next)
			withdraw_locked(share);
		bool over = leaving;
		let_go_locked();
		collect_locked();
		for (struct share *share = shares; share != NULL; share = share->next)
			hand_over_locked(share, &wakes);
		wf_lock_release(&lock);
		wf_wakes_finish(&wakes);
		if (over)
			return arg;
		idle.publish = publish;
		idle.deadline = wait_limit();
		wf_wait(&idle, 0);
	}
}

static void before_fork(void)
{
	wf_lock_acquire(&order);
	wf_lock_acquire(&lock);
}

static void parent_after_fork(void)
{
	wf_lock_release(&lock);
	wf_lock_release(&order);
}

/* SI7. */
static void child_after_fork(void)
{
	restore_locked(installed);
	shares = NULL;
	running = false;
	epoch++;
	parent_after_fork();
}

static int start_courier(void)
{
	static bool prepared;
	if (running)
		return 0;
	int error = prepared ? 0 : -pthread_atfork(before_fork, parent_after_fork, child_after_fork);
	if (error != 0)
		return error;
	prepared = true;
	leaving = false;
	ring(); /* the word is DONE between waits */
	error = wf_thread_create(&courier, "weft-signal", deliver, NULL);
	running = error == 0;
	return error;
}

/* The closing and freeing of a channel: SI2. */
static void end_share(struct share *share)
{
	wf_lock_acquire(&order);
	if (share->epoch == epoch) {
		wf_store_rlx32(&let_go, 0); /* rlx: the courier writes it only when asked to, below */
		wf_lock_acquire(&lock);
		bool last = shares == share && share->next == NULL;
		share->ending = true;
		leaving = last;
		wf_lock_release(&lock);
		call_courier();
		while (wf_load_acq32(&let_go) == 0) /* SG-2 */
			wf_futex_wait(&let_go, 0, INT64_MAX);
		if (last) {
			wf_thread_join(courier);
			running = false;
		}
	} else {
		withdraw_locked(share); /* SI7: alone with it */
	}
	wf_lock_release(&order);
}

static void end_source(struct wf_source *source, bool release)
{
	struct share *share = (struct share *)source;
	int before = wf_errno_load();
	if (wf_swap_acq_rel32(&share->ended, 1) == 0) /* the first of several; they order the rest themselves */
		end_share(share);
	if (release)
		wf_free(share, sizeof(*share));
	wf_errno_store(before);
}

static int install_locked(uint64_t signals)
{
	struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
	sigfillset(&ours.sa_mask); /* one frame on whatever stack it is */
	for (uint64_t left = signals & ~installed; left != 0; left &= left - 1) {
		int number = lowest(left);
		wf_store_rlx32(&counts[number], 0); /* rlx: what came late for former channels */
		if (sigaction(number, &ours, &former[number]) != 0)
			return -wf_errno_load();
		installed |= bit_of(number);
	}
	return 0;
}

/* On an error the share may already be in the list: it is then to be ended. */
static int begin_share(struct share *share)
{
	wf_lock_acquire(&order);
	int error = share->asked & reserved ? -EINVAL : start_courier();
	if (error == 0) {
		share->epoch = epoch;
		wf_lock_acquire(&lock);
		collect_locked(); /* what came before is for the others */
		share->next = shares;
		shares = share;
		error = install_locked(share->asked);
		wf_lock_release(&lock);
		call_courier();
	} else {
		wf_store_rlx32(&share->ended, 1); /* rlx: nobody else knows it */
	}
	wf_lock_release(&order);
	return error;
}

/* The signals of a set as bits; 0: one of them cannot be had. */
static uint64_t read_set(const sigset_t *set)
{
	static const int refused[] = {
		SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
	uint64_t signals = 0;
	for (int number = 1; number < NUMBERS; number++)
		if (sigismember(set, number) == 1)
			signals |= bit_of(number);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (signals & bit_of(refused[i]))
			return 0;
	for (int number = 32; number < SIGRTMIN; number++) /* libc's own */
		if (signals & bit_of(number))
			return 0;
	return signals;
}

int weft_signal_chan(weft_chan **out, const sigset_t *set)
{
	if (out == NULL)
		return -EINVAL;
	*out = NULL;
	uint64_t asked = set != NULL ? read_set(set) : 0;
	if (asked == 0)
		return -EINVAL;
	weft_chan *chan;
	int error = weft_chan_new(&chan, sizeof(int), WF_SIGNAL_BUFFER);
	if (error != 0)
		return error;
	struct share *share = wf_alloc_zero(sizeof(*share));
	if (share == NULL) {
		weft_chan_free(chan);
		return -ENOMEM;
	}
	share->source.end = end_source;
	share->chan = chan;
	share->asked = asked;
	chan->source = &share->source;
	int before = wf_errno_load();
	error = begin_share(share);
	wf_errno_store(before);
	if (error != 0)
		weft_chan_free(chan);
	else
		*out = chan;
	return error;
}

int wf_signal_reserve(void (*handler)(int number))
{
	int chosen = 0;
	int before = wf_errno_load();
	struct sigaction now, ours = {.sa_handler = handler};
	wf_lock_acquire(&order);
	for (int number = SIGRTMAX - 1; chosen == 0 && number >= SIGRTMIN; number--)
		if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL &&
			sigaction(number, &ours, NULL) == 0)
			chosen = number;
	if (chosen != 0)
		reserved |= bit_of(chosen);
	wf_lock_release(&order);
	wf_errno_store(before);
	return chosen;
}
