/* expert/names.h - an encoder's zero-shot answer: which option's name is nearest.
 *
 * Scores are cosines between the embedding of the input and that of "name: description"
 * of each option ('_' and '-' in a name read as spaces).
 *
 * Threads: one owner, who owns the lm too. */
#ifndef EXPERT_NAMES_H
#define EXPERT_NAMES_H
#include "expert/lm.h"
#include "expert/question.h"

#define NAMES_TEMPERATURE 0.05 /* cosines of sentence encoders differ by tenths */

typedef struct names names;

ST_NODISCARD int names_new(lm *l, const question *q, names **ret_names, st_err *err);
void names_free(names *n); /* NULL allowed */
ST_NODISCARD int names_score(names *n, const char *text, size_t len, double *ret_cosines,
                             st_err *err);
#endif
