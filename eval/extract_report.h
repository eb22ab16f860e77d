/* eval/extract_report.h - a task of type extract or draft run over a data set.
 *
 * Rows go to the task in groups, in order; a sink sees each answer as it comes.  Rows
 * with an output are judged field by field (task/fields.h).
 *
 * Threads: the task's owner.  Memory: extract_judged_done. */
#ifndef EVAL_EXTRACT_REPORT_H
#define EVAL_EXTRACT_REPORT_H
#include "base/progress.h"
#include "task/extraction.h"

enum { EXTRACT_GROUP = 16, EXTRACT_MAX_FIELDS = 200 };

typedef struct extract_field { /* one field over all judged rows */
    char *pointer;
    fields_count count;
} extract_field;

typedef struct extract_judged {
    uint32_t n;          /* rows */
    uint32_t n_refused;  /* without an answer */
    uint32_t n_accepted; /* whose checks hold */
    uint32_t n_repaired;
    uint32_t n_judged; /* rows with an output */
    uint32_t n_right;  /* of those, all fields right */
    fields_count fields;
    extract_field each[EXTRACT_MAX_FIELDS]; /* first met first */
    uint32_t n_each;
    uint64_t n_given;             /* fields with a probability, of judged rows */
    uint64_t bins[10], right[10]; /* of those by probability: how many, how many right */
    double sums[10];              /* of their probabilities */
    uint64_t n_tokens, n_steps, n_forced;
    double seconds; /* spent deciding */
} extract_judged;

/* 0: go on.  The answer may not be kept. */
typedef int extract_sink(void *arg, const data_row *row, const extract_answer *a,
                         st_err *err);

/* `sink` may be NULL. */
ST_NODISCARD int extract_judge(extraction *x, const data_set *set, extract_sink *sink,
                               void *arg, const st_progress *progress,
                               extract_judged *ret_judged, st_err *err);
void extract_judged_done(extract_judged *j);

/* Append the report. */
ST_NODISCARD int extract_report(const extraction *x, const data_set *set,
                                const extract_judged *j, st_buf *out, st_err *err);
#endif
