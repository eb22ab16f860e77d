/* stats/lda.c - linear discriminant analysis.
 *
 * W = S^-1 means, bias = log prior - 1/2 mean^T S^-1 mean.  S is factored once in doubles
 * (S = L L^T) and solved for each label. */
#include "stats/lda.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

#define NO_ROWS (-1e4f) /* bias of a label without rows: no chance, yet finite */

typedef struct lda {
    uint32_t n, d, k;
    const float *rows;
    const int32_t *labels;
    double *means;   /* [k, d] */
    uint32_t *count; /* [k] */
    float *centred;  /* [n, d] rows minus their label's mean */
    float *gram;     /* [d, d] */
    double *factor;  /* [d, d], lower triangle */
    double *solved;  /* [d] */
} lda;

static int lda_alloc(lda *t)
{
    size_t nd, kd, dd;
    if (!st_mul_ok(t->n, t->d, &nd) || !st_mul_ok(t->k, t->d, &kd) ||
        !st_mul_ok(t->d, t->d, &dd))
        return ST_ENOMEM;
    t->means = st_zalloc_n(kd, sizeof *t->means);
    t->count = st_zalloc_n(t->k, sizeof *t->count);
    t->centred = st_alloc_n(nd, sizeof *t->centred);
    t->gram = st_alloc_n(dd, sizeof *t->gram);
    t->factor = st_alloc_n(dd, sizeof *t->factor);
    t->solved = st_alloc_n(t->d, sizeof *t->solved);
    return t->means && t->count && t->centred && t->gram && t->factor && t->solved
               ? 0
               : ST_ENOMEM;
}

static void lda_done(lda *t)
{
    st_free(t->means);
    st_free(t->count);
    st_free(t->centred);
    st_free(t->gram);
    st_free(t->factor);
    st_free(t->solved);
}

static void centre(lda *t)
{
    for (uint32_t r = 0; r < t->n; r++) {
        double *mean = t->means + (size_t)t->labels[r] * t->d;
        t->count[t->labels[r]]++;
        for (uint32_t f = 0; f < t->d; f++)
            mean[f] += (double)t->rows[(size_t)r * t->d + f];
    }
    for (uint32_t l = 0; l < t->k; l++)
        for (uint32_t f = 0; f < t->d && t->count[l]; f++)
            t->means[(size_t)l * t->d + f] /= t->count[l];
    for (uint32_t r = 0; r < t->n; r++) {
        const double *mean = t->means + (size_t)t->labels[r] * t->d;
        const float *row = t->rows + (size_t)r * t->d;
        for (uint32_t f = 0; f < t->d; f++)
            t->centred[(size_t)r * t->d + f] = (float)((double)row[f] - mean[f]);
    }
}

/* Lower Cholesky factor in place; false when not positive. */
static bool cholesky(double *a, uint32_t d)
{
    for (uint32_t i = 0; i < d; i++) {
        double *ri = a + (size_t)i * d;
        for (uint32_t j = 0; j <= i; j++) {
            const double *rj = a + (size_t)j * d;
            double s[4] = {0};
            uint32_t p = 0;
            for (; p + 4 <= j; p += 4)
                for (int q = 0; q < 4; q++)
                    s[q] += ri[p + q] * rj[p + q];
            double sum = ri[j] - (s[0] + s[1] + s[2] + s[3]);
            for (; p < j; p++)
                sum -= ri[p] * rj[p];
            if (j == i && !(sum > 0))
                return false;
            ri[j] = j == i ? sqrt(sum) : sum / rj[j];
        }
    }
    return true;
}

static bool factor(lda *t, double shrink)
{
    double trace = 0;
    for (uint32_t f = 0; f < t->d; f++)
        trace += (double)t->gram[(size_t)f * t->d + f];
    double ridge = shrink * trace / t->n / t->d;
    for (size_t i = 0; i < (size_t)t->d * t->d; i++)
        t->factor[i] = (1 - shrink) * (double)t->gram[i] / t->n;
    for (uint32_t f = 0; f < t->d; f++)
        t->factor[(size_t)f * t->d + f] += ridge;
    return ridge > 0 && cholesky(t->factor, t->d);
}

static void solve(lda *t, const double *mean)
{
    uint32_t d = t->d;
    double *x = t->solved;
    for (uint32_t i = 0; i < d; i++) {
        double sum = mean[i];
        for (uint32_t j = 0; j < i; j++)
            sum -= t->factor[(size_t)i * d + j] * x[j];
        x[i] = sum / t->factor[(size_t)i * d + i];
    }
    for (uint32_t i = d; i-- > 0;) {
        x[i] /= t->factor[(size_t)i * d + i];
        for (uint32_t j = 0; j < i; j++)
            x[j] -= t->factor[(size_t)i * d + j] * x[i];
    }
}

static void write_label(lda *t, uint32_t l, float *model)
{
    const double *mean = t->means + (size_t)l * t->d;
    double half = 0;
    solve(t, mean);
    for (uint32_t f = 0; f < t->d; f++) {
        model[(size_t)f * t->k + l] = (float)t->solved[f];
        half += t->solved[f] * mean[f] / 2;
    }
    double prior = log((double)t->count[l] / t->n);
    model[(size_t)t->d * t->k + l] = t->count[l] ? (float)(prior - half) : NO_ROWS;
}

int lda_fit(gemm *g, const float *rows, uint32_t n, uint32_t d, const int32_t *labels,
            uint32_t k, double shrink, float *model, st_err *err)
{
    lda t = {.n = n, .d = d, .k = k, .rows = rows, .labels = labels};
    int code = lda_alloc(&t);
    if (code) {
        st_err_set(err, code, "discriminant analysis: out of memory");
        goto done;
    }
    centre(&t);
    gemm_run(g, d, d, n, gemm_turned(t.centred, d), gemm_rows(t.centred, d), t.gram, d,
             false);
    if (!factor(&t, shrink)) {
        code = st_err_set(err, ST_EINVAL, "discriminant analysis: rows do not vary");
        goto done;
    }
    for (uint32_t l = 0; l < k; l++)
        write_label(&t, l, model);
done:
    lda_done(&t);
    return code;
}
