/* SPDX-License-Identifier: MIT */
/* uring.h - the io_uring engine; the table of driver.h */
#ifndef WF_IO_URING_URING_H
#define WF_IO_URING_URING_H

#include "sched/core/driver.h"

extern const struct wf_driver wf_uring_driver;

/* Tries to make a ring as `config` asks and takes it down again: 0, or why the kernel refuses. */
int wf_uring_probe(const weft_config *config);

#endif
