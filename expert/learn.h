/* expert/learn.h - a logistic regression with everything chosen out of fold.
 *
 * The last `n_hints` rows are encoded label names: training rows of weight 1 that belong
 * to no fold.  The regulariser is the best of a falling series, walked from `first` on
 * downwards, or upwards when that is worse; a walk starts each solution from the one
 * before.  With `doubt_hints` the hints are left out again if the out-of-fold
 * predictions are better without.
 *
 * Threads: the gemm's owner. */
#ifndef EXPERT_LEARN_H
#define EXPERT_LEARN_H
#include "base/progress.h"
#include "stats/logistic.h"

typedef struct learn_rows {
    logit_rows rows;       /* n + n_hints of them */
    const int32_t *labels; /* [n + n_hints] */
    uint32_t n, n_hints;
    const uint8_t *folds; /* [n] */
    uint32_t n_folds;
    uint32_t n_judged; /* folds that are predicted: the first ones */
    uint32_t k;
} learn_rows;

typedef struct learn_opts {
    const double *l2; /* falling */
    uint32_t n_l2;
    uint32_t first; /* where in it to start */
    uint32_t max_iters;
    bool doubt_hints;
    const char *what; /* for progress: "fitting words" */
    const st_progress *progress;
} learn_opts;

/* ret_model [logit_size] fitted on all rows; ret_logp: out of fold, not tempered, the
 * rows of the judged folds one behind the other (room for [n, k]). ST_ENOMEM,
 * ST_ECANCELLED. */
ST_NODISCARD int learn_run(gemm *g, const learn_rows *t, const learn_opts *opts,
                           float *ret_model, float *ret_logp, double *ret_l2,
                           st_err *err);

/* Move the rows of the judged folds to the front of logp [n, k]; their number. */
uint32_t learn_compact(float *logp, const uint8_t *folds, uint32_t n, uint32_t n_judged,
                       uint32_t k);

/* Mean NLL of log-probabilities [n, k] at their best temperature. */
double learn_nll(const float *logp, const int32_t *labels, uint32_t n, uint32_t k);
#endif
