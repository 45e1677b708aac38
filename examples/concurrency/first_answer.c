/* SPDX-License-Identifier: MIT */
/* first_answer.c - the same question to several servers: the first good answer wins
 *
 * Shows    weft_scope_cancel for those whose answer is no longer wanted; a failure that only counts
 *          when all have failed; a channel with room for every answer, so that nobody hangs
 * Build    cc first_answer.c $(pkg-config --cflags --libs weft) -o first_answer
 * In tree  bazel run //examples/concurrency:first_answer
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <weft/weft.h>

#define REPLICAS 4

struct replica {
	const char *name;
	weft_ns delay; /* 0: refuses */
	int outcome;
	weft_chan *answers; /* struct replica * */
};

/* Stands for a question over the network: any blocking call ends the same way when cancelled. */
static int query(const struct replica *replica)
{
	return replica->delay == 0 ? -ECONNREFUSED : weft_sleep(replica->delay);
}

/* It returns 0 although the query may have failed: a negative value would end the race. */
static int ask(void *arg)
{
	struct replica *replica = arg;

	replica->outcome = query(replica);
	weft_chan_try_send(replica->answers, &replica);
	return 0;
}

/* The first that answers, and the others stopped; or the last error. */
static int race(struct replica *replica, weft_chan *answers, struct replica **winner)
{
	weft_scope scope;
	int failed = 0;
	int error = weft_scope_open(&scope, WEFT_FOREVER);

	if (error < 0)
		return error;
	for (int i = 0; i < REPLICAS && error == 0; i++) {
		replica[i].answers = answers;
		error = weft_scope_spawn(&scope, ask, &replica[i]);
	}
	while (error == 0 && (error = weft_chan_recv(answers, winner)) == 0) {
		if ((*winner)->outcome == 0)
			break;
		if (++failed == REPLICAS)
			error = (*winner)->outcome;
	}
	/* Nobody who is still asking is wanted. Close waits until they have put everything back. */
	weft_scope_cancel(&scope);
	weft_scope_close(&scope);
	return error;
}

static void *start(void *arg)
{
	struct replica replica[REPLICAS] = {
		{.name = "amsterdam", .delay = 0},
		{.name = "bergen", .delay = 30 * WEFT_SEC},
		{.name = "cadiz", .delay = 20 * WEFT_MS},
		{.name = "dublin", .delay = 30 * WEFT_SEC},
	};
	struct replica *winner;
	weft_chan *answers;
	int error = weft_chan_new(&answers, sizeof(struct replica *), REPLICAS);

	(void)arg;
	if (error == 0)
		error = race(replica, answers, &winner);
	weft_chan_free(answers);
	if (error < 0)
		return (void *)(intptr_t)error;
	printf("first answer: %s\n", winner->name);
	for (int i = 0; i < REPLICAS; i++)
		printf("%s: %s\n", replica[i].name,
			replica[i].outcome == 0 ? "answered" : strerror(-replica[i].outcome));
	return NULL;
}

int main(void)
{
	void *result = NULL;
	int error = weft_run(NULL, start, NULL, &result);

	if (error == 0)
		error = (int)(intptr_t)result;
	if (error < 0)
		fprintf(stderr, "first_answer: %s\n", strerror(-error));
	return error < 0;
}
