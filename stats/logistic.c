/* stats/logistic.c - multinomial logistic regression.
 *
 * One evaluation: logits = rows * W, row by row softmax minus the label, gradient =
 * rows^T * that.  Dense rows use the matrix product twice; sparse rows add up rows of W,
 * and the gradient is taken from the transposed rows, so no two workers ever add to the
 * same number and the result does not depend on how many there are. */
#include "stats/logistic.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

enum {
    CHUNK_ROWS = 64,
    CHUNK_FEATURES = 64,
};

typedef struct problem {
    gemm *g;
    const logit_rows *rows;
    const sparse *turned; /* the rows by feature; NULL when dense */
    const int32_t *labels;
    uint32_t k;
    const logit_opts *opts;
    double total_weight;
    const float *model; /* of this evaluation */
    float *gradient;
    float *delta; /* [n, k]: logits, then d loss / d logits */
    double *loss; /* [chunks of rows] */
} problem;

size_t logit_size(uint32_t d, uint32_t k)
{
    size_t n;
    return st_mul_ok((size_t)d + 1, k, &n) && st_mul_ok(n, sizeof(float), &(size_t){0})
               ? n
               : 0;
}

static uint32_t n_chunks(uint32_t n, uint32_t size)
{
    return n / size + (n % size != 0);
}

static void run(gemm *g, uint32_t chunks, workers_fn *fn, void *arg)
{
    if (gemm_workers(g)) {
        workers_run(gemm_workers(g), chunks, fn, arg);
        return;
    }
    for (uint32_t c = 0; c < chunks; c++)
        fn(arg, c, 0);
}

/* Logits to log-probabilities, in place. */
static void log_softmax(float *z, uint32_t k)
{
    float top = z[0];
    for (uint32_t j = 1; j < k; j++)
        top = z[j] > top ? z[j] : top;
    double sum = 0;
    for (uint32_t j = 0; j < k; j++)
        sum += (double)expf(z[j] - top);
    float lse = top + (float)log(sum);
    for (uint32_t j = 0; j < k; j++)
        z[j] -= lse;
}

typedef struct logits_job {
    gemm *g;
    const logit_rows *rows;
    uint32_t k;
    const float *model;
    float *z; /* [n, k] */
} logits_job;

static void sparse_logits(const logits_job *job, uint32_t row)
{
    const sparse *m = job->rows->sparse;
    uint64_t from = m->start[row], n = m->start[row + 1] - from;
    gemm_gather(job->g, n, m->col + from, m->val + from, job->model, job->k, job->k,
                job->z + (size_t)row * job->k);
}

static void bias_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const logits_job *job = arg;
    (void)worker;
    const float *bias = job->model + (size_t)job->rows->d * job->k;
    uint32_t end =
        (chunk + 1) * CHUNK_ROWS < job->rows->n ? (chunk + 1) * CHUNK_ROWS : job->rows->n;
    for (uint32_t r = chunk * CHUNK_ROWS; r < end; r++) {
        memcpy(job->z + (size_t)r * job->k, bias, job->k * sizeof *bias);
        if (job->rows->sparse)
            sparse_logits(job, r);
    }
}

static void find_logits(gemm *g, const logit_rows *rows, uint32_t k, const float *model,
                        float *z)
{
    logits_job job = {g, rows, k, model, z};
    run(g, n_chunks(rows->n, CHUNK_ROWS), bias_chunk, &job);
    if (rows->dense)
        gemm_run(g, rows->n, k, rows->d, gemm_rows(rows->dense, rows->d),
                 gemm_rows(model, k), z, k, true);
}

/* Logits z of a row become scale * probabilities; log of their sum before. */
static double scaled_softmax(float *z, uint32_t k, float scale)
{
    float top = z[0];
    double sum = 0;
    for (uint32_t j = 1; j < k; j++)
        top = z[j] > top ? z[j] : top;
    for (uint32_t j = 0; j < k; j++)
        sum += (double)(z[j] = expf(z[j] - top));
    float share = (float)((double)scale / sum);
    for (uint32_t j = 0; j < k; j++)
        z[j] *= share;
    return (double)top + log(sum);
}

/* Logits of a chunk of rows become gradients, and its loss is noted. */
static void delta_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    problem *p = arg;
    (void)worker;
    uint32_t n = p->rows->n, k = p->k;
    uint32_t end = (chunk + 1) * CHUNK_ROWS < n ? (chunk + 1) * CHUNK_ROWS : n;
    double loss = 0;
    for (uint32_t r = chunk * CHUNK_ROWS; r < end; r++) {
        float *z = p->delta + (size_t)r * k;
        double weight = p->opts->weights ? (double)p->opts->weights[r] : 1;
        float scale = (float)(weight / p->total_weight);
        double own = (double)z[p->labels[r]];
        loss += weight * (scaled_softmax(z, k, scale) - own);
        z[p->labels[r]] -= scale;
    }
    p->loss[chunk] = loss;
}

static void feature_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    problem *p = arg;
    (void)worker;
    const sparse *t = p->turned;
    uint32_t end = (chunk + 1) * CHUNK_FEATURES < t->n_rows ? (chunk + 1) * CHUNK_FEATURES
                                                            : t->n_rows;
    for (uint32_t f = chunk * CHUNK_FEATURES; f < end; f++) {
        float *out = p->gradient + (size_t)f * p->k;
        uint64_t from = t->start[f];
        memset(out, 0, p->k * sizeof *out);
        gemm_gather(p->g, t->start[f + 1] - from, t->col + from, t->val + from, p->delta,
                    p->k, p->k, out);
    }
}

static void find_gradient(problem *p)
{
    const logit_rows *rows = p->rows;
    uint32_t k = p->k;
    if (rows->dense)
        gemm_run(p->g, rows->d, k, rows->n, gemm_turned(rows->dense, rows->d),
                 gemm_rows(p->delta, k), p->gradient, k, false);
    else
        run(p->g, n_chunks(rows->d, CHUNK_FEATURES), feature_chunk, p);
    float *bias = p->gradient + (size_t)rows->d * k;
    memset(bias, 0, k * sizeof *bias);
    for (uint32_t r = 0; r < rows->n; r++)
        for (uint32_t j = 0; j < k; j++)
            bias[j] += p->delta[(size_t)r * k + j];
}

/* Add the shrinkage to the gradient; its value. */
static double shrink(problem *p)
{
    size_t n = (size_t)p->rows->d * p->k;
    float l2 = (float)p->opts->l2;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float off = p->model[i] - (p->opts->prior ? p->opts->prior[i] : 0);
        p->gradient[i] += l2 * off;
        sum += (double)off * (double)off;
    }
    return p->opts->l2 / 2 * sum;
}

static double evaluate(void *arg, const float *x, float *ret_gradient)
{
    problem *p = arg;
    p->model = x;
    p->gradient = ret_gradient;
    uint32_t chunks = n_chunks(p->rows->n, CHUNK_ROWS);
    find_logits(p->g, p->rows, p->k, x, p->delta);
    run(p->g, chunks, delta_chunk, p);
    find_gradient(p);
    double loss = 0;
    for (uint32_t c = 0; c < chunks; c++)
        loss += p->loss[c];
    return loss / p->total_weight + shrink(p);
}

static double weight_sum(const logit_rows *rows, const logit_opts *opts)
{
    if (!opts->weights)
        return rows->n;
    double sum = 0;
    for (uint32_t r = 0; r < rows->n; r++)
        sum += (double)opts->weights[r];
    return sum;
}

int logit_fit(gemm *g, const logit_rows *rows, const int32_t *labels, uint32_t k,
              const logit_opts *opts, float *model, lbfgs_end *ret_end, st_err *err)
{
    problem p = {.g = g, .rows = rows, .labels = labels, .k = k, .opts = opts};
    sparse turned = {0};
    size_t n_delta, n_model = logit_size(rows->d, k);
    int code = ST_ENOMEM;
    p.total_weight = weight_sum(rows, opts);
    if (rows->n == 0 || !(p.total_weight > 0))
        return st_err_set(err, ST_EINVAL, "logistic regression: no rows with weight");
    if (n_model == 0 || !st_mul_ok(rows->n, k, &n_delta))
        return st_err_set(err, ST_ENOMEM, "logistic regression: too large");
    p.delta = st_alloc_n(n_delta, sizeof *p.delta);
    p.loss = st_alloc_n(n_chunks(rows->n, CHUNK_ROWS), sizeof *p.loss);
    if (!p.delta || !p.loss) {
        st_err_set(err, code, "logistic regression: out of memory");
        goto done;
    }
    if (rows->sparse) {
        code = sparse_turn(rows->sparse, &turned, err);
        if (code)
            goto done;
        p.turned = &turned;
    }
    code = lbfgs_run(n_model, model, evaluate, &p, &opts->search, ret_end, err);
done:
    sparse_done(&turned);
    st_free(p.delta);
    st_free(p.loss);
    return code;
}

typedef struct predict_job {
    uint32_t n, k;
    float *z;
} predict_job;

static void predict_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const predict_job *job = arg;
    (void)worker;
    uint32_t end = (chunk + 1) * CHUNK_ROWS < job->n ? (chunk + 1) * CHUNK_ROWS : job->n;
    for (uint32_t r = chunk * CHUNK_ROWS; r < end; r++)
        log_softmax(job->z + (size_t)r * job->k, job->k);
}

void logit_predict(gemm *g, const logit_rows *rows, uint32_t k, const float *model,
                   float *ret_logp)
{
    find_logits(g, rows, k, model, ret_logp);
    predict_job job = {rows->n, k, ret_logp};
    run(g, n_chunks(rows->n, CHUNK_ROWS), predict_chunk, &job);
}
