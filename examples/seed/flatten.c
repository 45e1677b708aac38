/* SPDX-License-Identifier: MIT */
/* flatten.c - one generator made of two things that are none: a string and a range
 *
 * Shows    weft_iter and weft_gen_from_iter, weft_gen_delegate, WEFT_GEN_EACH
 * Build    cc flatten.c $(pkg-config --cflags --libs weft) -o flatten
 * In tree  bazel run //examples/seed:flatten
 */
#include <stdio.h>
#include <string.h>
#include <weft/gen.h>

/* In Python each value knows its type. Here the one who needs it says it. */
struct item {
	enum { STR, INT } type;
	int value;
};

struct str {
	const char *next;
	struct item item;
};

static int next_of_str(void *self, void **out)
{
	struct str *str = self;

	if (*str->next == '\0')
		return WEFT_GEN_DONE;
	str->item = (struct item){STR, *str->next++};
	*out = &str->item;
	return WEFT_GEN_YIELDED;
}

struct range {
	int next, stop;
	struct item item;
};

static int next_of_range(void *self, void **out)
{
	struct range *range = self;

	if (range->next == range->stop)
		return WEFT_GEN_DONE;
	range->item = (struct item){INT, range->next++};
	*out = &range->item;
	return WEFT_GEN_YIELDED;
}

/* yield from @iter */
static int yield_from(const weft_iter *iter, void **result)
{
	weft_gen *sub;
	int error = weft_gen_from_iter(&sub, iter);

	if (error == 0)
		error = weft_gen_delegate(sub, result);
	weft_gen_free(sub);
	return error;
}

static void *gen(void *arg)
{
	struct str ab = {.next = "AB"};
	struct range range = {.next = 1, .stop = 3};
	void *payload = NULL;

	(void)arg;
	int error = yield_from(&(weft_iter){.self = &ab, .next = next_of_str}, &payload);
	if (error == 0)
		error = yield_from(&(weft_iter){.self = &range, .next = next_of_range}, &payload);
	return error < 0 ? weft_gen_raise(error, payload) : NULL;
}

int main(void)
{
	const char *separator = "";
	weft_gen *list;
	int error = weft_gen_new(&list, gen, NULL);

	printf("[");
	if (error == 0) {
		WEFT_GEN_EACH(list, value) {
			const struct item *item = value;
			printf(item->type == STR ? "%s'%c'" : "%s%d", separator, item->value);
			separator = ", ";
		}
		error = weft_gen_error(list, NULL);
	}
	printf("]\n");
	weft_gen_free(list);
	if (error < 0)
		fprintf(stderr, "flatten: %s\n", strerror(-error));
	return error != 0;
}
