/* SPDX-License-Identifier: MIT */
/* signal.h - signals as a channel
 *
 * What     Some signals become numbers on a channel, which fibers and threads receive and select
 *          like any other. Nothing has to be blocked beforehand, and no code runs in a handler.
 *
 *   sigset_t set;
 *   weft_chan *signals;
 *
 *   sigemptyset(&set);
 *   sigaddset(&set, SIGINT);
 *   sigaddset(&set, SIGTERM);
 *   if (weft_signal_chan(&signals, &set) < 0)
 *           return -1;
 *   int number;
 *   if (weft_chan_recv(signals, &number) == 0)      // in a fiber: parks until one comes
 *           weft_scope_cancel(&server);             // and the program ends in good order
 *   weft_chan_free(signals);                        // from here on they act as before
 *
 * What is guaranteed
 *   - After the call a signal of the set no longer does what it did before (the default action,
 *     a handler of the program, being ignored); when its last channel has been closed or freed, it
 *     does so again, unless the program has installed a handler of its own meanwhile.
 *   - Several channels may ask for the same signal, in different runtimes too: each gets it.
 *   - A signal that comes while its number is still to be delivered may be merged with it, as the
 *     kernel does with pending ones: after the last one that was sent, at least one number arrives.
 *     Real-time signals (SIGRTMIN and above) are counted: each arrives.
 *   - A channel that is full loses nothing: what came waits outside, a number for each standard
 *     signal, until there is room. Different signals may change their order.
 *   - No call returns early because of such a signal: weft's own never do, and the handler asks the
 *     kernel to restart the others (SA_RESTART; signal(7) lists what it does not restart).
 *
 * Whom a signal must reach: one sent to the process (kill, Ctrl-C, a timer, SIGCHLD) arrives
 * whatever threads block. One sent to a single thread (pthread_kill, raise) arrives when that
 * thread does not block it; weft's workers block all, so raise() on a fiber stays pending: use
 * kill(getpid(), number).
 *
 * A child made by fork has no delivery: there the signals act as before the call, until it asks
 * for a channel of its own. Programs started by exec find them as before too.
 *
 * The declaration needs sigset_t, which <signal.h> leaves out under strict -std=c11 without
 * _POSIX_C_SOURCE: it is then left out as well.
 */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <signal.h>

#include <weft/chan.h>
#include <weft/version.h>

#if defined(_POSIX_C_SOURCE) || defined(_POSIX_SOURCE) || defined(_XOPEN_SOURCE)

#ifdef __cplusplus
extern "C" {
#endif

/**
 * weft_signal_chan - make a channel on which signals arrive, as int.
 * @chan  where to put it; NULL is put there on failure. It buffers 64 numbers. To be ended with
 *        weft_chan_free(); weft_chan_close() ends the delivery, and what it holds can still be
 *        received.
 * @set   which signals. Copied.
 *
 * Closing or freeing the channel waits until the delivery has let go of it, mostly some ten
 * microseconds, and so neither is for a WEFT_SMALL fiber.
 *
 * Context  any thread, any fiber but WEFT_SMALL ones. Parks no. Cancel point no. errno untouched.
 *          Not in a signal handler.
 * Cost     two allocations; sigaction(2) for each signal. With the first channel a thread starts,
 *          which ends with the last.
 * Returns  0.
 * Errors   -EINVAL @chan or @set is NULL; @set is empty or has SIGKILL, SIGSTOP, a signal that
 *                  faults raise (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT), one of
 *                  libc's own, or the real-time signal that weft took for its offload pool (the
 *                  highest below SIGRTMAX that nobody used by then) (weft)
 *          -ENOMEM (weft); -EAGAIN no thread could be made (kernel)
 * Example  see the top of signal.h.
 */
WEFT_API int weft_signal_chan(weft_chan **chan, const sigset_t *set);

#ifdef __cplusplus
}
#endif

#endif

#endif
