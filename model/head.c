/* model/head.c - logits of final states.
 *
 * The head decides between tokens that are often close, and it is the one product whose
 * error nothing after it can average out; it also runs for few rows.  So a quantised head
 * gets its input in two parts: the 8-bit form, and the 8-bit form of what rounding left.
 * Their two products are added, which is as good as a float input.  Both read the same
 * few panels while these are in the cache: from memory the weights come once. */
#include "model/model.h"

#include "model/work.h"
#include <math.h>

typedef struct head_job {
    const model *m;
    model_work *wk;
    const kact *x;
    const kact *rest; /* NULL when the weights read floats */
    const int32_t *ids;
    uint32_t n_ids;
    float *logits;
} head_job;

/* What rounding a block to 8 bits (kern.quant) leaves of it. */
static void rest_of_block(const float *x, uint32_t n, float *ret)
{
    float most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    bool exact = !(most > 1e-30f) || isinf(most);
    float inverse = 127.0f / most, d = most / 127.0f;
    for (uint32_t i = 0; i < n; i++)
        ret[i] = exact ? 0 : fmaf(-d, nearbyintf(x[i] * inverse), x[i]);
}

static void rest_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const head_job *job = arg;
    uint32_t cols = job->x->cols;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++)
        for (uint32_t c = 0; c < cols; c += KERN_QBLOCK)
            rest_of_block(job->x->x + (size_t)t * cols + c,
                          cols - c < KERN_QBLOCK ? cols - c : KERN_QBLOCK,
                          job->wk->rest_rows + (size_t)t * cols + c);
}

/* Bias, scale and cap of one row of logits. */
static void finish_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const head_job *job = arg;
    const model *m = job->m;
    const float *bias = m->head.bias;
    float cap = m->logit_softcap;
    (void)worker;
    for (uint32_t i = row0; i < row1; i++) {
        float *y = job->logits + (size_t)i * job->n_ids;
        for (uint32_t j = 0; bias && j < job->n_ids; j++)
            y[j] += bias[job->ids ? (uint32_t)job->ids[j] : j];
        for (uint32_t j = 0; m->logit_scale != 1.0f && j < job->n_ids; j++)
            y[j] *= m->logit_scale;
        for (uint32_t j = 0; cap != 0.0f && j < job->n_ids; j++)
            y[j] = cap * tanhf(y[j] / cap);
    }
}

/* Some ids of the rows [row0, row1). */
static void some_ids(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    enum { N = HEAD_TILE * KERN_PANEL };
    const head_job *job = arg;
    const kern *k = job->m->kern;
    float part[N];
    (void)worker;
    for (uint32_t i = row0; i < row1; i++) {
        float *y = job->logits + (size_t)i * job->n_ids;
        for (uint32_t j = 0; j < job->n_ids; j += N) {
            uint32_t n = job->n_ids - j < N ? job->n_ids - j : N;
            k->rows(&job->m->head.w, job->x, i, job->ids + j, n, y + j);
            if (!job->rest)
                continue;
            k->rows(&job->m->head.w, job->rest, i, job->ids + j, n, part);
            k->add(y + j, part, n);
        }
    }
}

/* Panels [first, first + n) of a matrix as a matrix. */
static kmat panels_of(const kmat *w, uint32_t first, uint32_t n)
{
    size_t before = 0;
    uint32_t rows = w->rows - first * KERN_PANEL;
    bool ok = kmat_bytes(w->type, first * KERN_PANEL, w->cols, &before);
    kmat part = {w->type, rows < n * KERN_PANEL ? rows : n * KERN_PANEL, w->cols,
                 (const unsigned char *)w->data + (ok ? before : 0)};
    return part;
}

/* All ids of all rows, tiles [tile0, tile1) of HEAD_TILE panels. */
static void some_tiles(void *arg, uint32_t tile0, uint32_t tile1, uint32_t worker)
{
    const head_job *job = arg;
    const kern *k = job->m->kern;
    const kmat *w = &job->m->head.w;
    float *part =
        job->wk->rest_out + (size_t)worker * job->wk->max_tokens * HEAD_TILE * KERN_PANEL;
    for (uint32_t tile = tile0; tile < tile1; tile++) {
        uint32_t first = tile * HEAD_TILE, left = kmat_panels(w) - first;
        kmat few = panels_of(w, first, left < HEAD_TILE ? left : HEAD_TILE);
        float *y = job->logits + (size_t)first * KERN_PANEL;
        k->matmul(&few, job->x, 0, kmat_panels(&few), y, job->n_ids);
        k->matmul(&few, job->rest, 0, kmat_panels(&few), part, few.rows);
        for (uint32_t t = 0; t < job->x->n; t++)
            k->add(y + (size_t)t * job->n_ids, part + (size_t)t * few.rows, few.rows);
    }
}

static int check_head(const model *m, const model_work *work, uint32_t n_rows,
                      const int32_t *ids, uint32_t n_ids, st_err *err)
{
    if (!m->info.has_head)
        return st_err_set(err, ST_EINVAL, "a model of the family '%s' gives no logits",
                          m->info.arch);
    if (n_rows > work->max_tokens)
        return st_err_set(err, ST_ELIMIT, "%u rows of logits, room for %u", n_rows,
                          work->max_tokens);
    for (uint32_t j = 0; ids && j < n_ids; j++)
        if (ids[j] < 0 || (uint32_t)ids[j] >= m->info.n_vocab)
            return st_err_set(err, ST_EINVAL, "token %d, the vocabulary has %u", ids[j],
                              m->info.n_vocab);
    return 0;
}

int model_head(const model *m, model_work *work, const float *hidden, uint32_t n_rows,
               const int32_t *ids, uint32_t n_ids, float *ret_logits, st_err *err)
{
    kact x = work->h, rest = work->rest;
    const kmat *w = &m->head.w;
    head_job job = {.m = m,
                    .wk = work,
                    .x = &x,
                    .ids = ids,
                    .n_ids = ids ? n_ids : m->info.n_vocab,
                    .logits = ret_logits};
    int rc = check_head(m, work, n_rows, ids, n_ids, err);
    if (rc < 0 || n_rows == 0)
        return rc;
    x.n = rest.n = n_rows;
    x.x = hidden;
    if (work_quantised(w)) {
        job.rest = &rest;
        work_rows(work, n_rows, rest_rows, &job);
        work_quantise(work, &x, w);
        work_quantise(work, &rest, w);
    }
    if (ids)
        work_rows(work, n_rows, some_ids, &job);
    else if (job.rest)
        work_rows(work, (kmat_panels(w) + HEAD_TILE - 1) / HEAD_TILE, some_tiles, &job);
    else
        work_products(work, &(product){w, x, ret_logits, job.n_ids}, 1);
    work_rows(work, n_rows, finish_rows, &job);
    return 0;
}
