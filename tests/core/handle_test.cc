/* SPDX-License-Identifier: MIT */
/* handle_test.cc - handles carry a generation
 *
 * Law  a stale handle, or what never was one, is recognised by every call, also when the block behind it lives again, in this
 *      runtime, in the next, or in none.
 */
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Handle : public Workers
{
};
FOR_WORKERS(Handle);

static void expect_stale(weft_fiber *handle)
{
	uint64_t id = weft_id(handle);
	EXPECT_EQ(-ESRCH, weft_cancel(handle));
	EXPECT_EQ(-ESRCH, weft_detach(handle));
	EXPECT_EQ(id, weft_id(handle));
	if (weft_self() != nullptr) {
		EXPECT_EQ(-ESRCH, weft_join(handle, nullptr));
	}
}

TEST_P(Handle, StaleWhileItsBlockLivesAgain)
{
	run(GetParam(), [] {
		std::vector<weft_fiber *> old;
		for (long i = 0; i < times(20000, 1000); i++) {
			weft_fiber *fiber = spawn([] {});
			join(fiber);
			if (i % 100 == 0)
				old.push_back(fiber);
		}
		std::vector<weft_fiber *> live;
		for (int i = 0; i < 300; i++)
			live.push_back(spawn([] { return weft_sleep(WEFT_FOREVER); }));
		for (weft_fiber *handle : old)
			expect_stale(handle);
		for (weft_fiber *fiber : live)
			weft_cancel(fiber);
		for (weft_fiber *fiber : live)
			EXPECT_EQ(-ECANCELED, join(fiber)) << "none of them was touched before";
	});
}

TEST_P(Handle, StaleInTheNextRuntimeAndInNone)
{
	std::vector<weft_fiber *> old;
	run(GetParam(), [&old] {
		old.push_back(weft_self());
		for (int i = 0; i < 100; i++)
			old.push_back(spawn([] {})); /* never joined */
	});
	for (weft_fiber *handle : old)
		expect_stale(handle);
	run(GetParam(), [&old] {
		std::vector<weft_fiber *> live;
		for (int i = 0; i < 300; i++)
			live.push_back(spawn([] { weft_yield(); }));
		for (weft_fiber *handle : old)
			expect_stale(handle);
		for (weft_fiber *fiber : live)
			join(fiber);
	});
}

TEST_P(Handle, WhatNeverWasOne)
{
	run(GetParam(), [] {
		for (uint64_t bits : {uint64_t{1}, uint64_t{0xffffffff}, uint64_t{1} << 32, UINT64_MAX,
			     uint64_t{0x00007fffdeadbee0}, weft_id(weft_self()) & 0xffffffff})
			expect_stale(reinterpret_cast<weft_fiber *>(bits));
		int on_the_stack = 0;
		expect_stale(reinterpret_cast<weft_fiber *>(&on_the_stack));
	});
}
