/* SPDX-License-Identifier: MIT */
/* scope.h - structured concurrency: fibers that end before the block that started them does
 *
 * A scope is opened by a fiber, on its stack. Fibers spawned into it are its children;
 * weft_scope_close returns when the last of them has ended. So a function that starts fibers can
 * own them as it owns its variables: when it returns none is left, whatever went wrong.
 *
 *   weft_scope scope;
 *   int error = weft_scope_open(&scope, weft_after(5 * WEFT_SEC));
 *   if (error == 0) {
 *           weft_scope_spawn(&scope, fetch, &first);
 *           weft_scope_spawn(&scope, fetch, &second);
 *           error = weft_scope_close(&scope);   // 0: both have succeeded
 *   }
 *
 * What ends a scope early
 *   - A child that returns a negative value: its siblings and the opener are cancelled.
 *   - weft_scope_cancel().
 *   - The scope's deadline: blocking calls in it return -ETIMEDOUT from then on.
 *   - Cancellation of the fiber that opened it (weft_cancel, or the end of the runtime), and
 *     whatever ends a scope around it.
 *   Each of these is a level, as in fiber.h: the opener and all descendants (its children, the
 *   scopes they open, those scopes' children) find it in force at every cancellation point until
 *   the scope is closed. Those that are parked wake, also from an operation in flight in the
 *   kernel, whose buffer is free at return. A fiber that weft_spawn or weft_go made is nobody's
 *   child and is not reached.
 *
 * What weft_scope_close returns, the first that applies:
 *   1. the first negative value that a child returned, if it came before the scope was cancelled or
 *      late itself. What a child returns after that is not counted, nor -ECANCELED or -ETIMEDOUT
 *      from a child while the scope was cancelled or late, its own way or from outside;
 *   2. -ECANCELED when the scope was cancelled itself: by weft_scope_cancel, or with its opener; or
 *      when a scope outside it is cancelled and that was felt here: a blocking call of a child
 *      failed for it, or the opener waited in close while it was in force;
 *   3. -ETIMEDOUT when its deadline has passed, or that of a scope outside it and that was felt
 *      here;
 *   4. 0.
 *
 * Shields
 *   weft_shield(true) defers all that comes from scopes, as it defers weft_cancel; the fiber's own
 *   weft_deadline stays in force. A scope opened under a shield is an island: nothing from outside
 *   reaches it or its children, its own deadline and cancellation apply, and weft_shield starts
 *   anew in it: weft_shield(true) inside shields from that scope too. Closing the scope puts the
 *   shield back as it was when the scope was opened. So clean-up may itself use scopes:
 *
 *   bool was = weft_shield(true);
 *   if (weft_scope_open(&farewell, weft_after(2 * WEFT_SEC)) == 0) {
 *           for (int i = 0; i < count; i++)
 *                   weft_scope_spawn(&farewell, say_goodbye, &peer[i]);
 *           weft_scope_close(&farewell);
 *   }
 *   weft_shield(was);
 *
 * Misuse. A fiber that returns from its function with a scope open, a close that is not by the
 * opener or not innermost first, a second open of a scope that the caller has open, and a spawn
 * into a closed scope abort with one line that names the fiber.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <stdint.h>

#include <weft/fiber.h>
#include <weft/runtime.h>
#include <weft/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A scope: on its opener's stack, and not moved or copied between open and close. Needs no initialiser. */
typedef struct weft_scope {
	uint64_t opaque[22];
} weft_scope;

/* What a child runs: 0 or more, or a negative errno value (another negative number is passed on as it is). */
typedef int (*weft_task_fn)(void *arg);

/**
 * weft_scope_open - open a scope; the caller and all that is spawned into it obey it.
 * @scope     storage for it, on the caller's stack. Borrowed until weft_scope_close() returns.
 * @deadline  absolute; from then on blocking calls in the scope return -ETIMEDOUT. WEFT_FOREVER:
 *            none of its own. A deadline of a scope outside that is sooner stays in force.
 *
 * A fiber that is cancelled, or in a scope that is, may open one: it is then in force in the new
 * scope too, unless the caller is shielded.
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     two short locks; a timer when @deadline is the soonest in force.
 * Returns  0, also when @deadline has passed.
 * Errors   -EINVAL @scope is NULL (weft)
 *          -EAGAIN the caller has 4,095 scopes open that were opened under shields (weft)
 *          -EPERM  off a fiber (weft)
 * Example  see the top of scope.h.
 */
WEFT_API int weft_scope_open(weft_scope *scope, weft_ns deadline);

/**
 * weft_scope_spawn - run a function as a child of a scope.
 * @scope  an open scope. Any fiber in it may spawn, a child that spawns siblings included, also
 *         while the opener waits in weft_scope_close(). A fiber of the same runtime that is not in
 *         it may too, if it knows that the scope stays open.
 * @fn     the child's body. A negative value it returns cancels the scope.
 * @arg    handed to @fn. Borrowed as the caller and @fn agree: only the pointer is copied.
 *
 * The child belongs to the scope: it has no handle, and cannot be joined or detached. weft_self()
 * in it may be given to weft_cancel().
 *
 * Context  fiber. Parks no. Cancel point no. errno untouched.
 * Cost     as weft_spawn(), and a short lock.
 * Returns  0; the child will run, also in a scope that is cancelled or late: it then starts so.
 * Errors   -EINVAL @scope or @fn is NULL (weft)
 *          -ENOMEM, -EAGAIN as weft_spawn()
 *          -EPERM  off a fiber, or on one of another runtime (weft)
 * Example  for (int i = 0; i < count && error == 0; i++)
 *                  error = weft_scope_spawn(&scope, download, &url[i]);
 */
WEFT_API int weft_scope_spawn(weft_scope *scope, weft_task_fn fn, void *arg);

/**
 * weft_scope_spawn_attr - weft_scope_spawn with a name, a stack size, or flags.
 * @scope  as weft_scope_spawn().
 * @attr   how, as for weft_spawn_attr(), or NULL for the defaults. Borrowed until return.
 * @fn     the child's body.
 * @arg    handed to @fn.
 *
 * Context  as weft_scope_spawn().
 * Returns  0.
 * Errors   as weft_scope_spawn(), and -EINVAL as weft_spawn_attr()
 * Example  weft_attr attr = { .name = "resolver", .stack_size = 256 * 1024 };
 *          error = weft_scope_spawn_attr(&scope, &attr, resolve, host);
 */
WEFT_API int weft_scope_spawn_attr(weft_scope *scope, const weft_attr *attr, weft_task_fn fn, void *arg);

/**
 * weft_scope_cancel - cancel a scope: its opener and all descendants. Never waits.
 * @scope  an open scope. Twice is the same as once.
 *
 * Context  any thread that knows the scope to be open. Parks no. Cancel point no. errno untouched.
 * Cost     a visit to every fiber in the scope, with the scope locked.
 * Returns  0.
 * Errors   -EINVAL @scope is NULL or not open (weft)
 * Example  if (found)
 *                  weft_scope_cancel(&search);   // the others need not go on
 */
WEFT_API int weft_scope_cancel(weft_scope *scope);

/**
 * weft_scope_close - wait until every child has ended, and end the scope.
 * @scope  the innermost scope the caller has open. Its storage is the caller's again at return.
 *
 * The wait cannot be cut short: cancellation and deadlines reach the children, and they end.
 * Children's fiber-local destructors have run at return, and the caller sees all that they wrote.
 *
 * Context  fiber, the opener. Parks yes. Cancel point no. errno untouched. May return on another
 *          thread.
 * Cost     a switch; none when no child is left.
 * Returns  0, or a negative value as listed at the top of scope.h.
 * Errors   a child's own, -ECANCELED, -ETIMEDOUT (weft)
 *          -EINVAL @scope is NULL (weft)
 *          -EPERM  off a fiber (weft)
 * Example  error = weft_scope_close(&scope);
 */
WEFT_API int weft_scope_close(weft_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
