/* stats/logistic.h - multinomial logistic regression on dense or sparse rows.
 *
 * Minimises  sum of weight * -log p(label | row) / sum of weights
 *          + l2 / 2 * |W - prior|^2
 * by L-BFGS.  The model is (d + 1) * K floats: weights of feature f at [f * K], the
 * biases, which are not shrunk, at [d * K].
 *
 * The same rows give the same bytes on any number of threads. */
#ifndef STATS_LOGISTIC_H
#define STATS_LOGISTIC_H
#include "stats/gemm.h"
#include "stats/lbfgs.h"
#include "stats/sparse.h"

typedef struct logit_rows { /* one of dense and sparse is not NULL */
    const float *dense;     /* [n, d] */
    const sparse *sparse;   /* n_rows = n, n_cols = d */
    uint32_t n, d;
} logit_rows;

typedef struct logit_opts {
    double l2;
    const float *prior;   /* [d * K] to shrink towards, or NULL for zero */
    const float *weights; /* [n], or NULL for one each */
    lbfgs_opts search;
} logit_opts;

size_t logit_size(uint32_t d, uint32_t k); /* floats of a model; 0 on overflow */

/* `model` [logit_size] is the starting point and becomes the fit.  Labels in [0, k). */
ST_NODISCARD int logit_fit(gemm *g, const logit_rows *rows, const int32_t *labels,
                           uint32_t k, const logit_opts *opts, float *model,
                           lbfgs_end *ret_end, st_err *err);

/* Natural log-probabilities, ret_logp [n, k]. */
void logit_predict(gemm *g, const logit_rows *rows, uint32_t k, const float *model,
                   float *ret_logp);
#endif
