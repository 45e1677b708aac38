/* SPDX-License-Identifier: MIT */
/* round_robin.c - a scheduler of its own: tasks are generators, and take turns
 *
 * Shows    control that goes to a central scheduler at each yield, and comes back when it is one's
 *          turn; a generator as a value: what a task yields is a new task, or NULL
 * Build    cc round_robin.c $(pkg-config --cflags --libs weft) -o round_robin
 * In tree  bazel run //examples/seed:round_robin
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

#define ROCKETS 3
#define TASKS_MAX 8

static struct rocket {
	const char *name;
	int n;
} rockets[ROCKETS] = {{"a", 3}, {"b", 1}, {"c", 2}};

static void *countdown(void *arg)
{
	const struct rocket *rocket = arg;

	for (int n = rocket->n; n > 0; n--) {
		printf("%s %d\n", rocket->name, n);
		int error = weft_gen_yield(NULL, NULL);
		if (error < 0)
			return weft_gen_raise(error, NULL);
	}
	printf("%s lift-off\n", rocket->name);
	return NULL;
}

static void *launch(void *arg)
{
	struct rocket *rocket = arg;

	for (int i = 0; i < ROCKETS; i++) {
		weft_gen *task;
		printf("launch %s\n", rocket[i].name);
		int error = weft_gen_new(&task, countdown, &rocket[i]);
		if (error == 0)
			error = weft_gen_yield(task, NULL); /* it is the scheduler's now */
		if (error < 0)
			return weft_gen_raise(error, NULL);
	}
	printf("all launched\n");
	return NULL;
}

struct deque {
	weft_gen *task[TASKS_MAX];
	unsigned first, count;
};

static int append(struct deque *deque, weft_gen *task)
{
	if (deque->count == TASKS_MAX) {
		weft_gen_free(task);
		return -ENOSPC;
	}
	deque->task[(deque->first + deque->count++) % TASKS_MAX] = task;
	return 0;
}

static weft_gen *popleft(struct deque *deque)
{
	deque->count--;
	return deque->task[deque->first++ % TASKS_MAX];
}

/* Runs the task, and all it leads to, to their ends. Frees them. */
static int scheduler(weft_gen *task)
{
	struct deque ready = {.count = 0};
	int error = append(&ready, task);

	while (ready.count > 0) {
		void *new = NULL;
		task = popleft(&ready);
		if (error >= 0)
			error = weft_gen_next(task, &new);
		if (error != WEFT_GEN_YIELDED) {
			weft_gen_free(task);
			continue;
		}
		if (new != NULL)
			error = append(&ready, new);
		int again = append(&ready, task);
		error = error < 0 ? error : again;
	}
	return error < 0 ? error : 0;
}

int main(void)
{
	weft_gen *task;
	int error = weft_gen_new(&task, launch, rockets);

	if (error == 0)
		error = scheduler(task);
	if (error < 0)
		fprintf(stderr, "round_robin: %s\n", strerror(-error));
	return error != 0;
}
