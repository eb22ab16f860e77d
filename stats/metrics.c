/* stats/metrics.c - accuracy, F1, NLL, Brier, calibration error and its noise floor. */
#include "stats/metrics.h"

#include "base/mem.h"
#include "base/rng.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NOISE_DRAWS = 200 };
#define NOISE_SEED 20261121u

uint32_t metrics_answer(const double *probs, uint32_t k)
{
    uint32_t best = 0;
    for (uint32_t j = 1; j < k; j++)
        if (probs[j] > probs[best])
            best = j;
    return best;
}

static uint32_t bin_of(double confidence)
{
    double at = confidence * METRICS_BINS;
    if (!(at > 0))
        return 0;
    return at >= METRICS_BINS ? METRICS_BINS - 1 : (uint32_t)at;
}

double metrics_ece(const double *confidence, const unsigned char *right, uint32_t n)
{
    double off[METRICS_BINS] = {0}, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        off[bin_of(confidence[i])] += confidence[i] - right[i];
    for (int b = 0; b < METRICS_BINS; b++)
        sum += fabs(off[b]);
    return n ? sum / n : 0;
}

typedef struct judged {
    double confidence;
    uint32_t row; /* breaks ties, so that the order is one */
    unsigned char right;
} judged;

static int by_confidence(const void *a, const void *b)
{
    const judged *x = a, *y = b;
    if (x->confidence != y->confidence)
        return x->confidence < y->confidence ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

int metrics_ece_mass(const double *confidence, const unsigned char *right, uint32_t n,
                     double *ret_ece, st_err *err)
{
    judged *rows = st_alloc_n(n, sizeof *rows);
    if (!rows)
        return st_err_set(err, ST_ENOMEM, "metrics: out of memory");
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (judged){confidence[i], i, right[i]};
    qsort(rows, n, sizeof *rows, by_confidence);
    double sum = 0;
    for (uint64_t b = 0; b < METRICS_BINS; b++) {
        double off = 0;
        for (uint64_t i = b * n / METRICS_BINS; i < (b + 1) * n / METRICS_BINS; i++)
            off += rows[i].confidence - rows[i].right;
        sum += fabs(off);
    }
    st_free(rows);
    *ret_ece = n ? sum / n : 0;
    return 0;
}

int metrics_ece_noise(const double *confidence, uint32_t n, double *ret_ece, st_err *err)
{
    unsigned char *right = st_alloc_n(n, 1);
    if (!right)
        return st_err_set(err, ST_ENOMEM, "metrics: out of memory");
    st_rng rng = {NOISE_SEED};
    double sum = 0;
    for (int d = 0; d < NOISE_DRAWS; d++) {
        for (uint32_t i = 0; i < n; i++)
            right[i] = st_rng_unit(&rng) < confidence[i];
        sum += metrics_ece(confidence, right, n);
    }
    st_free(right);
    *ret_ece = sum / NOISE_DRAWS;
    return 0;
}

static void count_labels(const double *probs, const int32_t *labels, uint32_t n,
                         uint32_t k, metrics_label *count)
{
    memset(count, 0, k * sizeof *count);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t answer = metrics_answer(probs + (size_t)i * k, k);
        count[labels[i]].n_true++;
        count[answer].n_predicted++;
        count[answer].n_right += answer == (uint32_t)labels[i];
    }
    for (uint32_t j = 0; j < k; j++) {
        metrics_label *l = &count[j];
        l->precision = l->n_predicted ? (double)l->n_right / l->n_predicted : 0;
        l->recall = l->n_true ? (double)l->n_right / l->n_true : 0;
        uint32_t both = l->n_true + l->n_predicted;
        l->f1 = both ? 2.0 * l->n_right / both : 0;
    }
}

static double mean_f1(const metrics_label *count, uint32_t k)
{
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t j = 0; j < k; j++) {
        if (count[j].n_true + count[j].n_predicted == 0)
            continue;
        sum += count[j].f1;
        n++;
    }
    return n ? sum / n : 0;
}

static double row_brier(const double *probs, int32_t label, uint32_t k)
{
    double sum = 0;
    for (uint32_t j = 0; j < k; j++) {
        double off = probs[j] - (j == (uint32_t)label);
        sum += off * off;
    }
    return sum;
}

static int judge_rows(const double *probs, const int32_t *labels, uint32_t n, uint32_t k,
                      double *confidence, unsigned char *right, metrics *m, st_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const double *p = probs + (size_t)i * k;
        uint32_t answer = metrics_answer(p, k);
        confidence[i] = p[answer];
        right[i] = answer == (uint32_t)labels[i];
        m->accuracy += (double)right[i] / n;
        m->confidence += confidence[i] / n;
        m->nll -= log(fmax(p[labels[i]], METRICS_FLOOR)) / n;
        m->brier += row_brier(p, labels[i], k) / n;
    }
    m->ece = metrics_ece(confidence, right, n);
    int code = metrics_ece_mass(confidence, right, n, &m->ece_mass, err);
    return code ? code : metrics_ece_noise(confidence, n, &m->ece_noise, err);
}

int metrics_of(const double *probs, const int32_t *labels, uint32_t n, uint32_t k,
               metrics *ret_metrics, metrics_label *ret_labels, st_err *err)
{
    metrics m = {.n = n};
    metrics_label *count = st_alloc_n(k, sizeof *count);
    double *confidence = st_alloc_n(n, sizeof *confidence);
    unsigned char *right = st_alloc_n(n, 1);
    int code = count && confidence && right ? 0 : ST_ENOMEM;
    if (code)
        st_err_set(err, code, "metrics: out of memory");
    else
        code = judge_rows(probs, labels, n, k, confidence, right, &m, err);
    if (!code) {
        count_labels(probs, labels, n, k, count);
        m.macro_f1 = mean_f1(count, k);
        *ret_metrics = m;
        if (ret_labels)
            memcpy(ret_labels, count, k * sizeof *count);
    }
    st_free(count);
    st_free(confidence);
    st_free(right);
    return code;
}

metrics_interval metrics_wilson(uint32_t right, uint32_t n, double z)
{
    double p = (double)right / n, zz = z * z / n;
    double mid = (p + zz / 2) / (1 + zz);
    double half = z * sqrt(p * (1 - p) / n + zz / (4.0 * n)) / (1 + zz);
    return (metrics_interval){fmax(0, mid - half), fmin(1, mid + half)};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int metrics_bootstrap(const double *values, uint32_t n, uint32_t draws, double level,
                      uint64_t seed, metrics_interval *ret_interval, st_err *err)
{
    if (n == 0 || draws == 0 || !(level > 0 && level < 1))
        return st_err_set(err, ST_EINVAL, "bootstrap: no rows, no draws, or level %g",
                          level);
    double *means = st_zalloc_n(draws, sizeof *means);
    if (!means)
        return st_err_set(err, ST_ENOMEM, "bootstrap: out of memory");
    st_rng rng = {seed};
    for (uint32_t d = 0; d < draws; d++)
        for (uint32_t i = 0; i < n; i++)
            means[d] += values[st_rng_below(&rng, n)] / n;
    qsort(means, draws, sizeof *means, by_value);
    double tail = (1 - level) / 2 * (draws - 1);
    *ret_interval = (metrics_interval){means[(uint32_t)(tail + 0.5)],
                                       means[(uint32_t)(draws - 1 - tail + 0.5)]};
    st_free(means);
    return 0;
}
