/* engine/likely.h - the few highest of many logits; private to this room.
 *
 * Highest first, of equal ones the lower id; what is not a number counts as the lowest.
 *
 * Threads: any. */
#ifndef ENGINE_LIKELY_H
#define ENGINE_LIKELY_H
#include "engine/engine.h"

/* The k likeliest, or all, of the ids [from, from + n), whose logits are x[0, n).
 * Returns how many. */
uint32_t likely_find(const float *x, uint32_t from, uint32_t n, uint32_t k,
                     step_likely *ret);
/* Put the likeliest k of two such lists into the first; ids of the second are higher.
 * Returns how many the first has then. */
uint32_t likely_join(step_likely *list, uint32_t n, const step_likely *more,
                     uint32_t n_more, uint32_t k);
#endif
