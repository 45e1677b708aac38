/* SPDX-License-Identifier: MIT */
/* each.c - see each.h */
#include "tests/seed/each.h"

#include <stdint.h>

static long as_long(void *value)
{
	return (long)(intptr_t)value;
}

long each_to_the_end(weft_gen *gen)
{
	long sum = 0;
	WEFT_GEN_EACH(gen, value)
		sum += as_long(value);
	return sum;
}

long each_break(weft_gen *gen)
{
	long sum = 0;
	WEFT_GEN_EACH(gen, value) {
		sum += as_long(value);
		if (as_long(value) == 3)
			break;
	}
	return sum;
}

long each_return(weft_gen *gen)
{
	long sum = 0;
	WEFT_GEN_EACH(gen, value) {
		sum += as_long(value);
		if (as_long(value) == 3)
			return sum;
	}
	return -1;
}

long each_goto(weft_gen *gen)
{
	long sum = 0;
	WEFT_GEN_EACH(gen, value) {
		sum += as_long(value);
		if (as_long(value) == 3)
			goto out;
	}
	return -1;
out:
	return sum;
}

long each_continue(weft_gen *gen)
{
	long sum = 0;
	WEFT_GEN_EACH(gen, value) {
		if (as_long(value) % 2 == 0)
			continue;
		sum += as_long(value);
	}
	return sum;
}

long each_nested(weft_gen *outer, weft_gen *(*make)(void))
{
	long sum = 0;
	WEFT_GEN_EACH(outer, value) {
		weft_gen *inner = make();
		WEFT_GEN_EACH(inner, more) {
			sum += 10 * as_long(value) + as_long(more);
			if (as_long(more) == 2)
				break;
		}
		weft_gen_free(inner);
	}
	return sum;
}
