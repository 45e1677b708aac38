/* SPDX-License-Identifier: MIT */
/* ab_ba.c - broken: two transfers lock the same two accounts in opposite order
 *
 * To read  the cycle: "rent" holds what "wages" waits for, and the other way round; the rest of the program goes on
 */
#include <stdio.h>
#include <weft/weft.h>

static struct account {
	weft_mutex lock;
	long balance;
} landlord, tenant;

struct transfer {
	struct account *from, *to;
	long amount;
};

static void *transfer(void *arg)
{
	struct transfer *t = arg;
	weft_mutex_lock(&t->from->lock);
	weft_sleep(500 * WEFT_MS);     /* asks the bank */
	weft_mutex_lock(&t->to->lock); /* wrong: the order depends on who pays whom */
	t->from->balance -= t->amount;
	t->to->balance += t->amount;
	weft_mutex_unlock(&t->to->lock);
	weft_mutex_unlock(&t->from->lock);
	return NULL;
}

static void *keep_alive(void *arg)
{
	(void)arg;
	while (weft_sleep(10 * WEFT_MS) == 0)
		;
	return NULL;
}

static void *start(void *arg)
{
	struct transfer rent = {&tenant, &landlord, 900}, wages = {&landlord, &tenant, 2000};
	weft_fiber *first, *second, *heartbeat;
	(void)arg;
	weft_set_name("start");
	if (weft_spawn_attr(&heartbeat, &(weft_attr){.name = "heartbeat"}, keep_alive, NULL) < 0 ||
		weft_spawn_attr(&first, &(weft_attr){.name = "rent"}, transfer, &rent) < 0 ||
		weft_spawn_attr(&second, &(weft_attr){.name = "wages"}, transfer, &wages) < 0)
		return NULL;
	weft_join(first, NULL);
	weft_join(second, NULL);
	weft_cancel(heartbeat);
	weft_join(heartbeat, NULL);
	printf("%ld %ld\n", tenant.balance, landlord.balance);
	return NULL;
}

int main(void)
{
	return weft_run(NULL, start, NULL, NULL) < 0;
}
