/* task/extract_true.h - what the scores of a written field are worth.
 *
 *   p(right) = 1 / (1 + exp(-(b + s h + t d + o_field)))
 *   h   sum over the field's chosen tokens of ln p among the allowed ones, at least -20
 *   d   sum of ln p under the whole vocabulary, minus h, at least -20
 *
 * b, s, t and the fields' own o are fitted by logistic regression on rows whose fields
 * are known to be right or wrong, shrunk towards s = t = 1 and o = 0, which with b = 0 is
 * near the model's own probability where that is small.  Fields that were not met in
 * fitting have o = 0.
 *
 * Threads: immutable once fitted or read.  Memory: extract_true_free. */
#ifndef TASK_EXTRACT_TRUE_H
#define TASK_EXTRACT_TRUE_H
#include "task/extractor.h"

typedef struct extract_true extract_true;

typedef struct true_row { /* a field of a row */
    const char *pointer;
    field_score score;
    bool right;
} true_row;

/* ST_EINVAL: fewer than TRUE_MIN_ROWS, or all right or all wrong: nothing to learn. */
enum { TRUE_MIN_ROWS = 20 };
ST_NODISCARD int extract_true_fit(const true_row *rows, uint32_t n, extract_true **ret,
                                  st_err *err);
void extract_true_free(extract_true *t); /* NULL allowed */

double extract_true_of(const extract_true *t, const char *pointer, field_score score);

/* As text for an artifact's settings, and back (ST_EFORMAT). */
ST_NODISCARD int extract_true_write(const extract_true *t, st_buf *out);
ST_NODISCARD int extract_true_read(const char *text, extract_true **ret, st_err *err);
#endif
