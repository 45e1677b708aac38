/* SPDX-License-Identifier: MIT */
/* limits.h - every bound of the scheduler, with its reason and what happens at it
 *
 * Rules    a number that bounds a queue, a batch, a spin or a cache stands here and nowhere else.
 */
#ifndef WF_SCHED_BASE_LIMITS_H
#define WF_SCHED_BASE_LIMITS_H

#define WF_CACHE_LINE 64

/* Workers of one runtime. The sleepers' bitmap is scanned by wakers: 16 words. More is -EINVAL. */
#define WF_WORKERS_MAX 1024

/* Runtimes alive at once. Their structs are static, because stale wakers may still look at one. More: -EAGAIN. */
#define WF_RUNTIMES_MAX 256

/* Fibers: slabs of 1024 control blocks behind a directory of 64 Ki pointers (512 KiB of untouched zero pages):
 * 67 million fibers. At the bound spawn returns -EAGAIN. */
#define WF_FIBER_SLAB 1024u
#define WF_FIBER_SLABS_MAX 65536u

/* Control blocks a worker keeps to itself; half of them move to or from the shared list at a time. */
#define WF_FIBER_CACHE 128u

/* Ready ring: starts with 256 as Go's and Tokio's, doubles while more fibers are ready, up to 65,536 (512 KiB a worker). Beyond that the
 * oldest move to the injection queue. The model build makes it 4. */
#ifndef WF_READY_CAP
#define WF_READY_CAP 256u
#endif
#ifndef WF_READY_MAX
#define WF_READY_MAX 65536u
#endif
_Static_assert((WF_READY_CAP & (WF_READY_CAP - 1)) == 0, "the ring is indexed by a mask");

/* Fibers moved from a full ring in one visit to the injection queue. More would not fit on a small fiber's stack. */
#define WF_OVERFLOW_BATCH 32u

/* First array of the deque of unstarted fibers; it doubles when full, a failed doubling is spawn's -ENOMEM. */
#ifndef WF_DEQUE_CAP
#define WF_DEQUE_CAP 256u
#endif

/* Fibers run between two looks at the ring, the timers and the requests of other threads. 61 is Go's and Tokio's choice: prime, so that
 * it does not fall into step with a program's own period. Lower costs a system call more often. */
#define WF_TICK_RUNS 61u

/* Calls that complete at once, in one run of a fiber: then it gives way (credit.h). Tokio's choice. With 20 ns a call the longest tick is
 * 0.2 ms; counting and giving way cost 0.7 ns a call. */
#define WF_RUN_CREDIT 128u

/* The injection queue is looked at every so many picks even while local work never ends. */
#define WF_INJECT_PERIOD 61u
/* Fibers taken from the injection queue in one visit: half of the ring. */
#define WF_INJECT_BATCH (WF_READY_CAP / 2)

/* How far ahead in the ready ring memory is fetched: far enough that the block has come when its stack's address is read. */
#define WF_PREFETCH_STACK 2u
#define WF_PREFETCH_BLOCK 5u

/* A fiber woken by the running one runs next, but only so often in a row: two that wake each other must not starve the ring. */
#define WF_NEXT_CAP 3u

/* One pick in four begins with the pinned and the deque (else with the woken), one in sixteen takes the deque's old end; once the same
 * fiber has stood there for this long, one in four does. */
#define WF_DEQUE_TURN 4u
#define WF_OLD_TURN 16u
#define WF_OLD_NS 1000000

/* A worker without work searches the others this long before it sleeps. Waking a sleeping CPU costs the waker 6 us and takes 12:
 * searching longer than a few of those wastes more than it saves. */
#define WF_SEARCH_NS 30000
/* A searcher leaves a lone fiber to the worker that made it ready for this long: mostly it runs it at once. */
#define WF_GREEDY_NS 5000
/* Wakes for a lone entry that found nothing double the number of such wakes skipped, up to 2^6; one that found something resets it. */
#define WF_FRUITLESS_MAX 6u
/* The monitor looks this often whether a worker sleeps while another has fibers it does not run; and it sleeps itself after so many
 * looks without a run. */
#define WF_MONITOR_NS 5000000
#define WF_MONITOR_IDLE 20

/* Spares of a runtime, threads that stand in for stuck workers: enough for a burst of blocking calls, few enough that a program that blocks
 * everywhere does not become one with a thousand threads. At the bound fibers wait until one of the stuck goes on; said once. */
#define WF_SPARES_MAX 64u
/* A worker whose fiber has not given way for this long is stuck. With the monitor's looks it is found out after 5 to 10 ms. */
#define WF_STUCK_NS 5000000
/* A suspect that has used this much of a processor computes; one that has not, and does not sleep, waits for one. */
#define WF_STUCK_CPU_NS 500000
/* The monitor looks this often while a worker is stuck: the delay of what arrives for it meanwhile. */
#define WF_MONITOR_STUCK_NS 1000000
/* Between two looks for deadlocks while fibers run: one is reported within a second. */
#define WF_INSPECT_NS 500000000
/* A fiber that holds its worker for this long is counted and reported, if weft_config does not say otherwise: long enough for honest work between two
 * calls, and what others begin to feel. */
#define WF_LONG_RUN_NS 10000000
/* WEFT_RESCUE_SIGNAL: between two signals to a stuck thread. Each may end a sleep of its. */
#define WF_DISTURB_NS 20000000
/* Frames of a running fiber that are reported. */
#define WF_LOOK_FRAMES 32u
/* How long a thread may take to say where it is, and when it is asked again: ticks of the clock come every 1 to 10 ms. */
#define WF_LOOK_PATIENCE_NS 60000000
#define WF_LOOK_AGAIN_NS 20000000
/* The same where somebody has asked for it (a dump): the thread may wait for a processor first. And how often is looked whether its fiber has gone. */
#define WF_LOOK_LONG_PATIENCE_NS 100000000
#define WF_LOOK_SLICE_NS 2000000
/* Fibers whose long run was reported are remembered, by index modulo this; and at most so many lines a second. */
#define WF_LONG_SEEN 64u
#define WF_LONG_LINES 10u
/* A report that stderr does not take is given up at the end of its runtime after this. */
#define WF_REPORT_PATIENCE_NS INT64_C(1000000000)
/* Spares go on for this long after they were last needed: stalls come in groups, and a thread with its ring costs 300 us. */
#define WF_SPARE_KEEP_NS 50000000
/* After a spare could not start, none is tried for this long. */
#define WF_SPARE_PAUSE_NS 1000000000
/* Fibers, and operations in flight, taken from a stuck worker in one visit, which the visitor's own fibers wait for: about 1 ms. */
#define WF_RESCUE_BATCH 1024u

/* Fibers a worker may take from another in one steal: half of what is there, at most this. */
#define WF_STEAL_MAX (WF_READY_CAP / 2)

/* Timers fired in one tick before fibers run again. */
#define WF_TIMER_BATCH 256u

/* Stacks: default usable size, smallest and largest accepted. The largest bounds a typing error, not a program. */
#define WF_STACK_DEFAULT (64u * 1024u)
#define WF_STACK_MIN (16u * 1024u)
#define WF_STACK_MAX (UINT64_C(1) << 30)
/* Slots of the default size mapped at a time: one system call and at most 64 guard installs (50 us) per 64 spawns. */
#define WF_STACK_SLAB 64u
/* Warm stacks a worker keeps; half of them move to or from the shared pool at a time. 64 touched stacks are 256 KiB or more. */
#define WF_STACK_CACHE 64u
/* Tops of stacks are spread over 16 cache lines: without it 64 fibers fight for one cache set (6.6 ns against 3.2 a switch). */
#define WF_STACK_COLORS 16u
/* Guards made by mprotect (kernels before 6.13) split mappings: the budget leaves room below vm.max_map_count (65,530). */
#define WF_GUARD_MPROTECT_MAX 28000u
/* A small fiber's slot: 1 KiB usable for its functions, the rest for weft's own frames while it parks. */
#define WF_SMALL_USABLE 1024u
#define WF_SMALL_SLOT 3072u

/* An idle worker gives stacks back to the system after this long, once. */
#define WF_TRIM_NS 100000000
/* Stacks given back per look: 2 us each, so the worker answers a wake within half a millisecond. */
#define WF_TRIM_BATCH 256u

/* Bytes of a fiber's name kept, with the closing zero. Longer names are cut, as the contract allows. */
#define WF_NAME_BYTES 32u

/* Places of which the leak report tells apart; it stands on weft_stop's stack. */
#define WF_LEAK_SITES 64u

/* A runtime that is being stopped names the fibers that have not ended: clean-up that is bounded mostly ends before that. And again so often. */
#define WF_STOP_SAYS_NS INT64_C(2000000000)
#define WF_STOP_SAYS_AGAIN_NS INT64_C(5000000000)

/* Places of a program whose misuse of weft is said; the others' is only answered. */
#define WF_MISUSE_PLACES 64u

/* Keys of fiber-local storage. As many as POSIX threads have; more is -EAGAIN. */
#define WF_KEYS_MAX 1024u

/* Passes over fiber-local destructors that set new values again, as PTHREAD_DESTRUCTOR_ITERATIONS. */
#define WF_KEY_PASSES 4

/* Tries of a contended lock before sleeping: about 1 us. */
#define WF_LOCK_SPINS 64

/* A mutex that somebody has waited for this long is handed over at the next unlock. Shorter hands over more often, which costs a switch each; longer
 * lets a busy holder keep others out. Go uses the same. */
#define WF_MUTEX_HANDOFF_NS 1000000
/* Looks at a held mutex before waiting, with a pause of ten relaxed loops between two: about 1 us in all, less than a park and its wake. */
#define WF_MUTEX_SPINS 4
#define WF_MUTEX_SPIN_RELAX 10

/* Lists of words waited for by weft_futex_wait: 2^8, each on its own cache line (16 KiB). More waiters make longer lists, never an error. */
#define WF_FUTEX_BUCKET_BITS 8
#define WF_FUTEX_BUCKETS (1u << WF_FUTEX_BUCKET_BITS)

/* Locks of the lists of scopes that fibers have open, chosen by the opener: 2^8, each on its own cache line. */
#define WF_SCOPE_SHARDS 256u

/* Cases of a select that need no memory but the stack of the call, small fibers' included. */
#define WF_SELECT_INLINE 4u

/* Threads of the offload pool: enough for what blocks in disks and drivers, few enough that a burst does not take all memory for stacks.
 * Jobs beyond it wait in order. weft_config.offload_threads and WEFT_OFFLOAD_THREADS change it. */
#define WF_POOL_THREADS 256u
#define WF_POOL_THREADS_MAX 4096u
/* So many (or one a worker) start as jobs come; each further one when a job has waited so long, a hundred times what handing it over costs. */
#define WF_POOL_SOON 4u
#define WF_POOL_PATIENCE_NS 2000000
/* A thread without a job leaves after this: a pause of a program does not cost it its pool, a burst is not paid for all night. */
#define WF_POOL_IDLE_NS INT64_C(5000000000)
/* An interrupt of a job is repeated this often, for it may come just before the system call it is meant for. */
#define WF_POOL_BREAK_NS 1000000

/* Submission ring of each worker; the completion ring is sized apart, because completions come in bursts. */
#define WF_RING_ENTRIES 256u
#define WF_RING_ENTRIES_MAX 32768u
#define WF_RING_CQ 2048u
/* Where memory for a ring is refused: waits of 1, 2, ... 64 ms before a smaller one is tried. */
#define WF_RING_PAUSE_NS INT64_C(1000000)

/* Rounds of submit and reap in one flush while operations wait for room: then fibers run again. */
#define WF_FLUSH_ROUNDS 16

/* Largest transfer of one call; more gives a short result, as Linux itself does (MAX_RW_COUNT). */
#define WF_IO_BYTES_MAX 0x7ffff000u

/* Events that the epoll engine takes at a time: 768 bytes of the scheduler's stack; more come with the next call. */
#define WF_EPOLL_EVENTS 64

/* Buffers that each thread with an io_uring lends to weft_recv_borrow: as many receives as a tick can complete several times over, each a TLS
 * record; memory is committed when first filled. When all are out, buffers come from the heap. A power of two. */
#define WF_LEND_BUFFERS 256u
#define WF_LEND_BYTES 16384u

/* Reads of a file that go without a try of the plain call after one that found its data not in memory: one lost call of 0.3 us in 32 reads of
 * a disk. And where the file system knows no such call. */
#define WF_COLD_READS 32u
#define WF_COLD_FILE 1000000u

/* P3 of io/api/op.h: so often "ready" may be followed by "not now" at once, for others may be quicker; then with pauses from one to the other.
 * What is waited for is mostly another program, which has to run meanwhile. */
#define WF_RETRIES_AT_ONCE 8u
#define WF_RETRY_NS INT64_C(100000)
#define WF_RETRY_MAX_NS INT64_C(10000000)

/* What weft_sendfile reads at a time: large enough that the two operations a round cost little beside the copy, small enough for the L2 cache. */
#define WF_SENDFILE_BYTES (256u * 1024u)

/* Descriptors: two-level table, 1024 a page, up to the kernel's own highest fs.nr_open default. Higher: -EMFILE. */
#define WF_FD_PAGE 1024u
#define WF_FD_PAGES_MAX 1024u

#endif
