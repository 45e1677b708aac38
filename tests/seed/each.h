/* SPDX-License-Identifier: MIT */
/* each.h - loops by WEFT_GEN_EACH, compiled as strict C11
 *
 * What     each function runs over a generator of the numbers 1, 2, 3 .. and leaves its loop in a way of its own; it returns the sum of
 *          what it has added.
 */
#ifndef TESTS_SEED_EACH_H
#define TESTS_SEED_EACH_H

#include <weft/gen.h>

#ifdef __cplusplus
extern "C" {
#endif

long each_to_the_end(weft_gen *gen);
long each_break(weft_gen *gen);
long each_return(weft_gen *gen);
long each_goto(weft_gen *gen);
long each_continue(weft_gen *gen);
/* For each of `outer`, two of a generator that make() makes. */
long each_nested(weft_gen *outer, weft_gen *(*make)(void));

#ifdef __cplusplus
}
#endif

#endif
