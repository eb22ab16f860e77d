/* stats/lda.h - linear discriminant analysis with a shrunk covariance.
 *
 * Every label is a Gaussian with its own mean and one covariance for all,
 * (1 - shrink) * pooled + shrink * (mean variance) * identity.  Closed form: one matrix
 * product and one Cholesky factor, so it screens many candidate features quickly.  The
 * result is a model of logistic.h's shape.
 *
 * Threads: the gemm's owner. */
#ifndef STATS_LDA_H
#define STATS_LDA_H
#include "stats/logistic.h"

/* `shrink` in (0, 1].  Dense rows [n, d]; a label without rows gets a bias that rules it
 * out.  model [logit_size(d, k)].  ST_ENOMEM; ST_EINVAL when the covariance is zero. */
ST_NODISCARD int lda_fit(gemm *g, const float *rows, uint32_t n, uint32_t d,
                         const int32_t *labels, uint32_t k, double shrink, float *model,
                         st_err *err);
#endif
