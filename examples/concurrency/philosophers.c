/* SPDX-License-Identifier: MIT */
/* philosophers.c - dining philosophers: five fibers, five forks, two forks to a meal, no deadlock
 *
 * Shows    weft_mutex held while the fiber parks; weft_sem as a bound on who may try
 * Build    cc philosophers.c $(pkg-config --cflags --libs weft) -o philosophers
 * In tree  bazel run //examples/concurrency:philosophers
 *
 * Why it cannot deadlock. For a deadlock all five have to hold their left fork and wait for their
 * right one, which is the left fork of the next. There are five places, but the semaphore lets only
 * four sit down, so somebody has an empty place to the right. The fork between is nobody's left one
 * now: it can be had, and after that meal the next one to the left can eat, and so on round the
 * table. Nobody starves: permits are given in the order of asking, and a mutex that somebody has
 * waited for about a millisecond is handed over.
 *
 * The other usual way needs no semaphore: everybody takes the fork with the lower number first.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define PHILOSOPHERS 5
#define MEALS 10

struct fork {
	weft_mutex mutex;
	int used; /* under mutex */
};

struct table {
	weft_sem chairs;
	struct fork fork[PHILOSOPHERS];
};

struct philosopher {
	struct table *table;
	int place;
	int meals;
};

static int eat(struct philosopher *self, struct fork *left, struct fork *right)
{
	weft_mutex_lock(&left->mutex);
	weft_mutex_lock(&right->mutex);
	left->used++;
	right->used++;
	self->meals++;
	/* Unlike a pthread mutex, these may be held while the fiber parks and moves. */
	int error = weft_sleep(WEFT_MS);
	weft_mutex_unlock(&right->mutex);
	weft_mutex_unlock(&left->mutex);
	return error;
}

static int dine(void *arg)
{
	struct philosopher *self = arg;
	struct table *table = self->table;
	struct fork *left = &table->fork[self->place];
	struct fork *right = &table->fork[(self->place + 1) % PHILOSOPHERS];
	int error = 0;

	while (self->meals < MEALS && error == 0) {
		error = weft_sem_wait(&table->chairs);
		if (error < 0)
			break;
		error = eat(self, left, right);
		weft_sem_post(&table->chairs);
		if (error == 0)
			error = weft_sleep(WEFT_MS); /* thinks */
	}
	return error;
}

static int run(struct table *table, struct philosopher *philosopher)
{
	weft_scope scope;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < PHILOSOPHERS && error == 0; i++) {
		philosopher[i] = (struct philosopher){.table = table, .place = i};
		error = weft_scope_spawn(&scope, dine, &philosopher[i]);
	}
	if (error < 0)
		weft_scope_cancel(&scope);
	int closed = weft_scope_close(&scope);
	return error < 0 ? error : closed;
}

static void *start(void *arg)
{
	struct table table = {.chairs = WEFT_SEM_INIT(PHILOSOPHERS - 1)};
	struct philosopher philosopher[PHILOSOPHERS];
	int error = run(&table, philosopher);

	(void)arg;
	for (int i = 0; i < PHILOSOPHERS && error == 0; i++)
		printf("philosopher %d ate %d times, fork %d was used %d times\n", i + 1,
			philosopher[i].meals, i + 1, table.fork[i].used);
	return (void *)(intptr_t)error;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "philosophers: %s\n", strerror(-error));
	return error < 0;
}
