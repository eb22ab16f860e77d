/* serve/param.h - the place of a field in a body, as text: messages[0].content.
 *
 * A name that is no plain word stands in quotes: questions["a.b"].criteria, so that the
 * text can be taken apart again (TypeSafe's "loc").
 *
 * Threads: any. */
#ifndef SERVE_PARAM_H
#define SERVE_PARAM_H
#include "serve/problem.h"

/* The member `name` of what is at `at` ("" for the body), or its i-th.  What does not fit
 * is cut and ends in "...". */
void param_name(char ret_param[PROBLEM_PARAM_MAX], const char *at, const char *name);
void param_index(char ret_param[PROBLEM_PARAM_MAX], const char *at, size_t i);

/* ["body", "questions", "s", 0]; NULL when memory ran out. */
json_t *param_loc(const char *param);
#endif
