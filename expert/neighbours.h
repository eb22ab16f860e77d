/* expert/neighbours.h - cosine neighbours among the training rows.
 *
 * Rows are turned into a few leading directions (principal components, evened out a
 * little), and the nearest ones vote with exp((cosine - best) / spread).
 *
 * Threads: the gemm's owner. */
#ifndef EXPERT_NEIGHBOURS_H
#define EXPERT_NEIGHBOURS_H
#include "expert/experts.h"
#include "stats/gemm.h"

/* From scaled rows [n, d]: directions, keys (rounded to F16).  The scaling is taken over
 * by the caller, the labels are copied; k, spread and doubt are left to choose. */
ST_NODISCARD int neighbours_learn(gemm *g, const float *rows, uint32_t n, uint32_t d,
                                  const int32_t *labels, neighbours_model *ret_model,
                                  st_err *err);

/* Choose k, spread and doubt by the NLL out of fold (a row's neighbours are of other
 * folds, folds[n]), and give those log-probabilities: ret_logp [n, options]. */
ST_NODISCARD int neighbours_tune(gemm *g, neighbours_model *m, const uint8_t *folds,
                                 uint32_t n_options, float *ret_logp, st_err *err);

/* Log-probabilities of scaled rows [n, d]: ret_logp [n, options]. */
ST_NODISCARD int neighbours_predict(gemm *g, const neighbours_model *m, const float *rows,
                                    uint32_t n, uint32_t n_options, float *ret_logp,
                                    st_err *err);
#endif
