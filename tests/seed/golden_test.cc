/* SPDX-License-Identifier: MIT */
/* golden_test.cc - the scripts of golden/, whole
 *
 * Law  what CPython 3.11 and greenlet 2.0.2 have printed is what weft prints, byte for byte.
 * (S33 and S36 are whole programs: delegate_rows_test.cc.)
 */
#include "tests/seed/scripts.h"

using namespace seed;

TEST(Golden, S1ToS40)
{
	everywhere([] {
		Transcript out;
		for (auto part : {script::send_to_fresh, script::four_states, script::averages,
			     script::yield_in_close, script::other_in_close,
			     script::return_in_close, script::close_fresh, script::throw_fresh,
			     script::raise_stop_inside, script::reentrant, script::throw_through,
			     script::echoes, script::two_greenlets, script::greenlets_with_values})
			part(out);
		EXPECT_EQ(golden("s1_s40.txt"), out.text());
	});
}

TEST(Golden, S14S27S42)
{
	everywhere([] {
		Transcript out;
		for (auto part : {script::handled_exceptions, script::throws_by_leaf,
			     script::throws_by_plain_leaf, script::closes_by_plain_leaf,
			     script::close_error_wins, script::greenlet_cleanup,
			     script::greenlet_cycle, script::greenlet_elsewhere})
			part(out);
		EXPECT_EQ(golden("s14_s27_s42.txt"), out.text());
	});
}
