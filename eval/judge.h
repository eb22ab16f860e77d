/* eval/judge.h - a task run over a data set.
 *
 * Rows go to the task in groups, in order; a sink sees each group's answers as they come.
 * What is kept for a report is kept by `judged`.
 *
 * Threads: the task's owner. */
#ifndef EVAL_JUDGE_H
#define EVAL_JUDGE_H
#include "base/progress.h"
#include "task/data.h"
#include "task/task.h"

enum { JUDGE_GROUP = 32 }; /* rows that share a batch of the models */

typedef struct judge_rows { /* answers of rows [first, first + n) of the set */
    const data_set *set;
    uint32_t first;
    uint32_t n;
    const task_answer *answers;
    const double *probs;   /* [n, K] */
    const double *experts; /* [n, E, K], or NULL when not asked for */
} judge_rows;
typedef int judge_sink(void *arg, const judge_rows *rows, st_err *err); /* 0: go on */

typedef struct judge_opts {
    bool keep;        /* answers and probabilities, for a report */
    bool experts;     /* each expert's own distribution, for the sink */
    judge_sink *sink; /* may be NULL */
    void *arg;
    const st_progress *progress;
} judge_opts;

typedef struct judged {
    uint32_t n;
    uint32_t n_refused;   /* rows without an answer */
    task_answer *answers; /* [n], NULL unless kept */
    double *probs;        /* [n, K], likewise */
    double seconds;       /* spent deciding */
} judged;

ST_NODISCARD int judge_run(task *t, const data_set *set, const judge_opts *opts,
                           judged *ret_judged, st_err *err);
void judged_done(judged *j);
#endif
