/* SPDX-License-Identifier: MIT */
/* chan.h - channels, and select over channels and descriptors
 *
 * A channel carries elements of one size between fibers, plain threads, and the fibers of different
 * runtimes, many to many, first in first out. With a capacity it buffers; with capacity 0 it is a
 * rendezvous: a send ends when a receiver has the element. Elements are copied by value, from the
 * sender's variable straight to the receiver's where both are there.
 *
 *   weft_chan *chan;
 *   int error = weft_chan_new(&chan, sizeof(struct job), 16);
 *   ...
 *   weft_chan_send(chan, &job);          // in one fiber
 *
 *   while (weft_chan_recv(chan, &job) == 0)   // in another, until it is closed and drained
 *           work(&job);
 *
 * What is guaranteed
 *   - Each element that was sent is received once, or still in the buffer. Elements of one sender
 *     arrive in its order.
 *   - Those who wait are served in the order in which they began to wait, and nobody overtakes
 *     them.
 *   - A send or receive that returns an error had no effect: nothing was sent, or nothing taken and
 *     nothing written. In particular a cancelled or late receive has not lost an element.
 *   - Whoever receives an element sees all that its sender wrote before; with a rendezvous, and
 *     when a full buffer made it wait, a sender also sees all that its receiver wrote before.
 *     Whoever gets -EPIPE sees what the closer wrote before.
 *   - Closing wakes all who wait. What is in the buffer can still be received.
 *   - Whoever has received an element, or closed the channel, may free it at once, if nobody else
 *     uses it: the sender, or who was woken, no longer touches it. A select uses all its channels
 *     until it returns, but for the one whose case was performed.
 *
 * Cancellation and deadlines: weft_chan_send, weft_chan_recv and weft_select (unless its deadline
 * is 0) are cancellation points, as fiber.h says, and exactly one of the two happens: the element
 * moved, or the call failed. On a plain thread they block the thread, and nothing but the other
 * side ends them.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <stddef.h>

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A channel: opaque; from weft_chan_new to weft_chan_free. */
typedef struct weft_chan weft_chan;

/**
 * weft_chan_new - make a channel.
 * @chan          where to put it; NULL is put there on failure. To be ended with weft_chan_free().
 * @element_size  bytes of an element; 0: the channel carries the fact alone.
 * @capacity      elements it buffers; 0: a rendezvous.
 *
 * Context  any thread, any fiber but WEFT_SMALL ones (the allocator needs more stack). Parks no.
 *          Cancel point no. errno untouched.
 * Cost     one allocation of 80 bytes and the buffer.
 * Returns  0.
 * Errors   -EINVAL @chan is NULL, or @element_size times @capacity is more than there can be (weft)
 *          -ENOMEM (weft)
 * Example  see the top of chan.h.
 */
WEFT_API int weft_chan_new(weft_chan **chan, size_t element_size, size_t capacity);

/**
 * weft_chan_send - send one element; parks while the buffer is full, or until a receiver is there.
 * @chan     the channel.
 * @element  copied; borrowed until return. May be NULL when elements have no bytes.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     a lock and the copy; a switch when it parks.
 * Returns  0: the element is in the buffer, or with its receiver.
 * Errors   -EPIPE     the channel is closed, or was closed during the wait (weft)
 *          -EINVAL    @chan is NULL, or @element is though elements have bytes (weft)
 *          -ECANCELED, -ETIMEDOUT as fiber.h says; nothing was sent (weft)
 * Example  if (weft_chan_send(results, &sum) < 0)
 *                  return NULL;   // nobody wants it any more
 */
WEFT_API int weft_chan_send(weft_chan *chan, const void *element);

/**
 * weft_chan_recv - receive one element; parks until there is one.
 * @chan     the channel.
 * @element  where to put it; written only when 0 is returned. May be NULL when elements have no
 *           bytes.
 *
 * Context  fiber: parks yes, cancel point yes. Plain thread: blocks. errno untouched. May return on
 *          another thread.
 * Cost     as weft_chan_send().
 * Returns  0.
 * Errors   -EPIPE     the channel is closed and nothing is left in it (weft)
 *          -EINVAL    @chan is NULL, or @element is though elements have bytes (weft)
 *          -ECANCELED, -ETIMEDOUT as fiber.h says; nothing was taken (weft)
 * Example  while (weft_chan_recv(jobs, &job) == 0)
 *                  work(&job);
 */
WEFT_API int weft_chan_recv(weft_chan *chan, void *element);

/**
 * weft_chan_try_send - send one element if that can be done at once.
 * @chan     the channel.
 * @element  as weft_chan_send().
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a lock and the copy.
 * Returns  0.
 * Errors   -EAGAIN the buffer is full; in a rendezvous: no receiver waits (weft)
 *          -EPIPE, -EINVAL as weft_chan_send()
 * Example  if (weft_chan_try_send(log, &line) == -EAGAIN)
 *                  dropped++;
 */
WEFT_API int weft_chan_try_send(weft_chan *chan, const void *element);

/**
 * weft_chan_try_recv - receive one element if there is one.
 * @chan     the channel.
 * @element  as weft_chan_recv().
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a lock and the copy.
 * Returns  0.
 * Errors   -EAGAIN the buffer is empty; in a rendezvous: no sender waits (weft)
 *          -EPIPE, -EINVAL as weft_chan_recv()
 * Example  while (weft_chan_try_recv(log, &line) == 0)
 *                  print(&line);
 */
WEFT_API int weft_chan_try_recv(weft_chan *chan, void *element);

/**
 * weft_chan_close - say that nothing more will be sent.
 * @chan  the channel.
 *
 * Senders that wait get -EPIPE, and so do receivers once the buffer is empty. Usually the sender
 * closes.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a lock; a wake-up for each who waits.
 * Returns  0.
 * Errors   -EPIPE  it is closed already (weft)
 *          -EINVAL @chan is NULL (weft)
 * Example  weft_chan_close(jobs);   // the workers end when they have done what is left
 */
WEFT_API int weft_chan_close(weft_chan *chan);

/**
 * weft_chan_len - how many elements are in the buffer now.
 * @chan  the channel.
 *
 * Context  any thread, any fiber. Parks no. errno untouched.
 * Returns  0 .. weft_chan_cap(); 0 when @chan is NULL. Out of date at once where others use the
 *          channel.
 * Example  printf("%zu of %zu\n", weft_chan_len(chan), weft_chan_cap(chan));
 */
WEFT_API size_t weft_chan_len(const weft_chan *chan);

/**
 * weft_chan_cap - how many elements the buffer holds at most.
 * @chan  the channel.
 *
 * Context  any thread, any fiber. Parks no. errno untouched.
 * Returns  the capacity given to weft_chan_new(); 0 when @chan is NULL.
 * Example  see weft_chan_len().
 */
WEFT_API size_t weft_chan_cap(const weft_chan *chan);

/**
 * weft_chan_free - end a channel and give its memory back; elements still in the buffer are
 * dropped.
 * @chan  a channel that nobody uses any more; NULL: nothing happens. Freeing one on which somebody
 *        waits aborts with one line.
 *
 * Context  any thread, any fiber but WEFT_SMALL ones. Parks no. errno untouched.
 * Example  weft_chan_free(chan);
 */
WEFT_API void weft_chan_free(weft_chan *chan);

/* What a case of weft_select does. */
enum weft_case_op {
	WEFT_CASE_SEND, /* chan, element: as weft_chan_send */
	WEFT_CASE_RECV, /* chan, element: as weft_chan_recv */
	WEFT_CASE_READABLE, /* fd: ready when a read would not park: data, end of file, an error, a connection to accept */
	WEFT_CASE_WRITABLE, /* fd: ready when a write would not park */
};

/* One case of weft_select. */
typedef struct weft_case {
	enum weft_case_op op;
	weft_chan *chan; /* SEND, RECV; NULL: this case is never ready */
	void *element; /* SEND: read; RECV: written. Borrowed until return. NULL where elements have no bytes */
	int fd;	    /* READABLE, WRITABLE. Borrowed until return */
	int status; /* written in the case that is returned: 0, or -EPIPE when its channel is closed */
} weft_case;

/**
 * weft_select - perform one of several operations: the first that can be.
 * @cases     what to choose from. Borrowed until return; of the case returned, status is written.
 * @count     how many; 0: only the deadline is waited for.
 * @deadline  absolute. 0: do not park, -EAGAIN when no case is ready. WEFT_FOREVER: none.
 *
 * Exactly one case is performed: a send has sent, a receive has received; the others have had no
 * effect. Among several that are ready one is drawn, each with the same probability. A case whose
 * channel is closed is ready, with status -EPIPE (a receive only when nothing is left in the
 * buffer). A descriptor's case transfers nothing and consumes nothing: it is ready again at the
 * next call until somebody reads or writes. A regular file is always ready.
 *
 * The same channel may stand in several cases, also to send and to receive: a call never meets
 * itself. All cases are looked at at one instant: -EAGAIN means that at one moment none was ready.
 * A ready case goes before a deadline that has passed.
 *
 * While it waits for a descriptor a poll on its file is in the ring of a worker, which ends it when
 * nobody waits any more, at its next tick. Until then the file is open for the kernel: close it
 * with weft_close, which sees to that first.
 *
 * Context  fiber: parks yes, cancel point yes, neither when @deadline is 0. Plain thread: blocks;
 *          channels only. errno untouched. May return on another thread.
 * Cost     the locks of all its channels, twice when it parks; one poll(2) when there are
 *          descriptors. Up to four cases need no memory but the stack.
 * Returns  the index of the case performed, its status written.
 * Errors   -EAGAIN    @deadline is 0 and no case is ready (weft)
 *          -ETIMEDOUT @deadline has passed, or the fiber's own has, or its scope's (weft)
 *          -ECANCELED the fiber or its scope is cancelled; or weft_close was called on a descriptor
 *                     it waits for (weft)
 *          -EBADF     a case's descriptor is not open (kernel)
 *          -EPERM     a case has a descriptor, and the caller is not a fiber (weft)
 *          -EINVAL    @cases is NULL and @count is not 0, more than INT_MAX cases, an unknown
 *                     operation, or an element that is NULL where elements have bytes (weft)
 *          -ENOMEM    no memory for more than four cases (weft); -EMFILE a descriptor beyond
 *                     1,048,576 (weft)
 * Example  weft_case cases[] = {
 *                  {.op = WEFT_CASE_RECV, .chan = jobs, .element = &job},
 *                  {.op = WEFT_CASE_RECV, .chan = quit},
 *          };
 *          int index = weft_select(cases, 2, weft_after(WEFT_SEC));
 *          if (index == 0 && cases[0].status == 0)
 *                  work(&job);
 */
WEFT_API int weft_select(weft_case *cases, size_t count, weft_ns deadline);

/* A ticker: a channel that time sends on; see weft_ticker_new. */
typedef struct weft_ticker weft_ticker;

/**
 * weft_ticker_new - make a channel on which a time arrives at @first, and then every @period: for
 * select.
 * @ticker  where to put it; NULL is put there on failure. To be ended with weft_ticker_free().
 * @first   absolute; when the first tick is due. A time that has passed: at once.
 * @period  nanoseconds between ticks; 0: one tick only, and the channel is closed behind it.
 *
 * The channel's elements are weft_ns: the time at which the tick was due, first + n * period, so
 * that a rhythm does not drift. It buffers one tick; ticks that come while that one is still unread
 * are dropped.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     a small fiber (3 KiB).
 * Returns  0.
 * Errors   -EINVAL @ticker is NULL, or @period is negative (weft)
 *          -ENOMEM, -EAGAIN as weft_spawn(); -EPERM off a fiber (weft)
 * Example  weft_ticker *ticker;
 *          weft_ns due;
 *          if (weft_ticker_new(&ticker, weft_after(WEFT_SEC), WEFT_SEC) == 0) {
 *                  weft_case cases[] = {
 *                          {.op = WEFT_CASE_RECV,
 *                                  .chan = weft_ticker_chan(ticker), .element = &due},
 *                          {.op = WEFT_CASE_RECV, .chan = quit},
 *                  };
 *                  while (weft_select(cases, 2, WEFT_FOREVER) == 0)
 *                          report(due);
 *                  weft_ticker_free(ticker);
 *          }
 */
WEFT_API int weft_ticker_new(weft_ticker **ticker, weft_ns first, weft_ns period);

/**
 * weft_ticker_chan - the channel of a ticker.
 * @ticker  from weft_ticker_new(). The channel is the ticker's: receive from it, do not close or
 *          free it.
 *
 * The end of the runtime ends its tickers too: their channels are then closed.
 *
 * Context  any thread. Parks no. errno untouched.
 * Returns  the channel; NULL when @ticker is NULL.
 * Example  see weft_ticker_new().
 */
WEFT_API weft_chan *weft_ticker_chan(const weft_ticker *ticker);

/**
 * weft_ticker_free - end a ticker and its channel.
 * @ticker  a ticker on whose channel nobody waits; NULL: nothing happens.
 *
 * Context  fiber of the runtime that made it. Parks yes, until its small fiber has ended: no longer
 *          than a switch or two. Cancel point no. errno untouched. May return on another thread.
 * Example  see weft_ticker_new().
 */
WEFT_API void weft_ticker_free(weft_ticker *ticker);

#ifdef __cplusplus
}
#endif

#endif
