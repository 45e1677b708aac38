/* SPDX-License-Identifier: MIT */
/* grouper.c - averages by group: a generator that delegates to one averager after the other
 *
 * Shows    weft_gen_delegate, which hands values straight to the innermost and returns its result;
 *          what a body frees when it is closed
 * Build    cc grouper.c $(pkg-config --cflags --libs weft) -o grouper
 * In tree  bazel run //examples/seed:grouper
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/gen.h>

#define GROUPS 4
#define VALUES 6

struct Result {
	int count;
	double average;
};

/* One entry of the results. */
struct entry {
	const char *key;
	struct Result result;
};

static void *averager(void *arg)
{
	struct Result *result = arg;
	double total = 0.0, average = 0.0;
	int count = 0;

	for (;;) {
		void *term = NULL;
		printf("in averager, before yield\n");
		int error = weft_gen_yield(NULL, &term);
		if (error < 0)
			return weft_gen_raise(error, term);
		if (term == NULL)
			break;
		total += *(double *)term;
		count++;
		average = total / count;
	}

	printf("in averager, return result\n");
	*result = (struct Result){count, average};
	return result;
}

static void *grouper(void *arg)
{
	struct entry *entry = arg;

	for (;;) {
		struct Result memory;
		void *result = NULL;
		weft_gen *sub;
		printf("in grouper, before yield from averager, key is  %s\n", entry->key);
		int error = weft_gen_new(&sub, averager, &memory);
		if (error == 0)
			error = weft_gen_delegate(sub, &result);
		weft_gen_free(sub);
		if (error < 0)
			return weft_gen_raise(error, result);
		entry->result = *(struct Result *)result;
		printf("in grouper, after yield from, key is  %s\n", entry->key);
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static void report(struct entry *results)
{
	qsort(results, GROUPS, sizeof results[0], by_key);
	for (int i = 0; i < GROUPS; i++) {
		const struct Result *result = &results[i].result;
		const char *unit = strchr(results[i].key, ';') + 1;
		int length = (int)(unit - results[i].key) - 1;
		printf("%2d %-5.*s averaging %.2f%s\n", result->count, length, results[i].key,
			result->average, unit);
	}
}

static struct {
	const char *key;
	double values[VALUES];
} data[GROUPS] = {
	{"girls;kg", {40, 41, 42, 43, 44, 54}},
	{"girls;m", {1.5, 1.6, 1.8, 1.5, 1.45, 1.6}},
	{"boys;kg", {50, 51, 62, 53, 54, 54}},
	{"boys;m", {1.6, 1.8, 1.8, 1.7, 1.55, 1.6}},
};

static int average(struct entry *entry, double *values)
{
	weft_gen *group;
	int error = weft_gen_new(&group, grouper, entry);

	printf("\ncreate group:  <generator object grouper at %p>\n", (void *)group);
	if (error == 0)
		error = weft_gen_next(group, NULL);
	if (error == 0)
		printf("pre active group ok\n");
	for (int i = 0; i < VALUES && error == 0; i++) {
		printf("send to <generator object grouper at %p> value %f now\n", (void *)group,
			values[i]);
		error = weft_gen_send(group, &values[i], NULL);
	}
	if (error == 0) {
		printf("send to <generator object grouper at %p> none\n", (void *)group);
		error = weft_gen_send(group, NULL, NULL);
	}
	weft_gen_free(group); /* closes the averager it stands in, too */
	return error;
}

int main(void)
{
	struct entry results[GROUPS];
	int error = 0;

	for (int i = 0; i < GROUPS && error == 0; i++) {
		results[i] = (struct entry){.key = data[i].key};
		error = average(&results[i], data[i].values);
	}
	if (error < 0) {
		fprintf(stderr, "grouper: %s\n", strerror(-error));
		return 1;
	}
	printf("report result: \n");
	report(results);
	return 0;
}
