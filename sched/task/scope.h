/* SPDX-License-Identifier: MIT */
/* scope.h - what reports may know of a scope
 *
 * What     A scope's inside belongs to scope.c. Who has copied one (sched/obs/view.c) asks here what the copy says.
 * Tests    tests/obs/view_test.cc
 */
#ifndef WF_SCHED_TASK_SCOPE_H
#define WF_SCHED_TASK_SCOPE_H

#include <stdint.h>
#include <weft/scope.h>

/* The index of its newest child that has not ended; WF_NO_FIBER: none. */
uint32_t wf_scope_child(const weft_scope *copy);

#endif
