/* SPDX-License-Identifier: MIT */
/* names.h - getaddrinfo without blocking a worker
 *
 * What     libc's getaddrinfo answers all that needs no network, and says what is wrong with a question, on the pool; for names c-ares
 *          finds the addresses (resolve.h), and libc makes its nodes of each of them: so the answers are libc's own.
 * Owns     the list until it is returned; then the caller, who gives it to freeaddrinfo.
 * Rules    NM1 levels first; but an answer that has come is returned, whatever was asked meanwhile.
 *          NM2 what is given is read during the call, also by threads of the pool.
 *          NM3 lists are linked as libc links them: freeaddrinfo frees node by node.
 *          NM4 at most WF_LOOKUPS_MAX look-ups of the process have name servers to ask at a time; others wait for their turn.
 * Tests    tests/io/names_test.cc
 */
#ifndef WF_IO_API_NAMES_H
#define WF_IO_API_NAMES_H

#include <netdb.h>
#include <stdint.h>

/* NM4. Each has a descriptor or two: together half of the usual 1,024 of a process at most. */
#define WF_LOOKUPS_MAX 256

/* All stream addresses of a host, as AI_* `flags` ask for. 0; -ENOENT (no such name), -EAGAIN (nobody could say), -ENOMEM, -ECANCELED, -ETIMEDOUT. On a fiber. */
int wf_names_stream(const char *host, uint16_t port, int flags, struct addrinfo **list);

/* WEFT_NAMESERVERS, when a runtime starts: 0, or -EINVAL and a line. Off a fiber too. */
int wf_names_check_environment(void);

#endif
