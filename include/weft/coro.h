/* SPDX-License-Identifier: MIT */
/* coro.h - symmetric coroutines: functions that hand control to each other by name
 *
 * What     A coroutine runs a function on a stack of its own. Where a generator gives control back to
 *          whoever resumed it, a coroutine names the one that goes on: as Python's greenlet.
 *
 *   static weft_coro *one, *two;
 *
 *   static void *first(void *arg)
 *   {
 *           puts(arg);                               // "start"
 *           void *back;
 *           weft_coro_switch(two, "hello", &back);   // two runs; back: what somebody switches back with
 *           puts(back);
 *           return "done";                           // goes to the parent
 *   }
 *
 *   weft_coro_new(&one, first, NULL);                // the parent is the current one
 *   weft_coro_switch(one, "start", &out);            // runs first("start")
 *
 * Rules
 *   - Each fiber, and each plain thread, has a main coroutine: its own stack, with no parent. A
 *     coroutine belongs to the fiber that first switched to it, and travels with it between workers;
 *     for any other a switch to it is -EXDEV.
 *   - weft_coro_switch() returns when somebody switches back, not always the one it went to. *out is
 *     the value that came with it.
 *   - When the function returns, the coroutine is dead and its parent goes on: the parent's pending
 *     switch returns 0 with the function's value. `return weft_gen_raise(error, payload)` makes it
 *     return @error with the payload instead; WEFT_GEN_EXIT raised so is a normal end: 0, the payload.
 *   - Where control goes to one that is dead, its nearest living ancestor gets it. One that has not
 *     been started yet is living: a value starts it as its argument, an error leaves it dead and goes
 *     on to its parent.
 *   - A coroutine first switched to by another fiber than its parent's gets the one that switched to
 *     it as its parent, or that fiber's main one where that would make a cycle.
 *   - In a coroutine weft_self(), fiber-local storage, cancellation and deadlines are the fiber's. It
 *     may block: the fiber parks.
 *   - Run it to its end, or free it: an abandoned one is never unwound by itself.
 */
#ifndef WEFT_CORO_H
#define WEFT_CORO_H

#include <stdbool.h>

#include <weft/gen.h>
#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_coro weft_coro;

/**
 * weft_coro_new - make a coroutine; nothing of @fn runs.
 * @coro    where to put it; NULL is put there on failure. To be ended with weft_coro_free().
 * @fn      runs when it is first switched to, with that switch's value as its argument.
 * @parent  gets control and @fn's value when @fn returns. NULL: the current one. It has to stay until
 *          this one is freed or gets another parent.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     an allocation; the stack is taken at the first switch.
 * Returns  0.
 * Errors   -EINVAL @coro or @fn is NULL; -ENOMEM (weft)
 */
WEFT_API int weft_coro_new(weft_coro **coro, weft_fn fn, weft_coro *parent);

/**
 * weft_coro_switch - hand control to a coroutine.
 * @value  becomes the argument of its function, or the *out of its own pending switch.
 * @out    NULL, or where to put the value, or the error's payload, that comes back.
 *
 * Switching to oneself returns @value. Switching to a dead one reaches its nearest living ancestor.
 *
 * Context  any thread, any fiber, a generator's body too (which stays RUNNING meanwhile). errno as
 *          the others leave it. May return on another thread.
 * Cost     one switch of stacks.
 * Returns  0: somebody switched back, or a coroutine whose parent this is has ended.
 * Errors   the error thrown in, or that left a coroutine whose parent this is (other coroutines)
 *          WEFT_GEN_EXIT it is being freed: it gives back what it holds, and returns
 *          -EXDEV @target is another fiber's; -EINVAL it is NULL; -ENOMEM no stack could be had;
 *          nothing has run (weft)
 */
WEFT_API int weft_coro_switch(weft_coro *target, void *value, void **out);

/**
 * weft_coro_throw - hand control to a coroutine, whose pending switch returns @error.
 * @error    negative.
 * @payload  what it finds in *out.
 *
 * Thrown into one that was not started, @error leaves it dead and goes on to its parent. Thrown to
 * oneself it comes back at once. WEFT_GEN_EXIT into one that is dead or not started is a normal end:
 * the ancestor's switch returns 0 with @payload.
 *
 * Everything else as weft_coro_switch().
 * Errors   -EINVAL @error is not negative; nothing has run (weft)
 */
WEFT_API int weft_coro_throw(weft_coro *target, int error, void *payload, void **out);

/**
 * weft_coro_set_parent - give a coroutine another parent.
 *
 * Context  any thread, any fiber. Parks no.
 * Returns  0.
 * Errors   -ELOOP @parent descends from @coro, or is it; -EXDEV they are started and belong to
 *          different fibers; -EINVAL one is NULL, or @coro is a main coroutine; nothing has changed
 *          (weft)
 */
WEFT_API int weft_coro_set_parent(weft_coro *coro, weft_coro *parent);

/**
 * weft_coro_current - the coroutine that calls; the main one where no other was switched to.
 *
 * Context  any thread, any fiber. Parks no.
 * Returns  it; NULL when there is no memory for the main one's record.
 */
WEFT_API weft_coro *weft_coro_current(void);

/**
 * weft_coro_parent - a coroutine's parent; NULL for a main one.
 *
 * Context  any thread, any fiber. Parks no.
 */
WEFT_API weft_coro *weft_coro_parent(weft_coro *coro);

/**
 * weft_coro_dead - has its function ended? false for one that was not started; true for NULL.
 *
 * Context  any thread, any fiber. Parks no.
 */
WEFT_API bool weft_coro_dead(const weft_coro *coro);

/**
 * weft_coro_free - unwind a coroutine, and release it.
 *
 * The pending switch of a suspended one returns WEFT_GEN_EXIT, once; until it ends its parent is the
 * caller, and what it returns or raises is dropped. If it hands control back instead of ending, its
 * stack is released as it stands. The fiber it belonged to need not be the caller, but must not run
 * it.
 *
 * NULL does nothing. Freeing one that is current, a main one, or one that is a parent aborts the
 * program with a line that says so: free the children first, or give them another parent.
 *
 * Context  as weft_coro_switch().
 */
WEFT_API void weft_coro_free(weft_coro *coro);

#ifdef __cplusplus
}
#endif

#endif
