/* stats/lbfgs.c - limited-memory BFGS.
 *
 * The last `history` pairs of step s and gradient change y stand for the inverse Hessian;
 * the two-loop recursion turns a gradient into a direction.  Pairs live in a ring of
 * vectors taken at the start. */
#include "stats/lbfgs.h"

#include "base/mem.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_TRIES = 20 };

#define ARMIJO 1e-4   /* share of the promised decrease that a step must bring */
#define CURVATURE 0.9 /* share of the slope that may be left after a step */

typedef struct state {
    size_t n;
    uint32_t history;
    uint32_t n_pairs; /* in use, at most history */
    uint32_t next;    /* ring position of the next pair */
    float *x;
    float *gradient, *direction, *trial, *trial_gradient; /* [n] each */
    float *s, *y;                                         /* [history, n] each */
    double *rho, *alpha;                                  /* [history] each */
    lbfgs_fn *fn;
    void *arg;
    double value;
    uint32_t n_calls;
} state;

static double dot(const float *a, const float *b, size_t n)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += (double)a[i + j] * (double)b[i + j];
    double sum = 0;
    for (; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    for (int j = 0; j < 8; j++)
        sum += lane[j];
    return sum;
}

static void add_scaled(float *x, double scale, const float *y, size_t n)
{
    float f = (float)scale;
    for (size_t i = 0; i < n; i++)
        x[i] += f * y[i];
}

static int state_new(state *st)
{
    size_t n = st->n, h = st->history;
    st->gradient = st_alloc_n(n, sizeof(float));
    st->direction = st_alloc_n(n, sizeof(float));
    st->trial = st_alloc_n(n, sizeof(float));
    st->trial_gradient = st_alloc_n(n, sizeof(float));
    size_t pairs;
    bool fits = st_mul_ok(n, h, &pairs);
    st->s = fits ? st_alloc_n(pairs, sizeof(float)) : NULL;
    st->y = fits ? st_alloc_n(pairs, sizeof(float)) : NULL;
    st->rho = st_alloc_n(h, sizeof(double));
    st->alpha = st_alloc_n(h, sizeof(double));
    bool ok = st->gradient && st->direction && st->trial && st->trial_gradient && st->s &&
              st->y && st->rho && st->alpha;
    return ok ? 0 : ST_ENOMEM;
}

static void state_done(state *st)
{
    st_free(st->gradient);
    st_free(st->direction);
    st_free(st->trial);
    st_free(st->trial_gradient);
    st_free(st->s);
    st_free(st->y);
    st_free(st->rho);
    st_free(st->alpha);
}

static uint32_t pair_at(const state *st, uint32_t age) /* 0: the latest */
{
    return (st->next + st->history - 1 - age) % st->history;
}

/* direction = -H gradient. */
static void find_direction(state *st)
{
    size_t n = st->n;
    for (size_t i = 0; i < n; i++)
        st->direction[i] = -st->gradient[i];
    for (uint32_t age = 0; age < st->n_pairs; age++) {
        uint32_t p = pair_at(st, age);
        st->alpha[p] = st->rho[p] * dot(st->s + p * n, st->direction, n);
        add_scaled(st->direction, -st->alpha[p], st->y + p * n, n);
    }
    double scale;
    if (st->n_pairs > 0) {
        uint32_t p = pair_at(st, 0);
        scale = 1 / (st->rho[p] * dot(st->y + p * n, st->y + p * n, n));
    } else {
        scale = 1 / fmax(sqrt(dot(st->gradient, st->gradient, n)), 1e-30);
    }
    for (size_t i = 0; i < n; i++)
        st->direction[i] *= (float)scale;
    for (uint32_t age = st->n_pairs; age-- > 0;) {
        uint32_t p = pair_at(st, age);
        double beta = st->rho[p] * dot(st->y + p * n, st->direction, n);
        add_scaled(st->direction, st->alpha[p] - beta, st->s + p * n, n);
    }
}

/* Move along the direction until the weak Wolfe conditions hold; the trial point and its
 * gradient are left for the caller.  False when no lower point was found. */
static bool line_search(state *st, double slope, double *ret_value)
{
    double low = 0, high = HUGE_VAL, step = 1;
    for (int i = 0; i < LINE_TRIES; i++) {
        memcpy(st->trial, st->x, st->n * sizeof(float));
        add_scaled(st->trial, step, st->direction, st->n);
        double value = st->fn(st->arg, st->trial, st->trial_gradient);
        st->n_calls++;
        if (!(value <= st->value + ARMIJO * step * slope)) {
            high = step;
        } else if (dot(st->trial_gradient, st->direction, st->n) < CURVATURE * slope) {
            low = step;
        } else {
            *ret_value = value;
            return true;
        }
        step = isfinite(high) ? (low + high) / 2 : 2 * low;
    }
    return false;
}

/* Take the trial point and remember the pair. */
static void accept_trial(state *st, double value)
{
    size_t n = st->n;
    float *s = st->s + st->next * n, *y = st->y + st->next * n;
    for (size_t i = 0; i < n; i++) {
        s[i] = st->trial[i] - st->x[i];
        y[i] = st->trial_gradient[i] - st->gradient[i];
    }
    memcpy(st->x, st->trial, n * sizeof(float));
    memcpy(st->gradient, st->trial_gradient, n * sizeof(float));
    st->value = value;
    double sy = dot(s, y, n);
    if (sy <= 1e-30) /* rounding ate the curvature: go on without this pair */
        return;
    st->rho[st->next] = 1 / sy;
    st->next = (st->next + 1) % st->history;
    if (st->n_pairs < st->history)
        st->n_pairs++;
}

static uint32_t minimise(state *st, uint32_t max_iters, double tolerance)
{
    uint32_t small = 0, iter = 0;
    while (iter < max_iters) {
        double size = sqrt(dot(st->gradient, st->gradient, st->n));
        if (size <= tolerance * 1e-2)
            break;
        find_direction(st);
        double slope = dot(st->gradient, st->direction, st->n), value;
        if (!(slope < 0) || !line_search(st, slope, &value)) {
            if (st->n_pairs == 0)
                break;
            st->n_pairs = 0; /* the memory misled us: start again from the gradient */
            continue;
        }
        double gain = st->value - value;
        accept_trial(st, value);
        iter++;
        small = gain <= tolerance * fmax(fabs(value), 1e-12) ? small + 1 : 0;
        if (small == 2)
            break;
    }
    return iter;
}

int lbfgs_run(size_t n, float *x, lbfgs_fn *fn, void *arg, const lbfgs_opts *opts,
              lbfgs_end *ret_end, st_err *err)
{
    state st = {.n = n, .x = x, .fn = fn, .arg = arg};
    st.history = opts && opts->history ? opts->history : 6;
    uint32_t max_iters = opts && opts->max_iters ? opts->max_iters : 100;
    double tolerance = opts && opts->tolerance > 0 ? opts->tolerance : 1e-6;
    int code = state_new(&st);
    if (code) {
        st_err_set(err, code, "minimise: out of memory for %zu variables", n);
        goto done;
    }
    st.value = fn(arg, x, st.gradient);
    st.n_calls = 1;
    if (!isfinite(st.value)) {
        code = st_err_set(err, ST_EINVAL, "minimise: not finite at the start");
        goto done;
    }
    uint32_t iters = minimise(&st, max_iters, tolerance);
    if (ret_end)
        *ret_end = (lbfgs_end){st.value, iters, st.n_calls};
done:
    state_done(&st);
    return code;
}
