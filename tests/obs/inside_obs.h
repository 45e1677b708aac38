/* SPDX-License-Identifier: MIT */
/* inside_obs.h - sched/obs for tests in C++, which cannot read its headers */
#ifndef TESTS_OBS_INSIDE_OBS_H
#define TESTS_OBS_INSIDE_OBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/weft.h>

#ifdef __cplusplus
extern "C" {
#endif

struct inside_sight {
	char name[64];
	char state[16];
	char wait[256];
	weft_ns since, deadline;
	bool waits, on_strand;
	bool sp_in_stack;
};

/* Of a fiber by its handle. False: it is not there. */
bool inside_view(const weft_fiber *fiber, struct inside_sight *view);
/* Of whoever lives in the block: any snapshot at all. */
bool inside_view_index(uint32_t index, struct inside_sight *view);
/* Looks once from every fiber: how many are on the way into a cycle; and whether all of the runtime stand still. */
unsigned inside_cycles(void);
bool inside_standstill(weft_runtime *runtime);

#ifdef __cplusplus
}
#endif

#endif
