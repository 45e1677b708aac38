/* SPDX-License-Identifier: MIT */
/* local_test.cc - fiber-local storage
 *
 * Law  a value belongs to one fiber and one key, also when the key's slot or the fiber's block was in use before.
 * Law  destructors run on the ending fiber, before its joiner wakes, for values other than NULL; they may use weft.
 */
#include <atomic>
#include <vector>

#include "tests/core/support.h"

using namespace support;

class Local : public Workers
{
};
FOR_WORKERS(Local);

static std::atomic<long> destroyed;
static weft_key used_key;

static void *value_of(intptr_t number)
{
	return reinterpret_cast<void *>(number);
}

static void count_up(void *value)
{
	destroyed += reinterpret_cast<intptr_t>(value);
}

TEST_P(Local, EachFiberHasItsOwn)
{
	weft_key key;
	ASSERT_EQ(0, weft_key_create(&key, nullptr));
	run(GetParam(), [key] {
		std::vector<weft_fiber *> fibers;
		for (int i = 1; i <= 100; i++)
			fibers.push_back(spawn([i, key] {
				EXPECT_EQ(nullptr, weft_get_local(key)) << "a value starts as NULL";
				EXPECT_EQ(0, weft_set_local(key, value_of(i)));
				for (int k = 0; k < 50; k++) {
					weft_yield();
					EXPECT_EQ(value_of(i), weft_get_local(key));
				}
			}));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(nullptr, weft_get_local(key));
	});
	EXPECT_EQ(0, weft_key_delete(key));
}

TEST_P(Local, DestructorsRunBeforeTheJoinerWakes)
{
	ASSERT_EQ(0, weft_key_create(&used_key, count_up));
	destroyed = 0;
	run(GetParam(), [] {
		for (int i = 1; i <= 200; i++) {
			long before = destroyed;
			join(spawn([i] {
				weft_set_local(used_key, value_of(i));
				if (i % 2 == 0)
					weft_yield();
			}));
			EXPECT_EQ(before + i, destroyed.load());
		}
		join(spawn([] {
			weft_set_local(used_key, value_of(1000));
			weft_set_local(used_key, nullptr);
		}));
		EXPECT_EQ(201 * 200 / 2, destroyed.load()) << "NULL has no destructor call";
	});
	EXPECT_EQ(0, weft_key_delete(used_key));
}

/* Parks in each of the ways a destructor might, then sets itself again twice. */
static void park_and_set_again(void *value)
{
	weft_yield();
	weft_sleep(WEFT_US);
	destroyed++;
	intptr_t left = reinterpret_cast<intptr_t>(value) - 1;
	EXPECT_EQ(nullptr, weft_get_local(used_key)) << "it is called with the value already gone";
	if (left > 0 && weft_set_local(used_key, value_of(left)) != 0)
		ADD_FAILURE();
}

TEST_P(Local, DestructorsMayParkAndSetAgain)
{
	ASSERT_EQ(0, weft_key_create(&used_key, park_and_set_again));
	destroyed = 0;
	run(GetParam(), [] {
		std::vector<weft_fiber *> fibers;
		for (int i = 0; i < 50; i++)
			fibers.push_back(spawn([] { weft_set_local(used_key, value_of(3)); }));
		for (weft_fiber *fiber : fibers)
			join(fiber);
		EXPECT_EQ(150, destroyed.load());
		join(spawn([] { weft_set_local(used_key, value_of(100)); }));
		EXPECT_EQ(154, destroyed.load()) << "four passes at most";
	});
	EXPECT_EQ(0, weft_key_delete(used_key));
}

TEST_P(Local, DestructorsRunForTheCancelledAndTheDetached)
{
	ASSERT_EQ(0, weft_key_create(&used_key, count_up));
	destroyed = 0;
	run(GetParam(), [] {
		for (int i = 0; i < 50; i++)
			weft_detach(spawn([] {
				weft_set_local(used_key, value_of(1));
				weft_sleep(WEFT_FOREVER);
			}));
		weft_sleep(WEFT_MS);
	});
	EXPECT_EQ(50, destroyed.load());
	EXPECT_EQ(0, weft_key_delete(used_key));
}

TEST_P(Local, AReusedKeyShowsNoOldValue)
{
	run(GetParam(), [] {
		weft_key old_key, new_key;
		ASSERT_EQ(0, weft_key_create(&old_key, count_up));
		EXPECT_EQ(0, weft_set_local(old_key, value_of(1)));
		EXPECT_EQ(0, weft_key_delete(old_key));
		EXPECT_EQ(nullptr, weft_get_local(old_key));
		EXPECT_EQ(-EINVAL, weft_set_local(old_key, value_of(2)));
		EXPECT_EQ(-EINVAL, weft_key_delete(old_key));
		ASSERT_EQ(0, weft_key_create(&new_key, nullptr));
		EXPECT_EQ(nullptr, weft_get_local(new_key));
		EXPECT_EQ(0, weft_set_local(new_key, value_of(3)));
		EXPECT_EQ(nullptr, weft_get_local(old_key));
		EXPECT_EQ(value_of(3), weft_get_local(new_key));
		EXPECT_EQ(0, weft_key_delete(new_key));
	});
}

TEST(LocalKeys, AsManyAsPromised)
{
	std::vector<weft_key> keys;
	weft_key key{};
	int error;
	while ((error = weft_key_create(&key, nullptr)) == 0)
		keys.push_back(key);
	EXPECT_EQ(-EAGAIN, error);
	EXPECT_EQ(1024u, keys.size());
	run(2, [&keys] {
		join(spawn([&keys] {
			for (size_t i = 0; i < keys.size(); i++)
				EXPECT_EQ(0, weft_set_local(keys[i], &keys[i]));
			weft_yield();
			for (size_t i = 0; i < keys.size(); i++)
				EXPECT_EQ(&keys[i], weft_get_local(keys[i]));
		}));
	});
	for (weft_key each : keys)
		EXPECT_EQ(0, weft_key_delete(each));
	EXPECT_EQ(-EINVAL, weft_key_delete(weft_key{0}));
	EXPECT_EQ(-EINVAL, weft_key_delete(weft_key{UINT32_MAX}));
}
