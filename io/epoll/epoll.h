/* SPDX-License-Identifier: MIT */
/* epoll.h - the engine for where io_uring is refused */
#ifndef WF_IO_EPOLL_EPOLL_H
#define WF_IO_EPOLL_EPOLL_H

#include "sched/core/driver.h"

extern const struct wf_driver wf_epoll_driver;

#endif
