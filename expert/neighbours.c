/* expert/neighbours.c - cosine neighbours among the training rows.
 *
 * Directions come from subspace iteration on the rows' covariance: multiply a random
 * basis by it, make it orthonormal, again.  Each is scaled by its variance to the power
 * -1/4, half way to whitening.  Similarities are matrix products, block by block. */
#include "expert/neighbours.h"

#include "base/dtype.h"
#include "base/mem.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

enum {
    DIRECTIONS = 128,
    ROUNDS = 12,
    BLOCK = 256,    /* rows compared at once */
    MOST_NEAR = 24, /* neighbours kept of each row */
    BASIS_SEED = 1729,
};

typedef struct near_list { /* the nearest so far, best first */
    float cosine[MOST_NEAR];
    uint32_t row[MOST_NEAR];
    uint32_t n;
} near_list;

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "neighbours: out of memory");
}

/* Make the r columns of basis [d, r] orthonormal (modified Gram-Schmidt).  `turned` has
 * room for [r, d] doubles. */
static void orthonormal(float *basis, uint32_t d, uint32_t r, double *turned)
{
    for (uint32_t c = 0; c < r; c++) {
        double *v = turned + (size_t)c * d, norm = 0;
        for (uint32_t f = 0; f < d; f++)
            v[f] = (double)basis[(size_t)f * r + c];
        for (uint32_t p = 0; p < c; p++) {
            const double *u = turned + (size_t)p * d;
            double along = 0;
            for (uint32_t f = 0; f < d; f++)
                along += u[f] * v[f];
            for (uint32_t f = 0; f < d; f++)
                v[f] -= along * u[f];
        }
        for (uint32_t f = 0; f < d; f++)
            norm += v[f] * v[f];
        double scale = norm > 1e-24 ? 1 / sqrt(norm) : 0;
        for (uint32_t f = 0; f < d; f++) {
            v[f] *= scale;
            basis[(size_t)f * r + c] = (float)v[f];
        }
    }
}

/* Scale direction c by (v^T C v)^-1/4; `image` is C times the basis. */
static void even_out(float *basis, const float *image, uint32_t d, uint32_t r)
{
    for (uint32_t c = 0; c < r; c++) {
        double variance = 0;
        for (uint32_t f = 0; f < d; f++)
            variance +=
                (double)basis[(size_t)f * r + c] * (double)image[(size_t)f * r + c];
        float scale = variance > 1e-12 ? (float)pow(variance, -0.25) : 0;
        for (uint32_t f = 0; f < d; f++)
            basis[(size_t)f * r + c] *= scale;
    }
}

static int find_basis(gemm *g, const float *rows, uint32_t n, uint32_t d, uint32_t r,
                      float *basis, st_err *err)
{
    size_t dd;
    bool fits = st_mul_ok(d, d, &dd);
    float *gram = fits ? st_alloc_n(dd, sizeof *gram) : NULL;
    float *image = st_alloc_n((size_t)d * r, sizeof *image);
    double *turned = st_alloc_n((size_t)d * r, sizeof *turned);
    int code = gram && image && turned ? 0 : out_of_memory(err);
    if (!code) {
        st_rng rng = {BASIS_SEED};
        for (size_t i = 0; i < (size_t)d * r; i++)
            basis[i] = (float)(st_rng_unit(&rng) - 0.5);
        gemm_run(g, d, d, n, gemm_turned(rows, d), gemm_rows(rows, d), gram, d, false);
        orthonormal(basis, d, r, turned);
        for (int i = 0; i < ROUNDS; i++) {
            gemm_run(g, d, r, d, gemm_rows(gram, d), gemm_rows(basis, r), image, r,
                     false);
            memcpy(basis, image, (size_t)d * r * sizeof *basis);
            orthonormal(basis, d, r, turned);
        }
        gemm_run(g, d, r, d, gemm_rows(gram, d), gemm_rows(basis, r), image, r, false);
        even_out(basis, image, d, r);
    }
    st_free(gram);
    st_free(image);
    st_free(turned);
    return code;
}

static void make_keys(gemm *g, const neighbours_model *m, const float *rows, uint32_t n,
                      uint32_t d, float *keys)
{
    gemm_run(g, n, m->r, d, gemm_rows(rows, d), gemm_rows(m->basis, m->r), keys, m->r,
             false);
    for (uint32_t i = 0; i < n; i++) {
        float *key = keys + (size_t)i * m->r;
        double sum = 0;
        for (uint32_t j = 0; j < m->r; j++)
            sum += (double)key[j] * (double)key[j];
        float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
        for (uint32_t j = 0; j < m->r; j++)
            key[j] *= scale;
    }
}

int neighbours_learn(gemm *g, const float *rows, uint32_t n, uint32_t d,
                     const int32_t *labels, neighbours_model *ret_model, st_err *err)
{
    neighbours_model m = {.n = n, .r = d < DIRECTIONS ? d : DIRECTIONS};
    m.basis = st_alloc_n((size_t)d * m.r, sizeof *m.basis);
    m.keys = st_alloc_n((size_t)n * m.r, sizeof *m.keys);
    m.labels = st_dup(labels, n * sizeof *labels);
    int code = m.basis && m.keys && m.labels ? 0 : out_of_memory(err);
    if (!code)
        code = find_basis(g, rows, n, d, m.r, m.basis, err);
    if (code) {
        st_free(m.basis);
        st_free(m.keys);
        st_free(m.labels);
        return code;
    }
    make_keys(g, &m, rows, n, d, m.keys);
    for (size_t i = 0; i < (size_t)n * m.r; i++)
        m.keys[i] = st_f16_to_f32(st_f32_to_f16(m.keys[i]));
    *ret_model = m;
    return 0;
}

static void near_add(near_list *list, float cosine, uint32_t row)
{
    uint32_t at = list->n;
    if (at == MOST_NEAR) {
        if (cosine <= list->cosine[MOST_NEAR - 1])
            return;
        at--;
    } else {
        list->n++;
    }
    for (; at > 0 && list->cosine[at - 1] < cosine; at--) {
        list->cosine[at] = list->cosine[at - 1];
        list->row[at] = list->row[at - 1];
    }
    list->cosine[at] = cosine;
    list->row[at] = row;
}

/* The nearest remembered rows of n keys; with `folds`, key i is remembered row first + i
 * and rows of its fold do not count. */
typedef struct near_job {
    const neighbours_model *m;
    const float *cosines; /* [n, m->n] */
    uint32_t first;
    const uint8_t *folds; /* NULL: every row counts */
    near_list *lists;
} near_job;

static void near_chunk(void *arg, uint32_t i, uint32_t worker)
{
    const near_job *job = arg;
    const float *cosine = job->cosines + (size_t)i * job->m->n;
    near_list *list = &job->lists[i];
    (void)worker;
    list->n = 0;
    for (uint32_t row = 0; row < job->m->n; row++)
        if (!job->folds || job->folds[row] != job->folds[job->first + i])
            near_add(list, cosine[row], row);
}

static void find_near(gemm *g, const neighbours_model *m, const float *keys, uint32_t n,
                      uint32_t first, const uint8_t *folds, float *cosines,
                      near_list *lists)
{
    near_job job = {m, cosines, first, folds, lists};
    gemm_run(g, n, m->n, m->r, gemm_rows(keys, m->r), gemm_turned(m->keys, m->r), cosines,
             m->n, false);
    if (gemm_workers(g)) {
        workers_run(gemm_workers(g), n, near_chunk, &job);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        near_chunk(&job, i, 0);
}

static void vote(const neighbours_model *m, const near_list *list, uint32_t n_options,
                 float *logp)
{
    double share[QUESTION_MAX_OPTIONS] = {0}, sum = 0;
    for (uint32_t i = 0; i < list->n && i < m->k; i++) {
        double v = exp((double)(list->cosine[i] - list->cosine[0]) / m->spread);
        share[m->labels[list->row[i]]] += v;
        sum += v;
    }
    for (uint32_t j = 0; j < n_options; j++) {
        double p = sum > 0 ? share[j] / sum : 1.0 / n_options;
        logp[j] = (float)log((1 - m->doubt) * p + m->doubt / n_options);
    }
}

static double mean_nll(const neighbours_model *m, const near_list *lists,
                       uint32_t n_options)
{
    float logp[QUESTION_MAX_OPTIONS];
    double sum = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        vote(m, &lists[i], n_options, logp);
        sum -= (double)logp[m->labels[i]];
    }
    return sum / m->n;
}

static void choose(neighbours_model *m, const near_list *lists, uint32_t n_options)
{
    static const uint32_t ks[] = {4, 10, 24};
    static const double spreads[] = {0.02, 0.035, 0.05, 0.08, 0.12, 0.2};
    static const double doubts[] = {0.02, 0.05, 0.1};
    neighbours_model best = *m;
    double least = INFINITY;
    for (size_t a = 0; a < ST_COUNT(ks); a++)
        for (size_t b = 0; b < ST_COUNT(spreads); b++)
            for (size_t c = 0; c < ST_COUNT(doubts); c++) {
                m->k = ks[a];
                m->spread = spreads[b];
                m->doubt = doubts[c];
                double nll = mean_nll(m, lists, n_options);
                if (nll < least) {
                    least = nll;
                    best = *m;
                }
            }
    *m = best;
}

int neighbours_tune(gemm *g, neighbours_model *m, const uint8_t *folds,
                    uint32_t n_options, float *ret_logp, st_err *err)
{
    near_list *lists = st_alloc_n(m->n, sizeof *lists);
    float *cosines = st_alloc_n((size_t)BLOCK * m->n, sizeof *cosines);
    int code = lists && cosines ? 0 : out_of_memory(err);
    if (!code) {
        for (uint32_t at = 0; at < m->n; at += BLOCK) {
            uint32_t n = m->n - at < BLOCK ? m->n - at : BLOCK;
            find_near(g, m, m->keys + (size_t)at * m->r, n, at, folds, cosines,
                      lists + at);
        }
        choose(m, lists, n_options);
        for (uint32_t i = 0; i < m->n; i++)
            vote(m, &lists[i], n_options, ret_logp + (size_t)i * n_options);
    }
    st_free(lists);
    st_free(cosines);
    return code;
}

int neighbours_predict(gemm *g, const neighbours_model *m, const float *rows, uint32_t n,
                       uint32_t n_options, float *ret_logp, st_err *err)
{
    uint32_t block = n < BLOCK ? n : BLOCK;
    near_list *lists = st_alloc_n(block, sizeof *lists);
    float *cosines = st_alloc_n((size_t)block * m->n, sizeof *cosines);
    float *keys = st_alloc_n((size_t)block * m->r, sizeof *keys);
    int code = lists && cosines && keys ? 0 : out_of_memory(err);
    for (uint32_t at = 0; at < n && !code; at += block) {
        uint32_t count = n - at < block ? n - at : block;
        make_keys(g, m, rows + (size_t)at * m->scale.d, count, m->scale.d, keys);
        find_near(g, m, keys, count, 0, NULL, cosines, lists);
        for (uint32_t i = 0; i < count; i++)
            vote(m, &lists[i], n_options, ret_logp + (size_t)(at + i) * n_options);
    }
    st_free(lists);
    st_free(cosines);
    st_free(keys);
    return code;
}
