/* stats/blend.c - the log-linear pool.
 *
 * For one row, with p the pooled distribution and l_e the experts' log-probabilities, the
 * gradient of its NLL is E_p[l_e] - l_e[label] and the Hessian Cov_p(l_e, l_f).  A weight
 * at zero whose gradient pushes it below stays there; the others take a Newton step, cut
 * at zero, halved until the value falls. */
#include "stats/blend.h"

#include "base/mem.h"
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { MAX_STEPS = 60, MAX_HALVINGS = 30 };

typedef struct blend {
    const float *const *logp;
    const int32_t *labels;
    uint32_t n_experts, n, k;
    double pull;
    double *probs; /* [k] of a row */
    double gradient[BLEND_MAX];
    double *hessian; /* [BLEND_MAX, BLEND_MAX] */
} blend;

void blend_row(const float *const *logp, uint32_t n_experts, const double *weights,
               uint32_t k, double *ret_probs)
{
    double top = -HUGE_VAL, sum = 0;
    memset(ret_probs, 0, k * sizeof *ret_probs);
    for (uint32_t e = 0; e < n_experts; e++)
        for (uint32_t j = 0; weights[e] > 0 && j < k; j++)
            ret_probs[j] += weights[e] * (double)logp[e][j];
    for (uint32_t j = 0; j < k; j++)
        top = fmax(top, ret_probs[j]);
    for (uint32_t j = 0; j < k; j++)
        sum += ret_probs[j] = exp(ret_probs[j] - top);
    for (uint32_t j = 0; j < k; j++)
        ret_probs[j] /= sum;
}

static void row_pointers(const blend *b, uint32_t row, const float **out)
{
    for (uint32_t e = 0; e < b->n_experts; e++)
        out[e] = b->logp[e] + (size_t)row * b->k;
}

static void add_slopes(blend *b, const float *const *l, int32_t label)
{
    double mean[BLEND_MAX];
    for (uint32_t e = 0; e < b->n_experts; e++) {
        mean[e] = 0;
        for (uint32_t j = 0; j < b->k; j++)
            mean[e] += b->probs[j] * (double)l[e][j];
        b->gradient[e] += mean[e] - (double)l[e][label];
    }
    for (uint32_t e = 0; e < b->n_experts; e++)
        for (uint32_t f = 0; f <= e; f++) {
            double both = 0;
            for (uint32_t j = 0; j < b->k; j++)
                both += b->probs[j] * (double)l[e][j] * (double)l[f][j];
            b->hessian[e * BLEND_MAX + f] += both - mean[e] * mean[f];
        }
}

/* The value at w; gradient and Hessian too when asked. */
static double value_at(blend *b, const double *w, bool slopes)
{
    const float *l[BLEND_MAX];
    double value = 0, even = 1.0 / b->n_experts;
    if (slopes) {
        memset(b->gradient, 0, sizeof b->gradient);
        memset(b->hessian, 0, BLEND_MAX * BLEND_MAX * sizeof *b->hessian);
    }
    for (uint32_t r = 0; r < b->n; r++) {
        row_pointers(b, r, l);
        blend_row(l, b->n_experts, w, b->k, b->probs);
        value -= log(fmax(b->probs[b->labels[r]], 1e-300));
        if (slopes)
            add_slopes(b, l, b->labels[r]);
    }
    for (uint32_t e = 0; e < b->n_experts; e++) {
        double off = w[e] - even;
        value += b->pull / 2 * off * off;
        if (slopes) {
            b->gradient[e] += b->pull * off;
            b->hessian[e * BLEND_MAX + e] += b->pull;
        }
    }
    return value;
}

/* Solve the free part of the Hessian for the gradient by Gaussian elimination without
 * pivoting (it is positive definite); step[e] is 0 for fixed weights. */
static void newton_step(const blend *b, const bool *fixed, double *step)
{
    double a[BLEND_MAX][BLEND_MAX + 1];
    uint32_t n = b->n_experts;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            double h = b->hessian[(i > j ? i : j) * BLEND_MAX + (i > j ? j : i)];
            a[i][j] = fixed[i] || fixed[j] ? (double)(i == j) : h + (i == j) * 1e-9;
        }
        a[i][n] = fixed[i] ? 0 : b->gradient[i];
    }
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t i = p + 1; i < n; i++) {
            double f = a[i][p] / a[p][p];
            for (uint32_t j = p; j <= n; j++)
                a[i][j] -= f * a[p][j];
        }
    for (uint32_t i = n; i-- > 0;) {
        step[i] = a[i][n];
        for (uint32_t j = i + 1; j < n; j++)
            step[i] -= a[i][j] * step[j];
        step[i] /= a[i][i];
    }
}

/* Go from w along -step, cut at zero, as far as the value falls. */
static bool descend(blend *b, const double *step, double *w, double *value)
{
    double next[BLEND_MAX], size = 1;
    for (int i = 0; i < MAX_HALVINGS; i++, size /= 2) {
        for (uint32_t e = 0; e < b->n_experts; e++)
            next[e] = fmax(0, w[e] - size * step[e]);
        double v = value_at(b, next, false);
        if (v < *value - 1e-9 * fabs(*value)) {
            *value = v;
            memcpy(w, next, b->n_experts * sizeof *w);
            return true;
        }
    }
    return false;
}

/* One step from w with value *value; false at the minimum.  Where the cut spoils Newton's
 * direction, the gradient scaled by the diagonal still descends. */
static bool improve(blend *b, double *w, double *value)
{
    bool fixed[BLEND_MAX];
    double step[BLEND_MAX];
    value_at(b, w, true);
    for (uint32_t e = 0; e < b->n_experts; e++)
        fixed[e] = w[e] <= 0 && b->gradient[e] >= 0;
    newton_step(b, fixed, step);
    if (descend(b, step, w, value))
        return true;
    for (uint32_t e = 0; e < b->n_experts; e++)
        step[e] = fixed[e] ? 0 : b->gradient[e] / (b->hessian[e * BLEND_MAX + e] + 1e-9);
    return descend(b, step, w, value);
}

int blend_fit(const float *const *logp, uint32_t n_experts, const int32_t *labels,
              uint32_t n, uint32_t k, double pull, double *ret_weights, st_err *err)
{
    blend b = {.logp = logp,
               .labels = labels,
               .n_experts = n_experts,
               .n = n,
               .k = k,
               .pull = pull};
    if (n_experts == 0 || n_experts > BLEND_MAX || n == 0)
        return st_err_set(err, ST_EINVAL, "pool: %u experts, %u rows", n_experts, n);
    double w[BLEND_MAX];
    b.probs = st_alloc_n(k, sizeof *b.probs);
    b.hessian = st_alloc_n(BLEND_MAX * BLEND_MAX, sizeof *b.hessian);
    int code = b.probs && b.hessian ? 0 : ST_ENOMEM;
    if (code) {
        st_err_set(err, code, "pool: out of memory");
        goto done;
    }
    for (uint32_t e = 0; e < n_experts; e++)
        w[e] = 1.0 / n_experts;
    double value = value_at(&b, w, false);
    for (int i = 0; i < MAX_STEPS && improve(&b, w, &value); i++)
        ;
    memcpy(ret_weights, w, n_experts * sizeof *w);
done:
    st_free(b.probs);
    st_free(b.hessian);
    return code;
}
