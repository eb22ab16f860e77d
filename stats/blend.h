/* stats/blend.h - join distributions: a log-linear pool.
 *
 * log p(label) = sum over experts of weight[e] * log p_e(label) + const.  Weights are not
 * negative; their sum is one over the pool's temperature.  Fitted by NLL, which is convex
 * in the weights: projected Newton steps.
 *
 * Threads: any. */
#ifndef STATS_BLEND_H
#define STATS_BLEND_H
#include "base/err.h"
#include <stdint.h>

enum { BLEND_MAX = 64 };

/* logp[e] is [n, k]; entries must be finite.  `pull` > 0 draws the weights towards one
 * over n_experts each, with the force of that many rows.  ret_weights[n_experts].
 * ST_ENOMEM, ST_EINVAL for more than BLEND_MAX experts or no rows. */
ST_NODISCARD int blend_fit(const float *const *logp, uint32_t n_experts,
                           const int32_t *labels, uint32_t n, uint32_t k, double pull,
                           double *ret_weights, st_err *err);

/* The pooled distribution of one row: logp[e] points at its k numbers. */
void blend_row(const float *const *logp, uint32_t n_experts, const double *weights,
               uint32_t k, double *ret_probs);
#endif
