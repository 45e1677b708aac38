/* SPDX-License-Identifier: MIT */
/* own_fd.h - descriptors that weft itself opens, on whatever thread and at any time
 *
 * What     bare system calls around the few that the runtime needs: /proc, eventfd, epoll, the pipes of child processes.
 * Why      TSan keeps who made and who used each number, and forgets it at close(). It does not see the ring's close: a number that a fiber has closed so
 *          and that weft's monitor or a spare is given next would be reported as a race between the two.
 * Rules    OF1 no interceptor, no allocation, no lock: also in a signal handler. errno is left alone.
 *          OF2 all of them close on exec.
 * Tests    tests/base/own_fd_test.cc; tests/io/close_test.cc in the tsan build
 */
#ifndef WF_SCHED_BASE_OWN_FD_H
#define WF_SCHED_BASE_OWN_FD_H

#include <stddef.h>
#include <sys/epoll.h>
#include <sys/types.h>

/* The number, or a negative errno. `flags`: of open(2), for reading. */
int wf_own_open(const char *path, int flags);
/* `flags`: EFD_... */
int wf_own_eventfd(int flags);
int wf_own_epoll(void);
/* As epoll_ctl(2). 0, or a negative errno. */
int wf_own_epoll_add(int epoll, int fd, struct epoll_event *event);
/* As pipe2(2). 0, or a negative errno. */
int wf_own_pipe(int ends[2]);
void wf_own_close(int fd);

/* As pread(2), but as much as there is of `size` bytes; a negative errno only where nothing was read. */
ssize_t wf_own_pread(int fd, void *buffer, size_t size, off_t at);
/* The beginning of a small file of text, with a zero behind it; its length, or a negative errno and "". */
ssize_t wf_own_text(const char *path, char *text, size_t size);

#endif
