/* tests/shape_fit.h - does a parsed value fit the shapes of a goal?  Read off the shapes
 * alone, without the automaton that holds text to them. */
#ifndef TESTS_SHAPE_FIT_H
#define TESTS_SHAPE_FIT_H
#include "grammar/shape.h"
#include <stdbool.h>

bool goal_fits(const schema *s, goal_id g, const json *value);
#endif
