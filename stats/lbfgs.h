/* stats/lbfgs.h - minimise a smooth function of many variables.
 *
 * Limited-memory BFGS (Nocedal 1980) with a bisection line search for the weak Wolfe
 * conditions (Lewis and Overton 2013), which keeps every curvature pair positive.
 * Variables are floats, sums are doubles: good for the tolerances a fit needs.
 *
 * Threads: the caller's.  Memory: 2 * history + 4 vectors while it runs. */
#ifndef STATS_LBFGS_H
#define STATS_LBFGS_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* The value at x, and the gradient in ret_gradient[n]. */
typedef double lbfgs_fn(void *arg, const float *x, float *ret_gradient);

typedef struct lbfgs_opts {
    uint32_t max_iters; /* 0: 100 */
    uint32_t history;   /* 0: 6 */
    double tolerance;   /* stop when an iteration improves less than this share of the
                         * value, or the gradient is that small; 0: 1e-6 */
} lbfgs_opts;

typedef struct lbfgs_end {
    double value;
    uint32_t n_iters;
    uint32_t n_calls;
} lbfgs_end;

/* Minimise from x, which becomes the best point found.  ST_ENOMEM; ST_EINVAL when the
 * function is not finite at the start.  ret_end may be NULL. */
ST_NODISCARD int lbfgs_run(size_t n, float *x, lbfgs_fn *fn, void *arg,
                           const lbfgs_opts *opts, lbfgs_end *ret_end, st_err *err);
#endif
