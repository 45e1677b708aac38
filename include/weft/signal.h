/* SPDX-License-Identifier: MIT */
/* signal.h - placeholder, to be replaced */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H
#include <signal.h>
#include <weft/chan.h>
#if defined(_POSIX_C_SOURCE)
#ifdef __cplusplus
extern "C" {
#endif
WEFT_API int weft_signal_chan(weft_chan **chan, const sigset_t *set);
#ifdef __cplusplus
}
#endif
#endif
#endif
