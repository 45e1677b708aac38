/* SPDX-License-Identifier: MIT */
/* gen.h - generators: functions that yield values one at a time, and take values back
 *
 * What     A generator runs a function of its own, the body, on a stack of its own, between two
 *          calls of whoever resumes it: as in Python, with PEP 342 (send, throw, close) and PEP 380
 *          (delegation, Python's `yield from`). No scheduler takes part: next() is a call that
 *          returns at the body's next yield.
 *
 *   static void *averager(void *arg)
 *   {
 *           double total = 0.0, average;
 *           int count = 0;
 *           void *term = NULL;
 *
 *           (void)arg;
 *           weft_gen_yield(NULL, &term);             // term = yield
 *           while (term != NULL) {
 *                   total += *(double *)term;
 *                   average = total / ++count;
 *                   if (weft_gen_yield(&average, &term) < 0)
 *                           return NULL;             // closed
 *           }
 *           return NULL;
 *   }
 *
 *   weft_gen *gen;
 *   double term = 10.0;
 *   void *average;
 *
 *   weft_gen_new(&gen, averager, NULL);              // gen = averager()
 *   weft_gen_next(gen, NULL);                        // next(gen)
 *   weft_gen_send(gen, &term, &average);             // average = gen.send(term)
 *   weft_gen_free(gen);
 *
 * Python's words in C
 *   None                            NULL
 *   x = yield v                     error = weft_gen_yield(v, &x)
 *   r = yield from g                error = weft_gen_delegate(g, &r)
 *   return v                        return v;
 *   raise E(why)                    return weft_gen_raise(error, why);
 *   except E as why                 the error returned by yield or delegate, and *sent or *result
 *   StopIteration, its value        WEFT_GEN_DONE, *out
 *   GeneratorExit                   WEFT_GEN_EXIT
 *   ValueError: already executing   -EBUSY
 *   TypeError: send to a fresh one  -EINVAL
 *   RuntimeError                    -EPROTO: yielded while being closed, or raised an "error" >= 0
 *   AttributeError                  -ENOSYS: a plain iterable has no send
 *
 * Rules
 *   - What next, send and throw return: WEFT_GEN_YIELDED with *out the value yielded; WEFT_GEN_DONE
 *     with *out the body's return value the first time, NULL afterwards; or the error that left the
 *     body, with *out its payload. Errors that weft raises itself have the payload NULL.
 *   - Values are pointers that weft hands on and never follows. Whose memory they are is between
 *     the body and its resumer; a local variable of the body lives until it is resumed.
 *   - A generator works on fibers of any runtime and on plain threads, and may be resumed by another
 *     one each time, as long as two do not at once (the second gets -EBUSY). In a body weft_self(),
 *     fiber-local storage, cancellation and deadlines are those of the resumer. A body may block:
 *     the fiber that resumed it parks; off a runtime the rules for plain threads hold.
 *   - So a body gives back what belongs to its resumer (scopes, shields, mutexes) before it yields.
 *   - The stack is as large as the runtime's (weft_config.stack_size; 64 KiB off a runtime). It is
 *     taken at the first resumption and given back when the body ends.
 *   - Resuming the innermost of a chain of delegations costs the same at any depth, and closing one
 *     needs the same stack.
 */
#ifndef WEFT_GEN_H
#define WEFT_GEN_H

#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_gen weft_gen;

enum weft_gen_state {
	WEFT_GEN_CREATED,   /* the body has not begun */
	WEFT_GEN_RUNNING,   /* it runs, or a generator that was reached through it does */
	WEFT_GEN_SUSPENDED, /* at a yield or a delegation */
	WEFT_GEN_CLOSED	    /* it has ended */
};

enum { WEFT_GEN_YIELDED = 0, WEFT_GEN_DONE = 1 };

/* What closing raises in a body. No errno value. */
#define WEFT_GEN_EXIT (-4096)

/**
 * weft_gen_new - make a generator.
 * @gen   where to put it; NULL is put there on failure. To be ended with weft_gen_free().
 * @body  runs from the first weft_gen_next() on. What it returns comes out with WEFT_GEN_DONE.
 * @arg   handed to @body. Borrowed.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one allocation.
 * Returns  0. Nothing of @body has run.
 * Errors   -EINVAL @gen or @body is NULL; -ENOMEM (weft)
 * Example  see the top of gen.h.
 */
WEFT_API int weft_gen_new(weft_gen **gen, weft_fn body, void *arg);

/**
 * weft_gen_new_primed - make a generator and run it to its first yield.
 *
 * The value of that yield is dropped: Python's priming decorator. As in Python it does not go
 * together with weft_gen_delegate(), which primes by itself, so that the primed generator is sent a
 * NULL too many.
 *
 * Context  as weft_gen_next().
 * Returns  0: suspended at its first yield. WEFT_GEN_DONE: the body ended before it; *gen is NULL.
 * Errors   as weft_gen_new(); or the error that left the body before its first yield. *gen is NULL
 *          then, and nothing is left.
 */
WEFT_API int weft_gen_new_primed(weft_gen **gen, weft_fn body, void *arg);

/**
 * weft_gen_next - resume a generator until it yields or ends; the same as sending NULL.
 * @out  NULL, or where to put the value yielded, the result, or the error's payload.
 *
 * Context  any thread, any fiber, also a body. Parks if the body does. Cancel point if the body has
 *          one. errno: as the body leaves it. May return on another thread if the body parks.
 * Cost     two switches of stacks.
 * Returns  WEFT_GEN_YIELDED, WEFT_GEN_DONE.
 * Errors   the error that left the body; it is closed then (the body, or weft: -EPROTO)
 *          -EBUSY it is running; -EINVAL @gen is NULL; nothing has changed (weft)
 *          -ENOMEM no stack could be had; nothing has changed, it is CREATED still (weft)
 * Example  while (weft_gen_next(gen, &line) == WEFT_GEN_YIELDED)
 *                  puts(line);
 */
WEFT_API int weft_gen_next(weft_gen *gen, void **out);

/**
 * weft_gen_send - resume a generator; its yield returns with *sent = @value.
 *
 * Everything else as weft_gen_next().
 * Errors   -EINVAL a value other than NULL for a CREATED one, which has no yield that could take
 *          it; nothing has changed (weft)
 *          -ENOSYS a value other than NULL for a plain iterable without send; nothing has changed
 *          (weft)
 */
WEFT_API int weft_gen_send(weft_gen *gen, void *value, void **out);

/**
 * weft_gen_throw - resume a generator; its yield returns @error with *sent = @payload.
 * @error  negative.
 *
 * A body that answers with a yield makes this call return WEFT_GEN_YIELDED. On a CREATED or CLOSED
 * one no body runs: it is CLOSED, and @error comes back with *out = @payload. Thrown into a
 * generator that delegates it goes to the innermost; WEFT_GEN_EXIT first closes those it delegates
 * to, from the innermost on, then arrives in @gen itself.
 *
 * Everything else as weft_gen_next().
 * Errors   -EINVAL @error is not negative; nothing has changed (weft)
 */
WEFT_API int weft_gen_throw(weft_gen *gen, int error, void *payload, void **out);

/**
 * weft_gen_close - end a generator: WEFT_GEN_EXIT is raised at its yield.
 *
 * If it delegates, the innermost is closed first. A CREATED one is closed without running its body.
 * Closing one that is CLOSED does nothing.
 *
 * Context  as weft_gen_next().
 * Returns  0: the body has ended, by returning (what it returned is dropped) or by raising
 *          WEFT_GEN_EXIT.
 * Errors   any other error that left the body (the body)
 *          -EPROTO the body has yielded instead; it stays SUSPENDED (weft)
 *          -EBUSY it is running; -EINVAL @gen is NULL; nothing has changed (weft)
 */
WEFT_API int weft_gen_close(weft_gen *gen);

/**
 * weft_gen_state - what a generator is doing.
 *
 * A body may ask about itself. Another thread's answer may be old by the time it arrives.
 *
 * Context  any thread, any fiber. Parks no.
 * Returns  the state; WEFT_GEN_CLOSED for NULL.
 */
WEFT_API enum weft_gen_state weft_gen_state(const weft_gen *gen);

/**
 * weft_gen_error - why a generator is CLOSED.
 * @payload  NULL, or where to put the error's payload.
 *
 * Context  any thread, any fiber. Parks no.
 * Returns  0: it is not, or its body returned, or it was closed. Else the error that left its body,
 *          which the call that was going on has returned too. For WEFT_GEN_EACH.
 */
WEFT_API int weft_gen_error(const weft_gen *gen, void **payload);

/**
 * weft_gen_free - close a generator, and release it.
 *
 * It is closed once; what that returns is dropped. If its body yields instead of ending, its stack
 * is released as it stands: nothing more of the body runs. Generators it was delegating to stay with
 * their owner. A generator that others delegate to may be freed; they find it ended.
 *
 * NULL does nothing. Freeing a RUNNING one aborts the program with a line that says so.
 *
 * Context  as weft_gen_next().
 */
WEFT_API void weft_gen_free(weft_gen *gen);

/**
 * weft_gen_yield - in a body: hand out a value, and wait to be resumed.
 * @value  what the resumer finds in *out.
 * @sent   NULL, or where to put the value sent (NULL after weft_gen_next), or the error's payload.
 *
 * Context  a generator's body, and what it calls. Parks no: the resumer goes on. errno is whatever
 *          the resumer left. May return on another thread, on behalf of another fiber.
 * Returns  0.
 * Errors   the error thrown in; WEFT_GEN_EXIT when it is being closed: the body then gives back what
 *          it holds, and returns (resumer)
 *          -EPERM outside a body (weft)
 */
WEFT_API int weft_gen_yield(void *value, void **sent);

/**
 * weft_gen_delegate - in a body: until @sub ends, this generator is @sub (Python's `yield from`).
 * @sub     any generator, in any state. Borrowed: it still is to be freed.
 * @result  NULL, or where to put @sub's result, or the error's payload.
 *
 * First @sub is resumed with NULL, so a CREATED one is primed. Then what it yields goes straight to
 * this generator's resumer, and what is sent, thrown or closed goes straight to it.
 *
 * If @sub is a plain iterable without send, a value sent that is not NULL is -ENOSYS here; without
 * throw_in, what is thrown is returned here; without close, closing skips it. In all three @sub goes
 * on being what it was.
 *
 * Context  as weft_gen_yield().
 * Cost     one step at the start, one at the end, whatever the depth.
 * Returns  0: @sub has ended with *result; at once with NULL if it was CLOSED.
 * Errors   the error that left @sub, or that its closing failed with (@sub)
 *          WEFT_GEN_EXIT when this generator is being closed; @sub has been before (resumer)
 *          -EBUSY @sub is running, or is this generator; -EINVAL @sub is NULL; -ENOMEM;
 *          -EPERM outside a body (weft)
 */
WEFT_API int weft_gen_delegate(weft_gen *sub, void **result);

/**
 * weft_gen_raise - end a body, or a coroutine's function, with an error: `return weft_gen_raise(...)`.
 * @error    negative; one that is not reaches the resumer as -EPROTO, as a StopIteration that leaks
 *           out of a body does in Python.
 * @payload  what the resumer finds in *out.
 *
 * It only counts if its value is returned. Called several times, the last call counts.
 *
 * Context  a body, or a function of weft_coro_new(). Elsewhere it does nothing.
 * Returns  what the body is to return.
 * Example  if (n < 0)
 *                  return weft_gen_raise(-EDOM, "negative");
 */
WEFT_API void *weft_gen_raise(int error, void *payload);

/* A plain iterable: what `yield from` takes besides generators. */
typedef struct weft_iter {
	void *self; /* handed to the functions. Borrowed */
	/* The next item: WEFT_GEN_YIELDED with *out set, WEFT_GEN_DONE (*out: the result), or a
	 * negative error (*out: its payload). *out is NULL before. Required. */
	int (*next)(void *self, void **out);
	/* As next, but for a value that is not NULL, and for an error thrown in. May be NULL. */
	int (*send)(void *self, void *value, void **out);
	int (*throw_in)(void *self, int error, void *payload, void **out);
	/* 0 or a negative error. May be NULL. */
	int (*close)(void *self);
} weft_iter;

/**
 * weft_gen_from_iter - a generator that hands out what an iterable has.
 * @iter  copied.
 *
 * It has no stack: the iterable's functions run on the caller's, and may park; yielding from them is
 * -EPERM. Only WEFT_GEN_DONE or an error of one of its own functions ends it: closing one without a
 * close function changes nothing, and one whose close returned 0 may be asked for more, as an object
 * of Python's can. weft_gen_free() calls close unless it has ended or was just closed.
 *
 * Context  any thread, any fiber. Parks no. Cancel point no. errno untouched.
 * Cost     one allocation.
 * Returns  0.
 * Errors   -EINVAL @gen, @iter or its next is NULL; -ENOMEM (weft)
 */
WEFT_API int weft_gen_from_iter(weft_gen **gen, const weft_iter *iter);

/* What WEFT_GEN_EACH is made of. */
struct weft_gen_loop {
	weft_gen *gen;
	int more;
};
static inline void weft_gen_loop_end(struct weft_gen_loop *loop)
{
	weft_gen_close(loop->gen);
}

#define WEFT_GEN_JOIN2(a, b) a##b
#define WEFT_GEN_JOIN(a, b) WEFT_GEN_JOIN2(a, b)
#define WEFT_GEN_LOOP(loop, gen_, value)                                                           \
	for (__attribute__((cleanup(weft_gen_loop_end))) struct weft_gen_loop loop = {(gen_), 1};  \
		loop.more; loop.more = 0)                                                          \
		for (void *value = NULL; weft_gen_next(loop.gen, &value) == WEFT_GEN_YIELDED;)

/**
 * WEFT_GEN_EACH - run a block for each value that a generator yields: Python's `for`.
 *
 * Declares `void *value`. However the block is left (its end, break, return, goto), the generator is
 * closed; it still is to be freed. An error that leaves the generator ends the loop: weft_gen_error()
 * tells. Not by longjmp, and in C++ not by an exception unless it unwinds.
 *
 * Example  WEFT_GEN_EACH(gen, line) {
 *                  puts(line);
 *          }
 */
#define WEFT_GEN_EACH(gen, value) WEFT_GEN_LOOP(WEFT_GEN_JOIN(weft_gen_loop_, __LINE__), gen, value)

#ifdef __cplusplus
}
#endif

#endif
