/* eval/report.h - what came out of a data set, as text for a terminal.
 *
 * One or two ways of answering the same rows (zero-shot and fitted) stand side by side:
 * accuracy with Wilson's 95 % interval, macro F1, NLL, calibration error with the error
 * that perfect calibration would show on so few rows, decisions a second, and each label.
 * Rows without a label or an answer are left out and counted.
 *
 * Threads: any. */
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H
#include "base/buf.h"
#include "eval/judge.h"

enum { REPORT_MAX_WAYS = 2 };

typedef struct report_way {
    const char *title; /* "zero-shot", "fitted" */
    const judged *result;
} report_way;

/* Append the tables.  ST_EINVAL when no row has a label and an answer. */
ST_NODISCARD int report_tables(const question *q, const data_set *set,
                               const report_way *ways, uint32_t n_ways, st_buf *out,
                               st_err *err);

/* Append one text with its distribution as bars, likeliest option first.  `label` is -1
 * when it is not known.  The text is shown on one line, shortened to `columns`. */
ST_NODISCARD int report_bars(const question *q, const char *text, size_t len,
                             int32_t label, const double *probs, unsigned columns,
                             st_buf *out, st_err *err);
#endif
